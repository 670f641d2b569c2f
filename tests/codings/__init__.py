"""Each declared mistake once more, written in another way: a check has to know it all the same."""

from collections import defaultdict

CODINGS = defaultdict(list)  # by the names of the exercise and of the mistake


def again(exercise, mistake):
    """Decorates another coding of that mistake."""

    def declare(coding):
        CODINGS[exercise, mistake].append(coding)
        return coding

    return declare
