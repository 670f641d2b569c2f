"""The policy-gradient algorithms: what one update does to the parameters, and what it must not."""

import copy
import itertools
import math
from functools import partial
from types import SimpleNamespace

import gymnasium as gym
import pytest
import torch
from torch import nn, tensor
from torch.distributions import Categorical

import rlx
from rlx import functional
from rlx.agent import Runner
from rlx.algos import A2C, IMPALA, PPO, REINFORCE, ActorCritic, OffPAC
from rlx.algos.base import Targets, options_of
from rlx.distributions import SquashedNormal
from rlx.networks import GRUPolicy, LSTMPolicy, MLPPolicy

ALL = (REINFORCE, ActorCritic, A2C, PPO, OffPAC, IMPALA)
WITH_VALUE = (ActorCritic, A2C, PPO, OffPAC, IMPALA)
BOOTSTRAPPING = (A2C, PPO, OffPAC, IMPALA)
ON_SEGMENTS = (A2C, PPO, IMPALA)
# One gradient step: there are four episodes.
ONE_STEP = {PPO: dict(epochs=1, minibatches=1), OffPAC: dict(batch_size=4)}

of_all = pytest.mark.parametrize("kind", ALL)
with_value = pytest.mark.parametrize("kind", WITH_VALUE)
bootstrapping = pytest.mark.parametrize("kind", BOOTSTRAPPING)
memory = pytest.mark.parametrize("network", [MLPPolicy, GRUPolicy])


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---------------------------------------------------------------------- a fixed table of steps
#
# Reach with a force (Box) and a gear (Discrete): three observed numbers, two action components.
# Everything is in double precision, so that two ways to write one sum agree to the last few digits.


def small(network, kind=PPO, seed=0):
    torch.manual_seed(seed)
    agent = make_agent()
    policy = network(
        agent.observation_space,
        agent.action_space,
        hidden=(8, 8) if network is MLPPolicy else 8,
        value=kind is not REINFORCE,
    )
    with torch.no_grad():  # the small initial heads would hide mistakes in what they multiply
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return policy.double()


def make_agent(actions="both", env="single", n=2, **kwargs):
    kwargs = {"actions": actions, "max_episode_steps": 4, **kwargs}
    if env == "single":
        return rlx.Agent(rlx.envs.make("rlx/Reach-v0", **kwargs), seed=0)
    mode = {"native": "vector_entry_point", "sync": "sync"}[env]
    return rlx.Agent(
        rlx.envs.make_vec("rlx/Reach-v0", n, vectorization_mode=mode, **kwargs), seed=0
    )


def play(policy, episode, rows):
    """One row at a time: log-probabilities, entropies, values, and the states entering each row."""
    h, columns = episode.entry, ([], [], [], [])
    for t in range(rows):
        entering = h
        h, dist, *extras = policy(h, episode.states[t][None])
        normal, categorical = dist.components
        logprob = normal.log_prob(episode.force[t][None]).sum()
        logprob = logprob + categorical.log_prob(episode.gear[t][None]).sum()
        entropy = normal.entropy().sum() + categorical.entropy().sum()
        value = extras[0].squeeze() if extras else tensor(0.0)
        if entering is None and h is not None:
            entering = tuple(map(torch.zeros_like, h))
        for column, entry in zip(columns, (logprob, entropy, value, entering), strict=True):
            column.append(entry)
    return columns


