"""Entmax against bisection in 40 digits, closed forms and another implementation; its properties, limits and errors."""

import entmax as package
import mpmath
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import checks
import decoding_rows
import oracles_decoding_entmax as oracles
from argrad.decoding import bregman_project, entmax, entmax_conjugate, sparsemax

ALPHAS = (1.0, 1 + 1e-9, 1.001, 1.02, 1.25, 1.5, 1.75, 2 - 1e-6, 2.0, 2 + 1e-6, 2.2, 3.0, 6.0, 30.0)


def rows(rng):
    """Rows in general position, with ties, of large magnitude, with masks, and of one number."""
    yield rng.normal(size=12)
    yield 0.1 * rng.normal(size=40)
    yield np.round(2 * rng.normal(size=15)) / 2
    yield np.full(7, 3.25)
    yield 1e4 + rng.normal(size=11)
    yield 1e4 * rng.normal(size=11)
    yield np.where(np.arange(12) % 3 == 0, -np.inf, 0.3 * rng.normal(size=12))
    yield np.array([-4.5])


@pytest.mark.parametrize("alpha", ALPHAS)
def test_values_are_those_of_bisection(alpha, rng):
    for x in rows(rng):
        p = entmax(x, alpha)
        assert_allclose(p, oracles.array(oracles.entmax(x, alpha)), rtol=0, atol=1e-12, err_msg=f"{x}")
        assert abs(p.sum() - 1) <= 4e-16 * max(len(x), 4)
        single = entmax(x.astype(np.float32), alpha)
        exact = oracles.array(oracles.entmax(x.astype(np.float32), alpha))
        assert_allclose(single, exact, rtol=2e-7, atol=1e-12)


@pytest.mark.parametrize("kind", decoding_rows.KINDS)
def test_long_rows_are_those_of_closed_forms(kind):
    x = decoding_rows.draw(kind, (3, 20_000))
    for found, oracle in ((sparsemax(x), oracles.sparsemax), (entmax(x), oracles.entmax15)):
        assert_allclose(found, np.stack([oracle(row) for row in x]), rtol=1e-5, atol=1e-9)
    for alpha in (1.1, 1.5, 1.9, 2.5, 100.0):
        p = entmax(x.astype(np.float64), alpha)
        assert_allclose(p.sum(-1), 1, rtol=0, atol=1e-13)
        assert_support(x.astype(np.float64), p, alpha)


def assert_support(x, p, alpha):
    """What is left out lies below the threshold, and what is in follows it: the conditions of optimality."""
    b = alpha - 1
    for row, q in zip(x, p, strict=True):
        inside = q > 0
        thresholds = b * row[inside] - q[inside] ** b
        tau = np.median(thresholds)
        weight = np.minimum(q[inside] ** (1 - b), 1) if b < 1 else 1.0  # tau is known through p alone
        assert (np.abs(thresholds - tau) * weight).max() < 1e-9
        assert (b * row[~inside] <= tau + 1e-9).all()


def test_values_are_those_of_the_package():
    x = torch.from_numpy(decoding_rows.draw("raised", (4, 500))).double()
    torch.testing.assert_close(sparsemax(x), package.sparsemax(x), rtol=0, atol=1e-13)
    torch.testing.assert_close(entmax(x), package.entmax15(x), rtol=0, atol=1e-13)
    for alpha in (1.1, 1.4, 1.8, 2.4):
        expected = package.entmax_bisect(x, alpha, n_iter=60)
        torch.testing.assert_close(entmax(x, alpha), expected, rtol=0, atol=1e-10)


def test_softmax_and_sparsemax_are_the_limits(rng):
    x = rng.normal(size=(5, 30))
    softmax = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    assert_allclose(entmax(x, 1.0), softmax, rtol=1e-13)
    for step in (1e-3, 1e-6, 1e-9, 1e-12):
        assert_allclose(entmax(x, 1 + step), softmax, rtol=0, atol=2 * step)
        for side in (2 - step, 2 + step):
            assert_allclose(entmax(x, side), sparsemax(x), rtol=0, atol=2 * step)


