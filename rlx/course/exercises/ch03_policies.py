"""Chapter 03: what a policy returns, and what is asked of it."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal

from rlx import functional, plain
from rlx.course.exercise import Exercise, Wrong, brief_training, fit
from rlx.course.words import short


def _gear_and_force() -> Tensor:
    """The parameters of a policy with two components, one of them of two dimensions."""
    import rlx

    actions = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,))))
    policy = rlx.networks.MLPPolicy(spaces.Box(-1, 1, (4,)), actions, hidden=(8,), value=False)
    states, weights = torch.randn(12, 4), torch.randn(12)

    def loss():
        _, dist = policy(None, states)
        actions = tuple(action.detach() for action in dist.sample())
        loss = functional.policy_gradient_loss(dist.log_prob(*actions), weights)
        return loss - 0.1 * dist.entropy().mean()

    return fit(policy, loss, updates=5)


def _built(parameters: list[dict]) -> tuple[Distribution, ...]:
    """The components of an action: categories from "logits", numbers from "mean" and "std"."""
    found = []
    for given in parameters:
        if "logits" in given:
            found.append(Categorical(logits=given["logits"]))
        else:
            level = Normal(given["mean"], given["std"])
            found.append(Independent(level, 1) if given.get("Independent") else level)
    return tuple(found)


def _gear(logits: list) -> dict:
    return {"logits": torch.tensor(logits, requires_grad=True)}


def _force(mean: list, std: list, independent: bool = False) -> dict:
    mean, std = (torch.tensor(x, requires_grad=True) for x in (mean, std))
    return {"mean": mean, "std": std} | ({"Independent": True} if independent else {})


def _drawn_components(draw) -> tuple[list[dict], tuple[Tensor, ...]]:
    """One to three components of B rows, and an action of each."""
    rows, parameters, actions = draw.size(1, 5), [], []
    for _ in range(draw.integer(1, 3)):
        size = draw.integer(1, 3)
        if draw.flag():
            logits = draw.floats(rows, size + 1, grad=True, kinds="tenths whole wide")
            parameters.append({"logits": logits})
            actions.append(draw.floats(rows).abs().long() % (size + 1))
        else:
            mean = draw.floats(rows, size, grad=True, kinds="tenths whole")
            std = (draw.floats(rows, size, kinds="tenths whole").clamp(-5, 5)).exp()
            given = {"mean": mean, "std": std.requires_grad_()}
            parameters.append(given | ({"Independent": True} if draw.flag() else {}))
            actions.append(draw.floats(rows, size, kinds="tenths whole"))
    return parameters, tuple(actions)


def _rows(x: Tensor) -> Tensor:
    """Summed over all dimensions but the first."""
    return x if x.ndim == 1 else x.flatten(1).sum(1)


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
    train=lambda: brief_training("Cue-v0"),
    also="`torch.distributions.Categorical(probs=logits.softmax(-1))` has the same probabilities; "
    "with `logits=` torch works in logarithms all along, where small ones keep their digits.",
    hints=(
        "torch's Categorical can be given probabilities or logits. Which do you have?",
        "With `logits=` the softmax is done for you. Done by hand, it belongs to `probs=`, and it "
        "runs along the actions, not along the rows.",
        "`torch.distributions.Categorical(logits=logits)`",
    ),
)
categorical.case(
    "three rows of two actions",
    lambda: (torch.tensor([[0.0, 1.0], [3.0, 0.5], [-1.0, -2.0]], requires_grad=True),),
)
categorical.case(
    "two rows of three actions, positive numbers only",
    lambda: (torch.tensor([[0.2, 1.0, 4.0], [3.0, 0.5, 0.1]], requires_grad=True),),
)


@categorical.inputs
def _(draw):
    rows, n = draw.size(1, 50), draw.integer(2, 6)
    return (draw.floats(rows, n, grad=True),)


categorical.patches(r"""
the softmax is taken twice
    Probabilities were given as logits, so torch takes the softmax of a softmax. It still
    works, a little: between two actions, none can be more probable than 73 %. `logits=`
    wants the raw numbers.
    - logits=logits
    + logits=logits.softmax(-1)

the softmax runs along the rows of the batch
    Your probabilities sum to 1 down each column: what one environment does would depend on
    what the others see. The actions are the last dimension: `softmax(-1)`.
    - logits=logits
    + probs=logits.softmax(0)

the numbers are taken for probabilities
    A network's output can be negative, and torch then complains. Where it is positive,
    torch divides by the sum, and it is no softmax. Say `logits=`.
    - logits=logits
    + probs=logits

