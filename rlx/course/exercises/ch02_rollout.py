"""Chapter 02: a table of steps, and what one does with it."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import torch
from torch import Tensor

from rlx import plain
from rlx.course.exercise import Exercise
from rlx.course.exercises.ch01_loop import played_by, with_a_critic
from rlx.rollout import Step

# ---------------------------------------------------------------------- append

COLUMNS = ("states", "actions", "rewards", "end", "terminated")


def _append(table, state, action, reward, next_state, terminated, truncated) -> None:
    """Add one step to `table`, a dict of lists, and the end row if the episode is over."""
    table["states"].append(state.copy())
    table["actions"].append(action)
    table["rewards"].append(reward)
    table["end"].append(False)
    table["terminated"].append(False)
    if terminated or truncated:
        table["states"].append(next_state.copy())
        table["actions"].append(action)
        table["rewards"].append(0.0)
        table["end"].append(True)
        table["terminated"].append(terminated)


def _played_into_a_table(answer):
    """Episodes whose rows `answer` appended, out of two buffers that are used by turns."""

    def play(env, act, horizon) -> list[Step]:
        table = {name: [] for name in COLUMNS}
        observation, _ = env.reset()
        buffers = np.stack([observation, observation])
        for t in range(horizon):
            state, next_state = buffers[t % 2], buffers[(t + 1) % 2]
            action = act(state)
            next_state[:], reward, terminated, truncated, _ = env.step(action)
            truncated = truncated or (t + 1 == horizon and not terminated)
            answer(table, state, action, reward, next_state, terminated, truncated)
            if terminated or truncated:
                break
        columns = (table[name] for name in COLUMNS)
        return [Step(*row) for row in zip(*columns, strict=True)]

    return played_by(play)


def _filled(answer, observations, rewards, ends):
    """The table after some episodes; the actions are 10, 11, 12, …"""
    table, t = {name: [] for name in COLUMNS}, 0
    executed, buffers = [], np.zeros((2, observations.shape[1]))  # written into by turns
    for _, rows in itertools.groupby(zip(observations, rewards, ends), lambda row: row[2]):
        seen, earned, how = zip(*rows)
        buffers[0] = seen[0]
        for k in range(len(seen) - 1):
            state, next_state = buffers[k % 2], buffers[(k + 1) % 2]
            next_state[:] = seen[k + 1]
            over = how[0].split(" ", 1)[1] if k == len(seen) - 2 else ""
            flags = "terminated" in over, "truncated" in over
            answer(table, state, 10 + t, earned[k], next_state, *flags)
            t += 1
        executed += [True] * (len(seen) - 1) + [False]
    buffers[:] = 0.0  # as the next reset would
    if len(table["actions"]) == len(executed):  # in an end row any will do: it is never executed
        kept = zip(table["actions"], executed)
        table["actions"] = [action for action, was in kept if was]
    return table


append = Exercise(
    "append",
    chapter="02",
    reference=_append,
    target="rlx.play.sampler.InProcess.once",
    adapt=_played_into_a_table,
    call=_filled,
    train=with_a_critic,
    also="Tables of a fixed size, `np.empty((n, …))`, are filled in place instead: no list grows, "
    "and writing into a row copies it. Replay memories do so.",
    hints=(
        "One row is what the policy saw, what it did, and what it got for that. When is there a "
        "second row to write?",
        "The end row holds `next_state`, a reward of 0, and `end` true. Its `terminated` tells the "
        "two kinds of end apart. And what an environment hands out may be overwritten tomorrow.",
        '`table["states"].append(state.copy())` and so on for the other four columns; then, `if '
        "terminated or truncated`, the same for the end row with `next_state.copy()`.",
    ),
)
append.arguments = ["observations", "rewards", "episodes"]  # of a case, not of one call


def _episodes(*hows: tuple[int, str]) -> list[str]:
    """For each row of the table, end rows included, its episode's number and end."""
    return [f"{k}: {how}" for k, (steps, how) in enumerate(hows) for _ in range(steps + 1)]


