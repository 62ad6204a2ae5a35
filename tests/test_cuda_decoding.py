"""The kernels of decoding give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.decoding import logit_statistics, topk

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def rows(rng, *shape):
    """Rounded numbers, so that some are equal."""
    return torch.tensor(np.round(rng.normal(size=shape), 1))


def alike(found, expected):
    """Whether two float64 results of one arithmetic are equal up to what a device's logarithm may differ by."""
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=4e-16, atol=4e-16)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "k", "largest"),
    [((1, 1), 1, True), ((4, 1000), 50, False), ((2, 2, 777), 777, True), ((2, 5000), 3000, True), ((0, 5), 2, True)],
)
def test_topk(device, rng, dtype, shape, k, largest):
    x = rows(rng, *shape).to(dtype).requires_grad_()
    values, places = topk(x, k, largest=largest)
    upstream = torch.randn(values.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    (gradient,) = torch.autograd.grad(values, x, upstream)
    with device():
        found = topk(x, k, largest=largest)
        (found_gradient,) = torch.autograd.grad(found[0], x, upstream)
    assert found[0].dtype == dtype
    assert torch.equal(found[0], values)
    assert torch.equal(found[1], places)
    assert torch.equal(found_gradient, gradient)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("k", [1, 85, 200, 1100])
@pytest.mark.parametrize("kind", ["spread", "tied", "clustered", "masked"])
def test_topk_of_long_rows_is_found_through_the_maxima_of_segments(device, rng, dtype, k, kind):
    x = torch.tensor(rng.normal(size=(2, 9000)))
    if kind == "tied":
        x = x.round(decimals=0)
    elif kind == "clustered":  # the largest in one segment, so that its maximum says little of them
        x[:, 512:1024] += 10
    elif kind == "masked":
        x[:, 3:] = -torch.inf
    x = x.to(dtype)
    values, places = topk(x, k)
    with device():
        found = topk(x, k)
    assert torch.equal(found[0], values)
    assert torch.equal(found[1], places)


def test_topk_takes_infinities_and_equal_zeros(device):
    x = np.full((1, 4097), -1.0)
    x[0, [7, 300, 4096]] = 0.0, np.inf, -0.0
    with device():
        values, places = topk(x, 4)
        smallest = topk(-x, 4, largest=False)
    assert places.tolist() == smallest[1].tolist() == [[300, 7, 4096, 0]]
    assert values.tolist() == [[np.inf, 0.0, 0.0, -1.0]]
    assert np.array_equal(smallest[0], -values)


@pytest.mark.parametrize("v", [10, 4097])
def test_topk_marks_rows_with_nan_and_tells_them_when_asked(device, rng, v):
    x = rng.normal(size=(3, v)).astype(np.float32)
    x[1, v - 6] = np.nan
    with device():
        values, places = topk(x, 2)
        assert np.isnan(values[1]).all()
        assert (places[1] == -1).all()
        assert np.array_equal(places[0], topk(x[0], 2)[1])
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=f"topk: x must be free of NaN, got NaN at row 1, column {v - 6}"):
                topk(x, 2)
            topk(x[0], 2)
        finally:
            argrad.set_device_validation(False)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1,), (3, 31), (2, 2, 33), (2, 4096), (2, 9000), (0, 7)])
def test_logit_statistics(device, rng, dtype, shape):
    x = torch.tensor(3 * rng.normal(size=shape) + 2).to(dtype)
    x.reshape(-1)[1::5] = -torch.inf
    if shape == (2, 9000):
        x[0, :4096] = -torch.inf
    temperature = torch.tensor(rng.uniform(0.1, 3.0, size=shape[:-1]))
    expected = logit_statistics(x, temperature=temperature)
    with device():
        found = logit_statistics(x, temperature=temperature)
        plain = logit_statistics(x.float().numpy())
    for name in found._fields:
        alike(getattr(found, name), getattr(expected, name))
        alike(getattr(plain, name), getattr(logit_statistics(x.float().numpy()), name))


@pytest.mark.parametrize("offset", [0.0, 1e4, -3e30])
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e5])
def test_logit_statistics_far_from_zero(device, rng, offset, temperature):
    x = (rng.normal(size=(1, 5000)) + offset).astype(np.float32)
    expected = logit_statistics(x, temperature=temperature)
    with device():
        found = logit_statistics(x, temperature=temperature)
    for name in found._fields:
        alike(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(
    ("number", "message"),
    [(np.nan, "finite or -inf, got NaN at row 1, column 2"), (np.inf, "got inf at row 1"), (-np.inf, "-inf in row 1")],
)
def test_logit_statistics_of_rows_that_the_host_refuses(device, rng, number, message):
    x = rng.normal(size=(3, 5))
    x[1, slice(None) if number == -np.inf else 2] = number
    with device():
        found = logit_statistics(x)
        assert found.count.tolist() == [5, -1, 5]
        assert np.isnan(found.lse).tolist() == [False, True, False]
        assert np.isnan(logit_statistics(x[:1], temperature=np.array([0.0])).lse).all()
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match=message):
                logit_statistics(x)
            with pytest.raises(ValueError, match="temperature must be a finite number > 0, got 0 for row 0"):
                logit_statistics(x[:1], temperature=np.array([0.0]))
        finally:
            argrad.set_device_validation(False)
