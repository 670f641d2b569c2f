"""DQN, DDPG, TD3 and SAC, and what they are made of: actions, critics, windows of a replay.

What an update does to the parameters is compared with loops over windows and rows that say it once
more; and these, with one thing wrong in them, must not agree.
"""

import contextlib
import copy
import math
from functools import partial
from itertools import product
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import nn, tensor
from torch.distributions import Normal, Uniform
from torch.testing import assert_close
from worlds import MODES, Script, reach, scripts

import rlx
from rlx import functional
from rlx.algos import DDPG, DQN, SAC, TD3
from rlx.algos.offpolicy import frozen
from rlx.critics import Critic, NoisyPolicy, QNetwork, QPolicy, SquashedPolicy
from rlx.distributions import EpsilonGreedy

KINDS = (DQN, DDPG, TD3, SAC)
CONTINUOUS = (DDPG, TD3, SAC)
NETWORKS = {DQN: QNetwork, DDPG: NoisyPolicy, TD3: NoisyPolicy, SAC: SquashedPolicy}
MEMORIES = [None, "gru", "lstm"]
TOLERANCE = dict(rtol=0, atol=1e-5)

of_all = pytest.mark.parametrize("kind", KINDS)
continuous = pytest.mark.parametrize("kind", CONTINUOUS)
every_memory = pytest.mark.parametrize("memory", MEMORIES)
recurrent = pytest.mark.parametrize("memory", MEMORIES[1:])


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class TwoBoxes(gym.Env):
    """Two continuous actions of different shapes and bounds; what they are changes nothing."""

    observation_space = spaces.Box(-1, 1, (3,), dtype=np.float32)
    action_space = spaces.Tuple(
        (
            spaces.Box(-2, 3, (2,), dtype=np.float32),
            spaces.Box(np.float32([0, 99]), np.float32([10, 101])),
        )
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action} is outside"
        self.t += 1
        terminated = bool(self.np_random.random() < 0.15)
        observation = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return observation, float(self.np_random.normal()), terminated, self.t == 6, {}


class Shapeless(TwoBoxes):
    """Its action is one number, not an array of one."""

    action_space = spaces.Box(-2, 3, (), dtype=np.float32)


def two_boxes(num_envs=None):
    if num_envs is None:
        return rlx.Agent(TwoBoxes(), seed=0)
    return rlx.Agent(gym.vector.SyncVectorEnv([TwoBoxes] * num_envs), seed=0)


def on_reach(kind, env="one", mode=None, num_envs=3):
    actions = "discrete" if kind in (DQN, QNetwork) else "continuous"
    return rlx.Agent(reach(env, mode, actions, num_envs), seed=0)


def lively(network, amount=0.3, seed=0):
    """Away from the small first weights, which would hide mistakes in what they multiply."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += amount * torch.randn(parameter.shape, generator=generator)
    return network


def network_for(kind, agent, memory=None, hidden=8, seed=0):
    torch.manual_seed(seed)
    network = NETWORKS.get(kind, kind)
    return network(agent, hidden=hidden, memory=memory)


def parameters(*modules):
    return torch.cat([p.detach().flatten() for module in modules for p in module.parameters()])


# ---------------------------------------------------------------------- ε-greedy


def test_epsilon_greedy_probabilities():
    q = tensor([[1.0, 3.0, 2.0], [5.0, 0.0, -9.0]])
    for epsilon, probs in [
        (0.3, [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]),
        (0.0, [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
        (1.0, [[1 / 3] * 3, [1 / 3] * 3]),
        ([0.0, 0.6], [[0.0, 1.0, 0.0], [0.6, 0.2, 0.2]]),  # one ε a row
    ]:
        dist = EpsilonGreedy(q, tensor(epsilon))
        assert_close(dist.probs, tensor(probs))
        assert dist.mode.tolist() == [1, 0]  # also where ε is 1
        for a in range(3):
            expected = tensor([math.log(row[a]) if row[a] else -math.inf for row in probs])
            assert_close(dist.log_prob(tensor([a, a])), expected)
        entropy = [-sum(p * math.log(p) for p in row if p) for row in probs]
        assert_close(dist.entropy(), tensor(entropy))


def test_epsilon_greedy_actions_come_as_often_as_they_should():
    torch.manual_seed(0)
    n, q = 20_000, tensor([[0.0, 7.0, 1.0, 2.0]]).expand(60_000, 4)
    dist = EpsilonGreedy(q, tensor([0.0, 0.4, 1.0]).repeat_interleave(n))
    (actions,) = rlx.ActionDistribution(dist).sample()
    for drawn, expected in zip(actions.split(n), ([0, 1, 0, 0], [0.1, 0.7, 0.1, 0.1], [0.25] * 4)):
        shares = drawn.bincount(minlength=4) / n
        assert_close(shares, tensor(expected).float(), rtol=0, atol=4 * 0.5 / math.sqrt(n))
    assert actions[:n].eq(1).all()  # with ε = 0 never another, not even rarely


@pytest.mark.parametrize("length", [2, 5])
def test_one_step_returns_are_the_same_the_short_way(length):
    agent = on_reach(DQN, "native", MODES[0])
    algorithm = DQN(agent, network_for(DQN, agent), length=length, gamma=0.9)
    with torch.no_grad():
        algorithm.replay.add(agent(algorithm.policy).segment(40))
    batch = algorithm.replay.sample(200, length)
    values, rows = torch.randn(len(batch)), ~batch.end & (torch.rand(len(batch)) < 0.7)
    expected = batch.n_step_returns(values, 0.9, 1)[rows]
    assert torch.equal(algorithm.returns(batch, values, rows), expected)


def test_one_epsilon_is_for_any_number_of_rows_and_many_for_as_many():
    q = torch.randn(5, 3)
    one, many = EpsilonGreedy(q, tensor(0.1)), EpsilonGreedy(q, tensor([0.1, 0.2]))
    assert one.probs.shape == (5, 3)
    assert torch.equal(many.mode, q.argmax(1))
    assert many.param_shape == (5, 3)
    for needed in (
        lambda: many.probs,
        many.entropy,
        lambda: many.log_prob(many.mode),
        lambda: rlx.ActionDistribution(many).sample(),
    ):
        with pytest.raises(ValueError, match=r"2 environments .* these are 5 rows.*greedy=True"):
            needed()


class QTable(rlx.Parametric):
    """Q-values that are looked up: q(s, a) = table[number of the state in s[0], a]."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(tensor(table))

    def forward(self, *states):
        _, x = states
        return None, None, self.table[x[:, 0].long()]


