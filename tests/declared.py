"""The exercises that the gate holds: those of the course, and those in files beside a notebook."""

import importlib.util
import sys
from pathlib import Path

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
