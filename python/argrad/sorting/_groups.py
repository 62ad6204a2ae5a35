"""Two groups in a relaxed sorting network: how surely every item ends among the places of its own group."""

import math
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device_groups, _lists, _network

REDUCTIONS = ("none", "mean", "batch_mean")
_NOTHING = np.zeros(0)


class GroupOrder(NamedTuple):
    """What `group_order` finds.

    Attributes:
        probability: per item, or with `reduction="mean"` per list, or with "batch_mean" of all lists together.
        count: how many items of each list take part, int64.

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import group_order
        >>> probability, count = group_order(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[True, False]] * 2))
        >>> probability.round(3).tolist(), count.tolist()
        ([[0.984, 0.984], [0.016, 0.016]], [2, 2])
    """

    probability: Array
    count: Array


def group_order(
    x: Array,
    positive: Array,
    *,
    dim: int = -1,
    negatives: int | None = None,
    network: str = "odd_even",
    distribution: str = "cauchy",
    steepness: float | Array = 10.0,
    log: bool = False,
    reduction: str = "none",
    mask: Array | None = None,
) -> GroupOrder:
    """Return how surely each item ends among its own group when a sorting network puts positives above negatives.

    Of each list the m largest negatives, ascending, and behind them the positives, ascending, enter a relaxed sorting
    network. With P its matrix (row r: where the r-th smallest comes from), the probability of item i is

        SUM_{r > m} P[r, i] for a positive,    SUM_{r <= m} P[r, i] for a negative.

    All of them are near 1 where every positive is well above every negative, whatever the order inside a group.

    Args:
        x: scores, shape (..., n), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. Each row along `dim` is a list.
        positive: booleans of the shape of `x`: which items should be above the others.
        dim: dimension along which the lists lie.
        negatives: how many of the largest negatives take part, >= 1; None: all.
        network: "odd_even" or "bitonic"; see `soft_permutation`.
        distribution: of the relaxed comparators; see `soft_permutation`.
        steepness: of the comparators, > 0: a number, or an array of one per list (the shape of `x` without `dim`).
        log: return logarithms; probabilities below 1e-12 then count as 1e-12.
        reduction: "none", "mean" over the items of a list that take part, or "batch_mean": the mean of these over the
            lists that have both groups, along the last dimension beside `dim` (there may be none).
        mask: booleans of the shape of `x`: which items count; None: all.

    Returns:
        `probability`, of the dtype and kind of `x` and its shape, without `dim` for "mean" and without two dimensions
        for "batch_mean"; and `count`, int64, of the shape of `x` without `dim`. Items that are masked or beyond the
        limit take no part: their probability is 1, its logarithm 0. So it is for all items of a list without negatives
        or without positives that count, whose count and mean logarithm are 0 (mean probability 1); a mean over no list
        is the same. A list with a NaN among the items that take part is NaN at these. Equal scores of one group have
        probabilities that depend on their position; infinite ones are sorted exactly.

    Raises:
        TypeError: not an array, not of a floating dtype, arrays of two kinds, or `positive` or `mask` not boolean.
        ValueError: `negatives` below 1, a steepness not finite and > 0, an unknown option, or shapes that do not fit.

    Gradient:
        Exact, to `x` and `steepness`, twice differentiable; see `soft_permutation` for its limits at infinite scores
        and for the kinks of some distributions. Zero for items that take no part, for logarithms of probabilities below
        1e-12, and to `x` for how the items are ordered inside their group. Forward mode is not supported.

    Determinism:
        No randomness; the same bits on any number of threads and in any batch. On a device a steepness in an array that
        is not finite and > 0 gives NaN instead of an error, see `argrad.set_device_validation`.

    Cost:
        A sort, and one product of P^T with a vector: O(c^2) for c items that take part (odd-even), two products for
        lists with a negative of a probability below 1/32, which the first one does not hold to all digits. For
        few positives or few negatives half of an odd-even network is left out. Memory O(c^2) per thread; no matrix.
        A mean of scores that require a gradient finds its slopes at once and keeps them, an array like `x`.

    References:
        Shvetsova, Petersen, Kukleva, Schiele, Kuehne, "Learning by Sorting: Self-supervised Learning with Group
        Ordering Constraints", ICCV 2023, arXiv:2301.02009.

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import group_order
        >>> x, positive = np.array([2.0, 0.5, 0.0, 1.0]), np.array([True, False, False, False])
        >>> found = group_order(x, positive, negatives=2)
        >>> found.probability.round(3), int(found.count)
        (array([0.969, 0.998, 1.   , 0.971]), 3)
    """
    name = "group_order"
    lists = _lists.enter(name, x, dim=dim, mask=mask, device=True)
    label = _label(lists, positive)
    most = None if negatives is None else _check.integer(name, "negatives", negatives, low=1)
    _check.choice(name, "network", network, _network.NETWORKS)
    _check.choice(name, "distribution", distribution, _network.DISTRIBUTIONS)
    log = _check.flag(name, "log", log)
    _check.choice(name, "reduction", reduction, REDUCTIONS)
    mean = "mean" if reduction == "batch_mean" and lists.x.ndim == 1 else reduction
    per_list = _lists.per_list(lists, "steepness", steepness, low=0.0, open_low=True)
    # The slopes of a mean cost little where the mean is made, and spare the way back.
    slopes = mean != "none" and _array.is_tensor(lists.x) and _torch.is_recorded(lists.x)
    options = (most, network, distribution, log, mean, slopes)
    found, count = _lists.call("group_order", _forward, 2, lists.x, label, per_list, lists.mask, *options)
    return GroupOrder(lists.leave(found) if mean == "none" else found, count)


