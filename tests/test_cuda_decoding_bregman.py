"""The kernels of Bregman decoding give what the host gives, run on the host by the emulator."""

import contextlib

import numpy as np
import pytest
import torch

import argrad
from argrad.decoding import bregman_decode, bregman_project

PRIMAL = [0.3, 0.9, 1.0, 1.1, 1.5, 1.9, 2.0, 2.5, 5.0]
DUAL = [1.05, 1.5, 2.0, 2.5, 3.0]
FIXED = [(-np.inf, False), (-2.0, False), (0.0, False), (np.inf, False), (1.0, True)]
MEMBERS = [*[(alpha, False) for alpha in PRIMAL], *[(alpha, True) for alpha in DUAL]]


def agree(found, expected):
    """Whether two draws are the same, and their log-probabilities up to rounding."""
    assert np.asarray(found[0]).tolist() == np.asarray(expected[0]).tolist()
    assert np.asarray(found[1]).tolist() == np.asarray(expected[1]).tolist()
    np.testing.assert_allclose(np.asarray(found[2]), np.asarray(expected[2]), rtol=1e-12, atol=1e-12)


def same(device, logits, **options):
    """Require that a draw on the device is that of the host."""
    options = {"seed": 5, **options}
    expected = bregman_decode(logits, **options)
    with device():
        agree(bregman_decode(logits, **options), expected)
    return expected


@pytest.mark.parametrize(("alpha", "dual"), MEMBERS)
def test_adaptive(device, rng, alpha, dual):
    # One row at many prices, so that a gain that is a little wrong changes a size.
    logits = np.repeat(rng.normal(size=(1, 270)), 14, axis=0)
    _, size, _ = same(device, logits, alpha=alpha, dual=dual, penalty=np.geomspace(3e-6, 2.0, 14))
    assert len(set(size.tolist())) > 3


@pytest.mark.parametrize(("alpha", "dual"), [*MEMBERS, *FIXED])
def test_fixed(device, rng, alpha, dual):
    logits = 3 * rng.normal(size=(2, 90))
    logits[1, 4:] = -np.inf
    same(device, logits, alpha=alpha, dual=dual, k=40)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"k": 50},
        {"penalty": 0.01},
        {"penalty": 1e-4, "alpha": 1.5},
        {"penalty": 2e-5, "alpha": 2.5, "max_k": 70},
        {"k": 400, "alpha": 2.0},
        {"k": 700, "alpha": 1.5, "temperature": 0.7},
    ],
    ids=str,
)
def test_long_rows(device, rng, dtype, options):
    logits = torch.tensor(2 * rng.normal(size=(2, 9000))).to(dtype)
    same(device, logits, **options)


@pytest.mark.parametrize("alpha", [0.9, 1.0, 1.5, 2.0])
def test_searches_that_need_more_tokens_than_have_room(device, rng, alpha):
    logits = rng.normal(size=(4, 2500)) * 0.1
    _, size, _ = same(device, logits, alpha=alpha, penalty={0.9: 1.1e-3, 1.0: 1.5e-3, 1.5: 2e-5, 2.0: 1e-6}[alpha])
    assert size.min() > 512


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 33), (2, 4096), (1, 9000), (0, 5)])
@pytest.mark.parametrize("kind", ["normal", "masked", "far"])
def test_draws_from_all_tokens(device, rng, shape, kind):
    logits = rng.normal(size=shape).astype(np.float32)
    if kind == "masked":
        logits[..., 1::3] = -np.inf
    elif kind == "far":
        logits[..., 1::2] = -1e9
    for step in range(3):
        expected = bregman_decode(logits, penalty=0.0, seed=1, step=step)
        with device():
            found = bregman_decode(logits, penalty=0.0, seed=1, step=step)
            many = bregman_decode(logits, k=shape[1], seed=1, step=step)
        for draw in (found, many):
            assert draw[0].tolist() == expected[0].tolist()
            assert draw[1].tolist() == expected[1].tolist()
            np.testing.assert_allclose(draw[2], expected[2], atol=2e-7)


def test_parameters_for_each_row(device, rng):
    logits = torch.tensor(rng.normal(size=(2, 3, 40)))
    seed = torch.tensor(rng.integers(-(2**62), 2**62, size=(2, 3)))
    row = torch.arange(6).reshape(2, 3) + 2**31
    temperature = torch.tensor([[0.0, 1.0, 0.5], [2.0, 1e-3, 100.0]])
    k = torch.tensor([[1, 2, 39], [40, 41, 2**40]])
    penalty = torch.tensor([[0.0, np.inf, 1e-12], [1.0, 1e-3, 0.0]], dtype=torch.float64)
    for options in ({"k": k}, {"penalty": penalty}, {"penalty": penalty, "alpha": 1.5, "max_k": 5}):
        same(device, logits, **options, temperature=temperature, seed=seed.abs(), row=row, step=row - 7)
    same(device, logits.numpy(), k=k.numpy(), temperature=temperature.numpy(), seed=3, row=row.numpy(), step=4)


