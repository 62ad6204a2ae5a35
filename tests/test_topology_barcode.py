"""Barcodes: the result, options, dtypes, strides, lists, bad input; GUDHI and cripser on larger images."""

import itertools
import math
import sys
import warnings

import gudhi
import numpy as np
import pytest
import torch
from scipy import ndimage

import argrad
from argrad.topology import Barcode, barcode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn when they are compiled
    import cripser

X = np.array([[1.0, 2.0, 1.0], [2.0, 9.0, 3.0], [0.0, 2.0, 1.0]])


def equal(a, b):
    """Whether two barcodes are the same arrays."""
    return all(np.array_equal(x, y) for x, y in zip(a.to_numpy(), b.to_numpy(), strict=True))


def bars(found, digits=None):
    """All bars as a sorted list of (dimension, birth, death)."""
    ends = zip(found.dimension.tolist(), found.birth.tolist(), found.death.tolist(), strict=True)
    return sorted(ends if digits is None else ((k, round(a, digits), round(b, digits)) for k, a, b in ends))


class TestResult:
    def test_a_loop_and_four_components(self):
        found = barcode(X)
        assert found.dimension.tolist() == [0, 0, 0, 0, 1]
        assert bars(found) == [(0, 0.0, math.inf), (0, 1.0, 2.0), (0, 1.0, 2.0), (0, 1.0, 2.0), (1, 3.0, 9.0)]
        assert found.dimension.dtype == np.uint8
        assert {x.dtype for x in found[3:]} == {np.dtype(np.int64)}
        values = X.reshape(-1)[found.birth_index], X.reshape(-1)[found.death_index]
        assert (found.birth == values[0]).all()
        assert (found.death == values[1])[found.death_index >= 0].all()

    def test_of_keeps_one_degree(self):
        loops = barcode(X).of(1)
        assert isinstance(loops, Barcode)
        assert [x.tolist() for x in loops] == [[1], [3.0], [9.0], [5], [4], [0], [0]]

    def test_gudhi_lists_the_highest_degree_and_the_longest_bars_first(self):
        assert barcode(X).gudhi() == gudhi.CubicalComplex(vertices=X).persistence()

    def test_to_numpy_detaches(self):
        found = barcode(torch.from_numpy(X).requires_grad_())
        assert found.birth.requires_grad
        assert isinstance(found.birth, torch.Tensor)
        assert equal(found, barcode(X))
        assert all(isinstance(x, np.ndarray) for x in found.to_numpy())

    def test_batch_and_channel(self, rng):
        x = rng.random((2, 3, 4, 5))
        found = barcode(x, spatial_dims=2)
        for n, c in itertools.product(range(2), range(3)):
            chosen = (found.batch == n) & (found.channel == c)
            alone = barcode(x[n, c])
            assert equal(Barcode(*[field[chosen] for field in found[:5]], alone.batch, alone.channel), alone)
        flat = barcode(x.reshape(6, 4, 5), spatial_dims=2)
        assert (flat.batch == 3 * found.batch + found.channel).all()
        assert not flat.channel.any()

    def test_a_list_gives_the_barcode_of_each(self, rng):
        x = [rng.random((4, 5)), rng.random((3,)), rng.random((2, 3, 4))]
        for found, image in zip(barcode(x), x, strict=True):
            assert equal(found, barcode(image))
        assert barcode([]) == []
        assert len(barcode(tuple(x[:1]), dims=0, spatial_dims=1)) == 1


