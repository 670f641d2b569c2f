"""Chapter 11: what TD3 and SAC are made of."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rlx.course.exercise import Exercise
from rlx.networks import boxes


def _trained(algorithm: str, updates: int = 4) -> Tensor:
    """The parameters after a few updates on the pendulum, whose forces are in [-2, 2]."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("Pendulum-v1", 3), seed=0)
    network = rlx.networks.SquashedPolicy if algorithm == "SAC" else rlx.networks.NoisyPolicy
    options = dict(n_steps=6, passes=4, batch_size=16, warmup=0, lr=0.02, tau=0.2)
    learner = getattr(rlx.algos, algorithm)(agent, network(agent, hidden=(8,)), **options)
    for _ in range(updates):
        learner.update()
    trained = [learner.policy, learner.critic]
    trained += [learner.temperature] if algorithm == "SAC" else []
    return torch.cat([p.detach().flatten() for part in trained for p in part.parameters()])


# ---------------------------------------------------------------------- sac_target


def _sac_target(
    rewards: Tensor,
    terminated: Tensor,
    q1: Tensor,
    q2: Tensor,
    logprobs: Tensor,
    alpha: float,
    gamma: float,
) -> Tensor:
    """r + γ (min Q(s', a') - α log π(a'|s')), or r where s' is terminal: (N,), no gradient."""
    soft_values = torch.minimum(q1, q2) - alpha * logprobs
    return (rewards + gamma * torch.where(terminated, 0, soft_values)).detach()


def _in_sac(answer: Callable) -> Callable:
    """An answer, as SAC's way to compute targets: row t is judged by what row t + 1 is worth."""

    def q_targets(self, batch, new):
        with torch.no_grad():
            q = self.agent(self.target_critic).evaluate(batch.fresh(), actions=new.actions).others
            rewards, alpha = batch.rewards.roll(1), float(self.temperature())
        found = answer(rewards, batch.terminated, *q, new.logprobs, alpha, self.gamma)
        return found.roll(-1)

    return q_targets


sac_target = Exercise(
    "sac_target",
    chapter="11",
    reference=_sac_target,
    target="rlx.algos.SAC.q_targets",
    adapt=_in_sac,
    train=lambda: _trained("SAC"),
    also="Of discrete actions no sample is needed: the sum over all of them of π (Q - α log π) is "
    "the expectation itself (Christodoulou, 2019).",
    hints=(
        "What is a state worth to somebody who is paid for acting at random?",
        "The lower Q of the new action, plus α times how surprising that action was, -log π. All "
        "of it comes a step later, and none of it after a terminal state.",
        "`rewards + gamma * torch.where(terminated, 0, torch.minimum(q1, q2) - alpha * logprobs)`, "
        "detached.",
    ),
)


@sac_target.case("three steps, the second of them the last of its episode")
def _():
    rewards, terminated = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([False, True, False])
    q1, q2 = torch.tensor([4.0, 8.0, -1.0]), torch.tensor([5.0, 6.0, -3.0])
    return rewards, terminated, q1, q2, torch.tensor([-1.4, 0.5, 2.6]), 0.5, 0.9


@sac_target.case("Qs and log-probabilities that ask for a gradient")
def _():
    q1, q2, logprobs = torch.tensor([[1.0, -2.0], [3.0, -4.0], [-0.5, 0.7]]).unbind()
    asking = (x.clone().requires_grad_() for x in (q1, q2, logprobs))
    return torch.tensor([0.5, 1.0]), torch.tensor([False, False]), *asking, 0.2, 0.5


@sac_target.inputs
def _(draw):
    n, dtype = draw.size(1, 300), draw.one_of(torch.float32, torch.float64)
    grad = draw.flag()
    rewards, q1, q2, logprobs = (
        draw.floats(n, kinds="whole tenths wide").to(dtype) for _ in range(4)
    )
    terminated = draw.floats(n, kinds="whole") > draw.one_of(3.0, 0.0)
    q1, q2, logprobs = (x.requires_grad_(grad) for x in (q1, q2, logprobs))
    return rewards, terminated, q1, q2, logprobs, draw.one_of(0.5, 1.0, 0.03), draw.gamma()


