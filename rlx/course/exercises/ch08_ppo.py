"""Chapter 08: what PPO is made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor

from rlx.course.exercise import Exercise, Wrong
from rlx.rollout import Rollout


def _ppo(network: str = "MLPPolicy", updates: int = 3, **options) -> Tensor:
    """The parameters after a few updates of PPO, and the share and the distance it reported."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 4), seed=0)
    policy = getattr(rlx.networks, network)(agent, hidden=(8,))
    options = {"n_steps": 12, "epochs": 4, "minibatches": 3, "lr": 0.03, **options}
    algorithm = rlx.algos.PPO(agent, policy, **options)
    metrics = [algorithm.update() for _ in range(updates)]
    reported = [[one["approx_kl"], one["clipfrac"]] for one in metrics]
    parameters = torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
    return torch.cat([parameters, torch.tensor(reported).flatten()])


# ---------------------------------------------------------------------- clip_fraction


def _clip_fraction(logprobs: Tensor, old_logprobs: Tensor, clip: float) -> Tensor:
    """The share of rows whose ratio lies outside [1 - clip, 1 + clip]: a scalar from two (N,)."""
    ratio = torch.exp(logprobs - old_logprobs)
    return ((ratio - 1).abs() > clip).to(ratio.dtype).mean()


clip_fraction = Exercise(
    "clip_fraction",
    chapter="08",
    reference=_clip_fraction,
    target="rlx.functional.clip_fraction",
    train=_ppo,
    also="Without `exp`: the logarithm of the ratio compared with log(1 - ε) and log(1 + ε), "
    "`math.log1p(-clip)` and `math.log1p(clip)`.",
    hints=(
        "Outside means: further than `clip` from 1, on either side.",
        "The ratio is the exponential of the difference of the logarithms. A comparison gives a "
        "bool for each row, and the mean of bools, as numbers, is a share.",
        "`ratio = torch.exp(logprobs - old_logprobs)`, then `((ratio - 1).abs() > clip)`, "
        "`.to(ratio.dtype)` and `.mean()`.",
    ),
)


@clip_fraction.case("five rows, of which one is below and two are above")
def _():
    old = torch.tensor([-1.0, -2.0, -0.5, -3.0, -1.5])
    return old + torch.tensor([0.5, 1.0, 1.1, 1.5, 3.0]).log(), old, 0.2


@clip_fraction.case("rows that have not moved")
def _():
    old = torch.tensor([-1.0, -2.0])
    return old.clone(), old, 0.2


@clip_fraction.case("ratios of 0.81, 0.815, 0.83 and 1.21, of which only the last is outside")
def _():
    old = torch.tensor([-1.0, -2.0, -0.5, -3.0])
    return old + torch.tensor([0.81, 0.815, 0.83, 1.21]).log(), old, 0.2


@clip_fraction.inputs
def _(draw):
    n, dtype = draw.size(1, 500), draw.one_of(torch.float32, torch.float64)
    old = -draw.floats(n, kinds="whole tenths").abs().to(dtype)
    moved = draw.one_of(0.3, 0.1, 0.6) * draw.floats(n, kinds="tenths whole").to(dtype)
    return old + moved, old, draw.one_of(0.2, 0.1, 0.37)


clip_fraction.patches(r"""
only ratios above the interval count
    A row is outside below `1 - clip`, too: take the absolute value of `ratio - 1`.
    - (ratio - 1).abs()
    + (ratio - 1)

only ratios below the interval count
    A row is outside above `1 + clip`, too.
    - (ratio - 1).abs()
    + (1 - ratio)

it counts the rows that are inside
    The share that is asked for is 0 where nothing has moved.
    - > clip
    + <= clip

the logarithm of the ratio is compared with the clip
    Near 1 that is nearly the same, and further away it is not: log 0.81 = -0.21.
    - (ratio - 1).abs()
    + (logprobs - old_logprobs).abs()

the ratio itself is compared with the clip
    It is the distance from 1 that counts.
    - (ratio - 1).abs()
    + ratio

the ratio is upside down
    New divided by old: `logprobs - old_logprobs`.
    - logprobs - old_logprobs)
    + old_logprobs - logprobs)

it is the mean distance from 1
    Compare each row with `clip` first.
    - ((ratio - 1).abs() > clip).to(ratio.dtype)
    + (ratio - 1).abs()

the mean ratio is compared with the clip
    Ratios above and below 1 cancel in the mean. Compare row by row.
    - (ratio - 1).abs()
    + (ratio.mean() - 1).abs()
""")


