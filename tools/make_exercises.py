"""Write the students' notebooks: solutions/ without the solutions, the hidden tests, the outputs.

    python tools/make_exercises.py [--check] [SOURCE TARGET]

The steps and the bytes are those of `nbgrader generate_assignment`, without its database.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbgrader import preprocessors as steps
from traitlets.config import PyFileConfigLoader

ROOT = Path(__file__).parents[1]
STEPS = [
    steps.LockCells,
    steps.ClearSolutions,
    steps.ClearOutput,
    steps.CheckCellMetadata,
    steps.ClearHiddenTests,
    steps.ClearMarkScheme,
    steps.ComputeChecksums,  # last: of the cells as the student gets them
]


def notebooks(folder):
    """The chapters in a folder, by chapter/chapter.ipynb."""
    paths = sorted(folder.glob("*/*.ipynb"))
    return {path.relative_to(folder).as_posix(): path for path in paths}


def beside(folder):
    """The other files of the chapters, an exercise of one's own or data: handed out as they are."""
    paths = (path for path in folder.glob("*/**/*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(paths)
        if path.suffix not in (".ipynb", ".pyc") and ".ipynb_checkpoints" not in path.parts
    }


def released(notebook):
    """The text of the student's notebook. Changes the notebook in place."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    for step in STEPS:
        notebook, _ = step(config=config).preprocess(notebook, {})
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def stale(source, target):
    """The text that each notebook of the target should have, where it has another; None for one
    that should not be there. And the bytes of what lies beside the notebooks; a file more in the
    target is the learner's own, and stays."""
    there = notebooks(target)
    wanted = {
        name: released(nbformat.read(path, as_version=4))
        for name, path in notebooks(source).items()
    }
    wanted |= {name: path.read_bytes() for name, path in beside(source).items()}
    there |= beside(target)
    gone = {name for name in there.keys() - wanted.keys() if name.endswith(".ipynb")}
    return dict.fromkeys(gone) | {
        name: content
        for name, content in wanted.items()
        if name not in there or there[name].read_bytes() != as_bytes(content)
    }


def as_bytes(content):
    return content.encode() if isinstance(content, str) else content


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", type=Path, default=ROOT / "solutions")
    parser.add_argument("target", nargs="?", type=Path, default=ROOT / "exercises")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if any is stale")
    arguments = parser.parse_args()
    found = stale(arguments.source, arguments.target)
    for name, content in sorted(found.items()):
        path = arguments.target / name
        if content is None:
            print(f"{path}: has no solution any more", file=sys.stderr)
        elif arguments.check:
            print(f"{path}: not what solutions/ gives; run `make exercises`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_bytes(content))
            print(f"{path}: written")
    return bool(found) if arguments.check else None in found.values()


if __name__ == "__main__":
    sys.exit(main())
