"""How an exercise is declared: its reference, the inputs it is tried on, and the mistakes it names.

One file declares it (CONTRIBUTING.md has a worked example); importing the file is enough. Those of
the course are the modules of `rlx.course.exercises`.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from rlx import functional, runs

EXERCISES: dict[str, Exercise] = {}  # every exercise that has been declared, by name


class Mistake:
    """A wrong answer: a `name`, `why` it is wrong and where to look, and codings of it.

    All codings behave alike on the exercise's cases. `again` adds one, a loop beside an expression
    on whole columns, say: a mistake is known by what it does, not by how it is written."""

    def __init__(self, name: str, why: str, coding: Callable) -> None:
        self.name, self.why, self.codings = name, why, [coding]

    def again(self, coding: Callable) -> Callable:
        self.codings.append(coding)
        return coding


class Case:
    """Inputs to try an answer on: `words` that describe them, and a function that makes them."""

    def __init__(self, words: str, inputs: Callable[[], tuple]) -> None:
        self.words, self.inputs = words, inputs


class Exercise:
    """One small function or class that the library uses, for the learner to write.

    `name`: the function's, and what `check`, `hint` and `swap` know it by. `chapter`: "05".
    `reference`: the right answer, the library's own where there is one.
    `target`: where the library looks the answer up, "rlx.functional.gae"; `swap` puts the learner's
    there. `adapt` makes of an answer what fits there, if it does not fit as it is.
    `hints`: three, from a nudge to nearly the answer.
    `call(answer, *inputs)`: what an answer is asked to do with a case's inputs, and what is
    compared: its result. By default `answer(*inputs)`.
    `train()`: a training run of a second, in which the answer matters; returns the parameters.
    `time_limit`: seconds for all cases of one check together.

    Then `@exercise.case("what they are")` on functions that return a tuple of inputs, new ones each
    time, and `@exercise.mistake("its name", "Why it is wrong.")` on wrong answers.

    Gradients are compared where an input requires them, and so are inputs changed in place.
    Before each call the random number generators are seeded.
    """

    def __init__(
        self,
        name: str,
        *,
        chapter: str,
        reference: Callable,
        target: str,
        hints: tuple[str, str, str],
        adapt: Callable[[Callable], Any] = lambda answer: answer,
        call: Callable | None = None,
        train: Callable[[], Tensor] | None = None,
        time_limit: float = 10.0,
    ) -> None:
        self.name, self.chapter, self.reference, self.hints = name, chapter, reference, hints
        self.target, self.adapt = target, adapt
        self.call = call or (lambda answer, *inputs: answer(*inputs))
        self.train = train or brief_training
        self.time_limit = time_limit
        self.cases: list[Case] = []
        self.mistakes: list[Mistake] = []
        self.arguments = list(inspect.signature(reference).parameters)
        EXERCISES[name] = self

    def case(self, words: str) -> Callable:
        """Decorates a function that makes the inputs."""

        def declare(inputs: Callable[[], tuple]) -> Case:
            self.cases.append(Case(words, inputs))
            return self.cases[-1]

        return declare

    def mistake(self, name: str, why: str) -> Callable[[Callable], Mistake]:
        """Decorates a wrong answer. `name` completes "it seems that …": a short clause."""

        def declare(coding: Callable) -> Mistake:
            self.mistakes.append(Mistake(name, why, coding))
            return self.mistakes[-1]

        return declare


def load() -> dict[str, Exercise]:
    """All exercises, those of the course included."""
    package = importlib.import_module("rlx.course.exercises")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    return EXERCISES


def find(name: str) -> Exercise:
    """The exercise of that name. Raises LookupError that names the nearest."""
    if name in EXERCISES:
        return EXERCISES[name]
    near = difflib.get_close_matches(name, EXERCISES)
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(EXERCISES)}"
    raise LookupError(f"there is no exercise called {name!r}; {advice}")


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
            owner, _, attribute = target.rpartition(".")
            owner = pkgutil.resolve_name(owner)
            undo.callback(setattr, owner, attribute, vars(owner)[attribute])
            setattr(owner, attribute, adapted)
            runs.here_only.append(f"swap({name}=…)")
            undo.callback(runs.here_only.remove, f"swap({name}=…)")
        yield


def brief_training(env: str = "Reach-v0", updates: int = 3, **options: Any) -> Tensor:
    """The parameters after a few updates of REINFORCE, in which most answers take part."""
    import rlx

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        options = {"batch_size": 4, "horizon": 10, "lr": 0.01, **options}
        agent = rlx.Agent(rlx.envs.make_vec(env, options["batch_size"]), seed=0)
        policy = rlx.networks.MLPPolicy(
            agent.observation_space, agent.action_space, hidden=(8,), value=False
        )
        algorithm = rlx.algos.REINFORCE(agent, policy, **options)
        for _ in range(updates):
            algorithm.update()
        return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
