"""Intervals that hold what they say, against hand-made numbers, enumeration and simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from rlx.course.checking import examine
from rlx.course.exercises import ch12_debugging as ch12
from rlx.stats import (
    bootstrap_interval,
    compare,
    difference_interval,
    elo_ratings,
    elo_update,
    expected_score,
    interquartile_mean,
    wilson,
)


def test_interquartile_mean():
    assert interquartile_mean([100, 1, 2, 3, -100]) == 2  # of 1, 2, 3
    assert interquartile_mean([1, 2, 3]) == 2  # a quarter of three is none
    assert interquartile_mean([0, 1, 3, 100]) == 2
    assert interquartile_mean([5]) == 5
    table = np.array([[9, 0], [1, 5], [2, 6], [3, 100]])
    assert interquartile_mean(table).tolist() == [2.5, 5.5]
    assert interquartile_mean(table, axis=1).tolist() == [4.5, 3, 4, 51.5]


def test_one_failure_in_five_does_not_show_in_the_interquartile_mean():
    runs = [150, 480, 480, 480, 480]
    assert np.mean(runs) == 414
    assert interquartile_mean(runs) == 480


# ---------------------------------------------------------------------- the bootstrap


@pytest.mark.parametrize("values", [[0, 1, 2], [0, 1, 10, 11], [3, 1, 4, 1, 5]])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_the_interval_is_that_of_all_ways_to_draw_seeds(values, level):
    drawn = itertools.product(values, repeat=len(values))  # all nⁿ ways, not a sample of them
    means = np.array([interquartile_mean(list(one)) for one in drawn])
    slack = 0.015  # three standard errors of a share of 0.05 in 2000 resamples
    for found, below in zip(bootstrap_interval(values, level), ((1 - level) / 2, (1 + level) / 2)):
        assert np.mean(means < found - 1e-9) <= below + slack
        assert np.mean(means <= found + 1e-9) >= below - slack


def test_of_three_seeds():
    """Sums of three draws from 0, 1, 2: the 27 ways give 0 … 6 in 1, 3, 6, 7, 6, 3, 1 of them. A
    twentieth is more than one of 27, and less than four."""
    assert bootstrap_interval([0, 1, 2], 0.9) == pytest.approx((1 / 3, 5 / 3))
    assert bootstrap_interval([0, 1, 2], 0.95) == pytest.approx((0, 2))


def test_columns_are_as_if_alone_and_calls_repeat():
    table = np.random.default_rng(1).normal(size=(6, 3, 2))
    low, high = bootstrap_interval(table)
    assert low.shape == high.shape == (3, 2)
    assert bootstrap_interval(table[:, 1, 0]) == pytest.approx((low[1, 0], high[1, 0]))
    assert np.array_equal(bootstrap_interval(table)[0], low)


def test_another_statistic():
    values = [1, 1, 1, 1, 1, 1000]
    assert bootstrap_interval(values, 0.5, statistic=np.median) == (1, 1)
    assert bootstrap_interval(values, statistic=np.mean)[1] > 300


def test_the_difference_moves_with_its_terms():
    a, b = np.array([1.0, 4, 2, 8, 5]), np.array([7.0, 1, 3, 2])
    low, high = difference_interval(a, b)
    assert low < interquartile_mean(a) - interquartile_mean(b) < high
    assert difference_interval(a + 10, b - 1) == pytest.approx((low + 11, high + 11))
    assert difference_interval(3 * a, 3 * b) == pytest.approx((3 * low, 3 * high))
    assert difference_interval(b, a) == pytest.approx((-high, -low), abs=0.5)


def test_constant_runs():
    assert bootstrap_interval([3, 3, 3]) == (3, 3)
    assert difference_interval([3, 3], [1, 1, 1]) == (2, 2)
    # what is certain adds nothing to what is not
    low, high = bootstrap_interval([0, 1, 2])
    assert difference_interval([0, 1, 2], [5, 5, 5]) == pytest.approx((low - 5, high - 5))


def test_what_has_no_interval_says_so():
    for values in ([1.0], [], 3.0, [[1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"two seeds at least.*shape"):
            bootstrap_interval(values)
        with pytest.raises(ValueError, match="two seeds at least"):
            difference_interval([1, 2, 3], values)
    with pytest.raises(ValueError, match="NaN: leave that seed out"):
        bootstrap_interval([1, 2, np.nan])


def normal(rng, shape):
    return rng.normal(size=shape)


def skewed(rng, shape):
    """Less the mean of the middle half: 2 ∫ x exp(-x) dx from log 4/3 to log 4."""
    return rng.exponential(size=shape) - (1.5 * (np.log(4 / 3) + 1) - 0.5 * (np.log(4) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("draw", [normal, skewed])
@pytest.mark.parametrize(
    ("n", "least", "most"), [(3, 0.7, 0.82), (5, 0.84, 0.93), (10, 0.9, 0.96), (20, 0.92, 0.97)]
)
def test_coverage(draw, n, least, most):
    """In how many of 1000 experiments, each of n seeds, the interval holds the truth, which is 0.
    The docstring says that of few seeds it is too narrow."""
    low, high = bootstrap_interval(draw(np.random.default_rng(n), (n, 1000)))
    assert least < np.mean((low <= 0) & (high >= 0)) < most


@pytest.mark.slow
def test_the_difference_raises_few_false_alarms_and_finds_more_than_bands_that_do_not_overlap():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 10, 1000))
    low, high = difference_interval(a, b)
    assert np.mean((low > 0) | (high < 0)) < 0.07
    a += 1
    low, high = difference_interval(a, b)
    apart = bootstrap_interval(a)[0] > bootstrap_interval(b)[1]
    assert np.mean(low > 0) > 0.48
    assert apart.mean() < 0.35


# ---------------------------------------------------------------------- solved k of n


def test_wilson():
    """10 of 20: 0.299 to 0.701, as tables have it."""
    assert wilson(10, 20) == pytest.approx((0.299, 0.701), abs=0.001)
    assert wilson(0, 10) == pytest.approx((0.0, 0.278), abs=0.001)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(1, 1)[1] == 1
    low, high = wilson(2.5, 5)
    assert low + high == pytest.approx(1)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (3, 5), (5, 5), (4, 10), (99, 100)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_is_that_of_scipy(k, n, level):
    theirs = binomtest(k, n).proportion_ci(level, method="wilson")
    assert wilson(k, n, level) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_holds_the_truth():
    for p in (0.5, 0.8, 0.95):
        solved = np.random.default_rng(0).binomial(10, p, size=2000)
        intervals = np.array([wilson(k, 10) for k in solved.tolist()])
        assert np.mean((intervals[:, 0] <= p) & (p <= intervals[:, 1])) > 0.9


@pytest.mark.parametrize(("k", "n"), [(6, 5), (-1, 5), (0, -1), (float("nan"), 3)])
def test_more_successes_than_trials(k, n):
    with pytest.raises(ValueError, match="successes in"):
        wilson(k, n)


def test_a_table_of_methods():
    methods = {"this": [4, 4, 4], "that": np.array([1, 1, 1, 1])}
    assert compare(methods, goal=2).splitlines() == [
        "      seeds  mean of the middle half  less the first  reach 2",
        "this  3      4 [4, 4]                                 3 of 3 [0.44, 1.00]",
        "that  4      1 [1, 1]                 [-3, -3]        0 of 4 [0.00, 0.49]",
    ]
    assert "reach" not in compare(methods)


NOT_DRAWN = {"it is the deviation", "it is the interval of a normal", "seeds are drawn without"}
DRAWING = {"": ch12._difference_interval} | {
    mistake.name: mistake.coding
    for mistake in ch12.difference_interval.mistakes
    if not mistake.name.startswith(tuple(NOT_DRAWN))
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWING)
def test_the_intervals_of_the_exercise_are_the_same_whatever_is_drawn(name):
    """Also with a level by which both quantiles move five standard errors."""
    for design in [*ch12.DESIGNS, *ch12.HAND.values()]:
        a, b, statistic, level, _ = ch12._tables(*design)
        tails = 1 if name.startswith("each tail") else 2  # the level's change, shared by so many
        outside = (1 - level) / tails
        slack = 5 * tails * (outside * (1 - outside) / 5000) ** 0.5
        ends = [
            DRAWING[name](a, b, statistic, near, np.random.default_rng(seed))
            for seed, near in enumerate((level - slack, level, min(level + slack, 1)))
        ]
        assert np.ptp(ends, axis=0) == pytest.approx([0, 0]), design


def test_who_draws_episodes_is_told_so_in_every_coding():
    """The library hands over one value a seed, to which this mistake makes no difference."""

    def difference_interval(a, b, statistic, level, rng):
        a, b = (rng.choice(one.flatten(), (5000, one.size)).T for one in (a, b))
        ordered = np.sort(statistic(a) - statistic(b))
        outside = round((1 - level) / 2 * 4999)
        return ordered[outside], ordered[4999 - outside]

    card = examine(ch12.difference_interval, difference_interval)
    assert card.title == "episodes are drawn in place of seeds"


# ---------------------------------------------------------------------- ratings


def test_elo():
    assert expected_score(1000, 1000) == 0.5
    assert expected_score(1400, 1000) == pytest.approx(10 / 11)
    assert elo_update(1000, 1000, 1) == (1016, 984)
    assert elo_update(1000, 1000, 0.5) == (1000, 1000)  # a draw among equals says nothing
    a, b = elo_update(1200, 1000, 0)
    assert a + b == 2200
    assert a < 1184


def test_ratings_from_a_table():
    """10 to 1 is 400 points; equals are equal; the unbeaten stay finite."""
    ratings = elo_ratings([[0, 9999.5], [999.5, 0]])
    assert ratings[0] - ratings[1] == pytest.approx(400, abs=0.1)
    assert elo_ratings([[0, 5, 5], [5, 0, 5], [5, 5, 0]]) == pytest.approx([0, 0, 0])
    assert np.isfinite(elo_ratings([[0, 50], [0, 0]])).all()
    with pytest.raises(ValueError, match="K, K"):
        elo_ratings(np.zeros((2, 3)))
