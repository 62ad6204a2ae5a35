"""Fenchel-Young losses: distributions as targets, margin, confident rows, ignored examples, other implementations."""

import entmax as package
import mpmath
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

import checks
import oracles_losses_fenchel_young as oracles
from argrad.decoding import entmax
from argrad.losses.fenchel_young import entmax_loss, fenchel_young_loss, sparsemax_loss

LOSSES = (fenchel_young_loss, sparsemax_loss, entmax_loss)
ALPHAS = (1.0, 1.2, 1.5, 2.0, 2.5)


def scores(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_distributions_as_targets(alpha):
    x, y = scores(5, 7), entmax(scores(5, 7, seed=1), 1.4)
    found = fenchel_young_loss(x, y, alpha=alpha, reduction="none")
    expected = [oracles.fenchel_young(a, b, alpha) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-11, atol=1e-13)
    x.requires_grad_()
    assert gradcheck(lambda x: fenchel_young_loss(x, y, alpha=alpha), x)
    if alpha != 2:
        assert gradgradcheck(lambda x: fenchel_young_loss(x, y, alpha=alpha), x, atol=1e-4)
    (gradient,) = torch.autograd.grad(fenchel_young_loss(x, y, alpha=alpha, reduction="sum"), x)
    assert_close(gradient, entmax(x, alpha).detach() - y, rtol=0, atol=1e-15)
    one_hot, classes = torch.eye(7, dtype=torch.float64)[[3, 0, 6, 3, 1]], torch.tensor([3, 0, 6, 3, 1])
    assert_close(fenchel_young_loss(x, one_hot, alpha=alpha), fenchel_young_loss(x, classes, alpha=alpha))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_zero_exactly_where_the_target_is_the_prediction(alpha):
    x = scores(50, 9)
    y = entmax(x, alpha)
    values = fenchel_young_loss(x, y, alpha=alpha, reduction="none")
    assert (values >= 0).all()
    assert values.max() < 1e-14
    moved = entmax(x + 0.1 * scores(50, 9, seed=2), alpha)
    apart = (moved - y).abs().max(-1).values > 1e-3
    assert apart.any()
    assert (fenchel_young_loss(x, moved, alpha=alpha, reduction="none")[apart] > 1e-9).all()


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0, 2.5])
def test_the_margin_is_that_of_alpha(alpha):
    """Exactly 0 with gradient 0 from 1 / (alpha - 1) on, positive with a gradient before."""
    margin, target = 1 / (alpha - 1), torch.tensor([1])
    for slack, inside in ((1e-9, False), (2.0, False), (-1e-2, True), (-0.3, True)):
        x = torch.tensor([[0.0, margin + slack, -0.4, 0.0]], dtype=torch.float64, requires_grad=True)
        value = fenchel_young_loss(x, target, alpha=alpha)
        (gradient,) = torch.autograd.grad(value, x)
        if inside:
            assert value > 0
            assert gradient[0, 0] > 0
            assert gradient[0, 1] < 0
            assert gradcheck(lambda x: fenchel_young_loss(x, target, alpha=alpha), x, atol=1e-6)
        else:
            assert value == 0
            assert (gradient == 0).all()


def test_cross_entropy_is_alpha_one():
    x, target = 5 * scores(6, 11), torch.tensor([0, 3, 10, 3, 5, 1])
    assert_close(fenchel_young_loss(x, target, alpha=1), torch.nn.functional.cross_entropy(x, target))
    y = torch.softmax(scores(6, 11, seed=4), -1)
    divergence = (y * (y.log() - x.log_softmax(-1))).sum(-1).mean()
    assert_close(fenchel_young_loss(x, y, alpha=1), divergence)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_confident_rows_and_large_scores_lose_no_digits(alpha):
    """Scores of 1e6, and losses down to 1e-12, to an absolute error of 1e-16."""
    target = torch.tensor([0])
    gap = 14.0 if alpha == 1 else 0.9 / (alpha - 1)
    x = torch.tensor([[gap, 0.0, -0.25, -40.0]], dtype=torch.float64)
    with mpmath.workdps(60):
        exact = oracles.fenchel_young(x[0].tolist(), 0, alpha)
    assert 0 < exact < 1e-2
    for shift in (0.0, 2.0**20, -(2.0**20)):
        found = fenchel_young_loss(torch.round((x + shift) * 2**30) / 2**30, target, alpha=alpha)
        with mpmath.workdps(60):
            exact = oracles.fenchel_young((torch.round((x + shift) * 2**30) / 2**30)[0].tolist(), 0, alpha)
        assert_close(found.item(), exact, rtol=1e-9, atol=1e-16)
    single = fenchel_young_loss(x.float(), target, alpha=alpha)
    exact = oracles.fenchel_young(x.float()[0].tolist(), 0, alpha)
    assert_close(single.item(), exact, rtol=1e-6, atol=1e-15)


