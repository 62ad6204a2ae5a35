"""Soft top-k masks on a device."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from argrad import _array, _cuda
from argrad.sorting import _device, _device_soft

Options: TypeAlias = tuple[str, float, bool, bool, bool]
"""kind, p, largest, log, hard."""

_SHAPES = ("logistic", "laplace", "l2", "pnorm", "gaussian", "threshold")
"""In the order of `Shape` in `cuda/curves.cuh`."""


def forward(
    host: Callable[..., Any], x: Any, k: Any, temperature: Any, mask: Any, offsets: Any, options: Options
) -> tuple[Any, Any]:
    """Return the values and the thresholds; `host` does the same on the host and raises what validation finds."""
    lists = _device.batch(x, offsets)
    y = _device_soft.outputs(x.shape, _array.computed(x), x, lists)
    theta, fault = _cuda.empty((*k.shape, 2), "int64", x), _cuda.fault(x)
    scores = _cuda.widen(x)
    _launch("", scores, k, temperature, mask, lists, options, (int(options[4]), y, theta, fault))
    _cuda.confirm(fault, host, x, k, temperature, mask, offsets, *options)
    return y, theta


def vjp(
    x: Any, k: Any, temperature: Any, mask: Any, offsets: Any, options: Options, theta: Any, g: Any
) -> tuple[Any, Any, Any]:
    """Return the gradients to the scores, k and the temperature."""
    lists, x, g = _device.batch(x, offsets), _cuda.widen(x), _cuda.widen(g)
    to_x = _device_soft.outputs(x.shape, _array.computed(x), x, lists)
    to_k, to_temperature = (_cuda.empty(k.shape, _array.computed(x), x) for _ in range(2))
    _launch("_vjp", x, k, temperature, mask, lists, options, (theta, g, to_x, to_k, to_temperature))
    return to_x, to_k, to_temperature


def second(
    x: Any, k: Any, temperature: Any, mask: Any, offsets: Any, options: Options, theta: Any, g: Any, tangents: Any
) -> tuple[Any, Any, Any, Any]:
    """Return the gradients of <tangents, gradients> to the scores, k, the temperature and `g`."""
    lists, x, g = _device.batch(x, offsets), _cuda.widen(x), _cuda.widen(g)
    tangents = (_cuda.widen(tangents[0]), *tangents[1:])
    to_x, to_g = (_device_soft.outputs(x.shape, _array.computed(x), x, lists) for _ in range(2))
    to_k, to_temperature = (_cuda.empty(k.shape, _array.computed(x), x) for _ in range(2))
    found = (to_x, to_k, to_temperature, to_g)
    _launch("_second", x, k, temperature, mask, lists, options, (theta, g, *tangents, *found))
    return found


def _launch(
    part: str,
    x: Any,
    k: Any,
    temperature: Any,
    mask: Any,
    lists: _device.Batch,
    options: Options,
    rest: Sequence[object],
) -> None:
    kind, p, largest, log, _ = options
    _cuda.launch(
        x,
        "sorting_topk",
        f"soft_topk{part}<{_cuda.number(x)}>",
        lists.blocks,
        2 * _device.threads(lists.n),
        *(x, k, temperature, mask, *lists.arguments, _SHAPES.index(kind), 1.0 / (p - 1.0), int(largest), int(log)),
        *rest,
    )
