"""What a teacher does beside grading: an exercise of one's own, handouts, the class at a glance."""

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import class_report
import handout
import nbformat
import pytest
import torch
import yaml
from grading.glance import Alike, report
from make_exercises import stale

import rlx
from rlx.course import NotYet, check, exam, hint
from rlx.course.chapters import CHAPTERS
from rlx.course.checking import examine
from rlx.course.exercise import load, source
from rlx.course.progress import counts, passed
from rlx.course.seeds import NUMBERS, use_seed
from rlx.course.trials import expected

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


def nbgrader(course, *arguments):
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])  # it starts alembic
    subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )


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


# ---------------------------------------------------------------------- the class at a glance

TO_GO = """def reward_to_go(rewards, gamma):
    returns, later = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        later = rewards[t] + gamma * later
        returns[t] = later
    return returns"""
WHOLE = TO_GO.replace("return returns", "return returns[:1].expand(len(returns)).clone()")
OTHER_NAMES = """def reward_to_go(rewards, gamma):  # my own work
    result = torch.zeros_like(rewards)
    total = 0.0
    n = len(rewards)
    for i in range(n - 1, -1, -1):
        total = total * gamma + rewards[i]
        result[i] = total
    return result"""
COPIED = OTHER_NAMES.replace("result", "out").replace("total", "acc").replace("  # my own work", "")
LOSS = (
    "def policy_gradient_loss(logprobs, advantages):\n    return {}(logprobs * advantages{}).mean()"
)
RIGHT_LOSS = LOSS.format("-", ".detach()")


UNWRITTEN = "def {}(*inputs):\n    raise NotImplementedError"


@functools.cache
def outputs(name, answer):
    """Those of the check cell, as the notebook has them after a run."""
    scope = {"torch": torch}
    exec(answer, scope)
    card = examine(load()[name], scope[name])
    data = {"text/plain": repr(card), "text/html": card._repr_html_()}
    found = [nbformat.v4.new_output("display_data", data=data)]
    if not card.passed:
        shown = NotYet(card)._render_traceback_()
        found.append(error("NotYet", str(card), shown))
    return found


def error(kind, says, traceback=()):
    return nbformat.v4.new_output("error", ename=kind, evalue=says, traceback=list(traceback))


class Classroom:
    """What grading leaves behind, made without it: notebooks whose checks hold real cards."""

    def __init__(self, course, chapter="05_reinforce"):
        self.course, self.chapter = course, chapter
        target = course / "exercises" / chapter
        target.mkdir(parents=True)
        shutil.copy(ROOT / "exercises" / chapter / f"{chapter}.ipynb", target)
        solutions = course / "solutions" / chapter
        solutions.mkdir(parents=True)
        shutil.copy(ROOT / "solutions" / chapter / f"{chapter}.ipynb", solutions)

    def add(self, student, graded=True, edit=lambda notebook: None, **answers):
        path = self.course / "exercises" / self.chapter / f"{self.chapter}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        for name, answer in answers.items():
            next(c for c in notebook.cells if c.id == name).source = answer
        edit(notebook)
        self.write("submitted", student, notebook)
        if graded:
            for each in notebook.cells:
                if each.id.startswith("check-"):
                    each.execution_count = 1
                    name = each.id.removeprefix("check-")
                    each.outputs = outputs(name, answers.get(name, UNWRITTEN.format(name)))
            self.write("autograded", student, notebook)

    def write(self, folder, student, notebook):
        path = self.course / "grading" / folder / student / self.chapter
        path.mkdir(parents=True)
        nbformat.write(notebook, path / f"{self.chapter}.ipynb")


