"""Other codings of the mistakes of chapter 03."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal

from codings import again


def _rows(x: Tensor) -> Tensor:
    """Summed over all dimensions but the first."""
    return x if x.ndim == 1 else x.flatten(1).sum(1)


@again("log_prob", "the dimensions of a component are not summed")
def _(components, actions):
    (gear, force), (a, b) = components, actions
    return gear.log_prob(a) + force.log_prob(b)


@again("log_prob", "it adds (B, 1) to (B,)")
def _(components, actions):
    total = torch.zeros(())
    for c, a in zip(components, actions):
        x = _rows(c.log_prob(a))
        total = total + (x if a.ndim == 1 else x.reshape(-1, 1))
    return total


@again("log_prob", "it averages over the dimensions of a component")
def _(components, actions):
    total = torch.zeros(len(actions[0]))
    for c, a in zip(components, actions):
        x = c.log_prob(a).view(len(a), -1)
        total = total + x.sum(1) / x.shape[1]
    return total


@again("log_prob", "it averages over the components")
def _(components, actions):
    return sum(_rows(c.log_prob(a)) for c, a in zip(components, actions)) / len(components)


@again("log_prob", "only the first component counts")
def _(components, actions):
    for c, a in zip(components, actions):
        return _rows(c.log_prob(a))


@again("log_prob", "all rows are summed into one number")
def _(components, actions):
    return torch.cat([c.log_prob(a).flatten() for c, a in zip(components, actions)]).sum()


@again("entropy", "only the first component counts")
def _(components):
    for c in components:
        return _rows(c.entropy())


@again("entropy", "it averages over the dimensions of a component")
def _(components):
    total = 0.0
    for c in components:
        x = c.entropy().view(c.batch_shape[0], -1)
        total = total + x.sum(1) / x.shape[1]
    return total


@again("entropy", "it averages over the components")
def _(components):
    return sum(_rows(c.entropy()) for c in components) / len(components)


@again("entropy", "the dimensions of a component are not summed")
def _(components):
    gear, force = components
    return gear.entropy() + force.entropy()


@again("sample", "it always takes the most probable action")
def _(components):
    return tuple(
        c.logits.argmax(-1) if isinstance(c, Categorical) else c.mean.clone() for c in components
    )


@again("sample", "a gradient flows through the sampled actions")
def _(components):
    return tuple(
        c.sample() if isinstance(c, Categorical) else c.mean + c.stddev * torch.randn(c.mean.shape)
        for c in components
    )


@again("sample", "one draw serves the whole batch")
def _(components):
    drawn = []
    for c in components:
        one = Categorical(logits=c.logits[0]) if isinstance(c, Categorical) else None
        draw = one.sample() if one else torch.normal(c.mean[0], c.stddev[0]).detach()
        drawn.append(draw + torch.zeros_like(c.mode, dtype=draw.dtype))
    return tuple(drawn)


@again("sample", "every gear is as frequent as any other")
def _(components):
    return tuple(
        torch.rand(c.probs.shape).argmax(-1)
        if isinstance(c, Categorical)
        else torch.normal(c.mean, c.stddev).detach()
        for c in components
    )


@again("gaussian", "the exp is missing")
def _(mean, log_std):
    return Independent(Normal(loc=mean, scale=log_std.expand(mean.shape)), 1)


@again("gaussian", "the variance stands where the standard deviation belongs")
def _(mean, log_std):
    return Independent(Normal(mean, (2 * log_std).exp()), 1)


@again("gaussian", "log_std is taken for the logarithm of the variance")
def _(mean, log_std):
    return Independent(Normal(mean, log_std.exp().sqrt()), 1)


@again("gaussian", "softplus stands where exp belongs")
def _(mean, log_std):
    return Independent(Normal(mean, (1 + log_std.exp()).log()), 1)


@again("categorical", "the softmax is taken twice")
def _(logits):
    once = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return Categorical(probs=torch.softmax(once, dim=1))


@again("categorical", "the softmax runs along the rows of the batch")
def _(logits):
    columns = [column.exp() / column.exp().sum() for column in logits.unbind(1)]
    return Categorical(probs=torch.stack(columns, 1))


@again("categorical", "the numbers are taken for probabilities")
def _(logits):
    return Categorical(logits)


@again("categorical", "each action has a sigmoid of its own")
def _(logits):
    return Categorical(probs=1 / (1 + (-logits).exp()))


def _entropies(logits):
    p = logits.softmax(-1)
    return -torch.where(p > 0, p * p.log(), 0.0).sum(-1)


@again("choices", "the mean is taken before the exponential")
def _(logits):
    return _entropies(logits).mean().exp()


@again("choices", "it returns the entropy, not its exponential")
def _(logits):
    return sum(_entropies(logits)) / len(logits)


@again("choices", "each row has a number of its own")
def _(logits):
    return torch.stack([h.exp() for h in _entropies(logits)])
