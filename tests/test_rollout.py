"""Rollout, on tables small enough to check by hand: in every column, row i tells that it is i."""

import io
import itertools
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import rlx
from rlx import ActionDistribution, Agent, Parametric, Rollout, Step, functional
from rlx.envs.reach import Reach

LENGTHS = [3, 1, 4, 2]


def table(lengths=LENGTHS, first=0, dry=False, recurrent=False, returns=True, **changes):
    """Rows number `first`, `first` + 1, …; every column is a function of the row's number."""
    n = sum(lengths)
    i = torch.arange(first, first + n)
    end = torch.zeros(n, dtype=torch.bool)
    start = torch.zeros(n, dtype=torch.bool)
    for offset, length in zip(np.cumsum(lengths) - lengths, lengths):
        start[offset], end[offset + length - 1] = True, True
    x = i.float()
    columns = dict(
        states=x[:, None] + torch.tensor([0.0, 0.5]),
        recur_states=(x[:, None] * 3, x[:, None, None] * 4) if recurrent else None,
        actions=(i * 2, x[:, None] * 5),
        rewards=torch.where(end, 0.0, x + 1),
        end=end,
        terminated=end & (i % 2 == 0),
        start=start,
    )
    if not dry:
        columns |= dict(
            logprobs=-x, entropy=x / 8, others=(x + 100, None, x[:, None] * x.new_ones(3))
        )
    if returns:
        columns |= dict(returns=x + 1000, advantages=x - 1000)
    return Rollout(lengths, **{**columns, **changes})


def numbers(rollout):
    """The rows' numbers, a list an episode. Checks that all columns agree about them."""
    x = rollout.states[:, 0]
    assert torch.equal(rollout.states[:, 1], x + 0.5)
    assert torch.equal(rollout.actions[0], (x * 2).long())
    assert torch.equal(rollout.actions[1], x[:, None] * 5)
    assert torch.equal(rollout.rewards, torch.where(rollout.end, 0.0, x + 1))
    assert torch.equal(rollout.terminated, rollout.end & (x % 2 == 0))
    if rollout.recur_states is not None:
        assert torch.equal(rollout.recur_states[0], x[:, None] * 3)
        assert torch.equal(rollout.recur_states[1], x[:, None, None] * 4)
    if not rollout.dry:
        assert torch.equal(rollout.logprobs, -x)
        assert torch.equal(rollout.entropy, x / 8)
        assert torch.equal(rollout.others[0], x + 100)
        assert rollout.others[1] is None
        assert torch.equal(rollout.others[2], x[:, None].expand(-1, 3))
    if rollout.columns["returns"] is not None:
        assert torch.equal(rollout.returns, x + 1000)
        assert torch.equal(rollout.advantages, x - 1000)
    assert len(rollout) == sum(rollout.lengths) == len(x)
    rows = iter(x.long().tolist())
    return [list(itertools.islice(rows, length)) for length in rollout.lengths]


EPISODES = [[0, 1, 2], [3], [4, 5, 6, 7], [8, 9]]
ROWS = list(range(10))


def cut(index):
    """Python's slice of each episode; what is left empty vanishes."""
    return [rows[index] for rows in EPISODES if rows[index]]


# ---------------------------------------------------------------------- columns


def test_what_a_rollout_says_of_itself():
    rollout = table()
    assert len(rollout) == 10
    assert rollout.lengths == LENGTHS
    assert numbers(rollout) == EPISODES
    assert repr(rollout) == "<Rollout: 10 rows in 4 episodes>"
    assert repr(table(dry=True)) == "<dry Rollout: 10 rows in 4 episodes>"
    assert repr(rollout.vectorize()) == "<Rollout: 10 vectorized rows>"


def test_the_constructor_knows_its_columns_and_their_size():
    with pytest.raises(TypeError, match="no column \\['reward'\\]"):
        Rollout([2], reward=torch.zeros(2))
    with pytest.raises(ValueError, match=r"rewards must be a tensor of shape \(2,\).*got \(3,\)"):
        Rollout([2], rewards=torch.zeros(3))
    with pytest.raises(
        ValueError, match=r"logprobs must be a tensor of shape \(2,\).*got \(2, 1\)"
    ):
        Rollout([2], logprobs=torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"others must be a tensor of shape \(2, …\).*\(3, 1\)"):
        Rollout([2], others=(torch.zeros(2), torch.zeros(3, 1)))


@pytest.mark.parametrize("name", ["logprobs", "entropy", "others"])
def test_a_dry_rollout_names_the_cure(name):
    with pytest.raises(
        RuntimeError, match=rf"no {name}: it is dry.*agent\(policy\).evaluate\(roll"
    ):
        getattr(table(dry=True), name)


def test_unfilled_columns_name_what_fills_them():
    rollout = table(returns=False)
    with pytest.raises(RuntimeError, match="mc_returns, n_step_returns, gae or vtrace"):
        _ = rollout.returns
    with pytest.raises(RuntimeError, match="gae or vtrace fills them"):
        _ = rollout.advantages
    with pytest.raises(RuntimeError, match="no dist: only evaluate keeps it"):
        _ = rollout.dist
    with pytest.raises(RuntimeError, match="no closed form"):
        _ = table(entropy=None).entropy
    with pytest.raises(RuntimeError, match="no states: it is empty"):
        _ = Rollout().states
    with pytest.raises(RuntimeError, match="no logprobs: it is empty"):
        _ = Rollout().logprobs
    with pytest.raises(RuntimeError, match="no start: it was built without"):
        _ = table(start=None).start
    critics = table(logprobs=None, entropy=None)  # not dry: a critic was evaluated
    with pytest.raises(RuntimeError, match="returned no action distribution"):
        _ = critics.logprobs
    with pytest.raises(RuntimeError, match="returned no action distribution"):
        _ = critics.entropy


