"""Agent, Parametric, ActionDistribution: what is asked of the environment, and what comes back."""

import itertools
import re
from copy import deepcopy

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import ClipReward, NormalizeReward, TimeLimit, TransformReward, vector
from torch import nn
from torch.distributions import Bernoulli, Beta, Distribution, Independent, Normal
from torch.testing import assert_close
from worlds import LIMIT, MODES, Coin, Counter, NativeScript, Script, lively, reach, scripts

import rlx
from rlx import ActionDistribution, Agent, Parametric, Rollout, SquashedNormal, critics
from rlx.columns import leaves
from rlx.distributions import Categorical
from rlx.networks import GRUPolicy, LSTMPolicy, MLPPolicy
from rlx.seeding import spawn

SAME, NEXT, DISABLED = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED


def cells(rollout):
    """(row, episode, step) of each row of a rollout that was played in a Script."""
    return [tuple(state) for state in rollout.states.int().tolist()]


# ---------------------------------------------------------------------- episodes


def test_constructing_neither_resets_nor_steps():
    env = Script()
    agent = Agent(env)
    agent(Coin())
    assert (env.resets, env.steps) == (0, 0)
    assert agent.num_envs == 1
    assert agent.action_space == spaces.Discrete(2)
    assert agent.observation_space.shape == (3,)
    assert agent.finished.returns == agent.finished.lengths == []


def test_an_id_will_do():
    agent = Agent("CartPole-v1")
    assert agent.num_envs == 1
    assert agent(lively(MLPPolicy, agent)).episode(3).states.shape[1:] == (4,)


def test_an_episode_resets_once_and_never_steps_a_finished_environment():
    env = Script()  # which raises if it is stepped after its end
    agent = Agent(env)
    lengths = [2, 4, 3, 1, 2]
    for k, length in enumerate(lengths):
        rollout = agent(Coin()).episode()
        assert cells(rollout) == [(0, k, t) for t in range(length + 1)]
        assert env.resets == k + 1
        assert env.steps == sum(lengths[: k + 1])
        assert rollout.terminated[-1].item() == (length != LIMIT)
        assert agent.finished.lengths == [length]
        assert agent.finished.returns == [sum(1 + t + 10 * k for t in range(length))]


@pytest.mark.parametrize(("horizon", "rows"), [(1, 2), (2, 3), (3, 3), (None, 3)])
def test_the_horizon_cuts(horizon, rows):
    env = Script()  # its first episode terminates after two steps
    agent = Agent(env)
    rollout = agent(Coin()).episode(horizon)
    assert len(rollout) == rows
    assert agent.finished.lengths == [rows - 1]  # it ended here, if not by itself
    assert env.steps == rows - 1
    assert rollout.end.tolist() == [False] * (rows - 1) + [True]
    assert rollout.terminated.any() == (rows == 3)
    assert rollout.rewards.tolist() == [1.0, 2.0][: rows - 1] + [0.0]


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("face", [NativeScript, scripts])
@pytest.mark.parametrize("mode", MODES)
def test_exactly_n_episodes_with_a_fixed_quota_for_each_environment(face, mode, dry):
    for n, quotas in [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (8, [3, 3, 2])]:
        agent = Agent(
            face(3, **({"autoreset_mode": mode} if face is NativeScript else {"mode": mode}))
        )
        rollout = agent(Coin()).episodes(n, dry=dry)
        assert len(rollout.lengths) == n
        assert rollout.dry == dry
        firsts = rollout[0].states[:, 0].tolist()
        assert [firsts.count(row) for row in range(3)] == quotas
        assert rollout.start.sum() == rollout.end.sum() == n
        assert agent.finished.lengths == [length - 1 for length in rollout.lengths]
        sums = [episode.rewards.sum().item() for episode in rollout.episodes]
        assert agent.finished.returns == sums
        assert rollout[0].states[:, 2].tolist() == [0] * n


def test_episodes_of_a_single_environment():
    env = Script()
    rollout = Agent(env)(Coin()).episodes(4, horizon=3)
    assert [length - 1 for length in rollout.lengths] == [2, 3, 3, 1]
    assert env.resets == 4


def test_episodes_of_vector_environments_are_reset_with_each_round():
    agent = Agent(scripts(2))
    agent(Coin()).segment(1)  # is discarded
    rollout = agent(Coin()).episode()
    assert cells(rollout)[0] == (0, 1, 0)
    assert rollout.start.tolist() == [t == 0 for _, _, t in cells(rollout)]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda runner: runner.episodes(0), "at least one episode"),
        (lambda runner: runner.episode(0), "horizon=0: at least one step"),
        (lambda runner: runner.segment(0), r"segment\(0\): at least one step"),
        (lambda runner: runner.segment(-3), r"segment\(-3\): at least one step"),
    ],
)
def test_nothing_cannot_be_sampled(call, error):
    with pytest.raises(ValueError, match=error):
        call(Agent(Script())(Coin()))


# ---------------------------------------------------------------------- segments


@pytest.mark.parametrize("mode", [None, *MODES])
def test_a_segment_counts_calls_of_step(mode, monkeypatch):
    env = Script() if mode is None else scripts(3, mode)
    calls, step = [], env.step
    monkeypatch.setattr(env, "step", lambda actions: calls.append(actions) or step(actions))
    agent = Agent(env)
    for n in (5, 1, 7):
        calls.clear()
        agent(Coin()).segment(n)
        assert len(calls) == n


def test_segments_of_a_single_environment():
    env = Script()
    agent = Agent(env)
    # Its episodes take 2, 4, 3, 1, 2, … steps.
    one = agent(Coin()).segment(3)
    assert cells(one) == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0), (0, 1, 1)]
    assert one.lengths == [3, 2]
    assert one.rewards.tolist() == [1, 2, 0, 11, 0]
    assert one.terminated.tolist() == [False, False, True, False, False]
    assert agent.finished == rlx.play.table.Finished([3.0], [2])
    two = agent(Coin()).segment(3)  # its last step is also the last of the episode
    assert cells(two) == [(0, 1, 1), (0, 1, 2), (0, 1, 3), (0, 1, 4)]
    assert two.end.tolist() == [False] * 3 + [True]
    assert two.start.tolist() == [False] * 4
    assert not two.terminated.any()  # truncated
    assert agent.finished == rlx.play.table.Finished([11.0 + 12 + 13 + 14], [4])
    assert env.resets == 2  # not reset before it has to be
    three = agent(Coin()).segment(1)
    assert cells(three) == [(0, 2, 0), (0, 2, 1)]
    assert three.start.tolist() == [True, False]
    assert env.resets == 3


@pytest.mark.parametrize("face", [NativeScript, scripts])
def test_ghost_rows_are_the_end_rows(face):
    """In NEXT_STEP mode the call after the last step of an episode only resets."""
    agent = Agent(face(1))
    rollout = agent(Coin()).segment(2 + 1 + 4 + 1 + 1)
    assert cells(rollout) == (
        [(0, 0, t) for t in range(3)] + [(0, 1, t) for t in range(5)] + [(0, 2, 0), (0, 2, 1)]
    )
    assert rollout.lengths == [3, 5, 2]
    assert rollout.rewards.tolist() == [1, 2, 0, 11, 12, 13, 14, 0, 21, 0]
    assert rollout.terminated.nonzero()[:, 0].tolist() == [2]
    assert agent.finished.lengths == [2, 4]


