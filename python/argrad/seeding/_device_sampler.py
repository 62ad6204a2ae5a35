"""What `D2Sampler` prepares, and draws from, on a device."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from argrad import _array, _cuda
from argrad.seeding import _device
from argrad.seeding._device import MOST_BLOCKS, TILE, TILE_THREADS, per_item
from argrad.seeding._device_plusplus import MOST_PROPOSALS, Seeder, State, word
from argrad.seeding._options import Facts, Options

FILE = "seeding_sampler"
POTENTIAL, SAMPLE, SAMPLE_ACCEPT = 0x106, 0x109, 0x10A
"""Streams of random numbers, as `rust/core/src/seeding/mod.rs` has them."""

MOST_PIVOTS, ROWS_PER_PIVOT, SEED = 63, 256, 0xA17C_40B5_F3D2_9E61
"""As in `rust/core/src/seeding/anchors.rs`."""

SAMPLE_RATE, PASS_NUMBERS = 64, 1 << 62
"""Proposals for a row beyond which a pass is cheaper, and the first random number of that, as in `sample.rs`."""

RANGE_WORDS = 3
SAMPLE_WORDS = 3
FIRST_BURST = 4


@dataclass(frozen=True)
class Anchors:
    """Anchors, every row's place among them, and the words of a state that tell the scale."""

    range: Any
    points: Any
    labels: Any
    squares: Any
    spread: float
    scale: float

    @property
    def number(self) -> int:
        """How many."""
        return int(self.points.shape[0])


