"""`check(answer)`: right, a known mistake, or the most useful thing that can be said."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from rlx.course import progress
from rlx.course.card import Card, NotYet, show
from rlx.course.diagnose import judge
from rlx.course.exercise import Exercise, asked, find, load, source
from rlx.course.observe import (
    Elsewhere,
    OutOfTime,
    observe,
    one_thread,
    random_numbers_kept,
    right,
    time_limit,
)
from rlx.course.seeds import Drawn, changed_in
from rlx.course.trials import expected, tried


def check(answer: Callable, name: str | None = None, required: bool = False) -> None:
    """Try your `answer` to the exercise that has its name (or `name`), and show what is found.

    Returns None if it is right, and notes it for `progress()`. Otherwise raises NotYet, so that
    what comes after, which would use it, does not run. An optional one may stay unwritten, unless
    it is `required`: a teacher gives points for it. Your function is given copies: nothing it does
    to its inputs, to random numbers or to the screen reaches the notebook."""
    exercise = asked(answer, name)
    card = examine(exercise, answer)
    if card.kind != "unwritten":
        progress.count(card.exercise, checks=1)
    if card.passed:
        card.notes += progress.record(card.exercise)
    left_out = exercise.optional and not required and card.kind == "unwritten"
    if left_out:
        card.sentences.append("It is optional, and worth no points.")
    raised = not card.passed and not left_out
    show(card, raised)
    if raised:
        raise NotYet(card) from None


def hint(name: str | Callable) -> None:
    """Show the next hint of an exercise: three, from a nudge to nearly the answer. Whoever asks
    once more has given up, and gets a solution, behind a fold."""
    load()
    exercise = find(getattr(name, "__name__", name))
    asked_for = _hints_shown[exercise.name] = _hints_shown.get(exercise.name, 0) + 1
    shown = min(asked_for, 3)
    progress.count(exercise.name, hints=shown)
    title = f"hint {shown} of {len(exercise.hints)}"
    more = "for the next one" if shown < 3 else "if you give up: it shows a solution"
    note = f'`hint("{exercise.name}")` again {more}.'
    if asked_for > 3:
        note = "A solution is below. Read it, close it, and write your own."
    card = Card(exercise.name, title, [exercise.hints[shown - 1]], [note], "hint")
    if asked_for > 3:
        card.sources = [_another(exercise)]
    show(card)


_hints_shown: dict[str, int] = {}  # in this kernel


def examine(exercise: Exercise, answer: Callable | Elsewhere) -> Card:
    """What `check` finds, as a card."""
    with random_numbers_kept(), one_thread():
        expected(exercise)  # our own time, not the answer's
        try:
            # An answer elsewhere is stopped there.
            there = isinstance(answer, Elsewhere)
            with contextlib.nullcontext() if there else time_limit(exercise.time_limit):
                trials = tried(exercise, answer)
        except OutOfTime:
            return Card(
                exercise.name,
                "it does not come to an end",
                [
                    f"Stopped after {exercise.time_limit:g} seconds, where a right answer needs a "
                    "moment. Does every loop get nearer to its end each time round?"
                ],
            )
        if all(trial.right for trial in trials):
            card = _passed(exercise, answer)
        else:
            card = judge(exercise, answer, trials)
    printed = next((t.found.printed.strip() for t in trials if t.found.printed.strip()), "")
    if printed:
        line = printed.splitlines()[0][:80]
        card.notes.append(f"It prints while it is checked, beginning with: {line}")
    return card


def passes(exercise: Exercise, answer: Callable) -> bool:
    """Is it right? The same as `examine(…).passed`, sooner said if it is not."""
    with random_numbers_kept(), one_thread():
        try:
            with time_limit(exercise.time_limit):
                for case, wanted in zip(*expected(exercise)):
                    if not right(observe(exercise, answer, case), wanted):
                        return False
                return all(trial.right for trial in tried(exercise, answer))
        except OutOfTime:
            return False


def _passed(exercise: Exercise, answer: Callable | Elsewhere) -> Card:
    words = [case.words for case in exercise.cases]
    if exercise.generator:
        words.append(f"{exercise.count} inputs made at random")
    sentences = [f"Tried with {_listed(words)}."]
    if exercise.also:
        sentences.append(exercise.also)
    if changed_in(exercise):
        sentences.append("The library's is the published answer, without this notebook's number.")
    card = Card(exercise.name, "right", sentences, [], "passed")
    yours = answer.text if isinstance(answer, Elsewhere) else source(answer)
    card.sources = [("yours", yours), _another(exercise)]
    return card


def _another(exercise: Exercise) -> tuple[str, str]:
    """Whose version is shown beside the learner's, and its text. The course's own has the
    exercise's name, and the numbers of this year's question."""
    text = exercise.library
    if text != source(exercise.reference):
        return "the library's", text
    text = text.replace(exercise.reference.__name__, exercise.name)
    for name, value in vars(sys.modules[exercise.reference.__module__]).items():
        if isinstance(value, Drawn):
            text = text.replace(f"{name}()", f"{value()}")
    return "the course's", text


def _listed(words: list[str]) -> str:
    return ", and ".join(filter(None, ["; ".join(words[:-1]), words[-1]]))
