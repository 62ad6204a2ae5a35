"""NeuralSort's soft permutation and its Sinkhorn scaling: products in bands, without the matrix."""

from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _cuda, _native, _torch
from argrad._array import Array
from argrad.sorting import _device_neuralsort, _lists
from argrad.sorting._lists import Lists

_PAPER = (30, 1e-6)
"""Scaling steps and tolerance of NeuralNDCG's paper (the tolerance is its authors' code's)."""
_MOST = 1000
"""Scaling steps where only a tolerance is given."""


class Neuralsort(NamedTuple):
    """P_ij = softmax_j((c_i x_j - b_j) / temperature), b_j the sum over k of |x_j - x_k|.

    With n items that count, c_i = n + 1 - 2 i for row i = 1 ... n if `descending`, and its negative otherwise. Rows sum
    to 1, and the largest element of row i is the item of rank i.

    Equal scores have equal columns. There the slope of |x_j - x_k| counts as 0, as in dense code. A list with a NaN
    among the items that count gives NaN, values and gradients; others are not touched. An infinite score, or one that
    is far from all others, is alone in its row and gets no gradient. Temperatures from 1e-8 to 1e8 are ordinary: small
    ones give the hard permutation (equal scores share) and in the end no gradient, large ones rows of 1 / n.

    Results are those of double precision with a relative error of some 1e-7 (float32) or 1e-14 (float64): elements
    below e^-20 (e^-42) of the largest in their row are left out. A product takes O(n log n + n band m) time, with a
    band of about 4 sqrt(20 temperature / gap) and at most n elements, and O(n m) memory; the gradients about three
    times that. 4 bytes per item are kept for the gradients besides the inputs. Second derivatives are exact and slow.

    Attributes:
        lists: scores x.
        descending: whether the first row belongs to the largest score.
        temperature: one positive number for each list.
    """

    lists: Lists
    descending: bool
    temperature: Array

    def product(self, v: Array, transposed: bool) -> Any:
        """Return P V, or P^T V, for v of shape (*batch, n, m)."""
        return _product(self.lists, v, self.temperature, self.descending, transposed, 0, 0.0)

    def sinkhorn(self, *, iterations: int | None = None, tolerance: float | None = None) -> "Scaled":
        """Return the matrix that is scaled towards a doubly stochastic one: see `Scaled`.

        Args:
            iterations: how many times both are scaled at most; 1000 with a tolerance alone.
            tolerance: where to stop. Without both, 30 steps and 1e-6.

        Raises:
            TypeError: not an integer, or not a number.
            ValueError: a negative number.
        """
        if iterations is None and tolerance is None:
            iterations, tolerance = _PAPER
        steps = _MOST if iterations is None else _check.integer("sinkhorn", "iterations", iterations, low=0)
        limit = 0.0 if tolerance is None else _check.real("sinkhorn", "tolerance", tolerance, low=0)
        return Scaled(self.lists, self.descending, self.temperature, steps, limit)


class Scaled(NamedTuple):
    """S = diag(u) P diag(v) after alternate scaling of a NeuralSort matrix P: columns first, then rows.

    Each list stops by itself: after `iterations` steps, or before a step when all its columns' sums are within
    `tolerance` of 1. (Its rows' sums are 1 up to rounding all the time.) So a list's result does not depend on its
    batch. In float32 a tolerance below 1e-6 may never be met.

    Gradients are those of the steps that were taken, exactly; how many they were is a constant. Elements below e^-30
    (float32) or e^-80 (float64) of the largest in their row of P count as 0. No sum is 0, since P's main diagonal in
    sorted order is at least 1 / n.

    A step costs two products with P's band, which is computed once and kept while products are taken if it has at most
    2**20 elements. For the gradients the steps are taken again: 4 bytes per item are kept besides the inputs, and 16
    bytes per item and step are needed while a list is worked on (32 in float64).

    Attributes:
        lists: scores x.
        descending: whether the first row belongs to the largest score.
        temperature: one positive number for each list.
        iterations: how many steps at most.
        tolerance: where to stop; 0 never stops.
    """

    lists: Lists
    descending: bool
    temperature: Array
    iterations: int
    tolerance: float

    def product(self, v: Array, transposed: bool) -> Any:
        """Return S V, or S^T V, for v of shape (*batch, n, m)."""
        options = (self.descending, transposed, self.iterations, self.tolerance)
        return _product(self.lists, v, self.temperature, *options)


