"""Data selection by clustering-based sensitivity sampling."""

import math
import warnings

import numpy as np

from argrad import _array, _check
from argrad._array import Array
from argrad._progress import Progress, reporting
from argrad.selection import _device_scores, _scores
from argrad.selection._estimate import ESTIMATORS, Totals
from argrad.selection._proxies import Drawn, Floats, Loss, Options, Oracle, Part, Proxies, from_losses, without_loss
from argrad.selection._result import Diagnostics, Selection, SelectionWarning, warn_about

DRAWS = ("systematic", "iid", "pivotal", "poisson", "stratified")
PROXIES = ("pilot_mean", "medoid")
HOLDERS = ("estimate", "quantile")
# Of the work in all: where the seeding and the assignment end.
SEEDED, ASSIGNED = 300, 950
WHOLE = 1000


def sensitivity_sample(
    embeddings: Array,
    loss: Loss,
    n_select: int,
    *,
    sample_weight: Array | None = None,
    n_clusters: str | int = "sqrt",
    z: float = 2,
    holder: str | float | Array = "estimate",
    holder_quantile: float = 0.9,
    proxy: str = "pilot_mean",
    n_pilot: int = 3,
    mix: float = 0.3,
    draw: str = "systematic",
    estimator: str = "ht",
    random_state: object = None,
    progress: Progress = None,
) -> Selection:
    """Select rows whose weighted losses stand for those of all rows, at the cost of a few losses a cluster.

    The rows are clustered by k-means++ in the space of embeddings, the losses of a few rows of each cluster are
    queried, and row i with sample weight a_i in cluster c gets the score and the probability

        q_i = a_i (lhat_c + Lambda v_i),   v_i = |x_i - center_c|^z,
        p_i = (1 - mix) q_i / sum q + mix a_i / sum a,

    lhat_c the loss expected in the cluster and Lambda the growth of its error with v (Hoelder constant). `n_select`
    rows are drawn with these probabilities, and get the weights w_i = a_i / (n_select p_i), or a_i / pi_i for draws
    without replacement with inclusion probabilities pi_i = min(1, tau p_i). Whatever the losses and however wrong
    lhat and Lambda are, sum w_i l_i over the selection then estimates sum a_i l_i over all rows without bias (where
    p_i > 0, which mix > 0 ensures for every row of positive weight); they decide about its variance only.

    The scheme as published is `proxy="medoid", draw="iid", mix=0, estimator="ht"` with a number as `holder`: losses of
    the k representatives only. It suits losses that are smooth in the embedding. One representative with a small loss
    gives its whole cluster large weights, so on noisy losses it is worse than uniform sampling; hence the defaults, and
    the diagnostics, which tell.

    Args:
        embeddings: x, shape (n, d), float16, bfloat16 (torch), float32 or float64; numpy array (a memory map is read in
            place), torch tensor (CPU or CUDA) or cupy array.
        loss: the losses, >= 0: an array of shape (n,), read at the queried rows only, which can be on the host for
            embeddings on a device; or a callable that takes row numbers (ascending, int64, of the kind of `embeddings`)
            and returns their losses, called once or twice; or None: lhat = 0 and Lambda = 1, scores by the distances
            alone (`mix` must be positive then).
        n_select: rows to select, >= 1; unless `draw="iid"` at most the number of rows of positive weight.
        sample_weight: weights a_i, shape (n,), finite, >= 0, not all zero; None weighs each row by 1. A row of weight
            zero is never selected nor queried.
        n_clusters: number of clusters k, 1 <= k <= n, or `"sqrt"` for the square root of n, rounded up.
        z: power of the distance in the scores, > 0: 1 for losses that are Lipschitz in the embedding, 2 for squared
            ones. A smaller one is more robust against outliers.
        holder: Lambda: a number >= 0; an array of shape (k,), one a cluster (numbered as in `Selection.labels`);
            `"estimate"`: the median of |loss - lhat| / v over the queried rows, or with `proxy="medoid"` over pairs of
            neighboring representatives, which costs no further query; `"quantile"`: by cluster, the `holder_quantile`
            quantile over ceil(ln(100 k) / -ln(1 - holder_quantile)) queried rows, the median of all in clusters with
            fewer than 3 usable rows.
        holder_quantile: for `holder="quantile"`, in (0, 1).
        proxy: lhat: `"pilot_mean"`, the mean loss of `n_pilot` uniform rows of the cluster, shrunken towards the common
            mean; or `"medoid"`, the loss of the center, which is a row.
        n_pilot: rows to query in each cluster for `proxy="pilot_mean"`, >= 1. With one there is no shrinking.
        mix: share of the uniform distribution in p, in [0, 1]. No weight exceeds sum a / (mix n_select). 0 as
            published, 1 for sampling in proportion to `sample_weight`.
        draw: `"systematic"`: equal steps along the running sum of pi, rows in the order of cluster and distance;
            `"iid"`: independent draws with replacement; `"pivotal"`: neighbors in that order decide between them;
            `"poisson"`: each row decides alone, the number of rows is random; `"stratified"`: a proportional number of
            uniform rows of each cluster, the scores unused.
        estimator: what `Selection.estimate` uses unless told otherwise: `"ht"`, `"hajek"`, `"difference"` or
            `"regression"`.
        random_state: seed: None, an integer, a numpy `Generator` or `RandomState`, or a `torch.Generator`.
        progress: True for a bar, or a callable given (done, total) in thousandths; a device reports the end alone.

    Returns:
        A `Selection`; its arrays over rows are of the kind of `embeddings` and on their device, row numbers int64,
        weights and probabilities float64.

    Raises:
        TypeError: not an array, not of a floating dtype, or a value of another type.
        ValueError: a NaN or an infinity in `embeddings` (with row and column), a loss that is negative, NaN or infinite
            (with its row), bad weights, a parameter out of range or an unknown option; on a device as well.

    Warns:
        SelectionWarning: the effective sample size is below half of the selection, one row carries more than 5 % of all
            weight, the clusters explain less than 10 % of the variance of the pilot losses, all scores are zero, or
            rows have probability zero though they are off their center.
        RuntimeWarning: fewer distinct rows of positive weight than clusters.

    Gradient:
        None: rows and weights are constants; estimates are linear in the losses.

    Determinism:
        The same selection for the same seed on any number of threads, any instruction set of a machine and a device
        (for a `z` other than 1/2, 1 or 2 up to the rounding of powers). Ties in distance go to the lower row, nearest
        centers to the lower number.

    Cost:
        k-means++ (about one pass over the embeddings), one assignment of O(n k d) operations, and O(n) beyond it.
        Memory beside the result: about 80 bytes a row.
        On a device what has one entry for each row stays there. The host waits for it in `kmeans_plusplus` and about
        ten times more, and gets what has one entry for each cluster, pilot row or selected row: it queries the losses
        and makes the diagnostics; with `draw="stratified"` it also chooses the places inside the strata.

    References:
        Axiotis, Cohen-Addad, Henzinger, Jerome, Mirrokni, Saulpic, Woodruff and Wunder, "Data-Efficient Learning via
        Clustering-Based Sensitivity Sampling: Foundation Models and Beyond", ICML 2024, arXiv:2402.17327. Different
        here by default: the shrunken pilot mean, the mixture, the systematic draw.

    Examples:
        >>> import numpy as np
        >>> from argrad.selection import sensitivity_sample
        >>> x = np.random.default_rng(0).normal(size=(2000, 4))
        >>> losses = (x**2).sum(axis=1)
        >>> selection = sensitivity_sample(x, losses, 200, random_state=0)
        >>> found = selection.estimate(losses[selection.indices])
        >>> bool(found.ci[0] < losses.sum() < found.ci[1])
        True
    """
    name = "sensitivity_sample"
    _check.matrix(name, "embeddings", embeddings, device=True)
    on_device = _array.is_device(_array.raw(embeddings[:1]))  # of one row, because `raw` may copy
    steps = _device_scores if on_device else _scores
    n = embeddings.shape[0]
    n_select = _check.integer(name, "n_select", n_select, low=1)
    if isinstance(n_clusters, str):
        _check.choice(name, "n_clusters", n_clusters, ("sqrt",))
        k = math.isqrt(n - 1) + 1
    else:
        k = _check.integer(name, "n_clusters", n_clusters, low=1, high=n)
    options = Options(
        proxy=_check.choice(name, "proxy", proxy, PROXIES),
        n_pilot=_check.integer(name, "n_pilot", n_pilot, low=1),
        z=_check.real(name, "z", z, low=0, open_low=True),
        holder=check_holder(name, holder, k, device=on_device),
        holder_quantile=_check.real(
            name, "holder_quantile", holder_quantile, low=0, high=1, open_low=True, open_high=True
        ),
    )
    mix = _check.real(name, "mix", mix, low=0, high=1, open_low=loss is None)
    _check.choice(name, "draw", draw, DRAWS)
    _check.choice(name, "estimator", estimator, ESTIMATORS)
    oracle = Oracle(name, loss, embeddings, device=on_device)
    weighing = steps.weigh(name, "sample_weight", sample_weight, n)
    if draw != "iid" and n_select > weighing.positive:
        raise ValueError(
            f"{name}: n_select must be at most the number of rows of positive weight, {weighing.positive}, "
            f"got {n_select}"
        )
    seed = _check.seed(name, random_state)
    with reporting(name, progress, "selecting") as report:
        clusters = steps.cluster(name, embeddings, k, weighing, options.z, seed, parts(report))
        proxies = without_loss(clusters) if loss is None else from_losses(oracle, clusters, options, seed)
        scores, whole, cost = steps.score(clusters, proxies, weighing)
        factor, mix = mixed(name, whole, mix)
        if mix == 0:
            warn_of_lost(name, steps.lost(clusters, scores, weighing))
        p = steps.mixture(scores, weighing, factor, mix)
        drawn = steps.select(name, clusters, p, weighing, n_select, draw, seed)
        if report is not None:
            report(WHOLE, WHOLE)
    rows = _array.to_host(drawn.rows)
    found = diagnose(drawn, proxies, cost / whole if whole > 0 else 0.0)
    warn_about(name, found, len(rows))
    return Selection(
        indices=_array.like(drawn.rows, embeddings),
        weights=_array.like(drawn.weights, embeddings),
        probabilities=_array.like(drawn.probabilities, embeddings),
        n_queries=proxies.n_queries + len(np.unique(rows)),
        diagnostics=found,
        labels=_array.like(clusters.labels, embeddings),
        centers=clusters.centers,
        center_indices=_array.to_device(clusters.indices, embeddings),
        proxies=None if loss is None else proxies.values,
        sample_weight=weighing.values,
        n_select=n_select,
        draw=draw,
        estimator=estimator,
        totals=Totals(clusters.mass, clusters.sizes, weighing.total, weighing.squares),
    )


