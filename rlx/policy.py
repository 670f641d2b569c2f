"""What the user writes (`Parametric`) and what it returns (`ActionDistribution`)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.distributions.utils import lazy_property
from torch.nn.utils.rnn import PackedSequence

from rlx.columns import apply, squeezed

RecurState = Tensor | tuple[Tensor, ...] | None


class Parametric(nn.Module):
    """A policy (or a critic): a network that also carries its own memory through time.

    Write `forward(self, *states)` with `recur_state, state = states`. It always sees a batch:
    `state` is (B, *obs), B = 1 for a single environment. `recur_state` is what the last step
    returned first: a tensor (B, *hidden), a tuple of them, or None when every row is fresh after a
    reset (when only some are, theirs are zeros, so a learned initial state is not supported). It
    returns

        next recurrent state or None,  ActionDistribution,  any number of extras

    Each extra is a tensor with one entry a row, or None; they are tracked in `rollout.others`.

    A critic sets `takes_actions = True`, unpacks `recur_state, state, *actions = states` and
    returns None in place of the distribution.

    A recurrent policy may also override `unroll(recur_state, packed_states)`, which does the work
    of `forward` for whole sequences at once: `packed_states` is a `PackedSequence`, `recur_state`
    the state entering each sequence (None: zeros); it returns the same things, one entry for each
    row of `packed_states.data`. `evaluate` prefers it to a loop over `forward`: a fused `nn.GRU` is
    faster. A critic's `unroll` is also given the actions, one entry for each of these rows.
    """

    takes_actions: bool = False
    _memory: tuple | None = (
        None  # shapes of its recurrent state, () if feed-forward; None: not run yet
    )

    def forward(self, *states):
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, *states)")

    def unroll(self, recur_state: RecurState, packed_states: PackedSequence, *actions: Tensor):
        raise NotImplementedError(f"{type(self).__name__} does not define unroll")


class ActionDistribution:
    """One or several independent action components: their log-probabilities add.

    Each component is a torch distribution whose first batch dimension is rows. Every further
    dimension, batch or event, belongs to the action and is summed over, so `Normal` of shape (B, D)
    and `Independent(Normal, 1)` agree. Actions are a tuple with one tensor a component.

    >>> force, gear = Normal(torch.zeros(4, 2), 1.0), Categorical(logits=torch.zeros(4, 3))
    >>> dist = ActionDistribution(force, gear)
    >>> dist.log_prob(*dist.sample()).shape
    torch.Size([4])
    """

    def __init__(self, *components: Distribution) -> None:
        if not components:
            raise ValueError("ActionDistribution needs at least one torch distribution")
        for component in components:
            if not isinstance(component, Distribution):
                raise TypeError(
                    f"ActionDistribution takes torch distributions, not "
                    f"{type(component).__name__}; build one first, e.g. Categorical(logits=logits)"
                )
            if not component.batch_shape:
                raise ValueError(
                    f"{component} has no batch dimension: parameters need one row for each state, "
                    "e.g. logits of shape (B, n)"
                )
        rows = [component.batch_shape[0] for component in components]
        if len(set(rows)) > 1:
            raise ValueError(f"the action components disagree on the number of rows: {rows}")
        self.components = components

    def __len__(self) -> int:
        """Number of rows."""
        return self.components[0].batch_shape[0]

    def __repr__(self) -> str:
        return f"ActionDistribution({', '.join(map(repr, self.components))})"

    def sample(self) -> tuple[Tensor, ...]:
        """One action for each row, without gradient. ValueError for impossible parameters."""
        try:
            with torch.no_grad():
                return tuple(_sample(component) for component in self.components)
        except RuntimeError as error:
            raise ValueError(
                f"cannot sample from {self}: {error}. A standard deviation must be positive, a "
                "probability between 0 and 1, and neither may be NaN"
            ) from error

    def rsample(self) -> tuple[Tensor, ...]:
        """One action for each row, with gradient to the parameters where there can be one."""
        return tuple(
            component.rsample() if component.has_rsample else _sample(component)
            for component in self.components
        )

    @property
    def mode(self) -> tuple[Tensor, ...]:
        """The most probable action of each row: the greedy choice."""
        return tuple(_mode(component) for component in self.components)

    def parameters(self) -> Iterator[Tensor]:
        """Every tensor that the components hold: where a NaN shows, which a sample may hide."""
        held = list(self.components)
        while held:
            values = vars(held.pop()).values()
            yield from (value for value in values if isinstance(value, Tensor))
            held += [value for value in values if isinstance(value, Distribution)]

    def check(self, *actions: Tensor) -> None:
        """Raises ValueError if `actions` are not of this distribution's number and shapes.

        A Categorical over (5,) given actions (5, 1) would silently answer with (5, 5)."""
        if len(actions) != len(self.components):
            raise ValueError(
                f"{len(actions)} action components for a distribution of {len(self.components)}"
            )
        for k, (component, action) in enumerate(zip(self.components, actions)):
            expected = component.batch_shape + component.event_shape
            if action.shape != expected:
                raise ValueError(
                    f"action component {k} has shape {tuple(action.shape)}, "
                    f"its distribution expects {tuple(expected)}"
                )

    def log_prob(self, *actions: Tensor) -> Tensor:
        """Log-probability or density of `actions`, summed over components and dimensions: (B,)."""
        self.check(*actions)
        return sum(_row_sum(c.log_prob(action)) for c, action in zip(self.components, actions))

    def entropy(self) -> Tensor:
        """Entropy of each row, summed over components and event dimensions: (B,).

        Raises NotImplementedError for a component without a closed form (a squashed Gaussian)."""
        return sum(_row_sum(component.entropy()) for component in self.components)


class Categorical(torch.distributions.Categorical):
    """torch's Categorical, except that `logits` (B, n) are normalised when they are first read.

    Sampling does not need it, and torch does it at construction, which costs as much as a layer."""

    def __init__(self, logits: Tensor) -> None:
        self._param, self._num_events = logits, logits.shape[-1]
        Distribution.__init__(self, logits.shape[:-1], validate_args=False)

    @lazy_property
    def logits(self) -> Tensor:
        return self._param.log_softmax(-1)

    @lazy_property
    def probs(self) -> Tensor:
        return self._param.softmax(-1)


class EpsilonGreedy(Categorical):
    """The best of the actions by their values `q` (B, A); with probability ε any, evenly.

    `epsilon` is one number (a tensor of shape ()), or one a row, (B,). Its `mode` is the best."""

    def __init__(self, q: Tensor, epsilon: Tensor) -> None:
        self.q, self.epsilon, self._num_events = q, epsilon, q.shape[-1]
        Distribution.__init__(self, q.shape[:-1], validate_args=False)

    @lazy_property
    def probs(self) -> Tensor:
        if self.epsilon.ndim and len(self.epsilon) != len(self.q):
            raise ValueError(
                f"{len(self.epsilon)} environments have an epsilon of their own, and these are "
                f"{len(self.q)} rows: play with greedy=True, dry=True, or give the network one "
                "epsilon, QPolicy(policy.network, 0.05)"
            )
        greedy = torch.nn.functional.one_hot(self.mode, self._num_events)
        epsilon = self.epsilon.unsqueeze(-1)
        return epsilon / self._num_events + (1 - epsilon) * greedy

    @lazy_property
    def logits(self) -> Tensor:
        return self.probs.log()

    _param = probs  # what a sample is drawn by

    @property
    def param_shape(self) -> torch.Size:
        return self.q.shape  # known without the probabilities

    @property
    def mode(self) -> Tensor:
        return self.q.argmax(-1)


class SquashedNormal(Distribution):
    """tanh of a Gaussian, stretched to actions in (low, high) (Haarnoja et al., 2018, "Soft
    actor-critic", app. C).

    `mean` and `std`, before the tanh, are (B, D); `low` and `high` numbers or (D,). Samples stay a
    millionth of the range inside, so that their density is finite. There is no closed-form
    entropy; use `-rollout.logprobs` as its estimate.
    """

    arg_constraints = {}
    has_rsample = True
    limit = 1 - 1e-6

    def __init__(
        self, mean: Tensor, std: Tensor, low: Tensor | float = -1.0, high: Tensor | float = 1.0
    ) -> None:
        self.base = Normal(mean, std)
        self.middle = torch.as_tensor((high + low) / 2, dtype=mean.dtype, device=mean.device)
        self.scale = torch.as_tensor((high - low) / 2, dtype=mean.dtype, device=mean.device)
        super().__init__(self.base.batch_shape, validate_args=False)

    @property
    def support(self):
        low, high = self.middle - self.scale, self.middle + self.scale
        return torch.distributions.constraints.interval(low, high)

    def _squash(self, before: Tensor) -> Tensor:
        return self.middle + self.scale * before.tanh().clamp(-self.limit, self.limit)

    @property
    def mode(self) -> Tensor:
        return self._squash(self.base.mean)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        return self._squash(self.base.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        squashed = (value - self.middle) / self.scale
        before = squashed.clamp(-self.limit, self.limit).atanh()
        # log(1 − tanh²u) = 2 (log 2 − u − softplus(−2u)), without cancellation for large |u|.
        slope = 2 * (math.log(2) - before - nn.functional.softplus(-2 * before))
        return self.base.log_prob(before) - slope - self.scale.log()

    def entropy(self) -> Tensor:
        raise NotImplementedError(
            "a squashed Gaussian has no closed-form entropy; use -rollout.logprobs as an estimate"
        )


def _sample(component: Distribution) -> Tensor:
    if isinstance(component, torch.distributions.Categorical):
        # Gumbel-max: argmin of E/p with E exponential. Several times faster than torch.multinomial.
        race = torch.empty_like(component._param).exponential_()
        if "probs" in vars(component):  # what torch was given, or computed already; 0 stays 0
            return race.div_(component.probs).argmin(-1)
        return race.log_().sub_(component._param).argmin(-1)
    return component.sample()


def _mode(component: Distribution) -> Tensor:
    if isinstance(component, Independent):
        return _mode(component.base_dist)
    if isinstance(component, Bernoulli):
        return (component.probs > 0.5).to(component.probs.dtype)  # torch's is NaN at exactly 0.5
    return component.mode


def _row_sum(x: Tensor) -> Tensor:
    return x.flatten(1).sum(1) if x.ndim > 1 else x


class Output(NamedTuple):
    """What one call of a policy gave, checked."""

    recur_state: RecurState
    dist: ActionDistribution | None
    others: tuple[Tensor | None, ...]


def run(policy: Parametric, recur_state: RecurState, states: Tensor, *actions: Tensor) -> Output:
    """Call `policy` on a batch of `states` (B, *obs) and check what it returns.

    Raises TypeError or ValueError that says what `forward` should have returned."""
    inputs = (recur_state, states, *actions) if policy.takes_actions else (recur_state, states)
    output = _checked(policy, policy, inputs, states)
    memory = memory_of(output.recur_state, len(states))
    if policy._memory is None:
        policy._memory = memory
    elif policy._memory != memory:
        raise ValueError(
            f"{type(policy).__name__} returned a recurrent state of shapes {memory} for "
            f"{len(states)} states, and of shapes {policy._memory} before (rows left out)"
        )
    return output


def run_sequences(
    policy: Parametric, recur_state: RecurState, packed: PackedSequence, *actions: Tensor
) -> Output:
    """The same for whole sequences, through the policy's own `unroll`."""
    inputs = (recur_state, packed, *actions) if policy.takes_actions else (recur_state, packed)
    return _checked(policy, policy.unroll, inputs, packed.data)


def memory_of(recur_state: RecurState, n_rows: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Shape of each part of a recurrent state, rows left out; () for None."""
    parts = recur_state if isinstance(recur_state, tuple) else (recur_state,)
    shapes = []
    for part in parts if recur_state is not None else ():
        if not isinstance(part, Tensor) or (n_rows is not None and part.shape[:1] != (n_rows,)):
            got = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise ValueError(
                "a recurrent state must be a tensor with one entry a row, or a tuple of them "
                f"({n_rows} rows here), or None; got {got}"
            )
        shapes.append(tuple(part.shape[1:]))
    return tuple(shapes)


def _checked(policy: Parametric, call: Callable, inputs: tuple, states: Tensor) -> Output:
    """What `forward` or `unroll` returns as an `Output`, or an error that says what is wrong."""
    name, n_rows = type(policy).__name__, len(states)
    try:
        result = call(*inputs)
    except RuntimeError as error:
        raise ValueError(
            f"{name} failed on {n_rows} observations of shape {tuple(states.shape[1:])}: {error}. "
            "If it is the shapes that do not fit, it was made for another observation space."
        ) from error
    if not isinstance(result, tuple) or len(result) < 2:
        got = f"{len(result)} value(s)" if isinstance(result, tuple) else type(result).__name__
        raise TypeError(
            f"{name}.forward must return at least two values, the next recurrent state (or None) "
            f"and an ActionDistribution, then any extras; it returned {got}"
        )
    recur_state, dist, *extras = result
    if dist is not None and not isinstance(dist, ActionDistribution):
        raise TypeError(
            f"the second value that {name}.forward returns must be an ActionDistribution (None for "
            f"a critic), not {type(dist).__name__}; wrap it: rlx.ActionDistribution(...)"
        )
    if dist is None and not extras:
        raise TypeError(f"{name}.forward returned neither a distribution nor a value")
    if dist is not None and len(dist) != n_rows:
        raise ValueError(f"{name}: an action distribution of {len(dist)} rows for {n_rows} states")
    for k, extra in enumerate(extras):
        if extra is not None and (not isinstance(extra, Tensor) or extra.shape[:1] != (n_rows,)):
            got = tuple(extra.shape) if isinstance(extra, Tensor) else type(extra).__name__
            raise ValueError(
                f"extra {k} that {name}.forward returns must be a tensor with one entry a row "
                f"({n_rows} here) or None; got {got}"
            )
    return Output(recur_state, dist, apply(squeezed, tuple(extras)))


@contextlib.contextmanager
def no_validation() -> Iterator[None]:
    """Switch torch's argument checks off: they cost as much as a small network. Restored after."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
