"""PPO with values as they are and with values standardised, V = μ + σ v: what does it change?

Own policies, as a newcomer writes them (one body, one linear head each), and the library's; with
and without memory; rewards of 1 (CartPole) and of -16 to 0 (Pendulum). Everything else is PPO's
defaults. Mean return of the last 100 episodes after a few updates and after three times as many,
a line a seed.

    python benchmarks/standard_value.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical, Normal

import rlx
from rlx import networks


class Own(rlx.Parametric):
    """One body for both heads."""

    def __init__(self, agent: rlx.Agent, memory: bool) -> None:
        super().__init__()
        n_in, actions = agent.observation_space.shape[0], agent.action_space
        self.memory = memory
        layers = (nn.Linear(n_in, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.body = nn.GRUCell(n_in, 32) if memory else nn.Sequential(*layers)
        size = 32 if memory else 64
        self.discrete = hasattr(actions, "n")
        self.action = nn.Linear(size, actions.n if self.discrete else actions.shape[0])
        self.value = nn.Linear(size, 1)
        self.log_std = None if self.discrete else nn.Parameter(torch.full(actions.shape, -0.5))

    def forward(self, *states):
        recur_state, state = states
        features = self.body(state, recur_state) if self.memory else self.body(state)
        numbers = self.action(features)
        dist = Categorical(logits=numbers) if self.discrete else Normal(numbers, self.log_std.exp())
        return features if self.memory else None, rlx.ActionDistribution(dist), self.value(features)


CASES: dict[str, tuple[str, Callable[[rlx.Agent], rlx.Parametric], int, dict[str, float]]] = {
    "own GRU": ("CartPole-v1", lambda agent: Own(agent, True), 20, {}),
    "own MLP": ("CartPole-v1", lambda agent: Own(agent, False), 20, {}),
    "MLPPolicy": ("CartPole-v1", networks.MLPPolicy, 20, {}),
    "GRUPolicy": ("IncompleteCartPole-v1", networks.GRUPolicy, 40, {}),
    "own GRU ": ("Pendulum-v1", lambda agent: Own(agent, True), 40, {"gamma": 0.95}),
    "own MLP ": ("Pendulum-v1", lambda agent: Own(agent, False), 40, {"gamma": 0.95}),
    "MLPPolicy ": ("Pendulum-v1", networks.MLPPolicy, 40, {"gamma": 0.95}),
}


class AsTheyAre(rlx.algos.PPO):
    """V = v."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.targets.update = lambda rollout, gamma: None


def run(kind: type, case: str, seed: int) -> tuple[float, float]:
    env, make, updates, options = CASES[case]
    torch.manual_seed(seed)
    agent = rlx.Agent(rlx.envs.make_vec(env, 16), seed=seed)
    algorithm = kind(agent, make(agent), **options)
    after = []
    for _ in range(2):
        for _ in range(updates if not after else 2 * updates):
            algorithm.update()
        after.append(float(np.mean(algorithm.recent)))
    return after[0], after[1]


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--cases", nargs="+", default=list(CASES))
    args = command.parse_args()
    torch.set_num_threads(1)  # faster: the networks are small
    for case in args.cases:
        env, _, updates, _ = CASES[case]
        print(f"\n{case.strip()}, {env}: after {updates} and {3 * updates} updates")
        print("seed   as they are    standardised")
        for seed in range(args.seeds):
            cells = [run(kind, case, seed) for kind in (AsTheyAre, rlx.algos.PPO)]
            print(f"{seed:>4}" + "".join(f"{a:>8.0f} {b:>7.0f}" for a, b in cells), flush=True)


if __name__ == "__main__":
    main()
