"""Chapter 03: what a policy returns, and what is asked of it."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal

from rlx import functional
from rlx.course.exercise import Exercise, brief_training
from rlx.distributions import ActionDistribution

# The library's own, also while a learner's stands in their place.
_own_log_prob, _own_entropy = ActionDistribution.log_prob, ActionDistribution.entropy
_own_sample = ActionDistribution.sample


def _gear_and_force() -> Tensor:
    """The parameters of a policy with two components, one of them of two dimensions."""
    import rlx

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        actions = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,))))
        policy = rlx.networks.MLPPolicy(spaces.Box(-1, 1, (4,)), actions, hidden=(8,), value=False)
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
        states, weights = torch.randn(12, 4), torch.randn(12)
        for _ in range(5):
            _, dist = policy(None, states)
            actions = tuple(action.detach() for action in dist.sample())
            loss = functional.policy_gradient_loss(dist.log_prob(*actions), weights)
            optimizer.zero_grad()
            (loss - 0.1 * dist.entropy().mean()).backward()
            optimizer.step()
        return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


def _components(logits: Tensor, mean: Tensor, std: Tensor, independent: bool) -> tuple:
    level = Normal(mean, std)
    return Categorical(logits=logits), Independent(level, 1) if independent else level


def _rows(x: Tensor) -> Tensor:
    """Summed over all dimensions but the first."""
    return x if x.ndim == 1 else x.flatten(1).sum(1)


# ---------------------------------------------------------------------- log_prob


def _log_prob(components: tuple[Distribution, ...], actions: tuple[Tensor, ...]) -> Tensor:
    """Log-probability of each row's action, over all its components and dimensions: (B,)."""
    return _own_log_prob(ActionDistribution(*components), *actions)


log_prob = Exercise(
    "log_prob",
    chapter="03",
    reference=_log_prob,
    target="rlx.distributions.ActionDistribution.log_prob",
    adapt=lambda answer: lambda self, *actions: answer(self.components, actions),
    call=lambda answer, logits, mean, std, independent, gear, force: answer(
        _components(logits, mean, std, independent), (gear, force)
    ),
    train=_gear_and_force,
    hints=(
        "Probabilities of independent things multiply. What do their logarithms do?",
        "Print the shapes. A category's log-probabilities are (B,), a Normal's have the shape of "
        "its action, (B, D). Bring each to (B,) before anything is added.",
        "For each component: `x = component.log_prob(action)`, then `x if x.ndim == 1 else "
        "x.flatten(1).sum(1)`. Return the sum of these over the components.",
    ),
)
log_prob.arguments = ["logits", "mean", "std", "independent", "actions[0]", "actions[1]"]


@log_prob.case("a gear of 2 and a force of one number, 3 rows")
def _():
    return (
        torch.tensor([[0.0, 1.0], [2.0, 0.0], [-1.0, 0.5]], requires_grad=True),
        torch.tensor([[0.5], [-1.0], [0.0]], requires_grad=True),
        torch.tensor([[1.0], [0.5], [2.0]], requires_grad=True),
        False,
        torch.tensor([1, 0, 0]),
        torch.tensor([[0.0], [-0.8], [3.0]]),
    )


@log_prob.case("a gear of 3 and a force of two numbers, 2 rows")
def _():
    return (
        torch.tensor([[0.0, 1.0, 2.0], [0.3, 0.0, -0.7]], requires_grad=True),
        torch.tensor([[0.5, 1.0], [-1.0, 0.0]], requires_grad=True),
        torch.tensor([[1.0, 0.3], [0.5, 2.0]], requires_grad=True),
        False,
        torch.tensor([2, 0]),
        torch.tensor([[0.0, 1.1], [-0.8, 3.0]]),
    )


@log_prob.case("the same, where `Independent` has summed the force's two numbers already")
def _():
    logits, mean, std, _, gear, force = log_prob.cases[1].inputs()
    return logits, mean, std, True, gear, force


@log_prob.mistake(
    "the dimensions of a component are not summed",
    "A Normal over D numbers gives (B, D) log-probabilities, a Categorical (B,). Adding them "
    "either fails or, if the shapes happen to allow it, makes a (B, B) table of every row with "
    "every other. Sum each component to (B,) first.",
)
def _not_summed(components, actions):
    return sum(c.log_prob(a) for c, a in zip(components, actions))


