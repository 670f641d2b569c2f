"""Other codings of the mistakes of chapter 08."""

from __future__ import annotations

import math

import torch

from codings import again


def _rows(logprobs, old_logprobs, advantages):
    """Row by row: the ratio, with gradient, and the advantage, a number."""
    for new, old, advantage in zip(logprobs, old_logprobs.tolist(), advantages.tolist()):
        yield (new - old).exp(), advantage


def _within(ratio, low, high):
    """The ratio inside the interval, and its bound, without gradient, outside."""
    if 1 - low <= ratio.item() <= 1 + high:
        return ratio
    return ratio.new_tensor(1 - low if ratio.item() < 1 else 1 + high)


@again("ppo_clip_loss", "it clips, and takes no minimum")
def _(logprobs, old_logprobs, advantages, low, high):
    rows = _rows(logprobs, old_logprobs, advantages)
    return -sum(_within(r, low, high) * a for r, a in rows) / len(logprobs)


@again("ppo_clip_loss", "the minimum is taken of the ratios, before the advantage multiplies")
def _(logprobs, old_logprobs, advantages, low, high):
    ratio = (logprobs - old_logprobs.detach()).exp()
    return -(ratio.clamp(max=1 + high) * advantages.detach() * (ratio < 1 - low)).mean() - (
        (ratio.clamp(max=1 + high) * advantages.detach() * (ratio >= 1 - low)).mean()
    )


@again("ppo_clip_loss", "the larger of the two products is taken")
def _(logprobs, old_logprobs, advantages, low, high):
    rows = _rows(logprobs, old_logprobs, advantages)
    products = [(r * a, _within(r, low, high) * a) for r, a in rows]
    return -sum(p if p.item() > q.item() else q for p, q in products) / len(logprobs)


@again("ppo_clip_loss", "nothing is clipped")
def _(logprobs, old_logprobs, advantages, low, high):
    return -sum(r * a for r, a in _rows(logprobs, old_logprobs, advantages)) / len(logprobs)


@again("ppo_clip_loss", "the ratio is upside down")
def _(logprobs, old_logprobs, advantages, low, high):
    good = advantages.detach() > 0
    ratio = old_logprobs.detach().exp() / logprobs.exp()
    kept = torch.where(good, ratio.clamp(max=1 + high), ratio.clamp(min=1 - low))
    return -(kept * advantages.detach()).mean()


def _ratios(logprobs, old_logprobs):
    return [math.exp(a - b) for a, b in zip(logprobs.tolist(), old_logprobs.tolist())]


@again("approx_kl", "the sign is wrong")
def _(logprobs, old_logprobs):
    rows = [math.log(r) - r + 1 for r in _ratios(logprobs, old_logprobs)]
    return logprobs.new_tensor(sum(rows) / len(rows))


@again("approx_kl", "it measures in the other direction")
def _(logprobs, old_logprobs):
    rows = [1 / r - 1 + math.log(r) for r in _ratios(logprobs, old_logprobs)]
    return logprobs.new_tensor(sum(rows) / len(rows))


@again("approx_kl", "it is the mean of -log r alone")
def _(logprobs, old_logprobs):
    return old_logprobs.mean() - logprobs.mean()


@again("approx_kl", "log r is missing")
def _(logprobs, old_logprobs):
    return (logprobs.exp() / old_logprobs.exp() - 1).mean()


@again("clip_fraction", "only ratios above the interval count")
def _(logprobs, old_logprobs, clip):
    outside = [r > 1 + clip for r in _ratios(logprobs, old_logprobs)]
    return logprobs.new_tensor(sum(outside) / len(outside))


@again("clip_fraction", "it counts the rows that are inside")
def _(logprobs, old_logprobs, clip):
    inside = [1 - clip <= r <= 1 + clip for r in _ratios(logprobs, old_logprobs)]
    return logprobs.new_tensor(sum(inside) / len(inside))


@again("clip_fraction", "the logarithm of the ratio is compared with the clip")
def _(logprobs, old_logprobs, clip):
    outside = [abs(math.log(r)) > clip for r in _ratios(logprobs, old_logprobs)]
    return logprobs.new_tensor(sum(outside) / len(outside))


def _fragments(lengths):
    first = 0
    for length in lengths.tolist():
        yield list(range(first, first + length))
        first += length


@again("minibatches", "rows are drawn with replacement")
def _(lengths, k):
    fragments = list(_fragments(lengths))
    count = len(fragments)
    sizes = [count * (i + 1) // k - count * i // k for i in range(k)]
    drawn = [torch.multinomial(torch.ones(count), n, replacement=True).tolist() for n in sizes]
    return [torch.tensor([row for f in some for row in fragments[f]]) for some in drawn]


@again("minibatches", "the remainder is lost")
def _(lengths, k):
    fragments = list(_fragments(lengths))
    size, order = len(fragments) // k, torch.rand(len(fragments)).argsort().tolist()
    return [
        torch.tensor([row for f in order[i * size : (i + 1) * size] for row in fragments[f]])
        for i in range(k)
    ]


@again("minibatches", "the rows are not shuffled")
def _(lengths, k):
    rows = torch.arange(int(lengths.sum())).split(lengths.tolist())
    return [
        torch.cat([rows[f] for f in part.tolist()])
        for part in torch.tensor_split(torch.arange(len(lengths)), k)
    ]


@again("minibatches", "fragments are torn")
def _(lengths, k):
    return list(torch.tensor_split(torch.rand(int(lengths.sum())).argsort(), k))


@again("minibatches", "only the order of the minibatches is shuffled")
def _(lengths, k):
    fragments = list(_fragments(lengths))
    parts = torch.tensor_split(torch.arange(len(fragments)), k)
    shuffled = torch.rand(k).argsort().tolist()
    return [torch.tensor([row for f in parts[i] for row in fragments[f]]) for i in shuffled]


def _slopes(rule, logprobs, old_logprobs, advantages):
    found = []
    for r, a in zip(_ratios(logprobs, old_logprobs), advantages.tolist()):
        found.append(rule(r, a) / len(logprobs))
    return logprobs.new_tensor(found)


@again("pull", "every row outside the interval is stopped")
def _(logprobs, old_logprobs, advantages, clip):
    return _slopes(
        lambda r, a: -r * a if 1 - clip <= r <= 1 + clip else 0.0,
        logprobs, old_logprobs, advantages,
    )  # fmt: skip


@again("pull", "no row is stopped")
def _(logprobs, old_logprobs, advantages, clip):
    new = logprobs.detach().requires_grad_()
    loss = -((new - old_logprobs).exp() * advantages).mean()
    return torch.autograd.grad(loss, new)[0]


@again("pull", "the ratio does not multiply")
def _(logprobs, old_logprobs, advantages, clip):
    return _slopes(
        lambda r, a: 0.0 if (r > 1 + clip if a > 0 else r < 1 - clip) else -a,
        logprobs, old_logprobs, advantages,
    )  # fmt: skip


@again("pull", "the slopes are not divided by N")
def _(logprobs, old_logprobs, advantages, clip):
    new = logprobs.detach().requires_grad_()
    ratio = (new - old_logprobs).exp()
    kept = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    return torch.autograd.grad(-kept.sum(), new)[0]