# ---------------------------------------------------------------------- ppo_clip_loss


def _ppo_clip_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, low: float, high: float
) -> Tensor:
    """PPO's clipped loss with an interval from 1 - low to 1 + high: a scalar from three (N,)."""
    advantages = advantages.detach()
    ratio = torch.exp(logprobs - old_logprobs.detach())
    clipped = ratio.clamp(1 - low, 1 + high)
    return -torch.minimum(ratio * advantages, clipped * advantages).mean()


ppo_clip_loss = Exercise(
    "ppo_clip_loss",
    chapter="08",
    reference=_ppo_clip_loss,
    target="rlx.functional.ppo_clip_loss",
    adapt=lambda answer: (
        lambda logprobs, old_logprobs, advantages, clip: answer(
            logprobs, old_logprobs, advantages, clip, clip
        )
    ),
    train=_ppo,
    also="`torch.where(advantages > 0, ratio.clamp(max=1 + high), ratio.clamp(min=1 - low)) * "
    "advantages` is the smaller product at once: it shows which bound a row has.",
    hints=(
        "Two products for each row: the ratio times the advantage, and the ratio kept within its "
        "bounds times the advantage. Which of the two is to count?",
        "The ratio of two probabilities is the exponential of the difference of their logarithms, "
        "new less old. Of the two products the smaller one counts, row by row: so multiply first, "
        "compare afterwards. Old log-probabilities and advantages are constants.",
        "`ratio = torch.exp(logprobs - old_logprobs.detach())`, `clipped = ratio.clamp(1 - low, "
        "1 + high)`, and minus the mean of `torch.minimum(ratio * advantages, clipped * "
        "advantages)`.",
    ),
)


@ppo_clip_loss.case("a good and a bad action, each with a ratio inside, below and above")
def _():
    ratios = torch.tensor([1.1, 0.5, 2.0, 0.9, 0.4, 4.0])
    old = torch.tensor([-1.0, -1.5, -2.0, -0.5, -1.0, -2.5])
    advantages = torch.tensor([1.0, 2.0, 3.0, -1.0, -2.0, -3.0])
    return (old + ratios.log()).requires_grad_(), old, advantages, 0.2, 0.3


@ppo_clip_loss.case("a first minibatch, in which nothing has moved")
def _():
    logprobs = torch.tensor([-0.7, -0.1, -2.3])
    return logprobs.clone().requires_grad_(), logprobs, torch.tensor([2.0, -1.0, 0.5]), 0.2, 0.2


@ppo_clip_loss.case("three columns that all ask for a gradient")
def _():
    logprobs = torch.tensor([-0.1, -3.0, -1.5], requires_grad=True)
    old = torch.tensor([-0.3, -2.0, -1.6], requires_grad=True)
    return logprobs, old, torch.tensor([2.0, 1.0, -1.0], requires_grad=True), 0.1, 0.4


@ppo_clip_loss.inputs
def _(draw):
    n, dtype = draw.size(1, 500), draw.one_of(torch.float32, torch.float64)
    old = -draw.floats(n, kinds="whole tenths").abs().to(dtype)
    moved = draw.one_of(0.3, 0.1, 0.6) * draw.floats(n, kinds="tenths whole").to(dtype)
    advantages = draw.floats(n, kinds="whole tenths wide").to(dtype)
    low, high = draw.one_of(0.2, 0.1, 0.35), draw.one_of(0.2, 0.28, 0.5, 2.5)
    return (
        (old + moved).requires_grad_(),
        old.requires_grad_(draw.flag()),
        advantages.requires_grad_(draw.flag()),
        low,
        high,
    )


