"""The course without an installation: what Codespaces, Binder and Colab are told to do, as far as
it can be tried without them."""

import json
import os
import re
import subprocess
from pathlib import Path

import nbformat
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def test_the_container_is_made_by_a_target_of_make():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    command = container["postCreateCommand"].split()
    env = {**os.environ, **container["containerEnv"]}
    plan = subprocess.run(
        [*command, "--dry-run", "--always-make"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert plan.returncode == 0, plan.stderr
    assert "-e '.[course,tensorboard]'" in plan.stdout
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert command[1].startswith(interpreter.partition("/")[0])


def test_binder_installs_the_course_with_the_small_torch():
    binder = ROOT / "binder"
    lines = [line for line in (binder / "requirements.txt").read_text().splitlines() if line]
    index, constraints, project = (line.split(maxsplit=1)[1] for line in lines if line[0] == "-")
    makefile = (ROOT / "Makefile").read_text()
    assert index in makefile
    assert (binder / constraints).samefile(ROOT / "constraints.txt")  # from the file's folder
    assert Requirement(f"rlx{project.removeprefix('.')}").extras == {"course"}  # from the root
    assert (binder / "runtime.txt").read_text().strip() == "python-3.11"


def test_binder_starts_jupyterlab_with_our_defaults():
    said = subprocess.run(
        [ROOT / "binder/start", "sh", "-c", "echo $JUPYTER_CONFIG_PATH"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    folder = said.stdout.partition(":")[0]
    assert (Path(folder) / "labconfig/default_setting_overrides.json").exists()


def test_the_cell_for_colab_does_nothing_elsewhere(capsys):
    notebook = nbformat.read(ROOT / "notebooks/00_start_here.ipynb", as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert 'if "google.colab" in sys.modules' in first.source
    # What follows the condition are commands of IPython: in Python's eyes, nothing.
    exec(re.sub(r"^ +[!%].*$", "    raise AssertionError", first.source, flags=re.M), {})
    assert capsys.readouterr().out == ""