@pytest.mark.parametrize("face", [NativeScript, scripts])
def test_a_ghost_at_the_border_adds_no_second_end_row(face):
    agent = Agent(face(1))
    one = agent(Coin()).segment(2)  # stops right at the end of the first episode
    assert cells(one) == [(0, 0, 0), (0, 0, 1), (0, 0, 2)]
    assert one.terminated.tolist() == [False, False, True]
    assert agent.finished.lengths == [2]
    two = agent(Coin()).segment(2)  # the ghost, and one step
    assert cells(two) == [(0, 1, 0), (0, 1, 1)]
    assert two.start.tolist() == [True, False]
    assert agent.finished.lengths == []


@pytest.mark.parametrize("face", [NativeScript, scripts])
def test_a_fragment_of_no_step_is_dropped(face):
    agent = Agent(face(1))
    one = agent(Coin()).segment(3)  # its last call only resets
    assert cells(one) == [(0, 0, 0), (0, 0, 1), (0, 0, 2)]
    assert one.lengths == [3]
    two = agent(Coin()).segment(4)
    assert cells(two) == [(0, 1, t) for t in range(5)]
    assert two.start[0]
    assert cells(agent(Coin()).segment(1)) == [(0, 2, 0), (0, 2, 1)]  # the ghost, and one step
    assert agent.finished.lengths == []
    with pytest.raises(ValueError, match="empty rollout"):
        agent(Coin()).evaluate(Rollout())


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_segment_always_has_rows(mode, num_envs):
    """Also if all environments are between two episodes at once."""
    envs = scripts(num_envs, mode, length=lambda row, episode: 2) if mode else None
    agent = Agent(envs or Script(length=lambda row, episode: 2))
    rollouts = [agent(Coin()).segment(1) for _ in range(9)]
    for k, rollout in enumerate(rollouts):
        assert rollout.lengths == [2] * agent.num_envs
        assert rollout.states[::2, 2].tolist() == [k % 2] * agent.num_envs
        assert rollout.states[::2, 1].tolist() == [k // 2] * agent.num_envs


def test_an_episode_discards_what_a_segment_would_continue():
    agent, policy = Agent(Script()), Counter()
    agent(policy).segment(1)
    assert cells(agent(policy).episode())[0] == (0, 1, 0)
    rollout = agent(policy).segment(1)
    assert cells(rollout)[0] == (0, 2, 0)
    assert rollout.start[0]
    assert rollout.recur_states[0] == 0
    assert agent.finished.returns == []


def test_the_memory_is_carried_detached():
    agent, policy = Agent(Script(row=1)), Counter()  # episodes of 4, 3, 1, 2 steps
    one, two = agent(policy).segment(2), agent(policy).segment(3)
    assert one.recur_states[:, 0].tolist() == [0, 1, 2]
    # The border row counts once: its memory is the one that entered it.
    assert two.recur_states[:, 0].tolist() == [2, 3, 4, 0, 1]
    assert two.others[0].tolist() == [3, 4, 5, 1, 2]
    one.others[0].sum().backward()
    assert policy.weight.grad.item() == 1 + 2 + 3
    policy.weight.grad = None
    two.others[0].sum().backward()  # a backward pass through `one` would raise
    assert policy.weight.grad.item() == 1 + 2 + 3 + 1 + 2


@pytest.mark.parametrize("mode", [None, *MODES])
def test_the_memory_is_none_only_when_all_rows_are_fresh(mode):
    seen = []

    class Watches(Counter):
        def forward(self, *states):
            h, x = states
            fresh = x[:, 2] == 0
            seen.append((h is None, fresh.all().item(), fresh.any().item()))
            assert h is None or (h[fresh] == 0).all()
            assert h is not None or fresh.all()
            return super().forward(h, x)

    agent = Agent(Script() if mode is None else scripts(2, mode))
    rollout = agent(Watches()).segment(9)
    assert all(none == all_fresh for none, all_fresh, _ in seen)
    assert (False, False, True) in seen or mode is None  # some fresh, some not
    assert (rollout.recur_states[rollout.start] == 0).all()
    agent(Watches()).evaluate(rollout)


class Twice(Counter):
    """The same count in a memory of another shape, or a tuple of two of them."""

    def __init__(self, pair):
        super().__init__()
        self.pair = pair

    def forward(self, *states):
        h, x = states
        h = h if h is None or not self.pair else h[0]
        h, dist, value = super().forward(h if h is None else h[:, :1], x)
        return (h, h) if self.pair else h.repeat(1, 2), dist, value


def test_another_policy_with_a_memory_of_the_same_shape_goes_on():
    agent = Agent(Script(row=1))  # episodes of 4, 3, 1, 2 steps
    agent(Counter()).segment(2)
    rollout = agent(Counter()).segment(3)
    assert cells(rollout) == [(1, 0, 2), (1, 0, 3), (1, 0, 4), (1, 1, 0), (1, 1, 1)]
    assert rollout.recur_states[:, 0].tolist() == [2, 3, 4, 0, 1]
    agent(Coin()).segment(2)
    assert cells(agent(Coin()).segment(1))[0] == (1, 3, 1)  # so does one without


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_a_policy_with_another_memory_begins_at_a_reset(mode, n_steps):
    policies = Coin(), Counter(), Twice(False), Twice(True)
    for before, after in itertools.permutations(policies, 2):
        # After two steps all are about to begin an episode, and no memory is in use.
        options = dict(length=lambda row, episode: 2)
        agent = Agent(Script(**options) if mode is None else scripts(2, mode, **options))
        agent(before).segment(n_steps)
        rollout = agent(after).segment(1)
        assert rollout.start.tolist() == [True, False] * agent.num_envs
        assert (rollout.states[::2, 2] == 0).all()
        if rollout.recur_states is not None:
            for memory in leaves(rollout.recur_states):
                assert (memory[::2] == 0).all()


@pytest.mark.parametrize("cls", [MLPPolicy, GRUPolicy, LSTMPolicy])
@pytest.mark.parametrize("kind", ["one", "native", "sync"])
def test_copies_play_what_one_policy_plays(cls, kind):
    def play(copied):
        agent = Agent(reach(kind, NEXT, "both"), seed=0)
        policy = lively(cls, agent)
        torch.manual_seed(0)
        rollouts = []
        for n_steps in (1, 3, 5, 2, 7):
            policy = deepcopy(policy) if copied else policy
            rollouts.append(agent(policy).segment(n_steps))
        return Rollout.cat(rollouts)

    one, copies = play(False), play(True)
    assert (~one.start).any()
    for name in ("states", "rewards", "logprobs", "start", "end", "lengths"):
        assert torch.equal(*(torch.as_tensor(getattr(r, name)) for r in (one, copies)))


def test_finished_counts_whole_episodes_across_segments_and_policies():
    agent = Agent(Script(row=1))  # episodes of 4, 3, 1, 2 steps
    returns, lengths = [], []
    for n in (3, 2, 1, 5):
        agent(Coin()).segment(n)
        returns += agent.finished.returns
        lengths += agent.finished.lengths
    assert lengths == [4, 3, 1, 2]
    assert returns == [101 + 102 + 103 + 104, 111 + 112 + 113, 121, 131 + 132]


# ---------------------------------------------------------------------- seeds


@pytest.mark.parametrize("kind", ["one", "native", "sync"])
def test_the_same_seeds_give_the_same_rollout(kind):
    def play(seed, noise=0):
        agent = Agent(reach(kind, SAME, "both"), seed=seed)
        policy = lively(GRUPolicy, agent, hidden=8)
        torch.manual_seed(noise)
        return agent(policy).segment(9) + agent(policy).episode() + agent(policy).episodes(2)

    one, two = play(1), play(1)
    for name in ("states", "rewards", "logprobs"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert not torch.equal(one.states[0], play(2).states[0])
    assert torch.equal(one.states[0], play(1, noise=3).states[0])
    assert not torch.equal(one.actions[0][0], play(1, noise=3).actions[0][0])


def test_the_seed_is_given_once_and_again_on_request():
    env = Script()
    agent = Agent(env, seed=7)
    agent(Coin()).episodes(2)
    agent(Coin()).segment(1)
    agent.seed(8)
    agent(Coin()).segment(1)
    assert env.seeds == [7, None, None, 8]
    side_by_side = scripts(2)
    Agent(side_by_side, seed=7)(Coin()).segment(9)
    assert [env.seeds[0] for env in side_by_side.envs] == spawn(7, 2)
    assert {seed for env in side_by_side.envs for seed in env.seeds[1:]} == {None}


@pytest.mark.parametrize("kind", ["one", "native", "sync"])
def test_neighbouring_seeds_share_no_starts(kind):
    size = 1 if kind == "one" else 16
    starts = set()
    for seed in range(10):
        agent = Agent(reach(kind, SAME, "discrete", size), seed=seed)
        states = agent(lively(MLPPolicy, agent)).segment(1)[:1].states
        starts |= {tuple(state) for state in states.tolist()}
    assert len(starts) == 10 * size


class Counts(gymnasium.vector.VectorEnv):
    """Somebody else's vector environment, which makes seed + i of the one seed it takes."""

    num_envs = 16
    single_observation_space = spaces.Box(0, 2**16, (2,))
    single_action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        seeds = seed + np.arange(16)
        return np.stack([seeds // 2**16, seeds % 2**16], axis=1).astype(np.float32), {}

    def step(self, actions):
        no = np.zeros(16, bool)
        return np.zeros((16, 2), np.float32), np.zeros(16), no, no, {}


@pytest.mark.parametrize("own", [False, True])
def test_neighbouring_seeds_share_no_starts_behind_wrappers(own):
    starts = set()
    for seed in range(10):
        env = Counts() if own else gymnasium.make_vec("Pendulum-v1", 16, vectorization_mode="sync")
        agent = Agent(gymnasium.wrappers.vector.RecordEpisodeStatistics(env), seed=seed)
        states = agent(lively(MLPPolicy, agent)).segment(1)[:1].states
        starts |= {tuple(state) for state in states.tolist()}
    assert len(starts) == 160


def test_seeds_for_each_purpose():
    assert spawn(0, 2) == spawn(0, 3)[:2]
    keys = (), (0,), (0, 0), ("checkpoint", 1), ("evaluation", 1)
    seeds = [one for seed in range(3) for key in keys for one in spawn(seed, 9, *key)]
    assert len(set(seeds)) == 3 * 5 * 9
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert spawn(None, 4) != spawn(None, 4)
    with pytest.raises(ValueError, match="non-negative"):
        spawn(-1, 1)


def test_environments_side_by_side_differ():
    agent = Agent(reach("sync", SAME, "discrete"), seed=0)
    first = agent(lively(MLPPolicy, agent)).episode()[0].states
    assert len({tuple(state) for state in first.tolist()}) == 3


# ---------------------------------------------------------------------- what was paid

SINGLE = {
    "normalised": NormalizeReward,
    "clipped": lambda env: ClipReward(env, -1, 1),
    "transformed": lambda env: TransformReward(env, lambda reward: 0.1 * reward - 7),
    "twice": lambda env: ClipReward(TimeLimit(NormalizeReward(env), 99), -1, 1),
}
VECTOR = {
    "normalised": vector.NormalizeReward,
    "clipped": lambda env: vector.ClipReward(env, -1, 1),
    "twice": lambda env: vector.RecordEpisodeStatistics(
        vector.ClipReward(vector.NormalizeReward(env), -1, 1)
    ),
}


def finished_in(env, plain, sizes=(1, 4, 2, 9, 3)):
    """What `finished` said of both; the rewards that were learned from differ."""
    agents, ends = (Agent(env), Agent(plain)), ([], [])
    rewards = ([], [])
    for agent, end, reward in zip(agents, ends, rewards):
        for call in (*(lambda n=n: agent(Coin()).segment(n) for n in sizes),  # noqa: B023
                     lambda: agent(Coin()).episode(), lambda: agent(Coin()).episodes(5, 2)):  # noqa: B023  # fmt: skip
            reward += call().rewards.tolist()
            end.append((agent.finished.returns, agent.finished.lengths))
    assert len(rewards[0]) == len(rewards[1])
    assert rewards[0] != rewards[1]
    return ends


@pytest.mark.parametrize("wrap", SINGLE)
@pytest.mark.parametrize("mode", [None, *MODES])
def test_finished_is_what_was_paid_behind_wrappers(wrap, mode):
    def make(row=0, wrap=SINGLE[wrap]):
        return wrap(Script(row, reuse=False))

    if mode is None:
        wrapped, plain = finished_in(make(), Script())
    else:
        wrapped, plain = finished_in(
            SyncVectorEnv([make, lambda: make(1)], autoreset_mode=mode), scripts(2, mode)
        )
    assert wrapped == plain


@pytest.mark.parametrize("wrap", VECTOR)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("face", [NativeScript, scripts])
def test_finished_is_what_was_paid_behind_vector_wrappers(wrap, mode, face):
    name = "autoreset_mode" if face is NativeScript else "mode"
    wrapped, plain = finished_in(VECTOR[wrap](face(2, **{name: mode})), face(2, **{name: mode}))
    assert wrapped == plain


def test_behind_both_kinds_of_wrappers_and_for_several_agents():
    env = vector.NormalizeReward(SyncVectorEnv([lambda: NormalizeReward(Script()), Script]))
    Agent(env)
    wrapped, plain = finished_in(env, SyncVectorEnv([Script, Script]))
    assert wrapped == plain


def test_looking_behind_a_wrapper_changes_nothing_else():
    env = NormalizeReward(gymnasium.make("CartPole-v1"))
    twin = NormalizeReward(gymnasium.make("CartPole-v1"))
    agent = Agent(env, seed=3)
    policy = lively(MLPPolicy, agent)
    torch.manual_seed(0)
    rollout = agent(policy).episode(20)
    twin.reset(seed=3)
    steps = [twin.step(int(action)) for action in rollout[:-1].actions[0]]
    assert_close(rollout.rewards[:-1], torch.tensor([float(step[1]) for step in steps]))
    assert agent.finished.returns == [len(steps)]
    again = gymnasium.make(env.spec)
    assert type(again) is NormalizeReward
    copy = deepcopy(env)
    copy.set_wrapper_attr("gravity", 1.0)
    assert (copy.unwrapped.gravity, env.unwrapped.gravity) == (1.0, 9.8)


def test_what_other_processes_normalise_is_not_claimed_to_be_paid():
    env = AsyncVectorEnv([lambda: NormalizeReward(Script(reuse=False))] * 2)
    try:
        with pytest.warns(UserWarning, match="count normalised rewards"):
            Agent(env)
    finally:
        env.close()
    env = AsyncVectorEnv([lambda: Script(reuse=False)] * 2)
    try:
        wrapped, plain = finished_in(vector.NormalizeReward(env), SyncVectorEnv([Script, Script]))
        assert wrapped == plain
    finally:
        env.close()


# ---------------------------------------------------------------------- actions

ACTION_SPACES = [
    spaces.Discrete(3),
    spaces.Discrete(3, start=5),
    spaces.Discrete(2, start=-1),
    spaces.MultiDiscrete([2, 3, 4]),
    spaces.MultiDiscrete([2, 3], start=[10, -1]),
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
    spaces.Box(-1, 1, (2,)),
    spaces.Box(-1, 1, (2, 3), dtype=np.float64),
    spaces.Box(-2, np.inf, ()),
    spaces.Box(0, 3, (2,), dtype=np.int64),
    spaces.Tuple([spaces.Discrete(2, start=1), spaces.Box(-1, 1, (2,)), spaces.MultiBinary(2)]),
]


@pytest.mark.filterwarnings("ignore:.*Casting input x to numpy array")  # a number is no array
@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("space", ACTION_SPACES, ids=str)
def test_actions_arrive_in_their_space(space, vector):
    torch.manual_seed(0)
    envs = [Script(row, action_space=space) for row in range(3 if vector else 1)]
    env = SyncVectorEnv([lambda env=env: env for env in envs]) if vector else envs[0]
    agent = Agent(env)
    policy = MLPPolicy(agent)
    rollout = agent(policy).episodes(30)  # Script asserts that its space contains the action
    assert agent(policy).evaluate(rollout).logprobs.shape == (len(rollout),)
    seen = [action for env in envs for action in env.actions]
    if isinstance(space, spaces.Discrete):
        assert set(map(int, seen)) == set(range(space.start, space.start + space.n))
    if isinstance(space, spaces.MultiDiscrete):
        assert (np.min(seen, 0) == space.start).all()
        assert (np.max(seen, 0) == space.start + space.nvec - 1).all()
    if not vector:  # exactly what was sampled, in its place
        flat = np.stack([spaces.flatten(space, action) for action in seen])
        stored = [column[~rollout.end] for column in rollout.actions]
        assert len(flat) == len(stored[0])
        if isinstance(space, spaces.MultiDiscrete):
            assert np.array_equal(np.array(seen) - space.start, torch.stack(stored, 1))
        if isinstance(space, spaces.MultiBinary):
            assert np.array_equal(flat, stored[0].flatten(1))
        if isinstance(space, spaces.Tuple):
            assert np.array_equal(flat[:, :2], nn.functional.one_hot(stored[0], 2))
            assert_close(torch.tensor(flat[:, 2:4]), stored[1].clamp(-1, 1), check_dtype=False)
            assert np.array_equal(flat[:, 4:], stored[2])


def test_a_bernoulli_can_play_discrete_2():
    class Policy(Parametric):
        def forward(self, *states):
            return None, ActionDistribution(Bernoulli(logits=states[1].new_zeros(len(states[1]))))

    env = Script(action_space=spaces.Discrete(2, start=3))
    Agent(env)(Policy()).episodes(10)
    assert set(env.actions) == {3, 4}


def test_box_actions_are_clipped_at_the_border_and_stored_as_sampled():
    torch.manual_seed(0)
    low, high = np.array([-0.1, -1.0], np.float32), np.array([0.1, 0.2], np.float32)
    env = Script(action_space=spaces.Box(low, high))
    agent = Agent(env)
    policy = lively(MLPPolicy, agent)
    rollout = agent(policy).episodes(20)
    stored = rollout.actions[0][~rollout.end]
    assert (stored.abs() > 1).any()
    expected = np.clip(stored.numpy(), low, high)
    assert np.array_equal(np.stack(env.actions), expected)
    _, dist, _ = policy(None, rollout.states)
    expected = dist.components[0].log_prob(rollout.actions[0]).sum(1)
    assert_close(rollout.logprobs[~rollout.end], expected[~rollout.end])


@pytest.mark.parametrize(
    "space",
    [spaces.Box(-1, 1, (2,)), spaces.MultiBinary(3), ACTION_SPACES[-1], spaces.Discrete(3)],
    ids=str,
)
def test_greedy_takes_the_mode(space):
    agent = Agent(Script(action_space=space))
    policy = lively(MLPPolicy, agent)
    rollout = agent(policy).episode(greedy=True)
    again = agent(policy).evaluate(rollout)
    for mode, action in zip(again.dist.mode, rollout.actions):
        assert_close(action[:-1], mode[:-1])
    assert agent(policy).episodes(3, greedy=True).lengths


# ---------------------------------------------------------------------- observations


class Room(gymnasium.Env):
    """Shows one observation after another of a list."""

    def __init__(self, observation_space, shown):
        self.observation_space, self.action_space = observation_space, spaces.Discrete(2)
        self.shown = shown

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.shown[0], {}

    def step(self, action):
        self.t += 1
        return self.shown[self.t], 1.0, self.t == len(self.shown) - 1, False, {}


@pytest.mark.parametrize("vector", [False, True])
def test_discrete_observations_come_one_hot(vector):
    def make():
        return Room(spaces.Discrete(4, start=2), [2, 5, np.int64(3)])

    agent = Agent(SyncVectorEnv([make, make]) if vector else make())
    assert agent.observation_space.shape == (4,)
    rollout = agent(Coin()).episode()
    expected = [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    assert rollout.states.tolist() == expected * agent.num_envs
    assert rollout.states.dtype == torch.float32
    assert agent(lively(GRUPolicy, agent)).episode().states.shape == (3 * agent.num_envs, 4)


@pytest.mark.parametrize("vector", [False, True])
def test_the_numbers_of_a_multidiscrete_observation_come_one_hot(vector):
    space, shown = spaces.MultiDiscrete([2, 3], start=[5, 0]), [[5, 0], [6, 2], [5, 1]]

    def make():
        return Room(space, [np.array(numbers) for numbers in shown])

    agent = Agent(SyncVectorEnv([make, make]) if vector else make())
    assert agent.observation_space.shape == (5,)
    rollout = agent(lively(GRUPolicy, agent)).episode()
    expected = [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 0]]
    assert rollout.states.tolist() == expected * agent.num_envs
    assert rollout.states.dtype == torch.float32


def test_a_table_of_numbers_comes_one_hot_as_gymnasium_flattens_it():
    space = spaces.MultiDiscrete([[2, 3], [1, 4]])
    shown = [space.sample() for _ in range(4)]
    rollout = Agent(Room(space, shown))(Coin()).episode()
    assert rollout.states.tolist() == [spaces.flatten(space, numbers).tolist() for numbers in shown]


WHOLE_NUMBERS = {
    "bytes": spaces.Box(0, 255, (2, 3), np.uint8),
    "integers": spaces.Box(-9, 9, (4,), np.int64),
    "bits": spaces.MultiBinary(5),
}


def networks_for(agent):
    both = agent.observation_space, agent.action_space
    discrete, box = (both[0], spaces.Discrete(2)), (both[0], spaces.Box(-1, 1, (2,)))
    yield from (cls(*both) for cls in (MLPPolicy, GRUPolicy, LSTMPolicy))
    for memory in (None, "gru", "lstm"):
        yield critics.QPolicy(critics.QNetwork(*discrete, memory=memory))
        yield critics.SquashedPolicy(*box, memory=memory)
        yield critics.NoisyPolicy(*box, memory=memory)
        yield critics.Critic(*box, memory=memory)


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
def test_ready_made_networks_take_whole_numbers(name):
    space = WHOLE_NUMBERS[name]

    def make():
        return Room(space, [space.sample() for _ in range(5)])

    agent = Agent(SyncVectorEnv([make] * 2))
    rollout = agent(Coin()).segment(7, dry=True)
    assert not rollout.states.is_floating_point()
    floats = rollout.replace(states=rollout.states.float())
    boxed = torch.zeros(len(rollout), 2)
    for policy in networks_for(agent):
        options = {}
        if isinstance(policy, (critics.BoxActor, critics.Critic)):
            options["actions"] = boxed
        one, two = (agent(policy).evaluate(each, **options) for each in (rollout, floats))
        for a, b in zip(leaves(one.others), leaves(two.others), strict=True):
            assert_close(a, b)
        if not policy.takes_actions:
            assert_close(one.logprobs, two.logprobs)
        if not options:
            assert agent(policy).episodes(2).states.dtype == rollout.states.dtype


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
@pytest.mark.parametrize("algo", ["PPO", "A2C", "OffPAC", "DQN", "SAC"])
def test_algorithms_learn_from_whole_numbers(name, algo):
    space = WHOLE_NUMBERS[name]

    def make():
        room = Room(space, [space.sample() for _ in range(5)])
        room.action_space = spaces.Box(-1, 1, (2,)) if algo == "SAC" else room.action_space
        return room

    agent = Agent(SyncVectorEnv([make] * 2))
    made = {"DQN": critics.QNetwork, "SAC": critics.SquashedPolicy}.get(algo, GRUPolicy)
    policy = made(agent)
    options = {"warmup": 1} if algo in ("DQN", "SAC") else {}
    learner = getattr(rlx.algos, algo)(agent, policy, **options)
    before = [p.clone() for p in policy.parameters()]
    learner.update()
    assert any((a != b).any() for a, b in zip(before, policy.parameters()))


def test_a_network_of_ones_own_is_told_of_whole_numbers():
    class Own(Parametric):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(4, 2)

        def forward(self, *states):
            return None, ActionDistribution(Categorical(self.net(states[1])))

    agent = Agent(Room(WHOLE_NUMBERS["integers"], [np.arange(4)] * 3))
    with pytest.raises(ValueError, match=r"type torch.int64.*state = state.float\(\)"):
        agent(Own()).episode()


STRUCTURES = {
    "Dict": spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(0, 1, (2,))),
    "Tuple": spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, ())]),
    "Text": spaces.Text(5),
    "scalar": spaces.Box(0, 1, ()),
    "whole scalar": spaces.Box(0, 9, (), np.int64),
    "OneOf": spaces.OneOf([spaces.Discrete(2), spaces.Box(0, 1, (2,))]),
    "Sequence": spaces.Sequence(spaces.Box(0, 1, (2,))),
    "Graph": spaces.Graph(spaces.Box(0, 1, (2,)), None),
    "Dict of a Sequence": spaces.Dict(a=spaces.Sequence(spaces.Discrete(2))),
}


