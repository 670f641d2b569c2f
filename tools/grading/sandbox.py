"""Where the kernel of a submission runs: bubblewrap if it works here, else a process as any other.

Inside there is no network, and nothing of this machine but the system, Python, its packages and a
copy of rlx, all of them read-only; a home of its own that is gone afterwards.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from os.path import isdir
from pathlib import Path

from kernel_env import KERNEL_ENV

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/etc/ld.so.cache")
SYSTEM += ("/etc/alternatives", "/etc/fonts", "/etc/localtime")
LIMITS = str(Path(__file__).with_name("limits.py"))
FLAGS = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]


@functools.cache
def missing() -> str:
    """Why there is no sandbox here; nothing if there is one."""
    if os.environ.get("RLX_SANDBOX") == "no":
        return "RLX_SANDBOX=no"
    if not sys.platform.startswith("linux"):
        return "bubblewrap needs Linux"
    if not (found := shutil.which("bwrap")):
        return "bubblewrap is not installed (`apt install bubblewrap`)"
    tried = subprocess.run(
        [found, *FLAGS, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"],
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        said = tried.stderr.strip().split("\n")[-1]
        return f"bubblewrap does not work here ({said or tried.returncode})"
    return ""


def describe() -> str:
    """The first line of a grading run."""
    if why := missing():
        return (
            f"NO SANDBOX: {why}. Submissions run with your rights: they can read your files and "
            "use your network."
        )
    return "Submissions run in a sandbox (bubblewrap): no network, none of your files."


def command(
    arguments: list[str], package: Path, home: Path, run: Path, megabytes: int, seconds: int
) -> tuple[list[str], dict[str, str]]:
    """What starts Python with these arguments, and its environment.

    `package`: the folder in which it finds rlx. `home`: files to begin with; inside it is a copy
    that may be written to. `run`: a folder that both sides see and write to."""
    python = [sys.executable, *arguments]
    limited = [sys.executable, "-I", "-S", LIMITS, str(megabytes), str(seconds)]
    if missing():
        work = run / "home"
        shutil.copytree(home, work, dirs_exist_ok=True)
        env = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
        env |= {"JPY_PARENT_PID": str(os.getpid())}  # it ends with this process
        return [*limited, *python], {**env, **_environment(str(work), str(package))}
    mounts = ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/tmp", "/dev/shm", HOME):
        mounts += ["--size", str(256 * 2**20), "--tmpfs", path]
    prefixes = (sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix), str(package))
    for path in dict.fromkeys((*SYSTEM, *prefixes, *packages())):
        inside = path.startswith(("/usr/", "/opt/"))  # which are there already
        if os.path.exists(path) and not inside:
            mounts += ["--ro-bind", path, path]
    for path in packages():  # an installed copy has its answers
        if Path(path, "rlx").is_dir():
            mounts += ["--tmpfs", f"{path}/rlx"]
    mounts += ["--ro-bind", LIMITS, LIMITS]
    for entry in sorted(home.iterdir()):
        mounts += ["--ro-bind", str(entry), f"{HOME}/given/{entry.name}"]
    mounts += ["--bind", str(run), str(run), "--chdir", HOME]
    variables = _environment(HOME, str(package))
    sets = [part for pair in variables.items() for part in ("--setenv", *pair)]
    return ["bwrap", *FLAGS, "--clearenv", *mounts, *sets, *limited, *python], dict(os.environ)


def packages() -> list[str]:
    """Where packages are: of this environment, of the user, and others that it looks into. No other
    folder of Python's path, such as the course's own."""
    found = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path]
    named = ("site-packages", "dist-packages")
    return [path for path in dict.fromkeys(found) if Path(path).name in named and isdir(path)]


HOME = "/home/student"


def _environment(home: str, package: str) -> dict[str, str]:
    path = f"{sysconfig.get_path('scripts')}:/usr/local/bin:/usr/bin:/bin"
    return {
        "PATH": os.environ.get("PATH", path) if missing() else path,
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        **KERNEL_ENV,
        "HOME": home,
        "RLX_HOME": home,
        "IPYTHONDIR": f"{home}/.ipython",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
        "PYTHONPATH": package,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
