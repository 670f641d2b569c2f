"""Replay against a plain list of rows; and a window is what was played, no more."""

from collections import Counter, deque

import numpy as np
import pytest
import torch

import rlx
from rlx import Rollout
from rlx.replay import Replay


def numbered(lengths, first=0, terminated=False):
    """A rollout whose states count rows from `first`, with end rows where the lengths say."""
    n = sum(lengths)
    end = torch.zeros(n, dtype=torch.bool)
    end[torch.tensor(lengths).cumsum(0) - 1] = True
    start = torch.zeros(n, dtype=torch.bool)
    start[torch.tensor([0, *lengths[:-1]]).cumsum(0)] = True
    ids = torch.arange(first, first + n)
    return Rollout(
        lengths,
        states=ids[:, None].float(),
        actions=(ids % 5,),
        rewards=torch.where(end, 0.0, ids.float()),
        end=end,
        terminated=end & terminated,
        start=start,
        recur_states=(10.0 * ids[:, None], 20.0 * ids[:, None].float()),
    )


def windows(sampled):
    return [[int(i) for i in w.states[:, 0]] for w in sampled.episodes]


@pytest.mark.parametrize("capacity", [7, 10, 23, 1000])
@pytest.mark.parametrize("length", [2, 3, 6])
def test_windows_are_rows_that_lie_together(capacity, length):
    rng, replay = np.random.default_rng(0), Replay(capacity)
    model, added, ends = deque(maxlen=capacity), 0, set()
    for _ in range(30):
        rollout = numbered(rng.integers(2, 6, rng.integers(1, 4)).tolist(), added)
        replay.add(rollout)
        ids = [int(i) for i in rollout.states[:, 0]]
        model.extend(ids)
        ends |= {i for i, end in zip(ids, rollout.end) if end}
        added += len(ids)
        assert len(replay) == len(model)
        sampled = replay.sample(64, length)
        assert len(sampled.lengths) == 64
        for window in windows(sampled):
            assert set(window) <= set(model)
            assert window == list(range(window[0], window[0] + len(window)))
            assert window[0] not in ends
            assert not ends & set(window[:-1]), "reaches across an episode's end"
            assert len(window) == length or window[-1] in ends


def test_every_step_is_as_likely_as_any_other():
    replay = Replay(12, torch.Generator().manual_seed(0))
    replay.add(numbered([5, 2, 3, 5]))  # the first three rows are overwritten
    drawn = Counter(window[0] for window in windows(replay.sample(9000, 3)))
    assert sorted(drawn) == [3, 5, 7, 8, 10, 11, 12, 13]
    # 1125 each, with a standard deviation of 31
    assert all(1000 < n < 1250 for n in drawn.values())


def fragments(lengths, first=0):
    """Numbered fragments, none of which begins at a reset."""
    rollout = numbered(lengths, first)
    return rollout.replace(start=torch.zeros_like(rollout.start))


def test_no_window_is_all_burn_in():
    replay = Replay(20, torch.Generator().manual_seed(0))
    replay.add(fragments([6, 3, 2]))  # rows 0 to 5, 6 to 8, 9 and 10
    replay.add(numbered([3], 11))  # begins at a reset
    for burn_in, expected in [
        (0, [*range(5), 6, 7, 9, 11, 12]),
        (2, [0, 1, 2, 11]),
        (3, [0, 1, 11]),
    ]:
        drawn = Counter(window[0] for window in windows(replay.sample(4000, 6, burn_in)))
        assert sorted(drawn) == expected
        mean = 4000 / len(expected)
        assert all(abs(n - mean) < 5 * mean**0.5 for n in drawn.values())
    assert {window[0] for window in windows(replay.sample(9, 20, 9))} == {11}


@pytest.mark.timeout(20)
def test_where_no_window_can_serve_it_is_said():
    replay = Replay(10_000, torch.Generator().manual_seed(0))
    replay.add(fragments([4] * 2000))
    assert len(replay.sample(5, 6, 2).lengths) == 5
    with pytest.raises(ValueError, match=r"burn_in=3 rows.*smaller burn_in"):
        replay.sample(5, 6, 3)
    replay.add(fragments([5]))  # now there is one, among eight thousand rows
    assert {tuple(window) for window in windows(replay.sample(5, 6, 3))} == {tuple(range(5))}


