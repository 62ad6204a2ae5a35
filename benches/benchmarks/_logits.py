"""Rows of logits of the kinds that decoding meets."""

from __future__ import annotations

import numpy as np

from benches.benchmarks import _language

KINDS = ("gaussian", "raised", "peaked", "flat", "clustered", "sorted", "real")


def draw(kind: str, b: int, v: int) -> np.ndarray:
    """Logits of a kind, shape (b, v), float32.

    gaussian: of deviation 2; raised: 40 tokens 8 higher; peaked: one token 30 higher; flat: of deviation 1e-3;
    clustered: 200 neighbors 12 higher; sorted: ascending, as if by frequency; real: of a small language model.
    """
    if kind == "real":
        return _language.logits(v, b)
    rng = np.random.default_rng([b, v, KINDS.index(kind)])
    x = rng.standard_normal((b, v), np.float32) * np.float32(1e-3 if kind == "flat" else 2)
    if kind == "raised":
        np.put_along_axis(x, rng.integers(0, v, (b, 40)), rng.normal(8, 1, (b, 40)).astype(np.float32), 1)
    elif kind == "peaked":
        x[np.arange(b), rng.integers(0, v, b)] += 30
    elif kind == "clustered":
        start = rng.integers(0, max(v - 200, 1))
        x[:, start : start + 200] += 12
    elif kind == "sorted":
        x.sort()
    return x
