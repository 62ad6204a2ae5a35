"""The kernels of SoftSort and LapSum give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, _laplace, _lists, soft_permutation
from device_checks import compare, soft_product

DTYPES = [torch.float32, torch.float64]


@pytest.fixture(params=["softsort", "laplace"])
def method(request):
    """The matrices whose products are scans."""
    return request.param


def inputs(rng, shape, columns, dtype=torch.float64):
    """Scores of which some are equal, and items."""
    x = torch.tensor(np.round(rng.normal(size=shape), 1), dtype=dtype, requires_grad=True)
    return x, torch.tensor(rng.normal(size=(*shape, *columns)), dtype=dtype, requires_grad=True)


def positive(rng, shape=(), dtype=torch.float64):
    return torch.tensor(rng.uniform(0.1, 2, shape), dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "columns"), [((3, 1), ()), ((2, 2, 31), (3,)), ((1, 290), ()), ((0, 5), (2,)), ((4, 33), (1,))]
)
def test_products_and_their_derivatives(device, rng, method, dtype, shape, columns, transposed):
    options = {"method": method, "descending": transposed}
    x, v = inputs(rng, shape, columns, dtype)
    compare(device, soft_product(transposed, **options), x, v, positive(rng, shape[:-1], dtype))


@pytest.mark.parametrize("transposed", [False, True])
def test_long_lists_work_in_global_memory(device, rng, method, transposed, monkeypatch):
    monkeypatch.setattr(_device, "SHORT", 64)
    monkeypatch.setattr(_device, "SHARED", 1000)
    for dtype, n, m in ((torch.float64, 140, 6), (torch.float32, 65, 1)):
        compare(
            device, soft_product(transposed, method=method), *inputs(rng, (7, n), (m,), dtype), positive(rng, (), dtype)
        )


@pytest.mark.parametrize("transposed", [False, True])
def test_masks_and_offsets(device, rng, method, transposed):
    x, v = inputs(rng, (2, 40), (3,))
    mask = torch.tensor(rng.random((2, 40)) < 0.7)
    mask[0, :5] = False
    temperature, offsets = positive(rng, (2, 4)), torch.tensor([0, 5, 5, 6, 40])
    compare(device, soft_product(transposed, method=method, mask=mask, offsets=offsets), x, v, temperature)
    compare(device, soft_product(transposed, method=method, mask=mask), x, v, temperature[:, 0])


@pytest.mark.parametrize("sorts", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ranks_and_sorted_values(device, rng, dtype, sorts, monkeypatch):
    offsets, mask = torch.tensor([0, 1, 12, 70]), torch.tensor(rng.random((2, 70)) < 0.9)

    def values(x, strength, **options):
        lists = _lists.enter("soft_sort", x, device=True, **options)
        strength = _lists.per_list(lists, "strength", strength)
        return (_laplace.soft_sort if sorts else _laplace.soft_rank)(lists, strength, not sorts)

    (x, _), strength = inputs(rng, (2, 70), (), dtype), positive(rng, (2,), dtype)
    compare(device, values, x, strength)
    compare(device, lambda x, s: values(x, s, mask=mask, offsets=offsets), x, positive(rng, (2, 3), dtype))
    with torch.no_grad():
        strength[0] = 0.0
        x[1, 3] = torch.nan
    monkeypatch.setattr(_device, "SHARED", 1000)
    with device():
        found = values(x, strength)
    torch.testing.assert_close(found, values(x, strength), equal_nan=True)


def test_infinite_scores_and_extreme_temperatures(device, rng, method):
    x, v = inputs(rng, (3, 40), ())
    with torch.no_grad():
        x[0, [1, 5, 7]] = torch.inf
        x[0, [2, 6]] = -torch.inf
        x[2] = 1.0
    for temperature in (1e-8, 1.0, 1e8):
        compare(
            device,
            soft_product(False, method=method),
            x,
            v,
            torch.tensor(temperature, dtype=x.dtype, requires_grad=True),
        )


def test_nan_spoils_its_list_alone(device, rng, method):
    x, v = inputs(rng, (3, 20), (2,), torch.float32)
    with torch.no_grad():
        x[1, 3] = torch.nan
    mask = torch.ones(3, 20, dtype=torch.bool)
    mask[2, 4] = False
    for transposed in (False, True):
        compare(device, soft_product(transposed, method=method, mask=mask), x, v, positive(rng, (), torch.float32))


def test_halves_dims_and_vmap(device, rng, method):
    x = torch.tensor(rng.normal(size=(5, 12, 3)), dtype=torch.bfloat16)
    v = torch.tensor(rng.normal(size=(5, 12, 3, 2)), dtype=torch.bfloat16)

    def softly_sorted(x, v):
        return soft_permutation(x, method=method, dim=1) @ v

    wanted = softly_sorted(x, v)
    many = torch.vmap(softly_sorted)(x[None], v[None])
    with device():
        assert torch.equal(softly_sorted(x, v), wanted)
        assert torch.equal(torch.vmap(softly_sorted)(x[None], v[None]), many)


@pytest.mark.parametrize("descending", [False, True])
def test_hard_permutations_and_vectors_over_the_ranks(device, rng, method, descending):
    x = np.round(rng.normal(size=(3, 20)), 1)
    x[1, 3] = np.nan
    mask, offsets = rng.random((3, 20)) < 0.8, np.array([0, 3, 3, 20])

    def found(**options):
        P = soft_permutation(x, method=method, descending=descending, straight_through=True, **options)
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


def test_bad_temperatures_and_offsets_are_told_when_asked(device, rng, method):
    x, v = rng.normal(size=(3, 10)), rng.normal(size=(3, 10))
    temperature = np.array([1.0, -1.0, 1.0])
    bad = {"offsets": np.array([0, 4, 9])}

    def multiplied(temperature, **options):
        return soft_permutation(x, method=method, temperature=temperature, **options) @ v

    good = multiplied(np.array([1.0, 1.0, 1.0]))
    with device():
        y = multiplied(temperature)
        assert np.isnan(y[1]).all()
        np.testing.assert_allclose(y[[0, 2]], good[[0, 2]], rtol=1e-12)
        assert np.isnan(multiplied(1.0, **bad)[:, 4:9]).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="soft_permutation: temperature must be finite and > 0, got -1"):
                multiplied(temperature)
            with pytest.raises(ValueError, match="offsets must begin with 0 and end with 10, got 0 and 9"):
                multiplied(1.0, **bad)
            multiplied(1.0)
        finally:
            argrad.set_device_validation(False)
