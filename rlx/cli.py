"""Train an agent from the command line: rlx --algo ppo --env CartPole-v1"""

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

from gymnasium.error import Error as GymnasiumError
from tqdm.auto import tqdm

import rlx
from rlx import tuned
from rlx.seeding import undisturbed


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
finite = number(float, -sys.float_info.max, sys.float_info.max, "a number")

# Every option of an algorithm of which something is said below is a flag, under its own name or:
FLAG = {
    "epochs": "ppo_k_epochs",
    "clip": "ppo_clip",
    "n_steps": "horizon",
    "capacity": "rbsize",
    "n": "n_step",
}
HELP = {
    "batch_size": (count, "rollouts, or replayed windows, that the gradient averages over"),
    "horizon": (count, "steps of each rollout, at most"),
    "rollouts": (count, "segments that each gradient step averages over"),
    "gamma": (fraction, "discount factor"),
    "gae_lambda": (fraction, "0: TD error, 1: Monte-Carlo"),
    "lr": (amount, "learning rate"),
    "critic_lr": (amount, "the critic's own; otherwise --lr"),
    "temperature_lr": (amount, "the temperature's own; otherwise --lr"),
    "entropy_reg": (amount, "weight of the entropy bonus"),
    "value_coef": (amount, "weight of the value's loss"),
    "grad_clip": (amount, "bound on the gradient's norm; 0: none"),
    "standardize_return": (bool, "rescale returns (or advantages) in each batch"),
    "ppo_k_epochs": (count, "passes over each rollout"),
    "ppo_clip": (amount, "how far a ratio may move"),
    "minibatches": (count, "gradient steps in each pass"),
    "chunk": (count, "rows through which a recurrent gradient flows back"),
    "target_kl": (amount, "end the passes when the policy has moved this far"),
    "rbsize": (count, "rollouts (offpac) or rows kept for replay"),
    "max_rbusage": (count, "how often each of them may be used"),
    "clip_rho": (amount, "largest importance weight"),
    "num_envs": (count, "environments that are played at once"),
    "passes": (count, "gradient steps after each --horizon steps"),
    "length": (count, "rows of a replayed window, end row included"),
    "burn_in": (natural, "of these, rows that only warm a memory up"),
    "n_step": (count, "rewards before the target bootstraps"),
    "tau": (fraction, "share of the way targets move in each step"),
    "warmup": (count, "rows in store before the first gradient step"),
    "epsilon_steps": (count, "steps until epsilon has fallen"),
    "epsilon_spread": (amount, "how much sooner it falls in some environments than in others"),
    "delay": (count, "critic steps for one of the policy"),
    "target_noise": (amount, "deviation of the target's actions"),
    "target_clip": (amount, "bound on that noise"),
    "initial_temperature": (amount, "what a nat of entropy is worth at first"),
    "entropy_target": (finite, "entropy that the temperature aims at"),
}


def flags(algo: str) -> dict[str, str]:
    """The flags that an algorithm understands, and the options that they stand for."""
    names = {FLAG.get(option, option): option for option in tuned.settings(algo)}
    if "batch_size" not in names:  # a segment is one rollout of each environment
        names["batch_size"] = names.pop("num_envs")
    return {flag: names[flag] for flag in HELP if flag in names}


def parser() -> argparse.ArgumentParser:
    name = "rlx" if Path(sys.argv[0]).name == "__main__.py" else None
    p = Parser(name, description=__doc__, formatter_class=Help)
    p.add_argument("--algo", default="ppo", choices=tuned.ALGORITHMS, help="algorithm")
    p.add_argument("--policytype", default="mlp", choices=tuned.POLICIES, help="kind of network")
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
    p.add_argument(
        "--workers", type=count, metavar="N", help="play in N processes, on Ray (docs/cluster.md)"
    )
    p.add_argument("--address", help='with --workers: on the Ray cluster there, "auto" for ours')
    p.add_argument("--base", default=".", type=Path, help="folder that --tbdir is relative to")
    p.add_argument("--tbdir", type=Path, help="log for TensorBoard in this folder")
    p.add_argument("--tbtag", default="run", help="name of this run in --tbdir")
    group = p.add_argument_group(
        "flags whose default depends on --algo and --policytype",
        "(the values in force are printed at the start; one that means nothing to the algorithm is "
        "an error)",
    )
    for flag, (kind, what) in HELP.items():
        takers = [algo for algo in tuned.ALGORITHMS if flag in flags(algo)]
        how = dict(type=kind, metavar="N" if kind in (count, natural) else "X")
        group.add_argument(
            *["-K"] * (flag == "ppo_k_epochs"),
            f"--{flag}",
            default=argparse.SUPPRESS,
            help=what if len(takers) == len(tuned.ALGORITHMS) else f"{what} ({', '.join(takers)})",
            **(dict(action=argparse.BooleanOptionalAction) if kind is bool else how),
        )
    return p


def settle(args: argparse.Namespace, fail: Callable[[str], NoReturn]) -> dict:
    """The arguments of the algorithm's class. A flag that it does not understand is an error."""
    names = flags(args.algo)
    for flag in HELP:
        if flag in args and flag not in names:
            fail(f"--{flag} means nothing to --algo {args.algo}; it takes --{', --'.join(names)}")
    defaults = tuned.settings(args.algo, args.policytype != "mlp")
    for flag, option in names.items():
        vars(args).setdefault(flag, defaults[option])
    return {option: getattr(args, flag) for flag, option in names.items()}


def in_force(args: argparse.Namespace) -> str:
    """All values, in the form in which they could be given again."""
    words = []
    for flag, value in vars(args).items():
        if isinstance(value, bool):
            words += [f"--{flag}"] if value else [f"--no-{flag}"] * (flag in HELP)
        elif value is not None:
            words += [f"--{flag}", shlex.quote(str(value))]
    return " ".join(words)


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
    """The command, as `sys.argv` has it."""
    try:
        train(parser())
    except KeyboardInterrupt:  # before or after training, which has its own way to end
        sys.exit("interrupted")


def train(command: argparse.ArgumentParser) -> None:
    args = command.parse_args()
    options = settle(args, command.error)
    if args.resume and not args.checkpoint:
        command.error("--resume needs --checkpoint, the file to go on from")
    if args.address and not args.workers:
        command.error("--address needs --workers, how many are to play there")
    where = dict(workers=args.workers, address=args.address)
    try:
        algorithm = tuned.make(args.algo, args.env, args.policytype, args.seed, **where, **options)
        after = callbacks(args)
    except (ValueError, RuntimeError, ImportError, OSError, GymnasiumError) as error:
        command.error(str(error))
    print(in_force(args), flush=True)
    goal = tuned.goal((rlx.envs.make(args.env) if args.workers else algorithm.agent.env).spec)
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
    finally:
        if args.workers:
            algorithm.agent.close()
    if algorithm.updates:  # not history: an interrupt may fall between an update and its record
        running = statistics.fmean(algorithm.recent or [math.nan])
        solved = goal is not None and algorithm.episodes >= 100 and running >= goal
        done = "finished" if algorithm.episodes >= args.max_episode else "interrupted"
        print(
            f"{'solved' if solved else done}: running return {running:.1f} after "
            f"{algorithm.episodes} episodes, {algorithm.steps} steps, {algorithm.seconds:.1f} s"
        )
