"""Inputs made at random, always the same ones, and the search for the simplest that still differs.

Inputs are made out of a row of whole numbers, where a smaller one stands for something simpler:
fewer rows, rounder numbers, the plainest option. So anything made can be made again, and be made
simpler, without a word about what it is (the idea is Hypothesis's; MacIver & Donaldson, 2020,
"Test-case reduction via test-case generation").

Hypothesis itself looks for new inputs in every run. A check compares all cases at once with what
each known mistake does on them, and those results are kept: it needs inputs that stay the same.
And learners would have to install it for what is a page here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Draw:
    """The source that the inputs of a generated case are made from.

    `scale`, from 0 to 1: how large and how odd they may be. With `choices`, the recorded ones of
    another Draw, the same inputs come out again, or simpler ones if they were made smaller."""

    def __init__(self, seed: int = 0, scale: float = 1.0, choices: Sequence[int] | None = None):
        self._random, self.scale, self._given = random.Random(seed), scale, choices
        self.choices: list[int] = []

    def integer(self, low: int, high: int) -> int:
        """Any from low to high; low is the simplest."""
        k, span = len(self.choices), max(high - low, 0)
        if self._given is None:
            chosen = self._random.randint(0, span)
        else:
            chosen = min(self._given[k], span) if k < len(self._given) else 0
        self.choices.append(chosen)
        return low + chosen

    def one_of(self, *options: Any) -> Any:
        """One of the options; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        return self.one_of(False, True)

    def size(self, low: int = 1, high: int = 6) -> int:
        """A number of rows: a few, and up to high in the last few cases only, because an answer may
        take quadratic time."""
        if self._given is None and self.scale < 0.95:
            high = min(high, low + (4 if self.scale < 0.6 else 11))
        return self.integer(low, high)

    def gamma(self) -> float:
        return self.one_of(0.5, 0.9, 1.0, 0.0, 0.99)

    def floats(self, *shape: int, grad: bool = False, kinds: str = "whole tenths wide equal"):
        """Float32 numbers of that shape, (N, …): fewer rows are the beginning of more rows.

        Whole numbers, numbers with one decimal, wide ones up to a few hundred, or all the same."""
        options = kinds.split()
        kind, rng = self.one_of(*options), np.random.default_rng(self.integer(0, 99))
        numbers = rng.normal(size=shape) * 2.5
        if kind == "whole":
            numbers = numbers.round()
        elif kind == "tenths":
            numbers = numbers.round(1)
        elif kind == "wide":
            numbers = (40 * numbers).round(1)
        else:
            numbers = np.full(shape, self.one_of(2.0, 0.0, 12.3))
        return torch.tensor(numbers, dtype=torch.float32).requires_grad_(grad)

    def lengths(self, low: int = 1, high: int = 6, episodes: int = 5) -> list[int]:
        """Rows of each of some episodes."""
        return [self.size(low, high) for _ in range(self.size(1, episodes))]

    def ends(self, lengths: list[int]) -> Tensor:
        """(N,) bool: true in the last row of each episode."""
        return torch.tensor([k == n - 1 for n in lengths for k in range(n)])


def shrink(
    make: Callable[[Sequence[int]], Any],
    choices: Sequence[int],
    still: Callable[[Any], bool],
    seconds: float = 0.7,
) -> Any:
    """The simplest that `make(choices)` gives and of which `still` is true, as far as found in that
    time; `still(make(choices))` is true to begin with."""
    best, made = list(choices), make(choices)
    until, simpler = time.monotonic() + seconds, True
    while simpler:
        simpler = False
        for k in range(len(best)):
            for lower in sorted({0, 1, best[k] // 2, best[k] - 1}):
                if not 0 <= lower < best[k]:
                    continue
                if time.monotonic() > until:
                    return made
                tried = [*best[:k], lower, *best[k + 1 :]]
                candidate = make(tried)
                if still(candidate):
                    best, made, simpler = tried, candidate, True
                    break
    return made
