"""The environments: gymnasium's contract, our native ones against SyncVectorEnv, and names."""

import copy
import pickle
import re
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlx.envs import (
    BatchedEnv,
    HideObservation,
    SingleEnv,
    VectorHideObservation,
    make,
    make_vec,
    probes,
)
from rlx.envs.reach import Reach
from rlx.envs.recall import Recall
from rlx.envs.shoot import Shoot

MODES = list(AutoresetMode)
OURS = [
    "RecallBoth-v0",
    "RecallContinuous-v0",
    "Recall-v0",
    "CueBoth-v0",
    "CueContinuous-v0",
    "Cue-v0",
    "Reach-v0",
]
PROBES = [f"Probe{kind.capitalize()}-v0" for kind in probes.KINDS]
# Chance plays a part within an episode, too: their dynamics have tests of their own.
CHANCE = ["Shoot-v0", "SlimeVolley-v0", "SlimeRally-v0"]
HIDDEN = [
    "IncompleteCartPole-v0",
    "IncompleteCartPole-v1",
    "PositionCartPole-v1",
    "PositionPendulum-v1",
]
VARIANTS = [(name, {}) for name in OURS + PROBES] + [
    ("ProbeAction-v0", {"actions": "continuous"}),
    ("ProbeBoth-v0", {"actions": "continuous"}),
    ("ProbeDelay-v0", {"actions": "continuous"}),
    ("Recall-v0", {"actions": "multidiscrete"}),
    ("Recall-v0", {"delay": 0}),
    ("Reach-v0", {"actions": "discrete"}),
    ("Reach-v0", {"actions": "both"}),
    ("Reach-v0", {"terminate_at": 0.6}),
    ("Reach-v0", {"actions": "both", "terminate_at": 0.6}),
]


class Countdown(BatchedEnv):
    """No chance in it: counts down from 5 by the action, ends at 0, and reports its state."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}

    def __init__(self, num_envs=1, **kwargs):
        box = spaces.Box(-5, 5, (2,), dtype=np.float32)
        super().__init__(num_envs, box, spaces.Discrete(3), **kwargs)
        self.state = np.zeros((num_envs, 2), dtype=np.float32)
        self.reward = np.zeros(num_envs)  # reused on purpose: the base has to copy it

    def _reset(self, rows):
        self.state[rows] = [5, 0]

    def _step(self, actions):
        self.state[:, 0] -= actions
        self.state[:, 1] = actions
        self.reward[:] = actions
        return self.reward, self.state[:, 0] <= 0

    def _observe(self):
        return self.state  # the internal buffer, on purpose

    def _info(self):
        return {"left": self.state[:, 0].astype(np.float64), "both": self.state}

    def render(self):
        return tuple(np.full((4, 4, 3), row[0] + 5, dtype=np.uint8) for row in self.state)


class CountdownEnv(SingleEnv):
    batched = Countdown


gymnasium.register("test/Countdown-v0", CountdownEnv, vector_entry_point=Countdown)


def same(a, b):
    """Equal, with the same types, all the way down (object arrays included)."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray) and a.dtype == object:
        return a.shape == b.shape and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


def sync(name, num_envs, mode=AutoresetMode.NEXT_STEP, **kwargs):
    vector_kwargs = {"autoreset_mode": mode}
    return make_vec(
        name, num_envs, vectorization_mode="sync", vector_kwargs=vector_kwargs, **kwargs
    )


