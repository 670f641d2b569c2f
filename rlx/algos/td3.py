"""TD3: DDPG with three repairs, against a critic that believes too much."""

from __future__ import annotations

import torch
from torch import Tensor

from rlx import functional
from rlx.agent import Agent
from rlx.algos.ddpg import DDPG
from rlx.networks import boxes
from rlx.policy import Parametric
from rlx.rollout import Rollout


class TD3(DDPG):
    """Twin delayed DDPG (Fujimoto et al., 2018).

    Two critics, of which the lower is believed. The policy takes a step for every `delay` of
    theirs. The target's action is blurred with noise of deviation `target_noise`, cut off at
    `target_clip`, both in halves of the Box's width: a narrow peak of Q is an error, most often.
    The targets move at every step of the critics, and not, as in the paper, only at the policy's.
    """

    n_critics = 2

    def __init__(
        self,
        agent: Agent,
        policy: Parametric,
        *,
        delay: int = 2,
        target_noise: float = 0.2,
        target_clip: float = 0.5,
        **options,
    ) -> None:
        super().__init__(agent, policy, **options)
        self.delay, self.target_noise, self.target_clip = delay, target_noise, target_clip
        self.bounds = [
            (torch.as_tensor(part.low), torch.as_tensor(part.high))
            for part in boxes(agent.action_space)
        ]

    def target_actions(self, batch: Rollout) -> tuple[Tensor, ...]:
        noise, clip = self.target_noise, self.target_clip
        return tuple(
            functional.smoothed_actions(action, low.to(action), high.to(action), noise, clip)
            for action, (low, high) in zip(super().target_actions(batch), self.bounds)
        )
