"""Chapter 01: the loop between a policy and its environment, and what the policy gets to see."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlx import plain
from rlx.course.exercise import Exercise, Wrong, fit
from rlx.course.plainly import PlainSampler
from rlx.envs import cartpole

# ---------------------------------------------------------------------- run_episode


def with_a_critic() -> Tensor:
    """Two short trainings whose episodes end in every way, and whose values bootstrap."""
    import rlx

    def after(horizon: int, **limits) -> Tensor:
        agent = rlx.Agent(PlainSampler(rlx.envs.make("Reach-v0", **limits)), seed=0)
        policy = rlx.networks.MLPPolicy(agent, hidden=(8,))

        def loss():
            rollout = agent(policy).episodes(4, horizon)
            rollout.gae(rollout.others[0].detach(), 0.9, 0.9)
            rollout = rollout[:-1]
            error = rollout.others[0] - rollout.returns
            return (error.square() - rollout.logprobs * rollout.advantages).mean()

        return fit(policy, loss)

    return torch.cat([after(10, max_episode_steps=6), after(8, terminate_at=0.5)])


class Env(gymnasium.Env):
    """For the cases: over after `length` steps, by any of its flags, and stepped on without
    complaint. It counts what is asked of it. With `again` it hands out one array, written anew. An
    error message may show its name."""

    action_space = spaces.Box(-9, 9, ())

    def __init__(self, length, terminates: bool, truncates: bool, size=2, again=False) -> None:
        self.length, self.flags, self.size = length, (terminates, truncates), size
        self.again, self.shown = again, np.zeros(size, dtype=np.float32)
        self.observation_space = spaces.Box(-99, 99, (size,))
        self.steps, self.resets, self.place = 0, [], 0.0

    def reset(self, *, seed=None, options=None):
        self.resets.append((seed, options))
        self.steps, self.place = 0, 1.0 + 0.5 * len(self.resets)
        return self.observed(), {}

    def step(self, action):
        self.steps, self.place = self.steps + 1, self.place + float(action)
        over = self.steps >= self.length
        reward = self.place - 2.3 * self.steps
        return self.observed(), reward, *(over and flag for flag in self.flags), {}

    def observed(self):
        self.shown[:] = [self.steps, self.place, -self.place][-self.size :]
        return self.shown if self.again else self.shown.copy()


def _acting():
    """An `act` whose answer depends on how often it was asked, as one with a memory would."""
    asked = 0

    def act(observation):
        nonlocal asked
        asked += 1
        return 0.5 * float(observation[-1]) + 0.1 * asked

    return act


def _played(answer, env, act, horizon):
    asked = 0

    def counted(observation):
        nonlocal asked
        asked += 1
        return act(observation)

    states, actions, rewards, terminated = answer(env, counted, horizon)
    return {
        "states": states,
        "actions": actions,
        "rewards": rewards,
        "terminated": terminated,
        "the number of env.step calls": env.steps,
        "the number of act calls": asked,
        "the number of env.reset calls": len(env.resets),
        "whether env.reset was given a seed": any(seed is not None for seed, _ in env.resets),
    }


def _run_episode(env, act, horizon: int) -> tuple[list, list, list, bool]:
    """One episode of at most `horizon` steps: states (T + 1), actions (T), rewards (T), flag."""
    observation, _ = env.reset()
    states, actions, rewards, terminated = [observation.copy()], [], [], False
    for _ in range(horizon):
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        states.append(observation.copy())
        actions.append(action)
        rewards.append(reward)
        if terminated or truncated:
            break
    return states, actions, rewards, terminated


run_episode = Exercise(
    "run_episode",
    chapter="01",
    reference=_run_episode,
    target="rlx.plain.run_episode",
    call=_played,
    train=with_a_critic,
    also="`gymnasium.wrappers.TimeLimit(env, horizon)` puts the horizon into the environment, "
    "which then says `truncated` itself: the loop is `while not (terminated or truncated)`.",
    hints=(
        "Reset, then take turns: the policy acts on what it sees now, the environment answers. "
        "There are three reasons to stop.",
        "Before the loop, `states` holds the first observation. Each round adds one action, one "
        "reward and a copy of the observation that came back, so `states` is one longer than the "
        "others.",
        "`for _ in range(horizon):` act on the newest observation; `observation, reward, "
        "terminated, truncated, _ = env.step(action)`; append `observation.copy()`, the action and "
        "the reward; `break` if `terminated or truncated`.",
    ),
)
run_episode.case(
    "an episode that terminates after 3 steps, horizon 6",
    lambda: (Env(3, True, False), _acting(), 6),
)
run_episode.case(
    "an episode that is truncated after 4 steps, horizon 6",
    lambda: (Env(4, False, True), _acting(), 6),
)
run_episode.case("an episode of 7 steps, horizon 5", lambda: (Env(7, True, False), _acting(), 5))
run_episode.case(
    "an episode of 3 steps that is terminated and truncated at once, horizon 9",
    lambda: (Env(3, True, True), _acting(), 9),
)


@run_episode.inputs
def _(draw):
    flags = draw.one_of((True, False), (False, True), (True, True))
    # Few that use their array again: whoever does not copy may make another mistake, too.
    env = Env(draw.size(1, 40), *flags, draw.integer(1, 3), draw.integer(0, 15) == 15)
    return env, _acting(), draw.one_of(3, 6, 1, 0, 50)


run_episode.patches(r"""
it does not stop at a truncation
    Your loop waits for `terminated`. A time limit says `truncated`, and the steps after it
    belong to no episode: an environment may do there what it likes. Stop at either.
    - if terminated or truncated:
    + if terminated:

