"""The laws of seeding: enumerated, one step, potentials, proposals. test_law.py shows what the harness rejects."""

import numpy as np
import pytest

import argrad
import law
import oracles
from argrad import _native
from argrad.seeding import D2Sampler, kmeans_plusplus

RUNS = 400_000
FEWER = 100_000

# Small integers: every distance is exact in float32, so that the enumerated law is the one of the code.
LAYOUTS = {
    # Three rows on a line, two of them equal.
    "plane": [[0, 0], [1, 0], [1, 0], [3, 1], [0, 4], [5, 5], [2, 2]],
    "line": [[0], [1], [3], [3], [8], [9]],
    # Distances inside a group are below the rounding error of the matrix-product form; a pair is equal.
    "tight": [[0, 0], [1, 0], [0, 2], [10007, 9001], [10008, 9001], [10008, 9001], [10009, 9003]],
    "shifted": [[10000, 10000], [10001, 10000], [10001, 10000], [10003, 10001], [10000, 10004], [10005, 10005]],
}
WEIGHTS = [1, 2, 0, 1, 3, 0.5, 1]
# Batch sizes of each schedule; `refresh` counts centres: 0 is never, 1 is after every batch that found one.
SCHEDULES = {
    "frozen": ([4], {"tighten": False, "refresh": 0}),
    "tighten": ([1, 16], {"tighten": True, "refresh": 0}),
    "refresh": ([4], {"tighten": False, "refresh": 1}),
    "both": ([1, 4, 16], {"tighten": True, "refresh": 1}),
    "mean frozen": ([4], {"tighten": False, "refresh": 0, "anchors": 0}),
    "mean both": ([4, 16], {"tighten": True, "refresh": 1, "anchors": 0}),
    "anchors tighten": ([4, 16], {"tighten": True, "refresh": 0, "anchors": 3}),
}
WEIGHTED = pytest.mark.parametrize("weighted", [False, True], ids=["unit", "weighted"])


def enumerated(points, weights, k=3):
    return oracles.plain_law(oracles.squared_distances(points), np.ones(len(points)) if weights is None else weights, k)


def observed(points, weights, method, *, k=3, runs=RUNS, dtype=np.float32, refresh=None, **schedule):
    options = {
        "method": method,
        "trials": 3,
        "coreset": len(points),
        "max_proposals": None,
        "refresh": refresh,
        "potential_draws": 0,
    }
    argrad.set_num_threads(1)  # there is nothing to share in seven rows
    return _native.law_counts(points.astype(dtype), weights, k, options, runs, 20, **schedule)


def layout(name, weighted=False):
    points = np.array(LAYOUTS[name], dtype=float)
    return points, np.array(WEIGHTS[: len(points)]) if weighted else None


@WEIGHTED
@pytest.mark.parametrize("method", ["exact", "pass", "rejection"])
@pytest.mark.parametrize(("name", "runs"), [("plane", RUNS), ("line", FEWER), ("shifted", FEWER)])
def test_exact_methods_have_the_enumerated_law(name, runs, method, weighted):
    points, weights = layout(name, weighted)
    result = law.chi_square(observed(points, weights, method, runs=runs), enumerated(points, weights))
    assert result.passed, result


@WEIGHTED
@pytest.mark.parametrize(("schedule", "batch"), [(name, batch) for name in SCHEDULES for batch in SCHEDULES[name][0]])
def test_every_schedule_has_the_enumerated_law(schedule, batch, weighted):
    points, weights = layout("plane", weighted)
    counts = observed(points, weights, "exact", max_batch=batch, **SCHEDULES[schedule][1])
    result = law.chi_square(counts, enumerated(points, weights))
    assert result.passed, result


@WEIGHTED
def test_a_frozen_envelope_gives_the_same_rows_for_every_batch_size(weighted):
    points, weights = layout("plane", weighted)
    options = {"runs": 20_000, "tighten": False, "refresh": 0}
    one_by_one, *batched = (observed(points, weights, "exact", max_batch=b, **options) for b in (1, 3, 16, 2048))
    assert all(np.array_equal(one_by_one, counts) for counts in batched)


