"""The physics of slime volleyball: many courts at once, as arrays, to the last bit of a float64.

The game is that of slimevolleygym (David Ha, 2020, github.com/hardmaru/slimevolleygym, Apache-2.0),
written anew from a description of its rules: same constants, same order of events, same roundings.

World units and seconds; x grows to the right with the net at 0, y grows upwards. A court is 48 wide
and 48 high. Each player is a half-disc of radius 1.5, the ball a disc of radius 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DT = 1.0 / 30.0
GRAVITY = -9.8 * 2 * 1.5
NUDGE = 0.1  # how far an overlapping ball is pushed at a time
GAP = NUDGE * DT  # how far from a wall it is put down; how far above the ground one can stand
GROUND = 1.5
BALL_RADIUS, AGENT_RADIUS = 0.5, 1.5
BALL_WALL = 24.0 - BALL_RADIUS  # where the middle of the ball meets the walls, and the ceiling
BALL_CEILING = 48.0 - BALL_RADIUS
NET_SIDE, NET_TOP = 0.5 + BALL_RADIUS, 3.5  # the net's faces, for the ball; a half-disc tops it
BOUNCE = (BALL_RADIUS + AGENT_RADIUS) ** 2  # squared distance below which they touch
AGENT_NEAR, AGENT_FAR = 0.5 + AGENT_RADIUS, 24.0 - AGENT_RADIUS  # from the net
AGENT_SPEED, JUMP_SPEED, BALL_SPEED = 17.5, 13.5, 22.5
AGENT_START = 12.0
SERVE_FROM = np.array([[0.0], [12.0]])
SERVE_LOW, SERVE_HIGH = np.array([-20.0, 10.0]), np.array([20.0, 25.0])  # velocity, uniform
HOLD = 30  # steps for which a served ball waits
LIVES = 5
TIME_LIMIT = 3000  # steps; environments truncate there, the game itself goes on
SCALE = 10.0  # observations are divided by it

LEFT, RIGHT = 0, 1

# The table of six: nothing, forward, forward and jump, jump, back and jump, back.
BUTTONS = np.array(
    [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1, 0]], dtype=np.int8
)

# What turns world coordinates (x, y, vx, vy) into a player's own, and back.
FRAMES = np.array([[-1.0, 1.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])[..., None]

State = dict[str, np.ndarray]


class SlimeGame:
    """B courts of slime volleyball, stepped together: the game only, no episodes, no spaces.

    `step(left, right)` takes buttons and returns the point, `observations()` what both players see,
    `state` is all there is to know, to read or to set, and `inject` decides the next serves. Serves
    are otherwise drawn from `rng`. Nothing ends by itself: whoever has no `lives` left has lost,
    and it is for the caller to `reset` that court.

    Inside, agents are stored in their own frame, in which x is the distance from the net. That is
    what they observe, and as a change of sign rounds nothing, their two halves of the court can be
    computed as one array.
    """

    def __init__(self, num_courts: int = 1, rng: np.random.Generator | int | None = None) -> None:
        B = self.num_courts = num_courts
        self.rng = np.random.default_rng(rng)
        self.agents = np.zeros((4, 2, B))  # x, y, vx, vy of left and right, in their own frame
        self.ball = np.zeros((4, B))  # x, y, vx, vy in the world
        self.previous_x = np.zeros(B)  # of the ball, before it last moved
        self.lives = np.zeros((2, B), dtype=np.int64)
        self.delay = np.zeros(B, dtype=np.int64)  # steps for which the ball is still held
        self.time = np.zeros(B, dtype=np.int64)
        self._seen = np.zeros((2, 3, 4, B))  # by left, by right: itself, the ball, the other
        self._injected: dict[int, list] = {}
        self.reset()

    def reset(self, rows: np.ndarray | None = None) -> None:
        """Begin a new game: in every court, or where `rows`, bool (B,), is true."""
        rows = np.arange(self.num_courts) if rows is None else np.flatnonzero(rows)
        self.agents[..., rows] = np.array([AGENT_START, GROUND, 0.0, 0.0])[:, None, None]
        self.lives[:, rows] = LIVES
        self.time[rows] = 0
        self._serve(rows)
        self._look(rows)

    def inject(self, court: int, *velocities: Sequence[float]) -> None:
        """The next serves of a court: (vx, vy) of each. They are used before any is drawn, and do
        not advance `rng`. The first of them is the next serve, not one that is waiting already."""
        self._injected.setdefault(range(self.num_courts)[court], []).extend(velocities)

    def step(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Play one step. Buttons (B, 3) are forward, backward, jump, each on if above 0; forward is
        towards the net on both sides. Returns the points (B,): +1. where the left player lost one,
        -1. where the right player did, else 0. Raises ValueError for another shape."""
        if not np.shape(left) == np.shape(right) == (self.num_courts, 3):
            shapes = f"{np.shape(left)} and {np.shape(right)}"
            raise ValueError(f"buttons have shapes {shapes}, expected ({self.num_courts}, 3)")
        self.time += 1
        self._move_agents(left, right)
        self._move_ball()
        self._bounce(LEFT)
        self._bounce(RIGHT)
        x, y, _, _ = self.ball
        # The half-disc on top of the net has radius 0.5, so they touch at a distance of 1.
        dy = y - NET_TOP
        rows = (1.0 > x * x + dy * dy).nonzero()[0]
        if len(rows):
            self._reflect(rows, np.array([[0.0], [NET_TOP], [0.0], [0.0]]), 1.0)
        points = self._borders()
        scored = points.nonzero()[0]
        if not len(scored):
            self._look()
            return points
        stale = self._seen[..., scored]  # neither the landing nor the new ball is shown yet
        self._serve(scored)
        self._look()
        self._seen[..., scored] = stale
        return points

    def observations(self, side: int | None = None) -> np.ndarray:
        """What both players see, left first, (2, B, 12), or that of one side (B, 12): a new array.

        Own x, y, vx, vy; the ball's; the opponent's; all divided by 10. Each player sees itself on
        the right. The opponent's x and vx are in the opponent's own frame: x is positive, a
        distance from the net. On a step that scores, these are the observations of the step before.
        """
        seen = self._seen.reshape(2, 12, -1)
        return seen.transpose(0, 2, 1).copy() if side is None else seen[side].T.copy()

    # ------------------------------------------------------------------ state

    @property
    def state(self) -> State:
        """Copies of everything, in world coordinates, court by court: `ball`, `left` and `right`
        (B, 4) are x, y, vx, vy; `previous_x`, `delay`, `time` (B,); `lives` (B, 2), left first;
        `observations` (2, B, 12), which after a point are older than the rest.

        Set it to such a dict, or to part of one; what is missing stays. Without `observations`, the
        new state is shown as it is. Raises KeyError for another name, ValueError for a shape."""
        return {
            "ball": self.ball.T.copy(),
            "left": (self.agents[:, LEFT] * FRAMES[LEFT]).T,
            "right": (self.agents[:, RIGHT] * FRAMES[RIGHT]).T,
            "previous_x": self.previous_x.copy(),
            "lives": self.lives.T.copy(),
            "delay": self.delay.copy(),
            "time": self.time.copy(),
            "observations": self.observations(),
        }

    @state.setter
    def state(self, state: State) -> None:
        present = self.state
        for name, value in state.items():
            value, old = np.asarray(value), present[name]
            if value.shape != old.shape:
                raise ValueError(f"{name} has shape {value.shape}, expected {old.shape}")
            present[name] = value
        self.ball[:] = present["ball"].T
        for side, name in enumerate(("left", "right")):
            self.agents[:, side] = present[name].T * FRAMES[side]
        for name in ("previous_x", "delay", "time"):
            getattr(self, name)[:] = present[name]
        self.lives[:] = present["lives"].T
        self._look()
        if "observations" in state:
            seen = present["observations"].transpose(0, 2, 1)
            self._seen[:] = seen.reshape(self._seen.shape)

    # ------------------------------------------------------------------ the parts of a step

    def _move_agents(self, left: np.ndarray, right: np.ndarray) -> None:
        pressed = np.empty((3, 2, self.num_courts), dtype=np.int8)
        for side, buttons in enumerate((left, right)):
            buttons = np.asarray(buttons)  # to compare a bool with 0 is slow, and of no use
            pressed[:, side] = (buttons if buttons.dtype == bool else buttons > 0).T
        forward, backward, jump = pressed
        x, y, vx, vy = self.agents
        vy += GRAVITY * DT
        np.copyto(vy, jump * JUMP_SPEED, where=y <= GROUND + GAP)
        np.multiply(backward - forward, AGENT_SPEED, out=vx)
        x += vx * DT
        y += vy * DT
        np.copyto(vy, 0.0, where=y <= GROUND)
        np.maximum(y, GROUND, out=y)
        np.maximum(x, AGENT_NEAR, out=x)
        np.minimum(x, AGENT_FAR, out=x)
        np.copyto(vx, 0.0, where=(x == AGENT_NEAR) | (x == AGENT_FAR))

    def _move_ball(self) -> None:
        x, y, vx, vy = self.ball
        moving = self.delay == 0
        self.delay -= ~moving
        free = moving.astype(np.float64)  # times 1 or 0 is exact, and faster than a mask
        vy += GRAVITY * DT * free
        rows = ((vx * vx + vy * vy > BALL_SPEED * BALL_SPEED) & moving).nonzero()[0]
        if len(rows):
            fast = self.ball[2:, rows]
            speed = np.sqrt(fast[0] * fast[0] + fast[1] * fast[1])
            self.ball[2:, rows] = fast / speed * BALL_SPEED
        np.copyto(self.previous_x, x, where=moving)
        x += vx * DT * free
        y += vy * DT * free

    def _bounce(self, side: int) -> None:
        """Off an agent, a full disc around the middle of its base."""
        agent, direction = self.agents[:, side], (-1.0, 1.0)[side]
        dx = self.ball[0] - direction * agent[0]
        dy = self.ball[1] - agent[1]
        rows = (BOUNCE > dx * dx + dy * dy).nonzero()[0]
        if len(rows):
            self._reflect(rows, FRAMES[side] * agent[:, rows], BOUNCE)

    def _reflect(self, rows: np.ndarray, other: np.ndarray, reach: float) -> None:
        """Push the ball out of `other` (x, y, vx, vy), and reflect it, also if it was leaving."""
        position, velocity = self.ball[:2, rows], self.ball[2:, rows]
        centre, carried = other[:2], other[2:]
        dx, dy = offset = position - centre
        distance = np.sqrt(dx * dx + dy * dy)
        # Two centres in one point have no direction between them: up, then.
        offset[1, distance == 0.0] = distance[distance == 0.0] = 1.0
        normal = offset / distance
        inside = np.ones(len(rows), dtype=bool)
        while inside.any():
            np.add(position, NUDGE * normal, out=position, where=inside)
            dx, dy = position - centre
            inside = reach > dx * dx + dy * dy
        velocity -= carried
        approach = velocity[0] * normal[0] + velocity[1] * normal[1]
        velocity -= normal * (approach * 2.0)
        self.ball[:2, rows], self.ball[2:, rows] = position, velocity + carried

    def _borders(self) -> np.ndarray:
        """Walls, ground, ceiling, net, in that order. Returns the points (B,)."""
        x, y, vx, vy = self.ball
        points = np.zeros(self.num_courts)
        rows = (np.abs(x) >= BALL_WALL).nonzero()[0]
        if len(rows):
            vx[rows] = -vx[rows]
            x[rows] = np.copysign(BALL_WALL - GAP, x[rows])
        rows = (y >= BALL_CEILING).nonzero()[0]
        if len(rows):
            vy[rows] = -vy[rows]
            y[rows] = BALL_CEILING - GAP
        rows = (y <= NET_TOP).nonzero()[0]
        if len(rows):
            landed = y[rows] <= GROUND + BALL_RADIUS
            down, rows = rows[landed], rows[~landed]
            left_lost = x[down] <= 0.0
            self.lives[LEFT, down] -= left_lost
            self.lives[RIGHT, down] -= ~left_lost
            points[down] = 2.0 * left_lost - 1.0
            # Into a face from its own side; how deep inside the net already, does not matter.
            side = np.sign(self.previous_x[rows])
            into = (side * self.previous_x[rows] > NET_SIDE) & (side * x[rows] <= NET_SIDE)
            if into.any():
                rows, side = rows[into], side[into]
                vx[rows] = -vx[rows]
                x[rows] = side * (NET_SIDE + GAP)
        return points

    def _serve(self, rows: np.ndarray) -> None:
        given = {}
        if self._injected:
            given = {k: self._injected[r].pop(0) for k, r in enumerate(rows) if r in self._injected}
            self._injected = {court: queue for court, queue in self._injected.items() if queue}
        drawn = self.rng.random((len(rows) - len(given), 2))
        velocity = SERVE_LOW + (SERVE_HIGH - SERVE_LOW) * drawn
        for k in sorted(given):
            velocity = np.insert(velocity, k, given[k], axis=0)
        self.ball[:2, rows] = SERVE_FROM
        self.ball[2:, rows] = velocity.T
        self.previous_x[rows], self.delay[rows] = 0.0, HOLD

    def _look(self, rows: np.ndarray | slice = slice(None)) -> None:
        """Both players see the present, in `rows`."""
        own, ball, other = self._seen.transpose(1, 2, 0, 3)  # each (4, 2, B)
        own[..., rows] = self.agents[..., rows] / SCALE
        other[..., rows] = own[:, ::-1, rows]
        ball[:, RIGHT, rows] = self.ball[:, rows] / SCALE
        ball[:, LEFT, rows] = ball[:, RIGHT, rows] * FRAMES[LEFT]


def as_buttons(actions: Any) -> np.ndarray:
    """Buttons (B, 3) for actions of either kind: entries of the six-action table (B,), or buttons.

    Raises ValueError for another shape, IndexError for an action the table does not have."""
    actions = np.asarray(actions)
    if actions.ndim == 2 and actions.shape[1] == 3:
        return actions
    if actions.ndim == 1 and actions.dtype.kind in "iu" and (actions >= 0).all():
        return BUTTONS[actions]
    raise ValueError(
        f"actions must be integers (B,), or buttons (B, 3), not {actions.dtype} {actions.shape}"
    )
