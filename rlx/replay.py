"""Replay: a bounded store of rollouts, from which windows of consecutive rows are drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlx import functional
from rlx.columns import Column, apply, leaves
from rlx.rollout import Rollout
from rlx.rowfile import RowFile


class Replay:
    """The newest `capacity` rows of all rollouts that were added, end rows included.

    A ring of columns: a new row takes the place of the oldest. `sample` draws windows of
    consecutive rows of one episode (or fragment, where a segment was cut); none reaches across its
    end row. Columns of your own are kept. Extras, entropy, returns and advantages are not:
    `evaluate` gives new ones.

    Draws from `generator`, or torch's global one. A checkpoint keeps the rows in a file beside it
    (`rlx.rowfile`), and writes only those that are new.
    """

    def __init__(self, capacity: int, generator: torch.Generator | None = None) -> None:
        if capacity < 2:
            raise ValueError(f"capacity is {capacity} rows: a transition alone takes two")
        self.capacity, self.generator = capacity, generator
        self.columns: dict[str, Column] = {}
        self.rows_added = 0  # ever
        self.file = RowFile()

    def __len__(self) -> int:
        """Rows in store."""
        return min(self.rows_added, self.capacity)

    def __repr__(self) -> str:
        return f"<Replay: {len(self)} of {self.capacity} rows>"

    def add(self, rollout: Rollout) -> None:
        """Store a rollout's rows. Raises ValueError if its end rows were cut, or its columns are
        unlike those in store."""
        rollout.check_end_rows()
        passing = {name for name, field in Rollout.COLUMNS.items() if not field.stored}
        kept = {name: x for name, x in rollout.columns.items() if name not in passing}
        new = apply(Tensor.detach, kept)
        if not self.columns:
            self.columns = apply(lambda x: x.new_zeros(self.capacity, *x.shape[1:]), new)
        n = min(len(rollout), self.capacity)
        rows = torch.arange(self.rows_added + len(rollout) - n, self.rows_added + len(rollout))
        rows %= self.capacity
        pairs = []
        for name in self.columns | new:
            ours, theirs = list(leaves(self.columns.get(name))), list(leaves(new.get(name)))
            if [x.shape[1:] for x in ours] != [x.shape[1:] for x in theirs]:
                raise ValueError(
                    f"the {name} of this rollout are of shapes "
                    f"{[tuple(x.shape[1:]) for x in theirs]} a row, those in store of "
                    f"{[tuple(x.shape[1:]) for x in ours]}: one Replay for each kind of policy"
                )
            pairs += zip(ours, theirs)
        for ours, theirs in pairs:
            ours[rows.to(ours.device)] = theirs[-n:]
        self.rows_added += len(rollout)

    def sample(self, batch: int, length: int = 2, burn_in: int = 0) -> Rollout:
        """`batch` windows of at most `length` rows: up to `length` - 1 steps and an end row.

        Their first rows are drawn uniformly, with replacement, from all steps in store. A window
        that reaches the end of its episode is shorter. Where it stops earlier, its last row is
        marked `end`, with reward 0: a transition, `length=2`, is the step and the state it led to.
        Recurrent policies enter a window with the state stored at its first row. With `burn_in`,
        only windows are drawn that begin at a reset, or in which more than so many steps follow.

        Raises ValueError while nothing is in store, or no window that could be drawn."""
        if length < 2:
            raise ValueError(f"windows of {length} rows: a step and where it led are two")
        first = self._steps(batch, burn_in)
        rows, lengths = functional.replay_indices(first, self.columns["end"], length)
        if len(rows) == 2 * batch:  # all of two rows: the same in a faster way
            counts, last = [2] * batch, slice(1, None, 2)
        else:
            counts, last = lengths.tolist(), lengths.cumsum(0) - 1
        # index_select is twice as fast as indexing, and this is most of the work
        columns = apply(lambda x: x.index_select(0, rows), self.columns)
        for name, field in Rollout.COLUMNS.items():
            if field.at_end is not None and columns.get(name) is not None:
                columns[name][last] = field.at_end
        return Rollout(counts).replace(**columns)

    def _steps(self, batch: int, burn_in: int) -> Tensor:
        """First rows of `batch` windows, drawn uniformly: those that do not serve, again."""
        found, missing = [], batch
        if not len(self):
            raise ValueError("the replay is empty: add(rollout) before sample")
        while missing > 0:
            rows = torch.randint(len(self), (2 * missing + 16,), generator=self.generator)
            rows = rows.to(self.columns["end"].device)
            serve = rows[self._serve(rows, burn_in)][:missing]
            if not len(serve):  # there are few, or none
                every = torch.arange(len(self), device=rows.device)
                every = every[self._serve(every, burn_in)]
                if not len(every):
                    raise ValueError(
                        f"no window in store has a step after its first burn_in={burn_in} rows: "
                        "give a smaller burn_in, or store longer episodes and segments"
                    )
                chosen = torch.randint(len(every), (missing,), generator=self.generator)
                serve = every[chosen.to(every.device)]
            found.append(serve)
            missing -= len(serve)
        return found[0] if len(found) == 1 else torch.cat(found)

    def _serve(self, rows: Tensor, burn_in: int) -> Tensor:
        """Do windows from here have a step to learn from? (len(rows),) bool."""
        end = self.columns["end"]
        inside = ~end.index_select(0, rows)
        if not burn_in:
            return inside
        ahead = rows[:, None] + torch.arange(1, burn_in + 1, device=rows.device)
        long = ~end[ahead % self.capacity].any(1)
        return inside & (long | self.columns["start"].index_select(0, rows))

    def state_dict(self) -> dict[str, Any]:
        """Everything; beside a checkpoint, where the rows are in its file."""
        state = {"capacity": self.capacity, "rows_added": self.rows_added}
        if self.file.in_use and self.columns:
            return {**state, "note": self.file.write(self.columns, self.capacity, self.rows_added)}
        return {**state, "columns": apply(lambda x: x[: len(self)].clone(), self.columns)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises ValueError for another capacity."""
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"this Replay holds {self.capacity} rows, the saved one {state['capacity']}: make "
                "it with the same capacity"
            )

        def restore(x: Tensor) -> Tensor:
            column = x.new_zeros(self.capacity, *x.shape[1:])
            column[: len(x)] = x
            return column

        if "note" in state:
            self.columns = self.file.read(state["note"], self.capacity)
        else:
            self.columns = apply(restore, state["columns"])
        self.rows_added = state["rows_added"]
