"""An exercise's cases tried on an answer, and on the reference and the mistakes beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from rlx.course import seeds
from rlx.course.exercise import Case, Exercise
from rlx.course.observe import (
    Elsewhere,
    Observed,
    observe,
    observe_all,
    random_numbers_kept,
    right,
    same_values,
)


@dataclass
class Trial:
    """What the answer did with a case, what was expected, and what it did when called again."""

    case: Case
    found: Observed
    expected: Observed
    again: Observed

    @property
    def right(self) -> bool:
        """Nothing at all is to be said against it."""
        return right(self.found, self.expected) and not self.keeps

    @property
    def keeps(self) -> bool:
        """Does it answer another way when it is called again?"""
        found, again = self.found, self.again
        if found.error or again.error:
            return bool(found.error) != bool(again.error)
        return not same_values(found, again)

    @property
    def wrong_values(self) -> bool:
        return not self.found.error and not same_values(self.found, self.expected)


@cache
def expected(exercise: Exercise) -> tuple[list[Case], list[Observed]]:
    """All cases, and what the reference does with them: of references only, never of the answer."""
    cases = exercise.cases + exercise.generated(seeds.seed)
    with random_numbers_kept():
        reference = seeds.this_year(exercise, exercise.reference)
        return cases, [observe(exercise, reference, case) for case in cases]


def tried(exercise: Exercise, answer: Callable | Elsewhere) -> list[Trial]:
    cases, wanted = expected(exercise)
    # Half of them once more, to see whether it keeps something: they tell, and save time.
    seen = observe_all(exercise, answer, cases + cases[: 10 + exercise.count // 2])
    found, again = seen[: len(cases)], seen[len(cases) :]
    again += found[len(again) :]
    return list(map(Trial, cases, found, wanted, again))


def try_one(exercise: Exercise, answer: Callable | Elsewhere, case: Case) -> Trial:
    wanted = observe(exercise, seeds.this_year(exercise, exercise.reference), case)
    found, again = observe_all(exercise, answer, [case, case])
    return Trial(case, found, wanted, again)


@cache
def behaviour(exercise: Exercise, coding: Callable, generated: bool) -> list[Observed]:
    """What a wrong answer of ours does with the hand-made or the generated cases."""
    cases, _ = expected(exercise)
    n, coding = len(exercise.cases), seeds.this_year(exercise, coding)
    with random_numbers_kept():
        return [observe(exercise, coding, c) for c in (cases[n:] if generated else cases[:n])]
