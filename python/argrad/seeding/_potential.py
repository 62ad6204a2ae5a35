"""The k-means potential as a differentiable function of the points and the centres."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.seeding import _device


def kmeans_potential(X: Array, centers: Array, *, sample_weight: Array | None = None) -> Any:
    """Return the weighted sum of squared distances from the points to their nearest centres.

    With points x_i, weights a_i (1 without `sample_weight`) and centres c_1 ... c_k,

        potential = sum_i a_i min_j |x_i - c_j|^2,

    the quantity k-means minimises: a loss for features that should cluster, or for the centres themselves.

    Args:
        X: points, shape (n, d), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor
            (CPU or CUDA) or cupy array. More leading dimensions through `torch.vmap`.
        centers: centres, shape (k, d), of the kind of `X` and computed in the same precision (half precision counts as
            float32).
        sample_weight: weights, shape (n,), floating or integer, finite, >= 0 and not all zero; None weighs each point
            by 1.

    Returns:
        The potential, summed in float64 and returned in the dtype of `X`: a numpy scalar, or a tensor without
        dimensions. In float16 a potential above 65504 is inf.

    Raises:
        TypeError: not arrays, arrays of two kinds, not of a floating dtype, or float64 together with a smaller one.
        ValueError: shapes that do not fit, a NaN or an infinity in `X` or `centers`, or bad weights (on a device the
            potential is then NaN, see `argrad.set_device_validation`).

    Gradient:
        Exact wherever no point of positive weight has two nearest centres. With c(i) the nearest centre of x_i: 2 a_i
        (x_i - c(i)) to x_i, the sum of -2 a_i (x_i - c_j) over the points nearest to c_j to c_j, |x_i - c(i)|^2 to
        a_i. A centre nearest to no point gets zero. At a tie the centre with the lower index counts as nearest, and
        the result is one of the one-sided derivatives. Second derivatives hold the assignment fixed, which is exact
        away from ties. Forward mode is not supported.

    Determinism:
        No randomness; the same value on any number of threads. A device sums in another order than the CPU, always
        the same; its gradient to `centers` is torch's `index_add`, whose order is not fixed there.

    Cost:
        O(n k d) time and O(n) memory forward, O(n d) time and memory backward.

    References:
        Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007, Section 2.

    Examples:
        >>> import numpy as np
        >>> from argrad.seeding import kmeans_potential
        >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0]])
        >>> print(kmeans_potential(X, X[[0, 2]]))
        1.0
        >>> print(kmeans_potential(X, X[[0, 2]], sample_weight=np.array([1, 3, 1])))
        3.0
    """
    arrays = {"X": X, "centers": centers, "sample_weight": sample_weight}
    _check.matrix("kmeans_potential", "X", X, device=True)
    _check.matrix("kmeans_potential", "centers", centers, device=True)
    _check.weights_form("kmeans_potential", "sample_weight", sample_weight, X.shape[0], device=True)
    _check.same_kind("kmeans_potential", arrays)
    _check.same_precision("kmeans_potential", {"X": X, "centers": centers})
    if centers.shape[1] != X.shape[1]:
        raise ValueError(
            f"kmeans_potential: centers must be of {X.shape[1]} columns like X, got shape {tuple(centers.shape)}"
        )
    if _array.is_tensor(X):
        return _torch.kmeans_potential(X, centers, sample_weight)
    weights = None if sample_weight is None else _array.raw(sample_weight)
    potential, _ = _forward(_array.raw(X), _array.raw(centers), weights)
    with np.errstate(over="ignore"):
        return potential.astype(X.dtype)[()]


def _forward(X: Any, centers: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Return the potential and, as the residual, the index of each point's nearest centre."""
    return (_on_device if _array.is_device(X) else _on_host)(X, centers, sample_weight)


def _on_host(X: Any, centers: Any, sample_weight: Any) -> tuple[Any, Any]:
    weights = _check.weights("kmeans_potential", "sample_weight", sample_weight, X.shape[0])
    labels, distances = _native.assign(X, centers, "kmeans_potential")
    # Not a dot product: that of a threaded BLAS depends on the number of threads.
    potential = np.sum(distances if weights is None else weights * distances, dtype=np.float64)
    return np.asarray(potential), labels


def _on_device(X: Any, centers: Any, sample_weight: Any) -> tuple[Any, Any]:
    fault = _cuda.fault(X)
    found = _device.potential(*_device.together(X, centers), sample_weight, fault)
    _cuda.confirm(fault, _on_host, X, centers, sample_weight)
    return found


def _shapes(X: Array, centers: Array, sample_weight: Array | None) -> _torch.Shapes:
    return ((), None), ((X.shape[0],), "int64")


def _backward(saved: Mapping[str, Any], grads: Sequence[Any], wanted: Sequence[str]) -> dict[str, Any]:
    X, centers, weights, labels = (saved[name] for name in ("X", "centers", "sample_weight", "labels"))
    difference = X - centers.index_select(0, labels)
    found = {}
    if "X" in wanted or "centers" in wanted:
        scale = 2 * grads[0] if weights is None else (2 * grads[0] * weights).to(X.dtype).unsqueeze(-1)
        found["X"] = scale * difference
    if "centers" in wanted:
        found["centers"] = centers.new_zeros(centers.shape).index_add(0, labels, -found["X"])
    if "sample_weight" in wanted:
        found["sample_weight"] = grads[0] * difference.square().sum(-1)
    return found


_torch.declare(
    "kmeans_potential",
    "(Tensor X, Tensor centers, Tensor? sample_weight) -> (Tensor potential, Tensor labels)",
    forward=_forward,
    shapes=_shapes,
    backward=_backward,
    values=1,
    saved=("X", "centers", "sample_weight", "labels"),
    device=True,
)
