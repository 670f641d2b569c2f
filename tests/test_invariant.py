"""Evaluating with the policy that sampled gives its log-probabilities, entropies and values again.

At every row, across resets and segment borders, whatever the policy, the environment, the actions.
"""

import itertools

import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from torch.testing import assert_close
from worlds import (
    KIND_IDS,
    KINDS,
    LIMIT,
    MODES,
    REACH,
    REACH_STEPS,
    CellGRU,
    CellLSTM,
    NativeScript,
    Script,
    in_plain,
    lively,
    reach,
    script_length,
    scripts,
)

import rlx
from rlx import plain
from rlx.networks import GRUPolicy, LSTMPolicy, MLPPolicy

POLICIES = [MLPPolicy, GRUPolicy, LSTMPolicy]
ACTIONS = ["discrete", "continuous", "both"]
TOLERANCE = dict(rtol=0, atol=1e-5)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def leaves(column):
    return column if isinstance(column, tuple) else () if column is None else (column,)


def assert_same(one, two, **tolerance):
    tolerance = tolerance or TOLERANCE
    assert_close(one.logprobs, two.logprobs, **tolerance)
    assert_close(one.entropy, two.entropy, **tolerance)
    assert_close(one.others[0], two.others[0], **tolerance)


def assert_as_plain(policy, rollout, evaluated):
    """The invariant, stated over: one episode at a time, one row at a time, nothing batched."""
    logprobs, entropy, (values,) = plain.evaluate(policy, in_plain(rollout))
    assert_close(evaluated.logprobs, logprobs, **TOLERANCE)
    assert_close(evaluated.entropy, entropy, **TOLERANCE)
    assert_close(evaluated.others[0], values.flatten(), **TOLERANCE)


def check_world(rollout):
    """Do the rows tell a true story? Each state follows from the one before by Reach's dynamics."""
    end, start = rollout.end, rollout.start
    assert end.nonzero()[:, 0].tolist() == (torch.tensor(rollout.lengths).cumsum(0) - 1).tolist()
    assert (rollout.rewards[end] == 0).all()
    assert not (rollout.terminated & ~end).any()
    assert min(rollout.lengths) >= 2  # a fragment of no step is no fragment
    position, velocity, target = rollout.states.unbind(1)
    assert (velocity[start] == 0).all()
    force = rollout.actions[0].flatten().float()
    if rollout.actions[0].dtype == torch.int64:
        force = force - 1
    force = force.clamp(-1, 1) * (1 + rollout.actions[1] if len(rollout.actions) > 1 else 1)
    new_velocity = (velocity + 0.1 * force).clamp(-1, 1)
    new_position = (position + 0.1 * new_velocity).clamp(-1, 1)
    went_on = ~end[:-1]
    assert_close(new_position[:-1][went_on], position[1:][went_on], **TOLERANCE)
    assert_close(new_velocity[:-1][went_on], velocity[1:][went_on], **TOLERANCE)
    assert_close(target[:-1][went_on], target[1:][went_on], rtol=0, atol=0)
    reward = 1 - (position[1:] - target[1:]).abs()
    assert_close(rollout.rewards[:-1][went_on], reward[went_on], **TOLERANCE)
    outside = end & (position.abs() >= REACH["terminate_at"])
    assert torch.equal(rollout.terminated, outside)
    for episode in rollout.episodes:
        assert not episode.start[1:].any()
        assert len(episode) <= REACH_STEPS + 1


def check_invariant(agent, policy, rollout):
    evaluated = agent(policy).evaluate(rollout)
    assert_as_plain(policy, rollout, rollout)
    assert_same(evaluated, rollout)
    shuffled = rollout.vectorize().shuffle()
    assert_same(agent(policy).evaluate(shuffled), shuffled)
    pieces = rollout[:-1].chunks(3).shuffle()
    assert_same(agent(policy).evaluate(pieces), pieces)
    for batch in pieces.minibatches(min(2, len(pieces.lengths))):
        assert_same(agent(policy).evaluate(batch), batch)
    for stored in leaves(rollout.recur_states):
        assert (stored[rollout.start] == 0).all()


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=KIND_IDS)
@pytest.mark.parametrize("cls", POLICIES)
def test_episodes(cls, kind, mode, actions):
    torch.manual_seed(0)
    agent = rlx.Agent(reach(kind, mode, actions), seed=0)
    policy = lively(cls, agent, hidden=8 if cls is not MLPPolicy else (8,))
    with torch.no_grad():
        cut, rollout = agent(policy).episode(3), agent(policy).episodes(5)
        for each in (cut, rollout):
            assert each.start[0]
            check_world(each)
        check_invariant(agent, policy, cut + rollout)
    assert len(rollout.lengths) == 5
    for episode in rollout.episodes:
        assert len(episode) == REACH_STEPS + 1 or episode.terminated[-1]