def test_ties_are_in_the_order_of_places(device):
    logits = np.zeros((2, 5000), np.float32)
    logits[1, ::7] = 1.0
    _, size, _ = same(device, logits, k=100)
    assert size.tolist() == [100, 100]
    same(device, logits, penalty=0.05, alpha=1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": (1, np.nan)}, "logits must be finite or -inf, got NaN at row 1, column 3"),
        ({"logits": (1, np.inf)}, "logits must be finite or -inf, got inf at row 1, column 3"),
        ({"temperature": np.array([1.0, -1.0, 1.0])}, "temperature must be finite and >= 0, got -1 in row 1"),
        ({"penalty": np.array([1.0, 1e-13, 1.0])}, "penalty must be 0 or >= 1e-12, got .* in row 1"),
        ({"penalty": None, "k": np.array([1, 0, 1])}, "k must be >= 1, got 0 in row 1"),
        ({"step": np.array([1, 2**32, 1])}, "row and step must be .* in row 1"),
    ],
    ids=str,
)
def test_rows_that_the_host_refuses(device, rng, change, message):
    logits = rng.normal(size=(3, 8))
    if "logits" in change:
        logits[1, 3] = change["logits"][1]
    options = {"penalty": 0.1, "seed": 2, **{name: x for name, x in change.items() if name != "logits"}}
    with device():
        token, size, log_probability = bregman_decode(logits, **options)
        assert (
            (token >= 0).tolist() == (size > 0).tolist() == np.isfinite(log_probability).tolist() == [True, False, True]
        )
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=message):
                bregman_decode(logits, **options)
        finally:
            argrad.set_device_validation(False)


def projected(device, logits, upstream=None, **options):
    """Values, indices and sizes on the host and on the device; with an upstream gradient, derivatives too."""
    outcomes = []
    for place in (contextlib.nullcontext, device):
        x = logits.clone().requires_grad_(upstream is not None)
        with place():
            indices, values, size = bregman_project(x, **options)
            width = int(size.max())
            found = [indices[..., :width], values[..., :width].detach(), size]
            if upstream is not None:
                g = upstream[..., :width].clone().requires_grad_()
                (first,) = torch.autograd.grad(values[..., :width], x, g, create_graph=True)
                assert first.dtype == x.dtype
                if first.requires_grad:
                    second = torch.autograd.grad((first * direction(first)).sum(), (x, g), allow_unused=True)
                    found += [y for y in second if y is not None]
                found.append(first.detach())
        outcomes.append(found)
    return outcomes


def direction(x):
    """Some tangent."""
    return torch.linspace(-1, 1, x.numel()).reshape(x.shape).to(x.dtype)


def close(found, expected, tolerance):
    """Whether two lists of tensors agree: integers exactly, numbers relative to the largest of the tensor."""
    assert len(found) == len(expected)
    for y, x in zip(found, expected, strict=True):
        assert (y.dtype, y.shape) == (x.dtype, x.shape)
        if not x.is_floating_point():
            assert torch.equal(y, x)
        elif x.numel():
            scale = x.double().abs().max()
            assert ((y.double() - x.double()).abs() <= tolerance * scale).all()


@pytest.mark.parametrize(("alpha", "dual"), MEMBERS)
def test_project_with_penalties(device, rng, alpha, dual):
    logits = torch.tensor(rng.normal(size=(2, 2, 120)) * np.array([[[1.0], [3.0]], [[0.3], [30.0]]]))
    upstream = torch.tensor(rng.normal(size=(2, 2, 120)))
    expected, found = projected(device, logits, upstream, alpha=alpha, dual=dual, penalty=0.004, temperature=1.2)
    close(found, expected, 1e-12)


@pytest.mark.parametrize(("alpha", "dual"), [*MEMBERS, *FIXED])
def test_project_on_so_many_tokens(device, rng, alpha, dual):
    logits = torch.tensor(2 * rng.normal(size=(3, 50)))
    logits[1, 3:] = -torch.inf
    logits[2, 1:] = -torch.inf
    upstream = torch.tensor(rng.normal(size=(3, 20)))
    k = torch.tensor([20, 20, 7])
    expected, found = projected(device, logits, upstream, alpha=alpha, dual=dual, k=k, max_k=20)
    close(found, expected, 1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("options", [{"k": 30}, {"k": 30, "alpha": 1.5}, {"k": 600, "alpha": 2.0}], ids=str)
def test_project_long_rows(device, rng, dtype, options):
    logits = torch.tensor(2 * rng.normal(size=(2, 9000))).to(dtype)
    upstream = torch.tensor(rng.normal(size=(2, 600))).to(dtype)
    expected, found = projected(device, logits, upstream, **options)
    close(found, expected, 1e-12 if dtype == torch.float64 else 2e-6 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_project_numpy_arrays(device, rng, kind):
    logits = rng.normal(size=(3, 60)).astype(kind)
    expected = bregman_project(logits, penalty=0.01, alpha=1.5)
    with device():
        indices, values, size = bregman_project(logits, penalty=0.01, alpha=1.5)
        empty = bregman_project(logits[:0], k=5)
    assert values.dtype == kind
    assert np.array_equal(indices, expected[0])
    assert np.array_equal(size, expected[2])
    np.testing.assert_allclose(values, expected[1], rtol=1e-13 if kind == np.float64 else 1e-3)
    assert [x.shape for x in empty] == [(0, 5), (0, 5), (0,)]


def test_project_refuses_rows_as_the_host(device, rng):
    logits = torch.tensor(rng.normal(size=(3, 8)))
    logits[1, 3] = torch.nan
    x = logits.clone().requires_grad_()
    with device():
        indices, values, size = bregman_project(x, k=4, alpha=2.0)
        (gradient,) = torch.autograd.grad(values[:, 0].sum(), x)
        assert values.isnan().all(1).tolist() == gradient.isnan().all(1).tolist() == [False, True, False]
        assert size.tolist() == [4, -1, 4]
        assert (indices[1] == -1).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="logits must be finite or -inf, got NaN at row 1, column 3"):
                bregman_project(logits, k=4)
        finally:
            argrad.set_device_validation(False)
