"""Checkpoints: everything a run needs to go on exactly as if it had never stopped.

A checkpoint is always a border at which every environment is reset, with a seed made from the run's
seed and the number of updates; a run that is never interrupted does the same. So no environment's
inner state has to be saved, and a resumed run gives, on the CPU, bit for bit the same parameters.
(A wrapper with state of its own, such as running averages of observations, is beyond this.)

The rows of a Replay are not in the checkpoint, but in a file beside it, `run.pt.replay-` and a few
letters, in which each checkpoint writes the rows that are new. Keep the two together.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rlx.replay import Replay
from rlx.seeding import random_states, set_random_states

if TYPE_CHECKING:
    from rlx.algos.base import Algorithm

FORMAT = "rlx checkpoint 1"


def save(path: str | Path, algorithm: Algorithm, extra: dict[str, Any] | None = None) -> None:
    """Write a checkpoint of `algorithm` to `path`, whole or not at all.

    `extra` may hold numbers, strings, lists and dicts; `load` returns it. Raises OSError if the
    disk is full or not writable; a file that was at `path` before is then untouched."""
    with _rows_beside(path, algorithm):
        content = {
            "format": FORMAT,
            "algorithm": type(algorithm).__name__,
            "optimizer": type(algorithm.agent.optimizer).__name__,
            "state": algorithm.state_dict(),
            "random": random_states(),
            "extra": extra or {},
        }
        write(path, _packed(content))


def _packed(content: dict[str, Any]) -> memoryview:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    # What `load` would refuse (a numpy number as learning rate, say) must not be found out then.
    if foreign := torch.serialization.get_unsafe_globals_in_checkpoint(buffer):
        raise TypeError(
            f"a checkpoint holds tensors and Python's numbers, strings, lists and dicts, not "
            f"{', '.join(sorted(foreign))}: convert it, with float() or torch.as_tensor() perhaps"
        )
    return buffer.getbuffer()


@contextlib.contextmanager
def _rows_beside(path: str | Path, algorithm: Algorithm) -> Iterator[None]:
    """Within it the state of each Replay of `algorithm` is a note, and its rows beside `path`."""
    with contextlib.ExitStack() as stack:
        for name, part in vars(algorithm).items():
            if isinstance(part, Replay):
                stack.enter_context(part.file.beside(Path(f"{path}.{name}")))
        yield


def write(path: str | Path, content: bytes | memoryview) -> None:
    """Put `content` in the place of the file `path`; a kill at any moment leaves one of the two."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)  # atomic: a reader sees the old file or the new one
    except OSError as error:
        kept = "; the file that was there is untouched" if path.exists() else ""
        raise OSError(f"could not write {path}: {error.strerror}{kept}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()  # also after an interrupt


def load(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint without executing anything in it: a stranger's file is safe to open.

    Raises FileNotFoundError, or ValueError if the file is truncated or not a checkpoint of rlx."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {path}") from None
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(
            f"{path} is not a whole rlx checkpoint (truncated, or another program's file)"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version of rlx ({FORMAT})")
    return content


def resume(path: str | Path, algorithm: Algorithm) -> dict[str, Any]:
    """Put `algorithm`, and all random number generators, where the checkpoint at `path` was taken.

    Returns what was saved as `extra`. Raises ValueError if the checkpoint is another algorithm's,
    optimizer's or network's, FileNotFoundError if it or its replayed rows are missing; `algorithm`
    is then as it was."""
    content = load(path)
    names = type(algorithm).__name__, type(algorithm.agent.optimizer).__name__
    for name, saved in zip(names, (content.get("algorithm"), content.get("optimizer"))):
        if saved != name:
            raise ValueError(f"{path} was saved by {saved}, and cannot resume {name}")
    before = algorithm.state_dict()
    try:
        with _rows_beside(path, algorithm):
            algorithm.load_state_dict(content["state"])
    except Exception as error:
        algorithm.load_state_dict(before)
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{path} does not fit this {names[0]}, its networks differ: {error}"
        ) from error
    set_random_states(content["random"])
    return content["extra"]
