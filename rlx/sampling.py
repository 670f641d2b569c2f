"""From steps to a table: the loop that plays a policy in a batch of environments."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rlx.batch import EnvBatch
from rlx.columns import Column, apply, join, stack
from rlx.policy import ActionDistribution, Output, Parametric, RecurState, no_validation, run
from rlx.rollout import Rollout


@dataclass
class Carry:
    """Where sampling stands between two calls: what `segment` needs to go on."""

    policy: Parametric
    observations: Tensor
    recur_state: RecurState
    fresh: np.ndarray  # (B,) the next row is the first after a reset
    stale: np.ndarray  # (B,) the episode is over, and the environment is still to be reset
    ghost: np.ndarray  # (B,) the next row is an end row that was recorded already
    returns: np.ndarray  # (B,) rewards so far of the episode in progress
    lengths: np.ndarray  # (B,) its steps so far


@dataclass
class Finished:
    """Sum of rewards and number of steps of each episode that ended during a call."""

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


def reset(envs: EnvBatch, policy: Parametric, seed: int | None = None) -> Carry:
    """Reset every environment; nothing has been played yet."""
    no, zeros = np.zeros(envs.num_envs, bool), np.zeros(envs.num_envs)
    return Carry(policy, envs.reset(seed), None, ~no, no, no, zeros, zeros.astype(int))


def collect(
    envs: EnvBatch,
    policy: Parametric,
    carry: Carry,
    n_steps: int | None,
    *,
    once: bool,
    dry: bool,
    greedy: bool = False,
    active: int | None = None,
    frames: list[np.ndarray] | None = None,
) -> tuple[Rollout, Carry, Finished]:
    """Play `policy` for `n_steps` steps of every environment; with `once`, at most until each of
    the first `active` environments has finished one episode, of which the rollout then consists.

    Every fragment closes with an end row, on which the policy has run too. Returns the rollout,
    where sampling now stands, and the episodes that finished."""
    table = _Table(envs, dry)
    observations, recur = carry.observations, carry.recur_state
    fresh, stale, ghost = carry.fresh, carry.stale, carry.ghost
    playing = np.arange(envs.num_envs) < (active or envs.num_envs)
    try:
        with no_validation(), torch.no_grad() if dry else contextlib.nullcontext():
            for t in itertools.count():
                last = t == n_steps or not playing.any()
                if last and not envs.ghost and not (playing & ~fresh).any():
                    break  # every end row is in the table already
                if stale.any() and not last:
                    observations, stale = envs.refresh(observations, stale), np.zeros_like(stale)
                recur = _forget(recur, fresh)
                table.observations.append(observations)
                output = run(policy, recur, observations)
                if t == 0:
                    envs.check(output.dist)
                table.dists.append(output.dist)
                actions = output.dist.mode if greedy else output.dist.sample()
                table.add(recur, actions, output, fresh, ghost)
                if frames is not None:
                    frames.append(envs.env.render())
                if last:
                    break

                try:
                    observations, rewards, terminated, truncated, final = envs.step(actions)
                except Exception as error:
                    raise RuntimeError(
                        f"the environment raised {type(error).__name__} at step {t} of this call: "
                        f"{error}. The rollout is lost; the next call starts from a reset."
                    ) from error
                done = terminated | truncated
                table.add_step(rewards, terminated, done)
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
        table.check_finite()  # a NaN is the likelier cause, and says more
        raise
    rollout, finished, returns, lengths = table.assemble(once, active or envs.num_envs, carry)
    recur = apply(Tensor.detach, recur)
    carry = Carry(policy, observations, recur, fresh, stale, ghost, returns, lengths)
    return rollout, carry, finished


def _forget(recur: RecurState, fresh: np.ndarray) -> RecurState:
    """The recurrent state with zeros where an episode begins; None if they all do."""
    if recur is None or fresh.all():
        return None
    if not fresh.any():
        return recur

    def zero(h: Tensor) -> Tensor:
        mask = torch.as_tensor(fresh, device=h.device).view(-1, *(1,) * (h.ndim - 1))
        return h.masked_fill(mask, 0.0)

    return apply(zero, recur)


class _Table:
    """Rows as they come: one list a column, an entry of B rows a step, and end rows beside them."""

    def __init__(self, envs: EnvBatch, dry: bool) -> None:
        self.envs, self.dry = envs, dry
        self.observations: list[Tensor] = []
        self.dists: list[ActionDistribution] = []
        self.rows: list[tuple[Column, ...]] = []
        self.finals: list[tuple[int, np.ndarray, Tensor]] = []  # (step, environments, observations)
        self.end_rows: list[tuple[Column, ...]] = []  # what the policy made of `finals`
        self.end_terminated: list[np.ndarray] = []
        self.fresh: list[np.ndarray] = []
        self.ghost: list[np.ndarray] = []
        self.rewards: list[np.ndarray] = []
        self.terminated: list[np.ndarray] = []
        self.done: list[np.ndarray] = []

    def add(self, recur, actions, output: Output, fresh, ghost) -> None:
        self.rows.append(self._row(self.observations[-1], recur, actions, output))
        self.fresh.append(fresh)
        self.ghost.append(ghost)

    def add_step(self, rewards, terminated, done) -> None:
        self.rewards.append(rewards)
        self.terminated.append(terminated)
        self.done.append(done)

    def add_end(
        self, policy: Parametric, recur: RecurState, terminated: np.ndarray, greedy: bool
    ) -> None:
        """Run the policy on the latest of `finals`, too: its value is wanted there.

        On a whole batch, as at every step, for each environment may have an ε of its own: those
        that did not end are where they were before the step."""
        _, ended, final = self.finals[-1]
        index = torch.as_tensor(ended, device=self.envs.device)
        states, recur = join(
            "the end rows",
            lambda pair: pair[0].index_copy(0, index, pair[1]),
            [self.rows[-1][:2], (final, apply(lambda h: h[index], recur))],
        )
        output = run(policy, recur, states)
        actions = output.dist.mode if greedy else output.dist.sample()
        row = self._row(states, recur, actions, output)
        self.end_rows.append(apply(lambda x: x[index], row))
        self.end_terminated.append(terminated)

    def _row(self, states, recur, actions, output: Output) -> tuple[Column, ...]:
        if recur is None and output.recur_state is not None:
            recur = apply(torch.zeros_like, output.recur_state)
        recur = apply(Tensor.detach, recur)
        if self.dry:
            return states, recur, actions, None, None, None
        try:
            entropy = output.dist.entropy()
        except NotImplementedError:
            entropy = None  # no closed form: an error only for those who read it
        return states, recur, actions, output.dist.log_prob(*actions), entropy, output.others

    def assemble(
        self, once: bool, active: int, carry: Carry
    ) -> tuple[Rollout, Finished, np.ndarray, np.ndarray]:
        """Sort the rows by environment, then time, and cut them into episodes."""
        self.check_finite()
        n_rows, n_envs = len(self.rows), self.envs.num_envs
        fresh, ghost = np.stack(self.fresh), np.stack(self.ghost)
        border = n_rows > len(self.rewards)  # the last row was played, but not stepped from

        def lay(steps: list[np.ndarray], shift: int, dtype: type) -> np.ndarray:
            """Steps as a (rows, B) table: entry t at row t, or (shift 1) at the row it led to."""
            table = np.zeros((n_rows + 1, n_envs), dtype)
            if steps:
                table[shift : len(steps) + shift] = steps
            return table[:n_rows]

        rewards = np.where(ghost, 0.0, lay(self.rewards, 0, np.float32))
        led_here = lay(self.terminated, 1, bool)
        end, keep = ghost.copy(), np.ones_like(ghost)
        keep[0] &= ~ghost[0]  # the segment before recorded this end row
        keep[:, active:] = False
        if border:
            end[-1] = True
            keep[-1] &= ~fresh[-1]  # a fragment of no step
        if once:
            over = ghost if self.envs.ghost else lay(self.done, 0, bool)
            keep[1:] &= ~np.logical_or.accumulate(over)[:-1]

        # order[b, t] holds the flat index of row (t, b), then that of an end row beside it
        order = np.full((n_envs, n_rows, 2), -1)
        order[..., 0] = np.where(keep, np.arange(n_rows * n_envs).reshape(n_rows, n_envs), -1).T
        n_extra = 0
        for t, ended, _ in self.finals:
            index = n_rows * n_envs + n_extra + np.arange(len(ended))
            order[ended, t, 1] = np.where(keep[t, ended], index, -1)
            n_extra += len(ended)
        index = order[order >= 0]

        def flat(table: np.ndarray, extra: np.ndarray | bool | float) -> np.ndarray:
            extras = np.broadcast_to(extra, n_extra).astype(table.dtype)
            return np.concatenate([table.reshape(-1), extras])[index]

        extra_terminated = np.concatenate([*self.end_terminated, np.zeros(0, bool)])
        end_flat = flat(end, True)
        lengths = np.diff(np.flatnonzero(end_flat), prepend=-1)
        start = flat(fresh, False)
        columns = self._columns(index)
        rollout = Rollout(
            lengths.tolist(),
            dry=self.dry,
            **columns,
            rewards=self._tensor(flat(rewards, 0.0)),
            end=self._tensor(end_flat),
            terminated=self._tensor(flat(end & led_here, extra_terminated)),
            start=self._tensor(start),
        )
        if not self.dry:
            _blank_end_rows(rollout)

        # Bookkeeping of whole episodes: those in progress are carried on to the next call.
        first = np.cumsum(lengths) - lengths
        env = np.nonzero(order >= 0)[0][first]
        goes_on = ~start[first]
        sums = np.zeros(0)
        if len(first):
            sums = np.add.reduceat(rollout.rewards.numpy(force=True), first, dtype=np.float64)
        sums = sums + np.where(goes_on, carry.returns[env], 0.0)
        steps = lengths - 1 + np.where(goes_on, carry.lengths[env], 0)
        over = flat(ghost, True)[first + lengths - 1] | once
        returns, counts = np.zeros(n_envs), np.zeros(n_envs, int)
        returns[env[~over]], counts[env[~over]] = sums[~over], steps[~over]
        return rollout, Finished(sums[over].tolist(), steps[over].tolist()), returns, counts

    def _columns(self, index: np.ndarray) -> dict[str, Column]:
        rows = torch.as_tensor(index, device=self.envs.device)
        names = ("states", "recur_states", "actions", "logprobs", "entropy", "others")
        columns = {}
        for k, name in enumerate(names):
            column = apply(lambda x: x.flatten(0, 1), stack(name, [row[k] for row in self.rows]))
            if self.end_rows:
                column = join(name, torch.cat, [column, *(row[k] for row in self.end_rows)])
            columns[name] = apply(lambda x: x[rows], column)
        return columns

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self.envs.device)

    def check_finite(self) -> None:
        """Raise ValueError for the first observation, reward or probability that is not a number.

        Once a call, not once a step: it would cost as much as the environment."""

        def check(what: str, steps: Sequence[Tensor], legal=torch.isfinite, cause="") -> None:
            if not steps or not steps[0].is_floating_point():
                return
            legal = legal(torch.stack(list(steps)))
            if not legal.all():
                t, env = (~legal).nonzero()[0, :2].tolist()
                cause = cause or "the environment produced it"
                raise ValueError(
                    f"{what} not finite at step {t} of this call, environment {env}: {cause}"
                )

        check("an observation is", self.observations)
        check("a reward is", [torch.from_numpy(rewards) for rewards in self.rewards])
        for t, ended, final in self.finals:
            if not final.isfinite().all():
                env = ended[(~final.isfinite()).nonzero()[0, 0].item()]
                raise ValueError(
                    f"the final observation of environment {env} is not finite: it ended with step "
                    f"{t} of this call"
                )
        cause = "the network's weights are not finite, or its inputs huge (did training diverge?)"
        for steps in zip(*(list(dist.parameters()) for dist in self.dists)):
            if steps[0].shape[:1] == (self.envs.num_envs,):  # a logit of −inf forbids an action
                check("the policy's probabilities are", steps, lambda x: x < math.inf, cause)
        for steps in zip(*(row[2] for row in self.rows)):
            check("the policy's actions are", steps, cause=cause)


def _blank_end_rows(rollout: Rollout) -> None:
    """No action is executed at an end row: log-probability and entropy are 0 there."""
    for name in ("logprobs", "entropy"):
        column = rollout._columns[name]
        if column is not None:
            rollout._columns[name] = column.masked_fill(rollout.end, 0.0)
