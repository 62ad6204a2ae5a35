"""The kernels that measure rows against centers give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.seeding import assign, kmeans_potential

# Tiles hold 32 rows and 32 centers, and four pieces of 16 coordinates (8 in double precision) at a time.
SHAPES = [(1, 1, 1), (31, 3, 33), (33, 16, 32), (70, 65, 40), (5, 130, 1)]


@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_assign(device, rng, dtype, n, d, k):
    X, centers = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(k, d)).astype(dtype)
    labels, distances = assign(X, centers, return_distance=True)
    with device():
        found, found_distances = assign(X, centers, return_distance=True)
        assert np.array_equal(assign(X, centers), labels)
    assert found.dtype == np.int64
    assert found_distances.dtype == dtype
    assert np.array_equal(found, labels)
    assert np.array_equal(found_distances, distances)


@pytest.mark.parametrize("exponent", [-60, 60, -18, 30])
def test_assign_keeps_squares_in_range(device, rng, dtype, exponent):
    factor = dtype.type(2.0 ** (exponent * (8 if dtype == np.float64 else 1)))
    X, centers = rng.normal(size=(40, 5)).astype(dtype) * factor, rng.normal(size=(3, 5)).astype(dtype) * factor
    labels, distances = assign(X, centers, return_distance=True)
    assert np.isfinite(distances).all()
    assert distances.any()
    with device():
        found, found_distances = assign(X, centers, return_distance=True)
    assert np.array_equal(found, labels)
    assert np.array_equal(found_distances, distances)


def test_assign_takes_the_first_of_equal_centers(device, dtype):
    X, centers = np.zeros((2, 2), dtype), np.ones((70, 2), dtype)
    with device():
        assert assign(X, centers).tolist() == [0, 0]
        centers[40] = 0
        centers[65] = 0
        labels, distances = assign(X, centers, return_distance=True)
    assert labels.tolist() == [40, 40]
    assert distances.tolist() == [0, 0]


def test_assign_of_no_rows(device, dtype):
    with device():
        labels, distances = assign(np.zeros((0, 3), dtype), np.zeros((2, 3), dtype), return_distance=True)
    assert labels.shape == distances.shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_assign_marks_what_is_not_finite(device, rng, bad):
    X, centers = rng.normal(size=(40, 3)), rng.normal(size=(4, 3))
    labels = assign(X, centers)
    X[33, 1] = bad
    with device():
        found, distances = assign(X, centers, return_distance=True)
        assert found[33] == -1
        assert np.isnan(distances[33])
        assert np.array_equal(np.delete(found, 33), np.delete(labels, 33))
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=r"assign: X must be finite.* at row 33, column 1"):
                assign(X, centers)
            assign(X[:33], centers)
        finally:
            argrad.set_device_validation(False)
        centers[2, 0] = bad
        found, distances = assign(X, centers, return_distance=True)
    assert set(found) == {-1}
    assert np.isnan(distances).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (1100, 3, 4), (50, 20, 33)])
def test_kmeans_potential(device, rng, dtype, n, d, k, weighted):
    kind = torch.float64 if dtype == np.float64 else torch.float32
    X = torch.tensor(rng.normal(size=(n, d)), dtype=kind, requires_grad=True)
    centers = torch.tensor(rng.normal(size=(k, d)), dtype=kind, requires_grad=True)
    weights = torch.tensor(rng.uniform(size=n), dtype=kind, requires_grad=True) if weighted else None
    inputs = [x for x in (X, centers, weights) if x is not None]

    def run():
        value = kmeans_potential(X, centers, sample_weight=weights)
        gradients = torch.autograd.grad(value, inputs, create_graph=True)
        seconds = torch.autograd.grad(sum((g * g).sum() for g in gradients), inputs, allow_unused=True)
        return [value, *gradients, *[x for x in seconds if x is not None]]

    want = run()
    with device():
        found = run()
    for x, y in zip(found, want, strict=True):
        assert x.dtype == y.dtype
        assert torch.allclose(x, y, rtol=1e-13 if dtype == np.float64 else 1e-6, atol=0)


def test_kmeans_potential_of_counts(device, rng):
    X, counts = rng.normal(size=(30, 2)), rng.integers(0, 4, 30)
    want = kmeans_potential(X, X[:3], sample_weight=counts)
    with device():
        found = kmeans_potential(X, X[:3], sample_weight=counts)
    assert type(found) is type(want)
    assert np.isclose(found, want, rtol=1e-13)


@pytest.mark.parametrize("bad", ["row", "center", "negative", "zeros", "infinite"])
def test_kmeans_potential_is_nan_where_the_host_refuses(device, rng, bad):
    X, centers, weights = (torch.tensor(rng.normal(size=shape)) for shape in [(40, 3), (4, 3), (40,)])
    weights.abs_()
    if bad in ("row", "center"):
        (X if bad == "row" else centers)[3, 1] = np.nan
    elif bad == "zeros":
        weights.zero_()
    else:
        weights[7] = -1.0 if bad == "negative" else np.inf
    X.requires_grad_()
    with device():
        value = kmeans_potential(X, centers, sample_weight=weights)
        assert value.isnan()
        torch.autograd.grad(value, X)
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="kmeans_potential: "):
                kmeans_potential(X, centers, sample_weight=weights)
        finally:
            argrad.set_device_validation(False)