@append.case("an episode of 3 steps that terminates")
def _():
    return (
        np.array([[1.0, 2], [3, 5], [7, 11], [13, 17]]),
        [1.0, 2, 4, 0],
        _episodes((3, "terminated")),
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
        for name, entry in zip(COLUMNS, row):
            table[name].append(entry)


@append.mistake(
    "the observations are not copied",
    "You keep the environment's own array, and it writes the next observation into the same place. "
    "All rows end up showing the same moments. Keep a copy: `state.copy()`.",
)
def _aliased(table, state, action, reward, next_state, terminated, truncated):
    _rows(table, (state, action, reward, False, False))
    if terminated or truncated:
        _rows(table, (next_state, action, 0.0, True, terminated))


@append.mistake(
    "each reward stands one row too late",
    "Your first row has no reward, and the end row has the last one. The reward belongs to the row "
    "of the action that earned it, although it arrives together with the next observation.",
)
def _late_reward(table, state, action, reward, next_state, terminated, truncated):
    if not table["end"] or table["end"][-1]:
        table["rewards"].append(0.0)
    table["rewards"].append(reward)
    over = terminated or truncated
    table["states"] += [state.copy(), next_state.copy()] if over else [state.copy()]
    table["actions"] += [action] * (1 + over)
    table["end"] += [False, True] if over else [False]
    table["terminated"] += [False, terminated] if over else [False]


@append.mistake(
    "the end row is missing",
    "An episode of T steps has T + 1 rows. The last one, with `next_state`, tells where the "
    "episode ended and which rows belong together: without it, two episodes run into one another.",
)
def _no_end_row(table, state, action, reward, next_state, terminated, truncated):
    _rows(table, (state.copy(), action, reward, False, False))


@append.mistake(
    "only a termination gets an end row",
    "A truncated episode is over, too: its last observation needs a row, with `end` true and "
    "`terminated` false. Write it if `terminated or truncated`.",
)
def _only_terminated(table, state, action, reward, next_state, terminated, truncated):
    _append(table, state, action, reward, next_state, terminated, False)


@append.mistake(
    "a truncation is written down as a termination",
    "Every end row of yours is `terminated`. A time limit is not an end of the world: what would "
    "have come after still has a value. Store `terminated` as it was given.",
)
def _always_terminated(table, state, action, reward, next_state, terminated, truncated):
    _append(table, state, action, reward, next_state, terminated or truncated, False)


@append.mistake(
    "it stores the next observation beside the action",
    "A row holds what the policy saw *when it chose*. That is `state`; `next_state` gets a row of "
    "its own one step later, or in the end row.",
)
def _next_state(table, state, action, reward, next_state, terminated, truncated):
    _append(table, next_state, action, reward, next_state, terminated, truncated)


append.mistake(
    "the end row is written at every step",
    "Each step adds two rows. The end row is there once, when the episode is over: "
    "`if terminated or truncated`.",
)(
    lambda table, state, action, reward, next_state, terminated, truncated: _rows(
        table,
        (state.copy(), action, reward, False, False),
        (next_state.copy(), action, 0.0, True, terminated),
    )
)
append.mistake(
    "the last reward is in the end row too",
    "It was earned by the action of the row before. Nothing is done in the end row: its reward is "
    "0, or it would be counted twice.",
    ("append(0.0)", "append(reward)"),
)
append.mistake(
    "the end row shows the state before the last step",
    "The end row is where the episode ended: `next_state`.",
    ("next_state.copy()", "state.copy()"),
)
append.mistake(
    "the end of the episode is marked in the row of its last step",
    "`end` marks the row after the last step, in which nothing was done. The step itself is a step "
    "like any other: `False`.",
    ('table["end"].append(False)', 'table["end"].append(terminated or truncated)'),
)
append.mistake(
    "`terminated` is set in the row of the last step",
    "It belongs to the end row, the state that the episode ended in. In the row of a step it is "
    "`False`.",
    ('table["terminated"].append(False)', 'table["terminated"].append(terminated)'),
)
append.mistake(
    "`truncated` is stored for `terminated`",
    "The column tells whether the environment itself ended the episode.",
    ('table["terminated"].append(terminated)', 'table["terminated"].append(truncated)'),
)
append.mistake(
    "`end` is false in the end row",
    "It is what tells an end row from others.",
    ('table["end"].append(True)', 'table["end"].append(False)'),
)
append.mistake(
    "only `next_state` is not copied",
    "The end row keeps the environment's own array, which the next episode overwrites.",
    ("next_state.copy()", "next_state"),
)
append.mistake(
    "it waits for both flags",
    "Either of them ends the episode: `or`, not `and`.",
    ("terminated or truncated", "terminated and truncated"),
)
append.mistake(
    "`terminated` is false if the time was up as well",
    "Both can be true at once, and then the environment did end: store `terminated` as it is.",
    (
        'table["terminated"].append(terminated)',
        'table["terminated"].append(terminated and not truncated)',
    ),
)


# ---------------------------------------------------------------------- discounted_returns


def _discounted_returns(rewards: Tensor, end: Tensor, gamma: float) -> Tensor:
    """The return from every row to the end of its episode: (N,) from (N,)."""
    returns, later = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        later = rewards[t] + gamma * later * ~end[t]
        returns[t] = later
    return returns


discounted_returns = Exercise(
    "discounted_returns",
    chapter="02",
    reference=_discounted_returns,
    target="rlx.functional.discounted_returns",
    also="`scipy.signal.lfilter([1], [1, -gamma], rewards[::-1])[::-1]` is one episode's recursion "
    "in compiled code; OpenAI's Spinning Up does so.",
    hints=(
        "In the last row nothing more comes. What is the return one row earlier, if you know that "
        "of the row after it?",
        "Walk through the table backwards and keep the return of the row after. Where `end` is "
        "true, an episode begins when seen from behind: what comes after belongs to another one.",
        "`for t in reversed(range(len(rewards))): later = rewards[t] + gamma * later * ~end[t]`, "
        "and keep every `later` in its place.",
    ),
)


def _table(*episodes: list[float]) -> tuple[Tensor, Tensor]:
    """Rewards and ends; each episode gets its end row."""
    rewards = [reward for episode in episodes for reward in [*episode, 0.0]]
    end = [last for episode in episodes for last in [False] * len(episode) + [True]]
    return torch.tensor(rewards), torch.tensor(end)


@discounted_returns.case("an episode of three rewards of 1, gamma 0.5")
def _():
    return *_table([1.0, 1, 1]), 0.5


@discounted_returns.case("two episodes, gamma 0.9")
def _():
    return *_table([1.0, 2], [3.0, -1, 4]), 0.9


@discounted_returns.case("two episodes, the first of one step, gamma 0.8")
def _():
    return *_table([5.0], [2.0, 0, 7]), 0.8


@discounted_returns.case("an episode of 200 rewards of 1, gamma 0.5")
def _():
    return *_table([1.0] * 200), 0.5


@discounted_returns.inputs
def _(draw):
    end = draw.ends(draw.lengths(1, 120))
    rewards = draw.floats(len(end)) * ~end
    return rewards.to(draw.one_of(torch.float32, torch.float64)), end, draw.gamma()


def _by_episode(one):
    """A function of one episode's rewards, over the table."""

    @functools.wraps(one)
    def over(rewards, end, gamma):
        borders = [0, *(end.nonzero().flatten() + 1).tolist()]
        return torch.cat([one(rewards[a:b], gamma) for a, b in itertools.pairwise(borders)])

    return over


def _backwards(rewards, gamma):
    returns, later = [], 0.0
    for reward in reversed(rewards.tolist()):
        later = reward + gamma * later
        returns.insert(0, later)
    return torch.tensor(returns).to(rewards)


@discounted_returns.mistake(
    "returns leak from one episode into the one before",
    "You go straight through `end` rows, so the last steps of an episode are praised for rewards "
    "of the next one, which they cannot have caused. Nothing crosses a row where `end` is true.",
)
def _leaks(rewards, end, gamma):
    return _backwards(rewards, gamma)


@discounted_returns.mistake(
    "every row gets the return of its whole episode",
    "The first row of each episode is right, and all its rows have that number. Row t should count "
    "the rewards from t on: what came before it is no merit of its action.",
)
@_by_episode
def _whole(rewards, gamma):
    return _backwards(rewards, gamma)[:1].expand(len(rewards))


@discounted_returns.mistake(
    "the discount counts from the start of the episode",
    "You weigh the reward of the episode's step k by γ to the power k, whatever row you look from. "
    "Seen from row t it is k - t steps ahead: its weight is γ to the power k - t.",
)
@_by_episode
def _from_start(rewards, gamma):
    return (gamma ** torch.arange(len(rewards)) * rewards).flip(0).cumsum(0).flip(0)


@discounted_returns.mistake(
    "the row's own reward is left out",
    "G_t begins with r_t, the reward that the action of row t brings at once. Yours begins with "
    "that of the next row.",
)
@_by_episode
def _without_own(rewards, gamma):
    return torch.cat([gamma * _backwards(rewards, gamma)[1:], 0 * rewards[:1]])


@discounted_returns.mistake(
    "nothing is discounted",
    "These are plain sums of the rewards to come: gamma is not used. A reward k rows ahead counts "
    "γ to the power k.",
)
@_by_episode
def _undiscounted(rewards, gamma):
    return rewards.flip(0).cumsum(0).flip(0)


@discounted_returns.mistake(
    "it adds up from the wrong end",
    "Your sums run from the episode's first row to t: they hold what came before the action. Start "
    "at the last row and walk backwards.",
)
@_by_episode
def _forward(rewards, gamma):
    return _backwards(rewards.flip(0), gamma).flip(0)


discounted_returns.mistake(
    "the numbers come out in reverse order",
    "You walk backwards, which is right, and append: so the last row's return stands first. Turn "
    "the list round at the end, or write each number into its own place.",
    ("return returns", "return returns.flip(0)"),
)
discounted_returns.mistake(
    "γ multiplies the row's own reward",
    "The reward of row t itself counts in full, and only what comes after it is discounted.",
    ("rewards[t] + gamma * later * ~end[t]", "gamma * (rewards[t] + later * ~end[t])"),
)
discounted_returns.mistake(
    "γ is on the reward, and not on what comes later",
    "You discount the row's own reward. It is the other term, G_{t+1}, that is one step away.",
    ("rewards[t] + gamma * later * ~end[t]", "gamma * rewards[t] + later * ~end[t]"),
)
discounted_returns.mistake(
    "only the next reward is looked at",
    "You add γ times the next *reward*, not γ times the next *return*. All later ones are lost.",
    (
        "later = rewards[t] + gamma * later * ~end[t]",
        "later = gamma * later * ~end[t] + rewards[t]",
    ),
    ("returns[t] = later", "returns[t], later = later, rewards[t]"),
)
discounted_returns.mistake(
    "`end` is read as its opposite",
    "The return goes on where `end` is false. Yours stops there, and goes on across the borders.",
    ("~end[t]", "end[t]"),
)
discounted_returns.mistake(
    "it stops one row too early",
    "You forget what comes later when the *next* row is an end row, so that row's reward and the "
    "discounting before it are lost. The row that has `end` true forgets.",
    ("~end[t]", "~end[min(t + 1, len(end) - 1)]"),
)
discounted_returns.mistake(
    "the end rows go on to the next episode",
    "You forget one row too late: an end row still gets what the next episode brings.",
    ("~end[t]", "~end[t - 1]"),
)
discounted_returns.mistake(
    "all episodes but one get nothing",
    "Where `end` is true you leave the loop: `continue`, or only forget what came later.",
)(
    lambda rewards, end, gamma: torch.cat(
        [
            torch.zeros_like(rewards[: _last_start(end)]),
            _discounted_returns(rewards[_last_start(end) :], end[_last_start(end) :], gamma),
        ]
    )
)


def _last_start(end: Tensor) -> int:
    """The row in which the last episode begins."""
    return max([0, *(row + 1 for row in end[:-1].nonzero().flatten().tolist())])


# ---------------------------------------------------------------------- drop_last


def _drop_last(column: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
    """The column without the last row of each episode, and the new lengths."""
    parts = [part[:-1] for part in column.split(lengths)]
    return torch.cat(parts), [len(part) for part in parts if len(part)]


def _by_episodes() -> Tensor:
    """Gradient steps on the mean over episodes; some of them have nothing but an end row."""
    import rlx

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        envs = [rlx.envs.make("Reach-v0", max_episode_steps=6) for _ in range(2)]
        policy = rlx.networks.MLPPolicy(rlx.Agent(envs[0]), hidden=(8,), value=False)
        optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
        carry = plain.begin(envs, [0, 1])
        for _ in range(3):
            rollout, carry = plain.play(envs, policy, carry, 12)
            rollout = rollout + rollout[-1:]
            rewards, end = rollout.column("reward"), rollout.column("end")
            returns = plain.discounted_returns(rewards, end, 0.9)
            logprobs, *_ = plain.evaluate(policy, rollout)
            scores, lengths = plain.drop_last(logprobs * returns, rollout.lengths)
            episodes = [episode.sum() for episode in scores.split(lengths)]
            optimizer.zero_grad()
            (-sum(episodes) / len(episodes)).backward()
            optimizer.step()
        return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


drop_last = Exercise(
    "drop_last",
    chapter="02",
    reference=_drop_last,
    results=("column", "lengths"),
    target="rlx.plain.drop_last",
    train=_by_episodes,
    also="With a mask: `keep = torch.ones(len(column), dtype=torch.bool)`, false at "
    "`torch.tensor(lengths).cumsum(0) - 1`, and then `column[keep]`, for any number of "
    "columns.",
    hints=(
        "The rows of all episodes stand in one column, and `lengths` says where one ends. Take "
        "them apart first.",
        "`column.split(lengths)` gives a piece for each episode. Cut each, put them together with "
        "`torch.cat`, and count again. What if a piece is empty?",
        "`parts = [part[:-1] for part in column.split(lengths)]`; return `torch.cat(parts)` and "
        "`[len(part) for part in parts if len(part)]`.",
    ),
)


@drop_last.case("episodes of 3, 2 and 4 rows")
def _():
    return torch.arange(1.0, 10.0) ** 2, [3, 2, 4]


@drop_last.case("episodes of 3, 1 and 3 rows")
def _():
    return torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8], [9, 10], [0, 1], [1, 0]]), [3, 1, 3]


