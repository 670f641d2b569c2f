"""An answer that is judged in another process than the one in which it runs."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from grading import bare
from torch.distributions import Categorical, Normal

import rlx
from rlx.course.afar import Afar, Refused, pack, serve, unpack
from rlx.course.checking import examine
from rlx.course.exercise import edited, find, load
from rlx.course.values import leaves
from rlx.rollout import Rollout

load()


@pytest.fixture
def afar(tmp_path):
    """The answer as another process would have it: what travels is text."""

    def make(answer, written=None):
        def ask(request, exercise):
            path = tmp_path / "answer.json"
            serve({"mine": answer}, request, str(path))
            return written if written is not None else path.read_text()

        return Afar("mine", ask, "its source")

    return make


def by_hand(exercise):
    """The right answer, as somebody has typed it: other code than the library's."""
    return edited(exercise.reference)


NAMES = ["normalize", "gaussian", "run_episode", "HideObservation", "make_act", "influence"]


@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_is_right_afar(name, afar):
    card = examine(find(name), afar(by_hand(find(name))))
    assert card.passed, card
    assert dict(card.sources)["yours"] == "its source"


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_answer_gets_the_same_card(name, afar):
    """To the letter, the simplest case that shows it included."""
    exercise = find(name)
    for mistake in exercise.mistakes[:2]:
        assert str(examine(exercise, afar(mistake.coding))) == str(
            examine(exercise, mistake.coding)
        )


WRONG = {
    "a list": lambda x: x.tolist(),
    "nothing": lambda x: None,
    "an error": lambda x: 1 / 0,
    "another dtype": lambda x: x.double(),
    "cut off": lambda x: x.detach(),
    "an object": lambda x: object(),
    "a distribution": lambda x: Normal(x, 1.0),
    "in place": lambda x: x.add_(1),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_mistake_of_ours_is_found_afar(name, afar):
    exercise, answer = find("normalize"), WRONG[name]
    assert str(examine(exercise, afar(answer))) == str(examine(exercise, answer))


@pytest.mark.parametrize("name", ["normalize", "run_episode", "policy_gradient_loss", "make_act"])
def test_the_courses_own_answer_is_refused(name, afar):
    with pytest.raises(Refused, match="it is not your own"):
        examine(find(name), afar(find(name).reference))


def test_to_call_the_librarys_is_refused_too(afar):
    own = rlx.functional.normalize
    for answer in (own, lambda x: own(x)):
        with pytest.raises(Refused, match="it is not your own"):
            examine(find("normalize"), afar(answer))


@pytest.mark.parametrize(
    "written",
    ids=range(7),
    argvalues=[
        "",
        "[]",
        "{}",
        '{"observed": []}',
        '{"observed": 7}',
        '{"observed": [{"value": 1}]}',
        "[" * 100_000,
    ],
)
def test_what_is_not_as_serve_writes_it_is_refused(written, afar):
    with pytest.raises(Refused, match="could not be written down"):
        examine(find("normalize"), afar(lambda x: x, written))


@pytest.mark.parametrize(
    "packed",
    ids=range(5),
    argvalues=[
        {"tensor": "float32", "dtype": "float32", "shape": [3], "data": "", "grad": False},
        {"tensor": "object", "dtype": "float32", "shape": [0], "data": "", "grad": False},
        {"tensor": "float32", "dtype": "load", "shape": [0], "data": "", "grad": False},
        {"array": "O", "shape": [0], "data": ""},
        {"array": "float64", "shape": [10**9, 10**9], "data": ""},
    ],
)
def test_numbers_that_are_none_are_refused(packed):
    with pytest.raises(ValueError, match=r"as large as it says|no dtype"):
        unpack(packed)


VALUES = {
    "a number": 2.5,
    "infinite": math.inf,
    "words": "a\nb",
    "nothing": None,
    "flag": True,
    "scalar": np.float32(1.5),
    "array": np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::2],
    "tensor": torch.tensor([1.0, math.nan], requires_grad=True),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
    "nested": {"a": [1, (2.0, torch.ones(2, dtype=torch.bool))], "b": ()},
    "distribution": Categorical(probs=torch.tensor([0.25, 0.75])),
    "two parts": Normal(torch.zeros(2), torch.ones(2)),
    "module": torch.nn.Linear(2, 1),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_arrives_as_it_was(name):
    value = VALUES[name]
    arrived = unpack(json.loads(json.dumps(pack(value))))
    assert type(arrived).__name__ == type(value).__name__
    ours, theirs = list(leaves(value)), list(leaves(arrived))
    assert [key for key, _ in ours] == [key for key, _ in theirs]
    for (_, a), (_, b) in zip(ours, theirs):
        assert type(a) is type(b) or isinstance(a, torch.nn.Parameter)
        if isinstance(a, torch.Tensor):
            assert (a.dtype, a.requires_grad) == (b.dtype, b.requires_grad)
            assert torch.equal(torch.nan_to_num(a, 7.0), torch.nan_to_num(b, 7.0))
        else:
            assert np.array_equal(a, b)


def test_a_table_arrives_with_its_columns():
    agent = rlx.Agent(rlx.envs.make("Reach-v0"), seed=0)
    rollout = agent(rlx.networks.MLPPolicy(agent, hidden=(4,))).episodes(2, 3)
    arrived = unpack(json.loads(json.dumps(pack(rollout))))
    assert isinstance(arrived, Rollout)
    assert [key for key, _ in leaves(arrived)] == [key for key, _ in leaves(rollout)]


@pytest.mark.parametrize("name", ["gaussian", "categorical", "baselined_loss", "elo_update"])
def test_what_an_answer_may_use_of_the_library_is_not_refused(name, afar):
    """A distribution's class, the loss of the chapter before, the function of another exercise."""
    assert examine(find(name), afar(by_hand(find(name)))).passed


@pytest.mark.slow
def test_the_copy_that_submissions_run_with_has_no_answers(tmp_path):
    """All exercises are declared in it, without mistakes; the references that are not the library's
    own do nothing but raise."""
    bare.write(Path(rlx.__file__).parent, tmp_path)
    code = """
import inspect, json, rlx
from rlx.course.exercise import load
told = {}
for name, exercise in load().items():
    lines = inspect.getsource(exercise.reference)
    own = exercise.reference.__module__.startswith("rlx.course.exercises")
    told[name] = [len(exercise.mistakes), own and "has no answer of its own" not in lines]
print(rlx.__file__)
print(json.dumps(told))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, told = done.stdout.strip().split("\n")
    assert where.startswith(str(tmp_path))
    assert json.loads(told) == {name: [0, False] for name in load()}


HIDES = """
import contextlib, ctypes, functools, inspect, sys, threading, types
import torch
import rlx
from rlx.course import afar, guard
from rlx.course.checking import examine
from rlx.course.exercise import edited, find, load

load()
mine = edited(find("normalize").reference)
afar.prepare()
theirs = rlx.functional.normalize
copied = types.FunctionType(theirs.__code__, theirs.__globals__, "f", theirs.__defaults__)
renamed = types.FunctionType(
    theirs.__code__.replace(co_name="x"), theirs.__globals__, "f", theirs.__defaults__
)
forged = {}
exec(compile("def f(x):\\n    return n(x)", rlx.functional.__file__, "exec"), {"n": theirs}, forged)

def without_profile(x):
    sys.setprofile(None)
    return theirs(x)

def in_a_thread(x):
    found = []
    thread = threading.Thread(target=lambda: found.append(theirs(x)))
    thread.start()
    thread.join()
    return found[0]

def by_ctypes(x):
    sys.setprofile(None)
    call = ctypes.pythonapi.PyObject_CallOneArg
    call.restype, call.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.py_object]
    return call(theirs, x)

