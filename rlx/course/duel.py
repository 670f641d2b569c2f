"""`duel("follower")`: slime volleyball in the notebook, you against whoever is named."""

from __future__ import annotations

import hashlib
import html
import json
from string import Template

import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlx.course.watch import asset
from rlx.envs.slimeplayers import SCRIPTED
from rlx.networks import MLPPolicy
from rlx.policy import Parametric

TABLE = spaces.Discrete(6)


class Duel:
    """A game in the page, by keyboard: ← → move, ↑ or the space bar jumps. You are on the right.

    `opponent` is a scripted player ("still", "random", "follower"), or a feed-forward policy for
    the table of six, `rlx.networks.MLPPolicy`, which plays its most probable actions. It plays as
    it is now: its weights go into the page, as numbers, under `name`. The game is that of
    `rlx.envs.slimegame`, played by the page itself, thirty steps a second, whatever the kernel does
    meanwhile.

    Raises ValueError for another name, TypeError for another policy."""

    def __init__(self, opponent: str | Parametric = "follower", name: str | None = None) -> None:
        self.layers = None
        if not isinstance(opponent, str):
            self.layers = weights_of(opponent)
            opponent = name or "the net"
        elif opponent not in SCRIPTED:
            raise ValueError(
                f"there is no player {opponent!r}; the scripted ones are {', '.join(SCRIPTED)}"
            )
        self.opponent = name or opponent

    def __repr__(self) -> str:
        return f"<you against {self.opponent}: click, then play with ← → ↑>"

    def _repr_html_(self) -> str:
        player = "net" if self.layers else self.opponent
        data = json.dumps({"opponent": self.opponent, "player": player, "layers": self.layers})
        return Template(asset("duel.html")).substitute(
            name=hashlib.sha1(data.encode()).hexdigest()[:12],
            title=html.escape(f"Slime volleyball: you against {self.opponent}"),
            script=asset("duel.js"),
            data=data,
        )


def weights_of(policy: Parametric) -> list[list]:
    """Weights and biases of each layer, as lists of numbers."""
    if not isinstance(policy, MLPPolicy) or policy.memory or policy.action_space != TABLE:
        raise TypeError(
            f"a page can play rlx.networks.MLPPolicy in the table of six actions, not this "
            f"{type(policy).__name__}; rlx.envs.selfplay.match plays any policy"
        )
    layers = [module for module in policy.actor.modules() if isinstance(module, nn.Linear)]
    return [[_rounded(layer.weight), _rounded(layer.bias)] for layer in layers]


def _rounded(tensor: Tensor) -> list:
    """Seven digits: all that a float32 has."""
    numbers = [float(f"{number:.7g}") for number in tensor.detach().flatten().tolist()]
    rows = torch.tensor(numbers, dtype=torch.float64).view(tensor.shape)
    return rows.tolist()
