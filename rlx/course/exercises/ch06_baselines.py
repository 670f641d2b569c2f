"""Chapter 06: what is subtracted from a return, how it is learned, and how well it was learned."""

from __future__ import annotations

import torch
from torch import Tensor

from rlx.course.exercise import Exercise


def _brief_actor_critic() -> Tensor:
    """The parameters after a few updates of ActorCritic, and the explained variances on the way."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 4), seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,))
    algorithm = rlx.algos.ActorCritic(agent, policy, batch_size=4, horizon=10, lr=0.01)
    explained = [algorithm.update()["explained_variance"] for _ in range(4)]
    parameters = torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
    return torch.cat([parameters, torch.tensor(explained)])


# ---------------------------------------------------------------------- baselined_loss


def _baselined_loss(logprobs: Tensor, returns: Tensor, values: Tensor) -> Tensor:
    """-mean(log π(a_t|s_t) (G_t - V(s_t))): a scalar from (N,), (N,) and (N, 1)."""
    advantages = returns - values.squeeze(1)
    return -(logprobs * advantages.detach()).mean()


def _on_advantages(answer):
    """An answer, where the library has subtracted already.

    Any G and V will do whose difference is the advantage. So V is one that depends on the policy's
    parameters, as that of a network with two heads does: a gradient that runs into it shows."""

    def policy_gradient_loss(logprobs: Tensor, advantages: Tensor) -> Tensor:
        values = logprobs
        return answer(logprobs, (advantages + values).detach(), values[:, None])

    return policy_gradient_loss


baselined_loss = Exercise(
    "baselined_loss",
    chapter="06",
    reference=_baselined_loss,
    target="rlx.functional.policy_gradient_loss",
    adapt=_on_advantages,
    train=_brief_actor_critic,
    also="`returns - values.flatten()` and `returns[:, None] - values` are as good, the latter if "
    "`logprobs` is made a column too. What matters is that both sides have one shape.",
    hints=(
        "An action is good if the return after it is higher than what was expected in that state. "
        "Which shape has that difference, if there are N rows?",
        "The value head gives a column, (N, 1). torch would meet every return with every value. "
        "`squeeze(1)` makes (N,) of it. And the difference is a measurement: no gradient.",
        "`-(logprobs * (returns - values.squeeze(1)).detach()).mean()`",
    ),
)


@baselined_loss.case("three rows")
def _():
    logprobs = torch.tensor([-0.5, -1.0, -2.0], requires_grad=True)
    values = torch.tensor([[1.0], [4.0], [0.5]], requires_grad=True)
    return logprobs, torch.tensor([3.0, 2.0, -1.0]), values


@baselined_loss.case("one row")
def _():
    logprobs = torch.tensor([-0.5], requires_grad=True)
    return logprobs, torch.tensor([3.0]), torch.tensor([[1.0]], requires_grad=True)


@baselined_loss.case("values that are exactly right")
def _():
    logprobs = torch.tensor([-0.5, -1.0], requires_grad=True)
    return logprobs, torch.tensor([3.0, 2.0]), torch.tensor([[3.0], [2.0]], requires_grad=True)


@baselined_loss.inputs
def _(draw):
    n, dtype = draw.size(1, 300), draw.one_of(torch.float32, torch.float64)
    logprobs = -draw.floats(n, kinds="whole tenths wide").abs().to(dtype)
    returns = draw.floats(n).to(dtype)
    values = draw.floats(n, kinds="tenths whole wide equal").to(dtype)[:, None]
    return logprobs.requires_grad_(), returns, values.requires_grad_(draw.flag())


baselined_loss.mistake(
    "every return meets every value",
    "`returns` is a row of N numbers, `values` a column: their difference is a table of N × N, and "
    "the mean hides it. What is left of V is its mean, the same for all states. Make both (N,): "
    "`values.squeeze(1)`.",
    ("values.squeeze(1)", "values"),
)
baselined_loss.mistake(
    "a gradient flows into the values",
    "The number is right. But this loss is there for the policy: it would move V so that the "
    "loss falls, away from the returns. Only the value loss may train V: `.detach()`.",
    ("advantages.detach()", "advantages"),
)
baselined_loss.mistake(
    "the values are not used",
    "The actions are weighed by the return alone, and the critic learns for nothing. Subtract what "
    "was expected.",
    ("returns - values.squeeze(1)", "returns"),
)
baselined_loss.mistake(
    "the sign is turned round",
    "Your loss makes good actions rarer. Better than expected is G - V, and the loss has a minus "
    "in front.",
    ("returns - values.squeeze(1)", "values.squeeze(1) - returns"),
)
baselined_loss.mistake(
    "the value is subtracted from the product",
    "In log π · G - V the value no longer weighs anything: its term has no slope in the policy. "
    "Subtract first, then multiply; brackets are missing.",
    (
        "(logprobs * advantages.detach())",
        "(logprobs * returns - values.squeeze(1).detach())",
    ),
)
baselined_loss.mistake(
    "the values are added",
    "What was expected is subtracted, not added.",
    ("returns - values", "returns + values"),
)
baselined_loss.mistake(
    "the returns are normalised before the values are subtracted",
    "V predicts the returns as they are. From returns with mean 0 and deviation 1 it cannot be "
    "subtracted: the units differ. First the difference; that may be normalised afterwards.",
    (
        "returns - values",
        "(returns - returns.mean()) / (returns.std(correction=0) + 1e-8) - values",
    ),
)
baselined_loss.mistake(
    "the log-probabilities are detached, not the advantages",
    "This trains the values and leaves the policy alone. It is the other way round.",
    ("logprobs * advantages.detach()", "logprobs.detach() * advantages"),
)
baselined_loss.mistake(
    "it uses probabilities where log-probabilities belong",
    "The gradient of log π is the one of π divided by π. Drop the `exp()`.",
    ("logprobs * adv", "logprobs.exp() * adv"),
)


# ---------------------------------------------------------------------- value_loss


def _value_loss(values: Tensor, returns: Tensor, deviation: float) -> Tensor:
    """mean(((V_t - G_t) / σ)²): a scalar from (N,), (N,) and a number."""
    return ((values - returns.detach()) / deviation).square().mean()


value_loss = Exercise(
    "value_loss",
    chapter="06",
    reference=_value_loss,
    target="rlx.functional.value_loss",
    train=_brief_actor_critic,
    also="`(values - returns) / deviation` is the error in deviations. So the loss of the best "
    "constant is 1, whatever the rewards are, and what lies below 1 has been learned from states.",
    hints=(
        "The best guess, counted in squares of the error, is the mean: that is why it is squares. "
        "In which unit is the error of a return counted?",
        "Divide the error by the deviation before it is squared. The values are what learns; the "
        "returns are measurements, and no gradient may reach what they were made from.",
        "`((values - returns.detach()) / deviation).square().mean()`",
    ),
)


@value_loss.case("three rows, deviation 2")
def _():
    values = torch.tensor([1.0, 4.0, 0.0], requires_grad=True)
    return values, torch.tensor([3.0, 2.0, -1.0]), 2.0


@value_loss.case("returns that were made with the values")
def _():
    values = torch.tensor([1.0, 4.0], requires_grad=True)
    return values, torch.tensor([2.0, 5.5], requires_grad=True), 0.5


@value_loss.case("one row")
def _():
    return torch.tensor([1.0], requires_grad=True), torch.tensor([4.0]), 2.0


@value_loss.inputs
def _(draw):
    n, dtype = draw.size(1, 300), draw.one_of(torch.float32, torch.float64)
    values = draw.floats(n, kinds="tenths whole wide").to(dtype).requires_grad_()
    returns = draw.floats(n).to(dtype).requires_grad_(draw.flag())
    return values, returns, draw.one_of(2.0, 1.0, 0.25, 40.0, 3.0)


value_loss.mistake(
    "the mean error is taken off first",
    "That is the variance of the error. A V that is too high by 5 everywhere costs nothing then, "
    "and stays so.",
    (
        "((values - returns.detach()) / deviation).square().mean()",
        "((values - returns.detach()) / deviation).var(correction=0)",
    ),
)
value_loss.mistake(
    "a gradient flows into the returns",
    "The number is right. But returns may be made with the help of values (chapter 07 does so), "
    "and then this loss would pull the targets towards the guesses. They are measurements: "
    "`returns.detach()`.",
    ("returns.detach()", "returns"),
)
value_loss.mistake(
    "the values carry no gradient any more",
    "`.detach()`, `.item()` and `.tolist()` cut the loss off from the network: the critic never "
    "learns, and nothing complains. Detach the returns, not the values.",
    ("(values - returns.detach())", "(values.detach() - returns)"),
)
value_loss.mistake(
    "the deviation is not used",
    "With returns of some hundreds the loss begins at some ten thousands, far above the policy's "
    "loss beside it. Divide the error by the deviation.",
    (" / deviation", ""),
)
value_loss.mistake(
    "the square is divided by the deviation, not the error",
    "The error is counted in deviations, so it is divided before it is squared: by σ² in the end.",
    (
        "((values - returns.detach()) / deviation).square().mean()",
        "(values - returns.detach()).square().mean() / deviation",
    ),
)
value_loss.mistake(
    "it multiplies by the deviation",
    "Large returns should not give a larger loss: divide.",
    ("/ deviation", "* deviation"),
)
value_loss.mistake(
    "the values are compared with normalised returns",
    "The values are in the unit of the returns, and are fitted to numbers of mean 0 and deviation "
    "1. Such a V can be subtracted from no return. Normalise neither; divide their difference.",
    (
        "(values - returns.detach())",
        "(values - (returns.detach() - returns.detach().mean())"
        " / (returns.detach().std(correction=0) + 1e-8))",
    ),
)
value_loss.mistake(
    "the deviation is that of these returns, not the one it was given",
    "This batch's own deviation changes from batch to batch, and is 0 for one row. Use the "
    "argument.",
    ("/ deviation", "/ (returns.detach().std(correction=0) + 1e-8)"),
)
value_loss.mistake(
    "only the returns are divided by the deviation",
    "Values and returns are in the same unit. Subtract first, then divide.",
    ("((values - returns.detach()) / deviation)", "(values - returns.detach() / deviation)"),
)
value_loss.mistake(
    "the errors cancel: the mean is squared",
    "One value too high and one too low would be called perfect. Square each error, then average.",
    (".square().mean()", ".mean().square()"),
)
value_loss.mistake(
    "it measures the size of the error, not its square",
    "The least absolute error belongs to the median. A baseline needs the mean, and that has the "
    "least squared error.",
    (".square()", ".abs()"),
)
value_loss.mistake(
    "nothing is squared",
    "The smaller the values, the smaller this loss: they would fall for ever.",
    (".square()", ""),
)
value_loss.mistake(
    "the root is taken of the mean",
    "That is a nice number to look at, in units of σ. Its gradient is another one: it does not get "
    "smaller near the goal.",
    (".square().mean()", ".square().mean().sqrt()"),
)
value_loss.mistake(
    "every value meets every return",
    "One of the two is a column, (N, 1): the difference is a table of N × N. Every value is pulled "
    "to the mean of all returns, and no state differs from another in the end.",
    ("values - returns", "values[:, None] - returns"),
)


# ---------------------------------------------------------------------- explained_variance


def _explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - Var[G - V] / Var[G], or 0 where the returns do not vary: a scalar from (N,) and (N,)."""
    values, returns = values.detach(), returns.detach()
    total = torch.var_mean(returns, correction=0)[0]
    residual = torch.var_mean(returns - values, correction=0)[0]
    return torch.zeros_like(total) if total == 0 else 1 - residual / total


