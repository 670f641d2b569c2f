"""Chapter 13: many environments, many processes, one learner."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from zlib import crc32

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from rlx.course.exercise import Exercise, Wrong


def _sync() -> Tensor:
    """A few updates of REINFORCE on environments that gymnasium puts side by side."""
    import rlx

    # They are seeded one by one, and with `spawn`; our own ones have a single generator.
    envs = gym.vector.SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 4)
    agent = rlx.Agent(envs, seed=rlx.seeding.spawn(0, 1, "training")[0])
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,), value=False)
    algorithm = rlx.algos.REINFORCE(agent, policy, batch_size=4, horizon=10, lr=0.01)
    for _ in range(3):
        algorithm.update()
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


# ---------------------------------------------------------------------- spawn_seeds


def _spawn_seeds(seed: int, n: int, key: tuple[int, ...]) -> list[int]:
    """`n` seeds below 2³¹, made from `seed` and from what they are for, the `key`."""
    sequence = np.random.SeedSequence(seed, spawn_key=key)
    return [int(number) >> 1 for number in sequence.generate_state(n)]


def _as_spawn(answer):
    """In the library words may be keys, too."""

    def spawn(seed, n, *key):
        return answer(seed, n, tuple(crc32(k.encode()) if isinstance(k, str) else k for k in key))

    return spawn


def _plain_ints(answer, seed, n, key) -> list[int]:
    found = answer(seed, n, key)
    kinds = {type(one).__name__ for one in found} - {"int"} if isinstance(found, list) else set()
    if kinds or isinstance(found, np.ndarray):
        raise Wrong(
            f"the seeds are {min(kinds or {'an array'})}, not plain ints in a list",
            "gymnasium's `reset(seed=…)` takes nothing but an int: `int(number)` makes one.",
        )
    return found


spawn_seeds = Exercise(
    "spawn_seeds",
    chapter="13",
    reference=_spawn_seeds,
    target="rlx.seeding.spawn",
    adapt=_as_spawn,
    call=_plain_ints,
    train=_sync,
    also="`SeedSequence(seed).spawn(n)` gives n sequences, for generators of their own "
    "(`default_rng(sequence)`). Environments want plain numbers.",
    hints=(
        "numpy has a class that stirs a seed and a key into numbers which look like chance.",
        "`np.random.SeedSequence(seed, spawn_key=key)` and its `generate_state(n)`. These numbers "
        "have 32 bits, and a seed may have 31.",
        "`[int(number) >> 1 for number in sequence.generate_state(n)]`",
    ),
)


spawn_seeds.case("three environments of an agent with seed 0", lambda: (0, 3, ()))
spawn_seeds.case("three environments of an agent with seed 1", lambda: (1, 3, ()))
spawn_seeds.case("worker number 2, which was replaced once", lambda: (7, 2, (2, 1)))


@spawn_seeds.inputs
def _(draw):
    seed = draw.one_of(draw.integer(0, 20), 2**31 - 1, 2**40 + draw.integer(0, 9))
    key = tuple(draw.integer(0, 9) for _ in range(draw.integer(0, 3)))
    return seed, draw.size(1, 300), key


spawn_seeds.patches(r"""
the key is not used
    Then the seeds for the environments and those for an evaluation are the same numbers:
    `spawn_key=key`.
    - , spawn_key=key
    +

the key is added to the seed
    So key (1,) of seed 0 is what seed 1 has without a key. Keys are stirred in apart:
    `spawn_key=key`.
    - seed, spawn_key=key
    + seed + sum(key)

the seeds have 32 bits
    Many take seeds below 2³¹ only, and raise an error for half of yours. Drop a bit: `>> 1`.
    - int(number) >> 1
    + int(number)

the first seed is the seed itself
    Then `seed` is used twice: by whoever was given it, and by the first environment.
    - return [int(number) >> 1 for number in sequence.generate_state(n)]
    + return [seed] + [int(number) >> 1 for number in sequence.generate_state(n)][:-1]

the first number is left out
    `generate_state(n)` has as many as are needed: use it from its first number on.
    - sequence.generate_state(n)
    + sequence.generate_state(n + 1)[1:]

there is one too few
    As many as `n` says.
    - generate_state(n)
    + generate_state(n)[:-1]

