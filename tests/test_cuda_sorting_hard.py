"""LapSum's ranks and sorted scores, and hard ranks, give on a device what they give on the host."""

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, blackbox_rank, soft_rank, soft_sort
from device_checks import compare

INF, NAN = np.inf, np.nan
DTYPES = [torch.float32, torch.float64]


def scores(rng, *shape, dtype=torch.float64):
    """Scores of which some are equal."""
    return torch.tensor(np.round(rng.normal(size=shape), 1), dtype=dtype, requires_grad=True)


def outcome(device, function):
    """What a function returns on the host, and on a device."""
    wanted = function()
    with device():
        return wanted, function()


@pytest.fixture(params=[soft_rank, soft_sort])
def lapsum(request):
    """One of the two functions, with the sums of Laplace distributions."""
    return lambda x, strength=0.5, **options: request.param(x, strength=strength, regularization="laplace", **options)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1,), (3, 31), (2, 2, 33), (1, 290), (0, 4), (3, 0)])
def test_lapsum_and_its_derivatives(device, rng, lapsum, dtype, shape):
    x = scores(rng, *shape, dtype=dtype)
    strength = torch.tensor(rng.uniform(0.1, 2, shape[:-1]), dtype=dtype, requires_grad=True)
    compare(device, lambda x, strength: lapsum(x, strength, descending=True), x, strength)


@pytest.mark.parametrize("straight_through", [False, True])
def test_lapsum_of_masked_and_ragged_lists(device, rng, lapsum, straight_through):
    x, mask = scores(rng, 2, 40, 2), torch.tensor(rng.random((2, 40, 2)) < 0.7)
    mask[0, :, 1] = False
    options = {"dim": 1, "straight_through": straight_through, "fill": -3.0, "offsets": torch.tensor([0, 5, 5, 6, 40])}
    strength = torch.tensor(rng.uniform(0.1, 2, (2, 2, 4)), requires_grad=True)
    compare(device, lambda x, strength: lapsum(x, strength, mask=mask, **options), x, strength)
    compare(device, lambda x, strength: lapsum(x, strength, **options), x, strength)
    array, part = x.detach().numpy(), mask.numpy()
    wanted, found = outcome(device, lambda: lapsum(array, mask=part, dim=1, straight_through=straight_through))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("straight_through", [False, True])
def test_lapsum_of_special_scores(device, lapsum, straight_through):
    x = np.array([[1.0, INF, -INF, 2.0, INF, 1.0], [1.0, NAN, 0.0, 0.0, 3.0, 2.0], [4.0] * 6])
    for strength in (0.0, 1e-8, 1.0, 1e8, "auto", np.array([0.0, 1.0, 2.0])):
        for kind in (np.asarray, torch.tensor):
            given = strength if not isinstance(strength, np.ndarray) else kind(strength)
            wanted, found = outcome(device, lambda g=given, k=kind: lapsum(k(x), g, straight_through=straight_through))
            np.testing.assert_allclose(found, wanted, rtol=1e-12, equal_nan=True)


def test_lapsum_of_halves_and_of_lists_in_global_memory(device, rng, lapsum, monkeypatch):
    x = torch.tensor(rng.normal(size=(2, 3, 50)))
    for half in (torch.float16, torch.bfloat16):
        wanted, found = outcome(device, lambda half=half: lapsum(x.to(half)))
        assert found.dtype == half
        assert torch.equal(found, wanted)
    monkeypatch.setattr(_device, "SHORT", 32)
    monkeypatch.setattr(_device, "SHARED", 1000)
    compare(device, lapsum, scores(rng, 7, 65))


@pytest.mark.parametrize("straight_through", [False, True])
def test_a_bad_strength_spoils_its_list_alone(device, rng, lapsum, straight_through):
    x = rng.normal(size=(3, 9))
    for kind in (np.asarray, torch.tensor):
        strength, given = kind(np.array([1.0, -1.0, 1.0])), kind(x)
        good = lapsum(given, 1.0, straight_through=straight_through)
        with device():
            y = np.asarray(lapsum(given, strength, straight_through=straight_through))
            argrad.set_device_validation(True)
            try:
                with pytest.raises(ValueError, match="strength must be finite and >= 0, got -1"):
                    lapsum(given, strength, straight_through=straight_through)
            finally:
                argrad.set_device_validation(False)
        assert np.isnan(y[1]).all()
        np.testing.assert_allclose(y[[0, 2]], np.asarray(good)[[0, 2]], rtol=1e-12)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("descending", [False, True])
def test_hard_ranks_are_equal(device, rng, dtype, descending, monkeypatch):
    monkeypatch.setattr(_device, "SHORT", 64)
    for shape in [(1,), (2, 2, 33), (3, 70), (0, 4), (3, 0)]:
        x = torch.tensor(np.round(rng.normal(size=shape), 1)).to(dtype)
        mask = torch.tensor(rng.random(shape) < 0.7)
        for options in ({}, {"mask": mask, "fill": -1.0}, {"dim": 0}):
            wanted, found = outcome(device, lambda x=x, o=options: blackbox_rank(x, descending=descending, **o))
            assert found.dtype == dtype
            torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_hard_ranks_of_ragged_lists_and_their_gradients(device, rng, dtype):
    x = scores(rng, 2, 40, dtype=dtype)
    mask = torch.tensor(rng.random((2, 40)) < 0.7)
    upstream = torch.tensor(rng.normal(size=(2, 40)), dtype=dtype)

    def both(**options):
        y = blackbox_rank(x, interpolation=0.5, fill=0.0, **options)
        first = torch.autograd.grad(y, x, upstream.requires_grad_(), create_graph=True)[0]
        return y, first, torch.autograd.grad(first.square().sum(), upstream)[0]

    for options in ({}, {"mask": mask}, {"offsets": torch.tensor([0, 0, 7, 8, 40]), "mask": mask}):
        for found, wanted in zip(*outcome(device, lambda o=options: both(**o)), strict=True):
            assert torch.equal(found, wanted)


def test_hard_ranks_of_special_scores(device):
    x = np.array([[1.0, INF, -INF, 1.0, INF, -0.0], [1.0, NAN, 0.0, 0.0, 3.0, 2.0], [0.0, -0.0, 0.0, -0.0, 0.0, 0.0]])
    wanted, found = outcome(device, lambda: blackbox_rank(x))
    np.testing.assert_array_equal(found, wanted)
    mask = ~np.isnan(x)
    wanted, found = outcome(device, lambda: blackbox_rank(x, mask=mask, fill=INF))
    np.testing.assert_array_equal(found, wanted)


def test_bad_offsets_are_told_when_asked(device, rng):
    x, offsets = rng.normal(size=(2, 10)), np.array([0, 4, 9])
    with device():
        y = blackbox_rank(x, offsets=offsets)
        assert np.isnan(y[:, 4:]).all()
        np.testing.assert_array_equal(y[:, :4], blackbox_rank(x[:, :4]))
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="offsets must begin with 0 and end with 10, got 0 and 9"):
                blackbox_rank(x, offsets=offsets)
            blackbox_rank(x, offsets=np.array([0, 4, 10]))
        finally:
            argrad.set_device_validation(False)
