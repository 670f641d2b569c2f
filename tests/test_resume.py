"""A run that is killed and resumed ends bit for bit where the uninterrupted one does."""

import io
import math
import multiprocessing
import os
import pickle
import random
import signal
import sys
import time
from functools import partial
from itertools import islice, pairwise, product

import numpy as np
import pytest
import torch

import rlx
from rlx.algos import A2C, IMPALA, PPO, REINFORCE, ActorCritic, OffPAC
from rlx.networks import GRUPolicy, LSTMPolicy, MLPPolicy
from rlx.training import iterate

EPISODES = dict(batch_size=4, horizon=8)
# A new algorithm joins by a line: options that make its updates small.
SMALL = {
    REINFORCE: EPISODES,
    ActorCritic: EPISODES,
    A2C: dict(n_steps=8),
    IMPALA: dict(n_steps=8, rollouts=2),
    PPO: dict(n_steps=8, epochs=1, minibatches=2),
    OffPAC: dict(**EPISODES, rbsize=6, max_rbusage=2),  # some stored episodes outlive an update
}
HIDDEN = {MLPPolicy: (8, 8), GRUPolicy: 8, LSTMPolicy: 8}
CELLS = list(product(SMALL, HIDDEN))

of_every_cell = pytest.mark.parametrize(
    ("kind", "network"), CELLS, ids=[f"{kind.__name__}-{net.__name__}" for kind, net in CELLS]
)


def seed_everything(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def make(kind, network, hidden=None):
    seed_everything(0)
    agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 4), seed=0)
    value = kind is not REINFORCE
    policy = network(
        agent.observation_space,
        agent.action_space,
        hidden=hidden or HIDDEN[network],
        value=value,
    )
    return kind(agent, policy, **SMALL[kind])


def exact(value):
    """Nested containers as one comparable value; the time that a run took is not part of it."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: exact(one) for key, one in value.items() if key != "seconds"}
    if isinstance(value, (list, tuple)):
        return [exact(one) for one in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def state(algorithm):
    return exact(algorithm.state_dict())


def numbers():
    """The next draw of each global generator."""
    return [torch.rand(()).item(), np.random.rand(), random.random()]  # noqa: NPY002


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.pt"


# ---------------------------------------------------------------------- interrupted, and resumed


# Before, at, and behind checkpoints, and at the end.
MOMENTS = [*((*cell, 5) for cell in CELLS), *((PPO, GRUPolicy, after) for after in (1, 3, 4, 8))]


@pytest.mark.parametrize(("kind", "network", "after"), MOMENTS)
def test_an_interrupted_run_goes_on_where_it_was(kind, network, after, path, tmp_path):
    options = dict(updates=8, every=3, seed=5)
    straight = make(kind, network)
    history = list(iterate(straight, **options, checkpoint=tmp_path / "straight.pt"))
    expected = state(straight), numbers()

    interrupted = iterate(make(kind, network), **options, checkpoint=path)
    list(islice(interrupted, after))
    interrupted.close()
    resumed = make(kind, network)
    seed_everything(77)  # as in another process
    rest = list(iterate(resumed, **options, checkpoint=path, resume=True))
    assert (state(resumed), numbers()) == expected
    done = 8 if after == 8 else after // 3 * 3
    assert [metrics["updates"] for metrics in rest] == list(range(done + 1, 9))
    assert exact(rest) == exact(history[done:])
    # The files that the two leave are worth the same too.
    one, other = (rlx.checkpoint.load(tmp_path / name) for name in ("run.pt", "straight.pt"))
    assert exact(one) == exact(other)


# ---------------------------------------------------------------------- killed
#
# A run in a process of its own tells each update it has made. After a few, the parent kills it.
# The next one resumes. A run that gets no kill waits for it, so none can end too early, however
# slow the machine is; and nothing depends on how far it gets.

needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
EVERY = 2
AHEAD = 1  # updates that a run makes after the one that the parent waits for


def victim(pipe, kind, network, path, updates, wait_for):
    """Train until killed. Runs in a process of its own."""
    begin = None

    def tell(algorithm, metrics):
        nonlocal begin
        begin = algorithm.updates if begin is None else begin
        pipe.send(algorithm.updates)
        time.sleep(0.003)  # kills land here too, and inside the updates and writes around it
        while algorithm.updates - begin >= wait_for + AHEAD:
            time.sleep(1)

    options = dict(updates=updates, every=EVERY, callbacks=[tell])
    list(iterate(make(kind, network), **options, checkpoint=path, resume=path.exists()))


@pytest.fixture(scope="module")
def processes():
    """Starts processes in milliseconds: they are forks of one that has imported everything."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "forkserver")
    context.set_forkserver_preload(["rlx", "pytest", "torch._dynamo"])  # not safe to fork: a Mac
    make(PPO, MLPPolicy)  # the first optimizer imports for seconds: not in every fork
    return context


def start(processes, target, *arguments):
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return process, ours


