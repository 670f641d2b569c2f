"""What may happen after an update: plain functions of the algorithm and its metrics."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from rlx import checkpoint, seeding
from rlx.agent import Agent
from rlx.algos.base import Algorithm
from rlx.seeding import undisturbed
from rlx.training import Callback, Metrics


def evaluation(agent: Agent, every: int = 10, episodes: int = 10, seed: int = 0) -> Callback:
    """Play greedy episodes in `agent`'s own environments; adds `eval_return` and `eval_length`.

    Nothing of it enters the training statistics, and training's random numbers are what they would
    be without it. `seed` and the number of updates seed the environments: a resumed run reports
    what the uninterrupted one does."""

    def evaluate(algorithm: Algorithm, metrics: Metrics) -> None:
        if agent.env is algorithm.agent.env:
            raise ValueError("evaluation needs an agent with an environment of its own")
        if algorithm.updates % every == 0:
            agent.seed(*seeding.spawn(seed, 1, "evaluation", algorithm.updates))
            with undisturbed():
                agent(algorithm.policy).episodes(episodes, dry=True, greedy=True)
            metrics["eval_return"] = float(np.mean(agent.finished.returns))
            metrics["eval_length"] = float(np.mean(agent.finished.lengths))

    return evaluate


def csv_log(path: str | Path) -> Callback:
    """Write a row for every update; what other callbacks add is in it if they come before this one.

    A resumed run continues the file at its checkpoint."""
    path = Path(path)
    rows: list[Metrics] = []
    names: list[str] = []

    def log(algorithm: Algorithm, metrics: Metrics) -> None:
        if not rows and algorithm.updates > 1 and path.exists():
            with open(path, newline="") as file:  # None: the last row, if a kill cut it short
                rows.extend(row for row in csv.DictReader(file) if None not in row.values())
        before = len(rows)
        while rows and int(rows[-1]["updates"]) >= algorithm.updates:
            rows.pop()  # it came after the checkpoint from which we resumed
        known = {**(rows[0] if rows else {}), **metrics}
        unknown = [name for name in known if name not in names]
        names.extend(unknown)
        whole = bool(unknown) or len(rows) < before
        rows.append(dict(metrics))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names)
        if whole:  # the rows before a new column get an empty field
            writer.writeheader()
            writer.writerows(rows)
            checkpoint.write(path, text.getvalue().encode())
        else:
            writer.writerow(metrics)
            with open(path, "a", newline="") as file:
                file.write(text.getvalue())

    return log


def tensorboard(folder: str | Path) -> Callback:
    """Log every metric for TensorBoard, against environment steps, after the callbacks before it.

    Raises ImportError, saying how to install it, if TensorBoard is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("logging for TensorBoard needs it: pip install tensorboard") from error
    writer = None

    def log(algorithm: Algorithm, metrics: Metrics) -> None:
        nonlocal writer
        if writer is None:  # what came after the checkpoint from which we resumed is not shown
            resumed = algorithm.updates > 1
            writer = SummaryWriter(folder, purge_step=algorithm.steps if resumed else None)
        for name, value in metrics.items():
            writer.add_scalar(name, value, algorithm.steps)
        writer.flush()

    return log
