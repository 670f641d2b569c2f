"""Rollout: a table of steps. One row is one time step; episodes stand back to back."""

from __future__ import annotations

import dataclasses
import itertools
from collections import namedtuple
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from rlx import functional
from rlx.columns import Column, Field, apply, join, leaves, squeezed

if TYPE_CHECKING:
    from rlx.distributions import ActionDistribution


def _logprobs(output: Any, actions: tuple[Tensor, ...]) -> Tensor | None:
    return None if output.dist is None else output.dist.log_prob(*actions)


def _entropy(output: Any, actions: tuple[Tensor, ...]) -> Tensor | None:
    try:
        return None if output.dist is None else output.dist.entropy()
    except NotImplementedError:
        return None  # no closed form: an error only for those who read it


def blank(columns: dict[str, Column], end: Tensor) -> dict[str, Column]:
    """The same with what their declarations say of the rows where `end` (N,) is true."""
    known = {name: field.at_end for name, field in Rollout.COLUMNS.items()}
    return {
        name: column
        if column is None or known[name] is None
        else column.masked_fill(end, known[name])
        for name, column in columns.items()
    }


@dataclasses.dataclass
class Finished:
    """Sum of rewards and number of steps of each episode that ended while a rollout was played,
    also of those that `segment` cut into several fragments.

    Rewards as the environment paid them, even where a wrapper changes those that are learned from
    (see `rlx.play.paid`)."""

    returns: list[float] = dataclasses.field(default_factory=list)
    lengths: list[int] = dataclasses.field(default_factory=list)


