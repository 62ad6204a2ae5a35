"""Soft top-k masks: one curve of the scores, at the threshold where it sums to k."""

from typing import Any

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.sorting import _device_topk, _lists

KINDS = ("logistic", "laplace", "l2", "pnorm", "gaussian", "threshold")


def soft_topk(
    x: Array,
    k: float | Array,
    *,
    dim: int = -1,
    kind: str = "logistic",
    p: float = 4 / 3,
    temperature: float | Array = 1.0,
    largest: bool = True,
    log: bool = False,
    mask: Array | None = None,
    offsets: Array | None = None,
    straight_through: bool = False,
) -> Any:
    """Return how much each item of a list belongs to its k largest: numbers between 0 and 1 that sum to k.

    With an increasing curve F from 0 to 1 and t_i = (x_i - theta) / temperature,

        y_i = F(t_i),   theta such that sum_i y_i = k.

    ============== ================================ ====================================================================
    kind           F(t)                             known as
    ============== ================================ ====================================================================
    `"logistic"`   1 / (1 + exp(-t))                entropic transport to two targets (SOFT, at twice the temperature)
    `"laplace"`    exp(t) / 2, mirrored above 0     LapSum
    `"l2"`         t, cut to 0..1                   Euclidean projection on {0 <= y <= 1, sum y = k}; sparse
    `"pnorm"`      t^(1 / (p - 1)), t cut to 0..1   the same in a p-norm; sparse, and smooth where y = 0
    `"gaussian"`   the normal distribution function
    `"threshold"`  1 / (1 + exp(-t))                DFTopK: theta is the mean of the k-th and the next item
    ============== ================================ ====================================================================

    Args:
        x: scores, shape (..., n), float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or
            CUDA) or cupy array. Each row along `dim` is a list.
        k: what each list's values sum to, a real number >= 0, or an array of one number per list (the shape of `x`
            without `dim`; with `offsets`, followed by the number of lists). `"threshold"` takes whole numbers only.
        dim: dimension along which the lists lie.
        kind: the curve, see above.
        p: order of the norm of `"pnorm"`, in (1, 2]; 2 is `"l2"`.
        temperature: unit of the scores, > 0: small ones give nearly 0 and 1. A number or an array like `k`.
        largest: choose the largest items; False chooses the smallest.
        log: return ln y, accurate where y is near 0 or 1 or too small for its dtype.
        mask: booleans of the shape of `x`; items that are False are in no list: y = 0.
        offsets: int64 or int32, shape (lists + 1,): the last dimension then holds the lists
            `offsets[i]:offsets[i + 1]`, the same in every row.
        straight_through: return the hard choice, 1 for the floor(k) largest items (equal items by position) and else 0,
            with the gradient of the soft one.

    Returns:
        y of the shape, dtype and kind of `x`. The sum of a list's values is k to 1e-6 k in float32 and float64, except
        for `"threshold"`, whose sum is only about k. A k of 0 gives zeros, a k of at least the number of items that
        count gives ones. A list with a NaN among the items that count is NaN. Items of +inf are in (more than k of them
        share k equally), items of -inf are out unless k exceeds the number of others.

    Raises:
        TypeError: not an array, not of a floating dtype, arrays of two kinds, or `mask` not boolean.
        ValueError: k negative, NaN or infinite, `temperature` not finite and > 0, `p` out of range, an unknown `kind`,
            a `k` that is not whole with `"threshold"`, or shapes that do not fit. (On a device faults of the values
            are told only on request, see `argrad.set_device_validation`: a list with such a number is NaN, and what no
            list bounds is.)

    Gradient:
        Exact, to `x`, `k` and `temperature`, twice differentiable. With f_i = F'(t_i) and m the mean of the upstream
        gradient g weighted by f: f_i (g_i - m) / temperature to x_i and m to k. Where the temperature is so far below
        the gap between the k-th and the next item that f vanishes, the gradient to `x` is zero and m is the mean over
        the two boundary items, the limit. It is zero at masked and infinite items, and everywhere in lists with
        k = 0 or k at least the number of items that count. `"l2"` and `"pnorm"` have kinks where an item reaches 0 or
        1: the slope there is 0. `"threshold"` passes half of minus the summed gradient to each of its two items, and
        zero to `k`. With `log`, an item of y = 0 gets zero; gradients to `k` end at 3.4e38. Forward mode is not
        supported.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        O(n) time: about five passes over a list forward, two backward; with temperatures far below the distances of
        the items a selection and some passes in float64. Beside the result two numbers per list are kept for the
        backward pass. `log` and second derivatives take about ten times as long as the plain gradient.

    References:
        Xie et al., "Differentiable Top-k Operator with Optimal Transport", NeurIPS 2020, arXiv:2002.06504 (with epsilon
        twice the temperature and two targets at distance 1). Struski et al., "LapSum - One Method to Differentiate Them
        All: Ranking, Sorting and Top-k Selection", ICML 2025, arXiv:2503.06242; solved here without a sort. Sander et
        al., "Fast, Differentiable and Sparse Top-k: a Convex Analysis Perspective", ICML 2023, arXiv:2302.01425, with
        weights 1_k.

    Examples:
        >>> import numpy as np
        >>> from argrad.sorting import soft_topk
        >>> x = np.array([0.0, 3.0, 1.0, 2.0])
        >>> soft_topk(x, 2).round(3)
        array([0.182, 0.818, 0.378, 0.622])
        >>> soft_topk(x, 2, kind="l2", temperature=2.0).round(3)
        array([0.  , 1.  , 0.25, 0.75])
        >>> soft_topk(x, 1.5, temperature=0.01).round(3)
        array([0. , 1. , 0. , 0.5])
    """
    lists = _lists.enter("soft_topk", x, dim=dim, mask=mask, offsets=offsets, device=True)
    kind = _check.choice("soft_topk", "kind", kind, KINDS)
    p = _check.real("soft_topk", "p", p, low=1.0, high=2.0, open_low=True)
    for argument, flag in (("largest", largest), ("log", log), ("straight_through", straight_through)):
        _check.flag("soft_topk", argument, flag)
    y = _lists.call(
        "soft_topk",
        _forward,
        1,
        lists.x,
        _lists.per_list(lists, "k", k, low=0.0),
        _lists.per_list(lists, "temperature", temperature, low=0.0, open_low=True),
        lists.mask,
        lists.offsets,
        kind,
        p,
        bool(largest),
        bool(log),
        bool(straight_through),
    )
    return lists.leave(y)


