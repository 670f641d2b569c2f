"""Episodes: columns of rows, cut into episodes that stand back to back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from rlx.columns import Column, Field, apply, join, leaves


class Episodes:
    """N rows: each column is a tensor whose first dimension is rows, or a tuple of such tensors.

    `COLUMNS` are those that were declared, each by a `Field`. Any other name becomes a column of
    yours when you assign one entry a row to it, `table.bonus = torch.zeros(len(table))`. All are
    cut, dealt, put together and sent to a device together.
    """

    COLUMNS: ClassVar[dict[str, Field]] = {}
    vectorized = False  # is each row an episode of its own?

    def __init__(
        self, lengths: Sequence[int] = (), *, vectorized: bool = False, **columns: Column
    ) -> None:
        if unknown := sorted(columns.keys() - self.COLUMNS):
            raise TypeError(
                f"a {type(self).__name__} has no column {unknown}; it has {[*self.COLUMNS]}"
            )
        self.vectorized, self._lengths = vectorized, list(lengths)
        self._columns: dict[str, Column] = dict.fromkeys(self.COLUMNS)
        self._columns.update(columns)
        self.check({name: column for name, column in columns.items() if column is not None})

    @property
    def columns(self) -> dict[str, Column]:
        """All columns by name, yours too; None for one that is not there."""
        self._settle()
        return self._columns

    @property
    def lengths(self) -> list[int]:
        """Rows of each episode, end row included."""
        self._settle()
        return self._lengths

    def _settle(self) -> None:
        """Before anything is read: a subclass may still have rows to put into the columns."""

    def __len__(self) -> int:
        """Number of rows."""
        return sum(self.lengths)

    def why_missing(self, field: Field) -> str:
        return field.missing if len(self) else "it is empty"

    def check(self, columns: dict[str, Column]) -> None:
        """Raises ValueError unless these can be the columns of those names: one entry a row, …"""
        n = len(self)  # a sum over all episodes: once
        for name, column in columns.items():
            self._check(name, column, n)

    def _check(self, name: str, column: Column, n: int) -> None:
        field = self.COLUMNS.get(name)
        number = field is not None and field.number
        parts = [column] if number or column is None else list(leaves(column))
        got = [tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__ for x in parts]
        if any((shape if number else shape[:1]) != (n,) for shape in got):
            want = f"({n},), one number a row" if number else f"({n}, …), or a tuple of them"
            got = got[0] if len(got) == 1 else got
            raise ValueError(f"{name} must be a tensor of shape {want}; got {got}")
        if number and not (
            column.dtype == torch.bool if field.flag else column.is_floating_point()
        ):
            want = "bool" if field.flag else "floating-point numbers"
            raise ValueError(f"{name} must be {want}, not {column.dtype}")

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self)
        if callable(getattr(cls, name, None)):
            raise AttributeError(f"{name} is a method: give your column another name")
        if name.startswith("_") or hasattr(cls, name):
            object.__setattr__(self, name, value)
        elif hasattr(cls, name + "s"):
            raise AttributeError(f"a {cls.__name__} has no {name}: did you mean {name}s?")
        else:
            self.check({name: value})
            self.columns[name] = value

    def __getattr__(self, name: str) -> Any:  # asked only for what is not found otherwise
        if name in vars(self).get("_columns", ()):
            return self.columns[name]
        raise AttributeError(
            f"this {type(self).__name__} has no {name}; assign a tensor with one entry a row to "
            "make it a column"
        )

    # ------------------------------------------------------------------ new from old

    def replace(
        self,
        *,
        lengths: Sequence[int] | None = None,
        vectorized: bool | None = None,
        **columns: Column,
    ) -> Self:
        """The same rows, with other columns, or others besides, or cut into other episodes."""
        new = self._like(dict(self.columns), self.lengths if lengths is None else lengths)
        if lengths is not None and len(new) != len(self):
            raise ValueError(f"the lengths add up to {len(new)} rows, these are {len(self)}")
        if vectorized is not None:
            new.vectorized = vectorized
        new._columns.update(columns)
        new.check({name: column for name, column in columns.items() if column is not None})
        return new

    def take(self, rows: np.ndarray | Tensor, lengths: Sequence[int]) -> Self:
        """The rows of these numbers, in that order, as episodes of these `lengths`."""
        index = torch.as_tensor(rows)
        return self._like(
            apply(lambda x: x.index_select(0, index.to(x.device)), self.columns), lengths
        )

    def _like(self, columns: dict[str, Column], lengths: Sequence[int]) -> Self:
        new = object.__new__(type(self))
        vars(new).update(vars(self), _columns=columns, _lengths=list(lengths))
        return new

    def to(self, device: str | torch.device) -> Self:
        """The same on another device."""
        return self._like(apply(lambda column: column.to(device), self.columns), self.lengths)

    def detach(self) -> Self:
        """The same without gradients."""
        return self._like(apply(Tensor.detach, self.columns), self.lengths)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self.detach())  # a graph cannot be pickled, and workers do not need it

    def __add__(self, other: Self) -> Self:
        """The episodes of both, one after the other."""
        return self.cat([self, other]) if isinstance(other, Episodes) else NotImplemented

    def __radd__(self, other: int) -> Self:
        return self if other == 0 else NotImplemented  # sum(rollouts) begins with 0

    @classmethod
    def cat(cls, tables: Iterable[Self]) -> Self:
        """The episodes of several, one after the other.

        `returns` and `advantages` travel if every one has them. Raises ValueError for those that do
        not fit together: vectorized with not, other shapes or components or columns of yours."""
        parts = [table for table in tables if len(table)]
        if len(parts) < 2:
            return parts[0].replace() if parts else cls()
        if len({part.vectorized for part in parts}) > 1:
            raise ValueError("only one of the rollouts is vectorized: add first, then vectorize()")
        columns = [dict(part.columns) for part in parts]
        for name, field in cls.COLUMNS.items():
            if field.optional and any(one[name] is None for one in columns):
                for one in columns:
                    one[name] = None
        lengths = [length for part in parts for length in part.lengths]
        whole = type(parts[0])(lengths, vectorized=parts[0].vectorized)
        return whole._like(join("the columns", torch.cat, columns), lengths)

    # ------------------------------------------------------------------ cutting

    def __getitem__(self, index: int | slice | Tensor) -> Self:
        """Python's index or slice of each episode's rows; of the rows themselves once vectorized.

        `[:-1]` drops each episode's last row, `[-1]` gathers them; episodes left empty vanish."""
        if self.vectorized:
            index = index.numpy(force=True) if isinstance(index, Tensor) else index
            rows = np.arange(len(self))[index].flatten()
            return self.take(rows, [1] * len(rows))
        if isinstance(index, (int, np.integer)):
            short = [length for length in self.lengths if not -length <= index < length]
            if short:
                raise IndexError(f"row {index} of each episode: one has only {short[0]} rows")
            index = slice(index, index + 1 or None)
        if not isinstance(index, slice):
            raise TypeError(
                "index a rollout with an int or a slice (of each episode), or vectorize()"
            )
        cut = {n: np.arange(n)[index] for n in set(self.lengths)}
        pieces = [cut[n] + offset for n, offset in zip(self.lengths, self._offsets(), strict=True)]
        lengths = [len(piece) for piece in pieces if len(piece)]
        return self.take(np.concatenate(pieces) if lengths else np.arange(0), lengths)

    def _offsets(self) -> np.ndarray:
        lengths = np.array(self.lengths, dtype=np.int64)
        return np.cumsum(lengths) - lengths

    @property
    def position(self) -> np.ndarray:
        """How many rows of its episode, or fragment, come before each row: (N,)."""
        return np.arange(len(self)) - np.repeat(self._offsets(), self.lengths)

    @property
    def episodes(self) -> list[Self]:
        """Each episode (or fragment) by itself."""
        return self._parts(range(len(self.lengths) + 1))

    def _parts(self, cuts: Sequence[int]) -> list[Self]:
        """Cut between episodes: part k has those from `cuts[k]` up to `cuts[k + 1]`."""
        bounds = np.concatenate([self._offsets(), [len(self)]])
        return [
            self.take(np.arange(bounds[a], bounds[b]), self.lengths[a:b])
            for a, b in itertools.pairwise(cuts)
        ]

    def chunks(self, length: int) -> Self:
        """Cut episodes into fragments of at most `length` rows, each with its stored entry state.

        For truncated backpropagation through time. Compute returns before, and drop the end rows:
        `rollout[:-1].chunks(32)`."""
        if length < 1:
            raise ValueError(f"chunks of {length} rows: give a length of at least 1")
        return self.replace(
            lengths=[min(length, n - done) for n in self.lengths for done in range(0, n, length)]
        )

    def vectorize(self) -> Self:
        """Forget time: every row becomes its own one-step episode, so `evaluate` is one pass.

        Recurrent states travel along. Returns cannot be computed after it: compute them before."""
        return self.replace(lengths=[1] * len(self), vectorized=True)

    def shuffle(self, generator: torch.Generator | None = None) -> Self:
        """Permute episodes (rows, once vectorized) in place; returns self.

        Columns are rebound to permuted copies: slices handed out before do not change."""
        order = torch.randperm(len(self.lengths), generator=generator).numpy()
        lengths = np.array(self.lengths, dtype=np.int64)
        rows = order if self.vectorized else _ranges(self._offsets()[order], lengths[order])
        vars(self).update(vars(self.take(rows, lengths[order].tolist())))
        return self

    def minibatches(self, k: int) -> list[Self]:
        """Cut into `k` parts in the present order (shuffle first), dropping nothing.

        Rows are dealt evenly, and come vectorized; a recurrent rollout that is not vectorized keeps
        its episodes (or `chunks`) whole and deals those evenly."""
        whole = not self.vectorized and self.columns.get("recur_states") is not None
        source = self if whole or self.vectorized else self.vectorize()
        count = len(source.lengths)
        if not 1 <= k <= count:
            unit = "fragments" if whole else "rows"
            raise ValueError(f"cannot make {k} minibatches of {count} {unit}")
        return source._parts([count * i // k for i in range(k + 1)])


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The concatenation of range(start, start + length)."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
