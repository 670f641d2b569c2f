"""SquashedNormal: its density, of what was just drawn and of what was stored, and its gradients."""

import math
from itertools import product

import pytest
import torch
from gymnasium import spaces
from torch import tensor
from torch.distributions import Independent, Normal
from torch.testing import assert_close
from worlds import Script

import rlx
from rlx.critics import SquashedPolicy
from rlx.distributions import SquashedNormal

MEANS = (-20.0, -12.0, -7.3, -2.0, 0.0, 0.4, 6.0, 7.2, 9.0, 20.0)
STDS = (0.01, 0.05, 0.3, 1.0, 5.0)
EVERYWHERE = torch.cartesian_prod(tensor(MEANS), tensor(STDS)).unbind(1)
BORDER = math.atanh(1 - 2e-6)  # the value before the tanh beyond which actions are all one

BOUNDS = [(-1.0, 1.0), (-2.0, 3.0), (0.0, 0.5)]
bounds = pytest.mark.parametrize(("low", "high"), BOUNDS)


@bounds
def test_a_squashed_normals_density_integrates_to_one(low, high):
    for mean, std in [(0.0, 0.5), (0.8, 0.3), (-0.5, 0.9)]:
        a = torch.linspace(low, high, 400_001, dtype=torch.double)[1:-1]
        base = tensor(mean).double(), tensor(std).double()
        density = SquashedNormal(*(x.expand(len(a)) for x in base), low, high).log_prob(a).exp()
        assert density.sum() * (high - low) / 400_000 == pytest.approx(1.0, abs=1e-4)


@bounds
def test_a_squashed_normal_is_a_change_of_variables(low, high):
    # P(A <= a) = Φ(u(a)), with u the inverse: the density is its numeric derivative.
    mean, std = tensor([[0.3, -1.0]]).double(), tensor([[0.7, 1.5]]).double()
    dist = SquashedNormal(mean, std, low, high)
    share = torch.linspace(0.001, 0.999, 301).double()[:, None].expand(-1, 2)
    a, step = low + (high - low) * share, 1e-6 * (high - low)

    def below(a):
        return Normal(mean, std).cdf((2 * (a - low) / (high - low) - 1).atanh())

    density = (below(a + step) - below(a - step)) / (2 * step)
    assert_close(dist.log_prob(a).exp(), density, rtol=1e-4, atol=1e-6)


def test_a_squashed_normal_has_bounds_of_each_number():
    torch.manual_seed(0)
    low, high = tensor([-2.0, 0.0, 99.0]), tensor([3.0, 0.5, 101.0])
    for mean in (0.0, 30.0, -30.0):
        base = torch.full((2000, 3), mean), torch.ones(2000, 3)
        dist = SquashedNormal(*base, low, high)
        for actions in (dist.sample(), dist.rsample(), dist.mode):
            assert (actions >= low).all()
            assert (actions <= high).all()
            assert dist.log_prob(actions).isfinite().all()
        # A number by itself is as one among several.
        actions = dist.sample().clone()
        for k in range(3):
            alone = SquashedNormal(*(x[:, k] for x in base), low[k].item(), high[k].item())
            assert_close(alone.log_prob(actions[:, k]), dist.log_prob(actions)[:, k])
        with pytest.raises(NotImplementedError, match="closed-form"):
            dist.entropy()
        assert dist.support.check(actions).all()
    middle = SquashedNormal(torch.zeros(1, 3), torch.ones(1, 3), low, high).mode
    assert_close(middle, tensor([[0.5, 0.25, 100.0]]))


def test_a_squashed_sample_has_a_gradient():
    # a = 1/2 + 5/2 tanh(mean + std z): by hand, and against differences of the same draw.
    mean = tensor([0.2, -0.7]).double().requires_grad_()
    std = tensor([0.5, 1.1]).double().requires_grad_()

    def draw(mean, std):
        torch.manual_seed(1)
        return SquashedNormal(mean, std, -2.0, 3.0).rsample()

    draw(mean, std).sum().backward()
    torch.manual_seed(1)
    z = Normal(torch.zeros(2).double(), 1.0).sample()
    slope = 2.5 * (1 - (mean + std * z).tanh() ** 2)
    assert_close(mean.grad, slope.detach())
    assert_close(std.grad, (slope * z).detach())
    with torch.no_grad():
        change = (draw(mean + 1e-6, std) - draw(mean - 1e-6, std)) / 2e-6
    assert_close(mean.grad, change, rtol=0, atol=1e-6)
    assert not SquashedNormal(mean, std).sample().requires_grad


