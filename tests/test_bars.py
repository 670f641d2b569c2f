"""Progress bars, in a terminal and in a notebook."""

import builtins
import re

import pytest

import rlx.bars
from rlx.bars import Page, bar


class Place:
    def __init__(self, shown):
        self.shown = [shown]


@pytest.fixture
def page(monkeypatch):
    """What a notebook was told to display, each place by itself."""
    places = {}

    def publish(data, transient, update):
        assert update == (transient["display_id"] in places)
        if update:
            places[transient["display_id"]].shown.append(data)
        else:
            places[transient["display_id"]] = Place(data)

    class Shell:
        kernel = None
        display_pub = type("Publisher", (), {"publish": staticmethod(publish)})

    monkeypatch.setattr(builtins, "get_ipython", Shell, raising=False)
    return places


def test_in_a_terminal_it_is_tqdm(capsys):
    with bar(total=2, unit="seed") as shown:
        shown.update(2)
    assert not isinstance(shown, Page)
    assert "2/2" in capsys.readouterr().err


def test_in_a_notebook_it_is_one_line_of_html(page, capsys):
    with bar(total=4, unit="seed", mininterval=0) as shown:
        shown.update()
        shown.set_postfix_str("return <3>")
        shown.update(3)
    (place,) = page.values()
    texts = [one["text/plain"] for one in place.shown]
    assert texts[0] == "0 of 4 seeds, 00:00"
    assert re.fullmatch(r"1 of 4 seeds, 00:00, 00:00 to go", texts[1])
    assert texts[-1] == "4 of 4 seeds, 00:00, return <3>"
    html = place.shown[-1]["text/html"]
    assert '<progress aria-label="seeds done" value="4" max="4">' in html
    assert "return &lt;3&gt;" in html
    assert capsys.readouterr() == ("", "")


def test_without_a_total_it_counts(page):
    with bar(unit="update", mininterval=0) as shown:
        shown.update()
    assert next(iter(page.values())).shown[-1]["text/plain"] == "1 updates, 00:00"


def test_it_can_be_switched_off(page):
    with bar(total=4, disable=True) as shown:
        shown.update()
        shown.set_postfix_str("return 3", refresh=False)
        shown.write("said all the same")
    assert not page


def test_training_shows_it(page):
    algorithm = rlx.tuned.make("rf", "CartPole-v1", "mlp", seed=0)
    rlx.train(algorithm, updates=2)
    assert "2 of 2 updates" in next(iter(page.values())).shown[-1]["text/plain"]
    assert "steps/s" in next(iter(page.values())).shown[-1]["text/plain"]
