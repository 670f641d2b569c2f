"""rlx.plain is what all of rlx has to say: the fast code gives its rows, numbers and gradients.

Whatever the policy, the actions, the environment and its way to reset; across segment borders."""

import copy
import inspect
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch.distributions import Categorical, Normal
from torch.testing import assert_close
from worlds import (
    KIND_IDS,
    KINDS,
    MODES,
    REACH_STEPS,
    CellGRU,
    CellLSTM,
    Coin,
    Script,
    in_plain,
    lively,
    reach,
    scripts,
)

import rlx
from rlx import plain
from rlx.columns import apply
from rlx.course import PlainSampler
from rlx.networks import GRUPolicy, LSTMPolicy, MLPPolicy
from rlx.seeding import spawn

POLICIES = [MLPPolicy, GRUPolicy, LSTMPolicy, CellGRU, CellLSTM]
ACTIONS = ["discrete", "continuous", "both"]
TOLERANCE = dict(rtol=0, atol=1e-5)
N_ENVS = 3
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def no_chance(monkeypatch):
    """Numbers drawn in another order cannot be compared: take the most probable action."""
    monkeypatch.setattr(rlx.ActionDistribution, "sample", lambda dist: dist.mode)
    monkeypatch.setattr(
        plain, "sample", lambda components: rlx.ActionDistribution(*components).mode
    )


def make(cls, kind, mode, actions):
    torch.manual_seed(0)
    agent = rlx.Agent(reach(kind, mode, actions), seed=0)
    policy = lively(cls, agent, hidden=8 if cls is not MLPPolicy else (8,))
    return agent, policy


def assert_same_rows(table, rollout):
    assert table.lengths == rollout.lengths
    assert_close(table.column("state"), rollout.states, **TOLERANCE)
    assert_close(table.column("reward"), rollout.rewards, **TOLERANCE)
    for name in ("end", "terminated", "start"):
        assert table.column(name).tolist() == getattr(rollout, name).tolist()
    for t, row in enumerate(table.rows):
        if not row.end:  # that of an end row is never executed
            for mine, theirs in zip(row.action, rollout.actions, strict=True):
                assert_close(mine, theirs[t], **TOLERANCE)
        if rollout.recur_states is None:
            assert row.recur_state is None
            continue
        memory = apply(lambda h, t=t: h[t : t + 1], rollout.recur_states)
        mine = row.recur_state
        mine = apply(torch.zeros_like, memory) if mine is None else mine
        assert_close(
            mine, memory if isinstance(mine, tuple) else torch.as_tensor(memory), **TOLERANCE
        )


def plain_envs(actions):
    """The environments of `make(…, "sync", …)`, one by one, from the same seeds."""
    envs = [reach("one", None, actions) for _ in range(N_ENVS)]
    return envs, plain.begin(envs, spawn(0, N_ENVS))


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED], ids=str)
@pytest.mark.parametrize("cls", POLICIES)
def test_segments_have_the_same_rows(no_chance, cls, mode, actions):
    agent, policy = make(cls, "sync", mode, actions)
    envs, carry = plain_envs(actions)
    cut_in_mid_episode = False
    for n in (5, 1, 9, 17):
        rollout = agent(policy).segment(n)
        table, carry = plain.play(envs, policy, carry, n)
        assert_same_rows(table, rollout)
        cut_in_mid_episode |= not all(episode.start[0] for episode in rollout.episodes)
    assert cut_in_mid_episode
    assert rollout.terminated.any()
    assert (rollout.end & ~rollout.terminated).any()


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("cls", POLICIES)
def test_episodes_have_the_same_rows(no_chance, cls, mode, actions):
    agent, policy = make(cls, "sync", mode, actions)
    envs, carry = plain_envs(actions)
    rollout = agent(policy).episodes(N_ENVS)
    table, _ = plain.play(envs, policy, carry, REACH_STEPS)
    firsts = [i for i, rows in enumerate(table.episodes) if is_first(table, i)]
    assert len(firsts) == N_ENVS
    rows = [row for i in firsts for row in table.episodes[i]]
    assert_same_rows(plain.Rollout(rows, [table.lengths[i] for i in firsts]), rollout)


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("cls", [MLPPolicy, GRUPolicy])
def test_an_agent_plays_by_it(no_chance, cls, dry):
    fast, policy = make(cls, "sync", AutoresetMode.DISABLED, "both")
    slow = rlx.Agent(PlainSampler(*(reach("one", None, "both") for _ in range(N_ENVS))), seed=0)
    assert isinstance(slow.sampler, rlx.Sampler)
    rollouts = [[agent(policy).segment(n, dry) for agent in (fast, slow)] for n in (5, 9, 1)]
    for agent in (fast, slow):
        agent.seed(1)
    fast(policy).episodes(N_ENVS, horizon=1)  # its reset had the seed, and the next one has none
    rollouts.append([agent(policy).episodes(N_ENVS, dry=dry) for agent in (fast, slow)])
    for one, other in rollouts:
        assert one.lengths == other.lengths
        assert one.dry == other.dry == dry
        done = ~one.end
        names = ["states", "rewards", "end", "terminated", "start", *["logprobs"] * (not dry)]
        for name in names:
            assert_close(getattr(other, name), getattr(one, name), **TOLERANCE)
        assert_close([a[done] for a in other.actions], [a[done] for a in one.actions], **TOLERANCE)
    assert slow.finished.lengths == fast.finished.lengths
    assert_close(slow.finished.returns, fast.finished.returns, **TOLERANCE)


