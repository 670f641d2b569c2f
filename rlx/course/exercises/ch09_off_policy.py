"""Chapter 09: how rows that another policy played are to be used."""

from __future__ import annotations

import torch
from torch import Tensor

from rlx.course.exercise import Exercise


def _offpac() -> Tensor:
    """The parameters after a few updates of OffPAC from old episodes, and what it reported."""
    import rlx

    envs = rlx.envs.make_vec("Reach-v0", 4, terminate_at=0.4, max_episode_steps=7)
    agent = rlx.Agent(envs, seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,))
    algorithm = rlx.algos.OffPAC(
        agent, policy, batch_size=4, rbsize=12, max_rbusage=3, gamma=0.9, lr=0.03
    )
    reported = [algorithm.update()["ess"] for _ in range(4)]
    parameters = torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
    return torch.cat([parameters, torch.tensor(reported)])


# ---------------------------------------------------------------------- importance_weights


def _importance_weights(logprobs: Tensor, behaviour_logprobs: Tensor, clip: float | None) -> Tensor:
    """π / μ of each row, at most `clip`: (N,) from two (N,), without gradient."""
    weights = torch.exp(logprobs.detach() - behaviour_logprobs.detach())
    return weights if clip is None else weights.clamp(max=clip)


importance_weights = Exercise(
    "importance_weights",
    chapter="09",
    reference=_importance_weights,
    target="rlx.functional.importance_weights",
    adapt=lambda answer: lambda logprobs, behaviour, clip=None: answer(logprobs, behaviour, clip),
    train=_offpac,
    also="Under the decorator `@torch.no_grad()` nothing that a function computes carries a "
    "gradient, and no `.detach()` can be forgotten.",
    hints=(
        "How many times as often would π have done what μ did here?",
        "The quotient of two probabilities is the exponential of the difference of their "
        "logarithms, π's less μ's. A weight is a constant: detach. Then, unless `clip` is None, "
        "what is above it comes down to it.",
        "`weights = torch.exp(logprobs.detach() - behaviour_logprobs.detach())`, and "
        "`weights.clamp(max=clip)` if there is a clip.",
    ),
)


importance_weights.case(
    "probabilities of 0.5, 0.2 and 0.9; of μ 0.25, 0.4 and 0.1; no clip",
    lambda: (torch.tensor([0.5, 0.2, 0.9]).log(), torch.tensor([0.25, 0.4, 0.1]).log(), None),
)
importance_weights.case(
    "the same, clipped at 1.5",
    lambda: (torch.tensor([0.5, 0.2, 0.9]).log(), torch.tensor([0.25, 0.4, 0.1]).log(), 1.5),
)


@importance_weights.case("two columns that ask for a gradient, clipped at 1")
def _():
    logprobs, behaviour = torch.tensor([-0.5, -2.0, -1.0]), torch.tensor([-1.0, -0.5, -1.25])
    return logprobs.requires_grad_(), behaviour.requires_grad_(), 1.0


@importance_weights.inputs
def _(draw):
    n, dtype = draw.size(1, 500), draw.one_of(torch.float32, torch.float64)
    behaviour = -draw.floats(n, kinds="whole tenths").abs().to(dtype)
    moved = draw.one_of(0.3, 0.1, 1.0) * draw.floats(n, kinds="tenths whole").to(dtype)
    return (
        (behaviour + moved).requires_grad_(draw.flag()),
        behaviour.requires_grad_(draw.flag()),
        draw.one_of(None, 1.0, 2.0, 0.5),
    )


