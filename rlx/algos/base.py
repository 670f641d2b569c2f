"""What all algorithms share: an agent, a policy, counters, and the step along the gradient."""

from __future__ import annotations

import copy
import inspect
import math
from collections import deque
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlx import functional
from rlx.agent import Agent
from rlx.play.checks import did_you_mean
from rlx.policy import Parametric
from rlx.rollout import Rollout


class Targets:
    """Mean μ and deviation σ of the returns that were paid in the last thirty updates: V = μ + σ v.

    The network answers v, whose size is about 1 whatever the rewards are. So its error does not
    drown the policy's loss, and it need not grow for hundreds of steps before it is of any use
    (van Hasselt et al., 2016, "Learning values across many orders of magnitude", without keeping
    V as it was when μ and σ change). Before the first update μ is 0 and σ is 1."""

    def __init__(self) -> None:
        self.moments: deque[tuple[float, float]] = deque(maxlen=30)

    @property
    def mean(self) -> float:
        return fmean([mean for mean, _ in self.moments]) if self.moments else 0.0

    @property
    def deviation(self) -> float:
        if not self.moments:
            return 1.0
        # Returns that were all equal may not be what is expected of every state: leave v a hold.
        mean, square = self.mean, fmean([square for _, square in self.moments])
        least = abs(mean) / 4 + 1e-8
        return max(square - mean**2, least**2) ** 0.5

    def update(self, rollout: Rollout, gamma: float) -> None:
        """Take in what was paid: the discounted rewards from each row to the end of its episode or
        fragment. `rollout` still has its end rows.

        No value is asked what would have come after a cut: if V had a part in σ, and σ has one in
        V, both could grow without end."""
        paid = functional.discounted_returns(rollout.rewards, rollout.end, gamma)
        self.take_in(paid[~rollout.end])

    def take_in(self, paid: Tensor) -> None:
        """The same, if these returns are known already: (N,), without end rows."""
        paid = paid.detach().double()
        self.moments.append((paid.mean().item(), paid.square().mean().item()))

    def undo(self) -> None:
        """Forget the last update's: the step was not taken."""
        if self.moments:
            self.moments.pop()

    def state_dict(self) -> dict[str, Any]:
        return {"moments": list(self.moments)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moments = deque(map(tuple, state["moments"]), maxlen=self.moments.maxlen)


def options_of(kind: type[Algorithm]) -> dict[str, Any]:
    """What an algorithm can be told, and the defaults: its own options, and those above it."""
    names = {name: None for one in reversed(kind.__mro__) for name in inspect.get_annotations(one)}
    return {name: getattr(kind, name) for name in names if hasattr(kind, name)}


class Algorithm:
    """Improves `policy` in `agent`'s environment, one `update()` after another.

    A subclass writes `update()`, which samples, computes a loss, calls `self.minimize(**terms)` and
    returns `self.report(...)`: a dict of metrics under their usual names. Its options are annotated
    attributes of the class, with their defaults, besides those of the classes above it. The agent's
    optimizer is used; if it has none, it gets Adam with learning rate `lr`, for the policy, the
    `critics`, if there are any, and what else `build` makes. `grad_clip` bounds the gradient's norm
    (0: not at all). `steps`, `episodes` and `updates` count what has been done so far, `recent`
    holds the returns of the last 100 episodes.

    One that learns a value reads it by `value_of` and fits it by `value_loss`, which do with
    `targets` what makes them independent of the size of the returns.
    """

    lr: float = 3e-3
    grad_clip: float = 0.0

    counters = ("updates", "steps", "episodes", "seconds")
    entropy_reg = 0.0

    def __init__(
        self, agent: Agent, policy: Parametric, *critics: nn.Module, **options: Any
    ) -> None:
        known = options_of(type(self))
        for name in options:
            if name not in known:
                advice = did_you_mean(name, known)
                raise TypeError(f"{type(self).__name__} has no option {name}: {advice}")
        vars(self).update(known | options)
        self.agent, self.policy = agent, policy
        built = self.build()
        trained = dict.fromkeys([self.policy, *critics, *built], self.lr)
        trained |= {module: rate for module, rate in built.items() if rate is not None}
        if agent.optimizer is None:
            groups = {rate: {"params": [], "lr": rate} for rate in trained.values()}
            for module, rate in trained.items():
                groups[rate]["params"] += module.parameters()
            # fused: one kernel for a whole group, which for small networks is several times faster
            agent.optimizer = torch.optim.Adam(groups.values(), fused=True)
        driven = {id(p) for p in agent.parameters}
        for module in trained:
            if not any(id(p) in driven for p in module.parameters()):
                name = "policy" if module is self.policy else type(module).__name__
                raise ValueError(
                    f"this agent's optimizer drives another network, so this {name} would never "
                    "change: make an agent for each algorithm, or agent.optimizer = None first"
                )
        self.updates = self.steps = self.episodes = 0
        self.seconds = 0.0  # spent in the training loop
        self.targets = Targets()
        self.recent: deque[float] = deque(maxlen=100)

    def __init_subclass__(cls) -> None:
        cls.__signature__ = None  # that of its own `__init__`
        if "__init__" not in vars(cls):  # for `help`, and the notebook's Shift-Tab
            kind = inspect.Parameter
            names = [kind(name, kind.POSITIONAL_OR_KEYWORD) for name in ("agent", "policy")]
            options = options_of(cls).items()
            names += [kind(name, kind.KEYWORD_ONLY, default=value) for name, value in options]
            cls.__signature__ = inspect.Signature(names)

    def build(self) -> dict[nn.Module, float | None]:
        """Make what is needed besides the policy, when the options are known.

        Returns what of it is trained, with its learning rate; None: that of the policy."""
        return {}

    def update(self) -> dict[str, float]:
        """Sample, improve the policy once, and return metrics."""
        raise NotImplementedError

    def value_of(self, rollout: Rollout) -> Tensor:
        """V at each row, (N,): μ + σ v, where v is the first extra that the policy returned."""
        if not rollout.others:
            raise ValueError(
                f"{type(self).__name__} needs the value of each state, which this "
                f"{type(self.policy).__name__} does not return: its forward must return "
                "recur_state, dist, value (the policies of rlx.networks do so with value=True)"
            )
        return self.targets.mean + self.targets.deviation * rollout.others[0]

    def value_loss(self, rollout: Rollout) -> Tensor:
        """The mean squared error of V as a predictor of the returns, in units of σ²: a scalar."""
        return functional.value_loss(
            self.value_of(rollout), rollout.returns, self.targets.deviation
        )

    def entropy_of(self, rollout: Rollout) -> Tensor:
        """The mean entropy of the rows, a scalar with gradient.

        Where it has no closed form (a squashed Gaussian), and `entropy_reg` is 0: the estimate
        -mean(log π(a|s)), without gradient, to look at."""
        try:
            return rollout.entropy.mean()
        except RuntimeError:
            if self.entropy_reg:
                raise
            return -rollout.logprobs.detach().mean()

    def minimize(self, **terms: Tensor) -> dict[str, float]:
        """One optimizer step on the sum of the loss `terms`. Returns them as numbers.

        Raises FloatingPointError, before anything is changed, if a term or the gradient is not
        finite."""
        for name, term in terms.items():
            self._check_finite(name, term)
        self.agent.zero_grad()
        sum(terms.values()).backward()
        # A finite loss may have a gradient that is NaN, or too large for Adam to square: either
        # would spoil the policy, or the optimizer, without a sound.
        gradients = [p.grad.flatten() for p in self.agent.parameters if p.grad is not None]
        self._check_finite("the gradient's norm", torch.cat(gradients).norm())
        self.agent.step(self.grad_clip)
        return {name: term.item() for name, term in terms.items()}

    def _check_finite(self, name: str, number: Tensor) -> None:
        if not math.isfinite(number.item()):
            self.targets.undo()
            raise FloatingPointError(
                f"{name} is {number.item()} in update {self.updates + 1}: this step was not taken, "
                "the policy still is what the step before made it. Often the learning rate is "
                "too high or a reward is huge; a smaller lr or grad_clip=0.5 helps."
            )

    def report(self, played: Rollout | int, **metrics: float) -> dict[str, float]:
        """Count one update and its environment steps; add the episodes' figures to `metrics`.

        `played` is the rollout, with or without its end rows, or the number of steps if it was the
        agent's last. `return` and `length` are means over the episodes that ended in it, NaN if
        none did."""
        if isinstance(played, Rollout):
            finished, n_steps = played.finished, int((~played.end).sum())
        else:
            finished, n_steps = self.agent.finished, played
        self.updates += 1
        self.steps += n_steps
        self.episodes += len(finished.returns)
        self.recent.extend(finished.returns)
        ended = len(finished.returns) > 0
        return {
            "return": float(np.mean(finished.returns)) if ended else float("nan"),
            "length": float(np.mean(finished.lengths)) if ended else float("nan"),
            **metrics,
        }

    def state_dict(self) -> dict[str, Any]:
        """All that changes during training: networks, optimizers, schedules, counters.

        An algorithm that keeps more than that adds it here and in `load_state_dict`."""
        return {
            "parts": {
                name: copy.deepcopy(part.state_dict()) for name, part in self._parts().items()
            },
            "counters": {name: getattr(self, name) for name in self.counters},
            "recent": list(self.recent),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        for name, part in self._parts().items():
            part.load_state_dict(state["parts"][name])
        for name in self.counters:
            setattr(self, name, state["counters"][name])
        self.recent = deque(state["recent"], maxlen=self.recent.maxlen)

    def _parts(self) -> dict[str, Any]:
        """Everything of ours that has a state of its own: modules, optimizers, schedules."""
        parts = {**vars(self), "optimizer": self.agent.optimizer}
        return {name: part for name, part in parts.items() if hasattr(part, "load_state_dict")}


class WithValue(Algorithm):
    """One that learns a value besides: the policy's first extra, standardised, V = μ + σ v.

    The value's loss counts `value_coef`, the mean entropy `entropy_reg`. `standardize_return`
    rescales the advantages of a batch."""

    gamma: float = 0.99
    standardize_return: bool = True
    value_coef: float = 0.25
    entropy_reg: float = 0.01

    def learn(self, rollout: Rollout, policy_loss: Tensor) -> dict[str, float]:
        """One gradient step: the policy's loss, the value's, and the entropy bonus. Metrics.

        `rollout` has no end rows any more, and this policy has been evaluated on it."""
        entropy, values = self.entropy_of(rollout), self.value_of(rollout)
        losses = self.minimize(
            policy_loss=policy_loss,
            value_loss=self.value_coef * self.value_loss(rollout),
            entropy_loss=-self.entropy_reg * entropy,
        )
        explained = functional.explained_variance(values, rollout.returns)
        return {"entropy": entropy.item(), "explained_variance": explained.item(), **losses}
