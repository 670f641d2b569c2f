"""Evaluate: run a policy again over the states and actions of a rollout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rlx.columns import Column, apply, join, rows_where
from rlx.distributions import ActionDistribution, no_validation
from rlx.play.checks import Output, judge, memory_of, run, run_sequences
from rlx.play.loop import forget
from rlx.policy import Parametric, RecurState
from rlx.rollout import Rollout, blank

Draw = Callable[[ActionDistribution], tuple[Tensor, ...]]


def evaluate(
    policy: Parametric, rollout: Rollout, stored: tuple[Tensor, ...], draw: Draw | None
) -> Rollout:
    """What `agent(policy).evaluate(rollout)` does, with `stored` actions, or `draw`n ones."""
    with no_validation():
        return _evaluate(policy, rollout, stored, draw)


def _evaluate(
    policy: Parametric, rollout: Rollout, stored: tuple[Tensor, ...], draw: Draw | None
) -> Rollout:
    end = rollout.end
    recurrent = bool(memory_shapes(policy, rollout.states, *stored))
    if not recurrent or rollout.vectorized:
        recur = _stored_states(policy, rollout, slice(None)) if recurrent else None
        output = run(policy, recur, rollout.states, *stored)
        return _evaluated(rollout, _score(output, stored, end, draw), output.dist)
    packing = _Packing(rollout)
    fresh = rollout.start[packing.first].numpy(force=True)
    recur = None if fresh.all() else _stored_states(policy, rollout, packing.first)
    recur = forget(recur, fresh)
    packed, end = packing.pack(rollout.states), end[packing.rows]
    actions = apply(lambda action: action[packing.rows], stored)
    if type(policy).unroll is not Parametric.unroll:
        scored = _score(run_sequences(policy, recur, packed, *actions), actions, end, draw)
    else:
        pieces, at = [], 0
        for size in packed.batch_sizes.tolist():  # longest first: the batch shrinks as they end
            rows = slice(at, at + size)
            recur = apply(lambda h, size=size: h[:size], recur)
            now = apply(lambda action, rows=rows: action[rows], actions)
            output = run(policy, recur, packed.data[rows], *now)
            pieces.append(_score(output, now, end[rows], draw))
            recur, at = output.recur_state, at + size
        scored = join("the columns that were evaluated", torch.cat, pieces)
    return _evaluated(rollout, apply(lambda column: column[packing.place], scored), None)


class _Packing:
    """A rollout's rows in time order, longest episode first: the layout of a PackedSequence."""

    def __init__(self, rollout: Rollout) -> None:
        lengths, device = torch.tensor(rollout.lengths), rollout.states.device
        first = lengths.cumsum(0) - lengths
        lengths, order = lengths.sort(descending=True, stable=True)
        time = torch.arange(int(lengths[0]))[:, None]
        runs = time < lengths
        self.first = first[order].to(device)  # the row at which each episode begins
        self.rows = (first[order] + time)[runs].to(device)  # the row at each place
        self.place = torch.empty_like(self.rows)  # the place of each row
        self.place[self.rows] = torch.arange(len(self.rows), device=device)
        self.batch_sizes = runs.sum(1)

    def pack(self, column: Tensor) -> PackedSequence:
        return PackedSequence(column[self.rows], self.batch_sizes)


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


def _evaluated(
    rollout: Rollout, scored: dict[str, Column], dist: ActionDistribution | None
) -> Rollout:
    rollout = rollout.replace(**scored)
    rollout.dist = dist
    return rollout
