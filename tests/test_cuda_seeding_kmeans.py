"""k-means on a device gives what the host gives, bit for bit, run on the host by the emulator."""

import numpy as np
import pytest

from argrad.seeding import kmeans


def both(device, X, k, **options):
    """A look that a device gives the centers, labels, potential and iterations of the host; returns the last."""
    centers, labels, potential, count = kmeans(X, k, **options)
    with device():
        found = kmeans(X, k, **options)
    assert np.array_equal(found[0], centers)
    assert found[0].dtype == X.dtype
    assert np.array_equal(found[1], labels)
    assert found[2:] == (potential, count)
    return count


@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (60, 3, 5), (1100, 2, 4), (40, 1030, 3)])
def test_kmeans(device, rng, dtype, n, d, k):
    both(device, rng.normal(size=(n, d)).astype(dtype), k, random_state=3, max_iter=4)


def test_more_clusters_than_a_digit_of_their_numbers(device, rng):
    X = rng.normal(size=(700, 1))
    both(device, X, 260, init=X[:260], random_state=3, max_iter=1)


def test_kmeans_with_weights_until_it_settles(device, rng, dtype):
    X, weights = rng.normal(size=(80, 2)).astype(dtype), rng.integers(0, 3, 80)
    assert both(device, X, 4, sample_weight=weights, random_state=5, tol=0) > 1
    both(device, X, 4, sample_weight=weights.astype(dtype), random_state=5, init="greedy", max_iter=0)


def test_empty_clusters_restart(device, rng, dtype):
    X = rng.normal(size=(1030, 2)).astype(dtype)
    init = np.concatenate([X[:2], np.full((3, 2), 100, dtype)])
    for weights in (None, rng.uniform(size=1030)):
        both(device, X, 5, init=init, sample_weight=weights, random_state=1, max_iter=2)
    both(device, np.ones((40, 2), dtype), 3, init=init[:3], random_state=1, max_iter=3)


def test_squares_out_of_range(device, rng, dtype):
    factor = dtype.type(2.0 ** (60 * (8 if dtype == np.float64 else 1)))
    X = rng.normal(size=(40, 2)).astype(dtype) * factor
    both(device, X, 3, init=X[:3], random_state=1, max_iter=3)


def test_bad_numbers_are_told(device, rng):
    X, init = rng.normal(size=(40, 2)), rng.normal(size=(2, 2))
    with device():
        with pytest.raises(ValueError, match="kmeans: sample_weight must be finite"):
            kmeans(X, 2, init=init, sample_weight=np.full(40, np.nan))
        X[30, 1] = np.nan
        with pytest.raises(ValueError, match=r"kmeans: X must be finite.*row 30"):
            kmeans(X, 2, init=init)
        X[30, 1], init[1, 0] = 0, np.inf
        with pytest.raises(ValueError, match=r"kmeans: centers must be finite.*row 1"):
            kmeans(X, 2, init=init)


def test_errors_of_the_seeding_speak_of_kmeans(device, rng):
    X = rng.normal(size=(20, 2))
    with (
        device(),
        pytest.raises(ValueError, match=r"^kmeans: sample_weight must be finite and >= 0, got -1.0 at row 0"),
    ):
        kmeans(X, 3, sample_weight=np.full(20, -1.0), random_state=0)
    with device(), pytest.raises(ValueError, match=r"^kmeans: init must be one of"):
        kmeans(X, 3, init="unknown")