@drop_last.inputs
def _(draw):
    lengths = draw.one_of(draw.lengths(1, 60), [1] * draw.integer(1, 4))
    shape = draw.one_of((), (2,), (1,), (2, 2))
    column = draw.floats(sum(lengths), *shape)
    if draw.flag():
        return column.requires_grad_(), lengths
    return column.to(draw.one_of(torch.float64, torch.int64, torch.bool)), lengths


def _cut(column, lengths, where):
    parts = [part[where] for part in column.split(lengths)]
    return torch.cat(parts), [len(part) for part in parts if len(part)]


def _ranges(lengths, before: int, after: int) -> list[int]:
    """Rows of the table, without so many at each episode's beginning and end."""
    rows, first = [], 0
    for length in lengths:
        rows += range(first + before, first + length - after)
        first += length
    return rows


@drop_last.mistake(
    "only the table's last row is dropped",
    "`column[:-1]` knows nothing of episodes: it drops one row, the last episode's. All other end "
    "rows are still there. Take the column apart with `lengths` first.",
)
def _table_only(column, lengths):
    *others, last = lengths
    return column[:-1], [*others, last - 1] if last > 1 else others


@drop_last.mistake(
    "each episode loses two rows",
    "The end row is dropped, and then the row before it, which holds the last action and its "
    "reward. Each episode has one end row.",
)
def _two(column, lengths):
    return _cut(column, lengths, slice(None, -2))