each action stands beside the observation that came after it
    Row t should hold what the policy saw when it chose: your observations are one step
    late, and the first one is lost. Learned from such rows, an action looks like an answer
    to its own result.
    - return states,
    + return [*states[1:], states[-1]],

the first observation is missing
    What `env.reset()` returns is the first state: the first action was chosen on it. Put it
    into the list before the loop.
    - = [observation.copy()], []
    + = [], []

the state in which the episode ended is missing
    T actions lead through T + 1 states. The last one is needed: if the episode was only cut
    short, its value stands for everything that would have followed.
    - return states,
    + return states[:-1],

it steps on after the end
    `env.step` is called `horizon` times, whatever it answers. After `terminated` or
    `truncated` the episode is over: `break`.
    - break
    + pass

the horizon is ignored
    It plays until the environment says stop, which may be never. After `horizon` steps,
    return what there is: `for _ in range(horizon)`.
    - range(horizon)
    + range(10**9)

it calls a truncation a termination
    The environment said `truncated`: time was up, the world went on. Return `terminated` as
    it is. Whoever learns values takes it to mean that nothing comes after.
    - return states, actions, rewards, terminated
    + return states, actions, rewards, terminated or bool(actions) and truncated

the policy only ever sees the first observation
    `act` gets the same observation at every step: the name is not bound to what `env.step`
    returns. The policy never learns what its actions led to.
    - act(observation)
    + act(states[0])

the loop returns after its first round
    The `return` stands inside the loop. Move it to the left, under the `for`.
    - range(horizon)
    + range(min(horizon, 1))

`truncated` is returned for `terminated`
    The last of the four is the environment's own end. `env.step` gives `terminated` first,
    then `truncated`.
    - return states, actions, rewards, terminated
    + return states, actions, rewards, truncated
    - terminated = [observation.copy()], [], [], False
    + truncated = [observation.copy()], [], [], False

the flag is turned round
    True means that the environment ended the episode, not that it goes on.
    - return states, actions, rewards, terminated
    + return states, actions, rewards, not terminated

`env.reset()` is not unpacked
    It returns two things, the observation and an info dict: `observation, _ = env.reset()`.
    - return states,
    + return [(states[0], {}), *states[1:]],

the last reward is missing
    You leave the loop before the step's reward is kept. The reward of the last step counts
    as any other: append first, then look whether it is over.
    - return states, actions, rewards, terminated
    + return states, actions, rewards[:-1], terminated

the last step is missing
    You leave the loop before the step is kept. What ends the episode is a step as any
    other: append first, then look whether it is over.
    -         states.append(observation.copy())
    +         if terminated or truncated:
    +             break
    +         states.append(observation.copy())

the observations are not copied
    This environment hands out one array, and writes the next observation into it: all entries of
    your list show the same moment. `observation.copy()`.
    - observation.copy()
    + observation