def kill_one(processes, kind, network, path, updates, draw):
    """The numbers of the updates that a run made before it was killed."""
    wait_for = draw.randrange(1, 4)
    process, pipe = start(processes, victim, kind, network, path, updates, wait_for)
    told = [pipe.recv() for _ in range(wait_for)]  # EOFError: the run ended, its traceback is shown
    time.sleep(draw.uniform(0, 0.02))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    try:
        while True:
            told.append(pipe.recv())
    except EOFError:
        return told


def resume_and_compare(kind, network, path, updates):
    """The last life of a run, here, to its end; then the uninterrupted run."""
    done = rlx.checkpoint.load(path)["state"]["counters"]["updates"]
    resumed, calls = make(kind, network), []
    update = resumed.update
    resumed.update = lambda: (calls.append(resumed.updates), update())[1]
    options = dict(updates=updates, every=EVERY)
    rest = list(iterate(resumed, **options, checkpoint=path, resume=True))
    assert calls == list(range(done, updates))
    draws = numbers()[0]

    straight = make(kind, network)
    history = list(iterate(straight, **options, checkpoint=path.with_name("straight.pt")))
    assert numbers()[0] == draws
    assert state(resumed) == state(straight)
    assert exact(rest) == exact(history[done:])
    return done


@needs_kill
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "network"), [(PPO, GRUPolicy)])
def test_a_dozen_kills(kind, network, path, processes):
    draw, updates, lives = random.Random(12), 12 * (3 + AHEAD) + 2, []
    for _ in range(12):
        lives.append(kill_one(processes, kind, network, path, updates, draw))
    for life, following in pairwise(lives):
        assert life == list(range(life[0], life[0] + len(life)))
        # It goes on from the last checkpoint: at the border, or one before if it had no time.
        done = life[-1] - life[-1] % EVERY
        assert following[0] in (done - EVERY + 1, done + 1, done + EVERY + 1)
    done = resume_and_compare(kind, network, path, updates)
    assert 0 < done < updates
    leftovers = {one.suffix for one in path.parent.iterdir()} - {".part"}
    assert leftovers == {".pt"}


@needs_kill
@of_every_cell
def test_a_kill(kind, network, path, processes):
    updates = 3 + AHEAD + 1
    draw = random.Random(f"{kind.__name__} {network.__name__}")
    kill_one(processes, kind, network, path, updates, draw)
    resume_and_compare(kind, network, path, updates)


