"""REINFORCE with the command line's own settings learns: not only that it runs."""

import pytest

import main
import rlx

pytestmark = pytest.mark.slow


def running_return(line, seed, episodes, goal):
    """That of `python main.py --algo rf …` when it reaches the goal, or has used its episodes."""
    args = main.parser().parse_args(["--algo", "rf", "--seed", str(seed), *line.split()])
    algorithm = main.build(args, main.settle(args, pytest.fail))
    history = rlx.train(algorithm, episodes=episodes, stop_return=goal, progress=False)
    return history[-1]["running_return"]


@pytest.mark.parametrize("seed", range(5))
def test_cartpole_is_learned(seed):
    """The slowest of the seeds that were tried had 400 after 640 episodes."""
    assert running_return("--env CartPole-v1", seed, episodes=1200, goal=400) >= 400


@pytest.mark.parametrize("seed", range(2))
def test_a_recurrent_policy_learns_incomplete_cartpole(seed):
    """Untrained it has about 20; the seeds that were tried had 120 after 800 episodes."""
    line = "--env IncompleteCartPole-v1 --policytype rnn"
    assert running_return(line, seed, episodes=1600, goal=120) >= 120
