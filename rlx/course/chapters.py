"""The chapters of the course, and which of them are there."""

from __future__ import annotations

import html
from pathlib import Path

CHAPTERS = [
    ("00", "Start here", "nothing yet: the tour"),
    ("01", "The loop, and partial observability", "`run_episode`, hidden observations"),
    ("02", "Rollout", "the table of steps"),
    ("03", "Policies and actions", "`Parametric`, `ActionDistribution`, `Agent`"),
    ("04", "Memory", "recurrent policies, `evaluate`"),
    ("05", "REINFORCE", "`REINFORCE`"),
    ("06", "Value functions and baselines", "`ActorCritic`"),
    ("07", "Advantages: n steps, GAE, and where an episode ends", "`A2C`"),
    ("08", "PPO: the same rows several times", "`PPO`"),
    ("09", "Off-policy: rows that another policy played", "importance weights, V-trace, `OffPAC`"),
    ("10", "Q-learning: replay, targets, double, recurrent", "`Replay`, `DQN`"),
    ("11", "Continuous control", "`DDPG`, `TD3`, `SAC`"),
    ("12", "Debugging and statistics", "probe environments, intervals"),
    ("13", "Scaling out", "vector environments, processes, a cluster"),
    ("14", "Capstone: volleyball by self-play", "a pool of former selves, Elo"),
]


class CourseMap:
    """The table of chapters, from a notebook in `folder`, which is the chapters' own, or that of
    some exercises. Those whose notebook is there are links, and so are their exercises."""

    def __init__(self, folder: str | Path = ".") -> None:
        self.found = {number: notebook(number, folder) for number, *_ in CHAPTERS}
        self.exercises = {number: exercises(number, folder) for number, *_ in CHAPTERS}

    def __repr__(self) -> str:
        return "\n".join(
            f"{number}  {title}{'' if self.found[number] else ' (not here)'}"
            for number, title, _ in CHAPTERS
        )

    def _repr_html_(self) -> str:
        rows = ""
        for number, title, builds in CHAPTERS:
            name = linked(html.escape(title), self.found[number])
            if not self.found[number]:
                name += " <em>(not here)</em>"
            there = self.exercises[number]
            rows += _row(
                "td", [number, name, _code(builds), linked("exercises", there) if there else ""]
            )
        head = _row("th", ["", "chapter", "you build", ""])
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def notebook(number: str, folder: str | Path = ".") -> str | None:
    """The chapter's notebook, as a link from a notebook in `folder`; None if it is not there."""
    return _first(folder, f"{number}_*.ipynb", f"../../notebooks/{number}_*.ipynb")


def exercises(number: str, folder: str | Path = ".") -> str | None:
    """The notebook of its exercises, likewise."""
    name = f"{number}_*/{number}_*.ipynb"
    return _first(folder, f"../exercises/{name}", f"../{name}")


def linked(text: str, target: str | None) -> str:
    return f'<a href="{html.escape(target)}">{text}</a>' if target else text


def _first(folder: str | Path, *patterns: str) -> str | None:
    found = (path for pattern in patterns for path in sorted(Path(folder).glob(pattern)))
    path = next(found, None)
    return path and path.relative_to(folder).as_posix()


def _row(tag: str, cells: list[str]) -> str:
    cells = [f'<{tag} style="text-align: left">{cell}</{tag}>' for cell in cells]
    return f"<tr>{''.join(cells)}</tr>"


def _code(text: str) -> str:
    parts = html.escape(text).split("`")
    return "".join(f"<code>{p}</code>" if k % 2 else p for k, p in enumerate(parts))