def killed_while_writing(pipe, path, moment):
    """Make one whole checkpoint, and die during the second."""

    def die(*arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    class Half(io.FileIO):
        def write(self, content):
            super().write(memoryview(content)[: len(content) // 2])
            die()

    def after(*arguments):
        replace(*arguments)
        die()

    replace = os.replace
    for number, _ in enumerate(iterate(make(PPO, GRUPolicy), updates=9, every=3, checkpoint=path)):
        if number == 4:  # the next checkpoint comes with the next update
            pipe.send("ready")
            if moment == "write":
                rlx.checkpoint.open = Half
            else:
                name, fatal = {
                    "fsync": ("fsync", die),
                    "before": ("replace", die),
                    "after": ("replace", after),
                }[moment]
                setattr(os, name, fatal)


@needs_kill
@pytest.mark.parametrize("moment", ["write", "fsync", "before", "after"])
def test_a_kill_during_a_write_leaves_a_whole_file(moment, path, processes):
    process, pipe = start(processes, killed_while_writing, path, moment)
    assert pipe.recv() == "ready"
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(path.parent.glob(".*.part"))) == (moment != "after")
    counters = rlx.checkpoint.load(path)["state"]["counters"]
    assert counters["updates"] == (6 if moment == "after" else 3)
    resumed, straight = make(PPO, GRUPolicy), make(PPO, GRUPolicy)
    options = dict(updates=9, every=3)
    list(iterate(straight, **options, checkpoint=path.with_name("straight.pt")))
    list(iterate(resumed, **options, checkpoint=path, resume=True))
    assert state(resumed) == state(straight)


# ---------------------------------------------------------------------- files that cannot be used


class Trap:
    """Unpickled carelessly, it leaves a file behind."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return (type(self.sentinel).touch, (self.sentinel,))


def damaged(path, how):
    """Make the good checkpoint at `path` a bad one."""
    whole = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how.startswith("truncated"):
        path.write_bytes(whole[: int(len(whole) * float(how.split()[1]))])
    elif how == "text":
        path.write_text("updates,steps\n1,32\n")
    elif how == "a policy's state_dict":
        torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    elif how == "a tensor":
        torch.save(torch.zeros(3), path)
    elif how == "another version's":
        torch.save({**rlx.checkpoint.load(path), "format": "rlx checkpoint 0"}, path)
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "a pickle with code":
        path.write_bytes(pickle.dumps(Trap(path.with_name("sentinel")), protocol=2))
    elif how == "a checkpoint with code":
        trap = Trap(path.with_name("sentinel"))
        torch.save({**rlx.checkpoint.load(path), "extra": {"trap": trap}}, path)


@pytest.mark.parametrize(
    "how",
    [
        "empty", "truncated 0.01", "truncated 0.5", "truncated 0.999", "text",
        "a policy's state_dict", "a tensor", "another version's", "a folder",
        "a pickle with code", "a checkpoint with code",
    ],
)  # fmt: skip
def test_a_file_that_is_no_checkpoint(how, path):
    algorithm = make(PPO, MLPPolicy)
    rlx.checkpoint.save(path, algorithm)
    damaged(path, how)
    algorithm.update()
    before, draws = state(algorithm), torch.get_rng_state()
    with pytest.raises(ValueError, match="checkpoint") as error:
        next(iterate(algorithm, updates=1, checkpoint=path, resume=True))
    assert str(path) in str(error.value)
    assert state(algorithm) == before
    assert torch.equal(torch.get_rng_state(), draws)
    assert not path.with_name("sentinel").exists()


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sentinel")))
    assert (tmp_path / "sentinel").exists()


def test_a_file_that_is_missing(path):
    algorithm = make(PPO, MLPPolicy)
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*run\.pt"):
        next(iterate(algorithm, updates=1, checkpoint=path, resume=True))
    assert not path.exists()


def with_sgd():
    algorithm = make(PPO, MLPPolicy)
    algorithm.agent.optimizer = torch.optim.SGD(algorithm.policy.parameters(), lr=0.1)
    return algorithm


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (partial(make, A2C, MLPPolicy), "saved by PPO, and cannot resume A2C"),
        (partial(make, PPO, MLPPolicy, hidden=(8, 9)), "(?s)networks differ.*size mismatch"),
        (partial(make, PPO, MLPPolicy, hidden=(8, 8, 8)), "networks differ"),
        (partial(make, PPO, GRUPolicy), "networks differ"),
        (with_sgd, "saved by Adam, and cannot resume SGD"),
    ],
    ids=["algorithm", "width", "depth", "kind", "optimizer"],
)
def test_a_checkpoint_of_something_else(other, words, path):
    saved = make(PPO, MLPPolicy)
    saved.update()
    rlx.checkpoint.save(path, saved)
    algorithm = other()
    algorithm.update()
    before, draws = state(algorithm), torch.get_rng_state()
    with pytest.raises(ValueError, match=words):
        next(iterate(algorithm, updates=1, checkpoint=path, resume=True))
    assert state(algorithm) == before
    assert torch.equal(torch.get_rng_state(), draws)
    algorithm.update()  # it still works


# ---------------------------------------------------------------------- what else a file holds


def test_the_generators_are_restored(path):
    algorithm = make(A2C, MLPPolicy)
    random.gauss(0, 1)  # both of these generators keep half a pair of normal numbers
    np.random.standard_normal()  # noqa: NPY002
    rlx.checkpoint.save(path, algorithm)
    expected = [*numbers(), random.gauss(0, 1), np.random.standard_normal()]  # noqa: NPY002
    rlx.checkpoint.resume(path, algorithm)
    again = [*numbers(), random.gauss(0, 1), np.random.standard_normal()]  # noqa: NPY002
    assert again == expected


def test_extra_comes_back(path):
    algorithm = make(A2C, MLPPolicy)
    extra = {"note": "γ", "scores": [1, 2.5, None, True], "weights": torch.ones(2)}
    rlx.checkpoint.save(path, algorithm, extra)
    back = rlx.checkpoint.resume(path, algorithm)
    assert exact(back) == exact(extra)
    list(iterate(algorithm, updates=1, checkpoint=path, extra={"note": "a run's"}))
    list(iterate(algorithm, updates=2, checkpoint=path, resume=True))  # keeps it
    assert rlx.checkpoint.load(path)["extra"]["note"] == "a run's"


def test_a_file_saved_by_hand_has_its_budget_before_it(path):
    algorithm = make(A2C, MLPPolicy)
    list(iterate(algorithm, updates=2))
    rlx.checkpoint.save(path, algorithm)
    rest = list(iterate(make(A2C, MLPPolicy), updates=3, checkpoint=path, resume=True))
    assert [metrics["updates"] for metrics in rest] == [3, 4, 5]


def test_what_could_not_be_loaded_is_not_saved(path):
    algorithm = make(A2C, MLPPolicy)
    rlx.checkpoint.save(path, algorithm)
    whole = path.read_bytes()
    algorithm.agent.optimizer.param_groups[0]["lr"] = np.float64(0.1)
    with pytest.raises(TypeError, match=r"numpy.*scalar.*float\(\)"):
        rlx.checkpoint.save(path, algorithm)
    assert path.read_bytes() == whole


def test_a_folder_is_made_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "runs" / "γ" / "run.pt"
    list(iterate(make(A2C, MLPPolicy), updates=2, checkpoint=str(path), every=1))
    assert list(path.parent.iterdir()) == [path]