@pytest.mark.parametrize("kind", ["one", "vector", "each"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_the_advice_for_other_observations_can_be_followed(name, kind):
    space = STRUCTURES[name]

    def make():
        return Room(space, [space.sample() for _ in range(5)])

    made = make() if kind == "one" else SyncVectorEnv([make] * 2)
    with pytest.raises(ValueError, match="not supported: a policy sees arrays") as error:
        Agent(made)
    (advised,) = re.findall(r"gymnasium\.wrappers\.(?:vector\.)?\w+", str(error.value))
    wrapper = gymnasium.wrappers
    for part in advised.split(".")[2:]:
        wrapper = getattr(wrapper, part)
    if advised.endswith("TransformObservation"):
        assert ("around each" in str(error.value)) == (kind != "one")
        box = spaces.Box(0, 1, (2,), np.float32)

        def wrapped(env):
            return wrapper(env, lambda observation: np.zeros(2, np.float32), box)

        made = wrapped(make()) if kind == "one" else SyncVectorEnv([lambda: wrapped(make())] * 2)
    elif kind == "each":
        made = SyncVectorEnv([lambda: gymnasium.wrappers.FlattenObservation(make())] * 2)
    else:
        made = wrapper(made)
    agent = Agent(made)
    policy = GRUPolicy(agent)
    rollout = agent(policy).segment(9)
    agent(policy).evaluate(rollout)
    assert len(agent(policy).episode()) == 5 * agent.num_envs


def test_a_space_of_somebody_elses():
    with pytest.raises(ValueError, match="TransformObservation"):
        Agent(Room(spaces.Space(), []))


def test_doubles_come_as_floats():
    agent = Agent(Room(spaces.Box(-1, 1, (2,), dtype=np.float64), [np.full(2, 0.5), np.zeros(2)]))
    assert agent(Coin()).episode().states.dtype == torch.float32


@pytest.mark.parametrize("mode", [None, *MODES])
def test_images_stay_bytes(mode):
    space = spaces.Box(0, 255, (2, 3, 3), dtype=np.uint8)
    images = [np.full((2, 3, 3), 50 * t, dtype=np.uint8) for t in range(5)]

    class Sees(Parametric):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(2, 2, 2), nn.Flatten(), nn.Linear(8, 2))

        def forward(self, *states):
            assert states[1].dtype == torch.uint8
            logits = self.net(states[1] / 255)
            return None, ActionDistribution(Categorical(logits)), logits.mean(1)

    def make():
        return Room(space, images)

    agent = Agent(make() if mode is None else SyncVectorEnv([make] * 2, autoreset_mode=mode))
    policy = Sees()
    for rollout in (agent(policy).episode(), agent(policy).segment(7)):
        assert rollout.states.dtype == torch.uint8
        evaluated = agent(policy).evaluate(rollout)
        assert evaluated.states.dtype == torch.uint8
        assert_close(evaluated.logprobs, rollout.logprobs, rtol=0, atol=1e-5)
    assert (rollout[0].states[:1] == 0).all()


# ---------------------------------------------------------------------- pictures


@pytest.mark.parametrize("horizon", [None, 1, 3])
def test_there_is_one_picture_a_row(horizon):
    agent = Agent(Script(row=1, render_mode="rgb_array"))
    for k in range(3):
        rollout = agent(Coin()).episode(horizon, render=True)
        assert [frame[0, 0, 0] for frame in rollout.frames] == [
            10 * k + t for _, _, t in cells(rollout)
        ]
    assert agent(Coin()).episode().frames == []


def test_pictures_need_one_environment_that_makes_them():
    with pytest.raises(ValueError, match="single environment"):
        Agent(scripts(2))(Coin()).episode(render=True)
    with pytest.raises(ValueError, match='render_mode="rgb_array"'):
        Agent(Script())(Coin()).episode(render=True)


# ---------------------------------------------------------------------- evaluate


def test_evaluate_shares_and_replaces():
    agent = Agent(scripts(2, SAME))
    sampler, policy = lively(GRUPolicy, agent, 0, hidden=4), lively(GRUPolicy, agent, 1, hidden=4)
    rollout = agent(sampler).segment(6, dry=True)
    rollout.gae(torch.zeros(len(rollout)), 0.9, 0.9)
    evaluated = agent(policy).evaluate(rollout)
    for name in ("states", "rewards", "end", "terminated", "start", "returns", "advantages"):
        assert getattr(evaluated, name) is getattr(rollout, name)
    assert evaluated.recur_states is rollout.recur_states
    assert evaluated.lengths == rollout.lengths
    assert not evaluated.dry
    assert rollout.dry
    assert evaluated.logprobs.requires_grad
    assert evaluated.others[0].shape == (len(rollout),)
    with torch.no_grad():
        assert not agent(policy).evaluate(rollout).logprobs.requires_grad


def test_dist_is_kept_after_one_pass_only():
    agent = Agent(scripts(2, SAME))
    feed_forward, recurrent = lively(MLPPolicy, agent), lively(GRUPolicy, agent)
    evaluated = agent(feed_forward).evaluate(agent(feed_forward).segment(6))
    assert_close(
        evaluated.dist.log_prob(*evaluated.actions)[~evaluated.end],
        evaluated.logprobs[~evaluated.end],
    )
    rollout = agent(recurrent).segment(6)
    assert len(agent(recurrent).evaluate(rollout.vectorize()).dist) == len(rollout)
    for without in (
        rollout,
        agent(recurrent).evaluate(rollout),
        evaluated[:-1],
        evaluated.shuffle(),
    ):
        with pytest.raises(RuntimeError, match="no dist"):
            _ = without.dist


@pytest.mark.parametrize("cls", [MLPPolicy, GRUPolicy, LSTMPolicy])
def test_sample_draws_new_actions_at_every_row(cls):
    torch.manual_seed(0)
    agent = Agent(reach("native", SAME, "both"), seed=0)
    policy = lively(cls, agent)
    rollout = agent(policy).segment(8, dry=True)
    drawn = agent(policy).evaluate(rollout, sample=True)
    assert (drawn.actions[0] != rollout.actions[0]).all()
    assert drawn.actions[0].requires_grad  # reparametrised
    assert drawn.actions[1].dtype == torch.int64
    assert rollout.end.any()
    assert (drawn.logprobs[rollout.end] != 0).all()  # true ones, at end rows too
    assert (drawn.entropy[rollout.end] != 0).all()
    # As a slow reference: evaluate the same actions at rows that are not marked as end rows.
    open_ended = rollout.replace(end=torch.zeros_like(rollout.end))
    again = agent(policy).evaluate(open_ended, actions=[a.detach() for a in drawn.actions])
    assert_close(again.logprobs, drawn.logprobs, rtol=0, atol=1e-5)
    assert_close(again.entropy, drawn.entropy, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="give either"):
        agent(policy).evaluate(rollout, sample=True, actions=rollout.actions)


def test_evaluating_given_actions():
    agent = Agent(reach("native", SAME, "discrete"), seed=0)
    policy = lively(MLPPolicy, agent)
    rollout = agent(policy).segment(8)
    given = (rollout.actions[0] + 1) % 3
    evaluated = agent(policy).evaluate(rollout, actions=given)
    assert evaluated.actions[0] is given
    assert rollout.actions[0] is not given
    _, dist, _ = policy(None, rollout.states)
    assert_close(evaluated.logprobs, dist.log_prob(given).masked_fill(rollout.end, 0))
    assert_close(agent(policy).evaluate(rollout, actions=[given]).logprobs, evaluated.logprobs)
    for bad, error in [
        (given[:, None], "has shape"),
        (given[:3], "rows"),
        ([given, given], "2 action components"),
    ]:
        with pytest.raises(ValueError, match=error):
            agent(policy).evaluate(rollout, actions=bad)


class Critic(Parametric):
    """Q is the sum of the observation and ten times the actions."""

    takes_actions = True

    def forward(self, *states):
        _, x, *actions = states
        acted = sum(action.reshape(len(x), -1).sum(1, keepdim=True) for action in actions)
        return None, None, x.sum(1, keepdim=True) + 10 * acted


class RecurrentCritic(Critic):
    """The same, added up over the episode so far."""

    def forward(self, *states):
        h, *others = states
        _, _, q = super().forward(None, *others)
        h = q if h is None else h + q
        return h, None, h


@pytest.mark.parametrize("vectorized", [False, True])
def test_critics_see_actions(vectorized):
    agent = Agent(reach("native", SAME, "both"), seed=0)
    rollout = agent(lively(MLPPolicy, agent)).segment(8, dry=True)
    rollout = rollout.vectorize() if vectorized else rollout
    x, force, gear = rollout.states.sum(1), rollout.actions[0][:, 0], rollout.actions[1]
    critic = agent(Critic())
    (q,) = critic.evaluate(rollout).others
    assert_close(q, x + 10 * (force + gear))
    other = (torch.zeros_like(force)[:, None], 1 - gear)
    (q,) = critic.evaluate(rollout, actions=other).others
    assert_close(q, x + 10 * (1 - gear))
    with pytest.raises(RuntimeError, match="no action distribution"):
        _ = critic.evaluate(rollout).logprobs
    with pytest.raises(ValueError, match="no action distribution"):
        critic.evaluate(rollout, sample=True)


def test_recurrent_critics():
    agent = Agent(reach("native", SAME, "both"), seed=0)
    rollout = agent(lively(MLPPolicy, agent)).episodes(5, dry=True)
    (q,) = agent(RecurrentCritic()).evaluate(rollout).others
    expected = []
    for episode in rollout.episodes:
        parts = episode.states.sum(1) + 10 * (episode.actions[0][:, 0] + episode.actions[1])
        expected.append(parts.cumsum(0))
    assert_close(q, torch.cat(expected), rtol=1e-5, atol=1e-5)


def test_critics_cannot_act():
    agent = Agent(Script())
    for call in (agent(Critic()).episode, lambda: agent(Critic()).segment(3)):
        with pytest.raises(ValueError, match="a critic cannot act"):
            call()


def test_a_policy_may_return_no_extras_or_several():
    class Policy(Parametric):
        def __init__(self, *extras):
            super().__init__()
            self.extras = extras

        def forward(self, *states):
            x = states[1]
            extras = [
                None if shape is None else x.new_ones(len(x), *shape) for shape in self.extras
            ]
            return None, ActionDistribution(Categorical(x.new_zeros(len(x), 2))), *extras

    agent = Agent(scripts(3, SAME))
    assert agent(Policy()).segment(5).others == ()
    policy = Policy((), (1,), None, (2,), (1, 1), (3, 1))
    rollout = agent(policy).segment(5)
    n = len(rollout)
    for each in (
        rollout,
        agent(policy).evaluate(rollout),
        agent(policy).evaluate(rollout.vectorize()),
    ):
        shapes = [None if extra is None else tuple(extra.shape) for extra in each.others]
        assert shapes == [(n,), (n,), None, (n, 2), (n, 1, 1), (n, 3, 1)]


# ---------------------------------------------------------------------- end rows


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("cls", [MLPPolicy, GRUPolicy])
def test_end_rows_have_logprob_and_entropy_0_without_gradient(cls, mode):
    agent = Agent(Script() if mode is None else scripts(2, mode))
    policy = lively(cls, agent)
    rollout = agent(policy).segment(7)
    for each in (
        rollout,
        agent(policy).evaluate(rollout),
        agent(policy).evaluate(rollout.vectorize()),
    ):
        end = each.end
        assert (each.logprobs[end] == 0).all()
        assert (each.entropy[end] == 0).all()
        assert (each.logprobs[~end] != 0).all()
        policy.zero_grad()
        (each.logprobs[end].sum() + each.entropy[end].sum()).backward(retain_graph=True)
        assert all((p.grad == 0).all() for p in policy.parameters() if p.grad is not None)
        assert (each.others[0][end] != 0).all()  # the value is there


class Narrow(Parametric):
    """A Beta: its actions lie in (0, 1), and its density is infinite or NaN elsewhere."""

    def __init__(self):
        super().__init__()
        self.concentration = nn.Parameter(torch.tensor([0.4, 0.4]))

    def forward(self, *states):
        x = states[1]
        a, b = self.concentration.expand(len(x), 1, 2).unbind(-1)
        return None, ActionDistribution(Beta(a, b))


def test_an_end_row_outside_the_support_does_not_poison_the_gradient():
    rollout = Rollout()
    for t, action in enumerate([0.25, 0.5, -3.0, 0.75, 1.0]):
        rollout << rlx.Step([float(t)], torch.tensor([action]), end=t in (2, 4))
    policy = Narrow()
    evaluated = Agent(Room(spaces.Box(-1, 1, (1,)), []))(policy).evaluate(rollout)
    assert evaluated.actions[0].flatten().tolist() == [0.25, 0.5, -3.0, 0.75, 1.0]
    assert evaluated.logprobs[[2, 4]].tolist() == [0, 0]
    evaluated.logprobs.sum().backward()
    gradient = policy.concentration.grad.clone()
    policy.zero_grad()
    kept = Beta(*policy.concentration).log_prob(torch.tensor([0.25, 0.5, 0.75]))
    kept.sum().backward()
    assert_close(gradient, policy.concentration.grad)


# ---------------------------------------------------------------------- the agent's optimizer


def test_the_agent_drives_its_optimizer():
    policy = Counter()
    agent = Agent(Script(), torch.optim.SGD(policy.parameters(), lr=0.1))
    (3 * policy.weight).backward()
    assert agent.step(max_norm=1.0).item() == 3
    assert policy.weight.item() == pytest.approx(0.9)
    agent.zero_grad()
    assert policy.weight.grad is None
    (3 * policy.weight).backward()
    assert agent.step() is None
    assert policy.weight.item() == pytest.approx(0.6)


def test_without_an_optimizer():
    for call in (Agent(Script()).step, Agent(Script()).zero_grad):
        with pytest.raises(RuntimeError, match=r"no optimizer: rlx\.Agent"):
            call()


# ---------------------------------------------------------------------- distributions


def test_log_probabilities_and_entropies_add_up():
    torch.manual_seed(0)
    mean, logits = torch.randn(5, 2), torch.randn(5, 3)
    std, bits = torch.rand(5, 2) + 0.5, torch.randn(5, 2, 2)
    parts = [Normal(mean, std), Categorical(logits), Bernoulli(logits=bits)]
    dist = ActionDistribution(*parts)
    actions = dist.sample()
    assert [tuple(a.shape) for a in actions] == [(5, 2), (5,), (5, 2, 2)]
    assert len(dist) == 5
    for i in range(5):
        one = sum(parts[0].log_prob(actions[0])[i, d] for d in range(2))
        one = one + logits.log_softmax(1)[i, actions[1][i]]
        one = one + parts[2].log_prob(actions[2])[i].sum()
        assert_close(dist.log_prob(*actions)[i], one)
        entropy = parts[0].entropy()[i].sum() + parts[1].entropy()[i] + parts[2].entropy()[i].sum()
        assert_close(dist.entropy()[i], entropy)
    independent = ActionDistribution(Independent(parts[0], 1), parts[1], Independent(parts[2], 2))
    assert_close(independent.log_prob(*actions), dist.log_prob(*actions))
    assert_close(independent.entropy(), dist.entropy())
    for ours, theirs in zip(independent.mode, dist.mode):
        assert torch.equal(ours, theirs)
    assert torch.equal(dist.mode[0], mean)
    assert torch.equal(dist.mode[1], logits.argmax(1))
    assert torch.equal(dist.mode[2], (bits > 0).float())


def test_rsample_has_a_gradient_where_there_is_one():
    mean, logits = torch.zeros(3, 1, requires_grad=True), torch.zeros(3, 2, requires_grad=True)
    dist = ActionDistribution(Normal(mean, 1.0), Categorical(logits))
    force, gear = dist.rsample()
    assert force.requires_grad
    assert not gear.requires_grad
    assert not any(action.requires_grad for action in dist.sample())


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ((torch.zeros(5),), "1 action components for a distribution of 2"),
        ((torch.zeros(5), torch.zeros(5, 1)), r"component 1 has shape \(5, 1\).*expects \(5,\)"),
        ((torch.zeros(5, 1), torch.zeros(5)), r"component 0 has shape \(5, 1\)"),
        ((torch.zeros(1), torch.zeros(5)), r"component 0 has shape \(1,\)"),
    ],
)
def test_actions_of_other_shapes_do_not_broadcast(actions, error):
    dist = ActionDistribution(Normal(torch.zeros(5), 1.0), Categorical(torch.zeros(5, 3)))
    with pytest.raises(ValueError, match=error):
        dist.log_prob(*actions)