explained_variance = Exercise(
    "explained_variance",
    chapter="06",
    reference=_explained_variance,
    target="rlx.functional.explained_variance",
    train=_brief_actor_critic,
    also="`torch.where` would do without the `if`, and so without waiting for a GPU to say what "
    "`total` is.",
    hints=(
        "How much do the returns vary? And how much is left of that, once the values are "
        "subtracted?",
        "One minus the share that is left. If the returns do not vary there is nothing to explain, "
        "which counts as 0; a single row is such a case. `var` of equal numbers may be a rounding "
        "error, which you would divide by; that of `torch.var_mean` is exactly 0.",
        "`total, residual = (torch.var_mean(x, correction=0)[0] for x in (returns, returns - "
        "values))`, and 0 or `1 - residual / total`. It is a figure to look at: no gradient.",
    ),
)


@explained_variance.case("four rows, values that see half of it")
def _():
    return torch.tensor([2.0, 2.0, 5.0, 5.0]), torch.tensor([1.0, 3.0, 4.0, 8.0])


@explained_variance.case("perfect values, but for a constant")
def _():
    return torch.tensor([11.0, 13.0, 16.0]), torch.tensor([1.0, 3.0, 6.0])


@explained_variance.case("a constant")
def _():
    return torch.tensor([2.0, 2.0, 2.0], requires_grad=True), torch.tensor([1.0, 3.0, 7.0])


