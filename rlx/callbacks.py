"""What may happen after an update: plain functions of the algorithm and its metrics."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch

from rlx.agent import Agent
from rlx.algos.base import Algorithm
from rlx.train import Callback, Metrics


def evaluation(agent: Agent, every: int = 10, episodes: int = 10) -> Callback:
    """Play greedy episodes in `agent`'s own environments; adds `eval_return` and `eval_length`.

    Give it an agent of its own, with its own seed: nothing of it enters the training statistics, and
    training's random numbers are what they would be without it."""

    def evaluate(algorithm: Algorithm, metrics: Metrics) -> None:
        if algorithm.updates % every == 0:
            with torch.random.fork_rng(devices=[]):
                agent(algorithm.policy).episodes(episodes, dry=True, greedy=True)
            metrics["eval_return"] = float(np.mean(agent.finished.returns))
            metrics["eval_length"] = float(np.mean(agent.finished.lengths))

    return evaluate


def csv_log(path: str | Path) -> Callback:
    """Write a row for every update. A resumed run continues the file at its checkpoint."""
    path = Path(path)
    rows: list[Metrics] = []
    names: list[str] = []

    def log(algorithm: Algorithm, metrics: Metrics) -> None:
        if not rows and algorithm.updates > 1 and path.exists():
            with open(path, newline="") as file:
                old = csv.DictReader(file)
                rows.extend(row for row in old if int(row["updates"]) < algorithm.updates)
        rows.append(metrics)
        unknown = [name for row in (rows[0], metrics) for name in row if name not in names]
        names.extend(dict.fromkeys(unknown))
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w" if unknown else "a", newline="") as file:
            writer = csv.DictWriter(file, names)
            if unknown:  # a new column: the rows before it get an empty field
                writer.writeheader()
            writer.writerows(rows if unknown else [metrics])

    return log


def tensorboard(folder: str | Path) -> Callback:
    """Log every metric for TensorBoard, against environment steps.

    Raises ImportError, saying how to install it, if TensorBoard is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("logging for TensorBoard needs it: pip install tensorboard") from error
    writer = SummaryWriter(folder)

    def log(algorithm: Algorithm, metrics: Metrics) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, algorithm.steps)
        writer.flush()

    return log
