"""PPO: several passes over the same rollout, kept honest by a clipped probability ratio."""

from __future__ import annotations

import numpy as np
import torch

from rlx import functional
from rlx.algos.base import WithValue
from rlx.rollout import Rollout


class PPO(WithValue):
    """Proximal policy optimisation with the clipped surrogate (Schulman et al., 2017).

    Each update plays `n_steps` in every environment, then makes `epochs` passes over the rows in
    `minibatches` parts. Recurrent policies keep sequences whole, cut into fragments of `chunk` rows
    that begin with their stored recurrent state.
    `target_kl` ends an update after the first pass over which the policy had moved that far on
    average. `standardize_return` rescales each minibatch's advantages.
    """

    n_steps: int = 64
    epochs: int = 4
    minibatches: int = 4
    chunk: int = 32
    clip: float = 0.2
    target_kl: float | None = None
    gae_lambda: float = 0.95
    entropy_reg: float = 0.0

    def update(self) -> dict[str, float]:
        rollout = self.sample()
        passes = []
        for _ in range(self.epochs):
            epoch = [self.improve(batch) for batch in self.split(rollout)]
            passes += epoch
            if self.target_kl and np.mean([one["approx_kl"] for one in epoch]) > self.target_kl:
                break
        values = self.value_of(rollout)
        return self.report(
            rollout,
            explained_variance=functional.explained_variance(values, rollout.returns).item(),
            **{name: float(np.mean([one[name] for one in passes])) for name in passes[0]},
        )

    @torch.no_grad()
    def sample(self) -> Rollout:
        """Rows with targets, and the log-probabilities and values of the policy that sampled."""
        runner = self.agent(self.policy)
        rollout = runner.evaluate(runner.segment(self.n_steps, dry=True))
        self.targets.update(rollout, self.gamma)
        rollout.gae(self.value_of(rollout), self.gamma, self.gae_lambda)
        return rollout[:-1]  # end rows have served: their values are in the targets

    def split(self, rollout: Rollout) -> list[Rollout]:
        """Shuffled minibatches: of rows, or of fragments for a recurrent policy."""
        parts = rollout.vectorize() if rollout.recur_states is None else rollout.chunks(self.chunk)
        return parts.shuffle().minibatches(min(self.minibatches, len(parts.lengths)))

    def improve(self, batch: Rollout) -> dict[str, float]:
        """One gradient step on the clipped surrogate."""
        new = self.agent(self.policy).evaluate(batch)
        entropy = self.entropy_of(new)
        if not self.entropy_reg:
            entropy = entropy.detach()  # to look at: no pass backwards for a gradient of zero
        advantages = batch.advantages
        if self.standardize_return:
            advantages = functional.normalize(advantages)
        losses = self.minimize(
            policy_loss=functional.ppo_clip_loss(
                new.logprobs, batch.logprobs, advantages, self.clip
            ),
            value_loss=self.value_coef * self.value_loss(new),
            entropy_loss=-self.entropy_reg * entropy,
        )
        with torch.no_grad():
            return {
                "entropy": entropy.item(),
                "approx_kl": functional.approx_kl(new.logprobs, batch.logprobs).item(),
                "clipfrac": functional.clip_fraction(
                    new.logprobs, batch.logprobs, self.clip
                ).item(),
                **losses,
            }
