"""Slime volleyball as an environment: sides, opponents, ends, pictures, two players."""

import copy
import pickle
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from torch.distributions import Bernoulli, Categorical

import rlx
from rlx.envs.slimegame import BUTTONS, LEFT, RIGHT, SlimeGame, as_buttons
from rlx.envs.slimeplayers import (
    Follower,
    Player,
    PolicyPlayer,
    Random,
    Still,
    as_player,
    buttons_of,
)
from rlx.envs.slimevolley import (
    SlimeRally,
    SlimeVolley,
    SlimeVolleyEnv,
    SlimeVolleyTwo,
)

BOX, SIX = SlimeVolley().single_observation_space, spaces.Discrete(6)


def falling(B, x):
    """A state in which the ball is about to land at `x` (B,)."""
    ball = np.zeros((B, 4))
    ball[:, 0], ball[:, 1] = x, 2.0
    return {"ball": ball, "previous_x": ball[:, 0], "delay": np.zeros(B, dtype=int)}


# --- The environment ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SlimeVolley-v0", "SlimeRally-v0"])
@pytest.mark.parametrize("kwargs", [{}, {"actions": "buttons", "side": "left"}])
@pytest.mark.filterwarnings("error")
def test_check_env(name, kwargs):
    check_env(rlx.envs.make(name, **kwargs, render_mode="rgb_array").unwrapped)


def test_spaces_and_defaults():
    env = rlx.envs.make("SlimeVolley-v0")
    assert env.action_space == SIX
    assert env.observation_space.shape == (12,)
    assert env.spec.max_episode_steps == 3000
    buttons = rlx.envs.make_vec("SlimeVolley-v0", 7, actions="buttons")
    assert buttons.single_action_space == spaces.MultiBinary(3)
    assert type(buttons.unwrapped) is SlimeVolley
    assert buttons.unwrapped.max_episode_steps == 3000
    assert isinstance(buttons.unwrapped.opponent, Follower)
    assert isinstance(rlx.envs.make_vec("SlimeRally-v0", 2).unwrapped.opponent, Random)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("actions", ["discrete", "buttons"])
def test_it_is_the_game_seen_from_one_side(side, actions):
    """Same serves, same opponent: a game played by hand gives the same numbers."""
    B, me = 5, ("left", "right").index(side)
    env = SlimeVolley(
        B,
        side=side,
        actions=actions,
        opponent=lambda seen: np.where(seen[:, 4] > seen[:, 0], 4, 2),
    )
    observations, _ = env.reset(seed=3)
    game = SlimeGame(B)
    game.rng = copy.deepcopy(env.np_random)
    game.state = env.state
    rng = np.random.default_rng(0)
    for _ in range(300):
        views = game.observations().astype(np.float32)
        assert np.array_equal(observations, views[me])
        chosen = rng.integers(6, size=B)
        theirs = BUTTONS[np.where(views[1 - me][:, 4] > views[1 - me][:, 0], 4, 2)]
        pressed = [BUTTONS[chosen]] * 2
        pressed[1 - me] = theirs
        points = game.step(*pressed)
        action = chosen if actions == "discrete" else BUTTONS[chosen]
        observations, rewards, terminated, truncated, infos = env.step(action)
        assert np.array_equal(rewards, points if me == RIGHT else -points)
        assert np.array_equal(infos["lives"], game.lives[me])
        assert np.array_equal(infos["opponent_lives"], game.lives[1 - me])
        assert not (terminated | truncated).any()
    assert (game.lives < 5).any()