@explained_variance.case("values that are turned round")
def _():
    return torch.tensor([3.0, 2.0, 0.0]), torch.tensor([1.0, 2.0, 3.0])


@explained_variance.case("returns that do not vary")
def _():
    return torch.tensor([1.0, 2.0, 4.0]), torch.tensor([3.0, 3.0, 3.0])


@explained_variance.case("nothing varies")
def _():
    return torch.tensor([3.0, 3.0]), torch.tensor([3.0, 3.0])


@explained_variance.case("23 returns of 12.3")
def _():
    return torch.arange(23.0), torch.full((23,), 12.3)


@explained_variance.case("one row")
def _():
    return torch.tensor([1.0]), torch.tensor([3.0])


@explained_variance.inputs
def _(draw):
    n, dtype = draw.size(1, 300), draw.one_of(torch.float32, torch.float64)
    returns = draw.floats(n).to(dtype)
    values = draw.floats(n, kinds="tenths whole equal").to(dtype)
    if draw.flag():
        values = values / 2 + returns
    return values.requires_grad_(draw.flag()), returns


explained_variance.mistake(
    "the squared error stands where a variance belongs",
    "mean((G - V)²) also counts a V that is too high everywhere. Such a V explains the differences "
    "between the returns all the same: take the variance of G - V.",
    (
        "torch.var_mean(returns - values, correction=0)[0]",
        "(returns - values).square().mean()",
    ),
)
explained_variance.mistake(
    "the variance of the values is in the denominator",
    "What is to be explained are the returns: Var G belongs there. Or have the two arguments "
    "changed places?",
    ("torch.var_mean(returns, correction=0)", "torch.var_mean(values, correction=0)"),
)
explained_variance.mistake(
    "the 1 is left out",
    "That is the share which is *not* explained. 1 is perfect, not 0.",
    ("1 - residual / total", "residual / total"),
)
explained_variance.mistake(
    "the fraction is turned upside down",
    "What is left is divided by what there was.",
    ("residual / total", "total / residual"),
)
explained_variance.mistake(
    "the variance of the values takes the place of what is left",
    "Values that vary a lot need not follow the returns. What is left is Var[G - V].",
    ("returns - values, correction", "values, correction"),
)
explained_variance.mistake(
    "returns that do not vary give NaN or minus infinity",
    "Nothing is to be explained, and you divide by 0. That counts as 0 here. A single row is such "
    "a case, and in the first updates of a run all returns may be equal.",
    ("torch.zeros_like(total) if total == 0 else 1 - residual / total", "1 - residual / total"),
)
explained_variance.mistake(
    "a small number in the denominator stands in for the case of equal returns",
    "With 1e-8 there, equal returns give 1, or minus some hundred million. Look whether they vary "
    "first.",
    (
        "torch.zeros_like(total) if total == 0 else 1 - residual / total",
        "1 - residual / (total + 1e-8)",
    ),
)
explained_variance.mistake(
    "returns that do not vary count as explained",
    "Where there is nothing to explain, the answer is 0 by convention, not 1: a value has not "
    "earned anything yet.",
    ("torch.zeros_like(total)", "torch.ones_like(total)"),
)
explained_variance.mistake(
    "deviations stand where variances belong",
    "Variances add up, deviations do not: what is explained and what is left would not make 1.",
    ("residual / total", "(residual / total).sqrt()"),
)
explained_variance.mistake(
    "it is the squared correlation",
    "The correlation does not care whether the values are turned round, or ten times too large. A "
    "baseline is subtracted as it is: 1 - Var[G - V] / Var[G], which falls below 0 then.",
)(
    lambda values, returns: (
        torch.zeros_like(returns.sum())
        if returns.eq(returns[0]).all() or values.eq(values[0]).all()
        else torch.corrcoef(torch.stack([values.detach(), returns]))[0, 1].square()
    )
)
explained_variance.mistake(
    "a single row gives NaN",
    "`var` divides by N - 1 unless told otherwise, which is 0 for one row: `correction=0`.",
    ("correction=0", "correction=1"),
)
explained_variance.mistake(
    "it cannot fall below 0",
    "A number below 0 says that subtracting V makes things worse. Do not clip it.",
    ("1 - residual / total", "(1 - residual / total).clamp(min=0)"),
)
explained_variance.mistake(
    "equal returns are not recognised",
    "`var` of 23 numbers 12.3 is not 0 but a rounding error, by which you then divide. "
    "`torch.var_mean` finds 0; or compare the returns themselves.",
    ("torch.var_mean(returns, correction=0)[0]", "returns.var(correction=0)"),
)