sac_target.patches(r"""
entropy is not paid for
    Without α log π it is the value of the next action alone, as in TD3. The policy's loss pays for
    entropy, and its critics would know nothing of it.
    - torch.minimum(q1, q2) - alpha * logprobs
    + torch.minimum(q1, q2)

the sign of the entropy is turned round
    A surprising action has a *low* log π, and is worth more: minus.
    - torch.minimum(q1, q2) - alpha * logprobs
    + torch.minimum(q1, q2) + alpha * logprobs

the temperature is 1
    Entropy is worth α times as much: `alpha * logprobs`.
    - alpha * logprobs
    + logprobs

entropy is paid for in terminal states
    Nothing is done in a terminal state, so nothing is random there: the whole soft value is 0.
    - torch.where(terminated, 0, soft_values)
    + torch.where(terminated, -alpha * logprobs, soft_values)

entropy is not discounted
    It belongs to the next action, and comes one step later, as its Q does.
    - (rewards + gamma * torch.where(terminated, 0, soft_values))
    + (
    +         rewards
    +         + gamma * torch.where(terminated, 0, torch.minimum(q1, q2))
    +         - torch.where(terminated, 0, alpha * logprobs)
    +     )

the probability is taken for its logarithm
    Surprise is -log π; `logprobs` is that logarithm already, so no `exp`.
    - alpha * logprobs
    + alpha * logprobs.clamp(max=20).exp()

the logarithm of the temperature is used
    `alpha` is handed in as it is: what is learned as a logarithm has been through `exp`.
    - alpha * logprobs
    + math.log(alpha) * logprobs

the batch's mean entropy is paid to every row
    Each row has an action of its own, and a surprise of its own.
    - alpha * logprobs
    + alpha * logprobs.mean()

the higher critic is believed
    Then whatever error is the largest goes into the targets, and grows: `torch.minimum`.
    - torch.minimum
    + torch.maximum

the critics are averaged
    The policy goes where they are too high. So the lower is believed: `torch.minimum`.
    - torch.minimum(q1, q2)
    + (q1 + q2) / 2

only one critic is asked
    Take the lower of the two, row by row.
    - torch.minimum(q1, q2)
    + q1

it bootstraps from a terminal state
    Nothing comes after it: r alone.
    - torch.where(terminated, 0, soft_values)
    + soft_values

the reward of the last step is dropped
    Only what would come afterwards is 0 there.
    - (rewards + gamma * torch.where(terminated, 0, soft_values))
    + torch.where(terminated, 0, rewards + gamma * soft_values)

the next value is not discounted
    It comes one step later: times γ.
    - gamma * torch.where
    + torch.where

a gradient flows into the target
    The value is right. But through `logprobs` the critic's loss would reach the policy, and through
    the Qs its own target: detach.
    - soft_values)).detach()
    + soft_values))
""")


# ---------------------------------------------------------------------- temperature_loss


def _temperature_loss(log_alpha: Tensor, logprobs: Tensor, dims: int) -> Tensor:
    """-log α · mean(log π - dims): the entropy that is wanted is -dims. A scalar."""
    entropy_target = -dims
    return (log_alpha * (-logprobs.detach() - entropy_target)).mean()


temperature_loss = Exercise(
    "temperature_loss",
    chapter="11",
    reference=_temperature_loss,
    target="rlx.functional.temperature_loss",
    adapt=lambda answer: (
        lambda log_alpha, logprobs, entropy_target: answer(log_alpha, logprobs, -entropy_target)
    ),
    train=lambda: _trained("SAC"),
    also="It is the method of Lagrange multipliers: α is the price at which the policy buys just "
    "as much entropy as is wanted. The same few lines hold any mean to any number.",
    hints=(
        "If the policy has more entropy than is wanted, should a nat be worth more or less? And "
        "which way does gradient *descent* on your loss move log α?",
        "The loss is log α times the surplus: the entropy that there is, -log π, less the one that "
        "is wanted, averaged. Its slope with respect to log α is the surplus itself. The surplus "
        "is a measurement.",
        "`(log_alpha * (-logprobs.detach() + dims)).mean()`, because less -dims is plus dims.",
    ),
)


temperature_loss.case(
    "more entropy than is wanted",
    lambda: (torch.tensor(-1.5, requires_grad=True), torch.tensor([-2.0, 1.0, 0.4]), 2),
)


@temperature_loss.case("less entropy than is wanted, and log-probabilities that ask for a gradient")
def _():
    logprobs = torch.tensor([4.0, 2.5, 3.0], requires_grad=True)
    return torch.tensor(0.5, requires_grad=True), logprobs, 1


