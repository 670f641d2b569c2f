"""Write what students get: rlx, and the notebooks and exercises of the chapters released so far.

    python tools/handout.py [--chapters "00 01 02"] [--exam] [--github] [--target …]

A folder, and a zip of it. Without solutions/, tests, and history; without the exercises of later
chapters. With --exam, without hints, mistakes, references and the chapters' own notebooks:
docs/teaching.md says what is left to look up.
"""

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from grading.bare import REFUSAL, YEARS, bare, without_years

from rlx.course.chapters import CHAPTERS

ROOT = Path(__file__).parents[1]
ALWAYS = (
    ".gitignore",
    "LICENSE",
    "constraints.txt",
    "docs/cheatsheet.md",
    "docs/glossary.md",
    "environment.yml",
    "main.py",
    "pyproject.toml",
    "tools/cards.py",
    "tools/jupyter/",
    "tools/stage",
    "tools/venv",
)
YEAR = 1980  # the first that a zip can hold: the same files give the same bytes


def tracked(root):
    """The files of the course, as git knows them: not what lies about."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True)
    return sorted(name for name in done.stdout.split("\0") if name and (root / name).is_file())


def chosen(name, chapters, exam):
    """Does a file belong into the handout of these chapters?"""
    top, _, rest = name.partition("/")
    if top in ("notebooks", "exercises"):
        return rest[:2] in chapters and not (exam and top == "notebooks")
    if declares := re.fullmatch(r"rlx/course/exercises/ch(\d\d)\w*\.py", name):
        return declares[1] in chapters
    if exam and name == "rlx/course/checking.py":
        return False
    return top == "rlx" or name.startswith(ALWAYS)


LINK = r"\]\(([^)#\s:]+)[)#]"  # to a file, not to an address
KEPT = ("solutions/", "tests/", "notebooks/", "exercises/", "docs/teaching.md", "CONTRIBUTING.md")


def linked(root, names):
    """What the notebooks and pages point to, a table of results, say; not what is kept back."""
    found = set()
    for name in names:
        if not name.endswith((".ipynb", ".md")):
            continue
        text = (root / name).read_text(encoding="utf-8")
        for target in re.findall(LINK, text):
            path = (root / name).parent.joinpath(target).resolve()
            if path.is_relative_to(root):
                found.add(path.relative_to(root).as_posix())
    return {name for name in found if not name.startswith(KEPT) and name != "README.md"}


def makefile(text, first):
    """Of the Makefile, what makes the environment and opens the course, at its first notebook."""
    kept = ("PYTHON ?=", "ifeq ($(TORCH),cpu)", ".DEFAULT_GOAL", "$(VENV)/.course:", "\nlab:")
    help_ = "help:\n\t@echo 'make lab    open the course in JupyterLab'"
    parts = [part for part in text.split("\n\n") if any(one in part for one in kept)]
    parts = [re.sub(r"\.PHONY:(.*\\\n)*.*", ".PHONY: help lab", part) for part in parts]
    made = "\n\n".join([*parts, help_]) + "\n"
    return re.sub(r"(?<=default_url=/lab)\S+", f"/tree/{first}" if first else "", made)


def readme(chapters, exam, there):
    rows = []
    for number, title, _ in CHAPTERS:
        if number not in chapters:
            continue
        links = [
            f"[{folder[:-1]}]({name})"
            for folder in ("notebooks/", "exercises/")
            for name in there
            if name.startswith(folder + number) and name.endswith(".ipynb")
        ]
        rows.append(f"| {number} | {title} | {', '.join(links)} |")
    checked = (
        "This is an exam: `check` runs your function and shows what it returns. It does not judge "
        "it, and `hint` has none."
        if exam
        else "`check` says what is wrong with an answer, and `hint` helps, as often as you like."
    )
    return "\n".join(
        [
            "# rlx",
            "",
            "With Python 3.11 or newer and make: `make lab` installs what is needed, once, and "
            "opens the course. On Linux without a GPU, `make lab TORCH=cpu` downloads ten times "
            "less. Without make:",
            "",
            "```",
            "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[course]'",
            ".venv/bin/jupyter lab",
            "```",
            "",
            f"{checked} Hand in the notebook under `exercises/`, with its name as it is.",
            "",
            "| | chapter | |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def order(name):
    """Chapters before their exercises."""
    return not name.startswith("notebooks/"), name


# ---------------------------------------------------------------------- without the answers


def without_answers(source):
    """The source of a module of exercises, without references, mistakes and hints.

    What is left says what an answer is called with, and on which inputs it is tried."""
    tree = ast.parse(bare(source))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef) and ast.unparse(body[-1]) == REFUSAL:
            del body[:-1]  # a docstring of the reference, which may say how
    for call in calls(tree):
        told(call)
    while (left := used(tree)) != tree.body:  # helpers of what is gone, and their helpers
        tree.body = left
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def calls(tree):
    """Where exercises are declared: Exercise(…) and exercise.harder(name, reference, hints, …)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if getattr(node.func, "id", "") == "Exercise" or harder(node):
                yield node


