"""Grade what students handed in: run it, judge it, enter the points, write pages and a table.

    python tools/grade.py ASSIGNMENT [--jobs N] [--student NAME] [--whole] [--again]

Submissions are grading/submitted/STUDENT/ASSIGNMENT/…; the table is grading/grades.csv, the pages
grading/feedback/STUDENT/ASSIGNMENT/…. One that was graded and has not changed is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import shutil
import sys
import sysconfig
import tempfile
import time
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import nbformat  # noqa: E402
from grading import bare, repair, sandbox  # noqa: E402

EXCHANGED = ("timestamp.txt", "submission_secret.txt")  # nbgrader's: when, and whose the page is
OWN = 20 * 2**20  # bytes of what may be handed in beside the notebook


class Course:
    """Where things are."""

    def __init__(self, root: Path, assignment: str) -> None:
        self.root, self.assignment = root, assignment
        self.submitted, self.checked = root / "grading/submitted", root / "grading/checked"
        self.solved = root / "solutions" / assignment / f"{assignment}.ipynb"
        self.released = root / "exercises" / assignment / f"{assignment}.ipynb"

    def students(self) -> list[str]:
        found = self.submitted.glob(f"*/{self.assignment}")
        return sorted(path.parent.name for path in found if path.parent.name[0] != ".")

    def folder(self, student: str) -> Path:
        return self.submitted / student / self.assignment

    def record(self, student: str) -> Path:
        return self.checked / student / f"{self.assignment}.json"

    def run(self, student: str) -> Path:
        return self.checked / student / self.assignment / f"{self.assignment}.ipynb"


def digest(*parts: Path | str) -> str:
    """Of files, of all files in folders, and of words."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            found.update(part.encode())
            continue
        for path in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
                found.update(f"{path.relative_to(part)}\0".encode())
                found.update(path.read_bytes())
    return found.hexdigest()


# ---------------------------------------------------------------------- a process that runs them


def work(pipe, course: Course, package: Path, options) -> None:
    """Run one submission after the other, as the pipe names them. It never runs their code."""
    import torch
    from grading import run

    torch.set_num_threads(1)
    own = sorted(course.solved.parent.glob("*.py"))
    for path in own:  # exercises that stand beside the notebook
        sys.path.insert(0, str(path.parent))
        __import__(path.stem)
    released = nbformat.read(course.released, as_version=4)
    solved = nbformat.read(course.solved, as_version=4)
    run.prepare(released)
    while (student := pipe.recv()) is not None:
        began, record = time.monotonic(), {}
        try:
            record = submission(student, course, released, solved, own, package, options, run)
        except repair.Unreadable as error:
            record = {"failed": str(error), "for good": True}
        except Exception as error:
            traceback.print_exc()
            record = {"failed": f"{type(error).__name__}: {error}"}
        record["seconds"] = round(time.monotonic() - began, 1)
        pipe.send(record)


def submission(student, course, released, solved, own, package, options, run) -> dict:
    path, notes = repair.find(course.folder(student), course.assignment)
    cells, more = repair.read(path)
    notebook = repair.repaired(cells, released, notes + more)
    with tempfile.TemporaryDirectory(prefix="rlx-files-") as folder:
        files = Path(folder)
        beside(course.folder(student), files)
        for one in own:
            files.joinpath(one.name).write_text(bare.bare(one.read_text(encoding="utf-8")))
        done = run.run(notebook, released, solved, package, files, options)
    if done.notes:
        said = "\n".join(f"- {note}" for note in done.notes)
        cell = nbformat.v4.new_markdown_cell(f"**What happened when it was run**\n\n{said}")
        cell["id"] = "what-happened"
        notebook.cells.insert(0, cell)
    target = course.run(student)
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    nbformat.write(notebook, target)
    for name in EXCHANGED:
        if (path := course.folder(student) / name).is_file() and not path.is_symlink():
            shutil.copy(path, target.parent)
    return {
        "notes": notes + more + done.notes,
        "megabytes": round(done.peak),
        "cpu": round(done.cpu, 1),
    }


def beside(folder: Path, target: Path) -> None:
    """What was handed in with the notebook: small files, and none that hides a package of ours."""
    size = 0
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith((".", "rlx")) or path.suffix == ".ipynb"
        if hidden or path.is_symlink() or not path.is_file():
            continue
        size += path.stat().st_size
        if size <= OWN:
            shutil.copy(path, target / path.name)


# ---------------------------------------------------------------------- and the one that asks


