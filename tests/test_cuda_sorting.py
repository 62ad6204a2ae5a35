"""Soft ranks and soft sorts on a device give what the host gives, run on the host by the emulator."""

import math

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, permutahedron_blocks, soft_rank, soft_sort

EACH = [(call, how) for call in (soft_rank, soft_sort) for how in ("l2", "kl", "pnorm")]


def derivatives(call, x, strength, **options):
    """Value, first and second derivatives, to scores, strengths and the upstream gradient."""
    x, strength = (torch.as_tensor(y).clone().requires_grad_() for y in (x, strength))
    generator = torch.Generator().manual_seed(1)
    y = call(x, strength=strength, **options)
    g = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype).requires_grad_()
    first = torch.autograd.grad(y, (x, strength), g, create_graph=True)
    tangents = [torch.randn(d.shape, generator=generator, dtype=torch.float64).to(d.dtype) for d in first]
    return [y, *first, *torch.autograd.grad(first, (x, strength, g), tangents)]


def same(found, expected, tolerance):
    """Whether arrays agree up to the tolerance of their largest finite number, NaN and infinities included.

    Gradients to strengths are sums whose terms cancel, so they get a hundred times as much.
    """
    for found_one, expected_one in zip(found, expected, strict=True):
        assert found_one.shape == expected_one.shape
        assert found_one.dtype == expected_one.dtype
        a, b = found_one.detach().double(), expected_one.detach().double()
        size = float(b[b.isfinite()].abs().max()) if b.isfinite().any() else 1.0
        bound = tolerance * (size if a.shape == expected[0].shape else 100 * max(size, 10.0))
        torch.testing.assert_close(a, b, rtol=0, atol=bound, equal_nan=True)


def both(device, tolerance, call, x, strength, **options):
    """Compare host and device."""
    expected = derivatives(call, x, strength, **options)
    with device():
        found = derivatives(call, x, strength, **options)
    same(found, expected, tolerance)


@pytest.mark.parametrize(("call", "how"), EACH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [1, 2, 31, 33, 150])
def test_values_and_derivatives(device, rng, call, how, dtype, n):
    n = min(n, 70) if how == "pnorm" else n  # it takes long
    x = torch.tensor(rng.normal(size=(3, n))).to(dtype)
    # From no block of two to one block of all.
    strength = torch.tensor([0.2 / n, 3.0 / n, 20.0 / n]).to(dtype)
    strength = strength if call is soft_rank else 1 / strength
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    for descending in (False, True):
        both(device, tolerance, call, x, strength, regularization=how, descending=descending)


@pytest.mark.parametrize(("call", "how"), EACH)
def test_values_are_the_hosts_to_the_last_digits(device, rng, call, how):
    x = rng.normal(size=(4, 200))
    strength = np.array([0.001, 0.02, 0.1, 1.0]) if call is soft_rank else np.array([1.0, 10.0, 50.0, 1e3])
    for dtype, tolerance in ((np.float32, 2e-7), (np.float64, 1e-12 if how == "pnorm" else 1e-13)):
        arguments = {"strength": strength.astype(dtype), "regularization": how}
        expected = call(x.astype(dtype), **arguments)
        with device():
            found = call(x.astype(dtype), **arguments)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("call", [soft_rank, soft_sort])
@pytest.mark.parametrize("capacity", [0, 64])
def test_lists_beyond_shared_memory(device, rng, monkeypatch, call, capacity):
    monkeypatch.setattr(_device, "SHORT", capacity)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        for how in ("l2", "kl"):
            x = torch.tensor(rng.normal(size=(7, 65))).to(dtype)
            both(device, tolerance, call, x, 0.05 if call is soft_rank else 20.0, regularization=how)
            mask = torch.tensor(rng.random((7, 65)) < 0.7)
            both(device, tolerance, call, x, 0.05 if call is soft_rank else 20.0, regularization=how, mask=mask)


@pytest.mark.parametrize(("call", "how"), EACH)
@pytest.mark.parametrize("straight_through", [False, True])
def test_masked_and_ragged_lists(device, rng, call, how, straight_through):
    x = torch.tensor(rng.normal(size=(2, 2, 40)))
    mask = torch.tensor(rng.random((2, 2, 40)) < 0.7)
    offsets = torch.tensor([0, 0, 3, 37, 38, 40], dtype=torch.int32)
    options = {"regularization": how, "straight_through": straight_through, "fill": -7.0, "descending": True}
    for scale in (0.1, 1.0, 30.0):
        strength = torch.full((2, 2), scale, dtype=torch.float64)
        each = torch.full((2, 2, 5), scale, dtype=torch.float64)
        both(device, 1e-12, call, x, strength, mask=mask, **options)
        both(device, 1e-12, call, x, each, offsets=offsets, **options)
        both(device, 1e-12, call, x, each, mask=mask, offsets=offsets, **options)
        both(device, 1e-12, call, x, each[:, :, 0], mask=mask.mT.mT, dim=-1, **options)
    both(device, 1e-12, call, x, torch.ones((2, 40), dtype=torch.float64), dim=1, **options)


