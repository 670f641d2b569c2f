"""The loop that plays a policy in a batch of environments."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rlx.columns import apply, rows_where
from rlx.distributions import no_validation
from rlx.play.batch import EnvBatch
from rlx.play.checks import check_finite, fits, run
from rlx.play.table import Table
from rlx.policy import Parametric, RecurState
from rlx.rollout import Rollout


@dataclass
class Carry:
    """Where sampling stands between two calls: what `segment` needs to go on."""

    observations: Tensor
    recur_state: RecurState
    memory_shapes: tuple  # of the policy that played so far
    fresh: np.ndarray  # (B,) the next row is the first after a reset
    stale: np.ndarray  # (B,) the episode is over, and the environment is still to be reset
    ghost: np.ndarray  # (B,) the next row is an end row that was recorded already
    returns: np.ndarray  # (B,) rewards so far of the episode in progress
    lengths: np.ndarray  # (B,) its steps so far


def reset(envs: EnvBatch, seed: int | None = None) -> Carry:
    """Reset every environment; nothing has been played yet."""
    no, zeros = np.zeros(envs.num_envs, bool), np.zeros(envs.num_envs)
    return Carry(envs.reset(seed), None, (), ~no, no, no, zeros, zeros.astype(int))


def collect(
    envs: EnvBatch,
    policy: Parametric,
    carry: Carry,
    n_steps: int | None,
    *,
    active: int | None = None,
    dry: bool = False,
    greedy: bool = False,
    frames: list[np.ndarray] | None = None,
) -> tuple[Rollout, Carry]:
    """Play `policy` for `n_steps` steps of every environment; with `active`, at most until each of
    the first so many environments has finished one episode, of which the rollout then consists.

    Every fragment closes with an end row, on which the policy has run too. Returns the rollout,
    and where sampling now stands."""
    table = Table(envs, dry)
    observations, recur = carry.observations, carry.recur_state
    fresh, stale, ghost = carry.fresh, carry.stale, carry.ghost
    playing = np.arange(envs.num_envs) < (active or envs.num_envs)
    once = active is not None
    try:
        with no_validation(), torch.no_grad() if dry else contextlib.nullcontext():
            for t in itertools.count():
                last = t == n_steps or (once and not playing.any())
                if last and not envs.ghost and not (playing & ~fresh).any():
                    break  # every end row is in the table already
                if not envs.ghost and not last and stale.any():
                    observations, stale = envs.refresh(observations, stale), np.zeros_like(stale)
                recur = forget(recur, fresh)
                table.observations.append(observations)
                output = run(policy, recur, observations)
                if t == 0:
                    fits(output.dist, envs.action_space)
                table.parameters.append([*output.dist.parameters()])
                actions = output.dist.mode if greedy else output.dist.sample()
                table.add(recur, actions, output, fresh, ghost)
                if frames is not None:
                    frames.append(envs.env.render())
                if last:
                    break

                try:
                    observations, rewards, terminated, done, final = envs.step(actions)
                except Exception as error:
                    raise RuntimeError(
                        f"the environment raised {type(error).__name__} at step {t} of this call: "
                        f"{error}. The rollout is lost; the next call starts from a reset."
                    ) from error
                table.add_step(rewards, terminated, done)
                if envs.paid:
                    table.paid.append(envs.paid())
                recur = output.recur_state
                if envs.ghost:
                    fresh, ghost = ghost, done
                else:
                    fresh = stale = done
                if final is not None:
                    ended = np.flatnonzero(done)
                    table.finals.append((t, ended, final))
                    table.add_end(policy, recur, terminated[done], greedy)
                    if frames is not None:
                        frames.append(envs.env.render())
                if once:
                    playing = playing & ~done
    except Exception:
        check_finite(table)  # a NaN is the likelier cause, and says more
        raise
    rollout, returns, lengths = table.assemble(active, carry)
    recur = apply(Tensor.detach, recur)
    memory = policy.memory_shapes
    carry = Carry(observations, recur, memory, fresh, stale, ghost, returns, lengths)
    return rollout, carry


def forget(recur: RecurState, fresh: np.ndarray) -> RecurState:
    """The recurrent state with zeros where an episode begins; None if they all do."""
    if recur is None:
        return None
    count = np.count_nonzero(fresh)  # a good deal faster than `any` and `all`
    if count == len(fresh):
        return None
    return rows_where(fresh, recur, 0.0) if count else recur