@pytest.mark.parametrize(
    ("components", "error"),
    [
        ((), "at least one"),
        ((torch.zeros(3),), "not Tensor"),
        ((Normal(0.0, 1.0),), "no batch dimension"),
        ((Normal(torch.zeros(2), 1.0), Normal(torch.zeros(3), 1.0)), r"rows: \[2, 3\]"),
    ],
)
def test_what_an_action_distribution_is_not(components, error):
    with pytest.raises((ValueError, TypeError), match=error):
        ActionDistribution(*components)


LOGITS = torch.tensor([[0.0, 1.0, -2.0], [3.0, 3.0, 1.0], [0.5, -float("inf"), 0.0]])


def test_our_categorical_is_torchs():
    ours, theirs = Categorical(LOGITS), torch.distributions.Categorical(logits=LOGITS)
    assert_close(ours.logits, theirs.logits)
    assert_close(ours.probs, theirs.probs)
    assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode, theirs.mode)
    for action in (torch.tensor([0, 1, 2]), torch.tensor([2, 0, 0])):
        assert_close(ours.log_prob(action), theirs.log_prob(action))
    assert ours.batch_shape == theirs.batch_shape
    assert ours.event_shape == theirs.event_shape
    assert ours.param_shape == theirs.param_shape
    assert_close(torch.distributions.kl_divergence(ours, theirs), torch.zeros(3))
    gradients = []
    for cls in (Categorical, torch.distributions.Categorical):
        logits = LOGITS.clone().requires_grad_()
        dist = cls(logits=logits)
        (dist.log_prob(torch.tensor([0, 1, 2])) + dist.entropy()).sum().backward()
        assert logits.grad.isfinite().all()
        gradients.append(logits.grad)
    assert_close(*gradients)