one step too many is played
    `horizon` steps, not `horizon + 1`: `range(horizon)` is that many rounds.
    - range(horizon)
    + range(horizon + 1)

one step too few is played
    `horizon` steps, not `horizon - 1`: `range(horizon)` is that many rounds.
    - range(horizon)
    + range(horizon - 1)

the environment is seeded
    A seed makes every episode begin alike: the policy would see one start and no other.
    Whoever calls may seed; here it is `env.reset()`.
    - env.reset()
    + env.reset(seed=0)

it asks twice what to do
    One answer of `act` is stored and another one is played: a policy that explores gives
    two different ones. Keep its answer in a variable.
    - env.step(action)
    + env.step(act(observation))

the rewards are added up
    Each step has a reward of its own: return the list. Whoever discounts needs them one by
    one.
    - return states, actions, rewards, terminated
    + return states, actions, sum(rewards), terminated
""")


def _run_steps(env, act, horizon: int) -> list[list]:
    """Exactly `horizon` steps, a new episode wherever one ends: the rewards of each episode."""
    observation, _ = env.reset()
    episodes = [[]]
    for _ in range(horizon):
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        episodes[-1].append(reward)
        if terminated or truncated:
            observation, _ = env.reset()
            episodes.append([])
    return [episode for episode in episodes if episode]


run_episode.harder(
    "run_steps",
    _run_steps,
    (
        "The loop is the same. What is to be done where it used to `break`?",
        "`env.reset()` once more, whose observation is the next one to act on, and a new list.",
        "`episodes = [[]]` before the loop; `episodes[-1].append(reward)` in it; at an end "
        "`observation, _ = env.reset()` and `episodes.append([])`. Leave out an empty last one.",
    ),
    r"""
    it does not reset where an episode ends
        A new episode begins with `env.reset()`. Your environment is stepped on after its end.
        -             observation, _ = env.reset()
        +             pass

    the first action of a new episode is chosen on the old one's last state
        You reset, but what `reset` returns is lost: it is the observation to act on.
        -             observation, _ = env.reset()
        +             env.reset()

    an episode without a step is counted
        If the last step ended an episode, the next one has not begun yet.
        - [episode for episode in episodes if episode]
        + episodes

    only a termination begins a new episode
        A truncated episode is over, too.
        - if terminated or truncated:
        + if terminated:
    """,
    call=lambda answer, env, act, horizon: answer(env, act, horizon),
)


# ---------------------------------------------------------------------- discounted_return


def _of_every_row(answer):
    """The return from every row on: the answer for the rewards from there to the episode's end."""

    def discounted_returns(rewards: Tensor, end: Tensor, gamma: float) -> Tensor:
        returns, first = [], 0
        for last in end.nonzero().flatten().tolist():
            episode = rewards[first : last + 1].tolist()
            returns += [float(answer(episode[t:], gamma)) for t in range(len(episode))]
            first = last + 1
        return torch.tensor(returns).to(rewards)

    return discounted_returns


def _by_plain_steps() -> Tensor:
    """The steps are as long as the returns are large, which Adam would not notice."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 4), seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,))
    agent.optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    options = dict(standardize_return=False, gamma=0.5)
    algorithm = rlx.algos.ActorCritic(agent, policy, batch_size=4, horizon=10, **options)
    for _ in range(3):
        algorithm.update()
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


discounted_return = Exercise(
    "discounted_return",
    chapter="01",
    reference=plain.discounted_return,
    target="rlx.functional.discounted_returns",
    adapt=_of_every_row,
    train=_by_plain_steps,
    also="Counted from the end there are no powers: `total = reward + gamma * total` for each "
    "reward in `reversed(rewards)` (Horner's scheme), and every `total` on the way is a step's "
    "return.",
    hints=(
        "The first reward counts in full. How much does the second count, how much the third?",
        "The reward of step t is multiplied by γ to the power t, and t begins at 0. `enumerate` "
        "gives you t and the reward together.",
        "`sum(gamma**t * reward for t, reward in enumerate(rewards))`",
    ),
)
discounted_return.case("three rewards of 1, gamma 0.5", lambda: ([1.0, 1.0, 1.0], 0.5))
discounted_return.case("unequal rewards, gamma 0.9", lambda: ([2.0, 0.0, -1.0, 5.0], 0.9))
discounted_return.case("a single reward, gamma 0.9", lambda: ([3.0], 0.9))
discounted_return.case("200 rewards of 1, gamma 0.5", lambda: ([1.0] * 200, 0.5))


@discounted_return.inputs
def _(draw):
    return draw.floats(draw.size(1, 500)).tolist(), draw.gamma()


discounted_return.patches(r"""
the discount begins one step too early
    Your first reward already counts γ, so everything is γ times too small. The first reward
    is not in the future: it counts γ to the power 0, which is 1.
    - gamma**t
    + gamma ** (t + 1)

