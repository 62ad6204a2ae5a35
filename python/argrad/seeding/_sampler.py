"""Prepare once, seed often."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np

from argrad import _array, _check, _cuda, _native
from argrad._array import Array
from argrad.seeding import _device, _device_sampler
from argrad.seeding._device_sampler import Anchors
from argrad.seeding._options import Facts, Options, check_clusters, check_options, gather, warn_about

# Enough for a relative standard error of sqrt((r - 1) / 1000): some percent.
POTENTIAL_DRAWS = 1000
# Squared distances between two to minus and plus this power need no other scale, by the bytes of a number.
SAFE_EXPONENT = {4: 100, 8: 1000}


# Scale, anchors, every row's nearest anchor and scaled squared distance to it, and the potential of the mean.
Prepared: TypeAlias = tuple[float, np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], float]


@dataclass(frozen=True)
class Seeding:
    """A seeding and what is known of it.

    Attributes:
        indices: chosen rows, shape (k,), int64, in the order of drawing.
        centers: these rows of `X`, shape (k, d).
        potential: estimate of sum_i a_i min_c |x_i - c|^2, unbiased; `assign` gives the exact value.
        potential_stderr: its standard error.
        n_proposals: rows proposed.
        n_refreshes: times that the bounds of all rows were brought up to date.
        n_drawn: centers drawn by the law; fewer than k when there are not enough distinct rows.
        acceptance: centers drawn per proposal.
        exact: whether the law is exactly that of k-means++ (for the `n_drawn` first centers).
        beta: estimated clusterability: the potential of the mean (as of preparing) over `potential`.
    """

    indices: Array
    centers: Array
    potential: float
    potential_stderr: float
    n_proposals: int
    n_refreshes: int
    n_drawn: int
    acceptance: float
    exact: bool
    beta: float


class D2Sampler:
    """Draw rows in proportion to squared distances, many times over the same data.

    Preparing reads the data a few times: for the mean, for a small seeding (at most 63 pivots), and for every row's
    nearest among these anchors. After that a seeding touches only the rows it proposes: with p the anchor of x_i, the
    bound (|x_i - p| + min_c |p - c|)^2 >= min_c |x_i - c|^2 needs no distance between rows and centers.

    Args:
        X: points, shape (n, d), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or CUDA)
            or cupy array. It is kept by reference: call `update` after changing rows.
        sample_weight: weights, shape (n,), finite, >= 0, not all zero; None weighs each row by 1.
        envelope: `"norm"`: as above. `"first"`: no preparation, one pass over the data for every seeding.
        refresh: as in `kmeans_plusplus`.

    Raises:
        TypeError: not an array, or not of a floating dtype.
        ValueError: a wrong shape, bad weights (on a device when they are first read), an unknown envelope or refresh.

    Gradient:
        Indices have none. Centers of a tensor are a gather of `X`: the gradient flows to the chosen rows.

    Determinism:
        The same rows for the same seed on any number of threads, any instruction set and a device. The two envelopes
        draw different rows, by the same law.

    Cost:
        Preparing: three passes over `X` and O(63 n d) operations; 5 n bytes kept (9 in float64). Each seeding with
        `"norm"`: O(n log k) for the bounds and O(r k^2 d), r = proposals per center. On a device every method waits for
        it a few times, because counts and potentials are numbers of Python; `seed` as often as `kmeans_plusplus`, and
        once more for each number of centers.

    References:
        Shah, Agrawal and Jaiswal, "A New Rejection Sampling Approach to k-means++ With Improved Trade-Offs", 2025,
        arXiv:2502.02085, Section 4; the bound there is 2 (|x_i - m|^2 + |c_1 - m|^2), m the mean.

    Examples:
        >>> import numpy as np
        >>> from argrad.seeding import D2Sampler
        >>> sampler = D2Sampler(np.arange(20.0).reshape(10, 2))
        >>> [len(seeding.indices) for seeding in sampler.seed_many([2, 4], n_init=2, random_state=0)]
        [2, 2, 4, 4]
    """

    def __init__(
        self, X: Array, *, sample_weight: Array | None = None, envelope: str = "norm", refresh: str | int = "auto"
    ) -> None:
        """Check the arguments; nothing is read yet."""
        name = "D2Sampler"
        _check.matrix(name, "X", X, device=True)
        self._envelope = _check.choice(name, "envelope", envelope, ("norm", "first"))
        check_options(name, "exact", 1, refresh=refresh)
        self._refresh = refresh
        self._X = X
        self._raw = _array.raw(X)
        self._on_device = _array.is_device(self._raw)
        if self._on_device:
            _check.weights_form(name, "sample_weight", sample_weight, X.shape[0], device=True)
            _check.same_kind(name, {"X": X, "sample_weight": sample_weight})
            self._weights = None if sample_weight is None else _array.cast(_array.raw(sample_weight), "float64")
        else:
            self._weights = _check.weights(name, "sample_weight", sample_weight, X.shape[0])
        self._prepared: Prepared | Anchors | None = None
        # The published method has an envelope of its own, about the mean alone.
        self._published: Prepared | Anchors | None = None

    def prepare(self) -> "D2Sampler":
        """Read the data; called by the first seeding if not before.

        Returns:
            The sampler itself.

        Raises:
            ValueError: a NaN or an infinity in `X` (with row and column).
        """
        self._shared("exact")
        return self

    def _shared(self, method: str) -> Any:
        """What the seedings of a method share."""
        if method == "rejection":
            if self._published is None:
                self._published = self._prepare(0)
            return self._published
        if self._prepared is None:
            self._prepared = self._prepare(None)
        return self._prepared

    def _prepare(self, pivots: int | None) -> Prepared | Anchors:
        if not self._on_device:
            return _native.prepare("D2Sampler", self._raw, self._weights, pivots)
        found = _device_sampler.prepare(self._raw, self._weights, pivots)
        return self._tell("D2Sampler") if found is None else found

    def _tell(self, name: str) -> NoReturn:
        """Have the host say what is wrong with the numbers of a device."""
        weights = _check.weights(name, "sample_weight", _array.to_host(self._weights), self._X.shape[0])
        _native.prepare(name, _array.to_host(self._raw), weights, 0)
        raise RuntimeError("argrad: a kernel has reported a fault that the host does not see; please report this")

    def seed(
        self,
        n_clusters: int,
        random_state: object = None,
        method: str = "exact",
        max_proposals: int | None = None,
    ) -> Seeding:
        """Draw one seeding.

        Args:
            n_clusters: number of centers k, 1 <= k <= n.
            random_state: seed: None, an integer, a numpy `Generator` or `RandomState`, or a `torch.Generator`.
            method: `"exact"`, or `"rejection"` for RS-k-means++ as published.
            max_proposals: with `"rejection"`, proposals per center after which a uniform row is taken.

        Returns:
            The seeding; `exact` tells whether a uniform row was taken.

        Raises:
            ValueError: k out of range, an unknown method, or an option that the method does not have.

        Warns:
            RuntimeWarning: as `kmeans_plusplus`.
        """
        name = "D2Sampler.seed"
        k = check_clusters(name, n_clusters, self._X.shape[0])
        options = self._options(name, method, k, max_proposals)
        return self._path(name, [k], options, _check.seed(name, random_state))[0]

    def seed_many(self, n_clusters: Sequence[int], n_init: int = 1, random_state: object = None) -> list[Seeding]:
        """Draw `n_init` independent seedings for each of several numbers of clusters.

        The seedings of one initialization are prefixes of each other, which is what k-means++ gives: the first k'
        centers of a seeding are a seeding of k' centers.

        Args:
            n_clusters: numbers of centers, each between 1 and n.
            n_init: independent initializations, >= 1.
            random_state: as in `seed`.

        Returns:
            `n_init` seedings for the first number, then `n_init` for the second, and so on.

        Raises:
            ValueError: a number out of range.

        Warns:
            RuntimeWarning: as `kmeans_plusplus`.
        """
        name = "D2Sampler.seed_many"
        ks = [check_clusters(name, k, self._X.shape[0]) for k in n_clusters]
        n_init = _check.integer(name, "n_init", n_init, low=1)
        generator = np.random.default_rng(_check.seed(name, random_state))
        ascending = sorted(set(ks))
        if not ascending:
            return []
        options = self._options(name, "exact", ascending[-1], None)
        runs = [
            dict(zip(ascending, self._path(name, ascending, options, _check.seed(name, generator)), strict=True))
            for _ in range(n_init)
        ]
        return [run[k] for k in ks for run in runs]

    def _options(self, name: str, method: str, k: int, max_proposals: int | None) -> Options:
        refresh = self._refresh if method == "exact" else "auto"
        return check_options(
            name,
            method,
            k,
            max_proposals=max_proposals,
            refresh=refresh,
            methods=("exact", "rejection"),
            potential_draws=POTENTIAL_DRAWS,
        )

    def _path(self, name: str, ks: list[int], options: Options, seed: int) -> list[Seeding]:
        needed = self._envelope == "norm" or options["method"] == "rejection"
        shared = self._shared(options["method"]) if needed else None
        if self._on_device:
            path = _device_sampler.path(self._raw, self._weights, ks, options, shared, seed)
            path = self._tell(name) if path is None else path
        else:
            found = _native.seed_path(name, self._raw, self._weights, ks, options, shared, seed)
            path = [(indices, Facts(values)) for indices, values in found]
        spread = None if shared is None else shared.spread if isinstance(shared, Anchors) else shared[-1]
        return [self._result(name, indices, facts, options, spread) for indices, facts in path]

    def _result(self, name: str, indices: Any, facts: Facts, options: Options, spread: float | None) -> Seeding:
        warn_about(name, facts, len(indices), options["max_proposals"])
        centers, chosen = gather(self._X, indices)
        # Two random rows are twice as far apart, squared and on average, as a row is from the mean.
        spread = facts.first_total / 2 if spread is None else spread
        return Seeding(
            indices=chosen,
            centers=centers,
            potential=facts.potential,
            potential_stderr=facts.potential_stderr,
            n_proposals=facts.proposals,
            n_refreshes=facts.refreshes,
            n_drawn=facts.drawn,
            acceptance=(facts.drawn - 1) / facts.proposals if facts.proposals else 1.0,
            exact=facts.uniform == 0,
            beta=spread / facts.potential if facts.potential > 0 else float("inf"),
        )

    def sample(self, size: int, centers: Array, random_state: object = None) -> Array:
        """Draw rows independently in proportion to a_i min_c |x_i - c|^2 for given centers.

        Args:
            size: number of rows, >= 0; a row may come more than once.
            centers: shape (k, d), k >= 1, of the kind of `X`.
            random_state: as in `seed`.

        Returns:
            Row numbers, shape (size,), int64, of the kind of `X`.

        Raises:
            TypeError: `centers` of another kind or dtype.
            ValueError: a wrong shape, or every row of positive weight coincides with a center.
        """
        name = "D2Sampler.sample"
        size = _check.integer(name, "size", size, low=0)
        _check.matrix(name, "centers", centers, device=self._on_device)
        _check.same_kind(name, {"X": self._X, "centers": centers})
        _check.same_precision(name, {"X": self._X, "centers": centers})
        if centers.shape[1] != self._X.shape[1]:
            raise ValueError(f"{name}: centers must be of {self._X.shape[1]} columns like X, got {centers.shape[1]}")
        seed = _check.seed(name, random_state)
        shared, given = self._shared("exact"), _array.raw(centers)
        if isinstance(shared, Anchors):
            return self._sample(name, shared, given, size, seed)
        rows = _native.sample_rows(name, self._raw, self._weights, shared, given, size, seed)
        return _array.like(rows, self._X)

    def _sample(self, name: str, anchors: Anchors, centers: Any, size: int, seed: int) -> Any:
        if not _finite(centers).all():  # the host says where
            _native.assign(_array.to_host(self._raw[:1]), _array.to_host(centers), name)
        rows, centers = _device.together(self._raw, centers)
        found = _device_sampler.sample(rows, self._weights, anchors, centers, size, seed)
        if found is None:
            raise ValueError(f"{name}: centers must leave a row of positive weight at a positive distance, got none")
        return _array.like(found, self._X)

    def update(self, rows: Array) -> None:
        """Take note of rows whose values changed in place.

        The anchors stay where they were prepared: the bounds they give hold for any rows, so the law stays exact.

        Args:
            rows: row numbers, an integer array of one dimension.

        Raises:
            TypeError: not an integer array.
            ValueError: a row number out of range, or a NaN or an infinity in a changed row.
        """
        name = "D2Sampler.update"
        _check.array(name, "rows", rows, device=self._on_device)
        numbers, n = _array.raw(rows), self._X.shape[0]
        if not _check.dtype_name(numbers).startswith(("int", "uint")) or numbers.ndim != 1:
            raise TypeError(f"{name}: rows must be a 1-dimensional integer array, got {numbers.dtype}")
        if self._on_device:
            _check.same_kind(name, {"X": self._X, "rows": rows})
            numbers = _array.cast(numbers, "int64")
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < n):
            raise ValueError(f"{name}: rows must be in [0, {n}), got {int(numbers.min())} to {int(numbers.max())}")
        fresh = _array.raw(self._X[_array.like(numbers, self._X)])
        if not _finite(fresh).all():
            bad = int(np.flatnonzero(~_array.to_host(_finite(fresh)).all(axis=1))[0])
            raise ValueError(f"{name}: X must be finite, got a bad value in row {int(numbers[bad])}")
        if _cuda.address(self._raw) != _cuda.address(_array.raw(self._X)):
            self._raw[numbers] = fresh
        self._prepared = self._follow(name, self._prepared, numbers, fresh)
        self._published = self._follow(name, self._published, numbers, fresh)

    def _follow(self, name: str, prepared: Prepared | Anchors | None, numbers: Any, fresh: Any) -> Any:
        """What was prepared, brought up to date; None when the next seeding has to prepare anew."""
        if prepared is None:
            return None
        if isinstance(prepared, Anchors):
            scale, squares = prepared.scale, prepared.squares
            _device_sampler.locate(self._raw, numbers, prepared)
        else:
            scale, anchors, labels, squares, _ = prepared
            labels[numbers], squares[numbers] = _native.locate(name, fresh, scale, anchors)
        exponent = SAFE_EXPONENT[squares.dtype.itemsize]
        in_range = 2.0**-exponent <= squares.max() <= 2.0**exponent
        # Otherwise another scale or other anchors may be due, or preparing anew is cheaper.
        return prepared if scale == 1.0 and in_range and 2 * len(numbers) < len(squares) else None


def _finite(x: Any) -> Any:
    """Tell which numbers of an array of any kind are finite."""
    return abs(x) < math.inf
