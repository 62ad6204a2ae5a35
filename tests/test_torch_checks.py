"""The pattern of _torch on an operator with everything in it, and each torch check rejecting a wrong operator."""

import dataclasses
import os

import numpy as np
import pytest
import torch

import torch_checks
from argrad import _torch
from argrad._torch._build import build

# An operator with two values, an option, a residual, folded batches, and a backward pass that is an operator again:
# y = w x^power, total = the sum of y over each matrix. sign is a residual of integers; third is a floating one, which
# half precision must not round.


def forward(x, w, power):
    y = w * x**power
    return y, y.sum((-2, -1)), np.sign(x).astype(np.int8), np.full(x.shape, 1 / 3, x.dtype)


def shapes(x, w, power):
    return (x.shape, None), (x.shape[:-2], None), (x.shape, "int8"), (x.shape, None)


def backward(saved, grads, wanted):
    x, w, third, power = (saved[name] for name in ("x", "w", "third", "power"))
    # Three times a third, as a matrix product, which autocast would round.
    upstream = (third * (grads[0] + grads[1][..., None, None])) @ (3 * torch.eye(2, dtype=x.dtype))
    found = {"x": _torch.check_slope(x, w, upstream, power)} if "x" in wanted else {}
    return found | {"w": upstream * x**power}


def slope(x, w, upstream, power):
    return (power * upstream * w * x ** (power - 1),)


def slope_shapes(x, w, upstream, power):
    return ((x.shape, None),)


def slope_backward(saved, grads, wanted):
    x, w, upstream, power = (saved[name] for name in ("x", "w", "upstream", "power"))
    first, second = power * x ** (power - 1), power * (power - 1) * x ** (power - 2)
    return {"x": grads[0] * upstream * w * second, "w": grads[0] * upstream * first, "upstream": grads[0] * w * first}


_torch.declare(
    "check_slope",
    "(Tensor x, Tensor w, Tensor upstream, int power) -> Tensor slope",
    forward=slope,
    shapes=slope_shapes,
    backward=slope_backward,
    values=1,
    saved=("x", "w", "upstream", "power"),
    folds=True,
)
RIGHT = _torch.Operator(
    schema="(Tensor x, Tensor w, int power) -> (Tensor y, Tensor total, Tensor sign, Tensor third)",
    forward=forward,
    shapes=shapes,
    backward=backward,
    values=2,
    saved=("x", "w", "third", "power"),
    folds=True,
)


