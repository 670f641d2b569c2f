"""A quiet environment for the tests, and what nbval needs to compare our notebooks."""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "tools"))

from compared import SANITIZED  # noqa: E402
from kernel_env import KERNEL_ENV  # noqa: E402

# Before anything imports torch, and inherited by the kernels and by other child processes.
os.environ.update(KERNEL_ENV)
os.environ["PYTHONPATH"] = os.pathsep.join(  # this tree, whichever one is installed
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)
# Neither the user's start-up files nor their history (removed when pytest ends).
_profile = tempfile.TemporaryDirectory(prefix="rlx-ipython-")
os.environ["IPYTHONDIR"] = _profile.name
# Nor their progress: a notebook that checks its exercises would note them as done.
_home = tempfile.TemporaryDirectory(prefix="rlx-home-")
os.environ["RLX_HOME"] = _home.name


def pytest_collection_modifyitems(items):
    """An exercise's tests one after the other: what its mistakes do is computed once, by the worker
    that runs them."""
    of_exercises = [k for k, item in enumerate(items) if item.path.name == "test_exercises.py"]
    exercises = {}  # in the order of their first tests

    def place(item):
        exercise = getattr(item, "callspec", None) and item.callspec.params.get("exercise")
        return exercises.setdefault(exercise, len(exercises))

    for k, item in zip(of_exercises, sorted((items[k] for k in of_exercises), key=place)):
        items[k] = item


def pytest_configure(config):
    nbval_timeout = getattr(config.option, "nbval_cell_timeout", None)
    if nbval_timeout is None:
        return  # nbval is not installed
    if nbval_timeout == 2000:  # its default, half an hour for each cell
        config.option.nbval_cell_timeout = 120
    from nbval import kernel, plugin

    def execute_cell_input(self, source, allow_stdin=None):
        # nbval passes store_history=False, and then IPython shows a value despite a trailing
        # semicolon (https://github.com/computationalmodelling/nbval/issues/194).
        return self.kc.execute(source, allow_stdin=allow_stdin, stop_on_error=False)

    original = plugin.IPyNbFile.__init__

    def __init__(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.skip_compare += ("stderr",)  # progress bars, and warnings of other people's code
        self.sanitize_patterns.update(SANITIZED)

    kernel.RunningKernel.execute_cell_input = execute_cell_input
    plugin.IPyNbFile.__init__ = __init__
