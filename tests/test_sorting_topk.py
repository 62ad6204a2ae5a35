"""soft_topk against bisection in mpmath, closed forms and Sinkhorn; limits, bad input, masks and ragged lists."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import checks
import oracles_sorting_topk as oracles
from argrad.sorting import soft_topk

ROOTS = tuple(kind for kind in oracles.KINDS if kind != "threshold")


@pytest.mark.parametrize("kind", oracles.KINDS)
@pytest.mark.parametrize(("n", "k", "temperature"), [(2, 1, 1.0), (9, 3, 0.3), (9, 4.37, 0.05), (14, 0.2, 2.0)])
def test_values_are_those_of_bisection(kind, n, k, temperature, dtype, rng):
    k = max(1, int(k)) if kind == "threshold" else k
    x = rng.standard_normal(n).astype(dtype)
    expected = oracles.soft_topk(x, dtype.type(k), kind, dtype.type(temperature))
    found = soft_topk(x, k, kind=kind, temperature=temperature)
    assert found.dtype == dtype
    tolerance = 3e-6 if dtype == np.float32 else 2e-13
    np.testing.assert_allclose(found, np.array(expected, float), rtol=tolerance, atol=tolerance * 1e-1)
    logs = soft_topk(x, k, kind=kind, temperature=temperature, log=True)
    exact = np.array([float(oracles.mpmath.log(y)) if y > 0 else -np.inf for y in expected])
    if kind in ("l2", "pnorm"):  # next to 0 a logarithm has the threshold's relative error
        far = np.exp(exact) > 1e-3
        logs, exact = logs[far], exact[far]
    np.testing.assert_allclose(logs, exact, rtol=3e-6 if dtype == np.float32 else 2e-12, atol=tolerance)


def test_logarithms_stay_accurate_where_values_underflow():
    x = np.array([0.0, -200.0, -5000.0, 3.0])
    for kind in ("logistic", "laplace", "gaussian"):
        exact = [float(oracles.mpmath.log(y)) for y in oracles.soft_topk(x, 1.5, kind, digits=60)]
        if kind != "gaussian":
            np.testing.assert_allclose(soft_topk(x, 1.5, kind=kind, log=True), exact, rtol=1e-13)
        assert np.isfinite(soft_topk(x.astype(np.float32), 1.5, kind=kind, log=True)).all()
    near = soft_topk(np.array([60.0, 0.0]), 1.0, log=True)
    np.testing.assert_allclose(near[0], -np.exp(-30), rtol=1e-12)


@pytest.mark.parametrize("kind", ROOTS)
@pytest.mark.parametrize(
    ("n", "k", "temperature"),
    [
        (1000, 10, 1.0),
        (1000, 10, 0.01),
        (1000, 10.3, 1e-4),
        (1000, 999.5, 1.0),
        (1000, 1e-3, 1.0),
        (5, 2, 1e-8),
        (5, 2.5, 1e-8),
        (7, 3.1, 1e8),
        (200_000, 10, 0.1),
        (200_000, 1e5, 1.0),
    ],
)
def test_values_sum_to_k(kind, n, k, temperature, dtype, rng):
    x = rng.standard_normal((2, n)).astype(dtype)
    x[1] = np.round(x[1])  # many equal items
    total = soft_topk(x, k, kind=kind, temperature=temperature).sum(-1, dtype=np.float64)
    np.testing.assert_allclose(total, dtype.type(k), rtol=1e-6 if dtype == np.float32 else 1e-11)


def test_the_sum_holds_for_a_million_items(rng):
    x = rng.standard_normal(10**6).astype(np.float32)
    for kind, k in (("logistic", 100), ("laplace", 0.37), ("l2", 12_345.6), ("logistic", 999_999)):
        total = soft_topk(x, k, kind=kind).sum(dtype=np.float64)
        assert abs(total - np.float32(k)) <= 1e-6 * k, (kind, k, total)
    equal = soft_topk(np.full(10**6, 3, np.float32), 7.5)
    assert abs(equal.sum(dtype=np.float64) - 7.5) <= 7.5e-6
    assert (equal == equal[0]).all()


def test_the_logistic_mask_is_sinkhorn_with_two_targets(rng):
    x = rng.standard_normal(50)
    np.testing.assert_allclose(soft_topk(x, 5, temperature=0.5), oracles.sinkhorn_topk(x, 5, 1.0), atol=1e-12)


def test_l2_is_the_projection_on_the_capped_simplex(rng):
    x = rng.standard_normal(40) * 2
    y = soft_topk(x, 7, kind="l2")
    free = (y > 0) & (y < 1)
    multiplier = (x - y)[free]
    np.testing.assert_allclose(multiplier, multiplier[0], atol=1e-12)
    assert (x[y == 0] <= multiplier[0] + 1e-12).all()
    assert (x[y == 1] >= multiplier[0] + 1 - 1e-12).all()
    np.testing.assert_allclose(soft_topk(x, 7, kind="pnorm", p=2.0), y, atol=1e-12)


@pytest.mark.parametrize("kind", oracles.KINDS)
def test_edges(kind, dtype):
    x = np.array([3.0, 1.0, 2.0], dtype)
    for k, expected in ((0, 0.0), (3, 1.0), (7, 1.0)):
        tensor = torch.tensor(x, requires_grad=True)
        number = torch.tensor(float(k), requires_grad=True)
        y = soft_topk(tensor, number.to(tensor.dtype), kind=kind)
        assert (y == expected).all()
        y.sum().backward()
        assert (tensor.grad == 0).all()
        assert number.grad == 0
        logs = soft_topk(x, k, kind=kind, log=True)
        assert (logs == (0.0 if expected else -np.inf)).all()
    for shape in ((0,), (0, 3), (3, 0), (2, 0, 3)):
        assert soft_topk(np.zeros(shape, dtype), 1, kind=kind).shape == shape
    assert soft_topk(np.array([5.0], dtype), 1, kind=kind) == 1
    big = np.array([1e30, -1e30, 1e30, 0.0, 0.0], dtype)
    for temperature in (1e-8, 1.0, 1e8):
        np.testing.assert_allclose(soft_topk(big, 2, kind=kind, temperature=temperature), [1, 0, 1, 0, 0], atol=1e-12)
        if kind != "threshold":
            y = soft_topk(big, 1.5, kind=kind, temperature=temperature)
            np.testing.assert_allclose(y, [0.75, 0, 0.75, 0, 0], atol=1e-6)
    tied = soft_topk(np.zeros(8, dtype), 2, kind=kind, temperature=1e-8)
    np.testing.assert_allclose(tied, 0.5 if kind == "threshold" else 0.25, rtol=1e-6)


@pytest.mark.parametrize("log", [False, True])
def test_nan_and_infinities(log, dtype):
    def call(x, k, **options):
        return soft_topk(np.array(x, dtype), k, log=log, **options)

    one, zero = (0.0, -np.inf) if log else (1.0, 0.0)
    inf = np.inf
    checks.keeps_nan_in_its_row(lambda x: soft_topk(x, 1.5, log=log), np.arange(9, dtype=dtype).reshape(3, 3))
    y = call([inf, 1.0, -inf, 2.0], 2)
    assert y[0] == one
    assert y[2] == zero
    assert_same = np.testing.assert_allclose
    assert_same(y[[1, 3]], call([1.0, 2.0], 1), rtol=1e-6)
    assert_same(call([inf, 1.0, inf], 1), [np.log(0.5) if log else 0.5, zero, np.log(0.5) if log else 0.5], rtol=1e-6)
    assert_same(call([inf, 1.0, -inf], 2.5), [one, one, np.log(0.5) if log else 0.5], rtol=1e-6)
    assert_same(call([inf, 1.0, -inf, 2.0], 2, largest=False)[[0, 2]], [zero, one])
    tensor = torch.tensor([[inf, 1.0, -inf, 2.0], [1.0, np.nan, 0.0, 2.0]], requires_grad=True)
    y = soft_topk(tensor, 1.5, log=log)
    y[torch.isfinite(y)].sum().backward()
    assert tensor.grad[0, 0] == 0
    assert tensor.grad[0, 2] == 0
    assert torch.isfinite(tensor.grad[0]).all()
    assert tensor.grad[1].isnan().all()


@pytest.mark.parametrize("k", [0.0, 1.0, 7.0])
def test_nan_without_a_boundary_is_nan_in_gradients(k):
    x = torch.tensor([1.0, np.nan, 2.0, np.inf], requires_grad=True)
    soft_topk(x, k, kind="threshold").sum().backward()
    assert x.grad.isnan().all()


@pytest.mark.parametrize("kind", oracles.KINDS)
def test_masks_and_ragged_lists_are_lists_of_their_own(kind, dtype, rng):
    x = rng.standard_normal((3, 12)).astype(dtype)
    mask = rng.random((3, 12)) < 0.7
    y = soft_topk(x, 3, kind=kind, mask=mask)
    for row, keep, found in zip(x, mask, y, strict=True):
        np.testing.assert_allclose(found[keep], soft_topk(row[keep], 3, kind=kind), rtol=1e-6)
        assert (found[~keep] == 0).all()
    offsets = np.array([0, 4, 4, 5, 12])
    k = np.array([1.0, 2.0, 1.0, 3.0], dtype)
    y = soft_topk(x, np.broadcast_to(k, (3, 4)), kind=kind, offsets=offsets)
    for i in range(4):
        part = slice(offsets[i], offsets[i + 1])
        checks.assert_same(y[:, part], soft_topk(x[:, part], float(k[i]), kind=kind))
    assert (soft_topk(x, 3, kind=kind, mask=np.zeros_like(mask), log=True) == -np.inf).all()
    checks.assert_same(soft_topk(x, 3, kind=kind, largest=False), soft_topk(-x, 3, kind=kind))
    checks.assert_same(soft_topk(x.T, 3, kind=kind, dim=0), soft_topk(x, 3, kind=kind).T)


def test_masked_items_get_no_gradient(rng):
    x = torch.tensor(rng.standard_normal((2, 8)), requires_grad=True)
    mask = torch.arange(8).expand(2, 8) % 3 != 0
    for log in (False, True):
        y = soft_topk(x, 2.5, mask=mask, log=log)
        # Upstream gradients at masked items may be anything.
        (found,) = torch.autograd.grad(y, x, torch.where(mask, 1.0 + torch.arange(8), torch.nan))
        assert (found[~mask] == 0).all()
        assert (found[mask] != 0).all()


def test_straight_through_is_hard_forward_and_soft_backward(dtype, rng):
    x = np.round(rng.standard_normal((5, 9)) * 2).astype(dtype)
    for k in (0, 2, 3.9, 20):
        for largest in (True, False):
            found = soft_topk(x, k, straight_through=True, largest=largest)
            expected = [oracles.hard_topk(row, k, largest) for row in x]
            np.testing.assert_array_equal(found, expected)
    tensor = torch.tensor(x, requires_grad=True)
    g = torch.tensor(rng.standard_normal(x.shape).astype(dtype))
    grads = [torch.autograd.grad(soft_topk(tensor, 2.5, straight_through=s), tensor, g)[0] for s in (True, False)]
    assert_close(*grads, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["logistic", "laplace", "gaussian", "l2", "pnorm"])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3, 1e6])
def test_gradients_have_their_limit_in_wide_gaps(kind, scale, dtype):
    x = torch.tensor(np.array([3.0, 1.0, 1.0, 0.0], dtype) * scale, requires_grad=True)
    k = torch.tensor(1.0, dtype=x.dtype, requires_grad=True)
    g = torch.tensor([1.0, 5.0, 7.0, 100.0], dtype=x.dtype)
    y = soft_topk(x, k, kind=kind)
    to_x, to_k = torch.autograd.grad(y, (x, k), g, create_graph=True)
    assert torch.isfinite(to_x).all()
    if scale >= 30:
        # Two equal items outside move the middle a little where the tails are not exponential.
        assert_close(to_k.item(), 3.5, rtol=3e-3 if kind == "gaussian" else 1e-4, atol=0)
    if scale >= 1e3:
        assert (to_x == 0).all()
    again = torch.autograd.grad((to_x.sum() + to_k) ** 2, (x, k))
    assert all(torch.isfinite(part).all() for part in again)


def test_bad_input_is_refused_in_one_sentence():
    x = np.ones((2, 3))
    bad = {
        "k": [-1.0, np.nan, np.array([1.0, -2.0]), np.array([1.0, np.nan]), np.ones(5), np.inf],
        "temperature": [0.0, -1.0, np.nan, np.array([1.0, 0.0])],
        "p": [1.0, 2.5],
        "kind": ["sigmoid"],
        "mask": [np.ones((3, 2), bool)],
        "offsets": [np.array([0, 2, 1, 3]), np.array([0, 2])],
    }
    for argument, values in bad.items():
        for value in values:
            options = {"k": 1, argument: value}
            checks.raises_sentence(ValueError, lambda o=options: soft_topk(x, o.pop("k"), **o), "soft_topk")
    for options in ({"k": "two"}, {"k": 1, "log": 1}, {"k": 1, "mask": np.ones((2, 3))}, {"k": torch.ones(2)}):
        checks.raises_sentence(TypeError, lambda o=dict(options): soft_topk(x, o.pop("k"), **o), "soft_topk")
    checks.raises_sentence(TypeError, lambda: soft_topk(x.astype(int), 1), "soft_topk", "x")
    checks.raises_sentence(ValueError, lambda: soft_topk(x, 1.5, kind="threshold"), "soft_topk", "k")


@pytest.mark.parametrize("kind", oracles.KINDS)
def test_generic_checks(kind, dtype, rng):
    x = rng.standard_normal((4, 37)).astype(dtype)
    call = lambda x: soft_topk(x, 5, kind=kind, temperature=0.2)  # noqa: E731
    checks.treats_rows_alone(call, x)
    checks.accepts_any_layout(call, x)
    checks.leaves_input_alone(call, x)
    checks.keeps_dtype(call, x)
    checks.keeps_kind(call, x)

    def with_gradient():
        many = torch.tensor(np.tile(x, (60, 10)), requires_grad=True)
        y = soft_topk(many, 5, kind=kind, temperature=0.2)
        return y, torch.autograd.grad(y.square().sum(), many)[0]

    checks.same_for_all_threads_and_levels(with_gradient, threads=(1, 3))
