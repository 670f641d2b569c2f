"""Which exercises are done, after how many checks and hints, and what was predicted: small files in
the learner's own folder. Nothing is sent anywhere."""

from __future__ import annotations

import hashlib
import html
import json
import os
from datetime import date
from pathlib import Path

from rlx import checkpoint
from rlx.course.chapters import CHAPTERS, exercises, linked
from rlx.course.exercise import EXERCISES, load


def folder() -> Path:
    """`~/.rlx/progress`; the environment variable RLX_HOME names another place than `~/.rlx`."""
    return Path(os.environ.get("RLX_HOME") or Path.home() / ".rlx") / "progress"


def record(name: str) -> list[str]:
    """Note that an exercise is done. Returns what the learner should know, if that failed.

    A file for each exercise, written whole or not at all, and only ever added: two notebooks that
    are open at once cannot undo each other's."""
    path = folder() / f"{name}.json"
    return [] if path.exists() else write(path, {"passed": date.today().isoformat()})


def count(name: str, checks: int = 0, hints: int = 0) -> None:
    """Note so many more checks of an exercise, and that the hints up to this one were seen.

    Until it is done: what is tried out afterwards says nothing about how hard it was. It is no
    matter if it cannot be noted."""
    if (folder() / f"{name}.json").exists():
        return
    before = counts(folder(), name)
    after = {"checks": before["checks"] + checks, "hints": max(before["hints"], hints)}
    write(folder() / "counts" / f"{name}.json", after)


def counts(folder: Path, name: str) -> dict[str, int]:
    """How many checks and hints an exercise took, from a learner's folder of progress."""
    try:
        kept = json.loads((folder / "counts" / f"{name}.json").read_text(encoding="utf-8"))
        return {key: int(kept[key]) for key in ("checks", "hints")}
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not a file of ours
        return {"checks": 0, "hints": 0}


def keep(question: str, answer: str) -> list[str]:
    """Note what was predicted, in place of an earlier answer. Returns what `record` returns."""
    today = date.today().isoformat()
    return write(page(question), {"question": question, "answer": answer, "date": today})


def kept(question: str) -> str | None:
    """What was predicted last, if anything."""
    try:
        return json.loads(page(question).read_text(encoding="utf-8"))["answer"]
    except (OSError, ValueError, KeyError, TypeError):  # never asked, or not a file of ours
        return None


def page(question: str) -> Path:
    """Where the answer to it is kept; not among the exercises."""
    return folder() / "predictions" / f"{hashlib.sha256(question.encode()).hexdigest()[:16]}.json"


def write(path: Path, content: dict[str, str | int]) -> list[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write(path, json.dumps(content, ensure_ascii=False).encode())
    except OSError as error:
        return [f"It could not be noted in {path.parent}: {error.strerror or error}."]
    return []


def passed() -> set[str]:
    """Names of the exercises that are done."""
    return {path.stem for path in folder().glob("*.json")}


class progress:
    """The exercises, chapter by chapter, and which of them are done.

    It is kept in `~/.rlx/progress`: to begin anew, delete that folder."""

    def __init__(self) -> None:
        load()
        self.done = passed()
        self.chapters = [
            (number, title, [name for name, one in EXERCISES.items() if one.chapter == number])
            for number, title, _ in CHAPTERS
        ]
        known = [number for number, *_ in CHAPTERS]
        own = [name for name, one in EXERCISES.items() if one.chapter not in known]
        if own:
            self.chapters.append(("", "more exercises", own))

    def rows(self) -> list[tuple[str, str, list[str]]]:
        return [
            (
                number,
                title + self.step(names),
                [f"{'✓' if n in self.done else '·'} {n}" for n in names],
            )
            for number, title, names in self.chapters
            if names
        ]

    @staticmethod
    def chip(name: str) -> str:
        return f'<code style="white-space: nowrap; margin-right: 8px">{html.escape(name)}</code>'

    def mark(self, name: str) -> str:
        return f"{'✓' if name in self.done else '·'} {name}"

    def step(self, names: list[str]) -> str:
        """That a chapter is done, if it is: the optional exercises do not count."""
        counted = {name for name in names if not EXERCISES[name].optional}
        return " ✓ done" if counted <= self.done else ""

    def total(self) -> str:
        names = {name for _, _, names in self.chapters for name in names}
        harder = {name for name in names if EXERCISES[name].optional}
        counted = [(names - harder, "exercises"), (harder, "optional ones")]
        return ", ".join(
            f"{len(self.done & some)} of {len(some)} {what} done" for some, what in counted if some
        )

    def __repr__(self) -> str:
        lines = [f"{n or '  '}  {title}: {', '.join(names)}" for n, title, names in self.rows()]
        return "\n".join([*lines, self.total()])

    def _repr_html_(self) -> str:
        cell = '<td style="text-align: left; vertical-align: top">'
        rows = "".join(
            f"<tr>{cell}{number}</td>{cell}{linked(html.escape(title), exercises(number))}</td>"
            f"{cell}{' '.join(map(self.chip, names))}</td></tr>"
            for number, title, names in self.rows()
        )
        return f"<table><tbody>{rows}</tbody></table><p>{self.total()}</p>"
