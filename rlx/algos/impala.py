"""IMPALA: learn from segments as they come, although who played them is some updates behind."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from rlx import functional
from rlx.agent import Agent
from rlx.algos.base import Algorithm
from rlx.policy import Parametric
from rlx.rollout import Rollout


class IMPALA(Algorithm):
    """An actor-critic with V-trace targets on a stream of segments (Espeholt et al., 2018).

    Each update takes the next `rollouts` segments of `n_steps`, whoever played them
    (`agent(policy).stream`), and makes one gradient step. Workers (`rlx.cluster`) play on meanwhile
    with the policy that they have; the weights π/μ, clipped at 1, make up for it. In this process
    each segment is played when it is asked for, and all weights are 1. The metric `staleness` is
    how many versions older than now the policies were that played the rows, on average.
    `standardize_return` takes a weighted mean off the advantages, and rescales them. The policy's
    first extra is the value, standardised: V = μ + σ v (`Algorithm.targets`).
    """

    def __init__(
        self,
        agent: Agent,
        policy: Parametric,
        *,
        rollouts: int = 1,
        n_steps: int = 32,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        standardize_return: bool = False,
        value_coef: float = 0.25,
        entropy_reg: float = 0.01,
        **options: float,
    ) -> None:
        # Late policies want small steps: at a rate that serves PPO, and with advantages that are
        # standardised, CartPole with a lag of 3 is learned, and lost again.
        super().__init__(agent, policy, **{"lr": 2e-3, "grad_clip": 0.5} | options)
        self.rollouts, self.n_steps = rollouts, n_steps
        self.gamma, self.gae_lambda = gamma, gae_lambda
        self.standardize_return = standardize_return
        self.value_coef, self.entropy_reg = value_coef, entropy_reg
        self.stream: Iterator[Rollout] | None = None

    def update(self) -> dict[str, float]:
        batch = self.sample()
        new = self.agent(self.policy).evaluate(batch)
        self.targets.update(batch, self.gamma)
        log_ratios = (new.logprobs - batch.logprobs).detach()
        values = self.value_of(new).detach()
        new.vtrace(values, log_ratios, self.gamma, self.gae_lambda, clip_pg_rho=None)
        new, old = new[:-1], batch[:-1]  # end rows have served: their values are in the targets
        weights = functional.importance_weights(new.logprobs, old.logprobs, clip=1.0)
        values, advantages = self.value_of(new), new.advantages
        if self.standardize_return:
            # A baseline costs nothing only inside the weight: w (A - b), with the b that makes the
            # mean 0. Without it, all actions gain while V lags behind, until one is all there is.
            advantages = advantages - (weights * advantages).sum() / weights.sum()
            advantages = advantages / ((weights * advantages).square().mean().sqrt() + 1e-8)
        losses = self.minimize(
            policy_loss=functional.weighted_loss(new.logprobs, weights, advantages),
            value_loss=self.value_coef * self.value_loss(new),
            entropy_loss=-self.entropy_reg * self.entropy_of(new),
        )
        return self.report(
            new,
            staleness=new.staleness.mean().item(),
            entropy=self.entropy_of(new).item(),
            approx_kl=functional.approx_kl(new.logprobs, old.logprobs).item(),
            explained_variance=functional.explained_variance(values, new.returns).item(),
            **losses,
        )

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
