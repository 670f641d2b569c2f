"""REINFORCE (Williams, 1992): make actions more probable in proportion to the return after them."""

from __future__ import annotations

from rlx import functional
from rlx.algos.base import Algorithm


class REINFORCE(Algorithm):
    """∇J ≈ mean over steps of G_t ∇ log π(a_t | s_t), with G_t the discounted return from t on.

    Each update samples `batch_size` episodes of at most `horizon` steps. `standardize_return` makes
    the returns of a batch zero-mean with unit variance, a crude baseline. `entropy_reg` rewards
    keeping the policy random. Works with feed-forward and recurrent policies alike.
    """

    batch_size: int = 16
    horizon: int | None = None
    gamma: float = 0.99
    standardize_return: bool = True
    entropy_reg: float = 0.01

    def update(self) -> dict[str, float]:
        rollout = self.agent(self.policy).episodes(self.batch_size, self.horizon, dry=True)
        rollout.mc_returns(self.gamma)
        rollout = rollout[:-1]  # no action was taken in the end state
        rollout = self.agent(self.policy).evaluate(rollout)
        weights = rollout.returns
        if self.standardize_return:
            weights = functional.normalize(weights)
        losses = self.minimize(
            policy_loss=functional.policy_gradient_loss(rollout.logprobs, weights),
            entropy_loss=-self.entropy_reg * self.entropy_of(rollout),
        )
        return self.report(len(rollout), entropy=self.entropy_of(rollout).item(), **losses)
