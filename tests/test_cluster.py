"""Workers on Ray: the rows that they bring, and what is left of a run when something dies."""

import contextlib
import copy
import functools
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from matrix import one_thread  # noqa: F401
from torch.testing import assert_close

import rlx
from rlx import Agent, Rollout
from rlx.columns import leaves
from rlx.critics import QNetwork, QPolicy
from rlx.networks import GRUPolicy, MLPPolicy
from rlx.seeding import random_states, seed_all, set_random_states, spawn, undisturbed

pytest.importorskip("ray")

import ray

from rlx.cluster import ClusterAgent, forked, local, player

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
KILLS = 25  # in each of two tests
EVERY = ("states", "actions", "rewards", "end", "terminated", "start", "recur_states")


class Ledger(gymnasium.Env):
    """Every row says which life of which environment it belongs to, and how many came before it.

    Observation: (seed, steps since it was seeded, the process if it says so). An episode takes 3 to
    7 steps. What it finds in the file `wish`, one of all workers does, once: raise, or hang."""

    observation_space = spaces.Box(-1, 2**24, (3,), dtype=np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, wish=None, pid=False):
        self.wish, self.pid = wish, os.getpid() * pid

    def observe(self):
        return np.array([self.name, self.count, self.pid], dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.name, self.count = seed % 2**24, 0
        self.left = int(self.np_random.integers(3, 8))
        return self.observe(), {}

    def step(self, action):
        if self.wish is not None and self.wish.exists():
            with contextlib.suppress(FileNotFoundError):  # another worker was first
                if self.wish.rename(f"{self.wish}.{os.getpid()}").read_text() == "raise":
                    raise OSError("the motor broke")
                time.sleep(1000)
        reward = paid(self.count, action)
        self.count, self.left = self.count + 1, self.left - 1
        return self.observe(), reward, self.left == 0, False, {}


def paid(count, action):
    return float(count % 7 + 10 * action)


def ledgers(wish=None, pid=False):
    return gymnasium.vector.SyncVectorEnv([lambda: Ledger(wish, pid)] * 2)


class Books:
    """Every row that was delivered: none lost, none twice, none wrong."""

    def __init__(self):
        self.next = {}  # the count that the next row of each life has
        self.policies = {}

    def enter(self, rollout):
        steps = rollout[:-1]
        for state, action, reward in zip(steps.states, *steps.actions, steps.rewards):
            name, count = state[:2].int().tolist()
            assert count == self.next.get(name, 0)
            self.next[name] = count + 1
            assert reward == paid(count, int(action))
        for version in steps.version.unique().tolist():
            mine = steps.vectorize()[steps.version == version]
            again = rlx.evaluate(self.policies[version], mine)
            assert_close(again.logprobs, mine.logprobs)


@pytest.fixture(scope="module")
def ray_here():
    """One Ray for all tests: to start it is what takes longest."""
    local.join(0, None)
    yield
    local.leave(0)


@pytest.fixture(scope="module")
def wish(tmp_path_factory):
    return tmp_path_factory.mktemp("wish") / "wish"


@pytest.fixture(scope="module")
def shared(ray_here, wish):
    with ClusterAgent(functools.partial(ledgers, wish), workers=2, seed=0, timeout=60) as agent:
        yield agent


@pytest.fixture
def agent(shared, wish):
    """Two workers with two ledgers each."""
    wish.unlink(missing_ok=True)
    shared.sampler.timeout = 60
    shared.seed(0)
    return shared


def policy_of(agent, cls=MLPPolicy):
    torch.manual_seed(0)
    policy = cls(agent, hidden=8)
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return policy


def same(one, two, names=EVERY):
    for name in names:
        pairs = zip(leaves(one.columns[name]), leaves(two.columns[name]), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), name
    assert one.lengths == two.lengths
    assert one.finished == two.finished


def ask(agent, function):
    """What it returns in each worker's process."""
    actors = [worker.actor for worker in agent.sampler.workers]
    return ray.get([actor.__ray_call__.remote(lambda _: function()) for actor in actors])


class OneAfterAnother:
    """What the workers would give if they took turns in this process: plain agents."""

    def __init__(self, make_env, workers, seed):
        self.agents, self.states = [], []
        for number in range(workers):
            (own,) = spawn(seed, 1, "worker", number, 0)
            envs, actions = spawn(own, 2, "life")
            self.agents.append(Agent(make_env(), seed=envs))
            with undisturbed(actions):
                self.states.append(random_states())

    def play(self, policy, what, *args, **options):
        parts = []
        for number, agent in enumerate(self.agents):
            with undisturbed(), torch.no_grad():
                set_random_states(self.states[number])
                call = getattr(agent(copy.deepcopy(policy)), what)
                parts.append(call(*[arg[number] for arg in args], **options))
                self.states[number] = random_states()
        return Rollout.cat(parts)


# ---------------------------------------------------------------------- the same rows


@pytest.mark.parametrize("cls", [MLPPolicy, GRUPolicy])
@pytest.mark.parametrize("dry", [False, True])
def test_the_rows_are_those_of_the_same_workers_one_after_another(agent, cls, dry):
    policy, oracle = policy_of(agent, cls), OneAfterAnother(ledgers, 2, 0)
    before = agent.sampler.version
    names = EVERY if dry else (*EVERY, "logprobs", "entropy", "others")
    for step in range(3):
        rollout = agent(policy).segment(9, dry=dry)
        same(rollout, oracle.play(policy, "segment", [9, 9], dry=dry), names)
        assert agent.finished == rollout.finished
        assert rollout.worker.unique_consecutive().tolist() == [0, 1]
        assert set(rollout.version.tolist()) == {before + 1 + step // 2}
        if step == 1:
            with torch.no_grad():
                next(policy.parameters()).add_(0.1)  # the next is another version
    episodes = agent(policy).episodes(5, dry=dry)
    same(episodes, oracle.play(policy, "episodes", [3, 2], dry=dry), names)
    assert len(episodes.lengths) == 5
    greedy = agent(policy).episodes(4, horizon=2, dry=dry, greedy=True)
    same(greedy, oracle.play(policy, "episodes", [2, 2], horizon=2, dry=dry, greedy=True), names)
    same(agent(policy).segment(3), oracle.play(policy, "segment", [3, 3]))
    assert agent(policy).episodes(1).worker.unique().tolist() == [0]  # fewer than workers


def test_a_seed_is_a_fresh_start(agent):
    policy = policy_of(agent)
    one = agent(policy).segment(5)
    agent.seed(0)
    same(agent(policy).segment(5), one)
    agent.seed(1)
    assert not torch.equal(agent(policy).segment(5).states, one.states)


def test_rollouts_may_be_changed_and_kept(agent):
    rollout = agent(policy_of(agent)).episodes(1)  # of a single worker: nothing was joined
    rollout.states += 1
    rollout.rewards.zero_()
    assert rollout.rewards.sum() == 0


def test_each_worker_is_asked_about_its_environment(agent, wish, capsys):
    policy = policy_of(agent)
    first = agent(policy).segment(5)
    names = agent.each(lambda env, k: env.envs[k].unwrapped.name, 1)
    assert [name in first.states[first.worker == k, 0] for k, name in enumerate(names)] == [1, 1]
    wish.write_text("die")
    assert agent.each(die_once, wish) == [2, 2]
    assert "takes its place" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError) as caught:
        agent.each(lambda env: 1 / 0)
    assert re.search(r"in worker [01] of 2", caught.value.__notes__[0])
    assert agent.each(lambda env: env.num_envs) == [2, 2]
    agent.seed(0)
    same(agent(policy).segment(5), first)


def die_once(env, wish):
    with contextlib.suppress(FileNotFoundError):
        wish.rename(f"{wish}.{os.getpid()}")
        os.kill(os.getpid(), signal.SIGKILL)
    return env.num_envs


def test_every_environment_has_its_own_epsilon(agent):
    network = QNetwork(agent, hidden=8)
    spread = rlx.algos.DQN(agent, network, epsilon=(1.0, 0.1), epsilon_spread=2.0).last
    assert_close(spread.log10(), torch.tensor([-3, -5, -7, -9]) / 3)
    policy = QPolicy(network, torch.tensor([0.0, 0.0, 0.0, 1.0]))
    rollout = agent(policy).segment(60)
    steps = rollout[:-1]
    (q,) = rlx.evaluate(network, steps).others
    odd = steps.actions[0] != q.argmax(1)
    fourth = agent.each(lambda env: env.envs[1].unwrapped.name)[1]
    mine = steps.states[:, 0] == fourth
    assert 40 < mine.sum() <= 60  # some of its steps are resets
    assert 20 < odd[mine].sum() < mine.sum()  # two of three that are drawn at random
    assert not odd[~mine].any()
    assert policy.epsilon.shape == (4,)


# ---------------------------------------------------------------------- without waiting


def test_a_stream_waits_for_nobody_and_says_how_old_its_policy_was(agent):
    policy, books, seen = policy_of(agent), Books(), []
    for k, rollout in zip(range(40), agent(policy).stream(6)):
        books.policies[agent.sampler.version] = copy.deepcopy(policy)
        books.enter(rollout)
        seen.append(rollout)
        assert rollout.worker.unique().numel() == rollout.version.unique().numel() == 1
        assert max(worker.in_flight for worker in agent.sampler.workers) <= 2
        assert agent.finished == rollout.finished
        if k % 2:  # every second time the policy is another
            with torch.no_grad():
                next(policy.parameters()).add_(0.01)
    lags = [int(rollout.staleness[0]) for rollout in seen]
    assert max(lags) >= 1  # two requests ahead: the second was made before the change
    assert {int(rollout.worker[0]) for rollout in seen} == {0, 1}
    again = agent(policy).segment(6)  # drops what is in flight, and begins anew
    assert again.states[again.start][:, 1].eq(0).any()


def test_a_stream_of_one_process_is_its_segments():
    one, two = (Agent(ledgers(), seed=0) for _ in range(2))
    policy = policy_of(one)
    seed_all(0)
    segments = [two(policy).segment(6, dry=True) for _ in range(3)]
    seed_all(0)
    for rollout, segment in zip(one(policy).stream(6, dry=True), segments):
        same(rollout, segment)
        assert not rollout.staleness.any()
        assert one.finished == segment.finished
    with pytest.raises(ValueError, match="at least one step"):
        one(policy).stream(0)


# ---------------------------------------------------------------------- deaths


class Killer(threading.Thread):
    """Kills, `kills` times, at random moments, a worker that has played."""

    def __init__(self, kills):
        super().__init__(daemon=True)
        self.random, self.kills = random.Random(0), kills
        self.alive, self.dead = set(), []

    def run(self):
        while len(self.dead) < self.kills:
            time.sleep(self.random.random() / 2)
            if self.alive:
                self.dead.append(self.random.choice(sorted(self.alive)))
                self.alive.discard(self.dead[-1])
                os.kill(self.dead[-1], signal.SIGKILL)

    def seen(self, rollout):
        self.alive |= set(rollout.states[:, 2].int().tolist()) - set(self.dead)


@pytest.fixture(scope="module")
def four(ray_here):
    with ClusterAgent(functools.partial(ledgers, pid=True), workers=4, seed=0) as agent:
        yield agent


@pytest.mark.parametrize("how", ["segment", "stream"])
def test_no_row_is_lost_or_doubled_or_wrong_however_workers_die(four, how, capsys):
    four.seed(0)
    policy, books, killer = policy_of(four), Books(), Killer(KILLS)
    stream, said = four(policy).stream(50), ""
    killer.start()
    while killer.is_alive() or said.count("\n") < KILLS:
        if how == "stream":
            rollout = next(stream)
        else:
            rollout = four(policy).segment(50)
            counts = [int((rollout.worker == k).sum()) for k in range(4)]
            assert all(98 <= count <= 102 for count in counts)  # 50 of two, give or take
        books.policies[four.sampler.version] = copy.deepcopy(policy)
        books.enter(rollout)
        killer.seen(rollout)
        with torch.no_grad():
            next(policy.parameters()).add_(0.001)  # the next is another version
        said += capsys.readouterr().err
    lines = said.splitlines()
    assert len(lines) == KILLS  # one line for each death
    assert all("died" in line and "another one takes its place" in line for line in lines)
    assert len(books.next) >= 2 * (4 + KILLS - 3)  # two environments in each incarnation


def test_a_worker_that_hangs_is_ended_and_replaced(agent, wish, capsys):
    policy = policy_of(agent)
    agent(policy).segment(5)
    agent.sampler.timeout = 3
    wish.write_text("hang")
    rollout = agent(policy).segment(20)
    assert all(38 <= (rollout.worker == k).sum() <= 42 for k in range(2))
    (line,) = capsys.readouterr().err.splitlines()
    assert "gave no answer in timeout=3 seconds, and was ended" in line


def test_a_worker_that_dies_again_and_again_is_said_to(ray_here, tmp_path, monkeypatch):
    monkeypatch.setattr("rlx.cluster.sampler.DEATHS", 2)
    with ClusterAgent(Deadly, workers=1, seed=0) as agent:
        with pytest.raises(RuntimeError, match=r"worker 0 died .* 2 times in a row"):
            agent(policy_of(agent)).segment(5)


class Deadly(Ledger):
    def step(self, action):
        os._exit(1)


# ---------------------------------------------------------------------- forks


def drawn():
    env = Ledger()
    env.pid = np.random.randint(2**24)  # noqa: NPY002  the old ones are shared, too
    return env


def surroundings():
    other = getattr(sys.modules.get("sitecustomize"), "__file__", "")
    return os.environ["PYTHONPATH"], other, signal.getsignal(signal.SIGCHLD)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers start by themselves")
def test_workers_are_forked_and_have_nothing_else_in_common(ray_here):
    with ClusterAgent(drawn, workers=2, seed=0) as agent:
        assert set(ask(agent, os.getppid)) == {local._ours["forking"].pid}
        rollout = agent(policy_of(agent)).segment(1)
        assert len(set(rollout.states[:, 2].tolist())) == 2
        for path, other, handler in ask(agent, surroundings):
            assert path.split(os.pathsep) == [folder or os.getcwd() for folder in sys.path]
            assert not other.startswith(forked.__path__[0])
            assert handler == signal.SIG_DFL


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers start by themselves")
def test_a_worker_finds_what_its_runtime_environment_gives(ray_here, tmp_path):
    (tmp_path / "found_there.py").write_text("here = 5")
    names = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "RLX_TOLD": "so"}
    with ClusterAgent(ledgers, workers=1, seed=0, runtime_env={"env_vars": names}) as agent:
        assert ask(agent, lambda: __import__("found_there").here) == [5]
        assert ask(agent, lambda: os.environ["RLX_TOLD"]) == ["so"]


