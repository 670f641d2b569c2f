"""Run exercise notebooks, and write what their checks say, in Markdown.

    python tools/cards.py NOTEBOOK…

Every cell is run, also after a check that fails. A notebook in which nothing was written yet is
left out. It needs nothing but the course: students, and a workflow on GitHub, have it as well.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

STUB = 'raise NotImplementedError("your turn")'
SECONDS = 120  # for a cell; then it is interrupted
MOST = 60_000  # characters: a comment on GitHub holds 65,536


def nbgrader(cell, key):
    return cell.metadata.get("nbgrader", {}).get(key)


def begun(notebook):
    return any(nbgrader(c, "solution") and STUB not in c.source for c in notebook.cells)


def run(notebook, folder):
    with tempfile.TemporaryDirectory(prefix="rlx-cards-") as home:  # nothing counts as done by it
        NotebookClient(
            notebook,
            timeout=SECONDS,
            interrupt_on_timeout=True,
            allow_errors=True,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        ).execute(env={**os.environ, "RLX_HOME": home})


def said(cell):
    """The cards of a check as text, or its error; and whether it failed."""
    cards, error = [], None
    for output in cell.outputs:
        text = output.get("data", {}).get("text/plain", "")
        if output.output_type == "error":
            error = f"{output.ename}: {output.evalue}".splitlines()[0]
        elif re.match(r"\S \w+: ", text):
            cards.append(text)
    if error and not cards:
        cards.append(f"✗ {error}")
    return list(dict.fromkeys(cards)), error is not None  # a hidden test may say it once more


def fenced(text):
    """A block of text that no Markdown in it can end."""
    fence = "`" * (2 + max((len(run) for run in re.findall("`+", text)), default=1))
    return f"{fence:`<3}\n{text}\n{fence:`<3}"


def written(name, notebook):
    """A notebook that was run, as Markdown."""
    blocks, points, most = [], 0, 0
    for cell in notebook.cells:
        if not nbgrader(cell, "grade"):
            continue
        cards, failed = said(cell)
        most += nbgrader(cell, "points")
        points += 0 if failed else nbgrader(cell, "points")
        blocks += [fenced(card) for card in cards]
    head = f"## {name}: {points:g} of {most:g} points"
    return "\n\n".join([head, *blocks])


def main():
    if not sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 1
    parts = []
    for path in map(Path, sys.argv[1:]):
        try:
            notebook = nbformat.read(path, as_version=4)
            if begun(notebook):
                run(notebook, path.parent)
                parts.append(written(path.stem, notebook))
        except Exception as error:  # the kernel died, or it is no notebook: the others are run
            reason = str(error).strip().splitlines() or [""]
            parts.append(f"## {path.stem}\n\n{fenced(f'{type(error).__name__}: {reason[0]}')}")
    print("\n\n".join(parts or ["No exercise has been begun."])[:MOST])
    return 0


if __name__ == "__main__":
    sys.exit(main())