# ---------------------------------------------------------------------- optimal_baseline


def _optimal_baseline(scores: Tensor, returns: Tensor) -> Tensor:
    """The constant b* = Σ ‖s_i‖² G_i / Σ ‖s_i‖²: a scalar from (N, P) and (N,)."""
    weights = scores.square().sum(dim=1)
    if not weights.any():
        return returns.mean()
    return (weights * returns).sum() / weights.sum()


optimal_baseline = Exercise(
    "optimal_baseline",
    chapter="06",
    reference=_optimal_baseline,
    also="With a weight for each of the P parameters in place of one for each row, every parameter "
    "has a baseline of its own, which is better still (Peters & Schaal, 2008).",
    hints=(
        "It is a mean of the returns. But a row whose score is long moves the gradient more, and "
        "so its return counts more.",
        "The weight of a row is the squared length of its score: a sum of P squares. The weights "
        "have to be divided by their sum.",
        "`weights = scores.square().sum(dim=1)`, then `(weights * returns).sum() / weights.sum()`; "
        "if all weights are 0, `returns.mean()`.",
    ),
)


@optimal_baseline.case("two rows, scores (1, 0) and (0, 3)")
def _():
    return torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([2.0, 12.0])


@optimal_baseline.case("three rows of three numbers")
def _():
    scores = torch.tensor([[0.5, -0.5, 0.0], [-1.0, 0.5, 0.5], [0.0, 2.0, -2.0]])
    return scores, torch.tensor([1.0, 2.0, 4.0])


