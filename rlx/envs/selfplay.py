"""Self-play: a pool of past selves to play against, and measures of who is better, and how sure.

pool = OpponentPool(policy, rule="latest")             # a snapshot of how it plays now
env = rlx.envs.make_vec("SlimeVolley-v0", 64, opponent=pool)
rlx.train(algorithm, ..., callbacks=[lambda algorithm, metrics: pool.add(policy)])
match(policy, "follower", games=200).interval
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rlx import seeding, stats
from rlx.policy import Parametric

from .slimegame import LEFT, RIGHT, TIME_LIMIT, SlimeGame, as_buttons
from .slimeplayers import Opponent, Player, PolicyPlayer, as_player, buttons_of

RULES = ("uniform", "latest", "hard")


@dataclass(eq=False)
class Member:
    """One of a pool: its name, how games against it ended, counted as the learner's, and its Elo
    rating, on the scale of `OpponentPool.rating`."""

    name: str
    player: Opponent
    won: int = 0
    drawn: int = 0
    lost: int = 0
    rating: float = 0.0

    @property
    def win_rate(self) -> float:
        """The learner's, a draw counting half; NaN before the first game."""
        games = self.won + self.drawn + self.lost
        return (self.won + self.drawn / 2) / games if games else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Of the win rate, 95 %."""
        return stats.wilson(self.won + self.drawn / 2, self.won + self.drawn + self.lost)


def snapshot(policy: Parametric) -> Parametric:
    """A copy of a policy that stays as it is, whatever is trained later. It asks for no gradient;
    the policy itself is left as it was."""
    copied = copy.deepcopy(policy).requires_grad_(False)
    copied.zero_grad(set_to_none=True)
    return copied


def pool_weights(won: np.ndarray, drawn: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """How likely each member of a pool is to be the next opponent: (K,), in sum 1.

    In proportion to (1 - w)², with w the learner's win rate against it, in which a draw counts half
    and one imaginary draw is included: prioritised fictitious self-play (Vinyals et al., 2019,
    "Grandmaster level in StarCraft II"). The three are numbers of games (K,), as the learner's."""
    games = won + drawn + lost
    w = (won + drawn / 2 + 0.5) / (games + 1)
    weights = (1 - w) ** 2
    return weights / weights.sum()


class OpponentPool(Player):
    """Opponents of which each court draws its own at the start of each game.

    `add` takes a policy, and keeps a deep copy: whatever is trained later, a member stays as it
    was. Names, functions and `Player`s may be members, too; those are taken as they are. `rule`
    says how likely member i is to be drawn:

    - "uniform": all alike.
    - "latest": the newest with probability 1/2, otherwise all alike (the newest included).
    - "hard": the more the learner loses to it, the likelier (`pool_weights`).

    Beyond `size` members, the oldest snapshots of policies leave; games against them are played to
    the end. Environments play against `seated` copies, which share the members and their results
    with the pool.

    `rating` is the learner's Elo rating: after each game, it and the member's are updated with
    `k`. All begin at 0, but a snapshot of a policy begins with the learner's.
    """

    def __init__(
        self,
        *players: Opponent,
        rule: str = "uniform",
        size: int | None = None,
        greedy: bool = False,
        k: float = 4.0,
    ) -> None:
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
        if size is not None and size < 1:
            raise ValueError(f"size={size}: a pool needs room for one")
        self.rule, self.size, self.greedy, self.k = rule, size, greedy, k
        self.members: list[Member] = []
        self._shared = {"added": 0, "rating": 0.0}  # with the seated copies
        for player in players:
            self.add(player)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @property
    def rating(self) -> float:
        """The learner's, by Elo."""
        return self._shared["rating"]

    @rating.setter
    def rating(self, rating: float) -> None:
        self._shared["rating"] = rating

    def add(self, player: Opponent, name: str | None = None) -> Member:
        """A new member, a copy if it is a policy. Named "name" or by its number, from 0 on."""
        rating = self.rating if isinstance(player, Parametric) else 0.0
        if isinstance(player, Parametric):
            player = PolicyPlayer(snapshot(player), self.greedy)
        elif isinstance(player, OpponentPool):
            raise TypeError("a pool cannot be a member of a pool")
        as_player(player, 1)  # an error now rather than in the middle of a game
        number = player if isinstance(player, str) else str(self._shared["added"])
        member = Member(name or number, player, rating=rating)
        self._shared["added"] += 1
        self.members.append(member)
        if self.size is not None and len(self.members) > self.size:
            past = (m for m in self.members if isinstance(m.player, PolicyPlayer))
            self.members.remove(next(past, self.members[0]))
        return member

    def probabilities(self) -> np.ndarray:
        """How likely each member is to be drawn for the next game."""
        n = len(self.members)
        if not n:
            raise ValueError("the pool is empty: pool.add(policy) first")
        if self.rule == "hard":
            results = np.array([(m.won, m.drawn, m.lost) for m in self.members])
            return pool_weights(*results.T)
        weights = np.ones(n)
        if self.rule == "latest":
            weights[-1] += n
        return weights / weights.sum()

    # ------------------------------------------------------------------ as a player

    def seated(self, num_courts: int) -> OpponentPool:
        seated = copy.copy(self)
        seated.playing = np.full(num_courts, None, dtype=object)  # the member in each court
        seated.seats = {}
        return seated

    def reset(self, rows: np.ndarray, rng: np.random.Generator) -> None:
        courts = np.flatnonzero(rows)
        for court, k in zip(courts, rng.choice(len(self), len(courts), p=self.probabilities())):
            self.playing[court] = self.members[k]
        # In the order of their courts, not a set's: it decides who samples first.
        present = [member for member in dict.fromkeys(self.playing.tolist()) if member]
        self.seats = {
            member: self.seats.get(member) or as_player(member.player, len(self.playing))
            for member in present
        }
        for seat in self.seats.values():
            seat.reset(rows, rng)

    def finish(self, rows: np.ndarray, scores: np.ndarray) -> None:
        for court in np.flatnonzero(rows):
            member, score = self.playing[court], scores[court]
            member.won += bool(score < 0)
            member.drawn += bool(score == 0)
            member.lost += bool(score > 0)
            points = 0.5 * (1 - np.sign(score).item())  # the learner's: `score` is the member's
            self.rating, member.rating = stats.elo_update(
                self.rating, member.rating, points, self.k
            )

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        buttons = np.zeros((len(observations), 3), dtype=np.float32)
        for member, seat in self.seats.items():
            rows = np.flatnonzero(self.playing == member)
            if isinstance(seat, PolicyPlayer):
                buttons[rows] = as_buttons(seat(observations[rows], rows))
            else:  # its memory, if any, has a row for every court
                buttons[rows] = buttons_of(seat, observations)[rows]
        return buttons