def fixed(policy, whole, seed=1):
    """A list of episodes, and the same as a Rollout. Unless `whole`, some begin in mid-episode.

    The rewards are far from 0, the ends of both kinds, the log-probabilities another policy's."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    episodes = []
    for k, (steps, terminated) in enumerate([(5, True), (3, False), (1, True), (8, False)]):
        fresh = whole or k % 2 == 0
        recurrent = not isinstance(policy, MLPPolicy)
        episode = SimpleNamespace(
            states=noise(steps + 1, 3),
            force=noise(steps + 1, 1),
            gear=torch.randint(2, (steps + 1,), generator=generator),
            rewards=[*(2 + 3 * noise(steps)).tolist(), 0.0],
            steps=steps,
            terminated=terminated,
            fresh=fresh,
            entry=None if fresh or not recurrent else tuple(noise(policy.memory.size, 1, 8)),
        )
        with torch.no_grad():
            logprobs, *_, entering = play(policy, episode, steps + 1)
        # What sampled the actions was a little different from the policy of today.
        episode.mu = torch.stack(logprobs) + 0.3 * noise(steps + 1)
        episode.mu[-1] = 0.0
        episode.entering = tuple(map(torch.cat, zip(*entering))) if recurrent else None
        episodes.append(episode)
    return episodes, table(episodes)


def table(episodes):
    lengths = [e.steps + 1 for e in episodes]
    last = torch.cat([torch.arange(n) == n - 1 for n in lengths])
    first = torch.cat([torch.arange(n) == 0 for n in lengths])
    flag = {"terminated": last, "fresh": first}
    flags = {
        name: mark & torch.cat([tensor([getattr(e, name)] * (e.steps + 1)) for e in episodes])
        for name, mark in flag.items()
    }
    recurrent = episodes[0].entering is not None
    return rlx.Rollout(
        lengths,
        states=torch.cat([e.states for e in episodes]),
        recur_states=(
            tuple(map(torch.cat, zip(*(e.entering for e in episodes)))) if recurrent else None
        ),
        actions=(torch.cat([e.force for e in episodes]), torch.cat([e.gear for e in episodes])),
        rewards=torch.cat([tensor(e.rewards, dtype=torch.float64) for e in episodes]),
        end=last,
        terminated=flags["terminated"],
        start=flags["fresh"],
        logprobs=torch.cat([e.mu for e in episodes]),
        entropy=torch.zeros(sum(lengths), dtype=torch.float64),
        others=(),
    )


@pytest.fixture
def serve(monkeypatch):
    """Let every agent "sample" the given rollout, whatever it is asked for."""

    def serve(rollout):
        for verb in ("segment", "episodes"):
            monkeypatch.setattr(Runner, verb, lambda self, *args, **kwargs: rollout)
        late = rollout.replace(staleness=torch.ones(len(rollout)))
        monkeypatch.setattr(Runner, "stream", lambda self, *args: itertools.repeat(late))

    return serve


def parameters(policy):
    return torch.cat([p.detach().flatten() for p in policy.parameters()])


# ---------------------------------------------------------------------- the same in plain torch
#
# What each algorithm says it does, once more: loops over episodes and rows, no rlx.functional.

GAMMA, LAMBDA, LR, ENTROPY, GRAD_CLIP = 0.9, 0.8, 0.01, 0.03, 0.5


# What earlier updates have left: the means of the returns and of their squares, of two of them.
MOMENTS = [(1.0, 5.0), (4.0, 33.0)]


def centre_and_scale(*batches):
    """Of V, after updates on these episodes: by what was paid, whatever V says of the rest."""
    moments = list(MOMENTS)
    for batch in batches:
        paid = [g for episode in batch for g in monte_carlo(episode)]
        moments.append((sum(paid) / len(paid), sum(g * g for g in paid) / len(paid)))
    centre = sum(mean for mean, _ in moments) / len(moments)
    return centre, (sum(square for _, square in moments) / len(moments) - centre**2) ** 0.5


def descend(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients if g is not None))
    for g in gradients:
        if g is not None and norm > GRAD_CLIP:
            g *= GRAD_CLIP / (norm + 1e-6)
    optimizer.step()


def rescaled(x, standardize):
    return (x - x.mean()) / (((x - x.mean()) ** 2).mean().sqrt() + 1e-8) if standardize else x


def monte_carlo(episode):
    returns, total = [], 0.0
    for t in reversed(range(episode.steps)):
        total = episode.rewards[t] + GAMMA * total
        returns.insert(0, total)
    return returns


def estimates(episode, values, lambda_):
    """Advantages by GAE, backwards: V = 0 at a terminated end, V at one that was cut off."""
    v = [value.item() for value in values]
    if episode.terminated:
        v[-1] = 0.0
    advantages, ahead = [], 0.0
    for t in reversed(range(episode.steps)):
        ahead = episode.rewards[t] + GAMMA * v[t + 1] - v[t] + GAMMA * lambda_ * ahead
        advantages.insert(0, ahead)
    return advantages, [advantage + value for advantage, value in zip(advantages, v)]


def corrected(episode, values, logprobs, lambda_=1.0):
    """V-trace, straight from its equation: v_s = V_s + Σ_t (γ λ)^{t-s} (Π c_i) δ_t. Advantages with
    their weights, targets, and the weights."""
    v = [value.item() for value in values]
    if episode.terminated:
        v[-1] = 0.0
    weight = [min(1.0, math.exp(lp.item() - mu.item())) for lp, mu in zip(logprobs, episode.mu)]
    weight = weight[: episode.steps]
    targets = []
    for s in range(episode.steps + 1):
        target, product = v[s], 1.0
        for t in range(s, episode.steps):
            delta = weight[t] * (episode.rewards[t] + GAMMA * v[t + 1] - v[t])
            target += GAMMA ** (t - s) * product * delta
            product *= lambda_ * weight[t]
        targets.append(target)
    advantages = [
        weight[t]
        * (
            episode.rewards[t]
            + GAMMA * (lambda_ * targets[t + 1] + (1 - lambda_) * v[t + 1])
            - v[t]
        )
        for t in range(episode.steps)
    ]
    return advantages, targets[:-1], weight


def restated(kind, policy, episodes, standardize, orders):
    """One update of `policy`. Returns the loss (the mean over the gradient steps)."""
    optimizer = torch.optim.Adam(policy.parameters(), lr=LR)
    if kind is PPO:
        return restated_ppo(policy, optimizer, episodes, standardize, orders)
    losses = []
    batches = [episodes]
    if kind is OffPAC:
        shuffled = [episodes[k] for k in orders[0]]
        batches = [shuffled[:2], shuffled[2:]]  # at most three each, dealt evenly
    for k, batch in enumerate(batches):
        logprobs, entropies, values, weights, targets, ratios = [], [], [], [], [], []
        centre, scale = centre_and_scale(*batches[: k + 1])
        for episode in batch:
            lp, entropy, raw, _ = play(policy, episode, episode.steps + 1)
            v = [centre + scale * x for x in raw]
            if kind in (REINFORCE, ActorCritic):
                target = monte_carlo(episode)
                weight = [g - (0 if kind is REINFORCE else x.item()) for g, x in zip(target, v)]
            elif kind is A2C:
                weight, target = estimates(episode, v, LAMBDA)
            else:
                weight, target, clipped = corrected(
                    episode, v, lp, LAMBDA if kind is IMPALA else 1.0
                )
                ratios += clipped
            logprobs, entropies = logprobs + lp[:-1], entropies + entropy[:-1]
            values, weights, targets = values + raw[:-1], weights + weight, targets + target
        weight = tensor(weights, dtype=torch.float64)
        if kind not in (OffPAC, IMPALA):
            weight = rescaled(weight, standardize)
        elif standardize:  # a mean taken from what is weighted is a bias: inside the weight, or not
            if kind is IMPALA:
                weight = weight - tensor(ratios, dtype=torch.float64) * (sum(weights) / sum(ratios))
            weight = weight / ((weight**2).mean().sqrt() + 1e-8)
        loss = -(torch.stack(logprobs) * weight).mean() - ENTROPY * torch.stack(entropies).mean()
        if kind is not REINFORCE:
            error = torch.stack(values) - (tensor(targets, dtype=torch.float64) - centre) / scale
            loss = loss + 0.25 * (error**2).mean()
        losses.append(loss.item())
        descend(optimizer, loss)
    return sum(losses) / len(losses)


def restated_ppo(policy, optimizer, episodes, standardize, orders):
    clip, chunk, parts, losses = 0.2, 3, 4, []
    units = []  # what a minibatch must not cut: one row, or a fragment
    centre, scale = centre_and_scale(episodes)
    for episode in episodes:
        with torch.no_grad():
            old, _, values, _ = play(policy, episode, episode.steps + 1)
        values = [centre + scale * x for x in values]
        advantages, targets = estimates(episode, values, LAMBDA)
        size = 1 if episode.entering is None else chunk
        for a in range(0, episode.steps, size):
            unit = slice(a, min(a + size, episode.steps))
            h = episode.entering and tuple(part[a][None] for part in episode.entering)
            piece = SimpleNamespace(
                states=episode.states[unit],
                force=episode.force[unit],
                gear=episode.gear[unit],
                entry=h,
            )
            units.append((piece, old[unit], advantages[unit], targets[unit]))
    for order in orders:  # of each epoch
        for part in range(parts):
            bounds = (len(units) * part // parts, len(units) * (part + 1) // parts)
            loss, entropies, errors, ratios, weights = 0.0, [], [], [], []
            for k in order[slice(*bounds)]:
                piece, old, advantages, targets = units[k]
                lp, entropy, v, _ = play(policy, piece, len(old))
                ratios += [(new - before).exp() for new, before in zip(lp, old)]
                errors += [value - (target - centre) / scale for value, target in zip(v, targets)]
                entropies, weights = entropies + entropy, weights + advantages
            for ratio, weight in zip(
                ratios, rescaled(tensor(weights, dtype=torch.float64), standardize)
            ):
                worse = torch.minimum(ratio * weight, ratio.clamp(1 - clip, 1 + clip) * weight)
                loss = loss - worse / len(ratios)
            loss = loss - ENTROPY * torch.stack(entropies).mean()
            loss = loss + 0.25 * (torch.stack(errors) ** 2).mean()
            losses.append(loss.item())
            descend(optimizer, loss)
    return sum(losses) / len(losses)


OPTIONS = {
    ActorCritic: {},
    REINFORCE: {},
    A2C: dict(gae_lambda=LAMBDA),
    PPO: dict(gae_lambda=LAMBDA, epochs=2, minibatches=4, chunk=3),
    OffPAC: dict(batch_size=3, clip_rho=1.0),
    IMPALA: dict(gae_lambda=LAMBDA),
}


def make(kind, policy, agent=None, **options):
    common = dict(gamma=GAMMA, lr=LR, entropy_reg=ENTROPY, grad_clip=GRAD_CLIP)
    algorithm = kind(agent or make_agent(), policy, **{**common, **OPTIONS[kind], **options})
    algorithm.targets.moments.extend(MOMENTS)
    return algorithm


class Unscaled(Targets):
    """V = v, for numbers worked out by hand."""

    def take_in(self, paid):
        pass


def unscaled(kind, policy, **options):
    algorithm = make(kind, policy, **options)
    algorithm.targets = Unscaled()
    return algorithm


@of_all
@memory
@pytest.mark.parametrize("standardize", [True, False])
def test_an_update_equals_its_restatement(kind, network, standardize, serve, monkeypatch):
    policy = small(network, kind)
    episodes, rollout = fixed(policy, whole=kind not in ON_SEGMENTS)
    serve(rollout)
    other, before, orders = copy.deepcopy(policy), parameters(policy), []
    randperm = torch.randperm

    def shuffled(n, **kwargs):  # the one thing that the restatement cannot know
        order = randperm(n, **kwargs)
        orders.append(order.tolist())
        return order

    monkeypatch.setattr(torch, "randperm", shuffled)
    metrics = make(kind, policy, standardize_return=standardize).update()
    loss = restated(kind, other, episodes, standardize, orders)

    assert len(orders) == {PPO: 2, OffPAC: 1}.get(kind, 0)  # passes
    assert (parameters(policy) - before).abs().max() > LR / 2
    torch.testing.assert_close(parameters(policy), parameters(other), rtol=0, atol=1e-9)
    terms = [value for name, value in metrics.items() if name.endswith("_loss")]
    assert sum(terms) == pytest.approx(loss, abs=1e-9)


# ---------------------------------------------------------------------- values and their targets


@with_value
@memory
def test_the_value_is_fitted_to_returns_as_they_are(kind, network, serve):
    losses = set()
    for standardize in (True, False):
        policy = small(network)
        serve(fixed(policy, whole=kind not in ON_SEGMENTS)[1])
        options = {"standardize_return": standardize, **ONE_STEP.get(kind, {})}
        losses.add(round(unscaled(kind, policy, **options).update()["value_loss"], 9))
    assert len(losses) == 1
    assert losses.pop() > 2  # returns of variance 1 would be fitted better than that


def paid(*rewards, gamma=1.0):
    """Targets that have seen one episode with these rewards."""
    targets = Targets()
    targets.update(paying(*rewards), gamma)
    return targets


def paying(*rewards):
    end = torch.arange(len(rewards) + 1) == len(rewards)
    return SimpleNamespace(rewards=tensor([*rewards, 0.0]), end=end)


def test_values_are_centred_and_scaled_by_what_the_last_updates_paid():
    targets = Targets()
    assert (targets.mean, targets.deviation) == (0.0, 1.0)
    targets.update(paying(-2.0, 3.0), gamma=1.0)  # returns 1, 3
    assert (targets.mean, targets.deviation) == (2.0, 1.0)
    targets.update(paying(1.0, 6.0, 8.0), gamma=0.5)  # returns 6, 10, 8; squares: 5, and 200 / 3
    assert targets.mean == 5.0
    assert targets.deviation == pytest.approx(math.sqrt((5 + 200 / 3) / 2 - 25))
    targets.undo()
    assert (targets.mean, targets.deviation) == (2.0, 1.0)
    for _ in range(30):
        targets.update(paying(0.0, 6.0, -7.0), gamma=1.0)  # returns -1, -1, -7
    assert targets.mean == pytest.approx(-3.0)
    assert targets.deviation == pytest.approx(math.sqrt(8.0))  # what was before has left
    other = Targets()
    other.load_state_dict(targets.state_dict())
    for one in (targets, other):
        one.update(paying(5.0), gamma=1.0)
    assert (other.mean, other.deviation) == (targets.mean, targets.deviation)


@pytest.mark.parametrize("value", [0.0, 1e6, -1e-3])
def test_equal_returns_can_be_learned(value):
    """They have no deviation. A quarter of their size stands for it."""
    targets = paid(value)
    v = tensor([0.5], requires_grad=True)
    fitted = targets.mean + targets.deviation * v
    functional.value_loss(fitted, tensor([value]), targets.deviation).backward()
    assert fitted.item() == pytest.approx(value + abs(value) / 8, abs=1e-7)
    assert v.grad.item() == pytest.approx(1.0)  # 2 (0.5 - 0)


@with_value
@pytest.mark.parametrize("size", [2.0**-8, 2.0**20])
def test_the_size_of_rewards_changes_nothing(kind, size, serve):
    """With a network that begins at v = 0. The factor is a power of two, so that nothing rounds."""

    def trained(size):
        policy = Constant(0.0)
        episodes, _ = fixed(small(MLPPolicy), whole=True)
        for episode in episodes:
            episode.rewards = [size * reward for reward in episode.rewards]
        serve(table(episodes))
        options = {"epochs": 2} if kind is PPO else {}
        agent = make_agent()
        agent.optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
        algorithm = kind(agent, policy, standardize_return=True, **options)
        torch.manual_seed(0)
        for _ in range(5):
            algorithm.update()
        return parameters(policy)

    torch.testing.assert_close(
        trained(size), trained(1.0), rtol=0, atol=1e-6
    )  # 1e-8 is added to a σ
    assert (trained(1.0) != 0).any()


class Constant(rlx.Parametric):
    """The same two action components and the same value in every state."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(tensor(value).double())
        self.mean = nn.Parameter(torch.zeros(1).double())
        self.logits = nn.Parameter(torch.zeros(2).double())

    def forward(self, *states):
        rows = len(states[1])
        normal = torch.distributions.Normal(self.mean.expand(rows, 1), 1.0)
        categorical = Categorical(logits=self.logits.expand(rows, 2))
        return None, rlx.ActionDistribution(normal, categorical), self.value.expand(rows)


