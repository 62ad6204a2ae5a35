"""The kernels of softmax and sparsemax under upper bounds give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.decoding import constrained_softmax, constrained_sparsemax

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def operators(total=1.0):
    """Both operators, of two arguments."""
    return [constrained_softmax, lambda x, upper: constrained_sparsemax(x, upper, total=total)]


def differentiate(operator, x, upper, second=True):
    """Values, first derivatives (two ways), and second ones: of <t, vjp> to the inputs and to the upstream gradient."""
    inputs = [x.clone().requires_grad_(), upper.clone().requires_grad_()]
    value = operator(*inputs)
    generator = torch.Generator().manual_seed(1)

    def noise(x):
        return torch.randn(x.shape, generator=generator).to(x.dtype)

    upstream = noise(value).requires_grad_()
    first = torch.autograd.grad(value, inputs, upstream.detach(), retain_graph=True)
    if not second:
        return [value, *first]
    again = torch.autograd.grad(value, inputs, upstream, create_graph=True)
    along = sum((x * noise(x)).sum() for x in again)
    return [value, *first, *again, *torch.autograd.grad(along, [*inputs, upstream])]


def same(device, operator, x, upper, second=True):
    """Require that an operator and its derivatives are the same on the device; return the host's values."""
    expected = differentiate(operator, x, upper, second)
    with device():
        found = differentiate(operator, x, upper, second)
    close = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}[x.dtype]
    for part, wanted in zip(found, expected, strict=True):
        assert part.dtype == wanted.dtype
        a, b = part.detach().double(), wanted.detach().double()
        if x.dtype == torch.float64:
            assert torch.equal(a == 0, b == 0)
        np.testing.assert_allclose(a, b, rtol=close, atol=close * max(1.0, float(b.abs().max()) if b.numel() else 1.0))
    return expected[0].detach()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1,), (2, 3, 31), (2, 33), (2, 1100), (1, 4100)])
@pytest.mark.parametrize("which", [0, 1])
def test_constrained(device, rng, dtype, shape, which):
    x = torch.tensor(2 * rng.normal(size=shape)).to(dtype)
    x.reshape(-1)[3::5] = -torch.inf
    upper = torch.tensor(rng.uniform(size=shape)).to(dtype) * max(1.0, 8.0 / shape[-1])
    upper.reshape(-1)[4::7] = 0.0
    upper.reshape(-1)[::9] = 1.0
    p = same(device, operators()[which], x, upper, second=dtype.itemsize > 2)
    if shape[-1] > 1:
        assert (p == upper).any()
        assert ((p > 0) & (p < upper)).any()


@pytest.mark.parametrize("total", [0.3, 5.0, 37.5])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_totals(device, rng, total, offset):
    x = torch.tensor(rng.normal(size=(3, 50))) + offset
    same(device, operators(total)[1], x, torch.ones_like(x))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("number", [0.025, 0.03, 1.0, np.inf])
def test_bounds_that_are_numbers(device, rng, which, number):
    x = rng.normal(size=(2, 40)) * 10
    expected = operators()[which](x, number)
    with device():
        found = operators()[which](x, number)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    if number == 0.025:  # each item is at its bound
        assert (found == number).all()


@pytest.mark.parametrize("which", [0, 1])
def test_equal_items_and_rounds_of_caps(device, which):
    x = torch.zeros(2, 12, dtype=torch.float64)
    x[1] = torch.arange(12) * 3.0
    upper = torch.full((2, 12), 0.5, dtype=torch.float64)
    upper[1] = 0.15
    same(device, operators()[which], x, upper)
    with device():
        assert operators()[which](torch.zeros(0, 5), 1.0).shape == (0, 5)


@pytest.mark.parametrize("which", [0, 1])
def test_along_another_dimension(device, rng, which):
    x, upper = torch.tensor(rng.normal(size=(3, 20, 2))), torch.tensor(rng.uniform(0.1, 1.0, size=(20, 1)))
    operator = (constrained_softmax, constrained_sparsemax)[which]
    same(device, lambda x, upper: operator(x, upper, dim=1), x, upper)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("x", 4, np.nan), "x must be finite or -inf, got NaN at row 1, column 4"),
        (("x", slice(None), -np.inf), "got only -inf in row 1"),
        (("upper", 4, -1.0), "upper must be >= 0, got -1 at row 1, column 4"),
        (("upper", 4, np.nan), "upper must be >= 0, got NaN at row 1, column 4"),
        (("upper", slice(None), 0.05), "upper must sum to at least 1 .*, got .* in row 1"),
    ],
)
def test_rows_that_the_host_refuses(device, rng, which, change, message):
    arrays = {"x": torch.tensor(rng.normal(size=(3, 8))), "upper": torch.full((3, 8), 0.4, dtype=torch.float64)}
    arrays[change[0]][1, change[1]] = change[2]
    operator = operators()[which]
    with device():
        for part in differentiate(operator, arrays["x"], arrays["upper"]):
            assert part.isnan().all(-1).tolist() == part.isnan().any(-1).tolist() == [False, True, False]
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=message):
                operator(arrays["x"], arrays["upper"])
            operator(arrays["x"][:1], arrays["upper"][:1])
        finally:
            argrad.set_device_validation(False)
