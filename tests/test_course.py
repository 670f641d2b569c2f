"""What the notebooks draw, without a browser (tests/browser has the rest)."""

import asyncio
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import gymnasium
import numpy as np
import pytest
import torch
from compared import sanitized

pytest.importorskip("ipywidgets")

from matplotlib import colormaps
from matplotlib.colors import to_rgb

import rlx
from rlx import plain
from rlx.columns import apply
from rlx.course import (
    CourseMap,
    Knob,
    Picture,
    comparison,
    curves,
    live,
    measured,
    predict,
    summary,
    swap,
    watch,
)
from rlx.course.card import KINDS
from rlx.course.exercise import load
from rlx.course.picture import COLOURS, INK, bright, ink_on, svg_curve, ticks
from rlx.course.plots import cross_play
from rlx.course.predict import Guess
from rlx.course.progress import (
    busy,
    count,
    judge,
    keep,
    kept,
    passed,
    progress,
    record,
    worked,
)
from rlx.play import loop
from rlx.training import History

# The modules: their names in the package are those of the functions.
live_module, watch_module = sys.modules["rlx.course.live"], sys.modules["rlx.course.watch"]
progress_module = sys.modules["rlx.course.progress"]
NETWORKS = rlx.networks


def make(env="CartPole-v1", kind=NETWORKS.MLPPolicy, **options):
    torch.manual_seed(0)
    agent = rlx.Agent(rlx.envs.make_vec(env, 4), seed=0)
    policy = kind(agent)
    return rlx.algos.REINFORCE(agent, policy, batch_size=4, horizon=20, **options)


def test_the_library_does_without_the_course():
    code = "import sys, rlx; print([m for m in sys.modules if m in {'matplotlib', 'ipywidgets', "
    code += "'scipy.stats', 'IPython'} or m.startswith('rlx.course')])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_no_module_holds_on_to_what_a_learner_swaps():
    """Imported by its name, it would stay the library's own, whatever stands in its place."""
    targets = [exercise.target for exercise in load().values() if exercise.target]
    targets += [f"rlx.functional.{name}" for name in vars(rlx.functional) if name[0] != "_"]
    library = {
        name: module
        for name, module in sys.modules.items()
        if name.split(".")[0] == "rlx" and not name.startswith("rlx.course")
    }
    for target in targets:
        owner, _, name = target.rpartition(".")
        own = pkgutil.resolve_name(target)
        if inspect.isfunction(own) and own.__module__ == owner:
            for other, module in library.items():
                held = any(one is own for one in vars(module).values())
                assert other == owner or not held, f"{other} holds {name}"


def test_how_memory_is_cleared_is_what_evaluate_goes_through(monkeypatch):
    agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 4), seed=0)
    policy = NETWORKS.GRUPolicy(agent)
    rollout = agent(policy).segment(3) + agent(policy).segment(3)
    assert rollout[0].start.tolist() == [True] * 4 + [False] * 4

    def forget_all(recur_state, fresh):
        return apply(torch.zeros_like, recur_state)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "forget", forget_all)
        new = agent(policy).evaluate(rollout)
    assert not torch.allclose(new.logprobs, rollout.logprobs, atol=1e-6)
    torch.testing.assert_close(agent(policy).evaluate(rollout).logprobs, rollout.logprobs)


def test_a_memory_that_is_swapped_is_what_play_goes_through():
    envs = [rlx.envs.make("CartPole-v1") for _ in range(4)]
    policy, seen = NETWORKS.GRUPolicy(rlx.Agent(envs[0])), []

    def memories():
        rollout, _ = plain.play(envs, policy, plain.begin(envs, seeds=range(4)), 3)
        steps = [row for row in rollout.rows if row.recur_state and not row.end]
        return torch.cat([row.recur_state[0] for row in steps])

    with swap(forget=lambda h, fresh: seen.append(fresh) or 0 * h):
        assert not memories().any()
    assert [fresh.tolist() for fresh in seen] == [[False] * 4] * 2  # the first step has no memory
    assert memories().any()


