"""Chapter 02: a table of steps, and what one does with it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rlx import plain
from rlx.course import plainly
from rlx.course.exercise import Exercise, Wrong, fit
from rlx.course.exercises.ch01_loop import with_a_critic

# ---------------------------------------------------------------------- append


def _filled(answer, observations, rewards, episodes):
    """The table after some episodes; the actions are 10, 11, 12, …"""
    table, row, t = {name: [] for name in plainly.COLUMNS}, 0, 0
    executed, buffers = [], np.zeros((2, observations.shape[1]))  # written into by turns
    for episode in episodes:
        steps, how = int(episode.split()[0]), episode.split(", ")[1]
        buffers[0] = observations[row]
        for k in range(steps):
            state, next_state = buffers[k % 2], buffers[(k + 1) % 2]
            next_state[:] = observations[row + 1]
            over = how if k == steps - 1 else ""
            flags = "terminated" in over, "truncated" in over
            answer(table, state, 10 + t, rewards[row], next_state, *flags)
            row, t = row + 1, t + 1
        row += 1
        executed += [True] * steps + [False]
    buffers[:] = 0.0  # as the next reset would
    counts = {name: len(column) for name, column in table.items()}
    if len(set(counts.values())) > 1:
        raise Wrong(
            "the columns are not equally long",
            "A row has an entry in each of them. Yours hold "
            + ", ".join(f"{count} {name}" for name, count in counts.items())
            + ".",
        )
    if len(table["actions"]) == len(executed):  # in an end row any will do: it is never executed
        kept = zip(table["actions"], executed)
        table["actions"] = [action for action, was in kept if was]
    return table


append = Exercise(
    "append",
    chapter="02",
    reference=plainly.append,
    target="rlx.course.plainly.append",
    call=_filled,
    train=with_a_critic,
    also="Tables of a fixed size, `np.empty((n, …))`, are filled in place instead: no list grows, "
    "and writing into a row copies it. Replay memories do so.",
    hints=(
        "One row is what the policy saw, what it did, and what it got for that. When is there a "
        "second row to write?",
        "The end row holds `next_state`, a reward of 0, and `end` true. Its `terminated` tells the "
        "two kinds of end apart. And what an environment hands out may be overwritten later.",
        '`table["states"].append(state.copy())` and so on for the other four columns; then, `if '
        "terminated or truncated`, the same for the end row with `next_state.copy()`.",
    ),
)


def _episodes(*hows: tuple[int, str]) -> list[str]:
    """In words, for the card: how many steps each takes, and how it ends."""
    return [f"{steps} steps, {how}" for steps, how in hows]


append.case(
    "an episode of 3 steps that terminates",
    lambda: (
        np.array([[1.0, 2], [3, 5], [7, 11], [13, 17]]),
        [1.0, 2, 4, 0],
        _episodes((3, "terminated")),
    ),
)


@append.case("an episode of 2 steps that terminates, then one of 2 that is truncated")
def _():
    observations = np.array([[1.0, 0], [2, 0], [3, 0], [5, 1], [6, 1], [8, 1]])
    return observations, [1.0, 3, 0, -2, 7, 0], _episodes((2, "terminated"), (2, "truncated"))


@append.case("an episode of 2 steps that is terminated and truncated at once")
def _():
    observations = np.array([[1.0, 0], [4, 2], [9, 3]])
    return observations, [1.5, -2, 0], _episodes((2, "terminated and truncated"))


@append.inputs
def _(draw):
    hows = [
        (draw.size(1, 8), draw.one_of("terminated", "truncated", "terminated and truncated"))
        for _ in range(draw.size(1, 6))
    ]
    rows = sum(steps + 1 for steps, _ in hows)
    rewards = draw.floats(rows).tolist()
    return draw.floats(rows, draw.integer(1, 3)).numpy(), rewards, _episodes(*hows)


def _rows(table, *rows):
    for row in rows:
        for name, entry in zip(plainly.COLUMNS, row):
            table[name].append(entry)


append.patches(r"""
the observations are not copied
    You keep the environment's own array, and it writes the next observation into the same
    place. All rows show the same moment in the end. Keep a copy: `state.copy()`.
    - state.copy()
    + state

