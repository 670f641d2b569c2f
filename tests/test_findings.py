"""Patterns in wrong numbers, and that nobody is told of a mistake that they have not made."""

import ast
import inspect
import re

import numpy as np
import pytest
import torch

from rlx import plain
from rlx.course import asif, diagnose, findings, patterns
from rlx.course.checking import examine
from rlx.course.exercise import EXERCISES, Exercise, load
from rlx.course.generate import Draw, shrink


def discounted(rewards, end, gamma):
    returns, later = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        returns[t] = later = rewards[t] + gamma * later * ~end[t]
    return returns


@pytest.fixture
def table():
    """An exercise without declared mistakes: discounted returns of a table."""
    exercise = Exercise(
        "table", chapter="xx", reference=discounted, hints=("One.", "Two.", "Three.")
    )

    @exercise.case("two episodes")
    def _():
        end = torch.tensor([False, False, True, False, False, True])
        return torch.tensor([1.0, 2.0, 4.0, -1.0, 3.0, 7.0]), end, 0.5

    @exercise.inputs
    def _(draw):
        end = draw.ends(draw.lengths(1, 20))
        return draw.floats(len(end)), end, draw.gamma()

    yield exercise
    del EXERCISES["table"]


def both(*lists):
    """Two components of a result."""
    return torch.stack(lists, 1)


PATTERNS = {
    "the sign is wrong": lambda r, e, g: -discounted(r, e, g),
    "it is off by a factor of 3": lambda r, e, g: 3 * discounted(r, e, g),
    "it is off by +2": lambda r, e, g: discounted(r, e, g) + 2,
    "it sums where it should average": lambda r, e, g: discounted(r, e, g) * len(r),
    "it averages where it should sum": lambda r, e, g: discounted(r, e, g) / len(r),
    "it is one row too late": lambda r, e, g: discounted(r, e, g).roll(1),
    "it is one row too early": lambda r, e, g: discounted(r, e, g).roll(-1),
    "it divides by N - 1, where N belongs": lambda r, e, g: (
        discounted(r, e, g) * (torch.tensor(1.0 * len(r)) / (len(r) - 1))
    ),
    "it divides by N, where N - 1 belongs": lambda r, e, g: (
        discounted(r, e, g) * (len(r) - 1) / len(r)
    ),
    "it is the exponential of what was asked for": lambda r, e, g: discounted(r, e, g).exp(),
    "it is rounded to 1 decimal": lambda r, e, g: discounted(r, e, g).round(decimals=1),
    "it is rounded down": lambda r, e, g: discounted(r, e, g).floor(),
    "the rows are in reverse order": lambda r, e, g: discounted(r, e, g).flip(0),
    "the rows are in another order": lambda r, e, g: discounted(r, e, g).sort().values,
    "only the episodes' last rows are wrong": lambda r, e, g: discounted(r, e, g) - 9 * e,
    "it is right for the first episode only": lambda r, e, g: torch.where(
        e.cumsum(0) - 1 * e > 0, r**2 + 50, discounted(r, e, g)
    ),
    "only the first row is wrong": lambda r, e, g: torch.cat(
        [r[:1] ** 2 + 50, discounted(r, e, g)[1:]]
    ),
    "every row gets the same": lambda r, e, g: discounted(r, e, g)[:1].expand(len(r)).clone(),
    "there is one γ too many": lambda r, e, g: g * discounted(r, e, g),
    "there are two γ too many": lambda r, e, g: g**2 * discounted(r, e, g),
    "there is one γ too few": lambda r, e, g: discounted(r, e, g) / g,
    "there are powers of γ too many or too few": lambda r, e, g: (
        g ** (1 + len(r) % 3) * discounted(r, e, g)
    ),
    "row t is off by γ to the power t": lambda r, e, g: (
        g ** torch.arange(len(r)) * discounted(r, e, g)
    ),
    "it answers as if gamma were 1": lambda r, e, g: discounted(r, e, 1.0),
    "it answers as if gamma were squared": lambda r, e, g: discounted(r, e, g**2),
    "it answers as if end were false everywhere": lambda r, e, g: discounted(r, e & ~e, g),
    "it answers as if end came one row later": lambda r, e, g: discounted(r, e.roll(1), g),
}


@pytest.mark.parametrize("title", PATTERNS)
def test_a_pattern_is_named(title, table):
    card = examine(table, PATTERNS[title])
    assert card.title == title, card
    assert "should be" in card.notes[0]


