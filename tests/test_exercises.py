"""The gate: what every exercise of the course has to do, whoever wrote it."""

import ast
import functools
import inspect
import itertools
import re
import time
from pathlib import Path

import nbformat
import pytest
import torch
from codings import CODINGS
from declared import every

import rlx.course
from rlx.course import swap
from rlx.course.checking import examine
from rlx.course.observe import alike
from rlx.course.trials import behaviour, expected

ROOT = Path(__file__).parents[1]
EXERCISES = list(every().values())
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]

every_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
# One of each chapter for `make check`, the others for `make test`.
QUICK = {e.chapter: m for e, m in reversed(MISTAKES)}.values()
every_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"),
    [
        pytest.param(e, m, id=f"{e.name}: {m.name}", marks=[pytest.mark.slow] * (m not in QUICK))
        for e, m in MISTAKES
    ],
)


@every_exercise
def test_the_stub_fails_kindly(exercise):
    def stub(*args, **kwargs):
        raise NotImplementedError("your turn")

    card = examine(exercise, stub)
    assert card.title == "not written yet"
    assert card.kind == "unwritten"


@every_exercise
def test_the_reference_passes(exercise):
    card = examine(exercise, exercise.reference)
    assert card.passed, card


@every_exercise
def test_there_are_three_mistakes_and_three_hints(exercise):
    assert len(exercise.mistakes) >= 3
    assert len(exercise.hints) == 3
    assert all(hint.strip().endswith((".", "`", "?")) for hint in exercise.hints)


@every_mistake
def test_a_mistake_is_named_in_every_coding(exercise, mistake):
    """It is known by what it does: those that `codings` writes in another way as well."""
    for coding in [mistake.coding, *CODINGS[exercise.name, mistake.name]]:
        card = examine(exercise, coding)
        assert (card.kind, card.title) == ("mistake", mistake.name), card
        assert mistake.why in card.sentences


@every_exercise
def test_three_mistakes_are_known_in_two_codings(exercise):
    twice = sum(bool(CODINGS[exercise.name, m.name]) for m in exercise.mistakes)
    assert twice >= 3 or exercise.optional


def test_every_coding_belongs_to_a_mistake():
    declared = {(exercise.name, mistake.name) for exercise, mistake in MISTAKES}
    assert {names for names, codings in CODINGS.items() if codings} <= declared


def does(exercise, coding):
    return behaviour(exercise, coding, False) + behaviour(exercise, coding, True)


@pytest.mark.slow
@every_exercise
def test_no_two_behave_alike(exercise):
    """Neither two mistakes, nor a mistake and the reference."""
    codings = {"the reference": exercise.reference}
    codings |= {mistake.name: mistake.coding for mistake in exercise.mistakes}
    for (one, f), (other, g) in itertools.combinations(codings.items(), 2):
        same = all(map(alike, does(exercise, f), does(exercise, g)))
        assert not same, f"no case tells {one!r} from {other!r}"


@pytest.mark.slow
@every_exercise
def test_nobody_is_compared_with_themselves(exercise):
    """Not even while the wrong answer stands in the library."""
    if exercise.target is None:
        return
    mistake = exercise.mistakes[0]
    with swap(**{exercise.name: mistake.coding}):
        behaviour.cache_clear()
        card = examine(exercise, mistake.coding)
        right = examine(exercise, exercise.reference)
    behaviour.cache_clear()
    assert card.title == mistake.name
    assert right.passed


@pytest.mark.slow
@every_exercise
def test_the_reference_can_stand_in_for_the_library(exercise):
    if exercise.target is None:
        return
    with swap(**{exercise.name: exercise.reference}):
        swapped = exercise.train()
    torch.testing.assert_close(swapped, trained(exercise), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "mistake"),
    [(e, m) for e, m in MISTAKES if CODINGS[e.name, m.name] and e.target],
    ids=lambda one: one.name,
)
def test_a_mistake_in_the_library_changes_what_is_learned(exercise, mistake):
    """So the learner's function is really the one that trains. (A fault that only odd inputs bring
    out may leave a short training as it is; those above all show.)"""
    with swap(**{exercise.name: mistake.coding}):
        try:
            swapped = exercise.train()
        except Exception:
            return  # it cannot even run
    assert not torch.allclose(swapped, trained(exercise), rtol=1e-4, atol=1e-5)


@functools.cache
def trained(exercise):
    return exercise.train()


@pytest.mark.slow
@every_exercise
def test_a_check_takes_seconds(exercise):
    """Of this process's own time, whatever else the machine does; nothing is known beforehand."""
    for coding in (exercise.reference, exercise.mistakes[-1].coding):
        behaviour.cache_clear()
        expected.cache_clear()
        began = time.process_time()
        examine(exercise, coding)
        assert time.process_time() - began < 3


# ---------------------------------------------------------------------- notebooks


def checks(path):
    """Names that a solutions notebook checks, and the sources of its cells."""
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    names = {
        node.args[0].id
        for source in cells
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "check"
        and isinstance(node.args[0], ast.Name)
    }
    return names, cells


def solutions():
    return sorted(ROOT.glob("solutions/*/*.ipynb"))


def test_every_exercise_is_in_the_notebook_of_its_chapter():
    found = {path.stem[:2]: checks(path)[0] for path in solutions()}
    for exercise in EXERCISES:
        assert exercise.name in found.get(exercise.chapter, ()), exercise.name


@pytest.mark.parametrize("path", solutions(), ids=lambda path: path.stem)
def test_a_notebook_defines_what_it_checks_with_the_reference_s_arguments(path):
    names, cells = checks(path)
    for name in names:
        reference = every()[name].reference
        defined = [
            node
            for source in cells
            for node in ast.parse(source).body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
        ]
        assert defined, f"{path.stem} checks {name} and does not define it"
        if isinstance(defined[0], ast.FunctionDef):
            own = [argument.arg for argument in defined[0].args.args]
            theirs = list(inspect.signature(reference).parameters)
            assert own == theirs[: len(own)], name


@pytest.mark.slow
@pytest.mark.parametrize("path", solutions(), ids=lambda path: path.stem)
def test_a_notebook_imports_what_its_texts_and_cards_tell_a_learner_to_call(path):
    handed_out = nbformat.read(ROOT / "exercises" / path.parent.name / path.name, as_version=4)
    texts = [cell.source for cell in handed_out.cells if cell.cell_type == "markdown"]
    for name in checks(path)[0]:
        texts.append(str(examine(every()[name], lambda *inputs: None)))  # a card that fails
    called = rf"(?<![\w.])({'|'.join(rlx.course.__all__)})\("
    told = set(re.findall(called, "\n".join(texts)))
    imported = {
        alias.asname or alias.name
        for cell in handed_out.cells
        if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert "hint" in told
    assert told <= imported
