"""Rows of logits on a device: what the kernels of all operators start from."""

import math
from typing import Any, NamedTuple

from argrad import _cuda

LEAF = 4096
"""Numbers that a block reads at once, as in `row.cuh`."""
NOTHING, NORMALIZER, MOMENTS, SPREAD = range(4)
"""Which sums are made; each includes those before."""

_LANES, _FIELDS = 256, 9
_STORAGE = {"Half": 0, "BFloat": 1, "float": 2, "double": 3}


class Read(NamedTuple):
    """Rows that `read_rows` has read.

    Attributes:
        x: the rows, shape (*batch, v), contiguous.
        rows: how many they are.
        v: numbers in a row.
        leaves: sums by leaves.
        maxima: maxima of segments.
        fold: segments have 16 << fold numbers.
    """

    x: Any
    rows: int
    v: int
    leaves: Any
    maxima: Any
    fold: int

    def blocks(self) -> int:
        """Return how many blocks take a row each at a time."""
        return min(self.rows, 16 * _cuda.processors(self.x))

    def arguments(self) -> tuple[Any, ...]:
        """Return what kernels take that look at the rows again."""
        return self.x, storage(self.x), self.leaves, self.maxima, self.fold, self.rows, self.v


def storage(x: Any) -> int:
    """Return the number of the type of storage, as kernels that take any type know it."""
    return _STORAGE[_cuda.number(x)]


def read(x: Any, temperature: Any, sums: int, k: int, *, sign: float = 1.0) -> Read:
    """Read rows on a device: with the sums that are wanted, and maxima fit for a search for the k largest numbers.

    Args:
        x: shape (*batch, v), contiguous.
        temperature: float64, one for each row, at which the sums are made; None for 1.
        sums: which ones.
        k: tokens that will be asked for, about.
        sign: -1 for the k smallest.
    """
    v, rows = x.shape[-1], math.prod(x.shape[:-1])
    parts = -(-v // LEAF)
    fold = 5
    # With three segments for each token hardly any holds two of them.
    while fold > 0 and (parts * _LANES) >> fold < 3 * k:
        fold -= 1
    leaves = _cuda.empty((rows * parts, _FIELDS), "float64", x)
    maxima = _cuda.empty((rows * parts, _LANES >> fold), "int64", x)
    blocks = min(rows * parts, 16 * _cuda.processors(x))
    name = f"read_rows<{_cuda.number(x)}>"
    _cuda.launch(x, "decoding", name, blocks, _LANES, x, temperature, leaves, maxima, rows, v, sums, fold, sign)
    return Read(x, rows, v, leaves, maxima, fold)
