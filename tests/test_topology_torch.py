"""The torch operators of barcodes and matchings: those checks of torch_checks that apply.

Not those of vmap and of Jacobians through it, which are refused: images have different numbers of
bars.
"""

import pytest
import torch
from torch.testing import assert_close

import torch_checks
from argrad.topology import barcode, betti_matching

NOT = {torch_checks.vmaps, torch_checks.vmaps_gradients, torch_checks.jacobians}
CHECKS = [check for check in torch_checks.CHECKS if check not in NOT]
FILTRATION = (False, False, None, "none", [True, True, True])
OPTIONS = {"sublevel": FILTRATION, "relative": (True, True, 0.3, "lowest", [True, False, True])}


def image(size, seed):
    """No two values are equal, and the gaps are large beside the steps of finite differences."""
    generator = torch.Generator().manual_seed(seed)
    values = (1 + torch.randperm(size * 7, generator=generator)) / (1 + size * 7)
    return values.double().reshape(size, 7)


def pair(size, seed):
    both = image(2 * size, seed)
    return both[:size].clone(), both[size:].clone()


def ends(bars):
    return bars.birth, bars.death


def both_ends(found):
    first, second = found.prediction, found.target
    matched = [
        ends[found.pairs[:, side]] for side, bars in enumerate((first, second)) for ends in (bars.birth, bars.death)
    ]
    return *matched, first.birth[found.unmatched_prediction], second.death[found.unmatched_target]


def filtered(inputs, name, more):
    return (*inputs, 0, *OPTIONS[name], *more)


ROWS = {
    "barcode": torch_checks.Row(
        name="barcode",
        call=lambda x: ends(barcode(x, essential=False)),
        inputs=lambda size, seed: (image(size, seed),),
        differentiable=(0,),
        raw=lambda: torch.ops.argrad.topology_barcode.default,
        arguments=lambda inputs: filtered(inputs, "sublevel", (False, 0.0)),
    ),
    "barcode with a threshold": torch_checks.Row(
        name="barcode with a threshold",
        call=lambda x: ends(
            barcode(x, connectivity="full", filtration="superlevel", threshold=0.3, dims=0, min_persistence=0.01)
        ),
        inputs=lambda size, seed: (image(size, seed),),
        differentiable=(0,),
        raw=lambda: torch.ops.argrad.topology_barcode.default,
        arguments=lambda inputs: filtered(inputs, "relative", (True, 0.01)),
    ),
    "matching": torch_checks.Row(
        name="matching",
        call=lambda f, g: both_ends(betti_matching(f, g)),
        inputs=pair,
        differentiable=(0, 1),
        raw=lambda: torch.ops.argrad.topology_matching.default,
        arguments=lambda inputs: (
            *inputs,
            str(inputs[0].dtype).removeprefix("torch."),
            *filtered((), "sublevel", (False, False, False)),
        ),
    ),
    "strict matching": torch_checks.Row(
        name="strict matching",
        call=lambda f, g: both_ends(
            betti_matching(
                f, g, rule="strict", comparison="intersection", connectivity="full", relative=True, threshold=0.3
            )
        ),
        inputs=pair,
        differentiable=(0, 1),
        raw=lambda: torch.ops.argrad.topology_matching.default,
        arguments=lambda inputs: (
            *inputs,
            str(inputs[0].dtype).removeprefix("torch."),
            *filtered((), "relative", (True, True, True)),
        ),
    ),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_torch(check, name):
    check(ROWS[name])


@pytest.mark.parametrize("name", ROWS)
def test_vmap_is_refused_by_one_sentence(name):
    row = ROWS[name]
    function = "barcode" if name.startswith("barcode") else "betti_matching"
    stacked = [torch.stack([x, x]) for x in row.inputs(6, 0)]
    with pytest.raises(RuntimeError, match=f"^{function}: torch.vmap cannot stack .* pass a batch with spatial_dims"):
        torch.vmap(row.call)(*stacked)
    grads = torch.func.grad(lambda *x: row.call(*x)[0].sum())
    with pytest.raises(RuntimeError, match="cannot stack"):
        torch.vmap(grads)(*stacked)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_batches_of_changing_sizes(backend):
    def loss(f, g):
        found = betti_matching(f, g, spatial_dims=2, essential=True, sphere=True, threshold=0.01)
        first, second = found.prediction, found.target
        matched = (first.birth[found.pairs[:, 0]] - second.birth[found.pairs[:, 1]]).square()
        alone = (first.birth - first.death)[found.unmatched_prediction].square()
        total = torch.zeros(f.shape[:2], dtype=f.dtype).flatten()
        rows = first.batch * f.shape[1] + first.channel
        total = total.index_add(0, rows[found.pairs[:, 0]], matched)
        return total.index_add(0, rows[found.unmatched_prediction], alone), found.n_matched

    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=backend)
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 3, 6, 7), (3, 2, 8, 5), (4, 2, 9, 9)):
        f = torch.rand(shape, generator=generator).requires_grad_()
        g = torch.rand(shape, generator=generator).round()
        (found, counts), (value, exact) = compiled(f, g), loss(f, g)
        assert_close(found, value)
        assert torch.equal(counts, exact)
        assert counts.shape == (*shape[:2], 2)
        (grad,), (expected,) = torch.autograd.grad(found.sum(), f), torch.autograd.grad(value.sum(), f)
        assert_close(grad, expected)
        assert grad.abs().max() > 0


