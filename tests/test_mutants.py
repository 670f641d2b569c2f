"""Nothing gets past: every small fault that any input of the contract can show is refused."""

import ast
import contextlib
import functools

import pytest
from declared import SOLUTIONS, every, statements
from mutants import mutants

from rlx.course.checking import passes
from rlx.course.observe import OutOfTime, observe, one_thread, right, time_limit

FRESH = 120  # further inputs, on which what was accepted has to be right


def solution(exercise) -> tuple[str, dict]:
    """The source of the learner's function, as in the solved notebook, and what it may use."""
    (path,) = SOLUTIONS.glob(f"{exercise.chapter}_*/*.ipynb")
    names, source = {}, None
    for node in statements(path):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            exec(ast.unparse(node), names)
        elif getattr(node, "name", None) == exercise.name:
            source = ast.unparse(node)
    return source, names


@pytest.mark.slow
@pytest.mark.parametrize("exercise", every().values(), ids=lambda exercise: exercise.name)
def test_every_fault_that_shows_is_refused(exercise, monkeypatch):
    for folder in SOLUTIONS.glob(f"{exercise.chapter}_*"):  # a notebook imports what lies beside it
        monkeypatch.syspath_prepend(folder)
    source, names = solution(exercise)
    assert passes(exercise, made(source, names, exercise.name))
    accepted, tried = [], mutants(source)
    monkeypatch.setattr(exercise, "time_limit", 2.0)
    for text in tried:
        with contextlib.suppress(Exception):  # it cannot even be defined
            answer = made(text, names, exercise.name)
            if passes(exercise, answer):
                accepted.append((text, answer))
    assert len(tried) - len(accepted) >= 10
    for text, answer in accepted:  # then no input may tell it from the right answer
        assert same_everywhere(exercise, answer), f"accepted, and wrong:\n{text}"


def made(source: str, names: dict, name: str):
    scope = dict(names)
    exec(source, scope)
    return scope[name]


@functools.cache
def fresh(exercise) -> list:
    cases = exercise.generated(seed=1, count=FRESH)
    return [(case, observe(exercise, exercise.reference, case)) for case in cases]


def same_everywhere(exercise, answer) -> bool:
    with one_thread():
        try:
            with time_limit(10.0):
                return all(
                    right(observe(exercise, answer, case), wanted)
                    for case, wanted in fresh(exercise)
                )
        except OutOfTime:
            return False
