"""What is said of a wrong answer: the first that fits, with the case that shows it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from rlx.course.asif import as_if
from rlx.course.card import Card
from rlx.course.exercise import Exercise, Mistake
from rlx.course.findings import (
    AFTER_PATTERNS,
    BEFORE_NUMBERS,
    at,
    called,
    first_difference,
    not_written,
)
from rlx.course.generate import shrink
from rlx.course.observe import Elsewhere, OutOfTime, alike, observe, same_values, time_limit
from rlx.course.patterns import exchanged, pattern
from rlx.course.seeds import other_years, this_year
from rlx.course.trials import Trial, behaviour, expected, try_one
from rlx.course.values import close, numbers
from rlx.course.words import short, table, truths


def known(exercise: Exercise, trials: list[Trial]) -> tuple[Mistake, Trial] | None:
    """The declared mistake that behaves like this, and a case that shows it.

    In all hand-made cases, and in nearly all others that show the mistake. A second fault, which a
    few odd inputs bring out, may be there as well; of several mistakes the one that explains most.
    An error where the mistake has a value says nothing, an error in every case says little about
    its cause."""
    by_hand, best, left = len(exercise.cases), None, len(trials)
    if all(trial.found.error for trial in trials[:by_hand]):
        return None
    for mistake in other_years(exercise) + exercise.mistakes:
        does = behaviour(exercise, mistake.coding, False)
        if not all(alike(t.found, b) or t.found.error for t, b in zip(trials, does)):
            continue
        does = does + behaviour(exercise, mistake.coding, True)
        telling = [
            (t, alike(t.found, b))
            for t, b in zip(trials, does)
            if not alike(b, t.expected) and bool(b.error) == bool(t.found.error)
        ]
        second = [
            t
            for t, b in zip(trials, does)
            if alike(b, t.expected) and not (t.found.error or alike(t.found, t.expected))
        ]
        shown = [t for t, same in telling if same]
        unexplained = len(telling) - len(shown) + len(second)
        enough = len(shown) >= 0.8 * len(telling) and len(second) <= 0.1 * len(trials)
        if shown and enough and unexplained < left:
            best, left = (mistake, shown), unexplained
    if best is None:
        return None
    mistake, shown = best
    others = [behaviour(exercise, m.coding, False) for m in exercise.mistakes if m is not mistake]

    def first(t: Trial) -> tuple[bool, ...]:
        """A wrong number shows more than a wrong gradient, and that more than an error; inputs that
        can be written down, and what no other mistake makes of them, show more."""
        k = next(k for k, other in enumerate(trials) if other is t)
        by_several = k < by_hand and any(alike(t.found, does[k]) for does in others)
        long = any(" of shape " in short(value) for value in t.found.inputs.values())
        return bool(t.found.error), not t.wrong_values, k >= by_hand, long, by_several

    return mistake, min(shown, key=first)


def judge(exercise: Exercise, answer: Callable, trials: list[Trial]) -> Card:
    if any(said := not_written(trial) for trial in trials):
        return Card(exercise.name, said[0], [said[1]], _more(exercise), "unwritten")
    if found := known(exercise, trials):
        mistake, trial = found
        trial = _simplest(
            exercise,
            answer,
            trial,
            lambda t: (
                not alike(t.found, t.expected)
                and alike(t.found, observe(exercise, this_year(exercise, mistake.coding), t.case))
            ),
        )
        return Card(
            exercise.name,
            mistake.name,
            [mistake.why],
            _evidence(exercise, trial, explained=True),
            "mistake",
        )
    wrong = [t for t in trials if not t.right]
    by_hand = [t for t in wrong if t.case.choices is None]
    numbers_wrong = [t for t in trials if t.wrong_values]
    if said := exchanged(trials):
        trial = next(t for t in wrong if not t.found.error)
        trial = _simplest(exercise, answer, trial, lambda t: exchanged([t]) == said)
        return Card(exercise.name, said[0], [said[1]], _evidence(exercise, trial))
    for scope in filter(None, (by_hand, wrong)):
        for finding in BEFORE_NUMBERS:
            if card := _first(exercise, answer, scope, finding):
                return card
        if scope is by_hand and not any(t in numbers_wrong for t in scope):
            continue
        for words, trial in as_if(exercise, trials):
            return Card(
                exercise.name,
                f"it answers as if {words}",
                [
                    "With that, the right function returns what yours does, in every case. Look at "
                    "every line in which it is used."
                ],
                _evidence(exercise, trial),
            )
        if found := pattern(numbers_wrong):
            which, (title, sentence) = found
            said = partial(_same_pattern, numbers_wrong, which, title)
            trial = _simplest(exercise, answer, numbers_wrong[0], said)
            return Card(exercise.name, title, [sentence], _evidence(exercise, trial))
        for finding in AFTER_PATTERNS:
            if card := _first(exercise, answer, scope, finding):
                return card
    for finding in AFTER_PATTERNS:
        if card := _first(exercise, answer, wrong, finding):
            return card
    trial = wrong[0]
    return Card(
        exercise.name, "it does not do the same", ["See below."], _evidence(exercise, trial)
    )


def _first(
    exercise: Exercise, answer: Callable, trials: list[Trial], finding: Callable
) -> Card | None:
    """What a finding says of the first trial that it has something to say of."""
    for trial in trials:
        if said := finding(trial):
            trial = _simplest(exercise, answer, trial, partial(_same_finding, finding, said[0]))
            title, sentence = finding(trial)
            return Card(exercise.name, title, [sentence], _evidence(exercise, trial))
    return None


def _same_finding(finding: Callable, title: str, trial: Trial) -> bool:
    """Does it say the same of that trial? The numbers may be others in a simpler case."""
    said = finding(trial)
    return bool(said) and _without_numbers(said[0]) == _without_numbers(title)


def _without_numbers(title: str) -> str:
    return re.sub(r"[-\d.e, ()\[\]]+", "", title)


def _same_pattern(trials: list[Trial], which: Callable, title: str, trial: Trial) -> bool:
    said = trial.wrong_values and pattern([*trials, trial], which)
    return bool(said) and said[1][0] == title


def _simplest(
    exercise: Exercise, answer: Callable, trial: Trial, still: Callable[[Trial], bool]
) -> Trial:
    """The trial as it is if its case was made by hand, else the simplest that shows the same."""
    if trial.case.choices is None:
        return trial
    there = isinstance(answer, Elsewhere)  # it is stopped there
    try:
        with contextlib.nullcontext() if there else time_limit(2.0):
            made = shrink(
                lambda choices: try_one(exercise, answer, exercise.made_from(choices)),
                trial.case.choices,
                still,
            )
            return made if still(made) else trial
    except OutOfTime:
        return trial


def _more(exercise: Exercise) -> list[str]:
    return [f'`hint("{exercise.name}")` gives a hint.']


def _evidence(exercise: Exercise, trial: Trial, explained: bool = False) -> list[str]:
    """The inputs, and what should have come out of them beside what did.

    `explained`: the title is that of a declared mistake, which says nothing of this case."""
    found, expected = trial.found, trial.expected
    inputs = {name: value for name, value in found.inputs.items() if _told(value) or _plain(value)}
    notes = []
    if trial.keeps and not (explained or found.error or trial.again.error):
        name, place = first_difference(trial.again, found)
        if name in found.leaves and name in trial.again.leaves:
            once, again = found.leaves[name], trial.again.leaves[name]
            notes.append(_with(trial, _difference(name, once, again, place, TWICE)))
    elif not found.error and not same_values(found, expected):
        name, place = first_difference(found, expected)
        asked = name and " " in name and truths(expected.leaves[name])
        want, got = expected.value, found.value
        if built_alike := name is not None and name in found.leaves:
            want, got = expected.leaves[name], found.leaves[name]
        if _words(expected.value) and _words(found.value):  # all of them say more than the first
            want, got, built_alike, place = expected.value, found.value, False, ()
        if asked and not place and built_alike:
            answer = f"{name}? It should be {'yes' if want else 'no'}."
            notes.append(_with(trial, answer) if explained else _seen(trial))
        elif built_alike or (_told(want) and _told(got)):
            rows = _side_by_side(exercise, name, want, got, inputs)
            shown = rows and table(rows) if not _words(want) else None
            notes.append(_with(trial, _difference(name if built_alike else "", want, got, place)))
            if shown:
                notes.append(shown)
                inputs = {name: value for name, value in inputs.items() if name not in rows}
        else:
            notes.append(_seen(trial))
    elif found.error and explained:
        notes.append(_with(trial, f"yours raises {type(found.error).__name__}."))
    notes = notes or [_seen(trial)]
    text = ", ".join(
        f"{name} = {value if _plain(value) else short(value)}" for name, value in inputs.items()
    )
    if len(text) > 300:
        text = ", ".join(f"{name} = {short(value, most=6)}" for name, value in inputs.items())
    if text:
        notes.append(f"Inputs: {text}.")
    return notes + _more(exercise)


def _with(trial: Trial, text: str) -> str:
    return f"With {trial.case.words}: {text}"


def _seen(trial: Trial) -> str:
    return f"Seen with {trial.case.words}."


ONCE = "should be {}, yours is {}"
TWICE = "is {} at first, and {} when it is called again"


def _difference(name: str | None, want: Any, got: Any, place: tuple, said: str = ONCE) -> str:
    """The first number that differs, or how the two are built."""
    x, y = numbers(want), numbers(got)
    of = called(name) if name else ""
    if place and x is not None and x.size > 1:
        flag = truths(want)
        both = said.format(*(bool(v[place]) if flag else short(float(v[place])) for v in (x, y)))
        return f"{at(place, want)}{f' of {of}' if of else ''} {both}."
    both = said.format(short(want), short(got))
    if isinstance(want, list) and isinstance(got, (list, tuple)) and len(want) != len(got):
        if len(both) > 80:
            both = f"should have {len(want)} entries, yours has {len(got)}"
    elif x is not None and y is not None and x.ndim and y.ndim and x.shape != y.shape:
        if len(both) > 80 and x.shape[1:] == y.shape[1:]:
            rows = "rows" if isinstance(want, Tensor) else "entries"
            both = f"should have {len(x)} {rows}, yours has {len(y)}"
        elif len(both) > 80:
            both = f"should be of shape {x.shape}, yours is of shape {y.shape}"
    return f"{of}{' ' if of else ''}{both}."


def _side_by_side(
    exercise: Exercise, name: str | None, want: Any, got: Any, inputs: dict[str, Any]
) -> dict[str, list[str]] | None:
    """Rows of a table: inputs that have as many rows as the result, what it should be, and is."""
    rows = [_cells(value) for value in (want, got)]
    if any(cells is None for cells in rows) or max(map(len, rows)) < 2:
        return None
    x, y = numbers(want), numbers(got)
    if x is not None and y is not None and x.shape[1:] != y.shape[1:] and len(x) != len(y):
        return None
    shown = {}
    for key, value in inputs.items():
        cells = _cells(value)
        if cells and len(cells) == len(rows[0]) and _row_by_row(exercise, key, name):
            shown[key] = cells
    shown |= {"should be": rows[0], "yours": rows[1]}
    if x is not None and y is not None and x.shape == y.shape:
        same = close(x, y).reshape(len(x), -1).all(1)
        if same.any():
            shown[""] = ["" if right else "≠" for right in same]
    return shown


def _cells(value: Any) -> list[str] | None:
    """Row by row, if it has any, and not too many."""
    array = numbers(value)
    if not _told(value) or isinstance(value, str) or value is None:
        return None
    if array is not None and not array.ndim:
        return None
    if len(value) > 16 or (array is not None and array.size > 48):
        return None
    if truths(value):
        return [short(bool(x) if not x.ndim else x.astype(bool)) for x in array]
    return [short(x) for x in (value if array is None else array)]


def _row_by_row(exercise: Exercise, argument: str, name: str | None) -> bool:
    """Has that argument a row for each of the result's, in every case?"""

    def rows(value: Any) -> int | None:
        return len(value) if hasattr(value, "__len__") and getattr(value, "ndim", 1) else None

    return all(
        rows(seen.inputs.get(argument)) == rows(seen.leaves.get(name))
        for seen in expected(exercise)[1]
    )


def _told(value: Any) -> bool:
    """Can an input be written down in a line?"""
    return numbers(value) is not None or isinstance(value, (list, tuple, str, type(None)))


def _plain(value: Any) -> bool:
    """Is it a dict that Python writes in a line or two?"""
    parts = value.values() if isinstance(value, dict) else ()
    plain = all(_words(part) or isinstance(part, (bool, int, float, str)) for part in parts)
    return isinstance(value, dict) and plain and len(str(value)) < 200


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