def test_an_episode_ends_with_the_last_life():
    env = SlimeVolley(2, opponent="still")
    env.reset(seed=0)
    env.state = falling(2, [-5.0, 5.0]) | {"lives": np.array([[1, 3], [3, 2]])}
    seen = env._observe()
    observations, rewards, terminated, truncated, infos = env.step(np.array([1, 1]))
    assert rewards.tolist() == [1.0, -1.0]
    assert terminated.tolist() == [True, False]
    assert not truncated.any()
    assert infos["opponent_lives"].tolist() == [0, 3]
    assert np.array_equal(observations, seen)  # stale, the last one included
    observations, rewards, terminated, _, infos = env.step(np.array([1, 1]))
    assert (rewards[0], terminated[0], infos["lives"][0]) == (0.0, False, 5)
    assert observations[0, [0, 1, 4, 5, 8]] == pytest.approx([1.2, 0.15, 0, 1.2, 1.2])


@pytest.mark.parametrize("name", ["SlimeVolley-v0", "SlimeRally-v0"])
def test_an_episode_is_cut_after_3000_steps(name):
    env = rlx.envs.make_vec(name, 2, opponent="still")
    env.reset(seed=0)
    game = env.unwrapped
    state = game.state | {"time": np.array([2998, 0]), "delay": np.array([30, 30])}
    game.state = state
    assert not env.step(np.zeros(2, dtype=int))[3].any()
    _, _, terminated, truncated, _ = env.step(np.zeros(2, dtype=int))
    assert truncated.tolist() == [True, False]
    assert not terminated.any()


def test_the_rally_variant():
    env = SlimeRally(3)
    env.reset(seed=0)
    state = falling(3, [-5.0, 5.0, 5.0])
    state["ball"][2, 1] = 20.0
    env.state = state
    seen = env._observe()
    observations, rewards, terminated, _, _ = env.step(np.zeros(3, dtype=int))
    assert rewards.tolist() == [9.99, -10.01, -0.01]
    assert terminated.tolist() == [True, True, False]
    assert np.array_equal(observations[:2], seen[:2])
    observations, rewards, *_, infos = env.step(np.zeros(3, dtype=int))
    assert rewards.tolist() == [0.0, 0.0, -0.01]
    assert infos["lives"].tolist() == [5, 5, 5]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_held_action_is_that_many_steps_of_the_game(side):
    one, four = (SlimeRally(6, opponent="still", side=side, hold=hold) for hold in (1, 4))
    one.reset(seed=0)
    four.reset(seed=0)
    for action in [1, 2, 5, 0, 3, 4, 1] * 2:  # 56 steps: nobody has scored yet
        for _ in range(4):
            seen, _, ended, _, _ = one.step(np.full(6, action))
            assert not ended.any()
        again, rewards, _, _, _ = four.step(np.full(6, action))
        assert np.array_equal(again, seen)
        assert rewards == pytest.approx([-0.04] * 6)
    assert (four.steps == 14).all()
    assert (four.game.time == 56).all()
    four.state = four.state
    assert (four.steps == 14).all()


def test_who_is_faced_keeps_its_action_as_well_and_a_point_counts_once():
    asked = []

    def counts(seen):
        asked.append(len(seen))
        return np.zeros(len(seen), dtype=int)

    env = SlimeVolley(5, opponent=counts, hold=7)
    env.reset(seed=0)
    rewards = [env.step(np.zeros(5, dtype=int))[1] for _ in range(60)]
    assert len(asked) == 60
    lost = 10 - env.game.lives.sum(axis=0)
    assert (np.abs(rewards).sum(axis=0) == lost).all()
    assert set(np.unique(rewards)) == {-1.0, 0.0, 1.0}
    for hold in (0, 16, 2.5):
        with pytest.raises(ValueError, match="from 1 to 15"):
            SlimeVolley(1, hold=hold)


def test_the_opponent_of_a_rally_sees_its_own_view():
    """The original fed it a mixture of the learner's: an array that aliased what it overwrote."""
    seen = []

    def opponent(observations):
        seen.append(observations)
        return np.zeros(2, dtype=int)

    env = SlimeRally(2, opponent=opponent)
    mine, _ = env.reset(seed=0)
    for _ in range(40):
        views = env.game.observations().astype(np.float32)
        env.step(np.array([1, 5]))
        assert np.array_equal(seen[-1], views[LEFT])
        own, ball, other = np.split(mine, 3, axis=1)
        mirrored = np.hstack([other, ball * np.float32([-1, 1, -1, 1]), own])
        assert np.array_equal(mirrored, seen[-1])
        mine = env._observe()
    assert not any(np.shares_memory(a, b) for a, b in pairwise(seen))


