"""What the course draws, in a real browser: Stop, the kernel's ■, the player, the slider."""

import re

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

MAKE = """
import time, torch, rlx
from rlx.course import live, watch

def note(algorithm, metrics):
    global last
    last = time.time()

def make():
    torch.manual_seed(0)
    agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 8), seed=0)
    policy = rlx.networks.MLPPolicy(agent.observation_space, agent.action_space)
    return rlx.algos.REINFORCE(agent, policy, batch_size=8, horizon=50)
"""
TRAIN = """
algorithm = make()
history = await live(algorithm, updates=1_000_000, show=True, callbacks=[note])
"""
AFTER = """print("updates counted:", len(history) == algorithm.updates, "last:", 1000 * last)"""


@pytest.fixture
def scratch(open_notebook, tmp_path):
    """scratch(cell, cell, …) opens a new notebook of these cells."""

    def scratch(*sources):
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        (tmp_path / "scratch").mkdir()
        nbformat.write(notebook, tmp_path / "scratch" / "scratch.ipynb")
        return open_notebook(tmp_path / "scratch" / "scratch.ipynb")

    return scratch


def wait_for_the_curve_to_grow(panel):
    """Until the curve of a live panel has changed twice."""
    curve = panel.locator(".jupyter-widgets svg polyline")
    expect(curve).to_be_visible(timeout=60_000)
    for _ in range(2):
        expect(curve).not_to_have_attribute("points", curve.get_attribute("points"), timeout=15_000)


def test_stop_ends_training_and_leaves_one_picture(scratch, screenshots):
    notebook = scratch(MAKE, TRAIN, AFTER)
    notebook.start_all()
    wait_for_the_curve_to_grow(notebook.panel)
    notebook.page.screenshot(path=screenshots / "live.png")
    newest = notebook.panel.locator(".jupyter-widgets img.widget-image")
    expect(newest).to_be_visible()
    frame = newest.get_attribute("src")
    expect(newest).not_to_have_attribute("src", frame, timeout=15_000)  # the newest agent plays

    notebook.page.evaluate(
        "() => document.addEventListener('click', () => { window.clicked = Date.now() }, true)"
    )
    notebook.press("Stop")
    expect(notebook.panel.get_by_text("Stopped: the policy keeps")).to_be_visible(timeout=10_000)
    notebook.wait_until_idle(30)
    assert notebook.errors() == []
    said = notebook.panel.get_by_text("updates counted: True").inner_text()
    # From the click itself to the end of the last update: two clocks that are one.
    assert float(said.split("last:")[1]) - notebook.page.evaluate("window.clicked") < 2_000
    cell = notebook.panel.locator(".jp-CodeCell").nth(1)
    expect(cell.locator("img")).to_have_count(1)
    expect(cell.locator("img")).to_have_attribute("alt", re.compile("^Return while training"))
    expect(cell.locator(".jupyter-widgets")).to_have_count(0)
    notebook.screenshot(screenshots / "stopped.png")


def test_the_kernels_interrupt_ends_training_and_the_next_cell_runs(scratch):
    notebook = scratch(MAKE, TRAIN, AFTER)
    notebook.start_all()
    wait_for_the_curve_to_grow(notebook.panel)
    notebook.command("notebook:interrupt-kernel")
    expect(notebook.panel.get_by_text("Interrupted: the policy keeps")).to_be_visible(timeout=5_000)
    notebook.wait_until_idle(30)
    assert notebook.errors() == []
    expect(notebook.panel.get_by_text("updates counted: True")).to_be_visible()


def test_the_player_plays_pauses_and_follows_its_slider(scratch, screenshots):
    notebook = scratch(MAKE, "algorithm = make()\nwatch(algorithm.agent, algorithm.policy, 40)")
    notebook.run_all(60)
    player = notebook.panel.locator(".animation")
    frame, cursor = player.locator("img.frame"), player.locator(".cursor")
    expect(player.locator("output")).to_have_text("step 0")
    start = cursor.bounding_box()["x"]

    player.get_by_title("Play", exact=True).click()
    expect(player.locator("output")).not_to_have_text("step 0")
    player.get_by_title("Pause", exact=True).click()
    shown = frame.get_attribute("src")
    notebook.page.wait_for_timeout(500)
    assert frame.get_attribute("src") == shown  # it has stopped
    assert cursor.bounding_box()["x"] > start

    player.locator("input[type=range]").focus()
    notebook.page.keyboard.press("End")
    plot = player.locator("img").nth(1).bounding_box()
    assert cursor.bounding_box()["x"] == pytest.approx(plot["x"] + 0.96 * plot["width"], abs=2)
    assert frame.get_attribute("src") != shown
    notebook.screenshot(screenshots / "player.png")


def test_a_slider_moved_by_keyboard_redraws_the_picture(open_notebook):
    notebook = open_notebook("notebooks/00_start_here.ipynb")
    notebook.run(notebook.cell("from rlx.course import"))
    cell = notebook.cell("Knob(weights")
    notebook.run(cell)
    picture = cell.locator(".jupyter-widgets img")
    expect(picture).to_have_attribute("alt", re.compile(r"gamma 0\.90$"))
    notebook.move_slider(-5, cell)
    expect(picture).to_have_attribute("alt", re.compile(r"gamma 0\.85$"), timeout=15_000)
    assert notebook.errors() == []
