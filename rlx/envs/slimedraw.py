"""Pictures of slime volleyball in numpy alone: shapes are distances, edges fade over a pixel."""

from __future__ import annotations

import functools

import numpy as np

from .slimegame import AGENT_RADIUS, BALL_RADIUS, GROUND, LIVES, NET_TOP, SlimeGame

WIDTH, HEIGHT = 600, 300  # pixels
PIXELS = WIDTH / 48.0  # to a unit of the world
# Two colours that colour-blind eyes tell apart (Okabe & Ito, 2008), and what goes with them.
BLUE, ORANGE = (0, 114, 178), (230, 159, 0)
WHITE, INK, SAND, SAND_EDGE = (255, 255, 255), (38, 50, 66), (226, 205, 164), (200, 176, 131)
SKY_TOP, SKY_LOW, NET, BALL = (176, 214, 240), (240, 248, 252), (110, 122, 136), (250, 236, 120)


def draw(game: SlimeGame, court: int = 0) -> np.ndarray:
    """A picture of one court, uint8 (300, 600, 3). The upper half of the world, where hardly a ball
    goes, is left out; a ball up there is a small mark at the top edge."""
    canvas = _background().copy()
    ball = game.ball[:2, court]
    # a shadow that is smaller and fainter the higher the ball is
    faint = 1.0 / (1.0 + 0.25 * max(ball[1] - GROUND, 0.0))
    shadow = (0.45 + 0.75 * faint, 0.22)
    _paint(canvas, (ball[0], GROUND - 0.3), shadow, INK, 0.35 * faint)
    for side, colour in enumerate((BLUE, ORANGE)):
        direction = (-1, 1)[side]
        own_x, y = game.agents[:2, side, court]
        _slime(canvas, direction * own_x, y, direction, colour, ball)
        for life in range(LIVES):
            spot = (direction * (22.6 - 1.1 * life), 22.6)
            _paint(canvas, spot, 0.38, colour)
            if life >= game.lives[side, court]:
                _paint(canvas, spot, 0.25, SKY_TOP)
    if ball[1] * PIXELS > HEIGHT:
        _paint(canvas, (ball[0], HEIGHT / PIXELS), (0.7, 0.25), INK)
    _paint(canvas, ball, BALL_RADIUS + 0.06, INK)
    _paint(canvas, ball, BALL_RADIUS - 0.06, BALL)
    _paint(canvas, (ball[0] - 0.15, ball[1] + 0.15), 0.13, WHITE, 0.8)
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


def _slime(canvas, x: float, y: float, direction: int, colour, ball: np.ndarray) -> None:
    _paint(canvas, (x, y), AGENT_RADIUS, [0.72 * c for c in colour], above=y)
    _paint(canvas, (x, y), AGENT_RADIUS - 0.12, colour, above=y + 0.1)
    _paint(canvas, (x + 0.45 * direction, y + 0.95), (0.42, 0.2), WHITE, 0.25)  # a little shine
    eye = np.array([x - 0.62 * direction, y + 0.78])  # on the side of the net
    gaze = ball - eye
    gaze /= max(np.hypot(*gaze), 1e-9)
    _paint(canvas, eye, 0.36, WHITE)
    _paint(canvas, eye + 0.16 * gaze, 0.18, INK)


@functools.cache
def _background() -> np.ndarray:
    height = (HEIGHT - 0.5 - np.arange(HEIGHT)) / PIXELS  # of the pixels' middles, in the world
    share = np.clip(height / height.max(), 0, 1)[:, None, None]
    canvas = np.broadcast_to(share * SKY_TOP + (1 - share) * np.array(SKY_LOW), (HEIGHT, WIDTH, 3))
    canvas = canvas.astype(np.float32)
    for x, y, r in ((-15, 17.5, 1.4), (-13.6, 18.2, 1.8), (-11.8, 17.6, 1.3)):  # two clouds
        _paint(canvas, (x, y), (1.5 * r, 0.7 * r), WHITE, 0.55)
        _paint(canvas, (x + 23.5, y - 2.6), (1.3 * r, 0.6 * r), WHITE, 0.45)
    x = (np.arange(WIDTH) + 0.5) / PIXELS - 24.0
    for left, right, bottom, top, colour in (
        (-25, 25, -1, GROUND, SAND_EDGE),
        (-25, 25, -1, GROUND - 0.16, SAND),
        (-0.5, 0.5, GROUND, NET_TOP, NET),
    ):
        wide, high = _covered(x - left, right - x), _covered(height - bottom, top - height)
        _blend(canvas, high[:, None] * wide, colour)
    _paint(canvas, (0.0, NET_TOP), 0.5, NET, above=NET_TOP)
    for y in np.arange(GROUND + 0.45, NET_TOP + 0.3, 0.55):
        _paint(canvas, (0.0, y), (0.5, 0.07), WHITE, 0.5)
    canvas.flags.writeable = False
    return canvas


def _covered(*inside: np.ndarray) -> np.ndarray:
    """The part of each pixel that lies inside, given how far within each edge its middle is."""
    cover = np.ones(())
    for distance in inside:
        cover = cover * np.clip(0.5 + distance * PIXELS, 0.0, 1.0)
    return cover


def _blend(patch: np.ndarray, alpha: np.ndarray, colour) -> None:
    alpha = alpha[..., None].astype(np.float32)
    patch += alpha * (np.asarray(colour, dtype=np.float32) - patch)


def _paint(canvas, centre, radius, colour, opacity: float = 1.0, above: float = -np.inf) -> None:
    """An ellipse of half-axes `radius` (or a disc), without what lies below the height `above`."""
    a, b = np.broadcast_to(radius, 2)
    column, row = (centre[0] + 24.0) * PIXELS, HEIGHT - centre[1] * PIXELS
    left, right = int(column - a * PIXELS) - 2, int(column + a * PIXELS) + 3
    top, bottom = int(row - b * PIXELS) - 2, int(row + b * PIXELS) + 3
    left, top = max(left, 0), max(top, 0)
    patch = canvas[top : max(bottom, 0), left : max(right, 0)]
    if not patch.size:
        return
    x = (np.arange(left, left + patch.shape[1]) + 0.5 - column) / PIXELS
    y = ((row - np.arange(top, top + patch.shape[0]) - 0.5) / PIXELS)[:, None]
    inside = (1.0 - np.hypot(x / a, y / b)) * min(a, b)
    _blend(patch, opacity * _covered(inside, y + centre[1] - above), colour)
