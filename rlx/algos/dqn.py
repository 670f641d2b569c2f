"""DQN: learn the value of every action, from whoever acted, and act by the best."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from rlx import functional
from rlx.algos.offpolicy import OffPolicy
from rlx.critics import QPolicy
from rlx.rollout import Rollout


class DQN(OffPolicy):
    """Deep Q-learning (Mnih et al., 2015), double (van Hasselt et al., 2016), by n-step returns.

    `policy` is a `QPolicy`, or the network of one. Its ε falls from the first of `epsilon` to the
    second over `epsilon_steps` environment steps. With `epsilon_spread` above 0 every environment
    has an ε of its own at the end, from the second of `epsilon`, e, down to e^(1 + spread) (Horgan
    et al., 2018, Ape-X). With a recurrent network and longer windows this is R2D2.
    """

    epsilon: tuple[float, float] = (1.0, 0.05)
    epsilon_steps: int = 10_000
    epsilon_spread: float = 0.0

    def build(self) -> dict[nn.Module, float | None]:
        if not isinstance(self.policy, QPolicy):
            self.policy = QPolicy(self.policy)
        self.first, last = self.epsilon
        spread = torch.linspace(1, 1 + self.epsilon_spread, self.agent.num_envs)
        last = last**spread if self.epsilon_spread else torch.tensor(last)
        self.last = last.to(self.agent.device)
        self.policy.epsilon = torch.full_like(self.last, self.first)
        self.target = copy.deepcopy(self.policy.network).requires_grad_(False)
        return super().build()

    def update(self) -> dict[str, float]:
        share = min(1.0, self.steps / self.epsilon_steps)
        self.policy.epsilon = self.first + share * (self.last - self.first)
        return {**super().update(), "epsilon": self.policy.epsilon.mean().item()}

    def improve(self, batch: Rollout) -> dict[str, float]:
        rows = self.counted(batch)
        (q,) = self.agent(self.policy.network).evaluate(batch).others
        with torch.no_grad():
            (target_q,) = self.agent(self.target).evaluate(batch).others
        values = functional.double_q_value(q, target_q)
        returns = self.returns(batch, values, rows)
        chosen = q.gather(1, batch.actions[0][:, None]).squeeze(1)[rows]
        losses = self.minimize(value_loss=functional.huber_loss(chosen, returns))
        functional.polyak_update(self.target, self.policy.network, self.tau)
        return {"q": chosen.mean().item(), **losses}

    def returns(self, batch: Rollout, values: Tensor, rows: Tensor) -> Tensor:
        """What is learned at `rows`, (N,) bool: n-step returns, those of one step the short way."""
        if self.n != 1:
            return batch.n_step_returns(values, self.gamma, self.n)[rows]
        ahead = rows.roll(1)  # a step's state is followed by the one that it led to
        return functional.td_target(
            batch.rewards[rows], values[ahead], batch.terminated[ahead], self.gamma
        )
