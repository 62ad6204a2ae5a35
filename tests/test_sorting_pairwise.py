"""pairwise_sum: values against loops, bounds, special values, masks, ragged lists, errors."""

import itertools

import numpy as np
import pytest
import torch

import argrad
import checks
import oracles_sorting_pairwise as oracles
from argrad.sorting import pairwise_sum

KERNELS = ("sigmoid", "softplus")
# What the docstring says, for float32 and float64; the second is the native function's flag for single precision.
BOUNDS = {
    ("sigmoid", True): 1.3e-8,
    ("softplus", True): 7.2e-8,
    ("sigmoid", False): 1.4e-13,
    ("softplus", False): 8e-13,
}

PLACEMENTS = {
    "crowded": lambda rng, n: rng.standard_normal(n),
    "spread": lambda rng, n: rng.uniform(-1e3, 1e3, n),
    "islands": lambda rng, n: 1e8 * rng.integers(0, 5, n) + rng.standard_normal(n),
    "equal": lambda rng, n: np.full(n, 0.25),
    "powers": lambda rng, n: rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-30, 30, n),
    "borders": lambda rng, n: 3.0 * rng.integers(-8, 8, n) + rng.choice([0, 1e-12, 3 - 1e-12], n),
}


def loops(x, y, weights=None, kernel="sigmoid", temperature=1.0):
    weights = np.ones(len(y)) if weights is None else weights
    return np.array(oracles.pairwise_sum(x.tolist(), y.tolist(), weights.tolist(), kernel, temperature))


def error(found, expected, weights):
    """The largest error relative to the sum of absolute weights, or to the value where that is larger."""
    size = np.maximum(np.abs(expected), np.abs(weights).sum())
    return np.max(np.abs(found - expected) / size, initial=0)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [(7, 5), (130, 90)])
def test_sums_agree_with_loops(placement, kernel, size, rng, dtype):
    x, y = (PLACEMENTS[placement](rng, n).astype(dtype) for n in size)
    weights = rng.standard_normal(size[1]).astype(dtype)
    for temperature in (1.0, 0.125, 32.0):
        found = pairwise_sum(x, y, weights=weights, kernel=kernel, temperature=temperature)
        expected = loops(*(v.astype(np.float64) for v in (x, y, weights)), kernel, temperature)
        single = dtype == np.float32
        bound = BOUNDS[kernel, single] + (6e-8 if single else 4e-15)
        assert found.dtype == dtype
        assert error(found.astype(np.float64), expected, weights) <= bound


@pytest.mark.parametrize("kernel", KERNELS)
def test_single_precision_is_exact_to_a_millionth(kernel, rng):
    x, y = (rng.standard_normal(n).astype(np.float32) for n in (700, 500))
    for temperature in (0.01, 1.0, 100.0):
        found = pairwise_sum(x, y, kernel=kernel, temperature=temperature)
        tau = float(np.float32(temperature))
        z = (x.astype(np.float64)[:, None] - y.astype(np.float64)) / tau
        expected = (1 / (1 + np.exp(-z)) if kernel == "sigmoid" else np.logaddexp(0, z)).sum(1)
        some = expected > 1e-6 * len(y)
        assert some.any()
        assert np.abs(found / expected - 1)[some].max() < 1e-6


@pytest.mark.parametrize(("kernel", "single"), BOUNDS)
def test_the_certified_bound_is_what_the_docstring_says(kernel, single, capsys):
    bound = argrad._native.pair_sums_bound(kernel, single)
    with capsys.disabled():
        print(f" [certified bound of {kernel}, {'float32' if single else 'float64'}: {bound:.2e}]", end="")
    assert 0.8 * BOUNDS[kernel, single] < bound <= BOUNDS[kernel, single]
    assert f"{BOUNDS[kernel, single]:.1e}".replace("e-0", "e-") in pairwise_sum.__doc__