temperature_loss.case(
    "a single row, and a log α of 0",
    lambda: (torch.tensor(0.0, requires_grad=True), torch.tensor([-0.7]), 3),
)


@temperature_loss.inputs
def _(draw):
    n, dtype = draw.size(1, 300), draw.one_of(torch.float32, torch.float64)
    logprobs = draw.floats(n, kinds="whole tenths wide").to(dtype)
    log_alpha = torch.tensor(draw.one_of(-1.0, 0.0, 0.7, -4.0), dtype=dtype).requires_grad_()
    return log_alpha, logprobs.requires_grad_(draw.flag()), draw.integer(1, 8)


temperature_loss.patches(r"""
the sign is turned round
    Descent on yours raises α where there is too much entropy, and more α makes still more of it: it
    runs away.
    - log_alpha * (
    + -log_alpha * (

the entropy that is wanted is +dims
    The target is -dims. A policy on [-1, 1] has at most log 2 = 0.69 a number, so +1 can never be
    reached: α grows for ever.
    - entropy_target = -dims
    + entropy_target = dims

the entropy that is wanted is -dims²
    A shape that broadcasts makes it so: one -dims for each number of the action, and the sum of
    those (ml-agents#5372). It is -dims for the whole action.
    - entropy_target = -dims
    + entropy_target = -dims * dims

the entropy that is wanted is -1, whatever the action
    An action of more numbers has more entropy: -1 for each of them.
    - entropy_target = -dims
    + entropy_target = -1

the entropy that is wanted is 0
    Nothing is subtracted from what there is. The entropy that is wanted is -dims.
    - entropy_target = -dims
    + entropy_target = 0

log π is taken for the entropy
    Entropy is the mean of *minus* log π.
    - -logprobs.detach() - entropy_target
    + logprobs.detach() - entropy_target

a gradient flows through log π
    The value is right. But this loss would push the policy as well, by log α: the policy has a loss
    of its own. `logprobs.detach()`.
    - logprobs.detach()
    + logprobs

α stands where log α was asked for
    That is the paper's loss, and it is not wrong: its slope with respect to log α is α times as
    large, with the same sign and the same zero. So for a small α its steps are small, and what fell
    too far takes long to come back. Here `log_alpha` itself stands in front.
    - (log_alpha * (
    + (log_alpha.exp() * (
""")


# ---------------------------------------------------------------------- squashed_log_prob


def _squashed_log_prob(before: Tensor, mean: Tensor, std: Tensor, scale: Tensor) -> Tensor:
    """log π of a = scale · tanh(before), before ~ N(mean, std): (N,) from (N, D)."""
    gaussian = torch.distributions.Normal(mean, std).log_prob(before)
    log_slope = 2 * (math.log(2) - before - softplus(-2 * before))
    return (gaussian - log_slope - torch.log(scale)).sum(1)


def _in_squashed_normal(answer: Callable) -> Callable:
    """A row's density, spread evenly over its numbers: the library adds these up."""

    def each(before: Tensor, mean: Tensor, std: Tensor, scale: Tensor) -> Tensor:
        shape, rows = before.shape, len(before)
        columns = [x.reshape(rows, -1) for x in (before, mean, std)]
        total = answer(*columns, scale.expand(shape[1:]).flatten())
        return total[:, None].expand(columns[0].shape).reshape(shape) / columns[0].shape[1]

    return each


squashed_log_prob = Exercise(
    "squashed_log_prob",
    chapter="11",
    reference=_squashed_log_prob,
    target="rlx.functional.squashed_log_prob",
    adapt=_in_squashed_normal,
    train=lambda: _trained("SAC"),
    also="`torch.distributions.TransformedDistribution` with a `TanhTransform(cache_size=1)` and "
    "an `AffineTransform` computes the same. The cache is what keeps u: without it u is "
    "`atanh(a)`, which is lost far out.",
    hints=(
        "Probability is not lost when an axis is stretched: where a moves fast as u changes, the "
        "same probability lies on a longer piece. Which derivative says how fast?",
        "The density of u, divided by da/du = c (1 - tanh² u): in logarithms, less its logarithm. "
        "Numbers of an action are independent, so their logarithms add up, over dimension 1. Far "
        "out 1 - tanh² is 0 to a computer: write log(1 - tanh² u) without it.",
        "`Normal(mean, std).log_prob(before) - 2 * (math.log(2) - before - softplus(-2 * before)) "
        "- scale.log()`, and `.sum(1)`.",
    ),
)


