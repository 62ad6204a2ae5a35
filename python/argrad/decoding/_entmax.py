"""Entmax, between softmax and the Euclidean projection onto the simplex, and the conjugate of its entropy."""

import math
from typing import Any

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.decoding import _device_simplex, _rows


def sparsemax(x: Array, *, dim: int = -1) -> Any:
    """Return the distribution nearest to the scores: mostly zeros.

    The Euclidean projection onto the simplex, with tau such that each row sums to 1:

        p = argmin_{p >= 0, SUM p = 1} |p - x|^2,    p_i = max(x_i - tau, 0).

    Args:
        x: scores, float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or CUDA) or cupy
            array of at least one dimension. -inf masks an item: it gets 0.
        dim: dimension along which the distributions lie.

    Returns:
        p of the shape, dtype and kind of `x`.

    Raises:
        TypeError: not an array, or not of a floating dtype.
        ValueError: rows without numbers, a NaN, +inf or only -inf in a row (the row is named; on a device it gives NaN,
            see `argrad.set_device_validation`), or `dim` out of range.

    Gradient:
        To `x`, exact: on the support of p the upstream gradient less its mean there, zero elsewhere. Where an item
        enters the support p has a kink; it counts as outside. The second derivative is zero.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        One read of `x` and one write of p; no sort. Backward touches the support alone. Kept for it: 12 bytes for each
        item of the support, and `x`; nothing for rows of which more than an eighth is in the support.

    References:
        Martins, Astudillo, "From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label Classification",
        ICML 2016, arXiv:1602.02068. Solved by Newton's iteration on the items that the maxima of blocks leave.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import sparsemax
        >>> sparsemax(np.array([1.0, 0.5, -1.0]))
        array([0.75, 0.25, 0.  ])
    """
    if (found := _lent("sparsemax", x, 2.0, dim)) is not None:
        return found
    rows, back = enter("sparsemax", x, dim)
    return back(call("entmax", _forward, rows.x, _alpha(rows, 2.0), "sparsemax"))


def entmax(x: Array, alpha: float | Array = 1.5, *, dim: int = -1) -> Any:
    """Return a distribution that is zero for low scores, between softmax and sparsemax and beyond.

    The scores' expectation is weighed against Tsallis' entropy; with tau such that each row sums to 1,

        p = argmax_{p >= 0, SUM p = 1}  <p, x> - SUM_i (p_i^alpha - p_i) / (alpha (alpha - 1)),
        p_i = max((alpha - 1) x_i - tau, 0)^(1 / (alpha - 1)).

    alpha = 1 is softmax (the entropy's limit is SUM p log p), alpha = 2 is `sparsemax`. The larger alpha, the fewer
    items are not zero: those within 1 / (alpha - 1) of the largest can be.

    Args:
        x: scores, float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or CUDA) or cupy
            array of at least one dimension. -inf masks an item: it gets 0.
        alpha: >= 1, a number, or an array of numbers of the kind of `x`, floating, that broadcasts to the shape of `x`
            without `dim`: one for each distribution.
        dim: dimension along which the distributions lie.

    Returns:
        p of the shape, dtype and kind of `x`.

    Raises:
        TypeError: not an array, not of a floating dtype, or arrays of two kinds.
        ValueError: rows without numbers; a NaN, +inf or only -inf in a row, or an alpha below 1 or not finite (the row
            is named; on a device it gives NaN, see `argrad.set_device_validation`); shapes that do not fit, or `dim`
            out of range.

    Gradient:
        Exact, to `x` and `alpha`, and twice differentiable. With s = p^(2 - alpha) on the support of p and 0 elsewhere:
        J g = s (g - <s, g> / SUM s) to `x`, and -<J g, C> to `alpha` with C_i the derivative of
        (p_i^(alpha - 1) - 1) / (alpha - 1) to alpha; nothing cancels near alpha = 1. For alpha = 2 there is a kink
        where an item enters the support, for alpha > 2 the slope is infinite there. The second derivative grows beyond
        all bounds there from alpha > 1.5 on, but for alpha = 2, where it is zero. Forward mode is not supported.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        One read of `x`, one write of p, and some steps of Newton's iteration on about as many items as the support has;
        for alpha > 2 they are sorted. Backward touches the support alone. Kept for it: 12 bytes for each item of the
        support, and `x`; nothing for rows of which more than an eighth is in the support.

    References:
        Peters, Niculae, Martins, "Sparse Sequence-to-Sequence Models", ACL 2019, arXiv:1905.05702;
        Correia, Niculae, Martins, "Adaptively Sparse Transformers", EMNLP 2019, arXiv:1909.00015, Prop. 1 for the
        derivative to alpha, here in a form without its poles at 1. Theirs is bisection, or a sort for 1.5 and 2.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import entmax
        >>> x = np.array([1.0, 0.5, -1.0])
        >>> entmax(x).round(3)
        array([0.674, 0.326, 0.   ])
        >>> entmax(x, np.array(1.0)).round(3)
        array([0.574, 0.348, 0.078])
    """
    if (found := _lent("entmax", x, alpha, dim)) is not None:
        return found
    rows, back = enter("entmax", x, dim)
    return back(call("entmax", _forward, rows.x, _alpha(rows, alpha), "entmax"))


