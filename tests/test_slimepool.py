"""Self-play: the pool, matches from both sides, tournaments."""

import pickle

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

import rlx
from rlx.envs.selfplay import (
    OpponentPool,
    both_sides,
    match,
    pool_weights,
    snapshot,
    tournament,
)
from rlx.envs.slimeplayers import Function
from rlx.envs.slimevolley import SlimeRally, SlimeVolley


class Always(rlx.Parametric):
    """Takes one action of the table, for ever; its recurrent state counts the steps."""

    def __init__(self, action):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.where(torch.arange(6) == action, 0.0, -1e9))
        self.counts = []

    def forward(self, *states):
        count, x = states
        count = torch.zeros(len(x), 1) if count is None else count
        self.counts.append(count[:, 0].tolist())
        return count + 1, rlx.ActionDistribution(Categorical(logits=self.logits.expand(len(x), 6)))


def test_a_member_is_a_copy():
    policy = Always(3)
    pool = OpponentPool(policy)
    with torch.no_grad():
        policy.logits.copy_(Always(1).logits)
    pool.add(policy)
    frozen = [member.player.policy for member in pool]
    assert [p.logits.argmax().item() for p in frozen] == [3, 1]
    assert all(p is not policy for p in frozen)
    assert not any(p.logits.requires_grad for p in frozen)
    assert policy.logits.requires_grad
    assert [member.name for member in pool] == ["0", "1"]


def test_every_court_plays_its_own_member():
    """Members that walk, jump or stand: each court moves as its member would."""
    pool = OpponentPool(Always(1), Always(5), "still", Function(lambda seen: np.full(len(seen), 3)))
    env = SlimeVolley(40, opponent=pool)
    env.reset(seed=0)
    env.step(np.zeros(40, dtype=int))
    names = np.array([member.name for member in env.opponent.playing])
    assert set(names) == {"0", "1", "still", "3"}
    left = env.state["left"]
    assert (left[names == "0", 2] == 17.5).all()
    assert (left[names == "1", 2] == -17.5).all()
    assert (left[names == "still"] == [-12, 1.5, 0, 0]).all()
    assert (left[names == "3", 3] == 13.5).all()


def test_members_remember_court_by_court():
    one, two = Always(1), Always(5)
    pool = OpponentPool(one, two)
    env = SlimeVolley(6, opponent=pool)
    env.reset(seed=1)
    members = [pool.members.index(member) for member in env.opponent.playing]
    assert 0 < sum(members) < 6
    for _ in range(3):
        env.step(np.zeros(6, dtype=int))
    rows = np.array([True, False, False, True, False, False])
    env.reset(options={"reset_mask": rows})
    env.step(np.zeros(6, dtype=int))
    members = [pool.members.index(member) for member in env.opponent.playing]
    for k, policy in enumerate(member.player.policy for member in pool):
        expected = [0.0 if rows[c] else 3.0 for c in range(6) if members[c] == k]
        assert policy.counts[-1] == expected or not expected


def test_two_environments_share_members_but_not_courts():
    pool = OpponentPool("still")
    one, two = SlimeRally(3, opponent=pool), SlimeRally(5, opponent=pool)
    one.reset(seed=0)
    two.reset(seed=0)
    pool.add("random")
    assert len(one.opponent) == len(two.opponent) == 2
    assert one.opponent.playing.shape == (3,)
    assert two.opponent.playing.shape == (5,)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("uniform", [1 / 3] * 3),
        ("latest", [1 / 6, 1 / 6, 4 / 6]),
        ("hard", np.array([0.25, 0.01, 0.81]) / 1.07),
    ],
)
def test_rules(rule, expected):
    """Against the second the learner won 7 of 7 and a half; against the third it lost 4 of 4."""
    pool = OpponentPool("still", "still", "still", rule=rule)
    pool.members[1].won, pool.members[1].drawn = 4, 0
    pool.members[2].lost = 4
    assert pool.probabilities() == pytest.approx(expected)
    env = SlimeVolley(3000, opponent=pool)
    env.reset(seed=0)
    drawn = np.mean([[member is m for m in pool] for member in env.opponent.playing], axis=0)
    assert drawn == pytest.approx(expected, abs=0.04)


def test_whom_it_loses_to_is_met_most():
    """Win rates of 1.5/2, 1/2 and 1/4 (two draws, of which one is imaginary, and two losses)."""
    weights = pool_weights(np.array([1, 0, 0]), np.array([0, 0, 1]), np.array([0, 0, 2]))
    assert weights == pytest.approx(np.array([1, 4, 9]) / 14)


def test_a_snapshot_is_a_copy_without_gradients():
    policy = Always(2)
    policy.logits.sum().backward()
    copied = snapshot(policy)
    with torch.no_grad():
        policy.logits.zero_()
    assert copied.logits.argmax() == 2
    assert copied.logits.grad is None
    assert not copied.logits.requires_grad
    assert policy.logits.requires_grad
    assert policy.logits.grad is not None


def test_ratings_follow_the_games():
    """Equals: a win brings k / 2, a draw nothing. A snapshot begins where the learner is."""
    pool = OpponentPool("still", "still", k=8)
    seated, both = pool.seated(2), np.array([True, True])
    seated.reset(both, np.random.default_rng(0))
    seated.playing[:] = pool.members
    seated.finish(both, np.array([0.0, -3.0]))  # the members' scores
    assert pool.rating == seated.rating == 4
    assert [member.rating for member in pool] == [0, -4]
    assert pool.add(Always(1)).rating == 4
    assert pool.add("random").rating == 0
    seated.finish(np.array([True, False]), np.array([2.0, 0.0]))
    expected = 1 / (1 + 10 ** (-4 / 400))
    assert pool.rating == pytest.approx(4 - 8 * expected)
    assert pool.members[0].rating == pytest.approx(8 * expected)


