"""The checks that every loss goes through. test_loss_checks.py shows that each rejects a wrong loss."""

import copy
import pickle

import numpy as np
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from argrad import nn
from checks import raises_sentence
from loss_rows import BATCH, HALVES, cast, fresh, gradients, joined, maskings, some_mask


def agrees_with_oracle(row):
    """The value of each example is the reference's, for all settings, with and without masked items."""
    for options in row.options:
        inputs = fresh(row)
        for masked in maskings(row, inputs):
            found = row.function(*inputs, **options, **masked, reduction="none")
            expected = [0.0 if x is None else x for x in row.oracle(*inputs, **masked, **options)]
            assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-7, atol=1e-9, msg=f"{options}")


def gradients_are_right(row):
    """Gradients agree with finite differences for all settings, and none of them is zero everywhere."""
    for options in row.options:
        inputs = fresh(row, grad=True)
        for masked in maskings(row, inputs):

            def call(*inputs, options=options, masked=masked):
                return row.function(*inputs, **options, **masked, reduction="none")

            found = gradients(row, inputs, call(*inputs).sum())
            for position, gradient in zip(row.differentiable, found, strict=True):
                assert gradient.abs().max() > 1e-6, f"{row.name}: the gradient to input {position} is zero"
            if row.frozen:
                expected = differences(row, inputs, at=inputs, **masked, **options)
                assert_close(found, expected, rtol=1e-4, atol=1e-6, msg=f"{options}")
            else:
                assert gradcheck(call, inputs, atol=1e-6, rtol=1e-4)


def differences(row, inputs, step=1e-5, **options):
    """The gradients of the sum of the oracle's values by central differences."""
    found = []
    for position in row.differentiable:
        gradient = torch.zeros_like(inputs[position])
        for i in range(gradient.numel()):
            sides = []
            for sign in (1, -1):
                moved = [x.detach().clone() for x in inputs]
                moved[position].view(-1)[i] += sign * step
                sides.append(sum(x for x in row.oracle(*moved, **options) if x is not None))
            gradient.view(-1)[i] = (sides[0] - sides[1]) / (2 * step)
        found.append(gradient)
    return tuple(found)


def reductions_agree(row):
    """Sum and mean are those of "none"; examples without anything to compute are worth nothing and not counted."""
    plain = fresh(row)
    inputs = plain if row.empty is None else joined(row, plain, row.empty(*plain))
    values = row.call(*inputs, reduction="none")
    counted = sum(x is not None for x in row.oracle(*inputs, **row.options[0]))
    assert counted == len(plain[0])
    assert_close(row.call(*inputs, reduction="sum"), values.sum())
    for mean in (row.call(*inputs, reduction="mean"), row.call(*inputs)):
        assert_close(mean, values.sum() / counted)
    if row.takes("sample_weight"):
        weight = torch.linspace(0.5, 3, len(values), dtype=torch.float64).requires_grad_()
        weighted = row.call(*inputs, sample_weight=weight, reduction="none")
        assert_close(weighted, weight * values)
        assert_close(row.call(*inputs, sample_weight=weight), weighted.sum() / counted)
        assert_close(torch.autograd.grad(weighted.sum(), weight)[0], values.detach())
    raises_sentence(ValueError, lambda: row.call(*inputs, reduction="average"), row.name, "reduction")


def passes_over_empty_examples(row):
    """Examples without anything to compute have value 0 and gradient 0, or the value that `empty` says."""
    plain = fresh(row)
    nothing = cast(row, [x if p in row.shared else x[:0] for p, x in enumerate(plain)], grad=True)
    batches = [nothing] if row.empty is None else [nothing, cast(row, row.empty(*plain), grad=True)]
    alone = batches[-1]
    if row.empty is not None:
        assert (row.call(*alone, reduction="none") == 0).all()
        if row.takes("empty"):
            assert (row.call(*alone, empty=-0.5, reduction="none") == -0.5).all()
            assert_close(row.call(*alone, empty=-0.5).item(), -0.5)
            for wrong in ("zero", np.nan):
                raises_sentence(ValueError, lambda wrong=wrong: row.call(*alone, empty=wrong), row.name, "empty")
    for inputs in batches:
        value = row.call(*inputs)
        assert value.item() == 0
        for gradient in gradients(row, inputs, value):
            assert (gradient == 0).all(), f"{row.name}: an empty batch has gradient {gradient}"


def keeps_dtype(row):
    """The loss has the dtype of the scores."""
    for dtype in (*HALVES, torch.float32, torch.float64):
        for reduction in ("none", "sum", "mean"):
            assert row.call(*fresh(row, dtype), reduction=reduction).dtype == dtype, f"{row.name}: {dtype} in"


