"""Train an agent from the command line: python main.py --algo ppo --env CartPole-v1"""

from __future__ import annotations

import argparse
import math
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import torch
from gymnasium.error import Error as GymnasiumError
from tqdm.auto import tqdm

import rlx
from rlx.seeding import undisturbed

ALGORITHMS = {
    "rf": rlx.algos.REINFORCE,
    "ac": rlx.algos.ActorCritic,
    "a2c": rlx.algos.A2C,
    "ppo": rlx.algos.PPO,
    "offpac": rlx.algos.OffPAC,
    "dqn": rlx.algos.DQN,
    "ddpg": rlx.algos.DDPG,
    "td3": rlx.algos.TD3,
    "sac": rlx.algos.SAC,
}
POLICIES = {
    "mlp": rlx.networks.MLPPolicy,
    "rnn": rlx.networks.GRUPolicy,
    "lstm": rlx.networks.LSTMPolicy,
}
# Algorithms that replay single steps have networks of their own kind.
NETWORKS = {
    "dqn": rlx.critics.QNetwork,
    "ddpg": rlx.critics.NoisyPolicy,
    "td3": rlx.critics.NoisyPolicy,
    "sac": rlx.critics.SquashedPolicy,
}
MEMORY = {"mlp": None, "rnn": "gru", "lstm": "lstm"}

# Flags that an algorithm understands, under the name its class gives them; None: it is not told
# (the batch size is also the number of environments, and a segment is one rollout of each).
EVERYWHERE = {flag: flag for flag in ("gamma", "lr", "grad_clip")}
GRADIENTS = {**EVERYWHERE, "entropy_reg": "entropy_reg", "standardize_return": "standardize_return"}
EPISODES = {**GRADIENTS, "batch_size": "batch_size", "horizon": "horizon"}
SEGMENTS = {**GRADIENTS, "batch_size": None, "horizon": "n_steps", "gae_lambda": "gae_lambda"}
REPLAY = {"rbsize": "rbsize", "max_rbusage": "max_rbusage"}
WINDOWS = {
    **EVERYWHERE,
    **{flag: flag for flag in ("batch_size", "passes", "length", "burn_in", "warmup", "tau")},
    "num_envs": None,
    "horizon": "n_steps",
    "n_step": "n",
    "rbsize": "capacity",
}
PPO = {"ppo_k_epochs": "epochs", "ppo_clip": "clip"}
FLAGS = {
    "rf": EPISODES,
    "ac": EPISODES,
    "a2c": SEGMENTS,
    "ppo": {**SEGMENTS, **PPO},
    "offpac": {**EPISODES, **REPLAY},
    "dqn": {**WINDOWS, "epsilon_steps": "epsilon_steps"},
    "ddpg": WINDOWS,
    "td3": WINDOWS,
    "sac": WINDOWS,
}

# What was measured to work, by algorithm and kind of policy; a flag overrides it.
COMMON = dict(
    batch_size=16,
    horizon=None,
    gamma=0.99,
    gae_lambda=0.95,
    entropy_reg=0.01,
    grad_clip=0.0,
    lr=3e-3,
    standardize_return=True,
    ppo_k_epochs=4,
    ppo_clip=0.2,
    rbsize=100,
    max_rbusage=5,
    num_envs=16,
    passes=16,
    length=2,
    burn_in=0,
    n_step=1,
    tau=0.01,
    warmup=1000,
    epsilon_steps=10_000,
)
DISCRETE = dict(num_envs=64, n_step=5, rbsize=100_000)
CONTINUOUS = dict(batch_size=128, horizon=4, lr=1e-3, rbsize=100_000)
WITH_MEMORY = dict(batch_size=32, horizon=40, passes=64, length=21, burn_in=5)
DEFAULTS: dict[tuple[str, bool], dict] = {  # (algorithm, recurrent): what differs from COMMON
    ("rf", True): dict(gamma=0.95, entropy_reg=0.03, grad_clip=0.5),
    ("a2c", False): dict(horizon=16),
    ("a2c", True): dict(horizon=16),
    ("ppo", False): dict(batch_size=64, horizon=32, gamma=0.98, gae_lambda=0.9, entropy_reg=0.0),
    ("ppo", True): dict(
        batch_size=64, horizon=64, gamma=0.98, gae_lambda=0.9, entropy_reg=0.0, grad_clip=0.5
    ),
    ("dqn", False): DISCRETE
    | dict(horizon=16, passes=64, batch_size=64, length=6, lr=4e-3, tau=0.03),
    ("dqn", True): DISCRETE
    | dict(horizon=20, passes=40, batch_size=32, length=20, burn_in=5, lr=2.3e-3, tau=0.02),
    **{(algo, False): CONTINUOUS for algo in ("ddpg", "td3", "sac")},
    **{(algo, True): CONTINUOUS | WITH_MEMORY for algo in ("ddpg", "td3", "sac")},
}

