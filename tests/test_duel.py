"""What a duel takes; the game in the page is tests/browser/test_duel.py's."""

import pytest

import rlx
from rlx.course import Duel


@pytest.fixture
def agent():
    return rlx.Agent(rlx.envs.make_vec("SlimeRally-v0", 2))


def test_the_page_holds_the_weights_as_they_were(agent):
    policy = rlx.networks.MLPPolicy(agent, hidden=3)
    before = Duel(policy, "mine")
    page = before._repr_html_()
    for parameter in policy.parameters():
        parameter.data += 1
    assert before._repr_html_() == page != Duel(policy, "mine")._repr_html_()
    assert [len(weight) for weight, _ in before.layers] == [3, 3, 6]
    assert repr(before) == "<you against mine: click, then play with ← → ↑>"


@pytest.mark.parametrize("build", [rlx.networks.GRUPolicy, lambda agent: lambda seen: 0])
def test_what_a_page_cannot_play_is_refused(agent, build):
    with pytest.raises(TypeError, match=r"selfplay\.match plays any"):
        Duel(build(agent))


def test_buttons_of_another_kind_are_refused():
    agent = rlx.Agent(rlx.envs.make_vec("SlimeRally-v0", 2, actions="buttons"))
    with pytest.raises(TypeError, match="in the table of six actions"):
        Duel(rlx.networks.MLPPolicy(agent))


def test_an_unknown_player_is_refused_by_name():
    with pytest.raises(ValueError, match=r"no player .folower.; .* still, random, follower"):
        Duel("folower")