def test_they_are_those_of_the_package():
    x, target = 2 * scores(8, 400), torch.arange(8) * 50
    for ours, theirs in ((sparsemax_loss, package.sparsemax_loss), (entmax_loss, package.entmax15_loss)):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        value, expected = ours(a, target, reduction="none"), theirs(b, target)
        assert_close(value, expected, rtol=1e-10, atol=1e-12)
        assert_close(torch.autograd.grad(value.sum(), a), torch.autograd.grad(expected.sum(), b), rtol=0, atol=1e-12)


def test_ignored_examples_say_nothing():
    x = scores(4, 6).requires_grad_()
    target = torch.tensor([2, -100, 0, -100])
    (gradient,) = torch.autograd.grad(entmax_loss(x, target), x)
    assert (gradient[[1, 3]] == 0).all()
    assert_close(gradient[[0, 2]], torch.autograd.grad(entmax_loss(x, target.clamp(min=0)), x)[0][[0, 2]] * 2)
    assert entmax_loss(x, torch.tensor([2, 1, 0, 1]), ignore_index=1, reduction="none")[1] == 0


def test_a_masked_class_is_infinitely_far():
    x = torch.tensor([[0.0, -torch.inf, 1.0]], requires_grad=True)
    value = entmax_loss(x, torch.tensor([1]))
    assert value == torch.inf
    (gradient,) = torch.autograd.grad(value, x)
    assert gradient[0, 1] == -1
    share = torch.tensor([[0.25, 0.0, 0.75]])
    assert entmax_loss(x, share).isfinite()


def test_second_derivative_is_that_of_the_prediction():
    x, target = scores(3, 8).requires_grad_(), torch.tensor([1, 0, 7])
    assert gradgradcheck(lambda x: entmax_loss(x, target), x, atol=1e-5)
    (first,) = torch.autograd.grad(entmax_loss(x, target, reduction="sum"), x, create_graph=True)
    v = scores(3, 8, seed=5)
    (second,) = torch.autograd.grad(first, x, v)
    (expected,) = torch.autograd.grad(entmax(x), x, v)
    assert_close(second, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_refusals(loss):
    name, x, target = loss.__name__, torch.zeros(3, 4), torch.tensor([0, 1, 3])
    bad = x.clone()
    bad[1, 2] = torch.nan
    checks.raises_sentence(ValueError, lambda: loss(bad, target), name, "scores", contains="at row 1, column 2")
    bad[1] = -torch.inf
    checks.raises_sentence(ValueError, lambda: loss(bad, target), name, contains="scores must have a finite number")
    for wrong in (4, -1):
        found = checks.raises_sentence(ValueError, lambda w=wrong: loss(x, torch.tensor([0, w, 1])), name, "target")
        assert "for row 1" in found
    share = torch.full((3, 4), 0.25)
    share[2, 0] = -0.5
    checks.raises_sentence(ValueError, lambda: loss(x, share), name, "target", contains="at row 2, column 0")
    checks.raises_sentence(ValueError, lambda: loss(x, share[:, :3]), name, "target")
    checks.raises_sentence(TypeError, lambda: loss(x, target > 0), name, "target")
    if loss is fenchel_young_loss:
        for alpha in (0.5, float("nan"), float("inf")):
            checks.raises_sentence(ValueError, lambda a=alpha: loss(x, target, alpha=a), name, "alpha")
        checks.raises_sentence(TypeError, lambda: loss(x, target, alpha=torch.ones(3)), name, "alpha")
