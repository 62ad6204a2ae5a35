"""Soft ranks and soft sorts: values against oracles, invariances, and inputs at the edge."""

import itertools

import mpmath
import numpy as np
import pytest
import torch
from scipy.optimize import isotonic_regression

import checks
import oracles_sorting_soft as oracles
from argrad.sorting import permutahedron_blocks, soft_rank, soft_sort

OPERATIONS = {"rank": soft_rank, "sort": soft_sort}
REGULARIZATIONS = ("l2", "kl", "pnorm")
EACH = list(itertools.product(OPERATIONS, REGULARIZATIONS))


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def gradient(call, x, **options):
    x = torch.from_numpy(np.array(x)).requires_grad_()
    y = call(x, **options)
    (found,) = torch.autograd.grad(y, x, 1 + torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape).cos())
    return found.numpy()


@pytest.mark.parametrize(("operation", "regularization"), EACH)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
def test_values_are_those_of_naive_pooling(operation, regularization, descending, n):
    for strength in (0.01, 0.2, 0.5, 1.0, 3.0, 30.0):
        x = np.round(draw(3, n, seed=n), 1 if n == 7 else 9)  # ties for one of the lengths
        options = {"strength": strength, "regularization": regularization, "descending": descending}
        found = OPERATIONS[operation](x, **options)
        reference = getattr(oracles, f"soft_{operation}")
        expected = [reference(list(row), strength, regularization, descending=descending) for row in x]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("operation", "regularization"), EACH)
def test_values_are_nearest_of_all_faces(operation, regularization):
    for seed, strength in itertools.product(range(4), (0.3, 1.0, 4.0)):
        x = np.sort(draw(6, seed=seed))[::-1]
        ranks = np.arange(6.0, 0.0, -1.0)
        w = np.log(ranks) if regularization == "kl" else ranks
        s, w = (x / strength, w) if operation == "rank" else (ranks / strength, x)
        expected = np.array(oracles.best_face(list(s), list(w), regularization))
        expected = np.exp(expected) if (operation, regularization) == ("rank", "kl") else expected
        options = {"strength": strength, "regularization": regularization, "descending": operation == "sort"}
        np.testing.assert_allclose(OPERATIONS[operation](x, **options), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("exponent", [1.1, 1.5, 1.9, 2.0])
def test_other_exponents(exponent):
    for operation, strength in itertools.product(OPERATIONS, (0.3, 2.0)):
        x = draw(20)
        options = {"regularization": "pnorm", "p": exponent}
        expected = getattr(oracles, f"soft_{operation}")(list(x), strength, "pnorm", p=exponent)
        np.testing.assert_allclose(
            OPERATIONS[operation](x, strength=strength, **options), expected, rtol=1e-8, atol=1e-9
        )
    np.testing.assert_allclose(soft_rank(x, regularization="pnorm", p=2.0), soft_rank(x), rtol=1e-12)


@pytest.mark.parametrize("n", [100, 3000, 50_000])
@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0, 1e4])
def test_least_squares_against_scipy_and_its_own_conditions(n, scale):
    x = draw(n) * scale
    rank = np.arange(n, 0, -1.0)
    order = np.argsort(-x)
    fit = isotonic_regression(x[order] - rank, increasing=False).x
    y = soft_rank(x)[order]
    np.testing.assert_allclose(y, x[order] - fit, atol=1e-9 * n)
    # The conditions of optimality: y is majorised by the ranks, and s - y falls only where the prefix sums agree.
    slack = np.cumsum(rank) - np.cumsum(y)
    assert slack.min() > -1e-7 * n
    assert abs(slack[-1]) < 1e-7 * n
    falls = np.diff(x[order] - y)
    assert falls.max() < 1e-8 * max(1.0, scale)
    assert np.abs(falls * slack[:-1]).max() < 1e-5 * n * max(1.0, scale)
    sort = soft_sort(x, strength=n / scale / 8, descending=True)
    fit = isotonic_regression(rank * scale * 8 / n - x[order], increasing=False).x
    np.testing.assert_allclose(sort, rank * scale * 8 / n - fit, atol=1e-9 * scale)


def test_kl_ranks_of_wide_scores_against_mpmath():
    x = draw(300) * 100
    for strength in (0.1, 3.0, 60.0):
        y = soft_rank(x, strength=strength, regularization="kl")
        order = np.argsort(-x)
        edges = [
            0,
            *[k for k in range(1, 300) if abs(y[order[:k]].sum() - np.arange(300, 300 - k, -1).sum()) < 1e-6],
            300,
        ]
        with mpmath.workdps(40):
            for a, b in itertools.pairwise(edges):
                e = [mpmath.exp(mpmath.mpf(float(x[i])) / strength) for i in order[a:b]]
                total = sum(range(300 - b + 1, 300 - a + 1))
                expected = [float(v / sum(e) * total) for v in e]
                np.testing.assert_allclose(y[order[a:b]], expected, rtol=1e-11)
        assert len(edges) - 1 == permutahedron_blocks(x, strength=strength, regularization="kl")


