"""exercises/ is what solutions/ gives, and the solutions are fit for it."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from declared import every
from make_exercises import notebooks, stale

ROOT = Path(__file__).parents[1]
SOLUTIONS, EXERCISES = ROOT / "solutions", ROOT / "exercises"
CHAPTERS = list(notebooks(SOLUTIONS))

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


def code(folder, chapter):
    cells = nbformat.read(folder / chapter, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def nbgrader(cell, key):
    return cell.metadata.get("nbgrader", {}).get(key)


def regions(kind, source):
    return re.findall(rf"### BEGIN {kind}\n(.*?)\n *### END {kind}", source, re.DOTALL)


def test_exercises_are_what_the_solutions_give():
    assert not list(stale(SOLUTIONS, EXERCISES)), "stale in exercises/: run `make exercises`"


def test_a_chapter_is_a_notebook_in_a_folder_of_its_name():
    found = [p for p in SOLUTIONS.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
    assert sorted(str(path.relative_to(SOLUTIONS)) for path in found) == CHAPTERS
    assert all(Path(chapter).parent.name == Path(chapter).stem for chapter in CHAPTERS)


@each_chapter
def test_every_exercise_is_checked_for_points(chapter):
    cells = [cell for cell in code(SOLUTIONS, chapter) if "nbgrader" in cell.metadata]
    solutions = [nbgrader(cell, "grade_id") for cell in cells if nbgrader(cell, "solution")]
    graded = [cell for cell in cells if nbgrader(cell, "grade")]
    assert [nbgrader(cell, "grade_id") for cell in graded] == [f"check-{s}" for s in solutions]
    assert solutions
    for cell in graded:
        assert nbgrader(cell, "locked")
        exercise = every()[nbgrader(cell, "grade_id").removeprefix("check-")]
        # Unwritten, an optional one passes: not if it is worth points.
        asked = not exercise.optional or "required=True" in cell.source
        assert (nbgrader(cell, "points") > 0) == asked


@each_chapter
def test_progress_lists_exercises_in_the_order_of_the_notebook(chapter):
    text = "\n".join(cell.source for cell in code(SOLUTIONS, chapter))
    names = re.findall(r"^check\((\w+)\)", text, re.MULTILINE)
    assert names == [name for name, one in every().items() if one.chapter == chapter[:2]]


@each_chapter
def test_an_exercise_has_hidden_tests(chapter):
    graded = [cell for cell in code(SOLUTIONS, chapter) if nbgrader(cell, "grade")]
    assert any(regions("HIDDEN TESTS", cell.source) for cell in graded)


@each_chapter
def test_the_unsolved_notebook_is_python(chapter):
    for cell in code(EXERCISES, chapter):
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(cell.source, f"{chapter}, cell {cell.id}", "exec", flags)


@each_chapter
def test_no_answer_is_left(chapter):
    unsolved = code(EXERCISES, chapter)
    assert not any(cell.outputs or cell.execution_count for cell in unsolved)
    text = "\n".join(cell.source for cell in unsolved)
    for cell in code(SOLUTIONS, chapter):
        answers = regions("SOLUTION", cell.source)
        assert bool(answers) == bool(nbgrader(cell, "solution"))
        for secret in answers + regions("HIDDEN TESTS", cell.source):
            assert secret not in text
    assert "### BEGIN" not in text
    assert "### END" not in text


def compared(cell):
    """The outputs of a cell that nbval compares, if there is anything in them."""
    from nbval.plugin import find_comment_markers, find_metadata_tags

    options = {"check": True, "skip": False}
    options |= dict(find_metadata_tags(cell.metadata)) | dict(find_comment_markers(cell.source))
    if not options["check"] or options["skip"] or cell.execution_count is None:
        return []
    return [output for output in cell.outputs if content(output).strip()]


def content(output):
    if output.output_type == "stream":
        return output.text if output.name == "stdout" else ""  # conftest.py: never stderr
    if output.output_type == "error":
        return output.ename
    unseen = {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"}
    return "".join(str(data) for kind, data in output.data.items() if kind not in unseen)


@each_chapter
def test_every_exercise_has_an_output_that_is_compared(chapter):
    # From its cell to that of the next: what shows that the saved solution does what it says.
    exercise, counts = None, {}
    for cell in code(SOLUTIONS, chapter):
        if nbgrader(cell, "solution"):
            exercise = nbgrader(cell, "grade_id")
            counts[exercise] = 0
        if exercise:
            counts[exercise] += len(compared(cell))
    assert all(counts.values()), f"compared outputs: {counts}"


def test_what_nbval_does_not_compare_does_not_count():
    def cell(text="1\n", count=1, tags=(), name="stdout"):
        output = nbformat.v4.new_output("stream", text=text, name=name)
        return nbformat.v4.new_code_cell(
            "f()", execution_count=count, metadata={"tags": list(tags)}, outputs=[output]
        )

    assert len(compared(cell())) == 1
    assert not compared(cell(text=" \n"))
    assert not compared(cell(count=None))
    assert not compared(cell(name="stderr"))
    assert not compared(cell(tags=["nbval-ignore-output"]))
    assert not compared(cell(tags=["nbval-skip"]))
    picture = nbformat.v4.new_output("display_data", data={"image/png": "aGk="})
    assert not compared(nbformat.v4.new_code_cell("f()", execution_count=1, outputs=[picture]))