@optimal_baseline.case("one row")
def _():
    return torch.tensor([[1.0, -1.0]]), torch.tensor([3.0])


@optimal_baseline.case("scores that are all 0")
def _():
    return torch.zeros(2, 3), torch.tensor([1.0, 5.0])


@optimal_baseline.inputs
def _(draw):
    n, size = draw.size(1, 200), draw.integer(1, 5)
    dtype = draw.one_of(torch.float32, torch.float64)
    scores = draw.floats(n, size, kinds="tenths whole") * draw.one_of(1.0, 1.0, 0.0)
    return scores.to(dtype), draw.floats(n).to(dtype)


optimal_baseline.mistake(
    "it is the plain mean of the returns",
    "That is V, the nearest constant to the returns. The least noise has another: rows with a long "
    "score count more.",
    ("(weights * returns).sum() / weights.sum()", "returns.mean()"),
)
optimal_baseline.mistake(
    "the weights are lengths, not their squares",
    "A variance is made of squares: ‖s‖², without the root.",
    ("scores.square().sum(dim=1)", "scores.norm(dim=1)"),
)
optimal_baseline.mistake(
    "the weights are not divided by their sum",
    "With longer scores the baseline would grow, whatever the returns are. A mean with weights is "
    "divided by the sum of the weights.",
    (" / weights.sum()", " / len(returns)"),
)
optimal_baseline.mistake(
    "the sum is not divided by anything",
    "It is a mean: divide by the sum of the weights.",
    (" / weights.sum()", ""),
)
optimal_baseline.mistake(
    "the scores are summed before they are squared",
    "The entries of a score cancel: for a softmax they add up to 0. ‖s‖² is a sum of squares.",
    ("square().sum(dim=1)", "sum(dim=1).square()"),
)
optimal_baseline.mistake(
    "the sums of the scores are the weights",
    "They may be negative, and cancel. The weights are squared lengths.",
    ("square().sum(dim=1)", "sum(dim=1)"),
)
optimal_baseline.mistake(
    "the weights are the inverse of what they should be",
    "Rows with a long score count more, not less.",
    ("square().sum(dim=1)", "square().sum(dim=1).add(1e-8).reciprocal()"),
)
optimal_baseline.mistake(
    "scores that are all 0 give NaN",
    "A policy that is sure has scores of 0, and you divide 0 by 0. Any constant is as good then: "
    "take the mean of the returns.",
    ("if not weights.any():", "if False:"),
)
optimal_baseline.mistake(
    "scores that are all 0 give 0",
    "A small number in the denominator gives 0 where no score has a length. Asked for is the mean "
    "of the returns, as the most careful guess.",
    ("return returns.mean()", "return 0 * returns.mean()"),
)
optimal_baseline.mistake(
    "there is one for each parameter",
    "That is a better baseline still, and another one. Here it is a single number: sum the squares "
    "over the P numbers of a score.",
    ("scores.square().sum(dim=1)", "scores.square()"),
    (
        "(weights * returns).sum() / weights.sum()",
        "(weights * returns[:, None]).sum(0) / weights.sum(0)",
    ),
)


