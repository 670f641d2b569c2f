"""Chromium, JupyterLab and `open_notebook`, which never writes to the working tree."""

import os
import shutil
from pathlib import Path

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
def lab(browser, tmp_path_factory):
    """The address of a JupyterLab and the folder that it serves."""
    root = tmp_path_factory.mktemp("lab")
    with jupyterlab(root, tmp_path_factory.mktemp("jupyter")) as address:
        yield address, root


@pytest.fixture
def open_notebook(browser, lab, screenshots, request):
    """open_notebook("notebooks/00_start_here.ipynb") opens a copy, its neighbours beside it."""
    address, root = lab
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(30_000)

    def open_notebook(path):
        path = ROOT / path
        copy = root / request.node.name / path.parent.name
        if not copy.exists():
            clutter = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__")
            shutil.copytree(path.parent, copy, ignore=clutter)
        # A workspace of its own: JupyterLab would reopen what an earlier test left open.
        workspace = f"{address}/lab/workspaces/{request.node.name}"
        file = (copy / path.name).relative_to(root)
        return NotebookPage(context.new_page(), f"{workspace}/tree/{file}")

    yield open_notebook
    for page in context.pages:
        page.screenshot(path=screenshots / f"{request.node.name}.png")  # to see why it failed
        page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()


@pytest.fixture
def screenshots(tmp_path):
    """The folder for pictures: RLX_SCREENSHOTS, or a temporary one."""
    folder = Path(os.environ.get("RLX_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
