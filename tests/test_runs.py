"""Several seeds in processes: the results of one process, whatever happens to some of them."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import rlx
from rlx.course import swap
from rlx.course.plots import curves
from rlx.seeding import random_states, spawn, undisturbed

pytestmark = pytest.mark.slow
QUIET = dict(progress=False)


def make(seed):
    """As little as learns: the networks are left to the generators that `repeat` has seeded."""
    agent = rlx.Agent(rlx.envs.make_vec("Cue-v0", 4), seed=seed)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,))
    return rlx.algos.REINFORCE(agent, policy, batch_size=4)


def without_seconds(history):
    """Every digit of it: as text, NaN equals itself."""
    return [str({k: v for k, v in metrics.items() if k != "seconds"}) for metrics in history]


@pytest.mark.parametrize("jobs", [1, 2, None])
def test_it_is_what_one_after_another_gives(jobs):
    runs = rlx.repeat(make, seeds=[5, 3, 4], jobs=jobs, updates=2, **QUIET)
    assert runs.seeds == [5, 3, 4]
    assert runs.failures == {}
    for seed, history in zip(runs.seeds, runs):
        with undisturbed(seed):
            expected = rlx.train(make(seed), updates=2, **QUIET)
        assert isinstance(history, rlx.History)
        assert without_seconds(history) == without_seconds(expected)
    assert runs.last("updates").tolist() == [2, 2, 2]
    assert "3 seeds" in curves({"it": runs}, x="updates").alt


def test_a_number_of_seeds_gives_independent_ones_and_more_go_on():
    five, ten = (rlx.repeat(lambda seed: seed, n, jobs=1, **QUIET) for n in (5, 10))
    assert five == five.seeds == ten[:5]
    assert len(set(ten)) == 10
    assert not set(ten) & set(range(20))
    assert ten == spawn(0, 10, "repeat")


def draws(seed):
    return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002


def test_generators_are_seeded_there_and_undisturbed_here():
    before = str(random_states())
    here, there = (rlx.repeat(draws, [1, 2], jobs=jobs, **QUIET) for jobs in (1, 2))
    assert here == there
    assert here[0] != here[1]
    assert str(random_states()) == before


def test_one_thread_a_process():
    threads = torch.get_num_threads()
    assert rlx.repeat(lambda seed: torch.get_num_threads(), 2, jobs=1, **QUIET) == [1, 1]
    assert rlx.repeat(lambda seed: torch.get_num_threads(), 2, jobs=2, **QUIET) == [1, 1]
    assert torch.get_num_threads() == threads


# ---------------------------------------------------------------------- failures


def odd_ones_fail(seed):
    if seed % 2:
        raise ArithmeticError(f"no luck with {seed}")
    return seed


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_is_named_by_its_seed_and_the_others_are_kept(jobs):
    with pytest.warns(UserWarning, match=r"2 of 4 seeds failed.*: [13] \(Arith.*Arith"):
        runs = rlx.repeat(odd_ones_fail, [0, 1, 2, 3], jobs=jobs, **QUIET)
    assert runs == runs.seeds == [0, 2]
    assert set(runs.failures) == {1, 3}
    assert "in odd_ones_fail" in runs.failures[3]
    assert runs.failures[3].endswith("ArithmeticError: no luck with 3")
    with pytest.raises(RuntimeError, match=r"(?s)every seed failed; seed \d.*no luck with"):
        rlx.repeat(odd_ones_fail, [1, 3], jobs=jobs, **QUIET)


def dies(seed):
    if seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return seed


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills in another way")
def test_a_process_that_is_killed():
    with pytest.warns(UserWarning, match=r"1 of 2 seeds failed.*2 \("):
        runs = rlx.repeat(slow_death, [1, 2], jobs=2, **QUIET)
    assert runs == [1]
    assert "Terminated" in runs.failures[2]
    assert rlx.repeat(dies, [3, 4], jobs=2, **QUIET) == [3, 4]  # there are new processes


def slow_death(seed):
    if seed == 2:
        time.sleep(3)
    return dies(seed)


def test_what_cannot_be_sent_says_so():
    lock = threading.Lock()
    with pytest.raises(RuntimeError, match=r"(?s)every seed failed.*cannot pickle '_thread.lock'"):
        rlx.repeat(lambda seed: lock, 2, jobs=2, **QUIET)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (dict(seeds=0), ValueError, "at least one"),
        (dict(seeds=[]), ValueError, "at least one"),
        (dict(seeds=[1, 2, 1]), ValueError, "none twice"),
        (dict(jobs=0), ValueError, "jobs=0"),
        (dict(checkpoint="x.pt"), TypeError, "checkpoint= would be shared by all seeds"),
        (dict(callbacks=[]), TypeError, "callbacks= would be shared"),
        (dict(update=3), RuntimeError, "unexpected keyword argument 'update'"),
        ({}, RuntimeError, "give a budget"),
    ],
)
def test_mistaken_calls(arguments, kind, words):
    with pytest.raises(kind, match=words):
        rlx.repeat(make, **{"jobs": 1, **arguments}, **QUIET)


def test_what_is_swapped_here_is_not_swapped_elsewhere_without_a_word():
    def none(rewards, end, gamma):
        return torch.zeros_like(rewards)

    def trained(seed):
        with swap(discounted_returns=none):
            return rlx.train(make(seed), updates=2, **QUIET)

    with swap(discounted_returns=none):
        with pytest.raises(ValueError, match=r"swap\(discounted_returns=…\).*jobs=1"):
            rlx.repeat(make, 2, jobs=2, updates=2, **QUIET)
        here = rlx.repeat(make, 2, jobs=1, updates=2, **QUIET)
    there = rlx.repeat(trained, 2, jobs=2, **QUIET)
    assert here.last("policy_loss").tolist() == there.last("policy_loss").tolist() == [0, 0]


# ---------------------------------------------------------------------- kept in a folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_seeds_that_are_done_are_not_run_again(jobs, tmp_path):
    def noted(seed):
        (tmp_path / f"began {seed}").touch(exist_ok=seed == 1)
        if seed == 1 and not (tmp_path / "mended").exists():
            raise ArithmeticError
        return make(seed)

    options = dict(jobs=jobs, path=tmp_path / "runs", updates=2, **QUIET)
    with pytest.warns(UserWarning, match="1 of 2 seeds failed"):
        rlx.repeat(noted, [0, 1], **options)
    (tmp_path / "mended").touch()
    runs = rlx.repeat(noted, [2, 1, 0], **options)  # a second time, 0 and 2 would raise
    again = rlx.repeat(noted, [2, 1, 0], **options)
    assert runs.seeds == again.seeds == [2, 1, 0]
    assert again == runs  # bit for bit, also what came from files
    assert isinstance(again[0], rlx.History)
    fresh = rlx.repeat(make, [0], jobs=1, updates=2, **QUIET)
    assert without_seconds(runs[2]) == without_seconds(fresh[0])
    assert sorted(file.name for file in (tmp_path / "runs").iterdir()) == [
        "0.json", "1.json", "2.json",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"2.json holds a run with \{'updates': 2\}, not"):
        rlx.repeat(noted, [2], **{**options, "updates": 3})


def test_a_result_that_a_folder_cannot_keep(tmp_path):
    with pytest.raises(RuntimeError, match="Tensor is not JSON serializable"):
        rlx.repeat(lambda seed: torch.zeros(1), 2, jobs=1, path=tmp_path, **QUIET)
    assert rlx.repeat(lambda seed: {"x": [seed]}, [7], jobs=1, path=tmp_path, **QUIET) == [
        {"x": [7]}
    ]


# ---------------------------------------------------------------------- notebooks and scripts

CELLS = [
    """
