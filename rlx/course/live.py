"""`history = await live(algorithm, updates=60)`: train, and see it."""

from __future__ import annotations

import asyncio
import base64
import html
import io
import os
import signal
import threading
import time
from typing import Any

from tqdm.auto import tqdm

from rlx.algos.base import Algorithm
from rlx.bars import shell
from rlx.course.picture import WIDGET, Picture, asleep, bright, svg_curve
from rlx.course.progress import busy
from rlx.course.watch import rendered
from rlx.play.loop import collect, reset
from rlx.seeding import undisturbed
from rlx.training import History, Metrics, iterate

SAVED_IN_BETWEEN = (
    "This is how far training was when the page was saved; ■ ends it, if it still runs. "
    "curves([history]) in a new cell draws all of it; to go on, run this cell again."
)


async def live(
    algorithm: Algorithm, *, x: str = "steps", show: bool = False, **options: Any
) -> History:
    """Train `algorithm` and draw its return as it grows; returns what each update reported.

    `options` are `rlx.iterate`'s: a budget (`updates`, `steps`, `episodes`, `seconds`),
    `stop_return`, `checkpoint` and so on. `x` runs along the axis: "steps", "episodes", "updates"
    or "seconds". `show` adds the newest agent, playing greedily, if its environment can be drawn.

    In a notebook write `await live(…)`: the awaiting is what lets the Stop button through. Stop, or
    ends training after the current update, the kernel's ■ at once; the policy keeps what it has
    learned. In a script, `asyncio.run(live(…))` prints a line of text instead.
    """
    view = (Panel if in_notebook() else Line)(algorithm, options, x, show)
    busy()
    history, how = History(), ""
    updates = iterate(algorithm, **options)
    try:
        while (metrics := _interruptible(next, updates, None)) is not None:
            history.append(metrics)
            await view.update(history)
            if view.stopped:
                how = "Stopped"
                break
    except KeyboardInterrupt:
        how = "Interrupted"
    except asyncio.CancelledError:  # what ipykernel makes of the ■ while this function waits
        how = "Interrupted"
        if (task := asyncio.current_task()).cancelling():  # or something awaited was cancelled
            task.uncancel()
    except Exception:
        how = "Failed"
        raise
    finally:
        view.close(history, how)
        busy()
    return history


def _interruptible(function, *arguments):
    """Call it so that the ■ raises KeyboardInterrupt in it, however long it is busy.

    In a cell that awaits, ipykernel makes a cancellation of the ■, which busy code never hears. Not
    while something is awaited: there the exception would end the kernel's event loop."""
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments)  # signals come to the main thread alone
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return function(*arguments)
    finally:
        signal.signal(signal.SIGINT, before)


def in_notebook() -> bool:
    """Is there a kernel, which can send widgets?"""
    return hasattr(shell(), "kernel")


class View:
    """What the panel and the line of text have in common: the numbers."""

    stopped = False

    def __init__(self, algorithm: Algorithm, options: dict, x: str, show: bool) -> None:
        self.algorithm, self.options, self.x = algorithm, options, x
        self.before = {name: getattr(algorithm, name) for name in algorithm.counters}

    def since(self, name: str, metrics: Metrics) -> float:
        """What a counter has counted since this view was opened."""
        return metrics[name] - self.before[name]

    def fraction(self, metrics: Metrics) -> float:
        """How much of the budget is spent."""
        budgets = [name for name in self.before if self.options.get(name)]
        return min(1.0, max(self.since(name, metrics) / self.options[name] for name in budgets))

    def numbers(self, metrics: Metrics) -> str:
        rate = self.since("steps", metrics) / max(self.since("seconds", metrics), 1e-9)
        mean = metrics["running_return"]
        return (
            f"update {metrics['updates']}, episode {metrics['episodes']}: "
            f"running return {mean:.{1 if abs(mean) >= 10 else 2}f}, {rate:,.0f} steps/s"
        )

    def ending(self, history: History, how: str) -> str:
        if not history:
            return f"{how or 'Nothing to do'} before the first update."
        text = f"{self.numbers(history[-1])}, {self.since('seconds', history[-1]):.1f} s."
        if self.before["updates"]:
            text = f"Gone on from update {self.before['updates']}: {text}"
        if how == "Failed":
            text += " The next update failed."
        elif how:
            text += f" {how}: the policy keeps what it has learned, and live(…) with the same "
            text += "algorithm goes on from here."
        return text