@bootstrapping
def test_a_cut_off_episode_bootstraps_and_a_terminated_one_does_not(kind, serve):
    # One step with reward 1, γ = 1/2, V = 10 everywhere. Cut off: the target is 1 + 10/2 = 6 and
    # (10 - 6)² = 16. Terminated: the target is 1 and (10 - 1)² = 81.
    for terminated, loss in [(False, 16.0), (True, 81.0)]:
        policy = Constant(10.0)
        episode = SimpleNamespace(
            states=torch.zeros(2, 3).double(),
            force=torch.zeros(2, 1).double(),
            gear=tensor([0, 0]),
            rewards=[1.0, 0.0],
            steps=1,
            terminated=terminated,
            fresh=True,
            entry=None,
            entering=None,
        )
        with torch.no_grad():
            episode.mu = policy(None, episode.states)[1].log_prob(episode.force, episode.gear)
        serve(table([episode]))
        options = {"value_coef": 1.0, "gamma": 0.5, **ONE_STEP.get(kind, {})}
        assert unscaled(kind, policy, **options).update()["value_loss"] == pytest.approx(loss)


@pytest.mark.parametrize("kind", [REINFORCE, ActorCritic])
def test_monte_carlo_returns_never_bootstrap(kind, serve, monkeypatch):
    # Rewards 1, 2 and γ = 1/2: G = 2, 2, whatever comes after, and whatever V says.
    seen = []
    loss = functional.policy_gradient_loss
    monkeypatch.setattr(
        functional, "policy_gradient_loss", lambda lp, w: seen.append(w) or loss(lp, w)
    )
    policy = Constant(10.0)
    episodes, _ = fixed(small(MLPPolicy), whole=True)
    for terminated in (True, False):
        episode = episodes[0]
        episode.terminated, episode.steps, episode.rewards = terminated, 2, [1.0, 2.0, 0.0]
        for name in ("states", "force", "gear", "mu"):
            setattr(episode, name, getattr(episode, name)[:3])
        serve(table([episode]))
        unscaled(kind, policy, gamma=0.5, standardize_return=False, lr=0.0).update()
    expected = [2.0, 2.0] if kind is REINFORCE else [-8.0, -8.0]
    assert [w.tolist() for w in seen] == [expected, expected]