ppo_clip_loss.patches(r"""
it clips, and takes no minimum
    Outside the interval yours is flat on both sides, also where the policy has moved the
    wrong way: a good action that became less probable could never be won back. The minimum
    with the product that is not clipped gives these rows their slope back.
    - torch.minimum(ratio * advantages, clipped * advantages)
    + (clipped * advantages)

the minimum is taken of the ratios, before the advantage multiplies
    For good actions that is the same. For a bad one the smaller ratio gives the *larger*
    product: what has become rare enough is still pushed down, without end, and what has
    become too frequent is left as it is. Multiply first.
    - torch.minimum(ratio * advantages, clipped * advantages)
    + (torch.minimum(ratio, clipped) * advantages)

the larger of the two products is taken
    The objective is the smaller one, a lower bound. (Those who multiply by -1 first take
    the maximum, of the two losses.) Yours stops the rows that went wrong and lets the
    others run.
    - torch.minimum
    + torch.maximum

the ratio is upside down
    It is the new probability divided by the old: `logprobs - old_logprobs`. Turned round, a
    good action makes itself less probable.
    - logprobs - old_logprobs.detach()
    + old_logprobs.detach() - logprobs

the difference of the logarithms is taken for the ratio
    The ratio is `exp` of it: 1, not 0, where nothing has moved.
    - torch.exp(logprobs - old_logprobs.detach())
    + logprobs - old_logprobs.detach()

nothing is clipped
    This is the ratio times the advantage, and every row pulls for ever.
    - torch.minimum(ratio * advantages, clipped * advantages)
    + (ratio * advantages)

a gradient flows into the old log-probabilities
    The value is right. But they belong to the policy that sampled, which is a constant by
    now: `old_logprobs.detach()`.
    - old_logprobs.detach()
    + old_logprobs

a gradient flows through the advantages
    The value is right. But advantages are measurements, and the loss would change the
    network that they come from: `advantages.detach()`.
    - advantages.detach()
    + advantages

the old log-probabilities are not used
    Your ratio is 1 whatever the policy has become. That is right in the first minibatch
    only; from then on nothing is clipped.
    - old_logprobs.detach()
    + logprobs.detach()

the sign is wrong
    The optimizer makes this number smaller, and the objective with it. Put a minus in
    front.
    - -torch.minimum
    + torch.minimum

the two bounds are exchanged
    `low` is how far below 1 the ratio may go, `high` how far above.
    - clamp(1 - low, 1 + high)
    + clamp(1 - high, 1 + low)

both bounds are made of `low`
    The upper one is `1 + high`.
    - 1 + high
    + 1 + low

both bounds are made of `high`
    The lower one is `1 - low`.
    - 1 - low
    + 1 - high

the interval lies around 0
    A ratio of 1 means that nothing has moved: from `1 - low` to `1 + high`.
    - clamp(1 - low, 1 + high)
    + clamp(-low, high)

only the upper bound is there
    Bad actions are stopped by the lower one: without it they are pushed down without end.
    - clamp(1 - low, 1 + high)
    + clamp(max=1 + high)

only the lower bound is there
    Good actions are stopped by the upper one.
    - clamp(1 - low, 1 + high)
    + clamp(min=1 - low)

the clipped ratio is not multiplied by the advantage
    Both sides of the minimum are products with the advantage.
    - clipped * advantages)
    + clipped)

only one side of the minimum has normalised advantages
    A minimum compares two numbers of one scale. With two scales the clip acts on the rows
    of one sign only. Normalise before the loss, or not at all.
    - clipped * advantages)
    + clipped * (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-8))
""")


def _dual_clip_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, low: float, high: float
) -> Tensor:
    """The same, in which no bad action costs more than three times its advantage: a scalar."""
    advantages = advantages.detach()
    ratio = torch.exp(logprobs - old_logprobs.detach())
    clipped = ratio.clamp(1 - low, 1 + high)
    gains = torch.minimum(ratio * advantages, clipped * advantages)
    bounded = torch.maximum(gains, 3 * advantages)
    return -torch.where(advantages < 0, bounded, gains).mean()


ppo_clip_loss.harder(
    "dual_clip_loss",
    _dual_clip_loss,
    (
        "What a bad action gains is negative, without end. What is the least it may be?",
        "Three times its advantage, which is negative: the larger of the two counts. Good actions "
        "stay as they are.",
        "`torch.where(advantages < 0, torch.maximum(gains, 3 * advantages), gains)`",
    ),
    r"""
    good actions are bounded, too
        Three times a positive advantage is more than any gain: yours has no slope left there.
        - torch.where(advantages < 0, bounded, gains).mean()
        + bounded.mean()

    the smaller of the two counts
        Both are negative for a bad action, and a bound from below is the larger one.
        - torch.maximum(gains, 3 * advantages)
        + torch.minimum(gains, 3 * advantages)

    the bound is 3, not three times the advantage
        A row that is ten times as bad may cost ten times as much.
        - 3 * advantages
        + -3 * torch.ones_like(advantages)

    only bad actions are learned from
        Good actions gain what they did before, not 0.
        - bounded, gains).mean()
        + bounded, 0.0).mean()

    nothing is bounded
        This is the loss of the exercise before: a bad action may cost any amount.
        - torch.maximum(gains, 3 * advantages)
        + gains
    """,
    also="`gains.clamp(min=…)` takes a tensor as a bound, too: `3 * advantages` where they are "
    "negative, minus infinity elsewhere.",
)


