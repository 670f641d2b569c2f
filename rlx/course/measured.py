"""`measured("with memory", 0.93, above=0.9)`: a number, and whether it is where it was expected."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch

LIMITS = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}


def measured(what: str, value: float | Sequence[float], **limits: float) -> None:
    """Print what was measured beside its limits, and whether it keeps them.

        measured("with memory", 0.931, above=0.9)        # with memory: 0.93, above 0.9: True
        measured("more by", (3.25, 8.5), above=0)        # more by: 3.25 to 8.50, above 0: True

    `value` is a number, or several, as the ends of an interval are: then the least and the most
    are shown, and each has to keep the limits. `limits` are one or two of `above`, `at_least`,
    `below`, `at_most`; without one, or with another word, a TypeError. When a notebook is compared
    with what it said before, the verdict counts and the number does not: on another processor
    training ends at another one."""
    if not limits or limits.keys() - LIMITS.keys():
        raise TypeError(f"measured takes one or two of {', '.join(LIMITS)}, not {[*limits]}")
    values = torch.as_tensor(value, dtype=torch.float64).detach().flatten().tolist()
    kept = all(LIMITS[word](one, limit) for one in values for word, limit in limits.items())
    shown = " to ".join(map(number, sorted({min(values), max(values)})))
    says = " and ".join(f"{word.replace('_', ' ')} {limit:.4g}" for word, limit in limits.items())
    print(f"{what}: {shown}, {says}: {kept}")


def number(value: float) -> str:
    """With as many digits as can be read at once."""
    size = abs(value)
    if value.is_integer():
        return f"{value:,.0f}"
    if size < 0.005:
        return f"{value:.1g}"
    return f"{value:,.{2 if size < 10 else 1 if size < 1000 else 0}f}"
