"""OffPAC: an actor-critic that learns from rollouts of older policies, by weighting them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from rlx import functional
from rlx.agent import Agent
from rlx.algos.base import Algorithm
from rlx.policy import Parametric
from rlx.rollout import Rollout


class OffPAC(Algorithm):
    """Off-policy actor-critic (Degris et al., 2012) with V-trace targets (Espeholt et al., 2018).

    Each update samples `batch_size` episodes with `behaviour` (the policy itself, as it is now),
    and stores them with their log-probabilities μ; the newest `rbsize` episodes are kept. Then it
    makes one pass over all that is stored, in random minibatches of at most `batch_size` episodes.
    An episode leaves after its `max_rbusage`-th pass. Per-decision weights π/μ are clipped at
    `clip_rho`, which is ρ̄ and c̄ of V-trace, and the bound of the policy's loss; inf: not at all.
    The policy's first extra is the value, standardised: V = μ + σ v (`Algorithm.targets`).
    """

    def __init__(
        self,
        agent: Agent,
        policy: Parametric,
        *,
        behaviour: Parametric | None = None,
        batch_size: int = 16,
        horizon: int | None = None,
        rbsize: int = 100,
        max_rbusage: int = 5,
        gamma: float = 0.99,
        gae_lambda: float = 1.0,
        clip_rho: float = 1.0,
        standardize_return: bool = True,
        value_coef: float = 0.25,
        entropy_reg: float = 0.01,
        **options: float,
    ) -> None:
        super().__init__(agent, policy, **options)
        self.behaviour = behaviour or policy
        self.batch_size, self.horizon = batch_size, horizon
        self.rbsize, self.max_rbusage = rbsize, max_rbusage
        self.gamma, self.gae_lambda, self.clip_rho = gamma, gae_lambda, clip_rho
        self.standardize_return = standardize_return
        self.value_coef, self.entropy_reg = value_coef, entropy_reg
        self.stored: list[Rollout] = []  # one episode each
        self.usage: list[int] = []  # how often each has served

    def update(self) -> dict[str, float]:
        with torch.no_grad():
            fresh = self.agent(self.behaviour).episodes(self.batch_size, self.horizon)
        self.stored = (self.stored + fresh.episodes)[-self.rbsize :]
        self.usage = (self.usage + [0] * len(fresh.lengths))[-self.rbsize :]
        steps = [self.improve(batch) for batch in self.draw()]
        return self.report(
            fresh,
            **{name: float(np.mean([one[name] for one in steps])) for name in steps[0]},
        )

    def draw(self) -> list[Rollout]:
        """Minibatches of one pass; the episodes that have now served often enough leave."""
        # Dealt evenly: a remainder of few episodes would take as large a step as all the others.
        count = math.ceil(len(self.stored) / self.batch_size)
        parts = torch.randperm(len(self.stored)).tensor_split(count)
        batches = [Rollout.cat(self.stored[i] for i in part) for part in parts]
        self.usage = [used + 1 for used in self.usage]
        left = [i for i, used in enumerate(self.usage) if used < self.max_rbusage]
        self.stored, self.usage = [self.stored[i] for i in left], [self.usage[i] for i in left]
        return batches

    def improve(self, batch: Rollout) -> dict[str, float]:
        """One gradient step; `batch` holds μ, the evaluated copy π."""
        new = self.agent(self.policy).evaluate(batch)
        self.targets.update(batch, self.gamma)
        values = self.value_of(new)
        log_ratios = (new.logprobs - batch.logprobs).detach()
        new.vtrace(
            values.detach(), log_ratios, self.gamma, self.gae_lambda,
            clip_rho=self.clip_rho, clip_c=self.clip_rho, clip_pg_rho=None,
        )  # fmt: skip
        new, old = new[:-1], batch[:-1]  # end rows have served: their values are in the targets
        values, advantages = self.value_of(new), new.advantages
        weights = functional.importance_weights(new.logprobs, old.logprobs, self.clip_rho)
        if self.standardize_return:
            # Only the scale. A mean that is subtracted here would be one of rows of μ, and V is a
            # baseline already.
            scale = (weights * advantages).square().mean().sqrt()
            advantages = advantages / (scale + 1e-8)
        losses = self.minimize(
            policy_loss=functional.weighted_loss(new.logprobs, weights, advantages),
            value_loss=self.value_coef * self.value_loss(new),
            entropy_loss=-self.entropy_reg * self.entropy_of(new),
        )
        return {
            "entropy": self.entropy_of(new).item(),
            "approx_kl": functional.approx_kl(new.logprobs, old.logprobs).item(),
            "ess": functional.effective_sample_size(weights).item() / len(new),
            "explained_variance": functional.explained_variance(values, new.returns).item(),
            **losses,
        }

    def state_dict(self) -> dict[str, Any]:
        episodes = [{"lengths": r.lengths, **r.columns} for r in self.stored]
        return {**super().state_dict(), "stored": episodes, "usage": self.usage}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.stored = [Rollout(one["lengths"]).replace(**one) for one in state["stored"]]
        self.usage = list(state["usage"])
