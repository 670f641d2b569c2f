"""Ready-made policies: their heads fit every action space, and both ways of running them agree."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn.utils.rnn import PackedSequence
from torch.testing import assert_close

import rlx
from rlx.critics import Critic, QNetwork
from rlx.networks import (
    ActionHead,
    GRUPolicy,
    LSTMPolicy,
    MLPPolicy,
    NoisyPolicy,
    Policy,
    SquashedPolicy,
    linear,
)

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


EYES = spaces.Box(-1, 1, (3,))
FAMILY = {
    **{(cls, None): "Discrete" for cls in (MLPPolicy, GRUPolicy, LSTMPolicy)},
    **{
        (cls, memory): name
        for cls, name in {
            Policy: "Discrete", QNetwork: "Discrete",
            SquashedPolicy: "Box", NoisyPolicy: "Box", Critic: "Box",
        }.items()
        for memory in (None, "gru", "lstm")
    },
}  # fmt: skip
family = pytest.mark.parametrize(
    ("cls", "memory", "name"), [(*key, name) for key, name in FAMILY.items()]
)


@family
def test_networks_are_made_from_an_agent_or_its_spaces(cls, memory, name):
    env = rlx.envs.make("Reach-v0", actions="discrete" if name == "Discrete" else "continuous")
    agent = rlx.Agent(env)
    options = {"hidden": 8} | ({"memory": memory} if memory else {})
    networks = []
    for made_from in ((agent,), (agent.observation_space, agent.action_space)):
        torch.manual_seed(0)
        networks.append(cls(*made_from, **options))
    one, two = (network.state_dict() for network in networks)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("made_from", [("CartPole-v1",), (EYES,), ("agent", 64), (EYES, (8, 8))])
def test_what_a_network_can_be_made_from_is_said(made_from):
    agent = rlx.Agent("CartPole-v1")
    made_from = tuple(agent if part == "agent" else part for part in made_from)
    with pytest.raises(TypeError, match=r"MLPPolicy is made from an agent, MLPPolicy\(agent, hid"):
        MLPPolicy(*made_from)


@pytest.mark.parametrize(
    ("cls", "memory", "space"),
    [
        (cls, memory, space)
        for (cls, memory), name in FAMILY.items()
        for space in (SPACES if issubclass(cls, Policy) else [name])
    ],
)
def test_the_gradient_reaches_every_parameter(cls, memory, space):
    """torch.autograd.grad raises for a parameter that took no part."""
    options = {"memory": memory} if memory else {}
    network = cls(EYES, SPACES[space][0], hidden=8, **options)
    actions = [torch.rand(5, *shape) for shape in SPACES[space][1]] if cls is Critic else []
    h, _, *_ = network(None, torch.randn(5, 3), *actions)
    _, dist, *extras = network(h, torch.randn(5, 3), *actions)
    loss = sum(extra.sum() for extra in extras)
    if dist is not None:
        loss = loss + dist.log_prob(*(action.detach() for action in dist.sample())).sum()
    parameters = list(network.parameters())
    assert all(parameter.numel() for parameter in parameters)
    gradients = torch.autograd.grad(loss, parameters)
    assert [g.shape for g in gradients] == [p.shape for p in parameters]


@pytest.mark.parametrize(
    ("memory", "sizes"),
    [(None, [(32, 3), (16, 32), (4, 16)]), ("gru", [(96, 3), (96, 32), (16, 32), (4, 16)])],
)
def test_sizes_of_layers_can_be_given_one_by_one(memory, sizes):
    """With a memory, the first remembers: a GRU of 32 has three gates of as many rows."""
    network = QNetwork(EYES, SPACES["Discrete"][0], hidden=(32, 16), memory=memory)
    assert [tuple(p.shape) for p in network.parameters() if p.ndim == 2] == sizes


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
