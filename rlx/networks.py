"""Ready-made policies: feed-forward, GRU and LSTM, for any action space that rlx supports."""

from __future__ import annotations

import math

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal
from torch.nn.utils.rnn import PackedSequence

from rlx.distributions import ActionDistribution, Categorical
from rlx.policy import Parametric


def linear(n_in: int, n_out: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """A linear layer with orthogonal weights and no bias at first (Saxe et al., 2014)."""
    layer = nn.Linear(n_in, n_out)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def flat(states: Tensor) -> Tensor:
    """One row of numbers a state, (B, n), as layers take them: bytes and integers become floats."""
    states = states.flatten(1)
    return states if states.is_floating_point() else states.to(torch.get_default_dtype())


class Flat(nn.Module):
    def forward(self, states: Tensor) -> Tensor:
        return flat(states)


def mlp(n_in: int, hidden: tuple[int, ...], activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """Linear layers and an activation in turn, which is also the last, of size `hidden[-1]`."""
    layers: list[nn.Module] = [Flat()]
    for n_out in hidden:
        layers += [linear(n_in, n_out), activation()]
        n_in = n_out
    return nn.Sequential(*layers)


class ActionHead(nn.Module):
    """From features (B, F) to the ActionDistribution that an action space asks for.

    Discrete and each entry of a MultiDiscrete get a Categorical, MultiBinary a Bernoulli, Box a
    Normal with a learned standard deviation that does not depend on the state; a Tuple gets what
    each of its parts gets.
    """

    def __init__(self, n_in: int, space: spaces.Space, log_std: float = -0.5) -> None:
        super().__init__()
        if isinstance(space, spaces.Tuple):
            parts = list(space)
        elif isinstance(space, spaces.MultiDiscrete):
            parts = [spaces.Discrete(int(n)) for n in space.nvec]
        else:
            parts = [space]
        self.parts = parts
        sizes = [
            int(part.n) if isinstance(part, spaces.Discrete) else math.prod(part.shape)
            for part in parts
        ]
        # Small weights: every action starts out about as probable as any other.
        self.layers = nn.ModuleList(linear(n_in, size, gain=0.01) for size in sizes)
        self.log_stds = nn.ParameterList(
            torch.full(part.shape, log_std) if isinstance(part, spaces.Box) else torch.zeros(0)
            for part in parts
        )

    def forward(self, features: Tensor) -> ActionDistribution:
        components = []
        for part, layer, log_std in zip(self.parts, self.layers, self.log_stds, strict=True):
            parameters = layer(features)
            if isinstance(part, spaces.Discrete):
                components.append(Categorical(logits=parameters))
            elif isinstance(part, spaces.MultiBinary):
                components.append(Bernoulli(logits=parameters.view(-1, *part.shape)))
            else:
                components.append(Normal(parameters.view(-1, *part.shape), log_std.exp()))
        return ActionDistribution(*components)


class MLPPolicy(Parametric):
    """Feed-forward: one network for the actions and, with `value`, another for the value."""

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space,
        hidden: tuple[int, ...] = (64, 64),
        value: bool = True,
    ) -> None:
        super().__init__()
        n_in, n_features = math.prod(observation_space.shape), hidden[-1]
        self.actor = nn.Sequential(mlp(n_in, hidden), ActionHead(n_features, action_space))
        critic = nn.Sequential(mlp(n_in, hidden), linear(n_features, 1, gain=1.0))
        self.critic = critic if value else None

    def forward(self, *states):
        _, state = states
        dist = self.actor(state)
        return (None, dist) if self.critic is None else (None, dist, self.critic(state))


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


class Remembering(Parametric):
    """Features of what was seen, for `heads` to read: the observation itself, flattened, or what a
    `memory` makes of it and all before it.

    A subclass makes `self.memory`, a `Memory` or None (feed-forward), and writes `heads(features,
    *actions)`, which returns what `forward` returns after the recurrent state."""

    memory: Memory | None

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


class GRUPolicy(Remembering):
    """Recurrent: what a GRU remembers is read by one network for the actions and, with `value`,
    another for the value.

    Of the value's gradient only `value_share` reaches the memory: its error is by far the larger,
    and what it teaches a shared memory drowns what the policy needs to remember. A memory of its
    own would cost as much time again."""

    kind: type[nn.RNNBase] = nn.GRU
    value_share = 0.01

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space,
        hidden: int = 64,
        value: bool = True,
    ) -> None:
        super().__init__()
        self.memory = Memory(self.kind, math.prod(observation_space.shape), hidden)
        self.actor = nn.Sequential(mlp(hidden, (hidden,)), ActionHead(hidden, action_space))
        critic = nn.Sequential(mlp(hidden, (hidden,)), linear(hidden, 1, gain=1.0))
        self.critic = critic if value else None

    def heads(self, features: Tensor) -> tuple[ActionDistribution, ...]:
        dist = self.actor(features)
        if self.critic is None:
            return (dist,)
        # The same numbers, whatever the share; it scales the gradient.
        return dist, self.critic(torch.lerp(features.detach(), features, self.value_share))


class LSTMPolicy(GRUPolicy):
    """The same with LSTMs: the recurrent state has twice as many tensors."""

    kind = nn.LSTM
