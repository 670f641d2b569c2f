"""Other codings of the mistakes of chapter 12."""

from __future__ import annotations

import math
import statistics

import numpy as np

from codings import again


def _agrees(opened, fails):
    """Of each opened probe, whether it fits the fault."""
    failed = set(fails)
    return [opened[probe] is not (probe in failed) for probe in opened]


@again("diagnose", "only probes that failed are looked at")
def _(opened, signs):
    failed = {probe for probe in opened if not opened[probe]}
    return [fault for fault in signs if failed <= set(signs[fault])]


@again("diagnose", "only probes that were passed are looked at")
def _(opened, signs):
    passed = {probe for probe in opened if opened[probe]}
    return [fault for fault in signs if not passed & set(signs[fault])]


@again("diagnose", "passed and failed are confused")
def _(opened, signs):
    return [fault for fault in signs if not any(_agrees(opened, signs[fault]))]


@again("diagnose", "a probe that has not been opened counts as passed")
def _(opened, signs):
    found = []
    for fault in signs:
        every = {*opened, *signs[fault]}
        if all(opened.get(probe, True) == (probe not in signs[fault]) for probe in every):
            found.append(fault)
    return found


@again("diagnose", "one probe that agrees is enough")
def _(opened, signs):
    return [fault for fault in signs if sum(_agrees(opened, signs[fault])) > 0]


def _trimmed(column, low, high):
    ordered = sorted(column)
    kept = ordered[low : len(ordered) - high]
    return sum(kept) / len(kept)


def _columns(values, of):
    flat = values.reshape(len(values), -1)
    found = np.array([of(column.tolist()) for column in flat.T])
    return found.reshape(values.shape[1:])[()]


@again("interquartile_mean", "a quarter is cut off in all, not at each end")
def _(values):
    cut = int(len(values) * 0.125)
    return _columns(values, lambda column: _trimmed(column, cut, cut))


@again("interquartile_mean", "only the lowest are cut off")
def _(values):
    return _columns(values, lambda column: _trimmed(column, len(values) // 4, 0))


@again("interquartile_mean", "it is the median")
def _(values):
    return _columns(values, statistics.median)


@again("interquartile_mean", "it takes the best seed")
def _(values):
    return values.max(axis=0)


@again("interquartile_mean", "it keeps what lies between the two quartiles")
def _(values):
    def middle(column):
        first, third = np.quantile(column, 0.25), np.quantile(column, 0.75)
        return statistics.fmean(x for x in column if first <= x <= third)

    return _columns(values, middle)


@again("wilson", "it is the interval of every textbook's first page")
def _(successes, n, z):
    if not n:
        return 0.0, 1.0
    share = successes / n
    error = math.sqrt(share * (1 - share)) / math.sqrt(n)
    return share - z * error, share + z * error


def _roots(successes, n, z, middle=None, root=None):
    """Wilson's ends, as fractions with the common denominator n + z²."""
    if not n:
        return 0.0, 1.0
    root = successes * (n - successes) / n + z * z / 4 if root is None else root
    middle = (successes + z * z / 2) / (n + z * z) if middle is None else middle
    half = z * math.sqrt(root) / (n + z * z)
    return middle - half, middle + half


@again("wilson", "the middle is the share itself")
def _(successes, n, z):
    return _roots(successes, n, z, middle=successes / max(n, 1))


@again("wilson", "the last term under the root is missing")
def _(successes, n, z):
    return _roots(successes, n, z, root=successes * (n - successes) / max(n, 1))


@again("wilson", "it is the deviation of one trial")
def _(successes, n, z):
    return _roots(successes, n, z, root=successes * (n - successes) + z * z / 4)


def _drawn(values, rng, resamples=5000):
    """Resamples, one a row, and turned round for `statistic`."""
    return rng.choice(values, (resamples, len(values))).T


def _ends(differences, level):
    ordered = np.sort(differences)
    outside = (1 - level) / 2 * (len(ordered) - 1)
    return ordered[round(outside)], ordered[len(ordered) - 1 - round(outside)]


@again("difference_interval", "it compares the best seeds")
def _(a, b, statistic, level, rng):
    a, b = (table.sum(1) / table.shape[1] for table in (a, b))
    return _ends(_drawn(a, rng).max(0) - _drawn(b, rng).max(0), level)


@again("difference_interval", "it is the difference the other way round")
def _(a, b, statistic, level, rng):
    a, b = a.mean(1), b.mean(1)
    return _ends(statistic(_drawn(b, rng)) - statistic(_drawn(a, rng)), level)


@again("difference_interval", "the ends of two intervals are compared")
def _(a, b, statistic, level, rng):
    low_a, high_a = _ends(statistic(_drawn(a.mean(1), rng)), level)
    low_b, high_b = _ends(statistic(_drawn(b.mean(1), rng)), level)
    return low_a - high_b, high_a - low_b


@again("difference_interval", "it is the deviation, not the standard error")
def _(a, b, statistic, level, rng):
    a, b = a.mean(1), b.mean(1)
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    width = z * math.hypot(a.std(ddof=1), b.std(ddof=1))
    return statistic(a) - statistic(b) - width, statistic(a) - statistic(b) + width


def _each(a, b, interval, looks):
    """Of each experiment, the looks that found something."""
    for column in range(a.shape[1]):
        one, other = a[:, [column]], b[:, [column]]
        yield [
            k for k in looks for low, high in [interval(one[:k], other[:k])] if not low <= 0 <= high
        ]


@again("first_alarm", "the last alarm is kept")
def _(a, b, interval, looks):
    return np.array([max(found, default=0) for found in _each(a, b, interval, looks)])


@again("first_alarm", "it looks only once, at the end")
def _(a, b, interval, looks):
    return np.array([sum(found) for found in _each(a, b, interval, [looks[-1]])])


@again("first_alarm", "the looks are counted, not the seeds")
def _(a, b, interval, looks):
    places = [[looks.index(k) + 1 for k in found] for found in _each(a, b, interval, looks)]
    return np.array([min(found, default=0) for found in places])


@again("first_alarm", "it tells whether, not when")
def _(a, b, interval, looks):
    return np.array([int(bool(found)) for found in _each(a, b, interval, looks)])


@again("first_alarm", "the first alarm stops all experiments")
def _(a, b, interval, looks):
    for k in looks:
        low, high = interval(a[:k], b[:k])
        if (alarm := (low > 0) | (high < 0)).any():
            return np.where(alarm, k, 0)
    return np.zeros(a.shape[1], dtype=int)
