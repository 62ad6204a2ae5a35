"""D2Sampler draws the rows that it draws on the host on a device, run on the host by the emulator."""

import numpy as np
import pytest
import torch

from argrad.seeding import D2Sampler, _device_sampler
from test_cuda_seeding_plusplus import clusters


def assert_equal(found, seeding):
    """All that a seeding tells; only the square root may be rounded otherwise."""
    assert found.indices.tolist() == seeding.indices.tolist()
    assert np.array_equal(found.centers, seeding.centers)
    for name in ("potential", "n_proposals", "n_refreshes", "n_drawn", "acceptance", "exact", "beta"):
        assert getattr(found, name) == getattr(seeding, name), name
    assert found.potential_stderr == pytest.approx(seeding.potential_stderr, rel=1e-12)


def both(device, X, call, **options):
    """What the call returns of a sampler on the host and on a device."""
    expected = call(D2Sampler(X, **options))
    with device():
        return call(D2Sampler(X, **options)), expected


# A pivot has 256 rows, a block of rows 1024.
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (40, 3, 9), (1300, 20, 12)])
def test_seed(device, rng, dtype, n, d, k):
    X = rng.normal(size=(n, d)).astype(dtype)
    assert_equal(*both(device, X, lambda sampler: sampler.seed(k, random_state=7)))


@pytest.mark.parametrize("weighted", [False, True])
def test_envelopes_and_methods(device, rng, dtype, weighted):
    X = clusters(rng, 300, 3).astype(dtype)
    options = {"sample_weight": rng.integers(0, 3, 300)} if weighted else {}
    assert_equal(*both(device, X, lambda sampler: sampler.seed(9, random_state=1), envelope="first", **options))
    assert_equal(*both(device, X, lambda sampler: sampler.seed(9, random_state=1), refresh=3, **options))
    assert_equal(*both(device, X, lambda sampler: sampler.seed(6, random_state=2, method="rejection"), **options))


def test_rejection_gives_up(device, rng):
    X, weights = clusters(rng, 600, 3), rng.integers(0, 3, 600)
    with pytest.warns(RuntimeWarning, match="are uniform rows"):
        found, expected = both(
            device, X, lambda sampler: sampler.seed(12, 2, "rejection", max_proposals=3), sample_weight=weights
        )
    assert_equal(found, expected)
    assert not found.exact


def test_seed_many(device, rng, dtype):
    X = clusters(rng, 600, 2).astype(dtype)
    found, expected = both(device, X, lambda sampler: sampler.seed_many([6, 2, 4], n_init=2, random_state=3))
    assert len(found) == len(expected) == 6
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


def test_fewer_distinct_rows_than_centers(device, rng, dtype):
    X = rng.integers(0, 2, (300, 2)).astype(dtype)
    with pytest.warns(RuntimeWarning, match="distinct points"):
        found, expected = both(device, X, lambda sampler: sampler.seed_many([3, 7, 9], random_state=3))
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("exponent", [-60, 60])
def test_squares_out_of_range(device, rng, dtype, exponent):
    factor = dtype.type(2.0 ** (exponent * (8 if dtype == np.float64 else 1)))
    X = clusters(rng, 600, 3).astype(dtype) * factor
    assert_equal(*both(device, X, lambda sampler: sampler.seed(8, random_state=7)))


@pytest.mark.parametrize("weighted", [False, True])
def test_sample(device, rng, monkeypatch, weighted):
    dtype = np.float32 if weighted else np.float64
    monkeypatch.setattr(_device_sampler, "FIRST_BURST", 1)
    X = rng.normal(size=(600, 3)).astype(dtype)
    options = {"sample_weight": rng.integers(0, 3, 600)} if weighted else {}
    for size in (0, 900):
        found, expected = both(device, X, lambda sampler, s=size: sampler.sample(s, X[:30], random_state=1), **options)
        assert found.tolist() == expected.tolist()


def test_sample_by_a_pass(device, rng, dtype, monkeypatch):
    # The host goes over to it after 64 batches, which would take the emulator too long.
    monkeypatch.setattr(_device_sampler, "SAMPLE_RATE", 0)
    monkeypatch.setattr(_device_sampler, "FIRST_BURST", 1)
    X = clusters(rng, 30, 3).astype(dtype)
    found, expected = both(device, X, lambda sampler: sampler.sample(20, X[:29], random_state=1))
    assert found.tolist() == expected.tolist()
    with device(), pytest.raises(ValueError, match=r"D2Sampler.sample: centers must leave a row of positive weight"):
        D2Sampler(X).sample(3, X)


def test_update(device, rng, dtype):
    X, rows = clusters(rng, 300, 3).astype(dtype), np.array([3, 250, 3])
    X = np.asfortranarray(X) if dtype == np.float64 else X  # which a sampler copies

    def call(sampler):
        before = sampler._X[rows].copy()
        for method in ("exact", "rejection"):
            sampler.seed(1, random_state=1, method=method)
        sampler._X[rows] += 5
        sampler.update(rows)
        found = sampler.seed(5, random_state=1), sampler.seed(4, random_state=1, method="rejection")
        sampler._X[rows] = before
        return found

    for one, other in zip(*both(device, X, call), strict=True):
        assert_equal(one, other)


def test_tensors(device, rng):
    for kind in (torch.float64, torch.bfloat16):
        X = torch.from_numpy(rng.normal(size=(300, 3))).to(kind)
        found, expected = both(device, X, lambda sampler: sampler.seed(5, random_state=1))
        assert found.indices.dtype == torch.int64
        assert found.indices.tolist() == expected.indices.tolist()
        assert torch.equal(found.centers, expected.centers)


def test_bad_numbers_are_told(device, rng):
    X, weights = rng.normal(size=(300, 3)), np.ones(300)
    X[250, 1] = np.nan
    for envelope, method in (("norm", "exact"), ("first", "exact"), ("norm", "rejection")):
        with device(), pytest.raises(ValueError, match=r"X must be finite.* row 250, column 1"):
            D2Sampler(X, envelope=envelope).seed(3, random_state=0, method=method)
    X[250, 1] = 0
    for bad, sentence in ((np.inf, "row 30"), (-1.0, "row 30")):
        weights[30] = bad
        for envelope in ("norm", "first"):
            with device(), pytest.raises(ValueError, match=f"sample_weight must be finite.*{sentence}"):
                D2Sampler(X, sample_weight=weights, envelope=envelope).seed(3, random_state=0)
    with device():
        sampler = D2Sampler(X).prepare()
        with pytest.raises(ValueError, match=r"D2Sampler.sample: centers must be finite.* row 1, column 0"):
            sampler.sample(3, np.array([[0, 0, 0], [np.nan, 0, 0]]))
        with pytest.raises(ValueError, match=r"D2Sampler.update: rows must be in \[0, 300\), got 2 to 300"):
            sampler.update(np.array([2, 300]))
        X[7] = np.inf
        with pytest.raises(ValueError, match=r"D2Sampler.update: X must be finite, got a bad value in row 7"):
            sampler.update(np.array([2, 7]))
