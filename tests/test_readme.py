"""The README's Python runs as it stands there."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_trains_an_agent_and_adds_an_algorithm(blocks, capsys):
    names = {}
    train, add = blocks
    exec(train, names)
    assert float(capsys.readouterr().out) > 20  # what an untrained agent has
    assert len(names["history"]) == 20
    exec(add, names)
    names["agent"].optimizer = None  # a new one, for the new policy
    algorithm = names["MyA2C"](names["agent"], names["Policy"]())
    assert set(algorithm.update()) >= {"return", "policy_loss", "value_loss"}


def test_every_file_it_shows_is_there(blocks):
    text = README.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (README.parent / target).exists(), target
