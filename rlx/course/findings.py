"""What can be said of a wrong answer that is no declared mistake, by looking at one case."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from rlx.course.exercise import Wrong
from rlx.course.observe import Observed, same_gradients, same_leaf, same_values, wrong_type
from rlx.course.trials import Trial
from rlx.course.values import close, equal, leaves, numbers
from rlx.course.words import short, unwritten, where

Said = tuple[str, str] | None  # a title and a sentence
UNWRITTEN = "not written yet"


def not_written(trial: Trial) -> Said:
    if unwritten(trial.found.error):
        return UNWRITTEN, (
            "Write your function in the cell above, in place of `raise NotImplementedError`, run "
            "that cell, then this one."
        )
    return None


def _type(trial: Trial) -> Said:
    """Of what the answer itself returned, before anything else is done with it."""
    want, got = trial.expected, trial.found
    pairs = [*zip(want.raw, got.raw)] if got.raw else []
    if not got.error:
        pairs.append((want.value, got.value))  # what the exercise has made of it
    for a, b in pairs:
        if isinstance(a, tuple) and isinstance(b, (tuple, list)) and len(a) != len(b):
            return (
                f"it returns {_count(b)} instead of {len(a)}",
                f"Return {len(a)}, separated by commas, in the order that the docstring gives.",
            )
        if wrong := wrong_type(a, b):
            name, *parts = wrong
            return _about_type(_named(name, want, a), *parts, tracked=_tracked(a))
    return None


def _named(name: str, want: Observed, raw: Any) -> str:
    """Of "[1]", a part of a tuple, the name that the exercise gives it."""
    if isinstance(want.value, dict) and isinstance(raw, tuple) and re.fullmatch(r"\[\d+\]", name):
        part = raw[int(name[1:-1])]
        return next((key for key, value in want.value.items() if value is part), name)
    return name


def _count(values: Any) -> str:
    return f"{len(values)} value{'' if len(values) == 1 else 's'}"


def _tracked(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for _, leaf in leaves(value))


def _about_type(name: str, want: Any, got: Any, tracked: bool) -> tuple[str, str]:
    what = called(name) if name else "the result"
    if got is None:
        if name:
            return f"{what} is None", f"Expected is {_article(want)}."
        return "it returns None", "Is the last line a `return`?"
    if want is None:
        said = f"it returns {_article(got)}" if not name else f"{what} is {_article(got)}"
        return f"{said}, not None", "Expected is None here."
    if isinstance(want, Tensor):
        sentence = f"Expected is a tensor, {what} is {_article(got)}."
        if isinstance(got, (list, tuple)) and any(isinstance(x, Tensor) for x in got):
            sentence += " `torch.stack(…)` makes one of a list of tensors."
        elif tracked:
            sentence += (
                " And a gradient has to flow through it, so keep to tensors all the way: numbers "
                "that leave torch are cut off from how they came about."
            )
        elif numbers(got) is not None or isinstance(got, (list, tuple)):
            sentence += " `torch.tensor(…)` makes one."
        return f"{'it returns' if not name else what + ' is'} {_article(got)}, not a tensor", (
            sentence
        )
    sentence = f"Expected is {_article(want)}."
    if isinstance(want, tuple):
        sentence = f"Return {len(want)} values, separated by commas."
    elif isinstance(got, type):
        sentence = "Call it, with its arguments: that makes one."
    return f"{'it returns' if not name else what + ' is'} {_article(got)}, not {_article(want)}", (
        sentence
    )


def _keeps(trial: Trial) -> Said:
    found, again = trial.found, trial.again
    if bool(found.error) == bool(again.error) and (found.error or same_values(found, again)):
        return None
    return (
        "it gives different results for the same inputs",
        "Called twice, with the same random seed, it does not answer the same. Does it keep "
        "something from one call to the next, or seed a generator of its own?",
    )


def _hands_out_again(trial: Trial) -> Said:
    if trial.found.error or trial.found.kept:
        return None
    return (
        "it hands out the same memory twice",
        "What it returned changed when it was called again: two results share one array or "
        "tensor. Make a new one each time.",
    )


def _in_place(trial: Trial) -> Said:
    for name in trial.found.modified:
        if name not in trial.expected.modified:
            root = re.split(r"[.\[]", name)[0]
            named = dict(leaves(trial.found.inputs))  # a tensor in a list has a name of its own
            value = named.get(name, trial.found.inputs.get(root))
            if isinstance(value, Tensor):
                copy = f"on a copy, `{name}.clone()`"
            elif isinstance(value, np.ndarray):
                copy = f"on a copy, `{name}.copy()`"
            elif isinstance(value, list):
                copy = f"on a copy, `list({root})`"
            else:
                copy = "on something new"
            return (
                f"it changes its input {name}",
                f"Whoever called still needs {name} as it was. Work {copy}, or with an expression "
                "that makes a new one.",
            )
    return None


# Errors of torch that are of no use to whoever reads them first, by what is in them.
PLAIN = {
    "modified by an inplace operation": "`x[i] = …`, `x += …` or a method such as `x.mul_(…)` has "
    "written over numbers that the gradient still needs. Make a new tensor in its place: "
    "`x = x + …`, or collect the parts in a list, and then `torch.stack(…)`.",
}


def in_plain_words(text: str, most: int = 200) -> str:
    """An error's text: of one that is known what it means, else at most so many characters, cut
    after a sentence or between two words."""
    for known, plain in PLAIN.items():
        if known in text:
            return plain
    if len(text) <= most:
        return text
    whole, _, _ = text[:most].rpartition(". ")
    return f"{whole}." if whole else text[:most].rpartition(" ")[0] + " …"


def _raised(trial: Trial) -> Said:
    error = trial.found.error
    if error is None:
        return None
    if isinstance(error, Wrong):
        return error.title, error.sentence
    text = str(error).strip().split("\n")[0]
    for said, title, sentence in MEANINGS:
        if re.search(said, text) and (place := where(error)):
            return title, f"{sentence} That was at {place}"
    text = re.sub(r"[\w.]+\.<locals>\.", "", text)
    text = in_plain_words(text)
    text += "" if not text or text.endswith((".", "…")) else "."
    place = where(error)
    if not place and trial.found.raw:
        return (
            "what it returns cannot be used",
            f"Whoever calls it next gets an error: {type(error).__name__}: {text}",
        )
    said = f"Python says: {text}" if text else "It says nothing more."
    return f"it raises {type(error).__name__}", said + (f" That was at {place}" if place else "")


# What an error says, and what it means to whoever meets it for the first time.
MEANINGS = [
    (r"(with|on) (a|two) bool tensors? is not supported|numpy boolean subtract",
     "it computes with True and False",
     "`1 - mask` and `-mask` do not exist for a mask: `~mask` turns it round, and `mask.to(dtype)` "
     "makes 0 and 1 of it."),
    (r"Boolean value of Tensor with more than one|truth value of an array with more than one",
     "an `if` asks a whole row of numbers at once",
     "It has no single answer. Decide for each row: by a loop over the rows, or `torch.where` "
     "and `np.where`."),
    (r"only one element tensors can be|Tensor with \d+ elements cannot be converted"
     r"|only (length|size)-1 arrays can be",
     "one number is asked of several",
     "`float(x)`, `int(x)` and `x.item()` take one number. Keep to the tensor or the array, or go "
     "through it in a loop."),
    (r"leaf Variable that requires grad",
     "it writes into a tensor that asks for a gradient",
     "`x[i] = …`, `x += …` or a method such as `x.mul_(…)` would lose what was there, and the "
     "gradient needs it. Make a new tensor: `x = x + …`, or `x.clone()` first."),
    (r"index (\S+ is|\S+) out of (bounds|range)|(list|deque) index out of range",
     "it asks for an entry that does not exist",
     "Look at the first and at the last round of the loop: is there a row before the first, or one "
     "after the last?"),
    (r"local variable '\w+' (where it is not|referenced before)|cannot access free variable",
     "a variable is used before it has a value",
     "A loop may not run even once, an `if` may not be true: give it a value before. If it belongs "
     "to the function around this one, `nonlocal` in the first line says so."),
    (r"unsupported operand type.*NoneType|'NoneType' object|not supported between .*NoneType"
     r"|must be \w+, not NoneType|found NoneType|got NoneType",
     "it computes with None",
     "None is one of the values that may come in here, or a function called before returned it: "
     "it needs a case of its own."),
    (r"shapes cannot be multiplied|size mismatch|mismatch in its core dimension",
     "two matrices do not fit",
     "The columns of the first have to be as many as the rows of the second: `.T` exchanges the "
     "two."),
    (r"size of tensor a .* must match|could not be broadcast together",
     "two shapes do not fit",
     "Each row needs a partner. `x[:, None]` makes (N, 1) of (N,), which goes with (N, K)."),
    (r"division by zero|cannot be raised to a negative power",
     "it divides by 0",
     "Which input makes the divisor 0? That one needs a case of its own."),
    (r"Can't call numpy\(\) on Tensor that requires grad",
     "it leaves torch, where a gradient has to be kept",
     "numpy knows no gradients. Keep to torch's functions, or `.detach()` what is a constant."),
]  # fmt: skip


def _built(trial: Trial) -> Said:
    want, got = trial.expected.leaves, trial.found.leaves
    if want.keys() == got.keys():
        return None
    if counted := _counted(trial.expected.value, trial.found.value):
        return counted
    return (
        "its result is built differently",
        f"Expected is {_structure(trial.expected.value)}, yours is "
        f"{_structure(trial.found.value)}.",
    )


def _counted(want: Any, got: Any, name: str = "") -> Said:
    """The first list, or list in a list, that has too many or too few entries."""
    if isinstance(want, dict) and isinstance(got, dict):
        parts = [(key, want[key], got.get(key)) for key in want]
    elif isinstance(want, list) and isinstance(got, (list, tuple)):
        if len(want) != len(got):
            entries = "entry" if len(got) == 1 else "entries"
            return f"{called(name) if name else 'it'} has {len(got)} {entries}, not {len(want)}", (
                "Count by hand for the inputs below: which are missing, or too many?"
            )
        parts = [(f"{name}[{k}]", a, b) for k, (a, b) in enumerate(zip(want, got))]
    else:
        return None
    return next(filter(None, (_counted(a, b, name) for name, a, b in parts)), None)


def _structure(value: Any) -> str:
    """In words, parts included."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_structure(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)) and numbers(value) is None and len(value) <= 5:
        return f"{_article(value)} of ({', '.join(map(_structure, value))})"
    if isinstance(value, (list, tuple)):
        return f"{_article(value)} of {len(value)} things"
    return _article(value)


