"""Projections onto the permutahedron as differentiable operators: what `soft_rank` and `soft_sort` share."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.sorting import _device_soft, _laplace, _lists, _places

REGULARIZATIONS = ("l2", "kl", "pnorm", "laplace")
NAN = float("nan")

Options: TypeAlias = tuple[bool, str, float, bool, float]
"""descending, regularization, p, straight_through, fill."""


def _options(lists: _lists.Lists, options: Options) -> Options:
    """Check the options that are not arrays."""
    function = lists.function
    descending, regularization, p, straight_through, fill = options
    for argument, flag in (("descending", descending), ("straight_through", straight_through)):
        _check.flag(function, argument, flag)
    _check.choice(function, "regularization", regularization, REGULARIZATIONS)
    p = _check.real(function, "p", p, low=1.1, high=2.0)
    if isinstance(fill, bool) or not isinstance(fill, int | float | np.integer | np.floating):
        raise TypeError(f"{function}: fill must be a number, got {fill!r}")
    return bool(descending), regularization, p, bool(straight_through), float(fill)


def _strength(operation: str, lists: _lists.Lists, strength: Any, options: Options) -> Array:
    """Return one strength for each list."""
    _, regularization, p, _, _ = options
    if isinstance(strength, str):
        _check.choice(lists.function, "strength", strength, ("auto",))
        x = _array.cast(lists.x, _array.computed(lists.x))
        x = x.detach() if _array.is_tensor(x) else x
        return _lists.call("soft_auto", _auto, 1, x, lists.mask, lists.offsets, operation, regularization, p)
    return _lists.per_list(lists, "strength", strength, low=0.0)


def project(operation: str, lists: _lists.Lists, strength: Any, options: Options) -> Any:
    """Return the soft ranks or the softly sorted scores, with the dimensions of the caller."""
    options = _options(lists, options)
    strengths = _strength(operation, lists, strength, options)
    if options[1] == "laplace":
        return lists.leave(_lapsum(operation, lists, strengths, options))
    forward = _FORWARD[operation]
    return lists.leave(
        _lists.call(f"soft_{operation}", forward, 1, lists.x, strengths, lists.mask, lists.offsets, *options)
    )


def count_blocks(operation: str, lists: _lists.Lists, strength: Any, options: Options) -> Any:
    """Return the number of blocks of each list, flat on the host."""
    options = _options(lists, options)
    strengths = _array.raw(_strength(operation, lists, strength, options))
    mask, offsets = (None if array is None else _array.raw(array) for array in (lists.mask, lists.offsets))
    x = _array.raw(lists.x)
    if _array.is_device(x):
        _, index, _ = _FORWARD[operation](x, strengths, mask, offsets, *options)
        return _device_soft.count_blocks(index, offsets, lists.batch)
    _check_strength(lists.function, strengths)
    how = _how(lists.function, operation, lists.x.shape, mask, offsets, *options)
    return _native.soft_blocks(lists.function, [x, strengths], how)


def _lapsum(operation: str, lists: _lists.Lists, strength: Array, options: Options) -> Any:
    """LapSum's operator, with the values that do not depend on it put in: `fill`, and exact ones where asked for."""
    descending, _, p, straight_through, fill = options

    y = getattr(_laplace, f"soft_{operation}")(lists, strength, descending)
    tensor = _array.is_tensor(y)
    if straight_through:
        x, zero = lists.x.detach() if tensor else lists.x, _lists.per_list(lists, "strength", 0.0)
        how = (descending, "l2", p, False, fill)
        hard = _lists.call(f"soft_{operation}", _FORWARD[operation], 1, x, zero, lists.mask, lists.offsets, *how)
        # Not hard + (y - y) alone: that is NaN where y is infinite. NaN stays: on a device a bad strength gives it.
        y = (hard + (y - y.detach())).where(~y.isinf(), hard) if tensor else np.where(y != y, y, hard)
    if lists.mask is not None:
        # Where there is no item (rank) or no place (sort).
        empty = ~lists.mask if operation == "rank" else _places.row_numbers(lists, backwards=False) == 0
        y = y.masked_fill(empty, fill) if tensor else np.where(empty, y.dtype.type(fill), y)
    return y


def _check_strength(function: str, strength: np.ndarray[Any, Any]) -> None:
    good = (strength >= 0) & (strength < np.inf)
    if not good.all():
        wrong = strength[~good].flat[0]
        raise ValueError(f"{function}: strength must be finite and >= 0, got {wrong}")


def _how(
    function: str,
    operation: str,
    shape: tuple[int, ...],
    mask: Any,
    offsets: Any,
    descending: bool,
    regularization: str,
    p: float,
    straight_through: bool,
    fill: float,
) -> tuple[Any, ...]:
    """What the native functions take beside arrays of numbers."""
    bounds = _lists.bounds(function, shape, offsets)
    return operation, bounds, mask, descending, regularization, _device_soft.degree(p), straight_through, fill


