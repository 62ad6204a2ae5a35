"""`declare_smooth`: three kernels become an operator with two derivatives, through every check."""

import numpy as np
import pytest
import torch

import torch_checks
from argrad import _torch

# y = x^2 t and its sum over each row, with y handed to the derivatives though it is no constant.


def forward(x, t, flag):
    y = x**2 * t
    return y, y.sum(-1), y.copy()


def vjp(x, t, flag, again, y_grad, total_grad, wanted):
    g = y_grad + total_grad[..., None]
    assert wanted in (1, 2, 3)
    # What is not wanted may hold anything.
    to_x = 2 * again / x * g if wanted & 1 else np.full_like(x, np.nan)
    to_t = (x**2 * g).sum(-1, keepdims=True) if wanted & 2 else np.full_like(t, np.nan)
    return to_x, to_t


def second(x, t, flag, again, y_grad, total_grad, x_tangent, t_tangent):
    g = y_grad + total_grad[..., None]
    to_x = g * (2 * t * x_tangent + 2 * x * t_tangent)
    to_t = (2 * x * g * x_tangent).sum(-1, keepdims=True)
    along = 2 * x * t * x_tangent + x**2 * t_tangent
    return to_x, to_t, along, along.sum(-1)


def shapes(x, t, flag):
    return (x.shape, None), (x.shape[:-1], None), (x.shape, None)


_torch.declare_smooth(
    "check_smooth",
    "(Tensor x, Tensor t, bool flag) -> (Tensor y, Tensor total, Tensor again)",
    forward=forward,
    vjp=vjp,
    second=second,
    shapes=shapes,
    differentiable=("x", "t"),
    saved=("again",),
    values=2,
)


def draw(size, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand((3, size), dtype=torch.float64, generator=generator) + 0.5
    return x, torch.rand((3, 1), dtype=torch.float64, generator=generator) + 0.5


ROW = torch_checks.Row(
    name="check_smooth",
    call=lambda x, t: _torch.check_smooth(x, t, True),
    inputs=draw,
    differentiable=(0, 1),
    raw=lambda: torch.ops.argrad.check_smooth.default,
    arguments=lambda inputs: (*inputs, True),
)


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
def test_torch(check):
    check(ROW)


def test_a_third_derivative_is_refused():
    x, t = (x.requires_grad_() for x in draw(4, 0))
    (first,) = torch.autograd.grad(_torch.check_smooth(x, t, True)[0].sum(), x, create_graph=True)
    (again,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="check_smooth: there are two derivatives"):
        again.sum().backward()


def test_a_tensor_can_be_given_twice_in_compiled_code():
    def call(x):
        return _torch.check_smooth(x, x, True)[0].sum()

    x = (torch.rand(3, 1, dtype=torch.float64) + 0.5).requires_grad_()
    value = torch.compile(call, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(value, x.pow(3).sum())
    torch.testing.assert_close(torch.autograd.grad(value, x)[0], 3 * x.square())


def gradients(dtype, **options):
    """Gradients to both inputs for upstream gradients of no simple layout, by the way that `options` lead to."""
    x, t = (x.to(dtype).requires_grad_() for x in draw(6, 3))
    y, total = _torch.check_smooth(x, t, True)
    upstream = [torch.linspace(1, 2, 18, dtype=dtype).reshape(6, 3).T, torch.ones((), dtype=dtype).expand(3)]
    return torch.autograd.grad([y, total], [x, t], upstream, **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_short_way_back_gives_what_the_differentiable_one_gives(dtype):
    for short, long in zip(gradients(dtype), gradients(dtype, create_graph=True), strict=True):
        assert (long.requires_grad, short.requires_grad) == (True, False)
        assert short.dtype == long.dtype == dtype
        assert torch.equal(short, long.detach())


def test_the_short_way_back_is_taken(monkeypatch):
    calls = []
    vjp_operator = _torch.check_smooth_vjp
    monkeypatch.setattr(_torch, "check_smooth_vjp", lambda *args: calls.append(1) or vjp_operator(*args))
    gradients(torch.float64)
    assert not calls
    gradients(torch.float64, create_graph=True)
    assert calls


def test_the_short_way_back_sees_a_change_in_place():
    x, t = (x.requires_grad_() for x in draw(4, 0))
    y, _ = _torch.check_smooth(x, t, True)
    with torch.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_the_short_way_back_with_saved_tensor_hooks():
    plain = gradients(torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.clone(), lambda x: x.clone()):
        hooked = gradients(torch.float64)
    assert all(map(torch.equal, plain, hooked))
