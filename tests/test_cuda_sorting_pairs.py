"""The kernels of sums over pairs give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, pairwise_sum
from device_checks import compare

DTYPES = [torch.float32, torch.float64]
BOUNDS = {"single": 2e-6, "double": 1e-11}


def inputs(rng, batch, n, m, dtype=torch.float64):
    """Both sides, with equal numbers, weights of both signs and some 0, and temperatures."""
    x, y = (torch.tensor(np.round(rng.normal(size=(*batch, k)), 1), dtype=dtype) for k in (n, m))
    weights = torch.tensor(np.round(rng.normal(size=(*batch, m)), 1), dtype=dtype)
    given = x, y, weights, torch.tensor(rng.uniform(0.1, 2, batch), dtype=dtype)
    return [a.requires_grad_() for a in given]


def sums(**options):
    return lambda x, y, weights, tau: pairwise_sum(x, y, weights=weights, temperature=tau, **options)


@pytest.mark.parametrize("kernel", ["sigmoid", "softplus"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("batch", "n", "m"), [((2,), 1, 1), ((2, 1), 33, 20), ((0,), 3, 4), ((2,), 70, 65), ((1,), 0, 3)]
)
def test_sums_and_their_derivatives(device, rng, kernel, dtype, batch, n, m):
    compare(device, sums(kernel=kernel), *inputs(rng, batch, n, m, dtype), **BOUNDS)


@pytest.mark.parametrize("kernel", ["sigmoid", "softplus"])
def test_panels_islands_and_the_far_field(device, rng, kernel, monkeypatch):
    monkeypatch.setattr(_device, "SHARED", 1000)
    monkeypatch.setattr(_device, "SHORT", 64)
    x, y, weights, _ = inputs(rng, (7,), 100, 90)
    with torch.no_grad():
        x[0] *= 30
        y[0] *= 30
        x[1, :40] += 1e6
        y[1, 10:50] += 1e6
        y[1, 60:] -= 1e3
        x[2] = 1e9 + x[2]
        y[2] = 1e9 + y[2]
        y[3] = 0.25
    tau = torch.tensor(0.2, dtype=x.dtype, requires_grad=True)
    compare(device, sums(kernel=kernel), x, y, weights, tau, **BOUNDS)


@pytest.mark.parametrize("kernel", ["sigmoid", "softplus"])
def test_infinite_items_and_nan(device, rng, kernel):
    for n, m in ((20, 30), (70, 65)):
        x, y, weights, tau = inputs(rng, (4,), n, m)
        with torch.no_grad():
            x[0, [1, 5]], x[0, [2, 6, 7]] = torch.inf, -torch.inf
            y[0, [3, 5]], y[0, [0, 9]] = torch.inf, -torch.inf
            weights[0] = weights[0].abs()
            x[1, 4], y[2, 3], weights[3, 2] = torch.nan, torch.nan, torch.inf
        wanted, again = [], []
        for found, place in ((wanted, None), (again, device)):
            with torch.no_grad():
                if place is None:
                    found.append(sums(kernel=kernel)(x, y, weights, tau))
                else:
                    with place():
                        found.append(sums(kernel=kernel)(x, y, weights, tau))
        torch.testing.assert_close(again[0], wanted[0], rtol=1e-11, atol=1e-11, equal_nan=True)
        if kernel == "sigmoid":
            compare(device, sums(kernel=kernel), x, y, weights, tau, **BOUNDS)


def test_masks_and_offsets(device, rng):
    x, y, weights, _ = inputs(rng, (2,), 90, 80)
    mask, y_mask = torch.tensor(rng.random((2, 90)) < 0.9), torch.tensor(rng.random((2, 80)) < 0.9)
    tau = torch.tensor(rng.uniform(0.1, 2, (2, 3)), requires_grad=True)
    options = {"mask": mask, "y_mask": y_mask}
    offsets = {"offsets": torch.tensor([0, 4, 4, 90]), "y_offsets": torch.tensor([0, 3, 8, 80])}
    compare(device, sums(**options, **offsets), x, y, weights, tau, **BOUNDS)
    compare(device, sums(**options), x, y, weights, tau[:, 0], **BOUNDS)


def test_bad_temperatures_and_offsets_are_told_when_asked(device, rng):
    x, tau = rng.normal(size=(2, 10)), np.array([1.0, 0.0])
    wrong = {"offsets": np.array([0, 10]), "y_offsets": np.array([0, 9])}
    with device():
        assert np.isnan(pairwise_sum(x, x, temperature=tau)[1]).all()
        assert np.isnan(pairwise_sum(x, x, **wrong)).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="pairwise_sum: temperature must be finite and > 0, got 0"):
                pairwise_sum(x, x, temperature=tau)
            with pytest.raises(ValueError, match="y_offsets must begin with 0 and end with 10, got 0 and 9"):
                pairwise_sum(x, x, **wrong)
            pairwise_sum(x, x)
        finally:
            argrad.set_device_validation(False)
