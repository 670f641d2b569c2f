"""Rollout: a table of steps. One row is one time step; episodes stand back to back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlx import functional
from rlx.columns import Column, apply, join, leaves, squeezed, stack


class Step(NamedTuple):
    """One row of a Rollout. Iterating over one yields these; `rollout << step` appends one."""

    state: Tensor
    action: Any = None
    reward: float | Tensor = 0.0
    end: bool = False
    terminated: bool = False
    recur_state: Tensor | tuple[Tensor, ...] | None = None
    logprob: Tensor | None = None
    entropy: Tensor | None = None
    others: tuple[Tensor | None, ...] | None = None
    start: bool | None = None  # None: if the row before is an end row, or there is none


def _reader(name: str) -> property:
    return property(lambda rollout: rollout._required(name))


class Rollout:
    """A table of N steps: every column is a tensor whose first dimension is rows.

    | column                  | shape                    | meaning                              |
    |-------------------------|--------------------------|--------------------------------------|
    | `states`                | (N, *obs)                | observation at the row               |
    | `recur_states`          | (N, *hidden), or a tuple | recurrent state *entering* the row;  |
    |                         | of them, or None         | detached, zeros after a reset        |
    | `actions`               | tuple of K × (N, *event) | one entry a component, as sampled    |
    | `rewards`               | (N,)                     | reward of the step taken at the row  |
    | `logprobs`, `entropy`   | (N,)                     | summed over components; 0 at the end |
    | `others`                | tuple of (N, …), or None | the extras that the policy returned  |
    | `returns`, `advantages` | (N,)                     | what a returns method, or you, last  |
    |                         |                          | put there                            |
    | `end`                   | (N,) bool                | the observation after the last step; |
    |                         |                          | its action was never executed        |
    | `terminated`            | (N,) bool                | an end row after which nothing       |
    |                         |                          | comes: its value is 0                |
    | `start`                 | (N,) bool                | the first row after a reset          |

    Every episode that was sampled closes with its end row, so bootstrapping is one rule: the next
    row's value, unless that row is `terminated`. `lengths` counts the rows of each episode.
    """

    COLUMNS = (
        "states", "recur_states", "actions", "rewards", "end", "terminated", "start",
        "logprobs", "entropy", "others", "returns", "advantages",
    )  # fmt: skip
    NUMBERS = (  # one a row
        "rewards", "end", "terminated", "start", "logprobs", "entropy", "returns", "advantages",
    )  # fmt: skip

    def __init__(
        self,
        lengths: Sequence[int] = (),
        *,
        dist=None,
        dry: bool = True,
        vectorized: bool = False,
        **columns: Column,
    ) -> None:
        self._columns = {name: columns.pop(name, None) for name in self.COLUMNS}
        if columns:
            raise TypeError(f"a Rollout has no column {sorted(columns)}; it has {self.COLUMNS}")
        self._lengths = list(lengths)
        self._dist, self._dry, self.vectorized = dist, dry, vectorized
        self._appended: list[Step] = []  # steps that `<<` added since the columns were last read
        self.frames: list[np.ndarray] = []  # pictures, one a row, of `episode(render=True)`
        n = len(self)
        for name, column in self._columns.items():
            for tensor in leaves(column):
                rows = tensor.shape if name in self.NUMBERS else tensor.shape[:1]
                if rows != (n,):
                    got = tuple(tensor.shape)
                    raise ValueError(f"{name} has shape {got}, the lengths add up to {n} rows")

    # ------------------------------------------------------------------ columns

    def _column(self, name: str) -> Any:
        self._stack_appended()
        return self._columns[name]

    def _required(self, name: str) -> Any:
        column = self._column(name)
        if column is None:
            raise RuntimeError(f"this rollout has no {name}: {self._why_missing(name)}")
        return column

    states = _reader("states")
    actions = _reader("actions")
    rewards = _reader("rewards")
    end = _reader("end")
    terminated = _reader("terminated")
    start = _reader("start")
    logprobs = _reader("logprobs")
    entropy = _reader("entropy")
    others = _reader("others")

    @property
    def recur_states(self) -> Tensor | tuple[Tensor, ...] | None:
        return self._column("recur_states")

    @property
    def returns(self) -> Tensor:
        return self._required("returns")

    @returns.setter
    def returns(self, values: Tensor) -> None:
        self._set("returns", values)

    @property
    def advantages(self) -> Tensor:
        return self._required("advantages")

    @advantages.setter
    def advantages(self, values: Tensor) -> None:
        self._set("advantages", values)

    def _set(self, name: str, values: Tensor) -> None:
        self._stack_appended()
        if not isinstance(values, Tensor) or values.shape != (len(self),):
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(
                f"{name} must be a tensor of shape ({len(self)},), one number a row; got {got}"
            )
        self._columns[name] = values

    def _why_missing(self, name: str) -> str:
        if name == "returns":
            return "mc_returns, n_step_returns, gae or vtrace fills them, or assign your own"
        if name == "advantages":
            return "gae or vtrace fills them, or assign your own"
        if name not in ("logprobs", "entropy", "others") or not len(self):
            return "it was built without them" if len(self) else "it is empty"
        if self.dry:
            return (
                "it is dry and holds only states, actions and rewards; "
                "agent(policy).evaluate(rollout) gives one that is not"
            )
        if name == "entropy" and self._columns["logprobs"] is not None:
            return "its action distribution has no closed form; -rollout.logprobs estimates it"
        return "the network that was run returned no action distribution"

    @property
    def dry(self) -> bool:
        """Does it hold states, actions and rewards only?"""
        self._stack_appended()
        return self._dry

    @property
    def dist(self):
        """The ActionDistribution over all rows, after a one-pass `evaluate`."""
        if self._dist is None:
            raise RuntimeError(
                "this rollout has no dist: only evaluate keeps it, when it runs all rows in one "
                "pass (a feed-forward policy, a vectorized rollout); slicing or shuffling drops it"
            )
        return self._dist

    @property
    def lengths(self) -> list[int]:
        """Rows of each episode, end row included."""
        self._stack_appended()
        return self._lengths

    def __len__(self) -> int:
        """Number of rows."""
        return sum(self._lengths) + len(self._appended)

    def __repr__(self) -> str:
        kind = "dry " if self.dry else ""
        unit = "vectorized rows" if self.vectorized else f"rows in {len(self.lengths)} episodes"
        return f"<{kind}Rollout: {len(self)} {unit}>"

    # ------------------------------------------------------------------ growing

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
        self._appended.append(Step(*apply(lambda x: torch.as_tensor(x).clone(), step)))
        return self

    def _stack_appended(self) -> None:
        """Make columns of what `<<` has added: only now, for it would cost as much every time."""
        if not self._appended:
            return
        steps, self._appended = self._appended, []
        end = [bool(step.end) for step in steps]
        goes_on = bool(self._lengths) and not bool(self._columns["end"][-1])
        fresh = [not goes_on, *end[:-1]]
        start = [f if step.start is None else bool(step.start) for f, step in zip(fresh, steps)]
        begins = [f or s for f, s in zip(fresh, start)]
        known = [*steps, *itertools.islice(self, 1)]

        def entries(name: str, blank: Sequence[bool] = end) -> list[Column]:
            """One entry of every step; zeros if it is missing where `blank` allows that."""
            values = [getattr(step, name) for step in known]
            example = next((value for value in values if value is not None), None)
            zeros = apply(torch.zeros_like, example)
            return [zeros if v is None and b else v for v, b in zip(values, blank)]

        actions = [
            () if a is None else a if isinstance(a, tuple) else (a,) for a in entries("action")
        ]
        columns = {
            "states": entries("state"),
            "recur_states": entries("recur_state", blank=start),
            "actions": actions,
            "rewards": [reward.float() for reward in entries("reward")],
            "end": entries("end"),
            "terminated": entries("terminated"),
            "start": [torch.tensor(s) for s in start],
            "logprobs": entries("logprob"),
            "entropy": entries("entropy"),
            "others": entries("others", blank=[False] * len(steps)),
        }
        columns = {name: stack(name, rows) for name, rows in columns.items()}
        for name in ("rewards", "logprobs", "entropy", "others"):
            columns[name] = apply(squeezed, columns[name])
        new = Rollout(
            np.diff(np.flatnonzero([True, *begins[1:], True])).tolist(),
            dry=columns["logprobs"] is None,
            **columns,
        )
        n = len(self._lengths)
        if n:
            new = Rollout.cat([self._with(), new])
            if not begins[0]:
                new._lengths[n - 1 : n + 1] = [sum(new._lengths[n - 1 : n + 1])]
        self._columns, self._lengths, self._dry = new._columns, new._lengths, new._dry
        self._dist = None

    def __add__(self, other: Rollout) -> Rollout:
        """The episodes of both, one after the other."""
        return Rollout.cat([self, other]) if isinstance(other, Rollout) else NotImplemented

    def __radd__(self, other: int) -> Rollout:
        return self if other == 0 else NotImplemented  # sum(rollouts) begins with 0

    @classmethod
    def cat(cls, rollouts: Iterable[Rollout]) -> Rollout:
        """The episodes of several rollouts, one after the other.

        `returns` and `advantages` travel if every one has them. Raises ValueError for rollouts that
        do not fit together: dry with non-dry, vectorized with not, other shapes or components."""
        parts = [rollout for rollout in rollouts if len(rollout)]
        if len(parts) < 2:
            return parts[0]._with() if parts else cls()
        first = parts[0]
        for other in parts[1:]:
            if other.dry != first.dry:
                raise ValueError(
                    "cannot put a dry rollout and one that is not together: run "
                    "agent(policy).evaluate(rollout) on the dry one, or sample both with one dry="
                )
            if other.vectorized != first.vectorized:
                raise ValueError(
                    "only one of the rollouts is vectorized: add first, then vectorize()"
                )
        columns = {}
        for name in cls.COLUMNS:
            column = [part._column(name) for part in parts]
            travels = name not in ("returns", "advantages", "entropy")
            if travels or all(c is not None for c in column):
                columns[name] = join(name, torch.cat, column)
        lengths = [length for part in parts for length in part.lengths]
        return cls(lengths, dry=first.dry, vectorized=first.vectorized, **columns)

    # ------------------------------------------------------------------ cutting

    def __getitem__(self, index: int | slice | Tensor) -> Rollout:
        """Python's index or slice of each episode's rows; of the rows themselves once vectorized.

        `[:-1]` drops each episode's last row, `[-1]` gathers them; episodes left empty vanish."""
        if self.vectorized:
            index = index.numpy(force=True) if isinstance(index, Tensor) else index
            rows = np.arange(len(self))[index].flatten()
            return self._select(rows, [1] * len(rows))
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
        return self._select(np.concatenate(pieces) if lengths else np.arange(0), lengths)

    def _offsets(self) -> np.ndarray:
        lengths = np.array(self.lengths, dtype=np.int64)
        return np.cumsum(lengths) - lengths

    def _select(self, rows: np.ndarray, lengths: list[int]) -> Rollout:
        index = torch.from_numpy(rows)
        selected = self._map(lambda column: column[index.to(column.device)])
        return self._with(lengths=lengths, dist=None, **selected)

    def _map(self, f: Callable[[Tensor], Tensor]) -> dict[str, Column]:
        return {name: apply(f, self._column(name)) for name in self.COLUMNS}

    def _with(self, **changes: Any) -> Rollout:
        """This rollout with some columns (or `lengths`, `dist`, `dry`, `vectorized`) replaced."""
        own = dict(lengths=self.lengths, dist=self._dist, dry=self.dry, vectorized=self.vectorized)
        return Rollout(**{**own, **self._columns, **changes})

    @property
    def episodes(self) -> list[Rollout]:
        """Each episode (or fragment) as a rollout of its own."""
        return [
            self._select(np.arange(offset, offset + length), [length])
            for offset, length in zip(self._offsets(), self.lengths, strict=True)
        ]

    def __iter__(self) -> Iterator[Step]:
        def row(name: str, i: int) -> Any:
            return apply(lambda column: column[i], self._column(name))

        names = ("states", "actions", "rewards", "end", "terminated", "recur_states")
        names += ("logprobs", "entropy", "others", "start")
        for i in range(len(self)):
            yield Step(*(row(name, i) for name in names))

    def chunks(self, length: int) -> Rollout:
        """Cut episodes into fragments of at most `length` rows, each with its stored entry state.

        For truncated backpropagation through time. Compute returns before, and drop the end rows:
        `rollout[:-1].chunks(32)`."""
        if length < 1:
            raise ValueError(f"chunks of {length} rows: give a length of at least 1")
        lengths = [
            min(length, n - done) for n in self.lengths for done in range(0, n, length) if n > done
        ]
        return self._with(lengths=lengths)

    def vectorize(self) -> Rollout:
        """Forget time: every row becomes its own one-step episode, so `evaluate` is one pass.

        Recurrent states travel along. Returns cannot be computed after it: compute them before."""
        return self._with(lengths=[1] * len(self), vectorized=True)

    def fresh(self) -> Rollout:
        """The same rows as if each episode or fragment began at a reset: `evaluate` enters them
        with zeros. For a recurrent critic, whose own states no rollout holds."""
        first = torch.zeros_like(self.start)
        first[torch.from_numpy(self._offsets())] = True
        return self._with(start=first, recur_states=None)

    def shuffle(self, generator: torch.Generator | None = None) -> Rollout:
        """Permute episodes (rows, once vectorized) in place; returns self.

        Columns are rebound to permuted copies: slices handed out before do not change."""
        order = torch.randperm(len(self.lengths), generator=generator).numpy()
        lengths = np.array(self.lengths, dtype=np.int64)
        rows = order if self.vectorized else _ranges(self._offsets()[order], lengths[order])
        shuffled = self._select(rows, lengths[order].tolist())
        self._columns, self._lengths, self._dist = shuffled._columns, shuffled._lengths, None
        return self

    def minibatches(self, k: int) -> list[Rollout]:
        """Cut into `k` parts in the present order (shuffle first), dropping nothing.

        Rows are dealt evenly, and come vectorized; a recurrent rollout that is not vectorized keeps
        its episodes (or `chunks`) whole and deals those evenly."""
        whole = self.recur_states is not None and not self.vectorized
        source = self if whole or self.vectorized else self.vectorize()
        count = len(source.lengths)
        if not 1 <= k <= count:
            unit = "fragments" if whole else "rows"
            raise ValueError(f"cannot make {k} minibatches of {count} {unit}")
        cuts = [count * i // k for i in range(k + 1)]
        bounds = np.concatenate([source._offsets(), [len(source)]])
        return [
            source._select(np.arange(bounds[a], bounds[b]), source.lengths[a:b])
            for a, b in itertools.pairwise(cuts)
        ]

    # ------------------------------------------------------------------ returns

    def mc_returns(self, gamma: float = 1.0) -> Tensor:
        """Monte-Carlo returns Σ γᵏ r_{t+k} to the episode's last row, never bootstrapped: (N,)."""
        self._check_time()
        self.returns = functional.discounted_returns(self.rewards, self._last(), gamma)
        return self.returns

    def n_step_returns(self, values: Tensor, gamma: float, n: int | None = None) -> Tensor:
        """n rewards, then the value of the row they lead to (None: to the end). Shape (N,)."""
        self._check_end_rows()
        self.returns = functional.n_step_returns(
            self.rewards, values, self.end, self.terminated, gamma, n
        )
        return self.returns

    def gae(self, values: Tensor, gamma: float, gae_lambda: float) -> Tensor:
        """Generalised advantage estimates (N,); `returns` becomes advantage + value.

        `values` is (N,), end rows included. End rows: advantage 0, return V (0 if terminated)."""
        self._check_end_rows()
        self.advantages = functional.gae(
            self.rewards, values, self.end, self.terminated, gamma, gae_lambda
        )
        self.returns = (self.advantages + values).masked_fill(self.terminated, 0.0)
        return self.advantages

    def vtrace(
        self, values: Tensor, log_ratios: Tensor, gamma: float, gae_lambda: float = 1.0
    ) -> Tensor:
        """V-trace advantages (N,); `returns` becomes v_t. `log_ratios` is log π − log μ, (N,)."""
        self._check_end_rows()
        self.returns, self.advantages = functional.vtrace(
            self.rewards, values, log_ratios, self.end, self.terminated, gamma, gae_lambda
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

    def _check_end_rows(self) -> None:
        self._check_time()
        if not bool(torch.equal(self.end, self._last())):
            raise RuntimeError(
                "an episode's end row was cut (by a slice such as [:-1], or by chunks), so there "
                "is nothing to bootstrap from: compute the returns first, they travel along"
            )

    # ------------------------------------------------------------------ housekeeping

    def to(self, device: str | torch.device) -> Rollout:
        """The same rollout on another device."""
        return self._with(dist=None, **self._map(lambda column: column.to(device)))

    def detach(self) -> Rollout:
        """The same rollout without gradients."""
        return self._with(dist=None, **self._map(Tensor.detach))

    def __getstate__(self) -> dict[str, Any]:
        detached = self.detach()  # a graph cannot be pickled, and workers do not need it
        return {**detached.__dict__, "frames": self.frames}


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The concatenation of range(start, start + length)."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
