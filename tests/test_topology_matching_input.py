"""Betti matching: options, dtypes, shapes, bad input."""

import itertools
import math

import numpy as np
import pytest
import torch

from argrad.topology import Matching, betti_matching
from matchings import equal, free, matched, values

SHAPES = ((40,), (9, 11), (5, 6, 4))
RULES = ("refined", "strict")
EVERY = tuple(itertools.product(RULES, ("union", "intersection"), ("face", "full")))


class TestOptions:
    def test_essential_classes_are_matched_with_each_other(self, rng):
        f, g = free(rng, (6, 7))
        with_, without = betti_matching(f, g, essential=True), betti_matching(f, g)
        assert matched(without) < matched(with_)
        ((first, second),) = matched(with_) - matched(without)
        assert first == (0, 0, 0, int(f.argmax()), -1)
        assert second == (0, 0, 0, int(g.argmax()), -1)
        assert with_.prediction.death.min() == -math.inf
        assert with_.prediction.birth.max() == f.max()

    def test_of_an_empty_image_and_another_the_essential_class_is_alone(self):
        f, g = np.zeros((2, 3)), np.ones((2, 3))
        found = betti_matching(f, g, essential=True, threshold=0.0)
        assert (found.n_matched.tolist(), found.n_unmatched_target.tolist()) == ([0, 0], [1, 0])
        assert found.unmatched_target.tolist() == [0]
        assert found.prediction.birth.shape == (0,)

    @pytest.mark.parametrize(("rule", "comparison", "connectivity"), EVERY)
    @pytest.mark.parametrize("shape", [(15,), (5, 6), (3, 4, 3)])
    def test_rings_are_images_with_a_ring(self, shape, rule, comparison, connectivity, rng):
        f, g = rng.integers(1, 6, (2, *shape)).astype(float)
        options = {"rule": rule, "comparison": comparison, "connectivity": connectivity}
        for filtration, first in (("sublevel", np.min), ("superlevel", np.max)):
            ringed = [np.pad(x, 1, constant_values=first(x)) for x in (f, g)]
            found = betti_matching(f, g, relative=True, filtration=filtration, **options)
            assert values(found) == values(betti_matching(*ringed, filtration=filtration, **options))
            assert (found.prediction.birth == f.reshape(-1)[found.prediction.birth_index]).all()
            ringed = [np.pad(x, 1) for x in (f, g)]
            found = betti_matching(f, g, sphere=True, essential=True, filtration=filtration, **options)
            other = betti_matching(*ringed, essential=True, filtration=filtration, **options)
            assert values(found) == values(other)
            bars = found.prediction
            assert ((bars.birth_index == -2) == (bars.birth == 0.0)).all()
            assert ((bars.death_index == -2) == (bars.death == 0.0)).all()

    @pytest.mark.parametrize("connectivity", ["face", "full"])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_threshold_is_a_filtration_that_ends(self, shape, connectivity, rng):
        f, g = rng.integers(0, 9, (2, *shape)).astype(float)
        for sphere in (False, True):
            options = {"connectivity": connectivity, "sphere": sphere, "essential": True}
            found = betti_matching(f, g, threshold=4.0, **options)
            other = betti_matching(np.maximum(f, 4.0), np.maximum(g, 4.0), **options)
            ended = [(k, a, max(b, 4.0), c, max(d, 4.0)) for k, a, b, c, d in values(other)]
            assert values(found) == sorted(ended)
            assert found.prediction.death.min() >= 4.0

    def test_dims_chooses_degrees(self, rng):
        f, g = rng.random((2, 4, 5, 4))
        whole = betti_matching(f, g)
        for dims in (0, 1, (2,), (0, 2), []):
            chosen = {dims} if isinstance(dims, int) else set(dims)
            found = betti_matching(f, g, dims=dims)
            assert matched(found) == {pair for pair in matched(whole) if pair[0][2] in chosen}
            assert found.n_matched.tolist() == [n if k in chosen else 0 for k, n in enumerate(whole.n_matched)]

    def test_superlevel_sets_are_sublevel_sets_of_the_negatives(self, rng):
        f, g = rng.integers(0, 9, (2, 6, 7)).astype(float)
        above, below = betti_matching(f, g), betti_matching(-f, -g, filtration="sublevel")
        assert matched(above) == matched(below)


