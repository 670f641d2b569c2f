"""Every algorithm × network × kind of action × one or many environments: each of them learns."""

import functools

import numpy as np
import pytest
import torch

import rlx
from rlx.algos import A2C, PPO, REINFORCE, ActorCritic, OffPAC
from rlx.envs.recall import Recall, RecallEnv
from rlx.networks import ActionHead, GRUPolicy, LSTMPolicy, MLPPolicy

pytestmark = pytest.mark.slow

UPDATES = {REINFORCE: (60, 60), ActorCritic: (60, 60), A2C: (60, 60), PPO: (12, 12), OffPAC: (20, 20)}
LR = {PPO: 3e-3, OffPAC: 3e-3}
ONE = dict(num=0, delay=1, batch_size=16, n_steps=64)
MANY = dict(num=32, delay=2, batch_size=32, n_steps=10)
