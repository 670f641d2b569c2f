"""Chapter 10: what Q-learning is made of."""

from __future__ import annotations

import torch
from torch import Tensor

from rlx.course.exercise import Exercise, Wrong
from rlx.course.seeds import Drawn


def _dqn(updates: int = 5, **options) -> Tensor:
    """The parameters after a few updates of DQN, whose replay is full and goes round."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("CartPole-v1", 4), seed=0)
    network = rlx.critics.QNetwork(agent, hidden=(8,))
    options = {"n_steps": 12, "passes": 6, "batch_size": 32, "lr": 0.05, "tau": 0.1, **options}
    learner = rlx.algos.DQN(agent, network, capacity=120, warmup=0, epsilon_steps=200, **options)
    for _ in range(updates):
        learner.update()
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach()


# ---------------------------------------------------------------------- epsilon_greedy

CALLS, EACH = 30, 100  # calls, and rows of each state in a call


def _epsilon_greedy(q: Tensor, epsilon: float | Tensor) -> Tensor:
    """For each row its best action, or with probability ε any: (N,) from (N, A)."""
    n, actions = q.shape
    explores = torch.rand(n) < epsilon
    anything = torch.randint(actions, (n,))
    return torch.where(explores, anything, q.argmax(dim=1))


def _chosen(answer, q: Tensor, epsilon: float | Tensor) -> dict:
    """What is to be seen in many draws, whichever random numbers they were made with."""
    states, actions = q.shape
    many = q.repeat_interleave(EACH, 0)
    each = epsilon
    if getattr(epsilon, "ndim", 0):
        each = epsilon.repeat_interleave(EACH, 0)
    found, randoms = [], []
    for _ in range(CALLS):
        chosen = answer(many.clone(), each)
        randoms.append(float(torch.rand(1)))
        if not isinstance(chosen, Tensor) or tuple(chosen.shape) != (len(many),):
            shape = tuple(getattr(chosen, "shape", ()))
            raise Wrong(
                f"the result has shape {shape}, not {(len(many),)}",
                "One action for each row of Q-values.",
            )
        if chosen.is_floating_point() or chosen.dtype == torch.bool:
            raise Wrong(
                f"the actions are {chosen.dtype}",
                "Actions are numbered: whole numbers, int64, as `argmax` gives them.",
            )
        if not 0 <= chosen.min() <= chosen.max() < actions:
            raise Wrong(
                "there is an action that does not exist",
                f"Actions go from 0 to {actions - 1}, yours from {chosen.min()} to {chosen.max()}.",
            )
        found.append(chosen)
    repeated = []
    for _ in range(2):
        torch.manual_seed(1)
        repeated.append(answer(many.clone(), each))
    rows = torch.stack(found).view(CALLS, states, EACH).transpose(0, 1)  # (states, CALLS, EACH)
    onehot = torch.nn.functional.one_hot(rows, actions).double()
    shares, best = onehot.mean((1, 2)), q.argmax(1)
    greedy = torch.nn.functional.one_hot(best, actions)
    probable = torch.as_tensor(epsilon).double().expand(states)[:, None]
    right = probable / actions + (1 - probable) * greedy
    away = (rows != best[:, None, None]).double().mean(2)  # (states, CALLS)
    seen = {
        "the dtype": str(found[0].dtype),
        "is the best action as frequent as ε says": _near(shares, right, greedy == 1),
        "are the others as frequent as ε says": _near(shares, right, greedy == 0),
        "are all actions alike": bool((shares - 1 / actions).abs().max() < 0.06),
        "is the best one ever left out where ε is 0": bool((away[probable[:, 0] == 0] > 0).any()),
        "does each row decide for itself whether to explore": bool(
            (away - away.mean(1, keepdim=True)).abs().max() < 0.3
        ),
        "are torch's random numbers left to go on": len(set(randoms)) > 1,
        "does `torch.manual_seed` repeat the actions": torch.equal(*repeated),
    }
    if actions > 2 and (probable > 0.15).any():
        others = [
            {a for a in call.tolist() if a != b}
            for state, b, e in zip(rows, best.tolist(), probable[:, 0].tolist())
            for call in state
            if e > 0.15
        ]
        seen["do rows that explore draw an action each"] = any(len(some) > 1 for some in others)
    return seen


def _near(found: Tensor, right: Tensor, where: Tensor) -> bool:
    """Within seven standard errors of 3000 draws."""
    return bool((found - right)[where].abs().max() < 0.06)


epsilon_greedy = Exercise(
    "epsilon_greedy",
    chapter="10",
    reference=_epsilon_greedy,
    target="rlx.functional.epsilon_greedy",
    call=_chosen,
    time_limit=20.0,  # for a loop over rows
    train=_dqn,
    also="As a distribution, ε / A everywhere and 1 - ε more at the best action: "
    "`torch.distributions.Categorical(probs=…)` draws the same, and tells log-probabilities.",
    hints=(
        "Two questions for each row: does it explore, and what would it do then?",
        "`torch.rand(n) < epsilon` asks the first, once a row. `torch.randint` answers the second, "
        "again once a row. `torch.where` chooses between that and the best action.",
        "`torch.where(torch.rand(n) < epsilon, torch.randint(actions, (n,)), q.argmax(dim=1))`",
    ),
)


epsilon_greedy.case(
    f"two states and three actions, ε = 0.3, {CALLS} times {EACH} rows of each",
    lambda: (torch.tensor([[1.0, 3.0, 2.0], [0.5, -1.0, -2.0]]), 0.3),
)
epsilon_greedy.case("ε = 0: nothing but the best", lambda: (torch.tensor([[-3.0, -1.0]]), 0.0))


@epsilon_greedy.case("three states with an ε each: 0, 0.5 and 1")
def _():
    q = torch.tensor([[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0], [0.0, 5.0, 1.0, 2.0]])
    return q, torch.tensor([0.0, 0.5, 1.0])


@epsilon_greedy.inputs
def _(draw):
    states, actions = draw.integer(1, 3), draw.integer(2, 5)
    q = draw.floats(states, actions, kinds="whole tenths wide") + 0.01 * torch.arange(actions)
    levels = (0.3, 0.6, 0.0, 1.0)
    if draw.flag():
        return q, torch.tensor([draw.one_of(*levels) for _ in range(states)])
    epsilon = draw.one_of(*levels)
    return q.requires_grad_(draw.flag()), torch.tensor(epsilon) if draw.flag() else epsilon


epsilon_greedy.patches(r"""
it explores where it should not, and the other way round
    A random number is below ε with probability ε: that is when to explore. Yours takes the
    best action with probability ε.
    - torch.rand(n) < epsilon
    + torch.rand(n) > epsilon