@pytest.fixture
def room(tmp_path):
    room = Classroom(tmp_path)
    for k in range(5):
        room.add(f"leaks{k}", reward_to_go=WHOLE, policy_gradient_loss=RIGHT_LOSS)
    room.add("ada", reward_to_go=OTHER_NAMES, policy_gradient_loss=LOSS.format("", ".detach()"))
    room.add("bob", reward_to_go=COPIED, policy_gradient_loss=LOSS.format("-", ""))
    room.add("cleo", reward_to_go=TO_GO.replace("later", "rest"))

    def own_check(notebook):
        cells = {each.id: each for each in notebook.cells}
        cells["check-noise"].source = "print('✓ noise: right')"
        cells["check-reward_to_go"].source += "  \n"  # as an editor may leave it
        notebook.cells.remove(cells["check-normalize"])

    room.add("dan", graded=False, edit=own_check)
    (tmp_path / "grading/submitted/eve/05_reinforce").mkdir(parents=True)
    (tmp_path / "grading/submitted/eve/05_reinforce/05_reinforce.ipynb").write_text("no notebook")
    (tmp_path / "grading/grades.csv").write_text(
        "assignment,student_id,score,note\n05_reinforce,dan,FAILED,the kernel died\n"
        "05_reinforce,ada,1,the file had another name\n05_reinforce,gil,,not handed in\n"
        "06_baselines,ada,FAILED,another chapter\n"
    )
    return room


def test_the_class_at_a_glance(room):
    found = report(room.course, "05_reinforce")
    assert len(found.graded) == 8
    assert found.count("reward_to_go", "passed") == 3
    (said, names), *more = found.said("reward_to_go").items()
    assert said.title == "every step gets the return of the whole episode"
    assert names == [f"leaks{k}" for k in range(5)]
    assert not more
    assert found.count("policy_gradient_loss", "passed") == 5
    assert {said.title: names for said, names in found.said("policy_gradient_loss").items()} == {
        "the sign is wrong": ["ada"],
        "a gradient flows through the advantages": ["bob"],
    }
    assert found.count("noise", "unwritten") == 8
    assert {s.name: s.failed for s in found.students if not s.outcomes} == {
        "dan": "the kernel died",
        "eve": found.students[4].failed,
        "gil": "not handed in",
    }
    assert "05_reinforce.ipynb cannot be read" in found.students[4].failed


def test_what_is_nearly_the_same_is_told_from_what_everyone_writes(room):
    found = report(room.course, "05_reinforce")
    assert found.alike == [Alike(("ada", "bob"), ["reward_to_go"], False)]  # not the one-line loss
    assert found.common["reward_to_go"] == [[f"leaks{k}" for k in range(5)]]
    assert found.official["reward_to_go"] == ["cleo"]
    assert found.library["reward_to_go"] == ["cleo"]


def test_copied_text_is_counted_also_of_short_answers_and_within_others(room):
    library = source(rlx.functional.normalize).replace("Tensor", "torch.Tensor")
    renamed = library.replace("normalize", "theirs", 1).replace("x", "y")
    wrapped = f"def normalize(x):\n{textwrap.indent(renamed, '    ')}\n    return theirs(x)"
    room.add("short", policy_gradient_loss=RIGHT_LOSS, normalize=library)
    room.add("within", normalize=wrapped)
    own = "def normalize(x):\n    m = x.mean()\n    return (x - m) / ((x - m) ** 2).mean().sqrt()"
    room.add("own", normalize=own)
    found = report(room.course, "05_reinforce")
    assert found.library["normalize"] == ["short", "within"]
    assert found.library["noise"] == []
    assert re.search(r"^normalize +2 +\d of 11 +3 +2", class_report.terminal(found), re.MULTILINE)
    page = class_report.page(found)
    assert "<b>2</b> as in the library" in page
    assert "short, within" in page


def test_only_checks_that_were_really_edited_are_named(room):
    found = {one.name: one.changed for one in report(room.course, "05_reinforce").students}
    edited = ["the check of normalize is gone", "the check of noise was edited"]
    assert found.pop("dan") == edited
    assert not any(found.values())


