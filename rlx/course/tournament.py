"""A tournament of slime volleyball for a class: everyone against everyone, from both sides.

    save_net(policy, "nets/ada.npz", name="Ada")           # in each learner's notebook
    python -m rlx.course.tournament nets --games 100       # with all files in one folder

A net is a file of numbers, numpy's `.npz`. Reading one executes nothing in it: a file holds arrays,
their sizes are checked before they are read, and what is no net is named and skipped.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rlx import checkpoint, stats
from rlx.envs.selfplay import tournament
from rlx.envs.slimeplayers import SCRIPTED, Opponent, PolicyPlayer
from rlx.envs.slimevolley import action_space, observation_space
from rlx.networks import MLPPolicy

FORMAT = "rlx net 1"
LARGEST = 2_000_000  # bytes of a file, also unpacked: 700 units in each of two layers
DEEPEST = 9  # layers
WIDEST = 40  # characters of a name


def save_net(policy: MLPPolicy, path: str | Path, name: str) -> None:
    """Write the weights with which an `MLPPolicy` in the table of six chooses, and its name.

    Raises TypeError for another policy, OSError if it cannot be written. Ends the path in ".npz"
    if it does not."""
    fits = isinstance(policy, MLPPolicy) and not policy.memory
    if not fits or policy.action_space != action_space("discrete") or policy.activation != nn.Tanh:
        raise TypeError(
            f"a net is an rlx.networks.MLPPolicy in the table of six actions, with tanh, not this "
            f"{type(policy).__name__}"
        )
    path, buffer = Path(path), io.BytesIO()
    arrays = {}
    for k, layer in enumerate(_layers(policy)):
        arrays[f"weight{k}"] = layer.weight.detach().cpu().numpy().astype(np.float32)
        arrays[f"bias{k}"] = layer.bias.detach().cpu().numpy().astype(np.float32)
    np.savez(buffer, format=np.array(FORMAT), name=np.array(_tidy(name)), **arrays)
    checkpoint.write(path.with_suffix(".npz"), buffer.getbuffer())


def load_net(path: str | Path) -> tuple[str, MLPPolicy]:
    """The name and the policy in a file of `save_net`. The file may be a stranger's.

    Raises ValueError with the reason if it is no net, OSError if it cannot be read."""
    path = Path(path)
    arrays = _arrays(path)
    texts = [arrays.pop(key, np.array(0)) for key in ("format", "name")]
    if any(text.shape != () or text.dtype.kind != "U" for text in texts) or texts[0] != FORMAT:
        raise ValueError(f"it does not say that it is a net ({FORMAT})")
    depth, sizes = len(arrays) // 2, [observation_space().shape[0]]
    if set(arrays) != {f"{kind}{k}" for k in range(depth) for kind in ("weight", "bias")}:
        raise ValueError("its layers are not complete")
    for k in range(depth):
        weight, bias = arrays[f"weight{k}"], arrays[f"bias{k}"]
        if weight.ndim != 2 or weight.shape[1] != sizes[-1] or bias.shape != weight.shape[:1]:
            raise ValueError(f"layer {k} has {weight.shape} weights and {bias.shape} biases: it "
                             f"does not fit {sizes[-1]} inputs")  # fmt: skip
        if not all(a.dtype == np.float32 and np.isfinite(a).all() for a in (weight, bias)):
            raise ValueError(f"layer {k} holds something that is no float32 number, or infinite")
        sizes.append(len(weight))
    if depth < 2 or sizes[-1] != 6:
        raise ValueError(f"{depth} layers that end in {sizes[-1]} actions; 2 and 6 are expected")
    policy = MLPPolicy(
        observation_space(), action_space("discrete"), hidden=tuple(sizes[1:-1]), value=False
    ).requires_grad_(False)
    for k, layer in enumerate(_layers(policy)):
        layer.weight.copy_(torch.from_numpy(arrays[f"weight{k}"].copy()))
        layer.bias.copy_(torch.from_numpy(arrays[f"bias{k}"].copy()))
    return _tidy(str(texts[1])) or path.stem[:WIDEST], policy


def _layers(policy: MLPPolicy) -> list[nn.Linear]:
    return [module for module in policy.actor.modules() if isinstance(module, nn.Linear)]


def _tidy(name: str) -> str:
    """What can be printed of it: a file's name must not move a cursor or fill a screen."""
    return "".join(c for c in " ".join(name.split()) if c.isprintable())[:WIDEST].strip()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in the file: no pickles, and LARGEST bytes at most, however they are packed."""
    if not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no file, or points to none")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    try:
        with zipfile.ZipFile(path) as packed:
            entries = packed.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if len(entries) > 2 * DEEPEST + 2 or unpacked > LARGEST:
                raise ValueError(f"it unpacks to {unpacked:,} bytes in {len(entries)} parts")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("it is compressed, and save_net does not compress")
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError) as error:
        raise ValueError(str(error).partition("\n")[0] or "it cannot be read") from error
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(f"it is no .npz file, or damaged ({type(error).__name__})") from error


def load_nets(folder: str | Path) -> tuple[dict[str, PolicyPlayer], dict[str, str]]:
    """The nets of a folder by name, who play their most probable actions; and, by the name of the
    file, why a file was skipped. Of two nets of one name, the second goes by its file's, too."""
    players: dict[str, PolicyPlayer] = {}
    skipped: dict[str, str] = {}
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith(".") or path.is_dir():
            continue
        try:
            name, policy = load_net(path)
        except (OSError, ValueError) as error:
            skipped[_tidy(path.name)] = str(error)
            continue
        if name in players or name in SCRIPTED:
            name = f"{name} ({_tidy(path.name)})"
        players[name] = PolicyPlayer(policy, greedy=True)
    return players, skipped


