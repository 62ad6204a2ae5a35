"""k-means++ on a device draws the rows that the host draws, run on the host by the emulator."""

import numpy as np
import pytest

from argrad.seeding import _device_plusplus, kmeans_plusplus


def both(device, X, k, **options):
    """The rows of the host, after a look that a device chooses the same."""
    centers, indices = kmeans_plusplus(X, k, **options)
    with device():
        found_centers, found = kmeans_plusplus(X, k, **options)
    assert found.tolist() == indices.tolist()
    assert np.array_equal(found_centers, centers)
    return indices


def clusters(rng, n, d, groups=12):
    """Tight groups of very different sizes, so that proposals are rejected."""
    sizes = rng.pareto(1.0, groups) + 0.1
    labels = rng.choice(groups, n, p=sizes / sizes.sum())
    return 10 * rng.normal(size=(groups, d))[labels] + 0.01 * rng.normal(size=(n, d))


# Blocks of rows are 1024, groups 32; batches have 32 proposals at least.
CASES = [("exact", *shape) for shape in [(1, 1, 1), (2, 1, 2), (40, 3, 5), (1030, 20, 40), (2050, 2, 3)]]
CASES += [(method, *shape) for method in ("pass", "greedy") for shape in [(2, 1, 2), (1030, 20, 4)]]
CASES += [("uniform", 1, 1, 1), ("uniform", 1030, 2, 40)]


@pytest.mark.parametrize(("method", "n", "d", "k"), CASES)
def test_methods(device, rng, dtype, method, n, d, k):
    both(device, rng.normal(size=(n, d)).astype(dtype), k, random_state=7, method=method)


@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (40, 3, 5), (1100, 20, 70), (2050, 2, 3)])
def test_rejection(device, rng, dtype, n, d, k):
    both(device, rng.normal(size=(n, d)).astype(dtype), k, random_state=7, method="rejection")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("most", [1, 3, 40])
def test_rejection_gives_up(device, rng, dtype, most, weighted):
    X = clusters(rng, 1100, 3).astype(dtype)
    weights = rng.integers(0, 3, 1100) if weighted else None
    with pytest.warns(RuntimeWarning, match="are uniform rows"):
        both(device, X, 12, random_state=2, method="rejection", max_proposals=most, sample_weight=weights)


@pytest.mark.parametrize("refresh", ["auto", "never", 3])
def test_rejections_and_refreshes(device, rng, dtype, refresh):
    X = clusters(rng, 200, 4).astype(dtype)
    both(device, X, 14 if refresh == "never" else 40, random_state=1, refresh=refresh)


def test_several_stages_of_centers(device, rng):
    both(device, rng.normal(size=(600, 2)), 330, random_state=3)


@pytest.mark.parametrize("method", ["exact", "rejection", "pass", "greedy", "greedy_coreset", "uniform"])
def test_weights(device, rng, dtype, method):
    kind = int if dtype == np.float32 else float
    X = rng.normal(size=(1100, 3)).astype(dtype)
    weights = (rng.integers(0, 3, 1100) * 1.5).astype(kind)
    indices = both(device, X, 4, sample_weight=weights, random_state=2**64 - 5, method=method)
    assert (weights[indices] > 0).all()


@pytest.mark.parametrize("method", ["exact", "rejection", "pass", "greedy", "greedy_coreset"])
def test_fewer_distinct_rows_than_centers(device, rng, dtype, method):
    X = rng.integers(0, 2, (100, 3)).astype(dtype)
    weights = (X[:, 0] > 0).astype(float)
    weights[:20] = 0
    for options in ({}, {"sample_weight": weights}):
        with pytest.warns(RuntimeWarning, match="distinct points"):
            both(device, X, 12, random_state=0, method=method, **options)
    with pytest.warns(RuntimeWarning, match="distinct points"):
        both(device, np.ones((40, 2), dtype), 40, random_state=0, method=method)


@pytest.mark.parametrize("exponent", [-60, 60])
def test_squares_out_of_range(device, rng, dtype, exponent):
    factor = dtype.type(2.0 ** (exponent * (8 if dtype == np.float64 else 1)))
    X = clusters(rng, 300, 3).astype(dtype)
    for method in ("exact", "rejection", "greedy", "greedy_coreset"):
        both(device, X * factor, 8, random_state=4, method=method)


def test_more_centers_than_one_burst_of_batches(device, rng, monkeypatch):
    monkeypatch.setattr(_device_plusplus, "FIRST_BURST", 1)
    both(device, clusters(rng, 100, 2), 20, random_state=5)


@pytest.mark.parametrize("method", ["exact", "rejection", "pass", "greedy", "greedy_coreset", "uniform"])
def test_bad_numbers_are_told(device, rng, method):
    bad = np.inf if method == "pass" else np.nan
    X, weights = rng.normal(size=(1100, 3)), np.ones(1100)
    X[1050, 1] = bad
    with device(), pytest.raises(ValueError, match=r"kmeans_plusplus: X must be finite.* row 1050, column 1"):
        kmeans_plusplus(X, 3, random_state=0, method=method)
    X[1050, 1] = 0
    for value in (bad, -1.0):
        weights[1030] = value
        with device(), pytest.raises(ValueError, match=r"kmeans_plusplus: sample_weight must be finite.*row 1030"):
            kmeans_plusplus(X, 3, sample_weight=weights, random_state=0, method=method)
    with device(), pytest.raises(ValueError, match=r"kmeans_plusplus: sample_weight must be .*sum 0"):
        kmeans_plusplus(X, 3, sample_weight=np.zeros(1100), random_state=0, method=method)


def test_the_host_waits_once_for_few_batches(device, rng, monkeypatch):
    waits = []
    monkeypatch.setattr(
        _device_plusplus.State, "of", lambda walk, of=_device_plusplus.State.of: waits.append(1) or of(walk)
    )
    with device():
        kmeans_plusplus(rng.normal(size=(40, 2)), 4, random_state=0)
    assert len(waits) == 1
