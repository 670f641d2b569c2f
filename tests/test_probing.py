"""What `rlx.course.probe` says of an algorithm that is right, and of one that is not."""

import pytest
import torch

import rlx
from rlx.course import probe


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
    assert "FAILED: V 1.25, where 2.00 is right" in capsys.readouterr().out
