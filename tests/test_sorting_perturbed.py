"""perturbed and blackbox_rank: laws of the noise, unbiased gradients, definitions."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import checks
import oracles_sorting_topk as oracles
import torch_checks
from argrad import _torch
from argrad.sorting import blackbox_rank, perturbed


def noise_of(noise, shape, seed, samples=1):
    """The noise itself: the input of the function at x = 0 and sigma = 1."""
    seen = []

    def record(points):
        seen.append(points.copy())
        return points

    perturbed(record, np.zeros(shape), noise=noise, samples=samples, random_state=seed)
    return np.concatenate(seen)


def deviation(z, noise):
    """Kolmogorov and Smirnov's distance to the noise's distribution, times the root of the number of draws."""
    z = np.sort(z.ravel())
    normal = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in z])
    expected = np.exp(-np.exp(-z)) if noise == "gumbel" else normal
    n = len(z)
    steps = np.arange(n + 1) / n
    return math.sqrt(n) * max((steps[1:] - expected).max(), (expected - steps[:-1]).max())


LIMIT = 2.23  # exceeded with probability 1e-4 by the right law


@pytest.mark.parametrize("noise", ["gaussian", "gumbel"])
def test_the_noise_has_its_law(noise):
    z = noise_of(noise, (50, 401), seed=3, samples=2)
    assert deviation(z, noise) < LIMIT
    # Neighbours, samples and rows are independent: correlations are of the order of 1 / sqrt(count).
    centred = (z - z.mean()) / z.std()
    for axis in range(3):
        left, right = (np.take(centred, range(*ends), axis) for ends in ((z.shape[axis] - 1,), (1, z.shape[axis])))
        assert abs((left * right).mean()) < 4 / math.sqrt(left.size), axis
    squares = centred**2 - 1
    assert abs((squares[..., :-1] * squares[..., 1:]).mean()) < 20 / math.sqrt(z.size)


def test_the_test_of_the_law_rejects_wrong_noise():
    rng = np.random.default_rng(0)
    wrong = {
        "scaled": 1.07 * rng.standard_normal(40_000),
        "shifted": rng.standard_normal(40_000) + 0.06,
        "uniforms": rng.random((40_000, 12)).sum(1) * 1.07 - 6.42,
        "student": rng.standard_t(5, 40_000),
    }
    for name, z in wrong.items():
        assert deviation(z, "gaussian") > LIMIT, name
    assert deviation(rng.gumbel(0.07, 1, 40_000), "gumbel") > LIMIT
    assert deviation(rng.standard_normal(40_000), "gumbel") > LIMIT


def winner(points):
    return torch.nn.functional.one_hot(points.argmax(-1), points.shape[-1])


def estimate(x, g, seed, samples, **options):
    x = x.clone().requires_grad_()
    y = perturbed(winner, x, sigma=0.7, samples=samples, random_state=seed, **options)
    return y.detach(), torch.autograd.grad(y, x, g)[0]


@pytest.mark.parametrize("control_variate", [True, False])
def test_gumbel_noise_on_the_winner_is_the_softmax(control_variate):
    x, g = torch.tensor([0.3, -0.4, 1.0], dtype=torch.float64), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    exact_x = x.clone().requires_grad_()
    exact = torch.softmax(exact_x / 0.7, -1)
    (gradient,) = torch.autograd.grad(exact, exact_x, g)
    pairs = [estimate(x, g, s, 400, noise="gumbel", control_variate=control_variate) for s in range(60)]
    for found, expected in zip(map(torch.stack, zip(*pairs, strict=True)), (exact.detach(), gradient), strict=True):
        error = (found.mean(0) - expected) / (found.std(0) / math.sqrt(len(found)))
        assert error.abs().max() < 4, error
        # The check has power: a third more would be seen.
        assert ((4 / 3 * found.mean(0) - expected) / (found.std(0) / math.sqrt(len(found)))).abs().max() > 4


def test_the_gaussian_gradient_of_a_linear_function_is_unbiased():
    x, g = torch.zeros(2, 3, dtype=torch.float64), torch.arange(6, dtype=torch.float64).reshape(2, 3)
    matrix = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [3.0, 0.0, 1.0]], dtype=torch.float64)
    grads = []
    for seed in range(80):
        moved = x.clone().requires_grad_()
        y = perturbed(lambda points: points @ matrix, moved, sigma=2.0, samples=50, random_state=seed)
        grads.append(torch.autograd.grad(y, moved, g)[0])
    grads = torch.stack(grads)
    error = (grads.mean(0) - g @ matrix.mT) / (grads.std(0) / math.sqrt(len(grads)))
    assert error.abs().max() < 4, error


def test_the_control_variate_lowers_the_variance():
    x, g = torch.tensor([0.0, 4.0, 0.5]), torch.ones(3)
    spread = {
        use: torch.stack([estimate(x, g.cos() * torch.arange(3.0), s, 20, control_variate=use)[1] for s in range(40)])
        for use in (True, False)
    }
    assert spread[True].std(0).sum() < 0.5 * spread[False].std(0).sum()


def test_one_seed_gives_one_result_whatever_comes_at_once(monkeypatch, rng):
    from argrad.sorting import _perturbed

    x = rng.standard_normal((4, 5)).astype(np.float32)

    def both():
        moved = torch.from_numpy(x).requires_grad_()
        y = perturbed(blackbox_rank, moved, random_state=7)
        return y.detach(), torch.autograd.grad(y, moved, torch.ones_like(y).cumsum(-1))[0]

    expected = both()
    monkeypatch.setattr(_perturbed, "AT_ONCE", 60)
    checks.assert_same(expected, both())
    checks.same_for_all_threads_and_levels(both, threads=(1, 3))
    checks.assert_same(expected[0][:2], perturbed(blackbox_rank, torch.from_numpy(x[:2]), random_state=7))
    checks.follows_seed(lambda state: perturbed(blackbox_rank, x, random_state=state))
    checks.keeps_dtype(lambda x: perturbed(blackbox_rank, x, random_state=1), x)
    checks.keeps_kind(lambda x: perturbed(blackbox_rank, x, random_state=1), x)


def test_perturbed_works_under_transforms_and_has_one_derivative(rng):
    x = torch.from_numpy(rng.standard_normal((2, 5)))

    def first(x):
        return perturbed(blackbox_rank, x, samples=10, random_state=3)[..., 0].sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(first(leaf), leaf)
    assert_close(torch.func.grad(first)(x), expected)
    # vmap numbers its items as lists of one call.
    assert_close(torch.vmap(torch.func.grad(first))(x), expected)
    assert_close(torch.compile(first, backend="aot_eager")(x), first(x))
    (again,) = torch.autograd.grad(first(leaf) ** 2, leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="perturbed: there is one derivative, a second was asked for"):
        again.sum().backward()
    half = x.half().requires_grad_()
    perturbed(blackbox_rank, half, samples=10, random_state=3).sum().backward()
    assert half.grad.dtype == torch.float16


def test_perturbed_on_empty_and_scalar_results():
    assert perturbed(blackbox_rank, np.zeros((0, 3))).shape == (0, 3)
    assert perturbed(blackbox_rank, np.zeros((2, 0))).shape == (2, 0)
    x = torch.zeros(4, 3, requires_grad=True)
    y = perturbed(lambda points: points.amax(-1), x, random_state=0)
    assert y.shape == (4,)
    y.sum().backward()
    assert x.grad.shape == (4, 3)


def test_perturbed_refuses_bad_input():
    x = np.zeros((2, 3))
    bad = {"sigma": [0.0, -1.0, np.nan], "samples": [0], "noise": ["cauchy"], "random_state": [-1]}
    for argument, values in bad.items():
        for value in values:
            options = {argument: value}
            checks.raises_sentence(
                ValueError, lambda o=options: perturbed(blackbox_rank, x, **o), "perturbed", argument
            )
    checks.raises_sentence(TypeError, lambda: perturbed(None, x), "perturbed", "function")
    checks.raises_sentence(TypeError, lambda: perturbed(lambda v: v.tolist(), x), "perturbed", "function")
    checks.raises_sentence(ValueError, lambda: perturbed(lambda v: v.sum(0), x), "perturbed", "function")
    checks.raises_sentence(TypeError, lambda: perturbed(blackbox_rank, x.astype(int)), "perturbed", "x")


@pytest.mark.parametrize("descending", [False, True])
def test_blackbox_gradients_are_what_they_are_defined_to_be(descending, dtype, rng):
    x = rng.standard_normal((4, 20)).astype(dtype)
    g = rng.standard_normal((4, 20)).astype(dtype)
    x[:, 3] = x[:, 5]
    for interpolation in (1e-3, 0.5, 20.0):
        leaf = torch.tensor(x, requires_grad=True)
        y = blackbox_rank(leaf, interpolation=interpolation, descending=descending)
        np.testing.assert_array_equal(y.detach(), [oracles.rank(row, descending) for row in x])
        (found,) = torch.autograd.grad(y, leaf, torch.tensor(g))
        step = dtype.type(interpolation)
        expected = [oracles.blackbox_gradient(a, b, step, descending) for a, b in zip(x, g, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_blackbox_masks_ragged_lists_nan_and_bad_input(rng):
    x = torch.from_numpy(rng.standard_normal((2, 7))).requires_grad_()
    mask = torch.tensor([True, False, True, True, True, False, True]).expand(2, 7)
    y = blackbox_rank(x, mask=mask)
    assert y[~mask].isnan().all()
    (found,) = torch.autograd.grad(y, x, torch.full_like(y, 2.0).masked_fill(~mask, torch.nan))
    assert (found[~mask] == 0).all()
    ragged = blackbox_rank(x, offsets=torch.tensor([0, 3, 7]), interpolation=3.0)
    (found,) = torch.autograd.grad(ragged, x, torch.arange(14.0, dtype=x.dtype).reshape(2, 7))
    part = x.detach()[:, 3:].clone().requires_grad_()
    upstream = torch.arange(14.0, dtype=x.dtype).reshape(2, 7)[:, 3:]
    assert_close(found[:, 3:], torch.autograd.grad(blackbox_rank(part, interpolation=3.0), part, upstream)[0])
    checks.keeps_nan_in_its_row(blackbox_rank, np.arange(9.0).reshape(3, 3))
    np.testing.assert_array_equal(blackbox_rank(np.array([np.inf, -np.inf, 0.0])), [3, 1, 2])
    for value in (0.0, -1.0, np.nan):
        checks.raises_sentence(
            ValueError, lambda v=value: blackbox_rank(np.ones(3), interpolation=v), "blackbox_rank", "interpolation"
        )
    checks.raises_sentence(TypeError, lambda: blackbox_rank(np.ones(3), fill="x"), "blackbox_rank", "fill")
    checks.treats_rows_alone(blackbox_rank, rng.standard_normal((5, 9)))
    checks.accepts_any_layout(blackbox_rank, rng.standard_normal((5, 9)))


BLACKBOX = torch_checks.Row(
    name="blackbox_rank",
    call=lambda x: blackbox_rank(x, interpolation=3.0),
    inputs=lambda size, seed: (
        torch.randn((3, size), dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 2)),
    ),
    differentiable=(0,),
    raw=lambda: _torch.blackbox_rank and torch.ops.argrad.blackbox_rank.default,
    arguments=lambda inputs: (*inputs, None, None, 3.0, False, math.nan),
)
# The gradient is not that of the ranks, so that no check may compare it with differences.
DIFFERENCES = ("gradients_are_right", "second_derivatives_are_right")


@pytest.mark.parametrize(
    "check",
    [check for check in torch_checks.CHECKS if check.__name__ not in DIFFERENCES],
    ids=lambda check: check.__name__,
)
def test_torch(check):
    check(BLACKBOX)
