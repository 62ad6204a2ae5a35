"""The metrics of topology: known answers, the definition, and what is refused."""

import numpy as np
import pytest
import torch

import oracles_topology as oracle
from argrad.metrics.topology import betti_matching_error, betti_number_error
from checks import raises_sentence

METRICS = (betti_matching_error, betti_number_error)
FACE = {"connectivity": "face", "spatial_dims": 2}


def mask(*lines):
    return np.array([[letter == "#" for letter in line] for line in lines])


WALL = mask("#####", "#####", "#####", "#####")
RING = mask("#####", "#...#", "#...#", "#####")
FIRST, SECOND = mask("##...", ".....", "....#"), mask("##...", ".....", "#....")

# Prediction, target, tau of each degree, difference of the Betti numbers of each degree.
KNOWN = {
    "identical": (RING, RING, [0, 0], [0, 0]),
    "cut": (mask("##.##"), mask("#####"), [1, 0], [1, 0]),
    "bridge": (mask("###", ".#.", "###"), mask("###", "...", "###"), [1, 0], [1, 0]),
    "open": (mask("##.##", "#...#", "#...#", "#####"), RING, [0, 1], [0, 1]),
    "fill": (WALL, RING, [0, 1], [0, 1]),
    "bubble": (mask("#####", "#.###", "#####", "#####"), WALL, [0, 1], [0, 1]),
    "move": (FIRST, SECOND, [2, 0], [0, 0]),
    "move the first": (FIRST[::-1], SECOND[::-1], [0, 0], [0, 0]),
    "nothing instead of a ring": (np.zeros_like(RING), RING, [1, 1], [1, 1]),
    "a ring instead of nothing": (RING, np.zeros_like(RING), [1, 1], [1, 1]),
    "nothing twice": (np.zeros_like(RING), np.zeros_like(RING), [0, 0], [0, 0]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_answers(name):
    prediction, target, tau, gap = KNOWN[name]
    assert betti_matching_error(prediction, target, **FACE, per_dimension=True).tolist() == tau
    assert betti_matching_error(prediction, target, **FACE) == sum(tau)
    assert betti_number_error(prediction, target, **FACE, per_dimension=True).tolist() == gap
    assert betti_number_error(prediction, target, **FACE) == sum(gap)


@pytest.mark.parametrize("name", ["move", "move the first"])
def test_for_full_connectivity_the_last_component_is_not_compared(name):
    prediction, target, tau, _ = KNOWN[name]
    options = {"connectivity": "full", "spatial_dims": 2, "per_dimension": True}
    assert betti_matching_error(prediction[::-1, ::-1], target[::-1, ::-1], **options).tolist() == tau


def some_masks(rng, shape, batch=()):
    """Pairs of masks of any density, some empty or full."""
    density = rng.choice([0.0, 0.3, 0.5, 0.7, 0.9, 1.0], size=(2, *batch))
    return rng.random((2, *batch, *shape)) < density.reshape(2, *batch, *[1] * len(shape))


def defined_errors(prediction, target, construction):
    """Return tau, and the Betti numbers of both, by reducing boundary matrices."""
    result = oracle.betti_matching(1.0 - prediction, 1.0 - target, True, construction=construction)
    tau = [len(bars_f) + len(bars_g) - 2 * len(matches) for matches, bars_f, bars_g in result]
    tau[0] += prediction.any() != target.any()
    numbers = [[len(bars[side]) for bars in result] for side in (1, 2)]
    for betti, image in zip(numbers, (prediction, target), strict=True):
        betti[0] += image.any()
    return tau, *numbers


@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("shape", [(9,), (5, 6), (3, 3, 4)])
def test_errors_are_their_definition(rng, shape, connectivity):
    prediction, target = some_masks(rng, shape, (25,))
    options = {"connectivity": connectivity, "spatial_dims": len(shape), "per_dimension": True}
    found, gap = (metric(prediction, target, **options) for metric in METRICS)
    assert (found >= gap).all()
    scaled, scaled_gap = (metric(prediction, target, **options, normalize=True) for metric in METRICS)
    options["per_dimension"] = False
    total, total_gap = (metric(prediction, target, **options, normalize=True) for metric in METRICS)
    for i in range(25):
        tau, betti_f, betti_g = defined_errors(prediction[i], target[i], "T" if connectivity == "full" else "V")
        assert found[i].tolist() == tau
        differences = [abs(a - b) for a, b in zip(betti_f, betti_g, strict=True)]
        assert gap[i].tolist() == differences
        assert scaled_gap[i].tolist() == [min(1, a / max(1, b)) for a, b in zip(differences, betti_g, strict=True)]
        assert total_gap[i] == min(1, sum(differences) / max(1, sum(betti_g)))
        assert scaled[i].tolist() == [min(1, a / max(1, b)) for a, b in zip(tau, betti_g, strict=True)]
        assert total[i] == min(1, sum(tau) / max(1, sum(betti_g)))


@pytest.mark.parametrize("side", [1, 2, 4, 7, 100])
@pytest.mark.parametrize("normalize", [False, True])
def test_patches(rng, side, normalize):
    prediction, target = some_masks(rng, (7, 10), (3, 2))
    for per_dimension in (False, True):
        options = {**FACE, "per_dimension": per_dimension, "normalize": normalize}
        parts = [
            betti_number_error(*[x[..., i : i + side, j : j + side] for x in (prediction, target)], **options)
            for i in range(0, 7, side)
            for j in range(0, 10, side)
        ]
        found = betti_number_error(prediction, target, **options, patch=side)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, np.mean(parts, 0))
        tensors = [torch.from_numpy(x) for x in (prediction, target)]
        assert np.array_equal(betti_number_error(*tensors, **options, patch=side).numpy(), found)


@pytest.mark.parametrize("metric", METRICS)
def test_every_kind_and_dtype_of_masks(rng, metric):
    prediction, target = some_masks(rng, (5, 6), (3, 2))
    expected = metric(prediction, target, **FACE)
    assert expected.shape == (3, 2)
    assert expected.dtype == np.int64
    for dtype in (np.uint8, np.int64, np.float16, np.float32, np.float64):
        assert np.array_equal(metric(prediction.astype(dtype), target.astype(dtype), **FACE), expected)
    assert np.array_equal(metric(prediction.astype(np.float32), target, **FACE), expected)
    for dtype in (torch.bool, torch.uint8, torch.bfloat16, torch.float32):
        found = metric(
            *[torch.from_numpy(x).to(dtype).requires_grad_(dtype.is_floating_point) for x in (prediction, target)],
            **FACE,
        )
        assert isinstance(found, torch.Tensor)
        assert not found.requires_grad
        assert found.dtype == torch.int64
        assert np.array_equal(found.numpy(), expected)
    strange = [np.asfortranarray(x)[:, :, ::-1] for x in (prediction, target)]
    plain = [np.ascontiguousarray(x) for x in strange]
    assert np.array_equal(metric(*strange, **FACE), metric(*plain, **FACE))
    assert metric(prediction[0], target[0], **FACE).tolist() == expected[0].tolist()
    assert metric(prediction[0, 0], target[0, 0], connectivity="face", spatial_dims=None) == expected[0, 0]
    assert metric(prediction[:0], target[:0], **FACE).shape == (0, 2)


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input_is_refused(metric):
    name, good = metric.__name__, RING.astype(float)
    for bad in (0.5, np.nan, 2.0, -1.0, np.inf):
        x = good.copy()
        x[2, 3] = bad
        raises_sentence(ValueError, lambda x=x: metric(x, good, **FACE), name, "prediction", contains=str(bad))
        raises_sentence(ValueError, lambda x=x: metric(good, x, **FACE), name, "target", contains="(2, 3)")
    raises_sentence(ValueError, lambda: metric(good, good[1:], **FACE), name, "target")
    raises_sentence(ValueError, lambda: metric(good, good, connectivity="face", spatial_dims=3), name, "prediction")
    raises_sentence(ValueError, lambda: metric(good, good, connectivity="face", spatial_dims=4), name, "spatial_dims")
    raises_sentence(TypeError, lambda: metric(good, torch.from_numpy(good), **FACE), name, "target")
    raises_sentence(TypeError, lambda: metric(good.tolist(), good, **FACE), name, "prediction")
    for bad in (good.astype(complex), good.astype(object), good.astype(str)):
        raises_sentence(TypeError, lambda bad=bad: metric(bad, bad, **FACE), name, "prediction")
    raises_sentence(ValueError, lambda: metric(good[:0], good[:0], **FACE), name, "prediction")
    for bad in ("vertex", None, 4):
        call = lambda bad=bad: metric(good, good, connectivity=bad, spatial_dims=2)  # noqa: E731
        raises_sentence(ValueError, call, name, "connectivity", contains="'face', 'full'")
    with pytest.raises(TypeError, match="connectivity"):
        metric(good, good, spatial_dims=2)


def test_patches_have_a_side():
    raises_sentence(ValueError, lambda: betti_number_error(RING, RING, **FACE, patch=0), "betti_number_error", "patch")
