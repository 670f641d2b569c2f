"""What was handed in, as a clean notebook: the teacher's, with the student's answers in it.

Honest accidents happen to files: another name, another encoding, cells copied, moved or deleted,
their metadata lost. None of them says anything about the answers, and none may cost points, or stop
the grading of others.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

LARGEST = 100 * 2**20  # bytes of a file


class Unreadable(ValueError):
    """There is no notebook in what was handed in; the text says what there is."""


def find(folder: Path, name: str) -> tuple[Path, list[str]]:
    """The notebook in a student's folder that is meant, and what is to be said about that."""
    exact = folder / f"{name}.ipynb"
    if exact.is_symlink() or folder.is_symlink():
        raise Unreadable("it is a link, not a file")
    if exact.is_file():
        return exact, []
    there = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]
    there = [p for p in there if not any(part.startswith(".") for part in p.parts[-3:])]
    books = [p for p in there if p.suffix.lower() == ".ipynb"]
    books = books or [p for p in there if ".ipynb" in p.name.lower() or p.suffix == ".json"]
    if not books:
        names = ", ".join(p.name for p in there[:5]) or "nothing"
        raise Unreadable(f"there is no notebook in {folder.name}/, but {names}")
    alike = [p for p in books if name.split("_")[0] in p.name] or books
    chosen = max(alike, key=lambda p: p.stat().st_mtime)
    said = f"The file was called `{chosen.name}`, not `{name}.ipynb`."
    if len(books) > 1:
        said += f" It was taken as the newest of {len(books)} notebooks."
    return chosen, [said]


def read(path: Path) -> tuple[list[dict], list[str]]:
    """The cells of a file, whatever is wrong with the rest of it. Raises Unreadable."""
    data, notes = path.read_bytes()[: LARGEST + 1], []
    if not data.strip():
        raise Unreadable("the file is empty")
    if len(data) > LARGEST:
        raise Unreadable(f"the file is larger than {LARGEST >> 20} MB")
    text, encoding = _decoded(data)
    if encoding != "utf-8":
        notes.append(f"The file was not written as plain UTF-8, but as {encoding}.")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the file is no notebook ({error})") from None
    if isinstance(raw, dict) and "worksheets" in raw:
        notes.append("The file was in the format of old notebooks.")
        try:
            raw = nbformat.convert(nbformat.from_dict(raw), 4)
        except Exception as error:
            raise Unreadable(f"the old notebook cannot be converted ({error})") from None
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if not isinstance(cells, list):
        raise Unreadable("the file is no notebook: it has no cells")
    return [cell(one) for one in cells if isinstance(one, dict)], notes


def _decoded(data: bytes) -> tuple[str, str]:
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    for mark, encoding in marks.items():
        if data.startswith(mark):
            return data.decode(
                encoding, errors="replace"
            ), f"{encoding.removesuffix('-sig')} with a byte-order mark"
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def cell(raw: dict) -> dict:
    source = raw.get("source", "")
    if isinstance(source, list):
        source = "".join(map(str, source))
    metadata = raw.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    named = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return {
        "type": "code" if raw.get("cell_type") == "code" else "markdown",
        "source": str(source),
        "named": named if isinstance(named, str) else None,
        "id": raw.get("id") if isinstance(raw.get("id"), str) else None,
    }


