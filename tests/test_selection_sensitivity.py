"""sensitivity_sample: scores, draws, queries, input."""

import warnings

import numpy as np
import pytest

import argrad
import oracles_selection as naive
from argrad.seeding import assign
from argrad.selection import (
    SelectionWarning,
    sensitivity_sample,
)
from argrad.selection._proxies import Clusters, Options, constant, shrunken_means
from checks import (
    accepts_any_layout,
    assert_same,
    follows_seed,
    keeps_kind,
    leaves_input_alone,
    raises_sentence,
    refuses_empty,
    refuses_non_finite,
    same_for_all_threads_and_levels,
)

DRAWS = ["systematic", "iid", "pivotal", "poisson", "stratified"]
PAPER = {"proxy": "medoid", "draw": "iid", "mix": 0, "holder": 1.0}
NAME = "sensitivity_sample"


def blobs(seed=0, n=600, k=12, d=3):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(k, d)) * 6)[rng.integers(0, k, n)] + rng.normal(size=(n, d))
    return x, 1 + (x**2).sum(axis=1) / 10 + rng.random(n)


X, LOSS = blobs()
A = np.where(np.random.default_rng(1).random(600) < 0.1, 0.0, np.random.default_rng(2).random(600) * 3)


class Recorder:
    """A callable loss that remembers its calls."""

    def __init__(self, losses):
        self.losses, self.calls = losses, []

    def __call__(self, rows):
        self.calls.append(np.asarray(rows).tolist())
        return self.losses[rows]


