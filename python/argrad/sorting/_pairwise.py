"""Sums over all pairs of two lists."""

from typing import Any

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device_pairs, _lists

KERNELS = ("sigmoid", "softplus")


def pairwise_sum(
    x: Array,
    y: Array,
    *,
    weights: Array | None = None,
    kernel: str = "sigmoid",
    temperature: object = 1.0,
    mask: Array | None = None,
    y_mask: Array | None = None,
    offsets: Array | None = None,
    y_offsets: Array | None = None,
) -> Any:
    """Sum a kernel of the differences between each item of one list and all items of another.

    For every item x_i of a list x, over the items y_j of the list y that belongs to it,

        s_i = sum_j w_j K((x_i - y_j) / tau),   K(z) = 1 / (1 + exp(-z)) or log(1 + exp(z)),

    w the weights and tau the temperature. With the sigmoid it is the soft number of items below x_i: with y = x, the
    soft rank of ApproxNDCG and SmoothAP. With the softplus it is the logistic loss of all pairs: the Mann-Whitney
    (AUC) loss is the sum of `pairwise_sum(negatives, positives, kernel="softplus")`, RankNet that of one such sum for
    each level of relevance.

    Args:
        x: shape (*batch, n), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or CUDA)
            or cupy array. The last dimension holds the lists.
        y: shape (*batch, m), of the kind and precision of `x`; it may be `x` itself. Leading dimensions broadcast.
        weights: w, like `y` or broadcast to its shape, of any sign, finite; None weighs each item by 1.
        kernel: K, `"sigmoid"` or `"softplus"`.
        temperature: tau, finite and > 0: a number, or a floating array with one for each list (the shape of the
            sums without their last dimension; with `offsets`, followed by the number of lists).
        mask: booleans of the shape of `x`: which of its items count. The sums of the others are 0.
        y_mask: booleans of the shape of `y`: which of its items count.
        offsets: int64 or int32 of shape (lists + 1,), from 0 to n: the last dimension of `x` holds the lists
            `offsets[i]:offsets[i + 1]`, the same in every row. None: each row is one list.
        y_offsets: the same for `y`, of as many lists; to be given if and only if `offsets` is. List i of `x` is paired
            with list i of `y`, whatever their lengths.

    Returns:
        The sums s, shape (*batch, n), of the kind and dtype of `x`. An empty list `y` gives 0. Terms are formed and
        summed in float64. Equal infinities have the difference 0; for others the kernel takes its limit: 0, 1 or
        infinity. An item of weight 0 adds nothing, even at infinity. A list with a NaN among the items that count,
        with a weight among them that is not finite, or with a NaN gradient gets NaN; other lists do not change.

        A list with more than 4096 pairs is summed by panels. The error of s_i is then at most B sum_j |w_j| before the
        result is rounded to its dtype, with B = 1.3e-8 for the sigmoid and 7.2e-8 for the softplus in float32 and half
        precision, 1.4e-13 and 8.0e-13 in float64, where a few roundings of float64 come on top; errors
        seen are a hundredth of it. That is an absolute error: a sum much smaller than its weights is less exact.

    Raises:
        TypeError: not arrays, arrays of two kinds, not floating, float64 together with a smaller dtype, a mask that is
            not boolean, or offsets that are not integers.
        ValueError: shapes that do not fit, an unknown kernel, a temperature that is not finite and > 0, or offsets that
            do not rise from 0 to the number of items. On a device lists with such a temperature or offsets get NaN
            instead, see `argrad.set_device_validation`.

    Gradient:
        To x, y, weights and temperature, twice, exact up to errors like those of the values (B is at most 50 times
        larger for second derivatives); K is smooth everywhere. A sum whose upstream gradient is 0 adds nothing to any
        gradient. The gradient of masked items is exactly 0, that of an item y_j of weight 0 too (not that of its
        weight). Forward mode is not supported.

    Determinism:
        No randomness. A list gives the same bits on any number of threads, any instruction set, and with any other
        lists in the batch. On a device the same bits from run to run, within the errors above of the host's.

    Cost:
        O(n + m) time and memory for each list, for any range of the items and any temperature, forward, backward and
        second derivative; a sort where items are spread over more panels of 3 temperatures than there are items. No
        n x m array is formed. Lists with at most 4096 pairs take O(n m) time.

    References:
        Trefethen, "Approximation Theory and Approximation Practice", SIAM 2013, Theorem 8.2 (the error of Chebyshev
        interpolants, from which B is derived). Fong and Darve, "The black-box fast multipole method", J. Comput. Phys.
        228, 2009 (sums by Chebyshev interpolation of the kernel; here the far field is its limit, exactly).

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import pairwise_sum
        >>> scores = np.array([0.5, 2.0, -1.0])
        >>> print(pairwise_sum(scores, scores, temperature=0.1).round(3) + 0.5)  # soft ranks
        [2. 3. 1.]
        >>> positives, negatives = np.array([2.0, 0.3]), np.array([-1.0, 0.5])
        >>> print(pairwise_sum(negatives, positives, kernel="softplus").sum().round(4))
        1.2891
    """
    name = "pairwise_sum"
    _check.choice(name, "kernel", kernel, KERNELS)
    _lists.enter(name, x, mask=mask, offsets=offsets, device=True)
    _lists.enter(name, y, mask=y_mask, offsets=y_offsets, name="y", device=True)
    _check.same_kind(name, {"x": x, "y": y, "weights": weights})
    _check.same_precision(name, {"x": x, "y": y})
    if weights is None:
        weights = _array.full(tuple(y.shape), 1.0, y)
    else:
        _check.floating(name, "weights", weights, device=True)
        _check.same_precision(name, {"x": x, "weights": weights})
    _check_offsets(name, offsets, y_offsets)
    n, m = x.shape[-1], y.shape[-1]
    if weights.ndim > 0 and weights.shape[-1] not in (1, m):
        raise ValueError(f"{name}: weights must be of {m} items like y, got shape {tuple(weights.shape)}")
    batch = _batch(name, {"x": x, "y": y, "weights": weights})
    x, mask = _expand(x, (*batch, n)), None if mask is None else _expand(mask, (*batch, n))
    y, y_mask = _expand(y, (*batch, m)), None if y_mask is None else _expand(y_mask, (*batch, m))
    weights = _expand(weights, (*batch, m))
    lists = _lists.Lists(name, x, -1, mask, offsets)
    tau = _lists.per_list(lists, "temperature", temperature, low=0.0, open_low=True)
    args = (x, y, weights, tau, mask, y_mask, offsets, y_offsets, kernel)
    return _lists.call("pairwise_sum", _forward, 1, *args)