squashed_log_prob.case(
    "one force in the middle, with a scale of 1",
    lambda: (torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1)),
)


@squashed_log_prob.case("two rows of two numbers, with scales 2 and 0.25")
def _():
    before = torch.tensor([[0.3, -1.2], [1.0, 0.1]])
    mean = torch.tensor([[0.0, -1.0], [0.5, 0.2]], requires_grad=True)
    std = torch.tensor([[1.0, 0.5], [2.0, 0.3]], requires_grad=True)
    return before, mean, std, torch.tensor([2.0, 0.25])


@squashed_log_prob.case("samples far out, where tanh is 1 to a computer")
def _():
    before = torch.tensor([[12.0], [-15.0], [4.0]], requires_grad=True)
    return before, torch.tensor([[11.0], [-14.0], [5.0]]), torch.ones(3, 1), torch.ones(1)


@squashed_log_prob.inputs
def _(draw):
    n, d = draw.size(1, 200), draw.integer(1, 4)
    dtype = draw.one_of(torch.float32, torch.float64)
    far = draw.one_of(0.3, 1.0, 4.0)
    mean = (far * draw.floats(n, d, kinds="tenths whole")).to(dtype)
    std = (0.2 + 0.3 * draw.floats(n, d, kinds="tenths").abs()).to(dtype)
    before = (mean + std * 0.4 * draw.floats(n, d, kinds="tenths whole").to(dtype)).detach()
    scale = (0.5 + draw.floats(d, kinds="tenths equal").abs()).to(dtype)
    grad = draw.flag()
    mean, std, before = (x.clone().requires_grad_(grad) for x in (mean, std, before))
    return before, mean, std, scale


squashed_log_prob.patches(r"""
it is not summed over the numbers of an action
    An action of D numbers has one density: the numbers are independent, so the logarithms add up.
    With (N, D) or (N, 1) in place of (N,), a difference from a Q of shape (N,) broadcasts to a
    square, and nothing complains (tianshou#40).
    - .sum(1)
    +

it averages over the numbers of an action
    Independent densities multiply, so their logarithms add up: `.sum(1)`.
    - .sum(1)
    + .mean(1)

it is summed over the rows
    Each row is an action of its own; add up over dimension 1.
    - .sum(1)
    + .sum(0)

the correction is added
    Near a bound the tanh squeezes much of u into little of a, and the density of a is *high* there:
    the logarithm of a slope below 1 is negative, and is subtracted.
    - gaussian - log_slope - torch.log(scale)
    + gaussian + log_slope + torch.log(scale)

the tanh is not corrected for
    That is the density of u. Where the tanh is flat, the density of a is higher:
    subtract log(1 - tanh² u).
    - gaussian - log_slope - torch.log(scale)
    + gaussian - torch.log(scale)

log c is missing
    The action is c times the tanh, spread over a range c times as wide, so its density is 1 / c of
    that of the tanh: subtract `scale.log()`. Yours adds up to c, not to 1 (spinningup#314).
    - gaussian - log_slope - torch.log(scale)
    + gaussian - log_slope

log c is added
    A wider range means a lower density: subtract `scale.log()`.
    - log_slope - torch.log(scale)
    + log_slope + torch.log(scale)

c is subtracted, not its logarithm
    All the other parts are logarithms: `scale.log()`.
    - torch.log(scale)
    + scale

the scaled action is inside 1 - a²
    The slope of the tanh is 1 - tanh² u, whatever it is multiplied by afterwards. With the scaled
    action the difference is negative for c > 1, and its logarithm NaN.
    - log_slope = 2 * (math.log(2) - before - softplus(-2 * before))
    + log_slope = torch.log(1 - (scale * torch.tanh(before)) ** 2)

far out, 1 - tanh² is rounded to 0
    Right in the middle. But in single precision tanh(10) is 1, the logarithm of 0 is minus
    infinity, and its slope NaN. The same number without a difference of near ones is
    2 (log 2 - u - softplus(-2u)).
    - log_slope = 2 * (math.log(2) - before - softplus(-2 * before))
    + log_slope = torch.log(1 - torch.tanh(before) ** 2)

far out, a small number stands for 1 - tanh²
    `+ 1e-6` keeps the logarithm finite, and wrong: for |u| > 7 it is all that is left. The density
    of a then seems to fall as u goes out, when it rises. 2 (log 2 - u - softplus(-2u)) needs none.
    - log_slope = 2 * (math.log(2) - before - softplus(-2 * before))
    + log_slope = torch.log(1 - torch.tanh(before) ** 2 + 1e-6)

u is taken from the action, cut off
    The atanh of a clamped action is 7.6 for all u beyond (ray#65036). You are given u: use it.
    - gaussian = torch.distributions.Normal(mean, std).log_prob(before)
    + before = torch.atanh(torch.tanh(before).clamp(-1 + 1e-6, 1 - 1e-6))
    +     gaussian = torch.distributions.Normal(mean, std).log_prob(before)

the Gaussian is asked about the action
    u is normal, a is not: `log_prob(before)`.
    - .log_prob(before)
    + .log_prob(torch.tanh(before))

the slope is taken at the mean
    The slope that counts is that where the sample lies: at `before`.
    - log_slope = 2 * (math.log(2) - before - softplus(-2 * before))
    + log_slope = 2 * (math.log(2) - mean - softplus(-2 * mean))

the deviation is taken for a variance
    `std` is the deviation, as `Normal` wants it.
    - Normal(mean, std)
    + Normal(mean, std.sqrt())

the tanh is not squared
    The slope of the tanh is 1 - tanh² u.
    - log_slope = 2 * (math.log(2) - before - softplus(-2 * before))
    + log_slope = torch.log(1 - torch.tanh(before).abs())
""")