@pytest.mark.parametrize(("call", "how"), EACH)
@pytest.mark.parametrize("strength", [0.0, 0.01, 100.0])
def test_ties_infinities_and_nan(device, call, how, strength):
    inf, nan = math.inf, math.nan
    x = torch.tensor(
        [
            [1.0, 2.0, 1.0, -0.0, 0.0, 3.0],
            [inf, 2.0, -inf, 5.0, inf, 2.5],
            [inf, inf, -inf, -inf, inf, inf],
            [1.0, nan, 2.0, inf, 0.0, 0.0],
            [7.0, 7.0, 7.0, 7.0, 7.0, 7.0],
        ],
        dtype=torch.float64,
    )
    mask = torch.tensor([True, False, True, True, True, False]).expand(5, 6)
    for straight_through in (False, True):
        options = {"regularization": how, "straight_through": straight_through}
        for descending in (False, True):
            both(device, 1e-12, call, x, strength, descending=descending, **options)
            both(device, 1e-12, call, x, strength, descending=descending, mask=mask, **options)
            both(device, 1e-12, call, x, strength, descending=descending, mask=mask & False, **options)


@pytest.mark.parametrize("call", [soft_rank, soft_sort])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(device, rng, call, dtype):
    x = torch.tensor(rng.normal(size=(2, 50))).to(dtype).requires_grad_()
    for how in ("l2", "kl"):
        y = call(x, strength=0.5, regularization=how)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        with device():
            found = call(x, strength=0.5, regularization=how)
            (found_gradient,) = torch.autograd.grad(found.sum(), x)
        assert found.dtype == dtype
        torch.testing.assert_close(found, y, rtol=1e-2, atol=0)
        torch.testing.assert_close(found_gradient, gradient, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("call", "how"), EACH)
def test_auto_strength_and_blocks(device, rng, call, how):
    x = rng.normal(size=(3, 60)) * np.array([[1e-3], [1.0], [1e3]])
    x[1, 3], x[2, 5] = np.inf, np.nan
    offsets = np.array([0, 1, 20, 60])
    mask = rng.random((3, 60)) < 0.8
    operation = call.__name__.removeprefix("soft_")
    for given in ({}, {"mask": mask}, {"offsets": offsets}, {"mask": mask, "offsets": offsets}):
        options = {"strength": "auto", "regularization": how, **given}
        expected, counts = call(x, **options), permutahedron_blocks(x, operation=operation, **options)
        with device():
            found, found_counts = call(x, **options), permutahedron_blocks(x, operation=operation, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(found_counts, counts)
    for strength in (0.0, 1e-4, 1e4):
        expected = permutahedron_blocks(x, operation=operation, strength=strength, mask=mask)
        with device():
            found = permutahedron_blocks(x, operation=operation, strength=strength, mask=mask)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("call", "how"), EACH)
def test_empty_batches_and_lists(device, call, how):
    for shape in ((0,), (0, 5), (3, 0), (2, 0, 4)):
        with device():
            assert call(np.zeros(shape), strength=0.5, regularization=how).shape == shape
    with device():
        assert permutahedron_blocks(np.zeros((3, 0)), strength=1.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("call", [soft_rank, soft_sort])
def test_faults_are_marked_and_told_when_asked(device, rng, call):
    x = rng.normal(size=(2, 4))
    wrong = np.array([1.0, -1.0])
    with device():
        y = call(x, strength=wrong)
        assert np.isnan(y[1]).all()
        assert np.isfinite(y[0]).all()
        assert np.isnan(call(x, offsets=np.array([0, 3, 2, 9]), strength=1.0)).any()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=rf"{call.__name__}: strength must be finite and >= 0, got -1.0"):
                call(x, strength=wrong)
            with pytest.raises(ValueError, match=r"offsets must begin with 0 and end with 4, got 0 and 9"):
                call(x, offsets=np.array([0, 3, 2, 9]))
            with pytest.raises(ValueError, match=r"offsets must not decrease, got 3 before 2"):
                call(x, offsets=np.array([0, 3, 2, 4]))
            call(x, strength=0.5)
        finally:
            argrad.set_device_validation(False)
