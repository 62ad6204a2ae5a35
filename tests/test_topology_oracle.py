"""Barcodes and Betti matchings of random images are those of the definition, cell by cell; and the oracles agree."""

import itertools

import numpy as np
import pytest

import oracles_topology as oracles
from argrad.topology import barcode, betti_matching

SHAPES = ((7,), (4, 5), (1, 6), (2, 3, 3), (3, 1, 4), (2, 2, 6))
FORMS = ("float/float", "tied/tied", "float/binary", "tied/binary", "binary/binary", "binary/float")
REPEATS = 60
TESTED = len(SHAPES) * len(FORMS) * REPEATS
RULES = tuple(itertools.product(("refined", "strict"), ("union", "intersection"), ("face", "full")))


def test_two_thousand_images_are_tested():
    assert TESTED >= 2000


def images(rng, shape, form):
    """A pair of images; `float` has no two equal values, within or between the two, all inside (0, 1)."""
    size = 2 * int(np.prod(shape))
    kinds = {
        "float": (1 + rng.permutation(size).reshape(2, *shape)) / (1 + size),
        "tied": rng.integers(0, 5, (2, *shape)) / 4,
        "binary": rng.integers(0, 2, (2, *shape)).astype(float),
    }
    return tuple(kinds[name][i] for i, name in enumerate(form.split("/")))


def voxels(bars, k):
    """Births and deaths of one degree as sorted pairs of voxels."""
    chosen = bars.of(k)
    return sorted(zip(chosen.birth_index.tolist(), chosen.death_index.tolist(), strict=True))


def matched_voxels(found, k):
    ends = [np.stack([bars.birth_index, bars.death_index], 1) for bars in (found.prediction, found.target)]
    both = found.pairs[found.prediction.dimension[found.pairs[:, 0]] == k]
    assert (found.target.dimension[both[:, 1]] == k).all()
    return sorted((tuple(ends[0][i].tolist()), tuple(ends[1][j].tolist())) for i, j in both)


