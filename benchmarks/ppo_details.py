"""PPO's details, one changed at a time: ten seeds each, and the interval of the difference.

The numbers are those of "The 37 Implementation Details of Proximal Policy Optimization" (Huang et
al., 2022); docs/ppo_details.md says where each of them is in rlx. What counts is the mean over a
run's updates of the return of the last 100 episodes, so that learning sooner counts as well as
ending higher.

    python benchmarks/ppo_details.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

import rlx
from rlx import functional, networks, stats

BASE = dict(n_steps=32, epochs=4, minibatches=4, gamma=0.98, gae_lambda=0.9, lr=3e-3)
NEVER = 1e9  # a clip that is never reached


class Annealed(rlx.algos.PPO):
    """Learning rate, or clip, down to 0 over the run, in equal steps."""

    def __init__(self, *args, total: int, what: str, **options) -> None:
        super().__init__(*args, **options)
        self.total, self.what = total, what
        self.began = self.clip, [group["lr"] for group in self.agent.optimizer.param_groups]

    def update(self) -> dict[str, float]:
        left = 1 - self.updates / self.total
        if self.what == "clip":
            self.clip = left * self.began[0]
        else:
            for group, lr in zip(self.agent.optimizer.param_groups, self.began[1]):
                group["lr"] = left * lr
        return super().update()


class ClippedValue(rlx.algos.PPO):
    """The value may move by `clip` deviations an update; beyond, the larger error counts."""

    def value_loss(self, rollout: rlx.Rollout) -> torch.Tensor:
        old, deviation = rollout.returns - rollout.advantages, self.targets.deviation
        values, reach = self.value_of(rollout), self.clip * deviation
        near = old + (values - old).clamp(-reach, reach)
        errors = torch.stack([values, near]) - rollout.returns
        return (errors / deviation).square().amax(0).mean()


class WholeTable(rlx.algos.PPO):
    """Advantages are normalised once over the table, not in each minibatch."""

    def sample(self) -> rlx.Rollout:
        rollout = super().sample()
        rollout.advantages = functional.normalize(rollout.advantages)
        return rollout


class StoresClipped(rlx.algos.PPO):
    """The table holds the action that the environment executed, not the one that was sampled."""

    @torch.no_grad()
    def sample(self) -> rlx.Rollout:
        runner = self.agent(self.policy)
        rollout = runner.segment(self.n_steps, dry=True)
        rollout.actions = tuple(action.clamp(-1, 1) for action in rollout.actions)
        rollout = runner.evaluate(rollout)
        self.targets.update(rollout, self.gamma)
        rollout.gae(self.value_of(rollout), self.gamma, self.gae_lambda)
        return rollout[:-1]


class OneBody(networks.Network):
    """The same layers for the actions and for the value."""

    activation = nn.Tanh

    def build(self) -> None:
        self.trunk = self.body()
        self.actor = networks.ActionHead(self.n_out, self.action_space)
        self.critic = networks.linear(self.n_out, 1, 1.0)

    def heads(self, features: torch.Tensor) -> tuple:
        features = self.trunk(features)
        return self.actor(features), self.critic(features)


class OwnDeviation(networks.Network):
    """The deviation of a continuous action depends on the state."""

    activation = nn.Tanh

    def build(self) -> None:
        self.actor = self.network(2 * int(np.prod(self.action_space.shape)), gain=0.01)
        self.critic = self.network(1, gain=1.0)

    def heads(self, features: torch.Tensor) -> tuple:
        mean, log_std = self.actor(features).chunk(2, dim=-1)
        std = (log_std - 0.5).clamp(-5, 2).exp()
        return rlx.ActionDistribution(Normal(mean, std)), self.critic(features)


def torchs_own(policy: rlx.Parametric) -> None:
    for module in policy.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()


def large_head(policy: rlx.Parametric) -> None:
    for layer in policy.actor[-1].layers:
        nn.init.orthogonal_(layer.weight, 1.0)


def wide(policy: rlx.Parametric) -> None:
    for log_std in policy.actor[-1].log_stds:
        nn.init.zeros_(log_std)


def make(
    env: str,
    seed: int,
    kind: type = rlx.algos.PPO,
    policy: type = networks.MLPPolicy,
    change: Callable | None = None,
    wrap: Callable | None = None,
    num_envs: int = 64,
    eps: float | None = None,
    **options,
) -> rlx.algos.PPO:
    torch.manual_seed(seed)
    envs = rlx.envs.make_vec(env, num_envs)
    agent = rlx.Agent(envs if wrap is None else wrap(envs), seed=seed)
    made = policy(agent, hidden=64)
    if change is not None:
        change(made)
    options = BASE | options
    if eps is not None:
        agent.optimizer = torch.optim.Adam(made.parameters(), lr=options["lr"], eps=eps)
    return kind(agent, made, **options)


def everywhere(updates: int) -> dict[str, dict]:
    """By the number of the detail: what differs from the library."""
    return {
        "the library": {},
        "1 8 environments of 256 steps": dict(num_envs=8, n_steps=256),
        "2 torch's own initial weights": dict(change=torchs_own),
        "2 head with gain 1, not 0.01": dict(change=large_head),
        "3 Adam's epsilon 1e-5": dict(eps=1e-5),
        "4 learning rate down to 0": dict(kind=Annealed, total=updates, what="lr"),
        "5 lambda 0": dict(gae_lambda=0.0),
        "5 lambda 1": dict(gae_lambda=1.0),
        "6 1 minibatch": dict(minibatches=1),
        "6 16 minibatches": dict(minibatches=16),
        "7 advantages as they are": dict(standardize_return=False),
        "7 normalised over the table": dict(kind=WholeTable, standardize_return=False),
        "8 no clip": dict(clip=NEVER),
        "9 value clipped": dict(kind=ClippedValue),
        "10 entropy bonus 0.01": dict(entropy_reg=0.01),
        "11 gradient clipped at 0.5": dict(grad_clip=0.5),
        "13 one body for both heads": dict(policy=OneBody),
        "a1 clip down to 0": dict(kind=Annealed, total=updates, what="clip"),
        "a3 stop at a KL of 0.01": dict(target_kl=0.01),
    }


def continuous(updates: int) -> dict[str, dict]:
    same = "the library", "3 Adam's epsilon 1e-5", "7 advantages as they are", "8 no clip"
    both = "2 head with gain 1, not 0.01", "11 gradient clipped at 0.5", "9 value clipped"
    wrappers = gymnasium.wrappers.vector
    return {name: everywhere(updates)[name] for name in same + both} | {
        "24 deviation depends on the state": dict(policy=OwnDeviation),
        "24 deviation 1 at first, not 0.6": dict(change=wide),
        "27 stores the clipped action": dict(kind=StoresClipped),
        "28 observations normalised": dict(wrap=wrappers.NormalizeObservation),
        "30 rewards scaled": dict(wrap=lambda envs: wrappers.NormalizeReward(envs, gamma=0.98)),
    }


def passes() -> dict[str, dict]:
    return {
        f"{epochs:2} passes, {'clip 0.2' if clip == 0.2 else 'no clip'}": dict(
            epochs=epochs, clip=clip
        )
        for epochs in (1, 4, 10, 30)
        for clip in (0.2, NEVER)
    }


def score(algorithm: rlx.algos.PPO, updates: int) -> float:
    """Mean over the updates of the running return; it stays what it was if the numbers ran away."""
    returns: list[float] = []
    try:
        for metrics in rlx.iterate(algorithm, updates=updates):
            returns += [metrics["running_return"]]
    except FloatingPointError:
        returns += [returns[-1]] * (updates - len(returns))
    return float(np.nanmean(returns))


def table(
    title: str, env: str, variants: dict[str, dict], updates: int, seeds: int
) -> dict[str, np.ndarray]:
    """Prints what `seeds` seeds of each variant say; returns each seed's score."""
    began, found = time.process_time(), {}
    for name, options in variants.items():
        runs = rlx.repeat(
            lambda seed, options=options: score(make(env, seed, **options), updates),
            seeds=seeds,
            jobs=1,
            progress=False,
        )
        found[name] = np.array(runs)
        print(f"{name}: {found[name].mean():.1f}", file=sys.stderr)
    spent = time.process_time() - began
    print(f"\n{title}: {env}, {updates} updates of 2,048 steps, {spent:.0f} s")
    print(stats.compare(found), flush=True)
    return found


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--seeds", type=int, default=10)
    command.add_argument("--updates", type=int, default=40)
    command.add_argument("--only", choices=["passes", "discrete", "continuous"])
    args = command.parse_args()
    torch.set_num_threads(1)
    tables = {
        "passes": ("How often, and with a clip?", "CartPole-v1", passes()),
        "discrete": ("Details", "CartPole-v1", everywhere(args.updates)),
        "continuous": ("Details, continuous actions", "Reach-v0", continuous(args.updates)),
    }
    found = {
        title: table(title, env, variants, args.updates, args.seeds)
        for name, (title, env, variants) in tables.items()
        if args.only in (None, name)
    }
    for title, scores in found.items():
        print(f"\n{title}: each seed")
        for name, each in scores.items():
            print(f"{name:33} " + " ".join(f"{one:5.1f}" for one in each))


if __name__ == "__main__":
    main()
