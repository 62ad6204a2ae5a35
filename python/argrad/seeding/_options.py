"""What the seeding functions share: options, the gather of the chosen rows, and warnings."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from argrad import _array, _check
from argrad._array import Array

METHODS = ("exact", "rejection", "pass", "greedy", "greedy_coreset", "uniform")


class Options(TypedDict):
    """The options of a native seeding."""

    method: str
    trials: int
    coreset: int
    max_proposals: int | None
    refresh: int | None
    potential_draws: int


class Facts:
    """What a native seeding reports beside the indices."""

    def __init__(self, values: Sequence[Any]) -> None:
        """Name the values of the native tuple."""
        self.drawn: int = values[0]
        self.uniform: int = values[1]
        self.proposals: int = values[2]
        self.refreshes: int = values[3]
        self.first_total: float = values[4]
        self.potential: float = values[5]
        self.potential_stderr: float = values[6]


def check_options(
    function: str,
    method: str,
    n_clusters: int,
    *,
    n_local_trials: int | None = None,
    max_proposals: int | None = None,
    refresh: str | int = "auto",
    methods: Sequence[str] = METHODS,
    potential_draws: int = 0,
) -> Options:
    """Check the options of a seeding and translate them."""
    _check.choice(function, "method", method, methods)
    trials = 1 if n_local_trials is None else _check.integer(function, "n_local_trials", n_local_trials, low=1)
    if method.startswith("greedy"):
        trials = 2 + int(math.log(n_clusters)) if n_local_trials is None else trials
    elif trials > 1:
        raise ValueError(
            f"{function}: n_local_trials must be 1 or None with method={method!r} "
            f'(several candidates need method="greedy" or "greedy_coreset"), got {trials}'
        )
    if max_proposals is not None:
        if method != "rejection":
            raise ValueError(f'{function}: max_proposals must be None unless method="rejection", got {max_proposals}')
        _check.integer(function, "max_proposals", max_proposals, low=1)
    if refresh not in ("auto", "never"):
        if isinstance(refresh, str):
            raise ValueError(f'{function}: refresh must be "auto", "never" or an integer >= 1, got {refresh!r}')
        _check.integer(function, "refresh", refresh, low=1)
    if refresh != "auto" and method != "exact":
        raise ValueError(f'{function}: refresh must be "auto" unless method="exact", got {refresh!r}')
    return Options(
        method=method,
        trials=trials,
        coreset=0,
        max_proposals=max_proposals,
        refresh={"auto": None, "never": 0}[refresh] if isinstance(refresh, str) else int(refresh),
        potential_draws=potential_draws,
    )


def check_clusters(function: str, n_clusters: object, n: int) -> int:
    """Check a number of clusters against the number of rows."""
    k = _check.integer(function, "n_clusters", n_clusters, low=1)
    if k > n:
        raise ValueError(f"{function}: n_clusters must be at most the number of rows {n}, got {k}")
    return k


def gather(X: Array, indices: Array) -> tuple[Array, Array]:
    """Return the chosen rows and their indices as the kind of `X`; tensors keep the path of the gradient."""
    chosen = _array.like(indices, X)
    rows = X[chosen]
    return (np.asarray(rows, dtype=X.dtype.newbyteorder("=")) if isinstance(X, np.ndarray) else rows), chosen


def warn_about(function: str, facts: Facts, k: int, max_proposals: int | None) -> None:
    """Tell when not all centres were drawn by the law of the method."""
    if facts.drawn < k:
        warnings.warn(
            f"{function}: only {facts.drawn} distinct points of positive weight were found for {k} clusters; "
            f"the other {k - facts.drawn} centers are unused rows chosen uniformly",
            RuntimeWarning,
            stacklevel=3,
        )
    if facts.uniform:
        warnings.warn(
            f"{function}: {facts.uniform} of {k} centers are uniform rows because max_proposals={max_proposals} "
            f"proposals were rejected; the result does not have the exact k-means++ law",
            RuntimeWarning,
            stacklevel=3,
        )