def _words(trial: Trial) -> Said:
    """Parts of the result that are words: names, classes, dtypes."""
    want, got = trial.expected.leaves, trial.found.leaves
    names = [name for name, a in want.items() if isinstance(a, str)]
    a, b = [want[name] for name in names], [got[name] for name in names]
    if a == b or not all(isinstance(word, str) for word in b):
        return None
    name, x, y = next((n, x, y) for n, x, y in zip(names, a, b) if x != y)
    if name.endswith("class"):
        return f"it is of class {y}, not {x}", f"Expected is torch's `{x}`."
    if len(a) > 1 and sorted(a) == sorted(b) and isinstance(trial.expected.value, list):
        order = "in reverse order" if a == b[::-1] else "in another order"
        return f"the entries are {order}", "They are the right ones, but not each in its own place."
    if " of " in name:  # "the dtype of observations"
        return f"{name} is {y}, not {x}", "It should be as that of what comes in."
    return f"{called(name) if name else 'the result'} should be {x!r}, yours is {y!r}", (
        "Work it out by hand for the inputs below."
    )


def _shape(trial: Trial) -> Said:
    for name, a in trial.expected.leaves.items():
        x, y = numbers(a), numbers(trial.found.leaves[name])
        if x is not None and y is not None and x.shape != y.shape:
            of = f" of {called(name)}" if name else ""
            wrong = f"the shape{of} is {y.shape}, not {x.shape}"
            if said := _same_numbers(x, y):
                return f"{said[0]}{of and f' ({called(name)})'}", f"{said[1]} And {wrong}."
            return wrong, _about_shapes(x.shape, y.shape)
    return None