@pytest.mark.parametrize("name", ["returns", "advantages"])
def test_you_may_assign_returns_and_advantages_of_one_number_a_row(name):
    rollout = table(returns=False)
    setattr(rollout, name, torch.arange(10.0))
    assert torch.equal(getattr(rollout[:-1], name), torch.tensor([0.0, 1, 4, 5, 6, 8]))
    for bad in (torch.zeros(10, 1), torch.zeros(9), torch.tensor(0.0), [0.0] * 10):
        with pytest.raises(ValueError, match=rf"{name} must be a tensor of shape \(10,\)"):
            setattr(rollout, name, bad)


@pytest.mark.parametrize("name", ["returns", "advantages", "rewards"])
def test_numbers_are_floats_and_flags_are_bools(name):
    rollout = table()
    with pytest.raises(ValueError, match=f"{name} must be floating-point numbers, not torch.int64"):
        setattr(rollout, name, torch.zeros(10, dtype=torch.long))
    with pytest.raises(ValueError, match=r"end must be bool, not torch\.float32"):
        rollout.end = torch.zeros(10)


def test_rewards_may_be_shaped():
    rollout = table([3, 2], returns=False)
    bonus = torch.tensor([0.5, 0.25, 0.0, 1.0, 0.0])
    rollout.rewards = rollout.rewards + bonus  # 1, 2, (end) and 4, (end) before
    assert rollout.rewards.tolist() == [1.5, 2.25, 0, 5, 0]
    assert rollout.mc_returns(0.5).tolist() == [1.5 + 0.5 * 2.25, 2.25, 0, 5, 0]
    assert rollout[:-1].rewards.tolist() == [1.5, 2.25, 5]
    with pytest.raises(
        ValueError, match=r"rewards must be 0 at end rows.*masked_fill\(rollout.end"
    ):
        rollout.rewards = rollout.rewards + 1
    with pytest.raises(ValueError, match=r"rewards must be a tensor of shape \(5,\)"):
        rollout.rewards = torch.zeros(5, 1)
    assert rollout.rewards.tolist() == [1.5, 2.25, 0, 5, 0]  # nothing was half done
    cut = rollout[:-1]
    cut.rewards = cut.rewards + 1  # no end rows, no rule for them
    assert cut.mc_returns().tolist() == [2.5 + 3.25, 3.25, 6]


def test_a_column_of_yours_travels():
    rollout = table(recurrent=True)
    rollout.bonus = rollout.states[:, 0] * 7
    rollout.seen = (rollout.states + 1, None, (rollout.states[:, 0].long(),))
    assert {"bonus", "seen"} < rollout.columns.keys()

    def agrees(part):
        x = part.states[:, 0]
        assert torch.equal(part.bonus, x * 7)
        assert torch.equal(part.seen[0], part.states + 1)
        assert torch.equal(part.seen[2][0], x.long())
        return numbers(part)

    assert agrees(rollout[:-1]) == cut(slice(None, -1))
    assert agrees(rollout[-1]) == [[2], [3], [7], [9]]
    parts = [rollout.chunks(2), rollout.vectorize(), rollout.fresh().replace(recur_states=None)]
    parts += [rollout.detach(), rollout.to("cpu"), pickle.loads(pickle.dumps(rollout))]
    parts += [*rollout.episodes, *rollout.chunks(2).minibatches(3), *rollout[:-1].minibatches(2)]
    for part in parts:
        agrees(part)
    assert sorted(agrees(rollout[:].shuffle())) == EPISODES
    assert agrees(rollout.episodes[0] + Rollout.cat(rollout.episodes[1:])) == EPISODES
    assert Agent(Reach())(Policy()).evaluate(rollout).bonus is rollout.bonus
    rollout.bonus = rollout.bonus + 1  # and may be assigned again
    assert rollout.bonus[1] == 8


def test_a_column_of_yours_needs_one_entry_a_row():
    rollout = table()
    for bad in (torch.zeros(9), torch.zeros(()), [0.0] * 10, np.zeros(10), 3.0, "ten", None):
        with pytest.raises(ValueError, match=r"bonus must be a tensor of shape \(10, …\).*got"):
            rollout.bonus = bad
    with pytest.raises(AttributeError, match=r"no bonus.*one entry a row"):
        _ = rollout.bonus
    assert not hasattr(rollout, "bonus")
    with pytest.raises(AttributeError, match="shuffle is a method"):
        rollout.shuffle = torch.zeros(10)
    with pytest.raises(AttributeError, match=r"did you mean rewards\?"):
        rollout.reward = torch.zeros(10)
    rollout.bonus = torch.zeros(10)
    with pytest.raises(ValueError, match="bonus: one has them and another has none"):
        rollout + table()


def test_replace_leaves_the_old_one_alone():
    rollout = table()
    other = rollout.replace(rewards=None, bonus=torch.ones(10), lengths=[5, 5])
    assert other.lengths == [5, 5]
    assert other.bonus.sum() == 10
    with pytest.raises(RuntimeError, match="no rewards"):
        _ = other.rewards
    assert numbers(rollout) == EPISODES
    assert "bonus" not in rollout.columns
    with pytest.raises(ValueError, match="add up to 3 rows, these are 10"):
        rollout.replace(lengths=[3])
    with pytest.raises(ValueError, match=r"returns must be a tensor of shape \(10,\)"):
        rollout.replace(returns=torch.zeros(3))