each reward stands one row too late
    Your first row has no reward, and the end row has the last one. The reward belongs to
    the row of the action that earned it, although it arrives together with the next
    observation.
    - table["rewards"].append(reward)
    + first = not table["end"] or table["end"][-1]
    +     table["rewards"] += [0.0, reward] if first else [reward]
    -         table["rewards"].append(0.0)
    +

the end row is missing
    An episode of T steps has T + 1 rows. The last one, with `next_state`, tells where the
    episode ended and which rows belong together: without it, two episodes run into one
    another.
    - if terminated or truncated:
    + if False:

only a termination gets an end row
    A truncated episode is over, too: its last observation needs a row, with `end` true and
    `terminated` false. Write it if `terminated or truncated`.
    - if terminated or truncated:
    + if terminated:

a truncation is written down as a termination
    Every end row of yours is `terminated`. At a time limit the world goes on: what would
    have come after still has a value. Store `terminated` as it was given.
    - append(terminated)
    + append(terminated or truncated)

it stores the next observation beside the action
    A row holds what the policy saw *when it chose*. That is `state`; `next_state` gets a
    row of its own one step later, or in the end row.
    - (state.copy())
    + (next_state.copy())

the end row is written at every step
    Each step adds two rows. The end row is there once, when the episode is over: `if
    terminated or truncated`.
    - if terminated or truncated:
    + if True:

the last reward is in the end row too
    It was earned by the action of the row before. Nothing is done in the end row: its
    reward is 0, or it would be counted twice.
    - append(0.0)
    + append(reward)

the end row shows the state before the last step
    The end row is where the episode ended: `next_state`.
    - next_state.copy()
    + state.copy()

the end of the episode is marked in the row of its last step
    `end` marks the row after the last step, in which nothing was done. The step itself is a
    step like any other: `False`.
    - table["end"].append(False)
    + table["end"].append(terminated or truncated)

`terminated` is set in the row of the last step
    It belongs to the end row, the state that the episode ended in. In the row of a step it
    is `False`.
    - table["terminated"].append(False)
    + table["terminated"].append(terminated)

`truncated` is stored for `terminated`
    The column tells whether the environment itself ended the episode.
    - table["terminated"].append(terminated)
    + table["terminated"].append(truncated)

`end` is false in the end row
    It is what tells an end row from others.
    - table["end"].append(True)
    + table["end"].append(False)

only `next_state` is not copied
    The end row keeps the environment's own array, which the next episode overwrites.
    - next_state.copy()
    + next_state

it waits for both flags
    Either of them ends the episode: `or`, not `and`.
    - terminated or truncated
    + terminated and truncated

`terminated` is false if the time was up as well
    Both can be true at once, and then the environment did end: store `terminated` as it is.
    - table["terminated"].append(terminated)
    + table["terminated"].append(terminated and not truncated)
