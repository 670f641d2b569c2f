"""Algorithms that are broken on purpose, and the probes that each fault fails.

Chapter 12 shows them, `probe` names them, and tests/test_probes.py holds every line of the table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch.distributions import Normal

import rlx
from rlx import functional
from rlx.algos import Algorithm
from rlx.envs import probes

NOTHING = "nothing is broken"
GAMMA = 0.5  # small, so that one step of discount is not to be missed
ENVS = 16

REPLAYING = {  # with noise enough to find out what else there is
    "DQN": rlx.critics.QNetwork,
    "DDPG": partial(rlx.critics.NoisyPolicy, noise=0.5),
    "TD3": partial(rlx.critics.NoisyPolicy, noise=0.5),
    "SAC": rlx.critics.SquashedPolicy,
}
UPDATES = {"REINFORCE": 120, "ActorCritic": 120, "A2C": 100, "PPO": 50, "OffPAC": 90, "IMPALA": 100}
UPDATES |= {"DQN": 40, "DDPG": 30, "TD3": 30, "SAC": 35}


def algorithm(
    name: str,
    kind: str,
    seed: int = 0,
    network: Callable | None = None,
    actions: str = "discrete",
    made: Callable | None = None,
    **options: Any,
) -> Algorithm:
    """The algorithm `name` on the probe `kind`, with settings that are the same for all probes; or
    in another environment, if `kind` is its name."""
    torch.manual_seed(seed)
    actions = "continuous" if name in ("DDPG", "TD3", "SAC") else actions
    env, given = kind, {}
    if kind in probes.KINDS:
        env, given = f"Probe{kind.capitalize()}-v0", {"actions": actions}
    agent = rlx.Agent(rlx.envs.make_vec(env, ENVS, **given), seed=seed)
    made = made or getattr(rlx.algos, name)
    if name in REPLAYING:
        network = network or REPLAYING[name]
        policy = network(agent, hidden=16)
        settings = dict(n_steps=6, passes=4, batch_size=64, warmup=0, tau=0.1)
        if name == "DQN":
            settings["epsilon_steps"] = 1000
        return made(agent, policy, **settings | {"gamma": GAMMA, "lr": 2e-2} | options)
    network = network or rlx.networks.MLPPolicy
    policy = network(agent, hidden=(16,), value=name != "REINFORCE")
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
        "IMPALA": dict(n_steps=6, entropy_reg=0.0),
    }[name]  # fmt: skip
    return made(agent, policy, **settings | {"gamma": GAMMA, "lr": 1e-2} | options)


class Fault(NamedTuple):
    """`name`s what is broken, in which algorithm, `how`: options of `algorithm`, and functions that
    stand in the place of those of `rlx.functional`. `fails` are the probes that fail then, those
    and no others."""

    name: str
    algorithm: str
    how: Mapping[str, Any]
    fails: frozenset[str]

    @contextlib.contextmanager
    def learner(self, kind: str, seed: int = 0, **options: Any) -> Iterator[Algorithm]:
        """The broken algorithm on a probe, or in an environment; broken within this block."""
        swapped = {name: how for name, how in self.how.items() if hasattr(functional, name)}
        options |= {name: how for name, how in self.how.items() if name not in swapped}
        with mock.patch.dict(vars(functional), swapped):
            yield algorithm(self.algorithm, kind, seed, **options)


def diagnose(opened: Mapping[str, bool], signs: Mapping[str, Sequence[str]]) -> list[str]:
    """The faults that fit what the `opened` probes have shown, in the order of `signs`.

    `opened` says of each probe that was tried whether it was passed; `signs` which probes each
    fault fails, if it is alone. A probe that has not been tried says nothing."""
    return [
        fault
        for fault, fails in signs.items()
        if all(passed != (probe in fails) for probe, passed in opened.items())
    ]


def signs(name: str = "A2C") -> dict[str, list[str]]:
    """Which probes each fault of that algorithm fails, in their order, by the fault's name; and an
    algorithm that has none, which fails none."""
    found: dict[str, list[str]] = {NOTHING: []}
    for fault in FAULTS:
        if fault.algorithm == name:
            found[fault.name] = [kind for kind in probes.KINDS if kind in fault.fails]
    return found


def suspects(opened: Mapping[str, bool], name: str = "A2C") -> list[str]:
    """The faults of that algorithm that fit."""
    return diagnose(opened, signs(name))


# ---------------------------------------------------------------------- how to break them


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


class Wiped(rlx.networks.GRUPolicy):
    """It plays with an empty memory at every step, and is evaluated with a full one."""

    def forward(self, *states):
        return super().forward(None, states[1])


class Clipped(rlx.algos.A2C):
    """The value's errors above 10 are cut off before they are squared: no slope is left there."""

    def value_loss(self, rollout):
        return (self.value_of(rollout) - rollout.returns).clamp(-10, 10).square().mean()


