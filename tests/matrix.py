"""What the learning matrices share: the cells' names, the size of a world, the score of a policy.

The worlds are rlx's own smallest, `Recall`: act on a cue, which a recurrent policy sees once and a
feed-forward one all the time (`visible`).
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import rlx
from rlx.envs.recall import Recall, RecallEnv

RECURRENT = ("gru", "lstm")
# One environment, or a batch: in a batch the cue has to be remembered for longer.
DELAY = {"single": 1, "vector": 2}
JUDGED = 1024  # episodes that a score is the mean of
# The mean over these episodes of returns in [0, 1] has at most this standard error, four times.
NOISE = 4 * 0.5 / math.sqrt(JUDGED)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Its updates are A2C's where it plays in this process (test_sampler.py): the quick half will do.
ONLY = {"impala": "vector"}


def cells(*axes: object) -> pytest.MarkDecorator:
    """One test for each combination, named after it: ppo-gru-both-vector-seed0."""
    combinations = [
        combination
        for combination in itertools.product(*axes)
        if ONLY.get(combination[0], combination[3]) == combination[3]
    ]
    names = [
        "-".join(part if isinstance(part, str) else f"seed{part}" for part in combination)
        for combination in combinations
    ]
    arguments = ("algo", "network", "actions", "size", "seed")[: len(axes)]
    return pytest.mark.parametrize(arguments, combinations, ids=names)


def recall(size: str, **env: object) -> Recall | RecallEnv:
    """One world, or 32 of them."""
    return RecallEnv(**env) if size == "single" else Recall(32, **env)


def score(policy: rlx.Parametric, **env: object) -> float:
    """Mean return of the greedy policy over 1024 episodes, always the same."""
    judge = rlx.Agent(Recall(JUDGED, **env), seed=0)
    judge(policy).episode(greedy=True, dry=True)
    return sum(judge.finished.returns) / JUDGED