@pytest.mark.parametrize(
    "make",
    [
        lambda logits: Categorical(logits),
        lambda logits: torch.distributions.Categorical(logits=logits),
        lambda logits: torch.distributions.Categorical(probs=3 * logits.softmax(-1)),
    ],
    ids=["ours", "torch's, logits", "torch's, probs"],
)
def test_samples_come_as_often_as_they_should(make):
    torch.manual_seed(0)
    n = 40_000
    dist = ActionDistribution(make(LOGITS.repeat(n, 1)))
    for draw in (dist.sample, dist.rsample):
        (actions,) = draw()
        counts = nn.functional.one_hot(actions.view(n, 3), 3).float().mean(0)
        assert_close(counts, LOGITS.softmax(1), rtol=0, atol=0.01)
        assert counts[2, 1] == 0  # masked: never


def test_a_probability_of_zero_is_never_drawn():
    probs = torch.tensor([0.0, 1e-30, 1.0]).repeat(100_000, 1)
    (actions,) = ActionDistribution(torch.distributions.Categorical(probs=probs)).sample()
    assert set(actions.tolist()) == {2}
    sure = ActionDistribution(torch.distributions.Categorical(probs=torch.eye(3)[[0, 2, 1]]))
    assert sure.sample()[0].tolist() == [0, 2, 1]