def _check_offsets(name: str, offsets: Array | None, y_offsets: Array | None) -> None:
    if (offsets is None) != (y_offsets is None):
        given, missing = ("offsets", "y_offsets") if y_offsets is None else ("y_offsets", "offsets")
        raise ValueError(f"{name}: {missing} must be given together with {given}, got None")
    if offsets is not None and y_offsets is not None and offsets.shape[0] != y_offsets.shape[0]:
        wanted, got = tuple(offsets.shape), tuple(y_offsets.shape)
        raise ValueError(f"{name}: y_offsets must be of shape {wanted} like offsets, got {got}")


def _batch(name: str, arrays: dict[str, Array]) -> tuple[int, ...]:
    """Return the leading dimensions that all arrays broadcast to."""
    batch: tuple[int, ...] = ()
    for argument, array in arrays.items():
        given = tuple(array.shape[:-1])
        if given == batch:
            continue
        length = max(len(batch), len(given))
        pairs = zip((1,) * (length - len(batch)) + batch, (1,) * (length - len(given)) + given, strict=True)
        sizes = [(a, b) for a, b in pairs]
        if any(a != b and a != 1 and b != 1 for a, b in sizes):
            raise ValueError(f"{name}: {argument} must be of leading dimensions that broadcast to {batch}, got {given}")
        batch = tuple(b if a == 1 else a for a, b in sizes)
    return batch


def _expand(array: Array, shape: tuple[int, ...]) -> Array:
    if tuple(array.shape) == shape:
        return array
    return _array.spread(array, shape)


_Floats = np.ndarray[Any, Any]


def _inputs(
    x: _Floats,
    y: _Floats,
    weights: _Floats,
    temperature: _Floats,
    mask: _Floats | None,
    y_mask: _Floats | None,
    offsets: _Floats | None,
    y_offsets: _Floats | None,
) -> tuple[Any, Any]:
    """Return what the native functions take; they check the values of temperature and offsets."""
    bounds = _lists.bounds("pairwise_sum", x.shape, offsets)
    y_bounds = _lists.bounds("pairwise_sum", y.shape, y_offsets, "y_offsets")
    return (x, y, weights, temperature), (mask, y_mask, bounds, y_bounds)


def _forward(x: _Floats, *args: Any) -> tuple[_Floats]:
    if not _array.is_device(x):
        return _on_host(x, *args)
    *arrays, kernel = args
    fault = _cuda.fault(x)
    values = _device_pairs.Pairs((x, *arrays[:3]), arrays[3:], kernel, fault).values()
    _cuda.confirm(fault, _on_host, x, *args)
    return (values,)


def _on_host(x: _Floats, *args: Any) -> tuple[_Floats]:
    *arrays, kernel = args
    return (_native.pair_sums("pairwise_sum", *_inputs(x, *arrays), kernel).reshape(x.shape),)


def _vjp(*args: Any) -> tuple[_Floats, ...]:
    *arrays, kernel, grad, wanted = args
    if _array.is_device(grad):
        return _device_pairs.Pairs(arrays[:4], arrays[4:], kernel, None).vjp(_cuda.widen(grad))
    found = _native.pair_sums_vjp("pairwise_sum", *_inputs(*arrays), kernel, grad, wanted)
    return tuple(gradient.reshape(array.shape) for gradient, array in zip(found, arrays[:4], strict=True))


def _second(*args: Any) -> tuple[_Floats, ...]:
    *arrays, kernel, grad, x_tangent, y_tangent, weights_tangent, temperature_tangent = args
    tangents = (x_tangent, y_tangent, weights_tangent, temperature_tangent)
    if _array.is_device(grad):
        return _device_pairs.Pairs(arrays[:4], arrays[4:], kernel, None).second(_cuda.widen(grad), tangents)
    found = _native.pair_sums_second("pairwise_sum", *_inputs(*arrays), kernel, grad, tangents)
    return tuple(gradient.reshape(array.shape) for gradient, array in zip(found, [*arrays[:4], grad], strict=True))


def _shapes(x: Array, *args: Any) -> _torch.Shapes:
    return ((tuple(x.shape), None),)


_torch.declare_smooth(
    "pairwise_sum",
    "(Tensor x, Tensor y, Tensor weights, Tensor temperature, Tensor? mask, Tensor? y_mask, Tensor? offsets, "
    "Tensor? y_offsets, str kernel) -> (Tensor sums)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=_shapes,
    differentiable=("x", "y", "weights", "temperature"),
    saved=(),
    values=1,
    device=True,
)
