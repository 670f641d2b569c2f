"""Sampler: what plays policies for an `Agent`. In this process, or wherever you have one play."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv

from rlx.play.batch import EnvBatch
from rlx.play.evaluation import memory_shapes
from rlx.play.loop import Carry, collect, reset
from rlx.policy import Parametric
from rlx.rollout import Rollout


@runtime_checkable
class Sampler(Protocol):
    """What an `Agent` asks of whatever plays for it: `rlx.Agent(sampler)`.

    `InProcess` does it by default; workers on other machines can do it by the same words. All that
    an update needs travels in the rollout that comes back: its rows, which the agent evaluates
    here, and `rollout.finished`; what else you want known, as columns of your own.

    The spaces are one environment's, as policies see them; `num_envs` are played side by side;
    rollouts come on `device`, where the policies have to be. A checkpoint keeps nothing of a
    sampler: `start(seed)` at every border has to make the same environments again.

    One that can play while the learner learns has `stream(policy, n_steps, dry)` as well, an
    iterator with a column `staleness`: `agent(policy).stream(n_steps)`. For others an agent makes
    one of `segment`.
    """

    observation_space: gym.Space
    action_space: gym.Space
    num_envs: int
    device: torch.device

    def start(self, seed: int | None = None) -> None:
        """Forget where playing stands: the next call resets every environment, with this seed."""

    def segment(self, policy: Parametric, n_steps: int, dry: bool = False) -> Rollout:
        """The next `n_steps` of every environment: `agent(policy).segment(n_steps)`."""

    def episodes(
        self,
        policy: Parametric,
        n: int,
        horizon: int | None = None,
        dry: bool = False,
        greedy: bool = False,
    ) -> Rollout:
        """Exactly `n` episodes from resets: `agent(policy).episodes(n)`."""


class InProcess:
    """The sampler for one gymnasium environment, or a vector environment, in this process.

    Between two segments it keeps a `carry`: where playing stands. An error, or a keyboard
    interrupt, leaves none: the next call starts from a reset."""

    def __init__(self, env: gym.Env | VectorEnv, device: str | torch.device | None = None) -> None:
        self.envs = EnvBatch(env, device)
        self.observation_space = self.envs.observation_space
        self.action_space = self.envs.action_space
        self.num_envs, self.device = self.envs.num_envs, self.envs.device
        self.carry: Carry | None = None
        self.seed: int | None = None  # of the next reset

    def start(self, seed: int | None = None) -> None:
        self.seed, self.carry = seed, None

    def segment(self, policy: Parametric, n_steps: int, dry: bool = False) -> Rollout:
        carry = self.carry
        if carry and carry.memory_shapes != memory_shapes(policy, carry.observations):
            carry = None
        if carry and carry.ghost.all() and n_steps == 1:
            n_steps = 2  # a single step would be the reset, of which there is no row
        rollout, self.carry = self._play(carry, policy, n_steps, dry=dry)
        return rollout

    def episodes(
        self,
        policy: Parametric,
        n: int,
        horizon: int | None = None,
        dry: bool = False,
        greedy: bool = False,
    ) -> Rollout:
        quotas = [min(self.num_envs, n - done) for done in range(0, n, self.num_envs)]
        return Rollout.cat([self.once(policy, k, horizon, dry, greedy) for k in quotas])

    def once(
        self,
        policy: Parametric,
        active: int,
        horizon: int | None = None,
        dry: bool = False,
        greedy: bool = False,
        frames: list[np.ndarray] | None = None,
    ) -> Rollout:
        """An episode of each of the first `active` environments; pictures go into `frames`."""
        options = dict(active=active, dry=dry, greedy=greedy, frames=frames)
        return self._play(None, policy, horizon, **options)[0]

    def _play(
        self, carry: Carry | None, policy: Parametric, n_steps: int | None, **options
    ) -> tuple[Rollout, Carry]:
        self.carry = None  # until the call has succeeded there is nothing to continue from
        carry = carry or reset(self.envs, self.seed)
        self.seed = None
        return collect(self.envs, policy, carry, n_steps, **options)
