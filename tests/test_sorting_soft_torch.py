"""Soft ranks and soft sorts as torch operators: derivatives, transforms, compilation."""

import math

import pytest
import torch

import torch_checks
from argrad.sorting import soft_rank, soft_sort

OFFSETS = torch.tensor([0, 2, 2, 6])


def draw(size, seed, scale=1.0):
    """Scores without close neighbours, and strengths about `scale`."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.argsort(torch.rand((2, size), generator=generator), -1)
    jitter = torch.rand((2, size), dtype=torch.float64, generator=generator)
    strength = (0.8 + torch.rand((2,), dtype=torch.float64, generator=generator)) * scale
    return (places + 0.5 * jitter - size / 3).sin() * 2 + 0.01 * places, strength


def row(name, call, scale, regularization):
    return torch_checks.Row(
        name=name,
        call=lambda x, s: call(x, strength=s, regularization=regularization),
        inputs=lambda size, seed: draw(size, seed, scale),
        differentiable=(0, 1),
        raw=lambda: getattr(torch.ops.argrad, call.__name__).default,
        arguments=lambda inputs: (
            inputs[0],
            inputs[1][:, None],
            None,
            None,
            False,
            regularization,
            4 / 3,
            False,
            math.nan,
        ),
    )


ROWS = [row(f"{call.__name__} {how}", call, 1.0 if call is soft_rank else 6.0, how)
        for call in (soft_rank, soft_sort) for how in ("l2", "kl", "pnorm")]  # fmt: skip
SLOW = (torch_checks.compiles, torch_checks.exports, torch_checks.raw_operator_is_sound)
CASES = [(check, row) for row in ROWS for check in torch_checks.CHECKS if check not in SLOW or row in ROWS[::4]]


@pytest.mark.parametrize(("check", "row"), CASES, ids=lambda x: getattr(x, "__name__", None) or x.name)
def test_torch(check, row):
    check(row)


@pytest.mark.parametrize("call", [soft_rank, soft_sort])
@pytest.mark.parametrize("regularization", ["l2", "kl", "pnorm"])
def test_derivatives_of_masked_and_ragged_lists(call, regularization):
    generator = torch.Generator().manual_seed(3)
    x = torch.rand((2, 6), dtype=torch.float64, generator=generator).mul(3).requires_grad_()
    strength = torch.rand((2, 3), dtype=torch.float64, generator=generator).add(1.3 if call is soft_rank else 4)
    mask = torch.tensor([[True] * 6, [True, True, True, False, True, True]])
    options = {"mask": mask, "offsets": OFFSETS, "fill": 0.0, "regularization": regularization}
    inputs = (x, strength.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, s: call(x, strength=s, **options), inputs)
    assert torch.autograd.gradgradcheck(lambda x, s: call(x, strength=s, descending=True, **options), inputs)
    found = torch.autograd.grad(call(x, strength=strength, **options).square().sum(), inputs)
    assert found[0][1, 3] == 0
    assert all(g.abs().max() > 1e-6 for g in found)


def test_compiled_calls_with_defaults_masks_and_auto():
    torch.compiler.reset()

    @torch.compile(fullgraph=True, dynamic=True, backend="aot_eager")
    def total(x, mask):
        return soft_rank(x).square().mean() + soft_sort(x, strength="auto", mask=mask, fill=0.0).square().sum()

    for count, n in enumerate((6, 9, 13)):
        with torch._dynamo.config.patch(error_on_recompile=count > 0):
            x = draw(n, n)[0].requires_grad_()
            mask = x.detach() > -1
            (found,) = torch.autograd.grad(total(x, mask), x)
        value = soft_rank(x).square().mean() + soft_sort(x, strength="auto", mask=mask, fill=0.0).square().sum()
        torch.testing.assert_close(found, torch.autograd.grad(value, x)[0])


def test_strength_as_tensor_of_less_precision_and_inference_mode():
    x = draw(9, 0)[0].float().requires_grad_()
    strength = torch.tensor(0.7, dtype=torch.bfloat16, requires_grad=True)
    soft_rank(x, strength=strength).square().sum().backward()
    assert strength.grad.dtype == torch.bfloat16
    assert strength.grad.isfinite()
    with torch.inference_mode():
        torch.testing.assert_close(soft_rank(x, strength=strength), soft_rank(x.detach(), strength=strength.detach()))


# What the libraries in use get wrong.


@pytest.mark.parametrize("call", [soft_rank, soft_sort])
@pytest.mark.parametrize("regularization", ["l2", "kl", "pnorm"])
def test_long_lists_in_half_precision_are_finite(call, regularization):
    for n in (2000, 3000):
        x = torch.randn(2, n, generator=torch.Generator().manual_seed(0)).half().requires_grad_()
        for strength in (1.0, 0.01, 100.0):
            y = call(x, strength=strength, regularization=regularization)
            assert y.dtype == torch.float16
            assert y.isfinite().all()
            (found,) = torch.autograd.grad(y, x, torch.ones_like(y))
            assert found.isfinite().all()


@pytest.mark.parametrize("regularization", ["l2", "kl"])
@pytest.mark.parametrize("strength", [1.0, 0.05, 4e-6])
def test_a_million_ranks_in_single_precision_are_within_an_ulp(regularization, strength):
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    strength = float(torch.tensor(strength))
    found = soft_rank(x, strength=strength, regularization=regularization)
    exact = soft_rank(x.double(), strength=strength, regularization=regularization)
    ulp = torch.nextafter(exact.float(), torch.tensor(math.inf)).double() - exact.float().double()
    assert ((found.double() - exact).abs() <= ulp).all()


def test_more_items_than_single_precision_counts():
    n = 2**24 + 1
    x = torch.arange(n).flip(0).float()  # the last two are equal in single precision
    y = soft_rank(x, strength=0.25)
    assert torch.equal(y[1:], torch.arange(1, n).flip(0).float())
    assert torch.equal(soft_sort(x, strength=1e-9)[-2:], x[:2].flip(0))


def test_gradients_of_wide_scores_are_finite():
    x = (torch.randn(64, 1000, generator=torch.Generator().manual_seed(0)) * 100).requires_grad_()
    for call in (soft_rank, soft_sort):
        y = call(x, strength=0.1, regularization="kl")
        assert y.isfinite().all()
        (found,) = torch.autograd.grad(y.square().sum(), x)
        assert found.isfinite().all()


def test_hard_ranks_of_wide_scores_are_exact():
    x = torch.randn(8, 1000, generator=torch.Generator().manual_seed(0)) * 100
    exact = x.argsort(-1).argsort(-1).float() + 1
    for regularization in ("l2", "kl", "pnorm"):
        assert torch.equal(soft_rank(x, strength=1e-6, regularization=regularization), exact)


def test_blocks_of_tiny_scores_are_those_of_large_ones():
    x = torch.randn(4, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for scale in (2.0**-60, 2.0**60):
        for call, strength in ((soft_rank, 0.05 * scale), (soft_sort, 20 / scale)):
            expected = call(x, strength=strength / scale if call is soft_rank else strength * scale)
            found = call(x * scale, strength=strength)
            torch.testing.assert_close(found / (1 if call is soft_rank else scale), expected, rtol=1e-12, atol=1e-12)


def test_backward_leaves_inputs_alone():
    x = torch.randn(4, 50, generator=torch.Generator().manual_seed(0), requires_grad=True)
    before = x.detach().clone()
    g = torch.ones(4, 50)
    soft_sort(soft_rank(x, strength=0.1), strength=9.0).backward(g)
    assert torch.equal(x.detach(), before)
    assert torch.equal(g, torch.ones(4, 50))
