"""D2Sampler: prepare once, seed often."""

from itertools import pairwise

import numpy as np
import pytest

import oracles
from argrad.seeding import D2Sampler, Seeding
from checks import (
    assert_same,
    follows_seed,
    raises_sentence,
)
from seeds import clusters, indices_of

# --- the sampler ----------------------------------------------------------------------------------------------------


def test_seeding_is_a_frozen_result(dtype):
    x = clusters(dtype=dtype)
    for envelope in ("first", "norm"):
        seeding = D2Sampler(x, envelope=envelope).seed(12, random_state=0)
        assert isinstance(seeding, Seeding)
        assert seeding.exact is True
        assert np.array_equal(seeding.centers, x[seeding.indices])
        assert seeding.centers.dtype == dtype
        assert seeding.n_proposals >= 11
        assert 0 < seeding.acceptance <= 1
        assert seeding.acceptance == pytest.approx(11 / seeding.n_proposals)
        assert seeding.n_refreshes >= 0
        truth = oracles.potential(x, seeding.centers)
        assert abs(seeding.potential - truth) < 5 * seeding.potential_stderr
        assert 0.3 < seeding.beta * truth / oracles.potential(x, x.mean(axis=0, keepdims=True)) < 3
        with pytest.raises(AttributeError):
            seeding.beta = 1


def test_sampler_with_the_first_envelope_is_the_function(dtype):
    x, weights = clusters(dtype=dtype), np.random.default_rng(0).random(1500)
    for options in ({}, {"sample_weight": weights}):
        sampler = D2Sampler(x, envelope="first", **options)
        for seed in (0, 1, 2**63):
            assert sampler.seed(12, random_state=seed).indices.tolist() == indices_of(x, random_state=seed, **options)


def test_rejection_by_the_sampler_is_the_function():
    x = clusters()
    assert D2Sampler(x).seed(12, random_state=4, method="rejection").indices.tolist() == indices_of(
        x, random_state=4, method="rejection"
    )


def test_prepare_changes_no_result():
    x = clusters()
    prepared = D2Sampler(x)
    prepared.prepare()
    assert_same(prepared.seed(12, random_state=1), D2Sampler(x).seed(12, random_state=1))
    assert_same(prepared.seed(12, random_state=1), prepared.seed(12, random_state=1), "second call")


def test_seed_many_gives_prefixes_of_independent_runs():
    x = clusters()
    found = D2Sampler(x).seed_many([3, 12, 7], n_init=2, random_state=5)
    assert [len(seeding.indices) for seeding in found] == [3, 3, 12, 12, 7, 7]
    runs = [found[::2], found[1::2]]
    for run in runs:
        for short, long in pairwise(sorted(run, key=lambda seeding: len(seeding.indices))):
            assert np.array_equal(short.indices, long.indices[: len(short.indices)])
            assert np.array_equal(short.centers, x[short.indices])
    assert runs[0][1].indices.tolist() != runs[1][1].indices.tolist()
    assert_same(found, D2Sampler(x).seed_many([3, 12, 7], n_init=2, random_state=5))


def test_sample_leaves_the_centers_out():
    x = clusters(200)
    sampler = D2Sampler(x)
    rows = sampler.sample(5000, x[:3], random_state=0)
    assert rows.shape == (5000,)
    assert rows.dtype == np.int64
    assert not np.isin(rows, [0, 1, 2]).any()
    assert len(set(rows.tolist())) > 150
    follows_seed(lambda state: sampler.sample(50, x[:3], random_state=state))
    assert sampler.sample(0, x[:3], random_state=0).shape == (0,)


@pytest.mark.parametrize("envelope", ["norm", "first"])
def test_update_reads_the_changed_rows_again(envelope):
    """Shrinking rows: the envelope of the untouched ones stays a bound about the old mean."""
    x = clusters()
    sampler = D2Sampler(x, envelope=envelope)
    sampler.seed(3, random_state=0)
    x[500:] = x[:1000]
    sampler.update(np.arange(500, 1500))
    potentials = []
    for make in (lambda: sampler, lambda: D2Sampler(x, envelope=envelope)):
        seedings = [make().seed(12, random_state=s) for s in range(40)]
        potentials.append(np.mean([oracles.potential(x, s.centers) for s in seedings]))
        assert all(np.array_equal(s.centers, x[s.indices]) for s in seedings)
    assert potentials[0] == pytest.approx(potentials[1], rel=0.1)
    assert sampler.sample(1000, x[:2], random_state=0).max() > 500


@pytest.mark.parametrize("envelope", ["norm", "first"])
@pytest.mark.parametrize(("scale", "changed"), [(1, 1e6), (1, 1e30), (1e-30, 1), (1e-30, 1e30)])
def test_update_follows_a_row_out_of_the_range(envelope, scale, changed, dtype):
    x = (clusters() * scale).astype(dtype)
    sampler = D2Sampler(x, envelope=envelope)
    sampler.seed(3, random_state=0)
    x[700] = changed
    sampler.update(np.array([700]))
    assert all(700 in sampler.seed(2, random_state=s).indices for s in range(10))


def test_update_follows_all_rows_into_another_range(dtype):
    x = (clusters() * 1e30).astype(dtype)
    sampler = D2Sampler(x).prepare()
    x[:] = clusters()
    sampler.update(np.arange(len(x)))
    assert len(set(sampler.seed(30, random_state=0).indices.tolist())) == 30
    assert len(set(sampler.sample(300, x[:2], random_state=0).tolist())) > 100


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sample_refuses_centers_that_are_not_finite(bad):
    x = clusters(100)
    centers = x[:3].copy()
    centers[2, 1] = bad
    raises_sentence(
        ValueError,
        lambda: D2Sampler(x).sample(5, centers, random_state=0),
        "D2Sampler.sample",
        "centers",
        contains=("2", "1"),
    )


def test_sampler_refuses():
    x = clusters(20)
    raises_sentence(ValueError, lambda: D2Sampler(x, envelope="loose"), "D2Sampler", "envelope", contains="norm")
    raises_sentence(ValueError, lambda: D2Sampler(x).seed(21), "D2Sampler.seed", "n_clusters", contains=("20", "21"))
    raises_sentence(ValueError, lambda: D2Sampler(x).seed(3, method="x"), "D2Sampler.seed", "method")
    raises_sentence(ValueError, lambda: D2Sampler(x).sample(-1, x[:2]), "D2Sampler.sample", "size")
    raises_sentence(ValueError, lambda: D2Sampler(x).sample(1, x[:2, :2]), "D2Sampler.sample", "centers")
    raises_sentence(ValueError, lambda: D2Sampler(x).sample(1, x), "D2Sampler.sample")
    raises_sentence(ValueError, lambda: D2Sampler(x).update(np.array([20])), "D2Sampler.update", "rows", contains="20")
    bad = x.copy()
    bad[19, 4] = np.nan
    raises_sentence(ValueError, lambda: D2Sampler(bad).prepare(), "D2Sampler", "X", contains=("19", "4"))