class TestOptions:
    def test_superlevel_is_the_negative(self, rng):
        x = rng.random((5, 6))
        for connectivity in ("face", "full"):
            above = barcode(x, filtration="superlevel", connectivity=connectivity)
            below = barcode(-x, connectivity=connectivity)
            assert equal(above, below._replace(birth=-below.birth, death=-below.death))
        assert -math.inf in above.death

    @pytest.mark.parametrize("shape", [(9,), (5, 6), (3, 4, 3)])
    def test_full_connectivity_is_face_connectivity_of_the_padded_negative(self, shape, rng):
        x = rng.integers(0, 6, shape).astype(float)
        padded = barcode(np.pad(-x, 1, constant_values=-math.inf), essential=False)
        kept = np.isfinite(padded.birth)
        turned = zip(
            len(shape) - 1 - padded.dimension[kept].astype(int),
            -padded.death[kept],
            -padded.birth[kept],
            strict=True,
        )
        assert bars(barcode(x, connectivity="full", essential=False)) == sorted(turned)

    def test_dims_chooses_degrees(self, rng):
        x = rng.random((4, 4, 4))
        whole = barcode(x)
        for k in range(3):
            assert equal(barcode(x, dims=k), whole.of(k))
            assert equal(barcode(x, dims=(k,)), whole.of(k))
        assert len(barcode(x, dims=()).birth) == 0

    def test_essential_is_the_oldest_component(self):
        found = barcode(X, essential=False)
        assert math.inf not in found.death
        assert len(found.birth) == 4

    @pytest.mark.parametrize("shape", [(30,), (8, 9), (4, 5, 6), (5, 1, 7)])
    @pytest.mark.parametrize("connectivity", ["face", "full"])
    def test_every_component_of_a_mask_is_born_in_itself(self, shape, connectivity, rng):
        """The essential one, too, although the order of equal voxels is turned round for "full"."""
        structure = ndimage.generate_binary_structure(len(shape), 1 if connectivity == "face" else len(shape))
        for _ in range(20):
            mask = rng.random(shape) < 0.4
            labels, count = ndimage.label(mask, structure)
            options = {"filtration": "superlevel", "connectivity": connectivity, "threshold": 0.0, "dims": 0}
            found = barcode(mask, **options)
            assert sorted(labels.flatten()[found.birth_index]) == list(range(1, count + 1))
            if count:
                first_or_last = np.flatnonzero(mask)[0 if connectivity == "face" else -1]
                alone = barcode(mask, essential=False, **options)
                assert labels.flatten()[first_or_last] not in labels.flatten()[alone.birth_index]

    def test_min_persistence_drops_shorter_bars(self):
        assert bars(barcode(X, min_persistence=1.0)) == bars(barcode(X))
        assert bars(barcode(X, min_persistence=1.001)) == [(0, 0.0, math.inf), (1, 3.0, 9.0)]
        above = barcode(-X, filtration="superlevel", min_persistence=1.001)
        assert bars(above) == [(0, 0.0, -math.inf), (1, -3.0, -9.0)]

    @pytest.mark.parametrize("connectivity", ["face", "full"])
    @pytest.mark.parametrize("shape", [(12,), (6, 7), (4, 3, 4)])
    def test_threshold_ends_bars_that_are_alive(self, shape, connectivity, rng):
        x = rng.integers(0, 8, shape).astype(float)
        whole, cut = barcode(x, connectivity=connectivity), barcode(x, connectivity=connectivity, threshold=4.0)
        assert bars(cut) == [(k, a, min(b, 4.0)) for k, a, b in bars(whole) if a < 4.0]
        assert ((cut.death_index == -1) == (cut.death == 4.0)).all()
        above = barcode(-x, connectivity=connectivity, threshold=-4.0, filtration="superlevel")
        assert bars(above) == sorted((k, -a, -b) for k, a, b in bars(cut))

    def test_no_class_is_essential_where_the_filtration_is_empty(self):
        assert len(barcode(X, threshold=-1.0).birth) == 0
        assert len(barcode(X, threshold=0.0).birth) == 0
        assert bars(barcode(X, threshold=0.5)) == [(0, 0.0, 0.5)]