one draw decides for the whole batch
    All rows explore together, or none does. Each row is another environment, and decides
    for itself: `torch.rand(n)`.
    - torch.rand(n)
    + torch.rand(1)

one random action serves the whole batch
    Rows that explore all do the same: `torch.randint(actions, (n,))` draws one for each.
    - torch.randint(actions, (n,))
    + torch.randint(actions, (1,)).expand(n)

the best action is left out when it explores
    "Any" includes the best: it has the probability 1 - ε + ε / A, the others ε / A each.
    Yours explores more than ε says.
    - torch.randint(actions, (n,))
    + (q.argmax(dim=1) + torch.randint(1, actions, (n,))) % actions

the last action is never explored
    `torch.randint(k, …)` draws from 0 to k - 1 already.
    - torch.randint(actions, (n,))
    + torch.randint(max(actions - 1, 1), (n,))

the first action is never explored
    Actions are numbered from 0, and `torch.randint(actions, …)` draws from 0 on.
    - torch.randint(actions, (n,))
    + torch.randint(1, actions, (n,))

the worst action is taken for the best
    The best one has the largest Q-value: `argmax`.
    - q.argmax(dim=1)
    + q.argmin(dim=1)

nothing is explored
    Where nothing else is tried, nothing else is learned about.
    - explores, anything, q.argmax(dim=1)
    + explores & False, anything, q.argmax(dim=1)

everything is explored
    The best action is never taken on purpose.
    - explores, anything, q.argmax(dim=1)
    + explores | True, anything, q.argmax(dim=1)

the first row's ε is used for all
    With an ε for each environment, some explore more than others.
    - < epsilon
    + < (epsilon[0] if getattr(epsilon, "ndim", 0) else epsilon)

