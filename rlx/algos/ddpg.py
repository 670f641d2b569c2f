"""DDPG: a deterministic policy that climbs the critic's gradient."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from rlx import functional
from rlx.algos.offpolicy import OffPolicy, frozen
from rlx.critics import Critic
from rlx.policy import Parametric
from rlx.rollout import Rollout


class DDPG(OffPolicy):
    """Deep deterministic policy gradient (Lillicrap et al., 2016).

    `policy` is a `NoisyPolicy`: what it adds to explore is part of its distribution, whose mode is
    what is learned. `critic` takes actions and returns Q as its extras; by default it is a `Critic`
    of the policy's kind. `lr` is the policy's learning rate, and the critic's, unless that is given
    one of its own, `critic_lr`.
    """

    critic: Parametric | None = None
    lr: float = 1e-3
    critic_lr: float | None = None

    counters = (*OffPolicy.counters, "count")
    n_critics = 1
    delay = 1  # critic steps for each of the policy's
    count = 0  # critic steps taken

    def build(self) -> dict[nn.Module, float | None]:
        trained = super().build()
        self.critic = self.critic or Critic.beside(self.policy, self.agent, self.n_critics)
        self.target_policy = copy.deepcopy(self.policy).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        return trained | {self.critic: self.critic_lr}

    def improve(self, batch: Rollout) -> dict[str, float]:
        rows, entered = self.counted(batch), batch.fresh()
        returns = self.q_targets(batch)[rows]
        q = self.agent(self.critic).evaluate(entered).others
        losses = {"value_loss": sum(mse_loss(one[rows], returns) for one in q)}
        if (self.count + 1) % self.delay == 0:
            actions = self.agent(self.policy).evaluate(batch, greedy=True).actions
            with frozen(self.critic):
                best = self.agent(self.critic).evaluate(entered, actions=actions).others[0]
            losses["policy_loss"] = -best[rows].mean()
        losses = self.minimize(**losses)
        self.count += 1
        functional.polyak_update(self.target_critic, self.critic, self.tau)
        functional.polyak_update(self.target_policy, self.policy, self.tau)
        return {"q": q[0][rows].mean().item(), **losses}

    @torch.no_grad()
    def q_targets(self, batch: Rollout) -> Tensor:
        """What the critics should say at each row, (N,): its n-step return."""
        actions = self.target_actions(batch)
        q = self.agent(self.target_critic).evaluate(batch.fresh(), actions=actions).others
        return batch.n_step_returns(functional.lower_value(q), self.gamma, self.n)

    def target_actions(self, batch: Rollout) -> tuple[Tensor, ...]:
        """What the target policy would do at each row."""
        return self.agent(self.target_policy).evaluate(batch, greedy=True).actions
