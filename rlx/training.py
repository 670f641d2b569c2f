"""The one training loop: budgets, progress, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlx import checkpoint as checkpoints
from rlx import seeding
from rlx.algos.base import Algorithm
from rlx.bars import bar

Metrics = dict[str, float]
Callback = Callable[[Algorithm, Metrics], object]  # one that returns True ends the run


class History(list):
    """What each update reported: a list of dicts. `history["return"]` is an array."""

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
    callbacks: Iterable[Callback] = (),
    checkpoint: str | Path | None = None,
    every: int = 10,
    seed: int = 0,
    resume: bool = False,
    extra: dict[str, Any] | None = None,
    threads: int | None = 1,
) -> Iterator[Metrics]:
    """Update until a budget is spent or the running return reaches `stop_return`; yields metrics.

    Budgets count from here on: `updates`, environment `steps`, `episodes`, `seconds`; a resumed run
    has what was left of its budget. `running_return` is the mean over the last 100 training
    episodes; it stops the run only once there are that many. After each update the `callbacks` are
    called with the algorithm and the metrics; if one of them returns True (not just something
    truthy), that update is the last. With `checkpoint`, that file is written after `every` so many
    updates and at the end (see `rlx.checkpoint`; `seed` and the number of updates seed the
    environments there); `resume` goes on from it. Meanwhile torch computes with `threads` threads:
    networks this small are fastest with one; None leaves torch's number as it is.

    Whatever goes wrong, the error says where the last checkpoint is."""
    if all(budget is None for budget in (updates, steps, episodes, seconds)):
        raise ValueError("give a budget: updates=, steps=, episodes= or seconds=")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint=, the file to go on from")
    if checkpoint is not None and not resume:
        _keep(Path(checkpoint), algorithm)
    budgets = dict(updates=updates, steps=steps, episodes=episodes, seconds=seconds)
    saved = checkpoints.resume(checkpoint, algorithm) if resume else {}
    extra = {**saved, **(extra or {})}
    # A file that `checkpoint.save` wrote outside a run knows of no budget: it is counted from here.
    begin = saved.get("begin") or {name: getattr(algorithm, name) for name in budgets}

    def border() -> None:
        algorithm.agent.seed(*seeding.spawn(seed, 1, "checkpoint", algorithm.updates))
        checkpoints.save(checkpoint, algorithm, {**extra, "begin": begin})

    def spent() -> bool:
        full = len(algorithm.recent) == algorithm.recent.maxlen
        return (full and stop_return is not None and running() >= stop_return) or any(
            budget is not None and getattr(algorithm, name) - begin[name] >= budget
            for name, budget in budgets.items()
        )

    def running() -> float:
        return float(np.mean(algorithm.recent)) if algorithm.recent else math.nan

    def run() -> Iterator[Metrics]:
        before, stop = torch.get_num_threads(), False
        torch.set_num_threads(before if threads is None else threads)
        try:
            if checkpoint is not None:
                border()  # also after resuming: it makes the same environments, and the same file
            while not stop and not spent():
                began = time.perf_counter()
                metrics = algorithm.update()
                algorithm.seconds += time.perf_counter() - began
                metrics = {
                    **{name: getattr(algorithm, name) for name in algorithm.counters},
                    "running_return": running(),
                    **metrics,
                }
                said = [callback(algorithm, metrics) for callback in callbacks]  # all are called
                stop = any(isinstance(word, bool | np.bool_) and word for word in said)
                if checkpoint is not None and (algorithm.updates % every == 0 or stop or spent()):
                    border()
                yield metrics
        except Exception as error:
            if checkpoint is not None and Path(checkpoint).exists():
                error.add_note(
                    f"The last checkpoint is {checkpoint}; resume=True goes on from there."
                )
            raise
        finally:
            torch.set_num_threads(before)

    return run()  # what is wrong with the arguments has been said before the first update


def _keep(path: Path, algorithm: Algorithm) -> None:
    """A forgotten resume=True must not cost anybody a trained agent."""
    if path.exists():
        done = checkpoints.load(path)["state"]["counters"]["updates"]
        if done > algorithm.updates:
            raise ValueError(
                f"{path} holds a run of {done} updates, which this one would overwrite: "
                "resume=True goes on from it; otherwise name another file, or delete this one"
            )


def train(algorithm: Algorithm, *, progress: bool = True, **options: Any) -> History:
    """Train with a progress bar; returns what each update reported. `options` are `iterate`'s.

    An interrupt (Ctrl-C, the notebook's ■) ends training cleanly: the policy keeps what it has
    learned, and calling `train` again goes on."""
    history = History()
    updates, total = iterate(algorithm, **options), options.get("updates")
    with bar(total=total, unit="update", disable=not progress, mininterval=0.5) as shown:
        try:
            for metrics in updates:
                history.append(metrics)
                rate = metrics["steps"] / max(metrics["seconds"], 1e-9)
                shown.set_postfix_str(
                    f"return {metrics['running_return']:.1f}, length {metrics['length']:.0f}, "
                    f"{rate:,.0f} steps/s",
                    refresh=False,
                )
                shown.update()
        except KeyboardInterrupt:
            where = options.get("checkpoint")
            saved = where is not None and Path(where).exists()
            shown.write(
                f"Interrupted after {algorithm.updates} updates. The policy keeps what it has "
                "learned: call train again to go on"
                + (f", or with resume=True from the last checkpoint, {where}." if saved else ".")
            )
    return history
