"""Whatever ends a run, the message says what happened, and the last checkpoint can be used."""

import os
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv

import rlx
from rlx.algos import PPO
from rlx.networks import MLPPolicy

OPTIONS = dict(updates=20, every=2, progress=False)


class Bad(gymnasium.Wrapper):
    """An environment in which something happens at step number `at`."""

    def __init__(self, at=None, error=None, reward=1.0):
        super().__init__(rlx.envs.make("CartPole-v1"))
        self.at, self.error, self.reward, self.steps = at, error, reward, 0

    def step(self, action):
        observation, reward, *rest = super().step(action)
        self.steps += 1
        if self.steps == self.at:
            if self.error:
                raise self.error
            reward = self.reward
        return observation, reward, *rest


def make(env=None, **options):
    torch.manual_seed(0)
    agent = rlx.Agent(SyncVectorEnv([env or Bad, Bad]), seed=0)
    policy = MLPPolicy(agent, hidden=(8, 8))
    return PPO(agent, policy, n_steps=8, epochs=1, minibatches=1, **options)


def assert_usable(path, updates, error=None):
    """The file holds the state after `updates`, a run can go on from it, and the error says so."""
    if error is not None:
        assert f"The last checkpoint is {path}; resume=True" in "".join(error.__notes__)
    assert rlx.checkpoint.load(path)["state"]["counters"]["updates"] == updates
    history = rlx.train(make(), checkpoint=path, resume=True, **OPTIONS)
    assert history["updates"].tolist() == list(range(updates + 1, 21))
    assert {one.name for one in path.parent.iterdir()} == {path.name}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.pt"


def test_an_environment_dies(path):
    algorithm = make(lambda: Bad(60, error=OSError("the simulator has crashed")))
    words = r"OSError at step \d of this call: the simulator has crashed"
    with pytest.raises(RuntimeError, match=words) as caught:
        rlx.train(algorithm, checkpoint=path, **OPTIONS)
    assert algorithm.updates >= 60 // 8
    assert_usable(path, algorithm.updates // 2 * 2, caught.value)
    # The environment works again: the same algorithm can go on too, from a reset.
    assert len(rlx.train(algorithm, updates=2, progress=False)) == 2


@pytest.mark.parametrize("reward", [np.nan, np.inf])
def test_a_reward_is_not_a_number(reward, path):
    algorithm = make(lambda: Bad(60, reward=reward))
    words = r"a reward is not finite at step \d of this call, environment 0"
    with pytest.raises(ValueError, match=words) as caught:
        rlx.train(algorithm, checkpoint=path, **OPTIONS)
    assert_usable(path, algorithm.updates // 2 * 2, caught.value)


def test_the_loss_diverges(path):
    algorithm, after = make(), []

    def huge(algorithm, metrics):
        if algorithm.updates == 5:
            algorithm.entropy_reg = np.inf
            after.extend(p.clone() for p in algorithm.policy.parameters())

    with pytest.raises(FloatingPointError, match=r"entropy_loss is .*inf in update 6") as caught:
        rlx.train(algorithm, checkpoint=path, callbacks=[huge], **OPTIONS)
    assert all(torch.equal(p, q) for p, q in zip(algorithm.policy.parameters(), after))
    assert_usable(path, 4, caught.value)


def test_without_a_checkpoint_none_is_named():
    algorithm = make(lambda: Bad(3, error=OSError("no")))
    with pytest.raises(RuntimeError) as caught:
        rlx.train(algorithm, updates=3, progress=False)
    assert not getattr(caught.value, "__notes__", [])


def fill_the_disk(path, at):
    """From update `at` on, what is written beside `path` meets a disk that is really full."""

    def callback(algorithm, metrics):
        if algorithm.updates == at:  # the file that is written first, before it takes the place
            path.with_name(f".{path.name}.{os.getpid()}.part").symlink_to("/dev/full")

    return callback


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_the_disk_is_full(path):
    with pytest.raises(OSError, match="could not write") as caught:
        rlx.train(make(), checkpoint=path, callbacks=[fill_the_disk(path, 6)], **OPTIONS)
    message = str(caught.value)
    assert f"{path}: No space left on device; the file that was there is untouched" in message
    assert_usable(path, 4, caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit that Linux enforces")
@pytest.mark.parametrize("log", [True, False])
def test_a_quota_is_used_up(log, tmp_path):
    """The kernel stops the write in the middle, as a quota does."""
    import resource

    path, (soft, hard) = tmp_path / "run.pt", resource.getrlimit(resource.RLIMIT_FSIZE)
    file = tmp_path / "logs" / "run.csv"

    def use_up(algorithm, metrics):
        if algorithm.updates == 6:
            size = file.stat().st_size if log else path.stat().st_size // 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    callbacks = [use_up, rlx.callbacks.csv_log(file)] if log else [use_up]
    try:
        with pytest.raises(OSError, match="large") as caught:
            rlx.train(make(), checkpoint=path, callbacks=callbacks, **OPTIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if log:
        assert file.read_text().count("\n") == 1 + 5
        file.unlink()
        file.parent.rmdir()
    assert_usable(path, 4, caught.value)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"could not write .*file/run\.pt: \w+") as caught:
        rlx.train(make(), checkpoint=tmp_path / "file" / "run.pt", **OPTIONS)
    assert not getattr(caught.value, "__notes__", [])
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_callback_fails(path):
    def fail(algorithm, metrics):
        if algorithm.updates == 4:  # before its checkpoint is written
            raise KeyError("a typo")

    with pytest.raises(KeyError, match="a typo") as caught:
        rlx.train(make(), checkpoint=path, callbacks=[fail], **OPTIONS)
    assert_usable(path, 2, caught.value)


@pytest.mark.parametrize("how", ["clicked", "gone"])
def test_a_window_is_closed(how, path, monkeypatch):
    """What main.py --render does, in a window that somebody closes between two episodes."""
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.quit()
    screen = rlx.Agent(rlx.envs.make("CartPole-v1", render_mode="human"), seed=0)
    screen.env.unwrapped.metadata = {**screen.env.unwrapped.metadata, "render_fps": 100_000}

    def render(algorithm, metrics):
        screen(algorithm.policy).episode(2, dry=True, greedy=True)
        if algorithm.updates == 3:
            if how == "clicked":
                pygame.event.post(pygame.event.Event(pygame.QUIT))
            else:
                screen.env.close()

    try:
        if how == "clicked":  # gymnasium does not listen: the window stays
            history = rlx.train(make(), checkpoint=path, callbacks=[render], **OPTIONS)
            assert len(history) == 20
            assert_usable(path, 20)
        else:
            with pytest.raises(pygame.error, match="Surface") as caught:
                rlx.train(make(), checkpoint=path, callbacks=[render], **OPTIONS)
            assert_usable(path, 2, caught.value)
    finally:
        pygame.quit()