def test_extras_is_the_clear_name_of_others():
    rollout = table()
    assert rollout.extras is rollout.others
    with pytest.raises(RuntimeError, match="it is dry"):
        _ = table(dry=True).extras


ONE_LINE = """
    surprise = Field("(N,)", "how improbable the action was", step="surprise", at_end=0.0,
                     fill=lambda output, actions: -output.dist.log_prob(*actions))
"""

WHAT_IT_GIVES = """
import pickle, torch, rlx
from torch.testing import assert_close

agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 4), seed=0)
policy = rlx.networks.MLPPolicy(agent)
rollout = agent(policy).segment(12)  # the policy fills it as it plays,
again = agent(policy).evaluate(agent(policy).segment(12, dry=True))  # and as it plays again
appended = rlx.Rollout()
for step in rollout:
    appended << step
replay = rlx.Replay(100)
replay.add(rollout)
parts = [rollout, again, appended, replay.sample(8), rollout[:-1], rollout + again]
parts += [*rollout.minibatches(3), pickle.loads(pickle.dumps(rollout))]
for part in parts:
    assert part.surprise.abs().sum() > 0
    assert_close(part.surprise, -part.logprobs)
assert step.surprise is not None
assert (rollout.surprise[rollout.end] == 0).all()
try:
    rollout.surprise = torch.ones(len(rollout))
except ValueError as error:
    assert "surprise must be 0 at end rows" in str(error)
try:
    agent(policy).segment(12, dry=True).surprise
except RuntimeError as error:
    assert "no surprise: it is dry" in str(error)
    print("everywhere")
"""


@pytest.mark.slow
def test_a_column_is_declared_in_one_place(tmp_path):
    library = Path(rlx.__file__).parent
    shutil.copytree(
        library, tmp_path / "rlx", ignore=shutil.ignore_patterns("course", "__pycache__")
    )
    file = tmp_path / "rlx" / "rollout.py"
    source = file.read_text()
    assert source.count("    # fmt: on\n") == 1
    file.write_text(source.replace("    # fmt: on\n", ONE_LINE))
    run = subprocess.run(
        [sys.executable, "-c", WHAT_IT_GIVES],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert run.stdout == "everywhere\n", run.stderr


def test_assigning_to_a_part_leaves_the_whole_alone():
    rollout = table()
    for part in (rollout.vectorize(), rollout.chunks(2), rollout[:], rollout + Rollout()):
        part.returns = torch.zeros(len(part))
    numbers(rollout)


# ---------------------------------------------------------------------- cutting


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize(
    "index",
    [
        slice(None, -1),
        slice(None, 100),
        slice(None, 2),
        slice(-1, None),
        slice(1, None),
        slice(1, 3),
        slice(-3, -1),
        slice(None, None, 2),
        slice(3, None),
        slice(None),
    ],
    ids=str,
)
def test_a_slice_is_pythons_slice_of_each_episode(index, dry, recurrent):
    rollout = table(dry=dry, recurrent=recurrent)
    part = rollout[index]
    assert numbers(part) == cut(index)
    assert part.dry == dry
    assert numbers(rollout) == EPISODES
    assert torch.equal(part.start, torch.isin(part.states[:, 0], torch.tensor([0.0, 3, 4, 8])))


def test_a_slice_may_leave_nothing():
    rollout = table()
    for nothing in (rollout[:0], rollout[100:], rollout[:-1][5:]):
        assert len(nothing) == 0
        assert nothing.lengths == nothing.episodes == list(nothing) == []
        assert nothing.states.shape == (0, 2)
        assert nothing.mc_returns().shape == (0,)
        assert numbers(nothing + rollout) == EPISODES


@pytest.mark.parametrize("index", [0, -1, np.int64(0)])
def test_an_int_is_that_row_of_each_episode(index):
    rollout = table()[index]
    assert isinstance(rollout, Rollout)
    assert numbers(rollout) == [[episode[index]] for episode in EPISODES]


def test_an_int_beyond_an_episode_is_an_error():
    rollout = table([3, 2])
    assert numbers(rollout[1]) == [[1], [4]]
    assert numbers(rollout[-2]) == [[1], [3]]
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"row {index} of each episode: one has only 2 rows"):
            rollout[index]


@pytest.mark.parametrize("index", [[0, 1], torch.tensor([0, 1]), 1.0, None, (0, 1)], ids=str)
def test_other_indices_need_a_vectorized_rollout(index):
    with pytest.raises(TypeError, match="int or a slice"):
        table()[index]


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (3, [3]),
        (-1, [9]),
        (np.int64(4), [4]),
        (slice(None, -1), ROWS[:-1]),
        (slice(None, None, -3), ROWS[::-3]),
        (torch.tensor([7, 0, 0]), [7, 0, 0]),
        (torch.tensor(2), [2]),
        (torch.arange(10) % 4 == 1, [1, 5, 9]),
        (np.array([9, 1]), [9, 1]),
        ([5, -2], [5, 8]),
        ([], []),
    ],
    ids=str,
)
def test_indices_address_rows_once_vectorized(index, rows):
    rollout = table(recurrent=True).vectorize()
    part = rollout[index]
    assert numbers(part) == [[row] for row in rows]
    assert part.vectorized
    assert numbers(rollout) == [[row] for row in ROWS]