class TestNumbers:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_values_keep_their_dtype(self, dtype):
        found = barcode(X.astype(dtype))
        assert found.birth.dtype == found.death.dtype == np.dtype(dtype)
        assert bars(found) == bars(barcode(X))

    @pytest.mark.parametrize(
        "dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
    )
    def test_whole_numbers_give_float64(self, dtype):
        x = X.astype(dtype)
        found = barcode(x)
        assert found.birth.dtype == found.death.dtype == np.float64
        assert bars(found) == bars(barcode(x.astype(float)))
        tensor = barcode(torch.from_numpy(x))
        assert tensor.birth.dtype == torch.float64
        assert equal(tensor, found)

    def test_large_integers_are_exact_or_refused(self):
        for dtype in (np.int64, np.uint64):
            x = np.array([2**53, 0, 2**53 - 1, 5], dtype=dtype)
            assert barcode(x, filtration="superlevel").birth.tolist() == [2**53, 2**53 - 1]
        for bad in (np.array([[0, 2**53 + 1]]), np.array([[0, -(2**53) - 1]]), np.array([[0, 2**63]], dtype=np.uint64)):
            with pytest.raises(
                ValueError, match=r"barcode: x must be of integers of at most 2\^53, got .* at index \(0, 1\)"
            ):
                barcode(bad)

    def test_any_strides_and_byte_order(self, rng):
        x = rng.random((5, 6, 7))
        for view in (x.transpose(2, 0, 1), x[::-1, ::2], x[:, :, 3], np.broadcast_to(x[0], (3, 6, 7)), x.astype(">f8")):
            assert equal(barcode(view), barcode(np.array(view, dtype=float, order="C")))
        tensor = torch.from_numpy(x).permute(2, 1, 0)
        assert equal(barcode(tensor), barcode(x.transpose()))

    @pytest.mark.filterwarnings("ignore:the matrix subclass")
    def test_subclasses_give_plain_arrays(self, rng):
        x = rng.random((5, 6))
        for essential in (False, True):
            found = barcode(np.asmatrix(x), essential=essential)
            assert equal(found, barcode(x, essential=essential))
            assert all(type(field) is np.ndarray for field in found)

    def test_differences_beyond_the_largest_number_are_long(self):
        x = np.array([1e308, -1e308, 1e308, -1.7e308])
        assert len(barcode(x, min_persistence=1e300, essential=False).birth) == 1

    def test_float32_and_float64_give_the_same_voxels(self, rng):
        x = rng.random((6, 7)).astype(np.float32)
        for a, b in zip(barcode(x)[3:], barcode(x.astype(float))[3:], strict=True):
            assert np.array_equal(a, b)

    def test_float64_numbers_closer_than_float32_are_told_apart(self):
        found = barcode(np.array([1.0, 1.0 + 2e-16, 1.0, 1.0 + 4e-16, 1.0]))
        assert found.death.tolist() == [math.inf, 1.0 + 2e-16, 1.0 + 4e-16]

    def test_infinities_and_signed_zeros_have_their_places(self):
        x = np.array([0.0, math.inf, -math.inf, math.inf, 1.0, -0.0])
        found = barcode(x)
        assert bars(found) == [(0, -math.inf, math.inf), (0, -0.0, math.inf), (0, 0.0, math.inf)]
        assert np.signbit(found.birth).tolist() == [False, True, True]
        flat = barcode(np.array([0.0, -0.0, 0.0]))
        assert bars(flat) == [(0, 0.0, math.inf)]
        assert len(barcode(np.full(3, math.inf), min_persistence=1.0).birth) == 1


class TestShapes:
    def test_axes_of_size_one_drop(self, rng):
        x = rng.random((5, 6))
        for shape in ((1, 5, 6), (5, 1, 6), (5, 6, 1)):
            assert equal(barcode(x.reshape(shape)), barcode(x))
        assert equal(barcode(x.reshape(1, 30, 1)), barcode(x.reshape(30)))

    def test_a_single_voxel(self):
        for shape in ((1,), (1, 1), (1, 1, 1)):
            for connectivity in ("face", "full"):
                assert bars(barcode(np.full(shape, 2.0), connectivity=connectivity)) == [(0, 2.0, math.inf)]
                assert len(barcode(np.full(shape, 2.0), connectivity=connectivity, essential=False).birth) == 0

    @pytest.mark.parametrize("connectivity", ["face", "full"])
    def test_a_flat_image_has_one_class(self, connectivity):
        for shape in ((7,), (3, 4), (2, 3, 4)):
            found = barcode(np.zeros(shape), connectivity=connectivity)
            assert bars(found) == [(0, 0.0, math.inf)]
            assert found.birth_index.tolist() == [0 if connectivity == "face" else math.prod(shape) - 1]

    def test_a_checkerboard(self):
        x = np.indices((6, 6)).sum(0) % 2.0
        assert len(barcode(x).of(0).birth) == 18
        assert len(barcode(x).of(1).birth) == 0
        assert len(barcode(x, connectivity="full").of(0).birth) == 1
        # The light voxels that are not at the border are holes.
        assert len(barcode(x, connectivity="full").of(1).birth) == 8

    def test_an_empty_batch(self):
        for shape in ((0, 3, 4), (0, 2, 3, 4), (2, 0, 3, 4)):
            found = barcode(np.zeros(shape), spatial_dims=2)
            assert all(x.shape == (0,) for x in found)
            assert all(x.shape == (0,) for x in barcode(torch.zeros(shape), spatial_dims=2))