def _forward(operation: str) -> Callable[..., tuple[np.ndarray[Any, Any], ...]]:
    """Return the forward function of one operation: values, an integer for each item, weights.

    What the integers and the weights say differs between host and device; only `_vjp` reads them.
    """
    function = f"soft_{operation}"

    def forward(x: Any, strength: Any, mask: Any, offsets: Any, *options: Any) -> tuple[Any, ...]:
        if _array.is_device(x):
            return _device_soft.forward(operation, on_host, x, strength, mask, offsets, *options)
        return on_host(x, strength, mask, offsets, *options)

    def on_host(x: Any, strength: Any, mask: Any, offsets: Any, *options: Any) -> tuple[np.ndarray[Any, Any], ...]:
        _check_strength(function, strength)
        how = _how(function, operation, x.shape, mask, offsets, *options)
        value, index, weight = _native.soft_forward(function, [x, strength], how)
        return value.reshape(x.shape), index.reshape(x.shape), weight.reshape(_device_soft.weights(x.shape, options[1]))

    return forward


def _shapes(x: Any, strength: Any, mask: Any, offsets: Any, *options: Any) -> _torch.Shapes:
    return (x.shape, None), (x.shape, "int32"), (_device_soft.weights(x.shape, options[1]), None)


def _vjp(operation: str) -> Callable[..., tuple[np.ndarray[Any, Any], ...]]:
    function = f"soft_{operation}"

    def vjp(x: Any, strength: Any, mask: Any, offsets: Any, *rest: Any) -> tuple[Any, ...]:
        if _array.is_device(x):
            return _device_soft.vjp(operation, x, strength, mask, offsets, *rest)
        *options, index, weight, grad, wanted = rest
        how = _how(function, operation, x.shape, mask, offsets, *options)
        to_x, to_strength = _native.soft_vjp(function, [x, strength, weight, grad], index, bool(wanted & 2), how)
        return to_x.reshape(x.shape), to_strength.reshape(strength.shape)

    return vjp


def _second(operation: str) -> Callable[..., tuple[np.ndarray[Any, Any], ...]]:
    function = f"soft_{operation}"

    def second(x: Any, strength: Any, mask: Any, offsets: Any, *rest: Any) -> tuple[Any, ...]:
        if _array.is_device(x):
            return _device_soft.second(operation, x, strength, mask, offsets, *rest)
        *options, _, _, grad, x_tangent, strength_tangent = rest
        how = _how(function, operation, x.shape, mask, offsets, *options)
        found = _native.soft_second(function, [x, strength, grad, x_tangent, strength_tangent], how)
        return found[0].reshape(x.shape), found[1].reshape(strength.shape), found[2].reshape(x.shape)

    return second


def _auto(x: Any, mask: Any, offsets: Any, operation: str, regularization: str, p: float) -> tuple[Any, ...]:
    function = f"soft_{operation}"
    ((shape, _),) = _auto_shapes(x, mask, offsets)
    if _array.is_device(x):
        return (_device_soft.auto(x, mask, offsets, operation, regularization, p, shape),)
    how = _how(function, operation, x.shape, mask, offsets, False, regularization, p, False, NAN)
    strength = _native.auto_strength(function, x, int(np.prod(shape, dtype=np.int64)), how)
    return (strength.reshape(shape),)


def _auto_shapes(x: Any, mask: Any, offsets: Any, *options: Any) -> _torch.Shapes:
    return (((*x.shape[:-1], 1 if offsets is None else offsets.shape[-1] - 1), None),)


_FORWARD = {operation: _forward(operation) for operation in ("rank", "sort")}

for _operation in ("rank", "sort"):
    _torch.declare_smooth(
        f"soft_{_operation}",
        "(Tensor x, Tensor strength, Tensor? mask, Tensor? offsets, bool descending, str regularization, float p, "
        "bool straight_through, float fill) -> (Tensor value, Tensor index, Tensor weight)",
        forward=_FORWARD[_operation],
        vjp=_vjp(_operation),
        second=_second(_operation),
        shapes=_shapes,
        differentiable=("x", "strength"),
        saved=("index", "weight"),
        values=1,
        device=True,
    )

_torch.declare(
    "soft_auto",
    "(Tensor x, Tensor? mask, Tensor? offsets, str operation, str regularization, float p) -> Tensor strength",
    forward=_auto,
    shapes=_auto_shapes,
    backward=lambda held, grads, wanted: {},
    values=1,
    saved=(),
    folds=True,
    device=True,
)
