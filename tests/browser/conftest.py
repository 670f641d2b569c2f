"""Chromium, JupyterLab and `open_notebook`, which never writes to the working tree."""

import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_page import NotebookPage, jupyterlab
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
NAMES = ["chromium", "chromium-browser", "google-chrome"]


@pytest.fixture(scope="session")
def browser():
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        reason = f"browser tests need Chromium, and none of {', '.join(NAMES)} is on the PATH"
        if os.environ.get("RLX_REQUIRE_BROWSER", "0") not in ["", "0"]:
            pytest.fail(f"{reason} (RLX_REQUIRE_BROWSER is set)")
        pytest.skip(f"{reason}. Debian: apt install chromium")
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root nor in many containers; the pages are our own.
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        yield playwright.chromium.launch(executable_path=chromium, args=arguments)


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of what a learner has after cloning: tests save notebooks, and must not save here."""
    folder = tmp_path_factory.mktemp("project") / "rlx"
    clutter = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "runs", "build", "dist")
    shutil.copytree(ROOT, folder, ignore=clutter)
    return folder


@pytest.fixture(scope="session")
def lab(browser, project, tmp_path_factory):
    """The address of a JupyterLab that `make lab` started in `project`."""

    def start(options):
        # In the environment that runs the tests, as it is: nothing is installed.
        environment = [f"VENV={sys.prefix}", f"--assume-old={sys.prefix}/.course"]
        return ["make", "lab", *environment, f"ARGS={options}"]

    with jupyterlab(start, project, tmp_path_factory.mktemp("jupyter")) as address:
        yield address


@pytest.fixture
def open_notebook(browser, lab, project, screenshots, request):
    """open_notebook("notebooks/00_start_here.ipynb") opens it as it stands in the repository.

    Without a path it opens what JupyterLab begins with."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(30_000)

    def open_notebook(path=None):
        if path is None:
            return NotebookPage(context.new_page(), lab)
        if (ROOT / path).exists():
            shutil.copy(ROOT / path, project / path)  # an earlier test may have saved it
        # A workspace of its own: JupyterLab would reopen what an earlier test left open.
        name = re.sub(r"\W+", "-", request.node.name)
        workspace = f"{lab}/lab/workspaces/{name}"
        return NotebookPage(context.new_page(), f"{workspace}/tree/{path}")

    yield open_notebook
    for page in context.pages:
        page.screenshot(path=screenshots / f"{request.node.name}.png")  # to see why it failed
        page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()


@pytest.fixture
def scratch(open_notebook, project, request):
    """scratch(cell, cell, …) opens a new notebook of these cells."""

    def scratch(*sources):
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = f"{request.node.name}.ipynb"
        nbformat.write(notebook, project / path)
        return open_notebook(path)

    return scratch


@pytest.fixture
def screenshots(tmp_path):
    """The folder for pictures: RLX_SCREENSHOTS, or a temporary one."""
    folder = Path(os.environ.get("RLX_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