numbers of 64 bits are cut off
    `generate_state(n)` gives 32 bits each, and that is what a seed can use.
    - generate_state(n)
    + generate_state(n, np.uint64) % 2**32

each comes from a sequence of its own
    `spawn(n)` makes n sequences, whose first numbers would do. But everybody has to come to the
    same numbers: `sequence.generate_state(n)`.
    - int(number) >> 1 for number in sequence.generate_state(n)
    + int(one.generate_state(1)[0]) >> 1 for one in sequence.spawn(n)

the highest bit is left out, not the lowest
    `% 2**31` keeps the lower 31 bits, and so would do. But everybody has to come to the same
    numbers: `>> 1`.
    - >> 1
    + % 2**31
""")


@spawn_seeds.mistake(
    "it is seed + i",
    "Seeds 0 and 1 with 16 environments have 15 seeds in common: two trainings that should be "
    "independent see the same beginnings. Let `SeedSequence` stir.",
)
def _plus(seed, n, key):
    return [seed + i for i in range(n)]


@spawn_seeds.mistake(
    "each seed has a block of its own",
    "`seed * n + i` shares nothing with another seed, as long as all have the same n. Seed 1 of 8 "
    "and seed 2 of 4 share four.",
)
def _block(seed, n, key):
    return [seed * n + i for i in range(n)]


@spawn_seeds.mistake(
    "all have the same seed",
    "Then all environments begin alike, and play alike while the actions are alike. One for each.",
)
def _one_for_all(seed, n, key):
    return _spawn_seeds(seed, n, key)[:1] * n


@spawn_seeds.mistake(
    "all have the last seed",
    "Is there a lambda in a loop? It looks its variable up when it is *called*, and by then the "
    "loop is at its end. Bind it when it is made (`lambda i=i: …`), or make a list of numbers.",
)
def _late(seed, n, key):
    numbers = _spawn_seeds(seed, n, key)
    later = [lambda: numbers[i] for i in range(n)]  # noqa: B023
    return [one() for one in later]


# ---------------------------------------------------------------------- valid_rows


def _valid_rows(
    observation: np.ndarray, steps: Iterable[tuple[np.ndarray, np.ndarray]], ghost: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """States and next states, both (N, D), of the steps that were really taken."""
    states, next_states = [], []
    for next_observation, ended in steps:
        states.append(observation[~ghost])
        next_states.append(next_observation[~ghost])
        observation, ghost = next_observation.copy(), ended.copy()
    return np.concatenate(states), np.concatenate(next_states)


def buffered(observations: np.ndarray, ended: np.ndarray) -> Iterator[tuple]:
    """What an environment hands out at each step: the same two arrays, written anew."""
    seen, over = np.empty_like(observations[0]), np.empty_like(ended[0])
    for k in range(len(ended)):
        seen[...], over[...] = observations[k], ended[k]
        yield seen, over


valid_rows = Exercise(
    "valid_rows",
    chapter="13",
    reference=_valid_rows,
    call=lambda answer, observation, steps, ghost: answer(observation, buffered(*steps), ghost),
    results=("states", "next_states"),
    also="gymnasium has `AutoresetMode.SAME_STEP`, too: no row is lost, and the last observation "
    "of an episode then stands in `info`.",
    hints=(
        "Which environments take no step at this row? What must be known for it, and from where?",
        "An environment that ended at the last row resets itself at this one. So keep `ended` for "
        "the next turn, and the observation, too, and keep copies of both: the arrays are "
        "written anew at each step.",
        "`states.append(observation[~ghost])`, the same with `next_observation`, and at the end of "
        "the loop's body `observation, ghost = next_observation.copy(), ended.copy()`.",
    ),
)


def _played(ended: list, ghost: list) -> tuple:
    """Observations that say the environment and the row: 203 is row 3 of the second."""
    over = np.array(ended, dtype=bool)
    rows = np.arange(len(over) + 1)[:, None] + 100.0 * np.arange(1, over.shape[1] + 1)
    seen = np.stack([rows, -rows], axis=-1)
    return seen[0], (seen[1:], over), np.array(ghost, dtype=bool)


valid_rows.case(
    "two environments, four steps; the first one ends at its second step",
    lambda: _played([[0, 0], [1, 0], [0, 0], [0, 0]], [False, False]),
)
valid_rows.case(
    "two environments; the second ended just before, the first ends at the last row",
    lambda: _played([[0, 0], [0, 0], [1, 0]], [False, True]),
)
valid_rows.case("one environment that does not end", lambda: _played([[0], [0]], [False]))


@valid_rows.inputs
def _(draw):
    envs, steps, width = draw.integer(1, 4), draw.size(1, 40), draw.integer(1, 3)
    seen = draw.floats(steps + 1, envs, width, kinds="tenths wide").numpy()
    ghost = np.array([draw.flag() for _ in range(envs)])
    ended, before = [], ghost
    for _ in range(steps):  # what resets itself does not end in the same step
        before = np.array([draw.integer(0, 2) == 2 for _ in range(envs)]) & ~before
        ended.append(before)
    return seen[0], (seen[1:], np.array(ended)), ghost


valid_rows.patches(r"""
ghost rows are kept
    In the row after an episode's end the environment resets itself: the action was ignored,
    the reward is 0, and the "next state" begins another episode. Leave it out.
    - observation[~ghost]
    + observation.copy()