@_not_summed.again
def _(components, actions):
    (gear, force), (a, b) = components, actions
    return gear.log_prob(a) + force.log_prob(b)


@log_prob.mistake(
    "it adds (B, 1) to (B,)",
    "One component's log-probabilities stand in a column, the other's in a row. Added they are a "
    "(B, B) table: every row with every other. Drop the last dimension: no `keepdim`.",
)
def _column(components, actions):
    total = 0.0
    for c, a in zip(components, actions):
        x = c.log_prob(a)
        total = total + (x if a.ndim == 1 else x.view(len(x), -1).sum(1, keepdim=True))
    return total


@_column.again
def _(components, actions):
    first, *rest = (_rows(c.log_prob(a)) for c, a in zip(components, actions))
    return first + torch.stack(rest).sum(0)[:, None]


@log_prob.mistake(
    "it averages over the dimensions of a component",
    "The probability of both numbers together is a product, so the logarithms are summed. With "
    "the mean, a force of two numbers would count half as much as it should beside the gear.",
)
def _mean_of_dimensions(components, actions):
    rows = [c.log_prob(a) for c, a in zip(components, actions)]
    return sum(x if x.ndim == 1 else x.flatten(1).mean(1) for x in rows)


@_mean_of_dimensions.again
def _(components, actions):
    total = torch.zeros(len(actions[0]))
    for c, a in zip(components, actions):
        x = c.log_prob(a).view(len(a), -1)
        total = total + x.sum(1) / x.shape[1]
    return total


@log_prob.mistake(
    "it averages over the components",
    "The components are independent: the probability of both is a product, and its logarithm the "
    "sum. Half of it is the logarithm of something else, and chapter 08's ratios would be wrong.",
)
def _mean_of_components(components, actions):
    return torch.stack([_rows(c.log_prob(a)) for c, a in zip(components, actions)]).mean(0)


@_mean_of_components.again
def _(components, actions):
    return sum(_rows(c.log_prob(a)) for c, a in zip(components, actions)) / len(components)


@log_prob.mistake(
    "only the first component counts",
    "The second component's action never appears in the loss, so it stays as random as it was at "
    "the start. Go through all components, each with its own action.",
)
def _first(components, actions):
    return _rows(components[0].log_prob(actions[0]))


@_first.again
def _(components, actions):
    for c, a in zip(components, actions):
        return _rows(c.log_prob(a))


@log_prob.mistake(
    "all rows are summed into one number",
    "Each row is one decision, with a weight of its own in the loss. Sum over dimensions and "
    "components, never over rows: (B,) has to come out.",
)
def _one_number(components, actions):
    return sum(c.log_prob(a).sum() for c, a in zip(components, actions))


@_one_number.again
def _(components, actions):
    return torch.cat([c.log_prob(a).flatten() for c, a in zip(components, actions)]).sum()


# ---------------------------------------------------------------------- entropy


def _entropy(components: tuple[Distribution, ...]) -> Tensor:
    """Entropy of each row, over all components and dimensions: (B,)."""
    return _own_entropy(ActionDistribution(*components))


entropy = Exercise(
    "entropy",
    chapter="03",
    reference=_entropy,
    target="rlx.distributions.ActionDistribution.entropy",
    adapt=lambda answer: lambda self: answer(self.components),
    call=lambda answer, *parameters: answer(_components(*parameters)),
    train=_gear_and_force,
    hints=(
        "How uncertain is a throw of two dice, beside that of one?",
        "Entropies of independent things add, as log-probabilities do. Every torch distribution "
        "has an `entropy()`, and its shape is that of its log-probabilities.",
        "`x = component.entropy()`, then `x if x.ndim == 1 else x.flatten(1).sum(1)`, summed over "
        "the components.",
    ),
)
entropy.arguments = ["logits", "mean", "std", "independent"]


@entropy.case("a gear of 2 and a force of one number, 3 rows")
def _():
    return log_prob.cases[0].inputs()[:4]


@entropy.case("a gear of 3 and a force of two numbers, 2 rows")
def _():
    return log_prob.cases[1].inputs()[:4]


@entropy.case("the same, where `Independent` has summed the force's two numbers already")
def _():
    return log_prob.cases[2].inputs()[:4]


@entropy.mistake(
    "only the first component counts",
    "The bonus for staying random then holds for the gear alone, and the force's deviation may "
    "shrink to nothing. Go through all components.",
)
def _first_entropy(components):
    return _rows(components[0].entropy())


