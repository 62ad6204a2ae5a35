"""The kernels of relaxed sorting networks give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, _device_network, _network, soft_permutation
from device_checks import compare

DTYPES = [torch.float32, torch.float64]


def inputs(rng, shape, columns, dtype=torch.float64):
    """Scores, items, and the steepness of each list."""
    x = torch.tensor(rng.normal(size=shape), dtype=dtype, requires_grad=True)
    v = torch.tensor(rng.normal(size=(*shape, *columns)), dtype=dtype, requires_grad=True)
    return x, v, torch.tensor(rng.uniform(1, 5, shape[:-1]), dtype=dtype, requires_grad=True)


def product(transposed=False, **options):
    """The product as a function of scores, items and steepness."""

    def multiply(x, v, steepness):
        P = soft_permutation(x, method="network", steepness=steepness, **options)
        return (P.mT if transposed else P) @ v

    return multiply


def test_distributions_have_their_numbers():
    assert _device_network.DISTRIBUTIONS == _network.DISTRIBUTIONS


@pytest.mark.parametrize("network", _network.NETWORKS)
@pytest.mark.parametrize("distribution", _network.DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_distributions(device, rng, dtype, distribution, network):
    options = {"network": network, "distribution": distribution}
    compare(device, product(**options), *inputs(rng, (2, 9), (), dtype), single=1e-5, double=1e-11)


@pytest.mark.parametrize("network", _network.NETWORKS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "columns"), [((3, 1), ()), ((2, 33), (11,)), ((0, 5), (2,)), ((1, 2, 16), (1,)), ((1, 65), ())]
)
def test_products_and_their_derivatives(device, rng, dtype, shape, columns, transposed, network):
    options = {"network": network, "descending": transposed}
    compare(device, product(transposed, **options), *inputs(rng, shape, columns, dtype), single=1e-5)


@pytest.mark.parametrize("network", _network.NETWORKS)
@pytest.mark.parametrize("transposed", [False, True])
def test_long_lists_go_back_in_segments(device, rng, network, transposed, monkeypatch):
    monkeypatch.setattr(_device_network, "RECORD", 1000)
    monkeypatch.setattr(_device, "SHARED", 1000)
    compare(device, product(transposed, network=network), *inputs(rng, (7, 37), (3,)))


@pytest.mark.parametrize("transposed", [False, True])
def test_masks_and_offsets(device, rng, transposed):
    x, v, _ = inputs(rng, (2, 40), (3,))
    mask = torch.tensor(rng.random((2, 40)) < 0.7)
    mask[0, :5] = False
    steepness = torch.tensor(rng.uniform(1, 5, (2, 4)), requires_grad=True)
    offsets = torch.tensor([0, 5, 5, 6, 40])
    compare(device, product(transposed, mask=mask, offsets=offsets), x, v, steepness)
    compare(device, product(transposed, mask=mask, network="bitonic"), x, v, steepness[:, 0])


@pytest.mark.parametrize("distribution", _network.DISTRIBUTIONS)
def test_infinite_scores_and_ties(device, rng, distribution):
    x, v, steepness = inputs(rng, (3, 12), ())
    with torch.no_grad():
        x[0, [1, 5, 7]] = torch.inf
        x[0, [2, 6]] = -torch.inf
        x[1, 3:6] = 1.0
        x[2] *= 1e200
    compare(device, product(distribution=distribution), x, v, steepness, double=1e-11)


def test_nan_spoils_its_list_alone(device, rng):
    x, v, steepness = inputs(rng, (3, 12), (2,))
    with torch.no_grad():
        x[1, 4] = torch.nan
    compare(device, product(), x, v, steepness)
    with device():
        y = product()(x, v, steepness)
        for found in (y, *torch.autograd.grad(y.sum(), [x, v, steepness])):
            assert found[1].isnan().all()


def test_bad_steepness_is_told_when_asked(device, rng):
    x, v = rng.normal(size=(3, 10)), rng.normal(size=(3, 10))
    steepness = np.array([1.0, np.inf, 1.0])

    def multiplied(steepness):
        return soft_permutation(x, method="network", steepness=steepness) @ v

    good = multiplied(1.0)
    with device():
        y = multiplied(steepness)
        assert np.isnan(y[1]).all()
        np.testing.assert_allclose(y[[0, 2]], good[[0, 2]], rtol=1e-12)
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="soft_permutation: steepness must be a finite number > 0"):
                multiplied(steepness)
            multiplied(1.0)
        finally:
            argrad.set_device_validation(False)
