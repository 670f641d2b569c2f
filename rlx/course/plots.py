"""Pictures of several runs, and pictures with a slider."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import numpy as np
from matplotlib.figure import Figure

from rlx import stats
from rlx.course.picture import COLOURS, WIDGET, Picture, asleep, ink_on
from rlx.course.progress import busy
from rlx.training import History


def curves(
    runs: Sequence[History] | Mapping[str, Sequence[History]],
    *,
    x: str = "steps",
    y: str = "running_return",
    title: str = "",
) -> Picture:
    """Several seeds of one method, or of each method in a dict, as a mean with a 95 % interval.

    `runs` are what `live` or `rlx.train` returned, one for each seed: the thin lines. The thick one
    is their interquartile mean. It ends where the first seed ends: beyond, it would be of fewer.
    """
    methods = runs if isinstance(runs, Mapping) else {"": runs}
    figure = Figure(figsize=(6.2, 3.0), dpi=100, layout="constrained")
    ax = figure.subplots()
    said = []
    for colour, (name, histories) in zip(COLOURS * 9, methods.items()):
        seeds = [_finite(history[x], history[y]) for history in histories]
        first, last = max(s[0][0] for s in seeds), min(s[0][-1] for s in seeds)
        grid = np.linspace(first, last, 100)
        values = np.stack([np.interp(grid, *seed) for seed in seeds])
        for seed in seeds:
            ax.plot(*seed, color=colour, alpha=0.3, lw=0.8)
        mean = stats.interquartile_mean(values)
        ax.plot(grid, mean, color=colour, lw=2.2, label=name or None)
        text = f"{name or 'mean'} ends at {mean[-1]:.3g}"
        if len(seeds) > 1:
            low, high = stats.bootstrap_interval(values)
            ax.fill_between(grid, low, high, color=colour, alpha=0.2, lw=0)
            text += f" (95 % interval {low[-1]:.3g} to {high[-1]:.3g}, {len(seeds)} seeds)"
        said.append(text)
    y_label = "return, last 100 episodes" if y == "running_return" else y.replace("_", " ")
    ax.set(xlabel=x.replace("steps", "environment steps"), ylabel=y_label, title=title)
    seconds = sum(history["seconds"][-1] for histories in methods.values() for history in histories)
    if np.isfinite(seconds):
        long = f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"
        ax.set_title(f"{long} s of training", loc="right", fontsize=9, color="0.4")
    ax.spines[["top", "right"]].set_visible(False)
    if isinstance(runs, Mapping):
        ax.legend(frameon=False)
    return Picture(figure, f"{y.replace('_', ' ')} against {x}: {'; '.join(said)}")


def comparison(
    methods: Mapping[str, Sequence[float]], goal: float | None = None, xlabel: str = "return"
) -> Picture:
    """Methods by one value a seed (`Runs.last()`, say): what `rlx.stats.compare` prints, drawn.

    Left, every seed, the mean of the middle half with its 95 % interval, and how many seeds reach
    `goal`, with Wilson's interval of that share. Right, the interval of the difference from the
    first method: if 0 is outside, they differ."""
    figure = Figure(figsize=(6.2, 1.1 + 0.5 * len(methods)), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
    names, said, first = [], [], None
    for k, (colour, (name, values)) in enumerate(zip(COLOURS * 9, methods.items())):
        values = np.asarray(values, dtype=float)
        # Not all on one line, so that equal results can be counted; always the same way.
        aside = 0.3 * (np.random.default_rng(0).permutation(len(values)) / len(values) - 0.5)
        left.plot(values, k + aside, "o", color=colour, alpha=0.5, ms=5, mew=0)
        mean, (low, high) = stats.interquartile_mean(values), stats.bootstrap_interval(values)
        _interval(left, k, mean, low, high, colour)
        names.append(name)
        said.append(f"{name}: {mean:.4g} [{low:.4g}, {high:.4g}]")
        if goal is not None:
            reached = int((values >= goal).sum())
            share = "[{:.2f}, {:.2f}]".format(*stats.wilson(reached, len(values)))
            names[-1] += f"\n{reached} of {len(values)} {share}"
            said[-1] += f", {reached} of {len(values)} reach {goal:g} {share}"
        if first is None:
            first, its_mean = values, mean
        else:
            low, high = stats.difference_interval(values, first)
            _interval(right, k, mean - its_mean, low, high, colour)
            says = f"{low:+.3g} to {high:+.3g}"
            right.annotate(says, ((low + high) / 2, k), (0, 8), ha="center", fontsize=8,
                           textcoords="offset points")  # fmt: skip
            found = "a difference" if low > 0 or high < 0 else "no difference found"
            said[-1] += f", less the first {says}: {found}"
    if goal is not None:
        left.axvline(goal, color="0.6", ls="--", lw=1)
    right.axvline(0, color="0.6", lw=1)
    left.set(xlabel=xlabel, ylim=(len(methods) - 0.4, -0.6))
    left.set_yticks(range(len(methods)), names)
    right.set(xlabel="difference from the first")
    right.tick_params(left=False, labelleft=False)
    left.spines[["top", "right"]].set_visible(False)
    right.spines[["top", "right", "left"]].set_visible(False)
    right.margins(x=0.1)
    return Picture(figure, "; ".join(said))


def _interval(ax, y: float, mean: float, low: float, high: float, colour: str) -> None:
    ax.plot([low, high], [y, y], color=colour, lw=2.5)
    ax.plot(mean, y, "D", color=colour, ms=7)


def _finite(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(y)
    if not known.any():
        raise ValueError("a run has nothing to draw: no episode ended in it")
    return x[known], y[known]


class Knob:
    """A picture with sliders: `draw(**values)` makes it, and makes it again while one is moved.

        Knob(draw, gamma=(0.0, 0.99, 0.01, 0.9))      # lowest, highest, step, where it begins
        Knob(left, right, gamma=(0.0, 0.99, 0.01, 0.9), n=(1, 9, 1, 3))

    Several pictures stand side by side, or below each other where that is too wide. Each is given
    the values that it has parameters for, and is drawn again only when one of those moves. Every
    one is a `Picture`. The newest ones stay in the saved notebook, without a kernel."""

    def __init__(
        self, *draws: Callable[..., Picture], **ranges: tuple[float, float, float, float]
    ) -> None:
        import ipywidgets as widgets

        self.draws = {draw: _parameters(draw, ranges) for draw in draws}
        self.sliders, self.digits, self.place = {}, {}, None
        # What was moved to once costs nothing again.
        self.drawn: dict[tuple, tuple[str, str]] = {}
        for name, (low, high, step, start) in ranges.items():
            whole = all(isinstance(number, int) for number in (low, high, step, start))
            self.digits[name] = max(map(decimals, (low, step, start)))
            how = {} if whole else {"readout_format": f".{self.digits[name]}f"}
            self.sliders[name] = (widgets.IntSlider if whole else widgets.FloatSlider)(
                min=low, max=high, step=step, value=start, description=name, **how,
                layout=widgets.Layout(width="480px", max_width="98%"),
            )  # fmt: skip
            self.sliders[name].observe(self.redraw, "value")
        self.box = widgets.VBox([*self.sliders.values()])
        self.box.add_class("rlx-knob")

    def shown(self) -> dict[str, str]:
        """The bundle that belongs to the sliders as they stand now."""
        # Three steps of 0.1 are not 0.3 to a computer, but to whoever reads the slider.
        values = {
            name: round(slider.value, self.digits[name]) if self.digits[name] else slider.value
            for name, slider in self.sliders.items()
        }
        shown = [self.picture(draw, values) for draw in self.draws]
        pictures = "".join(html for html, _ in shown)
        if len(shown) > 1:
            parts = "".join(f'<div style="{SHARE}">{html}</div>' for html, _ in shown)
            pictures = f'<div style="display: flex; flex-wrap: wrap; gap: 8px">{parts}</div>'
        line = asleep(f"To move {', '.join(self.sliders)}, run this cell (Shift+Enter).")
        return {
            "text/html": pictures + line + NAMED,
            "text/plain": " ".join(text for _, text in shown),
        }

    def picture(self, draw: Callable[..., Picture], values: dict[str, float]) -> tuple[str, str]:
        """What it draws for those of the values that it asks for, as HTML and as text."""
        taken = {name: values[name] for name in self.draws[draw]}
        key = (draw, *taken.values())
        if key not in self.drawn:
            bundle = draw(**taken).bundle()
            self.drawn[key] = bundle["text/html"], bundle["text/plain"]
        return self.drawn[key]

    def redraw(self, _change=None) -> None:
        busy()
        if self.place is not None:
            self.place.update(self.shown(), raw=True)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        sliders = self.box._repr_mimebundle_()[WIDGET]
        display({WIDGET: sliders, "text/plain": f"[sliders: {', '.join(self.sliders)}]"}, raw=True)
        self.place = display(self.shown(), raw=True, display_id=True)


# ipywidgets has no name for a slider's handle that a screen reader could say. The handles may come
# after the picture.
NAMED = """<script>
for (const wait of [0, 300, 2000]) setTimeout(() => {
  for (const handle of document.querySelectorAll('.rlx-knob .noUi-handle')) {
    const label = handle.closest('.widget-slider').querySelector('.widget-label');
    handle.setAttribute('aria-label', label.textContent);
  }
}, wait);
</script>"""
# Two pictures beside each other, down to a width at which their text can still be read.
SHARE = "flex: 1 1 360px; max-width: 620px"


def _parameters(draw: Callable[..., Picture], ranges: Mapping[str, tuple]) -> list[str]:
    """The sliders that a function of a Knob is given: all of them, if it takes any keyword."""
    asked = inspect.signature(draw).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in asked):
        return list(ranges)
    names = [one.name for one in asked if one.name in ranges]
    missing = [one.name for one in asked if one.default is one.empty and one.name not in ranges]
    if missing:
        raise TypeError(f"{draw.__name__} asks for {missing[0]}, and no slider is named so")
    return names


def decimals(number: float) -> int:
    """How many digits it has after the point."""
    return max(0, -Decimal(str(float(number))).normalize().as_tuple().exponent)


def axes(height: float = 2.6, **labels):
    """Empty axes of a notebook's width. `labels`: xlabel, ylabel, title and so on."""
    ax = Figure(figsize=(6.2, height), dpi=100, layout="constrained").subplots()
    ax.set(**labels)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def lines(
    series: Mapping[str, Sequence[float]],
    *,
    alt: str,
    dots: Mapping[str, int] | None = None,
    dotted: Sequence[int] = (),
    shaded: Sequence[tuple[float, float]] = (),
    **labels: str,
) -> Picture:
    """Each series as a line over 0, 1, 2, …, with its name; none for an empty name.

    One of shape (seeds, places) becomes a thin line for each seed, and a thick one, their mean.
    `dots` names points of the first series; `dotted` are places of vertical lines; `shaded` ranges
    of y. `alt` says what is to be seen."""
    ax = axes(**labels)
    for (name, values), colour in zip(series.items(), COLOURS):
        seeds = np.atleast_2d(values)
        if len(seeds) > 1:
            ax.plot(seeds.T, color=colour, lw=0.8, alpha=0.3)
        ax.plot(seeds.mean(axis=0), ".-", color=colour, lw=len(seeds) ** 0.3, label=name or None)
    ax.xaxis.get_major_locator().set_params(integer=True)
    first = next(iter(series.values()))
    for (name, place), colour in zip((dots or {}).items(), COLOURS[3:]):
        ax.plot(place, first[place], "o", color=colour, markersize=9, label=name)
    for place in dotted:
        ax.axvline(place, color="0.6", linestyle=":")
    for low, high in shaded:
        ax.axhspan(low, high, color=COLOURS[3], alpha=0.25, lw=0)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    return Picture(ax.figure, alt)


