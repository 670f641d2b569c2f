"""Chapter 01: the loop between an agent and its environment, and what the agent gets to see."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlx.agent import Runner
from rlx.course.exercise import Exercise
from rlx.envs import cartpole
from rlx.distributions import no_validation
from rlx.play.checks import run
from rlx.rollout import Rollout, Step
from rlx.play.table import Finished

# ---------------------------------------------------------------------- run_episode


def _run_episode(env, act, horizon: int) -> tuple[list, list, list, bool]:
    """Play one episode of at most `horizon` steps: states (T + 1), actions (T), rewards (T), flag.

    The last state is the one the episode ended in. The flag: did the environment terminate?"""
    observation, _ = env.reset()
    states, actions, rewards, terminated = [observation], [], [], False
    for _ in range(horizon):
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        actions.append(action)
        rewards.append(reward)
        states.append(observation)
        if terminated or truncated:
            break
    return states, actions, rewards, terminated


class _Border(gymnasium.Wrapper):
    """An agent's environment, which takes what a policy samples, and begins with a seed."""

    def __init__(self, agent) -> None:
        super().__init__(agent.env)
        self.agent = agent

    def reset(self, **options):
        seed, self.agent._seed = self.agent._seed, None
        return self.env.reset(seed=seed, **options)

    def step(self, action):
        parts = action if isinstance(action, tuple) else (action,)
        actions = tuple(torch.as_tensor(part)[None] for part in parts)
        return self.env.step(self.agent.envs._to_env(actions))


_once = Runner._once


def played_by(play):
    """`Runner._once`, with episodes from `play(env, act, horizon)`, which gives their rows.

    The action of an end row is never executed: here a sample of the policy's, as everywhere."""

    def _once_by_hand(runner, active, horizon, dry, greedy, render):
        agent, policy, recur = runner.agent, runner.policy, None
        if render:
            return _once(runner, active, horizon, dry, greedy, render)
        if not agent.envs.single:
            raise ValueError(
                "your function plays one environment: make the agent with rlx.envs.make, "
                "not with make_vec"
            )

        def act(observation):
            nonlocal recur
            with no_validation(), torch.no_grad():
                output = run(policy, recur, agent.envs._tensor(observation, batched=False))
                actions = output.dist.mode if greedy else output.dist.sample()
            recur = output.recur_state
            actions = tuple(action[0].numpy() for action in actions)
            return actions if len(actions) > 1 else actions[0]

        agent._carry = None
        rows = play(_Border(agent), act, horizon or 10**9)
        agent.finished = Finished([float(sum(row.reward for row in rows))], [len(rows) - 1])
        last, rollout = act(np.array(rows[-1].state)), Rollout()
        for row in rows:
            action = last if row.end else row.action
            action = tuple(map(torch.as_tensor, action if type(action) is tuple else (action,)))
            state = agent.envs._tensor(np.array(row.state), batched=False)[0]
            rollout << row._replace(state=state, action=action)
        with torch.random.fork_rng(devices=[]):  # evaluate draws actions for the end rows
            return rollout if dry else runner.evaluate(rollout)

    return _once_by_hand


def _played_by(answer):
    def play(env, act, horizon) -> list[Step]:
        states, actions, rewards, terminated = answer(env, act, horizon)
        if not len(states) - 1 == len(actions) == len(rewards):
            raise ValueError(
                f"{len(actions)} actions and {len(rewards)} rewards need one state more than that, "
                f"there are {len(states)}"
            )
        rows = [Step(*row) for row in zip(states, actions, map(float, rewards))]
        return [*rows, Step(states[-1], end=True, terminated=bool(terminated))]

    return played_by(play)


