"""Greedy seeding on a coreset, on a device."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from argrad import _array, _cuda
from argrad.seeding._device import MOST_BLOCKS, per_item
from argrad.seeding._device_plusplus import BLOCK_ROWS, TRIAL, Seeder, State, word

FILE = "seeding_coreset"
CORESET, TRIAL_ACCEPT = 0x107, 0x10B
"""Streams of random numbers, as `rust/core/src/seeding/mod.rs` has them."""

ROWS_PER_CENTER, MIN_ROWS, ROUGH, POOL = 60, 20_000, 10, 64
EXTENSION = 0x9E37_79B9_7F4A_7C15
"""As in `rust/core/src/seeding/coreset.rs`."""

POOL_WORDS = 5
SIDE = 64
"""As in the sources: words of a pool, and rows of a tile."""


def seed(seeder: Seeder, trials: int, size: int) -> tuple[State, Seeder]:
    """Choose centers greedily on a coreset of `size` rows, 0 for the default; the second result holds the indices."""
    k = seeder.k
    rough = Seeder(seeder.X, seeder.weights, -(-k // ROUGH), seeder.seed)
    state = rough.batches(-1)
    if state.bad:
        return state, rough
    rough.refresh()
    rows, weights = _draw(rough, max(size or max(MIN_ROWS, ROWS_PER_CENTER * k), k))
    state = _Greedy(rough, rows, weights, k, trials).choose(seeder.indices)
    if state.count == k:
        return state, seeder
    # The coreset has no more rows at a distance.
    more = Seeder(seeder.X, seeder.weights, k, seeder.seed ^ EXTENSION, seeder.indices)
    return more.extend(state.count, -1), more


def _draw(rough: Seeder, size: int) -> tuple[Any, Any]:
    """Return the rows of the coreset and their weights; waits for their number."""
    X, weights, n = rough.X, rough.weights, rough.n
    drawn, shares, count = None, weights, _cuda.empty((1,), "int64", X)
    if size < n:
        drawn, shares = _cuda.empty((size,), "int32", X), _cuda.empty((size,), "float64", X)
        scores, spread, masses = _cuda.empty((n,), _array.computed(X), X), rough.sums[2], None
        if weights is not None:
            rough.sum_weights(rough.weight_sums)
            masses = rough.weight_sums[2]
        groups, blocks, before = rough.more_sums()
        spreads = (rough.bound, scores, groups, blocks, weights, spread, masses, n)
        rough.launch("spread_scores<T>", min(rough.row_blocks, MOST_BLOCKS), 256, *spreads, file=FILE)
        rough.prefix((groups, blocks, before))
        draws = (scores, groups, blocks, before, weights, drawn, shares, word(rough.seed), CORESET, n, size)
        rough.launch("draw_coreset<T>", per_item(32 * size, X), 256, *draws, file=FILE)
    most = min(size, n)
    rows, sums = _cuda.empty((most,), "int32", X), _cuda.empty((most,), "float64", X)
    rough.launch("pack_coreset", 1, 1024, drawn, shares, rows, sums, count, most, file=FILE)
    m = int(_array.to_host(count)[0])
    return rows[:m], sums[:m]


@dataclass(frozen=True)
class _Greedy:
    """Greedy steps on the rows of a coreset."""

    rough: Seeder
    rows: Any
    weights: Any
    k: int
    trials: int

    @property
    def m(self) -> int:
        """Rows of the coreset."""
        return int(self.rows.shape[0])

    @property
    def size(self) -> int:
        """Candidates that are measured together."""
        return max(POOL, self.trials)

    def _number(self, *shape: int) -> Any:
        return _cuda.empty(shape, _array.computed(self.rough.X), self.rough.X)

    @cached_property
    def shifted(self) -> tuple[Any, Any]:
        """The rows in scale, near the first center of the rough seeding, and their squared norms."""
        rough, m = self.rough, self.m
        shifted, norms = self._number(m, rough.d), self._number(m)
        args = (rough.X, self.rows, rough.walk, rough.indices, shifted, norms, m, rough.d)
        rough.launch("shift_rows<S>", per_item(8 * m, rough.X), 256, *args, file=FILE)
        return shifted, norms

    def choose(self, indices: Any) -> State:
        """Choose k rows; as many as there are at a distance. One wait, at the end."""
        rough, m, d, trials, size = self.rough, self.m, self.rough.d, self.trials, self.size
        sample = Seeder(self.shifted[0], self.weights, self.k, rough.seed)
        sample.first(sample.sums)
        pool = _cuda.full((POOL_WORDS,), 0, "int64", rough.X)
        pooled, candidates, kept = (_cuda.empty((count,), "int32", rough.X) for count in (size, trials, trials))
        limits, losses = (_cuda.empty((count,), "float64", rough.X) for count in (size, trials))
        part = 512 if sample.kind == "double" else 1024
        gains, distances = _cuda.empty((-(-m // part), trials), "float64", rough.X), self._number(size, m)
        slack = (max(d, 2) + -(-d // (part // 64)) + 12) * (2.0**-53 if sample.kind == "double" else 2.0**-24)
        bound, (groups, blocks, before), walk, weights = sample.bound, sample.sums, sample.walk, self.weights

        def launch(name: str, grid: int, threads: int, *args: object) -> None:
            sample.launch(name, grid, threads, *args, file=FILE)

        def measure(columns: int) -> None:
            tiles = min(-(-m // SIDE) * -(-columns // SIDE), MOST_BLOCKS)
            launch("measure_pool<T>", tiles, 256, *self.shifted, pool, pooled, distances, m, d, slack)

        def lower(first: int) -> None:
            args = (bound, groups, blocks, weights, walk, pool, distances, m, first)
            launch("lower_to_candidate<T>", min(-(-m // BLOCK_ROWS), MOST_BLOCKS), 256, *args)

        launch("begin_pool", 1, 32, pool, sample.indices, self.rows, pooled, indices)
        measure(1)
        lower(1)
        draw = (bound, groups, blocks, before, weights, walk, pool, pooled, limits, candidates, kept)
        streams = (word(rough.seed), TRIAL, TRIAL_ACCEPT, m, trials, size)
        gain = (bound, weights, distances, walk, candidates, gains, m, trials)
        take = (bound, weights, walk, pool, candidates, kept, gains, losses, self.rows, indices, -(-m // part), trials)
        for _ in range(self.k - 1):
            launch("next_candidates<T>", 1, 512, *draw, *streams)
            measure(size)
            launch("candidate_gains<T>", per_item(8 * -(-m // part) * trials, rough.X), 256, *gain)
            launch("take_candidate<T>", 1, 256, *take)
            lower(0)
        return State.of(walk)
