"""Other codings of the mistakes of chapter 01."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

from codings import again


def _box(space, keep):
    return spaces.Box(space.low[keep], space.high[keep])


@again("run_episode", "it does not stop at a truncation")
def _(env, act, horizon):
    state = env.reset()[0]
    rows, terminated = [], False
    for _ in range(horizon):
        if terminated:
            break
        action = act(state)
        after, reward, terminated = env.step(action)[:3]
        rows.append((state, action, reward))
        state = after
    states, actions, rewards = map(list, zip(*rows))
    return [*states, state], actions, rewards, terminated


@again("run_episode", "each action stands beside the observation that came after it")
def _(env, act, horizon):
    observation, _ = env.reset()
    states, actions, rewards, terminated = [], [], [], False
    for _ in range(horizon):
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        states.append(observation)
        actions.append(action)
        rewards.append(reward)
        if terminated or truncated:
            break
    states.append(observation)
    return states, actions, rewards, terminated


@again("run_episode", "the first observation is missing")
def _(env, act, horizon):
    observation, _ = env.reset()
    rows = []
    for _ in range(horizon):
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        rows.append((observation, action, reward))
        if terminated or truncated:
            break
    return *map(list, zip(*rows)), terminated


@again("run_episode", "the state in which the episode ended is missing")
def _(env, act, horizon):
    observation, _ = env.reset()
    states, actions, rewards, terminated, truncated = [], [], [], False, False
    while len(states) < horizon and not (terminated or truncated):
        states.append(observation)
        actions.append(act(observation))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        rewards.append(reward)
    return states, actions, rewards, terminated


@again("run_episode", "it steps on after the end")
def _(env, act, horizon):
    states, actions, rewards, flags = [env.reset()[0]], [], [], [False]
    while len(actions) < horizon:
        actions.append(act(states[-1]))
        answer = env.step(actions[-1])
        for column, entry in zip((states, rewards, flags), answer):
            column.append(entry)
    return states, actions, rewards, flags[-1]


@again("run_episode", "the horizon is ignored")
def _(env, act, horizon):
    observation, _ = env.reset()
    states, actions, rewards = [observation], [], []
    while True:
        actions.append(act(states[-1]))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        states.append(observation)
        rewards.append(reward)
        if terminated or truncated:
            return states, actions, rewards, terminated


@again("run_episode", "it calls a truncation a termination")
def _(env, act, horizon):
    observation, _ = env.reset()
    states, actions, rewards, done = [observation], [], [], False
    while not done and len(rewards) < horizon:
        actions.append(act(states[-1]))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        states.append(observation)
        rewards.append(reward)
        done = terminated or truncated
    return states, actions, rewards, done


@again("run_episode", "the policy only ever sees the first observation")
def _(env, act, horizon):
    states, actions, rewards, over = [env.reset()[0]], [], [], (False, False)
    while not any(over) and len(actions) < horizon:
        action = act(states[0])
        after, reward, *over, _ = env.step(action)
        states, actions, rewards = [*states, after], [*actions, action], [*rewards, reward]
    return states, actions, rewards, over[0]


@again("discounted_return", "the discount begins one step too early")
def _(rewards, gamma):
    total = 0.0
    for reward in reversed(rewards):
        total = gamma * (reward + total)
    return total


@again("discounted_return", "nothing is discounted")
def _(rewards, gamma):
    return float(np.sum(rewards))


@again("discounted_return", "the last reward counts most")
def _(rewards, gamma):
    return float(gamma ** np.arange(len(rewards))[::-1] @ np.array(rewards))


@again("discounted_return", "all later rewards count the same")
def _(rewards, gamma):
    total = 0.0
    for t, reward in enumerate(rewards):
        total += reward if t == 0 else gamma * reward
    return total


@again("HideObservation", "it writes into the environment's own array")
class _(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.keep = keep
        self.observation_space = _box(env.observation_space, keep)

    def observation(self, observation):
        for entry in range(len(observation)):
            if entry not in self.keep:
                observation[entry] = 0.0
        return np.array([observation[entry] for entry in self.keep])


@again("HideObservation", "the observation space is not updated")
class _(gymnasium.Wrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.show = lambda observation: np.array([observation[entry] for entry in keep])

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return self.show(observation), info

    def step(self, action):
        observation, *rest = self.env.step(action)
        return self.show(observation), *rest


@again("HideObservation", "it hides what it should keep")
class _(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.rest = [k for k in range(len(env.observation_space.low)) if k not in keep]
        self.observation_space = _box(env.observation_space, self.rest)

    def observation(self, observation):
        return observation[self.rest]


@again("HideObservation", "the first observation is not hidden")
class _(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.keep = keep
        self.observation_space = _box(env.observation_space, keep)

    def reset(self, **options):
        return self.env.reset(**options)

    def observation(self, observation):
        return np.array([observation[entry] for entry in self.keep])


@again("HideObservation", "the hidden entries are zeros, but still there")
class _(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.keep = keep

    def observation(self, observation):
        shown = np.zeros_like(observation)
        for entry in self.keep:
            shown[entry] = observation[entry]
        return shown


@again("make_act", "its answer is always 0")
def _():
    return lambda observation: 0


@again("make_act", "it never looks at a second cue")
def _():
    seen = []

    def act(observation):
        if observation[-2] == 1 and not seen:
            seen.append(int(np.flatnonzero(observation[:-2])[0]))
        return seen[0]

    return act


_shared = []


@again("make_act", "two acts share one memory")
def _():
    def act(observation):
        if observation[-2]:
            _shared[:] = [int(observation[:-2].argmax())]
        return _shared[0]

    return act
