"""Pictures of several runs, and pictures with a slider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from rlx.course.picture import COLOURS, Picture
from rlx.stats import bootstrap_interval, interquartile_mean
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
        mean = interquartile_mean(values)
        ax.plot(grid, mean, color=colour, lw=2.2, label=name or None)
        text = f"{name or 'mean'} ends at {mean[-1]:.3g}"
        if len(seeds) > 1:
            low, high = bootstrap_interval(values)
            ax.fill_between(grid, low, high, color=colour, alpha=0.2, lw=0)
            text += f" (95 % interval {low[-1]:.3g} to {high[-1]:.3g}, {len(seeds)} seeds)"
        said.append(text)
    y_label = "return, last 100 episodes" if y == "running_return" else y.replace("_", " ")
    ax.set(xlabel=x.replace("steps", "environment steps"), ylabel=y_label, title=title)
    seconds = sum(history["seconds"][-1] for histories in methods.values() for history in histories)
    if np.isfinite(seconds):
        ax.set_title(f"{seconds:.0f} s of training", loc="right", fontsize=9, color="0.4")
    ax.spines[["top", "right"]].set_visible(False)
    if isinstance(runs, Mapping):
        ax.legend(frameon=False)
    return Picture(figure, f"{y.replace('_', ' ')} against {x}: {'; '.join(said)}")


def _finite(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(y)
    if not known.any():
        raise ValueError("a run has nothing to draw: no episode ended in it")
    return x[known], y[known]


class Knob:
    """A picture with sliders: `draw(**values)` makes it, and makes it again when one is moved.

        Knob(draw, gamma=(0.0, 0.99, 0.01, 0.9))      # lowest, highest, step, where it begins

    `draw` returns a `Picture`. The first one stays in the saved notebook, where there is no kernel.
    """

    def __init__(self, draw: Callable[..., Picture], **ranges: tuple[float, float, float, float]):
        import ipywidgets as widgets

        self.draw, self.sliders, self.shown = draw, {}, widgets.HTML()
        for name, (low, high, step, start) in ranges.items():
            whole = all(isinstance(number, int) for number in (low, high, step, start))
            self.sliders[name] = (widgets.IntSlider if whole else widgets.FloatSlider)(
                min=low, max=high, step=step, value=start, description=name,
                continuous_update=False, layout=widgets.Layout(width="480px"),
            )  # fmt: skip
            self.sliders[name].observe(self.redraw, "value")
        self.box = widgets.VBox([*self.sliders.values(), self.shown])

    def redraw(self, _change=None) -> Picture:
        picture = self.draw(**{name: slider.value for name, slider in self.sliders.items()})
        self.shown.value = picture._repr_html_()
        return picture

    def _repr_mimebundle_(self, **_options) -> dict[str, object]:
        first = self.redraw()
        widget = self.box._repr_mimebundle_()
        return {**widget, "text/html": first._repr_html_(), "text/plain": repr(first)}
