"""What a teacher does beside grading: an exercise of one's own, handouts, the class at a glance."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]


def blocks(section):
    """The Python blocks of a section of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(f"## {section}\n")[1]
    return re.findall(r"```python\n(.*?)```", text.split("\n## ")[0], re.DOTALL)


def cell(source, grade_id, **flags):
    flags = {"solution": False, "grade": False, "locked": False, "task": False} | flags
    metadata = {"nbgrader": {"schema_version": 3, "grade_id": grade_id, **flags}}
    return nbformat.v4.new_code_cell(source.rstrip(), metadata=metadata, id=grade_id)


def run(folder, *command):
    """A Python command in a folder, with the folder's own rlx if it has one. Returns its output."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_the_worked_example_of_contributing_md_passes_the_gate(tmp_path):
    """As a teacher adds it: a file beside the notebook, the second codings, two cells."""
    declared, codings, answer, *_ = blocks("Add an exercise")
    for folder in ("tests", "tools", "solutions/10_q_learning", "exercises/10_q_learning"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pyc*"))
    for name in ("conftest.py", "pyproject.toml", "nbgrader_config.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tests/codings/own.py").write_text(codings, encoding="utf-8")
    path = tmp_path / "solutions/10_q_learning/10_q_learning.ipynb"
    (path.parent / "own_exercise.py").write_text(declared, encoding="utf-8")

    notebook = nbformat.read(path, as_version=4)
    code = [each for each in notebook.cells if each.cell_type == "code"]
    code[0].source += "\nimport own_exercise"
    check = cell("check(one_step_error)", "check-one_step_error", grade=True, locked=True, points=2)
    check.outputs = [nbformat.v4.new_output("stream", name="stdout", text="✓ one_step_error\n")]
    check.execution_count = 1
    at = notebook.cells.index(code[-1])
    notebook.cells[at:at] = [cell(answer, "one_step_error", solution=True), check]
    nbformat.write(notebook, path)

    run(tmp_path, "tools/make_exercises.py")
    assert (tmp_path / "exercises/10_q_learning/own_exercise.py").read_text("utf-8") == declared
    gate = ["test_exercises.py", "test_mutants.py", "test_single_source.py"]
    chosen = "one_step_error or (10_q_learning and not imports)"
    said = run(
        tmp_path, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen,
        *(tmp_path / "tests" / name for name in gate),
    )  # fmt: skip
    assert int(re.search(r"(\d+) passed", said)[1]) > 20
    assert "failed" not in said
    assert "skipped" not in said
