"""Every algorithm passes the probes, and a broken one fails those that name its fault."""

import contextlib
from functools import partial

import numpy as np
import pytest
import torch

import rlx
from rlx import functional
from rlx.course.probing import judge
from rlx.envs import probes

GAMMA = 0.5  # small, so that one step of discount is not to be missed
ENVS = 16


REPLAYING = {  # with noise enough to find out what else there is
    "DQN": rlx.critics.QNetwork,
    "DDPG": partial(rlx.critics.NoisyPolicy, noise=0.5),
    "TD3": partial(rlx.critics.NoisyPolicy, noise=0.5),
    "SAC": rlx.critics.SquashedPolicy,
}


def algorithm(name, kind, seed, network=None, actions="discrete", made=None, **options):
    """The algorithm `name` on the probe `kind`, with settings that are the same for all probes."""
    torch.manual_seed(seed)
    actions = "continuous" if name in ("DDPG", "TD3", "SAC") else actions
    envs = rlx.envs.make_vec(f"Probe{kind.capitalize()}-v0", ENVS, actions=actions)
    agent = rlx.Agent(envs, seed=seed)
    made = made or getattr(rlx.algos, name)
    if name in REPLAYING:
        network = network or REPLAYING[name]
        policy = network(agent, hidden=16)
        settings = dict(n_steps=6, passes=4, batch_size=64, warmup=0, tau=0.1)
        if name == "DQN":
            settings["epsilon_steps"] = 1000
        return made(agent, policy, gamma=GAMMA, lr=2e-2, **settings | options)
    network = network or rlx.networks.MLPPolicy
    value = name != "REINFORCE"
    policy = network(agent, hidden=(16,), value=value)
    # 6 steps hold whole episodes of either length, 1 or 2 steps, and the resets after them.
    settings = {
        "REINFORCE": dict(batch_size=ENVS, entropy_reg=0.0),
        "ActorCritic": dict(batch_size=ENVS, entropy_reg=0.0, standardize_return=False),
        "A2C": dict(n_steps=6, entropy_reg=0.0),
        "PPO": dict(n_steps=6, epochs=2, minibatches=2, standardize_return=False),
        "OffPAC": dict(
            batch_size=ENVS, rbsize=2 * ENVS, max_rbusage=2, entropy_reg=0.0,
            standardize_return=False,
        ),
    }[name]  # fmt: skip
    return made(agent, policy, gamma=GAMMA, lr=1e-2, **settings | options)


UPDATES = {"REINFORCE": 120, "ActorCritic": 120, "A2C": 100, "PPO": 50, "OffPAC": 90}
UPDATES |= {"DQN": 40, "DDPG": 30, "TD3": 30, "SAC": 35}


class BlindValue(rlx.networks.MLPPolicy):
    """The value does not see the observation."""

    def forward(self, *states):
        _, state = states
        return None, self.actor(state), self.critic(0 * state)


class BlindPolicy(rlx.networks.MLPPolicy):
    """The actions do not depend on the observation."""

    def forward(self, *states):
        _, state = states
        return None, self.actor(0 * state), self.critic(state)


class BlindQ(rlx.critics.QNetwork):
    """The Q-values do not depend on the observation."""

    def heads(self, features):
        return super().heads(0 * features)


