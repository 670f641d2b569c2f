"""What can be said of wrong numbers, by looking at all cases in which they are wrong.

A pattern is named only if every wrong case shows it that could. A single number is a multiple of
any other, and two rows can be exchanged or shifted: one case proves little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from rlx.course.findings import Said, Trial
from rlx.course.observe import same_leaf
from rlx.course.values import canonical, close, leaves, numbers


@dataclass
class Numbers:
    """The part of a result that is wrong in one case."""

    name: str
    want: np.ndarray
    got: np.ndarray
    inputs: dict[str, Any]

    @property
    def gamma(self) -> float | None:
        return self.inputs.get("gamma")

    @property
    def rows(self) -> int:
        """How many rows the inputs have."""
        for value in self.inputs.values():
            if isinstance(value, (Tensor, np.ndarray)) and value.ndim:
                return len(value)
            if isinstance(value, list):
                return len(value)
        return 1

    @property
    def last(self) -> np.ndarray | None:
        """Which rows are the last of their episode, if the inputs say so."""
        rows = len(self.want) if self.want.ndim else 0
        for name in ("end", "ends"):
            if isinstance(self.inputs.get(name), Tensor) and len(self.inputs[name]) == rows:
                return self.inputs[name].numpy()
        if isinstance(start := self.inputs.get("start"), Tensor) and len(start) == rows:
            return np.append(start.numpy()[1:], True)
        return None


def _wrong(trials: list[Trial]) -> list[Numbers] | None:
    """None if what is wrong cannot be compared number by number."""
    found, spoiled = [], 0
    for trial in trials:
        for name, a in trial.expected.leaves.items():
            b = trial.found.leaves.get(name)
            if same_leaf(a, b):
                continue
            x, y = numbers(a), numbers(b)
            if x is None or y is None or x.shape != y.shape:
                return None
            if not np.isfinite(y).all():
                spoiled += trial.found.inputs.get("gamma") != 0.0  # else: divided by γ
                continue  # the other cases say more
            if isinstance(a, bool) or "bool" in str(getattr(a, "dtype", "")):
                return None  # true and false have no sign
            found.append(Numbers(name, x, y, trial.found.inputs))
    return found if len(found) > 2 * spoiled else None


def _all(wrong: list[Numbers], shows: Callable[[Numbers], bool | None], at_least: int = 2) -> bool:
    """Do all show it that could (None: could not), and enough of them?

    Where most could not, they are wrong for another reason."""
    said = [s for one in wrong if (s := shows(one)) is not None]
    return all(said) and len(said) >= max(min(at_least, len(wrong)), len(wrong) / 4)


def _factors(wrong: list[Numbers]) -> list[float] | None:
    """By which each case's numbers are multiplied, if all are by the same."""
    factors = []
    for one in wrong:
        x, y = one.want.ravel(), one.got.ravel()
        if not x.any():
            return None
        factor = (y @ x) / (x @ x)
        if not factor or not close(factor * x, y).all():
            return None
        factors.append(factor)
    return factors


def _scaled(wrong: list[Numbers]) -> Said:
    factors = _factors(wrong)
    if factors is None:
        return None
    if sum(len(np.unique(np.abs(one.want))) for one in wrong) < 2:
        return None  # any single number is a multiple of any other

    def are(values: Callable[[Numbers], float | None]) -> bool:
        known = [values(one) for one in wrong]
        if any(v is None for v in known):
            return False
        return np.allclose(factors, known, rtol=1e-3)

    if are(lambda one: -1.0):
        return "the sign is wrong", "Every number is the negative of what it should be."
    if np.allclose(factors, factors[0], rtol=1e-3):
        return (
            f"it is off by a factor of {factors[0]:.4g}",
            f"Every number is {factors[0]:.4g} times what it should be, in every case.",
        )
    if are(lambda one: one.rows):
        return "it sums where it should average", "It is too large by the number of rows."
    if are(lambda one: 1 / one.rows):
        return "it averages where it should sum", "It is too small by the number of rows."
    if are(lambda one: -one.rows):
        return "it sums where it should average, and the sign is wrong", (
            "It is minus the right result times the number of rows."
        )
    return None