def is_first(table, i):
    """Is this the first episode of its environment? It is, where another environment's ended by
    the horizon or where the table begins: the rows of each environment take REACH_STEPS steps."""
    steps = sum(length - 1 for length in table.lengths[:i])
    return steps % REACH_STEPS == 0


@pytest.mark.parametrize(
    "actions",  # both: a component of either kind
    ["both", *(pytest.param(one, marks=pytest.mark.slow) for one in ACTIONS if one != "both")],
)
@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=KIND_IDS)
@pytest.mark.parametrize("cls", POLICIES)
def test_evaluate_gives_the_same_numbers_and_gradients(cls, kind, mode, actions):
    agent, policy = make(cls, kind, mode, actions)
    other = lively(cls, agent, 1, hidden=8 if cls is not MLPPolicy else (8,))
    agent(policy).segment(4)
    for rollout in (agent(policy).segment(11), agent(policy).episode(3)):
        table = in_plain(rollout)
        for judge in (policy, other):
            fast = agent(judge).evaluate(rollout)
            slow = plain.evaluate(judge, table)
            gradients = []
            for logprobs, entropy, values in (
                (fast.logprobs, fast.entropy, fast.others[0]),
                (slow[0], slow[1], slow[2][0].flatten()),
            ):
                weight = torch.linspace(-1, 1, len(rollout)).sin()
                loss = (weight * (logprobs + 0.5 * entropy + values**2)).sum()
                judge.zero_grad()
                loss.backward()
                gradients.append([p.grad for p in judge.parameters() if p.grad is not None])
            assert_close(fast.logprobs, slow[0], **TOLERANCE)
            assert_close(fast.entropy, slow[1], **TOLERANCE)
            assert_close(fast.others[0], slow[2][0].flatten(), **TOLERANCE)
            assert_close(*gradients, rtol=1e-4, atol=1e-5)
        assert_close(slow[0], slow[0] * ~rollout.end)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99, 1.0])
def test_returns_and_slices_are_the_same(gamma):
    agent, policy = make(MLPPolicy, "sync", AutoresetMode.SAME_STEP, "discrete")
    rollout = agent(policy).segment(20)
    table = in_plain(rollout)
    rewards, end = table.column("reward"), table.column("end")
    rollout.mc_returns(gamma)
    assert_close(plain.discounted_returns(rewards, end, gamma), rollout.returns, **TOLERANCE)
    for episode, rows in zip(rollout.episodes, table.episodes, strict=True):
        found = plain.discounted_return([row.reward for row in rows], gamma)
        assert found == pytest.approx(episode.returns[0].item(), abs=1e-5)
    for index in (slice(None, -1), slice(1, None), slice(2, 4), slice(-1, None)):
        assert_same_rows(table[index], rollout[index])
    assert_same_rows(table + table, rollout + rollout)
    states, lengths = plain.drop_last(rollout.states, rollout.lengths)
    assert_close(states, rollout[:-1].states, rtol=0, atol=0)
    assert lengths == rollout[:-1].lengths


@pytest.mark.parametrize("cls", [MLPPolicy, GRUPolicy, CellLSTM])
def test_reinforce_gives_the_same_parameters(cls):
    agent, policy = make(cls, "sync", AutoresetMode.SAME_STEP, "both")
    twin = copy.deepcopy(policy)
    learner = rlx.algos.REINFORCE(agent, policy, batch_size=6, gamma=0.9, entropy_reg=0.0, lr=0.01)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    before = copy.deepcopy(policy.state_dict())
    for seed in range(3):
        agent.seed(seed)
        torch.manual_seed(seed)
        rollout = agent(twin).episodes(6)
        plain.reinforce(twin, optimizer, in_plain(rollout), gamma=0.9)
        agent.seed(seed)
        torch.manual_seed(seed)
        learner.update()
    assert_close(policy.state_dict(), twin.state_dict(), rtol=0, atol=1e-4)
    assert any((before[name] - new).abs().max() > 1e-3 for name, new in twin.state_dict().items())