class CutIsOver(rlx.algos.DQN):
    """It takes an episode that was cut for one that terminated."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        add = self.replay.add  # here, no segment ends in the middle of an episode
        self.replay.add = lambda rollout: add(rollout.replace(terminated=rollout.end))


class DeafCritic(rlx.algos.DDPG):
    """Its critic learns nothing."""

    def minimize(self, **terms):
        return super().minimize(**terms | {"value_loss": 0 * terms["value_loss"]})


real = {name: getattr(functional, name) for name in dir(functional)}


def bootstrap_always(values, end, terminated):
    return real["_bootstrap"](values, end, torch.zeros_like(terminated))


def bootstrap_never(values, end, terminated):
    return real["_bootstrap"](values, end, end)


def without_discount(name):
    at = {"gae": 4, "vtrace": 5, "discounted_returns": 2, "n_step_returns": 4}[name]
    return {name: lambda *args: real[name](*args[:at], 1.0, *args[at + 1 :])}


def minus(name):
    return {name: lambda *args: -real[name](*args)}


VALUE = {"constant", "observation", "delay", "truncation"}
UNBOOTSTRAPPED = {"_bootstrap": bootstrap_never}
TOO_FAR = {"_bootstrap": bootstrap_always}
CUT_ANYWHERE = {"n_steps": 4}  # segments no longer end where episodes do

# What is broken, in which algorithm, how; and the probes that fail then, those and no others. Each
# fault has a set of its own.
FAULTS = [
    # One constant is known without a network: the mean of what was paid.
    ("value loss", "A2C", {"value_coef": -0.5}, VALUE - {"constant"}),
    ("value loss", "A2C", {"value_coef": 0.0}, VALUE - {"constant"}),
    ("what the value sees", "A2C", {"network": BlindValue}, {"observation", "delay"}),
    ("discount", "A2C", without_discount("gae"), {"delay", "truncation"}),
    ("discount", "OffPAC", without_discount("vtrace"), {"delay", "truncation"}),
    ("discount", "ActorCritic", without_discount("discounted_returns"), {"delay", "truncation"}),
    ("truncated is not terminated", "A2C", UNBOOTSTRAPPED, {"truncation"}),
    ("truncated is not terminated", "PPO", UNBOOTSTRAPPED, {"truncation"}),
    ("truncated is not terminated", "OffPAC", UNBOOTSTRAPPED, {"truncation"}),
    ("nor is a cut", "A2C", UNBOOTSTRAPPED | CUT_ANYWHERE, {"delay", "truncation"}),
    ("terminated is the end", "A2C", TOO_FAR, VALUE - {"truncation"}),
    ("terminated is the end", "PPO", TOO_FAR, VALUE - {"truncation"}),
    ("terminated is the end", "OffPAC", TOO_FAR, VALUE - {"truncation"}),
    ("policy loss", "REINFORCE", minus("policy_gradient_loss"), {"action", "both"}),
    ("policy loss", "ActorCritic", minus("policy_gradient_loss"), {"action", "both", "truncation"}),
    ("policy loss", "A2C", minus("policy_gradient_loss"), {"action", "both"}),
    ("policy loss", "PPO", minus("ppo_clip_loss"), {"action", "both"}),
    ("policy loss", "OffPAC", minus("policy_gradient_loss"), {"action", "both"}),
    ("what the policy sees", "A2C", {"network": BlindPolicy}, {"both"}),
    ("discount", "DQN", without_discount("n_step_returns"), {"delay", "truncation"}),
    ("truncated is not terminated", "DQN", {"made": CutIsOver}, {"truncation"}),
    # A window of the replay ends in the middle of an episode: to it, every step is a cut.
    ("nor is a cut", "DQN", UNBOOTSTRAPPED, {"delay", "truncation"}),
    ("terminated is the end", "DQN", TOO_FAR, VALUE - {"truncation"}),
    ("terminated is the end", "SAC", TOO_FAR, VALUE - {"truncation"}),
    ("what the Q-values see", "DQN", {"network": BlindQ}, {"observation", "delay", "both"}),
    ("the critic's loss", "DDPG", {"made": DeafCritic}, set(probes.KINDS)),
]


def passes(name, kind, seed=0, **options):
    """Does it learn the values, within 0.1, or the right actions, with probability 0.9?

    Of replaying algorithms, the best action counts: within 0.15 if it is continuous."""
    learner = algorithm(name, kind, seed, **options)
    with contextlib.suppress(FloatingPointError):  # it diverged: it will not pass
        rlx.train(learner, updates=UPDATES[name], progress=False)
    if name not in REPLAYING:
        return (name == "REINFORCE" and kind in VALUE) or judge(learner, kind, GAMMA)[0]
    observations, values, actions = probes.solution(kind, GAMMA)
    with torch.no_grad():
        observations = torch.from_numpy(observations)
        _, dist, *others = learner.policy(None, observations)
        if name == "DQN":
            others = [others[0].amax(1, keepdim=True)]
        else:
            _, _, *q = learner.critic(None, observations, *dist.mode)
            others = [torch.stack(q).amin(0)]
    if actions is not None:
        right, within = (actions, 0.0) if name == "DQN" else (actions - 0.5, 0.15)
        return np.allclose(dist.mode[0].flatten().numpy(), right, rtol=0, atol=within)
    return np.allclose(others[0][:, 0].numpy(), values, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", probes.KINDS)
@pytest.mark.parametrize("name", UPDATES)
def test_every_algorithm_passes_the_probes(name, kind):
    if name == "REINFORCE" and kind in VALUE:
        pytest.skip("it has no values")
    # Monte-Carlo returns never bootstrap: to them, an episode that is cut is over.
    assert passes(name, kind) == ((name, kind) != ("ActorCritic", "truncation"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["action", "both"])
@pytest.mark.parametrize("name", [name for name in UPDATES if name not in REPLAYING])
def test_every_algorithm_passes_the_probes_with_continuous_actions(name, kind):
    learner = algorithm(name, kind, seed=0, actions="continuous")
    rlx.train(learner, updates=UPDATES[name], progress=False)
    observations, _, actions = probes.solution(kind, GAMMA)
    _, dist, *_ = learner.policy(None, torch.from_numpy(observations))
    assert np.allclose(dist.mode[0][:, 0].detach(), actions - 0.5, atol=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "name", "how", "expected"), FAULTS)
def test_a_broken_algorithm_fails_the_probes_that_name_its_fault(
    fault, name, how, expected, monkeypatch
):
    options = {}
    for what, value in how.items():
        if hasattr(functional, what):
            monkeypatch.setattr(functional, what, value)
        else:
            options[what] = value
    failed = {kind for kind in probes.KINDS if not passes(name, kind, **options)}
    assert failed == expected


def test_no_two_faults_look_alike():
    """Monte-Carlo algorithms have a shorter list, and are left out."""
    signs = {}
    for fault, name, _, expected in FAULTS:
        if name != "ActorCritic" and fault != "nor is a cut":
            signs.setdefault(fault, set()).add(frozenset(expected))
    assert all(len(sets) == 1 for sets in signs.values())
    assert len({one for sets in signs.values() for one in sets}) == len(signs)
