"""Call an answer on a case's inputs, and write down everything that it did."""

from __future__ import annotations

import contextlib
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
    error: BaseException | None = None
    gradients: dict[str, np.ndarray | None] = field(default_factory=dict)  # of each input that asks
    modified: list[str] = field(default_factory=list)  # inputs that were changed in place
    printed: str = ""

    def __post_init__(self) -> None:
        self.leaves = dict(leaves(canonical(self.value)))


def observe(exercise: Exercise, answer: Callable, case: Case) -> Observed:
    """Raises OutOfTime, if a time limit is set; whatever else the answer raises is noted."""
    seed_all()
    inputs = case.inputs()
    seed_all()
    named = list(leaves(dict(zip(exercise.arguments, inputs))))
    before = [numbers(leaf) for _, leaf in named]
    printed, observed = io.StringIO(), Observed()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # stderr in a graded cell costs its points
        try:
            value = exercise.call(answer, *inputs)
            observed = Observed(value, gradients=_gradients(value, named))
        except KeyboardInterrupt:
            raise
        except OutOfTime:
            raise
        except BaseException as error:  # sys.exit() among them
            observed = Observed(error=error)
    observed.modified = [
        name
        for (name, leaf), old in zip(named, before)
        if old is not None and not _equal(numbers(leaf), old)
    ]
    observed.printed = printed.getvalue()
    return observed


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
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in this block after that long; on the main thread, the only one that can be
    interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_) -> None:
        raise OutOfTime

    if hasattr(signal, "setitimer"):
        handler = signal.signal(signal.SIGALRM, stop)
        # Again and again, for an answer that catches everything; and somebody else's alarm is due.
        left, every = signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
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
    if isinstance(value, (list, tuple)):
        parts = [canonical(part) for part in value]
        arrays = [numbers(part) for part in parts]
        plain = isinstance(value, list) and bool(parts)  # a tuple is several results, not one
        if plain and all(array is not None and array.shape == () for array in arrays):
            return np.stack(arrays)
        return parts
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
        held = {key: part for key, part in vars(value).items() if not key.startswith("_")}
        parts = {name: type(value).__name__} | {f"{name}.{key}": p for key, p in held.items()}
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
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)


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
        return type(a.error) is type(b.error)
    return same_values(a, b) and same_gradients(a, b) and a.modified == b.modified


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
        return repr(value) if isinstance(value, str) else type(value).__name__
    if array.size > 12:
        return f"{_kind(value)} of shape {tuple(array.shape)}"
    whole = isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool)
    if whole:
        return str(array.astype(bool).tolist())
    return _digits(array.tolist())


def _digits(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_digits, value))}]"
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def _kind(value: Any) -> str:
    return {Tensor: "a tensor", np.ndarray: "an array"}.get(type(value), type(value).__name__)


def where(error: BaseException) -> str:
    """The line of the answer that raised: the last one that is not in a library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and not _ours(f.filename)]
    if not own:
        return ""
    line = (linecache.getline(own[-1].filename, own[-1].lineno) or own[-1].line or "").strip()
    return f"line {own[-1].lineno} of your code: {line}" if line else ""


def _ours(filename: str) -> bool:
    return filename.startswith(LIBRARIES) or "<frozen" in filename


LIBRARIES = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"))