def swallows(x):
    sys.setprofile(None)
    try:
        return theirs(x)
    except BaseException:
        guard.asked.clear()
        return x

def of_the_code(x):
    sys.setprofile(None)
    return copied(x)

def of_a_renamed_code(x):
    sys.setprofile(None)
    return renamed(x)

def under_a_forged_name(x):
    sys.setprofile(None)
    return forged["f"](x)

def decorated(x):
    sys.setprofile(None)
    return torch.enable_grad()(theirs)(x)

def to_a_library_that_calls(x):
    sys.setprofile(None)
    return next(map(theirs, [x]))

def of_another(x):  # it may be used
    flat = x.detach().flatten()
    return mine(x) + 0 * rlx.functional.huber_loss(flat, flat).sum()

def judged(answer, name="normalize"):
    def ask(request, exercise):
        afar.serve({"mine": answer}, request, sys.argv[1])
        return open(sys.argv[1]).read()
    try:
        return examine(find(name), afar.Afar("mine", ask)).kind
    except afar.Refused as refused:
        return refused.title

for answer in (
    theirs, functools.partial(theirs), copied, renamed, without_profile, in_a_thread, by_ctypes,
    swallows, of_the_code, of_a_renamed_code, under_a_forged_name, decorated,
    to_a_library_that_calls,
):
    assert judged(answer) not in ("passed",), answer
    if answer is not swallows:
        assert judged(answer) == "it is not your own", answer
assert judged(mine) == judged(of_another) == "passed"

# A function under a decorator, by its `__wrapped__` too.
vtrace = rlx.functional.vtrace
for answer in (vtrace, vtrace.__wrapped__, lambda *x: vtrace.__wrapped__(*x)):
    assert judged(answer, "vtrace") == "it is not your own"

# Nothing is refused outside.
assert abs(theirs(torch.tensor([1.0, 3.0]))).sum() > 1.9
"""


def test_the_librarys_earns_nothing_however_the_call_is_hidden(tmp_path):
    """In a process of its own: what is put into the library's functions stays there."""
    done = subprocess.run(
        [sys.executable, "-c", HIDES, tmp_path / "answer.json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


EVERYONE = """
import sys
from rlx.course import afar
from rlx.course.checking import examine
from rlx.course.exercise import EXERCISES, edited, load

load()
own = {name: edited(exercise.reference) for name, exercise in EXERCISES.items()}
afar.prepare()
for name, exercise in EXERCISES.items():
    def ask(request, _):
        afar.serve({"mine": own[name]}, request, sys.argv[1])
        return open(sys.argv[1]).read()
    card = examine(exercise, afar.Afar("mine", ask))
    assert card.passed, card
"""


@pytest.mark.slow
def test_no_answer_of_ones_own_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", EVERYONE, tmp_path / "answer.json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
