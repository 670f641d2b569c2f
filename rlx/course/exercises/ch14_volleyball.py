"""Chapter 14: ratings, a match from both sides, and the pool of past selves."""

from __future__ import annotations

import copy
import math  # noqa: F401, for mistakes, which are texts

import numpy as np
import torch
from torch import Tensor, nn

from rlx.course.exercise import Exercise, Wrong
from rlx.policy import Parametric


def _self_play() -> Tensor:
    """The parameters after a little self-play, and what the pool then thinks of everyone."""
    import rlx
    from rlx.envs.selfplay import OpponentPool

    pool = OpponentPool("random", "still", rule="hard")
    agent = rlx.Agent(rlx.envs.make_vec("SlimeRally-v0", 8, opponent=pool), seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,))
    algorithm = rlx.algos.PPO(agent, policy, n_steps=96, epochs=2, minibatches=2, lr=0.03)
    for _ in range(4):
        algorithm.update()
        pool.add(policy)
    seated, rows = pool.seated(3), np.ones(3, dtype=bool)
    seated.reset(rows, np.random.default_rng(0))
    seated.finish(rows, np.array([0.0, 1.0, -1.0]))  # rallies as short as these have no draws
    parameters = nn.utils.parameters_to_vector(policy.parameters()).detach()
    known = [pool.rating, *(member.rating for member in pool), *pool.probabilities()]
    return torch.cat([parameters, torch.tensor(known, dtype=torch.float32)])


# ---------------------------------------------------------------------- expected_score


def _expected_score(rating: float, opponent: float) -> float:
    """The points a game that two ratings predict for the first: between 0 and 1."""
    return 1 / (1 + 10 ** ((opponent - rating) / 400))


expected_score = Exercise(
    "expected_score",
    chapter="14",
    reference=_expected_score,
    target="rlx.stats.expected_score",
    train=_self_play,
    also="It is the logistic function of (R_a - R_b) ln 10 / 400: a player's strength is 10 to the "
    "power R / 400, and the expected score is its share of both strengths.",
    hints=(
        "Equal ratings must give a half. What has to happen to the result if the opponent's "
        "rating grows without end?",
        "Ten to the power of the opponent's lead, in units of 400, says how many points the "
        "opponent takes for each of ours. We take one of 1 + so many.",
        "`1 / (1 + 10 ** ((opponent - rating) / 400))`",
    ),
)

expected_score.case("400 points ahead: ten points for each one lost", lambda: (1400.0, 1000.0))
expected_score.case("200 points behind", lambda: (1000.0, 1200.0))
expected_score.case("equal ratings", lambda: (850.0, 850.0))
expected_score.case("0.3 points ahead, which is nothing", lambda: (850.3, 850.0))


@expected_score.inputs
def _(draw):
    rating = float(draw.integer(-12, 12)) * draw.one_of(100.0, 7.5, 31.0)
    return rating, rating + float(draw.integer(-9, 9)) * draw.one_of(100.0, 12.5, 3.0, 0.1)


expected_score.patches(r"""
the sign in the exponent is wrong
    Yours is what the *opponent* may expect: the weaker player is said to win. A large lead of
    the opponent must make the power large: `opponent - rating`.
    - opponent - rating
    + rating - opponent

the base is e, not 10
    Elo's scale is made so that 400 points are ten to one: `10 **`, not `exp`.
    - 10 ** ((opponent - rating) / 400)
    + np.exp((opponent - rating) / 400)

the difference is not divided by 400
    One point of lead would be ten to one: 400 points are.
    - (opponent - rating) / 400
    + (opponent - rating)

the ratings themselves are compared, not their powers
    A rating has no zero: if everyone gained 1000 points, nothing would change. Only the
    difference counts, by a power of ten.
    - 1 / (1 + 10 ** ((opponent - rating) / 400))
    + rating / (rating + opponent) if rating + opponent else 0.5

it grows in a straight line
    Near equal ratings that is about right. A lead of 800 points would bring more than a
    point a game.
    - 1 / (1 + 10 ** ((opponent - rating) / 400))
    + 0.5 + (rating - opponent) / 800

the better player always wins
    A rating says how *often*. Yours knows 0, 1/2 and 1 only.
    - 1 / (1 + 10 ** ((opponent - rating) / 400))
    + float(rating > opponent) + 0.5 * float(rating == opponent)

it is the odds, not the expected score
    You return how many points are won for each one lost. Of both together it is the share.
    - 1 / (1 + 10 ** ((opponent - rating) / 400))
    + 10 ** ((rating - opponent) / 400)
""")


