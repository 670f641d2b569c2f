"""Every algorithm × network × kind of action × one or many environments: each cell learns.

The environments are rlx's own smallest: act on a cue, which a recurrent policy sees once (`Recall`)
and a feed-forward one all the time (`visible`). A cell learns if after a small budget its greedy
policy scores at least `threshold`. `make test` takes a part of them in which all pairs occur, and
each algorithm with each network and each kind of action from three seeds (`matrix.one_size`); `make
test-full` takes the others, too. So that this proves something:

- An untrained policy fails (in the same test).
- A feed-forward policy fails, by the same training, where the cue has to be remembered.
- With several action components, either one held constant fails, by the same training.

What these controls can reach at best is known in closed form, and they are held to that, too.
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
    one_size,
    one_thread,
    recall,
    score,
)
from torch import Tensor, nn

import rlx
from rlx.algos import A2C, IMPALA, PPO, REINFORCE, ActorCritic, OffPAC
from rlx.envs.recall import Recall
from rlx.networks import GRUPolicy, LSTMPolicy, MLPPolicy

pytestmark = pytest.mark.slow


ALGORITHMS = {
    "reinforce": REINFORCE,
    "actorcritic": ActorCritic,
    "a2c": A2C,
    "ppo": PPO,
    "offpac": OffPAC,
    "impala": IMPALA,
}
NETWORKS = {"mlp": MLPPolicy, "gru": GRUPolicy, "lstm": LSTMPolicy}
# Actions: how many categories, and the score that counts as learned. Without memory the best are
# 1/3, 1/2, 1/4 (`Recall.memoryless_score`); with a constant for one of both components it is 1/2.
ACTIONS = {"discrete": (3, 0.8), "continuous": (2, 0.6), "both": (2, 0.6)}
# One environment, or a batch: many are played for the price of one, so the batches are larger. No
# segment's length is a multiple of an episode's: the borders fall into the middle of episodes.
EPISODES = {"single": dict(batch_size=16), "vector": dict(batch_size=32)}
SEGMENTS = {"single": dict(n_steps=33), "vector": dict(n_steps=10)}
# The first learning rate, and the updates for each kind of action in turn: chosen so that the worst
# of four seeds is about 0.1 above the threshold.
BUDGETS = {
    ("reinforce", "single"): (0.01, (40, 60, 60)),
    ("reinforce", "vector"): (0.01, (40, 80, 80)),
    ("actorcritic", "single"): (0.01, (40, 60, 100)),
    ("actorcritic", "vector"): (0.01, (40, 70, 80)),
    ("a2c", "single"): (0.01, (40, 80, 80)),
    ("a2c", "vector"): (0.01, (40, 60, 80)),
    ("ppo", "single"): (0.005, (16, 20, 20)),
    ("ppo", "vector"): (0.005, (8, 10, 12)),
    ("offpac", "single"): (0.003, (30, 50, 50)),
    ("offpac", "vector"): (0.003, (40, 60, 70)),
    # Its updates are A2C's where it plays in this process (test_sampler.py).
    ("impala", "single"): (0.01, (40, 80, 80)),
    ("impala", "vector"): (0.01, (40, 60, 80)),
}


class Held(nn.Module):
    """An action head, one of whose components is the same distribution in every state, always.

    That of an untrained policy: even odds, or mean 0. Its mode is one constant action."""

    def __init__(self, head: nn.Module, component: int) -> None:
        super().__init__()
        self.head, self.component = head, component

    def forward(self, features: Tensor) -> rlx.ActionDistribution:
        components = list(self.head(features).components)
        held = components[self.component]
        if isinstance(held, torch.distributions.Normal):
            held = torch.distributions.Normal(torch.zeros_like(held.mean), math.exp(-0.5))
        else:
            held = type(held)(logits=torch.zeros_like(held.logits))
        components[self.component] = held
        return rlx.ActionDistribution(*components)


def scores(
    algo: str,
    network: str,
    actions: str,
    size: str,
    seed: int,
    *,
    visible: bool,
    held: int | None = None,
) -> tuple[float, float]:
    """The policy's score before and after training."""
    env = dict(actions=actions, n=ACTIONS[actions][0], delay=DELAY[size], visible=visible)
    torch.manual_seed(seed)
    agent = rlx.Agent(recall(size, **env), seed=seed)
    policy = NETWORKS[network](
        agent.observation_space,
        agent.action_space,
        hidden=(32, 32) if network == "mlp" else 32,
        value=algo != "reinforce",
    )
    if held is not None:
        policy.actor[-1] = Held(policy.actor[-1], held)
    lr, budgets = BUDGETS[algo, size]
    updates = budgets[list(ACTIONS).index(actions)]
    lengths = SEGMENTS if algo in ("a2c", "ppo", "impala") else EPISODES
    algorithm = ALGORITHMS[algo](agent, policy, lr=lr, standardize_return=True, **lengths[size])

    before = score(policy, **env)
    # A falling rate keeps what was learned: at a constant one the last few updates decide.
    schedule = torch.optim.lr_scheduler.LinearLR(agent.optimizer, 1.0, 0.0, updates)
    rlx.train(algorithm, updates=updates, callbacks=[lambda *_: schedule.step()], progress=False)
    return before, score(policy, **env)


@cells(ALGORITHMS, NETWORKS, ACTIONS, DELAY, range(3), covers=one_size)
def test_learns(algo, network, actions, size, seed):
    before, after = scores(algo, network, actions, size, seed, visible=network not in RECURRENT)
    assert before < ACTIONS[actions][1] <= after


@cells(ALGORITHMS, ["mlp"], ACTIONS, DELAY, covers=one_size)
def test_fails_without_memory(algo, network, actions, size):
    n, threshold = ACTIONS[actions]
    best = Recall(actions=actions, n=n, delay=DELAY[size]).memoryless_score
    assert best < threshold - NOISE
    _, after = scores(algo, network, actions, size, seed=0, visible=False)
    assert after < best + NOISE


@cells(ALGORITHMS, NETWORKS, ["both"], DELAY, covers=one_size)
@pytest.mark.parametrize("held", [0, 1], ids=["category-held", "level-held"])
def test_fails_with_a_component_held_constant(algo, network, actions, size, held):
    _, threshold = ACTIONS[actions]
    best = 1 / 2  # a constant category of two is right so often; E[1 - |cue|] of a constant level 0
    assert best < threshold - NOISE
    visible = network not in RECURRENT
    _, after = scores(algo, network, actions, size, seed=0, visible=visible, held=held)
    assert after < best + NOISE
