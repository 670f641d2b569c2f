"""Environments and policies that several tests use. They are predictable to the last row."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from torch import nn

import rlx
from rlx import plain
from rlx.columns import apply
from rlx.envs import BatchedEnv
from rlx.envs.reach import Reach, ReachEnv

LIMIT = 4  # steps after which a scripted episode is truncated
MODES = list(AutoresetMode)


def script_length(row, episode):
    """Steps after which episode 0, 1, … of environment `row` terminates: sometimes after LIMIT."""
    return [2, 9, 3, 1][(row + episode) % 4]


class Script(gymnasium.Env):
    """Episode k of environment `row` takes a known number of steps, whatever is done in it.

    Observation: (row, episode, step). Reward: 1 + step + 10 · episode + 100 · row. It counts what
    is asked of it, fails where it is told to, and hands out the same observation buffer each time.
    """

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        row=0,
        *,
        action_space=None,
        render_mode=None,
        fail_at=None,
        error=None,
        length=None,
        reuse=True,
    ):
        self.observation_space = spaces.Box(-1e6, 1e6, (3,), dtype=np.float32)
        self.action_space = spaces.Discrete(2) if action_space is None else action_space
        self.row, self.render_mode, self.length = row, render_mode, length or script_length
        self.fail_at, self.error = fail_at, error or RuntimeError("the motor broke")
        self.episode, self.steps, self.resets, self.seeds, self.actions = -1, 0, 0, [], []
        self.over, self.reuse = True, reuse
        self.buffer = np.zeros(3, dtype=np.float32)

    def _observe(self):
        self.buffer[:] = self.row, self.episode, self.t
        return self.buffer if self.reuse else self.buffer.copy()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t, self.over = self.episode + 1, 0, False
        self.resets += 1
        self.seeds.append(seed)
        return self._observe(), {}

    def step(self, action):
        assert not self.over, "stepped after the end of an episode, or before a reset"
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.actions.append(action)
        self.steps += 1
        if self.steps == self.fail_at:
            raise self.error
        reward = 1.0 + self.t + 10 * self.episode + 100 * self.row
        self.t += 1
        terminated = self.t >= self.length(self.row, self.episode)
        truncated = self.t >= LIMIT
        self.over = terminated or truncated
        return self._observe(), reward, terminated, truncated, {}

    def render(self):
        return np.full((2, 2, 3), self.t + 10 * self.episode, dtype=np.uint8)


class NativeScript(BatchedEnv):
    """The same as a native vector environment."""

    def __init__(self, num_envs, **kwargs):
        observation_space = spaces.Box(-1e6, 1e6, (3,), dtype=np.float32)
        super().__init__(
            num_envs, observation_space, spaces.Discrete(2), max_episode_steps=LIMIT, **kwargs
        )
        self.episode = np.full(num_envs, -1)

    def _reset(self, rows):
        self.episode[rows] += 1

    def _step(self, actions):
        rows = np.arange(self.num_envs)
        lengths = np.array([script_length(*pair) for pair in zip(rows, self.episode)])
        rewards = 1.0 + self.steps + 10 * self.episode + 100 * rows
        return rewards, self.steps + 1 >= lengths

    def _observe(self):
        return np.stack([np.arange(self.num_envs), self.episode, self.steps], axis=1)


def scripts(num_envs=3, mode=AutoresetMode.NEXT_STEP, **kwargs):
    """`num_envs` Scripts side by side."""
    # In this mode, gymnasium passes the final observation on uncopied, and then resets.
    kwargs = {"reuse": mode != AutoresetMode.SAME_STEP, **kwargs}
    return SyncVectorEnv(
        [lambda row=row: Script(row, **kwargs) for row in range(num_envs)], autoreset_mode=mode
    )


class Coin(rlx.Parametric):
    """Acts at random in Discrete(2); its value is the sum of the observation."""

    def forward(self, *states):
        _, x = states
        logits = x.new_zeros(len(x), 2)
        dist = torch.distributions.Categorical(logits=logits)
        return None, rlx.ActionDistribution(dist), x.sum(1, keepdim=True)


class Counter(rlx.Parametric):
    """Its recurrent state counts the rows since the reset; its value is that count."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, *states):
        h, x = states
        h = x.new_zeros(len(x), 1) if h is None else h
        h = h + self.weight
        dist = torch.distributions.Categorical(logits=h * x.new_tensor([0.1, -0.1]))
        return h, rlx.ActionDistribution(dist), h


REACH = dict(terminate_at=0.3)
REACH_STEPS = 6
KINDS = [("one", None)] + [(kind, mode) for kind in ("native", "sync") for mode in MODES]
KIND_IDS = [kind if mode is None else f"{kind}-{mode.value}" for kind, mode in KINDS]


def reach(kind, mode, actions, num_envs=3):
    """The small world of `rlx.envs.reach`, where some episodes terminate and some are truncated."""

    def one():
        return TimeLimit(ReachEnv(actions=actions, **REACH), REACH_STEPS)

    if kind == "one":
        return one()
    if kind == "sync":
        return SyncVectorEnv([one] * num_envs, autoreset_mode=mode)
    return Reach(
        num_envs, actions=actions, max_episode_steps=REACH_STEPS, autoreset_mode=mode, **REACH
    )


class CellGRU(rlx.networks.GRUPolicy):
    """A GRU that `evaluate` has to run one step at a time."""

    unroll = rlx.Parametric.unroll


class CellLSTM(rlx.networks.LSTMPolicy):
    unroll = rlx.Parametric.unroll


def lively(cls, agent, seed=0, **kwargs):
    """A policy of which actions really depend on the state and the memory: std 0.4 to 0.9."""
    generator = torch.Generator().manual_seed(seed)
    policy = cls(agent, **kwargs)
    for name, parameter in policy.named_parameters():
        noise = torch.rand(parameter.shape, generator=generator) * 2 - 1
        if "log_std" in name:
            parameter.data += 0.4 * noise
        elif "rnn" in name:
            parameter.data = 1.5 * noise
        else:
            parameter.data = noise
    return policy


def in_plain(rollout):
    """The rows of a library's rollout as a plain one."""
    table = plain.Rollout()
    for t in range(len(rollout)):
        table << plain.Row(
            rollout.states[t],
            tuple(action[t] for action in rollout.actions),
            rollout.rewards[t].item(),
            bool(rollout.end[t]),
            bool(rollout.terminated[t]),
            bool(rollout.start[t]),
            apply(lambda h, t=t: h[t : t + 1], rollout.recur_states),
        )
    return table
