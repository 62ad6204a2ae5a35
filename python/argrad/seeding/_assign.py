"""Assignment to the nearest center, and a small k-means on top of it."""

import numpy as np

from argrad import _array, _check, _cuda, _native
from argrad._array import Array
from argrad._progress import Progress, reporting
from argrad.seeding import _device, _device_lloyd
from argrad.seeding._options import check_clusters
from argrad.seeding._plusplus import kmeans_plusplus


def assign(
    X: Array, centers: Array, *, return_distance: bool = False, progress: Progress = None
) -> Array | tuple[Array, Array]:
    """Find the nearest center of every row.

    label_i = argmin_c |x_i - c|, the lowest number among equals.

    Args:
        X: points, shape (n, d), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor
            (CPU or CUDA) or cupy array.
        centers: shape (k, d), k >= 1, of the kind of `X` and computed in the same precision (half precision counts as
            float32).
        return_distance: return the Euclidean distances too.
        progress: True for a bar, or a callable given (rows done, rows in all); a device reports nothing.

    Returns:
        Labels, shape (n,), int64, of the kind of `X`; with `return_distance` also the distances, shape (n,), in the
        dtype of `X`.

    Raises:
        TypeError: not arrays, arrays of two kinds, not of a floating dtype, or float64 together with a smaller one.
        ValueError: shapes that do not fit, or a NaN or an infinity (with row and column; on a device such a row gives
            -1 and NaN, such a center gives them to all rows, see `argrad.set_device_validation`).

    Gradient:
        None; `kmeans_potential` is the differentiable form.

    Determinism:
        The same labels and distances on any number of threads, any instruction set and a device: one fixed order of
        operations decides; on the CPU a matrix product finds the candidates.

    Cost:
        O(n k d) time, at the speed of a matrix product (on a device half of it); 12 n bytes beside the result.

    References:
        The assignment step of Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28, 1982.

    Examples:
        >>> import numpy as np
        >>> from argrad.seeding import assign
        >>> assign(np.array([[0.0], [4.0], [5.0]]), np.array([[0.0], [5.0]]))
        array([0, 1, 1])
    """
    name = "assign"
    _check.matrix(name, "X", X, allow_empty=True, device=True)
    _check_centers(name, X, centers, device=True)
    rows, means = _array.raw(X), _array.raw(centers)
    with reporting(name, progress, "assigning") as report:
        if _array.is_device(rows):
            labels, distances = _on_device(rows, means, name)
        else:
            labels, distances = _native.assign(rows, means, name, True, report)
    if return_distance:
        return _array.like(labels, X), _array.like(distances, X, X.dtype)
    return _array.like(labels, X)


def _on_device(X: Array, centers: Array, name: str) -> tuple[Array, Array]:
    fault = _cuda.fault(X)
    found = _device.assign(*_device.together(X, centers), root=True, none=-1, fault=fault)
    _cuda.confirm(fault, _native.assign, X, centers, name)
    return found


def _check_centers(name: str, X: Array, centers: Array, *, device: bool = False) -> None:
    _check.matrix(name, "centers", centers, device=device)
    _check.same_kind(name, {"X": X, "centers": centers})
    _check.same_precision(name, {"X": X, "centers": centers})
    if centers.shape[1] != X.shape[1]:
        raise ValueError(f"{name}: centers must be of {X.shape[1]} columns like X, got {centers.shape[1]}")


