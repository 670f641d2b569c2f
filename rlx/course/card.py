"""A few sentences in a frame: what `check` and `hint` answer with."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from rlx.bars import shell

# How a kind of card begins, so that colour is not all that tells them apart; and the ground of that
# sign. White can be read on each (5 to 1), and each can be seen on white and on black (3 to 1).
RED, GREEN, BLUE = "#B84400", "#007A56", "#0072B2"
KINDS = {
    "passed": ("✓", GREEN),
    "mistake": ("✗", RED),
    "finding": ("✗", RED),
    "unwritten": ("…", BLUE),
    "hint": ("?", BLUE),
    "foreseen": ("✓", GREEN),
    "outcome": ("→", BLUE),
}


@dataclass
class Card:
    """About `exercise`: a title, sentences, and smaller notes beneath them. `code` in backticks.

    A note of several lines is a table, in letters of equal width."""

    exercise: str
    title: str
    sentences: list[str]
    notes: list[str] = field(default_factory=list)
    kind: str = "finding"
    sources: list[tuple[str, str]] = field(default_factory=list)  # code to be seen side by side

    @property
    def passed(self) -> bool:
        return self.kind == "passed"

    def __str__(self) -> str:
        lines = [f"{KINDS[self.kind][0]} {self.exercise}: {self.title}"]
        return "\n".join([*lines, *self.sentences, *self.notes]).replace("\n", "\n  ")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        mark, colour = KINDS[self.kind]
        body = "".join(f'<p style="margin: 4px 0">{code(text)}</p>' for text in self.sentences)
        body += "".join(map(_note, self.notes))
        return (
            f'<div class="rlx-card rlx-{self.kind}" style="border-left: 5px solid {colour}; '
            'padding: 4px 12px; max-width: 720px">'
            f'<p style="margin: 4px 0"><b style="background: {colour}; color: white; '
            f'padding: 0 5px; border-radius: 3px">{mark}</b> '
            f"<b>{html.escape(self.exercise)}: {code(self.title)}</b></p>{body}"
            f"{self._sources()}</div>"
        )

    def _sources(self) -> str:
        if not all(text for _, text in self.sources) or not self.sources:
            return ""
        parts = "".join(
            '<div style="flex: 1 1 auto; min-width: 280px; max-width: 100%">'
            f"<i>{html.escape(title)}</i><pre "
            f'style="font-size: 85%; overflow-x: auto">{html.escape(text)}</pre></div>'
            for title, text in self.sources
        )
        beside = len(self.sources) > 1
        title = f"Yours beside {self.sources[1][0]}" if beside else "A solution"
        return (
            f"<details><summary>{html.escape(title, False)}</summary>"
            f'<div style="display: flex; flex-wrap: wrap; gap: 12px">{parts}</div></details>'
        )


def _note(text: str) -> str:
    """A sentence; or several lines, which are a table."""
    style = "margin: 2px 0; opacity: 0.75; font-size: "
    if "\n" in text:
        return (
            f'<pre style="{style}85%; line-height: 1.4; overflow-x: auto; background: none">'
            f"{html.escape(text)}</pre>"
        )
    return f'<p style="{style}90%">{code(text)}</p>'


class NotYet(AssertionError):
    """The answer is not right yet; the card says why. A notebook shows one line of it."""

    def __init__(self, card: Card) -> None:
        super().__init__(str(card))
        self.card = card

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [f"{self.card.exercise}: {self.card.title}. The card above says more."]


def show(card: Card, raised: bool = False) -> None:
    """As HTML in a notebook, as plain text elsewhere, unless it is to be raised."""
    if shell() is None:
        if not raised:  # else the exception says it
            print(card)
        return
    from IPython.display import display

    display(card)


def code(text: str) -> str:
    """As HTML: what is in backticks as code, what is between asterisks stressed."""
    parts = re.split(r"`([^`]*)`", html.escape(text))
    parts[::2] = [
        re.sub(r"(?<![\w*])\*(\w[\w ]*)\*(?![\w*])", r"<em>\1</em>", p) for p in parts[::2]
    ]
    parts[1::2] = [f"<code>{part}</code>" for part in parts[1::2]]
    return "".join(parts)
