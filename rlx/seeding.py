"""Random numbers: independent seeds from one, and all generators as they were."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
import torch


def spawn(seed: int | None, n: int, *key: int | str) -> list[int]:
    """`n` seeds below 2³¹, made from `seed` and from what they are for, the `key`.

    Those of another `seed`, or of another `key`, have nothing to do with them, as seed + i would
    (numpy's SeedSequence, after O'Neill, 2015). The first k of n are those of `spawn(seed, k)`.
    None gives seeds that nobody can foresee. Raises ValueError for a negative seed."""
    path = tuple(crc32(part.encode()) if isinstance(part, str) else part for part in key)
    state = np.random.SeedSequence(seed, spawn_key=path).generate_state(n)
    return (state >> 1).tolist()


def seed_all(seed: int) -> None:
    """Seed the global generators: torch's, numpy's old one and Python's."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - environments may use it
    random.seed(seed)


@contextlib.contextmanager
def undisturbed(seed: int | None = None) -> Iterator[None]:
    """In this block random numbers may be drawn, from `seed` if given; those after it are as if
    there had been none."""
    states = random_states()
    try:
        if seed is not None:
            seed_all(seed)
        yield
    finally:
        set_random_states(states)


def random_states() -> dict[str, Any]:
    """Where the global generators are, in tensors and plain numbers."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "python": [version, torch.tensor(words), gauss],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Put them where `random_states` found them."""
    torch.set_rng_state(states["torch"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
