"""Evaluate: run a policy again over the states and actions of a rollout."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rlx.columns import Column, apply, join, rows_where
from rlx.distributions import ActionDistribution, no_validation
from rlx.play import loop
from rlx.play.checks import Output, check_parametric, judge, memory_of, run
from rlx.policy import Parametric, RecurState
from rlx.rollout import Rollout, blank

Draw = Callable[[ActionDistribution], tuple[Tensor, ...]]


def evaluate(
    policy: Parametric,
    rollout: Rollout,
    sample: bool = False,
    actions: Tensor | Iterable[Tensor] | None = None,
    greedy: bool = False,
) -> Rollout:
    """Run `policy` over the stored states and actions: a new Rollout, rows in that order.

    It shares states, actions, rewards, flags, recurrent states, `returns` and `advantages`;
    its log-probabilities, entropy and `others` are this policy's, with gradient. Feed-forward
    policies take one pass over all rows; recurrent ones run all episodes side by side, with
    gradient through time. An episode that begins at a reset enters with zeros, a fragment with
    its stored recurrent state (another policy's, perhaps: it is used as it is).

    `sample=True` draws new actions (`rsample`) at every row, end rows included, with their true
    log-probabilities there; `greedy=True` takes each distribution's mode, likewise. `actions`
    evaluates the given ones instead of the stored. No environment is needed; the rows are brought
    to the device on which the policy is."""
    check_parametric("evaluate(policy, rollout)", policy)
    if not len(rollout):
        raise ValueError("cannot evaluate an empty rollout")
    if sample + greedy + (actions is not None) > 1:
        raise ValueError("evaluate: give either actions, sample=True or greedy=True")
    draw = ActionDistribution.rsample if sample else None
    draw = ActionDistribution.mode.fget if greedy else draw
    weights = next(policy.parameters(), rollout.states)
    if weights.device != rollout.states.device:
        rollout = rollout.to(weights.device)
    if actions is None:
        actions = rollout.actions
    stored = (actions,) if isinstance(actions, Tensor) else tuple(actions)
    if any(action.shape[:1] != (len(rollout),) for action in stored):
        shapes = [tuple(action.shape) for action in stored]
        raise ValueError(f"evaluate: actions of shapes {shapes} for {len(rollout)} rows")
    with no_validation():
        scored, dist = _evaluate(policy, rollout, stored, draw)
    rollout = rollout.replace(**scored)
    rollout.dist = dist
    return rollout


def _evaluate(
    policy: Parametric, rollout: Rollout, stored: tuple[Tensor, ...], draw: Draw | None
) -> tuple[dict[str, Column], ActionDistribution | None]:
    """The columns that change, and the distribution over all rows if there is one."""
    end = rollout.end
    recurrent = bool(memory_shapes(policy, rollout.states, *stored))
    if not recurrent or rollout.vectorized:
        recur = _stored_states(policy, rollout, slice(None)) if recurrent else None
        output = run(policy, recur, rollout.states, *stored)
        return _score(output, stored, end, draw), output.dist
    # The layout of a PackedSequence: by time, and longest episode first, so that the batch of those
    # that still run only shrinks.
    time = rollout.position
    order = np.lexsort((-np.repeat(rollout.lengths, rollout.lengths), time))
    sizes, rows = torch.from_numpy(np.bincount(time)), torch.from_numpy(order).to(end.device)
    fresh = rollout.start[rows[: sizes[0]]].numpy(force=True)
    recur = None if fresh.all() else _stored_states(policy, rollout, rows[: sizes[0]])
    recur = loop.forget(recur, fresh)
    states, end, actions = apply(lambda x: x[rows], (rollout.states, end, stored))
    if type(policy).unroll is not Parametric.unroll:
        packed = PackedSequence(states, sizes)
        scored = _score(run(policy, recur, packed, *actions), actions, end, draw)
    else:
        steps = [column.split(sizes.tolist()) for column in (end, states, *actions)]
        pieces = []
        for size, ended, state, *action in zip(sizes.tolist(), *steps):
            recur = apply(lambda h, size=size: h[:size], recur)
            output = run(policy, recur, state, *action)
            pieces.append(_score(output, tuple(action), ended, draw))
            recur = output.recur_state
        scored = join("the columns that were evaluated", torch.cat, pieces)
    place = torch.from_numpy(order.argsort()).to(end.device)
    return apply(lambda column: column[place], scored), None


def memory_shapes(policy: Parametric, states: Tensor, *actions: Tensor) -> tuple:
    """Of the recurrent state that `policy` returns, () if none: one row tells, the first time."""
    if policy.memory_shapes is None:
        with torch.no_grad():
            run(policy, None, states[:1], *(action[:1] for action in actions))
    return policy.memory_shapes


def _stored_states(policy: Parametric, rollout: Rollout, rows: Tensor | slice) -> RecurState:
    """The recurrent states entering `rows`, if they are of the kind that `policy` has."""
    if rollout.recur_states is None:
        raise ValueError(
            "a recurrent policy cannot evaluate rows from the middle of an episode that a "
            "feed-forward policy sampled (vectorized, sliced, or a segment): no recurrent states "
            "are stored. "
            "Evaluate whole episodes that begin at a reset, or sample with a recurrent policy"
        )
    stored = apply(lambda h: h[rows], rollout.recur_states)
    if memory_of(stored) != policy.memory_shapes:
        raise ValueError(
            f"the stored recurrent states have shapes {memory_of(stored)}, {type(policy).__name__} "
            f"has {policy.memory_shapes}: it can only evaluate whole episodes that begin at a reset"
        )
    return stored


def _score(
    output: Output, actions: tuple[Tensor, ...], end: Tensor, draw: Draw | None
) -> dict[str, Column]:
    """The actions of some rows, and the columns that the policy fills."""
    dist, scored = output.dist, actions
    if draw:
        if dist is None:
            raise ValueError("this network returns no action distribution to draw from (a critic?)")
        actions = draw(dist)
        return {"actions": actions, **judge(output, actions)}
    if not end.any():
        return {"actions": actions, **judge(output, actions)}
    if dist is not None:
        # The action at an end row may lie outside this policy's support, and the gradient of an
        # infinite log-probability is NaN even behind a mask: replace the action, then mask.
        dist.check(*actions)
        scored = tuple(
            rows_where(end, action, ours.to(action.dtype))
            for ours, action in zip(dist.sample(), actions)
        )
    return {"actions": actions, **blank(judge(output, scored), end)}