def _forward(
    x: Any, k: Any, temperature: Any, mask: Any, offsets: Any, kind: str, p: float, largest: bool, log: bool, hard: bool
) -> tuple[Any, ...]:
    """Return the values and each list's threshold: the bits of two float64, whatever is computed in."""
    if _array.is_device(x):
        options = (kind, p, largest, log, hard)
        return _device_topk.forward(_forward_on_host, x, k, temperature, mask, offsets, options)
    return _forward_on_host(x, k, temperature, mask, offsets, kind, p, largest, log, hard)


def _forward_on_host(
    x: Any, k: Any, temperature: Any, mask: Any, offsets: Any, kind: str, p: float, largest: bool, log: bool, hard: bool
) -> tuple[Any, ...]:
    bounds = _lists.bounds("soft_topk", x.shape, offsets)
    y, theta = _native.soft_topk("soft_topk", x, k, temperature, bounds, mask, (kind, p, largest, log, hard))
    return y.reshape(x.shape), theta.view(np.int64).reshape(*k.shape, 2)


def _shapes(x: Any, k: Any, *args: Any) -> _torch.Shapes:
    return (x.shape, None), ((*k.shape, 2), "int64")


def _vjp(
    x: Any,
    k: Any,
    temperature: Any,
    mask: Any,
    offsets: Any,
    kind: str,
    p: float,
    largest: bool,
    log: bool,
    hard: bool,
    theta: Any,
    g: Any,
    wanted: int,
) -> tuple[Any, ...]:
    options = (kind, p, largest, log, hard)
    if _array.is_device(x):
        return _device_topk.vjp(x, k, temperature, mask, offsets, options, theta, g)
    bounds = _lists.bounds("soft_topk", x.shape, offsets)
    found = _native.soft_topk_vjp("soft_topk", x, k, temperature, bounds, mask, options, theta.view(np.float64), g)
    return tuple(y.reshape(like.shape) for y, like in zip(found, (x, k, temperature), strict=True))


def _second(
    x: Any,
    k: Any,
    temperature: Any,
    mask: Any,
    offsets: Any,
    kind: str,
    p: float,
    largest: bool,
    log: bool,
    hard: bool,
    theta: Any,
    g: Any,
    *tangents: Any,
) -> tuple[Any, ...]:
    options = (kind, p, largest, log, hard)
    if _array.is_device(x):
        return _device_topk.second(x, k, temperature, mask, offsets, options, theta, g, tangents)
    bounds = _lists.bounds("soft_topk", x.shape, offsets)
    found = _native.soft_topk_second(
        "soft_topk", x, k, temperature, bounds, mask, options, theta.view(np.float64), g, tangents
    )
    return tuple(y.reshape(like.shape) for y, like in zip(found, (x, k, temperature, g), strict=True))


_torch.declare_smooth(
    "soft_topk",
    "(Tensor x, Tensor k, Tensor temperature, Tensor? mask, Tensor? offsets, str kind, float p, bool largest, "
    "bool log, bool hard) -> (Tensor y, Tensor theta)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=_shapes,
    differentiable=("x", "k", "temperature"),
    saved=("theta",),
    values=1,
    device=True,
)
