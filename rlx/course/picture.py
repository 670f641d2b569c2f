"""Pictures that say in words what they show, and a small curve that is drawn in a millisecond."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence

import numpy as np

# After Okabe and Ito, whose colours nearly everybody can tell apart; darker, so that they hold on
# white (3 to 1 at least, the ink 5) and on black.
COLOURS = ["#0072B2", "#C77700", "#00815E", "#C54A00", "#2C9BD6", "#B85F90", "#6A6A6A"]
INK = COLOURS[-1]
# Pictures have no ground of their own. On a dark page they are turned light; where a page drops
# styles, the colours above can be read on either.
DARK = '[data-jp-theme-light="false"], [data-theme="dark"], .vscode-dark'
# In a narrow window JupyterLab breaks what is printed in the middle of words, and so of tables:
# there it is made smaller, and what is still too wide can be scrolled.
STYLE = f"""<style>
:is({DARK}) :is(.rlx-plot, .rlx-bright) {{filter: invert(1) hue-rotate(180deg)}}
@media (max-width: 1000px) {{.jp-OutputArea-output pre {{
font-size: calc(0.8 * var(--jp-code-font-size)) !important; word-break: normal;
white-space: pre; overflow-x: auto}}}}</style>"""
# What stands beside widgets is saved with the notebook, and stays when they have no kernel: then
# the widgets' place is hidden, and `asleep` says how to get them back.
WIDGET = "application/vnd.jupyter.widget-view+json"
AWAKE = """<style>
.jp-OutputArea-child:has(+ .jp-OutputArea-child .rlx-asleep):not(:has(.widget-box)),
.jp-OutputArea:has(.widget-box) .rlx-asleep {display: none}</style>"""


class Picture:
    """A matplotlib figure, or the text of an SVG, and `alt`: what it shows, in words.

    A notebook shows it, and keeps it, as one image: an `<img>`, because JupyterLab drops the
    alternative text of a plain PNG. No pyplot: nothing is drawn twice, nothing has to be closed.
    """

    def __init__(self, drawn, alt: str) -> None:
        self.drawn, self.alt = drawn, alt

    def _repr_html_(self) -> str:
        if isinstance(self.drawn, str):
            kind, data = "svg+xml", self.drawn.encode()
        else:
            clear(self.drawn)
            kind, data = "png", png(self.drawn)
        return image(data, kind, self.alt)

    def __repr__(self) -> str:
        return f"[picture: {self.alt}]"

    def bundle(self, more: str = "") -> dict[str, str]:
        """What a notebook displays, `more` HTML beneath it."""
        return {"text/html": self._repr_html_() + more, "text/plain": repr(self)}


def png(figure) -> bytes:
    """A matplotlib figure without a ground. `savefig` does it as well, but draws it twice for the
    sake of its layout, which takes too long while a slider is moved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    for part in (figure, *figure.axes):
        part.patch.set_visible(False)
    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).save(buffer, "png", compress_level=3)
    return buffer.getvalue()


def asleep(text: str) -> str:
    """A line to be read where the widgets beside it have died, and hidden where they live."""
    return f'<p class="rlx-asleep" style="margin: 4px 0"><em>{html.escape(text)}</em></p>{AWAKE}'


def image(data: bytes, kind: str, alt: str) -> str:
    """An `<img>` that carries its own data."""
    encoded = base64.b64encode(data).decode()
    # sync: else a picture that takes another's place would flash
    style = 'class="rlx-plot" decoding="sync" style="max-width: 100%"'
    return f'<img alt="{html.escape(alt)}" {style} src="data:image/{kind};base64,{encoded}">{STYLE}'


def clear(figure) -> None:
    """Give ink to what matplotlib draws in black, and no ground to legends."""
    from matplotlib.colors import to_rgba
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.spines import Spine
    from matplotlib.text import Text

    for ax in figure.axes:
        ax.tick_params(which="both", color=INK)
    for part in figure.findobj():
        if isinstance(part, (Text, Line2D)) and to_rgba(part.get_color())[:3] == (0, 0, 0):
            part.set_color(INK)
        elif isinstance(part, Spine) and to_rgba(part.get_edgecolor())[:3] == (0, 0, 0):
            part.set_edgecolor(INK)
        elif isinstance(part, Legend):
            part.get_frame().set_facecolor("none")


