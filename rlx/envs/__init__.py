"""Environments: registered with gymnasium as "rlx/…", and made by `make` and `make_vec`.

| id (rlx/…)                | observation          | action        | solved   | teaches            |
|---------------------------|----------------------|---------------|----------|--------------------|
| IncompleteCartPole-v0, v1 | x, x_dot, theta      | Discrete(2)   | 195, 475 | memory for a speed |
| PositionCartPole-v1       | x, theta             | Discrete(2)   | 475      | memory for two     |
| PositionPendulum-v1       | cos theta, sin theta | Box(1)        | -        | memory, a force    |
| Recall-v0                 | cue once, flags      | Discrete(4)   | 0.9      | memory alone       |
| RecallContinuous-v0       | cue once, flags      | Box(1)        | 0.8      | the same           |
| RecallBoth-v0             | cue once, flags      | Discrete, Box | 0.75     | two components     |
| Cue-v0                    | cue always, flags    | Discrete(4)   | 0.9      | acting on sight    |
| CueContinuous-v0          | cue always, flags    | Box(1)        | 0.8      | the same           |
| CueBoth-v0                | cue always, flags    | Discrete, Box | 0.75     | two components     |
| Reach-v0                  | x, x_dot, target     | Box(1)        | 26       | continuous control |
| Shoot-v0                  | aim, target          | Box, Discrete | 7        | two components     |
| SlimeVolley-v0            | players, ball (12)   | Discrete(6)   | 0        | opponents          |
| SlimeRally-v0             | players, ball (12)   | Discrete(6)   | 7        | the same, sooner   |
| ProbeConstant-v0          | nothing              | Discrete(2)   | V        | the value loss     |
| ProbeObservation-v0       | the reward           | Discrete(2)   | V        | the value's input  |
| ProbeDelay-v0             | the step             | Discrete(2)   | V        | discounting        |
| ProbeTruncation-v0        | nothing              | Discrete(2)   | V        | bootstrapping      |
| ProbeAction-v0            | nothing              | Discrete(2)   | 0.9      | the policy loss    |
| ProbeBoth-v0              | the right action     | Discrete(2)   | 0.9      | the policy's input |

Rewards:

- CartPoles: 1 a step. Pendulum: minus the squared angle, speed and force, as gymnasium has it.
- Recall, Cue: 0, and for the answer how near it is, at most 1. All components have to be right.
- Reach: 1 less the distance. Shoot: 1 for a hit, -0.2 for a miss.
- SlimeVolley: 1 for a point won, -1 for one lost. SlimeRally: 10 and -10, -0.01 a step, one point.
- Probes: 1 or -1. "V" means solved if the values are those of `probes.solution`.

"Solved" otherwise is a mean return, with sampled actions. What each score means stands in the
class: `recall.Recall`, `reach.Reach`, `shoot.Shoot`, `slimevolley.SlimeVolley`, `probes.Probe`;
most offer more kinds of actions, too. All but PositionPendulum have a native vector version.
`slimevolley.SlimeVolleyTwo` is the same game for two, in the manner of PettingZoo.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, registry
from gymnasium.vector import VectorEnv

from .cartpole import HideObservation, VectorHideObservation
from .native import BatchedEnv, SingleEnv

__all__ = [
    "BatchedEnv",
    "HideObservation",
    "SingleEnv",
    "VectorHideObservation",
    "make",
    "make_vec",
]

# Older versions that are here on purpose; gymnasium would call them out of date each time.
OLD_ON_PURPOSE = {"CartPole-v0", "rlx/IncompleteCartPole-v0"}


def make(id: str | EnvSpec, **kwargs: Any) -> gymnasium.Env:
    """`gymnasium.make`, which also finds "rlx/Name-v0" under its bare name.

    Raises ValueError, naming the nearest ids, if there is no such environment.
    """
    return gymnasium.make(_find(id), **kwargs)


def make_vec(id: str | EnvSpec, num_envs: int = 1, **kwargs: Any) -> VectorEnv:
    """`gymnasium.make_vec` with names as in `make`: a native vector env if there is one, else sync.

    `autoreset_mode=` is an argument of this package's native environments. Gymnasium's CartPole,
    and with it the incomplete ones, has NEXT_STEP only; for another mode, ask for
    `vectorization_mode="sync", vector_kwargs={"autoreset_mode": ...}`.

    Raises ValueError, naming the nearest ids, if there is no such environment.
    """
    return gymnasium.make_vec(_find(id), num_envs, **kwargs)


def _find(id: str | EnvSpec) -> str | EnvSpec:
    if isinstance(id, EnvSpec):
        return id
    module, _, name = id.rpartition(":")
    if module:  # gymnasium's "module:Name-v0"; importing the module registers the name
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise ValueError(f"cannot look for environment {id!r}: {error}") from error
    unversioned = {known.rpartition("-v")[0] for known in registry}  # gymnasium takes the newest
    for known in (name, f"rlx/{name}"):
        if known in OLD_ON_PURPOSE:
            return registry[known]  # a spec is made as it is, without remarks about its age
        if known in registry or known in unversioned:
            return known
    names = {known.removeprefix("rlx/").lower(): known for known in registry}
    wanted = name.removeprefix("rlx/").lower()
    near = [names[close] for close in difflib.get_close_matches(wanted, names)]
    advice = f"did you mean {', '.join(near)}?" if near else "gymnasium.pprint_registry() lists all"
    raise ValueError(f"there is no environment {id!r}; {advice}")


def _register(name: str, entry: str, vector: str | None = None, **spec: Any) -> None:
    if f"rlx/{name}" not in registry:  # a reloaded module registers nothing twice
        gymnasium.register(
            f"rlx/{name}",
            entry_point=f"rlx.envs.{entry}",
            vector_entry_point=vector and f"rlx.envs.{vector}",
            **spec,
        )


_hidden = "cartpole:hidden_cartpole", "cartpole:hidden_cartpole_vector"
for _name, _keep, _steps, _solved in [
    ("IncompleteCartPole-v0", [0, 1, 2], 200, 195.0),
    ("IncompleteCartPole-v1", [0, 1, 2], 500, 475.0),
    ("PositionCartPole-v1", [0, 2], 500, 475.0),
]:
    _spec = {"max_episode_steps": _steps, "reward_threshold": _solved, "kwargs": {"keep": _keep}}
    _register(_name, *_hidden, **_spec)
_register(
    "PositionPendulum-v1",
    "cartpole:hidden_pendulum",
    max_episode_steps=200,
    kwargs={"keep": [0, 1]},
)
for _name, _solved, _kwargs in [
    ("", 0.9, {"actions": "discrete"}),
    ("Continuous", 0.8, {"actions": "continuous"}),
    ("Both", 0.75, {"actions": "both", "n": 2}),
]:
    _recall = "recall:RecallEnv", "recall:Recall"
    _visible = _kwargs | {"visible": True, "delay": 2}
    _register(f"Recall{_name}-v0", *_recall, reward_threshold=_solved, kwargs=_kwargs)
    _register(f"Cue{_name}-v0", *_recall, reward_threshold=_solved, kwargs=_visible)
_register("Reach-v0", "reach:ReachEnv", "reach:Reach", max_episode_steps=30, reward_threshold=26.0)
_register("Shoot-v0", "shoot:ShootEnv", "shoot:Shoot", max_episode_steps=30, reward_threshold=7.0)
for _name, _solved in [("SlimeVolley", 0.0), ("SlimeRally", 7.0)]:
    _register(
        f"{_name}-v0",
        f"slimevolley:{_name}Env",
        f"slimevolley:{_name}",
        max_episode_steps=3000,
        reward_threshold=_solved,
    )
for _kind in ("Constant", "Observation", "Delay", "Truncation", "Action", "Both"):
    _register(
        f"Probe{_kind}-v0",
        "probes:ProbeEnv",
        "probes:Probe",
        max_episode_steps=2 if _kind == "Truncation" else None,
        reward_threshold=0.9 if _kind in ("Action", "Both") else None,
        kwargs={"kind": _kind.lower()},
    )