class OneSided(Normal):
    """Its samples lie about loc + scale, and not about loc."""

    def sample(self, sample_shape=()):
        return super().sample(sample_shape) + self.scale


class Leaning(rlx.critics.NoisyPolicy):
    """The noise that it explores with is not 0 on average."""

    def component(self, low, high, x):
        around = super().component(low, high, x)
        return OneSided(around.loc, around.scale)


real = {name: getattr(functional, name) for name in dir(functional)}


def bootstrap_always(values, end, terminated):
    return real["_bootstrap"](values, end, torch.zeros_like(terminated))


def bootstrap_never(values, end, terminated):
    return real["_bootstrap"](values, end, end)


def without_discount(name):
    at = {"gae": 4, "vtrace": 5, "discounted_returns": 2, "td_target": 3}[name]
    return {name: lambda *args, **clips: real[name](*args[:at], 1.0, *args[at + 1 :], **clips)}


def minus(name):
    return {name: lambda *args: -real[name](*args)}


def counting(terminal):
    """One-step targets that take every state for terminal, or none."""

    def td_target(rewards, next_values, terminated, gamma):
        return real["td_target"](rewards, next_values, terminal(terminated), gamma)

    return {"td_target": td_target}


UNBOOTSTRAPPED = {"_bootstrap": bootstrap_never}
TOO_FAR = {"_bootstrap": bootstrap_always}
CUT_ANYWHERE = UNBOOTSTRAPPED | {"n_steps": 4}  # segments no longer end where episodes do


def _f(name: str, algorithm: str, how: Mapping[str, Any], fails: str) -> Fault:
    return Fault(name, algorithm, how, frozenset(fails.split()))


# Each fault of one algorithm has a set of its own, but for one pair: a segment's cut that counts as
# a death fails what a missing discount fails.
FAULTS = [
    # One constant is known without a network: the mean of what was paid.
    _f("the value loss", "A2C", {"value_coef": -0.5}, "observation delay truncation"),
    _f("the value loss", "A2C", {"value_coef": 0.0}, "observation delay truncation"),
    _f("what the value sees", "A2C", {"network": BlindValue}, "observation delay"),
    _f("the discount", "A2C", without_discount("gae"), "delay truncation"),
    _f("a segment's cut counts as a death", "A2C", CUT_ANYWHERE, "delay truncation"),
    _f("a time limit counts as a death", "A2C", UNBOOTSTRAPPED, "truncation"),
    _f("a death is bootstrapped", "A2C", TOO_FAR, "constant observation delay"),
    _f("the policy loss", "A2C", minus("policy_gradient_loss"), "action both"),
    _f("what the policy sees", "A2C", {"network": BlindPolicy}, "both"),
    _f("no step is taken", "A2C", {"lr": 0.0}, "observation delay truncation action both"),
    # The same, elsewhere.
    _f("a time limit counts as a death", "PPO", UNBOOTSTRAPPED, "truncation"),
    _f("a death is bootstrapped", "PPO", TOO_FAR, "constant observation delay"),
    _f("the policy loss", "PPO", minus("ppo_clip_loss"), "action both"),
    _f("the discount", "OffPAC", without_discount("vtrace"), "delay truncation"),
    _f("a time limit counts as a death", "OffPAC", UNBOOTSTRAPPED, "truncation"),
    _f("a death is bootstrapped", "OffPAC", TOO_FAR, "constant observation delay"),
    _f("the policy loss", "OffPAC", minus("policy_gradient_loss"), "action both"),
    _f("the policy loss", "REINFORCE", minus("policy_gradient_loss"), "action both"),
    # Monte-Carlo returns never bootstrap: to them, an episode that is cut is over.
    _f("the discount", "ActorCritic", without_discount("discounted_returns"), "delay truncation"),
    _f("the policy loss", "ActorCritic", minus("policy_gradient_loss"), "action both truncation"),
    _f("the discount", "DQN", without_discount("td_target"), "delay truncation"),
    _f("a time limit counts as a death", "DQN", {"made": CutIsOver}, "truncation"),
    # What is drawn from the replay ends in the middle of an episode: to it, every step is a cut.
    _f("a segment's cut counts as a death", "DQN", counting(torch.ones_like), "delay truncation"),
    _f("a death is bootstrapped", "DQN", counting(torch.zeros_like), "constant observation delay"),
    _f("a death is bootstrapped", "SAC", TOO_FAR, "constant observation delay"),
    _f("what the Q-values see", "DQN", {"network": BlindQ}, "observation delay both"),
    _f("the critic's loss", "DDPG", {"made": DeafCritic}, " ".join(probes.KINDS)),
]

# These pass every probe: small problems of one or two steps, whose rewards are near 1, do not ask
# for what is broken.
MISSED = [
    _f("the memory is empty at every step", "A2C", {"network": Wiped}, ""),
    _f("errors above 10 have no slope", "A2C", {"made": Clipped}, ""),
    _f("the noise is not 0 on average", "DDPG", {"network": partial(Leaning, noise=0.5)}, ""),
]
