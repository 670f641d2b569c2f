"""The gradebook: what nbgrader does with notebooks that were run and judged before."""

from __future__ import annotations

import contextlib
import csv
import logging
import shutil
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGraderAPI
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import ClearOutput, Execute
from traitlets.config import Config, PyFileConfigLoader

from grading.steps import Repair

DONE = (ClearOutput, Execute, Repair)
COLUMNS = ["assignment", "student_id", "timestamp", "raw_score", "late_submission_penalty"]
COLUMNS += ["score", "max_score", "note"]
FAILED, MISSING = "FAILED", "not handed in"


class Book:
    """The course in `root`, of which `checked` has the notebooks that were run."""

    def __init__(self, root: Path, checked: Path) -> None:
        config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
        steps = config.Autograde
        here = Config()
        here.CourseDirectory.root = str(root)
        here.CourseDirectory.submitted_directory = str(checked)
        self.released = checked.parent / "released"
        here.CourseDirectory.release_directory = str(self.released)
        # They have run: what is left of nbgrader's steps takes the points from the outputs.
        for name in ("sanitize_preprocessors", "autograde_preprocessors"):
            kept = steps[name] if name in steps else getattr(Autograde, name).default()
            here.Autograde[name] = [step for step in kept if not issubclass(step, DONE)]
        config.merge(here)
        self.directory = CourseDirectory(config=config)
        self.url = self.directory.db_url
        self.api = NbGraderAPI(self.directory, config=config)
        self.api.log_level = logging.ERROR
        logging.getLogger("traitlets").setLevel(logging.ERROR)

    def announce(self, assignment: str, seed: Path) -> None:
        """Enter the cells, their points and the tests as they are now. `seed`: the file that holds
        the seed of the numbers in them, or that is not there."""
        self.released.mkdir(parents=True, exist_ok=True)
        self.released.joinpath("SEED").unlink(missing_ok=True)
        if seed.exists():
            shutil.copy(seed, self.released)
        _succeed(self.api.generate_assignment(assignment, force=True, create=True))

    def enter(self, assignment: str, student: str) -> None:
        """The points of a notebook that was run, and its page. Raises RuntimeError."""
        _succeed(self.api.autograde(assignment, student, force=True))
        _succeed(self.api.generate_feedback(assignment, student, force=True))

    def knows(self, assignment: str) -> bool:
        with Gradebook(self.url, self.directory.course_id) as gradebook:
            return assignment in {one.name for one in gradebook.assignments}

    def score(self, assignment: str, student: str) -> str:
        with Gradebook(self.url, self.directory.course_id) as gradebook:
            found = gradebook.find_submission(assignment, student)
            return f"{found.score:g} of {found.max_score:g}"

    def forget(self, assignment: str, student: str) -> None:
        """An earlier grade of what can no longer be graded would look like one of this."""
        with Gradebook(self.url, self.directory.course_id) as gradebook:
            with contextlib.suppress(MissingEntry):
                gradebook.remove_submission(assignment, student)
        for folder in ("autograded", "feedback"):
            shutil.rmtree(self.released.parent / folder / student / assignment, ignore_errors=True)

    def export(self, path: Path, failed: dict, notes: dict) -> None:
        """Everyone's points, as CSV. `failed`: why, and `notes` of the others: what happened to
        them; both by assignment and student."""
        with Gradebook(self.url, self.directory.course_id) as gradebook:
            students = {student.id for student in gradebook.students}
            students |= {student for _, student in failed}
            rows = []
            for assignment in gradebook.assignments:
                for student in sorted(students):
                    rows.append(_row(gradebook, assignment, student, failed, notes))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows)


def _succeed(result: dict) -> None:
    if not result["success"]:
        said = (result.get("error") or result.get("log") or "").strip().split("\n")
        raise RuntimeError(f"nbgrader: {said[-1]}")


def _row(gradebook, assignment, student: str, failed: dict, notes: dict) -> list:
    start = [assignment.name, student]
    if why := failed.get((assignment.name, student)):
        return [*start, "", FAILED, "", FAILED, assignment.max_score, why]
    try:
        found = gradebook.find_submission(assignment.name, student)
    except MissingEntry:
        return [*start, "", "", "", "", assignment.max_score, MISSING]
    penalty = found.late_submission_penalty
    note = notes.get((assignment.name, student), "")
    score = max(0.0, found.score - penalty)
    return [*start, found.timestamp or "", found.score, penalty, score, found.max_score, note]
