"""What the user writes (`Parametric`) and what it returns (`ActionDistribution`)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.distributions.utils import lazy_property
from torch.nn.utils.rnn import PackedSequence

RecurState = Tensor | tuple[Tensor, ...] | None


class Parametric(nn.Module):
    """A policy (or a critic): a network that also carries its own memory through time.

    Write `forward(self, *states)` with `recur_state, state = states`. It always sees a batch: `state`
    is (B, *obs), B = 1 for a single environment. `recur_state` is what the last step returned first:
    a tensor (B, *hidden), a tuple of them, or None when every row is fresh after a reset (when only
    some are, theirs are zeros, so a learned initial state is not supported). It returns

        next recurrent state or None,  ActionDistribution,  any number of extras

    Each extra is a tensor with one entry a row, or None; they are tracked in `rollout.others`.

    A critic sets `takes_actions = True`, unpacks `recur_state, state, *actions = states` and returns
    None in place of the distribution.

    A recurrent policy may also override `unroll(recur_state, packed_states)`, which does the work of
    `forward` for whole sequences at once: `packed_states` is a `PackedSequence`, `recur_state` the
    state entering each sequence; it returns the same things, one entry for each row of
    `packed_states.data`. `evaluate` prefers it to a loop over `forward`: a fused `nn.GRU` is faster.
    """

    takes_actions: bool = False
    _memory: tuple | None = None  # shapes of its recurrent state, () if feed-forward; None: not run yet

    def forward(self, *states):
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, *states)")

    def unroll(self, recur_state: RecurState, packed_states: PackedSequence):
        raise NotImplementedError(f"{type(self).__name__} does not define unroll")


class ActionDistribution:
    """One or several independent action components: their log-probabilities add.

    Each component is a torch distribution whose first batch dimension is rows. Every further
    dimension, batch or event, belongs to the action and is summed over, so `Normal` of shape (B, D)
    and `Independent(Normal, 1)` agree. Actions are a tuple with one tensor a component.

    >>> dist = ActionDistribution(Normal(torch.zeros(4, 2), 1.0), Categorical(logits=torch.zeros(4, 3)))
    >>> dist.log_prob(*dist.sample()).shape
    torch.Size([4])
    """

    def __init__(self, *components: Distribution) -> None:
        if not components:
            raise ValueError("ActionDistribution needs at least one torch distribution")
        for component in components:
            if not isinstance(component, Distribution):
                raise TypeError(
                    f"ActionDistribution takes torch distributions, not {type(component).__name__}; "
                    "build one first, e.g. Categorical(logits=logits)"
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
        """One action for each row, without gradient."""
        with torch.no_grad():
            return tuple(_sample(component) for component in self.components)

    def rsample(self) -> tuple[Tensor, ...]:
        """One action for each row, with gradient to the parameters where the component allows it."""
        return tuple(
            component.rsample() if component.has_rsample else _sample(component)
            for component in self.components
        )

    @property
    def mode(self) -> tuple[Tensor, ...]:
        """The most probable action of each row: the greedy choice."""
        return tuple(_mode(component) for component in self.components)

    def log_prob(self, *actions: Tensor) -> Tensor:
        """Log-probability (density) of `actions`, summed over components and event dimensions: (B,)."""
        if len(actions) != len(self.components):
            raise ValueError(
                f"{len(actions)} action components for a distribution of {len(self.components)}"
            )
        total = 0.0
        for k, (component, action) in enumerate(zip(self.components, actions, strict=True)):
            # A Categorical over (5,) given actions (5, 1) would silently answer with (5, 5).
            expected = component.batch_shape + component.event_shape
            if action.shape != expected:
                raise ValueError(
                    f"action component {k} has shape {tuple(action.shape)}, "
                    f"its distribution expects {tuple(expected)}"
                )
            total = total + _row_sum(component.log_prob(action))
        return total

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


class SquashedNormal(Distribution):
    """tanh of a Gaussian: actions inside (-1, 1), density with the change of variables (SAC, app. C).

    `mean` and `std` are (B, D). Samples stay inside ±(1 − 1e-6), so that their log-density is finite.
    There is no closed-form entropy; use `-rollout.logprobs` as its estimate.
    """

    arg_constraints = {}
    has_rsample = True
    limit = 1 - 1e-6

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.base = Normal(mean, std)
        super().__init__(self.base.batch_shape, validate_args=False)

    @property
    def support(self):
        return torch.distributions.constraints.interval(-1.0, 1.0)

    @property
    def mode(self) -> Tensor:
        return self.base.mean.tanh().clamp(-self.limit, self.limit)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        return self.base.rsample(sample_shape).tanh().clamp(-self.limit, self.limit)

    def log_prob(self, value: Tensor) -> Tensor:
        before = value.clamp(-self.limit, self.limit).atanh()
        # log(1 − tanh²u) = 2 (log 2 − u − softplus(−2u)), without cancellation for large |u|.
        slope = 2 * (math.log(2) - before - nn.functional.softplus(-2 * before))
        return self.base.log_prob(before) - slope

    def entropy(self) -> Tensor:
        raise NotImplementedError(
            "a squashed Gaussian has no closed-form entropy; use -rollout.logprobs as an estimate"
        )


def _sample(component: Distribution) -> Tensor:
    if isinstance(component, torch.distributions.Categorical):
        # Gumbel-max: argmin of E/p with E exponential. Several times faster than torch.multinomial.
        logits = component._param if isinstance(component, Categorical) else component.logits
        return torch.empty_like(logits).exponential_().log_().sub_(logits).argmin(-1)
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
    try:
        result = policy(*inputs)
    except RuntimeError as error:
        raise ValueError(
            f"{type(policy).__name__}.forward failed on {len(states)} observations of shape "
            f"{tuple(states.shape[1:])}: {error}. If it is the shapes that do not fit, the policy "
            "was made for another observation space."
        ) from error
    output = checked(policy, result, len(states))
    if policy._memory is None:
        policy._memory = memory_of(output.recur_state)
    return output


def memory_of(recur_state: RecurState) -> tuple[torch.Size, ...]:
    """Shape of each part of a recurrent state, rows left out; () for None."""
    if recur_state is None:
        return ()
    parts = recur_state if isinstance(recur_state, tuple) else (recur_state,)
    return tuple(tuple(part.shape[1:]) for part in parts)


def checked(policy: Parametric, result: tuple, n_rows: int) -> Output:
    """The result of `forward` or `unroll` as an `Output`, or an error that says what is wrong."""
    name = type(policy).__name__
    if not isinstance(result, tuple) or len(result) < 2:
        got = f"{len(result)} value(s)" if isinstance(result, tuple) else type(result).__name__
        raise TypeError(
            f"{name}.forward must return at least two values, the next recurrent state (or None) and "
            f"an ActionDistribution, then any extras; it returned {got}"
        )
    recur_state, dist, *extras = result
    if dist is not None and not isinstance(dist, ActionDistribution):
        raise TypeError(
            f"the second value that {name}.forward returns must be an ActionDistribution (None for a "
            f"critic), not {type(dist).__name__}; wrap it: rlx.ActionDistribution(...)"
        )
    if dist is None and not extras:
        raise TypeError(f"{name}.forward returned neither a distribution nor a value")
    if dist is not None and len(dist) != n_rows:
        raise ValueError(f"{name}: an action distribution of {len(dist)} rows for {n_rows} states")
    others = tuple(_extra_column(name, k, extra, n_rows) for k, extra in enumerate(extras))
    return Output(recur_state, dist, others)


def _extra_column(name: str, k: int, extra: Tensor | None, n_rows: int) -> Tensor | None:
    if extra is None:
        return None
    if not isinstance(extra, Tensor) or extra.ndim == 0 or len(extra) != n_rows:
        got = tuple(extra.shape) if isinstance(extra, Tensor) else type(extra).__name__
        raise ValueError(
            f"extra {k} that {name}.forward returns must be a tensor with one entry a row "
            f"({n_rows} here) or None; got {got}"
        )
    # A value head gives (B, 1); against (B,) that would broadcast to (B, B) in a loss.
    return extra.squeeze(-1) if extra.ndim == 2 and extra.shape[-1] == 1 else extra


@contextlib.contextmanager
def no_validation() -> Iterator[None]:
    """Switch torch's argument checks off: they cost as much as a small network. Restored after."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