def _divided(wrong: list[Numbers]) -> Said:
    """By one too many or too few, seen where there is more than one row."""
    several = [one for one in wrong if one.rows > 1]
    factors = _factors(several) if len({one.rows for one in several}) > 1 else None
    if not factors:
        return None
    shares = np.array([(one.rows - 1) / one.rows for one in several])
    if np.allclose(factors, 1 / shares, rtol=1e-3):
        return "it divides by N - 1, where N belongs", "It is too large by N / (N - 1)."
    if np.allclose(factors, shares, rtol=1e-3):
        return "it divides by N, where N - 1 belongs", "It is too small by (N - 1) / N."
    return None


def _by_gamma(wrong: list[Numbers]) -> Said:
    # With γ = 0 a γ too many leaves nothing that could be compared.
    some = [one for one in wrong if one.gamma != 0.0 or one.got.any()]
    factors = _factors(some)
    if not factors or any(one.gamma in (None, 0.0, 1.0) for one in some):
        return None
    if sum(len(np.unique(np.abs(one.want))) for one in some) < 2:
        return None
    powers = np.log(np.abs(factors)) / np.log([one.gamma for one in some])
    if min(factors) < 0 or not np.allclose(powers, powers.round(), atol=1e-2):
        return None
    if len(some) < len(wrong) and powers.min() < 0.5:
        return None
    power = round(powers[0])
    if np.allclose(powers, power, atol=1e-2) and abs(power) in (1, 2):
        return (
            f"there {'is' if abs(power) == 1 else 'are'} {_count(power)} γ too "
            f"{'many' if power > 0 else 'few'}",
            f"Every number is the right one {'times' if power > 0 else 'divided by'} γ"
            f"{'' if abs(power) == 1 else ' squared'}.",
        )
    return (
        "there are powers of γ too many or too few",
        "Every number is the right one times some power of γ, another one in each case. "
        "From which step do you count?",
    )


def _count(power: int) -> str:
    return {1: "one", 2: "two"}[abs(power)]


def _offset(wrong: list[Numbers]) -> Said:
    offsets = np.concatenate([(one.got - one.want).ravel() for one in wrong])
    if len(offsets) > 2 and np.allclose(offsets, offsets[0], rtol=1e-3, atol=1e-4):
        return f"it is off by {offsets[0]:+.4g}", "Every number differs by the same amount."
    return None


def _shifted(wrong: list[Numbers]) -> Said:
    def by(k: int) -> Callable[[Numbers], bool | None]:
        def shows(one: Numbers) -> bool | None:
            if one.want.ndim == 0 or len(one.want) < 3 or len(np.unique(one.want, axis=0)) < 3:
                return None
            a, b = (one.want[:-1], one.got[1:]) if k > 0 else (one.want[1:], one.got[:-1])
            return bool(close(a, b).all())

        return shows

    if _all(wrong, by(1)):
        return "it is one row too late", "The right numbers, each one row after its own."
    if _all(wrong, by(-1)):
        return "it is one row too early", "The right numbers, each one row before its own."
    return None


def _ordered(wrong: list[Numbers]) -> Said:
    def rows(one: Numbers) -> bool:
        return one.want.ndim > 0 and len(np.unique(one.want, axis=0)) > 2

    def reversed_(one: Numbers) -> bool | None:
        return bool(close(one.want[::-1], one.got).all()) if rows(one) else None

    def permuted(one: Numbers) -> bool | None:
        if not rows(one):
            return None
        a, b = (np.array(sorted(map(tuple, x.reshape(len(x), -1)))) for x in (one.want, one.got))
        return bool(close(a, b).all())

    if _all(wrong, reversed_):
        return "the rows are in reverse order", "The right numbers, the last one first."
    if _all(wrong, permuted):
        return "the rows are in another order", "The right numbers, but not in their own rows."
    return None