def repaired(theirs: list[dict], released: Any, notes: list[str]) -> nbformat.NotebookNode:
    """The released notebook, with the answers and the other cells of a submission.

    `notes`, and what is found here, stand in a first cell."""
    result = copy.deepcopy(released)
    ours = {_key(cell, k): cell for k, cell in enumerate(result.cells)}
    answers = {key: cell for key, cell in ours.items() if _flag(cell, "solution")}
    defined = {name: key for key, cell in answers.items() for name in definitions(cell.source)}
    notes = list(notes)
    found: dict[str, list[int]] = {}
    lost: dict[str, None] = {}  # answers that were not found by name
    ids = {cell.get("id"): key for key, cell in ours.items()}
    sources = {_bare(cell.source): key for key, cell in ours.items()}  # what was not touched
    for k, cell in enumerate(theirs):
        if (key := cell["named"]) not in ours:
            key = ids.get(cell["id"])
            if key in answers:
                lost[key] = None
        if key is None and (key := sources.get(_bare(cell["source"]))) in answers:
            key = None  # empty, as it was handed out: perhaps there is a better one
        if key is not None:
            found.setdefault(key, []).append(k)
    known = {k for places in found.values() for k in places}

    # An answer in a cell of which the names are lost, or beside a cell that was left empty.
    for k, cell in enumerate(theirs):
        if k in known or cell["type"] != "code":
            continue
        keys = {defined[name] for name in definitions(cell["source"]) if name in defined}
        for key in keys:
            before = [theirs[j]["source"] for j in found.get(key, [])]
            if not any(_written(source, answers[key].source) for source in before):
                found.setdefault(key, []).append(k)
                known.add(k)
                lost[key] = None
    if lost:
        names = ", ".join(f"`{key}`" for key in lost)
        notes.append(f"Found by what a cell holds, for its name was lost or it was moved: {names}.")

    spare: dict[int, str] = {}  # copies that do not count
    for key, places in found.items():
        ours_here = ours[key]
        if key in answers:
            written = [k for k in places if _written(theirs[k]["source"], ours_here.source)]
            counts = (written or places)[-1]
            ours_here.source = theirs[counts]["source"]
            others = [k for k in places if k != counts and theirs[k]["source"].strip()]
            if [k for k in others if theirs[k]["source"].strip() != ours_here.source.strip()]:
                which = (
                    "the last" if written == places else "the last in which something is written"
                )
                notes.append(f"There are {len(places)} cells `{key}`: {which} was graded.")
                spare |= dict.fromkeys(others, key)
        elif not _flag(ours_here, "grade"):
            ours_here.source = theirs[places[-1]]["source"]
    missing = [key for key in answers if key not in found]
    if missing:
        names = ", ".join(f"`{key}`" for key in missing)
        notes.append(f"Deleted, and put back empty: {names}.")

    after: dict[str, list] = {key: [] for key in ["", *ours]}  # their own cells, by what precedes
    last = ""
    keys = {k: key for key, places in found.items() for k in places}
    for k, cell in enumerate(theirs):
        if k in keys:
            last = keys[k]
            if k in spare:
                said = f"*A copy of `{spare[k]}` that was not graded:*"
                text = f"{said}\n\n```python\n{cell['source']}\n```"
                after[last].append(new_markdown_cell(text))
        elif cell["source"].strip():
            new = new_code_cell if cell["type"] == "code" else new_markdown_cell
            after[last].append(new(cell["source"]))
    cells = list(after[""])
    for key, cell in ours.items():
        cells += [cell, *after[key]]
    if notes:
        said = "\n".join(f"- {note}" for note in notes)
        cells.insert(0, new_markdown_cell(f"**About the file that was handed in**\n\n{said}"))
    theirs_own = {id(cell) for cell in cells} - {id(cell) for cell in ours.values()}
    for k, cell in enumerate(cells):
        if id(cell) in theirs_own:
            cell["id"] = f"own-{k}"
    result.cells = cells
    return result


def _key(cell: Any, place: int) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id") or cell.get("id") or f"cell {place}"


def _flag(cell: Any, name: str) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get(name))


def definitions(source: str) -> list[str]:
    """Names of the functions and classes that it defines, if only its lines tell."""
    try:
        return [one.name for one in ast.parse(source).body if isinstance(one, DEFINES)]
    except (SyntaxError, ValueError, RecursionError):
        return re.findall(r"^(?:async +def|def|class) +(\w+)", source, re.MULTILINE)


DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _written(source: str, stub: str) -> bool:
    """Is it more than the stub that was handed out?"""
    return bool(source.strip()) and _bare(source) != _bare(stub)


def _bare(source: str) -> str:
    return " ".join(source.split())