nothing is discounted
    This is the plain sum of the rewards: gamma is not used. The reward of step t counts γ
    to the power t.
    - gamma**t * reward
    + reward

the last reward counts most
    The powers run the wrong way: your last reward counts in full and the first one least.
    The nearest reward is the first.
    - enumerate(rewards)
    + enumerate(reversed(rewards))

all later rewards count the same
    The first reward counts in full and each of the others γ, however far away it is. Each
    step into the future costs one more factor γ.
    - gamma**t
    + gamma ** min(t, 1)

γ times t stands where γ to the power t belongs
    Each step into the future costs one more *factor* γ: `gamma**t`.
    - gamma**t
    + (gamma * t if t else 1)

γ is multiplied by t
    Each step into the future costs one more *factor* γ: `gamma**t`. With γ t the first
    reward would count nothing.
    - gamma**t
    + gamma * t

the base and the exponent are exchanged
    γ to the power t, not t to the power γ: `gamma**t`.
    - gamma**t
    + t**gamma

the last reward is forgotten
    Your loop stops one step before the end.
    - in enumerate(rewards)
    + in enumerate(rewards[:-1])

the first reward is forgotten
    The first reward counts too, and in full: t begins at 0.
    - in enumerate(rewards)
    + in enumerate(rewards) if t

the first reward is forgotten, and the others moved up
    The first reward counts too, and in full; the second counts γ.
    - in enumerate(rewards)
    + in enumerate(rewards[1:])

the loop returns after its first round
    The `return` stands inside the loop, so only the first reward counts. Move it to the
    left.
    - enumerate(rewards)
    + enumerate(rewards[:1])

it returns the discounted rewards, not their sum
    One number for the whole episode: add them up.
    - sum(gamma**t * reward for t, reward in enumerate(rewards))
    + [gamma**t * reward for t, reward in enumerate(rewards)]

it returns the return of every step
    Only the first step's is asked for here: one number.
    - sum(gamma**t * reward for t, reward in enumerate(rewards))
    + [
    +         sum(gamma**t * reward for t, reward in enumerate(rewards[k:]))
    +         for k in range(len(rewards))
    +     ]

the sum is divided by the number of steps
    A return is a sum. A mean would make long episodes no better than short ones.
    - in enumerate(rewards))
    + in enumerate(rewards)) / len(rewards)
