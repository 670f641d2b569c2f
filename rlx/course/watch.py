"""`watch(agent, policy)`: one episode, as a player inside the notebook."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import io
import json
import os
import sys
from base64 import b64encode
from importlib import resources
from string import Template

import gymnasium
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal

from rlx import envs
from rlx.agent import Agent
from rlx.course.picture import COLOURS, Picture, bright
from rlx.policy import Parametric
from rlx.rollout import Rollout
from rlx.seeding import undisturbed

MOST_FRAMES, MOST_BYTES, FPS = 200, 1_000_000, 30
LEFT, RIGHT = 0.14, 0.96  # edges of the plots, as parts of the width: the cursor runs between
TOP, BOTTOM = 0.24, 0.46  # margins above and below them, in inches
VECTOR_ONLY = {"num_envs", "vectorization_mode", "vector_kwargs", "wrappers"}


def watch(
    env: Agent | gymnasium.Env | str,
    policy: Parametric,
    horizon: int | None = None,
    *,
    greedy: bool = True,
    seed: int = 0,
    actions: tuple[str, ...] = (),
) -> Player:
    """Play one episode in a fresh environment, and show it with what the policy makes of each step.

    `env` is an id, an agent (its environment is made once more, singly), or an environment that was
    made with `render_mode="rgb_array"`. `greedy` takes the most probable action; `greedy=False`
    samples, as training does. The same `seed` gives the same episode; random numbers elsewhere
    stay as they were. `actions` are names for the values of a discrete action.

    Show it as the last line of a cell, or with `display(…)`. `.rollout` holds what was played.
    """
    agent = rendered(env, seed)
    with undisturbed(seed), torch.no_grad():
        rollout = agent(policy).episode(horizon, greedy=greedy, render=True)
        # Each row by itself, with its stored recurrent state: one pass, which keeps `dist`.
        rows = agent(policy).evaluate(rollout.vectorize())
    spec, fps = agent.env.unwrapped.spec, agent.env.metadata.get("render_fps") or FPS
    name = spec.id if spec else type(agent.env.unwrapped).__name__
    title = f"{name}, {'most probable' if greedy else 'sampled'} actions"
    if agent.env is not env:
        agent.env.close()
    return Player(rollout, timeline(rows, actions), title, fps)


def rendered(env: Agent | gymnasium.Env | str, seed: int = 0) -> Agent:
    """An agent in one environment of that kind which draws pictures."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        # Without a screen SDL complains on stderr, and the complaint would stand in the notebook.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if isinstance(env, gymnasium.Env):
        return Agent(env, seed=seed)
    if isinstance(env, str):
        env = Agent(env)
    spec = env.env.spec if env.envs.single else env.env.unwrapped.spec
    if spec is None:
        raise ValueError(
            "this agent's environment was not made by its id, so it cannot be made once more: pass "
            'one that was made with render_mode="rgb_array" in place of the agent'
        )
    kwargs = {key: spec.kwargs[key] for key in spec.kwargs.keys() - VECTOR_ONLY}
    limit = kwargs.pop("max_episode_steps", spec.max_episode_steps)
    spec = dataclasses.replace(spec, kwargs=kwargs)
    made = envs.make(spec, render_mode="rgb_array", max_episode_steps=limit)
    if "rgb_array" not in made.metadata.get("render_modes", ()):
        raise ValueError(f"{spec.id} cannot be drawn: it has no render_mode 'rgb_array'")
    return Agent(made, seed=seed)


