"""How an exercise is declared: its reference, the inputs it is tried on, and the mistakes it names.

One file declares it (CONTRIBUTING.md has a worked example); importing the file is enough. Those of
the course are the modules of `rlx.course.exercises`.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rlx import functional, runs
from rlx.course.generate import Draw
from rlx.play.checks import did_you_mean
from rlx.seeding import undisturbed

GENERATED = 60  # cases of an exercise

EXERCISES: dict[str, Exercise] = {}  # every exercise that has been declared, by name


class Mistake:
    """A wrong answer: a `name`, `why` it is wrong and where to look, and a `coding` of it.

    A mistake is known by what it does on the exercise's cases, not by how it is written."""

    def __init__(self, name: str, why: str, coding: Callable) -> None:
        self.name, self.why, self.coding = name, why, coding


class Case:
    """Inputs to try an answer on: `words` that describe them, and a function that makes them."""

    def __init__(
        self, words: str, inputs: Callable[[], tuple], choices: Sequence[int] | None = None
    ) -> None:
        self.words, self.inputs = words, inputs
        self.choices = choices  # what a generated case was made from


class Exercise:
    """One small function or class that the library uses, for the learner to write.

    `name`: the function's, and what `check`, `hint` and `swap` know it by. `chapter`: "05".
    `reference`: the right answer, written as plainly as a learner would.
    `target`: where the library looks the answer up, "rlx.functional.gae"; `swap` puts the learner's
    there. `adapt` makes of an answer what fits there, if it does not fit as it is. None: the
    library has no use for it.
    `hints`: three, from a nudge to nearly the answer.
    `call(answer, *inputs)`: what an answer is asked to do with a case's inputs, and what is
    compared: its result. By default `answer(*inputs)`. It may raise `Wrong`. Cards call the inputs
    as it calls them.
    `results`: names of the parts of a result that is a tuple, or a pair of them.
    `train()`: a training run of a second, in which the answer matters; returns the parameters.
    `fit` below makes most of one. It is called with seeded random numbers.
    `also`: after a right answer, one other way to do it, and when that is worth knowing.
    `time_limit`: seconds for all cases of one check together.
    `count`: how many cases are generated; fewer where a right answer may take long.
    `optional`: a harder question, worth no points; `harder` below declares one.

    Then `@exercise.case("what they are")` on functions that return a tuple of inputs, new ones each
    time: a few, with numbers that explain. `@exercise.inputs` on a function that draws inputs from
    a `Draw`: anything that an answer has to stand. `@exercise.mistake("its name", "Why it is
    wrong.")` on wrong answers; with pairs of texts it makes the wrong answer itself, by replacing
    the one by the other in the source of the reference.

    Compared are the result, types and dtypes included, gradients where an input requires them, and
    inputs changed in place. Before each call the random number generators are seeded.
    """

    def __init__(
        self,
        name: str,
        *,
        chapter: str,
        reference: Callable,
        hints: tuple[str, str, str],
        target: str | None = None,
        adapt: Callable[[Callable], Any] = lambda answer: answer,
        call: Callable | None = None,
        results: tuple[str, ...] = (),
        train: Callable[[], Tensor] | None = None,
        also: str = "",
        time_limit: float = 10.0,
        count: int = GENERATED,
        optional: bool = False,
    ) -> None:
        self.name, self.chapter, self.reference, self.hints = name, chapter, reference, hints
        self.target, self.adapt, self.also = target, adapt, also
        self.call = call or (lambda answer, *inputs: answer(*inputs))
        self.results = results
        self.train = seeded(train or brief_training)
        self.time_limit, self.count, self.optional = time_limit, count, optional
        self.cases: list[Case] = []
        self.mistakes: list[Mistake] = []
        # What a case's inputs are called: as `call` calls them, if it does something with them.
        self.arguments = list(inspect.signature(call).parameters)[1:] if call else []
        if not call or "inputs" in self.arguments:
            self.arguments = list(inspect.signature(reference).parameters)
        self.generator: Callable[[Draw], tuple] | None = None
        self.library = self._library()
        EXERCISES[name] = self

    def _library(self) -> str:
        """The library's version, now: later a learner's may stand in its place. What is a page of
        something else there is shown in its plain form."""
        if self.target and len(text := source(pkgutil.resolve_name(self.target))) < 1200:
            return text
        return source(self.reference)

    def case(self, words: str, inputs: Callable[[], tuple] | None = None) -> Any:
        """A function that makes the inputs, new ones each time; or the decorator of one."""
        if inputs is None:
            return lambda inputs: self.case(words, inputs)
        self.cases.append(Case(words, inputs))
        return self.cases[-1]

    def harder(
        self,
        name: str,
        reference: Callable,
        hints: tuple[str, str, str],
        patches: str,
        call: Callable | None = None,
        inputs: Callable[[Draw], tuple] | None = None,
        also: str = "",
    ) -> Exercise:
        """An optional question about this exercise's cases, with mistakes as `patches`.

        `call` and `inputs` if this exercise's own cannot serve for both."""
        question = Exercise(
            name,
            chapter=self.chapter,
            reference=reference,
            hints=hints,
            call=call or self.call,
            time_limit=self.time_limit,
            also=also,
            optional=True,
        )
        question.cases, question.generator = self.cases, inputs or self.generator
        question.arguments = self.arguments
        question.patches(patches)
        return question

    def inputs(self, generator: Callable[[Draw], tuple]) -> Callable[[Draw], tuple]:
        """Decorates the contract of the inputs: a function that draws them."""
        self.generator = generator
        return generator

    def generated(self, seed: int = 0, count: int | None = None) -> list[Case]:
        """So many cases (`self.count` of them), small and tame ones first."""
        if self.generator is None:
            return []
        count = count or self.count
        cases = []
        for k in range(count):
            draw = Draw(seed=seed * 1_000_003 + k, scale=k / count)
            self.generator(draw)
            cases.append(self.made_from(draw.choices))
        return cases

    def made_from(self, choices: Sequence[int]) -> Case:
        """The generated case that these choices make."""
        return Case("inputs made at random", lambda: self.generator(Draw(choices=choices)), choices)

    def patches(self, text: str) -> None:
        """Mistakes, each a small patch of the reference's source. An empty line between two:

            the name, which completes "it seems that …"
                Why it is wrong, and where to look.
                - a text of the reference
                + what stands in its place

        Several lines of one kind are one text. A mistake may have more than one pair."""
        for block in re.split(r"\n\s*\n(?=\S)", textwrap.dedent(text).strip()):
            name, *lines = block.split("\n")
            lines = [line.removeprefix("    ") for line in lines]
            why = " ".join(line for line in lines if not line.startswith(("- ", "+")))
            pairs: list[tuple[list, list]] = []
            for line in lines:
                if line.startswith("- "):
                    if not pairs or pairs[-1][1]:
                        pairs.append(([], []))
                    pairs[-1][0].append(line[2:])
                elif line.startswith("+"):
                    pairs[-1][1].append(line[2:])
            self.mistake(name, why, *(("\n".join(old), "\n".join(new)) for old, new in pairs))

    def mistake(self, name: str, why: str, *replaced: tuple[str, str]) -> Any:
        """Decorates a wrong answer, or makes it. `name` completes "it seems that …": a clause."""
        if replaced:
            self.mistakes.append(Mistake(name, why, edited(self.reference, *replaced)))
            return self.mistakes[-1]

        def declare(coding: Callable) -> Mistake:
            self.mistakes.append(Mistake(name, why, coding))
            return self.mistakes[-1]

        return declare


