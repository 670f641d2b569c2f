"""The training loop: budgets, callbacks, logs, interrupts."""

import csv
import math
import sys

import gymnasium
import numpy as np
import pytest
import torch

import rlx
from rlx.algos import PPO, REINFORCE
from rlx.callbacks import csv_log, evaluation, tensorboard
from rlx.networks import MLPPolicy
from rlx.training import History, iterate

QUIET = dict(progress=False)


def make(kind=PPO, seed=0, **options):
    torch.manual_seed(seed)
    agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 4), seed=seed)
    policy = MLPPolicy(agent, hidden=(8, 8), value=kind is not REINFORCE)
    if kind is PPO:
        options = {"n_steps": 8, "epochs": 1, "minibatches": 1, **options}
    return kind(agent, policy, **options)


def parameters(algorithm):
    return torch.cat([p.detach().flatten() for p in algorithm.policy.parameters()])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.pt"


# ---------------------------------------------------------------------- budgets


class Scripted(PPO):
    """Updates that count known amounts and learn nothing: 10 steps, 2 episodes, 1000 seconds."""

    returns = (1.0, 2.0)

    def update(self):
        self.agent.finished.returns = list(self.returns)
        self.agent.finished.lengths = [5, 5]
        self.seconds += 1000  # so that the real time of an update does not matter
        return self.report(10, loss=0.5)


BUDGETS = [
    (dict(updates=3), 3), (dict(updates=0), 0), (dict(steps=30), 3), (dict(steps=31), 4),
    (dict(episodes=6), 3), (dict(episodes=7), 4), (dict(seconds=2500), 3),
    (dict(updates=5, steps=20), 2), (dict(episodes=4, seconds=100_000), 2),
]  # fmt: skip


@pytest.mark.parametrize(("budget", "updates"), BUDGETS)
def test_a_budget_is_counted_from_here_on(budget, updates):
    algorithm = make(Scripted)
    assert len(rlx.train(algorithm, **budget, **QUIET)) == updates
    assert len(rlx.train(algorithm, **budget, **QUIET)) == updates
    assert algorithm.updates == 2 * updates


@pytest.mark.parametrize(("budget", "updates"), BUDGETS)
def test_a_resumed_run_has_what_was_left(budget, updates, path):
    rlx.train(make(Scripted), updates=7, checkpoint=path, **QUIET)  # of no concern to the next
    algorithm = make(Scripted)
    rlx.checkpoint.resume(path, algorithm)
    first = iterate(algorithm, **budget, checkpoint=path, every=1)
    done = sum(1 for _ in zip(range(1), first))
    first.close()
    rest = rlx.train(make(Scripted), **budget, checkpoint=path, resume=True, **QUIET)
    assert done + len(rest) == updates


def test_a_budget_is_needed():
    with pytest.raises(ValueError, match="give a budget: updates="):
        rlx.train(make(), stop_return=1, **QUIET)


def test_resume_needs_a_file():
    with pytest.raises(ValueError, match="resume=True needs checkpoint="):
        rlx.train(make(), updates=1, resume=True, **QUIET)


def test_the_stop_rule_waits_for_a_hundred_episodes():
    algorithm = make(Scripted)
    assert len(rlx.train(algorithm, updates=80, stop_return=1.5, **QUIET)) == 50
    assert len(rlx.train(algorithm, updates=80, stop_return=1.5, **QUIET)) == 0
    assert len(rlx.train(algorithm, updates=80, stop_return=1.6, **QUIET)) == 80


def test_the_running_return_is_that_of_the_last_hundred_episodes():
    algorithm = make(Scripted)
    rlx.train(algorithm, updates=10, **QUIET)
    algorithm.returns = (5.0, 5.0)
    history = rlx.train(algorithm, updates=60, **QUIET)
    assert history["running_return"][0] == pytest.approx((20 * 1.5 + 2 * 5) / 22)
    assert history["running_return"][-1] == 5.0


# ---------------------------------------------------------------------- what is reported


def test_callbacks_are_called_once_an_update():
    algorithm, calls = make(), []

    def first(given, metrics):
        metrics["mine"] = given.updates * 2
        calls.append(("first", given, metrics["updates"]))

    def second(given, metrics):
        calls.append(("second", given, metrics["mine"]))

    history = rlx.train(algorithm, updates=3, callbacks=[first, second], **QUIET)
    pairs = [(("first", algorithm, k), ("second", algorithm, 2 * k)) for k in (1, 2, 3)]
    assert calls == [call for pair in pairs for call in pair]
    assert history["mine"].tolist() == [2, 4, 6]


@pytest.mark.parametrize("word", [True, np.True_])
def test_a_callback_ends_the_run(word, path):
    calls = []

    def enough(algorithm, metrics):
        return word if algorithm.updates == 3 else None

    def after(algorithm, metrics):
        calls.append(algorithm.updates)
        return algorithm  # which is true, but not True

    algorithm = make()
    options = dict(updates=7, checkpoint=path, every=5, callbacks=[enough, after], **QUIET)
    history = rlx.train(algorithm, **options)
    assert history["updates"].tolist() == calls == [1, 2, 3]
    resumed = make()
    rlx.checkpoint.resume(path, resumed)  # the state at the end, though 3 is no multiple of 5
    assert torch.equal(parameters(resumed), parameters(algorithm))
    rest = rlx.train(make(), resume=True, **options)
    assert rest["updates"].tolist() == [4, 5, 6, 7]