# ---------------------------------------------------------------------------- live


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to be in one; the bundles that it displays, as they stand after their last update."""
    shown = []

    class Display:
        def __init__(self):
            self.place = len(shown) - 1

        def update(self, bundle, raw):
            assert raw
            shown[self.place] = bundle

    def display(bundle, raw, display_id=False):
        assert raw
        shown.append(bundle)
        return Display()

    monkeypatch.delenv("PYTEST_VERSION", raising=False)
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(live_module, "in_notebook", lambda: True)
    return shown


def alt(bundle):
    return re.search(r'<img alt="([^"]*)"', bundle["text/html"]).group(1)


def widget(bundle):
    """The widget that a bundle shows."""
    from ipywidgets import Widget
    from ipywidgets.widgets import widget as module

    model = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    instances = getattr(module, "_instances", None)
    return (Widget.widgets if instances is None else instances)[model]


def test_live_in_a_terminal_prints_a_line(capsys):
    algorithm = make()
    history = asyncio.run(live(algorithm, updates=3))
    assert isinstance(history, History)
    assert len(history) == algorithm.updates == 3
    assert "running return" in capsys.readouterr().err


def test_live_leaves_one_picture_that_says_what_it_shows(notebook):
    asyncio.run(live(make(), updates=3, x="episodes"))
    sentence, picture = notebook
    assert sentence.keys() == picture.keys() == {"text/html", "text/plain"}  # no widget is left
    assert sentence["text/plain"].startswith("update 3, episode 12: ")
    assert alt(picture).startswith("Return while training, against episodes. update 3, episode 12:")
    assert picture["text/plain"] == f"[picture: {alt(picture)}]"
    assert len(picture["text/html"]) < 20_000


def test_what_is_saved_in_the_middle_of_a_run_is_a_picture_and_says_so(notebook):
    saved = []

    def save(algorithm, metrics):
        saved[:] = list(notebook)
        time.sleep(0.15)  # a picture is drawn ten times a second, at most

    algorithm = make()
    asyncio.run(live(algorithm, updates=3, show=True, callbacks=[save]))
    head, picture = saved
    assert "application/vnd.jupyter.widget-view+json" in head
    assert "application/vnd.jupyter.widget-view+json" not in picture
    assert "running return" in alt(picture)
    assert "data:image/jpeg" in picture["text/html"]
    assert "to go on, run this cell again" in picture["text/html"]
    asyncio.run(live(algorithm, updates=2))
    assert notebook[2]["text/plain"].startswith("Gone on from update 3: update 5, ")


def test_watching_does_not_change_what_is_learned(notebook):
    trained = make()
    rlx.train(trained, updates=4, progress=False)
    seen = make()
    asyncio.run(live(seen, updates=4, show=True))
    for a, b in zip(trained.policy.parameters(), seen.policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_show_draws_the_newest_agent(notebook):
    algorithm = make("rlx/IncompleteCartPole-v1", NETWORKS.GRUPolicy)
    playing = live_module.Playing(algorithm)
    pictures = {playing.frame() for _ in range(20)}  # past the end of an episode, and on
    assert len(pictures) > 10
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures)


def test_the_stop_button_ends_the_run_and_says_how_to_go_on(notebook):
    algorithm = make()

    def press(algorithm, metrics):
        if metrics["updates"] == 2:
            widget(notebook[0]).children[0].click()

    history = asyncio.run(live(algorithm, updates=10_000, callbacks=[press]))
    assert len(history) == algorithm.updates == 2
    assert "Stopped: the policy keeps what it has learned" in alt(notebook[1])
    assert "Stopped: the policy keeps what it has learned" in notebook[0]["text/html"]
    assert len(asyncio.run(live(algorithm, updates=2))) == 2
    assert algorithm.updates == 4


@pytest.mark.parametrize("as_ipykernel", [True, False])
def test_an_interrupt_ends_the_run_cleanly(notebook, as_ipykernel):
    algorithm = make()

    def interrupt(algorithm, metrics):
        if metrics["updates"] == 2:
            if not as_ipykernel:
                raise KeyboardInterrupt
            asyncio.current_task().cancel()

    async def cell():
        history = await live(algorithm, updates=10_000, callbacks=[interrupt])
        await asyncio.sleep(0)  # the next line of the cell is not cancelled, too
        return history

    asyncio.run(cell())
    assert algorithm.updates < 1000  # cancelled at the first pause after it
    assert "Interrupted: the policy keeps what it has learned" in alt(notebook[1])


@pytest.mark.slow
def test_the_kernel_stops_an_update_that_never_ends(tmp_path):
    """ipykernel cancels the cell, which busy code does not hear."""
    client = pytest.importorskip("jupyter_client")
    code = """
