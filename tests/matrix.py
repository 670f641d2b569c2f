"""What the learning matrices share: the cells' names, the size of a world, the score of a policy.

The worlds are rlx's own smallest, `Recall`: act on a cue, which a recurrent policy sees once and a
feed-forward one all the time (`visible`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

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


def cells(*axes: object, covers: Callable[..., bool] | None = None) -> pytest.MarkDecorator:
    """One test for each combination, named after it: ppo-gru-both-vector-seed0.

    With `covers`, which is asked for the places of a combination on its axes, the others are marked
    full: `make test-full` runs them."""
    parameters = []
    for places in itertools.product(*(range(len(axis)) for axis in axes)):
        combination = [list(axis)[place] for axis, place in zip(axes, places)]
        name = "-".join(part if isinstance(part, str) else f"seed{part}" for part in combination)
        marks = [] if covers is None or covers(*places) else [pytest.mark.full]
        parameters.append(pytest.param(*combination, id=name, marks=marks))
    arguments = ("algo", "network", "actions", "size", "seed")[: len(axes)]
    return pytest.mark.parametrize(arguments, parameters)


def one_size(algo: int, network: int, actions: int, size: int, seed: int | None = None) -> bool:
    """All combinations of algorithm, network and kind of action, each with one or many
    environments by turns and with one of three seeds: a Latin square, in which every network and
    every kind of action meets both sizes and all three seeds, with each algorithm."""
    turn = size == (algo + network + actions) % 2
    return turn and (seed is None or seed == (network + actions) % 3)


def one_seed(algo: int, network: int, actions: int, size: int, seed: int) -> bool:
    """All combinations, each with one of four seeds: with each algorithm a network meets all four,
    and so does a kind of action."""
    return seed == (network + 2 * actions + size) % 4


def recall(size: str, **env: object) -> Recall | RecallEnv:
    """One world, or 32 of them."""
    return RecallEnv(**env) if size == "single" else Recall(32, **env)


def score(policy: rlx.Parametric, **env: object) -> float:
    """Mean return of the greedy policy over 1024 episodes, always the same."""
    judge = rlx.Agent(Recall(JUDGED, **env), seed=0)
    judge(policy).episode(greedy=True, dry=True)
    return sum(judge.finished.returns) / JUDGED