def test_a_row_that_is_not_there_is_an_error():
    with pytest.raises(IndexError):
        table().vectorize()[10]


def test_episodes_splits():
    parts = table(recurrent=True).episodes
    assert [numbers(part) for part in parts] == [[rows] for rows in EPISODES]
    assert numbers(Rollout.cat(parts)) == EPISODES


@pytest.mark.parametrize(
    ("length", "fragments"),
    [
        (1, [[row] for row in ROWS]),
        (2, [[0, 1], [2], [3], [4, 5], [6, 7], [8, 9]]),
        (3, [[0, 1, 2], [3], [4, 5, 6], [7], [8, 9]]),
        (100, EPISODES),
    ],
)
def test_chunks_cut_episodes_into_fragments(length, fragments):
    rollout = table(recurrent=True).chunks(length)
    assert numbers(rollout) == fragments  # with the recurrent state that enters each row
    assert rollout.start.tolist() == table().start.tolist()  # still the first row after a reset
    assert not rollout.vectorized


def test_chunks_of_nothing():
    with pytest.raises(ValueError, match="chunks of 0 rows"):
        table().chunks(0)


def test_vectorize_makes_every_row_an_episode():
    rollout = table(recurrent=True).vectorize()
    assert numbers(rollout) == [[row] for row in ROWS]
    assert rollout.vectorized
    assert rollout.vectorize().vectorized
    assert numbers(rollout[:-1] + rollout[-1:]) == [[row] for row in ROWS]


# ---------------------------------------------------------------------- shuffling and minibatches


def test_shuffle_permutes_episodes_in_place():
    rollout = table(recurrent=True)
    before, states = rollout[:-1], rollout.states
    assert rollout.shuffle(torch.Generator().manual_seed(1)) is rollout
    assert numbers(rollout) != EPISODES
    assert sorted(numbers(rollout)) == EPISODES
    # What was handed out earlier does not change.
    assert states.tolist() == table().states.tolist()
    assert numbers(before) == cut(slice(None, -1))


def test_shuffle_permutes_rows_once_vectorized():
    rollout = table(recurrent=True)
    vectorized = rollout.vectorize().shuffle(torch.Generator().manual_seed(1))
    assert numbers(vectorized) != [[row] for row in ROWS]
    assert sorted(numbers(vectorized)) == [[row] for row in ROWS]
    assert numbers(rollout) == EPISODES


def test_every_permutation_comes_up():
    generator = torch.Generator().manual_seed(0)
    seen = {str(numbers(table([1, 2, 1]).shuffle(generator))) for _ in range(100)}
    assert len(seen) == 6


def test_shuffle_never_touches_a_global_seed():
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002 - the global state is what this test is about
    torch.manual_seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    table().shuffle(torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before[2])
    first = numbers(table(range(1, 30), returns=False).shuffle())
    second = numbers(table(range(1, 30), returns=False).shuffle())
    assert first != second  # torch's global generator goes on; it was not seeded anew
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    torch.manual_seed(3)
    assert numbers(table(range(1, 30), returns=False).shuffle()) == first


@pytest.mark.parametrize("k", range(1, 11))
@pytest.mark.parametrize("vectorized", [False, True])
def test_minibatches_deal_rows_evenly(k, vectorized):
    rollout = table()
    parts = (rollout.vectorize() if vectorized else rollout).minibatches(k)
    sizes = [len(part) for part in parts]
    assert len(parts) == k
    assert max(sizes) - min(sizes) <= 1
    assert [row for part in parts for (row,) in numbers(part)] == ROWS  # none dropped, none twice
    assert all(part.vectorized for part in parts)


@pytest.mark.parametrize("k", range(1, 7))
def test_recurrent_minibatches_keep_fragments_whole(k):
    parts = table(recurrent=True).chunks(2).minibatches(k)
    counts = [len(part.lengths) for part in parts]
    assert len(parts) == k
    assert max(counts) - min(counts) <= 1
    dealt = [fragment for part in parts for fragment in numbers(part)]
    assert dealt == [[0, 1], [2], [3], [4, 5], [6, 7], [8, 9]]
    assert not any(part.vectorized for part in parts)


def test_minibatches_come_in_the_present_order():
    rollout = table().vectorize().shuffle(torch.Generator().manual_seed(0))
    parts = rollout.minibatches(3)
    assert [rows for part in parts for rows in numbers(part)] == numbers(rollout)


def test_too_many_minibatches():
    with pytest.raises(ValueError, match="11 minibatches of 10 rows"):
        table().minibatches(11)
    with pytest.raises(ValueError, match="5 minibatches of 4 fragments"):
        table(recurrent=True).minibatches(5)
    with pytest.raises(ValueError, match="0 minibatches"):
        table().minibatches(0)
    with pytest.raises(ValueError, match="1 minibatches of 0"):
        Rollout().minibatches(1)


# ---------------------------------------------------------------------- putting together


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("dry", [False, True])
def test_addition_puts_episodes_after_each_other(dry, recurrent):
    one = table([3, 1], dry=dry, recurrent=recurrent)
    two = table([4, 2], first=4, dry=dry, recurrent=recurrent)
    assert numbers(one + two) == EPISODES
    assert numbers(Rollout.cat(iter([one, two]))) == EPISODES
    assert numbers(sum([one, two])) == EPISODES
    assert numbers(sum([one, two], Rollout())) == EPISODES
    assert (one + two).dry == dry
    assert numbers((one + two).vectorize()) == numbers(one.vectorize() + two.vectorize())
    assert (one.vectorize() + two.vectorize()).vectorized
    assert (one + two).start.tolist() == table().start.tolist()


