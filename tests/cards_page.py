"""Every card that `check` can show, on one page, to be read on screen in both colour schemes.

    python tests/cards_page.py cards.html [EXERCISE | CHAPTER | findings ...]

The hints, and the cards of all declared mistakes, of right and unwritten answers, and of all
generic findings (generic.py). No test: it is for whoever changes the words.
"""

import html
import sys
from pathlib import Path

import generic
from declared import every

from rlx.course.card import Card
from rlx.course.checking import examine
from rlx.course.exercise import Exercise

STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 760px; margin: 24px auto; padding: 0 12px; }
body { background: #fff; color: rgba(0, 0, 0, 0.87); }
code, pre { font-size: 90%; background: #efefef; }
h2 { margin-top: 48px; }
.rlx-card { margin: 18px 0; }
@media (prefers-color-scheme: dark) {
  body { background: #111; color: #fff; }
  code, pre { background: #333; }
}
"""


def cards(exercise: Exercise) -> list[Card]:
    """Of a stub, of every declared mistake, and of the right answer; and the hints."""

    def stub(*args, **kwargs):
        raise NotImplementedError

    answers = [stub, *(mistake.coding for mistake in exercise.mistakes), exercise.reference]
    hints = [
        Card(exercise.name, f"hint {k} of {len(exercise.hints)}", [hint], kind="hint")
        for k, hint in enumerate(exercise.hints, 1)
    ]
    return [*hints, *(examine(exercise, answer) for answer in answers)]


def page(sections: dict[str, list[Card]]) -> str:
    parts = [
        f"<h2>{html.escape(title)}</h2>" + "\n".join(card._repr_html_() for card in some)
        for title, some in sections.items()
    ]
    head = f'<!doctype html><meta charset="utf-8"><title>cards</title><style>{STYLE}</style>'
    return head + "\n".join(parts)


def main() -> None:
    target, *names = sys.argv[1:]
    asked = [e for e in every().values() if not names or {e.name, e.chapter} & {*names}]
    sections = {e.name: cards(e) for e in asked}
    if not names or "findings" in names:
        sections["findings"] = generic.shown()
    Path(target).write_text(page(sections), encoding="utf-8")
    print(sum(map(len, sections.values())), "cards in", target)


if __name__ == "__main__":
    main()