each action has a sigmoid of its own
    Sigmoids answer several yes-or-no questions. Here exactly one action is taken, so
    raising one probability has to lower the others in a certain way: that is the softmax.
    - logits=logits
    + probs=logits.sigmoid()

large numbers overflow
    `exp` of 100 is more than float32 can hold, and infinity divided by infinity is NaN.
    `softmax`, and `logits=`, subtract the largest number first.
    - logits=logits
    + probs=logits.exp() / logits.exp().sum(-1, keepdim=True)

the signs of the logits are turned round
    The larger a number, the more probable its action.
    - logits=logits
    + logits=-logits

it takes the absolute value for a probability
    A large negative number means an improbable action. The softmax knows that.
    - logits=logits
    + probs=logits.abs() + 1e-8
""")


def _cautious(logits: Tensor) -> Categorical:
    """A tenth of the probability shared among all n actions, the rest as the softmax says."""
    return Categorical(probs=0.9 * logits.softmax(-1) + 0.1 / logits.shape[-1])


categorical.harder(
    "cautious",
    _cautious,
    (
        "How probable is an action that the softmax gives nothing?",
        "A mixture of two distributions has the mixture of their probabilities.",
        "`Categorical(probs=0.9 * logits.softmax(-1) + 0.1 / logits.shape[-1])`",
    ),
    r"""
    each action gets a tenth
        The tenth is shared among n actions: 1/n of it for each.
        - 0.1 / logits.shape[-1]
        + 0.1

    the shares are exchanged
        Nine tenths as the softmax says, one tenth shared.
        - 0.9 * logits.softmax(-1) + 0.1
        + 0.1 * logits.softmax(-1) + 0.9

    the logits are mixed, not the probabilities
        Nine tenths of the logits make another softmax, in which an action may still have nothing.
        - probs=0.9 * logits.softmax(-1) + 0.1 / logits.shape[-1]
        + logits=0.9 * logits + 0.1 / logits.shape[-1]
    """,
)


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
    also="`torch.nn.functional.softplus(x)` keeps a deviation positive as well and grows slower "
    "than `exp`, where the network itself puts out the spread.",
    hints=(
        "A deviation has to be positive; what a network puts out, or a free parameter, need not "
        "be. Which function makes any number positive, and undoes a logarithm?",
        "torch's `Normal(loc, scale)` wants the standard deviation as its scale: not its "
        "logarithm, and not the variance.",
        "`torch.distributions.Normal(mean, log_std.exp())`",
    ),
)


@gaussian.case("a negative log_std, so deviations below 1")
def _():
    mean = torch.tensor([[0.5, -1.0], [2.0, 0.0], [-0.3, 1.0]], requires_grad=True)
    return mean, torch.tensor([-0.5, -1.2], requires_grad=True)


@gaussian.case("positive numbers throughout")
def _():
    mean = torch.tensor([[0.5, 1.7], [2.0, 0.6]], requires_grad=True)
    return mean, torch.tensor([0.4, 0.9], requires_grad=True)


@gaussian.inputs
def _(draw):
    rows, size = draw.size(1, 50), draw.integer(1, 4)
    log_std = draw.floats(size, kinds="tenths whole").clamp(-5, 5)
    return draw.floats(rows, size, grad=True), log_std.requires_grad_()


gaussian.patches(r"""
the exp is missing
    You use the logarithm of the deviation as the deviation. Where it is negative, torch
    complains; where it is positive, it does not, and the noise is of the wrong size.
    - log_std.exp()
    + log_std

the variance stands where the standard deviation belongs
    torch's Normal takes the standard deviation, and you give it its square. With a
    deviation of 0.1 the noise would be ten times too small.
    - log_std.exp()
    + log_std.exp() ** 2

log_std is taken for the logarithm of the variance
    You halve it, or take a root. That is right for a parameter called log_var; this one is
    the logarithm of the standard deviation itself.
    - log_std.exp()
    + (0.5 * log_std).exp()

softplus stands where exp belongs
    Softplus makes a number positive, too, but it does not undo a logarithm: log_std = 0
    should mean a deviation of 1, and yours is 0.69.
    - log_std.exp()
    + torch.nn.functional.softplus(log_std)

the deviation is the reciprocal
    A larger log_std means a larger deviation: `log_std.exp()`, without a minus.
    - log_std.exp()
    + (-log_std).exp()

all deviations are 1
    log_std is not used: the spread could not be learned.
    - log_std.exp()
    + torch.ones_like(log_std)

