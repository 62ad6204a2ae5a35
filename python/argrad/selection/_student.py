"""Quantiles of Student's t distribution, without scipy."""

import functools
import math
from statistics import NormalDist

EXACT = 100
"""Up to so many degrees of freedom the distribution is summed; beyond, a series in 1 / freedom is exact to 1e-9."""


@functools.lru_cache(maxsize=1024)
def two_sided(level: float, freedom: int) -> float:
    """Return t with P(|T| <= t) = `level` for T of `freedom` degrees of freedom; NaN below one."""
    if freedom < 1:
        return math.nan
    if freedom > EXACT:
        return _series(NormalDist().inv_cdf((1 + level) / 2), freedom)
    low, high = 0.0, math.pi / 2
    while high - low > 1e-15:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _within(angle: float, freedom: int) -> float:
    """P(|T| <= sqrt(freedom) tan(angle)): Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    squared = math.cos(angle) * math.cos(angle)
    odd = freedom % 2
    term = total = 1.0
    for i in range(2 + odd, freedom - 1, 2):
        term *= squared * (i - 1) / i
        total += term
    if not odd:
        return math.sin(angle) * total
    return 2 / math.pi * (angle + (math.sin(angle) * math.cos(angle) * total if freedom > 1 else 0.0))


def _series(z: float, freedom: int) -> float:
    """Abramowitz and Stegun, 26.7.5, with the normal quantile z."""
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))
