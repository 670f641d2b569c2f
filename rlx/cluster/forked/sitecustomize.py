"""Python imports this before it runs a script. If that is a worker of Ray, another process runs it
in its place: one that is forked by `serve.py`. This one only waits for its end."""

import contextlib
import os
import sys

HERE = os.path.dirname(__file__)


def ask(argv: list) -> None:
    import json
    import socket

    address, python = os.environ["RLX_FORK"].split(os.pathsep)
    if python != sys.executable:  # an environment of its own, with other packages
        return
    paths = os.environ["PYTHONPATH"].split(os.pathsep)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p != HERE)}
    who = dict(argv=argv, path=sys.path, env=env, folder=os.getcwd(), group=os.getpgid(0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(who).encode()], [0, 1, 2])
        connection.recv(1)  # nothing comes: it is closed when the other ends, whatever ends it
    os._exit(0)


sys.path[:] = [path for path in sys.path if path != HERE]
argv = [arg for arg in sys.orig_argv[1:] if arg != "-u"] or [""]
if argv[0].endswith("default_worker.py"):
    with contextlib.suppress(OSError, KeyError):
        ask(argv)
elif argv[0].endswith("agent.py") or argv[0].endswith(os.path.join("agent", "main.py")):
    # Ray's own. If it finds this, which comes with Jupyter, it takes a second, and never uses it.
    sys.modules["rfc3987_syntax"] = None

# The module of this name that this one hides, if there is one.
this = sys.modules.pop(__name__)
try:
    __import__(__name__)
except ImportError:
    sys.modules[__name__] = this
