"""Distances between barcodes on a device are those of the host, run there by the emulator."""

import math

import numpy as np
import pytest
import torch

import argrad
from argrad.losses.topology import wasserstein_topology_loss
from argrad.topology import (
    _device_slices,
    _pairs,
    barcode,
    bottleneck_distance,
    sliced_wasserstein_distance,
    wasserstein_distance,
)
from test_topology_distances import DISTANCES, as_tensors, barcode_of, some_bars

EDGES = [(b, d) for b in (-math.inf, 0.5, math.inf) for d in (-math.inf, 0.25, math.inf)]


def bars_of_a_batch(rng, count, ties=False, dtype=np.float64):
    """Bars in three degrees of 2 x 2 images, some with infinite ends, some of length 0."""
    ends = some_bars(rng, count, ties)
    here = rng.random(count) < 0.4
    ends[here] = np.array(EDGES)[rng.integers(0, len(EDGES), here.sum())]
    numbers = rng.integers(0, 2, (2, count))
    return barcode_of(ends, rng.integers(0, 3, count), *numbers, dtype=dtype)


def finite_bars(rng, m, n):
    """Two barcodes with as many bars without an end in each image and degree, so that distances are finite."""
    found = []
    for count in (m, n):
        lasting = [(x, math.inf) for x in rng.random(4)]
        own = rng.integers(0, 2, (3, count))
        places = np.concatenate([own, np.array([[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1]])], 1)
        found.append(barcode_of([*some_bars(rng, count), *lasting], *places))
    return found


def every(first, second, **options):
    """All distances; the emulator takes long for many directions."""
    few = {sliced_wasserstein_distance: {"directions": 3}}
    return [distance(first, second, **options, **few.get(distance, {})) for distance in DISTANCES]


@pytest.mark.parametrize(("m", "n"), [(0, 0), (0, 3), (1, 0), (33, 40), (50, 31)])
def test_values(device, rng, m, n):
    ties = m > n
    first, second = bars_of_a_batch(rng, m, ties), bars_of_a_batch(rng, n, ties)
    for options in ({}, {"dims": 1, "batch_shape": (3, 2)}, {"dims": (0, 2), "batch_shape": (2, 2)}):
        expected = every(first, second, **options)
        with device():
            found = every(first, second, **options)
        for x, y in zip(found, expected, strict=True):
            assert np.shape(x) == np.shape(y)
            np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-15)


def test_lists_longer_than_a_block_takes_and_several_turns(device, rng, monkeypatch):
    first, second = barcode_of(some_bars(rng, 1500)), barcode_of(some_bars(rng, 1000))
    expected = sliced_wasserstein_distance(first, second, dims=0, directions=3)
    monkeypatch.setattr(_device_slices, "ITEMS", 10_000)
    with device():
        found = sliced_wasserstein_distance(first, second, dims=0, directions=3)
    assert found == pytest.approx(expected, rel=1e-13)


def test_many_distances(device, rng):
    bars = [barcode_of(some_bars(rng, 200), 0, rng.integers(0, 90, 200)) for _ in range(2)]
    expected = every(*bars, dims=0, batch_shape=(100,))
    with device():
        found = every(*bars, dims=0, batch_shape=(100,))
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-13)


def test_partners(device, rng):
    first, second = finite_bars(rng, 20, 30)
    for distance in (wasserstein_distance, bottleneck_distance):
        expected = distance(first, second, dims=(0, 1), return_matching=True)
        with device():
            found = distance(first, second, dims=(0, 1), return_matching=True)
        assert np.array_equal(found[0], expected[0])
        assert all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(found[1], expected[1], strict=True))


CALLS = {
    "wasserstein": lambda *bars: wasserstein_distance(*bars, order=2, internal_p=2),
    "wasserstein 1": wasserstein_distance,
    "bottleneck": bottleneck_distance,
    "sliced": lambda *bars: sliced_wasserstein_distance(*bars, directions=4),
}


@pytest.mark.parametrize("name", CALLS)
def test_gradients(device, rng, name):
    first, second = (as_tensors(bars, grad=True) for bars in finite_bars(rng, 20, 30))
    ends = [first.birth, first.death, second.birth, second.death]
    expected = CALLS[name](first, second)
    with device():
        found = CALLS[name](first, second)
    assert expected.isfinite().all()
    weights = torch.linspace(-1, 1, expected.numel(), dtype=expected.dtype).reshape(expected.shape)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    slopes = [torch.autograd.grad((x * weights).sum(), ends) for x in (found, expected)]
    for x, y in zip(*slopes, strict=True):
        assert y.any()
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-15)