def test_nothing_that_was_handed_out_changes_later():
    handed = []

    def careless(observations):
        handed.append(observations)
        kept.append(observations.copy())
        return np.zeros(len(observations), dtype=int)

    kept = []
    env = SlimeVolley(3, opponent=careless)
    handed.append(env.reset(seed=0)[0])
    kept.append(handed[-1].copy())
    for _ in range(100):
        handed.append(env.step(np.array([1, 2, 3]))[0])
        kept.append(handed[-1].copy())
    assert all(np.array_equal(a, b) for a, b in zip(handed, kept))
    for array in handed:
        array[:] = 99
    assert (env.step(np.array([1, 2, 3]))[0] < 99).all()


def test_positions_can_be_replayed_in_the_environment():
    env = SlimeVolley(4, opponent="follower")
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(6, size=(200, 4))
    for action in actions[:50]:
        env.step(action)
    state, steps = env.state, env.steps.copy()
    rng = copy.deepcopy(env.np_random)
    first = [env.step(action)[0] for action in actions[50:]]
    env.game.rng, env.state = rng, state
    assert np.array_equal(env.steps, steps)
    again = [env.step(action)[0] for action in actions[50:]]
    assert all(np.array_equal(a, b) for a, b in zip(first, again))


@pytest.mark.parametrize("opponent", ["still", "random", "follower"])
def test_seeds_decide_everything_and_a_pickle_goes_on(opponent):
    def play(env, n=150):
        return np.array([env.step(a)[0] for a in actions[:n]])

    actions = np.random.default_rng(0).integers(6, size=(150, 3))
    envs = [SlimeVolley(3, opponent=opponent) for _ in range(3)]
    for env, seed in zip(envs, (1, 1, 2)):
        env.reset(seed=seed)
    first, again, other = map(play, envs)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    twin = pickle.loads(pickle.dumps(envs[0]))
    assert np.array_equal(play(envs[0]), play(twin))


def test_one_court_alone_and_in_a_batch():
    """The single environment is the same game, from the same state, to the end."""
    env, one = SlimeVolley(1, opponent="follower"), SlimeVolleyEnv(opponent="follower")
    env.reset(seed=5)
    one.reset(seed=5)
    assert env.state["ball"].tolist() == one.batch.state["ball"].tolist()
    actions = np.random.default_rng(0).integers(6, size=3000)
    for action in actions:
        ours, theirs = env.step(np.array([action])), one.step(action)
        assert np.array_equal(ours[0][0], theirs[0])
        assert (ours[1][0], ours[2][0]) == theirs[1:3]
        if theirs[2]:
            break
    else:
        pytest.fail("random actions survived")


def test_errors_name_the_trouble():
    with pytest.raises(ValueError, match="side"):
        SlimeVolley(side="middle")
    with pytest.raises(ValueError, match="buttons"):
        SlimeVolley(actions="dance")
    with pytest.raises(ValueError, match="follower"):
        SlimeVolley(opponent="champion")
    with pytest.raises(TypeError, match="opponent"):
        SlimeVolley(opponent=3)
    env = SlimeVolley(2, opponent=lambda seen: np.zeros((2, 2)))
    env.reset()
    with pytest.raises(ValueError, match="actions must be"):
        env.step(np.array([0, 0]))
    env = SlimeVolley(2, opponent=lambda seen: np.zeros(1, dtype=int))
    env.reset()
    with pytest.raises(ValueError, match="1 actions for 2 rows"):
        env.step(np.array([0, 0]))


# --- Players --------------------------------------------------------------------------------------