@_first_entropy.again
def _(components):
    for c in components:
        return _rows(c.entropy())


@entropy.mistake(
    "it averages over the dimensions of a component",
    "Two numbers that are independent are twice as uncertain as one. Sum over the dimensions, as "
    "with log-probabilities.",
)
def _mean_entropy(components):
    found = [c.entropy() for c in components]
    return sum(x if x.ndim == 1 else x.flatten(1).mean(1) for x in found)


@_mean_entropy.again
def _(components):
    total = 0.0
    for c in components:
        x = c.entropy().view(c.batch_shape[0], -1)
        total = total + x.sum(1) / x.shape[1]
    return total


@entropy.mistake(
    "it averages over the components",
    "Entropies of independent components add. The mean is not the entropy of anything, and it "
    "falls when a component is added that is always certain.",
)
def _mean_of_entropies(components):
    return torch.stack([_rows(c.entropy()) for c in components]).mean(0)


@_mean_of_entropies.again
def _(components):
    return sum(_rows(c.entropy()) for c in components) / len(components)


@entropy.mistake(
    "the dimensions of a component are not summed",
    "A Normal over D numbers has (B, D) entropies, a Categorical (B,). Adding them fails, or makes "
    "a (B, B) table. Sum each component to (B,) first.",
)
def _entropy_not_summed(components):
    return sum(c.entropy() for c in components)


@_entropy_not_summed.again
def _(components):
    gear, force = components
    return gear.entropy() + force.entropy()


# ---------------------------------------------------------------------- sample

EACH = 2000  # draws for either of two states


def _sample(components: tuple[Distribution, ...]) -> tuple[Tensor, ...]:
    """One action for each row, a tensor for each component, without gradient."""
    return _own_sample(ActionDistribution(*components))


def _drawn(answer, logits, mean, std) -> dict:
    """What is to be seen in many draws, whichever random numbers they were made with."""
    components = _components(*(p.repeat_interleave(EACH, 0) for p in (logits, mean, std)), False)
    found, again = answer(components), answer(components)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise TypeError("expected is a tuple with one tensor for each of the two components")
    for name, action, shape in zip(("gear", "force"), found, [(2 * EACH,), (2 * EACH, 2)]):
        if tuple(action.shape) != shape:
            raise ValueError(f"the {name} has shape {tuple(action.shape)}, expected is {shape}")
    gear, force = (action.detach().unflatten(0, (2, EACH)) for action in found)
    shares = torch.nn.functional.one_hot(gear.long(), logits.shape[1]).float().mean(1)
    return {
        "'actions carry a gradient'": any(action.requires_grad for action in found),
        "'rows of the same state differ'": bool((force[:, 0] != force[:, 1]).all()),
        "'the next call differs'": bool((found[1] != again[1]).any()),
        "'gears are as frequent as probable'": near(shares, logits.softmax(1)),
        "'forces have the right mean'": near(force.mean(1), mean),
        "'forces have the right deviation'": near(force.std(1), std),
    }


def near(found: Tensor, right: Tensor) -> bool:
    """Within six standard errors, and more."""
    return bool((found - right).abs().max() < 0.1)


def _through_the_samples() -> Tensor:
    """Trained on rollouts that were sampled with gradients on."""
    import rlx

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = rlx.Agent(rlx.envs.make_vec("CueBoth-v0", 4), seed=0)
        policy = rlx.networks.MLPPolicy(
            agent.observation_space, agent.action_space, hidden=(8,), value=False
        )
        agent.optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
        for _ in range(3):
            rollout = agent(policy).episodes(8)
            rollout.mc_returns(0.99)
            rollout = rollout[:-1]
            loss = functional.policy_gradient_loss(rollout.logprobs, rollout.returns)
            agent.zero_grad()
            loss.backward()
            agent.step()
        return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


sample = Exercise(
    "sample",
    chapter="03",
    reference=_sample,
    target="rlx.distributions.ActionDistribution.sample",
    adapt=lambda answer: lambda self: tuple(answer(self.components)),
    call=_drawn,
    train=_through_the_samples,
    hints=(
        "Every torch distribution can draw from itself. What shape does it draw?",
        "A torch distribution has `sample()` and `rsample()`. One of them lets a gradient through "
        "to the parameters, which is not wanted here.",
        "`tuple(component.sample() for component in components)`",
    ),
)
sample.arguments = ["logits", "mean", "std"]