# ---------------------------------------------------------------------- elo_update


def _elo_update(rating: float, opponent: float, score: float, k: float) -> tuple[float, float]:
    """Both ratings after a game that brought the first `score`: 1 won, 1/2 drawn, 0 lost."""
    change = k * (score - _expected_score(rating, opponent))
    return rating + change, opponent - change


elo_update = Exercise(
    "elo_update",
    chapter="14",
    reference=_elo_update,
    target="rlx.stats.elo_update",
    results=("rating", "opponent"),
    train=_self_play,
    also="For small k this is a step of gradient ascent on the log-likelihood of the result, as "
    "in logistic regression; `rlx.stats.elo_ratings` goes to the top of it, for a whole table.",
    hints=(
        "How surprising was the result? A win against a weak player says little.",
        "The surprise is the score less the expected score. k times that is what the first gains, "
        "and the other loses as much.",
        "`change = k * (score - stats.expected_score(rating, opponent))`, and then "
        "`rating + change, opponent - change`.",
    ),
)

elo_update.case("a win among equals", lambda: (1000.0, 1000.0, 1.0, 32.0))
elo_update.case("a win of the weaker one", lambda: (1000.0, 1400.0, 1.0, 32.0))
elo_update.case("a draw of one who was expected to win", lambda: (1200.0, 1000.0, 0.5, 8.0))
elo_update.case("a draw among equals", lambda: (1000.0, 1000.0, 0.5, 32.0))


@elo_update.inputs
def _(draw):
    rating = float(draw.integer(-9, 9)) * draw.one_of(100.0, 7.5, 31.0)
    opponent = rating + float(draw.integer(-9, 9)) * draw.one_of(100.0, 12.5, 3.0)
    return rating, opponent, draw.one_of(1.0, 0.0, 0.5), draw.one_of(32.0, 8.0, 16.0, 100.0)


elo_update.patches(r"""
a draw counts as a loss
    Half a point is half a point: use `score` as it is.
    - (score -
    + (float(score == 1) -

the winner loses points
    Who did better than expected gains: a plus for the first, a minus for the other.
    - rating + change, opponent - change
    + rating - change, opponent + change

both ratings move the same way
    What one gains the other loses: the sum stays.
    - opponent - change
    + opponent + change

the opponent's rating stays
    The game says as much about the opponent: subtract the change.
    - opponent - change
    + opponent

k is not used
    The surprise is at most 1. `k` says how many points that is worth.
    - k * (score - _expected_score(rating, opponent))
    + score - _expected_score(rating, opponent)

everybody is expected to draw
    A win against a weak player would be worth as much as one against a strong player, and
    whoever plays most gets furthest.
    - score - _expected_score(rating, opponent)
    + score - 0.5

nothing is expected
    A loss would cost nothing, and a win always as much.
    - score - _expected_score(rating, opponent)
    + score

the expectation is the opponent's
    `expected_score(a, b)` is what a may expect. Who is expected to win gains little by it.
    - _expected_score(rating, opponent)
    + _expected_score(opponent, rating)

scores are taken from -1 to 1
    A loss is 0 points here and a draw 1/2, on the scale of the expected score.
    - (score -
    + (2 * score - 1 -

the changes are returned, not the ratings
    Add them to the ratings of before.
    - rating + change, opponent - change
    + change, -change
""")


@elo_update.mistake(
    "the second update uses the new rating",
    "The first rating has moved already when the second is computed, so the surprise is another "
    "one, and points are made or lost. Compute one change, from both ratings of before.",
)
def _new_rating(rating, opponent, score, k):
    rating = rating + k * (score - _expected_score(rating, opponent))
    opponent = opponent + k * (1 - score - _expected_score(opponent, rating))
    return rating, opponent


# ---------------------------------------------------------------------- both_sides


