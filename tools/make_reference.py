"""Write docs/glossary.md and docs/cheatsheet.md: the terms and the equations of the chapters.

    python tools/make_reference.py [--check]

A term is what a chapter's last part, "Before you go", explains so: **Term**: what it is. An
equation is what has a number.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
# What stands beside an equation: chapter, number, and the name that the chapter gives it. Equations
# that are steps of an argument have none.
CODE = {
    "01": {1: "run_episode", 2: "discounted_return", 3: "HideObservation"},
    "02": {2: "discounted_returns", 3: "drop_last"},
    "03": {2: "log_prob", 3: "entropy"},
    "04": {1: "Remember", 2: "forget", 3: "unroll"},
    "05": {3: "policy_gradient_loss", 4: "normalize"},
    "06": {2: "optimal_baseline", 3: "baselined_loss", 4: "value_loss", 5: "explained_variance"},
    "07": {1: "td_errors", 2: "n_step_return", 3: "gae"},
    "08": {1: "surrogate", 2: "ppo_clip_loss"},
    "09": {1: "importance_weights", 2: "weighted_loss", 3: "vtrace"},
    "10": {1: "double_q_value", 2: "two_states"},
    "11": {2: "smoothed", 3: "squashed_log_prob", 4: "soft_value", 5: "temperature_loss"},
    "12": {1: "diagnose", 2: "iqm", 3: "difference_interval", 4: "wilson"},
    "13": {1: "amdahl", 2: "average_gradients", 3: "staleness"},
    "14": {1: "elo_update", 2: "both_sides", 3: "pool_weights"},
}


def cells(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def title(path: Path) -> str:
    return cells(path)[0].source.splitlines()[0].removeprefix("# ")


def last(path: Path) -> str:
    """The last part of a chapter."""
    (cell,) = (cell for cell in cells(path) if "## Before you go\n" in cell.source)
    return cell.source.partition("## Before you go\n")[2]


def terms(path: Path) -> dict[str, str]:
    """Term → what it means: "**Term**: what it is." in the last part of a chapter."""
    text = " ".join(last(path).replace("\n\n", " ¶ ").split())
    return {
        term: meaning.strip()
        for term, meaning in re.findall(r"\*\*([^*]+)\*\*[^*:¶]{0,9}: (.*?)(?= \*\*| ¶|$)", text)
    }


def equations(path: Path) -> dict[int, str]:
    """The numbered equations of a chapter."""
    text = "\n".join(cell.source for cell in cells(path) if cell.cell_type == "markdown")
    found = {}
    for equation in re.findall(r"\$\$(.*?)\$\$", text, re.DOTALL):
        if number := re.search(r"\\tag\{(\d+)\}", equation):
            found[int(number[1])] = equation.strip()
    return found


def definition(path: Path, name: str) -> str:
    """The function or class of that name, as the chapter defines it, without its docstring."""
    for cell in cells(path):
        if cell.cell_type != "code" or not re.search(rf"^(def|class) {name}\b", cell.source, re.M):
            continue
        for node in ast.parse(cell.source).body:
            if getattr(node, "name", None) == name:
                lines = cell.source.splitlines()[node.lineno - 1 : node.end_lineno]
                if ast.get_docstring(node):
                    doc = node.body[0]
                    del lines[doc.lineno - node.lineno : doc.end_lineno - node.lineno + 1]
                return "\n".join(lines)
    raise SystemExit(f"{path.name} defines no {name}: correct CODE in tools/make_reference.py")


def link(path: Path) -> str:
    return f"[{path.stem[:2]}](../notebooks/{path.name})"


def glossary() -> str:
    found = [(term, meaning, path) for path in CHAPTERS for term, meaning in terms(path).items()]
    lines = [
        "# Glossary",
        "",
        "The words of the course, each with the chapter that explains it.",
        "",
    ]
    lines += ["| | | chapter |", "|---|---|---|"]
    for term, meaning, path in sorted(found, key=lambda entry: entry[0].lower()):
        meaning = meaning[0].upper() + meaning[1:].replace("|", r"\|")
        lines.append(f"| **{term}** | {meaning} | {link(path)} |")
    return "\n".join(lines) + "\n"


def cheatsheet() -> str:
    lines = ["# Cheat sheet", "", "The equations of the course, and what they are in code.", ""]
    for path in CHAPTERS:
        code = CODE.get(path.stem[:2], {})
        found = equations(path)
        if found:
            lines += [f"## [{title(path)}](../notebooks/{path.name})", ""]
        for number, equation in found.items():
            lines += ["$$", equation, "$$", ""]
            if number in code:
                lines += ["```python", definition(path, code[number]), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--check", action="store_true", help="write nothing, fail if one is stale")
    stale = []
    pages = {"glossary.md": glossary(), "cheatsheet.md": cheatsheet()}
    check = command.parse_args().check
    for name, text in pages.items():
        file = ROOT / "docs" / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                file.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"stale: {', '.join(stale)}; python tools/make_reference.py")


if __name__ == "__main__":
    main()