def _entropy_pull(before: Tensor, mean: Tensor, std: Tensor, scale: Tensor) -> Tensor:
    """The slope of log π(a) with respect to the mean, if u moves along with it: (N, D)."""
    return 2 * torch.tanh(before.detach())


squashed_log_prob.harder(
    "entropy_pull",
    _entropy_pull,
    (
        "u = mean + std · z, and z stays as it was drawn. Which parts of log π change when the "
        "mean and u move together?",
        "The Gaussian part depends on z alone and stays. What is left is the slope of "
        "-log(1 - tanh² u) with respect to u.",
        "`2 * torch.tanh(before)`",
    ),
    r"""
    the Gaussian part is counted
        It depends on (u - mean) / std, and that is z, which does not change: u moves along.
        - 2 * torch.tanh(before.detach())
        + (2 * torch.tanh(before) - (before - mean) / std**2).detach()

    the Gaussian part is counted, with u held where it is
        That is the slope for a stored action. Here u moves with the mean, and the Gaussian part
        stays what it was.
        - 2 * torch.tanh(before.detach())
        + (2 * torch.tanh(before) + (before - mean) / std**2).detach()

    the sign is turned round
        -log(1 - tanh²) rises on both sides of the middle.
        - 2 * torch.tanh
        + -2 * torch.tanh

    the 2 is missing
        1 - tanh² is a square, (1 / cosh u)²: its logarithm has a 2 in front.
        - 2 * torch.tanh
        + torch.tanh

    the scale is in it
        log c is a constant: it has no slope.
        - 2 * torch.tanh(before.detach())
        + 2 * scale * torch.tanh(before.detach())

    it is summed
        A slope for each number, (N, D): each has a mean of its own.
        - 2 * torch.tanh(before.detach())
        + 2 * torch.tanh(before.detach()).sum(1)
    """,
    also="`torch.autograd.grad` of log π, with u = mean + std · z, gives the same numbers.",
)


# ---------------------------------------------------------------------- td3_target


