"""The first notebook, as a learner meets it: opened in JupyterLab and run from top to bottom."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


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