def test_a_report_for_the_terminal_and_one_for_the_browser(room, monkeypatch, capsys):
    folder = room.course / "grading/progress/ada/counts"
    folder.mkdir(parents=True)
    (folder / "reward_to_go.json").write_text('{"checks": 4, "hints": 1}')
    command = ["class_report.py", "05_reinforce", "--course", str(room.course)]
    monkeypatch.setattr(sys, "argv", command)
    assert class_report.main() == 0
    said = capsys.readouterr().out
    assert "3 of 8" in said
    assert "  5 every step gets the return of the whole episode\n" in said
    assert "4 checks, 1 hints (1 told)" in said
    assert "dan: the kernel died" in said
    assert "ada: the file had another name" in said
    page = (room.course / "grading/class/05_reinforce.html").read_text(encoding="utf-8")
    assert "<b>5 of 8</b> every step gets the return of the whole episode" in page
    assert load()["reward_to_go"].mistakes[0].why.split(".")[0] in page


def test_an_odd_notebook_does_not_stop_the_report(room):
    def odd(notebook):
        notebook.cells[1].metadata["nbgrader"] = "mine"
        notebook.cells[3].metadata["nbgrader"]["grade_id"] = ["a", "list"]
        notebook.metadata.clear()

    deep = "def reward_to_go(rewards, gamma):\n    return " + "(" * 3000 + "1" + ")" * 3000
    added = "def reward_to_go(rewards, gamma):\n    return " + "+".join(["1"] * 30000)
    room.add("odd", graded=False, edit=odd, reward_to_go=deep)
    room.add("odder", graded=False, reward_to_go=added)
    room.add("oddest", graded=False, reward_to_go="def reward_to_go(:\x00")
    path = room.course / "grading/submitted/nobody/05_reinforce/05_reinforce.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text('{"cells": [{"cell_type": "code"}], "nbformat": 4, "nbformat_minor": 5}')
    found = report(room.course, room.chapter)
    assert len(found.graded) == 8
    assert {"odd", "odder", "oddest", "nobody"} <= {s.name for s in found.students if s.failed}
    assert class_report.page(found)


def test_a_part_of_the_points_is_told(room):
    room.add("fay", graded=False)
    notebook = nbformat.read(ROOT / "exercises/05_reinforce/05_reinforce.ipynb", as_version=4)
    checked = next(each for each in notebook.cells if each.id == "check-noise")
    checked.source, checked.execution_count = "1.5", 1
    data = {"text/plain": "1.5"}
    checked.outputs = [nbformat.v4.new_output("execute_result", data=data, execution_count=1)]
    room.write("autograded", "fay", notebook)
    told = report(room.course, room.chapter).said("noise").items()
    assert {said.title: names for said, names in told} == {"1.5 of 3 points": ["fay"]}


def test_a_harder_question_that_is_required_has_to_be_written():
    def normalize_middle(x):
        raise NotImplementedError

    assert check(normalize_middle) is None
    with pytest.raises(NotYet):
        check(normalize_middle, required=True)
    assert exam.check(normalize_middle) is None
    with pytest.raises(NotYet):
        exam.check(normalize_middle, required=True)


def test_what_a_student_writes_is_text_on_the_page(room):
    name = "x<script>"  # a folder may be called so
    room.add(name, graded=False)
    notebook = nbformat.read(ROOT / "exercises/05_reinforce/05_reinforce.ipynb", as_version=4)
    checked = next(each for each in notebook.cells if each.id == "check-noise")
    checked.outputs = [error("<b>Error", "<script>")]
    room.write("autograded", name, notebook)
    found = report(room.course, "05_reinforce")
    assert "<b>Error: <script>" in [said.title for said in found.said("noise")]
    assert "<script>" not in class_report.page(found)
    assert "&lt;b&gt;Error" in class_report.page(found)


def test_checks_and_hints_are_counted_until_it_is_solved(tmp_path, monkeypatch):
    monkeypatch.setenv("RLX_HOME", str(tmp_path))
    scope = {"torch": torch}
    for wrong in (TO_GO.replace("gamma * later", "later"), WHOLE):
        exec(wrong, scope)
        with pytest.raises(NotYet):
            check(scope["reward_to_go"])
    hint("reward_to_go")
    exec(TO_GO, scope)
    for _ in range(3):
        check(scope["reward_to_go"])
    hint("reward_to_go")
    assert counts(tmp_path / "progress", "reward_to_go") == {"checks": 3, "hints": 1}
    assert counts(tmp_path / "progress", "noise") == {"checks": 0, "hints": 0}
    assert passed() == {"reward_to_go"}


