"""PPO until CartPole-v1 is solved: rlx beside Stable-Baselines3, seed by seed in turn, on the CPU.

Solved: the mean return of the last 100 training episodes reaches 475. SB3 runs with the settings
that rl-zoo tuned for it. Both run in this process, in turn; what counts is the medians' ratio.

    python benchmarks/ppo.py
    python benchmarks/ppo.py --update    # one update beside the least that it could do
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from until import ratio

import rlx
from rlx.seeding import spawn

LIMIT = 180.0  # seconds after which a run counts as not solved


def ours(seed: int) -> tuple[float, float, int]:
    """Seconds, running return and environment steps of rlx's PPO."""
    began = time.perf_counter()
    algorithm = rlx.tuned.make("ppo", "CartPole-v1", seed=seed)
    last = rlx.train(algorithm, seconds=LIMIT, stop_return=475, progress=False)[-1]
    return time.perf_counter() - began, last["running_return"], last["steps"]


def sb3(seed: int) -> tuple[float, float, int]:
    """The same of SB3's PPO, with rl-zoo's settings for CartPole-v1."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            self.running = statistics.fmean(e["r"] for e in self.model.ep_info_buffer or [{"r": 0}])
            full = len(self.model.ep_info_buffer) == 100
            if (full and self.running >= 475) or time.perf_counter() - began > LIMIT:
                raise StopIteration

    (seed,) = spawn(seed, 1)  # its environments get seed + i
    torch.manual_seed(seed)
    began, stop = time.perf_counter(), Stop()
    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", 8, seed=seed),
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
        seed=seed,
        device="cpu",
    )
    try:
        model.learn(100_000, callback=stop)
    except StopIteration:
        pass
    return time.perf_counter() - began, stop.running, model.num_timesteps


def bare_steps(algorithm: rlx.algos.PPO, rollout: rlx.Rollout) -> None:
    """The gradient steps of one update as torch alone takes them: no checks, and no metrics."""
    policy, optimizer, n = algorithm.policy, algorithm.agent.optimizer, len(rollout)
    actor = nn.Sequential(policy.actor[0], policy.actor[1].layers[0])
    states, actions, advantages = rollout.states, rollout.actions[0][:, None], rollout.advantages
    targets = (rollout.returns - algorithm.targets.mean) / algorithm.targets.deviation
    for _ in range(algorithm.epochs):
        for rows in torch.randperm(n).tensor_split(algorithm.minibatches):
            logprobs = actor(states[rows]).log_softmax(-1).gather(1, actions[rows])[:, 0]
            values = policy.critic(states[rows])[:, 0]
            std, mean = torch.std_mean(advantages[rows])
            advantage = (advantages[rows] - mean) / std
            ratio = (logprobs - rollout.logprobs[rows]).exp()
            clipped = ratio.clamp(1 - algorithm.clip, 1 + algorithm.clip)
            loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
            loss = loss + algorithm.value_coef * (values - targets[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def one_update(rounds: int = 60) -> str:
    """Milliseconds of the processor for `update`, and for its sampling and bare gradient steps."""
    algorithm = rlx.tuned.make("ppo", "CartPole-v1", lr=0.0)  # it stays as good as it is
    agent, policy, n_steps = algorithm.agent, algorithm.policy, algorithm.n_steps
    rollout = algorithm.sample()

    def milliseconds(run: Callable[[], object]) -> float:
        began = time.process_time()
        run()
        return 1e3 * (time.process_time() - began)

    runs = {
        "update": algorithm.update,
        "sampling": lambda: agent(policy).segment(n_steps, dry=True),
        "steps": lambda: bare_steps(algorithm, rollout),
    }
    took = [{name: milliseconds(run) for name, run in runs.items()} for _ in range(rounds)][5:]
    update, sampling, steps = (statistics.median(one[name] for one in took) for name in runs)
    share = statistics.median(one["update"] / (one["sampling"] + one["steps"]) for one in took)
    return (
        f"one update {update:.1f} ms, its sampling {sampling:.1f}, bare steps {steps:.1f}: "
        f"{share:.2f} times as long"
    )


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--update", action="store_true", help="time a single update, nothing else")
    args = command.parse_args()
    torch.set_num_threads(1)  # faster for both: the networks are small
    if args.update:
        return print(one_update())
    print("seed   rlx s  return    steps     SB3 s  return    steps")
    times: dict[str, list[float]] = {"rlx": [], "sb3": []}
    for seed in range(args.seeds):
        a, b = ours(seed), sb3(seed)
        times["rlx"].append(a[0])
        times["sb3"].append(b[0])
        print(
            f"{seed:>4} {a[0]:>7.1f} {a[1]:>7.1f} {a[2]:>8}   {b[0]:>7.1f} {b[1]:>7.1f} {b[2]:>8}",
            flush=True,
        )
    print(ratio(times["rlx"], times["sb3"]))


if __name__ == "__main__":
    main()
