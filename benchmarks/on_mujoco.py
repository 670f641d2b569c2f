"""SAC, TD3 and DDPG with their defaults on MuJoCo: do 20,000 steps of one environment end well?

One gradient step for each step, as is usual there. This is no measure of how well they learn, which
takes fifty times as long, but of whether they break. A line for each run: the mean return of twenty
greedy episodes, the largest |Q| that any update reported, and what stopped it, if anything did.

    python benchmarks/on_mujoco.py
"""

from __future__ import annotations

import argparse

import torch
from until import greedy_return

import rlx
from rlx import critics


def run(algo: str, env: str, seed: int, steps: int) -> str:
    torch.manual_seed(seed)
    agent = rlx.Agent(rlx.envs.make_vec(env, 1), seed=seed)
    actor = critics.SquashedPolicy if algo == "SAC" else critics.NoisyPolicy
    policy = actor(agent)
    algorithm = getattr(rlx.algos, algo)(agent, policy)
    largest, end = 0.0, ""
    try:
        while algorithm.steps < steps:
            largest = max(largest, abs(algorithm.update().get("q", 0.0)))
    except FloatingPointError as error:
        end = f"  stopped: {str(error).partition(':')[0]}"
    return f"{algorithm.steps:>7} {greedy_return(policy, env):>8.0f} {largest:>8.3g}{end}"


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--steps", type=int, default=20_000)
    command.add_argument("--algos", nargs="+", default=["SAC", "TD3", "DDPG"])
    args = command.parse_args()
    torch.set_num_threads(1)  # faster: the networks are small
    for algo in args.algos:
        for env in ("Hopper-v5", "HalfCheetah-v5"):
            print(f"\n{algo}, {env}\nseed   steps   return  max |Q|")
            for seed in range(args.seeds):
                print(f"{seed:>4} {run(algo, env, seed, args.steps)}", flush=True)


if __name__ == "__main__":
    main()