# ---------------------------------------------------------------------- handouts


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """Chapters 00 and 05, as a student has them: unpacked from the zip."""
    folder = tmp_path_factory.mktemp("student")
    names = handout.write(ROOT, folder / "made", ["00", "05"])
    with zipfile.ZipFile(handout.zipped(folder / "made", names)) as archive:
        archive.extractall(folder)
    return folder / "rlx-course"


def test_a_handout_has_what_was_released_and_nothing_else(handed_out):
    names = {path.relative_to(handed_out).as_posix() for path in handed_out.rglob("*")}
    chapters = {
        name for name in names if re.match(r"(notebooks|exercises)/.*ipynb|.*/ch\d\d", name)
    }
    assert chapters == {
        "notebooks/00_start_here.ipynb",
        "notebooks/05_reinforce.ipynb",
        "exercises/05_reinforce/05_reinforce.ipynb",
        "rlx/course/exercises/ch05_reinforce.py",
    }
    top = {name.split("/")[0] for name in names}
    assert not top & {"solutions", "tests", ".git", "nbgrader_config.py", "benchmarks", "grading"}
    assert {"Makefile", "README.md", "pyproject.toml", "rlx", ".gitignore"} <= top
    links = re.findall(r"\]\(([^)]*)\)", (handed_out / "README.md").read_text(encoding="utf-8"))
    assert len(links) == 3
    assert set(links) <= names
    files = sorted(name for name in names if (handed_out / name).is_file())
    before = handout.zipped(handed_out, files).read_bytes()
    os.utime(handed_out / "README.md", (0, 1e9))
    assert handout.zipped(handed_out, files).read_bytes() == before


def test_a_link_of_a_handout_leads_somewhere(tmp_path):
    """But for those to chapters that are not released."""
    every = [number for number, *_ in CHAPTERS]
    names = handout.write(ROOT, tmp_path / "made", every)
    assert not [name for name in names if name.startswith(("solutions", "tests"))]
    for name in names:
        if name.endswith((".ipynb", ".md")):
            text = (tmp_path / "made" / name).read_text(encoding="utf-8")
            for target in re.findall(handout.LINK, text):
                assert (tmp_path / "made" / name).parent.joinpath(target).exists(), (name, target)


def test_a_handout_is_not_written_over_something_else(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="no handout"):
        handout.write(ROOT, tmp_path, ["00"])
    assert (tmp_path / "mine.txt").exists()


def test_make_lab_is_what_a_handout_can_do(handed_out):
    said = subprocess.run(
        ["make", "-n", "lab"], cwd=handed_out, capture_output=True, text=True, check=True
    ).stdout
    assert "-m jupyterlab" in said
    assert "pip install" in said
    assert "default_url=/lab/tree/notebooks/00_start_here.ipynb" in said
    exam = handout.makefile((ROOT / "Makefile").read_text(encoding="utf-8"), "exercises/a/a.ipynb")
    assert "default_url=/lab/tree/exercises/a/a.ipynb \\\n" in exam


RUN = """
import sys, nbclient, nbformat
path = sys.argv[1]
folder = path.rpartition("/")[0]
notebook = nbformat.read(path, as_version=4)
client = nbclient.NotebookClient(notebook, resources={"metadata": {"path": folder}})
try:
    client.execute()
except nbclient.exceptions.CellExecutionError as error:
    print(error.ename)
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print("".join(output.get("data", {}).get("text/plain", "")))
"""


@pytest.mark.slow
def test_a_student_can_work_with_a_handout(handed_out, tmp_path, monkeypatch):
    monkeypatch.setenv("RLX_HOME", str(tmp_path))
    path = "exercises/05_reinforce/05_reinforce.ipynb"
    notebook = nbformat.read(handed_out / path, as_version=4)
    next(each for each in notebook.cells if each.id == "reward_to_go").source = TO_GO
    nbformat.write(notebook, handed_out / path)
    said = run(handed_out, "-c", RUN, path)
    assert "✓ reward_to_go: right" in said
    assert "… policy_gradient_loss: not written yet" in said
    where = run(handed_out, "-c", "import rlx; print(rlx.__file__)")
    assert where.startswith(str(handed_out))


