"""The one training loop."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from tqdm.auto import tqdm

from rlx.algos.base import Algorithm

Metrics = dict[str, float]


class History(list):
    """What each update reported: a list of dicts. `history["return"]` is one quantity as an array."""

    def __getitem__(self, key):
        if isinstance(key, str):
            return np.array([metrics.get(key, math.nan) for metrics in self])
        return super().__getitem__(key)


def iterate(
    algorithm: Algorithm,
    *,
    updates: int | None = None,
    steps: int | None = None,
    episodes: int | None = None,
    seconds: float | None = None,
    stop_return: float | None = None,
    window: int = 100,
) -> Iterator[Metrics]:
    """Update until a budget is spent or the running return reaches `stop_return`; yields metrics.

    Budgets count from here on: `updates`, environment `steps`, `episodes`, wall-clock `seconds`.
    `running_return` is the mean over the last `window` training episodes; the run is stopped by it
    only once there are that many. Networks this small run faster on one thread: so they do."""
    if updates is None and steps is None and episodes is None and seconds is None:
        raise ValueError("give a budget: updates=, steps=, episodes= or seconds=")
    recent: deque[float] = deque(maxlen=window)
    began, before = time.perf_counter(), (algorithm.updates, algorithm.steps, algorithm.episodes)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        while True:
            metrics = algorithm.update()
            recent.extend(algorithm.agent.finished.returns)
            elapsed = time.perf_counter() - began
            running = float(np.mean(recent)) if recent else math.nan
            counts = (algorithm.updates, algorithm.steps, algorithm.episodes)
            yield {
                **dict(zip(("updates", "steps", "episodes"), counts, strict=True)),
                "seconds": elapsed,
                "running_return": running,
                **metrics,
            }
            budgets = zip(counts, before, (updates, steps, episodes), strict=True)
            if any(budget and count - start >= budget for count, start, budget in budgets):
                return
            if seconds and time.perf_counter() - began >= seconds:
                return
            if stop_return is not None and len(recent) == window and running >= stop_return:
                return
    finally:
        torch.set_num_threads(threads)


def train(
    algorithm: Algorithm,
    *,
    callbacks: Iterable[Callable[[Algorithm, Metrics], object]] = (),
    progress: bool = True,
    **budget: float | None,
) -> History:
    """Train with a progress bar; returns what each update reported.

    `budget` is what `iterate` takes: `updates`, `steps`, `episodes`, `seconds`, `stop_return`, `window`.
    Each callback is called as `callback(algorithm, metrics)` after every update. An interrupt (Ctrl-C,
    the notebook's ■) ends training cleanly: the policy keeps what it has learned."""
    history = History()
    with tqdm(total=budget.get("updates"), unit="update", disable=not progress) as bar:
        try:
            for metrics in iterate(algorithm, **budget):
                history.append(metrics)
                for callback in callbacks:
                    callback(algorithm, metrics)
                rate = metrics["steps"] / max(metrics["seconds"], 1e-9)
                bar.set_postfix_str(
                    f"return {metrics['running_return']:.1f}, {rate:,.0f} steps/s", refresh=False
                )
                bar.update()
        except KeyboardInterrupt:
            bar.write(f"interrupted after {len(history)} updates; call train again to go on")
    return history