def test_this_world_has_all_kinds_of_episodes():
    torch.manual_seed(0)
    agent = rlx.Agent(reach("native", AutoresetMode.SAME_STEP, "continuous"), seed=1)
    rollout = agent(lively(MLPPolicy, agent)).episodes(50)
    truncated = rollout.end & ~rollout.terminated
    assert min(rollout.terminated.sum(), truncated.sum()) >= 10
    assert {2, 4, 5, REACH_STEPS, REACH_STEPS + 1} <= set(rollout.lengths)


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=KIND_IDS)
@pytest.mark.parametrize("cls", POLICIES)
def test_segments(cls, kind, mode, actions):
    torch.manual_seed(0)
    agent = rlx.Agent(reach(kind, mode, actions), seed=0)
    policy = lively(cls, agent, hidden=8 if cls is not MLPPolicy else (8,))
    with torch.no_grad():
        segments = [agent(policy).segment(n) for n in (5, 1, 9)]
        for rollout in segments:
            check_world(rollout)
            assert_same(agent(policy).evaluate(rollout), rollout)
        for one, two in itertools.pairwise(segments):
            check_continues(one, two)
        together = rlx.Rollout.cat(segments)
        check_invariant(agent, policy, together)
    if mode != AutoresetMode.NEXT_STEP:  # there, some calls of env.step are ghosts
        assert (~together.end).sum() == 15 * agent.num_envs
    assert not together.start.all()
    assert together.terminated.any()


def check_continues(one, two):
    """Fragments that begin in mid-episode begin with the state and memory at which one stopped."""
    ends = iter(one.end.nonzero()[:, 0].tolist())
    for i in (
        (~two.start & torch.cat([torch.tensor([True]), two.end[:-1]])).nonzero()[:, 0].tolist()
    ):
        before = next(j for j in ends if torch.equal(one.states[j], two.states[i]))
        for old, new in zip(leaves(one.recur_states), leaves(two.recur_states)):
            assert_close(old[before], new[i], **TOLERANCE)


@pytest.mark.parametrize("cls", [CellGRU, CellLSTM])
@pytest.mark.parametrize("actions", ["discrete", "both"])
def test_the_loop_and_the_fused_unroll_agree(cls, actions):
    torch.manual_seed(0)
    agent = rlx.Agent(reach("native", AutoresetMode.NEXT_STEP, actions), seed=0)
    loop = lively(cls, agent, hidden=8)
    fused = lively(cls.__bases__[0], agent, hidden=8)
    fused.load_state_dict(loop.state_dict())
    rollout = agent(loop).segment(10, dry=True) + agent(loop).segment(10, dry=True)
    rollouts = [rollout, rollout[:-1].chunks(4).shuffle(), rollout[2:]]
    for each in rollouts:
        one, two = agent(loop).evaluate(each), agent(fused).evaluate(each)
        assert_same(one, two)
        assert_same(one, agent(loop).evaluate(each.vectorize()))
        gradients = []
        for policy, evaluated in ((loop, one), (fused, two)):
            policy.zero_grad()
            loss_of(evaluated).backward()
            gradients.append({n: p.grad for n, p in policy.named_parameters()})
        assert_close(*gradients, rtol=1e-4, atol=1e-5)


def loss_of(rollout):
    """Something that weighs every row differently, end rows included."""
    weight = torch.linspace(-1, 1, len(rollout)).sin()
    return (weight * (rollout.logprobs + 0.5 * rollout.entropy + rollout.others[0] ** 2)).sum()


@pytest.mark.parametrize("cls", [MLPPolicy, CellGRU, CellLSTM, GRUPolicy, LSTMPolicy])
@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=KIND_IDS)
def test_sampling_has_the_gradient_that_evaluate_has(cls, kind, mode):
    torch.manual_seed(0)
    agent = rlx.Agent(reach(kind, mode, "both"), seed=0)
    policy = lively(cls, agent, hidden=8 if cls is not MLPPolicy else (8,))
    agent(policy).segment(4)  # the second segment begins in mid-episode
    for sampled in (agent(policy).segment(11), agent(policy).episode()):
        gradients = []
        for rollout in (sampled, agent(policy).evaluate(sampled)):
            policy.zero_grad()
            loss_of(rollout).backward()
            gradients.append(
                {n: p.grad for n, p in policy.named_parameters() if p.grad is not None}
            )
        assert any((g != 0).any() for g in gradients[0].values())
        assert_close(*gradients, rtol=1e-4, atol=1e-5)
        assert not any(h.requires_grad for h in leaves(sampled.recur_states))


