"""The law harness accepts correct simulators and rejects every planted bug."""

from fractions import Fraction

import numpy as np
import pytest

import law
import mutants
import oracles

POINTS = np.array([[0, 0], [1, 0], [1, 0], [3, 1], [0, 4], [5, 5], [2, 2]], dtype=float)
WEIGHTS = np.array([1, 2, 0, 1, 3, 0.5, 1])
UNIT = np.ones(7)
RUNS = 400_000
DISTANCES = oracles.squared_distances(POINTS)


def verdict(simulate, weights=UNIT, runs=RUNS, **options):
    counts = mutants.counts_of(simulate, DISTANCES, weights, 3, runs, 20, **options)
    return law.chi_square(counts, oracles.plain_law(DISTANCES, weights, 3))


@pytest.mark.parametrize("weights", [UNIT, WEIGHTS], ids=["unit", "weighted"])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_correct_rejection_passes(weights, batch):
    result = verdict(mutants.reject, weights, batch=batch)
    assert result.passed, result


@pytest.mark.parametrize("weights", [UNIT, WEIGHTS], ids=["unit", "weighted"])
def test_correct_scan_passes(weights):
    result = verdict(mutants.scan, weights)
    assert result.passed, result


@pytest.mark.parametrize("mutant", mutants.REJECTION_MUTANTS)
def test_rejection_mutants_are_rejected(mutant):
    result = verdict(mutants.reject, mutant=mutant)
    assert not result.passed, result


@pytest.mark.parametrize("mutant", mutants.SCAN_MUTANTS)
def test_scan_mutants_are_rejected(mutant):
    result = verdict(mutants.scan, mutant=mutant)
    assert not result.passed, result


def test_uniform_mixing_is_rejected_by_chi_square_alone():
    """Nothing impossible is left (no duplicate rows, repeats taken out): only the number of runs gives power."""
    points = POINTS + np.array([[0, 0], [0, 0], [0, 1], [0, 0], [0, 0], [0, 0], [0, 0]])
    distances = oracles.squared_distances(points)
    counts = mutants.counts_of(mutants.scan, distances, UNIT, 2, 4_000_000, 21, mutant="uniform")
    possible = oracles.plain_law(distances, UNIT, 2)
    repeats = np.eye(7, dtype=bool).ravel()
    kept = np.where(repeats, 0, counts)
    result = law.chi_square(kept, possible)
    assert result.impossible == 0
    assert result.p < law.LIMIT, result


def one_step():
    points = np.random.default_rng(5).standard_normal((1000, 6))
    distances = np.array([min(oracles.squared_distance(x, points[c]) for c in (3, 500, 999)) for x in points])
    return distances, distances / distances.sum()


@pytest.mark.parametrize(("power", "passed"), [(1.0, True), (0.9, False)])
def test_one_step_tests_tell_the_law_from_a_near_one(power, passed):
    distances, expected = one_step()
    actual = distances**power / (distances**power).sum()
    rows = np.random.default_rng(6).choice(1000, size=200_000, p=actual)
    assert law.g_test(rows, expected, distances).passed is passed
    assert law.kolmogorov(rows, expected, distances, 7).passed is passed


def test_one_step_tests_count_impossible_rows():
    distances, expected = one_step()
    rows = np.array([3, 4])
    assert law.g_test(rows, expected, distances).impossible == 1
    assert law.kolmogorov(rows, expected, distances, 7).impossible == 1


def test_two_samples_tell_plain_from_greedy():
    points = np.random.default_rng(5).standard_normal((300, 3))
    runs = {
        trials: [oracles.kmeans_plusplus(points, np.ones(300), 8, np.random.default_rng(i), trials)[1] for i in seeds]
        for trials, seeds in ((1, range(100)), (4, range(100)))
    }
    again = [oracles.kmeans_plusplus(points, np.ones(300), 8, np.random.default_rng(i))[1] for i in range(100, 200)]
    assert law.two_samples(runs[1], again).passed
    assert not law.two_samples(runs[1], runs[4]).passed
    assert not law.mean_below(runs[4], runs[1]).passed


def test_sums_are_judged_by_their_variance():
    assert law.sum_of([3.0, 5.0], [3.5, 4.0], [1.0, 1.0]).passed
    assert not law.sum_of([3.0, 5.0], [0.0, 0.0], [1.0, 1.0]).passed


def test_small_cells_are_pooled():
    counts, expected = law.pool(np.array([9.0, 1.0, 2.0, 30.0]), np.array([10.0, 1.0, 1.5, 29.5]), 5)
    assert counts.tolist() == [30.0, 12.0]
    assert expected.tolist() == [29.5, 12.5]


def test_laws_are_laws():
    for table in (
        oracles.plain_law(DISTANCES, WEIGHTS, 3),
        oracles.greedy_law(DISTANCES, WEIGHTS, 3, 2),
        oracles.lightweight_law(POINTS, WEIGHTS),
    ):
        assert table.min() >= 0
        assert table.sum() == pytest.approx(1)
    assert np.allclose(oracles.greedy_law(DISTANCES, WEIGHTS, 3, 1), oracles.plain_law(DISTANCES, WEIGHTS, 3))


def test_random_numbers_have_the_published_values():
    """The known-answer vectors that accompany the authors' reference implementation."""
    assert oracles.philox4x32([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert oracles.philox4x32([2**32 - 1] * 4, [2**32 - 1] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert oracles.philox4x32([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]) == [
        0xD16CFE09,
        0x94FDCCEB,
        0x5001E420,
        0x24126EA1,
    ]
    assert oracles.word(7, 3, 0) != oracles.word(7, 3, 1)
    assert 0 <= oracles.uniform(7, 3, 5) < 1
    assert {oracles.below(1, 2, i, 3) for i in range(50)} == {0, 1, 2}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_multiply_add_is_rounded_once(dtype):
    """Against rational arithmetic, half of the cases with nearly complete cancellation."""
    rng, n = np.random.default_rng(0), 3000
    a, b = (rng.standard_normal((2, n)) * 10.0 ** rng.integers(-3, 4, n)).astype(dtype)
    c = (-a * b * (1 + rng.integers(-3, 4, n) * np.finfo(dtype).eps)).astype(dtype)
    c[::2] = rng.standard_normal(n // 2)
    for x, y, z, value in zip(a, b, c, oracles.fma(a, b, c), strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(value)) - exact)
        for side in (-np.inf, np.inf):
            assert error <= abs(Fraction(float(np.nextafter(value, dtype(side)))) - exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 7, 16, 17, 40])
def test_canonical_distance_is_accurate(dtype, d):
    x, c = np.random.default_rng(d).standard_normal((2, 5, d)).astype(dtype)
    unit, lanes = float(np.finfo(dtype).eps) / 2, 16 if dtype == np.float32 else 8
    for i, row in enumerate(oracles.canon(x, c)):
        for j, value in enumerate(row):
            exact = sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x[i], c[j], strict=True))
            assert abs(Fraction(float(value)) - exact) <= exact * Fraction(unit) * (-(-d // lanes) + 7)
    assert not np.diag(oracles.canon(x, x)).any()
