"""Other codings of the mistakes of chapter 10."""

from __future__ import annotations

import torch

from codings import again


def _one_by_one(q, epsilon, decide, anything):
    """Row by row, with Python's `if`."""
    each = torch.as_tensor(epsilon).expand(len(q)).tolist()
    chosen = []
    for row, e in zip(q, each):
        best = int(row.argmax())
        chosen.append(anything(len(row), best) if decide(e) else best)
    return torch.tensor(chosen)


def _any(actions, best):
    return int(torch.randint(actions, ()))


@again("epsilon_greedy", "it explores where it should not, and the other way round")
def _(q, epsilon):
    return _one_by_one(q, epsilon, lambda e: float(torch.rand(())) < 1 - e, _any)


@again("epsilon_greedy", "one draw decides for the whole batch")
def _(q, epsilon):
    drawn = float(torch.rand(()))
    return _one_by_one(q, epsilon, lambda e: drawn < e, _any)


@again("epsilon_greedy", "the best action is left out when it explores")
def _(q, epsilon):
    def another(actions, best):
        others = [a for a in range(actions) if a != best]
        return others[int(torch.randint(len(others), ()))]

    return _one_by_one(q, epsilon, lambda e: float(torch.rand(())) < e, another)


@again("epsilon_greedy", "nothing is explored")
def _(q, epsilon):
    torch.rand(())
    return q.max(dim=1).indices


@again("td_target", "termination is ignored")
def _(rewards, next_values, terminated, truncated, gamma):
    return rewards + gamma * next_values.detach()


@again("td_target", "what comes next is not discounted")
def _(rewards, next_values, terminated, truncated, gamma):
    return rewards + next_values.detach() * (~terminated).to(next_values)


@again("td_target", "the largest value of the batch is used for all rows")
def _(rewards, next_values, terminated, truncated, gamma):
    return rewards + gamma * next_values.detach().max() * (~terminated).to(next_values)


@again("td_target", "only the reward is learned")
def _(rewards, next_values, terminated, truncated, gamma):
    return rewards.clone()


@again("double_q_value", "the target network chooses, too")
def _(q_online, q_target):
    return q_target.detach().amax(dim=1)


@again("double_q_value", "the online network judges its own choice")
def _(q_online, q_target):
    return q_online.detach().max(dim=1).values


@again("double_q_value", "the roles are exchanged")
def _(q_online, q_target):
    rows = torch.arange(len(q_online))
    return q_online.detach()[rows, q_target.argmax(1)]


@again("double_q_value", "the worst action is chosen")
def _(q_online, q_target):
    return torch.stack([t[o.argmin()] for o, t in zip(q_online, q_target.detach())])


def _windows(drawn, end, size, length, goes_on):
    rows, lengths = [], []
    for first in drawn.tolist():
        if first >= size or end[first]:
            continue
        window = [first]
        while len(window) < length and goes_on(window[-1]):
            window.append((window[-1] + 1) % len(end))
        rows += window
        lengths.append(len(window))
    return torch.tensor(rows, dtype=torch.long), torch.tensor(lengths, dtype=torch.long)


@again("replay_indices", "windows run across the end of an episode")
def _(drawn, end, size, length):
    return _windows(drawn, end, size, length, lambda row: True)


@again("replay_indices", "the windows stop at the seam of the ring")
def _(drawn, end, size, length):
    return _windows(
        drawn, end, size, length, lambda row: not end[row] and row + 1 < len(end)
    )  # fmt: skip


@again("replay_indices", "the windows have a row too few")
def _(drawn, end, size, length):
    return _windows(drawn, end, size, length - 1, lambda row: not end[row])


@again("replay_indices", "the windows have a row too many")
def _(drawn, end, size, length):
    return _windows(drawn, end, size, length + 1, lambda row: not end[row])


def _rows(values, returns):
    return list(zip(values, returns.tolist()))


@again("huber_loss", "large negative errors are squared")
def _(values, returns, delta):
    rows = [
        (v - g) ** 2 / 2 if (v - g).item() < delta else delta * (v - g - delta / 2)
        for v, g in _rows(values, returns)
    ]
    return torch.stack(rows).mean()


@again("huber_loss", "the error is clipped before it is squared")
def _(values, returns, delta):
    return (values - returns.detach()).square().div(2).clamp(max=delta**2 / 2).mean()


@again("huber_loss", "it is squared everywhere")
def _(values, returns, delta):
    return torch.nn.functional.mse_loss(values, returns.detach()) / 2


@again("huber_loss", "it is straight everywhere")
def _(values, returns, delta):
    return delta * ((values - returns.detach()).abs().mean() - delta / 2)


def _weighed(chances, beta):
    weights = [chance**-beta for chance in chances.tolist()]
    return chances, chances.new_tensor(weights) / max(weights)


@again("priorities", "the sign of the error counts")
def _(errors, alpha, beta):
    size = (errors + 0.01).pow(alpha)
    return _weighed(size / size.sum(), beta)


@again("priorities", "alpha is left out")
def _(errors, alpha, beta):
    size = errors.abs() + 0.01
    return _weighed(size / size.sum(), beta)


@again("priorities", "the weights are not scaled")
def _(errors, alpha, beta):
    size = (errors.abs() + 0.01).pow(alpha)
    chances = size / size.sum()
    return chances, 1 / chances.pow(beta)
