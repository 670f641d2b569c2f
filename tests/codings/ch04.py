"""Other codings of the mistakes of chapter 04."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from codings import again


def _one_by_one(h, x, w_x, w_h, b_x, b_h, finish):
    """The same for one unit of the state after the other: `finish` makes the unit's next state."""
    size, units = h.shape[1], []
    for k in range(size):
        xs = [x @ w_x[g * size + k] + b_x[g * size + k] for g in range(3)]
        hs = [h @ w_h[g * size + k] + b_h[g * size + k] for g in range(3)]
        units.append(finish(h[:, k], *xs, *hs))
    return torch.stack(units, 1)


def _unroll(step, h0: Tensor, states: Tensor, start: Tensor) -> Tensor:
    """The recurrent state entering each row of a table: (N, H).

    `states` (N, F) holds episodes back to back, `start` (N,) is True in the first row of each. An
    episode begins with `h0` (H,); `step(h, state)` gives the state after a row."""
    entering, h = [], h0
    for state, first in zip(states, start):
        h = h0 if first else h
        entering.append(h)
        h = step(h, state)
    return torch.stack(entering)


@again("gru_step", "the update gate is inverted")
def _(h, x, w_x, w_h, b_x, b_h):
    def finish(old, x_r, x_z, x_n, h_r, h_z, h_n):
        candidate = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return old + torch.sigmoid(x_z + h_z) * (candidate - old)

    return _one_by_one(h, x, w_x, w_h, b_x, b_h, finish)


@again("gru_step", "the candidate is returned as the next state")
def _(h, x, w_x, w_h, b_x, b_h):
    def finish(old, x_r, x_z, x_n, h_r, h_z, h_n):
        return torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)

    return _one_by_one(h, x, w_x, w_h, b_x, b_h, finish)


@again("gru_step", "the reset gate is missing")
def _(h, x, w_x, w_h, b_x, b_h):
    def finish(old, x_r, x_z, x_n, h_r, h_z, h_n):
        z = torch.sigmoid(x_z + h_z)
        return z * old + torch.tanh(x_n + h_n) - z * torch.tanh(x_n + h_n)

    return _one_by_one(h, x, w_x, w_h, b_x, b_h, finish)


@again("gru_step", "the reset gate is applied to h before its weights")
def _(h, x, w_x, w_h, b_x, b_h):
    size, units = h.shape[1], []
    r = torch.sigmoid(x @ w_x[:size].T + b_x[:size] + h @ w_h[:size].T + b_h[:size])
    for k in range(size):
        a, b = size + k, 2 * size + k  # rows of the update gate and of the candidate
        z = torch.sigmoid(x @ w_x[a] + b_x[a] + h @ w_h[a] + b_h[a])
        n = torch.tanh(x @ w_x[b] + b_x[b] + (r * h) @ w_h[b] + b_h[b])
        units.append(n + z * (h[:, k] - n))
    return torch.stack(units, 1)


@again("gru_step", "the two gates are exchanged")
def _(h, x, w_x, w_h, b_x, b_h):
    def finish(old, x_r, x_z, x_n, h_r, h_z, h_n):
        n = torch.tanh(x_n + torch.sigmoid(x_z + h_z) * h_n)
        return torch.lerp(n, old, torch.sigmoid(x_r + h_r))

    return _one_by_one(h, x, w_x, w_h, b_x, b_h, finish)


@again("forget", "all environments forget when one of them is reset")
def _(recur_state, fresh):
    for one in fresh.tolist():
        if one:
            return torch.zeros_like(recur_state)
    return recur_state


@again("forget", "the wrong ones forget")
def _(recur_state, fresh):
    rows = [h if one else torch.zeros_like(h) for h, one in zip(recur_state, fresh.tolist())]
    return torch.stack(rows)


@again("forget", "nobody forgets")
def _(recur_state, fresh):
    return torch.stack([h * 1.0 for h in recur_state])


@again("forget", "it changes the state it was given")
def _(recur_state, fresh):
    for row, one in enumerate(fresh.tolist()):
        if one:
            recur_state[row].zero_()
    return recur_state


@again("forget", "the gradient is cut for everybody")
def _(recur_state, fresh):
    rows = [h.data * (0.0 if one else 1.0) for h, one in zip(recur_state, fresh.tolist())]
    return torch.stack(rows)


