"""Softmax and sparsemax with an upper bound for each item."""

from typing import Any

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.decoding import _device_constrained
from argrad.decoding._entmax import call, enter, moved, spread


def constrained_softmax(x: Array, upper: float | Array, *, dim: int = -1) -> Any:
    """Return the softmax whose values stay below their upper bounds.

    What an item's bound takes from it goes to the others, in proportion to theirs:

        p = argmin_{0 <= p <= upper, SUM p = 1}  SUM_i p_i log p_i - <p, x>,    p_i = min(e^(x_i - theta), upper_i),

    theta such that each row sums to 1. Attention with a limited fertility is one use of it.

    Args:
        x: scores, float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or CUDA) or cupy
            array of at least one dimension. -inf masks an item: it gets 0.
        upper: bounds >= 0, inf for none: a number, or an array of the kind and precision of `x` that broadcasts to its
            shape. The bounds of the items of a row that are not masked sum to at least 1, up to rounding.
        dim: dimension along which the distributions lie.

    Returns:
        p of the shape, dtype and kind of `x`.

    Raises:
        TypeError: not an array, not of a floating dtype, or arrays of two kinds or precisions.
        ValueError: rows without numbers; a NaN, +inf or only -inf in a row, a bound that is negative or NaN, or bounds
            that sum to less than 1 (the row is named; on a device it gives NaN, see `argrad.set_device_validation`);
            shapes that do not fit, or `dim` out of range.

    Gradient:
        Exact, to `x` and `upper`, and twice differentiable. With m the mean of the upstream gradient g weighted by p
        over the items below their bounds: p_i (g_i - m) to the x of these, g_i - m to the bounds of the others, zero
        elsewhere. An item that just reaches its bound counts as being there.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        O(v) for each round in which items reach their bounds: few, and each of those left loses mass to fewer. No sort.
        Backward solves once more; nothing but the inputs is kept.

    References:
        Martins, Kreutzer, "Learning What's Easy: Fully Differentiable Neural Easy-First Taggers", EMNLP 2017.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import constrained_softmax
        >>> constrained_softmax(np.array([2.0, 1.0, 1.0]), np.array([0.5, 1.0, 1.0]))
        array([0.5 , 0.25, 0.25])
    """
    return _solve("constrained_softmax", x, upper, None, dim)


def constrained_sparsemax(x: Array, upper: float | Array, *, total: float = 1.0, dim: int = -1) -> Any:
    """Return the point nearest to the scores between 0 and upper bounds, with a given sum.

    The Euclidean projection onto a box cut by a plane:

        p = argmin_{0 <= p <= upper, SUM p = total} |p - x|^2,    p_i = min(max(x_i - tau, 0), upper_i).

    With `upper=1` and `total=k` this is a relaxed choice of k items.

    Args:
        x: scores, float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or CUDA) or cupy
            array of at least one dimension. -inf masks an item: it gets 0.
        upper: bounds >= 0, inf for none: a number, or an array of the kind and precision of `x` that broadcasts to its
            shape. The bounds of the items of a row that are not masked sum to at least `total`, up to rounding.
        total: what each row sums to, > 0.
        dim: dimension along which the rows lie.

    Returns:
        p of the shape, dtype and kind of `x`.

    Raises:
        TypeError: not an array, not of a floating dtype, or arrays of two kinds or precisions.
        ValueError: rows without numbers; a NaN, +inf or only -inf in a row, a bound that is negative or NaN, or bounds
            that sum to less than `total` (the row is named; on a device it gives NaN, see
            `argrad.set_device_validation`); shapes that do not fit, `total` or `dim` out of range.

    Gradient:
        Exact, to `x` and `upper`. With m the mean of the upstream gradient g over the items between their bounds:
        g_i - m to the x of these, g_i - m to the upper bounds that are reached, zero elsewhere. An item that just
        reaches a bound counts as being there. The second derivative is zero.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        O(v) for each step of Newton's iteration in tau, of which there are about fifteen. No sort. Backward solves once
        more; nothing but the inputs is kept.

    References:
        Malaviya, Ferreira, Martins, "Sparse and Constrained Attention for Neural Machine Translation", ACL 2018,
        arXiv:1805.08241; theirs sorts. For sums other than 1: Amos, Koltun, Kolter, "The Limited Multi-Label Projection
        Layer", 2019, arXiv:1906.08707, with another regulariser.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import constrained_sparsemax
        >>> constrained_sparsemax(np.array([2.0, 1.0, 0.75, 0.0]), 1.0, total=2.0)
        array([1.   , 0.625, 0.375, 0.   ])
    """
    total = _check.real("constrained_sparsemax", "total", total, low=0.0, open_low=True)
    return _solve("constrained_sparsemax", x, upper, total, dim)


def _solve(function: str, x: Array, upper: Any, total: float | None, dim: int) -> Any:
    bounds = _upper(function, x, upper)
    rows, back = enter(function, x, dim)
    bounds = bounds if dim == -1 else moved(bounds, dim, -1)
    return back(call("constrained", _forward, rows.x, bounds, function, total))


def _upper(function: str, x: Array, upper: Any) -> Array:
    """Require a number >= 0, or an array that broadcasts to the shape of `x`; return an array of that shape."""
    _check.floating(function, "x", x, device=True)
    shape = tuple(x.shape)
    if _array.kind_of(upper) is None:
        number = np.inf if upper == np.inf else _check.real(function, "upper", upper, low=0.0)
        return _array.full(shape, number, x)
    found = spread(function, "upper", upper, x, "x", shape)
    _check.same_precision(function, {"x": x, "upper": upper})
    return found


def _forward(x: Any, upper: Any, function: str, total: float | None, memo: bool = False) -> tuple[Any, ...]:
    if _array.is_device(x):
        found = _device_constrained.forward(x, upper, function, total)
        return found if memo else found[:1]
    return tuple(_native.constrained(function, x, upper, total))


def _vjp(
    x: Any, upper: Any, function: str, total: float | None, g: Any, wanted: int, levels: Any = None
) -> tuple[Any, ...]:
    if _array.is_device(x):
        return _device_constrained.vjp(x, upper, function, total, g, levels)
    return tuple(_native.constrained_vjp(function, x, upper, total, g))


def _second(
    x: Any, upper: Any, function: str, total: float | None, g: Any, along: Any, along_upper: Any
) -> tuple[Any, ...]:
    if _array.is_device(x):
        return _device_constrained.second(x, upper, function, total, g, along, along_upper)
    return tuple(_native.constrained_second(function, x, upper, total, g, along, along_upper))


_torch.declare_smooth(
    "constrained",
    "(Tensor x, Tensor upper, str function, float? total) -> (Tensor p)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=lambda x, *_: ((x.shape, None),),
    differentiable=("x", "upper"),
    saved=(),
    values=1,
    memo=True,
    device=True,
)
