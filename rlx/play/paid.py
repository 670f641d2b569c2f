"""What an environment paid, where a wrapper changes the rewards that a policy learns from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import (
    AsyncVectorEnv,
    SyncVectorEnv,
    VectorEnv,
    VectorRewardWrapper,
    VectorWrapper,
)
from gymnasium.wrappers import NormalizeReward
from gymnasium.wrappers.vector import NormalizeReward as VectorNormalizeReward

CHANGES_REWARDS = gym.RewardWrapper, NormalizeReward, VectorRewardWrapper, VectorNormalizeReward


class _Counts:
    """Adds up what goes through it, until somebody takes note."""

    def __init__(self, env: gym.Env | VectorEnv) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.paid = 0.0

    def step(self, action: Any) -> tuple:
        result = self.env.step(action)
        self.paid = self.paid + result[1]
        return result

    def take(self) -> float | np.ndarray:
        """What was paid since the last call."""
        paid, self.paid = self.paid, 0.0
        return paid

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # while it is being copied there is none
            raise AttributeError(name)
        return getattr(self.env, name)


class Counts(_Counts, gym.Wrapper, RecordConstructorArgs):
    """Stands just below the reward wrappers of an environment."""

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        return self.env.set_wrapper_attr(name, value, force=force)


class VectorCounts(_Counts, VectorWrapper, RecordConstructorArgs):
    """The same for a vector environment."""


def watch(env: gym.Env | VectorEnv) -> Callable[[], np.ndarray] | None:
    """A function that tells what each environment has paid since it was last called, (B,).

    None if no wrapper changes rewards: those of gymnasium's that are made for it (RewardWrapper,
    NormalizeReward and their vector versions). Any other wrapper is part of the environment. Warns
    where it cannot look behind one, which is in other processes."""
    base = env.unwrapped
    if isinstance(base, SyncVectorEnv):
        counts = [_counted(one) for one in base.envs]
        if any(counts):
            for k, count in enumerate(counts):
                if count is None:
                    base.envs[k] = counts[k] = Counts(base.envs[k])
            return lambda: np.array([count.take() for count in counts])
    if isinstance(base, AsyncVectorEnv) and any(base.call("has_wrapper_attr", "return_rms")):
        warnings.warn(
            "rewards are normalised in the environments' own processes, where nobody sees what was "
            "paid: agent.finished, running_return and stop_return count normalised rewards. To "
            "have both, normalise outside: gymnasium.wrappers.vector.NormalizeReward(env)",
            stacklevel=4,
        )
    count = _counted(env)
    return count and (lambda: np.atleast_1d(count.take()))


def _counted(env: gym.Env | VectorEnv) -> _Counts | None:
    """What counts below the innermost reward wrapper of `env`: put there, or found."""
    innermost = None
    while isinstance(env, (gym.Wrapper, VectorWrapper)):
        if isinstance(env, _Counts):
            return env
        innermost = env if isinstance(env, CHANGES_REWARDS) else innermost
        env = env.env
    if innermost is None:
        return None
    kind = VectorCounts if isinstance(innermost, VectorWrapper) else Counts
    innermost.env = kind(innermost.env)
    return innermost.env