def _for_rows(wrong: list[Numbers]) -> Said:
    """Right in some rows of every table, wrong in others."""

    def bad(one: Numbers) -> np.ndarray:
        return ~close(one.want, one.got).reshape(len(one.want), -1).all(1)

    if any(one.want.ndim == 0 for one in wrong):
        return None

    def later_episodes(one: Numbers) -> bool | None:
        if one.last is None:
            return None
        first = int(one.last.argmax()) + 1
        return not bad(one)[:first].any()

    def end_rows(one: Numbers) -> bool | None:
        return None if one.last is None else not (bad(one) & ~one.last).any()

    def single(row: int) -> Callable[[Numbers], bool | None]:
        return lambda one: not np.delete(bad(one), row).any() if len(one.want) > 2 else None

    if _all(wrong, end_rows):
        return "only the episodes' last rows are wrong", (
            "All others are right. Look at what is done where an episode ends."
        )
    if _all(wrong, later_episodes):
        return "it is right for the first episode only", (
            "From the second episode on, rows are wrong: where does one begin, and what is left "
            "over from the one before?"
        )
    if _all(wrong, single(0)):
        return "only the first row is wrong", (
            "All others are right. Does a loop leave it out, or begin with the wrong number?"
        )
    if _all(wrong, single(-1)):
        return "only the last row is wrong", (
            "All others are right. Does a loop leave it out, or begin with the wrong number?"
        )
    return None


def _for_columns(wrong: list[Numbers]) -> Said:
    def right_in(one: Numbers) -> np.ndarray | None:
        if one.want.ndim != 2 or one.want.shape[1] < 2:
            return None
        return close(one.want, one.got).all(0)

    def only(column: int) -> Callable[[Numbers], bool | None]:
        def shows(one: Numbers) -> bool | None:
            if (right := right_in(one)) is None:
                return None
            return bool(right[column]) and not np.delete(right, column).any()

        return shows

    for column, which in ((0, "first"), (-1, "last")):
        if _all(wrong, only(column)):
            return f"only the {which} component is right", (
                "The others are wrong in every case: does each get its own numbers?"
            )
    return None


def _growing(wrong: list[Numbers]) -> Said:
    def shows(one: Numbers) -> bool | None:
        if one.want.ndim != 1 or one.gamma in (None, 0.0, 1.0) or len(one.want) < 2:
            return None
        return bool(close(one.want * one.gamma ** np.arange(len(one.want)), one.got).all())

    if _all(wrong, shows):
        return "row t is off by γ to the power t", (
            "Row t counts the steps from itself, not from the first row."
        )
    return None


def _everywhere_the_same(wrong: list[Numbers]) -> Said:
    def shows(one: Numbers) -> bool | None:
        if (
            one.want.ndim == 0
            or close(np.broadcast_to(one.want[:1], one.want.shape), one.want).all()
        ):
            return None  # as they should be
        return bool(close(np.broadcast_to(one.got[:1], one.got.shape), one.got).all())

    if _all(wrong, shows):
        first = all(close(one.want[:1], one.got[:1]).all() for one in wrong if one.want.ndim)
        which = "the right number of the first row" if first else "one number for all of them"
        return "every row gets the same", f"It is {which}; each row has one of its own."
    return None


def _another_function(wrong: list[Numbers]) -> Said:
    """Of the right number: its square, say."""
    want = np.concatenate([one.want.ravel() for one in wrong])
    got = np.concatenate([one.got.ravel() for one in wrong])
    if len(np.unique(want)) < 4:
        return None
    with np.errstate(all="ignore"):
        if len(np.unique(got)) == 1:
            return f"it is {got[0]:.4g} wherever it is wrong", (
                "Other inputs ask for other numbers. Is a condition always true, or never?"
            )
        for title, sentence, function in FUNCTIONS:
            made = function(want)
            if np.isfinite(made).all() and np.allclose(made, got, rtol=1e-4, atol=1e-6):
                return title, sentence
        for digits in range(5):
            units = got * 10**digits
            near = np.abs(got - want).max() <= 0.51 * 10.0**-digits
            if near and np.allclose(units, units.round(), rtol=1e-6, atol=1e-6):
                to = f"to {digits} decimal{'s' * (digits > 1)}" if digits else "to a whole number"
                return f"it is rounded {to}", "Return the number as it is."
    return None


