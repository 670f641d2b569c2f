"""Call an answer on a case's inputs, and write down everything that it did."""

from __future__ import annotations

import contextlib
import dis
import io
import linecache
import math
import random
import signal
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from rlx.course.exercise import Case, Exercise
from rlx.rollout import Rollout


class OutOfTime(BaseException):
    """Not an Exception, so that an answer's own `except Exception` does not swallow it."""


@dataclass
class Observed:
    """What an answer did with one case."""

    value: Any = None
    raw: list = field(default_factory=list)  # what the answer returned, call by call
    error: BaseException | None = None
    gradients: dict[str, np.ndarray | None] = field(default_factory=dict)  # of each input that asks
    gradient_error: Exception | None = None
    modified: list[str] = field(default_factory=list)  # inputs that were changed in place
    printed: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)  # as they were before

    def __post_init__(self) -> None:
        """Copies, at once: an answer may go on writing into what it has handed out."""
        self.leaves = {k: _copied(leaf) for k, leaf in leaves(canonical(self.value))}

    @property
    def kept(self) -> bool:
        """Is what was handed out still what it was?"""
        now = dict(leaves(canonical(self.value)))
        return self.leaves.keys() == now.keys() and all(
            same_leaf(leaf, now[name]) for name, leaf in self.leaves.items()
        )


def observe(exercise: Exercise, answer: Callable, case: Case) -> Observed:
    """Raises OutOfTime, if a time limit is set; whatever else the answer raises is noted."""
    seed_all()
    inputs = case.inputs()
    seed_all()
    arguments = dict(zip(exercise.arguments, inputs))
    named = list(leaves(arguments))
    before = {name: _copied(leaf) for name, leaf in named}
    shown = {name: _held(value) for name, value in arguments.items()}
    printed, value, error, raw = io.StringIO(), None, None, []
    gradients, gradient_error = {}, None

    def recorded(*args, **kwargs):
        raw.append(answer(*args, **kwargs))
        return raw[-1]

    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # stderr in a graded cell costs its points
        try:
            value = exercise.call(recorded, *inputs)
            if len(exercise.results) > 1 and type(value) in (tuple, list):
                if len(value) == len(exercise.results):
                    value = dict(zip(exercise.results, value))
        except (KeyboardInterrupt, OutOfTime):
            raise
        except BaseException as raised:  # sys.exit() among them
            error = raised
        else:
            try:
                gradients = _gradients(value, named)
            except Exception as raised:  # "modified by an inplace operation", say
                gradient_error = raised
    after = dict(leaves(arguments))
    modified = [
        name for name, old in before.items() if name not in after or not same_leaf(old, after[name])
    ]
    if after.keys() - before.keys():
        modified += sorted(after.keys() - before.keys())
    return Observed(
        value, raw, error, gradients, gradient_error, modified, printed.getvalue(), shown
    )


def _copied(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf.detach().clone().requires_grad_(leaf.requires_grad)
    if isinstance(leaf, (np.ndarray, list)):
        return leaf.copy()
    return leaf


def _held(value: Any) -> Any:
    """A copy of an input, whatever is in it."""
    if isinstance(value, dict):
        return {key: _held(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_held, value))
    return _copied(value)


def seed_all(seed: int = 0) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Put every random number generator back to where it was."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inputs are tiny: to share them among threads takes longer than to compute with them, and on a
    busy machine a hundred times longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in this block after that long; on the main thread, the only one that can be
    interrupted. Where others keep the machine busy it waits up to three times as long."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    started, computed = time.monotonic(), time.process_time()

    def stop(*_) -> None:
        waiting = time.process_time() - computed < seconds / 2
        if waiting and time.monotonic() - started < 3 * seconds and hasattr(signal, "setitimer"):
            return  # the timer comes again
        raise OutOfTime

    if hasattr(signal, "setitimer"):
        handler = signal.signal(signal.SIGALRM, stop)
        # Again and again, for an answer that catches everything; and somebody else's alarm is due.
        left, every = signal.setitimer(signal.ITIMER_REAL, seconds, min(seconds, 0.5))
        began = time.monotonic()
        try:
            yield
        finally:
            rest = max(left - (time.monotonic() - began), 0.001) if left else 0.0
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, rest, every)
    else:  # Windows has no alarm, but a thread can press Ctrl-C
        handler = signal.signal(signal.SIGINT, stop)
        timer = threading.Timer(seconds, signal.raise_signal, [signal.SIGINT])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            signal.signal(signal.SIGINT, handler)


# ---------------------------------------------------------------------- taking a result apart