""")


def _append_total(table, state, action, reward, next_state, terminated, truncated) -> None:
    """As `append`, but the rewards are those of the episode so far, added up."""
    first = not table["end"] or table["end"][-1]
    total = reward + (0.0 if first else table["rewards"][-1])
    rows = [(state, False, False)]
    if terminated or truncated:
        rows.append((next_state, True, terminated))
    for seen, end, died in rows:
        table["states"].append(seen.copy())
        table["actions"].append(action)
        table["rewards"].append(total)
        table["end"].append(end)
        table["terminated"].append(died)


append.harder(
    "append_total",
    _append_total,
    (
        "What the episode has earned so far stands in the row before. When is there none?",
        "A row begins an episode if the table is empty, or the row before is an end row.",
        '`first = not table["end"] or table["end"][-1]`; `total = reward + (0.0 if first else '
        'table["rewards"][-1])`; the end row shows the same total.',
    ),
    r"""
    the total goes on from one episode to the next
        The first row of an episode has nothing before it.
        - 0.0 if first else table["rewards"][-1]
        + table["rewards"][-1] if table["rewards"] else 0.0

    the end row has 0
        Here it shows what the whole episode has earned.
        - append(total)
        + append(total * (not end))

    each row has its own reward only
        Add what the row before shows.
        - append(total)
        + append(reward)
    """,
)


# ---------------------------------------------------------------------- discounted_returns


discounted_returns = Exercise(
    "discounted_returns",
    chapter="02",
    reference=plain.discounted_returns,
    target="rlx.functional.discounted_returns",
    also="`scipy.signal.lfilter([1], [1, -gamma], rewards[::-1])[::-1]` is one episode's recursion "
    "in compiled code; OpenAI's Spinning Up does so.",
    hints=(
        "In the last row nothing more comes. What is the return one row earlier, if you know that "
        "of the row after it?",
        "Walk through the table backwards and keep the return of the row after. Where `end` is "
        "true, forget it: what comes after belongs to another episode.",
        "`for t in reversed(range(len(rewards))): later = rewards[t] + gamma * later * ~end[t]`, "
        "and keep every `later` in its place.",
    ),
)


def _table(*episodes: list[float]) -> tuple[Tensor, Tensor]:
    """Rewards and ends; each episode gets its end row."""
    rewards = [reward for episode in episodes for reward in [*episode, 0.0]]
    end = [last for episode in episodes for last in [False] * len(episode) + [True]]
    return torch.tensor(rewards), torch.tensor(end)


discounted_returns.case(
    "an episode of three rewards of 1, gamma 0.5", lambda: (*_table([1.0, 1, 1]), 0.5)
)
discounted_returns.case("two episodes, gamma 0.9", lambda: (*_table([1.0, 2], [3.0, -1, 4]), 0.9))
discounted_returns.case(
    "two episodes, the first of one step, gamma 0.8", lambda: (*_table([5.0], [2.0, 0, 7]), 0.8)
)
discounted_returns.case(
    "an episode of 200 rewards of 1, gamma 0.5", lambda: (*_table([1.0] * 200), 0.5)
)


@discounted_returns.inputs
def _(draw):
    end = draw.ends(draw.lengths(1, 120))
    rewards = draw.floats(len(end)) * ~end
    return rewards.to(draw.one_of(torch.float32, torch.float64)), end, draw.gamma()


discounted_returns.patches(r"""
returns leak from one episode into the one before
    You go straight through `end` rows, so the last steps of an episode are praised for
    rewards of the next one, which they cannot have caused. Nothing crosses a row where
    `end` is true.
    -  * ~end[t]
    +

every row gets the return of its whole episode
    The first row of each episode is right, and all its rows have that number. Row t should
    count the rewards from t on: what came before it is no merit of its action.
    - return returns
    + start = end.roll(1)
    +     return returns[start][start.cumsum(0) - 1]

the discount counts from the start of the episode
    You weigh the reward of the episode's step k by γ to the power k, whatever row you look
    from. Seen from row t it is k - t steps ahead: its weight is γ to the power k - t.
    -     returns, later =
    +     first = end.roll(1).nonzero().flatten()
    +     row = torch.arange(len(end))
    +     steps = row - first[torch.searchsorted(first, row, right=True) - 1]
    +     rewards = gamma**steps * rewards
    +     returns, later =
    - gamma * later
    + later

the row's own reward is left out
    G_t begins with r_t, the reward that the action of row t brings at once. Yours begins
    with that of the next row.
    -         later =
    +         returns[t] = gamma * later * ~end[t]
    +         later =
    -         returns[t] = later
    +

nothing is discounted
    These are plain sums of the rewards to come: gamma is not used. A reward k rows ahead
    counts γ to the power k.
    - gamma * later
    + later

it adds up from the wrong end
    Your sums run from the episode's first row to t: they hold what came before the action.
    Start at the last row and walk backwards.
    - reversed(range(len(rewards)))
    + range(len(rewards))
    - ~end[t]
    + ~end[t - 1]

the numbers come out in reverse order
    You walk backwards, which is right, and append: so the last row's return stands first.
    Turn the list round at the end, or write each number into its own place.
    - return returns
    + return returns.flip(0)

γ multiplies the row's own reward
    The reward of row t itself counts in full, and only what comes after it is discounted.
    - rewards[t] + gamma * later * ~end[t]
    + gamma * (rewards[t] + later * ~end[t])

γ is on the reward, and not on what comes later
    You discount the row's own reward. It is the other term, the return of the
    next row, that is one step away.
    - rewards[t] + gamma * later * ~end[t]
    + gamma * rewards[t] + later * ~end[t]

only the next reward is looked at
    You add γ times the next *reward*, not γ times the next *return*. All later ones are
    lost.
    - later = rewards[t] + gamma * later * ~end[t]
    + later = gamma * later * ~end[t] + rewards[t]
    - returns[t] = later
    + returns[t], later = later, rewards[t]

