"""Draws without replacement with inclusion probabilities, on a device."""

from typing import Any

from argrad import _cuda, _radix
from argrad.selection._device import BLOCK_ROWS, MOST_BLOCKS, SYSTEMATIC, TASK, per_item, word

FILE = "selection_included"
PIVOTAL, POISSON = 0x204, 0x205
"""Streams of random numbers, as `rust/core/src/selection/mod.rs` has them."""

STATE_WORDS, BAD_WORD = 10, 8
ONE = 0x3FF0000000000000
"""The bits of 1.0."""

ROUNDS = 6
"""Steps of water-filling by the whole device; should they not suffice, one block does the others."""


class Included:
    """Weights, and the map from them to inclusion probabilities, in device memory."""

    def __init__(self, weights: Any) -> None:
        """Begin without a map."""
        self.weights = weights
        self.n = int(weights.shape[0])
        self.blocks = -(-self.n // BLOCK_ROWS)
        self.state = _cuda.full((STATE_WORDS,), 0, "int64", weights)
        self.sums = _cuda.empty((self.blocks,), "float64", weights)

    @classmethod
    def of(cls, weights: Any, size: int) -> "Included":
        """Choose the probabilities min(1, tau w) of sum `size`."""
        found = cls(weights)
        for _ in range(ROUNDS):
            found._launch("sum_below<S>", found.blocks, found.sums, None, found.state, found.n)
            found._launch("add_sums", 1, found.sums, None, found.state, found.blocks, size)
            found._launch("find_least<S>", per_item(found.n, weights), found.state, found.n)
        found._launch("raise_rest<S>", 1, found.sums, found.state, found.n, size)
        return found

    @classmethod
    def given(cls, probabilities: Any) -> "Included":
        """Take weights that are inclusion probabilities already."""
        found = cls(probabilities)
        found.state[:3] = ONE
        return found

    def _launch(self, name: str, blocks: int, *args: object) -> None:
        blocks = min(blocks, MOST_BLOCKS)
        if name.endswith("<S>"):
            name, args = name.replace("<S>", f"<{_cuda.number(self.weights)}>"), (self.weights, *args)
        _cuda.launch(self.weights, FILE, name, blocks, 256, *args)

    def bad(self) -> bool:
        """Wait for the device, and tell whether the weights cannot be drawn from."""
        return bool(int(self.state[BAD_WORD]) & 1)

    def probabilities(self) -> Any:
        """Return the probability of every row."""
        found = _cuda.empty((self.n,), "float64", self.weights)
        self._launch("write_inclusion<S>", per_item(self.n, self.weights), self.state, found, self.n)
        return found

    def systematic(self, size: int, seed: int) -> Any:
        """Return rows at equal steps of the running sum of the probabilities, ascending."""
        counts = _cuda.full((self.blocks + 1,), 0, "int64", self.weights)
        prefix = _cuda.empty((self.blocks + 1,), "float64", self.weights)
        rows = _cuda.full((size,), -1, "int64", self.weights)
        self._launch("sum_below<S>", self.blocks, self.sums, counts, self.state, self.n)
        self._launch("add_sums", 1, self.sums, prefix, self.state, self.blocks, size)
        _radix.scan(counts, 1)
        args = (prefix, counts, self.state, rows, self.n, size, word(seed), SYSTEMATIC)
        self._launch("walk_included<S>", self.blocks, *args)
        self._launch("separate_rows<S>", 1, self.state, rows, self.n, size)
        return rows

    def pivotal(self, size: int, seed: int) -> Any:
        """Return the rows that are left when neighbors have fought, ascending."""
        marks = _cuda.full((self.n,), 0, "uint8", self.weights)
        self._launch("duel_rows<S>", 1, self.state, marks, self.n, size, word(seed), PIVOTAL)
        return self._kept(marks, self._starts(marks, 0), 0, size)

    def poisson(self, seed: int) -> Any:
        """Return the rows that were kept, ascending; waits for the device, which knows how many there are."""
        starts = self._starts(None, seed)
        return self._kept(None, starts, seed, int(starts[-1]))

    def _starts(self, marks: Any, seed: int) -> Any:
        """Return where the kept rows of each task go, and how many there are."""
        tasks = -(-self.n // TASK)
        starts = _cuda.full((tasks + 1,), 0, "int64", self.weights)
        self._launch("keep_rows<S>", tasks, marks, self.state, starts, None, self.n, 0, word(seed), POISSON)
        _radix.scan(starts, 1)
        return starts

    def _kept(self, marks: Any, starts: Any, seed: int, size: int) -> Any:
        """Return the kept rows."""
        rows = _cuda.full((size,), -1, "int64", self.weights)
        args = (marks, self.state, starts, rows, self.n, size, word(seed), POISSON)
        if size:
            self._launch("keep_rows<S>", -(-self.n // TASK), *args)
        return rows

    def draw(self, method: str, size: int, seed: int) -> Any:
        """Return drawn rows, ascending."""
        if method == "poisson":
            return self.poisson(seed)
        return self.systematic(size, seed) if method == "systematic" else self.pivotal(size, seed)

    def finish(self, rows: Any, *, inverse: bool, fault: Any) -> tuple[Any, Any]:
        """Return the rows, and the inverses of their probabilities or None."""
        size = int(rows.shape[0])
        drawn = _cuda.empty((size,), "int64", self.weights)
        chances = _cuda.empty((size,), "float64", self.weights) if inverse else None
        args = (self.state, rows, drawn, chances, size, fault)
        self._launch("finish_included<S>", per_item(size, self.weights), *args)
        return drawn, chances


def included(weights: Any, size: int, seed: int, *, method: str, inverse: bool, fault: Any) -> tuple[Any, Any] | None:
    """Draw rows without replacement; None where the host has to say why there is no draw."""
    found = Included.of(weights, size)
    if method == "poisson" and found.bad():
        return None
    return found.finish(found.draw(method, size, seed), inverse=inverse, fault=fault)