class _Twins:
    """Two critics, each a hill with its top at another action: actions (N, D) to two (N,)."""

    def __init__(self, tops: Tensor, heights: Tensor) -> None:
        self.tops, self.heights = tops, heights

    def __call__(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        first, second = (
            height - (actions - top).abs().sum(1) for top, height in zip(self.tops, self.heights)
        )
        return first, second

    def __repr__(self) -> str:
        return "two critics"


def _td3_target(
    rewards: Tensor,
    terminated: Tensor,
    actions: Tensor,
    critics: Callable,
    low: Tensor,
    high: Tensor,
    gamma: float,
) -> Tensor:
    """r + γ min Q(s', a' + noise), or r where s' is terminal: (N,), without gradient."""
    noise = torch.clamp(0.2 * torch.randn_like(actions), -0.5, 0.5)
    blurred = torch.clamp(actions + noise * (high - low) / 2, low, high)
    q1, q2 = critics(blurred)
    return (rewards + gamma * torch.where(terminated, 0, torch.minimum(q1, q2))).detach()


def _in_td3(answer: Callable) -> Callable:
    """An answer, as TD3's way to compute targets: row t is judged by what row t + 1 is worth."""

    def q_targets(self, batch):
        (actions,) = self.agent(self.target_policy).evaluate(batch, greedy=True).actions

        def critics(actions):
            actions = actions.view_as(batch.actions[0])
            q = self.agent(self.target_critic).evaluate(batch.fresh(), actions=(actions,)).others
            return q[0], q[-1]

        (box,) = boxes(self.agent.action_space)
        low, high = actions.new_tensor(box.low), actions.new_tensor(box.high)
        rewards = batch.rewards.roll(1)
        return answer(
            rewards, batch.terminated, actions, critics, low, high, self.gamma
        ).roll(-1)  # fmt: skip

    return q_targets


td3_target = Exercise(
    "td3_target",
    chapter="11",
    reference=_td3_target,
    target="rlx.algos.DDPG.q_targets",
    adapt=_in_td3,
    train=lambda: _trained("TD3"),
    also="`torch.stack(critics(blurred)).amin(0)` takes the lowest of any number of critics. With "
    "many of them that is too low: REDQ (Chen et al., 2021) takes the lower of two that are drawn "
    "from ten.",
    hints=(
        "Three things are new: the action is not quite the policy's, two critics judge it, and of "
        "these one is believed.",
        "Noise of deviation 0.2, cut off at 0.5 on either side, then made as large as half the "
        "Box's width; the action plus that, kept in the Box. Then the lower Q of each row, and the "
        "usual target: r + γ Q, or r alone.",
        "`noise = (0.2 * torch.randn_like(actions)).clamp(-0.5, 0.5) * (high - low) / 2`, `q1, q2 "
        "= critics((actions + noise).clamp(low, high))`, and `rewards + gamma * "
        "torch.where(terminated, 0, torch.minimum(q1, q2))`, detached.",
    ),
)


@td3_target.case("four steps, the third of them the last of its episode")
def _():
    actions = torch.tensor([[0.0], [1.5], [-0.5], [0.8]])
    critics = _Twins(torch.tensor([[0.0], [1.0]]), torch.tensor([5.0, 6.0]))
    terminated = torch.tensor([False, False, True, False])
    rewards, low, high = (
        torch.tensor([1.0, 2.0, 3.0, 0.0]),
        torch.tensor([-2.0]),
        torch.tensor([2.0]),
    )
    return rewards, terminated, actions, critics, low, high, 0.5


@td3_target.case("200 rows of the same action, in the middle of a wide Box")
def _():
    actions = torch.full((200, 2), 10.0)
    critics = _Twins(torch.tensor([[10.0, 10.0], [11.0, 9.0]]), torch.tensor([7.0, 7.0]))
    low, high = torch.tensor([0.0, 8.0]), torch.tensor([20.0, 12.0])
    return torch.zeros(200), torch.zeros(200, dtype=torch.bool), actions, critics, low, high, 1.0


@td3_target.case("30 rows whose action is at a bound")
def _():
    actions = torch.ones(30, 1, requires_grad=True)
    critics = _Twins(torch.tensor([[2.0], [2.5]]), torch.tensor([0.0, 0.0]))
    low, high = torch.tensor([-1.0]), torch.tensor([1.0])
    return torch.ones(30), torch.zeros(30, dtype=torch.bool), actions, critics, low, high, 0.9


@td3_target.inputs
def _(draw):
    n, d = draw.size(1, 300), draw.integer(1, 3)
    dtype = draw.one_of(torch.float32, torch.float64)
    half = 0.5 + draw.floats(d, kinds="tenths equal").abs().to(dtype)
    middle = draw.floats(d, kinds="whole equal").to(dtype)
    low, high = middle - half, middle + half
    share = (0.4 * draw.floats(n, d, kinds="tenths whole").to(dtype)).clamp(-1, 1)
    actions = (middle + half * share).requires_grad_(draw.flag())
    tops = middle + 0.4 * half * draw.floats(2, d, kinds="tenths").to(dtype)
    critics = _Twins(tops, draw.floats(2, kinds="tenths whole").to(dtype))
    terminated = draw.floats(n, kinds="whole") > draw.one_of(3.0, 0.0)
    rewards = draw.floats(n, kinds="whole tenths wide").to(dtype)
    return rewards, terminated, actions, critics, low, high, draw.gamma()


td3_target.patches(r"""
the same noise is added to every row
    Noise of the shape of one action, drawn once, moves the whole batch the same way
    (cleanrl#279). Each row has a draw of its own: `torch.randn_like(actions)`.
    - torch.randn_like(actions)
    + torch.randn_like(actions[:1])

each row has one noise for all its numbers
    The numbers of an action are blurred apart from each other.
    - torch.randn_like(actions)
    + torch.randn_like(actions[:, :1])

the noise is not scaled to the Box
    0.2 and 0.5 are shares of half the Box's width (cleanrl#279). In a Box of [-2, 2], multiply
    by 2.
    - noise * (high - low) / 2
    + noise

the noise is cut off after it was scaled
    0.5 is a share of half the Box's width, as 0.2 is: cut off first, scale then.
    - noise = torch.clamp(0.2 * torch.randn_like(actions), -0.5, 0.5)
    + noise = torch.clamp(0.2 * torch.randn_like(actions) * (high - low) / 2, -0.5, 0.5)
    - noise * (high - low) / 2
    + noise

the noise is twice as large
    Half of the Box's width, `(high - low) / 2`, is what the shares are of.
    - (high - low) / 2
    + (high - low)

the noise is not cut off
    One draw in eighty is further out than 0.5, two and a half deviations, where nobody asked for
    the critics' opinion: clamp to [-0.5, 0.5].
    - torch.clamp(0.2 * torch.randn_like(actions), -0.5, 0.5)
    + 0.2 * torch.randn_like(actions)

there is no noise
    The critics are asked about the policy's own action, the very place where an error of theirs has
    drawn it to.
    - actions + noise * (high - low) / 2
    + actions

the noise is not normal
    `rand` is uniform from 0 to 1, and so pushes every action upwards: `randn_like`.
    - torch.randn_like
    + torch.rand_like

the action may leave the Box
    Beyond the bounds nothing was ever played, and the critics say anything: clamp the sum.
    - torch.clamp(actions + noise * (high - low) / 2, low, high)
    + actions + noise * (high - low) / 2

the higher critic is believed
    Then whatever error is the largest goes into the targets, and grows: `torch.minimum`.
    - torch.minimum
    + torch.maximum

the critics are averaged
    Their mean errs half as much as one of them, and upwards still: the policy goes where it is too
    high. The lower is believed.
    - torch.minimum(q1, q2)
    + ((q1 + q2) / 2)

only one critic is asked
    That is DDPG's target, blurred: take the lower of the two, row by row.
    - torch.minimum(q1, q2)
    + q1

the lower critic is chosen for the whole batch
    Row by row: `torch.minimum`.
    - torch.minimum(q1, q2)
    + (q1 if q1.mean() < q2.mean() else q2)

the critics judge different actions
    Each has drawn noise of its own, so they do not disagree about one action: draw once.
    - q1, q2 = critics(blurred)
    + q1, _ = critics(blurred)
    +     noise = torch.clamp(0.2 * torch.randn_like(actions), -0.5, 0.5)
    +     _, q2 = critics(torch.clamp(actions + noise * (high - low) / 2, low, high))

it bootstraps from a terminal state
    Nothing comes after it: r alone.
    - torch.where(terminated, 0, torch.minimum(q1, q2))
    + torch.minimum(q1, q2)

it bootstraps from terminal states only
    `torch.where` takes its second argument where the first is true.
    - torch.where(terminated, 0, torch.minimum(q1, q2))
    + torch.where(terminated, torch.minimum(q1, q2), 0)

the reward of the last step is dropped
    Only what would come afterwards is 0 there.
    - (rewards + gamma * torch.where(terminated, 0, torch.minimum(q1, q2)))
    + torch.where(terminated, 0, rewards + gamma * torch.minimum(q1, q2))

the next value is not discounted
    It comes one step later: times γ.
    - gamma * torch.where
    + torch.where

a gradient flows into the target
    The value is right. But a target is a measurement, and the loss would move it: `.detach()`.
    - torch.minimum(q1, q2))).detach()
    + torch.minimum(q1, q2)))
""")


# ---------------------------------------------------------------------- ou_noise


def _ou_noise(normals: Tensor, theta: float, sigma: float) -> Tensor:
    """x_t = x_{t-1} - θ x_{t-1} + σ z_t, from x = 0 on: (T, D) from (T, D)."""
    x = torch.zeros_like(normals[0])
    rows = []
    for z in normals:
        x = x - theta * x + sigma * z
        rows.append(x)
    return torch.stack(rows)


ou_noise = Exercise(
    "ou_noise",
    chapter="11",
    reference=_ou_noise,
    also="`scipy.signal.lfilter([sigma], [1, theta - 1], normals, axis=0)` does it without a loop "
    "in Python: it is a filter with a memory of one number.",
    hints=(
        "Each number is the one before, pulled a little towards 0, and pushed a little by chance.",
        "Keep x, (D,), from step to step, beginning with zeros: less θ x, plus σ z. What comes out "
        "after the push is the row.",
        "`x = x - theta * x + sigma * z` in a loop over the rows of `normals`, and `torch.stack`.",
    ),
)


ou_noise.case(
    "a single push, and how it fades",
    lambda: (torch.tensor([[1.0], [0.0], [0.0], [0.0]]), 0.25, 2.0),
)


@ou_noise.case("two numbers, five steps")
def _():
    normals = torch.tensor([[0.5, -1.0], [1.2, 0.3], [-0.7, 2.0], [0.1, 0.4], [-1.5, 0.0]])
    return normals, 0.15, 0.2


ou_noise.case("one step", lambda: (torch.tensor([[0.8, -0.6]]), 0.3, 0.5))


@ou_noise.inputs
def _(draw):
    n, d = draw.size(1, 60), draw.integer(1, 4)
    normals = draw.floats(n, d, kinds="tenths whole equal")
    normals = normals.to(draw.one_of(torch.float32, torch.float64))
    return normals, draw.one_of(0.5, 0.15, 1.0, 0.3), draw.one_of(1.0, 0.2, 2.0)


ou_noise.patches(r"""
the pushes are drawn from 0 to 1
    `rand` pushes upwards only: the noise settles around σ / 2θ, and the agent explores one side
    (udacity/deep-reinforcement-learning#20). Use the normal numbers that are handed in.
    - sigma * z
    + sigma * torch.rand_like(z)

each number forgets the one before
    That is white noise. An Ornstein–Uhlenbeck process goes on from where it was, so that it pushes
    the same way for a while.
    - x - theta * x + sigma * z
    + sigma * z

nothing pulls it back
    Without θ it is a random walk, which goes away for good.
    - x - theta * x
    + x

it is pushed away from 0
    The pull goes against x: less θ x.
    - x - theta * x
    + x + theta * x

only θ of the last number is kept
    θ is the share that is lost in a step, 1 - θ the one that is kept.
    - x - theta * x
    + theta * x

σ is squared
    σ is the deviation of a push: each is σ z.
    - sigma * z
    + sigma**2 * z

σ is missing
    Each push is σ z, not z.
    - sigma * z
    + z

the push is weighted by θ, too
    That is a running mean of the pushes. Here each of them comes in with its full size, σ z.
    - sigma * z
    + theta * sigma * z

the push is pulled back at once
    What is pulled back is the number before: the new push is added after that.
    - x - theta * x + sigma * z
    + (x + sigma * z) * (1 - theta)

it begins with the first push as it is
    It begins at 0, and the first push comes in like any other, times σ.
    - torch.zeros_like(normals[0])
    + normals[0]

every row is the same tensor
    `x += …` changes the one `x` that the list holds many times. `x = x + …` makes a new one.
    - x = x - theta * x + sigma * z
    + x -= theta * x
    +         x += sigma * z

all numbers of an action have the same noise
    Each has pushes of its own.
    - sigma * z
    + sigma * z[:1]
""")


@ou_noise.mistake(
    "it is one step late",
    "A row is what comes out after its push; yours begins with the zero before.",
)
def _late(normals, theta, sigma):
    x = torch.zeros_like(normals[0])
    rows = []
    for z in normals:
        rows.append(x)
        x = x - theta * x + sigma * z
    return torch.stack(rows)
