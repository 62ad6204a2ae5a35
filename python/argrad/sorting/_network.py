"""Relaxed sorting networks: products with their permutation matrices.

A comparator at the distance d = |x_i - x_j| sends (1 - w) min + w max to its lower wire and w min + (1 - w) max to its
upper one, w = W(steepness * d) the weight of the wrong order. P is the product of these 2 x 2 mixings, so it is doubly
stochastic, and P @ x are the relaxed sorted scores. With v = steepness * d:

    distribution    W(v)                         largest v W(v)         P @ x monotone
    logistic        1 / (1 + exp(v))             0.2785                 no
    logistic_art    logistic at v / (d + 1e-10)^(1/4)                   no
    reciprocal      1 / (2 + v)                  1, for v to inf        yes
    cauchy          1/2 - atan(v) / pi           1/pi, for v to inf     yes
    gaussian        1 - Phi(v)                   0.1700                 no
    optimal         1/2 - v; 1/(16 v) from 1/4   1/16, from v = 1/4     yes

The third column is the largest error of one comparator, |min - relaxed min| * steepness. "Monotone" says that raising a
score never lowers a relaxed one, which is 0 <= (v W(v))' <= 1.

Scores of +-inf are the limit of ever larger ones: W = 0, so they are sorted exactly and get no gradient, while a finite
score beside one moves by the limit of v W(v) / steepness. Two equal infinities are a tie. At a tie W = 1/2 and first
derivatives are those of a smooth function; with "logistic_art" W falls by 79 steepness d there. Second derivatives are
one-sided at kinks: at ties with "reciprocal" and "logistic_art", at v = 1/4 with "optimal".
"""

from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device_network, _lists

NETWORKS = ("odd_even", "bitonic")
DISTRIBUTIONS = ("logistic", "logistic_art", "reciprocal", "cauchy", "gaussian", "optimal")


class Network(NamedTuple):
    """The permutation matrices that a sorting network makes of lists of scores.

    Attributes:
        lists: the checked scores.
        descending: whether rank 1 belongs to the largest score.
        network: one of `NETWORKS`.
        distribution: one of `DISTRIBUTIONS`.
        steepness: one number per list, of shape `lists.batch`.
    """

    lists: _lists.Lists
    descending: bool
    network: str
    distribution: str
    steepness: Array

    @property
    def takes_vectors(self) -> bool:
        """Tell `SoftPermutation` that v may be of the shape of x."""
        return True

    def product(self, v: Array, transposed: bool) -> Any:
        """Return P @ v, or P.mT @ v if `transposed`; v of the shape of the scores, or with one more dimension."""
        lists = self.lists
        tensors = (lists.x, v, self.steepness, lists.mask, lists.offsets)
        options = (lists.function, self.descending, self.network, self.distribution, transposed)
        return _lists.call("network_product", _forward, 1, *tensors, *options)


def enter(
    lists: _lists.Lists,
    *,
    descending: bool,
    network: str = "odd_even",
    distribution: str = "cauchy",
    steepness: float | Array = 10.0,
) -> Network:
    """Check the options of a network.

    Raises:
        TypeError: `steepness` neither a number nor a floating array of the kind of x.
        ValueError: an unknown network or distribution, a steepness that is not positive and finite, or an array that is
            not of one number per list.
    """
    function = lists.function
    _check.choice(function, "network", network, NETWORKS)
    _check.choice(function, "distribution", distribution, DISTRIBUTIONS)
    per_list = _lists.per_list(lists, "steepness", steepness, low=0.0, open_low=True)
    return Network(lists, bool(descending), network, distribution, per_list)


def _arguments(
    x: np.ndarray[Any, Any], mask: np.ndarray[Any, Any] | None, offsets: np.ndarray[Any, Any] | None, *options: Any
) -> Any:
    """Return the function's name, the layout and the options as the native functions take them."""
    function, descending, network, distribution, transposed = options
    layout = (_lists.bounds(function, x.shape, offsets), mask)
    return function, layout, (descending, network, distribution, transposed)


