"""The kernels of SoftSort's matrix give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, soft_permutation

DTYPES = [torch.float32, torch.float64]


def close(found, wanted):
    """Equal up to rounding, which in float32 is that of the result alone."""
    assert found.dtype == wanted.dtype
    bound = 1e-12 if wanted.dtype == torch.float64 else 1e-6
    scale = wanted.abs().nan_to_num().max().item() if wanted.numel() else 0.0
    torch.testing.assert_close(found, wanted, rtol=bound, atol=bound * scale, equal_nan=True)


def inputs(rng, shape, columns, dtype):
    """Scores of which some are equal, and items."""
    x = torch.tensor(np.round(rng.normal(size=shape), 1), dtype=dtype, requires_grad=True)
    return x, torch.tensor(rng.normal(size=(*shape, *columns)), dtype=dtype, requires_grad=True)


def derivatives(x, v, temperature, transposed, options):
    """The product, its gradients, and the gradients of a sum of these."""
    P = soft_permutation(x, method="softsort", temperature=temperature, **options)
    y = (P.mT if transposed else P) @ v
    wave = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape).requires_grad_()
    given = [x, v, temperature]
    first = torch.autograd.grad(y, given, wave, create_graph=True)
    total = sum((g * torch.sin(torch.arange(g.numel(), dtype=g.dtype)).reshape(g.shape)).sum() for g in first)
    return y, *first, *torch.autograd.grad(total, [*given, wave])


def compare(device, x, v, temperature, transposed, **options):
    wanted = derivatives(x, v, temperature, transposed, options)
    with device():
        found = derivatives(x, v, temperature, transposed, options)
    for a, b in zip(found, wanted, strict=True):
        close(a, b)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "columns"),
    [
        ((3, 1), ()),
        ((2, 33), ()),
        ((2, 2, 31), (3,)),
        ((1, 300), ()),
        ((1, 130), (6,)),
        ((0, 5), (2,)),
        ((4, 40), (1,)),
    ],
)
def test_products_and_their_derivatives(device, rng, dtype, shape, columns, transposed):
    x, v = inputs(rng, shape, columns, dtype)
    temperature = torch.tensor(rng.uniform(0.1, 2, shape[:-1]), dtype=dtype, requires_grad=True)
    compare(device, x, v, temperature, transposed, descending=transposed)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_long_lists_work_in_global_memory(device, rng, dtype, transposed, monkeypatch):
    monkeypatch.setattr(_device, "SHORT", 64)
    monkeypatch.setattr(_device, "SHARED", 1000)
    x, v = inputs(rng, (8, 90), (2,), dtype)
    temperature = torch.tensor(0.3, dtype=dtype, requires_grad=True)
    compare(device, x, v, temperature, transposed)


@pytest.mark.parametrize("transposed", [False, True])
def test_masks_and_offsets(device, rng, transposed):
    x, v = inputs(rng, (2, 40), (3,), torch.float64)
    mask = torch.tensor(rng.random((2, 40)) < 0.7)
    temperature = torch.tensor(rng.uniform(0.1, 2, (2, 4)), requires_grad=True)
    compare(device, x, v, temperature, transposed, mask=mask, offsets=torch.tensor([0, 5, 5, 6, 40]))
    compare(device, x, v, temperature[:, 0], transposed, mask=mask)


def test_infinite_scores_and_extreme_temperatures(device, rng):
    x, v = inputs(rng, (3, 40), (), torch.float64)
    with torch.no_grad():
        x[0, [1, 5, 7]] = torch.inf
        x[0, [2, 6]] = -torch.inf
    for temperature in (1e-8, 1.0, 1e8):
        compare(device, x, v, torch.tensor(temperature, dtype=x.dtype, requires_grad=True), False)


def test_nan_spoils_its_list_alone(device, rng):
    x, v = inputs(rng, (3, 20), (2,), torch.float32)
    with torch.no_grad():
        x[1, 3] = torch.nan
    mask = torch.ones(3, 20, dtype=torch.bool)
    mask[2, 4] = False
    for transposed in (False, True):
        compare(device, x, v, torch.tensor(0.5, requires_grad=True), transposed, mask=mask)


def test_halves_dims_and_vmap(device, rng):
    x = torch.tensor(rng.normal(size=(5, 12, 3)), dtype=torch.bfloat16)
    v = torch.tensor(rng.normal(size=(5, 12, 3, 2)), dtype=torch.bfloat16)

    def softly_sorted(x, v):
        return soft_permutation(x, method="softsort", dim=1) @ v

    wanted = softly_sorted(x, v)
    many = torch.vmap(softly_sorted)(x[None], v[None])
    with device():
        assert torch.equal(softly_sorted(x, v), wanted)
        assert torch.equal(torch.vmap(softly_sorted)(x[None], v[None]), many)


@pytest.mark.parametrize("descending", [False, True])
def test_hard_permutations_and_vectors_over_the_ranks(device, rng, descending):
    x = np.round(rng.normal(size=(3, 20)), 1)
    x[1, 3] = np.nan
    mask, offsets = rng.random((3, 20)) < 0.8, np.array([0, 3, 3, 20])

    def found(**options):
        P = soft_permutation(x, method="softsort", descending=descending, straight_through=True, **options)
        return P @ x, P.mT @ x, P.top_mass(3), P.expected_rank()

    for options in ({}, {"mask": mask}, {"mask": mask, "offsets": offsets}):
        wanted = found(**options)
        with device():
            for a, b in zip(found(**options), wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)


def test_tied_scores_are_treated_alike(device):
    x = np.array([[1.0, 0.3, 1.0, -2.0, 1.0]])
    with device():
        P = soft_permutation(x, method="softsort", temperature=0.3).to_dense()[0]
    np.testing.assert_array_equal(P[:, 0], P[:, 2])
    np.testing.assert_array_equal(P[2], P[4])


def test_bad_temperatures_and_offsets_are_told_when_asked(device, rng):
    x, v = rng.normal(size=(3, 10)), rng.normal(size=(3, 10))
    temperature = np.array([1.0, -1.0, 1.0])
    bad = {"offsets": np.array([0, 4, 9])}

    def product(temperature, **options):
        return soft_permutation(x, method="softsort", temperature=temperature, **options) @ v

    good = product(np.array([1.0, 1.0, 1.0]))
    with device():
        y = product(temperature)
        assert np.isnan(y[1]).all()
        np.testing.assert_allclose(y[[0, 2]], good[[0, 2]], rtol=1e-12)
        assert np.isnan(product(1.0, **bad)[:, 4:9]).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="soft_permutation: temperature must be finite and > 0, got -1"):
                product(temperature)
            with pytest.raises(ValueError, match="offsets must begin with 0 and end with 10, got 0 and 9"):
                product(1.0, **bad)
            product(1.0)
        finally:
            argrad.set_device_validation(False)
