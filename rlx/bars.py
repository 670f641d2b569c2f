"""Progress bars: tqdm's. In a notebook they are HTML, which is saved with it and can be read
without a kernel; tqdm's own are widgets there, and dead once their kernel is gone."""

from __future__ import annotations

import html
import io
import uuid
from collections.abc import Callable
from typing import Any

from tqdm.std import tqdm


def shell() -> Any | None:
    """The IPython shell that we run in; None elsewhere. In a notebook it has a `kernel`."""
    try:
        return get_ipython()  # a name that IPython adds to Python's own
    except NameError:
        return None


def bar(**options: Any) -> tqdm:
    """A progress bar that fits where we are. `options` are tqdm's."""
    here = shell()
    if not hasattr(here, "kernel"):
        return tqdm(**options)
    return Page(here.display_pub.publish, **options)


class Page(tqdm):
    """A bar that a notebook displays, and then displays anew in the same place.

    `publish`: the `display_pub.publish` of IPython's shell."""

    def __init__(self, publish: Callable, **options: Any) -> None:
        self.publish, self.place = publish, {"display_id": uuid.uuid4().hex}
        self.shown = False
        super().__init__(file=io.StringIO(), **options)  # nothing is printed

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        text = self.text()
        size = f'value="{self.n}" max="{self.total or self.n or 1}"'
        drawn = f'<progress aria-label="{html.escape(self.unit)}s done" {size}></progress>'
        line = f'<div class="rlx-bar">{drawn} {html.escape(text)}</div>'
        data = {"text/html": line, "text/plain": text}
        self.publish(data=data, transient=self.place, update=self.shown)
        self.shown = True

    def text(self) -> str:
        """Such as `3 of 10 seeds, 00:02, 00:05 to go`."""
        parts = ["{n_fmt}" + (" of {total_fmt}" if self.total else "") + " {unit}s", "{elapsed}"]
        if self.initial < self.n < (self.total or 0):
            parts.append("{remaining} to go")
        how = ", ".join(parts) + "{postfix}"
        return self.format_meter(**{**self.format_dict, "bar_format": how})
