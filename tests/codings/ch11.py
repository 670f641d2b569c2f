"""Other codings of the mistakes of chapter 11."""

from __future__ import annotations

import math

import torch
from torch.distributions import AffineTransform, Normal, TanhTransform, TransformedDistribution

from codings import again


def _columns(before, mean, std):
    """Number by number: u, and the log-density of its Gaussian."""
    for u, m, s in zip(before.unbind(1), mean.unbind(1), std.unbind(1)):
        gaussian = -((u - m) ** 2) / (2 * s * s) - s.log() - 0.5 * math.log(2 * math.pi)
        yield u, gaussian


def _log_slope(u):
    return -2 * torch.log(torch.cosh(u.double())).to(u)


@again("squashed_log_prob", "it is not summed over the numbers of an action")
def _(before, mean, std, scale):
    columns = zip(_columns(before, mean, std), scale)
    return torch.stack([g - _log_slope(u) - c.log() for (u, g), c in columns], 1)


@again("squashed_log_prob", "the correction is added")
def _(before, mean, std, scale):
    columns = zip(_columns(before, mean, std), scale)
    return sum(g + _log_slope(u) + c.log() for (u, g), c in columns)


@again("squashed_log_prob", "the tanh is not corrected for")
def _(before, mean, std, scale):
    return Normal(mean, std).log_prob(before).sum(1) - scale.log().sum()


@again("squashed_log_prob", "log c is missing")
def _(before, mean, std, scale):
    squashed = TransformedDistribution(Normal(mean, std), TanhTransform())
    transform = squashed.transforms[0]
    jacobian = transform.log_abs_det_jacobian(before, before.tanh())
    return (squashed.base_dist.log_prob(before) - jacobian).sum(1)


@again("squashed_log_prob", "the scaled action is inside 1 - a²")
def _(before, mean, std, scale):
    action = AffineTransform(0.0, scale)(before.tanh())
    gaussian = Normal(mean, std).log_prob(before)
    return torch.sum(gaussian - (1 - action * action).log() - scale.log(), dim=-1)


def _q(critics, actions, noise, low, high):
    return critics(torch.max(torch.min(actions + noise, high), low))


def _blur(actions):
    return (0.2 * torch.randn(actions.shape, dtype=actions.dtype)).clamp(-0.5, 0.5)


def _backup(rewards, terminated, values, gamma):
    return (rewards + gamma * values * (~terminated)).detach()


@again("td3_target", "the same noise is added to every row")
def _(rewards, terminated, actions, critics, low, high, gamma):
    noise = (0.2 * torch.randn(actions.shape[1], dtype=actions.dtype)).clamp(-0.5, 0.5)
    q = _q(critics, actions, noise * (high - low) / 2, low, high)
    return _backup(rewards, terminated, torch.stack(q).amin(0), gamma)


@again("td3_target", "the noise is not scaled to the Box")
def _(rewards, terminated, actions, critics, low, high, gamma):
    q = _q(critics, actions, _blur(actions), low, high)
    return _backup(rewards, terminated, torch.stack(q).amin(0), gamma)


@again("td3_target", "the higher critic is believed")
def _(rewards, terminated, actions, critics, low, high, gamma):
    q1, q2 = _q(critics, actions, _blur(actions) * (high - low) / 2, low, high)
    return _backup(rewards, terminated, -torch.min(-q1, -q2), gamma)


@again("td3_target", "there is no noise")
def _(rewards, terminated, actions, critics, low, high, gamma):
    q1, q2 = critics(actions)
    return _backup(rewards, terminated, torch.where(q1 < q2, q1, q2), gamma)


@again("td3_target", "only one critic is asked")
def _(rewards, terminated, actions, critics, low, high, gamma):
    q = _q(critics, actions, _blur(actions) * (high - low) / 2, low, high)
    return _backup(rewards, terminated, q[0], gamma)


@again("sac_target", "entropy is not paid for")
def _(rewards, terminated, q1, q2, logprobs, alpha, gamma):
    return _backup(rewards, terminated, torch.where(q1 < q2, q1, q2), gamma)


@again("sac_target", "the sign of the entropy is turned round")
def _(rewards, terminated, q1, q2, logprobs, alpha, gamma):
    entropy = -logprobs
    return _backup(rewards, terminated, torch.stack([q1, q2]).amin(0) - alpha * entropy, gamma)


@again("sac_target", "the higher critic is believed")
def _(rewards, terminated, q1, q2, logprobs, alpha, gamma):
    return _backup(rewards, terminated, torch.stack([q1, q2]).amax(0) - alpha * logprobs, gamma)


@again("sac_target", "the temperature is 1")
def _(rewards, terminated, q1, q2, logprobs, alpha, gamma):
    return _backup(rewards, terminated, torch.min(q1 - logprobs, q2 - logprobs), gamma)


@again("temperature_loss", "the sign is turned round")
def _(log_alpha, logprobs, dims):
    return log_alpha * (logprobs.detach().mean() - dims)


@again("temperature_loss", "the entropy that is wanted is +dims")
def _(log_alpha, logprobs, dims):
    return -(log_alpha * (logprobs + dims).detach()).mean()


@again("temperature_loss", "a gradient flows through log π")
def _(log_alpha, logprobs, dims):
    return -log_alpha * (logprobs.mean() - dims)


@again("temperature_loss", "the entropy that is wanted is -dims²")
def _(log_alpha, logprobs, dims):
    # A target for each number, which broadcasts: what is added up is dims times too much.
    wanted = -dims * torch.ones(dims, dtype=logprobs.dtype)
    return log_alpha * (-logprobs.detach()[:, None] - wanted.sum()).mean()


@again("ou_noise", "nothing pulls it back")
def _(normals, theta, sigma):
    return sigma * normals.cumsum(0)


@again("ou_noise", "each number forgets the one before")
def _(normals, theta, sigma):
    return sigma * normals


@again("ou_noise", "it is one step late")
def _(normals, theta, sigma):
    rows = [0 * normals[0]]
    for z in normals[:-1]:
        rows.append((1 - theta) * rows[-1] + sigma * z)
    return torch.stack(rows)


@again("ou_noise", "the push is pulled back at once")
def _(normals, theta, sigma):
    kept, rows = 1 - theta, []
    for t in range(len(normals)):
        rows.append(sum(sigma * kept ** (t - k + 1) * normals[k] for k in range(t + 1)))
    return torch.stack(rows)
