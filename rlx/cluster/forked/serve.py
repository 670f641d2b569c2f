"""A script: import what a worker needs, but for Ray, and fork for each that asks."""

import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys

import numpy as np
import torch

import rlx.envs  # noqa: F401

with contextlib.suppress(ImportError):
    importlib.import_module("jsonschema")  # for Ray. With the extras of Jupyter it takes a second


def serve(listener: socket.socket) -> None:
    """Until standard input is closed. Ray's own modules are left to the worker: they note when
    they are imported whose worker it is."""
    gc.collect()
    gc.freeze()  # what is here stays shared: a child's collector does not write to it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets those that have ended
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        message, fds, *_ = socket.recv_fds(connection, 2**20, 3)
        if message and os.fork() == 0:
            listener.close()
            return become(**json.loads(message), fds=fds)  # with `connection`, until it ends
        connection.close()
        for fd in fds:
            os.close(fd)


def become(
    argv: list[str], path: list[str], env: dict[str, str], folder: str, group: int, fds: list[int]
) -> None:
    """Run a script in this process as if Python had been started for it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as with all that Ray starts
    os.setpgid(0, group)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:], sys.path[:] = argv, path
    random.seed()
    np.random.seed()  # noqa: NPY002  environments may draw from it when they are made
    torch.seed()
    runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