def test_a_sitecustomize_of_ones_own_is_found_behind_ours(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('mine', __file__)")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([forked.__path__[0], str(tmp_path)])}
    env["RLX_FORK"] = os.pathsep.join([str(tmp_path / "nobody"), sys.executable])
    for script in ("script.py", "default_worker.py"):  # there is nobody to fork this one
        (tmp_path / script).write_text("print('ran')")
        run = subprocess.run([sys.executable, script], cwd=tmp_path, env=env, capture_output=True)
        assert run.stdout.decode() == f"mine {tmp_path / 'sitecustomize.py'}\nran\n"
        assert run.returncode == 0
        assert not run.stderr


# ---------------------------------------------------------------------- errors


def test_what_an_environment_raises_arrives_whole_and_is_not_tried_again(agent, wish):
    policy = policy_of(agent)
    first = agent(policy).segment(5)
    wish.write_text("raise")
    with pytest.raises(RuntimeError, match=r"raised OSError at step .*: the motor broke") as caught:
        agent(policy).segment(5)
    text = "".join(traceback.format_exception(caught.value))
    assert f'File "{__file__}"' in text  # where in the worker's code
    assert "in step" in text
    seeds = [spawn(0, 1, "worker", number, 0)[0] for number in range(2)]
    (note,) = caught.value.__notes__
    assert note in [
        f"This was in worker {k} of 2, incarnation 0, with seed {seeds[k]}." for k in range(2)
    ]
    assert not wish.exists()
    again = agent(policy).segment(5)  # all begin anew
    assert again.start.sum() >= 4
    assert not set(again.states[:, 0].tolist()) & set(first.states[:, 0].tolist())


def broken():
    raise ImportError("no such simulator")


@pytest.mark.parametrize(
    ("make_env", "options", "error", "match"),
    [
        (broken, {}, ImportError, "no such simulator"),
        ("CartPoll-v1", {}, ValueError, "did you mean CartPole"),
        (ledgers, {"envs": 3}, ValueError, "already returns 2 environments"),
        (ledgers, {"workers": 0}, ValueError, "workers=0: at least one is needed"),
        (ledgers, {"address": "auto"}, RuntimeError, "Close the agents without an address first"),
        (
            ledgers,
            {"start_timeout": 1, "resources": {"moon": 1}},
            RuntimeError,
            "worker 0 did not start within start_timeout=1",
        ),
    ],
)
def test_what_is_wrong_at_the_start_is_said(ray_here, make_env, options, error, match):
    with pytest.raises(error, match=match):
        ClusterAgent(make_env, **{"workers": 1, **options})


def test_a_factory_that_cannot_be_sent(ray_here):
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"make_env cannot be sent to the workers: .*inside"):
        ClusterAgent(lambda: Ledger(lock), workers=1)


