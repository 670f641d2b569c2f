"""Other codings of the mistakes of chapter 09."""

from __future__ import annotations

import math

import torch

from codings import again


def _row_by_row(rule):
    """Weights, each made of two numbers, and then clipped."""

    def over(logprobs, behaviour_logprobs, clip):
        pairs = zip(logprobs.tolist(), behaviour_logprobs.tolist())
        found = [rule(math.exp(a), math.exp(b)) for a, b in pairs]
        return logprobs.new_tensor([x if clip is None else min(x, clip) for x in found])

    return over


again("importance_weights", "the weight is upside down")(_row_by_row(lambda pi, mu: mu / pi))
again(
    "importance_weights",
    "log-probabilities are divided as if they were probabilities",
)(
    lambda logprobs, behaviour_logprobs, clip: (
        (logprobs / behaviour_logprobs).detach()
        if clip is None
        else torch.minimum(logprobs / behaviour_logprobs, torch.tensor(clip)).detach()
    )
)
again("importance_weights", "every weight is 1: μ is not what it was")(
    _row_by_row(lambda pi, mu: pi / pi)
)


@again("importance_weights", "a weight is the product of all up to its row")
def _(logprobs, behaviour_logprobs, clip):
    found, product = [], 1.0
    for a, b in zip(logprobs.detach().double(), behaviour_logprobs.detach().double()):
        product = product * (a - b).exp()
        found.append(product if clip is None else product.clamp(max=clip))
    return torch.stack(found).to(logprobs.dtype)


@again("importance_weights", "nothing is clipped")
def _(logprobs, behaviour_logprobs, clip):
    return logprobs.detach().exp() / behaviour_logprobs.detach().exp()


@again("effective_sample_size", "it is a share of the rows")
def _(weights):
    share = weights / weights.sum() if weights.any() else weights
    squares = share.square().sum() * len(weights)
    return 1 / squares if weights.any() else squares


@again("effective_sample_size", "it is the sum over the largest weight")
def _(weights):
    return (weights / weights.max()).sum() if weights.any() else weights.sum()


@again("effective_sample_size", "it is the number of rows that have a weight")
def _(weights):
    return weights.new_tensor(float(torch.count_nonzero(weights)))


def _sum(rule):
    """A loss, row by row; all but the log-probabilities are plain numbers."""

    def over(logprobs, weights, returns, baseline):
        columns = (column.tolist() for column in (weights, returns, baseline))
        return -sum(rule(w, g, b) * x for x, w, g, b in zip(logprobs, *columns)) / len(logprobs)

    return over


again("weighted_loss", "the baseline is outside the weight")(_sum(lambda w, g, b: w * g - b))
again("weighted_loss", "only the baseline is weighted")(_sum(lambda w, g, b: g - w * b))
again("weighted_loss", "the weights are not used")(_sum(lambda w, g, b: g - b))
again("weighted_loss", "the baseline is not subtracted")(_sum(lambda w, g, b: w * g))


def _summed(factors, ahead=lambda targets, v: targets):
    """V-trace as the paper writes it: from each row a sum over all later ones of its episode.

    `factors(t, k, rho, c)` is what the TD error of row k counts in row t, but for γ."""

    def over(rewards, values, weights, end, terminated, gamma, clip_rho, clip_c):
        v = torch.where(terminated, 0.0, values.detach())
        rho, c = weights.clamp(max=clip_rho), weights.clamp(max=clip_c)
        targets, advantages = v.clone(), torch.zeros_like(v)
        for t in range(len(v)):
            k = t
            while not end[k]:
                delta = rewards[k] + gamma * v[k + 1] - v[k]
                targets[t] += gamma ** (k - t) * factors(t, k, rho, c) * delta
                k += 1
        for t in range(len(v)):
            if not end[t]:
                advantages[t] = rewards[t] + gamma * ahead(targets, v)[t + 1] - v[t]
        return targets, advantages

    return over


again("vtrace", "the product of the traces has one factor too many")(
    _summed(lambda t, k, rho, c: c[t : k + 1].prod() * rho[k])
)
again("vtrace", "the product of the traces begins one row late")(
    _summed(lambda t, k, rho, c: c[t + 1 : k + 1].prod() * rho[k])
)
again("vtrace", "the TD errors are not weighted")(_summed(lambda t, k, rho, c: c[t:k].prod()))
again("vtrace", "what came later is not weighted")(_summed(lambda t, k, rho, c: rho[k]))
again("vtrace", "nothing that came later is used")(
    _summed(lambda t, k, rho, c: rho[k] * float(k == t))
)
again("vtrace", "the advantages look ahead to V")(
    _summed(lambda t, k, rho, c: c[t:k].prod() * rho[k], ahead=lambda targets, v: v)
)


def _backwards(rule):
    """By G = rule(ratio, reward, γ G), from the last row of each episode to its first."""

    def over(logprobs, behaviour_logprobs, rewards, end, gamma):
        ratios = (logprobs - behaviour_logprobs).exp()
        total = later = 0 * rewards[0]
        for t in reversed(range(len(rewards))):
            later = rule(ratios[t], rewards[t], gamma * (0 * later if end[t] else later))
            if t == 0 or end[t - 1]:
                total = total + later
        return total / end.sum()

    return over


again("per_decision_return", "each reward has the weight of its own row only")(
    _backwards(lambda ratio, reward, later: ratio * reward + later)
)
again("per_decision_return", "the row's own action has no weight")(
    _backwards(lambda ratio, reward, later: reward + ratio * later)
)
again("per_decision_return", "nothing is weighted")(
    _backwards(lambda ratio, reward, later: reward + later)
)
again("per_decision_return", "the ratios are upside down")(
    _backwards(lambda ratio, reward, later: (reward + later) / ratio)
)