def test_threads():
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    try:
        for threads in ({}, dict(threads=2), dict(threads=None)):
            note = [lambda algorithm, metrics: seen.append(torch.get_num_threads())]
            rlx.train(make(Scripted), updates=1, callbacks=note, **threads, **QUIET)
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2, 3]


def test_the_loop_and_its_function_are_both_in_reach():
    assert callable(rlx.train)
    assert [metrics["updates"] for metrics in rlx.iterate(make(Scripted), updates=2)] == [1, 2]


def test_history():
    history = rlx.train(make(), updates=4, **QUIET)
    assert isinstance(history, History)
    assert history["updates"].tolist() == [1, 2, 3, 4]
    assert history["steps"].tolist() == sorted(history["steps"])
    assert history[-1]["updates"] == 4
    assert [metrics["updates"] for metrics in history[1:3]] == [2, 3]
    assert {"return", "length", "running_return", "seconds", "policy_loss"} <= set(history[0])
    assert np.isnan(history["no such thing"]).all()


def test_the_progress_bar(capsys):
    rlx.train(make(Scripted), updates=2)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "return 1.5, length 5, 0 steps/s" in shown


# ---------------------------------------------------------------------- evaluation


class Nosy(gymnasium.Wrapper):
    """An environment that draws from all global generators."""

    def step(self, action):
        torch.rand(()), np.random.rand()  # noqa: NPY002
        return super().step(action)


def evaluated(**options):
    return evaluation(rlx.Agent(Nosy(rlx.envs.make("CartPole-v1")), seed=9), **options)


def test_evaluation_does_not_touch_training():
    plain = make()
    without = rlx.train(plain, updates=6, **QUIET)
    watched = make()
    history = rlx.train(watched, updates=6, callbacks=[evaluated(every=2, episodes=3)], **QUIET)
    assert torch.equal(parameters(plain), parameters(watched))
    for name in set(without[0]) - {"seconds"}:
        assert np.array_equal(without[name], history[name], equal_nan=True), name
    assert plain.recent == watched.recent
    shown = history["eval_return"]
    assert np.isnan(shown).tolist() == [True, False] * 3
    assert np.array_equal(shown, history["eval_length"], equal_nan=True)  # CartPole pays 1 a step


def test_evaluation_is_greedy_and_the_same_after_a_resume(path):
    callback = dict(every=2, episodes=2)
    straight = rlx.train(
        make(), updates=4, checkpoint=path, every=3, callbacks=[evaluated(**callback)], **QUIET
    )
    path = path.with_name("interrupted.pt")
    run = iterate(make(), updates=4, checkpoint=path, every=3)
    for _ in zip(range(3), run):
        pass
    run.close()
    options = dict(checkpoint=path, every=3, resume=True, **QUIET)
    resumed = rlx.train(make(), updates=4, callbacks=[evaluated(**callback)], **options)
    assert resumed["eval_return"].tolist() == straight["eval_return"][3:].tolist()
    # Greedy: another state of torch's generator would give other sampled actions.
    algorithm, metrics = make(Scripted), [{}, {}]
    algorithm.updates = 2
    for k, one in enumerate(metrics):
        torch.manual_seed(k)
        evaluated(**callback)(algorithm, one)
    assert metrics[0] == metrics[1]


def test_evaluation_needs_an_environment_of_its_own():
    algorithm = make()
    with pytest.raises(ValueError, match="environment of its own"):
        rlx.train(algorithm, updates=1, callbacks=[evaluation(algorithm.agent)], **QUIET)


# ---------------------------------------------------------------------- logs


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def updates_in(path):
    return [int(row["updates"]) for row in table(path)]


def test_csv_has_a_row_for_every_update(tmp_path):
    path = tmp_path / "logs" / "run.csv"
    history = rlx.train(make(), updates=4, callbacks=[csv_log(path)], **QUIET)
    rows = table(path)
    assert list(rows[0]) == list(history[0])
    for row, metrics in zip(rows, history, strict=True):
        for name, value in metrics.items():
            assert float(row[name]) == value or (math.isnan(value) and row[name] == "nan")


@pytest.mark.parametrize("last", [True, False])
def test_csv_takes_a_new_column(last, tmp_path):
    path = tmp_path / "run.csv"

    def new(algorithm, metrics):
        if algorithm.updates in (2, 4):
            metrics["late"] = algorithm.updates
        if algorithm.updates == 5:
            metrics["later"] = 1

    # A callback after the log changes what has been written already: that must do no harm.
    after = [lambda algorithm, metrics: metrics.update(unseen=1)]
    callbacks = [new, csv_log(path), *([] if last else after)]
    rlx.train(make(), updates=6, callbacks=callbacks, **QUIET)
    rows = table(path)
    assert updates_in(path) == [1, 2, 3, 4, 5, 6]
    assert [row["late"] for row in rows] == ["", "2", "", "4", "", ""]
    assert [row["later"] for row in rows] == ["", "", "", "", "1", ""]