the generator is seeded
    Each call then explores in the same rows, and so does everybody else who draws after
    you. Leave the generator alone.
    - n, actions = q.shape
    + torch.manual_seed(0); n, actions = q.shape
""")


@epsilon_greedy.mistake(
    "it draws in proportion to the values",
    "A softmax makes better actions more frequent. ε-greedy does not look at how much worse the "
    "others are.",
)
def _softmax(q, epsilon):
    return torch.distributions.Categorical(logits=q.detach()).sample()


# ---------------------------------------------------------------------- td_target


def _td_target(
    rewards: Tensor, next_values: Tensor, terminated: Tensor, truncated: Tensor, gamma: float
) -> Tensor:
    """r + γ V(s'), or r where the environment terminated: (N,), without gradient."""
    with torch.no_grad():
        ahead = torch.where(terminated, 0.0, next_values)
        return rewards + gamma * ahead


td_target = Exercise(
    "td_target",
    chapter="10",
    reference=_td_target,
    target="rlx.functional.td_target",
    adapt=lambda answer: (
        lambda rewards, next_values, terminated, gamma: answer(
            rewards, next_values, terminated, torch.zeros_like(terminated), gamma
        )
    ),
    train=_dqn,
    also="`rewards + gamma * ~terminated * next_values.detach()` is shorter. It fails where the "
    "value of a terminal state is infinite or NaN: 0 times that is NaN, which `torch.where` "
    "leaves alone.",
    hints=(
        "What comes after the step is worth V(s'), one step later. When does nothing come?",
        "After `terminated` there is nothing. After `truncated` there is: the episode was only cut "
        "off. And a target is a constant: no gradient flows back from it.",
        "`rewards + gamma * torch.where(terminated, 0.0, next_values)`, within `torch.no_grad()`.",
    ),
)


@td_target.case("a step on the way, one into a terminal state, one that a time limit cut")
def _():
    flags = torch.tensor([[False, True, False], [False, False, True]])
    values = torch.tensor([4.0, 6.0, 10.0])
    return torch.tensor([1.0, 2.0, 3.0]), values, flags[0], flags[1], 0.5


@td_target.case("values of a network, which ask for a gradient")
def _():
    values = torch.tensor([2.0, -1.0], requires_grad=True)
    nothing = torch.zeros(2, dtype=torch.bool)
    return torch.tensor([0.5, 1.5]), values, torch.tensor([False, True]), nothing, 0.9


@td_target.case("both flags at once, of which `terminated` counts")
def _():
    yes = torch.tensor([True])
    return torch.tensor([1.0]), torch.tensor([8.0]), yes, yes, 0.5


@td_target.inputs
def _(draw):
    n, dtype = draw.size(1, 300), draw.one_of(torch.float32, torch.float64)
    rewards, values = draw.floats(n).to(dtype), draw.floats(n).to(dtype)
    flags = [torch.tensor([draw.integer(0, 2) == 2 for _ in range(n)]) for _ in range(2)]
    return rewards, values.requires_grad_(draw.flag()), *flags, draw.gamma()


td_target.patches(r"""
a time limit counts as an end
    Where an episode is only cut off, the state goes on being worth what it is worth. Yours
    teaches that a good state is worthless if the clock stops there.
    - torch.where(terminated,
    + torch.where(terminated | truncated,

termination is ignored
    After a terminal state nothing comes. Yours adds the value of a state that nobody will
    ever be in: falling over looks as good as standing.
    - torch.where(terminated, 0.0, next_values)
    + next_values

the two flags are exchanged
    `terminated` ends the sum. `truncated` only stops the clock.
    - torch.where(terminated,
    + torch.where(truncated,

terminated is the wrong way round
    0 where the episode terminated, the value everywhere else.
    - torch.where(terminated, 0.0, next_values)
    + torch.where(terminated, next_values, 0.0)

a gradient flows into the target
    The number is right. But the target would be pulled towards the value, as much as the
    value towards the target: `detach` it, or compute it within `torch.no_grad()`.
    - with torch.no_grad():
    + with torch.enable_grad():

what comes next is not discounted
    It comes one step later: γ times.
    - gamma * ahead
    + ahead

the reward is discounted, too
    The reward comes now. Only what follows it is discounted.
    - rewards + gamma * ahead
    + gamma * (rewards + ahead)

it is off by one row: the value is that of the row after
    `next_values` belong to the row already: each is where that row's step led.
    - next_values)
    + next_values.roll(-1))

it is off by one row: the value is that of the row before
    `next_values` belong to the row already: each is where that row's step led.
    - next_values)
    + next_values.roll(1))

the largest value of the batch is used for all rows
    The maximum is over the actions of one state, and has been taken. Rows are other states.
    - next_values)
    + next_values.max())

the last reward is lost
    Where the episode terminates, the reward of that step still counts: r + 0.
    - rewards + gamma * ahead
    + torch.where(terminated, 0.0, rewards + gamma * ahead)

only the reward is learned
    That is what a step pays. What it leads to is left out: add γ times `next_values`.
    - rewards + gamma * ahead
    + rewards + 0 * ahead
""")


# ---------------------------------------------------------------------- double_q_value


def _double_q_value(q_online: Tensor, q_target: Tensor) -> Tensor:
    """What the target network thinks of the online network's choice: (N,) from two (N, A)."""
    choice = q_online.argmax(dim=1, keepdim=True)
    return q_target.detach().gather(1, choice).squeeze(1)


double_q_value = Exercise(
    "double_q_value",
    chapter="10",
    reference=_double_q_value,
    target="rlx.functional.double_q_value",
    train=_dqn,
    also="`q_target[torch.arange(len(q_target)), q_online.argmax(1)]` picks the same numbers.",
    hints=(
        "One network says which action, the other what it is worth. Which is which?",
        "The online network chooses: `argmax` over its actions, row by row. Then look this action "
        "up in the target network's row: `gather` does it for all rows. No gradient.",
        "`choice = q_online.argmax(dim=1, keepdim=True)`, then "
        "`q_target.detach().gather(1, choice).squeeze(1)`.",
    ),
)


@double_q_value.case("two states, three actions, and networks that do not agree on the best")
def _():
    online = torch.tensor([[1.0, 5.0, 2.0], [7.0, 0.0, 3.0]])
    return online, torch.tensor([[10.0, 3.0, 20.0], [1.0, 2.0, 4.0]])


@double_q_value.case("two networks that ask for a gradient")
def _():
    online = torch.tensor([[0.5, -0.5], [-2.0, -1.0]], requires_grad=True)
    return online, torch.tensor([[3.0, 4.0], [-3.0, -5.0]], requires_grad=True)


double_q_value.case(
    "one state", lambda: (torch.tensor([[-1.0, -2.0, -4.0]]), torch.tensor([[-7.0, -3.0, -5.0]]))
)


@double_q_value.inputs
def _(draw):
    n, actions = draw.size(1, 200), draw.integer(2, 5)
    dtype = draw.one_of(torch.float32, torch.float64)
    online, target = (
        draw.floats(n, actions, kinds="tenths whole wide").to(dtype) for _ in range(2)
    )
    return online.requires_grad_(draw.flag()), target.requires_grad_(draw.flag())


double_q_value.patches(r"""
the target network chooses, too
    That is the maximum of one network: whichever action it overrates is chosen, because it
    is overrated, and valued by the same error. Let the online network choose.
    - q_online.argmax(dim=1, keepdim=True)
    + q_target.argmax(dim=1, keepdim=True)

the online network judges its own choice
    That is the maximum over the online network: the error that made the choice is believed,
    and the target network is not asked.
    - q_target.detach().gather
    + q_online.detach().gather

the roles are exchanged
    The online network is the newer one, and chooses. The target network judges.
    - q_online.argmax
    + q_target.argmax
    - q_target.detach()
    + q_online.detach()

a gradient flows into the target network
    The number is right. But a target is a constant: `detach`, or `torch.no_grad()`.
    - q_target.detach().gather
    + q_target.gather

the best row is chosen, not the best action
    Rows are states, columns are actions. `dim=1` goes along the actions of a state.
    - q_online.argmax(dim=1, keepdim=True)
    + (q_online.argmax(dim=0)[:1, None] % q_online.shape[1]).expand(len(q_online), 1)

the worst action is chosen
    The best action has the largest Q-value: `argmax`.
    - q_online.argmax
    + q_online.argmin

the number of the action is returned, not its value
    You have found what the online network chooses. Look it up in `q_target`.
    - return q_target.detach().gather(1, choice).squeeze(1)
    + return choice.squeeze(1).to(q_target.dtype)

the two networks are averaged
    The online network's error stays in the choice's value, by half.
    - q_target.detach().gather
    + ((q_online + q_target) / 2).detach().gather

the mean over the actions is returned
    Nobody acts at random here: the value is that of the action chosen.
    - q_target.detach().gather(1, choice).squeeze(1)
    + q_target.detach().mean(1)

the average network chooses
    The online network chooses alone: `q_online.argmax`.
    - q_online.argmax
    + (q_online + q_target).argmax

each result has a row of its own
    (N, 1) in place of (N,): where it meets rewards of shape (N,) there will be (N, N).
    - .squeeze(1)
    +
""")


def _lower_q_value(q_online: Tensor, q_target: Tensor) -> Tensor:
    """The lower of both networks' judgements of the online network's choice: (N,)."""
    choice = q_online.argmax(dim=1, keepdim=True)
    both = torch.minimum(q_online, q_target).detach()
    return both.gather(1, choice).squeeze(1)


double_q_value.harder(
    "lower_q_value",
    _lower_q_value,
    (
        "The choice is as before. Two networks judge it.",
        "Take the smaller of the two at each action, then look the choice up. No gradient.",
        "`torch.minimum(q_online, q_target).detach().gather(1, choice).squeeze(1)`",
    ),
    r"""
    the higher of the two is believed
        Then an error of either network is enough: take the lower one.
        - torch.minimum
        + torch.maximum

    the target network alone judges
        That is the exercise before this one: here the lower of the two counts.
        - torch.minimum(q_online, q_target).detach()
        + q_target.detach()

    the choice is made where both agree most
        The online network chooses, as before; only the judgement is of both.
        - q_online.argmax(dim=1, keepdim=True)
        + torch.minimum(q_online, q_target).argmax(dim=1, keepdim=True)

    a gradient flows into it
        The number is right. But a target is a constant: `.detach()`.
        - torch.minimum(q_online, q_target).detach()
        + torch.minimum(q_online, q_target)

    it is their mean
        The mean of a right and a too high judgement is too high.
        - torch.minimum(q_online, q_target)
        + ((q_online + q_target) / 2)
    """,
    also="TD3, in chapter 11, judges its policy's action in the same way: by the lower of two "
    "critics.",
)


# ---------------------------------------------------------------------- replay_indices


def _replay_indices(drawn: Tensor, end: Tensor, size: int, length: int) -> tuple[Tensor, Tensor]:
    """The rows of the windows that begin at drawn steps, back to back, and each one's length."""
    first = drawn[drawn < size]
    first = first[~end[first]]
    rows = (first[:, None] + torch.arange(length)) % len(end)
    ends = end[rows].long()
    inside = ends.cumsum(1) - ends == 0
    return rows[inside], inside.sum(1)


replay_indices = Exercise(
    "replay_indices",
    chapter="10",
    reference=_replay_indices,
    target="rlx.functional.replay_indices",
    adapt=lambda answer: lambda first, end, length: answer(first, end, len(end), length),
    train=lambda: torch.cat([_dqn(), _dqn(length=5, n=3)]),
    results=("rows", "lengths"),
    also="A loop over the windows, row by row until an end row, is as right, and slower. Where "
    "windows are transitions, `length` 2, `first` and `first + 1` are all there is.",
    hints=(
        "Which of the drawn rows may begin a window? And where does a window stop, at the latest?",
        "Drop what is not filled, and end rows. Then count upwards from each first row, and begin "
        "at 0 again after the ring's last row: `%`. A row belongs to the window if there is no end "
        "row *before* it.",
        "`rows = (first[:, None] + torch.arange(length)) % len(end)`. With `ends = "
        "end[rows].long()`, a row is inside where `ends.cumsum(1) - ends == 0`. Then "
        "`rows[inside]` and `inside.sum(1)`.",
    ),
)


def _ring(lengths: list[int], capacity: int) -> tuple[Tensor, int]:
    """The end column of a ring after episodes of so many rows, and how many rows are filled."""
    end, row = torch.zeros(capacity, dtype=torch.bool), 0
    for length in lengths:
        for k in range(length):
            end[row % capacity] = k == length - 1
            row += 1
    return end, min(row, capacity)


replay_indices.case(
    "two episodes of 5 and 3 rows in a ring of 10, windows of 3",
    lambda: (torch.tensor([3, 0, 4, 8, 5, 2]), *_ring([5, 3], 10), 3),
)
replay_indices.case(
    "a full ring of 8: the newest episode goes on in row 0, windows of 4",
    lambda: (torch.tensor([6, 7, 1, 3, 6]), *_ring([6, 4], 8), 4),
)
replay_indices.case(
    "transitions: windows of 2", lambda: (torch.tensor([0, 5, 2, 6, 1]), *_ring([3, 4], 8), 2)
)


@replay_indices.inputs
def _(draw):
    lengths = draw.lengths(2, 7)
    rows = sum(lengths)
    capacity = rows + draw.integer(0, 4) if draw.flag() else max(lengths[-1], rows - 3, 4)
    drawn = torch.tensor([draw.integer(0, capacity - 1) for _ in range(draw.size(1, 40))])
    return drawn, *_ring(lengths, capacity), draw.integer(2, 6)


replay_indices.patches(r"""
windows run across the end of an episode
    What follows an end row is another episode: a fall would lead to a fresh start. Stop at
    the first end row, which still belongs to the window.
    - inside = ends.cumsum(1) - ends == 0
    + inside = ends == ends

the end row is left out
    Where the last step led is needed: its value, or that it is terminal. The first end row
    belongs to the window.
    - ends.cumsum(1) - ends == 0
    + ends.cumsum(1) == 0

rows that were never filled are used
    Until the ring is full, rows from `size` on hold zeros: nothing that anybody has seen.
    - first = drawn[drawn < size]
    + first = drawn

a window begins at an end row
    Nothing was done in an end row, and what stands after it is another episode.
    - first = first[~end[first]]
    + first = first.clone()

nothing begins in the oldest row
    Rows are numbered from 0. Row 0 is as good as any.
    - drawn[drawn < size]
    + drawn[(drawn < size) & (drawn > 0)]

row `size` is taken for a filled one
    With `size` rows filled, the last one is `size - 1`.
    - drawn < size
    + drawn <= size

the windows stop at the seam of the ring
    After the last row comes row 0: the episode goes on there. `% len(end)` leads round.
    - inside = ends.cumsum(1) - ends == 0
    + inside = (ends.cumsum(1) - ends == 0) & (rows >= first[:, None])

the seam is not closed: the last row is repeated
    After the last row comes row 0: `% len(end)`. Clamped, the same row stands in the window
    again and again.
    - (first[:, None] + torch.arange(length)) % len(end)
    + (first[:, None] + torch.arange(length)).clamp(max=len(end) - 1)

the ring is taken for one row shorter than it is
    The ring has `len(end)` rows. After row `len(end) - 1` comes row 0.
    - % len(end)
    + % (len(end) - 1)

the windows have a row too many
    `length` counts rows, where the last step led included.
    - torch.arange(length)
    + torch.arange(length + 1)

the windows have a row too few
    `length` counts rows: `length - 1` steps, and the row to which the last of them led.
    - torch.arange(length)
    + torch.arange(length - 1)

the windows run backwards in time
    A window begins at its first row and goes on to later ones.
    - first[:, None] + torch.arange(length)
    + first[:, None] - torch.arange(length)

the lengths count steps, not rows
    A window's end row is one of its rows, and counted.
    - inside.sum(1)
    + inside.sum(1) - 1

the rows stand in the order of time, not of windows
    Back to back: all rows of the first window, then all of the second.
    - rows[inside]
    + rows.T[inside.T]

a row that was drawn twice counts once
    Drawing is with replacement: a window that was drawn twice stands there twice.
    - drawn[drawn < size]
    + drawn[drawn < size].unique()
""")


# ---------------------------------------------------------------------- huber_loss


def _huber_loss(values: Tensor, returns: Tensor, delta: float) -> Tensor:
    """The mean of e² / 2 where |e| < delta, of delta (|e| - delta / 2) elsewhere: a scalar."""
    error = values - returns.detach()
    size = error.abs()
    return torch.where(size < delta, error**2 / 2, delta * (size - delta / 2)).mean()


huber_loss = Exercise(
    "huber_loss",
    chapter="10",
    reference=_huber_loss,
    target="rlx.functional.huber_loss",
    adapt=lambda answer: lambda values, returns, delta=1.0: answer(values, returns, delta),
    train=_dqn,
    also="With `near = size.clamp(max=delta)`, `near * (size - near / 2)` is both cases in one: "
    "the clipped part is multiplied by the whole.",
    hints=(
        "Two formulas, and which one counts depends on how large the error is, whatever its sign.",
        "Compare the *absolute* error with delta. Below it half the square, above it a straight "
        "line that goes on where the parabola stops, with the slope that it has there.",
        "`size = (values - returns.detach()).abs()`, and the mean of "
        "`torch.where(size < delta, size**2 / 2, delta * (size - delta / 2))`.",
    ),
)


@huber_loss.case("errors of 0.5, 3 and -4, delta 1")
def _():
    values = torch.tensor([1.5, 5.0, -2.0], requires_grad=True)
    return values, torch.tensor([1.0, 2.0, 2.0]), 1.0


@huber_loss.case("errors of 1 and -10, delta 2")
def _():
    values = torch.tensor([1.0, -6.0], requires_grad=True)
    return values, torch.tensor([0.0, 4.0]), 2.0


@huber_loss.case("returns that ask for a gradient, too")
def _():
    values = torch.tensor([0.25, 3.0], requires_grad=True)
    return values, torch.tensor([0.0, 1.0], requires_grad=True), 1.0


@huber_loss.inputs
def _(draw):
    n, dtype = draw.size(1, 300), draw.one_of(torch.float32, torch.float64)
    values, returns = (draw.floats(n, kinds="tenths wide whole").to(dtype) for _ in range(2))
    if draw.flag():
        returns = values + returns / 10
    delta = draw.one_of(1.0, 0.55, 2.05)
    return (
        values.detach().requires_grad_(),
        (returns + 0.013).detach().requires_grad_(draw.flag()),
        delta,
    )


huber_loss.patches(r"""
large negative errors are squared
    `error < delta` is true for every negative error. Compare its absolute value.
    - size < delta
    + error < delta

the error is clipped before it is squared
    Outside of delta the clipped error is a constant, and a constant has no slope: the rows
    that are most wrong are not learned from at all. What is to be clipped is the slope.
    - torch.where(size < delta, error**2 / 2, delta * (size - delta / 2))
    + (error.clamp(-delta, delta) ** 2 / 2)

it is squared everywhere
    Large errors then pull as hard as they are large. Beyond delta a straight line.
    - torch.where(size < delta, error**2 / 2, delta * (size - delta / 2))
    + (error**2 / 2)

it is straight everywhere
    Small errors then pull as hard as large ones, and never come to rest. Below delta half
    the square.
    - torch.where(size < delta, error**2 / 2, delta * (size - delta / 2))
    + (delta * (size - delta / 2))

the line does not begin where the parabola stops
    At |e| = delta the parabola is at delta² / 2. A line of slope delta through that point
    is delta (|e| - delta / 2).
    - delta * (size - delta / 2)
    + delta * size

the line has the slope 1
    Beyond delta the slope is delta, as the parabola's is there.
    - delta * (size - delta / 2)
    + (size - delta / 2)

the square is not halved
    Half the square has the error as its slope. Yours pulls twice as hard as the line does
    where they meet.
    - error**2 / 2
    + error**2

a gradient flows into the returns
    The number is right. But the target would be pulled towards the value: it is a
    constant, `returns.detach()`.
    - returns.detach()
    + returns

the two cases are exchanged
    The parabola is for small errors, the line for large ones.
    - size < delta
    + size > delta

delta is always 1
    `delta` says where the parabola stops. Rewards in hundreds need another one than rewards of 1.
    - torch.where(size < delta, error**2 / 2, delta * (size - delta / 2))
    + torch.where(size < 1, error**2 / 2, size - 1 / 2)

it is PyTorch's smooth_l1_loss
    That is Huber's loss divided by delta: its line has the slope 1 everywhere. The same with
    delta 1, and only then.
    - (size - delta / 2)).mean()
    + (size - delta / 2)).mean() / delta
""")


# ---------------------------------------------------------------------- priorities


LEAST = Drawn("priorities", 0.01, 0.02, 0.05, 0.1)  # added to every error


def _priorities(errors: Tensor, alpha: float, beta: float) -> tuple[Tensor, Tensor]:
    """How likely each row is to be drawn, and how much it then counts: two (N,)."""
    size = (errors.abs() + LEAST()) ** alpha
    chances = size / size.sum()
    weights = chances**-beta
    return chances, weights / weights.max()


priorities = Exercise(
    "priorities",
    chapter="10",
    reference=_priorities,
    results=("chances", "weights"),
    also="The paper's weights are (N P) to the power of -β. N is the same for all rows, and goes "
    "when they are divided by the largest.",
    hints=(
        "First how likely: the larger the error, the likelier, whatever its sign. And they add up "
        "to 1.",
        "Raise `|error|` and the small number to the power of alpha, then divide by the sum. A "
        "weight is the chance to the power of *minus* beta; divide by the largest.",
        "With the small number added, `size = (…) ** alpha`, `chances = size / size.sum()`, "
        "`weights = chances ** -beta`, and `weights / weights.max()`.",
    ),
)


priorities.case(
    "errors of 0.29, -0.99 and 3.99, alpha 1, beta 1",
    lambda: (torch.tensor([0.29, -0.99, 3.99]), 1.0, 1.0),
)
priorities.case(
    "an error of 0 among others, alpha 0.5, beta 0.4",
    lambda: (torch.tensor([2.0, 0.0, -5.0, 0.5]), 0.5, 0.4),
)
priorities.case(
    "alpha 0, with which all rows are alike", lambda: (torch.tensor([1.0, -2.0]), 0.0, 0.7)
)


@priorities.inputs
def _(draw):
    n, dtype = draw.size(1, 300), draw.one_of(torch.float32, torch.float64)
    errors = draw.floats(n, kinds="tenths whole wide").to(dtype)
    return errors, draw.one_of(0.6, 1.0, 0.3, 0.0), draw.one_of(0.4, 1.0, 0.7, 0.0)


priorities.patches(r"""
the sign of the error counts
    A negative error says as much as a positive one: its size counts.
    - errors.abs() + LEAST()
    + errors + LEAST()

only rows that did better than expected count
    A disappointment is as much to learn from: `abs`, not `relu`.
    - errors.abs() + LEAST()
    + errors.relu() + LEAST()

alpha is left out
    With alpha 1 the chances are in proportion, with 0 they are all alike: it is an exponent.
    - (errors.abs() + LEAST()) ** alpha
    + (errors.abs() + LEAST())

the chances are a softmax
    e to the power of the error: a row with an error of 10 would be nearly all there is.
    - (errors.abs() + LEAST()) ** alpha
    + ((errors.abs() - errors.abs().max()) * alpha).exp()

the power is taken after the sum
    Chances that are raised to a power do not add up to 1 any more: power first, sum then.
    - (errors.abs() + LEAST()) ** alpha
    + errors.abs() + LEAST()
    - size / size.sum()
    + (size / size.sum()) ** alpha

the squared error counts
    Its size alone, to the power of alpha.
    - errors.abs() + LEAST()
    + errors**2 + LEAST()

the small number is not added
    A row with an error of 0 would have the chance 0 for ever, whatever becomes of it.
    - errors.abs() + LEAST()
    + errors.abs() + 0.0

the weights grow with the chances
    A row that is drawn twice as often has to count half as much: *minus* beta.
    - chances**-beta
    + chances**beta

beta is left out
    It says how much of the bias is taken back: all with 1, nothing with 0.
    - chances**-beta
    + 1 / chances

the weights are not scaled
    The rarest row's weight may be in the thousands, and the step with it: divide by the
    largest, so that none is above 1.
    - weights / weights.max()
    + weights

the weights are divided by their sum
    Then they are about 1 / N, and the step shrinks with the batch: divide by the largest.
    - weights / weights.max()
    + weights / weights.sum()

the weights are divided by their mean
    Then the rarest rows' are above 1, often far: divide by the largest.
    - weights / weights.max()
    + weights / weights.mean()
""")