class TestDtypesAndShapes:
    def test_whole_targets_are_cast_exactly(self, rng):
        f = rng.random((6, 7))
        target = rng.random((6, 7)) < 0.5
        for dtype in (np.float16, np.float32, np.float64):
            expected = betti_matching(f.astype(dtype), target.astype(dtype))
            for whole in (bool, np.uint8, np.int32, np.int64):
                found = betti_matching(f.astype(dtype), target.astype(whole))
                assert found.target.birth.dtype == dtype
                assert equal(found, expected)
                tensors = torch.from_numpy(f.astype(dtype)), torch.from_numpy(target.astype(whole))
                assert equal(betti_matching(*tensors), expected)
        found = betti_matching(target, target.astype(np.int64))
        assert found.prediction.birth.dtype == found.target.birth.dtype == np.float64

    def test_any_strides(self, rng):
        f, g = rng.random((2, 6, 7, 5)).astype(np.float32)
        pairs = ((f.T, g.T), (f[::-1, ::2], g[::-1, ::2]), (f[..., 1], np.broadcast_to(g[0, :, 0], (6, 7))))
        for a, b in pairs:
            expected = betti_matching(a.copy(), np.ascontiguousarray(b))
            assert equal(betti_matching(a, b), expected)

    def test_degenerate_images(self):
        for shape in ((1,), (1, 1, 1), (1, 6), (1, 4, 5), (3, 4)):
            for x in (np.zeros(shape), np.ones(shape, dtype=bool)):
                found = betti_matching(x, x, essential=True)
                assert isinstance(found, Matching)
                assert found.pairs.tolist() == [[0, 0]]
                found = betti_matching(x, x)
                assert (found.pairs.shape, found.pairs.dtype) == ((0, 2), np.int64)
        board = np.indices((6, 6)).sum(0) % 2.0
        found = betti_matching(board, 1 - board, essential=True)
        assert found.n_matched.tolist() == [1, 0]
        found = betti_matching(np.zeros((0, 3, 4)), np.zeros((0, 3, 4)), spatial_dims=2)
        assert (found.pairs.shape, found.n_matched.shape) == ((0, 2), (0, 2))

    def test_infinite_values_are_numbers(self, rng):
        f, g = rng.integers(0, 5, (2, 5, 6)).astype(float)
        infinite = [np.where(x == 4, math.inf, np.where(x == 0, -math.inf, x)) for x in (f, g)]
        assert matched(betti_matching(*infinite)) == matched(betti_matching(f, g))


X = np.zeros((3, 4))


class TestBadInput:
    @pytest.mark.parametrize(
        ("f", "g", "options", "error", "sentence"),
        [
            (X, X[:2], {}, ValueError, "target must be of shape (3, 4) like prediction, got (2, 4)"),
            (X, X[:, :0], {}, ValueError, "target must be images of at least one voxel, got shape (3, 0)"),
            (
                X,
                torch.zeros(3, 4),
                {},
                TypeError,
                "target must be a numpy array like prediction, got a torch tensor on cpu",
            ),
            (X, X.astype(np.float32), {}, TypeError, "target must be of dtype float64 like prediction, got float32"),
            (
                X.astype(bool),
                X,
                {},
                TypeError,
                "target must be of a boolean or integer dtype like prediction, got float64",
            ),
            (
                X.astype(np.float16),
                np.full((3, 4), 2051),
                {},
                ValueError,
                "target must be of integers that float16, the dtype of prediction, represents, got 2051 at index (0, "
                "0)",
            ),
            (
                torch.zeros(2, dtype=torch.bfloat16),
                torch.tensor([256, 257]),
                {},
                ValueError,
                "target must be of integers that bfloat16, the dtype of prediction, represents, got 257 at index (1,)",
            ),
            (X, X, {"rule": "loose"}, ValueError, "rule must be one of 'refined', 'strict', got 'loose'"),
            (X, X, {"comparison": "or"}, ValueError, "comparison must be one of 'union', 'intersection', got 'or'"),
            (
                X,
                X,
                {"relative": True, "sphere": True},
                ValueError,
                "sphere must be False where relative is True, got True",
            ),
            (
                X,
                [X],
                {},
                TypeError,
                "prediction and target must be lists of images or none of them, got a value of type ndarray",
            ),
            ([X], [X, X], {}, ValueError, "prediction and target must be lists of one length, got 1 and 2"),
            (
                [X, X],
                [X, X[1:]],
                {},
                ValueError,
                "target must be of shape (3, 4) like prediction, got (2, 4) (item 1 of the list)",
            ),
        ],
    )
    def test_errors_are_one_sentence(self, f, g, options, error, sentence):
        with pytest.raises(error, match="betti_matching") as caught:
            betti_matching(f, g, **options)
        assert str(caught.value) == f"betti_matching: {sentence}"

    def test_nan_is_refused_with_its_argument_and_position(self):
        f, g = np.zeros((2, 2, 3, 4))
        g[1, 0, 2] = np.nan
        sentence = r"^betti_matching: target must not contain NaN, got one at index \(1, 0, 2\)$"
        for convert in (np.asarray, torch.from_numpy, lambda x: torch.from_numpy(x).half()):
            with pytest.raises(ValueError, match=sentence):
                betti_matching(convert(f), convert(g), spatial_dims=2)
        with pytest.raises(ValueError, match=r"prediction must not contain NaN, got one at index \(1, 0, 2\)"):
            betti_matching(g, f, spatial_dims=2)
