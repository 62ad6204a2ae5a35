"""Hard ranks with an interpolated gradient."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device, _lists


def blackbox_rank(
    x: Array,
    *,
    interpolation: float = 1.0,
    descending: bool = False,
    dim: int = -1,
    mask: Array | None = None,
    offsets: Array | None = None,
    fill: float = math.nan,
) -> Any:
    """Return each item's exact rank in its list, from 1, with a gradient that looks `interpolation` ahead.

    The rank is piecewise constant, so its derivative says nothing. What comes back instead for an upstream gradient g
    is

        (rank(x + interpolation g) - rank(x)) / interpolation,

    the gradient of a continuous function that equals the loss, linearised in the ranks, wherever no two scores are
    closer than `interpolation` times the difference of their g.

    Args:
        x: scores, shape (..., n), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. Each row along `dim` is a list.
        interpolation: how far to look, > 0, in units of scores per unit of g: large ones give dense, coarse gradients.
        descending: give rank 1 to the largest item.
        dim: dimension along which the lists lie.
        mask: booleans of the shape of `x`; items that are False are in no list.
        offsets: int64 or int32, shape (lists + 1,): the last dimension then holds the lists
            `offsets[i]:offsets[i + 1]`, the same in every row.
        fill: what masked items get.

    Returns:
        Ranks of the shape, dtype and kind of `x`; equal items are ranked by position. A list with a NaN among the items
        that count is NaN. Ranks that the dtype cannot hold (beyond 2048 in float16) are rounded.

    Raises:
        TypeError: not an array, not of a floating dtype, arrays of two kinds, or `mask` not boolean.
        ValueError: `interpolation` not finite and > 0, shapes that do not fit, or `offsets` that do not rise from 0 to
            n. (On a device bad offsets are told only on request, see `argrad.set_device_validation`: a list that they
            bound wrongly is NaN.)

    Gradient:
        The formula above, which is not the derivative of the ranks (that is zero where it exists). Zero at masked items
        and where the look ahead changes no rank. The second derivative is the same rule applied to it.

    Determinism:
        No randomness; the same bits on any number of threads and in any batch.

    Cost:
        One sort forward, two backward; O(n log n) time and O(n) memory.

    References:
        Rolinek et al., "Optimizing Rank-based Metrics with Blackbox Differentiation", CVPR 2020, arXiv:1912.03500,
        Algorithm 1. There ranks are descending; for ascending ranks the same formula is used.

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import blackbox_rank
        >>> blackbox_rank(np.array([0.3, -1.0, 2.0]))
        array([2., 1., 3.])
    """
    lists = _lists.enter("blackbox_rank", x, dim=dim, mask=mask, offsets=offsets, device=True)
    interpolation = _check.real("blackbox_rank", "interpolation", interpolation, low=0.0, open_low=True)
    if isinstance(fill, bool) or not isinstance(fill, int | float | np.integer | np.floating):
        raise TypeError(f"blackbox_rank: fill must be a number, got {fill!r}")
    options = (interpolation, _check.flag("blackbox_rank", "descending", descending), float(fill))
    return lists.leave(_lists.call("blackbox_rank", _forward, 1, lists.x, lists.mask, lists.offsets, *options))


def _forward(x: Any, mask: Any, offsets: Any, interpolation: float, descending: bool, fill: float) -> tuple[Any, ...]:
    if _array.is_device(x):
        return (_on_device(x, mask, offsets, descending, fill),)
    return _on_host(x, mask, offsets, descending, fill)


def _on_host(x: Any, mask: Any, offsets: Any, descending: bool, fill: float) -> tuple[Any, ...]:
    bounds = _lists.bounds("blackbox_rank", x.shape, offsets)
    return (_native.hard_rank("blackbox_rank", x, bounds, mask, descending, fill).reshape(x.shape),)


def _on_device(x: Any, mask: Any, offsets: Any, descending: bool, fill: float) -> Array:
    lists, fault, wide = _device.batch(x, offsets), _cuda.fault(x), _cuda.widen(x)
    order = _device.order(wide, mask, lists, descending, fault)
    _cuda.confirm(fault, _on_host, x, mask, offsets, descending, fill)
    return _device.hard_ranks(wide, order, lists, fill)


def _shapes(x: Any, *args: Any) -> _torch.Shapes:
    return ((x.shape, None),)


def _backward(saved: Mapping[str, Any], grads: Sequence[Any], wanted: Sequence[str]) -> dict[str, Any]:
    x, mask, offsets, ahead, descending = (
        saved[name] for name in ("x", "mask", "offsets", "interpolation", "descending")
    )
    # Masked items count as 0 in both, whatever the caller fills them with.
    arguments = (mask, offsets, ahead, descending, 0.0)
    change = _torch.blackbox_rank(x + ahead * grads[0], *arguments) - _torch.blackbox_rank(x, *arguments)
    return {"x": change / ahead}


_torch.declare(
    "blackbox_rank",
    "(Tensor x, Tensor? mask, Tensor? offsets, float interpolation, bool descending, float fill) -> (Tensor rank)",
    forward=_forward,
    shapes=_shapes,
    backward=_backward,
    values=1,
    saved=("x", "mask", "offsets", "interpolation", "descending"),
    folds=True,
    device=True,
)