def prepare(X: Any, weights: Any, pivots: int | None) -> Anchors | None:
    """Find anchors and measure all rows against them, as the native function does; None for bad numbers. Waits."""
    (n, d), about = X.shape, Seeder(X, weights, 1, SEED)
    if weights is not None and not about.weights_are_good():
        return None
    squares, mean = about.about_the_mean()
    about.sum_bounds(squares)
    told = _cuda.empty((2,), "float64", X)
    about.launch("tell_spread<T>", 1, 32, about.walk, told, file=FILE)
    state = State.of(about.walk)
    if state.bad:
        return None
    spread, scale = map(float, _array.to_host(told))
    pivots, chosen = min(n // ROWS_PER_PIVOT, MOST_PIVOTS) if pivots is None else pivots, None
    if pivots:
        seeder = Seeder(X, weights, pivots, SEED)
        if seeder.batches(-1).count < pivots:
            seeder.unused(SEED)
        chosen = seeder.indices
    anchors, labels = _cuda.empty((1 + pivots, d), _array.computed(X), X), _cuda.full((n,), 0, "uint8", X)
    gather = (X, mean, chosen, about.walk, anchors, pivots, d)
    about.launch("gather_anchors<S>", per_item((1 + pivots) * d, X), 256, *gather, file=FILE)
    if pivots:
        place = (X, chosen, about.walk, labels, squares, n, pivots, d)
        about.launch("place_rows<S>", min(-(-n // TILE), MOST_BLOCKS), TILE_THREADS, *place, file=FILE)
    return Anchors(about.walk[:RANGE_WORDS], anchors, labels, squares, spread, scale)


def locate(X: Any, rows: Any, anchors: Anchors) -> None:
    """Measure some rows against the anchors anew."""
    (_, d), count = X.shape, rows.shape[0]
    name = f"locate<{_cuda.number(X)}>"
    args = (X, rows, anchors.range, anchors.points, anchors.labels, anchors.squares, count, anchors.number, d)
    _cuda.launch(X, FILE, name, per_item(8 * count, X), 256, *args)


@dataclass(frozen=True)
class _Walker(Seeder):
    """A seeding whose bounds may come from anchors."""

    anchors: Anchors | None = None

    @cached_property
    def delta(self) -> Any:
        """The distance of each anchor to the nearest center."""
        assert self.anchors is not None
        return _cuda.full((self.anchors.number,), math.inf, "float64", self.X)

    def approach(self, centers: Any, chosen: Any, given: int) -> None:
        """Bounds from the first `given` centers, or, where that is 0, from the new ones if they are many."""
        anchors, (groups, blocks, before) = self.anchors, self.sums
        assert anchors is not None
        nearer = (centers, chosen, self.walk, anchors.points, self.delta, self.d, given)
        self.launch("approach<S>", anchors.number, 256, *nearer, file=FILE)
        places = (anchors.squares, anchors.labels, self.delta)
        args = (self.bound, groups, blocks, self.weights, self.walk, self.n, given, self.inflation)
        self.launch("bounds_of_anchors<T>", min(self.row_blocks, MOST_BLOCKS), 256, *places, *args, file=FILE)
        self.launch("finish_approach", 1, 256, blocks, before, self.walk, self.row_blocks, given, file=FILE)

    def start(self, published: bool) -> None:
        """Choose the first center, and make its envelope."""
        if self.anchors is None:
            self.begin()
            return
        self.walk[:RANGE_WORDS] = self.anchors.range
        self.first(self.kept_sums if published else self.sums)
        if published:
            self.publish(self.anchors.squares)
        else:
            self.approach(self.X, self.indices, 1)

    def run(self, k: int, options: Options) -> State:
        """Draw centers until there are k."""
        if options["method"] == "rejection":
            return self.until_done(self.bounded_batch(options["max_proposals"] or 0, k), k)
        refresh = options["refresh"]
        batch = self.batch(-1 if refresh is None else refresh, k)
        if self.anchors is None:
            return self.until_done(batch, k)

        def approaching() -> None:
            batch()
            self.approach(self.X, self.indices, 0)

        return self.until_done(approaching, k)

    def potential(self, draws: int) -> tuple[float, float]:
        """Estimate the potential and the standard error of that; waits."""
        X = self.X
        rows, squares = _cuda.empty((draws,), "int32", X), _cuda.empty((draws,), _array.computed(X), X)
        told = _cuda.empty((2,), "float64", X)
        self.draw(self.bound, rows, POTENTIAL, 0)
        args = (X, rows, X, self.indices, self.walk, None, squares, draws, 0, self.d)
        self.launch("squares_of_rows<S>", -(-draws // TILE), TILE_THREADS, *args, file=FILE)
        estimate = (squares, self.bound, rows, self.walk, told, draws)
        self.launch("estimate_potential<T>", 1, 256, *estimate, file=FILE)
        value, error = map(float, _array.to_host(told))
        return value, error

    def draw(self, bound: Any, rows: Any, stream: int, first: int) -> None:
        """Draw rows in proportion to the bounds, of which the sums are made."""
        count = rows.shape[0]
        args = (bound, *self.sums, self.weights, self.walk, rows, word(self.seed), stream, first, self.n, count)
        self.launch("draw_rows<T>", per_item(32 * count, self.X), 256, *args, file=FILE)


def path(
    X: Any, weights: Any, ks: Sequence[int], options: Options, anchors: Anchors | None, seed: int
) -> list[tuple[Any, Facts]] | None:
    """Seedings for ascending numbers of centers, each the beginning of the next; None for bad numbers. Waits."""
    walker = _Walker(X, weights, ks[-1], seed, anchors=anchors)
    walker.start(options["method"] == "rejection")
    found = []
    for k in ks:
        state = walker.run(k, options)
        if state.bad:
            return None
        potential = walker.potential(options["potential_draws"])
        if state.count < k:
            walker.unused(seed, k)
        facts = (state.count, state.uniform, state.proposals, state.refreshes, state.first_total, *potential)
        found.append((walker.indices[:k] + 0, Facts(facts)))
    return found


def sample(X: Any, weights: Any, anchors: Anchors, centers: Any, size: int, seed: int) -> Any | None:
    """Draw rows for given centers; None where no row is left at a distance. Waits."""
    given, taken = centers.shape[0], _cuda.empty((size,), "int64", X)
    walker = _Walker(X, weights, 1, seed, anchors=anchors)
    walker.walk[:RANGE_WORDS] = anchors.range
    walker.approach(centers, None, given)
    progress = _cuda.full((SAMPLE_WORDS,), 0, "int64", X)
    rows, limits = _cuda.empty((MOST_PROPOSALS,), "int32", X), _cuda.empty((MOST_PROPOSALS,), "float64", X)
    squares = _cuda.empty((MOST_PROPOSALS,), _array.computed(X), X)
    streams = (word(seed), SAMPLE, SAMPLE_ACCEPT, walker.n)
    propose = (walker.bound, *walker.sums, weights, walker.walk, progress, rows, limits, *streams)
    measure = (X, rows, centers, None, walker.walk, progress, squares, MOST_PROPOSALS, given, walker.d)
    keep = (squares, rows, limits, walker.walk, progress, taken, size, SAMPLE_RATE)
    done = 0
    while size:
        burst = max(done, FIRST_BURST)
        for _ in range(burst):
            walker.launch("propose_samples<T>", MOST_PROPOSALS // 8, 256, *propose, file=FILE)
            walker.launch("squares_of_rows<S>", MOST_PROPOSALS // TILE, TILE_THREADS, *measure, file=FILE)
            walker.launch("keep_samples<T>", 1, 256, *keep, file=FILE)
        done += burst
        progressed = int(_array.to_host(progress)[2])
        if progressed:
            return taken if progressed == 1 else _by_pass(X, weights, centers, size, seed)
    return taken


def _by_pass(X: Any, weights: Any, centers: Any, size: int, seed: int) -> Any | None:
    """The same by one pass over the rows."""
    walker = _Walker(X, weights, 1, seed)
    _, squares, _ = _device.nearest(X, centers, None)
    walker.sum_bounds(squares)
    if not State.of(walker.walk).total > 0:
        return None
    rows = _cuda.empty((size,), "int32", X)
    walker.draw(squares, rows, SAMPLE, PASS_NUMBERS)
    return _array.cast(rows, "int64")