def bars(series: Mapping[str, Sequence[float]], *, alt: str, **labels) -> Picture:
    """Each series as bars over 0, 1, 2, …, one in front of the other."""
    ax = axes(**labels)
    for (name, values), colour in zip(series.items(), COLOURS):
        ax.bar(range(len(values)), values, color=colour, label=name)
    ax.legend(frameon=False)
    return Picture(ax.figure, alt)


def rectangle(numbers, *, alt: str, **labels: str) -> Picture:
    """A table of numbers (rows, columns), as a rectangle: the larger, the darker."""
    ax = axes(**labels)
    ax.imshow(numbers, aspect="auto", cmap="Blues", vmin=0, interpolation="none")
    return Picture(ax.figure, alt)


def strip(
    end: Sequence[bool],
    numbers: Sequence[float],
    title: str,
    kept: Sequence[bool] | None = None,
) -> Picture:
    """A table of steps: a box with its number for each row, a colour for each episode.

    End rows are white; rows that are not `kept` are pale."""
    ax, episode = axes(1.2, xlabel="row", yticks=[], ylim=(0, 1), title=title), 0
    for i, (last, number) in enumerate(zip(end, numbers)):
        colour, alpha = COLOURS[episode % 5], 1.0 if kept is None or kept[i] else 0.15
        face = "white" if last else colour
        ink = "black" if last or alpha < 1 else ink_on(face)
        ax.bar(i, 1, width=0.85, color=face, edgecolor=colour, linewidth=2, alpha=alpha)
        ax.annotate(f"{number:.3g}", (i, 0.5), ha="center", va="center", color=ink, fontsize=8)
        episode += bool(last)
    ax.set_xticks(range(len(numbers)))
    ax.spines[:].set_visible(False)
    return Picture(ax.figure, f"{title}: rows of {episode} episodes")


