"""Call a policy, and say in plain words what is wrong with what users hand in."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Categorical
from torch.nn.utils.rnn import PackedSequence

from rlx.columns import Column, apply, squeezed
from rlx.distributions import ActionDistribution
from rlx.policy import Parametric, RecurState
from rlx.rollout import Rollout

if TYPE_CHECKING:
    from rlx.play.table import Table


def check_parametric(call: str, policy: Parametric) -> None:
    if not isinstance(policy, Parametric):
        raise TypeError(
            f"{call} takes an rlx.Parametric, not {type(policy).__name__}: derive your network "
            "from it"
        )


class Output(NamedTuple):
    """What one call of a policy gave, checked."""

    recur_state: RecurState
    dist: ActionDistribution | None
    others: tuple[Tensor | None, ...]


def run(
    policy: Parametric, recur_state: RecurState, states: Tensor | PackedSequence, *actions: Tensor
) -> Output:
    """Call `policy` on a batch of `states` (B, *obs), or its own `unroll` on whole sequences of
    them, and check what it returns.

    Raises TypeError or ValueError that says what `forward` should have returned."""
    inputs = (recur_state, states, *actions) if policy.takes_actions else (recur_state, states)
    if isinstance(states, PackedSequence):
        return _checked(policy, policy.unroll, inputs, states.data)
    output = _checked(policy, policy, inputs, states)
    memory = memory_of(output.recur_state, states.shape[0])
    if policy.memory_shapes is None:
        policy.memory_shapes = memory
    elif policy.memory_shapes != memory:
        raise ValueError(
            f"{type(policy).__name__} returned a recurrent state of shapes {memory} for "
            f"{len(states)} states, and of shapes {policy.memory_shapes} before (rows left out)"
        )
    return output


def judge(output: Output, actions: tuple[Tensor, ...]) -> dict[str, Column]:
    """The columns that a policy fills, from what it gave and the `actions` that were taken."""
    fields = Rollout.COLUMNS.items()
    return {name: field.fill(output, actions) for name, field in fields if field.fill}


def memory_of(recur_state: RecurState, n_rows: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Shape of each part of a recurrent state, rows left out; () for None."""
    if recur_state is None:
        return ()
    shapes = []
    for part in recur_state if isinstance(recur_state, tuple) else (recur_state,):
        if not isinstance(part, Tensor) or (n_rows is not None and part.shape[:1] != (n_rows,)):
            got = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise ValueError(
                "a recurrent state must be a tensor with one entry a row, or a tuple of them "
                f"({n_rows} rows here), or None; got {got}"
            )
        shapes.append(tuple(part.shape[1:]))
    return tuple(shapes)


def _checked(policy: Parametric, call: Callable, inputs: tuple, states: Tensor) -> Output:
    """What `forward` or `unroll` returns as an `Output`, or an error that says what is wrong."""
    name, n_rows = type(policy).__name__, states.shape[0]
    try:
        result = call(*inputs)
    except RuntimeError as error:
        advice = "If it is the shapes that do not fit, it was made for another observation space."
        if not states.is_floating_point():
            advice = "Most layers take floats: begin with state = state.float()."
        raise ValueError(
            f"{name} failed on {n_rows} observations of shape {tuple(states.shape[1:])} and type "
            f"{states.dtype}: {error}. {advice}"
        ) from error
    if not isinstance(result, tuple) or len(result) < 2:
        got = f"{len(result)} value(s)" if isinstance(result, tuple) else type(result).__name__
        raise TypeError(
            f"{name}.forward must return at least two values, the next recurrent state (or None) "
            f"and an ActionDistribution, then any extras; it returned {got}"
        )
    recur_state, dist, *extras = result
    if dist is not None and not isinstance(dist, ActionDistribution):
        raise TypeError(
            f"the second value that {name}.forward returns must be an ActionDistribution (None for "
            f"a critic), not {type(dist).__name__}; wrap it: rlx.ActionDistribution(...)"
        )
    if dist is None and not extras:
        raise TypeError(f"{name}.forward returned neither a distribution nor a value")
    if dist is not None and len(dist) != n_rows:
        raise ValueError(f"{name}: an action distribution of {len(dist)} rows for {n_rows} states")
    for k, extra in enumerate(extras):
        if extra is not None and (not isinstance(extra, Tensor) or extra.shape[:1] != (n_rows,)):
            got = tuple(extra.shape) if isinstance(extra, Tensor) else type(extra).__name__
            raise ValueError(
                f"extra {k} that {name}.forward returns must be a tensor with one entry a row "
                f"({n_rows} here) or None; got {got}"
            )
    return Output(recur_state, dist, apply(squeezed, tuple(extras)))


