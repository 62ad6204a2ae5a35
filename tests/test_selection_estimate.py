"""Estimates from a selection: unbiased, with honest standard errors, and warnings where uniform sampling would win."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

import oracles_selection as naive
from argrad.selection import SelectionWarning, sensitivity_sample
from argrad.selection._student import two_sided
from checks import raises_sentence

DRAWS = ["systematic", "iid", "pivotal", "poisson", "stratified"]
ESTIMATORS = ["ht", "hajek", "difference", "regression"]
PAPER = {"proxy": "medoid", "draw": "iid", "mix": 0}


def blobs(rng, n=1500, k=15, d=3):
    return (rng.normal(size=(k, d)) * 4)[rng.integers(0, k, n)] + rng.normal(size=(n, d))


def smooth(rng, x):
    return np.exp(0.3 * np.sin(x @ rng.normal(size=x.shape[1]))) + 0.2 * rng.random(len(x))


def noisy(rng, x):
    """Mostly tiny, now and then large, whatever the embedding: one row says nothing about its cluster."""
    return np.where(rng.random(len(x)) < 0.15, rng.exponential(3, len(x)), 0.02 * rng.random(len(x)))


def select(x, losses, size, **options):
    """A selection and its losses, without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        found = sensitivity_sample(x, losses, size, **options)
    return found, losses[found.indices]


def estimate(found, losses, estimator=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        return found.estimate(losses, estimator)


class TestFormulas:
    @pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
    @pytest.mark.parametrize("draw", DRAWS)
    def test_loops_agree(self, draw, weighted, rng):
        x = blobs(rng, 400)
        losses = smooth(rng, x)
        a = np.where(rng.random(400) < 0.1, 0.0, rng.random(400)) if weighted else None
        found, seen = select(x, losses, 90, n_clusters=8, draw=draw, sample_weight=a, random_state=1)
        values, variances = naive.totals(found, seen.tolist())
        assert set(values) == set(ESTIMATORS)
        for estimator in ESTIMATORS:
            result = estimate(found, seen, estimator)
            assert result.value == pytest.approx(values[estimator], rel=1e-9)
            assert result.stderr == pytest.approx(math.sqrt(variances[estimator]), rel=1e-6)
            reach = stats.t.ppf(0.975, self.freedom(found)) * result.stderr
            assert result.ci == pytest.approx((result.value - reach, result.value + reach), rel=1e-6)
            assert result.vs_uniform == pytest.approx(variances[estimator] / self.uniform(found, seen), rel=1e-6)

    @staticmethod
    def freedom(found):
        if found.draw in ("systematic", "pivotal"):
            return int((found.probabilities[found.indices] < 1).sum()) - 1
        return len(found.indices) - 1

    @staticmethod
    def uniform(found, losses):
        """n^2 sigma^2 / m (1 - m / n), with the queries of the pilot in m, and its form for weights."""
        a = np.ones(len(found.labels)) if found.sample_weight is None else found.sample_weight
        w = found.weights
        spread = (w * (losses - (w * losses).sum() / w.sum()) ** 2).sum() / w.sum()
        m = found.n_queries
        return a.sum() ** 2 * spread / m * (1 - m * (a**2).sum() / a.sum() ** 2)

    def test_strata_with_one_row_are_joined(self, rng):
        x = blobs(rng, 400)
        losses = smooth(rng, x)
        for size in (3, 12, 25):
            found, seen = select(x, losses, size, n_clusters=20, draw="stratified", random_state=2)
            result = estimate(found, seen)
            assert 0 < result.stderr < losses.sum()

    def test_student_quantiles(self):
        for freedom in (*range(1, 121), 1000, 10**6):
            for level in (0.5, 0.9, 0.95, 0.999):
                assert two_sided(level, freedom) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=1e-8)
        assert math.isnan(two_sided(0.95, 0))

    def test_one_row_has_no_error(self, rng):
        x = blobs(rng, 50)
        for draw in ("systematic", "iid", "stratified"):
            found, seen = select(x, smooth(rng, x), 1, n_clusters=2, draw=draw, random_state=0)
            assert math.isnan(estimate(found, seen).stderr)

    def test_an_empty_poisson_draw(self, rng):
        x = blobs(rng, 50)
        losses = smooth(rng, x)
        drawn = (select(x, losses, 1, draw="poisson", random_state=seed)[0] for seed in range(50))
        found = next(selection for selection in drawn if not len(selection.indices))
        result = estimate(found, losses[:0])
        assert (result.value, math.isnan(result.stderr)) == (0.0, True)

    def test_constant_losses_are_exact_for_hajek(self, rng):
        x = blobs(rng, 300)
        found, seen = select(x, smooth(rng, x), 40, draw="iid", random_state=0)
        result = estimate(found, np.full(len(seen), 2.0), "hajek")
        assert result.value == pytest.approx(600)
        assert result.stderr == pytest.approx(0, abs=1e-9)

    def test_bad_input(self, rng):
        x = blobs(rng, 300)
        found, seen = select(x, smooth(rng, x), 40, random_state=0)
        bad = seen.copy()
        bad[7] = np.nan
        raises_sentence(ValueError, lambda: found.estimate(bad), "estimate", "losses", contains="at position 7")
        raises_sentence(ValueError, lambda: found.estimate(seen[:-1]), "estimate", "losses")
        raises_sentence(TypeError, lambda: found.estimate(seen.tolist()), "estimate", "losses")
        raises_sentence(ValueError, lambda: found.estimate(seen, "mean"), "estimate", "estimator")
        without = sensitivity_sample(x, None, 40, random_state=0)
        raises_sentence(ValueError, lambda: without.estimate(seen, "difference"), "estimate", "estimator")