the last row of each episode is left out
    That step was taken. It is the row *after* it that is none.
    - [~ghost]
    + [~ended]

the last row is left out with the ghost row
    The step that ended the episode was taken: it is the one that says how it ended.
    - [~ghost]
    + [~(ghost | ended)]

only the ghost rows are kept
    `ghost` is true where no step was taken.
    - [~ghost]
    + [ghost]

the observation is not copied
    At the next step the environment writes into the same array: your state has become its
    own next state. `next_observation.copy()`.
    - next_observation.copy()
    + next_observation

the flags are not copied
    At the next step the environment writes into the same array: the flags you kept are
    those of the row itself. `ended.copy()`.
    - ended.copy()
    + ended

how it stood at the beginning is forgotten
    An environment that ended with the rows before has its ghost row here: `ghost`, as it is
    handed in, is that of the first row.
    - states, next_states = [], []
    + states, next_states, ghost = [], [], ghost & False

who has ended never comes back
    One row is lost, no more: the next belongs to the new episode.
    - ended.copy()
    + ghost | ended

all environments lose the row
    Only those that ended reset themselves. The others go on, each by itself.
    - [~ghost]
    + [np.full(len(ghost), not ghost.any())]

state and next state are exchanged
    States first.
    - return np.concatenate(states), np.concatenate(next_states)
    + return np.concatenate(next_states), np.concatenate(states)
""")


@valid_rows.mistake(
    "the rows that are kept are those of the environment's own array",
    "`observation[b]` is a view of it: at the next step all of your rows become other numbers. "
    "Keep copies: `next_observation.copy()`.",
)
def _views(observation, steps, ghost):
    states, next_states = [], []
    for next_observation, ended in steps:
        for b in np.flatnonzero(~ghost):
            states.append(observation[b])
            next_states.append(next_observation[b])
        observation, ghost = next_observation, ended.copy()
    return tuple(np.array(rows).reshape(-1, observation.shape[1]) for rows in (states, next_states))


@valid_rows.mistake(
    "the reset observation is taken for the next state",
    "After the last step of an episode stands the state in which it ended. The first observation "
    "of the next episode comes one row later, and nothing led from here to there.",
)
def _reset_for_next(observation, steps, ghost):
    rows = [(seen.copy(), ended.copy()) for seen, ended in steps]
    states, next_states = [], []
    for k, (seen, ended) in enumerate(rows):
        after = np.where(ended[:, None], rows[min(k + 1, len(rows) - 1)][0], seen)
        states.append(observation[~ghost])
        next_states.append(after[~ghost])
        observation, ghost = seen, ended
    return np.concatenate(states), np.concatenate(next_states)


# ---------------------------------------------------------------------- average_gradients


def _average_gradients(gradients: list[list[Tensor]], rows: list[int]) -> list[Tensor]:
    """The gradient of the mean over all rows, from those of the means over each shard's."""
    total = sum(rows)
    return [sum(n / total * g for n, g in zip(rows, shards)) for shards in zip(*gradients)]


