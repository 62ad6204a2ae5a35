"""Rows of logits of the kinds that decoding meets."""

import numpy as np

KINDS = ("gaussian", "raised", "peaked", "flat", "equal", "ties", "clustered", "ascending", "descending", "masked")


def draw(kind, shape, seed=0):
    """Logits of a kind, float32."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    x = 2 * rng.normal(size=shape)
    v = shape[-1]
    if kind == "raised":
        x[..., rng.choice(v, min(40, v), replace=False)] += 8
    elif kind == "peaked":
        x[..., rng.integers(v)] += 30
    elif kind == "flat":
        x *= 1e-3
    elif kind == "equal":
        x[:] = 0.5
    elif kind == "ties":
        x = np.round(x * 2) / 2  # both zeros among them
    elif kind == "clustered":
        start = rng.integers(max(v - 200, 1))
        x[..., start : start + 200] += 12
    elif kind == "ascending":
        x.sort()
    elif kind == "descending":
        x = -np.sort(-x)
    elif kind == "masked":
        x[rng.random(shape) < 0.7] = -np.inf
        x[..., 0] = 1.0
    return x.astype(np.float32)