class Wrong(Exception):
    """What `call` raises to say itself what is wrong with an answer: a title and a sentence."""

    def __init__(self, title: str, sentence: str) -> None:
        super().__init__(title)
        self.title, self.sentence = title, sentence


def edited(function: Callable, *replaced: tuple[str, str]) -> Callable:
    """The function (or class) with one text in place of another, in its source.

    Raises ValueError if a text is not there: a mistake has to follow its reference."""
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in replaced:
        if old not in source:
            raise ValueError(f"the source of {function.__name__} has no {old!r} to replace")
        source = source.replace(old, new)
    made: dict[str, Any] = {}
    code = compile(source, f"<a mistake in {function.__name__}>", "exec")
    exec(code, vars(sys.modules[function.__module__]), made)
    return made[function.__name__]


def source(thing: Any) -> str:
    """Its source, or nothing if there is none to be found."""
    try:
        return textwrap.dedent(inspect.getsource(thing)).strip()
    except (OSError, TypeError):
        return ""


def load() -> dict[str, Exercise]:
    """All exercises, those of the course included, and what a seed changes in them."""
    package = importlib.import_module("rlx.course.exercises")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    importlib.import_module("rlx.course.years")
    return EXERCISES


def find(name: str) -> Exercise:
    """The exercise of that name. Raises LookupError that names the nearest."""
    if name in EXERCISES:
        return EXERCISES[name]
    raise LookupError(f"there is no exercise called {name!r}; {did_you_mean(name, EXERCISES)}")