@sample.case(f"a gear of 3 and a force of two numbers, two states, {EACH} rows of each")
def _():
    return (
        torch.tensor([[0.0, 1.0, 2.0], [0.5, 0.0, -0.9]], requires_grad=True),
        torch.tensor([[3.0, -1.0], [0.5, 2.0]], requires_grad=True),
        torch.tensor([[0.4, 0.8], [0.6, 0.3]], requires_grad=True),
    )


@sample.mistake(
    "it always takes the most probable action",
    "An agent that never tries anything else never learns that it would have been better. Greedy "
    "actions are for showing what was learned; sampling is for learning.",
)
def _greedy(components):
    return tuple(c.mode for c in components)


@_greedy.again
def _(components):
    gear, force = components
    return gear.logits.argmax(-1), force.mean.clone()


@sample.mistake(
    "a gradient flows through the sampled actions",
    "The numbers are right. But an action is something that happened: if it moves along with the "
    "parameters, as in `rsample()`, the gradient of its log-probability is another one, and for "
    "the mean it is 0. Use `sample()`, or `torch.no_grad()`.",
)
def _reparameterised(components):
    return tuple(c.rsample() if c.has_rsample else c.sample() for c in components)


@_reparameterised.again
def _(components):
    gear, force = components
    return gear.sample(), force.mean + force.stddev * torch.randn(force.mean.shape)


@sample.mistake(
    "one draw serves the whole batch",
    "All rows share their luck: environments that are played side by side would all do the same, "
    "and a batch would teach no more than one of them. Draw for each row.",
)
def _shared(components):
    gear, force = components
    u = torch.rand(())
    a = (gear.probs.cumsum(-1) < u).sum(-1).clamp(max=gear.probs.shape[-1] - 1)
    return a, (force.mean + force.stddev * torch.randn(force.mean.shape[1:])).detach()


@_shared.again
def _(components):
    return tuple(c.sample()[:1].expand(c.batch_shape + c.event_shape).clone() for c in components)


@sample.mistake(
    "every gear is as frequent as any other",
    "The gear is drawn, but not with the policy's probabilities: whatever is learned about them "
    "would never be seen. Let the distribution draw.",
)
def _uniform(components):
    gear, force = components
    return torch.randint(gear.probs.shape[-1], gear.batch_shape), force.sample()


@_uniform.again
def _(components):
    gear, force = components
    return torch.rand(gear.probs.shape).argmax(-1), torch.normal(force.mean, force.stddev).detach()


# ---------------------------------------------------------------------- gaussian


def _gaussian(mean: Tensor, log_std: Tensor) -> Normal:
    """The Normal with that mean (B, D) and the logarithm of that standard deviation (D,)."""
    return Normal(mean, log_std.exp())


def _bare(dist: Distribution) -> Distribution:
    return dist.base_dist if isinstance(dist, Independent) else dist


gaussian = Exercise(
    "gaussian",
    chapter="03",
    reference=_gaussian,
    target="rlx.networks.Normal",
    adapt=lambda answer: lambda mean, std: answer(mean, std.log()),
    call=lambda answer, mean, log_std: _bare(answer(mean, log_std)),
    hints=(
        "A deviation has to be positive; what a network puts out, or a free parameter, need not "
        "be. Which function makes any number positive, and undoes a logarithm?",
        "torch's `Normal(loc, scale)` wants the standard deviation as its scale: not its "
        "logarithm, and not the variance.",
        "`torch.distributions.Normal(mean, log_std.exp())`",
    ),
)


@gaussian.case("negative log_std: deviations below 1")
def _():
    mean = torch.tensor([[0.5, -1.0], [2.0, 0.0], [-0.3, 1.0]], requires_grad=True)
    return mean, torch.tensor([-0.5, -1.2], requires_grad=True)


@gaussian.case("positive numbers throughout")
def _():
    mean = torch.tensor([[0.5, 1.7], [2.0, 0.6]], requires_grad=True)
    return mean, torch.tensor([0.4, 0.9], requires_grad=True)


@gaussian.mistake(
    "the exp is missing",
    "You use the logarithm of the deviation as the deviation. Where it is negative, torch "
    "complains; where it is positive, nobody does, and the noise is of the wrong size.",
)
def _no_exp(mean, log_std):
    return Normal(mean, log_std)


