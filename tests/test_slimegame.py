"""Slime volleyball's physics, to the last bit: against one court told in plain floats."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from rlx.envs.slimegame import BUTTONS, LEFT, RIGHT, SlimeGame, as_buttons

# --- One court, one thing after the other ---------------------------------------------------------


class Court:
    """The rules as they are described, with Python's floats. It knows nothing of `slimegame`."""

    def __init__(self, serves):
        self.serves = iter(serves)
        self.left, self.right = (
            SimpleNamespace(dir=d, x=12.0 * d, y=1.5, vx=0.0, vy=0.0, lives=5) for d in (-1, 1)
        )
        self.t = 0
        self.serve()
        self.look()

    def serve(self):
        vx, vy = next(self.serves)
        self.ball = SimpleNamespace(x=0.0, y=12.0, vx=float(vx), vy=float(vy))
        self.prev_x, self.delay = 0.0, 30

    def step(self, left, right):
        dt, g, nudge = 1 / 30, -9.8 * 2 * 1.5, 0.1
        self.t += 1
        for agent, (forward, backward, jump) in ((self.left, left), (self.right, right)):
            desired_vx = 0.0
            if forward > 0 and not backward > 0:
                desired_vx = -17.5
            if backward > 0 and not forward > 0:
                desired_vx = 17.5
            desired_vy = 13.5 if jump > 0 else 0.0
            agent.vy += g * dt
            if agent.y <= 1.5 + nudge * dt:
                agent.vy = desired_vy
            agent.vx = desired_vx * agent.dir
            agent.x += agent.vx * dt
            agent.y += agent.vy * dt
            if agent.y <= 1.5:
                agent.y, agent.vy = 1.5, 0.0
            if agent.x * agent.dir <= 2.0:
                agent.vx, agent.x = 0.0, agent.dir * 2.0
            if agent.x * agent.dir >= 22.5:
                agent.vx, agent.x = 0.0, agent.dir * 22.5
        ball = self.ball
        if self.delay == 0:
            ball.vy += g * dt
            squared = ball.vx * ball.vx + ball.vy * ball.vy
            if squared > 22.5 * 22.5:
                speed = math.sqrt(squared)
                ball.vx, ball.vy = ball.vx / speed * 22.5, ball.vy / speed * 22.5
            self.prev_x = ball.x
            ball.x += ball.vx * dt
            ball.y += ball.vy * dt
        else:
            self.delay -= 1
        stub = SimpleNamespace(x=0.0, y=3.5, vx=0.0, vy=0.0)
        self.collide(self.left, 2.0)
        self.collide(self.right, 2.0)
        self.collide(stub, 1.0)
        reward = 0.0
        if ball.x <= 0.5 - 24:
            ball.vx, ball.x = -ball.vx, 0.5 - 24 + nudge * dt
        if ball.x >= 24 - 0.5:
            ball.vx, ball.x = -ball.vx, 24 - 0.5 - nudge * dt
        if ball.y <= 2.0:
            loser, reward = (self.left, 1.0) if ball.x <= 0 else (self.right, -1.0)
            loser.lives -= 1
        else:
            if ball.y >= 48 - 0.5:
                ball.vy, ball.y = -ball.vy, 48 - 0.5 - nudge * dt
            if ball.x <= 1.0 and self.prev_x > 1.0 and ball.y <= 3.5:
                ball.vx, ball.x = -ball.vx, 1.0 + nudge * dt
            if ball.x >= -1.0 and self.prev_x < -1.0 and ball.y <= 3.5:
                ball.vx, ball.x = -ball.vx, -1.0 - nudge * dt
        if reward:
            self.serve()
        else:
            self.look()
        return reward

    def collide(self, other, reach):
        ball = self.ball

        def overlap():
            dx, dy = ball.x - other.x, ball.y - other.y
            return reach**2 > dx * dx + dy * dy

        if not overlap():
            return
        dx, dy = ball.x - other.x, ball.y - other.y
        distance = math.sqrt(dx * dx + dy * dy)
        # The original divides by 0 here; ours says that up is the way out.
        nx, ny = (dx / distance, dy / distance) if distance else (0.0, 1.0)
        while overlap():
            ball.x += 0.1 * nx
            ball.y += 0.1 * ny
        ux, uy = ball.vx - other.vx, ball.vy - other.vy
        along = (ux * nx + uy * ny) * 2
        ux -= nx * along
        uy -= ny * along
        ball.vx, ball.vy = ux + other.vx, uy + other.vy

    def look(self):
        self.seen = []
        for me, you in ((self.left, self.right), (self.right, self.left)):
            b = self.ball
            blocks = (me, me.dir), (b, me.dir), (you, you.dir)
            self.seen.append([n / 10 for o, d in blocks for n in (o.x * d, o.y, o.vx * d, o.vy)])

    def state(self):
        return {
            "ball": [self.ball.x, self.ball.y, self.ball.vx, self.ball.vy],
            "left": [self.left.x, self.left.y, self.left.vx, self.left.vy],
            "right": [self.right.x, self.right.y, self.right.vx, self.right.vy],
            "previous_x": self.prev_x,
            "lives": [self.left.lives, self.right.lives],
            "delay": self.delay,
            "time": self.t,
        }

    def set(self, state):
        for name in ("ball", "left", "right"):
            body = getattr(self, name)
            body.x, body.y, body.vx, body.vy = state[name]
        self.prev_x, self.delay, self.t = state["previous_x"], state["delay"], state["time"]
        self.left.lives, self.right.lives = state["lives"]
        self.look()


