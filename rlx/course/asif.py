"""Is it right, but for one input that it takes for another?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import Tensor

from rlx.course.exercise import Case, Exercise
from rlx.course.findings import Trial
from rlx.course.observe import Observed, observe, same_values
from rlx.course.seeds import this_year


def as_if(exercise: Exercise, trials: list[Trial]) -> Iterator[tuple[str, Trial]]:
    """Inputs other than those given, with which the reference does what the answer does: what is
    "as if" about them, and a trial that shows it."""
    arguments = list(enumerate(exercise.arguments))
    for k, name in arguments:
        kind = type(trials[0].case.inputs()[k])
        for words, change in _CHANGES.get(kind, ()):
            if shown := _explains(exercise, trials, partial(_at, k=k, change=change)):
                yield f"{name} {words}", shown
    for k, name in arguments:
        for j, other in arguments[:k]:
            if shown := _explains(exercise, trials, partial(_exchanged, j=j, k=k)):
                yield f"{other} were {name}, and {name} were {other}", shown


def _tensor(dtype_is_bool: bool, change: Callable[[Tensor], Tensor]) -> Callable:
    def changed(value: Tensor) -> Tensor | None:
        is_bool = "bool" in str(value.dtype)
        return change(value) if is_bool == dtype_is_bool else None

    return changed


_CHANGES: dict[type, list[tuple[str, Callable]]] = {
    float: [
        ("were 1", lambda value: 1.0),
        ("were 0", lambda value: 0.0),
        ("were squared", lambda value: value**2),
        ("were 1 minus what it is", lambda value: 1 - value),
    ],
    Tensor: [
        ("were false everywhere", _tensor(True, lambda x: x & ~x)),
        ("were true everywhere", _tensor(True, lambda x: x | ~x)),
        ("meant the opposite", _tensor(True, lambda x: ~x)),
        ("came one row later", _tensor(True, lambda x: x.roll(1, 0))),
        ("came one row earlier", _tensor(True, lambda x: x.roll(-1, 0))),
        ("stood in reverse order", _tensor(False, lambda x: x.flip(0))),
        ("were 0", _tensor(False, lambda x: x * 0)),
        ("came one row later", _tensor(False, lambda x: x.roll(1, 0))),
        ("came one row earlier", _tensor(False, lambda x: x.roll(-1, 0))),
        ("began in its second row", _tensor(False, lambda x: x[1:])),
        ("ended a row earlier", _tensor(False, lambda x: x[:-1])),
    ],
    list: [
        ("stood in reverse order", lambda x: x[::-1]),
        ("had no first entry", lambda x: x[1:]),
        ("had no last entry", lambda x: x[:-1]),
        ("were sorted", lambda x: sorted(x)),
    ],
}


def _at(inputs: tuple, k: int, change: Callable) -> tuple | None:
    value = change(inputs[k])
    return None if value is None else (*inputs[:k], value, *inputs[k + 1 :])


def _exchanged(inputs: tuple, j: int, k: int) -> tuple | None:
    a, b = inputs[j], inputs[k]
    same = type(a) is type(b) and getattr(a, "shape", 0) == getattr(b, "shape", 0)
    if not same or getattr(a, "dtype", 0) != getattr(b, "dtype", 0):
        return None
    return tuple(b if i == j else a if i == k else one for i, one in enumerate(inputs))


def _explains(exercise: Exercise, trials: list[Trial], change: Callable) -> Trial | None:
    """A trial that it explains, if it explains all of them, the right ones included."""
    shown, wrong = None, 0
    for trial in sorted(trials, key=lambda t: same_values(t.found, t.expected)):
        if trial.found.error:
            return None
        try:
            changed = change(trial.case.inputs())
        except Exception:
            return None
        if changed is None:
            return None
        other = _reference(exercise, trial.case, change)
        if other.error or not same_values(trial.found, other):
            return None
        if not same_values(trial.found, trial.expected):
            shown, wrong = shown or trial, wrong + 1
    return shown if wrong >= 3 else None


def _reference(exercise: Exercise, case: Case, change: Callable) -> Observed:
    reference = this_year(exercise, exercise.reference)
    return observe(exercise, reference, Case("", lambda: change(case.inputs())))