def test_a_worker_with_another_rlx(ray_here, monkeypatch):
    ours = player.identity()
    monkeypatch.setattr("rlx.cluster.sampler.identity", lambda: "0.0.1 (before)")
    match = re.escape(f"this worker has rlx {ours}, the learner has 0.0.1 (before)")
    with pytest.raises(RuntimeError, match=match) as caught:
        ClusterAgent(ledgers, workers=1)
    assert "worker 0 of 1" in caught.value.__notes__[0]


# ---------------------------------------------------------------------- as it is documented


def test_the_examples_of_the_pages_run(ray_here):
    for page in ("README.md", "docs/cluster.md"):
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        (example,) = [block for block in blocks if "ClusterAgent" in block]
        names = {"rlx": rlx}
        exec(example, names)
        assert names["algorithm"].steps > 16 * 16 * 15
        assert names["algorithm"].updates == {"README.md": 40, "docs/cluster.md": 20}[page]


# ---------------------------------------------------------------------- the learner


def start(script, folder):
    """A process of its own, as from a terminal."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    file = folder / "script.py"
    file.write_text(textwrap.dedent(script))
    return subprocess.Popen(
        [sys.executable, file],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def sessions(run, agents=()):
    """What runs of all that it has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if os.getsid(int(folder.name)) == run.pid:
                found.append((folder / "cmdline").read_text())
    return [name for name in found if not name.startswith(agents)]


