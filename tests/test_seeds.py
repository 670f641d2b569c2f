"""Another year's numbers: in every chapter a question that last year's answer does not answer."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

from rlx.course.checking import examine
from rlx.course.exercise import load
from rlx.course.seeds import NUMBERS, this_year, use_seed

ROOT = Path(__file__).parents[1]
SEED = 7
sys.path.insert(0, str(ROOT / "tools"))
from make_exercises import answered, numbered, released  # noqa: E402

load()
ASKED = sorted(NUMBERS)


def notebook(name):
    (path,) = ROOT.glob(f"solutions/{load()[name].chapter}_*/*.ipynb")
    return nbformat.read(path, as_version=4)


def answer(name, cells):
    """The solution to an exercise, as these cells write it."""
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    imports = next(one for one in code if "import" in one)
    written = next(one for one in code if f"def {name}(" in one)
    scope = {}
    exec(re.sub(r"^%.*$", "", imports, flags=re.MULTILINE), scope)
    exec(written, scope)
    return scope[name]


@pytest.fixture
def seeded():
    use_seed(SEED)
    yield
    use_seed(0)


def test_every_chapter_asks_for_a_number():
    chapters = {load()[name].chapter for name in ASKED}
    assert chapters == {f"{k:02}" for k in range(1, 15)}


@pytest.mark.parametrize("name", ASKED)
def test_last_years_answer_is_not_this_years(name, seeded):
    exercise = load()[name]
    published, now = answer(name, notebook(name).cells), numbered(notebook(name), SEED)
    card = examine(exercise, answer(name, now.cells))
    assert card.passed, card
    card = examine(exercise, published)
    assert not card.passed
    assert card.title == "it answers another year's question"
    # And that of the year before, which is not the published one either.
    before = answer(name, numbered(notebook(name), SEED - 1).cells)
    assert NUMBERS[name].of(SEED - 1) not in (NUMBERS[name].of(SEED), NUMBERS[name].published)
    assert examine(exercise, before).title == "it answers another year's question"
    use_seed(0)
    assert examine(exercise, published).passed


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_every_number_that_can_be_drawn_has_its_answer(name):
    exercise, number = load()[name], NUMBERS[name]
    for seed in range(1, len(number.others) + 1):
        use_seed(seed)
        try:
            assert examine(exercise, answer(name, numbered(notebook(name), seed).cells)).passed
        finally:
            use_seed(0)


@pytest.mark.parametrize("name", ASKED)
def test_its_mistakes_are_no_right_answers(name, seeded):
    exercise = load()[name]
    for mistake in exercise.mistakes:
        card = examine(exercise, this_year(exercise, mistake.coding))
        assert card.title == mistake.name


@pytest.mark.parametrize("name", ASKED)
def test_the_students_notebook_says_the_number(name):
    mine, published = (nbformat.reads(released(notebook(name), k), 4) for k in (SEED, 0))
    mine.cells = [cell for cell in mine.cells if cell.id != "seed"]
    changed = {
        new.id: (new.source, old.source)
        for new, old in zip(mine.cells, published.cells, strict=True)
        if new.source != old.source
    }
    stub = next(cell.id for cell in mine.cells if f"def {name}(" in cell.source)
    asked = mine.cells[[cell.id for cell in mine.cells].index(stub) - 1].id
    number = f"{NUMBERS[name].of(SEED)}"
    assert number in changed[asked][0]
    if NUMBERS[name].says:  # `priorities` has its number in the formula only
        assert number in changed[stub][0]
    assert not any("### BEGIN SOLUTION" in cell.source for cell in mine.cells)


def test_the_teacher_gets_the_answers_of_the_year():
    text = answered(notebook("leave_one_out"), SEED)
    cells = nbformat.reads(text, 4).cells
    number = NUMBERS["leave_one_out"].of(SEED)
    assert any(f"torch.full_like(returns, {number})" in cell.source for cell in cells)
    assert not any(cell.get("outputs") for cell in cells)
    assert any("use_seed(7)" in cell.source for cell in cells)
