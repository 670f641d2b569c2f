"""Learn slime volleyball by self-play: PPO against a pool of its own past selves.

    python examples/slime.py --minutes 12 --checkpoint runs/slime.pt --film runs/slime.html

Training plays single rallies (rlx/SlimeRally-v0). The pool begins with two scripted players: one
presses random buttons, one follows the ball. Every `--every` updates a snapshot of the policy joins
them, and the oldest one leaves. Whom it meets next is drawn by how often it still loses to them. At
the end it plays whole games, from both sides. With `--workers` processes share the courts
(docs/cluster.md), each with a pool of its own: before an update the members go there, and after it
the results come back.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

import rlx
from rlx import stats
from rlx.envs.selfplay import Member, OpponentPool, match
from rlx.envs.slimeplayers import PolicyPlayer


def scripted(size: int | None = None) -> OpponentPool:
    """The pool as it begins."""
    return OpponentPool("random", "follower", rule="hard", size=size)


def courts(pool: OpponentPool | None, num_envs: int, hold: int):
    """Rallies against this pool, or against one of their own."""
    limit = -(-3000 // hold)  # in steps of the environment
    return rlx.envs.make_vec(
        "SlimeRally-v0",
        num_envs,
        opponent=scripted() if pool is None else pool,
        hold=hold,
        max_episode_steps=limit,
    )


def counts(member: Member) -> tuple[int, int, int]:
    return member.won, member.drawn, member.lost


def seat(env, members: list[Member]) -> None:
    """In a worker: from now on its courts draw from these. Rallies in progress are played on."""
    pool = env.unwrapped.opponent
    known = {member.name: member for member in pool}
    pool.members[:] = [known.get(member.name, member) for member in members]
    for mine, member in zip(pool, members, strict=True):
        mine.won, mine.drawn, mine.lost = counts(member)
    pool.before = {member.name: counts(member) for member in members}


def tell(env) -> dict[str, list[int]]:
    """In a worker: how the rallies since then have ended, by the opponent's name."""
    pool = env.unwrapped.opponent
    return {
        member.name: [now - then for now, then in zip(counts(member), pool.before[member.name])]
        for member in pool
    }


class SelfPlay(rlx.algos.PPO):
    """PPO whose environments play against `pool`, which gains a snapshot every `every` updates."""

    def __init__(self, agent, policy, pool: OpponentPool, every: int, **options) -> None:
        super().__init__(agent, policy, **options)
        self.pool, self.every = pool, every

    def update(self) -> dict[str, float]:
        away = hasattr(self.agent, "each")  # the courts are in other processes
        if away:
            self.agent.each(seat, self.pool.members)
        metrics = super().update()
        for results in self.agent.each(tell) if away else []:
            self.count(results)
        if self.updates % self.every == 0:
            self.pool.add(self.policy, f"after {self.updates} updates")
        return metrics | {"pool": len(self.pool), "rating": self.pool.rating}

    def count(self, results: dict[str, list[int]]) -> None:
        """Rallies that a worker's courts have played, as if they had been played here."""
        pool = self.pool
        for member in pool:
            won, drawn, lost = results[member.name]
            member.won, member.drawn = member.won + won, member.drawn + drawn
            member.lost += lost
            for points in [1.0] * won + [0.5] * drawn + [0.0] * lost:
                ratings = stats.elo_update(pool.rating, member.rating, points, pool.k)
                pool.rating, member.rating = ratings

    def state_dict(self) -> dict[str, Any]:
        past = [
            {
                "name": member.name,
                "results": [member.won, member.drawn, member.lost],
                "rating": member.rating,
                "weights": None
                if isinstance(member.player, str)
                else member.player.policy.state_dict(),
                "scripted": member.player if isinstance(member.player, str) else None,
            }
            for member in self.pool
        ]
        return {**super().state_dict(), "past": past, "rating": self.pool.rating}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = self.policy.state_dict()
        self.pool.members.clear()
        for saved in state["past"]:
            if saved["weights"] is not None:
                self.policy.load_state_dict(saved["weights"])
            member = self.pool.add(saved["scripted"] or self.policy, saved["name"])
            member.won, member.drawn, member.lost = saved["results"]
            member.rating = saved.get("rating", 0.0)  # there was none at first
        self.pool.rating = state.get("rating", 0.0)
        self.policy.load_state_dict(own)
        super().load_state_dict(state)