# --- The native base, against SyncVectorEnv -------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", [None, 4])
def test_a_native_env_does_what_sync_vector_env_does(mode, limit):
    """Everything, exactly, infos included; but gymnasium reports truncated beside terminated."""
    ours = Countdown(4, autoreset_mode=mode, max_episode_steps=limit)
    theirs = sync("test/Countdown-v0", 4, mode, max_episode_steps=limit)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata == theirs.metadata
    assert same(ours.reset(), theirs.reset())
    rng = np.random.default_rng(0)
    ends = np.zeros(2, dtype=int)
    for _ in range(60):
        actions = rng.integers(3, size=4)
        mine, others = ours.step(actions), theirs.step(actions)
        np.logical_and(others[3], ~others[2], out=others[3])
        assert same(mine, others)
        ends += mine[2].sum(), mine[3].sum()
        done = mine[2] | mine[3]
        if mode is AutoresetMode.DISABLED and done.any():
            mine, others = [e.reset(options={"reset_mask": done.copy()}) for e in (ours, theirs)]
            assert same(mine, others)
    assert ends[0] > 0
    assert (ends[1] > 0) == (limit is not None)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "kwargs"), VARIANTS)
def test_native_and_single_dynamics_agree_step_by_step(name, kwargs, mode):
    """From the same state: beginnings are drawn differently, so the native ones are copied over."""
    ours = make_vec(name, 5, autoreset_mode=mode, **kwargs)
    theirs = sync(name, 5, mode, **kwargs)

    def copy_state():
        for row, env in enumerate(theirs.envs):
            single = env.unwrapped.batch
            for key, value in vars(ours).items():
                if isinstance(value, np.ndarray) and key not in ("steps", "_done", "_all"):
                    getattr(single, key)[0] = value[row]

    observations, _ = ours.reset(seed=3)
    theirs.reset(seed=4)
    ours.action_space.seed(5)
    begun = np.ones(5, dtype=bool)  # rows whose observation is the first of an episode
    for _ in range(70):
        copy_state()
        seen = np.stack([env.unwrapped.batch._observations()[0] for env in theirs.envs])
        assert same(observations[begun], seen[begun])
        actions = ours.action_space.sample()
        was_done = ours._done
        observations, rewards, terminated, truncated, infos = ours.step(actions)
        others, other_rewards, other_terminated, other_truncated, other_infos = theirs.step(actions)
        assert same(rewards, other_rewards)
        assert same(terminated, other_terminated)
        assert same(truncated, other_truncated & ~other_terminated)
        assert infos.keys() == other_infos.keys()
        done = terminated | truncated
        if mode is AutoresetMode.SAME_STEP:
            begun = done
            assert same(infos, other_infos)
        elif mode is AutoresetMode.NEXT_STEP:
            begun = was_done
        else:
            begun = np.zeros(5, dtype=bool)
        assert same(observations[~begun], others[~begun])
        if mode is AutoresetMode.DISABLED and done.any():
            observations, _ = ours.reset(options={"reset_mask": done})
            theirs.reset(options={"reset_mask": done.copy()})
            begun = done


def test_next_step_mode_ghost_step():
    """After a done: action ignored, reward 0, no flags, and the fresh observation."""
    env = Countdown(2)
    env.reset()
    for actions in ([2, 0], [2, 0], [1, 0]):
        *_, terminated, _, _ = env.step(np.array(actions))
    assert terminated.tolist() == [True, False]
    observations, rewards, terminated, truncated, _ = env.step(np.array([2, 2]))
    assert observations.tolist() == [[5, 0], [3, 2]]
    assert rewards.tolist() == [0, 2]
    assert not (terminated | truncated).any()
    assert env.steps.tolist() == [0, 4]
    assert env.step(np.array([1, 1]))[0].tolist() == [[4, 1], [2, 1]]


def test_same_step_mode_reports_the_final_observation():
    env = Countdown(3, autoreset_mode="SameStep", max_episode_steps=3)
    env.reset()
    for _ in range(2):
        *_, infos = env.step(np.array([2, 2, 0]))
        assert "final_obs" not in infos
    observations, rewards, terminated, truncated, infos = env.step(np.array([2, 1, 0]))
    assert (terminated.tolist(), truncated.tolist()) == ([True, True, False], [False, False, True])
    assert rewards.tolist() == [2, 1, 0]
    assert observations.tolist() == [[5, 0]] * 3
    assert [row.tolist() for row in infos["final_obs"]] == [[-1, 2], [0, 1], [5, 0]]
    assert infos["_final_obs"].all()
    assert infos["final_info"]["left"].tolist() == [-1, 0, 5]