the absolute value stands where exp belongs
    `abs()` makes a number positive, but it does not undo a logarithm.
    - log_std.exp()
    + log_std.abs()

log_std is clamped
    The parameter may be any number here; a range is for whoever makes it to choose.
    - log_std.exp()
    + log_std.clamp(-2, 2).exp()

the base of the logarithm is not e
    log_std is the natural logarithm: `exp()` undoes it.
    - log_std.exp()
    + 2**log_std
""")


def _bounded(mean: Tensor, log_std: Tensor) -> Normal:
    """The Normal whose log-deviation is 1.5 tanh(log_std) - 0.5: between -2 and 1."""
    return Normal(mean, (1.5 * log_std.tanh() - 0.5).exp())


gaussian.harder(
    "bounded",
    _bounded,
    (
        "Which function takes any number into a range, and has a slope everywhere?",
        "`tanh` goes from -1 to 1. Stretch and shift it, so that it goes from -2 to 1.",
        "`Normal(mean, (1.5 * log_std.tanh() - 0.5).exp())`",
    ),
    r"""
    a clamp stands where tanh belongs
        Outside of its range a clamp has no slope: a deviation that is there once never comes back.
        - (1.5 * log_std.tanh() - 0.5)
        + log_std.clamp(-2, 1)

    the range is shifted
        `tanh` goes from -1 to 1: times 1.5, less 0.5, from -2 to 1.
        - tanh() - 0.5
        + tanh()

    the range bounds the deviation, not its logarithm
        Between -2 and 1 lies the logarithm: `exp()` at the end.
        - (1.5 * log_std.tanh() - 0.5).exp()
        + 1.5 * log_std.exp().tanh() - 0.5
    """,
)


# ---------------------------------------------------------------------- log_prob


def _log_prob(components: tuple[Distribution, ...], actions: tuple[Tensor, ...]) -> Tensor:
    """Log-probability of each row's action, over all its components and dimensions: (B,)."""
    total = 0.0
    for component, action in zip(components, actions):
        x = component.log_prob(action)
        total = total + (x.flatten(1).sum(1) if x.ndim > 1 else x)
    return total


log_prob = Exercise(
    "log_prob",
    chapter="03",
    reference=_log_prob,
    target="rlx.distributions.ActionDistribution.log_prob",
    adapt=lambda answer: lambda self, *actions: answer(self.components, actions),
    call=lambda answer, components, actions: answer(_built(components), actions),
    train=_gear_and_force,
    also="`torch.distributions.Independent(Normal(mean, std), 1)` sums over the dimensions itself, "
    "so that every component's log-probabilities are (B,) from the start.",
    hints=(
        "Probabilities of independent things multiply. What do their logarithms do?",
        "Print the shapes. A category's log-probabilities are (B,), a Normal's have the shape of "
        "its action, (B, D). Bring each to (B,) before anything is added.",
        "For each component: `x = component.log_prob(action)`, then `x if x.ndim == 1 else "
        "x.flatten(1).sum(1)`. Return the sum of these over the components.",
    ),
)


@log_prob.case("a gear of 2 and a force of one number, 3 rows")
def _():
    gear = _gear([[0.0, 1.0], [2.0, 0.0], [-1.0, 0.5]])
    force = _force([[0.5], [-1.0], [0.0]], [[1.0], [0.5], [2.0]])
    return [gear, force], (torch.tensor([1, 0, 0]), torch.tensor([[0.0], [-0.8], [3.0]]))


def _two_rows(independent: bool) -> list[dict]:
    gear = _gear([[0.0, 1.0, 2.0], [0.3, 0.0, -0.7]])
    return [gear, _force([[0.5, 1.0], [-1.0, 0.0]], [[1.0, 0.3], [0.5, 2.0]], independent)]


log_prob.case(
    "a gear of 3 and a force of two numbers, 2 rows",
    lambda: (_two_rows(False), (torch.tensor([2, 0]), torch.tensor([[0.0, 1.1], [-0.8, 3.0]]))),
)
log_prob.case(
    "the same, where `Independent` has summed the force's two numbers already",
    lambda: (_two_rows(True), (torch.tensor([2, 0]), torch.tensor([[0.0, 1.1], [-0.8, 3.0]]))),
)


log_prob.inputs(_drawn_components)