@drop_last.mistake(
    "the episodes are joined without a border",
    "The rows are right, but `lengths` says that they are one long episode. A return would run "
    "through it from end to end. Give the length of each.",
)
def _joined(column, lengths):
    column, _ = _drop_last(column, lengths)
    return column, [len(column)]


@drop_last.mistake(
    "the lengths are still the old ones",
    "The rows are right. But `lengths` must add up to them, or the borders between episodes lie in "
    "the wrong places: each is one shorter now.",
)
def _old_lengths(column, lengths):
    return _drop_last(column, lengths)[0], lengths


@drop_last.mistake(
    "each episode loses its first row",
    "You drop what the episode began with. The end row is the last: `[:-1]`, not `[1:]`.",
)
def _first(column, lengths):
    return _cut(column, lengths, slice(1, None))


@drop_last.mistake(
    "an episode without rows is still counted",
    "An episode of one row has none left, and yours has length 0 then. It would count in every "
    "mean over episodes: leave it out of `lengths`.",
)
def _empty(column, lengths):
    return _drop_last(column, lengths)[0], [length - 1 for length in lengths]


drop_last.mistake(
    "only the first episode loses its last row",
    "Go through all of them.",
)(lambda column, lengths: _dropped_from(column, lengths, [0]))
drop_last.mistake(
    "the rows that should go are all that is left",
    "You keep each episode's last row. `[:-1]` is everything but that.",
    ("part[:-1]", "part[-1:]"),
)
drop_last.mistake(
    "the last row of the table stays",
    "All episodes but the last lose their last row. The last one has an end row as well.",
)(lambda column, lengths: _dropped_from(column, lengths, range(len(lengths) - 1)))
drop_last.mistake(
    "an episode of one row is kept",
    "Its one row is its last row. Nothing is left of it, in the column and in `lengths`.",
)(
    lambda column, lengths: _dropped_from(
        column, lengths, [k for k, n in enumerate(lengths) if n > 1]
    )
)
drop_last.mistake(
    "the column still has all rows",
    "`lengths` is right. The rows themselves have to go as well.",
    ("return torch.cat(parts)", "return column"),
)


