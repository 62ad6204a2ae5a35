"""The kernels of entmax, its conjugate and softmax on the k largest give what the host gives, run by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.decoding import _device_simplex, entmax, entmax_conjugate, sparsemax, topk_softmax

HALVES = [torch.float16, torch.bfloat16]
DTYPES = [*HALVES, torch.float32, torch.float64]
ALPHAS = [1.0, 1.0 + 1e-9, 1.2, 1.5, 1.9, 2.0, 2.5, 4.0]


@pytest.fixture
def crowded(monkeypatch):
    """Little room in shared memory, so that rows themselves are read in each step."""
    monkeypatch.setattr(_device_simplex, "_TOKENS", 0)


def differentiate(operator, *inputs, second=True):
    """Values, first derivatives, and if wanted second ones: of <t, vjp> to the inputs and to the upstream gradient."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    value = operator(*inputs)
    generator = torch.Generator().manual_seed(1)

    def noise(x):
        return torch.randn(x.shape, generator=generator).to(x.dtype)

    upstream = noise(value).requires_grad_()
    first = torch.autograd.grad(value, inputs, upstream, retain_graph=second, create_graph=second)
    if not second:
        return [value, *first]
    eager = torch.autograd.grad(value, inputs, upstream.detach(), retain_graph=True)
    along = sum((x * noise(x)).sum() for x in first)
    return [value, *first, *eager, *torch.autograd.grad(along, [*inputs, upstream], allow_unused=True)]


def alike(found, expected, like):
    """Whether results are equal up to what the order of sums may change in this dtype."""
    assert len(found) == len(expected)
    close = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}[like]
    for part, wanted in zip(found, expected, strict=True):
        if part is None or wanted is None:
            assert part is wanted is None
            continue
        x, y = part.detach(), wanted.detach()
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        if like == torch.float64:
            assert torch.equal(x == 0, y == 0)
        scale = max(1.0, float(y[y.isfinite()].abs().max())) if y.numel() else 1.0
        np.testing.assert_allclose(x.double(), y.double(), rtol=close, atol=close * scale)


def same(device, operator, *inputs, second=True):
    """Require that an operator and its derivatives are the same on the device; return the host's."""
    expected = differentiate(operator, *inputs, second=second)
    with device():
        found = differentiate(operator, *inputs, second=second)
    alike(found, expected, inputs[0].dtype)
    return expected


def scores(rng, *shape):
    """Rounded numbers, so that some are equal, and some that are masked."""
    x = torch.tensor(np.round(2 * rng.normal(size=shape), 2))
    x.reshape(-1)[3::5] = -torch.inf
    return x


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("shape", [(1,), (2, 3, 31), (3, 33), (2, 1500)])
def test_entmax(device, rng, alpha, shape):
    same(device, entmax, scores(rng, *shape), torch.full(shape[:-1], alpha, dtype=torch.float64))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("alpha", [1.0, 1.3, 1.5, 2.0, 3.0])
def test_entmax_of_long_rows(device, rng, dtype, alpha):
    x = scores(rng, 2, 9000).to(dtype)
    same(device, lambda x: entmax(x, alpha), x, second=dtype == torch.float64)


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("v", [300, 4097])
@pytest.mark.parametrize("alpha", [1.0, 1.3, 2.0, 3.0])
def test_entmax_without_room_for_a_list(device, rng, v, alpha):
    same(device, entmax, scores(rng, 2, v), torch.tensor([alpha, 1.5], dtype=torch.float64))


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0, 2.5])
@pytest.mark.parametrize("kind", ["equal", "far", "one", "alone", "flat"])
def test_entmax_of_odd_rows(device, rng, dtype, alpha, kind):
    x = {
        "equal": np.full((2, 700), 3.0),
        "far": rng.normal(size=(2, 700)) + 1e4,
        "one": np.where(np.arange(700) == 77, 1e30, rng.normal(size=(2, 700))),
        "alone": np.where(np.arange(700) == 77, -2.0, np.full((2, 700), -np.inf)),
        "flat": rng.normal(size=(2, 700)) * 1e-7,
    }[kind].astype(dtype)
    same(device, lambda x: entmax(x, alpha), torch.tensor(x))


def test_entmax_along_another_dimension(device, rng):
    x = scores(rng, 4, 30, 3)
    x[:, 0] = 1.0
    alpha = torch.tensor(rng.uniform(1.0, 3.0, size=(1, 3)))
    same(device, lambda x, alpha: entmax(x, alpha, dim=1), x, alpha)
    expected = sparsemax(x.numpy(), dim=1)
    with device():
        np.testing.assert_allclose(sparsemax(x.numpy(), dim=1), expected, atol=1e-14)
        assert sparsemax(torch.zeros(0, 5)).shape == (0, 5)
        assert entmax_conjugate(torch.zeros(0, 5)).shape == (0,)


def test_sparsemax_is_exact(device):
    x = np.array([[1.0, 0.5, -1.0]], np.float32)
    with device():
        assert sparsemax(x).tolist() == [[0.75, 0.25, 0.0]]


@pytest.mark.parametrize("dtype", [*HALVES, torch.float32], ids=str)
def test_entmax_keeps_dtypes(device, rng, dtype):
    x = scores(rng, 2, 40).to(dtype)
    same(device, lambda x: entmax(x, 1.5), x)
    for target in (None, torch.tensor([3, 7]), torch.softmax(x.float(), -1).to(dtype)):
        same(device, lambda x, target=target: entmax_conjugate(x, 1.5, target=target), x)


