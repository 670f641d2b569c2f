"""An answer that runs in another process: what it does there, as data that is judged here.

A grader must not believe the process in which a learner's code ran: everything in it may have been
replaced, `check` too. So that process only calls the answer and writes down what it did (`serve`);
another one, which never ran a line of the learner's, reads that (`Afar`) and judges it as `check`
would. What travels is JSON: reading it executes nothing.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from rlx.course import guard
from rlx.course.exercise import EXERCISES, Case, Exercise, Wrong, load
from rlx.course.observe import (
    Elsewhere,
    Observed,
    OutOfTime,
    held_inputs,
    observe,
    one_thread,
    random_numbers_kept,
    time_limit,
)
from rlx.course.values import leaves
from rlx.course.words import LIBRARIES, unwritten, where
from rlx.rollout import Rollout

DEEPEST, LONGEST = 12, 100_000  # of what is written down: nested in each other; entries, characters


class Garbled(ValueError):
    """What came from the other process is not what `serve` writes."""


class Refused(Exception):
    """There is nothing to judge: `title` and `sentence` say why, as on a card."""

    def __init__(self, title: str, sentence: str) -> None:
        super().__init__(title)
        self.title, self.sentence = title, sentence


# ------------------------------------------------------------------ where the answer is


def prepare() -> None:
    """In the process of a submission, before anything of it has run."""
    guard.install(load())


def serve(namespace: dict[str, Any], request: str, path: str) -> None:
    """Call the answer on cases as asked, and write to `path` what it did, as JSON.

    `request`: JSON of the exercise's name, the answer's name in the namespace, and the cases: an
    index for one made by hand, a list of choices for a generated one."""
    asked = json.loads(request)
    load()
    Path(path).write_text(json.dumps(_served(namespace, asked)), encoding="utf-8")


def _served(namespace: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    exercise = EXERCISES[asked["exercise"]]
    if asked["name"] not in namespace:
        return {"refused": ["it is not there", f"Nothing is called `{asked['name']}` here."]}
    answer = namespace[asked["name"]]
    if not callable(answer):
        what = "neither a function nor a class"
        return {"refused": [f"it is {what}", f"`{asked['name']}` is a {type(answer).__name__}."]}
    given = {id(one.__code__): name for name, one in guard.asked_for(exercise)}
    codes = (id(one.__code__) for one in guard.functions(answer, inherited=True))
    if name := next((given[one] for one in codes if one in given), None):
        return {"borrowed": name}
    cases = [
        exercise.cases[which] if isinstance(which, int) else exercise.made_from(which)
        for which in asked["cases"]
    ]
    with (
        random_numbers_kept(),
        one_thread(),
        guard.refusing(exercise) as asked_for,
        _watched(given) as called,
    ):
        try:
            with time_limit(exercise.time_limit):
                seen = [observe(exercise, answer, case) for case in cases]
        except OutOfTime:
            return {"out_of_time": True}
    if asked_for or called:
        return {"borrowed": [*asked_for, *called][0]}
    return {"observed": [pack_observed(one) for one in seen]}


class _watched:
    """Notes which of these codes the answer calls; not those that the library calls for itself."""

    def __init__(self, given: dict[int, str]) -> None:
        self.given, self.called = given, []

    def __enter__(self) -> list[str]:
        sys.setprofile(self.notice)
        return self.called

    def __exit__(self, *_) -> None:
        sys.setprofile(None)

    def notice(self, frame: types.FrameType, event: str, _: Any) -> None:
        if event != "call" or id(frame.f_code) not in self.given:
            return
        name, caller = self.given[id(frame.f_code)], frame.f_back
        if caller and not _library(caller.f_code.co_filename):
            self.called.append(name)


def _library(filename: str) -> bool:
    return filename.startswith(LIBRARIES) or "site-packages" in filename or "<frozen" in filename


# ------------------------------------------------------------------ written down


def pack_observed(seen: Observed) -> dict[str, Any]:
    """All that an answer did with one case, but for its inputs, which the reader knows."""
    return {
        "value": pack(seen.value),
        "leaves": None if seen.kept else [[k, pack(leaf)] for k, leaf in seen.leaves.items()],
        "raw": [pack(one) for one in seen.raw[:200]],
        "error": _pack_error(seen.error),
        "gradients": [[name, pack(g)] for name, g in seen.gradients.items()],
        "gradient_error": _pack_error(seen.gradient_error),
        "modified": seen.modified,
        "printed": seen.printed[:2000],
    }


def pack(value: Any, depth: int = 0) -> Any:
    """A value as JSON, types included. Of what has no numbers only its class's name is kept."""
    name = type(value).__name__[:200]
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, str):
        return {"text": value[:LONGEST]}
    if depth > DEEPEST:
        return {"other": name}
    part = functools.partial(pack, depth=depth + 1)
    if isinstance(value, Tensor):
        return _pack_tensor(value)
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in "biuf":
            return {"other": name}
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: str(value.dtype), **_pack_numbers(np.asarray(value))}
    if isinstance(value, dict):
        return {"dict": [[str(key)[:200], part(one)] for key, one in [*value.items()][:LONGEST]]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [part(one) for one in value[:LONGEST]]}
    for kind, base in STANDING_FOR.items():
        if isinstance(value, base):
            try:
                parts = [[key, part(leaf)] for key, leaf in leaves(value) if key != "class"]
            except Exception:
                break
            return {kind: name, "parts": parts}
    if isinstance(value, type):
        return {"type": value.__name__[:200]}
    if isinstance(value, types.FunctionType):
        return {"function": name}
    return {"callable" if callable(value) else "other": name}


