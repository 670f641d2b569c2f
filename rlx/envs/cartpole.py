"""Hide entries of the observation, and a solved problem becomes one that needs memory.

CartPole's observation (x, x_dot, theta, theta_dot) is a full state: it tells all that the past can
say about the future. Without a velocity it is not, and the agent has to work the velocity out from
positions it remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector.utils import batch_space
from gymnasium.vector.vector_env import VectorEnv, VectorObservationWrapper


class HideObservation(gymnasium.ObservationWrapper, RecordConstructorArgs):
    """Keep only the entries `keep` (indices into the last dimension) of a Box observation.

    The space shrinks with the observation, and the result is a copy: what the wrapped environment
    handed out, which may be its own state, stays whole. Raises TypeError for another kind of space,
    IndexError for an entry that is not there.
    """

    def __init__(self, env: gymnasium.Env, keep: Sequence[int]):
        RecordConstructorArgs.__init__(self, keep=list(keep))  # so that env.spec can rebuild it
        super().__init__(env)
        self.keep = list(keep)
        self.observation_space = _kept(env.observation_space, self.keep)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return np.take(observation, self.keep, axis=-1)


class VectorHideObservation(VectorObservationWrapper):
    """`HideObservation` for a vector environment.

    Not for SAME_STEP ones: gymnasium's vector wrappers would leave `final_obs` whole, and raise
    ValueError rather than let that happen.
    """

    def __init__(self, env: VectorEnv, keep: Sequence[int]):
        super().__init__(env)
        self.keep = list(keep)
        self.single_observation_space = _kept(env.single_observation_space, self.keep)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def observations(self, observations: np.ndarray) -> np.ndarray:
        return np.take(observations, self.keep, axis=-1)


def _kept(space: spaces.Space, keep: list[int]) -> spaces.Box:
    if not isinstance(space, spaces.Box):
        raise TypeError(f"only a Box observation has entries to hide, this is a {space}")
    return spaces.Box(space.low[..., keep], space.high[..., keep], dtype=space.dtype)


def hidden_cartpole(keep: Sequence[int], **kwargs: Any) -> gymnasium.Env:
    """CartPole that shows only the entries `keep` of (x, x_dot, theta, theta_dot)."""
    return HideObservation(CartPoleEnv(**kwargs), keep)


def hidden_cartpole_vector(keep: Sequence[int], **kwargs: Any) -> VectorEnv:
    """The same on gymnasium's native vector CartPole, which is NEXT_STEP only."""
    return VectorHideObservation(CartPoleVectorEnv(**kwargs), keep)


def hidden_pendulum(keep: Sequence[int], **kwargs: Any) -> gymnasium.Env:
    """Pendulum that shows only the entries `keep` of (cos theta, sin theta, theta_dot)."""
    return HideObservation(PendulumEnv(**kwargs), keep)
