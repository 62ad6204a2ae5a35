"""What stands beside every time: potentials, computed in one way for everybody, and their ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK = 8_192


def potential(x: np.ndarray, centers: np.ndarray) -> float:
    """Return the sum of squared distances to the nearest centre, by blocked matrix products, summed in float64."""
    centers = np.ascontiguousarray(centers, dtype=x.dtype)
    # Around the mean the products lose fewer digits.
    shift = x[:: max(1, len(x) // 10_000)].mean(axis=0)
    centers = centers - shift
    half = 0.5 * np.square(centers).sum(axis=1)
    total = 0.0
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK] - shift
        nearest = half[None] - rows @ centers.T
        squared = np.square(rows).sum(axis=1) + 2 * nearest.min(axis=1)
        total += float(np.maximum(squared, 0).sum(dtype=np.float64))
    return total


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Return the ratio of the two means and its standard error (nan for single values)."""
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    value = a.mean() / b.mean()
    if min(len(a), len(b)) < 2:
        return float(value), float("nan")
    relative = [v.var(ddof=1) / len(v) / v.mean() ** 2 for v in (a, b)]
    return float(value), float(value * np.sqrt(sum(relative)))