# ---------------------------------------------------------------------- approx_kl


def _approx_kl(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """mean(r - 1 - log r), r = π / π_old, of actions that π_old took: a scalar from two (N,)."""
    log_ratio = logprobs - old_logprobs
    return (torch.expm1(log_ratio) - log_ratio).mean()


approx_kl = Exercise(
    "approx_kl",
    chapter="08",
    reference=_approx_kl,
    target="rlx.functional.approx_kl",
    train=lambda: _ppo(target_kl=0.004),
    also="Between two policies that hardly differ, r - 1 loses its digits to rounding: "
    "`torch.expm1(x)` is `exp(x) - 1` without that loss.",
    hints=(
        "Start from the logarithm of the ratio, new less old. What is r, and what is log r?",
        "Row by row `r - 1 - log r`, which is 0 where nothing has moved and positive elsewhere; "
        "then the mean.",
        "`log_ratio = logprobs - old_logprobs`, and the mean of `log_ratio.exp() - 1 - log_ratio`.",
    ),
)


@approx_kl.case("ratios of 1, 2 and 0.25")
def _():
    old = torch.tensor([-1.0, -2.0, -0.5])
    return old + torch.tensor([1.0, 2.0, 0.25]).log(), old


@approx_kl.case("rows that have not moved")
def _():
    old = torch.tensor([-1.0, -2.0])
    return old.clone(), old


approx_kl.case(
    "a single row that became three times as probable",
    lambda: (torch.tensor([-0.5]) + torch.tensor([3.0]).log(), torch.tensor([-0.5])),
)


@approx_kl.inputs
def _(draw):
    n, dtype = draw.size(1, 500), draw.one_of(torch.float32, torch.float64)
    old = -draw.floats(n, kinds="whole tenths").abs().to(dtype)
    moved = draw.one_of(0.3, 0.1, 0.6) * draw.floats(n, kinds="tenths whole").to(dtype)
    return old + moved, old


approx_kl.patches(r"""
the sign is wrong
    A distance is not negative. Yours is log r - (r - 1).
    - torch.expm1(log_ratio) - log_ratio
    + log_ratio - torch.expm1(log_ratio)

it measures in the other direction
    Your ratio is old divided by new. The actions were taken by the old policy, so that the
    average estimates KL(π_old, π) only with new divided by old.
    - logprobs - old_logprobs
    + old_logprobs - logprobs

it is the mean of -log r alone
    That has the right mean, but it is negative in many a minibatch, and far noisier: r - 1,
    which is 0 on average, takes the noise out.
    - torch.expm1(log_ratio) - log_ratio
    + -log_ratio

it is the mean of log r
    That is minus the noisy estimate.
    - torch.expm1(log_ratio) - log_ratio
    + log_ratio

it is half the square of log r
    A good approximation near 1, known as k2, and too small or too large elsewhere: its mean
    is not the KL.
    - torch.expm1(log_ratio) - log_ratio
    + log_ratio.pow(2) / 2

the -1 is missing
    Where nothing has moved r is 1 and log r is 0, so yours is 1 there.
    - torch.expm1(log_ratio)
    + torch.exp(log_ratio)

log r is missing
    r - 1 alone has the mean 0, however far the policies are apart.
    - torch.expm1(log_ratio) - log_ratio
    + torch.expm1(log_ratio)

the average is taken first
    You average the logarithms and compute with the average: rows that moved up and rows
    that moved down cancel. Compute row by row.
    - log_ratio = logprobs - old_logprobs
    + log_ratio = (logprobs - old_logprobs).mean()

the rows are taken for a whole distribution
    `kl_div`, and any sum of p log(p / q), wants the probabilities of *all* actions in one
    state. These are the actions that were taken, one a state: being sampled weighs them
    already.
    - torch.expm1(log_ratio) - log_ratio).mean()
    + -torch.exp(old_logprobs) * log_ratio).sum()

each row is weighted by its probability, which sampling has done already
    Frequent actions are in the table more often: the plain mean is the weighted one.
    - torch.expm1(log_ratio) - log_ratio).mean()
    + -torch.exp(old_logprobs) * log_ratio).mean()
""")


def _reverse_kl(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """mean(r log r - (r - 1)), of actions that π_old took: KL(π, π_old), a scalar from two (N,)."""
    log_ratio = logprobs - old_logprobs
    return (torch.exp(log_ratio) * log_ratio - torch.expm1(log_ratio)).mean()


approx_kl.harder(
    "reverse_kl",
    _reverse_kl,
    (
        "KL(π, π_old) is the mean of log r over actions of π. Which weight makes a mean over "
        "actions of π_old of it?",
        "The weight is r. And again something with mean 0 takes the noise out: which sign makes "
        "no row negative?",
        "The mean of `ratio * log_ratio - (ratio - 1)`.",
    ),
    r"""
    the rows are not weighted by r
        The actions are those of the old policy: π would have taken each r times as often.
        - torch.exp(log_ratio) * log_ratio
        + log_ratio

    nothing takes the noise out
        The mean is right, and rows are negative wherever r is below 1: subtract r - 1.
        -  - torch.expm1(log_ratio)
        +

    r - 1 is added
        It has to be subtracted for every row to be positive.
        - log_ratio - torch.expm1(log_ratio)
        + log_ratio + torch.expm1(log_ratio)

    it is the distance of before
        That one is seen from the old policy, this one from the new: weigh log r by r.
        - torch.exp(log_ratio) * log_ratio - torch.expm1(log_ratio)
        + torch.expm1(log_ratio) - log_ratio
    """,
    also="`torch.special.xlogy(ratio, ratio)` is r log r, and 0 where r is 0.",
)


# ---------------------------------------------------------------------- minibatches


PASSES = 20  # over which an order that never changes is seen to be no accident


def _minibatches(lengths: Tensor, k: int) -> list[Tensor]:
    """Row numbers of k minibatches: whole fragments, in a new random order, each of them once."""
    count = len(lengths)
    rows = torch.arange(int(lengths.sum())).split(lengths.tolist())
    order = torch.randperm(count).tolist()
    cuts = [count * part // k for part in range(k + 1)]
    return [torch.cat([rows[f] for f in order[a:b]]) for a, b in pairwise(cuts)]


def _passed(answer, lengths: Tensor, k: int) -> dict:
    """What is to be seen in many passes, whichever random numbers they were made with."""
    n, count = int(lengths.sum()), len(lengths)
    fragment = torch.arange(count).repeat_interleave(lengths)
    first = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    passes, dealt, randoms, repeated = [], [], [], []
    seen = {
        "how many minibatches": k,
        "is every row in each pass": True,
        "is no row twice in a minibatch": True,
        "is no row twice in a pass": True,
        "are the fragments whole, and in their order": True,
        "do minibatches hold as many fragments each, or one more": True,
    }
    for _ in range(2):
        torch.manual_seed(1)
        repeated.append(answer(lengths.clone(), k))
    for _ in range(PASSES):
        found = answer(lengths.clone(), k)
        randoms.append(float(torch.rand(1)))
        if not isinstance(found, (list, tuple)):
            raise Wrong(
                f"the result is a {type(found).__name__}, not a list of minibatches",
                "A list of k tensors, each with the row numbers of one minibatch.",
            )
        if any(isinstance(batch, (list, tuple, np.ndarray)) for batch in found):
            raise Wrong(
                f"a minibatch is a {type(found[0]).__name__}, not a tensor",
                "`torch.tensor(…)` makes one of a list of whole numbers.",
            )
        found = [torch.as_tensor(batch) for batch in found]
        for batch in found:
            if batch.ndim != 1 or batch.is_floating_point() or batch.dtype == torch.bool:
                raise Wrong(
                    f"a minibatch is {batch.dtype} of shape {tuple(batch.shape)}",
                    "Each is a one-dimensional tensor of whole numbers, the numbers of its rows.",
                )
            if len(batch) and not 0 <= batch.min() <= batch.max() < n:
                raise Wrong(
                    "there is a row number that the table does not have",
                    f"Rows go from 0 to {n - 1}, yours from {batch.min()} to {batch.max()}.",
                )
        if len(found) != k:
            seen["how many minibatches"] = len(found)
        everything = torch.cat(found) if found else torch.zeros(0, dtype=torch.long)
        times = torch.bincount(everything, minlength=n)
        seen["is every row in each pass"] &= bool((times > 0).all())
        seen["is no row twice in a pass"] &= bool((times < 2).all())
        sizes = []
        for batch in found:
            seen["is no row twice in a minibatch"] &= len(batch.unique()) == len(batch)
            of = fragment[batch]
            heads = batch == first[of]  # each of which should begin a fragment that is all there
            whole = [torch.arange(first[f], first[f + 1]) for f in of[heads].tolist()]
            together = torch.equal(torch.cat(whole) if whole else batch[:0], batch)
            seen["are the fragments whole, and in their order"] &= together
            sizes.append(int(heads.sum()) if together else len(batch))
        even = max(sizes, default=0) - min(sizes, default=0) <= 1
        seen["do minibatches hold as many fragments each, or one more"] &= even
        passes.append([batch.tolist() for batch in found])
        dealt.append(sorted(sorted(batch) for batch in passes[-1]))
    alone, one = k == count, k == 1 or count == 1
    if count > 1:
        seen["is the order new in each pass"] = any(p != passes[0] for p in passes)
        seen["do minibatches come in another order than the rows"] = any(
            [*chain(*p)] != sorted(chain(*p)) for p in passes
        )
    if not (alone or one):
        seen["are minibatches dealt anew in each pass"] = any(d != dealt[0] for d in dealt)
        firsts = [sorted(p[0]) for p in passes if p]
        seen["is the first minibatch another one in each pass"] = any(
            f != firsts[0] for f in firsts
        )
    seen["are torch's random numbers left to go on"] = len(set(randoms)) > 1
    seen["does `torch.manual_seed` repeat the order"] = all(map(_equal, *repeated))
    return seen


def _equal(one, other) -> bool:
    return torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def _dealt(answer: Callable) -> Callable:
    """An answer, as PPO's way to split a rollout."""

    def split(self, rollout: Rollout) -> list[Rollout]:
        parts = rollout.vectorize() if rollout.recur_states is None else rollout.chunks(self.chunk)
        lengths = torch.tensor(parts.lengths)
        fragment = torch.arange(len(lengths)).repeat_interleave(lengths)
        batches = []
        for rows in answer(lengths, min(self.minibatches, len(lengths))):
            apart = (rows.diff() != 1) | (fragment[rows].diff() != 0)
            cuts = [0, *(apart.nonzero().flatten() + 1).tolist(), len(rows)]
            batches.append(parts.take(rows, [b - a for a, b in pairwise(cuts)]))
        return batches

    return split


minibatches = Exercise(
    "minibatches",
    chapter="08",
    reference=_minibatches,
    target="rlx.algos.PPO.split",
    adapt=_dealt,
    call=_passed,
    train=lambda: torch.cat([_ppo(), _ppo("GRUPolicy", chunk=5)]),
    also="Of rows that stand alone, `torch.randperm(n).tensor_split(k)` is the whole answer. "
    "`torch.utils.data.DataLoader` asks for the size of a batch instead of their number.",
    hints=(
        "What is shuffled: rows, or fragments? And what has to be true of a row after one pass?",
        "Shuffle the numbers of the fragments, once a call. Cut this order into k parts whose "
        "sizes differ by one at most: part i goes from `count * i // k` to `count * (i + 1) // k`. "
        "Then put each fragment's rows in its place.",
        "`rows = torch.arange(lengths.sum()).split(lengths.tolist())` are the rows of each "
        "fragment, `order = torch.randperm(len(lengths))` is the new order, and a minibatch is "
        "`torch.cat([rows[f] for f in …])` over its part of the order.",
    ),
)


minibatches.case(
    "ten rows that stand alone, dealt to 4", lambda: (torch.ones(10, dtype=torch.long), 4)
)
minibatches.case(
    "seven fragments of 3, 1, 4, 2, 5, 2 and 3 rows, dealt to 3",
    lambda: (torch.tensor([3, 1, 4, 2, 5, 2, 3]), 3),
)
minibatches.case("six fragments of 2 rows, dealt to 2", lambda: (torch.full((6,), 2), 2))
minibatches.case("one fragment of 5 rows, dealt to 1", lambda: (torch.tensor([5]), 1))


@minibatches.inputs
def _(draw):
    count = draw.size(1, 40)
    lengths = [draw.integer(1, 6) for _ in range(count)]
    if draw.flag():
        lengths = [1] * count
    return torch.tensor(lengths), draw.integer(1, min(count, 9))


minibatches.patches(r"""
rows are drawn with replacement
    Some rows come twice in a pass and others, a third of them, not at all. Shuffle, and
    cut.
    - torch.randperm(count)
    + torch.randint(count, (count,))

the remainder is lost
    Minibatches of `count // k` fragments leave up to k - 1 of them over, in every pass. Let
    the sizes differ by one.
    - count * part // k
    + count // k * part

the remainder becomes one more minibatch
    `split(count // k)` makes as many parts of that size as it takes, which may be k + 1:
    and a step on the few rows that were left counts as much as any. `k` is the number of
    parts.
    - [count * part // k for part in range(k + 1)]
    + [*range(0, count, count // k), count]

the last minibatch is smaller than the others
    `chunk(k)` rounds the size up and gives the last part what is left, or nothing at all.
    Sizes that differ by one at most: `torch.tensor_split`, or cuts at `count * i // k`.
    - count * part // k
    + min(-(-count // k) * part, count)

the rows are not shuffled
    Each minibatch then holds neighbouring steps, which are alike, and every pass repeats
    the same ones: `torch.randperm`.
    - torch.randperm(count)
    + torch.arange(count)

the order is random, and the same in every pass
    You seed torch's generator, so each call draws the same numbers; and so does everybody
    else who draws after you. Leave the generator alone.
    - order = torch.randperm(count).tolist()
    + torch.manual_seed(0); order = torch.randperm(count).tolist()

the order is random, and the same in every pass, from a generator of its own
    A generator that is made and seeded in the function gives the same order each time.
    - torch.randperm(count)
    + torch.randperm(count, generator=torch.Generator().manual_seed(0))
""")


@minibatches.mistake(
    "only the order of the minibatches is shuffled",
    "Which rows are together in a step never changes: shuffle the fragments first, and cut them "
    "into minibatches then.",
)
def _whole_batches_shuffled(lengths, k):
    count = len(lengths)
    rows = torch.arange(int(lengths.sum())).split(lengths.tolist())
    parts = [torch.cat(rows[count * i // k : count * (i + 1) // k]) for i in range(k)]
    return [parts[i] for i in torch.randperm(k)]


@minibatches.mistake(
    "rows are shuffled only within their minibatch",
    "Which rows are together in a step never changes. Shuffle all fragments, and cut then.",
)
def _within(lengths, k):
    count = len(lengths)
    rows = torch.arange(int(lengths.sum())).split(lengths.tolist())
    parts = [rows[count * i // k : count * (i + 1) // k] for i in range(k)]
    return [torch.cat([part[f] for f in torch.randperm(len(part))]) for part in parts]


@minibatches.mistake(
    "each minibatch is drawn by itself",
    "None of them holds a row twice, but two of them may hold the same one, and then others are in "
    "none. One shuffle for the whole pass.",
)
def _by_itself(lengths, k):
    count = len(lengths)
    rows = torch.arange(int(lengths.sum())).split(lengths.tolist())
    cuts = [count * i // k for i in range(k + 1)]
    return [torch.cat([rows[f] for f in torch.randperm(count)[: b - a]]) for a, b in pairwise(cuts)]


@minibatches.mistake(
    "fragments are torn",
    "You shuffle rows. A recurrent policy runs through a fragment from its first row to its last: "
    "shuffle the fragments, and keep their rows together.",
)
def _torn(lengths, k):
    n = int(lengths.sum())
    order = torch.randperm(n)
    return [order[n * i // k : n * (i + 1) // k] for i in range(k)]


@minibatches.mistake(
    "the rows of a fragment come in another order",
    "Time runs forward: the rows of a fragment stay as they are.",
)
def _backwards(lengths, k):
    count = len(lengths)
    rows = torch.arange(int(lengths.sum())).split(lengths.tolist())
    order = torch.randperm(count).tolist()
    cuts = [count * i // k for i in range(k + 1)]
    return [torch.cat([rows[f].flip(0) for f in order[a:b]]) for a, b in pairwise(cuts)]


@minibatches.mistake(
    "numbers of fragments are returned, not of rows",
    "You have dealt the fragments rightly. What the table is indexed with are the numbers of their "
    "rows.",
)
def _fragments(lengths, k):
    count = len(lengths)
    order = torch.randperm(count)
    return [order[count * i // k : count * (i + 1) // k] for i in range(k)]


minibatches.patches(r"""
the last fragment is left out
    Every fragment is dealt: there are `len(lengths)` of them.
    - order = torch.randperm(count).tolist()
    + order = torch.randperm(max(count - 1, 1)).tolist()
""")


# ---------------------------------------------------------------------- pull


def _pull(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The slope of PPO's loss with respect to each row's log-probability: (N,) from three (N,)."""
    ratio = torch.exp(logprobs - old_logprobs).detach()
    stopped = torch.where(advantages > 0, ratio > 1 + clip, ratio < 1 - clip)
    return torch.where(stopped, 0.0, -ratio * advantages) / len(ratio)


pull = Exercise(
    "pull",
    chapter="08",
    reference=_pull,
    also="`torch.autograd.grad` of the loss gives the same numbers, and is how to test such a "
    "formula.",
    hints=(
        "Which rows have no slope any more? It depends on the sign of the advantage.",
        "A good action is stopped above `1 + clip`, a bad one below `1 - clip`; all others go on, "
        "also outside the interval. The slope of r with respect to log π is r itself: a number, "
        "so `.detach()`.",
        "`stopped = torch.where(advantages > 0, ratio > 1 + clip, ratio < 1 - clip)`, and "
        "`torch.where(stopped, 0.0, -ratio * advantages) / len(ratio)`.",
    ),
)


@pull.case("a good and a bad action, each with a ratio inside, below and above")
def _():
    old = torch.tensor([-1.0, -1.5, -2.0, -0.5, -1.0, -2.5])
    ratios = torch.tensor([1.1, 0.5, 2.0, 0.9, 0.5, 2.0])
    return old + ratios.log(), old, torch.tensor([1.0, 2.0, 3.0, -1.0, -2.0, -3.0]), 0.2


@pull.case("rows that have not moved")
def _():
    old = torch.tensor([-0.7, -0.1, -2.3])
    return old.clone(), old, torch.tensor([2.0, -1.0, 0.0]), 0.2


@pull.case("a single row, a bad action that has become three times as probable")
def _():
    old = torch.tensor([-2.0])
    return old + torch.tensor([3.0]).log(), old, torch.tensor([-1.5]), 0.2


@pull.inputs
def _(draw):
    n, dtype = draw.size(1, 500), draw.one_of(torch.float32, torch.float64)
    old = -draw.floats(n, kinds="whole tenths").abs().to(dtype)
    moved = draw.one_of(0.3, 0.1, 0.6) * draw.floats(n, kinds="tenths whole").to(dtype)
    advantages = draw.floats(n, kinds="whole tenths wide").to(dtype)
    logprobs = (old + moved).requires_grad_(draw.flag())
    return logprobs, old, advantages, draw.one_of(0.2, 0.1, 0.37)


pull.patches(r"""
every row outside the interval is stopped
    Many texts say so. But a good action that has become *rarer* than the interval allows
    went the wrong way, and the minimum lets it pull with all its force; likewise a bad
    action that has become more frequent. Only the far side, in the direction of the
    advantage, is flat.
    - torch.where(advantages > 0, ratio > 1 + clip, ratio < 1 - clip)
    + (ratio - 1).abs() > clip

the wrong side is stopped
    A good action is stopped when it has become frequent enough, above `1 + clip`; a bad one
    when it has become rare enough.
    - advantages > 0
    + advantages < 0

no row is stopped
    This is the slope of the ratio times the advantage, without the clip.
    - torch.where(stopped, 0.0, -ratio * advantages)
    + (-ratio * advantages)

the ratio does not multiply
    r is the exponential of log π less log π_old, and so its slope with respect to log π is
    r itself, not 1: what has become twice as probable pulls twice as hard.
    - -ratio * advantages
    + -advantages

the sign is turned round
    The loss is minus the objective, and so is its slope.
    - -ratio * advantages
    + ratio * advantages

the slopes are not divided by N
    The loss is a mean: each row has a share of 1/N in it.
    -  / len(ratio)
    +

stopped rows pull with the bound
    Where the clipped product counts, it is a constant, and the slope of a constant is 0.
    - stopped, 0.0, -ratio
    + stopped, -ratio.clamp(1 - clip, 1 + clip) * advantages, -ratio

good actions are never stopped
    Above `1 + clip` a good action has no slope.
    - ratio > 1 + clip
    + ratio < 0

bad actions are never stopped
    Below `1 - clip` a bad action has no slope.
    - ratio < 1 - clip
    + ratio < 0

the ratio is upside down
    New divided by old: `logprobs - old_logprobs`.
    - logprobs - old_logprobs
    + old_logprobs - logprobs

rows with an advantage of either sign are stopped above the interval
    A bad action above the interval is the one that should be pulled down most.
    - ratio < 1 - clip
    + ratio > 1 + clip
""")