@pytest.mark.parametrize("mode", MODES)
def test_every_environment_has_an_epsilon_of_its_own(mode):
    # A Script's first number says which environment it is. At the end of an episode the policy may
    # be run for a few of the environments: that must not mix up their ε, or fail.
    torch.manual_seed(0)
    epsilon = tensor([0.0, 0.5, 0.9])
    agent = rlx.Agent(scripts(3, mode))
    policy = QPolicy(QTable([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), epsilon)
    with torch.no_grad():
        rollout = agent(policy).segment(40)
    row = rollout.states[:, 0].long()
    best = tensor([1, 0, 1])[row] == rollout.actions[0]
    probs = torch.where(best, (1 - epsilon / 2)[row], (epsilon / 2)[row])
    assert_close(rollout.logprobs, torch.where(rollout.end, 0.0, probs.log()))
    others = [(~best & ~rollout.end & (row == k)).sum() / (row == k).sum() for k in range(3)]
    assert others[0] == 0 < others[1] < others[2]
    with pytest.raises(ValueError, match="epsilon of their own"):
        agent(policy).evaluate(rollout)
    assert torch.equal(agent(policy.network).evaluate(rollout).others[0], rollout.others[0])


@pytest.mark.parametrize("mode", [None, *MODES])
def test_greedy_play_needs_no_epsilon(mode):
    # As after training in three environments, in one or two others.
    policy = QPolicy(QTable([[0.0, 1.0], [1.0, 0.0]]), tensor([0.3, 0.4, 0.5]))
    agent = rlx.Agent(Script(1, reuse=True) if mode is None else scripts(2, mode))
    rollout = agent(policy).episodes(4, greedy=True, dry=True)
    assert torch.equal(rollout.actions[0], 1 - rollout.states[:, 0].long())
    for needs in (dict(greedy=True), dict(dry=True)):  # log-probabilities; an action to draw
        with pytest.raises(ValueError, match="epsilon of their own"):
            agent(policy).episode(**needs)
    assert len(agent(QPolicy(policy.network, 0.1)).episode()) > 1


@every_memory
@pytest.mark.parametrize(("env", "mode"), [("one", None), *product(("sync", "native"), MODES)])
@pytest.mark.parametrize("verb", ["episodes", "segment"])
def test_what_a_q_policy_played_is_evaluated_as_it_was(memory, env, mode, verb):
    torch.manual_seed(0)
    agent = on_reach(DQN, env, mode)
    network = lively(network_for(DQN, agent, memory))
    policy = QPolicy(network, 0.3)
    with torch.no_grad():
        if verb == "episodes":
            rollout = agent(policy).episodes(5)
        else:
            rollout = agent(policy).segment(4) + agent(policy).segment(9)
        again, alone = agent(policy).evaluate(rollout), agent(network).evaluate(rollout)
    q = rollout.others[0]
    assert q.shape == (len(rollout), 3)
    greedy = q.argmax(1) == rollout.actions[0]
    steps = ~rollout.end
    assert min((greedy & steps).sum(), (~greedy & steps).sum()) > 0
    expected = torch.where(greedy, math.log(0.8), math.log(0.1)).masked_fill(rollout.end, 0.0)
    assert_close(rollout.logprobs, expected)
    assert_close(again.logprobs, rollout.logprobs, **TOLERANCE)
    assert_close(again.others[0], q, **TOLERANCE)
    assert_close(alone.others[0], q, **TOLERANCE)


# ---------------------------------------------------------------------- actors and critics


@every_memory
@pytest.mark.parametrize("cls", [SquashedPolicy, NoisyPolicy])
@pytest.mark.parametrize("world", ["reach", "native", "two boxes", "two boxes at once"])
def test_what_an_actor_played_is_evaluated_as_it_was(cls, memory, world):
    torch.manual_seed(0)
    if world.startswith("two boxes"):
        agent = two_boxes(3 if world.endswith("once") else None)
    else:
        agent = on_reach(cls, *(("native", MODES[0]) if world == "native" else ("one",)))
    policy = lively(network_for(cls, agent, memory), 0.1)
    with torch.no_grad():
        for rollout in (
            agent(policy).episodes(4),
            agent(policy).segment(5) + agent(policy).segment(6),
        ):
            again = agent(policy).evaluate(rollout)
            greedy = agent(policy).evaluate(rollout, greedy=True)
            # One of the two boxes reaches from 99 to 101: there single precision counts in 1e-5.
            coarse = dict(rtol=1e-5, atol=2e-4) if "boxes" in world else TOLERANCE
            assert_close(again.logprobs, rollout.logprobs, **coarse)
            for space, played, best in zip(
                rlx.critics.boxes(agent.action_space), rollout.actions, greedy.actions
            ):
                assert played.shape == best.shape == (len(rollout), *space.shape)
                low, high = tensor(space.low), tensor(space.high)
                assert ((low < best) & (best < high)).all()
                assert best.std(0).min() > 0  # it looks at what it sees
                if cls is SquashedPolicy:
                    assert ((low < played) & (played < high)).all()
                else:  # noise of 0.1 halves of the width, which may leave the Box
                    noise = ((played - best) / (0.1 * (high - low) / 2)).flatten()
                    assert abs(noise.mean()) < 0.6
                    assert 0.5 < noise.std() < 1.5


@pytest.mark.filterwarnings("ignore:.*Casting input")
def test_an_action_of_no_dimensions():
    for kind in CONTINUOUS:
        agent = rlx.Agent(Shapeless(), seed=0)
        algorithm = kind(agent, network_for(kind, agent), warmup=0, batch_size=4, passes=1)
        assert math.isfinite(algorithm.update()["value_loss"])


# ---------------------------------------------------------------------- critics


def played(agent, n=4):
    """Rollouts of three lengths, by actions that also lie outside their bounds."""
    policy = network_for(NoisyPolicy, agent)
    policy.noise.fill_(1.5)
    with torch.no_grad():
        return agent(policy).episodes(n, dry=True)


@every_memory
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_critic_at_once_is_a_critic_step_by_step(memory, n):
    agent = two_boxes()
    rollout = played(agent)
    torch.manual_seed(0)
    critic = lively(Critic(agent, hidden=8, memory=memory, n=n))
    values = agent(critic).evaluate(rollout).others
    assert [value.shape for value in values] == [(len(rollout),)] * n
    expected = []
    for episode in rollout.episodes:
        h = None
        for t in range(len(episode)):
            now = [action[t : t + 1] for action in episode.actions]
            h, dist, *q = critic(h, episode.states[t : t + 1], *now)
            assert dist is None
            expected.append(torch.cat(q, 1))
    assert_close(torch.stack(values, 1), torch.cat(expected), **TOLERANCE)
    assert len({round(value[0].item(), 4) for value in values}) == n  # no two are copies


@every_memory
def test_a_critic_sees_actions_as_the_environment_does(memory):
    # Cut off at their bounds, and scaled to [-1, 1]: Box(-2, 3), and Box((0, 99), (10, 101)).
    agent = two_boxes()
    critic = network_for(Critic, agent, memory)
    seen = []
    critic.qs[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    actions = tensor([[-2.0, 0.5], [4.0, -7.0]]), tensor([[10.0, 100.5], [2.5, 0.0]])
    critic(None, torch.randn(2, 3), *actions)
    assert_close(seen[0][:, -4:], tensor([[-1.0, 0.0, 1.0, 0.5], [1.0, -1.0, -0.5, -1.0]]))
    assert seen[0].shape[1] == (3 if memory is None else 8) + 4


@recurrent
def test_a_critic_has_gradients_through_time(memory):
    agent = two_boxes()
    rollout = played(agent)
    states = rollout.states.requires_grad_()
    actions = [action.clamp(0.5, 9.0).requires_grad_() for action in rollout.actions]
    critic = lively(network_for(Critic, agent, memory))
    last = agent(critic).evaluate(rollout, actions=actions).others[0][-1]
    by_state, *by_action = torch.autograd.grad(last, [states, *actions])
    first = len(rollout) - rollout.lengths[-1]
    assert rollout.lengths[-1] > 2
    assert (by_state[first:] != 0).any(1).all()  # back to the first observation
    assert not by_state[:first].any()  # and not into another episode
    for gradient in by_action:  # the memory is of observations only
        assert not gradient[:-1].any()
    assert by_action[0][-1].any()


@recurrent
def test_fresh_windows_are_entered_with_zeros(memory):
    # No rollout holds a critic's own states. The policy's are of the same shape, and wrong.
    agent = on_reach(SAC)
    policy = lively(network_for(SAC, agent, memory))
    with torch.no_grad():
        rollout = agent(policy).segment(4) + agent(policy).segment(3)
    critic = lively(network_for(Critic, agent, memory), seed=5)
    assert not rollout.start[rollout.lengths[0]]
    starts = rollout.start.clone()
    (q, _) = agent(critic).evaluate(rollout.fresh()).others
    expected = [agent(critic).evaluate(part.fresh()).others[0] for part in rollout.episodes]
    assert_close(q, torch.cat(expected), **TOLERANCE)
    h = critic(None, rollout.states[:1], rollout.actions[0][:1])[0]
    assert_close(q[1:2], critic(h, rollout.states[1:2], rollout.actions[0][1:2])[2].squeeze(1))
    begin = rollout.lengths[0]
    zeros = critic(None, rollout.states[[begin]], rollout.actions[0][[begin]])[2]
    assert_close(q[[begin]], zeros.squeeze(1), **TOLERANCE)
    entered = agent(critic).evaluate(rollout).others[0]
    assert abs(entered[begin] - q[begin]) > 1e-3
    assert torch.equal(rollout.start, starts)  # the rollout itself is as it was
    assert rollout.recur_states is not None


@every_memory
def test_a_frozen_critic_has_gradients_for_its_inputs_only(memory):
    agent = two_boxes()
    rollout = played(agent)
    actions = [action.clamp(0.5, 9.0).requires_grad_() for action in rollout.actions]
    critic = lively(network_for(Critic, agent, memory))
    critic.qs[1].requires_grad_(False)  # as somebody else left it
    before = [p.requires_grad for p in critic.parameters()]
    with contextlib.suppress(KeyError), frozen(critic):
        assert not any(p.requires_grad for p in critic.parameters())
        q = agent(critic).evaluate(rollout, actions=actions).others[0]
        raise KeyError
    assert [p.requires_grad for p in critic.parameters()] == before
    q.sum().backward()
    assert all(action.grad.any() for action in actions)
    assert all(p.grad is None for p in critic.parameters())
    agent(critic).evaluate(rollout).others[0].sum().backward()  # and after it, as ever
    assert all((p.grad is not None) == (p.requires_grad) for p in critic.parameters())


# ---------------------------------------------------------------------- windows, by hand
#
# As a Replay gives them, but in double precision: windows of one to three steps, some from the
# middle of an episode, with ends of both kinds. What must not count is garbage.

GAMMA, LR, TAU = 0.9, 0.02, 0.3
ENTROPY = sum(math.log(half) - 1 for half in (2.5, 2.5, 5.0, 1.0))  # wanted of TwoBoxes
SPECS = [(3, True, False), (3, False, True), (2, True, True), (1, False, False), (3, False, False)]


def make_windows(space, memory, seed=1):
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    windows = []
    for steps, terminated, fresh in SPECS:
        rows = steps + 1
        if isinstance(space, spaces.Discrete):
            actions = (torch.randint(int(space.n), (rows,), generator=generator),)
        else:  # also a little outside
            actions = tuple(
                tensor(part.low) + tensor(part.high - part.low) * (0.5 + 0.3 * noise(rows, 2))
                for part in space
            )
        parts = {None: 0, "gru": 1, "lstm": 2}[memory]
        stored = tuple(0.5 * noise(rows, 8) for _ in range(parts))
        windows.append(
            SimpleNamespace(
                steps=steps,
                terminated=terminated,
                fresh=fresh,
                states=noise(rows, 3),
                actions=actions,
                rewards=[*(0.3 + 0.5 * noise(steps)).tolist(), 0.0],
                stored=stored,
                entry=None if fresh or not memory else tuple(h[:1] for h in stored),
            )
        )
    return windows


def table(windows):
    lengths = [w.steps + 1 for w in windows]
    last = torch.cat([torch.arange(n) == n - 1 for n in lengths])
    first = torch.cat([torch.arange(n) == 0 for n in lengths])

    def flags(name):
        return torch.cat([tensor([getattr(w, name)] * (w.steps + 1)) for w in windows])

    return rlx.Rollout(
        lengths,
        states=torch.cat([w.states for w in windows]),
        recur_states=tuple(map(torch.cat, zip(*(w.stored for w in windows)))) or None,
        actions=tuple(map(torch.cat, zip(*(w.actions for w in windows)))),
        rewards=torch.cat([tensor(w.rewards, dtype=torch.float64) for w in windows]),
        end=last,
        terminated=last & flags("terminated"),
        start=first & flags("fresh"),
    )


def make(kind, memory=None, **options):
    """An algorithm in double precision, whose targets differ from what they are copies of."""
    agent = on_reach(DQN) if kind is DQN else two_boxes()
    policy = lively(network_for(kind, agent, memory), 0.15).double()
    if kind is not DQN:
        torch.manual_seed(1)
        critic = Critic.beside(policy, agent, DDPG.n_critics if kind is DDPG else 2)
        options = {"critic": lively(critic, seed=1).double(), **options}
    if kind is TD3:
        options = {"target_noise": 0.6, "target_clip": 0.5, **options}
    options = {"gamma": GAMMA, "lr": LR, "tau": TAU, "length": 4, "n_steps": 8, **options}
    algorithm = kind(agent, policy, **options)
    for k, name in enumerate(("target", "target_policy", "target_critic")):
        if hasattr(algorithm, name):
            lively(getattr(algorithm, name), 0.4, seed=7 + k)
    if kind is SAC:
        policy.log_std_range = (-2.0, 0.2)  # no action so far out that its tanh is 1
        algorithm.temperature.double().log_alpha.data.fill_(math.log(0.3))
    return algorithm


def nets_of(algorithm):
    """The networks of an algorithm, by name, copied."""
    names = ("policy", "critic", "target", "target_policy", "target_critic", "temperature")
    found = {name: getattr(algorithm, name) for name in names if hasattr(algorithm, name)}
    return SimpleNamespace(**copy.deepcopy(found))


def trained(nets):
    named = vars(nets)
    return [p for name, net in named.items() if "target" not in name for p in net.parameters()]


# ---------------------------------------------------------------------- the same in plain torch


def unrolled(network, window, entry=None, actions=None):
    """One row at a time. Returns [(distribution, extras)]."""
    h, rows = entry, []
    for t in range(window.steps + 1):
        now = [] if actions is None else [action[t : t + 1] for action in actions]
        h, dist, *extras = network(h, window.states[t : t + 1], *now)
        rows.append((dist, [extra.flatten() for extra in extras]))
    return rows


def target_of(window, v, t, n, fault):
    """n rewards, as far as the window goes, and then V; which is 0 where the episode terminated."""
    n = 1 if fault == "n is ignored" else window.steps if n is None else n
    last = min(t + n, window.steps)
    total = sum(GAMMA ** (k - t) * window.rewards[k] for k in range(t, last))
    over = last == window.steps and {
        "bootstraps from a terminal state": False,
        "takes a cut for an end": True,
    }.get(fault, window.terminated)
    return total + (0.0 if over else GAMMA ** (last - t) * v[last].detach())


def follow(target, online, fault):
    tau = {"the target is a copy": 1.0, "tau the other way round": 1 - TAU}.get(fault, TAU)
    for ours, theirs in zip(target.parameters(), online.parameters()):
        ours.data = (1 - tau) * ours.data + tau * theirs.data


def counts(window, t, burn_in, fault):
    return window.fresh or t >= burn_in or fault == "burn-in counts"


def entry_of(window, fault):
    return None if fault == "the stored state is ignored" else window.entry


def dqn_again(nets, optimizer, windows, n=1, burn_in=0, fault=None):
    network, target = nets.policy.network, nets.target
    losses = []
    for w in windows:
        online = [extras[0] for _, extras in unrolled(network, w, entry_of(w, fault))]
        judge = [extras[0].detach() for _, extras in unrolled(target, w, entry_of(w, fault))]
        if fault == "the roles are swapped":
            v = [q[qt.argmax()] for q, qt in zip(online, judge)]
        elif fault == "the target chooses, too":
            v = [qt.max() for qt in judge]
        elif fault == "the online network judges":
            v = [q.max() for q in online]
        else:
            v = [qt[q.argmax()] for q, qt in zip(online, judge)]
        for t in range(w.steps):
            if counts(w, t, burn_in, fault):
                error = online[t][w.actions[0][t]] - target_of(w, v, t, n, fault)
                small = abs(error) < 1 or fault == "the error is squared"
                losses.append(0.5 * error**2 if small else abs(error) - 0.5)
    optimizer.zero_grad()
    (sum(losses) / len(losses)).backward()
    optimizer.step()
    follow(target, network, fault)
    return {"value_loss": (sum(losses) / len(losses)).item()}


def box_bounds():
    return [(tensor(p.low).double(), tensor(p.high).double()) for p in TwoBoxes.action_space]


def modes(policy, window, fault):
    rows = unrolled(policy, window, entry_of(window, fault))
    return [torch.cat([dist.components[k].mean for dist, _ in rows]) for k in range(2)]


def drawn(policy, window, noise, fault):
    """Actions, and the logarithms of their densities, from the noise that the Gaussians had."""
    rows = unrolled(policy, window, entry_of(window, fault))
    actions, logprobs = [], 0.0
    for k, (low, high) in enumerate(box_bounds()):
        mean, std = (
            torch.cat([getattr(dist.components[k].base, name) for dist, _ in rows])
            for name in ("mean", "stddev")
        )
        squashed = (mean + std * noise[k]).tanh()
        actions.append(low + (high - low) / 2 * (1 + squashed))
        gaussian = -0.5 * noise[k] ** 2 - std.log() - 0.5 * math.log(2 * math.pi)
        logprobs = logprobs + (gaussian - ((high - low) / 2 * (1 - squashed**2)).log()).sum(1)
    return actions, logprobs


def q_of(critic, window, actions):
    """(rows, critics), from an empty memory."""
    return torch.stack([torch.cat(q) for _, q in unrolled(critic, window, None, actions)])


def continuous_again(
    kind, nets, optimizer, windows, noise, count, n=1, burn_in=0, delay=1, fault=None
):
    """The `count`-th gradient step of DDPG, TD3 or SAC."""
    critic, policy = nets.critic, nets.policy
    judge = critic if fault == "no target critic" else nets.target_critic
    alpha = nets.temperature.log_alpha.exp().item() if kind is SAC else 0.0
    errors, gains, entropies = [], [], []
    for w, z in zip(windows, noise):
        if kind is SAC:
            actions, logprobs = drawn(policy, w, z, fault)
            ahead = actions
        else:
            actions, logprobs = modes(policy, w, fault), torch.zeros(w.steps + 1)
            teacher = policy if fault == "no target policy" else nets.target_policy
            ahead = modes(teacher, w, fault)
        if kind is TD3 and fault != "no noise":
            for k, (low, high) in enumerate(box_bounds()):
                blur = 0.6 * z[k]
                blur = blur if fault == "noise without limits" else blur.clamp(-0.5, 0.5)
                ahead[k] = (ahead[k] + blur * (high - low) / 2).clamp(low, high)
        worse = torch.amax if fault == "the higher critic is believed" else torch.amin
        v = worse(q_of(judge, w, [a.detach() for a in ahead]), 1)
        v = v if fault == "no entropy in the value" else v - alpha * logprobs
        q = q_of(critic, w, w.actions)
        best = q_of(critic, w, actions)
        best = best[:, 0] if kind is not SAC or fault == "climbs one critic" else worse(best, 1)
        for t in range(w.steps):
            if counts(w, t, burn_in, fault):
                errors.append(q[t] - target_of(w, v, t, n, fault))
                gains.append(best[t] - alpha * logprobs[t])
                entropies.append(-logprobs[t].detach())
    losses = {"value_loss": (torch.stack(errors) ** 2).mean(0).sum()}
    # Each loss moves its own network, and no other.
    optimizer.zero_grad(set_to_none=True)
    parts = [("value_loss", critic)]
    if count % delay == 0 or fault == "no delay":
        losses["policy_loss"] = -torch.stack(gains).mean()
        parts.append(("policy_loss", policy))
    if kind is SAC:
        sign = -1 if fault == "the temperature the other way round" else 1
        surplus = torch.stack(entropies).mean() - ENTROPY
        losses["temperature_loss"] = sign * nets.temperature.log_alpha * surplus
        parts.append(("temperature_loss", nets.temperature))
    for name, network in parts:
        own = list(network.parameters())
        for p, g in zip(own, torch.autograd.grad(losses[name], own, retain_graph=True)):
            p.grad = g
    optimizer.step()
    follow(nets.target_critic, critic, fault)
    if kind is not SAC:
        follow(nets.target_policy, policy, fault)
    return {name: loss.item() for name, loss in losses.items()}


def split_noise(drawn, windows, packed):
    """What was drawn at once, (rows, 2) for each component, by window.

    `packed`: in the order in which a memory goes through the windows, side by side."""
    lengths = [w.steps + 1 for w in windows]
    if not packed:
        return list(zip(*(component.split(lengths) for component in drawn)))
    order = sorted(range(len(windows)), key=lambda i: -lengths[i])
    rows = [(i, t) for t in range(max(lengths)) for i in order if t < lengths[i]]
    return [
        [c[[rows.index((i, t)) for t in range(n)]] for c in drawn] for i, n in enumerate(lengths)
    ]


def both_ways(kind, memory, monkeypatch, fault=None, rounds=3, burn_in=0, **options):
    """Some gradient steps of the algorithm, and of its restatement. Returns the networks and losses
    of each. Several steps: the first of Adam's tells signs of gradients only."""
    algorithm = make(kind, memory, burn_in=burn_in, **options)
    if kind is SAC:
        algorithm.entropy_target = ENTROPY  # which it has in single precision
    nets, noise = nets_of(algorithm), []
    optimizer = torch.optim.Adam(trained(nets), lr=LR)
    spied = torch.randn_like, torch.distributions.normal._standard_normal

    def spy(original):
        def draw(*args, **kwargs):
            noise.append(original(*args, **kwargs))
            return noise[-1]

        return draw

    monkeypatch.setattr(torch, "randn_like", spy(spied[0]))
    monkeypatch.setattr(torch.distributions.normal, "_standard_normal", spy(spied[1]))
    ours, theirs = [], []
    n = options.get("n", 1)
    for count in range(1, rounds + 1):
        windows = make_windows(algorithm.agent.action_space, memory, seed=count)
        noise.clear()
        torch.manual_seed(count)
        ours.append(algorithm.improve(table(windows)))
        if kind is DQN:
            theirs.append(dqn_again(nets, optimizer, windows, n, burn_in, fault))
            continue
        assert len(noise) == {DDPG: 0, TD3: 2, SAC: 2}[kind]
        z = [None] * len(windows)
        if noise:
            z = split_noise(noise, windows, packed=kind is SAC and memory)
        delay = 2 if kind is TD3 else 1
        theirs.append(
            continuous_again(kind, nets, optimizer, windows, z, count, n, burn_in, delay, fault)
        )
    return (nets_of(algorithm), ours), (nets, theirs)


@every_memory
@pytest.mark.parametrize(("n", "burn_in"), [(1, 0), (3, 0), (None, 1)])
@of_all
def test_gradient_steps_equal_their_restatement(kind, memory, n, burn_in, monkeypatch):
    options = dict(n=n, burn_in=burn_in)
    before = parameters(*vars(nets_of(make(kind, memory))).values())
    (ours, losses), (theirs, expected) = both_ways(kind, memory, monkeypatch, **options)
    assert (parameters(*vars(ours).values()) - before).abs().max() > LR
    for name, network in vars(ours).items():
        assert_close(parameters(network), parameters(vars(theirs)[name]), rtol=0, atol=1e-8)
    for one, other in zip(losses, expected):
        for name, loss in other.items():
            assert one[name] == pytest.approx(loss, abs=1e-8)
        assert {k for k in one if k.endswith("_loss")} == other.keys()


EVERYWHERE = (
    "bootstraps from a terminal state",
    "takes a cut for an end",
    "n is ignored",
    "burn-in counts",
    "the target is a copy",
    "tau the other way round",
    "the stored state is ignored",
)
FAULTS = {
    DQN: (
        *EVERYWHERE,
        "the roles are swapped",
        "the target chooses, too",
        "the online network judges",
        "the error is squared",
    ),
    DDPG: (*EVERYWHERE, "no target critic", "no target policy"),
    TD3: (
        *EVERYWHERE,
        "no target critic",
        "no target policy",
        "the higher critic is believed",
        "no noise",
        "noise without limits",
        "no delay",
    ),
    SAC: (
        *EVERYWHERE,
        "no target critic",
        "the higher critic is believed",
        "no entropy in the value",
        "climbs one critic",
        "the temperature the other way round",
    ),
}


@pytest.mark.parametrize(
    ("kind", "fault"), [(kind, fault) for kind, faults in FAULTS.items() for fault in faults]
)
def test_the_restatement_has_teeth(kind, fault, monkeypatch):
    (ours, _), (theirs, _) = both_ways(kind, "gru", monkeypatch, fault, n=2, burn_in=1, rounds=2)
    one, other = (parameters(*vars(nets).values()) for nets in (ours, theirs))
    assert (one - other).abs().max() > LR / 10


# ---------------------------------------------------------------------- one step, by hand


def one_step(terminated, action=0, space=None):
    actions = tensor([0, 0]) if space is None else torch.zeros(2, 1)
    return rlx.Rollout(
        [2],
        states=torch.zeros(2, 3),
        actions=(actions + action,),
        rewards=tensor([1.0, 0.0]),
        end=tensor([False, True]),
        terminated=tensor([False, terminated]),
        start=tensor([True, False]),
    )


def sgd(agent, *modules, lr=0.0):
    agent.optimizer = torch.optim.SGD([p for m in modules for p in m.parameters()], lr=lr)
    return agent


def test_dqn_by_hand():
    # Online Q is (0, 2), the target's (10, 4): the second action is chosen, and worth 4. With
    # reward 1 and γ = 1/2 the first action should be worth 3. Huber's loss of -3 is 3 - 1/2. Where
    # the episode terminated it should be worth 1: (-1)² / 2.
    for terminated, action, loss in [(False, 0, 2.5), (True, 0, 0.5), (False, 1, 0.5)]:
        network = QTable([[0.0, 2.0]])
        algorithm = DQN(sgd(on_reach(DQN), network), network, gamma=0.5, tau=0.25)
        algorithm.target.table.data = tensor([[10.0, 4.0]])
        metrics = algorithm.improve(one_step(terminated, action))
        assert metrics == pytest.approx({"value_loss": loss, "q": 2.0 * action})
        assert algorithm.target.table.tolist() == [[7.5, 3.5]]  # a quarter of the way
        assert algorithm.target.table.grad is None
        assert not algorithm.target.table.requires_grad
        assert network.table.grad[0, 1 - action] == 0  # of the action that was taken, alone


class Twins(rlx.Parametric):
    """Two critics that say 10 and 4, whatever they are asked."""

    takes_actions = True

    def __init__(self, values=(10.0, 4.0)):
        super().__init__()
        self.values = nn.Parameter(tensor(values))

    def forward(self, *states):
        rows, actions = len(states[1]), states[2]
        values = self.values.expand(rows, len(self.values)) + 0 * actions.sum(1, keepdim=True)
        return None, None, *values.unbind(1)


class Even(rlx.Parametric):
    """Actions are spread evenly over (-1, 1): their density is 1/2, and the entropy log 2."""

    def __init__(self):
        super().__init__()
        self.width = nn.Parameter(torch.ones(1))

    def forward(self, *states):
        width = self.width.expand(len(states[1]), 1)
        return None, rlx.ActionDistribution(Uniform(-width, width))


def test_the_lower_of_two_critics_by_hand():
    # 1 + 4/2 = 3, from which 10 and 4 are 7 and 1 away. Terminated: 1, and 9 and 3.
    for terminated, loss in [(False, 49 + 1), (True, 81 + 9)]:
        agent, critic = on_reach(TD3), Twins()
        policy = network_for(TD3, agent)
        algorithm = TD3(sgd(agent, policy, critic), policy, critic=critic, gamma=0.5)
        assert algorithm.improve(one_step(terminated, space="box"))["value_loss"] == loss


def test_soft_actor_critic_by_hand():
    # The lower critic says 4, and entropy adds α log 2: with α = 1 the target is 1 + (4 + log 2)/2.
    # The policy's loss is α log π - Q = -log 2 - 4.
    torch.manual_seed(0)
    target, log2 = 1 + (4 + math.log(2)) / 2, math.log(2)
    for wanted, slope in [(None, log2 + 1), (2.0, log2 - 2), (-0.5, log2 + 0.5)]:
        agent, policy, critic = on_reach(SAC), Even(), Twins()
        algorithm = SAC(agent, policy, critic=critic, gamma=0.5, entropy_target=wanted, lr=0.0)
        sgd(agent, algorithm.temperature, lr=0.1)
        metrics = algorithm.improve(one_step(False, space="box"))
        assert metrics["value_loss"] == pytest.approx((10 - target) ** 2 + (4 - target) ** 2)
        assert metrics["policy_loss"] == pytest.approx(-log2 - 4)
        assert metrics["entropy"] == pytest.approx(log2)
        assert metrics["alpha"] == 1.0
        # Where there is more entropy than wanted, it is to be worth less.
        assert algorithm.temperature.log_alpha.item() == pytest.approx(-0.1 * slope)
        terminal = algorithm.improve(one_step(True, space="box"))
        assert terminal["value_loss"] == pytest.approx(81 + 9)
    # Half of log 2, once α is a half.
    algorithm.temperature.log_alpha.data.fill_(-log2)
    target = 1 + (4 + log2 / 2) / 2
    metrics = algorithm.improve(one_step(False, space="box"))
    assert metrics["value_loss"] == pytest.approx((10 - target) ** 2 + (4 - target) ** 2)
    assert metrics["policy_loss"] == pytest.approx(-log2 / 2 - 4)


def test_the_entropy_that_is_wanted():
    # -1 for a number in [-1, 1]; stretched to twice the width, the same shape has log 2 more.
    class Wide(TwoBoxes):
        action_space = spaces.Box(-2, 2, (3,), dtype=np.float32)

    agent = rlx.Agent(Wide())
    assert SAC(agent, network_for(SAC, agent)).entropy_target == pytest.approx(
        3 * (math.log(2) - 1)
    )
    assert SAC(on_reach(SAC), network_for(SAC, on_reach(SAC))).entropy_target == -1.0
    assert make(SAC).entropy_target == pytest.approx(ENTROPY)
    assert make(SAC, entropy_target=0.0).entropy_target == 0.0


# ---------------------------------------------------------------------- who moves whom, and when


def moved(before, algorithm):
    after = nets_of(algorithm)
    return {
        name
        for name, network in vars(after).items()
        if not torch.equal(parameters(network), parameters(vars(before)[name]))
    }


@continuous
@every_memory
def test_each_loss_moves_its_own_network(kind, memory, monkeypatch):
    own = {"value_loss": "critic", "policy_loss": "policy", "temperature_loss": "temperature"}
    for term, network in own.items():
        algorithm = make(kind, memory, **({"delay": 1} if kind is TD3 else {}))
        if not hasattr(algorithm, network):
            continue
        before, minimize = nets_of(algorithm), algorithm.minimize
        algorithm.minimize = lambda minimize=minimize, term=term, **terms: minimize(
            **{term: terms[term]}
        )
        algorithm.improve(table(make_windows(TwoBoxes.action_space, memory)))
        assert {name for name in moved(before, algorithm) if "target" not in name} == {network}


@every_memory
def test_td3_moves_its_policy_every_other_step(memory):
    for delay in (1, 2, 3):
        algorithm = make(TD3, memory, delay=delay, tau=0.0)
        for count in range(1, 7):
            before = nets_of(algorithm)
            losses = algorithm.improve(table(make_windows(TwoBoxes.action_space, memory)))
            late = {"policy"} if count % delay == 0 else set()
            assert moved(before, algorithm) == {"critic"} | late
            assert ("policy_loss" in losses) == bool(late)
            assert algorithm.count == count


def test_td3s_noise_is_cut_off_and_stays_in_bounds():
    algorithm = make(TD3)
    batch = table(make_windows(TwoBoxes.action_space, None) * 200)
    calm = DDPG.target_actions(algorithm, batch)
    assert all(torch.equal(a, b) for a, b in zip(calm, DDPG.target_actions(algorithm, batch)))
    torch.manual_seed(0)
    for (low, high), before, after in zip(box_bounds(), calm, algorithm.target_actions(batch)):
        assert ((low <= after) & (after <= high)).all()
        noise = (after - before) / ((high - low) / 2)
        assert noise.abs().max() <= 0.5 + 1e-9
        inside = (after > low) & (after < high)
        assert (noise[inside].abs() > 0.5 - 1e-9).double().mean() > 0.2  # 0.4 of them, by then
        assert noise[inside].abs().median() > 0.2
    algorithm = make(TD3, target_noise=0.1)
    for (low, high), before, after in zip(box_bounds(), calm, algorithm.target_actions(batch)):
        noise = ((after - before) / ((high - low) / 2))[(after > low) & (after < high)]
        assert noise.std().item() == pytest.approx(0.1, rel=0.15)


@of_all
@every_memory
def test_targets_move_by_tau_and_have_no_gradient(kind, memory):
    algorithm = make(kind, memory)
    pairs = {
        "target": lambda: algorithm.policy.network,
        "target_policy": lambda: algorithm.policy,
        "target_critic": lambda: algorithm.critic,
    }
    before = nets_of(algorithm)
    algorithm.improve(table(make_windows(algorithm.agent.action_space, memory)))
    assert set(pairs) & vars(before).keys()
    for name, online in pairs.items():
        if hasattr(algorithm, name):
            target = getattr(algorithm, name)
            expected = (1 - TAU) * parameters(getattr(before, name)) + TAU * parameters(online())
            assert_close(parameters(target), expected, rtol=0, atol=1e-12)
            assert all(p.grad is None and not p.requires_grad for p in target.parameters())
            driven = {
                id(p) for group in algorithm.agent.optimizer.param_groups for p in group["params"]
            }
            assert not driven & {id(p) for p in target.parameters()}


# ---------------------------------------------------------------------- ε over time


def test_epsilon_falls_with_the_steps():
    agent = on_reach(DQN, "native", AutoresetMode.SAME_STEP)  # 3 steps a call
    algorithm = DQN(
        agent,
        network_for(DQN, agent),
        epsilon=(0.9, 0.1),
        epsilon_steps=60,
        n_steps=5,
        warmup=10**5,
    )
    seen = []
    for _ in range(6):
        seen.append(algorithm.update()["epsilon"])
        assert algorithm.policy.epsilon.shape == ()
    assert seen == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1, 0.1])  # by what was played before
    assert algorithm.steps == 90