FUNCTIONS = [
    ("it is the size without the sign", "Numbers below 0 come out positive.", np.abs),
    ("what is below 0 is cut off",
     "Numbers below 0 are right here: is there a `clamp`, a `relu`, a `max(…, 0)`?",
     lambda x: x.clip(min=0)),
    ("it is the square of what was asked for", "A root is missing, or a square is one too many.",
     np.square),
    ("it is the root of what was asked for", "A square is missing, or a root is one too many.",
     np.sqrt),
    ("it is the exponential of what was asked for", "`exp` is one too many, or a `log` is missing.",
     np.exp),
    ("it is the logarithm of what was asked for", "`log` is one too many, or an `exp` is missing.",
     np.log),
    ("it is 1 divided by what was asked for", "The fraction is upside down.", lambda x: 1 / x),
    ("it is 1 minus what was asked for", "What you return and what is asked for add up to 1.",
     lambda x: 1 - x),
    ("it is rounded down", "Return the number as it is.", np.floor),
    ("it is rounded up", "Return the number as it is.", np.ceil),
]  # fmt: skip


PATTERNS = [
    _scaled,
    _divided,
    _by_gamma,
    _offset,
    _another_function,
    _growing,
    _everywhere_the_same,
    _shifted,
    _ordered,
    _for_rows,
    _for_columns,
]


def exchanged(trials: list[Trial]) -> Said:
    """Are two parts of the result in each other's place, in every case?"""
    shown = [t for t in trials if not t.found.error and not t.right]
    found = None
    for trial in shown:
        want, got = _parts(trial.expected.value), _parts(trial.found.value)
        if want is None or got is None or len(want) != len(got) or len(want) < 2:
            return None
        pairs = [(j, k) for k in range(len(want)) for j in range(k) if _alike(want, got, j, k)]
        found = pairs if found is None else [pair for pair in found if pair in pairs]
        if not found:
            return None
    if not shown or not found:
        return None
    value = shown[0].expected.value
    names = [*value] if isinstance(value, dict) else [f"[{k}]" for k in range(len(value))]
    j, k = (names[i] for i in found[0])
    if " " in j + k:  # what an exercise asks about it, no parts of the result
        return None
    parts = "parts " if isinstance(value, tuple) else ""
    return f"{parts}{j} and {k} are exchanged", "Each is right, in the place of the other."


def _parts(value: Any) -> list | None:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, tuple) else None


def _alike(want: list, got: list, j: int, k: int) -> bool:
    """Is got what is wanted, with these two exchanged?"""
    order = [k if i == j else j if i == k else i for i in range(len(want))]
    return not same_parts(want, got) and same_parts([want[i] for i in order], got)


def same_parts(a: list, b: list) -> bool:
    x, y = (dict(leaves(canonical(part))) for part in (a, b))
    return x.keys() == y.keys() and all(same_leaf(leaf, y[name]) for name, leaf in x.items())


def pattern(trials: list[Trial], which: Callable | None = None) -> tuple[Callable, Said] | None:
    """The first pattern that the wrong numbers of these trials show, and what it says."""
    wrong = _wrong(trials)
    for one in PATTERNS if which is None else [which]:
        if wrong and (said := one(wrong)):
            names = {part.name for part in wrong}
            about = names.pop() if len(names) == 1 else ""
            if " " in about:  # one of several things that are looked at: say which
                said = f"{about}: {said[0]}", said[1]
            return one, said
    return None
