"""examples/slime.py: trains, saves, resumes with its pool, prints its table, films a game."""

import subprocess
import sys
from pathlib import Path

import numpy as np
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


def test_workers_play_against_the_pool_and_tell_how_it_ended(tmp_path):
    pytest.importorskip("ray")
    file = tmp_path / "slime.pt"
    short = ("--workers", "2", "--hold", "4", "--every", "1", "--pool", "3", "--checkpoint", file)
    first = slime("--minutes", "0.02", *short)
    assert first.returncode == 0, first.stderr
    again = slime("--minutes", "0.04", "--resume", *short)
    assert again.returncode == 0, again.stderr
    assert "takes its place" not in first.stderr + again.stderr
    state = checkpoint.load(file)["state"]
    updates, episodes = state["counters"]["updates"], state["counters"]["episodes"]
    names = [member["name"] for member in state["past"]]
    assert names == ["random", "follower", f"after {updates} updates"]
    assert state["past"][-1]["weights"]
    played = [sum(member["results"]) for member in state["past"]]
    assert played[0] > 0
    assert played[1] > 0
    assert sum(played) <= episodes  # those against snapshots that have left are not kept
    assert state["rating"] != 0


def test_the_ratings_are_those_of_playing_here(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import slime as example

    pool, here = example.scripted(), example.scripted().seated(1)
    algorithm = example.SelfPlay.__new__(example.SelfPlay)
    algorithm.pool = pool
    algorithm.count({"random": [2, 1, 0], "follower": [0, 0, 1]})
    for member, score in [(0, -1), (0, -1), (0, 0), (1, 1)]:  # as the opponent counts them
        here.playing[:] = here.members[member]
        here.finish(np.array([True]), np.array([score]))
    assert [example.counts(member) for member in pool] == [(2, 1, 0), (0, 0, 1)]
    assert [example.counts(member) for member in here] == [(2, 1, 0), (0, 0, 1)]
    assert pool.rating == here.rating != 0
    assert [member.rating for member in pool] == [member.rating for member in here]


def test_a_user_s_error_is_one_line(monkeypatch, capsys):
    run = slime("--resume")
    assert run.returncode == 2
    assert "--resume needs --checkpoint" in run.stderr
    assert "Traceback" not in run.stderr
    monkeypatch.syspath_prepend(ROOT / "examples")
    import slime as example

    for line, error in [
        ("--address auto", "--address needs --workers"),
        ("--hold 16", "hold must be a whole number from 1 to 15"),
    ]:
        monkeypatch.setattr(sys, "argv", ["slime.py", *line.split()])
        with pytest.raises(SystemExit):
            example.main()
        assert error in capsys.readouterr().err