def build(args: argparse.Namespace) -> SelfPlay:
    torch.manual_seed(args.seed)
    pool = scripted(args.pool)
    if args.workers:
        from rlx.cluster import ClusterAgent

        share = -(-args.envs // args.workers)
        make = functools.partial(courts, None, share, args.hold)
        agent = ClusterAgent(make, workers=args.workers, seed=args.seed, address=args.address)
    else:
        agent = rlx.Agent(courts(pool, args.envs, args.hold), seed=args.seed)
    policy = rlx.networks.MLPPolicy(agent)
    return SelfPlay(
        agent,
        policy,
        pool,
        args.every,
        n_steps=128,
        epochs=4,
        minibatches=8,
        lr=args.lr,
        gamma=0.99,
        gae_lambda=0.98,
        entropy_reg=0.003,
        grad_clip=0.5,
    )


def table(algorithm: SelfPlay, games: int) -> str:
    """Whole games, with its most probable actions, against others and against its past."""
    ours = PolicyPlayer(algorithm.policy, greedy=True)
    past = [member for member in algorithm.pool if not isinstance(member.player, str)]
    others = {"random": "random", "follower (scripted)": "follower"}
    if past:
        others[f"itself {past[0].name}"] = past[0].player
        others[f"itself {past[len(past) // 2].name}"] = past[len(past) // 2].player
    lines = ["| against | mean score | win rate | 95 % interval |", "|---|---|---|---|"]
    for name, player in others.items():
        result = match(ours, player, games, seed=1)
        low, high = result.interval
        mean = result.scores.mean()
        lines.append(f"| {name} | {mean:+.2f} | {result.win_rate:.2f} | {low:.2f} to {high:.2f} |")
    return "\n".join(lines)


def film(policy: rlx.Parametric, path: Path) -> None:
    """A game against the scripted player, as a page that any browser plays."""
    from rlx.course import watch

    env = rlx.envs.make("SlimeVolley-v0", opponent="follower", render_mode="rgb_array")
    page = watch(env, policy, horizon=600)._repr_html_()
    rlx.checkpoint.write(path, f'<!doctype html><meta charset="utf-8">{page}'.encode())


def main() -> None:
    command = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument("--minutes", type=float, default=12.0, help="of training")
    command.add_argument("--checkpoint", type=Path, help="save in this file, go on with --resume")
    command.add_argument("--resume", action="store_true", help="go on from --checkpoint")
    command.add_argument("--film", type=Path, help="write a game to this HTML file at the end")
    command.add_argument("--games", type=int, default=100, help="in each line of the final table")
    command.add_argument("--envs", type=int, default=128, help="courts played at once")
    command.add_argument("--every", type=int, default=20, help="updates between two snapshots")
    command.add_argument("--pool", type=int, default=8, help="opponents that are kept")
    command.add_argument("--hold", type=int, default=1, help="steps of the game an action is kept")
    command.add_argument("--workers", type=int, default=0, help="processes that play, on Ray")
    command.add_argument("--address", help="with --workers: of the Ray cluster to play on")
    command.add_argument("--lr", type=float, default=1e-3, help="learning rate")
    command.add_argument("--seed", type=int, default=0, help="of everything")
    args = command.parse_args()
    if args.resume and not args.checkpoint:
        command.error("--resume needs --checkpoint, the file to go on from")
    if args.address and not args.workers:
        command.error("--address needs --workers, how many are to play there")
    try:
        algorithm = build(args)
    except (ImportError, ValueError) as error:
        command.error(str(error))

    def line(algorithm: SelfPlay, metrics: dict[str, float]) -> None:
        if algorithm.updates % (2 * args.every) == 0:
            score = match(algorithm.policy, "random", 40, seed=0).scores.mean()
            tqdm.write(
                f"update {algorithm.updates}  {algorithm.steps:,} steps  "
                f"{metrics['seconds']:.0f} s  rally {metrics['length']:.0f} steps  "
                f"score against random {score:+.2f}"
            )

    try:
        rlx.train(
            algorithm,
            seconds=60 * args.minutes,
            callbacks=[line],
            checkpoint=args.checkpoint,
            seed=args.seed,
            resume=args.resume,
        )
    except (ValueError, OSError, FloatingPointError) as error:
        message = " ".join([str(error), *getattr(error, "__notes__", [])])
        command.error(message.replace("resume=True", "--resume"))
    print(f"{algorithm.steps:,} steps in {algorithm.seconds / 60:.1f} minutes of training")
    print(table(algorithm, args.games))
    if args.film:
        film(algorithm.policy, args.film)
        print(f"a game against the follower: {args.film}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
