"""Ray on this machine: started for us alone, on the loopback address, and gone without a trace."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import ray
from ray._private import node, ray_constants
from ray._private import worker as rays_worker

from rlx.cluster import forked

PREFIX = "rlx-ray-"
SECRET = secrets.token_hex(32)  # one for each process: Ray reads it once
_users: set[int] = set()  # samplers on the Ray that we started; it stops with the last of them
_ours: dict[str, Any] = {}  # its folder, and the lock that says that somebody uses it


def join(user: int, address: str | None) -> bool:
    """Connect to the Ray at `address`; without one, to what this process is connected to already,
    or else to one that is started here. Is it ours, to be left by `leave(user)`?"""
    if ray.is_initialized() and not _ours:
        return False
    if address is not None:
        if _ours:
            raise RuntimeError(
                f"address={address}: this process uses a Ray that was started here. Close the "
                "agents without an address first"
            )
        ray.init(address=address, logging_level="WARNING")
        return False
    if not _ours:
        _start()
    _users.add(user)
    return True


def leave(user: int) -> None:
    """The last one to leave stops the Ray that we started, and removes its files."""
    if user not in _users:
        return
    _users.discard(user)
    if not _users and _ours:
        _stop()


def _start(again: bool = True) -> None:
    # Not the folder for temporary files on a Mac: its name is too long for the sockets in it.
    parent = "/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()
    _sweep(parent)
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    _ours.update(folder=folder, lock=_lock(folder))
    try:
        with _private(folder):
            ray.init(
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
                log_to_driver=False,
                logging_level="ERROR",
            )
    except BaseException as error:
        _stop()
        if not isinstance(error, Exception) or not again:
            raise
        _start(again=False)  # a busy machine may miss Ray's limit of 30 seconds


def _stop() -> None:
    if ray.is_initialized():
        ray.shutdown()
    if forking := _ours.pop("forking", None):
        forking.stdin.close()
        forking.wait()
    shutil.rmtree(_ours.pop("folder"), ignore_errors=True)
    os.close(_ours.pop("lock"))


@contextlib.contextmanager
def _private(folder: str) -> Iterator[None]:
    """Ray starts here as it does on a Mac: for this machine only. (Elsewhere it takes 127.0.0.1 for
    a slip, and listens to the network.) A secret of its own keeps other users of the machine out.

    Workers import what can be imported here. Nothing is reported to Ray's makers. What Ray prints
    about a worker's death, half a page, is left out: the sampler says it in one line. And so are
    three processes of 110 MB that serve a dashboard, an autoscaler, and the workers' output."""
    names = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_TOKEN": SECRET,
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    if sys.platform == "linux":
        _ours["forking"] = forked.start(folder, names)
    nothing = lambda *_, **__: None  # noqa: E731
    inner = [
        (ray_constants, "ENABLE_RAY_CLUSTER", False),
        (rays_worker, "listen_error_messages", nothing),
        (node.Node, "start_api_server", nothing),
        (node.Node, "start_monitor", nothing),
        (node.Node, "start_log_monitor", nothing),
    ]
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, names))
        for owner, name, value in inner:
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


def _lock(folder: str | Path) -> int:
    """Hold the folder for as long as this process lives. Raises OSError if somebody holds it."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _sweep(parent: str) -> None:
    """Remove what processes left that were killed before they could."""
    for folder in Path(parent).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            handle = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)
