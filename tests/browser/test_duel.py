"""Slime volleyball in the page: the same game as in Python, to the last bit, and smooth."""

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

import rlx
from rlx.course.duel import weights_of
from rlx.course.watch import asset
from rlx.envs.slimegame import BUTTONS, RIGHT, SlimeGame
from rlx.envs.slimeplayers import Follower

pytestmark = pytest.mark.browser

# Plays the recorded buttons, and gives all that it did: the ball, both agents, what both see.
PLAY = """([serves, buttons]) => {
  const court = new Court(() => serves.shift());
  return buttons.map(both => {
    const loser = court.step(both);
    const {ball: b, agents: [l, r]} = court;
    return {
      points: loser === null ? 0 : 1 - 2 * loser, lives: [...court.lives],
      numbers: [b.x, b.y, b.vx, b.vy, -l.x, l.y, -l.vx, l.vy, r.x, r.y, r.vx, r.vy],
      seen: court.seen,
    };
  });
}"""


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    script = asset("duel.js") + "Object.assign(window, {Court, PLAYERS, logits});"
    page.add_script_tag(content=script)
    yield page
    page.close()


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_same_game(page, seed):
    rng = np.random.default_rng(seed)
    serves = [rng.uniform([-20, 10], [20, 25]).tolist() for _ in range(200)]
    game = SlimeGame()
    game.inject(0, *serves)
    game.reset()  # the first of them is served now
    follower, steps, buttons = Follower(), [], []
    for _ in range(2000):
        seen = game.observations()
        left = BUTTONS[rng.integers(6, size=1)]
        right = follower(seen[RIGHT]) if seed else BUTTONS[rng.integers(6, size=1)]
        points = game.step(left, right)
        buttons.append([left[0].tolist(), np.asarray(right, dtype=int)[0].tolist()])
        state = game.state
        steps.append(
            {
                "points": points[0],
                "lives": state["lives"][0].tolist(),
                "numbers": [*state["ball"][0], *state["left"][0], *state["right"][0]],
                "seen": game.observations()[:, 0].tolist(),
            }
        )
    assert sum(abs(step["points"]) for step in steps) > 5
    played = page.evaluate(PLAY, [serves, buttons])
    for t, (ours, theirs) in enumerate(zip(steps, played, strict=True)):
        assert ours == theirs, f"step {t}"  # -0.0 == 0.0; nothing else may differ


def test_the_follower_presses_the_same_buttons(page):
    rng = np.random.default_rng(0)
    seen = rng.uniform(-2, 2, (500, 12))
    seen[:, [0, 5]] = np.abs(seen[:, [0, 5]])
    expected = Follower()(seen).astype(int)
    assert 0 < expected[:, 2].mean() < 1
    assert page.evaluate("rows => rows.map(PLAYERS.follower)", seen.tolist()) == expected.tolist()


def test_a_net_gives_the_same_logits(page):
    torch.manual_seed(0)
    agent = rlx.Agent(rlx.envs.make_vec("SlimeRally-v0", 2))
    policy = rlx.networks.MLPPolicy(agent)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter)
    seen = torch.randn(100, 12)
    given = page.evaluate(
        "([layers, rows]) => rows.map(row => logits(layers, row))",
        [weights_of(policy), seen.tolist()],
    )
    with torch.no_grad():
        logits = policy.actor[-1].layers[0](policy.actor[0](seen))
    torch.testing.assert_close(torch.tensor(given), logits, rtol=1e-4, atol=1e-4)


X = "() => document.querySelector('[data-duel]').court.agents[1].x"


def test_it_is_played_by_keyboard_at_thirty_steps_a_second(scratch, screenshots):
    notebook = scratch("from rlx.course import Duel\nDuel()", "import time\ntime.sleep(8)")
    page = notebook.page
    notebook.start_all()
    duel = notebook.panel.locator("[data-duel]")
    expect(duel).to_have_attribute("data-ready", "yes")
    cell = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    duel.click()
    active, began = page.evaluate(cell), page.evaluate(X)
    page.keyboard.down("ArrowRight")  # the kernel is asleep in the second cell meanwhile
    page.wait_for_timeout(500)
    page.keyboard.up("ArrowRight")
    assert page.evaluate(X) > began + 4  # half a second at 17.5
    for key in ("ArrowUp", "ArrowDown", "ArrowLeft", " "):
        page.keyboard.press(key)
    assert page.evaluate(cell) == active
    expect(duel).to_be_focused()
    page.wait_for_timeout(3500)
    assert 28 < float(duel.get_attribute("data-fps")) < 32
    notebook.wait_until_idle(30)
    page.screenshot(path=screenshots / "duel.png")


def test_tab_goes_past_it_and_enter_begins(scratch):
    notebook = scratch("from rlx.course import CourseMap, Duel\nDuel()", "CourseMap('notebooks')")
    notebook.run_all()
    page, duel = notebook.page, notebook.panel.locator("[data-duel]")
    duel.focus()
    page.keyboard.press("Tab")
    expect(notebook.panel.locator("table a").first).to_be_focused()
    duel.focus()
    page.keyboard.press("Enter")
    began = page.evaluate(X)
    page.keyboard.down("ArrowRight")
    page.wait_for_timeout(500)
    page.keyboard.up("ArrowRight")
    assert page.evaluate(X) > began
    page.keyboard.press("Tab")  # which ends the game for now
    expect(duel).to_contain_text("to go on")
