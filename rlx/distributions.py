"""ActionDistribution: what a policy returns, and its components, sampled fast."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.distributions.utils import lazy_property

from rlx import functional


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
            # entering no_grad takes as long as an operation: not where it rules already
            with torch.no_grad() if torch.is_grad_enabled() else contextlib.nullcontext():
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
        for component in held:
            for value in vars(component).values():
                if isinstance(value, Tensor):
                    yield value
                elif isinstance(value, Distribution):
                    held.append(value)  # its turn comes

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
        return _total(_row_sum(c.log_prob(x)) for c, x in zip(self.components, actions))

    def entropy(self) -> Tensor:
        """Entropy of each row, summed over components and event dimensions: (B,).

        Raises NotImplementedError for a component without a closed form (a squashed Gaussian)."""
        return _total(_row_sum(component.entropy()) for component in self.components)


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

    def check_rows(self) -> None:
        """Raises ValueError if there are several ε, and not one for each row."""
        if self.epsilon.ndim and len(self.epsilon) != len(self.q):
            raise ValueError(
                f"{len(self.epsilon)} environments have an epsilon of their own, and these are "
                f"{len(self.q)} rows: play with greedy=True, dry=True, or give the network one "
                "epsilon, QPolicy(policy.network, 0.05)"
            )

    @lazy_property
    def probs(self) -> Tensor:
        self.check_rows()
        greedy = torch.nn.functional.one_hot(self.mode, self._num_events)
        epsilon = self.epsilon.unsqueeze(-1)
        return epsilon / self._num_events + (1 - epsilon) * greedy

    @lazy_property
    def logits(self) -> Tensor:
        return self.probs.log()

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        if sample_shape:
            return super().sample(sample_shape)
        self.check_rows()
        return functional.epsilon_greedy(self.q, self.epsilon)

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
    millionth of half the range inside. There is no closed-form entropy; use `-rollout.logprobs` as
    its estimate.

    In single precision the tanh of 12 is that of 20. So the sample last drawn is remembered with
    its value before the tanh, and its density is exact however far out the mean is. Of any other
    action, a stored one or a copy, only the value is known: within the `rim` it may have been any
    value from there on, and its density is the rim's mean density. (It integrates to 1, too.)
    """

    arg_constraints = {}
    has_rsample = True
    rim = 2e-6  # in halves of the range; samples stop in its middle, safe from rounding

    def __init__(
        self, mean: Tensor, std: Tensor, low: Tensor | float = -1.0, high: Tensor | float = 1.0
    ) -> None:
        self.base = Normal(mean, std)
        self.middle = torch.as_tensor((high + low) / 2, dtype=mean.dtype, device=mean.device)
        self.scale = torch.as_tensor((high - low) / 2, dtype=mean.dtype, device=mean.device)
        self._drawn = None
        super().__init__(self.base.batch_shape, validate_args=False)

    @property
    def support(self):
        low, high = self.middle - self.scale, self.middle + self.scale
        return torch.distributions.constraints.interval(low, high)

    def _squash(self, before: Tensor) -> Tensor:
        limit = 1 - self.rim / 2
        return self.middle + self.scale * before.tanh().clamp(-limit, limit)

    @property
    def mode(self) -> Tensor:
        return self._squash(self.base.mean)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        before = self.base.rsample(sample_shape)
        action = self._squash(before)
        self._drawn = action, _version(action), before
        return action

    def log_prob(self, value: Tensor) -> Tensor:
        if self._drawn and value is self._drawn[0] and _version(value) == self._drawn[1]:
            return self._log_density(self._drawn[2])
        share, inside = (value - self.middle) / self.scale, 1 - self.rim
        # P(u > border) = Φ((mean - border) / std), and its mirror image. In double precision: the
        # gradient of log Φ far out is the exponential of a difference of large numbers.
        edge = (share > inside).to(share) - (share < -inside).to(share)
        reach = (edge * self.base.mean - math.atanh(inside)) / self.base.stddev
        reach = torch.where(edge == 0, 0.0, reach).double()
        at_edge = torch.special.log_ndtr(reach).to(share) - (self.scale * self.rim).log()
        density = self._log_density(share.clamp(-inside, inside).atanh())
        return torch.where(edge == 0, density, at_edge)

    def _log_density(self, before: Tensor) -> Tensor:
        """Of the action whose value before the tanh is `before`."""
        return functional.squashed_log_prob(before, self.base.mean, self.base.stddev, self.scale)

    def entropy(self) -> Tensor:
        raise NotImplementedError(
            "a squashed Gaussian has no closed-form entropy; use -rollout.logprobs as an estimate"
        )


def _version(x: Tensor) -> int | None:
    """Counts the changes made to `x` in place: after one it is not what was drawn."""
    return None if x.is_inference() else x._version


def _sample(component: Distribution) -> Tensor:
    if isinstance(component, EpsilonGreedy):
        return component.sample()
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


def _total(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts  # a `sum` that begins with 0 is an operation more, forwards and backwards
    return sum(rest, first)


def _row_sum(x: Tensor) -> Tensor:
    return x.flatten(1).sum(1) if x.ndim > 1 else x


@contextlib.contextmanager
def no_validation() -> Iterator[None]:
    """Switch torch's argument checks off: they cost as much as a small network. Restored after."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
