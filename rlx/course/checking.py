"""`check(answer)`: right, a known mistake, or the most useful thing that can be said."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from rlx.course import progress
from rlx.course.card import Card, show
from rlx.course.exercise import Exercise, Mistake, find, load
from rlx.course.findings import FINDINGS, UNWRITTEN, same_up_to
from rlx.course.observe import (
    Observed,
    OutOfTime,
    alike,
    numbers,
    observe,
    random_numbers_kept,
    same_leaf,
    same_values,
    short,
    time_limit,
)


class NotYet(AssertionError):
    """The answer is not right yet; the card says why. A notebook shows one line of it."""

    def __init__(self, card: Card) -> None:
        super().__init__(str(card))
        self.card = card

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [f"{self.card.exercise}: {self.card.title}. The card above says more."]


def check(answer: Callable, name: str | None = None) -> None:
    """Try your `answer` to the exercise that has its name (or `name`), and show what is found.

    Returns None if it is right, and notes it for `progress()`. Otherwise raises NotYet, so that
    what comes after, which would use it, does not run. Your function is given copies: nothing it
    does to its inputs, to random numbers or to the screen reaches the notebook."""
    load()
    if not callable(answer):
        raise TypeError(
            f"check(…) takes the function itself, not what it returns (a {type(answer).__name__}): "
            "check(discounted_return), without calling it"
        )
    name = name or getattr(answer, "__name__", "")
    card = examine(find(name.removeprefix("my_")), answer)
    if card.passed:
        card.notes += progress.record(card.exercise)
    show(card)
    if not card.passed:
        raise NotYet(card) from None


def hint(name: str | Callable) -> None:
    """Show the next hint of an exercise: three, from a nudge to nearly the answer."""
    load()
    exercise = find(getattr(name, "__name__", name))
    shown = _hints_shown[exercise.name] = min(_hints_shown.get(exercise.name, 0) + 1, 3)
    title = f"hint {shown} of {len(exercise.hints)}"
    more = "" if shown == 3 else f'hint("{exercise.name}") again for the next one.'
    show(Card(exercise.name, title, [exercise.hints[shown - 1]], [more] if more else [], "hint"))


_hints_shown: dict[str, int] = {}  # in this kernel


def examine(exercise: Exercise, answer: Callable) -> Card:
    """What `check` finds, as a card."""
    expected = _expected(exercise)  # of references only: never of the answer
    with random_numbers_kept():
        try:
            with time_limit(exercise.time_limit):
                found = [observe(exercise, answer, case) for case in exercise.cases]
                again = [observe(exercise, answer, case) for case in exercise.cases]
        except OutOfTime:
            return Card(
                exercise.name,
                "it does not come to an end",
                [
                    f"Stopped after {exercise.time_limit:g} seconds, where a right answer needs a "
                    "moment. Does every loop get nearer to its end each time round?"
                ],
            )
    card = _judge(exercise, found, again, expected)
    printed = next((f.printed.strip() for f in found if f.printed.strip()), "")
    if printed:
        line = printed.splitlines()[0][:80]
        card.notes.append(f"It prints while it is checked, beginning with: {line}")
    return card


@cache
def _expected(exercise: Exercise) -> list[Observed]:
    return _observed(exercise, exercise.reference)


@cache
def _observed(exercise: Exercise, coding: Callable) -> list[Observed]:
    """What an answer of ours does with the cases."""
    with random_numbers_kept():
        return [observe(exercise, coding, case) for case in exercise.cases]


def known(exercise: Exercise, found: list[Observed]) -> Mistake | None:
    """The declared mistake that behaves like this."""
    if all(one.error for one in found):
        return None  # an error by itself says little about its cause
    for mistake in exercise.mistakes:
        if all(map(alike, found, _observed(exercise, mistake.codings[0]))):
            return mistake
    return None


def _judge(
    exercise: Exercise, found: list[Observed], again: list[Observed], expected: list[Observed]
) -> Card:
    if mistake := known(exercise, found):
        notes = _difference(exercise, found, expected) + _more(exercise)
        return Card(exercise.name, mistake.name, [mistake.why], notes, "mistake")
    for finding in FINDINGS:
        said = list(map(finding, found, expected, again))
        if finding is same_up_to:
            wrong = [not same_values(f, e) for f, e in zip(found, expected)]
            if len({one for one, differs in zip(said, wrong) if differs}) > 1:
                continue  # a factor that is not the same everywhere explains nothing
        for case, one in zip(exercise.cases, said):
            if one is None:
                continue
            title, sentence = one
            notes = _difference(exercise, found, expected) or [f"Seen with {case.words}."]
            if title == UNWRITTEN:
                return Card(exercise.name, title, [sentence], _more(exercise), "unwritten")
            return Card(exercise.name, title, [sentence], notes + _more(exercise))
    words = [case.words for case in exercise.cases]
    return Card(exercise.name, "right", [f"Tried with {_listed(words)}."], [], "passed")


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, ["; ".join(words[:-1]), words[-1]]))


def _more(exercise: Exercise) -> list[str]:
    return [f'hint("{exercise.name}") gives a hint.']


def _difference(exercise: Exercise, found: list[Observed], expected: list[Observed]) -> list[str]:
    """The first number that differs, with its case and its inputs."""
    for case, one, right in zip(exercise.cases, found, expected):
        if one.error or same_values(one, right) or one.leaves.keys() != right.leaves.keys():
            continue
        name = next(k for k, leaf in right.leaves.items() if not same_leaf(leaf, one.leaves[k]))
        want, got = right.leaves[name], one.leaves[name]
        x, y = numbers(want), numbers(got)
        at = f"{name} " if name else ""
        if x is not None and y is not None and x.shape == y.shape and x.ndim:
            place = tuple(np.argwhere(~np.isclose(x, y, rtol=1e-4, atol=1e-5, equal_nan=True))[0])
            at += f"row {place[0]} " if len(place) == 1 else f"entry {[int(k) for k in place]} "
            want, got = float(x[place]), float(y[place])
        inputs = [
            f"{key} = {short(value)}" for key, value in zip(exercise.arguments, case.inputs())
        ]
        return [
            f"With {case.words}: {at}should be {short(want)}, yours is {short(got)}.",
            f"Inputs: {', '.join(inputs)}.",
        ]
    return []