def test_the_mode_of_a_fair_coin_is_no_nan():
    assert ActionDistribution(Bernoulli(torch.tensor([0.5, 0.9]))).mode[0].tolist() == [0, 1]


def test_squashed_normal_against_a_numeric_change_of_variables():
    mean, std = torch.tensor([[0.3, -1.0]], dtype=torch.double), torch.tensor([[0.7, 1.5]]).double()
    dist = SquashedNormal(mean, std)
    a = torch.linspace(-0.999, 0.999, 501, dtype=torch.double)[:, None].expand(-1, 2)
    # P(A <= a) = Φ(atanh a): the density is its numeric derivative.
    step = 1e-6
    cdf = [Normal(mean, std).cdf((a + s).atanh()) for s in (-step, step)]
    assert_close(dist.log_prob(a).exp(), (cdf[1] - cdf[0]) / (2 * step), rtol=1e-4, atol=1e-6)


def test_squashed_normal_samples_stay_inside_and_have_finite_densities():
    torch.manual_seed(0)
    mean = torch.tensor([[0.0, 30.0, -30.0]], requires_grad=True)
    dist = SquashedNormal(mean.expand(1000, 3), torch.ones(1000, 3))
    for draw in (dist.sample(), dist.rsample()):
        assert draw.abs().max() <= 1 - 1e-6
        assert dist.log_prob(draw).isfinite().all()
    assert dist.sample().requires_grad is False
    assert_close(dist.mode, mean.tanh().clamp(-1 + 1e-6, 1 - 1e-6).expand(1000, 3))
    dist.log_prob(dist.rsample()).sum().backward()
    assert mean.grad.isfinite().all()
    assert dist.log_prob(torch.tensor([[1.0, -1.0, 2.0]])).isfinite().all()
    draws = SquashedNormal(torch.full((100_000, 1), 0.5), torch.tensor(0.8)).sample()
    expected = Normal(0.5, 0.8).sample((100_000,)).tanh()
    assert_close(draws.mean(), expected.mean(), rtol=0, atol=0.02)


