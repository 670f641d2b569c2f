"""Other codings of the mistakes of chapter 05."""

from __future__ import annotations

import torch

from codings import again


@again("reward_to_go", "every step gets the return of the whole episode")
def _(rewards, gamma):
    total = sum(gamma**k * float(r) for k, r in enumerate(rewards))
    return torch.full((len(rewards),), total)


@again("reward_to_go", "it adds up from the wrong end")
def _(rewards, gamma):
    steps = torch.arange(len(rewards))
    ago = steps[:, None] - steps
    return torch.where(ago >= 0, gamma ** ago.clamp(min=0), 0.0) @ rewards


@again("reward_to_go", "the discount counts from the start of the episode")
def _(rewards, gamma):
    n = len(rewards)
    return torch.tensor([sum(gamma**k * float(rewards[k]) for k in range(t, n)) for t in range(n)])


@again("reward_to_go", "the reward of step t itself is left out")
def _(rewards, gamma):
    n = len(rewards)
    return torch.tensor(
        [sum(gamma ** (k - t) * float(rewards[k]) for k in range(t + 1, n)) for t in range(n)],
        dtype=torch.float32,
    )


@again("reward_to_go", "nothing is discounted")
def _(rewards, gamma):
    return torch.stack([rewards[t:].sum() for t in range(len(rewards))])


@again("policy_gradient_loss", "the sign is wrong")
def _(logprobs, advantages):
    total = 0.0
    for logprob, advantage in zip(logprobs, advantages):
        total = total + logprob * advantage.item()
    return total / len(logprobs)


@again("policy_gradient_loss", "the averages are taken before the product")
def _(logprobs, advantages):
    return -sum(logprobs) / len(logprobs) * (sum(advantages.tolist()) / len(advantages))


@again("policy_gradient_loss", "every log-probability meets the sum of all advantages")
def _(logprobs, advantages):
    table = logprobs[:, None] * advantages.detach()[None, :]  # (N, 1) with (1, N)
    return -table.sum(1).mean()


@again("policy_gradient_loss", "a gradient flows through the advantages")
def _(logprobs, advantages):
    return -sum(p * a for p, a in zip(logprobs, advantages)) / len(logprobs)


@again("policy_gradient_loss", "it uses probabilities where log-probabilities belong")
def _(logprobs, advantages):
    return -sum(p.exp() * a.item() for p, a in zip(logprobs, advantages)) / len(logprobs)


@again("normalize", "the deviation is that of a sample: it divides by N - 1")
def _(x):
    mean = sum(x) / len(x)
    squares = sum((one - mean) ** 2 for one in x)
    return torch.stack([(one - mean) / ((squares / (len(x) - 1)).sqrt() + 1e-8) for one in x])


@again("normalize", "numbers without any spread give NaN")
def _(x):
    mean = sum(x) / len(x)
    deviation = (sum((one - mean) ** 2 for one in x) / len(x)).sqrt()
    return torch.stack([(one - mean) / deviation for one in x])


@again("normalize", "it divides by the variance")
def _(x):
    mean = sum(x) / len(x)
    variance = sum((one - mean) ** 2 for one in x) / len(x)
    return torch.stack([(one - mean) / (variance + 1e-8) for one in x])


@again("normalize", "the mean is not subtracted")
def _(x):
    mean = sum(x) / len(x)
    deviation = (sum((one - mean) ** 2 for one in x) / len(x)).sqrt()
    return torch.stack([one / (deviation + 1e-8) for one in x])


def _parts(gradients):
    mean = sum(gradients) / len(gradients)
    return sum(((g - mean) ** 2).sum() for g in gradients), (mean**2).sum()


@again("noise", "the spread is divided by S, not by S - 1")
def _(gradients):
    spread, size = _parts(gradients)
    return spread / len(gradients) / size


@again("noise", "the spread is not divided by S - 1")
def _(gradients):
    spread, size = _parts(gradients)
    return spread / size


@again("noise", "the denominator is not squared")
def _(gradients):
    spread, size = _parts(gradients)
    return spread / (len(gradients) - 1) / size.sqrt()