`end` is read as its opposite
    The return goes on where `end` is false. Yours stops there, and goes on across the
    borders.
    - ~end[t]
    + end[t]

it stops one row too early
    You forget what comes later when the *next* row is an end row, so that row's reward and
    the discounting before it are lost. The row that has `end` true forgets.
    - ~end[t]
    + ~end[min(t + 1, len(end) - 1)]

the end rows go on to the next episode
    You forget one row too late: an end row still gets what the next episode brings.
    - ~end[t]
    + ~end[t - 1]

all episodes but one get nothing
    Where `end` is true you leave the loop: `continue`, or only forget what came later.
    -         later =
    +         if end[t] and t < len(end) - 1:
    +             break
    +         later =
""")


def _discounted_means(rewards: Tensor, end: Tensor, gamma: float) -> Tensor:
    """The mean of the rewards to come, those k steps ahead weighing γ^k: (N,), 0 at end rows."""
    means, later, weight = torch.zeros_like(rewards), 0.0, 0.0
    for t in reversed(range(len(rewards))):
        if end[t]:
            later = weight = 0.0
        else:
            later, weight = rewards[t] + gamma * later, 1.0 + gamma * weight
            means[t] = later / weight
    return means


discounted_returns.harder(
    "discounted_means",
    _discounted_means,
    (
        "A weighted mean is a sum of weighted numbers, divided by the sum of the weights.",
        "Both sums run backwards: one adds the row's reward, the other adds 1.",
        "`later, weight = rewards[t] + gamma * later, 1.0 + gamma * weight`, both 0 after an end "
        "row; the mean is `later / weight`.",
    ),
    r"""
    the weights are not discounted
        A reward k steps ahead weighs γ to the power k, in the numerator and in the denominator.
        - 1.0 + gamma * weight
        + 1.0 + weight

    it is the return, not the mean
        Divide by the sum of the weights.
        - later / weight
        + later

    it leaks from one episode into the one before
        Both sums begin anew behind an end row.
        - later = weight = 0.0
        + pass
    """,
)


# ---------------------------------------------------------------------- drop_last


def _by_episodes() -> Tensor:
    """Gradient steps on the mean over episodes; some of them have nothing but an end row."""
    import rlx

    envs = [rlx.envs.make("Reach-v0", max_episode_steps=6) for _ in range(2)]
    policy = rlx.networks.MLPPolicy(rlx.Agent(envs[0]), hidden=(8,), value=False)
    carry = plain.begin(envs, [0, 1])

    def loss():
        nonlocal carry
        rollout, carry = plain.play(envs, policy, carry, 12)
        rollout = rollout + rollout[-1:]
        returns = plain.discounted_returns(rollout.column("reward"), rollout.column("end"), 0.9)
        logprobs, *_ = plain.evaluate(policy, rollout)
        scores, lengths = plain.drop_last(logprobs * returns, rollout.lengths)
        episodes = [episode.sum() for episode in scores.split(lengths)]
        return -sum(episodes) / len(episodes)

    return fit(policy, loss)


def _drop_last(column: Tensor, lengths: list[int], n: int = 1) -> tuple[Tensor, list[int]]:
    """(the column without the last n rows of each episode, the lengths of those that are left)."""
    parts = [part[:-n] for part in column.split(lengths)]
    return torch.cat(parts), [len(part) for part in parts if len(part)]


drop_last = Exercise(
    "drop_last",
    chapter="02",
    reference=_drop_last,
    results=("column", "lengths"),
    target="rlx.plain.drop_last",
    train=_by_episodes,
    also="With a mask of the rows that stay, `column[keep]` cuts any number of columns. For n = 1 "
    "it is false at `torch.tensor(lengths).cumsum(0) - 1`.",
    hints=(
        "The rows of all episodes stand in one column, and `lengths` says where one ends. Take "
        "them apart first.",
        "`column.split(lengths)` gives a piece for each episode. Cut each, put them together with "
        "`torch.cat`, and count again. What if a piece is empty?",
        "`parts = [part[:-n] for part in column.split(lengths)]`; return `torch.cat(parts)` and "
        "`[len(part) for part in parts if len(part)]`.",
    ),
)
drop_last.case(
    "episodes of 3, 2 and 4 rows, n 1", lambda: (torch.arange(1.0, 10.0) ** 2, [3, 2, 4], 1)
)


@drop_last.case("episodes of 3, 1 and 3 rows, n 1")
def _():
    column = torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8], [9, 10], [0, 1], [1, 0]])
    return column, [3, 1, 3], 1


drop_last.case(
    "episodes of 4, 2 and 3 rows, n 2", lambda: (torch.arange(1.0, 10.0) ** 2, [4, 2, 3], 2)
)


@drop_last.inputs
def _(draw):
    lengths = draw.one_of(draw.lengths(1, 60), [1] * draw.integer(1, 4))
    shape = draw.one_of((), (2,), (1,), (2, 2))
    column = draw.floats(sum(lengths), *shape)
    n = draw.one_of(1, 2, 4)
    if draw.flag():
        return column.requires_grad_(), lengths, n
    return column.to(draw.one_of(torch.float64, torch.int64, torch.bool)), lengths, n


drop_last.patches(r"""
only the table's last row is dropped
    `column[:-1]` knows nothing of episodes: it drops one row, the last episode's. All other
    end rows are still there. Take the column apart with `lengths` first.
    - parts = [part[:-n] for part in column.split(lengths)]
    + *parts, last = column.split(lengths)
    +     parts.append(last[:-n])

