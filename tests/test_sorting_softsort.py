"""SoftSort's values and gradients: extremes, ties, infinities, NaN, precision, and the same bits everywhere."""

import itertools

import numpy as np
import pytest
import torch

import checks
import oracles_sorting_scans as oracles
from argrad.sorting import soft_permutation


def product(x, v, temperature=0.5, transposed=False, **options):
    P = soft_permutation(x, method="softsort", temperature=temperature, **options)
    return (P.mT if transposed else P) @ v


def gradients(x, v, temperature=0.5, transposed=False, **options):
    """Value, then gradients to x, v and the temperatures, of float64 numpy arrays."""
    x, v = (torch.tensor(a, requires_grad=True) for a in (x, v))
    t = torch.full(x.shape[:-1], temperature, dtype=x.dtype, requires_grad=True)
    y = product(x, v, t, transposed, **options)
    weights = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
    return [a.detach().numpy() for a in (y, *torch.autograd.grad(y, [x, v, t], weights))]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_towards_zero_it_is_hard_and_towards_infinity_the_mean():
    x, v = draw(4, 9), draw(4, 9, seed=1)
    order = np.argsort(x, -1)
    np.testing.assert_array_equal(product(x, v, 1e-8), np.take_along_axis(v, order, -1))
    np.testing.assert_array_equal(product(x, v, 1e-8, descending=True), np.take_along_axis(v, order[:, ::-1], -1))
    np.testing.assert_allclose(product(x, v, 1e8), np.broadcast_to(v.mean(-1, keepdims=True), v.shape), atol=1e-7)
    for temperature in (1e-8, 1e8):
        assert all(np.isfinite(a).all() for a in gradients(x, v, temperature))
    assert not gradients(x, v, 1e-8)[1].any()


@pytest.mark.parametrize("temperature", [1e-3, 0.3, 1e3])
def test_tied_scores_are_treated_alike(temperature):
    x, v = np.array([[1.0, 0.3, 1.0, -2.0, 1.0]]), np.array([[2.0, 1.0, 2.0, 5.0, 2.0]])
    P = soft_permutation(x, method="softsort", temperature=temperature).to_dense()[0]
    np.testing.assert_array_equal(P[:, 0], P[:, 2])
    np.testing.assert_array_equal(P[2], P[4])
    xt = torch.tensor(x, requires_grad=True)
    V = torch.tensor(v)
    y = product(xt, V, temperature)
    (g,) = torch.autograd.grad(y.square().sum(), xt)
    assert g[0, 0] == g[0, 2] == g[0, 4]
    # The limit of scores pulled apart by nothing that can be seen: the mean over all ways to do it.
    step, total = 1e-7 * temperature, torch.zeros_like(g)
    for signs in ((-1, 0, 1), (-1, 1, 0), (0, -1, 1), (0, 1, -1), (1, -1, 0), (1, 0, -1)):
        apart = x.copy()
        apart[0, [0, 2, 4]] += step * np.array(signs)
        at = torch.tensor(apart, requires_grad=True)
        total += torch.autograd.grad(product(at, V, temperature).square().sum(), at)[0] / 6
    np.testing.assert_allclose(g, total, rtol=1e-5, atol=1e-6)


def test_all_tied_is_the_mean_with_no_gradient_to_scores():
    y, gx, _, gt = gradients(np.full((2, 6), 1e30), draw(2, 6), 1e-3)
    np.testing.assert_allclose(y, np.broadcast_to(draw(2, 6).mean(-1, keepdims=True), y.shape), rtol=1e-12)
    assert not gx.any()
    assert not gt.any()


