"""rlx: deep reinforcement learning in PyTorch. `rlx/plain.py` is its plain form; read it first."""

from rlx import (
    algos,
    callbacks,
    checkpoint,
    critics,
    envs,
    functional,
    networks,
    plain,
    seeding,
    stats,
    tuned,
)
from rlx.agent import Agent
from rlx.distributions import ActionDistribution, SquashedNormal
from rlx.play.evaluation import evaluate
from rlx.play.sampler import Sampler
from rlx.policy import Parametric
from rlx.replay import Replay
from rlx.rollout import Rollout, Step
from rlx.runs import Runs, repeat
from rlx.training import History, iterate, train

__version__ = "0.1.0"

__all__ = [
    "ActionDistribution",
    "Agent",
    "History",
    "Parametric",
    "Replay",
    "Rollout",
    "Runs",
    "Sampler",
    "SquashedNormal",
    "Step",
    "algos",
    "callbacks",
    "checkpoint",
    "critics",
    "envs",
    "evaluate",
    "functional",
    "iterate",
    "networks",
    "plain",
    "repeat",
    "seeding",
    "stats",
    "train",
    "tuned",
]
