"""What the project says of its dependencies agrees with itself, and the wheel is complete."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rattler import MatchSpec

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# nbgrader stands in two extras: for teachers, and for the tests
DEPENDENCIES = sorted({*PROJECT["dependencies"], *itertools.chain(*EXTRAS.values())})
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
CONDA = [spec for spec in ENVIRONMENT if isinstance(spec, str)]
(PIP,) = [spec["pip"] for spec in ENVIRONMENT if isinstance(spec, dict)]


def pins():
    """The version of every package in constraints.txt."""
    lines = [line.partition("#")[0].strip() for line in open(ROOT / "constraints.txt")]
    requirements = [Requirement(line) for line in lines if line]
    versions = {}
    for requirement in requirements:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{requirement} is not a pin"
        versions[canonicalize_name(requirement.name)] = specifier.version
    assert len(versions) == len(requirements), "a package is pinned twice"
    return versions


@pytest.mark.parametrize("text", DEPENDENCIES)
def test_every_dependency_is_pinned_inside_its_range(text):
    requirement = Requirement(text)
    version = pins().get(canonicalize_name(requirement.name))
    assert version is not None, f"{requirement.name} is not in constraints.txt"
    assert version in requirement.specifier


def test_conda_specs_are_understood_by_conda():
    names = [MatchSpec(spec).name.normalized for spec in CONDA]
    # numpy and the rest come through pip, which conda wants to see named
    assert names == ["python", "pip"]


def test_conda_python_is_one_that_the_library_supports():
    (version,) = re.findall(r"^python=([\d.]+)$", CONDA[0])
    assert version in SpecifierSet(PROJECT["requires-python"])


def test_conda_installs_the_pinned_versions_of_extras_that_exist():
    constraints, editable = PIP  # whatever stands here must agree with the other two files
    assert constraints == "-c constraints.txt"
    (extras,) = re.findall(r"^-e \.\[([\w,]+)\]$", editable)
    assert set(extras.split(",")) <= EXTRAS.keys()
    assert "course" in extras.split(",")


def imported(file):
    """The top-level names of the packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("part", ["library", "course", "cluster"])
def test_what_is_imported_is_declared(part):
    names = {
        canonicalize_name(Requirement(text).name)
        for text in PROJECT["dependencies"] + EXTRAS.get(part, [])
    } | {"rlx"}
    folders = {name: ROOT / "rlx" / name for name in ("course", "cluster")}
    files = [
        file
        for file in (ROOT / "rlx").rglob("*.py")
        if [name for name, folder in folders.items() if file.is_relative_to(folder)]
        == [part] * (part in folders)
    ]
    found = {name for file in files for name in imported(file)} - sys.stdlib_module_names
    assert {canonicalize_name({"PIL": "pillow"}.get(name, name)) for name in found} <= names


def packages():
    """Every package of the source tree, by its dotted name."""
    folders = sorted(file.parent for file in (ROOT / "rlx").rglob("__init__.py"))
    return [".".join(folder.relative_to(ROOT).parts) for folder in folders]


def run(*command, cwd):
    # conftest.py puts the sources on PYTHONPATH, where pip would take rlx for installed
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [*map(str, command)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_installed_wheel_contains_every_subpackage(tmp_path):
    assert {"rlx", "rlx.algos", "rlx.envs"} <= set(packages())

    # In a copy, because setuptools writes build/ and rlx.egg-info/ beside the sources.
    source = tmp_path / "source"
    shutil.copytree(ROOT / "rlx", source / "rlx", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ["pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source, cwd=tmp_path)
    (wheel,) = tmp_path.glob("rlx-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    files = (f for f in (ROOT / "rlx").rglob("*") if f.is_file() and f.suffix != ".pyc")
    assert {str(file.relative_to(ROOT)) for file in files} <= set(names)  # pages, scripts, types
    assert "rlx/py.typed" in names
    assert tops == {"rlx", f"rlx-{PROJECT['version']}.dist-info"}  # no tests, no notebooks

    # An empty environment; only after the install does a .pth file show it our dependencies.
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env/bin/python"
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    assert "CartPole" in run(python, "-m", "rlx", "--help", cwd=tmp_path)
    assert "CartPole" in run(tmp_path / "env/bin/rlx", "--help", cwd=tmp_path)

    imports = [f"import {name}; print({name}.__file__)" for name in packages()]
    files = run(python, "-c", "\n".join(imports), cwd=tmp_path).splitlines()
    assert len(files) == len(packages())
    assert all(Path(file).is_relative_to(site) for file in files), files