@pytest.mark.parametrize("cls", [GRUPolicy, LSTMPolicy, CellGRU, CellLSTM])
def test_gradient_through_time_within_an_episode_and_nowhere_else(cls):
    torch.manual_seed(0)
    agent = rlx.Agent(reach("native", AutoresetMode.NEXT_STEP, "both"), seed=0)
    policy = lively(cls, agent, hidden=8)
    rollout = agent(policy).segment(4, dry=True) + agent(policy).segment(12, dry=True)
    rollout.states.requires_grad_()
    evaluated = agent(policy).evaluate(rollout)
    at = 0
    for length in rollout.lengths:
        last = at + length - 2  # the last executed row
        for row, column in ((last, evaluated.logprobs), (at + length - 1, evaluated.others[0])):
            (gradient,) = torch.autograd.grad(column[row], rollout.states, retain_graph=True)
            assert (gradient[at : row + 1].abs().sum(1) > 0).all()  # from the first observation on
            gradient[at : row + 1] = 0
            assert (gradient == 0).all()  # nothing from other episodes, nothing from later rows
        at += length
    assert 3 < len(rollout.lengths)
    # Chunks cut it: the stored state enters as it is.
    pieces = agent(policy).evaluate(rollout[:-1].chunks(2))
    (gradient,) = torch.autograd.grad(pieces.logprobs[3], rollout.states)
    assert gradient.abs().sum(1).nonzero()[:, 0].tolist() == [2, 3]


def test_another_policy_evaluates_from_zeros_or_from_what_is_stored():
    torch.manual_seed(0)
    agent = rlx.Agent(reach("native", AutoresetMode.SAME_STEP, "both"), seed=0)
    sampler, other = lively(GRUPolicy, agent, 0, hidden=8), lively(GRUPolicy, agent, 1, hidden=8)
    for rollout in (agent(sampler).episode(), agent(sampler).segment(9), agent(sampler).segment(9)):
        evaluated = agent(other).evaluate(rollout)
        assert_as_plain(other, rollout, evaluated)
        assert (evaluated.logprobs - rollout.logprobs).abs().max() > 0.1


# ------------------------------------------------- the same story, whoever tells it


class Certain(rlx.Parametric):
    """Practically deterministic: modes that draw other numbers of samples can be compared."""

    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRUCell(3, 4)
        torch.manual_seed(0)
        for parameter in self.rnn.parameters():
            torch.nn.init.uniform_(parameter, -0.3, 0.3)

    def forward(self, *states):
        h, x = states
        h = self.rnn(x / 100, h)
        sign = torch.where(x[:, 2] % 2 == 0, 60.0, -60.0)
        dist = torch.distributions.Categorical(logits=torch.stack([sign, -sign], 1))
        return h, rlx.ActionDistribution(dist), h.sum(1)


FACES = {f"sync-{mode.value}": lambda mode=mode: scripts(mode=mode) for mode in MODES}
FACES |= {
    f"native-{mode.value}": lambda mode=mode: NativeScript(3, autoreset_mode=mode) for mode in MODES
}


def told(row, episode, steps=None):
    """(states, rewards, terminated) of an episode of `Script`, told by hand."""
    length = min(script_length(row, episode), LIMIT)
    states = [[row, episode, t] for t in range(length + 1)]
    rewards = [1.0 + t + 10 * episode + 100 * row for t in range(length)] + [0.0]
    return states, rewards, script_length(row, episode) <= LIMIT


@pytest.mark.parametrize("face", FACES)
def test_episodes_are_told_as_they_were_written(face):
    agent, policy = rlx.Agent(FACES[face]()), Certain()
    for again in range(2):
        rollout = agent(policy).episodes(3)
        for row, episode in enumerate(rollout.episodes):
            # while others finish, some modes begin further episodes, which are thrown away
            number = int(episode.states[0, 1])
            assert number == again if again == 0 else number >= 1
            states, rewards, terminated = told(row, number)
            assert episode.states.tolist() == states
            assert episode.rewards.tolist() == rewards
            assert episode.terminated.tolist() == [False] * (len(states) - 1) + [terminated]
            assert episode.actions[0][:-1].tolist() == [t % 2 for t in range(len(states) - 1)]
            assert episode.start.tolist() == [True] + [False] * (len(states) - 1)
    assert agent.finished.lengths == [n - 1 for n in rollout.lengths]


