"""What is particular to single losses of topology."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import argrad
import oracles_losses_topology as oracle
from argrad import nn
from argrad import topology as operators
from argrad.losses import topology
from argrad.losses.topology import (
    betti_matching_loss,
    betti_prior_loss,
    euler_characteristic_loss,
    wasserstein_topology_loss,
)
from checks import raises_sentence

LOSSES = (betti_matching_loss, betti_prior_loss, euler_characteristic_loss, wasserstein_topology_loss)


def distinct(rng, *shape):
    """An image without two equal values or differences, inside (0, 1)."""
    count = math.prod(shape)
    return torch.from_numpy(((rng.permutation(count) + rng.uniform(0.2, 0.8, count)) / count).reshape(shape))


def second(loss, target):
    """The second input of a loss: the target, or Betti numbers."""
    return target if loss is not betti_prior_loss else (1,) * target.ndim


def slope(value, x):
    return torch.autograd.grad(value, x)[0]


@pytest.mark.parametrize("rule", ["refined", "strict"])
@pytest.mark.parametrize("shape", [(9,), (5, 6), (3, 3, 4)])
@pytest.mark.parametrize("binary", [False, True])
def test_betti_matching_loss_and_its_gradient_in_closed_form(rng, shape, rule, binary):
    for _ in range(8):
        prediction, target = distinct(rng, 2, *shape)
        target = (target < 0.6).double() if binary else target
        expected, gradient = oracle.betti_matching_gradient(prediction.numpy(), target.numpy(), rule, 0.7, 2.0)
        prediction.requires_grad_()
        value = betti_matching_loss(prediction, target, rule=rule, weight_matched=0.7, weight_unmatched=2.0)
        assert value.item() == pytest.approx(expected)
        assert_close(slope(value, prediction), torch.from_numpy(gradient))


@pytest.mark.parametrize("loss", LOSSES)
def test_flat_images_keep_a_path(loss):
    """No bars: the value has a gradient of zero, and training goes on."""
    prediction = torch.full((4, 5), 0.25, requires_grad=True)
    value = loss(prediction, second(loss, torch.ones(4, 5)))
    assert value.isfinite()
    gradient = slope(value, prediction)
    assert gradient.isfinite().all()
    if loss in (betti_matching_loss, wasserstein_topology_loss):
        assert (gradient == 0).all()


@pytest.mark.parametrize("loss", [betti_matching_loss, betti_prior_loss, wasserstein_topology_loss])
@pytest.mark.parametrize("filtration", ["superlevel", "sublevel", "both"])
def test_infinite_values_never_enter(rng, loss, filtration):
    prediction, target = distinct(rng, 2, 6, 7)
    target = second(loss, (target < 0.6).double())
    prediction[2, 2], prediction[4, 4], prediction[0, 5] = math.inf, -math.inf, math.inf
    prediction.requires_grad_()
    options = {"essential": True} if loss is not betti_prior_loss else {}
    value = loss(prediction, target, filtration=filtration, **options)
    assert value.isfinite()
    gradient = slope(value, prediction)
    assert gradient.isfinite().all()
    assert (gradient != 0).any()


@pytest.mark.parametrize("level", [0.3, 0.7])
def test_a_threshold_cuts_the_images(rng, level):
    """The loss of the images that are constant beyond the threshold."""
    prediction, target = distinct(rng, 2, 6, 7)
    prediction.requires_grad_()
    for filtration, beyond in (("superlevel", {"min": level}), ("sublevel", {"max": level})):
        found = betti_matching_loss(prediction, target, threshold=level, filtration=filtration)
        expected = betti_matching_loss(prediction.clamp(**beyond), target.clamp(**beyond), filtration=filtration)
        assert_close(found, expected)
        assert_close(slope(found, prediction), slope(expected, prediction))


@pytest.mark.parametrize("push", ["diagonal", "background", "target"])
@pytest.mark.parametrize("ring", [{}, {"sphere": True}, {"relative": True}])
def test_unmatched_bars_are_pushed(rng, push, ring):
    """The gradient is that of differences, and ends in a ring have none."""
    prediction, target = distinct(rng, 2, 5, 5)
    options = {"push_unmatched": push, "min_persistence": 0.1, "filtration": "both"} | ring

    def call(x):
        return betti_matching_loss(x, target, **options)

    assert torch.autograd.gradcheck(call, prediction.requires_grad_(), atol=1e-6)
    assert torch.autograd.gradgradcheck(call, prediction, atol=1e-6)


@pytest.mark.parametrize("filtration", ["superlevel", "sublevel", "both"])
def test_ends_in_a_ring_of_zeros_are_not_pushed(rng, filtration):
    prediction, target = distinct(rng, 2, 7, 8) - 0.6  # most of it beyond the ring, through which components meet
    options = {"push_unmatched": "target", "sphere": True, "filtration": filtration}
    value = betti_matching_loss(prediction, target, **options)
    assert value.item() == pytest.approx(oracle.betti_matching(prediction.tolist(), target.tolist(), **options))
    found = operators.betti_matching(prediction, target, sphere=True)
    assert (found.prediction.death_index[found.unmatched_prediction] == -2).any()


def test_push_to_the_target_lowers_a_false_component():
    """A spot where the target is 0: its birth falls to 0, and its death, which is 0 there too, stays."""
    prediction = torch.tensor([0.9, 0.1, 0.6, 0.05, 0.0], requires_grad=True)
    value = betti_matching_loss(prediction, torch.tensor([1.0, 0, 0, 0, 0]), push_unmatched="target")
    assert value.item() == pytest.approx(2 * (0.6**2 + 0.1**2))
    assert_close(slope(value, prediction), torch.tensor([0, 0.4, 2.4, 0, 0]))


def test_min_persistence_spares_short_bars():
    prediction = torch.tensor([0.9, 0.1, 0.6, 0.5, 0.55])
    target = torch.tensor([1.0, 0, 0, 0, 0])
    found = [betti_matching_loss(prediction, target, min_persistence=x).item() for x in (0.0, 0.04, 0.06, 0.6)]
    assert found == pytest.approx([0.5**2 + 0.05**2] * 2 + [0.5**2, 0])


def test_identical_images_have_no_loss(rng):
    for shape in [(9,), (6, 7), (4, 4, 4)]:
        x = distinct(rng, *shape).requires_grad_()
        value = betti_matching_loss(x, x, filtration="both")
        assert value == 0
        assert (slope(value, x) == 0).all()
        assert wasserstein_topology_loss(x, x, matching="wasserstein") == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_strides_and_labels_change_nothing(rng, loss):
    prediction, target = distinct(rng, 2, 6, 7)
    target = (target < 0.6).double()
    expected = loss(prediction, second(loss, target))
    strange = torch.stack([prediction, prediction], -1)[..., 1].flip(0).flip(0)
    assert_close(loss(strange, second(loss, target)), expected)
    assert_close(loss(prediction.t().contiguous().t(), second(loss, target)), expected)
    if loss is not betti_prior_loss:
        for dtype in (torch.bool, torch.uint8, torch.int64, torch.float32):
            assert_close(loss(prediction, target.to(dtype)), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_channels_are_examples(rng, loss):
    prediction, target = distinct(rng, 2, 3, 2, 5, 6)
    target = (target < 0.6).double()
    options = {"spatial_dims": 2, "reduction": "none"}
    given = target if loss is not betti_prior_loss else (2, 1)
    found = loss(prediction, given, **options)
    assert found.shape == (3, 2)
    for n, c in np.ndindex(3, 2):
        alone = loss(prediction[n, c], target[n, c] if loss is not betti_prior_loss else (2, 1))
        assert torch.equal(found[n, c], alone)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_channel_is_as_none(rng, loss):
    prediction, target = distinct(rng, 2, 3, 5, 6)
    target = (target < 0.6).double()
    options = {"spatial_dims": 2, "reduction": "none"}
    found = loss(prediction[:, None], target[:, None] if loss is not betti_prior_loss else (2, 1), **options)
    assert found.shape == (3, 1)
    alone = loss(prediction, target if loss is not betti_prior_loss else (2, 1), **options)
    assert torch.equal(found[:, 0], alone)


@pytest.mark.parametrize("loss", LOSSES)
def test_threads_and_autocast_change_no_bit(rng, loss):
    prediction, target = distinct(rng, 2, 4, 9, 10)
    prediction = prediction.float().requires_grad_()
    target = (2, 1) if loss is betti_prior_loss else (target < 0.6).float()

    def both():
        value = loss(prediction, target, spatial_dims=2)
        assert value.dtype == torch.float32
        return value.item(), slope(value, prediction)

    value, gradient = both()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [both()]
    for threads in (1, 2, 5):
        argrad.set_num_threads(threads)
        found.append(both())
    assert all(other == value and torch.equal(again, gradient) for other, again in found)


def test_betti_prior_per_example_and_channel(rng):
    prediction = distinct(rng, 3, 2, 5, 6)
    options = {"spatial_dims": 2, "reduction": "none"}
    numbers = torch.from_numpy(rng.integers(0, 4, (3, 2, 2)))
    found = betti_prior_loss(prediction, numbers, **options)
    for n, c in np.ndindex(3, 2):
        assert torch.equal(found[n, c], betti_prior_loss(prediction[n, c], tuple(numbers[n, c].tolist())))
    assert torch.equal(
        betti_prior_loss(prediction, numbers[0], **options),
        betti_prior_loss(prediction, numbers[:1].expand(3, 2, 2), **options),
    )


def test_a_certain_prediction_has_no_loss(rng):
    """Of a mask the losses that count are zero exactly where the Betti numbers agree."""
    for shape in [(8,), (6, 7), (4, 4, 4)]:
        for connectivity in ("face", "full"):
            mask = distinct(rng, *shape) < 0.5
            betti = operators.betti_numbers(mask, connectivity=connectivity)
            x = mask.double()
            assert wasserstein_topology_loss(x, mask, connectivity=connectivity) == 0
            assert betti_prior_loss(x, betti, connectivity=connectivity) == 0
            more = betti.clone()
            more[0] += 2
            assert betti_prior_loss(x, more, connectivity=connectivity) == 2
    assert euler_characteristic_loss(x, mask) == 0
    chi = operators.euler_characteristic(mask)
    assert euler_characteristic_loss(x, torch.zeros(4, 4, 4)) == chi**2


def test_missing_features_cost_without_a_gradient():
    flat = torch.full((4, 4), 0.5, requires_grad=True)
    target = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    value = wasserstein_topology_loss(flat, target)
    assert value == 1.5
    assert (slope(value, flat) == 0).all()
    assert betti_prior_loss(flat, (3, 2)) == 1 - 0.25 + 2 + 2


def test_euler_characteristic_loss_to_any_order(rng):
    for shape in [(6,), (3, 4), (2, 3, 2)]:
        prediction, target = distinct(rng, 2, *shape)
        prediction.requires_grad_()
        assert torch.autograd.gradgradcheck(lambda x, target=target: euler_characteristic_loss(x, target), prediction)


def test_euler_characteristic_loss_of_large_images_is_exact():
    mask = torch.rand(2000, 1000, generator=torch.Generator().manual_seed(1)) < 0.6
    chi = operators.euler_characteristic(mask)
    value = euler_characteristic_loss(mask.float(), torch.zeros(2000, 1000))
    assert value == torch.tensor(float(chi) ** 2)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 5), (1, 4, 5), (2, 1, 3)])
def test_thin_images(rng, loss, shape):
    prediction = distinct(rng, *shape).requires_grad_()
    value = loss(prediction, second(loss, torch.ones(shape)))
    assert slope(value, prediction).isfinite().all()


def test_thin_images_are_those_of_fewer_dimensions(rng):
    prediction, target = distinct(rng, 2, 1, 5, 6)
    assert_close(betti_matching_loss(prediction, target), betti_matching_loss(prediction[0], target[0]))


@pytest.mark.parametrize(
    ("loss", "argument", "bad"),
    [
        (betti_matching_loss, "push_unmatched", "away"),
        (betti_matching_loss, "weight_matched", -1.0),
        (betti_matching_loss, "weight_unmatched", math.inf),
        (betti_matching_loss, "min_persistence", -0.1),
        (betti_matching_loss, "filtration", "level"),
        (betti_matching_loss, "connectivity", "8"),
        (betti_matching_loss, "comparison", "both"),
        (betti_matching_loss, "rule", None),
        (betti_matching_loss, "dims", (1, 1)),
        (betti_matching_loss, "threshold", math.nan),
        (betti_prior_loss, "connectivity", "8"),
        (betti_prior_loss, "dims", 2),
        (betti_prior_loss, "filtration", None),
        (wasserstein_topology_loss, "matching", "hungarian"),
        (wasserstein_topology_loss, "dims", (0, -1)),
        (wasserstein_topology_loss, "dims", (0, 0)),
        (wasserstein_topology_loss, "connectivity", 4),
        (wasserstein_topology_loss, "spatial_dims", 3),
        (euler_characteristic_loss, "spatial_dims", 0),
    ],
)
def test_bad_settings_are_refused(rng, loss, argument, bad):
    prediction = distinct(rng, 4, 5)
    named = "prediction" if bad == 3 else argument  # as many dimensions as the image does not have
    call = lambda: loss(prediction, second(loss, prediction), **{argument: bad})  # noqa: E731
    raises_sentence(ValueError, call, loss.__name__, named)


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (betti_matching_loss, {}),
        (betti_prior_loss, {}),
        (wasserstein_topology_loss, {}),
        (wasserstein_topology_loss, {"filtration": "sublevel"}),
        (wasserstein_topology_loss, {"matching": "wasserstein"}),
    ],
)
def test_nan_is_refused_with_its_argument_and_position(rng, loss, options):
    good = distinct(rng, 2, 4, 5)
    bad = good.clone()
    bad[1, 2, 3] = math.nan
    call = lambda: loss(bad, second(loss, good[0]), spatial_dims=2, **options)  # noqa: E731
    if loss is not betti_prior_loss:
        call = lambda: loss(bad, good, spatial_dims=2, **options)  # noqa: E731
        with pytest.raises(ValueError, match=rf"^{loss.__name__}: target .*index \(1, 2, 3\)$"):
            loss(good, bad, spatial_dims=2, **options)
    with pytest.raises(ValueError, match=rf"^{loss.__name__}: prediction must not contain NaN.*index \(1, 2, 3\)$"):
        call()


@pytest.mark.parametrize("loss", [betti_matching_loss, euler_characteristic_loss, wasserstein_topology_loss])
def test_targets_and_weights_elsewhere_are_refused(rng, loss):
    x = distinct(rng, 4, 5)
    raises_sentence(RuntimeError, lambda: loss(x, x.to("meta")), loss.__name__, "target")
    raises_sentence(TypeError, lambda: loss(x, x.to_sparse()), loss.__name__, "target")
    weight = torch.tensor(1j)
    raises_sentence(TypeError, lambda: loss(x, x, sample_weight=weight), loss.__name__, "sample_weight")


@pytest.mark.parametrize("loss", LOSSES)
def test_images_of_no_voxel_are_refused(loss):
    x = torch.zeros(3, 0)
    raises_sentence(ValueError, lambda: loss(x, second(loss, x)), loss.__name__, "prediction")
    x = torch.zeros(1, 1, 1, 1)
    raises_sentence(ValueError, lambda: loss(x, second(loss, x)), loss.__name__, "prediction")


@pytest.mark.parametrize("bad", [(1,), (1, 2, 3), (1, -1), (1, 0.5), (True, 1)])
def test_betti_numbers_of_another_form_are_refused(rng, bad):
    error = TypeError if any(isinstance(x, bool | float) for x in bad) else ValueError
    raises_sentence(error, lambda: betti_prior_loss(distinct(rng, 4, 5), bad), "betti_prior_loss", "betti")
    raises_sentence(TypeError, lambda: betti_prior_loss(distinct(rng, 4, 5), None), "betti_prior_loss", "betti")
    floats = torch.tensor([1.0, 1.0])
    raises_sentence(TypeError, lambda: betti_prior_loss(distinct(rng, 4, 5), floats), "betti_prior_loss", "betti")


def test_betti_numbers_are_exact_or_refused(rng):
    prediction = distinct(rng, 4, 5).float()
    many = 2**24 + 1  # not a float32
    expected = betti_prior_loss(prediction, torch.tensor([0, many]), reduction="none").double()
    assert betti_prior_loss(prediction.double(), (0, many)) == pytest.approx(expected.item(), rel=1e-7)
    assert betti_prior_loss(prediction.double(), (0, many)) > betti_prior_loss(prediction.double(), (0, many - 1))
    for bad in ((0, 10**30), torch.tensor([1, -1])):
        raises_sentence(ValueError, lambda bad=bad: betti_prior_loss(prediction, bad), "betti_prior_loss", "betti")


@pytest.mark.parametrize("filtration", ["superlevel", "sublevel", "both"])
@pytest.mark.parametrize("essential", [False, True])
def test_bars_with_infinite_ends_are_not_transported(rng, filtration, essential):
    """They are left out, and where only one of the images has a finite essential component, that is too."""
    prediction, target = (distinct(rng, 12, 12) for _ in range(2))
    for image in (prediction, target):
        image[rng.random((12, 12)) < 0.1] = math.inf
        image[rng.random((12, 12)) < 0.1] = -math.inf
    prediction.requires_grad_()
    options = {"filtration": filtration, "essential": essential, "matching": "wasserstein"}
    value = wasserstein_topology_loss(prediction, target, **options)
    assert value.isfinite()
    assert value > 0
    assert slope(value, prediction).isfinite().all()


def test_settings_of_modules_have_names():
    with pytest.raises(
        TypeError, match=r"^BettiMatchingLoss\.__init__\(\) takes 1 positional argument but 2 were given$"
    ):
        nn.BettiMatchingLoss("both")
    with pytest.raises(TypeError, match=r"^BettiMatchingLoss: got an unexpected keyword argument 'filter'$"):
        nn.BettiMatchingLoss(filter="both")


def test_the_family_is_whole():
    assert set(topology.__all__) == {loss.__name__ for loss in LOSSES}
