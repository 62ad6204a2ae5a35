"""Softmax and sparsemax under upper bounds on a device."""

import math
from typing import Any

from argrad import _array, _cuda, _native

_FILE, _FIELDS = "decoding_constrained", 4
_SMALL = 1024
"""Rows of at most so many numbers are one warp's."""


def forward(x: Any, upper: Any, function: str, total: float | None, *, values: bool = True) -> tuple[Any, Any]:
    """Return what the items get (None where that is not wanted), and what derivatives start from."""
    x, upper = _cuda.widen(x), _cuda.widen(upper)
    levels = _cuda.empty((math.prod(x.shape[:-1]), _FIELDS), "float64", x)
    p, fault = _out(x) if values else None, _cuda.fault(x)
    _launch("constrained", x, upper, total, levels, p, fault=(fault,))
    _cuda.confirm(fault, _native.constrained, function, x, upper, total)
    return p, levels


def vjp(x: Any, upper: Any, function: str, total: float | None, g: Any, levels: Any) -> tuple[Any, Any]:
    """Return the gradients to the rows and to the bounds."""
    x, upper, g = _cuda.widen(x), _cuda.widen(upper), _cuda.widen(g)
    if levels is None:
        levels = forward(x, upper, function, total, values=False)[1]
    dx, dupper = _out(x), _out(x)
    _launch("constrained_vjp", x, upper, total, levels, g, dx, dupper)
    return dx, dupper


def second(
    x: Any, upper: Any, function: str, total: float | None, g: Any, along: Any, along_upper: Any
) -> tuple[Any, Any, Any]:
    """Return the gradients of <t, vjp> to the rows, the bounds and g."""
    x, upper, g, along, along_upper = [_cuda.widen(y) for y in (x, upper, g, along, along_upper)]
    levels = forward(x, upper, function, total, values=False)[1]
    dx, dupper, dg = _out(x), _out(x), _out(x)
    _launch("constrained_second", x, upper, total, levels, g, along, along_upper, dx, dupper, dg)
    return dx, dupper, dg


def _out(x: Any) -> Any:
    return _cuda.empty(x.shape, _array.computed(x), x)


def _launch(
    name: str, x: Any, upper: Any, total: float | None, levels: Any, *rest: Any, fault: tuple[Any, ...] = ()
) -> None:
    rows, v = math.prod(x.shape[:-1]), x.shape[-1]
    threads = 32 if v <= _SMALL else 128 if v <= 4 * _SMALL else 512
    blocks = min(rows, 16 * _cuda.processors(x) * max(1, 128 // threads))
    sums_to = math.nan if total is None else float(total)
    _cuda.launch(
        x, _FILE, f"{name}<{_cuda.number(x)}>", blocks, threads, x, upper, sums_to, levels, *rest, rows, v, *fault
    )