class TestBadInput:
    @pytest.mark.parametrize(
        ("x", "options", "sentence"),
        [
            (np.zeros((3, 0)), {}, "x must be images of at least one voxel, got shape (3, 0)"),
            (
                np.zeros((1, 1, 3, 3)),
                {},
                "x must be one image of 1 to 3 axes, or spatial_dims must say how many of its axes are an image's, got "
                "shape (1, 1, 3, 3)",
            ),
            (np.zeros((2, 2, 3, 3)), {"spatial_dims": 4}, "spatial_dims must be an integer >= 1 and <= 3, got 4"),
            (
                np.zeros((2, 2, 3, 3)),
                {"spatial_dims": 1},
                "x must be of shape (s1), (n, s1) or (n, c, s1), got (2, 2, 3, 3)",
            ),
            (X, {"filtration": "both"}, "filtration must be one of 'sublevel', 'superlevel', got 'both'"),
            (X, {"connectivity": 4}, "connectivity must be one of 'face', 'full', got 4"),
            (X, {"dims": 2}, "dims must be an integer >= 0 and <= 1, got 2"),
            (X, {"min_persistence": -1.0}, "min_persistence must be a finite number >= 0.0, got -1.0"),
            (X, {"threshold": math.nan}, "threshold must be a finite number, got nan"),
        ],
    )
    def test_value_errors_are_one_sentence(self, x, options, sentence):
        with pytest.raises(ValueError, match="barcode") as caught:
            barcode(x, **options)
        assert str(caught.value) == f"barcode: {sentence}"

    @pytest.mark.parametrize(
        ("x", "options", "sentence"),
        [
            (X.astype(complex), {}, "x must be of a floating, integer or boolean dtype, got complex128"),
            (None, {}, "x must be a numpy array or a torch tensor, got None"),
            (X, {"essential": 1}, "essential must be a boolean, got 1"),
            (X, {"spatial_dims": 1.0}, "spatial_dims must be an integer >= 1 and <= 3, got 1.0"),
        ],
    )
    def test_type_errors_are_one_sentence(self, x, options, sentence):
        with pytest.raises(TypeError, match="barcode") as caught:
            barcode(x, **options)
        assert str(caught.value) == f"barcode: {sentence}"

    @pytest.mark.parametrize("dims", [[0, 0], (1, 0, 1)])
    def test_a_degree_is_asked_for_once(self, dims):
        with pytest.raises(ValueError, match="dims must be different integers") as caught:
            barcode(X, dims=dims)
        assert str(caught.value).endswith(repr(dims))

    @pytest.mark.parametrize(("dimension", "error"), [("1", TypeError), ([0, 1], TypeError), (-1, ValueError)])
    def test_a_degree_of_bars_is_a_number(self, dimension, error):
        with pytest.raises(error, match=r"^Barcode\.of: dimension must be an integer >= 0, got"):
            barcode(X).of(dimension)

    def test_nan_is_refused_with_its_position(self):
        x = np.zeros((2, 3, 4, 5))
        x[1, 2, 0, 3] = np.nan
        for given in (x, torch.from_numpy(x), x.astype(np.float32), x.astype(np.float16)):
            with pytest.raises(ValueError, match=r"^barcode: x must not contain NaN, got one at index \(1, 2, 0, 3\)$"):
                barcode(given, spatial_dims=2)
        with pytest.raises(ValueError, match=r"NaN, got one at index \(2, 0, 3\) \(item 1 of the list\)$"):
            barcode([x[0, 0], x[1]])
        with pytest.raises(ValueError, match=r"NaN, got one at index \(3,\)$"):
            barcode(x[1, 2, 0])

    def test_devices_are_refused(self):
        with pytest.raises(RuntimeError, match="barcode: x must be in host memory"):
            barcode(torch.zeros(3, 3, device="meta"))


class TestThreads:
    def test_any_number_of_threads_gives_the_same_arrays(self, rng):
        x = rng.integers(0, 9, (5, 7, 8)).astype(np.float32)
        y = rng.random((9, 10, 11)).astype(np.float32)
        found = {}
        for threads in (1, 2, 5):
            argrad.set_num_threads(threads)
            found[threads] = barcode(x, spatial_dims=2), barcode(y)
        for threads in (2, 5):
            assert all(equal(a, b) for a, b in zip(found[1], found[threads], strict=True))


def rivals(x, connectivity):
    """The bars of GUDHI and of cripser, essential ones left out."""
    complexes = {"face": {"vertices": x}, "full": {"top_dimensional_cells": x}}
    first = [(k, *ends) for k, ends in gudhi.CubicalComplex(**complexes[connectivity]).persistence()]
    second = cripser.compute_ph(x, filtration="V" if connectivity == "face" else "T", maxdim=x.ndim - 1)
    second = [(int(k), a, b) for k, a, b in second[:, :3]]
    return [sorted(bar for bar in found if bar[2] < sys.float_info.max) for found in (first, second)]


@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("shape", [(200,), (24, 31), (8, 9, 7)])
def test_bars_are_those_of_gudhi_and_cripser(shape, connectivity, rng):
    for x in (rng.random(shape, dtype=np.float32).astype(float), rng.integers(0, 7, shape).astype(float)):
        found = bars(barcode(x, connectivity=connectivity, essential=False))
        first, second = rivals(x, connectivity)
        assert found == first
        assert found == second or len(shape) == 1  # cripser has no images of one axis
