"""A throw-away JupyterLab, and a page on which a test does what a learner does with a notebook."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {
        "windowingMode": "none",  # keep cells in the document that are scrolled out of sight
        "scrollPastEnd": False,  # no empty half page in a screenshot
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


@contextmanager
def jupyterlab(start, root, state):
    """Run `start(options)`, the words of a command that starts JupyterLab, in `root`.

    Yields the address: a free port of this machine, without a token. Settings and logs go to
    `state`; the user's own Jupyter settings are neither read nor written.
    """
    config = state / "config/labconfig"
    config.mkdir(parents=True)
    (config / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    # Code may skip its drawing under pytest, but these tests are about what a learner sees.
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    environment.pop("JUPYTER_TOKEN", None)
    environment["PATH"] = os.pathsep.join([f"{sys.prefix}/bin", environment["PATH"]])
    for variable in [
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR",
    ]:
        environment[variable] = str(state / variable.split("_")[1].lower())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = f"--no-browser --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0"
    options += " --IdentityProvider.token= --ServerApp.disable_check_xsrf=True"
    options += " --LabApp.expose_app_in_browser=True"
    log = state / "jupyterlab.log"
    with open(log, "w") as output:
        server = subprocess.Popen(
            start(options),
            cwd=root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for pytest: JupyterLab would only ask back
        )
    try:
        wait_for(f"{address}/api/status", server, log)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # make waits for JupyterLab, which ends its kernels
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)  # the kernels notice that it is gone
            server.wait()


def wait_for(url, server, log, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                said = log.read_text()[-3000:]
                raise RuntimeError(f"JupyterLab did not start:\n{said}") from None
            time.sleep(0.1)


PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"
# JupyterLab shows an exception as it shows stderr, in a cell's own output and inside a widget's.
ERRORS = '[data-mime-type="application/vnd.jupyter.stderr"], .jupyter-widgets-error-widget'

# The page shows "idle" before the kernel is connected, and drops a Run All at that moment silently.
CONNECTED = """async () => {
  const panel = window.jupyterapp && window.jupyterapp.shell.currentWidget;
  if (!panel || !panel.sessionContext || !panel.content.model) return false;
  await Promise.all([panel.context.ready, panel.revealed, panel.sessionContext.ready]);
  const kernel = panel.sessionContext.session && panel.sessionContext.session.kernel;
  if (!kernel) return false;
  await kernel.info;
  return kernel.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
NO_CELL_WAITS = """selector => {
  const prompts = [...document.querySelectorAll(selector + ' .jp-InputArea-prompt')];
  return prompts.length > 0 && !prompts.some(prompt => prompt.textContent.includes('*'));
}"""
ARRIVED = """path => {
  const { context } = window.jupyterapp.shell.currentWidget || {};
  return context && context.path === path && context.isReady;
}"""
CLOSE_ALL = """async () => {
  await window.jupyterapp.commands.execute('application:close-all');
  await window.jupyterapp.serviceManager.sessions.shutdownAll();
}"""
SAVE = "() => window.jupyterapp.shell.currentWidget.context.save()"
# Nothing here waits for the promise: that of a run-… command resolves when the cells have finished.
COMMAND = "([name, options]) => { window.jupyterapp.commands.execute(name, options); }"


class NotebookPage:
    """A notebook open in JupyterLab. `page` is Playwright's, `panel` the notebook's part of it."""

    def __init__(self, page, url):
        self.page = page
        self.panel = page.locator(PANEL)
        page.goto(url)  # never with ?reset: it ends the kernel that has just been started
        self.wait_until_open()
        self.wait_until_idle(60)

    def wait_until_open(self):
        self.page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)
        self.page.wait_for_selector(f"{PANEL} .jp-Notebook .jp-Cell", timeout=60_000)

    def turn_to(self, path):
        """Open another notebook in the same page."""
        self.command("docmanager:open", path=path)
        self.page.wait_for_function(ARRIVED, arg=path, timeout=60_000)
        self.wait_until_open()
        self.wait_until_idle(60)

    def close_all(self):
        """Close every notebook of the page, and end the server's kernels."""
        self.page.evaluate(CLOSE_ALL)

    def reopen(self, without_kernel=False, save=True):
        """Save, close the tab, and open the notebook once more, as a browser does with F5."""
        if save:
            self.save()
        if without_kernel:
            self.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
        self.page.reload()
        self.wait_until_open()
        if without_kernel:
            self.wait_until_idle(60)

    def save(self):
        self.page.evaluate(SAVE)

    def wait_until_idle(self, seconds):
        """Until the kernel is connected and idle and no cell shows [*], twice in a row."""
        for _ in range(2):
            # Not at every frame, as Playwright would: that doubles what the page costs.
            how = {"timeout": seconds * 1000, "polling": 200}
            self.page.wait_for_function(CONNECTED, **how)
            self.page.wait_for_function(NO_CELL_WAITS, arg=PANEL, **how)
            self.page.wait_for_timeout(300)

    def command(self, name, **options):
        """Start one of JupyterLab's commands, for instance notebook:interrupt-kernel."""
        self.page.evaluate(COMMAND, [name, options])

    def start_all(self):
        """Run all cells and come back at once, to act while they run."""
        self.command("notebook:run-all-cells")

    def run_all(self, seconds=300):
        self.start_all()
        self.wait_until_idle(seconds)

    def cell(self, text):
        """The first cell that contains `text`, in its source or its outputs."""
        cells = self.panel.locator(".jp-Notebook-cell")
        for number, content in enumerate(cells.all_inner_texts()):
            if text in content:
                return cells.nth(number)  # not by its text, which may change
        raise LookupError(f"no cell contains {text!r}")

    def write(self, cell, source):
        """Replace the source of a cell, by typing over it."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        # In one piece, or the editor would indent and close brackets of its own accord.
        self.page.keyboard.insert_text(source)

    def run(self, cell, seconds=60):
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+Enter")
        self.wait_until_idle(seconds)

    def move_slider(self, steps, where=None):
        """Move the first slider in `where` (or in the notebook) by arrow keys."""
        (where or self.panel).locator(".widget-slider .noUi-handle").first.focus()
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def press(self, button):
        """Click a widget's button by what is written on it."""
        self.panel.locator(".jupyter-button", has_text=button).first.click()

    def errors(self):
        """What is written on red ground: exceptions, warnings, widgets that could not be shown."""
        return self.panel.locator(ERRORS).all_inner_texts()

    def screenshot(self, path):
        """The whole notebook in one picture: the window is made as tall as the notebook."""
        before = self.page.viewport_size
        scroller = self.panel.locator(".jp-WindowedPanel-outer")
        height = scroller.evaluate("element => element.scrollHeight") + 120  # the menu and toolbar
        height = min(height, 16_000)  # Chromium draws nothing below that
        self.page.set_viewport_size({"width": before["width"], "height": height})
        scroller.evaluate("element => element.scrollTo(0, 0)")
        self.page.wait_for_timeout(500)
        self.page.screenshot(path=path)
        self.page.set_viewport_size(before)
