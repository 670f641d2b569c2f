"""Shoot: turn towards a target, and decide when to pull the trigger. Both have to be done well."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from .native import BatchedEnv, SingleEnv

TURN = 0.2  # how far the aim moves in a step, at most
WIDTH = 0.1  # how far beside the target still hits
MISS = 0.2  # what a shot that misses costs


class Shoot(BatchedEnv):
    """Targets appear one after the other, anywhere in [-1, 1]; hit as many as possible.

    Observation: aim, target, both in [-1, 1]. An aim begins in the middle.

    Actions: `Tuple(Box(-1, 1, (1,)), Discrete(2))`: a turn, which moves the aim by 0.2 at full
    deflection (more is cut off), and then 1 fires, 0 waits.

    Reward: 1 for a shot within 0.1 of the target, after which a new one appears; -0.2 for a shot
    beside it. An episode is cut after 30 steps; it never terminates.

    Teaches: two kinds of action in one policy, and that either alone is worth far less:

        turns well, fires when it hits        9.0
        turns well, fires at a fixed chance   5.3, at the best chance (0.6)
        fires when it hits, turns at random   0.8
        fires when it hits, never turns       0.1
        both at random                       -2.3

    Solved: a mean return of 7, which no policy with one component left alone comes near.
    """

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = 30, **kwargs: Any):
        box = spaces.Box(-1, 1, (2,), dtype=np.float32)
        turn = spaces.Box(-1, 1, (1,), dtype=np.float32)
        action_space = spaces.Tuple((turn, spaces.Discrete(2)))
        super().__init__(num_envs, box, action_space, max_episode_steps=max_episode_steps, **kwargs)
        self.aim, self.target = np.zeros((2, num_envs))

    def _reset(self, rows: np.ndarray) -> None:
        self.aim[rows] = 0.0
        self.target[rows] = self.np_random.uniform(-1.0, 1.0, rows.sum())

    def _step(self, actions: Any) -> tuple[np.ndarray, np.ndarray]:
        turn, fire = actions
        turn = np.clip(turn[:, 0], -1.0, 1.0)
        self.aim = np.clip(self.aim + TURN * turn, -1.0, 1.0)
        hit = (fire == 1) & (np.abs(self.aim - self.target) < WIDTH)
        self.target[hit] = self.np_random.uniform(-1.0, 1.0, hit.sum())
        return np.where(hit, 1.0, -MISS * fire), np.zeros(self.num_envs, dtype=bool)

    def _observe(self) -> np.ndarray:
        return np.stack([self.aim, self.target], axis=1)


class ShootEnv(SingleEnv):
    """`Shoot` as a `gymnasium.Env`."""

    batched = Shoot