import time, rlx
from rlx.course import live
agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 4), seed=0)
policy = rlx.networks.MLPPolicy(agent)
algorithm = rlx.algos.REINFORCE(agent, policy, batch_size=4, horizon=20)

def hang(algorithm, metrics):
    if metrics["updates"] == 2:
        open(PATH, "w").close()
        while True:
            pass

history = await live(algorithm, updates=5, callbacks=[hang])
print("updates:", algorithm.updates)
history = await live(algorithm, updates=1)
print("gone on:", len(history))
"""
    here = tmp_path / "busy"
    manager, kernel = client.manager.start_new_kernel(kernel_name="python3")
    try:
        said = []
        # After such a cell ipykernel leaves SIGINT to the event loop.
        kernel.execute_interactive("import asyncio\nawait asyncio.sleep(0)", timeout=60)
        kernel.execute(code.replace("PATH", repr(str(here))), reply=False)
        deadline = time.monotonic() + 120
        while not here.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        manager.interrupt_kernel()
        while True:
            message = kernel.get_iopub_msg(timeout=60)
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])
            if message["content"].get("execution_state") == "idle" and said:
                break
        assert "updates: 2" in "".join(said)
        assert "gone on: 1" in "".join(said)
    finally:
        manager.shutdown_kernel(now=True)


def test_an_error_keeps_the_curve_and_is_raised(notebook):
    def fail(algorithm, metrics):
        if metrics["updates"] == 3:
            raise RuntimeError("the environment broke")

    with pytest.raises(RuntimeError, match="the environment broke"):
        asyncio.run(live(make(), updates=10, callbacks=[fail]))
    assert "update 2, " in alt(notebook[1])
    assert "The next update failed." in alt(notebook[1])


def test_live_needs_a_budget(notebook):
    with pytest.raises(ValueError, match="budget"):
        asyncio.run(live(make()))


def test_drawing_takes_a_twentieth_of_the_run(notebook, monkeypatch):
    panels = []
    panel = live_module.Panel
    monkeypatch.setattr(
        live_module, "Panel", lambda *arguments: panels.append(panel(*arguments)) or panels[0]
    )
    monkeypatch.setattr(panel, "draw", lambda *_: time.sleep(0.03))  # a slow machine
    began = time.perf_counter()
    asyncio.run(live(make(), seconds=1.5))
    elapsed = time.perf_counter() - began
    assert 0.03 < panels[0].drawing < 0.05 * elapsed + 0.1  # the last need not be paid for yet


@pytest.mark.slow
def test_live_saves_one_picture_and_no_widget():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    source = (
        "import rlx\nfrom rlx.course import live\n"
        "agent = rlx.Agent(rlx.envs.make_vec('CartPole-v1', 4), seed=0)\n"
        "policy = rlx.networks.MLPPolicy(agent)\n"
        "algorithm = rlx.algos.REINFORCE(agent, policy, batch_size=4, horizon=20)\n"
        "history = await live(algorithm, updates=5, show=True)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    sentence, picture = notebook.cells[0].outputs
    assert set(sentence.data) == set(picture.data) == {"text/html", "text/plain"}
    assert "update 5, episode 20" in alt(picture.data)


# ---------------------------------------------------------------------------- watch


def page_data(player):
    return json.loads(re.search(r'play\("\w+", (\{.*\})\);', player._repr_html_()).group(1))


def test_watch_plays_one_episode_with_a_frame_for_the_end():
    algorithm = make()
    player = watch(algorithm.agent, algorithm.policy, horizon=11)
    data = page_data(player)
    last = len(player.rollout) - 1
    assert player.rollout.end.tolist() == [False] * last + [True]
    assert data["steps"][0] == 0
    assert data["steps"][-1] == last
    assert len(data["frames"]) == len(data["steps"])
    assert f"return {last} in {last} steps" in repr(player)
    assert "Value estimate" in player.plot.alt


@pytest.mark.parametrize(
    ("env", "kind"),
    [
        ("CartPole-v0", NETWORKS.MLPPolicy),
        ("rlx/IncompleteCartPole-v1", NETWORKS.GRUPolicy),
        ("PositionPendulum-v1", NETWORKS.LSTMPolicy),
    ],
)
def test_watch_makes_the_agents_environment_once_more(env, kind):
    algorithm = make(env, kind)
    player = watch(algorithm.agent, algorithm.policy, horizon=5, greedy=False)
    assert player.rollout.states.shape[1:] == algorithm.agent.observation_space.shape


def test_watch_keeps_wrappers_and_arguments_of_the_environment():
    env = rlx.envs.HideObservation(gymnasium.make("Pendulum-v1", g=1.0), [0, 2])
    agent = rlx.Agent(env)
    assert live_module.rendered(agent).env.unwrapped.g == 1.0
    policy = NETWORKS.MLPPolicy(agent, value=False)
    player = watch(agent, policy, 5)
    assert player.rollout.states.shape == (6, 2)
    assert "Value" not in player.plot.alt
    short = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 2, max_episode_steps=7))
    assert live_module.rendered(short).env.spec.max_episode_steps == 7


def test_watch_takes_an_id_or_an_environment():
    algorithm = make()
    assert "CartPole-v1" in repr(watch("CartPole-v1", algorithm.policy, 3))
    env = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    watch(env, algorithm.policy, 3)
    env.reset()
    assert env.render() is not None  # it is still open


def test_watch_repeats_an_episode_and_leaves_the_random_numbers_alone():
    algorithm = make()
    state = torch.get_rng_state()
    one, two, other = (
        watch(algorithm.agent, algorithm.policy, 30, greedy=False, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.rollout.states, two.rollout.states)
    assert one._repr_html_() == two._repr_html_()
    assert not torch.equal(one.rollout.states[0], other.rollout.states[0])


def test_a_long_episode_stays_small():
    algorithm = make("Pendulum-v1")
    player = watch(algorithm.agent, algorithm.policy, greedy=False)
    assert len(page_data(player)["frames"]) <= 201
    assert len(player._repr_html_()) < 1_500_000


def test_noisy_pictures_stay_small():
    class Noise(gymnasium.Wrapper):
        def render(self):
            return np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)

    algorithm = make("Pendulum-v1")
    env = Noise(gymnasium.make("Pendulum-v1", render_mode="rgb_array"))
    player = watch(env, algorithm.policy, 40)
    assert len(player._repr_html_()) < 1_500_000


@pytest.mark.parametrize("space", ["Both", "Continuous", ""])
def test_every_kind_of_action_has_a_plot(space):
    agent = rlx.Agent(rlx.envs.make(f"Recall{space}-v0"))
    policy = NETWORKS.MLPPolicy(agent)
    rollout = agent(policy).episode()
    with torch.no_grad():
        rows = agent(policy).evaluate(rollout.vectorize())
    picture = watch_module.timeline(rows)
    parts = 1 + len(rows.dist.components)
    assert len(picture.drawn.axes) == parts
    assert all(ax.get_ylabel() for ax in picture.drawn.axes)
    assert picture.drawn.axes[-1].get_xlabel() == "step"


def test_what_cannot_be_watched_says_so():
    algorithm = make()
    sync = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1").unwrapped])
    with pytest.raises(ValueError, match='made with render_mode="rgb_array"'):
        watch(rlx.Agent(sync), algorithm.policy)
    agent = rlx.Agent("CartPole-v1")
    with pytest.raises(ValueError, match="rgb_array"):
        watch(agent.env, algorithm.policy, 2)
    recall = rlx.Agent("Recall-v0")
    policy = NETWORKS.MLPPolicy(recall)
    with (
        pytest.warns(UserWarning, match="render_mode"),
        pytest.raises(ValueError, match="Recall-v0 cannot be drawn"),
    ):
        watch(recall, policy)


# ---------------------------------------------------------------------------- pictures


def test_the_curve_is_svg_whatever_the_numbers_are():
    labels = ("steps", "return <of> one", "dots", "line")
    for x, dots, line in [
        ([], [], []),
        ([10], [np.nan], [np.nan]),
        ([1, 2, 3], [np.nan, -5.0, 1e6], [0.0, -3.0, np.nan]),
        (range(5000), range(5000), range(5000)),
    ]:
        root = ET.fromstring(svg_curve(x, dots, line, labels=labels, goal=10))
        text = "".join(root.itertext())
        assert "return <of> one" in text
        assert "nan" not in ET.tostring(root, encoding="unicode").replace("nan-", "")


def test_nothing_of_the_curve_lies_on_its_border():
    labels = ("steps", "return", "dots", "line")
    root = ET.fromstring(svg_curve([5_000, 40_000], [-1300, -150], [-1300, -700], labels=labels))
    texts = {e.text: e for e in root.iter("{http://www.w3.org/2000/svg}text")}
    last = float(texts["40,000"].get("x"))  # its middle; seven characters of 13 px are 45 wide
    assert last + 23 < float(root.get("width"))
    dots = [float(e.get("cy")) for e in root.iter("{http://www.w3.org/2000/svg}circle")][:2]
    assert max(dots) < float(root.get("height")) - 46 - 5  # above the axis


def test_bright_frames_are_turned_on_a_dark_page():
    white = np.full((40, 60, 3), 255, dtype=np.uint8)
    white[20:30, 20:40] = 0  # a cart
    assert bright(white)
    assert not bright(255 - white)


def test_ticks_are_round_and_inside():
    assert ticks(0, 500).tolist() == [0, 100, 200, 300, 400, 500]
    assert ticks(-1600, 0).tolist() == [-1500, -1000, -500, 0]
    assert ticks(0, 1).tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert 2 < len(ticks(0, 73_000)) < 8


def runs(*ends):
    return [
        History(
            {
                "steps": 10 * k,
                "running_return": np.nan if k == 1 else end * k / 5,
                "seconds": 0.5 * k,
            }
            for k in range(1, 6)
        )
        for end in ends
    ]


def test_curves_draws_the_interquartile_mean_and_its_interval():
    picture = curves({"good": runs(100, 1, 2, 3, -100), "bad": runs(0, 0, 0, 0, 0)})
    ax = picture.drawn.axes[0]
    assert ax.get_xlabel() == "environment steps"
    assert ax.get_ylabel() == "return, last 100 episodes"
    good = next(line for line in ax.lines if line.get_label() == "good")
    assert good.get_ydata()[-1] == pytest.approx(2.0)  # the mean of 1, 2, 3
    assert good.get_xdata()[[0, -1]].tolist() == [20, 50]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() < 1 and band.max() > 3  # noqa: PT018
    assert "good ends at 2 (95 % interval " in picture.alt
    assert "5 seeds" in picture.alt
    assert ax.get_title(loc="right") == "25 s of training"  # ten runs of 2.5 seconds


def test_comparison_draws_every_seed_and_the_interval_of_the_difference():
    picture = comparison({"this": [4, 4, 4], "that": [1, 1, 1, 1]}, goal=2)
    assert picture.alt == (
        "this: 4 [4, 4], 3 of 3 reach 2 [0.44, 1.00]; that: 1 [1, 1], 0 of 4 reach 2 [0.00, 0.49], "
        "less the first -3 to -3: a difference"
    )
    left, right = picture.drawn.axes
    dots = [line for line in left.lines if line.get_marker() == "o"]
    assert [sorted(line.get_xdata()) for line in dots] == [[4, 4, 4], [1, 1, 1, 1]]
    assert [2, 2] in [list(line.get_xdata()) for line in left.lines]
    assert [-3, -3] in [list(line.get_xdata()) for line in right.lines]


def test_comparison_of_equals_finds_no_difference():
    picture = comparison({"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0]})
    assert picture.alt.endswith("no difference found")
    assert "reach" not in picture.alt


def test_curves_of_one_run_has_no_interval():
    picture = curves(runs(10))
    assert not picture.drawn.axes[0].collections
    assert "interval" not in picture.alt
    with pytest.raises(ValueError, match="nothing to draw"):
        curves([History([{"steps": 1, "running_return": np.nan}])])


def test_a_knob_redraws_and_what_is_saved_is_the_newest_picture(notebook):
    drawn = []

    def draw(gamma, n):
        drawn.append((gamma, n))
        return Picture("<svg/>", f"gamma is {gamma} & n is {n}")

    knob = Knob(draw, gamma=(0.0, 1.0, 0.1, 0.5), n=(1, 9, 1, 3))
    knob._ipython_display_()
    sliders, picture = notebook
    assert "application/vnd.jupyter.widget-view+json" in sliders
    assert picture.keys() == {"text/html", "text/plain"}
    assert 'alt="gamma is 0.5 &amp; n is 3"' in picture["text/html"]
    assert "To move gamma, n, run this cell" in picture["text/html"]
    n = widget(sliders).children[1]
    n.value = 4
    assert drawn[-1] == (0.5, 4)
    assert "n is 4" in notebook[1]["text/html"]
    n.value = 3
    assert drawn == [(0.5, 3), (0.5, 4)]  # it has that one already
    knob.sliders["gamma"].value = 0.1 + 0.2
    assert drawn[-1] == (0.3, 3)
    assert knob.sliders["gamma"].readout_format == ".1f"


def test_a_knob_draws_two_pictures_and_of_these_only_what_was_moved(notebook):
    drawn = []

    def left(gamma):
        drawn.append(("left", gamma))
        return Picture("<svg/>", f"gamma is {gamma}")

    def right(n, gamma):
        drawn.append(("right", n, gamma))
        return Picture("<svg/>", f"n is {n}, gamma {gamma}")

    knob = Knob(left, right, gamma=(0.0, 1.0, 0.1, 0.5), n=(1, 9, 1, 3))
    knob._ipython_display_()
    assert drawn == [("left", 0.5), ("right", 3, 0.5)]
    knob.sliders["n"].value = 4
    assert drawn[2:] == [("right", 4, 0.5)]
    knob.sliders["gamma"].value = 0.6
    assert drawn[3:] == [("left", 0.6), ("right", 4, 0.6)]
    shown = notebook[1]
    assert re.findall('alt="([^"]*)"', shown["text/html"]) == ["gamma is 0.6", "n is 4, gamma 0.6"]
    assert shown["text/plain"] == "[picture: gamma is 0.6] [picture: n is 4, gamma 0.6]"
    assert shown["text/html"].count("To move gamma, n, run this cell") == 1
    with pytest.raises(TypeError, match="left asks for gamma, and no slider is named so"):
        Knob(left, g=(0, 1, 1, 0))


def luminance(colour):
    """WCAG 2's, written out once more."""
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_numbers_can_be_read_on_every_ground():
    reds_and_blues = (colormaps["RdBu"](k / 20) for k in range(21))
    for ground in (*COLOURS, *reds_and_blues, "black", "white"):
        assert contrast(ink_on(ground), ground) >= 4.5, ground
    assert contrast(INK, "white") >= 4.5
    for _, ground in KINDS.values():  # the sign of a card is white
        assert contrast("white", ground) >= 4.5