class _Court:
    """Plays games for the cases: `lead` is what the first player is worth, `slope` what the right
    side is, and `luck` (games,) is the same whoever stands where."""

    def __init__(self, lead: float, slope: float, luck: np.ndarray) -> None:
        self.lead, self.slope, self.luck = lead, slope, luck

    def __call__(self, on_right) -> np.ndarray:
        array = isinstance(on_right, np.ndarray)
        if not array or on_right.dtype != bool or on_right.shape != self.luck.shape:
            what = f"of {on_right.dtype}, {on_right.shape}" if array else type(on_right).__name__
            raise Wrong(
                "`play` is not given a bool array with an entry for each game",
                f"There are {len(self.luck)} games, all played at once; it was given {what}.",
            )
        return np.where(on_right, self.lead, -self.lead) + self.slope + self.luck


def _a_match() -> Tensor:
    from rlx.envs.selfplay import match

    return torch.tensor(match("random", "still", 6, seed=0).scores)


def _both_sides(play, games: int) -> np.ndarray:
    """Scores of the first player (games,), who is on the right in the first half of the games."""
    on_right = np.arange(games) < games // 2
    points = play(on_right)
    return np.where(on_right, points, -points)


both_sides = Exercise(
    "both_sides",
    chapter="14",
    reference=_both_sides,
    target="rlx.envs.selfplay.both_sides",
    train=_a_match,
    also="With `signs = np.where(on_right, 1, -1)` the scores are `signs * play(on_right)`.",
    hints=(
        "What does `play` count, and for whom? It does not know who the first player is.",
        "In the first half of the games the first player is on the right. Play all of them at "
        "once, and turn the sign of the points where the first player was on the left.",
        "`on_right = np.arange(games) < games // 2`, `points = play(on_right)`, and "
        "`np.where(on_right, points, -points)`.",
    ),
)

both_sides.case(
    "four games; the first player is worth 1 point, the right side 2",
    lambda: (_Court(1.0, 2.0, np.zeros(4)), 4),
)
both_sides.case(
    "six games between equals on a level court",
    lambda: (_Court(0.0, 0.0, np.array([3.0, -1.0, 0.0, 2.0, -4.0, 5.0])), 6),
)
both_sides.case("two games", lambda: (_Court(-3.0, 1.0, np.array([0.0, 1.0])), 2))


@both_sides.inputs
def _(draw):
    games = 2 * draw.size(1, 60)
    lead, slope = draw.one_of(1.0, 0.0, -2.0), draw.one_of(2.0, 0.0, -1.0)
    return _Court(lead, slope, draw.floats(games, kinds="whole").double().numpy()), games


both_sides.patches(r"""
all games are played from one side
    If the right side is the better one, so is whoever stands there. Half of the games belong
    to each side.
    - np.arange(games) < games // 2
    + np.ones(games, dtype=bool)

the sign is not turned for games from the left
    `play` counts for whoever is on the right. In the second half that is the other player.
    - np.where(on_right, points, -points)
    + points

the scores are the second player's
    On the right the first player's score is what `play` returns, on the left its negative.
    - np.where(on_right, points, -points)
    + np.where(on_right, -points, points)

the first player begins on the left
    The first half of the games is to be played on the right.
    - np.arange(games) < games // 2
    + np.arange(games) >= games // 2

sides change after every game
    That is as fair. But everyone who reads the scores has to know which are from which side:
    here, the first half is from the right.
    - np.arange(games) < games // 2
    + np.arange(games) % 2 == 0

only half of the games is counted
    Those from the left are games, too.
    - return np.where(on_right, points, -points)
    + return points[on_right]

the first player is on the right in one game too many
    Of `games` games numbered from 0, the first half are those below `games // 2`.
    - np.arange(games) < games // 2
    + np.arange(games) <= games // 2

who wins is counted, not by how much
    A score is a number of points.
    - np.where(on_right, points, -points)
    + np.sign(np.where(on_right, points, -points))

the mean is returned
    An interval needs each game's score.
    - np.where(on_right, points, -points)
    + np.where(on_right, points, -points).mean()
""")