@dataclass
class Standings:
    """How a tournament ended. `names` (K,), the best first; `points` (K, K), what each won from
    each, a draw counting half; `ratings` (K,), as `rlx.stats.elo_ratings` says; `games`, of each
    pair; `skipped`, why a file does not play."""

    names: list[str]
    points: np.ndarray
    ratings: np.ndarray
    games: int
    skipped: dict[str, str]

    @property
    def rates(self) -> np.ndarray:
        """The win rate of each against each, (K, K); 0.5 against oneself."""
        return self.points / self.games + 0.5 * np.eye(len(self.names))

    def __repr__(self) -> str:
        """A line for each: points a game over all games with its 95 % interval, Elo, and points a
        game against the next one below. If that interval holds 0.5, the order is not known."""
        rows = [("", "", "points a game", "Elo", "against the next below")]
        played = self.games * (len(self.names) - 1)
        for i, name in enumerate(self.names):
            cells = [str(i + 1), name, _share(self.points[i].sum(), played)]
            cells.append(f"{self.ratings[i]:+.0f}")
            last = i + 1 == len(self.names)
            cells.append("" if last else _share(self.points[i, i + 1], self.games))
            rows.append(tuple(cells))
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths)).rstrip() for row in rows]
        lines += [f"skipped {file}: {why}" for file, why in self.skipped.items()]
        return "\n".join(lines)


def _share(points: float, games: int) -> str:
    low, high = stats.wilson(points, games)
    return f"{points / games:.2f} [{low:.2f}, {high:.2f}]"


def play_tournament(
    nets: str | Path | Mapping[str, Opponent], games: int = 100, seed: int = 0
) -> Standings:
    """Everyone against everyone, `games` whole games a pair, half of them from each side.

    `nets` is a folder of files of `save_net`, or players by name. The games are those of the seed.
    Raises ValueError if fewer than two can play, or for an odd number of games."""
    players, skipped = (nets, {}) if isinstance(nets, Mapping) else load_nets(nets)
    if len(players) < 2:
        why = "".join(f"\nskipped {file}: {reason}" for file, reason in skipped.items())
        raise ValueError(f"a tournament needs two nets, and there are {len(players)}{why}")
    with torch.random.fork_rng(devices=[]):  # who samples must not depend on what ran before
        torch.manual_seed(seed)
        points, ratings = tournament(players, games, seed)
    ratings = np.array(list(ratings.values()))
    order = np.argsort(-ratings, kind="stable")
    names = [list(players)[k] for k in order]
    return Standings(names, points[np.ix_(order, order)], ratings[order], games, skipped)


def main(arguments: list[str] | None = None) -> int:
    command = argparse.ArgumentParser(
        prog="python -m rlx.course.tournament",
        description="Everyone's nets against everyone's: a table with intervals.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("folder", type=Path, help="with a file of save_net for each player")
    command.add_argument("--games", type=int, default=100, help="of each pair, an even number")
    command.add_argument("--seed", type=int, default=0, help="of the serves")
    command.add_argument(
        "--with", dest="scripted", nargs="*", default=[], choices=SCRIPTED, metavar="NAME",
        help=f"scripted players who play, too: {', '.join(SCRIPTED)}",
    )  # fmt: skip
    args = command.parse_args(arguments)
    try:
        players, skipped = load_nets(args.folder)
        for file, why in skipped.items():
            print(f"skipped {file}: {why}", file=sys.stderr)
        table = play_tournament({**players, **{n: n for n in args.scripted}}, args.games, args.seed)
    except (OSError, ValueError) as error:
        command.error(str(error))
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
