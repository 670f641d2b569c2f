"""Recall: see a cue, wait, then act on it. The smallest problems that need memory.

"rlx/Recall…" shows the cue once, at the first step. "rlx/Cue…" is the same problem with the cue
always in sight, so that an agent without memory can learn it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from .native import BatchedEnv, SingleEnv

# How many components of the answer are a category, and how many are a level.
KINDS = {
    "discrete": (1, 0),
    "continuous": (0, 1),
    "both": (1, 1),
    "multidiscrete": (2, 0),
    "boxes": (0, 2),
}


class Recall(BatchedEnv):
    """Answer with the cue, `delay` steps after it was shown. An episode lasts `delay` + 1 steps.

    Actions: a category, `Discrete(n)`; a level, `Box(-1, 1, (1,))`; `Tuple(Discrete(n), Box)` for
    `actions="both"`; `MultiDiscrete([n, n])`; `Tuple(Box, Box)`, two levels, for `actions="boxes"`.
    The cue is the right action, drawn uniformly.

    Observation, all in [-1, 1]: the cue (a one-hot of n for each category, then the levels); 1 if
    it is shown now; 1 if this step's action is the answer. A hidden cue reads 0. `visible=True`
    shows it at every step.

    Reward: 0 until the answer, then the product over its components of max(0, 1 - |answer - cue|).
    For a category that is 1 if right and 0 if wrong. The best return is 1.

    Teaches: carrying information through time; with "both" or "boxes", that each component has to
    be right.

    Without memory, the best expected return is `memoryless_score`: at the answering step every cue
    looks the same, so a policy answers no better than a constant does. A constant category is right
    with probability 1/n. A constant level a scores E[max(0, 1 - |a - cue|)], at most 1/2, at a = 0.
    Components are independent, so their scores multiply:

        actions        without memory   one component constant   solved at
        discrete       1/n = 1/4                                 0.9
        continuous     1/2                                       0.8
        both (n = 2)   1/(2n) = 1/4     1/n = 1/2, or 1/2        0.75
        multidiscrete  1/n^2            1/n                      0.9
        boxes          1/4              1/2                      0.65

    Solved means the mean return of sampled actions, hence less than 1: Gaussian noise of standard
    deviation 0.1 around the right level costs 0.08.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        actions: str = "discrete",
        n: int = 4,
        delay: int = 4,
        visible: bool = False,
        **kwargs: Any,
    ):
        if actions not in KINDS:
            raise ValueError(f"actions must be one of {', '.join(KINDS)}, not {actions!r}")
        categories, levels = KINDS[actions]
        category, level = spaces.Discrete(n), spaces.Box(-1, 1, (1,), dtype=np.float32)
        action_space = {
            "discrete": category,
            "continuous": level,
            "both": spaces.Tuple((category, level)),
            "multidiscrete": spaces.MultiDiscrete([n, n]),
            "boxes": spaces.Tuple((level, level)),
        }[actions]
        observation_space = spaces.Box(-1, 1, (categories * n + levels + 2,), dtype=np.float32)
        super().__init__(num_envs, observation_space, action_space, **kwargs)
        self.n, self.delay, self.visible = n, delay, visible
        self.cue = np.zeros((num_envs, categories + levels))  # the right answer: categories, levels
        self.code = np.zeros((num_envs, categories * n + levels))  # as it is shown
        self.categories, self.levels = categories, levels
        self.memoryless_score = 1.0 if visible or delay == 0 else (1 / n) ** categories / 2**levels

    def _reset(self, rows: np.ndarray) -> None:
        category = self.np_random.integers(self.n, size=(rows.sum(), self.categories))
        level = self.np_random.uniform(-1.0, 1.0, size=(rows.sum(), self.levels))
        self.cue[rows] = np.hstack([category, level])
        self.code[rows] = np.hstack([*np.eye(self.n)[category.T], level])

    def _step(self, actions: Any) -> tuple[np.ndarray, np.ndarray]:
        answer = np.column_stack(actions if isinstance(actions, tuple) else (actions,))
        # Between two categories, whole numbers, this is 1 if they are equal and 0 if they are not.
        match = np.maximum(0.0, 1.0 - np.abs(answer - self.cue))
        answering = self.steps == self.delay
        return answering * match.prod(axis=1), answering

    def _observe(self) -> np.ndarray:
        shown = (self.steps == 0) | self.visible
        return np.column_stack([self.code * shown[:, None], shown, self.steps == self.delay])


class RecallEnv(SingleEnv):
    """`Recall` as a `gymnasium.Env`."""

    batched = Recall
