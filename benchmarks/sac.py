"""SAC until Pendulum-v1 is solved: rlx beside Stable-Baselines3, seed by seed in turn, on the CPU.

Solved: 20 greedy episodes, the same each time, average -200. They are played every second, and
their time is not counted. SB3 runs with the settings that rl-zoo tuned for it. Both run in this
process, in turn; what counts is the medians' ratio. Then DDPG and TD3 on the same task, and SAC
with and without memory where the velocity is hidden; Stable-Baselines3 has no recurrent one.

    python benchmarks/sac.py
"""

from __future__ import annotations

import argparse

import torch
from until import Stopwatch, compare, learn, table, train

import rlx

LIMIT = 120.0  # seconds after which a run counts as not solved


def ours(
    seed: int, algo: str = "sac", env: str = "Pendulum-v1", policytype: str = "mlp"
) -> Stopwatch:
    """rlx's SAC, DDPG or TD3."""
    watch = Stopwatch(LIMIT, goal=-200)
    return train(rlx.tuned.make(algo, env, policytype, seed), watch, env)


def sb3(seed: int) -> Stopwatch:
    """SB3's SAC, with rl-zoo's settings for Pendulum-v1."""
    from stable_baselines3 import SAC
    from stable_baselines3.common.env_util import make_vec_env

    torch.manual_seed(seed)
    watch = Stopwatch(LIMIT, goal=-200)
    model = SAC(
        "MlpPolicy",
        make_vec_env("Pendulum-v1", 1, seed=seed),
        learning_rate=1e-3,
        seed=seed,
        device="cpu",
    )
    return learn(model, watch, "Pendulum-v1", 20_000)


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--seeds", type=int, default=3)
    args = command.parse_args()
    torch.set_num_threads(1)  # faster for both: the networks are small
    compare("SAC, Pendulum-v1", ours, sb3, args.seeds)
    for algo in ("ddpg", "td3"):
        table(f"{algo.upper()}, Pendulum-v1", lambda seed: ours(seed, algo), args.seeds)  # noqa: B023
    env = "PositionPendulum-v1"
    for kind in ("mlp", "rnn", "lstm"):
        table(f"SAC, {env}, {kind}", lambda seed: ours(seed, "sac", env, kind), args.seeds)  # noqa: B023


if __name__ == "__main__":
    main()