def test_epsilon_is_spread_over_the_environments():
    agent = on_reach(DQN, "native", AutoresetMode.NEXT_STEP)
    algorithm = DQN(
        agent, network_for(DQN, agent), epsilon=(1.0, 0.1), epsilon_steps=100, epsilon_spread=2.0
    )
    assert algorithm.policy.epsilon.tolist() == [1.0, 1.0, 1.0]
    algorithm.steps = 100
    algorithm.update()
    assert_close(algorithm.policy.epsilon, tensor([0.1, 0.01, 0.001]))
    algorithm.steps = 50
    assert algorithm.update()["epsilon"] == pytest.approx((0.55 + 0.505 + 0.5005) / 3)


@pytest.mark.parametrize("mode", MODES)
@every_memory
def test_spread_epsilons_train_in_every_kind_of_environment(mode, memory):
    agent = on_reach(DQN, "native", mode)
    policy = network_for(DQN, agent, memory)
    algorithm = DQN(agent, policy, epsilon_spread=3.0, warmup=20, batch_size=8, passes=1)
    for _ in range(4):
        metrics = algorithm.update()
    assert math.isfinite(metrics["value_loss"])


# ---------------------------------------------------------------------- which rows count


def test_burn_in_rows_are_left_out_in_windows_from_the_middle():
    # Windows of 5, 3, 2 and 4 rows; the second and the last begin at a reset.
    lengths, fresh = [5, 3, 2, 4], [False, True, False, True]
    end = torch.cat([torch.arange(n) == n - 1 for n in lengths])
    start = torch.cat([torch.arange(n) == (0 if f else -1) for n, f in zip(lengths, fresh)])
    batch = rlx.Rollout(lengths, states=torch.zeros(14, 3), end=end, start=start)
    for burn_in, expected in [
        (0, "11110" "110" "10" "1110"),
        (1, "01110" "110" "00" "1110"),
        (2, "00110" "110" "00" "1110"),
        (4, "00000" "110" "00" "1110"),
    ]:  # fmt: skip
        algorithm = DQN(
            on_reach(DQN), network_for(DQN, on_reach(DQN)), length=6, burn_in=burn_in, n_steps=6
        )
        counted = algorithm.counted(batch)
        assert "".join(str(int(c)) for c in counted) == expected