@pytest.mark.parametrize("length", [2, 4])
def test_the_last_row_of_a_window_is_an_end_row(length):
    replay = Replay(100)
    replay.add(numbered([9], terminated=True))
    sampled = replay.sample(200, length)
    for window in sampled.episodes:
        ids = [int(i) for i in window.states[:, 0]]
        assert window.end.tolist() == [False] * (len(window) - 1) + [True]
        assert window.rewards.tolist() == [*map(float, ids[:-1]), 0.0]
        assert window.terminated.tolist() == [i == 8 for i in ids]
        assert window.start.tolist() == [i == 0 for i in ids]
        assert window.actions[0].tolist() == [i % 5 for i in ids]
        assert window.recur_states[1][:, 0].tolist() == [20.0 * i for i in ids]
    assert replay.columns["end"].sum() == 1, "the store itself stays as it is"
    assert replay.columns["rewards"][3] == 3.0


def test_a_transition_bootstraps_from_where_it_led():
    replay = Replay(100)
    replay.add(numbered([3], terminated=True))
    sampled = replay.sample(50)
    values = 100 + sampled.states[:, 0]
    targets = sampled.n_step_returns(values, gamma=0.5)
    expected = {0: 0 + 0.5 * 101, 1: 1 + 0.5 * 0}  # the second one leads to a terminal state
    for window, target in zip(windows(sampled), targets[::2]):
        assert target == expected[window[0]]


def test_a_rollout_larger_than_the_store():
    replay = Replay(4)
    replay.add(numbered([3, 7]))
    assert {i for w in windows(replay.sample(100)) for i in w} == {6, 7, 8, 9}


@pytest.mark.parametrize("policy", ["MLPPolicy", "GRUPolicy", "LSTMPolicy"])
def test_what_was_played_is_evaluated_as_it_was(policy):
    """The invariant: log-probabilities of the steps of a window are those of sampling."""
    torch.manual_seed(0)
    agent = rlx.Agent(rlx.envs.make_vec("rlx/RecallBoth-v0", 3), seed=0)
    policy = getattr(rlx.networks, policy)(agent)
    replay = Replay(60)
    for _ in range(4):
        with torch.no_grad():
            replay.add(agent(policy).segment(7))
    for length in (2, 5):
        sampled = replay.sample(64, length)
        again = agent(policy).evaluate(sampled)
        torch.testing.assert_close(again.logprobs, sampled.logprobs, rtol=0, atol=1e-5)


def test_it_goes_into_a_checkpoint_and_comes_back():
    replay = Replay(10, torch.Generator().manual_seed(1))
    replay.add(numbered([4, 4, 5]))
    other = Replay(10, torch.Generator().manual_seed(1))
    other.load_state_dict(replay.state_dict())
    assert len(other) == 10
    assert windows(other.sample(20, 3)) == windows(replay.sample(20, 3))
    replay.add(numbered([3], 50))
    other.add(numbered([3], 50))
    assert windows(other.sample(20, 3)) == windows(replay.sample(20, 3))
    half = Replay(10)
    half.add(numbered([4]))
    assert len(half.state_dict()["columns"]["states"]) == 4, "only what is in store is saved"
    with pytest.raises(ValueError, match="with the same capacity"):
        Replay(11).load_state_dict(replay.state_dict())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="takes two"):
        Replay(1)
    replay = Replay(10)
    with pytest.raises(ValueError, match="empty"):
        replay.sample(3)
    with pytest.raises(RuntimeError, match="end row was cut"):
        replay.add(numbered([4])[:-1])
    replay.add(numbered([4]))
    with pytest.raises(ValueError, match="are two"):
        replay.sample(3, length=1)
    other = numbered([4])
    other.columns["states"] = torch.zeros(4, 3)
    with pytest.raises(ValueError, match="one Replay for each kind"):
        replay.add(other)
    assert len(replay) == 4


def test_a_column_of_yours_is_kept_too():
    replay = Replay(50)
    for first in (0, 9):
        rollout = numbered([4, 5], first)
        rollout.bonus = rollout.states[:, 0] * 7
        replay.add(rollout)
    again = Replay(50)
    again.load_state_dict(replay.state_dict())
    for sampled in (replay.sample(64, 3), again.sample(8)):
        assert torch.equal(sampled.bonus, sampled.states[:, 0] * 7)
    with pytest.raises(ValueError, match="bonus"):
        replay.add(numbered([4]))
    other = numbered([4]).replace(bonus=torch.zeros(4), novelty=torch.zeros(4))
    with pytest.raises(ValueError, match="novelty"):
        replay.add(other)
    assert replay.rows_added == 18


def test_what_a_replay_does_not_keep_says_so():
    replay, logprobs = Replay(50), torch.zeros(4)
    replay.add(numbered([4]).replace(logprobs=logprobs, entropy=logprobs, others=(logprobs,)))
    for name in ("others", "entropy"):
        with pytest.raises(RuntimeError, match=f"no {name}: .*a Replay does not keep them; agent"):
            getattr(replay.sample(2), name)