def with_a_critic() -> Tensor:
    """Two short trainings whose episodes end in every way, and whose values bootstrap."""
    import rlx

    vectors = []
    for limits, horizon in (({"max_episode_steps": 6}, 10), ({"terminate_at": 0.5}, 8)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            agent = rlx.Agent(rlx.envs.make("Reach-v0", **limits), seed=0)
            policy = rlx.networks.MLPPolicy(agent.observation_space, agent.action_space, (8,))
            agent.optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
            for _ in range(3):
                rollout = agent(policy).episodes(4, horizon)
                rollout.gae(rollout.others[0].detach(), 0.9, 0.9)
                rollout = rollout[:-1]
                losses = rollout.others[0] - rollout.returns, rollout.logprobs * rollout.advantages
                agent.zero_grad()
                (losses[0].square() - losses[1]).mean().backward()
                agent.step()
            vectors.append(torch.nn.utils.parameters_to_vector(policy.parameters()).detach())
    return torch.cat(vectors)


class _Path(gymnasium.Env):
    """A toy for the cases: it is over after `length` steps, and does not mind being stepped on."""

    observation_space = spaces.Box(-99, 99, (2,))
    action_space = spaces.Box(-9, 9, ())

    def __init__(self, length: int, terminates: bool) -> None:
        self.length, self.terminates = length, terminates

    def reset(self, *, seed=None, options=None):
        self.steps, self.place = 0, 1.0
        return self.observed(), {}

    def step(self, action):
        self.steps, self.place = self.steps + 1, self.place + float(action)
        over = self.steps >= self.length
        reward = self.place - 2.0 * self.steps
        return self.observed(), reward, over and self.terminates, over and not self.terminates, {}

    def observed(self):
        return np.array([self.steps, self.place], dtype=np.float32)


def _half(observation):
    return 0.5 * float(observation[1])


def _parts(answer, env, act, horizon):
    result = answer(env, act, horizon)
    if result is None:
        return None
    if not isinstance(result, (tuple, list)) or len(result) != 4:
        raise ValueError("expected are four things: states, actions, rewards, terminated")
    states, actions, rewards, terminated = result
    return {
        "states": np.array(states, dtype=np.float64),
        "actions": np.array(actions, dtype=np.float64),
        "rewards": np.array(rewards, dtype=np.float64),
        "terminated": terminated,
        "the number of env.step calls": env.steps,
    }


run_episode = Exercise(
    "run_episode",
    chapter="01",
    reference=_run_episode,
    target="rlx.agent.Runner._once",
    adapt=_played_by,
    call=_parts,
    train=with_a_critic,
    hints=(
        "Reset, then take turns: the agent acts on what it sees now, the environment answers. "
        "There are three reasons to stop.",
        "Before the loop, `states` holds the first observation. Each round adds one action, one "
        "reward and the observation that came back, so `states` is one longer than the others.",
        "`for _ in range(horizon):` act on the newest observation; `observation, reward, "
        "terminated, truncated, _ = env.step(action)`; append all three; `break` if `terminated "
        "or truncated`.",
    ),
)


@run_episode.case("an episode that terminates after 3 steps, horizon 6")
def _():
    return _Path(3, terminates=True), _half, 6


@run_episode.case("an episode that is truncated after 4 steps, horizon 6")
def _():
    return _Path(4, terminates=False), _half, 6


@run_episode.case("an episode of 7 steps, horizon 5")
def _():
    return _Path(7, terminates=True), _half, 5


@run_episode.mistake(
    "it does not stop at a truncation",
    "Your loop waits for `terminated`. A time limit says `truncated`, and the steps after it "
    "belong to no episode: an environment may do there what it likes. Stop at either.",
)
def _past_truncation(env, act, horizon):
    observation, _ = env.reset()
    states, actions, rewards, terminated = [observation], [], [], False
    while not terminated and len(rewards) < horizon:
        actions.append(act(states[-1]))
        observation, reward, terminated, _, _ = env.step(actions[-1])
        states.append(observation)
        rewards.append(reward)
    return states, actions, rewards, terminated


@_past_truncation.again
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


@run_episode.mistake(
    "each action stands beside the observation that came after it",
    "Row t should hold what the agent saw when it chose: your observations are one step late, and "
    "the first one is lost. Learned from such rows, an action looks like an answer to its own "
    "result.",
)
def _one_late(env, act, horizon):
    states, actions, rewards, terminated, _ = _everything(env, act, horizon)
    return [*states[1:], states[-1]], actions, rewards, terminated


@_one_late.again
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


@run_episode.mistake(
    "the first observation is missing",
    "What `env.reset()` returns is the first state: the first action was chosen on it. Put it into "
    "the list before the loop.",
)
def _without_first(env, act, horizon):
    states, actions, rewards, terminated, _ = _everything(env, act, horizon)
    return states[1:], actions, rewards, terminated


@_without_first.again
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


@run_episode.mistake(
    "the state in which the episode ended is missing",
    "T actions lead through T + 1 states. The last one is needed: if the episode was only cut "
    "short, its value stands for everything that would have followed.",
)
def _without_last(env, act, horizon):
    states, actions, rewards, terminated, _ = _everything(env, act, horizon)
    return states[:-1], actions, rewards, terminated


@_without_last.again
def _(env, act, horizon):
    observation, _ = env.reset()
    states, actions, rewards, terminated, truncated = [], [], [], False, False
    while len(states) < horizon and not (terminated or truncated):
        states.append(observation)
        actions.append(act(observation))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        rewards.append(reward)
    return states, actions, rewards, terminated


@run_episode.mistake(
    "it steps on after the end",
    "`env.step` is called `horizon` times, whatever it answers. After `terminated` or `truncated` "
    "the episode is over: `break`.",
)
def _steps_on(env, act, horizon):
    observation, _ = env.reset()
    states, actions, rewards, terminated = [observation], [], [], False
    for _ in range(horizon):
        actions.append(act(states[-1]))
        observation, reward, terminated, _, _ = env.step(actions[-1])
        states.append(observation)
        rewards.append(reward)
    return states, actions, rewards, terminated


@_steps_on.again
def _(env, act, horizon):
    states, actions, rewards, flags = [env.reset()[0]], [], [], [False]
    while len(actions) < horizon:
        actions.append(act(states[-1]))
        answer = env.step(actions[-1])
        for column, entry in zip((states, rewards, flags), answer):
            column.append(entry)
    return states, actions, rewards, flags[-1]


@run_episode.mistake(
    "the horizon is ignored",
    "It plays until the environment says stop, which may be never. After `horizon` steps, return "
    "what there is: `for _ in range(horizon)`.",
)
def _no_horizon(env, act, horizon):
    return _everything(env, act, 10**9)[:4]


@_no_horizon.again
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


@run_episode.mistake(
    "it calls a truncation a termination",
    "The environment said `truncated`: time was up, the world went on. Return `terminated` as it "
    "is. Whoever learns values takes it to mean that nothing comes after.",
)
def _all_terminations(env, act, horizon):
    states, actions, rewards, terminated, truncated = _everything(env, act, horizon)
    return states, actions, rewards, terminated or truncated


@_all_terminations.again
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


@run_episode.mistake(
    "the agent only ever sees the first observation",
    "`act` gets the same observation at every step: the name is not bound to what `env.step` "
    "returns. The agent plays with its eyes shut.",
)
def _blind(env, act, horizon):
    first, _ = env.reset()
    states, actions, rewards = [first], [], []
    for _ in range(horizon):
        actions.append(act(first))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        states.append(observation)
        rewards.append(reward)
        if terminated or truncated:
            break
    return states, actions, rewards, terminated


@_blind.again
def _(env, act, horizon):
    states, actions, rewards, over = [env.reset()[0]], [], [], (False, False)
    while not any(over) and len(actions) < horizon:
        action = act(states[0])
        after, reward, *over, _ = env.step(action)
        states, actions, rewards = [*states, after], [*actions, action], [*rewards, reward]
    return states, actions, rewards, over[0]


def _everything(env, act, horizon):
    """A right episode, with both flags."""
    observation, _ = env.reset()
    states, actions, rewards, terminated, truncated = [observation], [], [], False, False
    while len(rewards) < horizon and not (terminated or truncated):
        actions.append(act(states[-1]))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        states.append(observation)
        rewards.append(reward)
    return states, actions, rewards, terminated, truncated


# ---------------------------------------------------------------------- discounted_return


def _discounted_return(rewards: list[float], gamma: float) -> float:
    """r_0 + γ r_1 + γ² r_2 + …: one number from the rewards of one episode."""
    return sum(gamma**t * reward for t, reward in enumerate(rewards))


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


def _with_values() -> Tensor:
    """Values are fitted to the returns: so their scale matters, which Adam would not notice."""
    import rlx

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 4), seed=0)
        policy = rlx.networks.MLPPolicy(agent.observation_space, agent.action_space, (8,))
        algorithm = rlx.algos.ActorCritic(agent, policy, batch_size=4, horizon=10, lr=0.01)
        for _ in range(3):
            algorithm.update()
        return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


