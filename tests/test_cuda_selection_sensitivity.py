"""Sensitivity sampling on a device selects what the host selects, bit for bit, run on the host by the emulator."""

import warnings

import numpy as np
import pytest
import torch

from argrad import _native
from argrad.selection import (
    SelectedSubset,
    SelectionWarning,
    SensitivitySelector,
    WeightedSubsetSampler,
    _device_scores,
    _scores,
    sensitivity_sample,
    training_weights,
)
from argrad.selection._estimate import ESTIMATORS
from argrad.selection._proxies import Weighing

DRAWS = ["systematic", "iid", "pivotal", "poisson", "stratified"]
ROWS = ("indices", "weights", "probabilities", "labels", "centers", "center_indices")


def quiet(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        return sensitivity_sample(*arguments, **options)


def same(found, want):
    """Two selections are equal in every number."""
    for name in ROWS:
        first, second = getattr(found, name), getattr(want, name)
        assert first.dtype == second.dtype, name
        assert np.array_equal(*[x.double() if name == "centers" and torch.is_tensor(x) else x for x in (first, second)])
    assert (found.proxies is None) == (want.proxies is None)
    assert want.proxies is None or np.array_equal(found.proxies, want.proxies)
    assert np.array_equal(found.totals.masses, want.totals.masses)
    assert (found.n_queries, found.totals.mass, found.totals.squares) == (
        want.n_queries,
        want.totals.mass,
        want.totals.squares,
    )
    for name in want.diagnostics.__slots__:
        assert np.array_equal(getattr(found.diagnostics, name), getattr(want.diagnostics, name)), name


def both(device, X, loss, size, **options):
    """A look that a device selects the rows of the host, and estimates the same; returns the host's."""
    want = quiet(X, loss, size, **options)
    with device():
        found = quiet(X, loss, size, **options)
    same(found, want)
    losses = np.asarray(want.indices) % 7 + 1.0
    for estimator in ESTIMATORS:
        if (loss is None and estimator == "difference") or len(losses) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SelectionWarning)
            expected = want.estimate(losses, estimator)
            with device():
                assert found.estimate(losses, estimator) == expected
    return want


