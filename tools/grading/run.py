"""Goes through the cells of a submission: the kernel runs them, the graded ones are judged here.

The kernel is not believed. Of a graded cell `check(answer)` it only calls the answer and sends what
that did (rlx.course.afar); card, outcome and points are made in this process.
"""

from __future__ import annotations

import ast
import time
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_output

from grading.kernel import Kernel, Ran
from rlx.course.afar import Afar, Refused
from rlx.course.card import Card
from rlx.course.checking import NotYet, examine
from rlx.course.exercise import EXERCISES, Exercise, find, load
from rlx.course.observe import OutOfTime
from rlx.course.seeds import use_seed

CHECKS = ("check", "graded")
RESTARTS = 10  # of the kernel, for one submission


@dataclass
class Options:
    """`whole`: run the chapter's own cells too, training included. `seconds`: for a cell.
    `total`: seconds for a submission. `megabytes`: of memory."""

    whole: bool = False
    seconds: float = 120.0
    total: float = 1800.0
    megabytes: int = 4000


@dataclass
class Submission:
    """A repaired notebook, run. `notes`: what happened that its reader should know."""

    notebook: nbformat.NotebookNode
    notes: list[str] = field(default_factory=list)
    peak: float = 0.0  # MB of memory
    cpu: float = 0.0  # seconds of the kernel, as far as it was not killed


def prepare(released) -> None:
    """Once in a process: the numbers that the notebook asks for, and the cases that it is checked
    with. They are those that the learner saw: what was right there is right here."""
    load()
    use_seed(released.metadata.get("rlx", {}).get("seed", 0))


def run(notebook, released, solved, package: Path, files: Path, options: Options) -> Submission:
    """Run a repaired notebook. `released`: as it was handed out. `solved`: the teacher's, with the
    graded cells in full. `files`: a folder of what else was handed in. Raises NoKernel."""
    kernel = Kernel(package, files, options.megabytes, int(options.total))
    runner = _Runner(notebook, released, solved, kernel, options)
    try:
        kernel.start()
        runner.all()
    finally:
        kernel.close()
    return Submission(notebook, runner.notes, kernel.peak, kernel.cpu)


class _Runner:
    def __init__(self, notebook, released, solved, kernel: Kernel, options: Options) -> None:
        self.notebook, self.kernel, self.options = notebook, kernel, options
        self.handed_out = {cell.get("id"): cell.source for cell in released.cells}
        self.graded = {
            cell.metadata.nbgrader.grade_id: cell.source
            for cell in solved.cells
            if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
        }
        self.done: list[str] = []  # what the kernel knows, as definitions
        self.notes: list[str] = []
        self.restarts, self.until = 0, time.monotonic() + options.total

    def all(self) -> None:
        count = 0
        for cell in self.notebook.cells:
            if cell.cell_type != "code":
                continue
            count += 1
            cell.execution_count, cell.outputs = count, []
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            if self.kernel.process is None or time.monotonic() > self.until:
                cell.outputs = [_said("error", "NotRun", "there was no time left to run it")]
            elif name in self.graded:
                cell.source = self.graded[name]
                cell.outputs = self.grade(cell.source, name, cell.metadata.nbgrader.points)
            else:
                cell.outputs = self.execute(cell)
                self.done.append(cell.source)

    # -------------------------------------------------------------- the cells that are not graded

    def execute(self, cell) -> list:
        source, unchanged = cell.source, self.handed_out.get(cell.get("id")) == cell.source
        flags = cell.metadata.get("nbgrader", {})
        needed = self.options.whole or flags.get("solution") or flags.get("locked")
        if unchanged and not needed:
            source = definitions(source)  # the chapter's own: nothing that depends on the answers
        if not source.strip():
            return []
        ran = self.kernel.execute(source, min(self.options.seconds, self.left()))
        if ran.how == "dead":
            self.done.append(cell.source)
            self.restart(ran, f"the cell that begins `{_first(cell.source)}`")
            self.done.pop()
        elif ran.how != "ok":
            if ran.how == "stopped":
                self.notes.append(f"The cell that begins `{_first(source)}` was {ran.why}.")
            # What stands below the line that failed may be an answer.
            if (rest := definitions(source)).strip():
                self.kernel.execute(rest, min(self.options.seconds, self.left()))
        return ran.outputs

    def left(self) -> float:
        return max(self.until - time.monotonic(), 1.0)

    def restart(self, ran: Ran, where: str) -> None:
        """A new kernel, with the definitions of all cells so far, so that later ones count."""
        self.notes.append(f"At {where}, {ran.why}. Python was started again there.")
        skip: set[int] = set()
        while True:
            self.restarts += 1
            if self.restarts > RESTARTS:
                self.kernel.close()
                self.notes.append(f"After {RESTARTS} new starts the rest was not run.")
                return
            self.kernel.start()
            for k, source in enumerate(self.done):
                if k in skip or not (known := definitions(source)).strip():
                    continue
                if self.kernel.execute(known, min(20.0, self.left())).how == "dead":
                    skip.add(k)
                    break
            else:
                return

    # -------------------------------------------------------------- the graded ones

    def grade(self, source: str, name: str, points: float) -> list:
        """The outputs of a graded cell. An error among them costs its points, nothing else does."""
        checked, rest = _calls(source)
        outputs, failed = [], False
        for answer in checked:
            if answer in EXERCISES and answer not in name and f"check-{answer}" in self.graded:
                continue  # it has a cell of its own
            card = self.judge(answer)
            optional = not points and find(_plain(answer)).optional and card.kind == "unwritten"
            if optional:
                card.sentences.append("It is optional, and worth no points.")
            outputs += _shown(card, failed=not card.passed and not optional)
            failed = failed or not (card.passed or optional)
        if rest:
            ran = self.kernel.execute(rest, min(self.options.seconds, self.left()))
            counts = not checked or _asserts(rest)
            for one in ran.outputs:
                if one.output_type == "stream":
                    one.name = "stdout"  # a warning is no mistake
                if one.output_type == "error" and not counts:
                    one = _said("stream", "stdout", f"{one.ename}: {one.evalue}\n")
                outputs.append(one)
            if ran.how == "dead":
                self.restart(ran, f"the checks in `{name}`")
        return outputs

    def judge(self, name: str) -> Card:
        """What `check` would say of the answer of that name in the kernel."""
        exercise, ended = find(_plain(name)), []

        def ask(request: str, exercise: Exercise) -> str:
            if ended:  # it is no use to try simpler cases
                raise ended[0]
            limit = min(3 * exercise.time_limit + 20, self.left())
            ran, text = self.kernel.answer(request, "answer.json", limit)
            if ran.how == "dead":
                self.restart(ran, f"the check of `{name}`")
                ended.append(
                    OutOfTime()
                    if "did not stop" in ran.why
                    else Refused("it ends Python", f"While it was checked, {ran.why}.")
                )
                raise ended[0]
            if ran.how == "stopped":
                raise OutOfTime
            if not text:
                said = [f"{o.ename}: {o.evalue}" for o in ran.outputs if o.output_type == "error"]
                reason = said[-1][:300] if said else "It wrote nothing."
                raise Refused("what it does could not be seen", reason)
            return text

        text = next((s for s in reversed(self.done) if name in _names(s)), "")
        try:
            return examine(exercise, Afar(name, ask, text))
        except Refused as refused:
            return Card(exercise.name, refused.title, [refused.sentence])
        except OutOfTime:
            return Card(exercise.name, "it does not come to an end", ["It was stopped."])


