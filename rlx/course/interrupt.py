"""The kernel's ■ stops a cell that awaits, too.

While such a cell runs, ipykernel 7 makes a cancellation of the ■. Code that is busy never hears it,
and a cell that waits hears it only when the kernel is sent the next request: the event loop is not
woken. So in these cells the ■ raises KeyboardInterrupt where the cell's own code is at work, as in
any other cell; where it waits, it is cancelled as before, and the loop is woken.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import types
from collections.abc import Callable

from rlx.bars import shell


def install() -> None:
    """In a notebook, from the next cell on. Nothing is done elsewhere."""
    here = shell()
    if hasattr(here, "kernel"):
        here.events.register("pre_run_cell", lambda info: _before_cell(here))


def _before_cell(shell) -> None:
    """A cell that does not await has Python's own handler, and one outside the kernel's main
    thread hears no signal: both are left alone. ipykernel takes its own handler away afterwards."""
    cancel = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(cancel):
        return
    if getattr(cancel, "__module__", "").startswith("ipykernel"):
        signal.signal(signal.SIGINT, _handler(cancel, shell, asyncio.get_running_loop()))


def _handler(cancel: Callable, shell, loop: asyncio.AbstractEventLoop) -> Callable:
    runs = type(shell).run_code.__code__

    def handle(number: int, frame: types.FrameType | None) -> None:
        at = frame
        while at is not None:
            if at.f_code is runs:  # it catches what the cell's code raises
                raise KeyboardInterrupt
            at = at.f_back
        cancel(number, frame)
        loop.call_soon_threadsafe(lambda: None)  # an event, or a loop that sleeps would sleep on

    return handle