@of_all
@recurrent
def test_burn_in_rows_warm_the_memory_up_and_do_no_more(kind, memory):
    after = []
    for change in (None, "reward", "action", "state"):
        algorithm = make(kind, memory, burn_in=1)
        windows = make_windows(algorithm.agent.action_space, memory)
        late = windows[0]  # from the middle of an episode
        assert not late.fresh
        if change == "reward":
            late.rewards[0] += 5.0
        elif change == "action":
            late.actions[0][0] = 1 - late.actions[0][0]
        elif change == "state":
            late.states[0] += 0.5
        torch.manual_seed(0)
        algorithm.improve(table(windows))
        after.append(parameters(*vars(nets_of(algorithm)).values()))
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])
    assert not torch.equal(after[0], after[3])


@recurrent
def test_windows_are_entered_with_the_states_that_the_actor_had(memory):
    agent = on_reach(DQN, "native", AutoresetMode.NEXT_STEP)
    network = lively(network_for(DQN, agent, memory))
    algorithm = DQN(agent, network, length=4)
    algorithm.policy.epsilon.fill_(0.5)
    known = {}
    for _ in range(4):
        with torch.no_grad():
            rollout = agent(algorithm.policy).segment(8)
        algorithm.replay.add(rollout)
        for state, q in zip(rollout.states, rollout.others[0]):
            known.setdefault(tuple(state.tolist()), []).append(q)
    batch = algorithm.replay.sample(100, 4)
    assert batch.start.sum() < 90
    q = agent(network).evaluate(batch).others[0]
    for state, value in zip(batch.states, q):
        then = torch.stack(known[tuple(state.tolist())])  # the border of two segments is in both
        assert (then - value).abs().amax(1).min() < 1e-5