def test_infinite_scores_stand_apart_and_share_among_themselves():
    x = np.array([[np.inf, 1.0, -np.inf, 2.0, np.inf, -1e300, 1e300]])
    v = np.arange(1.0, 8.0)[None]
    y, gx, gv, gt = gradients(x, v, 0.5)
    near = oracles.softsort([1.0, 2.0], 0.5) @ [2.0, 4.0]
    np.testing.assert_allclose(y[0], [3.0, 6.0, *near, 7.0, 3.0, 3.0], rtol=1e-14)
    assert np.isfinite(gx).all()
    assert not gx[0, [0, 2, 4, 5, 6]].any()
    assert gx[0, [1, 3]].all()
    assert np.isfinite(gv).all()
    assert np.isfinite(gt).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_a_nan_spoils_its_list_alone(transposed):
    x, v = draw(4, 6), draw(4, 6, seed=1)
    good = gradients(x, v, transposed=transposed)
    bad = x.copy()
    bad[1, 2] = np.nan
    for a, b in zip(good, gradients(bad, v, transposed=transposed), strict=True):
        assert np.isnan(b[1]).all()
        np.testing.assert_array_equal(np.delete(a, 1, 0), np.delete(b, 1, 0))
    mask = torch.from_numpy(~np.isnan(bad))
    y, *rest = gradients(bad, v, transposed=transposed, mask=mask)
    assert all(np.isfinite(a).all() for a in (y, *rest))
    assert rest[0][1, 2] == 0


def test_masked_items_may_hold_anything_and_get_nothing():
    x, v = draw(3, 7), draw(3, 7, seed=1)
    mask = draw(3, 7, seed=2) > -0.5
    mask[2] = False
    clean = gradients(x, v, mask=torch.from_numpy(mask))
    for junk in (np.nan, np.inf, 1e30):
        found = gradients(np.where(mask, x, junk), np.where(mask, v, junk), mask=torch.from_numpy(mask))
        for a, b in zip(clean, found, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not clean[1][~mask].any()
    assert not clean[2][~mask].any()
    assert not any(a[2].any() for a in clean)


def test_ragged_lists_are_sorted_by_themselves():
    x, v, offsets = draw(2, 9), draw(2, 9, 3, seed=1), np.array([0, 4, 4, 5, 9], np.int32)
    t = np.random.default_rng(2).uniform(0.2, 2.0, (2, 4))
    whole = product(x, v, t, offsets=offsets)
    for i, (a, b) in enumerate(itertools.pairwise(offsets)):
        if a < b:
            np.testing.assert_array_equal(whole[:, a:b], product(x[:, a:b], v[:, a:b], t[:, i]))


@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (0, 5), (3, 0), (2, 1), (2, 0, 3), (1, 2, 3, 4, 5)])
def test_small_and_empty_shapes(shape):
    x = torch.tensor(draw(*shape), requires_grad=True)
    for transposed in (False, True):
        y = product(x, x, transposed=transposed)
        assert y.shape == x.shape
        y.sum().backward()
    V = np.ones((*shape, 2))
    assert product(x.detach().numpy(), V).shape == V.shape


def test_float32_is_within_an_ulp_of_float64():
    x, v = draw(1, 20000).astype(np.float32), draw(1, 20000, seed=1).astype(np.float32)
    for temperature in (1e-4, 0.125, 64.0):
        exact = product(
            x.astype(float), v.astype(float), temperature if temperature > 1e-3 else float(np.float32(1e-4))
        )
        found = product(x, v, temperature)
        assert (np.abs(found - exact) <= np.spacing(np.abs(exact).astype(np.float32))).all()


def test_the_generic_checks():
    x = draw(6, 40).astype(np.float32)
    for transposed in (False, True):

        def call(x, transposed=transposed):
            return product(x, x, transposed=transposed)

        checks.treats_rows_alone(call, x)
        checks.accepts_any_layout(call, x)
        checks.leaves_input_alone(call, x)
        checks.keeps_dtype(call, x)
        checks.keeps_kind(call, x)
        checks.keeps_nan_in_its_row(call, x)


def test_the_same_bits_for_all_threads_and_levels():
    x, v = draw(40, 600).astype(np.float32), draw(40, 600, 2, seed=1).astype(np.float32)
    checks.same_for_all_threads_and_levels(lambda: gradients(x, v), threads=(1, 3))
