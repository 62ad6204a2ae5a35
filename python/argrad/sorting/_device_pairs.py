"""Sums over pairs and their derivatives on a device: `cuda/sorting_pairs.cu` and `sorting_pairs_ends.cu`."""

import math
from collections.abc import Sequence
from typing import Any

from argrad import _array, _cuda
from argrad._array import Array
from argrad.sorting import _device

_DISTANCES = 29
"""Distances of panels in the table of `pair_table`."""

_SLOPES = ((0, 0, "dw"), (1, 0, "w"), (1, 1, "w"), (1, 0, "w_dy"), (1, 0, "dw"), (1, 1, "dw"))
_BENDS = ((2, 0, "w"), (2, 1, "w"), (2, 2, "w"), (2, 0, "w_dy"), (2, 1, "w_dy"))
_OVER_Y = _SLOPES + _BENDS
_OVER_X = ((1, 0, "g"), (1, 1, "g"), (1, 0, "g_dx"), (2, 0, "g"), (2, 1, "g"), (2, 0, "g_dx"))
"""The sums of the second derivative: how often the kernel is derived, the power of its argument, and the weights."""


class Pairs:
    """The pairs of two batches of lists, in order and in panels.

    Attributes:
        x: one side, widened.
        y: the other.
        weights: of the items of y.
        temperature: one for each list.
    """

    def __init__(
        self, arrays: Sequence[Array], masks: Sequence[Array | None], kernel: str, fault: Array | None
    ) -> None:
        x, y, weights, temperature = [_cuda.widen(a) for a in arrays]
        mask, y_mask, offsets, y_offsets = masks
        self.x, self.y, self.weights, self.temperature = x, y, weights, temperature
        self.masks, self.base = (mask, y_mask), int(kernel == "sigmoid")
        self.lists = (_device.batch(x, offsets), _device.batch(y, y_offsets))
        self.order = (
            _device.order(x, mask, self.lists[0], False, fault),
            _device.order(y, y_mask, self.lists[1], False, fault),
        )
        self._tables: dict[tuple[int, int], Array] = {}
        self._lay(fault)

    @property
    def _arguments(self) -> tuple[Any, ...]:
        return (*self.lists[0].arguments, *self.lists[1].arguments[:4])

    @property
    def _items(self) -> int:
        """Items of both sides that a list has at most."""
        return self.lists[0].n + self.lists[1].n

    def _lay(self, fault: Array | None) -> None:
        lists, x, y = self.lists[0].total, self.x, self.y
        self.numbers = [_cuda.empty(a.shape, "float64", x) for a in (x, y)]
        self.info = _cuda.empty((lists * 32,), "uint8", x)
        self.panels = _cuda.empty(((math.prod(x.shape) + math.prod(y.shape) + lists) * 32,), "uint8", x)
        held = _device.room(x, lists, _device.size_of(self._items, 8, 4, 4, 4))
        self._launch(
            "sorting_pairs",
            f"pair_panels<{_cuda.number(x)}>",
            *(x, y, self.weights, self.temperature, *self.order, *self._arguments),
            *(*self.numbers, self.info, self.panels, held.scratch, held.size, fault),
            held=held,
        )

    def _launch(self, file: str, name: str, *arguments: Any, held: Any = None) -> None:
        blocks, shared = (self.lists[0].blocks, 0) if held is None else (held.blocks, held.shared)
        _cuda.launch(self.x, file, name, blocks, _device.threads(self._items, 2), *arguments, shared=shared)

    def gather(self, side: int, a: Array, factor: Array | None = None) -> Array:
        """Return numbers of the items of x (0) or y (1), or their products, by rank in float64."""
        to = _cuda.empty(a.shape, "float64", self.x)
        name = f"pair_gather<{_cuda.number(a)}>"
        self._launch("sorting_pairs_ends", name, a, factor, self.order[side], *self.lists[side].arguments, to)
        return to

    def sum(self, derived: int, power: int, weights: Array, *, over: int, out: Array | None = None) -> Array:
        """Return the sums over x (0) or y (1) of a derivative of the kernel times a power of its argument, by rank."""
        targets = self.x if over else self.y
        out = _cuda.empty(targets.shape, "float64", self.x) if out is None else out
        terms = 24 if _array.computed(self.x) == "float64" else 16
        order = self.base + derived
        if (order, power) not in self._tables:
            table = _cuda.empty((_DISTANCES, terms, terms), "float64", self.x)
            _cuda.launch(self.x, "sorting_pairs", "pair_table", _DISTANCES, 256, table, terms, order, power)
            self._tables[order, power] = table
        held = _device.room(self.x, self.lists[0].total, _device.size_of(self._items, 8 * terms, 24))
        self._launch(
            "sorting_pairs",
            f"pair_sums<{_cuda.number(self.x)}>",
            *(*self.numbers, self.info, self.panels, self._tables[order, power], self.temperature, weights),
            *(*self._arguments, order, power, int(over == 0), out, held.scratch, held.size),
            held=held,
        )
        return out

    def outputs(self) -> tuple[Array, Array, Array, Array]:
        """Return room for gradients to x, y, weights and temperature."""
        (a, b), (mask, y_mask) = self.lists, self.masks
        to_y, to_weights = [_device.outputs(self.y.shape, self.y, b, y_mask) for _ in range(2)]
        to_temperature = _cuda.empty(self.temperature.shape, _array.computed(self.x), self.x)
        return _device.outputs(self.x.shape, self.x, a, mask), to_y, to_weights, to_temperature

    def values(self) -> Array:
        """Return the sums of the kernel over y, by item."""
        sums = self.sum(0, 0, self.gather(1, self.weights), over=1)
        y = _device.outputs(self.x.shape, self.x, self.lists[0], self.masks[0])
        name = f"pair_values<{_cuda.number(self.x)}>"
        self._launch("sorting_pairs_ends", name, sums, self.info, self.order[0], *self.lists[0].arguments, y)
        return y

    def vjp(self, grad: Array) -> tuple[Array, Array, Array, Array]:
        """Return the gradients to x, y, weights and temperature."""
        g, w = self.gather(0, grad), self.gather(1, self.weights)
        over_y, over_x = self.sum(1, 0, w, over=1), self.sum(1, 0, g, over=0)
        values, slopes_z = self.sum(0, 0, g, over=0), self.sum(1, 1, w, over=1)
        found = self.outputs()
        self._launch(
            "sorting_pairs_ends",
            f"pair_vjp<{_cuda.number(self.x)}>",
            *(over_y, over_x, values, slopes_z, g, w, self.info, *self.order, self.temperature),
            *(*self._arguments, *found),
        )
        return found

    def second(self, grad: Array, tangents: Sequence[Array]) -> tuple[Array, ...]:
        """Return the derivatives of these gradients along tangents of the four, and that to `grad`."""
        dx, dy, dw, dt = [_cuda.widen(a) for a in tangents]
        by_rank = {
            "g": self.gather(0, grad),
            "dx": self.gather(0, dx),
            "g_dx": self.gather(0, grad, dx),
            "w": self.gather(1, self.weights),
            "dy": self.gather(1, dy),
            "dw": self.gather(1, dw),
            "w_dy": self.gather(1, self.weights, dy),
        }
        over_y = _cuda.empty((len(_OVER_Y), *self.x.shape), "float64", self.x)
        over_x = _cuda.empty((len(_OVER_X), *self.y.shape), "float64", self.x)
        for side, jobs, out in ((1, _OVER_Y, over_y), (0, _OVER_X, over_x)):
            for i, (derived, power, weights) in enumerate(jobs):
                self.sum(derived, power, by_rank[weights], over=side, out=out[i])
        found = (*self.outputs(), _device.outputs(self.x.shape, self.x, self.lists[0], self.masks[0]))
        self._launch(
            "sorting_pairs_ends",
            f"pair_second<{_cuda.number(self.x)}>",
            *(over_y, over_x, *[by_rank[name] for name in ("g", "w", "dx", "dy", "dw")], dt),
            *(self.info, *self.order, self.temperature, *self._arguments),
            *(math.prod(self.x.shape), math.prod(self.y.shape), *found),
        )
        return found