class TestLaw:
    RUNS = 400

    @pytest.mark.parametrize("draw", DRAWS)
    def test_estimates_are_unbiased(self, draw, rng):
        """Horvitz-Thompson and difference, for 20 functions that the selection has never seen, weighted."""
        x = blobs(rng, 300)
        losses, a = smooth(rng, x), rng.integers(0, 4, 300).astype(float)
        functions = rng.normal(size=(20, 300)) + rng.normal(size=(20, 1))
        errors = {"ht": [], "difference": []}
        for seed in range(self.RUNS):
            found, _ = select(x, losses, 40, n_clusters=8, draw=draw, sample_weight=a, random_state=seed)
            errors["ht"].append(functions[:, found.indices] @ found.weights - functions @ a)
            errors["difference"].append(estimate(found, losses[found.indices], "difference").value - losses @ a)
        for found in errors.values():
            assert self.bias_p(np.array(found)) > 1e-4

    def test_the_harness_rejects_bias(self, rng):
        x = blobs(rng, 300)
        losses = (x**2).sum(axis=1) + rng.random(300)
        wrong = {"unweighted": [], "shifted": [], "size": []}
        for seed in range(self.RUNS):
            found, _ = select(x, losses, 40, n_clusters=8, draw="iid", mix=0, random_state=seed)
            p = found.probabilities
            wrong["unweighted"].append(300 / 40 * losses[found.indices].sum() - losses.sum())
            wrong["shifted"].append((losses[found.indices] / np.roll(p, 1)[found.indices]).mean() - losses.sum())
            wrong["size"].append((losses[found.indices] / p[found.indices]).sum() / 39 - losses.sum())
        for name, errors in wrong.items():
            assert self.bias_p(np.array(errors)) < 1e-4, name

    @staticmethod
    def bias_p(errors):
        errors = errors.reshape(len(errors), -1)
        z = errors.mean(axis=0) / (errors.std(axis=0, ddof=1) / len(errors) ** 0.5)
        return errors.shape[1] * 2 * stats.norm.sf(np.abs(z).max())

    @pytest.mark.parametrize("draw", DRAWS)
    def test_intervals_cover(self, draw):
        """Nominal 95 %, over many populations: a systematic draw promises no more than that."""
        hits, ratios = {name: [] for name in ESTIMATORS}, []
        for population in range(60):
            rng = np.random.default_rng(population)
            x = blobs(rng, 1200)
            losses = smooth(rng, x)
            total = losses.sum()
            values, variances = [], []
            for seed in range(12):
                found, seen = select(x, losses, 150, n_clusters=20, draw=draw, random_state=100 * population + seed)
                for estimator, hit in hits.items():
                    result = estimate(found, seen, estimator)
                    hit.append(result.ci[0] <= total <= result.ci[1])
                    if estimator == "ht":
                        values.append((result.value - total) ** 2)
                        variances.append(result.stderr**2)
            ratios.append(np.mean(variances) / np.mean(values))
        for estimator, hit in hits.items():
            assert 0.92 < np.mean(hit) <= (0.995 if draw == "systematic" else 0.975), (estimator, np.mean(hit))
        assert 0.8 < np.median(ratios) < 1.7

    def test_a_wrong_error_formula_is_seen(self, rng):
        """Hajek values with the plain-sum formula, the classical mistake, do not cover as they should."""
        x = blobs(rng, 1200)
        losses = 10 + smooth(rng, x)
        plain, right = [], []
        for seed in range(200):
            found, seen = select(x, losses, 150, n_clusters=20, draw="poisson", random_state=seed)
            hajek, ht = estimate(found, seen, "hajek"), estimate(found, seen, "ht")
            right.append(abs(hajek.value - losses.sum()) < 1.98 * hajek.stderr)
            plain.append(abs(hajek.value - losses.sum()) < 1.98 * ht.stderr)
        assert 0.9 < np.mean(right) < 0.985
        assert np.mean(plain) == 1


