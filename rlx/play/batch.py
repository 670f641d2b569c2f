"""One face for every gymnasium environment: a batch of B environments that speaks torch."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

from rlx import seeding
from rlx.columns import rows_where
from rlx.envs.native import BatchedEnv
from rlx.play import paid
from rlx.play.checks import check_observations, parts_of


class EnvBatch:
    """A single environment (B = 1) or a vector environment, with one protocol for episode ends.

    - `ghost` environments (gymnasium's NEXT_STEP mode) reset themselves at the step *after* the
      last: the row entering that ghost step is the end row.
    - All others hand over the final observation at once (`final`), and are reset by `refresh` just
      before they are stepped again, or have done so themselves (SAME_STEP).
    """

    def __init__(self, env: gym.Env | VectorEnv, device: str | torch.device | None = None) -> None:
        self.env = env
        self.device = torch.device(device or "cpu")
        self.single = not isinstance(env, VectorEnv)
        self.num_envs = 1 if self.single else env.num_envs
        mode = None if self.single else env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.ghost = mode == AutoresetMode.NEXT_STEP
        self.same_step = mode == AutoresetMode.SAME_STEP
        raw = env.observation_space if self.single else env.single_observation_space
        self.action_space = env.action_space if self.single else env.single_action_space
        check_observations(raw, self.single)
        self._one_hot = None  # how often each number is repeated, and the values in one-hot order
        self.observation_space = raw
        if isinstance(raw, (spaces.Discrete, spaces.MultiDiscrete)):
            sizes = np.ravel(raw.n if isinstance(raw, spaces.Discrete) else raw.nvec)
            starts = np.broadcast_to(np.ravel(raw.start), sizes.shape)
            values = [np.arange(start, start + n) for start, n in zip(starts, sizes)]
            self._one_hot = sizes, np.concatenate(values)
            self.observation_space = spaces.flatten_space(raw)
        parts_of(self.action_space)  # an error now, if it is not supported
        self.paid = paid.watch(env)

    # ------------------------------------------------------------------ observations in

    def reset(self, seed: int | None = None) -> Tensor:
        """Reset every environment. Returns observations (B, *obs).

        One generator gets `seed` itself, many get seeds that are spawned from it."""
        seeds = seed
        if seed is not None and not self.single:
            base = self.env.unwrapped
            if isinstance(base, (SyncVectorEnv, AsyncVectorEnv)):
                seeds = seeding.spawn(seed, self.num_envs)  # of one, they would make seed + i
            elif not isinstance(base, (BatchedEnv, CartPoleVectorEnv)):
                (seeds,) = seeding.spawn(seed, 1)  # who knows what it does: far from others'
        observations = self.tensor(self.env.reset(seed=seeds)[0], batched=not self.single)
        if self.paid:
            self.paid()  # what is left of a call that failed
        return observations

    def refresh(self, observations: Tensor, mask: np.ndarray) -> Tensor:
        """Reset those of `mask` (B,), unless they reset themselves. Returns observations."""
        if self.ghost or self.same_step:
            return observations
        if self.single:
            return self.reset()
        fresh = self.tensor(self.env.reset(options={"reset_mask": mask.copy()})[0])
        return rows_where(mask, observations, fresh)

    def step(
        self, actions: tuple[Tensor, ...]
    ) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray, Tensor | None]:
        """Step every environment once.

        Returns observations (B, *obs), rewards, terminated, done (B,), and the final
        observations of the environments that just ended (None if none did, or it is a ghost)."""
        observations, rewards, terminated, truncated, info = self.env.step(self.to_env(actions))
        observations = self.tensor(observations, batched=not self.single)
        if self.single:
            rewards, terminated, truncated = [rewards], [terminated], [truncated]
        # copies: an environment may hand out the same buffers again at the next step
        rewards = np.array(rewards, dtype=np.float32)
        terminated = np.array(terminated, dtype=bool)
        done, final = np.logical_or(terminated, truncated), None
        if not self.ghost and len(ended := np.flatnonzero(done)):
            if self.same_step:
                final = self.tensor(np.stack([info["final_obs"][i] for i in ended]))
            else:
                final = observations[torch.as_tensor(ended, device=self.device)]
        return observations, rewards, terminated, done, final

    def tensor(self, observations: np.ndarray, batched: bool = True) -> Tensor:
        """Observations as policies see them, (B, *obs); (1, *obs) of one that is not `batched`."""
        array = np.array(observations)  # a copy: the environment may reuse its buffer
        if not batched:
            array = array[None]
        if self._one_hot is not None:
            sizes, values = self._one_hot
            array = array.reshape(len(array), len(sizes)).repeat(sizes, axis=1)
            array = (array == values).astype(np.float32)
        elif array.dtype == np.float64:
            array = array.astype(np.float32)
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.to(self.device)

    # ------------------------------------------------------------------ actions out

    def to_env(self, actions: tuple[Tensor, ...]) -> Any:
        """Actions, each (B, *event), in the form that the environment takes them."""
        arrays = [action.numpy(force=True) for action in actions]
        batch = _assemble(self.action_space, arrays)
        if not self.single:
            return batch
        return tuple(part[0] for part in batch) if isinstance(batch, tuple) else batch[0]


def _assemble(space: spaces.Space, arrays: list[np.ndarray]):
    """A batch of actions, one array a component, in the form that `space` wants it."""
    if isinstance(space, spaces.Tuple):
        return tuple(_assemble(part, [array]) for part, array in zip(space, arrays, strict=True))
    if isinstance(space, spaces.MultiDiscrete):
        return (np.stack(arrays, axis=-1) + space.start).astype(space.dtype)
    (array,) = arrays
    if isinstance(space, spaces.Discrete):
        return (array + space.start if space.start else array).astype(space.dtype)
    if isinstance(space, spaces.Box):
        # Clipped here only: the rollout keeps what was sampled, whose log-probability is known.
        return np.clip(array, space.low, space.high).astype(space.dtype)
    return array.astype(space.dtype)
