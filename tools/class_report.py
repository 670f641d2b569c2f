"""The class at a glance: who solved what, which mistakes how many made, and what to look at.

    python tools/class_report.py 05_reinforce [--course FOLDER]

It reads what grading has left (docs/teaching.md): a table on the terminal, and a page,
grading/class/CHAPTER.html. `grading.glance` is what it knows, here is how it is said.
"""

import argparse
import html
import sys
from pathlib import Path

from grading.glance import effort, remarks, report, share

from rlx.course.card import BLUE, GREEN, RED, code
from rlx.course.exercise import EXERCISES

ROOT = Path(__file__).parents[1]
SIGNS = {"passed": "✓", "unwritten": "…", "missing": " "}  # all else is ✗


def terminal(report):
    total = len(report.graded)
    wide = max(map(len, report.points), default=8)
    lines = [f"{report.chapter}: {total} graded, {len(report.students) - total} not", ""]
    columns = "points   solved  written  as in the library  what went wrong, by how many"
    lines.append(f"{'':{wide}}  {columns}")
    for name, points in report.points.items():
        solved, written = share(report, name)
        said = [f"{len(names):3} {wanted.title}" for wanted, names in report.said(name).items()]
        copies = len(report.library[name])
        head = f"{name:{wide}}  {points:6g}  {solved:3} of {total:<3} {written:6}  {copies:17}  "
        told = effort(report, name)
        for k, text in enumerate([*said, *([f"    {told}"] if told else [])] or [""]):
            lines.append(((head if k == 0 else " " * len(head)) + text).rstrip())
    for title, sentences in remarks(report):
        lines += ["", f"{title}:", *(f"  {sentence}" for sentence in sentences)]
    return "\n".join(lines)


STYLE = f"""
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 980px; margin: 24px auto; padding: 0 16px;
  background: #fff; color: #1b1b1b; }}
h2 {{ margin: 40px 0 8px; }}
h3 {{ margin: 28px 0 4px; }}
small, .few {{ opacity: 0.75; }}
.bar {{ height: 10px; max-width: 420px; background: #8884; border-radius: 5px; overflow: hidden; }}
.bar i {{ display: block; height: 100%; background: {GREEN}; }}
li b {{ display: inline-block; min-width: 5.5em; }}
details p {{ margin: 2px 0 6px 5.5em; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 13px; }}
th, td {{ padding: 2px 6px; text-align: center; border-bottom: 1px solid #8884; }}
th:first-child {{ text-align: left; }}
thead th {{ vertical-align: bottom; }}
thead span {{ writing-mode: vertical-rl; transform: rotate(180deg); font-weight: 400; }}
.y {{ color: {GREEN}; font-weight: 700; }} .n {{ color: {RED}; font-weight: 700; }}
.u {{ color: {BLUE}; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #111; color: #eee; }}
  .y {{ color: #4cc79a; }} .n {{ color: #ff9a5c; }} .u {{ color: #6db7ea; }}
}}
"""


def why(exercise, title):
    """What the card explained, if the mistake is a named one."""
    mistakes = EXERCISES[exercise].mistakes if exercise in EXERCISES else []
    return next((mistake.why for mistake in mistakes if mistake.name == title), "")


def listed(report, exercise):
    """What was said of the wrong answers, as a list."""
    rows = []
    for said, names in report.said(exercise).items():
        note = code(why(exercise, said.title))
        rows.append(
            f"<li><details><summary><b>{len(names)} of {len(report.graded)}</b> "
            f"{code(said.title)}</summary><p>{note}</p>"
            f'<p class="few">{html.escape(", ".join(names))}</p></details></li>'
        )
    return f'<ul style="list-style: none; padding: 0">{"".join(rows)}</ul>' if rows else ""


def as_in_the_library(report, exercise):
    """Whose answer is the library's text or the solution's: no points are taken for it."""
    names = report.library[exercise]
    if not names:
        return ""
    return (
        f"<details><summary><b>{len(names)}</b> as in the library</summary>"
        f'<p class="few">{html.escape(", ".join(names))}</p></details>'
    )


def page(report):
    total = len(report.graded)
    body = [
        f"<h1>{html.escape(report.chapter)}</h1><p>{total} graded, "
        f"{len(report.students) - total} not.</p>"
    ]
    for name, points in report.points.items():
        solved, written = share(report, name)
        told = effort(report, name)
        body.append(
            f"<h3>{html.escape(name)} <small>{worth(points)}</small></h3>"
            f'<div class="bar" role="img" aria-label="{solved} of {total} solved it">'
            f'<i style="width: {100 * solved / max(total, 1):.0f}%"></i></div>'
            f"<p>{solved} of {total} solved it, {written} wrote something."
            f"{f' In the middle {told}.' if told else ''}</p>{as_in_the_library(report, name)}"
            f"{listed(report, name)}"
        )
    for title, sentences in remarks(report):
        rows = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        body.append(f"<h2>{html.escape(title)}</h2><ul>{rows}</ul>")
    head = "".join(f"<th><span>{html.escape(name)}</span></th>" for name in report.points)
    rows = "".join(
        f"<tr><th>{html.escape(student.name)}</th>{''.join(map(mark, student.outcomes.values()))}"
        "</tr>"
        for student in report.graded
    )
    body.append(
        "<h2>Everyone</h2><p>✓ solved, ✗ not yet, … not written. Point at a sign for what was "
        f'said.</p><div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(report.chapter)}</title><style>{STYLE}</style>{''.join(body)}</html>\n"
    )


def worth(points):
    return f"{points:g} points" if points else "optional"


def mark(outcome):
    sign = SIGNS.get(outcome.kind, "✗")
    look = {"✓": "y", "✗": "n"}.get(sign, "u")
    return f'<td class="{look}" title="{html.escape(outcome.title)}">{sign}</td>'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", help="as its folder in solutions/ is called")
    parser.add_argument("--course", type=Path, default=ROOT)
    arguments = parser.parse_args()
    try:
        found = report(arguments.course, arguments.chapter)
    except FileNotFoundError as error:
        chapters = sorted(path.name for path in (arguments.course / "exercises").glob("*/"))
        print(f"{error.filename} is not there; chapters: {' '.join(chapters)}", file=sys.stderr)
        return 1
    if not found.students:
        print(f"nobody has handed in {arguments.chapter} under grading/submitted", file=sys.stderr)
        return 1
    print(terminal(found))
    target = arguments.course / "grading" / "class" / f"{arguments.chapter}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(found), encoding="utf-8")
    print(f"\nthe same as a page: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