def test_the_map_links_to_the_chapters_that_are_there(tmp_path):
    (tmp_path / "05_reinforce.ipynb").touch()
    html = CourseMap(tmp_path)._repr_html_()
    assert re.findall(r'href="([^"]*)"', html) == ["05_reinforce.ipynb"]
    assert html.count("(not here)") == 14
    assert "05  REINFORCE\n" in repr(CourseMap(tmp_path))


def test_the_map_links_to_exercises_from_a_chapter_and_from_other_exercises(tmp_path):
    for place in ("notebooks", "exercises/05_reinforce", "exercises/06_baselines"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "notebooks/05_reinforce.ipynb").touch()
    (tmp_path / "exercises/05_reinforce/05_reinforce.ipynb").touch()
    for folder, links in {
        "notebooks": ["05_reinforce.ipynb", "../exercises/05_reinforce/05_reinforce.ipynb"],
        "exercises/06_baselines": [
            "../../notebooks/05_reinforce.ipynb", "../05_reinforce/05_reinforce.ipynb",
        ],
    }.items():  # fmt: skip
        page = CourseMap(tmp_path / folder)._repr_html_()
        assert re.findall(r'href="([^"]*)"', page) == links


def test_progress_says_when_a_chapter_is_done(tmp_path, monkeypatch):
    monkeypatch.setenv("RLX_HOME", str(tmp_path))
    names = [name for name, one in load().items() if one.chapter == "05" and not one.optional]
    for name in names:
        assert "✓ done" not in repr(progress())
        record(name)
    assert "05  REINFORCE ✓ done: ✓ " in repr(progress())