""")


def _return_slope(rewards: list[float], gamma: float) -> float:
    """The derivative of the return with respect to γ: Σ t γ^(t-1) r_t."""
    return sum(t * gamma ** (t - 1) * reward for t, reward in enumerate(rewards) if t)


discounted_return.harder(
    "return_slope",
    _return_slope,
    (
        "What is the derivative of γ to the power t?",
        "t times γ to the power t - 1. The first reward does not depend on γ at all.",
        "`sum(t * gamma ** (t - 1) * reward for t, reward in enumerate(rewards) if t)`",
    ),
    r"""
    the power is not lowered
        The derivative of γᵗ is t times γ to the power t - 1.
        - gamma ** (t - 1)
        + gamma**t

    the factor t is missing
        The derivative of γᵗ is t times γ to the power t - 1.
        - t * gamma
        + gamma

    it divides by γ = 0
        At t = 0 the power is -1, and 0 to the power -1 does not exist. The first reward does not
        depend on γ: leave it out.
        - enumerate(rewards) if t
        + enumerate(rewards)
    """,
)


# ---------------------------------------------------------------------- HideObservation


class Drift(gymnasium.Env):
    """A toy whose observation *is* its state: whoever writes into the one writes into the other."""

    action_space = spaces.Discrete(2)

    def __init__(self, *state: float, dtype: type = np.float32) -> None:
        self.first = np.array(state, dtype=dtype)
        size = np.abs(self.first)
        self.observation_space = spaces.Box(-9 - size, 9 + 2 * size, dtype=dtype)
        self.state = self.first.copy()

    def reset(self, *, seed=None, options=None):
        self.state = self.first.copy()
        return self.state, {}

    def step(self, action):
        self.state += 0.5 * np.roll(self.state, 1) - float(action)
        return self.state, float(self.state.sum()), bool(np.abs(self.state).max() > 40), False, {}


def _looked_through(answer, env, keep):
    wrapped = answer(env, keep)
    first, _ = wrapped.reset()
    shown = np.array(first)
    second, reward, terminated, truncated, _ = wrapped.step(1)
    after = np.array(second)
    third = np.array(wrapped.step(0)[0])
    space = wrapped.observation_space
    return {
        "the space's low": getattr(space, "low", space),
        "the space's high": getattr(space, "high", space),
        "the observation after reset": shown,
        "the observation after step": after,
        "the observation after another step": third,
        "the observation after reset, seen again after step": first,
        "the dtype of observations": str(np.asarray(second).dtype),
        "the dtype of the space": str(getattr(space, "dtype", "")),
        "the reward": reward,
        "terminated": terminated,
        "truncated": truncated,
        "the state inside the environment": np.array(env.state),
        "the observation after another reset": np.array(wrapped.reset()[0]),
        "the low of the environment's own space": env.observation_space.low,
        "the high of the environment's own space": env.observation_space.high,
    }


def _in_drift() -> Tensor:
    """Training on what the wrapper shows, behind the first layer, which has its size."""
    import rlx

    agent = rlx.Agent(cartpole.HideObservation(Drift(0.1, -0.2, 0.3), [0, 2]), seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8, 8), value=False)
    algorithm = rlx.algos.REINFORCE(agent, policy, batch_size=4, horizon=8, lr=0.01)
    for _ in range(3):
        algorithm.update()
    return torch.cat([p.detach().flatten() for p in list(policy.parameters())[2:]])


class _HideObservation(gymnasium.ObservationWrapper):
    """Show only the entries `keep`, a list of indices, in that order."""

    def __init__(self, env, keep):
        super().__init__(env)
        self.keep, space = list(keep), env.observation_space
        low, high = space.low[self.keep], space.high[self.keep]
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=space.dtype)

    def observation(self, observation):
        return observation[self.keep]


HideObservation = Exercise(
    "HideObservation",
    chapter="01",
    reference=_HideObservation,
    target="rlx.envs.cartpole.HideObservation",
    call=_looked_through,
    train=_in_drift,
    also="`gymnasium.wrappers.TransformObservation(env, lambda o: o[keep], space)` does it without "
    "a class, for a change that keeps nothing in mind.",
    hints=(
        "Two things change: what is shown, and what is said about it. Networks are built from the "
        "observation space.",
        "`observation[self.keep]` with a list of indices makes a new array. The space is a "
        "`gymnasium.spaces.Box` made of the kept entries of `low` and `high`. It says float32 if "
        "it is not told the dtype.",
        "`self.observation_space = gymnasium.spaces.Box(space.low[self.keep], "
        "space.high[self.keep], dtype=space.dtype)` after `super().__init__(env)`, and "
        "`observation` returns `observation[self.keep]`.",
    ),
)
HideObservation.case(
    "four entries, the first and third to keep", lambda: (Drift(1.0, 2.0, 3.0, 5.0), [0, 2])
)
HideObservation.case("three entries, the last to keep", lambda: (Drift(4.0, -1.0, 2.0), [2]))


@HideObservation.inputs
def _(draw):
    size = draw.integer(1, 5)
    entries = draw.floats(size, kinds="whole tenths").tolist()
    order = np.random.default_rng(draw.integer(0, 20)).permutation(size)
    keep = order[: draw.integer(1, size)].tolist()
    # Few of another dtype: whoever forgets it may make another mistake, too.
    dtype = np.float64 if draw.integer(0, 15) == 15 else np.float32
    return Drift(*entries, dtype=dtype), sorted(keep) if draw.flag() else keep


HideObservation.patches(r"""
it writes into the environment's own array
    What the environment hands out may be its state itself. Setting an entry of it to 0 does
    not hide the velocity, it stops the cart. Make a new array, and leave the old one alone.
    -         return observation[self.keep]
    +         observation[np.delete(range(len(observation)), self.keep)] = 0.0
    +         return observation[self.keep]

