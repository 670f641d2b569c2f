"""Chapter 05: what REINFORCE is made of."""

from __future__ import annotations

import torch
from torch import Tensor

from rlx import functional, plain
from rlx.course.exercise import Exercise, brief_training, fit
from rlx.course.seeds import Drawn

# ---------------------------------------------------------------------- reward_to_go


def _reward_to_go(rewards: Tensor, gamma: float) -> Tensor:
    """G_t = r_t + γ G_{t+1} for every step of one episode: (T,) from (T,)."""
    returns, later = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        returns[t] = later = rewards[t] + gamma * later
    return returns


def _each_episode(answer):
    """An answer for one episode, as a function of the whole table."""

    def discounted_returns(rewards: Tensor, end: Tensor, gamma: float) -> Tensor:
        last = end.nonzero().flatten().tolist()
        first = [0, *(row + 1 for row in last[:-1])]
        return torch.cat([answer(rewards[a : b + 1], gamma) for a, b in zip(first, last)])

    return discounted_returns


reward_to_go = Exercise(
    "reward_to_go",
    chapter="05",
    reference=_reward_to_go,
    target="rlx.functional.discounted_returns",
    adapt=_each_episode,
    also="Without a loop, in log2(T) rounds of whole-column arithmetic: `rlx.functional._recur`, "
    "which the library uses, says how.",
    hints=(
        "An action can only be responsible for rewards that come after it. Which part of the "
        "episode is that, seen from step t?",
        "Walk through the episode backwards: G of the last step is its reward, and each earlier G "
        "is its own reward plus γ times the G after it.",
        "`for t in reversed(range(len(rewards))): later = rewards[t] + gamma * later`, and keep "
        "every `later` in its place.",
    ),
)


def _ahead(n: int) -> Tensor:
    """How many steps row k is ahead of row t: (T, T)."""
    return torch.arange(n) - torch.arange(n)[:, None].float()


reward_to_go.case("four rewards of 1, gamma 0.5", lambda: (torch.ones(4), 0.5))
reward_to_go.case(
    "unequal rewards, gamma 0.9", lambda: (torch.tensor([1.0, 0.0, -2.0, 5.0, 3.0]), 0.9)
)
reward_to_go.case("an episode of one step", lambda: (torch.tensor([3.0]), 0.9))
reward_to_go.case("200 rewards of 1, gamma 0.5", lambda: (torch.ones(200), 0.5))


@reward_to_go.inputs
def _(draw):
    rewards = draw.floats(draw.size(1, 500))
    return rewards.to(draw.one_of(torch.float32, torch.float64)), draw.gamma()


reward_to_go.patches(r"""
every step gets the return of the whole episode
    Your first number is right, and it is everywhere. So step t is also praised or blamed
    for what came before it. That is not wrong on average, but noisier: start the sum at t.
    - return returns
    + return returns[:1].expand(len(returns)).clone()

it adds up from the wrong end
    Your sum runs from the first step to t: it holds the rewards that came before the
    action, which the action cannot have caused. Start at the last step and walk backwards.
    - reversed(range(len(rewards)))
    + range(len(rewards))

the discount counts from the start of the episode
    You weigh the reward of step k by γ to the power k, for every t. Seen from step t it
    lies k - t steps ahead, so its weight is γ to the power k - t.
    -     returns, later =
    +     rewards = gamma ** torch.arange(len(rewards)) * rewards
    +     returns, later =
    - gamma * later
    + later

the reward of step t itself is left out
    G_t begins with r_t, the reward that the action at t brings at once. Yours begins with
    the next one.
    - returns[t] = later = rewards[t] + gamma * later
    + returns[t], later = gamma * later, rewards[t] + gamma * later

nothing is discounted
    These are plain sums of the rewards to come: gamma is not used. A reward k steps ahead
    counts γ to the power k.
    - gamma * later
    + later

the numbers come out in reverse order
    You walk backwards, which is right, and append: so the last step's return stands first.
    Turn the list round at the end, or write each number into its own place.
    - return returns
    + return returns.flip(0)

γ multiplies the step's own reward
    Your G_t is γ times too small, or worse: the reward of step t itself counts in full, and
    only what comes after it is discounted.
    - rewards[t] + gamma * later
    + gamma * (rewards[t] + later)

γ is on the reward, and not on what comes later
    You discount the step's own reward. It is the other term, the return of the next
    step, that is one step away.
    - rewards[t] + gamma * later
    + gamma * rewards[t] + later

the last reward is forgotten
    Your loop starts one step before the end, so nothing knows of the last reward:
    `reversed(range(len(rewards)))` begins with it.
    - range(len(rewards))
    + range(len(rewards) - 1)

the first step gets no return
    Your loop stops before step 0: `reversed(range(len(rewards)))` includes it.
    - range(len(rewards))
    + range(1, len(rewards))

only the next reward is looked at
    You add γ times the next *reward*, not γ times the next *return*. All later ones are
    lost.
    - returns[t] = later = rewards[t] + gamma * later
    + returns[t], later = rewards[t] + gamma * later, rewards[t]
""")


