"""The kernels of NeuralSort's matrix give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, soft_permutation
from device_checks import compare

DTYPES = [torch.float32, torch.float64]


def inputs(rng, shape, columns, dtype=torch.float64):
    """Scores of which some are equal, items, and temperatures."""
    x = torch.tensor(np.round(rng.normal(size=shape), 1), dtype=dtype, requires_grad=True)
    v = torch.tensor(rng.normal(size=(*shape, *columns)), dtype=dtype, requires_grad=True)
    return x, v, torch.tensor(rng.uniform(0.1, 2, shape[:-1]), dtype=dtype, requires_grad=True)


def product(transposed, scaling=None, **options):
    """The product as a function of scores, items and temperatures."""

    def multiply(x, v, temperature):
        P = soft_permutation(x, method="neuralsort", temperature=temperature, **options)
        P = P if scaling is None else P.sinkhorn(**scaling)
        return (P.mT if transposed else P) @ v

    return multiply


@pytest.mark.parametrize("scaling", [None, {"iterations": 3}, {"tolerance": 1e-3, "iterations": 12}], ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "columns"), [((3, 1), ()), ((1, 45), (5,)), ((0, 5), (2,)), ((4, 33), ())])
def test_products_and_their_derivatives(device, rng, dtype, shape, columns, transposed, scaling):
    given = inputs(rng, shape, columns, dtype)
    compare(device, product(transposed, scaling, descending=transposed), *given, single=4e-6)


@pytest.mark.parametrize("scaling", [None, {"iterations": 2}], ids=str)
def test_long_lists_work_in_global_memory(device, rng, scaling, monkeypatch):
    monkeypatch.setattr(_device, "SHORT", 64)
    monkeypatch.setattr(_device, "SHARED", 1000)
    x, v, temperature = inputs(rng, (7, 70), (2,))
    with torch.no_grad():
        temperature[0] = 0.01  # narrow bands
    compare(device, product(True, scaling), x, v, temperature)


@pytest.mark.parametrize("transposed", [False, True])
def test_masks_and_offsets(device, rng, transposed):
    x, v, _ = inputs(rng, (2, 40), (3,))
    mask = torch.tensor(rng.random((2, 40)) < 0.7)
    mask[0, :5] = False
    temperature = torch.tensor(rng.uniform(0.1, 2, (2, 4)), requires_grad=True)
    offsets = torch.tensor([0, 5, 5, 6, 40])
    compare(device, product(transposed, mask=mask, offsets=offsets), x, v, temperature)
    compare(device, product(transposed, {"iterations": 2}, mask=mask), x, v, temperature[:, 0])


def test_infinite_scores_nan_and_extreme_temperatures(device, rng):
    x, v, _ = inputs(rng, (4, 40), ())
    with torch.no_grad():
        x[0, [1, 5, 7]] = torch.inf
        x[0, [2, 6]] = -torch.inf
        x[2] = 1.0
        x[3, 4] = torch.nan
    for temperature in (1e-8, 1.0, 1e8):
        compare(device, product(False), x, v, torch.tensor(temperature, dtype=x.dtype, requires_grad=True))


def test_bad_temperatures_are_told_when_asked(device, rng):
    x, v = rng.normal(size=(3, 10)), rng.normal(size=(3, 10))
    temperature = np.array([1.0, np.inf, 1.0])

    def multiplied(temperature):
        return soft_permutation(x, temperature=temperature) @ v

    good = multiplied(1.0)
    with device():
        y = multiplied(temperature)
        assert np.isnan(y[1]).all()
        np.testing.assert_allclose(y[[0, 2]], good[[0, 2]], rtol=1e-12)
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="soft_permutation: temperature must be finite and > 0, got inf"):
                multiplied(temperature)
            multiplied(1.0)
        finally:
            argrad.set_device_validation(False)
