"""Chapter 07: what a step was worth, estimated from rewards and from values."""

from __future__ import annotations

import torch
from torch import Tensor

from rlx import functional
from rlx.course.exercise import Exercise

DISCOUNTED = functional.discounted_returns  # the library's, also while somebody's stands there


def _a_short_a2c() -> Tensor:
    """A2C where episodes terminate, run out of time, and are cut by a segment's border."""
    import rlx

    envs = rlx.envs.make_vec("Reach-v0", 4, terminate_at=0.4, max_episode_steps=7)
    agent = rlx.Agent(envs, seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,))
    learner = rlx.algos.A2C(agent, policy, n_steps=20, gamma=0.9, gae_lambda=0.8)
    for _ in range(4):
        learner.update()
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


def _a_short_ddpg() -> Tensor:
    """DDPG from windows of a few rows, each of which is cut somewhere, by 3-step returns."""
    import rlx

    envs = rlx.envs.make_vec("Reach-v0", 4, terminate_at=0.4, max_episode_steps=7)
    agent = rlx.Agent(envs, seed=0)
    policy = rlx.critics.NoisyPolicy(agent, hidden=8, noise=0.5)
    options = {"n": 3, "length": 6, "n_steps": 20, "passes": 4, "warmup": 40, "lr": 0.01}
    learner = rlx.algos.DDPG(agent, policy, batch_size=16, tau=0.1, **options)
    for _ in range(4):
        learner.update()
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


CUT_THEN_TERMINATED = (
    ([1.0, -2.0, 3.0], [3.0, 5.0, 7.0, 2.0], "cut"),
    ([2.0, 6.0], [1.0, 9.0, 4.0], "terminated"),
)


def _table(*episodes: tuple[list[float], list[float], str]) -> tuple[Tensor, ...]:
    """Rewards, values, end, terminated. An episode: its rewards, one value more, how it ended."""
    columns = [[], [], [], []]
    for rewards, values, how in episodes:
        last = [False] * len(rewards) + [True]
        over = [how == "terminated" and one for one in last]
        for column, new in zip(columns, ([*rewards, 0.0], values, last, over)):
            column += new
    return tuple(map(torch.tensor, columns))


def _drawn(draw, high: int = 60, grad: bool = False) -> tuple[Tensor, ...]:
    """The same at random; an episode may be nothing but its end row."""
    end = draw.ends(draw.lengths(1, high))
    terminated = end & torch.tensor([draw.flag() if last else False for last in end])
    dtype = draw.one_of(torch.float32, torch.float64)
    rewards, values = (draw.floats(len(end)).to(dtype) for _ in range(2))
    return rewards * ~end, values.requires_grad_(grad and draw.flag()), end, terminated


# ---------------------------------------------------------------------- td_error


def _td_error(
    rewards: Tensor, values: Tensor, end: Tensor, terminated: Tensor, gamma: float
) -> Tensor:
    """δ_t = r_t + γ V_{t+1} - V_t: (N,), 0 at end rows, no gradient through V_{t+1}."""
    ahead = torch.where(terminated, 0.0, values.detach()).roll(-1)
    return torch.where(end, 0.0, rewards + gamma * ahead - values)


def _into_gae(answer):
    """Advantages out of an answer's TD errors."""

    def gae(rewards, values, end, terminated, gamma, gae_lambda):
        return DISCOUNTED(answer(rewards, values, end, terminated, gamma), end, gamma * gae_lambda)

    return gae


td_error = Exercise(
    "td_error",
    chapter="07",
    reference=_td_error,
    target="rlx.functional.gae",
    adapt=_into_gae,
    train=_a_short_a2c,
    also="No loop is needed: a whole column, shifted by one row, holds the next row's values. The "
    "last row then sees the first one's, which does no harm, because it is an end row.",
    hints=(
        "Before the step, V(s) was expected. What is known after it, and what is expected from "
        "there?",
        "The next state stands in the next row, also when the episode was cut: that is what the "
        "end row is for. Its value counts as 0 only where `terminated` is true. Nothing was done "
        "in an end row, so nothing turned out better or worse there.",
        "`ahead = torch.where(terminated, 0.0, values.detach()).roll(-1)`, then "
        "`torch.where(end, 0.0, rewards + gamma * ahead - values)`",
    ),
)


