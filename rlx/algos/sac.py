"""SAC: a random policy that climbs the critic's gradient, and is paid for being random."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from rlx import functional
from rlx.algos.offpolicy import OffPolicy, frozen
from rlx.critics import Critic
from rlx.networks import boxes
from rlx.policy import Parametric
from rlx.rollout import Rollout


class Temperature(nn.Module):
    """What a nat of entropy is worth, as a share of reward: α, which is learned as its log."""

    def __init__(self, alpha: float, device: torch.device) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(alpha), device=device))

    def forward(self) -> Tensor:
        return self.log_alpha.exp()


class SAC(OffPolicy):
    """Soft actor-critic (Haarnoja et al., 2018, "Soft actor-critic algorithms and applications").

    `policy` is a `SquashedPolicy`, or any whose actions have a gradient (`rsample`). The lower of
    two critics is believed. The temperature α is `initial_temperature` at first, and is learned so
    that the policy's entropy stays near `entropy_target`: by default -1 for each number of an
    action, were its bounds -1 and 1. `lr` is the policy's learning rate, and those of critic and
    temperature, unless these are given one of their own, `critic_lr` and `temperature_lr`.
    """

    critic: Parametric | None = None
    entropy_target: float | None = None
    initial_temperature: float = 1.0
    lr: float = 1e-3
    critic_lr: float | None = None
    temperature_lr: float | None = None

    def build(self) -> dict[nn.Module, float | None]:
        trained = super().build()
        self.critic = self.critic or Critic.beside(self.policy, self.agent, 2)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        if self.initial_temperature <= 0:
            raise ValueError(
                f"initial_temperature={self.initial_temperature}: it is learned as its logarithm, "
                "so it must be above 0"
            )
        self.temperature = Temperature(self.initial_temperature, self.agent.device)
        if self.entropy_target is None:
            parts = boxes(self.agent.action_space)
            half_widths = [torch.as_tensor(box.high - box.low) / 2 for box in parts]
            self.entropy_target = sum(float((half.log() - 1).sum()) for half in half_widths)
        return trained | {self.critic: self.critic_lr, self.temperature: self.temperature_lr}

    def improve(self, batch: Rollout) -> dict[str, float]:
        rows, entered = self.counted(batch), batch.fresh()
        alpha = self.temperature().detach()
        new = self.agent(self.policy).evaluate(batch, sample=True)
        returns = self.q_targets(batch, new)[rows]
        q = self.agent(self.critic).evaluate(entered).others
        with frozen(self.critic):
            best = self.agent(self.critic).evaluate(entered, actions=new.actions).others
        best, logprobs = [one[rows] for one in best], new.logprobs[rows]
        losses = self.minimize(
            value_loss=sum(mse_loss(one[rows], returns) for one in q),
            policy_loss=-functional.soft_value(best, logprobs, alpha).mean(),
            temperature_loss=functional.temperature_loss(
                self.temperature.log_alpha, logprobs, self.entropy_target
            ),
        )
        functional.polyak_update(self.target_critic, self.critic, self.tau)
        return {
            "q": q[0][rows].mean().item(),
            "entropy": -logprobs.mean().item(),
            "alpha": alpha.item(),
            **losses,
        }

    @torch.no_grad()
    def q_targets(self, batch: Rollout, new: Rollout) -> Tensor:
        """What the critics should say at each row, (N,): its n-step return, with a soft value at
        the end. `new` is the batch with actions that the policy would draw now."""
        q = self.agent(self.target_critic).evaluate(batch.fresh(), actions=new.actions).others
        values = functional.soft_value(q, new.logprobs, self.temperature())
        return batch.n_step_returns(values, self.gamma, self.n)
