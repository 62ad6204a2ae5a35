"""The kernels of Sinkhorn sort and of sorted SOFT top-k give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.sorting import _device, soft_permutation
from device_checks import compare, soft_product

DTYPES = [torch.float32, torch.float64]
TOLERANCES = {torch.float32: 1e-9, torch.float64: 1e-13}
"""Of the plans, so that host and device stop at the same one."""
BOUNDS = {"single": 2e-6, "double": 1e-9}
"""Of the comparison: the linear systems are solved to so many digits."""


def given(rng, shape, columns, dtype=torch.float64):
    """Scores of which some are equal, and columns of that many rows."""
    x = torch.tensor(np.round(rng.normal(size=shape), 1), dtype=dtype, requires_grad=True)
    return x, torch.tensor(rng.normal(size=columns), dtype=dtype, requires_grad=True)


def temperatures(rng, shape, low=0.05, high=1.0, dtype=torch.float64):
    return torch.tensor(rng.uniform(low, high, shape), dtype=dtype, requires_grad=True)


def product(transposed, dtype=torch.float64, **options):
    return soft_product(transposed, **{"tolerance": TOLERANCES[dtype], **options})


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "columns"),
    [((3, 1), ()), ((2, 2, 31), (3,)), ((1, 33), ()), ((0, 5), (2,)), ((4, 12), (1,)), ((2, 0), ())],
)
def test_sinkhorn_sort_and_its_derivatives(device, rng, dtype, shape, columns, transposed):
    x, v = given(rng, shape, (*shape, *columns), dtype)
    call = product(transposed, dtype, method="sinkhorn", descending=transposed)
    compare(device, call, x, v, temperatures(rng, shape[:-1], dtype=dtype), **BOUNDS)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "k", "columns"), [((3, 1), 1, ()), ((2, 2, 31), 4, (3,)), ((2, 9), 9, ()), ((3, 33), 1, ())]
)
def test_soft_top_and_its_derivatives(device, rng, dtype, shape, k, columns, transposed):
    rows = shape[-1] if not transposed else k
    x, v = given(rng, shape, (*shape[:-1], rows, *columns), dtype)
    call = product(transposed, dtype, method="ot", k=k, descending=transposed)
    compare(device, call, x, v, temperatures(rng, shape[:-1], 0.5, 3.0, dtype), **BOUNDS)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("k", [0, 5])
def test_long_lists_work_in_global_memory(device, rng, transposed, k, monkeypatch):
    monkeypatch.setattr(_device, "SHORT", 32)
    monkeypatch.setattr(_device, "SHARED", 1000)
    options = {"method": "ot", "k": k} if k else {"method": "sinkhorn"}
    x, v = given(rng, (7, 36), (7, k if k and transposed else 36, 5))
    compare(device, product(transposed, **options), x, v, temperatures(rng, ()), **BOUNDS)


@pytest.mark.parametrize("transposed", [False, True])
def test_masks_and_ragged_lists(device, rng, transposed):
    x, v = given(rng, (2, 30), (2, 30, 3))
    mask = torch.tensor(rng.random((2, 30)) < 0.7)
    mask[0, :5], mask[1] = False, False
    offsets, temperature = torch.tensor([0, 5, 5, 6, 30], dtype=torch.int32), temperatures(rng, (2, 4))
    call = product(transposed, method="sinkhorn", mask=mask, offsets=offsets)
    compare(device, call, x, v, temperature, **BOUNDS)
    compare(device, product(transposed, method="sinkhorn", mask=mask), x, v, temperature[:, 0], **BOUNDS)
    mask[1, 3:9] = True
    u = v[:, :4] if transposed else v
    compare(device, product(transposed, method="ot", k=4, mask=mask), x, u, temperature[:, 0], **BOUNDS)


@pytest.mark.parametrize("spacing", ["cauchy", "clusters", "ties", "exponential"])
def test_plans_of_any_spacing_and_temperature_are_the_hosts(device, spacing):
    n, rng = 45, np.random.default_rng(2)
    x = {
        "cauchy": lambda: rng.standard_cauchy(n),
        "clusters": lambda: rng.integers(0, 4, n) + 1e-3 * rng.random(n),
        "ties": lambda: rng.integers(0, 4, n).astype(float),
        "exponential": lambda: np.exp(4 * rng.standard_normal(n)),
    }[spacing]()
    x = np.broadcast_to(x, (9, n))
    temperature = np.array([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e8])
    for options in ({"method": "sinkhorn"}, {"method": "ot", "k": 12, "descending": True}):
        P = soft_permutation(x, temperature=temperature, tolerance=1e-12, **options)
        wanted = P.to_dense()
        with device():
            found = P.to_dense()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11)
        np.testing.assert_allclose(np.asarray(found).sum(-1), 1, atol=1e-13)


def test_iterations_and_tolerances_mean_what_they_mean_on_the_host(device, rng):
    x = rng.standard_cauchy((3, 30))

    def errors(**options):
        with device():
            dense = np.asarray(soft_permutation(x, method="sinkhorn", temperature=0.01, **options).to_dense())
        np.testing.assert_allclose(dense.sum(-1), 1, atol=1e-13)
        return abs(dense.sum(-2) - 1).max(-1)

    for tolerance in (0.1, 1e-3, 1e-12):
        assert (errors(tolerance=tolerance) <= tolerance).all()
    assert (errors(tolerance=0.0) < 1e-12).all()
    assert (errors() <= 1e-10).all()
    wanted = soft_permutation(x, method="sinkhorn", temperature=0.01, iterations=0).to_dense()
    assert (errors(iterations=0) > 1e-3).any()
    with device():
        found = soft_permutation(x, method="sinkhorn", temperature=0.01, iterations=0).to_dense()
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    # A list does not wait for another.
    with device():
        P = soft_permutation(x, method="sinkhorn", temperature=0.01, tolerance=1e-3)
        alone = soft_permutation(x[1:2], method="sinkhorn", temperature=0.01, tolerance=1e-3)
        assert np.array_equal((P @ x)[1:2], alone @ x[1:2])


@pytest.mark.parametrize("k", [0, 3])
def test_infinities_and_nan(device, k):
    inf, nan = np.inf, np.nan
    x = torch.tensor(
        [
            [inf, 0.2, -inf, 0.1, inf, 0.15],
            [1.0, nan, 0.0, 2.0, 3.0, 4.0],
            [1e300, -1e300, 1e308, -1e308, 0.0, 1e-300],
            [4.0] * 6,
        ],
        dtype=torch.float64,
        requires_grad=True,
    )
    v = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(4, 6).requires_grad_()
    options = {"method": "ot", "k": k} if k else {"method": "sinkhorn"}
    for temperature in (0.5, 1e-4, 1e8):
        t = torch.tensor(temperature, dtype=torch.float64, requires_grad=True)
        compare(device, product(False, **options), x, v, t, **BOUNDS)
        compare(device, product(True, descending=True, **options), x, v[:, : k or 6], t, **BOUNDS)


def test_halves_dims_vmap_and_other_layouts(device, rng):
    x = torch.tensor(rng.normal(size=(5, 12, 3)))
    for dtype in (torch.float16, torch.bfloat16):
        half, v = x.to(dtype), torch.tensor(rng.normal(size=(5, 12, 3, 2))).to(dtype)

        def softly_sorted(x, v):
            return soft_permutation(x, method="sinkhorn", dim=1, temperature=0.3) @ v

        wanted = softly_sorted(half, v)
        with device():
            found = softly_sorted(half, v)
            many = torch.vmap(softly_sorted)(half[None], v[None])
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
        assert torch.equal(many[0], found)
    with device():
        found = soft_permutation(x[:, ::2].mT, method="ot", k=2) @ x[:, ::2].mT
        same = soft_permutation(x[:, ::2].mT.contiguous(), method="ot", k=2) @ x[:, ::2].mT.contiguous()
    assert torch.equal(found, same)


@pytest.mark.parametrize("descending", [False, True])
def test_hard_permutations_and_vectors_over_the_ranks(device, rng, descending):
    x = rng.normal(size=(3, 20))
    x[1, 3] = np.nan

    def found():
        P = soft_permutation(x, method="sinkhorn", descending=descending, straight_through=True)
        return P @ x, P.mT @ x, P.top_mass(3), P.expected_rank()

    wanted = found()
    with device():
        for a, b in zip(found(), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9)


def test_what_only_values_tell_is_told_when_asked(device, rng):
    x, v = rng.normal(size=(3, 10)), rng.normal(size=(3, 10))
    temperature, mask = np.array([1.0, -1.0, 1.0]), np.ones((3, 10), dtype=bool)
    mask[2, 2:] = False

    def cold(temperature, **options):
        return soft_permutation(x, method="sinkhorn", temperature=temperature, **options) @ v

    def top(mask):
        return soft_permutation(x, method="ot", k=4, mask=mask) @ v

    good, top_good = cold(1.0), top(np.ones((3, 10), dtype=bool))
    with device():
        y = cold(temperature)
        assert np.isnan(y[1]).all()
        np.testing.assert_allclose(y[[0, 2]], good[[0, 2]], rtol=1e-9)
        y = top(mask)
        assert np.isnan(y[2]).all()
        np.testing.assert_allclose(y[:2], top_good[:2], rtol=1e-9)
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="soft_permutation: temperature must be a finite number > 0, got -1"):
                cold(temperature)
            with pytest.raises(ValueError, match="k must be at most the number of items that count in each list"):
                top(mask)
            with pytest.raises(ValueError, match="offsets must begin with 0 and end with 10, got 0 and 9"):
                cold(1.0, offsets=np.array([0, 4, 9]))
            cold(1.0)
        finally:
            argrad.set_device_validation(False)
