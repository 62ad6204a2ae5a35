"""What a selection is, and what it says about itself."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from argrad import _array
from argrad._array import Array
from argrad.selection._estimate import Estimate, Sample, Totals, estimate

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

SHARE = 0.05
R2 = 0.1


class SelectionWarning(RuntimeWarning):
    """A selection is expected to estimate worse than a uniform one.

    Examples:
        >>> import warnings
        >>> from argrad.selection import SelectionWarning
        >>> warnings.simplefilter("ignore", SelectionWarning)
    """


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What is known of a selection before any loss of a selected row is computed.

    Attributes:
        ess: effective sample size (sum w)^2 / sum w^2 of the selected rows; a warning below half of their number.
        max_weight_share: largest weight over the sum of weights; a warning above 5 % (and four times the average).
        n_certain: rows with inclusion probability 1.
        cost_share: share of the distances, sum Lambda v, in the total score; the rest is the proxies'.
        proxy_r2: share of the variance of the pilot losses that lies between clusters; a warning below 0.1. None
            without a pilot of two rows in some cluster.
        holder: the Hoelder constant Lambda, one number or one a cluster.
        holder_spread: quartiles of the ratios |loss - proxy| / v from which it was estimated; None when it was given.
    """

    ess: float
    max_weight_share: float
    n_certain: int
    cost_share: float
    proxy_r2: float | None
    holder: float | Floats
    holder_spread: tuple[float, float, float] | None


@dataclass(frozen=True, eq=False)
class Selection:
    """Selected rows, their weights, and all that later estimates need.

    With a_i the sample weights (1 if none were given): `weights == a / (n_select * probabilities)` at the selected rows
    for `draw="iid"`, and `weights == a / probabilities` for all other draws.

    Attributes:
        indices: row numbers, int64, in the order of the draw: by cluster and distance to its center, independent draws
            in random order. Shape (n_select,), but for a Poisson draw, whose size is random.
        weights: float64, one a selected row; `sum(weights * losses)` estimates the weighted sum of all losses without
            bias.
        probabilities: float64, shape (n,): the probability of each draw to be row i (`draw="iid"`), else the
            probability of row i to be selected.
        n_queries: losses that the selection costs: those of the pilot and of the different selected rows.
        diagnostics: see `Diagnostics`.
        labels: int64, shape (n,): the cluster of each row. Clusters are numbered so that neighbors in number are near.
        centers: shape (k, d): the centers, rows of the embeddings.
        center_indices: int64, shape (k,): their row numbers.
        proxies: float64, shape (k,): the loss expected in each cluster; None without a loss.
        sample_weight: the weights a_i as float64, or None; on a device where the embeddings are.
        n_select: rows asked for.
        draw: how rows were drawn.
        estimator: the estimator that `estimate` uses unless told otherwise.
        totals: the sums over all rows that estimates need.
    """

    indices: Array
    weights: Array
    probabilities: Array
    n_queries: int
    diagnostics: Diagnostics
    labels: Array
    centers: Array
    center_indices: Array
    proxies: Floats | None
    sample_weight: Array | None
    n_select: int
    draw: str
    estimator: str
    totals: Totals

    def estimate(self, losses: Array, estimator: str | None = None) -> Estimate:
        """Estimate the sum of the losses of all rows from those of the selected ones.

        The estimated total is sum_i a_i l_i over all rows; divide by n (by sum a_i) for the mean. With w the weights, A
        the sum of all a_i, and sums over the selected rows S unless said otherwise:

            "ht"          sum_S w l                                    unbiased (Horvitz-Thompson)
            "hajek"       A sum_S w l / sum_S w                        bias O(1/s); exact for constant losses
            "difference"  sum_all a lhat + sum_S w (l - lhat)          unbiased; lhat = the proxy of the row's cluster
            "regression"  A b + sum_S w (l - b)                        bias O(1/s); b = the least-squares slope of
                                                                       l a / (A p) on h = a / (A p) - 1

        With `mix` = m > 0 and independent draws the variance of "hajek" and "regression" is at most 1/m times that of
        as many uniform draws (to first order), whatever the losses; for "ht" only the second moment is.

        The standard error follows the draw, with residuals e = l, l - mean, l - lhat or l - b and s rows:

            "iid"                    s / (s - 1) sum (w e - mean(w e))^2
            "poisson"                sum (1 - pi) (w e)^2
            "systematic", "pivotal"  s / (2 (s - 1)) sum (1 - pi_j) (w_j e_j - w_{j-1} e_{j-1})^2 over neighbors in the
                                     order of the draw without the certain rows: conservative where losses are smooth in
                                     that order, else right on average over populations
            "stratified"             sum_c n_c^2 (1 - s_c / n_c) var_c(a e) / s_c; clusters with one selected row are
                                     joined with the next

        Args:
            losses: losses of the rows `indices`, in this order, shape (number of selected rows,), finite. Of a
                selection on a device they can be there or on the host.
            estimator: `"ht"`, `"hajek"`, `"difference"` or `"regression"`; None for the one of the selection.

        Returns:
            An `Estimate`.

        Raises:
            TypeError: losses are not a floating array.
            ValueError: another shape, a NaN or an infinity (with its position), an unknown estimator, or
                `"difference"` after a selection without a loss.

        Warns:
            SelectionWarning: `vs_uniform` is above 1.
        """
        rows, weights = self.indices, _array.to_host(self.weights)
        a = self.sample_weight
        sample = Sample(
            weights=weights,
            chances=_array.to_host(self.probabilities[rows]),
            labels=_array.to_host(self.labels[rows]),
            own=np.ones(len(weights)) if a is None else _array.to_host(a[_array.raw(rows)]),
            proxies=self.proxies,
            totals=self.totals,
            n_select=self.n_select,
            n_queries=self.n_queries,
            draw=self.draw,
        )
        device = _array.is_device(_array.raw(rows))
        found = estimate("estimate", sample, losses, self.estimator if estimator is None else estimator, device=device)
        if found.vs_uniform > 1:
            warnings.warn(
                f"estimate: uniform sampling of as many losses would have had a variance lower by the factor "
                f"{found.vs_uniform:.3g}",
                SelectionWarning,
                stacklevel=2,
            )
        return found


def warn_about(function: str, found: Diagnostics, size: int) -> None:
    """Tell when a selection is expected to lose to a uniform one."""
    if size and found.ess < size / 2:
        _warn(
            f"{function}: the effective sample size is {found.ess:.0f} of {size} rows; "
            f"uniform sampling may estimate better (a larger mix evens the weights out)"
        )
    if found.max_weight_share > max(SHARE, 4 / max(size, 1)):
        _warn(
            f"{function}: one row carries {found.max_weight_share:.0%} of all weight; "
            f"a larger mix or another proxy evens the weights out"
        )
    if found.proxy_r2 is not None and found.proxy_r2 < R2:
        _warn(
            f"{function}: the clusters explain {max(found.proxy_r2, 0.0):.0%} of the variance of the pilot losses; "
            f"the embeddings say little about this loss"
        )


def _warn(text: str) -> None:
    warnings.warn(text, SelectionWarning, stacklevel=4)
