"""What all algorithms share: an agent, a policy, counters, and the step along the gradient."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rlx.agent import Agent
from rlx.policy import Parametric


class Algorithm:
    """Improves `policy` in `agent`'s environment, one `update()` after another.

    A subclass writes `update()`, which samples, computes a loss, calls `self.minimize(**terms)` and
    returns `self.report(...)`: a dict of metrics under their usual names. The agent's optimizer is
    used; if it has none, it gets Adam with learning rate `lr`. `grad_clip` bounds the gradient's norm
    (0: not at all). `steps`, `episodes` and `updates` count what has been done so far.
    """

    def __init__(
        self, agent: Agent, policy: Parametric, *, lr: float = 3e-3, grad_clip: float = 0.0
    ) -> None:
        self.agent, self.policy, self.grad_clip = agent, policy, grad_clip
        if agent.optimizer is None:
            # fused: one kernel for all parameters, which for small networks is several times faster
            agent.optimizer = torch.optim.Adam(policy.parameters(), lr=lr, fused=True)
        self.updates = self.steps = self.episodes = 0

    def update(self) -> dict[str, float]:
        """Sample, improve the policy once, and return metrics."""
        raise NotImplementedError

    def minimize(self, **terms: Tensor) -> dict[str, float]:
        """One optimizer step on the sum of the loss `terms`. Returns them as numbers.

        Raises FloatingPointError, before anything is changed, if a term is not finite."""
        for name, term in terms.items():
            if not term.isfinite():
                raise FloatingPointError(
                    f"{name} is {term.item()} in update {self.updates + 1}: the step was not taken, and "
                    "the policy is as it was after the update before. Often the learning rate is too "
                    "high, or a reward is huge; a smaller lr or grad_clip=0.5 helps."
                )
        self.agent.zero_grad()
        sum(terms.values()).backward()
        self.agent.step(self.grad_clip)
        return {name: term.item() for name, term in terms.items()}

    def report(self, n_steps: int, **metrics: float) -> dict[str, float]:
        """Count `n_steps` environment steps and one update; add the episodes' figures to `metrics`.

        `return` and `length` are means over the episodes that ended in this update, NaN if none."""
        finished = self.agent.finished
        self.updates += 1
        self.steps += n_steps
        self.episodes += len(finished.returns)
        ended = len(finished.returns) > 0
        return {
            "return": float(np.mean(finished.returns)) if ended else float("nan"),
            "length": float(np.mean(finished.lengths)) if ended else float("nan"),
            **metrics,
        }