@pytest.mark.parametrize(("operation", "regularization"), EACH)
def test_invariances(operation, regularization):
    call, n = OPERATIONS[operation], 200
    x = draw(2, n)
    strength = {"rank": 0.02, "sort": 60.0}[operation]
    options = {"strength": strength, "regularization": regularization}
    y = call(x, **options)
    assert 1 < permutahedron_blocks(x[0], operation=operation, **options) < n
    shuffle = np.random.default_rng(1).permutation(n)
    moved = call(x[:, shuffle], **options)
    np.testing.assert_allclose(moved, y[:, shuffle] if operation == "rank" else y, rtol=1e-12)
    shift = 0.0 if operation == "rank" else 1.0
    if operation == "rank" or regularization != "pnorm":
        np.testing.assert_allclose(call(x + 1.0, **options), y + shift, rtol=1e-9)
    order = np.argsort(x) if operation == "rank" else np.broadcast_to(np.arange(n), x.shape)
    assert (np.diff(np.take_along_axis(y, order, -1)) >= -1e-12).all(), "the order is lost"
    if operation == "rank":
        np.testing.assert_allclose(y.sum(-1), n * (n + 1) / 2, rtol=1e-14)
        np.testing.assert_allclose(call(x, descending=True, **options), call(-x, **options), rtol=1e-13)
    else:
        np.testing.assert_allclose(call(x, descending=True, **options), -call(-x, **options), rtol=1e-13)
    if regularization == "l2":
        other = x + 1e-3 * draw(2, n, seed=3)
        bound = np.linalg.norm(other - x, axis=-1) / (strength if operation == "rank" else 1.0)
        assert (np.linalg.norm(call(other, **options) - y, axis=-1) <= bound * (1 + 1e-9)).all(), "not Lipschitz"


@pytest.mark.parametrize(("operation", "regularization"), EACH)
def test_no_strength_is_the_exact_operation(operation, regularization):
    x = np.array([[0.5, -1.0, 3.0, 0.5, 2.0], [np.inf, 1.0, -np.inf, np.inf, 0.0]])
    options = {"strength": 0.0, "regularization": regularization}
    expected = [oracles.mean_ranks(row) for row in x] if operation == "rank" else np.sort(x)
    np.testing.assert_array_equal(OPERATIONS[operation](x, **options), expected)
    found = gradient(OPERATIONS[operation], x, **options)
    if operation == "rank":
        assert (found == 0).all()
    else:
        g = 1 + np.cos(np.arange(10.0)).reshape(2, 5)
        expected = np.zeros((2, 5))
        for row, order in enumerate(np.argsort(x, kind="stable")):
            expected[row, order] = g[row]
        np.testing.assert_allclose(found, np.where(np.isfinite(x), expected, 0.0))


@pytest.mark.parametrize(("operation", "regularization"), EACH)
def test_straight_through_is_exact_forward_and_soft_backward(operation, regularization):
    x = draw(3, 9)
    x[1, 2] = np.inf
    options = {"strength": {"rank": 2.0, "sort": 5.0}[operation], "regularization": regularization}
    call = OPERATIONS[operation]
    hard = call(x, straight_through=True, **options)
    np.testing.assert_array_equal(hard, call(x, strength=0.0))
    np.testing.assert_array_equal(gradient(call, x, straight_through=True, **options), gradient(call, x, **options))
    assert np.abs(gradient(call, x, **options)).max() > 0.01


@pytest.mark.parametrize(("operation", "regularization"), EACH)
def test_masked_items_and_ragged_lists_are_lists_of_their_own(operation, regularization):
    call, options = OPERATIONS[operation], {"strength": 0.7, "regularization": regularization}
    x, mask = draw(3, 12), draw(3, 12, seed=1) > -0.3
    mask[2] = False
    y = call(x, mask=mask, fill=-7.0, **options)
    found = gradient(call, x, mask=torch.from_numpy(mask), fill=0.0, **options)
    assert (found[~mask] == 0).all()
    assert np.isfinite(found).all()
    for row, keep, result in zip(x, mask, y, strict=True):
        alone, count = call(row[keep], **options), keep.sum()
        places = keep if operation == "rank" else np.arange(12) < count
        np.testing.assert_array_equal(result[places], alone)
        assert (result[~places] == -7.0).all()
    assert np.isnan(call(x, mask=mask, **options)).sum() == (~mask).sum()
    poisoned = np.where(mask, x, np.nan)
    np.testing.assert_array_equal(call(poisoned, mask=mask, fill=-7.0, **options), y)
    offsets = np.array([0, 5, 5, 12])
    strengths = np.abs(draw(3, 3)) + 0.3
    ragged = call(x, offsets=offsets, regularization=regularization, strength=strengths)
    for k, (a, b) in enumerate(itertools.pairwise(offsets)):
        parts = [call(row[a:b], regularization=regularization, strength=strengths[i, k]) for i, row in enumerate(x)]
        np.testing.assert_array_equal(ragged[:, a:b], np.stack(parts))