def test_empty_rollouts_add_nothing():
    assert len(Rollout() + Rollout()) == len(Rollout.cat([])) == 0
    assert numbers(Rollout() + table()) == numbers(table() + Rollout()) == EPISODES
    assert numbers(table(dry=True) + table()[:0]) == EPISODES


@pytest.mark.parametrize(
    ("other", "error"),
    [
        (table(dry=True), r"dry.*agent\(policy\)\.evaluate\(rollout\)"),
        (table().vectorize(), "only one of the rollouts is vectorized"),
        (table(recurrent=True), "recur_states: one has them and another has none"),
        (table(states=torch.zeros(10, 3)), "fit together in states"),
        (table(actions=(torch.zeros(10),)), "fit together in actions"),
        (table(actions=(torch.zeros(10), torch.zeros(10))), "fit together in actions"),
        (table(others=()), "fit together in others"),
        (table(others=(torch.zeros(10), torch.zeros(10), torch.zeros(10, 3))), "others: one has"),
    ],
)
def test_rollouts_that_do_not_fit_together(other, error):
    for pair in ([table(), other], [other, table()]):
        with pytest.raises(ValueError, match=error):
            Rollout.cat(pair)


def test_only_rollouts_can_be_added():
    with pytest.raises(TypeError):
        table() + 1
    with pytest.raises(TypeError):
        1 + table()


def test_returns_travel_through_addition_if_both_have_them():
    both, neither = table() + table(), table() + table(returns=False)
    assert both.returns.shape == (20,)
    with pytest.raises(RuntimeError, match="no returns"):
        _ = neither.returns
    with pytest.raises(RuntimeError, match="no closed form"):
        _ = (table() + table(entropy=None)).entropy


# ---------------------------------------------------------------------- growing


@pytest.mark.parametrize("read_between", [False, True])
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("dry", [False, True])
def test_iterating_and_appending_is_a_round_trip(dry, recurrent, read_between):
    rollout = table(dry=dry, recurrent=recurrent, returns=False)
    again = Rollout()
    for step in rollout:
        assert isinstance(step, Step)
        again << step
        if read_between:
            assert again.states.shape == (len(again), 2)
    assert numbers(again) == EPISODES
    assert again.dry == dry
    for name in Rollout.COLUMNS:
        old, new = rollout.columns[name], again.columns[name]
        assert type(old) is type(new)
        if isinstance(old, torch.Tensor):
            assert torch.equal(old, new)
            assert old.dtype == new.dtype


@pytest.mark.parametrize("part", [table()[:-1], table()[1:], table()[:2], table()[:-1].chunks(2)])
def test_the_round_trip_keeps_apart_what_began_at_a_reset(part):
    again = Rollout()
    for step in part:
        again << step
    assert torch.equal(again.states, part.states)
    assert torch.equal(again.start, part.start)


def test_appending_steps_by_hand():
    rollout = Rollout()
    assert rollout << Step([1.0, 2.0], 1, 10.0) is rollout
    assert len(rollout) == 1
    rollout << Step([3.0, 4.0], 0, 20.0)
    rollout << Step([5.0, 6.0], end=True, terminated=True) << Step([7.0, 8.0], 1, 30.0)
    assert len(rollout) == 4
    assert rollout.lengths == [3, 1]
    assert rollout.dry
    rollout << Step([9.0, 10.0], end=True)  # continues the episode that was read already
    assert rollout.lengths == [3, 2]
    assert rollout.states.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert rollout.rewards.tolist() == [10, 20, 0, 30, 0]
    assert rollout.rewards.dtype == torch.float32
    assert rollout.end.tolist() == [False, False, True, False, True]
    assert rollout.terminated.tolist() == [False, False, True, False, False]
    assert rollout.start.tolist() == [True, False, False, True, False]
    assert rollout.actions[0].tolist() == [1, 0, 0, 1, 0]  # end rows need no action
    assert rollout.recur_states is None
    assert rollout.mc_returns().tolist() == [30, 20, 0, 30, 0]


@pytest.mark.parametrize("read_between", [False, True])
def test_an_end_row_needs_no_action_or_logprob_but_a_value(read_between):
    rollout = Rollout()
    h = torch.ones(2)
    steps = [
        Step([0.0], (1, [0.5]), 1.0, logprob=torch.tensor([-0.5]), entropy=torch.tensor(1.0),
             others=(torch.tensor([7.0]), None)),
        Step([1.0], (0, [0.25]), 1.0, recur_state=h, logprob=torch.tensor([-1.0]),
             entropy=torch.tensor(1.0), others=(torch.tensor([8.0]), None)),
        Step([2.0], end=True, recur_state=2 * h, others=(torch.tensor([9.0]), None)),
        Step([3.0], (1, [0.75]), 2.0, logprob=torch.tensor([-2.0]), entropy=torch.tensor(1.0),
             others=(torch.tensor([10.0]), None)),
    ]  # fmt: skip
    for i, step in enumerate(steps):
        rollout << step
        if read_between and i > 0:
            assert not rollout.dry
    assert rollout.lengths == [3, 1]
    assert rollout.logprobs.tolist() == [-0.5, -1.0, 0.0, -2.0]  # (N,), not (N, 1)
    assert rollout.entropy.tolist() == [1, 1, 0, 1]
    assert rollout.others[0].tolist() == [7, 8, 9, 10]
    assert rollout.others[1] is None
    assert rollout.recur_states.tolist() == [[0, 0], [1, 1], [2, 2], [0, 0]]  # zeros after a reset
    assert rollout.actions[1].tolist() == [[0.5], [0.25], [0.0], [0.75]]
    assert rollout.states.tolist() == [[0], [1], [2], [3]]  # an observation of one number stays one