def parts(report: Part) -> tuple[Part, Part]:
    """What the seeding and the assignment report to."""

    def part(first: int, last: int) -> Part:
        if report is None:
            return None
        return lambda done, total: report(first + (last - first) * done // max(total, 1), WHOLE)

    return part(0, SEEDED), part(SEEDED, ASSIGNED)


def check_holder(function: str, holder: object, k: int, *, device: bool) -> str | float | Floats:
    """Return the option, the number, or the array of `k` numbers."""
    if isinstance(holder, str):
        return _check.choice(function, "holder", holder, HOLDERS)
    if _array.kind_of(holder) is None or getattr(holder, "ndim", 0) == 0:
        return _check.real(function, "holder", holder, low=0)
    _check.vector(function, "holder", holder, k, device=device)
    values: Floats = _array.to_host(holder).astype(np.float64)
    if not ((values >= 0) & (values < np.inf)).all():
        at = int(np.flatnonzero(~((values >= 0) & (values < np.inf)))[0])
        raise ValueError(f"{function}: holder must be finite and >= 0, got {values[at]} at position {at}")
    return values


def mixed(function: str, whole: float, mix: float) -> tuple[float, float]:
    """What the scores and the uniform probabilities are multiplied by, from the sum of the scores."""
    if not whole < math.inf:
        raise ValueError(f"{function}: holder must be small enough for a finite sum of scores, got sum {whole}")
    if whole > 0:
        return (1 - mix) / whole, mix
    text = f"{function}: all scores are zero; rows are drawn in proportion to their sample weights"
    warnings.warn(text, SelectionWarning, stacklevel=3)
    return 0.0, 1.0


def warn_of_lost(function: str, count: int) -> None:
    """Tell that rows can never be drawn."""
    if count:
        text = f"{function}: {count} rows off their center have probability zero; a positive mix would include them"
        warnings.warn(text, SelectionWarning, stacklevel=3)


def diagnose(drawn: Drawn, proxies: Proxies, share: float) -> Diagnostics:
    """What the weights and the pilot say."""
    weights: Floats = _array.to_host(drawn.weights)
    total = float(weights.sum())
    return Diagnostics(
        ess=total**2 / float(weights @ weights) if total > 0 else 0.0,
        max_weight_share=float(weights.max()) / total if total > 0 else 0.0,
        n_certain=drawn.certain,
        cost_share=share,
        proxy_r2=proxies.r2,
        holder=proxies.holder,
        holder_spread=proxies.holder_spread,
    )
