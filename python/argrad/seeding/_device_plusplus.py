"""k-means++ on a device: what the host launches, and the few numbers that it reads at the end."""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from argrad import _array, _cuda
from argrad.seeding._device import FILE, MOST_BLOCKS, TILE, TILE_THREADS, per_item

BATCHES, GREEDY, ANCHORS = "seeding_plusplus", "seeding_greedy", "seeding_anchors"
FIRST, PROPOSAL, ACCEPT, FILL, UNIFORM, TRIAL = 0x100, 0x101, 0x102, 0x103, 0x104, 0x105
"""Streams of random numbers, as `rust/core/src/seeding/mod.rs` has them."""

BLOCK_ROWS, MOST_PROPOSALS, SPLITS, STAGE, GROUPS = 1024, 2048, 8, 64, 32
"""As in `envelope.cuh`."""

WALK_WORDS = 24
COUNT, REFRESHED, REFRESHES, REFRESH, TAKEN_UNIFORMLY = 5, 12, 13, 14, 21
"""Words of the state, as `Walk` in `envelope.cuh` has them."""

FIRST_BURST = 4
"""Batches that are launched before the host first asks whether all is done; then as many again as so far."""


@dataclass(frozen=True)
class State:
    """What the host reads of the state in device memory: one copy, after all that was launched."""

    bad: bool
    total: float
    first_total: float
    count: int
    proposals: int
    refreshes: int
    uniform: int

    @classmethod
    def of(cls, walk: Any) -> "State":
        """Wait for the device and read."""
        words = _array.to_host(walk).tobytes()
        bad, total, first_total, count, _, proposals = struct.unpack_from("=20xI2d3q", words)
        (refreshes,), (uniform,) = (struct.unpack_from("=q", words, 8 * word) for word in (REFRESHES, TAKEN_UNIFORMLY))
        return cls(bool(bad), total, first_total, count, proposals, refreshes, uniform)