def entmax_conjugate(x: Array, alpha: float | Array = 1.5, *, target: Array | None = None, dim: int = -1) -> Any:
    """Return the smooth maximum whose gradient is entmax; with a target, how far the target is from entmax.

    With Omega(p) = SUM_i (p_i^alpha - p_i) / (alpha (alpha - 1)), whose limit for alpha = 1 is SUM p log p,

        value = Omega*(x) = max_{p >= 0, SUM p = 1}  <p, x> - Omega(p),
        value = Omega*(x) + Omega(y) - <x, y>                               with a target y.

    For alpha = 1 these are logsumexp, and cross-entropy or (for distributions) the Kullback-Leibler divergence. The
    second form is the Fenchel-Young loss: >= 0, and 0 where y = entmax(x, alpha). It is computed without the difference
    of large numbers that the formula has for confident rows, and its gradient is made in one pass.

    Args:
        x: scores, float16, bfloat16 (torch), float32 or float64; numpy array, torch tensor (CPU or CUDA) or cupy
            array of at least one dimension. -inf masks an item.
        alpha: as in `entmax`.
        target: None; class indices, of an integer dtype and the shape of `x` without `dim`; or distributions of the
            shape of `x` and a floating dtype, whose sum is taken to be 1.
        dim: dimension along which the scores of one value lie.

    Returns:
        One value for each row, of the shape of `x` without `dim`, its dtype and its kind. A target
        that is masked has inf.

    Raises:
        TypeError: not an array, not of a floating dtype, or arrays of two kinds.
        ValueError: as for `entmax`; a class out of range, or a share that is negative or not finite (the row is named).

    Gradient:
        To `x`: entmax(x, alpha), less the target. To `alpha`: the derivative of Omega(y) - Omega(p), exactly. Twice
        differentiable; the second derivative to `x` is the first one of `entmax`. None to `target`.

    Determinism:
        No randomness; the same bits on any number of threads, on any instruction set, and in any batch.

    Cost:
        One read of `x` and some steps of Newton's iteration on about as many items as the support has; backward writes
        the gradient. Kept for it: 12 bytes for each item of the support, and `x`.

    References:
        Blondel, Martins, Niculae, "Learning with Fenchel-Young Losses", JMLR 21, 2020, arXiv:1901.02324.

    Examples:
        >>> import numpy as np
        >>> from argrad.decoding import entmax_conjugate
        >>> x = np.array([1.0, 0.5, -1.0])
        >>> entmax_conjugate(x, 2.0).round(3)
        np.float64(1.062)
        >>> entmax_conjugate(x, 2.0, target=np.array(0)).round(3)
        np.float64(0.062)
    """
    rows, _ = enter("entmax_conjugate", x, dim)
    return call(
        "entmax_conjugate", _conjugate, rows.x, _alpha(rows, alpha), _target(rows, target, dim), "entmax_conjugate"
    )