def _baseline_per_parameter(scores: Tensor, returns: Tensor) -> Tensor:
    """A constant for each parameter, the mean return where its scores are all 0: (P,)."""
    weights = scores.square()
    total = weights.sum(dim=0)
    return torch.where(total > 0, returns @ weights / total, returns.mean())


optimal_baseline.harder(
    "baseline_per_parameter",
    _baseline_per_parameter,
    (
        "Each parameter has a noise of its own, and it is a parabola in a baseline of its own. "
        "Which numbers are in it?",
        "Where `optimal_baseline` weighs row i by ‖s_i‖², parameter p weighs it by the square of "
        "its own entry. Parameters whose entries are all 0 get the mean return.",
        "`weights = scores.square()`, `total = weights.sum(dim=0)`, then `torch.where(total > 0, "
        "returns @ weights / total, returns.mean())`.",
    ),
    r"""
    the weights are not squared
        The noise is made of squares: each entry of a score is squared.
        - scores.square()
        + scores.abs()

    every parameter gets the same baseline
        Now each column of the scores has weights of its own: sum over the rows only.
        - weights = scores.square()
        + weights = scores.square().sum(dim=1, keepdim=True).expand_as(scores)

    a parameter whose scores are all 0 gives NaN
        Its noise is 0 with any baseline; asked for is the mean return there.
        - torch.where(total > 0, returns @ weights / total, returns.mean())
        + returns @ weights / total

    a parameter whose scores are all 0 gets 0
        Asked for is the mean return there.
        - returns.mean())
        + 0)

    the weights are not divided by their sum
        It is a mean, so its weights have to add up to 1.
        - / total, returns
        + / len(returns), returns
    """,
)


# ---------------------------------------------------------------------- leave_one_out


