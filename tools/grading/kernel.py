"""A kernel for one submission, which may hang, die, or print without end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from nbformat.v4 import new_output, output_from_msg

from grading import sandbox

PRINTED = 200_000  # characters of a cell's outputs that are kept
FLOOD = 20 * PRINTED  # and after so many it is stopped
ANSWER = 64 * 2**20  # bytes of what an answer did
START = (
    "import rlx.course, rlx.course.afar\n"  # before any cell, and before what stands beside it
    "rlx.course.afar.prepare()\n"
    "import os, shutil\n"
    "if os.path.isdir('given'): shutil.copytree('given', '.', dirs_exist_ok=True)\n"
    "del os, shutil, rlx"
)


class NoKernel(RuntimeError):
    """It does not start: nothing of the submission was run."""


@dataclass
class Ran:
    """`how`: "ok", "error", "stopped" (interrupted after too long), or "dead", with `why`."""

    how: str
    outputs: list = field(default_factory=list)
    why: str = ""


class Kernel:
    """Runs code, one piece after the other. After "dead", `start()` begins a new one."""

    def __init__(self, package: Path, files: Path, megabytes: int = 4000, seconds: int = 3600):
        self.package, self.files = package, files
        self.megabytes, self.seconds = megabytes, seconds
        self.process: subprocess.Popen | None = None
        self.peak = 0.0  # MB
        self.cpu = 0.0  # seconds of all that was started

    def start(self) -> None:
        """Raises NoKernel."""
        self.close()
        # Short: the name of a socket has a hundred characters at most.
        self.run = Path(tempfile.mkdtemp(prefix="rlx-", dir="/tmp"))
        self.why = ""
        connection = str(self.run / "kernel.json")
        write_connection_file(connection, transport="ipc", ip=str(self.run / "k"))
        arguments = ["-m", "ipykernel_launcher", "-f", connection]
        arguments += ["--HistoryManager.enabled=False", "--log-level=ERROR"]
        command, env = sandbox.command(
            arguments, self.package, self.files, self.run, self.megabytes, self.seconds
        )
        self.said = open(self.run.with_suffix(".log"), "w+b")
        self.process = subprocess.Popen(
            command,
            env=env,
            cwd=self.run / "home" if (self.run / "home").exists() else self.run,
            stdin=subprocess.DEVNULL,
            stdout=self.said,
            stderr=self.said,
            start_new_session=True,
        )
        self.watching = threading.Event()
        threading.Thread(target=self._watch, args=[self.process, self.watching]).start()
        self.client = BlockingKernelClient(connection_file=connection)
        self.client.load_connection_file()
        self.client.start_channels(stdin=False, hb=False)
        until = time.monotonic() + 180
        while time.monotonic() < until and self.process.poll() is None:
            # Until the kernel listens, nobody is there to hear the first request.
            with contextlib.suppress(RuntimeError, queue.Empty):
                self.client.wait_for_ready(timeout=5)
                if self.execute(START, 120).how == "ok":
                    return
        said = self._log()
        self.close()
        raise NoKernel(f"the kernel does not start: {said or 'it says nothing'}")

    def _log(self) -> str:
        self.said.seek(0)
        return self.said.read(2000).decode(errors="replace").strip().split("\n")[-1]

    def execute(self, code: str, seconds: float) -> Ran:
        """Run code for so long at most, and read its outputs."""
        asked = self.client.execute(code, allow_stdin=False, stop_on_error=False)
        outputs, displays, size, how = [], {}, 0, "ok"
        until, stopped = time.monotonic() + seconds, False
        while True:
            if not stopped and (time.monotonic() > until or size > FLOOD):
                self.interrupt()
                stopped, until = True, time.monotonic() + 5
                too = "it prints without end" if size > FLOOD else f"{seconds:g} seconds are over"
            if stopped and time.monotonic() > until:
                self.kill(f"{too}, and it did not stop")
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                if self.process.poll() is not None:
                    how = "dead"
                    break
                continue
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            size += len(json.dumps(content, default=str))
            if size < PRINTED:
                _collect(outputs, displays, kind, content, message)
            if kind == "error":
                how = "error"
        if how == "dead":
            why = self.why or _ended(self.process.returncode)
            outputs.append(new_output("error", ename="DeadKernel", evalue=why, traceback=[why]))
            return Ran("dead", outputs, why)
        if size >= PRINTED:
            outputs.append(new_output("stream", name="stdout", text="\n[the rest is left out]\n"))
        if stopped:
            why = f"stopped: {too}"
            outputs.append(new_output("error", ename="Stopped", evalue=why, traceback=[why]))
            return Ran("stopped", outputs, why)
        return Ran(how, outputs)

    def answer(self, request: str, name: str, seconds: float) -> tuple[Ran, str]:
        """Let `rlx.course.afar.serve` answer a request: how it ran, and the text that it wrote."""
        path = self.run / name
        path.unlink(missing_ok=True)
        serve = "__import__('rlx.course.afar', fromlist=['serve']).serve"
        ran = self.execute(f"{serve}(globals(), {request!r}, {str(path)!r})", seconds)
        text = ""
        with contextlib.suppress(OSError, ValueError):
            # What lies there was made by the other side: no link, no pipe, not too large.
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(file, "rb") as opened:
                kind = os.fstat(file)
                if stat.S_ISREG(kind.st_mode) and kind.st_size <= ANSWER:
                    text = opened.read(ANSWER).decode()
        path.unlink(missing_ok=True)
        return ran, text

    def interrupt(self) -> None:
        message = self.client.session.msg("interrupt_request", {})
        self.client.control_channel.send(message)

    def kill(self, why: str) -> None:
        self.why = self.why or why
        _kill(self.process)

    def close(self) -> None:
        if self.process is None:
            return
        self.watching.set()
        self.cpu += _cpu(self.process)
        _kill(self.process)
        self.client.stop_channels()
        self.said.close()
        self.run.with_suffix(".log").unlink(missing_ok=True)
        shutil.rmtree(self.run, ignore_errors=True)
        self.process = None

    def _watch(self, process: subprocess.Popen, done: threading.Event) -> None:
        """Limits that a process cannot escape by starting others."""
        while not done.wait(0.3) and process.poll() is None:
            with contextlib.suppress(psutil.Error, OSError):
                family = psutil.Process(process.pid).children(recursive=True)
                if len(family) > 100:
                    self.kill("it started more than 100 processes")
                    return
                used = _memory(family, self.megabytes)
                self.peak = max(self.peak, used)
                entries = os.scandir(self.run)
                written = sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
                if used > self.megabytes:
                    self.kill(f"it used more than {self.megabytes} MB of memory")
                elif written > 4 * ANSWER:
                    self.kill("it wrote more than 256 MB")


def _memory(family: list[psutil.Process], enough: float) -> float:
    """MB of all of them. Processes that were forked share most of theirs, which takes long to find
    out: only if it seems too much."""
    used = 0.0
    for kind in ("rss", "pss"):
        used = 0.0
        for one in family:
            with contextlib.suppress(psutil.Error):
                known = one.memory_info() if kind == "rss" else one.memory_full_info()
                used += getattr(known, kind, known.rss) / 2**20
        if used <= enough:
            break
    return used


def _collect(outputs: list, displays: dict, kind: str, content: dict, message: Any) -> None:
    if kind == "clear_output":
        outputs.clear()
    elif kind == "update_display_data":
        for one in displays.get(content["transient"].get("display_id"), []):
            one["data"], one["metadata"] = content["data"], content["metadata"]
    elif kind in ("stream", "display_data", "execute_result", "error"):
        made = output_from_msg(message)
        if made.output_type == "stream" and outputs and outputs[-1].get("name") == made.name:
            outputs[-1].text += made.text
            return
        outputs.append(made)
        if name := content.get("transient", {}).get("display_id"):
            displays.setdefault(name, []).append(made)


def _cpu(process: subprocess.Popen) -> float:
    used = 0.0
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(process.pid)
        for one in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                used += one.cpu_times().user + one.cpu_times().system
    return used


def _ended(code: int) -> str:
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        with contextlib.suppress(ValueError):
            return f"the kernel was ended by {signal.Signals(number).name}"
    return f"the kernel ended itself (status {code})"


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
