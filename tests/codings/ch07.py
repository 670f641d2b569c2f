"""Other codings of the mistakes of chapter 07."""

from __future__ import annotations

import torch

from codings import again


def _rows(rule):
    """A function of a row and of the value of the state that its step led to, over the table."""

    def over(rewards, values, end, terminated, gamma):
        found = torch.zeros_like(rewards)
        for t in range(len(rewards)):
            if not end[t]:
                found[t] = rule(t, rewards, values, end, terminated, gamma)
        return found

    return over


@again("td_error", "a state after which nothing comes still has a value")
@_rows
def _(t, rewards, values, end, terminated, gamma):
    return rewards[t] + gamma * values[t + 1].detach() - values[t]


@again("td_error", "an episode that was cut is taken for one that terminated")
@_rows
def _(t, rewards, values, end, terminated, gamma):
    going_on = 1.0 - end[t + 1].float()
    return rewards[t] + gamma * going_on * values[t + 1].detach() - values[t]


@again("td_error", "the sign is turned round")
@_rows
def _(t, rewards, values, end, terminated, gamma):
    ahead = 0.0 if terminated[t + 1] else values[t + 1].detach()
    return values[t] - (rewards[t] + gamma * ahead)


@again("td_error", "nothing is discounted")
@_rows
def _(t, rewards, values, end, terminated, gamma):
    ahead = 0.0 if terminated[t + 1] else values[t + 1].detach()
    return rewards[t] + ahead - values[t]


def _backwards(rewards, values, end, terminated, gamma, n, bootstrap=True, over=None):
    """By recursion: the return with n rewards, from that of the next row with n - 1."""
    over = terminated if over is None else over

    def value(t, left, ahead):
        if end[t] or left == 0:
            return 0.0 if over[t] or not bootstrap else ahead * values[t]
        return rewards[t] * gamma_of(ahead) + value(t + 1, left - 1, ahead * gamma)

    def gamma_of(ahead):
        return ahead

    n = len(rewards) if n is None else n
    return torch.stack([torch.as_tensor(value(t, n, 1.0)) for t in range(len(rewards))]).to(values)


@again("n_step_returns", "there are n - 1 rewards in the sum")
def _(rewards, values, end, terminated, gamma, n=None):
    n = len(rewards) + 1 if n is None else n
    return _backwards(rewards, values, end, terminated, gamma, n - 1)


@again("n_step_returns", "an episode that was cut is taken for one that terminated")
def _(rewards, values, end, terminated, gamma, n=None):
    return _backwards(rewards, values, end, terminated, gamma, n, over=end)


@again("n_step_returns", "there is no value at the end of the sum")
def _(rewards, values, end, terminated, gamma, n=None):
    return _backwards(rewards, values, end, terminated, gamma, n, bootstrap=False)


@again("n_step_returns", "a state after which nothing comes still has a value")
def _(rewards, values, end, terminated, gamma, n=None):
    return _backwards(rewards, values, end, torch.zeros_like(end), gamma, n)


def _deltas(rewards, values, end, over, gamma):
    """TD errors, with 0 for the value of rows that are `over`."""
    v = values * (~over).to(values)
    ahead = torch.cat([v[1:], v[:1]])
    return (rewards + gamma * ahead - v) * (~end).to(v)


def _summed(deltas, end, decay):
    """The sum from each row to the end of its episode, by a matrix."""
    episode = end.cumsum(0) - end.long()
    ahead = torch.arange(len(end)) - torch.arange(len(end))[:, None]
    within = (ahead >= 0) & (episode == episode[:, None])
    return torch.where(within, decay ** ahead.clamp(min=0), 0.0).to(deltas) @ deltas


@again("gae", "advantages leak through an episode that was cut into the one before")
def _(rewards, values, end, terminated, gamma, gae_lambda):
    v = values * (~terminated).to(values)
    deltas = rewards[:-1] + gamma * v[1:] - v[:-1]
    found = [torch.zeros_like(v[0])]
    for delta, over in zip(deltas.flip(0), terminated[:-1].flip(0)):
        found.append(delta * 0 if over else delta + gamma * gae_lambda * found[-1])
    return torch.stack(found).flip(0)


@again("gae", "an episode that was cut is taken for one that terminated")
def _(rewards, values, end, terminated, gamma, gae_lambda):
    return _summed(_deltas(rewards, values, end, end, gamma), end, gamma * gae_lambda)