def test_a_summary_counts_what_was_done(tmp_path, monkeypatch, notebook):
    monkeypatch.setenv("RLX_HOME", str(tmp_path))
    assert "0 minutes on 0 days" in repr(summary())
    names = [name for name, one in load().items() if one.chapter == "05" and not one.optional]
    first, second, third, *_ = names
    count(first, checks=3, hints=2)
    count(third, checks=1, hints=1)
    record(first)
    record(second)
    for question, answer in (("Is it <so>?", "yes"), ("Which `way`?", "left"), ("Unseen?", "a")):
        keep(question, answer)
    judge("Is it <so>?", "yes")
    judge("Which `way`?", "right")
    keep("Which `way`?", "right")  # once it is known, it is no prediction
    judge("Which `way`?", "right")
    judge("Never asked?", "yes")
    seen = summary()
    assert repr(seen).startswith("2 of ")
    assert "Hints: 3, for 2 exercises. Done without any: 1." in repr(seen)
    assert "Predictions: 1 came out, 1 did not." in repr(seen)
    assert "Which `way`? You predicted: left. It came out: right." in repr(seen)
    assert "<code>way</code>" in seen._repr_html_()
    assert kept("Which `way`?") == "right"


def test_time_at_work_leaves_out_the_pauses(tmp_path, monkeypatch):
    monkeypatch.setenv("RLX_HOME", str(tmp_path))
    (tmp_path / "progress").mkdir()
    day = 24 * 60
    # 20 minutes and 25; a pause; one minute; the same minute from another kernel, and a torn line
    minutes = [100, 120, 145, 300, 300, day + 5000, day + 5001]
    text = "\n".join(map(str, minutes)) + "\nx7\n"
    (tmp_path / "progress/minutes.txt").write_text(text)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    # 100 to 145 are 45, and the first minute; 300 is one, 6440 another, and 6441 follows it
    assert worked() == (1 + 45 + 1 + 1 + 1, 2)
    monkeypatch.setattr(progress_module, "_noted", 0)
    busy()
    busy()
    assert (tmp_path / "progress/minutes.txt").read_text().count("\n") == 9


