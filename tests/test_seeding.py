"""The global random numbers, kept and put back."""

import random

import numpy as np
import pytest
import torch

from rlx.seeding import random_states, seed_all, set_random_states, undisturbed


def draw():
    """From every global generator; normal numbers, because numpy and Python keep every second."""
    numbers = np.random.normal(), np.random.rand()  # noqa: NPY002
    return torch.randn(2).tolist(), numbers, random.gauss(0, 1), random.random()


def test_what_is_drawn_within_changes_nothing_after():
    seed_all(1)
    draw()  # in the middle: half a pair of normal numbers is kept
    states = random_states()
    expected = [draw(), draw()]
    for seed in (None, 5):
        set_random_states(states)
        with undisturbed(seed):
            draw()
        assert [draw(), draw()] == expected
        set_random_states(states)
        with pytest.raises(KeyError), undisturbed(seed):
            raise KeyError(draw())
        assert [draw(), draw()] == expected


def test_without_a_seed_the_numbers_go_on_and_with_one_they_are_its():
    seed_all(1)
    expected = draw()
    seed_all(1)
    with undisturbed():
        assert draw() == expected
    with undisturbed(1):
        assert draw() == expected
    with undisturbed(2):
        assert draw() != expected


def test_seeds_of_any_size():
    seed_all(2**63 - 1)
    first = draw()
    seed_all(2**63 - 1)
    assert draw() == first
