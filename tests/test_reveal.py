"""An exercise asks for what its chapter has not written: nobody passes by pasting from there."""

import ast
from pathlib import Path

import nbformat
import pytest
from declared import statements

from rlx.course.checking import passes
from rlx.course.exercise import load

CHAPTERS = Path(__file__).parents[1] / "notebooks"

# Those whose chapter shows the whole answer, and asks for it before. Let it become shorter.
REVEALED = {
    "discounted_return",
    "discounted_returns",
    "log_prob",
    "entropy",
    "sample",
    "policy_gradient_loss",
    "gae",
    "epsilon_greedy",
    "diagnose",
    "spawn_seeds",
    "valid_rows",
    "average_gradients",
    "staleness",
    "expected_score",
    "elo_update",
    "both_sides",
    "pool_weights",
    "snapshot",
}


def written(chapter: str) -> dict:
    """What a chapter defines, by name: with its imports, and its other functions and classes."""
    (path,) = CHAPTERS.glob(f"{chapter}_*.ipynb")
    names: dict = {}
    for node in statements(path):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            exec(ast.unparse(node), names)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            node.decorator_list = []
            source = "from __future__ import annotations\n" + ast.unparse(node)
            try:
                exec(source, names)
            except NameError:  # a base class that a cell makes
                continue
    return names


REQUIRED = [exercise for exercise in load().values() if not exercise.optional]


@pytest.mark.slow
@pytest.mark.parametrize("exercise", REQUIRED, ids=lambda exercise: exercise.name)
def test_no_answer_can_be_pasted_from_the_chapter(exercise):
    there = written(exercise.chapter)
    if exercise.name not in there or exercise.name in REVEALED:
        return
    assert not passes(exercise, there[exercise.name])


@pytest.mark.parametrize("name", sorted(REVEALED))
def test_before_an_answer_is_shown_the_chapter_asks_for_it(name):
    (path,) = CHAPTERS.glob(f"{load()[name].chapter}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    shown = next(k for k, cell in enumerate(cells) if f"\ndef {name}(" in "\n" + cell.source)
    *_, last = cells[shown - 1].source.split("\n\n")
    assert last.startswith("*Yours first:*")
    assert f"`{name}`" in last


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REVEALED))
def test_the_list_of_revealed_ones_is_not_longer_than_it_has_to_be(name):
    there = written(load()[name].chapter)
    assert passes(load()[name], there[name])
