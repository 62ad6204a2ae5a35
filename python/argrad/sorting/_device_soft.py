"""Soft ranks and soft sorts on a device."""

import math
from collections.abc import Callable
from typing import Any

from argrad import _array, _cuda
from argrad._array import Array
from argrad.sorting import _device

_FORMS = {"l2": "", "kl": "_kl", "pnorm": "_power"}


def forward(
    operation: str, host: Callable[..., Any], x: Any, strength: Any, mask: Any, offsets: Any, *options: Any
) -> tuple[Any, ...]:
    """Return values, index and weights, as `cuda/soft.cuh` describes them.

    Args:
        operation: "rank" or "sort".
        host: the same on the host; raises what validation finds.
        x: scores.
        strength: one for each list.
        mask: which items count, or None.
        offsets: of ragged lists, or None.
        options: as in `_permutahedron.Options`.
    """
    descending, regularization, p, straight_through, fill = options
    scores, lists = _cuda.widen(x), _device.batch(x, offsets)
    number, dtype = _cuda.number(scores), _array.computed(x)
    value, index = (outputs(x.shape, name, x, lists) for name in (dtype, "int32"))
    weight = _cuda.empty(weights(x.shape, regularization), dtype, x)
    kept = () if regularization == "l2" else (weight,)
    blocks, scratch, shared = _memory(x, lists, 16 + (8 if number == "double" else 4))
    power = regularization == "pnorm"
    blocks, *more = _roots(x, lists, blocks, p) if power else (blocks,)
    fault = _cuda.fault(x)
    _cuda.launch(
        x,
        "sorting_power" if power else "sorting",
        f"soft_{operation}{_FORMS[regularization]}<{number}>",
        blocks,
        _device.threads(lists.n),
        *(scores, strength, mask, *lists.arguments, int(descending), int(straight_through), float(fill)),
        *(value, index, *kept, scratch, _device.SHORT, fault, *more),
        shared=shared,
    )
    _cuda.confirm(fault, host, x, strength, mask, offsets, *options)
    return value, index, weight


def outputs(shape: tuple[int, ...], dtype: str, like: Array, lists: _device.Batch) -> Array:
    """Return an array for a number of each item; NaN (or -1) where lists have offsets, which may leave items out."""
    if not lists.ragged:
        return _cuda.empty(shape, dtype, like)
    return _cuda.full(shape, -1 if dtype == "int32" else math.nan, dtype, like)


def _memory(x: Array, lists: _device.Batch, bytes_of_item: int) -> tuple[int, Array | None, int]:
    """Return the number of blocks, their scratch for lists that are not short, and their shared memory in bytes."""
    short = min(lists.n, _device.SHORT)
    shared = bytes_of_item * max(2, 1 << max(short - 1, 0).bit_length())
    if lists.n <= _device.SHORT:
        return lists.blocks, None, shared
    held = _device.room(x, lists.total, max(bytes_of_item * (lists.n + lists.n % 2), _device.SHARED + 1))
    return held.blocks, held.scratch, shared


def _roots(x: Array, lists: _device.Batch, blocks: int, p: float) -> tuple[int, float, Array]:
    """Return the number of blocks, the degree, and the state of the roots of p-norm projections."""
    blocks = max(1, min(blocks, max(2 * _cuda.processors(x), _device.SCRATCH // (24 * max(lists.n, 1)))))
    return blocks, degree(p), _cuda.empty((blocks, 3, lists.n), "float64", x)


def weights(shape: tuple[int, ...], regularization: str) -> tuple[int, ...]:
    """Shape of the weights that are kept for backward: none for l2."""
    return (*shape[:-1], 0 if regularization == "l2" else shape[-1])


def vjp(operation: str, x: Any, strength: Any, mask: Any, offsets: Any, *rest: Any) -> tuple[Any, ...]:
    """Return the gradients to the scores and to the strengths (of any content where not wanted)."""
    descending, regularization, _, _, _, index, weight, grad, wanted = rest
    lists = _device.batch(x, offsets)
    x, grad, weight = _cuda.widen(x), _cuda.widen(grad), None if regularization == "l2" else weight
    to_x = outputs(x.shape, _array.computed(x), x, lists)
    to_strength = _cuda.empty(strength.shape, _array.computed(x), x)
    form = () if operation == "rank" else (list(_FORMS).index(regularization),)
    _cuda.launch(
        x,
        "sorting",
        f"soft_{operation}_vjp<{_cuda.number(x)}>",
        lists.blocks,
        _device.threads(lists.n),
        *(x, strength, mask, *lists.arguments, int(descending), *form, index, weight, grad),
        *(to_x, to_strength if wanted & 2 else None),
    )
    return to_x, to_strength


def second(operation: str, x: Any, strength: Any, mask: Any, offsets: Any, *rest: Any) -> tuple[Any, ...]:
    """Return the gradients of <tangents, gradients> to the scores, the strengths and the upstream gradient."""
    descending, regularization, p, _, _, index, _, grad, x_tangent, strength_tangent = rest
    lists = _device.batch(x, offsets)
    x, grad, x_tangent = _cuda.widen(x), _cuda.widen(grad), _cuda.widen(x_tangent)
    to_x, to_grad = (outputs(x.shape, _array.computed(x), x, lists) for _ in range(2))
    to_strength = _cuda.empty(strength.shape, _array.computed(x), x)
    power = regularization == "pnorm"
    blocks, *more = _roots(x, lists, lists.blocks, p) if power else (lists.blocks,)
    form = () if power else (list(_FORMS).index(regularization),)
    _cuda.launch(
        x,
        "sorting_power" if power else "sorting",
        f"soft_{operation}{'_power' if power else ''}_second<{_cuda.number(x)}>",
        blocks,
        _device.threads(lists.n),
        *(x, strength, mask, *lists.arguments, int(descending), *form, index, grad),
        *(x_tangent, strength_tangent, to_x, to_strength, to_grad, *more),
    )
    return to_x, to_strength, to_grad


def count_blocks(index: Any, offsets: Any, shape: tuple[int, ...]) -> Any:
    """Return the number of blocks of each list from the index of `forward`, int64 of this shape."""
    lists = _device.batch(index, offsets)
    counts = _cuda.empty(shape, "int64", index)
    _cuda.launch(
        index, "sorting", "soft_blocks", lists.blocks, _device.threads(lists.n), index, *lists.arguments, counts
    )
    return counts


def auto(x: Any, mask: Any, offsets: Any, operation: str, regularization: str, p: float, shape: tuple[int, ...]) -> Any:
    """Return a strength for each list, of this shape; faults of `offsets` are told by `forward`."""
    lists = _device.batch(x, offsets)
    strength = _cuda.empty(shape, _array.computed(x), x)
    form = list(_FORMS).index("l2" if regularization == "laplace" else regularization)
    _cuda.launch(
        x,
        "sorting",
        f"auto_strength<{_cuda.number(x)}>",
        lists.blocks,
        _device.threads(lists.n),
        *(x, mask, *lists.arguments, int(operation == "rank"), form, degree(p), strength),
    )
    return strength


def degree(p: float) -> float:
    """Return q - 1 for 1/p + 1/q = 1; rounded, so that 4/3 gives the power 3 and not one that is slow."""
    return round(1 / (p - 1), 12)