def log_slope(u):
    """log(1 − tanh²u) = -2 log cosh u."""
    return -2 * (u.abs() + torch.log1p(torch.exp(-2 * u.abs())) - math.log(2))


def far_and_wide(n, low=-1.0, high=1.0, dtype=torch.float):
    """`n` rows of every mean with every deviation, leaves that ask for a gradient."""
    mean, std = (x.expand(n, -1).to(dtype, copy=True).requires_grad_() for x in EVERYWHERE)
    return mean, std, SquashedNormal(mean, std, low, high)


@bounds
@pytest.mark.parametrize(("dtype", "accuracy"), [(torch.float, 5e-3), (torch.double, 1e-9)])
def test_what_was_just_drawn_has_its_exact_density(low, high, dtype, accuracy):
    torch.manual_seed(0)
    mean, std, dist = far_and_wide(200, low, high, dtype)
    action = dist.rsample()
    torch.manual_seed(0)
    z = Normal(torch.zeros_like(mean), 1.0).sample().double()
    u = mean.double() + std.double() * z
    gaussian = -z.square() / 2 - std.double().log() - math.log(2 * math.pi) / 2
    exact = gaussian - log_slope(u) - math.log((high - low) / 2)
    got = dist.log_prob(action)
    assert_close(got.double(), exact, rtol=0, atol=accuracy)
    # log π(tanh(m + s z)) by hand: m moves it by 2 tanh u, s by 2 z tanh u - 1/s.
    by_mean, by_std = torch.autograd.grad(got.sum(), [mean, std])
    assert_close(by_mean.double(), 2 * u.tanh(), rtol=0, atol=accuracy)
    by_hand = 2 * z * u.tanh() - 1 / std.double()
    assert_close(by_std.double(), by_hand, rtol=5 * accuracy, atol=accuracy)


def test_the_density_far_out_by_hand():
    # u = 12: log N(12; 12, 0.05) = 2.0768, and 1 - tanh²(12) = 4 e^-24, whose logarithm is -22.6137
    class Middle(Normal):
        def rsample(self, sample_shape=None):
            return self.mean + 0 * self.stddev

    mean = tensor([[12.0]], requires_grad=True)
    dist = SquashedNormal(mean, tensor([[0.05]]))
    dist.base = Middle(mean, tensor([[0.05]]))
    for one in (dist, Independent(dist, 1)):
        logprob = rlx.ActionDistribution(one).log_prob(one.rsample())
        assert logprob.item() == pytest.approx(24.6905, abs=1e-4)
        (gradient,) = torch.autograd.grad(logprob, mean)
        assert gradient.item() == pytest.approx(2.0, abs=1e-5)


@bounds
@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("mean", MEANS)
def test_the_density_of_any_action_integrates_to_one(mean, std, low, high):
    # Over u = tanh⁻¹, where the density is smooth, and over the two rims, where it is constant.
    u = torch.linspace(-BORDER, BORDER, 40_001).double()[1:-1, None]
    half, middle = (high - low) / 2, (high + low) / 2
    dist = SquashedNormal(tensor([[mean]]).double(), tensor([[std]]).double(), low, high)
    density = dist.log_prob(middle + half * u.tanh()).exp()
    inside = (density * half * log_slope(u).exp()).sum() * 2 * BORDER / 40_000
    for side in (low, high):
        at, beyond = middle + (side - middle) * (1 - 1e-6), side
        rim = dist.log_prob(tensor([[at], [beyond]]).double()).exp()
        assert rim[0] == rim[1]
        inside += rim[0].item() * half * 2e-6
    assert inside.item() == pytest.approx(1.0, abs=1e-3)


@bounds
def test_the_gradient_of_an_action_at_the_border_is_that_of_the_probability_beyond_it(low, high):
    # P(u > b) = Φ((m - b) / s): far beyond the border nothing is learned, before it the score is
    # φ/(sΦ), which for a Gaussian's own tail is about as large as that of any of its samples.
    for (mean, std), side in product(zip(*EVERYWHERE), (-1, 1)):
        m, s = (x.reshape(1, 1).clone().requires_grad_() for x in (mean, std))
        dist = SquashedNormal(m, s, low, high)
        for distance in (1.0, 1 - 1e-6, 1 - 1.5e-6):
            value = tensor([[(low + high) / 2 + side * distance * (high - low) / 2]])
            gradient = torch.autograd.grad(dist.log_prob(value).sum(), [m, s])
            md, sd = (x.detach().double().requires_grad_() for x in (m, s))
            reach = (side * md - BORDER) / sd
            if reach > -5:
                exact = torch.autograd.grad(Normal(0.0, 1.0).cdf(reach).log().sum(), [md, sd])
                assert abs(exact[0]) * sd < 5.2
                if reach > 6:
                    assert abs(exact[0]) < 1e-5
            else:  # Mills: Φ(-x) ~ φ(x) (1/x - 1/x³ + …)
                score = -reach * (1 + 1 / reach**2 - 2 / reach**4)
                exact = side * score / sd, -score * reach / sd
            for ours, theirs in zip(gradient, exact):
                assert_close(ours.double(), theirs.detach(), rtol=2e-3, atol=2e-3)