@WEIGHTED
@pytest.mark.parametrize("anchors", [None, 0, 2], ids=["first", "mean", "pivots"])
def test_tight_groups_far_apart_have_the_enumerated_law(anchors, weighted):
    """Refreshed for two centres, the bounds are of the order of the distances when the third and fourth are drawn.

    Every decision then hangs on the recheck: with a rounding band of width zero this test fails.
    """
    points, weights = layout("tight", weighted)
    schedule = {"tighten": True, "refresh": 2, "anchors": anchors, "max_batch": 4}
    counts = observed(points, weights, "exact", k=4, runs=FEWER, **schedule)
    result = law.chi_square(counts, enumerated(points, weights, k=4))
    assert result.passed, result


@pytest.mark.parametrize("method", ["exact", "rejection"])
def test_float64_has_the_enumerated_law(method):
    points, weights = layout("plane", weighted=True)
    counts = observed(points, weights, method, dtype=np.float64, runs=FEWER)
    result = law.chi_square(counts, enumerated(points, weights))
    assert result.passed, result


@WEIGHTED
def test_greedy_has_the_enumerated_law(weighted):
    points, weights = layout("plane", weighted)
    distances = oracles.squared_distances(points)
    expected = oracles.greedy_law(distances, np.ones(len(points)) if weights is None else weights, 3, trials=3)
    result = law.chi_square(observed(points, weights, "greedy"), expected)
    assert result.passed, result


def test_greedy_counts_are_not_plain_counts():
    points, _ = layout("plane")
    assert not law.chi_square(observed(points, None, "greedy"), enumerated(points, None)).passed


@pytest.mark.parametrize("method", ["exact", "pass", "rejection", "greedy"])
def test_weights_are_repetitions(method):
    points, counts = layout("line")[0], np.array([1, 3, 2, 1, 1, 2])
    copies = np.repeat(np.arange(6), counts)
    repeated = observed(points[copies], None, method, runs=FEWER).reshape((10,) * 3)
    summed = np.zeros((6, 6, 6), dtype=np.int64)
    np.add.at(summed, np.ix_(copies, copies, copies), repeated)
    distances, weights = oracles.squared_distances(points), counts.astype(float)
    if method == "greedy":
        expected = oracles.greedy_law(distances, weights, 3, trials=3)
    else:
        expected = oracles.plain_law(distances, weights, 3)
    assert law.chi_square(summed, expected).passed
    assert law.chi_square(observed(points, weights, method, runs=FEWER), expected).passed


def test_uniform_method_draws_distinct_rows_uniformly():
    points, _ = layout("line")
    expected = np.array([len({a, b, c}) == 3 for a in range(6) for b in range(6) for c in range(6)]) / 120
    assert law.chi_square(observed(points, None, "uniform"), expected).passed


@WEIGHTED
@pytest.mark.parametrize("envelope", ["norm", "first"])
def test_one_step_has_the_law_of_squared_distances(envelope, weighted, dtype):
    rng = np.random.default_rng(5)
    points = rng.standard_normal((1000, 6)).astype(dtype)
    weights = rng.integers(0, 4, 1000).astype(float) if weighted else None
    centers = points[[3, 500, 999]]
    distances = oracles.nearest(points, centers)[1].astype(np.float64)
    mass = distances if weights is None else distances * weights
    rows = D2Sampler(points, sample_weight=weights, envelope=envelope).sample(200_000, centers, random_state=9)
    for result in (
        law.g_test(rows, mass / mass.sum(), distances),
        law.kolmogorov(rows, mass / mass.sum(), distances, 11),
        law.kolmogorov(rows, mass / mass.sum(), np.arange(1000), 12),
    ):
        assert result.passed, result


def clusters(n=2000, d=8, groups=20, dtype=np.float32):
    rng = np.random.default_rng(7)
    means = rng.standard_normal((groups, d)) * 4
    return (means[rng.integers(0, groups, n)] + rng.standard_normal((n, d))).astype(dtype)


