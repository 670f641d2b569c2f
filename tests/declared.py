"""The exercises that the gate holds: those of the course, and those in files beside a notebook."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

from rlx.course.exercise import EXERCISES, Exercise, load

SOLUTIONS = Path(__file__).parents[1] / "solutions"


def every() -> dict[str, Exercise]:
    """All of them by name. A file beside a notebook is imported as the notebook does it."""
    load()
    for path in sorted(SOLUTIONS.glob("*/*.py")):
        name = f"beside_{path.parent.name}_{path.stem}"  # two chapters may call theirs alike
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, path)
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    return EXERCISES


def statements(path: Path) -> Iterator[ast.stmt]:
    """Those of a notebook's code cells, but for cells that await."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and "await " not in cell.source:
            yield from ast.parse(cell.source).body
