"""Which exercises are done, after how many checks and hints, what was predicted and what came out,
and when: small files in the learner's own folder. Nothing is sent anywhere."""

from __future__ import annotations

import hashlib
import html
import json
import os
import time
from datetime import date
from itertools import pairwise
from pathlib import Path

from rlx import checkpoint
from rlx.course.card import code
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
    asked = {"question": question, "answer": answer, "date": date.today().isoformat()}
    return write(page(question), prediction(question) | asked)


def kept(question: str) -> str | None:
    """What was predicted last, if anything."""
    return prediction(question).get("answer")


def judge(question: str, came_out: str) -> None:
    """Note what came out beside what was predicted, the first time: whoever predicts once more has
    seen it."""
    before = prediction(question)
    if before and "came_out" not in before:
        write(page(question), before | {"first": before["answer"], "came_out": came_out})


def prediction(question: str) -> dict[str, str]:
    """All that is kept under a question; nothing, if it was never answered."""
    return _read(page(question))


def predictions() -> list[dict[str, str]]:
    """All of which it is known what came out, in the order of their dates."""
    found = map(_read, sorted((folder() / "predictions").glob("*.json")))
    return sorted((one for one in found if "came_out" in one), key=lambda one: one["date"])


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if {"question", "answer", "date"} <= content.keys() else {}
    except (OSError, ValueError, AttributeError):  # not there, or not a file of ours
        return {}


def page(question: str) -> Path:
    """Where the answer to it is kept; not among the exercises."""
    return folder() / "predictions" / f"{hashlib.sha256(question.encode()).hexdigest()[:16]}.json"


def write(path: Path, content: dict[str, str | int]) -> list[str]:
    busy()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write(path, json.dumps(content, ensure_ascii=False).encode())
    except OSError as error:
        return [f"It could not be noted in {path.parent}: {error.strerror or error}."]
    return []


_noted = 0  # in this kernel


def busy() -> None:
    """Note that the learner is at work, by the minute. It is no matter if it cannot be noted."""
    global _noted
    minute = int(time.time() // 60)
    if minute != _noted:
        _noted = minute
        try:
            folder().mkdir(parents=True, exist_ok=True)
            with open(folder() / "minutes.txt", "a", encoding="utf-8") as file:
                file.write(f"{minute}\n")  # short enough not to be mixed with another kernel's
        except OSError:
            pass


def worked(pause: int = 30) -> tuple[int, int]:
    """(minutes at work, days with some): two minutes in which something was done belong together
    if no more than `pause` minutes are between them."""
    try:
        lines = (folder() / "minutes.txt").read_text(encoding="utf-8").split()
    except OSError:
        return 0, 0
    minutes = sorted({int(line) for line in lines if line.isdigit()})
    gaps = (after - before for before, after in pairwise(minutes))
    total = len(minutes[:1]) + sum(gap if gap <= pause else 1 for gap in gaps)
    return total, len({time.localtime(60 * minute)[:3] for minute in minutes})


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


class summary:
    """What you have done in the course: exercises, hints, predictions, time.

    It is read from `~/.rlx/progress`, where it is kept, and goes nowhere else."""

    def __init__(self) -> None:
        exercises = progress()
        self.minutes, self.days = worked()
        seen = {name: counts(folder(), name) for name in EXERCISES}
        self.hints = sum(one["hints"] for one in seen.values())
        self.helped = {name for name, one in seen.items() if one["hints"]}
        self.alone = exercises.done & seen.keys() - self.helped
        self.right, self.wrong = [], []
        for one in predictions():
            (self.right if one["first"] == one["came_out"] else self.wrong).append(one)
        self.exercises = exercises

    def sentences(self) -> list[str]:
        return [
            f"{self.exercises.total()}.",
            f"Hints: {self.hints}, for {len(self.helped)} exercises. Done without any: "
            f"{len(self.alone)}.",
            f"Predictions: {len(self.right)} came out, {len(self.wrong)} did not.",
            f"Time: {_hours(self.minutes)} on {self.days} day{'s' * (self.days != 1)}; pauses of "
            "more than half an hour, and what you only read, do not count.",
        ]

    def surprises(self) -> list[str]:
        return [
            f"{one['question']} You predicted: {one['first']}. It came out: {one['came_out']}."
            for one in self.wrong
        ]

    def __repr__(self) -> str:
        return "\n".join([*self.sentences(), *(f"  {text}" for text in self.surprises())])

    def _repr_html_(self) -> str:
        said = "".join(f'<p style="margin: 4px 0">{html.escape(s)}</p>' for s in self.sentences())
        if not self.wrong:
            return said
        items = "".join(f"<li>{code(text)}</li>" for text in self.surprises())
        return (
            f"{said}<details><summary>What came out otherwise</summary><ul>{items}</ul></details>"
        )


def _hours(minutes: int) -> str:
    return f"{minutes} minutes" if minutes < 90 else f"{minutes / 60:.0f} hours"
