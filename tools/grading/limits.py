"""python limits.py MEGABYTES SECONDS COMMAND…: run the command with limits on what it may use.

A file of its own, started with -I: it is the first thing that runs on the other side."""

import os
import resource
import sys


def limit(kind: int, most: int) -> None:
    try:
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    except (ValueError, OSError):
        pass  # this system has no such limit: the grader watches as well


if __name__ == "__main__":
    megabytes, seconds = int(sys.argv[1]), int(sys.argv[2])
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_CPU, seconds)
    limit(resource.RLIMIT_DATA, megabytes * 2**20)
    limit(resource.RLIMIT_FSIZE, 100 * 2**20)
    limit(resource.RLIMIT_NOFILE, 1024)
    os.execvp(sys.argv[3], sys.argv[3:])