import torch, rlx
factor = 2

class Policy(rlx.Parametric):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(6, 4)
    def forward(self, *states):
        logits = self.net(states[-1])
        return None, rlx.ActionDistribution(torch.distributions.Categorical(logits=logits))

class Mine(rlx.algos.REINFORCE):
    def update(self):
        return super().update() | {"mine": float(factor)}

def make(seed):
    return Mine(rlx.Agent(rlx.envs.make_vec("Cue-v0", 4), seed=seed), Policy(), batch_size=4)
""",
    "runs = rlx.repeat(make, seeds=3, jobs=2, updates=2, progress=False)\nprint(runs.last('mine'))",
    "factor = 3  # a later edit counts\n"
    "print(rlx.repeat(make, seeds=3, jobs=2, updates=2, progress=False).last('mine'))",
    "same = rlx.repeat(make, seeds=3, jobs=1, updates=2, progress=False)\n"
    "print((same.last('policy_loss') == runs.last('policy_loss')).all(), len(runs.failures))",
]


def test_in_a_notebook_what_a_cell_defines_goes_along(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = ["".join(o.get("text", "") for o in cell.outputs) for cell in cells]
    assert outputs == ["", "[2. 2. 2.]\n", "[3. 3. 3.]\n", "True 0\n"]


SCRIPT = """
import time, rlx
print("once", flush=True)

def make(seed):
    while seed:
        time.sleep(0.1)
    return "done"

runs = rlx.repeat(make, seeds=[0, 1, 2, 3], jobs=2, path="runs")
print(runs, runs.seeds, flush=True)
"""


def wait_for(condition, seconds=120):
    for _ in range(10 * seconds):
        if condition():
            return True
        time.sleep(0.1)
    return False


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C as a terminal sends it")
def test_ctrl_c_in_a_script_without_a_guard(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "once\n"
        kept = tmp_path / "runs/0.json"
        wait_for(kept.exists)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "Interrupted: 1 of 4 seeds are done." in out
    assert out.endswith("['done'] [0]\n")  # and "once" was printed once
    assert "once" not in out
    assert wait_for(lambda: not alive(process.pid), 20), "a process was left behind"


def test_the_library_alone_does_not_need_it():
    names = ("loky", "scipy.stats", "IPython")
    code = f"import sys, rlx; print([name for name in {names} if name in sys.modules])"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout == "[]\n"
