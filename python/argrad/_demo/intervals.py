"""Means over seeds with 95 % confidence intervals, and what may be said about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and the half width of its 95 % confidence interval (Student t)."""

    mean: float
    half: float

    @property
    def sign(self) -> int:
        """1 or -1 when the interval lies on one side of 0, else 0."""
        return 0 if abs(self.mean) <= self.half else int(np.sign(self.mean))

    def text(self, scale: float = 1.0, digits: int = 1, unit: str = "") -> str:
        """Return `mean ± half`, both multiplied by `scale`."""
        return f"{scale * self.mean:.{digits}f} ± {scale * self.half:.{digits}f}{unit}"


def interval(values: ArrayLike) -> Interval:
    """Return the mean of independent values and its 95 % interval; it takes at least two."""
    from scipy.stats import t

    numbers = np.asarray(values, dtype=np.float64)
    stderr = numbers.std(ddof=1) / np.sqrt(len(numbers))
    return Interval(float(numbers.mean()), float(t.ppf(0.975, len(numbers) - 1) * stderr))


def verdict(gain: Interval, better: str, worse: str) -> str:
    """Say which side is ahead, or that the seeds cannot tell, from the interval of a paired difference."""
    return {1: better, -1: worse, 0: "no difference to be seen"}[gain.sign]