each episode loses one row more
    With n = 1 the end row is dropped, and then the row before it, which holds the last action and
    its reward.
    - [:-n]
    + [: -n - 1]

the episodes are joined without a border
    The rows are right, but `lengths` says that they are one long episode. A return would
    run through it from end to end. Give the length of each.
    - [len(part) for part in parts if len(part)]
    + [sum(map(len, parts))]

the lengths are still the old ones
    The rows are right. But `lengths` must add up to them, or the borders between episodes
    lie in the wrong places: each is one shorter now.
    - [len(part) for part in parts if len(part)]
    + lengths

each episode loses its first rows
    You drop what the episode began with. The end row is the last: `[:-n]`, not `[n:]`.
    - [:-n]
    + [n:]

an episode without rows is still counted
    An episode of one row has none left, and yours has length 0 then. It would count in
    every mean over episodes: leave it out of `lengths`.
    -  if len(part)]
    + ]

only the first episode loses its last rows
    Go through all of them.
    - part[:-n] for part in column.split(lengths)
    + part[: -n if k == 0 else None] for k, part in enumerate(column.split(lengths))

the rows that should go are all that is left
    You keep each episode's last rows. `[:-n]` is everything but those.
    - part[:-n]
    + part[-n:]

the last row of the table stays
    All episodes but the last lose their last row. The last one has an end row as well.
    - [part[:-n] for part in column.split(lengths)]
    + [part[:-n] for part in column.split(lengths)]
    +     parts[-1] = column.split(lengths)[-1]

of an episode that is too short one row is kept
    An episode of one row, say, is all end row. Nothing is left of it, in the column and in
    `lengths`.
    - part[:-n] for
    + part[: max(1, len(part) - n)] for

the column still has all rows
    `lengths` is right. The rows themselves have to go as well.
    - return torch.cat(parts)
    + return column

n is not used
    One row goes, whatever n is.
    - [:-n]
    + [:-1]

an episode with fewer than n rows keeps some
    `part[: len(part) - n]` counts from the end again where the difference is negative: with
    n = 4, three rows would keep two. `part[:-n]` does not.
    - part[:-n]
    + part[: len(part) - n]
""")


def _backwards(column: Tensor, lengths: list[int]) -> Tensor:
    """The steps of each episode in reverse order; each last row stays where it is: (N, …)."""
    pieces = [piece for part in column.split(lengths) for piece in (part[:-1].flip(0), part[-1:])]
    return torch.cat(pieces)


drop_last.harder(
    "backwards",
    _backwards,
    (
        "Each episode has two parts: one is turned round, the other stays.",
        "`part[:-1].flip(0)` and `part[-1:]`, for each `part` of `column.split(lengths)`.",
        "`torch.cat([p for part in column.split(lengths) for p in (part[:-1].flip(0), "
        "part[-1:])])`",
    ),
    r"""
    the last rows are turned round as well
        The end row closes its episode: it stays last.
        - (part[:-1].flip(0), part[-1:])
        + (part.flip(0),)

    the end rows are gone
        They stay, each at the end of its episode.
        - (part[:-1].flip(0), part[-1:])
        + (part[:-1].flip(0),)

    the episodes come in reverse order, not their steps
        Each episode stays where it is. Turn round what is in it.
        - for part in column.split(lengths) for piece in (part[:-1].flip(0), part[-1:])
        + for part in column.split(lengths)[::-1] for piece in (part,)
    """,
    call=lambda answer, column, lengths, n: answer(column, lengths),
)


# ---------------------------------------------------------------------- pad


def _pad(column: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """(rectangle, mask), both (E, T_max), from a column (N,) of E episodes."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    rectangle = torch.zeros(mask.shape, dtype=column.dtype)
    rectangle[mask] = column
    return rectangle, mask