@again("gae", "a state after which nothing comes still has a value")
def _(rewards, values, end, terminated, gamma, gae_lambda):
    never = torch.zeros_like(end)
    return _summed(_deltas(rewards, values, end, never, gamma), end, gamma * gae_lambda)


@again("gae", "λ is missing")
def _(rewards, values, end, terminated, gamma, gae_lambda):
    return _summed(_deltas(rewards, values, end, terminated, gamma), end, gamma)


@again("gae", "γ is missing in the carry")
def _(rewards, values, end, terminated, gamma, gae_lambda):
    return _summed(_deltas(rewards, values, end, terminated, gamma), end, gae_lambda)


@again("gae", "the sign is turned round")
def _(rewards, values, end, terminated, gamma, gae_lambda):
    return -_summed(_deltas(rewards, values, end, terminated, gamma), end, gamma * gae_lambda)


@again("lambda_weights", "the weights do not add up to 1")
def _(steps, gae_lambda):
    return torch.tensor([(1 - gae_lambda) * gae_lambda**k for k in range(steps)])


@again("lambda_weights", "1 - λ is missing")
def _(steps, gae_lambda):
    return torch.tensor([float(gae_lambda**k) for k in range(steps)])


@again("lambda_weights", "what is left over is spread over all of them")
def _(steps, gae_lambda):
    weights = [gae_lambda**k for k in range(steps)]
    return torch.tensor([one / sum(weights) for one in weights])


@again("lambda_weights", "the order is turned round")
def _(steps, gae_lambda):
    weights = [(1 - gae_lambda) * gae_lambda**k for k in range(steps - 1)]
    return torch.tensor([gae_lambda ** (steps - 1) * 1.0, *reversed(weights)])


def _column_by_column(rule):
    """A function of one environment's columns, each by itself."""

    def over(rewards, values, terminated, truncated, gamma, gae_lambda):
        columns = []
        for b in range(rewards.shape[1]):
            column = rewards[:, b], values[:, b], terminated[:, b], truncated[:, b]
            columns.append(rule(*column, gamma, gae_lambda))
        return torch.stack(columns, dim=1)

    return over


@again("gae_side_by_side", "a cut is taken for a death")
@_column_by_column
def _(rewards, values, terminated, truncated, gamma, gae_lambda):
    found, carry = torch.zeros_like(rewards), 0.0
    for t in range(len(rewards) - 1, -1, -1):
        alive = 0.0 if terminated[t] or truncated[t] else 1.0
        carry = rewards[t] + alive * gamma * (values[t + 1] + gae_lambda * carry) - values[t]
        if t == 0 or not (terminated[t - 1] or truncated[t - 1]):
            found[t] = carry
    return found


@again("gae", "what is carried is never reset")
def _(rewards, values, end, terminated, gamma, gae_lambda):
    advantages, last = torch.zeros_like(values), 0.0
    for t in reversed(range(len(rewards))):
        if end[t]:
            continue
        ahead = 0.0 if terminated[t + 1] else values[t + 1]
        last = rewards[t] + gamma * ahead - values[t] + gamma * gae_lambda * last
        advantages[t] = last
    return advantages


@again("n_step_returns", "the sum runs on into the next episode")
def _(rewards, values, end, terminated, gamma, n=None):
    found, n = [], len(rewards) if n is None else n
    for t in range(len(rewards)):
        k = min(t + n, len(rewards) - 1)
        ahead = 0.0 if terminated[k] else values[k]
        found.append(
            sum(gamma**i * rewards[t + i] for i in range(k - t)) + gamma ** (k - t) * ahead
        )
    return torch.stack([torch.as_tensor(x) for x in found]).to(values)


@again("n_step_returns", "there is a value only where the episode's end has been reached")
def _(rewards, values, end, terminated, gamma, n=None):
    found, n = [], len(rewards) if n is None else n
    for t in range(len(rewards)):
        total, k = 0.0 * rewards[t], t
        while not end[k] and k - t < n:
            total, k = total + gamma ** (k - t) * rewards[k], k + 1
        reached = bool(end[k]) and not terminated[k]
        found.append(total + (gamma ** (k - t) * values[k] if reached else 0.0))
    return torch.stack(found)


@again("lambda_weights", "all weights are scaled until they add up to 1")
def _(steps, gae_lambda):
    weights = torch.tensor([(1 - gae_lambda) * gae_lambda**k for k in range(steps)])
    return weights / weights.sum()