# ---------------------------------------------------------------------- end rows


@of_all
@memory
def test_nothing_of_an_end_row_that_should_not_count_does(kind, network, serve):
    # No action is executed at an end row, and nothing comes after a terminated one: neither may
    # have an effect. (What was cut off does: its value. Monte-Carlo returns do not look at that.)
    after = []
    for garbage in (False, True):
        policy = small(network, kind)
        episodes, _ = fixed(policy, whole=kind not in ON_SEGMENTS)
        for episode in episodes if garbage else []:
            episode.force[-1] += 100.0
            episode.gear[-1] = 1 - episode.gear[-1]
            episode.mu[-1] -= 50.0
            if episode.terminated or kind in (REINFORCE, ActorCritic):
                episode.states[-1] -= 7.0
        serve(table(episodes))
        algorithm = make(kind, policy, standardize_return=True)
        torch.manual_seed(0)
        metrics = algorithm.update()
        after.append((parameters(policy), {k: v for k, v in metrics.items() if v == v}))
    torch.testing.assert_close(after[0][0], after[1][0], rtol=0, atol=0)
    assert after[0][1] == after[1][1]


@bootstrapping
def test_the_state_at_which_an_episode_was_cut_off_does_count(kind, serve):
    after = []
    for shift in (0.0, 1.0):
        policy = small(MLPPolicy)
        episodes, _ = fixed(policy, whole=kind not in ON_SEGMENTS)
        episodes[1].states[-1] += shift
        serve(table(episodes))
        torch.manual_seed(0)
        make(kind, policy).update()
        after.append(parameters(policy))
    assert not torch.equal(*after)


@of_all
@memory
def test_means_and_normalisation_are_over_executed_steps(kind, network, serve, monkeypatch):
    policy = small(network, kind)
    episodes, rollout = fixed(policy, whole=kind not in ON_SEGMENTS)
    steps = sum(episode.steps for episode in episodes)
    serve(rollout)
    sizes = []
    for name in ("policy_gradient_loss", "ppo_clip_loss", "normalize", "explained_variance"):

        def spy(original, *columns):
            sizes.extend(len(c) for c in columns if isinstance(c, torch.Tensor))
            return original(*columns)

        monkeypatch.setattr(functional, name, partial(spy, getattr(functional, name)))
    make(kind, policy, standardize_return=True, **ONE_STEP.get(kind, {})).update()
    assert set(sizes) == {steps}


# ---------------------------------------------------------------------- PPO's passes


@memory
@pytest.mark.parametrize("env", ["single", "native"])
def test_ppo_begins_with_ratio_one(network, env, monkeypatch):
    ratios = []
    loss = functional.ppo_clip_loss

    def spy(logprobs, old, *rest):
        ratios.append((logprobs - old).exp())
        return loss(logprobs, old, *rest)

    monkeypatch.setattr(functional, "ppo_clip_loss", spy)
    agent = make_agent(env=env)
    policy = network(agent)
    algorithm = PPO(agent, policy, n_steps=9, epochs=1, minibatches=1, chunk=3)
    for _ in range(2):  # the second segment begins in mid-episode
        metrics = algorithm.update()
        torch.testing.assert_close(ratios[-1], torch.ones_like(ratios[-1]), rtol=0, atol=1e-5)
        assert metrics["approx_kl"] == pytest.approx(0.0, abs=1e-6)
        assert metrics["clipfrac"] == 0.0


@memory
def test_ppo_moves_away_from_ratio_one(network):
    agent = make_agent(env="native")
    policy = network(agent)
    algorithm = PPO(agent, policy, n_steps=9, epochs=5, minibatches=1, lr=0.1)
    metrics = algorithm.update()
    assert metrics["approx_kl"] > 0.01
    assert 0 < metrics["clipfrac"] < 1


def recorded(algorithm, kl=0.0):
    """Makes `improve` note its batches instead."""
    batches = []

    def improve(batch):
        batches.append(batch)
        names = ("entropy", "approx_kl", "clipfrac", "policy_loss", "value_loss", "entropy_loss")
        return dict.fromkeys(names, 0.0) | {"approx_kl": kl}

    algorithm.improve = improve
    return batches