class TestMixture:
    """Independent draws from p = 0.7 q + 0.3 / n with a q that is as wrong as it can be."""

    ALPHA, SIZE, RUNS = 0.3, 60, 1500

    def errors(self, losses, mix=ALPHA):
        """Squared errors of each estimator, with scores that have nothing to do with the losses."""
        rng = np.random.default_rng(8)
        x = blobs(rng, 800)
        misleading = rng.pareto(1.5, 800) * 10
        result = {name: [] for name in ("ht", "hajek", "regression")}
        for seed in range(self.RUNS):
            found, _ = select(
                x, misleading, self.SIZE, n_clusters=25, proxy="medoid", draw="iid", mix=mix, random_state=seed
            )
            assert found.weights.max() <= 800 / (mix * self.SIZE) * (1 + 1e-12)
            for name, errors in result.items():
                errors.append((estimate(found, losses[found.indices], name).value - losses.sum()) ** 2)
        return {name: np.array(errors) for name, errors in result.items()}

    def test_bounds(self, rng):
        for losses in (rng.exponential(size=800), 5 + rng.random(800)):
            uniform = 800**2 * losses.var() / self.SIZE
            errors = self.errors(losses)
            for name in ("hajek", "regression"):
                slack = 3 * errors[name].std() / self.RUNS**0.5
                assert errors[name].mean() - slack <= uniform / self.ALPHA, name
            slack = 3 * errors["ht"].std() / self.RUNS**0.5
            bound = uniform / self.ALPHA + (1 / self.ALPHA - 1) * losses.sum() ** 2 / self.SIZE
            assert errors["ht"].mean() - slack <= bound
        # For the plain sum and nearly constant losses there is no bound by the uniform variance alone.
        assert errors["ht"].mean() > 3 * uniform / self.ALPHA

    def test_mix_one_is_uniform(self, rng):
        losses = rng.exponential(size=800)
        errors = self.errors(losses, mix=1.0)
        assert errors["ht"].mean() == pytest.approx(800**2 * losses.var() / self.SIZE, rel=0.15)