def some_serves(rng, n=60):
    return np.column_stack([rng.uniform(-20, 20, n), rng.uniform(10, 25, n)])


def pair(B, seed=0):
    """A game of B courts and B lone courts with the same serves to come."""
    rng = np.random.default_rng(seed)
    serves = [some_serves(rng) for _ in range(B)]
    game, courts = SlimeGame(B), [Court(row) for row in serves]
    for row in range(B):
        game.inject(row, *serves[row])
    game.reset()
    return game, courts, rng


def assert_same(game, courts):
    ours = game.state
    for name in courts[0].state():
        theirs = np.array([court.state()[name] for court in courts])
        assert np.array_equal(ours[name], theirs), name
    seen = np.array([court.seen for court in courts]).transpose(1, 0, 2)
    assert np.array_equal(game.observations(), seen)


def place(game, courts, rows, **state):
    """Put some courts of both into the same state."""
    whole = game.state
    for name, value in state.items():
        whole[name][rows] = value
    del whole["observations"]
    game.state = whole
    for row, court in enumerate(courts):
        court.set({name: value[row].tolist() for name, value in whole.items()})


@pytest.mark.parametrize("seed", range(2))
def test_games_are_the_same_to_the_last_bit(seed):
    """32 courts, 700 steps: random players that hold their buttons for about seven steps."""
    game, courts, rng = pair(32, seed)
    assert_same(game, courts)
    pressed, points = np.zeros((2, 32, 3), dtype=int), 0
    for _ in range(700):
        change = rng.random((2, 32, 3)) < 0.15
        pressed = np.where(change, rng.random((2, 32, 3)) < 0.5, pressed)
        rewards = game.step(*pressed)
        theirs = [c.step(*p) for c, p in zip(courts, pressed.transpose(1, 0, 2).tolist())]
        assert np.array_equal(rewards, theirs)
        points += np.abs(rewards).sum()
        assert_same(game, courts)
    assert points > 100