td_error.case(
    "two steps, then terminated, gamma 0.5",
    lambda: (*_table(([1.0, 2.0], [4.0, 8.0, 16.0], "terminated")), 0.5),
)
td_error.case(
    "two steps, then cut, gamma 0.5", lambda: (*_table(([1.0, 2.0], [4.0, 8.0, 16.0], "cut")), 0.5)
)


@td_error.case("an episode that was cut before one that terminated, gamma 0.9")
def _():
    episodes = ([1.0, -2.0], [3.0, 5.0, 7.0], "cut"), ([2.0, 6.0], [1.0, 9.0, 4.0], "terminated")
    return *_table(*episodes), 0.9


@td_error.case("values that are to be learned, gamma 0.5")
def _():
    rewards, values, *flags = _table(([1.0, 2.0, 0.0], [4.0, 8.0, 2.0, 6.0], "cut"))
    return rewards, values.requires_grad_(), *flags, 0.5


@td_error.inputs
def _(draw):
    return *_drawn(draw, grad=True), draw.gamma()


td_error.patches(r"""
a state after which nothing comes still has a value
    Where the environment terminated there is no later: V counts as 0 there, whatever the
    network says of that state. Replace it by 0 where `terminated` is true, before you look
    ahead.
    - torch.where(terminated, 0.0, values.detach())
    + values.detach()

an episode that was cut is taken for one that terminated
    You put 0 wherever an episode ends. A time limit stops our looking, not the world: the end
    row's own value stands for all that was never seen. Only `terminated` makes it 0.
    - torch.where(terminated, 0.0, values.detach())
    + torch.where(end, 0.0, values.detach())

a gradient flows through the value of the next state
    The numbers are right. But the square of this is a loss, and it must pull V(s) towards the
    target, not the target towards V(s): `.detach()` what stands for the future.
    - values.detach()
    + values

no gradient is left
    Both values are detached, so the square of this teaches nothing. Only the next state's value
    is a constant; V(s) is what learns.
    - ahead - values)
    + ahead - values.detach())

the gradient flows through the wrong one of the two values
    V(s) is what learns, and the next state's value is its target: you have detached the other.
    - values.detach()
    + values
    - ahead - values)
    + ahead - values.detach())

the sign is turned round
    Positive means better than expected: what is known now, less what was expected before.
    - rewards + gamma * ahead - values
    + values - rewards - gamma * ahead

the value of the state itself stands for that of the next
    You read the same row twice. The state that the step led to stands one row further down.
    - .roll(-1)

it looks back in place of ahead
    You use the value of the row *before*. `roll(-1)` moves each entry up by one, so that row t
    sees row t + 1; `roll(1)` goes the other way.
    - .roll(-1)
    + .roll(1)

γ is on the reward as well
    The reward of this step comes now. It is the next state that lies one step ahead: only its
    value is discounted.
    - rewards + gamma * ahead
    + gamma * (rewards + ahead)

γ is on the reward, and not on what comes later
    You discount the step's own reward. It is the next state's value that lies one step ahead.
    - rewards + gamma * ahead
    + gamma * rewards + ahead

nothing is discounted
    `gamma` is not used. What is expected one step later counts γ times as much.
    - gamma * ahead
    + ahead

the end rows are not 0
    In an end row nothing was done: there is no step that could have turned out better or worse.
    And the row below it belongs to another episode.
    - torch.where(end, 0.0, rewards + gamma * ahead - values)
    + rewards + gamma * ahead - values

V(s) is not subtracted
    That is the target. The error is the target less what was expected: less V(s).
    -  - values
    +  + 0 * values

the reward is left out
    A step brings a reward, and a new state. You compare only the two states.
    - rewards + gamma
    + gamma

γ multiplies the row's own value
    One step ahead counts γ: that is the next row. V(s) itself is now.
    - rewards + gamma * ahead - values
    + rewards + ahead - gamma * values
""")


# ---------------------------------------------------------------------- n_step_returns


def _n_step_returns(
    rewards: Tensor,
    values: Tensor,
    end: Tensor,
    terminated: Tensor,
    gamma: float,
    n: int | None = None,
) -> Tensor:
    """n rewards, then the value of the row they lead to; None: to the end. (N,)"""
    v = torch.where(terminated, 0.0, values)
    returns = v
    for _ in range(len(v) if n is None else n):
        returns = torch.where(end, v, rewards + gamma * returns.roll(-1))
    return returns


