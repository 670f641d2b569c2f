"""Workers on Ray: what one costs, and what many bring. Steps a second of a whole call or stream.

(a) one worker beside the same environments in this process; (b) 1 to 32 workers whose environment
waits 5 ms a step, which takes no core, so the engine's own limit shows: what a step takes of a core
besides. They play together, and then as they come; and the memory of a worker is printed;
(c) 1 and 2 workers whose environment computes for 1 ms; (d) two workers with 64 CartPoles each in
gymnasium's SyncVectorEnv, and a network of 64x64 for the actions and another for the value, beside
RLlib's env runners with the same (`pip install "ray[rllib]"`; its own gymnasium is older than ours,
which it takes as well); (e) the learner's steps a second with IMPALA, by number of workers. Each
number is the median of `--rounds`.

    python benchmarks/cluster.py --parts a b c e
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

import rlx
from rlx.cluster import ClusterAgent, local


class Slow(gymnasium.Env):
    """A step that waits, or computes, for some seconds. Episodes take 100 of them."""

    observation_space = spaces.Box(-1, 1, (4,), dtype=np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, waits: float = 0.0, computes: float = 0.0) -> None:
        self.waits, self.computes = waits, computes

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 100
        return np.zeros(4, np.float32), {}

    def step(self, action):
        time.sleep(self.waits)
        until = time.perf_counter() + self.computes
        while time.perf_counter() < until:
            pass
        self.left -= 1
        return np.zeros(4, np.float32), 0.0, False, self.left == 0, {}


def memory(pid: int) -> float:
    """MB that belong to this process alone, without what it shares with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


def rate(run: Callable[[], int], rounds: int) -> float:
    """Median steps a second; the first call, in which everything is warmed up, does not count."""
    run()
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        rates.append(run() / (time.perf_counter() - began))
    return statistics.median(rates)


def segments(agent: rlx.Agent, n_steps: int) -> Callable[[], int]:
    policy = rlx.networks.MLPPolicy(agent)
    return lambda: int((~agent(policy).segment(n_steps, dry=True).end).sum())


def overhead(rounds: int) -> None:
    make = functools.partial(rlx.envs.make_vec, "CartPole-v1", 64)
    here = rate(segments(rlx.Agent(make(), seed=0), 64), rounds)
    with ClusterAgent(make, workers=1, seed=0) as agent:
        there = rate(segments(agent, 64), rounds)
    print(f"(a) 64 CartPoles, segments of 64: here {here:,.0f} steps/s, in one worker {there:,.0f}")


def seconds(pid: int) -> float:
    """Of a core that a process has taken."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def streamed(agent: ClusterAgent, n_steps: int) -> Callable[[], int]:
    """As many segments as there are workers, as they come; a round goes on where the last ended."""
    policy = rlx.networks.MLPPolicy(agent)
    stream = agent(policy).stream(n_steps, dry=True)
    return lambda: sum(int((~next(stream).end).sum()) for _ in agent.sampler.workers)


def pids(agent: ClusterAgent) -> list[int]:
    import ray

    own = [w.actor.__ray_call__.remote(lambda _: os.getpid()) for w in agent.sampler.workers]
    return ray.get(own)


def waiting() -> list[int]:
    """The processes that Ray started for its workers, which wait for those that were forked."""
    folder, found = local._ours["folder"], []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (path / "cmdline").read_text()
            if "default_worker.py" in line and folder in line:
                found.append(int(path.name))
    return found


def scaling(name: str, make: Callable, counts: list[int], n_steps: int, rounds: int) -> None:
    first: dict[str, float] = {}
    for workers in counts:
        with ClusterAgent(make, workers=workers, seed=0) as agent:
            own = pids(agent)
            for how, way in (("together", segments), ("as they come", streamed)):
                run = way(agent, n_steps)
                before, steps = sum(map(seconds, own)), []
                speed = rate(lambda run=run, steps=steps: steps.append(run()) or steps[-1], rounds)
                core = (sum(map(seconds, own)) - before) / sum(steps)
                first.setdefault(how, speed)
                print(
                    f"{name} {workers:>2} workers, {how:<12}: {speed:>6,.0f} steps/s, "
                    f"{speed / first[how]:4.1f} times one; {1e3 * core:.2f} ms of a core a step; "
                    f"load {os.getloadavg()[0]:.0f}",
                    flush=True,
                )
            each, waits = (
                statistics.median(map(memory, own)),
                statistics.median(map(memory, waiting())),
            )
            print(f"{name} {workers:>2} workers: {each:.0f} MB each, and {waits:.0f} MB that waits")


def beside_rllib(rounds: int) -> None:
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    from ray.rllib.execution.rollout_ops import synchronous_parallel_sample

    def theirs() -> int:
        episodes = synchronous_parallel_sample(
            worker_set=algorithm.env_runner_group,
            max_env_steps=2 * 64 * 64,
            _uses_new_env_runners=True,
        )
        return sum(map(len, episodes))

    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(
            num_env_runners=2,
            num_envs_per_env_runner=64,
            rollout_fragment_length=64,
            num_cpus_per_env_runner=0,
        )
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], vf_share_layers=False))
        .learners(num_learners=0, num_cpus_per_learner=0)
        .training(train_batch_size_per_learner=2 * 64 * 64)
    )
    config.num_cpus_for_main_process = 0
    make = functools.partial(rlx.envs.make_vec, "CartPole-v1", 64, vectorization_mode="sync")
    with ClusterAgent(make, workers=2, seed=0) as agent:
        policy = rlx.networks.MLPPolicy(agent)
        ours = rate(lambda: int((~agent(policy).segment(64).end).sum()), rounds)
    algorithm = config.build_algo()
    speed = rate(theirs, rounds)
    algorithm.stop()
    print(f"(d) 2 workers, 64 CartPoles each: rlx {ours:,.0f} steps/s, RLlib {speed:,.0f}")


def learning(counts: list[int], rounds: int) -> None:
    for workers in counts:
        with ClusterAgent("CartPole-v1", workers=workers, envs=16, seed=0) as agent:
            torch.manual_seed(0)
            algorithm = rlx.algos.IMPALA(agent, rlx.networks.MLPPolicy(agent), n_steps=64)

            def update(algorithm=algorithm) -> int:
                before = algorithm.steps
                lags = [algorithm.update()["staleness"] for _ in range(20)]
                update.lag = statistics.fmean(lags)
                return algorithm.steps - before

            speed = rate(update, rounds)
        print(
            f"(e) IMPALA, {workers} workers: {speed:,.0f} steps/s, staleness {update.lag:.1f}",
            flush=True,
        )


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--parts", nargs="+", default=list("abce"), choices=list("abcde"))
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--most", type=int, default=32, help="workers in (b)")
    args = command.parse_args()
    torch.set_num_threads(1)
    local.join(-1, None)  # one Ray for all
    if "a" in args.parts:
        overhead(args.rounds)
    if "b" in args.parts:
        counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= args.most]
        scaling("(b)", functools.partial(Slow, waits=0.005), counts, 200, args.rounds)
    if "c" in args.parts:
        scaling("(c)", functools.partial(Slow, computes=0.001), [1, 2], 500, args.rounds)
    if "d" in args.parts:
        beside_rllib(args.rounds)
    if "e" in args.parts:
        learning([1, 2, 4], args.rounds)
    local.leave(-1)


if __name__ == "__main__":
    main()