@dataclass(frozen=True)
class Seeder:
    """The arrays of one seeding."""

    X: Any
    weights: Any
    k: int
    seed: int
    chosen: Any = None
    """Where the first centers are given: an array of k rows that begins with them."""

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self.X.shape[1])

    @property
    def row_blocks(self) -> int:
        """Blocks of rows that are summed together."""
        return -(-self.n // BLOCK_ROWS)

    def _empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return _cuda.empty(shape, dtype, self.X)

    @cached_property
    def kind(self) -> str:
        """The number type that is computed in."""
        return "double" if _array.computed(self.X) == "float64" else "float"

    @property
    def inflation(self) -> float:
        """What keeps a bound above a distance under the rounding of both, as on the host."""
        lanes, unit = (8, 2.0**-53) if self.kind == "double" else (16, 2.0**-24)
        return 1.0 + 4.0 * (-(-self.d // lanes) + 12) * unit

    @cached_property
    def walk(self) -> Any:
        """The state, zeros at the beginning."""
        return _cuda.full((WALK_WORDS,), 0, "int64", self.X)

    @cached_property
    def indices(self) -> Any:
        """The centers, in the order of drawing."""
        return self._empty((self.k,), "int64") if self.chosen is None else self.chosen

    @cached_property
    def bound(self) -> Any:
        """The bound of each row."""
        return self._empty((self.n,), _array.computed(self.X))

    @cached_property
    def sums(self) -> tuple[Any, Any, Any]:
        """Sums of groups, of blocks, and of the blocks before."""
        return self.more_sums()

    @cached_property
    def weight_sums(self) -> tuple[Any, Any, Any]:
        """The same of the weights, where they outlive the draw of the first center."""
        return self.more_sums()

    def more_sums(self) -> tuple[Any, Any, Any]:
        """Place for such sums of something else."""
        lengths = (-(-self.n // GROUPS), self.row_blocks, self.row_blocks + 1)
        groups, blocks, before = (self._empty((length,), "float64") for length in lengths)
        return groups, blocks, before

    def launch(self, name: str, blocks: int, threads: int, *args: object, file: str = BATCHES) -> None:
        """Launch a kernel; S and T in its name stand for the types of the rows and of what is computed."""
        name = name.replace("<S>", f"<{_cuda.number(self.X)}>").replace("<T>", f"<{self.kind}>")
        _cuda.launch(self.X, file, name, blocks, threads, *args)

    def begin(self) -> None:
        """Choose the first center, and make the envelope of it."""
        self.first(self.sums)
        self._from_first()

    def _from_first(self) -> None:
        """Make the envelope of the first center."""
        self._measure(0)
        self._reach(self.indices)
        self._measure(1)
        self.prefix(self.sums)

    def first(self, sums: tuple[Any, Any, Any]) -> None:
        """Choose the first center; the sums of the weights are left in `sums`."""
        if self.weights is not None:
            self.sum_weights(sums)
        args = (*sums, self.weights, self.walk, self.indices, word(self.seed), FIRST, self.n)
        self.launch("first_center", 1, 32, *args)

    def sum_weights(self, sums: tuple[Any, Any, Any]) -> None:
        """Make the sums of the weights, and look for bad ones."""
        groups, blocks, _ = sums
        rows = min(self.row_blocks, MOST_BLOCKS)
        self.launch("sum_weights", rows, 256, self.weights, groups, blocks, self.walk, self.n)
        self.prefix(sums)

    def prefix(self, sums: tuple[Any, Any, Any], batch: bool = False) -> None:
        """Add the sums of the blocks up, which gives the total."""
        _, blocks, before = sums
        self.launch("sum_prefix", 1, 256, blocks, before, self.walk, self.row_blocks, int(batch))

    def _reach(self, reference: Any) -> None:
        """Where squares are out of range, measure how far rows are from the first reference, from row 0 for None."""
        count = self.n * self.d
        args = (self.X, self.X, reference, self.walk, count, self.d)
        self.launch("measure_reach<S>", per_item(count, self.X), 256, *args, file=FILE)

    def _measure(self, turn: int) -> None:
        """Bounds from the distances to the last center."""
        groups, blocks, _ = self.sums
        args = (self.X, self.bound, groups, blocks, self.weights, self.walk, self.indices, self.n, self.d, turn)
        self.launch("envelope_rows<S>", min(self.row_blocks, MOST_BLOCKS), 256, *args)

    def _lower(self) -> None:
        """Lower all bounds by the last center."""
        self._measure(2)
        self.prefix(self.sums)

    def one_by_one(self) -> State:
        """Draw each center with a pass over the rows."""
        self.begin()
        draw = (self.bound, *self.sums, self.weights, self.walk, self.indices, word(self.seed), PROPOSAL, self.n)
        for _ in range(self.k - 1):
            self.launch("draw_center<T>", 1, 32, *draw)
            self._lower()
        return State.of(self.walk)

    def greedy(self, trials: int) -> State:
        """Take the best of several candidates for each center."""
        self.begin()
        rows, sums = self._empty((trials,), "int32"), self._empty((self.row_blocks, trials), "float64")
        totals = self._empty((trials,), "float64")
        draw = (self.bound, *self.sums, self.weights, self.walk, rows, word(self.seed), TRIAL, self.n, trials)
        measure = (self.X, self.bound, self.weights, self.walk, rows, sums, self.n, self.d, trials)
        take = (self.walk, sums, totals, rows, self.indices, self.row_blocks, trials)
        for _ in range(self.k - 1):
            self.launch("draw_trials<T>", -(-trials // 8), 256, *draw, file=GREEDY)
            self.launch("trial_potentials<S>", min(self.row_blocks, MOST_BLOCKS), 256, *measure, file=GREEDY)
            self.launch("take_trial", 1, 256, *take, file=GREEDY)
            self._lower()
        return State.of(self.walk)

    def batches(self, every: int) -> State:
        """Draw centers batch by batch until all are there or no row is left at a distance."""
        self.begin()
        return self.until_done(self.batch(every))

    def extend(self, count: int, every: int) -> State:
        """Draw more centers, batch by batch, after the first `count`, which are given."""
        self.walk[COUNT] = self.walk[REFRESHED] = 1
        self._from_first()
        self.walk[COUNT] = count
        self.refresh()
        return self.until_done(self.batch(every))

    def refresh(self) -> None:
        """Bring every bound down to the distance to the nearest center."""
        self.walk[REFRESH] = 1
        self._refresh(None)

    def _refresh(self, rows: Any) -> None:
        """The same if the state calls for it; if not, make the sums of some rows anew."""
        args = (self.X, self.walk, self.bound, self.indices, self.n, self.d)
        self.launch("refresh<S>", min(-(-self.n // TILE), 2 * _cuda.processors(self.X)), TILE_THREADS, *args)
        self._sum_up(self.bound, rows)

    def _sum_up(self, bound: Any, rows: Any) -> None:
        fill, (groups, blocks, _) = 2 * _cuda.processors(self.X), self.sums
        self.launch("sum_groups<T>", 2 * fill, 256, self.walk, bound, self.weights, groups, rows, self.n)
        self.launch("sum_blocks", fill, 256, self.walk, groups, blocks, rows, self.n)
        self.prefix(self.sums, batch=True)

    def sum_bounds(self, bound: Any) -> None:
        """Make all sums of these bounds."""
        self.walk[REFRESH] = 1
        self._sum_up(bound, None)

    def published(self, most: int) -> State:
        """Draw centers by RS-k-means++: bounds about the mean; a uniform row after `most` rejections, never for 0."""
        self.first(self.kept_sums)
        squares, _ = self.about_the_mean()
        self.publish(squares)
        return self.until_done(self.bounded_batch(most))

    @property
    def kept_sums(self) -> tuple[Any, Any, Any]:
        """Where sums of the weights go that are used after the first center."""
        return self.sums if self.weights is None else self.weight_sums

    def publish(self, squares: Any) -> None:
        """Make the bounds of the first center and the scaled squares of the distances to the mean."""
        groups, blocks, _ = self.sums
        args = (squares, self.bound, groups, blocks, self.weights, self.walk, self.indices, self.n, self.inflation)
        self.launch("published_bounds<T>", min(self.row_blocks, MOST_BLOCKS), 256, *args, file=ANCHORS)
        self.prefix(self.sums)

    def bounded_batch(self, most: int, k: int | None = None) -> Callable[[], None]:
        """Return the launches of a batch of the published method."""
        batch = self.batch(0, k, most=most, lowers=False)
        uniform = (*self.kept_sums, self.weights, self.walk, self.indices, word(self.seed), UNIFORM, self.n)

        def bounded() -> None:
            batch()
            self.launch("take_uniform", 1, 32, *uniform, file=ANCHORS)

        return bounded if most else batch

    def about_the_mean(self) -> tuple[Any, Any]:
        """Return the scaled squares of the distances to the mean, and the mean in scale."""
        n, d, blocks = self.n, self.d, self.row_blocks
        parts, masses = self._empty((blocks, d), "float64"), self._empty((blocks,), "float64")
        mean, squares = self._empty((d,), _array.computed(self.X)), self._empty((n,), _array.computed(self.X))
        columns, rows = (self.X, self.weights, self.walk, parts, masses, n, d), (self.X, mean, squares, self.walk, n, d)
        for turn in range(2):
            if turn:
                self._reach(None)
            self.launch("sum_columns<S>", per_item(blocks * d, self.X), 256, *columns, turn, file=ANCHORS)
            args = (parts, masses, self.walk, mean, blocks, d, turn)
            self.launch("mean<T>", per_item(d, self.X), 256, *args, file=ANCHORS)
            self.launch("squares_to_mean<S>", per_item(8 * n, self.X), 256, *rows, turn, file=ANCHORS)
        return squares, mean

    def until_done(self, batch: Callable[[], None], k: int | None = None) -> State:
        """Launch batches ahead, more every time, until there are k centers or no row is left at a distance."""
        done, k = 0, k or self.k
        while True:
            burst = max(done, FIRST_BURST)
            for _ in range(burst):
                batch()
            done += burst
            state = State.of(self.walk)
            if state.bad or state.count >= k or not state.total > 0:
                return state

    def batch(self, every: int, k: int | None = None, *, most: int = 0, lowers: bool = True) -> Callable[[], None]:
        """Return the launches of one batch; without `lowers` the bounds of rejected rows stay."""
        k = k or self.k
        X, walk, indices, n, d, weights = self.X, self.walk, self.indices, self.n, self.d, self.weights
        groups, blocks, before = self.sums
        rows, alive = (self._empty((MOST_PROPOSALS,), "int32") for _ in range(2))
        limits, spent = self._empty((MOST_PROPOSALS,), "float64"), self._empty((MOST_PROPOSALS,), "int64")
        near = self._empty((MOST_PROPOSALS,), _array.computed(X))
        squares = self._empty((SPLITS, MOST_PROPOSALS), _array.computed(X))
        bits = self._empty((MOST_PROPOSALS, MOST_PROPOSALS // 32), "int32")
        fill, warps = 2 * _cuda.processors(X), MOST_PROPOSALS // 8
        envelope = (self.bound, groups, blocks, before, weights, walk)
        score = partial(self.launch, "score<S>", fill, TILE_THREADS, X, walk, indices, rows, alive, squares, d)

        def batch() -> None:
            draws = (rows, limits, alive, word(self.seed), PROPOSAL, ACCEPT, n, k)
            self.launch("propose<T>", min(warps, fill), 256, *envelope, *draws)
            for stage in range(_stages(k)):
                score(stage)
                self.launch("settle<T>", 1, 256, walk, squares, limits, alive, near, spent, stage)
            self.launch("hits<S>", fill, TILE_THREADS, X, walk, rows, limits, alive, bits, d)
            self.launch("resolve", 1, 256, walk, rows, alive, spent, bits, indices, n, k, every, most, int(lowers))
            if lowers:
                score(-1)
                found = (walk, self.bound, rows, limits, alive, near, squares)
                self.launch("lower<T>", 2 * MOST_PROPOSALS // 256, 256, *found)
            self._refresh(rows)

        return batch

    def unused(self, seed: int, k: int | None = None) -> None:
        """Fill the indices up to k with unused rows."""
        k = k or self.k
        n, blocks = self.n, self.row_blocks
        used, free = _cuda.full((n,), 0, "int32", self.X), self._empty((n,), "int32")
        counts, sizes = self._empty((2, blocks), "int64"), self._empty((2,), "int64")
        self.launch("mark_used", per_item(k, self.X), 256, self.walk, self.indices, used, file=GREEDY)
        for target in (None, free):
            self.launch("free_rows", blocks, 256, used, self.weights, counts, target, n, blocks, file=GREEDY)
            if target is None:
                self.launch("free_starts", 1, 256, counts, sizes, blocks, file=GREEDY)
        args = (self.walk, sizes, free, self.indices, word(seed), FILL, k)
        self.launch("fill_up", 1, 32, *args, file=GREEDY)

    def uniform(self) -> State:
        """Look for numbers that are not finite; no center is drawn."""
        count = self.n * self.d
        args = (self.X, self.walk, count, None)
        self.launch("check_finite<S>", per_item(count, self.X), 256, *args, file=FILE)
        if self.weights is not None:
            self.sum_weights(self.sums)
        return State.of(self.walk)

    def weights_are_good(self) -> bool:
        """Tell whether the weights are finite, not negative and of a positive, finite sum."""
        self.sum_weights(self.sums)
        state = State.of(self.walk)
        return not state.bad and 0 < state.total < math.inf


def _stages(k: int) -> int:
    """Stages in which all of k - 1 centers are looked at."""
    stages, seen, size = 1, STAGE, STAGE
    while seen < k - 1:
        stages, size = stages + 1, size * 4
        seen += size
    return stages


def word(seed: int) -> int:
    """The 64 bits of a seed as a signed number."""
    return seed - 2**64 if seed >= 2**63 else seed
