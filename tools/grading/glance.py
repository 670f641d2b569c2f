"""What grading has left of a chapter, read: the autograded notebooks, the submitted ones, the table
of grades, and progress that students handed in. Nothing is run, and nothing changed."""

import csv
import pkgutil
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass, field

import nbformat
from make_exercises import numbered

from grading.alike import Alike, compare, same_as
from rlx.course.card import KINDS
from rlx.course.exercise import EXERCISES, load
from rlx.course.exercise import source as source_of
from rlx.course.progress import counts

MARKS = {mark: kind for kind, (mark, _) in reversed(KINDS.items())}


@dataclass(frozen=True)
class Outcome:
    """What the check of one exercise said of one student's answer."""

    kind: str  # as a card's, or "error", "part" of the points, "missing": the cell was not run
    title: str = ""


@dataclass
class Student:
    name: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # empty: not graded
    answers: dict[str, str] = field(default_factory=dict)
    failed: str = ""  # why not graded
    changed: list[str] = field(default_factory=list)
    note: str = ""  # of what happened when it was graded


@dataclass
class Report:
    chapter: str
    points: dict[str, float]  # of each exercise, in the notebook's order
    students: list[Student]
    alike: list[Alike]
    common: dict[str, list[list[str]]]  # an answer that so many gave says nothing of two of them
    official: dict[str, list[str]]  # who handed in the course's own, a long one
    library: dict[str, list[str]]  # whose answer is the library's or the course's, short ones too
    took: dict[str, list[dict[str, int]]]  # checks and hints of those who handed in their progress

    @property
    def graded(self) -> list[Student]:
        return [student for student in self.students if student.outcomes]

    def said(self, exercise: str) -> dict[Outcome, list[str]]:
        """Who was told what of their answer, the most frequent first; not those who are right."""
        found = defaultdict(list)
        for student in self.graded:
            one = student.outcomes[exercise]
            if one.kind not in ("passed", "unwritten", "missing"):
                found[one.kind, one.title].append(student.name)
        ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
        return {Outcome(*key): names for key, names in ordered}

    def count(self, exercise: str, kind: str) -> int:
        return sum(student.outcomes[exercise].kind == kind for student in self.graded)


# ---------------------------------------------------------------------- reading


def read(path):
    """The notebook, or why it cannot be read."""
    try:
        notebook = nbformat.read(path, as_version=4)
        return notebook if isinstance(notebook.cells, list) else "it has no cells"
    except Exception as error:  # whatever somebody may have handed in
        return f"{path.name} cannot be read: {str(error).splitlines()[0][:120]}"


def notebook_in(folder):
    """The one notebook of a folder, whatever it is called now; None if there is none."""
    paths = sorted(folder.glob("*.ipynb"))
    return next((path for path in paths if path.stem == folder.name), next(iter(paths), None))


def nbgrader(cell, key):
    kept = cell.get("metadata", {}).get("nbgrader", {})
    return kept.get(key) if isinstance(kept, dict) else None


def graded_cells(notebook):
    """The check cells, by the name of their exercise."""
    cells = [cell for cell in notebook.cells if nbgrader(cell, "grade")]
    return {str(nbgrader(cell, "grade_id")).removeprefix("check-"): cell for cell in cells}


def outcome(cell, exercise):
    """What a check cell says, of a notebook that was run."""
    if cell is None:
        return Outcome("missing")
    said, error, part = None, None, None
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            error = f"{output.ename}: {output.evalue}".strip().splitlines()[0][:120]
        text = "".join(output.get("data", {}).get("text/plain", "")).lstrip()
        if output.output_type == "execute_result":
            part = number(text)  # nbgrader takes it for the points
        card = re.match(r"(\S) (\w+): (.+)", text)
        if card and card[1] in MARKS and card[2] == exercise:
            markup = "".join(output["data"].get("text/html", ""))
            kind = re.search(r'class="rlx-card rlx-(\w+)"', markup)
            said = Outcome(kind[1] if kind else MARKS[card[1]], card[3].strip())
    if said and (said.kind != "passed" or not error):
        return said
    if error and re.match(r"NotImplementedError: your turn", error):
        return Outcome("unwritten")
    if error:  # of a test without cards, or one that the answer never reached
        return Outcome("error", error)
    points = nbgrader(cell, "points") or 0
    if part is not None and part < points:
        return Outcome("part", f"{part:g} of {points:g} points")
    return Outcome("passed" if cell.get("execution_count") else "missing")


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def answers(notebook, exercises):
    """The sources of the answers: by the id of their cell, or where that was lost by their name."""
    found = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for name in exercises:
            named = nbgrader(cell, "grade_id") == name and nbgrader(cell, "solution")
            if named or re.search(rf"^(def|class) {name}\b", cell.source, re.MULTILINE):
                found.setdefault(name, cell.source)
    return found


def changed(released, notebook):
    """What was done to the checks. nbgrader warns of the cells with hidden tests of every student,
    because theirs lack the hidden tests; here they are compared with what was handed out."""

    def text(cell):
        return "\n".join(line.rstrip() for line in cell.source.strip().splitlines())

    wanted, there = graded_cells(released), graded_cells(notebook)
    everything = "\n".join(cell.source for cell in notebook.cells)
    found = []
    for name, cell in wanted.items():
        if name in there:
            if text(there[name]) != text(cell):
                found.append(f"the check of {name} was edited")
            elif nbgrader(there[name], "points") != nbgrader(cell, "points"):
                found.append(f"the points of {name} were edited")
        elif text(cell) not in everything:
            found.append(f"the check of {name} is gone")
    return found


