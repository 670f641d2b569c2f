"""What an exercise asks for is not to be had from the library while an answer to it is tried.

`install()` puts another code into each function that an exercise asks for. It passes calls on,
until `refusing(name)`: then only the library's own calls go through, and all others raise
`Borrowed`. No profiler is needed, so an answer that turns it off, or calls from another thread,
gets nothing either; and whoever makes a function of the code finds this one.

In Python nothing is out of reach for good: code that looks for the original function in this
module's memory finds it, and the library's text can be copied, here as at home.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import pkgutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from rlx.course.exercise import Exercise
from rlx.course.words import LIBRARIES

LIBRARY = str(Path(__file__).parents[1])
COURSE = str(Path(__file__).parent)  # calls answers: not a caller of the library's own
MAY_CALL = {"baselined_loss"}  # its target: the loss of the chapter before, which it is a use of


class Borrowed(BaseException):
    """The answer called what was to be written. Not an Exception: it is not to be swallowed."""


def functions(thing: object, inherited: bool = False) -> Iterator[types.FunctionType]:
    """The Python functions behind a callable: of a partial, below decorators, of a class."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    thing = getattr(thing, "__func__", thing)
    if isinstance(thing, type):
        for kind in thing.__mro__ if inherited else [thing]:
            for part in vars(kind).values():
                if isinstance(part, types.FunctionType):
                    yield inspect.unwrap(part)
    elif isinstance(thing := inspect.unwrap(thing), types.FunctionType):
        yield thing


def asked_for(exercise: Exercise) -> Iterator[tuple[str, types.FunctionType]]:
    """What is asked for, as the library has it, with its name."""
    target = None if exercise.name in MAY_CALL else exercise.target
    for name in filter(None, [target, exercise.reference]):
        thing = pkgutil.resolve_name(name) if isinstance(name, str) else name
        if isinstance(thing, type) and not isinstance(exercise.reference, type):
            continue  # a class that the answer makes one of
        for function in functions(thing):
            yield name if isinstance(name, str) else "the course's own answer", function


def install(exercises: dict[str, Exercise]) -> None:
    """In the process of a submission, before anything of it has run."""
    guarded = {
        id(function): (name, function)
        for exercise in exercises.values()
        for name, function in asked_for(exercise)
        if not function.__code__.co_freevars  # a code is only replaced by one with as many
    }
    for name, function in guarded.values():
        _install(name, function)


def _install(name: str, function: types.FunctionType) -> None:
    original = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )
    original.__kwdefaults__ = function.__kwdefaults__

    def call(*inputs, **named):
        if id(function) in _refused and not _by_the_library(sys._getframe(2)):
            asked.append(name)
            raise Borrowed(name)
        return original(*inputs, **named)

    def code(*inputs, **named):
        here = 7919  # the place of `call` among the constants
        return here(*inputs, **named)

    made = code.__code__
    constants = tuple(call if one == 7919 else one for one in made.co_consts)
    function.__code__ = made.replace(co_consts=constants, co_name=original.__name__)


_refused: set[int] = set()
asked: list[str] = []  # what was called in spite of it


@contextlib.contextmanager
def refusing(exercise: Exercise) -> Iterator[list[str]]:
    """Within this block; yields the names of what was called, as it is called."""
    asked.clear()
    _refused.update(id(function) for _, function in asked_for(exercise))
    try:
        yield asked
    finally:
        _refused.clear()


def _by_the_library(frame: types.FrameType | None) -> bool:
    """Is it the library that calls, perhaps through torch or Python? A code can say that it is from
    any file, so it has to be in there."""
    while frame and frame.f_code in _codes(path := frame.f_code.co_filename):
        if path.startswith(COURSE):
            return False
        if path.startswith(LIBRARY):
            return True
        if not path.startswith(LIBRARIES) and "site-packages" not in path:
            return False
        frame = frame.f_back
    return False


@functools.cache
def _codes(path: str) -> frozenset[types.CodeType]:
    """All codes that a file holds: a name of a file is soon forged, its text is not."""

    def within(code: types.CodeType) -> Iterator[types.CodeType]:
        yield code
        for one in code.co_consts:
            if isinstance(one, types.CodeType):
                yield from within(one)

    try:
        return frozenset(within(compile(Path(path).read_bytes(), path, "exec")))
    except (OSError, ValueError, SyntaxError):
        return frozenset()
