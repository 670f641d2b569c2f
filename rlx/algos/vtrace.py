"""VTrace: what IMPALA and OffPAC share, a step on rows that an older policy played."""

from __future__ import annotations

from torch import Tensor

from rlx import functional
from rlx.algos.base import WithValue
from rlx.rollout import Rollout


class VTrace(WithValue):
    """An actor-critic with V-trace targets (Espeholt et al., 2018).

    Per-decision weights π/μ are clipped at `clip_rho`, which is ρ̄ and c̄ of V-trace, and the bound
    of the policy's loss; inf: not at all."""

    gae_lambda: float = 1.0

    clip_rho = 1.0

    def improve(self, batch: Rollout) -> dict[str, float]:
        """One gradient step; `batch` holds μ and its end rows, the evaluated copy π."""
        new = self.agent(self.policy).evaluate(batch)
        self.targets.update(batch, self.gamma)
        log_ratios = (new.logprobs - batch.logprobs).detach()
        new.vtrace(
            self.value_of(new).detach(), log_ratios, self.gamma, self.gae_lambda,
            clip_rho=self.clip_rho, clip_c=self.clip_rho, clip_pg_rho=None,
        )  # fmt: skip
        new, old = new[:-1], batch[:-1]  # end rows have served: their values are in the targets
        weights = functional.importance_weights(new.logprobs, old.logprobs, self.clip_rho)
        advantages = new.advantages
        if self.standardize_return:
            advantages = self.standardized(advantages, weights)
        policy_loss = functional.weighted_loss(new.logprobs, weights, advantages)
        return {
            "approx_kl": functional.approx_kl(new.logprobs, old.logprobs).item(),
            "ess": functional.effective_sample_size(weights).item() / len(new),
            **self.learn(new, policy_loss),
        }

    def standardized(self, advantages: Tensor, weights: Tensor) -> Tensor:
        """Only the scale. A mean that is subtracted here would be one of rows of μ, and V is a
        baseline already."""
        return advantages / ((weights * advantages).square().mean().sqrt() + 1e-8)
