"""Columns of a table, and how one is declared.

A column is a tensor whose first dimension is rows, a tuple or a dict of columns, or None."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Column = Tensor | tuple["Column", ...] | dict[str, "Column"] | None


def apply(f: Callable[[Tensor], Tensor], column: Column) -> Column:
    """`f` of a column, of each entry of a tuple or a dict, of nothing for None."""
    if isinstance(column, tuple):
        return tuple([apply(f, entry) for entry in column])
    if isinstance(column, dict):
        return {name: apply(f, entry) for name, entry in column.items()}
    return None if column is None else f(column)


def leaves(column: Column) -> Iterator[Tensor]:
    """The tensors of a column."""
    if isinstance(column, (tuple, dict)):
        for entry in column if isinstance(column, tuple) else column.values():
            yield from leaves(entry)
    elif column is not None:
        yield column


def join(name: str, f: Callable[[list[Tensor]], Tensor], columns: list[Column]) -> Column:
    """`f` (torch.cat, say) of the tensors that correspond in several columns of the same form.

    Raises ValueError, with the `name` of the column (the key, in a dict), if they do not fit
    together."""
    if isinstance(columns[0], dict):
        keys = dict.fromkeys(itertools.chain.from_iterable(columns))
        return {key: join(key, f, [column.get(key) for column in columns]) for key in keys}
    try:
        return _join(f, columns)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"the rows do not fit together in {name}: {error}") from error


def _join(f: Callable[[list[Tensor]], Tensor], columns: list[Column]) -> Column:
    first = columns[0]
    kinds = set(map(type, columns))
    if len(kinds) > 1 and not kinds.isdisjoint((tuple, type(None))):
        raise TypeError("one has them and another has none")
    if isinstance(first, tuple):
        return tuple(_join(f, list(entries)) for entries in zip(*columns, strict=True))
    return None if first is None else f(columns)


def squeezed(extra: Tensor) -> Tensor:
    """A value head gives (B, 1); against (B,) that would broadcast to (B, B) in a loss: so (B,)."""
    return extra.squeeze(-1) if extra.ndim == 2 and extra.shape[-1] == 1 else extra


def rows_where(mask: Tensor | np.ndarray, column: Column, other: Column | float) -> Column:
    """`column` with `other`, another of the same form or a number, in the rows of `mask` (B,)."""
    if isinstance(column, tuple):
        others = other if isinstance(other, tuple) else (other,) * len(column)
        return tuple(rows_where(mask, c, o) for c, o in zip(column, others, strict=True))
    if column is None:
        return None
    mask = torch.as_tensor(mask, device=column.device).view(-1, *(1,) * (column.ndim - 1))
    if isinstance(other, Tensor):
        return torch.where(mask, other, column)
    return column.masked_fill(mask, other)


@dataclass(eq=False)
class Field:
    """Declares a column, in the body of a table's class: all that is known of it stands there.

    - `shape`: the rule, and its description. "(N,)" is one number a row, "(N,) bool" one flag;
      anything else is a tensor with one entry a row, or a tuple of such tensors.
    - `step`: its name in a single row; None: rows do not have it. `default`: what a row holds that
      leaves it out. `blank`: the rows, "end" or "start", where None stands for zeros.
    - `fill(output, actions)` computes it from what the policy gave, if that is what fills it.
    - `at_end`: what end rows hold; None: what is there.
    - `missing`: how to come by it, for the error of whoever reads it; None: it need not be there.
    - `stored`: a `Replay` keeps it.
    - `optional`: added to rows without, it is dropped; otherwise they do not fit together.
    """

    shape: str
    meaning: str
    _: KW_ONLY
    step: str | None = None
    default: Any = None
    blank: str | None = "end"
    at_end: float | None = None
    fill: Callable[[Any, tuple[Tensor, ...]], Column] | None = None
    missing: str | None = "it was built without them"
    stored: bool = True
    optional: bool = False

    def __post_init__(self) -> None:
        self.__doc__ = f"{self.shape}: {self.meaning}"
        self.number, self.flag = self.shape.startswith("(N,)"), self.shape == "(N,) bool"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        owner.COLUMNS = {**owner.COLUMNS, name: self}

    def __get__(self, table: Any, owner: type) -> Any:
        if table is None:
            return self
        column = table.columns[self.name]
        if column is None and self.missing is not None:
            raise RuntimeError(f"this rollout has no {self.name}: {table.why_missing(self)}")
        return column

    def __set__(self, table: Any, column: Column) -> None:
        table.check({self.name: column})
        end = table.columns.get("end")
        if self.at_end is not None and end is not None and (column[end] != self.at_end).any():
            raise ValueError(
                f"{self.name} must be {self.at_end:g} at end rows, where nothing was done: "
                f"rollout.{self.name} = values.masked_fill(rollout.end, {self.at_end:g})"
            )
        table.columns[self.name] = column