def fits(dist: ActionDistribution | None, action_space: spaces.Space) -> None:
    """Do the policy's action components fit the action space? Raises ValueError if not."""
    if dist is None:
        raise ValueError("this network returns no action distribution (a critic?): it cannot act")
    parts = parts_of(action_space)
    if len(dist.components) != len(parts):
        raise ValueError(
            f"the policy returns {len(dist.components)} action component(s), the action space "
            f"{action_space} has {len(parts)}: each needs one distribution"
        )
    for k, (component, space) in enumerate(zip(dist.components, parts)):
        got, shape = tuple(component.batch_shape[1:] + component.event_shape), space.shape
        if got != shape:
            raise ValueError(
                f"action component {k} draws actions of shape {got}, {space} takes {shape}: "
                f"its parameters must have shape ({', '.join(['B', *map(str, shape)])}), and "
                "a Categorical's one more dimension for the values"
            )
        if not isinstance(space, spaces.Box) and not component.support.is_discrete:
            raise ValueError(
                f"action component {k} is a {type(component).__name__}, {space} takes "
                "integers: use a Categorical"
            )
        n = 2 if isinstance(space, spaces.MultiBinary) else getattr(space, "n", None)
        if isinstance(component, Categorical) and component.param_shape[-1] != n:
            raise ValueError(
                f"action component {k} is a Categorical over {component.param_shape[-1]} "
                f"values, {space} has {n or 'real-valued actions: use a Normal'}"
            )


def check_observations(space: spaces.Space, single: bool) -> None:
    """Raise ValueError, with what to do, for observations that policies cannot be shown."""
    arrays = spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary
    if isinstance(space, arrays) and not (isinstance(space, spaces.Box) and space.shape == ()):
        return
    try:
        flattens = space.is_np_flattenable
    except NotImplementedError:  # somebody's own space
        flattens = False
    advice = "gymnasium.wrappers.TransformObservation(env, function, box) makes such of others"
    if flattens:
        vector = "" if single else "vector."
        advice = f"gymnasium.wrappers.{vector}FlattenObservation(env) makes a row of numbers of it"
    elif not single:
        advice += ", around each environment before they are put side by side"
    raise ValueError(
        f"observations of {space} are not supported: a policy sees arrays of a fixed shape, which "
        f"are a Box of at least one dimension, MultiBinary, MultiDiscrete or Discrete. {advice}"
    )


def parts_of(space: spaces.Space) -> list[spaces.Space]:
    """The Discrete, MultiBinary or Box of each action component that a space asks for."""
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return [spaces.Discrete(int(n)) for n in space.nvec]
    parts = list(space) if isinstance(space, spaces.Tuple) else [space]
    if all(isinstance(part, (spaces.Discrete, spaces.MultiBinary, spaces.Box)) for part in parts):
        return parts
    raise ValueError(
        f"actions of {space} are not supported: use Discrete, MultiDiscrete, MultiBinary, Box, or "
        "a flat Tuple of Discrete, MultiBinary and Box (a wrapper can translate)"
    )


def check_finite(table: Table, rows: dict[str, Column] | None = None) -> None:
    """Raise ValueError for the first observation, reward or probability that is not a number.

    Once a call, not once a step: it would cost as much as the environment. `rows` are those of the
    table, stacked, unless something went wrong before."""

    def check(
        what: str,
        steps: Sequence[Tensor] | Tensor,
        legal: Callable = torch.isfinite,
        whole: Callable = torch.sum,
        cause: str = "the environment produced it",
    ) -> None:
        if not len(steps) or not steps[0].is_floating_point() or not steps[0].numel():
            return
        steps = steps if isinstance(steps, Tensor) else torch.stack(list(steps))
        if legal(whole(steps)):  # what is not legal does not vanish in the whole, and it is quick
            return
        legal = legal(steps)
        if not legal.all():
            t, env = (~legal).nonzero()[0, :2].tolist()
            raise ValueError(
                f"{what} not finite at step {t} of this call, environment {env}: {cause}"
            )

    check("an observation is", rows["states"] if rows else table.observations)
    check("a reward is", torch.from_numpy(np.array(table.rewards)))
    for t, ended, final in table.finals:
        if not final.isfinite().all():
            env = ended[(~final.isfinite()).nonzero()[0, 0].item()]
            raise ValueError(
                f"the final observation of environment {env} is not finite: it ended with step "
                f"{t} of this call"
            )
    cause = "the network's weights are not finite, or its inputs huge (did training diverge?)"
    for steps in zip(*table.parameters):
        if steps[0].shape[:1] == (table.envs.num_envs,):  # a logit of −inf forbids an action
            check("the policy's probabilities are", steps, lambda x: x < math.inf, torch.max, cause)
    for steps in rows["actions"] if rows else zip(*(row["actions"] for row in table.rows)):
        check("the policy's actions are", steps, cause=cause)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on a name that is not known: those like it, or else all there are."""
    near = difflib.get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
