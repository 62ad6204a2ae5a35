"""Sparse Bregman projections on a device, and draws from them."""

from typing import TYPE_CHECKING, Any

from argrad import _cuda, _native
from argrad.decoding import _device, _rows

if TYPE_CHECKING:
    from argrad.decoding._bregman import Request
    from argrad.decoding._draws import Place

_FILE, _THREADS = "decoding_bregman", 128
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
