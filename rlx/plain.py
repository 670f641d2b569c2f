"""The library once more, as plainly as it can be written: one row after the other. Read this first.

An episode, the table that keeps its rows, the memory that enters each row, one step of learning.
Chapters 01 to 05 build this file. The rest of rlx does the same for whole columns of many
environments at once, which is all that makes it longer; the tests hold it to what stands here.

A policy is called with a memory and a batch of states, `policy(h, states)`, and returns the next
memory, a distribution, and any extras (a value). A memory is a tensor (B, H), a tuple of tensors
(LSTM), or None: where every episode has just begun, and always for a policy without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Self

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Distribution

Memory = Tensor | tuple[Tensor, ...] | None

# --- An episode (chapter 01) ----------------------------------------------------------------------


def run_episode(env: gymnasium.Env, act: Callable, horizon: int) -> tuple[list, list, list, bool]:
    """One episode of at most `horizon` steps: states (T + 1), actions (T), rewards (T), flag.

    The flag says whether the world has ended: a time limit only stops us from looking."""
    observation, _ = env.reset()
    states, actions, rewards, terminated = [observation], [], [], False
    for _ in range(horizon):
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        states.append(observation)
        actions.append(action)
        rewards.append(reward)
        if terminated or truncated:
            break
    return states, actions, rewards, terminated


def discounted_return(rewards: list[float], gamma: float) -> float:
    """What an episode is worth: G = Σ γᵗ rₜ."""
    return sum(gamma**t * reward for t, reward in enumerate(rewards))


# --- The table (chapter 02) -----------------------------------------------------------------------


class Row(NamedTuple):
    """What was seen, done and paid at one step. An `end` row only holds the last state."""

    state: Tensor
    action: tuple[Tensor, ...] = ()
    reward: float = 0.0
    end: bool = False
    terminated: bool = False
    start: bool = False  # the first row after a reset
    recur_state: Any = None  # the memory entering this row (chapter 04); None where it begins


class Rollout:
    """Rows of several episodes, one after the other. Each ends with an end row."""

    def __init__(self, rows: Iterable[Row] = (), lengths: Iterable[int] = ()):
        self.rows, self.lengths = list(rows), list(lengths)

    def __len__(self) -> int:
        return len(self.rows)

    def __lshift__(self, row: Row) -> Self:
        if not self.rows or self.rows[-1].end:
            self.lengths.append(0)
        self.lengths[-1] += 1
        self.rows.append(row._replace(state=row.state.clone()))
        return self

    def column(self, name: str) -> Tensor:
        entries = [getattr(row, name) for row in self.rows]
        return torch.stack(entries) if name == "state" else torch.tensor(entries)

    @property
    def episodes(self) -> list[list[Row]]:
        borders = [0, *accumulate(self.lengths)]
        return [self.rows[a:b] for a, b in pairwise(borders)]

    def __getitem__(self, index: slice) -> Self:
        parts = [rows[index] for rows in self.episodes]
        rows = [row for part in parts for row in part]
        return Rollout(rows, [len(part) for part in parts if part])

    def __add__(self, other: Self) -> Self:
        return Rollout(self.rows + other.rows, self.lengths + other.lengths)


def discounted_returns(rewards: Tensor, end: Tensor, gamma: float) -> Tensor:
    """The return from every row to the end of its episode: (N,) from (N,), 0 at end rows."""
    returns, later = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        later = rewards[t] + gamma * later * ~end[t]
        returns[t] = later
    return returns


def drop_last(column: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
    """(the column without the last row of each episode, the lengths of those that are left)."""
    parts = [part[:-1] for part in column.split(lengths)]
    return torch.cat(parts), [len(part) for part in parts if len(part)]


# --- Several actions at once (chapter 03) ---------------------------------------------------------


def row_sum(x: Tensor) -> Tensor:
    """(B,) from (B,) or (B, D): an action of D numbers is one action."""
    return x.flatten(1).sum(1) if x.ndim > 1 else x


def sample(components: Sequence[Distribution]) -> tuple[Tensor, ...]:
    """One action for each row, a tensor for each component, without gradient."""
    return tuple(component.sample() for component in components)


def log_prob(components: Sequence[Distribution], actions: Sequence[Tensor]) -> Tensor:
    """Log-probability of each row's action: the components are independent, so they add. (B,)"""
    return sum(row_sum(c.log_prob(action)) for c, action in zip(components, actions))


def entropy(components: Sequence[Distribution]) -> Tensor:
    """Entropy of each row, over components and dimensions: (B,)."""
    return sum(row_sum(component.entropy()) for component in components)


def for_env(space: gymnasium.Space, action: Sequence[Tensor]) -> Any:
    """One row's action in the form that `env.step` takes. What the policy drew stays as it is."""
    if isinstance(space, spaces.Tuple):
        return tuple(for_env(part, [component]) for part, component in zip(space, action))
    if isinstance(space, spaces.Box):
        return np.clip(action[0].numpy(), space.low, space.high)
    return int(action[0]) + int(space.start)


# --- Memory (chapter 04) --------------------------------------------------------------------------