def test_termination_wins_over_truncation():
    env = Countdown(2, max_episode_steps=3)
    env.reset()
    for _ in range(3):
        *_, terminated, truncated, _ = env.step(np.array([2, 1]))
    assert (terminated.tolist(), truncated.tolist()) == ([True, False], [False, True])


def test_disabled_mode_refuses_to_step_a_finished_row():
    env = Countdown(2, autoreset_mode=AutoresetMode.DISABLED, max_episode_steps=1)
    env.reset()
    env.step(np.array([0, 0]))
    env.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match=r"rows \[1\]"):
        env.step(np.array([0, 0]))
    env.reset(options={"reset_mask": np.array([False, True])})
    env.step(np.array([0, 0]))


@pytest.mark.parametrize("mode", MODES)
def test_stepping_before_reset_is_an_error(mode):
    with pytest.raises(ResetNeeded):
        Countdown(2, autoreset_mode=mode).step(np.array([0, 0]))


@pytest.mark.parametrize(
    "mask", [[True, False], np.array([1, 0]), np.zeros(2, bool), np.ones(3, bool)]
)
def test_a_wrong_reset_mask_is_an_error(mask):
    env = Countdown(2)
    env.reset()
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": mask})


def test_a_reset_mask_is_left_alone_and_resets_only_its_rows():
    env = Countdown(3, autoreset_mode="Disabled")
    env.reset()
    env.step(np.array([1, 1, 1]))
    options = {"reset_mask": np.array([False, True, False])}
    observations, infos = env.reset(options=options)
    assert observations.tolist() == [[4, 1], [5, 0], [4, 1]]
    assert infos["_left"].tolist() == [False, True, False]
    assert env.steps.tolist() == [1, 0, 1]
    assert options["reset_mask"].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("kwargs", "actions"),
    [
        ({"actions": "discrete"}, np.zeros((3, 1), dtype=int)),
        ({"actions": "continuous"}, np.zeros(3)),
        ({"actions": "both"}, (np.zeros(3, dtype=int), np.zeros(3))),
        ({"actions": "both"}, (np.zeros(3, dtype=int),)),
    ],
)
def test_actions_that_would_broadcast_are_an_error(kwargs, actions):
    env = Recall(3, **kwargs)
    env.reset()
    with pytest.raises(ValueError, match=r"shape|shorter"):
        env.step(actions)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_that_was_returned_changes_later(mode):
    env = Countdown(2, autoreset_mode=mode, max_episode_steps=3)
    kept = [env.reset()]
    then = copy.deepcopy(kept)
    for _ in range(8):
        done = env._done
        if mode is AutoresetMode.DISABLED and done.any():
            env.reset(options={"reset_mask": done})
        kept.append(env.step(np.array([1, 2])))
        then.append(copy.deepcopy(kept[-1]))
    assert same(tuple(kept), tuple(then))
    kept[-1][0][:] = 99  # and writing into it does no harm
    assert (env.state < 99).all()


def test_minus_one_is_no_limit():
    env = make_vec("Reach-v0", 2, max_episode_steps=-1)
    env.reset(seed=0)
    assert not any(env.step(np.zeros((2, 1)))[3].any() for _ in range(50))


def test_the_single_env_has_no_time_limit_of_its_own():
    env = make("Reach-v0")
    env.reset(seed=0)
    flags = [env.step(np.zeros(1, dtype=np.float32))[3] for _ in range(30)]
    assert flags == [False] * 29 + [True]
    env.reset()
    assert not env.step(np.zeros(1, dtype=np.float32))[3]
    short = make("Reach-v0", max_episode_steps=2)
    short.reset()
    assert [short.step(np.zeros(1, dtype=np.float32))[3] for _ in range(2)] == [False, True]


def test_a_finished_single_env_refuses_to_step():
    env = make("Recall-v0", delay=0)
    env.reset(seed=0)
    assert env.step(0)[2]
    with pytest.raises(ResetNeeded):
        env.step(0)


