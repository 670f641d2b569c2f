"""Answers that are no declared mistake: together they are told all that can be said of one.

`shown()` makes the cards; tests/test_findings.py holds that no sentence is missing among them.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import test_checking
import test_findings
import torch
from torch.distributions import Categorical, Normal, OneHotCategorical

from rlx.course.card import Card
from rlx.course.checking import examine
from rlx.course.exercise import EXERCISES, Exercise, load


@contextlib.contextmanager
def exercise(reference: Callable, *cases: Callable, inputs: Callable) -> Iterator[Exercise]:
    """A small one without declared mistakes, for a while."""
    made = Exercise("small", chapter="xx", reference=reference, hints=("1.", "2.", "3."))
    for case in cases:
        made.case("numbers by hand", case)
    made.inputs(inputs)
    try:
        yield made
    finally:
        del EXERCISES["small"]


def raises(error: BaseException) -> Callable:
    def answer(*inputs):
        raise error

    return answer


def endless(*inputs):
    while True:
        pass


def prints(x, noise):
    print("so far, so good")
    return test_checking.right(x, noise)


def overwrites(h, x, w_x, w_h, b_x, b_h):
    grown = load()["gru_step"].reference(h, x, w_x, w_h, b_x, b_h).exp()
    new = grown.log()
    grown *= 1.0
    return new


def hands_out(rewards, gamma, _buffers={}):  # noqa: B006
    right = load()["reward_to_go"].reference(rewards, gamma)
    return _buffers.setdefault((right.shape, right.dtype), torch.empty_like(right)).copy_(right)


class Widened(load()["HideObservation"].reference):
    def observation(self, observation):
        return super().observation(observation).astype(np.float64)


def of_the_course() -> Iterator[tuple[str, Callable]]:
    """An exercise's name, and an answer to it."""
    right = {name: one.reference for name, one in load().items()}
    yield "gru_step", overwrites
    yield "reward_to_go", hands_out
    yield "reward_to_go", lambda rewards, gamma: list(rewards)
    yield "reward_to_go", lambda rewards, gamma: rewards.tolist()
    yield "reward_to_go", lambda r, gamma: right["reward_to_go"](r, gamma).requires_grad_()
    yield "discounted_return", lambda rewards, gamma: rewards.pop()
    yield "discounted_return", lambda rewards, gamma: 3 + sum(r * r for r in rewards)
    yield "policy_gradient_loss", lambda logprobs, advantages: 7 * logprobs.exp() * advantages
    yield (
        "policy_gradient_loss",
        lambda logprobs, advantages: (
            -(logprobs * advantages.detach()).mean() + (advantages - advantages.detach()).sum()
        ),
    )
    yield "categorical", lambda logits: Categorical
    yield "categorical", lambda logits: Normal(logits, 1.0)
    yield "categorical", lambda logits: OneHotCategorical(logits=logits)
    yield "HideObservation", lambda env, keep: 3
    yield "HideObservation", lambda env, keep: None
    yield "run_steps", lambda env, act, n: right["run_steps"](env, act, n)[:1]
    yield "run_steps", lambda env, act, n: [[*e[:1], e] for e in right["run_steps"](env, act, n)]
    yield "pad", lambda column, lengths: [f(x) for f, x in zip(
        (torch.clone, torch.Tensor.float), right["pad"](column, lengths))]  # fmt: skip
    yield "pad", lambda column, lengths: [f(x) for f, x in zip(
        (torch.clone, torch.ones_like), right["pad"](column, lengths))]  # fmt: skip
    yield (
        "sample",
        lambda components: tuple(
            c.sample().float() if isinstance(c, Categorical) else c.sample() for c in components
        ),
    )
    yield (
        "sample",
        lambda components: tuple(
            c.sample() if isinstance(c, Categorical) else 3 * c.sample() - 2 * c.mean
            for c in components
        ),
    )
    yield "run_steps", lambda env, act, n: 9 * right["run_steps"](env, act, n)
    yield "HideObservation", Widened


