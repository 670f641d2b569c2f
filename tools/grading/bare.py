"""A copy of the package without the course's own answers: what a submission runs with.

The library is all there. In `rlx/course/exercises` the references raise, and the mistakes are gone:
a submission that hands one of them in, or reads it from the disk, finds nothing.
"""

import ast
import compileall
import py_compile
import shutil
from pathlib import Path

YEARS = "rlx/course/years.py"
REFUSAL = "raise NotImplementedError('the course has no answer of its own here')"


def write(package: Path, target: Path) -> Path:
    """Copy the package folder `rlx` to `target/rlx`, and take its answers out. Returns `target`."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    shutil.copytree(package, target / "rlx", ignore=ignore)
    for path in sorted((target / "rlx/course/exercises").glob("*.py")):
        path.write_text(bare(path.read_text(encoding="utf-8")), encoding="utf-8")
    (target / YEARS).write_text(without_years(target / YEARS), encoding="utf-8")
    # Nobody can write it there later, and every kernel would compile it anew.
    never = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(target, quiet=2, invalidation_mode=never)
    return target


def without_years(path: Path) -> str:
    """Nothing but the docstring: how a question changes quotes its answer."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return f'"""{text}"""\n'


def bare(source: str) -> str:
    """A module of exercises without the bodies of its references, and without its mistakes."""
    tree = ast.parse(source)
    references = set(filter(None, map(_reference, ast.walk(tree))))
    tree.body = [one for one in tree.body if not _is_mistake(one)]
    for one in ast.walk(tree):
        if isinstance(one, (ast.FunctionDef, ast.ClassDef)) and one.name in references:
            _empty(one)
        if isinstance(one, ast.Call) and _method(one) == "harder":
            _without_patches(one)
    return ast.unparse(tree) + "\n"


def _method(call: ast.AST) -> str:
    function = getattr(call, "func", None)
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _reference(call: ast.AST) -> str | None:
    """The name of the reference that this call declares."""
    if not isinstance(call, ast.Call) or _method(call) not in ("Exercise", "harder"):
        return None
    named = [one.value for one in call.keywords if one.arg == "reference"]
    if not named and _method(call) == "harder":
        named = call.args[1:2]
    return named[0].id if named and isinstance(named[0], ast.Name) else None


def _is_mistake(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        call = statement.value
        while isinstance(call, ast.Call) and isinstance(call.func, ast.Call):
            call = call.func  # exercise.mistake("…", "…")(function)
        return _method(call) in ("patches", "mistake")
    decorators = getattr(statement, "decorator_list", [])
    return any(_method(one) == "mistake" for one in decorators)


def _without_patches(call: ast.Call) -> None:
    nothing = ast.Constant("")
    for one in call.keywords:
        if one.arg == "patches":
            one.value = nothing
    if len(call.args) > 3:
        call.args[3] = nothing


def _empty(definition: ast.FunctionDef | ast.ClassDef) -> None:
    if isinstance(definition, ast.ClassDef):
        for one in definition.body:
            if isinstance(one, ast.FunctionDef):
                _empty(one)
        return
    text = [one for one in definition.body[:1] if ast.get_docstring(definition)]
    definition.body = text + ast.parse(REFUSAL).body