@pytest.mark.parametrize("name", ["logprob", "entropy"])
def test_a_row_has_one_log_probability(name):
    logprob = {"logprob": torch.zeros(()), name: torch.zeros(3)}
    rollout = Rollout() << Step([0.0], 0, 1.0, **logprob)
    with pytest.raises(ValueError, match=r"shape \(1,\), one number a row; got \(1, 3\)"):
        _ = rollout.states


def test_appending_copies_what_the_environment_may_reuse():
    observation, action = np.zeros(2, dtype=np.float32), torch.zeros(1)
    reward = torch.zeros(1)
    rollout = Rollout()
    for i in range(3):
        observation[:] = i
        action[:], reward[:] = 10 * i, 100 * i
        rollout << Step(observation, action, reward)
    observation[:] = -1
    assert rollout.states.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert rollout.actions[0].tolist() == [[0], [10], [20]]
    assert rollout.rewards.tolist() == [0, 100, 200]


def test_appended_log_probabilities_keep_their_gradient():
    weight = torch.tensor(2.0, requires_grad=True)
    rollout = Rollout()
    for i in range(3):
        rollout << Step([float(i)], 0, 1.0, logprob=weight * i, entropy=weight)
    (rollout.logprobs * rollout.mc_returns()).sum().backward()
    assert weight.grad.item() == 0 * 3 + 1 * 2 + 2 * 1


def test_appending_forgets_returns_but_not_those_assigned_afterwards():
    rollout = table()
    rollout << next(iter(table([1], first=10)))
    with pytest.raises(RuntimeError, match="no returns"):
        _ = rollout.returns
    rollout << next(iter(table([1], first=11)))
    rollout.returns = torch.arange(12.0)
    assert rollout.returns.tolist() == list(range(12))


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (Step([0.0], 0, 1.0, terminated=True), "terminated marks an end row"),
        (Step([0.0], 0, 1.0, end=True), "an end row has reward 0"),
    ],
)
def test_a_step_in_the_wrong_place(step, error):
    with pytest.raises(ValueError, match=error):
        Rollout() << step


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (Step([0.0, 0.0], 0), "states"),
        (Step([0.0], (0, 1)), "actions"),
        (Step([0.0], 0, logprob=torch.zeros(())), "logprobs"),
        (Step([0.0], 0, others=(torch.zeros(()),)), "others"),
    ],
)
def test_steps_that_do_not_fit_together(step, name):
    rollout = Rollout() << Step([0.0], 0, 1.0) << step
    with pytest.raises(ValueError, match=f"do not fit together in {name}"):
        _ = rollout.states


def test_steps_that_do_not_fit_are_not_lost_without_a_sound():
    rollout = table(returns=False)
    rollout.bonus = torch.zeros(10)
    rollout << next(iter(table([1], first=10)))
    for _ in range(2):
        with pytest.raises(ValueError, match="bonus: one has them and another has none"):
            _ = rollout.states
    assert len(rollout) == 11


def test_a_vectorized_rollout_does_not_grow():
    with pytest.raises(ValueError, match="append before vectorize"):
        table().vectorize() << Step([0.0])


# ---------------------------------------------------------------------- returns


def random_table(seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (6,), generator=generator).tolist()
    rollout = table(lengths, returns=False)
    n = len(rollout)
    terminated = rollout.end & (torch.rand(n, generator=generator) < 0.5)
    rewards = torch.randn(n, generator=generator, dtype=torch.float64).masked_fill(rollout.end, 0)
    rollout = table(lengths, returns=False, rewards=rewards, terminated=terminated)
    values, ratios = torch.randn(2, n, generator=generator, dtype=torch.float64)
    return rollout, values, ratios


def each_episode(rollout, values):
    """(rows, rewards, values with 0 for the terminated) of each episode, as lists."""
    at = 0
    for length in rollout.lengths:
        rows = range(at, at + length)
        v = [0.0 if rollout.terminated[i] else values[i].item() for i in rows]
        yield rows, rollout.rewards[at : at + length].tolist(), v
        at += length


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.0])
def test_mc_returns_against_a_slow_loop(seed, gamma):
    rollout, values, _ = random_table(seed)
    expected = []
    for rows, r, _ in each_episode(rollout, values):
        expected += [
            sum(gamma ** (k - t) * r[k] for k in range(t, len(r))) for t in range(len(rows))
        ]
    returned = rollout.mc_returns(gamma)
    assert returned is rollout.returns
    torch.testing.assert_close(returned, torch.tensor(expected, dtype=torch.float64))
    assert (returned[rollout.end] == 0).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1, 2, 3, None])