def _plain(name: str) -> str:
    return name.removeprefix("my_")


def _first(source: str) -> str:
    lines = [line for line in source.strip().splitlines() if line.strip()]
    return lines[0][:60] if lines else ""


def _said(kind: str, name: str, text: str):
    if kind == "stream":
        return new_output("stream", name=name, text=text)
    return new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


def _shown(card: Card, failed: bool) -> list:
    """As the notebook shows a card; its parts, for a table of the class, stand in the metadata."""
    data = {"text/html": card._repr_html_(), "text/plain": repr(card)}
    about = {"exercise": card.exercise, "title": card.title, "kind": card.kind}
    shown = new_output("display_data", data, metadata={"rlx": about})
    if not failed:
        return [shown]
    error = NotYet(card)
    lines = error._render_traceback_()
    return [shown, new_output("error", ename="NotYet", evalue=str(error), traceback=lines)]


# ------------------------------------------------------------------ reading code


def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _names(source: str) -> set[str]:
    tree = _tree(source)
    return {one.name for one in tree.body if isinstance(one, DEFINES)} if tree else set()


DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def definitions(source: str) -> str:
    """Its imports, functions, classes and constants: what can be run again without running it."""
    if (tree := _tree(source)) is None:
        return ""
    kept = [
        one
        for one in tree.body
        if isinstance(one, (*DEFINES, ast.Import, ast.ImportFrom))
        or (isinstance(one, ast.Assign) and _constant(one.value))
    ]
    return ast.unparse(ast.Module(kept, []))


def _constant(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _calls(source: str) -> tuple[list[str], str]:
    """Names of the answers that a graded cell checks, each once, and the rest of its code."""
    if (tree := _tree(source)) is None:
        return [], source
    checked, rest = [], []
    for one in tree.body:
        if isinstance(one, ast.ImportFrom) and one.module == "rlx.course":
            continue
        names = _checked(one)
        if not all(_plain(name) in EXERCISES for name in names):
            rest += [*ast.parse("from rlx.course import check").body, one]
            continue
        checked += [name for name in names if name not in checked]
        if not names:
            rest.append(one)
    return checked, ast.unparse(ast.Module(rest, []))


def _checked(statement: ast.stmt) -> list[str]:
    """`check(answer)`, or a loop of it over several answers."""
    if isinstance(statement, ast.For) and isinstance(statement.iter, (ast.Tuple, ast.List)):
        inner = [name for one in statement.body for name in _checked(one)]
        items = [one.id for one in statement.iter.elts if isinstance(one, ast.Name)]
        return items if inner == [getattr(statement.target, "id", "")] else []
    call = getattr(statement, "value", None)
    named = isinstance(call, ast.Call) and getattr(call.func, "id", "") in CHECKS
    if isinstance(statement, ast.Expr) and named and len(call.args) == 1:
        argument = call.args[0]
        return [argument.id] if isinstance(argument, ast.Name) else []
    return []


def _asserts(source: str) -> bool:
    return any(isinstance(one, (ast.Assert, ast.Raise)) for one in ast.walk(ast.parse(source)))