def test_rendering_goes_through():
    env = make("test/Countdown-v0", render_mode="rgb_array")
    env.reset()
    assert env.render().shape == (4, 4, 3)
    assert env.metadata["render_fps"] == 7
    assert len(Countdown(3, render_mode="rgb_array").render()) == 3
    assert Countdown.metadata == {"render_modes": ["rgb_array"], "render_fps": 7}


def test_environments_pickle():
    env = make_vec("RecallBoth-v0", 3)
    env.reset(seed=0)
    twin = pickle.loads(pickle.dumps(env))
    env.action_space.seed(0)
    for _ in range(12):
        actions = env.action_space.sample()
        assert same(env.step(actions), twin.step(actions))


# --- Every registered environment -----------------------------------------------------------------

# What gymnasium's checker says of any wrapper, and of CartPole's and Pendulum's own spaces ...
EXPECTED = r"different from the unwrapped|is -?infinity|normalized space"
# ... and of v0, which it builds again by name, past our `make`.
EXPECTED_V0 = rf"{EXPECTED}|IncompleteCartPole-v0 is out of date"


@pytest.mark.parametrize("name", OURS + PROBES + CHANCE + HIDDEN)
def test_check_env(name):
    env = make(name)
    while not isinstance(env, (SingleEnv, HideObservation)):  # below gymnasium.make's own wrappers
        env = env.env
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env)
    expected = EXPECTED_V0 if name == "IncompleteCartPole-v0" else EXPECTED
    messages = [str(warning.message) for warning in caught]
    surprises = [m for m in messages if name not in HIDDEN or not re.search(expected, m)]
    assert surprises == []


@pytest.mark.parametrize(("name", "kwargs"), VARIANTS)
def test_check_env_of_the_variants(name, kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(name, **kwargs).unwrapped)


@pytest.mark.parametrize("name", OURS + PROBES + CHANCE + HIDDEN)
def test_seeds_reproduce_and_differ(name):
    def play(env, seed):
        env.action_space.seed(1)
        steps = [env.reset(seed=seed)[0]]
        for _ in range(40):
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            steps += [observation, np.asarray(reward)]
            if isinstance(env, gymnasium.Env) and (terminated or truncated):
                steps.append(env.reset()[0])
        return steps

    for build in (make, lambda name: make_vec(name, 3)):
        first, again, other = play(build(name), 7), play(build(name), 7), play(build(name), 8)
        assert all(np.array_equal(a, b) for a, b in zip(first, again))
        chance = name not in ("ProbeConstant-v0", "ProbeDelay-v0", *PROBES[3:5])
        assert chance != all(np.array_equal(a, b) for a, b in zip(first, other))


@pytest.mark.parametrize("name", OURS + PROBES + CHANCE + HIDDEN)
def test_vector_and_single_spaces_agree(name):
    env, envs = make(name), make_vec(name, 3)
    assert isinstance(envs, SyncVectorEnv) == (name == "PositionPendulum-v1")
    assert envs.single_observation_space == env.observation_space
    assert envs.single_action_space == env.action_space
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert observations.dtype == np.float32
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


# --- Hidden observations --------------------------------------------------------------------------


BOX = spaces.Box(np.array([-1.0, -2, -3]), np.array([1.0, 2, 3]), dtype=np.float64)


class Frozen(gymnasium.Env):
    """Hands out its own state, as a careless environment might."""

    observation_space = BOX
    action_space = spaces.Discrete(2)
    state = np.array([0.1, 0.2, 0.3])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.state, {}

    def step(self, action):
        return self.state, 0.0, False, False, {}


def test_hide_observation_neither_edits_nor_aliases():
    env = HideObservation(Frozen(), keep=[0, 2])
    for observation in (env.reset()[0], env.step(0)[0]):
        assert observation.tolist() == [0.1, 0.3]
        observation[:] = 9
        assert Frozen.state.tolist() == [0.1, 0.2, 0.3]
    whole = HideObservation(Frozen(), keep=[0, 1, 2]).reset()[0]
    assert not np.shares_memory(whole, Frozen.state)