def gone(run, folder=None, agents=()):
    """Nothing is left of a process, its folder included, or soon."""
    until = time.monotonic() + 30
    while left := sessions(run, agents):
        assert time.monotonic() < until, left
        time.sleep(0.2)
    assert folder is None or not Path(folder).exists()


def learner(agent):
    agent.optimizer = None
    torch.manual_seed(0)
    return rlx.algos.PPO(agent, MLPPolicy(agent, hidden=8), n_steps=20)


TRAINING = dict(updates=8, every=2, progress=False)


def test_a_killed_learner_goes_on_from_its_checkpoint_as_if_nothing_had_been(agent, tmp_path):
    straight = learner(agent)
    rlx.train(straight, checkpoint=tmp_path / "straight.pt", **TRAINING)
    script = """
        import os, test_cluster as t
        with t.ClusterAgent(t.ledgers, workers=2, seed=0) as agent:
            print(t.local._ours["folder"], flush=True)
            last = lambda algorithm, _: algorithm.updates == 5 and os.kill(os.getpid(), 9)
            t.rlx.train(t.learner(agent), checkpoint="run.pt", callbacks=[last], **t.TRAINING)
    """
    run = start(script, tmp_path)
    folder = run.stdout.readline().strip()
    assert run.wait(120) == -signal.SIGKILL
    assert Path(folder).exists()
    gone(run, agents=("ray::DashboardAgent", "ray::RuntimeEnvAgent"))  # those stay for a minute
    local._sweep("/tmp")  # what the next to start Ray here does
    assert not Path(folder).exists()
    assert Path(local._ours["folder"]).exists()  # ours is in use
    resumed = learner(agent)
    rlx.train(resumed, checkpoint=tmp_path / "run.pt", resume=True, **TRAINING)
    assert resumed.steps == straight.steps
    for one, two in zip(straight.policy.parameters(), resumed.policy.parameters()):
        assert torch.equal(one, two)