importance_weights.patches(r"""
the weight is upside down
    You divide μ by π. The rows were dealt by μ; what π would do *more* often than μ has to
    count more: π / μ, `logprobs - behaviour_logprobs`. (RLlib mended the same in ray#4338.)
    - logprobs.detach() - behaviour_logprobs.detach()
    + behaviour_logprobs.detach() - logprobs.detach()

a gradient flows through the weights
    The numbers are right. But a weight says how much a row counts, and the loss must not become
    smaller by it: detach both.
    - logprobs.detach() - behaviour_logprobs.detach()
    + logprobs - behaviour_logprobs

log-probabilities are divided as if they were probabilities
    Both are negative, and so the quotient is positive, large where π is *small*, and it looks
    like a weight. Subtract, then `exp`. (RLlib's estimators of another policy's return used
    log-probabilities so, ray#12047.)
    - torch.exp(logprobs.detach() - behaviour_logprobs.detach())
    + (logprobs.detach() / behaviour_logprobs.detach())

the difference of the logarithms is taken for the weight
    It is 0, and not 1, where the policies agree: `exp` of it.
    - torch.exp(logprobs.detach() - behaviour_logprobs.detach())
    + (logprobs.detach() - behaviour_logprobs.detach())

every weight is 1: μ is not what it was
    Yours divides π by itself. μ is the policy that played, and its log-probabilities were stored
    then; who computes them again gets those of π.
    - behaviour_logprobs.detach())
    + logprobs.detach())

a weight is the product of all up to its row
    That is the weight of a whole beginning of an episode, and it explodes or vanishes. Here
    each row has a weight of its own.
    - logprobs.detach() - behaviour_logprobs.detach())
    + (logprobs.detach() - behaviour_logprobs.detach()).cumsum(0))

every row has the product of all weights
    That is the weight of the whole table as one event. Here each row has a weight of its own.
    - logprobs.detach() - behaviour_logprobs.detach())
    + (logprobs.detach() - behaviour_logprobs.detach()).sum() + 0 * logprobs.detach())

nothing is clipped
    `clip` is the most that a row may weigh; only None means that there is no bound.
    - weights if clip is None else weights.clamp(max=clip)
    + weights

what is larger than the clip is thrown away
    A row that would weigh too much is to weigh as much as is allowed, not nothing: these are
    what π does most.
    - weights.clamp(max=clip)
    + torch.where(weights > clip, 0.0, weights)

it is clipped from below
    `clip` is an upper bound. Small weights are harmless.
    - clamp(max=clip)
    + clamp(min=clip)

it is clipped on both sides
    `clip` is an upper bound. Rows that π would hardly play should hardly count: leave them.
    - clamp(max=clip)
    + clamp(1 / clip, clip)

it is clipped around 1, as in PPO
    PPO's interval is from 1 - clip to 1 + clip. Here `clip` is the most that a row may weigh.
    - clamp(max=clip)
    + clamp(1 - clip, 1 + clip)

the logarithm is clipped
    You compare the logarithm with `clip`: weights up to exp(clip) pass.
    - weights.clamp(max=clip)
    + weights.log().clamp(max=clip).exp()

None counts as 1
    Without a clip a weight may be as large as it is.
    - weights if clip is None else weights.clamp(max=clip)
    + weights.clamp(max=clip or 1.0)

the weights are made to add up to 1
    That is another estimator, and takes the size of the loss with it. Leave them as they are.
    - logprobs.detach() - behaviour_logprobs.detach())
    + (logprobs.detach() - behaviour_logprobs.detach()).log_softmax(0))
""")


def _normalized_weights(logprobs: Tensor, behaviour_logprobs: Tensor, clip: float | None) -> Tensor:
    """The same, divided by their mean: (N,)."""
    weights = torch.exp(logprobs.detach() - behaviour_logprobs.detach())
    weights = weights if clip is None else weights.clamp(max=clip)
    return weights / weights.mean()


importance_weights.harder(
    "normalized_weights",
    _normalized_weights,
    (
        "What is the sum of weights whose mean is 1?",
        "First the weights, then the clip, and last the division.",
        "`weights / weights.mean()`, where `weights` is what `importance_weights` returns.",
    ),
    r"""
    they add up to 1
        Then a row counts less, the more of them there are. Divide by the mean, not by the sum.
        - weights.mean()
        + weights.sum()

    they are divided before they are clipped
        What is divided after the clip may be above it, and that is meant: else their mean is
        not 1.
        - weights = weights if clip is None else weights.clamp(max=clip)
        -     return weights / weights.mean()
        + weights = weights / weights.mean()
        +     return weights if clip is None else weights.clamp(max=clip)

    they are divided by the largest
        Then the largest is 1. Their mean should be.
        - weights.mean()
        + weights.max()

    they are divided by the median
        Half of them would then be above 1, whatever their mean is.
        - weights.mean()
        + weights.median()

    they are not divided
        Divide them by their mean, so that they are 1 on average.
        - return weights / weights.mean()
        + return weights

    the weight is upside down
        π / μ: `logprobs - behaviour_logprobs`.
        - logprobs.detach() - behaviour_logprobs.detach()
        + behaviour_logprobs.detach() - logprobs.detach()
    """,
    also="Without a clip, `torch.softmax(log_ratios, 0) * len(log_ratios)` is the same, and no "
    "exponential is too large for it.",
)


