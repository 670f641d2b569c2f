"""One face for every gymnasium environment: a batch of B environments that speaks torch."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor
from torch.distributions import Categorical

from rlx.policy import ActionDistribution


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
        if isinstance(raw, (spaces.Dict, spaces.Tuple)):
            raise ValueError(
                f"observations are a {type(raw).__name__} space; flatten them first: "
                "gymnasium.wrappers.FlattenObservation(env)"
            )
        self._one_hot = None  # the values of a Discrete observation, in one-hot order
        self.observation_space = raw
        if isinstance(raw, spaces.Discrete):
            self._one_hot = np.arange(raw.start, raw.start + raw.n)
            self.observation_space = spaces.flatten_space(raw)
        self._components = _components(self.action_space)

    # ------------------------------------------------------------------ observations in

    def reset(self, seed: int | None = None) -> Tensor:
        """Reset every environment. Returns observations (B, *obs)."""
        return self._tensor(self.env.reset(seed=seed)[0], batched=not self.single)

    def refresh(self, observations: Tensor, mask: np.ndarray) -> Tensor:
        """Reset those of `mask` (B,), unless they reset themselves. Returns observations."""
        if self.ghost or self.same_step:
            return observations
        if self.single:
            return self.reset()
        fresh = self._tensor(self.env.reset(options={"reset_mask": mask.copy()})[0])
        return torch.where(_like(mask, fresh), fresh, observations)

    def step(
        self, actions: tuple[Tensor, ...]
    ) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray, Tensor | None]:
        """Step every environment once.

        Returns observations (B, *obs), rewards, terminated, truncated (B,), and the final
        observations of the environments that just ended (None if none did, or it is a ghost)."""
        observations, rewards, terminated, truncated, info = self.env.step(self._to_env(actions))
        observations = self._tensor(observations, batched=not self.single)
        # copies: an environment may hand out the same buffers again at the next step
        rewards = np.array(rewards, dtype=np.float32).reshape(self.num_envs)
        terminated = np.array(terminated, dtype=bool).reshape(self.num_envs)
        truncated = np.array(truncated, dtype=bool).reshape(self.num_envs)
        final = None
        done = terminated | truncated
        if not self.ghost and done.any():
            ended = np.flatnonzero(done)
            if self.same_step:
                final = self._tensor(np.stack([info["final_obs"][i] for i in ended]))
            else:
                final = observations[torch.as_tensor(ended, device=self.device)]
        return observations, rewards, terminated, truncated, final

    def _tensor(self, observations: np.ndarray, batched: bool = True) -> Tensor:
        array = np.array(observations)  # a copy: the environment may reuse its buffer
        if not batched:
            array = array[None]
        if self._one_hot is not None:
            array = (array[..., None] == self._one_hot).astype(np.float32)
        elif array.dtype == np.float64:
            array = array.astype(np.float32)
        return torch.from_numpy(array).to(self.device)

    # ------------------------------------------------------------------ actions out

    def _to_env(self, actions: tuple[Tensor, ...]):
        arrays = [action.detach().cpu().numpy() for action in actions]
        batch = _assemble(self.action_space, arrays)
        if not self.single:
            return batch
        return tuple(part[0] for part in batch) if isinstance(batch, tuple) else batch[0]

    def check(self, dist: ActionDistribution | None) -> None:
        """Do the policy's action components fit the action space? Raises ValueError if not."""
        if dist is None:
            raise ValueError(
                "this network returns no action distribution (a critic?): it cannot act"
            )
        if len(dist.components) != len(self._components):
            raise ValueError(
                f"the policy returns {len(dist.components)} action component(s), the action space "
                f"{self.action_space} has {len(self._components)}: each needs one distribution"
            )
        for k, (component, (space, shape, n)) in enumerate(
            zip(dist.components, self._components, strict=True)
        ):
            got = tuple(component.batch_shape[1:] + component.event_shape)
            if got != shape:
                raise ValueError(
                    f"action component {k} draws actions of shape {got}, {space} takes {shape}: "
                    f"its parameters must have shape ({', '.join(['B', *map(str, shape)])}), and "
                    "a Categorical's one more dimension for the values"
                )
            if n is not None and not component.support.is_discrete:
                raise ValueError(
                    f"action component {k} is a {type(component).__name__}, {space} takes "
                    "integers: use a Categorical"
                )
            if isinstance(component, Categorical) and component.param_shape[-1] != n:
                raise ValueError(
                    f"action component {k} is a Categorical over {component.param_shape[-1]} "
                    f"values, {space} has {n or 'real-valued actions: use a Normal'}"
                )


def _components(space: spaces.Space) -> list[tuple[spaces.Space, tuple[int, ...], int | None]]:
    """(space, event shape, number of values if it is discrete) of each action component."""
    if isinstance(space, spaces.Discrete):
        return [(space, (), int(space.n))]
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return [(spaces.Discrete(int(n)), (), int(n)) for n in space.nvec]
    if isinstance(space, spaces.MultiBinary):
        return [(space, tuple(space.shape), 2)]
    if isinstance(space, spaces.Box):
        return [(space, tuple(space.shape), None)]
    if isinstance(space, spaces.Tuple) and not any(
        isinstance(part, (spaces.Tuple, spaces.MultiDiscrete)) for part in space
    ):
        return [component for part in space for component in _components(part)]
    raise ValueError(
        f"actions of {space} are not supported: use Discrete, MultiDiscrete, MultiBinary, Box, or "
        "a flat Tuple of Discrete, MultiBinary and Box (a wrapper can translate)"
    )


def _assemble(space: spaces.Space, arrays: list[np.ndarray]):
    """A batch of actions, one array a component, in the form that `space` wants it."""
    if isinstance(space, spaces.Tuple):
        return tuple(_assemble(part, [array]) for part, array in zip(space, arrays, strict=True))
    if isinstance(space, spaces.MultiDiscrete):
        return (np.stack(arrays, axis=-1) + space.start).astype(space.dtype)
    (array,) = arrays
    if isinstance(space, spaces.Discrete):
        return (array + space.start).astype(space.dtype)
    if isinstance(space, spaces.Box):
        # Clipped here only: the rollout keeps what was sampled, whose log-probability is known.
        return np.clip(array, space.low, space.high).astype(space.dtype)
    return array.astype(space.dtype)


def _like(mask: np.ndarray, tensor: Tensor) -> Tensor:
    """`mask` (B,) with as many dimensions as `tensor` (B, …), to broadcast over it."""
    shape = (len(mask),) + (1,) * (tensor.ndim - 1)
    return torch.as_tensor(mask, device=tensor.device).view(shape)