discounted_return = Exercise(
    "discounted_return",
    chapter="01",
    reference=_discounted_return,
    target="rlx.functional.discounted_returns",
    adapt=_of_every_row,
    train=_with_values,
    hints=(
        "The first reward counts in full. How much does the second count, how much the third?",
        "The reward of step t is multiplied by γ to the power t, and t begins at 0. `enumerate` "
        "gives you t and the reward together.",
        "`sum(gamma**t * reward for t, reward in enumerate(rewards))`",
    ),
)


@discounted_return.case("three rewards of 1, gamma 0.5")
def _():
    return [1.0, 1.0, 1.0], 0.5


@discounted_return.case("unequal rewards, gamma 0.9")
def _():
    return [2.0, 0.0, -1.0, 5.0], 0.9


@discounted_return.case("a single reward, gamma 0.9")
def _():
    return [3.0], 0.9


@discounted_return.mistake(
    "the discount begins one step too early",
    "Your first reward already counts γ, so everything is γ times too small. The first reward is "
    "not in the future: it counts γ to the power 0, which is 1.",
)
def _too_early(rewards, gamma):
    return sum(gamma ** (t + 1) * reward for t, reward in enumerate(rewards))


@_too_early.again
def _(rewards, gamma):
    total = 0.0
    for reward in reversed(rewards):
        total = gamma * (reward + total)
    return total


