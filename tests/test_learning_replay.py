"""Every algorithm that replays × network × kind of action × one or many environments: it learns.

Like test_learning.py, on the same worlds: a cell learns if after a small budget its greedy policy
scores at least `threshold` (from one of four seeds, by turns; `make test-full`: from all of them),
and these fail by the same training:

- An untrained policy, and one whose critic stays as untrained as it was.
- A feed-forward policy where the cue has to be remembered.
- With several action components, one that holds either of them constant.

What memory and components are worth is known in closed form, and the controls are held to that.
"""

from __future__ import annotations

import math

import pytest
import torch
from matrix import (  # noqa: F401
    DELAY,
    NOISE,
    RECURRENT,
    cells,
    one_seed,
    one_thread,
    recall,
    score,
)
from torch import Tensor, nn

import rlx
from rlx.algos import DDPG, DQN, SAC, TD3
from rlx.critics import NoisyPolicy, QNetwork, SquashedPolicy
from rlx.envs.reach import Reach
from rlx.envs.recall import Recall

pytestmark = pytest.mark.slow

CONTINUOUS = {"ddpg": (DDPG, NoisyPolicy), "td3": (TD3, NoisyPolicy), "sac": (SAC, SquashedPolicy)}
ALGORITHMS = {"dqn": (DQN, QNetwork), **CONTINUOUS}
NETWORKS = ("mlp", "gru", "lstm")
# The score that counts as learned. Without memory the best are 1/3, 1/2, 1/4 (`memoryless_score`);
# with a constant for one of two levels it is 1/2.
ACTIONS = {"discrete": 0.8, "continuous": 0.65, "boxes": 0.6}
LEVELS = ("continuous", "boxes")
# Updates of a feed-forward and of a recurrent network, chosen so that the worst of four seeds is
# about 0.1 above the threshold; and the first learning rates of policy and critic.
UPDATES = {"discrete": (10, 10), "continuous": (18, 20), "boxes": (24, 40)}
RATES = 0.005, 0.01
# No segment's length is a multiple of an episode's: the borders fall into the middle of episodes.
SEGMENTS = {"single": dict(n_steps=50), "vector": dict(n_steps=7)}
# Windows of a recurrent network: a row longer than an episode. One that begins in its middle has
# not seen the cue; with the longer delay, its first row only warms the memory up.
WINDOWS = {"single": dict(length=4), "vector": dict(length=5, burn_in=1)}


class Held(nn.Module):
    """What an actor makes of features, with zeros for one of two components: the same distribution
    in every state, always. That of an untrained policy, whose mode is the middle of the Box."""

    def __init__(self, actor: nn.Module, component: int) -> None:
        super().__init__()
        self.actor, self.component = actor, component

    def forward(self, features: Tensor) -> Tensor:
        halves = list(self.actor(features).chunk(2, dim=1))
        halves[self.component] = torch.zeros_like(halves[self.component])
        return torch.cat(halves, dim=1)


def make(
    algo: str,
    agent: rlx.Agent,
    hidden: int,
    memory: str | None = None,
    held: int | None = None,
    **options,
):
    """The algorithm `algo` with a network of its kind, which explores the whole Box."""
    algorithm, network = ALGORITHMS[algo]
    noise = dict(noise=1.0) if network is NoisyPolicy else {}
    policy = network(agent, hidden=hidden, memory=memory, **noise)
    if held is not None:
        policy.actor = Held(policy.actor, held)
    learner = algorithm(agent, policy, warmup=0, **options)
    if algo == "sac":  # a nat of entropy for 1 would count for more than all rewards
        nn.init.constant_(learner.temperature.log_alpha, math.log(0.1))
    return learner


def train(learner, updates: int, policy: float, critic: float, frozen: bool = False) -> None:
    """Train with the learning rates `policy` and `critic`, or with a `frozen` critic.

    The policy waits for the first 0.4 of the updates. Before the critic has learned anything, it
    would climb noise, into the corners of the Box, where a tanh has no slope to come back on."""
    parts = [(learner.policy, policy), (learner.critic, 0.0 if frozen else critic)]
    if isinstance(learner, SAC):
        parts.append((learner.temperature, critic))
    groups = [dict(params=list(part.parameters()), lr=lr) for part, lr in parts]
    learner.agent.optimizer = torch.optim.Adam(groups, fused=True)
    run(learner, updates, waits=0.4)


