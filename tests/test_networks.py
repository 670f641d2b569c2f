"""Ready-made policies: their heads fit every action space, and both ways of running them agree."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn.utils.rnn import PackedSequence
from torch.testing import assert_close

from rlx.networks import ActionHead, GRUPolicy, LSTMPolicy, MLPPolicy, linear

SPACES = {
    "Discrete": (spaces.Discrete(4), [()]),
    "MultiDiscrete": (spaces.MultiDiscrete([2, 5]), [(), ()]),
    "MultiBinary": (spaces.MultiBinary((2, 3)), [(2, 3)]),
    "Box": (spaces.Box(-1, 1, (2, 3)), [(2, 3)]),
    "Box of a number": (spaces.Box(-1, 1, ()), [()]),
    "Tuple": (
        spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Discrete(3), spaces.MultiBinary(2)]),
        [(2,), (), (2,)],
    ),
}
OBSERVATIONS = [spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2, 2))]


@pytest.mark.parametrize("name", SPACES)
def test_an_action_head_fits_its_space(name):
    space, shapes = SPACES[name]
    dist = ActionHead(5, space)(torch.randn(7, 5))
    assert [tuple(action.shape) for action in dist.sample()] == [(7, *shape) for shape in shapes]
    assert dist.log_prob(*dist.sample()).shape == dist.entropy().shape == (7,)


def test_every_action_starts_out_about_as_probable_as_any_other():
    space = spaces.Tuple([spaces.Discrete(4), spaces.Box(-1, 1, (2,))])
    gears, force = ActionHead(64, space)(torch.randn(100, 64)).components
    assert_close(gears.probs, torch.full((100, 4), 0.25), rtol=0, atol=0.05)
    assert force.mean.abs().max() < 0.2
    assert_close(force.stddev, torch.full((100, 2), math.exp(-0.5)))


def test_the_standard_deviation_learns():
    head = ActionHead(5, spaces.Box(-1, 1, (2,)))
    dist = head(torch.randn(7, 5))
    dist.entropy().sum().backward()
    assert_close(head.log_stds[0].grad, torch.full((2,), 7.0))  # d entropy / d log std = 1


@pytest.mark.parametrize("observations", OBSERVATIONS, ids=str)
@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("cls", [MLPPolicy, GRUPolicy, LSTMPolicy])
def test_policies_return_memory_actions_and_a_value(cls, value, observations):
    hidden = (16,) if cls is MLPPolicy else 16
    policy = cls(observations, SPACES["Tuple"][0], hidden, value=value)
    x = torch.randn(5, *observations.shape)
    h, dist, *values = policy(None, x)
    assert len(dist) == 5
    assert [tuple(v.shape) for v in values] == [(5, 1)] * value
    shapes = {MLPPolicy: [], GRUPolicy: [(5, 16)], LSTMPolicy: [(5, 16)] * 2}
    assert [tuple(part.shape) for part in h or ()] == shapes[cls]


@pytest.mark.parametrize("cls", [GRUPolicy, LSTMPolicy])
@pytest.mark.parametrize("entering", [False, True])
def test_unroll_is_forward_row_by_row(cls, entering):
    torch.manual_seed(0)
    policy = cls(spaces.Box(-1, 1, (3,)), SPACES["Box"][0], hidden=4)
    sequences, sizes = torch.randn(3, 4, 3), [3, 2, 2, 1]  # lengths 4, 3, 1
    h = tuple(torch.randn(policy.memory.size, 3, 4)) if entering else None
    data = torch.cat([sequences[:size, t] for t, size in enumerate(sizes)])
    last, dist, value = policy.unroll(h, PackedSequence(data, torch.tensor(sizes)))
    means, values, at = [], [], 0
    for size in sizes:
        h = None if h is None else tuple(part[:size] for part in h)
        h, step, v = policy(h, data[at : at + size])
        means.append(step.components[0].mean)
        values.append(v)
        at += size
    assert_close(dist.components[0].mean, torch.cat(means))
    assert_close(value, torch.cat(values))
    for whole, stepped in zip(last, h, strict=True):
        assert_close(whole, stepped)  # of the longest sequence: only that one got this far


@pytest.mark.parametrize("cls", [GRUPolicy, LSTMPolicy])
def test_unroll_has_the_gradient_of_torchs_packed_sequences(cls):
    """It pads them, which is faster; what is padded must not show."""
    torch.manual_seed(0)
    memory = cls(spaces.Box(-1, 1, (3,)), SPACES["Box"][0], hidden=4).memory
    packed = PackedSequence(torch.randn(8, 3, requires_grad=True), torch.tensor([3, 2, 2, 1]))
    weights = torch.randn(8, 4)
    inputs = [packed.data, *memory.parameters()]
    ours = (weights * memory.unroll(None, packed)[1]).sum()
    theirs = (weights * memory.rnn(packed)[0].data).sum()
    assert_close(ours, theirs)
    assert_close(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs))


@pytest.mark.parametrize("cls", [GRUPolicy, LSTMPolicy])
def test_the_value_teaches_the_memory_a_little(cls):
    def gradient(share):
        torch.manual_seed(0)
        policy = cls(spaces.Box(-1, 1, (3,)), SPACES["Box"][0], hidden=4)
        policy.value_share = share
        _, _, value = policy(None, torch.linspace(-1, 1, 15).view(5, 3))
        value.sum().backward()
        assert all(p.grad is None for p in policy.actor.parameters())
        memory, critic = policy.memory.rnn.weight_ih_l0, policy.critic[1].weight
        return value.detach(), memory.grad, critic.grad

    whole, some = gradient(1.0), gradient(0.1)
    assert_close(some[0], whole[0])
    assert_close(some[1], 0.1 * whole[1])
    assert_close(some[2], whole[2])


@pytest.mark.parametrize("cls", [GRUPolicy, LSTMPolicy])
@pytest.mark.parametrize("n_in", [2, 200])
def test_small_observations_get_in(cls, n_in):
    """However many numbers there are, a gate's input is about twice as large as each of them."""
    memory = cls(spaces.Box(-1, 1, (n_in,)), SPACES["Box"][0], hidden=64).memory
    inputs = torch.randn(1000, n_in) @ memory.rnn.weight_ih_l0.T
    assert_close(inputs.std(), torch.tensor(2.0), rtol=0.1, atol=0)


def test_linear_is_orthogonal_without_bias():
    layer = linear(8, 8, gain=2.0)
    assert_close(layer.weight @ layer.weight.T, 4 * torch.eye(8), rtol=1e-4, atol=1e-4)
    assert not np.any(layer.bias.detach().numpy())
