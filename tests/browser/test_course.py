"""What the course draws, in a real browser: Stop, the kernel's ■, the player, the slider."""

import itertools
import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

MAKE = """
import time, torch, rlx
from rlx.course import Knob, Picture, live, watch

def note(algorithm, metrics):
    global last
    last = time.time()

def make():
    torch.manual_seed(0)
    agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 8), seed=0)
    policy = rlx.networks.MLPPolicy(agent)
    return rlx.algos.REINFORCE(agent, policy, batch_size=8, horizon=50)
"""
TO_BE_STOPPED = """
algorithm = make()
history = await live(algorithm, updates=1_000_000, show=True, callbacks=[note])
"""
STOPPED = """print("stopped, counted:", len(history) == algorithm.updates, "ms:", 1000 * last)"""
TO_BE_INTERRUPTED = """more = await live(algorithm, updates=1_000_000)"""
INTERRUPTED = """
print("gone on:", len(history) + len(more) == algorithm.updates, len(more) > 0)
"""
WATCH = """
algorithm = make()
watch(algorithm.agent, algorithm.policy, 40)
"""
CURVES = """
from rlx.course import curves
curves({"one": [history], "the other": [history]})
"""
HAS_KERNEL = """() => {
  const { session } = window.jupyterapp.shell.currentWidget.sessionContext;
  return session && session.kernel;
}"""
SAVED_ITSELF = """() => {
  const { context } = window.jupyterapp.shell.currentWidget;
  window.wasSaved ||= new Promise(resolve => {
    context.saveState.connect((_, state) => state === 'completed' && resolve(true));
  });
  return window.wasSaved;
}"""
DEAD = ".jp-OutputArea-child:has(+ .jp-OutputArea-child .rlx-asleep)"
CUT_OFF = """() => {
  const panel = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
  const right = panel.getBoundingClientRect().right;
  return [...panel.querySelectorAll('.jp-OutputArea img')]
    .filter(picture => picture.getBoundingClientRect().right > right).map(picture => picture.alt);
}"""
FILTERS = """() => [...document.querySelectorAll('img.rlx-plot')]
  .map(picture => getComputedStyle(picture).filter)"""
ACTIVE_CELL = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
KNOB = """
def draw(size):
    circle = f'<circle cx="50" cy="50" r="{size}" fill="#0072B2"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100">{circle}</svg>'
    return Picture(svg, f"a circle of radius {size}")

Knob(draw, size=(1, 50, 1, 20))
"""


def wait_for_the_curve_to_grow(panel):
    """Until the curve of a live panel has changed twice."""
    curve = panel.locator('.jp-OutputArea:has(.jupyter-button) img[alt^="Return while"]')
    expect(curve).to_be_visible(timeout=60_000)
    for _ in range(2):
        shown = curve.get_attribute("src")
        expect(curve).not_to_have_attribute("src", shown, timeout=30_000)


def test_training_is_seen_stopped_continued_and_interrupted(scratch, screenshots):
    notebook = scratch(MAKE, TO_BE_STOPPED, STOPPED, TO_BE_INTERRUPTED, INTERRUPTED)
    page, panel = notebook.page, notebook.panel
    notebook.start_all()
    wait_for_the_curve_to_grow(panel)
    newest = panel.locator("img.newest")
    frame = newest.get_attribute("src")
    expect(newest).not_to_have_attribute("src", frame, timeout=30_000)  # the newest agent plays
    page.screenshot(path=screenshots / "live.png")

    page.evaluate("addEventListener('click', () => { window.clicked = Date.now() }, true)")
    notebook.press("Stop")
    said = panel.get_by_text("stopped, counted: True")
    expect(said).to_be_visible(timeout=30_000)
    # From the click to the end of the last update, by two clocks that are one.
    assert float(said.inner_text().split("ms:")[1]) - page.evaluate("window.clicked") < 2_000

    wait_for_the_curve_to_grow(panel)  # the next cell goes on with the same algorithm
    notebook.command("notebook:interrupt-kernel")
    notebook.wait_until_idle(60)
    assert notebook.errors() == []
    expect(panel.get_by_text("gone on: True True")).to_be_visible()

    for number, how in [(1, "Stopped"), (3, "Interrupted")]:
        cell = panel.locator(".jp-CodeCell").nth(number)
        expect(cell.get_by_text(f"{how}: the policy keeps what it has learned")).to_be_visible()
        expect(cell.locator("img")).to_have_count(1)
        expect(cell.locator("img")).to_have_attribute("alt", re.compile("^Return while training"))
        expect(cell.locator(".jupyter-widgets")).to_have_count(0)
    notebook.screenshot(screenshots / "stopped.png")


