"""Operators on a device against the host: draws, and values with first and second derivatives."""

import numpy as np
import torch

from argrad.selection import weighted_sample
from argrad.sorting import soft_permutation


def close(found, wanted, single=1e-6, double=1e-12):
    """Equal up to rounding: that of the result, or that of the largest number in it."""
    assert found.dtype == wanted.dtype
    bound = double if wanted.dtype == torch.float64 else single
    scale = wanted.abs().nan_to_num(0.0, 0.0, 0.0).max().item() if wanted.numel() else 0.0
    torch.testing.assert_close(found, wanted, rtol=bound, atol=bound * scale, equal_nan=True)


def wave(function, like):
    """Numbers of many sizes, in the shape and dtype of `like`."""
    return function(torch.arange(like.numel(), dtype=like.dtype)).reshape(like.shape)


def derivatives(function, *given):
    """The values at some tensors, the gradients of their weighted sum, and those of a weighted sum of these."""
    y = function(*given)
    upstream = wave(torch.cos, y).requires_grad_()
    first = torch.autograd.grad(y, given, upstream, create_graph=True)
    total = sum((g * wave(torch.sin, g)).sum() for g in first)
    return y, *first, *torch.autograd.grad(total, [*given, upstream])


def compare(device, function, *given, **bounds):
    """Values and derivatives on a device are those of the host."""
    wanted = derivatives(function, *given)
    with device():
        found = derivatives(function, *given)
    for a, b in zip(found, wanted, strict=True):
        close(a, b, **bounds)


def soft_product(transposed, **options):
    """The product with a soft permutation as a function of scores, items and temperatures."""

    def multiply(x, v, temperature):
        P = soft_permutation(x, temperature=temperature, **options)
        return (P.mT if transposed else P) @ v

    return multiply


def same_draws(device, weights, size, *, rounding=0.0, **options):
    """The rows that the host draws, after a look that a device draws them, with its weights up to this rounding."""
    rows, inverse = weighted_sample(weights, size, return_weights=True, **options)
    with device():
        found, found_inverse = weighted_sample(weights, size, return_weights=True, **options)
        assert np.array_equal(weighted_sample(weights, size, **options), rows)
    assert found.dtype == rows.dtype
    assert np.array_equal(found, rows)
    assert np.allclose(found_inverse, inverse, rtol=rounding, atol=0)
    return np.asarray(rows)
