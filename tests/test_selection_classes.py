"""The classes around a selection: the scikit-learn manner, and training."""

import warnings

import numpy as np
import pytest

from argrad.selection import (
    SelectedSubset,
    SelectionWarning,
    SensitivitySelector,
    WeightedSubsetSampler,
    sensitivity_sample,
    training_weights,
)
from checks import assert_same, raises_sentence

X = np.random.default_rng(0).normal(size=(600, 3)) * 3
LOSS = 1 + (X**2).sum(axis=1) / 10
A = np.where(np.random.default_rng(1).random(600) < 0.1, 0.0, np.random.default_rng(2).random(600) * 3)


def quiet(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        return sensitivity_sample(*arguments, **options)


class TestSelector:
    def test_it_is_the_function(self):
        options = {"n_clusters": 20, "z": 1, "draw": "pivotal", "random_state": 4, "estimator": "hajek"}
        selector = SensitivitySelector(60, **options)
        assert selector.fit(X, LOSS, None, sample_weight=A) is selector
        expected = quiet(X, LOSS, 60, sample_weight=A, **options)
        assert_same(expected, selector.selection_)
        assert_same(
            (expected.indices, expected.weights, expected.probabilities, expected.n_queries, expected.diagnostics),
            (selector.indices_, selector.weights_, selector.probabilities_, selector.n_queries_, selector.diagnostics_),
        )
        losses = LOSS[selector.indices_]
        assert selector.estimate(losses) == expected.estimate(losses, "hajek")

    def test_parameters(self):
        selector = SensitivitySelector(60, mix=0.5)
        assert selector.get_params()["mix"] == 0.5
        twin = SensitivitySelector(**selector.get_params())
        assert twin.get_params() == selector.get_params()
        assert twin.set_params(mix=0.1, n_select=3) is twin
        assert (twin.mix, twin.n_select) == (0.1, 3)
        raises_sentence(ValueError, lambda: twin.set_params(alpha=1), "set_params", "params", contains="'alpha'")
        raises_sentence(AttributeError, lambda: twin.estimate(LOSS), "estimate")

    def test_scikit_learn_can_clone_it(self):
        from sklearn.base import clone

        assert clone(SensitivitySelector(60, mix=0.5)).get_params() == SensitivitySelector(60, mix=0.5).get_params()


class TestTraining:
    def test_weights_are_clipped_and_normalized(self):
        w = np.array([1.0, 2.0, 3.0, 14.0])
        values, share = training_weights(w, clip=2, normalize=None)
        assert (values.tolist(), share) == ([1, 2, 3, 10], pytest.approx(0.2))
        values, share = training_weights(w)
        assert (values.mean(), share) == (1, 0)
        raises_sentence(ValueError, lambda: training_weights(w, clip=0), "training_weights", "clip")
        raises_sentence(ValueError, lambda: training_weights(w, normalize="sum"), "training_weights", "normalize")
        raises_sentence(ValueError, lambda: training_weights(-w), "training_weights", "weights", contains="at row 0")

    def test_sampler(self):
        w = np.random.default_rng(0).random(500)
        w[::2] = 0
        ranks = [WeightedSubsetSampler(w, 60, random_state=3, rank=r, world_size=3) for r in range(3)]
        whole = WeightedSubsetSampler(w, 60, random_state=3)
        seen = []
        for epoch in range(3):
            for sampler in (*ranks, whole):
                sampler.set_epoch(epoch)
            parts = [list(sampler) for sampler in ranks]
            assert [len(part) for part in parts] == [len(sampler) for sampler in ranks] == [20, 20, 20]
            assert sorted(row for part in parts for row in part) == sorted(whole)
            assert len(set(whole)) == 60
            assert all(w[row] > 0 for row in whole)
            seen.append(tuple(whole))
        assert len(set(seen)) == 3
        raises_sentence(ValueError, lambda: WeightedSubsetSampler(w, 61, world_size=3), "WeightedSubsetSampler", "size")
        raises_sentence(ValueError, lambda: WeightedSubsetSampler(w, 60, rank=1), "WeightedSubsetSampler", "rank")
        raises_sentence(ValueError, lambda: whole.set_epoch(-1), "set_epoch", "epoch")

    def test_torch_loads_a_selection(self):
        import torch

        found = quiet(X, LOSS, 60, random_state=0)
        subset = SelectedSubset(torch.utils.data.TensorDataset(torch.from_numpy(X)), found.indices, found.weights)
        loader = torch.utils.data.DataLoader(subset, batch_size=60)
        (((x,), w),) = list(loader)
        assert_same((X[found.indices], found.weights), (x, w))
        sampler = WeightedSubsetSampler(found.weights, 30, random_state=0)
        assert sum(len(w) for _, w in torch.utils.data.DataLoader(subset, sampler=sampler, batch_size=8)) == 30
        raises_sentence(
            ValueError, lambda: SelectedSubset(X, found.indices, found.weights[:3]), "SelectedSubset", "weights"
        )
        raises_sentence(TypeError, lambda: SelectedSubset(X, found.weights, found.weights), "SelectedSubset", "indices")
