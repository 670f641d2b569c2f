"""Reach: push a point along a line to where it should be. A small, quick world for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from .native import BatchedEnv, SingleEnv

DT = 0.1  # seconds between two steps


class Reach(BatchedEnv):
    """A point of unit mass on the line [-1, 1], without friction, pushed towards a target.

    Observation: position, velocity (at most 1 in size), target, all in [-1, 1].

    Actions: "continuous", a force, `Box(-1, 1, (1,))` (more is cut off); "discrete", `Discrete(3)`,
    the forces -1, 0, +1; "both", `Tuple(Box, Discrete(2))`, a force and a gear; 1 doubles it.

    Reward: 1 - |position - target| after the move. Position and target start uniform in
    [-1/2, 1/2], a third apart on average, so standing still scores 20 in an episode's 30 steps.

    Teaches: continuous control with a dense reward. It only ever truncates, so values must
    bootstrap; with `terminate_at`, it also terminates, once the point is that far from the middle.

    Solved: a mean return of 26. Random forces score 18; a spring and damper, the force
    8 (target - position) - 4 velocity, scores 27.8.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        actions: str = "continuous",
        terminate_at: float | None = None,
        max_episode_steps: int | None = 30,
        **kwargs: Any,
    ):
        force = spaces.Box(-1, 1, (1,), dtype=np.float32)
        kinds = {
            "continuous": force,
            "discrete": spaces.Discrete(3),
            "both": spaces.Tuple((force, spaces.Discrete(2))),
        }
        if actions not in kinds:
            raise ValueError(f"actions must be one of {', '.join(kinds)}, not {actions!r}")
        observation_space = spaces.Box(-1, 1, (3,), dtype=np.float32)
        super().__init__(
            num_envs,
            observation_space,
            kinds[actions],
            max_episode_steps=max_episode_steps,
            **kwargs,
        )
        self.actions, self.terminate_at = actions, np.inf if terminate_at is None else terminate_at
        self.position, self.velocity, self.target = np.zeros((3, num_envs))

    def _reset(self, rows: np.ndarray) -> None:
        self.position[rows], self.target[rows] = self.np_random.uniform(-0.5, 0.5, (2, rows.sum()))
        self.velocity[rows] = 0.0

    def _step(self, actions: Any) -> tuple[np.ndarray, np.ndarray]:
        actions, gear = actions if self.actions == "both" else (actions, 0)
        force = actions - 1.0 if self.actions == "discrete" else np.clip(actions[:, 0], -1.0, 1.0)
        force = (1.0 + gear) * force
        self.velocity = np.clip(self.velocity + DT * force, -1.0, 1.0)
        self.position = np.clip(self.position + DT * self.velocity, -1.0, 1.0)
        self.velocity[np.abs(self.position) == 1.0] = 0.0  # the ends of the line are walls
        reward = 1.0 - np.abs(self.position - self.target)
        return reward, np.abs(self.position) >= self.terminate_at

    def _observe(self) -> np.ndarray:
        return np.stack([self.position, self.velocity, self.target], axis=1)


class ReachEnv(SingleEnv):
    """`Reach` as a `gymnasium.Env`."""

    batched = Reach
