"""A2C: learn from short segments, by bootstrapping, without waiting for episodes to end."""

from __future__ import annotations

from rlx import functional
from rlx.agent import Agent
from rlx.algos.base import Algorithm
from rlx.policy import Parametric


class A2C(Algorithm):
    """Advantage actor-critic (Mnih et al., 2016, synchronous), advantages by GAE.

    Each update plays `n_steps` in every environment and takes one gradient step. `gae_lambda` = 1
    gives returns that bootstrap at the segment's end only. The policy's first
    extra is the value, standardised: V = μ + σ v (`Algorithm.targets`).
    """

    def __init__(
        self,
        agent: Agent,
        policy: Parametric,
        *,
        n_steps: int = 16,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        standardize_return: bool = False,
        value_coef: float = 0.25,
        entropy_reg: float = 0.01,
        **options: float,
    ) -> None:
        super().__init__(agent, policy, **options)
        self.n_steps, self.gamma, self.gae_lambda = n_steps, gamma, gae_lambda
        self.standardize_return = standardize_return
        self.value_coef, self.entropy_reg = value_coef, entropy_reg

    def update(self) -> dict[str, float]:
        runner = self.agent(self.policy)
        rollout = runner.evaluate(runner.segment(self.n_steps, dry=True))
        self.targets.update(rollout, self.gamma)
        rollout.gae(self.value_of(rollout).detach(), self.gamma, self.gae_lambda)
        rollout = rollout[:-1]  # end rows have served: their values are in the targets
        values = self.value_of(rollout)
        advantages = rollout.advantages
        if self.standardize_return:
            advantages = functional.normalize(advantages)
        losses = self.minimize(
            policy_loss=functional.policy_gradient_loss(rollout.logprobs, advantages),
            value_loss=self.value_coef * self.value_loss(rollout),
            entropy_loss=-self.entropy_reg * self.entropy_of(rollout),
        )
        return self.report(
            rollout,
            entropy=self.entropy_of(rollout).item(),
            explained_variance=functional.explained_variance(values, rollout.returns).item(),
            **losses,
        )
