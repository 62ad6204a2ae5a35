"""What the tests of seeding share: data and short calls."""

import numpy as np
import pytest

from argrad.seeding import kmeans_plusplus

PLAIN = ("exact", "pass", "rejection", "uniform")
GREEDY = ("greedy", "greedy_coreset")
METHODS = PLAIN + GREEDY
EVERY = pytest.mark.parametrize("method", METHODS)
DISTANCE = pytest.mark.parametrize("method", [m for m in METHODS if m != "uniform"])


def clusters(n=1500, d=5, groups=8, seed=3, dtype=np.float32):
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((groups, d)) * 5
    return (means[rng.integers(0, groups, n)] + rng.standard_normal((n, d))).astype(dtype)


def seeded(x, k=12, method="exact", random_state=0, **options):
    return kmeans_plusplus(x, k, method=method, random_state=random_state, **options)


def indices_of(x, **options):
    return seeded(x, **options)[1].tolist()
