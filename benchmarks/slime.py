"""Slime volleyball: how many court-steps a second, on one core, with random buttons.

The game itself (with both players' observations, and courts reset when a game is over), and the
native vector environment against random buttons and against the scripted follower. The original
makes about 100,000 steps a second.

    python benchmarks/slime.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from rlx.envs.slimegame import SlimeGame
from rlx.envs.slimevolley import SlimeVolley


def play_game(B: int) -> Callable[[int], None]:
    game, rng = SlimeGame(B, rng=0), np.random.default_rng(1)
    buttons = rng.random((64, 2, B, 3)) < 0.5

    def play(n_steps: int) -> None:
        for t in range(n_steps):
            game.step(*buttons[t % 64])
            game.observations()
            over = (game.lives <= 0).any(axis=0)
            if over.any():
                game.reset(over)

    return play


def play_env(B: int, opponent: str) -> Callable[[int], None]:
    env, rng = SlimeVolley(B, opponent=opponent), np.random.default_rng(1)
    actions = rng.integers(6, size=(64, B))
    env.reset(seed=0)

    def play(n_steps: int) -> None:
        for t in range(n_steps):
            env.step(actions[t % 64])

    return play


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--n_steps", type=int, default=1000)
    args = command.parse_args()
    print(f"court-steps/s, median (best) of {args.rounds} rounds of {args.n_steps} steps")
    print(f"{'courts':>6} {'game':>22} {'env, random':>22} {'env, follower':>22}")
    for B in (1, 16, 64, 256, 1024):
        runs = [play_game(B), play_env(B, "random"), play_env(B, "follower")]
        cells = []
        for run in runs:
            run(200)
            rounds = []
            for _ in range(args.rounds):
                began = time.perf_counter()
                run(args.n_steps)
                rounds.append(time.perf_counter() - began)
            speeds = [B * args.n_steps / took for took in (statistics.median(rounds), min(rounds))]
            cells.append("{:>10,.0f} ({:>9,.0f})".format(*speeds))
        print(f"{B:>6}", *cells)


if __name__ == "__main__":
    main()