def _same_numbers(want: np.ndarray, got: np.ndarray) -> Said:
    """The right numbers, in another shape; or all that is missing, or too much, is a mean."""
    if want.ndim == got.ndim == 2 and want.T.shape == got.shape and close(want.T, got).all():
        return "rows and columns are exchanged", "`.T` would make the right table of it."
    if got.shape == 2 * want.shape or 1 in got.shape[want.ndim :]:
        return None  # (N,) met (N, 1)
    if want.size == 0 or len(np.unique(want if want.ndim > got.ndim else got)) < 2:
        return None  # equal numbers have any mean
    for what, done in (("mean", np.mean), ("sum", np.sum)):
        for axis in range(got.ndim):
            summed = got.ndim == want.ndim + 1 and got.shape[axis] > 1
            if summed and equal(want, done(got, axis=axis)):
                along = "over the rows" if axis == 0 else "over each row"
                return f"the {what} {along} is missing", "One step is left to do."
        if want.ndim and not got.ndim and equal(got, np.asarray(done(want))):
            return f"it is the {what} of what was asked for", "Each row has a number of its own."
    return None


def _about_shapes(want: tuple, got: tuple) -> str:
    if len(got) == 2 and len(want) == 1 and got[0] == got[1] == want[0] > 1:
        return (
            "Somewhere (N,) meets (N, 1): the two broadcast to (N, N), every row with every row. "
            "`.squeeze(-1)` makes (N,) of (N, 1)."
        )
    if got == (*want, 1):
        return "There is a last dimension of size 1 too many: `.squeeze(-1)` removes it."
    if got == (1, *want):
        return "There is a first dimension of size 1 too many: `.squeeze(0)` removes it."
    if got == () and want:
        return "One number for all: something sums or averages over the rows."
    if want == () and got:
        return "Expected is a single number."
    if len(got) == len(want) > 0 and got[1:] == want[1:] and abs(got[0] - want[0]) == 1:
        return f"There is one row too {'many' if got[0] > want[0] else 'few'}."
    return "Print the shapes on the way to see where they part."