def kmeans(
    X: Array,
    n_clusters: int,
    *,
    init: str | Array = "exact",
    sample_weight: Array | None = None,
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state: object = None,
) -> tuple[Array, Array, float, int]:
    """Cluster the rows around k centers that locally minimize the sum of squared distances.

    potential = sum_i a_i min_c |x_i - c|^2, by Lloyd's algorithm from a k-means++ seeding. It is deliberately plain:
    seeding, assignment and averages. A cluster that loses all its rows restarts from a row drawn in proportion to
    a_i D^2.

    Args:
        X: points, shape (n, d), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor
            (CPU or CUDA) or cupy array.
        n_clusters: number of centers k, 1 <= k <= n.
        init: a method of `kmeans_plusplus`, or the first centers, shape (k, d), in the kind of `X`.
        sample_weight: weights a_i, shape (n,), finite, >= 0, not all zero; None weighs each row by 1.
        max_iter: most updates of the centers, >= 0.
        tol: stop when an update lowers the potential by no more than this fraction, >= 0.
        random_state: seed: None, an integer, a numpy `Generator` or `RandomState`, or a `torch.Generator`.

    Returns:
        (centers, labels, potential, n_iter): shape (k, d) in the dtype and kind of `X`; shape (n,), int64; a float; the
        number of updates. Labels and potential belong to the returned centers, before they are rounded to a half
        precision.

    Raises:
        TypeError: as `kmeans_plusplus`.
        ValueError: as `kmeans_plusplus`; `max_iter` or `tol` negative; centers of another shape.

    Gradient:
        None; `kmeans_potential` is the differentiable form.

    Determinism:
        The same result for the same seed on any number of threads, any instruction set and a device. The potential
        never rises.

    Cost:
        O(n k d) time an iteration; 20 n bytes beside the result. On a device the host waits once for each iteration, to
        learn whether it was the last.

    References:
        Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28, 1982.

    Examples:
        >>> import numpy as np
        >>> from argrad.seeding import kmeans
        >>> centers, labels, potential, n_iter = kmeans(np.array([[0.0], [1.0], [8.0], [9.0]]), 2, random_state=0)
        >>> sorted(centers.ravel().tolist()), potential
        ([0.5, 8.5], 1.0)
    """
    name = "kmeans"
    _check.matrix(name, "X", X, device=True)
    rows = _array.raw(X)
    on_device = _array.is_device(rows)
    k = check_clusters(name, n_clusters, X.shape[0])
    _check.weights_form(name, "sample_weight", sample_weight, X.shape[0], device=on_device)
    weights = None if on_device else _check.weights(name, "sample_weight", sample_weight, X.shape[0])
    max_iter = _check.integer(name, "max_iter", max_iter, low=0)
    tol = _check.real(name, "tol", tol, low=0.0)
    seed = _check.seed(name, random_state)
    if isinstance(init, str):
        options = {"sample_weight": sample_weight, "random_state": seed, "method": init}
        init, _ = _check.on_behalf(name, {"method": "init"}, kmeans_plusplus, X, k, **options)
    _check_centers(name, X, init, device=True)
    if init.shape[0] != k:
        raise ValueError(f"{name}: init must be of n_clusters = {k} rows, got {init.shape[0]}")
    if on_device:
        _check.same_kind(name, {"X": X, "sample_weight": sample_weight})
        given = None if sample_weight is None else _array.raw(sample_weight)
        centers, labels, potential, n_iter = _improve(rows, given, _array.raw(init), max_iter, tol, seed)
        return _array.like(centers, X, X.dtype), _array.like(labels, X), potential, n_iter
    centers, labels, potential, n_iter = _native.kmeans(name, rows, weights, _array.raw(init), max_iter, tol, seed)
    return _array.like(np.asarray(centers), X, X.dtype), _array.like(labels, X), potential, n_iter


def _improve(
    X: Array, weights: Array | None, centers: Array, max_iter: int, tol: float, seed: int
) -> tuple[Array, Array, float, int]:
    wide = None if weights is None else _array.cast(weights, "float64")
    found = _device_lloyd.lloyd(_cuda.widen(X), wide, _cuda.widen(centers), max_iter, tol, seed)
    if found is None:  # the host says what is wrong
        checked = None if wide is None else _array.to_host(wide)
        checked = _check.weights("kmeans", "sample_weight", checked, X.shape[0])
        _native.kmeans("kmeans", _array.to_host(X), checked, _array.to_host(centers), 0, tol, seed)
        raise RuntimeError("argrad: a kernel has reported a fault that the host does not see; please report this")
    return found
