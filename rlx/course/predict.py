"""A guess before an experiment, and what came out beside it after it."""

from __future__ import annotations

from collections.abc import Sequence

from rlx.bars import shell
from rlx.course.card import Card, code, show
from rlx.course.picture import WIDGET, asleep
from rlx.course.progress import judge, keep, kept

# Answers may be sentences, not labels: they may take more than one line.
STYLE = """<style>.rlx-choices .jupyter-button {
height: auto; min-height: 30px; line-height: 1.4; padding: 4px 12px; text-align: left;
white-space: normal; color: var(--jp-ui-font-color0)}</style>"""


class Guess:
    """A question, the answers to choose from, and the one that the learner chose, or None.

    `predict` makes it. After the experiment, `came_out` says what the answer is."""

    def __init__(self, question: str, choices: Sequence[str]) -> None:
        choices = (choices,) if isinstance(choices, str) else tuple(choices)
        if len(choices) < 2 or len(set(choices)) < len(choices):
            raise ValueError(f"predict needs two different answers or more, not {choices}")
        self.question, self.choices, self.place = question, choices, None
        before = kept(question)
        self.answer = before if before in choices else None  # its wording may have changed since
        self.trouble: list[str] = []

    def choose(self, answer: str) -> None:
        """Answer, or think again; the learner's folder keeps it under the question."""
        self.answer = self.known(answer)
        self.trouble = keep(self.question, answer)
        if self.place is not None:
            self.mark()
            self.place.update(self.below(), raw=True)

    def came_out(self, answer: str, why: str = "") -> None:
        """Display what was predicted, and that `answer` came out; `why` in a sentence or two.

        A ValueError if it is not one of the choices. Without a prediction, as in a run by the
        tests, it says so."""
        self.known(answer)
        judge(self.question, answer)
        if self.answer == answer:
            title, said = f"as you predicted, {answer}", []
        elif self.answer is None:
            title, said = answer, ["Not predicted."]
        else:
            title, said = answer, [f"You predicted: {self.answer}."]
        kind = "foreseen" if self.answer == answer else "outcome"
        show(Card("It came out", title, [self.question, *said, *([why] if why else [])], kind=kind))

    def known(self, answer: str) -> str:
        if answer not in self.choices:
            among = ", ".join(map(repr, self.choices))
            raise ValueError(
                f"{answer!r} is not an answer to {self.question!r}: choose among {among}"
            )
        return answer

    # What a notebook shows: the question, a button for each answer, and a line below them that
    # stays when the buttons have no kernel any more.

    def _ipython_display_(self) -> None:
        import ipywidgets as widgets
        from IPython.display import display

        self.buttons = [widgets.Button(layout=widgets.Layout(width="auto")) for _ in self.choices]
        for button, choice in zip(self.buttons, self.choices):
            button.on_click(lambda _, choice=choice: self.choose(choice))
        self.mark()
        layout = widgets.Layout(max_width="720px", align_items="flex-start")
        self.box = widgets.VBox(self.buttons, layout=layout)
        self.box.add_class("rlx-choices")
        text = f'<p style="margin: 4px 0"><b>{code(self.question)}</b></p>{STYLE}'
        display({"text/html": text, "text/plain": f"Predict: {self.question}"}, raw=True)
        view = self.box._repr_mimebundle_()[WIDGET]
        display({WIDGET: view, "text/plain": f"[buttons: {' | '.join(self.choices)}]"}, raw=True)
        self.place = display(self.below(), raw=True, display_id=True)

    def mark(self) -> None:
        """Show which button is chosen, by a sign and not by colour alone."""
        for button, choice in zip(self.buttons, self.choices):
            chosen = choice == self.answer
            button.description = ("✓ " if chosen else "") + choice.replace("`", "")
            button.style.font_weight = "bold" if chosen else ""

    def below(self) -> dict[str, str]:
        """The bundle beneath the buttons."""
        answered = f"You predict: {self.answer}." if self.answer else "Not predicted yet."
        items = "".join(f"<li>{code(choice)}</li>" for choice in self.choices)
        again = "predict again" if self.answer else "predict"
        said = [answered, *self.trouble]
        text = "".join(f'<p style="margin: 4px 0">{code(sentence)}</p>' for sentence in said)
        text = (
            f'<ul class="rlx-asleep" style="margin: 4px 0">{items}</ul>{text}'
            f"{asleep(f'To {again}, run this cell (Shift+Enter).')}"
        )
        return {"text/html": text, "text/plain": " ".join(said)}


def predict(question: str, choices: Sequence[str]) -> Guess:
    """Ask before an experiment; the buttons keep the answer, and `came_out` shows it after it.

        guess = predict("Which policy remembers?", ("the first", "the second", "neither"))
        guess.came_out("the second", "It has a recurrent state.")

    `choices` are two answers or more, each a few words. The last answer to the same question is
    kept in the learner's folder, and marked. Outside of a notebook the question is printed."""
    guess = Guess(question, choices)
    if shell() is None:
        print(f"Predict: {question} ({' | '.join(guess.choices)})")
    else:
        guess._ipython_display_()
    return guess