def duel(right, left, B=100, seed=0):
    """Mean score of `right`, and mean length, over B games."""
    env = SlimeVolley(B, opponent=left, actions="buttons")
    observations, _ = env.reset(seed=seed)
    player = as_player(right, B)
    player.reset(np.ones(B, dtype=bool), np.random.default_rng(seed))
    score, over, length = np.zeros(B), np.zeros(B, dtype=bool), np.zeros(B)
    while not over.all():
        step = env.step(buttons_of(player, observations))
        observations, rewards, terminated, truncated, _ = step
        score += rewards * ~over
        length += ~over
        over |= terminated | truncated
    return score.mean(), length.mean()


def test_random_players_are_as_good_as_the_original_s():
    """The original, 1000 games of random against random: mean +0.04, std 2.8, length 630."""
    score, length = duel("random", "random", 400)
    assert abs(score) < 4 * 2.8 / 20
    assert length == pytest.approx(630, abs=25)


def test_the_follower_is_about_as_good_as_the_original_s_own_player():
    """That one, the recurrent baseline, beats random players by 4.9."""
    for right, left, expected in (("follower", "random", 4.9), ("random", "follower", -4.9)):
        score, length = duel(right, left, 60)
        assert score == pytest.approx(expected, abs=0.3)
        assert length == pytest.approx(620, abs=60)


def test_still_is_still():
    assert not Still()(np.zeros((4, 12))).any()


class Remembers(rlx.Parametric):
    """Its memory counts the steps of the game; it presses forward on even ones, jumps on odd."""

    def __init__(self, parts=1):
        super().__init__()
        self.parts, self.seen = parts, []

    def forward(self, *states):
        memory, x = states
        if memory is None:
            memory = torch.zeros(len(x), 1)
            memory = memory if self.parts == 1 else (memory, memory)
        count = memory if self.parts == 1 else memory[0]
        self.seen.append(count[:, 0].tolist())
        logits = torch.full((len(x), 6), -1e9)
        logits[torch.arange(len(x)), (count[:, 0].long() % 2) * 2 + 1] = 0.0
        after = count + 1 if self.parts == 1 else (count + 1, -count)
        return after, rlx.ActionDistribution(Categorical(logits=logits))


@pytest.mark.parametrize("parts", [1, 2])
def test_a_recurrent_opponent_has_a_memory_for_each_court(parts):
    policy = Remembers(parts)
    env = SlimeVolley(3, opponent=policy)
    env.reset(seed=0)
    env.step(np.zeros(3, dtype=int))
    env.state = falling(3, [5.0, 5.0, 0.0]) | {
        "lives": np.array([[1, 1], [5, 5], [5, 5]]),
        "delay": np.array([0, 0, 9]),
    }
    for _ in range(4):
        env.step(np.zeros(3, dtype=int))
    # court 0 ended with step 1; step 2 only began its next game
    assert policy.seen == [[0] * 3, [1] * 3, [2] * 3, [0, 3, 3], [1, 4, 4]]
    env.reset(options={"reset_mask": np.array([False, True, False])})
    env.step(np.zeros(3, dtype=int))
    assert policy.seen[-1] == [2, 0, 5]


def test_two_environments_do_not_share_a_memory():
    player = PolicyPlayer(Remembers())
    one, two = SlimeVolley(2, opponent=player), SlimeVolley(3, opponent=player)
    for env in (one, two):
        env.reset(seed=0)
    one.step(np.zeros(2, dtype=int))
    two.step(np.zeros(3, dtype=int))
    one.step(np.zeros(2, dtype=int))
    assert player.policy.seen == [[0, 0], [0, 0, 0], [1, 1]]