@discounted_return.mistake(
    "nothing is discounted",
    "This is the plain sum of the rewards: gamma is not used. The reward of step t counts γ to the "
    "power t.",
)
def _plain_sum(rewards, gamma):
    return sum(rewards)


@_plain_sum.again
def _(rewards, gamma):
    return float(np.sum(rewards))


@discounted_return.mistake(
    "the last reward counts most",
    "The powers run the wrong way: your last reward counts in full and the first one least. The "
    "nearest reward is the first.",
)
def _forward(rewards, gamma):
    total = 0.0
    for reward in rewards:
        total = reward + gamma * total
    return total


@_forward.again
def _(rewards, gamma):
    return float(gamma ** np.arange(len(rewards))[::-1] @ np.array(rewards))


@discounted_return.mistake(
    "all later rewards count the same",
    "The first reward counts in full and each of the others γ, however far away it is. Each step "
    "into the future costs one more factor γ.",
)
def _once_only(rewards, gamma):
    return rewards[0] + gamma * sum(rewards[1:])


@_once_only.again
def _(rewards, gamma):
    total = 0.0
    for t, reward in enumerate(rewards):
        total += reward if t == 0 else gamma * reward
    return total


# ---------------------------------------------------------------------- HideObservation


class _Drift(gymnasium.Env):
    """A toy whose observation *is* its state: whoever writes into the one writes into the other."""

    action_space = spaces.Discrete(2)

    def __init__(self, *state: float) -> None:
        self.first = np.array(state, dtype=np.float32)
        size = np.abs(self.first)
        self.observation_space = spaces.Box(-9 - size, 9 + 2 * size)
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
    first = np.array(first)
    second = np.array(wrapped.step(1)[0])
    return {
        "the space's low": np.array(wrapped.observation_space.low),
        "the space's high": np.array(wrapped.observation_space.high),
        "the observation after reset": first,
        "the observation after step": second,
        "the state inside the environment": np.array(env.state),
    }


def _in_drift() -> Tensor:
    """Training on what the wrapper shows, behind the first layer, which has its size."""
    import rlx

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        env = cartpole.HideObservation(_Drift(0.1, -0.2, 0.3), [0, 2])
        agent = rlx.Agent(env, seed=0)
        policy = rlx.networks.MLPPolicy(agent.observation_space, agent.action_space, (8, 8), False)
        algorithm = rlx.algos.REINFORCE(agent, policy, batch_size=4, horizon=8, lr=0.01)
        for _ in range(3):
            algorithm.update()
        return torch.cat([p.detach().flatten() for p in list(policy.parameters())[2:]])


