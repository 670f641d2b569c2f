"""REINFORCE with a value baseline: count only what an action brought beyond what was expected."""

from __future__ import annotations

from rlx import functional
from rlx.algos.base import WithValue


class ActorCritic(WithValue):
    """∇J ≈ mean over steps of (G_t − V(s_t)) ∇ log π(a_t | s_t) (Sutton & Barto, 2018, 13.4).

    Each update samples `batch_size` episodes of at most `horizon` steps. The value is fitted to the
    returns as they are, also when `standardize_return` rescales the advantages of a batch: a value
    of returns that each batch rescales otherwise would mean nothing.
    Monte-Carlo returns never bootstrap: an episode cut by `horizon` counts as over.
    """

    batch_size: int = 16
    horizon: int | None = None

    def update(self) -> dict[str, float]:
        rollout = self.agent(self.policy).episodes(self.batch_size, self.horizon, dry=True)
        rollout.mc_returns(self.gamma)
        rollout = rollout[:-1]  # no action was taken in the end state
        self.targets.take_in(rollout.returns)
        rollout = self.agent(self.policy).evaluate(rollout)
        advantages = rollout.returns - self.value_of(rollout).detach()
        if self.standardize_return:
            advantages = functional.normalize(advantages)
        policy_loss = functional.policy_gradient_loss(rollout.logprobs, advantages)
        return self.report(rollout, **self.learn(rollout, policy_loss))