@pytest.mark.parametrize("alpha", [1.0, 1.3, 1.5, 2.0, 3.0])
def test_shifts_change_nothing_and_permutations_come_through(alpha, rng):
    x = np.round(rng.normal(size=(3, 200)) * 64) / 64  # so that shifts are exact
    p = entmax(x, alpha)
    assert_allclose(entmax(x + 1024, alpha), p, rtol=0, atol=1e-15)
    order = rng.permutation(200)
    assert_allclose(entmax(x[:, order], alpha), p[:, order], rtol=1e-13, atol=1e-15)
    for row, q in zip(x, p, strict=True):
        ranks = np.argsort(row, kind="stable")
        assert (np.diff(q[ranks]) >= -1e-16).all()


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.75, 2.0, 2.5, 4.0])
def test_entmax_is_a_bregman_projection(alpha, rng):
    """On its support it is the renormalisation of E(z - theta') for any theta' above its own threshold."""
    b = alpha - 1
    x = 0.3 / b * rng.normal(size=9)
    p = entmax(x, alpha)
    inside = p > 0
    tau = np.mean(b * x[inside] - p[inside] ** b)
    later = tau + 0.3 * (b * x[inside].min() - tau)
    lifted = (b * x[inside] - later) ** (1 / b)
    assert lifted.sum() < 1
    rest = (1 - lifted.sum()) / (count := int(2 * (1 - lifted.sum()) / lifted.min()) + 1)
    logits = np.log(np.concatenate([lifted, np.full(count, rest)]))
    indices, values, _ = bregman_project(logits, alpha=alpha, k=int(inside.sum()))
    expected = np.zeros(len(logits))
    expected[indices] = values
    assert_allclose(p[inside], expected[: inside.sum()], rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 1 + 1e-9, 1 + 1e-6, 1.02, 1.3, 1.5, 1.75, 2.0, 2 + 1e-6, 3.0])
def test_gradient_to_alpha_is_that_of_forty_digits(alpha, rng):
    x = rng.normal(size=8)
    g = rng.normal(size=8)
    a = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(entmax(torch.from_numpy(x), a), a, torch.from_numpy(g))
    (value,) = torch.autograd.grad(entmax_conjugate(torch.from_numpy(x), a), a)
    with mpmath.workdps(40):
        h = mpmath.mpf(10) ** -12

        def slope(of):
            ends = [of(mpmath.mpf(alpha) + s * h) for s in ((0, 1) if alpha == 1 else (-1, 1))]
            return float((ends[1] - ends[0]) / (h if alpha == 1 else 2 * h))

        weighted = slope(lambda a: mpmath.fsum(p * w for p, w in zip(forty(x, a), g, strict=True)))
        conjugate = slope(lambda a: value_of(x, forty(x, a), a))
    assert_allclose(found.item(), weighted, rtol=1e-8, atol=1e-9)
    assert_allclose(value.item(), conjugate, rtol=1e-8, atol=1e-9)


def forty(x, a):
    """Entmax for an alpha of many digits, which the oracle's float would round."""
    items = [mpmath.mpf(float(v)) for v in x]
    b = a - 1
    if b == 0:
        return oracles.entmax(x, 1)
    top = max(items)
    low, high = mpmath.mpf(0), 1 / b if b > 0.01 else mpmath.mpf(20)

    def point(theta):
        base = [1 + b * (v - top - theta) for v in items]
        return [mpmath.exp(mpmath.log1p(v - 1) / b) if v > 0 else mpmath.mpf(0) for v in base]

    for _ in range(150):
        middle = (low + high) / 2
        low, high = (middle, high) if mpmath.fsum(point(middle)) >= 1 else (low, middle)
    return point(low)


def value_of(x, p, a):
    b = a - 1
    terms = [q * (mpmath.log(q) if b == 0 else mpmath.expm1(b * mpmath.log(q)) / b) / a for q in p if q > 0]
    return mpmath.fsum(q * mpmath.mpf(float(v)) for q, v in zip(p, x, strict=True)) - mpmath.fsum(terms)


