"""One short file an algorithm; its `update()` reads like its chapter."""

from rlx.algos.base import Algorithm
from rlx.algos.reinforce import REINFORCE

__all__ = ["REINFORCE", "Algorithm"]
