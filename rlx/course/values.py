"""What a result is made of: its parts, their numbers, and what flows back through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from rlx.rollout import Rollout


def canonical(value: Any) -> Any:
    """The same with lists of numbers as arrays: what is right or wrong apart from its type."""
    if isinstance(value, dict):
        return {key: canonical(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [canonical(part) for part in value]
        arrays = [numbers(part) for part in parts]
        plain = isinstance(value, list) and bool(parts)  # a tuple is several results, not one
        if plain and all(isinstance(part, (bool, np.bool_)) for part in value):
            return np.array(value)
        if plain and all(a is not None and a.shape == arrays[0].shape for a in arrays):
            return np.stack(arrays)
        return parts if parts or not isinstance(value, list) else np.zeros(0)
    return value


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers, tensors, arrays and words in a nested value, with their names."""
    if isinstance(value, dict):
        parts = {f"{name}.{key}" if name else str(key): part for key, part in value.items()}
    elif isinstance(value, (list, tuple)) and not _flat(value):
        parts = {f"{name}[{k}]": part for k, part in enumerate(value)}
    elif isinstance(value, Rollout):
        parts = {f"{name}.{key}": column for key, column in value.columns.items()}
        parts |= {f"{name}.lengths": value.lengths}
    elif isinstance(value, Distribution):
        # Not what it happens to hold: probabilities and logits say the same.
        held = ["probs"] if "probs" in value.arg_constraints else value.arg_constraints
        dot = f"{name}." if name else ""
        parts = {f"{dot}class": type(value).__name__}
        parts |= {f"{dot}{key}": getattr(value, key) for key in held}
    elif isinstance(value, torch.nn.Module):
        parts = {f"{name}.{key}": part for key, part in value.state_dict(keep_vars=True).items()}
    else:
        yield name, value
        return
    for key, part in parts.items():
        yield from leaves(part, key)


def _flat(value: list | tuple) -> bool:
    """A list of plain numbers, which is one leaf."""
    return bool(value) and all(isinstance(part, (bool, int, float)) for part in value)


def numbers(leaf: Any) -> np.ndarray | None:
    """A copy as float64; None if the leaf is not made of numbers."""
    if isinstance(leaf, Tensor):
        return leaf.detach().cpu().numpy().astype(np.float64)
    if isinstance(leaf, (bool, int, float, np.ndarray, np.generic)) or (
        isinstance(leaf, (list, tuple)) and _flat(leaf)
    ):
        try:
            return np.array(leaf, dtype=np.float64)
        except (ValueError, TypeError):
            return None
    return None


def equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    # Most are the same numbers, and ten times as soon said to be.
    return a.shape == b.shape and (bool((a == b).all()) or bool(close(a, b).all()))


def close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where numbers are equal, but for the rounding of float32 in sums of numbers this large."""
    finite = np.abs(a[np.isfinite(a)])
    scale = max(1.0, finite.max()) if finite.size else 1.0
    return np.isclose(a, b, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)


def derivatives(value: Any, named: list[tuple[str, Any]]) -> dict[str, np.ndarray | None]:
    """The gradient of a weighted sum of all results, with respect to each input that asks."""
    asking = {k: x for k, x in named if isinstance(x, Tensor) and x.requires_grad and x.is_leaf}
    results = [leaf for _, leaf in leaves(value) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if not asking or not results:
        return dict.fromkeys(asking)
    # Unequal weights: with equal ones, results in another order would have the same gradient.
    total = sum((x * torch.linspace(1, 2, x.numel()).view(x.shape)).sum() for x in results)
    found = torch.autograd.grad(total, list(asking.values()), allow_unused=True)
    return {
        name: None if g is None or not g.any() else numbers(g) for name, g in zip(asking, found)
    }
