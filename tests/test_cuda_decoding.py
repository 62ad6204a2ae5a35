"""The kernels of decoding give what the host gives, run on the host by the emulator."""

import numpy as np
import pytest
import torch

import argrad
from argrad.decoding import topk

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def rows(rng, *shape):
    """Rounded numbers, so that some are equal."""
    return torch.tensor(np.round(rng.normal(size=shape), 1))


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


def test_topk_marks_rows_with_nan_and_tells_them_when_asked(device, rng):
    x = rng.normal(size=(3, 10)).astype(np.float32)
    x[1, 4] = np.nan
    with device():
        values, places = topk(x, 2)
        assert np.isnan(values[1]).all()
        assert (places[1] == -1).all()
        assert np.array_equal(places[0], topk(x[0], 2)[1])
        argrad.set_device_validation(True)
        try:
            with pytest.raises(ValueError, match="topk: x must be free of NaN, got NaN at row 1, column 4"):
                topk(x, 2)
            topk(x[0], 2)
        finally:
            argrad.set_device_validation(False)