def random_state(rng, B):
    """Anything that has a place on a court, much of it touching something."""
    places = {
        "anywhere": lambda: (rng.uniform(-24, 24), rng.uniform(1.9, 47.9)),
        "net": lambda: (rng.uniform(-1.6, 1.6), rng.uniform(1.9, 5)),
        "walls": lambda: (rng.choice([-1, 1]) * rng.uniform(23, 24.5), rng.uniform(1.9, 6)),
        "ground": lambda: (rng.uniform(-24, 24), rng.uniform(1.9, 2.2)),
        "ceiling": lambda: (rng.uniform(-24, 24), rng.uniform(46.5, 48)),
        "exactly": lambda: (rng.choice([-23.5, -1, -0.0, 0, 1, 23.5]), rng.choice([2, 3.5, 47.5])),
    }
    state = {"left": [], "right": [], "ball": [], "previous_x": []}
    kinds = [*places, "left", "right", "squeezed"]
    for row in range(B):
        kind = kinds[row % len(kinds)]
        for name, side in (("left", -1), ("right", 1)):
            x = rng.choice([2.0, 22.5, rng.uniform(2, 22.5), rng.uniform(2, 4)])
            y, vy = (1.5, 0.0) if rng.random() < 0.5 else (rng.uniform(1.5, 4.5), rng.normal(0, 8))
            if kind == "squeezed":
                x = rng.uniform(2, 2.2)
            state[name].append([side * x, y, side * rng.choice([-17.5, 0, 17.5]), vy])
        if kind in state:
            x, y = np.array(state[kind][-1][:2]) + rng.uniform(-1.6, 1.6, 2)
        else:
            x, y = places["net" if kind == "squeezed" else kind]()
        state["ball"].append([x, y, *rng.normal(0, 15, 2)])
        state["previous_x"].append(x + rng.choice([0, rng.uniform(-1.5, 1.5)]))
    state["delay"] = rng.choice([0, 0, 0, 1, 30], B)
    state["lives"] = rng.integers(1, 6, (B, 2))
    state["time"] = rng.integers(0, 3000, B)
    return {name: np.array(value, dtype=None) for name, value in state.items()}


def test_corners_are_the_same_to_the_last_bit():
    """108 courts put somewhere awkward, two steps, 60 times over."""
    B = 108
    game, courts, rng = pair(B)
    serves = [some_serves(rng, 200) for _ in range(B)]
    for row, court in enumerate(courts):
        game._injected[row] = list(serves[row])
        court.serves = iter(serves[row])
    scored = held_and_scored = moved = 0
    for _ in range(60):
        state = random_state(rng, B)
        place(game, courts, np.arange(B), **state)
        assert_same(game, courts)
        for _ in range(2):
            held = game.delay > 0
            before = game.ball.copy()
            pressed = rng.random((2, B, 3)) < 0.5
            rewards = game.step(*pressed)
            theirs = [c.step(*p) for c, p in zip(courts, pressed.transpose(1, 0, 2).tolist())]
            assert np.array_equal(rewards, theirs)
            assert_same(game, courts)
            scored += (rewards != 0).sum()
            held_and_scored += ((rewards != 0) & held).sum()
            moved += (np.abs(game.ball[:2] - before[:2]).max(axis=0) > 1).sum()
    assert scored > 1000
    assert held_and_scored > 300
    assert moved > 1000


# --- Numbers worked out by hand -------------------------------------------------------------------

NOTHING, FORWARD, FORWARD_JUMP, JUMP, BACK_JUMP, BACK = BUTTONS[:, None]


def one(**state):
    game = SlimeGame(1, rng=0)
    defaults = {"ball": [0.0, 40.0, 0.0, 0.0], "delay": 0}
    game.state = {name: np.array([value]) for name, value in (defaults | state).items()}
    return game


def test_a_new_game():
    game = SlimeGame(3, rng=0)
    state = game.state
    assert (state["ball"][:, :2] == [0.0, 12.0]).all()
    assert (state["left"] == [-12.0, 1.5, 0, 0]).all()
    assert (state["right"] == [12.0, 1.5, 0, 0]).all()
    assert (state["lives"] == 5).all()
    assert (state["delay"] == 30).all()
    assert (state["time"] == 0).all()
    left, right = game.observations()
    assert np.array_equal(left * np.where(np.arange(12) == 6, -1, 1), right)
    assert (right[:, [0, 1, 5, 8, 9]] == [1.2, 0.15, 1.2, 1.2, 0.15]).all()