@both_sides.mistake(
    "`play` is told that all games are played from the right",
    "You turn the sign in the second half. But there, too, the first player was on the right: its "
    "points become losses.",
)
def _told_nothing(play, games):
    points = play(np.ones(games, dtype=bool))
    return np.where(np.arange(games) < games // 2, points, -points)


# ---------------------------------------------------------------------- pool_weights


def _pool_weights(won: np.ndarray, drawn: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """How likely each member is to be the next opponent, in proportion to (1 - w)²: (K,)."""
    games = won + drawn + lost
    w = (won + drawn / 2 + 0.5) / (games + 1)
    weights = (1 - w) ** 2
    return weights / weights.sum()


pool_weights = Exercise(
    "pool_weights",
    chapter="14",
    reference=_pool_weights,
    target="rlx.envs.selfplay.pool_weights",
    train=_self_play,
    also="With the exponent 1 the pool is less choosy, and w (1 - w) prefers opponents of one's "
    "own strength (Vinyals et al. use both).",
    hints=(
        "First the learner's win rate against each member. How many games were there, and how many "
        "points did they bring?",
        "A draw is half a point. Add one draw that was never played: half a point, and one game. "
        "Then (1 - w)², divided by the sum over all members.",
        "`w = (won + drawn / 2 + 0.5) / (won + drawn + lost + 1)`, `weights = (1 - w) ** 2`, and "
        "`weights / weights.sum()`.",
    ),
)


def _results(*rows: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
    won, drawn, lost = np.array(rows).T
    return won, drawn, lost


pool_weights.case(
    "three members, against whom 9, 4 and none of 9 games were won",
    lambda: _results((9, 0, 0), (4, 0, 5), (0, 0, 9)),
)
pool_weights.case("a member that was never met", lambda: _results((3, 0, 1), (0, 0, 0)))
pool_weights.case("members with draws", lambda: _results((1, 4, 0), (0, 4, 1), (2, 1, 2)))


@pool_weights.inputs
def _(draw):
    k = draw.size(1, 12)
    most = draw.one_of(3, 1, 12, 400)
    return _results(*(tuple(draw.integer(0, most) for _ in range(3)) for _ in range(k)))


pool_weights.patches(r"""
w is the opponent's win rate
    `lost` are games that the learner lost. Yours prefers whom it beats anyway.
    - (won + drawn / 2 + 0.5)
    + (lost + drawn / 2 + 0.5)

whom it beats most is met most
    The learner's win rate is w, and the weight (1 - w)²: those it *loses* to come first.
    - (1 - w) ** 2
    + w

draws count as losses
    A draw is half a point.
    - won + drawn / 2 + 0.5
    + won + 0.5

draws count as wins
    A draw is half a point.
    - drawn / 2
    + drawn

draws are left out
    They are games, and half a point each.
    - games = won + drawn + lost
    + games = won + lost
    - won + drawn / 2 + 0.5
    + won + 0.5

the imaginary draw is missing
    Nobody knows how good a member is that was never met: 0 / 0. And one that was beaten once
    would never be met again.
    - (won + drawn / 2 + 0.5) / (games + 1)
    + (won + drawn / 2) / np.maximum(games, 1)

the imaginary game is a loss
    Half a point belongs to it, and not only a game.
    - won + drawn / 2 + 0.5
    + won + drawn / 2

the square is missing
    (1 - w)², not 1 - w: yours spends more games on those that are beaten already.
    - (1 - w) ** 2
    + (1 - w)

the square is taken of w alone
    (1 - w)² and 1 - w² are not the same: at w = 1/2 they are 1/4 and 3/4.
    - (1 - w) ** 2
    + 1 - w**2

they do not add up to 1
    Probabilities do: divide by the sum.
    - weights / weights.sum()
    + weights

everyone is equally likely
    That is the rule "uniform". Here it is in proportion to (1 - w)².
    - (1 - w) ** 2
    + 0 * w + 1

only the hardest is met
    Who plays only one opponent forgets the others: in proportion to (1 - w)².
    - weights / weights.sum()
    + (weights == weights.max()) / (weights == weights.max()).sum()
""")


def _fair_weights(won: np.ndarray, drawn: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """The same in proportion to w (1 - w), which prefers equals: (K,)."""
    games = won + drawn + lost
    w = (won + drawn / 2 + 0.5) / (games + 1)
    weights = w * (1 - w)
    return weights / weights.sum()


pool_weights.harder(
    "fair_weights",
    _fair_weights,
    (
        "Where is w (1 - w) largest?",
        "The win rate is as before, with its imaginary draw, and the weights add up to 1.",
        "`weights = w * (1 - w)`, and `weights / weights.sum()`.",
    ),
    r"""
    the hard ones are preferred
        This is (1 - w)²: it is largest where everything is lost.
        - w * (1 - w)
        + (1 - w) ** 2

    whom it beats is preferred
        w² is largest where everything is won.
        - w * (1 - w)
        + w**2

    equals are met least
        w (1 - w) itself is largest at a half: do not subtract it from 1.
        - w * (1 - w)
        + 1 - w * (1 - w)

    they do not add up to 1
        Divide by the sum.
        - weights / weights.sum()
        + weights

    draws count as losses
        A draw is half a point.
        - won + drawn / 2 + 0.5
        + won + 0.5
    """,
    also="w (1 - w) is the variance of a game that is won or lost: largest where nobody knows "
    "who wins.",
)


# ---------------------------------------------------------------------- snapshot


def _snapshot(policy: Parametric) -> Parametric:
    """A copy that stays as it is, and asks for no gradient."""
    return copy.deepcopy(policy).requires_grad_(False)


def _trained_on(answer, policy):
    """What became of the copy, after the policy was trained on."""
    trained = copy.deepcopy(policy)
    kept = answer(trained)
    if not isinstance(kept, nn.Module):
        raise Wrong("no policy comes back", "What is returned has to play: it is a policy itself.")
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1.0)
    return {
        "the copy's weights after the policy was trained": next(kept.parameters()).detach(),
        "the policy's": next(trained.parameters()).detach(),
        "it is another object": kept is not trained,
        "does the copy ask for a gradient": any(p.requires_grad for p in kept.parameters()),
        "does the policy itself ask for a gradient": all(
            p.requires_grad for p in trained.parameters()
        ),
    }


snapshot = Exercise(
    "snapshot",
    chapter="14",
    reference=_snapshot,
    target="rlx.envs.selfplay.snapshot",
    call=_trained_on,
    train=_self_play,
    also="`load_state_dict` into a second policy of the same kind copies the numbers, too. "
    "`state_dict()` alone does not: it holds the tensors that are being trained.",
    hints=(
        "What happens to an old opponent when the optimizer changes the weights in place?",
        "The module and every tensor in it have to be copied. Python's `copy` module has two ways, "
        "and one of them goes all the way down. Then the copy should ask for no gradient.",
        "`copy.deepcopy(policy).requires_grad_(False)`",
    ),
)


class Net(Parametric):
    """A policy, for the cases, which are about its weights only."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        with torch.no_grad():
            self.layer.weight.copy_(weights)


snapshot.case(
    "a policy of two inputs",
    lambda: (Net(torch.tensor([[0.5, -1.0], [2.0, 3.0]])),),
)
snapshot.case("another policy", lambda: (Net(torch.tensor([[1.0, 2.0], [3.0, 4.0]])),))


@snapshot.inputs
def _(draw):
    return (Net(draw.floats(2, 2)),)


@snapshot.mistake(
    "nothing is copied",
    "A second name for the same policy. Whatever it learns, its opponent has learned as well: "
    "half of the games are won, for ever.",
)
def _itself(policy):
    return policy


@snapshot.mistake(
    "only the outer object is copied",
    "`copy.copy` makes a new module that holds the *same* layers, with the same weights. The "
    "optimizer changes them in place, for both. `copy.deepcopy` goes all the way down.",
)
def _shallow(policy):
    return copy.copy(policy)


@snapshot.mistake(
    "the weights are shared",
    "The modules are two, but their parameters use the same memory: `.data` is handed over, not "
    "copied. `.clone()` it, or copy all of it with `copy.deepcopy`.",
)
def _shared(policy):
    copied = copy.deepcopy(policy).requires_grad_(False)
    for new, old in zip(copied.parameters(), policy.parameters()):
        new.data = old.data
    return copied


@snapshot.mistake(
    "the copy asks for gradients",
    "It works. But nobody trains it, and gradients cost time and memory: `requires_grad_(False)`, "
    "of the copy.",
)
def _trainable(policy):
    return copy.deepcopy(policy)


@snapshot.mistake(
    "the policy itself asks for no gradient any more",
    "You have frozen the one that is to learn. Copy first, and freeze the copy.",
)
def _frozen(policy):
    return copy.deepcopy(policy.requires_grad_(False))


@snapshot.mistake(
    "the policy itself is frozen, and nothing is copied",
    "From now on nothing learns. Copy first, and freeze the copy.",
)
def _stopped(policy):
    return policy.requires_grad_(False)


@snapshot.mistake(
    "the copy has weights of its own",
    "The network is built again, with new random weights. A former self plays with the weights of "
    "then.",
)
def _newborn(policy):
    copied = copy.deepcopy(policy).requires_grad_(False)
    for parameter in copied.parameters():
        nn.init.normal_(parameter)
    return copied


# ---------------------------------------------------------------------- cycles


def _cycles(rates: np.ndarray) -> int:
    """How many triples beat each other in a circle: a beats b, b beats c, c beats a."""
    beats = (rates > 0.5).astype(int)
    circles = int(np.trace(beats @ beats @ beats)) // 3
    return circles


cycles = Exercise(
    "cycles",
    chapter="14",
    reference=_cycles,
    also="`np.trace(beats @ beats @ beats) // 3`: each walk of three wins that ends where it "
    "began, and every circle can be entered at three places.",
    hints=(
        "For three players, in which ways can they beat each other in a circle?",
        "Two: a, b, c or a, c, b. Go through all triples and look for either. Nobody is beaten at "
        "0.5.",
        "For each `a, b, c` in `itertools.combinations(range(len(rates)), 3)`: count one if "
        "`rates[a, b]`, `rates[b, c]` and `rates[c, a]` are all above 0.5, or the other three "
        "`rates[a, c]`, `rates[c, b]`, `rates[b, a]`.",
    ),
)


def _table(*rates: float) -> np.ndarray:
    """The table (K, K) of which this is the part above the diagonal, row by row."""
    size = next(k for k in range(1, 30) if k * (k - 1) // 2 >= len(rates))
    table = np.full((size, size), 0.5)
    table[np.triu_indices(size, 1)] = rates
    return np.triu(table, 1) + np.tril(1 - table.T, -1) + 0.5 * np.eye(size)


cycles.case("rock, paper, scissors", lambda: (_table(0.0, 1.0, 0.0),))
cycles.case("a circle the other way round", lambda: (_table(0.9, 0.2, 0.8),))
cycles.case("a best player, a second and a third", lambda: (_table(0.8, 0.9, 0.7),))
cycles.case(
    "five players, a draw among them",
    lambda: (_table(0.9, 0.2, 0.9, 0.6, 0.8, 0.5, 0.3, 0.7, 0.6, 0.9),),
)


@cycles.inputs
def _(draw):
    size = draw.size(3, 9)
    pairs = size * (size - 1) // 2
    return (_table(*(draw.one_of(0.75, 0.25, 0.5, 1.0, 0.0) for _ in range(pairs))),)


cycles.patches(r"""
every circle is counted three times
    It can be entered at three places: divide by three, or go through triples, not through
    orders.
    - // 3
    + // 1

draws count as wins
    Whoever wins half of the points beats nobody.
    - rates > 0.5
    + rates >= 0.5

what is counted is a beats b, b beats c
    The circle has to close: c beats a, too.
    - return circles
    + return int((beats @ beats).sum())

it is a share, not a number
    Divide by the number of triples afterwards, if you like.
    - return circles
    + return circles / math.comb(len(rates), 3)

triples without a circle are counted
    In those, one beats both others. Yours is all triples less the circles.
    - return circles
    + return math.comb(len(rates), 3) - circles

pairs are counted, not triples
    Two players make no circle: go through all triples.
    - return circles
    + return int(beats.sum())
""")


@cycles.mistake(
    "only circles in one direction are counted",
    "With a < b < c there are two circles: a beats b beats c beats a, and a beats c beats b beats "
    "a. Rock, paper, scissors is one of them; which, depends on how they are numbered.",
)
def _one_way(rates):
    beats, n = rates > 0.5, len(rates)
    triples = ((a, b, c) for a in range(n) for b in range(a) for c in range(b))
    return sum(int(beats[a, b] and beats[b, c] and beats[c, a]) for a, b, c in triples)
