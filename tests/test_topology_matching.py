"""Betti matching: what follows from the definition, and known answers."""

import itertools
import math

import numpy as np
import pytest

import argrad
from argrad.topology import barcode, betti_matching, betti_numbers
from matchings import equal, free, mask, matched, values

SHAPES = ((40,), (9, 11), (5, 6, 4))
RULES = ("refined", "strict")
EVERY = tuple(itertools.product(RULES, ("union", "intersection"), ("face", "full")))


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


@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("comparison", ["union", "intersection"])
@pytest.mark.parametrize("shape", [(200,), (30, 31), (9, 10, 8)])
def test_strict_matches_overlap_and_lie_in_a_bar_of_the_comparison(shape, comparison, connectivity, rng):
    """A bar that is not empty in the image of f lies in a bar of f and in one of the comparison; so does that of g."""
    for f, g in (free(rng, shape), rng.integers(0, 6, (2, *shape)).astype(float)):
        options = {"filtration": "sublevel", "connectivity": connectivity}
        found = betti_matching(f, g, rule="strict", comparison=comparison, **options)
        c = barcode(np.minimum(f, g) if comparison == "union" else np.maximum(f, g), **options)
        for k, *ends in values(found):
            late, early = max(ends[0], ends[2]), min(ends[1], ends[3])
            assert late < early
            own = c.of(k)
            if comparison == "union":
                around = (own.birth <= min(ends[0], ends[2])) & (late < own.death) & (own.death <= early)
            else:
                around = (late <= own.birth) & (own.birth < early) & (max(ends[1], ends[3]) <= own.death)
            assert around.any()
        assert len(found.pairs) > 5


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
