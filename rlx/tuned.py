"""Settings that were measured to work, for each algorithm with and without memory.

    algorithm = rlx.tuned.make("dqn", "CartPole-v1", seed=0)
    rlx.train(algorithm, episodes=2000, stop_return=475)

The command line and the benchmarks read them here.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.envs.registration import EnvSpec

from rlx import algos, critics, envs, networks
from rlx.agent import Agent
from rlx.algos.base import options_of

ALGORITHMS: dict[str, type[algos.Algorithm]] = {
    "rf": algos.REINFORCE,
    "ac": algos.ActorCritic,
    "a2c": algos.A2C,
    "ppo": algos.PPO,
    "offpac": algos.OffPAC,
    "impala": algos.IMPALA,
    "dqn": algos.DQN,
    "ddpg": algos.DDPG,
    "td3": algos.TD3,
    "sac": algos.SAC,
}
POLICIES = {
    "mlp": networks.MLPPolicy,
    "rnn": networks.GRUPolicy,
    "lstm": networks.LSTMPolicy,
}
# Algorithms that replay single steps have networks of their own kind.
NETWORKS = {
    "dqn": critics.QNetwork,
    "ddpg": networks.NoisyPolicy,
    "td3": networks.NoisyPolicy,
    "sac": networks.SquashedPolicy,
}

PPO = dict(num_envs=64, n_steps=32, gamma=0.98, gae_lambda=0.9)
DQN = dict(num_envs=64, n=5)
CONTINUOUS = dict(num_envs=16, n_steps=4, passes=16, tau=0.01)
WITH_MEMORY = dict(batch_size=32, n_steps=40, passes=64, length=21, burn_in=5)
# (algorithm, recurrent): what differs from the defaults of the class. Where the gradient averages
# over segments, or over replayed windows, num_envs is apart; otherwise it is the batch_size.
TUNED: dict[tuple[str, bool], dict[str, Any]] = {
    ("rf", True): dict(gamma=0.95, entropy_reg=0.03, grad_clip=0.5),
    **{("a2c", recurrent): dict(num_envs=16, standardize_return=True) for recurrent in (0, 1)},
    **{("impala", recurrent): dict(num_envs=16) for recurrent in (0, 1)},
    ("ppo", False): PPO,
    ("ppo", True): PPO | dict(n_steps=64, grad_clip=0.5),
    ("dqn", False): DQN | dict(n_steps=16, passes=64, batch_size=64, length=6, lr=4e-3, tau=0.03),
    ("dqn", True): DQN
    | dict(n_steps=20, passes=40, batch_size=32, length=20, burn_in=5, lr=2.3e-3, tau=0.02),
    **{(algo, False): CONTINUOUS for algo in ("ddpg", "td3", "sac")},
    **{(algo, True): CONTINUOUS | WITH_MEMORY for algo in ("ddpg", "td3", "sac")},
}

SOLVED = {
    "CartPole-v0": 197.0,
    "CartPole-v1": 480.0,
    "IncompleteCartPole-v0": 193.0,
    "IncompleteCartPole-v1": 480.0,
    "Pendulum-v1": -200.0,
}


def settings(algo: str, recurrent: bool = False) -> dict[str, Any]:
    """The tuned options of an algorithm, and its defaults where those are as good."""
    return options_of(ALGORITHMS[algo]) | TUNED.get((algo, recurrent), {})


def make(
    algo: str = "ppo",
    env: str = "CartPole-v1",
    policytype: str = "mlp",
    seed: int = 0,
    workers: int | None = None,
    address: str | None = None,
    **options: Any,
) -> algos.Algorithm:
    """The algorithm of that name, with environments and a network ("mlp", "rnn": GRU, "lstm").

    `options` go before the tuned ones; `num_envs` is one of them. torch is seeded. `workers` share
    the environments, as many each (the number is rounded up), on this machine or, with `address`,
    on a cluster: see `rlx.cluster`."""
    options = settings(algo, policytype != "mlp") | options
    torch.manual_seed(seed)
    n = options.pop("num_envs", options.get("batch_size"))
    if workers is None:
        agent = Agent(envs.make_vec(env, n), seed=seed)
    else:
        from rlx.cluster import ClusterAgent

        share = -(-n // workers)
        agent = ClusterAgent(env, workers=workers, envs=share, seed=seed, address=address)
    if algo in NETWORKS:
        policy = NETWORKS[algo](agent, memory=POLICIES[policytype].kind)
    else:
        policy = POLICIES[policytype](agent, value=algo != "rf")
    return ALGORITHMS[algo](agent, policy, **options)


def goal(spec: EnvSpec) -> float | None:
    """The mean return over the last 100 episodes that counts as solved; None if none is known."""
    return SOLVED.get(spec.id.removeprefix("rlx/"), spec.reward_threshold)