def test_run_episode_is_what_an_agent_plays(no_chance):
    agent, policy = make(MLPPolicy, "one", None, "discrete")
    envs = [reach("one", None, "discrete")]
    envs[0].reset(seed=0)

    def act(observation):
        _, dist, *_ = policy(None, torch.tensor(observation)[None])
        return plain.for_env(envs[0].action_space, [dist.mode[0][0]])

    agent(policy).episode()  # its reset had the seed; `run_episode` comes after that reset
    rollout = agent(policy).episode()
    states, actions, rewards, terminated = plain.run_episode(envs[0], act, 100)
    assert_close(torch.tensor(np.stack(states)), rollout.states, **TOLERANCE)
    assert actions == (rollout.actions[0][:-1] + envs[0].action_space.start).tolist()
    assert rewards == pytest.approx(rollout.rewards[:-1].tolist(), abs=1e-5)
    assert terminated == bool(rollout.terminated[-1])


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 5, 100])
def test_run_episode_ends_as_an_agent_does(horizon):
    """Script's episodes terminate after 2 steps, are truncated after 4, and terminate again."""
    env = Script(reuse=False)
    agent, policy = rlx.Agent(Script(reuse=False)), Coin()
    flags = []
    for _ in range(4):
        rollout = agent(policy).episode(horizon)
        states, actions, rewards, terminated = plain.run_episode(env, lambda _: 0, horizon)
        assert_close(torch.tensor(np.stack(states)), rollout.states, **TOLERANCE)
        assert rewards == rollout.rewards[:-1].tolist()
        assert len(actions) == len(rewards)
        assert terminated == bool(rollout.terminated[-1])
        flags.append(terminated)
    assert flags == [horizon >= 2, False, horizon >= 3, True]


def test_a_table_keeps_what_it_was_given():
    """Also where the environment writes the next observation into the same array."""
    buffer = torch.zeros(2)
    table = plain.Rollout()
    for number in (1.0, 2.0):
        buffer[:] = number
        table << plain.Row(buffer)
    assert table.column("state").tolist() == [[1, 1], [2, 2]]


def test_played_rows_are_copies():
    carry = plain.begin(envs := [Script(row) for row in range(N_ENVS)], spawn(0, N_ENVS))
    agent = rlx.Agent(scripts(N_ENVS, AutoresetMode.DISABLED), seed=0)
    for n in (3, 7):
        rollout = agent(Coin()).segment(n)
        table, carry = plain.play(envs, Coin(), carry, n)
        assert_close(table.column("state"), rollout.states, rtol=0, atol=0)
        assert_close(table.column("reward"), rollout.rewards, rtol=0, atol=0)


FORCE = spaces.Box(-0.5, 0.5, (2,), dtype=np.float32)
GEAR = spaces.Discrete(3, start=5)


@pytest.mark.parametrize("space", [FORCE, GEAR, spaces.Tuple((GEAR, FORCE))], ids=str)
def test_environments_are_handed_the_same_actions(no_chance, space):
    """Within their bounds, whatever the policy drew, and counted from `start`."""
    agent = rlx.Agent(Script(action_space=space))
    policy = lively(MLPPolicy, agent, hidden=(8,))
    carry = plain.begin(envs := [Script(action_space=space)], [0])
    rollout = agent(policy).segment(12)
    table, _ = plain.play(envs, policy, carry, 12)
    assert_same_rows(table, rollout)
    for mine, theirs in zip(envs[0].actions, agent.env.unwrapped.actions, strict=True):
        for one, other in zip(*(a if isinstance(a, tuple) else (a,) for a in (mine, theirs))):
            assert np.asarray(one) == pytest.approx(np.asarray(other), abs=1e-5)
    if space != GEAR:
        assert (rollout.actions[-1].abs() > 0.5).any()  # the table keeps what was drawn


def test_samples_are_of_their_own_component_and_carry_no_gradient():
    torch.manual_seed(0)
    logits = torch.tensor([0.1, 0.2, 0.7]).log().expand(20_000, 3)
    mean = torch.full((20_000, 2), 3.0, requires_grad=True)
    gear, force = plain.sample([Categorical(logits=logits), Normal(mean, 0.5)])
    assert_close(gear.bincount() / 20_000, torch.tensor([0.1, 0.2, 0.7]), rtol=0, atol=0.02)
    assert_close(force.mean(0), torch.full((2,), 3.0), rtol=0, atol=0.02)
    assert_close(force.std(0), torch.full((2,), 0.5), rtol=0, atol=0.02)
    assert not force.requires_grad


