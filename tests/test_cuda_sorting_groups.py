"""The kernels of two groups in a sorting network give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, _device_network, group_order
from device_checks import close, compare

DTYPES = [torch.float32, torch.float64]


def inputs(rng, shape, dtype=torch.float64):
    """Scores with equal ones among them, groups, and the steepness of each list."""
    x = torch.tensor(np.round(rng.normal(size=shape), 1), dtype=dtype, requires_grad=True)
    return x, torch.tensor(rng.random(shape) < 0.4), torch.tensor(rng.uniform(1, 20, shape[:-1]), dtype=dtype)


def probability(positive, **options):
    return lambda x, steepness: group_order(x, positive, steepness=steepness, **options).probability


@pytest.mark.parametrize("reduction", ["none", "mean", "batch_mean"])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 2, 9), {"negatives": 3}),
        ((2, 1), {}),
        ((0, 4), {}),
        ((4, 33), {"network": "bitonic", "distribution": "logistic"}),
        ((17,), {}),
    ],
)
def test_probabilities_and_their_derivatives(device, rng, shape, options, dtype, log, reduction):
    x, positive, steepness = inputs(rng, shape, dtype)
    if x.ndim == 3:
        positive[0] = False  # lists that take no part, and a run of them
    call = probability(positive, log=log, reduction=reduction, **options)
    compare(device, call, x, steepness.requires_grad_(), single=2e-5, double=1e-11)


def test_slopes_of_means_are_kept(device, rng):
    for reduction in ("mean", "batch_mean"):
        x, positive, _ = inputs(rng, (3, 2, 9), torch.float32)
        positive[1, 0] = True
        found = []
        for place in (None, device):
            call = probability(positive, reduction=reduction, log=True)
            if place is None:
                y = call(x, 3.0)
                found.append((y, *torch.autograd.grad(y.square().sum(), x)))
                continue
            with place():
                y = call(x, 3.0)
                found.append((y, *torch.autograd.grad(y.square().sum(), x)))
        for wanted, here in zip(*found, strict=True):
            close(here, wanted, single=1e-5)


def test_counts_masks_and_nan(device, rng):
    x, positive, _ = inputs(rng, (5, 12))
    mask = torch.tensor(rng.random((5, 12)) < 0.7)
    with torch.no_grad():
        x[1, 3], x[2, 4], mask[1, 3], mask[2, 4], positive[1, 3] = torch.nan, torch.nan, True, False, True
        x[3, [0, 1]], x[3, 2] = torch.inf, -torch.inf
    for options in ({}, {"negatives": 2}, {"reduction": "mean"}, {"dim": 0}):
        wanted = group_order(x.detach(), positive, mask=mask, **options)
        with device():
            found = group_order(x.detach(), positive, mask=mask, **options)
        close(found.probability, wanted.probability)
        assert torch.equal(found.count, wanted.count)
    steepness = torch.tensor(2.0, dtype=x.dtype, requires_grad=True)
    compare(device, probability(positive, mask=mask), x.requires_grad_(), steepness)


def test_long_lists_go_back_in_segments(device, rng, monkeypatch):
    monkeypatch.setattr(_device_network, "RECORD", 1000)
    monkeypatch.setattr(_device, "SHARED", 1000)
    x, positive, steepness = inputs(rng, (7, 37))
    compare(device, probability(positive), x, steepness.requires_grad_())


def test_numpy_and_bad_steepness(device, rng):
    x, positive = rng.normal(size=(2, 6)), np.array([[True, False] * 3] * 2)
    wanted, steepness = group_order(x, positive, reduction="mean").probability, np.array([1.0, -1.0])
    with device():
        np.testing.assert_allclose(group_order(x, positive, reduction="mean").probability, wanted, rtol=1e-12)
        assert np.isnan(group_order(x, positive, steepness=steepness).probability[1]).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="group_order: steepness must be a finite number > 0"):
                group_order(x, positive, steepness=steepness)
            group_order(x, positive)
        finally:
            argrad.set_device_validation(False)
