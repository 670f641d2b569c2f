"""What can be said of a wrong answer that is no declared mistake.

Each finding looks at one case: what the answer did, what was expected, what the answer did when it
was called again. It returns a title and a sentence, or None.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlx.course.observe import (
    Observed,
    leaves,
    numbers,
    same_gradients,
    same_leaf,
    same_values,
    short,
    where,
)

Said = tuple[str, str] | None
UNWRITTEN = "not written yet"


def _raised(found: Observed, expected: Observed, again: Observed) -> Said:
    error = found.error
    if error is None or expected.error:
        return None
    if isinstance(error, NotImplementedError):
        return UNWRITTEN, (
            "Write your function in the cell above, in place of `raise NotImplementedError`, run "
            "that cell, then this one."
        )
    place = where(error)
    at = f" at {place}" if place else ""
    text = str(error).strip().split("\n")[0]
    text = text if len(text) < 200 else text[:200] + " …"
    title = f"it raises {type(error).__name__}"
    return (
        title,
        f"{text}{'' if text.endswith('.') or not text else '.'} It was raised{at}." if at else text,
    )


def _type(found: Observed, expected: Observed, again: Observed) -> Said:
    want, got = expected.value, found.value
    if got is None and want is not None:
        return "it returns None", "Is the last line a `return`?"
    if isinstance(want, tuple) and isinstance(got, (tuple, list)) and len(want) != len(got):
        return (
            f"it returns {len(got)} values instead of {len(want)}",
            f"Expected are {len(want)}, separated by commas.",
        )
    for (name, a), (_, b) in zip(leaves(want), leaves(got)):
        if isinstance(a, Tensor) and not isinstance(b, Tensor):
            what = f"{name} is" if name else "the result is"
            sentence = f"Expected is a tensor, {what} {_article(b)}."
            if isinstance(b, (list, tuple, np.ndarray)) or numbers(b) is not None:
                sentence += (
                    " `torch.tensor(…)` or, for a list of tensors, `torch.stack(…)` makes one."
                )
            return f"it returns {_article(b)}, not a tensor", sentence
        if numbers(a) is not None and numbers(b) is None:
            return (
                "it returns the wrong kind of thing",
                f"Expected is {_article(a)}, not {_article(b)}.",
            )
    if not _numbers_like(want, got):
        return (
            "it returns the wrong kind of thing",
            f"Expected is {_article(want)}, not {_article(got)}.",
        )
    return None


def _numbers_like(want: Any, got: Any) -> bool:
    """Are both built alike: a number where a number is, a tuple or list where one is?"""
    if isinstance(want, (tuple, list)) and isinstance(got, (tuple, list)):
        return True
    if numbers(want) is not None:
        return numbers(got) is not None
    return type(want) is type(got)


def _shape(found: Observed, expected: Observed, again: Observed) -> Said:
    if len(found.leaves) != len(expected.leaves) or found.leaves.keys() != expected.leaves.keys():
        return (
            "its result is built differently",
            f"Expected are {len(expected.leaves)} parts, found {len(found.leaves)}: "
            f"{short(expected.value)} and {short(found.value)}.",
        )
    for name, a in expected.leaves.items():
        x, y = numbers(a), numbers(found.leaves[name])
        if x is not None and y is not None and x.shape != y.shape:
            of = f" of {name}" if name else ""
            return f"the shape{of} is {y.shape}, not {x.shape}", _about_shapes(x.shape, y.shape)
    return None


def _about_shapes(want: tuple, got: tuple) -> str:
    if len(got) == 2 and len(want) == 1 and got[0] == got[1] == want[0]:
        return "Somewhere (N,) meets (N, 1): the two broadcast to (N, N), every row with every row."
    if got == (*want, 1):
        return "There is a last dimension of size 1 too many: `.squeeze(-1)` removes it."
    if got == () and want:
        return "One number for all: something sums or averages over the rows."
    if want == () and got:
        return "Expected is a single number: sum, or average, over the rows."
    if len(got) == len(want) and got[1:] == want[1:] and abs(got[0] - want[0]) == 1:
        return f"There is one row too {'many' if got[0] > want[0] else 'few'}."
    return "Print the shapes on the way to see where they part."


def _dtype(found: Observed, expected: Observed, again: Observed) -> Said:
    for (name, a), (_, b) in zip(leaves(expected.value), leaves(found.value)):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            if a.dtype != b.dtype:
                what = f"{name} has" if name else "the result has"
                return (
                    f"the dtype is {_name(b.dtype)}, not {_name(a.dtype)}",
                    f"The numbers may be right, but {what} dtype {_name(b.dtype)}: later "
                    "arithmetic would be done in it.",
                )
            if a.device != b.device:
                return (
                    f"the result is on {b.device}, not {a.device}",
                    "Make it where the inputs are.",
                )
    return None


def _gradient(found: Observed, expected: Observed, again: Observed) -> Said:
    if not same_values(found, expected):
        return None  # wrong numbers have wrong gradients: the numbers first
    for name, want in expected.gradients.items():
        got = found.gradients.get(name)
        if want is None and got is not None:
            return (
                f"a gradient flows into {name}",
                f"The numbers are right, but {name} must count as a constant here: use "
                f"`{name}.detach()`, or compute this part under `torch.no_grad()`.",
            )
        if want is not None and got is None:
            return (
                f"no gradient reaches {name}",
                f"The numbers are right, but nothing can be learned through {name}: somewhere a "
                "`.detach()`, `.item()`, `.data`, `torch.tensor(…)` or `no_grad()` cuts the path.",
            )
    if not same_gradients(found, expected):
        return "the gradient is wrong", "The numbers are right, their derivatives are not."
    return None


def same_up_to(found: Observed, expected: Observed, again: Observed) -> Said:
    pairs = [
        (numbers(a), numbers(found.leaves[name]))
        for name, a in expected.leaves.items()
        if numbers(a) is not None and not same_leaf(a, found.leaves[name])
    ]
    if not pairs or not same_values(found, again):
        return None
    want = np.concatenate([x.ravel() for x, _ in pairs])
    got = np.concatenate([y.ravel() for _, y in pairs])
    if not np.isfinite(got).all() or not np.isfinite(want).all() or not want.any():
        return None
    if np.allclose(got, -want, rtol=1e-4, atol=1e-5):
        return "the sign is wrong", "Every number is the negative of what it should be."
    if len(want) < 2:
        return None  # any single number is a multiple of any other
    factor = (got @ want) / (want @ want)
    if factor and np.allclose(got, factor * want, rtol=1e-4, atol=1e-5):
        return (
            f"it is off by a factor of {factor:.4g}",
            f"Every number is {factor:.4g} times what it should be. A mean in place of a sum, or "
            "the other way round? A γ too many?",
        )
    offset = np.mean(got - want)
    if abs(offset) > 1e-4 and np.allclose(got, want + offset, rtol=1e-4, atol=1e-5):
        return f"it is off by {offset:+.4g}", "Every number differs by the same amount."
    if len(want) > 3 and len(pairs) == 1 and pairs[0][0].ndim == 1:
        for k, words in ((1, "late"), (-1, "early")):
            a, b = (want[:-1], got[1:]) if k == 1 else (want[1:], got[:-1])
            if np.allclose(a, b, rtol=1e-4, atol=1e-5):
                return f"it is one row too {words}", "The right numbers, shifted by one row."
    return None


def _not_a_number(found: Observed, expected: Observed, again: Observed) -> Said:
    for name, a in expected.leaves.items():
        x, y = numbers(a), numbers(found.leaves[name])
        if x is not None and np.isfinite(x).all() and not np.isfinite(y).all():
            what = "NaN" if np.isnan(y).any() else "infinite"
            return (
                f"there are {what} numbers in the result",
                "A division by zero, the logarithm of zero, or the deviation of a single number "
                "makes them.",
            )
    return None


def _in_place(found: Observed, expected: Observed, again: Observed) -> Said:
    for name in found.modified:
        if name not in expected.modified:
            return (
                f"it changes its input {name}",
                f"Whoever called still needs {name} as it was. Work on a copy: `{name}.clone()`, "
                "or an expression that makes a new one.",
            )
    return None


def _random(found: Observed, expected: Observed, again: Observed) -> Said:
    if same_values(found, again):
        return None
    return (
        "it gives different results for the same inputs",
        "Called twice, with the same random seed, it does not answer the same. Does it keep "
        "something from one call to the next, or seed a generator of its own?",
    )


def _values(found: Observed, expected: Observed, again: Observed) -> Said:
    if same_values(found, expected):
        return None
    return (
        "the numbers are not right",
        "The shape is, and this is no mistake that the course knows.",
    )


# The most useful first.
FINDINGS = [
    _raised, _type, _shape, _dtype, _gradient, same_up_to, _not_a_number, _in_place, _random,
    _values,
]  # fmt: skip


def _article(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    names = {np.ndarray: "a numpy array", float: "a number", int: "a number", bool: "True or False"}
    names |= {tuple: "a tuple", list: "a list", type(None): "None", dict: "a dict", str: "a text"}
    return names.get(type(value), f"a {type(value).__name__}")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