@pytest.mark.parametrize(("operation", "regularization"), EACH)
def test_infinities_and_nan(operation, regularization):
    call, options = OPERATIONS[operation], {"strength": 0.9, "regularization": regularization}
    x = np.array([[1.0, np.inf, 0.5, -np.inf, np.inf, 2.0], [0.0, 1.0, 2.0, np.nan, 3.0, np.inf], list(range(6))])
    y, found = call(x, **options), gradient(call, x, **options)
    inner = call(x[0, [0, 2, 5]], **options)
    if operation == "rank":
        expected = np.array([1.0, 5.5, 0.5, 1.0, 5.5, 2.0])
        np.testing.assert_array_equal(y[0, [1, 3, 4]], expected[[1, 3, 4]])
        if regularization == "l2":
            np.testing.assert_allclose(y[0, [0, 2, 5]], inner + 1)
    else:
        assert y[0, 0] == -np.inf
        assert (y[0, 4:] == np.inf).all()
        np.testing.assert_allclose(y[0, 1:4], inner, rtol=1e-13)
    assert (found[0, [1, 3, 4]] == 0).all()
    assert np.isfinite(found[0]).all()
    assert np.isnan(y[1]).all()
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(y[2], call(x[2], **options))
    for row in (np.full(4, np.inf), np.array([np.inf, -np.inf]), np.array([np.nan]), np.zeros(5), np.full(3, -0.0)):
        value, slope = call(row, **options), gradient(call, row, **options)
        assert np.isnan(value).all() == np.isnan(row).any()
        assert value.shape == slope.shape == row.shape
        if operation == "rank" and not np.isnan(row).any():
            np.testing.assert_allclose(value, oracles.mean_ranks(row), rtol=1e-14)


@pytest.mark.parametrize(("operation", "regularization"), EACH)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_scale_is_defined(operation, regularization, dtype):
    call = OPERATIONS[operation]
    for scale, strength in itertools.product((1e-30, 1e-8, 1.0, 1e8, 1e30), (1e-8, 1e-4, 1.0, 1e4, 1e8)):
        x = (draw(2, 40) * scale).astype(dtype)
        x[0, :3] = x[0, 3]
        y = call(x, strength=strength, regularization=regularization)
        assert np.isfinite(y).all(), (scale, strength)
        size = 820.0 if operation == "rank" else None
        if size is not None:
            np.testing.assert_allclose(y.sum(-1), size, rtol=1e-5)
            np.testing.assert_allclose(y[0, :3], y[0, 3], rtol=1e-6)
            if strength <= 1e-6 * scale:
                np.testing.assert_allclose(y, [oracles.mean_ranks(row) for row in x], rtol=1e-6)
        elif (np.cbrt(scale) if regularization == "pnorm" else scale) * strength <= 1e-4:
            np.testing.assert_allclose(y, np.sort(x), rtol=1e-6)
        slopes = gradient(call, x, strength=strength, regularization=regularization)
        assert not np.isnan(slopes).any(), (scale, strength)


@pytest.mark.parametrize(("operation", "regularization"), EACH)
def test_house_rules(operation, regularization):
    def call(x, **options):
        return OPERATIONS[operation](x, regularization=regularization, strength=0.8, **options)

    x = draw(20, 150).astype(np.float32)
    checks.treats_rows_alone(call, x)
    checks.keeps_dtype(call, x)
    checks.keeps_kind(call, x)
    checks.accepts_any_layout(call, x)
    checks.leaves_input_alone(call, x)
    checks.keeps_nan_in_its_row(call, x)
    for shape in ((0, 5), (5, 0), (0,), (2, 0, 3)):
        assert call(np.zeros(shape)).shape == shape
        assert gradient(call, np.zeros(shape)).shape == shape
    assert call(x[0]).shape == (150,)
    np.testing.assert_array_equal(call(x.reshape(2, 10, 1, 1, 150)), call(x).reshape(2, 10, 1, 1, 150))
    np.testing.assert_array_equal(call(x.T, dim=0), call(x).T)