# ---------------------------------------------------------------------- exams

MODULES = sorted((ROOT / "rlx/course/exercises").glob("ch*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_an_exam_has_no_hint_no_mistake_and_no_reference(path):
    text = handout.without_answers(path.read_text(encoding="utf-8"))
    for exercise in load().values():
        reference = exercise.reference
        if reference.__module__ != f"rlx.course.exercises.{path.stem}":
            continue
        assert not any(told in text for told in exercise.hints)
        assert not exercise.also or exercise.also not in text
        for mistake in exercise.mistakes:
            assert mistake.why not in text
        declared = next(
            n for n in ast.parse(text).body if getattr(n, "name", "") == reference.__name__
        )
        for node in ast.walk(declared):
            if isinstance(node, ast.FunctionDef):
                assert [type(one) for one in node.body] == [ast.Raise]
        whole = ast.unparse(ast.parse(source(reference)).body[0].body)
        assert whole not in text


def test_an_exercise_beside_a_notebook_is_without_answers_too(tmp_path):
    declared = blocks("Add an exercise")[0]
    course = tmp_path / "course"
    for name in ("Makefile", "rlx/course/__init__.py"):
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, course / name)
    own = course / "exercises/10_q_learning/own_exercise.py"
    own.parent.mkdir(parents=True)
    own.write_text(declared, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=course, check=True)
    names = handout.write(course, tmp_path / "exam", ["10"], exam=True)
    assert "exercises/10_q_learning/own_exercise.py" in names
    text = (tmp_path / "exam/exercises/10_q_learning/own_exercise.py").read_text("utf-8")
    assert "return rewards + gamma * next_values - values" not in text
    assert "turned round" not in text
    assert "one_step_error.case(" in text


@pytest.mark.slow
def test_an_exam_runs_an_answer_and_does_not_judge_it(tmp_path):
    handout.write(ROOT, tmp_path / "exam", ["05"], exam=True)
    names = {path.relative_to(tmp_path / "exam").as_posix() for path in tmp_path.rglob("*.*")}
    assert not any(name.startswith("notebooks/") for name in names)
    assert "rlx/course/checking.py" not in names
    assert "Drawn(" not in (tmp_path / "exam/rlx/course/years.py").read_text()  # quotes answers
    (tmp_path / "exam/answers.py").write_text(
        f"import torch\nfrom rlx.course import check, hint, swap\n\n\n{WHOLE}\n\n\n"
        "check(reward_to_go)\nhint('reward_to_go')\n"
        "with swap(reward_to_go=reward_to_go):\n    print('swapped')\n"
        "def normalize(x):\n    raise NotImplementedError\n"
        "def normalize_middle(x):\n    raise NotImplementedError\n"
        "check(normalize_middle)\ntry:\n    check(normalize)\n"
        "except AssertionError as error:\n    print(error)\n"
        "def noise(gradients):\n    return gradients.no_such_thing()\n"
        "try:\n    check(noise)\nexcept AssertionError as error:\n    print(error)\n"
    )
    said = run(tmp_path / "exam", "answers.py")
    assert "→ reward_to_go: it runs\n  With four rewards of 1, gamma 0.5: [1.875, 1.875," in said
    assert "whole episode" not in said
    assert "? reward_to_go: no hints in an exam" in said
    assert "swapped" in said
    assert "… normalize: not written yet" in said
    assert "… normalize_middle: not written yet" in said
    assert "✗ noise: it stops with an error" in said
    assert "no_such_thing" in said
    assert check(load()["noise"].reference, "noise") is None  # the teacher's still judges


# ---------------------------------------------------------------------- another year's numbers


def test_every_number_that_is_drawn_is_written_in_its_notebook():
    load()
    found = [
        (name, each.source)
        for path in ROOT.glob("solutions/*/*.ipynb")
        for each in nbformat.read(path, as_version=4).cells
        for name in each.metadata.get("rlx", {}).get("numbers", ())
    ]
    assert {name for name, _ in found} == set(NUMBERS)
    for name, text in found:
        assert NUMBERS[name].written(text, 0) == text != NUMBERS[name].written(text, 7)


def test_a_drawn_number_is_the_published_one_only_without_a_seed():
    load()
    number = NUMBERS["batches_needed"]
    assert number() == number.of(0) == 0.1
    drawn = [number.of(seed) for seed in range(1, 200)]
    assert set(drawn) == {0.05, 0.2, 0.25, 0.4}
    assert drawn == [number.of(seed) for seed in range(1, 200)]
    asked = "a noise of 0.1: not 0.12, 10.1 or x0.1. And 0.1?"
    assert number.written(asked, 0) == asked
    assert number.written(asked, 1) == asked.replace(" 0.1:", f" {drawn[0]}:").replace(
        "And 0.1", f"And {drawn[0]}"
    )
    with pytest.raises(ValueError, match=r"no 0\.1"):
        number.written("a noise of a tenth", 1)


@pytest.fixture
def another_year(tmp_path):
    """exercises/ of chapter 05 with seed 7."""
    shutil.copytree(ROOT / "solutions/05_reinforce", tmp_path / "solutions/05_reinforce")
    command = [
        "tools/make_exercises.py",
        "--seed",
        "7",
        tmp_path / "solutions",
        tmp_path / "exercises",
    ]
    run(ROOT, *command)
    return tmp_path


@pytest.mark.slow
def test_another_seed_asks_for_other_numbers_and_checks_them(another_year):
    exercises = another_year / "exercises"
    path = exercises / "05_reinforce/05_reinforce.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata["rlx"]["seed"] == 7
    cells = {each.id: each for each in notebook.cells}
    load()
    wanted = NUMBERS["batches_needed"].of(7)
    for name in ("harder-batches-needed", "batches_needed"):
        assert f"noise (4) of {wanted}" in cells[name].source.replace("noise of", "noise (4) of")
        assert "0.1" not in cells[name].source.replace(str(wanted), "")
    tries = """
{}
from rlx.course import check
def batches_needed(gradients):
    return gradients.var(dim=0).sum() / gradients.mean(dim=0).pow(2).sum() / number
for seed, number in ((7, {}), (7, 0.1), (0, 0.1)):
    use_seed(seed)
    try:
        check(batches_needed)
    except AssertionError as error:
        print(error)
"""
    said = run(ROOT, "-c", tries.format(cells["seed"].source, wanted))
    this_year, last_year, published = re.findall("^(.) batches_needed", said, re.MULTILINE)
    assert (this_year, last_year, published) == ("✓", "✗", "✓")

    # nbgrader, which enters the cells in the gradebook, writes the same bytes.
    written = path.read_bytes()
    shutil.copy(ROOT / "nbgrader_config.py", another_year)
    shutil.copytree(ROOT / "tools", another_year / "tools")
    nbgrader(another_year, "generate_assignment", "05_reinforce", "--force")
    assert path.read_bytes() == written
    assert not list(stale(another_year / "solutions", exercises))
    assert list(stale(another_year / "solutions", exercises, seed=0)) == [
        "05_reinforce/05_reinforce.ipynb"
    ]


def test_the_seed_draws_other_inputs():
    before = [case.choices for case in expected(load()["noise"])[0]]
    try:
        use_seed(7)
        assert [case.choices for case in expected(load()["noise"])[0]] != before
    finally:
        use_seed(0)
    assert [case.choices for case in expected(load()["noise"])[0]] == before


# ---------------------------------------------------------------------- collecting, and GitHub


@pytest.mark.slow
def test_the_zip_of_moodle_is_collected(tmp_path):
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    name = "05_reinforce"
    folder = tmp_path / "grading/downloaded" / name / "archive"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for where in (
            f"Ada Lovelace_101_assignsubmission_file_/{name}.ipynb",
            f"Grace Brewster Hopper_102_assignsubmission_file_/{name}.ipynb",
            f"Alan Turing_103_assignsubmission_file_{name}.ipynb",
            f"Zoë O'Neill-Ng_104_assignsubmission_file_/{name} (1).ipynb",  # as browsers rename
        ):
            archive.writestr(where, where)
    nbgrader(tmp_path, "zip_collect", name)
    found = {
        path.relative_to(tmp_path / "grading/submitted").as_posix(): path.read_text("utf-8")[:3]
        for path in tmp_path.glob("grading/submitted/*/*/*.ipynb")
    }
    assert found == {
        f"101/{name}/{name}.ipynb": "Ada",
        f"102/{name}/{name}.ipynb": "Gra",
        f"103/{name}/{name}.ipynb": "Ala",
        f"104/{name}/{name}.ipynb": "Zoë",
    }


def test_the_late_penalty_of_the_guide():
    text = (ROOT / "docs/teaching.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ADay" in b)
    exec(block, scope := {})
    penalty = scope["ADay"]().late_submission_penalty
    assert penalty("ada", 9.0, 49 * 3600) == pytest.approx(2.7)  # two days and an hour
    assert penalty("ada", 9.0, 24 * 3600) == pytest.approx(0.9)
    assert penalty("ada", 9.0, 0) == 0
    assert penalty("ada", 9.0, 30 * 24 * 3600) == 9


@pytest.mark.slow
def test_a_push_is_commented_with_the_cards(tmp_path):
    """What the workflow runs, where `gh` only keeps what it is given."""
    handout.write(ROOT, tmp_path / "repo", ["01", "05"], github=True)
    repo = tmp_path / "repo"
    path = repo / "exercises/05_reinforce/05_reinforce.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cells = {each.id: each for each in notebook.cells}
    cells["reward_to_go"].source = WHOLE
    cells["normalize"].source = "def normalize(x):\n    return x.normalized()  # ```"
    cells["noise"].source = source(load()["noise"].reference).replace("_noise", "noise")
    cells["imports"].source += "\nfrom torch import Tensor"
    keep = [each for each in notebook.cells if each.id.startswith("check-") or each.id in cells]
    last = next(k for k, each in enumerate(keep) if each.id == "train-task")
    notebook.cells = [*keep[:last], cells["noise"], cells["check-noise"]]  # nothing is trained
    nbformat.write(notebook, path)

    workflow = yaml.safe_load((repo / ".github/workflows/check.yml").read_text(encoding="utf-8"))
    steps = [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    assert steps[0] == "make .venv/.course TORCH=cpu"
    assert ".venv/.course:" in (repo / "Makefile").read_text("utf-8").replace("$(VENV)", ".venv")
    (repo / ".venv/bin").mkdir(parents=True)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "gh").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > given\n')
    (bin_ / "gh").chmod(0o755)
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'  # a link would lose its packages
    (repo / ".venv/bin/python").write_text(python)
    (repo / ".venv/bin/python").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(bin_), os.environ["PATH"]]),
        "PYTHONPATH": str(repo),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_REPOSITORY": "class/ada",
        "GITHUB_SHA": "abc",
    }
    for step in steps[1:]:
        subprocess.run(["bash", "-e", "-c", step], cwd=repo, env=environment, check=True)
    cards = (repo / "cards.md").read_text(encoding="utf-8")
    assert (tmp_path / "summary").read_text(encoding="utf-8") == cards
    given = (repo / "given").read_text().split()
    assert given[:2] == ["api", "repos/class/ada/commits/abc/comments"]
    assert given[2:] == ["--silent", "--field", "body=@cards.md"]
    assert cards.startswith("## 05_reinforce: 3 of 9 points\n\n```\n✗ reward_to_go: every step")
    assert "✓ noise: right" in cards
    assert "… policy_gradient_loss: not written yet" in cards
    assert "01_loop" not in cards
    assert cards.count("````") == 2  # around the card that holds three backticks
