"""How long it takes to grade a class, and how much memory: python benchmarks/grading.py

Twenty submissions to a chapter, a third of them right, a third with a mistake, a third not written,
graded by the command of docs/teaching.md.
"""

import argparse
import copy
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
CLASS, CHAPTERS = 200, 15  # what is extrapolated to


def solved(released, teacher):
    """Two notebooks: with all answers, and with one that returns its first argument."""
    answers = {
        one.metadata.nbgrader.grade_id: one.source
        for one in teacher.cells
        if one.metadata.get("nbgrader", {}).get("solution")
    }
    right = copy.deepcopy(released)
    for one in right.cells:
        one.source = answers.get(one.metadata.get("nbgrader", {}).get("grade_id"), one.source)
    wrong = copy.deepcopy(right)
    first = next(one for one in wrong.cells if one.metadata.get("nbgrader", {}).get("solution"))
    name = first.metadata.nbgrader.grade_id
    first.source = f"def {name}(first, *others):\n    return first"
    return right, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapter", default="05_reinforce")
    parser.add_argument("--submissions", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--whole", action="store_true", help="train, too")
    arguments = parser.parse_args()
    chapter = arguments.chapter
    with tempfile.TemporaryDirectory(prefix="rlx-class-") as folder:
        course = Path(folder)
        shutil.copy(ROOT / "nbgrader_config.py", course)
        (course / "tools").symlink_to(ROOT / "tools")
        for part in ("solutions", "exercises"):
            shutil.copytree(ROOT / part / chapter, course / part / chapter)
        released, teacher = (
            nbformat.read(course / part / chapter / f"{chapter}.ipynb", as_version=4)
            for part in ("exercises", "solutions")
        )
        kinds = [*solved(released, teacher), released]
        for k in range(arguments.submissions):
            path = course / "grading/submitted" / f"s{k:03}" / chapter / f"{chapter}.ipynb"
            path.parent.mkdir(parents=True)
            nbformat.write(kinds[k % 3], path)
        began = time.monotonic()
        command = [sys.executable, ROOT / "tools/grade.py", chapter, "--course", course]
        command += ["--jobs", str(arguments.jobs), *["--whole"] * arguments.whole]
        subprocess.run(command, check=True, env=os.environ, stdout=subprocess.DEVNULL)
        took = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)  # the sandboxed kernels are not in it
        outside = used.ru_utime + used.ru_stime
        found = course.glob(f"grading/checked/*/{chapter}.json")
        records = [json.loads(path.read_text()) for path in found]
        size = sum(path.stat().st_size for path in course.rglob("*") if path.is_file())
    count = len(records)
    kernels = sum(one["cpu"] for one in records) / count
    cpu = kernels + outside / count
    memory = max(one["megabytes"] for one in records)
    how = "all cells run" if arguments.whole else "training left out"
    print(f"{chapter}, {count} submissions, {arguments.jobs} at a time, {how}:")
    print(
        f"  {took / count:.1f} s a submission; of a core {cpu:.1f} s, {kernels:.1f} in its kernel"
    )
    print(f"  {memory} MB at most in a kernel, {size / count / 1e6:.1f} MB on the disk")
    print(f"  {CLASS} x {CHAPTERS} like these: {cpu * CLASS * CHAPTERS / 3600:.1f} hours of a core")


if __name__ == "__main__":
    main()
