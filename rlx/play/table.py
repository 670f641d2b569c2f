"""Table: the rows of a batch of environments as they come, cut into episodes in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rlx.columns import Column, apply, join
from rlx.play.batch import EnvBatch
from rlx.play.checks import Output, check_finite, judge, run
from rlx.policy import Parametric, RecurState
from rlx.rollout import Finished, Rollout, blank

if TYPE_CHECKING:
    from rlx.play.loop import Carry


class Table:
    """Rows as they come: one list a column, an entry of B rows a step, and end rows beside them."""

    def __init__(self, envs: EnvBatch, dry: bool) -> None:
        self.envs, self.dry = envs, dry
        self.observations: list[Tensor] = []
        self.parameters: list[list[Tensor]] = []  # of the distributions
        self.rows: list[dict[str, Column]] = []
        self.finals: list[tuple[int, np.ndarray, Tensor]] = []  # (step, environments, observations)
        self.end_rows: list[dict[str, Column]] = []  # what the policy made of `finals`
        self.end_terminated: list[np.ndarray] = []
        self.fresh: list[np.ndarray] = []
        self.ghost: list[np.ndarray] = []
        self.rewards: list[np.ndarray] = []
        self.paid: list[np.ndarray] = []  # if it is not what the rewards say
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
            [
                (self.rows[-1]["states"], self.rows[-1]["recur_states"]),
                (final, apply(lambda h: h[index], recur)),
            ],
        )
        output = run(policy, recur, states)
        actions = output.dist.mode if greedy else output.dist.sample()
        row = self._row(states, recur, actions, output)
        self.end_rows.append(apply(lambda x: x[index], row))
        self.end_terminated.append(terminated)

    def _row(self, states, recur, actions, output: Output) -> dict[str, Column]:
        if output.recur_state is not None:
            recur = apply(torch.zeros_like, output.recur_state) if recur is None else recur
            recur = apply(Tensor.detach, recur)
        row = {"states": states, "recur_states": recur, "actions": actions}
        if self.dry:
            return row
        # detached, the probability is of the value that is kept, which evaluate will find again
        return row | judge(output, apply(Tensor.detach, actions))

    def assemble(self, active: int | None, carry: Carry) -> tuple[Rollout, np.ndarray, np.ndarray]:
        """Sort the rows by environment, then time, and cut them into episodes: with `active`, one
        of each of the first so many.

        Returns also the rewards and steps so far of the episodes in progress, (B,)."""
        rows = join("the rows", torch.stack, self.rows)
        check_finite(self, rows)
        n_rows, n_envs = len(self.rows), self.envs.num_envs
        fresh, ghost = np.array(self.fresh), np.array(self.ghost)
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
        if border:
            end[-1] = True
            keep[-1] &= ~fresh[-1]  # a fragment of no step
        once = active is not None
        if once:
            keep[:, active:] = False
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
        rollout = Rollout(
            lengths.tolist(),
            **blank(self._columns(rows, index), self._tensor(end_flat)),
            rewards=self._tensor(flat(rewards, 0.0)),
            end=self._tensor(end_flat),
            terminated=self._tensor(flat(end & led_here, extra_terminated)),
            start=self._tensor(start),
        )

        # Bookkeeping of whole episodes: those in progress are carried on to the next call.
        first = np.cumsum(lengths) - lengths
        env = np.nonzero(order >= 0)[0][first]
        goes_on = ~start[first]
        paid, sums = rollout.rewards.numpy(force=True), np.zeros(0)
        if self.paid:
            paid = flat(np.where(ghost, 0.0, lay(self.paid, 0, np.float64)), 0.0)
        if len(first):
            sums = np.add.reduceat(paid, first, dtype=np.float64)
        sums = sums + np.where(goes_on, carry.returns[env], 0.0)
        steps = lengths - 1 + np.where(goes_on, carry.lengths[env], 0)
        over = flat(ghost, True)[first + lengths - 1] | once
        returns, counts = np.zeros(n_envs), np.zeros(n_envs, int)
        returns[env[~over]], counts[env[~over]] = sums[~over], steps[~over]
        rollout.finished = Finished(sums[over].tolist(), steps[over].tolist())
        return rollout, returns, counts

    def _columns(self, rows: dict[str, Column], index: np.ndarray) -> dict[str, Column]:
        columns, order = apply(lambda x: x.flatten(0, 1), rows), self._tensor(index)
        if self.end_rows:
            columns = join("the end rows", torch.cat, [columns, *self.end_rows])
        return apply(lambda x: x.index_select(0, order), columns)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self.envs.device)