def test_n_step_returns_against_a_slow_loop(seed, n):
    gamma = 0.9
    rollout, values, _ = random_table(seed)
    expected = []
    for rows, r, v in each_episode(rollout, values):
        last = len(rows) - 1
        for t in range(len(rows)):
            to = last if n is None else min(t + n, last)
            expected.append(
                sum(gamma ** (k - t) * r[k] for k in range(t, to)) + gamma ** (to - t) * v[to]
            )
    returned = rollout.n_step_returns(values, gamma, n)
    assert returned is rollout.returns
    torch.testing.assert_close(returned, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
def test_gae_against_a_slow_loop(seed):
    gamma, lam = 0.9, 0.8
    rollout, values, _ = random_table(seed)
    advantages, returns = [], []
    for rows, r, v in each_episode(rollout, values):
        last = len(rows) - 1
        delta = [r[t] + gamma * v[t + 1] - v[t] for t in range(last)]
        a = [sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, last)) for t in range(last)]
        advantages += a + [0.0]
        returns += [x + y for x, y in zip(a, v)] + [v[last]]
    assert rollout.gae(values, gamma, lam) is rollout.advantages
    torch.testing.assert_close(rollout.advantages, torch.tensor(advantages, dtype=torch.float64))
    torch.testing.assert_close(rollout.returns, torch.tensor(returns, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lam", [1.0, 0.7])
def test_vtrace_against_a_slow_loop(seed, lam):
    gamma = 0.9
    rollout, values, log_ratios = random_table(seed)
    advantages, returns = [], []
    for rows, r, v in each_episode(rollout, values):
        last = len(rows) - 1
        rho = log_ratios[rows[0] : rows[-1] + 1].exp().clamp(max=1).tolist()
        target = list(v)
        for t in reversed(range(last)):
            delta = rho[t] * (r[t] + gamma * v[t + 1] - v[t])
            target[t] = v[t] + delta + gamma * lam * rho[t] * (target[t + 1] - v[t + 1])
        for t in range(last):
            ahead = lam * target[t + 1] + (1 - lam) * v[t + 1]
            advantages.append(rho[t] * (r[t] + gamma * ahead - v[t]))
        advantages.append(0.0)
        returns += target
    assert rollout.vtrace(values, log_ratios, gamma, lam) is rollout.advantages
    torch.testing.assert_close(rollout.advantages, torch.tensor(advantages, dtype=torch.float64))
    torch.testing.assert_close(rollout.returns, torch.tensor(returns, dtype=torch.float64))


def test_vtrace_takes_the_clips_of_the_function():
    rollout, values, log_ratios = random_table(0)
    log_ratios = log_ratios + 1  # most ratios above 1: every clip matters
    seen = set()
    for clips in ({}, {"clip_rho": 3.0}, {"clip_c": 2.0}, {"clip_pg_rho": 5.0}):
        rollout.vtrace(values, log_ratios, 0.9, **clips)
        columns = rollout.rewards, values, log_ratios, rollout.end, rollout.terminated
        returns, advantages = functional.vtrace(*columns, 0.9, **clips)
        torch.testing.assert_close(rollout.returns, returns)
        torch.testing.assert_close(rollout.advantages, advantages)
        seen.add(advantages.sum().item())
    assert len(seen) == 4


def test_returns_by_hand():
    # Two episodes: one terminates after rewards 1 and 2, one is cut off after reward 4.
    rollout = table(
        [3, 2],
        returns=False,
        rewards=torch.tensor([1.0, 2.0, 0.0, 4.0, 0.0]),
        terminated=torch.tensor([False, False, True, False, False]),
    )
    values = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0])
    assert rollout.mc_returns(0.5).tolist() == [2, 2, 0, 4, 0]
    assert rollout.n_step_returns(values, 0.5).tolist() == [2, 2, 0, 29, 50]
    assert rollout.n_step_returns(values, 0.5, n=1).tolist() == [11, 2, 0, 29, 50]
    assert rollout.gae(values, 0.5, 0.5).tolist() == [1 - 18 / 4, -18, 0, -11, 0]
    assert rollout.returns.tolist() == [10 + 1 - 18 / 4, 2, 0, 29, 50]
    # ρ = 1/2 everywhere: half the correction, and half the trace
    log_ratios = torch.full((5,), 0.5).log()
    assert rollout.vtrace(values, log_ratios, 0.5).tolist() == pytest.approx(
        [0.5 * (1 + 0.5 * 11 - 10), -9, 0, -5.5, 0]
    )
    assert rollout.returns.tolist() == pytest.approx([10 + 0.5 - 0.25 * 9, 11, 0, 34.5, 50])


METHODS = {
    "mc_returns": lambda rollout: rollout.mc_returns(),
    "n_step_returns": lambda rollout: rollout.n_step_returns(torch.zeros(len(rollout)), 0.9),
    "gae": lambda rollout: rollout.gae(torch.zeros(len(rollout)), 0.9, 0.9),
    "vtrace": lambda rollout: rollout.vtrace(*torch.zeros(2, len(rollout)), 0.9),
}


@pytest.mark.parametrize("method", METHODS)
def test_time_is_forgotten_after_vectorize(method):
    for rollout in (table().vectorize(), table().minibatches(2)[0], table().vectorize()[:3]):
        with pytest.raises(RuntimeError, match="before vectorize"):
            METHODS[method](rollout)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "mc_returns"])