# ---------------------------------------------------------------------------- measured


@pytest.mark.parametrize(
    ("value", "limits", "line"),
    [
        (0.931, {"above": 0.9}, "x: 0.93, above 0.9: True"),
        (torch.tensor(432.25), {"at_least": 500}, "x: 432.2, at least 500: False"),
        ((3.25, 8.5), {"above": 4}, "x: 3.25 to 8.50, above 4: False"),
        (np.array([5, 5]), {"at_most": 5}, "x: 5, at most 5: True"),
        (-1234.5, {"below": 0}, "x: -1,234, below 0: True"),
        (3e-9, {"below": 1e-5}, "x: 3e-09, below 1e-05: True"),
        (0.5, {"above": 0.02, "below": 0.33}, "x: 0.50, above 0.02 and below 0.33: False"),
        (float("nan"), {"above": 0}, "x: nan, above 0: False"),
    ],
)
def test_a_number_stands_beside_its_verdict(capsys, value, limits, line):
    measured("x", value, **limits)
    assert capsys.readouterr().out == line + "\n"


@pytest.mark.parametrize("limits", [{}, {"over": 1}])
def test_a_number_needs_a_limit(limits):
    with pytest.raises(TypeError, match="above, at_least, below, at_most"):
        measured("x", 1.0, **limits)