def test_one_component_right():
    exercise = Exercise(
        "pair", chapter="xx", reference=lambda x: both(x, 2 * x), hints=("1.", "2.", "3.")
    )
    try:
        exercise.case("four")(lambda: (torch.tensor([1.0, 2.0, 4.0, 7.0]),))
        exercise.inputs(lambda draw: (draw.floats(draw.size(1, 9)),))
        card = examine(exercise, lambda x: both(x, 5 * x))
        assert card.title == "only the first component is right", card
        card = examine(exercise, lambda x: both(5 * x, 2 * x))
        assert card.title == "only the last component is right", card
    finally:
        del EXERCISES["pair"]


# ---------------------------------------------------------------------- no one is misled


def test_none_is_none_whatever_is_done_with_the_result():
    for name in ("run_episode", "sample", "categorical", "gaussian", "drop_last", "influence"):
        card = examine(load()[name], lambda *inputs: None)
        assert card.title == "it returns None", (name, card)


def test_a_not_implemented_error_of_a_library_is_an_error():
    nothing = torch.distributions.Distribution(validate_args=False)
    card = examine(load()["forget"], lambda recur_state, fresh: nothing.entropy())
    assert card.title == "it raises NotImplementedError", card

    def unwritten(recur_state, fresh):
        raise NotImplementedError

    assert examine(load()["forget"], unwritten).title == "not written yet"


def test_writing_over_what_the_gradient_needs_is_said_in_plain_words():
    def gru_step(h, x, w_x, w_h, b_x, b_h):
        grown = load()["gru_step"].reference(h, x, w_x, w_h, b_x, b_h).exp()
        new = grown.log()
        grown *= 1.0
        return new

    card = examine(load()["gru_step"], gru_step)
    assert card.title == "no gradient can be computed", card
    assert "`torch.stack(…)`" in str(card)
    assert "inplace" not in str(card)


def test_a_long_error_is_cut_after_a_sentence():
    def long(recur_state, fresh):
        raise ValueError("One thing. " * 12 + "Another thing, " * 20)

    def longer(recur_state, fresh):
        raise ValueError("word " * 100)

    assert " One thing. That was at" in str(examine(load()["forget"], long))
    assert "word word … That was at" in str(examine(load()["forget"], longer))


def test_true_and_false_have_no_sign_and_no_offset():
    run_episode = load()["run_episode"]

    def always(env, act, horizon):
        states, actions, rewards, _ = run_episode.reference(env, act, horizon)
        return states, actions, rewards, True

    assert examine(run_episode, always).title == "terminated is True, not False"


def test_what_few_cases_show_is_not_the_reason():
    """Two faults: one in every case, and one where the environment uses its array again."""

    def asks_once_more(env, act, horizon):
        states, *rest = plain.run_episode(env, act, horizon)
        act(states[-1])
        return states, *rest

    title = examine(load()["run_episode"], asks_once_more).title
    assert title == "the number of act calls should be 3, yours is 4"


def test_an_input_changed_comes_before_its_gradient():
    def in_place(logprobs, advantages):
        with torch.no_grad():
            logprobs -= 1
        return -(logprobs * advantages).mean().detach()

    card = examine(load()["policy_gradient_loss"], in_place)
    assert card.title == "it changes its input logprobs", card


def test_what_is_kept_comes_before_shapes():
    seen = []

    def keeps(rewards, gamma):
        seen.extend(rewards.tolist())
        return torch.tensor(seen)

    title = examine(load()["reward_to_go"], keeps).title
    assert title == "it gives different results for the same inputs"


def test_memory_that_is_handed_out_again():
    buffers = {}

    def reuses(rewards, gamma):
        right = load()["reward_to_go"].reference(rewards, gamma)
        return buffers.setdefault((right.shape, right.dtype), torch.empty_like(right)).copy_(right)

    card = examine(load()["reward_to_go"], reuses)
    assert card.title == "it hands out the same memory twice", card


def test_a_list_is_not_cloned():
    def pops(rewards, gamma):
        total = 0.0
        while rewards:
            total = rewards.pop() + gamma * total
        return total

    card = examine(load()["discounted_return"], pops)
    assert card.title == "it changes its input rewards"
    assert "list(rewards)" in card.sentences[0]
    assert "clone" not in card.sentences[0]