def of_small_ones() -> Iterator[tuple[Exercise, list[Callable]]]:
    """An exercise, and answers to it."""
    with contextlib.contextmanager(test_checking.doubled.__wrapped__)() as doubled:
        changed = test_checking.changed
        yield (
            doubled,
            [
                *test_checking.FINDINGS.values(),
                *test_checking.ERRORS.values(),
                raises(ValueError()),
                lambda x, noise: True,
                lambda x, noise: torch.ones(()),
                changed(lambda y, x: None),
                changed(lambda y, x: y[None]),
                changed(lambda y, x: y.new_ones(7)),
                changed(lambda y, x: y.ceil()),
                prints,
            ],
        )
        doubled.time_limit = 0.3
        yield doubled, [endless]
    with contextlib.contextmanager(test_findings.table.__wrapped__)() as table:
        right = test_findings.discounted
        yield (
            table,
            [
                *test_findings.PATTERNS.values(),
                lambda r, e, g: -len(r) * right(r, e, g),
                lambda r, e, g: (right(r, e, g) ** 2).sum().expand(len(r)).clone(),
                lambda r, e, g: right(r, e, g).round(),
                lambda r, e, g: right(r, e, 1 - g),
                lambda r, e, g: right(r, e | ~e, g),
                lambda r, e, g: right(r, ~e, g),
                lambda r, e, g: right(r, e.roll(-1), g),
                lambda r, e, g: right(r.flip(0), e, g),
                lambda r, e, g: right(r.roll(-1), e, g),
            ],
        )

    def four():
        return (torch.tensor([1.0, 2.0, 4.0, 7.0]),)

    def column(draw):
        return (draw.floats(draw.size(2, 9)),)

    pair = test_findings.both
    with exercise(lambda x: pair(x, 2 * x), four, inputs=column) as one:
        yield (
            one,
            [
                lambda x: pair(x, 5 * x),
                lambda x: pair(5 * x, 2 * x),
                lambda x: pair(x, 2 * x).T,
                lambda x: torch.cat([pair(x, 2 * x)[:-1], pair(x, 2 * x)[-1:] ** 2 + 50]),
            ],
        )
    with exercise(lambda x: x**2 + 1, four, inputs=column) as one:
        yield (
            one,
            [lambda x: (x**2 + 1).sqrt(), lambda x: (x**2 + 1).log(), lambda x: 1 / (x**2 + 1)],
        )
    with exercise(lambda x: x > 0, four, inputs=column) as one:
        yield one, [lambda x: x > 1]

    def weighed(x):
        return (x * torch.arange(1.0, len(x) + 1)).sum()

    with exercise(weighed, four, inputs=column) as one:
        yield one, [lambda x: weighed(x[1:]), lambda x: weighed(x[:-1])]

    def total(x):
        return sum(k * n for k, n in enumerate(x, 1))

    def numbers(draw):
        return ([draw.integer(0, 9) for _ in range(draw.size(2, 9))],)

    with exercise(total, lambda: ([3, 1, 4, 1, 5],), inputs=numbers) as one:
        yield (
            one,
            [lambda x: total(x[::-1]), lambda x: total(x[1:]), lambda x: total(x[:-1]),
             lambda x: total(sorted(x))],
        )  # fmt: skip
    with exercise(
        lambda n: torch.arange(n) * 1.0, lambda: (4,), inputs=lambda draw: (draw.size(1, 9),)
    ) as one:
        yield one, [torch.arange]
    with exercise(
        lambda d: [d["word"], "then", "end"], lambda: ({"word": "first"},),
        inputs=lambda draw: ({"word": draw.one_of("a", "b")},),
    ) as one:  # fmt: skip
        yield (
            one,
            [lambda d: [d.pop("word"), "then", "end"], lambda d: ["end", "then", d["word"]],
             lambda d: [d["word"], "now", "end"]],
        )  # fmt: skip
    with exercise(lambda x: [len(x), None], four, inputs=column) as one:
        yield one, [lambda x: [len(x), "nothing"]]
    with exercise(lambda x: None, four, inputs=column) as one:
        yield one, [lambda x: x]

    def asking(draw):
        return (draw.floats(draw.size(2, 9), grad=True),)

    with exercise(
        lambda x: (2 * x, 0 * x), lambda: (four()[0].requires_grad_(),), inputs=asking
    ) as one:
        yield one, [lambda x: (2 * x, 0 * x.detach())]


def shown() -> list[Card]:
    found = [examine(load()[name], answer) for name, answer in of_the_course()]
    for one, answers in of_small_ones():
        found += [examine(one, answer) for answer in answers]
    return found
