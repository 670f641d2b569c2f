"""Every algorithm passes the probes, and a broken one fails those that name its fault."""

import contextlib

import pytest
import torch

import rlx
from rlx.course import faults
from rlx.course.faults import (
    FAULTS,
    GAMMA,
    MISSED,
    NOTHING,
    REPLAYING,
    UPDATES,
    algorithm,
    diagnose,
    signs,
)
from rlx.course.probing import judge
from rlx.envs import probes

VALUE = {"constant", "observation", "delay", "truncation"}


def passes(learner, kind, updates):
    """Does it learn the values, or the right actions? Of one without values nothing is asked."""
    with contextlib.suppress(FloatingPointError):  # it diverged: it will not pass
        rlx.train(learner, updates=updates, progress=False)
    return judge(learner, kind, GAMMA)[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", probes.KINDS)
@pytest.mark.parametrize("name", UPDATES)
def test_every_algorithm_passes_the_probes(name, kind):
    passed = passes(algorithm(name, kind), kind, UPDATES[name])
    if name == "REINFORCE" and kind in VALUE:
        assert passed is None  # it has no values
    else:
        # Monte-Carlo returns never bootstrap: to them, an episode that is cut is over.
        assert passed == ((name, kind) != ("ActorCritic", "truncation"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["action", "both"])
@pytest.mark.parametrize("name", [name for name in UPDATES if name not in REPLAYING])
def test_every_algorithm_passes_the_probes_with_continuous_actions(name, kind):
    learner = algorithm(name, kind, seed=0, actions="continuous")
    assert passes(learner, kind, UPDATES[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", FAULTS, ids=[f"{k} {fault.algorithm}: {fault.name}" for k, fault in enumerate(FAULTS)]
)
def test_a_broken_algorithm_fails_the_probes_that_name_its_fault(fault):
    failed = set()
    for kind in probes.KINDS:
        with fault.learner(kind) as learner:
            if passes(learner, kind, UPDATES[fault.algorithm]) is False:
                failed.add(kind)
    assert failed == fault.fails


@pytest.mark.slow
@pytest.mark.parametrize("kind", probes.KINDS)
@pytest.mark.parametrize("fault", MISSED, ids=lambda fault: fault.name)
def test_some_faults_pass_every_probe(fault, kind):
    with fault.learner(kind) as learner:
        assert passes(learner, kind, UPDATES[fault.algorithm])


def test_they_are_broken_all_the_same():
    def answers(policy):
        """What a policy with a memory does in its second step, after either first one."""
        now = torch.zeros(1, 1)
        memories = [policy(None, torch.full((1, 1), first))[0] for first in (-1.0, 1.0)]
        return [policy(memory, now)[1].components[0].logits for memory in memories]

    torch.manual_seed(0)
    agent = rlx.Agent(rlx.envs.make_vec("ProbeDelay-v0", 1))
    assert torch.equal(*answers(faults.Wiped(agent)))
    assert not torch.allclose(*answers(rlx.networks.GRUPolicy(agent)))
    with MISSED[2].learner("action") as learner:
        rollout = learner.agent(learner.policy).episodes(400)
    noise = rollout.actions[0] - learner.policy(None, rollout.states)[1].mode[0]
    assert noise.mean().item() == pytest.approx(0.5, abs=0.1)  # five standard errors


def test_what_was_broken_is_whole_again():
    with FAULTS[6].learner("constant"):
        assert rlx.functional._bootstrap is faults.bootstrap_always
    assert rlx.functional._bootstrap is faults.real["_bootstrap"]


def test_no_two_faults_look_alike_but_for_one_pair():
    """Monte-Carlo algorithms have a shorter list, and are left out."""
    seen = {}
    for fault in FAULTS:
        if fault.algorithm != "ActorCritic":
            seen.setdefault(fault.name, set()).add(fault.fails)
    assert all(len(sets) == 1 for sets in seen.values())
    by_sign = {}
    for name, (fails,) in seen.items():
        by_sign.setdefault(fails, []).append(name)
    twins = [names for names in by_sign.values() if len(names) > 1]
    assert twins == [["the discount", "a segment's cut counts as a death"]]


def test_diagnose():
    table = signs()
    assert diagnose({}, table) == list(table)
    assert diagnose(dict.fromkeys(probes.KINDS, True), table) == [NOTHING]
    assert diagnose({"both": False, "action": True}, table) == ["what the policy sees"]
    assert diagnose({"constant": False}, table) == ["a death is bootstrapped"]
    assert diagnose({"constant": False, "action": False}, table) == []
    for fault in FAULTS:
        if fault.algorithm == "A2C":
            opened = {kind: kind not in fault.fails for kind in probes.KINDS}
            assert fault.name in diagnose(opened, table)


def test_signs_of_another_algorithm():
    assert signs("DDPG") == {NOTHING: [], "the critic's loss": list(probes.KINDS)}