def quiet(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        return sensitivity_sample(*arguments, **options)


class TestScores:
    @pytest.mark.parametrize("weights", [None, A], ids=["plain", "weighted"])
    @pytest.mark.parametrize("z", [1, 2, 1.5])
    def test_pilot_mean_follows_the_formulas(self, weights, z):
        recorder = Recorder(LOSS)
        found = quiet(X, recorder, 60, n_clusters=10, z=z, sample_weight=weights, draw="iid", random_state=3)
        a = np.ones(600) if weights is None else weights
        (rows,) = recorder.calls
        labels, distances = assign(X, found.centers, return_distance=True)
        assert_same(labels, found.labels)
        assert rows == sorted(set(rows))
        sizes, mass = np.bincount(labels[a > 0], minlength=10), np.bincount(labels, weights=a, minlength=10)
        assert (np.bincount(labels[rows], minlength=10) == np.minimum(3, sizes)).all()
        assert (a[rows] > 0).all()
        expected, r2 = naive.shrunken_means(LOSS[rows].tolist(), labels[rows].tolist(), 10, sizes, mass.tolist())
        np.testing.assert_allclose(found.proxies, expected, rtol=1e-9)
        assert found.diagnostics.proxy_r2 == pytest.approx(r2)
        spread = distances**z
        ratios = [abs(LOSS[i] - found.proxies[labels[i]]) / spread[i] for i in rows if spread[i] > 0]
        assert found.diagnostics.holder == pytest.approx(np.median(ratios))
        assert found.diagnostics.holder_spread == pytest.approx(np.quantile(ratios, [0.25, 0.5, 0.75]))
        p = naive.mixture(found.proxies.tolist(), labels.tolist(), spread.tolist(), found.diagnostics.holder, a, 0.3)
        np.testing.assert_allclose(found.probabilities, p, rtol=1e-9)
        cost = a @ spread * found.diagnostics.holder
        assert found.diagnostics.cost_share == pytest.approx(cost / (cost + a @ found.proxies[labels]))
        assert found.n_queries == len(rows) + len(set(found.indices.tolist()))

    def test_the_paper(self):
        recorder = Recorder(LOSS)
        found = quiet(X, recorder, 60, n_clusters=10, random_state=3, **PAPER)
        assert recorder.calls == [sorted(found.center_indices.tolist())]
        assert_same(found.centers, X[found.center_indices])
        assert_same(found.proxies, LOSS[found.center_indices])
        spread = assign(X, found.centers, return_distance=True)[1] ** 2
        p = (found.proxies[found.labels] + spread) / (found.proxies[found.labels] + spread).sum()
        np.testing.assert_allclose(found.probabilities, p, rtol=1e-12)
        np.testing.assert_allclose(found.weights, 1 / (60 * p[found.indices]), rtol=1e-12)
        assert found.diagnostics.proxy_r2 is None
        assert found.diagnostics.holder_spread is None

    def test_medoid_estimates_the_constant_along_the_chain(self):
        found = quiet(X, LOSS, 60, n_clusters=10, random_state=3, proxy="medoid")
        steps = (np.diff(found.centers, axis=0) ** 2).sum(axis=1)
        ratios = np.abs(np.diff(LOSS[found.center_indices])) / steps
        assert found.diagnostics.holder == pytest.approx(np.median(ratios))
        assert found.n_queries == 10 + len(set(found.indices.tolist()))

    def test_clusters_are_numbered_along_a_chain(self):
        found = quiet(X, None, 60, n_clusters=30, random_state=3)
        left = list(range(1, 30))
        for here, following in zip(range(29), range(1, 30), strict=True):
            distances = ((found.centers[left] - found.centers[here]) ** 2).sum(axis=1)
            assert left[int(distances.argmin())] == following
            left.remove(following)

    @pytest.mark.parametrize("weights", [None, A], ids=["plain", "weighted"])
    def test_without_a_loss_distances_decide(self, weights):
        found = quiet(X, None, 60, n_clusters=10, sample_weight=weights, draw="iid", random_state=3)
        a = np.ones(600) if weights is None else weights
        spread = assign(X, found.centers, return_distance=True)[1] ** 2
        p = 0.7 * a * spread / (a * spread).sum() + 0.3 * a / a.sum()
        np.testing.assert_allclose(found.probabilities, p, rtol=1e-12)
        assert found.proxies is None
        assert found.n_queries == len(set(found.indices.tolist()))
        raises_sentence(ValueError, lambda: quiet(X, None, 60, mix=0), NAME, "mix")

    def test_quantile(self):
        for proxy in ("pilot_mean", "medoid"):
            recorder = Recorder(LOSS)
            found = quiet(X, recorder, 60, n_clusters=10, holder="quantile", proxy=proxy, random_state=3)
            wanted = int(np.ceil(np.log(1000) / np.log(10)))
            rows = recorder.calls[-1]
            labels = found.labels[rows]
            assert (np.bincount(labels, minlength=10) == np.minimum(wanted, np.bincount(found.labels))).all()
            spread = assign(X, found.centers, return_distance=True)[1] ** 2
            ratios = np.abs(LOSS - found.proxies[found.labels]) / np.where(spread > 0, spread, np.inf)
            for c in range(10):
                own = [ratios[i] for i in rows if found.labels[i] == c and spread[i] > 0]
                everything = [ratios[i] for i in rows if spread[i] > 0]
                expected = np.quantile(own, 0.9) if len(own) >= 3 else np.median(everything)
                assert found.diagnostics.holder[c] == pytest.approx(expected)

    def test_constants_by_cluster(self):
        holder = np.linspace(0, 1, 10)
        found = quiet(X, LOSS, 60, n_clusters=10, holder=holder, draw="iid", mix=0, random_state=3)
        spread = assign(X, found.centers, return_distance=True)[1] ** 2
        q = found.proxies[found.labels] + holder[found.labels] * spread
        np.testing.assert_allclose(found.probabilities, q / q.sum(), rtol=1e-12)

    def test_shrinking_pulls_noisy_means_together(self):
        rng = np.random.default_rng(0)
        labels, truth = np.repeat(np.arange(200), 3), rng.normal(10, 0.5, 200)
        empty = np.zeros(0)
        clusters = Clusters(
            labels, empty, labels, np.arange(0, 20_001, 100), np.full(200, 100.0), empty, np.arange(200)
        )
        for noise, gain in ((0.1, 0.9), (3.0, 3.0)):
            losses = truth[labels] + rng.normal(0, noise, 600)
            values, _ = shrunken_means(losses, labels, clusters)
            raw = losses.reshape(200, 3).mean(axis=1)
            assert ((raw - truth) ** 2).mean() > gain * ((values - truth) ** 2).mean()

    def test_without_usable_ratios_the_constant_is_zero(self):
        options = Options("pilot_mean", 3, 2.0, "estimate", 0.9)
        assert constant(np.zeros(0), np.zeros(0, dtype=np.int64), 4, options) == (0.0, None)


class TestDraws:
    @pytest.mark.parametrize("weights", [None, A], ids=["plain", "weighted"])
    @pytest.mark.parametrize("draw", DRAWS)
    def test_weights_can_be_audited(self, draw, weights):
        found = quiet(X, LOSS, 60, draw=draw, sample_weight=weights, random_state=1)
        a = np.ones(600) if weights is None else weights
        share = found.probabilities[found.indices] * (60 if draw == "iid" else 1)
        np.testing.assert_allclose(found.weights, a[found.indices] / share, rtol=1e-12)
        assert found.indices.dtype == np.int64
        assert found.weights.dtype == found.probabilities.dtype == np.float64
        assert (found.probabilities[a == 0] == 0).all()
        assert found.probabilities.sum() == pytest.approx(1 if draw == "iid" else 60)
        assert abs(len(found.indices) - 60) <= (30 if draw == "poisson" else 0)
        assert len(set(found.indices.tolist())) == len(found.indices) or draw == "iid"
        if draw != "stratified":
            assert found.weights.max() <= a.sum() / (0.3 * 60) * (1 + 1e-12)
        if draw != "iid":
            distances = assign(X, found.centers, return_distance=True)[1]
            order = np.lexsort((found.indices, distances[found.indices], found.labels[found.indices]))
            assert (np.diff(order) == 1).all()

    def test_certain_rows_are_always_selected(self):
        x, losses = np.vstack([X, [[500.0, 0, 0], [0, 900.0, 0]]]), np.append(LOSS, [1e5, 1e5])
        for draw in ("systematic", "pivotal", "poisson"):
            for seed in range(20):
                found = quiet(x, losses, 60, n_clusters=8, draw=draw, random_state=seed)
                assert {600, 601} <= set(found.indices.tolist())
                assert found.diagnostics.n_certain == 2
                assert_same(found.weights[np.isin(found.indices, [600, 601])], np.ones(2))

    def test_stratified_shares(self):
        found = quiet(X, LOSS, 100, n_clusters=6, draw="stratified", random_state=0)
        sizes, drawn = np.bincount(found.labels), np.bincount(found.labels[found.indices], minlength=6)
        assert (np.abs(drawn - 100 * sizes / 600) < 1).all()
        np.testing.assert_allclose(found.weights, (sizes / drawn)[found.labels[found.indices]])
        few = quiet(X, LOSS, 4, n_clusters=40, draw="stratified", random_state=0)
        np.testing.assert_allclose(few.weights, 600 / 4)

    @pytest.mark.parametrize("draw", DRAWS)
    def test_threads_and_instruction_sets_do_not_matter(self, draw):
        x, losses = blobs(1, n=4000)
        same_for_all_threads_and_levels(lambda: quiet(x, losses, 300, draw=draw, sample_weight=losses, random_state=5))

    def test_a_selection_of_all_rows_is_exact(self):
        for draw in ("systematic", "pivotal", "poisson", "stratified"):
            found = quiet(X, LOSS, 600, draw=draw, random_state=0)
            assert_same(np.sort(found.indices), np.arange(600))
            estimate = found.estimate(LOSS[found.indices])
            assert estimate.value == pytest.approx(LOSS.sum())
            assert (estimate.stderr, estimate.vs_uniform) == (0, 1)

    def test_seeds(self):
        follows_seed(lambda seed: quiet(X, LOSS, 60, random_state=seed))


class TestInput:
    def test_an_array_is_read_at_the_pilot_only(self):
        recorder = Recorder(LOSS)
        expected = quiet(X, recorder, 60, random_state=0)
        holes = np.full(600, np.nan)
        holes[recorder.calls[0]] = LOSS[recorder.calls[0]]
        assert_same(expected, quiet(X, holes, 60, random_state=0))

    def test_kinds(self):
        import torch

        def exact(x):
            found = quiet(x, None, 60, random_state=0)
            return found.indices, found.labels, found.center_indices, found.centers

        keeps_kind(exact, X.astype(np.float32))
        tensor = torch.from_numpy(X)
        seen = []

        def loss(rows):
            seen.append(rows)
            return torch.from_numpy(LOSS)[rows].requires_grad_()

        found = quiet(tensor, loss, 60, random_state=0)
        assert isinstance(seen[0], torch.Tensor)
        assert_same(quiet(X, LOSS, 60, random_state=0), found)
        assert_same(found, quiet(tensor, torch.from_numpy(LOSS), 60, random_state=0))
        estimate = found.estimate(torch.from_numpy(LOSS)[found.indices])
        assert estimate == quiet(X, LOSS, 60, random_state=0).estimate(LOSS[found.indices])

    def test_layouts(self):
        accepts_any_layout(lambda x: quiet(x, LOSS, 60, random_state=0), X)
        leaves_input_alone(lambda x: quiet(x, LOSS, 60, random_state=0), X)
        leaves_input_alone(lambda losses: quiet(X, losses, 60, random_state=0), LOSS)
        leaves_input_alone(lambda a: quiet(X, LOSS, 60, sample_weight=a, random_state=0), A)

    def test_progress_rises_to_the_end(self):
        calls = []
        quiet(X, LOSS, 60, progress=lambda done, total: calls.append((done, total)))
        assert calls == sorted(calls)
        assert calls[-1] == (1000, 1000)

    def test_integer_losses(self):
        counts = (LOSS * 2).astype(np.int64)
        assert_same(quiet(X, counts.astype(float), 60, random_state=0), quiet(X, counts, 60, random_state=0))

    def test_bad_embeddings(self):
        refuses_non_finite(lambda x: quiet(x, LOSS, 60), X, NAME, "embeddings")
        refuses_empty(lambda x: quiet(x, LOSS[: len(x)], 1), X, NAME, "embeddings")

    def test_bad_losses_are_named_with_their_row(self):
        for bad in (np.nan, np.inf, -1.0):
            one = LOSS.copy()
            one[17] = bad
            raises_sentence(
                ValueError,
                lambda one=one: quiet(X, one, 60, n_clusters=1, n_pilot=600),
                NAME,
                "loss",
                contains="at row 17",
            )

    @pytest.mark.parametrize(
        ("error", "argument", "arguments"),
        [
            (TypeError, "embeddings", {"embeddings": [[1.0]]}),
            (TypeError, "embeddings", {"embeddings": np.ones((3, 3), dtype=int)}),
            (TypeError, "loss", {"loss": [1.0] * 600}),
            (ValueError, "loss", {"loss": LOSS[:-1]}),
            (ValueError, "loss(indices)", {"loss": lambda rows: LOSS}),
            (TypeError, "loss(indices)", {"loss": lambda rows: None}),
            (ValueError, "n_select", {"n_select": 0}),
            (ValueError, "n_select", {"n_select": 601}),
            (ValueError, "n_select", {"n_select": 590, "sample_weight": A}),
            (ValueError, "n_clusters", {"n_clusters": 601}),
            (ValueError, "n_clusters", {"n_clusters": "log"}),
            (ValueError, "z", {"z": 0}),
            (ValueError, "holder", {"holder": -1.0}),
            (ValueError, "holder", {"holder": "median"}),
            (ValueError, "holder", {"holder": np.ones(3), "n_clusters": 4}),
            (ValueError, "holder", {"holder": np.array([1.0, -1.0]), "n_clusters": 2}),
            (ValueError, "holder", {"holder": 1e308}),
            (ValueError, "holder_quantile", {"holder_quantile": 1.0}),
            (ValueError, "proxy", {"proxy": "mean"}),
            (ValueError, "n_pilot", {"n_pilot": 0}),
            (ValueError, "mix", {"mix": 1.5}),
            (ValueError, "draw", {"draw": "random"}),
            (ValueError, "estimator", {"estimator": "mean"}),
            (ValueError, "sample_weight", {"sample_weight": -A}),
            (TypeError, "random_state", {"random_state": "x"}),
            (TypeError, "progress", {"progress": 3}),
        ],
    )
    def test_bad_arguments(self, error, argument, arguments):
        given = {"embeddings": X, "loss": LOSS, "n_select": 60} | arguments
        raises_sentence(error, lambda: quiet(**given), NAME, argument)

    def test_fewer_distinct_rows_than_clusters(self):
        x = np.repeat(X[:5], 40, axis=0)
        with pytest.warns(RuntimeWarning, match="distinct"):
            found = quiet(x, LOSS[:200], 50, n_clusters=8, random_state=0)
        assert len(set(found.indices.tolist())) == 50

    def test_one_row(self):
        found = quiet(X[:1], LOSS[:1], 1)
        assert (found.indices.tolist(), found.weights.tolist(), found.n_queries) == ([0], [1.0], 2)

    def test_equal_rows_and_losses(self):
        found = quiet(np.ones((50, 2)), np.full(50, 3.0), 10, n_clusters=1)
        assert found.estimate(np.full(10, 3.0)).value == pytest.approx(150)
        with pytest.warns(SelectionWarning, match="all scores are zero"):
            found = sensitivity_sample(np.ones((50, 2)), np.zeros(50), 10, n_clusters=1)
        np.testing.assert_allclose(found.probabilities, 0.2)


def test_native_errors_name_the_function():
    native = argrad._native
    one = np.zeros(1, dtype=np.int64)
    raises_sentence(ValueError, lambda: native.cluster_order("f", one + 1, 1, np.zeros(1), None), "f", "labels")
    raises_sentence(ValueError, lambda: native.draw_included("f", np.ones(2), 2, "keys", 0), "f", "method")
    raises_sentence(ValueError, lambda: native.inclusion_probabilities("f", np.ones(2), 0), "f", "size")
