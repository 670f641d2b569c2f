"""The same numbers as rlax, DeepMind's JAX library of reinforcement-learning functions.

The expected values were computed once, with rlax 0.1.9 on jax 0.10.2 in float32, an episode at a
time (rlax knows no table). Neither is needed here.
"""

import pytest
import torch
from torch import tensor

from rlx import functional as F

# fmt: off
# Five steps and termination; four steps, cut off.
REWARDS = tensor([0.13, -0.13, 0.64, 0.1, -0.54, 0, 1.3, 0.95, -0.7, -1.27, 0])
VALUES = tensor([0.04, -2.33, -0.22, -1.25, -0.73, -0.54, -0.32, 0.41, 1.04, -0.13, 1.37])
LOG_RATIOS = tensor([-0.47, 0.25, 0.63, 0.07, -0.52, 0, -0.32, 0.15, -0.71, -0.15, 0])
GAE = [  # lambda, advantages
    (0.0, [-2.007, 2.002, -0.265, 0.693, 0.19, 0,
           1.989, 1.476, -1.857, 0.093, 0]),
    (0.95, [0.045667, 2.40078, 0.46641, 0.85545, 0.19, 0,
            1.951594, -0.04375, -1.777485, 0.093, 0]),
    (1.0, [0.210006, 2.46334, 0.5126, 0.864, 0.19, 0,
           1.881027, -0.11997, -1.7733, 0.093, 0]),
]
VTRACE = [  # options, errors, advantages
    ({"gae_lambda": 1.0},
     [0.099662, 2.407177, 0.450197, 0.794663, 0.112959, 0,
      1.89276, 0.686192, -0.877565, 0.080046, 0],
     [0.099662, 2.407177, 0.450197, 0.794663, 0.112959, 0,
      1.89276, 0.686192, -0.877565, 0.080046, 0]),
    ({"gae_lambda": 0.9},
     [-0.088958, 2.302058, 0.370442, 0.784497, 0.112959, 0,
      1.892683, 0.762304, -0.881106, 0.080046, 0],
     [-0.088958, 2.302058, 0.370442, 0.784497, 0.112959, 0,
      1.892683, 0.762304, -0.881106, 0.080046, 0]),
    ({"gae_lambda": 0.9, "clip_rho": 1.5, "clip_pg_rho": 2.0},
     [0.161263, 2.79632, 0.278643, 0.834745, 0.112959, 0,
      2.03318, 1.001171, -0.881106, 0.080046, 0],
     [0.161263, 2.860425, 0.771967, 0.841379, 0.112959, 0,
      2.03318, 0.885671, -0.881106, 0.080046, 0]),
]
Q_ONLINE = tensor([[1.32, 0.36, -1.21], [0, 0.66, -1.29], [0.4, 0.43, 0.7], [-1.18, -0.66, -0.44]])
Q_TARGET = tensor([[-1.17, 1.74, -0.5], [0.33, -0.26, 1.58], [1.32, 0.63, -2.2], [0.05, 0.68, 1]])
# fmt: on
END = torch.zeros(11).bool().index_fill(0, tensor([5, 10]), True)
TERMINATED = torch.zeros(11).bool().index_fill(0, tensor([5]), True)
TABLE = {"rewards": REWARDS, "values": VALUES, "end": END, "terminated": TERMINATED, "gamma": 0.9}


def close(actual, expected):
    torch.testing.assert_close(actual, tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("gae_lambda", "expected"), GAE)
def test_gae(gae_lambda, expected):
    """rlax.truncated_generalized_advantage_estimation"""
    close(F.gae(**TABLE, gae_lambda=gae_lambda), expected)


@pytest.mark.parametrize(("options", "errors", "advantages"), VTRACE)
def test_vtrace(options, errors, advantages):
    """rlax.vtrace_td_error_and_advantage, whose errors are our targets minus V"""
    v, a = F.vtrace(**TABLE, log_ratios=LOG_RATIOS, **options)
    close(v - VALUES.masked_fill(TERMINATED, 0), errors)
    close(a, advantages)


def test_ppo_clip_loss():
    """rlax.clipped_surrogate_pg_loss, and its gradient by jax"""
    # Ratios inside and on both sides of the clip, with advantages of both signs.
    logprobs = tensor([-1.23, -0.39, -0.52, -1.63, -0.96, -0.71, -0.65, -1.23], requires_grad=True)
    old = tensor([-0.73, -0.89, -0.82, -1.33, -1.06, -0.61, -0.25, -1.63])
    advantages = tensor([1.51, 1.35, -0.78, -0.84, -0.31, 1.46, 1.96, 1.8])
    loss = F.ppo_clip_loss(logprobs, old, advantages, clip=0.2)
    loss.backward()
    close(loss.detach(), -0.657907)
    close(logprobs.grad, [-0.114483, 0, 0.131611, 0, 0.042825, -0.165133, -0.164228, 0])


def test_double_q_target():
    """rlax.double_q_learning from Q = 0, so that its error is the target"""
    rewards = tensor([-0.62, 1.82, -1.32, -0.66])
    terminated = tensor([False, True, False, False])
    close(
        F.double_q_target(rewards, Q_ONLINE, Q_TARGET, terminated, 0.9), [-1.673, 1.82, -3.3, 0.24]
    )
