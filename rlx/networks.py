"""Ready-made networks, one family: layers, a memory or none, heads that fit the action space.

    policy = rlx.networks.GRUPolicy(agent)
    policy = rlx.networks.SquashedPolicy(agent, hidden=64, memory="lstm")

Each is made from an agent, or from an observation space and an action space. The policies are here;
Q-values and critics, of the same family, in `rlx.critics`.
"""

from __future__ import annotations

import itertools
import math

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal
from torch.nn.utils.rnn import PackedSequence

from rlx.agent import Agent
from rlx.distributions import ActionDistribution, Categorical, SquashedNormal
from rlx.play.checks import parts_of
from rlx.policy import Parametric

MEMORIES: dict[str | None, type[nn.RNNBase] | None] = {None: None, "gru": nn.GRU, "lstm": nn.LSTM}


def linear(n_in: int, n_out: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """A linear layer with orthogonal weights and no bias at first (Saxe et al., 2014)."""
    layer = nn.Linear(n_in, n_out)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def flat(states: Tensor) -> Tensor:
    """One row of numbers a state, (B, n), as layers take them: bytes and integers become floats."""
    if states.ndim != 2:
        states = states.flatten(1)
    return states if states.is_floating_point() else states.to(torch.get_default_dtype())


class ActionHead(nn.Module):
    """From features (B, F) to the ActionDistribution that an action space asks for.

    Discrete and each entry of a MultiDiscrete get a Categorical, MultiBinary a Bernoulli, Box a
    Normal with a learned standard deviation that does not depend on the state; a Tuple gets what
    each of its parts gets.
    """

    def __init__(self, n_in: int, space: spaces.Space, log_std: float = -0.5) -> None:
        super().__init__()
        self.parts = parts_of(space)
        sizes = [
            int(part.n) if isinstance(part, spaces.Discrete) else math.prod(part.shape)
            for part in self.parts
        ]
        # Small weights: every action starts out about as probable as any other.
        self.layers = nn.ModuleList(linear(n_in, size, gain=0.01) for size in sizes)
        self.log_stds = nn.ParameterList(
            torch.full(part.shape, log_std) for part in self.parts if isinstance(part, spaces.Box)
        )

    def forward(self, features: Tensor) -> ActionDistribution:
        components, box = [], itertools.count()
        for part, layer in zip(self.parts, self.layers, strict=True):
            parameters = layer(features)
            if isinstance(part, spaces.Discrete):
                components.append(Categorical(logits=parameters))
            elif isinstance(part, spaces.MultiBinary):
                components.append(Bernoulli(logits=parameters.view(-1, *part.shape)))
            else:
                mean, std = parameters.view(-1, *part.shape), self.log_stds[next(box)].exp()
                components.append(Normal(mean, std))
        return ActionDistribution(*components)


class Memory(nn.Module):
    """An `nn.GRU` or `nn.LSTM` that goes one step, or through whole sequences at once.

    Its state is a tuple of tensors (B, hidden): one of a GRU, two of an LSTM; None means zeros."""

    def __init__(self, kind: type[nn.RNNBase], n_in: int, hidden: int) -> None:
        super().__init__()
        self.rnn = kind(n_in, hidden)
        self.size = 2 if kind is nn.LSTM else 1
        # What a memory is for is often a small difference between observations, and torch's own
        # initial weights hardly let small things in. With this gain, a unit's input is about twice
        # as large as the numbers of the observation, however few they are.
        gain = 2.0 * math.sqrt(max(1.0, hidden / n_in))
        for inputs, recurrent in zip(
            self.rnn.weight_ih_l0.split(hidden), self.rnn.weight_hh_l0.split(hidden)
        ):  # gate by gate
            nn.init.orthogonal_(inputs, gain)
            nn.init.orthogonal_(recurrent)
        nn.init.zeros_(self.rnn.bias_ih_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)

    def step(self, state: tuple[Tensor, ...] | None, x: Tensor) -> tuple[Tensor, ...]:
        """The next state; its first tensor is the output."""
        if state is None:
            state = (x.new_zeros(len(x), self.rnn.hidden_size),) * self.size
        weights = self.rnn.all_weights[0]
        if self.size == 2:
            return torch.lstm_cell(x, state, *weights)
        return (torch.gru_cell(x, *state, *weights),)

    def unroll(
        self, state: tuple[Tensor, ...] | None, packed: PackedSequence
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The state after the last row, of the sequences that have one; the outputs of all rows.

        The sequences are padded to one length. On the CPU torch's own way with packed ones fills
        the whole input's gradient with zeros once a step, and has no fused LSTM."""
        runs = torch.arange(packed.batch_sizes[0]) < packed.batch_sizes[:, None]  # (time, B)
        rows = runs.flatten().nonzero().flatten().to(packed.data.device)
        padded = packed.data.new_zeros(runs.numel(), packed.data.shape[1])
        padded = padded.index_copy(0, rows, packed.data).unflatten(0, runs.shape)
        if state is not None:
            state = tuple(part[None] for part in state)
            state = state if self.size == 2 else state[0]
        outputs, last = self.rnn(padded, state)
        last = last if self.size == 2 else (last,)
        still = int(packed.batch_sizes[-1])
        return tuple(part[0, :still] for part in last), outputs.flatten(0, 1).index_select(0, rows)


class Network(Parametric):
    """What all of them share: the features of what was seen, for `heads` to read. They are the
    observation itself, flattened, or what a `memory` ("gru", "lstm") makes of it and all before it.

    It is made from an agent, or from its two spaces. `hidden` are the sizes of the layers, two of
    them if it is one number; with a memory, the first of them remembers. A subclass makes its
    networks in `build`, and writes `heads(features, *actions)`, which returns what `forward`
    returns after the recurrent state.

    Raises TypeError or ValueError, with what to give instead, for other spaces or memories."""

    # Q-values are large and keep growing while they are learned, and a tanh would saturate.
    activation: type[nn.Module] = nn.ReLU

    def __init__(
        self,
        observation_space: Agent | spaces.Box,
        action_space: spaces.Space | None = None,
        hidden: int | tuple[int, ...] = 128,
        memory: str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(observation_space, Agent) and action_space is None:
            agent = observation_space
            observation_space, action_space = agent.observation_space, agent.action_space
        if not all(isinstance(space, spaces.Space) for space in (observation_space, action_space)):
            name = type(self).__name__
            raise TypeError(
                f"{name} is made from an agent, {name}(agent, hidden=64), or from an observation "
                f"space and an action space, not from {observation_space!r} and {action_space!r}"
            )
        if memory not in MEMORIES:
            raise ValueError(f'memory is {memory!r}: give None, "gru" or "lstm"')
        self.action_space, self.hidden, self.memory_kind = action_space, hidden, memory
        n_in, kind = math.prod(observation_space.shape), MEMORIES[memory]
        sizes = (hidden, hidden) if isinstance(hidden, int) else tuple(hidden)
        self.memory = kind and Memory(kind, n_in, sizes[0])
        self.n_features, self.layers = (sizes[0], sizes[1:]) if kind else (n_in, sizes)
        self.n_out = sizes[-1]
        self.build()

    def body(self, n_more: int = 0) -> nn.Sequential:
        """Linear layers, each with its activation, that read the features and `n_more` numbers."""
        layers, n_in = [], self.n_features + n_more
        for n_out in self.layers:
            layers += [linear(n_in, n_out), self.activation()]
            n_in = n_out
        return nn.Sequential(*layers)

    def network(self, n_out: int, n_more: int = 0, gain: float = 1.0) -> nn.Sequential:
        """A body, and `n_out` numbers from it."""
        return nn.Sequential(self.body(n_more), linear(self.n_out, n_out, gain))

    def build(self) -> None:
        """Make the networks that `heads` asks, for `self.action_space`."""

    def forward(self, *states):
        recur_state, state, *actions = states
        features = flat(state)
        if self.memory is None:
            return None, *self.heads(features, *actions)
        recur_state = self.memory.step(recur_state, features)
        return recur_state, *self.heads(recur_state[0], *actions)

    def unroll(
        self, recur_state: tuple[Tensor, ...] | None, packed_states: PackedSequence, *actions
    ):
        packed_states = packed_states._replace(data=flat(packed_states.data))
        recur_state, outputs = self.memory.unroll(recur_state, packed_states)
        return recur_state, *self.heads(outputs, *actions)

    def heads(self, features: Tensor, *actions: Tensor) -> tuple:
        raise NotImplementedError(f"{type(self).__name__} must define heads(features, *actions)")


class Policy(Network):
    """For the policy gradients, in any action space: one network for the actions and, with
    `value`, another for the value. What a memory remembers is read by both."""

    activation = nn.Tanh
    kind: str | None = None  # the memory, unless another is asked for

    def __init__(
        self,
        observation_space: Agent | spaces.Box,
        action_space: spaces.Space | None = None,
        hidden: int | tuple[int, ...] = 64,
        value: bool = True,
        memory: str | None = None,
    ) -> None:
        super().__init__(observation_space, action_space, hidden, memory or self.kind)
        self.actor = nn.Sequential(self.body(), ActionHead(self.n_out, self.action_space))
        # Small weights: until something is learned, V is the mean, and no noise around it.
        critic = self.network(1, gain=0.01)
        self.critic = critic if value else None

    def heads(self, features: Tensor) -> tuple[ActionDistribution, ...]:
        dist = self.actor(features)
        if self.critic is None:
            return (dist,)
        return dist, self.critic(features)


class MLPPolicy(Policy):
    """Feed-forward."""


class GRUPolicy(Policy):
    """Recurrent, with a GRU: the recurrent state is a tuple of one tensor, (B, hidden)."""

    kind = "gru"


class LSTMPolicy(Policy):
    """Recurrent, with an LSTM: the recurrent state is a tuple of two such tensors."""

    kind = "lstm"


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

    def build(self) -> None:
        parts = boxes(self.action_space)
        self.shapes = [part.shape for part in parts]
        for k, part in enumerate(parts):
            self.register_buffer(f"low_{k}", torch.as_tensor(part.low, dtype=torch.float32))
            self.register_buffer(f"high_{k}", torch.as_tensor(part.high, dtype=torch.float32))
        size = sum(math.prod(shape) for shape in self.shapes)
        # Small weights: the first actions are near the middle, whatever is observed.
        self.actor = self.network(self.numbers * size, gain=0.01)

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
