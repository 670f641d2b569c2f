"""Write the students' notebooks: solutions/ without the solutions, the hidden tests, the outputs.

    python tools/make_exercises.py [--check] [--seed N] [--solved FOLDER] [SOURCE TARGET]

The steps and the bytes are those of `nbgrader generate_assignment`, without its database. A seed
stays in TARGET/SEED until another one is named; 0 takes it away (rlx/course/seeds.py). --solved
writes the answers to its questions, too: for the teacher, who hands out neither of them.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbgrader import preprocessors as steps
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets.config import PyFileConfigLoader

ROOT = Path(__file__).parents[1]


class Numbers(NbGraderPreprocessor):
    """Writes the numbers of the seed into a notebook, and the seed. The first of the steps."""

    def preprocess(self, notebook, resources):
        folder = Path(self.config.CourseDirectory.release_directory)  # nbgrader runs in the course
        return numbered(notebook, seed_in(folder)), resources


def seed_in(folder):
    path = folder / "SEED"
    return int(path.read_text(encoding="utf-8")) if path.is_file() else 0


def numbered(notebook, seed):
    """The notebook with the numbers of that seed. It is changed in place."""
    for cell in notebook.cells:
        for name in cell.metadata.pop("rlx", {}).get("numbers", ()):
            from rlx.course.exercise import load
            from rlx.course.seeds import NUMBERS

            load()
            cell.source = NUMBERS[name].written(cell.source, seed)
    if seed:
        notebook.metadata["rlx"] = {"seed": seed}
        flags = {"solution": False, "grade": False, "locked": True, "task": False}
        cell = nbformat.v4.new_code_cell(
            "from rlx.course.seeds import use_seed\n\n"
            f"use_seed({seed})  # the numbers of this notebook",
            id="seed",
            metadata={"nbgrader": {"schema_version": 3, "grade_id": "seed", **flags}},
        )
        first = next(k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code")
        notebook.cells.insert(first + 1, cell)
    return notebook


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


def released(notebook, seed=0):
    """The text of the student's notebook. Changes the notebook in place."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    notebook = numbered(notebook, seed)
    for step in STEPS:
        notebook, _ = step(config=config).preprocess(notebook, {})
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def answered(notebook, seed):
    """The text of the teacher's notebook with the numbers of that seed, without outputs."""
    notebook = numbered(notebook, seed)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


def stale(source, target, seed=None):
    """The text that each notebook of the target should have, where it has another; None for one
    that should not be there. And the bytes of what lies beside the notebooks; a file more in the
    target is the learner's own, and stays."""
    there = notebooks(target)
    seed = seed_in(target) if seed is None else seed
    wanted = {
        name: released(nbformat.read(path, as_version=4), seed)
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
    parser.add_argument("--seed", type=int, help="the numbers of this seed, from now on")
    parser.add_argument("--solved", type=Path, help="where the answers are written")
    arguments = parser.parse_args()
    if arguments.seed is not None and not arguments.check:
        kept = arguments.target / "SEED"
        kept.unlink(missing_ok=True)
        if arguments.seed:
            arguments.target.mkdir(parents=True, exist_ok=True)
            kept.write_text(f"{arguments.seed}\n", encoding="utf-8")
    found = stale(arguments.source, arguments.target, arguments.seed)
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
    if arguments.solved and not arguments.check:
        seed = seed_in(arguments.target)
        for name, path in notebooks(arguments.source).items():
            written = arguments.solved / name
            written.parent.mkdir(parents=True, exist_ok=True)
            notebook = nbformat.read(path, as_version=4)
            written.write_text(answered(notebook, seed), encoding="utf-8")
        print(f"{arguments.solved}: the answers with the numbers of seed {seed}")
    return bool(found) if arguments.check else None in found.values()


if __name__ == "__main__":
    sys.exit(main())
