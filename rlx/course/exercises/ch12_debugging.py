"""Chapter 12: what is broken, and is it real?"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from rlx import stats
from rlx.course import faults
from rlx.course.exercise import Exercise, Wrong
from rlx.envs.probes import KINDS


def _text(text: str, size: int = 600) -> Tensor:
    """A table that is printed, as numbers."""
    return torch.tensor([*text.encode()[:size], *[0] * (size - len(text))], dtype=torch.float32)


# ---------------------------------------------------------------------- diagnose


def _diagnose(opened: dict[str, bool], signs: dict[str, Sequence[str]]) -> list[str]:
    """The faults that fit all probes opened so far, in the order of `signs`."""
    found = []
    for fault, fails in signs.items():
        if all(passed != (probe in fails) for probe, passed in opened.items()):
            found.append(fault)
    return found


def _suspected() -> Tensor:
    """What the library suspects after one probe, two, …, of an agent with each fault."""
    table = faults.signs()
    rows = []
    for fails in table.values():
        opened: dict[str, bool] = {}
        for kind in KINDS:
            opened[kind] = kind not in fails
            named = faults.suspects(opened)
            rows.append([float(fault in named) for fault in table])
    return torch.tensor(rows)


diagnose = Exercise(
    "diagnose",
    chapter="12",
    reference=_diagnose,
    target="rlx.course.faults.diagnose",
    train=_suspected,
    also="A probe that was passed rules out as much as one that failed: `passed == (probe in "
    "fails)` is the contradiction, and one contradiction is enough.",
    hints=(
        "When does a single probe contradict a fault? There are two ways.",
        "It contradicts if it was passed and the fault fails it, or if it failed and the fault "
        "passes it. A fault fits if no opened probe contradicts.",
        "`all(passed != (probe in fails) for probe, passed in opened.items())`, for each `fault, "
        "fails in signs.items()`.",
    ),
)

_SIGNS = {
    "nothing": [],
    "sign": ["action", "both"],
    "discount": ["delay", "truncation"],
    "limit": ["truncation"],
    "sight": ["both"],
}


diagnose.case(
    "the probe 'action' passed, the probe 'both' failed",
    lambda: ({"action": True, "both": False}, {k: list(v) for k, v in _SIGNS.items()}),
)
diagnose.case(
    "the probe 'truncation' failed",
    lambda: ({"truncation": False}, {k: list(v) for k, v in _SIGNS.items()}),
)
diagnose.case("no probe opened yet", lambda: ({}, {k: list(v) for k, v in _SIGNS.items()}))


def _rows(draw, shut: int = 1) -> tuple[dict[str, bool], dict[str, list[str]]]:
    """Some probes opened, of each with the chance 1 / (1 + `shut`), and up to eight faults."""
    probes = KINDS[: draw.integer(1, 6)]
    names = ["ash", "birch", "cedar", "elm", "fir", "oak", "pine", "yew"]
    order = [names.pop(draw.integer(0, len(names) - 1)) for _ in range(draw.integer(1, 8))]
    signs = {name: [probe for probe in probes if draw.flag()] for name in order}
    # Mostly what one of them would show: at random, nothing would ever fit.
    true, lie = signs[draw.one_of(*order)], draw.integer(0, 9)
    opened = {
        probe: (probe not in true) != (k == 9 - lie)
        for k, probe in enumerate(probes)
        if not draw.integer(0, shut)
    }
    return opened, signs


diagnose.inputs(_rows)


diagnose.patches(r"""
only probes that failed are looked at
    A probe that was *passed* says as much: a fault that fails it is ruled out.
    - for probe, passed in opened.items())
    + for probe, passed in opened.items() if not passed)

only probes that were passed are looked at
    A probe that *failed* rules out the faults that would pass it.
    - for probe, passed in opened.items())
    + for probe, passed in opened.items() if passed)

passed and failed are confused
    `opened[probe]` is True where the agent passed. A fault fits if it fails what failed.
    - passed != (probe in fails)
    + passed == (probe in fails)