def enter(lists: Lists, *, descending: bool, temperature: object = 1.0) -> Neuralsort:
    """Check the options of NeuralSort's matrix.

    Args:
        lists: scores.
        descending: whether the first row belongs to the largest score.
        temperature: positive number, or a floating array of one for each list, with gradient.

    Raises:
        TypeError: the temperature is neither a number nor a floating array of the kind of x.
        ValueError: a number that is not positive and finite, or an array of the wrong shape.
    """
    return Neuralsort(lists, descending, _lists.per_list(lists, "temperature", temperature, low=0, open_low=True))


def _product(lists: Lists, v: Array, temperature: Array, *options: Any) -> Any:
    args = (lists.x, v, temperature, lists.mask, lists.offsets, *options)
    return _lists.call("neuralsort", _forward, 1, *args)


def _forward(
    x: Any, v: Any, temperature: Any, mask: Any, offsets: Any, *options: Any
) -> tuple[np.ndarray[Any, Any], ...]:
    """Return the product and, as residuals, the places in sorted order and the numbers of scaling steps."""
    if not _array.is_device(x):
        return _on_host(x, v, temperature, mask, offsets, *options)
    arrays, fault = (x, v, temperature, mask, offsets), _cuda.fault(x)
    found = _device_neuralsort.product(*arrays, options, fault)
    _cuda.confirm(fault, _on_host, *arrays, *options)
    return found


def _on_host(
    x: Any, v: Any, temperature: Any, mask: Any, offsets: Any, *options: Any
) -> tuple[np.ndarray[Any, Any], ...]:
    name = "soft_permutation"
    wrong = temperature[~((temperature > 0) & (temperature < np.inf))]
    if wrong.size:
        raise ValueError(f"{name}: temperature must be finite and > 0, got {wrong.flat[0]}")
    bounds = _lists.bounds(name, x.shape, offsets)
    y, places, steps = _native.neuralsort(name, x, v, temperature, bounds, mask, options)
    return y.reshape(v.shape), places.reshape(x.shape), steps.reshape(temperature.shape)


def _vjp(x: Any, v: Any, temperature: Any, mask: Any, offsets: Any, *rest: Any) -> tuple[np.ndarray[Any, Any], ...]:
    *options, places, steps, grad, _ = rest
    if _array.is_device(x):
        kept = (tuple(options), places, steps, grad)
        return _device_neuralsort.gradients(x, v, temperature, mask, offsets, *kept)
    bounds = _lists.bounds("soft_permutation", x.shape, offsets)
    found = _native.neuralsort_vjp("soft_permutation", x, v, temperature, bounds, (places, steps), grad, tuple(options))
    return tuple(y.reshape(like.shape) for y, like in zip(found, (x, v, temperature), strict=True))


def _second(x: Any, v: Any, temperature: Any, mask: Any, offsets: Any, *rest: Any) -> tuple[np.ndarray[Any, Any], ...]:
    *options, places, steps, grad, x_tangent, v_tangent, temperature_tangent = rest
    tangents = (x_tangent, v_tangent, temperature_tangent)
    if _array.is_device(x):
        kept = (tuple(options), places, steps, grad, tangents)
        return _device_neuralsort.gradients(x, v, temperature, mask, offsets, *kept)
    bounds = _lists.bounds("soft_permutation", x.shape, offsets)
    found = _native.neuralsort_second(
        "soft_permutation", x, v, temperature, bounds, (places, steps), grad, tangents, tuple(options)
    )
    return tuple(y.reshape(like.shape) for y, like in zip(found, (x, v, temperature, grad), strict=True))


def _shapes(x: Any, v: Any, temperature: Any, *_: Any) -> _torch.Shapes:
    return (v.shape, None), (x.shape, "int32"), (temperature.shape, "int64")


_torch.declare_smooth(
    "neuralsort",
    "(Tensor x, Tensor v, Tensor temperature, Tensor? mask, Tensor? offsets, bool descending, bool transposed, "
    "int iterations, float tolerance) -> (Tensor y, Tensor places, Tensor steps)",
    forward=_forward,
    vjp=_vjp,
    second=_second,
    shapes=_shapes,
    differentiable=("x", "v", "temperature"),
    saved=("places", "steps"),
    values=1,
    device=True,
)