@pytest.mark.parametrize("kind", ["six", "buttons", "three"])
@pytest.mark.parametrize("greedy", [False, True])
def test_policies_of_every_kind_play(kind, greedy):
    """Logits that prefer jumping, with probability 0.9 or so; a greedy player always jumps."""

    class Jumper(rlx.Parametric):
        def forward(self, *states):
            B = len(states[1])
            six = torch.tensor([0.0, 0, 0, 4, 0, 0]).expand(B, 6)
            three = torch.tensor([-3.0, -3, 3]).expand(B, 3)
            pairs = [Categorical(logits=torch.stack([-b / 2, b / 2], -1)) for b in three.T]
            dist = {
                "six": (Categorical(logits=six),),
                "buttons": (Bernoulli(logits=three),),
                "three": pairs,
            }
            return None, rlx.ActionDistribution(*dist[kind])

    torch.manual_seed(0)
    buttons = as_buttons(PolicyPlayer(Jumper(), greedy)(np.zeros((500, 12), dtype=np.float32)))
    jumping = (buttons > 0)[:, 2].mean()
    assert jumping == 1.0 if greedy else 0.85 < jumping < 1.0
    assert (buttons > 0)[:, :2].any() != greedy
    env = SlimeVolley(4, opponent=PolicyPlayer(Jumper(), greedy))
    env.reset(seed=0)
    env.step(np.zeros(4, dtype=int))


def test_an_opponent_runs_without_gradient_and_a_copy_is_frozen():
    policy = rlx.networks.GRUPolicy(BOX, SIX)
    player = as_player(copy.deepcopy(policy), 2)
    seen = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    player(seen)
    assert not any(part.requires_grad for part in player.memory)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 1
    assert not torch.equal(next(policy.parameters()), next(player.policy.parameters()))


class Recorder(Player):
    """Writes down what it is told."""

    def __init__(self):
        self.games, self.results = [], []

    def reset(self, rows, rng):
        self.games.append(rows.tolist())

    def finish(self, rows, scores):
        self.results.append((rows.tolist(), scores[rows].tolist()))

    def __call__(self, observations):
        return np.zeros(len(observations), dtype=int)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_players_hear_of_games_that_were_finished_only(mode):
    player = Recorder()
    env = SlimeVolley(2, opponent=player, autoreset_mode=mode)
    env.reset(seed=0)
    assert player.results == []
    env.step(np.zeros(2, dtype=int))
    env.reset()  # broken off
    assert player.results == []
    env.state = falling(2, [-5.0, 5.0]) | {"lives": np.array([[1, 3], [3, 2]])}
    env.step(np.zeros(2, dtype=int))
    if mode == "Disabled":
        env.reset(options={"reset_mask": np.array([True, False])})
    else:
        env.step(np.zeros(2, dtype=int))
    # one point each was seen; a step that only begins the next game adds none
    assert player.results == [([True, False], [-1.0])]
    assert player.games == [[True, True], [True, True], [True, False]]


def test_agents_train_against_each_other():
    policy = rlx.networks.MLPPolicy(BOX, SIX)
    env = rlx.envs.make_vec("SlimeRally-v0", 8, opponent=copy.deepcopy(policy))
    algorithm = rlx.algos.PPO(rlx.Agent(env, seed=0), policy, n_steps=100)
    history = rlx.train(algorithm, updates=2, progress=False)
    assert np.isfinite(history["policy_loss"]).all()
    assert history["episodes"][-1] > 0


def test_a_single_environment_with_a_policy_on_the_other_side_has_a_spec():
    policy = rlx.networks.MLPPolicy(BOX, SIX)
    env = rlx.envs.make("SlimeVolley-v0", opponent=policy)
    twin = gymnasium.make(env.spec)
    twin.reset(seed=0)
    assert twin.step(0)[0].shape == (12,)
    assert rlx.Agent(env)(policy).episode(horizon=20).lengths == [21]


# --- Pictures -------------------------------------------------------------------------------------


def colours(frame):
    return {tuple(colour) for colour in frame.reshape(-1, 3)}


