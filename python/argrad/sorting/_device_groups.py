"""`group_order` and its derivatives on a device: the kernels of `cuda/sorting_groups.cu`."""

import math
from typing import Any

from argrad import _array, _cuda
from argrad._array import Array
from argrad.sorting import _device, _device_network
from argrad.sorting._device import Room

_FILE = "sorting_groups"


class Groups:
    """Lists of two groups, their options, and what they are averaged over.

    Attributes:
        x: scores, widened.
        steepness: one per list.
        order: the items of each list in the order in which they enter the network, then -1.
        count: how many take part.
    """

    def __init__(self, x: Array, positive: Array, steepness: Array, options: Any, shape: tuple[int, ...]) -> None:
        """Take the inputs; `options` are negatives, network, distribution, log and reduction, `shape` the value's."""
        self.x, self.positive, self.steepness = _cuda.widen(x), positive, _cuda.widen(steepness)
        self.negatives, self.network, self.distribution, self.log, self.mean = options
        self.shape, self.n, self.lists = shape, x.shape[-1], math.prod(x.shape[:-1])
        runs = self.lists if self.mean == "none" else math.prod(shape)
        self.runs, self.run = runs, 1 if runs in (0, self.lists) else self.lists // runs
        self.shares: Array | None = None

    @property
    def is_spread(self) -> bool:
        """Tell whether there are means over several lists (or none)."""
        return bool(self.mean == "batch_mean" and self.runs != self.lists)

    def arrange(self, mask: Array | None) -> tuple[Array, Array]:
        """Return the order in which items enter the network, int32, and how many of each list, int64."""
        batch = _device.batch(self.x, None)
        places = _device.order(self.x, mask, batch, False, None)
        order, count = _cuda.empty(self.x.shape, "int32", self.x), _cuda.empty(self.x.shape[:-1], "int64", self.x)
        most = self.n if self.negatives is None else self.negatives
        arguments = (places, self.positive, self.n, self.lists, most, order, count)
        _cuda.launch(self.x, _FILE, "group_arrange", batch.blocks, _device.threads(self.n), *arguments)
        return order, count

    def share(self, count: Array) -> None:
        """Find what each list counts for in a mean over lists."""
        if self.is_spread:
            self.shares = _cuda.empty((self.runs,), "float64", self.x)
            _cuda.launch(self.x, _FILE, "group_shares", self.runs, 128, count, self.runs, self.run, self.shares)

    def values(self, order: Array, count: Array, slopes: bool, fault: Array | None) -> tuple[Array, Array]:
        """Return values, and the slopes of means to the scores if they are wanted, else an empty array."""
        self.share(count)
        value = self._values(0.0 if self.log else 1.0)
        found = self._zeros(self.x.shape) if slopes else None
        self._launch("group_order", (), order, (value, found), fault)
        none = _cuda.empty((*self.x.shape[:-1], 0), _array.computed(self.x), self.x)
        return self._means(value, count, 0.0 if self.log else 1.0), none if found is None else found

    def gradients(self, order: Array, upstream: Array, tangents: tuple[Array, ...] = ()) -> tuple[Array, ...]:
        """Return the gradients to scores and steepness; with tangents their derivatives, and that to `upstream`."""
        count = self._counted(order)
        self.share(count)
        to_x, to_steepness = self._zeros(self.x.shape), self._zeros(self.steepness.shape)
        given = [_cuda.widen(y) for y in (upstream, *tangents)]
        if not tangents:
            self._launch("group_order_vjp", given, order, (to_x, to_steepness), None)
            return to_x, to_steepness
        value = self._values(0.0)
        self._launch("group_order_second", given, order, (to_x, to_steepness, value), None)
        return to_x, to_steepness, self._means(value, count, 0.0)

    def scaled(self, slopes: Array, gradient: Array) -> Array:
        """Return slopes times the gradients of their means."""
        to, size = _cuda.empty(slopes.shape, _array.computed(slopes), slopes), math.prod(slopes.shape)
        each = max(size // max(self.runs, 1), 1)
        blocks = min(-(-size // 256), 8 * _cuda.processors(slopes))
        name = f"group_scaled<{_cuda.number(slopes)}>"
        _cuda.launch(slopes, _FILE, name, blocks, 256, slopes, _cuda.widen(gradient), size, each, to)
        return to

    def _counted(self, order: Array) -> Array:
        """Return how many items of each list take part, read back from the order."""
        return _array.cast((order >= 0).sum(-1), "int64")

    def _zeros(self, shape: tuple[int, ...]) -> Array:
        return _cuda.full(shape, 0, _array.computed(self.x), self.x)

    def _values(self, none: float) -> Array:
        """Return room for one value per item or per list."""
        shape = self.x.shape if self.mean == "none" else self.x.shape[:-1]
        return _cuda.full(shape, none, _array.computed(self.x), self.x)

    def _means(self, value: Array, count: Array, none: float) -> Array:
        """Return the means of runs of lists, if they are asked for."""
        if not self.is_spread:
            return value.reshape(self.shape)
        means = _cuda.empty(self.shape, _array.computed(self.x), self.x)
        arguments = (value, count, self.shares, self.runs, self.run, float(none), means)
        _cuda.launch(self.x, _FILE, f"group_means<{_cuda.number(self.x)}>", self.runs, 128, *arguments)
        return means

    def _launch(self, name: str, given: Any, order: Array, outputs: Any, fault: Array | None) -> None:
        dual = name == "group_order_second"
        segment, held = self._room(dual)
        options = (int(self.log), int(self.mean != "none"), int(self.network == "bitonic"))
        number = _device_network.DISTRIBUTIONS.index(self.distribution)
        _cuda.launch(
            self.x,
            _FILE,
            f"{name}<{_cuda.number(self.x)}>",
            held.blocks,
            _device.threads(self.n, 2),
            *(self.x, self.positive, self.steepness, order, *given, self.n, self.lists, self.run, self.shares),
            *(*options, number, segment, *outputs, held.scratch, held.size),
            *([fault] if name == "group_order" else []),
            shared=held.shared,
        )

    def _room(self, dual: bool) -> tuple[int, Room]:
        """Return the layers of a segment and the memory of a block (`run_groups`)."""
        width = 16 if dual else 8 if _array.computed(self.x) == "float64" else 4
        state = _device.size_of(self.n, width, width, 2 * width, 2 * width, width)
        return _device_network.room(self.x, self.lists, self.n, self.network, width, state, (1, 2, 1), 2)
