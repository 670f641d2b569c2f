"""The first minutes of a learner: `make lab`, the first notebook from top to bottom, the links."""

import json
import re
import shlex
import urllib.request
from pathlib import Path

import pytest
from jupyter_page import jupyterlab
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

ARRIVED = """path => {
  const { context } = window.jupyterapp.shell.currentWidget;
  return context && context.path === path && context.isReady;
}"""
README = Path(__file__).parents[2] / "README.md"


def test_make_lab_opens_the_first_notebook(open_notebook):
    page = open_notebook().page
    assert page.url.endswith("/lab/tree/notebooks/00_start_here.ipynb")
    # The file browser shows the folder of the open notebook, with the way up to the project.
    crumbs = page.locator(".jp-FileBrowser-crumbs")
    expect(crumbs.locator("[title=notebooks]")).to_be_visible()
    crumbs.locator(".jp-BreadCrumbs-home").click()
    expect(page.locator(".jp-DirListing-item", has_text="exercises")).to_be_visible()


def test_a_chapter_links_to_its_exercises_and_to_the_library(open_notebook):
    notebook = open_notebook("notebooks/01_loop.ipynb")
    page = notebook.page
    for target in ["exercises/01_loop/01_loop.ipynb", "rlx/envs/recall.py"]:
        notebook.command("docmanager:open", path="notebooks/01_loop.ipynb")  # back to its tab
        page.locator(f'.jp-RenderedMarkdown a[href*="{target}"]:visible').first.click()
        page.wait_for_function(ARRIVED, arg=target, timeout=30_000)


def test_the_readmes_line_for_conda_serves_the_whole_project(browser, project, tmp_path):
    (command,) = re.findall(r"`(jupyter lab [^`]+)`", README.read_text(encoding="utf-8"))

    def start(options):
        return [*shlex.split(command), "--allow-root", *options.split()]

    with jupyterlab(start, project, tmp_path) as address:
        with urllib.request.urlopen(address) as response:
            assert response.url.endswith("/lab/tree/notebooks/00_start_here.ipynb")
        with urllib.request.urlopen(f"{address}/api/contents?content=1") as response:
            names = {item["name"] for item in json.load(response)["content"]}
    assert {"notebooks", "exercises", "rlx"} <= names


def test_start_here_runs_draws_and_plays(open_notebook, screenshots):
    notebook = open_notebook("notebooks/00_start_here.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    pictures = notebook.panel.locator(".jp-OutputArea-output img:not(.animation img)")
    expect(pictures.first).to_be_visible()

    player = notebook.panel.locator(".animation").first
    frame = player.locator("img").first
    expect(frame).to_be_visible()
    before = frame.get_attribute("src")
    player.get_by_title("Play", exact=True).click()
    expect(frame).not_to_have_attribute("src", before)

    notebook.screenshot(screenshots / "start_here.png")