class TestWarnings:
    def runs(self, losses, x):
        """Variance relative to uniform sampling, the reported ratios, and the effective sizes, as published."""
        errors, ratios, sizes = [], [], []
        for seed in range(120):
            found, seen = select(x, losses, 300, n_clusters=40, random_state=seed, **PAPER)
            result = estimate(found, seen)
            errors.append((result.value - losses.sum()) ** 2)
            ratios.append(result.vs_uniform)
            sizes.append(found.diagnostics.ess)
        uniform = 4000**2 * losses.var() / 340 * (1 - 340 / 4000)
        return np.mean(errors) / uniform, np.array(ratios), np.array(sizes)

    def test_where_uniform_wins_it_says_so(self):
        rng = np.random.default_rng(4)
        x = blobs(rng, 4000)
        for losses in (rng.exponential(size=4000), rng.exponential(size=4000) ** 2, np.exp(rng.normal(size=4000))):
            truth, ratios, _ = self.runs(losses, x)
            assert truth > 2
            assert np.mean(ratios > 1) >= 0.95
            assert 0.4 < np.median(ratios) / truth < 1.5

    def test_where_weights_explode_the_effective_size_says_so(self):
        """Then the estimated variance misses the rare rows as often as not; the weights are known before."""
        rng = np.random.default_rng(4)
        x = blobs(rng, 4000)
        truth, ratios, sizes = self.runs(noisy(rng, x), x)
        assert truth > 10
        assert np.mean(ratios > 1) < 0.95
        assert (sizes < 150).all()

    def test_where_it_wins_it_says_how_much(self):
        rng = np.random.default_rng(4)
        x = blobs(rng, 4000)
        losses = np.exp(np.sin(x @ rng.normal(size=3) / 4))
        errors, ratios = [], []
        for seed in range(150):
            found = sensitivity_sample(x, losses, 300, n_clusters=40, draw="iid", random_state=seed)
            result = found.estimate(losses[found.indices], "difference")
            errors.append((result.value - losses.sum()) ** 2)
            ratios.append(result.vs_uniform)
        uniform = 4000**2 * losses.var() / 420 * (1 - 420 / 4000)
        truth = np.mean(errors) / uniform
        assert truth < 0.7
        assert np.median(ratios) == pytest.approx(truth, rel=0.35)

    def test_sentences(self):
        rng = np.random.default_rng(4)
        x = blobs(rng, 3000)
        losses = noisy(rng, x)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for seed in range(10):
                found = sensitivity_sample(x, losses, 200, n_clusters=40, random_state=seed, **PAPER)
                found.estimate(losses[found.indices])
        assert {warning.category for warning in caught} == {SelectionWarning}
        texts = [str(warning.message) for warning in caught]
        assert any("effective sample size is" in text for text in texts)
        assert any("one row carries" in text for text in texts)
        assert any("uniform sampling of as many losses" in text for text in texts)
        assert all(warning.filename == __file__ for warning in caught)
        with pytest.warns(SelectionWarning, match="clusters explain .*% of the variance"):
            sensitivity_sample(x, rng.exponential(size=3000), 200, n_clusters=40, random_state=1)
        with pytest.warns(SelectionWarning, match="rows off their center have probability zero"):
            sensitivity_sample(x, np.where(losses > 1, losses, 0), 200, holder=0.0, random_state=1, **PAPER)

    def test_a_good_selection_is_silent(self):
        rng = np.random.default_rng(4)
        x = blobs(rng, 3000)
        losses = np.exp(np.sin(x @ rng.normal(size=3) / 4))
        for seed in range(20):
            found = sensitivity_sample(x, losses, 300, n_clusters=40, random_state=seed)
            assert found.estimate(losses[found.indices]).vs_uniform < 1

    def test_numbers(self):
        rng = np.random.default_rng(4)
        x = blobs(rng, 500)
        found, _ = select(x, smooth(rng, x), 50, random_state=1)
        w = found.weights.tolist()
        assert found.diagnostics.ess == pytest.approx(sum(w) ** 2 / sum(v * v for v in w))
        assert found.diagnostics.max_weight_share == pytest.approx(max(w) / sum(w))
        assert found.diagnostics.n_certain == sum(p == 1 for p in found.probabilities)
