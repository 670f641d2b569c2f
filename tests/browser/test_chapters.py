"""Every chapter, run from top to bottom as its reader does: nothing is red, and what its summaries
say (cells with the tag nbval-check-output) is what its copy in rendered/ says."""

from pathlib import Path

import nbformat
import pytest
from compared import sanitized
from run_notebooks import normalised

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXPECTED = "takes its place"  # chapter 13 kills a worker, and a line on stderr says so


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_from_top_to_bottom(path, open_notebook, project, screenshots):
    notebook = open_notebook(f"notebooks/{path.name}")
    notebook.run_all(seconds=600)
    assert [text for text in notebook.errors() if EXPECTED not in text] == []
    notebook.save()
    assert said(project / "notebooks" / path.name) == said(ROOT / "rendered" / path.name)
    notebook.screenshot(screenshots / f"{path.stem}.png")


def said(path):
    """Cell by cell, what the summaries show, in words: what is printed, then what is displayed."""
    notebook = nbformat.read(path, as_version=4)
    normalised(notebook)
    found = {}
    for cell in notebook.cells:
        if "nbval-check-output" in cell.metadata.get("tags", []):
            printed = [output.text for output in cell.outputs if output.output_type == "stream"]
            shown = [output.data["text/plain"] for output in cell.outputs if "data" in output]
            found[cell.id] = [sanitized(text) for text in ("".join(printed), *shown)]
    return found