def run(learner, updates: int, waits: float = 0.0) -> None:
    """Train at falling rates, which keep what was learned: at constant ones the last few updates
    decide. That of the first group of parameters is 0 as long as it `waits`."""

    def fall(update: int) -> float:
        return 1 - update / updates

    optimizer = learner.agent.optimizer
    falls = [lambda update: fall(update) * (update >= waits * updates)]
    falls += [fall] * (len(optimizer.param_groups) - 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, falls)
    rlx.train(learner, updates=updates, callbacks=[lambda *_: schedule.step()], progress=False)


def scores(
    algo: str,
    network: str,
    actions: str,
    size: str,
    seed: int,
    *,
    visible: bool,
    held: int | None = None,
    frozen: bool = False,
) -> tuple[float, float]:
    """The policy's score before and after training."""
    env = dict(actions=actions, n=3, delay=DELAY[size], visible=visible)
    torch.manual_seed(seed)
    agent = rlx.Agent(recall(size, **env), seed=seed)
    recurrent = network in RECURRENT
    memory, windows = (network, WINDOWS[size]) if recurrent else (None, {})
    options = dict(passes=8, batch_size=128, tau=0.05, **SEGMENTS[size], **windows)
    updates = UPDATES[actions][recurrent]
    if algo == "dqn":
        options |= dict(lr=0.01, epsilon_steps=500)
    learner = make(algo, agent, 32 if algo == "dqn" else 64, memory, held, **options)
    before = score(learner.policy, **env)
    if algo == "dqn":
        run(learner, updates)
    else:
        train(learner, updates, *RATES, frozen=frozen)
    return before, score(learner.policy, **env)


@cells(["dqn"], NETWORKS, ["discrete"], DELAY, range(2))
def test_q_learning_learns(algo, network, actions, size, seed):
    before, after = scores(algo, network, actions, size, seed, visible=network not in RECURRENT)
    assert before < ACTIONS[actions] <= after


@cells(CONTINUOUS, NETWORKS, LEVELS, DELAY, range(4), covers=one_seed)
def test_continuous_control_learns(algo, network, actions, size, seed):
    before, after = scores(algo, network, actions, size, seed, visible=network not in RECURRENT)
    assert before < ACTIONS[actions] <= after


def fails_without_memory(algo, actions, size):
    best = Recall(actions=actions, n=3, delay=DELAY[size]).memoryless_score
    assert best < ACTIONS[actions] - NOISE
    _, after = scores(algo, "mlp", actions, size, seed=0, visible=False)
    assert after < best + NOISE


@pytest.mark.parametrize("size", DELAY)
def test_q_learning_fails_without_memory(size):
    fails_without_memory("dqn", "discrete", size)


@pytest.mark.parametrize("size", DELAY)
@pytest.mark.parametrize("actions", LEVELS)
@pytest.mark.parametrize("algo", CONTINUOUS)
def test_continuous_control_fails_without_memory(algo, actions, size):
    fails_without_memory(algo, actions, size)


@cells(CONTINUOUS, ["mlp", "gru"], ["continuous"], ["vector"])
def test_fails_with_a_frozen_critic(algo, network, actions, size):
    visible = network not in RECURRENT
    _, after = scores(algo, network, actions, size, seed=0, visible=visible, frozen=True)
    assert after < ACTIONS[actions]


@cells(CONTINUOUS, NETWORKS, ["boxes"], ["vector"])
@pytest.mark.parametrize("held", [0, 1], ids=["first-held", "second-held"])
def test_fails_with_a_component_held_constant(algo, network, actions, size, held):
    best = 1 / 2  # E[1 - |cue|] of a constant level 0
    assert best < ACTIONS[actions] - NOISE
    visible = network not in RECURRENT
    _, after = scores(algo, network, actions, size, seed=0, visible=visible, held=held)
    assert after < best + NOISE


def reaches(algo: str, seed: int, frozen: bool = False) -> float:
    """Score on `Reach`, a task of many steps that all count: mean return of 64 greedy episodes."""
    torch.manual_seed(seed)
    agent = rlx.Agent(Reach(16), seed=seed)
    options = dict(n_steps=8, passes=16, batch_size=128, tau=0.02, gamma=0.95)
    learner = make(algo, agent, 64, **options)
    train(learner, 40, *RATES, frozen)
    judge = rlx.Agent(Reach(64), seed=0)
    judge(learner.policy).episode(greedy=True, dry=True)
    return sum(judge.finished.returns) / 64


STANDING_STILL = 20.0


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("algo", CONTINUOUS)
def test_reaches(algo, seed):
    assert reaches(algo, seed) > 26  # what counts as solved


@pytest.mark.parametrize("algo", CONTINUOUS)
def test_does_not_reach_with_a_frozen_critic(algo):
    assert reaches(algo, 0, frozen=True) < STANDING_STILL + 2
