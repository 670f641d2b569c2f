"""Workers on this machine are forked from one process that has imported torch.

A worker that starts by itself takes four seconds of a core, and 190 MB: most of it is torch. One
that is forked shares both with the others. Ray starts its workers as ever; `sitecustomize.py` in
this folder, first on their path, then hands what they were to run to `serve.py`. If that is not
there, a worker starts by itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def start(folder: str, names: dict[str, str]) -> subprocess.Popen:
    """The process to fork from, until its standard input is closed or this process ends. Adds to
    `names`, the environment of those that Ray starts, how they find it in `folder`."""
    path = str(Path(folder, "fork"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(1024)  # who asks early waits
        process = subprocess.Popen(
            [sys.executable, "-P", HERE / "serve.py", str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            env=dict(os.environ, **names, OMP_NUM_THREADS="1"),  # a fork takes no threads along
            process_group=0,  # Ctrl-C is not for it
        )
    names["RLX_FORK"] = os.pathsep.join([path, sys.executable])
    names["PYTHONPATH"] = os.pathsep.join([str(HERE), names["PYTHONPATH"]])
    return process
