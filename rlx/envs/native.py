"""Write the dynamics of an environment once, on arrays, and get both of its gymnasium faces.

A subclass of `BatchedEnv` describes B copies of a world that move together. It *is* a native
vector environment; a two-line subclass of `SingleEnv` shows the same world as a `gymnasium.Env`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

Infos = dict[str, Any]
BatchStep = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Infos]


class BatchedEnv(VectorEnv):
    """B environments of one kind, stepped together, with no Python loop over them.

    A subclass keeps its state in arrays whose first dimension is B (`num_envs`), hands its two
    spaces to `__init__`, and writes the hooks `_reset`, `_step` and `_observe`. Time limit, step
    counters, seeding and restarts are done here. `self.steps` (B,) counts the steps of each row's
    episode.

    `max_episode_steps` truncates (None: never); a step that terminates is not truncated as well.
    `autoreset_mode` is gymnasium's. NEXT_STEP: the call after the last step of an episode ignores
    that row's action and returns its next first observation, with reward 0. SAME_STEP: that
    observation comes at once, the last one in `infos["final_obs"]`. DISABLED: finished rows wait
    for `reset(options={"reset_mask": rows})`. Rewards are float64, flags bool.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "render_fps": 30}

    def __init__(
        self,
        num_envs: int,
        observation_space: spaces.Box,
        action_space: spaces.Space,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ):
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        # gymnasium.make says -1 for "no limit"
        self.max_episode_steps = None if max_episode_steps == -1 else max_episode_steps
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        self.steps = np.full(num_envs, -1)  # -1: has never been reset
        self._done = np.ones(num_envs, dtype=bool)  # the episode is over
        self._all = np.ones(num_envs, dtype=bool)

    def _reset(self, rows: np.ndarray) -> None:
        """Begin new episodes where `rows`, bool (B,), is true. Draw from `self.np_random` only."""
        raise NotImplementedError

    def _step(self, actions: Any) -> tuple[np.ndarray, np.ndarray]:
        """Move every row; return rewards (B,) and terminated (B,). `self.steps` is still the count
        before this step. A row whose episode is over is moved too, and the result thrown away."""
        raise NotImplementedError

    def _observe(self) -> np.ndarray:
        """What the rows see now, (B, *obs). The caller gets a copy of it, in the space's dtype."""
        raise NotImplementedError

    def _info(self) -> dict[str, np.ndarray]:
        """Extras that `step` and `reset` report, each an array (B, ...)."""
        return {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Infos]:
        """Begin new episodes, in all rows or in those of `options["reset_mask"]`, bool (B,).

        Returns the observations of all rows. Raises ValueError for a mask of another type or shape,
        or one that selects no row.
        """
        super().reset(seed=seed)
        rows = (options or {}).get("reset_mask", self._all)
        if not (isinstance(rows, np.ndarray) and rows.dtype == bool and rows.any()):
            raise ValueError(f"reset_mask must be a bool array with a True in it, got {rows!r}")
        if rows.shape != (self.num_envs,):
            raise ValueError(f"reset_mask must have shape ({self.num_envs},), got {rows.shape}")
        self._begin(rows)
        self._done = self._done & ~rows
        return self._observations(), self._infos(rows)

    def step(self, actions: Any) -> BatchStep:
        """Move every row: observations (B, *obs), rewards, terminated, truncated (B,), infos.

        Raises ValueError for actions of the wrong shape, gymnasium's ResetNeeded for a row that was
        never reset or, in DISABLED mode, whose episode is over.
        """
        disabled = self.autoreset_mode is AutoresetMode.DISABLED
        late = self._done if disabled else self.steps < 0
        if late.any():
            raise ResetNeeded(f"reset rows {np.flatnonzero(late)} before the next step")
        rewards, terminated = self._step(_as_arrays(self.action_space, actions))
        # Copies: a subclass may return its own arrays, and zeros are written into these below.
        rewards, terminated = np.array(rewards, dtype=np.float64), np.array(terminated, dtype=bool)
        self.steps += 1
        truncated = np.zeros(self.num_envs, dtype=bool)
        if self.max_episode_steps is not None:
            truncated = (self.steps >= self.max_episode_steps) & ~terminated
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and self._done.any():
            ghosts = self._done  # over since the last call; this one only shows their new beginning
            self._begin(ghosts)
            rewards[ghosts] = 0.0
            terminated[ghosts] = truncated[ghosts] = False
        self._done = done = terminated | truncated
        observations, infos = self._observations(), self._infos(self._all)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and done.any():
            final = {"final_obs": np.full(self.num_envs, None), "_final_obs": done.copy()}
            for row in np.flatnonzero(done):  # gymnasium keeps these as objects, one by one
                final["final_obs"][row] = observations[row]
            final |= {"final_info": self._infos(done), "_final_info": done.copy()}
            self._begin(done)
            observations, infos = self._observations(), self._infos(self._all) | final
        return observations, rewards, terminated, truncated, infos

    def _begin(self, rows: np.ndarray) -> None:
        self.steps[rows] = 0
        self._reset(rows)

    def _observations(self) -> np.ndarray:
        return np.array(self._observe(), dtype=self.single_observation_space.dtype)

    def _infos(self, rows: np.ndarray) -> Infos:
        """Gymnasium's batched infos: each entry comes with a mask of the rows that have it."""
        infos: Infos = {}
        for name, values in self._info().items():
            infos[name] = np.zeros_like(values)
            infos[name][rows] = values[rows]
            infos[f"_{name}"] = rows.copy()
        return infos


class SingleEnv(gymnasium.Env):
    """A `BatchedEnv` of one row as an ordinary environment: `class MyEnv(SingleEnv): batched = My`.

    Keyword arguments go to `batched`. There is no time limit here: `gymnasium.make` adds its own,
    and two would count twice. `self.batch` is the world behind it (B = 1). Stepping it after it has
    terminated raises gymnasium's ResetNeeded.
    """

    batched: type[BatchedEnv]

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls.metadata = cls.batched.metadata

    def __init__(self, **kwargs: Any):
        mode = AutoresetMode.DISABLED
        self.batch = self.batched(1, max_episode_steps=None, autoreset_mode=mode, **kwargs)
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space
        self.render_mode = self.batch.render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Infos]:
        super().reset(seed=seed)
        self.batch.np_random = self.np_random  # one generator, whichever of the two is asked for it
        observations, _ = self.batch.reset()
        return observations[0], self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Infos]:
        if isinstance(self.action_space, spaces.Tuple):
            actions = tuple(np.asarray(part)[None] for part in action)
        else:
            actions = np.asarray(action)[None]
        observations, rewards, terminated, _, _ = self.batch.step(actions)
        return observations[0], float(rewards[0]), bool(terminated[0]), False, self._info()

    def render(self) -> np.ndarray | None:
        frames = self.batch.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        self.batch.close()

    def _info(self) -> Infos:
        return {name: np.copy(values)[0] for name, values in self.batch._info().items()}


def _as_arrays(space: spaces.Space, actions: Any) -> Any:
    """The actions as arrays of exactly the space's shapes (a tuple of them for a Tuple space).

    A (B, 1) where (B,) is due would broadcast to (B, B) somewhere in the dynamics, silently.
    """
    if isinstance(space, spaces.Tuple):
        return tuple(_as_arrays(*pair) for pair in zip(space, actions, strict=True))
    actions = np.asarray(actions)
    if actions.shape != space.shape:
        raise ValueError(f"the actions have shape {actions.shape}, the space needs {space.shape}")
    return actions
