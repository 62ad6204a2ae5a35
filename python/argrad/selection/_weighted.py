"""Weighted draws of row numbers."""

from typing import Any

import numpy as np

from argrad import _array, _check, _cuda, _native
from argrad._array import Array
from argrad.selection import _device, _device_included

REPEATED = ("multinomial", "systematic")
DISTINCT = ("keys", "systematic", "pivotal", "poisson")

FAULT = (1,)
"""For `_cuda.confirm`, of what the host is known to refuse."""


def weighted_sample(
    weights: Array,
    size: int,
    *,
    replace: bool = False,
    method: str | None = None,
    sorted: bool = False,
    random_state: object = None,
    return_weights: bool = False,
) -> Array | tuple[Array, Array]:
    """Draw row numbers in proportion to weights.

    With replacement each draw is row i with probability w_i / W, W the sum of all weights. Without replacement
    successive draws take row i with probability w_i over the weight that is left (`"keys"`), or the whole sample has
    inclusion probabilities min(1, tau w_i) that sum to `size` exactly (all other methods). In all of them

        sum_j v_j y[i_j],   v the returned weights,

    estimates the sum of any y over all rows of positive weight without bias.

    Args:
        weights: w, shape (n,), floating or integer, finite, >= 0; numpy array, torch tensor (CPU or CUDA) or cupy
            array. More than 2**24 rows are ordinary. Rows of weight zero are never drawn.
        size: how many rows to draw, >= 1; without replacement at most the number of positive weights.
        replace: whether a row can be drawn more than once.
        method: with replacement `"multinomial"` (the default: independent draws) or `"systematic"` (equal steps along
            the running sum: row i comes floor or ceil of size w_i / W times). Without replacement `"keys"` (the
            default), `"systematic"`, `"pivotal"` (neighbors decide between them; negative dependence), or `"poisson"`
            (each row decides alone; the number of rows is random with mean `size`).
        sorted: return ascending row numbers. Otherwise `"keys"` and `"multinomial"` return the order of drawing, so
            that the first m of them are a sample of m. The other methods are ascending always.
        random_state: seed: None, an integer, a numpy `Generator` or `RandomState`, or a `torch.Generator`.
        return_weights: return the weights v too.

    Returns:
        Row numbers, shape (size,), int64, of the kind of `weights`; with `return_weights` also v, shape (size,),
        float64: W / (size w_i) with replacement, 1 / pi_i for inclusion probabilities pi_i, and 1 / (1 - exp(-w_i tau))
        for `"keys"`, with tau the smallest key that was not drawn (v = 1 when all rows were).

    Raises:
        TypeError: not an array, or not of a floating or integer dtype.
        ValueError: a weight that is negative, NaN or infinite (with its row), weights all zero, a method that does not
            exist for `replace`, `size` out of range, or 2**32 rows on a device (bad or too few weights give rows of -1
            and weights of NaN there, see `argrad.set_device_validation`; `"poisson"` raises there as well).

    Gradient:
        None.

    Determinism:
        The same rows for the same seed on any number of threads, any instruction set and a device. Random numbers are
        read by row number, sums are formed by blocks of fixed size. Equal keys go to the lower row first. Scaling the
        weights by a power of two changes nothing.

    Cost:
        O(n) and two sorts of `size` numbers at most: `"keys"` reads the weights once and takes a logarithm for few
        more rows than it draws. Memory beside the result: 48 bytes a draw for `"keys"` and `"multinomial"`, 24 for the
        others, n / 64 bytes for block sums; float16, bfloat16 and integer weights are converted first.
        On a device `"keys"` reads the weights eight times and takes one logarithm a row, draws with replacement read
        them twice, the others some times until tau is found, and one thread adds up the shares of a `"pivotal"` draw
        (about 10 ns a row). No synchronization, but for `"poisson"`, which waits for the number of its rows.

    References:
        Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Inf. Process. Lett. 97, 2006 (keys).
        Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007 (the weights of keys: the inverse of the
        probability given all other keys). Deville and Tille, "Unequal probability sampling without replacement through
        a splitting method", Biometrika 85, 1998 (pivotal).

    Examples:
        >>> import numpy as np
        >>> from argrad.selection import weighted_sample
        >>> w = np.array([5.0, 0.0, 1.0, 3.0])
        >>> sorted(weighted_sample(w, 3, random_state=0).tolist())
        [0, 2, 3]
        >>> weighted_sample(w, 3, replace=True, method="systematic", random_state=1)
        array([0, 0, 3])
    """
    name = "weighted_sample"
    values = check_vector(name, weights, device=True)
    size = _check.integer(name, "size", size, low=1)
    for argument, flag in (("replace", replace), ("sorted", sorted), ("return_weights", return_weights)):
        _check.flag(name, argument, flag)
    methods = REPEATED if replace else DISTINCT
    if method is not None and method not in methods:
        known = ", ".join(map(repr, methods))
        raise ValueError(f"{name}: method must be one of {known} with replace={bool(replace)}, got {method!r}")
    if _array.is_device(values):
        wanted = (bool(sorted), bool(return_weights))
        rows, inverse = _on_device(values, size, bool(replace), method or methods[0], wanted, random_state)
        indices = _array.like(rows, weights)
        return (indices, _array.like(inverse, weights)) if return_weights else indices
    rows, inverse = _native.weighted_sample(
        name,
        values,
        size,
        bool(replace),
        methods[0] if method is None else method,
        bool(sorted),
        bool(return_weights),
        _check.seed(name, random_state),
    )
    if sorted and method in (None, "keys") and not replace:
        order = np.argsort(rows)
        rows, inverse = rows[order], inverse[order] if return_weights else inverse
    indices = _array.like(rows, weights)
    return (indices, _array.like(inverse, weights)) if return_weights else indices


def _on_device(
    weights: Array, size: int, replace: bool, method: str, wanted: tuple[bool, bool], random_state: object
) -> tuple[Array, Array]:
    name, values = "weighted_sample", _device.floating(weights)
    if values.shape[0] >= 2**32:
        raise ValueError(f"{name}: weights must be of fewer than 2**32 rows on a device, got {values.shape[0]}")
    in_order, inverse = wanted
    seed, fault = _check.seed(name, random_state), _cuda.fault(weights)
    told = (_native.weighted_sample, name, values, size, replace, method, in_order, inverse, seed)
    if values.shape[0] == 0 or (size > values.shape[0] and not replace):
        _cuda.confirm(FAULT, *told)
    found: tuple[Array, Array] | None
    if replace:
        steps = method == "systematic"
        found = _device.repeated(values, size, seed, steps=steps, inverse=inverse, in_order=in_order, fault=fault)
    elif method == "keys":
        found = _device.keys(values, size, seed, inverse=inverse, in_order=in_order, fault=fault)
    else:
        found = _device_included.included(values, size, seed, method=method, inverse=inverse, fault=fault)
    _cuda.confirm(FAULT if found is None else fault, *told)
    assert found is not None
    return found


def check_vector(function: str, weights: Array, *, device: bool = False) -> Any:
    """Return weights as a contiguous vector, on the host of float32 or float64; values are read by native functions."""
    n = weights.shape[0] if getattr(weights, "ndim", 0) == 1 else -1
    if _array.kind_of(weights) is not None and n < 0:
        raise ValueError(f"{function}: weights must be 1-dimensional, got {weights.ndim} dimension(s)")
    _check.array(function, "weights", weights, device=device)
    _check.weights_form(function, "weights", weights, n, device=device)
    values = _array.raw(weights)
    if _array.is_device(values):
        return values
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
