"""The README's Python runs as it stands there."""

import ast
import re
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from matrix import one_thread  # noqa: F401

import rlx

BESIDE = {"rlx/checkpoint.py", "rlx/callbacks.py"}  # on the map, in the line of training.py
README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def with_seed(text, seed):
    """The page's example, begun with another seed."""
    assert "manual_seed(0)" in text
    assert "seed=0" in text
    return text.replace("manual_seed(0)", f"manual_seed({seed})").replace("seed=0", f"seed={seed}")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_readme_trains_an_agent(blocks, capsys, seed):
    names = {}
    exec(with_seed(blocks[0], seed), names)
    # An untrained agent has 22. With values as they are all three seeds stayed there.
    assert float(capsys.readouterr().out) > 80
    assert len(names["history"]) == 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_readmes_own_algorithm_learns(blocks, loops, seed):
    exec(with_seed(blocks[0].partition("algorithm =")[0], seed), loops)
    exec(blocks[3], loops)
    algorithm = loops["MyA2C"](loops["agent"], loops["Policy"]())
    history = rlx.train(algorithm, updates=100, progress=False)
    assert history["running_return"][-1] > 60


@pytest.fixture
def loops(blocks):
    """The functions of the page on one interface, and what they use."""
    names = {"torch": torch, "rlx": rlx}
    exec(blocks[1], names)
    return names


def test_four_algorithms_in_fifteen_lines_without_rlx_algos(blocks):
    _, page, use, *_ = blocks
    assert "rlx.algos" not in page + use
    found = {f.name: f for f in ast.parse(page).body if isinstance(f, ast.FunctionDef)}
    assert set(found) == {"step", "reinforce", "ppo", "dqn", "sac"}
    assert all(f.end_lineno - f.lineno + 1 <= 15 for f in found.values())


def score(policy, env, **options):
    """Mean return of 64 greedy episodes, always the same."""
    agent = rlx.Agent(rlx.envs.make_vec(env, 64, **options), seed=10_000)
    agent(policy).episode(dry=True, greedy=True)
    return sum(agent.finished.returns) / 64


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_reinforce_and_sac_learn_as_they_are_put_to_work(loops, blocks, seed):
    torch.manual_seed(seed)
    reinforce, sac = blocks[2].split("\n\nagent")[1:]
    exec(blocks[2].partition("\n\nagent")[0], loops)
    exec("agent" + reinforce, loops)
    assert score(loops["policy"], "CartPole-v1") > 200
    exec("agent" + sac, loops)
    assert score(loops["policy"], "Reach-v0") > 26


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_ppo_and_dqn_learn(loops, seed):
    torch.manual_seed(seed)
    world = {"env": "Reach-v0", "actions": "discrete"}
    agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 16, actions="discrete"), seed=seed)
    policy = rlx.networks.MLPPolicy(agent)
    agent.optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    for _ in range(30):
        loops["ppo"](agent, policy)
    assert score(policy, **world) > 25  # standing still scores 20
    torch.manual_seed(seed)  # whatever PPO drew
    policy = rlx.critics.QPolicy(rlx.critics.QNetwork(agent, hidden=64), epsilon=0.1)
    agent.optimizer = torch.optim.Adam(policy.parameters(), lr=2.3e-3)
    target, replay = deepcopy(policy.network), rlx.Replay(100_000)
    for _ in range(40):
        loops["dqn"](agent, policy, target, replay)
    assert score(policy, **world) > 25


def test_every_file_it_shows_is_there(blocks):
    text = README.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (README.parent / target).exists(), target


def test_every_place_that_the_maps_name_is_there():
    root = README.parent
    text = README.read_text(encoding="utf-8")
    block = text.split("## How it is made")[1].split("```")[1].strip("\n")
    named, folder = set(), ""
    for line in block.splitlines():
        name = line.split()[0]
        if line.startswith("  "):
            name = folder + name
        elif name.endswith("/"):
            folder = name
        named.add(name)
    known = {str(file.relative_to(root)) for file in (root / "rlx").glob("*.py")}
    assert known - named <= {"rlx/__init__.py", "rlx/__main__.py"} | BESIDE, "not on the map"
    guide = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`([\w.-]+/[\w./-]*|[\w.-]+\.(?:md|py|ipynb))`", guide))
    assert len(paths) > 30
    for path in named | {re.sub(r"\bNAME\b.*", "", path) for path in paths}:
        assert (root / path).exists(), path
