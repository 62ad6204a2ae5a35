"""Smooth operators on a device against the host: values, first and second derivatives."""

import torch


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