n_step_returns = Exercise(
    "n_step_returns",
    chapter="07",
    reference=_n_step_returns,
    target="rlx.functional.n_step_returns",
    train=_a_short_ddpg,
    also="Looking one row ahead, n times, needs n rounds of whole columns. The library needs "
    "log2(n) of them: two rounds together are one of the same kind, with twice the stride.",
    hints=(
        "Suppose that you know the return with n - 1 rewards of the *next* row. What is the one "
        "with n rewards of this row?",
        "With no reward at all, the return is V, or 0 where terminated. Each further reward is "
        "one more look ahead: the reward, and γ times what the next row had. End rows keep their V "
        "all the time, so nothing gets past them.",
        "`v = torch.where(terminated, 0.0, values)`; then n times, beginning with `returns = v`: "
        "`returns = torch.where(end, v, rewards + gamma * returns.roll(-1))`. For None, as often "
        "as there are rows.",
    ),
)


def _sums(rewards, values, end, terminated, gamma, n, *, reward=None, value=None):
    """Row by row: `reward(k, t)` weighs the k-th reward of row t, `value(k, t)` the last value."""
    reward = reward or (lambda k, t: gamma**k)
    value = value or reward
    v, returns = torch.where(terminated, 0.0, values), torch.zeros_like(values)
    for t in range(len(v)):
        k = 0
        while not end[t + k] and (n is None or k < n):
            returns[t] += reward(k, t) * rewards[t + k]
            k += 1
        returns[t] += value(k, t) * v[t + k]
    return returns


n_step_returns.case(
    "three steps, then cut, gamma 0.5, n = 2",
    lambda: (*_table(([1.0, 2.0, 4.0], [10.0, 20.0, 30.0, 80.0], "cut")), 0.5, 2),
)
n_step_returns.case(
    "three steps, then terminated, gamma 0.5, n = 2",
    lambda: (*_table(([1.0, 2.0, 4.0], [10.0, 20.0, 30.0, 80.0], "terminated")), 0.5, 2),
)


@n_step_returns.case("an episode that was cut before one that terminated, gamma 0.9, n = 3")
def _():
    episodes = (
        ([1.0, -2.0, 3.0, 1.0], [3.0, 5.0, 7.0, 2.0, 6.0], "cut"),
        ([2.0, 6.0], [1.0, 9.0, 4.0], "terminated"),
    )
    return *_table(*episodes), 0.9, 3


@n_step_returns.case("two episodes, gamma 0.9, to the end (n is None)")
def _():
    episodes = (
        ([1.0, -2.0, 3.0, 1.0], [3.0, 5.0, 7.0, 2.0, 6.0], "cut"),
        ([2.0, 6.0], [1.0, 9.0, 4.0], "terminated"),
    )
    return *_table(*episodes), 0.9, None


@n_step_returns.inputs
def _(draw):
    table = _drawn(draw, high=40)
    return *table, draw.gamma(), draw.one_of(1, 2, 3, None, 5, 30)