# ---------------------------------------------------------------------- effective_sample_size


def _effective_sample_size(weights: Tensor) -> Tensor:
    """(Σ w)² / Σ w², or 0 if all weights are 0: a scalar from (N,)."""
    if not weights.any():
        return weights.sum()
    return weights.sum() ** 2 / (weights**2).sum()


effective_sample_size = Exercise(
    "effective_sample_size",
    chapter="09",
    reference=_effective_sample_size,
    target="rlx.functional.effective_sample_size",
    train=_offpac,
    also="`weights / weights.max()` first, and no square is too large or too small for float32. "
    "The library does it, because weights without a clip may be of any size.",
    hints=(
        "A hundred equal weights are worth a hundred rows, and a single one that is not 0 is worth "
        "one row. Which quotient of the sum and of the sum of squares has both?",
        "The square of the sum over the sum of the squares. If all weights are 0, that is 0 / 0: "
        "no row counts.",
        "`weights.sum() ** 2 / (weights**2).sum()`; before that, `if not weights.any()`, return 0.",
    ),
)


effective_sample_size.case("weights of 2, 1 and 1", lambda: (torch.tensor([2.0, 1.0, 1.0]),))
effective_sample_size.case(
    "one row that has all the weight", lambda: (torch.tensor([0.0, 0.0, 3.0, 0.0]),)
)
effective_sample_size.case("five equal weights of 0.2", lambda: (torch.full((5,), 0.2),))
effective_sample_size.case("weights that are all 0", lambda: (torch.zeros(3),))


@effective_sample_size.inputs
def _(draw):
    weights = draw.floats(draw.size(1, 500), kinds="whole tenths equal").abs()
    return (
        draw.one_of(1.0, 0.1, 10.0, 1e-5) * weights.to(draw.one_of(torch.float32, torch.float64)),
    )


effective_sample_size.patches(r"""
it is a share of the rows
    Divided by N it would be the share. The number of rows is asked for: for N equal weights N.
    - weights.sum() ** 2 / (weights**2).sum()
    + weights.mean() ** 2 / (weights**2).mean()

it is upside down
    Equal weights give the most, N: the squares stand in the denominator.
    - weights.sum() ** 2 / (weights**2).sum()
    + (weights**2).sum() / weights.sum() ** 2

the sum is not squared
    Then it depends on the unit: weights twice as large must be worth as many rows.
    - weights.sum() ** 2
    + weights.sum()

the squares are summed, and not the sum squared
    Both are the same number then, and their quotient is 1.
    - weights.sum() ** 2
    + (weights**2).sum()

the weights in the denominator are not squared
    Then it is the sum of the weights, whatever they are like.
    - (weights**2).sum()
    + weights.sum()

it is the number of rows that have a weight
    A row with a hundredth of another's weight is not worth as much as that one.
    - weights.sum() ** 2 / (weights**2).sum()
    + (weights > 0).to(weights).sum()

it is the sum over the largest weight
    That too is N for equal weights and 1 for a single one; but it does not ask how the others
    are distributed. What noise averages out to is a matter of squares.
    - weights.sum() ** 2 / (weights**2).sum()
    + weights.sum() / weights.max()

it is the exponential of the entropy
    The perplexity is N for equal weights and 1 for a single one as well, and lies above this
    number between them. The variance of an average is a matter of squares.
    - weights.sum() ** 2 / (weights**2).sum()
    + torch.exp(-torch.special.xlogy(weights, weights / weights.sum()).sum() / weights.sum())

weights of 0 give NaN
    0 / 0. If all weights are 0, no row counts: 0.
    - if not weights.any():
    + if False:

a weight of 0 makes everything 0
    Only if *all* are 0 is there nothing left: `any`, not `all`.
    - if not weights.any():
    -         return weights.sum()
    + if not weights.all():
    +         return 0 * weights.sum()

if all weights are 0 it is N
    Equal they are. But a row without weight is worth nothing, and so are N of them.
    - return weights.sum()
    -     return weights
    + return torch.ones_like(weights).sum()
    +     return weights
""")


# ---------------------------------------------------------------------- weighted_loss