def test_a_squashed_policy_samples_and_evaluates_without_an_entropy():
    class Squashed(Parametric):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 2)

        def forward(self, *states):
            mean = self.net(states[1])
            return None, ActionDistribution(SquashedNormal(mean, torch.full_like(mean, 0.5)))

    agent = Agent(Script(action_space=spaces.Box(-1, 1, (2,))))
    policy = Squashed()
    rollout = agent(policy).episodes(3)
    for each in (rollout, agent(policy).evaluate(rollout), rollout + rollout, rollout[:-1]):
        assert each.logprobs.isfinite().all()
        with pytest.raises(RuntimeError, match=r"no closed form; -rollout\.logprobs"):
            _ = each.entropy
    assert_close(agent(policy).evaluate(rollout).logprobs, rollout.logprobs, rtol=0, atol=1e-4)
    assert agent(policy).evaluate(rollout, sample=True).logprobs.requires_grad
    assert agent(policy).episode(greedy=True).actions[0].abs().max() < 1


@pytest.mark.parametrize("before", [True, False])
def test_torchs_own_checks_are_as_they_were(before):
    class Fails(Parametric):
        def forward(self, *states):
            assert Distribution._validate_args is False
            raise KeyError("oops")

    agent = Agent(Script())
    rollout = agent(Coin()).episode()
    old = Distribution._validate_args
    Distribution.set_default_validate_args(before)
    try:
        agent(Coin()).episode()
        agent(Coin()).evaluate(rollout)
        assert Distribution._validate_args is before
        for call in (agent(Fails()).episode, lambda: agent(Fails()).evaluate(rollout)):
            with pytest.raises(KeyError):
                call()
            assert Distribution._validate_args is before
    finally:
        Distribution.set_default_validate_args(old)


# ---------------------------------------------------------------------- devices


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("cls", [MLPPolicy, GRUPolicy, LSTMPolicy])
@pytest.mark.parametrize("mode", [None, *MODES])
def test_on_a_cuda_device(cls, mode):
    agent = Agent(reach("one" if mode is None else "sync", mode, "both"), seed=0, device="cuda")
    policy = lively(cls, agent).cuda()
    rollout = agent(policy).segment(9) + agent(policy).segment(5) + agent(policy).episodes(4)
    assert rollout.states.is_cuda
    assert rollout.rewards.is_cuda
    assert rollout.end.is_cuda
    for each in (rollout, rollout.to("cpu"), rollout.vectorize().shuffle(), rollout[:-1].chunks(3)):
        evaluated = agent(policy).evaluate(each)
        assert evaluated.logprobs.is_cuda
        assert_close(evaluated.logprobs, each.logprobs.cuda(), rtol=0, atol=1e-4)
        evaluated.logprobs.sum().backward()
    rollout.gae(rollout.others[0].detach(), 0.9, 0.9)
    rollout.mc_returns()
    assert len(rollout.vectorize()[rollout.vectorize().end]) == len(rollout.lengths)
    assert rollout.minibatches(2)[0].returns.is_cuda
