"""Other codings of the mistakes of chapter 06."""

from __future__ import annotations

import torch

from codings import again


@again("baselined_loss", "every return meets every value")
def _(logprobs, returns, values):
    average = sum(values.flatten().tolist()) / len(values)
    total = 0.0
    for logprob, g in zip(logprobs, returns.tolist()):
        total = total - logprob * (g - average)
    return total / len(logprobs)


@again("baselined_loss", "a gradient flows into the values")
def _(logprobs, returns, values):
    return -sum(p * (g - v) for p, g, v in zip(logprobs, returns, values[:, 0])) / len(logprobs)


@again("baselined_loss", "the values are not used")
def _(logprobs, returns, values):
    return -(logprobs @ returns) / len(logprobs)


@again("baselined_loss", "the sign is turned round")
def _(logprobs, returns, values):
    return (logprobs * (returns - values.detach().flatten())).mean()


@again("value_loss", "the values carry no gradient any more")
def _(values, returns, deviation):
    pairs = zip(values.tolist(), returns)
    return sum(((v - g) / deviation) ** 2 for v, g in pairs) / len(values)


@again("value_loss", "the deviation is not used")
def _(values, returns, deviation):
    return torch.nn.functional.mse_loss(values, returns.detach())


@again("value_loss", "the values are compared with normalised returns")
def _(values, returns, deviation):
    spread, mean = torch.std_mean(returns.detach(), correction=0)
    targets = (returns.detach() - mean) / (spread + 1e-8)
    return ((values - targets) ** 2).mean() / deviation**2


@again("value_loss", "every value meets every return")
def _(values, returns, deviation):
    losses = [(((v - returns.detach()) / deviation) ** 2).mean() for v in values]
    return sum(losses) / len(losses)


def _variance(numbers):
    mean = sum(numbers) / len(numbers)
    return sum((x - mean) ** 2 for x in numbers) / len(numbers)


def _share(values, returns, top, below):
    """1 - top / below, as a tensor of the returns' dtype; 0 if the returns do not vary."""
    if len(set(returns.tolist())) < 2:
        return torch.zeros_like(returns.sum())
    share = top / below if below else float("-inf") if top else float("nan")
    return torch.tensor(1 - share, dtype=returns.dtype)


@again("explained_variance", "the squared error stands where a variance belongs")
def _(values, returns):
    v, g = values.tolist(), returns.tolist()
    errors = sum((b - a) ** 2 for a, b in zip(v, g)) / len(g)
    return _share(values, returns, errors, _variance(g))


@again("explained_variance", "the fraction is turned upside down")
def _(values, returns):
    values = values.detach()
    if len(set(returns.tolist())) < 2:
        return torch.zeros_like(returns.sum())
    left = returns - values
    return 1 - ((returns - returns.mean()) ** 2).sum() / ((left - left.mean()) ** 2).sum()


@again("explained_variance", "it cannot fall below 0")
def _(values, returns):
    v, g = values.tolist(), returns.tolist()
    left = [b - a for a, b in zip(v, g)]
    share = _share(values, returns, _variance(left), _variance(g))
    return share if share > 0 else torch.zeros_like(share)


@again("explained_variance", "the 1 is left out")
def _(values, returns):
    v, g = values.tolist(), returns.tolist()
    if len(set(g)) < 2:
        return torch.zeros_like(returns.sum())
    left = _variance([b - a for a, b in zip(v, g)])
    return torch.tensor(left / _variance(g), dtype=returns.dtype)


@again("optimal_baseline", "it is the plain mean of the returns")
def _(scores, returns):
    return torch.tensor(sum(returns.tolist()) / len(returns), dtype=returns.dtype)


@again("optimal_baseline", "the weights are lengths, not their squares")
def _(scores, returns):
    lengths = [float((s * s).sum()) ** 0.5 for s in scores]
    if not any(lengths):
        return returns.mean()
    return sum(w * g for w, g in zip(lengths, returns)) / sum(lengths)


@again("optimal_baseline", "scores that are all 0 give NaN")
def _(scores, returns):
    weights = torch.stack([(s * s).sum() for s in scores])
    return (weights / weights.sum() * returns).sum()


@again("baseline_per_parameter", "the weights are not squared")
def _(scores, returns):
    return torch.stack(
        [
            sum(abs(s) * g for s, g in zip(column, returns)) / column.abs().sum()
            if column.any()
            else returns.mean()
            for column in scores.T
        ]
    )


@again("baseline_per_parameter", "every parameter gets the same baseline")
def _(scores, returns):
    weights = [float((s * s).sum()) for s in scores]
    if not any(weights):
        return returns.mean().repeat(scores.shape[1])
    one = sum(w * g for w, g in zip(weights, returns)) / sum(weights)
    return one.repeat(scores.shape[1])


@again("baseline_per_parameter", "a parameter whose scores are all 0 gives NaN")
def _(scores, returns):
    return torch.stack([(c * c * returns).sum() / (c * c).sum() for c in scores.T])


@again("leave_one_out", "the row's own return is among them")
def _(returns, group):
    found = [returns[group == g].mean() for g in group]
    return torch.stack(found) if found else returns.clone()


@again("leave_one_out", "the groups are not used")
def _(returns, group):
    n = len(returns)
    return (returns.sum() - returns) / (n - 1) if n > 1 else torch.zeros_like(returns)


@again("leave_one_out", "a row alone in its group gives NaN")
def _(returns, group):
    baseline = torch.empty_like(returns)
    for i in range(len(returns)):
        others = [returns[k] for k in range(len(returns)) if k != i and group[k] == group[i]]
        baseline[i] = sum(others) / len(others) if others else float("nan")
    return baseline