def _label(lists: _lists.Lists, positive: Array) -> Array:
    """Require booleans of the shape of x; return them with the lists in the last dimension."""
    _check.array(lists.function, "positive", positive, device=True)  # it is where x is
    _check.same_kind(lists.function, {"x": lists.x, "positive": positive})
    if _check.dtype_name(positive) != "bool":
        raise TypeError(f"{lists.function}: positive must be of dtype bool, got {_check.dtype_name(positive)}")
    shape = lists.x.shape if lists.dim == -1 else lists.leave(lists.x).shape
    if positive.shape != shape:
        raise ValueError(
            f"{lists.function}: positive must be of shape {tuple(shape)} like x, got {tuple(positive.shape)}"
        )
    return positive if lists.dim == -1 else _lists.move(positive, lists.dim, -1)


def _value_shape(x: Any, mean: str) -> Any:
    return x.shape[: x.ndim - REDUCTIONS.index(mean)]


def _native_options(x: Any, options: Any) -> Any:
    """Return the options as the kernels take them: the number of means instead of the reduction."""
    *others, mean = options
    return (*others, None if mean == "none" else math.prod(_value_shape(x, mean)))


def _slopes_shape(x: Any, slopes: bool) -> Any:
    return x.shape if slopes else (*x.shape[:-1], 0)


def _forward(x: Any, positive: Any, steepness: Any, mask: Any, *options: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """Return values and counts; for the derivatives the order of the items, and the slopes of means if kept."""
    if not _array.is_device(x):
        return _on_host(x, positive, steepness, mask, *options)
    groups, fault = (
        _device_groups.Groups(x, positive, steepness, options[:-1], _value_shape(x, options[-2])),
        _cuda.fault(x),
    )
    order, count = groups.arrange(mask)
    value, slopes = groups.values(order, count, options[-1], fault)
    _cuda.confirm(fault, _on_host, x, positive, steepness, mask, *options)
    return value, count, order, slopes


def _on_host(x: Any, positive: Any, steepness: Any, mask: Any, *options: Any) -> tuple[np.ndarray[Any, Any], ...]:
    value, count, order, slopes = _native.group_order(
        "group_order", (x, steepness), (positive, mask), _native_options(x, options[:-1]), options[-1]
    )
    return (
        value.reshape(_value_shape(x, options[-2])),
        count.reshape(x.shape[:-1]),
        order.reshape(x.shape),
        slopes.reshape(_slopes_shape(x, options[-1])),
    )


def _shapes(x: Any, positive: Any, steepness: Any, mask: Any, *options: Any) -> _torch.Shapes:
    value, slopes = _value_shape(x, options[-2]), _slopes_shape(x, options[-1])
    return (value, None), (x.shape[:-1], "int64"), (x.shape, "int32"), (slopes, None)


def _vjp(x: Any, positive: Any, steepness: Any, mask: Any, *rest: Any) -> tuple[np.ndarray[Any, Any], ...]:
    *options, order, slopes, gradient, wanted = rest
    if _array.is_device(x):
        groups = _device_groups.Groups(x, positive, steepness, options[:-1], _value_shape(x, options[-2]))
        if options[-1] and wanted == 1:
            return groups.scaled(slopes, gradient), _cuda.empty((0,), "float32", x)
        return groups.gradients(order, gradient)
    if options[-1] and wanted == 1:  # to the scores alone
        return _native.group_order_scaled((slopes, gradient)).reshape(x.shape), _NOTHING
    found = _native.group_order_vjp(
        "group_order", (x, steepness), (positive, mask), _native_options(x, options[:-1]), order, gradient
    )
    return found[0].reshape(x.shape), found[1].reshape(steepness.shape)


def _second(x: Any, positive: Any, steepness: Any, mask: Any, *rest: Any) -> tuple[np.ndarray[Any, Any], ...]:
    *options, order, _, gradient, x_tangent, steepness_tangent = rest
    if _array.is_device(x):
        groups = _device_groups.Groups(x, positive, steepness, options[:-1], _value_shape(x, options[-2]))
        return groups.gradients(order, gradient, (x_tangent, steepness_tangent))
    a, s, g, p, q = (y.astype(np.float64, copy=False) for y in (x, steepness, gradient, x_tangent, steepness_tangent))
    given = _native_options(x, options[:-1])
    found = _native.group_order_second("group_order", (a, s), (positive, mask), given, order, (g, (p, q)))
    return tuple(
        y.reshape(like.shape).astype(like.dtype, copy=False)
        for y, like in zip(found, (x, steepness, gradient), strict=True)
    )


_torch.declare_smooth(
    "group_order",
    "(Tensor x, Tensor positive, Tensor steepness, Tensor? mask, int? negatives, str network, str distribution, "
    "bool log, str mean, bool keep) -> (Tensor probability, Tensor count, Tensor order, Tensor slopes)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=_shapes,
    differentiable=("x", "steepness"),
    saved=("order", "slopes"),
    values=1,
    shown=2,
    device=True,
)