def test_no_advice_cuts_a_gradient():
    card = examine(
        load()["unroll"], lambda step, h0, states, start: [[0.0] * len(h0)] * len(states)
    )
    assert card.title == "it returns a list, not a tensor", card
    assert "torch.tensor" not in card.sentences[0]
    assert "gradient" in card.sentences[0]


def test_no_gamma_and_no_mean_where_there_is_none():
    card = examine(
        load()["entropy"], lambda components: 3 * load()["entropy"].reference(components)
    )
    assert card.title == "it is off by a factor of 3"
    assert "γ" not in str(card)
    assert "average" not in str(card)


def test_a_part_has_its_name_when_its_type_is_wrong():
    def sums(env, act, horizon):
        states, actions, rewards, terminated = plain.run_episode(env, act, horizon)
        return states, actions, sum(rewards) + 1, terminated

    def forgets(episodes):
        return load()["vectorize"].reference(episodes)[0][:1], None

    assert examine(load()["run_episode"], sums).title == "rewards is a number, not a list"
    assert examine(load()["vectorize"], forgets).title == "recurrent states is None"


@pytest.mark.slow
@pytest.mark.parametrize("exercise", load().values(), ids=lambda exercise: exercise.name)
def test_what_the_harness_does_is_not_seen(exercise):
    """No names of its own parts, and no guess at what it found: for answers of all kinds."""
    for answer in (
        lambda: 1,
        lambda *inputs: 1,
        lambda *inputs: (1, 2, 3, 4),
        lambda *inputs: [*inputs, *inputs],
        lambda *inputs: inputs[0].nothing,
    ):
        text = str(examine(exercise, answer))
        for word in ("_played", "_drawn", "_filled", "<locals>", "tuple and tuple"):
            assert word not in text, text
        assert "infinite" not in text


def test_title_and_evidence_are_of_one_case(table):
    """Wrong in long episodes only: the case that is shown is the shortest of these."""

    def answer(rewards, end, gamma):
        right = discounted(rewards, end, gamma)
        return right + 5 if len(rewards) > 8 else right

    card = examine(table, answer)
    assert card.title == "it is off by +5", card
    assert "made at random" in card.notes[0]
    (shown,) = (note for note in card.notes if "\n" in note)
    assert shown.count("False") + shown.count("True") == 9, shown  # the smallest that shows it


# ---------------------------------------------------------------------- all that can be said

# Said of another device than the CPU; where no finding has anything to say; of declared mistakes;
# and what no card says.
NOT_SHOWN = {"Make it where the inputs are.", "the result is on", "it does not do the same"}
NOT_SHOWN |= {"? It should be"}
NOT_SHOWN |= {findings.UNWRITTEN, *findings.PLAIN, *(said for said, _, _ in findings.MEANINGS)}


def sentences(module):
    """The texts of a module, and the parts of those with holes in them; but for docstrings."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""  # a docstring: the walk comes to its parts afterwards
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = [part.strip() for part in node.value.split("{}")]
            yield from (part for part in parts if part.count(" ") >= 2)


@pytest.mark.slow
def test_each_generic_sentence_is_on_the_page_of_cards():
    import generic  # which imports this file

    shown = "\n".join(map(str, generic.shown()))
    for module in (findings, patterns, diagnose, asif):
        missing = [s for s in sentences(module) if s not in shown and s not in NOT_SHOWN]
        assert not [s for s in missing if "raise NotImplementedError" not in s], module


# ---------------------------------------------------------------------- generated inputs


def test_the_same_inputs_come_again():
    def made(case):
        return re.sub(r"0x[0-9a-f]+", "0x…", str(case.inputs()))

    for exercise in load().values():
        for case in exercise.generated()[:5]:
            assert made(case) == made(case), exercise.name


def test_a_draw_is_made_again_from_its_choices_and_shrinks_to_the_simplest():
    def make(choices):
        draw = Draw(choices=choices)
        return draw.floats(draw.size(1, 50)).numpy()

    draw = Draw(seed=5)
    first = draw.floats(draw.size(1, 50)).numpy()
    assert np.array_equal(make(draw.choices), first)
    smallest = shrink(make, draw.choices, lambda x: len(x) >= min(4, len(first)), seconds=5)
    assert len(smallest) == min(4, len(first))
    assert np.array_equal(smallest, smallest.round())  # whole numbers are simpler
