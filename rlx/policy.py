"""Parametric: the contract of what the user writes, a policy or a critic."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

RecurState = Tensor | tuple[Tensor, ...] | None


class Parametric(nn.Module):
    """A policy (or a critic): a network that also carries its own memory through time.

    Write `forward(self, *states)` with `recur_state, state = states`. It always sees a batch:
    `state` is (B, *obs), B = 1 for a single environment. `recur_state` is what the last step
    returned first: a tensor (B, *hidden), a tuple of them, or None when every row is fresh after a
    reset (when only some are, theirs are zeros, so a learned initial state is not supported). It
    returns

        next recurrent state or None,  ActionDistribution,  any number of extras

    Each extra is a tensor with one entry a row, or None; they are tracked in `rollout.others`.

    A critic sets `takes_actions = True`, unpacks `recur_state, state, *actions = states` and
    returns None in place of the distribution.

    A recurrent policy may also override `unroll(recur_state, packed_states)`, which does the work
    of `forward` for whole sequences at once: `packed_states` is a `PackedSequence`, `recur_state`
    the state entering each sequence (None: zeros); it returns the same things, one entry for each
    row of `packed_states.data`. `evaluate` prefers it to a loop over `forward`: a fused `nn.GRU` is
    faster. A critic's `unroll` is also given the actions, one entry for each of these rows.
    """

    takes_actions: bool = False
    # Shapes of its recurrent state, rows left out; () if feed-forward, None if it has not run yet.
    memory_shapes: tuple[tuple[int, ...], ...] | None = None

    def forward(self, *states):
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, *states)")

    def unroll(self, recur_state: RecurState, packed_states: PackedSequence, *actions: Tensor):
        raise NotImplementedError(f"{type(self).__name__} does not define unroll")