def _lent(function: str, x: Array, alpha: Any, dim: int) -> Any:
    """Return the distributions where there is a short way to them; None elsewhere, see `_torch.lend`."""
    if dim != -1 or type(alpha) is not float or not 1.0 <= alpha < math.inf:
        return None
    array = _torch.lend(x)
    if array is None or array.shape[-1] > _rows.MOST:
        return None
    p, _ = _native.entmax(function, array, _array.constant(array.shape[:-1], alpha, "float64", array))
    return _torch.give((p.reshape(array.shape),))[0]


def enter(function: str, x: Array, dim: int) -> tuple[_rows.Rows, Any]:
    """Return the rows along `dim`, and a function that puts them back there."""
    if dim == -1:
        return _rows.enter(function, "x", x, device=True), lambda y: y
    _check.floating(function, "x", x, device=True)
    dim = _check.integer(function, "dim", dim, low=-max(x.ndim, 1), high=max(x.ndim, 1) - 1)
    turned = moved(x, dim, -1)
    return _rows.enter(function, "x", turned, device=True), lambda y: moved(y, -1, dim)


def moved(x: Array, source: int, target: int) -> Array:
    if x.ndim == 0:
        return x
    if _array.is_tensor(x):
        return x.movedim(source, target)
    order = list(range(x.ndim))
    order.insert(target % x.ndim, order.pop(source))
    return x.transpose(order)


def spread(function: str, argument: str, value: Array, x: Array, name: str, shape: tuple[int, ...]) -> Array:
    """Require a floating array of the kind of `x`, which is called `name`, that broadcasts to `shape`; broadcast it.

    Raises:
        TypeError: not an array, not floating, or of another kind.
        ValueError: a shape that does not fit.
    """
    _check.floating(function, argument, value, device=True)
    _check.same_kind(function, {name: x, argument: value})
    given = tuple(value.shape)
    if len(given) > len(shape) or any([n not in (1, m) for n, m in zip(given[::-1], shape[::-1], strict=False)]):  # noqa: C419 (torch.compile traces it)
        raise ValueError(f"{function}: {argument} must be of a shape that broadcasts to {shape}, got {given}")
    return _array.spread(value, shape)


def _alpha(rows: _rows.Rows, alpha: Any) -> Array:
    """Require a number >= 1, or an array of them that broadcasts to the batch; return float64 of the batch's shape."""
    if _array.kind_of(alpha) is None:
        number = _check.real(rows.function, "alpha", alpha, low=1.0)
        return _array.constant(rows.batch, number, "float64", rows.x)
    return _array.cast(spread(rows.function, "alpha", alpha, rows.x, "x", rows.batch), "float64")


def _target(rows: _rows.Rows, target: Array | None, dim: int) -> Array | None:
    """Require class indices of the batch's shape as int64, or distributions of the rows' shape in the rows' dtype."""
    if target is None:
        return None
    function, x = rows.function, rows.x
    _check.numbers(function, "target", target, device=True)
    _check.same_kind(function, {"x": x, "target": target})
    classes = _check.dtype_name(target).startswith(("int", "uint"))
    if not classes:
        _check.floating(function, "target", target, device=True)
        target = moved(target, dim, -1) if target.ndim == x.ndim else target
    expected = rows.batch if classes else (*rows.batch, rows.v)
    if tuple(target.shape) != expected:
        raise ValueError(f"{function}: target must be of shape {expected}, got {tuple(target.shape)}")
    target = target.detach() if _array.is_tensor(target) else target
    return _array.cast(target, "int64" if classes else _array.computed(x))