def row_numbers(rollout, batch):
    """Where the rows of `batch` stand in `rollout`; all observations differ."""
    same = (batch.states[:, None] == rollout.states[None]).all(-1)
    assert (same.sum(1) == 1).all()
    return same.int().argmax(1).tolist()


@pytest.mark.parametrize("minibatches", [1, 3, 4, 50])  # 17 rows, so 3 and 4 leave a remainder
def test_minibatches_of_rows_cover_every_step_once_an_epoch(minibatches, serve):
    policy = small(MLPPolicy)
    _, rollout = fixed(policy, whole=False)
    serve(rollout)
    algorithm = make(PPO, policy, minibatches=minibatches, epochs=2)
    batches = recorded(algorithm)
    algorithm.update()
    parts = min(minibatches, 17)
    epochs = [batches[:parts], batches[parts:]]
    steps = [i for i, end in enumerate(rollout.end.tolist()) if not end]
    orders = [[i for batch in epoch for i in row_numbers(rollout, batch)] for epoch in epochs]
    assert [sorted(order) for order in orders] == [steps, steps]
    assert orders[0] != orders[1] != steps  # shuffled, each time anew
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    for batch in batches:  # what belongs to a row came along
        rows = row_numbers(rollout, batch)
        assert torch.equal(batch.actions[0], rollout.actions[0][rows])
        assert torch.equal(batch.rewards, rollout.rewards[rows])


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_recurrent_minibatches_keep_fragments_whole(chunk, serve):
    policy = small(GRUPolicy)
    episodes, rollout = fixed(policy, whole=False)
    serve(rollout)
    algorithm = make(PPO, policy, minibatches=2, epochs=2, chunk=chunk)
    batches = recorded(algorithm)
    algorithm.update()
    fragments, first = [], 0
    for episode in episodes:
        rows = list(range(first, first + episode.steps))
        fragments += [rows[a : a + chunk] for a in range(0, episode.steps, chunk)]
        first += episode.steps + 1
    assert len(batches) == 4
    for epoch in (batches[:2], batches[2:]):
        found = []
        for batch in epoch:
            rows = row_numbers(rollout, batch)
            for part, stored in zip(batch.recur_states, rollout.recur_states, strict=True):
                assert torch.equal(part, stored[rows])
            for piece in batch.episodes:
                found.append(row_numbers(rollout, piece))
        assert sorted(found) == fragments
        assert abs(len(epoch[0].lengths) - len(epoch[1].lengths)) <= 1


@memory
def test_target_kl_ends_an_update_early(network, serve):
    policy = small(network)
    _, rollout = fixed(policy, whole=False)
    serve(rollout)
    for target, kl, epochs in [(None, 9.0, 5), (0.1, 0.05, 5), (0.1, 0.2, 1)]:
        algorithm = make(PPO, policy, minibatches=2, epochs=5, target_kl=target)
        batches = recorded(algorithm, kl)
        metrics = algorithm.update()
        assert len(batches) == 2 * epochs, (target, kl)
        assert metrics["approx_kl"] == pytest.approx(kl)
        assert algorithm.updates == 1
    steps = []
    for target in (None, 1e-6):  # and with a divergence that was really measured
        algorithm = make(PPO, small(network), minibatches=2, epochs=5, target_kl=target)
        improve = algorithm.improve
        algorithm.improve = lambda batch, f=improve: steps.append(batch) or f(batch)
        algorithm.update()
    assert len(steps) == 10 + 2


@pytest.mark.parametrize("kind", ON_SEGMENTS)
@pytest.mark.parametrize("env", ["single", "sync", "native"])
def test_segments_of_one_step(kind, env):
    # A vector environment of one may do nothing but reset during a call: no row to learn from.
    agent = make_agent(env=env, n=1)
    algorithm = kind(agent, MLPPolicy(agent), n_steps=1)
    for _ in range(6):
        algorithm.update()
    assert (algorithm.steps, algorithm.episodes) == (6, 1)


# ---------------------------------------------------------------------- memory


@of_all
def test_the_gradient_flows_through_time(kind, serve, monkeypatch):
    # The loss is replaced by the last row's log-probability. Its gradient must reach the first
    # observation of that row's fragment, and no further; without memory it stays in the row.
    for name in ("policy_gradient_loss", "ppo_clip_loss"):
        monkeypatch.setattr(functional, name, lambda logprobs, *rest: logprobs[-1])
    for network in (GRUPolicy, MLPPolicy):
        policy = small(network, kind)
        _, rollout = fixed(policy, whole=kind not in ON_SEGMENTS)
        serve(rollout)
        algorithm = make(kind, policy, **ONE_STEP.get(kind, {}))
        if kind in (PPO, IMPALA):  # theirs is a copy
            rollout = algorithm.sample()
            algorithm.sample = lambda rollout=rollout: rollout
        states = rollout.states.requires_grad_()
        found = []

        def minimize(states=states, found=found, **terms):
            found.extend(torch.autograd.grad(terms["policy_loss"], states))
            return {name: term.item() for name, term in terms.items()}

        algorithm.minimize = minimize
        algorithm.update()
        (gradient,) = found
        reached = (gradient != 0).any(1).nonzero().flatten().tolist()
        if network is MLPPolicy:
            assert len(reached) == 1
        elif kind is PPO:  # the last fragment of three rows (or the rest) in a shuffled order
            starts = [(0, 3), (3, 5), (5, 8), (8, 9), (9, 12), (12, 15), (15, 17)]
            assert reached in [list(range(*fragment)) for fragment in starts]
        elif kind is OffPAC:  # one of the episodes, likewise
            starts = [(0, 5), (6, 9), (10, 11), (12, 20)]
            assert reached in [list(range(*episode)) for episode in starts]
        else:  # the last episode's eight executed steps, in a table of 6 + 4 + 2 + 9 rows
            assert reached == list(range(12, 20))


# ---------------------------------------------------------------------- OffPAC's memory


class Uniform(rlx.Parametric):
    """Acts at random, and has no idea of values."""

    def forward(self, *states):
        zeros = torch.zeros(len(states[1]), 3)
        return None, rlx.ActionDistribution(Categorical(logits=zeros))


def offpac(network=MLPPolicy, **options):
    torch.manual_seed(0)
    agent = make_agent("discrete", "native")
    policy = network(agent)
    return OffPAC(agent, policy, **{"batch_size": 4, **options})


def key(episode):
    return tuple(episode.states.flatten().tolist())  # no two episodes have the same


