"""ClusterSampler: a sampler whose environments are played by workers, each an actor of Ray."""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
import ray
import torch
from gymnasium.vector import VectorEnv
from ray import cloudpickle
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from tqdm.auto import tqdm

from rlx import seeding
from rlx.cluster import local
from rlx.cluster.player import Parcel, Player, identity, pack_policy, unpack
from rlx.policy import Parametric
from rlx.rollout import Rollout

DEATHS = 5  # of one worker in a row, without a rollout in between: something is wrong with it


@dataclass(eq=False)
class Worker:
    """What the learner knows of one. Each incarnation has seeds of its own, each life a number."""

    number: int
    actor: Any
    incarnation: int = 0
    life: int = 0
    begun: bool = False
    in_flight: int = 0  # of this life
    since: float = 0.0  # it was last heard of, or asked when it had nothing to do
    deaths: int = 0  # since its last rollout


class ClusterSampler:
    """Workers that play for an `Agent`; `ClusterAgent` says all about the arguments.

    A request that fails because a worker died, or gave no answer in time, is made again to the
    worker that Ray starts in its place. What a worker raises is raised here, and nothing is tried
    again."""

    def __init__(
        self,
        make_env: str | Callable[[], gym.Env | VectorEnv],
        workers: int,
        envs: int = 1,
        address: str | None = None,
        timeout: float = 600.0,
        start_timeout: float = 120.0,
        ahead: int = 2,
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        for name, count in dict(workers=workers, envs=envs, ahead=ahead).items():
            if count < 1:
                raise ValueError(f"{name}={count}: at least one is needed")
        try:
            self.factory = cloudpickle.dumps(make_env), envs
        except Exception as error:
            raise TypeError(
                f"make_env cannot be sent to the workers: {error}. It must not hold on to open "
                "files, locks, windows or a live environment: open these inside the function"
            ) from error
        self.device = torch.device(device or "cpu")
        self.timeout, self.start_timeout, self.ahead = timeout, start_timeout, ahead
        self.seed: int | None = seeding.spawn(None, 1)[0]
        self.owner: object = None  # the stream whose requests are in flight
        self.flying: dict[Any, tuple[Worker, int, bool]] = {}  # worker, life, is it a beginning?
        self.arrived: deque[Any] = deque()
        self.version, self.parcel, self.policy = 0, None, None  # as they were last published
        ours = local.join(id(self), address)
        options = dict(num_cpus=0 if ours else 1) | options
        make = ray.remote(Player).options(max_restarts=-1, max_task_retries=0, **options)
        self.workers = [Worker(k, make.remote()) for k in range(workers)]
        actors = [worker.actor for worker in self.workers]
        self.close = weakref.finalize(self, _close, id(self), actors)
        try:
            self.spaces: dict[int, tuple] = {}
            while not all(worker.begun for worker in self.workers):
                self._step(dict.fromkeys(range(workers), ()), ahead=0)
            self.observation_space, self.action_space, envs = self.spaces[0]
            if any(spaces != self.spaces[0] for spaces in self.spaces.values()):
                raise ValueError("make_env() makes other spaces, or another number, in each worker")
        except BaseException:
            self.close()
            raise
        self.num_envs = workers * envs

    # ------------------------------------------------------------------ what an agent asks

    def start(self, seed: int | None = None) -> None:
        """Every environment anew, with this seed, whatever has died so far."""
        self._drop()
        self.seed = seeding.spawn(None, 1)[0] if seed is None else seed
        for worker in self.workers:
            worker.incarnation = 0

    def segment(self, policy: Parametric, n_steps: int, dry: bool = False) -> Rollout:
        asked = dict.fromkeys(range(len(self.workers)), ("segment", n_steps, dry))
        return Rollout.cat(self._gather(policy, asked))

    def episodes(
        self,
        policy: Parametric,
        n: int,
        horizon: int | None = None,
        dry: bool = False,
        greedy: bool = False,
    ) -> Rollout:
        quota, more = divmod(n, len(self.workers))
        shares = [quota + (k < more) for k in range(min(n, len(self.workers)))]
        asked = {k: ("episodes", m, horizon, dry, greedy) for k, m in enumerate(shares)}
        return Rollout.cat(self._gather(policy, asked))

    def each(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """What `ClusterAgent.each` says."""
        asked = dict.fromkeys(range(len(self.workers)), ("each", function, *args))
        return self._gather(None, asked)

    def stream(self, policy: Parametric, n_steps: int, dry: bool = False) -> Iterator[Rollout]:
        """Segments of single workers, as they come: what `agent(policy).stream(n_steps)` gives."""
        me = object()
        asked = dict.fromkeys(range(len(self.workers)), ("segment", n_steps, dry))
        while True:
            with self._claimed(me):
                self._publish(policy)
                _, rollout = self._next(asked, self.ahead)
            rollout.staleness = (self.version - rollout.version).float()
            yield rollout

    # ------------------------------------------------------------------ how it is done

    def _gather(self, policy: Parametric | None, asked: dict[int, tuple]) -> list[Any]:
        """One answer of each worker that is asked for one, in their order, whoever is first."""
        todo, parts = dict(asked), {}
        with self._claimed(None):
            if policy is not None:
                self._publish(policy)
            while todo:
                number, parts[number] = self._next(todo)
                del todo[number]
        return [parts[number] for number in asked]

    @contextlib.contextmanager
    def _claimed(self, owner: object) -> Iterator[None]:
        """What is in flight is `owner`'s from here on. If anything goes wrong, nothing is left of
        it, and the next call starts from resets."""
        if self.owner is not owner and self.flying:
            self._drop()
        self.owner = owner
        try:
            yield
        except BaseException:  # Ctrl-C, too
            self._drop()
            raise

    def _publish(self, policy: Parametric) -> None:
        """Put the policy into Ray's store, if it is not there as it is now: a new version."""
        parcel = pack_policy(policy)
        if self.parcel is None or not _same(parcel, self.parcel):
            self.parcel, self.policy, self.version = parcel, ray.put(parcel), self.version + 1

    def _next(self, asked: dict[int, tuple], ahead: int = 1) -> tuple[int, Any]:
        """The next answer that arrives, and whose it is; meanwhile those that are `asked` have
        always `ahead` requests."""
        found = None
        while found is None:
            found = self._step(asked, ahead)
        return found

    def _step(self, asked: dict[int, tuple], ahead: int) -> tuple[int, Any] | None:
        """Ask, wait for something to arrive, and look at it: it may be an answer."""
        for number, request in asked.items():
            self._ask(self.workers[number], request, ahead)
        if not self.arrived:
            self._wait()
        return self._take(self.arrived.popleft()) if self.arrived else None

    def _ask(self, worker: Worker, request: tuple, ahead: int) -> None:
        if not worker.in_flight:
            worker.since = time.monotonic()
        while worker.in_flight < (ahead if worker.begun else 1):
            if worker.begun:
                what, *args = request
                play, now = worker.actor.play.remote, self.version
                ref = play(worker.life, now, self.policy, what, args)
            else:  # Ray tries again until the worker is there
                begin = worker.actor.begin.options(max_task_retries=-1).remote
                place = worker.number, len(self.workers)
                ref = begin(worker.life, self._seed(worker), identity(), *self.factory, place)
            self.flying[ref] = worker, worker.life, not worker.begun
            worker.in_flight += 1

    def _seed(self, worker: Worker) -> int:
        return seeding.spawn(self.seed, 1, "worker", worker.number, worker.incarnation)[0]

    def _wait(self) -> None:
        """Until something has arrived, or somebody has had all the time there is."""
        busy = {worker for worker, life, _ in self.flying.values() if life == worker.life}
        given = {True: self.timeout, False: self.start_timeout}
        limits = {worker: worker.since + given[worker.begun] for worker in busy}
        left = min(limits.values()) - time.monotonic()
        refs = list(self.flying)
        arrived, _ = ray.wait(refs, num_returns=1, timeout=max(left, 0))
        if arrived:
            arrived, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        self.arrived.extend(arrived)
        heard = {self.flying[ref][0] for ref in arrived}
        for worker in busy - heard:
            if time.monotonic() > limits[worker]:
                self._late(worker)

    def _take(self, ref: Any) -> tuple[int, Any] | None:
        """What has arrived: an answer, or the news of a beginning or of an end."""
        worker, life, beginning = self.flying.pop(ref)
        alive = life == worker.life
        if alive:
            worker.in_flight -= 1
            worker.since = time.monotonic()
        try:
            result = ray.get(ref)
        except ActorDiedError as error:  # for good: Ray starts those again that ran
            raise RuntimeError(f"worker {worker.number} cannot be started: {error}") from error
        except RayTaskError as error:
            self._raised(worker, error)
        except RayError as error:
            if alive:
                self._lost(worker, f"died ({type(error).__name__})")
            return None
        if beginning:
            self.spaces[worker.number] = result
            worker.begun = worker.begun or alive
        elif result is not None:  # also of a life that has ended since: it was whole
            worker.deaths = 0
            version, parcel = result
            if version is None:  # what `each` has found
                return worker.number, parcel
            rollout = unpack(parcel, self.device)
            rollout.worker = torch.full((len(rollout),), worker.number)
            rollout.version = torch.full((len(rollout),), version)
            return worker.number, rollout
        elif alive:
            self._lost(worker, "died while it had nothing to do")
        return None

    def _raised(self, worker: Worker, error: RayTaskError) -> NoReturn:
        cause = error.cause if isinstance(error.cause, Exception) else error
        cause.add_note(
            f"This was in worker {worker.number} of {len(self.workers)}, incarnation "
            f"{worker.incarnation}, with seed {self._seed(worker)}."
        )
        raise cause from error

    def _late(self, worker: Worker) -> None:
        if not worker.begun:
            raise RuntimeError(
                f"worker {worker.number} did not start within start_timeout={self.start_timeout} "
                f"seconds. The nodes of this Ray have {ray.cluster_resources()}, of which "
                f"{ray.available_resources()} are free: is that enough for {len(self.workers)} "
                "workers? Or does an environment take longer to make?"
            )
        ray.kill(worker.actor, no_restart=False)
        self._lost(worker, f"gave no answer in timeout={self.timeout} seconds, and was ended")

    def _lost(self, worker: Worker, how: str) -> None:
        """A worker is gone, and its episodes in progress with it: another takes its place."""
        worker.deaths += 1
        if worker.deaths == DEATHS:
            raise RuntimeError(
                f"worker {worker.number} {how}, {DEATHS} times in a row without a rollout in "
                "between: does its environment crash the process, run out of memory, or wait for "
                "something? Try make_env() in a process of its own"
            )
        self._again(worker)
        tqdm.write(
            f"worker {worker.number} {how}: the episodes that it was in are lost, another one "
            f"takes its place (incarnation {worker.incarnation})",
            file=sys.stderr,
        )

    def _again(self, worker: Worker) -> None:
        worker.incarnation += 1
        worker.life += 1
        worker.begun, worker.in_flight = False, 0

    def _drop(self) -> None:
        """Nothing is in flight, and everybody begins again."""
        self.flying.clear()
        self.arrived.clear()
        for worker in self.workers:
            self._again(worker)


def _same(one: Parcel, two: Parcel) -> bool:
    arrays = zip(one[1], two[1])
    return (
        one[0] == two[0]
        and len(one[1]) == len(two[1])
        and all(np.array_equal(a, b) for a, b in arrays)
    )


def _close(user: int, actors: list) -> None:
    if ray.is_initialized():
        for actor in actors:
            with contextlib.suppress(Exception):
                ray.kill(actor)
    local.leave(user)
