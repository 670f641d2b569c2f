"""What `check` says of answers that are no declared mistake, and what it shields them from."""

import html
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

import rlx
from rlx.course import NotYet, check, hint, progress, swap
from rlx.course import checking as checking_module
from rlx.course.card import Card
from rlx.course.checking import examine
from rlx.course.exercise import EXERCISES, Exercise, load, source
from rlx.course.observe import OutOfTime, time_limit
from rlx.course.progress import counts, folder, record
from rlx.course.words import short, table


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RLX_HOME", str(tmp_path))
    monkeypatch.setattr(checking_module, "_hints_shown", {})
    return tmp_path


@pytest.fixture
def doubled():
    """An exercise: y = 2 x + noise, where the noise comes from torch's generator."""

    def twice(x, noise):
        return 2 * x + noise * torch.rand(()), x.detach().sum()

    exercise = Exercise(
        "twice",
        chapter="xx",
        reference=twice,
        target="rlx.functional.normalize",
        hints=("One.", "Two.", "Three."),
        time_limit=10.0,
    )

    @exercise.case("three numbers")
    def _():
        return torch.tensor([1.0, 2.0, 4.0], requires_grad=True), 0.0

    @exercise.inputs
    def _(draw):
        return draw.floats(draw.size(1, 9), grad=True), draw.one_of(0.0, 1.0)

    @exercise.case("noise")
    def _():
        return torch.tensor([1.0, -3.0, 5.0, 0.5], requires_grad=True), 1.0

    yield exercise
    del EXERCISES["twice"]


def right(x, noise):
    return x + x + noise * torch.rand(()), x.detach().sum()


def changed(make):
    """The right answer, but for its first part."""
    return lambda x, noise: (make(right(x, noise)[0], x), right(x, noise)[1])


def spoiled(x, noise):
    result = right(x, noise)
    with torch.no_grad():
        x += 1
    return result


def at_row(k):
    return lambda x, noise: right(x, noise)[0][k]


def minus_mask(x, noise):
    return -(x > 0)


def into_a_leaf(x, noise):
    x[0] = 0.0
    return right(x, noise)


def too_early(x, noise):
    if len(x) > 99:
        total = 0
    return total


ERRORS = {
    "it asks for an entry that does not exist": at_row(99),
    "it computes with True and False": minus_mask,
    "it writes into a tensor that asks for a gradient": into_a_leaf,
    "a variable is used before it has a value": too_early,
    "it computes with None": lambda x, noise: x + None,
    "an `if` asks a whole row of numbers at once": lambda x, noise: 1 if x > 0 else 2,
    "one number is asked of several": lambda x, noise: float(x),
    "two shapes do not fit": lambda x, noise: x[:2] + x[:3],
    "two matrices do not fit": lambda x, noise: x.outer(x) @ x.outer(x)[:2],
    "it leaves torch, where a gradient has to be kept": lambda x, noise: x.numpy(),
}


def with_a_generator(x, noise):
    seed = time.perf_counter_ns() % 2**31
    random = torch.rand((), generator=torch.Generator().manual_seed(seed))
    return 2 * x + noise * random, x.detach().sum()