average_gradients = Exercise(
    "average_gradients",
    chapter="13",
    reference=_average_gradients,
    also="Or let each shard divide its *sum* by the rows of all: then the gradients are added. "
    "PyTorch's DistributedDataParallel takes the plain mean, so it needs equal shards.",
    hints=(
        "A shard of 30 rows and one of 10: how much does a row weigh in the mean over all 40?",
        "Each shard's gradient is a mean over its rows. Its share of all rows is its weight. "
        "`zip(*gradients)` puts the gradients of one parameter together.",
        "`sum(n / total * g for n, g in zip(rows, shards))`, for each `shards in zip(*gradients)`.",
    ),
)


@average_gradients.case("two shards, of one row and of three")
def _():
    first = [torch.tensor([4.0, 0.0]), torch.tensor(1.0)]
    second = [torch.tensor([8.0, 4.0]), torch.tensor(-3.0)]
    return [first, second], [1, 3]


@average_gradients.case("three shards, one parameter")
def _():
    shards = torch.tensor([[[1.0, 2.0]], [[3.0, -2.0]], [[0.0, 0.0]]])
    return [[one] for one in shards], [2, 1, 5]


average_gradients.case("a single shard", lambda: ([[torch.tensor([2.0, -1.0])]], [6]))


@average_gradients.inputs
def _(draw):
    shards, parameters = draw.size(1, 12), draw.integer(1, 3)
    shapes = [draw.one_of((2,), (), (1,), (2, 3), (4, 1, 2)) for _ in range(parameters)]
    dtype = draw.one_of(torch.float32, torch.float64)
    kinds = "tenths whole wide"
    return (
        [[draw.floats(*shape, kinds=kinds).to(dtype) for shape in shapes] for _ in range(shards)],
        [draw.one_of(1, 2, 3, 10, 64) for _ in range(shards)],
    )


average_gradients.patches(r"""
the gradients are added
    Each of them is a mean: with twice as many workers the step would be twice as long.
    Weigh each by its share of the rows.
    - n / total * g
    + g

every shard counts the same
    A row in a small shard then counts more than one in a large shard. Weigh each shard by
    its share of all rows.
    - n / total * g
    + g / len(rows)

it is not divided by the number of rows
    You have the gradient of a sum. Divide by all rows.
    - n / total * g
    + n * g

it is divided by the number of shards
    `n * g` is a shard's sum: divide by the rows of all shards.
    - n / total * g
    + n / len(rows) * g

it is divided once more, by the number of shards
    The weights have the sum 1 already.
    - n / total * g
    + n / total / len(rows) * g

small shards have the large weights
    A shard's weight is its share of the rows.
    - n / total * g
    + (1 / n) / sum(1 / m for m in rows) * g

the weights stand in the wrong order
    `rows[k]` belongs to `gradients[k]`.
    - zip(rows, shards)
    + zip(rows[::-1], shards)

only the largest shard is used
    The others have played, too: weigh each shard by its share of the rows.
    - n / total * g for n, g in zip(rows, shards)
    + g * (k == rows.index(max(rows))) for k, g in enumerate(shards)

only the first shard is used
    The others have played, too: weigh each shard by its share of the rows.
    - n / total * g for n, g in zip(rows, shards)
    + g * (k == 0) for k, g in enumerate(shards)
""")


def _clipped_average(gradients: list[list[Tensor]], rows: list[int]) -> list[Tensor]:
    """The same, scaled down so that the norm of all parameters together is 1 at most."""
    total = sum(rows)
    mean = [sum(n / total * g for n, g in zip(rows, shards)) for shards in zip(*gradients)]
    norm = torch.cat([g.flatten() for g in mean]).norm()
    return [g * (1 / norm).clamp(max=1) for g in mean]