the observation space is not updated
    The observations are right, but `observation_space` still promises the hidden entries. A
    network is built from the space, and will not fit: set `self.observation_space`.
    - self.observation_space =
    + self.space =

it hides what it should keep
    `keep` names the entries that stay. Yours are the others.
    - list(keep)
    + np.delete(range(len(env.observation_space.low)), keep)

the first observation is not hidden
    `step` hides, `reset` does not. Derive from `gymnasium.ObservationWrapper`, which calls
    your `observation` for both.
    -     def observation(
    +     def reset(self, **options):
    +         return self.env.reset(**options)
    +
    +     def observation(

the hidden entries are zeros, but still there
    Nothing can be read from a 0, so this would do, but the exercise wants them gone: `keep`
    lists the entries of the new observation, and its space has that many.
    - self.observation_space =
    + self.space =
    - observation[self.keep]
    + np.isin(range(len(observation)), self.keep) * observation

the entries come in sorted order
    `keep` also says in which order: `observation[keep]` with the list as it is.
    - list(keep)
    + sorted(keep)

the environment's own space is changed
    Your wrapper writes into `env.observation_space`, which belongs to the environment
    inside. Make a space of your own: `self.observation_space = gymnasium.spaces.Box(…)`.
    - self.observation_space =
    + self.observation_space = env.observation_space =

the space is of the right size, with other bounds
    Take the bounds of the entries that stay: `space.low[keep]` and `space.high[keep]`.
    - Box(low, high, dtype=space.dtype)
    + Box(-np.inf, np.inf, (len(self.keep),), dtype=space.dtype)

the space says float32, whatever the observations are
    `gymnasium.spaces.Box` does so unless it is told the dtype, and then an observation of float64
    is not in its space: `dtype=space.dtype`.
    - Box(low, high, dtype=space.dtype)
    + Box(low, high)

the first entries are kept, whatever `keep` says
    You keep as many entries as `keep` has. It lists which ones.
    - [self.keep]
    + [list(range(len(self.keep)))]
""")


class _WithChange(gymnasium.ObservationWrapper):
    """The entries `keep`, and after them how much each has changed since the last observation."""

    def __init__(self, env, keep):
        super().__init__(env)
        self.keep, space = list(keep), env.observation_space
        low, high = space.low[self.keep], space.high[self.keep]
        self.observation_space = gymnasium.spaces.Box(
            np.concatenate([low, low - high]), np.concatenate([high, high - low]), dtype=space.dtype
        )

    def reset(self, **options):
        self.before = None
        return super().reset(**options)

    def observation(self, observation):
        now = observation[self.keep]
        change = 0 * now if self.before is None else now - self.before
        self.before = now
        return np.concatenate([now, change])


HideObservation.harder(
    "WithChange",
    _WithChange,
    (
        "Something has to be remembered between two observations, and forgotten at a reset.",
        "Keep the last entries in `self.before`; `reset` sets it to None before it calls "
        "`super().reset(**options)`, which calls your `observation`.",
        "`change = 0 * now if self.before is None else now - self.before`, then "
        "`np.concatenate([now, change])`; the change lies between `low - high` and `high - low`.",
    ),
    r"""
    the sign of the change is turned round
        What is there now, less what was there before.
        - now - self.before
        + self.before - now

    the change runs over a reset
        The first observation of an episode has nothing before it: its change is 0.
        - self.before = None
        + self.before = getattr(self, "before", None)

    the space has the same bounds for the changes
        An entry between low and high changes by at least `low - high` and at most `high - low`.
        - [low, low - high]), np.concatenate([high, high - low]
        + [low, low]), np.concatenate([high, high]

    the changes stand first
        First the entries themselves, then their changes.
        - [now, change]
        + [change, now]
    """,
)


# ---------------------------------------------------------------------- make_act


def _make_act():
    """An `act(observation)` with a memory of its own."""
    cue = 0

    def act(observation):
        nonlocal cue
        if observation[-2]:
            cue = int(observation[:-2].argmax())
        return cue

    return act


def _recalled(answer, n, delay, cues):
    """Two acts side by side, shown other cues: what each answers when asked."""
    acts, answers = (answer(), answer()), ([], [])
    for cue in cues:
        for t in range(delay + 1):
            for which, act in enumerate(acts):
                observation = np.zeros(n + 2, np.float32)
                if t == 0:
                    observation[(cue + which) % n] = observation[n] = 1.0
                if t == delay:
                    observation[n + 1] = 1.0
                action = act(observation.copy())
                if action is None or not 0 <= action < n or int(action) != action:
                    raise Wrong(
                        "it answers with something that is no action",
                        f"Actions are whole numbers from 0 to n - 1, here {n - 1}; "
                        f"`act` returned {action!r}.",
                    )
                if t == delay:
                    answers[which].append(int(action))
    return {"the answers": answers[0], "the answers of a second act beside it": answers[1]}


make_act = Exercise(
    "make_act",
    chapter="01",
    reference=_make_act,
    call=_recalled,
    also="A class with `__call__` does the same; a recurrent policy (chapter 04) learns it.",
    hints=(
        "What does the first observation say that the others do not? Somewhere it has to be kept.",
        "A function inside a function can keep a variable of the outer one: `nonlocal cue`. "
        "Write to it when the second last entry is 1.",
        "`if observation[-2]: cue = int(observation[:-2].argmax())`, and then `return cue`.",
    ),
)


make_act.case("three actions, a delay of 2, cues 1, 0, 2, 2", lambda: (3, 2, [1, 0, 2, 2]))
make_act.case("four actions, a delay of 3, cues 3, 1, 0", lambda: (4, 3, [3, 1, 0]))


@make_act.inputs
def _(draw):
    n = draw.integer(2, 8)
    return n, draw.integer(1, 9), [draw.integer(0, n - 1) for _ in range(draw.size(1, 8))]


make_act.patches(r"""
its answer is always 0
    Nothing is kept, or what was kept is overwritten: while the cue is hidden its entries
    are zeros, and `argmax` of zeros is 0. Look only where `observation[-2]` is 1, and keep
    what you saw.
    - if observation[-2]:
    + if True:

it never looks at a second cue
    From the second episode on the first cue is still in its memory. Whenever the cue is
    shown, overwrite what was kept.
    - if observation[-2]:
    + if observation[-2] and not seen:
    +             seen = True
    -     cue = 0
    +     cue, seen = 0, False
    - nonlocal cue
    + nonlocal cue, seen

two acts share one memory
    The second function made by `make_act()` overwrites what the first keeps: a global
    variable, or a default that is changed. Keep the memory inside `make_act`.
    -     cue = 0
    +     global cue
    +     cue = 0
    -         nonlocal cue
    +         global cue

its answers are one episode late
    It gives the cue that was shown in the episode before: overwrite what is kept *before*
    it is returned.
    -     cue = 0
    +     cue, before = 0, 0
    - nonlocal cue
    + nonlocal cue, before
    - cue = int(
    + before, cue = cue, int(
    - return cue
    + return before
""")


def _make_adder():
    """An `act(observation)` that answers with the sum of all cues it was shown, modulo n."""
    total = 0

    def act(observation):
        nonlocal total
        if observation[-2]:
            total += int(observation[:-2].argmax())
        return total % (len(observation) - 2)

    return act


make_act.harder(
    "make_adder",
    _make_adder,
    (
        "What has to be kept now, and how often is it added to?",
        "Keep the sum. Add where `observation[-2]` is 1, and reduce it only in the answer.",
        "`total += int(observation[:-2].argmax())`, and `return total % (len(observation) - 2)`.",
    ),
    r"""
    only the last cue counts
        Add to what was kept, in place of overwriting it.
        - total +=
        + total =

    the cues are counted from 1
        `argmax` gives 0 for the first entry, and that is its number.
        - .argmax())
        + .argmax()) + 1

    it counts the cues
        Each adds its own number, not 1.
        - int(observation[:-2].argmax())
        + 1
    """,
)
