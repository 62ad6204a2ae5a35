"""Betti matching: what follows from the definition, known answers, options, dtypes, lists, bad input."""

import itertools
import math

import numpy as np
import pytest
import torch

import argrad
from argrad.topology import Matching, barcode, betti_matching, betti_numbers

SHAPES = ((40,), (9, 11), (5, 6, 4))
RULES = ("refined", "strict")
EVERY = tuple(itertools.product(RULES, ("union", "intersection"), ("face", "full")))


def flat(found):
    """All arrays of a matching in one list of numpy arrays."""
    return [np.asarray(x) for x in (*found.prediction.to_numpy(), *found.target.to_numpy(), *found[2:])]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))


def tables(found):
    """Bars of both sides as rows (batch, channel, dimension, birth voxel, death voxel)."""
    return [
        np.stack([x.batch, x.channel, x.dimension, x.birth_index, x.death_index], 1)
        for x in (found.prediction, found.target)
    ]


def matched(found):
    """The matches as a set of pairs of bars by voxels."""
    first, second = tables(found)
    return {(tuple(first[i].tolist()), tuple(second[j].tolist())) for i, j in found.pairs}


def values(found):
    """The sorted 4-tuples of the matches, with their degree."""
    i, j = found.pairs.T
    p, t = found.prediction, found.target
    return sorted(zip(p.dimension[i].tolist(), p.birth[i], p.death[i], t.birth[j], t.death[j], strict=True))


def free(rng, shape):
    """Two images of different numbers."""
    size = int(np.prod(shape))
    return (1 + rng.permutation(2 * size).reshape(2, *shape)) / (2 * size + 1)


def mask(*lines):
    return np.array([[letter == "#" for letter in line] for line in lines])