@pytest.mark.parametrize(("operation", "regularization"), EACH)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_everywhere(operation, regularization, dtype):
    x = (draw(30, 700) * 3).astype(dtype)
    strength = {"rank": 0.05, "sort": 100.0}[operation]

    def call():
        options = {"strength": strength, "regularization": regularization}
        return OPERATIONS[operation](x, **options), gradient(OPERATIONS[operation], x, **options)

    checks.same_for_all_threads_and_levels(call, threads=(1, 3))


def test_auto_strength_makes_ranks_invariant():
    x = draw(3, 50)
    for regularization, (scale, shift) in itertools.product(REGULARIZATIONS, [(1e-12, 0.0), (37.0, -4.0), (1e20, 0.0)]):
        options = {"strength": "auto", "regularization": regularization}
        np.testing.assert_allclose(soft_rank(x * scale + shift, **options), soft_rank(x, **options), rtol=1e-9)
        np.testing.assert_allclose(
            soft_sort(x * scale, strength="auto"), soft_sort(x, strength="auto") * scale, rtol=1e-9, atol=1e-9 * scale
        )
        blocks = permutahedron_blocks(x, **options)
        assert ((blocks > 1) & (blocks < 50)).all()
    even = np.arange(10.0)
    assert permutahedron_blocks(even * 1.001, strength=1.0) == 10
    np.testing.assert_allclose(soft_rank(even, strength="auto"), even + 1, rtol=1e-12)
    np.testing.assert_array_equal(soft_rank(np.ones(4), strength="auto"), np.full(4, 2.5))
    np.testing.assert_array_equal(soft_sort(np.ones(4), strength="auto"), np.ones(4))
    # A constant: the gradient is that of the strength as a number.
    strength = float(np.std(x[0]) / np.std(np.arange(50)))
    np.testing.assert_allclose(gradient(soft_rank, x[0], strength="auto"), gradient(soft_rank, x[0], strength=strength))


@pytest.mark.parametrize(("call", "name"), [(soft_rank, "soft_rank"), (soft_sort, "soft_sort")])
def test_bad_input_is_refused_with_one_sentence(call, name):
    x = draw(2, 4)
    refused = checks.raises_sentence
    refused(TypeError, lambda: call([1.0]), name, "x")
    refused(TypeError, lambda: call(np.arange(3)), name, "x")
    refused(ValueError, lambda: call(np.array(1.0)), name, contains="at least one dimension")
    for strength in (-1.0, np.nan, np.inf, -1e-30):
        refused(ValueError, lambda s=strength: call(x, strength=s), name, "strength")
        refused(ValueError, lambda s=strength: call(x, strength=np.array([1.0, s])), name, "strength")
    refused(ValueError, lambda: call(x, strength="median"), name, "strength")
    refused(ValueError, lambda: call(x, strength=np.ones(3)), name, "strength")
    refused(ValueError, lambda: call(x, mask=np.ones(4, bool)), name, "mask")
    refused(TypeError, lambda: call(x, mask=np.ones((2, 4))), name, "mask")
    refused(ValueError, lambda: call(x, offsets=np.array([0, 3, 2, 4])), name, contains="offsets must not decrease")
    refused(ValueError, lambda: call(x, offsets=np.array([0, 3])), name, contains="offsets must begin with 0 and end")
    refused(ValueError, lambda: call(x, regularization="l1"), name, "regularization")
    refused(ValueError, lambda: call(x, regularization="pnorm", p=1.0), name, "p")
    refused(ValueError, lambda: call(x, dim=2), name, "dim")
    refused(TypeError, lambda: call(x, descending=1), name, "descending")
    refused(TypeError, lambda: call(x, straight_through="yes"), name, "straight_through")
    refused(TypeError, lambda: call(x, fill="nan"), name, "fill")
    refused(TypeError, lambda: call(x, mask=torch.ones(2, 4, dtype=torch.bool)), name, "mask")


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_lapsum_with_a_mask_keeps_infinite_scores_apart_from_masked_ones(kind):
    x = kind(np.array([[1.0, np.inf, 2.0, np.nan], [np.nan, 4.0, 3.0, 1.0]]))
    mask = kind(np.array([[True, True, True, False], [True, True, False, True]]))
    rank = np.asarray(soft_rank(x, regularization="laplace", strength=0.01, mask=mask, fill=-1.0))
    np.testing.assert_allclose(rank, [[1, 3, 2, -1], [np.nan, np.nan, -1, np.nan]], atol=1e-12)
    value = np.asarray(soft_sort(x, regularization="laplace", strength=0.01, mask=mask, fill=-1.0))
    assert value[0, 3] == value[1, 3] == -1
    np.testing.assert_allclose(
        value[0, :3], np.asarray(soft_sort(x[:1, :3], regularization="laplace", strength=0.01))[0]
    )
    assert np.isnan(value[1, :3]).all()