FINDINGS = {
    "it divides by 0": lambda x, noise: 1 / 0,
    "it raises SystemExit": lambda x, noise: sys.exit("bye"),
    "it returns None": lambda x, noise: None,
    "it returns a number, not a tuple": lambda x, noise: 3.0,
    "it returns 3 values instead of 2": lambda x, noise: (*right(x, noise), 1),
    "part [0] is a list, not a tensor": changed(lambda y, x: y.tolist()),
    "part [0] is a numpy array, not a tensor": changed(lambda y, x: y.detach().numpy()),
    "the shape of part [0] is (3, 3), not (3,)": changed(lambda y, x: y.expand(len(y), len(y))),
    "the shape of part [0] is (3, 1), not (3,)": changed(lambda y, x: y[:, None]),
    "the shape of part [0] is (2,), not (3,)": changed(lambda y, x: y[1:]),
    "the shape of part [0] is (), not (3,)": changed(lambda y, x: y.prod()),
    "it is the sum of what was asked for (part [0])": changed(lambda y, x: y.sum()),
    "it is the mean of what was asked for (part [0])": changed(lambda y, x: y.mean()),
    "the mean over the rows is missing (part [0])": changed(
        lambda y, x: torch.stack([y + 1, y - 1])
    ),
    "the sum over each row is missing (part [0])": changed(
        lambda y, x: torch.stack([y - 7, x.new_full(y.shape, 7.0)], 1)
    ),
    "parts [0] and [1] are exchanged": lambda x, noise: right(x, noise)[::-1],
    "the dtype of part [0] is float64, not float32": changed(lambda y, x: y.double()),
    "no gradient reaches x": changed(lambda y, x: y.detach()),
    "the gradient is wrong": changed(lambda y, x: y.detach() + x - x.detach()),
    "the sign is wrong": changed(lambda y, x: -y),
    "it is off by a factor of 0.25": changed(lambda y, x: y / 4),
    "it is off by +3": changed(lambda y, x: y + 3),
    "there are NaN numbers in the result": changed(lambda y, x: y * (x - x) / (x - x)),
    "there are infinite numbers in the result": changed(lambda y, x: y / 0),
    "it changes its input x": spoiled,
    "it gives different results for the same inputs": with_a_generator,
    "it is the square of what was asked for": changed(lambda y, x: y**2),
    "what is below 0 is cut off": changed(lambda y, x: y.clamp(min=0)),
    "it is 1 minus what was asked for": changed(lambda y, x: 1 - y),
    "it is the size without the sign": changed(lambda y, x: y.abs()),
    "it is 7 wherever it is wrong": changed(lambda y, x: 0 * y + 7),
    "row 0 of part [0] should be 2, yours is 5": changed(lambda y, x: y**2 + 1),
}


@pytest.mark.parametrize("title", ERRORS)
def test_an_error_says_what_it_means(title, doubled):
    card = examine(doubled, ERRORS[title])
    assert card.title == title, card
    assert "line" in card.sentences[0]


@pytest.mark.parametrize("title", FINDINGS)
def test_a_finding_says(title, doubled):
    card = examine(doubled, FINDINGS[title])
    assert card.title == title, card
    assert card.kind == "finding"
    assert card.sentences[0]
    assert 'hint("twice")' in card.notes[-1]


def test_an_equal_answer_is_right(doubled):
    assert examine(doubled, right).passed


def test_a_gradient_where_none_belongs():
    card = examine(
        load()["policy_gradient_loss"],
        lambda logprobs, advantages: (
            -(logprobs * advantages.detach()).mean() + (advantages - advantages.detach()).sum()
        ),
    )
    assert card.title == "a gradient flows into advantages"
    assert "detach()" in card.sentences[0]


@pytest.mark.parametrize("swallow", [False, True])
def test_an_endless_loop_is_stopped(doubled, swallow):
    def endless(x, noise):
        while True:
            try:
                time.sleep(0.001)
            except Exception:
                if not swallow:
                    raise

    doubled.time_limit = 0.5
    examine(doubled, right)  # what the reference does is known by now
    began = time.monotonic()
    card = examine(doubled, endless)
    assert time.monotonic() - began < 5
    assert card.title == "it does not come to an end"


def test_the_limit_leaves_another_alarm_in_place():
    import signal

    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(OutOfTime), time_limit(0.05):
            time.sleep(5)
        time.sleep(0.3)
        assert heard == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_it_works_in_a_thread(doubled):
    cards = []
    thread = threading.Thread(target=lambda: cards.append(examine(doubled, right)))
    thread.start()
    thread.join()
    assert cards[0].passed


def test_the_line_that_raised_is_shown(doubled):
    def answer(x, noise):
        middle = x.view(7)
        return middle, x

    card = examine(doubled, answer)
    assert "middle = x.view(7)" in card.sentences[0]
    assert "shape '[7]' is invalid" in card.sentences[0]


def test_printing_is_caught_and_mentioned(doubled, capfd):
    def chatty(x, noise):
        print("hello")
        print("and this", file=sys.stderr)
        return right(x, noise)

    card = examine(doubled, chatty)
    assert card.passed
    assert "hello" in card.notes[-1]
    assert capfd.readouterr() == ("", "")


def test_random_numbers_stay_as_they_were(doubled):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    examine(doubled, right)
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002


def test_the_difference_is_shown_with_its_inputs(doubled):
    card = examine(doubled, changed(lambda y, x: y**2))
    assert card.notes[:2] == [
        "With three numbers: row 0 of part [0] should be 2, yours is 4.",
        "x          1   2   4\nshould be  2   4   8\nyours      4  16  64",
    ]
    assert card.notes[2] == "Inputs: noise = 0."


