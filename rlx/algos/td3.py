"""TD3: DDPG with three repairs, against a critic that believes too much."""

from __future__ import annotations

from torch import Tensor

from rlx import functional
from rlx.algos.ddpg import DDPG
from rlx.networks import boxes
from rlx.rollout import Rollout


class TD3(DDPG):
    """Twin delayed DDPG (Fujimoto et al., 2018).

    Two critics, of which the lower is believed. The policy takes a step for every `delay` of
    theirs. The target's action is blurred with noise of deviation `target_noise`, cut off at
    `target_clip`, both in halves of the Box's width: a narrow peak of Q is an error, most often.
    The targets move at every step of the critics, and not, as in the paper, only at the policy's.
    """

    delay: int = 2
    target_noise: float = 0.2
    target_clip: float = 0.5

    n_critics = 2

    def target_actions(self, batch: Rollout) -> tuple[Tensor, ...]:
        noise, clip = self.target_noise, self.target_clip
        spaces = boxes(self.agent.action_space)
        actions = zip(super().target_actions(batch), spaces)
        return tuple(
            functional.smoothed_actions(
                action, action.new_tensor(box.low), action.new_tensor(box.high), noise, clip
            )
            for action, box in actions
        )
