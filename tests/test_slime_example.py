"""examples/slime.py: trains, saves, resumes with its pool, prints its table, films a game."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rlx import checkpoint

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def slime(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "examples/slime.py", "--envs", "8", "--games", "2", *arguments],
        capture_output=True,
        text=True,
    )


def test_it_trains_and_goes_on_where_it_stopped(tmp_path):
    file, film = tmp_path / "slime.pt", tmp_path / "slime.html"
    first = slime("--minutes", "0.02", "--every", "1", "--checkpoint", file, "--film", film)
    assert first.returncode == 0, first.stderr
    assert "| random |" in first.stdout
    assert "| follower (scripted) |" in first.stdout
    assert "<figure" in film.read_text(encoding="utf-8")
    state = checkpoint.load(file)["state"]
    updates = state["counters"]["updates"]
    names = [member["name"] for member in state["past"]]
    newest = [f"after {k + 1} updates" for k in range(updates)][-6:]
    assert names == ["random", "follower", *newest]  # eight in all: the scripted ones stay

    again = slime("--minutes", "0.04", "--every", "1", "--checkpoint", file, "--resume")
    assert again.returncode == 0, again.stderr
    later = checkpoint.load(file)["state"]
    assert later["counters"]["updates"] > updates
    snapshots = {member["name"]: member["weights"] for member in later["past"]}
    for member in state["past"]:
        if member["weights"] and member["name"] in snapshots:
            for key, weights in member["weights"].items():
                torch.testing.assert_close(snapshots[member["name"]][key], weights)


def test_a_user_s_error_is_one_line():
    run = slime("--resume")
    assert run.returncode == 2
    assert "--resume needs --checkpoint" in run.stderr
    assert "Traceback" not in run.stderr