def test_a_range_of_1e8_temperatures_costs_nothing_and_is_exact():
    n = 20_000
    x = np.linspace(0, 1e8, n)
    y = x[::-1] + 0.5
    # Neighbours are 5000 temperatures apart: all fields but the own are far.
    below = np.arange(n) + 1 / (1 + np.exp(0.5))
    assert np.abs(pairwise_sum(x, y) - below).max() <= 1e-12 * n
    total = pairwise_sum(x, y, kernel="softplus")
    exact = [sum((x[i] - y[n - i :]).tolist()) + np.log1p(np.exp(-0.5)) for i in (1, 2, n // 2)]
    assert np.allclose(total[[1, 2, n // 2]], exact, rtol=1e-13)


@pytest.mark.parametrize("temperature", [1e-8, 1e8])
def test_extreme_temperatures_and_values(temperature):
    x = np.array([1e30, -1e30, 0.0, 1.0, 1.0])
    found = pairwise_sum(x, x, temperature=temperature)
    assert np.allclose(found, loops(x, x, temperature=temperature), rtol=1e-12)
    found = pairwise_sum(x, x, kernel="softplus", temperature=temperature)
    assert np.allclose(found, loops(x, x, kernel="softplus", temperature=temperature), rtol=1e-12)


def test_infinities_and_weights_of_zero():
    x = np.array([-np.inf, -1.0, 2.0, np.inf, np.inf])
    y = np.array([np.inf, 0.5, -np.inf, np.inf, 1.0])
    for weights in (np.ones(5), np.array([1.0, -2.0, 0.0, 0.0, 0.5]), np.array([0.0, 1.0, 0.0, 0.0, 1.0])):
        for kernel in KERNELS:
            for repeats in (1, 60):  # one by one, and by panels
                found = pairwise_sum(
                    np.tile(x, repeats), np.tile(y, repeats), weights=np.tile(weights, repeats), kernel=kernel
                )
                expected = repeats * loops(x, y, weights, kernel)
                assert np.allclose(found[:5], expected, rtol=1e-12, equal_nan=True), (weights, kernel, repeats)


def test_nan_spoils_its_list_alone():
    x = np.arange(12.0).reshape(3, 4)
    good = pairwise_sum(x, x)
    for argument in ("x", "y", "weights"):
        arrays = {"x": x.copy(), "y": x.copy(), "weights": np.ones_like(x)}
        arrays[argument][1, 2] = np.nan
        found = pairwise_sum(arrays["x"], arrays["y"], weights=arrays["weights"])
        assert np.isnan(found[1]).all()
        checks.assert_same(found[[0, 2]], good[[0, 2]])
        if argument != "weights":
            # A masked item may hold anything.
            mask = ~np.isnan(arrays[argument])
            masks = {"mask": mask} if argument == "x" else {"y_mask": mask}
            assert np.isfinite(pairwise_sum(arrays["x"], arrays["y"], **masks)).all()
    weights = np.ones_like(x)
    weights[2, 0] = np.inf
    assert np.isnan(pairwise_sum(x, x, weights=weights)).all(1).tolist() == [False, False, True]


def test_masked_items_count_for_nothing(rng):
    x, y, weights = (rng.standard_normal((3, n)) for n in (150, 120, 120))
    mask, y_mask = rng.random(x.shape) < 0.6, rng.random(y.shape) < 0.6
    mask[2], y_mask[1] = False, False
    tensors = [torch.from_numpy(v).requires_grad_() for v in (x, y, weights)]
    found = pairwise_sum(*tensors[:2], weights=tensors[2], mask=torch.from_numpy(mask), y_mask=torch.from_numpy(y_mask))
    found.square().sum().backward()
    for i in range(3):
        kept = [v[i][m[i]] for v, m in ((x, mask), (y, y_mask), (weights, y_mask))]
        parts = [torch.from_numpy(v).requires_grad_() for v in kept]
        alone = pairwise_sum(*parts[:2], weights=parts[2])
        alone.square().sum().backward()
        checks.assert_same(found[i][torch.from_numpy(mask[i])], alone)
        for tensor, part, m in zip(tensors, parts, (mask, y_mask, y_mask), strict=True):
            checks.assert_same(tensor.grad[i][torch.from_numpy(m[i])], part.grad)
    assert (found.detach().numpy()[~mask] == 0).all()
    for tensor, m in zip(tensors, (mask, y_mask, y_mask), strict=True):
        assert (tensor.grad.numpy()[~m] == 0).all()


def test_items_without_weight_or_gradient_get_exactly_nothing(rng):
    x, y = (torch.from_numpy(rng.standard_normal(200)).requires_grad_() for _ in range(2))
    weights = torch.from_numpy((rng.random(200) < 0.5).astype(float))
    sums = pairwise_sum(x, y, weights=weights, kernel="softplus")
    (sums * (1 - weights)).sum().backward()
    assert (x.grad[weights == 1] == 0).all()
    assert (y.grad[weights == 0] == 0).all()
    assert (x.grad[weights == 0] > 0).all()
    assert (y.grad[weights == 1] < 0).all()


def test_ragged_lists_are_lists(rng):
    x, y = rng.standard_normal((2, 300)), rng.standard_normal((2, 250))
    offsets, y_offsets = np.array([0, 3, 3, 120, 300]), np.array([0, 100, 110, 110, 250], np.int32)
    temperature = rng.uniform(0.5, 2, (2, 4))
    found = pairwise_sum(x, y, offsets=offsets, y_offsets=y_offsets, temperature=temperature)
    for row, i in itertools.product(range(2), range(4)):
        part, other = slice(*offsets[i : i + 2]), slice(*y_offsets[i : i + 2])
        checks.assert_same(
            found[row, part], pairwise_sum(x[row, part], y[row, other], temperature=temperature[row, i].item())
        )


def test_leading_dimensions_broadcast(rng):
    x, y, weights = rng.standard_normal((4, 1, 6)), rng.standard_normal((3, 5)), rng.random(5)
    found = pairwise_sum(x, y, weights=weights, mask=np.ones(x.shape, bool), y_mask=np.ones(y.shape, bool))
    assert found.shape == (4, 3, 6)
    for i, j in itertools.product(range(4), range(3)):
        checks.assert_same(found[i, j], pairwise_sum(x[i, 0], y[j], weights=weights))
    tensors = [torch.from_numpy(v).requires_grad_() for v in (x, y, weights)]
    pairwise_sum(*tensors[:2], weights=tensors[2]).sum().backward()
    assert [tuple(t.grad.shape) for t in tensors] == [x.shape, y.shape, weights.shape]


def test_empty():
    assert pairwise_sum(np.zeros(3), np.zeros(0)).tolist() == [0, 0, 0]
    assert pairwise_sum(np.zeros(0), np.zeros(3)).shape == (0,)
    assert pairwise_sum(np.zeros((2, 4)), np.zeros((2, 0))).tolist() == [[0] * 4] * 2
    assert pairwise_sum(np.zeros((0, 4)), np.zeros((0, 3))).shape == (0, 4)
    empty = np.zeros(1, np.int64)
    assert pairwise_sum(np.zeros(0), np.zeros(0), offsets=empty, y_offsets=empty).shape == (0,)
    x, y = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 0, requires_grad=True)
    pairwise_sum(x, y).sum().backward()
    assert x.grad.tolist() == [[0.0] * 3] * 2
    assert y.grad.shape == (2, 0)
    assert pairwise_sum(np.zeros(1), np.zeros(1)).tolist() == [0.5]


def test_generic(rng):
    x = rng.standard_normal((4, 120))
    checks.keeps_dtype(lambda x: pairwise_sum(x, x), x)
    checks.keeps_kind(lambda x: pairwise_sum(x, x), x)
    checks.accepts_any_layout(lambda x: pairwise_sum(x, x), x)
    checks.leaves_input_alone(lambda x: pairwise_sum(x, x), x)
    checks.treats_rows_alone(lambda x: pairwise_sum(x, x, kernel="softplus"), x)
    checks.keeps_nan_in_its_row(lambda x: pairwise_sum(x, x), x)


@pytest.mark.parametrize("spread", [5.0, 1e4])
def test_threads_and_levels_do_not_matter(spread, dtype):
    rng = np.random.default_rng(0)
    x, y = ((spread * rng.standard_normal(n)).astype(dtype) for n in (20_000, 9_000))

    def call():
        a, b = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y).requires_grad_()
        sums = pairwise_sum(a, b, kernel="softplus")
        sums.square().sum().backward()
        return sums, a.grad, b.grad

    checks.same_for_all_threads_and_levels(call, threads=(1, 2, 3))


@pytest.mark.parametrize(
    ("error", "argument", "change"),
    [
        (ValueError, "kernel", {"kernel": "tanh"}),
        (ValueError, "temperature", {"temperature": 0.0}),
        (ValueError, "temperature", {"temperature": float("nan")}),
        (ValueError, "temperature", {"temperature": np.array([1.0, -1.0])}),
        (ValueError, "temperature", {"temperature": np.ones(3)}),
        (TypeError, "x", {"x": np.ones((2, 3), int)}),
        (TypeError, "y", {"y": [1.0]}),
        (TypeError, "y", {"y": np.ones((2, 4), np.float32)}),
        (TypeError, "weights", {"weights": np.ones(4, bool)}),
        (ValueError, "weights", {"weights": np.ones(3)}),
        (ValueError, "y", {"y": np.ones((3, 4))}),
        (TypeError, "mask", {"mask": np.ones((2, 3))}),
        (ValueError, "y_mask", {"y_mask": np.ones((2, 3), bool)}),
        (ValueError, "y_offsets", {"offsets": np.array([0, 3])}),
        (ValueError, "y_offsets", {"offsets": np.array([0, 3]), "y_offsets": np.array([0, 1, 4])}),
        (ValueError, "y_offsets", {"offsets": np.array([0, 3]), "y_offsets": np.array([0, 3])}),
        (ValueError, "offsets", {"offsets": np.array([0, 4, 3]), "y_offsets": np.array([0, 1, 4])}),
    ],
)
def test_bad_input(error, argument, change):
    arguments = {"x": np.ones((2, 3)), "y": np.ones((2, 4))} | change
    x, y = arguments.pop("x"), arguments.pop("y")
    checks.raises_sentence(error, lambda: pairwise_sum(x, y, **arguments), "pairwise_sum", None, contains=argument)