@pytest.fixture
def watch(monkeypatch):
    """What an OffPAC samples, has in store when it draws, and draws: (update, episode) each."""

    def watch(algorithm):
        log = SimpleNamespace(sampled=[], stored=[], drawn=[])
        episodes, draw, improve = Runner.episodes, algorithm.draw, algorithm.improve

        def sampling(runner, *args, **kwargs):
            rollout = episodes(runner, *args, **kwargs)
            log.sampled += [(algorithm.updates, e.detach()) for e in rollout.episodes]
            return rollout

        def drawing():
            log.stored.append([key(episode) for episode in algorithm.stored])
            return draw()

        def improving(batch):  # each minibatch
            log.drawn.append([(algorithm.updates, episode) for episode in batch.episodes])
            return improve(batch)

        monkeypatch.setattr(Runner, "episodes", sampling)
        algorithm.draw, algorithm.improve = drawing, improving
        return log

    return watch


SIZES = [(4, 10, 3), (4, 100, 1), (4, 100, 3), (4, 4, 5), (4, 2, 3), (1, 7, 2), (3, 7, 3)]


@pytest.mark.parametrize(("batch_size", "rbsize", "max_rbusage"), SIZES)
def test_offpac_uses_each_stored_episode_once_an_update(batch_size, rbsize, max_rbusage, watch):
    algorithm = offpac(batch_size=batch_size, rbsize=rbsize, max_rbusage=max_rbusage)
    log = watch(algorithm)
    kept = min(rbsize, batch_size * max_rbusage)  # older ones are pushed out, or worn out
    for update in range(6):
        algorithm.update()
        newest = [key(episode) for _, episode in log.sampled[-kept:]]
        assert log.stored[update] == newest
        drawn = [[key(e) for now, e in batch if now == update] for batch in log.drawn]
        drawn = [batch for batch in drawn if batch]
        assert sorted(one for batch in drawn for one in batch) == sorted(newest)
        sizes = [len(batch) for batch in drawn]
        assert len(sizes) == math.ceil(len(newest) / batch_size)
        assert max(sizes) - min(sizes) <= 1
    uses = [key(episode) for batch in log.drawn for _, episode in batch]
    assert max(map(uses.count, uses)) == min(max_rbusage, math.ceil(rbsize / batch_size))
    assert len(algorithm.stored) == len(algorithm.usage) <= rbsize


def test_offpac_mixes_episodes_of_several_policies(watch):
    algorithm = offpac(rbsize=12, max_rbusage=3)
    log = watch(algorithm)
    for _ in range(6):
        algorithm.update()
    born = {key(episode): update for update, episode in log.sampled}
    ages = [{update - born[key(e)] for update, e in batch} for batch in log.drawn]
    assert set().union(*ages) == {0, 1, 2}
    assert max(map(len, ages)) > 1  # in one minibatch, too


@memory
def test_offpac_keeps_the_log_probabilities_of_the_policy_that_acted(network, watch):
    algorithm = offpac(network, lr=0.05, max_rbusage=3)
    log = watch(algorithm)
    for _ in range(3):
        metrics = algorithm.update()
    acted = {key(episode): episode.logprobs for _, episode in log.sampled}
    for batch in log.drawn:
        for _, episode in batch:
            assert not episode.logprobs.requires_grad
            assert torch.equal(episode.logprobs, acted[key(episode)])
    assert metrics["approx_kl"] > 1e-4  # the policy has moved on


