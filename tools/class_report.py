"""The class at a glance: who solved what, which mistakes how many made, and what to look at.

    python tools/class_report.py 05_reinforce [--course FOLDER]

It reads what grading has left (docs/teaching.md): the autograded notebooks, the submitted ones, the
table of grades, and progress that students handed in. It runs nothing and changes nothing: a table
on the terminal, and a page, grading/class/CHAPTER.html.
"""

import argparse
import ast
import csv
import difflib
import html
import itertools
import re
import statistics
import sys
import textwrap
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from rlx.course.card import BLUE, GREEN, KINDS, RED, code
from rlx.course.exercise import EXERCISES, load
from rlx.course.exercise import source as source_of
from rlx.course.progress import counts

ROOT = Path(__file__).parents[1]
LONG = 60  # parts of an answer: below, two people write the same by themselves
MOST = 2000  # parts of one that are compared
ALIKE = 0.95  # of the parts, in the same order
MARKS = {mark: kind for kind, (mark, _) in reversed(KINDS.items())}
SIGNS = {"passed": "✓", "unwritten": "…", "missing": " "}  # all else is ✗


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
class Alike:
    """Students whose answers to these exercises are nearly the same, or to the letter."""

    students: tuple[str, ...]
    exercises: list[str]
    same: bool

    def order(self):
        """What is least likely by chance comes first."""
        return -len(self.exercises), not self.same, self.students


@dataclass
class Report:
    chapter: str
    points: dict[str, float]  # of each exercise, in the notebook's order
    students: list[Student]
    alike: list[Alike]
    common: dict[str, list[list[str]]]  # an answer that so many gave says nothing of two of them
    official: dict[str, list[str]]  # who handed in the course's own
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


# ---------------------------------------------------------------------- alike


def parts(source):
    """An answer as a row of parts that do not depend on names, comments, docstrings and layout."""
    try:
        tree = ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return tuple(re.findall(r"\w+|\S", source)[:MOST])
    own: dict[str, str] = {}  # what the answer gives names to, in the order of appearance
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.setdefault(node.name, f"name{len(own)}")
            node.returns = None
            node.decorator_list = [] if isinstance(node, ast.ClassDef) else node.decorator_list
            if ast.get_docstring(node, clean=False) is not None:
                node.body = body[1:]
        elif isinstance(node, ast.arg):
            own.setdefault(node.arg, f"name{len(own)}")
            node.annotation = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.setdefault(node.id, f"name{len(own)}")

    def walk(node):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, ast.AST):
                    if not isinstance(one, ast.expr_context):
                        yield from walk(one)
                elif one is not None and name not in ("type_comment", "kind"):
                    yield own.get(one, one) if isinstance(one, str) else repr(one)

    try:
        return tuple(itertools.islice(walk(tree), MOST))
    except RecursionError:
        return tuple(re.findall(r"\w+|\S", source)[:MOST])


def nearly(a, b):
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return (
        matcher.real_quick_ratio() >= ALIKE
        and matcher.quick_ratio() >= ALIKE
        and matcher.ratio() >= ALIKE
    )


