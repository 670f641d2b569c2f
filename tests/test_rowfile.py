"""The rows of a replay beside a checkpoint: only new ones are written, and none is ever lost."""

import contextlib
import os
from itertools import islice

import numpy as np
import pytest
import torch
from test_replay import numbered, windows
from test_resume import exact, seed_everything

import rlx
from rlx import rowfile
from rlx.algos import DQN, SAC
from rlx.critics import QNetwork, SquashedPolicy
from rlx.replay import Replay
from rlx.training import iterate


def rows_of(replay):
    return exact(replay.state_dict())


def note_of(replay, prefix):
    with replay.file.beside(prefix):
        return replay.state_dict()


def restored(state, prefix, capacity):
    replay = Replay(capacity)
    with replay.file.beside(prefix):
        replay.load_state_dict(state)
    return replay


def files(prefix):
    return [path for path in prefix.parent.iterdir() if path.name.startswith(prefix.name)]


@pytest.fixture(params=[1, 100, 2**24])
def prefix(request, tmp_path, monkeypatch):
    monkeypatch.setattr(rowfile, "CHUNK", request.param)  # one row at a time, one or two, all
    return tmp_path / "run[1].pt.replay"


@pytest.mark.parametrize("capacity", [7, 30, 400])
def test_what_was_saved_comes_back_bit_for_bit(capacity, prefix):
    rng, replay, added = np.random.default_rng(capacity), Replay(capacity), 0
    for turn in range(25):
        for _ in range(rng.integers(0, 4)):
            rollout = numbered(rng.integers(2, 6, rng.integers(1, 4)).tolist(), added)
            replay.add(rollout)
            added += len(rollout)
        state = note_of(replay, prefix)
        assert ("note" in state) == (added > 0)
        again = restored(state, prefix, capacity)
        assert rows_of(again) == rows_of(replay)
        assert len(files(prefix)) == (added > 0)
        if turn % 4 == 3:  # as after a kill: the run goes on with what was restored
            replay = again
    torch.manual_seed(3)
    drawn = windows(replay.sample(20, 3))
    torch.manual_seed(3)
    assert windows(again.sample(20, 3)) == drawn


def test_columns_of_every_kind(prefix):
    rollout = numbered([3, 4])
    images = torch.randint(255, (7, 2, 5, 3), dtype=torch.uint8).transpose(1, 2)
    rollout = rollout.replace(
        states={"image": images, "none": torch.zeros(7, 0), "scalar": torch.randn(7).double()},
        actions=(torch.randn(7, 2).bfloat16(), torch.randn(7) > 0),
    )
    replay = Replay(9)
    for _ in range(3):
        replay.add(rollout)
        again = restored(note_of(replay, prefix), prefix, 9)
        torch.testing.assert_close(again.columns, replay.columns, rtol=0, atol=0)


def test_only_what_is_new_is_written(tmp_path):
    prefix, replay = tmp_path / "run.pt.replay", Replay(1000)
    replay.add(numbered([5] * 200))
    note_of(replay, prefix)
    (path,) = files(prefix)
    before = path.read_bytes()
    width = len(before) // 1000
    for turn in range(3):
        replay.add(numbered([4, 6], first=turn))
        note_of(replay, prefix)
        after = path.read_bytes()
        assert after[: len(before)] == before
        assert len(after) == len(before) + 10 * width
        before = after
    note_of(replay, prefix)
    assert path.read_bytes() == before
    for turn in range(300):
        replay.add(numbered([4, 6], first=turn))
        note_of(replay, prefix)
    assert files(prefix) == [path]
    assert path.stat().st_size == 2000 * width


@pytest.mark.parametrize("fresh", [3, 40, 200])  # rows of a store of 40
def test_what_fails_leaves_what_was(fresh, prefix):
    replay, added = Replay(40), 0
    for _ in range(6):
        rollout = numbered([3] * 13, added)
        replay.add(rollout)
        added += len(rollout)
        state = note_of(replay, prefix)
        before = rows_of(replay)
        for _ in range(3):
            lost = numbered([2] * (fresh // 2) + [3] * (fresh % 2), added)
            replay.add(lost)
            added += len(lost)
            with contextlib.suppress(KeyError), replay.file.beside(prefix):
                replay.state_dict()
                raise KeyError
            assert rows_of(restored(state, prefix, 40)) == before
    assert len(files(prefix)) == 1


def test_rows_that_are_lost_are_missed(tmp_path):
    prefix, replay = tmp_path / "run.pt.replay", Replay(20)
    replay.add(numbered([9, 9]))
    old = note_of(replay, prefix)
    for _ in range(4):
        replay.add(numbered([9]))
        new = note_of(replay, prefix)
    with pytest.raises(FileNotFoundError, match=r"run\.pt\.replay-.*or no longer.*together"):
        restored(old, prefix, 20)
    (path,) = files(prefix)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileNotFoundError, match="together"):
        restored(new, prefix, 20)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="together"):
        restored(new, prefix, 20)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(whole)
    new["note"]["file"] = str(elsewhere)  # a stranger's checkpoint may say so
    with pytest.raises(FileNotFoundError, match="together"):
        restored(new, tmp_path / "below" / "run.pt.replay", 20)
    assert rows_of(replay)  # it still is whole, and writes another
    assert rows_of(restored(note_of(replay, prefix), prefix, 20)) == rows_of(replay)


