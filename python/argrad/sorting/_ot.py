"""Sorted SOFT top-k: products with the entropic transport plan between scores and k ranks, and their derivatives."""

from typing import NamedTuple

from argrad import _check
from argrad._array import Array
from argrad.sorting import _lists, _sinkhorn
from argrad.sorting._lists import Lists


class SoftTop(NamedTuple):
    """The first k rows of the plan between n scores and k + 1 targets, k x n.

    The targets are k, k-1, ..., 1, each of weight 1/n, and 0 with weight (n-k)/n, as in Xie et al. (2020, "sorted
    SOFT"); the cost is (x_j - target)^2, not divided by its largest entry. Row r is n times the plan's column r: it
    sums to 1, a column to at most 1. With `descending=True` row 1 belongs to the largest score; otherwise to the
    smallest (the same operator on -x). Either way row r is a soft version of row r of the matrix that sorts. Only
    differences of scores matter.

    Stopping, gaps and infinite scores are as for Sinkhorn sort, with 2 gap / temperature >= 84; a gap among the items
    beyond rank k takes those behind it out of the plan.
    """

    lists: Lists
    descending: bool
    k: int
    temperature: Array
    iterations: int
    tolerance: float

    def product(self, v: Array, transposed: bool) -> Array:
        """Return P v, (*batch, k, m), or the transposed product, (*batch, n, m)."""
        options = (self.descending, transposed, self.iterations, self.tolerance)
        return _sinkhorn.call(self.lists, v, self.temperature, self.k, *options)


def enter(
    lists: Lists,
    *,
    descending: bool,
    k: object,
    temperature: object,
    iterations: object = None,
    tolerance: object = None,
) -> SoftTop:
    """Check the options; that no list has fewer than k items that count is checked with the product."""
    k = _check.integer(lists.function, "k", k, low=1)
    if lists.offsets is not None:
        raise ValueError(f"{lists.function}: offsets must be None with method 'ot' (use a mask), got an array")
    if k > lists.x.shape[-1]:
        raise ValueError(f"{lists.function}: k must be at most the length {lists.x.shape[-1]} of a list, got {k}")
    limits = _sinkhorn.limits(lists, iterations, tolerance)
    temperatures = _lists.per_list(lists, "temperature", temperature, low=0, open_low=True)
    return SoftTop(lists, descending, k, temperatures, *limits)