def test_the_ball_is_held_for_thirty_steps_and_shows_its_velocity():
    game = SlimeGame(1, rng=0)
    vx, vy = game.state["ball"][0, 2:]
    for _ in range(30):
        game.step(NOTHING, NOTHING)
        assert game.state["ball"][0].tolist() == [0.0, 12.0, vx, vy]
        assert game.observations()[RIGHT, 0, 6:8].tolist() == [vx / 10, vy / 10]
    game.step(NOTHING, NOTHING)
    assert game.state["ball"][0, 1] != 12.0


@pytest.mark.parametrize(
    ("button", "velocity", "up"),
    [
        (NOTHING, 0.0, 0.0),
        (FORWARD, -17.5, 0.0),
        (FORWARD_JUMP, -17.5, 13.5),
        (JUMP, 0.0, 13.5),
        (BACK_JUMP, 17.5, 13.5),
        (BACK, 17.5, 0.0),
        (np.array([[1, 1, 0]]), 0.0, 0.0),
        (np.array([[1, 1, 1]]), 0.0, 13.5),
        (np.array([[0.5, -0.5, 0.0]]), -17.5, 0.0),
    ],
)
def test_buttons(button, velocity, up):
    """Forward is towards the net on both sides."""
    for side, name in enumerate(("left", "right")):
        game, direction = one(), (-1, 1)[side]
        game.step(*((button, NOTHING) if side == LEFT else (NOTHING, button)))
        x = direction * (12 + velocity * (1 / 30))
        y = 1.5 + up * (1 / 30)
        assert game.state[name][0].tolist() == [x, y, direction * velocity, up]


def test_a_jump():
    """Up for 13.5² / (2 · 29.4) = 3.1 units above the ground; down again with the 29th step."""
    game, heights = one(ball=[0.0, 12.0, 0.0, 0.0], delay=90), []
    for _ in range(30):
        game.step(NOTHING, JUMP)
        heights.append(game.state["right"][0, 1])
    assert max(heights) - 1.5 == pytest.approx(13.5**2 / (2 * 29.4), abs=0.25)
    assert heights.index(1.5) == 28
    assert heights[29] == heights[0] == 1.5 + 13.5 * (1 / 30)


def test_agents_stop_at_the_net_and_at_the_wall():
    game = one(delay=90)
    for _ in range(40):
        game.step(FORWARD, BACK)
    assert game.state["left"][0].tolist() == [-2.0, 1.5, 0.0, 0.0]
    assert game.state["right"][0].tolist() == [22.5, 1.5, 0.0, 0.0]


@pytest.mark.parametrize("side", [-1, 1])
def test_walls(side):
    game = one(ball=[side * 23.3, 20.0, side * 20.0, 0.0])
    game.step(NOTHING, NOTHING)
    assert game.state["ball"][0, [0, 2]].tolist() == [side * (23.5 - 0.1 * (1 / 30)), -side * 20.0]


def test_the_ceiling():
    game = one(ball=[5.0, 47.4, 0.0, 20.0])
    game.step(NOTHING, NOTHING)
    fallen = 20.0 + -9.8 * 2 * 1.5 * (1 / 30)
    assert game.state["ball"][0, [1, 3]].tolist() == [47.5 - 0.1 * (1 / 30), -fallen]


@pytest.mark.parametrize("side", [-1, 1])
def test_the_faces_of_the_net(side):
    game = one(ball=[side * 1.2, 2.4, -side * 20.0, 0.0])
    game.step(NOTHING, NOTHING)
    assert game.state["ball"][0, [0, 2]].tolist() == [side * (1 + 0.1 * (1 / 30)), side * 20.0]


