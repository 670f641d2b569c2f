"""The ritual before the first real training: six problems so small that the answers are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

import rlx
from rlx.algos import Algorithm
from rlx.course import faults
from rlx.envs import probes
from rlx.rollout import Rollout


def probe(
    make: Callable[[str], Algorithm], gamma: float = 0.5, updates: int = 120
) -> dict[str, bool]:
    """Train `make(env)` on each probe of `rlx.envs.probes`, and print what it learns there.

        probe(lambda env: rlx.algos.A2C(…, gamma=0.5))

    `make` takes the name of an environment and returns an algorithm that discounts by `gamma`,
    small here, so that one step of discount is not to be missed. If it takes continuous actions,
    let it make the environment with `actions="continuous"`. Right are values within 0.1, actions
    with a probability of 0.9, and best actions (of Q-values, or continuous ones within 0.15).

    Returns which probes were passed, by their names. Those that ask for values are left out for an
    algorithm without. If some failed, the last line names the faults of `rlx.course.faults` that
    would do just that."""
    passed = {}
    for kind in probes.KINDS:
        name = f"Probe{kind.capitalize()}-v0"
        algorithm = make(name)
        rlx.train(algorithm, updates=updates, progress=False)
        right, said = judge(algorithm, kind, gamma)
        if right is not None:
            passed[kind] = right
        how = {True: "passed", False: "FAILED", None: "left out"}[right]
        print(f"{name:20} {how}: {said}")
    if not all(passed.values()):
        fitting = faults.suspects(passed)
        print("What fits:", "; or ".join(fitting) or "none of the single faults that are known")
    return passed


@torch.no_grad()
def judge(algorithm: Algorithm, kind: str, gamma: float) -> tuple[bool | None, str]:
    """Has it learned what is right on this probe? And what it says there, beside that.

    None for a probe of values, if it learns none."""
    seen, values, actions = probes.solution(kind, gamma)
    runner = algorithm.agent(algorithm.policy)
    rollout = runner.evaluate(runner.episodes(32, dry=True))
    where = [(rollout.states == torch.from_numpy(state)).all(1) & ~rollout.end for state in seen]
    if actions is not None:
        right = sum(action * rows for action, rows in zip(actions, where))
        good, what, found = _actions(algorithm, rollout, right)
        means = [found[rows].mean().item() for rows in where]
        text = ", ".join(f"{mean:.2f}" for mean in means)
        return good(np.array(means)), f"{what} {text}"
    if (found := _values(algorithm, rollout)) is None:
        return None, "it learns no values"
    means = [found[rows].mean().item() for rows in where]
    text = ", ".join(f"{mean:.2f}" for mean in means)
    right = ", ".join(f"{value:.2f}" for value in values)
    return np.allclose(means, values, atol=0.1), f"V {text}, where {right} is right"


def _q_values(algorithm: Algorithm, rollout: Rollout) -> Tensor | None:
    """The Q-values of all actions at each row, (N, A), if that is what it learns."""
    if isinstance(algorithm.policy, rlx.critics.QPolicy):
        return algorithm.agent(algorithm.policy.network).evaluate(rollout).others[0]
    return next((one for one in rollout.others if one is not None and one.ndim == 2), None)


def _values(algorithm: Algorithm, rollout: Rollout) -> Tensor | None:
    """What it takes each row to be worth, (N,): by V, by the best Q, or by a critic's Q of what the
    policy would do (the least of several). None if it learns no values."""
    if (q := _q_values(algorithm, rollout)) is not None:
        return q.amax(1)
    if critic := getattr(algorithm, "critic", None):
        best = algorithm.agent(algorithm.policy).evaluate(rollout, greedy=True).actions
        q = algorithm.agent(critic).evaluate(rollout.fresh(), actions=best).others
        return torch.stack(q).amin(0)
    return algorithm.value_of(rollout) if rollout.others else None


def _actions(algorithm: Algorithm, rollout: Rollout, right: Tensor):
    """What is asked of its actions, and what it says, in words and at each row, (N,)."""
    runner = algorithm.agent(algorithm.policy)
    if isinstance(algorithm.agent.action_space, spaces.Box):
        best = runner.evaluate(rollout, greedy=True).actions[0].flatten()
        off = (best - (right - 0.5)).abs()
        return lambda means: bool((means <= 0.15).all()), "off the right action by", off
    if (q := _q_values(algorithm, rollout)) is not None:
        chosen = 1.0 * (q.argmax(1) == right)
        return lambda means: bool((means == 1).all()), "chooses the right action in", chosen
    chances = runner.evaluate(rollout, actions=(right.long(),)).logprobs.exp()
    return lambda means: bool((means > 0.9).all()), "probability of the right action", chances
