"""Answers that are nearly the same, or the course's own: by their form, not names and layout."""

import ast
import difflib
import itertools
import re
import textwrap
from collections import defaultdict
from dataclasses import dataclass

LONG = 60  # parts of an answer: below, two people write the same by themselves
MOST = 2000  # parts of one that are compared
ALIKE = 0.95  # of the parts, in the same order


@dataclass
class Alike:
    """Students whose answers to these exercises are nearly the same, or to the letter."""

    students: tuple[str, ...]
    exercises: list[str]
    same: bool

    def order(self):
        """What is least likely by chance comes first."""
        return -len(self.exercises), not self.same, self.students


def parts(source):
    """An answer as a row of parts that do not depend on names, comments, docstrings and layout."""
    try:
        tree = ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return tuple(re.findall(r"\w+|\S", source)[:MOST])
    own: dict[str, str] = {}  # what the answer gives names to, in the order of appearance
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.setdefault(node.name, f"name{len(own)}")
            node.returns = None
            node.decorator_list = [] if isinstance(node, ast.ClassDef) else node.decorator_list
            if ast.get_docstring(node, clean=False) is not None:
                node.body = body[1:]
        elif isinstance(node, ast.arg):
            own.setdefault(node.arg, f"name{len(own)}")
            node.annotation = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.setdefault(node.id, f"name{len(own)}")

    def walk(node):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, ast.AST):
                    if not isinstance(one, ast.expr_context):
                        yield from walk(one)
                elif one is not None and name not in ("type_comment", "kind"):
                    yield own.get(one, one) if isinstance(one, str) else repr(one)

    try:
        return tuple(itertools.islice(walk(tree), MOST))
    except RecursionError:
        return tuple(re.findall(r"\w+|\S", source)[:MOST])


def functions(source):
    """The forms of an answer, and of each function and class in it, one within another too."""
    yield parts(source)
    try:
        found = [
            ast.unparse(node)
            for node in ast.walk(ast.parse(textwrap.dedent(source)))
            if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found = []
    yield from map(parts, found)


def same_as(students, exercises, solutions):
    """For each exercise, who has the text of the library's or the course's own answer in theirs."""
    found = {}
    for name in exercises:
        own = {parts(text) for text in solutions.get(name, []) if text}
        found[name] = [
            student.name
            for student in students
            if own & set(functions(student.answers.get(name, "")))
        ]
    return found


def nearly(a, b):
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return (
        matcher.real_quick_ratio() >= ALIKE
        and matcher.quick_ratio() >= ALIKE
        and matcher.ratio() >= ALIKE
    )


def compare(students, exercises, stubs, solutions):
    """Groups with nearly the same long answers, answers that many gave, who gave the course's."""
    limit = max(3, len(students) // 5)
    groups, common, official = defaultdict(list), defaultdict(list), {}
    for name in exercises:
        forms = defaultdict(list)  # students by the form of their answer
        for student in students:
            form = parts(student.answers.get(name, ""))
            if len(form) >= LONG and form != parts(stubs.get(name, "")):
                forms[form].append(student)
        own = {parts(text) for text in solutions.get(name, [])}
        official[name] = sorted(s.name for form in forms.keys() & own for s in forms.pop(form))
        for form in [form for form, some in forms.items() if len(some) > limit]:
            common[name].append([student.name for student in forms.pop(form)])
        for some in together(forms):
            same = len({" ".join(one.answers[name].split()) for one in some}) == 1
            groups[tuple(one.name for one in some)].append((name, same))
    found = [
        Alike(names, [name for name, _ in some], all(same for _, same in some))
        for names, some in groups.items()
    ]
    return sorted(found, key=Alike.order), common, official


def together(forms):
    """Lists of two students and more, where each has nearly the form of another one."""
    left = dict(forms)
    while left:
        form, some = left.popitem()
        waiting = [form]
        while waiting:
            form = waiting.pop()
            for other in [other for other in left if nearly(form, other)]:
                some = some + left.pop(other)
                waiting.append(other)
        if len(some) > 1:
            yield sorted(some, key=lambda one: one.name)