def each(function: Callable[[Tensor], Tensor], memory: Memory) -> Memory:
    """`function` of each tensor of a memory."""
    if memory is None:
        return None
    return tuple(map(function, memory)) if isinstance(memory, tuple) else function(memory)


def memory_of(b: int, memory: Memory) -> Memory:
    """Row `b` of a memory, as a batch of one."""
    return each(lambda x: x[b : b + 1], memory)


def forget(recur_state: Tensor, fresh: Tensor) -> Tensor:
    """The recurrent state (B, H), with zeros in the rows where `fresh` (B,) is True."""
    return torch.where(fresh[:, None], 0.0, recur_state)


class Carry(NamedTuple):
    """Where playing stands between two calls: one entry, or one row, for each environment."""

    observations: list
    memory: Memory
    fresh: Tensor  # (B,) an episode begins


def begin(envs: Sequence[gymnasium.Env], seeds: Sequence[int]) -> Carry:
    observations = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds)]
    return Carry(observations, None, torch.ones(len(envs), dtype=torch.bool))


def play(
    envs: Sequence[gymnasium.Env], policy: Callable, carry: Carry, n_steps: int
) -> tuple[Rollout, Carry]:
    """The next `n_steps` of every environment, side by side: the policy is called once a step.

    An episode that goes on afterwards gets an end row too, from whose state the next call goes on:
    a value can stand there for all that follows."""
    observations, h, fresh = list(carry.observations), carry.memory, carry.fresh.clone()
    tables = [Rollout() for _ in envs]
    for _ in range(n_steps):
        h = each(lambda x: forget(x, fresh), h)
        states = torch.stack([torch.tensor(observation) for observation in observations])
        with torch.no_grad():
            next_h, dist, *_ = policy(h, states)
        actions = sample(dist.components)
        for b, env in enumerate(envs):
            action = tuple(component[b] for component in actions)
            row = Row(states[b], action, start=bool(fresh[b]), recur_state=memory_of(b, h))
            observations[b], reward, terminated, truncated, _ = env.step(
                for_env(env.action_space, action)
            )
            tables[b] << row._replace(reward=reward)
            fresh[b] = terminated or truncated
            if fresh[b]:
                tables[b] << end_row(observations[b], action, terminated, memory_of(b, next_h))
                observations[b], _ = env.reset()
        h = next_h
    for b in range(len(envs)):
        if not fresh[b]:
            action = tables[b].rows[-1].action
            tables[b] << end_row(observations[b], action, False, memory_of(b, h))
    return sum(tables, Rollout()), Carry(observations, h, fresh)


def end_row(observation: Any, action: tuple, terminated: bool, memory: Memory) -> Row:
    """The state after an episode's last step. Its action is never executed."""
    state = torch.tensor(observation)
    return Row(state, action, end=True, terminated=terminated, recur_state=memory)


def unroll(step: Callable, h0: Memory, states: Tensor, start: Sequence[bool]) -> list[Memory]:
    """The memory entering each row of a table: `h0` in the first row, and where an episode starts.

    `step(h, state)` is the memory after a row."""
    entering, h = [], h0
    for state, first in zip(states, start):
        if first:
            h = h0
        entering.append(h)
        h = step(h, state)
    return entering


def evaluate(policy: Callable, rollout: Rollout) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """What a policy thinks of the actions that were taken: log-probabilities (N,), entropies (N,),
    extras. At end rows, where no action was taken, the first two are 0.

    Its memory begins from nothing where an episode starts, from the stored one where it goes on."""
    logprobs, entropies, extras = [], [], []
    for episode in rollout.episodes:
        h0 = None if episode[0].start else episode[0].recur_state
        states = torch.stack([row.state for row in episode])
        within = [False] * len(episode)
        entering = unroll(lambda h, state: policy(h, state[None])[0], h0, states, within)
        for row, h in zip(episode, entering):
            _, dist, *others = policy(h, row.state[None])
            action = [component[None] for component in row.action]
            logprobs.append(log_prob(dist.components, action) * (not row.end))
            entropies.append(entropy(dist.components) * (not row.end))
            extras.append(others)
    columns = (torch.cat(column) for column in zip(*extras))
    return torch.cat(logprobs), torch.cat(entropies), tuple(columns)


# --- One step of REINFORCE (chapter 05) -----------------------------------------------------------


def normalize(x: Tensor) -> Tensor:
    """Zero mean and unit variance: (N,) from (N,). Rows that are all equal become 0."""
    deviation, mean = torch.std_mean(x, correction=0)
    return (x - mean) / (deviation + 1e-8)


def policy_gradient_loss(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """Minus the mean of log-probability times advantage. Only its slope means anything."""
    return -(logprobs * advantages.detach()).mean()


def reinforce(
    policy: Callable, optimizer: torch.optim.Optimizer, rollout: Rollout, gamma: float
) -> None:
    """One update: actions become more probable in proportion to the return after them
    (Williams, 1992)."""
    returns = discounted_returns(rollout.column("reward"), rollout.column("end"), gamma)
    weights, _ = drop_last(returns, rollout.lengths)
    logprobs, _ = drop_last(evaluate(policy, rollout)[0], rollout.lengths)
    optimizer.zero_grad()
    policy_gradient_loss(logprobs, normalize(weights)).backward()
    optimizer.step()