@pytest.mark.parametrize(
    "part",
    [
        table()[:-1],
        table()[:2],
        table().chunks(2),
        table([4])[::2],
        table() + table()[:-1],
        table()[::-1],
    ],
)
def test_bootstrapping_without_the_end_row_is_an_error(method, part):
    part = part[:]
    with pytest.raises(RuntimeError, match=r"end row was cut.*compute the returns first"):
        METHODS[method](part)
    with pytest.raises(RuntimeError):
        _ = Rollout.cat([part, table(returns=False)]).returns  # nothing was half filled


def test_bootstrapping_needs_only_the_end_row():
    rollout, values, _ = random_table(0)
    whole = rollout.gae(values, 0.9, 0.8)
    later = rollout[1:]
    keep = ~rollout.start
    torch.testing.assert_close(later.gae(values[keep], 0.9, 0.8), whole[keep])


def test_mc_returns_work_on_what_is_left():
    rollout = table([3, 2], returns=False)[:-1]
    assert rollout.mc_returns().tolist() == [1 + 2, 2, 4]


@pytest.mark.parametrize("shape", [(10, 1), (1,), (9,), ()])
def test_values_are_one_number_a_row(shape):
    rollout = table(returns=False)
    values = torch.zeros(shape)
    for fill in (
        lambda: rollout.n_step_returns(values, 0.9),
        lambda: rollout.gae(values, 0.9, 0.9),
        lambda: rollout.vtrace(values, torch.zeros(10), 0.9),
        lambda: rollout.vtrace(torch.zeros(10), values, 0.9),
    ):
        with pytest.raises(ValueError, match="shape"):
            fill()
    assert rollout.columns["returns"] is rollout.columns["advantages"] is None


class Policy(Parametric):
    """Feed-forward, for the two-component actions of `table`."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 1)

    def forward(self, *states):
        _, x = states
        normal = torch.distributions.Normal(self.net(x), 1.0)
        poisson = torch.distributions.Poisson(self.net(x).exp().squeeze(-1))
        return None, ActionDistribution(poisson, normal), self.net(x)


def test_returns_and_advantages_travel():
    agent = Agent(Reach())
    rollout = table()
    evaluated = agent(Policy()).evaluate(rollout)
    assert evaluated.returns is rollout.returns
    assert evaluated.advantages is rollout.advantages
    # `numbers` compares both with the rows they belong to.
    travelled = (table([4, 2]) + table([3], first=6))[:-1].chunks(2).shuffle().vectorize().shuffle()
    for part in travelled.minibatches(3):
        numbers(part)
        torch.testing.assert_close(agent(Policy()).evaluate(part).returns, part.states[:, 0] + 1000)


# ---------------------------------------------------------------------- housekeeping


def test_pickling():
    rollout = table(recurrent=True)
    rollout << next(iter(table([1], first=10, recurrent=True)))  # not stacked yet
    again = pickle.loads(pickle.dumps(rollout))
    assert numbers(again) == [*EPISODES, [10]]
    assert again.vectorized is False
    assert pickle.loads(pickle.dumps(table(dry=True).vectorize())).vectorized
    assert len(pickle.loads(pickle.dumps(Rollout()))) == 0


def test_pickling_leaves_the_gradient_behind():
    weight = torch.ones(10, requires_grad=True)
    rollout = table(logprobs=-weight * torch.arange(10.0))
    again = pickle.loads(pickle.dumps(rollout))
    assert numbers(again) == EPISODES
    assert not again.logprobs.requires_grad
    assert rollout.logprobs.requires_grad


def test_a_pickled_slice_does_not_carry_the_whole():
    big = table([10_000], returns=False)
    assert len(pickle.dumps(big[:10])) < 20_000
    file = io.BytesIO()
    torch.save(big[:10].states, file)
    assert len(file.getvalue()) < 20_000


def test_detach_and_to():
    weight = torch.ones(10, requires_grad=True)
    rollout = table(logprobs=-weight * torch.arange(10.0), recurrent=True)
    assert not rollout.detach().logprobs.requires_grad
    assert numbers(rollout.detach()) == numbers(rollout.to("cpu")) == EPISODES
    moved = rollout.to("meta")
    assert all(column.device.type == "meta" for column in (moved.states, *moved.actions, moved.end))
    assert moved.recur_states[1].device.type == moved.others[0].device.type == "meta"


def test_images_stay_bytes():
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 3, 4, 4)
    rollout = table(states=images)
    rollouts = [rollout[:-1], rollout + rollout, rollout.chunks(2), rollout.vectorize().shuffle()]
    rollouts += [*rollout.minibatches(3), pickle.loads(pickle.dumps(rollout)), rollout.to("cpu")]
    again = Rollout()
    for step in rollout:
        again << step
    for each in (*rollouts, again):
        assert each.states.dtype == torch.uint8
        assert each.states.shape[1:] == (3, 4, 4)


def test_a_rollout_without_rows_is_harmless():
    empty = Rollout()
    assert len(empty) == 0
    assert empty.lengths == empty.episodes == list(empty) == []
    for same in (empty[:-1], empty.chunks(3), empty.vectorize(), empty.shuffle(), empty.detach()):
        assert len(same) == 0
    assert repr(empty) == "<dry Rollout: 0 rows in 0 episodes>"
    with pytest.raises(RuntimeError, match="empty"):
        empty.mc_returns()


def test_the_methods_go_through_the_module(monkeypatch):
    """A learner's own function can take the place of the library's."""
    monkeypatch.setattr(functional, "gae", lambda rewards, *others: rewards * 0 + 7)
    assert table().gae(torch.zeros(10), 0.9, 0.9).tolist() == [7] * 10