def _dtype(trial: Trial) -> Said:
    for (name, a), (_, b) in zip(leaves(trial.expected.value), leaves(trial.found.value)):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            if a.dtype != b.dtype:
                of = f" of {called(name)}" if name else ""
                said = "Later arithmetic would be done in it. Make it like the input."
                if not any(isinstance(x, Tensor) for x in trial.found.inputs.values()):
                    said = f"Say which it is to be: `dtype=torch.{_name(a.dtype)}`."
                if a.dtype == torch.bool:
                    said = "A mask is true or false, as a comparison makes it: it can be an index."
                return f"the dtype{of} is {_name(b.dtype)}, not {_name(a.dtype)}", said
            if a.device != b.device:
                return (
                    f"the result is on {b.device}, not {a.device}",
                    "Make it where the inputs are.",
                )
    return None


def _flag(trial: Trial) -> Said:
    """Booleans are true or false, and have no sign, factor or offset."""
    for name, a in trial.expected.leaves.items():
        b = trial.found.leaves[name]
        if _is_flag(a) and not same_leaf(a, b):
            x, y = numbers(a), numbers(b)
            where_, place = "", ()
            if x.ndim:
                place = tuple(int(k) for k in np.argwhere(~close(x, y))[0])
                where_ = f" in {at(place, a)}"
            got = bool(y[place]) if y[place] in (0, 1) else short(b)
            if " " in name and not where_ and isinstance(got, bool):
                # What an exercise asks about many results: "is every row in each pass"
                said = f"{name}? {'Yes' if got else 'No'}"
                return said, f"It should be {'no' if got else 'yes'}."
            return (
                f"{name or 'the answer'} is {got}{where_}, not {bool(x[place])}",
                f"Look at what decides {'this one' if where_ else 'it'}.",
            )
    return None


def _is_flag(leaf: Any) -> bool:
    return isinstance(leaf, (bool, np.bool_)) or (
        isinstance(leaf, (Tensor, np.ndarray)) and leaf.dtype in (torch.bool, np.dtype(bool))
    )


def _not_a_number(trial: Trial) -> Said:
    for name, a in trial.expected.leaves.items():
        x, y = numbers(a), numbers(trial.found.leaves[name])
        if x is not None and y is not None and np.isfinite(x).all() and not np.isfinite(y).all():
            what = "NaN" if np.isnan(y).any() else "infinite"
            return (
                f"there are {what} numbers in the result",
                "A division by zero, the logarithm of zero, the mean of no numbers, the deviation "
                "of a single one, or 0 times infinity makes them; or a power too large to be "
                "written down.",
            )
    return None