def halves_are_computed_in_float32(row):
    """float16 and bfloat16 give the float32 results, values and gradients, rounded once, and they are finite."""
    for dtype in HALVES:
        narrow = fresh(row, dtype, grad=True)
        wide = cast(row, narrow, torch.float32, grad=True)
        value, expected = row.call(*narrow), row.call(*wide)
        assert torch.equal(value, expected.to(dtype)), f"{row.name}: {dtype} was not computed in float32"
        found, exact = gradients(row, narrow, value), gradients(row, wide, expected)
        for x, y in zip(found, exact, strict=True):
            assert x.isfinite().all()
            assert_close(x, y.to(dtype))


def stays_finite(row):
    """Scores of +-1e4, and scores that are all equal, have a finite loss with finite gradients."""
    for factor in {row.scale, 0.0} - {None}:
        inputs = fresh(row, torch.float32)
        inputs = cast(row, [inputs[0] * factor, *inputs[1:]], torch.float32, grad=True)
        value = row.call(*inputs)
        assert value.isfinite(), f"{row.name}: {value.item()} for scores times {factor}"
        for gradient in gradients(row, inputs, value):
            assert gradient.isfinite().all(), f"{row.name}: a gradient is not finite for scores times {factor}"


def ignores_the_order_of_the_batch(row):
    """Examples in another order have the same values, and the same mean."""
    inputs, order = fresh(row), torch.tensor([2, 0, 3, 1])
    moved = [x if position in row.shared else x[order] for position, x in enumerate(inputs)]
    assert_close(row.call(*moved, reduction="none"), row.call(*inputs, reduction="none")[order], rtol=1e-12, atol=1e-14)
    assert_close(row.call(*moved), row.call(*inputs))


def ignores_companions(row):
    """An example alone, and among others, has the value it has in its batch."""
    if not row.alone:
        return
    inputs = fresh(row)
    values = row.call(*inputs, reduction="none")
    more = row.call(*joined(row, fresh(row, seed=1, batch=3), inputs), reduction="none")[3:]
    assert torch.equal(more, values), f"{row.name}: an example's value depends on its batch: {more}, {values}"
    for i in range(len(values)):
        one = row.call(*[x if p in row.shared else x[i : i + 1] for p, x in enumerate(inputs)], reduction="none")
        assert torch.equal(one, values[i : i + 1]), f"{row.name}: an example's value depends on its batch"


def keeps_nan_in_its_example(row):
    """A score that is NaN makes the value of its example NaN, and that of no other; or it is refused."""
    if not row.alone:
        return
    inputs = fresh(row)
    values = row.call(*inputs, reduction="none")
    inputs[0][1, ..., -2] = torch.nan  # an item that counts in every row of the table
    if row.refuses_nan:
        raises_sentence(ValueError, lambda: row.call(*inputs), row.name)
        return
    found = row.call(*inputs, reduction="none")
    assert found[1].isnan(), f"{row.name}: {found[1]} for a list with NaN"
    assert torch.equal(found[[0, 2, 3]], values[[0, 2, 3]]), f"{row.name}: NaN reaches other examples"


def accepts_any_batch(row):
    """Inputs with two batch dimensions, or with none, give the values of one."""
    inputs = fresh(row)
    values = row.call(*inputs, reduction="none")
    square = [x if p in row.shared else x.reshape(2, -1, *x.shape[1:]) for p, x in enumerate(inputs)]
    assert_close(row.call(*square, reduction="none"), values.reshape(2, -1))
    if row.alone:
        single = [x if p in row.shared else x[0] for p, x in enumerate(inputs)]
        assert_close(row.call(*single, reduction="none"), values[0])


def refuses_wrong_shapes(row):
    """Wrong shapes, dtypes and kinds are errors in the house's grammar that name the function."""
    inputs = fresh(row)
    for position in range(1, len(inputs)):
        wrong = [inputs[position][None]] + ([inputs[position][..., :-1]] if inputs[position].ndim else [])
        for x in wrong:
            changed = [*inputs[:position], x, *inputs[position + 1 :]]
            raises_sentence(ValueError, lambda changed=changed: row.call(*changed), row.name)
    raises_sentence(ValueError, lambda: row.call(inputs[0].sum(), *inputs[1:]), row.name)
    for position in range(len(inputs)):
        changed = [*inputs[:position], inputs[position].numpy(), *inputs[position + 1 :]]
        raises_sentence(TypeError, lambda changed=changed: row.call(*changed), row.name)
    raises_sentence(TypeError, lambda: row.call(inputs[0].long(), *inputs[1:]), row.name)
    if row.takes("sample_weight"):
        weight = torch.ones(BATCH + 1)
        raises_sentence(ValueError, lambda: row.call(*inputs, sample_weight=weight), row.name, "sample_weight")
    if row.takes("mask"):
        mask = some_mask(row, inputs)
        raises_sentence(ValueError, lambda: row.call(*inputs, mask=mask[:, 1:]), row.name, "mask")
        raises_sentence(TypeError, lambda: row.call(*inputs, mask=mask.float()), row.name, "mask")


