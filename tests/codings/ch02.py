"""Other codings of the mistakes of chapter 02."""

from __future__ import annotations

import functools
import itertools

import torch

from codings import again

COLUMNS = ("states", "actions", "rewards", "end", "terminated")


def _append(table, state, action, reward, next_state, terminated, truncated) -> None:
    """Add one step to `table`, a dict of lists, and the end row if the episode is over."""

    def row(state, action, reward, end, terminated):
        for name, entry in zip(COLUMNS, (state.copy(), action, reward, end, terminated)):
            table[name].append(entry)

    row(state, action, reward, False, False)
    if terminated or truncated:
        row(next_state, action, 0.0, True, terminated)


def _rows(table, *rows):
    for row in rows:
        for name, entry in zip(COLUMNS, row):
            table[name].append(entry)


def _by_episode(one):
    """A function of one episode's rewards, over the table."""

    @functools.wraps(one)
    def over(rewards, end, gamma):
        borders = [0, *(end.nonzero().flatten() + 1).tolist()]
        return torch.cat([one(rewards[a:b], gamma) for a, b in itertools.pairwise(borders)])

    return over


def _ranges(lengths, before: int, after: int) -> list[int]:
    """Rows of the table, without so many at each episode's beginning and end."""
    rows, first = [], 0
    for length in lengths:
        rows += range(first + before, first + length - after)
        first += length
    return rows


@again("append", "the observations are not copied")
def _(table, state, action, reward, next_state, terminated, truncated):
    over = terminated or truncated
    table["states"] += [state, next_state] if over else [state]
    table["actions"] += [action] * (1 + over)
    table["rewards"] += [reward, 0.0] if over else [reward]
    table["end"] += [False, True] if over else [False]
    table["terminated"] += [False, terminated] if over else [False]


@again("append", "each reward stands one row too late")
def _(table, state, action, reward, next_state, terminated, truncated):
    _append(table, state, action, reward, next_state, terminated, truncated)
    if table["end"][-1]:
        steps = 1
        while len(table["end"]) > steps and not table["end"][-1 - steps]:
            steps += 1
        rewards = table["rewards"][-steps:]
        table["rewards"][-steps:] = [rewards[-1], *rewards[:-1]]


@again("append", "the end row is missing")
def _(table, state, action, reward, next_state, terminated, truncated):
    _append(table, state, action, reward, next_state, False, False)


@again("append", "only a termination gets an end row")
def _(table, state, action, reward, next_state, terminated, truncated):
    _rows(table, (state.copy(), action, reward, False, False))
    if terminated:
        _rows(table, (next_state.copy(), action, 0.0, True, True))


@again("append", "a truncation is written down as a termination")
def _(table, state, action, reward, next_state, terminated, truncated):
    _rows(table, (state.copy(), action, reward, False, False))
    if terminated or truncated:
        _rows(table, (next_state.copy(), action, 0.0, True, True))


@again("append", "it stores the next observation beside the action")
def _(table, state, action, reward, next_state, terminated, truncated):
    _rows(table, (next_state.copy(), action, reward, False, False))
    if terminated or truncated:
        _rows(table, (next_state.copy(), action, 0.0, True, terminated))


@again("discounted_returns", "returns leak from one episode into the one before")
def _(rewards, end, gamma):
    ahead = torch.arange(len(rewards)) - torch.arange(len(rewards))[:, None]
    return torch.where(ahead >= 0, gamma ** ahead.clamp(min=0), 0.0) @ rewards


@again("discounted_returns", "every row gets the return of its whole episode")
def _(rewards, end, gamma):
    returns, first = torch.zeros(len(rewards)), 0
    for row in range(len(rewards)):
        if end[row]:
            total = sum(gamma**k * rewards[first + k] for k in range(row + 1 - first))
            returns[first : row + 1] = total
            first = row + 1
    return returns


@again("discounted_returns", "the discount counts from the start of the episode")
@_by_episode
def _(rewards, gamma):
    n = len(rewards)
    return torch.tensor([sum(gamma**k * float(rewards[k]) for k in range(t, n)) for t in range(n)])


@again("discounted_returns", "the row's own reward is left out")
def _(rewards, end, gamma):
    returns, later = torch.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        later = 0.0 if end[t] else gamma * (rewards[t + 1] + later)
        returns[t] = later
    return returns


@again("discounted_returns", "nothing is discounted")
def _(rewards, end, gamma):
    later, returns = 0.0, []
    for reward, last in zip(reversed(rewards.tolist()), reversed(end.tolist())):
        later = reward if last else reward + later
        returns.append(later)
    return torch.tensor(returns[::-1])


@again("discounted_returns", "it adds up from the wrong end")
def _(rewards, end, gamma):
    so_far, returns = 0.0, []
    for t in range(len(rewards)):
        so_far = rewards[t] + (0.0 if t == 0 or end[t - 1] else gamma * so_far)
        returns.append(so_far)
    return torch.stack(returns)


@again("drop_last", "only the table's last row is dropped")
def _(column, lengths, n):
    parts = list(column.split(lengths))
    parts[-1] = parts[-1][:-n]
    return torch.cat(parts), [len(part) for part in parts if len(part)]


@again("drop_last", "each episode loses one row more")
def _(column, lengths, n):
    return column[_ranges(lengths, 0, n + 1)], [k - n - 1 for k in lengths if k > n + 1]


@again("drop_last", "the episodes are joined without a border")
def _(column, lengths, n):
    rows = _ranges(lengths, 0, n)
    return column[rows], [sum(max(length - n, 0) for length in lengths)]


@again("drop_last", "the lengths are still the old ones")
def _(column, lengths, n):
    return column[_ranges(lengths, 0, n)], list(lengths)


@again("drop_last", "each episode loses its first rows")
def _(column, lengths, n):
    return column[_ranges(lengths, n, 0)], [length - n for length in lengths if length > n]


@again("drop_last", "an episode without rows is still counted")
def _(column, lengths, n):
    parts = [part[:-n] for part in torch.split(column, lengths)]
    return torch.cat(parts), list(map(len, parts))


@again("pad", "episodes stand in columns")
def _(column, lengths):
    mask = torch.arange(max(lengths))[:, None] < torch.tensor(lengths)
    return torch.nn.utils.rnn.pad_sequence(column.split(lengths)), mask


@again("pad", "the mask asks which numbers are 0")
def _(column, lengths):
    table = torch.nn.utils.rnn.pad_sequence(column.split(lengths), batch_first=True)
    return table, table.bool()


@again("pad", "the rectangle is as wide as the table is long")
def _(column, lengths):
    table, mask = (
        column.new_zeros(len(lengths), len(column)),
        torch.zeros(len(lengths), len(column), dtype=torch.bool),
    )
    first = 0
    for episode, length in enumerate(lengths):
        table[episode, :length] = column[first : first + length]
        mask[episode, :length] = True
        first += length
    return table, mask