# ---------------------------------------------------------------------- the loop around it


def recorded(algorithm):
    """Makes `improve` note its batches instead."""
    batches = []
    algorithm.improve = lambda batch: batches.append(batch) or {"q": float(len(batches))}
    return batches


def test_nothing_is_learned_before_the_warmup():
    agent = on_reach(DQN)
    algorithm = DQN(agent, network_for(DQN, agent), n_steps=8, warmup=25, passes=3, batch_size=7)
    batches, rows = recorded(algorithm), 0
    for _ in range(5):
        before = len(batches)
        metrics = algorithm.update()
        rows = len(algorithm.replay)
        assert len(batches) - before == (3 if rows >= 25 else 0)
        assert ("q" in metrics) == (rows >= 25)
    assert metrics["q"] == len(batches) - 1  # the mean of the last three
    assert all(len(batch.lengths) == 7 for batch in batches)
    assert algorithm.updates == 5


@of_all
def test_a_delayed_loss_is_the_mean_of_what_was_reported(kind):
    agent = on_reach(kind)
    algorithm = kind(agent, network_for(kind, agent), warmup=0, passes=4)
    steps = iter([{"a": 1.0}, {"a": 2.0, "b": 10.0}, {"a": 3.0}, {"a": 6.0, "b": 20.0}])
    algorithm.improve = lambda batch: next(steps)
    metrics = algorithm.update()
    assert (metrics["a"], metrics["b"]) == (3.0, 15.0)


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("n_steps", [1, 7])
def test_steps_are_those_that_the_environments_made(mode, n_steps):
    env = Script() if mode is None else scripts(3, mode)
    agent = rlx.Agent(env)
    network = QNetwork(agent, hidden=8)
    algorithm = DQN(agent, network, n_steps=n_steps, warmup=10**5)
    for _ in range(9):
        algorithm.update()
    made = env.steps if mode is None else sum(one.steps for one in env.envs)
    assert algorithm.steps == made
    assert (~algorithm.replay.columns["end"][: len(algorithm.replay)]).sum() == made
    assert algorithm.episodes > 0


