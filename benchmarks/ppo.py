"""PPO until CartPole-v1 is solved: rlx beside Stable-Baselines3, seed by seed in turn, on the CPU.

Solved: the mean return of the last 100 training episodes reaches 475. SB3 runs with the settings
that rl-zoo tuned for it. Both run in this process, in turn; what counts is the medians' ratio.

    python benchmarks/ppo.py
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from until import ratio

import rlx
from rlx.seeding import spawn

LIMIT = 180.0  # seconds after which a run counts as not solved


def ours(seed: int) -> tuple[float, float, int]:
    """Seconds, running return and environment steps of rlx's PPO."""
    began = time.perf_counter()
    algorithm = rlx.tuned.make("ppo", "CartPole-v1", seed=seed)
    last = rlx.train(algorithm, seconds=LIMIT, stop_return=475, progress=False)[-1]
    return time.perf_counter() - began, last["running_return"], last["steps"]


def sb3(seed: int) -> tuple[float, float, int]:
    """The same of SB3's PPO, with rl-zoo's settings for CartPole-v1."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            self.running = statistics.fmean(e["r"] for e in self.model.ep_info_buffer or [{"r": 0}])
            full = len(self.model.ep_info_buffer) == 100
            if (full and self.running >= 475) or time.perf_counter() - began > LIMIT:
                raise StopIteration

    (seed,) = spawn(seed, 1)  # its environments get seed + i
    torch.manual_seed(seed)
    began, stop = time.perf_counter(), Stop()
    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", 8, seed=seed),
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
        seed=seed,
        device="cpu",
    )
    try:
        model.learn(100_000, callback=stop)
    except StopIteration:
        pass
    return time.perf_counter() - began, stop.running, model.num_timesteps


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--seeds", type=int, default=5)
    args = command.parse_args()
    torch.set_num_threads(1)  # faster for both: the networks are small
    print("seed   rlx s  return    steps     SB3 s  return    steps")
    times: dict[str, list[float]] = {"rlx": [], "sb3": []}
    for seed in range(args.seeds):
        a, b = ours(seed), sb3(seed)
        times["rlx"].append(a[0])
        times["sb3"].append(b[0])
        print(
            f"{seed:>4} {a[0]:>7.1f} {a[1]:>7.1f} {a[2]:>8}   {b[0]:>7.1f} {b[1]:>7.1f} {b[2]:>8}",
            flush=True,
        )
    print(ratio(times["rlx"], times["sb3"]))


if __name__ == "__main__":
    main()
