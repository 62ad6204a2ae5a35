"""Degenerate and refused input of kmeans_plusplus."""

import warnings

import numpy as np
import pytest

import oracles
from argrad.seeding import kmeans_plusplus
from checks import (
    raises_sentence,
    refuses_empty,
    refuses_non_finite,
)
from seeds import DISTANCE, EVERY, GREEDY, PLAIN, clusters, indices_of, seeded

# --- degenerate -----------------------------------------------------------------------------------------------------


@DISTANCE
def test_equal_rows_are_filled_up_with_unused_ones(method, dtype):
    x = np.full((50, 3), 0.1, dtype=dtype)
    with pytest.warns(RuntimeWarning, match="1 distinct"):
        indices = indices_of(x, k=20, method=method)
    assert len(set(indices)) == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(indices_of(x, k=1, method=method)) == 1


@DISTANCE
@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e18])
def test_fewer_distinct_rows_than_centers(method, scale, dtype):
    distinct = (np.random.default_rng(0).standard_normal((7, 3)) * scale).astype(dtype)
    x = distinct[np.random.default_rng(1).permutation(np.arange(3000) % 7)]
    with pytest.warns(RuntimeWarning, match="7 distinct"):
        indices = indices_of(x, k=30, method=method)
    assert len(set(indices)) == 30
    assert len(np.unique(x[indices[:7]], axis=0)) == 7


@EVERY
def test_all_rows(method):
    x = clusters(40)
    assert sorted(indices_of(x, k=40, method=method)) == list(range(40))


@EVERY
def test_one_row(method):
    assert indices_of(np.ones((1, 3)), k=1, method=method) == [0]


@DISTANCE
def test_one_positive_weight(method):
    weights = np.zeros(60)
    weights[33] = 2.5
    assert indices_of(clusters(60), k=1, method=method, sample_weight=weights) == [33]
    with pytest.warns(RuntimeWarning, match="1 distinct"):
        indices = indices_of(clusters(60), k=5, method=method, sample_weight=weights)
    assert indices[0] == 33
    assert len(set(indices)) == 5


@EVERY
def test_rows_without_weight_are_never_drawn(method):
    x, weights = clusters(3000), np.ones(3000)
    weights[np.random.default_rng(0).permutation(3000)[:2900]] = 0
    for seed in range(20):
        assert weights[indices_of(x, method=method, sample_weight=weights, random_state=seed)].all()


@DISTANCE
def test_fill_prefers_rows_with_weight(method):
    x, weights = np.repeat(clusters(3), 10, axis=0), np.ones(30)
    weights[5:] = 0
    with pytest.warns(RuntimeWarning, match="1 distinct"):
        indices = indices_of(x, k=8, method=method, sample_weight=weights)
    assert sorted(indices[:5]) == [0, 1, 2, 3, 4]


@DISTANCE
def test_a_huge_outlier_and_tiny_weights(method):
    x = clusters(500)
    x[77] = 1e12
    assert 77 in indices_of(x, k=2, method=method)
    assert len(indices_of(x, k=12, method=method, sample_weight=np.full(500, 1e-300))) == 12


def test_an_extreme_envelope_ends_and_is_exact():
    """The first centre may be far from everything: nearly all proposals fail until the envelope is refreshed."""
    x = clusters(5000)
    x[0] = 1e7
    weights = np.ones(5000)
    weights[0] = 1e9
    for method in ("exact", "rejection"):
        centers, indices = seeded(x, 20, method, sample_weight=weights)
        assert len(set(indices.tolist())) == 20
        assert oracles.potential(x, centers) < oracles.potential(x, centers[:2]) / 3


# --- refused --------------------------------------------------------------------------------------------------------


@EVERY
def test_refuses_nan_and_infinity_with_the_position(method):
    refuses_non_finite(lambda x: seeded(x, 3, method), clusters(1100), "kmeans_plusplus", "X")


@EVERY
def test_refuses_nan_in_rows_without_weight(method):
    x, weights = clusters(50), np.ones(50)
    x[20, 2], weights[20] = np.nan, 0
    raises_sentence(
        ValueError, lambda: seeded(x, 3, method, sample_weight=weights), "kmeans_plusplus", "X", contains=("20", "2")
    )


def refuse(error, argument, contains=(), x=None, k=3, **options):
    x = clusters(20) if x is None else x
    call = lambda: kmeans_plusplus(x, k, **{"random_state": 0, **options})  # noqa: E731
    return raises_sentence(error, call, "kmeans_plusplus", argument, contains=contains)


def test_refuses_bad_numbers_of_centers():
    refuse(ValueError, "n_clusters", ("20", "21"), k=21)
    refuse(ValueError, "n_clusters", "0", k=0)
    refuse(ValueError, "n_clusters", "-1", k=-1)
    refuse(TypeError, "n_clusters", "2.0", k=2.0)
    refuse(TypeError, "n_clusters", "True", k=True)


@pytest.mark.parametrize("position", [0, 7, 19])
@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_refuses_bad_weights_with_the_position(bad, position):
    weights = np.ones(20)
    weights[position] = bad
    refuse(ValueError, "sample_weight", str(position), sample_weight=weights)


def test_refuses_weights_of_a_wrong_form():
    refuse(ValueError, "sample_weight", sample_weight=np.zeros(20))
    refuse(ValueError, "sample_weight", ("20", "19"), sample_weight=np.ones(19))
    refuse(ValueError, "sample_weight", sample_weight=np.ones((20, 1)))
    refuse(TypeError, "sample_weight", sample_weight=[1.0] * 20)
    refuse(ValueError, "x_squared_norms", ("20", "19"), x_squared_norms=np.ones(19))


def test_refuses_what_is_no_matrix():
    refuse(TypeError, "X", "int", x=np.ones((20, 2), dtype=int))
    refuse(TypeError, "X", "object", x=np.ones((20, 2), dtype=object))
    refuse(TypeError, "X", "list", x=[[1.0, 2.0]] * 20)
    refuse(ValueError, "X", "1", x=np.ones(20))
    refuse(ValueError, "X", "3", x=np.ones((20, 2, 2)))
    refuses_empty(lambda x: kmeans_plusplus(x, 1), clusters(20), "kmeans_plusplus", "X")


def test_refuses_unknown_and_unused_options():
    refuse(ValueError, "method", ("exact", "nonsense"), method="nonsense")
    for method in PLAIN:
        refuse(ValueError, "n_local_trials", ("greedy", method), method=method, n_local_trials=2)
    refuse(ValueError, "n_local_trials", "0", method="greedy", n_local_trials=0)
    for method in ("exact", "pass", "uniform", *GREEDY):
        refuse(ValueError, "max_proposals", "rejection", method=method, max_proposals=5)
    refuse(ValueError, "max_proposals", "0", method="rejection", max_proposals=0)
    refuse(ValueError, "refresh", refresh="sometimes")
    refuse(ValueError, "refresh", refresh=-1)
    refuse(ValueError, "random_state", random_state=-1)
    refuse(TypeError, "random_state", random_state="seed")
