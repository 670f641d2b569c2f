"""What runs in a worker, and how policies get there and rollouts back. Of Ray it knows nothing."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv
from ray import cloudpickle
from torch import Tensor, nn

import rlx
from rlx import envs as rlx_envs
from rlx import seeding
from rlx.columns import apply
from rlx.play.sampler import InProcess
from rlx.policy import Parametric
from rlx.rollout import Rollout
from rlx.seeding import seed_all

Parcel = tuple[bytes, list[np.ndarray]]


class _Pickler(cloudpickle.Pickler):
    """Tensors as numpy arrays, which leave the stream as buffers: Ray's store shares them."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, Tensor) and thing.dtype != torch.bfloat16:
            return _tensor, (thing.numpy(force=True), isinstance(thing, nn.Parameter))
        return super().reducer_override(thing)


def _tensor(array: np.ndarray, parameter: bool) -> Tensor:
    tensor = torch.from_numpy(array.copy())  # the store's own is shared, and read-only
    return nn.Parameter(tensor, requires_grad=False) if parameter else tensor


def pack_policy(policy: Parametric) -> Parcel:
    """All of a policy, weights in arrays beside the rest: a copy."""
    stream, buffers = io.BytesIO(), []
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(policy)
    return stream.getvalue(), [np.frombuffer(b.raw(), np.uint8).copy() for b in buffers]


def pack(rollout: Rollout) -> dict[str, Any]:
    """A rollout in numpy arrays."""
    columns = apply(lambda x: x.detach().cpu().numpy(), rollout.columns)
    return {"lengths": rollout.lengths, "columns": columns, "finished": rollout.finished}


def unpack(parcel: dict[str, Any], device: torch.device | str = "cpu") -> Rollout:
    """The rollout, in memory of its own: the store's is shared, and read-only."""
    columns = apply(lambda x: torch.from_numpy(x.copy()).to(device), parcel["columns"])
    rollout = Rollout(parcel["lengths"]).replace(**columns)
    rollout.finished = parcel["finished"]
    return rollout


@functools.cache
def identity() -> str:
    """This rlx: its version, and a few letters made from all its sources."""
    root, digest = Path(rlx.__file__).parent, hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return f"{rlx.__version__} ({digest.hexdigest()[:8]})"


def build(make_env: str | Callable[[], gym.Env | VectorEnv], envs: int) -> gym.Env | VectorEnv:
    """What one worker plays in: `envs` environments side by side, or what `make_env` returns."""
    if isinstance(make_env, str):
        return rlx_envs.make_vec(make_env, envs)
    if envs == 1:
        return make_env()
    env = make_env()
    if isinstance(env, VectorEnv):
        env.close()
        raise ValueError(
            f"envs={envs}, but make_env() already returns {env.num_envs} environments side by "
            "side: leave envs out"
        )
    env.close()
    return SyncVectorEnv([make_env] * envs)


class Player:
    """A sampler in a process of its own. Each of its lives begins with resets, and with a seed."""

    def __init__(self) -> None:
        torch.set_num_threads(1)  # a worker for each core
        self.sampler: InProcess | None = None
        self.life, self.version = -1, 0
        self.policy: Parametric | None = None

    def begin(
        self, life: int, seed: int, learner: str, make_env: bytes, envs: int, place: tuple[int, int]
    ) -> tuple[gym.Space, gym.Space, int]:
        """Begin a life: every environment is reset at the next call, all numbers come from `seed`.
        `place` is the worker's number, and of how many.

        Returns the spaces, and how many environments there are. Raises RuntimeError if the learner
        has another rlx."""
        if learner != identity():
            raise RuntimeError(
                f"this worker has rlx {identity()}, the learner has {learner}: their rows may "
                "differ in meaning. Install the same one on every machine"
            )
        if self.sampler is None:
            self.sampler = InProcess(build(pickle.loads(make_env), envs))
        self.place = place
        if life > self.life:
            starts, actions = seeding.spawn(seed, 2, "life")
            self.life = life
            self.sampler.start(starts)
            seed_all(actions)
        return self.sampler.observation_space, self.sampler.action_space, self.sampler.num_envs

    def play(
        self, life: int, version: int, policy: Parcel | None, what: str, args: tuple
    ) -> tuple[int | None, Any] | None:
        """`what` an agent's sampler is asked, with the policy of that version, or what a function
        makes of the environment; None if it was meant for another life of this worker."""
        if life != self.life:
            return None
        if what == "each":
            function, *more = args
            return None, function(self.sampler.envs.env, *more)
        if version != self.version:
            stream, buffers = policy
            self.policy, self.version = pickle.loads(stream, buffers=buffers), version
            if hasattr(self.policy, "take_place"):
                self.policy.take_place(*self.place)
        with torch.no_grad():
            return version, pack(getattr(self.sampler, what)(self.policy, *args))
