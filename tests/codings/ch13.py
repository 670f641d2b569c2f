"""Other codings of the mistakes of chapter 13."""

from __future__ import annotations

import numpy as np
import torch

from codings import again


@again("spawn_seeds", "it is seed + i")
def _(seed, n, key):
    return list(range(seed, seed + n))


@again("spawn_seeds", "all have the same seed")
def _(seed, n, key):
    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(1)
    return [int(state[0]) // 2 for _ in range(n)]


@again("spawn_seeds", "the key is not used")
def _(seed, n, key):
    return (np.random.SeedSequence(seed).generate_state(n) // 2).tolist()


@again("spawn_seeds", "the seeds have 32 bits")
def _(seed, n, key):
    return np.random.SeedSequence(seed, spawn_key=key).generate_state(n).tolist()


@again("spawn_seeds", "each seed has a block of its own")
def _(seed, n, key):
    return list(range(seed * n, (seed + 1) * n))


def _rows(observation, steps, ghost):
    """Every row that comes: environment, state, next state, is it a ghost, does it end?"""
    for seen, ended in steps:
        for b in range(len(ghost)):
            yield b, observation[b], seen[b].copy(), bool(ghost[b]), bool(ended[b])
        observation, ghost = np.array(seen), np.array(ended)


def _both(rows, width):
    kept = list(rows)
    return tuple(np.array([row[k] for row in kept]).reshape(-1, width) for k in (1, 2))


@again("valid_rows", "ghost rows are kept")
def _(observation, steps, ghost):
    return _as(observation, _both(_rows(observation, steps, ghost), observation.shape[1]))


@again("valid_rows", "the last row of each episode is left out")
def _(observation, steps, ghost):
    rows = (row for row in _rows(observation, steps, ghost) if not row[4])
    return _as(observation, _both(rows, observation.shape[1]))


@again("valid_rows", "the last row is left out with the ghost row")
def _(observation, steps, ghost):
    rows = (row for row in _rows(observation, steps, ghost) if not (row[3] or row[4]))
    return _as(observation, _both(rows, observation.shape[1]))


@again("valid_rows", "state and next state are exchanged")
def _(observation, steps, ghost):
    rows = (row for row in _rows(observation, steps, ghost) if not row[3])
    return _as(observation, _both(rows, observation.shape[1])[::-1])


def _as(observation, results):
    return tuple(result.astype(observation.dtype) for result in results)


def _each(gradients, weights):
    found = [torch.zeros_like(g) for g in gradients[0]]
    for weight, shard in zip(weights, gradients):
        found = [f + weight * g for f, g in zip(found, shard)]
    return found


@again("average_gradients", "the gradients are added")
def _(gradients, rows):
    return _each(gradients, [1] * len(rows))


@again("average_gradients", "every shard counts the same")
def _(gradients, rows):
    return [torch.stack(shards).mean(dim=0) for shards in zip(*gradients)]


@again("average_gradients", "it is not divided by the number of rows")
def _(gradients, rows):
    return _each(gradients, rows)


@again("average_gradients", "it is divided by the number of shards")
def _(gradients, rows):
    return _each(gradients, [n / len(rows) for n in rows])


def _requests(events):
    """Of each segment that was taken: its worker, and at which events it was asked and taken."""
    for k, (what, worker) in enumerate(events):
        if what == "take":
            nth = sum(event == ("take", worker) for event in events[:k])
            asked = [j for j, event in enumerate(events) if event == ("send", worker)][nth]
            yield worker, asked, k


def _between(events, first, last, what="update"):
    return sum(event == what for event, _ in events[first:last])


@again("staleness", "every policy counts as the newest")
def _(events):
    return [0 for _ in _requests(events)]


@again("staleness", "it counts one too many")
def _(events):
    return [_between(events, asked, taken) + 1 for _, asked, taken in _requests(events)]


@again("staleness", "it is the number of the version")
def _(events):
    return [_between(events, 0, asked) for _, asked, _ in _requests(events)]


@again("staleness", "the sign is turned round")
def _(events):
    return [-_between(events, asked, taken) for _, asked, taken in _requests(events)]


def _line(workers, seconds):
    b, a = np.polyfit(1 / workers, seconds, 1)
    return a, b


@again("serial_share", "it is the share that more workers shorten")
def _(workers, seconds):
    a, b = _line(workers, seconds)
    return 1 - a / (a + b)


@again("serial_share", "it is divided by what is shared out")
def _(workers, seconds):
    a, b = _line(workers, seconds)
    return a / b


@again("serial_share", "the seconds are fitted over n")
def _(workers, seconds):
    b, a = np.polyfit(workers, seconds, 1)
    return a / (a + b)


@again("serial_share", "the longest time is taken for the whole")
def _(workers, seconds):
    return _line(workers, seconds)[0] / max(seconds)


@again("valid_rows", "the rows that are kept are those of the environment's own array")
def _(observation, steps, ghost):
    pairs, skip = [], ghost.copy()
    for after, ended in steps:
        pairs += [(observation[b], after[b]) for b in range(len(skip)) if not skip[b]]
        observation, skip = after, ended.copy()
    table = np.array(pairs).reshape(-1, 2, observation.shape[1])
    return table[:, 0], table[:, 1]