log_prob.patches(r"""
the dimensions of a component are not summed
    A Normal over D numbers gives (B, D) log-probabilities, a Categorical (B,). Adding them
    either fails or, if the shapes happen to allow it, makes a (B, B) table of every row
    with every other. Sum each component to (B,) first.
    - (x.flatten(1).sum(1) if x.ndim > 1 else x)
    + x

it adds (B, 1) to (B,)
    One component's log-probabilities stand in a column, the other's in a row. Added they
    are a (B, B) table: every row with every other. Drop the last dimension: no `keepdim`.
    - x.flatten(1).sum(1) if x.ndim > 1
    + x.view(len(x), -1).sum(1, keepdim=True) if action.ndim > 1

it averages over the dimensions of a component
    The probability of both numbers together is a product, so the logarithms are summed.
    With the mean, a force of two numbers would count half as much as it should beside the
    gear.
    - .sum(1)
    + .mean(1)

it averages over the components
    The components are independent: the probability of both is a product, and its logarithm
    the sum. Half of it is the logarithm of something else, and chapter 08's ratios would be
    wrong.
    - return total
    + return total / len(components)

only the first component counts
    The second component's action never appears in the loss, so it stays as random as it was
    at the start. Go through all components, each with its own action.
    - zip(components,
    + zip(components[:1],

all rows are summed into one number
    Each row is one decision, with a weight of its own in the loss. Sum over dimensions and
    components, never over rows: (B,) has to come out.
    - return total
    + return total.sum()

only the last component counts
    The others never appear in the loss. Each pass through the loop replaces the sum, or the
    `return` takes the last one: add them up.
    - total = total +
    + total =

probabilities are added, not their logarithms
    Independent probabilities multiply, and their logarithms add: leave the logarithms as
    they are.
    - component.log_prob(action)
    + component.log_prob(action).exp()

the log-probabilities are multiplied
    Probabilities multiply. Their logarithms add.
    - total = 0.0
    + total = 1.0
    - total + (
    + total * (

only the first number of a component counts
    A force of several numbers has a log-probability for each of them: sum them all.
    - x.flatten(1).sum(1)
    + x.flatten(1)[:, 0]
""")


def _log_prob_parts(components: tuple[Distribution, ...], actions: tuple[Tensor, ...]) -> Tensor:
    """Log-probability of each component of each row's action: (B, K)."""
    parts = [c.log_prob(action) for c, action in zip(components, actions)]
    return torch.stack([x.flatten(1).sum(1) if x.ndim > 1 else x for x in parts], 1)


log_prob.harder(
    "log_prob_parts",
    _log_prob_parts,
    (
        "The parts that were added up before: now they stand side by side.",
        "Bring each to (B,), and put them into columns with `torch.stack`.",
        "`torch.stack([x.flatten(1).sum(1) if x.ndim > 1 else x for x in parts], 1)`",
    ),
    r"""
    the components stand in rows
        (B, K) is asked for: `torch.stack(…, 1)`.
        - for x in parts], 1)
        + for x in parts])

    it averages over the dimensions of a component
        The dimensions of one component are still summed.
        - .sum(1)
        + .mean(1)

    the columns are running totals
        Each column is one component's own.
        - for x in parts], 1)
        + for x in parts], 1).cumsum(1)
    """,
)


# ---------------------------------------------------------------------- entropy


def _entropy(components: tuple[Distribution, ...]) -> Tensor:
    """Entropy of each row, over all components and dimensions: (B,)."""
    total = 0.0
    for component in components:
        x = component.entropy()
        total = total + (x.flatten(1).sum(1) if x.ndim > 1 else x)
    return total


entropy = Exercise(
    "entropy",
    chapter="03",
    reference=_entropy,
    target="rlx.distributions.ActionDistribution.entropy",
    adapt=lambda answer: lambda self: answer(self.components),
    call=lambda answer, components: answer(_built(components)),
    train=_gear_and_force,
    also="Where no formula is known, as for a squashed Gaussian, minus the log-probability of a "
    "sample has the entropy as its mean: SAC takes that.",
    hints=(
        "How uncertain is a throw of two dice, beside that of one?",
        "Entropies of independent things add, as log-probabilities do. Every torch distribution "
        "has an `entropy()`, and its shape is that of its log-probabilities.",
        "`x = component.entropy()`, then `x if x.ndim == 1 else x.flatten(1).sum(1)`, summed over "
        "the components.",
    ),
)


entropy.case(
    "a gear of 2 and a force of one number, 3 rows", lambda: log_prob.cases[0].inputs()[:1]
)
entropy.case("a gear of 3 and a force of two numbers, 2 rows", lambda: (_two_rows(False),))
entropy.case(
    "the same, where `Independent` has summed the force's two numbers already",
    lambda: (_two_rows(True),),
)
entropy.case(
    "a force whose entropy is negative", lambda: ([_force([[0.5], [1.0]], [[0.1], [0.02]])],)
)