def test_words_are_shown_as_a_whole_with_the_dicts_they_come_from():
    exercise = load()["diagnose"]
    card = examine(exercise, lambda opened, signs: list(signs)[:2])
    assert card.notes[0].endswith("should be ['sight'], yours is ['nothing', 'sign'].")
    assert "opened = {'action': True, 'both': False}, signs = {'nothing': []," in card.notes[-2]


def test_a_patch_is_a_mistake(doubled):
    doubled.patches(r"""
    a name
        Why it is wrong,
        on two lines.
        - return 2 * x + noise * torch.rand(()), x
        + y = 3 * x
        +     return y + noise * torch.rand(()), x
        - .detach()
        +

    another name
        Why.
        - 2 *
        + 4 *
    """)
    one, other = doubled.mistakes
    assert (one.name, one.why) == ("a name", "Why it is wrong, on two lines.")
    assert other.name == "another name"
    x = torch.tensor([1.0], requires_grad=True)
    y, total = one.coding(x, 0.0)
    assert y.item() == 3.0
    assert total.requires_grad
    assert other.coding(x, 0.0)[0].item() == 4.0
    assert examine(doubled, one.coding).title == "a name"
    with pytest.raises(ValueError, match="has no '5 \\* x' to replace"):
        doubled.patches("a third\n    Why.\n    - 5 * x\n    + x")


def test_a_harder_question_may_stay_unwritten(doubled, capsys):
    def thrice(x, noise):
        return 3 * x + noise * torch.rand(()), x.detach().sum()

    patch = "it is four\n    No.\n    - 3\n    + 4"
    question = doubled.harder("thrice", thrice, ("1.", "2.", "3."), patch)
    try:

        def unwritten(x, noise):
            raise NotImplementedError("your turn")

        assert examine(question, thrice).passed
        assert examine(question, question.mistakes[0].coding).title == "it is four"
        check(unwritten, "thrice")
        assert "optional" in capsys.readouterr().out
        with pytest.raises(NotYet, match="it is four"):
            check(question.mistakes[0].coding, "thrice")
        before = progress().total()
        check(thrice)
        (exercises, optional), (same, more) = before.split(", "), progress().total().split(", ")
        assert exercises == same
        assert (optional[:2], more[:2]) == ("0 ", "1 ")
    finally:
        EXERCISES.pop("thrice")


def test_check_notes_what_is_right_and_raises_otherwise(doubled, capsys):
    with pytest.raises(NotYet, match="the sign is wrong"):
        check(changed(lambda y, x: -y), "twice")
    assert "·" in repr(progress()).split("twice")[0][-3:]
    check(right, "twice")
    assert "✓ twice" in repr(progress())
    assert capsys.readouterr().out.startswith("✓ twice: right")


def test_check_finds_the_exercise_by_name(doubled):
    def my_twice(x, noise):
        return right(x, noise)

    check(my_twice)
    with pytest.raises(LookupError, match="did you mean twice"):
        check(right, "twic")
    with pytest.raises(TypeError, match="without calling it"):
        check(torch.ones(3))


def test_hints_come_one_at_a_time(doubled, capsys):
    for _ in range(4):
        hint("twice")
    said = capsys.readouterr().out
    assert [said.count(word) for word in ("One.", "Two.", "Three.")] == [1, 1, 2]
    assert [said.count(word) for word in ("next one", "if you give up")] == [2, 1]


def test_whoever_has_seen_all_hints_may_see_a_solution(doubled, monkeypatch):
    cards = []
    monkeypatch.setattr(checking_module, "show", cards.append)
    for _ in range(5):
        hint("twice")
    folded = "<details><summary>A solution</summary>"
    assert [folded in card._repr_html_() for card in cards] == [False, False, False, True, True]
    assert doubled.library in html.unescape(cards[-1]._repr_html_())
    assert counts(folder(), "twice") == {"checks": 0, "hints": 3}


def test_progress_is_a_file_for_each_exercise(doubled, home):
    assert record("twice") == []
    assert set(json.loads((folder() / "twice.json").read_text())) == {"passed"}
    assert [path.name for path in (home / "progress").iterdir()] == ["twice.json"]
    page = progress()._repr_html_()
    assert "✓ twice" in page
    assert "1 of" in page


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written(doubled, home):
    home.chmod(0o500)
    assert "could not be noted" in record("twice")[0]


