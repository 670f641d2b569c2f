"""Train an agent from the command line: python main.py --algo ppo --env CartPole-v1"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import torch
from gymnasium.error import Error as GymnasiumError
from tqdm.auto import tqdm

import rlx

ALGORITHMS = {
    "rf": rlx.algos.REINFORCE,
    "ac": rlx.algos.ActorCritic,
    "a2c": rlx.algos.A2C,
    "ppo": rlx.algos.PPO,
    "offpac": rlx.algos.OffPAC,
}
POLICIES = {
    "mlp": rlx.networks.MLPPolicy,
    "rnn": rlx.networks.GRUPolicy,
    "lstm": rlx.networks.LSTMPolicy,
}

# Flags that an algorithm understands, under the name that its class gives them.
EPISODES = {"horizon": "horizon", "batch_size": "batch_size"}
SEGMENTS = {"horizon": "n_steps", "gae_lambda": "gae_lambda"}
REPLAY = {"rbsize": "rbsize", "max_rbusage": "max_rbusage"}
PPO = {"ppo_k_epochs": "epochs", "ppo_clip": "clip"}
FLAGS = {
    "rf": EPISODES,
    "ac": EPISODES,
    "a2c": SEGMENTS,
    "ppo": {**SEGMENTS, **PPO},
    "offpac": {**EPISODES, **REPLAY},
}
EVERYWHERE = ("gamma", "lr", "entropy_reg", "grad_clip", "standardize_return")

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
)
DEFAULTS: dict[tuple[str, bool], dict] = {}  # (algorithm, recurrent): what differs from COMMON

# The mean return over the last 100 episodes at which training stops.
SOLVED = {
    "CartPole-v0": 197.0,
    "CartPole-v1": 480.0,
    "IncompleteCartPole-v0": 193.0,
    "IncompleteCartPole-v1": 480.0,
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")  # one line, without the usage


def parser() -> argparse.ArgumentParser:
    p = Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)

    def tuned(*names: str, **kwargs: object) -> None:
        """A flag whose default depends on the algorithm and the policy."""
        p.add_argument(*names, default=None, **{"metavar": "X", **kwargs})

    p.add_argument("--algo", default="ppo", choices=ALGORITHMS, help="algorithm")
    p.add_argument("--policytype", default="mlp", choices=POLICIES, help="kind of network")
    p.add_argument("--env", default="CartPole-v1", help="environment: any gymnasium id")
    p.add_argument("--seed", default=0, type=int, help="seed of everything")
    p.add_argument("--max_episode", default=20_000, type=positive, help="train at most this long")
    p.add_argument("--interval", default=10, type=positive, help="print a line every so many updates")
    p.add_argument("--render", action="store_true", help="show a greedy episode at each such line")
    p.add_argument("--base", default=".", type=Path, help="folder that --tbdir is relative to")
    p.add_argument("--tbdir", type=Path, help="log for TensorBoard in this folder")
    p.add_argument("--tbtag", default="run", help="name of this run in --tbdir")
    tuned("--batch_size", type=positive, help="rollouts that the gradient is averaged over")
    tuned("--horizon", type=positive, help="steps of each rollout, at most")
    tuned("--gamma", type=fraction, help="discount factor")
    tuned("--gae_lambda", type=fraction, help="GAE's mixture: 0 TD errors, 1 Monte-Carlo (a2c, ppo)")
    tuned("--lr", type=float, help="learning rate")
    tuned("--entropy_reg", type=float, help="weight of the entropy bonus")
    tuned("--grad_clip", type=float, help="bound on the gradient's norm; 0: none")
    tuned(
        "--standardize_return", action=argparse.BooleanOptionalAction, metavar=None,
        help="rescale returns (or advantages) to mean 0 and deviation 1 in each batch",
    )  # fmt: skip
    tuned("-K", "--ppo_k_epochs", type=positive, help="passes over each rollout (ppo)")
    tuned("--ppo_clip", type=float, help="how far a probability ratio may move (ppo)")
    tuned("--rbsize", type=positive, help="rollouts that are kept for replay (offpac)")
    tuned("--max_rbusage", type=positive, help="how often each may be used (offpac)")
    return p


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def settle(args: argparse.Namespace, fail: Callable[[str], NoReturn]) -> dict:
    """The arguments of the algorithm's class. A flag that it does not understand is an error."""
    names = {**dict(zip(EVERYWHERE, EVERYWHERE, strict=True)), **FLAGS[args.algo]}
    defaults = {**COMMON, **DEFAULTS.get((args.algo, args.policytype != "mlp"), {})}
    for flag in COMMON:
        if getattr(args, flag) is None:
            setattr(args, flag, defaults[flag])
        elif flag not in names and flag != "batch_size":
            fail(f"--{flag} means nothing to --algo {args.algo}; it takes --{', --'.join(names)}")
    return {name: getattr(args, flag) for flag, name in names.items()}


def build(args: argparse.Namespace, options: dict) -> rlx.algos.Algorithm:
    torch.manual_seed(args.seed)
    agent = rlx.Agent(rlx.envs.make_vec(args.env, args.batch_size), seed=args.seed)
    make_policy = POLICIES[args.policytype]
    policy = make_policy(agent.observation_space, agent.action_space, value=args.algo != "rf")
    return ALGORITHMS[args.algo](agent, policy, **options)


def callbacks(args: argparse.Namespace) -> list[Callable]:
    """What happens after an update: a line, a rendered episode, TensorBoard."""

    def line(algorithm: rlx.algos.Algorithm, metrics: dict[str, float]) -> None:
        if algorithm.updates % args.interval == 0:
            shown = ("episodes", "steps", "seconds", "running_return", "policy_loss", "entropy")
            tqdm.write("  ".join(f"{name} {metrics[name]:.4g}" for name in shown))

    def render(algorithm: rlx.algos.Algorithm, metrics: dict[str, float]) -> None:
        if algorithm.updates % args.interval == 0:
            screen(algorithm.policy).episode(dry=True, greedy=True)

    found = [line]
    if args.render:
        screen = rlx.Agent(rlx.envs.make(args.env, render_mode="human"), seed=args.seed)
        found.append(render)
    if args.tbdir:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError("--tbdir needs TensorBoard: pip install tensorboard") from error
        writer = SummaryWriter(args.base / args.tbdir / args.tbtag)

        def log(algorithm: rlx.algos.Algorithm, metrics: dict[str, float]) -> None:
            for name, value in metrics.items():
                writer.add_scalar(name, value, algorithm.steps)
            writer.flush()

        found.append(log)
    return found


def main() -> None:
    command = parser()
    args = command.parse_args()
    options = settle(args, command.error)
    try:
        algorithm, after = build(args, options), callbacks(args)
    except (ValueError, GymnasiumError) as error:
        command.error(str(error))
    print(" ".join(f"--{name} {value}" for name, value in vars(args).items() if value is not None))
    name = args.env.removeprefix("rlx/")
    spec = algorithm.agent.env.spec
    goal = SOLVED.get(name, spec.reward_threshold if spec else None)
    try:
        history = rlx.train(
            algorithm, episodes=args.max_episode, stop_return=goal, callbacks=after
        )
    except FloatingPointError as error:
        command.error(str(error))
    if history:
        last = history[-1]
        verdict = "solved" if goal is not None and last["running_return"] >= goal else "finished"
        print(
            f"{verdict}: running return {last['running_return']:.1f} after {last['episodes']} "
            f"episodes, {last['steps']} steps, {last['seconds']:.1f} s"
        )


if __name__ == "__main__":
    main()
