"""REINFORCE with a value baseline: count only what an action brought beyond what was expected."""

from __future__ import annotations

from rlx import functional
from rlx.agent import Agent
from rlx.algos.base import Algorithm
from rlx.policy import Parametric


class ActorCritic(Algorithm):
    """∇J ≈ mean over steps of (G_t − V(s_t)) ∇ log π(a_t | s_t) (Sutton & Barto, 2018, 13.4).

    The policy's first extra is the value, standardised: V = μ + σ v (`Algorithm.targets`). It is
    fitted to the returns as they are, also when `standardize_return` rescales the advantages of a
    batch: a value of returns that each batch rescales otherwise would mean nothing.
    Monte-Carlo returns never bootstrap: an episode cut by `horizon` counts as over.
    """

    def __init__(
        self,
        agent: Agent,
        policy: Parametric,
        *,
        batch_size: int = 16,
        horizon: int | None = None,
        gamma: float = 0.99,
        standardize_return: bool = True,
        value_coef: float = 0.25,
        entropy_reg: float = 0.01,
        **options: float,
    ) -> None:
        super().__init__(agent, policy, **options)
        self.batch_size, self.horizon, self.gamma = batch_size, horizon, gamma
        self.standardize_return = standardize_return
        self.value_coef, self.entropy_reg = value_coef, entropy_reg

    def update(self) -> dict[str, float]:
        rollout = self.agent(self.policy).episodes(self.batch_size, self.horizon, dry=True)
        rollout.mc_returns(self.gamma)
        self.targets.update(rollout, self.gamma)
        rollout = rollout[:-1]  # no action was taken in the end state
        rollout = self.agent(self.policy).evaluate(rollout)
        values = self.value_of(rollout)
        advantages = rollout.returns - values.detach()
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
