"""`evaluate`, three ways of being fast, each against the plain way, in one run.

- vectorized: a feed-forward rollout of 500 steps in one pass, against one forward a step
- ragged: 16 recurrent episodes of different lengths together, against one by one
- fused: a policy's `unroll` (one nn.GRU call), against the loop over its `forward`

    python benchmarks/evaluate.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

import rlx

ROUNDS = 9


def ratio(slow: Callable[[], object], fast: Callable[[], object]) -> tuple[float, float, float]:
    """Median processor time of both, in ms, and the median ratio of `ROUNDS` rounds in turn."""

    def milliseconds(run: Callable[[], object]) -> float:
        began = time.process_time()
        run()
        return 1e3 * (time.process_time() - began)

    slow(), fast()
    pairs = [(milliseconds(slow), milliseconds(fast)) for _ in range(ROUNDS)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


class Loop(rlx.networks.GRUPolicy):
    """A GRU policy without `unroll`."""

    unroll = rlx.Parametric.unroll


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    agent = rlx.Agent(rlx.envs.make("rlx/Reach-v0", max_episode_steps=500), seed=0)
    policy = rlx.networks.MLPPolicy(agent)
    rollout = agent(policy).episode(dry=True).vectorize()
    steps = rollout.minibatches(len(rollout))

    def by_step() -> None:
        for step in steps:
            agent(policy).evaluate(step)

    a, b, r = ratio(by_step, lambda: agent(policy).evaluate(rollout))
    print(f"vectorized, T = {len(rollout) - 1}: {a:.1f} ms -> {b:.2f} ms, {r:.0f} times faster")

    policy = Loop(agent)
    lengths = torch.linspace(20, 300, 16).int().tolist()
    episodes = [agent(policy).episode(length, dry=True) for length in lengths]
    together = rlx.Rollout.cat(episodes)

    def one_by_one() -> None:
        for episode in episodes:
            agent(policy).evaluate(episode)

    a, b, r = ratio(one_by_one, lambda: agent(policy).evaluate(together))
    bound = len(together) / max(together.lengths)
    print(
        f"16 ragged episodes: {a:.1f} ms -> {b:.1f} ms, {r:.1f} times faster; "
        f"rows / longest = {bound:.1f}, {r / bound:.2f} of it"
    )

    fused = rlx.networks.GRUPolicy(agent)
    fused.load_state_dict(policy.state_dict())
    a, b, r = ratio(
        lambda: agent(policy).evaluate(together), lambda: agent(fused).evaluate(together)
    )
    print(f"fused unroll: {a:.1f} ms -> {b:.1f} ms, {r:.1f} times faster")


if __name__ == "__main__":
    main()