def harder(call):
    return getattr(call.func, "attr", "") == "harder"


def told(call):
    """Take out the hints, and what is said after a right answer."""
    hints = ast.Tuple([ast.Constant("")] * 3, ast.Load())
    for one in call.keywords:
        if one.arg in ("hints", "also"):
            one.value = hints if one.arg == "hints" else ast.Constant("")
    if harder(call) and len(call.args) > 2:
        call.args[2] = hints


def used(tree):
    """The statements without private names that nothing mentions."""
    read = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }

    def needed(node):
        names = []
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.decorator_list:
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [one.id for one in node.targets if isinstance(one, ast.Name)]
            if any(True for _ in calls(node)):
                return True
        return not names or any(name in read for name in names)

    return [node for node in tree.body if needed(node)]


# ---------------------------------------------------------------------- writing


def write(root, target, chapters, exam=False, github=False):
    """The names of the files that were written under `target`, which is made anew."""
    if target.exists():
        if not (target / "README.md").is_file() or (target / ".git").exists():
            raise FileExistsError(f"{target} is there, and no handout: remove it, or name another")
        shutil.rmtree(target)
    known = tracked(root)
    names = [name for name in known if chosen(name, chapters, exam)]
    while more := sorted(linked(root, names) & set(known) - set(names)):
        names += more  # and what these link to
    for name in names:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, path)
        text = None
        if exam and re.match(r"(rlx/course/)?exercises/.*\.py", name):  # also beside a notebook
            text = without_answers(path.read_text(encoding="utf-8"))
        elif exam and name == YEARS:
            text = without_years(path)
        elif exam and name == "rlx/course/__init__.py":
            text = path.read_text(encoding="utf-8").replace(
                "from rlx.course.checking import", "from rlx.course.exam import"
            )
        elif name.endswith(".ipynb"):
            json.loads(path.read_text(encoding="utf-8"))  # never hand out what cannot be opened
        if text is not None:
            path.write_text(text, encoding="utf-8")
    first = next((name for name in sorted(names, key=order) if name.endswith(".ipynb")), "")
    if github:
        workflow = ".github/workflows/check.yml"
        (target / workflow).parent.mkdir(parents=True)
        shutil.copy(root / "docs/classroom/check.yml", target / workflow)
        names.append(workflow)
    made = {
        "Makefile": makefile((root / "Makefile").read_text(encoding="utf-8"), first),
        "README.md": readme(chapters, exam, names),
    }
    for name, text in made.items():
        (target / name).write_text(text, encoding="utf-8")
    return sorted([*names, *made])


def zipped(target, names):
    """One archive with everything in a folder of its own; the same files give the same bytes."""
    path = target.with_name(f"{target.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(f"rlx-course/{name}", (YEAR, 1, 1, 0, 0, 0))
            mode = 0o755 if (target / name).stat().st_mode & 0o100 else 0o644
            entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, (target / name).read_bytes())
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapters", default="", help='their numbers, "00 01 02"; default: all')
    parser.add_argument("--exam", action="store_true", help="without hints and references")
    parser.add_argument("--github", action="store_true", help="with a workflow that checks pushes")
    parser.add_argument("--target", type=Path, default=ROOT / "build" / "handout")
    arguments = parser.parse_args()
    known = [number for number, *_ in CHAPTERS]
    chapters = arguments.chapters.split() or known
    if unknown := sorted(set(chapters) - set(known)):
        print(f"no chapter {' '.join(unknown)}; there are {' '.join(known)}", file=sys.stderr)
        return 1
    names = write(ROOT, arguments.target, chapters, arguments.exam, arguments.github)
    path = zipped(arguments.target, names)
    size = path.stat().st_size / 1e6
    print(f"{path}: {len(names)} files, {size:.1f} MB, chapters {' '.join(chapters)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
