"""Values that bootstrap from themselves stay where the rewards allow them to be."""

import pytest
import torch

import rlx


@pytest.mark.parametrize("gae_lambda", [0.95, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_value_is_larger_than_rewards_of_1_for_ever(seed, gae_lambda):
    """Reach pays between -1 and 1, so |V| ≤ 1 / (1 - γ). Its episodes are cut after ten steps, and
    so every target rests on a value, of a state that no step is ever made from."""
    torch.manual_seed(seed)
    agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 32, max_episode_steps=10), seed=seed)
    policy = rlx.networks.MLPPolicy(agent)
    learner = rlx.algos.A2C(agent, policy, n_steps=16, gamma=0.99, gae_lambda=gae_lambda)
    rlx.train(learner, updates=100, progress=False)
    with torch.no_grad():
        values = learner.value_of(agent(policy).segment(20))
    assert values.abs().max() <= 1 / (1 - 0.99)