def test_each_checkpoint_has_a_file_of_its_own(tmp_path):
    # The best so far in one, the newest in another; and a copy under another name.
    best, newest = tmp_path / "best.pt.replay", tmp_path / "newest.pt.replay"
    replay = Replay(20)
    replay.add(numbered([9, 9]))
    first, kept = note_of(replay, best), rows_of(replay)
    for turn in range(5):
        replay.add(numbered([9], turn))
        state = note_of(replay, newest)
    assert rows_of(restored(first, best, 20)) == kept
    copy = tmp_path / "copy.pt.replay"
    again = restored(state, copy, 20)  # the rows are found under the old name
    again.add(numbered([8]))
    copied = note_of(again, copy)
    assert len(files(copy)) == 1
    assert rows_of(restored(state, newest, 20)) == rows_of(replay)
    assert rows_of(restored(copied, copy, 20)) == rows_of(again)


# ---------------------------------------------------------------------- whole runs


def make(kind, capacity):
    seed_everything(0)
    agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1" if kind is DQN else "Reach-v0", 4), seed=0)
    network = {DQN: QNetwork, SAC: SquashedPolicy}[kind]
    policy = network(agent.observation_space, agent.action_space, 8)
    return kind(agent, policy, n_steps=6, passes=2, batch_size=8, capacity=capacity, warmup=30)


@pytest.mark.parametrize("kind", [DQN, SAC])
@pytest.mark.parametrize("capacity", [60, 1000])
@pytest.mark.parametrize("after", [3, 7, 8])
def test_an_interrupted_run_goes_on_where_it_was(kind, capacity, after, tmp_path):
    options = dict(updates=12, every=3)
    straight = make(kind, capacity)
    list(iterate(straight, **options, checkpoint=tmp_path / "straight.pt"))
    path = tmp_path / "run.pt"
    interrupted = iterate(make(kind, capacity), **options, checkpoint=path)
    list(islice(interrupted, after))
    interrupted.close()
    assert path.stat().st_size < 60_000
    seed_everything(7)
    resumed = make(kind, capacity)
    list(iterate(resumed, **options, checkpoint=path, resume=True))
    assert exact(resumed.state_dict()) == exact(straight.state_dict())
    assert len(files(tmp_path / "run.pt.replay")) == 1


@pytest.mark.parametrize("moment", ["fsync", "replace", "replaced"])
def test_a_run_that_died_while_it_saved(moment, tmp_path, monkeypatch):
    # In the first of the two writes of a checkpoint, between them, and just after.
    options, path = dict(updates=12, every=2), tmp_path / "run.pt"
    straight = make(DQN, 60)
    list(iterate(straight, **options, checkpoint=tmp_path / "straight.pt"))
    run = iterate(make(DQN, 60), **options, checkpoint=path)
    list(islice(run, 7))
    replace = os.replace

    def die(*arguments):
        if moment == "replaced":
            replace(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync" if moment == "fsync" else "replace", die)
    with pytest.raises(KeyboardInterrupt):
        list(run)
    monkeypatch.undo()
    resumed = make(DQN, 60)
    list(iterate(resumed, **options, checkpoint=path, resume=True))
    assert exact(resumed.state_dict()) == exact(straight.state_dict())


def test_a_checkpoint_without_its_rows(tmp_path):
    path = tmp_path / "run.pt"
    list(iterate(make(DQN, 60), updates=3, checkpoint=path))
    for one in files(tmp_path / "run.pt.replay"):
        one.unlink()
    algorithm = make(DQN, 60)
    before = exact(algorithm.state_dict())
    with pytest.raises(FileNotFoundError, match=r"run\.pt\.replay-"):
        rlx.checkpoint.resume(path, algorithm)
    assert exact(algorithm.state_dict()) == before
    with pytest.raises(ValueError, match="with the same capacity"):
        rlx.checkpoint.resume(path, make(DQN, 61))


def test_a_new_run_takes_the_place_of_an_old_one(tmp_path):
    path = tmp_path / "run.pt"
    for updates in (2, 5):
        algorithm = make(DQN, 60)
        rlx.checkpoint.save(path, algorithm)
        for _ in range(updates):
            algorithm.update()
        rlx.checkpoint.save(path, algorithm)
        assert len(files(tmp_path / "run.pt.replay")) == 1
    again = make(DQN, 60)
    rlx.checkpoint.resume(path, again)
    assert exact(again.state_dict()) == exact(algorithm.state_dict())