def test_notebooks_are_compared_by_the_verdict_and_not_by_the_number(capsys):
    def said(value):
        measured("with memory: x", value, above=0.9)
        measured("the difference", (value - 1, value), at_least=-1, at_most=1)
        return sanitized(capsys.readouterr().out)

    assert said(0.93) == said(0.95) != said(0.89)
    assert sanitized("steps: 384, of 400: True") == "steps: 384, of 400: True"


# ---------------------------------------------------------------------------- predict


QUESTION = "Which policy `remembers`, a < b?"
ANSWERS = ("the first", "the second & last", "neither")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RLX_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def cards(monkeypatch):
    shown = []
    monkeypatch.setattr(sys.modules["rlx.course.predict"], "show", shown.append)
    return shown


def test_a_prediction_is_kept_and_shown_beside_what_came_out(notebook, home, cards):
    guess = Guess(QUESTION, ANSWERS)
    guess._ipython_display_()
    question, buttons, below = notebook
    assert "Which policy <code>remembers</code>, a &lt; b?" in question["text/html"]
    assert below["text/plain"] == "Not predicted yet."
    for answer in ("the first", "the second &amp; last", "neither"):  # without a kernel, too
        assert f"<li>{answer}</li>" in below["text/html"]
    assert "To predict, run this cell" in below["text/html"]

    guess.came_out("neither", "Both forget.")
    assert (
        str(cards[-1]) == f"→ It came out: neither\n  {QUESTION}\n  Not predicted.\n  Both forget."
    )

    box = widget(buttons)
    box.children[1].click()
    assert [button.description for button in box.children] == [
        "the first", "✓ the second & last", "neither",
    ]  # fmt: skip
    assert notebook[2]["text/plain"] == "You predict: the second & last."
    guess.came_out("neither")
    assert str(cards[-1]).endswith(f"{QUESTION}\n  You predicted: the second & last.")
    guess.came_out("the second & last", "It has a state.")
    assert str(cards[-1]).startswith("✓ It came out: as you predicted, the second & last\n")

    again = Guess(QUESTION, ANSWERS)  # another day
    assert again.answer == "the second & last"
    again.choose("neither")
    assert Guess(QUESTION, ANSWERS).answer == "neither"
    assert Guess(QUESTION, ("yes", "no")).answer is None
    assert Guess("Another question?", ANSWERS).answer is None
    assert not passed()  # it is not an exercise