@pytest.mark.parametrize(("rule", "comparison", "connectivity"), EVERY)
@pytest.mark.parametrize("shape", SHAPES)
class TestProperties:
    """What holds for every rule, comparison and connectivity."""

    def options(self, rule, comparison, connectivity):
        return {"rule": rule, "comparison": comparison, "connectivity": connectivity}

    def test_every_bar_is_matched_once_or_alone(self, shape, rule, comparison, connectivity, rng):
        f, g = rng.integers(0, 6, (2, *shape)).astype(float)
        found = betti_matching(f, g, **self.options(rule, comparison, connectivity))
        places = (found.pairs[:, 0], found.unmatched_prediction), (found.pairs[:, 1], found.unmatched_target)
        for side, x, bars in zip(places, (f, g), (found.prediction, found.target), strict=True):
            assert sorted(np.concatenate(side).tolist()) == list(range(len(bars.birth)))
            own = barcode(x, filtration="superlevel", connectivity=connectivity, essential=False)
            assert all(np.array_equal(a, b) for a, b in zip(bars, own, strict=True))
        assert (found.pairs[:, 0] == np.sort(found.pairs[:, 0])).all()
        degrees = [bars.dimension[at] for bars, at in zip((found.prediction, found.target), found.pairs.T, strict=True)]
        assert (degrees[0] == degrees[1]).all()
        for count, chosen in (
            (found.n_matched, degrees[0]),
            (found.n_unmatched_prediction, found.prediction.dimension[found.unmatched_prediction]),
            (found.n_unmatched_target, found.target.dimension[found.unmatched_target]),
        ):
            assert count.tolist() == np.bincount(chosen, minlength=len(shape)).tolist()

    def test_an_image_matches_itself_identically(self, shape, rule, comparison, connectivity, rng):
        for x in (rng.random(shape), rng.integers(0, 4, shape), rng.random(shape) < 0.5):
            found = betti_matching(x, x, essential=True, **self.options(rule, comparison, connectivity))
            assert (found.pairs[:, 0] == found.pairs[:, 1]).all()
            assert len(found.pairs) == len(found.prediction.birth) > 0

    def test_swapped_images_give_the_inverse(self, shape, rule, comparison, connectivity, rng):
        for f, g in (rng.integers(0, 6, (2, *shape)), free(rng, shape)):
            options = self.options(rule, comparison, connectivity)
            there, back = betti_matching(f, g, **options), betti_matching(g, f, **options)
            assert matched(there) == {(b, a) for a, b in matched(back)}

    def test_an_increasing_map_moves_only_the_values(self, shape, rule, comparison, connectivity, rng):
        f, g = rng.integers(-3, 4, (2, *shape)).astype(float)
        options = self.options(rule, comparison, connectivity)
        found, other = betti_matching(f, g, **options), betti_matching(np.arctan(f), np.arctan(g), **options)
        assert matched(found) == matched(other)
        assert (np.arctan(found.prediction.birth) == other.prediction.birth).all()

    def test_flips_change_no_bars_and_no_strict_matching_of_different_ends(
        self, shape, rule, comparison, connectivity, rng
    ):
        compared = 0
        for _ in range(12):
            f, g = free(rng, {1: (12,), 2: (4, 5), 3: (3, 2, 3)}[len(shape)])
            options = self.options(rule, comparison, connectivity)
            found = betti_matching(f, g, **options)
            for axis in range(len(shape)):
                turned = betti_matching(np.flip(f, axis), np.flip(g, axis), **options)
                for a, b in ((found.prediction, turned.prediction), (found.target, turned.target)):
                    ends = [
                        sorted(zip(x.dimension.tolist(), x.birth.tolist(), x.death.tolist(), strict=True))
                        for x in (a, b)
                    ]
                    assert ends[0] == ends[1]
                if rule == "strict" and distinct(f, g, comparison, connectivity):
                    assert values(found) == values(turned)
                    compared += 1
        assert compared or rule == "refined"

    def test_batches_and_lists_are_pairs_alone(self, shape, rule, comparison, connectivity, rng):
        options = self.options(rule, comparison, connectivity)
        f, g = rng.integers(0, 5, (2, 2, 3, *shape)).astype(np.float32)
        whole = betti_matching(f, g, spatial_dims=len(shape), **options)
        assert whole.n_matched.shape == (2, 3, len(shape))
        alone = {(n, c): betti_matching(f[n, c], g[n, c], **options) for n in range(2) for c in range(3)}
        expected = set()
        for (n, c), one in alone.items():
            expected |= {tuple((n, c, *bar[2:]) for bar in pair) for pair in matched(one)}
            assert whole.n_matched[n, c].tolist() == one.n_matched.tolist()
            assert whole.n_unmatched_target[n, c].tolist() == one.n_unmatched_target.tolist()
        assert matched(whole) == expected
        listed = betti_matching(list(f[:, 0]), list(g[:, 0]), **options)
        assert all(equal(one, alone[n, 0]) for n, one in enumerate(listed))
        ragged = betti_matching([f[0, 0], f[1, 2, :2]], [g[0, 0], g[1, 2, :2]], **options)
        assert equal(ragged[1], betti_matching(f[1, 2, :2], g[1, 2, :2], **options))

    def test_any_number_of_threads_gives_the_same_arrays(self, shape, rule, comparison, connectivity, rng):
        f, g = rng.integers(0, 5, (2, 4, *shape)).astype(np.float32)
        found = {}
        for threads in (1, 2, 5):
            argrad.set_num_threads(threads)
            options = self.options(rule, comparison, connectivity)
            found[threads] = betti_matching(f, g, spatial_dims=len(shape), **options)
        assert equal(found[1], found[2])
        assert equal(found[1], found[5])


def distinct(f, g, comparison, connectivity):
    """Whether births of both images and deaths of the union (intersection: the other way round) are all different."""
    c = np.maximum(f, g) if comparison == "union" else np.minimum(f, g)
    ends = ("birth", "birth", "death") if comparison == "union" else ("death", "death", "birth")
    options = {"filtration": "superlevel", "connectivity": connectivity, "essential": False}
    lists = [getattr(barcode(x, **options), end) for x, end in zip((f, g, c), ends, strict=True)]
    return all(len(set(x.tolist())) == len(x) for x in lists)