def test_arrays_with_strides(device, rng):
    bars = bars_of_a_batch(rng, 40), bars_of_a_batch(rng, 30)
    sparse = [type(x)(*[field[::-3] for field in x]) for x in bars]
    expected = every(*[type(x)(*[field.copy() for field in x]) for x in sparse], dims=(0, 1))
    with device():
        for found, wanted in zip(every(*sparse, dims=(0, 1)), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_signed_zeros_and_huge_ends(device):
    first, second = barcode_of([(-0.0, 1.0), (0.0, 2.0), (1e308, -1e308)]), barcode_of([(0.0, 2.0), (-0.0, 0.0)])
    expected = every(first, second, dims=0)
    with device():
        np.testing.assert_allclose(every(first, second, dims=0), expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_precision_stays(device, rng, dtype):
    first, second = (
        bars._replace(birth=bars.birth.to(dtype), death=bars.death.to(dtype))
        for bars in map(as_tensors, finite_bars(rng, 9, 8))
    )
    expected = every(first, second)
    with device():
        found = every(first, second)
    for x, y in zip(found, expected, strict=True):
        assert x.shape == (2, 2, 2)
        assert x.dtype == dtype
        torch.testing.assert_close(x, y)


def test_nan(device, rng):
    first, second = barcode_of([(0.0, 1.0), (math.nan, 1.0)], 0, [0, 1]), barcode_of([(0.0, 2.0)])
    sentence = r"first must be bars without NaN, got \(NaN, 1\) at place 1"
    with device():
        for distance in (wasserstein_distance, bottleneck_distance):
            with pytest.raises(ValueError, match=f"{distance.__name__}: {sentence}"):
                distance(first, second, dims=0)
        found = sliced_wasserstein_distance(first, second, dims=0, directions=2)
        assert found[0] > 0
        assert np.isnan(found[1])
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=f"sliced_wasserstein_distance: {sentence}"):
                sliced_wasserstein_distance(first, second, dims=0, directions=2)
        finally:
            argrad.set_device_validation(False)


def test_what_is_not_looked_for(device, rng, monkeypatch):
    """With all sizes said, nobody waits; bars of other images then take no part."""
    bars = barcode_of(some_bars(rng, 6), 0, [0, 1, -1, 2, 0, 1], [0, 0, 0, 0, 1, -1])
    inside, other = barcode_of(np.stack(bars[1:3], 1)[:2], 0, [0, 1]), barcode_of(some_bars(rng, 3), 0, [0, 1, 1])
    expected = every(inside, other, dims=0)
    with device():
        monkeypatch.setattr(_pairs, "_on_device", lambda x: True)
        np.testing.assert_allclose(every(bars, other, dims=0, batch_shape=(2,)), expected, rtol=1e-13)
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=r"first.batch must be >= 0, got -1"):
                wasserstein_distance(bars, other, dims=0, batch_shape=(2,))
            with pytest.raises(ValueError, match=r"large enough for every bar, got \(1,\), batch 1"):
                wasserstein_distance(inside, other, dims=0, batch_shape=(1,))
        finally:
            argrad.set_device_validation(False)
        np.testing.assert_allclose(every(inside, other), np.reshape(expected, (3, 2, 1)), rtol=1e-13)


@pytest.mark.parametrize("shape", [(2, 1, 9, 8), (2, 1, 3, 4, 5)], ids=str)
def test_loss(device, rng, shape):
    f, g = torch.tensor(rng.random(shape)).requires_grad_(), torch.tensor(rng.random(shape))
    spatial = len(shape) - 2
    for options in ({"matching": "wasserstein"}, {"essential": True, "filtration": "both"}):
        expected = wasserstein_topology_loss(f, g, spatial_dims=spatial, **options)
        with device():
            found = wasserstein_topology_loss(f, g, spatial_dims=spatial, **options)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        slopes = [torch.autograd.grad(x, f)[0] for x in (found, expected)]
        assert slopes[1].any()
        torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-15)


def test_a_distance_of_images(device, rng):
    x, y = torch.tensor(rng.random((2, 2, 6, 7))).requires_grad_()
    results = []
    for where in (False, True):
        if where:
            with device():
                bars = [barcode(image, spatial_dims=2) for image in (x, y)]
                distance = sliced_wasserstein_distance(*bars, directions=4)
        else:
            bars = [barcode(image, spatial_dims=2) for image in (x, y)]
            distance = sliced_wasserstein_distance(*bars, directions=4)
        results.append((distance, *torch.autograd.grad(distance.sum(), x)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
