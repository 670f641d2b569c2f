"""Ready-made networks that say how good an action is: Q-values and critics, and who acts on them.

Of the family of `rlx.networks`, as the actors beside them are: made from an agent, or its spaces,
feed-forward, or recurrent with `memory="gru"` or `"lstm"`.
"""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlx.agent import Agent
from rlx.distributions import ActionDistribution, EpsilonGreedy
from rlx.networks import BoxActor, Network, NoisyPolicy, SquashedPolicy, boxes
from rlx.policy import Parametric

__all__ = ["Critic", "NoisyPolicy", "QNetwork", "QPolicy", "SquashedPolicy", "boxes"]


class QNetwork(Network):
    """Q(s, a) of every action of a Discrete space, (B, A): the first extra."""

    def build(self) -> None:
        if not isinstance(self.action_space, spaces.Discrete):
            raise ValueError(
                f"Q-values of every action can be listed for a Discrete space, not for "
                f"{self.action_space}: DDPG, TD3 and SAC take a Box, the policy gradients any space"
            )
        self.q = self.network(int(self.action_space.n))

    def heads(self, features: Tensor) -> tuple[None, Tensor]:
        return None, self.q(features)


class QPolicy(Parametric):
    """Acts on a `network` of Q-values (its first extra): the best action, with probability
    `epsilon` any.

    `epsilon` is a buffer: one number, or a tensor (num_envs,) of one for each environment."""

    def __init__(self, network: Parametric, epsilon: float | Tensor = 0.05) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("epsilon", torch.as_tensor(epsilon, dtype=torch.float32))

    def forward(self, *states):
        recur_state, _, q = self.network(*states)
        return recur_state, ActionDistribution(EpsilonGreedy(q, self.epsilon)), q

    def take_place(self, number: int, workers: int) -> None:
        """From now on it plays in one of so many equal groups of the environments, with their ε."""
        if self.epsilon.ndim:
            self.epsilon = self.epsilon.reshape(workers, -1)[number]


class Critic(Network):
    """Q(s, a) of the given actions, by `n` networks: n extras of shape (B,).

    Recurrent, they share a memory of the observations. Actions are cut off at their bounds, as the
    environment does it, and scaled to [-1, 1]."""

    takes_actions = True

    def __init__(
        self,
        observation_space: Agent | spaces.Box,
        action_space: spaces.Space | None = None,
        hidden: int | tuple[int, ...] = 128,
        memory: str | None = None,
        n: int = 2,
    ) -> None:
        super().__init__(observation_space, action_space, hidden, memory)
        parts = boxes(self.action_space)
        for name in ("low", "high"):
            bounds = [torch.as_tensor(getattr(part, name)).float().flatten() for part in parts]
            self.register_buffer(name, torch.cat(bounds))
        self.qs = nn.ModuleList(self.network(1, n_more=len(self.low)) for _ in range(n))

    @classmethod
    def beside(cls, policy: Parametric, agent: Agent, n: int) -> Critic:
        """A critic as large as a ready-made `policy`, with a memory of the same kind."""
        if not isinstance(policy, BoxActor):
            raise ValueError(
                f"{type(policy).__name__} is your own: give a critic for it, too, for example "
                "critic=rlx.critics.Critic(agent)"
            )
        critic = cls(agent, hidden=policy.hidden, memory=policy.memory_kind, n=n)
        return critic.to(agent.device)

    def heads(self, features: Tensor, *actions: Tensor) -> tuple[Tensor | None, ...]:
        flat = torch.cat([action.reshape(len(action), -1) for action in actions], 1)
        share = (flat.clamp(self.low, self.high) - self.low) / (self.high - self.low)
        x = torch.cat([features, 2 * share - 1], 1)
        return None, *(q(x) for q in self.qs)
