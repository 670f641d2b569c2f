"""An exercise and a slider, as a learner meets them."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

WRONG = """
def discounted_returns(rewards, end, gamma):
    returns, later = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        returns[t] = later = rewards[t] + gamma * later
    return returns
"""
RIGHT = """
def discounted_returns(rewards, end, gamma):
    returns, later = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        if end[t]:
            later = 0.0
        returns[t] = later = rewards[t] + gamma * later
    return returns
"""


def test_a_mistake_is_named_and_a_right_answer_turns_green(open_notebook, screenshots):
    notebook = open_notebook("exercises/02_rollout/02_rollout.ipynb")
    answer = notebook.cell("def discounted_returns(")
    check = notebook.cell("check(discounted_returns)")
    card = check.locator(".rlx-card")
    notebook.run(notebook.panel.locator(".jp-CodeCell").first)  # the imports

    notebook.run(answer)
    notebook.run(check)
    expect(card).to_contain_text("not written yet")

    notebook.write(answer, WRONG.strip())
    notebook.run(answer)
    notebook.run(check)
    expect(card).to_have_class(re.compile("rlx-mistake"))
    expect(card).to_contain_text("returns leak from one episode into the one before")
    expect(check).not_to_contain_text("Traceback")
    check.screenshot(path=screenshots / "mistake.png")

    notebook.write(answer, RIGHT.strip())
    notebook.run(answer)
    notebook.run(check)
    expect(card).to_have_class(re.compile("rlx-passed"))
    expect(card).to_contain_text("discounted_returns: right")
    check.screenshot(path=screenshots / "right.png")
    assert notebook.errors() == []


def test_a_solution_is_folded_below_a_right_answer_and_below_the_last_hint(
    open_notebook, screenshots
):
    notebook = open_notebook("exercises/02_rollout/02_rollout.ipynb")
    answer = notebook.cell("def discounted_returns(")
    check = notebook.cell("check(discounted_returns)")
    fold = check.locator("details")
    notebook.run(notebook.panel.locator(".jp-CodeCell").first)  # the imports
    notebook.write(answer, RIGHT.strip())
    notebook.run(answer)
    notebook.run(check)
    expect(fold.locator("pre").first).to_be_hidden()
    fold.locator("summary").click()
    expect(fold.locator("pre")).to_have_count(2)  # the learner's, and another
    expect(fold.locator("pre").first).to_be_visible()

    fold = answer.locator("details")
    notebook.write(answer, 'for _ in range(3): hint("append")')
    notebook.run(answer)
    expect(answer.locator(".rlx-card")).to_have_count(3)
    expect(answer).to_contain_text("again if you give up: it shows a solution.")
    expect(fold).to_have_count(0)
    notebook.write(answer, 'hint("append")')
    notebook.run(answer)
    expect(fold.locator("pre")).to_be_hidden()
    fold.locator("summary", has_text="A solution").click()
    expect(fold.locator("pre")).to_contain_text("def append(")
    answer.screenshot(path=screenshots / "given_up.png")
    assert notebook.errors() == []


def test_a_slider_of_chapter_01_changes_its_picture(open_notebook, screenshots):
    notebook = open_notebook("notebooks/01_loop.ipynb")
    notebook.run_all()
    assert notebook.errors() == []
    knob = notebook.panel.locator(".jp-OutputArea:has(.widget-slider)").first
    picture = knob.locator("img").first
    shown = picture.get_attribute("src")
    notebook.move_slider(3, knob)
    expect(picture).not_to_have_attribute("src", shown, timeout=30_000)
    notebook.screenshot(screenshots / "chapter_01.png")
