"""One short file an algorithm; its `update()` reads like its chapter."""

from rlx.algos.a2c import A2C
from rlx.algos.actor_critic import ActorCritic
from rlx.algos.base import Algorithm
from rlx.algos.offpac import OffPAC
from rlx.algos.ppo import PPO
from rlx.algos.reinforce import REINFORCE

__all__ = ["A2C", "PPO", "REINFORCE", "ActorCritic", "Algorithm", "OffPAC"]
