"""Another year's numbers: those that a seed draws anew, in what is asked and in what is tried.

`make exercises SEED=7` writes the students' notebooks with the numbers of seed 7, and a cell that
says `use_seed(7)`. 0 are the numbers that the course is published with. `rlx.course.years` declares
one for each chapter.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from rlx.course.exercise import Exercise, Mistake

NUMBERS: dict[str, Drawn] = {}  # those that can be drawn, by the name of their exercise
seed = 0  # of what is asked and of the generated cases; `use_seed` sets it


class Drawn:
    """A number in a question: `published`, or with another seed one of the `others`.

    `name`: that of the exercise. `says(number)`: the texts in which the notebook has it, in words,
    formulas and code; by default the number as Python writes it. In the notebook under solutions/,
    the cells with one of these have the metadata `"rlx": {"numbers": [name]}`: there the published
    texts are replaced.
    `change(answer, number)`: makes the right answer for that number out of the published one. Or
    leave it out, and call this object for the number where the exercise's reference needs it."""

    def __init__(
        self,
        name: str,
        published: float,
        *others: float,
        says: Callable[[Any], Sequence[str]] | None = None,
        change: Callable[[Callable, Any], Callable] | None = None,
    ) -> None:
        if not others or published in others:
            raise ValueError(f"{name}: name the published number, and others than that")
        self.name, self.published, self.others = name, published, others
        self.says, self.change = says, change
        self._tried: float | None = None
        NUMBERS[name] = self

    def __call__(self) -> float:
        return self.of(seed) if self._tried is None else self._tried

    def of(self, seed: int) -> float:
        """Seeds that follow each other have different ones."""
        if seed == 0:
            return self.published
        return self.others[(seed + zlib.crc32(self.name.encode())) % len(self.others)]

    def written(self, text: str, seed: int) -> str:
        """The text, with the number of that seed. Raises ValueError if the published one is not
        there: then the text says something else than the check."""
        if self.says:
            texts = dict(zip(self.says(self.published), self.says(self.of(seed)), strict=True))
            published = re.compile("|".join(map(re.escape, texts)))
        else:
            texts = {repr(self.published): repr(self.of(seed))}
            published = re.compile(rf"(?<![\w.]){re.escape(repr(self.published))}(?![\w]|\.\d)")
        if not published.search(text):
            raise ValueError(f"{self.name}: there is no {self.published!r} in {text[:60]!r}")
        return published.sub(lambda found: texts[found[0]], text)

    def asked(self, answer: Callable, number: float) -> Callable:
        """What the published answer is, where this number is asked for."""

        @functools.wraps(answer)
        def changed(*inputs):
            self._tried = number
            try:
                return asked(*inputs)
            finally:
                self._tried = None

        asked = answer
        if self.change and number != self.published:
            asked = self.change(answer, number)
        changed.drawn_for = number
        return changed


def changed_in(exercise: Exercise) -> bool:
    """Is something else asked for than what is published?"""
    return exercise.name in NUMBERS and seed != 0


def this_year(exercise: Exercise, answer: Callable) -> Callable:
    """A reference or a mistake, as the number of this seed makes it."""
    if not changed_in(exercise) or hasattr(answer, "drawn_for"):
        return answer
    number = NUMBERS[exercise.name]
    return number.asked(answer, number())


@functools.cache
def other_years(exercise: Exercise) -> list[Mistake]:
    """Answers that are right with other numbers than those of this seed. None with seed 0."""
    if not changed_in(exercise):
        return []
    number = NUMBERS[exercise.name]
    others = {number.published, *number.others} - {number()}
    why = "With other numbers than those of this notebook it is right: read the question again."
    return [
        Mistake("it answers another year's question", why, number.asked(exercise.reference, other))
        for other in sorted(others)
    ]


def use_seed(number: Any) -> None:
    """Ask and try with the numbers of that seed, in this process."""
    from rlx.course import trials

    global seed
    seed = int(number)
    trials.expected.cache_clear()
    trials.behaviour.cache_clear()
    other_years.cache_clear()