def ring(
    episode: Sequence[int],
    end: Sequence[bool],
    rows: Sequence[int],
    lengths: Sequence[int],
    newest: int,
) -> Picture:
    """A replay as a ring: a box for each row, clockwise from row 0 at the top, with a colour for
    each `episode`, or none for -1; end rows are white. Windows of `lengths` lie inside, as arcs
    over their `rows`, which stand back to back. The newest row is marked."""
    figure = Figure(figsize=(4.6, 4.2), dpi=100, layout="constrained")
    ax = figure.add_subplot(projection="polar", theta_offset=np.pi / 2, theta_direction=-1)
    ax.set_axis_off()
    width = 2 * np.pi / len(end)
    for row, (number, last) in enumerate(zip(map(int, episode), end)):
        colour = COLOURS[number % 5] if number >= 0 else "0.6"
        how = {"color": "none" if last or number < 0 else colour, "edgecolor": colour, "lw": 1.5}
        ax.bar(row * width, 1.6, 0.86 * width, 6, **how)
        ax.text(row * width, 8.3, str(row), ha="center", va="center", fontsize=8)
    ax.text(newest * width, 9.4, "newest", ha="center", va="center", fontsize=8)
    at = 0
    for level, length in enumerate(map(int, lengths)):
        angles = (int(rows[at]) + np.linspace(-0.3, length - 0.7, 60)) * width
        ax.plot(angles, np.full(60, 5.3 - 0.8 * level), lw=4, color=COLOURS[6])
        at += length
    said = ", ".join(str(int(n)) for n in lengths)
    return Picture(figure, f"A ring of {len(end)} rows, and windows of {said} rows in it")