average_gradients.harder(
    "clipped_average",
    _clipped_average,
    (
        "Of what is the norm to be taken: of each shard, of each parameter, or of what?",
        "First the mean, as before. Then one norm, of the entries of all parameters together, and "
        "one factor for all of them, never above 1.",
        "`norm = torch.cat([g.flatten() for g in mean]).norm()`, and each `g` times "
        "`(1 / norm).clamp(max=1)`.",
    ),
    r"""
    each parameter is clipped by itself
        That turns the direction: one norm for all of them, and one factor.
        - g * (1 / norm).clamp(max=1)
        + g * (1 / g.norm()).clamp(max=1)

    short gradients are made longer
        A bound from above only: the factor is never above 1.
        - (1 / norm).clamp(max=1)
        + (1 / norm)

    each entry is clipped
        That turns the direction. Scale all entries by one factor.
        - g * (1 / norm).clamp(max=1)
        + g.clamp(-1, 1)

    nothing is clipped
        This is the mean of before: divide by its norm where that is above 1.
        - g * (1 / norm).clamp(max=1)
        + g

    it divides by the square of the norm
        The norm is the root of the sum of the squares.
        - .norm()
        + .square().sum()

    the gradients of the shards are clipped before the mean
        Where they point in different directions, the mean is short although each is long. Clip
        what the optimizer gets.
        - sum(n / total * g for n, g in zip(rows, shards))
        + sum(
        +     n / total * g * (1 / torch.cat([p.flatten() for p in one]).norm()).clamp(max=1)
        +     for n, g, one in zip(rows, shards, gradients)
        + )
    """,
    also="`torch.nn.utils.clip_grad_norm_` does it to gradients in place. It adds 1e-6 to the "
    "norm, so that it never divides by 0.",
)


# ---------------------------------------------------------------------- staleness


def _staleness(events: list[tuple[str, int]]) -> list[int]:
    """How many updates old the policy was that played each segment, when it was taken."""
    version, sent, found = 0, defaultdict(deque), []
    for what, worker in events:
        if what == "update":
            version += 1
        elif what == "send":
            sent[worker].append(version)
        else:
            found.append(version - sent[worker].popleft())
    return found


staleness = Exercise(
    "staleness",
    chapter="13",
    reference=_staleness,
    also="The library writes the version into each request, and the segment brings it back: then "
    "nobody has to remember who was asked what (`rollout.version`).",
    hints=(
        "What has to be written down when a policy is sent, so that the age is known later?",
        "Count the updates: that is the version. At each `send` put it into a queue of that "
        "worker. At `take` the oldest of that worker's queue comes out.",
        "`sent[worker].append(version)`, and `found.append(version - sent[worker].popleft())`, "
        "with `sent = defaultdict(deque)`.",
    ),
)


@staleness.case("one worker, two requests ahead")
def _():
    asked = [("send", 0), ("send", 0)]
    return ([*asked, ("take", 0), ("update", 0), ("send", 0), ("take", 0), ("update", 0),
             ("send", 0), ("take", 0)],)  # fmt: skip


@staleness.case("two workers, and the second one is slow")
def _():
    return ([("send", 0), ("send", 1), ("take", 0), ("update", 0), ("send", 0), ("take", 0),
             ("update", 0), ("update", 0), ("take", 1)],)  # fmt: skip


staleness.case("taken at once", lambda: ([("update", 0), ("send", 1), ("take", 1)],))


@staleness.inputs
def _(draw):
    workers, waiting, events = draw.integer(1, 4), defaultdict(int), []
    for _ in range(draw.size(1, 120)):
        what, worker = draw.integer(0, 3), draw.integer(0, workers - 1)
        if what < 2 and waiting[worker]:
            events.append(("take", worker))
            waiting[worker] -= 1
        elif what == 3:
            events.append(("update", 0))  # who learns is nobody's number
        else:
            events.append(("send", worker))
            waiting[worker] += 1
    return (events,)


staleness.patches(r"""
the newest request is taken for the answered one
    A worker plays its requests in the order in which they came: the oldest is answered first.
    - popleft()
    + pop()

all workers share one queue
    A slow worker's segment was asked for long before those of the fast ones. A queue for
    each.
    - sent[worker].append
    + sent[0].append
    - sent[worker].popleft
    + sent[0].popleft

each worker has only its last request
    Several requests may be on their way: a queue, not a number.
    - sent[worker].append(version)
    + sent[worker] = [version]
    - sent[worker].popleft()
    + sent[worker][0]

every policy counts as the newest
    That is what a learner believes that recomputes μ: it asks its own policy for the
    probabilities of actions that another one chose.
    - version - sent[worker].popleft()
    + version - version

it counts requests, not updates
    A policy gets older when it is improved, not when it is sent.
    - version += 1
    + pass
    - sent[worker].append(version)
    + sent[worker].append(version)
    +             version += 1

it is the number of the version
    How far it lies behind was asked for: the version now, less that one.
    - version - sent
    + sent

the sign is turned round
    The version now is the larger one.
    - version - sent[worker].popleft()
    + sent[worker].popleft() - version

it counts one too many
    A segment that is taken before any update has staleness 0.
    - version - sent
    + 1 + version - sent
""")