@pytest.mark.parametrize("alpha", [1.0, 1.2, 1.5, 2.0, 3.0])
def test_conjugate_is_that_of_forty_digits(alpha, rng):
    for x in rows(rng):
        assert_allclose(entmax_conjugate(x, alpha), float(oracles.conjugate(x, alpha)), rtol=1e-13, atol=1e-13)
        live = np.flatnonzero(np.isfinite(x))
        t = int(live[-1])
        one_hot = np.eye(len(x))[t]
        exact = float(oracles.conjugate(np.where(np.isfinite(x), x, -1e6), alpha, one_hot))
        found = entmax_conjugate(x, alpha, target=np.array(t))
        assert_allclose(found, exact, rtol=1e-10, atol=1e-15)
        y = np.where(np.isfinite(x), rng.random(len(x)), 0)
        y /= y.sum()
        exact = float(oracles.conjugate(np.where(np.isfinite(x), x, -1e6), alpha, y))
        assert_allclose(entmax_conjugate(x, alpha, target=y), exact, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("alpha", [1.0, 1.3, 1.5, 2.0, 2.5])
def test_gradients_need_nothing_kept(alpha, rng):
    """Backward from the support kept by forward, and from the inputs alone, give the same bits."""
    x = torch.from_numpy(rng.normal(size=(4, 300))).requires_grad_()
    g = torch.from_numpy(rng.normal(size=(4, 300)))
    (kept,) = torch.autograd.grad(entmax(x, alpha), x, g)
    (again,) = torch.autograd.grad(entmax(x, alpha), x, g, create_graph=True)
    assert torch.equal(kept, again)
    assert (kept[entmax(x, alpha) == 0] == 0).all()
    assert torch.allclose(kept.sum(-1), torch.zeros(4, dtype=torch.float64), atol=1e-14)


def test_alpha_may_be_one_for_each_row_or_head(rng):
    x = rng.normal(size=(2, 3, 4, 10))
    alpha = np.array([1.0, 1.5, 2.5])
    found = entmax(x, alpha[:, None])
    for head, a in enumerate(alpha):
        checks.assert_same(found[:, head], entmax(x[:, head], float(a)))
    a = torch.tensor([1.2, 1.5, 2.0], requires_grad=True)
    (slope,) = torch.autograd.grad(entmax(torch.from_numpy(x).float(), a[:, None])[..., 0].sum(), a)
    assert slope.shape == (3,)
    assert slope.dtype == torch.float32
    assert (slope != 0).all()


@pytest.mark.parametrize("dim", [0, 1, -2, 2, -1])
def test_any_dimension(dim, rng):
    x = rng.normal(size=(3, 4, 5))
    last = np.moveaxis(x, dim, -1)
    for call in (sparsemax, entmax):
        checks.assert_same(np.ascontiguousarray(np.moveaxis(call(x, dim=dim), dim, -1)), call(last))
        found = call(torch.from_numpy(x), dim=dim)
        checks.assert_same(found.movedim(dim, -1).contiguous(), call(last))
    checks.assert_same(entmax_conjugate(x, dim=dim), entmax_conjugate(last))
    y = entmax(rng.normal(size=x.shape), dim=dim)
    moved = np.moveaxis(y, dim, -1)
    checks.assert_same(entmax_conjugate(x, target=y, dim=dim), entmax_conjugate(last, target=moved))


@pytest.mark.parametrize("alpha", [1.0, 1.02, 1.5, 2.0, 2.5])
def test_house_rules(alpha, rng):
    x = rng.normal(size=(6, 333)).astype(np.float32)

    def call(x):
        return entmax(x, alpha)

    checks.keeps_dtype(call, x)
    checks.keeps_kind(call, x)
    checks.accepts_any_layout(call, x)
    checks.leaves_input_alone(call, x)
    checks.accepts_empty(call, x, [(0, 333)])
    checks.treats_rows_alone(call, x)
    for kind in ("gaussian", "flat", "ascending"):
        x = decoding_rows.draw(kind, (3, 5000))
        checks.same_for_all_threads_and_levels(lambda x=x: (call(x), entmax_conjugate(x, alpha)))


def test_gradients_do_not_depend_on_threads(rng):
    x = torch.from_numpy(rng.normal(size=(40, 3000))).requires_grad_()
    g = torch.from_numpy(rng.normal(size=(40, 3000)))
    a = torch.full((40,), 1.3, dtype=torch.float64, requires_grad=True)
    checks.same_for_all_threads_and_levels(lambda: torch.autograd.grad(entmax(x, a), (x, a), g))


@pytest.mark.parametrize("call", [sparsemax, entmax, entmax_conjugate])
def test_refusals(call):
    name = call.__name__
    good = np.zeros((3, 4))
    for value in (np.nan, np.inf):
        bad = good.copy()
        bad[2, 1] = value
        checks.raises_sentence(ValueError, lambda bad=bad: call(bad), name, "x", contains="at row 2, column 1")
    masked = good.copy()
    masked[1] = -np.inf
    checks.raises_sentence(ValueError, lambda: call(masked), name, contains="only -inf in row 1")
    checks.raises_sentence(ValueError, lambda: call(good[:, :0]), name, contains="x must have rows")
    checks.raises_sentence(ValueError, lambda: call(np.zeros(())), name, contains="x must have rows")
    checks.raises_sentence(TypeError, lambda: call(good.astype(int)), name, "x")
    checks.raises_sentence(TypeError, lambda: call([1.0]), name, "x")
    checks.raises_sentence(ValueError, lambda: call(good, dim=2), name, "dim")
    checks.raises_sentence(TypeError, lambda: call(good, dim=0.5), name, "dim")


@pytest.mark.parametrize("call", [entmax, entmax_conjugate])
def test_refusals_of_alpha(call):
    name, x = call.__name__, np.zeros((3, 4))
    for alpha in (0.5, 1 - 1e-9, -1.0, np.nan, np.inf):
        checks.raises_sentence(ValueError, lambda alpha=alpha: call(x, alpha), name, "alpha")
        each = np.array([1.0, 2.0, alpha])
        checks.raises_sentence(ValueError, lambda each=each: call(x, each), name, "alpha", contains="for row 2")
    checks.raises_sentence(ValueError, lambda: call(x, np.ones(4)), name, "alpha")
    checks.raises_sentence(ValueError, lambda: call(x, np.ones((1, 3, 1))), name, "alpha")
    checks.raises_sentence(TypeError, lambda: call(x, np.ones(3, int)), name, "alpha")
    checks.raises_sentence(TypeError, lambda: call(x, torch.ones(3)), name, "alpha")
    checks.raises_sentence(TypeError, lambda: call(x, "1.5"), name, "alpha")


def test_refusals_of_targets():
    name, x = "entmax_conjugate", np.zeros((3, 4))
    for target in (np.array([0, 4, 1]), np.array([0, -1, 1])):
        found = checks.raises_sentence(ValueError, lambda t=target: entmax_conjugate(x, target=t), name, "target")
        assert "for row 1" in found
    share = np.full((3, 4), 0.25)
    share[2, 3] = -0.1
    checks.raises_sentence(ValueError, lambda: entmax_conjugate(x, target=share), name, "target", contains="row 2")
    for wrong in (np.zeros((3, 4), int), np.zeros(3), np.zeros((3, 5)), np.zeros((4, 3))):
        checks.raises_sentence(ValueError, lambda w=wrong: entmax_conjugate(x, target=w), name, "target")
    checks.raises_sentence(ValueError, lambda: entmax_conjugate(x, target=np.zeros(3), dim=0), name, "target")
    for wrong in (np.zeros((3, 4), bool), torch.zeros(3, dtype=torch.int64), [0, 1, 2]):
        checks.raises_sentence(TypeError, lambda w=wrong: entmax_conjugate(x, target=w), name, "target")
