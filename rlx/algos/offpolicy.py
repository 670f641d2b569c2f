"""What the algorithms that replay single steps share: sample, store, and learn from windows."""

from __future__ import annotations

import contextlib
from collections import ChainMap
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from rlx.algos.base import Algorithm
from rlx.replay import Replay
from rlx.rollout import Rollout


class OffPolicy(Algorithm):
    """Learns from a `Replay` of the last `capacity` rows.

    Each update plays `n_steps` in every environment and stores them; then, once `warmup` rows are
    in store, it takes `passes` gradient steps, each on `batch_size` windows of `length` rows. In a
    window every step is learned from, by its `n`-step return (as far as the window goes). A
    recurrent network needs windows of some length; where one begins in the middle of an episode,
    the first `burn_in` rows only warm its memory up (Kapturowski et al., 2019, R2D2).

    A subclass writes `improve(batch)`: one gradient step, after which its `targets` have moved by
    the share `tau` towards the networks they are copies of.
    """

    n_steps: int = 8
    passes: int = 8
    batch_size: int = 128
    length: int = 2
    burn_in: int = 0
    n: int | None = 1
    capacity: int = 100_000
    warmup: int = 1_000
    gamma: float = 0.99
    tau: float = 0.005

    def build(self) -> dict[nn.Module, float | None]:
        if not 0 <= self.burn_in < self.length - 1:
            raise ValueError(
                f"burn_in={self.burn_in} of windows of length={self.length}: at least one step "
                "must be left to learn from, and the end row is none"
            )
        if self.burn_in and self.n_steps < self.length - 1:
            raise ValueError(
                f"windows of length={self.length} do not fit into segments of "
                f"n_steps={self.n_steps}: no window reaches across a border, so give n_steps of "
                f"at least {self.length - 1}"
            )
        if self.warmup > self.capacity:
            raise ValueError(
                f"warmup={self.warmup} rows are more than the replay's capacity={self.capacity}: "
                "learning would never begin"
            )
        self.replay = Replay(self.capacity)
        return super().build()

    def update(self) -> dict[str, float]:
        with torch.no_grad():
            rollout = self.agent(self.policy).segment(self.n_steps, dry=True)
        self.replay.add(rollout)
        metrics = []
        if len(self.replay) >= self.warmup:
            for _ in range(self.passes):
                batch = self.replay.sample(self.batch_size, self.length, self.burn_in)
                metrics.append(self.improve(batch))
        # A delayed policy reports its loss only now and then: the mean of what there is.
        seen = {name: [m[name] for m in metrics if name in m] for name in ChainMap(*metrics)}
        means = {name: float(np.mean(numbers)) for name, numbers in seen.items()}
        return self.report(rollout, **means)

    def improve(self, batch: Rollout) -> dict[str, float]:
        """One gradient step."""
        raise NotImplementedError

    def counted(self, batch: Rollout) -> Tensor:
        """The rows to learn from, (N,) bool: no end rows, and none that only warm a memory up."""
        rows = ~batch.end
        if self.burn_in:
            position = torch.from_numpy(batch.position).to(rows.device)
            first = torch.arange(len(batch), device=rows.device) - position
            rows &= (position >= self.burn_in) | batch.start[first]
        return rows


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """In this block what is computed with `network` has a gradient for its inputs only."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    try:
        for p in parameters:
            p.requires_grad_(False)
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
