"""The rivals, one small function each, and one way to give all of them the same number of threads.

Every seeding takes (X, k, seed) and returns the k centres, so that a potential can be computed for each in one way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

Seeding = Callable[[np.ndarray, int, int], np.ndarray]


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Give argrad, BLAS, OpenMP, faiss and oneDAL `count` threads each."""
    import daal4py
    import faiss
    import threadpoolctl

    import argrad

    before = argrad.get_num_threads(), faiss.omp_get_max_threads(), daal4py.num_threads()
    argrad.set_num_threads(count)
    faiss.omp_set_num_threads(count)
    daal4py.daalinit(count)
    try:
        with threadpoolctl.threadpool_limits(count):
            yield
    finally:
        argrad.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])
        daal4py.daalinit(before[2])


def onedal(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """oneDAL's plain k-means++ (scikit-learn-intelex): one trial a centre, computed in float32."""
    import daal4py

    engine = daal4py.engines_mt2203(fptype="float", seed=seed)
    init = daal4py.kmeans_init(nClusters=k, fptype="float", method="plusPlusDense", nTrials=1, engine=engine)
    return init.compute(x).centroids


def onedal_parallel(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """oneDAL's k-means||: another law, five rounds."""
    import daal4py

    engine = daal4py.engines_mt2203(fptype="float", seed=seed)
    init = daal4py.kmeans_init(
        nClusters=k, fptype="float", method="parallelPlusDense", oversamplingFactor=0.5, nRounds=5, engine=engine
    )
    return init.compute(x).centroids


def _faiss(x: np.ndarray, k: int, seed: int, method: int, chain_length: int = 50) -> np.ndarray:
    import faiss

    init = faiss.ClusteringInitialization(x.shape[1], k)
    init.method, init.seed, init.afkmc2_chain_length = method, seed, chain_length
    centers = np.empty((k, x.shape[1]), np.float32)
    init.init_centroids(len(x), faiss.swig_ptr(x), faiss.swig_ptr(centers))
    return centers


def faiss_plusplus(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """faiss's k-means++ on all rows, initialisation only."""
    import faiss

    return _faiss(x, k, seed, faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS)


def faiss_afkmc2(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """faiss's AFK-MC^2 with chains of 50 steps: approximately the law of k-means++."""
    import faiss

    return _faiss(x, k, seed, faiss.ClusteringInitMethod_AFK_MC2, chain_length=50)


def sklearn_plain(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """scikit-learn's k-means++ with one trial a centre: the plain law."""
    from sklearn.cluster import kmeans_plusplus

    return kmeans_plusplus(x, k, n_local_trials=1, random_state=seed)[0]


def greedy_trials(k: int) -> int:
    """Return the number of trials scikit-learn uses for k centres."""
    return 2 + int(np.log(k))


def sklearn_greedy(x: np.ndarray, k: int, seed: int, trials: int | None = None) -> np.ndarray:
    """scikit-learn's default: greedy k-means++. `trials` keeps the cost per centre of a larger k."""
    from sklearn.cluster import kmeans_plusplus

    return kmeans_plusplus(x, k, n_local_trials=trials, random_state=seed)[0]


def rskpp(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The paper's own package; m is so large that it never falls back to a uniform row."""
    from rskpp.rskpp import rskmeanspp

    np.random.seed(seed)  # noqa: NPY002 the package draws from the global generator
    return rskmeanspp(x, k, 10**9)


def uniform(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Distinct uniform rows."""
    return x[np.random.default_rng(seed).choice(len(x), k, replace=False)]


def numpy_choice(probabilities: np.ndarray, size: int, seed: int) -> np.ndarray:
    """numpy's weighted draw without replacement: successive draws, as ours."""
    return np.random.default_rng(seed).choice(len(probabilities), size, replace=False, p=probabilities)


def sklearn_sensitivity(
    x: np.ndarray, loss: np.ndarray, k: int, n_select: int, seed: int, trials: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity sampling as one would write it: KMeans(max_iter=1), scores from the medoids' losses, choice.

    The greedy initialisation is KMeans' default; handing it over as a function only fixes its number of trials.
    Returns indices (with replacement) and weights 1/(s p).
    """
    from sklearn.cluster import KMeans

    def init(rows: np.ndarray, count: int, random_state: int) -> np.ndarray:
        return sklearn_greedy(rows, count, random_state, trials)

    model = KMeans(k, init=init, max_iter=1, n_init=1, random_state=seed).fit(x)
    squared = np.square(x - model.cluster_centers_[model.labels_]).sum(axis=1)
    order = np.lexsort((squared, model.labels_))
    first = order[np.r_[True, np.diff(model.labels_[order]) > 0]]
    medoid = np.zeros(k, np.int64)
    medoid[model.labels_[first]] = first
    proxy = loss[medoid][model.labels_]
    # The Hoelder constant that makes both terms of the score equally large.
    scores = proxy + squared * (proxy.mean() / squared.mean())
    p = (scores / scores.sum()).astype(np.float64)
    p /= p.sum()
    indices = np.random.default_rng(seed).choice(len(x), n_select, p=p)
    return indices, 1 / (n_select * p[indices])
