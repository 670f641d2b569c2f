"""Call an answer on a case's inputs, and write down everything that it did."""

from __future__ import annotations

import contextlib
import io
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from rlx.course.exercise import Case, Exercise
from rlx.course.values import canonical, derivatives, equal, leaves, numbers


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


class Elsewhere:
    """An answer that this process does not hold: `rlx.course.afar` asks another one what it does.

    It is passed where an answer is, and is never called."""

    text = ""  # its source

    def observe(self, exercise: Exercise, cases: Sequence[Case]) -> list[Observed]:
        """What it does with each of the cases, one after the other."""
        raise NotImplementedError


def observe_all(
    exercise: Exercise, answer: Callable | Elsewhere, cases: Sequence[Case]
) -> list[Observed]:
    """`observe` of each case. Of an answer elsewhere, all are asked for at once."""
    if isinstance(answer, Elsewhere):
        return answer.observe(exercise, cases)
    return [observe(exercise, answer, case) for case in cases]


def held_inputs(exercise: Exercise, case: Case) -> dict[str, Any]:
    """A case's inputs by name, as `Observed.inputs` has them."""
    seed_all()
    return {k: _held(value) for k, value in zip(exercise.arguments, case.inputs())}


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
                gradients = derivatives(value, named)
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
    """The CPU's generators: inputs live there. `torch.manual_seed` seeds the accelerators as well;
    where one was not used yet it keeps a formatted stack for each call, a hundred times as slow."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)


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
    return equal(x, y)


def same_gradients(a: Observed, b: Observed) -> bool:
    return a.gradients.keys() == b.gradients.keys() and all(
        equal(g, b.gradients[name]) for name, g in a.gradients.items()
    )