class Line(View):
    """For a terminal: tqdm's bar."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.bar = tqdm(total=self.options.get("updates"), unit="update", mininterval=0.5)

    async def update(self, history: History) -> None:
        self.bar.set_description_str(self.numbers(history[-1]), refresh=False)
        self.bar.update()
        await asyncio.sleep(0)  # else asyncio would not hear Ctrl-C

    def close(self, history: History, how: str) -> None:
        self.bar.close()
        if how:
            tqdm.write(self.ending(history, how))


class Panel(View):
    """For a notebook: a Stop button, a bar and the numbers; beneath them the curve, as a picture.

    All is drawn between two updates, on the main thread; all that the button does is set a flag.
    Drawing takes a twentieth of the run, as much again goes into listening to the button.
    Only the upper line is a widget, and gives way to a sentence at the end: the picture is saved
    with the notebook, whenever that happens."""

    def __init__(self, algorithm: Algorithm, options: dict, x: str, show: bool) -> None:
        super().__init__(algorithm, options, x, show)
        import ipywidgets as widgets
        from IPython.display import display

        self.button = widgets.Button(description="Stop", icon="stop")
        self.button.on_click(self.stop)
        self.bar = widgets.FloatProgress(max=1.0, layout=widgets.Layout(width="160px"))
        self.text = widgets.HTML()
        self.box = widgets.HBox(
            [self.button, self.bar, self.text], layout=widgets.Layout(flex_flow="row wrap")
        )
        self.playing = Playing(algorithm) if show else None
        view = self.box._repr_mimebundle_()[WIDGET]
        plain = "[training goes on]"
        self.head = display({WIDGET: view, "text/plain": plain}, raw=True, display_id=True)
        self.place = display({"text/plain": ""}, raw=True, display_id=True)
        self.quiet = "PYTEST_VERSION" in os.environ  # nbval: nobody is looking
        self.drawing = 0.0  # seconds that it has taken
        self.next_drawing = self.next_listening = 0.0

    def stop(self, _button) -> None:
        self.stopped = True
        self.button.description, self.button.disabled = "Stopping", True

    async def update(self, history: History) -> None:
        began = time.perf_counter()
        if began >= self.next_drawing and not self.quiet:
            self.draw(history)
            took = time.perf_counter() - began
            self.drawing += took
            self.next_drawing = began + max(0.1, 20 * took)
        if began >= self.next_listening:
            for _ in range(5):  # a click takes several turns of the event loop to arrive
                await asyncio.sleep(0.002)
            self.next_listening = time.perf_counter() + 0.2

    def draw(self, history: History) -> None:
        self.bar.value = self.fraction(history[-1])
        self.text.value = self.numbers(history[-1])
        curve = self.picture(history, self.numbers(history[-1]))._repr_html_()
        beside = f'<div style="flex: 1 1 380px; max-width: 620px">{curve}</div>'
        if self.playing:
            encoded = base64.b64encode(self.playing.frame()).decode()
            turned = " rlx-bright" if self.playing.bright else ""
            beside += (
                f'<img class="newest{turned}" decoding="sync" alt="the newest agent, playing" '
                'width="240" '
                f'style="align-self: start" src="data:image/jpeg;base64,{encoded}">'
            )
        beside = f'<div style="display: flex; flex-wrap: wrap; gap: 12px">{beside}</div>'
        shown = {"text/html": beside + asleep(SAVED_IN_BETWEEN), "text/plain": "[a curve]"}
        self.place.update(shown, raw=True)

    def picture(self, history: History, text: str) -> Picture:
        x_label = self.x.replace("steps", "environment steps")
        mean = f"mean of the last {self.algorithm.recent.maxlen} episodes"
        svg = svg_curve(
            history[self.x],
            history["return"],
            history["running_return"],
            labels=(x_label, "return", "mean of one update", mean),
            goal=self.options.get("stop_return"),
        )
        return Picture(svg, f"Return while training, against {self.x}. {text}")

    def close(self, history: History, how: str) -> None:
        text = self.ending(history, how)
        self.head.update(
            {"text/html": f"<div>{html.escape(text)}</div>", "text/plain": text}, raw=True
        )
        self.place.update(self.picture(history, text).bundle(), raw=True)
        self.box.close()
        if self.playing:
            self.playing.envs.env.close()


class Playing:
    """The newest policy in an environment of its own, a few steps from one picture to the next."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.policy, self.carry, self.bright = algorithm.policy, None, False
        self.envs = rendered(algorithm.agent).envs

    def frame(self, steps: int = 4) -> bytes:
        from PIL import Image

        # Greedy, and with the random numbers put back: watching must not change what is learned.
        with undisturbed():
            self.carry = self.carry or reset(self.envs, seed=0)
            _, self.carry = collect(
                self.envs, self.policy, self.carry, steps, dry=True, greedy=True
            )
        frame = self.envs.env.render()
        picture, self.bright = Image.fromarray(frame), bright(frame)
        picture.thumbnail((240, 240))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG")
        return buffer.getvalue()