def test_hide_observation_updates_the_space():
    env = HideObservation(Frozen(), keep=[0, 2])
    small = spaces.Box(np.array([-1.0, -3]), np.array([1.0, 3]), dtype=np.float64)
    assert env.observation_space == small
    envs = VectorHideObservation(SyncVectorEnv([Frozen, Frozen]), keep=[-1])
    assert envs.single_observation_space.shape == (1,)
    assert envs.observation_space.shape == (2, 1)
    assert envs.reset()[0].tolist() == [[0.3], [0.3]]


def test_hide_observation_says_what_it_cannot_do():
    with pytest.raises(TypeError, match="Box"):
        HideObservation(make("FrozenLake-v1"), keep=[0])
    with pytest.raises(IndexError):
        HideObservation(Frozen(), keep=[3])
    same_step = SyncVectorEnv([Frozen], autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.raises(ValueError, match="autoreset_mode"):
        VectorHideObservation(same_step, keep=[0])


@pytest.mark.parametrize(
    ("name", "keep", "limit"),
    [
        ("IncompleteCartPole-v0", [0, 1, 2], 200),
        ("IncompleteCartPole-v1", [0, 1, 2], 500),
        ("PositionCartPole-v1", [0, 2], 500),
    ],
)
def test_incomplete_cartpoles_are_cartpole_with_less_to_see(name, keep, limit):
    env, whole = make(name), CartPoleEnv()
    assert np.array_equal(env.reset(seed=1)[0], whole.reset(seed=1)[0][keep])
    for action in (0, 1, 1):
        ours, theirs = env.step(action), whole.step(action)
        assert np.array_equal(ours[0], theirs[0][keep])
        assert ours[1:4] == theirs[1:4]
    envs, wholes = make_vec(name, 6), CartPoleVectorEnv(6, max_episode_steps=limit)
    assert np.array_equal(envs.reset(seed=2)[0], wholes.reset(seed=2)[0][:, keep])
    for _ in range(80):
        actions = (wholes.state[2] + wholes.state[3] > 0).astype(np.int64)
        actions[:3] = 1 - actions[:3]
        ours, theirs = envs.step(actions), wholes.step(actions)
        assert np.array_equal(ours[0], theirs[0][:, keep])
        assert all(np.array_equal(a, b) for a, b in zip(ours[1:4], theirs[1:4]))
    assert envs.unwrapped.max_episode_steps == env.spec.max_episode_steps == limit


def test_incomplete_cartpole_still_renders():
    env = make("IncompleteCartPole-v1", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (400, 600, 3)


def test_the_spec_rebuilds_the_wrapper():
    twin = gymnasium.make(make("PositionCartPole-v1").spec)
    assert twin.reset(seed=0)[0].shape == (2,)


# --- Recall ---------------------------------------------------------------------------------------


def answer(env):
    """The right action for every row, from the state the observation hides."""
    cue = env.cue
    parts = [cue[:, : env.categories].astype(int), cue[:, env.categories :]]
    if not env.levels:
        return parts[0] if env.categories > 1 else parts[0][:, 0]
    if env.levels > 1:
        return tuple(np.hsplit(parts[1], env.levels))
    return (parts[0][:, 0], parts[1]) if env.categories else parts[1]


KINDS = ["discrete", "continuous", "both", "multidiscrete", "boxes"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("visible", [False, True])
def test_recall_shows_the_cue_waits_and_rewards_the_answer(kind, visible):
    env = Recall(50, actions=kind, delay=3, visible=visible, autoreset_mode="Disabled")
    observations, _ = env.reset(seed=0)
    first = observations[:, :-2]
    assert (np.abs(first).max(axis=1) > 0).all()
    for t in range(4):
        shown = visible or t == 0
        assert np.array_equal(observations[:, :-2], first * shown)
        assert (observations[:, -2] == shown).all()
        assert (observations[:, -1] == (t == 3)).all()
        observations, rewards, terminated, truncated, _ = env.step(answer(env))
        assert np.allclose(rewards, t == 3)
        assert (terminated == (t == 3)).all()
        assert not truncated.any()


def test_recall_shows_a_category_as_one_hot_and_a_level_as_it_is():
    env = Recall(20, actions="both", n=3)
    observations, _ = env.reset(seed=0)
    assert np.array_equal(observations[:, :3].argmax(axis=1), env.cue[:, 0])
    assert np.allclose(observations[:, 3], env.cue[:, 1])
    pair = Recall(20, actions="multidiscrete", n=3)
    observations, _ = pair.reset(seed=0)
    assert np.array_equal(observations[:, :6].reshape(20, 2, 3).argmax(axis=2), pair.cue)


def test_recall_scores():
    """One row per case: both right, level half right, category wrong, level too far off."""
    env = Recall(4, actions="both", delay=0)
    env.reset(seed=0)
    env.cue[:] = [1, 0.5]
    category, level = np.array([1, 1, 0, 1]), np.array([[0.5], [0.0], [0.5], [-0.9]])
    assert np.allclose(env.step((category, level))[1], [1.0, 0.5, 0.0, 0.0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_memoryless_score(kind):
    """At the answer all rows look alike, so only constants are left, and the best one is known."""
    B = 20_000
    env = Recall(B, actions=kind, n=3, delay=2, autoreset_mode="Disabled")

    def score(category, level):
        env.reset(seed=0)
        for _ in range(3):
            rewards = env.step(frozen(category, level))[1]
        return rewards.mean()

    def frozen(category, level):
        """The right answer where an argument is None (one of several levels: NaN), else that
        constant."""
        kept = env.cue.copy()
        if category is not None:
            kept[:, : env.categories] = category
        if level is not None:
            kept[:, env.categories :] = np.where(np.isnan(level), kept[:, env.categories :], level)
        cue, env.cue = env.cue, kept
        action = answer(env)
        env.cue = cue
        return action

    env.reset(seed=0)
    for _ in range(2):
        observations = env.step(frozen(None, None))[0]
    assert len(np.unique(observations, axis=0)) == 1
    levels = np.linspace(-1, 1, 9) if env.levels else [0.0]
    constants = {(c, a): score(c, a) for c in range(3) for a in levels}
    assert max(constants.values()) == pytest.approx(env.memoryless_score, abs=0.01)
    expected = {
        "discrete": 1 / 3,
        "continuous": 1 / 2,
        "both": 1 / 6,
        "multidiscrete": 1 / 9,
        "boxes": 1 / 4,
    }
    assert env.memoryless_score == pytest.approx(expected[kind])
    if kind == "both":  # one component frozen at its best constant, the other always right
        assert max(score(c, None) for c in range(3)) == pytest.approx(1 / 3, abs=0.01)
        assert max(score(None, a) for a in levels) == pytest.approx(1 / 2, abs=0.01)
    if kind == "boxes":
        assert max(score(None, [a, np.nan]) for a in levels) == pytest.approx(1 / 2, abs=0.01)
        assert max(score(None, [np.nan, a]) for a in levels) == pytest.approx(1 / 2, abs=0.01)


@pytest.mark.parametrize("name", [name for name in OURS if name[:3] in ("Rec", "Cue")])
def test_solved_is_out_of_reach_without_memory_only_where_memory_is_needed(name):
    env = make(name)
    score, solved = env.unwrapped.batch.memoryless_score, env.spec.reward_threshold
    assert (score < solved - 0.2) if name.startswith("Recall") else (score == 1.0)


def test_unknown_kinds_of_actions_are_an_error():
    for kind in (Recall, Reach):
        with pytest.raises(ValueError, match="continuous"):
            kind(2, actions="dance")


# --- Probes: what is learned in them stands in test_probes.py -------------------------------------


@pytest.mark.parametrize("kind", probes.KINDS)
def test_probes_pay_what_their_table_says(kind):
    env = make_vec(f"Probe{kind.capitalize()}-v0", 50, autoreset_mode="Disabled")
    observations, _ = env.reset(seed=0)
    seen, values, right = probes.solution(kind, 0.5)
    assert set(observations[:, 0]) == ({0.0} if kind == "delay" else set(seen[:, 0]))
    which = np.searchsorted(seen[:, 0], observations[:, 0])
    actions = np.arange(50) % 2 if right is None else right[which]
    total, discount, done = np.zeros(50), 1.0, np.zeros(50, dtype=bool)
    while not done.all():
        _, rewards, terminated, truncated, _ = env.step(actions)
        total, discount, done = total + discount * rewards, discount / 2, terminated | truncated
    assert truncated.all() == (kind == "truncation")
    total += discount * 2 * truncated  # what 1 a step is worth from there on
    assert (total == values[which]).all()
    if right is not None:
        env.reset(seed=0)
        assert (env.step(1 - actions)[1] == -1).all()


def test_probes_with_continuous_actions():
    env = make_vec("ProbeBoth-v0", 3, actions="continuous")
    env.reset(seed=0)
    env.shown[:] = [1, -1, 1]
    assert env.step(np.array([[0.5], [-0.75], [-0.9]]))[1].tolist() == [1, 0, -1]
    env = make_vec("ProbeAction-v0", 2, actions="continuous")
    env.reset(seed=0)
    assert env.step(np.array([[0.5], [0.25]]))[1].tolist() == [1, 0]


def test_probes_that_do_not_exist():
    with pytest.raises(ValueError, match="truncation"):
        probes.solution("everything", 0.5)
    with pytest.raises(ValueError, match="truncation"):
        probes.Probe(kind="everything")
    with pytest.raises(ValueError, match="continuous"):
        probes.Probe(actions="dance")


# --- Reach ----------------------------------------------------------------------------------------


def reach_return(policy, **kwargs):
    env = Reach(2000, autoreset_mode="Disabled", **kwargs)
    observations, _ = env.reset(seed=0)
    total = np.zeros(2000)
    for _ in range(30):
        observations, rewards, terminated, truncated, _ = env.step(policy(observations))
        total += rewards
    assert truncated.all()
    assert not terminated.any()
    return total.mean()


def test_reach_scores():
    rng = np.random.default_rng(0)

    def spring(observations):
        position, velocity, target = observations.T
        return np.clip(8 * (target - position) - 4 * velocity, -1, 1)[:, None]

    def nearest(observations):
        return np.rint(spring(observations)[:, 0]).astype(int) + 1

    def geared(observations):
        force = 2 * spring(observations)
        return force / 2, (np.abs(force[:, 0]) > 1).astype(int)

    assert reach_return(lambda obs: np.zeros((2000, 1))) == pytest.approx(20, abs=0.3)
    assert reach_return(lambda obs: rng.uniform(-1, 1, (2000, 1))) < 19
    assert reach_return(spring) == pytest.approx(27.8, abs=0.2)
    assert reach_return(nearest, actions="discrete") > 26
    assert reach_return(geared, actions="both") > reach_return(spring) + 0.2


def test_reach_stops_at_the_walls():
    env = Reach(1)
    env.reset(seed=0)
    for _ in range(29):
        observations = env.step(np.array([[5.0]]))[0]
    assert observations[0, :2].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("kind", ["continuous", "discrete", "both"])
def test_reach_ends_both_ways(kind):
    env = make_vec("Reach-v0", 8, actions=kind, terminate_at=0.6)
    env.reset(seed=0)
    env.action_space.seed(0)
    terminated, truncated = np.array(
        [env.step(env.action_space.sample())[2:4] for _ in range(100)]
    ).sum(axis=(0, 2))
    assert terminated >= 3
    assert truncated >= 3


# --- Shoot ----------------------------------------------------------------------------------------


def shoot_return(turn, fire):
    """Mean return; `turn` and `fire` get the way to the target, and what is left of it then."""
    env = Shoot(2000, autoreset_mode="Disabled")
    observations, _ = env.reset(seed=0)
    total = np.zeros(2000)
    for _ in range(30):
        way = observations[:, 1] - observations[:, 0]
        turned = turn(way)
        left = way - np.clip(observations[:, 0] + 0.2 * turned, -1, 1) + observations[:, 0]
        observations, rewards, *_ = env.step((turned[:, None], fire(left).astype(int)))
        total += rewards
    return total.mean()


def test_shoot_wants_both_components_used_well():
    rng = np.random.default_rng(0)

    def there(way):
        return np.clip(way / 0.2, -1, 1)

    def anywhere(way):
        return rng.uniform(-1, 1, len(way))

    def when_it_hits(left):
        return np.abs(left) < 0.0999

    def chance(p):
        return lambda left: rng.random(len(left)) < p

    assert shoot_return(there, when_it_hits) == pytest.approx(9.0, abs=0.15)
    for p in (0.3, 0.5, 0.6, 0.7, 1.0):
        assert shoot_return(there, chance(p)) < 5.6
    assert shoot_return(there, chance(0)) == 0
    assert shoot_return(anywhere, when_it_hits) == pytest.approx(0.8, abs=0.15)
    assert shoot_return(np.zeros_like, when_it_hits) == pytest.approx(0.1, abs=0.05)
    assert shoot_return(anywhere, chance(0.5)) == pytest.approx(-2.3, abs=0.15)


def test_shoot_scores():
    env = Shoot(4)
    env.reset(seed=0)
    env.aim[:], env.target[:] = 0.0, [0.25, 0.35, 0.25, 0.9]
    turn = np.array([[1.0], [1.0], [1.0], [7.0]])
    observations, rewards, terminated, _, _ = env.step((turn, np.array([1, 1, 0, 0])))
    assert rewards.tolist() == [1.0, -0.2, 0.0, 0.0]
    assert observations[:, 0] == pytest.approx([0.2] * 4)
    assert observations[0, 1] != np.float32(0.25)
    assert observations[1:, 1] == pytest.approx([0.35, 0.25, 0.9])
    assert not terminated.any()


# --- Names ----------------------------------------------------------------------------------------


def test_bare_names_are_found():
    assert make("IncompleteCartPole-v1").spec.id == "rlx/IncompleteCartPole-v1"
    assert make("rlx/Recall-v0").spec.id == "rlx/Recall-v0"
    assert make("CartPole-v1").spec.id == "CartPole-v1"
    assert make_vec("Recall-v0", 3).spec.id == "rlx/Recall-v0"
    assert make("gymnasium.envs:CartPole-v1").spec.id == "CartPole-v1"
    assert make(gymnasium.spec("CartPole-v1")).spec.id == "CartPole-v1"


@pytest.mark.parametrize("build", [make, make_vec])
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("incompletecartpole-v1", "rlx/IncompleteCartPole-v1"),
        ("rlx/Recal-v0", "rlx/Recall-v0"),
        ("Cartpole-v1", "CartPole-v1"),
        ("Pendulum-v0", "Pendulum-v1"),  # gymnasium dropped it
        ("qqqqqqq", "pprint_registry"),
        ("no_such_module:Env-v0", "no_such_module"),
        ("", "pprint_registry"),
    ],
)
def test_unknown_names_are_one_line_with_advice(build, name, advice):
    with pytest.raises(ValueError, match="environment") as caught:
        build(name)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["CartPole-v0", "IncompleteCartPole-v0"])
def test_the_old_cartpoles_come_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env, envs = make(name), make_vec(name, 3)
        synced = make_vec(name, 2, vectorization_mode="sync")
    assert env.spec.max_episode_steps == envs.unwrapped.max_episode_steps == 200
    assert synced.num_envs == 2


def test_other_warnings_still_come_through():
    with pytest.warns(UserWarning, match="instead of the unversioned"):
        make("CartPole")
    with pytest.warns(UserWarning, match="render_mode"):
        make("CartPole-v0", render_mode="hologram")
