"""Betti numbers and Euler characteristics are those of flood fill and of counted cells."""

import itertools
import math

import numpy as np
import pytest
import torch

import argrad
import oracles_topology as oracles
from argrad.topology import barcode, betti_numbers, euler_characteristic

SHAPES = ((9,), (5, 7), (6, 70), (3, 4, 5), (2, 3, 67), (4, 1, 5), (1, 1, 6), (1, 1))


def squeezed(x):
    return x.reshape([size for size in x.shape if size > 1] or [1])


@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("shape", SHAPES)
class TestMasks:
    def test_numbers_are_those_of_flood_fill(self, shape, connectivity, rng):
        for density in (0.3, 0.5, 0.7) * 3:
            mask = rng.random(shape) < density
            small, full = squeezed(mask), connectivity == "full"
            exact = oracles.betti_numbers(small, full)
            found = betti_numbers(mask, connectivity=connectivity)
            assert found.tolist() == exact + [0] * (mask.ndim - small.ndim)
            chi = euler_characteristic(mask, connectivity=connectivity)
            assert chi == oracles.euler(small, full) == sum((-1) ** k * beta for k, beta in enumerate(exact))

    def test_numbers_count_the_bars_of_the_mask(self, shape, connectivity, rng):
        mask = rng.random(shape) < 0.6
        bars = barcode(mask, filtration="superlevel", connectivity=connectivity, threshold=0.0)
        found = np.bincount(bars.dimension, minlength=mask.ndim)
        assert found.tolist() == betti_numbers(mask, connectivity=connectivity).tolist()

    def test_all_and_nothing(self, shape, connectivity):
        nothing, everything = (betti_numbers(np.full(shape, x), connectivity=connectivity) for x in (False, True))
        assert not nothing.any()
        assert everything.tolist() == [1] + [0] * (len(shape) - 1)
        assert euler_characteristic(np.zeros(shape), connectivity=connectivity) == 0
        assert euler_characteristic(np.ones(shape), connectivity=connectivity) == 1

    def test_the_curve_counts_the_sublevel_sets(self, shape, connectivity, rng):
        for dtype in (np.float32, np.float64, np.uint8):
            x = rng.integers(0, 9, shape).astype(dtype)
            thresholds = [4.0, -1.0, 0.5, 8.0, 3.0, math.inf, -math.inf, 4.0]
            found = euler_characteristic(x, thresholds=thresholds, connectivity=connectivity)
            assert found.dtype == np.int64
            exact = [euler_characteristic(x <= t, connectivity=connectivity) for t in thresholds]
            assert found.tolist() == exact


def test_a_hollow_box_and_a_ring():
    box = np.ones((3, 3, 3), dtype=bool)
    box[1, 1, 1] = False
    assert betti_numbers(box).tolist() == [1, 0, 1]
    box[0, 1, 1] = box[2, 1, 1] = False
    assert betti_numbers(box).tolist() == [1, 1, 0]
    assert euler_characteristic(box) == 0


def test_a_large_checkerboard_has_as_many_components_as_voxels():
    mask = np.indices((130, 129)).sum(0) % 2 == 0
    dark = int(mask.sum())
    assert betti_numbers(mask).tolist() == [dark, 0]
    inner = int((~mask[1:-1, 1:-1]).sum())
    assert betti_numbers(mask, connectivity="full").tolist() == [1, inner]


def test_batches_are_images_alone_on_any_number_of_threads(rng):
    mask = rng.random((2, 3, 4, 5, 6)) < 0.5
    x = rng.random((2, 3, 8, 9))
    for threads in (1, 3):
        argrad.set_num_threads(threads)
        numbers, chi = betti_numbers(mask, spatial_dims=3), euler_characteristic(mask, spatial_dims=3)
        curves = euler_characteristic(x, thresholds=[0.2, 0.7], spatial_dims=2)
        assert (numbers.shape, chi.shape, curves.shape) == ((2, 3, 3), (2, 3), (2, 3, 2))
        for n, c in itertools.product(range(2), range(3)):
            assert numbers[n, c].tolist() == betti_numbers(mask[n, c]).tolist()
            assert chi[n, c] == euler_characteristic(mask[n, c])
            assert curves[n, c].tolist() == euler_characteristic(x[n, c], thresholds=[0.2, 0.7]).tolist()
    assert betti_numbers(mask[:0], spatial_dims=3).shape == (0, 3, 3)
    assert euler_characteristic(x[:, :0], thresholds=[0.5], spatial_dims=2).shape == (2, 0, 1)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64"])