def data(rng, n, d=3, dtype=np.float64):
    X = ((rng.normal(size=(4, d)) * 6)[rng.integers(0, 4, n)] + rng.normal(size=(n, d))).astype(dtype)
    return X, 1 + (X.astype(np.float64) ** 2).sum(axis=1) / 10 + rng.random(n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("draw", DRAWS)
def test_draws(device, rng, dtype, draw, weighted):
    X, loss = data(rng, 150, dtype=dtype)
    weights = np.where(rng.random(150) < 0.2, 0.0, rng.uniform(0, 3, 150)) if weighted else None
    both(device, X, loss, 40, n_clusters=7, draw=draw, sample_weight=weights, random_state=3)


@pytest.mark.parametrize(
    "options",
    [
        {"holder": "quantile", "z": 1},
        {"holder": 2.0, "mix": 0, "z": 0.5},
        {"holder": np.linspace(0, 1, 6), "mix": 1},
        {"proxy": "medoid", "estimator": "difference", "mix": 0},
        {"proxy": "medoid", "holder": "quantile", "n_pilot": 1},
    ],
)
def test_options(device, rng, options):
    X, loss = data(rng, 90)
    both(device, X, loss, 20, n_clusters=6, random_state=1, **options)


def test_without_a_loss(device, rng, dtype):
    X, _ = data(rng, 70, dtype=dtype)
    both(device, X, None, 20, n_clusters=5, random_state=1, sample_weight=rng.integers(0, 3, 70))


def test_other_powers_agree_to_rounding(device, rng):
    X, loss = data(rng, 60)
    want = quiet(X, loss, 20, n_clusters=5, z=1.7, random_state=1)
    with device():
        found = quiet(X, loss, 20, n_clusters=5, z=1.7, random_state=1)
    np.testing.assert_allclose(found.probabilities, want.probabilities, rtol=1e-13)


def test_more_rows_than_a_block_has(device, rng):
    X, loss = data(rng, 1300, d=1, dtype=np.float32)
    X[:400] = X[7]  # ties of distances
    both(device, X, loss, 300, n_clusters=3, sample_weight=rng.random(1300), random_state=1)


def test_certain_rows_and_all_rows(device, rng):
    X, loss = data(rng, 60)
    X[5] *= 100
    assert both(device, X, loss, 20, n_clusters=1, mix=0.05, random_state=0).diagnostics.n_certain > 0
    both(device, X, loss, 60, n_clusters=4, random_state=0)
    both(device, X[:1], loss[:1], 1, random_state=0)


def test_kinds(device, rng):
    """Halves, layouts, losses as a function of tensors, of integers, and on the host."""
    X, loss = data(rng, 80)
    both(device, torch.tensor(X).half(), torch.tensor(loss), 20, n_clusters=5, random_state=2)
    both(device, X[:, ::2].astype(np.float16), (10 * loss).astype(int), 20, n_clusters=5, random_state=2)
    seen = []

    def queried(rows):
        assert rows.dtype == torch.int64
        seen.append(rows.tolist())
        return torch.tensor(loss)[rows]

    both(device, torch.tensor(X).bfloat16(), queried, 20, n_clusters=5, random_state=2)
    assert seen[0] == seen[1] == sorted(set(seen[0]))
    selector = SensitivitySelector(20, n_clusters=5, random_state=2)
    want = selector.fit(X, loss).indices_
    with device():
        assert np.array_equal(selector.fit(X, loss).indices_, want)


def test_duplicates(device, rng):
    X = np.ones((50, 2))
    both(device, X, np.full(50, 3.0), 10, n_clusters=1, random_state=0)
    with device(), pytest.warns(SelectionWarning, match="all scores are zero"):
        found = sensitivity_sample(X, np.zeros(50), 10, n_clusters=1)
    np.testing.assert_allclose(found.probabilities, 0.2)
    with device(), pytest.warns(RuntimeWarning, match="distinct points"):
        found = quiet(X, np.ones(50), 10, n_clusters=3, random_state=0)
    with pytest.warns(RuntimeWarning, match="distinct points"):
        same(found, quiet(X, np.ones(50), 10, n_clusters=3, random_state=0))


def test_rows_that_cannot_be_drawn_are_told(device, rng):
    X, loss = data(rng, 60)
    loss[:] = 0
    with device(), pytest.warns(SelectionWarning, match="rows off their center have probability zero"):
        sensitivity_sample(X, loss, 1, n_clusters=3, mix=0, holder=np.array([0, 0, 1.0]), random_state=0)
    with device(), pytest.raises(ValueError, match=r"n_select must be at most .*positive probability, \d+, got 59"):
        quiet(X, loss, 59, n_clusters=3, mix=0, holder=np.array([0, 0, 1.0]), random_state=0)


@pytest.mark.parametrize("d", [1, 5, 40])
@pytest.mark.parametrize("most", [0, 1 << 14])
def test_the_chain_of_centers(device, rng, dtype, monkeypatch, most, d):
    monkeypatch.setattr(_device_scores, "MOST_CENTERS", most)
    far = {"float32": 1e30, "float64": 1e250}[dtype.name]
    for rows in (rng.integers(0, 4, (45, d)), rng.normal(size=(3, d)) * far, np.zeros((2, d)), np.ones((1, d))):
        centers = rows.astype(dtype)
        with device():
            found = _device_scores.chain(centers)
        assert np.array_equal(found, _native.center_chain("test", centers))


@pytest.mark.parametrize("n", [1, 1023, 1024, 2049, 1050 * 1024])
def test_sums_have_one_order(device, rng, n):
    values = rng.random(n)
    want = _scores.total(values), _scores.total(values * values)
    if n > 10_000:
        assert want == pytest.approx((values.sum(), (values * values).sum()), rel=1e-12)
        return
    with device():
        found = _device_scores.weigh("test", "weights", values, n)
    assert found == Weighing(values, n, *want)


@pytest.mark.parametrize(
    ("argument", "bad", "sentence"),
    [
        ("embeddings", np.nan, "embeddings must be finite.*row 30"),
        ("loss", -1.0, "loss must be finite and >= 0, got -1.0 at row"),
        ("loss", np.nan, "loss must be finite and >= 0, got nan at row"),
        ("sample_weight", np.inf, "sample_weight must be finite and >= 0, got inf at row 30"),
        ("sample_weight", 0.0, "sample_weight must be weights of a positive, finite sum, got sum 0.0"),
        ("holder", 1e308, "holder must be small enough"),
        ("n_select", 41, "n_select must be at most the number of rows of positive weight, 40, got 41"),
    ],
)
def test_bad_numbers_are_told(device, rng, argument, bad, sentence):
    X, loss = data(rng, 60)
    weights = np.r_[np.zeros(20), np.ones(40)]
    given = {"embeddings": X, "loss": loss, "sample_weight": weights, "n_select": 20, "holder": "estimate"}
    if argument in ("n_select", "holder"):
        given[argument] = bad
    elif argument == "embeddings":
        X[30, 1] = bad
    else:
        given[argument][30 if bad else slice(None)] = bad
        if argument == "loss":
            loss[:] = bad
    with device(), pytest.raises(ValueError, match=f"sensitivity_sample: {sentence}"):
        quiet(n_clusters=4, random_state=0, **given)


@pytest.mark.parametrize("n", [1, 33, 1100])
def test_training_weights(device, rng, n):
    for weights in (rng.exponential(size=n), torch.tensor(rng.exponential(size=n)).half(), rng.integers(1, 9, n)):
        for options in ({}, {"clip": 1.1}, {"clip": 0.7, "normalize": None}, {"normalize": None}):
            want, share = training_weights(weights, **options)
            with device():
                found, found_share = training_weights(weights, **options)
            assert found.dtype == want.dtype
            assert np.array_equal(found, want)
            assert found_share == share
    for bad in (np.full(3, np.nan), np.zeros(3), np.zeros(0)):
        with device(), pytest.raises(ValueError, match="training_weights: weights must be"):
            training_weights(bad)


def test_what_hands_out_python_objects_is_of_the_host(device):
    with device():
        with pytest.raises(RuntimeError, match="WeightedSubsetSampler: weights must be in host memory"):
            WeightedSubsetSampler(np.ones(4), 2)
        with pytest.raises(RuntimeError, match="SelectedSubset: indices must be in host memory"):
            SelectedSubset([1, 2], np.array([0, 1]), np.ones(2))
