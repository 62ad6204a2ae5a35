"""Projections onto the simplex on a device: entmax, the conjugate of its entropy, and softmax on the k largest.

A first kernel finds what is known of each row, its level: a few numbers that give the probability of any token of it.
Derivatives start from the levels, so that nothing else has to be kept for them.
"""

import math
from typing import Any, NamedTuple

from argrad import _array, _cuda, _native
from argrad.decoding import _device

_ENTMAX, _CONJUGATE, _TOPK = "decoding_entmax", "decoding_conjugate", "decoding_topk_softmax"
_FIELDS = 5
"""Numbers of a level, 8 bytes each, in all kernels."""
_TOKENS = 8
"""Tokens that have room in shared memory, for each thread."""
_SMALL = 1024
"""Rows of at most so many numbers are one warp's."""


class Levels(NamedTuple):
    """What is known of rows.

    Attributes:
        levels: of each row, as the kernels write them.
        maxima: of segments of the rows, None for short rows.
        choice: what tokens are chosen by, for `topk_softmax`.
    """

    levels: Any
    maxima: Any
    choice: Any = None


class _Launch:
    """Rows, and how kernels are launched on them: threads, blocks and room by the length of a row."""

    def __init__(self, x: Any) -> None:
        self.x, self.v, self.rows = x, x.shape[-1], math.prod(x.shape[:-1])
        self.threads = 32 if self.v <= _SMALL else 128 if self.v <= _device.LEAF else 256
        self.room = min(self.v, _TOKENS * self.threads)

    def __call__(self, file: str, name: str, *args: Any, fault: tuple[Any, ...] = ()) -> None:
        number = _cuda.number(self.x)
        _cuda.launch(
            self.x,
            file,
            f"{name}<{number}>",
            min(self.rows, 16 * _cuda.processors(self.x) * max(1, 128 // self.threads)),
            self.threads,
            *(*args, self.rows, self.v, self.room, *fault),
            shared=self.room * (12 if number == "double" else 8),
        )

    def read(self) -> tuple[Any, Any]:
        """Return leaves and maxima of long rows: so that a block reads what matters."""
        if self.v <= _device.LEAF:
            return None, None
        found = _device.read(self.x, None, _device.NOTHING, 1)
        return found.leaves, found.maxima

    def levels(self) -> Any:
        return _cuda.empty((self.rows, _FIELDS), "float64", self.x)

    def out(self) -> Any:
        """Return room for a row each: kernels write all of short rows, and the support of long ones into zeros."""
        dtype = _array.computed(self.x)
        if self.v <= _device.LEAF:
            return _cuda.empty(self.x.shape, dtype, self.x)
        return _cuda.full(self.x.shape, 0.0, dtype, self.x)

    def per_row(self, dtype: str) -> Any:
        return _cuda.empty(self.x.shape[:-1], dtype, self.x)


def entmax(x: Any, alpha: Any, function: str) -> tuple[Any, Levels]:
    """Return probabilities, and what derivatives start from."""
    launch = _Launch(x)
    p = launch.out()
    return p, _levels(launch, alpha, p, function)


def _levels(launch: _Launch, alpha: Any, p: Any, function: str) -> Levels:
    """Return the levels of rows; fill in their probabilities unless `p` is None."""
    levels, fault = launch.levels(), _cuda.fault(launch.x)
    leaves, maxima = launch.read()
    launch(_ENTMAX, "entmax", launch.x, leaves, maxima, alpha, levels, p, fault=(fault,))
    _cuda.confirm(fault, _native.entmax, function, launch.x, alpha)
    return Levels(levels, maxima)


def entmax_vjp(x: Any, alpha: Any, function: str, g: Any, wanted: int, kept: Levels | None) -> tuple[Any, Any]:
    """Return the gradients to the rows and to alpha (of any content where it is not wanted)."""
    launch = _Launch(x)
    found = kept or _levels(launch, alpha, None, function)
    dx, dalpha = launch.out(), launch.per_row("float64")
    launch(_ENTMAX, "entmax_vjp", x, found.maxima, alpha, found.levels, g, dx, dalpha if wanted & 2 else None)
    return dx, dalpha


def entmax_second(x: Any, alpha: Any, function: str, g: Any, along: Any, along_alpha: Any) -> tuple[Any, Any, Any]:
    """Return the gradients of <t, vjp> to the rows, alpha and g."""
    launch = _Launch(x)
    found = _levels(launch, alpha, None, function)
    dx, dalpha, dg = launch.out(), launch.per_row("float64"), launch.out()
    launch(
        _ENTMAX, "entmax_second", x, found.maxima, alpha, found.levels, g, along, _double(along_alpha), dx, dalpha, dg
    )
    return dx, dalpha, dg


def _double(x: Any) -> Any:
    return _array.cast(x, "float64")


def _targets(target: Any) -> tuple[Any, Any]:
    """Return classes and distributions, one of them or both None."""
    if target is None:
        return None, None
    return (target, None) if str(target.dtype).endswith("int64") else (None, target)


def conjugate(x: Any, alpha: Any, target: Any, function: str) -> tuple[Any, Levels]:
    """Return values, and what derivatives start from."""
    launch = _Launch(x)
    found, value, fault = _levels(launch, alpha, None, function), launch.per_row(_array.computed(x)), _cuda.fault(x)
    arguments = (x, found.maxima, alpha, found.levels, *_targets(target), value)
    launch(_CONJUGATE, "entmax_conjugate", *arguments, fault=(fault,))
    _cuda.confirm(fault, _native.entmax_conjugate, function, x, alpha, target)
    return value, found


def conjugate_vjp(
    x: Any, alpha: Any, target: Any, function: str, g: Any, wanted: int, kept: Levels | None
) -> tuple[Any, Any]:
    """Return the gradients to the rows and to alpha (of any content where it is not wanted)."""
    launch = _Launch(x)
    found = kept or _levels(launch, alpha, None, function)
    dx, dalpha = launch.out(), launch.per_row("float64")
    to_alpha = dalpha if wanted & 2 else None
    arguments = (x, found.maxima, alpha, found.levels, *_targets(target), g, dx, to_alpha)
    launch(_CONJUGATE, "entmax_conjugate_vjp", *arguments)
    return dx, dalpha


def conjugate_second(
    x: Any, alpha: Any, target: Any, function: str, g: Any, along: Any, along_alpha: Any
) -> tuple[Any, Any, Any]:
    """Return the gradients of <t, vjp> to the rows, alpha and g."""
    launch = _Launch(x)
    found = _levels(launch, alpha, None, function)
    dx, dalpha, dg = launch.out(), launch.per_row("float64"), launch.per_row(_array.computed(x))
    arguments = (x, found.maxima, alpha, found.levels, *_targets(target), g, along, _double(along_alpha))
    launch(_CONJUGATE, "entmax_conjugate_second", *arguments, dx, dalpha, dg)
    return dx, dalpha, dg


def topk_softmax(x: Any, k: Any, temperature: Any, bias: Any, *, probabilities: bool = True) -> tuple[Any, Levels]:
    """Return probabilities (None where they are not wanted), and what derivatives start from."""
    choice = x
    if bias is not None:
        x, bias = _cuda.widen(x), _cuda.widen(bias)
        choice = x + bias
    launch = _Launch(choice)
    p, levels, fault = launch.out() if probabilities else None, launch.levels(), _cuda.fault(x)
    leaves, maxima = launch.read()
    launch(_TOPK, "topk_softmax", choice, x, bias, k, temperature, leaves, maxima, levels, p, fault=(fault,))

    def on_host(x: Any, *parameters: Any) -> object:
        return _native.topk_softmax("topk_softmax", x, parameters)

    _cuda.confirm(fault, on_host, x, k, temperature, bias)
    return p, Levels(levels, maxima, choice)


def topk_softmax_vjp(x: Any, k: Any, temperature: Any, bias: Any, g: Any, kept: Levels | None) -> Any:
    """Return the gradient to the logits."""
    found = kept or topk_softmax(x, k, temperature, bias, probabilities=False)[1]
    if bias is not None:
        x, g = _cuda.widen(x), _cuda.widen(g)
    launch = _Launch(x)
    dx = launch.out()
    launch(_TOPK, "topk_softmax_vjp", found.choice, x, temperature, found.maxima, found.levels, g, dx)
    return dx


def topk_softmax_second(x: Any, k: Any, temperature: Any, bias: Any, g: Any, along: Any) -> tuple[Any, Any]:
    """Return the gradients of <t, vjp> to the logits and to g."""
    found = topk_softmax(x, k, temperature, bias, probabilities=False)[1]
    launch = _Launch(x)
    dx, dg = launch.out(), launch.out()
    arguments = (found.choice, x, temperature, found.maxima, found.levels, g, along, dx, dg)
    launch(_TOPK, "topk_softmax_second", *arguments)
    return dx, dg
