"""The repository as a course for nbgrader's own commands; tests/test_submissions.py is for ours."""

import copy
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from make_exercises import notebooks, released
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbgrader.api import Gradebook

ROOT = Path(__file__).parents[1]
CHAPTERS = notebooks(ROOT / "solutions")

pytestmark = pytest.mark.slow


class Course:
    """A course of one assignment in a folder of its own, with the repository's configuration."""

    def __init__(self, folder, notebook, name):
        self.folder, self.name = folder, name
        shutil.copy(ROOT / "nbgrader_config.py", folder)
        (folder / "tools").symlink_to(ROOT / "tools")
        self.write("solutions", notebook)
        self.nbgrader("generate_assignment", name)
        self.student = nbformat.read(self.path("exercises"), as_version=4)

    def path(self, *parts):
        return self.folder.joinpath(*parts, self.name, f"{self.name}.ipynb")

    def write(self, where, notebook):
        path = self.path(where)
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)

    def nbgrader(self, *arguments):
        # nbgrader starts alembic by its name
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
        subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=self.folder,
            env={**os.environ, "PATH": path},
            check=True,
        )

    def scores(self, submissions, *options):
        """Points of each student; a submission is a function that edits the student's notebook."""
        for student, edit in submissions.items():
            notebook = copy.deepcopy(self.student)
            edit(notebook)
            self.write(f"grading/submitted/{student}", notebook)
        self.nbgrader("autograde", self.name, *options)
        with Gradebook(f"sqlite:///{self.folder}/gradebook.db", "rlx") as book:
            return {
                student: book.find_submission(self.name, student).score for student in submissions
            }


def cell(notebook, name):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)


def toy():
    def new(name, source, **flags):
        flags = {"solution": False, "grade": False, "locked": False, "task": False} | flags
        metadata = {"nbgrader": {"schema_version": 3, "grade_id": name, **flags}}
        return nbformat.v4.new_code_cell(source, metadata=metadata, id=name)

    return nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        cells=[
            new(
                "total",
                "def total(rewards):\n"
                "    ### BEGIN SOLUTION\n    return sum(rewards)\n    ### END SOLUTION",
                solution=True,
            ),
            new("check-total", "assert total([1, 2]) == 3", grade=True, locked=True, points=2),
            new(
                "best",
                "def best(values):\n"
                "    ### BEGIN SOLUTION\n"
                "    return max(range(len(values)), key=values.__getitem__)\n"
                "    ### END SOLUTION",
                solution=True,
            ),
            new(
                "check-best",
                "assert best([1, 5]) == 1\n"
                "### BEGIN HIDDEN TESTS\nassert best([5, 1]) == 0\n### END HIDDEN TESTS",
                grade=True,
                locked=True,
                points=3,
            ),
        ],
    )


TOTAL = "def total(rewards):\n    return sum(rewards)"
BEST = "def best(values):\n    return values.index(max(values))"


def right(notebook):
    cell(notebook, "total").source = TOTAL
    cell(notebook, "best").source = BEST


def half_right(notebook):
    cell(notebook, "total").source = TOTAL
    cell(notebook, "best").source = "def best(values):\n    return 1"  # enough for what is visible


def tampering(notebook):
    cell(notebook, "total").source = "def total(rewards):\n    return 0"
    cell(notebook, "check-total").source = "pass"
    cell(notebook, "check-total").metadata.nbgrader.points = 100
    notebook.cells.remove(cell(notebook, "check-best"))


def endless(notebook):
    cell(notebook, "total").source = "def total(rewards):\n    while True:\n        pass"
    cell(notebook, "best").source = BEST


@pytest.mark.timeout(300)
def test_submissions_get_the_points_they_deserve(tmp_path):
    course = Course(tmp_path, toy(), "toy")
    assert course.path("exercises").read_text() == released(toy())  # as `make exercises` writes it
    submissions = {edit.__name__: edit for edit in [right, half_right, tampering, endless]}
    scores = course.scores(submissions, "--ExecutePreprocessor.timeout=8")
    assert scores == {"right": 5, "half_right": 2, "tampering": 0, "endless": 3}


@pytest.mark.skipif(not CHAPTERS, reason="no chapter has exercises yet")
def test_unsolved_a_chapter_runs_to_its_first_check_and_what_stops_it_is_kind():
    solved = nbformat.read(next(iter(CHAPTERS.values())), as_version=4)
    student = nbformat.reads(released(solved), as_version=4)
    with pytest.raises(CellExecutionError) as stopped:
        NotebookClient(student, timeout=120, kernel_name="python3").execute()
    assert stopped.value.ename == "NotYet"
    first = next(one for one in student.cells if one.metadata.get("nbgrader", {}).get("grade"))
    assert [output.output_type for output in first.outputs] == ["display_data", "error"]