def test_results_are_counted_for_the_member_that_played():
    pool = OpponentPool("random", "follower")
    env = SlimeRally(16, opponent=pool)
    env.reset(seed=0)
    wins = games = 0
    for _ in range(400):
        _, rewards, terminated, _, _ = env.step(np.zeros(16, dtype=int))
        wins += (rewards > 5).sum()
        games += terminated.sum()
    unreported = env._done.sum()  # those of the last step
    weak, strong = pool
    assert games - unreported == weak.won + weak.lost + strong.won + strong.lost
    assert wins - unreported <= weak.won + strong.won <= wins
    assert weak.win_rate > 0.3 > strong.win_rate
    low, high = weak.interval
    assert 0 < low < weak.win_rate < high < 1


def test_a_full_pool_forgets_the_oldest_but_finishes_their_games():
    pool = OpponentPool("still", size=2)
    env = SlimeRally(2, opponent=pool)
    env.reset(seed=0)
    oldest = pool.members[0]
    pool.add("random")
    pool.add("follower")
    assert [member.name for member in pool] == ["random", "follower"]
    assert list(env.opponent.playing) == [oldest] * 2
    for _ in range(300):
        env.step(np.zeros(2, dtype=int))
    assert oldest.won + oldest.lost == 2
    assert not set(env.opponent.playing) & {oldest}
    assert len(env.opponent.seats) <= 2


def test_a_pool_pickles_and_is_decided_by_the_seed():
    def play(env):
        return [env.step(np.full(4, 1))[0] for _ in range(200)]

    envs = [SlimeRally(4, opponent=OpponentPool("still", "random", "follower")) for _ in range(2)]
    for env in envs:
        env.reset(seed=3)
    first, again = map(play, envs)
    assert np.array_equal(first, again)
    twin = pickle.loads(pickle.dumps(envs[0]))
    assert np.array_equal(play(envs[0]), play(twin))


def test_a_pool_says_what_is_wrong():
    with pytest.raises(ValueError, match="uniform"):
        OpponentPool(rule="best")
    with pytest.raises(ValueError, match="room"):
        OpponentPool(size=0)
    with pytest.raises(ValueError, match="champion"):
        OpponentPool("champion")
    with pytest.raises(TypeError, match="pool"):
        OpponentPool(OpponentPool())
    with pytest.raises(ValueError, match="empty"):
        SlimeVolley(2, opponent=OpponentPool()).reset()


def test_training_against_a_growing_pool():
    env = SlimeRally(8)
    policy = rlx.networks.GRUPolicy(env.single_observation_space, env.single_action_space)
    pool = OpponentPool(policy, rule="latest", size=3)
    agent = rlx.Agent(rlx.envs.make_vec("SlimeRally-v0", 8, opponent=pool), seed=0)
    algorithm = rlx.algos.PPO(agent, policy, n_steps=64)
    callbacks = [lambda algorithm, metrics: pool.add(policy)]
    rlx.train(algorithm, updates=3, progress=False, callbacks=callbacks)
    assert [member.name for member in pool] == ["1", "2", "3"]
    assert agent.env.unwrapped.opponent.members is pool.members
    single = rlx.envs.make("SlimeRally-v0", opponent=pool)
    assert single.unwrapped.batch.opponent.members is pool.members
    weights = [next(member.player.policy.parameters()) for member in pool]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[2], next(policy.parameters()))


# --- Who is better --------------------------------------------------------------------------------


def test_a_match_is_played_from_both_sides():
    result = match("follower", "still", games=20, seed=0)
    assert result.won == 20
    assert (result.scores[:10] > 3).all()
    assert (result.scores[10:] > 3).all()
    assert match("still", "follower", games=4, seed=0).lost == 4
    assert "20 won" in repr(result)
    low, high = result.interval
    assert 0.8 < low < high == 1.0
    with pytest.raises(ValueError, match="even"):
        match("still", "still", games=3)


def test_scores_from_the_left_are_turned_round():
    played = []

    def play(on_right):
        played.append(on_right.tolist())
        return np.array([1.0, 2.0, 3.0, -4.0])

    assert both_sides(play, 4).tolist() == [1, 2, -3, 4]
    assert played == [[True, True, False, False]]


def test_a_match_shows_each_player_its_own_side():
    """Who walks towards the net sees its own x fall on both sides, and the other's stay."""
    seen = []

    def walker(observations):
        seen.append(observations)
        return np.full(len(observations), 1)

    match(walker, "still", games=2, seed=0)
    for t, both in enumerate(seen[:10]):
        assert both[:, 0] == pytest.approx([1.2 - t * 1.75 / 30] * 2)
        assert both[:, 8] == pytest.approx([1.2] * 2)


def test_a_match_repeats_with_its_seed():
    one, two, other = (match("random", "random", 10, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.scores, two.scores)
    assert not np.array_equal(one.lengths, other.lengths)


def test_a_tournament():
    points, ratings = tournament({"a": "still", "b": "follower", "c": "random"}, games=10, seed=0)
    assert (points + points.T == 10 * (1 - np.eye(3))).all()
    assert ratings["b"] > ratings["a"] + 200
    assert ratings["b"] > ratings["c"] + 200