def test_what_cannot_be_predicted_says_so(home):
    guess = Guess(QUESTION, ANSWERS)
    with pytest.raises(ValueError, match=r"'all' is not an answer to .*'the first', 'the second"):
        guess.came_out("all")
    for choices in ((), ("yes",), ("yes", "yes"), "yes"):
        with pytest.raises(ValueError, match="two different answers"):
            Guess(QUESTION, choices)


def test_a_prediction_outlives_a_folder_that_cannot_be_written(home, notebook):
    (home / "progress").write_text("a file in the way")
    guess = Guess(QUESTION, ANSWERS)
    guess._ipython_display_()
    guess.choose("neither")
    assert guess.answer == "neither"
    assert "It could not be noted in" in notebook[2]["text/plain"]
    (home / "progress").unlink()
    guess.choose("neither")
    next((home / "progress" / "predictions").iterdir()).write_text("[]")
    assert Guess(QUESTION, ANSWERS).answer is None


def test_a_script_prints_the_question(home, capsys):
    predict("Will it learn?", ("yes", "no")).came_out("yes", "It has a gradient.")
    assert capsys.readouterr().out == (
        "Predict: Will it learn? (yes | no)\n"
        "→ It came out: yes\n  Will it learn?\n  Not predicted.\n  It has a gradient.\n"
    )


def test_a_ring_has_a_box_for_each_row_and_an_arc_for_each_window():
    from rlx.course.plots import ring

    episode, end = torch.tensor([1, 1, 0, 0, -1]), torch.tensor([0, 1, 0, 1, 0]).bool()
    picture = ring(episode, end, torch.tensor([0, 1, 2, 3]), torch.tensor([2, 2]), newest=1)
    assert picture.alt == "A ring of 5 rows, and windows of 2, 2 rows in it"
    (ax,) = picture.drawn.axes
    assert len(ax.patches) == 5
    assert [bool(box.get_facecolor()[3]) for box in ax.patches] == [True, False, True, False, False]
    assert len(ax.lines) == 2
    across = [line.get_xdata() for line in ax.lines]
    assert [round(float(x[0] / (2 * np.pi) * 5), 1) for x in across] == [-0.3, 1.7]


def test_cross_play_writes_the_table_and_leaves_out_the_diagonal():
    rates = np.array([[0.5, 0.9], [0.1, 0.5]])
    picture = cross_play(["strong", "weak"], rates, [190.8, -190.8])
    assert picture.alt == "Win rates of each against each, beside Elo: strong +191, weak -191"
    left, right = picture.drawn.axes
    assert sorted(text.get_text() for text in left.texts) == ["0.10", "0.90"]
    assert [bar.get_width() for bar in right.patches] == [190.8, -190.8]