@pytest.mark.parametrize("sizes", [[30], [1] * 30, [4, 1, 7, 2, 11, 5]], ids=str)
@pytest.mark.parametrize("face", FACES)
def test_segments_are_told_as_they_were_written(face, sizes):
    agent, policy = rlx.Agent(FACES[face]()), Certain()
    calls, step = [], agent.env.step
    agent.env.step = lambda actions: calls.append(1) or step(actions)
    finished = rlx.play.table.Finished()
    steps = {row: [] for row in range(3)}
    returns = []
    for size in sizes:
        before = len(calls)
        rollout = agent(policy).segment(size)
        # A single call that only resets is not counted: there is no row of it.
        assert len(calls) - before in ({1, 2} if size == 1 and "next" in face.lower() else {size})
        assert len(rollout)
        finished.returns += agent.finished.returns
        finished.lengths += agent.finished.lengths
        for fragment in rollout.episodes:
            row, number, t = fragment.states[0].int().tolist()
            states, rewards, terminated = told(row, number)
            part = slice(t, t + len(fragment))
            assert fragment.states.tolist() == states[part]
            assert fragment.rewards[:-1].tolist() == rewards[part][:-1]
            assert fragment.rewards[-1] == 0
            over = t + len(fragment) == len(states)
            assert fragment.terminated.tolist()[-1] == (over and terminated)
            assert fragment.start[0] == (t == 0)
            steps[row] += [(number, int(step)) for step in fragment.states[:-1, 2]]
            if over:
                returns.append(sum(rewards))
    # Every step of every environment, once and in order.
    for row in range(3):
        expected = [(k, t) for k in range(30) for t in range(len(told(row, k)[0]) - 1)]
        assert steps[row] == expected[: len(steps[row])]
        ghosts = sum(number for number, _ in steps[row][-1:]) if "next" in face.lower() else 0
        assert len(calls) - ghosts - 1 <= len(steps[row]) <= len(calls) - ghosts
    assert finished.returns == returns
    assert sum(finished.lengths) == sum(
        len(told(row, k)[0]) - 1 for row in range(3) for k in range(30)
        if (k, len(told(row, k)[0]) - 2) in steps[row]
    )  # fmt: skip


@pytest.mark.parametrize("sizes", [[25], [6, 1, 9, 9]], ids=str)
def test_all_faces_give_the_same_table(sizes):
    """Episode by episode, whatever the way of resetting: also the memory and the values."""
    tables = []
    for face in FACES:
        agent = rlx.Agent(FACES[face]())
        policy = Certain()
        rollout = rlx.Rollout.cat([agent(policy).segment(n) for n in sizes])
        columns = {}
        for step in rollout:
            key = tuple(step.state.int().tolist())
            columns.setdefault(key, []).append(step)
        tables.append(columns)
    for other in tables[1:]:
        common = tables[0].keys() & other.keys()
        assert len(common) > 40
        pairs = [(a, b) for key in common for a in tables[0][key] for b in other[key]]
        for value in (lambda step: step.others[0], lambda step: step.recur_state):
            one, two = (torch.stack([value(step) for step in steps]) for steps in zip(*pairs))
            assert_close(one, two, **TOLERANCE)


@pytest.mark.parametrize("mode", MODES)
def test_environments_in_other_processes(mode):
    torch.manual_seed(0)
    env = AsyncVectorEnv(
        [lambda: Script(reuse=False), lambda: Script(1, reuse=False)], autoreset_mode=mode
    )
    try:
        agent, policy = rlx.Agent(env, seed=0), Certain()
        reference = rlx.Agent(scripts(2, mode), seed=0)
        for n in (3, 5, 4):
            one, two = agent(policy).segment(n), reference(policy).segment(n)
            assert_same(agent(policy).evaluate(one), one)
            assert torch.equal(one.states, two.states)
            assert torch.equal(one.rewards, two.rewards)
            assert torch.equal(one.terminated, two.terminated)
            assert one.lengths == two.lengths
    finally:
        env.close()
