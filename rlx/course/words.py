"""Values and errors in a few words."""

from __future__ import annotations

import dis
import linecache
import math
import sysconfig
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlx.course.values import numbers


def short(value: Any, most: int = 16) -> str:
    """A value in a few characters: numbers rounded, tables of more than `most` by their shape."""
    array = numbers(value)
    if array is None:
        if isinstance(value, dict):
            if not value:
                return "{}"
            return f"({', '.join(f'{key} {short(part, most)}' for key, part in value.items())})"
        if isinstance(value, (list, tuple)):
            first = 12 if len(str(value)) < 200 else 6
            text = ", ".join(short(part, most) for part in value[:first])
            if len(value) > first:
                text += f", … ({len(value)} in all)"
            return f"[{text}]" if isinstance(value, list) else f"({text})"
        return repr(value) if isinstance(value, (str, type(None))) else type(value).__name__
    if array.size > most:
        same = f", all {digits(array.flat[0])}" if (array == array.flat[0]).all() else ""
        return f"{_kind(value)} of shape {tuple(array.shape)}{same}"
    if truths(value):
        return str(array.astype(bool).tolist())
    if isinstance(value, tuple):
        return f"({digits(array.tolist())[1:-1]}{',' * (len(value) == 1)})"
    return digits(array.tolist())


WIDEST = 92  # letters of a table's line, so that it fits a card


def table(rows: dict[str, list[str]]) -> str | None:
    """Cells side by side, each row with its name; or each column, where lines would be too long.

    Rows may be of different lengths. None if it is too wide either way."""
    most = max(map(len, rows.values()))
    lines = [[name, *cells, *[""] * (most - len(cells))] for name, cells in rows.items()]
    turned = [list(line) for line in zip(*lines)]
    turned[0], numbered = ["", *turned[0]], turned[1:]
    turned = [turned[0], *([f"row {k}", *cells] for k, cells in enumerate(numbered))]
    for cells in (lines, turned):
        widths = [max(map(len, column)) for column in zip(*cells)]
        if sum(widths) + 2 * len(widths) - 2 <= WIDEST:
            return "\n".join(
                "  ".join(
                    [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]
                ).rstrip()
                for line in cells
            )
    return None


def truths(value: Any) -> bool:
    """Is it made of True and False?"""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(truths, value))
    kinds = (torch.bool, np.dtype(bool))
    return isinstance(value, (bool, np.bool_)) or getattr(value, "dtype", None) in kinds


def digits(value: Any) -> str:
    """Numbers with four digits, whole ones with all."""
    if isinstance(value, list):
        return f"[{', '.join(map(digits, value))}]"
    if not math.isfinite(value):
        return str(value)
    value += 0.0  # -0.0 is 0
    if value == round(value) and abs(value) < 1e12:  # seeds, say: all of their digits
        return f"{value:.0f}"
    if 1e3 <= abs(value) < 1e6:  # with a decimal, so that it is not taken for a whole number
        return f"{value:.1f}"
    return f"{value:.4g}"


def _kind(value: Any) -> str:
    kinds = {Tensor: "a tensor", np.ndarray: "an array", list: "a list", tuple: "a tuple"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _frames(error: BaseException) -> list[tuple[traceback.FrameSummary, bool]]:
    """The lines of the answer on the way to the error, and whether a line itself raised it."""
    found, tb = [], error.__traceback__
    while tb:
        code = tb.tb_frame.f_code
        if not _ours(code.co_filename):
            op = dis.opname[code.co_code[tb.tb_lasti]]
            last = tb.tb_next is None and op in ("RAISE_VARARGS", "RERAISE")
            text = linecache.getline(code.co_filename, tb.tb_lineno).strip()
            found.append((traceback.FrameSummary("", tb.tb_lineno, "", line=text), last))
        tb = tb.tb_next
    return found


def unwritten(error: BaseException | None) -> bool:
    """Is it the `raise NotImplementedError` of an answer, and none from inside a library?"""
    if hasattr(error, "unwritten"):  # it was raised in another process (rlx.course.afar)
        return error.unwritten
    if not isinstance(error, NotImplementedError):
        return False
    frames = _frames(error)
    return bool(frames) and frames[-1][1]


def where(error: BaseException) -> str:
    """The line of the answer that raised: the last one that is not in a library."""
    if hasattr(error, "seen_at"):
        return error.seen_at
    own = [frame for frame, _ in _frames(error)]
    if not own or not own[-1].line:
        return ""
    line = own[-1].line
    return f"line {own[-1].lineno} of your code: " + (line if "`" in line else f"`{line}`")


def _ours(filename: str) -> bool:
    return filename.startswith(LIBRARIES) or "<frozen" in filename or "site-packages" in filename


LIBRARIES = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"))