def run_all(course: Course, students: list[str], package: Path, options, jobs: int):
    """Yields each student and the record of the run, in the order in which they end."""
    context = multiprocessing.get_context("spawn")
    waiting, workers = list(reversed(students)), {}

    def begin() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, course, package, options), daemon=True)
        process.start()
        theirs.close()
        workers[ours] = [process, None, 0.0]
        give(ours)

    def give(pipe) -> None:
        if waiting:
            workers[pipe][1:] = [waiting.pop(), time.monotonic() + options.total + 300]
            pipe.send(workers[pipe][1])
        else:
            pipe.send(None)
            del workers[pipe]

    for _ in range(min(jobs, len(students))):
        begin()
    while workers:
        for pipe in multiprocessing.connection.wait([*workers], timeout=1.0):
            student = workers[pipe][1]
            try:
                record = pipe.recv()
            except (EOFError, OSError):  # it is gone
                del workers[pipe]
                if waiting:
                    begin()
                yield student, {"failed": "the process that graded it ended"}
                continue
            give(pipe)
            yield student, record
        for pipe, (process, student, until) in [*workers.items()]:
            if time.monotonic() > until:
                process.kill()
                del workers[pipe]
                if waiting:
                    begin()
                yield student, {"failed": "it took too long"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assignment", help="a folder of solutions/: 05_reinforce")
    parser.add_argument("--student", action="append", help="only this one; may be given again")
    parser.add_argument("--jobs", type=int, default=1, help="submissions at the same time")
    parser.add_argument("--whole", action="store_true", help="train, too: every cell is run")
    parser.add_argument("--again", action="store_true", help="also those that have not changed")
    parser.add_argument("--seconds", type=float, default=120, help="for a cell")
    parser.add_argument("--minutes", type=float, default=30, help="for a submission")
    parser.add_argument("--megabytes", type=int, default=4000, help="of memory for a submission")
    parser.add_argument("--course", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    course = Course(arguments.course.resolve(), arguments.assignment.strip("/").split("/")[-1])
    if not course.solved.exists():
        there = ", ".join(sorted(path.parent.name for path in course.solved.parents[1].glob("*/")))
        parser.error(f"there is no {course.solved}; there are {there}")
    print(sandbox.describe(), flush=True)
    # nbgrader starts alembic by its name
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    os.chdir(course.root)
    warnings.filterwarnings("ignore", module="nbgrader")  # of its database, and harmless
    from grading.book import Book
    from grading.run import Options

    options = Options(
        whole=arguments.whole,
        seconds=arguments.seconds,
        total=60 * arguments.minutes,
        megabytes=arguments.megabytes,
    )
    book = Book(course.root, course.checked)
    announce(book, course)
    ours = digest(ROOT / "rlx", course.solved, course.released, repr(options))
    records, waiting = {}, []
    for student in course.students():
        if arguments.student and student not in arguments.student:
            continue
        mark = digest(course.folder(student), ours)
        known = read(course.record(student))
        if known.get("mark") == mark and not arguments.again:
            continue
        records[student] = {"mark": mark}
        waiting.append(student)
    if left := len(course.students()) - len(waiting):
        print(f"{left} of {len(course.students())} are left as they are.")
    began, width = time.monotonic(), max(map(len, waiting), default=0)
    with tempfile.TemporaryDirectory(prefix="rlx-bare-") as folder:
        package = bare.write(ROOT / "rlx", Path(folder))
        for student, record in run_all(course, waiting, package, options, arguments.jobs):
            record = records[student] | record
            if "failed" not in record:
                try:
                    book.enter(course.assignment, student)
                except Exception as error:
                    record["failed"] = str(error)
            if "failed" in record:
                book.forget(course.assignment, student)
                if not record.get("for good"):  # perhaps not theirs: tried again the next time
                    record["mark"] = ""
            write(course.record(student), record)
            score = "FAILED" if "failed" in record else book.score(course.assignment, student)
            print(f"{student:{width}}  {score:>10}  {record.get('seconds', 0):5.1f} s", flush=True)
    failed, notes = noted(course.checked)
    book.export(course.root / "grading/grades.csv", failed, notes)
    took = time.monotonic() - began
    print(f"{len(waiting)} graded in {took:.0f} s: grading/grades.csv, grading/feedback/")
    here = [(s, why) for (a, s), why in failed.items() if a == course.assignment]
    if here:
        print(f"{len(here)} could not be graded:")
        for student, why in sorted(here):
            print(f"  {student}: {why}")
    return 0


def announce(book, course: Course) -> None:
    """Once, and whenever the teacher's notebook has changed since."""
    path = course.root / "grading/announced.json"
    seed = course.released.parents[1] / "SEED"
    known, mark = read(path), digest(course.solved, *filter(Path.exists, [seed]))
    if known.get(course.assignment) != mark or not book.knows(course.assignment):
        book.announce(course.assignment, seed)
        write(path, known | {course.assignment: mark})


def noted(checked: Path) -> tuple[dict, dict]:
    """Why some could not be graded, and what is noted of the others, in all chapters."""
    failed, notes = {}, {}
    for path in checked.glob("*/*.json"):
        key, record = (path.stem, path.parent.name), read(path)
        if why := record.get("failed"):
            failed[key] = why
        elif said := record.get("notes"):
            notes[key] = " ".join(said)
    return failed, notes


def read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):  # not there yet, or spoiled
        return {}


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
