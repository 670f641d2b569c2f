"""The idioms of the original library's README, each run as it is written there."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.testing import assert_close

import rlx


class TwoHands(gymnasium.Env):
    """Two actions at once: a force on a point, Box(-1, 1, (1,)), and a gear, Discrete(2)."""

    observation_space = spaces.Box(-10, 10, (2,), dtype=np.float32)
    action_space = spaces.Tuple([spaces.Box(-1, 1, (1,)), spaces.Discrete(2)])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-1, 1), 0
        return np.array([self.x, 1.0], dtype=np.float32), {}

    def step(self, action):
        force, gear = action
        assert self.action_space.contains(action)
        self.x, self.t = self.x + 0.1 * (1 + gear) * float(force[0]), self.t + 1
        observation = np.array([self.x, 1 - self.t / 20], dtype=np.float32)
        return observation, 1 - abs(self.x), abs(self.x) > 1, self.t == 20, {}


class PolicyValueModule(rlx.Parametric):
    """Recurrent policy network with state-value (baseline) prediction"""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(2, 8)
        self.mean, self.logits, self.state_value_net = (
            nn.Linear(8, 1),
            nn.Linear(8, 2),
            nn.Linear(8, 1),
        )

    def forward(self, *states):
        recur_state, state = states  # the recurrent state from the last step comes in by itself
        next_recur_state = self.cell(state, recur_state)
        action1 = torch.distributions.Normal(self.mean(next_recur_state), 0.5)
        action2 = torch.distributions.Categorical(logits=self.logits(next_recur_state))
        state_value = self.state_value_net(next_recur_state)
        return next_recur_state, rlx.ActionDistribution(action1, action2), state_value


class FeedForward(PolicyValueModule):
    """The same without a memory."""

    def forward(self, *states):
        _, state = states
        _, dist, state_value = super().forward(None, state)
        return None, dist, state_value


@pytest.fixture(params=[PolicyValueModule, FeedForward])
def policy(request):
    torch.manual_seed(0)
    return request.param()


@pytest.fixture
def agent(policy):
    return rlx.Agent(TwoHands(), torch.optim.Adam(policy.parameters(), lr=1e-2), seed=0)


def test_ppo_as_it_was_written(agent, policy):
    horizon, k_epochs, clip = 10, 3, 0.2
    before = [p.clone() for p in policy.parameters()]

    base_rollout = agent(policy).episode(horizon)  # sample an episode as a Rollout
    base_rewards, base_logprobs = base_rollout.rewards, base_rollout.logprobs
    base_returns = base_rollout.mc_returns()  # Monte-Carlo estimates of the returns

    assert len(base_rollout) <= horizon + 1
    assert_close(base_returns, base_rewards.flip(0).cumsum(0).flip(0))

    for epoch in range(k_epochs):
        rollout = agent(policy).evaluate(base_rollout)  # evaluate an episode: a new Rollout
        logprobs, entropy = rollout.logprobs, rollout.entropy
        (values,) = rollout.others  # also the value estimates

        ratios = (logprobs - base_logprobs.detach()).exp()
        advantage = base_returns - values
        policyloss = (
            -torch.min(ratios, torch.clamp(ratios, 1 - clip, 1 + clip)) * advantage.detach()
        )
        valueloss = advantage.pow(2)
        loss = policyloss.sum() + 0.5 * valueloss.sum() - entropy.sum() * 0.01

        assert policyloss.shape == valueloss.shape == entropy.shape == (len(base_rollout),)
        assert torch.allclose(ratios, torch.ones(()), atol=1e-5) == (epoch == 0)

        agent.zero_grad()
        loss.backward()
        agent.step()

    changed = [not torch.equal(old, new) for old, new in zip(before, policy.parameters())]
    assert sum(changed) >= len(changed) - 1  # without a memory, its weights have nothing to learn


@pytest.mark.parametrize("on", [True, False])
def test_the_gradient_is_torchs_own_switch(agent, policy, on):
    network = policy
    with torch.set_grad_enabled(on):
        rollout = agent(network).episode(10, dry=False)
        rollout.mc_returns()  # fills its 'returns'
        logprobs, returns = rollout.logprobs, rollout.returns
        (values,) = rollout.others  # any extra quantity that was computed
    assert logprobs.shape == returns.shape == values.shape == (len(rollout),)
    assert logprobs.requires_grad is values.requires_grad is on


def test_dry_then_evaluate(agent, policy):
    other_policy = type(policy)()
    with torch.no_grad():
        dry_rollout = agent(policy).episode(10, dry=True)  # (state, action, reward) only
    with pytest.raises(RuntimeError, match="dry"):
        _ = dry_rollout.logprobs
    dry_rollout.mc_returns()
    dry_rollout_vec = dry_rollout.vectorize()  # a batch dimension; the returns travel along
    rollout = agent(policy).evaluate(dry_rollout_vec)  # also against another policy
    loss = (rollout.logprobs * rollout.returns).mean()  # with gradients on and not dry
    loss.backward()
    assert all(p.grad is not None for p in (*policy.mean.parameters(), *policy.cell.parameters()))
    assert_close(rollout.returns, dry_rollout.returns)
    again = agent(other_policy).evaluate(dry_rollout_vec)
    assert not torch.allclose(again.logprobs, rollout.logprobs)


def test_importance_weights(agent, policy):
    behavior_policy = type(policy)()
    behaviour_rollout = agent(behavior_policy).episode(10)  # the agent runs any policy
    behaviour_logprobs = behaviour_rollout.logprobs  # kept for the importance ratio
    rollout = agent(policy).evaluate(behaviour_rollout)
    ratio = (rollout.logprobs - behaviour_logprobs).exp()
    assert ratio.shape == (len(rollout),)
    assert ratio[-1] == 1  # nothing was done in the end state


def test_tables_in_passing(agent, policy):
    rollout = agent(policy).episode(10)
    n = len(rollout)
    rollout.shuffle()
    assert len(rollout[:-1]) == n - 1  # remove the end state
    assert not rollout[:-1].end.any()
    assert len(rollout[:100]) == n  # recurrent rollouts can be too long
    assert len(rollout[:4]) == 4
    rollout1, rollout2 = agent(policy).episode(5), agent(policy).episode(7)
    both = (rollout1 + rollout2).vectorize()
    assert len(both) == len(rollout1) + len(rollout2)
    assert_close(agent(policy).evaluate(both).logprobs, both.logprobs, rtol=0, atol=1e-5)


def test_any_number_of_extras(agent):
    class Talkative(FeedForward):
        def forward(self, *states):
            _, dist, value = super().forward(*states)
            return None, dist, value, None, 2 * value, value.expand(-1, 3)

    value, nothing, double, wide = agent(Talkative()).episode(5).others
    assert nothing is None
    assert_close(double, 2 * value)
    assert wide.shape == (len(value), 3)