def squeezed(x):
    """Without axes of size 1, which the oracle would count as dimensions; positions stay what they are."""
    return x.reshape([size for size in x.shape if size > 1] or [1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_matchings_are_those_of_the_definition(shape, form):
    rng = np.random.default_rng([2211, *shape, FORMS.index(form)])
    for number in range(REPEATS):
        f, g = images(rng, shape, form)
        # Each pair with both rules and, in turn, one comparison and one connectivity.
        for rule, comparison, connectivity in RULES[number % 4 :: 4]:
            found = betti_matching(
                f, g, filtration="sublevel", rule=rule, comparison=comparison, connectivity=connectivity
            )
            construction = "V" if connectivity == "face" else "T"
            small = squeezed(f), squeezed(g)
            exact = oracles.betti_matching(*small, rule == "strict", comparison, construction)
            for k, (first, second, both) in enumerate(oracles.voxels_of_matching(*small, exact, construction)):
                assert voxels(found.prediction, k) == first
                assert voxels(found.target, k) == second
                assert matched_voxels(found, k) == both


@pytest.mark.parametrize("rule", ["refined", "strict"])
@pytest.mark.parametrize("shape", [(9,), (4, 5), (3, 3, 3)])
def test_predictions_beyond_a_binary_target_go_another_way_to_the_same_matching(shape, rule, rng):
    for number in range(30):
        g = rng.integers(0, 2, shape).astype(float)
        f = (rng.random(shape), rng.integers(0, 5, shape) / 4)[number % 2]
        f[tuple(rng.integers(0, shape))] = (-0.5, 1.5)[number // 2 % 2]
        found = betti_matching(f, g, filtration="sublevel", rule=rule)
        exact = oracles.betti_matching(f, g, rule == "strict")
        for k, (first, second, both) in enumerate(oracles.voxels_of_matching(f, g, exact)):
            assert voxels(found.prediction, k) == first
            assert voxels(found.target, k) == second
            assert matched_voxels(found, k) == both


@pytest.mark.parametrize("connectivity", ["face", "full"])
@pytest.mark.parametrize("shape", SHAPES)
def test_barcodes_are_those_of_the_definition(shape, connectivity, rng):
    construction = "V" if connectivity == "face" else "T"
    for form in FORMS[:3]:
        f, _ = images(rng, shape, form)
        small = squeezed(f)
        found = barcode(f, connectivity=connectivity)
        assert found.of(0).birth[found.of(0).death_index == -1].tolist() == [f.min()]
        for k in range(small.ndim):
            exact = oracles.barcode(small, k, construction)
            ends = [
                tuple(oracles.index(small, oracles.voxel(small, cell, construction)) for cell in bar)
                for bar in exact.items()
            ]
            oldest = oracles.voxel(small, oracles.essential(small, construction), construction)
            lasting = [(oracles.index(small, oldest), -1)] if k == 0 else []
            assert voxels(found, k) == sorted(ends + lasting)
            assert (found.birth == f.reshape(-1)[found.birth_index]).all()


class TestOracles:
    """The oracles are independent of each other, and agree."""

    def test_ranks_give_the_pairs_of_the_reduction(self, rng):
        for shape, form in itertools.product([(5,), (3, 3), (3, 2, 2)], FORMS[:3]):
            f, g = images(rng, shape, form)
            c = np.minimum(f, g)
            for k, column in itertools.product(range(len(shape)), (f, c)):
                grid = oracles.cells(shape)
                assert oracles.pairs_by_rank(grid, k, f, column) == oracles.pairs(grid, k, f, column)

    def test_bars_of_an_image_lie_in_bars_of_both_ends(self, rng):
        """The lemma of the strict rule: b(birth of j) <= a(p) < b(j) <= a(death of p) for a bar (p, j) of a -> b."""
        seen = 0
        for shape, form in itertools.product([(9,), (4, 5), (3, 3, 3)] * 2, FORMS):
            f, g = images(rng, shape, form)
            grid = oracles.cells(shape)
            for k, (a, b) in itertools.product(range(len(shape)), ((f, np.minimum(f, g)), (np.maximum(f, g), f))):
                births = oracles.pairs(grid, k, b, b)
                deaths = {p: q for q, p in oracles.pairs(grid, k, a, a).items()}
                for j, p in oracles.pairs(grid, k, a, b).items():
                    if oracles.value_v(a, p) < oracles.value_v(b, j):
                        assert oracles.value_v(b, births[j]) <= oracles.value_v(a, p)
                        assert oracles.value_v(b, j) <= oracles.value_v(a, deaths[p])
                        seen += 1
        assert seen > 100

    def test_modules_give_the_strict_matching(self, rng):
        compared = 0
        for shape in [(7,), (4, 4), (2, 3, 3)] * 8:
            f, g = images(rng, shape, "float/float")
            exact = oracles.values_of_matching(f, g, oracles.betti_matching(f, g, True))
            for k in range(len(shape)):
                modules = oracles.betti_matching_of_modules(f, g, k)
                compared += modules is not None
                assert modules is None or modules == exact[k][0]
        assert compared > 20

    def test_the_dual_of_t_is_v_of_the_padded_negatives(self, rng):
        for shape, strict in itertools.product([(3, 4), (2, 3, 3)], (True, False)):
            f, g = images(rng, shape, "float/float")
            direct = oracles.betti_matching(f, g, strict, construction="T")
            direct = oracles.values_of_matching(f, g, direct, "T")
            big = 2.0  # stands for infinity
            padded = [np.pad(-x, 1, constant_values=-big) for x in (f, g)]
            dual = oracles.betti_matching(*padded, strict, comparison="intersection")
            dual = oracles.values_of_matching(*padded, dual)[::-1]
            for (both, *alone), expected in zip(dual, direct, strict=True):
                turned = sorted((-b, -a, -d, -c) for a, b, c, d in both if -big not in (a, c))
                bars = [sorted((-d, -b) for b, d in only if b != -big) for only in alone]
                assert (turned, *bars) == expected

    def test_two_filtrations_do_for_a_binary_target(self, rng):
        for shape, form in itertools.product([(7,), (4, 4), (2, 3, 3)], FORMS[2:5]):
            f, g = images(rng, shape, form)
            short = oracles.betti_matching_binary_target(f, g)
            exact = oracles.betti_matching(f, g, True)
            assert oracles.values_of_matching(f, g, short) == oracles.values_of_matching(f, g, exact)