@staleness.mistake(
    "it counts from the worker's last segment on",
    "With two requests on their way the next segment was asked for before the last one was taken. "
    "Count from the request that it answers.",
)
def _since_last(events):
    version, last, found = 0, defaultdict(int), []
    for what, worker in events:
        version += what == "update"
        if what == "take":
            found.append(version - last[worker])
            last[worker] = version
    return found


# ---------------------------------------------------------------------- own work


def _serial_share(workers: np.ndarray, seconds: np.ndarray) -> float:
    """The share of the time that more workers do not shorten, by least squares."""
    x = 1 / workers
    dx, dy = x - x.mean(), seconds - seconds.mean()
    b = (dx * dy).sum() / (dx * dx).sum()
    a = seconds.mean() - b * x.mean()
    return a / (a + b)


serial_share = Exercise(
    "serial_share",
    chapter="13",
    reference=_serial_share,
    also="`np.polyfit(1 / workers, seconds, 1)` is the same fit: it returns b and a.",
    hints=(
        "In `1 / workers` the seconds lie on a straight line. What are its slope and its height?",
        "The slope b is the covariance of 1/n and the seconds, divided by the variance of 1/n; the "
        "height a is what is left at the means. One worker takes a + b.",
        "`x = 1 / workers`, `b = (dx * dy).sum() / (dx * dx).sum()` with the distances from the "
        "means, `a = seconds.mean() - b * x.mean()`, and `a / (a + b)`.",
    ),
)


serial_share.case(
    "2 seconds that stay, 6 that are shared",
    lambda: (np.array([1, 2, 3]), np.array([8.0, 5.0, 4.0])),
)
serial_share.case(
    "measured seconds, not quite on a line",
    lambda: (np.array([1, 2, 4, 8]), np.array([10.0, 5.5, 4.0, 2.5])),
)
serial_share.case(
    "workers that are not in order, and never one alone",
    lambda: (np.array([8, 2, 4]), np.array([3.0, 6.0, 4.5])),
)


@serial_share.inputs
def _(draw):
    n = draw.size(2, 40)
    workers = np.array([draw.integer(1, 9) for _ in range(n)])
    workers[0], workers[1] = draw.integer(1, 3), draw.integer(4, 12)
    stays, shared = draw.integer(0, 9), draw.integer(1, 20)
    error = draw.floats(n, kinds="tenths").double().numpy() / 100
    return workers, (stays + shared / workers) * (1 + error.clip(-0.05, 0.05))


serial_share.patches(r"""
it is the share that more workers shorten
    That is b. What they do not shorten is a.
    - return a / (a + b)
    + return b / (a + b)

it is divided by what is shared out
    A share is a part of the whole: a + b.
    - return a / (a + b)
    + return a / b

the seconds are fitted over n
    They fall with 1/n: over n there is no straight line.
    - x = 1 / workers
    + x = 1.0 * workers

speeds are fitted, not seconds
    It is seconds that add up: a, and b / n.
    - dx, dy = x - x.mean(), seconds - seconds.mean()
    + seconds = 1 / seconds
    +     dx, dy = x - x.mean(), seconds - seconds.mean()

the shortest time is taken for what stays
    With n workers b / n of it is still what they share.
    - return a / (a + b)
    + return seconds.min() / (a + b)

the longest time is taken for the whole
    The whole is what *one* worker takes, and by the fit: a + b.
    - return a / (a + b)
    + return a / seconds.max()

only the first and the last measurement are used
    Each measurement has its error. Fit all of them.
    - b = (dx * dy).sum() / (dx * dx).sum()
    + b = (seconds[0] - seconds[-1]) / ((x[0] - x[-1]) or np.nan)
    - a = seconds.mean() - b * x.mean()
    + a = seconds[0] - b * x[0]

the means are not taken off before the slope
    Then the slope is that of a line through 0, which has nothing that stays.
    - dx, dy = x - x.mean(), seconds - seconds.mean()
    + dx, dy = x, seconds

it is the time, not the share
    Divide by what one worker takes.
    - return a / (a + b)
    + return a
""")
