"""assign, kmeans and kmeans_potential."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from argrad.seeding import assign, kmeans, kmeans_potential
from checks import (
    accepts_any_layout,
    keeps_kind,
    leaves_input_alone,
    raises_sentence,
    refuses_non_finite,
    same_for_all_threads_and_levels,
)


def points(n, d, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


def assert_assigned(x, centers):
    labels, distances = assign(x, centers, return_distance=True)
    expected, squares = oracles.nearest(x, centers)
    assert labels.dtype == np.int64
    assert distances.dtype == x.dtype
    assert np.array_equal(labels, expected)
    assert np.allclose(distances, np.sqrt(squares), rtol=4 * np.finfo(x.dtype).eps, atol=0)
    assert np.array_equal(assign(x, centers), expected)


@pytest.mark.parametrize("d", [1, 2, 3, 15, 16, 17, 100])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 70), (1023, 7), (1025, 33)])
def test_labels_are_the_nearest(n, d, k, dtype):
    assert_assigned(points(n, d, dtype=dtype), points(k, d, 1, dtype))


@pytest.mark.parametrize("k", [1, 2, 8, 9, 15, 16, 17, 31, 64, 65, 70])
def test_labels_are_the_nearest_for_every_number_of_centers(k, dtype):
    assert_assigned(points(130, 5, dtype=dtype), points(k, 5, 1, dtype))


@pytest.mark.parametrize("k", [1023, 1025, 2100])
def test_labels_are_the_nearest_among_many_centers(k):
    assert_assigned(points(40, 3, dtype=np.float32), points(k, 3, 1, np.float32))


@pytest.mark.parametrize("offset", [1e4, -1e6])
def test_labels_are_the_nearest_far_from_the_origin(offset, dtype):
    """The matrix-product form alone would lose all digits here."""
    assert_assigned(points(500, 3, dtype=dtype) + dtype.type(offset), points(40, 3, 1, dtype) + dtype.type(offset))


def test_labels_are_the_nearest_in_tight_groups_far_apart(dtype):
    groups = points(10, 4) * 1e4
    x = (groups[np.arange(400) % 10] + points(400, 4, 1) * 0.01).astype(dtype)
    assert_assigned(x, x[:60])


def test_ties_go_to_the_lowest_center(dtype):
    x = np.array([[0, 0], [1, 0], [2, 0], [1, 5]], dtype=dtype)
    centers = np.array([[2, 0], [0, 0], [0, 0], [2, 0]], dtype=dtype)
    assert assign(x, centers).tolist() == [1, 0, 0, 0]
    assert_assigned(np.repeat(x, 300, axis=0), np.repeat(centers, 20, axis=0))


@given(
    n=st.integers(1, 60), k=st.integers(1, 40), d=st.integers(1, 20), grid=st.integers(1, 3), seed=st.integers(0, 99)
)
def test_labels_are_the_nearest_on_grids_full_of_ties(n, k, d, grid, seed):
    rng = np.random.default_rng(seed)
    assert_assigned(*(rng.integers(-grid, grid + 1, (rows, d)).astype(np.float32) for rows in (n, k)))


@pytest.mark.parametrize("scale", [1e-25, 1e-15, 1e15, 1e18])
def test_distances_survive_scales_whose_squares_do_not(scale):
    x, centers = points(300, 5), points(20, 5, 1)
    labels, distances = assign(x, centers, return_distance=True)
    small = [(a * scale).astype(np.float32) for a in (x, centers)]
    found, scaled = assign(*small, return_distance=True)
    assert (found == labels).mean() > 0.99
    assert np.allclose(scaled / np.float32(scale), distances, rtol=1e-4)


def test_no_rows_have_no_labels():
    labels, distances = assign(points(0, 3), points(4, 3), return_distance=True)
    assert labels.shape == distances.shape == (0,)
    assert labels.dtype == np.int64


def test_assign_takes_any_array():
    x, centers = points(200, 7, dtype=np.float32), points(9, 7, 1, np.float32)
    import torch

    accepts_any_layout(lambda a: assign(a, centers, return_distance=True), x)
    leaves_input_alone(lambda a: assign(a, centers, return_distance=True), x)
    keeps_kind(lambda a: assign(a, centers if isinstance(a, np.ndarray) else torch.from_numpy(centers)), x)
    same_for_all_threads_and_levels(lambda: assign(x, centers, return_distance=True))


def test_assign_refuses():
    x, centers = points(20, 3), points(4, 3)
    refuses_non_finite(lambda a: assign(a, centers), x, "assign", "X")
    refuses_non_finite(lambda a: assign(x, a), centers, "assign", "centers")
    raises_sentence(ValueError, lambda: assign(x, centers[:, :2]), "assign", "centers", contains="3")
    raises_sentence(ValueError, lambda: assign(x, centers[:0]), "assign", "centers")
    raises_sentence(ValueError, lambda: assign(x[0], centers), "assign", "X")
    raises_sentence(TypeError, lambda: assign(x.astype(int), centers), "assign", "X")
    raises_sentence(TypeError, lambda: assign(x, centers.astype(np.float32)), "assign", "centers")


def clusters(n=600, groups=6, seed=2):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((groups, 4)) * 8)[np.arange(n) % groups] + rng.standard_normal((n, 4))


def test_kmeans_result_is_consistent(dtype):
    x = clusters().astype(dtype)
    centers, labels, potential, n_iter = kmeans(x, 6, random_state=1, tol=0)
    assert centers.dtype == dtype
    assert centers.shape == (6, 4)
    assert np.array_equal(labels, oracles.nearest(x, centers)[0])
    assert potential == pytest.approx(oracles.potential(x, centers), rel=1e-5)
    assert 1 <= n_iter <= 300
    # With tol=0 the iteration ends at a fixed point: every centre is the mean of its rows.
    for c in range(6):
        assert np.allclose(centers[c], x[labels == c].mean(axis=0), rtol=1e-4, atol=1e-4)


def test_kmeans_never_raises_the_potential():
    x = points(400, 3)
    values = [kmeans(x, 12, random_state=4, max_iter=i, tol=0)[2] for i in range(1, 25)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(values))
    assert values[-1] < 0.98 * values[0]


def test_kmeans_weights_are_repetitions():
    x, counts = clusters(120), np.random.default_rng(0).integers(1, 4, 120)
    start = x[:6].copy()
    weighted = kmeans(x, 6, init=start, sample_weight=counts.astype(float), tol=0)
    repeated = kmeans(np.repeat(x, counts, axis=0), 6, init=start, tol=0)
    assert np.allclose(weighted[0], repeated[0])
    assert weighted[2] == pytest.approx(repeated[2])


def test_kmeans_fills_empty_clusters():
    x = clusters()
    start = np.concatenate([x[:1], np.full((5, 4), 1e3)])
    centers, labels, potential, _ = kmeans(x, 6, init=start, random_state=0)
    assert sorted(set(labels.tolist())) == list(range(6))
    assert potential == pytest.approx(oracles.potential(x, centers))


def test_kmeans_finds_separated_groups():
    x = clusters()
    labels = kmeans(x, 6, init="greedy", random_state=0)[1]
    assert all(len(set(labels[group::6].tolist())) == 1 for group in range(6))


def test_kmeans_is_deterministic():
    x = clusters(3000).astype(np.float32)
    same_for_all_threads_and_levels(lambda: kmeans(x, 20, random_state=3))


def test_kmeans_potential_is_the_weighted_sum(rng):
    import torch

    x, centers, weights = points(50, 3), points(5, 3, 1), rng.random(50)
    assert float(kmeans_potential(x, centers)) == pytest.approx(oracles.potential(x, centers))
    x, centers, weights = (torch.from_numpy(a) for a in (x, centers, weights))
    value = kmeans_potential(x, centers, sample_weight=weights)
    assert value.item() == pytest.approx(oracles.potential(x.numpy(), centers.numpy(), weights.numpy()))