def _value(trial: Trial) -> Said:
    """The first number that differs."""
    name, place = first_difference(trial.found, trial.expected)
    if name is None:
        return None
    want, got = trial.expected.leaves[name], trial.found.leaves[name]
    x, y = numbers(want), numbers(got)
    what = called(name) if name else "the result"
    if x is None or y is None:
        return f"{what} is {_article(got)}, not {_article(want)}", (
            "The rest is built as it should be."
        )
    if not x.ndim:
        return (
            f"{what} should be {short(want)}, yours is {short(got)}",
            "Work it out by hand for the inputs below, and compare step by step.",
        )
    wrong = ~close(x, y)
    share = f"{int(wrong.sum())} of {wrong.size} numbers differ"
    of = f" of {what}" if name else ""
    a, b = (short(float(v[place])) for v in (x, y))
    return (
        f"{at(place, want)}{of} should be {a}, yours is {b}",
        f"The shape is right, and {share}. Work this one out by hand for the inputs below.",
    )


def called(name: str) -> str:
    """What a part of the result is called in a sentence."""
    return f"part {name}" if name.startswith("[") else name


def at(place: tuple, leaf: Any) -> str:
    """A place in a part: tensors of one dimension have rows, lists and arrays entries."""
    if len(place) > 1:
        return f"entry {list(place)}"
    return f"{'row' if isinstance(leaf, Tensor) else 'entry'} {place[0]}"


def first_difference(found: Observed, expected: Observed) -> tuple[str | None, tuple]:
    """The name of the part that differs, and where in it."""
    for name, a in expected.leaves.items():
        b = found.leaves.get(name)
        if same_leaf(a, b):
            continue
        x, y = numbers(a), numbers(b)
        if x is None or y is None or x.shape != y.shape or not x.ndim:
            return name, ()
        spoiled = np.isfinite(x) & ~np.isfinite(y)  # what is no number shows more
        wrong = spoiled if spoiled.any() else ~close(x, y)
        return name, tuple(int(k) for k in np.argwhere(wrong)[0])
    return None, ()


def _gradient(trial: Trial) -> Said:
    found, expected = trial.found, trial.expected
    if found.gradient_error:
        text = in_plain_words(str(found.gradient_error).strip().split("\n")[0])
        return "no gradient can be computed", (
            f"The numbers are right, but going back through them fails: {text}"
        )
    for name, want in expected.gradients.items():
        got = found.gradients[name]
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
                "`.detach()`, `.item()`, `.data`, `torch.tensor(…)`, a copy into a new parameter "
                "or `no_grad()` cuts the path.",
            )
    if not same_gradients(found, expected):
        return "the gradient is wrong", (
            "The numbers are right, their derivatives are not: part of the way from the inputs is "
            "cut, or goes twice."
        )
    for (name, a), (_, b) in zip(leaves(expected.value), leaves(found.value)):
        if isinstance(a, Tensor) and isinstance(b, Tensor) and a.requires_grad != b.requires_grad:
            what = called(name) if name else "the result"
            if b.requires_grad:
                return f"{what} asks for a gradient", (
                    "None of the inputs does here: no `requires_grad`, no parameter of its own."
                )
            return f"{what} carries no gradient", "The input does: the path is cut."
    return None


def _article(value: Any) -> str:
    if isinstance(value, Tensor):
        shape = tuple(value.shape)
        return f"a tensor of shape {shape}" if shape else "a tensor of one number"
    if isinstance(value, Distribution):
        return f"a {type(value).__name__}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    names = {np.ndarray: "a numpy array", float: "a number", int: "a number", bool: "True or False"}
    names |= {tuple: "a tuple", list: "a list", type(None): "None", dict: "a dict", str: "a text"}
    names |= {np.bool_: "True or False", np.float64: "a number", np.float32: "a number"}
    known = names.get(type(value)) or ("a function" if callable(value) else None)
    if isinstance(value, torch.nn.Module):
        return "a network"
    kind = type(value).__name__
    return known or f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# The most useful first; patterns in the numbers come between these two.
BEFORE_NUMBERS = [_type, _keeps, _hands_out_again, _in_place, _raised, _built, _words, _shape,
                  _dtype, _flag]  # fmt: skip
AFTER_PATTERNS = [_not_a_number, _value, _gradient]