@pytest.mark.parametrize("network", [MLPPolicy, GRUPolicy, LSTMPolicy])
def test_offpac_learns_from_another_behaviour(network, watch):
    algorithm = offpac(network, behaviour=Uniform())
    log = watch(algorithm)
    before = parameters(algorithm.policy)
    metrics = algorithm.update()
    assert not torch.equal(parameters(algorithm.policy), before)
    assert metrics["approx_kl"] > 0
    for _, episode in log.drawn[0]:
        expected = torch.where(episode.end, 0.0, -math.log(3))
        torch.testing.assert_close(episode.logprobs, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("clip", [0.5, 1.0, math.inf])
def test_offpac_clips_every_weight_at_clip_rho(clip, monkeypatch):
    seen, losses = {}, []
    vtrace, loss = functional.vtrace, functional.weighted_loss
    monkeypatch.setattr(
        functional,
        "vtrace",
        lambda *a, **clips: seen.update(clips) or vtrace(*a, **clips),
    )
    monkeypatch.setattr(functional, "weighted_loss", lambda *a: losses.append(a[1]) or loss(*a))
    algorithm = offpac(lr=0.05, behaviour=Uniform(), clip_rho=clip)
    for _ in range(5):
        metrics = algorithm.update()
    # the loss has the weight in front of A
    assert seen == {"clip_rho": clip, "clip_c": clip, "clip_pg_rho": None}
    weights = torch.cat(losses)
    assert weights.max() <= clip
    assert (weights.max() > 1) == (clip > 1)
    size = weights.sum().square() / weights.square().sum() / len(weights)
    assert 0 < metrics["ess"] <= 1
    assert metrics["ess"] == pytest.approx(size.item(), abs=0.3)


def test_offpac_learns_from_a_behaviour_with_memory(watch):
    agent = make_agent("discrete")
    behaviour = GRUPolicy(agent)
    algorithm = offpac(MLPPolicy, behaviour=behaviour)
    log = watch(algorithm)
    before, theirs = parameters(algorithm.policy), parameters(behaviour)
    algorithm.update()
    assert log.drawn[0][0][1].recur_states is not None
    assert not torch.equal(parameters(algorithm.policy), before)
    assert torch.equal(parameters(behaviour), theirs)


# ---------------------------------------------------------------------- the optimizer and options


@of_all
def test_an_agents_optimizer_must_be_this_policys(kind):
    # The second algorithm would otherwise sample, compute losses, and change nothing.
    agent = make_agent("discrete")
    policies = [MLPPolicy(agent) for _ in range(2)]
    kind(agent, policies[0])
    with pytest.raises(ValueError, match="drives another network"):
        kind(agent, policies[1])
    PPO(agent, policies[0])  # the same network: training may go on in another way
    agent.optimizer = None
    kind(agent, policies[1])


@of_all
def test_the_agents_own_optimizer_is_used(kind):
    agent = make_agent("discrete")
    policy = MLPPolicy(agent)
    agent.optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    before = parameters(policy)
    kind(agent, policy, lr=1.0).update()
    assert torch.equal(parameters(policy), before)


@of_all
def test_a_misspelt_option_is_an_error(kind):
    agent = make_agent("discrete")
    name = kind.__name__
    with pytest.raises(TypeError, match=f"^{name} has no option gama: did you mean gamma"):
        kind(agent, MLPPolicy(agent), gama=0.9)
    with pytest.raises(TypeError, match=f"^{name} has no option xyz: there are lr, grad_clip"):
        kind(agent, MLPPolicy(agent), xyz=0.9)


def test_the_nearest_option_is_named():
    agent = make_agent("discrete")
    with pytest.raises(TypeError, match=r"^PPO has no option n_step: did you mean n_steps\?$"):
        PPO(agent, MLPPolicy(agent), n_step=5)


# ---------------------------------------------------------------------- what a policy must have


@pytest.mark.parametrize("kind", [ActorCritic, A2C, PPO, OffPAC])
def test_a_policy_without_a_value_is_an_error_that_names_the_cure(kind):
    agent = make_agent("discrete")
    policy = MLPPolicy(agent, value=False)
    with pytest.raises(ValueError, match=rf"{kind.__name__}.*MLPPolicy.*value=True"):
        kind(agent, policy).update()


class Squashed(rlx.Parametric):
    """Its entropy has no closed form."""

    def __init__(self):
        super().__init__()
        self.mean, self.value = (nn.Parameter(torch.zeros(1)) for _ in range(2))

    def forward(self, *states):
        mean = self.mean.expand(len(states[1]), 1)
        dist = rlx.ActionDistribution(SquashedNormal(mean, torch.ones_like(mean)))
        return None, dist, self.value.expand(len(mean))


@pytest.mark.parametrize("kind", [REINFORCE, ActorCritic, A2C, PPO, OffPAC])
def test_an_entropy_without_closed_form_is_missed_only_as_a_bonus(kind):
    torch.manual_seed(0)
    policy, size = Squashed(), {"n_steps": 40} if kind in ON_SEGMENTS else {"batch_size": 10}
    metrics = kind(make_agent("continuous"), policy, entropy_reg=0.0, **size).update()
    assert policy.mean != 0
    # A quadrature of -E[log π]. The metric is a mean over forty actions.
    x = torch.linspace(-8, 8, 4001)
    logprob = -x.square() / 2 - math.log(2 * math.pi) / 2
    entropy = -(logprob.exp() * (logprob - (1 - x.tanh() ** 2 + 1e-12).log())).sum() * 16 / 4000
    assert metrics["entropy"] == pytest.approx(entropy.item(), abs=0.3)
    with pytest.raises(RuntimeError, match="closed form"):
        kind(make_agent("continuous"), Squashed(), entropy_reg=0.01, **size).update()


@of_all
def test_without_options_it_has_the_defaults_that_the_command_line_shows(kind):
    agent = make_agent("discrete", "native")
    algorithm, found = kind(agent, MLPPolicy(agent)), options_of(kind)
    assert agent.optimizer.param_groups[0]["lr"] == found["lr"]
    found.pop("behaviour", None)
    assert {name: getattr(algorithm, name) for name in found} == found


# ---------------------------------------------------------------------- metrics

NAMES = {
    REINFORCE: {"return", "length", "policy_loss", "entropy"},
    ActorCritic: {"value_loss", "explained_variance"},
    A2C: {"value_loss", "explained_variance"},
    PPO: {"value_loss", "explained_variance", "approx_kl", "clipfrac"},
    OffPAC: {"value_loss", "explained_variance", "approx_kl", "ess"},
    IMPALA: {"value_loss", "explained_variance", "approx_kl", "ess", "staleness"},
}


@of_all
def test_metrics_are_floats_under_the_usual_names(kind):
    agent = make_agent("discrete", "native")
    policy = MLPPolicy(agent)
    metrics = kind(agent, policy).update()
    assert metrics.keys() >= NAMES[REINFORCE] | NAMES[kind]
    assert {type(value) for value in metrics.values()} == {float}
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["length"] == 4.0  # the time limit
    assert metrics["return"] == pytest.approx(
        sum(agent.finished.returns) / len(agent.finished.returns)
    )
    assert 0 < metrics["return"] < 4  # at most 1 a step
    assert metrics["entropy"] == pytest.approx(math.log(3), abs=0.1)  # of three actions, at first


@pytest.mark.parametrize("kind", ON_SEGMENTS)
def test_no_episode_ended_is_nan_not_zero(kind):
    agent = make_agent("discrete", "native")
    algorithm = kind(agent, MLPPolicy(agent), n_steps=3)
    first, second = algorithm.update(), algorithm.update()
    assert math.isnan(first["return"])
    assert math.isnan(first["length"])
    assert second["length"] == 4.0  # the whole episode's, though it was cut in two
    assert (algorithm.updates, algorithm.episodes) == (2, 2)
    # Six calls of `env.step` in each of two environments, one of which was the reset in between.
    assert algorithm.steps == 2 * (6 - 1)


def test_a_perfect_value_has_no_loss(serve):
    # The rewards are 1 and everything is cut off at V = 10: with γ = 0.9 all returns are 10.
    policy = Constant(10.0)
    episodes, _ = fixed(small(MLPPolicy), whole=False)
    for episode in episodes:
        episode.rewards = [1.0] * episode.steps + [0.0]
        episode.terminated = False
    serve(table(episodes))
    metrics = unscaled(A2C, policy).update()
    assert metrics["value_loss"] == pytest.approx(0.0, abs=1e-12)


@with_value
@memory
def test_explained_variance_is_of_the_values_before_the_step(kind, network, serve, monkeypatch):
    policy = small(network)
    episodes, rollout = fixed(policy, whole=kind not in ON_SEGMENTS)
    serve(rollout)
    with torch.no_grad():
        values = [v for e in episodes for v in play(policy, e, e.steps)[2]]
    judged = []
    original = functional.explained_variance
    monkeypatch.setattr(
        functional, "explained_variance", lambda v, g: judged.append((v, g)) or original(v, g)
    )
    metrics = unscaled(kind, policy, **ONE_STEP.get(kind, {})).update()
    ((judged_values, returns),) = judged
    expected = torch.stack(values).sort().values  # OffPAC shuffles its episodes
    torch.testing.assert_close(judged_values.detach().sort().values, expected, rtol=0, atol=1e-9)
    unexplained = ((returns - judged_values) - (returns - judged_values).mean()) ** 2
    share = 1 - unexplained.mean() / ((returns - returns.mean()) ** 2).mean()
    assert metrics["explained_variance"] == pytest.approx(share.item())


# ---------------------------------------------------------------------- what is not a number


class Generous(gym.Wrapper):
    """Rewards as they are, until `reward` is set."""

    reward = None

    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        return observation, reward if self.reward is None else self.reward, *rest


def broken(kind, **options):
    torch.manual_seed(0)
    agent = rlx.Agent(Generous(make_agent("discrete").env), seed=0)
    policy = MLPPolicy(agent)
    size = {"n_steps": 8} if kind in ON_SEGMENTS else {"batch_size": 2}
    if kind is OffPAC:  # replays nothing: the first minibatch is the one that goes wrong
        size["max_rbusage"] = 1
    return kind(agent, policy, **size, **options)


def stops(algorithm, *words):
    """The next update must raise, and change nothing."""
    before = copy.deepcopy(algorithm.policy.state_dict())
    optimizer = copy.deepcopy(algorithm.agent.optimizer.state_dict())
    with pytest.raises(FloatingPointError) as caught:
        algorithm.update()
    for word in words:
        assert word in str(caught.value)
    for name, value in algorithm.policy.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.isfinite().all()
    torch.testing.assert_close(algorithm.agent.optimizer.state_dict(), optimizer, rtol=0, atol=0)


@of_all
@pytest.mark.parametrize("standardize", [True, False])
def test_returns_beyond_all_numbers(kind, standardize):
    # 3e38 is a float32; twice that is not, and neither are a mean or an advantage made of it.
    algorithm = broken(kind, standardize_return=standardize)
    algorithm.update(), algorithm.update()
    algorithm.agent.env.reward = 3e38
    stops(algorithm, "policy_loss", "update 3")
    assert algorithm.updates == 2
    algorithm.agent.env.reward = None  # the run can go on from there
    metrics = algorithm.update()
    assert math.isfinite(metrics["policy_loss"])


@with_value
def test_a_value_loss_beyond_all_numbers(kind):
    algorithm = broken(kind)
    algorithm.update()
    algorithm.value_coef = math.inf
    stops(algorithm, "value_loss is inf", "update 2")


@with_value
def test_returns_whose_squares_are_beyond_all_numbers_are_learned_from(kind):
    algorithm = broken(kind, standardize_return=True)
    for reward in (1e25, -1e25, 1e25):
        algorithm.agent.env.reward = reward
        metrics = algorithm.update()
        assert metrics["value_loss"] < 20


@with_value
def test_a_step_that_was_not_taken_leaves_the_scale_of_values_as_it_was(kind):
    algorithm = broken(kind, epochs=1, minibatches=1) if kind is PPO else broken(kind)
    algorithm.update()
    before = algorithm.targets.state_dict()
    algorithm.agent.env.reward = 3e38  # returns are more than that, which is no number
    stops(algorithm)
    assert algorithm.targets.state_dict() == before


@of_all
def test_an_entropy_beyond_all_numbers(kind):
    stops(broken(kind, entropy_reg=math.inf), "entropy_loss is -inf", "update 1")


@with_value
def test_a_value_that_is_not_a_number(kind):
    # The sampler does not see it: no action depends on it.
    algorithm = broken(kind)
    algorithm.update()
    head = algorithm.policy.critic[-1].bias
    with torch.no_grad():
        head.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"(policy|value)_loss is nan in update 2"):
        algorithm.update()
    others = [p for p in algorithm.policy.parameters() if p is not head]
    assert all(p.isfinite().all() for p in others)


