"""Each declared mistake once more, written in another way: a check has to know it all the same."""

import importlib
import pkgutil
from collections import defaultdict

CODINGS = defaultdict(list)  # by the names of the exercise and of the mistake


def again(exercise, mistake):
    """Decorates another coding of that mistake."""

    def declare(coding):
        CODINGS[exercise, mistake].append(coding)
        return coding

    return declare


for _module in pkgutil.iter_modules(__path__):  # one a chapter; each needs `again`
    importlib.import_module(f"{__name__}.{_module.name}")