def potentials(points, method, seeds, k=20):
    return [oracles.potential(points, kmeans_plusplus(points, k, method=method, random_state=s)[0]) for s in seeds]


def test_potentials_are_those_of_passes_over_the_rows():
    points = clusters()
    reference = potentials(points, "pass", range(200))
    for method, start in (("exact", 1000), ("rejection", 2000)):
        result = law.two_samples(potentials(points, method, range(start, start + 200)), reference)
        assert result.passed, (method, result)
    assert not law.two_samples(potentials(points, "uniform", range(3000, 3200)), reference).passed


def test_greedy_is_as_good_as_the_loop_and_better_than_plain():
    points, ones = clusters(600, 4, 12), np.ones(600)
    ours = potentials(points, "greedy", range(60), k=12)
    loop = [oracles.kmeans_plusplus(points, ones, 12, np.random.default_rng(s), trials=4)[1] for s in range(60)]
    plain = potentials(points, "exact", range(60), k=12)
    assert law.two_samples(ours, loop).passed
    assert not law.mean_below(ours, plain).passed


def test_more_trials_are_better():
    points = clusters(600, 4, 12)
    few, many = (
        [
            oracles.potential(points, kmeans_plusplus(points, 12, method="greedy", n_local_trials=t, random_state=s)[0])
            for s in range(60)
        ]
        for t in (1, 12)
    )
    assert law.two_samples(few, potentials(points, "pass", range(60), k=12)).passed
    assert not law.mean_below(many, few).passed


def test_greedy_on_a_coreset_is_close_to_greedy():
    points = clusters(30_000, 8, 40)
    coreset = np.mean(potentials(points, "greedy_coreset", range(6), k=30))
    greedy = np.mean(potentials(points, "greedy", range(6), k=30))
    plain = np.mean(potentials(points, "exact", range(6), k=30))
    assert coreset < 1.03 * greedy
    assert coreset < plain


def envelope_total(points, first, shape):
    points = points.astype(np.float64)
    mean, center = points.mean(axis=0), points[first]
    norms, own = ((points - mean) ** 2).sum(axis=1), ((center - mean) ** 2).sum()
    if shape == "first":
        return ((points - center) ** 2).sum()
    # The triangle inequality about the mean, or its upper bound that the paper uses.
    return ((np.sqrt(norms) + np.sqrt(own)) ** 2).sum() if shape == "norm" else 2 * (norms + own).sum()


@pytest.mark.parametrize("shape", ["first", "norm", "paper"])
def test_proposals_are_as_many_as_predicted(shape):
    """Five centres need fewer proposals than one batch holds, so that the envelope of the prediction does not move.

    So few rows get no pivots: the only anchor is the mean.
    """
    points = np.random.default_rng(3).standard_normal((250, 16)).astype(np.float32)
    sampler = D2Sampler(points, envelope="first" if shape == "first" else "norm", refresh="never")
    method = "rejection" if shape == "paper" else "exact"
    seedings = [sampler.seed(5, random_state=seed, method=method) for seed in range(200)]
    predicted = [
        oracles.expected_proposals(points, s.indices.tolist(), envelope_total(points, s.indices[0], shape))
        for s in seedings
    ]
    result = law.sum_of([s.n_proposals for s in seedings], *zip(*predicted, strict=True))
    assert abs(result.statistic) < 4, result


def test_potential_estimate_is_unbiased_and_its_error_honest():
    points = clusters()
    seedings = [D2Sampler(points, envelope="first").seed(20, random_state=seed) for seed in range(100)]
    exact = [oracles.potential(points, s.centers) for s in seedings]
    errors = [(s.potential - truth) / s.potential_stderr for s, truth in zip(seedings, exact, strict=True)]
    assert abs(np.mean(errors)) < 4 / 100**0.5
    assert 0.7 < np.std(errors) < 1.3
