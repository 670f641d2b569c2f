"""An agent whose fault is not told, and the table of probes and faults that finds it."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator

import rlx
from rlx.algos import Algorithm
from rlx.course import faults
from rlx.course.card import GREEN, RED, Card, code
from rlx.course.picture import WIDGET, asleep
from rlx.course.probing import judge
from rlx.envs.probes import KINDS
from rlx.seeding import spawn, undisturbed


def tried(fault: faults.Fault, kind: str) -> tuple[bool, str]:
    """Train the broken algorithm on a probe: does it pass, and what does it say there?"""
    with undisturbed(), fault.learner(kind) as learner:
        with contextlib.suppress(FloatingPointError):  # it diverged: it will not pass
            rlx.train(learner, updates=faults.UPDATES[fault.algorithm], progress=False)
        passed, said = judge(learner, kind, faults.GAMMA)
    return bool(passed), said


class Sealed:
    """An A2C with one fault of `rlx.course.faults`, or none: which, the `number` knows.

    `open(probe)` trains it there, a third of a second, and says whether it passed; `opened` keeps
    that, `said` what it answered. `is_it(fault)` compares your verdict."""

    def __init__(self, number: int) -> None:
        known = {fault.name: fault for fault in faults.FAULTS if fault.algorithm == "A2C"}
        known[faults.NOTHING] = faults.Fault(faults.NOTHING, "A2C", {}, frozenset())
        self._fault = [*known.values()][spawn(number, 1, "sealed")[0] % len(known)]
        self.opened: dict[str, bool] = {}
        self.said: dict[str, str] = {}

    def open(self, probe: str) -> bool:
        """Did it pass? Raises ValueError for an unknown probe."""
        if probe not in KINDS:
            raise ValueError(f"there is no probe {probe!r}: it is one of {', '.join(KINDS)}")
        if probe not in self.opened:
            self.opened[probe], self.said[probe] = tried(self._fault, probe)
        return self.opened[probe]

    @contextlib.contextmanager
    def learner(self, env: str, **options) -> Iterator[Algorithm]:
        """The agent in another environment, broken within this block."""
        with self._fault.learner(env, **options) as learner:
            yield learner

    def is_it(self, fault: str) -> Card:
        """A card that says whether this is the fault. Raises ValueError for an unknown one."""
        known = faults.signs()
        if fault not in known:
            raise ValueError(f"{fault!r} is none of the faults: {'; '.join(known)}")
        right, probes = self._fault.name, f"{len(self.opened)} of {len(KINDS)} probes opened"
        if fault == right:
            return Card("Sealed", f"it is {fault}", [f"Named with {probes}."], kind="foreseen")
        if known[fault] == known[right]:
            why = "It fails the same probes as the one that it is: compare the values it gives."
        else:
            rows = faults.suspects(self.opened)
            fits = "It fits what you have seen, and so does another: open one more probe."
            why = fits if fault in rows else "It does not fit what you have seen."
        return Card("Sealed", f"it is not {fault}", [why, f"{probes.capitalize()}."])


class Matrix:
    """The faults against the probes that each fails, to be clicked at; above them a sealed agent.

    Its cells are opened by a guess: ✓ if you expect that it passes, ✗ that it fails. Faults that no
    longer fit turn pale. A click on a fault's cell trains that fault there, and shows what it says.
    """

    def __init__(self, sealed: Sealed) -> None:
        self.sealed, self.signs, self.place = sealed, faults.signs(), None
        self.foreseen: dict[str, bool] = {}
        self.line = "Nothing is opened yet."
        known = {fault.name: fault for fault in faults.FAULTS if fault.algorithm == "A2C"}
        self.faults = {name: known.get(name) for name in self.signs}

    def guess(self, probe: str, passes: bool) -> None:
        """Open a cell of the sealed agent, after saying what is expected."""
        self.foreseen.setdefault(probe, self.sealed.open(probe) == passes)
        count, right = len(self.foreseen), sum(self.foreseen.values())
        fits = faults.suspects(self.sealed.opened)
        self.line = (
            f"{probe}: {self.word(probe)}, {self.sealed.said[probe]}. {count} opened, {right} "
            f"foreseen. {len(fits)} of {len(self.signs)} still fit."
        )
        self.redraw()

    def try_fault(self, name: str, probe: str) -> None:
        """Train one of the faults on a probe, to see what it says there."""
        fault = self.faults[name] or faults.Fault(name, "A2C", {}, frozenset())
        passed, said = tried(fault, probe)
        self.line = f"If {name}, on {probe}: {'passed' if passed else 'FAILED'}, {said}."
        self.redraw()

    def word(self, probe: str) -> str:
        return "passed" if self.sealed.opened[probe] else "FAILED"

    # What a notebook shows: buttons in a grid, and a line and a table below them that stay when the
    # buttons have no kernel any more.

    def _ipython_display_(self) -> None:
        import ipywidgets as widgets
        from IPython.display import display

        self.cells, children = {}, [widgets.HTML("")]
        children += [widgets.HTML(f'<b style="font-size: 80%">{_shy(one)}</b>') for one in KINDS]
        children.append(widgets.HTML("<b>the sealed agent</b>"))
        # In a narrow window the columns shrink: the whole table can be seen.
        small = widgets.Layout(flex="1 1 0", min_width="18px", padding="0", margin="1px")
        for probe in KINDS:
            pair = []
            for passes, sign in ((True, "✓"), (False, "✗")):
                word = "passes" if passes else "fails"
                tip = f"I expect that it {word} {probe}: open"
                button = widgets.Button(description=sign, tooltip=tip, layout=small)
                button.on_click(lambda _, probe=probe, passes=passes: self.guess(probe, passes))
                pair.append(button)
            self.cells[probe] = widgets.HBox(pair)
            children.append(self.cells[probe])
        self.rows = {}
        for name, fails in self.signs.items():
            row = [widgets.HTML(html.escape(name))]
            for probe in KINDS:
                sign, tip = ("✗", "fails") if probe in fails else ("·", "passes")
                layout = widgets.Layout(width="auto", padding="0", margin="1px")
                button = widgets.Button(
                    description=sign, tooltip=f"{tip} {probe}: see what it says", layout=layout
                )
                button.on_click(lambda _, name=name, probe=probe: self.try_fault(name, probe))
                row.append(button)
            self.rows[name] = row
            children += row
        layout = widgets.Layout(
            grid_template_columns="minmax(84px, 238px) repeat(6, minmax(54px, 81px))",
            align_items="center",
            max_width="740px",
        )
        self.box = widgets.VBox([widgets.GridBox(children, layout=layout)])
        self.box.add_class("rlx-matrix")
        style = (
            "<style>.rlx-matrix .rlx-out {opacity: 0.25} .rlx-matrix .widget-html {min-width: 0} "
            ".rlx-matrix .widget-html-content {white-space: normal} .rlx-matrix .jupyter-button "
            "{color: var(--jp-ui-font-color0)} .rlx-matrix .widget-html-content "
            "{color: var(--jp-ui-font-color0); line-height: 1.3}</style>"
        )
        view = self.box._repr_mimebundle_()[WIDGET]
        display({"text/html": style, "text/plain": "The sealed agent:"}, raw=True)
        display({WIDGET: view, "text/plain": "[a table to click at]"}, raw=True)
        self.place = display(self.below(), raw=True, display_id=True)
        self.redraw()

    def redraw(self) -> None:
        if self.place is None:
            return
        for probe, passed in self.sealed.opened.items():
            import ipywidgets as widgets

            mark = {True: ", foreseen", False: ", not foreseen"}.get(self.foreseen.get(probe), "")
            colour = GREEN if passed else RED
            self.cells[probe].children = [
                widgets.HTML(
                    f'<b title="{self.word(probe)}{mark}" style="background: {colour}; color: '
                    f'white; padding: 1px 6px; border-radius: 3px">{self.word(probe)}</b>'
                )
            ]
        fits = faults.suspects(self.sealed.opened)
        for name, row in self.rows.items():
            for cell in row:
                (cell.remove_class if name in fits else cell.add_class)("rlx-out")
        self.place.update(self.below(), raw=True)

    def below(self) -> dict[str, str]:
        """The line of what was clicked last, and the table, for a page without buttons."""
        fits = faults.suspects(self.sealed.opened)
        narrow = 'style="padding: 4px; font-size: 90%"'
        head = "".join(f"<th {narrow}>{_shy(probe)}</th>" for probe in ("", *KINDS))
        agent = "".join(
            f"<td {narrow}>{self.word(probe) if probe in self.sealed.opened else '?'}</td>"
            for probe in KINDS
        )
        rows = f'<tr><th style="text-align: left">the sealed agent</th>{agent}</tr>'
        for name, fails in self.signs.items():
            pale = "" if name in fits else ' style="opacity: 0.35"'
            cells = "".join(
                f"<td {narrow}>{'✗' if probe in fails else '·'}</td>" for probe in KINDS
            )
            rows += f'<tr{pale}><td style="text-align: left">{html.escape(name)}</td>{cells}</tr>'
        text = (
            f'<p style="margin: 4px 0">{code(self.line)}</p><table class="rlx-asleep" '
            f'style="color: inherit"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
            f"{asleep('To open its cells, run this cell (Shift+Enter).')}"
        )
        return {"text/html": text, "text/plain": self.line}


def _shy(name: str) -> str:
    """A long name, with the place where it may be broken."""
    return f"{name[:-4]}&shy;{name[-4:]}" if len(name) > 8 else name
