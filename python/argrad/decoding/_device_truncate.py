"""Truncation rules on a device, and draws from what they leave."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from argrad import _array, _cuda, _native
from argrad.decoding import _device, _rows

if TYPE_CHECKING:
    from argrad.decoding._draws import Place

_FILE, _THREADS = "decoding_truncate", 256
_EXPECTED = 256
"""Tokens that are sorted at once: the rules keep fewer in most rows."""
_SHARED, _ORDER, _TOKEN = 1024, 36 * 1024, 16
"""Tokens that are listed in shared memory; bytes of `OrderMemory`, and of a token."""
_SUMS = {
    "top_h": _device.MOMENTS,
    "typical_p": _device.MOMENTS,
    "eta": _device.MOMENTS,
    "p_less": _device.MOMENTS,
    "top_n_sigma": _device.SPREAD,
}
_CODES = ("top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon", "eta", "top_n_sigma", "p_less", "surprise")

Rules = Sequence[tuple[str, Any]]
"""Names in order, each with a number or an array of one for each row."""


def decode(x: Any, temperature: Any, rules: Rules, max_k: int | None, place: "Place") -> tuple[Any, Any, Any]:
    """Return tokens, sizes, and the bits of float64 log-probabilities."""
    token, size, logs = [_cuda.empty(x.shape[:-1], "int64", x) for _ in range(3)]
    places = [_rows.flat(numbers) for numbers in place]

    def on_host(x: Any, options: Any) -> object:
        return _native.truncated_decode("truncated_decode", x, options, tuple([_array.to_host(y) for y in places]))

    _cut(x, temperature, rules, max_k, [*places, token, size, logs, None], on_host)
    return token, size, logs


def truncate(x: Any, temperature: Any, rules: Rules, max_k: int | None, width: int | None) -> tuple[Any, Any, Any]:
    """Return indices, values and sizes; without a width the largest size is waited for."""
    batch = x.shape[:-1]
    size, ends = _cuda.empty(batch, "int64", x), _cuda.empty((*batch, 4), "int64", x)

    def on_host(x: Any, options: Any) -> object:
        return _native.truncate("truncate", x, options, width)

    read = _cut(x, temperature, rules, max_k, [None, None, None, None, size, None, ends], on_host)
    if width is None:
        width = max(1, int(size.max())) if read.rows else 0
    indices, values = _cuda.empty((*batch, width), "int64", x), _cuda.empty((*batch, width), _array.computed(x), x)
    room, blocks, scratch = 1 << (max(width, 32) - 1).bit_length(), read.blocks(), None
    if room > _SHARED:
        blocks = min(read.rows, 2 * _cuda.processors(x))
        scratch = _cuda.empty((blocks, room * _TOKEN), "uint8", x)
    arguments = (*read.arguments(), _rows.flat(temperature), size, ends, scratch, room, width, indices, values)
    shared = 0 if scratch is not None else room * _TOKEN
    _cuda.launch(x, _FILE, "truncate_rows", blocks, _THREADS, *arguments, shared=shared)
    return indices, values, size


def _cut(
    x: Any, temperature: Any, rules: Rules, max_k: int | None, rest: list[Any], on_host: Callable[..., object]
) -> _device.Read:
    """Read the rows and launch `truncated_decode` on them with the rules and the rest of its arguments."""
    v, temperature = x.shape[-1], _rows.flat(temperature)
    sums = max([_device.NORMALIZER, *[_SUMS.get(name, _device.NORMALIZER) for name, _ in rules]])
    expected = min(v, _EXPECTED)
    read = _device.read(x, temperature, sums, expected)
    numbers = _cuda.empty((len(rules), read.rows), "float64", x)
    for i, (_, number) in enumerate(rules):
        numbers[i] = number if isinstance(number, float) else _rows.flat(number)
    codes = sum([_CODES.index(name) << 4 * i for i, (name, _) in enumerate(rules)])
    most, fault = v if max_k is None else min(v, max_k), _cuda.fault(x)
    arguments = (*read.arguments(), sums, temperature, codes, len(rules), numbers, most, expected, *rest, fault)
    _cuda.launch(x, _FILE, "truncated_decode", read.blocks(), _THREADS, *arguments, shared=_ORDER)

    def confirmed(x: Any, temperature: Any, numbers: Any) -> object:
        return on_host(x, (temperature, [(name, numbers[i]) for i, (name, _) in enumerate(rules)], max_k))

    _cuda.confirm(fault, confirmed, x, temperature, numbers)
    return read


def sample(values: Any, indices: Any, size: Any, place: "Place") -> tuple[Any, Any]:
    """Return tokens and the bits of float64 log-probabilities."""
    batch, k = values.shape[:-1], values.shape[-1]
    token, logs = [_cuda.empty(batch, "int64", values) for _ in range(2)]
    numbers, size, fault = [_rows.flat(x) for x in place], _rows.flat(size), _cuda.fault(values)
    storage = _device.storage(values)
    arguments = (values, storage, indices, size, size.shape[0], k, *numbers, token, logs, fault)
    threads = 32 if k <= 256 else 128
    _cuda.launch(values, _FILE, "sample", size.shape[0], threads, *arguments)

    def on_host(indices: Any, values: Any, size: Any, *numbers: Any) -> object:
        return _native.sample("sample", indices, values, size.reshape(batch), tuple(numbers))

    _cuda.confirm(fault, on_host, indices, values, size, *numbers)
    return token, logs