def test_the_player_and_the_knob_do_what_the_keyboard_says(scratch, screenshots):
    notebook = scratch(MAKE, WATCH, KNOB)
    notebook.run_all()
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

    slider = player.locator("input[type=range]")
    slider.focus()
    notebook.page.keyboard.press("Home")
    expect(player.locator("output")).to_have_text("step 0")
    # The right arrow is the slider's, not JupyterLab's, for which it opens the next heading.
    active = notebook.page.evaluate(ACTIVE_CELL)
    notebook.page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("1")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^step \d+ of \d+$"))
    expect(slider).to_be_focused()
    assert notebook.page.evaluate(ACTIVE_CELL) == active
    player.get_by_title("Play", exact=True).focus()
    notebook.page.keyboard.press("Enter")
    expect(player.get_by_title("Pause", exact=True)).to_be_focused()
    notebook.page.keyboard.press("Space")
    expect(player.get_by_title("Play", exact=True)).to_be_focused()
    expect(player.locator(".asleep")).to_have_count(0)

    slider.focus()
    notebook.page.keyboard.press("End")
    plot = player.locator("img").nth(1).bounding_box()
    assert cursor.bounding_box()["x"] == pytest.approx(plot["x"] + 0.96 * plot["width"], abs=2)
    assert frame.get_attribute("src") != shown

    picture = notebook.panel.locator('img[alt^="a circle"]')
    expect(picture).to_have_attribute("alt", "a circle of radius 20")
    notebook.move_slider(5)
    expect(picture).to_have_attribute("alt", "a circle of radius 25", timeout=30_000)
    assert notebook.errors() == []
    notebook.screenshot(screenshots / "player.png")


TWO = """
import time
import numpy as np
from rlx.course import Knob, Picture
from rlx.course.plots import axes

def left(lam):
    ax = axes(2.8, xlabel="k", ylabel="weight", ylim=(0, 1))
    ax.bar(np.arange(25), lam ** np.arange(25))
    return Picture(ax.figure, f"left {lam:.2f}")

def right(lam, n):
    ax = axes(2.8, xlabel="x", ylabel="error", ylim=(0, 1))
    ax.plot(np.linspace(0, lam, 101) / n)
    return Picture(ax.figure, f"right {lam:.2f} {n}")

knob, took = Knob(left, right, lam=(0.0, 1.0, 0.01, 0.5), n=(1, 64, 1, 1)), []
draw = knob.picture

def timed(*arguments):
    began = time.process_time()
    shown = draw(*arguments)
    took.append(time.process_time() - began)
    return shown

knob.picture = timed
knob
"""
TOOK = """print("least", 1000 * min(t for t in took if t > 0.001))"""