def targets(rng, kind, v):
    """Nothing, a class, or a distribution with zeros, of two rows."""
    if kind == "shares":
        shares = torch.tensor(rng.uniform(size=(2, v)))
        shares[:, 1::3] = 0.0
        return shares / shares.sum(-1, keepdim=True)
    return torch.tensor([0, v - 1]) if kind == "classes" else None


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("kind", ["nothing", "classes", "shares"])
def test_conjugate(device, rng, alpha, kind):
    x, target = 2 * torch.tensor(rng.normal(size=(2, 130))), targets(rng, kind, 130)
    alphas = torch.full((2,), alpha, dtype=torch.float64)
    same(device, lambda x, alpha: entmax_conjugate(x, alpha, target=target), x, alphas)


@pytest.mark.parametrize("room", [0, 8])
@pytest.mark.parametrize("kind", ["nothing", "classes", "shares"])
def test_conjugate_of_long_rows(device, rng, monkeypatch, kind, room):
    monkeypatch.setattr(_device_simplex, "_TOKENS", room)
    x, target = 2 * torch.tensor(rng.normal(size=(2, 4500))), targets(rng, kind, 4500)
    alphas = torch.tensor([1.5, 1.0], dtype=torch.float64)
    same(device, lambda x, alpha: entmax_conjugate(x, alpha, target=target), x, alphas)


def test_conjugate_of_a_masked_target_and_without_upstream(device, rng):
    x, target = scores(rng, 2, 20), torch.tensor([3, 4])
    x[:, 3] = -torch.inf
    with device():
        value = entmax_conjugate(x.requires_grad_(), target=target)
        (gradient,) = torch.autograd.grad(value, x, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert torch.isinf(value[0])
    assert torch.equal(value, entmax_conjugate(x, target=target))
    assert not gradient[0].any()
    assert gradient[1].any()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("v", "k"), [(1, 1), (31, 4), (300, 300), (5000, 8), (9000, 30)])
def test_topk_softmax(device, rng, dtype, v, k, bias):
    x = scores(rng, 2, v).to(dtype)
    x[:, 0] = 1.0
    sizes = torch.tensor([k, 2**40])
    added = torch.tensor(np.round(rng.normal(size=v), 1)).to(dtype) if bias else None

    def operator(x):
        return topk_softmax(x, sizes, temperature=0.7, selection_bias=added)

    same(device, operator, x, second=dtype.itemsize > 2)


@pytest.mark.parametrize("v", [50, 4200])
@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_topk_softmax_of_ties(device, rng, v, k, bias, temperature):
    x = torch.tensor(rng.integers(-1, 2, size=(3, v)).astype(np.float32)) * 0.0
    x[1] = torch.tensor(rng.integers(0, 2, size=v).astype(np.float32))
    x[2, 5:] = -torch.inf
    added = torch.tensor(rng.integers(0, 2, size=v).astype(np.float32)) if bias else None

    def operator(x):
        return topk_softmax(x, k, temperature=temperature, selection_bias=added)

    expected = same(device, operator, x)
    with device():
        assert torch.equal(operator(x) > 0, expected[0] > 0)


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("k", [5, 100])
def test_topk_softmax_without_room_for_a_list(device, rng, k):
    same(device, lambda x: topk_softmax(x, k), torch.tensor(rng.normal(size=(2, 4300))))


@pytest.mark.parametrize("v", [12, 4100])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_rows_that_the_host_refuses(device, rng, v, number):
    x = torch.tensor(rng.normal(size=(3, v)))
    x[1, slice(None) if number == -np.inf else 4] = number
    message = "got only -inf in row 1" if number == -np.inf else "finite or -inf, got .* at row 1, column 4"
    operators = [
        sparsemax,
        entmax_conjugate,
        lambda x: topk_softmax(x, 2),
        lambda x: topk_softmax(x, 2, selection_bias=torch.zeros(v, dtype=x.dtype)),
    ]
    for operator in operators:
        with device():
            found = differentiate(operator, x)
            for part in found[:3]:
                rows = part.detach().reshape(3, -1).isnan()
                assert rows.all(-1).tolist() == rows.any(-1).tolist() == [False, True, False]
            refused(operator, message, x)


def refused(operator, message, *args):
    """Require the host's sentence with validation, and none for rows that are fit."""
    argrad.set_device_validation(True)
    try:
        with pytest.raises(ValueError, match=message):
            operator(*args)
    finally:
        argrad.set_device_validation(False)


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (lambda x: entmax(x, np.array([1.5, 0.9, 2.0])), "alpha must be finite and >= 1, got 0.9 for row 1"),
        (lambda x: entmax(x, np.array([1.5, np.nan, 2.0])), "alpha must be finite and >= 1, got NaN for row 1"),
        (lambda x: entmax_conjugate(x, target=np.array([0, 8, 7])), r"a class in \[0, 8\), got 8 for row 1"),
        (
            lambda x: entmax_conjugate(x, target=np.where(np.arange(24) == 9, -1.0, 0.1).reshape(3, 8)),
            "target must be finite and >= 0, got -1 at row 1, column 1",
        ),
        (lambda x: topk_softmax(x, np.array([1, 0, 2])), "k must be >= 1, got 0 for row 1"),
        (
            lambda x: topk_softmax(x, 1, temperature=np.array([1.0, -1.0, 0.0])),
            "temperature must be finite and >= 0, got -1 for row 1",
        ),
        (
            lambda x: topk_softmax(x, 1, selection_bias=np.where(np.arange(24) == 9, -np.inf, 0.1).reshape(3, 8)),
            "selection_bias must be finite, got -inf at row 1, column 1",
        ),
    ],
)
def test_parameters_that_the_host_refuses(device, rng, operator, message):
    x = rng.normal(size=(3, 8))
    with device():
        found = np.asarray(operator(x)).reshape(3, -1)
        assert np.isnan(found).all(-1).tolist() == np.isnan(found).any(-1).tolist() == [False, True, False]
        refused(operator, message, x)
