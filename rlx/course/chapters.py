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
    ("09", "Off-policy learning", "importance weights, `OffPAC`, V-trace"),
    ("10", "Q-learning", "`DQN`, double and recurrent"),
    ("11", "Continuous control", "`DDPG`, `TD3`, `SAC`"),
    ("12", "Debugging and statistics", "probe environments, intervals"),
    ("13", "Scaling out", "vector environments, processes, a cluster"),
    ("14", "Capstone: volleyball by self-play", "a pool of former selves, Elo"),
]


class CourseMap:
    """The table of chapters; those whose notebook is in `folder` are links."""

    def __init__(self, folder: str | Path = ".") -> None:
        self.found = {number: _notebook(Path(folder), number) for number, *_ in CHAPTERS}

    def __repr__(self) -> str:
        return "\n".join(
            f"{number}  {title}{'' if self.found[number] else ' (not written yet)'}"
            for number, title, _ in CHAPTERS
        )

    def _repr_html_(self) -> str:
        rows = ""
        for number, title, builds in CHAPTERS:
            path, cells = self.found[number], [number, html.escape(title), _code(builds)]
            if path:
                cells[1] = f'<a href="{path.name}">{cells[1]}</a>'
            else:
                cells[1] += " <em>(not written yet)</em>"
            rows += _row("td", cells)
        head = _row("th", ["", "chapter", "you build"])
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _row(tag: str, cells: list[str]) -> str:
    cells = [f'<{tag} style="text-align: left">{cell}</{tag}>' for cell in cells]
    return f"<tr>{''.join(cells)}</tr>"


def _notebook(folder: Path, number: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"{number}_*.ipynb"))), None)


def _code(text: str) -> str:
    parts = html.escape(text).split("`")
    return "".join(f"<code>{p}</code>" if k % 2 else p for k, p in enumerate(parts))
