"""Weighted draws on a device take the rows that the host takes, run on the host by the emulator."""

import functools

import numpy as np
import pytest
import torch

import argrad
from argrad.selection import weighted_sample
from device_checks import same_draws

both = functools.partial(same_draws, rounding=1e-14)


# Tasks have 4096 rows, tiles of a sort 2048.
@pytest.mark.parametrize(("n", "size"), [(1, 1), (33, 7), (33, 33), (4100, 2100), (8300, 1)])
def test_keys(device, rng, dtype, n, size):
    both(device, rng.uniform(0.1, 3, n).astype(dtype), size, random_state=n)


@pytest.mark.parametrize("in_order", [False, True])
def test_keys_of_uneven_weights(device, rng, dtype, in_order):
    weights = np.exp(rng.normal(size=500) * (8 if dtype == np.float32 else 100)).astype(dtype)
    weights[::3] = 0
    positives = int((weights > 0).sum())
    for size in (1, 40, positives - 1, positives):
        both(device, weights, size, random_state=2**64 - 1, sorted=in_order)


@pytest.mark.parametrize("exponent", [-1074, -1000, 900])
def test_keys_of_extreme_weights(device, rng, exponent):
    both(device, np.ldexp(rng.integers(1, 9, 70).astype(float), exponent), 20, random_state=3)


# Blocks of rows are 1024, and chunks of spacings as well.
@pytest.mark.parametrize(("n", "size"), [(1, 3), (33, 7), (2100, 40), (1030, 2050)])
@pytest.mark.parametrize("method", ["multinomial", "systematic"])
def test_draws_with_replacement(device, rng, dtype, method, n, size):
    weights = rng.uniform(0, 3, n).astype(dtype)
    weights[: n // 2 : 2] = 0
    weights[-n // 4 :: 2] = 0
    weights[n // 3] = 40
    both(device, weights, size, replace=True, method=method, random_state=n)
    both(device, weights, size, replace=True, method=method, random_state=n, sorted=True)


def test_draws_with_replacement_skip_blocks_without_weight(device, dtype):
    weights = np.zeros(5000, dtype)
    weights[[0, 1023, 3000, 3001]] = [1, 2, 0.5, 3]
    for method in ("multinomial", "systematic"):
        both(device, weights, 300, replace=True, method=method, random_state=9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 0.0, 1e308])
def test_bad_weights_with_replacement_are_marked(device, bad):
    weights = np.zeros(1100)
    weights[[1050, 1060]] = bad
    with device():
        rows, inverse = weighted_sample(weights, 5, replace=True, random_state=0, return_weights=True)
        assert set(rows) == {-1}
        assert np.isnan(inverse).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="weighted_sample: weights must be"):
                weighted_sample(weights, 5, replace=True, method="systematic", random_state=0)
        finally:
            argrad.set_device_validation(False)


def test_keys_of_counts(device, rng):
    both(device, rng.integers(0, 5, 300), 50, random_state=1)
    with device():
        rows = weighted_sample(torch.tensor([0.0, 2.0, 1.0]), 2, random_state=0)
    assert sorted(rows.tolist()) == [1, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, "few"])
def test_what_the_host_refuses_is_marked(device, rng, bad):
    weights = rng.uniform(1, 2, 300)
    if bad == "few":
        weights[5:] = 0
    else:
        weights[280] = bad
    with device():
        rows, inverse = weighted_sample(weights, 6, random_state=0, return_weights=True)
        assert set(rows) == {-1}
        assert np.isnan(inverse).all()
        assert set(weighted_sample(weights, 6, random_state=0, sorted=True)) == {-1}
        argrad.set_device_validation(True)
        try:
            with pytest.raises(
                ValueError, match=r"weighted_sample: (weights must be finite.*280|size must be at most)"
            ):
                weighted_sample(weights, 6, random_state=0)
            weighted_sample(weights[:5], 5, random_state=0)
        finally:
            argrad.set_device_validation(False)
        with pytest.raises(ValueError, match="weighted_sample: "):
            weighted_sample(weights, 301)