def cross_play(names: Sequence[str], rates, ratings: Sequence[float], title: str = "") -> Picture:
    """Everyone against everyone, beside one number for each.

    `rates` (K, K): the row's win rate against the column, blue above a half and red below; the
    diagonal is left out. `ratings` (K,), Elo's, are drawn as bars on the right."""
    rates, ratings, size = np.asarray(rates), np.asarray(ratings), len(names)
    figure = Figure(figsize=(6.2, 1.3 + 0.36 * size), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    shown = np.ma.masked_array(rates, np.eye(size, dtype=bool))
    image = left.imshow(shown, cmap="RdBu", vmin=0, vmax=1, aspect="auto", interpolation="none")
    for i, j in np.argwhere(~np.eye(size, dtype=bool)):
        ink = ink_on(image.to_rgba(rates[i, j]))
        left.annotate(f"{rates[i, j]:.2f}", (j, i), ha="center", va="center", color=ink, fontsize=8)
    left.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
    left.set_yticks(range(size), names)
    left.set(xlabel="against", title=title)
    left.spines[:].set_visible(False)
    left.tick_params(length=0)
    right.barh(range(size), ratings, color=COLOURS[0], height=0.6)
    right.axvline(0, color="0.6", lw=1)
    widest = max(100.0, 1.15 * np.abs(ratings).max())
    right.set(xlabel="Elo", xlim=(-widest, widest))
    right.tick_params(left=False, labelleft=False)
    right.spines[["top", "right", "left"]].set_visible(False)
    said = ", ".join(f"{name} {rating:+.0f}" for name, rating in zip(names, ratings))
    return Picture(figure, f"Win rates of each against each, beside Elo: {said}")
