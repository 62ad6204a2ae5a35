"""The results of kmeans_plusplus: order, kinds of arrays, invariance."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import argrad
import oracles
from argrad.seeding import D2Sampler, kmeans_plusplus
from checks import (
    accepts_any_layout,
    assert_same,
    follows_seed,
    keeps_dtype,
    keeps_kind,
    leaves_input_alone,
    same_for_all_threads_and_levels,
)
from seeds import DISTANCE, EVERY, METHODS, PLAIN, clusters, indices_of, seeded

# --- results --------------------------------------------------------------------------------------------------------


@EVERY
def test_centers_are_the_rows_in_the_order_of_drawing(method, dtype):
    x = clusters(dtype=dtype)
    centers, indices = seeded(x, method=method)
    assert centers.shape == (12, 5)
    assert centers.dtype == dtype
    assert indices.dtype == np.int64
    assert np.array_equal(centers, x[indices])
    assert len(set(indices.tolist())) == 12
    if method in ("pass", "uniform"):
        # A longer seeding goes on where a shorter one ends; in the others k decides on batches or trials.
        assert indices_of(x, k=7, method=method) == indices.tolist()[:7]


@given(
    n=st.integers(1, 40),
    d=st.integers(1, 20),
    k=st.integers(1, 40),
    seed=st.integers(0, 2**64 - 1),
    weighted=st.booleans(),
    method=st.sampled_from(METHODS),
)
def test_indices_are_distinct_rows_of_positive_weight(n, d, k, seed, weighted, method):
    k = min(k, n)
    rng = np.random.default_rng(seed % 1000)
    x = rng.standard_normal((n, d))
    weights = rng.integers(0, 3, n).astype(float) if weighted else np.ones(n)
    weights[0] = 1
    few = (weights > 0).sum() < k
    with warnings.catch_warnings(record=few):
        warnings.simplefilter("always" if few else "error")
        indices = seeded(x, k, method, seed, sample_weight=weights)[1]
    assert len(set(indices.tolist())) == k
    assert indices.min() >= 0
    assert indices.max() < n
    assert (weights[indices] > 0).sum() == min(k, (weights > 0).sum())


@EVERY
def test_seed_decides(method):
    x = clusters()
    follows_seed(lambda state: seeded(x, method=method, random_state=state))
    assert seeded(x, method=method, random_state=None)[1].shape == (12,)


@EVERY
def test_threads_and_instruction_sets_do_not_matter(method, dtype):
    x = clusters(4000, 9, 30, dtype=dtype)
    same_for_all_threads_and_levels(lambda: seeded(x, 60, method))
    weights = np.random.default_rng(0).random(4000)
    same_for_all_threads_and_levels(lambda: seeded(x, 60, method, sample_weight=weights))


@pytest.mark.parametrize("refresh", ["auto", "never", 16])
def test_threads_and_instruction_sets_do_not_matter_over_many_batches(refresh):
    x = np.random.default_rng(0).standard_t(1.8, (20_000, 6)).astype(np.float32)
    same_for_all_threads_and_levels(lambda: D2Sampler(x, refresh=refresh).seed(700, random_state=5))


def test_greedy_takes_its_documented_number_of_trials():
    x = clusters(500)
    for k, trials in ((1, 2), (12, 4), (20, 4), (21, 5)):
        assert indices_of(x, k=k, method="greedy") == indices_of(x, k=k, method="greedy", n_local_trials=trials)
    assert indices_of(x, k=12, method="greedy") != indices_of(x, k=12, method="greedy", n_local_trials=5)


def test_one_trial_is_accepted_by_every_plain_method():
    x = clusters(200)
    for method in PLAIN:
        assert indices_of(x, method=method, n_local_trials=1) == indices_of(x, method=method)


def test_bounded_rejection_reports_uniform_rows():
    x = clusters(2000, 3, 40)
    with pytest.warns(RuntimeWarning, match="uniform"):
        indices = indices_of(x, k=60, method="rejection", max_proposals=1)
    assert len(indices) == 60
    with pytest.warns(RuntimeWarning, match="uniform"):
        seeding = D2Sampler(x).seed(60, random_state=0, method="rejection", max_proposals=1)
    assert not seeding.exact
    assert seeding.n_proposals <= 59
    assert D2Sampler(x).seed(60, random_state=0, method="rejection").exact
    assert indices_of(x, k=60, method="rejection", max_proposals=10**6) == indices_of(x, k=60, method="rejection")


def test_squared_norms_are_accepted_and_do_not_change_the_result():
    x = clusters(300)
    norms = (x**2).sum(axis=1)
    for method in METHODS:
        assert indices_of(x, method=method, x_squared_norms=norms) == indices_of(x, method=method)


def test_scikit_learn_reads_the_result():
    from sklearn.cluster import KMeans

    x = clusters(400)
    fitted = KMeans(12, init=seeded(x)[0], n_init=1).fit(x)
    assert fitted.inertia_ < oracles.potential(x, seeded(x)[0])


# --- the same rows as loops -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True], ids=["unit", "weighted"])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_the_rows_are_those_of_the_loops(weighted, seed, dtype):
    """Batches, blocks, matrix products and rechecks decide as one proposal after the other does."""
    x = clusters(700, 5, 20, dtype=dtype)
    weights = np.random.default_rng(1).integers(0, 4, 700).astype(float) if weighted else None
    a = np.ones(700) if weights is None else weights
    options = {"random_state": seed, "sample_weight": weights}
    assert indices_of(x, k=40, method="pass", **options) == oracles.seed_by_passes(x, a, 40, seed)
    assert indices_of(x, k=12, method="greedy", **options) == oracles.seed_greedily(x, a, 12, seed, 4)
    expected, proposals = oracles.seed_by_rejection(x, a, 60, seed)
    assert indices_of(x, k=60, method="rejection", **options) == expected
    seeding = D2Sampler(x, sample_weight=weights).seed(60, random_state=seed, method="rejection")
    assert (seeding.indices.tolist(), seeding.n_proposals) == (expected, proposals)


def test_bounded_rejection_is_that_of_the_loop(dtype):
    x = clusters(700, 5, 20, dtype=dtype)
    for most in (1, 5, 30):
        with pytest.warns(RuntimeWarning, match="uniform"):
            seeding = D2Sampler(x).seed(50, random_state=3, method="rejection", max_proposals=most)
        expected, proposals = oracles.seed_by_rejection(x, np.ones(700), 50, 3, most)
        assert (seeding.indices.tolist(), seeding.n_proposals) == (expected, proposals)


# --- arrays ---------------------------------------------------------------------------------------------------------


@EVERY
def test_takes_any_array(method):
    x = clusters(300)
    accepts_any_layout(lambda a: seeded(a, method=method), x)
    leaves_input_alone(lambda a: seeded(a, method=method), x)
    keeps_dtype(lambda a: seeded(a, method=method)[0], x)
    keeps_kind(lambda a: seeded(a, method=method), x)
    assert_same(seeded(x, method=method), seeded(np.asfortranarray(x), method=method))


def test_half_types_are_computed_in_float32():
    import torch

    x = clusters(300).astype(np.float16)
    assert indices_of(x) == indices_of(x.astype(np.float32))
    tensor = torch.from_numpy(x).to(torch.bfloat16)
    centers, indices = seeded(tensor)
    assert centers.dtype == torch.bfloat16
    assert torch.equal(centers, tensor[indices])
    assert indices.tolist() == indices_of(tensor.float())


def test_memory_map(tmp_path):
    x = clusters(300)
    np.save(tmp_path / "x.npy", x)
    assert_same(seeded(x), seeded(np.load(tmp_path / "x.npy", mmap_mode="r")))


def test_gradients_flow_to_the_chosen_rows():
    import torch

    x = torch.from_numpy(clusters(50)).requires_grad_()
    centers, indices = seeded(x)
    (centers * torch.arange(60.0).reshape(12, 5)).sum().backward()
    expected = torch.zeros_like(x)
    expected[indices] = torch.arange(60.0).reshape(12, 5)
    assert torch.equal(x.grad, expected)


# --- invariance -----------------------------------------------------------------------------------------------------


@DISTANCE
@pytest.mark.parametrize("exponent", [-40, -7, 1, 30])
def test_scaling_by_a_power_of_two_changes_nothing(method, exponent, dtype):
    x = clusters(dtype=dtype)
    assert indices_of(x * dtype.type(2.0**exponent), method=method) == indices_of(x, method=method)


@DISTANCE
def test_tight_groups_survive_small_scales(method):
    """Squares of distances inside a group underflow in float32 long before those between groups do."""
    groups = np.random.default_rng(0).standard_normal((6, 3))
    x = (groups[np.arange(300) % 6] + np.random.default_rng(1).standard_normal((300, 3)) * 2**-12).astype(np.float32)
    for exponent in (-58, -48, -40, 45, 58):
        assert indices_of(x * np.float32(2.0**exponent), k=100, method=method) == indices_of(x, k=100, method=method)


@DISTANCE
@pytest.mark.parametrize("scale", [1e-15, 1e15, 1e-25, 1e25, 1e-36, 1e37])
def test_scales_whose_squares_leave_the_range(method, scale, dtype):
    """In law: the potential over the square of the scale; the reference is the unscaled data in float64."""
    x = clusters(400).astype(np.float64)
    found = [indices_of((x * scale).astype(dtype), method=method, random_state=s) for s in range(20)]
    assert all(len(set(indices)) == 12 for indices in found)
    ours = np.mean([oracles.potential(x, x[indices]) for indices in found])
    reference = [indices_of(x, method=method, random_state=s) for s in range(20)]
    theirs = np.mean([oracles.potential(x, x[indices]) for indices in reference])
    assert ours == pytest.approx(theirs, rel=0.2)


@pytest.mark.parametrize("scale", [1e-160, 1e160, 1e300])
def test_float64_scales_whose_squares_leave_the_range(scale):
    x = clusters(400, dtype=np.float64)
    power = 2.0 ** np.floor(np.log2(scale))
    for method in ("exact", "pass", "rejection", "greedy"):
        assert indices_of(x * power, method=method) == indices_of(x, method=method)


@DISTANCE
def test_translation_by_ten_thousand(method):
    """Rows on a grid of 2**-10 are translated exactly, also in float32: the canonical distances do not change."""
    x = np.round(clusters() * 2**4) / 2**4
    moved = (x + 10_000).astype(np.float32)
    assert np.array_equal(moved.astype(np.float64) - 10_000, x)
    if method in ("exact", "pass", "greedy"):
        assert indices_of(moved, method=method) == indices_of(x.astype(np.float32), method=method)
    found = [
        np.mean([oracles.potential(x, a[indices_of(a, method=method, random_state=s)] - shift) for s in range(20)])
        for a, shift in ((x.astype(np.float32), 0), (moved, 10_000))
    ]
    assert found[0] == pytest.approx(found[1], rel=0.2)


@pytest.mark.parametrize("method", ["exact", "pass", "greedy"])
def test_scaling_the_weights_by_a_power_of_two_changes_nothing(method):
    x, weights = clusters(), np.random.default_rng(0).random(1500)
    assert indices_of(x, method=method, sample_weight=weights) == indices_of(
        x, method=method, sample_weight=weights * 2.0**-200
    )


def test_names_are_public():
    assert argrad.seeding.kmeans_plusplus is kmeans_plusplus


def test_more_candidates_than_are_measured_together(rng):
    X = rng.normal(size=(200, 3))
    _, indices = kmeans_plusplus(X, 5, method="greedy_coreset", n_local_trials=70, random_state=0)
    assert len(set(indices.tolist())) == 5
