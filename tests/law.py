"""The statistical harness: how far an observed sample is from a known law."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LIMIT = 1e-4
"""A law test passes above this p-value, and only without impossible outcomes."""


@dataclass(frozen=True)
class Verdict:
    """p-value, statistic and degrees of freedom of a test, and the number of outcomes that the law excludes."""

    p: float
    statistic: float
    freedom: int
    impossible: int = 0

    @property
    def passed(self) -> bool:
        """Whether the sample may come from the law."""
        return self.impossible == 0 and self.p > LIMIT


def pool(counts: NDArray[np.floating], expected: NDArray[np.floating], least: float) -> tuple[NDArray, NDArray]:
    """Merge the cells of small expectation into one, and that one into its smallest neighbour if it is still small."""
    order = np.argsort(expected, kind="stable")
    counts, expected = counts[order], expected[order]
    small = int(np.searchsorted(expected, least))
    if small and expected[:small].sum() < least:
        small += 1
    if small < 2:
        return counts, expected
    return (np.append(part[small:], part[:small].sum()) for part in (counts, expected))


def chi_square(counts: NDArray[np.integer], law: NDArray[np.floating], least: float = 5.0) -> Verdict:
    """Compare counts of outcomes, one cell each, with their enumerated law; cells of zero probability are counted."""
    counts, law = np.asarray(counts).ravel(), np.asarray(law).ravel()
    assert counts.shape == law.shape
    assert abs(law.sum() - 1) < 1e-9
    possible = law > 0
    impossible = int(counts[~possible].sum())
    observed, expected = pool(counts[possible].astype(float), law[possible] * counts.sum(), least)
    statistic = float(((observed - expected) ** 2 / expected).sum())
    freedom = len(expected) - 1
    return Verdict(float(stats.chi2.sf(statistic, freedom)), statistic, freedom, impossible)


def g_test(
    rows: NDArray[np.integer], law: NDArray[np.floating], order: NDArray[np.floating], groups: int = 10
) -> Verdict:
    """G-test of drawn rows by groups of equal probability along `order`, and the draws of zero probability."""
    ranks = np.argsort(order, kind="stable")
    group = np.empty(len(law), dtype=int)
    group[ranks] = np.minimum((np.cumsum(law[ranks]) - law[ranks] / 2) * groups, groups - 1).astype(int)
    expected = np.bincount(group, weights=law, minlength=groups) * len(rows)
    observed = np.bincount(group[rows], minlength=groups)
    filled = observed > 0
    statistic = float(2 * (observed[filled] * np.log(observed[filled] / expected[filled])).sum())
    return Verdict(float(stats.chi2.sf(statistic, groups - 1)), statistic, groups - 1, int((law[rows] == 0).sum()))


def kolmogorov(rows: NDArray[np.integer], law: NDArray[np.floating], order: NDArray[np.floating], seed: int) -> Verdict:
    """One-sample Kolmogorov-Smirnov test of drawn rows along `order`, spread uniformly inside each row's step."""
    ranks = np.argsort(order, kind="stable")
    upper = np.empty(len(law))
    upper[ranks] = np.cumsum(law[ranks])
    spread = np.random.default_rng(seed).random(len(rows))
    result = stats.kstest(upper[rows] - spread * law[rows], "uniform")
    return Verdict(float(result.pvalue), float(result.statistic), len(rows), int((law[rows] == 0).sum()))


def two_samples(first: list[float], second: list[float]) -> Verdict:
    """Two-sample Kolmogorov-Smirnov test."""
    result = stats.ks_2samp(first, second)
    return Verdict(float(result.pvalue), float(result.statistic), len(first) + len(second))


def sum_of(observed: list[float], means: list[float], variances: list[float]) -> Verdict:
    """Two-sided normal test of a sum of independent numbers with known means and variances."""
    z = (sum(observed) - sum(means)) / sum(variances) ** 0.5
    return Verdict(float(2 * stats.norm.sf(abs(z))), z, len(observed))


def mean_below(first: list[float], second: list[float]) -> Verdict:
    """Welch's one-sided test; a small p-value says that the first mean is smaller."""
    result = stats.ttest_ind(first, second, equal_var=False, alternative="less")
    return Verdict(float(result.pvalue), float(result.statistic), len(first) + len(second))