class Trap(rlx.Parametric):
    """Finite numbers, but behind the `where` stands the gradient of a square root at 0."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))

    def forward(self, *states):
        logits = torch.where(self.w > 0, self.w.sqrt(), 0.0).expand(len(states[1]), 3)
        return None, rlx.ActionDistribution(Categorical(logits=logits)), logits[:, 0]


@of_all
def test_a_gradient_that_is_not_a_number(kind):
    agent = make_agent("discrete")
    stops(kind(agent, Trap()), "gradient", "nan", "update 1")


def test_a_gradient_too_large_for_the_optimizer():
    # Adam squares it: its mean of squares would be infinite ever after, and every later step 0.
    algorithm = broken(REINFORCE, standardize_return=False)
    algorithm.update()
    algorithm.agent.env.reward = 1e25
    stops(algorithm, "gradient", "inf", "update 2")


# ---------------------------------------------------------------------- swapping functions

CALLS = {
    "discounted_returns": (REINFORCE, ActorCritic),
    "gae": (A2C, PPO),
    "vtrace": (OffPAC,),
    "importance_weights": (OffPAC,),
    "weighted_loss": (OffPAC,),
    "policy_gradient_loss": (REINFORCE, ActorCritic, A2C, OffPAC),
    "ppo_clip_loss": (PPO,),
    "normalize": (REINFORCE, ActorCritic, A2C, PPO),
}


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in CALLS.items() for kind in kinds]
)
def test_a_swapped_function_is_the_one_that_trains(name, kind, serve, monkeypatch):
    def trained():
        policy = small(MLPPolicy, kind)
        serve(fixed(policy, whole=kind not in ON_SEGMENTS)[1])
        torch.manual_seed(0)
        make(kind, policy, standardize_return=True).update()
        return parameters(policy)

    original, right = getattr(functional, name), trained()
    assert torch.equal(right, trained())  # nothing else makes a difference

    def negated(*args, **kwargs):
        result = original(*args, **kwargs)
        return tuple(-x for x in result) if isinstance(result, tuple) else -result

    monkeypatch.setattr(functional, name, negated)
    assert not torch.allclose(right, trained(), rtol=0, atol=LR / 10)


# ---------------------------------------------------------------------- every kind of environment


KINDS_OF_ENV = [
    *[(network, env) for network in (MLPPolicy, GRUPolicy) for env in ("single", "sync", "native")],
    (LSTMPolicy, "native"),
]


@of_all
@pytest.mark.parametrize(("network", "env"), KINDS_OF_ENV)
@pytest.mark.parametrize("actions", ["discrete", "continuous", "both"])
def test_one_update_of_everything(kind, network, env, actions):
    torch.manual_seed(0)
    agent = make_agent(actions, env)
    policy = network(
        agent.observation_space,
        agent.action_space,
        hidden=(8,) if network is MLPPolicy else 8,
        value=kind is not REINFORCE,
    )
    size = {"n_steps": 11} if kind in ON_SEGMENTS else {"batch_size": 3}
    algorithm = kind(agent, policy, **size)
    before = parameters(policy)
    metrics = algorithm.update()
    after = parameters(policy)
    assert after.isfinite().all()
    for name, parameter in policy.named_parameters():
        if parameter.numel():
            start = before[: parameter.numel()]
            assert not torch.equal(parameter.detach().flatten(), start), f"{name} has not moved"
        before = before[parameter.numel() :]
    assert metrics["length"] == 4.0
    assert all(math.isfinite(value) for value in metrics.values())
    if kind in ON_SEGMENTS:  # 11 calls of a vector's `step` are 4 + 4 + 1 steps and two resets
        assert algorithm.steps == (11 if env == "single" else 2 * 9)
    else:
        assert algorithm.steps == 3 * 4
