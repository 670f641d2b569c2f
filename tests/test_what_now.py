"""docs/what_now.md: its script does what the page says."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def test_the_walk_is_best_with_a_few_steps():
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/what_now.md").read_text(), re.S)
    page = {}
    exec(script.partition("random = ")[0], page)
    walk, error, random = page["walk"], page["error"], np.random.default_rng(0)
    runs = [[walk(random) for _ in range(10)] for _ in range(30)]
    # The step sizes are the best of those that the script tries.
    best = {
        n: np.mean([error(n, s, run) for run in runs]) for n, s in ((1, 0.8), (4, 0.3), (64, 0.05))
    }
    assert {n: round(float(value), 2) for n, value in best.items()} == {1: 0.37, 4: 0.3, 64: 0.43}
