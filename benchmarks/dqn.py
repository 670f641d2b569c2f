"""DQN until CartPole-v1 is solved: rlx beside Stable-Baselines3, seed by seed in turn, on the CPU.

Solved: 20 greedy episodes, the same each time, average 475. They are played every second, and their
time is not counted. SB3 runs with the settings that rl-zoo tuned for it. Both run in this process,
in turn; what counts is the medians' ratio. Recurrent DQN follows, where a velocity is hidden;
Stable-Baselines3 has none.

    python benchmarks/dqn.py
"""

from __future__ import annotations

import argparse

import torch
from until import Stopwatch, compare, learn, table, train

import rlx

LIMIT = 120.0  # seconds after which a run counts as not solved


def ours(seed: int, env: str = "CartPole-v1", policytype: str = "mlp") -> Stopwatch:
    """rlx's DQN."""
    watch = Stopwatch(LIMIT, goal=475)
    return train(rlx.tuned.make("dqn", env, policytype, seed), watch, env)


def sb3(seed: int) -> Stopwatch:
    """SB3's DQN, with rl-zoo's settings for CartPole-v1."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_vec_env

    torch.manual_seed(seed)
    watch = Stopwatch(LIMIT, goal=475)
    model = DQN(
        "MlpPolicy",
        make_vec_env("CartPole-v1", 1, seed=seed),
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1000,
        gamma=0.99,
        target_update_interval=10,
        train_freq=256,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs=dict(net_arch=[256, 256]),
        seed=seed,
        device="cpu",
    )
    return learn(model, watch, "CartPole-v1", 50_000)


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--seeds", type=int, default=3)
    args = command.parse_args()
    torch.set_num_threads(1)  # faster for both: the networks are small
    compare("DQN, CartPole-v1", ours, sb3, args.seeds)
    for kind in ("mlp", "rnn", "lstm"):
        name = f"DQN, IncompleteCartPole-v1, {kind}"
        table(name, lambda seed: ours(seed, "IncompleteCartPole-v1", kind), args.seeds)  # noqa: B023


if __name__ == "__main__":
    main()