def canonical(value: Any) -> Any:
    """The same with lists of numbers as arrays: what is right or wrong apart from its type."""
    if isinstance(value, dict):
        return {key: canonical(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [canonical(part) for part in value]
        arrays = [numbers(part) for part in parts]
        plain = isinstance(value, list) and bool(parts)  # a tuple is several results, not one
        if plain and all(a is not None and a.shape == arrays[0].shape for a in arrays):
            return np.stack(arrays)
        return parts if parts or not isinstance(value, list) else np.zeros(0)
    return value


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers, tensors, arrays and words in a nested value, with their names."""
    if isinstance(value, dict):
        parts = {f"{name}.{key}" if name else str(key): part for key, part in value.items()}
    elif isinstance(value, (list, tuple)) and not _flat(value):
        parts = {f"{name}[{k}]": part for k, part in enumerate(value)}
    elif isinstance(value, Rollout):
        parts = {f"{name}.{key}": column for key, column in value.columns.items()}
        parts |= {f"{name}.lengths": value.lengths}
    elif isinstance(value, Distribution):
        # Not what it happens to hold: probabilities and logits say the same.
        held = ["probs"] if "probs" in value.arg_constraints else value.arg_constraints
        dot = f"{name}." if name else ""
        parts = {f"{dot}class": type(value).__name__}
        parts |= {f"{dot}{key}": getattr(value, key) for key in held}
    elif isinstance(value, torch.nn.Module):
        parts = {f"{name}.{key}": part for key, part in value.state_dict(keep_vars=True).items()}
    else:
        yield name, value
        return
    for key, part in parts.items():
        yield from leaves(part, key)


def _flat(value: list | tuple) -> bool:
    """A list of plain numbers, which is one leaf."""
    return bool(value) and all(isinstance(part, (bool, int, float)) for part in value)


def numbers(leaf: Any) -> np.ndarray | None:
    """A copy as float64; None if the leaf is not made of numbers."""
    if isinstance(leaf, Tensor):
        return leaf.detach().cpu().numpy().astype(np.float64)
    if isinstance(leaf, (bool, int, float, np.ndarray, np.generic)) or (
        isinstance(leaf, (list, tuple)) and _flat(leaf)
    ):
        try:
            return np.array(leaf, dtype=np.float64)
        except (ValueError, TypeError):
            return None
    return None


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and bool(close(a, b).all())


def close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where numbers are equal, but for the rounding of float32 in sums of numbers this large."""
    finite = np.abs(a[np.isfinite(a)])
    scale = max(1.0, finite.max()) if finite.size else 1.0
    return np.isclose(a, b, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)


def _gradients(value: Any, named: list[tuple[str, Any]]) -> dict[str, np.ndarray | None]:
    """The gradient of a weighted sum of all results, with respect to each input that asks."""
    asking = {k: x for k, x in named if isinstance(x, Tensor) and x.requires_grad and x.is_leaf}
    results = [leaf for _, leaf in leaves(value) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if not asking or not results:
        return dict.fromkeys(asking)
    # Unequal weights: with equal ones, results in another order would have the same gradient.
    total = sum((x * torch.linspace(1, 2, x.numel()).view(x.shape)).sum() for x in results)
    found = torch.autograd.grad(total, list(asking.values()), allow_unused=True)
    return {
        name: None if g is None or not g.any() else numbers(g) for name, g in zip(asking, found)
    }


# ---------------------------------------------------------------------- comparing


def alike(a: Observed, b: Observed) -> bool:
    """The same behaviour, as far as a person would say so: types do not matter, numbers do."""
    if a.error or b.error:
        return bool(a.error and b.error)
    return same_values(a, b) and same_gradients(a, b) and a.modified == b.modified


def right(found: Observed, expected: Observed) -> bool:
    """Nothing at all is to be said against it."""
    return (
        not found.error
        and not found.gradient_error
        and alike(found, expected)
        and found.kept
        and not wrong_type(expected.value, found.value)
        and same_kinds(found, expected)
    )


def same_kinds(found: Observed, expected: Observed) -> bool:
    """Tensors of the same dtype, on the same device, with a gradient where there should be one."""
    pairs = zip(leaves(expected.value), leaves(found.value))
    return all(
        (a.dtype, a.device, a.requires_grad) == (b.dtype, b.device, b.requires_grad)
        for (_, a), (_, b) in pairs
        if isinstance(a, Tensor) and isinstance(b, Tensor)
    )


def wrong_type(want: Any, got: Any) -> tuple[str, Any, Any] | None:
    """The first part of a result that is no value of the right type: its name, both parts."""
    if isinstance(want, dict) and isinstance(got, dict):
        parts = [(key, want[key], got.get(key)) for key in want]
    elif isinstance(want, tuple) and isinstance(got, (tuple, list)) and len(want) == len(got):
        parts = [(f"[{k}]", a, b) for k, (a, b) in enumerate(zip(want, got))]
    else:
        return None if _same_type(want, got) else ("", want, got)
    for name, a, b in parts:
        if found := wrong_type(a, b):
            return f"{name}{found[0]}", *found[1:]
    return None


def _same_type(want: Any, got: Any) -> bool:
    if isinstance(want, tuple):
        return isinstance(got, (tuple, list)) and len(want) == len(got)
    if isinstance(want, list):  # of numbers or arrays: whatever holds as many will do
        return isinstance(got, (list, tuple, np.ndarray, Tensor))
    if isinstance(want, (Tensor, str, dict)) or want is None:
        return isinstance(got, type(want))
    if numbers(want) is not None:
        return numbers(got) is not None
    if isinstance(want, Distribution):
        return isinstance(got, Distribution)
    return callable(got) if callable(want) else got is not None


def same_values(a: Observed, b: Observed) -> bool:
    return a.leaves.keys() == b.leaves.keys() and all(
        same_leaf(leaf, b.leaves[name]) for name, leaf in a.leaves.items()
    )


def same_leaf(a: Any, b: Any) -> bool:
    x, y = numbers(a), numbers(b)
    if x is None or y is None:
        return x is y and (a == b if isinstance(a, str) else type(a) is type(b))
    return _equal(x, y)


def same_gradients(a: Observed, b: Observed) -> bool:
    return a.gradients.keys() == b.gradients.keys() and all(
        _equal(g, b.gradients[name]) for name, g in a.gradients.items()
    )


# ---------------------------------------------------------------------- in words


def short(value: Any) -> str:
    """A value in a few characters: numbers rounded, long tables cut."""
    array = numbers(value)
    if array is None:
        if isinstance(value, dict):
            return f"({', '.join(f'{key} {short(part)}' for key, part in value.items())})"
        if isinstance(value, (list, tuple)) and len(value) <= 6:
            text = ", ".join(map(short, value))
            return f"[{text}]" if isinstance(value, list) else f"({text})"
        return repr(value) if isinstance(value, (str, type(None))) else type(value).__name__
    if array.size > 16:
        return f"{_kind(value)} of shape {tuple(array.shape)}"
    if truths(value):
        return str(array.astype(bool).tolist())
    return digits(array.tolist())


def truths(value: Any) -> bool:
    """Is it made of True and False?"""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(truths, value))
    kinds = (torch.bool, np.dtype(bool))
    return isinstance(value, (bool, np.bool_)) or getattr(value, "dtype", None) in kinds


def digits(value: Any) -> str:
    """Numbers with four digits."""
    if isinstance(value, list):
        return f"[{', '.join(map(digits, value))}]"
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def _kind(value: Any) -> str:
    kinds = {Tensor: "a tensor", np.ndarray: "an array", list: "a list", tuple: "a tuple"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _frames(error: BaseException) -> list[tuple[traceback.FrameSummary, bool]]:
    """The lines of the answer on the way to the error, and whether a line itself raised it."""
    found, tb = [], error.__traceback__
    while tb:
        code = tb.tb_frame.f_code
        if not _ours(code.co_filename):
            op = dis.opname[code.co_code[tb.tb_lasti]]
            last = tb.tb_next is None and op in ("RAISE_VARARGS", "RERAISE")
            text = linecache.getline(code.co_filename, tb.tb_lineno).strip()
            found.append((traceback.FrameSummary("", tb.tb_lineno, "", line=text), last))
        tb = tb.tb_next
    return found


def unwritten(error: BaseException | None) -> bool:
    """Is it the `raise NotImplementedError` of an answer, and none from inside a library?"""
    if not isinstance(error, NotImplementedError):
        return False
    frames = _frames(error)
    return bool(frames) and frames[-1][1]


def where(error: BaseException) -> str:
    """The line of the answer that raised: the last one that is not in a library."""
    own = [frame for frame, _ in _frames(error)]
    if not own or not own[-1].line:
        return ""
    return f"line {own[-1].lineno} of your code: {own[-1].line}"


def _ours(filename: str) -> bool:
    return filename.startswith(LIBRARIES) or "<frozen" in filename or "site-packages" in filename


LIBRARIES = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"))
