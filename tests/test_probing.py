"""What `rlx.course.probe` says of an algorithm that is right, and of one that is not."""

import pytest
import torch

import rlx
from rlx.course import probe
from rlx.course.faults import REPLAYING


def make(kind, env, **options):
    torch.manual_seed(0)
    agent = rlx.Agent(rlx.envs.make_vec(env, 16), seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(16,))
    return kind(agent, policy, gamma=0.5, lr=1e-2, entropy_reg=0.0, **options)


@pytest.mark.slow
def test_one_that_bootstraps_passes_all(capsys):
    passed = probe(lambda env: make(rlx.algos.A2C, env, n_steps=6))
    assert all(passed.values()), passed
    assert capsys.readouterr().out.count("passed") == 6


@pytest.mark.slow
def test_one_that_does_not_bootstrap_fails_one(capsys):
    passed = probe(
        lambda env: make(rlx.algos.ActorCritic, env, batch_size=16, standardize_return=False)
    )
    assert {kind for kind, right in passed.items() if not right} == {"truncation"}
    said = capsys.readouterr().out
    assert "FAILED: V 1.25, where 2.00 is right" in said
    assert "What fits: a time limit counts as a death\n" in said


@pytest.mark.slow
def test_one_without_values_is_asked_for_actions_only(capsys):
    def reinforce(env):
        agent = rlx.Agent(rlx.envs.make_vec(env, 16), seed=0)
        policy = rlx.networks.MLPPolicy(agent, hidden=(16,), value=False)
        return rlx.algos.REINFORCE(agent, policy, batch_size=16, lr=0.01, entropy_reg=0.0)

    assert probe(reinforce) == {"action": True, "both": True}
    assert capsys.readouterr().out.count("left out: it learns no values") == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DQN", "SAC"])
def test_by_q_values(name, capsys):
    actions = {"SAC": "continuous"}.get(name, "discrete")

    def replaying(env):
        torch.manual_seed(0)
        agent = rlx.Agent(rlx.envs.make_vec(env, 16, actions=actions), seed=0)
        policy = REPLAYING[name](agent, hidden=16)
        options = dict(n_steps=6, passes=4, batch_size=64, warmup=0, tau=0.1, lr=0.02, gamma=0.5)
        return getattr(rlx.algos, name)(agent, policy, **options)

    assert all(probe(replaying, updates=60).values())
    words = {"DQN": "chooses the right action in 1.00, 1.00", "SAC": "off the right action by 0."}
    assert words[name] in capsys.readouterr().out