def compare(students, exercises, stubs, solutions):
    """Groups with nearly the same long answers, answers that many gave, who gave the course's."""
    limit = max(3, len(students) // 5)
    groups, common, official = defaultdict(list), defaultdict(list), {}
    for name in exercises:
        forms = defaultdict(list)  # students by the form of their answer
        for student in students:
            form = parts(student.answers.get(name, ""))
            if len(form) >= LONG and form != parts(stubs.get(name, "")):
                forms[form].append(student)
        own = {parts(text) for text in solutions.get(name, [])}
        official[name] = sorted(s.name for form in forms.keys() & own for s in forms.pop(form))
        for form in [form for form, some in forms.items() if len(some) > limit]:
            common[name].append([student.name for student in forms.pop(form)])
        for some in together(forms):
            same = len({" ".join(one.answers[name].split()) for one in some}) == 1
            groups[tuple(one.name for one in some)].append((name, same))
    found = [
        Alike(names, [name for name, _ in some], all(same for _, same in some))
        for names, some in groups.items()
    ]
    return sorted(found, key=Alike.order), common, official


def together(forms):
    """Lists of two students and more, where each has nearly the form of another one."""
    left = dict(forms)
    while left:
        form, some = left.popitem()
        waiting = [form]
        while waiting:
            form = waiting.pop()
            for other in [other for other in left if nearly(form, other)]:
                some = some + left.pop(other)
                waiting.append(other)
        if len(some) > 1:
            yield sorted(some, key=lambda one: one.name)


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
    for name in points:
        if name in EXERCISES:
            solutions[name] += [source_of(EXERCISES[name].reference), EXERCISES[name].library]
    took = {
        name: [
            counts(folder, name)
            for folder in sorted((grading / "progress").glob("*/"))
            if counts(folder, name)["checks"]
        ]
        for name in points
    }
    similar = compare(students, points, answers(released, points), solutions)
    return Report(chapter, points, students, *similar, took)


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


def terminal(report):
    total = len(report.graded)
    wide = max(map(len, report.points), default=8)
    lines = [f"{report.chapter}: {total} graded, {len(report.students) - total} not", ""]
    lines.append(f"{'':{wide}}  points   solved  written  what went wrong, by how many")
    for name, points in report.points.items():
        solved, written = share(report, name)
        said = [f"{len(names):3} {wanted.title}" for wanted, names in report.said(name).items()]
        head = f"{name:{wide}}  {points:6g}  {solved:3} of {total:<3} {written:6}  "
        told = effort(report, name)
        for k, text in enumerate([*said, *([f"    {told}"] if told else [])] or [""]):
            lines.append(((head if k == 0 else " " * len(head)) + text).rstrip())
    for title, sentences in remarks(report):
        lines += ["", f"{title}:", *(f"  {sentence}" for sentence in sentences)]
    return "\n".join(lines)


STYLE = f"""
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 980px; margin: 24px auto; padding: 0 16px;
  background: #fff; color: #1b1b1b; }}
h2 {{ margin: 40px 0 8px; }}
h3 {{ margin: 28px 0 4px; }}
small, .few {{ opacity: 0.75; }}
.bar {{ height: 10px; max-width: 420px; background: #8884; border-radius: 5px; overflow: hidden; }}
.bar i {{ display: block; height: 100%; background: {GREEN}; }}
li b {{ display: inline-block; min-width: 5.5em; }}
details p {{ margin: 2px 0 6px 5.5em; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 13px; }}
th, td {{ padding: 2px 6px; text-align: center; border-bottom: 1px solid #8884; }}
th:first-child {{ text-align: left; }}
thead th {{ vertical-align: bottom; }}
thead span {{ writing-mode: vertical-rl; transform: rotate(180deg); font-weight: 400; }}
.y {{ color: {GREEN}; font-weight: 700; }} .n {{ color: {RED}; font-weight: 700; }}
.u {{ color: {BLUE}; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #111; color: #eee; }}
  .y {{ color: #4cc79a; }} .n {{ color: #ff9a5c; }} .u {{ color: #6db7ea; }}
}}
"""


def why(exercise, title):
    """What the card explained, if the mistake is a named one."""
    mistakes = EXERCISES[exercise].mistakes if exercise in EXERCISES else []
    return next((mistake.why for mistake in mistakes if mistake.name == title), "")


def listed(report, exercise):
    """What was said of the wrong answers, as a list."""
    rows = []
    for said, names in report.said(exercise).items():
        note = code(why(exercise, said.title))
        rows.append(
            f"<li><details><summary><b>{len(names)} of {len(report.graded)}</b> "
            f"{code(said.title)}</summary><p>{note}</p>"
            f'<p class="few">{html.escape(", ".join(names))}</p></details></li>'
        )
    return f'<ul style="list-style: none; padding: 0">{"".join(rows)}</ul>' if rows else ""


def page(report):
    total = len(report.graded)
    body = [
        f"<h1>{html.escape(report.chapter)}</h1><p>{total} graded, "
        f"{len(report.students) - total} not.</p>"
    ]
    for name, points in report.points.items():
        solved, written = share(report, name)
        told = effort(report, name)
        body.append(
            f"<h3>{html.escape(name)} <small>{worth(points)}</small></h3>"
            f'<div class="bar" role="img" aria-label="{solved} of {total} solved it">'
            f'<i style="width: {100 * solved / max(total, 1):.0f}%"></i></div>'
            f"<p>{solved} of {total} solved it, {written} wrote something."
            f"{f' In the middle {told}.' if told else ''}</p>{listed(report, name)}"
        )
    for title, sentences in remarks(report):
        rows = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        body.append(f"<h2>{html.escape(title)}</h2><ul>{rows}</ul>")
    head = "".join(f"<th><span>{html.escape(name)}</span></th>" for name in report.points)
    rows = "".join(
        f"<tr><th>{html.escape(student.name)}</th>{''.join(map(mark, student.outcomes.values()))}"
        "</tr>"
        for student in report.graded
    )
    body.append(
        "<h2>Everyone</h2><p>✓ solved, ✗ not yet, … not written. Point at a sign for what was "
        f'said.</p><div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(report.chapter)}</title><style>{STYLE}</style>{''.join(body)}</html>\n"
    )


def worth(points):
    return f"{points:g} points" if points else "optional"


def mark(outcome):
    sign = SIGNS.get(outcome.kind, "✗")
    look = {"✓": "y", "✗": "n"}.get(sign, "u")
    return f'<td class="{look}" title="{html.escape(outcome.title)}">{sign}</td>'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", help="as its folder in solutions/ is called")
    parser.add_argument("--course", type=Path, default=ROOT)
    arguments = parser.parse_args()
    try:
        found = report(arguments.course, arguments.chapter)
    except FileNotFoundError as error:
        chapters = sorted(path.name for path in (arguments.course / "exercises").glob("*/"))
        print(f"{error.filename} is not there; chapters: {' '.join(chapters)}", file=sys.stderr)
        return 1
    if not found.students:
        print(f"nobody has handed in {arguments.chapter} under grading/submitted", file=sys.stderr)
        return 1
    print(terminal(found))
    target = arguments.course / "grading" / "class" / f"{arguments.chapter}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(found), encoding="utf-8")
    print(f"\nthe same as a page: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
