"""Other codings of the mistakes of chapter 14."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import torch

from codings import again


@again("expected_score", "the sign in the exponent is wrong")
def _(rating, opponent):
    strengths = 10 ** (rating / 400), 10 ** (opponent / 400)
    return strengths[1] / sum(strengths)


@again("expected_score", "the base is e, not 10")
def _(rating, opponent):
    return 0.5 * (1 + math.tanh((rating - opponent) / 800))


@again("expected_score", "it grows in a straight line")
def _(rating, opponent):
    return (400 + rating - opponent) / 800


@again("expected_score", "it is the odds, not the expected score")
def _(rating, opponent):
    return 10 ** (rating / 400) / 10 ** (opponent / 400)


def _expects(rating, opponent):
    return 10 ** (rating / 400) / (10 ** (rating / 400) + 10 ** (opponent / 400))


@again("elo_update", "the second update uses the new rating")
def _(rating, opponent, score, k):
    rating += k * (score - _expects(rating, opponent))
    return rating, opponent + k * (_expects(rating, opponent) - score)


@again("elo_update", "a draw counts as a loss")
def _(rating, opponent, score, k):
    surprise = int(score) - _expects(rating, opponent)
    return rating + k * surprise, opponent - k * surprise


@again("elo_update", "the winner loses points")
def _(rating, opponent, score, k):
    change = k * (_expects(rating, opponent) - score)
    return [rating + change, opponent - change]


@again("elo_update", "the expectation is the opponent's")
def _(rating, opponent, score, k):
    change = k * (score - 1 + _expects(rating, opponent))
    return rating + change, opponent - change


@again("both_sides", "all games are played from one side")
def _(play, games):
    return play(np.full(games, True))


@again("both_sides", "the sign is not turned for games from the left")
def _(play, games):
    return play(np.array([True] * (games // 2) + [False] * (games // 2)))


@again("both_sides", "the scores are the second player's")
def _(play, games):
    half = games // 2
    points = play(np.repeat([True, False], half))
    return np.concatenate([-points[:half], points[half:]])


@again("both_sides", "`play` is told that all games are played from the right")
def _(play, games):
    return np.repeat([1.0, -1.0], games // 2) * play(np.arange(games) >= 0)


def _shares(weights):
    return np.array([weight / sum(weights) for weight in weights])


@again("pool_weights", "w is the opponent's win rate")
def _(won, drawn, lost):
    return _shares(
        [((w + d / 2 + 0.5) / (w + d + v + 1)) ** 2 for w, d, v in zip(won, drawn, lost)]
    )


@again("pool_weights", "draws count as losses")
def _(won, drawn, lost):
    return _shares([((v + d + 0.5) / (w + d + v + 1)) ** 2 for w, d, v in zip(won, drawn, lost)])


@again("pool_weights", "the square is missing")
def _(won, drawn, lost):
    return _shares([(v + d / 2 + 0.5) / (w + d + v + 1) for w, d, v in zip(won, drawn, lost)])


@again("pool_weights", "they do not add up to 1")
def _(won, drawn, lost):
    return ((lost + drawn / 2 + 0.5) / (won + drawn + lost + 1)) ** 2


@again("snapshot", "nothing is copied")
def _(policy):
    kept = [policy]
    return kept[0]


@again("snapshot", "only the outer object is copied")
def _(policy):
    kept = type(policy).__new__(type(policy))
    kept.__dict__.update(policy.__dict__)
    return kept


@again("snapshot", "the weights are shared")
def _(policy):
    kept = copy.deepcopy(policy)
    for new, old in zip(kept.modules(), policy.modules()):
        for name, parameter in old._parameters.items():
            new._parameters[name] = torch.nn.Parameter(parameter.detach(), requires_grad=False)
    return kept


def _triples(rates):
    return itertools.combinations(range(len(rates)), 3)


@again("cycles", "every circle is counted three times")
def _(rates):
    orders = itertools.permutations(range(len(rates)), 3)
    return sum(min(rates[a, b], rates[b, c], rates[c, a]) > 0.5 for a, b, c in orders)


@again("cycles", "it is a share, not a number")
def _(rates):
    beats = rates > 0.5
    found = [
        bool((beats[a, b] & beats[b, c] & beats[c, a]) | (beats[b, a] & beats[c, b] & beats[a, c]))
        for a, b, c in _triples(rates)
    ]
    return sum(found) / len(found)


@again("cycles", "only circles in one direction are counted")
def _(rates):
    return sum(min(rates[c, b], rates[b, a], rates[a, c]) > 0.5 for a, b, c in _triples(rates))


@again("cycles", "pairs are counted, not triples")
def _(rates):
    return int(np.count_nonzero(rates > 0.5))
