"""Bad input gets a clear error that names the cure, and leaves everything usable."""

import itertools
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Bernoulli, Beta, Categorical, Independent, Normal
from torch.testing import assert_close
from worlds import MODES, CellGRU, Coin, Counter, NativeScript, Script, lively, reach, scripts

import rlx
from rlx import ActionDistribution, Agent, Parametric, distributions
from rlx.networks import GRUPolicy, LSTMPolicy, MLPPolicy

NAN, INF = math.nan, math.inf
SAME = AutoresetMode.SAME_STEP


class Gives(Parametric):
    """A policy whose forward is the function given to it."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *states):
        return self.function(*states)


def acts(make, *extras):
    """A policy with the distributions `make(x)` and some extras `extra(x)`."""

    def forward(_, x):
        dists = make(x)
        dists = dists if isinstance(dists, tuple) else (dists,)
        return None, ActionDistribution(*dists), *(extra(x) for extra in extras)

    return Gives(forward)


def coin(x):
    return Categorical(logits=x.new_zeros(len(x), 2))


# ---------------------------------------------------------------------- rollouts


def test_a_dry_rollout_has_no_log_probabilities():
    agent = Agent(Script())
    dry, full = agent(Coin()).episode(dry=True), agent(Coin()).episode()
    for name in ("logprobs", "entropy", "others"):
        with pytest.raises(RuntimeError, match=r"dry.*agent\(policy\)\.evaluate\(rollout\)"):
            getattr(dry, name)
        assert getattr(agent(Coin()).evaluate(dry), name) is not None
    with pytest.raises(ValueError, match=r"dry.*evaluate\(rollout\) on the dry one"):
        dry + full


def test_bootstrapping_without_an_end_row():
    agent = Agent(Script())
    rollout = agent(Coin()).episode()[:-1]
    with pytest.raises(RuntimeError, match="compute the returns first"):
        rollout.gae(rollout.others[0], 0.9, 0.9)


@pytest.mark.parametrize("shape", [(1,), (2, 1), (3, 3)])
def test_a_policy_for_another_observation_shape(shape):
    agent = Agent(Script())
    space = spaces.Box(-1, 1, shape)
    for cls, dry in itertools.product([MLPPolicy, GRUPolicy, LSTMPolicy, CellGRU], [True, False]):
        rollout = agent(Coin()).episodes(2, dry=dry)
        policy = cls(space, agent.action_space)
        error = (
            rf"{cls.__name__} failed on \d+ observations of shape \(3,\).*another observation space"
        )
        for each in (rollout, rollout.vectorize()):
            with pytest.raises(ValueError, match=error):
                agent(policy).evaluate(each)
        with pytest.raises(ValueError, match=error):
            agent(policy).episode()
        # also when the policy is known to be recurrent, so that nothing need be tried out
        policy(None, torch.zeros(1, *shape))
        policy.memory_shapes = None
        rlx.play.checks.run(policy, None, torch.zeros(1, *shape))
        with pytest.raises(ValueError, match=error):
            agent(policy).evaluate(rollout)


def test_a_recurrent_policy_needs_stored_states_or_a_beginning():
    agent = Agent(Script())
    gru, big = lively(GRUPolicy, agent, hidden=4), lively(GRUPolicy, agent, hidden=5)
    lstm = lively(LSTMPolicy, agent, hidden=4)
    plain, recurrent = agent(Coin()).episodes(3), agent(gru).episodes(3)
    assert agent(gru).evaluate(plain).logprobs.shape == (len(plain),)
    assert agent(big).evaluate(recurrent).logprobs.shape == (len(recurrent),)
    for part in (plain.vectorize(), plain[1:], plain[:-1].chunks(1)):
        with pytest.raises(ValueError, match="no recurrent states are stored"):
            agent(gru).evaluate(part)
    for part in (recurrent.vectorize(), recurrent[1:], recurrent[:-1].chunks(1)):
        for other in (big, lstm):
            with pytest.raises(
                ValueError, match=r"stored recurrent states have shapes \(\(4,\),\)"
            ):
                agent(other).evaluate(part)


# ---------------------------------------------------------------------- heads

DISCRETE, BOX = spaces.Discrete(3), spaces.Box(-1, 1, (1,))
BOTH = spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Discrete(2)])
HEADS = {
    "too few": (BOTH, lambda x: Normal(x[:, :2], 1.0), r"1 action component\(s\).*has 2"),
    "too many": (DISCRETE, lambda x: (coin(x), coin(x)), r"2 action component\(s\).*has 1"),
    "order": (BOTH, lambda x: (coin(x), Normal(x[:, :2], 1.0)), r"component 0.*takes \(2,\)"),
    "categories": (DISCRETE, coin, "Categorical over 2 values, .* has 3"),
    "more": (spaces.Discrete(1), coin, "Categorical over 2 values, .* has 1"),
    "kind": (DISCRETE, lambda x: Normal(x[:, 0], 1.0), "a Normal, .* takes integers: use a Cat"),
    "real": (
        spaces.Box(-1, 1, ()),
        coin,
        "Categorical over 2 values, .* has real-valued actions: use a Normal",
    ),
    "Categorical (B, 1, n)": (
        DISCRETE,
        lambda x: Categorical(logits=x[:, None]),
        r"draws actions of shape \(1,\), Discrete\(3\) takes \(\)",
    ),
    "Normal (B,)": (BOX, lambda x: Normal(x[:, 0], 1.0), r"of shape \(\), Box.* takes \(1,\)"),
    "Normal (B, B)": (
        BOX,
        lambda x: Normal(x[:, :1] + x[:, 0], 1.0),
        r"of shape \(3,\), Box.* takes \(1,\): its parameters must have shape \(B, 1\)",
    ),
    "Normal (B, 1, 1)": (BOX, lambda x: Normal(x[:, :1, None], 1.0), r"of shape \(1, 1\)"),
    "Normal wide": (BOX, lambda x: Normal(x, 1.0), r"of shape \(3,\), Box.* takes \(1,\)"),
    "Independent": (BOX, lambda x: Independent(Normal(x, 1.0), 1), r"of shape \(3,\)"),
    "MultiDiscrete": (
        spaces.MultiDiscrete([2, 2]),
        lambda x: Categorical(logits=x.new_zeros(len(x), 2, 2)),
        r"1 action component\(s\).*has 2",
    ),
    "MultiBinary": (
        spaces.MultiBinary(3),
        lambda x: Bernoulli(logits=x[:, :2]),
        r"of shape \(2,\), MultiBinary\(3\) takes \(3,\)",
    ),
    "one row": (BOX, lambda x: Normal(x[:1, :1], 1.0), "distribution of 1 rows for 3 states"),
    "rows": (BOTH, lambda x: (Normal(x[:, :2], 1.0), coin(x[:2])), r"number of rows: \[3, 2\]"),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_do_not_fit_the_action_space(name):
    space, make, error = HEADS[name]
    env = scripts(3, SAME, action_space=space)
    agent, policy = Agent(env), acts(make)
    for dry in (False, True):
        with pytest.raises(ValueError, match=error):
            agent(policy).segment(2, dry=dry)
    assert all(script.steps == 0 for script in env.envs)  # it was noticed before anything was done


@pytest.mark.parametrize(
    ("space", "make", "wrong"),
    [
        (DISCRETE, lambda x: Categorical(logits=x), lambda x: Categorical(logits=x[:, None])),
        (BOX, lambda x: Normal(x[:, :1], 1.0), lambda x: Normal(x[:, 0], 1.0)),
        (BOX, lambda x: Normal(x[:, :1], 1.0), lambda x: Normal(x, 1.0)),
        (BOX, lambda x: Normal(x[:, :1], 1.0), lambda x: (Normal(x[:, :1], 1.0), coin(x))),
    ],
    ids=["Categorical (B, 1, n)", "Normal (B,)", "Normal (B, 3)", "two"],
)
def test_evaluate_does_not_broadcast_either(space, make, wrong):
    agent = Agent(scripts(3, SAME, action_space=space))
    rollout = agent(acts(make)).segment(4)
    for each in (rollout, rollout[:-1], rollout.vectorize()):
        with pytest.raises(ValueError, match="action component"):
            agent(acts(wrong)).evaluate(each)


@pytest.mark.parametrize(
    ("extra", "got"),
    [
        (lambda x: x.sum(), r"\(\)"),
        (lambda x: x.sum(1)[:1], r"\(1,\)"),
        (lambda x: x.sum(1)[None], r"\(1, 3\)"),
        (lambda x: 0.5, "float"),
        (lambda x: [0.0, 0.0, 0.0], "list"),
    ],
    ids=["scalar", "(1,)", "(1, B)", "number", "list"],
)
def test_extras_have_one_entry_a_row(extra, got):
    agent = Agent(scripts(3, SAME))
    error = rf"extra 1 .* one entry a row \(3 here\) or None; got {got}"
    with pytest.raises(ValueError, match=error):
        agent(acts(coin, lambda x: x, extra)).segment(2)


def test_a_value_that_was_broadcast_is_noticed_where_it_is_used():
    """(B,) + (B, 1): with B rows a legal extra of B entries a row, but no value."""
    agent = Agent(scripts(3, SAME))
    policy = acts(coin, lambda x: x.sum(1) + x.sum(1, keepdim=True))
    evaluated = agent(policy).evaluate(agent(Coin()).segment(4))
    for rollout, fill in itertools.product(
        (agent(policy).segment(4), evaluated),
        (
            lambda rollout, values: rollout.gae(values, 0.9, 0.9),
            lambda rollout, values: rollout.n_step_returns(values, 0.9),
            lambda rollout, values: setattr(rollout, "returns", values),
        ),
    ):
        with pytest.raises(ValueError, match="shape"):
            fill(rollout, rollout.others[0])


FORWARDS = {
    "nothing": (lambda h, x: None, TypeError, "at least two values.*it returned NoneType"),
    "bare": (lambda h, x: ActionDistribution(coin(x)), TypeError, "returned ActionDistribution"),
    "one": (lambda h, x: (ActionDistribution(coin(x)),), TypeError, r"it returned 1 value\(s\)"),
    "list": (lambda h, x: [None, ActionDistribution(coin(x))], TypeError, "it returned list"),
    "unwrapped": (lambda h, x: (None, coin(x)), TypeError, r"wrap it: rlx.ActionDistribution"),
    "logits": (lambda h, x: (None, x), TypeError, "must be an ActionDistribution.*not Tensor"),
    "swapped": (lambda h, x: (ActionDistribution(coin(x)), None), TypeError, "neither"),
    "critic": (lambda h, x: (None, None, x), ValueError, "a critic.*cannot act"),
    "memory list": (
        lambda h, x: ([x], ActionDistribution(coin(x))),
        ValueError,
        "a recurrent state must be a tensor.*got list",
    ),
    "memory (1, B, H)": (
        lambda h, x: (x[None], ActionDistribution(coin(x))),
        ValueError,
        r"one entry a row.*\(3 rows here\).*got \(1, 3, 3\)",
    ),
    "memory that grows": (
        lambda h, x: (x if h is None else torch.cat([h, x], 1), ActionDistribution(coin(x))),
        ValueError,
        r"of shapes \(\(6,\),\) for 3 states, and of shapes \(\(3,\),\) before",
    ),
    "memory lost": (
        lambda h, x: (x if h is None else None, ActionDistribution(coin(x))),
        ValueError,
        r"of shapes \(\) for 3 states, and of shapes \(\(3,\),\) before",
    ),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_what_forward_may_not_return(name):
    forward, kind, error = FORWARDS[name]
    agent = Agent(scripts(3, SAME))
    with pytest.raises(kind, match=error):
        agent(Gives(forward)).segment(3)
    if "critic" not in name and "memory" not in name:
        with pytest.raises(kind, match=error):
            agent(Gives(forward)).evaluate(agent(Coin()).segment(3))


def test_a_policy_is_a_parametric():
    with pytest.raises(TypeError, match=r"takes an rlx.Parametric, not Linear"):
        Agent(Script())(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="must define forward"):
        Agent(Script())(Parametric()).episode()


def test_actions_that_are_not_supported():
    for space in (spaces.Dict(a=DISCRETE), spaces.Tuple([BOTH]), spaces.MultiDiscrete([[2, 2]])):
        with pytest.raises(ValueError, match="are not supported: use Discrete, MultiDiscrete"):
            Agent(Script(action_space=space))


# ---------------------------------------------------------------------- not a number


class Spoils(Script):
    """Shows or pays something that is not a number in episode 0 of environment 1."""

    def __init__(self, row=0, observe=None, pay=None, **kwargs):
        super().__init__(row, **kwargs)
        self.observe, self.pay = observe or {}, pay or {}

    def _observe(self):
        observation = super()._observe().copy()
        if self.row == 1 and self.episode == 0 and self.t in self.observe:
            observation[2] = self.observe[self.t]
        return observation

    def step(self, action):
        observation, reward, *rest = super().step(action)
        if self.row == 1 and self.episode == 0:
            reward = self.pay.get(self.t - 1, reward)
        return observation, reward, *rest


def spoils(mode, **kwargs):
    """Two environments; episode 0 of the second takes 4 steps."""
    if mode is None:
        return Spoils(1, **kwargs)
    makes = [lambda row=row: Spoils(row, **kwargs) for row in range(2)]
    return rlx.envs.gymnasium.vector.SyncVectorEnv(makes, autoreset_mode=mode)


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("call", ["episode", "segment"])
@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("value", [NAN, INF])
def test_observations_and_rewards_that_are_not_finite(mode, call, dry, value):
    env = 0 if mode is None else 1
    cases = [({"pay": {t: value}}, rf"a reward is not finite at step {t}") for t in range(4)]
    cases += [
        ({"observe": {t: value}}, rf"observation is not finite at step {t}") for t in range(4)
    ]
    cases = [(spoilt, rf"{error} of this call, environment {env}") for spoilt, error in cases]
    final = rf"final observation of environment {env} is not finite: it ended with step 3"
    if mode == AutoresetMode.NEXT_STEP:
        final = r"observation is not finite at step 4 of this call, environment 1"
    for spoilt, error in [*cases, ({"observe": {4: value}}, final)]:
        runner = Agent(spoils(mode, **spoilt))(Coin())
        with pytest.raises(ValueError, match=error):
            runner.episode(dry=dry) if call == "episode" else runner.segment(6, dry=dry)
        assert runner.episode().start[0]  # episode 1 is healthy


def test_steps_are_counted_in_the_present_call():
    agent = Agent(spoils(SAME, observe={3: NAN}))
    agent(Coin()).segment(2)
    with pytest.raises(ValueError, match="at step 1 of this call, environment 1"):
        agent(Coin()).segment(4)


# What each distribution makes of `bad`, a column that is 0 but where it is to go wrong.
SICK = {
    "Categorical": (DISCRETE, lambda bad: Categorical(logits=bad.expand(-1, 3))),
    "rlx Categorical": (DISCRETE, lambda bad: rlx.distributions.Categorical(bad.expand(-1, 3))),
    "Categorical, probs": (DISCRETE, lambda bad: Categorical(probs=bad.expand(-1, 3) + 0.5)),
    "Normal, mean": (BOX, lambda bad: Normal(bad, 1.0)),
    "Normal, std": (BOX, lambda bad: Normal(torch.zeros_like(bad), bad.exp())),
    "Independent": (BOX, lambda bad: Independent(Normal(bad, 1.0), 1)),
    "Bernoulli": (spaces.MultiBinary(1), lambda bad: Bernoulli(logits=bad)),
    "Bernoulli, probs": (spaces.MultiBinary(1), lambda bad: Bernoulli(probs=bad + 0.5)),
    "Beta": (BOX, lambda bad: Beta(bad + 1, bad + 1)),
    "SquashedNormal": (BOX, lambda bad: rlx.SquashedNormal(bad, torch.ones_like(bad))),
    "second of two": (
        BOTH,
        lambda bad: (Normal(torch.zeros(len(bad), 2), 1.0), Categorical(logits=bad.expand(-1, 2))),
    ),
}


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SICK)
def test_probabilities_that_are_not_finite(name, mode, dry):
    space, make = SICK[name]

    def forward(h, x):  # sick in the third row of environment 1
        bad = torch.where((x[:, 0] == 1) & (x[:, 2] == 2), NAN, 0.0)[:, None]
        dists = make(bad)
        return None, ActionDistribution(*(dists if isinstance(dists, tuple) else (dists,)))

    error = r"probabilities are not finite at step 2 of this call, environment 1: .*weights"
    for name, length in (("episode", None), ("segment", 7)):
        agent = Agent(scripts(2, mode, action_space=space))
        with pytest.raises(ValueError, match=error):
            getattr(agent(Gives(forward)), name)(length, dry=dry)


def test_a_network_that_diverged():
    for kind in ("discrete", "continuous", "both"):
        agent = Agent(reach("native", SAME, kind))
        for cls in (MLPPolicy, GRUPolicy, LSTMPolicy):
            policy = lively(cls, agent)
            rollout = agent(policy).segment(3)
            for parameter in policy.parameters():
                parameter.data[:] = NAN
            for dry in (True, False):
                with pytest.raises(
                    ValueError, match=r"not finite at step 0 .*, environment 0.*diverge"
                ):
                    agent(policy).segment(3, dry=dry)
            assert agent(lively(cls, agent)).evaluate(rollout).logprobs.isfinite().all()


def test_the_first_thing_that_went_wrong_is_named():
    """A NaN observation makes a NaN of the probabilities, these make an action that is refused."""

    class Refuses(Spoils):
        def step(self, action):
            if np.isnan(action).any():
                raise AssertionError("what kind of action is that")
            return super().step(action)

    agent = Agent(Refuses(1, observe={2: NAN}, action_space=BOX))
    with pytest.raises(ValueError, match="an observation is not finite at step 2"):
        agent(lively(MLPPolicy, agent)).episode()
    policy = lively(MLPPolicy, agent)
    policy.actor[1].layers[0].bias.data[:] = NAN
    with pytest.raises(ValueError, match="probabilities are not finite at step 0"):
        agent(policy).segment(3)


def test_parameters_that_are_impossible():
    agent = Agent(Script(action_space=BOX))
    with pytest.raises(ValueError, match=r"cannot sample.*standard deviation must be positive"):
        agent(acts(lambda x: Normal(x[:, :1], -torch.ones(len(x), 1)))).episode()


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("make", [Categorical, distributions.Categorical], ids=["torch's", "ours"])
def test_masking_actions_is_legal(make, dry):
    class Masks(Parametric):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 3)

        def forward(self, *states):
            logits = self.net(states[1] / 10)
            mask = torch.tensor([0.0, -INF, 0.0])
            return None, ActionDistribution(make(logits=logits + mask))

    agent = Agent(scripts(3, SAME, action_space=DISCRETE))
    policy = Masks()
    rollout = agent(policy).segment(50, dry=dry)
    assert set(rollout.actions[0].tolist()) == {0, 2}
    evaluated = agent(policy).evaluate(rollout)
    assert evaluated.logprobs.isfinite().all()
    (evaluated.logprobs.sum() + evaluated.entropy.sum()).backward()
    assert all(p.grad.isfinite().all() for p in policy.parameters())
    if not dry:
        assert_close(evaluated.logprobs, rollout.logprobs)


# ---------------------------------------------------------------------- what the environment does


def failing(mode, fail_at, error=None):
    """(environment, its Scripts); the one with row 1 raises in its step number `fail_at`."""
    if mode is None:
        env = Script(1, fail_at=fail_at, error=error)
        return env, [env]
    env = scripts(2, mode)
    env.envs[1].fail_at, env.envs[1].error = fail_at, error or env.envs[1].error
    return env, env.envs


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("cls", [Coin, Counter])
@pytest.mark.parametrize("mode", [None, *MODES])
def test_an_environment_that_raises_in_mid_episode(mode, cls, dry):
    env, parts = failing(mode, fail_at=3)
    agent, policy = Agent(env), cls()
    error = r"the environment raised RuntimeError at step 2 of this call: .*the motor broke"
    with pytest.raises(RuntimeError, match=error) as caught:
        agent(policy).segment(9, dry=dry)
    assert isinstance(caught.value.__cause__, RuntimeError)
    check_usable(agent, policy, parts)


@pytest.mark.parametrize("mode", [None, *MODES])
def test_an_interrupt_leaves_a_usable_agent(mode):
    env, parts = failing(mode, fail_at=3, error=KeyboardInterrupt())
    agent, policy = Agent(env), Counter()
    with pytest.raises(KeyboardInterrupt):
        agent(policy).segment(9)
    check_usable(agent, policy, parts)
    assert torch.distributions.Distribution._validate_args == __debug__


def check_usable(agent, policy, parts):
    """It starts from a reset, all environments do, and the memory is empty."""
    resets = [part.resets for part in parts]
    rollout = agent(policy).segment(4)
    assert [part.resets for part in parts] > resets
    firsts = torch.cat([torch.tensor([True]), rollout.states[1:, 0] != rollout.states[:-1, 0]])
    assert rollout.start[firsts].all()
    assert (rollout.states[firsts, 2] == 0).all()
    if rollout.recur_states is not None:
        assert_close(rollout.recur_states[:, 0], rollout.states[:, 2])
    assert agent(policy).episode().start.sum() == agent.num_envs


def test_an_interrupt_between_two_segments_loses_nothing():
    agent, policy = Agent(Script(1)), Coin()
    agent(policy).segment(2)
    with pytest.raises(ValueError, match="at least one step"):
        agent(policy).segment(0)
    assert agent(policy).segment(1).states[0, 2] == 2


def test_native_environments_name_what_broke(monkeypatch):
    env = NativeScript(2)
    agent = Agent(env)
    agent(Coin()).segment(2)
    monkeypatch.setattr(env, "_step", lambda actions: 1 / 0)
    with pytest.raises(RuntimeError, match="raised ZeroDivisionError at step 0 of this call"):
        agent(Coin()).segment(2)
    monkeypatch.undo()
    assert agent(Coin()).segment(2).start[0]
