"""Betti numbers and Euler characteristics on a device are those of the host, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.metrics.topology import betti_matching_error, betti_number_error
from argrad.topology import _device_masks, betti_numbers, euler_characteristic

SHAPES = [(1,), (40,), (6, 9), (1, 33, 1), (67, 3), (4, 5, 6), (3, 1, 35)]


@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masks(device, rng, shape, connectivity):
    masks = rng.random((2, 1, *shape)) < np.array([0.4, 0.75]).reshape(2, *[1] * (len(shape) + 1))
    for x in (masks, masks[1, 0].astype(np.float32), torch.tensor(masks[0]).half()):
        options = {"connectivity": connectivity, "spatial_dims": len(shape)}
        expected = betti_numbers(x, **options), euler_characteristic(x, **options)
        with device():
            found = betti_numbers(x, **options), euler_characteristic(x, **options)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)


def test_what_encloses_a_cavity(device):
    shell = np.ones((5, 5, 5))
    shell[2, 2, 2] = 0
    spiral = np.zeros((9, 70))
    spiral[::2] = 1
    spiral[1::4, -1] = spiral[3::4, 0] = 1
    with device():
        assert betti_numbers(shell).tolist() == [1, 0, 1]
        assert betti_numbers(spiral).tolist() == [1, 0]
        assert betti_numbers(np.zeros((2, 3, 4))).tolist() == [0, 0, 0]
        assert betti_numbers(np.zeros((0, 3, 4)), spatial_dims=2).shape == (0, 2)
        assert euler_characteristic(np.zeros((0, 3, 4)), spatial_dims=2, thresholds=[1.0]).shape == (0, 1)


@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_curves(device, rng, monkeypatch, shape, connectivity):
    x = rng.integers(-3, 4, (2, *shape)) / 2
    thresholds = [0.5, -9.0, np.inf, 0.0, 0.25, 0.5, -0.0, 1.5, -np.inf, 1.0, -1.5]
    for given, levels in ((x, thresholds), (x.astype(np.float32), [0.25]), (torch.tensor(x).bfloat16(), [])):
        options = {"connectivity": connectivity, "spatial_dims": len(shape), "thresholds": levels}
        expected = euler_characteristic(given, **options)
        with device():
            assert np.array_equal(euler_characteristic(given, **options), expected)


def test_more_thresholds_than_shared_memory_takes(device, rng):
    x, levels = rng.random((5, 6)), np.linspace(0, 1, _device_masks._SHARED_LEVELS)
    with device():
        found = euler_characteristic(x, thresholds=levels)
    assert np.array_equal(found, euler_characteristic(x, thresholds=levels))


def test_what_the_host_refuses(device):
    mask, x = np.array([0.0, 2.0, 0.0, 1.0]), np.array([1.0, np.nan, 1.0])
    with device():
        assert betti_numbers(mask).tolist() == [2]
        assert euler_characteristic(x, thresholds=[np.inf]) == 2
        argrad.set_device_validation(True)
        try:
            with pytest.raises(
                ValueError, match=r"betti_numbers: mask must be a mask of zeros and ones, got 2.0 at index"
            ):
                betti_numbers(mask)
            with pytest.raises(ValueError, match=r"euler_characteristic: x must be a mask of zeros and ones, got 2.0"):
                euler_characteristic(mask)
            with pytest.raises(
                ValueError, match=r"euler_characteristic: x must not contain NaN, got one at index \(1,\)"
            ):
                euler_characteristic(x, thresholds=[0.0])
        finally:
            argrad.set_device_validation(False)


@pytest.mark.parametrize("shape", [(12,), (7, 9), (4, 3, 5)], ids=str)
def test_metrics(device, rng, shape):
    masks = rng.random((2, 2, 1, *shape)) < np.array([0.4, 0.0]).reshape(2, 1, *[1] * len(shape))
    options = {"connectivity": "face", "spatial_dims": len(shape)}
    for put in (np.asarray, torch.tensor, lambda x: torch.tensor(x).half()):
        both = [put(mask) for mask in masks]
        for metric in (betti_number_error, betti_matching_error):
            patches = [{"patch": 3}] if metric is betti_number_error else []
            for more in ({}, {"per_dimension": True}, {"normalize": True}, *patches):
                expected = metric(*both, **options, **more)
                with device():
                    found = metric(*both, **options, **more)
                assert found.dtype == expected.dtype
                assert np.array_equal(found, expected)