def test_an_interrupt_ends_training_and_the_next_goes_on(tmp_path):
    script = """
        import test_cluster as t
        with t.ClusterAgent(t.ledgers, workers=2, seed=0) as agent:
            print(t.local._ours["folder"], flush=True)
            algorithm = t.learner(agent)
            say = lambda algorithm, _: print(algorithm.updates, flush=True)
            t.rlx.train(algorithm, updates=10**6, progress=False, callbacks=[say])
            done = algorithm.updates
            t.rlx.train(algorithm, updates=3, progress=False)
            print("went on", algorithm.updates - done, flush=True)
    """
    run = start(script, tmp_path)
    folder = run.stdout.readline().strip()
    for line in run.stdout:
        if line == "5\n":
            os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all of them
            break
    rest = run.stdout.read()
    assert run.wait(60) == 0, rest
    assert "went on 3" in rest
    assert "takes its place" not in rest  # the workers did not hear it
    gone(run, folder)


def test_a_node_dies(tmp_path):
    script = """
        import os, ray, shutil, tempfile, test_cluster as t
        from ray.cluster_utils import Cluster
        folder = tempfile.mkdtemp(dir="/tmp")  # the names of its sockets must be short
        print(folder, flush=True)
        noted = t.Path("/tmp/ray/ray_current_cluster")  # its address, whatever it is told
        before = noted.parent.exists()
        noted.parent.mkdir(exist_ok=True)
        names = {"PYTHONPATH": os.environ["PYTHONPATH"]}
        forking = t.forked.start(folder, names)
        os.environ.update(names)
        cluster = Cluster(True, head_node_args={"num_cpus": 1, "temp_dir": folder})
        second = cluster.add_node(num_cpus=1)
        one_each = dict(workers=2, num_cpus=0.5, scheduling_strategy="SPREAD")
        with t.ClusterAgent(t.ledgers, seed=0, address=cluster.address, **one_each) as agent:
            policy, books = t.policy_of(agent), t.Books()
            books.policies = {1: policy, 2: policy}  # the first evaluation notes its memory
            assert t.ask(agent, os.getppid) == [forking.pid] * 2
            for k in range(12):
                books.enter(agent(policy).segment(10))
                if k == 5:
                    forking.stdin.close()
                    forking.wait()  # from here on workers start by themselves
                    cluster.remove_node(second, allow_graceful=False)
            parents = t.ask(agent, os.getppid)
            assert len(set(parents)) == 2, (parents, forking.pid)
        print("lives", len(books.next), flush=True)
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder)
        if not before:
            shutil.rmtree(noted.parent)
    """
    for _ in range(3):
        run = start(script, tmp_path)
        folder, out = run.stdout.readline().strip(), run.stdout.read()
        if run.wait(60) == 0 or "timed out during startup" not in out:
            break  # otherwise the machine was too busy for the 30 seconds that Ray gives a node
    assert run.returncode == 0, out
    assert "lives 6" in out, out  # two workers, and one anew, with two environments each
    assert out.count("takes its place") == 1
    gone(run, folder)