n_step_returns.mistake(
    "the value at the end of the sum is not discounted",
    "V of the row that n steps lead to lies n steps ahead, and counts γ to the power n, like a "
    "reward would there.",
)(
    lambda rewards, values, end, terminated, gamma, n=None: _sums(
        rewards, values, end, terminated, gamma, n, value=lambda k, t: 1.0
    )
)
n_step_returns.mistake(
    "the value at the end is discounted once, however far away it is",
    "V of the row that n steps lead to lies n steps ahead: γ to the power n, not γ.",
)(
    lambda rewards, values, end, terminated, gamma, n=None: _sums(
        rewards, values, end, terminated, gamma, n, value=lambda k, t: gamma if k else 1.0
    )
)
n_step_returns.patches(r"""
there are n - 1 rewards in the sum
    One is missing. With n = 1 the sum is the step's own reward and γ times the next row's V;
    yours would be V alone.
    - else n):
    + else n - 1):

there are n + 1 rewards in the sum
    One too many. With n = 1 the sum is the step's own reward and γ times the next row's V.
    - else n):
    + else n + 1):

nothing stops a sum at an end row
    Yours goes on past it: into the next episode, and from the table's last row back to its first.
    A sum that reaches an end row stops there, with that row's V.
    - torch.where(end, v, rewards + gamma * returns.roll(-1))
    + rewards + gamma * returns.roll(-1)

an episode that was cut is taken for one that terminated
    You end with 0 wherever an episode ends. A time limit stops our looking, not the world: the
    end row's own V stands for all that was never seen. Only `terminated` makes it 0.
    - torch.where(terminated, 0.0, values)
    + torch.where(end, 0.0, values)

a state after which nothing comes still has a value
    Where the environment terminated there is no later: V counts as 0 there, whatever the
    network says of that state.
    - torch.where(terminated, 0.0, values)
    + values

nothing is discounted
    `gamma` is not used, neither on the rewards nor on the value that ends the sum.
    - gamma * returns
    + returns

n is not used: every sum goes to the end
    That is what `n=None` asks for. With a number, stop after n rewards and put V there.
    - len(v) if n is None else n
    + len(v)

None is taken for one step
    `n=None` means as far as the episode goes.
    - len(v) if n is None else n
    + 1 if n is None else n

V(s) is subtracted: that is an advantage
    A return is asked for. Chapter 06 subtracts V(s) afterwards.
    - return returns
    + return returns - v

the sum runs on into the next episode
    A sum that reaches an end row stops there, with that row's V. What stands below it belongs
    to another episode, which the action cannot have caused.
    - torch.where(end, v, rewards + gamma * returns.roll(-1))
    + torch.cat([rewards[:-1] + gamma * returns[1:], v[-1:]])

there is a value only where the episode's end has been reached
    A sum of n rewards that stops in the middle of an episode does not know what comes next: that
    is what V is for.
    - returns = v
    + returns = torch.where(end, v, 0.0)
""")


@n_step_returns.mistake(
    "the value at the end is always discounted by γ to the power n",
    "A sum that stops earlier, at an end row, has fewer rewards: its value is as many steps ahead "
    "as there are rewards in the sum.",
)
def _always_n_ahead(rewards, values, end, terminated, gamma, n=None):
    v = torch.where(terminated, 0.0, values)
    n, found = len(v) if n is None else n, []
    for t in range(len(v)):
        total, k = 0.0, t
        while not end[k] and k - t < n:
            total, k = total + gamma ** (k - t) * rewards[k], k + 1
        found.append(total + gamma**n * v[k])
    return torch.stack(found)


n_step_returns.mistake(
    "the discount counts from the top of the table",
    "You weigh the reward in row k by γ to the power k, for every t. Seen from row t it lies k - t "
    "steps ahead: the count begins again at each row.",
)(
    lambda rewards, values, end, terminated, gamma, n=None: _sums(
        rewards, values, end, terminated, gamma, n, reward=lambda k, t: gamma ** (t + k)
    )
)
n_step_returns.mistake(
    "the rewards are not discounted",
    "They are added as they are. A reward k steps ahead counts γ to the power k.",
)(
    lambda rewards, values, end, terminated, gamma, n=None: _sums(
        rewards, values, end, terminated, gamma, n, reward=lambda k, t: 1.0,
        value=lambda k, t: gamma**k,
    )
)  # fmt: skip
n_step_returns.mistake(
    "there is no value at the end of the sum",
    "After n rewards the episode goes on. What is expected from there is V of that row; without it "
    "the sum would be too small.",
)(
    lambda rewards, values, end, terminated, gamma, n=None: _sums(
        rewards, values, end, terminated, gamma, n, value=lambda k, t: 0.0
    )
)


@n_step_returns.mistake(
    "rows with fewer than n steps left have no return",
    "Near its end an episode has fewer than n rewards left. Take those, and then the end row's V.",
)
def _only_whole_sums(rewards, values, end, terminated, gamma, n=None):
    returns = _n_step_returns(rewards, values, end, terminated, gamma, n)
    if n is None:
        return returns
    v = torch.where(terminated, 0.0, values)
    left = _n_step_returns(torch.ones_like(rewards), 0 * values, end, terminated, 1.0)
    return torch.where(left >= n, returns, torch.where(end, v, 0.0))


n_step_returns.mistake(
    "the end rows are 0",
    "An end row has no reward, but it has a value: its return is V, or 0 where terminated. Rows "
    "before it look there.",
)(
    lambda rewards, values, end, terminated, gamma, n=None: torch.where(
        end, 0.0, _n_step_returns(rewards, values, end, terminated, gamma, n)
    )
)