pad = Exercise(
    "pad",
    chapter="02",
    reference=_pad,
    results=("rectangle", "mask"),
    also="`torch.nn.utils.rnn.pad_sequence(column.split(lengths), batch_first=True)` makes the "
    "rectangle.",
    hints=(
        "Which places of the rectangle hold something? Compare each step's number with each "
        "episode's length.",
        "`torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]` is the mask. A boolean mask "
        "can be an index: its true places, row by row.",
        "`rectangle = torch.zeros(mask.shape, dtype=column.dtype)`, then `rectangle[mask] = "
        "column`.",
    ),
)
pad.case("episodes of 2 and 3 rows", lambda: (torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), [2, 3]))
pad.case(
    "episodes of 1, 4 and 1 rows, zeros among the numbers",
    lambda: (torch.tensor([0.0, 7.0, 0.0, 8.0, 9.0, 0.0]), [1, 4, 1]),
)


@pad.inputs
def _(draw):
    lengths = draw.lengths(1, 30)
    column = draw.floats(sum(lengths))
    return column.to(draw.one_of(torch.float32, torch.float64, torch.int64)), lengths


pad.patches(r"""
the mask is turned round
    It should be true where there is something, not where there is padding.
    - return rectangle, mask
    + return rectangle, ~mask

the mask asks which numbers are 0
    A 0 may be a number like any other, a reward say. Only `lengths` tells where an episode
    ends.
    - return rectangle, mask
    + return rectangle, rectangle != 0

the padding stands in front
    Each episode begins in the first column: pad behind its end.
    - [:, None]
    + [:, None]
    +     mask = mask.flip(1)

episodes stand in columns
    Each row of the rectangle is an episode: (E, T_max), not (T_max, E).
    - return rectangle, mask
    + return rectangle.T, mask.T

the rectangle is as wide as the table is long
    The longest episode says how wide: `max(lengths)`.
    - max(lengths)
    + sum(lengths)

the rows run on into the next episode
    The rectangle is filled with the column row after row, without gaps. Each episode begins
    a row of its own.
    - rectangle[mask] = column
    + rectangle.view(-1)[: len(column)] = column

the padding is not 0
    Fill the rest with zeros.
    - torch.zeros(
    + torch.ones(
""")


def _pad_with_last(column: Tensor, lengths: list[int]) -> Tensor:
    """The rectangle (E, T_max), padded with the last number of each episode."""
    last = torch.tensor(lengths).cumsum(0) - 1
    first = last + 1 - torch.tensor(lengths)
    return column[torch.minimum(first[:, None] + torch.arange(max(lengths)), last[:, None])]


pad.harder(
    "pad_with_last",
    _pad_with_last,
    (
        "Which row of the column belongs in each place of the rectangle?",
        "Row `first + step` of the table, or the episode's last row, whichever is smaller.",
        "`last = torch.tensor(lengths).cumsum(0) - 1`, `first = last + 1 - torch.tensor(lengths)`, "
        "and `column[torch.minimum(first[:, None] + torch.arange(max(lengths)), last[:, None])]`.",
    ),
    r"""
    the padding is the last number of the whole column
        Each episode is padded with its own last number.
        - last[:, None])
        + last[-1:, None])

    the padding is the first number of the episode
        It is the last one that is repeated.
        - return column[torch.minimum(first[:, None] + torch.arange(max(lengths)), last[:, None])]
        + rows = first[:, None] + torch.arange(max(lengths))
        +     return column[torch.where(rows > last[:, None], first[:, None], rows)]

    the last number is repeated one step too early
        The episode's own numbers come first, all of them.
        - , last[:, None])
        + , (last - 1).clamp(min=0)[:, None])
    """,
)
