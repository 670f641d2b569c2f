"""`check` and `hint` of an exam: the answer is run and shown, and judged later, by the teacher.

`make handout EXAM=1` puts these in the place of `rlx.course.checking`, and takes the references,
the mistakes and the hints out of the exercises (docs/teaching.md).
"""

from __future__ import annotations

from collections.abc import Callable

from rlx.course.card import Card, NotYet, show
from rlx.course.exercise import Exercise, asked, find, load
from rlx.course.observe import (
    Observed,
    OutOfTime,
    observe,
    one_thread,
    random_numbers_kept,
    time_limit,
)
from rlx.course.words import short, unwritten, where


def check(answer: Callable, name: str | None = None, required: bool = False) -> None:
    """Run your `answer` on the inputs of its exercise, and show what it returns.

    Whether that is right is not known here. Raises NotYet if it is not written or stops with an
    error."""
    exercise = asked(answer, name)
    card = seen(exercise, answer)
    raised = card.kind == "finding" or (
        card.kind == "unwritten" and (required or not exercise.optional)
    )
    show(card, raised)
    if raised:
        raise NotYet(card) from None


def hint(name: str | Callable) -> None:
    """There are none in an exam."""
    load()
    exercise = find(getattr(name, "__name__", name))
    show(Card(exercise.name, "no hints in an exam", [], kind="hint"))


def seen(exercise: Exercise, answer: Callable) -> Card:
    """What the answer does with the cases that were made by hand."""
    lines = []
    try:
        with random_numbers_kept(), one_thread(), time_limit(exercise.time_limit):
            for case in exercise.cases:
                found = observe(exercise, answer, case)
                if unwritten(found.error):
                    return Card(exercise.name, "not written yet", [], kind="unwritten")
                lines.append(_line(case.words, found))
                if found.error:
                    return Card(exercise.name, "it stops with an error", lines)
    except OutOfTime:
        title = "it does not come to an end"
        return Card(exercise.name, title, [f"Stopped after {exercise.time_limit:g} seconds."])
    notes = ["Look whether that is what you want. It is judged when it is graded."]
    return Card(exercise.name, "it runs", lines, notes, "outcome")


def _line(words: str, found: Observed) -> str:
    if found.error:
        said = f"{type(found.error).__name__}: {found.error}".splitlines()[0]
        return " ".join(filter(None, [f"With {words}: {said}.", where(found.error)]))
    changed = f" It changes {', '.join(found.modified)}." if found.modified else ""
    return f"With {words}: {short(found.value)}.{changed}"
