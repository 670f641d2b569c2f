"""What `rlx.course.probe` says of an algorithm that is right, and of one that is not."""

import pytest
import torch

import rlx
from rlx.course import probe
from rlx.course.faults import NOTHING, REPLAYING
from rlx.course.sealed import Matrix, Sealed


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


# ---------------------------------------------------------------------- sealed agents


def test_a_sealed_agent_is_named_by_its_probes():
    sealed = Sealed(12)
    assert not sealed.open("both")
    assert sealed.open("action")
    assert sealed.opened == {"both": False, "action": True}
    assert sealed.said["action"] == "probability of the right action 1.00"
    assert str(sealed.is_it("what the policy sees")) == (
        "✓ Sealed: it is what the policy sees\n  Named with 2 of 6 probes opened."
    )
    assert "It does not fit what you have seen." in str(sealed.is_it("the policy loss"))
    with pytest.raises(ValueError, match="none of the faults: nothing is broken; the value loss"):
        sealed.is_it("bad luck")
    with pytest.raises(ValueError, match="one of constant, observation"):
        sealed.open("everything")


def test_twins_are_told_apart_by_what_they_say():
    sealed = Sealed(4)
    assert sealed.is_it("the discount").kind == "foreseen"
    said = str(sealed.is_it("a segment's cut counts as a death"))
    assert "the same probes" in said


def test_a_sealed_agent_does_not_disturb_what_is_drawn_after_it():
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    Sealed(1).open("constant")
    assert torch.equal(torch.rand(3), wanted)


def test_the_matrix_keeps_count_of_guesses():
    matrix = Matrix(Sealed(12))
    matrix.guess("action", True)
    matrix.guess("both", True)
    assert matrix.line == (
        "both: FAILED, probability of the right action 0.19, 0.81. 2 opened, 1 foreseen. 1 of 10 "
        "still fit."
    )
    page = matrix.below()["text/html"]
    assert page.count("opacity") == 9
    assert ">FAILED</td>" in page
    matrix.try_fault("the discount", "delay")
    assert matrix.line.startswith("If the discount, on delay: FAILED, V 1.00, 1.00")
    matrix.try_fault(NOTHING, "constant")
    assert matrix.line.startswith("If nothing is broken, on constant: passed")
