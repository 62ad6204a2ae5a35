"""weighted_sample: its laws, its twins, its weights; the harness rejects planted bugs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import oracles_selection as naive
from argrad.selection import weighted_sample
from checks import (
    accepts_any_layout,
    assert_same,
    follows_seed,
    leaves_input_alone,
    raises_sentence,
    same_for_all_threads_and_levels,
)
from law import LIMIT, chi_square

REPEATED = ["multinomial", "systematic"]
FIXED = ["systematic", "pivotal"]
DISTINCT = ["keys", "systematic", "pivotal", "poisson"]
ALL = [(True, method) for method in REPEATED] + [(False, method) for method in DISTINCT]
# A zero, a pair of equals, a row that is certain at size 3.
WEIGHTS = np.array([1.0, 0.0, 3.0, 0.5, 3.0, 20.0, 2.0, 1.5])


def draw(weights, size, seed, **options):
    return weighted_sample(weights, size, random_state=seed, **options)


def tally(sampler, n, size, runs):
    counts = np.zeros(n**size, dtype=np.int64)
    for seed in range(runs):
        counts[naive.cell(sampler(seed), n)] += 1
    return counts


def inclusion_p(hits, pi, runs):
    """The smallest binomial p-value over all rows, corrected for their number; 0 if the law excludes a hit."""
    pi = np.asarray(pi)
    if hits[pi == 0].any() or (hits[pi == 1] != runs).any():
        return 0.0
    inside = (pi > 0) & (pi < 1)
    p = [stats.binomtest(int(h), runs, q).pvalue for h, q in zip(hits[inside], pi[inside], strict=True)]
    return min(p) * len(p)


class TestLaw:
    def test_keys_are_successive_draws(self):
        w = [2.0, 0.0, 1.0, 1.0, 4.0]
        counts = tally(lambda seed: draw(np.array(w), 3, seed), 5, 3, 40_000)
        assert chi_square(counts, naive.successive_law(w, 3)).passed

    def test_multinomial_draws_are_independent(self):
        w = [2.0, 0.0, 1.0, 1.0, 4.0]
        counts = tally(lambda seed: draw(np.array(w), 3, seed, replace=True), 5, 3, 40_000)
        assert chi_square(counts, naive.repeated_law(w, 3)).passed

    @pytest.mark.parametrize("mutant", ["uniform", "square", "shifted", "repeats"])
    def test_the_harness_rejects_wrong_samplers(self, mutant, rng):
        w = [2.0, 0.0, 1.0, 1.0, 4.0]
        counts = tally(lambda _: naive.wrong_sampler(mutant, w, 3, rng), 5, 3, 10_000)
        assert not chi_square(counts, naive.successive_law(w, 3)).passed

    def test_the_harness_accepts_the_right_sampler(self, rng):
        w = [2.0, 0.0, 1.0, 1.0, 4.0]
        counts = tally(lambda _: naive.wrong_sampler("none", w, 3, rng), 5, 3, 10_000)
        assert chi_square(counts, naive.successive_law(w, 3)).passed

    @pytest.mark.parametrize("method", ["systematic", "pivotal", "poisson"])
    def test_inclusion_probabilities(self, method):
        runs, size = 20_000, 3
        pi = naive.inclusion(WEIGHTS.tolist(), size)
        assert pi[5] == 1
        assert abs(sum(pi) - size) < 1e-12
        hits, sizes = np.zeros(len(WEIGHTS), dtype=int), []
        for seed in range(runs):
            rows = draw(WEIGHTS, size, seed, method=method)
            hits[rows] += 1
            sizes.append(len(rows))
            assert len(set(rows.tolist())) == len(rows)
        assert inclusion_p(hits, pi, runs) > LIMIT
        if method == "poisson":
            variance = sum(p * (1 - p) for p in pi)
            assert abs(np.mean(sizes) - size) < 4 * (variance / runs) ** 0.5
            assert abs(np.var(sizes) / variance - 1) < 0.1
        else:
            assert set(sizes) == {size}

    def test_inclusion_check_rejects_other_probabilities(self, rng):
        pi, runs = np.array(naive.inclusion(WEIGHTS.tolist(), 3)), 20_000
        hits = rng.binomial(runs, pi)
        assert inclusion_p(hits, pi, runs) > LIMIT
        assert inclusion_p(rng.binomial(runs, np.minimum(1, pi * 1.05)), pi, runs) < LIMIT
        assert inclusion_p(np.roll(hits, 1), pi, runs) < LIMIT

    def test_systematic_repeats_are_floor_or_ceil(self):
        share = 7 * WEIGHTS / WEIGHTS.sum()
        means = np.zeros(len(WEIGHTS))
        for seed in range(4000):
            counts = np.bincount(draw(WEIGHTS, 7, seed, replace=True, method="systematic"), minlength=len(WEIGHTS))
            assert ((counts == np.floor(share)) | (counts == np.ceil(share))).all()
            means += counts / 4000
        assert np.abs(means - share).max() < 4 * 0.5 / 4000**0.5


def random_weights(seed, n, kind):
    rng = np.random.default_rng(seed)
    w = {"even": np.ones(n), "light": rng.random(n), "heavy": rng.pareto(0.7, n), "whole": rng.integers(0, 5, n)}[kind]
    return np.where(rng.random(n) < 0.2, 0.0, w).astype(float)


class TestTwins:
    @given(st.integers(0, 2**32), st.integers(2, 3000), st.sampled_from(["even", "light", "heavy", "whole"]))
    def test_all_methods_follow_the_naive_loops(self, seed, n, kind):
        w = random_weights(seed, n, kind)
        positive = int((w > 0).sum())
        if not positive:
            return
        size = 1 + seed % positive
        plain = w.tolist()
        rows, inverse = draw(w, size, seed, return_weights=True)
        expected, expected_inverse = naive.keys(plain, size, seed)
        assert rows.tolist() == expected
        np.testing.assert_allclose(inverse, expected_inverse, rtol=1e-9)
        pi = naive.inclusion(plain, size)
        for method, twin in (("systematic", naive.systematic), ("pivotal", naive.pivotal)):
            assert draw(w, size, seed, method=method).tolist() == twin(pi, size, seed), method
        assert draw(w, size, seed, method="poisson").tolist() == naive.poisson(pi, seed)
        few = min(size, 40)
        assert draw(w, few, seed, replace=True).tolist() == naive.multinomial(plain, few, seed)
        expected = naive.systematic_repeated(plain, few, seed)
        assert draw(w, few, seed, replace=True, method="systematic").tolist() == expected


class TestWeights:
    FUNCTIONS = np.random.default_rng(5).normal(size=(20, 40)) + np.linspace(-1, 1, 20)[:, None]
    W = np.random.default_rng(6).pareto(1.2, 40) + 0.1

    def estimates(self, replace, method, runs=3000):
        found = []
        for seed in range(runs):
            rows, v = draw(self.W, 8, seed, replace=replace, method=method, return_weights=True)
            found.append(self.FUNCTIONS[:, rows] @ v)
        return np.array(found)

    def bias_p(self, estimates):
        """Two-sided p-value of the largest deviation of 20 means, corrected for their number."""
        deviation = estimates.mean(axis=0) - self.FUNCTIONS.sum(axis=1)
        z = deviation / (estimates.std(axis=0, ddof=1) / len(estimates) ** 0.5)
        return 20 * 2 * stats.norm.sf(np.abs(z).max())

    @pytest.mark.parametrize(("replace", "method"), ALL)
    def test_totals_are_unbiased(self, replace, method):
        assert self.bias_p(self.estimates(replace, method)) > LIMIT

    def test_the_harness_rejects_wrong_weights(self):
        right = self.estimates(True, "multinomial")
        assert self.bias_p(right * 8) < LIMIT  # 1 / p instead of 1 / (s p)
        assert self.bias_p(right * 8 / 7) < LIMIT  # 1 / ((s - 1) p)
        mean = self.W.sum() / 8
        unweighted = [
            self.FUNCTIONS[:, draw(self.W, 8, seed)].sum(axis=1) * mean / self.W.mean() for seed in range(3000)
        ]
        assert self.bias_p(np.array(unweighted)) < LIMIT

    def test_keys_estimate_their_variance(self):
        values, variances = [], []
        y = self.FUNCTIONS[3] * self.W
        for seed in range(6000):
            rows, v = draw(self.W, 8, seed, return_weights=True)
            values.append(v @ y[rows])
            variances.append(((1 - 1 / v) * (v * y[rows]) ** 2).sum())
        standard = np.std((np.array(values) - np.mean(values)) ** 2 - np.array(variances)) / 6000**0.5
        assert abs(np.var(values) - np.mean(variances)) < 4 * standard

    def test_formulas(self):
        rows, v = draw(WEIGHTS, 5, 0, replace=True, return_weights=True)
        np.testing.assert_allclose(v, WEIGHTS.sum() / (5 * WEIGHTS[rows]))
        for method in ("systematic", "pivotal", "poisson"):
            rows, v = draw(WEIGHTS, 4, 0, method=method, return_weights=True)
            np.testing.assert_allclose(v, 1 / np.array(naive.inclusion(WEIGHTS.tolist(), 4))[rows])
        rows, v = draw(WEIGHTS, 7, 0, return_weights=True)
        assert sorted(rows.tolist()) == [0, 2, 3, 4, 5, 6, 7]
        assert (v == 1).all()


class TestRows:
    @pytest.mark.parametrize(("replace", "method"), ALL)
    def test_zero_weights_are_never_drawn(self, replace, method):
        w = np.zeros(5000)
        w[[0, 1023, 1024, 2500, 4998]] = [1e-300, 1.0, 2.0, 1e-5, 3.0]
        w[4999] = -0.0
        for seed in range(200):
            rows = draw(w, 4, seed, replace=replace, method=method)
            assert set(rows.tolist()) <= {0, 1023, 1024, 2500, 4998}

    @pytest.mark.parametrize(("replace", "method"), ALL)
    def test_more_than_2_to_the_24_rows(self, replace, method):
        n = 2**24 + 1000
        w = np.zeros(n, dtype=np.float32)
        w[5 :: 2**20] = 1.0
        w[2**24 :] = 1.0
        rows = draw(w, 900, 1, replace=replace, method=method)
        assert abs(len(rows) - 900) <= (150 if method == "poisson" else 0)
        assert (w[rows] > 0).all()
        assert (rows >= 2**24).mean() > 0.9
        assert len(np.unique(rows[rows >= 2**24])) > 500

    @pytest.mark.parametrize(("replace", "method"), ALL)
    def test_threads_and_instruction_sets_do_not_matter(self, replace, method):
        w = np.random.default_rng(0).pareto(1.0, 150_001)
        w[::7] = 0

        def call():
            return draw(w, 3000, 9, replace=replace, method=method, return_weights=True)

        same_for_all_threads_and_levels(call)

    @pytest.mark.parametrize(("replace", "method"), ALL)
    def test_powers_of_two_do_not_matter(self, replace, method):
        w = np.random.default_rng(0).pareto(1.0, 5000)
        for factor in (2.0**-900, 2.0**30, 2.0**900):
            assert_same(
                draw(w, 50, 3, replace=replace, method=method), draw(w * factor, 50, 3, replace=replace, method=method)
            )

    def test_the_first_keys_are_a_smaller_sample(self):
        w = np.random.default_rng(0).pareto(1.0, 5000)
        assert_same(draw(w, 700, 3)[:30], draw(w, 30, 3))

    def test_sorted_is_the_same_sample(self):
        w = np.random.default_rng(0).random(2000)
        for replace in (False, True):
            rows, v = draw(w, 200, 3, replace=replace, return_weights=True)
            order = np.argsort(rows, kind="stable")
            assert_same((rows[order], v[order]), draw(w, 200, 3, replace=replace, return_weights=True, sorted=True))

    def test_seeds(self):
        follows_seed(lambda seed: draw(WEIGHTS, 4, seed))


class TestInput:
    def test_kinds_and_dtypes(self):
        import torch

        whole = np.array([1, 0, 3, 2, 7])
        expected = draw(whole.astype(float), 3, 1, return_weights=True)
        for dtype in (np.float16, np.float32, np.int32, np.uint8):
            assert_same(expected, draw(whole.astype(dtype), 3, 1, return_weights=True), str(dtype))
        for dtype in (torch.float64, torch.bfloat16, torch.int64):
            rows, v = draw(torch.tensor(whole, dtype=dtype), 3, 1, return_weights=True)
            assert (rows.dtype, v.dtype) == (torch.int64, torch.float64)
            assert_same(expected, (rows, v))

    def test_layouts(self):
        w = np.random.default_rng(0).random((100, 3))
        accepts_any_layout(lambda x: draw(x[:, 1], 10, 1), w)
        leaves_input_alone(lambda x: draw(x, 10, 1), w[:, 0].copy())

    @pytest.mark.parametrize(("replace", "method"), ALL)
    def test_bad_weights_are_named_with_their_row(self, replace, method):
        for bad in (np.nan, np.inf, -np.inf, -1.0):
            for row in (0, 2000, 2999):
                w = np.ones(3000)
                w[row] = bad

                def call(w=w):
                    return draw(w, 3, 0, replace=replace, method=method)

                raises_sentence(ValueError, call, "weighted_sample", "weights", contains=f"at row {row}")

    @pytest.mark.parametrize("method", DISTINCT)
    def test_too_few_positive_weights(self, method):
        for n in (0, 1, 5000):
            w = np.zeros(n)
            w[: min(n, 3)] = 1

            def call(w=w):
                return draw(w, 4, 0, method=method)

            raises_sentence(ValueError, call, "weighted_sample", "size", contains=f"{min(n, 3)}, got 4")

    @pytest.mark.parametrize("method", REPEATED)
    def test_all_zero(self, method):
        for n in (0, 3):
            raises_sentence(
                ValueError,
                lambda n=n: draw(np.zeros(n), 2, 0, replace=True, method=method),
                "weighted_sample",
                "weights",
            )
        raises_sentence(
            ValueError,
            lambda: draw(np.full(3, 1e308), 2, 0, replace=True, method=method),
            "weighted_sample",
            "weights",
            contains="finite sum",
        )

    @pytest.mark.parametrize(
        ("error", "argument", "arguments"),
        [
            (TypeError, "weights", {"weights": [1.0, 2.0]}),
            (TypeError, "weights", {"weights": np.array([True, False])}),
            (TypeError, "weights", {"weights": None}),
            (ValueError, "weights", {"weights": np.ones((2, 2))}),
            (ValueError, "size", {"size": 0}),
            (TypeError, "size", {"size": 2.0}),
            (ValueError, "method", {"method": "multinomial"}),
            (ValueError, "method", {"method": "keys", "replace": True}),
            (TypeError, "replace", {"replace": 1}),
            (ValueError, "random_state", {"random_state": -1}),
        ],
    )
    def test_bad_arguments(self, error, argument, arguments):
        raises_sentence(
            error,
            lambda: weighted_sample(**{"weights": np.ones(4), "size": 2} | arguments),
            "weighted_sample",
            argument,
        )
