"""Probes: problems so small that the answer is known, and a wrong one says which part is broken.

They are taken from A. Jones, "Debugging RL, Without the Agonizing Pain" (2021), and one is added,
truncation. An algorithm that learns nothing on a real problem may be broken anywhere. Here each
probe needs what the ones before it need and one thing more, so the first that fails names it:

| id (rlx/…)          | steps | observation | reward     | V at the end | isolates             |
|---------------------|-------|-------------|------------|--------------|----------------------|
| ProbeConstant-v0    | 1     | 0           | 1          | 1            | the value loss       |
| ProbeObservation-v0 | 1     | -1 or 1     | as seen    | as seen      | what the value sees  |
| ProbeDelay-v0       | 2     | 0, then 1   | 0, then 1  | γ, then 1    | discounting          |
| ProbeTruncation-v0  | cut   | 0           | 1, 1       | 1 / (1 - γ)  | bootstrapping        |
| ProbeAction-v0      | 1     | 0           | right or   | 1            | the policy loss      |
| ProbeBoth-v0        | 1     | -1 or 1     | wrong: ±1  | 1            | what the policy sees |

Right is action 1, and in ProbeBoth, where -1 is seen, action 0. In the first four, actions change
nothing. ProbeTruncation never terminates and is cut after 2 steps. The state in which an episode
ends shows the last observation again: who bootstraps from it although the episode terminated
overestimates in the first three as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from .native import BatchedEnv, SingleEnv

KINDS = ("constant", "observation", "delay", "truncation", "action", "both")


class Probe(BatchedEnv):
    """One of the probes of this module's table: `kind` is constant, observation, delay, truncation,
    action or both.

    Observation: one number, in [-1, 1]. Actions: "discrete", `Discrete(2)`; "continuous",
    `Box(-1, 1, (1,))`, of which 0.5 is right (-0.5 where the observation is -1), and the reward of
    another, a, is 1 - 4 |a - right|, at least -1.

    Solved: see `solution`; ProbeAction and ProbeBoth by a mean return of 0.9.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        kind: str = "constant",
        actions: str = "discrete",
        max_episode_steps: int | None = None,
        **kwargs: Any,
    ):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        if actions not in ("discrete", "continuous"):
            raise ValueError(f"actions must be discrete or continuous, not {actions!r}")
        box = spaces.Box(-1, 1, (1,), dtype=np.float32)
        space = spaces.Discrete(2) if actions == "discrete" else box
        super().__init__(num_envs, box, space, max_episode_steps=max_episode_steps, **kwargs)
        self.kind, self.actions = kind, actions
        self.shown = np.zeros(num_envs)

    def _reset(self, rows: np.ndarray) -> None:
        if self.kind in ("observation", "both"):
            self.shown[rows] = self.np_random.choice([-1.0, 1.0], size=rows.sum())
        else:
            self.shown[rows] = 0.0

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        last = np.ones(self.num_envs, dtype=bool)
        if self.kind == "truncation":
            return np.ones(self.num_envs), ~last
        if self.kind == "constant":
            return np.ones(self.num_envs), last
        if self.kind == "observation":
            return self.shown, last
        if self.kind == "delay":
            last = self.steps == 1
            self.shown[:] = 1.0
            return 1.0 * last, last
        right = np.where(self.shown >= 0.0, 1.0, -1.0)
        if self.actions == "discrete":
            return np.where(actions == (right > 0), 1.0, -1.0), last
        return np.maximum(1.0 - 4.0 * np.abs(actions[:, 0] - 0.5 * right), -1.0), last

    def _observe(self) -> np.ndarray:
        return self.shown[:, None]


class ProbeEnv(SingleEnv):
    """`Probe` as a `gymnasium.Env`."""

    batched = Probe


def solution(kind: str, gamma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """What an algorithm should end up with: the observations (n, 1) that occur, their values (n,)
    under the best policy, and the right discrete actions (n,), None where actions change nothing.

    Raises ValueError for an unknown kind."""
    answers = {
        "constant": ([0], [1], None),
        "observation": ([-1, 1], [-1, 1], None),
        "delay": ([0, 1], [gamma, 1], None),
        "truncation": ([0], [1 / (1 - gamma)] if gamma < 1 else [np.inf], None),
        "action": ([0], [1], [1]),
        "both": ([-1, 1], [1, 1], [0, 1]),
    }
    if kind not in answers:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    observations, values, actions = answers[kind]
    shown = np.array(observations, dtype=np.float32)[:, None]
    return shown, np.array(values, dtype=np.float32), None if actions is None else np.array(actions)
