"""What the benchmarks share: a run's time until a greedy score, and what several seeds say."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

import rlx
from rlx import stats
from rlx.seeding import undisturbed

STARTS = 20  # greedy episodes that are judged by, from the same starts each time


class Stopwatch:
    """Seconds of training until the greedy score reaches `goal`, judged every `every` seconds.

    Stands still while the judge plays, or while other processes have the processor: on one thread
    and an idle machine it shows what a clock on the wall does."""

    def __init__(self, limit: float, goal: float, every: float = 1.0) -> None:
        self.limit, self.goal, self.every = limit, goal, every
        self.score, self.steps, self.seconds = float("-inf"), 0, 0.0
        self._began, self._next = time.process_time(), every

    def done(self, judge: Callable[[], float], steps: int) -> bool:
        now = time.process_time()
        self.seconds, self.steps = now - self._began, steps
        if self.seconds < self._next:
            return False
        self._next = self.seconds + self.every
        self.score = judge()
        self._began += time.process_time() - now
        return self.score >= self.goal or self.seconds >= self.limit

    def __str__(self) -> str:
        solved = "" if self.score >= self.goal else " (not solved)"
        return f"{self.seconds:>7.1f} {self.score:>9.1f} {self.steps:>8}{solved}"


def greedy_return(policy: rlx.Parametric, env: str) -> float:
    """Mean return of `STARTS` greedy episodes. Takes no random numbers from the training."""
    with undisturbed():
        agent = rlx.Agent(rlx.envs.make_vec(env, STARTS), seed=10_000)
        agent(policy).episode(dry=True, greedy=True)
    return statistics.fmean(agent.finished.returns)


def train(algorithm: rlx.algos.Algorithm, watch: Stopwatch, env: str) -> Stopwatch:
    """Updates rlx's `algorithm` until the watch has seen enough."""
    while not watch.done(lambda: greedy_return(algorithm.policy, env), algorithm.steps):
        algorithm.update()
    return watch


def learn(model, watch: Stopwatch, env: str, timesteps: int) -> Stopwatch:
    """The same for a model of Stable-Baselines3, for at most `timesteps`."""
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return not watch.done(
                lambda: evaluate_policy(self.model, judge, n_eval_episodes=STARTS)[0],
                self.num_timesteps,
            )

    judge = make_vec_env(env, STARTS, seed=10_000)
    model.learn(timesteps, callback=Stop())
    return watch


def table(name: str, run: Callable[[int], Stopwatch], seeds: int) -> None:
    """Prints a line for each seed, the median of the seconds, and how many seeds got there."""
    print(f"\n{name}\nseed       s    return    steps")
    watches = []
    for seed in range(seeds):
        watches.append(run(seed))
        print(f"{seed:>4} {watches[-1]}", flush=True)
    median = statistics.median(watch.seconds for watch in watches)
    print(f"median {median:.1f} s, {solved(watches)}")


def compare(
    name: str, ours: Callable[[int], Stopwatch], sb3: Callable[[int], Stopwatch], seeds: int
) -> None:
    """The same for two, seed by seed in turn, and the ratio of their medians."""
    print(f"\n{name}\nseed   rlx s    return    steps     SB3 s    return    steps")
    pairs = []
    for seed in range(seeds):
        pairs.append((ours(seed), sb3(seed)))
        print(f"{seed:>4} {pairs[-1][0]}   {pairs[-1][1]}", flush=True)
    mine, theirs = zip(*pairs)
    print(ratio([watch.seconds for watch in mine], [watch.seconds for watch in theirs]))
    print(f"{solved(mine)} against {solved(theirs)}")


def solved(watches: Sequence[Stopwatch]) -> str:
    k, n = sum(watch.score >= watch.goal for watch in watches), len(watches)
    low, high = stats.wilson(k, n)
    return f"solved {k} of {n} (95 % interval {low:.2f} to {high:.2f})"


def ratio(ours: Sequence[float], theirs: Sequence[float], unit: str = "s") -> str:
    """Both medians and their ratio; with two seeds or more, its interval."""
    a, b = statistics.median(ours), statistics.median(theirs)
    text = f"median {a:.1f} {unit} against {b:.1f} {unit}: ratio {a / b:.2f}"
    if min(len(ours), len(theirs)) > 1:
        low, high = np.exp(stats.difference_interval(np.log(ours), np.log(theirs), 0.95, np.median))
        text += f" (95 % interval {low:.2f} to {high:.2f})"
    return text