STANDING_FOR = {"distribution": Distribution, "rollout": Rollout, "module": torch.nn.Module}


def _pack_numbers(array: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"shape": list(array.shape), "data": data}


def _pack_tensor(value: Tensor) -> dict[str, Any]:
    try:
        plain = value.detach().cpu()
        if plain.dtype == torch.bfloat16:
            plain = plain.float()
        array = plain.numpy()
    except (RuntimeError, TypeError, NotImplementedError):  # sparse, quantized, on no device
        return {"other": type(value).__name__[:200]}
    return {
        "tensor": str(array.dtype),
        "dtype": str(value.dtype).removeprefix("torch."),
        "device": str(value.device),
        "grad": value.requires_grad,
        **_pack_numbers(array),
    }


def _pack_error(error: BaseException | None) -> dict[str, Any] | None:
    if error is None:
        return None
    try:
        text = str(error)
    except Exception:
        text = ""
    return {
        "name": type(error).__name__[:200],
        "text": text[:2000],
        "where": where(error)[:500],
        "unwritten": unwritten(error),
        "wrong": [error.title, error.sentence] if isinstance(error, Wrong) else None,
    }


# ------------------------------------------------------------------ read again


def unpack_observed(packed: Any, exercise: Exercise, case: Case) -> Observed:
    """Raises Garbled if it is not what `pack_observed` writes."""
    try:
        seen = Observed(
            unpack(packed["value"]),
            [unpack(one) for one in packed["raw"]],
            _unpack_error(packed["error"]),
            {str(name): unpack(g) for name, g in packed["gradients"]},
            _unpack_error(packed["gradient_error"]),
            [str(name) for name in packed["modified"]],
            str(packed["printed"]),
            held_inputs(exercise, case),
        )
        if packed["leaves"] is not None:
            seen.leaves = {str(name): unpack(leaf) for name, leaf in packed["leaves"]}
        if not all(g is None or isinstance(g, np.ndarray) for g in seen.gradients.values()):
            raise Garbled("a gradient that is no array")
        _ = seen.kept  # compares: what cannot be compared is found here
    except Garbled:
        raise
    except Exception as error:
        raise Garbled(f"{type(error).__name__}: {error}") from None
    return seen


def unpack(packed: Any) -> Any:
    """The value, or what stands for it: of the same type, with the same numbers."""
    if packed is None or type(packed) in (bool, int, float):
        return packed
    if "text" in packed:
        return str(packed["text"])
    if "tensor" in packed:
        tensor = torch.from_numpy(_unpack_numbers(packed["tensor"], packed))
        tensor = tensor.to(getattr(torch, _plain(packed["dtype"])))
        return tensor.requires_grad_() if packed["grad"] is True else tensor
    if "array" in packed:
        return _unpack_numbers(packed["array"], packed)
    if "scalar" in packed:
        return _unpack_numbers(packed["scalar"], packed)[()]
    if "dict" in packed:
        return {str(key): unpack(one) for key, one in packed["dict"]}
    if "list" in packed:
        return [unpack(one) for one in packed["list"]]
    if "tuple" in packed:
        return tuple(unpack(one) for one in packed["tuple"])
    for kind in STANDING_FOR:
        if kind in packed:
            parts = {str(key): unpack(leaf) for key, leaf in packed["parts"]}
            return _stand_in(kind, str(packed[kind]), parts)
    if "type" in packed:
        return type(str(packed["type"]), (), {})
    if "function" in packed:
        return lambda *_: None
    if "callable" in packed:
        return _of_no_numbers(str(packed["callable"]), True)()
    return _of_no_numbers(str(packed["other"]), False)()


