"""k-means++ seeding."""

from typing import Any

from argrad import _array, _check, _native
from argrad._array import Array
from argrad._progress import Progress, reporting
from argrad.seeding import _device_seed
from argrad.seeding._options import Facts, Options, check_clusters, check_options, gather, warn_about


def kmeans_plusplus(
    X: Array,
    n_clusters: int,
    *,
    sample_weight: Array | None = None,
    x_squared_norms: Array | None = None,
    random_state: object = None,
    n_local_trials: int | None = None,
    method: str = "exact",
    max_proposals: int | None = None,
    refresh: str | int = "auto",
    progress: Progress = None,
) -> tuple[Array, Array]:
    """Choose well-spread rows as initial cluster centers, by k-means++.

    The first center is a row drawn in proportion to its weight a_i; every further one is row i with probability

        a_i min_c |x_i - c|^2 / sum_j a_j min_c |x_j - c|^2,

    c running over the centers chosen so far. The default method has exactly this law at the cost of about one pass
    over the data, whatever the number of clusters. Signature and results are scikit-learn's; the law of its *default*
    is another one: there `n_local_trials=None` means greedy seeding, which is `method="greedy"` here.

    Args:
        X: points, shape (n, d), float16, bfloat16 (torch), float32 or float64; numpy array (a memory map is read in
            place), torch tensor (CPU or CUDA) or cupy array. For cosine similarity normalize the rows first.
        n_clusters: number of centers k, 1 <= k <= n.
        sample_weight: weights a_i, shape (n,), finite, >= 0, not all zero; None weighs each row by 1. A row of weight
            zero is never drawn.
        x_squared_norms: accepted for compatibility, shape (n,); not needed.
        random_state: seed: None, an integer, a numpy `Generator` or `RandomState`, or a `torch.Generator`.
        n_local_trials: candidates per center of the greedy methods; None for 2 + floor(ln k). The other methods take
            one candidate and refuse more.
        method: `"exact"`: k-means++ by batched envelope rejection. `"pass"`: the same law by k passes over the data.
            `"rejection"`: RS-k-means++ as published; exact unless `max_proposals` is reached. `"greedy"`: of several
            candidates keep the one with the lowest potential, on all rows. `"greedy_coreset"`: the same on a weighted
            sample of max(20000, 60 k) rows, nearly the same potential at a fraction of the cost. `"uniform"`: distinct
            uniform rows.
        max_proposals: with `"rejection"`, proposals per center after which a uniform row is taken; None for no limit.
        refresh: with `"exact"`, when the bounds of all rows are brought up to date: `"auto"`, `"never"`, or after every
            so many centers. It changes the cost and the draws, never the law.
        progress: True for a bar, or a callable given (centers done, centers in all); a device reports nothing.

    Returns:
        (centers, indices): the chosen rows, shape (k, d), in the dtype and kind of `X`, and their row numbers, shape
        (k,), int64, in the order of drawing; `X[indices]` equals `centers`.

    Raises:
        TypeError: not an array, not of a floating dtype, or a value of another type.
        ValueError: a NaN or an infinity in `X` (with row and column), bad weights, k out of range, an unknown method or
            an option that the method does not have.

    Warns:
        RuntimeWarning: fewer distinct rows of positive weight than clusters (the others are then unused rows), or
            uniform rows taken because of `max_proposals`.

    Gradient:
        Indices have none. Centers of a tensor are a gather of `X`: the gradient flows to the chosen rows.

    Determinism:
        The same indices for the same seed on any number of threads, any instruction set and a device; another method
        or another version may draw other rows. Ties in the greedy methods go to the first candidate.

    Cost:
        `"exact"`: one pass over `X` and O(r k^2 d) further work, r = potential of the first center over the potential
        of all k (measured: 1 to 40 on real data); n * 9 bytes of memory (13 in float64). `"pass"` O(n k d); `"greedy"`
        O(n k d log k) at worst; `"greedy_coreset"` O(n k d / 10 + k^2 d log k). Prefer `"pass"` or `D2Sampler` when
        k > n / 10. On a device batches are launched ahead, and the host waits for it once after four of them, and
        again whenever as many more were needed: about log2(batches) times in all, never for a center; so for
        `"rejection"` and `"greedy_coreset"`, which waits twice more. The other methods wait once.

    References:
        Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007. Shah, Agrawal and Jaiswal,
        "A New Rejection Sampling Approach to k-means++ With Improved Trade-Offs", 2025, arXiv:2502.02085: the method
        `"rejection"`. `"exact"` differs from it by a tighter envelope, by resolving proposals in batches, and by
        lowering the envelope between batches.

    Examples:
        >>> import numpy as np
        >>> from argrad.seeding import kmeans_plusplus
        >>> X = np.array([[0.0], [0.0], [5.0], [9.0]])
        >>> centers, indices = kmeans_plusplus(X, 3, random_state=0)
        >>> sorted(centers.ravel().tolist())
        [0.0, 5.0, 9.0]
    """
    name = "kmeans_plusplus"
    _check.matrix(name, "X", X, device=True)
    k = check_clusters(name, n_clusters, X.shape[0])
    options = check_options(
        name, method, k, n_local_trials=n_local_trials, max_proposals=max_proposals, refresh=refresh
    )
    rows = _array.raw(X)
    on_device = _array.is_device(rows)
    if x_squared_norms is not None:
        _check.vector(name, "x_squared_norms", x_squared_norms, X.shape[0], device=on_device)
    if on_device:
        with reporting(name, progress, "seeding"):
            indices, facts = _on_device(X, rows, sample_weight, k, options, random_state)
        warn_about(name, facts, k, max_proposals)
        return gather(X, indices)
    weights = _check.weights(name, "sample_weight", sample_weight, X.shape[0])
    seed = _check.seed(name, random_state)
    with reporting(name, progress, "seeding") as report:
        indices, values = _native.seed(name, rows, weights, k, options, seed, report)
    warn_about(name, Facts(values), k, max_proposals)
    return gather(X, indices)


def _on_device(
    X: Array, rows: Any, sample_weight: Array | None, k: int, options: Options, random_state: object
) -> tuple[Any, Facts]:
    name = "kmeans_plusplus"
    _check.weights_form(name, "sample_weight", sample_weight, X.shape[0], device=True)
    _check.same_kind(name, {"X": X, "sample_weight": sample_weight})
    weights = None if sample_weight is None else _array.raw(sample_weight)
    seed = _check.seed(name, random_state)
    found = _device_seed.seed(rows, weights, k, options, seed)
    if found is None:  # the host says what is wrong
        wide = None if weights is None else _array.to_host(weights)
        _native.seed(
            name, _array.to_host(rows), _check.weights(name, "sample_weight", wide, X.shape[0]), 1, options, seed, None
        )
        raise RuntimeError("argrad: a kernel has reported a fault that the host does not see; please report this")
    return found