def _weighted_loss(logprobs: Tensor, weights: Tensor, returns: Tensor, baseline: Tensor) -> Tensor:
    """-mean(w (G - b) log π): a scalar from four (N,); a gradient reaches only `logprobs`."""
    better = returns.detach() - baseline.detach()
    return -(weights.detach() * better * logprobs).mean()


def _split(answer):
    """The library has subtracted the baseline already: give it one, and add it before."""

    def loss(logprobs, weights, advantages):
        baseline = torch.full_like(advantages, 0.5)
        return answer(logprobs, weights, advantages + baseline, baseline)

    return loss


weighted_loss = Exercise(
    "weighted_loss",
    chapter="09",
    reference=_weighted_loss,
    target="rlx.functional.weighted_loss",
    adapt=_split,
    train=_offpac,
    also="The library's takes `advantages`, from which the baseline has been subtracted already: "
    "then it cannot end up outside.",
    hints=(
        "It is chapter 06's loss, of rows that do not all count the same.",
        "First how much better than the baseline a row was, then times its weight, then times its "
        "log-probability. Minus the mean. Only `logprobs` has a gradient.",
        "`-(weights.detach() * (returns.detach() - baseline.detach()) * logprobs).mean()`",
    ),
)


@weighted_loss.case("three actions, of which π would take the first three times as often")
def _():
    logprobs = torch.tensor([0.6, 0.3, 0.1]).log().requires_grad_()
    weights, returns = torch.tensor([3.0, 1.0, 0.2]), torch.tensor([1.0, 2.0, 4.0])
    return logprobs, weights, returns, torch.tensor([2.0, 2.0, 2.0])


@weighted_loss.case("weights of 1, as in chapter 06's loss")
def _():
    logprobs = torch.tensor([-1.0, -2.0]).requires_grad_()
    return logprobs, torch.ones(2), torch.tensor([3.0, -1.0]), torch.tensor([1.0, 0.5])


@weighted_loss.case("four columns that all ask for a gradient")
def _():
    columns = [-0.5, -1.0, -3.0], [0.5, 2.0, 1.0], [1.0, -2.0, 0.5], [0.5, 1.0, -1.0]
    return tuple(torch.tensor(column, requires_grad=True) for column in columns)


@weighted_loss.inputs
def _(draw):
    n, dtype = draw.size(1, 500), draw.one_of(torch.float32, torch.float64)
    logprobs = -draw.floats(n, kinds="whole tenths").abs().to(dtype)
    weights = draw.floats(n, kinds="tenths whole equal").abs().to(dtype)
    returns, baseline = (draw.floats(n, kinds="whole tenths wide").to(dtype) for _ in range(2))
    others = (x.requires_grad_(draw.flag()) for x in (weights, returns, baseline))
    return logprobs.requires_grad_(), *others


weighted_loss.patches(r"""
the baseline is outside the weight
    A baseline costs nothing only because the slope of log π is 0 on average *over π*. Rows
    of μ give that average only with their weights. So subtract first, and weigh the difference:
    w (G - b), not w G - b.
    - better = returns.detach() - baseline.detach()
    + better = returns.detach()
    - weights.detach() * better * logprobs
    + (weights.detach() * better - baseline.detach()) * logprobs

only the baseline is weighted
    G - w b weighs the wrong half. The whole difference has the weight.
    - better = returns.detach() - baseline.detach()
    + better = returns.detach() - weights.detach() * baseline.detach()
    - weights.detach() * better * logprobs
    + better * logprobs

the mean is subtracted after the weights
    Advantages that are normalised after they were weighted have a baseline outside the weight:
    their own mean. With it the gradient is another one.
    - weights.detach() * better * logprobs
    + (weights.detach() * better - (weights.detach() * better).mean()) * logprobs

the baseline is not subtracted
    Its average effect is 0, and its effect on the noise is not. Chapter 06 shows how much.
    - returns.detach() - baseline.detach()
    + returns.detach()

the weights are not used
    That is the loss for rows that π played itself. Each row counts as much as its weight says.
    - weights.detach() * better
    + better

a gradient flows through the weights
    The value is right. But a weight says how much a row counts, and the loss must not change it:
    `weights.detach()`.
    - weights.detach()
    + weights

a gradient flows through the baseline
    The value is right. But a baseline has a loss of its own; this one would push it up or down
    without end: `baseline.detach()`.
    - baseline.detach()
    + baseline

it is divided by the sum of the weights
    That is the weighted average, whose steps do not shrink when all weights are small. This loss
    divides by N.
    - ).mean()
    + ).sum() / weights.detach().sum()

the sign is wrong
    The optimizer makes this number smaller. Put a minus in front, if the difference is `returns -
    baseline`: better than the baseline is positive.
    - return -(
    + return (

probabilities stand where their logarithms should
    The slope of π is π times that of log π: frequent actions would count twice.
    - * logprobs
    + * logprobs.exp()

the weights are averaged first
    A weight belongs to its row: one number for all rows only changes the size of the step.
    - weights.detach() * better
    + weights.detach().mean() * better
""")