def test_a_picture():
    env = SlimeVolley(2, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert len(before) == 2
    assert before[0].shape == (300, 600, 3)
    assert before[0].dtype == np.uint8
    env.state = {"left": np.array([[-20.0, 3, 0, 0], [-12, 1.5, 0, 0]])}
    after = env.render()
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    blue, orange = (0, 114, 178), (230, 159, 0)
    for colour, half in ((blue, after[0][:, :300]), (orange, after[0][:, 300:])):
        assert colour in colours(half)
    assert blue not in colours(after[0][:, 300:])
    assert SlimeVolley(1).render() is None


def test_a_life_that_is_lost_and_a_ball_beyond_the_top_show():
    env = SlimeVolleyEnv(render_mode="rgb_array")
    env.reset(seed=0)
    whole = env.render()
    env.batch.state = {"lives": np.array([[5, 4]])}
    changed = (env.render() != whole).any(axis=2)
    assert changed.any()
    assert not changed[:, :300].any()
    assert not changed[60:].any()
    env.batch.state = {"ball": np.array([[3.0, 40.0, 0.0, 0.0]])}
    assert env.render()[0, 337].max() < 150  # a mark at the top


@pytest.mark.parametrize("x", [-30.0, -24.0, 0.0, 24.0, 30.0])
def test_drawing_takes_any_state(x):
    env = SlimeVolleyEnv(render_mode="rgb_array")
    env.reset(seed=0)
    for y in (-5.0, 0.0, 24.0, 60.0):
        env.batch.state = {name: np.array([[x, y, 0.0, 0.0]]) for name in ("ball", "left", "right")}
        assert env.render().shape == (300, 600, 3)


# --- For two --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{}, {"rally": True, "actions": "buttons"}, {"max_steps": 50}])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pettingzoo_s_own_test(kwargs):
    test = pytest.importorskip("pettingzoo.test")
    test.parallel_api_test(SlimeVolleyTwo(**kwargs, render_mode="rgb_array"), num_cycles=1000)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pettingzoo_s_own_test_of_seeds():
    test = pytest.importorskip("pettingzoo.test")
    test.parallel_seed_test(SlimeVolleyTwo, num_cycles=300)


@pytest.mark.parametrize("rally", [False, True])
def test_two_players_are_the_two_sides_of_one_game(rally):
    two = SlimeVolleyTwo(rally=rally)
    observations, infos = two.reset(seed=1)
    game = SlimeGame(1)
    game.state = two.game.state
    game.rng = copy.deepcopy(two.game.rng)
    rng, total = np.random.default_rng(0), 0.0
    while two.agents:
        assert two.agents == ["left", "right"]
        views = game.observations()[:, 0].astype(np.float32)
        assert np.array_equal(observations["left"], views[LEFT])
        assert np.array_equal(observations["right"], views[RIGHT])
        left, right = rng.integers(6, size=2)
        (point,) = game.step(BUTTONS[[left]], BUTTONS[[right]])
        observations, rewards, terminated, truncated, infos = two.step(
            {"right": right, "left": left}
        )
        if rally:
            assert rewards == {"left": -10 * point - 0.01, "right": 10 * point - 0.01}
        else:
            assert rewards == {"left": -point, "right": point}
        total += point
    assert terminated == {"left": True, "right": True}
    assert truncated == {"left": False, "right": False}
    assert infos["left"]["lives"] == game.lives[LEFT, 0] == infos["right"]["opponent_lives"]
    assert abs(total) >= 1
    with pytest.raises(ResetNeeded):
        two.step({"left": 0, "right": 0})


def test_a_game_for_two_is_cut_at_its_limit():
    two = SlimeVolleyTwo(max_steps=10)
    two.reset(seed=0)
    for _ in range(10):
        _, _, terminated, truncated, _ = two.step({"left": 0, "right": 0})
    assert truncated == {"left": True, "right": True}
    assert terminated == {"left": False, "right": False}
    assert two.agents == []


@pytest.mark.parametrize("right", [{}, {"right": 6}, {"right": -1}])
def test_a_missing_or_wrong_action_is_an_error(right):
    two = SlimeVolleyTwo()
    two.reset(seed=0)
    with pytest.raises(ValueError, match="right action"):
        two.step({"left": 0} | right)
