"""Columns of a table: a tensor whose first dimension is rows, a tuple of such columns, or None."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

Column = Tensor | tuple["Column", ...] | None


def apply(f: Callable[[Tensor], Tensor], column: Column) -> Column:
    """`f` of a column, of each entry of a tuple, of nothing for None."""
    if isinstance(column, tuple):
        return tuple(apply(f, entry) for entry in column)
    return None if column is None else f(column)


def leaves(column: Column) -> Iterator[Tensor]:
    """The tensors of a column."""
    if isinstance(column, tuple):
        for entry in column:
            yield from leaves(entry)
    elif column is not None:
        yield column


def join(name: str, f: Callable[[list[Tensor]], Tensor], columns: list[Column]) -> Column:
    """`f` (torch.cat, say) of the tensors that correspond in several columns of the same form.

    Raises ValueError, with the `name` of the column, if they do not fit together."""
    try:
        return _join(f, columns)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"the rows do not fit together in {name}: {error}") from error


def _join(f: Callable[[list[Tensor]], Tensor], columns: list[Column]) -> Column:
    first = columns[0]
    if len({column if column is None else isinstance(column, tuple) for column in columns}) > 1:
        raise TypeError("one has them and another has none")
    if isinstance(first, tuple):
        return tuple(_join(f, list(entries)) for entries in zip(*columns, strict=True))
    return None if first is None else f(columns)


def stack(name: str, rows: list[Column]) -> Column:
    """One column from what belongs to each of its rows, in order."""
    return join(name, torch.stack, rows)


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
