"""The part of the learning matrices that `make test` runs has all pairs, and seeds enough."""

import itertools

import test_learning
import test_learning_replay


def taken(test):
    """The combinations that are not left to `make test-full`."""
    (mark,) = [m for m in test.pytestmark if m.name == "parametrize" and "algo" in m.args[0]]
    return {one.values for one in mark.args[1] if not one.marks}


def of_each_algorithm(cells, place, other):
    """For every algorithm and value on the axis `place`: what it meets on the axis `other`."""
    met = {}
    for cell in cells:
        met.setdefault((cell[0], cell[place]), set()).add(cell[other])
    return met


def check(test, algorithms, networks, actions, sizes, seeds):
    cells = taken(test)
    assert {cell[:3] for cell in cells} == set(itertools.product(algorithms, networks, actions))
    for place in (1, 2):  # networks, kinds of action
        assert set(map(frozenset, of_each_algorithm(cells, place, 3).values())) == {
            frozenset(sizes)
        }
        assert set(map(len, of_each_algorithm(cells, place, 4).values())) == {seeds}
    return cells


def test_what_plays_on():
    here = test_learning
    cells = check(
        here.test_learns, here.ALGORITHMS, here.NETWORKS, here.ACTIONS, here.DELAY, seeds=3
    )
    assert len(cells) == 9 * len(here.ALGORITHMS)


def test_what_replays():
    here = test_learning_replay
    cells = check(
        here.test_continuous_control_learns,
        here.CONTINUOUS,
        here.NETWORKS,
        here.LEVELS,
        here.DELAY,
        seeds=4,
    )
    assert len(cells) == 12 * len(here.CONTINUOUS)


def test_controls():
    """Each algorithm with each kind of action without a memory, and with each network where one of
    two components is held."""
    here = test_learning
    without_memory = taken(here.test_fails_without_memory)
    assert {(algo, actions) for algo, _, actions, _ in without_memory} == set(
        itertools.product(here.ALGORITHMS, here.ACTIONS)
    )
    held = taken(here.test_fails_with_a_component_held_constant)
    assert {(algo, network) for algo, network, _, _ in held} == set(
        itertools.product(here.ALGORITHMS, here.NETWORKS)
    )
    for cells in (without_memory, held):
        sizes = {}
        for algo, _, _, size in cells:
            sizes.setdefault(algo, set()).add(size)
        assert set(map(frozenset, sizes.values())) == {frozenset(here.DELAY)}
