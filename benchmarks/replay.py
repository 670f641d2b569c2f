"""Replay: what a batch of transitions costs, beside bare indexing of the same columns.

256 two-row windows out of a million rows of CartPole (observations of four numbers, one action).

    python benchmarks/replay.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

import rlx

ROWS, BATCH = 1_000_000, 256


def fill() -> rlx.Replay:
    """A full store: one rollout of 64 environments, added again and again."""
    agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 64), seed=0)
    policy = rlx.networks.MLPPolicy(agent, value=False)
    rollout = agent(policy).segment(200, dry=True)
    replay = rlx.Replay(ROWS)
    while len(replay) < ROWS:
        replay.add(rollout)
    return replay


def bare(replay: rlx.Replay) -> None:
    """Rows and their successors of the columns that a transition needs, episodes not respected."""
    columns, rows = replay.columns, torch.randint(ROWS - 1, (BATCH,))
    both = torch.cat([rows, rows + 1])
    for column in (columns["states"], columns["actions"][0]):
        column.index_select(0, both)
    for name in ("rewards", "end", "terminated"):
        columns[name].index_select(0, both)


def microseconds(call: Callable[[], object], n: int = 2000) -> float:
    """Of one call: the median of five runs of `n` calls."""

    def run() -> float:
        began = time.perf_counter()
        for _ in range(n):
            call()
        return (time.perf_counter() - began) / n * 1e6

    run()  # warm up
    return statistics.median(run() for _ in range(5))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    replay = fill()
    a, b = microseconds(lambda: replay.sample(BATCH)), microseconds(lambda: bare(replay))
    print(f"{BATCH} two-row windows of {ROWS:,} rows: {a:.0f} µs; bare {b:.0f} µs ({a / b:.1f}×)")


if __name__ == "__main__":
    main()