@of_all
@every_memory
@pytest.mark.parametrize("env", ["one", "sync", "native"])
def test_updates_of_everything(kind, memory, env):
    agent = on_reach(kind, env, None if env == "one" else AutoresetMode.NEXT_STEP)
    policy = network_for(kind, agent, memory)
    options = dict(length=6, burn_in=2) if memory else {}
    algorithm = kind(agent, policy, warmup=10, batch_size=16, passes=3, **options)
    networks = [part for part in algorithm._parts().values() if isinstance(part, nn.Module)]
    before = [[p.clone() for p in network.parameters()] for network in networks]
    for _ in range(4):
        metrics = algorithm.update()
    for network, old in zip(networks, before):
        for (name, p), was in zip(network.named_parameters(), old):
            assert p.isfinite().all()
            # An input that was 0 has had no effect: Reach begins without velocity, as always.
            assert not torch.equal(p, was), f"{name} has not moved"
    names = {"q", "value_loss", "return", "length"} | (
        {"epsilon"} if kind is DQN else {"policy_loss"}
    )
    assert metrics.keys() >= names
    assert {type(value) for value in metrics.values()} == {float}
    assert all(math.isfinite(metrics[name]) for name in names - {"return", "length"})
    assert algorithm.steps >= 4 * 8 - 10