@entropy.inputs
def _(draw):
    return _drawn_components(draw)[:1]


entropy.patches(r"""
only the first component counts
    The bonus for staying random then holds for the gear alone, and the force's deviation
    may shrink to nothing. Go through all components.
    - in components:
    + in components[:1]:

it averages over the dimensions of a component
    Two numbers that are independent are twice as uncertain as one. Sum over the dimensions,
    as with log-probabilities.
    - .sum(1)
    + .mean(1)

it averages over the components
    Entropies of independent components add. The mean is not the entropy of anything, and it
    falls when a component is added that is always certain.
    - return total
    + return total / len(components)

the dimensions of a component are not summed
    A Normal over D numbers has (B, D) entropies, a Categorical (B,). Adding them fails, or
    makes a (B, B) table. Sum each component to (B,) first.
    - (x.flatten(1).sum(1) if x.ndim > 1 else x)
    + x

only the last component counts
    Each pass through the loop replaces the sum, or the `return` takes the last one: add
    them up.
    - total = total +
    + total =

negative entropies are cut off
    A category's entropy is never negative, that of a number may well be: for a deviation
    below 0.24 it is. No `clamp`, no `abs`.
    - return total
    + return total.clamp(min=0)

only the first number of a component counts
    A force of several numbers has an entropy for each of them: sum them all.
    - x.flatten(1).sum(1)
    + x.flatten(1)[:, 0]

the entropies are multiplied
    Entropies of independent things add.
    - total = 0.0
    + total = 1.0
    - total + (
    + total * (
""")


def _entropy_per_number(components: tuple[Distribution, ...]) -> Tensor:
    """Entropy of each component, averaged over rows, divided by its dimensions: (K,)."""
    found = []
    for component in components:
        x = component.entropy()
        total = x.flatten(1).sum(1) if x.ndim > 1 else x
        found.append(total.mean() / component.mode[0].numel())
    return torch.stack(found)


entropy.harder(
    "entropy_per_number",
    _entropy_per_number,
    (
        "How many numbers does an action of each component have?",
        "A category's action is one number, `component.mode[0].numel()` of any component.",
        "For each component its entropy as before, (B,), then `.mean() / "
        "component.mode[0].numel()`; and `torch.stack` over the components.",
    ),
    r"""
    it is not divided by the number of dimensions
        A force of two numbers has two chances to be undecided: divide by two.
        -  / component.mode[0].numel()
        +

    the components are added up
        Each has a number of its own: (K,).
        - torch.stack(found)
        + torch.stack(found).sum()

    the rows are added up
        The mean over rows, or twice the rows would be twice as undecided.
        - total.mean()
        + total.sum()
    """,
)


# ---------------------------------------------------------------------- sample

EACH = 2000  # draws for either of two states


def _drawn(answer, components) -> dict:
    """What is to be seen in many draws, whichever random numbers they were made with."""
    many = [
        {k: x if x is True else x.repeat_interleave(EACH, 0) for k, x in given.items()}
        for given in components
    ]
    components, seen = _built(many), {}
    found, again = answer(components), answer(components)
    for k, (component, action) in enumerate(zip(components, found)):
        shape = component.batch_shape + component.event_shape
        if tuple(action.shape) != shape:
            raise Wrong(
                f"the action of component {k} has shape {tuple(action.shape)}, not {tuple(shape)}",
                "One action for each row, of all its dimensions.",
            )
        of = f" of component {k}"
        seen[f"do actions{of} carry a gradient"] = action.requires_grad
        rows = action.detach().unflatten(0, (-1, EACH))
        if isinstance(component, Categorical):
            seen[f"the dtype{of}"] = str(action.dtype)
            n = component.logits.shape[-1]
            if action.is_floating_point() or not 0 <= action.min() <= action.max() < n:
                raise Wrong(
                    f"the action of component {k} is no category",
                    f"Categories are whole numbers from 0 to {n - 1}, of an integer dtype; yours "
                    f"are {action.dtype} and begin with {short(action[:5])}.",
                )
            shares = torch.nn.functional.one_hot(rows, n).double().mean(1)
            right = component.probs.unflatten(0, (-1, EACH))[:, 0]
            seen[f"is each category{of} as frequent as probable"] = near(shares, right)
            alike = (rows == rows[:, :1]).all(1)
        else:
            mean, std = (
                x.unflatten(0, (-1, EACH))[:, 0] for x in (component.mean, component.stddev)
            )
            seen[f"have numbers{of} the right mean"] = near(rows.mean(1), mean)
            seen[f"have numbers{of} the right deviation"] = near(rows.std(1), std)
            deviations = (rows - mean[:, None]) / std[:, None]
            beyond = (deviations.abs() > 1).double().mean(1)  # 0.317 of a Normal's
            seen[f"are numbers{of} spread like a Normal's"] = near(
                beyond, torch.full_like(beyond, 0.3173)
            )
            if deviations.shape[-1] > 1:
                together = (deviations[..., 0] * deviations[..., 1]).mean(1)
                seen[f"are the numbers{of} drawn independently"] = near(together, 0 * together)
            alike = (rows == rows[:, :1]).all(1)
            if len(rows) > 1:
                across = (deviations[0] * deviations[1]).mean(0)
                seen[f"are rows{of} drawn independently"] = near(across, 0 * across)
        seen[f"do rows of the same state differ{of}"] = not bool(alike.any())
        if alike.any():  # then nothing else can be right, but by chance
            seen |= {name: False for name, value in seen.items() if of in name and value is True}
    seen["does the next call differ"] = any(bool((a != b).any()) for a, b in zip(found, again))
    return seen


