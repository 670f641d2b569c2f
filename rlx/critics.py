"""Ready-made networks for learning from replayed rollouts: Q-values, critics, and their actors.

Each is feed-forward, or recurrent with `memory="gru"` or `"lstm"`. The hidden layers are ReLUs:
Q-values are large and keep growing while they are learned, and a tanh would saturate.
"""

from __future__ import annotations

import math

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.distributions import Normal

from rlx.agent import Agent
from rlx.distributions import ActionDistribution, EpsilonGreedy, SquashedNormal
from rlx.networks import Memory, Remembering, linear, mlp
from rlx.policy import Parametric

MEMORIES: dict[str | None, type[nn.RNNBase] | None] = {None: None, "gru": nn.GRU, "lstm": nn.LSTM}


class Network(Remembering):
    """Features: the observation, or with `memory` what a GRU or LSTM of `hidden` units remembers.

    `body` makes the network that reads them (and `n_more` numbers beside)."""

    def __init__(self, observation_space: spaces.Box, hidden: int, memory: str | None) -> None:
        super().__init__()
        if memory not in MEMORIES:
            raise ValueError(f'memory is {memory!r}: give None, "gru" or "lstm"')
        self.memory_kind = memory
        n_in, kind = math.prod(observation_space.shape), MEMORIES[memory]
        self.memory = kind and Memory(kind, n_in, hidden)
        self.hidden, self.n_features = hidden, hidden if kind else n_in

    def body(self, n_out: int, n_more: int = 0, gain: float = 1.0) -> nn.Sequential:
        # What a memory gives has been through one layer already.
        layers = (self.hidden,) if self.memory else (self.hidden, self.hidden)
        return nn.Sequential(
            mlp(self.n_features + n_more, layers, nn.ReLU), linear(self.hidden, n_out, gain)
        )


class QNetwork(Network):
    """Q(s, a) of every action of a Discrete space, (B, A): the first extra."""

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Discrete,
        hidden: int = 128,
        memory: str | None = None,
    ) -> None:
        super().__init__(observation_space, hidden, memory)
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(
                f"Q-values of every action can be listed for a Discrete space, not for "
                f"{action_space}: DDPG, TD3 and SAC take a Box, the policy gradients any space"
            )
        self.q = self.body(int(action_space.n))

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


def boxes(action_space: spaces.Space) -> list[spaces.Box]:
    """The parts of a space of continuous, bounded actions: a Box, or a Tuple of several.

    Raises ValueError, with what to use instead, for any other space."""
    parts = list(action_space) if isinstance(action_space, spaces.Tuple) else [action_space]
    for part in parts:
        if not isinstance(part, spaces.Box):
            raise ValueError(
                f"DDPG, TD3 and SAC follow the gradient of Q with respect to the action, and "
                f"{part} has none: DQN takes a Discrete space, PPO and the other policy gradients "
                "any, also several components"
            )
        if not part.is_bounded():
            raise ValueError(
                f"DDPG, TD3 and SAC act between two bounds, and {part} has none: "
                "gymnasium.wrappers.RescaleAction or PPO"
            )
    return parts


class BoxActor(Network):
    """What the actors share: for each Box, the numbers its distribution is made of, and its bounds.

    A subclass says how many numbers an action takes, and makes a distribution of them."""

    numbers = 1

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space,
        hidden: int = 128,
        memory: str | None = None,
    ) -> None:
        super().__init__(observation_space, hidden, memory)
        parts = boxes(action_space)
        self.shapes = [part.shape for part in parts]
        for k, part in enumerate(parts):
            self.register_buffer(f"low_{k}", torch.as_tensor(part.low, dtype=torch.float32))
            self.register_buffer(f"high_{k}", torch.as_tensor(part.high, dtype=torch.float32))
        size = sum(math.prod(shape) for shape in self.shapes)
        # Small weights: the first actions are near the middle, whatever is observed.
        self.actor = self.body(self.numbers * size, gain=0.01)

    def heads(self, features: Tensor) -> tuple[ActionDistribution]:
        sizes = [self.numbers * math.prod(shape) for shape in self.shapes]
        components = []
        for k, part in enumerate(self.actor(features).split(sizes, dim=1)):
            numbers = part.view(-1, self.numbers, *self.shapes[k]).unbind(1)
            low, high = self.get_buffer(f"low_{k}"), self.get_buffer(f"high_{k}")
            components.append(self.component(low, high, *numbers))
        return (ActionDistribution(*components),)


class SquashedPolicy(BoxActor):
    """A Gaussian through a tanh (`SquashedNormal`), for SAC. Its deviation depends on the state."""

    numbers = 2
    log_std_range = (-5.0, 2.0)

    def component(self, low: Tensor, high: Tensor, mean: Tensor, log_std: Tensor) -> SquashedNormal:
        return SquashedNormal(mean, log_std.clamp(*self.log_std_range).exp(), low, high)


class NoisyPolicy(BoxActor):
    """One action, for DDPG and TD3, with Gaussian noise around it of deviation `noise`, in halves
    of the Box's width. What lies outside is cut off at the environment's border. `mode` is without
    noise."""

    def __init__(self, *args, noise: float = 0.1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("noise", torch.tensor(noise))

    def component(self, low: Tensor, high: Tensor, x: Tensor) -> Normal:
        half = (high - low) / 2
        return Normal(low + half * (1 + x.tanh()), (self.noise * half).expand_as(x))


class Critic(Network):
    """Q(s, a) of the given actions, by `n` networks: n extras of shape (B,).

    Recurrent, they share a memory of the observations. Actions are cut off at their bounds, as the
    environment does it, and scaled to [-1, 1]."""

    takes_actions = True

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space,
        hidden: int = 128,
        memory: str | None = None,
        n: int = 2,
    ) -> None:
        super().__init__(observation_space, hidden, memory)
        parts = boxes(action_space)
        for name in ("low", "high"):
            bounds = [torch.as_tensor(getattr(part, name)).float().flatten() for part in parts]
            self.register_buffer(name, torch.cat(bounds))
        self.qs = nn.ModuleList(self.body(1, n_more=len(self.low)) for _ in range(n))

    @classmethod
    def beside(cls, policy: Parametric, agent: Agent, n: int) -> Critic:
        """A critic as large as a ready-made `policy`, with a memory of the same kind."""
        if not isinstance(policy, BoxActor):
            raise ValueError(
                f"{type(policy).__name__} is your own: give a critic for it, too, for example "
                "critic=rlx.critics.Critic(agent.observation_space, agent.action_space)"
            )
        spaces_ = agent.observation_space, agent.action_space
        return cls(*spaces_, policy.hidden, policy.memory_kind, n).to(agent.envs.device)

    def heads(self, features: Tensor, *actions: Tensor) -> tuple[Tensor | None, ...]:
        flat = torch.cat([action.reshape(len(action), -1) for action in actions], 1)
        share = (flat.clamp(self.low, self.high) - self.low) / (self.high - self.low)
        x = torch.cat([features, 2 * share - 1], 1)
        return None, *(q(x) for q in self.qs)