# ---------------------------------------------------------------------- vtrace


def _vtrace(
    rewards: Tensor,
    values: Tensor,
    weights: Tensor,
    end: Tensor,
    terminated: Tensor,
    gamma: float,
    clip_rho: float,
    clip_c: float,
) -> tuple[Tensor, Tensor]:
    """V-trace's targets and advantages, the latter without a weight: two (N,), no gradient."""
    v = torch.where(terminated, 0.0, values.detach())
    rho, c = weights.clamp(max=clip_rho), weights.clamp(max=clip_c)
    targets, advantages = v.clone(), torch.zeros_like(v)
    for t in reversed(range(len(v) - 1)):
        if end[t]:
            continue
        delta = rewards[t] + gamma * v[t + 1] - v[t]
        targets[t] = v[t] + rho[t] * delta + gamma * c[t] * (targets[t + 1] - v[t + 1])
        advantages[t] = rewards[t] + gamma * targets[t + 1] - v[t]
    return targets, advantages


def _into_vtrace(answer):
    """An answer, as the library's, for λ = 1."""

    def vtrace(
        rewards, values, log_ratios, end, terminated, gamma, gae_lambda=1.0,
        clip_rho=1.0, clip_c=1.0, clip_pg_rho=1.0,
    ):  # fmt: skip
        weights = log_ratios.exp()
        targets, advantages = answer(
            rewards, values, weights, end, terminated, gamma, clip_rho, clip_c
        )
        first = 1.0 if clip_pg_rho is None else weights.clamp(max=clip_pg_rho)
        return targets, first * advantages

    return vtrace


vtrace = Exercise(
    "vtrace",
    chapter="09",
    reference=_vtrace,
    target="rlx.functional.vtrace",
    adapt=_into_vtrace,
    results=("targets", "advantages"),
    train=_offpac,
    also="With all weights 1 the targets are chapter 07's returns, bootstrapped at the end: the "
    "test that a V-trace should come with. It does not see weights that are upside down.",
    hints=(
        "Walk backwards. What does row t need from row t + 1: V there, and what else?",
        "v - V of the next row, times γ and times this row's weight, clipped at c̄, is how far what "
        "came later went beyond V. To it comes this row's TD error, times its weight, clipped at "
        "ρ̄. The advantage looks ahead to v, not to V, and has no weight. End rows: v is V, or 0 "
        "where `terminated`; the advantage is 0.",
        "`targets[t] = v[t] + rho[t] * delta + gamma * c[t] * (targets[t + 1] - v[t + 1])` and "
        "`advantages[t] = rewards[t] + gamma * targets[t + 1] - v[t]`",
    ),
)


def _table(*episodes: tuple[list[float], list[float], list[float], str]) -> tuple[Tensor, ...]:
    """Columns. An episode: its rewards, one value more, its steps' weights, and how it ended."""
    columns = [[], [], [], [], []]
    for rewards, values, weights, how in episodes:
        last = [False] * len(rewards) + [True]
        over = [how == "terminated" and one for one in last]
        for column, new in zip(columns, ([*rewards, 0.0], values, [*weights, 1.0], last, over)):
            column += new
    return tuple(map(torch.tensor, columns))


vtrace.case(
    "two steps, then terminated; weights 2 and 0.5; gamma 0.5, both clips 1",
    lambda: (*_table(([1.0, 2.0], [4.0, 8.0, 16.0], [2.0, 0.5], "terminated")), 0.5, 1.0, 1.0),
)
vtrace.case(
    "two steps, then cut; weights 3 and 3; gamma 0.5, ρ̄ = 2, c̄ = 1",
    lambda: (*_table(([1.0, 2.0], [4.0, 8.0, 16.0], [3.0, 3.0], "cut")), 0.5, 2.0, 1.0),
)


