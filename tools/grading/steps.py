"""The same for nbgrader's own command, and the button of its Formgrader: one student at a time."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import nbformat
from nbgrader.preprocessors import Execute, NbGraderPreprocessor

from grading import bare, repair, sandbox

PACKAGE = Path(__file__).resolve().parents[2] / "rlx"


def _notebook(folder: str, resources) -> nbformat.NotebookNode:
    about = resources["nbgrader"]
    path = Path(folder, about["assignment"], f"{about['notebook']}.ipynb")
    return nbformat.read(path, as_version=4)


class Repair(NbGraderPreprocessor):
    """Gives a submission back the cells that were handed out."""

    def preprocess(self, nb, resources):
        cells = [repair.cell(one) for one in nb.cells]
        return repair.repaired(cells, _notebook("exercises", resources), []), resources


class Run(Execute):
    """Runs a submission in the sandbox, and judges its graded cells outside."""

    def preprocess(self, nb, resources):
        from grading import run

        self.log.warning(sandbox.describe())
        released, solved = (_notebook(name, resources) for name in ("exercises", "solutions"))
        run.prepare(released)
        options = run.Options(seconds=self.timeout or 120)
        with tempfile.TemporaryDirectory(prefix="rlx-files-") as files:
            run.run(nb, released, solved, Path(_package().name), Path(files), options)
        return nb, resources


@functools.cache
def _package() -> tempfile.TemporaryDirectory:
    """For all submissions of this process."""
    folder = tempfile.TemporaryDirectory(prefix="rlx-bare-")
    bare.write(PACKAGE, Path(folder.name))
    return folder