# ---------------------------------------------------------------------- gae


def _gae(
    rewards: Tensor,
    values: Tensor,
    end: Tensor,
    terminated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """A_t = δ_t + γλ A_{t+1}, within each episode: (N,), 0 at end rows."""
    v = torch.where(terminated, 0.0, values)
    advantages, later = torch.zeros_like(v), 0.0
    for t in reversed(range(len(v) - 1)):
        delta = rewards[t] + gamma * v[t + 1] - v[t]
        later = torch.where(end[t], 0.0, delta + gamma * gae_lambda * later)
        advantages[t] = later
    return advantages


gae = Exercise(
    "gae",
    chapter="07",
    reference=_gae,
    target="rlx.functional.gae",
    train=_a_short_a2c,
    also="With λ = 0 it is the TD error; with λ = 1 the return, bootstrapped at the end, less V. "
    "Whoever tests only λ = 1 does not see a λ that is missing.",
    hints=(
        "In an episode's last step nothing is known beyond its TD error. What does the step before "
        "know?",
        "Walk through the table backwards, and carry A of the row after. Two things happen at an "
        "end row: the carry begins again at 0, and the row itself gets 0. Its V is there for the "
        "row before it, or 0 if `terminated`.",
        "`v = torch.where(terminated, 0.0, values)`, and for t from the last but one to 0: `delta "
        "= rewards[t] + gamma * v[t + 1] - v[t]`, `later = 0.0 if end[t] else delta + gamma * "
        "gae_lambda * later`, `advantages[t] = later`.",
    ),
)


gae.case(
    "two steps, then terminated, gamma 0.5, lambda 0.8",
    lambda: (*_table(([1.0, 2.0], [4.0, 8.0, 16.0], "terminated")), 0.5, 0.8),
)
gae.case(
    "two steps, then cut, gamma 0.5, lambda 0.8",
    lambda: (*_table(([1.0, 2.0], [4.0, 8.0, 16.0], "cut")), 0.5, 0.8),
)
gae.case(
    "an episode that was cut before one that terminated, gamma 0.9, lambda 0.8",
    lambda: (*_table(*CUT_THEN_TERMINATED), 0.9, 0.8),
)
gae.case("the same, gamma 0.9, lambda 1", lambda: (*_table(*CUT_THEN_TERMINATED), 0.9, 1.0))


@gae.case("one that terminated before one that was cut, gamma 0.9, lambda 0")
def _():
    episodes = ([2.0, 6.0], [1.0, 9.0, 4.0], "terminated"), ([1.0, 3.0], [3.0, 5.0, 7.0], "cut")
    return *_table(*episodes), 0.9, 0.0


@gae.inputs
def _(draw):
    return *_drawn(draw, high=40), draw.gamma(), draw.one_of(0.5, 0.9, 1.0, 0.0, 0.95)


gae.patches(r"""
advantages leak through an episode that was cut into the one before
    Your carry begins again where the environment terminated, and only there. At a cut it goes
    on, so the last steps of one episode are praised for what happened in the next. Nothing
    crosses a row where `end` is true.
    - torch.where(end[t], 0.0,
    + torch.where(terminated[t], 0.0,

an episode that was cut is taken for one that terminated
    You put 0 wherever an episode ends. A time limit stops our looking, not the world: the end
    row's own value stands for all that was never seen. Only `terminated` makes it 0.
    - torch.where(terminated, 0.0, values)
    + torch.where(end, 0.0, values)

a state after which nothing comes still has a value
    Where the environment terminated there is no later: V counts as 0 there, whatever the
    network says of that state.
    - torch.where(terminated, 0.0, values)
    + values

the table's last step is skipped
    Your loop begins one row too early, so the last step gets 0, and those before it do not hear
    of it. The last row is an end row, the one before it is a step: `reversed(range(len(v) -
    1))`.
    - len(v) - 1
    + len(v) - 2

λ is missing
    Your carry is γ A, so every TD error to the end counts as if λ were 1: the return less V,
    with all its noise.
    - gamma * gae_lambda * later
    + gamma * later

γ is missing in the carry
    The later TD errors lie later, too: γλ for each step.
    - gamma * gae_lambda * later
    + gae_lambda * later

γ is missing in the TD error
    V of the next row lies one step ahead: γ times it.
    - gamma * v[t + 1]
    + v[t + 1]

it returns the λ-return, not the advantage
    V(s) has been added, or never taken away. That sum is what the critic learns; the policy
    needs how much *better* than V(s) the step was.
    - return advantages
    + return torch.where(end, 0.0, advantages + v)

it is the TD error: nothing is carried
    Each row is judged by its own step only, as if λ were 0.
    -  + gamma * gae_lambda * later

the sign is turned round
    Positive means better than expected.
    - return advantages
    + return -advantages

what is carried is never reset
    The first row of an episode stands below the last of the one before it, and has nothing to do
    with it: at each end row the carry starts again at 0.
    - later = torch.where(end[t], 0.0, delta
    + later = torch.where(end[t], later, delta
    - advantages[t] = later
    + advantages[t] = torch.where(end[t], 0.0, later)
""")


@gae.mistake(
    "where an episode was cut, it looks at the first state of the next one",
    "The row after the last step is the end row, the state that the step led to. You skip it and "
    "read the row below, where another episode begins.",
)
def _next_episode(rewards, values, end, terminated, gamma, gae_lambda):
    v = torch.where(terminated, 0.0, values)
    over = (end & ~terminated)[:-1]
    v = torch.cat([torch.where(over, v[1:], v[:-1]), v[-1:]])  # in the place of the end row's own
    return _gae(rewards, v, end, terminated, gamma, gae_lambda)


@gae.mistake(
    "the carry begins with V of the end row",
    "That value is in the last TD error already. What you carry is a sum of TD errors, and it "
    "begins empty: 0. Yours adds (γλ)^k V of the end row to the k-th step before it.",
)
def _seeded(rewards, values, end, terminated, gamma, gae_lambda):
    v = torch.where(terminated, 0.0, values)
    advantages, later = torch.zeros_like(v), 0.0
    for t in reversed(range(len(v))):
        if end[t]:
            later = v[t]
            continue
        later = rewards[t] + gamma * v[t + 1] - v[t] + gamma * gae_lambda * later
        advantages[t] = later
    return advantages


@gae.mistake(
    "each episode's last step is skipped",
    "It gets 0, and those before it do not hear of it. Its next state is the end row, which has a "
    "value, or 0 if `terminated`: so its TD error is known.",
)
def _last_steps(rewards, values, end, terminated, gamma, gae_lambda):
    v = torch.where(terminated, 0.0, values)
    advantages, later = torch.zeros_like(v), 0.0
    for t in reversed(range(len(v) - 1)):
        delta = rewards[t] + gamma * v[t + 1] - v[t]
        later = 0.0 if end[t] or end[t + 1] else delta + gamma * gae_lambda * later
        advantages[t] = later
    return advantages


@gae.mistake(
    "the sum runs forward",
    "You carry from the row *before*: a step is praised for what came earlier, which it cannot "
    "have caused. Walk backwards.",
)
def _forward(rewards, values, end, terminated, gamma, gae_lambda):
    v = torch.where(terminated, 0.0, values)
    advantages, before = torch.zeros_like(v), 0.0
    for t in range(len(v) - 1):
        delta = rewards[t] + gamma * v[t + 1] - v[t]
        before = torch.where(end[t], 0.0, delta + gamma * gae_lambda * before)
        advantages[t] = before
    return advantages


# ---------------------------------------------------------------------- gae_side_by_side


def _gae_side_by_side(
    rewards: Tensor,
    values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Advantages of what a vector environment of gymnasium returned: (T, B), 0 in ghost rows."""
    over = terminated | truncated
    ghost = torch.cat([torch.zeros_like(over[:1]), over[:-1]])
    advantages, later = torch.zeros_like(rewards), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        ahead = torch.where(terminated[t], 0.0, values[t + 1])
        delta = rewards[t] + gamma * ahead - values[t]
        later = delta + gamma * gae_lambda * torch.where(over[t], 0.0, later)
        advantages[t] = torch.where(ghost[t], 0.0, later)
    return advantages


gae_side_by_side = Exercise(
    "gae_side_by_side",
    chapter="07",
    reference=_gae_side_by_side,
    optional=True,
    also="rlx makes a table of these rows once, while it plays: a ghost row becomes the end row of "
    "the episode before it. Then nobody has to think of it again.",
    hints=(
        "Which rows are ghosts? And which of the two flags says that the next row has no value, "
        "which that the carry begins again?",
        "A ghost row follows each row in which one of the flags is true; its own flags are false. "
        "The value of the next row is that of the state that the step led to, also after a cut: "
        "only `terminated` makes it 0. The carry begins again after either.",
        "`ghost = torch.cat([torch.zeros_like(over[:1]), over[:-1]])` with `over = terminated | "
        "truncated`; backwards over all rows, and `advantages[t] = torch.where(ghost[t], 0.0, "
        "later)`.",
    ),
)


def _side_by_side(rewards, values, ends) -> tuple[Tensor, ...]:
    """`ends`: for each row and environment "-", or "t" or "c", for terminated or cut."""
    flags = (torch.tensor([[one == kind for one in row] for row in ends]) for kind in "tc")
    return torch.tensor(rewards), torch.tensor(values), *flags


gae_side_by_side.case(
    "one environment, cut after two steps, then a ghost row and a step; gamma 0.5, lambda 0.5",
    lambda: (
        *_side_by_side(
            [[1.0], [2.0], [0.0], [4.0]], [[4.0], [8.0], [16.0], [2.0], [6.0]], ["-", "c", "-", "-"]
        ),
        *(0.5, 0.5),
    ),
)
gae_side_by_side.case(
    "one environment that terminates after two steps; gamma 0.5, lambda 0.5",
    lambda: (
        *_side_by_side(
            [[1.0], [2.0], [0.0], [4.0]], [[4.0], [8.0], [16.0], [2.0], [6.0]], ["-", "t", "-", "-"]
        ),
        *(0.5, 0.5),
    ),
)
gae_side_by_side.case(
    "two environments; one terminates in the last row, one was cut before; gamma 0.9, lambda 0.8",
    lambda: (
        *_side_by_side(
            [[1.0, 3.0], [-2.0, 0.0], [3.0, 1.0]],
            [[3.0, 2.0], [5.0, 7.0], [7.0, 1.0], [2.0, 4.0]],
            ["-c", "--", "t-"],
        ),
        *(0.9, 0.8),
    ),
)


@gae_side_by_side.inputs
def _(draw):
    steps, envs = draw.size(1, 40), draw.integer(1, 4)
    terminated, truncated = torch.zeros(2, steps, envs, dtype=torch.bool)
    ghost = torch.zeros(steps + 1, envs, dtype=torch.bool)
    for t in range(steps):
        for b in range(envs):
            if not ghost[t, b]:
                how = draw.one_of("goes on", "cut", "goes on", "terminated", "both")
                terminated[t, b] = how in ("terminated", "both")
                truncated[t, b] = how in ("cut", "both")
                ghost[t + 1, b] = how != "goes on"
    dtype = draw.one_of(torch.float32, torch.float64)
    rewards, values = draw.floats(steps, envs).to(dtype), draw.floats(steps + 1, envs).to(dtype)
    flags = terminated, truncated
    return rewards * ~ghost[:-1], values, *flags, draw.gamma(), draw.one_of(0.5, 0.9, 1.0, 0.0)


gae_side_by_side.patches(r"""
ghost rows have an advantage
    In a ghost row the environment resets: the action was ignored. What is learned there says that
    an episode's last state leads to the first one of the next. Put 0.
    - torch.where(ghost[t], 0.0, later)
    + later

advantages leak through a cut
    The carry begins again after either flag. Yours goes on after a cut, into a ghost row and the
    next episode.
    - torch.where(over[t], 0.0, later)
    + torch.where(terminated[t], 0.0, later)

a cut is taken for a death
    Only termination makes the next value 0. After a cut, the next row holds the state in which we
    stopped looking, and its value counts.
    - torch.where(terminated[t], 0.0, values[t + 1])
    + torch.where(over[t], 0.0, values[t + 1])

a state after which nothing comes still has a value
    Where the environment terminated there is no later: its value counts as 0.
    - torch.where(terminated[t], 0.0, values[t + 1])
    + values[t + 1]

the last row is skipped
    `values` has a row more than `rewards`: the last step's next value is there.
    - range(len(rewards))
    + range(len(rewards) - 1)

the last step of an episode is taken for the ghost row
    The flags stand in the row of the last step, which is a step like any other. The ghost row is
    the one after it.
    - ghost = torch.cat([torch.zeros_like(over[:1]), over[:-1]])
    + ghost = over

λ is missing
    Each further TD error counts λ times as much.
    - gamma * gae_lambda * torch
    + gamma * torch
""")


# ---------------------------------------------------------------------- lambda_weights


def _lambda_weights(steps: int, gae_lambda: float) -> Tensor:
    """The weight of each n-step return, n = 1 … steps, in the λ-return: (steps,)."""
    weights = (1 - gae_lambda) * gae_lambda ** torch.arange(steps)
    weights[-1] = gae_lambda ** (steps - 1)
    return weights


lambda_weights = Exercise(
    "lambda_weights",
    chapter="07",
    reference=_lambda_weights,
    also="The last weight is what all longer sums would have had together: (1 - λ) (λ^k + λ^(k+1) "
    "+ …) = λ^k. In an episode's last steps nearly all of the weight is there.",
    hints=(
        "How much do the first weights add up to? How much is left for the last one?",
        "Sum n of them is (1 - λ) λ^(n-1), for all but the longest. Sums that would be longer all "
        "end in the same end row, and so they are the longest one.",
        "`weights = (1 - gae_lambda) * gae_lambda ** torch.arange(steps)`, then `weights[-1] = "
        "gae_lambda ** (steps - 1)`",
    ),
)


lambda_weights.case("three steps left, lambda 0.8", lambda: (3, 0.8))
lambda_weights.case("one step left, lambda 0.9", lambda: (1, 0.9))
lambda_weights.case("four steps left, lambda 0", lambda: (4, 0.0))
lambda_weights.case("four steps left, lambda 0.9", lambda: (4, 0.9))


@lambda_weights.inputs
def _(draw):
    return draw.integer(1, 60), draw.one_of(0.5, 0.9, 1.0, 0.0, 0.95, 0.3)


lambda_weights.patches(r"""
the weights do not add up to 1
    You weigh the longest sum like the others. But all that would be longer end in the same end
    row, so it stands for them as well: what is left over is its own.
    - weights[-1] = gae_lambda ** (steps - 1)

1 - λ is missing
    λ^(n-1) alone adds up to more than 1. All sums but the longest are weighed by 1 - λ, too.
    - (1 - gae_lambda) * gae_lambda
    + gae_lambda

the power of λ begins at 1
    The sum with a single reward counts 1 - λ, the next one (1 - λ) λ: the power is n - 1.
    - torch.arange(steps)
    + torch.arange(1, steps + 1)

what is left over is taken for λ^steps
    Before the longest there are steps - 1 sums. Their weights add up to 1 - λ^(steps - 1).
    - gae_lambda ** (steps - 1)
    + gae_lambda ** steps

the last weight is what is left over, and its own share a second time
    λ^(steps - 1) is all that is left after the sums before it. You have added it to (1 - λ)
    λ^(steps - 1).
    - weights[-1] =
    + weights[-1] +=

the order is turned round
    The first entry is that of the shortest sum, with a single reward.
    - return weights
    + return weights.flip(0)

λ and 1 - λ are exchanged
    With λ = 1 only the longest sum counts, with λ = 0 only the shortest. Yours do the opposite.
    - (1 - gae_lambda) * gae_lambda ** torch
    + gae_lambda * (1 - gae_lambda) ** torch
    - gae_lambda ** (steps - 1)
    + (1 - gae_lambda) ** (steps - 1)

all weights are scaled until they add up to 1
    The short sums then get a part of what belongs to the longest; and with λ = 1 you divide 0 by 0.
    What is left over is the longest sum's own.
    - weights[-1] = gae_lambda ** (steps - 1)
    + weights = weights / weights.sum()
""")


@lambda_weights.mistake(
    "what is left over is spread over all of them",
    "You divide by the sum, so that they add up to 1. Which sum do those stand for that would run "
    "beyond the end? The longest, and no other: the rest is its own.",
)
def _rescaled(steps, gae_lambda):
    weights = gae_lambda ** torch.arange(steps).float()
    return weights / weights.sum()


lambda_weights.mistake(
    "every sum has the same weight",
    "λ says how fast the weight falls with the length of the sum.",
)(lambda steps, gae_lambda: torch.full((steps,), 1 / steps))
