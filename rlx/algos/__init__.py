"""One short file an algorithm; its `update()` reads like its chapter."""

from rlx.algos.a2c import A2C
from rlx.algos.actor_critic import ActorCritic
from rlx.algos.base import Algorithm
from rlx.algos.ddpg import DDPG
from rlx.algos.dqn import DQN
from rlx.algos.impala import IMPALA
from rlx.algos.offpac import OffPAC
from rlx.algos.ppo import PPO
from rlx.algos.reinforce import REINFORCE
from rlx.algos.sac import SAC
from rlx.algos.td3 import TD3

__all__ = [
    "A2C",
    "DDPG",
    "DQN",
    "IMPALA",
    "PPO",
    "REINFORCE",
    "SAC",
    "TD3",
    "ActorCritic",
    "Algorithm",
    "OffPAC",
]