class Rollout:
    """A table of N steps: every column is a tensor whose first dimension is rows.

    Every episode that was sampled closes with its end row, so bootstrapping is one rule: the next
    row's value, unless that row is `terminated`. `lengths` counts the rows of each episode.

    A row of the table is a `Step`: iterating yields them, `rollout << step` appends one.

    `COLUMNS` are those that were declared, each by a `Field`. Any other name becomes a column of
    yours when you assign one entry a row to it, `table.bonus = torch.zeros(len(table))`. All are
    cut, dealt, put together and sent to a device together.
    """

    COLUMNS: ClassVar[dict[str, Field]] = {}

    # fmt: off
    states = Field("(N, *obs)", "observation at the row", step="state", blank=None)
    actions = Field("tuple of (N, *event)", "one entry a component, as sampled", step="action")
    rewards = Field("(N,)", "reward of the step taken at the row",
                    step="reward", default=0.0, at_end=0.0)
    end = Field("(N,) bool", "the observation after the last step; its action was never executed",
                step="end", default=False, at_end=True)
    terminated = Field("(N,) bool", "an end row after which nothing comes: its value is 0",
                       step="terminated", default=False)
    recur_states = Field("(N, *hidden), a tuple of them, or None",
                         "recurrent state entering the row; detached, zeros after a reset",
                         step="recur_state", blank="start", missing=None)
    logprobs = Field("(N,)", "of the actions, summed over components; 0 at the end",
                     step="logprob", at_end=0.0, fill=_logprobs)
    entropy = Field("(N,)", "of the distribution, summed over components; 0 at the end",
                    step="entropy", at_end=0.0, fill=_entropy, stored=False, optional=True)
    others = Field("tuple of (N, …)", "the extras that the policy returned", step="others",
                   blank=None, fill=lambda output, actions: output.others, stored=False)
    start = Field("(N,) bool", "the first row after a reset", step="start")
    returns = Field("(N,)", "what a returns method, or you, last put there",
                    missing="mc_returns, n_step_returns, gae or vtrace fills them, or assign yours",
                    stored=False, optional=True)
    advantages = Field("(N,)", "likewise", missing="gae or vtrace fills them, or assign yours",
                       stored=False, optional=True)
    # fmt: on

    # Of the whole rollout that was played, also in what is sliced, shuffled or evaluated. A part of
    # it (`episodes`, `minibatches`) and a Replay's sample know of none.
    finished = Finished()
    frames: list[np.ndarray] = ()  # pictures, one a row, of `episode(render=True)`
    vectorized = False  # is each row an episode of its own?
    _dist: ActionDistribution | None = None
    _appended: list[Step] = ()  # what `<<` added since the columns were last read

    def __init__(
        self, lengths: Sequence[int] = (), *, vectorized: bool = False, **columns: Column
    ) -> None:
        if unknown := sorted(columns.keys() - self.COLUMNS):
            raise TypeError(f"a Rollout has no column {unknown}; it has {[*self.COLUMNS]}")
        self.vectorized, self._lengths = vectorized, list(lengths)
        self._columns: dict[str, Column] = dict.fromkeys(self.COLUMNS)
        self._columns.update(columns)
        self.check({name: column for name, column in columns.items() if column is not None})

    @property
    def columns(self) -> dict[str, Column]:
        """All columns by name, yours too; None for one that is not there."""
        self._settle()
        return self._columns

    @property
    def lengths(self) -> list[int]:
        """Rows of each episode, end row included."""
        self._settle()
        return self._lengths

    @property
    def extras(self) -> tuple[Tensor | None, ...]:
        """The clear name of `others`: whatever else the policy returned, tuple of (N, …)."""
        return self.others

    @property
    def dry(self) -> bool:
        """Does it hold states, actions and rewards only?"""
        return self.columns["logprobs"] is None and self.columns["others"] is None

    @property
    def dist(self) -> ActionDistribution:
        """The ActionDistribution over all rows, after a one-pass `evaluate`."""
        if self._dist is None:
            raise RuntimeError(
                "this rollout has no dist: only evaluate keeps it, when it runs all rows in one "
                "pass (a feed-forward policy, a vectorized rollout); slicing or shuffling drops it"
            )
        return self._dist

    @dist.setter
    def dist(self, dist: ActionDistribution | None) -> None:
        self._dist = dist

    def why_missing(self, field: Field) -> str:
        if not field.fill or not len(self):
            return field.missing if len(self) else "it is empty"
        if self.dry:
            return (
                "it is dry and holds only states, actions and rewards; "
                "agent(policy).evaluate(rollout) gives one that is not"
            )
        if self.columns["logprobs"] is None:
            return "the network that was run returned no action distribution"
        why = "a Replay does not keep them; agent(policy).evaluate(rollout) gives new ones"
        if field.name == "entropy":
            why = "its distribution has no closed form; -rollout.logprobs estimates it. Or: " + why
        return why

    def __repr__(self) -> str:
        kind = "dry " if self.dry else ""
        unit = "vectorized rows" if self.vectorized else f"rows in {len(self.lengths)} episodes"
        return f"<{kind}Rollout: {len(self)} {unit}>"

    def check(self, columns: dict[str, Column]) -> None:
        """Raises ValueError unless these can be the columns of those names: one entry a row, …"""
        n = len(self)  # a sum over all episodes: once
        for name, column in columns.items():
            self._check(name, column, n)

    def _check(self, name: str, column: Column, n: int) -> None:
        field = self.COLUMNS.get(name)
        number = field is not None and field.number
        parts = [column] if number or column is None else list(leaves(column))
        got = [tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__ for x in parts]
        if any((shape if number else shape[:1]) != (n,) for shape in got):
            want = f"({n},), one number a row" if number else f"({n}, …), or a tuple of them"
            got = got[0] if len(got) == 1 else got
            raise ValueError(f"{name} must be a tensor of shape {want}; got {got}")
        if number and not (
            column.dtype == torch.bool if field.flag else column.is_floating_point()
        ):
            want = "bool" if field.flag else "floating-point numbers"
            raise ValueError(f"{name} must be {want}, not {column.dtype}")

    def __setattr__(self, name: str, value: Any) -> None:
        if callable(getattr(type(self), name, None)):
            raise AttributeError(f"{name} is a method: give your column another name")
        if name.startswith("_") or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        elif hasattr(type(self), name + "s"):
            raise AttributeError(f"a Rollout has no {name}: did you mean {name}s?")
        else:
            self.check({name: value})
            self.columns[name] = value

    def __getattr__(self, name: str) -> Any:  # asked only for what is not found otherwise
        if name in vars(self).get("_columns", ()):
            return self.columns[name]
        raise AttributeError(
            f"this Rollout has no {name}; assign a tensor with one entry a row to make it a column"
        )

    # ------------------------------------------------------------------ new from old

    def replace(
        self,
        *,
        lengths: Sequence[int] | None = None,
        vectorized: bool | None = None,
        **columns: Column,
    ) -> Self:
        """The same rows, with other columns, or others besides, or cut into other episodes."""
        new = self._like(dict(self.columns), self.lengths if lengths is None else lengths)
        if lengths is not None and len(new) != len(self):
            raise ValueError(f"the lengths add up to {len(new)} rows, these are {len(self)}")
        if vectorized is not None:
            new.vectorized = vectorized
        new._columns.update(columns)
        new.check({name: column for name, column in columns.items() if column is not None})
        return new

    def take(self, rows: np.ndarray | Tensor, lengths: Sequence[int]) -> Self:
        """The rows of these numbers, in that order, as episodes of these `lengths`."""
        index = torch.as_tensor(rows)
        return self._like(
            apply(lambda x: x.index_select(0, index.to(x.device)), self.columns), lengths
        )

    def _like(self, columns: dict[str, Column], lengths: Sequence[int]) -> Self:
        new = object.__new__(type(self))
        vars(new).update(vars(self), _columns=columns, _lengths=list(lengths))
        new._dist, new.frames = None, ()
        return new

    def to(self, device: str | torch.device) -> Self:
        """The same on another device."""
        return self._like(apply(lambda column: column.to(device), self.columns), self.lengths)

    def detach(self) -> Self:
        """The same without gradients."""
        return self._like(apply(Tensor.detach, self.columns), self.lengths)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self.detach())  # a graph cannot be pickled, and workers do not need it

    def __add__(self, other: Self) -> Self:
        """The episodes of both, one after the other."""
        return self.cat([self, other]) if isinstance(other, Rollout) else NotImplemented

    def __radd__(self, other: int) -> Self:
        return self if other == 0 else NotImplemented  # sum(rollouts) begins with 0

    @classmethod
    def cat(cls, rollouts: Iterable[Rollout]) -> Rollout:
        """The episodes of several rollouts, one after the other.

        `returns` and `advantages` travel if every one has them. Raises ValueError for rollouts that
        do not fit together: dry with non-dry, vectorized with not, other shapes or components, a
        column of yours that only some have."""
        rollouts = list(rollouts)
        parts = [rollout for rollout in rollouts if len(rollout)]
        if len({part.dry for part in parts}) > 1:
            raise ValueError(
                "cannot put a dry rollout and one that is not together: run "
                "agent(policy).evaluate(rollout) on the dry one, or sample both with one dry="
            )
        if len({part.vectorized for part in parts}) > 1:
            raise ValueError("only one of the rollouts is vectorized: add first, then vectorize()")
        columns = [dict(part.columns) for part in parts]
        for name, field in cls.COLUMNS.items():
            if field.optional and any(one[name] is None for one in columns):
                for one in columns:
                    one[name] = None
        whole = parts[0].replace() if parts else cls()
        if len(parts) > 1:
            lengths = [length for part in parts for length in part.lengths]
            joined = join("the columns", torch.cat, columns)
            whole = cls(vectorized=parts[0].vectorized)._like(joined, lengths)
        whole.finished = Finished(
            [one for rollout in rollouts for one in rollout.finished.returns],
            [one for rollout in rollouts for one in rollout.finished.lengths],
        )
        return whole

    def fresh(self) -> Rollout:
        """The same rows as if each episode or fragment began at a reset: `evaluate` enters them
        with zeros. For a recurrent critic, whose own states no rollout holds."""
        first = torch.zeros_like(self.start)
        first[torch.from_numpy(self._offsets())] = True
        return self.replace(start=first, recur_states=None)

    # ------------------------------------------------------------------ cutting

    def __getitem__(self, index: int | slice | Tensor) -> Self:
        """Python's index or slice of each episode's rows; of the rows themselves once vectorized.

        `[:-1]` drops each episode's last row, `[-1]` gathers them; episodes left empty vanish."""
        if self.vectorized:
            index = index.numpy(force=True) if isinstance(index, Tensor) else index
            rows = np.arange(len(self))[index].flatten()
            return self.take(rows, [1] * len(rows))
        if isinstance(index, (int, np.integer)):
            short = [length for length in self.lengths if not -length <= index < length]
            if short:
                raise IndexError(f"row {index} of each episode: one has only {short[0]} rows")
            index = slice(index, index + 1 or None)
        if not isinstance(index, slice):
            raise TypeError(
                "index a rollout with an int or a slice (of each episode), or vectorize()"
            )
        cut = {n: np.arange(n)[index] for n in set(self.lengths)}
        pieces = [cut[n] + offset for n, offset in zip(self.lengths, self._offsets(), strict=True)]
        lengths = [len(piece) for piece in pieces if len(piece)]
        return self.take(np.concatenate(pieces) if lengths else np.arange(0), lengths)

    def _offsets(self) -> np.ndarray:
        lengths = np.array(self.lengths, dtype=np.int64)
        return np.cumsum(lengths) - lengths

    @property
    def position(self) -> np.ndarray:
        """How many rows of its episode, or fragment, come before each row: (N,)."""
        return np.arange(len(self)) - np.repeat(self._offsets(), self.lengths)

    @property
    def episodes(self) -> list[Self]:
        """Each episode (or fragment) by itself."""
        return self._parts(range(len(self.lengths) + 1))

    def _parts(self, cuts: Sequence[int]) -> list[Self]:
        """Cut between episodes: part k has those from `cuts[k]` up to `cuts[k + 1]`."""
        bounds = np.concatenate([self._offsets(), [len(self)]])
        parts = [
            self.take(np.arange(bounds[a], bounds[b]), self.lengths[a:b])
            for a, b in itertools.pairwise(cuts)
        ]
        for part in parts:
            part.finished = Finished()
        return parts

    def chunks(self, length: int) -> Self:
        """Cut episodes into fragments of at most `length` rows, each with its stored entry state.

        For truncated backpropagation through time. Compute returns before, and drop the end rows:
        `rollout[:-1].chunks(32)`."""
        if length < 1:
            raise ValueError(f"chunks of {length} rows: give a length of at least 1")
        return self.replace(
            lengths=[min(length, n - done) for n in self.lengths for done in range(0, n, length)]
        )

    def vectorize(self) -> Self:
        """Forget time: every row becomes its own one-step episode, so `evaluate` is one pass.

        Recurrent states travel along. Returns cannot be computed after it: compute them before."""
        return self.replace(lengths=[1] * len(self), vectorized=True)

    def shuffle(self, generator: torch.Generator | None = None) -> Self:
        """Permute episodes (rows, once vectorized) in place; returns self.

        Columns are rebound to permuted copies: slices handed out before do not change."""
        order = torch.randperm(len(self.lengths), generator=generator).numpy()
        lengths = np.array(self.lengths, dtype=np.int64)
        rows = order if self.vectorized else _ranges(self._offsets()[order], lengths[order])
        vars(self).update(vars(self.take(rows, lengths[order].tolist())))
        return self

    def minibatches(self, k: int) -> list[Self]:
        """Cut into `k` parts in the present order (shuffle first), dropping nothing.

        Rows are dealt evenly, and come vectorized; a recurrent rollout that is not vectorized keeps
        its episodes (or `chunks`) whole and deals those evenly."""
        whole = not self.vectorized and self.columns.get("recur_states") is not None
        source = self if whole or self.vectorized else self.vectorize()
        count = len(source.lengths)
        if not 1 <= k <= count:
            unit = "fragments" if whole else "rows"
            raise ValueError(f"cannot make {k} minibatches of {count} {unit}")
        return source._parts([count * i // k for i in range(k + 1)])

    # ------------------------------------------------------------------ step by step

    def __iter__(self) -> Iterator[Step]:
        columns = [self.columns[name] for name in STEP.values()]
        for i in range(len(self)):
            yield Step(*apply(lambda x, i=i: x[i], tuple(columns)))

    def __lshift__(self, step: Step) -> Rollout:
        """Append one step. The row after an end row begins a new episode.

        An end row needs no action; `terminated` belongs to it, not to the step before."""
        if self.vectorized:
            raise ValueError("a vectorized rollout has forgotten time: append before vectorize()")
        if step.terminated and not step.end:
            raise ValueError(
                "terminated marks an end row, the observation after the last step: append "
                "Step(final_observation, end=True, terminated=True) after the step itself"
            )
        if step.end and step.reward:
            raise ValueError(
                "an end row has reward 0: the last reward belongs to the row before it"
            )
        # Copies: an environment may hand out the same buffer again at the next step.
        step = Step(*apply(lambda x: torch.as_tensor(x).clone(), step))
        action = step.action if isinstance(step.action, tuple | None) else (step.action,)
        self._appended = self._appended or []
        self._appended.append(step._replace(action=action, reward=step.reward.float()))
        return self

    def __len__(self) -> int:
        """Number of rows."""
        rows = len(self._lengths) if self.vectorized else sum(self._lengths)
        return rows + len(self._appended)

    def _settle(self) -> None:
        """Make columns of what `<<` has added: only now, for it would cost as much every time."""
        if not self._appended:
            return
        steps, self._appended = self._appended, ()
        try:
            whole = self._grown(steps)
        except ValueError:
            self._appended = steps  # nothing is lost, and the error comes again
            raise
        vars(self).update(vars(whole))

    def _grown(self, steps: list[Step]) -> Rollout:
        """These rows, and then `steps`."""
        end = [bool(step.end) for step in steps]
        goes_on = bool(self._lengths) and not bool(self.end[-1])
        fresh = [not goes_on, *end[:-1]]
        start = [f if step.start is None else bool(step.start) for f, step in zip(fresh, steps)]
        begins = [f or s for f, s in zip(fresh, start)]
        steps = [step._replace(start=torch.tensor(s)) for s, step in zip(start, steps)]
        blanks = {"end": end, "start": start, None: [False] * len(steps)}
        columns = {}
        for key, name in STEP.items():
            field, values = self.COLUMNS[name], [getattr(step, key) for step in steps]
            known = itertools.chain(
                values, (getattr(row, key) for row in itertools.islice(self, 1))
            )
            example = next((value for value in known if value is not None), None)
            zeros = apply(torch.zeros_like, example)
            rows = [zeros if v is None and b else v for v, b in zip(values, blanks[field.blank])]
            column = join(name, torch.stack, rows)
            columns[name] = apply(squeezed, column) if field.number or field.fill else column
        lengths = np.diff(np.flatnonzero([True, *begins[1:], True])).tolist()
        n, whole = len(self._lengths), self.cat([self, Rollout(lengths, **columns)])
        if n and not begins[0]:
            whole._lengths[n - 1 : n + 1] = [sum(whole._lengths[n - 1 : n + 1])]
        return whole

    # ------------------------------------------------------------------ returns

    def mc_returns(self, gamma: float = 1.0) -> Tensor:
        """Monte-Carlo returns Σ γᵏ r_{t+k} to the episode's last row, never bootstrapped: (N,)."""
        self._check_time()
        self.returns = functional.discounted_returns(self.rewards, self._last(), gamma)
        return self.returns

    def n_step_returns(self, values: Tensor, gamma: float, n: int | None = None) -> Tensor:
        """n rewards, then the value of the row they lead to (None: to the end). Shape (N,)."""
        self.check_end_rows()
        self.returns = functional.n_step_returns(
            self.rewards, values, self.end, self.terminated, gamma, n
        )
        return self.returns

    def gae(self, values: Tensor, gamma: float, gae_lambda: float) -> Tensor:
        """Generalised advantage estimates (N,); `returns` becomes advantage + value.

        `values` is (N,), end rows included. End rows: advantage 0, return V (0 if terminated)."""
        self.check_end_rows()
        self.advantages = functional.gae(
            self.rewards, values, self.end, self.terminated, gamma, gae_lambda
        )
        self.returns = (self.advantages + values).masked_fill(self.terminated, 0.0)
        return self.advantages

    def vtrace(
        self, values: Tensor, log_ratios: Tensor, gamma: float, gae_lambda: float = 1.0, **clips
    ) -> Tensor:
        """V-trace advantages (N,); `returns` becomes v_t. `log_ratios` is log π − log μ, (N,).

        The clips are those of `functional.vtrace`."""
        self.check_end_rows()
        self.returns, self.advantages = functional.vtrace(
            self.rewards, values, log_ratios, self.end, self.terminated, gamma, gae_lambda, **clips
        )
        return self.advantages

    def _last(self) -> Tensor:
        last = torch.zeros_like(self.end)
        last[torch.from_numpy(np.cumsum(self.lengths, dtype=np.int64) - 1)] = True
        return last

    def _check_time(self) -> None:
        if self.vectorized:
            raise RuntimeError(
                "a vectorized rollout has forgotten time: compute the returns before vectorize(), "
                "they travel along"
            )

    def check_end_rows(self) -> None:
        """Raises RuntimeError unless every episode closes with its end row."""
        self._check_time()
        if not bool(torch.equal(self.end, self._last())):
            raise RuntimeError(
                "an episode's end row was cut (by a slice such as [:-1], or by chunks), so there "
                "is nothing to bootstrap from: compute the returns first, they travel along"
            )


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The concatenation of range(start, start + length)."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)


STEP = {field.step: name for name, field in Rollout.COLUMNS.items() if field.step}
Step = namedtuple("Step", STEP, defaults=[Rollout.COLUMNS[name].default for name in STEP.values()])
Step.__doc__ = (
    "One row of a Rollout. Iterating over one yields these; `rollout << step` appends one."
)
