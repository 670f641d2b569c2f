"""What a seed changes in the questions: a number in each chapter, and what it does to the answer.

Of these questions each has a number that no other exercise and no training builds upon. (Two more
stand with their exercises: `batches_needed` in chapter 05, `priorities` in chapter 10.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rlx.course.seeds import Drawn


def _shifted(make_act: Callable, k: int) -> Callable:
    def make():
        act = make_act()
        return lambda observation: (act(observation) + k) % (len(observation) - 2)

    return make


Drawn(
    "make_act",
    0,
    *(1, 2, 3),
    says=lambda k: (
        f"answers with the cue plus {k}, modulo $n$, in" if k else "scores 1 in",
        f"with the cue plus {k} as its answer," if k else "with a memory of its own,",
        f"return (cue + {k}) % (len(observation) - 2)" if k else "return cue",
    ),
    change=_shifted,
)


def _rounded(pad: Callable, k: int) -> Callable:
    def padded(column: Tensor, lengths: list[int]) -> tuple[Tensor, ...]:
        return tuple(F.pad(part, (0, -part.shape[1] % k)) for part in pad(column, lengths))

    return padded


def _rounded_words(k: int) -> tuple[str, ...]:
    if k == 1:
        return (
            "and a mask of the same shape",
            "An episode is a row,",
            "torch.arange(max(lengths))",
        )
    return (
        rf"where $T_{{\max}}$ is rounded up to a multiple of {k}, and a mask of the same shape",
        f"T_max is rounded up to a multiple of {k}. An episode is a row,",
        f"torch.arange(-(-max(lengths) // {k}) * {k})",
    )


Drawn("pad", 1, *(4, 5, 10), says=_rounded_words, change=_rounded)


def _temperature_words(k: float) -> tuple[str, ...]:
    if k == 1:
        return "then the mean.", "`logits`: float32", "logits.log_softmax(-1)"
    return (
        f"then the mean. But first divide the logits by {k}: by a *temperature*, which makes a "
        f"policy {'bolder' if k < 1 else 'more cautious'}.",
        f"`logits`, to be divided by {k}: float32",
        f"(logits / {k}).log_softmax(-1)",
    )


Drawn(
    "choices",
    1,
    *(2.0, 0.5, 1.5, 0.8),
    says=_temperature_words,
    change=lambda choices, k: lambda logits: choices(logits / k),
)


def _times(answer: Callable, k: float) -> Callable:
    return lambda *inputs: k * answer(*inputs)


Drawn(
    "influence",
    1,
    *(10, 100, 1000),
    says=lambda k: (
        rf"\text{{influence}}_t = {k} \Big" if k > 1 else r"\text{influence}_t = \Big",
        f"Return {k} times the norms" if k > 1 else "Return the norms",
        f"{k} times the slope of" if k > 1 else "Slope of",
        f"return {k} * slope.norm" if k > 1 else "return slope.norm",
    ),
    change=_times,
)

Drawn(
    "noise",
    1,
    *(4, 2, 8, 5),
    says=lambda k: (
        f"Write (4) for an average of {k} estimates, whose spread is {k} times as small:"
        if k > 1
        else "Write (4):",
        f"relative to the mean, for an average of {k}:" if k > 1 else "relative to the mean:",
        f".sum() / {k} / gradients" if k > 1 else ".sum() / gradients",
    ),
    change=lambda noise, k: lambda gradients: noise(gradients) / k,
)


def _alone(leave_one_out: Callable, k: int) -> Callable:
    def baseline(returns: Tensor, group: Tensor) -> Tensor:
        alone = (group[:, None] == group).sum(dim=1) == 1
        return leave_one_out(returns, group) + k * alone.to(returns.dtype)

    return baseline


Drawn(
    "leave_one_out",
    0,
    *(1, -1, 5),
    says=lambda k: (
        f"has the baseline {k}.",
        f"group, {k} if there are none",
        f"torch.full_like(returns, {k})" if k else "torch.zeros_like(returns)",
    ),
    change=_alone,
)

Drawn(
    "lambda_weights",
    1,
    *(100, 10, 1000),
    says=lambda k: (
        f"Return {k} times the weight" if k > 1 else "Return the weight",
        f"which adds up to {k}.",
        f"{k} times the weight of each" if k > 1 else "The weight of each",
        f"return {k} * weights" if k > 1 else "return weights",
        f"lambda_weights(left, lam) / {k}" if k > 1 else "lambda_weights(left, lam)",
    ),
    change=_times,
)

Drawn(
    "pull",
    1,
    *(2, 3, 5),
    says=lambda k: (
        rf"Take {k} times the chapter's loss, $L = -\frac{{{k}}}{{N}}"
        if k > 1
        else r"Take the chapter's loss, $L = -\frac{1}{N}",
        f"The slope of {k} times PPO's loss" if k > 1 else "The slope of PPO's loss",
        f"-{k} * ratio * advantages" if k > 1 else "-ratio * advantages",
    ),
    change=_times,
)

Drawn(
    "per_decision_return",
    1,
    *(10, 100, 20),
    says=lambda k: (
        rf"{k} \hat J(\pi) = \frac{{{k}}}{{E}}" if k > 1 else r"\hat J(\pi) = \frac{1}{E}",
        f"Return this sum, what it earns in {k} episodes. E is" if k > 1 else "E is",
        f"would earn in {k} episodes," if k > 1 else "would earn in an episode,",
        f"return {k} * total /" if k > 1 else "return total /",
        f"per_decision_return(*columns, 0.95) / {k}"
        if k > 1
        else "per_decision_return(*columns, 0.95)",
    ),
    change=_times,
)


def _begun(ou_noise: Callable, k: float) -> Callable:
    def noise(normals: Tensor, theta: float, sigma: float) -> Tensor:
        steps = torch.arange(1, len(normals) + 1, dtype=torch.float64)[:, None]
        return ou_noise(normals, theta, sigma) + (k * (1 - theta) ** steps).to(normals.dtype)

    return noise


Drawn(
    "ou_noise",
    0,
    *(1, -1, 2),
    says=lambda k: (
        f"x_0 = {k},",
        f"process, from {k} on",
        f"torch.full_like(normals[0], {k})" if k else "torch.zeros_like(normals[0])",
    ),
    change=_begun,
)


def _never(first_alarm: Callable, k: int) -> Callable:
    def alarm(*inputs) -> np.ndarray:
        found = first_alarm(*inputs)
        return np.where(found == 0, k, found)

    return alarm


Drawn(
    "first_alarm",
    0,
    *(-1, -2, -5),
    says=lambda k: (
        f"; {k} if there is none.",
        f"(experiments,), {k} for never",
        f"return np.where(first == 0, {k}, first)" if k else "return first",
    ),
    change=_never,
)


def _of_more(serial_share: Callable, k: int) -> Callable:
    def share(*inputs) -> float:
        found = serial_share(*inputs)
        return found / (found + (1 - found) / k)  # a / (a + b / k), from a / (a + b)

    return share


Drawn(
    "serial_share",
    1,
    *(2, 4, 3),
    says=lambda k: (
        f"$t({k})$, which is the fitted $a + b{f' / {k}' if k > 1 else ''}$",
        f"share of the time of {k} workers that more" if k > 1 else "share of the time that more",
        f"return a / (a + b / {k})" if k > 1 else "return a / (a + b)",
        f"of the time of {k} workers stays" if k > 1 else "of the time stays",
    ),
    change=_of_more,
)

_COUNTED = {
    1: "each counted once",
    3: "each counted 3 times, once for each of its players",
    6: "each counted 6 times, once for each order of its players",
}

Drawn(
    "cycles",
    1,
    *(3, 6),
    says=lambda k: (
        _COUNTED[k],
        f"circle, each counted {k} times:" if k > 1 else "circle:",
        f"found += {k} * int(" if k > 1 else "found += int(",
        f"append(cycles(rates) // {k})" if k > 1 else "append(cycles(rates))",
    ),
    change=_times,
)