def test_a_stored_action_inside_has_the_gradient_of_double_precision():
    torch.manual_seed(0)
    share = (torch.rand(50, len(EVERYWHERE[0])).double() - 0.5) * 1.98
    results = []
    for dtype in (torch.float, torch.double):
        mean, std, dist = far_and_wide(50, dtype=dtype)
        logprob = dist.log_prob(share.float().to(dtype))
        gradients = torch.autograd.grad(logprob.sum(), [mean, std])
        results.append([x.double() for x in (logprob, *gradients)])
    for single, double in zip(*results):
        assert_close(single, double, rtol=1e-4, atol=1e-3)


def test_log_one_minus_tanh_squared_in_single_precision():
    u = torch.linspace(-20, 20, 4001)
    dist = SquashedNormal(u, torch.ones_like(u))
    ours = (dist.base.log_prob(u) - dist._log_density(u)).double()
    assert_close(ours, log_slope(u.double()), rtol=0, atol=1e-5)
    near = u.abs() < 6
    assert_close(ours[near], (1 - u[near].double().tanh() ** 2).log(), rtol=0, atol=1e-5)


def test_what_is_known_of_an_action_goes_with_the_tensor_that_was_drawn():
    torch.manual_seed(0)
    dist = SquashedNormal(torch.full((4, 2), 12.0), torch.full((4, 2), 0.05))
    action = dist.sample()
    exact, rim = dist.log_prob(action), dist.log_prob(action.clone())
    assert (exact > 20).all()
    assert_close(rim, torch.full_like(rim, -math.log(2e-6)))
    other = dist.sample()  # only the last is remembered
    assert torch.equal(dist.log_prob(action), rim)
    assert (dist.log_prob(other) > 20).all()
    other -= 0.5  # and only as it was drawn
    assert torch.equal(dist.log_prob(other), dist.log_prob(other.clone()))
    with torch.inference_mode():
        assert (dist.log_prob(dist.sample()) > 20).all()
    assert dist.log_prob(dist.rsample((3,))).shape == (3, 4, 2)


@pytest.mark.parametrize("std", [0.1, 1.0])
@pytest.mark.parametrize("mean", [-20.0, -7.5, 0.0, 7.0, 12.0])
@pytest.mark.parametrize("memory", [None, "gru"])
def test_a_policy_far_out(mean, std, memory):
    # What it played is evaluated as it was; what is drawn anew has the density that double
    # precision gives, of two components, one row or several.
    torch.manual_seed(0)
    parts = spaces.Box(-2, 3, (2,)), spaces.Box(-1, 1, (1,))
    agent = rlx.Agent(Script(action_space=spaces.Tuple(parts)))
    policy = SquashedPolicy(agent, hidden=8, memory=memory)
    bias = policy.actor[-1].bias
    with torch.no_grad():
        bias.copy_(tensor([mean, -mean, math.log(std), math.log(std), mean, math.log(std)]))
        rollout = agent(policy).episodes(3)
        again = agent(policy).evaluate(rollout)
    assert_close(again.logprobs, rollout.logprobs, rtol=0, atol=1e-2)
    for some in (rollout, rollout[:1][:1]):
        new = agent(policy).evaluate(some, sample=True)
        (gradient,) = torch.autograd.grad(new.logprobs.sum(), bias)
        limit = 2.01 * len(some)
        assert (gradient[[0, 1, 4]].abs() <= limit).all()
        if abs(mean) > 10:  # every sample is near its mean, and 1 - tanh²u is 4 e^(-2|u|)
            per_number = -1.4189 - math.log(std) + 2 * (abs(mean) - math.log(2))
            expected = 3 * per_number - 2 * math.log(2.5)
            assert abs(new.logprobs.mean() - expected) < 3 * 4 * (0.5 + 2 * std)