@pytest.mark.parametrize("comparison", ["union", "intersection"])
@pytest.mark.parametrize("shape", SHAPES)
def test_strict_matches_are_refined_ones_and_all_of_them_on_masks(shape, comparison, rng):
    differ = 0
    for _ in range(5):
        f, g = rng.random((2, *shape))
        strict, refined = (betti_matching(f, g, rule=rule, comparison=comparison) for rule in reversed(RULES))
        assert matched(strict) <= matched(refined)
        differ += matched(strict) != matched(refined)
        strict, refined = (betti_matching(f < 0.5, g < 0.5, rule=rule, comparison=comparison) for rule in RULES)
        assert equal(strict, refined)
    assert differ


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", [(12,), (5, 6), (3, 4, 3)])
def test_full_connectivity_is_face_connectivity_of_the_padded_negatives(shape, rule, rng):
    for comparison, dual in (("union", "intersection"), ("intersection", "union")):
        f, g = free(rng, shape)
        found = betti_matching(f, g, connectivity="full", rule=rule, comparison=comparison, filtration="sublevel")
        padded = [np.pad(-x, 1, constant_values=-math.inf) for x in (f, g)]
        other = betti_matching(*padded, rule=rule, comparison=dual, filtration="sublevel")
        turned = [(len(shape) - 1 - k, -b, -a, -d, -c) for k, a, b, c, d in values(other) if -math.inf not in (a, c)]
        assert values(found) == sorted(turned)


class TestKnownAnswers:
    """Errors that were made on purpose; the error of a degree is the number of bars without a partner."""

    ring = mask("#####", "#...#", "#...#", "#####")
    wall = mask("#####", "#####", "#####", "#####")

    @pytest.mark.parametrize(
        ("prediction", "target", "expected"),
        [
            (ring, ring, [0, 0]),
            (mask("##.##"), mask("#####"), [1]),
            (mask("###", ".#.", "###"), mask("###", "...", "###"), [1, 0]),
            (mask("##.##", "#...#", "#...#", "#####"), ring, [0, 1]),
            (wall, ring, [0, 1]),
            (mask("#####", "#.###", "#####", "#####"), wall, [0, 1]),
            (mask("##...", ".....", "....#"), mask("##...", ".....", "#...."), [2, 0]),
            # The first voxel of both masks makes the essential classes, which are each other's partners.
            (mask("....#", ".....", "##..."), mask("#....", ".....", "##..."), [0, 0]),
        ],
        ids=["same", "cut", "bridge", "open", "fill", "bubble", "move", "move the essential one"],
    )
    def test_errors_are_counted(self, prediction, target, expected):
        for f, g in ((prediction, target), (prediction.astype(np.float32), target)):
            for rule in RULES:
                found = betti_matching(np.squeeze(f), np.squeeze(g), rule=rule)
                assert (found.n_unmatched_prediction + found.n_unmatched_target).tolist() == expected

    @pytest.mark.parametrize("connectivity", ["face", "full"])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_error_is_at_least_the_difference_of_betti_numbers(self, shape, connectivity, rng):
        options = {"connectivity": connectivity, "essential": True, "threshold": 0.0}
        masks = [rng.random(shape) < density for density in (0.0, 0.1, 0.5, 0.9, 1.0)]
        for f, g in itertools.product(masks, repeat=2):
            found = betti_matching(f, g, **options)
            numbers = [betti_numbers(x, connectivity=connectivity) for x in (f, g)]
            assert (found.n_matched + found.n_unmatched_prediction).tolist() == numbers[0].tolist()
            assert (found.n_matched + found.n_unmatched_target).tolist() == numbers[1].tolist()
            error = found.n_unmatched_prediction + found.n_unmatched_target
            assert (error >= abs(numbers[0] - numbers[1])).all()


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
