"""PlainSampler: an agent's sampler that plays by `rlx.plain`, and so by what is swapped there."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch

from rlx import plain, seeding
from rlx.distributions import no_validation
from rlx.play.evaluation import evaluate
from rlx.policy import Parametric
from rlx.rollout import Finished, Rollout, Step

COLUMNS = ("states", "actions", "rewards", "end", "terminated")


def append(table, state, action, reward, next_state, terminated, truncated) -> None:
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


class PlainSampler:
    """A `Sampler` that plays row after row: `rlx.Agent(PlainSampler(env, …))`, of single ones.

    An episode is what `plain.run_episode` says, and its rows are what `append` here makes of its
    steps; a segment is played by `plain.play`. Slow, and open to `swap`. Whatever the horizon cuts
    off counts in `finished`, too."""

    def __init__(self, *envs: gymnasium.Env) -> None:
        self.envs, self.num_envs, self.device = envs, len(envs), torch.device("cpu")
        self.observation_space, self.action_space = envs[0].observation_space, envs[0].action_space
        self.start()

    def start(self, seed: int | None = None) -> None:
        self.seeds, self.carry = seeding.spawn(seed, self.num_envs), None

    def segment(self, policy: Parametric, n_steps: int, dry: bool = False) -> Rollout:
        carry = self.carry or plain.begin(self.envs, self.seeds)
        rows, self.carry = plain.play(self.envs, policy, carry, n_steps)
        rollout = Rollout()
        for row in rows.rows:
            memory = plain.each(lambda h: h[0], row.recur_state)
            rollout << Step(**row._replace(recur_state=memory)._asdict())
        return rollout if dry else evaluate(policy, rollout)

    def episodes(
        self,
        policy: Parametric,
        n: int,
        horizon: int | None = None,
        dry: bool = False,
        greedy: bool = False,
    ) -> Rollout:
        if self.seeds:
            for env, seed in zip(self.envs, self.seeds):
                env.reset(seed=seed)
        self.seeds, self.carry = [], None
        envs = (self.envs[k % self.num_envs] for k in range(n))
        rollout = Rollout.cat(self._episode(env, policy, horizon, greedy) for env in envs)
        return rollout if dry else evaluate(policy, rollout)

    def _episode(
        self, env: gymnasium.Env, policy: Parametric, horizon: int | None, greedy: bool
    ) -> Rollout:
        memory = None

        def act(observation):
            nonlocal memory
            with torch.no_grad(), no_validation():
                memory, dist, *_ = policy(memory, torch.tensor(observation)[None])
                actions = dist.mode if greedy else plain.sample(dist.components)
            return tuple(action[0] for action in actions)

        # The table keeps what the policy drew; the environment is given it in its own form.
        takes = gymnasium.wrappers.TransformAction(
            env, lambda action: plain.for_env(env.action_space, action), None
        )
        states, actions, rewards, terminated = plain.run_episode(takes, act, horizon or 10**9)
        if not len(states) - 1 == len(actions) == len(rewards):
            raise ValueError(
                f"{len(actions)} actions and {len(rewards)} rewards need one state more than that, "
                f"there are {len(states)}"
            )
        table = {name: [] for name in COLUMNS}
        buffers = np.stack([states[0], states[0]])  # an environment may have two, used by turns
        for t, (action, reward) in enumerate(zip(actions, rewards)):
            state, next_state = buffers[t % 2], buffers[(t + 1) % 2]
            next_state[:] = states[t + 1]
            last = t + 1 == len(actions)
            over = last and bool(terminated), last and not terminated
            append(table, state, action, reward, next_state, *over)
        rollout = Rollout()
        for row in zip(*(table[name] for name in COLUMNS), strict=True):
            rollout << Step(*row)
        rollout.finished = Finished([float(sum(rewards))], [len(actions)])
        return rollout