@vtrace.case("an episode that was cut before one that terminated; gamma 0.9, ρ̄ = 1.5, c̄ = 0.5")
def _():
    first = [1.0, -2.0, 3.0], [3.0, 5.0, 7.0, 2.0], [0.2, 4.0, 1.2], "cut"
    second = [2.0, 6.0], [1.0, 9.0, 4.0], [1.6, 0.4], "terminated"
    return *_table(first, second), 0.9, 1.5, 0.5


@vtrace.case("values that are to be learned; all weights 1, gamma 0.5, both clips 1")
def _():
    rewards, values, *rest = _table(([1.0, 2.0, 0.0], [4.0, 8.0, 2.0, 6.0], [1.0] * 3, "cut"))
    return rewards, values.requires_grad_(), *rest, 0.5, 1.0, 1.0


@vtrace.inputs
def _(draw):
    end = draw.ends(draw.lengths(1, 40))
    n, dtype = len(end), draw.one_of(torch.float32, torch.float64)
    terminated = end & torch.tensor([draw.flag() if last else False for last in end])
    rewards, values = (draw.floats(n, kinds="whole tenths").to(dtype) for _ in range(2))
    weights = draw.floats(n, kinds="tenths whole").abs().to(dtype) / 2
    weights = torch.where(end, 1.0, weights)
    clips = draw.one_of((1.0, 1.0), (2.0, 1.0), (1.0, 0.5), (0.1, 1.5))
    return (
        rewards * ~end, values.requires_grad_(draw.flag()), weights, end, terminated, draw.gamma(),
        *clips,
    )  # fmt: skip


vtrace.patches(r"""
the TD errors' weights are not clipped
    ρ̄ bounds them. Without it one row whose action μ hardly ever took can shift V by any amount.
    - rho, c = weights.clamp(max=clip_rho)
    + rho, c = weights

the traces are not clipped
    c̄ bounds them. Their product, over many steps, is what explodes.
    - weights.clamp(max=clip_c)
    + weights

the two clips are exchanged
    ρ̄ clips the weight of the row's own TD error, c̄ that of what came later. ρ̄ decides what is
    learned, c̄ how fast; exchanged, both are decided by the wrong one.
    - weights.clamp(max=clip_rho), weights.clamp(max=clip_c)
    + weights.clamp(max=clip_c), weights.clamp(max=clip_rho)

the product of the traces has one factor too many
    A row's own TD error is weighted by ρ alone. Yours has its c in front as well: seen
    from row s, δ_t has the factors c_s … c_t ρ_t, where c_s … c_(t-1) ρ_t is right.
    - rho[t] * delta + gamma * c[t] * (targets[t + 1] - v[t + 1])
    + c[t] * (rho[t] * delta + gamma * (targets[t + 1] - v[t + 1]))

the product of the traces begins one row late
    What came after row t counts as far as π would have taken the action *in row t*: c of this
    row, not of the next.
    - gamma * c[t] * (
    + gamma * c[t + 1] * (

the advantages look ahead to V
    That is the TD error, which sees one step. The next row's *target* knows what came later:
    `rewards[t] + gamma * targets[t + 1] - v[t]`.
    - advantages[t] = rewards[t] + gamma * targets[t + 1] - v[t]
    + advantages[t] = delta

the advantages are v - V
    These have the weights in them, and the trace of the row's own action. What the action was
    worth is `rewards[t] + gamma * targets[t + 1] - v[t]`.
    - advantages[t] = rewards[t] + gamma * targets[t + 1] - v[t]
    + advantages[t] = targets[t] - v[t]

the advantages have a weight already
    In the paper they do. Here it is the loss that weighs the rows, and it would do so twice.
    - advantages[t] = rewards[t] + gamma * targets[t + 1] - v[t]
    + advantages[t] = rho[t] * (rewards[t] + gamma * targets[t + 1] - v[t])

the advantages are what the action was worth, without V
    An advantage is how much better than V: subtract V of the row.
    - advantages[t] = rewards[t] + gamma * targets[t + 1] - v[t]
    + advantages[t] = rewards[t] + gamma * targets[t + 1]

v is subtracted, and not V
    How much better than expected an action was is seen from V, what was expected before; v, the
    target, knows it already.
    - targets[t + 1] - v[t]
    + targets[t + 1] - targets[t]

an episode's last step is left out
    Its next row is the end row, which has a value, or 0 where terminated: so its TD error is
    known. (RLlib had an option that left it out, until ray#36013.)
    - if end[t]:
    + if end[t] or end[t + 1]:

a state after which nothing comes still has a value
    Where the environment terminated V counts as 0, whatever the network says.
    - torch.where(terminated, 0.0, values.detach())
    + values.detach().clone()

an episode that was cut is taken for one that terminated
    A time limit stops our looking, not the world: the end row's own V stands for what was never
    seen. Only `terminated` makes it 0.
    - torch.where(terminated, 0.0, values.detach())
    + torch.where(end, 0.0, values.detach())

it runs through the end rows
    Nothing crosses an end row: the row below it belongs to another episode.
    - if end[t]:
    + if False:

the TD errors are not weighted
    An action that π would hardly take says hardly anything about π's values: ρ in front of δ.
    - rho[t] * delta
    + delta

what came later is not weighted
    It came after this row's action. Where π would hardly have taken that one, it hardly counts:
    c in front.
    - gamma * c[t] * (
    + gamma * (

nothing that came later is used
    That is the one-step target. Add what the next row's target went beyond its V, times γ c.
    - + gamma * c[t] * (targets[t + 1] - v[t + 1])
    +

the correction is seen from the wrong row
    What came later is v - V of the *next* row, not the next row's v less this row's V.
    - targets[t + 1] - v[t + 1])
    + targets[t + 1] - v[t])

nothing is discounted
    `gamma` is not used.
    - gamma * v[t + 1]
    + v[t + 1]
    - gamma * c[t]
    + c[t]
    - gamma * targets
    + targets

the correction is not discounted
    It begins one step ahead: γ in front of it, too.
    - gamma * c[t]
    + c[t]

V is missing in the targets
    What is returned as a target is v - V. V has to be added.
    - targets[t] = v[t] + rho
    + targets[t] = rho

the targets of end rows are 0
    An end row has a value, or 0 where terminated: rows before it look there.
    - return targets, advantages
    + return torch.where(end, 0.0, targets), advantages

a gradient flows through the values
    The numbers are right. Targets and advantages are constants to both losses: detach.
    - values.detach()
    + values
""")


