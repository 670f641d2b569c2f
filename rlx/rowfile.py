"""RowFile: the rows of a Replay in a file beside a checkpoint, to which each checkpoint adds."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlx.columns import Column, apply, leaves

CHUNK = 2**24  # bytes that are in memory twice while rows are written or read


class RowFile:
    """Where a Replay's rows are while `beside` a checkpoint, which then holds no rows, but a note
    of where they are.

    The file is a ring of twice the store's capacity, an entry a row: its number, and its bytes. A
    checkpoint writes only what is new since the last one, and so not over what that one speaks of;
    were it more than a store full, it writes another file. So a kill at any moment leaves a whole
    checkpoint with all its rows: the old one, until the new one has taken its place. On disk that
    is up to twice what the store takes in memory.
    """

    def __init__(self) -> None:
        self._prefix: Path | None = None
        self._notes: dict[Path, dict[str, Any]] = {}  # by prefix: what the checkpoint there says
        self._new: dict[str, Any] | None = None

    @property
    def in_use(self) -> bool:
        return self._prefix is not None

    @contextlib.contextmanager
    def beside(self, prefix: Path) -> Iterator[None]:
        """Within it a checkpoint is written or read. If it fails, its predecessor still counts."""
        self._prefix, self._new = prefix, None
        try:
            yield
            if self._new:
                self._notes[prefix] = self._new
                for other in prefix.parent.iterdir():  # of runs before this one
                    if other.name.startswith(f"{prefix.name}-") and other.name != self._new["file"]:
                        other.unlink()
        finally:
            self._prefix = None

    def write(self, columns: Column, capacity: int, rows_added: int) -> dict[str, Any]:
        """Put the rows of a ring of `columns` into the file. Returns the note.

        Raises OSError if that is not possible."""
        note, folder = self._notes.get(self._prefix), self._prefix.parent
        oldest = max(0, rows_added - capacity)
        if note and note["rows_added"] >= oldest and (folder / note["file"]).exists():
            name, begin = note["file"], note["rows_added"]
        else:
            name, begin = f"{self._prefix.name}-{secrets.token_hex(4)}", oldest
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "r+b" if path.exists() else "w+b") as file:
                for rows in _blocks(columns, capacity, begin, rows_added):
                    table = _table(columns, capacity, rows)
                    file.seek(rows.start % (2 * capacity) * table.shape[1])
                    file.write(table)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(f"could not write {path}: {error.strerror}") from error
        like = apply(lambda x: x[:0].cpu().clone(), columns)
        self._new = {"file": name, "rows_added": rows_added, "like": like}
        return self._new

    def read(self, note: dict[str, Any], capacity: int) -> Column:
        """The ring of columns, as it was when `note` was taken.

        Raises FileNotFoundError if they are not in the file, or no longer."""
        name, rows_added = Path(note["file"]).name, note["rows_added"]  # never in another folder
        path = self._prefix.parent / name
        lost = FileNotFoundError(
            f"the rows that this checkpoint replays are not in {path}, or no longer: the two files "
            "belong together, so copy and move them together"
        )
        if not path.exists():
            raise lost
        columns = apply(lambda x: x.new_zeros(capacity, *x.shape[1:]), note["like"])
        oldest = max(0, rows_added - capacity)
        with open(path, "rb") as file:
            for rows in _blocks(columns, capacity, oldest, rows_added):
                table = np.zeros((len(rows), _width(columns)), np.uint8)
                file.seek(rows.start % (2 * capacity) * table.shape[1])
                file.readinto(table)
                if not np.array_equal(table[:, :8].copy().view(np.int64)[:, 0], rows):
                    raise lost
                _put(table, columns, capacity, rows)
        if name.startswith(f"{self._prefix.name}-"):  # otherwise it is another checkpoint's
            self._new = {**note, "file": name}
        return columns


def _width(columns: Column) -> int:
    """Bytes of an entry."""
    return 8 + sum(math.prod(x.shape[1:]) * x.element_size() for x in leaves(columns))


def _blocks(columns: Column, capacity: int, begin: int, end: int) -> Iterator[range]:
    """The rows from `begin` to `end`, in pieces that lie together in memory and in the file."""
    size = max(1, CHUNK // _width(columns))
    while begin < end:
        around = (begin // capacity + 1) * capacity
        yield range(begin, min(begin + size, around, end))
        begin = min(begin + size, around, end)


def _bytes(x: Tensor) -> Tensor:
    """A view of x, (n, …), as (n, bytes of an entry)."""
    return (x.flatten(1) if x.ndim > 1 else x[:, None]).view(torch.uint8)


def _table(columns: Column, capacity: int, rows: range) -> np.ndarray:
    """The number of each of these rows, and its bytes: (len(rows), width)."""
    at = slice(rows.start % capacity, rows.start % capacity + len(rows))
    found = [torch.arange(rows.start, rows.stop), *(x[at].cpu() for x in leaves(columns))]
    return np.concatenate([_bytes(x).numpy() for x in found], axis=1)


def _put(table: np.ndarray, columns: Column, capacity: int, rows: range) -> None:
    first, begin = rows.start % capacity, 8
    for x in leaves(columns):
        into = _bytes(x[first : first + len(rows)])
        into.copy_(torch.from_numpy(table)[:, begin : begin + into.shape[1]])
        begin += into.shape[1]