a probe that has not been opened counts as passed
    You compare whole rows. What has not been opened says nothing: only probes in `opened`
    may rule a fault out.
    - all(passed != (probe in fails) for probe, passed in opened.items())
    + set(fails) == {probe for probe, passed in opened.items() if not passed}

one probe that agrees is enough
    A single contradiction rules a fault out: `all`, not `any`.
    - all(passed
    + any(passed

one failed probe in common is enough
    Each opened probe has to agree, whether it was passed or failed.
    - all(passed != (probe in fails) for probe, passed in opened.items())
    + any(probe in fails for probe, passed in opened.items() if not passed)

it stops at the first that fits
    Several may fit, and then another probe has to be opened. Return all of them.
    - return found
    + return found[:1]

it returns what is ruled out
    Those are asked for that are *not* ruled out.
    - if all(
    + if not all(

faults are named in the order of the alphabet
    The order of `signs` was asked for.
    - return found
    + return sorted(found)
""")


@diagnose.mistake(
    "a probe that has not been opened counts as failed",
    "What has not been opened says nothing: only probes in `opened` may rule a fault out.",
)
def _closed_failed(opened, signs):
    every = {probe for fails in signs.values() for probe in fails} | set(opened)
    return [
        fault
        for fault, fails in signs.items()
        if all(opened.get(probe, False) != (probe in fails) for probe in every)
    ]


def _next_probe(opened: dict[str, bool], signs: dict[str, Sequence[str]]) -> str | None:
    """The probe that leaves the fewest faults, come out what may; None if none tells them apart."""
    fitting = [
        fails
        for fails in signs.values()
        if all(passed != (probe in fails) for probe, passed in opened.items())
    ]
    best, fewest = None, len(fitting)
    for probe in sorted({probe for fails in fitting for probe in fails}):
        failing = sum(probe in fails for fails in fitting)
        left = max(failing, len(fitting) - failing)
        if left < fewest:
            best, fewest = probe, left
    return best


diagnose.harder(
    "next_probe",
    _next_probe,
    (
        "Open a probe, and some of those that fit would fail it, the others pass. How many are "
        "left if the worse happens?",
        "For each probe that any of the fitting faults fails: the larger of those that fail it and "
        "those that pass it. The smallest of these numbers wins, if it is less than there are now.",
        "`failing = sum(probe in fails for fails in fitting)`, and `left = max(failing, "
        "len(fitting) - failing)`; go through the probes in the order of the alphabet and keep the "
        "first with the smallest `left`.",
    ),
    r"""
    it counts faults that are ruled out already
        Only those that still fit can be told apart.
        - if all(passed != (probe in fails) for probe, passed in opened.items())
        + if True

    it takes the better case for the worse
        The probe has to be good whatever comes out: the larger of the two numbers counts.
        - left = max(
        + left = min(

    it takes the probe that most of them fail
        If all of them fail it, it tells nothing. Best is the one that halves them.
        - left = max(failing, len(fitting) - failing)
        + left = len(fitting) - failing

    of equals it takes the last
        The first in the order of the alphabet was asked for.
        - if left < fewest:
        + if left <= min(fewest, len(fitting) - 1):

    it opens a probe that tells nothing
        If all that fit would fail it, or only one fits, nothing is learned: None.
        - best, fewest = None, len(fitting)
        + best, fewest = None, len(fitting) + 1
    """,
    also="`min(probes, key=…)` returns the first of the best: in the order of the alphabet, if "
    "`probes` is sorted.",
    inputs=lambda draw: _rows(draw, shut=4),
)


# ---------------------------------------------------------------------- interquartile_mean


def _interquartile_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half of (seeds, …): a quarter of the seeds goes at either end."""
    ordered = np.sort(values, axis=0)
    cut = len(values) // 4
    return ordered[cut : len(values) - cut].mean(axis=0)


def _interval() -> Tensor:
    """The library's interval of four methods' results."""
    values = np.random.default_rng(0).normal(size=(9, 4)) * [1, 10, 1, 3]
    return torch.tensor(np.array(stats.bootstrap_interval(values)), dtype=torch.float32)


interquartile_mean = Exercise(
    "interquartile_mean",
    chapter="12",
    reference=_interquartile_mean,
    target="rlx.stats.interquartile_mean",
    adapt=lambda answer: (
        lambda values, axis=0: answer(np.moveaxis(np.asarray(values, dtype=float), axis, 0))
    ),
    train=_interval,
    also="`scipy.stats.trim_mean(values, 0.25)` is the same: its 0.25 is cut off at *each* end.",
    hints=(
        "Which seeds are the lowest quarter? And which axis are the seeds?",
        "Sort along the first axis, drop `len(values) // 4` rows at the beginning and as many at "
        "the end, and average what is left along the first axis.",
        "`ordered = np.sort(values, axis=0)`, `cut = len(values) // 4`, and "
        "`ordered[cut : len(values) - cut].mean(axis=0)`.",
    ),
)


interquartile_mean.case(
    "eight runs, of which one failed and one was lucky",
    lambda: (np.array([480.0, 150.0, 470.0, 500.0, 460.0, 476.0, 490.0, 465.0]),),
)
interquartile_mean.case(
    "five seeds of two methods",
    lambda: (np.array([[9.0, 0.0], [1.0, 5.0], [2.0, 6.0], [3.0, 100.0], [7.0, 10.0]]),),
)
interquartile_mean.case(
    "three seeds, of which a quarter is none", lambda: (np.array([3.0, 1.0, 8.0]),)
)


@interquartile_mean.inputs
def _(draw):
    shape = draw.size(1, 60), *draw.one_of((), (3,), (2, 2))
    return (draw.floats(*shape, kinds="whole tenths wide equal").double().numpy(),)


interquartile_mean.patches(r"""
a quarter is cut off in all, not at each end
    An eighth goes at either end, and three quarters are left. The middle *half* is what is
    left when a quarter goes at each end.
    - len(values) // 4
    + len(values) // 8

the values are not sorted
    The first and the last seeds are dropped, whatever they did. Sort first.
    - np.sort(values, axis=0)
    + np.asarray(values)

it sorts along the last axis
    `np.sort` does so unless it is told otherwise: methods, or updates, are put in order for
    each seed. The seeds are the first axis: `axis=0`.
    - np.sort(values, axis=0)
    + np.sort(values)

it averages over all that there is
    Each column is a method, or an update, of its own: sort and average along the first axis
    only.
    - ordered = np.sort(values, axis=0)
    + ordered = np.sort(values, axis=None).reshape(values.shape)
    - .mean(axis=0)
    + .mean()

it is the median
    Robust, too, and more noisy: of ten seeds it listens to two. The middle half has six.
    - ordered[cut : len(values) - cut].mean(axis=0)
    + np.median(ordered, axis=0)

it is the mean of all seeds
    Nothing has been cut off: a quarter of the seeds goes at each end.
    - cut = len(values) // 4
    + cut = 0

only the lowest are cut off
    That flatters: what is best by luck stays in. Cut at both ends.
    - cut : len(values) - cut
    + cut :

only the highest are cut off
    That is unfair: what failed by bad luck stays in. Cut at both ends.
    - cut : len(values) - cut
    + : len(values) - cut

the quarter is rounded up
    Of five seeds a quarter is one, of three none: `len(values) // 4`.
    - len(values) // 4
    + min(-(-len(values) // 4), (len(values) - 1) // 2)

nothing is left of fewer than four seeds
    Where `cut` is 0, `[cut:-cut]` is empty. Count from the front: `[cut : len(values) - cut]`.
    - cut : len(values) - cut
    + cut:-cut

the outer quarters are moved to the border, not left out
    That is a winsorised mean: the border counts once for each value that lay beyond it.
    - ordered[cut : len(values) - cut].mean(axis=0)
    + ordered.clip(ordered[cut], ordered[-cut - 1]).mean(axis=0)

it takes the best seed
    The maximum grows with the number of seeds, and nobody trains ten times to use one.
    - ordered[cut : len(values) - cut].mean(axis=0)
    + ordered[-1]

it sums where it should average
    Divide by the number of seeds that are left.
    - .mean(axis=0)
    + .sum(axis=0)
""")


@interquartile_mean.mistake(
    "it keeps what lies between the two quartiles",
    "`np.percentile` computes quartiles between the values: more or fewer than half of the seeds "
    "may lie inside, and equal ones stay or go together. Count seeds: `len(values) // 4` at each "
    "end.",
)
def _by_value(values):
    low, high = np.percentile(values, [25, 75], axis=0)
    inside = (values >= low) & (values <= high)
    return np.where(inside, values, 0).sum(axis=0) / inside.sum(axis=0)


# ---------------------------------------------------------------------- wilson


def _wilson(successes: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a probability, from `successes` in n trials."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def _solved() -> Tensor:
    """What the library prints of two methods with a goal."""
    methods = {"one": [1.0, 5.0, 6.0, 7.0, 8.0], "other": [1.0, 2.0, 3.0, 6.0, 6.0]}
    return _text(stats.compare(methods, goal=5))


wilson = Exercise(
    "wilson",
    chapter="12",
    reference=_wilson,
    target="rlx.stats.wilson",
    adapt=lambda answer: (
        lambda successes, n, level=0.95: answer(successes, n, NormalDist().inv_cdf((1 + level) / 2))
    ),
    train=_solved,
    results=("low", "high"),
    also="It is the set of all probabilities q that the data do not reject: those with |p - q| ≤ z "
    "√(q (1 - q) / n), in which q, not the estimate p, says how much is chance.",
    hints=(
        "Equation (2) has a middle and a half width. What is p, and what do you return without "
        "any trial?",
        "`p = successes / n`. The middle is `(p + z**2 / (2 * n)) / (1 + z**2 / n)`: it is drawn "
        "towards one half. Without trials: 0 and 1.",
        "The half width is `z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))`; "
        "return middle minus half, and middle plus half.",
    ),
)


wilson.case("9 of 10", lambda: (9, 10, 1.96))
wilson.case("3 of 3", lambda: (3, 3, 1.96))
wilson.case("no trial at all", lambda: (0, 0, 1.96))


@wilson.inputs
def _(draw):
    n = draw.integer(0, 30) * draw.one_of(1, 1, 10)
    return draw.integer(0, 2 * n) / 2, n, draw.one_of(1.96, 1.0, 2.576)


wilson.patches(r"""
it is the interval of every textbook's first page
    p ± z √(p(1-p)/n) is a single point for 3 of 3, and leaves [0, 1] for 9 of 10. It asks
    how much an *estimate* scatters, with the estimate in place of the truth.
    - (p + z**2 / (2 * n)) / (1 + z**2 / n)
    + p
    - z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    + z * math.sqrt(p * (1 - p) / n)

the middle is the share itself
    Wilson's interval is not symmetric about p: its middle is drawn towards one half, the
    more so the fewer trials there are.
    - (p + z**2 / (2 * n)) / (1 + z**2 / n)
    + p

it is the deviation of one trial
    √(p(1-p)) is how much a single run scatters. A share of n runs scatters √n times less:
    divide by n under the root.
    - p * (1 - p) / n
    + p * (1 - p)

the middle is not divided by 1 + z²/n
    For n of n it is above 1.
    - (p + z**2 / (2 * n)) / (1 + z**2 / n)
    + (p + z**2 / (2 * n))

the half width is not divided by 1 + z²/n
    Both parts of the interval have that divisor.
    - z / (1 + z**2 / n) *
    + z *

the last term under the root is missing
    For 3 of 3 the root is 0 then, and the interval a point: three runs prove nothing yet.
    -  + z**2 / (4 * n**2)
    +

z is missing in front of the root
    Without it the interval holds the truth in two of three cases, not in 19 of 20.
    - half = z /
    + half = 1 /

it is half as wide
    `half` goes to either side.
    - middle - half, middle + half
    + middle - half / 2, middle + half / 2

two trials and two successes are added first
    That is Agresti and Coull's interval, which is near this one, a little wider, and leaves
    [0, 1].
    - p = successes / n
    + p, n = (successes + z**2 / 2) / (n + z**2), n + z**2
    - (p + z**2 / (2 * n)) / (1 + z**2 / n)
    + p
    - z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    + z * math.sqrt(p * (1 - p) / n)

without any trial it is sure of a failure
    Nothing is known then: 0 to 1.
    - 0.0, 1.0
    + 0.0, 0.0

the middle and the half width are returned
    The two ends were asked for.
    - middle - half, middle + half
    + middle, half
""")


# ---------------------------------------------------------------------- difference_interval

RESAMPLES = 5000


def _difference_interval(
    a: np.ndarray,
    b: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    level: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """The bootstrap interval of `statistic` of a less that of b, two tables (seeds, episodes)."""
    a, b = a.mean(axis=1), b.mean(axis=1)
    from_a = a[rng.integers(len(a), size=(len(a), 5000))]
    from_b = b[rng.integers(len(b), size=(len(b), 5000))]
    differences = statistic(from_a) - statistic(from_b)
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return low, high


def _library_interval(answer: Callable) -> Callable:
    """As `rlx.stats` asks for it: of columns (seeds, …), one value a seed."""

    def interval(a, b, level=0.95, statistic=None):
        a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
        statistic, rng = statistic or stats.interquartile_mean, np.random.default_rng(0)
        columns = zip(a.reshape(len(a), -1).T, b.reshape(len(b), -1).T)
        found = [answer(x[:, None], y[:, None], statistic, level, rng) for x, y in columns]
        low, high = (np.reshape(ends, a.shape[1:]) for ends in zip(*found))
        return low[()], high[()]

    return interval


def _differences() -> Tensor:
    """What the library says of three methods; by so few values that no draw of seeds matters."""
    methods = {"first": [0.0, 0.0, 4.0, 9.0], "equal": [5.0] * 3, "more": [7.0, 7.0, 9.0, 20.0]}
    ends = [
        stats.difference_interval(methods[name], methods["first"], level)
        for name in ("equal", "more")
        for level in (0.95, 0.4)
    ]
    return torch.tensor(np.array(ends), dtype=torch.float32)


def _drawn_with_rng(answer, a, b, statistic, level, rng):
    before = rng.bit_generator.state
    found = answer(a, b, statistic, level, rng)
    drawn = rng.bit_generator.state != before
    # Numbers that are wrong say more.
    if not drawn and found == _difference_interval(a, b, statistic, level, rng):
        raise Wrong(
            "nothing is drawn with `rng`",
            "Whoever calls decides by it whether the same seeds are drawn again: "
            "`rng.integers(…)` or `rng.choice(…)`, and no generator of your own.",
        )
    return found


difference_interval = Exercise(
    "difference_interval",
    chapter="12",
    reference=_difference_interval,
    target="rlx.stats.difference_interval",
    adapt=_library_interval,
    train=_differences,
    call=_drawn_with_rng,
    results=("low", "high"),
    count=16,
    time_limit=30.0,  # for a loop of 5,000 rounds
    also="`scipy.stats.bootstrap` draws in the same way, and has better intervals than these "
    'percentiles for few values (`method="BCa"`).',
    hints=(
        "What is drawn again, and of which size is each draw? What belongs to one training is not "
        "independent.",
        "One number a seed first, then 5,000 draws of as many seeds as there are, with "
        "replacement, for each method by itself. The statistic of one less that of the other, "
        "5,000 times. The interval lies between two of its quantiles.",
        "`a = a.mean(axis=1)`, `a[rng.integers(len(a), size=(len(a), 5000))]`, the same for b, and "
        "`np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])`.",
    ),
)


def mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=0)


def library_middle(values: np.ndarray) -> np.ndarray:
    """The interquartile mean of (seeds, …), ten times as fast as the library's for one column."""
    cut = len(values) // 4
    return np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)


# Tables whose interval is the same for everybody, whatever seeds are drawn, and so are those of the
# mistakes that draw: both quantiles lie deep inside one of the few values that a resample can have.
# By five standard errors at least; tests/test_stats.py says so.
DESIGNS = [
    ([[6], [2]], [[5], [1], [5], [5]], library_middle, 0.7),
    ([[0], [5], [5], [5]], [[2], [7]], mean, 0.7),
    ([[6, 6], [8, 8], [6, 6], [8, 8]], [[7, 7], [8, 8]], mean, 0.7),
    ([[7, 7], [4, 4]], [[0, 0], [7, 7]], library_middle, 0.7),
    (
        [[7, 7, 7], [7, 7, 7], [1, 1, 1], [1, 1, 1]],
        [[1, 1, 1], [7, 7, 7], [1, 1, 1], [7, 7, 7]],
        library_middle,
        0.6,
    ),
    ([[6], [6]], [[8, 8], [8, 8], [9, 9], [8, 8], [8, 8]], library_middle, 0.6),
    ([[-4, 0, 4], [0, 0, 0]], [[4], [4], [2], [2]], library_middle, 0.5),
    ([[5, 5], [5, 5]], [[5, 5], [5, 5], [-5, 11]], library_middle, 0.8),
    (
        [[3, 3, 3], [6, 6, 6], [0, 6, 12], [3, 3, 3], [3, 3, 3]],
        [[6], [6], [6]],
        library_middle,
        0.5,
    ),
    ([[6], [3], [3], [6]], [[3, 3, 3], [3, 3, 3]], library_middle, 0.8),
    ([[8], [8]], [[6, 6], [7, 7], [7, 7], [6, 6]], library_middle, 0.8),
    ([[5, 13], [9, 9]], [[2, 2], [4, 4], [4, 4], [4, 4]], library_middle, 0.7),
    ([[8, 8, 8], [8, 8, 8]], [[-3, 3, 9], [3, 3, 3]], mean, 0.8),
    ([[8], [8], [8], [8]], [[8, 8, 8], [9, 9, 9], [9, 9, 9]], library_middle, 0.6),
    ([[5]] * 12, [[5, 5]] * 8, library_middle, 0.95),
    ([[0, 0, 0]] * 6, [[0]] * 15, mean, 0.9),
]


def _tables(a: list, b: list, statistic: Callable, level: float, scale=1.0, shift=0.0) -> tuple:
    a, b = (scale * np.array(table, dtype=float) + shift for table in (a, b))
    return a, b, statistic, level, np.random.default_rng(1)


HAND = {
    "two seeds each, of two episodes, by means": ([[10, 12], [12, 14]], [[4, 4]] * 2, mean, 0.8),
    "three seeds with one result, two with another": ([[7]] * 3, [[3]] * 2, library_middle, 0.9),
    "two seeds, and four of which one failed, by the middle half": DESIGNS[0],
    "four seeds, of which one failed, and two, by their means": DESIGNS[1],
    "four seeds each, of three equal episodes, by the middle half": DESIGNS[4],
}  # fmt: skip
for words, design in HAND.items():
    difference_interval.case(words, functools.partial(_tables, *design))


@difference_interval.inputs
def _(draw):
    design, scale = draw.one_of(*DESIGNS), draw.one_of(1.0, 2.0, 10.0, 0.5)
    return _tables(*design, scale, float(draw.integer(0, 9)))


difference_interval.patches(r"""
episodes are drawn in place of seeds
    Episodes of one training share its network: twenty of them are no twenty trainings. The
    interval becomes narrow, and finds differences between a method and itself. Average each
    seed's episodes first: one number a seed.
    - a, b = a.mean(axis=1), b.mean(axis=1)
    + a, b = a.ravel(), b.ravel()

the average is taken over the seeds
    The rows are seeds: average along each row, `mean(axis=1)`.
    - a.mean(axis=1), b.mean(axis=1)
    + a.mean(axis=0), b.mean(axis=0)

it is the difference the other way round
    That of `a` less that of `b` was asked for.
    - statistic(from_a) - statistic(from_b)
    + statistic(from_b) - statistic(from_a)

each tail has the whole of 1 - level
    What lies outside is shared by both ends: half of it below, half above. Yours is too
    narrow.
    - (1 - level) / 2, (1 + level) / 2
    + 1 - level, level

it compares the best seeds
    The best of many is better than the best of few, for the same method. Compare by
    `statistic`.
    - statistic(from_a) - statistic(from_b)
    + from_a.max(axis=0) - from_b.max(axis=0)

it compares the means, whatever the statistic
    `statistic(values)` reduces the first axis, the seeds.
    - statistic(from_a) - statistic(from_b)
    + from_a.mean(axis=0) - from_b.mean(axis=0)
""")


@difference_interval.mistake(
    "the same seeds are drawn for both",
    "Seed 3 of one method has nothing to do with seed 3 of the other. Draw for each by itself, or "
    "chance seems to cancel.",
)
def _same_draw(a, b, statistic, level, rng):
    a, b = a.mean(axis=1), b.mean(axis=1)
    drawn = rng.integers(len(a), size=(len(a), RESAMPLES))
    differences = statistic(a[drawn]) - statistic(b[drawn % len(b)])
    return tuple(np.quantile(differences, [(1 - level) / 2, (1 + level) / 2]))


@difference_interval.mistake(
    "seeds are drawn without replacement",
    "As many as there are, each once: that is the same set every time, and an interval of width 0. "
    "`rng.integers` may draw a seed twice, and another not at all.",
)
def _without_replacement(a, b, statistic, level, rng):
    difference = statistic(a.mean(axis=1)) - statistic(b.mean(axis=1))
    return difference, difference


@difference_interval.mistake(
    "the ends of two intervals are compared",
    "Whether two intervals overlap is another question: they may, although the methods differ. "
    "Take the difference in each resample, and quantiles of that.",
)
def _by_eye(a, b, statistic, level, rng):
    ends = []
    for values in (a.mean(axis=1), b.mean(axis=1)):
        drawn = statistic(values[rng.integers(len(values), size=(len(values), RESAMPLES))])
        ends.append(np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    return ends[0][0] - ends[1][1], ends[0][1] - ends[1][0]


def _bell(a, b, statistic, level, divisors):
    """As if the difference had a bell curve."""
    a, b = a.mean(axis=1), b.mean(axis=1)
    difference, (n, m) = statistic(a) - statistic(b), divisors(len(a), len(b))
    width = NormalDist().inv_cdf((1 + level) / 2)
    width *= math.sqrt(a.var(ddof=1) / n + b.var(ddof=1) / m)
    return difference - width, difference + width


@difference_interval.mistake(
    "it is the deviation, not the standard error",
    "The deviation says how far *single runs* scatter, and a hundred seeds do not make it smaller. "
    "How sure the difference is, is the question: resample.",
)
def _deviation(a, b, statistic, level, rng):
    return _bell(a, b, statistic, level, lambda n, m: (1, 1))


@difference_interval.mistake(
    "it is the interval of a normal distribution",
    "Results of trainings are seldom normal: some fail, many end at the maximum. Nor is this "
    "the standard error of every `statistic`. Resample.",
)
def _standard_errors(a, b, statistic, level, rng):
    return _bell(a, b, statistic, level, lambda n, m: (n, m))


# ---------------------------------------------------------------------- first_alarm


def _first_alarm(
    a: np.ndarray, b: np.ndarray, interval: Callable, looks: Sequence[int]
) -> np.ndarray:
    """With how many seeds each experiment would have stopped: (experiments,), 0 for never."""
    first = np.zeros(a.shape[1], dtype=int)
    for k in looks:
        low, high = interval(a[:k], b[:k])
        alarm = (low > 0) | (high < 0)
        first[alarm & (first == 0)] = k
    return first


first_alarm = Exercise(
    "first_alarm",
    chapter="12",
    reference=_first_alarm,
    also="Who wants to look early has to pay for it with wider intervals: sequential tests do so "
    "(Wald, 1945), and their bounds are fixed before the first run.",
    hints=(
        "What is known at the look with k seeds? And what if an earlier look has found something?",
        "At each look take the first k seeds of both. 0 lies outside if the lower end is above it, "
        "or the upper end below. Write k down only where nothing is written yet.",
        "`low, high = interval(a[:k], b[:k])`, `alarm = (low > 0) | (high < 0)`, and "
        "`first[alarm & (first == 0)] = k`.",
    ),
)


def band(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One standard error of the difference to either side: for looks that find something."""
    middle = a.mean(axis=0) - b.mean(axis=0)
    width = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a))
    return middle - width, middle + width


@first_alarm.case("three experiments: found at once, found late, never found")
def _():
    a = np.array([[9.0, 1.0, 3.0], [8.0, 4.0, 1.0], [9.0, 6.0, 2.0], [8.0, 6.0, 3.0]])
    b = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 1.0], [1.0, 2.0, 2.0], [2.0, 2.0, 3.0]])
    return a, b, band, [2, 3, 4]


@first_alarm.case("three experiments, and in the first the second method is better")
def _():
    a = np.array([[1.0, 5.0, 0.0], [2.0, 5.0, 2.0], [1.0, 4.0, 4.0]])
    b = np.array([[3.0, 1.0, 1.0], [5.0, 9.0, 3.0], [4.0, 5.0, 2.0]])  # the last: just to 0
    return a, b, band, [2, 3]


@first_alarm.case("three experiments: nothing at first, later in the first and the second")
def _():
    a = np.array([[3.0, 1.0, 6.0, 6.0], [3.0, 1.0, 2.0, 7.0], [3.0, 1.0, 2.0, 2.0]]).T.copy()
    b = np.array([[1.0, 2.0, 1.0, 1.0], [1.0, 2.0, 2.0, 1.0], [1.0, 2.0, 2.0, 2.0]]).T.copy()
    return a, b, band, [2, 3, 4]


@first_alarm.inputs
def _(draw):
    most, experiments = draw.integer(2, 9), draw.size(1, 40)
    a, b = (draw.floats(experiments, most).double().numpy().T.copy() for _ in range(2))
    looks = [k for k in range(2, most) if draw.flag()] + [most]
    return a, b, band, looks


first_alarm.patches(r"""
the last alarm is kept
    Who stops at the first does not see the others: write a number down only where none is
    yet.
    - alarm & (first == 0)
    + alarm

it looks only once, at the end
    That is the honest way, and not what is asked here: try every look, in order.
    - for k in looks:
    + for k in looks[-1:]:

it looks only once, at the beginning
    Try every look, in order.
    - for k in looks:
    + for k in looks[:1]:

only the first method may win
    A "difference" is found in either direction: also where the upper end is below 0.
    - (low > 0) | (high < 0)
    + (low > 0)

only the second method may win
    A "difference" is found in either direction: also where the lower end is above 0.
    - (low > 0) | (high < 0)
    + (high < 0)

an alarm is raised where 0 lies inside
    It is raised where 0 lies *outside*: above the upper end or below the lower one.
    - (low > 0) | (high < 0)
    + (low <= 0) & (high >= 0)

an interval that touches 0 raises an alarm
    An end that is 0 still holds 0.
    - (low > 0) | (high < 0)
    + (low >= 0) | (high <= 0)

the looks are counted, not the seeds
    The number of seeds was asked for, `k`, not which look it was.
    - for k in looks:
    + for look, k in enumerate(looks, 1):
    - = k
    + = look

it tells whether, not when
    The number of seeds was asked for.
    - = k
    + = 1

each look forgets the seeds before it
    With each look seeds are *added*: the first k of them, `a[:k]`.
    - for k in looks:
    + for j, k in zip([0, *looks], looks):
    - interval(a[:k], b[:k])
    + interval(a[j:k], b[j:k])

the first alarm stops all experiments
    Each experiment goes on by itself: those without an alarm are looked at again.
    - return first
    +     if alarm.any(): break
    +     return first
""")
