"""The methods of k-means++ on a device."""

import math
from typing import Any

from argrad import _array
from argrad.seeding import _device_coreset
from argrad.seeding._device_plusplus import Seeder
from argrad.seeding._options import Facts, Options


def seed(X: Any, weights: Any, k: int, options: Options, number: int) -> tuple[Any, Facts] | None:
    """Choose k rows as the native function does; None for bad numbers, which that function tells."""
    seeder = Seeder(X, None if weights is None else _array.cast(weights, "float64"), k, number)
    method, refresh = options["method"], options["refresh"]
    if method == "exact":
        state = seeder.batches(-1 if refresh is None else refresh)
    elif method == "rejection":
        state = seeder.published(options["max_proposals"] or 0)
    elif method == "pass":
        state = seeder.one_by_one()
    elif method == "greedy":
        state = seeder.greedy(options["trials"])
    elif method == "greedy_coreset":
        state, seeder = _device_coreset.seed(seeder, options["trials"], options["coreset"])
    else:
        state = seeder.uniform()
    if state.bad or (method == "uniform" and weights is not None and not 0 < state.total < math.inf):
        return None
    if state.count < k:
        seeder.unused(number)
    drawn = k if method == "uniform" else state.count
    facts = Facts((drawn, state.uniform, state.proposals, state.refreshes, state.first_total, math.nan, math.nan))
    return seeder.indices, facts