@pytest.mark.parametrize("same", [True, False])  # the same callback again, as in a notebook
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_csv_continues_at_the_checkpoint(same, stop, path, tmp_path):
    file = tmp_path / "run.csv"
    file.write_text("updates,other\n1,2\n9,3\n")  # an old run's: a new one replaces it
    log, options = csv_log(file), dict(updates=7, checkpoint=path, every=3)
    run = iterate(make(), **options, callbacks=[log])
    for _ in zip(range(stop), run):
        pass
    run.close()
    before = table(file)
    if not same:
        with open(file, "a") as part:
            part.write("1")  # a row that a kill cut short
        log = csv_log(file)
    rlx.train(make(), **options, resume=True, callbacks=[log], **QUIET)
    assert updates_in(file) == [1, 2, 3, 4, 5, 6, 7]
    kept = stop - stop % 3
    assert table(file)[:kept] == before[:kept]


def test_csv_goes_on_with_the_same_algorithm(tmp_path):
    algorithm, log = make(), csv_log(tmp_path / "run.csv")
    for again in (log, log, csv_log(tmp_path / "run.csv")):
        rlx.train(algorithm, updates=2, callbacks=[again], **QUIET)
    assert updates_in(tmp_path / "run.csv") == [1, 2, 3, 4, 5, 6]


def test_tensorboard(tmp_path, path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, options = tmp_path / "board", dict(checkpoint=path, every=2, updates=4)
    run = iterate(make(Scripted), **options, callbacks=[tensorboard(folder)])
    for _ in zip(range(3), run):
        pass
    run.close()
    rlx.train(make(Scripted), **options, resume=True, callbacks=[tensorboard(folder)], **QUIET)
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20, 30, 40]
    assert [event.value for event in events.Scalars("updates")] == [1, 2, 3, 4]


def test_tensorboard_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        tensorboard(tmp_path)


# ---------------------------------------------------------------------- interrupts


def interrupt_in(algorithm, update, pass_=2):
    """Press Ctrl-C before the gradient step number `pass_` of an update."""
    improve, passes = algorithm.improve, []

    def interrupted(batch):
        if algorithm.updates == update - 1:
            passes.append(1)
            if len(passes) == pass_:
                raise KeyboardInterrupt
        return improve(batch)

    algorithm.improve = interrupted


@pytest.mark.parametrize("checkpoint", [True, False])
def test_an_interrupt_ends_training_cleanly(checkpoint, path, capsys):
    algorithm, threads = make(epochs=3), torch.get_num_threads()
    interrupt_in(algorithm, 3)
    before = parameters(algorithm)
    options = dict(checkpoint=path, every=2) if checkpoint else {}
    history = rlx.train(algorithm, updates=5, **options, **QUIET)
    assert (len(history), algorithm.updates) == (2, 2)
    assert torch.get_num_threads() == threads
    assert not torch.equal(parameters(algorithm), before)
    assert all(p.isfinite().all() for p in algorithm.policy.parameters())
    said = capsys.readouterr().out
    assert "Interrupted after 2 updates. The policy keeps what it has learned: call train" in said
    assert (f"resume=True from the last checkpoint, {path}" in said) == checkpoint
    again = rlx.train(algorithm, updates=2, **QUIET)
    assert again["updates"].tolist() == [3, 4]


def test_an_interrupt_before_there_is_a_checkpoint(path, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    assert rlx.train(make(), updates=2, checkpoint=path, **QUIET) == []
    assert "resume=True" not in capsys.readouterr().out
    assert not list(path.parent.iterdir())  # no half of a file either


@pytest.mark.parametrize("how", ["end", "error", "interrupt", "break"])
def test_the_number_of_threads_is_restored(how, monkeypatch):
    number, seen = [3], []  # not torch's own: it would start threads
    monkeypatch.setattr(torch, "get_num_threads", lambda: number[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: number.__setitem__(0, n))

    def callback(algorithm, metrics):
        seen.append(torch.get_num_threads())
        if how in ("error", "interrupt"):
            raise {"error": OSError, "interrupt": KeyboardInterrupt}[how]

    run = iterate(make(Scripted), updates=2, callbacks=[callback])
    try:
        for _ in run:
            if how == "break":
                break
    except (OSError, KeyboardInterrupt):
        pass
    run.close()
    assert set(seen) == {1}
    assert number == [3]


def test_a_forgotten_resume_does_not_overwrite_a_run(path):
    trained, options = make(), dict(checkpoint=path, **QUIET)
    rlx.train(trained, updates=2, **options)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"run of 2 updates.*resume=True"):
        rlx.train(make(), updates=2, **options)
    assert path.read_bytes() == before
    rlx.train(trained, updates=1, **options)  # the same run, continued: nothing is lost
    assert path.read_bytes() != before