def near(found: Tensor, right: Tensor) -> bool:
    """Within six standard errors, and more."""
    return bool((found - right).abs().max() < 0.1)


def _through_the_samples() -> Tensor:
    """Trained to like what it draws, as much as what it drew before was worth."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("CueBoth-v0", 4), seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,), value=False)

    def loss():
        rollout = agent(policy).episodes(8)
        rollout.mc_returns(0.99)
        rollout = rollout[:-1]
        # The library would detach what it records; here the sample is scored as it comes.
        _, dist = policy(None, rollout.states)
        return functional.policy_gradient_loss(dist.log_prob(*dist.sample()), rollout.returns)

    return fit(policy, loss)


sample = Exercise(
    "sample",
    chapter="03",
    reference=plain.sample,
    target="rlx.distributions.ActionDistribution.sample",
    adapt=lambda answer: lambda self: tuple(answer(self.components)),
    call=_drawn,
    train=_through_the_samples,
    also="For a category `(logits + gumbel).argmax(-1)`, with `gumbel = "
    "-(-torch.rand_like(logits).log()).log()`, draws the same and is several times faster: "
    "the Gumbel-max trick, which rlx uses.",
    hints=(
        "Every torch distribution can draw from itself. What shape does it draw?",
        "A torch distribution has `sample()` and `rsample()`. One of them lets a gradient through "
        "to the parameters, which is not wanted here.",
        "`tuple(component.sample() for component in components)`",
    ),
)


@sample.case(f"a gear of 3 and a force of two numbers, two states, {EACH} rows of each")
def _():
    gear = _gear([[0.0, 1.0, 2.0], [0.5, 0.0, -0.9]])
    return ([gear, _force([[3.0, -1.0], [0.5, 2.0]], [[0.4, 0.8], [0.6, 0.3]])],)


sample.case(f"a force of one number alone, {EACH} rows", lambda: ([_force([[2.0]], [[0.7]])],))


@sample.case(f"two gears and a force of three numbers, {EACH} rows")
def _():
    force = _force([[0.5, -1.0, 0.0]], [[0.9, 0.4, 0.6]])
    return ([_gear([[1.0, 0.0]]), force, _gear([[0.0, 0.7, -0.7, 0.2]])],)


@sample.inputs
def _(draw):
    """So tame that 2000 draws leave no doubt."""
    rows, parameters = draw.integer(1, 2), []
    for _ in range(draw.integer(1, 3)):
        size = draw.integer(1, 3)
        if draw.flag():
            logits = draw.floats(rows, size + 1, kinds="tenths").clamp(-2, 2)
            parameters.append({"logits": logits.requires_grad_()})
        else:
            mean, spread = (draw.floats(rows, size, kinds="tenths") for _ in range(2))
            std = 0.2 + 0.3 * spread.sigmoid()
            given = {"mean": mean.requires_grad_(), "std": std.requires_grad_()}
            parameters.append(given | ({"Independent": True} if draw.flag() else {}))
    return (parameters,)


sample.patches(r"""
it always takes the most probable action
    An agent that never tries anything else never learns that it would have been better.
    Greedy actions are for showing what was learned; sampling is for learning.
    - component.sample()
    + component.mode