reward_to_go.mistake(
    "γ times k stands where γ to the power k belongs",
    "Each step into the future costs one more *factor* γ.",
)(
    lambda rewards, gamma: (
        (torch.eye(len(rewards)) + gamma * torch.relu(_ahead(len(rewards)))).to(rewards) @ rewards
    )
)


def _differential_return(rewards: Tensor, gamma: float) -> Tensor:
    """Each step's reward to go, less that of a step that earns the episode's mean: (T,)."""
    returns, later = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        returns[t] = later = rewards[t] - rewards.mean() + gamma * later
    return returns


reward_to_go.harder(
    "differential_return",
    _differential_return,
    (
        "It is the reward to go of other rewards. Of which?",
        "Subtract the mean of the episode's rewards from each of them first.",
        "`later = rewards[t] - rewards.mean() + gamma * later`",
    ),
    r"""
    the mean of the returns is subtracted
        Subtract the mean reward from each reward, before they are discounted and added up.
        - return returns
        + return returns - returns.mean()
        - rewards[t] - rewards.mean()
        + rewards[t]

    nothing is subtracted
        This is the reward to go of the rewards as they are.
        -  - rewards.mean()
        +

    the mean is discounted, and the reward is not
        Both belong to step t: (r - mean) in full, what comes later times γ.
        - rewards[t] - rewards.mean() + gamma * later
        + rewards[t] + gamma * (later - rewards.mean())
    """,
)


# ---------------------------------------------------------------------- policy_gradient_loss


def _with_a_baseline() -> Tensor:
    """A network with a value head, trained on advantages that nobody has detached before."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 4), seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,))

    def loss():
        rollout = agent(policy).episodes(4, horizon=10)
        rollout.mc_returns(0.99)
        rollout = rollout[:-1]
        (values,) = rollout.others
        return functional.policy_gradient_loss(rollout.logprobs, rollout.returns - values)

    return fit(policy, loss)


policy_gradient_loss = Exercise(
    "policy_gradient_loss",
    chapter="05",
    reference=plain.policy_gradient_loss,
    target="rlx.functional.policy_gradient_loss",
    train=_with_a_baseline,
    also='`torch.nn.functional.cross_entropy(logits, actions, reduction="none")` is minus the '
    "log-probability of a category: weighed by advantages, its mean is this loss.",
    hints=(
        "An optimizer makes the loss smaller. We want log-probabilities of good actions larger.",
        "Weigh the log-probability of each step by its advantage, average, and turn the sign "
        "round. The advantages are numbers we measured: nothing is to be learned through them.",
        "`-(logprobs * advantages.detach()).mean()`",
    ),
)


@policy_gradient_loss.case("three steps with advantages 1, 2 and -4")
def _():
    logprobs = torch.tensor([-0.5, -1.0, -2.0], requires_grad=True)
    return logprobs, torch.tensor([1.0, 2.0, -4.0])


@policy_gradient_loss.case("advantages that carry a gradient of their own")
def _():
    logprobs = torch.tensor([-0.1, -3.0, -1.5, -0.7], requires_grad=True)
    return logprobs, torch.tensor([2.0, 1.0, -1.0, 0.5], requires_grad=True)


@policy_gradient_loss.inputs
def _(draw):
    n, dtype = draw.size(1, 500), draw.one_of(torch.float32, torch.float64)
    logprobs = -draw.floats(n, kinds="whole tenths wide").abs().to(dtype)
    return logprobs.requires_grad_(), draw.floats(n).to(dtype).requires_grad_(draw.flag())


policy_gradient_loss.patches(r"""
the sign is wrong
    The optimizer makes this number smaller, and with it the probability of the good
    actions. The agent would learn to do badly. Put a minus in front.
    - -(
    + (

the averages are taken before the product
    You multiply the mean log-probability by the mean advantage. Then no step knows whether
    it was a good one: multiply step by step, and average the products.
    - (logprobs * advantages.detach()).mean()
    + logprobs.mean() * advantages.detach().mean()

every log-probability meets the sum of all advantages
    You multiply the mean log-probability by the sum of the advantages, as if all steps had
    earned it together. Multiply step by step, and average the products.
    - (logprobs * advantages.detach()).mean()
    + logprobs.mean() * advantages.detach().sum()

a gradient flows through the advantages
    The value is right. But the advantages may come from a network, a value head say, and
    then this loss would also change *them*. They are measurements here:
    `advantages.detach()`.
    - .detach()
    +

it uses probabilities where log-probabilities belong
    The gradient of log π is the gradient of π divided by π, and that division is what makes
    rare and common actions count alike. You weigh π itself: drop the `exp()`.
    - logprobs *
    + logprobs.exp() *

it sums where it should average
    With twice the rows the step would be twice as large, and a learning rate that works for
    one batch would not for another. Divide by N: `.mean()`.
    - mean()
    + sum()

it stops one step early: each row has a loss of its own
    An optimizer needs a single number: average over the rows.
    - ).mean()
    + )

