"""A2C: learn from short segments, by bootstrapping, without waiting for episodes to end."""

from __future__ import annotations

from rlx import functional
from rlx.algos.base import WithValue


class A2C(WithValue):
    """Advantage actor-critic (Mnih et al., 2016, synchronous), advantages by GAE.

    Each update plays `n_steps` in every environment and takes one gradient step. `gae_lambda` = 1
    gives returns that bootstrap at the segment's end only.
    """

    n_steps: int = 16
    gae_lambda: float = 0.95
    standardize_return: bool = False

    def update(self) -> dict[str, float]:
        runner = self.agent(self.policy)
        rollout = runner.evaluate(runner.segment(self.n_steps, dry=True))
        self.targets.update(rollout, self.gamma)
        rollout.gae(self.value_of(rollout).detach(), self.gamma, self.gae_lambda)
        rollout = rollout[:-1]  # end rows have served: their values are in the targets
        advantages = rollout.advantages
        if self.standardize_return:
            advantages = functional.normalize(advantages)
        policy_loss = functional.policy_gradient_loss(rollout.logprobs, advantages)
        return self.report(rollout, **self.learn(rollout, policy_loss))