@again("unroll", "the state after the row is stored as the state entering it")
def _(step, h0, states, start):
    entering = _unroll(step, h0, states, start)
    return torch.stack([step(h, state) for h, state in zip(entering, states)])


@again("unroll", "the state is detached at every step")
def _(step, h0, states, start):
    with torch.no_grad():
        known = _unroll(step, h0, states, start)
    after = torch.stack([step(h, state) for h, state in zip(known, states)]).roll(1, 0)
    return torch.where(start[:, None], h0, after)


@again("unroll", "every row starts afresh")
def _(step, h0, states, start):
    after = torch.stack([step(h0, state) for state in states]).roll(1, 0)
    return torch.where(start[:, None], h0, after)


@again("unroll", "the memory runs on from one episode into the next")
def _(step, h0, states, start):
    return _unroll(step, h0, states, torch.arange(len(states)) == 0)


@again("unroll", "it forgets one row too late")
def _(step, h0, states, start):
    resets = torch.cat([torch.ones(1).bool(), start[:-1]])
    return _unroll(step, h0, states, resets)


@again("unroll", "it forgets one row too early")
def _(step, h0, states, start):
    resets = start.roll(-1)
    return _unroll(step, h0, states, resets)


def _slopes(policy, states, detach):
    rows = [state.clone().requires_grad_() for state in states]
    h = None
    for row in rows:
        if detach and h is not None:
            h = h.detach()
        h, dist, *_ = policy(h, row[None])
    score = dist.log_prob(torch.zeros(1).long()).sum()
    found = torch.autograd.grad(score, rows, allow_unused=True)
    return [torch.zeros_like(row) if g is None else g for row, g in zip(rows, found)]


@again("influence", "the memory is detached")
def _(policy, states):
    return torch.stack([g.square().sum().sqrt() for g in _slopes(policy, states, True)])


@again("influence", "the slope is squared")
def _(policy, states):
    return torch.stack([g @ g for g in _slopes(policy, states, False)])


@again("influence", "absolute values are added up")
def _(policy, states):
    return torch.stack([sum(abs(x) for x in g) for g in _slopes(policy, states, False)])


def _vectorize(episodes: list[list[tuple]]) -> tuple[Tensor, Tensor | None]:
    """States (N, *obs) and recurrent states (N, H) of all rows, or None if no row has one.

    Each episode is a list of rows (state, recurrent state); None stands for zeros."""
    rows = [row for episode in episodes for row in episode]
    states = torch.stack([state for state, _ in rows])
    known = [recur for _, recur in rows if recur is not None]
    if not known:
        return states, None
    zeros = torch.zeros_like(known[0])
    return states, torch.stack([zeros if recur is None else recur for _, recur in rows])


def _flat(episodes):
    return list(itertools.chain.from_iterable(episodes))


@again("vectorize", "the rows are sorted by time, not by episode")
def _(episodes):
    longest = max(map(len, episodes))
    rows = [episode[t] for t in range(longest) for episode in episodes if t < len(episode)]
    return _vectorize([rows])


@again("vectorize", "the recurrent states are lost")
def _(episodes):
    return torch.cat([torch.stack([row[0] for row in episode]) for episode in episodes]), None


@again("vectorize", "every row gets zeros for its recurrent state")
def _(episodes):
    rows = _flat(episodes)
    states = torch.stack([state for state, _ in rows])
    size = next((len(recur) for _, recur in rows if recur is not None), 0)
    return states, torch.zeros(len(rows), size) if size else None


@again("vectorize", "it fails where the recurrent state is None")
def _(episodes):
    states, memories = map(list, zip(*_flat(episodes)))
    some = any(memory is not None for memory in memories)
    return torch.stack(states), torch.cat([m[None] for m in memories]) if some else None


@again("vectorize", "it asks the first row whether there is any memory")
def _(episodes):
    rows = _flat(episodes)
    states, recur = torch.stack([row[0] for row in rows]), None
    if rows[0][1] is not None:
        zeros = torch.zeros_like(rows[0][1])
        recur = torch.stack([zeros if row[1] is None else row[1] for row in rows])
    return states, recur


@again("vectorize", "fresh rows have no row among the recurrent states")
def _(episodes):
    states, known = [], []
    for episode in episodes:
        for state, recur in episode:
            states.append(state)
            if recur is not None:
                known.append(recur)
    return torch.stack(states), torch.stack(known) if len(known) else None
