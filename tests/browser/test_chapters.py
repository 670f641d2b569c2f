"""Every chapter, run from top to bottom as its reader does: nothing is red, and what its summaries
say (cells with the tag nbval-check-output) is what its copy in rendered/ says."""

import os
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from compared import said
from jupyter_page import NotebookPage
from run_notebooks import normalised

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RENDERED = ROOT / "rendered"  # where the outputs stand
EXPECTED = "takes its place"  # chapter 13 kills a worker, and a line on stderr says so


@pytest.fixture(scope="module")
def opened(browser, lab):
    """`with opened(path, picture) as notebook:` opens one after the other in the same page, for
    JupyterLab takes longer to load than most chapters to be drawn. After a failure in a new one."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(30_000)
    spare = []

    @contextmanager
    def opened(path, picture):
        if spare:
            notebook = spare.pop()
            notebook.turn_to(path)
        else:
            notebook = NotebookPage(context.new_page(), f"{lab}/lab/tree/{path}")
        try:
            yield notebook
        except BaseException:
            notebook.page.screenshot(path=picture)
            notebook.close_all()
            notebook.page.close()
            raise
        notebook.close_all()
        spare.append(notebook)

    yield opened
    context.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_from_top_to_bottom(path, opened, project, screenshots):
    picture = screenshots / f"{path.stem}.png"
    with opened(f"notebooks/{path.name}", picture) as notebook:
        notebook.run_all(seconds=600)
        assert [text for text in notebook.errors() if EXPECTED not in text] == []
        notebook.save()
        ran = nbformat.read(project / "notebooks" / path.name, as_version=4)
        assert all(cell.execution_count for cell in ran.cells if cell.cell_type == "code")
        assert summaries(ran) == summaries(nbformat.read(RENDERED / path.name, as_version=4))
        if "RLX_SCREENSHOTS" in os.environ:
            notebook.screenshot(picture)


def summaries(notebook):
    """What those cells show, by id."""
    normalised(notebook)
    tag = "nbval-check-output"
    return {c.id: said(c) for c in notebook.cells if tag in c.metadata.get("tags", [])}