def test_a_flat_image_keeps_a_gradient_of_zero():
    x = torch.zeros(4, 5, requires_grad=True)
    total = (barcode(x, essential=False).birth - barcode(x, essential=False).death).square().sum()
    (grad,) = torch.autograd.grad(total, x)
    assert not grad.any()


def test_a_voxel_of_several_bars_gets_the_sum():
    x = torch.tensor([0.0, 2.0, 1.0, 3.0, 0.5, 2.5, 0.25], dtype=torch.float64, requires_grad=True)
    found = barcode(torch.stack([x, x]), spatial_dims=1, essential=False)
    (grad,) = torch.autograd.grad(found.death.sum(), x)
    assert grad.tolist() == [0, 2, 0, 2, 0, 2, 0]


@pytest.mark.parametrize("connectivity", ["face", "full"])
def test_of_equal_voxels_one_gets_the_gradient(connectivity):
    x = torch.tensor([[0.0, 0, 3, 1, 1], [0, 0, 3, 1, 1], [3, 3, 3, 3, 3]], dtype=torch.float64, requires_grad=True)
    found = barcode(x, essential=False, connectivity=connectivity)
    assert (found.birth.tolist(), found.death.tolist()) == ([1], [3])
    for end, where in ((found.birth, x == 1), (found.death, x == 3)):
        (grad,) = torch.autograd.grad(end.sum(), x, retain_graph=True)
        assert (grad.sum(), grad[where].sum(), grad.count_nonzero()) == (1, 1, 1)


def test_constants_have_no_gradient():
    x = torch.tensor([[3.0, 1.0], [2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    y = torch.zeros_like(x)
    found = betti_matching(x, y, essential=True, sphere=True, filtration="sublevel", dims=0).prediction
    assert found.birth.tolist() == [0.0]
    assert found.birth_index.tolist() == [-2]
    (grad,) = torch.autograd.grad(found.birth.sum(), x)
    assert not grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_beside_single_precision_and_masks(dtype):
    f, g = (x.to(dtype) for x in pair(6, 0))
    target = g.float().round()
    found = betti_matching(f, target)
    assert (found.prediction.birth.dtype, found.target.birth.dtype) == (dtype, torch.float32)
    for mask in (target.bool(), target.to(torch.uint8), target.long()):
        other = betti_matching(f, mask)
        assert other.target.birth.dtype == dtype
        assert torch.equal(other.pairs, found.pairs)
        assert torch.equal(other.target.birth.float(), found.target.birth)


def test_nan_is_refused_inside_a_compiled_function():
    torch.compiler.reset()
    compiled = torch.compile(lambda x: barcode(x, essential=False).birth.sum(), fullgraph=True, backend="eager")
    assert compiled(torch.zeros(3, 4)) == 0
    with pytest.raises(ValueError, match=r"barcode: x must not contain NaN, got one at index \(1, 2\)"):
        compiled(torch.tensor([[0.0, 0, 0, 0], [0, 0, float("nan"), 0], [0, 0, 0, 0]]))
