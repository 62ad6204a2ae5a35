"""Sparse Bregman projections on a device, and draws from them."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from argrad import _array, _cuda, _native
from argrad.decoding import _device, _rows

if TYPE_CHECKING:
    from argrad.decoding._bregman import Request
    from argrad.decoding._draws import Place

_FILE, _DERIVATIVE, _THREADS = "decoding_bregman", "decoding_derivative", 128
_FIRST = 64
"""Tokens that are asked for first where the penalty decides, as in `adaptive.cuh`."""
_BYTES, _NEAR = 48, 512
"""Bytes for each token of a block, and how many tokens have room in shared memory at most."""


def decode(x: Any, request: "Request", place: "Place") -> tuple[Any, Any, Any]:
    """Return tokens, sizes, and the bits of float64 log-probabilities; parameters are arrays, a number for each row."""
    token, size, logs = [_cuda.empty(x.shape[:-1], "int64", x) for _ in range(3)]
    places, fault = [_rows.flat(numbers) for numbers in place], _cuda.fault(x)
    _launch("bregman_decode", x, request, *places, token, size, logs, fault)

    def on_host(x: Any, tau: Any, penalty: Any, k: Any, *places: Any) -> object:
        return _native.bregman_decode("bregman_decode", x, (tau, penalty, k, *request[3:]), tuple(places))

    _cuda.confirm(fault, on_host, x, *_parameters(request), *places)
    return token, size, logs


def project(x: Any, request: "Request") -> tuple[Any, Any, Any, Any, Any]:
    """Return values, indices and sizes; the bits of the values in float64, and of maximum and normaliser."""
    batch = x.shape[:-1]
    kept = (*batch, request.most)
    values = _cuda.empty(kept, _array.computed(x), x)
    indices, exact, size, sums = [_cuda.empty(shape, "int64", x) for shape in (kept, kept, batch, (*batch, 2))]
    fault = _cuda.fault(x)
    _launch("bregman_project", x, request, values, indices, size, exact, sums, fault)

    def on_host(x: Any, *parameters: Any) -> object:
        return _native.bregman_project("bregman_project", x, (*parameters, *request[3:]), False)

    _cuda.confirm(fault, on_host, x, *_parameters(request))
    return values, indices, size, exact, sums


class Point(NamedTuple):
    """Where derivatives are taken: arrays of the forward pass, and what it was asked for."""

    x: Any
    temperature: Any
    alpha: float
    dual: bool
    width: int
    indices: Any
    exact: Any
    sums: Any


def derive(point: Point, g: Any, tangent: Any = None) -> tuple[Any, Any]:
    """Return the gradient to the logits; with a tangent, those of <tangent, gradient> to the logits and to `g`."""
    x, g, v = point.x, _cuda.widen(g), point.x.shape[-1]
    rows, parts, number = math.prod(x.shape[:-1]), -(-v // _device.LEAF), _cuda.number(x)
    tau, wide = _rows.flat(point.temperature), _cuda.number(g) == "double"
    kept, line = [_cuda.empty((rows, n), "float64", x) for n in (point.width, 2)]
    partial = moved = None
    blocks = min(rows * parts, 32 * _cuda.processors(x))
    if tangent is not None:
        tangent = _cuda.widen(tangent)
        partial, moved = _cuda.empty((rows, parts), "float64", x), _cuda.empty(g.shape, "float64", x)
        _cuda.launch(
            x, _DERIVATIVE, f"average_tangent<{number}>", blocks, 256, x, tangent, tau, point.sums, partial, rows, v
        )
    support = (tau, point.alpha, point.dual, point.width, point.indices, point.exact, point.sums)
    upstream = (g, wide, tangent, partial, kept, line, moved)
    _cuda.launch(x, _DERIVATIVE, "derive_support", rows, _THREADS, x, _device.storage(x), rows, v, *support, *upstream)
    dx = _cuda.empty(x.shape, _array.computed(x), x)
    found = (tau, point.sums, point.indices, kept, line, dx, rows, v, point.width)
    _cuda.launch(x, _DERIVATIVE, f"spread_derivative<{number}>", blocks, 256, x, tangent, *found)
    return dx, moved


def _parameters(request: "Request") -> list[Any]:
    return [None if numbers is None else _rows.flat(numbers) for numbers in request[:3]]


def _launch(name: str, x: Any, request: "Request", *rest: Any) -> None:
    """Read the rows and launch a kernel on what was read, what is asked for, room for tokens, and the rest."""
    v, most = x.shape[-1], request.most
    temperature, penalty, k = _parameters(request)
    # Shares of the support need no normaliser; a draw from all tokens does.
    summed = abs(request.alpha - 1.0) >= 1e-8 or most == v
    expected = most if penalty is None else min(most, _FIRST)
    read = _device.read(x, temperature, _device.NORMALIZER if summed else _device.NOTHING, expected)
    near = min(_NEAR, max(128, _power_of_two(2 * most)))
    blocks, far, scratch = read.blocks(), 0, None
    if most > near:
        blocks, far = min(read.rows, 2 * _cuda.processors(x)), _power_of_two(most)
        scratch = _cuda.empty((blocks, far * _BYTES), "uint8", x)
    arguments = (*read.arguments(), temperature, penalty, k, request.alpha, request.dual, most, near, scratch, far)
    _cuda.launch(x, _FILE, name, blocks, _THREADS, *arguments, *rest, shared=near * _BYTES)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
