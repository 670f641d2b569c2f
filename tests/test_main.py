"""The command line: every flag does what it says, and a user's error is one line."""

import inspect
import math
import re
import runpy
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import pytest
import torch

import rlx
from rlx import cli, tuned
from rlx.algos.base import options_of

ROOT = Path(__file__).parents[1]
ALGORITHMS = {
    "rf": rlx.algos.REINFORCE,
    "ac": rlx.algos.ActorCritic,
    "a2c": rlx.algos.A2C,
    "ppo": rlx.algos.PPO,
    "offpac": rlx.algos.OffPAC,
    "impala": rlx.algos.IMPALA,
}
REPLAYING = {  # with the environment, the network, and what it does not admit
    "dqn": (rlx.algos.DQN, "Cue-v0", "QPolicy", "Reach-v0"),
    "ddpg": (rlx.algos.DDPG, "Reach-v0", "NoisyPolicy", "Cue-v0"),
    "td3": (rlx.algos.TD3, "Reach-v0", "NoisyPolicy", "CueBoth-v0"),
    "sac": (rlx.algos.SAC, "Reach-v0", "SquashedPolicy", "Cue-v0"),
}
# Episodes of three steps, with a reward at the last: an update takes milliseconds. Four rollouts of
# six steps: one update, of four or eight episodes.
TINY = "--env Cue-v0 --batch_size 4 --horizon 6 --max_episode 1"


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command line here. Returns its exit status, output, and the algorithm it trained."""
    train = rlx.train

    def command(line):
        run = SimpleNamespace(status=0, algorithm=None, history=[])

        def spy(algorithm, **options):
            run.algorithm, run.options = algorithm, options
            run.before = parameters(algorithm)
            run.history = train(algorithm, **options)
            return run.history

        monkeypatch.setattr(rlx, "train", spy)
        monkeypatch.setattr(sys, "argv", ["main.py", *shlex.split(line)])
        try:
            cli.main()
        except SystemExit as stop:
            run.status = stop.code
        run.out, run.err = capsys.readouterr()
        if run.status == 0 and run.algorithm:
            run.after = parameters(run.algorithm)
            run.lines = [line for line in run.out.splitlines() if "policy_loss" in line]
        return run

    return command


def parameters(algorithm):
    return torch.cat([p.detach().flatten() for p in algorithm.policy.parameters()])


# ---------------------------------------------------------------------- what the flags do


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize(
    ("policytype", "network"),
    [("mlp", "MLPPolicy"), ("rnn", "GRUPolicy"), ("lstm", "LSTMPolicy")],
)
def test_algo_and_policytype(command, algo, policytype, network):
    run = command(f"{TINY} --algo {algo} --policytype {policytype}")
    assert run.status == 0
    assert type(run.algorithm) is ALGORITHMS[algo]
    assert type(run.algorithm.policy).__name__ == network
    assert not torch.equal(run.after, run.before)


# A value other than the default, for each flag that an algorithm takes a number or a switch from.
EVERYWHERE = ["--gamma 0.5", "--lr 0.02", "--entropy_reg 0.5", "--no-standardize_return"]
CHANGES = {
    "rf": EVERYWHERE,
    "ac": EVERYWHERE,
    "a2c": [*EVERYWHERE, "--gae_lambda 0.1"],
    "ppo": [*EVERYWHERE, "--gae_lambda 0.1", "--ppo_clip 0.001", "-K 2", "--ppo_k_epochs 2"],
    "offpac": [*EVERYWHERE, "--gae_lambda 0.1", "--max_rbusage 1", "--rbsize 2", "--clip_rho 0.1"],
    "impala": [*EVERYWHERE[:3], "--standardize_return", "--gae_lambda 0.1", "--rollouts 2"],
}


@pytest.mark.parametrize(
    ("algo", "flag"), [(algo, flag) for algo, flags in CHANGES.items() for flag in flags]
)
def test_no_flag_is_swallowed(command, algo, flag):
    # Same seed, same samples: only the flag can make a difference to what is learned from them.
    line = TINY + " --max_episode 8" * (flag == "--max_rbusage 1")  # a second update replays
    plain, other = (command(f"{line} --algo {algo} {extra}") for extra in ("", flag))
    assert (plain.status, other.status) == (0, 0)
    assert torch.equal(plain.before, other.before)
    assert not torch.allclose(plain.after, other.after, rtol=0, atol=1e-6)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_lr_is_the_size_of_the_first_step(command, algo):
    # Adam's first step has the size of the learning rate in every parameter with a gradient.
    run = command(f"{TINY} --algo {algo} --lr 0.0123" + " -K 1" * (algo == "ppo"))
    steps = {"ppo": 4}.get(algo, 1)  # minibatches
    largest = (run.after - run.before).abs().max().item()
    assert 0.0122 < largest < steps * 0.0124


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_grad_clip_bounds_the_gradient(command, algo, monkeypatch):
    norms = []
    step = rlx.Agent.step

    def spy(agent, *args, **kwargs):
        gradients = [p.grad for group in agent.optimizer.param_groups for p in group["params"]]
        before = torch.nn.utils.get_total_norm([g for g in gradients if g is not None])
        result = step(agent, *args, **kwargs)
        after = torch.nn.utils.get_total_norm([g for g in gradients if g is not None])
        norms.append((before.item(), after.item()))
        return result

    monkeypatch.setattr(rlx.Agent, "step", spy)
    command(f"{TINY} --algo {algo}")
    assert all(before == after > 1e-3 for before, after in norms)  # 0, the default, is no bound
    norms.clear()
    command(f"{TINY} --algo {algo} --grad_clip 0.001")
    assert norms
    assert all(after == pytest.approx(0.001, rel=1e-3) for _, after in norms)


@pytest.mark.parametrize("algo", [a for a in ALGORITHMS if a not in ("offpac", "impala")])  # scale
@pytest.mark.parametrize("flag", ["--standardize_return", "--no-standardize_return"])
def test_standardize_return(command, algo, flag, monkeypatch):
    calls = []
    normalize = rlx.functional.normalize
    monkeypatch.setattr(
        rlx.functional, "normalize", lambda *a, **k: calls.append(a) or normalize(*a, **k)
    )
    run = command(f"{TINY} --algo {algo} {flag}")
    assert run.status == 0
    assert bool(calls) == (flag == "--standardize_return")


@pytest.mark.parametrize("flag", ["-K", "--ppo_k_epochs"])
def test_ppo_k_epochs(command, flag, monkeypatch):
    calls = []
    improve = rlx.algos.PPO.improve
    monkeypatch.setattr(
        rlx.algos.PPO, "improve", lambda self, b: calls.append(len(b)) or improve(self, b)
    )
    run = command(f"{TINY} --algo ppo {flag} 3")
    assert sum(calls) == 3 * run.algorithm.steps  # each row, in each of three passes


def test_ppo_clip(command, monkeypatch):
    clips = []
    loss = rlx.functional.ppo_clip_loss
    monkeypatch.setattr(rlx.functional, "ppo_clip_loss", lambda *a: clips.append(a[-1]) or loss(*a))
    command(f"{TINY} --algo ppo")
    assert set(clips) == {0.2}
    clips.clear()
    command(f"{TINY} --algo ppo --ppo_clip 0.07")
    assert set(clips) == {0.07}


def test_rbsize_and_max_rbusage(command, monkeypatch):
    stored = []
    draw = rlx.algos.OffPAC.draw
    monkeypatch.setattr(
        rlx.algos.OffPAC, "draw", lambda self: stored.append(len(self.stored)) or draw(self)
    )
    command(f"{TINY} --algo offpac --max_episode 16 --max_rbusage 2")
    assert stored == [4, 8, 8, 8]  # four episodes an update, each of them there for two updates
    stored.clear()
    command(f"{TINY} --algo offpac --max_episode 16 --rbsize 7")
    assert stored == [4, 7, 7, 7]


def test_gamma_and_gae_lambda(command, monkeypatch):
    seen = []
    for name in ("gae", "discounted_returns", "vtrace"):

        def spy(original, *args, **clips):
            seen.append(args)
            return original(*args, **clips)

        monkeypatch.setattr(rlx.functional, name, partial(spy, getattr(rlx.functional, name)))
    takes_lambda = ("a2c", "ppo", "offpac", "impala")
    for algo in ALGORITHMS:
        seen.clear()
        command(f"{TINY} --algo {algo} --gamma 0.83" + " --gae_lambda 0.7" * (algo in takes_lambda))
        numbers = [[x for x in args if isinstance(x, float)] for args in seen]
        assert all(one[0] == 0.83 for one in numbers)
        assert numbers[-1][:2] == ([0.83, 0.7] if algo in takes_lambda else [0.83])


@pytest.mark.parametrize("algo", ["rf", "ac", "offpac"])
def test_batch_size_counts_rollouts(command, algo):
    run = command(f"--env CartPole-v1 --algo {algo} --batch_size 3 --horizon 5 --max_episode 1")
    assert run.algorithm.episodes == 3
    assert run.history[0]["length"] == 5.0  # nobody falls sooner


@pytest.mark.parametrize("algo", ["a2c", "ppo", "impala"])
def test_batch_size_and_horizon_of_segments(command, algo):
    run = command(f"--env Recall-v0 --algo {algo} --batch_size 3 --horizon 5 --max_episode 1")
    assert run.algorithm.steps == 3 * 5  # the length of an episode
    assert run.algorithm.episodes == 3


def test_without_horizon_episodes_run_to_their_end(command):
    run = command("--env Recall-v0 --algo rf --batch_size 3 --max_episode 1")
    assert run.history[0]["length"] == 5.0


def test_max_episode(command):
    run = command("--env Cue-v0 --algo rf --batch_size 4 --max_episode 9")
    assert run.algorithm.episodes == 12  # three updates: two would be eight
    assert "finished: running return" in run.out
    assert "12 episodes, 36 steps" in run.out


@pytest.mark.parametrize(("interval", "lines"), [(1, 5), (2, 2), (100, 0)])
def test_interval(command, interval, lines):
    run = command(f"--env Cue-v0 --algo rf --batch_size 4 --max_episode 20 --interval {interval}")
    assert len(run.history) == 5
    assert len(run.lines) == lines
    for line in run.lines:
        assert re.search(r"episodes \d+ .*running_return 0\.\d+ .*policy_loss \S+ .*entropy", line)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_seed(command, algo):
    line = f"--algo {algo} --env Cue-v0 --batch_size 4 --horizon 6 --max_episode 8 --seed"
    one, again, two = (command(f"{line} {seed}") for seed in (1, 1, 2))
    assert torch.equal(one.after, again.after)
    assert not torch.equal(one.before, two.before)  # the networks
    returns = [run.algorithm.agent.finished.returns for run in (one, again, two)]
    assert returns[0] == returns[1]


def test_seed_of_the_environments(command, monkeypatch):
    seeds = []
    reset = rlx.envs.native.BatchedEnv.reset

    def spy(env, *, seed=None, options=None):
        seeds.append(seed)
        return reset(env, seed=seed, options=options)

    monkeypatch.setattr(rlx.envs.native.BatchedEnv, "reset", spy)
    command(f"{TINY} --algo rf --seed 7")
    assert seeds[0] == 7


# ---------------------------------------------------------------------- replayed steps


def replaying(algo):
    """A command of three updates, the last two of which learn."""
    tiny = "--num_envs 4 --horizon 6 --passes 2 --batch_size 8 --warmup 30 --max_episode 1"
    tiny += " --length 5 --rbsize 1000" + " --epsilon_steps 100" * (algo == "dqn")
    return f"{tiny} --algo {algo} --env {REPLAYING[algo][1]} --max_episode 20"


@pytest.mark.parametrize("algo", REPLAYING)
@pytest.mark.parametrize(
    ("policytype", "memory"), [("mlp", None), ("rnn", "gru"), ("lstm", "lstm")]
)
def test_replaying_algorithms(command, algo, policytype, memory):
    run = command(f"{replaying(algo)} --policytype {policytype}" + " --burn_in 2" * bool(memory))
    assert run.status == 0
    kind, _, policy, _ = REPLAYING[algo]
    assert type(run.algorithm) is kind
    assert type(run.algorithm.policy).__name__ == policy
    network = run.algorithm.policy.network if algo == "dqn" else run.algorithm.policy
    assert network.memory_kind == memory
    assert not torch.equal(run.after, run.before)
    assert run.algorithm.replay.capacity == 1000


@pytest.mark.slow
@pytest.mark.parametrize("algo", REPLAYING)
@pytest.mark.parametrize(
    "flag",
    ["--gamma 0.5", "--lr 0.02", "--grad_clip 0.001", "--batch_size 7", "--passes 3", "--length 3"]
    + ["--n_step 2", "--tau 0.5", "--warmup 60", "--num_envs 5", "--horizon 5", "--rbsize 40"]
    + ["--burn_in 1", "--epsilon_steps 2"]
    + ["--critic_lr 0.02", "--temperature_lr 0.05", "--initial_temperature 0.3"],
)
def test_no_flag_of_theirs_is_swallowed(command, algo, flag):
    name, continuous = flag.split()[0], [one for one in REPLAYING if one != "dqn"]
    only = {"--epsilon_steps": ["dqn"], "--critic_lr": continuous}
    if algo not in only.get(name, ["sac"] if "temperature" in name else REPLAYING):
        run = command(f"{replaying(algo)} {flag}")
        assert run.status == 2
        assert f"{name} means nothing" in run.err
        return
    memory = " --policytype rnn --burn_in 0" * ("burn_in" in flag)  # there it means something
    plain, other = (command(f"{replaying(algo)}{memory} {extra}") for extra in ("", flag))
    assert (plain.status, other.status) == (0, 0)
    assert torch.equal(plain.before, other.before)
    assert not torch.allclose(plain.after, other.after, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("algo", REPLAYING)
@pytest.mark.parametrize("policytype", ["rnn", "lstm"])
def test_windows_that_would_be_all_burn_in(command, algo, policytype):
    # Of two windows in a batch both may begin within the last steps of an episode.
    run = command(
        f"{replaying(algo)} --policytype {policytype} --burn_in 3 --batch_size 2 --passes 40"
    )
    assert run.status == 0, run.err
    assert all(math.isfinite(one.get("q", 0.0)) for one in run.history)


@pytest.mark.parametrize("algo", REPLAYING)
def test_an_action_space_that_is_not_admitted(command, algo):
    env = REPLAYING[algo][3]
    run = command(f"--algo {algo} --env {env}")
    assert run.status == 2
    assert run.err.count("\n") == 1
    assert ("Box(" if algo == "dqn" else "Discrete(") in run.err  # what there is
    assert "SAC take a Box" in run.err or "DQN takes a Discrete" in run.err  # what to do


# ---------------------------------------------------------------------- what it says


def test_the_values_in_force_are_printed_first(command):
    for algo in ALGORITHMS:
        run = command(f"{TINY} --algo {algo} --gamma 0.875 --base 'a b' --no-standardize_return")
        shown = run.out.splitlines()[0]
        assert f"--algo {algo} --policytype mlp --env Cue-v0 --seed 0" in shown
        for word in ("--gamma 0.875", "--no-standardize_return", "--lr 0.0", "--entropy_reg 0.0"):
            assert word in shown
        assert ("--ppo_clip 0.2" in shown) == (algo == "ppo")  # only what means something here
        assert ("--rbsize 100" in shown) == (algo == "offpac")
        # The line can be given again, and means the same.
        again = command(shown)
        assert again.out.splitlines()[0] == shown
        assert torch.equal(again.after, run.after)


@pytest.mark.parametrize(
    ("env", "goal"),
    [
        ("CartPole-v0", 197.0),
        ("CartPole-v1", 480.0),
        ("IncompleteCartPole-v0", 193.0),
        ("IncompleteCartPole-v1", 480.0),
        ("rlx/IncompleteCartPole-v1", 480.0),
        ("CartPole", 480.0),  # gymnasium takes the newest
        ("Cue-v0", 0.9),  # the environment's own threshold
        ("Pendulum-v1", -200.0),
        ("PositionPendulum-v1", None),  # has none
    ],
)
def test_bare_names_and_when_training_stops(command, env, goal):
    run = command(f"--env {env} --algo a2c --batch_size 1 --horizon 50 --max_episode 1")
    assert run.status == 0
    assert run.options["stop_return"] == goal


def test_training_stops_at_the_running_return(command, monkeypatch):
    # Four actions, one of them right: 0.1 is passed as soon as there are a hundred episodes.
    monkeypatch.setitem(tuned.SOLVED, "Cue-v0", 0.1)
    run = command("--env Cue-v0 --algo rf --batch_size 16 --max_episode 5000")
    assert run.algorithm.episodes == 112
    assert "solved: running return 0." in run.out
    run = command("--env Cue-v0 --algo rf --batch_size 16 --max_episode 48")
    assert "solved" not in run.out  # by so few episodes
    assert "finished: running return 0." in run.out


README = (
    "--algo ppo --policytype rnn --batch_size 16 --max_episode 5000 --horizon 200 "
    "--env CartPole-v0 --standardize_return"
)


def test_the_command_of_the_original_readme(command):
    run = command(README.replace("--max_episode 5000", "--max_episode 1"))
    assert run.status == 0
    algorithm = run.algorithm
    assert type(algorithm) is rlx.algos.PPO
    assert type(algorithm.policy) is rlx.networks.GRUPolicy
    assert (algorithm.agent.num_envs, algorithm.n_steps) == (16, 200)
    assert algorithm.standardize_return is True
    assert algorithm.agent.env.spec.id == "CartPole-v0"
    assert "out of date" not in run.err  # it is what was asked for


def test_help_names_every_flag(command):
    run = command("--help")
    assert run.status == 0
    known = set(cli.HELP)
    known |= {"algo", "policytype", "env", "seed", "max_episode", "interval", "render", "base"}
    known |= {"checkpoint", "resume", "csv"}
    for flag in known | {"tbdir", "tbtag", "no-standardize_return"}:
        assert re.search(rf"--{flag}\b", run.out), flag
    assert "None" not in run.out


# ---------------------------------------------------------------------- checkpoints


def test_a_run_goes_on_from_its_checkpoint(command, tmp_path):
    line = "--env Cue-v0 --algo rf --batch_size 4 --interval 2"
    saved = f"--checkpoint {tmp_path}/run.pt --csv {tmp_path}/run.csv"
    whole = command(f"{line} --max_episode 32 --checkpoint {tmp_path}/whole.pt")
    command(f"{line} --max_episode 16 {saved}")
    rest = command(f"{line} --max_episode 32 {saved} --resume")
    assert rest.algorithm.updates == whole.algorithm.updates == 8
    assert torch.equal(rest.after, whole.after)
    updates = [row.split(",")[0] for row in (tmp_path / "run.csv").read_text().split()]
    assert updates == ["updates", *map(str, range(1, 9))]
    forgotten = command(f"{line} --max_episode 4 {saved}")
    missing = command(f"{line} --checkpoint {tmp_path}/no.pt --resume")
    nowhere = command(f"{line} --resume")
    for run, what in (
        (forgotten, "--resume"),
        (missing, "no checkpoint"),
        (nowhere, "--checkpoint"),
    ):
        assert run.status == 2
        assert "resume=" not in run.err
        assert run.err.count("\n") == 1
        assert what in run.err


# ---------------------------------------------------------------------- TensorBoard


@pytest.mark.parametrize(
    ("flags", "folder"),
    [
        ("--tbdir logs", "logs/run"),
        ("--tbdir logs --tbtag first", "logs/first"),
        ("--base deep/er --tbdir logs --tbtag first", "deep/er/logs/first"),
    ],
)
def test_tensorboard(command, flags, folder, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    run = command(f"--env Cue-v0 --algo ac --batch_size 4 --max_episode 12 {flags}")
    assert run.status == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in files] == [tmp_path / folder]
    events = EventAccumulator(str(tmp_path / folder)).Reload()
    assert {"running_return", "return", "value_loss", "entropy"} <= set(events.Tags()["scalars"])
    logged = events.Scalars("policy_loss")
    assert [event.step for event in logged] == [12, 24, 36]  # environment steps
    assert [event.value for event in logged] == pytest.approx(
        [metrics["policy_loss"] for metrics in run.history], abs=1e-6
    )


def test_nothing_is_written_without_tbdir(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(f"{TINY} --algo rf --tbtag x").status == 0
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- a window


class Screen(gymnasium.Wrapper):
    """Counts what would be seen."""

    def __init__(self, env):
        super().__init__(env)
        self.metadata = {"render_modes": ["human"]}
        self.resets = self.steps = 0

    def reset(self, **kwargs):
        self.resets += 1
        return super().reset(**kwargs)

    def step(self, action):
        self.steps += 1
        return super().step(action)


def test_render(command, monkeypatch):
    screens = {}
    make = rlx.envs.make

    def spy(name, render_mode=None):
        screens[render_mode] = Screen(make(name))
        return screens[render_mode]

    line = "--env Cue-v0 --algo rf --batch_size 4 --max_episode 20 --interval 2"
    plain = command(line)
    monkeypatch.setattr(rlx.envs, "make", spy)
    command(line)
    assert not screens
    shown = command(f"{line} --render")
    assert screens["human"].resets == 1 + 2  # to open the window, then after updates 2 and 4
    assert screens["human"].steps == 2 * 3
    assert torch.equal(shown.after, plain.after)  # to watch a run does not change it


@pytest.fixture
def pygame(monkeypatch):
    pygame = pytest.importorskip("pygame")
    pygame.quit()
    yield pygame
    pygame.quit()


def test_render_a_real_environment(command, pygame, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    run = command(
        "--env CartPole-v1 --algo rf --batch_size 2 --horizon 5 --max_episode 1 "
        "--interval 1 --render"
    )
    assert run.status == 0
    assert pygame.display.get_surface().get_size() == (600, 400)


# ---------------------------------------------------------------------- a user's errors


def one_line(run):
    assert run.status == 2
    assert "Traceback" not in run.err
    assert run.err.startswith("main.py: ")
    assert run.err.count("\n") == 1
    assert run.err.endswith("\n")
    assert not run.out
    return run.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--algo sarsa", ["sarsa", *ALGORITHMS]),
        ("--policytype cnn", ["cnn", "mlp", "rnn"]),
        ("--env CartPol-v1", ["CartPol-v1", "CartPole-v1"]),
        ("--env incompletecartpole-v1", ["rlx/IncompleteCartPole-v1"]),
        ("--env Recal-v0", ["rlx/Recall-v0"]),
        ("--env CartPole-v7", ["CartPole-v7", "CartPole-v1"]),
        ("--env nowhere:Nothing-v0", ["nowhere"]),
        ("--env ''", ["environment"]),
        ("--env Blackjack-v1", ["Tuple", "FlattenObservation"]),
        ("--gamma 2", ["--gamma", "2", "between 0 and 1"]),
        ("--gamma nan", ["--gamma"]),
        ("--gamma high", ["--gamma", "high"]),
        ("--gae_lambda -0.1", ["--gae_lambda"]),
        ("--batch_size 0", ["--batch_size", "above 0"]),
        ("--batch_size 2.5", ["--batch_size", "whole number"]),
        ("--horizon 0", ["--horizon"]),
        ("--max_episode -3", ["--max_episode"]),
        ("--interval 0", ["--interval"]),
        ("-K 0", ["-K"]),
        ("--algo offpac --rbsize 0", ["--rbsize"]),
        ("--algo offpac --max_rbusage 0", ["--max_rbusage"]),
        ("--lr -1", ["--lr", "-1"]),
        ("--lr nan", ["--lr", "nan"]),
        ("--lr inf", ["--lr", "inf"]),
        ("--entropy_reg nan", ["--entropy_reg"]),
        ("--grad_clip -1", ["--grad_clip"]),
        ("--ppo_clip nan", ["--ppo_clip"]),
        ("--seed -1", ["--seed"]),
        ("--seed 1e3", ["--seed"]),
        ("--seed 99999999999999999999", ["--seed"]),
        ("--algo rf --ppo_clip 0.1", ["--ppo_clip", "rf", "--gamma"]),
        ("--algo rf -K 3", ["--ppo_k_epochs", "rf"]),
        ("--algo ac --gae_lambda 0.9", ["--gae_lambda", "ac"]),
        ("--algo a2c --rbsize 5", ["--rbsize", "a2c"]),
        ("--algo ppo --max_rbusage 5", ["--max_rbusage", "ppo"]),
        ("--algo offpac --ppo_k_epochs 4", ["--ppo_k_epochs", "offpac"]),
        ("--learning_rate 1", ["--learning_rate"]),
        ("CartPole-v1", ["CartPole-v1"]),
        ("--env Cue-v0 --render", ["--render", "Cue-v0"]),
        ("--lr", ["--lr"]),
    ],
)
def test_a_users_error_is_one_line(command, line, words):
    error = one_line(command(f"--max_episode 1 {line}"))
    for word in words:
        assert word in error


def test_an_environment_that_needs_more(command, monkeypatch):
    def missing(*args, **kwargs):
        raise gymnasium.error.DependencyNotInstalled(
            "Box2D is not installed,\nrun `pip install it`"
        )

    monkeypatch.setattr(rlx.envs, "make_vec", missing)
    assert "Box2D is not installed, run `pip install it`" in one_line(command("--env X-v0"))


def test_an_environment_that_cannot_be_imported(command, monkeypatch):
    def missing(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'jax'")

    monkeypatch.setattr(rlx.envs, "make_vec", missing)
    assert "'jax'" in one_line(command("--env X-v0"))


def test_tensorboard_is_missing(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    error = one_line(command(f"{TINY} --tbdir {tmp_path}"))
    assert "pip install tensorboard" in error


def test_a_folder_that_cannot_be_written(command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    error = one_line(command(f"{TINY} --tbdir {tmp_path / 'file' / 'logs'}"))
    assert "--tbdir" in error
    assert str(tmp_path) in error
    error = one_line(command(f"{TINY} --tbdir {tmp_path} --tbtag file"))
    assert "--tbdir" in error


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that nobody can write to")
def test_a_folder_that_exists_but_cannot_be_written(command):
    error = one_line(command(f"{TINY} --tbdir /proc --tbtag self"))
    assert "--tbdir: cannot write to /proc/self" in error


def test_no_display(command, pygame, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "no-such-driver")
    error = one_line(command("--env CartPole-v1 --render --max_episode 1"))
    assert "no-such-driver" in error


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_run_that_diverges(command, algo):
    run = command(f"--env CartPole-v1 --algo {algo} --batch_size 2 --horizon 9 --lr 3e38")
    assert run.status == 2
    assert "Traceback" not in run.err
    last = run.err.splitlines()[-1]  # after the progress bar
    assert last.startswith("main.py: ")
    assert re.search("(is|are) (inf|-inf|nan|not finite)", last)


def test_a_disk_that_is_full(command, monkeypatch):
    def full(*args, **kwargs):
        error = OSError(28, "No space left on device")
        error.add_note("The last checkpoint is there.")
        raise error

    monkeypatch.setattr(rlx.algos.REINFORCE, "update", full)
    run = command(f"{TINY} --algo rf")
    assert run.status == 2
    last = run.err.splitlines()[-1]
    assert last.startswith("main.py: ")
    assert last.endswith("No space left on device The last checkpoint is there.")


# ---------------------------------------------------------------------- in a process of its own


@pytest.mark.slow
def test_ctrl_c_ends_with_a_sentence(tmp_path):
    line = "--env Cue-v0 --algo rf --batch_size 4 --max_episode 1000000 --interval 1 --lr 0"
    process = subprocess.Popen(
        [sys.executable, ROOT / "main.py", *line.split()],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # a shell that starts us in the background has us ignore it, and we would pass that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        assert "--algo rf" in process.stdout.readline()  # at once, not when a buffer is full
        assert "policy_loss" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in err
    assert re.search(r"Interrupted after \d+ updates", out)
    assert re.search(r"interrupted: running return 0\.\d after \d+ episodes", out)


def test_ctrl_c_before_training(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(rlx.envs, "make_vec", interrupted)
    monkeypatch.setattr(sys, "argv", ["main.py"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "main.py"), run_name="__main__")
    assert stop.value.code == "interrupted"  # which Python prints, with status 1


@pytest.mark.slow
@pytest.mark.parametrize("program", [[ROOT / "main.py"], ["-m", "rlx"]])
def test_an_error_in_a_process_of_its_own(program, tmp_path):
    done = subprocess.run(
        [sys.executable, *program, "--env", "CartPol-v1"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("rlx: " if "-m" in program else "main.py: ")
    assert "CartPole-v1" in done.stderr


# ---------------------------------------------------------------------- options and settings

OF_OBJECTS = {"behaviour", "critic", "epsilon"}  # which no flag can give


@pytest.mark.parametrize("algo", tuned.ALGORITHMS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_every_option_is_a_flag_and_every_tuned_value_an_option(algo, recurrent):
    options = set(options_of(tuned.ALGORITHMS[algo]))
    assert {"lr", "grad_clip"} <= options
    settings = tuned.settings(algo, recurrent)
    assert options <= set(settings) <= options | {"num_envs"}
    assert set(cli.flags(algo).values()) == set(settings) - OF_OBJECTS


def test_a_default_is_that_of_the_class_unless_it_was_tuned():
    assert tuned.settings("rf") | {"num_envs": 1} == {"num_envs": 1} | {
        "batch_size": 16, "horizon": None, "gamma": 0.99, "standardize_return": True,
        "entropy_reg": 0.01, "lr": 3e-3, "grad_clip": 0.0,
    }  # fmt: skip
    recurrent = {"gamma": 0.95, "entropy_reg": 0.03, "grad_clip": 0.5}
    assert tuned.settings("rf", recurrent=True) == tuned.settings("rf") | recurrent


def test_a_subclass_has_the_options_of_all_above_it():
    class Mine(rlx.algos.TD3):
        delay: int = 3
        mine: int = 1

    defaults = options_of(Mine)
    shown = inspect.signature(Mine).parameters
    assert list(shown) == ["agent", "policy", *defaults]
    assert all(shown[name].default == default for name, default in defaults.items())
    assert (defaults["delay"], defaults["mine"]) == (3, 1)
    assert set(defaults) == {*options_of(rlx.algos.TD3), "mine"}
    assert {"lr", "passes", "target_noise"} < set(defaults)


def test_make_takes_options_before_what_is_tuned():
    algorithm = tuned.make("ppo", "Cue-v0", num_envs=3, gamma=0.5)
    assert (algorithm.agent.num_envs, algorithm.gamma, algorithm.n_steps) == (3, 0.5, 32)
    algorithm = tuned.make("rf", "Cue-v0", "lstm", batch_size=5)
    assert (algorithm.agent.num_envs, algorithm.batch_size, algorithm.gamma) == (5, 5, 0.95)
    assert type(algorithm.policy) is rlx.networks.LSTMPolicy


# ---------------------------------------------------------------------- workers


@pytest.mark.slow
def test_workers_play_what_the_flags_say(command):
    pytest.importorskip("ray")
    run = command(f"{TINY} --algo ppo --workers 2 --interval 1")
    assert run.status == 0, run.err
    agent = run.algorithm.agent
    assert [type(agent).__name__, agent.num_envs, len(agent.sampler.workers)] == [
        "ClusterAgent", 4, 2,
    ]  # fmt: skip
    assert "--workers 2" in run.out
    assert "running return" in run.out
    assert not torch.equal(run.after, run.before)
    assert not agent.sampler.close.alive  # closed, at once
    run = command(f"{TINY} --algo ppo --workers 3 --env Cu-v0")
    assert (run.status, run.err.count("\n")) == (2, 1)
    assert "there is no environment 'Cu-v0'" in run.err


def test_an_address_needs_workers(command):
    run = command("--address auto")
    assert run.status == 2
    assert "--address needs --workers" in run.err