a gradient flows through the sampled actions
    The numbers are right. But an action is something that happened: if it moves along with
    the parameters, as in `rsample()`, the gradient of its log-probability is another one,
    and for the mean it is 0. Use `sample()`, or `torch.no_grad()`.
    - component.sample()
    + component.rsample() if component.has_rsample else component.sample()

one draw serves the whole batch
    All rows share their luck: environments that are played side by side would all do the
    same, and a batch would teach no more than one of them. Draw for each row.
    - component.sample()
    + component.sample()[:1].expand_as(component.mode).clone()

every gear is as frequent as any other
    The gear is drawn, but not with the policy's probabilities: whatever is learned about them would
    never be seen. Let the distribution draw.
    - component.sample()
    + torch.randint_like(component.sample(), component.probs.shape[-1])
    +         if hasattr(component, "probs") else component.sample()
""")


def _sample_with(components: list[Distribution], uniform: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The action of each component for given uniform numbers, without gradient."""
    actions = []
    for component, u in zip(components, uniform):
        if isinstance(component, Categorical):
            actions.append((component.probs.cumsum(-1) <= u[:, None]).sum(-1))
        else:
            actions.append(getattr(component, "base_dist", component).icdf(u).detach())
    return tuple(actions)


sample_with = Exercise(
    "sample_with",
    chapter="03",
    reference=_sample_with,
    call=lambda answer, components, uniform: answer(_built(components), uniform),
    optional=True,
    also="`rsample()` does so with normal numbers, μ + σ ε. What is drawn is then a function of "
    "the parameters, with a slope.",
    hints=(
        "Lay the probabilities of the categories on a stick of length 1, one after the other. On "
        "which of them does u lie?",
        "`component.probs.cumsum(-1)` is where each category ends. The action is the number of "
        "those that end below u. Of a Normal, `icdf(u)` is the number that is not exceeded with "
        "probability u; `Independent` has its Normal in `base_dist`.",
        "`(component.probs.cumsum(-1) <= u[:, None]).sum(-1)` for a `Categorical`, and otherwise "
        '`getattr(component, "base_dist", component).icdf(u).detach()`',
    ),
)


@sample_with.case("a gear of 3, 3 rows, probabilities 0.2, 0.5 and 0.3")
def _():
    gear = _gear([[0.2, 0.5, 0.3]] * 3)
    gear["logits"] = gear["logits"].detach().log().requires_grad_()
    return [gear], (torch.tensor([0.1, 0.6, 0.9]),)


@sample_with.case("a gear of 2 and a force of two numbers, 2 rows")
def _():
    gear = _gear([[0.0, 1.0], [2.0, 0.0]])
    force = _force([[0.5, 1.0], [-1.0, 0.0]], [[1.0, 0.3], [0.5, 2.0]])
    return [gear, force], (torch.tensor([0.9, 0.1]), torch.tensor([[0.5, 0.9], [0.1, 0.3]]))


sample_with.case(
    "a force of two numbers, made one action by `Independent`",
    lambda: ([_force([[1.0, 2.0]], [[0.5, 1.0]], True)], (torch.tensor([[0.2, 0.7]]),)),
)


@sample_with.inputs
def _(draw):
    parameters, actions = _drawn_components(draw)
    luck = np.random.default_rng(
        draw.integer(0, 99)
    )  # between hundredths: no number is on a border
    uniform = [(luck.integers(0, 100, tuple(a.shape)) + 0.5) / 100 for a in actions]
    return parameters, tuple(torch.tensor(u, dtype=torch.float32) for u in uniform)


sample_with.patches(r"""
each probability is compared with the number, not those so far together
    A category ends where all before it, and itself, are added up: `cumsum(-1)`.
    - .cumsum(-1)
    +

the categories are counted from the other end
    The action is the number of categories that end *below* u.
    - <= u[:, None]
    + > u[:, None]

every category is one too high
    The first category ends at its own probability, and is number 0.
    - (component.probs.cumsum(-1) <= u[:, None]).sum(-1)
    + (component.probs.cumsum(-1) <= u[:, None]).sum(-1) + 1

the most probable category is taken, whatever the number
    Then u changes nothing.
    - (component.probs.cumsum(-1) <= u[:, None]).sum(-1)
    + component.probs.argmax(-1)

u is taken for a normal number
    μ + σ u would do for a u that is normal. This one lies between 0 and 1: `icdf` makes a number of
    the Normal from it.
    - getattr(component, "base_dist", component).icdf(u).detach()
    + (component.mean + component.stddev * u).detach()

a gradient flows through the actions
    The numbers are right. What was drawn is a fact about the past: `.detach()`.
    - .icdf(u).detach()
    + .icdf(u)
""")