def test_dtypes_strides_tensors_and_lists(dtype, rng):
    plain = rng.random((6, 10)) < 0.5
    for mask in (plain, plain[:, ::-2], plain.T):
        x = mask.astype(dtype)
        tensor = torch.from_numpy(np.ascontiguousarray(x))
        expected = betti_numbers(np.ascontiguousarray(mask)).tolist()
        assert betti_numbers(x).tolist() == expected
        assert betti_numbers([x, x[:2]])[0].tolist() == expected
        assert betti_numbers(tensor).tolist() == expected
        assert betti_numbers(tensor).dtype == torch.int64
        assert int(euler_characteristic(tensor)) == expected[0] - expected[1]
        assert [int(chi) for chi in euler_characteristic([x, x])] == [expected[0] - expected[1]] * 2
    half = torch.from_numpy(plain).to(torch.bfloat16)
    assert betti_numbers(half).tolist() == betti_numbers(plain).tolist()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: betti_numbers(np.array([[0.0, 1.0], [0.5, 1.0]])),
            "betti_numbers: mask must be a mask of zeros and ones, got 0.5 at index (1, 0)",
        ),
        (
            lambda: betti_numbers(np.array([0.0, np.nan])),
            "betti_numbers: mask must be a mask of zeros and ones, got nan at index (1,)",
        ),
        (
            lambda: euler_characteristic(np.array([2, 1])),
            "euler_characteristic: x must be a mask of zeros and ones, got 2 at index (0,)",
        ),
        (
            lambda: euler_characteristic(np.array([[0.0, np.nan]]), thresholds=[1.0], spatial_dims=1),
            "euler_characteristic: x must not contain NaN, got one at index (0, 1)",
        ),
        (
            lambda: euler_characteristic(np.zeros(3), thresholds=[1.0, math.nan]),
            "euler_characteristic: thresholds must not contain NaN, got one at position 1",
        ),
        (
            lambda: euler_characteristic(np.zeros(3), thresholds=1.0),
            "euler_characteristic: thresholds must be numbers of shape (t,), got dtype float64 and shape ()",
        ),
        (
            lambda: betti_numbers(np.broadcast_to(True, (2, 1 << 15, 1 << 15)), spatial_dims=2),
            "betti_numbers: mask must be images of less than 1073741824 voxels, got 1073741824",
        ),
        (
            lambda: betti_numbers(np.zeros((2, 0))),
            "betti_numbers: mask must be images of at least one voxel, got shape (2, 0)",
        ),
        (
            lambda: betti_numbers([np.zeros(2), np.full(2, 3)]),
            "betti_numbers: mask must be a mask of zeros and ones, got 3 at index (0,) (item 1 of the list)",
        ),
        (
            lambda: betti_numbers(np.zeros(3), connectivity=8),
            "betti_numbers: connectivity must be one of 'face', 'full', got 8",
        ),
    ],
)
def test_errors_are_one_sentence(call, sentence):
    with pytest.raises(ValueError, match="must") as caught:
        call()
    assert str(caught.value) == sentence


@pytest.mark.parametrize("bad", ["0.5", True, None, [0.5]])
def test_thresholds_are_numbers(bad):
    with pytest.raises(TypeError) as caught:
        euler_characteristic(np.zeros(3), thresholds=[0.25, bad])
    assert str(caught.value) == f"euler_characteristic: thresholds must be numbers, got {bad!r}"


def test_thresholds_of_every_kind(rng):
    x = rng.random((5, 6)).astype(np.float32)
    expected = euler_characteristic(x, thresholds=[0.75, 0.25, 0.5]).tolist()
    for thresholds in ((0.75, np.float32(0.25), 0.5), np.array([0.75, 0.25, 0.5]), torch.tensor([0.75, 0.25, 0.5])):
        assert euler_characteristic(x, thresholds=thresholds).tolist() == expected
        assert euler_characteristic(torch.from_numpy(x), thresholds=thresholds).tolist() == expected
    assert euler_characteristic(x, thresholds=[]).shape == (0,)


@pytest.mark.parametrize("thresholds", [None, [0.5, 0.25]])
def test_euler_characteristics_compile_and_batch(rng, thresholds):
    x = torch.from_numpy(rng.random((3, 2, 5, 6)))
    x = (x > 0.5).double() if thresholds is None else x
    call = lambda x: euler_characteristic(x, thresholds=thresholds, spatial_dims=2)  # noqa: E731
    expected = call(x)
    assert expected.dtype == torch.int64
    torch.compiler.reset()
    assert torch.equal(torch.compile(call, fullgraph=True, backend="aot_eager")(x), expected)
    assert torch.equal(torch.vmap(call)(x), expected)
    assert not call(x.requires_grad_()).requires_grad


def test_one_mask_gives_one_number():
    found = euler_characteristic(np.ones((3, 4)))
    assert isinstance(found, np.int64)
    assert found == 1
    assert euler_characteristic(torch.ones(3, 4)).shape == ()