HideObservation = Exercise(
    "HideObservation",
    chapter="01",
    reference=cartpole.HideObservation,
    target="rlx.envs.cartpole.HideObservation",
    call=_looked_through,
    train=_in_drift,
    hints=(
        "Two things change: what is shown, and what is said about it. Networks are built from the "
        "observation space.",
        "`observation[self.keep]` with a list of indices makes a new array. The space is a "
        "`gymnasium.spaces.Box` made of the kept entries of `low` and `high`.",
        "`self.observation_space = gymnasium.spaces.Box(space.low[self.keep], "
        "space.high[self.keep])` after `super().__init__(env)`, and `observation` returns "
        "`observation[self.keep]`.",
    ),
)


@HideObservation.case("four entries, the first and third to keep")
def _():
    return _Drift(1.0, 2.0, 3.0, 5.0), [0, 2]


@HideObservation.case("three entries, the last to keep")
def _():
    return _Drift(4.0, -1.0, 2.0), [2]


def _box(space, keep):
    return spaces.Box(space.low[keep], space.high[keep])


@HideObservation.mistake(
    "it writes into the environment's own array",
    "What the environment hands out may be its state itself. Setting an entry of it to 0 does not "
    "hide the velocity, it stops the cart. Make a new array, and leave the old one alone.",
)
class _WritesInto(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.keep = keep
        self.observation_space = _box(env.observation_space, keep)

    def observation(self, observation):
        hidden = np.ones(len(observation), bool)
        hidden[self.keep] = False
        observation[hidden] = 0.0
        return observation[self.keep]


@_WritesInto.again
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


@HideObservation.mistake(
    "the observation space is not updated",
    "The observations are right, but `observation_space` still promises the hidden entries. A "
    "network is built from the space, and will not fit: set `self.observation_space`.",
)
class _OldSpace(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.keep = keep

    def observation(self, observation):
        return observation[self.keep]


@_OldSpace.again
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


@HideObservation.mistake(
    "it hides what it should keep",
    "`keep` names the entries that stay. Yours are the others.",
)
class _Inverted(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.hide, space = keep, env.observation_space
        self.observation_space = spaces.Box(np.delete(space.low, keep), np.delete(space.high, keep))

    def observation(self, observation):
        return np.delete(observation, self.hide)


@_Inverted.again
class _(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.rest = [k for k in range(len(env.observation_space.low)) if k not in keep]
        self.observation_space = _box(env.observation_space, self.rest)

    def observation(self, observation):
        return observation[self.rest]


@HideObservation.mistake(
    "the first observation is not hidden",
    "`step` hides, `reset` does not. Derive from `gymnasium.ObservationWrapper`, which calls your "
    "`observation` for both.",
)
class _StepOnly(gymnasium.Wrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.keep = keep
        self.observation_space = _box(env.observation_space, keep)

    def step(self, action):
        observation, *rest = self.env.step(action)
        return observation[self.keep], *rest


@_StepOnly.again
class _(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.keep = keep
        self.observation_space = _box(env.observation_space, keep)

    def reset(self, **options):
        return self.env.reset(**options)

    def observation(self, observation):
        return np.array([observation[entry] for entry in self.keep])


@HideObservation.mistake(
    "the hidden entries are zeros, but still there",
    "Nothing can be read from a 0, so this would do, but the exercise wants them gone: `keep` "
    "lists the entries of the new observation, and its space has that many.",
)
class _Zeros(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.mask = np.zeros(env.observation_space.shape, np.float32)
        self.mask[keep] = 1.0

    def observation(self, observation):
        return self.mask * observation


@_Zeros.again
class _(gymnasium.ObservationWrapper):
    def __init__(self, env, keep):
        super().__init__(env)
        self.keep = keep

    def observation(self, observation):
        shown = np.zeros_like(observation)
        for entry in self.keep:
            shown[entry] = observation[entry]
        return shown