# ---------------------------------------------------------------------- checkpoints

CELLS = list(product(KINDS, (None, "lstm")))


def runner(kind, memory, seed=0):
    torch.manual_seed(seed)
    agent = on_reach(kind, "native", AutoresetMode.NEXT_STEP)
    policy = NETWORKS[kind](agent, hidden=8, memory=memory)
    options = dict(length=5, burn_in=1) if memory else {}
    if kind is DQN:
        options |= dict(epsilon_spread=2.0, epsilon_steps=200)
    if kind is TD3:
        options |= dict(delay=4)  # three passes an update: it stops in between
    return kind(agent, policy, capacity=120, warmup=30, batch_size=8, passes=3, **options)


def exact(value):
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: exact(one) for key, one in value.items() if key != "seconds"}
    if isinstance(value, (list, tuple)):
        return [exact(one) for one in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else value


@pytest.mark.parametrize(("kind", "memory"), CELLS)
def test_a_saved_state_goes_on_as_it_would_have(kind, memory):
    first, second = runner(kind, memory), runner(kind, memory, seed=99)
    for _ in range(7):  # the replay's ring has gone round
        first.update()
    assert first.replay.rows_added > first.replay.capacity
    second.load_state_dict(first.state_dict())
    ends = []
    for algorithm in (first, second):
        algorithm.agent.seed(3)
        torch.manual_seed(5)
        metrics = [algorithm.update() for _ in range(3)]
        ends.append((exact(algorithm.state_dict()), exact(metrics)))
    assert ends[0] == ends[1]
    parts = first.state_dict()["parts"]
    assert {"policy", "replay", "optimizer"} < parts.keys()
    wanted = {DQN: {"target"}, SAC: {"critic", "target_critic", "temperature"}}
    assert parts.keys() >= wanted.get(kind, {"critic", "target_critic", "target_policy"})
    if kind is TD3:
        assert first.state_dict()["counters"]["count"] == first.count == second.count > 0
    if kind is DQN:
        assert parts["policy"]["epsilon"].shape == (3,)
        assert 0 < parts["policy"]["epsilon"].min() < parts["policy"]["epsilon"].max() < 1


@pytest.mark.parametrize(("kind", "memory"), CELLS)
def test_an_interrupted_run_goes_on_where_it_was(kind, memory, tmp_path):
    path = tmp_path / "run.pt"
    options = dict(updates=8, every=3, progress=False)
    straight = runner(kind, memory)
    history = rlx.train(straight, checkpoint=tmp_path / "straight.pt", **options)
    assert math.isfinite(history[-1]["value_loss"])

    class Stop(Exception):
        pass

    def stop(algorithm, metrics):
        if algorithm.updates == 5:
            raise Stop

    with pytest.raises(Stop):
        rlx.train(runner(kind, memory), checkpoint=path, callbacks=[stop], **options)
    resumed = runner(kind, memory, seed=99)
    rest = rlx.train(resumed, checkpoint=path, resume=True, **options)
    assert [metrics["updates"] for metrics in rest] == [4, 5, 6, 7, 8]
    assert exact(rest) == exact(history[3:])
    assert exact(resumed.state_dict()) == exact(straight.state_dict())


# ---------------------------------------------------------------------- what cannot be, and why


class Own(rlx.Parametric):
    """Somebody's own actor: one force, whatever it sees."""

    def __init__(self):
        super().__init__()
        self.force = nn.Parameter(torch.zeros(1))

    def forward(self, *states):
        mean = self.force.expand(len(states[1]), 1)
        return None, rlx.ActionDistribution(Normal(mean, torch.ones_like(mean)))


def test_q_values_are_listed_for_a_discrete_space():
    for space in (spaces.Box(-1, 1, (1,)), spaces.MultiDiscrete([2, 2])):
        with pytest.raises(ValueError, match=r"Discrete.*DDPG, TD3 and SAC take a Box"):
            QNetwork(spaces.Box(-1, 1, (3,)), space)
    with pytest.raises(ValueError, match='None, "gru" or "lstm"'):
        QNetwork(spaces.Box(-1, 1, (3,)), spaces.Discrete(2), memory="rnn")


@pytest.mark.parametrize("network", [NoisyPolicy, SquashedPolicy, Critic])
def test_actors_need_bounded_boxes(network):
    box, seen = spaces.Box(-1, 1, (1,)), spaces.Box(-1, 1, (3,))
    for space in (spaces.Discrete(3), spaces.Tuple((box, spaces.Discrete(2)))):
        with pytest.raises(ValueError, match=r"Discrete.*DQN takes a Discrete space, PPO"):
            network(seen, space)
    for space in (spaces.Box(-math.inf, 1, (1,)), spaces.Tuple((box, spaces.Box(0, math.inf)))):
        with pytest.raises(ValueError, match=r"two bounds.*RescaleAction or PPO"):
            network(seen, space)


@continuous
def test_an_actor_of_ones_own_needs_a_critic(kind):
    agent = on_reach(kind)
    with pytest.raises(ValueError, match=r"Own is your own.*critic=rlx\.critics\.Critic\("):
        kind(agent, Own())
    critic = Critic(agent, hidden=8, n=1 if kind is DDPG else 2)
    policy = Own()
    algorithm = kind(agent, policy, critic=critic, warmup=0, batch_size=8, passes=2)
    assert algorithm.critic is critic
    algorithm.update()
    assert policy.force != 0


def test_the_critic_beside_a_policy_is_of_its_kind():
    agent = two_boxes()
    for kind, memory in product(CONTINUOUS, MEMORIES):
        critic = kind(two_boxes(), network_for(kind, agent, memory, hidden=12)).critic
        assert (critic.hidden, critic.memory_kind) == (12, memory)
        assert len(critic.qs) == (1 if kind is DDPG else 2)


@continuous
def test_every_network_must_be_driven(kind):
    agent = on_reach(kind)
    policy = network_for(kind, agent)
    agent.optimizer = torch.optim.Adam(policy.parameters())
    with pytest.raises(ValueError, match=r"Critic would never change.*agent\.optimizer = None"):
        kind(agent, policy)
    if kind is SAC:
        critic = Critic.beside(policy, agent, 2)
        agent.optimizer = torch.optim.Adam([*policy.parameters(), *critic.parameters()])
        with pytest.raises(ValueError, match="this Temperature would never change"):
            SAC(agent, policy, critic=critic)
    agent.optimizer = None
    kind(agent, policy)
    driven = [p for group in agent.optimizer.param_groups for p in group["params"]]
    assert len(driven) == len({id(p) for p in driven})


@continuous
def test_a_learning_rate_for_each(kind):
    # Adam's first step is as long as its learning rate.
    names = ["policy", "critic"] + ["temperature"] * (kind is SAC)
    for rates, expected in [
        ({}, [1e-3] * 3),
        ({"lr": 0.25}, [0.25] * 3),
        ({"critic_lr": 0.125, "temperature_lr": 0.0}, [1e-3, 0.125, 0.0]),
        ({"lr": 0.25, "temperature_lr": 0.5}, [0.25, 0.25, 0.5]),
    ]:
        if kind is not SAC:
            rates = {name: rate for name, rate in rates.items() if name != "temperature_lr"}
        agent = on_reach(kind)
        torch.manual_seed(0)
        options = {"delay": 1} if kind is TD3 else {}
        algorithm = kind(agent, network_for(kind, agent), warmup=0, passes=1, **rates, **options)
        before = nets_of(algorithm)
        algorithm.update()
        for name, rate in zip(names, expected):
            moved = parameters(getattr(algorithm, name)) - parameters(getattr(before, name))
            assert moved.abs().max().item() == pytest.approx(rate, rel=0.01), name


def test_a_temperature_to_begin_with():
    agent = on_reach(SAC)
    options = dict(warmup=0, batch_size=8)
    for given, alpha in [({}, 1.0), ({"initial_temperature": 0.2}, 0.2)]:
        agent.optimizer = None
        algorithm = SAC(agent, network_for(SAC, agent), passes=1, **options, **given)
        assert algorithm.update()["alpha"] == pytest.approx(alpha)
    with pytest.raises(ValueError, match=r"initial_temperature=0.*above 0"):
        SAC(agent, network_for(SAC, agent), initial_temperature=0)


@pytest.mark.slow
@every_memory
def test_an_actor_far_out_comes_back(memory):
    # Means of 12, where the tanh is 1: entropy is worth more there than any action.
    agent = two_boxes()
    policy = network_for(SAC, agent, memory)
    with torch.no_grad():
        policy.actor[-1].bias.copy_(tensor([12.0, -12, -3, -3, 12, 12, -3, -3]))
    options = dict(length=6, burn_in=2) if memory else {}
    options.update(lr=0.01, temperature_lr=0.0, warmup=0, passes=100, batch_size=16)
    algorithm = SAC(agent, policy, **options)
    for _ in range(6):
        assert math.isfinite(algorithm.update()["policy_loss"])
    new = agent(policy).evaluate(agent(policy).segment(20, dry=True), greedy=True)
    shares = [
        (2 * (action - tensor(part.low)) / tensor(part.high - part.low) - 1).abs()
        for action, part in zip(new.actions, agent.action_space)
    ]
    assert max(share.max() for share in shares) < 0.9999  # a mean of 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_sac_does_not_break_on_the_cheetah(seed, tmp_path, monkeypatch):
    # A learning rate ten times too high, so that what goes wrong does so soon: with a density that
    # is wrong in its tails Q is a million by now, and the entropy 1e16, of actions of 6 numbers.
    monkeypatch.chdir(tmp_path)  # where MuJoCo writes its log
    torch.manual_seed(seed)
    agent = rlx.Agent(rlx.envs.make_vec("HalfCheetah-v5", 1), seed=seed)
    algorithm = SAC(agent, SquashedPolicy(agent, hidden=32), lr=0.01, batch_size=32, warmup=500)
    for _ in range(600):
        metrics = algorithm.update()
        assert abs(metrics.get("q", 0.0)) < 1000
        assert abs(metrics.get("entropy", 0.0)) < 100


def test_a_network_of_q_values_is_made_a_policy():
    agent = on_reach(DQN)
    network = network_for(DQN, agent)
    algorithm = DQN(agent, network)
    assert isinstance(algorithm.policy, QPolicy)
    assert algorithm.policy.network is network
    policy = QPolicy(network, 0.2)
    agent.optimizer = None
    assert DQN(agent, policy).policy is policy
    assert agent(policy).episode(greedy=True).actions[0].max() < 3


@of_all
def test_options_that_cannot_be(kind):
    agent = on_reach(kind)
    make_it = partial(kind, agent, network_for(kind, agent))
    for length, burn_in in [(2, 1), (5, 4), (5, -1)]:
        with pytest.raises(ValueError, match=r"burn_in=.*at least one step must be left"):
            make_it(length=length, burn_in=burn_in)
    with pytest.raises(TypeError, match="gama"):
        make_it(gama=0.9)
    with pytest.raises(ValueError, match=r"warmup=1000.*capacity=500.*would never begin"):
        make_it(capacity=500)
    make_it(length=5, burn_in=3)


class Generous(gym.Wrapper):
    """Rewards as they are, until `reward` is set."""

    reward = None

    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        return observation, reward if self.reward is None else self.reward, *rest


@of_all
def test_a_loss_that_is_not_finite_changes_nothing(kind):
    torch.manual_seed(0)
    env = Generous(on_reach(kind).env)
    agent = rlx.Agent(env, seed=0)
    algorithm = kind(agent, network_for(kind, agent), warmup=10, batch_size=32, passes=3)
    for _ in range(3):
        algorithm.update()
    env.reward = 3e38  # a float32, of which two have a sum that is none
    improve, good = algorithm.improve, []

    def watched(batch):
        good[:] = [copy.deepcopy(algorithm.state_dict())]
        return improve(batch)

    algorithm.improve = watched
    with pytest.raises(FloatingPointError, match=r"value_loss is inf in update .*smaller lr"):
        rlx.train(algorithm, updates=9, progress=False)
    assert exact(algorithm.state_dict()) == exact(good[0])


@pytest.mark.slow
def test_a_target_that_never_moves_is_no_target():
    """What tau does: with 0, two steps' worth of discount is all that is ever seen."""
    finals = {}
    for tau in (0.0, 0.2):
        torch.manual_seed(0)
        agent = rlx.Agent(rlx.envs.make_vec("ProbeTruncation-v0", 8), seed=0)
        algorithm = DQN(
            agent, network_for(DQN, agent), gamma=0.5, lr=1e-2, tau=tau, warmup=0, batch_size=32
        )
        algorithm.target.load_state_dict(  # wherever it began, it would say 0
            {name: 0 * value for name, value in algorithm.target.state_dict().items()}
        )
        for _ in range(60):
            metrics = algorithm.update()
        finals[tau] = metrics["q"]
    assert finals == {0.0: pytest.approx(1.0, abs=0.05), 0.2: pytest.approx(2.0, abs=0.05)}


# ---------------------------------------------------------------------- other devices


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@of_all
@every_memory
def test_on_a_cuda_device(kind, memory):
    actions = "discrete" if kind is DQN else "continuous"
    agent = rlx.Agent(reach("native", AutoresetMode.NEXT_STEP, actions), seed=0, device="cuda")
    policy = network_for(kind, agent, memory).cuda()
    options = dict(length=5, burn_in=1) if memory else {}
    options |= dict(epsilon_spread=2.0) if kind is DQN else {}
    algorithm = kind(agent, policy, warmup=10, batch_size=8, passes=2, **options)
    for _ in range(3):
        metrics = algorithm.update()
    assert math.isfinite(metrics["value_loss"])
    algorithm.load_state_dict(algorithm.state_dict())
    algorithm.update()


# ---------------------------------------------------------------------- and the rest


def test_a_network_of_values_cannot_act():
    agent = rlx.Agent(Script())
    with pytest.raises(ValueError, match="no action distribution"):
        agent(QTable([[0.0, 1.0]])).episode()
    with pytest.raises(ValueError, match="takes actions: a critic cannot act"):
        rlx.Agent(two_boxes().env)(network_for(Critic, two_boxes())).episode()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (DQN, ("double_q_value", "polyak_update", "td_target", "huber_loss")),
        (DDPG, ("lower_value", "polyak_update", "n_step_returns")),
        (TD3, ("lower_value", "smoothed_actions", "polyak_update", "n_step_returns")),
        (SAC, ("soft_value", "temperature_loss", "squashed_log_prob", "n_step_returns")),
    ],
)
def test_swapped_functions_are_those_that_train(kind, names, monkeypatch):
    for name in names:
        called = []
        original = getattr(functional, name)
        with monkeypatch.context() as patch:
            patch.setattr(functional, name, lambda *a, f=original, c=called: c.append(1) or f(*a))
            algorithm = make(kind)
            algorithm.improve(table(make_windows(algorithm.agent.action_space, None)))
        assert called


@pytest.mark.parametrize("name", ["n_step_returns", "epsilon_greedy", "replay_indices"])
def test_nor_is_an_update_of_q_learning_without_these(monkeypatch, name):
    called = []
    original = getattr(functional, name)
    monkeypatch.setattr(functional, name, lambda *a, **k: called.append(1) or original(*a, **k))
    agent = on_reach(DQN, "native", MODES[0])
    DQN(agent, network_for(DQN, agent), n=2, length=3, warmup=0, passes=1).update()
    assert called
