"""Who stands on the other side of the net: scripted players, policies, and any function."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rlx.columns import apply, rows_where
from rlx.distributions import no_validation
from rlx.play.checks import run
from rlx.policy import Parametric

from .slimegame import as_buttons


class Player:
    """Plays one side of B courts: called with what it sees, float32 (B, 12), it returns actions,
    integers (B,) of the table of six or buttons (B, 3).

    An environment does not play against the player it is given, but against `seated(B)` of it, a
    shallow copy with a memory of its own, so that one player serves several environments. `rows` is
    bool (B,).
    """

    def seated(self, num_courts: int) -> Player:
        """This player, about to play on so many courts."""
        return copy.copy(self)

    def reset(self, rows: np.ndarray, rng: np.random.Generator) -> None:
        """New games begin in these courts. `rng` is the environment's."""

    def finish(self, rows: np.ndarray, scores: np.ndarray) -> None:
        """Games in these courts were played to their end; `scores` (B,) are points won by this
        player less points lost. Games that were broken off are not reported."""

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Still(Player):
    """Touches no button."""

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        return np.zeros((len(observations), 3), dtype=np.int8)


class Random(Player):
    """Tosses a coin for every button at every step."""

    def reset(self, rows: np.ndarray, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        return self.rng.random((len(observations), 3)) < 0.5


class Follower(Player):
    """Goes to where the ball comes down, a little behind it, and jumps when it is near.

    It knows the ball's parabola and the wall, but not the net, nor what the other player will do;
    while the ball comes down on the other side, it waits in the middle of its own.
    """

    def __init__(self, behind: float = 0.05, near: float = 0.25) -> None:
        self.behind, self.near = behind, near

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        x, _, _, _, ball_x, ball_y, ball_vx, ball_vy = observations[:, :8].T
        gravity, low, wall = 2.94, 0.3, 2.35  # all in tens of units, as it sees the world
        rise = np.sqrt(ball_vy**2 + 2 * gravity * np.maximum(ball_y - low, 0.0))
        lands = ball_x + ball_vx * (ball_vy + rise) / gravity
        lands = np.where(lands > wall, 2 * wall - lands, lands)
        target = np.where(lands > 0.0, lands + self.behind, 1.2)
        jump = (ball_x > 0) & (np.hypot(ball_x - x, ball_y - 0.15) < self.near) & (ball_vy < 0)
        return np.column_stack([x > target + 0.03, x < target - 0.03, jump])


class PolicyPlayer(Player):
    """An `rlx.Parametric` plays, without gradient: its samples, or with `greedy` its modes.

    The policy is not copied. If it is being trained, the opponent learns with it; to play a fixed
    one, hand over a `copy.deepcopy`, or use `OpponentPool`. It may act in the table of six or in
    buttons (a Bernoulli of 3, or three Categoricals). If it is recurrent, its memory is kept for
    each court, and is zero at the start of each game. Sampling uses torch's global generator.
    """

    def __init__(self, policy: Parametric, greedy: bool = False) -> None:
        self.policy, self.greedy = policy, greedy
        self.num_courts, self.memory = 0, None

    def seated(self, num_courts: int) -> PolicyPlayer:
        seated = copy.copy(self)
        seated.num_courts, seated.memory = num_courts, None
        return seated

    def reset(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> None:
        self.memory = rows_where(rows, self.memory, 0.0)

    def __call__(self, observations: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """`rows`, integers (n,), names the courts of `observations` (n, 12). All, if None."""
        rows = np.arange(len(observations)) if rows is None else rows
        device = next((p.device for p in self.policy.parameters()), torch.device("cpu"))
        index, states = torch.as_tensor(rows, device=device), torch.from_numpy(observations)
        with torch.no_grad(), no_validation():
            memory = apply(lambda part: part[index], self.memory)
            output = run(self.policy, memory, states.to(device))
            actions = output.dist.mode if self.greedy else output.dist.sample()
            if output.recur_state is not None:
                self._remember(index, output.recur_state)
        arrays = [action.cpu().numpy() for action in actions]
        return arrays[0] if len(arrays) == 1 else np.column_stack(arrays)

    def _remember(self, index: torch.Tensor, recur_state: Any) -> None:
        if self.memory is None:
            size = self.num_courts or len(index)
            self.memory = apply(lambda part: part.new_zeros(size, *part.shape[1:]), recur_state)
        parts = (self.memory, recur_state)
        parts = zip(*parts) if isinstance(recur_state, tuple) else [parts]
        for kept, new in parts:
            kept[index] = new


class Function(Player):
    """Any function of the observations (B, 12) plays."""

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        self.function = function

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        return self.function(observations)


SCRIPTED = {"still": Still, "random": Random, "follower": Follower}

Opponent = str | Player | Parametric | Callable[[np.ndarray], Any]


def as_player(opponent: Opponent, num_courts: int) -> Player:
    """The player behind a name (still, random, follower), a policy, a function or a player, seated.

    Raises ValueError for an unknown name, TypeError for anything else."""
    if isinstance(opponent, str):
        if opponent not in SCRIPTED:
            raise ValueError(
                f"there is no player {opponent!r}; the scripted ones are {', '.join(SCRIPTED)}"
            )
        opponent = SCRIPTED[opponent]()
    elif isinstance(opponent, Parametric):
        opponent = PolicyPlayer(opponent)
    elif not isinstance(opponent, Player):
        if not callable(opponent):
            raise TypeError(f"an opponent is a name, a policy or a function, not {opponent!r}")
        opponent = Function(opponent)
    return opponent.seated(num_courts)


def buttons_of(player: Player, observations: np.ndarray) -> np.ndarray:
    """The player's buttons (B, 3). Raises ValueError for actions of another shape."""
    buttons = as_buttons(player(observations))
    if len(buttons) != len(observations):
        raise ValueError(
            f"{type(player).__name__} returned {len(buttons)} actions for {len(observations)} rows"
        )
    return buttons