def noted(table, chapter):
    """Who has no points in the table of grades and why, and what it notes of the others."""
    failed, notes = {}, {}
    if not table.is_file():
        return failed, notes
    with table.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            name, note = row.get("student_id") or "", row.get("note") or ""
            if row.get("assignment") != chapter:
                continue
            if "FAILED" in row.values() or not row.get("score"):
                failed[name] = note or "grading failed"
            elif note:
                notes[name] = note
    return failed, notes


# ---------------------------------------------------------------------- the report


def report(course, chapter):
    """All that can be said of a chapter. Raises FileNotFoundError if the course has it not."""
    load()
    released = nbformat.read(course / "exercises" / chapter / f"{chapter}.ipynb", as_version=4)
    points = {name: nbgrader(cell, "points") for name, cell in graded_cells(released).items()}
    grading = course / "grading"
    failed, notes = noted(grading / "grades.csv", chapter)
    names = {
        path.parent.name
        for folder in ("submitted", "autograded")
        for path in (grading / folder).glob(f"*/{chapter}")
    }
    students = []
    for name in sorted(names | failed.keys()):
        try:
            students.append(one(grading, name, chapter, points, released))
        except Exception as error:  # one bad notebook is no reason to say nothing of the others
            failed.setdefault(name, f"what was handed in is odd ({type(error).__name__}: {error})")
            students.append(Student(name))
    for student in students:
        if student.name in failed:
            student.failed, student.outcomes = failed[student.name], {}
        student.note = notes.get(student.name, "")
    solved = read(course / "solutions" / chapter / f"{chapter}.ipynb")
    solutions = defaultdict(list)
    if not isinstance(solved, str):
        for name, text in answers(solved, points).items():
            solutions[name].append(text)
        if seed := released.metadata.get("rlx", {}).get("seed", 0):
            for name, text in answers(numbered(solved, seed), points).items():
                solutions[name].append(text)
    for name in points:
        if name in EXERCISES:
            exercise = EXERCISES[name]
            solutions[name] += [source_of(exercise.reference), exercise.library]
            if exercise.target:
                solutions[name].append(source_of(pkgutil.resolve_name(exercise.target)))
    took = {
        name: [
            counts(folder, name)
            for folder in sorted((grading / "progress").glob("*/"))
            if counts(folder, name)["checks"]
        ]
        for name in points
    }
    similar = compare(students, points, answers(released, points), solutions)
    library = same_as(students, points, solutions)
    return Report(chapter, points, students, *similar, library, took)


def one(grading, name, chapter, points, released):
    """A student, as far as there is something to be read of theirs."""
    student = Student(name)
    for folder in ("submitted", "autograded"):
        path = notebook_in(grading / folder / name / chapter)
        if path is None:
            missing = {"submitted": "no notebook was handed in", "autograded": "not graded yet"}
            student.failed = student.failed or missing[folder]
            continue
        notebook = read(path)
        if isinstance(notebook, str):
            student.failed = notebook
            continue
        student.answers |= answers(notebook, points)
        if folder == "submitted":
            student.changed = changed(released, notebook)
        else:
            cells = graded_cells(notebook)
            student.outcomes = {each: outcome(cells.get(each), each) for each in points}
            student.failed = ""
    return student


def share(report, exercise):
    """Of those who were graded, how many solved it, and how many wrote something."""
    total = len(report.graded)
    solved = report.count(exercise, "passed")
    return solved, total - report.count(exercise, "unwritten") - report.count(exercise, "missing")


def effort(report, exercise):
    """The middle number of checks and of hints, of those who handed in their progress."""
    took = report.took[exercise]
    if not took:
        return ""
    checks, hints = (statistics.median(one[key] for one in took) for key in ("checks", "hints"))
    return f"{checks:g} checks, {hints:g} hints ({len(took)} told)"


def remarks(report):
    """What to look at: a heading, and sentences."""
    not_graded = [f"{s.name}: {s.failed}" for s in report.students if not s.outcomes]
    if not_graded:
        yield "Not graded", not_graded
    notes = [f"{s.name}: {s.note}" for s in report.students if s.note]
    if notes:
        yield "What happened when they were graded", notes
    pairs = [
        f"{', '.join(one.students)}: {', '.join(one.exercises)}"
        f"{' (to the letter)' if one.same else ''}"
        for one in report.alike
    ]
    pairs += [
        f"{len(names)} have one answer to {name}: {', '.join(names)}"
        for name, groups in report.common.items()
        for names in groups
    ]
    if pairs:
        yield "Nearly the same answers (short ones are left out)", pairs
    own = [f"{name}: {', '.join(names)}" for name, names in report.official.items() if names]
    if own:
        yield "The course's own answer, but for names and comments; some find it by themselves", own
    edited = [f"{s.name}: {'; '.join(s.changed)}" for s in report.students if s.changed]
    if edited:
        yield "Checks that were edited (grading puts them back)", edited
