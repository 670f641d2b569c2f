"""What is saved in the notebooks. That they run and print what they say is nbval's to check."""

import re
from pathlib import Path

import nbformat
import pytest
from run_notebooks import emptied, normalised

ROOT = Path(__file__).parents[1]


def found(*folders):
    paths = sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    )
    return pytest.mark.parametrize("path", paths, ids=[str(p.relative_to(ROOT)) for p in paths])


executed = found("rendered", "solutions")


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@executed
def test_no_cell_saved_an_error(path):
    for cell in code_cells(path):
        if "raises-exception" not in cell.metadata.get("tags", []):
            errors = [output for output in cell.outputs if output.output_type == "error"]
            assert not errors, f"cell {cell.id} saved {errors[0].ename}: {errors[0].evalue}"


@executed
def test_it_was_run_from_top_to_bottom(path):
    # A null count is worse than untidy: nbval does not compare the outputs of such a cell.
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@executed
def test_it_asks_for_the_plain_python_kernel(path):
    assert nbformat.read(path, as_version=4).metadata.kernelspec.name == "python3"


@executed
def test_cells_have_ids_of_their_own(path):
    text = path.read_text(encoding="utf-8")  # nbformat would invent the missing ones
    ids = re.findall(r'^   "id": "([\w-]{1,64})",$', text, re.MULTILINE)
    assert len(ids) == len(set(ids)) == len(nbformat.read(path, as_version=4).cells)


@executed
def test_it_was_saved_tidily(path):
    text = path.read_text(encoding="utf-8")
    tidy = normalised(nbformat.reads(text, as_version=4))
    assert text == tidy, f"python tools/run_notebooks.py --no-run {path.relative_to(ROOT)}"


@executed
def test_a_time_is_beside_every_training_cell(path):
    # `live` and `curves` print the seconds that were spent; elsewhere the code says what to expect.
    for cell in code_cells(path):
        if "rlx.train(" in cell.source and "curves(" not in cell.source:
            assert re.search(r"# .*\b\d+ s\b", cell.source), (
                f"cell {cell.id}: how long is the wait?"
            )


@executed
def test_what_it_shows_is_compared(path):
    # Solutions are compared whole, chapters only where they say so: in their summaries.
    tag = "nbval-check-output"
    checked = [
        cell
        for cell in code_cells(path)
        if cell.outputs
        and (path.is_relative_to(ROOT / "solutions") or tag in cell.metadata.get("tags", []))
    ]
    assert checked, f"no cell with outputs has the tag {tag}"


@found("notebooks", "rendered")
def test_a_chapter_has_no_outputs_and_an_executed_copy(path):
    # A reader predicts first; and in a notebook that was never run here JupyterLab does not trust
    # what was saved: a player's button would be drawn, and dead.
    chapter, copy = (ROOT / folder / path.name for folder in ("notebooks", "rendered"))
    notebook = nbformat.read(copy, as_version=4)
    assert chapter.read_text(encoding="utf-8") == emptied(notebook), (
        f"python tools/run_notebooks.py --no-run notebooks/{path.name}"
    )
