"""Independent seeds from one: neighbouring seeds share nothing."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def spawn(seed: int | None, n: int, *key: int | str) -> list[int]:
    """`n` seeds below 2³¹, made from `seed` and from what they are for, the `key`.

    Those of another `seed`, or of another `key`, have nothing to do with them, as seed + i would
    (numpy's SeedSequence, after O'Neill, 2015). The first k of n are those of `spawn(seed, k)`.
    None gives seeds that nobody can foresee. Raises ValueError for a negative seed."""
    path = tuple(crc32(part.encode()) if isinstance(part, str) else part for part in key)
    state = np.random.SeedSequence(seed, spawn_key=path).generate_state(n)
    return (state >> 1).tolist()