@_no_exp.again
def _(mean, log_std):
    return Independent(Normal(loc=mean, scale=log_std.expand(mean.shape)), 1)


@gaussian.mistake(
    "the variance stands where the standard deviation belongs",
    "torch's Normal takes the standard deviation, and you give it its square. With a deviation of "
    "0.1 the noise would be ten times too small.",
)
def _variance(mean, log_std):
    return Normal(mean, log_std.exp() ** 2)


@_variance.again
def _(mean, log_std):
    return Independent(Normal(mean, (2 * log_std).exp()), 1)


@gaussian.mistake(
    "log_std is taken for the logarithm of the variance",
    "You halve it, or take a root. That is right for a parameter called log_var; this one is the "
    "logarithm of the standard deviation itself.",
)
def _log_variance(mean, log_std):
    return Normal(mean, (0.5 * log_std).exp())


@_log_variance.again
def _(mean, log_std):
    return Independent(Normal(mean, log_std.exp().sqrt()), 1)


@gaussian.mistake(
    "softplus stands where exp belongs",
    "Softplus makes a number positive, too, but it does not undo a logarithm: log_std = 0 should "
    "mean a deviation of 1, and yours is 0.69.",
)
def _softplus(mean, log_std):
    return Normal(mean, torch.nn.functional.softplus(log_std))


@_softplus.again
def _(mean, log_std):
    return Independent(Normal(mean, (1 + log_std.exp()).log()), 1)


# ---------------------------------------------------------------------- categorical


def _categorical(logits: Tensor) -> Categorical:
    """The Categorical whose probabilities are the softmax of each row of `logits` (B, n)."""
    return Categorical(logits=logits)


categorical = Exercise(
    "categorical",
    chapter="03",
    reference=_categorical,
    target="rlx.networks.Categorical",
    adapt=lambda answer: lambda logits: answer(logits),
    call=lambda answer, logits: answer(logits).logits,
    train=lambda: brief_training("Cue-v0"),
    hints=(
        "torch's Categorical can be given probabilities or logits. Which do you have?",
        "With `logits=` the softmax is done for you. Done by hand, it belongs to `probs=`, and it "
        "runs along the actions, not along the rows.",
        "`torch.distributions.Categorical(logits=logits)`",
    ),
)


@categorical.case("three rows of two actions")
def _():
    return (torch.tensor([[0.0, 1.0], [3.0, 0.5], [-1.0, -2.0]], requires_grad=True),)


@categorical.case("two rows of three actions, positive numbers only")
def _():
    return (torch.tensor([[0.2, 1.0, 4.0], [3.0, 0.5, 0.1]], requires_grad=True),)


@categorical.mistake(
    "the softmax is taken twice",
    "Probabilities were given as logits, so torch takes the softmax of a softmax. It still works, "
    "a little: between two actions, none can be more probable than 73 %. `logits=` wants the raw "
    "numbers.",
)
def _twice(logits):
    return Categorical(logits=logits.softmax(-1))


@_twice.again
def _(logits):
    once = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return Categorical(probs=torch.softmax(once, dim=1))


@categorical.mistake(
    "the softmax runs along the rows of the batch",
    "Your probabilities sum to 1 down each column: what one environment does would depend on what "
    "the others see. The actions are the last dimension: `softmax(-1)`.",
)
def _along_rows(logits):
    return Categorical(probs=logits.softmax(0))


@_along_rows.again
def _(logits):
    columns = [column.exp() / column.exp().sum() for column in logits.unbind(1)]
    return Categorical(probs=torch.stack(columns, 1))


@categorical.mistake(
    "the numbers are taken for probabilities",
    "A network's output can be negative, and torch then complains. Where it is positive, torch "
    "divides by the sum, and it is no softmax. Say `logits=`.",
)
def _as_probabilities(logits):
    return Categorical(probs=logits)


@_as_probabilities.again
def _(logits):
    return Categorical(logits)


@categorical.mistake(
    "each action has a sigmoid of its own",
    "Sigmoids answer several yes-or-no questions. Here exactly one action is taken, so raising one "
    "probability has to lower the others in a certain way: that is the softmax.",
)
def _sigmoid(logits):
    return Categorical(probs=logits.sigmoid())


@_sigmoid.again
def _(logits):
    return Categorical(probs=1 / (1 + (-logits).exp()))
