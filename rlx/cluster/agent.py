"""ClusterAgent: an Agent whose environments are played by workers, on this machine or on many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv

from rlx.agent import Agent
from rlx.cluster.sampler import ClusterSampler


class ClusterAgent(Agent):
    """An `Agent` that has `workers` processes play, each in `envs` environments side by side.

    `make_env` is an id, or a function that makes an environment, or several side by side; it is
    called in the workers. All verbs of `Agent` are there, but for `render`. A call has every worker
    play, waits for all, and puts their rows one after another, worker 0's first: whoever is first
    to answer, the same seed gives the same rows. `stream` waits for nobody. Workers play with
    seeds made from `seed`, the worker's number, and how often it was replaced.

    Besides the usual columns a rollout has `worker` and `version`, the number of the policy that
    played it (they count up whenever it has changed).

    Without `address` Ray is started on this machine, and heard on the loopback address only;
    `close`, or leaving a `with` block, or the end of the program stops it. "auto" is the cluster
    that this machine belongs to, "ray://host:10001" a distant one. If this program has called
    `ray.init` already, that Ray is used. Further `options` are those of Ray's actors: `num_cpus`,
    `resources`, `runtime_env`.

    A worker that dies costs the episodes that it was in. Ray starts another, which plays what is
    missing. So it is with one that takes longer than `timeout` seconds for one request, or
    `start_timeout` to start. After five such deaths in a row a RuntimeError says so. What an
    environment raises comes here, with its traceback, the worker and its seed; the next call then
    starts from resets, as after Ctrl-C.
    """

    sampler: ClusterSampler

    def __init__(
        self,
        make_env: str | Callable[[], gym.Env | VectorEnv],
        optimizer: torch.optim.Optimizer | None = None,
        *,
        workers: int,
        envs: int = 1,
        seed: int | None = None,
        device: str | torch.device | None = None,
        address: str | None = None,
        timeout: float = 600.0,
        start_timeout: float = 120.0,
        ahead: int = 2,
        **options: Any,
    ) -> None:
        sampler = ClusterSampler(
            make_env, workers, envs, address, timeout, start_timeout, ahead, device, **options
        )
        super().__init__(sampler, optimizer, seed)

    def each(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """`function(env, *args)` in every worker, with what it plays in: a list, in their order.

        For environments that have something to learn, or to tell. `env` is what `make_env` has
        made, and a worker that takes another's place has a new one. Drops what a stream has in
        flight."""
        return self.sampler.each(function, *args)

    def close(self) -> None:
        """End the workers, and the Ray that was started for them."""
        self.sampler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