def test_a_ball_dropped_onto_the_net_bounces_for_ever():
    game = one(ball=[0.0, 12.0, 0.0, 0.0])
    heights = []
    for _ in range(2000):
        assert game.step(NOTHING, NOTHING) == 0
        heights.append(game.state["ball"][0, 1])
    assert max(heights[1000:]) > 10
    assert min(heights) > 4


def test_the_speed_limit():
    game = one(ball=[-10.0, 30.0, 30.0, 40.0 + 9.8 * 2 * 1.5 / 30])
    game.step(NOTHING, NOTHING)
    assert game.state["ball"][0, 2:] == pytest.approx([13.5, 18.0])


def test_a_head_is_pushed_out_of_in_whole_steps_and_reflects():
    """The ball comes to rest 1.5 above a standing agent: five pushes and a sixth for rounding."""
    game = one(right=[12.0, 1.5, 0.0, 0.0], ball=[12.0, 3.0, 0.0, -10.0], delay=9)
    game.step(NOTHING, NOTHING)
    x, y, vx, vy = game.state["ball"][0]
    assert (x, vx, vy) == (12.0, 0.0, 10.0)
    assert y in (pytest.approx(3.5), pytest.approx(3.6))
    game = one(right=[12.0, 1.5, 0.0, 0.0], ball=[12.0, 3.45, 0.0, 10.0], delay=9)
    game.step(NOTHING, NOTHING)
    assert game.state["ball"][0, 3] == -10.0  # leaving, and turned back all the same


def test_a_ball_in_the_middle_of_an_agent_goes_up():
    game = one(right=[12.0, 1.5, 0.0, 0.0], ball=[12.0, 1.5, 0.0, -10.0], delay=9)
    game.step(NOTHING, NOTHING)
    assert np.isfinite(game.state["ball"]).all()
    assert game.state["ball"][0, 1] > 3.5


def test_a_point():
    """Loser, life, new serve; agents stay where they are; nobody sees it until the next step."""
    for x, reward, lives in ((-5.0, 1.0, [4, 5]), (0.0, 1.0, [4, 5]), (5.0, -1.0, [5, 4])):
        game = one(ball=[x, 2.0, 0.0, 0.0])
        game.inject(0, (3.0, 20.0))
        seen = game.observations()
        points = game.step(FORWARD, FORWARD)
        assert points.tolist() == [reward]
        assert game.state["lives"].tolist() == [lives]
        assert game.state["ball"].tolist() == [[0.0, 12.0, 3.0, 20.0]]
        assert (game.state["previous_x"], game.state["delay"]) == ([0.0], [30])
        assert game.state["left"][0, 0] == -12.0 + 17.5 * (1 / 30)
        assert np.array_equal(game.observations(), seen)
        game.step(NOTHING, NOTHING)
        assert game.observations()[RIGHT, 0, 4:8].tolist() == [0.0, 1.2, 0.3, 2.0]


def test_views():
    game = one(
        left=[-5.0, 2.0, 3.0, 4.0], right=[7.0, 3.0, -6.0, 5.0], ball=[-1.5, 12.0, -2.0, 8.0]
    )
    left, right = game.observations()[:, 0]
    assert left.tolist() == [0.5, 0.2, -0.3, 0.4, 0.15, 1.2, 0.2, 0.8, 0.7, 0.3, -0.6, 0.5]
    assert right.tolist() == [0.7, 0.3, -0.6, 0.5, -0.15, 1.2, -0.2, 0.8, 0.5, 0.2, -0.3, 0.4]
    assert game.observations().dtype == np.float64


def test_an_untouched_serve_lands_after_67_steps_at_the_earliest():
    game = SlimeGame(400, rng=0)
    first = np.zeros(400)
    for t in range(1, 140):
        points = game.step(*np.zeros((2, 400, 3)))
        first[(points != 0) & (first == 0)] = t
    assert 67 <= first[first > 0].min() <= 70


# --- Serves, seeds, state -------------------------------------------------------------------------