# --- Who is better --------------------------------------------------------------------------------


@dataclass
class Match:
    """Games of one player against another: `scores` (N,), points won less points lost by the first,
    and `lengths` (N,) in steps. In the first half of the games it played on the right."""

    scores: np.ndarray
    lengths: np.ndarray

    @property
    def won(self) -> int:
        return int((self.scores > 0).sum())

    @property
    def drawn(self) -> int:
        return int((self.scores == 0).sum())

    @property
    def lost(self) -> int:
        return int((self.scores < 0).sum())

    @property
    def win_rate(self) -> float:
        """A draw counts half."""
        return (self.won + self.drawn / 2) / len(self.scores)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the win rate, 95 %."""
        return stats.wilson(self.won + self.drawn / 2, len(self.scores))

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Match({self.won} won, {self.drawn} drawn, {self.lost} lost; win rate "
            f"{self.win_rate:.2f} [{low:.2f}, {high:.2f}]; mean score {self.scores.mean():+.2f})"
        )


def both_sides(play: Callable[[np.ndarray], np.ndarray], games: int) -> np.ndarray:
    """Scores (games,) of the first of two players, who is on the right in the first half of them.

    `play(on_right)` plays one game for each entry of `on_right`, bool (games,): is the first player
    on the right? It returns points won by whoever is on the right, less points lost."""
    on_right = np.arange(games) < games // 2
    points = play(on_right)
    return np.where(on_right, points, -points)


def match(first: Opponent, second: Opponent, games: int = 100, seed: int | None = None) -> Match:
    """Play whole games, half of them with `first` on the right, half with `first` on the left.

    Every court plays one game: the first so many to finish would be the short ones. Raises
    ValueError for an odd number of games."""
    if games < 2 or games % 2:
        raise ValueError(f"games={games}: an even number is needed, for both sides alike")
    lengths = np.zeros(games, dtype=int)
    rng = np.random.default_rng(seed)
    players = [as_player(player, games) for player in (first, second)]

    def play(on_right: np.ndarray) -> np.ndarray:
        return _whole_games(*players, on_right, rng, lengths)

    return Match(both_sides(play, games), lengths)


def _whole_games(
    first: Player, second: Player, on_right: np.ndarray, rng: np.random.Generator, lengths
) -> np.ndarray:
    """Points won less points lost on the right (N,), with `first` there where `on_right`, bool
    (N,), says so. Steps are added to `lengths` (N,)."""
    game, playing = SlimeGame(len(on_right), rng), np.ones(len(on_right), dtype=bool)
    for player in (first, second):
        player.reset(playing, rng)
    scores, swap = np.zeros(len(on_right)), on_right[:, None]
    for _ in range(TIME_LIMIT):
        left, right = game.observations().astype(np.float32)
        ours = buttons_of(first, np.where(swap, right, left))
        theirs = buttons_of(second, np.where(swap, left, right))
        buttons = {RIGHT: np.where(swap, ours, theirs), LEFT: np.where(swap, theirs, ours)}
        scores += playing * game.step(buttons[LEFT], buttons[RIGHT])
        lengths += playing
        playing &= (game.lives > 0).all(axis=0)
        if not playing.any():
            break
    return scores


def tournament(
    players: Mapping[str, Opponent], games: int = 100, seed: int | None = None
) -> tuple[np.ndarray, dict[str, float]]:
    """Everyone against everyone, from both sides. Returns the points (K, K), as `elo_ratings` takes
    them, and the ratings by name."""
    names, points = list(players), np.zeros((len(players), len(players)))
    seeds = seeding.spawn(seed, len(names) ** 2)
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            result = match(players[a], players[b], games, seeds.pop())
            points[i, j] = result.won + result.drawn / 2
            points[j, i] = games - points[i, j]
    return points, dict(zip(names, stats.elo_ratings(points).tolist()))
