"""Recurrent PPO on CartPole-v1 with both velocities hidden: rlx beside sb3-contrib's RecurrentPPO.

rlx runs until solved (mean return of the last 100 training episodes at 475), sb3-contrib for the
100,000 steps that rl-zoo's settings give it. Seed by seed in turn, in one process, on the CPU; what
counts is the ratio of the medians. On a busy machine the processor's seconds say more than the
clock's: both run on one thread.

    python benchmarks/recurrent_ppo.py
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from until import ratio

import rlx
from rlx.seeding import spawn

ENV = "rlx/PositionCartPole-v1"
LIMIT = 300.0  # seconds after which a run counts as not solved


def ours(seed: int) -> tuple[float, int]:
    """Running return and environment steps of rlx's PPO with an LSTM of 64 units."""
    algorithm = rlx.tuned.make("ppo", ENV, "lstm", seed)
    last = rlx.train(algorithm, seconds=LIMIT, stop_return=475, progress=False)[-1]
    return last["running_return"], last["steps"]


def contrib(seed: int, n_steps: int) -> tuple[float, int]:
    """The same of sb3-contrib's RecurrentPPO, with rl-zoo's settings for this task."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    (seed,) = spawn(seed, 1)  # its environments get seed + i
    torch.manual_seed(seed)
    env = VecNormalize(make_vec_env(lambda: rlx.envs.make(ENV), 8, seed=seed))
    model = RecurrentPPO(
        "MlpLstmPolicy",
        env,
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
        policy_kwargs=dict(
            ortho_init=False,
            activation_fn=torch.nn.ReLU,
            lstm_hidden_size=64,
            enable_critic_lstm=True,
            net_arch=dict(pi=[64], vf=[64]),
        ),
        seed=seed,
        device="cpu",
    )
    model.learn(n_steps)
    running = statistics.fmean(episode["r"] for episode in model.ep_info_buffer)
    return running, model.num_timesteps


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--peer_seeds", type=int, default=5)
    command.add_argument("--peer_steps", type=int, default=100_000)
    args = command.parse_args()
    torch.set_num_threads(1)  # faster for both: the networks are small
    times: dict[str, list[tuple[float, float]]] = {"rlx": [], "sb3-contrib": []}
    print(f"{'':>12} {'seed':>4} {'clock s':>8} {'cpu s':>8} {'return':>7} {'steps':>9}")
    for seed in range(max(args.seeds, args.peer_seeds)):
        for name, seeds in (("rlx", args.seeds), ("sb3-contrib", args.peer_seeds)):
            if seed < seeds:
                began = time.perf_counter(), time.process_time()
                running, steps = ours(seed) if name == "rlx" else contrib(seed, args.peer_steps)
                clock, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
                times[name].append((clock, cpu))
                line = f"{name:>12} {seed:>4} {clock:>8.1f} {cpu:>8.1f} {running:>7.1f} {steps:>9}"
                print(line, flush=True)
    for k, what in enumerate(("clock", "cpu")):
        seconds = ([run[k] for run in times[name]] for name in times)
        print(ratio(*seconds, unit=f"{what} s"))


if __name__ == "__main__":
    main()