def test_an_episode_of_one_row_leaves_nothing_behind():
    rollout = rlx.Agent(scripts(N_ENVS))(Coin()).segment(4)
    rollout = rollout + rollout[-1:] + rollout
    states, lengths = plain.drop_last(rollout.states, rollout.lengths)
    assert_close(states, rollout[:-1].states, rtol=0, atol=0)
    assert lengths == rollout[:-1].lengths


@pytest.mark.parametrize("cls", [GRUPolicy, LSTMPolicy])
def test_unroll_finds_the_memories_of_a_whole_table(cls):
    agent, policy = make(cls, "sync", AutoresetMode.SAME_STEP, "discrete")
    rollout = agent(policy).episodes(5, dry=True)
    found = plain.unroll(
        lambda h, state: policy(h, state[None])[0], None, rollout.states, rollout.start
    )
    for t, memory in enumerate(found):
        stored = apply(lambda h, t=t: h[t : t + 1], rollout.recur_states)
        mine = apply(torch.zeros_like, stored) if memory is None else memory
        assert_close(mine, stored, **TOLERANCE)
    assert [memory is None for memory in found] == rollout.start.tolist()


def test_policy_gradient_loss_and_normalize_are_the_library_s():
    logprobs, advantages = torch.tensor([[-1.0, -2.0, -0.5], [3.0, -1.0, 4.0]]).unbind()
    logprobs.requires_grad_()
    advantages.requires_grad_()
    loss = plain.policy_gradient_loss(logprobs, advantages)
    assert loss.item() == pytest.approx(1.0)  # -(-3 + 2 - 2) / 3
    (slope,) = torch.autograd.grad(loss, logprobs, retain_graph=True)
    assert_close(slope, torch.tensor([-1.0, 1 / 3, -4 / 3]))
    assert torch.autograd.grad(loss, advantages, allow_unused=True) == (None,)
    expected = torch.tensor([1.0, -3.0, 2.0]) / np.sqrt(14 / 3)  # mean 2, squares 1 + 9 + 4
    assert_close(plain.normalize(advantages.detach()), expected)


UNROLL = plain.unroll


@pytest.mark.parametrize("mistake", ["memory kept at resets", "all memory cleared"])
def test_a_mistake_in_playing_shows(no_chance, monkeypatch, mistake):
    wrong = {
        "memory kept at resets": lambda h, fresh: h,
        "all memory cleared": lambda h, fresh: torch.zeros_like(h),
    }
    monkeypatch.setattr(plain, "forget", wrong[mistake])
    with pytest.raises(AssertionError):
        test_segments_have_the_same_rows(None, GRUPolicy, AutoresetMode.SAME_STEP, "both")


@pytest.mark.parametrize(
    ("name", "wrong"),
    {
        "only the first component": ("log_prob", lambda c, a: plain.row_sum(c[0].log_prob(a[0]))),
        "entropy averaged": ("entropy", lambda c: sum(plain.row_sum(x.entropy()) for x in c) / 2),
        "memory from nothing": ("unroll", lambda step, h0, states, start: [None] * len(states)),
        "memory cut from the gradient": (
            "unroll",
            lambda step, h0, states, start: [
                apply(torch.Tensor.detach, h) for h in UNROLL(step, h0, states, start)
            ],
        ),
    }.values(),
    ids=["one component", "entropy averaged", "no memory", "no gradient through time"],
)
def test_a_mistake_in_evaluating_shows(monkeypatch, name, wrong):
    monkeypatch.setattr(plain, name, wrong)
    with pytest.raises(AssertionError):
        test_evaluate_gives_the_same_numbers_and_gradients(
            GRUPolicy, "sync", AutoresetMode.SAME_STEP, "both"
        )


# ------------------------------------------------------------------ the chapters build this file

PIECES = {
    "01_loop": ["run_episode", "discounted_return"],
    "02_rollout": ["Row", "Rollout", "discounted_returns", "drop_last"],
    "03_policies": ["row_sum", "sample", "log_prob", "entropy", "for_env"],
    "04_memory": [
        "each",
        "memory_of",
        "forget",
        "Carry",
        "begin",
        "play",
        "end_row",
        "unroll",
        "evaluate",
    ],
    "05_reinforce": ["normalize", "policy_gradient_loss", "reinforce"],
}


@pytest.mark.parametrize(
    ("chapter", "piece"), [(c, piece) for c, pieces in PIECES.items() for piece in pieces]
)
def test_the_chapter_builds_it_to_the_letter(chapter, piece):
    notebook = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", as_version=4)
    cells = [cell.source.strip() for cell in notebook.cells if cell.cell_type == "code"]
    assert any(inspect.getsource(getattr(plain, piece)).strip() in cell for cell in cells)
