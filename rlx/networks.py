"""Ready-made policies: feed-forward, GRU and LSTM, for any action space that rlx supports."""

from __future__ import annotations

import math

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal
from torch.nn.utils.rnn import PackedSequence

from rlx.policy import ActionDistribution, Categorical, Parametric


def linear(n_in: int, n_out: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """A linear layer with orthogonal weights and no bias at first (Saxe et al., 2014)."""
    layer = nn.Linear(n_in, n_out)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(n_in: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """Linear and tanh layers in turn; the last is a tanh of size `hidden[-1]`."""
    layers: list[nn.Module] = [nn.Flatten()]
    for n_out in hidden:
        layers += [linear(n_in, n_out), nn.Tanh()]
        n_in = n_out
    return nn.Sequential(*layers)


class ActionHead(nn.Module):
    """From features (B, F) to the ActionDistribution that an action space asks for.

    Discrete and each entry of a MultiDiscrete get a Categorical, MultiBinary a Bernoulli, Box a Normal
    with a learned standard deviation that does not depend on the state; a Tuple gets one of each part.
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
    """Feed-forward: one network for the actions and, with `value`, another for the state's value."""

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


class GRUPolicy(Parametric):
    """Recurrent: a GRU reads the observations; actions and value are read off its state."""

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space,
        hidden: int = 64,
        value: bool = True,
    ) -> None:
        super().__init__()
        self.rnn = nn.GRU(math.prod(observation_space.shape), hidden)
        self.actor = ActionHead(hidden, action_space)
        self.critic = linear(hidden, 1, 1.0) if value else None

    def forward(self, *states):
        h, state = states
        if h is None:
            h = state.new_zeros(len(state), self.rnn.hidden_size)
        h = torch.gru_cell(state.flatten(1), h, *self.rnn.all_weights[0])
        return h, *self.heads(h)

    def unroll(self, recur_state: Tensor | None, packed_states: PackedSequence):
        h = None if recur_state is None else recur_state[None]
        outputs, last = self.rnn(packed_states._replace(data=packed_states.data.flatten(1)), h)
        return last[0], *self.heads(outputs.data)

    def heads(self, h: Tensor) -> tuple[ActionDistribution, ...]:
        dist = self.actor(h)
        return (dist,) if self.critic is None else (dist, self.critic(h))


class LSTMPolicy(GRUPolicy):
    """Recurrent, with an LSTM: its state is a pair of tensors."""

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space,
        hidden: int = 64,
        value: bool = True,
    ) -> None:
        super().__init__(observation_space, action_space, hidden, value)
        self.rnn = nn.LSTM(math.prod(observation_space.shape), hidden)

    def forward(self, *states):
        recur, state = states
        if recur is None:
            zeros = state.new_zeros(len(state), self.rnn.hidden_size)
            recur = (zeros, zeros)
        h, c = torch.lstm_cell(state.flatten(1), recur, *self.rnn.all_weights[0])
        return (h, c), *self.heads(h)

    def unroll(self, recur_state: tuple[Tensor, Tensor] | None, packed_states: PackedSequence):
        recur = None if recur_state is None else tuple(part[None] for part in recur_state)
        packed_states = packed_states._replace(data=packed_states.data.flatten(1))
        outputs, (h, c) = self.rnn(packed_states, recur)
        return (h[0], c[0]), *self.heads(outputs.data)