def test_serves_are_uniform_and_drawn_vx_first():
    game = SlimeGame(20_000, rng=0)
    vx, vy = game.state["ball"][:, 2:].T
    rng = np.random.default_rng(0)
    assert (vx[0], vy[0]) == (rng.uniform(-20, 20), rng.uniform(10, 25))
    for velocity, low, high in ((vx, -20, 20), (vy, 10, 25)):
        assert low <= velocity.min() < velocity.max() < high
        counts, _ = np.histogram(velocity, bins=10, range=(low, high))
        assert np.abs(counts - 2000).max() < 5 * math.sqrt(2000)
    assert abs(np.corrcoef(vx, vy)[0, 1]) < 0.03


def test_injected_serves_belong_to_their_court_and_cost_no_draw():
    game, twin = SlimeGame(3, rng=0), SlimeGame(2, rng=0)
    game.reset()
    twin.rng = np.random.default_rng(5)
    game.rng = np.random.default_rng(5)
    game.inject(1, (1.0, 11.0), (2.0, 12.0))
    game.reset()
    twin.reset()
    assert game.state["ball"][1, 2:].tolist() == [1.0, 11.0]
    assert np.array_equal(game.state["ball"][[0, 2]], twin.state["ball"])
    game.reset(np.array([False, True, True]))
    assert game.state["ball"][1, 2:].tolist() == [2.0, 12.0]
    assert not game._injected
    with pytest.raises(IndexError):
        game.inject(3, (0.0, 10.0))


def test_any_position_can_be_replayed():
    """The state is everything: with it and the serves to come, the rest repeats exactly."""
    B, rng = 6, np.random.default_rng(1)
    game, twin = SlimeGame(B, rng=2), SlimeGame(B, rng=3)
    for t in range(400):
        game.step(*(rng.random((2, B, 3)) < 0.5))
        if t == 333:
            saved = game.state
    pressed = rng.random((300, 2, B, 3)) < 0.5

    def play(game):
        game.state, game.rng = saved, np.random.default_rng(4)
        return [(game.step(*p), *game.state.values()) for p in pressed]

    for a, b in zip(play(game), play(twin)):
        assert all(np.array_equal(x, y) for x, y in zip(a, b))


def test_the_state_on_a_scoring_step_keeps_the_old_observations():
    game = one(ball=[5.0, 2.0, 0.0, 0.0])
    seen = game.observations()
    game.step(NOTHING, NOTHING)
    twin = SlimeGame(1)
    twin.state = game.state
    assert np.array_equal(twin.observations(), seen)
    partial = game.state
    del partial["observations"]
    twin.state = partial
    assert twin.observations()[RIGHT, 0, 5] == 1.2


def test_what_was_given_out_does_not_change():
    game = SlimeGame(2, rng=0)
    seen, state = game.observations(), game.state
    kept = seen.copy()
    ball = state["ball"].copy()
    for _ in range(40):
        game.step(np.ones((2, 3)), np.ones((2, 3)))
    assert np.array_equal(seen, kept)
    assert np.array_equal(state["ball"], ball)
    game.observations()[:] = 99
    assert game.observations().max() < 99


def test_errors_name_the_trouble():
    game = SlimeGame(2)
    with pytest.raises(ValueError, match="ball has shape"):
        game.state = {"ball": np.zeros(4)}
    with pytest.raises(KeyError, match="bell"):
        game.state = {"bell": np.zeros((2, 4))}
    with pytest.raises(ValueError, match="expected"):
        game.step(np.zeros((2, 3)), np.zeros(3))
    for wrong in (np.zeros((2, 1)), np.zeros(2), np.array([0, -1])):
        with pytest.raises(ValueError, match="buttons"):
            as_buttons(wrong)
    with pytest.raises(IndexError):
        as_buttons(np.array([6]))


def test_the_table_of_six():
    assert as_buttons(np.arange(6)).tolist() == [
        [0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1, 0],
    ]  # fmt: skip
    pressed = np.ones((4, 3))
    assert as_buttons(pressed) is pressed