def call(operator: str, forward: Any, x: Array, *args: Any) -> Any:
    """Call the operator on a tensor, its forward function on an array of another kind."""
    if _array.is_tensor(x):
        return getattr(_torch, operator)(x, *args)
    arrays = [_array.raw(y) if _array.kind_of(y) is not None else y for y in (x, *args)]
    return _array.like(forward(*arrays)[0], x, x.dtype)


def _forward(x: Any, alpha: Any, function: str, memo: bool = False) -> tuple[Any, ...]:
    if _array.is_device(x):
        found = _device_simplex.entmax(x, alpha, function)
        return found if memo else found[:1]
    p, kept = _native.entmax(function, x, alpha)
    return (p.reshape(x.shape), kept) if memo else (p.reshape(x.shape),)


def _vjp(x: Any, alpha: Any, function: str, g: Any, wanted: int, kept: Any = None) -> tuple[Any, ...]:
    if _array.is_device(x):
        return _device_simplex.entmax_vjp(x, alpha, function, g, wanted, kept)
    dx, dalpha = _native.entmax_vjp(function, x, alpha, g, wanted, kept)
    return dx.reshape(x.shape), dalpha.reshape(alpha.shape)


def _second(x: Any, alpha: Any, function: str, g: Any, along: Any, along_alpha: Any) -> tuple[Any, ...]:
    if _array.is_device(x):
        return _device_simplex.entmax_second(x, alpha, function, g, along, along_alpha)
    dx, dalpha, dg = _native.entmax_second(function, x, alpha, g, along, _double(along_alpha))
    return dx.reshape(x.shape), dalpha.reshape(alpha.shape), dg.reshape(x.shape)


def _double(x: Any) -> Any:
    return x.astype(np.float64, copy=False)


_torch.declare_smooth(
    "entmax",
    "(Tensor x, Tensor alpha, str function) -> (Tensor p)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=lambda x, *_: ((x.shape, None),),
    differentiable=("x", "alpha"),
    saved=(),
    values=1,
    memo=True,
    device=True,
)


def _conjugate(x: Any, alpha: Any, target: Any, function: str, memo: bool = False) -> tuple[Any, ...]:
    if _array.is_device(x):
        found = _device_simplex.conjugate(x, alpha, target, function)
        return found if memo else found[:1]
    value, kept = _native.entmax_conjugate(function, x, alpha, target)
    value = value.reshape(x.shape[:-1])
    return (value, kept) if memo else (value,)


def _conjugate_vjp(
    x: Any, alpha: Any, target: Any, function: str, g: Any, wanted: int, kept: Any = None
) -> tuple[Any, ...]:
    if _array.is_device(x):
        return _device_simplex.conjugate_vjp(x, alpha, target, function, g, wanted, kept)
    dx, dalpha = _native.entmax_conjugate_vjp(function, x, alpha, target, g, wanted, kept)
    return dx.reshape(x.shape), dalpha.reshape(alpha.shape)


def _conjugate_second(
    x: Any, alpha: Any, target: Any, function: str, g: Any, along: Any, along_alpha: Any
) -> tuple[Any, ...]:
    if _array.is_device(x):
        return _device_simplex.conjugate_second(x, alpha, target, function, g, along, along_alpha)
    dx, dalpha, dg = _native.entmax_conjugate_second(function, x, alpha, target, g, along, _double(along_alpha))
    return dx.reshape(x.shape), dalpha.reshape(alpha.shape), dg.reshape(g.shape)


_torch.declare_smooth(
    "entmax_conjugate",
    "(Tensor x, Tensor alpha, Tensor? target, str function) -> (Tensor value)",
    forward=_conjugate,
    vjp=_conjugate_vjp,
    second=_conjugate_second,
    shapes=lambda x, *_: ((x.shape[:-1], None),),
    differentiable=("x", "alpha"),
    saved=(),
    values=1,
    memo=True,
    device=True,
)
