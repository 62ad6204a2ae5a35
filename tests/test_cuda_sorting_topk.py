"""Soft top-k masks on a device give what the host gives, run on the host by the emulator."""

import math

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import soft_topk

KINDS = ["logistic", "laplace", "l2", "pnorm", "gaussian", "threshold"]


def derivatives(x, k, temperature, **options):
    """Value, first and second derivatives, to scores, k, temperature and the upstream gradient."""
    inputs = [y.clone().requires_grad_() for y in (x, k, temperature)]
    generator = torch.Generator().manual_seed(1)
    y = soft_topk(inputs[0], inputs[1], temperature=inputs[2], **options)
    g = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype).requires_grad_()
    first = torch.autograd.grad(y, inputs, g, create_graph=True)
    tangents = [torch.randn(d.shape, generator=generator, dtype=torch.float64).to(d.dtype) for d in first]
    return [y, *first, *torch.autograd.grad(first, (*inputs, g), tangents)]


def both(device, tolerance, x, k, temperature, **options):
    """Compare host and device: equal up to the tolerance of the list's largest finite number."""
    expected = derivatives(x, k, temperature, **options)
    with device():
        found = derivatives(x, k, temperature, **options)
    for at, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert torch.equal(a.isfinite(), b.isfinite()), at
        assert torch.equal(a[~a.isfinite()].nan_to_num(5.0), b[~b.isfinite()].nan_to_num(5.0)), at
        size = b.double().nan_to_num(0.0, 0.0, 0.0).abs()
        size = size.amax(-1, keepdim=True) if b.shape == x.shape and b.shape[-1] else size
        error = (a.double() - b.double()).nan_to_num(0.0, 0.0, 0.0).abs()
        assert (error <= tolerance * (1 + size) * (1 if at == 0 else 100)).all(), (at, error.max(), size.max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [1, 2, 33, 300])
def test_values_and_derivatives(device, rng, kind, dtype, n):
    tolerance = 1e-13 if dtype == torch.float64 else 2e-6
    for largest in (True, False):
        x = torch.tensor(rng.normal(size=(2, 3, n))).to(dtype)
        whole = kind == "threshold"
        k = torch.tensor([[0.0, 1.0, n / 4], [0.6 * n, n - 0.5, n]], dtype=dtype)
        k = k.floor() if whole else k
        temperature = torch.tensor([[0.3, 1.0, 0.5], [0.2, 2.0, 1.0]], dtype=dtype)
        for log in (False, True):  # small values have logarithms with fewer digits
            both(device, tolerance * (10 if log else 1), x, k, temperature, kind=kind, largest=largest, log=log)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1e-12, 1e-5, 1e3])
def test_every_temperature(device, rng, kind, temperature):
    x = torch.tensor(rng.normal(size=(3, 40)))
    for dtype, tolerance in ((torch.float32, 2e-6), (torch.float64, 1e-13)):
        k = torch.tensor([3.0, 5.0 if kind == "threshold" else 5.25, 39.0], dtype=dtype)
        tau = torch.full((3,), temperature, dtype=dtype)
        found = []
        for place in (None, device):
            with place() if place else torch.enable_grad():
                y = soft_topk(x.to(dtype), k, temperature=tau, kind=kind)
                logs = soft_topk(x.to(dtype), k, temperature=tau, kind=kind, log=True)
                found.append((y, logs))
        torch.testing.assert_close(found[1][0], found[0][0], rtol=0, atol=tolerance * 50)
        torch.testing.assert_close(found[1][1].exp(), found[0][1].exp(), rtol=0, atol=tolerance * 50)
        both(device, 1e-5 if dtype == torch.float32 else 1e-9, x.to(dtype), k, tau, kind=kind)


@pytest.mark.parametrize("kind", ["logistic", "l2", "threshold"])
def test_masked_and_ragged_lists(device, rng, kind):
    x = torch.tensor(rng.normal(size=(2, 2, 40)))
    mask = torch.tensor(rng.random((2, 2, 40)) < 0.7)
    offsets = torch.tensor([0, 0, 3, 37, 38, 40], dtype=torch.int32)
    k = torch.full((2, 2), 2.0, dtype=torch.float64)
    options = {"kind": kind, "largest": False}
    both(device, 1e-13, x, k, k + 0.5, mask=mask, **options)
    k = torch.full((2, 2, 5), 2.0, dtype=torch.float64)
    both(device, 1e-13, x, k, k + 0.5, offsets=offsets, **options)
    both(device, 1e-13, x, k, k + 0.5, offsets=offsets, mask=mask, **options)
    k = torch.full((2, 40), 1.0, dtype=torch.float64)
    both(device, 1e-13, x, k, k, dim=1, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("log", [False, True])
def test_ties_infinities_and_nan(device, kind, log):
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
    for k in (0.0, 1.0, 2.5, 3.0, 5.0, 7.0):
        if kind == "threshold" and k == 2.5:
            continue
        counts = torch.full((5,), k, dtype=torch.float64)
        for hard in (False, True):
            options = {"kind": kind, "log": log, "straight_through": hard}
            both(device, 1e-12, x, counts, torch.ones_like(counts), **options)
            both(device, 1e-12, x, counts, torch.ones_like(counts), mask=mask, largest=False, **options)


def test_hard_choices_take_equal_items_by_position(device, rng):
    x = np.round(rng.normal(size=(4, 100)), 1)
    for k in (1, 30, 99):
        expected = soft_topk(x, k, straight_through=True)
        with device():
            np.testing.assert_array_equal(soft_topk(x, k, straight_through=True), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(device, rng, dtype):
    x = torch.tensor(rng.normal(size=(2, 50))).to(dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(soft_topk(x, 5).square().sum(), x)
    with device():
        y = soft_topk(x, 5)
        (found,) = torch.autograd.grad(y.square().sum(), x)
    assert y.dtype == found.dtype == dtype
    torch.testing.assert_close(found, gradient, rtol=1e-2, atol=1e-3)


def test_empty_batches_and_lists(device):
    for shape in ((0,), (0, 5), (3, 0), (2, 0, 4)):
        with device():
            assert soft_topk(np.zeros(shape), 1.0).shape == shape


def test_faults_are_marked_and_told_when_asked(device, rng):
    x = rng.normal(size=(2, 4))
    with device():
        for k, tau in ((np.array([1.0, -1.0]), 1.0), (1.0, np.array([1.0, 0.0]))):
            y = soft_topk(x, k, temperature=tau)
            assert np.isnan(y[1]).all()
            assert np.isfinite(y[0]).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=r"soft_topk: k must be finite and >= 0, got -1"):
                soft_topk(x, np.array([1.0, -1.0]))
            with pytest.raises(ValueError, match=r"k must be a whole number with kind='threshold', got 1\.5"):
                soft_topk(x, 1.5, kind="threshold")
            with pytest.raises(ValueError, match=r"temperature must be finite and > 0, got 0"):
                soft_topk(x, 1.0, temperature=np.array([1.0, 0.0]))
            soft_topk(x, 1.0)
        finally:
            argrad.set_device_validation(False)
