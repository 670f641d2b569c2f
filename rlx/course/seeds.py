"""Another year's numbers: those that a seed draws anew, in what is asked and in what is tried.

`make exercises SEED=7` writes the students' notebooks with the numbers of seed 7, and a cell that
says `use_seed(7)`. 0 are the numbers that the course is published with.
"""

from __future__ import annotations

import random
import re
from typing import Any

from rlx.course import trials

NUMBERS: dict[str, Drawn] = {}  # those that can be drawn, by name


class Drawn:
    """A number in a question: `published`, or with another seed one of the `others`.

    Call it for the number, where the exercise's reference needs it. In the notebook under
    solutions/, the cells that write it have the metadata `"rlx": {"numbers": [name]}`: there the
    published number, as Python writes it, is replaced."""

    def __init__(self, name: str, published: float, *others: float) -> None:
        if not others or published in others:
            raise ValueError(f"{name}: name the published number, and others than that")
        self.name, self.published, self.others = name, published, others
        NUMBERS[name] = self

    def __call__(self) -> float:
        return self.of(trials.seed)

    def of(self, seed: int) -> float:
        if seed == 0:
            return self.published
        return random.Random(f"{self.name} {seed}").choice(self.others)

    def written(self, text: str, seed: int) -> str:
        """The text, with the number of that seed. Raises ValueError if the published one is not
        there: then the text says something else than the check."""
        number = re.compile(rf"(?<![\w.]){re.escape(repr(self.published))}(?![\w]|\.\d)")
        if not number.search(text):
            raise ValueError(f"{self.name}: there is no {self.published!r} in {text[:60]!r}")
        return number.sub(repr(self.of(seed)), text)


def use_seed(number: Any) -> None:
    """Ask and try with the numbers of that seed, in this process."""
    trials.seed = int(number)
    trials.expected.cache_clear()
    trials.behaviour.cache_clear()