the log-probabilities are detached, not the advantages
    Now nothing can be learned at all: the policy is reached through its log-probabilities.
    It is the advantages that are constants.
    - logprobs * advantages.detach()
    + logprobs.detach() * advantages

the advantages are not used
    This raises or lowers the probability of every action alike, good or bad.
    -  * advantages.detach()
    +

the log-probabilities are added to the advantages
    A weight multiplies: log-probability *times* advantage.
    - logprobs * advantages
    + logprobs + advantages
""")


def _leave_one_out_loss(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """The loss with each advantage less the mean of the *others*; 0 for a single row: a scalar."""
    n, advantages = len(advantages), advantages.detach()
    others = (advantages.sum() - advantages) / max(n - 1, 1)
    return -(logprobs * (advantages - others * (n > 1)) * (n > 1)).mean()


def _few_steps(draw, n: int) -> tuple[Tensor, Tensor]:
    """So few and so round that a difference of sums is not lost in their rounding."""
    logprobs = -draw.floats(n, kinds="tenths whole").abs()
    advantages = draw.floats(n, kinds="tenths whole")
    return logprobs.requires_grad_(), advantages.requires_grad_(draw.flag())


policy_gradient_loss.harder(
    "leave_one_out_loss",
    _leave_one_out_loss,
    (
        "The sum of the others is the sum of all, less one's own.",
        "Divide that by N - 1, subtract it from one's own, and go on as before. N may be 1.",
        "`others = (advantages.sum() - advantages) / max(n - 1, 1)`, with detached advantages.",
    ),
    r"""
    the mean of all is subtracted
        One's own advantage is in that mean: leave it out, and divide by N - 1.
        - (advantages.sum() - advantages) / max(n - 1, 1)
        + advantages.mean()

    the sum of the others is divided by N
        The others are N - 1.
        - max(n - 1, 1)
        + n

    the sign is wrong
        A loss is made smaller: minus in front.
        - return -(
        + return (
    """,
    inputs=lambda draw: _few_steps(draw, draw.size(1, 20)),
)


# ---------------------------------------------------------------------- normalize


def _normalize(x: Tensor) -> Tensor:
    """Zero mean and unit variance, of each column: (N,) from (N,), or (N, K) from (N, K)."""
    deviation, mean = torch.std_mean(x, dim=0, correction=0)
    return (x - mean) / (deviation + 1e-8)


normalize = Exercise(
    "normalize",
    chapter="05",
    reference=_normalize,
    target="rlx.functional.normalize",
    train=lambda: torch.cat([brief_training(), brief_training(batch_size=1, horizon=1)]),
    also="Ranks in place of numbers, `x.argsort().argsort() / (len(x) - 1) - 0.5`, are no longer "
    "moved by a single huge return; evolution strategies score so.",
    hints=(
        "Subtract what the numbers have in common; divide by how far they spread.",
        "What is the spread of a single number, or of equal ones? Dividing by it must not give "
        "NaN. And torch's `std` divides by N - 1 unless you say `correction=0`.",
        "`deviation, mean = torch.std_mean(x, dim=0, correction=0)`, then `(x - mean) / (deviation "
        "+ 1e-8)`. Computed apart, `x.mean()` of equal numbers may be rounded, and what is left is "
        "divided by 1e-8.",
    ),
)
normalize.case("four numbers", lambda: (torch.tensor([1.0, 2.0, 3.0, 6.0]),))
normalize.case("a single number", lambda: (torch.tensor([5.0]),))
normalize.case("three equal numbers", lambda: (torch.tensor([2.0, 2.0, 2.0]),))
normalize.case("23 rows of 12.3", lambda: (torch.full((23,), 12.3),))


@normalize.inputs
def _(draw):
    # Few tables: whoever takes them for one column may make another mistake, too.
    shape = (draw.size(1, 500), draw.integer(2, 3))[: 1 + (draw.integer(0, 15) == 15)]
    x = draw.one_of(1.0, 0.001) * draw.floats(*shape)
    return (x.to(draw.one_of(torch.float32, torch.float64)),)


normalize.patches(r"""
the deviation is that of a sample: it divides by N - 1
    `x.std()` does, and for a single number that is 0: 0/0 is NaN, and so would the whole
    network be after the next step. Use the population's deviation, `correction=0`.
    - torch.std_mean(x, dim=0, correction=0)
    + x.std(0), x.mean(0)

numbers without any spread give NaN
    If all returns are equal, and at the start of training they may be, you divide 0 by 0.
    Add a small number to the deviation: 1e-8.
    - torch.std_mean(x, dim=0, correction=0)
    + x.std(0, correction=0), x.mean(0)
    - (deviation + 1e-8)
    + deviation

it divides by the variance
    The spread in the numbers' own unit is the standard deviation, the root of the variance.
    With the variance, large returns would become tiny.
    - torch.std_mean(x, dim=0, correction=0)
    + x.var(0, correction=0), x.mean(0)

the mean is not subtracted
    You only rescale. Returns of CartPole are all positive, so every action would still be
    made more probable, good or bad. Subtract the mean first.
    - torch.std_mean(x, dim=0, correction=0)
    + x.std(0, correction=0), 0.0

equal numbers do not give 0
    The mean of equal numbers is rounded, and what is left of them, a few millionths, you
    divide by 1e-8. `torch.std_mean(x, correction=0)` gives a deviation and a mean that
    agree; or look whether there is any spread first.
    - torch.std_mean(x, dim=0, correction=0)
    + x.std(0, correction=0), x.mean(0)

the deviation is that of a sample
    It divides by N - 1, where this exercise asks for N: `correction=0`. For a few rows the
    two are far apart.
    - correction=0
    + correction=min(1, len(x) - 1)

the deviation is not divided by
    The mean is gone, but rewards of 1000 would still ask for another learning rate than
    rewards of 1.
    -  / (deviation + 1e-8)
    +

it multiplies by the deviation
    Far spread numbers should come nearer: divide.
    - / (deviation
    + * (deviation

it scales to the range from 0 to 1
    That is another normalisation: here the mean has to be 0 and the deviation 1.
    - (x - mean) / (deviation + 1e-8)
    + (x - x.min()) / (x.max() - x.min() + 1e-8)

the small number is far too large
    1e-8 only has to keep 0/0 away. Yours shrinks small numbers.
    - 1e-8
    + 1e-3

all columns share one mean and one deviation
    Each column is normalised by itself: `dim=0` runs down the rows.
    - dim=0, correction
    + correction
""")


def _normalize_middle(x: Tensor) -> Tensor:
    """`normalize`, of numbers that were first cut to the middle half's range: (N,) from (N,)."""
    low, high = (x.quantile(q, interpolation="nearest") for q in (0.25, 0.75))
    deviation, mean = torch.std_mean(x.clamp(low, high), correction=0)
    return (x.clamp(low, high) - mean) / (deviation + 1e-8)


normalize.harder(
    "normalize_middle",
    _normalize_middle,
    (
        "Where do the middle half's numbers begin, and where do they end?",
        '`x.quantile(0.25, interpolation="nearest")`, and 0.75; `clamp` between the two comes '
        "first.",
        "`x.clamp(low, high)` with these two, and then as in `normalize`.",
    ),
    r"""
    it cuts after normalising
        The huge number has then moved the mean and the deviation already. Cut first.
        - torch.std_mean(x.clamp(low, high), correction=0)
        + torch.std_mean(x, correction=0)

    nothing is cut
        Cut what lies outside of the middle half: `clamp`.
        - 0.25, 0.75
        + 0.0, 1.0

    one side only is cut
        A huge loss moves the mean as well as a huge gain.
        - 0.25, 0.75
        + 0.0, 0.75
    """,
    inputs=lambda draw: (draw.floats(draw.size(1, 200), kinds="tenths whole"),),
)


# ---------------------------------------------------------------------- noise


def _noise(gradients: Tensor) -> Tensor:
    """Spread of S estimates around their mean, relative to the mean: a scalar from (S, P)."""
    return gradients.var(dim=0).sum() / gradients.mean(dim=0).pow(2).sum()


noise = Exercise(
    "noise",
    chapter="05",
    reference=_noise,
    also="It is the inverse of a signal-to-noise ratio; as many estimates as this number, "
    "averaged, are as large as their own error (McCandlish et al., 2018).",
    hints=(
        "The mean over the estimates is one vector; so is the variance. Which of the two "
        "dimensions is it taken over?",
        "The numerator is the sum of the P variances, each over S estimates with S - 1; the "
        "denominator the sum of the P squares of the means.",
        "`gradients.var(dim=0).sum() / gradients.mean(dim=0).pow(2).sum()`",
    ),
)
noise.case("two estimates, (1, 0) and (3, 0)", lambda: (torch.tensor([[1.0, 0.0], [3.0, 0.0]]),))
noise.case(
    "three estimates of two numbers", lambda: (torch.tensor([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]]),)
)
noise.case("three equal estimates", lambda: (torch.tensor([[3.0, 4.0]] * 3),))


@noise.inputs
def _(draw):
    estimates, size = draw.size(2, 60), draw.integer(1, 6)
    gradients = draw.floats(estimates, size, kinds="tenths whole wide") + draw.one_of(7.0, 200.0)
    return (gradients.to(draw.one_of(torch.float32, torch.float64)),)


noise.patches(r"""
the spread is divided by S, not by S - 1
    The mean was estimated from the same numbers, so they lie nearer to it than to the true
    one: S - 1, which is what torch's `var` does by itself.
    - var(dim=0)
    + var(dim=0, correction=0)

the deviation stands where the variance belongs
    The squares are summed; no root is taken: `var`, not `std`.
    - var(dim=0)
    + std(dim=0)

the denominator is not squared
    It is the square of the mean's norm: `pow(2).sum()`.
    - gradients.mean(dim=0).pow(2).sum()
    + gradients.mean(dim=0).norm()

the fraction is turned upside down
    Noise divided by signal: yours is the signal divided by the noise.
    - gradients.var(dim=0).sum() / gradients.mean(dim=0).pow(2).sum()
    + gradients.mean(dim=0).pow(2).sum() / gradients.var(dim=0).sum()

the spread is averaged over the P numbers
    The squared length of g_i - mean is a sum of P squares.
    - var(dim=0).sum()
    + var(dim=0).mean()

it averages over the P numbers, not over the estimates
    The estimates are the rows: `dim=0`.
    - dim=0
    + dim=1

the spread is not divided by S - 1
    More estimates would look noisier: it is the mean of the squares, with S - 1.
    - gradients.var(dim=0).sum()
    + (gradients - gradients.mean(dim=0)).pow(2).sum()

all numbers go into one variance
    Each of the P numbers has a mean of its own: `var(dim=0)`, then sum.
    - gradients.var(dim=0).sum()
    + gradients.var()

the mean of squares stands where the square of the mean belongs
    Average the estimates first, and square then.
    - gradients.mean(dim=0).pow(2).sum()
    + gradients.pow(2).mean(dim=0).sum()
""")


NOISE_WANTED = Drawn("batches_needed", 0.1, 0.05, 0.2, 0.25, 0.4)


def _batches_needed(gradients: Tensor) -> Tensor:
    """How many estimates, averaged, have the noise that is wanted: a scalar, from (S, P)."""
    spread = gradients.var(dim=0).sum()
    return spread / gradients.mean(dim=0).pow(2).sum() / NOISE_WANTED()


noise.harder(
    "batches_needed",
    _batches_needed,
    (
        "What becomes of the spread, if k estimates are averaged? And of the mean?",
        "The spread is divided by k, the mean stays. So the noise is divided by k.",
        "`noise(gradients)`, divided by the noise that is wanted.",
    ),
    r"""
    it multiplies by the noise that is wanted
        The less noise is wanted, the more estimates are needed.
        - / NOISE_WANTED()
        + * NOISE_WANTED()

    the root of the number is returned
        An average of k has a deviation that is smaller by the root of k, but a spread, which is
        its square, that is smaller by k.
        - return spread / gradients.mean(dim=0).pow(2).sum() / NOISE_WANTED()
        + return (spread / gradients.mean(dim=0).pow(2).sum() / NOISE_WANTED()).sqrt()

    the number of estimates at hand is taken into account
        The answer is about single estimates: however many were measured, it is the same.
        - / NOISE_WANTED()
        + / NOISE_WANTED() / len(gradients)
    """,
    inputs=lambda draw: (draw.one_of(1.0, 0.001) * draw.floats(draw.size(1, 500)),),
)
