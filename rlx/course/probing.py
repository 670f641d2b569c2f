"""The ritual before the first real training: six problems so small that the answers are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

import rlx
from rlx.algos import Algorithm
from rlx.envs import probes


def probe(
    make: Callable[[str], Algorithm], gamma: float = 0.5, updates: int = 120
) -> dict[str, bool]:
    """Train `make(env)` on each probe of `rlx.envs.probes`, and print what it learns there.

        probe(lambda env: rlx.algos.A2C(…, gamma=0.5))

    `make` takes the name of an environment and returns an algorithm that discounts by `gamma`,
    small here, so that one step of discount is not to be missed. Right are values within 0.1, and
    actions with a probability of 0.9. Returns which probes were passed, by their names; the first
    that is not names the part to look at."""
    passed = {}
    for kind in probes.KINDS:
        name = f"Probe{kind.capitalize()}-v0"
        algorithm = make(name)
        rlx.train(algorithm, updates=updates, progress=False)
        passed[kind], said = judge(algorithm, kind, gamma)
        print(f"{name:20} {'passed' if passed[kind] else 'FAILED'}: {said}")
    return passed


@torch.no_grad()
def judge(algorithm: Algorithm, kind: str, gamma: float) -> tuple[bool, str]:
    """Has it learned what is right on this probe? And what it says there, beside that."""
    seen, values, actions = probes.solution(kind, gamma)
    runner = algorithm.agent(algorithm.policy)
    if actions is not None:
        _, dist, *_ = algorithm.policy(None, torch.from_numpy(seen))
        chances = dist.log_prob(torch.from_numpy(actions)).exp()
        text = ", ".join(f"{chance:.2f}" for chance in chances)
        return bool((chances > 0.9).all()), f"probability of the right action {text}"
    rollout = runner.episodes(32)
    found = algorithm.value_of(rollout)[~rollout.end]
    states = rollout.states[~rollout.end]
    means = [found[(states == torch.from_numpy(state)).all(1)].mean().item() for state in seen]
    text = ", ".join(f"{mean:.2f}" for mean in means)
    right = ", ".join(f"{value:.2f}" for value in values)
    return np.allclose(means, values, atol=0.1), f"V {text}, where {right} is right"