# The mean return over the last 100 episodes at which training stops.
SOLVED = {
    "CartPole-v0": 197.0,
    "CartPole-v1": 480.0,
    "IncompleteCartPole-v0": 193.0,
    "IncompleteCartPole-v1": 480.0,
    "Pendulum-v1": -200.0,
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")  # one line, no usage


class Help(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def number(kind: type, low: float, high: float, what: str) -> Callable[[str], float]:
    """A parser of numbers from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:  # NaN is neither
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return parse


count = number(int, 1, math.inf, "a whole number above 0")
natural = number(int, 0, 2**63 - 1, "a whole number, 0 or more")
fraction = number(float, 0, 1, "a number between 0 and 1")
amount = number(float, 0, sys.float_info.max, "a number, 0 or more")


def parser() -> argparse.ArgumentParser:
    p = Parser(description=__doc__, formatter_class=Help)
    q = p.add_argument_group(
        "flags whose default depends on --algo and --policytype",
        "(the values in force are printed at the start; one that means nothing to the algorithm is "
        "an error)",
    )

    def tuned(*names: str, **kwargs: object) -> None:
        q.add_argument(*names, default=argparse.SUPPRESS, **kwargs)

    p.add_argument("--algo", default="ppo", choices=ALGORITHMS, help="algorithm")
    p.add_argument("--policytype", default="mlp", choices=POLICIES, help="kind of network")
    p.add_argument("--env", default="CartPole-v1", help="environment: any gymnasium id")
    p.add_argument("--seed", default=0, type=natural, metavar="N", help="seed of everything")
    p.add_argument("--max_episode", default=20_000, type=count, metavar="N", help="train this long")
    p.add_argument(
        "--interval", default=10, type=count, metavar="N", help="print a line every N updates"
    )
    p.add_argument("--render", action="store_true", help="show a greedy episode at each such line")
    p.add_argument("--checkpoint", type=Path, help="save in this file every --interval updates")
    p.add_argument("--resume", action="store_true", help="go on from --checkpoint")
    p.add_argument("--csv", type=Path, help="write what each update reports to this file")
    p.add_argument("--base", default=".", type=Path, help="folder that --tbdir is relative to")
    p.add_argument("--tbdir", type=Path, help="log for TensorBoard in this folder")
    p.add_argument("--tbtag", default="run", help="name of this run in --tbdir")
    tuned(
        "--batch_size", type=count, metavar="N",
        help="rollouts (dqn, ddpg, td3, sac: windows) that the gradient averages over",
    )  # fmt: skip
    tuned("--horizon", type=count, metavar="N", help="steps of each rollout, at most")
    tuned("--gamma", type=fraction, metavar="X", help="discount factor")
    tuned("--gae_lambda", type=fraction, metavar="X", help="0: TD error, 1: Monte-Carlo (a2c, ppo)")
    tuned("--lr", type=amount, metavar="X", help="learning rate")
    tuned("--entropy_reg", type=amount, metavar="X", help="weight of the entropy bonus")
    tuned("--grad_clip", type=amount, metavar="X", help="bound on the gradient's norm; 0: none")
    tuned(
        "--standardize_return",
        action=argparse.BooleanOptionalAction,
        help="rescale returns (or advantages) to mean 0 and deviation 1 in each batch",
    )
    tuned("-K", "--ppo_k_epochs", type=count, metavar="N", help="passes over each rollout (ppo)")
    tuned("--ppo_clip", type=amount, metavar="X", help="how far a ratio may move (ppo)")
    tuned("--rbsize", type=count, metavar="N", help="rollouts (dqn …: rows) kept for replay")
    tuned("--max_rbusage", type=count, metavar="N", help="how often each may be used (offpac)")
    q = p.add_argument_group("more such flags, of dqn, ddpg, td3 and sac")
    tuned("--num_envs", type=count, metavar="N", help="environments that are played at once")
    tuned("--passes", type=count, metavar="N", help="gradient steps after each --horizon steps")
    tuned("--length", type=count, metavar="N", help="rows of a replayed window, end row included")
    tuned("--burn_in", type=natural, metavar="N", help="of these, rows that only warm a memory up")
    tuned("--n_step", type=count, metavar="N", help="rewards before the target bootstraps")
    tuned("--tau", type=fraction, metavar="X", help="share of the way targets move in each step")
    tuned("--warmup", type=count, metavar="N", help="rows in store before the first gradient step")
    tuned("--epsilon_steps", type=count, metavar="N", help="steps until epsilon has fallen (dqn)")
    return p


def settle(args: argparse.Namespace, fail: Callable[[str], NoReturn]) -> dict:
    """The arguments of the algorithm's class. A flag that it does not understand is an error."""
    names = FLAGS[args.algo]
    for flag in COMMON:
        if flag in args and flag not in names:
            fail(f"--{flag} means nothing to --algo {args.algo}; it takes --{', --'.join(names)}")
    defaults = {**COMMON, **DEFAULTS.get((args.algo, args.policytype != "mlp"), {})}
    for flag in names:
        vars(args).setdefault(flag, defaults[flag])
    return {name: getattr(args, flag) for flag, name in names.items() if name}


def in_force(args: argparse.Namespace) -> str:
    """All values, in the form in which they could be given again."""
    plain = getattr(args, "standardize_return", None) is False
    words = ["--no-standardize_return"] if plain else []
    for flag, value in vars(args).items():
        if value is True:
            words += [f"--{flag}"]
        elif value is not None and value is not False:
            words += [f"--{flag}", shlex.quote(str(value))]
    return " ".join(words)


def build(args: argparse.Namespace, options: dict) -> rlx.algos.Algorithm:
    torch.manual_seed(args.seed)
    num_envs = args.num_envs if args.algo in NETWORKS else args.batch_size
    agent = rlx.Agent(rlx.envs.make_vec(args.env, num_envs), seed=args.seed)
    if args.algo in NETWORKS:
        make_policy, options_ = NETWORKS[args.algo], {"memory": MEMORY[args.policytype]}
    else:
        make_policy, options_ = POLICIES[args.policytype], {"value": args.algo != "rf"}
    policy = make_policy(agent.observation_space, agent.action_space, **options_)
    return ALGORITHMS[args.algo](agent, policy, **options)


def callbacks(args: argparse.Namespace) -> list[Callable]:
    """What happens after an update: a line, a rendered episode, TensorBoard."""

    def line(algorithm: rlx.algos.Algorithm, metrics: dict[str, float]) -> None:
        if algorithm.updates % args.interval == 0:
            shown = ("episodes", "steps", "seconds", "running_return", "policy_loss", "entropy")
            shown += ("q", "epsilon", "alpha")
            known = [name for name in shown if name in metrics]
            tqdm.write("  ".join(f"{name} {metrics[name]:.4g}" for name in known))

    def render(algorithm: rlx.algos.Algorithm, metrics: dict[str, float]) -> None:
        if algorithm.updates % args.interval == 0 and render.window is not None:
            try:
                with undisturbed():  # to watch a run does not change it
                    render.window(algorithm.policy).episode(dry=True, greedy=True)
            except RuntimeError as error:
                tqdm.write(f"the window is gone ({error}): training goes on without it")
                render.window = None

    found = [line]
    if args.render:
        if not {"human", "rgb_array"} & set(rlx.envs.make(args.env).metadata["render_modes"]):
            raise ValueError(f"--render: {args.env} draws no pictures")
        render.window = rlx.Agent(rlx.envs.make(args.env, render_mode="human"), seed=args.seed)
        render.window.env.reset()  # opens it: what is missing for that, we say now
        found.append(render)
    if args.tbdir:
        folder = args.base / args.tbdir / args.tbtag
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()  # TensorBoard would fail later, in a thread
        except OSError as error:
            raise ValueError(f"--tbdir: cannot write to {folder}: {error.strerror}") from error
        found.append(rlx.callbacks.tensorboard(folder))
    if args.csv:
        found.append(rlx.callbacks.csv_log(args.csv))
    return found


def main() -> None:
    command = parser()
    args = command.parse_args()
    options = settle(args, command.error)
    if args.resume and not args.checkpoint:
        command.error("--resume needs --checkpoint, the file to go on from")
    try:
        algorithm, after = build(args, options), callbacks(args)
    except (ValueError, RuntimeError, ImportError, GymnasiumError) as error:
        command.error(str(error))
    print(in_force(args), flush=True)
    spec = algorithm.agent.env.spec
    goal = SOLVED.get(spec.id.removeprefix("rlx/"), spec.reward_threshold)
    try:
        rlx.train(
            algorithm,
            episodes=args.max_episode,
            stop_return=goal,
            callbacks=after,
            checkpoint=args.checkpoint,
            every=args.interval,
            seed=args.seed,
            resume=args.resume,
        )
    except (FloatingPointError, RuntimeError, ValueError, OSError) as error:
        message = " ".join([str(error), *getattr(error, "__notes__", [])])
        command.error(message.replace("resume=True", "--resume"))  # as it is called here
    if algorithm.updates:  # not history: an interrupt may fall between an update and its record
        running = statistics.fmean(algorithm.recent or [math.nan])
        solved = goal is not None and algorithm.episodes >= 100 and running >= goal
        done = "finished" if algorithm.episodes >= args.max_episode else "interrupted"
        print(
            f"{'solved' if solved else done}: running return {running:.1f} after "
            f"{algorithm.episodes} episodes, {algorithm.steps} steps, {algorithm.seconds:.1f} s"
        )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before or after training, which has its own way to end
        sys.exit("interrupted")
