"""Run notebooks from top to bottom and save them so that a second run changes little.

    python tools/run_notebooks.py [--no-run] NOTEBOOK...

What is saved: cell ids that stay, counts 1, 2, 3…, tags. What is not: widget state, timings,
colours, addresses. A chapter, a notebook of notebooks/, keeps no outputs: its reader predicts
before a cell shows. They go into a copy of the same name in rendered/.
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from kernel_env import KERNEL_ENV
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS, RENDERED = ROOT / "notebooks", ROOT / "rendered"
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
CELL_METADATA = {"tags", "nbgrader", "editable", "deletable", "jupyter", "slideshow", "rlx"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"  # a random id, useless without its kernel
SCRUBBED = [
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b0x[0-9a-f]{6,16}\b"), "0xADDRESS"),  # conftest.py reads addresses the same way
]


def run(notebook, folder, timeout):
    # Not the user's: no start-up files, no history, no exercises done, no answers kept.
    with tempfile.TemporaryDirectory() as profile:
        NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(folder)}},
        ).execute(env={**os.environ, **KERNEL_ENV, "IPYTHONDIR": profile, "RLX_HOME": profile})


def scrub(text):
    for pattern, replacement in SCRUBBED:
        text = pattern.sub(replacement, text)
    return text


def normalised(notebook):
    """The text of the file: equal for equal cells and outputs. Changes the notebook in place."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    ids, count = set(), 0
    for position, cell in enumerate(notebook.cells):
        if cell.get("id", "") in ids | {""}:
            cell.id = hashlib.sha1(f"{position} {cell.source}".encode()).hexdigest()[:8]
        ids.add(cell.id)
        kept = {key: cell.metadata[key] for key in sorted(CELL_METADATA & cell.metadata.keys())}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type != "code":
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
            continue
        count += 1
        cell.execution_count = count  # never null: nbval would not compare the cell's outputs
        cell.outputs = [one for one in cell.outputs if not only_widget(one)]
        for output in cell.outputs:
            normalise_output(output, count)
    return written(notebook)


def emptied(notebook):
    """Its text without outputs and counts. Changes the notebook in place."""
    normalised(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return written(notebook)


def written(notebook):
    nbformat.validate(notebook)
    return nbformat.writes(notebook, indent=1, ensure_ascii=False).rstrip("\n") + "\n"


def only_widget(output):
    """Is it of no use without a kernel, as sliders are? (The picture below them is.) Or a progress
    bar, which says how long it took?"""
    data = output.get("data", {})
    shown = data.get("text/html", "")
    return (WIDGET_VIEW in data and not shown) or 'class="rlx-bar"' in "".join(shown)


def normalise_output(output, count):
    if output.output_type == "execute_result":
        output.execution_count = count
    if output.output_type == "stream":
        output.text = scrub(output.text)
    if output.output_type == "error":
        output.traceback = [scrub(line) for line in output.traceback]
    if "data" in output:
        output.metadata = nbformat.from_dict({})
        output.data.pop(WIDGET_VIEW, None)
        if "text/plain" in output.data:
            output.data["text/plain"] = scrub(output.data["text/plain"])


def is_chapter(path):
    return path.resolve().parent == CHAPTERS


def keep_outputs(notebook, path):
    """Give a chapter's cells the outputs of its rendered copy, where a cell is what it was."""
    copy = RENDERED / path.name
    saved = nbformat.read(copy, as_version=4).cells if copy.exists() else []
    outputs = {(cell.id, cell.source): cell.outputs for cell in saved if "outputs" in cell}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = outputs.get((cell.id, cell.source), [])


def save(notebook, path):
    text = normalised(notebook)
    if is_chapter(path):
        RENDERED.mkdir(exist_ok=True)
        (RENDERED / path.name).write_text(text, encoding="utf-8")
        text = emptied(notebook)
    path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", nargs="+", type=Path)
    parser.add_argument("--no-run", action="store_true", help="only tidy what is saved")
    parser.add_argument("--timeout", type=int, default=300, help="seconds for a cell")
    arguments = parser.parse_args()
    failed = False
    for path in arguments.notebook:
        start = time.monotonic()
        notebook = nbformat.read(path, as_version=4)
        if arguments.no_run and is_chapter(path):
            keep_outputs(notebook, path)
        try:
            if not arguments.no_run:
                run(notebook, path.parent, arguments.timeout)
        except CellExecutionError as error:
            failed = True
            print(f"{path}: not saved, because a cell fails\n{error}", file=sys.stderr)
            continue
        save(notebook, path)
        print(f"{path}: {time.monotonic() - start:.1f} s")
    return failed


if __name__ == "__main__":
    sys.exit(main())
