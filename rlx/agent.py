"""Agent: an environment that a policy is run in. `agent(policy).episode()` gives a Rollout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from rlx import envs as rlx_envs
from rlx.play.batch import EnvBatch
from rlx.play.checks import check_parametric
from rlx.play.evaluation import evaluate
from rlx.play.sampler import InProcess, Sampler
from rlx.policy import Parametric
from rlx.rollout import Finished, Rollout


class Agent:
    """An environment, and optionally the optimizer that improves whatever policy is run in it.

    `env` is a gymnasium environment, a vector environment, an id, or a `Sampler` that plays
    elsewhere. `seed` seeds the environments at their first reset, those side by side by seeds
    spawned from it (`rlx.seeding`): agents with different seeds share no starts. Action noise comes
    from torch's global generator (`torch.manual_seed`). Constructing an agent neither resets nor
    steps. The network is not part of the agent: `agent(policy)` runs `policy`, `agent(other)`
    another one, in the same environment.

    `observation_space` and `action_space` are one environment's, as policies see them: Discrete and
    each number of a MultiDiscrete are one-hot; doubles are floats. `num_envs` are played side by
    side. Rollouts are on `device`, and policies have to be. After each call `agent.finished` is the
    `finished` of the rollout that came back: returns and lengths of the episodes that ended in it.
    """

    def __init__(
        self,
        env: str | gym.Env | VectorEnv | Sampler,
        optimizer: torch.optim.Optimizer | None = None,
        seed: int | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.env = rlx_envs.make(env) if isinstance(env, str) else env
        if isinstance(env, Sampler):
            if device is not None:
                raise ValueError(f"device={device}: this sampler has its own, {env.device}")
            self.sampler = env
        else:
            self.sampler = InProcess(self.env, device)
        self.observation_space = self.sampler.observation_space
        self.action_space = self.sampler.action_space
        self.num_envs, self.device = self.sampler.num_envs, self.sampler.device
        self.optimizer = optimizer
        self.finished = Finished()
        if seed is not None:
            self.seed(seed)

    @property
    def envs(self) -> EnvBatch:
        """The environment as a batch, if it is played in this process."""
        return self.sampler.envs

    def seed(self, seed: int) -> None:
        """Forget where sampling stands: the next call resets every environment with this seed."""
        self.sampler.start(seed)

    def __call__(self, policy: Parametric) -> Runner:
        return Runner(self, policy)

    @property
    def parameters(self) -> list[Tensor]:
        """All that the optimizer drives."""
        return [p for group in self._the_optimizer().param_groups for p in group["params"]]

    def zero_grad(self) -> None:
        self._the_optimizer().zero_grad()

    def step(self, max_norm: float | None = None) -> Tensor | None:
        """One optimizer step, after clipping the gradient's norm to `max_norm` if given.

        Returns the norm before clipping (None without `max_norm`)."""
        optimizer, norm = self._the_optimizer(), None
        if max_norm:
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, max_norm)
        optimizer.step()
        return norm

    def _the_optimizer(self) -> torch.optim.Optimizer:
        if self.optimizer is None:
            raise RuntimeError("this agent has no optimizer: rlx.Agent(env, optimizer=…)")
        return self.optimizer


class Runner:
    """`agent(policy)`: a light view that runs one policy in the agent's environment."""

    def __init__(self, agent: Agent, policy: Parametric) -> None:
        check_parametric("agent(policy)", policy)
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
        if not render:
            rollout = self.episodes(self.agent.num_envs, horizon, dry, greedy=greedy)
            rollout.frames = []
            return rollout
        self._check(horizon, "step", f"horizon={horizon}")
        sampler, frames = self.agent.sampler, []
        if not isinstance(sampler, InProcess) or not sampler.envs.single:
            raise ValueError("render=True takes a single environment, not a vector environment")
        if self.agent.env.render_mode is None:
            raise ValueError('render=True: make the environment with render_mode="rgb_array"')
        rollout = self._seen(sampler.once(self.policy, 1, horizon, dry, greedy, frames))
        rollout.frames = frames
        return rollout

    def episodes(
        self, n: int, horizon: int | None = None, dry: bool = False, *, greedy: bool = False
    ) -> Rollout:
        """Exactly `n` episodes, a fixed quota for each environment.

        The first `n` to finish would be a biased sample: short episodes finish first."""
        self._check(n, "episode", f"episodes({n})")
        self._check(horizon, "step", f"horizon={horizon}")
        return self._seen(self.agent.sampler.episodes(self.policy, n, horizon, dry, greedy))

    def segment(self, n_steps: int, dry: bool = False) -> Rollout:
        """The next `n_steps` calls of `env.step`, continuing where the last segment stopped.

        Cut into fragments at ends of episodes; each carries its entering recurrent state, detached:
        a later backward never reaches into an earlier segment. Another policy goes on where the
        last one stopped, with its memory too, if that has the same shapes: it may be a copy, or
        have new weights. Otherwise every environment is reset first. There is always a row: a
        single step that is nothing but the reset between two episodes is not counted."""
        self._check(n_steps, "step", f"segment({n_steps})")
        return self._seen(self.agent.sampler.segment(self.policy, n_steps, dry))

    def stream(self, n_steps: int, dry: bool = False) -> Iterator[Rollout]:
        """Segments without end, for who learns from each as it comes: `for rollout in …`.

        The policy may change between two of them. In this process it plays whenever the next one
        is asked for; workers (`rlx.cluster`) play meanwhile, as many requests ahead as they are
        given, and each segment is one worker's. `rollout.staleness`, (N,), says how many versions
        older than now the policy was that played it: 0 in this process."""
        self._check(n_steps, "step", f"stream({n_steps})")
        return map(self._seen, self._segments(n_steps, dry))

    def _segments(self, n_steps: int, dry: bool) -> Iterator[Rollout]:
        sampler = self.agent.sampler
        if hasattr(sampler, "stream"):
            yield from sampler.stream(self.policy, n_steps, dry)
        while True:
            rollout = sampler.segment(self.policy, n_steps, dry)
            rollout.staleness = torch.zeros_like(rollout.rewards)
            yield rollout

    def _check(self, count: int | None, unit: str, asked: str) -> None:
        if self.policy.takes_actions:
            raise ValueError(f"{type(self.policy).__name__} takes actions: a critic cannot act")
        if count is not None and count < 1:
            raise ValueError(f"{asked}: at least one {unit} is needed")

    def _seen(self, rollout: Rollout) -> Rollout:
        self.agent.finished = rollout.finished
        return rollout

    def evaluate(
        self,
        rollout: Rollout,
        sample: bool = False,
        actions: Tensor | Iterable[Tensor] | None = None,
        greedy: bool = False,
    ) -> Rollout:
        """This policy over the stored states and actions: `rlx.evaluate` says all of it."""
        return evaluate(self.policy, rollout, sample, actions, greedy)