def test_a_knob_draws_two_pictures_while_it_is_dragged(scratch, screenshots):
    notebook = scratch(TWO, TOOK)
    notebook.run_all()
    page, panel = notebook.page, notebook.panel
    handle = panel.locator(".rlx-knob .noUi-handle").first
    left, right = panel.locator('img[alt^="left"]'), panel.locator('img[alt^="right"]')
    expect(left).to_have_attribute("alt", "left 0.50")
    assert left.bounding_box()["y"] == right.bounding_box()["y"]  # side by side
    expect(handle).to_have_attribute("aria-label", "lam")

    where = handle.bounding_box()
    x, y = where["x"] + where["width"] / 2, where["y"] + where["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 4):  # the button stays down
        before = left.get_attribute("alt")
        page.mouse.move(x + 20 * step, y)
        expect(left).not_to_have_attribute("alt", before, timeout=10_000)
    page.mouse.up()

    # By keys alone: from the cell's beginning Tab leads to the sliders, and arrows move them.
    panel.locator(".jp-CodeCell").first.locator(".cm-content").click()
    page.keyboard.press("Escape")
    for _ in range(12):
        page.keyboard.press("Tab")
        if handle.evaluate("one => one === document.activeElement"):
            break
    expect(handle).to_be_focused()
    active = page.evaluate(ACTIVE_CELL)
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(left).to_have_attribute("alt", "left 0.03", timeout=10_000)
    expect(right).to_have_attribute("alt", "right 0.03 1", timeout=10_000)
    expect(handle).to_have_attribute("aria-valuetext", "0.03")
    assert page.evaluate(ACTIVE_CELL) == active

    cell = panel.locator(".jp-CodeCell").nth(1)
    notebook.run(cell)
    # The least, because other work on the machine may make any one of them slow.
    assert float(cell.locator(".jp-OutputArea").inner_text().split("least")[1]) < 100
    page.screenshot(path=screenshots / "two.png")
    page.set_viewport_size({"width": 900, "height": 1000})
    page.wait_for_timeout(500)
    assert left.bounding_box()["y"] < right.bounding_box()["y"]  # one below the other
    assert page.evaluate(CUT_OFF) == []
    assert notebook.errors() == []


BAR = """
import time
from rlx.bars import bar

with bar(total=5, unit="seed") as shown:
    for _ in range(5):
        time.sleep(0.2)
        shown.update()
print("ProbeObservation-v0  passed: V -1.00, 0.99, where -1.00, 1.00 is right")
print("word " * 30)
"""


def test_a_bar_and_what_is_printed_can_be_read_later_and_in_a_narrow_window(scratch, screenshots):
    notebook = scratch(BAR, KNOB.replace("def draw", "from rlx.course import *\n\ndef draw"))
    page, panel = notebook.page, notebook.panel
    notebook.run_all()
    done = panel.locator(".rlx-bar")
    expect(done).to_contain_text("5 of 5 seeds")
    expect(done.locator("progress")).to_have_attribute("aria-label", "seeds done")
    printed = panel.locator(".jp-OutputArea-output pre").first
    page.set_viewport_size({"width": 900, "height": 1000})
    page.wait_for_timeout(500)
    probe, words = printed.evaluate(LINES)
    assert probe <= 1 < words  # the first line fits, the second can be scrolled, and none is broken
    page.screenshot(path=screenshots / "narrow.png")
    notebook.reopen(without_kernel=True)
    expect(done).to_contain_text("5 of 5 seeds")
    assert notebook.errors() == []


LINES = """pre => {
  const width = text => {
    const line = pre.cloneNode(false);
    line.textContent = text;
    line.style.cssText = 'width: max-content; overflow: visible';
    pre.parentNode.append(line);
    const found = line.getBoundingClientRect().width / pre.clientWidth;
    line.remove();
    return found;
  };
  if (getComputedStyle(pre).whiteSpace !== 'pre') throw Error('lines are broken');
  return pre.textContent.trim().split('\\n').map(width);
}"""


def test_what_was_saved_is_seen_without_its_kernel(scratch, screenshots):
    notebook = scratch(MAKE, WATCH, KNOB)
    notebook.run_all()
    notebook.move_slider(5)
    panel, circle = notebook.panel, notebook.panel.locator('img[alt="a circle of radius 25"]')
    expect(circle).to_be_visible(timeout=30_000)
    expect(panel.locator(".rlx-asleep")).to_be_hidden()
    notebook.reopen(without_kernel=True)
    expect(circle).to_be_visible()
    expect(panel.locator(".rlx-asleep")).to_have_text("To move size, run this cell (Shift+Enter).")
    expect(panel.locator(DEAD)).to_contain_text("Error displaying widget")
    expect(panel.locator(DEAD)).to_be_hidden()
    player = panel.locator(".animation")
    player.get_by_title("Play", exact=True).click()  # needs no kernel
    expect(player.locator("output")).not_to_have_text("step 0")
    notebook.page.screenshot(path=screenshots / "reopened.png")
    notebook.run_all()  # back to life
    expect(panel.locator(".rlx-asleep")).to_be_hidden()
    expect(panel.locator(".widget-slider")).to_be_visible()


def test_a_tab_that_is_closed_during_training_shows_how_far_it_was(scratch, screenshots):
    notebook = scratch(MAKE, TO_BE_STOPPED)
    panel = notebook.panel
    notebook.start_all()
    wait_for_the_curve_to_grow(panel)
    notebook.command("docmanager:toggle-autosave")  # on, as `make lab` has it: every 10 seconds
    notebook.page.wait_for_function(SAVED_ITSELF, timeout=60_000)
    notebook.reopen(save=False)
    expect(panel.locator('img[alt^="Return while"]')).to_be_visible()
    expect(panel.locator(".rlx-asleep")).to_contain_text("to go on, run this cell again")
    expect(panel.locator(DEAD)).to_be_hidden()
    notebook.page.screenshot(path=screenshots / "closed.png")
    notebook.page.wait_for_function(HAS_KERNEL)
    notebook.command("notebook:interrupt-kernel")
    notebook.wait_until_idle(60)
    notebook.write(panel.locator(".jp-CodeCell").nth(1), "more = await live(algorithm, updates=3)")
    notebook.run(panel.locator(".jp-CodeCell").nth(1))
    expect(panel.locator(".jp-OutputArea").get_by_text("Gone on from update")).to_be_visible()
    assert notebook.errors() == []


def test_nothing_is_cut_off_and_all_is_seen_in_both_themes(scratch, screenshots):
    notebook = scratch(MAKE, TO_BE_STOPPED, KNOB, CURVES, WATCH)
    page, panel = notebook.page, notebook.panel

    def look(name):
        for theme, width in itertools.product(["Light", "Dark"], [900, 1280]):
            page.set_viewport_size({"width": width, "height": 1000})
            notebook.command("apputils:change-theme", theme=f"JupyterLab {theme}")
            light = str(theme == "Light").lower()
            page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
            page.wait_for_timeout(1000)
            # In one breath, because the pictures change while training runs.
            assert page.evaluate(CUT_OFF) == [], (name, theme, width)
            turned = page.evaluate(FILTERS)
            assert turned, (name, theme, width)
            assert all((one != "none") == (theme == "Dark") for one in turned)
            page.screenshot(path=screenshots / f"{name}-{theme}-{width}.png")

    notebook.start_all()
    wait_for_the_curve_to_grow(panel)
    expect(panel.locator("img.newest")).to_be_visible()
    look("live")
    notebook.press("Stop")
    notebook.wait_until_idle(120)
    assert notebook.errors() == []
    for number, name in enumerate(["knob", "curves", "player"], 2):
        panel.locator(".jp-CodeCell").nth(number).scroll_into_view_if_needed()
        look(name)


PREDICT = """
from rlx.course import predict
long = "a sentence that is a good deal longer than any label, and has to take two lines " * 2
guess = predict("What will `reset` give, and why?", ("one", "two", long))
"""
CAME_OUT = """guess.came_out("two", "It gives an observation and a dict.")"""


def test_a_prediction_is_chosen_by_keys_and_stays(scratch, screenshots):
    notebook = scratch(PREDICT, CAME_OUT)
    page, panel = notebook.page, notebook.panel
    notebook.run_all()
    card, buttons = panel.locator(".rlx-card"), panel.locator(".rlx-choices button")
    expect(card).to_contain_text("Not predicted.")
    expect(panel.locator(".rlx-asleep").first).to_be_hidden()

    buttons.nth(0).focus()
    active = page.evaluate(ACTIVE_CELL)
    page.keyboard.press("Enter")
    expect(buttons.nth(0)).to_have_text("✓ one")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(buttons.nth(1)).to_have_text("✓ two")
    expect(buttons.nth(0)).to_have_text("one")
    expect(panel.get_by_text("You predict: two.")).to_be_visible()
    assert page.evaluate(ACTIVE_CELL) == active  # the keys were the buttons', not JupyterLab's
    box = panel.locator(".rlx-choices").bounding_box()
    for button in buttons.all():  # nothing is cut off
        assert button.bounding_box()["width"] <= box["width"] <= 720
        assert button.evaluate("one => one.scrollWidth <= one.clientWidth + 1")
        assert button.evaluate("one => one.scrollHeight <= one.clientHeight + 1")

    notebook.run(panel.locator(".jp-CodeCell").nth(1))
    expect(card).to_contain_text("as you predicted, two")
    for theme in ("Light", "Dark"):
        notebook.command("apputils:change-theme", theme=f"JupyterLab {theme}")
        light = str(theme == "Light").lower()
        page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
        page.wait_for_timeout(1000)
        page.screenshot(path=screenshots / f"predict-{theme}.png")
    assert notebook.errors() == []

    notebook.reopen(without_kernel=True)
    expect(panel.locator("li").first).to_have_text("one")
    expect(panel.get_by_text("You predict: two.")).to_be_visible()
    expect(panel.get_by_text("To predict again, run this cell (Shift+Enter).")).to_be_visible()
    expect(panel.locator(DEAD)).to_be_hidden()
    page.screenshot(path=screenshots / "predict-reopened.png")
    notebook.run_all()  # back to life, and the answer is remembered
    expect(buttons.nth(1)).to_have_text("✓ two")
    expect(panel.locator(".rlx-asleep").first).to_be_hidden()
    expect(card).to_contain_text("as you predicted, two")


MATRIX = """
from rlx.course.sealed import Matrix, Sealed

Matrix(Sealed(12))
"""


def test_a_sealed_agent_is_opened_by_guesses(scratch, screenshots):
    notebook = scratch(MATRIX)
    notebook.run_all()
    grid, page = notebook.panel.locator(".rlx-matrix"), notebook.page
    expect(grid.get_by_role("button", name="✗")).to_have_count(6 + 21)
    grid.locator("[title='I expect that it passes action: open']").click()
    expect(notebook.panel.get_by_text("action: passed")).to_be_visible(timeout=30_000)
    expect(grid.locator(".rlx-out").first).to_be_visible()
    grid.locator("[title='I expect that it passes both: open']").click()
    said = notebook.panel.get_by_text("2 opened, 1 foreseen. 1 of 10 still fit.")
    expect(said).to_be_visible(timeout=30_000)
    expect(grid.get_by_text("FAILED")).to_have_count(1)
    page.screenshot(path=screenshots / "matrix.png")
    grid.locator("[title='fails delay: see what it says']").nth(2).click()
    said = "If the discount, on delay: FAILED, V 1.00, 1.00, where 0.50, 1.00 is right."
    expect(notebook.panel.get_by_text(said)).to_be_visible(timeout=30_000)
    notebook.command("apputils:change-theme", theme="JupyterLab Dark")
    page.wait_for_timeout(1000)
    page.screenshot(path=screenshots / "matrix_dark.png")
    expect(notebook.panel.locator("table.rlx-asleep")).to_be_hidden()