def asked(answer: Callable, name: str | None = None) -> Exercise:
    """The exercise that an answer is to: `name`, or the one with the answer's own.

    Raises TypeError if it is not a function or a class, LookupError as `find` does."""
    load()
    if not callable(answer):
        raise TypeError(
            f"check(…) takes the function itself, not what it returns (a {type(answer).__name__}): "
            "check(discounted_return), without calling it"
        )
    return find((name or getattr(answer, "__name__", "")).removeprefix("my_"))


@contextlib.contextmanager
def swap(**answers: Callable) -> Iterator[None]:
    """Let the library use your functions: `with swap(discounted_returns=mine): rlx.train(…)`.

    A name is that of an exercise, or of a function in `rlx.functional`. On leaving, the library's
    own are back. A wrong function is not refused: see what it does."""
    load()
    with contextlib.ExitStack() as undo:
        for name, answer in answers.items():
            if name not in EXERCISES and hasattr(functional, name):
                target, adapted = f"rlx.functional.{name}", answer
            else:
                target, adapted = find(name).target, find(name).adapt(answer)
                if target is None:
                    raise LookupError(f"the library has nothing that {name!r} could stand in for")
            owner, _, attribute = target.rpartition(".")
            owner = pkgutil.resolve_name(owner)
            undo.callback(setattr, owner, attribute, vars(owner)[attribute])
            setattr(owner, attribute, adapted)
            runs.here_only.append(f"swap({name}=…)")
            undo.callback(runs.here_only.remove, f"swap({name}=…)")
        yield


def seeded(train: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The same, always with the same random numbers, and nobody else's are touched."""

    def run() -> Tensor:
        with undisturbed(0):
            return train()

    return run


def fit(
    policy: torch.nn.Module, loss: Callable[[], Tensor], updates: int = 3, lr: float = 0.01
) -> Tensor:
    """The policy's parameters after a few steps of Adam on `loss()`, for an exercise's `train`."""
    optimizer = torch.optim.Adam(policy.parameters(), lr)
    for _ in range(updates):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


def brief_training(env: str = "Reach-v0", updates: int = 3, **options: Any) -> Tensor:
    """The parameters after a few updates of REINFORCE, in which most answers take part."""
    import rlx

    options = {"batch_size": 4, "horizon": 10, "lr": 0.01, **options}
    agent = rlx.Agent(rlx.envs.make_vec(env, options["batch_size"]), seed=0)
    policy = rlx.networks.MLPPolicy(agent, hidden=(8,), value=False)
    algorithm = rlx.algos.REINFORCE(agent, policy, **options)
    for _ in range(updates):
        algorithm.update()
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
