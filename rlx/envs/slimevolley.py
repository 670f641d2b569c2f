"""Slime volleyball as environments: against an opponent, alone or many at once, and for two."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding

from .native import BatchedEnv, SingleEnv
from .slimedraw import draw
from .slimegame import HOLD, LEFT, RIGHT, TIME_LIMIT, SlimeGame, State, as_buttons
from .slimeplayers import Opponent, as_player, buttons_of

SIDES = ("left", "right")


def action_space(actions: str) -> spaces.Space:
    """Discrete(6) for "discrete", MultiBinary(3) for "buttons", else a ValueError."""
    if actions not in ("discrete", "buttons"):
        raise ValueError(f"actions must be discrete or buttons, not {actions!r}")
    return spaces.Discrete(6) if actions == "discrete" else spaces.MultiBinary(3)


def observation_space() -> spaces.Box:
    """12 numbers, float32, without bounds to speak of, as in the original."""
    most = np.finfo(np.float32).max
    return spaces.Box(-most, most, (12,), dtype=np.float32)


class SlimeVolley(BatchedEnv):
    """Slime volleyball: keep the ball off your ground. Five points lost, and the game is.

    The physics is the original's to the last bit (`slimegame`): dt 1/30 s, a serve waits 30 steps.

    Observation: own x, y, vx, vy, the ball's and the opponent's, divided by 10, from one's own side
    (`SlimeGame.observations`; there float64). The step that scores repeats the one before.

    Actions: "discrete", `Discrete(6)`: nothing, forward, forward and jump, jump, back and jump,
    back; "buttons", `MultiBinary(3)`: forward, backward, jump. Forward is towards the net.

    Reward: +1 for a point won, -1 for one lost. Terminates when somebody has lost five, truncates
    after 3000 steps. `infos` have `lives` and `opponent_lives`.

    `side` is the one that is controlled, "right" or "left": both see the same game. `opponent`
    plays the other: "still", "random", "follower" (scripted), an `rlx.Parametric`, an
    `OpponentPool`, any `slimeplayers.Player`, or any function from observations (B, 12) to actions.

    With `hold`, both sides keep an action for that many steps of the game, up to 15, and a step of
    the environment is all of them. Learning is faster so, and a net can play every step afterwards.
    The limit still counts steps of the environment: for `hold=4` give `max_episode_steps=750`.

    Teaches: a sparse reward, an opponent, self-play. Solved: a mean return of 0 against the
    follower, which means being its equal; that takes many millions of steps. Random buttons score
    -4.9 against it, and 0 against each other.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(
        self,
        num_envs: int = 1,
        *,
        opponent: Opponent = "follower",
        side: str = "right",
        actions: str = "discrete",
        hold: int = 1,
        max_episode_steps: int | None = TIME_LIMIT,
        **kwargs: Any,
    ):
        if side not in SIDES:
            raise ValueError(f"side must be left or right, not {side!r}")
        if hold not in range(1, HOLD // 2 + 1):  # never longer than a served ball waits
            raise ValueError(f"hold must be a whole number from 1 to {HOLD // 2}, not {hold!r}")
        super().__init__(
            num_envs,
            observation_space(),
            action_space(actions),
            max_episode_steps=max_episode_steps,
            **kwargs,
        )
        self.side, self.hold = SIDES.index(side), hold
        self.opponent = as_player(opponent, num_envs)
        self.game = SlimeGame(num_envs)
        self.score = np.zeros(num_envs)  # points won less points lost, in this episode

    @property
    def state(self) -> State:
        """The game's state (see `SlimeGame.state`). Setting it also sets the episode's steps. The
        opponent's memory, if it has one, is not part of it."""
        return self.game.state

    @state.setter
    def state(self, state: State) -> None:
        self.game.state = state
        self.steps[:] = self.game.time // self.hold

    def _reset(self, rows: np.ndarray) -> None:
        over = self._done | (self.game.time >= TIME_LIMIT)
        over &= rows & (self.game.time > 0)
        if over.any():
            self.opponent.finish(over, -self.score)
        self.score[rows] = 0.0
        self.game.rng = self.np_random
        self.game.reset(rows)
        self.opponent.reset(rows, self.np_random)

    def _play(self, actions: np.ndarray) -> np.ndarray:
        """`hold` steps of the game; the points (B,) as this side counts them."""
        buttons = [as_buttons(actions)] * 2
        buttons[1 - self.side] = buttons_of(self.opponent, self._view(1 - self.side))
        points = self.game.step(*buttons)
        for _ in range(self.hold - 1):
            points += self.game.step(*buttons)
        points *= 1.0 if self.side == RIGHT else -1.0
        self.score += points * ~self._done
        return points

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._play(actions), (self.game.lives <= 0).any(axis=0)

    def _view(self, side: int) -> np.ndarray:
        return self.game.observations(side).astype(np.float32)

    def _observe(self) -> np.ndarray:
        return self._view(self.side)

    def _info(self) -> dict[str, np.ndarray]:
        lives = self.game.lives
        return {"lives": lives[self.side], "opponent_lives": lives[1 - self.side]}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """One picture (300, 600, 3) for each court."""
        if self.render_mode is None:
            return None
        return tuple(draw(self.game, court) for court in range(self.num_envs))


class SlimeRally(SlimeVolley):
    """One rally an episode: terminates with the first point.

    Reward: -0.01 a step of the game, and 10 more or less for the point, so a rally is best won
    soon. Otherwise as `SlimeVolley`, also in that it truncates after 3000 steps; but the opponent
    is "random" if none is named.

    Teaches: the same with the reward in sight: a rally takes 84 steps between random players, a
    game 630. Solved: a mean return of 7 against random. The follower scores 7.7, random buttons
    -0.8. Against the follower, its equal scores -18: their rallies take 1800 steps.
    """

    def __init__(self, num_envs: int = 1, *, opponent: Opponent = "random", **kwargs: Any):
        super().__init__(num_envs, opponent=opponent, **kwargs)

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = self._play(actions)
        return 10.0 * points - 0.01 * self.hold, points != 0


class SlimeVolleyEnv(SingleEnv):
    """`SlimeVolley` as a `gymnasium.Env`."""

    batched = SlimeVolley


class SlimeRallyEnv(SingleEnv):
    """`SlimeRally` as a `gymnasium.Env`."""

    batched = SlimeRally


class SlimeVolleyTwo:
    """One court for two players, in the manner of PettingZoo's parallel environments.

    `step({"left": action, "right": action})` returns observations, rewards, terminations,
    truncations and infos, each a dict by agent; `agents` is empty once the game is over. Spaces,
    rewards and ends are those of `SlimeVolley`, or with `rally` those of `SlimeRally`. PettingZoo
    itself is not needed.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "slimevolley_v0",
        "render_modes": ["rgb_array"],
        "render_fps": 30,
        "is_parallelizable": True,
    }
    possible_agents = list(SIDES)

    def __init__(
        self,
        *,
        actions: str = "discrete",
        rally: bool = False,
        max_steps: int = TIME_LIMIT,
        render_mode: str | None = None,
    ):
        self.rally, self.max_steps, self.render_mode = rally, max_steps, render_mode
        self.agents: list[str] = []
        self.game = SlimeGame(1)
        # One object an agent, and always the same: a space has a generator of its own.
        self.observation_spaces = {agent: observation_space() for agent in SIDES}
        self.action_spaces = {agent: action_space(actions) for agent in SIDES}

    @property
    def unwrapped(self) -> SlimeVolleyTwo:
        return self

    @property
    def num_agents(self) -> int:
        return len(self.agents)

    @property
    def max_num_agents(self) -> int:
        return len(self.possible_agents)

    def observation_space(self, agent: str) -> spaces.Box:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
        """Begin a new game; a seed decides all serves from now on. Returns observations, infos."""
        if seed is not None:
            self.game.rng, _ = seeding.np_random(seed)
        self.game.reset()
        self.agents = list(SIDES)
        return self._observations(), self._infos()

    def step(self, actions: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """Raises gymnasium's ResetNeeded once the game is over, ValueError for an action that is
        missing or not in the space."""
        if not self.agents:
            raise ResetNeeded("the game is over, or was never begun: reset it")
        for agent in SIDES:
            if agent not in actions or actions[agent] not in self.action_spaces[agent]:
                raise ValueError(f"the {agent} action, {actions.get(agent)!r}, is not an action")
        buttons = [as_buttons(np.asarray(actions[agent])[None]) for agent in SIDES]
        (point,) = self.game.step(*buttons).tolist()
        rewards = {"left": -point, "right": point}
        over = bool((self.game.lives <= 0).any())
        if self.rally:
            rewards = {agent: 10.0 * reward - 0.01 for agent, reward in rewards.items()}
            over = point != 0
        late = not over and self.game.time[0] >= self.max_steps
        results = (
            self._observations(),
            rewards,
            dict.fromkeys(SIDES, over),
            dict.fromkeys(SIDES, bool(late)),
            self._infos(),
        )
        if over or late:
            self.agents = []
        return results

    def render(self) -> np.ndarray | None:
        return None if self.render_mode is None else draw(self.game)

    def close(self) -> None:
        pass

    def _observations(self) -> dict[str, np.ndarray]:
        views = self.game.observations()[:, 0].astype(np.float32)
        return {"left": views[LEFT].copy(), "right": views[RIGHT].copy()}

    def _infos(self) -> dict[str, dict]:
        left, right = self.game.lives[:, 0].tolist()
        return {
            "left": {"lives": left, "opponent_lives": right},
            "right": {"lives": right, "opponent_lives": left},
        }