def hides_masked_items(row):
    """What lies under the mask, NaN and infinities included, changes nothing and gets exactly no gradient."""
    if not row.takes("mask"):
        return
    inputs = fresh(row)
    mask = some_mask(row, inputs)
    results = []
    for hidden in (None, np.nan, np.inf, -np.inf):
        changed = list(inputs)
        for position, x in enumerate(inputs):
            if hidden is not None and x.is_floating_point() and position not in row.shared:
                changed[position] = x.where(mask if x.ndim == mask.ndim else mask[:, None], hidden)
        changed = cast(row, changed, grad=True)
        value = row.call(*changed, mask=mask)
        results.append((value.detach(), *gradients(row, changed, value)))
        under = ~(mask if changed[0].ndim == mask.ndim else mask[:, None].expand(changed[0].shape))
        assert (results[-1][1][under] == 0).all(), f"{row.name}: a masked item has a gradient"
    for result in results[1:]:
        assert_close(result, results[0], rtol=1e-12, atol=1e-14)


def targets_are_constants(row):
    """No gradient flows to inputs that are not differentiable."""
    inputs = cast(row, fresh(row), grad=True)
    rest = [x for p, x in enumerate(inputs) if p not in row.differentiable and x.is_floating_point()]
    for x in rest:
        x.requires_grad_()
    found = torch.autograd.grad(row.call(*inputs), [inputs[0], *rest], allow_unused=True)[1:]
    assert all(gradient is None or (gradient == 0).all() for gradient in found), f"{row.name}: a target has a gradient"


def compiles(row):
    """torch.compile: one graph, with the values and gradients of eager calls, for batches of two sizes."""
    torch.compiler.reset()
    compiled = torch.compile(row.call, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in (BATCH, BATCH + 3):
        inputs, again = fresh(row, grad=True, batch=batch), fresh(row, grad=True, batch=batch)
        masked = maskings(row, inputs)[-1]
        value, expected = compiled(*inputs, **masked), row.call(*again, **masked)
        assert_close(value, expected)
        assert_close(gradients(row, inputs, value), gradients(row, again, expected))


def twin_agrees(row, twin=None):
    """The module is the function, prints its settings, holds nothing, and can be copied, pickled, moved, compiled."""
    twin = twin or getattr(nn, nn._name(row.name))
    for options in row.options:
        module, inputs = twin(**options, reduction="sum"), fresh(row)
        masked = maskings(row, inputs)[-1]
        expected = row.function(*inputs, **options, **masked, reduction="sum")
        copies = [module, copy.deepcopy(module), pickle.loads(pickle.dumps(module)), module.to(torch.float64).half()]
        for other in copies:
            assert isinstance(other, torch.nn.Module)
            assert torch.equal(other(*inputs, **masked), expected)
            printed = repr(other)
            assert printed.startswith(f"{nn._name(row.name)}(")
            for setting, value in {**options, "reduction": "sum"}.items():
                assert f"{setting}={value!r}" in printed, f"{printed} does not say {setting}"
                assert getattr(other, setting) == value
        assert not module.state_dict()
        assert not [p for p in vars(module) if p in vars(torch.nn.Module)], "a setting hides an attribute of modules"
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert_close(compiled(*inputs), row.function(*inputs, **options, reduction="sum"))
    assert twin.__doc__
    for wrong in ({"no_such_setting": 1}, {"mask": None}):
        raises_sentence(TypeError, lambda wrong=wrong: twin(**options, **wrong), nn._name(row.name))


CHECKS = (
    agrees_with_oracle,
    gradients_are_right,
    reductions_agree,
    passes_over_empty_examples,
    keeps_dtype,
    halves_are_computed_in_float32,
    stays_finite,
    ignores_the_order_of_the_batch,
    ignores_companions,
    keeps_nan_in_its_example,
    accepts_any_batch,
    refuses_wrong_shapes,
    hides_masked_items,
    targets_are_constants,
    compiles,
    twin_agrees,
)
