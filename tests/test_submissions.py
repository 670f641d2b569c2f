"""A hundred submissions, of some sixty kinds, graded as a teacher grades: points, pages, table.

Honest accidents cost nothing, and what is not one's own earns nothing.
"""

import copy
import csv
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from grading import sandbox
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).parents[1]
FIVE, ONE, SIX = "05_reinforce", "01_loop", "06_baselines"
NAMES = {
    FIVE: ("reward_to_go", "policy_gradient_loss", "normalize", "noise"),
    ONE: ("run_episode", "HideObservation", "discounted_return", "make_act"),
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def solved(chapter):
    """The student's notebook with the teacher's answers in it."""
    student, teacher = (
        nbformat.read(ROOT / folder / chapter / f"{chapter}.ipynb", as_version=4)
        for folder in ("exercises", "solutions")
    )
    answers = {c.id: c.source for c in teacher.cells if about(c).get("solution")}
    for one in student.cells:
        one.source = answers.get(one.id, one.source)
    return student


def about(cell):
    return cell.metadata.get("nbgrader", {})


class Student:
    """What one hands in: a notebook to change, or the bytes of a file, and files beside it."""

    def __init__(self, chapter, notebook):
        self.chapter, self.notebook = chapter, notebook
        self.first, _, self.some, _ = NAMES.get(chapter, (None,) * 4)  # exercises
        self.file, self.data, self.beside, self.link = f"{chapter}.ipynb", None, {}, None

    def cell(self, name):
        cells = self.notebook.cells
        return next(one for one in cells if name in (one.id, about(one).get("grade_id")))

    def put(self, name, source):
        self.cell(name).source = textwrap.dedent(source).strip()

    def append(self, name, source):
        self.cell(name).source += "\n\n" + textwrap.dedent(source).strip()

    def before(self, name, source):
        """A cell of the student's own, before the one of that name."""
        cell = new_code_cell(textwrap.dedent(source).strip())
        self.notebook.cells.insert(self.notebook.cells.index(self.cell(name)), cell)

    def hand_in(self, folder):
        folder.mkdir(parents=True)
        for name, text in self.beside.items():
            folder.joinpath(name).parent.mkdir(exist_ok=True)
            folder.joinpath(name).write_text(text)
        if self.link:
            folder.joinpath(self.file).symlink_to(self.link)
        elif self.file:
            data = self.data if self.data is not None else self.text().encode()
            folder.joinpath(self.file).write_bytes(data)

    def text(self):
        return json.dumps(self.notebook, ensure_ascii=False)


KINDS = {}  # by name: chapter, solved or not, what is changed, points, words of the page, the note


def kind(points, *words, chapter=FIVE, untouched=False, failed=""):
    """Declares a submission: what it deserves, and what its page has to say."""

    def declare(change):
        name = change.__name__ + ("_in_01" if change.__name__ in KINDS else "")
        KINDS[name] = (chapter, untouched, change, points, words, failed)
        return change

    return declare


def both(five, one, *words, **options):
    """The same in two chapters."""

    def declare(change):
        kind(five, *words, **options)(change)
        return kind(one, *words, chapter=ONE, **options)(change)

    return declare


# ------------------------------------------------------------------ nothing special


@kind(9)
def right(student):
    """Every exercise solved."""


@both(0, 0, "not written yet", untouched=True)
def nothing_written(student):
    """As it was handed out."""


@kind(7, "the deviation is that of a sample")
def a_named_mistake(student):
    student.put("normalize", "def normalize(x):\n    return (x - x.mean()) / (x.std() + 1e-8)")


@both(7, 7, "SyntaxError")
def a_syntax_error(student):
    student.put(student.some, f"def {student.some}(x)\n    return x")


@kind(7, "it returns a Strange, not a tensor")
def a_type_of_ones_own(student):
    student.put("normalize", "class Strange: pass\ndef normalize(x):\n    return Strange()")


@both(9, 8, "NameError")
def a_cell_that_fails(student):
    student.before(student.some, "print(not_there)\ndef helper(x):\n    return x")
    student.append(student.some, f"""
        mine = {student.some}
        def {student.some}(*inputs):
            return helper(mine(*inputs))
    """)  # fmt: skip


# ------------------------------------------------------------------ honest accidents: it hangs


@both(7, 6, "it does not come to an end")
def an_endless_loop(student):
    student.put(student.first, f"def {student.first}(*inputs):\n    while True:\n        pass")


@both(7, 6, "it does not come to an end", "Python was started again")
def an_endless_loop_that_catches_all(student):
    student.put(student.first, f"""
        def {student.first}(*inputs):
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
    """)  # fmt: skip


@kind(9, "seconds are over")
def an_endless_cell(student):
    student.append("reward_to_go", "while True:\n    pass")


@both(9, 8, "seconds are over")
def an_endless_cell_that_awaits(student):
    student.before(student.some, "import asyncio\nawait asyncio.sleep(0)\nwhile True:\n    pass")


@both(9, 8, "did not stop", "Python was started again")
def an_endless_cell_that_catches_all(student):
    student.before(student.some, """
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
    """)  # fmt: skip


@both(9, 8, "it prints without end", "the rest is left out")
def a_cell_that_prints_without_end(student):
    student.before(student.some, "while True:\n    print('x' * 1000)")


# ------------------------------------------------------------------ it ends, it fills the memory


@both(7, 6, "it ends Python", "the kernel ended itself (status 3)")
def ends_python_when_checked(student):
    student.put(student.first, f"""
        def {student.first}(*inputs):
            import os
            os._exit(3)
    """)  # fmt: skip


@both(9, 8, "the kernel ended itself (status 1)", "Python was started again")
def ends_python_in_a_cell(student):
    student.before(student.some, "import os\nos._exit(1)")


@kind(6, "ended by SIGKILL")
def is_killed_when_checked(student):
    student.put("noise", "import os\ndef noise(gradients):\n    os.kill(os.getpid(), 9)")


@both(7, 7)
def fills_the_memory(student):
    student.put(student.some, f"""
        import torch
        def {student.some}(*inputs):
            return torch.ones(10**10)
    """)  # fmt: skip


@both(9, 8, "more than 100 processes")
def starts_many_processes(student):
    student.before(student.some, """
        import os, time
        for _ in range(150):
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        time.sleep(5)
    """)  # fmt: skip


# ------------------------------------------------------------------ the file is not as it was


@both(9, 8)
def a_warning(student):
    student.append(student.some, f"""
        import sys, warnings
        mine = {student.some}
        def {student.some}(*inputs):
            warnings.warn("careful")
            print("careful", file=sys.stderr)
            return mine(*inputs)
    """)  # fmt: skip


@both(9, 8)
def every_cell_twice(student):
    cells = student.notebook.cells
    student.notebook.cells = [one for cell in cells for one in (cell, copy.deepcopy(cell))]


@both(9, 8, "the last in which something is written was graded", "that was not graded")
def an_empty_copy_below(student):
    cells = student.notebook.cells
    again = copy.deepcopy(student.cell(student.some))
    path = ROOT / "exercises" / student.chapter / f"{student.chapter}.ipynb"
    stub = nbformat.read(path, as_version=4)
    again.source = next(one.source for one in stub.cells if one.id == student.some)
    cells.insert(cells.index(student.cell(f"check-{student.some}")), again)


@both(7, 7, "the last was graded")
def two_answers(student):
    again = copy.deepcopy(student.cell(student.some))
    again.source = f"def {student.some}(x):\n    return x"
    student.notebook.cells.append(again)


@both(7, 7, "Deleted, and put back empty", "not written yet")
def a_deleted_exercise(student):
    gone = (student.some, f"check-{student.some}")
    student.notebook.cells = [one for one in student.notebook.cells if one.id not in gone]


@both(9, 8, "Found by what a cell holds")
def lost_metadata(student):
    for k, one in enumerate(student.notebook.cells):
        one.metadata, one.id = nbformat.from_dict({}), f"c{k}"


@both(9, 8)
def foreign_metadata(student):
    for one in student.notebook.cells:
        one.metadata = nbformat.from_dict({"nbgrader": "yes", "colab": {"id": 7}, "tags": None})


@both(9, 8)
def metadata_of_version_1(student):
    for one in student.notebook.cells:
        if "nbgrader" in one.metadata:
            one.metadata.nbgrader.schema_version = 1
            one.metadata.nbgrader.pop("task", None)


@both(9, 8)
def metadata_of_version_99(student):
    for one in student.notebook.cells:
        if "nbgrader" in one.metadata:
            one.metadata.nbgrader.schema_version = 99


@both(9, 8, "The file was called")
def another_name(student):
    student.file = "my homework (final).ipynb"


@both(9, 8, "byte-order mark")
def a_byte_order_mark(student):
    student.data = b"\xef\xbb\xbf" + student.text().encode()


@both(9, 8, "latin-1")
def latin_1(student):
    student.before(student.some, "# caf\u00e9")
    text = student.text().encode("latin-1", errors="ignore")
    student.data = text


@both(9, 8, "old notebooks")
def an_old_format(student):
    student.data = nbformat.writes(copy.deepcopy(student.notebook), version=3).encode()


@both(9, 8)
def cells_in_reverse(student):
    student.notebook.cells = student.notebook.cells[::-1]


@both(9, 8)
def an_answer_in_a_cell_of_its_own(student):
    source = student.cell(student.some).source
    student.cell(student.some).source = ""
    student.notebook.cells.append(new_code_cell(source))


@both(9, 8)
def an_answer_that_became_text(student):
    student.cell(student.some).cell_type = "markdown"


@both(9, 8)
def a_helper_beside(student):
    student.beside["helper.py"] = "def same(x):\n    return x\n"
    student.append(student.some, f"""
        from helper import same
        mine = {student.some}
        def {student.some}(*inputs):
            return same(mine(*inputs))
    """)  # fmt: skip


# ------------------------------------------------------------------ nothing there to grade


@both(None, None, failed="the file is empty")
def an_empty_file(student):
    student.data = b""


@both(None, None, failed="no notebook")
def half_a_file(student):
    student.data = student.text().encode()[:5000]


@both(None, None, failed="there is no notebook")
def another_file(student):
    student.file, student.data = "answers.docx", b"PK"


@both(None, None, failed="it is a link")
def a_link_to_the_solutions(student):
    student.link = ROOT / "solutions" / student.chapter / f"{student.chapter}.ipynb"


# ------------------------------------------------------------------ and what is no accident


@both(0, 0, untouched=True)
def another_check(student):
    student.put(student.first, "def check(answer):\n    pass\ngraded = check")


@both(0, 0, untouched=True)
def checks_and_points_changed(student):
    for one in student.notebook.cells:
        if about(one).get("grade"):
            one.source, about(one)["points"] = "pass", 100


@both(0, 0, untouched=True)
def examine_patched(student):
    student.put(student.first, """
        import rlx.course.checking as checking
        from rlx.course.card import Card
        checking.examine = lambda exercise, answer: Card(exercise.name, "right", [], [], "passed")
        checking.check = lambda answer: None
    """)  # fmt: skip


@both(0, 0, untouched=True)
def comparisons_patched(student):
    student.put(student.first, """
        import torch
        from rlx.course import observe, trials, values
        for module in (observe, trials):
            module.right = lambda *_: True
            module.same_values = lambda *_: True
        values.equal = observe.equal = lambda *_: True
        torch.Tensor.__eq__ = lambda *_: True
    """)  # fmt: skip


@kind(0, untouched=True)
def references_replaced(student):
    student.append("imports", """
        from rlx.course.exercise import load
        def nothing(*_): return torch.zeros(())
        for exercise in load().values():
            exercise.reference = nothing
            exercise.cases.clear()
        reward_to_go = policy_gradient_loss = normalize = noise = nothing
    """)  # fmt: skip
    for name in ("reward_to_go", "policy_gradient_loss", "normalize", "noise"):
        student.put(name, f"{name} = nothing")


@both(0, 0, "could not be written down", untouched=True)
def serve_patched(student):
    student.append("imports", """
        import rlx.course.afar as afar
        def serve(namespace, request, path):
            open(path, "w").write('{"observed": [{"value": 1}]}')
        afar.serve = serve
    """)  # fmt: skip


@both(0, 0, "could not be seen", untouched=True)
def fake_modules(student):
    student.put(student.first, """
        import sys, types
        fake = types.ModuleType("rlx.course")
        fake.check = fake.graded = lambda *_: None
        for name in [name for name in sys.modules if name.startswith("rlx")]:
            sys.modules[name] = fake
    """)  # fmt: skip


@both(0, 0, untouched=True)
def an_rlx_beside(student):
    student.beside["rlx/__init__.py"] = "raise SystemExit"
    student.beside["rlx.py"] = "raise SystemExit"


@both(0, 0, untouched=True)
def transformers(student):
    student.append("imports", """
        get_ipython().input_transformers_post.append(lambda lines: ["pass\\n"])
    """)  # fmt: skip


@both(0, 0, untouched=True)
def run_code_patched(student):
    student.append("imports", """
        async def run_code(*_, **__): return False
        get_ipython().run_code = run_code
    """)  # fmt: skip


@both(0, 0, untouched=True)
def the_reference_handed_in(student):
    student.append("imports", "from rlx.course.exercise import load")
    for name in NAMES[student.chapter]:
        student.put(name, f"{name} = load()['{name}'].reference")


@kind(5, "it is not your own")
def the_librarys_handed_in(student):
    student.put("normalize", "normalize = rlx.functional.normalize")
    student.put("policy_gradient_loss", """
        from functools import partial
        policy_gradient_loss = partial(rlx.functional.policy_gradient_loss)
    """)  # fmt: skip


@kind(7, "it is not your own")
def the_librarys_called(student):
    student.put("normalize", """
        from rlx.functional import normalize as n
        def normalize(x):
            return n(x)
    """)  # fmt: skip


@kind(7, "it is not your own")
def the_librarys_called_without_a_profile(student):
    student.put("normalize", """
        import sys
        def normalize(x):
            sys.setprofile(None)
            try:
                return rlx.functional.normalize(x)
            except BaseException:
                sys.setprofile(None)
                return (x - x.mean()) / x.std()
    """)  # fmt: skip


@kind(7, "it is not your own")
def the_librarys_called_in_a_thread(student):
    student.put("normalize", """
        import threading
        def normalize(x):
            found = []
            thread = threading.Thread(target=lambda: found.append(rlx.functional.normalize(x)))
            thread.start()
            thread.join()
            return found[0]
    """)  # fmt: skip


@kind(7, "it is not your own")
def the_librarys_called_by_ctypes(student):
    student.put("normalize", """
        import ctypes, sys
        call = ctypes.pythonapi.PyObject_CallOneArg
        call.restype, call.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.py_object]
        def normalize(x):
            sys.setprofile(None)
            return call(rlx.functional.normalize, x)
    """)  # fmt: skip


@kind(7, "it is not your own")
def the_librarys_code_under_another_name(student):
    student.put("normalize", """
        import sys, types
        from rlx.functional import normalize as theirs
        made = types.FunctionType(theirs.__code__.replace(co_name="f"), theirs.__globals__)
        def normalize(x):
            sys.setprofile(None)
            return made(x)
    """)  # fmt: skip


@kind(6, "it is not your own", chapter=ONE)
def the_librarys_method_hidden(student):
    student.put("HideObservation", """
        import sys
        import rlx.envs.cartpole
        class HideObservation(rlx.envs.cartpole.HideObservation):
            def __init__(self, *inputs):
                sys.setprofile(None)
                super().__init__(*inputs)
    """)  # fmt: skip


@both(0, 0, untouched=True)
def reads_the_solutions(student):
    path = ROOT / "solutions" / student.chapter / f"{student.chapter}.ipynb"
    student.append("imports", f"""
        import json, pathlib
        text = pathlib.Path({str(path)!r}).read_text()
        for cell in json.loads(text)["cells"]:
            if cell["metadata"].get("nbgrader", {{}}).get("solution"):
                exec("".join(cell["source"]))
    """)  # fmt: skip
    for name in NAMES[student.chapter]:
        student.put(name, "pass")


@both(0, 0, untouched=True)
def writes_to_the_gradebook(student):
    student.append("imports", """
        import glob, sqlite3
        for path in glob.glob("COURSE/gradebook.db"):
            with sqlite3.connect(path) as book:
                book.execute("update grade set auto_score = 12")
        open("COURSE/gradebook.db", "ab")
    """)  # fmt: skip


# ------------------------------------------------------------------ another chapter


@kind(8, chapter=ONE)
def right_one(student):
    """Every exercise solved."""


@kind(6, "it does not stop at a truncation", chapter=ONE)
def a_named_mistake_one(student):
    source = student.cell("run_episode").source
    student.put("run_episode", source.replace("if terminated or truncated", "if terminated"))


@kind(5, "it does not come to an end", chapter=ONE)
def an_endless_loop_in_a_closure(student):
    student.put("make_act", """
        def make_act():
            def act(observation):
                while True:
                    pass
            return act
    """)  # fmt: skip


@kind(6, "it is not your own", chapter=ONE)
def the_librarys_class(student):
    student.put("HideObservation", "from rlx.envs.cartpole import HideObservation")


@kind(3, chapter=ONE)
def the_rest_deleted(student):
    keep = ("imports", "make_act")
    student.notebook.cells = [one for one in student.notebook.cells if one.id in keep]


# One exercise's hidden tests ask for the others again: what failed there is not lost twice.
@kind(9, chapter=SIX)
def one_wrong_of_many(student):
    student.put("optimal_baseline", "def optimal_baseline(*_):\n    return torch.zeros(())")
    student.beside["submission_secret.txt"] = "by which nbgrader's exchange finds the page"


NEED_A_SANDBOX = {reads_the_solutions, writes_to_the_gradebook, starts_many_processes}
if sandbox.missing():
    KINDS = {name: one for name, one in KINDS.items() if one[2] not in NEED_A_SANDBOX}


# How often the grader is started: as many parts of a class, for pytest's processes to share.
PARTS = {FIVE: 3, ONE: 2, SIX: 1}


class Class:
    """Some of them, graded by the command of docs/teaching.md."""

    def __init__(self, root, chapter, names):
        self.root, self.chapter = root, chapter
        shutil.copy(ROOT / "nbgrader_config.py", root)
        (root / "tools").symlink_to(ROOT / "tools")
        for folder in ("solutions", "exercises"):
            shutil.copytree(ROOT / folder / chapter, root / folder / chapter)
        path = ROOT / "exercises" / chapter / f"{chapter}.ipynb"
        notebooks = {True: nbformat.read(path, 4), False: solved(chapter)}
        for name in names:
            _, untouched, change, *_ = KINDS[name]
            student = Student(chapter, copy.deepcopy(notebooks[untouched]))
            change(student)
            for one in student.notebook.cells:
                one.source = one.source.replace("COURSE", str(root))
            student.hand_in(root / "grading/submitted" / name / chapter)
        self.said = self.grade()
        with open(root / "grading/grades.csv", newline="") as file:
            self.rows = {row["student_id"]: row for row in csv.DictReader(file)}

    def grade(self):
        command = [sys.executable, "tools/grade.py", self.chapter, "--course", self.root]
        command += ["--seconds", "10"]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def page(self, name):
        path = self.root / "grading/feedback" / name / self.chapter / f"{self.chapter}.html"
        return path.read_text() if path.exists() else ""


def part(chapter, k):
    """Every so manieth kind: the slow ones, which stand together, are shared out."""
    return [name for name, one in KINDS.items() if one[0] == chapter][k :: PARTS[chapter]]


@pytest.mark.parametrize(
    ("chapter", "k"), [(chapter, k) for chapter, count in PARTS.items() for k in range(count)]
)
def test_each_gets_the_points_that_it_deserves_and_a_page_that_says_why(
    tmp_path, subtests, chapter, k
):
    names = part(chapter, k)
    graded = Class(tmp_path, chapter, names)
    for name in names:
        *_, points, words, failed = KINDS[name]
        with subtests.test(name):
            page, row = graded.page(name), graded.rows[name]
            assert row["score"] == ("FAILED" if points is None else str(float(points)))
            assert bool(page) == (points is not None)
            assert [word for word in words if word not in page] == []
            assert failed in row["note"]

    with subtests.test("where they ran, and who could not be graded"):
        first, *_, last = graded.said.strip().splitlines()
        assert ("NO SANDBOX" in first) == bool(sandbox.missing())
        missed = sorted(name for name in names if KINDS[name][-1])
        assert (f"{len(missed)} could not be graded:" in graded.said) == bool(missed)
        assert not missed or last.split(":")[0].strip() == missed[-1]

    if chapter == SIX:
        with subtests.test("what came by the exchange goes back by it"):
            (name,) = names
            page = tmp_path / f"grading/feedback/{name}/{SIX}"
            secret = page.joinpath("submission_secret.txt").read_text()
            assert secret == "by which nbgrader's exchange finds the page"

        with subtests.test("what has not changed is left as it is"):
            table = tmp_path / "grading/grades.csv"
            before = table.read_text()
            assert "1 of 1 are left as they are." in graded.grade()
            assert table.read_text() == before


def test_the_sandbox_has_the_packages_and_not_the_course(monkeypatch, tmp_path):
    users = tmp_path / "lib/site-packages"
    users.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(ROOT), str(ROOT / "tools"), str(users), "", *sys.path])
    found = sandbox.packages()
    assert str(users) in found
    assert os.path.dirname(os.path.dirname(nbformat.__file__)) in found
    assert not any(ROOT.is_relative_to(path) or Path(path) == ROOT for path in found)


def test_last_years_solutions_are_graded_by_this_years_questions(tmp_path):
    command = [sys.executable, "tools/make_exercises.py", "--seed", "7", "--solved"]
    command += [tmp_path / "answers", tmp_path / "solutions", tmp_path / "exercises"]
    shutil.copytree(ROOT / "solutions" / FIVE, tmp_path / "solutions" / FIVE)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    for student, folder in (("this_year", "answers"), ("last_year", "solutions")):
        target = tmp_path / "grading/submitted" / student / FIVE
        target.parent.mkdir(parents=True)
        shutil.copytree(tmp_path / folder / FIVE, target)
    command = [sys.executable, "tools/grade.py", FIVE, "--course", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with open(tmp_path / "grading/grades.csv", newline="") as file:
        scores = {row["student_id"]: row["score"] for row in csv.DictReader(file)}
    assert scores == {"this_year": "9.0", "last_year": "6.0"}
    page = tmp_path / f"grading/feedback/last_year/{FIVE}/{FIVE}.html"
    assert page.read_text().count("it answers another year") >= 2  # of a harder one, too
