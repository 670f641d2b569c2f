"""Agent: an environment that a policy is run in. `agent(policy).episode()` gives a Rollout."""

from __future__ import annotations

from collections.abc import Iterable

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from rlx import envs as rlx_envs
from rlx.distributions import ActionDistribution
from rlx.play.batch import EnvBatch
from rlx.play.evaluation import evaluate, memory_shapes
from rlx.play.loop import Carry, collect, reset
from rlx.play.table import Finished
from rlx.policy import Parametric
from rlx.rollout import Rollout


class Agent:
    """An environment, and optionally the optimizer that improves whatever policy is run in it.

    `env` is a gymnasium environment, a vector environment, or an id. `seed` seeds the environments
    at their first reset, those side by side by seeds spawned from it (`rlx.seeding`): agents with
    different seeds share no starts. Action noise comes from torch's global generator
    (`torch.manual_seed`).
    Constructing an agent neither resets nor steps. The network is not part of the agent:
    `agent(policy)` runs `policy`, `agent(other)` another one, in the same environment.

    After each call `agent.finished` holds `returns` (sums of rewards) and `lengths` (steps) of the
    episodes that ended during it, also of those that `segment` cut into several fragments. The
    rewards are those that the environment paid, also behind a wrapper that normalises them.
    """

    def __init__(
        self,
        env: str | gym.Env | VectorEnv,
        optimizer: torch.optim.Optimizer | None = None,
        seed: int | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.env = rlx_envs.make(env) if isinstance(env, str) else env
        self.envs = EnvBatch(self.env, device)
        self.optimizer = optimizer
        self.finished = Finished()
        self._seed = seed
        self._carry: Carry | None = None

    @property
    def observation_space(self) -> gym.Space:
        """What one environment's observations are, as policies see them.

        Discrete and each number of a MultiDiscrete are one-hot; doubles are floats."""
        return self.envs.observation_space

    @property
    def action_space(self) -> gym.Space:
        """What one environment's actions are."""
        return self.envs.action_space

    @property
    def num_envs(self) -> int:
        return self.envs.num_envs

    def seed(self, seed: int) -> None:
        """Forget where sampling stands: the next call resets every environment with this seed."""
        self._seed, self._carry = seed, None

    def __call__(self, policy: Parametric) -> Runner:
        return Runner(self, policy)

    def zero_grad(self) -> None:
        self._the_optimizer().zero_grad()

    def step(self, max_norm: float | None = None) -> Tensor | None:
        """One optimizer step, after clipping the gradient's norm to `max_norm` if given.

        Returns the norm before clipping (None without `max_norm`)."""
        optimizer, norm = self._the_optimizer(), None
        if max_norm:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        optimizer.step()
        return norm

    def _the_optimizer(self) -> torch.optim.Optimizer:
        if self.optimizer is None:
            raise RuntimeError("this agent has no optimizer: rlx.Agent(env, optimizer=…)")
        return self.optimizer

    def _collect(self, carry: Carry | None, policy: Parametric, n_steps: int | None, **options):
        if policy.takes_actions:
            raise ValueError(f"{type(policy).__name__} takes actions: a critic cannot act")
        # Until the call has succeeded there is nothing to continue from: an error in between (or a
        # keyboard interrupt) leaves an agent that starts from a reset.
        self._carry = None
        carry = carry or reset(self.envs, self._seed)
        self._seed = None
        rollout, carry, self.finished = collect(self.envs, policy, carry, n_steps, **options)
        return rollout, carry


class Runner:
    """`agent(policy)`: a light view that runs one policy in the agent's environment."""

    def __init__(self, agent: Agent, policy: Parametric) -> None:
        if not isinstance(policy, Parametric):
            raise TypeError(
                f"agent(policy) takes an rlx.Parametric, not {type(policy).__name__}: "
                "derive your network from it"
            )
        self.agent, self.policy = agent, policy

    def episode(
        self,
        horizon: int | None = None,
        dry: bool = False,
        *,
        greedy: bool = False,
        render: bool = False,
    ) -> Rollout:
        """One episode of each environment, from a reset to its end or to `horizon` steps.

        `dry` keeps states, actions and rewards only. `greedy` takes each distribution's mode.
        `render` (one environment) calls `env.render()` at every row and keeps its pictures in
        `rollout.frames`. Discards what `segment` would have continued."""
        return self._once(self.agent.num_envs, horizon, dry, greedy, render)

    def episodes(
        self, n: int, horizon: int | None = None, dry: bool = False, *, greedy: bool = False
    ) -> Rollout:
        """Exactly `n` episodes, a fixed quota for each environment.

        The first `n` to finish would be a biased sample: short episodes finish first."""
        if n < 1:
            raise ValueError(f"episodes({n}): at least one episode is needed")
        size = self.agent.num_envs
        quotas = [min(size, n - done) for done in range(0, n, size)]
        finished, rollouts = Finished(), []
        for quota in quotas:
            rollouts.append(self._once(quota, horizon, dry, greedy, render=False))
            finished.returns += self.agent.finished.returns
            finished.lengths += self.agent.finished.lengths
        self.agent.finished = finished
        return Rollout.cat(rollouts)

    def segment(self, n_steps: int, dry: bool = False) -> Rollout:
        """The next `n_steps` calls of `env.step`, continuing where the last segment stopped.

        Cut into fragments at ends of episodes; each carries its entering recurrent state, detached:
        a later backward never reaches into an earlier segment. Another policy goes on where the
        last one stopped, with its memory too, if that has the same shapes: it may be a copy, or
        have new weights. Otherwise every environment is reset first. There is always a row: a
        single step that is nothing but the reset between two episodes is not counted."""
        if n_steps < 1:
            raise ValueError(f"segment({n_steps}): at least one step is needed")
        carry = self.agent._carry
        if carry and carry.memory_shapes != memory_shapes(self.policy, carry.observations):
            carry = None
        if carry and carry.ghost.all() and n_steps == 1:
            n_steps = 2
        rollout, self.agent._carry = self.agent._collect(
            carry, self.policy, n_steps, once=False, dry=dry
        )
        return rollout

    def _once(
        self, active: int, horizon: int | None, dry: bool, greedy: bool, render: bool
    ) -> Rollout:
        if horizon is not None and horizon < 1:
            raise ValueError(f"horizon={horizon}: at least one step is needed")
        if render and not self.agent.envs.single:
            raise ValueError("render=True takes a single environment, not a vector environment")
        if render and self.agent.env.render_mode is None:
            raise ValueError('render=True: make the environment with render_mode="rgb_array"')
        frames = [] if render else None
        rollout, _ = self.agent._collect(
            None, self.policy, horizon,
            once=True, dry=dry, greedy=greedy, active=active, frames=frames,
        )  # fmt: skip
        rollout.frames = frames or []
        return rollout

    def evaluate(
        self,
        rollout: Rollout,
        sample: bool = False,
        actions: Tensor | Iterable[Tensor] | None = None,
        greedy: bool = False,
    ) -> Rollout:
        """Run this policy over the stored states and actions: a new Rollout, rows in that order.

        It shares states, actions, rewards, flags, recurrent states, `returns` and `advantages`;
        its log-probabilities, entropy and `others` are this policy's, with gradient. Feed-forward
        policies take one pass over all rows; recurrent ones run all episodes side by side, with
        gradient through time. An episode that begins at a reset enters with zeros, a fragment with
        its stored recurrent state (another policy's, perhaps: it is used as it is).

        `sample=True` draws new actions (`rsample`) at every row, end rows included, with their true
        log-probabilities there; `greedy=True` takes each distribution's mode, likewise. `actions`
        evaluates the given ones instead of the stored."""
        if not len(rollout):
            raise ValueError("cannot evaluate an empty rollout")
        if sample + greedy + (actions is not None) > 1:
            raise ValueError("evaluate: give either actions, sample=True or greedy=True")
        draw = ActionDistribution.rsample if sample else None
        draw = ActionDistribution.mode.fget if greedy else draw
        device = self.agent.envs.device
        rollout = rollout if rollout.states.device == device else rollout.to(device)
        if actions is None:
            actions = rollout.actions
        stored = (actions,) if isinstance(actions, Tensor) else tuple(actions)
        if any(action.shape[:1] != (len(rollout),) for action in stored):
            shapes = [tuple(action.shape) for action in stored]
            raise ValueError(f"evaluate: actions of shapes {shapes} for {len(rollout)} rows")
        return evaluate(self.policy, rollout, stored, draw)
