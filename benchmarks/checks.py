"""How long `check` takes in a kernel that has not checked anything: python benchmarks/checks.py

Seconds of one core, for every exercise: of its right answer, of each declared mistake the longest,
and of an answer that returns its first input, which is looked at from all sides. Each is the first
check of a process of its own, in which rlx is imported and nothing else was done. The first check
imports the exercises, too: that is measured once, and is part of every number.
"""

import argparse
import contextlib
import os
import pickle
import time
from collections.abc import Callable
from functools import partial

import torch

from rlx.course.checking import examine
from rlx.course.exercise import load


def alone(run: Callable[[], object]) -> float:
    """Seconds of a core that it takes in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        began = time.process_time()
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
            run()
        os.write(writing, pickle.dumps(time.process_time() - began))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        seconds = pickle.loads(answer.read())
    os.waitpid(child, 0)
    return seconds


def first_input(*inputs):
    return inputs[0] if inputs else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="exercises or chapters; all of them by default")
    parser.add_argument("--mistakes", type=int, default=3, help="how many of each, the last ones")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    exercises = load().values()
    loading = time.process_time() - began
    print(f"the exercises are imported in {loading:.2f} s")
    print(f"{'':24}  right  mistake  another")
    longest = (0.0, "")
    for exercise in exercises:
        if arguments.names and not {exercise.name, exercise.chapter} & {*arguments.names}:
            continue
        mistakes = exercise.mistakes[-arguments.mistakes :]
        seconds = [
            alone(partial(examine, exercise, exercise.reference)),
            max(alone(partial(examine, exercise, mistake.coding)) for mistake in mistakes),
            alone(partial(examine, exercise, first_input)),
        ]
        print(
            f"{exercise.chapter} {exercise.name:21}"
            + "".join(f"{loading + one:{width}.2f}" for one, width in zip(seconds, (7, 9, 9))),
            flush=True,
        )
        longest = max(longest, (loading + max(seconds), exercise.name))
    print(f"at most {longest[0]:.2f} s: {longest[1]}")


if __name__ == "__main__":
    main()