def bright(frame) -> bool:
    """Is an environment's picture, (height, width, 3), mostly white? Then it is turned, too, on a
    dark page."""
    return bool(np.median(frame) > 240)


def ink_on(ground) -> str:
    """White or (nearly) black, whichever can be read on a colour: with 4.5 to 1 at least.

    Not quite black, which `clear` would take for a colour that nobody has chosen."""
    from matplotlib.colors import to_rgb

    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(ground)]
    # The relative luminance of WCAG 2; from 0.18 on black contrasts more than white.
    return "#010101" if np.dot(light, (0.2126, 0.7152, 0.0722)) > 0.18 else "white"


def ticks(low: float, high: float, most: int = 5) -> np.ndarray:
    """At most about `most` round numbers between `low` and `high`."""
    rough = max(high - low, 1e-9) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough * 0.999)
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step


def svg_curve(
    x: Sequence[float],
    dots: Sequence[float],
    line: Sequence[float],
    *,
    labels: tuple[str, str, str, str],
    goal: float | None = None,
    size: tuple[int, int] = (620, 270),
) -> str:
    """Pale `dots` and a `line` over `x`, as SVG. `labels` are those of x, y, dots and line.

    matplotlib takes a hundred times as long, which matters while training runs beside it."""
    width, height = size
    left, right, top, bottom = 62, width - 24, 30, height - 46
    x, dots, line = (np.asarray(values, dtype=float) for values in (x, dots, line))
    if len(x) > 400:  # no more than there are pixels to show them
        keep = np.linspace(0, len(x) - 1, 400).astype(int)
        x, dots, line = x[keep], dots[keep], line[keep]
    heights = np.concatenate([dots, line, [goal if goal is not None else np.nan]])
    heights = heights[np.isfinite(heights)]
    low, high = min(0.0, heights.min(initial=0)), max(0.0, heights.max(initial=0))
    margin = 0.06 * (high - low or 1)
    low, high = low - margin * (low < 0), high + margin
    far = float(x[-1]) * 1.02 if len(x) else 1.0

    def across(value):
        return left + (right - left) * value / far

    def up(value):
        return bottom - (bottom - top) * (value - low) / (high - low)

    parts = []
    for y in ticks(low, high):
        parts.append(f'<path d="M{left} {up(y):.1f}H{right}" stroke="#888" stroke-opacity="0.3"/>')
        parts.append(f'<text x="{left - 6}" y="{up(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for tick in ticks(0, far):
        text = f"{tick:,.0f}" if far > 5 else f"{tick:g}"
        parts.append(
            f'<text x="{across(tick):.1f}" y="{bottom + 17}" text-anchor="middle">{text}</text>'
        )
    if goal is not None:
        parts.append(
            f'<path d="M{left} {up(goal):.1f}H{right}" stroke="{COLOURS[2]}" '
            'stroke-dasharray="6 4"/>'
            f'<text x="{left + 4}" y="{up(goal) - 5:.1f}" fill="{COLOURS[2]}">goal {goal:g}</text>'
        )
    parts += [
        f'<circle cx="{across(a):.1f}" cy="{up(b):.1f}" r="2.5" fill="{COLOURS[1]}" '
        'fill-opacity="0.8"/>'
        for a, b in zip(x, dots)
        if np.isfinite(b)
    ]
    points = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in zip(x, line) if np.isfinite(b))
    parts.append(
        f'<polyline points="{points}" fill="none" stroke="{COLOURS[0]}" stroke-width="2.5"/>'
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{INK}"/>'
    )
    x_label, y_label, dots_label, line_label = map(html.escape, labels)
    middle = (top + bottom) / 2
    parts.append(
        f'<text x="{(left + right) / 2}" y="{height - 8}" text-anchor="middle">{x_label}</text>'
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">'
        f"{y_label}</text>"
        f'<circle cx="{left + 8}" cy="14" r="3" fill="{COLOURS[1]}"/>'
        f'<text x="{left + 18}" y="18">{dots_label}</text>'
        f'<path d="M{left + 218} 14h22" stroke="{COLOURS[0]}" stroke-width="2.5"/>'
        f'<text x="{left + 246}" y="18">{line_label}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" fill="{INK}">'
        + "".join(parts)
        + "</svg>"
    )