# ---------------------------------------------------------------------- per_decision_return


def _per_decision_return(
    logprobs: Tensor, behaviour_logprobs: Tensor, rewards: Tensor, end: Tensor, gamma: float
) -> Tensor:
    """What π would earn, from episodes of μ; each reward weighted by all up to it: a scalar."""
    ratios = torch.exp(logprobs - behaviour_logprobs)
    total, weight, discount = 0 * rewards[0], 1.0, 1.0
    for t in range(len(rewards)):
        weight = weight * ratios[t]
        total = total + discount * weight * rewards[t]
        discount = gamma * discount
        if end[t]:
            weight, discount = 1.0, 1.0
    return total / end.sum()


per_decision_return = Exercise(
    "per_decision_return",
    chapter="09",
    reference=_per_decision_return,
    also="Backwards it is one line a row: from `G = ratio * (reward + gamma * G)`, beginning at 0 "
    "in every end row, the mean of the first rows is the same number.",
    hints=(
        "A reward depends on all actions before it, and on none after it. Which weights does it "
        "need?",
        "Walk forward through an episode and carry the product of the ratios up to this row, this "
        "row's own included. The reward counts that product, times γ to the power of the steps "
        "before it. At an end row, begin again.",
        "`weight = weight * ratios[t]`, `total = total + discount * weight * rewards[t]`, "
        "`discount = gamma * discount`; after an end row both are 1 again; at last `total / "
        "end.sum()`.",
    ),
)


def _episodes(*episodes: list[tuple[float, float]]) -> tuple[Tensor, ...]:
    """An episode: the ratio and the reward of each step. Its end row has a ratio of 1."""
    columns = [[], [], []]
    for steps in episodes:
        rows = [*((ratio, reward, False) for ratio, reward in steps), (1.0, 0.0, True)]
        for column, new in zip(columns, zip(*rows)):
            column += new
    ratios, rewards, end = map(torch.tensor, columns)
    behaviour = torch.where(end, 0.0, torch.tensor(0.25).log())
    return behaviour + ratios.log(), behaviour, rewards, end