def test_a_home_that_is_a_file(doubled, home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("RLX_HOME", str(home / "file"))
    assert "could not be noted" in record("twice")[0]
    check(right, "twice")  # right all the same


def test_swap_puts_everything_back():
    library = rlx.functional.discounted_returns

    def fails():
        with swap(reward_to_go=lambda r, g: r, gae=len):
            assert rlx.functional.discounted_returns is not library
            assert rlx.functional.gae is len
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert rlx.functional.discounted_returns is library
    with pytest.raises(LookupError, match="no exercise called"), swap(reward=len):
        pass


def test_a_card_reads_as_text_and_as_html(doubled):
    card = examine(doubled, FINDINGS["the dtype of part [0] is float64, not float32"])
    assert str(card).startswith("✗ twice: the dtype of part [0] is float64")
    assert "<b>twice: the dtype" in card._repr_html_()


@pytest.mark.slow
def test_a_card_stresses_words_and_shows_code_as_it_is():
    sentence = "2 * 3 * 4, (N, *obs), `*code*` and *all of it*."
    card = Card("x", "two *words* of `a * b * c`", [sentence])
    page = card._repr_html_()
    assert "two <em>words</em> of <code>a * b * c</code>" in page
    assert "2 * 3 * 4, (N, *obs), <code>*code*</code> and <em>all of it</em>." in page


def test_truth_values_are_shown_as_such():
    assert short([True, False]) == "[True, False]"
    assert short([1, 0]) == "[1, 0]"
    assert short([[True], [False]]) == "[[True], [False]]"


def test_a_tuple_is_shown_as_one():
    assert short((2, 1)) == "(2, 1)"
    assert short((0.5,)) == "(0.5,)"


def test_a_tensor_in_a_list_is_to_be_cloned():
    def in_place(gradients, rows):
        for parts, n in zip(gradients, rows):
            for part in parts:
                part *= n / sum(rows)
        return [sum(parts) for parts in zip(*gradients)]

    card = examine(load()["average_gradients"], in_place)
    assert card.title == "it changes its input gradients[0][0]"
    assert "`gradients[0][0].clone()`" in card.sentences[0]


def test_numbers_above_a_thousand_are_not_taken_for_whole_ones():
    assert short([1000, 1000.49, -2345.67]) == "[1000, 1000.5, -2345.7]"
    assert short([999.5, 2.5e6 + 0.5]) == "[999.5, 2.5e+06]"


def test_a_right_answer_is_shown_beside_another_one(doubled):
    (_, yours), (whose, another) = examine(doubled, right).sources
    assert "x + x + noise" in yours
    assert whose == "the library's"
    assert another.startswith("def normalize(")
    doubled.library = source(doubled.reference)  # as of an exercise without a target
    card = examine(doubled, right)
    assert card.sources[1][0] == "the course's"
    assert "Yours beside the course's" in card._repr_html_()


def test_what_the_course_shows_has_no_names_of_its_own():
    name, text = checking_module._another(load()["priorities"])
    assert name == "the course's"
    assert text.startswith("def priorities(")
    assert "(errors.abs() + 0.01) ** alpha" in text


def test_a_table_is_aligned_and_turned_if_it_is_too_wide():
    rows = {"should be": ["1.5", "-2"], "yours": ["1.5", "-20", "7"]}
    assert table(rows) == "should be  1.5   -2\nyours      1.5  -20  7"
    long = "0" * 30
    turned = table({"should be": ["1", long, long, long], "yours": ["1", "2", "3", "4"]})
    assert turned.splitlines()[:2] == [
        " " * 7 + "should be".rjust(30) + "  yours",
        "row 0  " + "1".rjust(30) + "  " + "1".rjust(5),
    ]
    assert table({"should be": [99 * "0"], "yours": [99 * "0"]}) is None


def test_plain_python_shows_the_sentences(tmp_path):
    code = (
        "from rlx.course import check\n"
        "def normalize(x):\n    return x - x.mean()\n"
        "check(normalize)\n"
    )
    (tmp_path / "a.py").write_text(code)
    run = subprocess.run(
        [sys.executable, tmp_path / "a.py"], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.returncode == 1
    assert "With four numbers: row 0 should be -1.069, yours is -2." in run.stderr