class Player:
    """Frames with a button and a slider, and beneath them what goes with each; needs no network."""

    def __init__(self, rollout: Rollout, plot: Picture, title: str, fps: float) -> None:
        self.rollout, self.plot, frames = rollout, plot, rollout.frames
        last, self.bright = len(rollout) - 1, bright(frames[0])
        self.title = f"{title}: return {rollout.rewards.sum():.4g} in {last} steps"
        stride = max(round(fps / FPS), -(-len(frames) // MOST_FRAMES), 1)
        while True:
            self.steps = [*range(0, last, stride), last]  # the end row is always shown
            self.frames = [_webp(frames[step]) for step in self.steps]
            if len(self.steps) <= 16 or sum(map(len, self.frames)) < MOST_BYTES:
                break
            stride *= 2
        # At the environment's own speed, except that the eye needs a while for a few steps.
        self.fps = min(fps / stride, max(4.0, len(self.steps) / 3))
        if fps / stride > 1.5 * self.fps:
            self.title += f" (slowed down {fps / stride / self.fps:.0f} times)"

    def __repr__(self) -> str:
        return f"<{self.title}>"

    def _repr_html_(self) -> str:
        data = json.dumps(
            {
                "frames": [b64encode(frame).decode() for frame in self.frames],
                "steps": self.steps,
                "fps": round(self.fps, 2),
                "cursor": [LEFT, RIGHT],
            }
        )
        name = hashlib.sha1(data.encode()).hexdigest()[:12]
        first = "data:image/webp;base64," + b64encode(self.frames[0]).decode()
        height = self.plot.drawn.get_figheight()
        return Template(asset("player.html")).substitute(
            name=name,
            first=first,
            title=html.escape(self.title),
            bright=" rlx-bright" if self.bright else "",
            last=len(self.steps) - 1,
            plot=self.plot._repr_html_(),
            left=f"{100 * LEFT:.1f}",
            top=f"{100 * TOP / height:.1f}",
            bottom=f"{100 * BOTTOM / height:.1f}",
            script=asset("player.js"),
            data=data,
        )


def asset(name: str) -> str:
    """The text of a page or a script that lies beside this module."""
    return resources.files("rlx.course").joinpath(name).read_text(encoding="utf-8")


def _webp(frame: np.ndarray) -> bytes:
    picture = Image.fromarray(frame)
    picture = picture.reduce(max(1, round(max(picture.size) / 300)))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=75, method=1)
    return buffer.getvalue()


def timeline(rows: Rollout, actions: tuple[str, ...] = ()) -> Picture:
    """The value, if the policy has one, and the probabilities of its actions, over the time steps.

    `rows` is an evaluated, vectorized rollout of one episode; the value is the first extra that is
    one number a row."""
    values = next((x for x in rows.others if x is not None and x.ndim == 1), None)
    components = rows.dist.components[:3]
    n = len(components) + (values is not None)
    height = TOP + BOTTOM + 0.9 * n
    figure = Figure(figsize=(5.2, height), dpi=100)
    axes = figure.subplots(n, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(LEFT, BOTTOM / height, RIGHT, 1 - TOP / height, hspace=0.35)
    steps = np.arange(len(rows))
    if values is not None:
        axes[0].plot(steps, values, color=COLOURS[0])
        axes[0].set_ylabel("value")
    for ax, component in zip(axes[n - len(components) :], components):
        # No action is taken at the end row.
        _draw_actions(ax, steps[:-1], component, actions)
    axes[-1].set_xlim(0, max(len(rows) - 1, 1))
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    what = "Value estimate and action" if values is not None else "Action"
    return Picture(figure, f"{what} probabilities at each of {len(rows) - 1} steps")


def _draw_actions(ax, steps: np.ndarray, component: Distribution, names: tuple[str, ...]) -> None:
    n = len(steps)
    if isinstance(component, Categorical):
        shares = component.probs[:n].T
        if len(shares) > len(COLOURS):  # too many to tell apart: one line of pixels for each
            ax.imshow(shares, aspect="auto", origin="lower", extent=(0, n, -0.5, len(shares) - 0.5))
            ax.set_ylabel("action")
            return
        names = names or [f"action {k}" for k in range(len(shares))]
        until = np.append(steps, n), np.hstack([shares, shares[:, -1:]])  # the last step, too
        ax.stackplot(*until, labels=names, colors=COLOURS, step="post", alpha=0.85)
        ax.set(ylabel="probability", ylim=(0, 1))
        ax.legend(
            loc="lower right", bbox_to_anchor=(1, 0.99), ncols=len(shares), frameon=False,
            fontsize=8, borderaxespad=0, handlelength=1,
        )  # fmt: skip
        return
    while isinstance(component, Independent):
        component = component.base_dist
    centre = component.probs if isinstance(component, Bernoulli) else component.mode
    spread = component.stddev if isinstance(component, Normal) else None
    for k, colour in zip(range(centre[0].numel()), COLOURS):
        line = centre[:n].reshape(n, -1)[:, k]
        ax.plot(steps, line, color=colour)
        if spread is not None:
            width = spread[:n].reshape(n, -1)[:, k]
            ax.fill_between(steps, line - width, line + width, alpha=0.25, lw=0, color=colour)
    ax.set_ylabel("probability" if isinstance(component, Bernoulli) else "action")