per_decision_return.case(
    "one episode with ratios 2, 0.5, 3 and rewards 1, 10, 100; gamma 1",
    lambda: (*_episodes([(2.0, 1.0), (0.5, 10.0), (3.0, 100.0)]), 1.0),
)
per_decision_return.case(
    "two episodes, gamma 0.5",
    lambda: (*_episodes([(2.0, 1.0), (0.5, 4.0), (3.0, 8.0)], [(0.2, 5.0), (1.5, 2.0)]), 0.5),
)
per_decision_return.case("a single step", lambda: (*_episodes([(1.8, 1.0)]), 0.9))


@per_decision_return.inputs
def _(draw):
    end = draw.ends(draw.lengths(1, 12))
    n, dtype = len(end), draw.one_of(torch.float32, torch.float64)
    behaviour = -draw.floats(n, kinds="whole tenths").abs().to(dtype) * ~end
    moved = draw.one_of(0.2, 0.1) * draw.floats(n, kinds="tenths whole").to(dtype) * ~end
    rewards = draw.floats(n, kinds="whole tenths").to(dtype) * ~end
    return behaviour + moved, behaviour, rewards, end, draw.gamma()


per_decision_return.patches(r"""
each reward has the weight of its own row only
    Whether a reward is reached depends on all the actions before it. The product of their
    ratios is its weight.
    - weight = weight * ratios[t]
    + weight = ratios[t]

the row's own action has no weight
    The reward of a row follows its action: that ratio belongs into the product.
    - weight = weight * ratios[t]
    -         total = total + discount * weight * rewards[t]
    + total = total + discount * weight * rewards[t]
    +         weight = weight * ratios[t]

nothing is weighted
    That is what μ earns.
    - weight = weight * ratios[t]
    + weight = weight

the ratios are upside down
    π / μ: `logprobs - behaviour_logprobs`.
    - logprobs - behaviour_logprobs
    + behaviour_logprobs - logprobs

the weight runs on into the next episode
    At an end row it begins again at 1: what was done in one episode has no effect on the next.
    - weight, discount = 1.0, 1.0
    + discount = 1.0

the discount runs on into the next episode
    At an end row it begins again at 1: rewards are discounted from the start of their episode.
    - weight, discount = 1.0, 1.0
    + weight = 1.0

nothing is discounted
    `gamma` is not used. A reward k steps after the start counts γ to the power k.
    - gamma * discount
    + discount

the first reward is discounted already
    It comes at once: γ to the power 0.
    - discount * weight * rewards[t]
    + gamma * discount * weight * rewards[t]

it is a sum over the episodes
    What π earns in one: divide by how many there are.
    - total / end.sum()
    + total

it is an average over rows
    What π earns in one episode is asked for: divide by the number of episodes, not of rows.
    - total / end.sum()
    + total / len(end)

the difference of the logarithms is taken for the ratio
    It is 0, and not 1, where the policies agree: `exp` of it.
    - torch.exp(logprobs - behaviour_logprobs)
    + (logprobs - behaviour_logprobs)

only the first episode counts
    What π earns is the mean over all episodes: go on after the first end row.
    - weight, discount = 1.0, 1.0
    -     return total / end.sum()
    + return total
    +     return total
""")


@per_decision_return.mistake(
    "every reward has the weight of the whole episode",
    "That has the right mean, and more noise: the ratios of actions that came *after* a "
    "reward have the mean 1, and nothing to do with it.",
)
def _whole_episodes(logprobs, behaviour_logprobs, rewards, end, gamma):
    total, first = 0 * rewards[0], 0
    for last in end.nonzero().flatten().tolist():
        rows = slice(first, last + 1)
        weight = torch.exp((logprobs - behaviour_logprobs)[rows].sum())
        discounts = gamma ** torch.arange(last + 1 - first).to(rewards)
        total = total + weight * (discounts * rewards[rows]).sum()
        first = last + 1
    return total / end.sum()


@per_decision_return.mistake(
    "it is divided by the sum of the weights",
    "That is the weighted average over whole episodes: less noise, and a bias. Here the sum is "
    "divided by the number of episodes.",
)
def _weighted(logprobs, behaviour_logprobs, rewards, end, gamma):
    total, weights, first = 0 * rewards[0], 0 * rewards[0], 0
    for last in end.nonzero().flatten().tolist():
        rows = slice(first, last + 1)
        weight = torch.exp((logprobs - behaviour_logprobs)[rows].sum())
        discounts = gamma ** torch.arange(last + 1 - first).to(rewards)
        total = total + weight * (discounts * rewards[rows]).sum()
        weights, first = weights + weight, last + 1
    return total / weights