def _forward(
    x: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    steepness: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    *options: Any,
) -> tuple[np.ndarray[Any, Any]]:
    if not _array.is_device(x):
        return _on_host(x, v, steepness, mask, offsets, *options)
    arrays, fault = (x, v, steepness, mask, offsets), _cuda.fault(x)
    y = _device_network.product(*arrays, options[1:], fault)
    _cuda.confirm(fault, _on_host, *arrays, *options)
    return (y,)


def _on_host(
    x: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    steepness: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    *options: Any,
) -> tuple[np.ndarray[Any, Any]]:
    function, layout, rest = _arguments(x, mask, offsets, *options)
    return (_native.network_product(function, (x, v, steepness), layout, rest).reshape(v.shape),)


def _vjp(
    x: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    steepness: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    *rest: Any,
) -> tuple[np.ndarray[Any, Any], ...]:
    *options, gradient, wanted = rest
    if _array.is_device(x):
        return _on_device(x, v, steepness, mask, offsets, options, gradient, wanted=bool(wanted & 2))[:3]
    function, layout, options = _arguments(x, mask, offsets, *options)
    to_x, to_v, to_steepness = _native.network_vjp(
        function, (x, v, steepness), gradient, layout, options, bool(wanted & 2)
    )
    to_v = np.empty_like(v) if to_v is None else to_v.reshape(v.shape)
    return to_x.reshape(x.shape), to_v, to_steepness.reshape(steepness.shape)


def _on_device(
    x: Array,
    v: Array,
    steepness: Array,
    mask: Array | None,
    offsets: Array | None,
    options: Any,
    gradient: Array,
    tangents: Any = (),
    *,
    wanted: bool = True,
) -> tuple[Any, ...]:
    """Return the gradients to x, v, steepness and `gradient`, or their derivatives along tangents."""
    _, descending, network, distribution, transposed = options
    factors, want = ((gradient, v), (False, wanted)) if transposed else ((v, gradient), (wanted, False))
    if tangents:
        p, q, r = tangents
        tangents, want = (p, None, q, r) if transposed else (p, q, None, r), (True, True)
    to_x, to_right, to_left, to_steepness = _device_network.gradients(
        x, *factors, steepness, mask, offsets, (descending, network, distribution), want, tangents
    )
    to_v, to_gradient = (to_left, to_right) if transposed else (to_right, to_left)
    to_v = _cuda.empty(v.shape, _array.computed(x), x) if to_v is None else to_v
    return to_x, to_v, to_steepness, to_gradient


def _second(
    x: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    steepness: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any] | None,
    offsets: np.ndarray[Any, Any] | None,
    *rest: Any,
) -> tuple[np.ndarray[Any, Any], ...]:
    *options, gradient, x_tangent, v_tangent, steepness_tangent = rest
    if _array.is_device(x):
        tangents = (x_tangent, v_tangent, steepness_tangent)
        return _on_device(x, v, steepness, mask, offsets, options, gradient, tangents)
    function, layout, options = _arguments(x, mask, offsets, *options)
    a, b, c, g, p, q, r = (
        array.astype(np.float64, copy=False)
        for array in (x, v, steepness, gradient, x_tangent, v_tangent, steepness_tangent)
    )
    found = _native.network_second(function, (a, b, c), g, (p, q, r), layout, options)
    return tuple(
        part.reshape(like.shape).astype(like.dtype, copy=False)
        for part, like in zip(found, (x, v, steepness, gradient), strict=True)
    )


_torch.declare_smooth(
    "network_product",
    "(Tensor x, Tensor v, Tensor steepness, Tensor? mask, Tensor? offsets, str function, bool descending, str network, "
    "str distribution, bool transposed) -> (Tensor product)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=lambda x, v, *rest: ((v.shape, None),),
    differentiable=("x", "v", "steepness"),
    saved=(),
    values=1,
    device=True,
)