@functools.lru_cache(1000)
def _of_no_numbers(name: str, calls: bool) -> type:
    """One class for all objects that had one class there."""
    return type(name, (), {"__call__": lambda *_: None} if calls else {})


def _plain(name: str) -> str:
    if not (isinstance(name, str) and isinstance(getattr(torch, name, None), torch.dtype)):
        raise Garbled(f"no dtype: {name!r}")
    return name


def _unpack_numbers(dtype: str, packed: dict[str, Any]) -> np.ndarray:
    kind, shape = np.dtype(dtype), tuple(packed["shape"])
    data = base64.b64decode(packed["data"])
    if kind.kind not in "biuf" or len(shape) > 32 or kind.itemsize * math.prod(shape) != len(data):
        raise Garbled("an array that is not as large as it says")
    return np.frombuffer(data, dtype=kind).reshape(shape).copy()


def _stand_in(kind: str, name: str, parts: dict[str, Any]) -> Any:
    """An object that `leaves` takes for one of that class, with these parts."""
    base = STANDING_FOR[kind]
    if kind == "distribution":
        made = dict.fromkeys(parts)
        members: dict[str, Any] = {"arg_constraints": made, **parts, "__init__": _nothing}
    elif kind == "rollout":
        columns = {key.lstrip("."): one for key, one in parts.items()}
        members = {"lengths": columns.pop("lengths", None), "columns": columns}
        members["__init__"] = _nothing
    else:
        state = {key.lstrip("."): one for key, one in parts.items()}
        members = {"state_dict": lambda self, **_: state}
    return type(name, (base,), {**members, "__repr__": lambda self: name})()


def _nothing(self) -> None:
    """For a stand-in, whose parts belong to its class."""


def _unpack_error(packed: dict[str, Any] | None) -> BaseException | None:
    if packed is None:
        return None
    if packed["wrong"]:
        title, sentence = packed["wrong"]
        return Wrong(str(title), str(sentence))
    error = type(str(packed["name"]), (Exception,), {})(str(packed["text"]))
    error.seen_at, error.unwritten = str(packed["where"]), packed["unwritten"] is True
    return error


# ------------------------------------------------------------------ where it is judged


class Afar(Elsewhere):
    """An answer for `examine` and its helpers: what it does is asked of another process.

    `ask(request)`: lets that process `serve` the request, and returns the text that it wrote.
    Raises OutOfTime, or Refused. `text`: the answer's source, to be shown."""

    def __init__(self, name: str, ask: Callable[[str, Exercise], str], text: str = "") -> None:
        self.name, self.ask, self.text = name, ask, text

    def observe(self, exercise: Exercise, cases: Sequence[Case]) -> list[Observed]:
        which = [
            case.choices if case.choices is not None else exercise.cases.index(case)
            for case in cases
        ]
        asked = {"exercise": exercise.name, "name": self.name, "cases": which}
        try:
            answer = json.loads(self.ask(json.dumps(asked), exercise))
            if answer.get("out_of_time"):
                raise OutOfTime
            if "refused" in answer:
                title, sentence = map(str, answer["refused"])
                raise Refused(title, sentence)
            if "borrowed" in answer:
                raise Refused(
                    "it is not your own",
                    f"It calls what was to be written: {str(answer['borrowed'])[:80]}.",
                )
            packed = answer["observed"]
            if len(packed) != len(cases):
                raise Garbled(f"{len(packed)} cases instead of {len(cases)}")
            return [unpack_observed(*one) for one in zip(packed, [exercise] * len(cases), cases)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refused(
                "what it does could not be written down",
                f"The notebook's process sent something that cannot be read ({error}).",
            ) from None