# ---------------------------------------------------------------------- choices


def _choices(logits: Tensor) -> Tensor:
    """Number of equally probable actions that would be as undecided: a scalar from (B, n)."""
    logp = logits.log_softmax(-1)
    surprise = torch.where(logp.isinf(), 0.0, -logp)
    return (logp.exp() * surprise).sum(-1).exp().mean()


choices = Exercise(
    "choices",
    chapter="03",
    reference=_choices,
    also="`Categorical(logits=logits).perplexity().mean()` is the same; language models report it.",
    hints=(
        "From the logits to log-probabilities first; then p log p, but for forbidden actions.",
        "`logits.log_softmax(-1)` is minus infinity where an action is forbidden. "
        "Replace it there before it is multiplied by p = 0.",
        "`surprise = torch.where(logp.isinf(), 0.0, -logp)`, then `(logp.exp() * "
        "surprise).sum(-1).exp().mean()`.",
    ),
)
choices.case("two rows of four equal logits", lambda: (torch.zeros(2, 4),))
choices.case("unequal logits", lambda: (torch.tensor([[0.0, 1.0, 2.0], [0.5, 0.0, -0.9]]),))
choices.case(
    "one row in which an action is forbidden, one in which two are",
    lambda: (torch.tensor([[0.0, 0.0, -torch.inf], [0.0, -torch.inf, -torch.inf]]),),
)


@choices.inputs
def _(draw):
    logits = draw.floats(draw.size(1, 40), draw.integer(1, 6), kinds="tenths whole wide equal")
    if draw.flag():
        forbidden = torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)) < 0.3
        forbidden[:, 0] = False
        logits = logits.masked_fill(forbidden, -torch.inf)
    return (logits.to(draw.one_of(torch.float32, torch.float64)),)


choices.patches(r"""
the mean is taken before the exponential
    First each row's number of choices, then their mean: `.exp().mean()`.
    - .exp().mean()
    + .mean().exp()

a forbidden action gives NaN
    0 times minus infinity is NaN. Where the log-probability is infinite, put 0 before
    multiplying.
    - torch.where(logp.isinf(), 0.0, -logp)
    + -logp

it returns the entropy, not its exponential
    An entropy of log 4 means four choices: take `exp()` of each row.
    - .exp().mean()
    + .mean()

the sign of the entropy is turned round
    H is minus the sum of p log p. Yours gives less than one choice.
    - 0.0, -logp
    + 0.0, logp

each row has a number of its own
    Average over the rows at the end: a scalar.
    - .exp().mean()
    + .exp()

the rows are summed, not averaged
    With twice the rows there would be twice the choices.
    - .exp().mean()
    + .exp().sum()

the softmax runs along the rows of the batch
    The actions are the last dimension: `log_softmax(-1)`.
    - log_softmax(-1)
    + log_softmax(0)

the surprise is averaged, not weighed
    A surprise counts as much as it is probable: p times -log p, summed.
    - (logp.exp() * surprise).sum(-1)
    + surprise.mean(-1)

the number of allowed actions is counted
    It takes no notice of how probable they are.
    - (logp.exp() * surprise).sum(-1).exp()
    + logp.isfinite().sum(-1).to(logp)
""")


def _information(logits: Tensor) -> Tensor:
    """Entropy of the mean policy less the mean entropy, in bits: a scalar from (B, n)."""
    p = logits.softmax(-1)
    mean, rows = torch.special.entr(p.mean(0)).sum(), torch.special.entr(p).sum(-1).mean()
    return (mean - rows) / math.log(2)


choices.harder(
    "information",
    _information,
    (
        "Two entropies: that of the rows' mean probabilities, and the mean of the rows' entropies.",
        "`torch.special.entr(p)` is -p log p, and 0 where p is 0. A bit is log 2.",
        "`p = logits.softmax(-1)`, then `(torch.special.entr(p.mean(0)).sum() - "
        "torch.special.entr(p).sum(-1).mean()) / math.log(2)`.",
    ),
    r"""
    it is in nats
        Divide by log 2: a fair coin has one bit.
        -  / math.log(2)
        +

    the two entropies are exchanged
        The mean policy is the more undecided of the two: the difference is never negative.
        - mean - rows
        + rows - mean

    the logits are averaged, not the probabilities
        A state chosen at random, then an action: its probability is the mean of the probabilities.
        - p.mean(0)
        + logits.mean(0).softmax(-1)
    """,
)