def draw(size, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (size, 2)
    return tuple(torch.rand(shape, dtype=torch.float64, generator=generator) + 0.5 for _ in range(2))


def row(name, **changes):
    """A row for the operator above with some of its parts replaced by wrong ones."""
    function = build(name, dataclasses.replace(RIGHT, **changes))
    return torch_checks.Row(
        name=name,
        call=lambda x, w: function(x, w, 3),
        inputs=draw,
        differentiable=(0, 1),
        raw=lambda: getattr(torch.ops.argrad, name).default,
        arguments=lambda inputs: (*inputs, 3),
    )


def around(call):
    """A row whose public function, not its operator, is wrong."""
    return dataclasses.replace(GOOD, call=lambda x, w: call(GOOD.call, x, w))


GOOD = row("check_good")
LOOPED = row("check_looped", folds=False)


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("right", [GOOD, LOOPED], ids=["folded", "looped"])
def test_a_right_operator_passes(right, check):
    check(right)


class OldStyle(torch.autograd.Function):
    """Right in eager calls; without setup_context and a rule for vmap."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return torch.from_numpy(w.detach().numpy() * x.detach().numpy() ** 3)

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return 3 * grad * w * x**2, grad * x**3


class NoRule(torch.autograd.Function):
    """With setup_context, but without a rule for vmap."""

    @staticmethod
    def forward(x, w):
        return torch.from_numpy(w.detach().numpy() * x.detach().numpy() ** 3)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    backward = OldStyle.backward


OLD = dataclasses.replace(GOOD, call=OldStyle.apply)


def breaks_the_graph(call, x, w):
    torch._dynamo.graph_break()
    return call(x, w)


def depends_on_the_size(call, x, w):
    return tuple(sum([1.0] * x.shape[0]) * y for y in call(x, w))


def wrong_when_compiled(call, x, w):
    return tuple((2 if torch.compiler.is_compiling() else 1) * y for y in call(x, w))


def wrong_under_transforms(call, x, w):
    # Only the gradient is wrong, and only inside a transform.
    if torch._C._are_functorch_transforms_active():
        return tuple(y + 0.5 * (y - y.detach()) for y in call(x, w))
    return call(x, w)


def wrong_under_autocast(call, x, w):
    y, total = call(x, w)
    return y, total + (x @ w.mT).sum() - (x[:, :, None] * w.mT[None]).sum()


def reads_memory_in_order(call, x, w):
    return call(torch.as_strided(x, x.shape, (x.shape[1], 1)), w)


HERE = os.getpid()


def wrong_in_a_child(call, x, w):
    return tuple((1 if os.getpid() == HERE else 2) * y for y in call(x, w))


def narrow(call, x, w):
    return x**3 * w, (x**3 * w).sum((-2, -1))


def widened(call, x, w):
    return tuple(y.float() if y.dtype != torch.float64 else y for y in call(x, w))


def flat_sum(x, w, power):
    y, total, *residuals = forward(x, w, power)
    return y, np.broadcast_to(y.sum(), total.shape).copy(), *residuals


def flat_upstream(saved, grads, wanted):
    upstream = grads[0] + grads[1].sum()
    return {"x": 3 * upstream * saved["w"] * saved["x"] ** 2, "w": upstream * saved["x"] ** 3}


def scaled(factor):
    return lambda saved, grads, wanted: {name: factor * x for name, x in backward(saved, grads, wanted).items()}


def opaque(saved, grads, wanted):
    return {name: x + 0 * grads[0] for name, x in backward({**saved, "x": saved["x"].detach()}, grads, wanted).items()}


class NarrowBackward(torch.autograd.Function):
    """Values computed in float32, gradients in the inputs' dtype."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return (w.float() * x.float() ** 3).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return 3 * grad * w * x**2, grad * x**3


NARROW = dataclasses.replace(GOOD, call=NarrowBackward.apply)


def wrong_shape(x, w, power):
    return (x.shape, None), ((), None), ((x.shape[0],), "int8"), (x.shape, None)


def wrong_dtype(x, w, power):
    return (x.shape, None), (x.shape[:-2], None), (x.shape, "int64"), (x.shape, None)


def column_major(x, w, power):
    y, total, *residuals = forward(x, w, power)
    return np.asfortranarray(y), total, *residuals


def alias(x, w, power):
    y, total, *residuals = forward(x, w, power)
    x[...] = y
    return x, total, *residuals


WRONG = {
    "graph break": ("compiles", around(breaks_the_graph), "graph_break"),
    "one compilation per size": ("compiles", around(depends_on_the_size), "Recompiling|recompile"),
    "other values when compiled": ("compiles", around(wrong_when_compiled), "not close"),
    "no rule for vmap": ("vmaps", dataclasses.replace(GOOD, call=NoRule.apply), "does not have vmap support"),
    "a batch summed as one": ("vmaps", row("check_flat_sum", forward=flat_sum), "not close"),
    "no setup_context": ("func_grads", OLD, "setup_context"),
    "other gradients in transforms": ("func_grads", around(wrong_under_transforms), "not close"),
    "gradients of a batch mixed": ("vmaps_gradients", row("check_flat_grad", backward=flat_upstream), "not close"),
    "no jacobian": ("jacobians", OLD, "setup_context"),
    "another jacobian": ("jacobians", around(wrong_under_transforms), "not close"),
    "a wrong gradient": ("gradients_are_right", row("check_factor", backward=scaled(1.01)), "Jacobian mismatch"),
    "a zero gradient": ("gradients_are_right", row("check_zero", forward=lambda x, w, p: forward(0 * x, 0 * w, p),
                        backward=scaled(0)), "is zero"),
    "a detached backward": ("second_derivatives_are_right", row("check_opaque", backward=opaque), "Jacobian mismatch"),
    "a wrong shape": ("raw_operator_is_sound", row("check_shape", shapes=wrong_shape), "[Ss]hape"),
    "a wrong dtype": ("raw_operator_is_sound", row("check_dtype", shapes=wrong_dtype), "dtype|Dtype"),
    "wrong strides": ("raw_operator_is_sound", row("check_strides", forward=column_major), "[Ss]tride"),
    "an overwritten input": ("raw_operator_is_sound", row("check_alias", forward=alias), "alias|mutat"),
    "half precision by autocast": ("autocasts", around(wrong_under_autocast), "not close|dtype"),
    "a baked-in size": ("exports", around(depends_on_the_size), "size|shape|not close"),
    "no raw operator": ("exports", around(narrow), "does not call"),
    "strides ignored": ("any_strides", around(reads_memory_in_order), "not close"),
    "computed in half precision": ("half_precision", around(narrow), "not computed in float32"),
    "returned in float32": ("half_precision", around(widened), "gave torch.float32"),
    "another value in a child": ("works_in_a_forked_worker", around(wrong_in_a_child), "not equal|not close"),
    "a gradient in half precision": ("half_precision", NARROW, "a gradient in"),
}  # fmt: skip


@pytest.mark.parametrize(("check", "wrong", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_operator_is_rejected(check, wrong, reason):
    with pytest.raises(Exception, match=reason):
        getattr(torch_checks, check)(wrong)


def test_every_check_is_sabotaged():
    assert {check.__name__ for check in torch_checks.CHECKS} == {check for check, _, _ in WRONG.values()}


def test_the_first_use_may_lie_inside_compiled_code():
    _torch._declared["check_late"] = RIGHT
    x, w = draw(5, 0)
    compiled = torch.compile(lambda x, w: _torch.check_late(x, w, 3), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, w), GOOD.call(x, w))


def test_compiled_vmap_and_compiled_grad():
    # Inside the compiler the rules differ from the eager ones; see `_define`.
    x, w = torch.rand(3, 5, 2), torch.rand(3, 5, 2)
    for good in (GOOD, LOOPED):
        for function in (torch.vmap(good.call), torch.func.grad(lambda x, w, call=good.call: call(x, w)[1].sum())):
            compiled = torch.compile(function, fullgraph=True, backend="eager")
            torch.testing.assert_close(compiled(x, w), function(x, w))


def test_only_declared_operators_are_attributes():
    with pytest.raises(AttributeError, match=r"^module 'argrad._torch' has no attribute 'nothing'$"):
        _torch.nothing  # noqa: B018 - the access is the test


def test_nothing_is_recorded_without_need():
    x, w = draw(5, 0)
    assert all(y.grad_fn is None for y in GOOD.call(x, w))
    with torch.no_grad():
        assert all(y.grad_fn is None for y in GOOD.call(x.requires_grad_(), w))
    assert all(y.grad_fn is not None for y in GOOD.call(x, w))


def test_gradients_go_only_where_they_are_wanted():
    x, w = draw(5, 0)
    wanted = []
    recording = row(
        "check_wanted", backward=lambda saved, grads, names: wanted.append(names) or backward(saved, grads, names)
    )
    recording.call(x, w.requires_grad_())[0].sum().backward()
    assert wanted == [["w"]]
    assert x.grad is None


def test_checkpointing_gives_the_same_gradients():
    x, w = draw(5, 0)
    x.requires_grad_()
    saved = torch.utils.checkpoint.checkpoint(GOOD.call, x, w, use_reentrant=False)[1].sum()
    torch.testing.assert_close(torch.autograd.grad(saved, x), torch.autograd.grad(GOOD.call(x, w)[1].sum(), x))


def test_fake_tensors_take_the_route_of_the_dispatcher():
    with torch._subclasses.FakeTensorMode() as mode:
        y, total = GOOD.call(torch.empty(4, 5, 2), torch.empty(4, 5, 2))
    assert (y.shape, total.shape, y.fake_mode) == ((4, 5, 2), (4,), mode)
    y, _ = GOOD.call(mode.from_tensor(torch.ones(5, 2)), mode.from_tensor(torch.ones(5, 2)))
    assert y.shape == (5, 2)


# torch imports its own deprecated decompositions when forward mode is first used.
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_forward_mode_is_refused_and_never_silently_zero():
    x, w = draw(5, 0)
    with pytest.raises(RuntimeError, match="jvp"):
        torch.func.jvp(lambda x: GOOD.call(x, w), (x,), (x,))
    with torch.autograd.forward_ad.dual_level(), pytest.raises(RuntimeError, match="jvp"):
        GOOD.call(torch.autograd.forward_ad.make_dual(x, x), w)
