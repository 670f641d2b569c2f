"""IMPALA: learn from segments as they come, although who played them is some updates behind."""

from __future__ import annotations

import torch
from torch import Tensor

from rlx.algos.vtrace import VTrace
from rlx.rollout import Rollout


class IMPALA(VTrace):
    """An actor-critic with V-trace targets on a stream of segments (Espeholt et al., 2018).

    Each update takes the next `rollouts` segments of `n_steps`, whoever played them
    (`agent(policy).stream`), and makes one gradient step. Workers (`rlx.cluster`) play on meanwhile
    with the policy that they have; the weights π/μ, clipped at 1, make up for it. In this process
    each segment is played when it is asked for, and all weights are 1. The metric `staleness` is
    how many versions older than now the policies were that played the rows, on average.
    `standardize_return` takes a weighted mean off the advantages, and rescales them.
    """

    rollouts: int = 1
    n_steps: int = 32
    gae_lambda: float = 0.95
    standardize_return: bool = False
    # Late policies want small steps: at a rate that serves PPO, and with advantages that are
    # standardised, CartPole with a lag of 3 is learned, and lost again.
    lr: float = 2e-3
    grad_clip: float = 0.5

    stream = None  # of segments, once it has begun

    def update(self) -> dict[str, float]:
        batch = self.sample()
        staleness = batch.staleness[~batch.end].mean().item()
        return self.report(batch, staleness=staleness, **self.improve(batch))

    def standardized(self, advantages: Tensor, weights: Tensor) -> Tensor:
        """A baseline costs nothing only inside the weight: w (A - b), with the b that makes the
        mean 0. Without it, all actions gain while V lags behind, until one is all there is."""
        baseline = (weights * advantages).sum() / weights.sum()
        return super().standardized(advantages - baseline, weights)

    @torch.no_grad()
    def sample(self) -> Rollout:
        """The next segments, with the log-probabilities μ of the policies that played them."""
        if self.stream is None:
            self.stream = self.agent(self.policy).stream(self.n_steps)
        try:
            return Rollout.cat([next(self.stream) for _ in range(self.rollouts)])
        except BaseException:
            self.stream = None  # an iterator that has raised is at its end
            raise
