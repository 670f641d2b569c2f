"""What is said of a wrong answer: the first that fits, with the case that shows it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from rlx.course.asif import as_if
from rlx.course.card import Card
from rlx.course.exercise import Exercise, Mistake
from rlx.course.findings import AFTER_PATTERNS, BEFORE_NUMBERS, first_difference, not_written
from rlx.course.generate import shrink
from rlx.course.observe import Elsewhere, OutOfTime, alike, observe, same_values, time_limit
from rlx.course.patterns import exchanged, pattern
from rlx.course.seeds import other_years, this_year
from rlx.course.trials import Trial, behaviour, try_one
from rlx.course.values import numbers
from rlx.course.words import short, truths


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
            # A wrong number shows more than a wrong gradient, and that more than an error.
            trial = min(shown, key=lambda t: (bool(t.found.error), not t.wrong_values))
            best, left = (mistake, trial), unexplained
    return best


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
            exercise.name, mistake.name, [mistake.why], _evidence(exercise, trial), "mistake"
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
                ["That explains what it returns in every case. Where does it come from?"],
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


def _evidence(exercise: Exercise, trial: Trial) -> list[str]:
    """The inputs, and what should have come out of them beside what did."""
    found, expected = trial.found, trial.expected
    notes = []
    if not found.error and not same_values(found, expected):
        name, place = first_difference(found, expected)
        asked = name and " " in name and truths(expected.leaves[name])  # the title says it all
        if name is None or name not in found.leaves or (asked and not place):
            notes.append(f"Seen with {trial.case.words}.")
        else:
            of = f"{name} " if name else ""
            want, got = expected.leaves[name], found.leaves[name]
            x, y = numbers(want), numbers(got)
            if place and x is not None and x.size > 1:
                at = f"row {place[0]}" if len(place) == 1 else f"entry {list(place)}"
                flag = truths(want)
                a, b = (bool(v[place]) if flag else short(float(v[place])) for v in (x, y))
                notes.append(f"With {trial.case.words}: {of}{at} should be {a}, yours is {b}.")
                if x.size <= 16:
                    notes.append(f"All of {name or 'it'}: {short(want)}, yours: {short(got)}.")
            else:
                both = f"should be {short(want)}, yours is {short(got)}"
                if _both_lists(want, got) and len(both) > 150:
                    both = f"should have {len(want)} entries, yours has {len(got)}"
                notes.append(f"With {trial.case.words}: {of}{both}.")
    else:
        notes.append(f"Seen with {trial.case.words}.")
    inputs = [f"{name} = {short(value)}" for name, value in found.inputs.items() if _told(value)]
    if inputs:
        notes.append(f"Inputs: {', '.join(inputs)}.")
    return notes + _more(exercise)


def _both_lists(want: Any, got: Any) -> bool:
    """Of different lengths?"""
    return isinstance(want, list) and isinstance(got, list) and len(want) != len(got)


def _told(value: Any) -> bool:
    """Can an input be written down in a line?"""
    return numbers(value) is not None or isinstance(value, (list, tuple, str, type(None)))
