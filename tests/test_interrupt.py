"""The ■ in a real kernel: a cell that awaits stops as any other does."""

import textwrap
import time

import pytest

client = pytest.importorskip("jupyter_client")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
BUSY = "open(PATH, 'w').close()\nwhile True:\n    pass"


class Kernel:
    def __init__(self, path):
        self.path = path
        self.manager, self.client = client.manager.start_new_kernel(kernel_name="python3")

    def run(self, code, interrupt=False):
        """What a cell prints and the name of its error; ■ is pressed once it has made its file."""
        self.path.unlink(missing_ok=True)
        asked = self.client.execute(code.replace("PATH", repr(str(self.path))), reply=False)
        said, until = [], time.monotonic() + 20
        while time.monotonic() < until:
            if interrupt and self.path.exists():
                time.sleep(0.3)
                self.manager.interrupt_kernel()
                interrupt = False
            if not self.client.iopub_channel.msg_ready():
                time.sleep(0.02)
                continue
            message = self.client.get_iopub_msg(timeout=1)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != asked:
                continue
            if kind in ("stream", "error"):
                said.append(content["text"].strip() if kind == "stream" else content["ename"])
            if content.get("execution_state") == "idle":
                return said
        return "it goes on and on"


@pytest.fixture
def kernel(tmp_path):
    kernel = Kernel(tmp_path / "busy")
    try:
        yield kernel
    finally:
        kernel.manager.shutdown_kernel(now=True)


def test_a_cell_that_awaits_is_stopped_busy_or_not(kernel):
    assert kernel.run("import asyncio, rlx.course") == []
    assert kernel.run("print(await asyncio.sleep(0, 'yes'))") == ["yes"]
    # Of a row, so that what one leaves behind would be seen in the next.
    for _ in range(2):
        assert kernel.run(f"await asyncio.sleep(0)\n{BUSY}", True) == ["KeyboardInterrupt"]
        waits = "open(PATH, 'w').close()\nawait asyncio.sleep(30)"
        assert kernel.run(waits, True) == ["CancelledError"]
        assert kernel.run(BUSY, True) == ["KeyboardInterrupt"]
    inner = f"async def inner():\n{textwrap.indent(BUSY, '    ')}"
    assert kernel.run(f"{inner}\nawait inner()", True) == ["KeyboardInterrupt"]
    # The busy one is not the cell, but what it waits for: the cell is cancelled when that is done.
    other = "async def other():\n    open(PATH, 'w').close()\n    import time\n    time.sleep(1)\n"
    again = "asyncio.create_task(other()), asyncio.sleep(30)"
    assert kernel.run(f"{other}await asyncio.gather({again})", True) == ["CancelledError"]
    assert kernel.run("print('alive')") == ["alive"]


def test_what_ipykernel_does_of_itself(kernel):
    """If this fails, ipykernel has learned it, and rlx/course/interrupt.py is no longer needed."""
    kernel.run("import asyncio")
    code = "await asyncio.sleep(0)\nopen(PATH, 'w').close()\nimport time\n"
    busy = "for _ in range(20):\n    time.sleep(0.1)\nprint('not heard')"
    assert kernel.run(code + busy, True) == ["not heard"]