def _dropped_from(column, lengths, episodes):
    """The last row dropped from some episodes only."""
    parts = [p[:-1] if k in episodes else p for k, p in enumerate(column.split(lengths))]
    return torch.cat(parts), [len(part) for part in parts if len(part)]


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


@pad.case("episodes of 2 and 3 rows")
def _():
    return torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), [2, 3]


@pad.case("episodes of 1, 4 and 1 rows, zeros among the numbers")
def _():
    return torch.tensor([0.0, 7.0, 0.0, 8.0, 9.0, 0.0]), [1, 4, 1]


@pad.inputs
def _(draw):
    lengths = draw.lengths(1, 30)
    column = draw.floats(sum(lengths))
    return column.to(draw.one_of(torch.float32, torch.float64, torch.int64)), lengths


pad.mistake(
    "the mask is turned round",
    "It should be true where there is something, not where there is padding.",
    ("return rectangle, mask", "return rectangle, ~mask"),
)
pad.mistake(
    "the mask asks which numbers are 0",
    "A 0 may be a number like any other, a reward say. Only `lengths` tells where an episode ends.",
    ("return rectangle, mask", "return rectangle, rectangle != 0"),
)
pad.mistake(
    "the padding stands in front",
    "Each episode begins in the first column: pad behind its end.",
    ("return rectangle, mask", "return _right_aligned(rectangle, mask)"),
)
pad.mistake(
    "episodes stand in columns",
    "Each row of the rectangle is an episode: (E, T_max), not (T_max, E).",
    ("return rectangle, mask", "return rectangle.T, mask.T"),
)
pad.mistake(
    "the rectangle is as wide as the table is long",
    "The longest episode says how wide: `max(lengths)`.",
    ("max(lengths)", "sum(lengths)"),
)
pad.mistake(
    "the rows run on into the next episode",
    "The rectangle is filled with the column row after row, without gaps. Each episode begins a "
    "row of its own.",
)(
    lambda column, lengths: (
        torch.cat([column, column.new_zeros(len(lengths) * max(lengths) - len(column))]).view(
            len(lengths), max(lengths)
        ),
        _pad(column, lengths)[1],
    )
)
pad.mistake(
    "the padding is not 0",
    "Fill the rest with zeros.",
    ("torch.zeros(", "torch.ones("),
)


def _right_aligned(rectangle: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    flipped = mask.flip(1)
    moved = torch.zeros_like(rectangle)
    moved[flipped] = rectangle[mask]
    return moved, flipped