def _leave_one_out(returns: Tensor, group: Tensor) -> Tensor:
    """For each row the mean return of the other rows of its group, 0 if there are none: (N,)."""
    baseline = torch.zeros_like(returns)
    for i in range(len(returns)):
        others = group == group[i]
        others[i] = False
        if others.any():
            baseline[i] = returns[others].mean()
    return baseline


leave_one_out = Exercise(
    "leave_one_out",
    chapter="06",
    reference=_leave_one_out,
    also="Without a loop: `index_add_` gives every group's sum and size; take the row's own return "
    "off the sum, and one off the size. It is the baseline of RLOO (Kool et al., 2019; Ahmadian et "
    "al., 2024). GRPO keeps the row's own return in, and with it the factor of this chapter.",
    hints=(
        "What may a row be compared with? Everything but what came of its own action.",
        "`group == group[i]` marks the rows of the same group, and row i among them: take that one "
        "out. If nobody is left, the baseline is 0.",
        "`others = group == group[i]`, `others[i] = False`, and where `others.any()`: "
        "`baseline[i] = returns[others].mean()`.",
    ),
)


@leave_one_out.case("one group of three")
def _():
    return torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0, 0, 0])


@leave_one_out.case("two groups, mixed")
def _():
    return torch.tensor([1.0, 10.0, 3.0, 20.0, 8.0]), torch.tensor([7, 2, 7, 2, 7])


@leave_one_out.case("a row alone in its group")
def _():
    return torch.tensor([4.0, 5.0, 7.0]), torch.tensor([1, 0, 0])


@leave_one_out.case("a single row")
def _():
    return torch.tensor([4.0]), torch.tensor([0])


@leave_one_out.case("no rows")
def _():
    return torch.zeros(0), torch.zeros(0, dtype=torch.int64)


@leave_one_out.inputs
def _(draw):
    n = draw.size(0, 60)
    kinds = draw.one_of(1, 2, 5)
    group = torch.tensor([draw.integer(0, kinds - 1) * 3 for _ in range(n)], dtype=torch.int64)
    return draw.floats(n).to(draw.one_of(torch.float32, torch.float64)), group


leave_one_out.mistake(
    "the row's own return is among them",
    "Then the baseline moves along with the action, and a part of what the action brought is taken "
    "away again: a share of 1/n. Leave the row itself out.",
    ("others[i] = False", "pass"),
)
leave_one_out.mistake(
    "the groups are not used",
    "Returns of other groups began elsewhere: they say nothing about what was to be expected here.",
    ("group == group[i]", "torch.ones_like(group, dtype=torch.bool)"),
)
leave_one_out.mistake(
    "the sum of the others is divided by one too many",
    "The row itself is not in the sum, so it does not count in the denominator either: n - 1.",
    ("returns[others].mean()", "returns[others].sum() / (1 + others.sum())"),
)
leave_one_out.mistake(
    "it is the sum of the others, not their mean",
    "A larger group would have a larger baseline.",
    ("returns[others].mean()", "returns[others].sum()"),
)
leave_one_out.mistake(
    "a row alone in its group gives NaN",
    "The mean of nothing is 0/0. With nobody to compare with, the baseline is 0.",
    ("if others.any():", "if True:"),
)
leave_one_out.mistake(
    "a row alone in its group is its own baseline",
    "Then its advantage is 0, and nothing is learned from it. With nobody to compare with, the "
    "baseline is 0.",
    ("torch.zeros_like(returns)", "returns.clone()"),
)
leave_one_out.mistake(
    "it returns the advantage, not the baseline",
    "Asked for is what will be subtracted.",
    ("return baseline", "return returns - baseline"),
)
leave_one_out.mistake(
    "only the rows before are used",
    "The rows after it were played by the same policy, and say as much.",
    ("others[i] = False", "others[i:] = False"),
)
leave_one_out.mistake(
    "the last of the others is left out as well",
    "All other rows of the group count.",
    ("others[i] = False", "others[i] = others[others.nonzero().max()] = False"),
)
leave_one_out.mistake(
    "it takes the rows of the other groups",
    "`!=` marks those that have nothing to do with this row.",
    ("group == group[i]", "group != group[i]"),
)
