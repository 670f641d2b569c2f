"""Sampling CartPole-v1 with a 64×64 MLP: rlx's `segment` against the bare limit and against SB3.

The bare limit is the least that can be done: policy forward, Gumbel-max sampling, `env.step`, in a
hand-written loop that keeps nothing. All are measured in turn, in one process, on one thread; what
counts is the ratio, of processor times. "torch's" is the same network with the Categorical of
torch.distributions. SB3's `collect_rollouts` also computes values and log-probabilities.

    python benchmarks/sampling.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from gymnasium.vector import VectorEnv
from torch import nn
from torch.distributions import Categorical

import rlx


def bare(env: VectorEnv, net: nn.Module, n_steps: int) -> None:
    observations, _ = env.reset()
    with torch.no_grad():
        for _ in range(n_steps):
            logits = net(torch.from_numpy(observations))
            noise = torch.empty_like(logits).exponential_().log()
            observations, *_ = env.step((logits - noise).argmax(-1).numpy())


class OwnHead(rlx.Parametric):
    """What somebody writes who knows torch.distributions, and not rlx's own."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *states):
        _, state = states
        return None, rlx.ActionDistribution(Categorical(logits=self.net(state)))


def sb3_collector(n_envs: int, n_steps: int) -> Callable[[], None]:
    """SB3's own sampling, as its PPO calls it."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import CallbackList
    from stable_baselines3.common.env_util import make_vec_env

    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", n_envs), n_steps=n_steps, device="cpu")
    _, callback = model._setup_learn(10**9)
    assert isinstance(callback, CallbackList) or callback is not None

    def collect() -> None:
        model.collect_rollouts(model.env, callback, model.rollout_buffer, n_steps)

    return collect


def seconds(run: Callable[[], object]) -> float:
    began = time.process_time()  # what else the machine does is not counted
    run()
    return time.process_time() - began


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--rounds", type=int, default=9)
    command.add_argument("--n_steps", type=int, default=256)
    args = command.parse_args()
    torch.set_num_threads(1)
    print(f"CartPole-v1, segment({args.n_steps}, dry=True), median of {args.rounds} rounds in turn")
    print(
        f"{'envs':>5} {'bare':>10} {'rlx':>10} {'SB3':>10} {'rlx/bare':>9} {'torch/bare':>11} "
        f"{'rlx/SB3':>8}  steps/s"
    )
    for n_envs in (8, 32, 128):
        agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", n_envs))
        policy = rlx.networks.MLPPolicy(agent, value=False)
        env = rlx.envs.make_vec("CartPole-v1", n_envs)
        net = nn.Sequential(policy.actor[0], policy.actor[1].layers[0])
        runs = {
            "bare": partial(bare, env, net, args.n_steps),
            "rlx": partial(agent(policy).segment, args.n_steps, dry=True),
            "torch": partial(agent(OwnHead(net)).segment, args.n_steps, dry=True),
        }
        try:
            runs["sb3"] = sb3_collector(n_envs, args.n_steps)
        except ImportError:
            print("stable-baselines3 is not installed: pip install -e '.[bench]'")
        for run in runs.values():
            run()
        rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(args.rounds)]

        def speed(name: str, rounds: list = rounds, n_envs: int = n_envs) -> float:
            if name not in rounds[0]:
                return float("nan")
            return n_envs * args.n_steps / statistics.median(one[name] for one in rounds)

        def ratio(other: str, ours: str = "rlx", rounds: list = rounds) -> float:
            if other not in rounds[0]:
                return float("nan")
            return statistics.median(one[other] / one[ours] for one in rounds)

        print(
            f"{n_envs:>5} {speed('bare'):>10,.0f} {speed('rlx'):>10,.0f} {speed('sb3'):>10,.0f} "
            f"{ratio('bare'):>9.2f} {ratio('bare', 'torch'):>11.2f} {ratio('sb3'):>8.1f}"
        )


if __name__ == "__main__":
    main()
