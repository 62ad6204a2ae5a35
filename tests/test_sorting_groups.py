"""group_order against dense matrices; limits, groups without items, masks, ties, NaN, infinities, bad input."""

import numpy as np
import pytest
import torch

import checks
import oracles_sorting_groups as oracles
from argrad.sorting import _network, group_order


def draw(rng, shape, dtype=np.float64):
    """Scores with some ties across groups, one positive in four, and a mask."""
    x = rng.standard_normal(shape)
    x[..., ::3] = np.round(x[..., ::3])
    return x.astype(dtype), rng.random(shape) < 0.25, rng.random(shape) < 0.8


@pytest.mark.parametrize("network", _network.NETWORKS)
@pytest.mark.parametrize("distribution", _network.DISTRIBUTIONS)
def test_values_are_those_of_the_matrix(network, distribution, dtype, rng):
    options = {"network": network, "distribution": distribution}
    # Lists up to 32 items, and longer ones, are ordered in two ways.
    for n, steepness in ((2, 1.0), (7, 10.0), (11, 3.0), (32, 1.0), (33, 2.0)):
        x, positive, mask = draw(rng, (4, n), dtype)
        for limit in (None, 1, 4):
            for which in (None, mask):
                expected, count = oracles.batch(x, positive, steepness, which, negatives=limit, **options)
                found = group_order(x, positive, negatives=limit, steepness=steepness, mask=which, **options)
                assert found.probability.dtype == dtype
                assert found.count.dtype == np.int64
                np.testing.assert_array_equal(found.count, count)
                # Equal scores may come out of a comparator a rounding apart, which the trick turns into 1e-7.
                tolerance = 3e-13 if dtype == np.float64 else 1e-3 if distribution == "logistic_art" else 2e-5
                np.testing.assert_allclose(found.probability, expected, rtol=tolerance, atol=0)
                logs = group_order(x, positive, negatives=limit, steepness=steepness, mask=which, log=True, **options)
                np.testing.assert_allclose(
                    logs.probability, np.log(np.maximum(expected, 1e-12)), rtol=0, atol=2 * tolerance
                )


def test_means_are_over_the_items_that_take_part(dtype, rng):
    x, positive, mask = draw(rng, (40, 9), dtype)
    positive[:3], positive[3:5] = False, True
    for limit, which in ((None, None), (2, None), (3, mask)):
        options = {"negatives": limit, "mask": which, "steepness": 2.0}
        taking = taking_part(x, positive, limit, which)
        for log in (False, True):
            items, count = group_order(x, positive, log=log, **options)
            found, again = group_order(x, positive, log=log, reduction="mean", **options)
            assert found.shape == again.shape == (40,)
            np.testing.assert_array_equal(count, again)
            np.testing.assert_array_equal(count, taking.sum(-1))
            assert (items[~taking] == (0 if log else 1)).all()
            expected = np.where(count > 0, oracles.mean(items.astype(float), taking), 0 if log else 1)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_means_of_batches_are_over_the_lists_that_take_part(dtype, rng):
    x, positive, mask = draw(rng, (3, 20, 9), dtype)
    positive[0, :3], positive[1, 3:5], positive[2] = False, True, False
    for log in (False, True):
        options = {"negatives": 3, "mask": mask, "log": log}
        lists, count = group_order(x, positive, reduction="mean", **options)
        found, again = group_order(x, positive, reduction="batch_mean", **options)
        np.testing.assert_array_equal(count, again)
        taking = count > 0
        assert 0 < taking[0].sum() <= 17
        assert not taking[2].any()
        expected = [lists[i][taking[i]].astype(float).mean() if i < 2 else 0 if log else 1 for i in range(3)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert found.dtype == dtype
        alone = group_order(x[0, 5], positive[0, 5], reduction="batch_mean", log=log).probability
        assert alone == group_order(x[0, 5], positive[0, 5], reduction="mean", log=log).probability
    nothing = group_order(x[:, :0], positive[:, :0], reduction="batch_mean").probability
    assert nothing.tolist() == [1, 1, 1]
    x[1, 2, 0], positive[1, 2, :2], mask[1, 2] = np.nan, [True, False], True
    found = group_order(x, positive, reduction="batch_mean", mask=mask).probability
    assert np.isnan(found).tolist() == [False, True, False]


def taking_part(x, positive, limit, mask):
    taking = np.zeros(x.shape, bool)
    for row in range(len(x)):
        good, bad = ([], [])
        for i in np.argsort(x[row], kind="stable"):
            if mask is None or mask[row, i]:
                (good if positive[row, i] else bad).append(i)
        if good and bad:
            taking[row, good + (bad if limit is None else bad[-limit:])] = True
    return taking


@pytest.mark.parametrize(("distribution", "most"), [("logistic", 4.0), ("gaussian", 2.0), ("cauchy", 1e4)])
def test_small_probabilities_keep_their_digits(distribution, most, dtype):
    # Negatives far above the positives: 1 - c would have no digit left.
    x = np.array([[0.0, 3.0, 2.5, 0.1], [-1.0, 0.3, 0.2, 1.4]], dtype)
    positive = np.array([[True, False, False, True], [True, False, False, False]])
    for steepness in (1.0, most):
        expected, _ = oracles.batch(x, positive, steepness, distribution=distribution)
        found = group_order(x, positive, steepness=steepness, distribution=distribution)
        assert (expected.min() < 1e-4) == (steepness == most)
        np.testing.assert_allclose(found.probability, expected, rtol=2e-5 if dtype == np.float32 else 1e-11, atol=0)
        tensor = torch.tensor(x, requires_grad=True)
        wide = torch.tensor(x.astype(np.float64), requires_grad=True)
        grads = []
        for scores in (tensor, wide):
            logs = group_order(
                scores, torch.tensor(positive), steepness=steepness, distribution=distribution, log=True
            ).probability
            grads.append(torch.autograd.grad(logs.sum(), scores)[0])
        assert grads[1].abs().min() > 0
        np.testing.assert_allclose(grads[0], grads[1], rtol=3e-4 if dtype == np.float32 else 1e-10, atol=1e-10)


def test_logarithms_end_at_1e_12(dtype):
    x = torch.tensor(np.array([0.0, 50.0, 1.0], dtype), requires_grad=True)
    positive = torch.tensor([True, False, False])
    found = group_order(x, positive, distribution="logistic", log=True).probability
    np.testing.assert_allclose(found[1].item(), np.log(dtype.type(1e-12)), rtol=1e-6)
    (gradient,) = torch.autograd.grad(found[1], x)
    assert (gradient == 0).all()


def test_groups_without_items_and_small_lists(dtype):
    for n in (0, 1, 2, 5):
        for label in (True, False):
            x = torch.ones((3, n), dtype=torch.from_numpy(np.zeros(0, dtype)).dtype, requires_grad=True)
            for log in (False, True):
                for reduction in ("none", "mean"):
                    found = group_order(x, torch.full((3, n), label), log=log, reduction=reduction)
                    assert (found.probability == (0 if log else 1)).all()
                    assert found.probability.shape == ((3,) if reduction == "mean" else (3, n))
                    assert torch.equal(found.count, torch.zeros(3, dtype=torch.int64))
                    (gradient,) = torch.autograd.grad(found.probability.sum(), x)
                    assert (gradient == 0).all()
    for shape in ((0,), (0, 3), (3, 0), (2, 0, 3)):
        found = group_order(np.zeros(shape, dtype), np.zeros(shape, bool))
        assert found.probability.shape == shape
        assert found.count.shape == shape[:-1]
    one = group_order(np.array([1.0, 3.0], dtype), np.array([True, False]), steepness=2.0)
    np.testing.assert_allclose(one.probability, 0.5 - np.arctan(4.0) / np.pi, rtol=1e-6)
    assert one.count == 2


def test_nan_and_infinities(dtype):
    inf, nan = np.inf, np.nan
    positive = np.array([True, False, False, False])
    x = np.array([[1.0, 0.0, nan, 2.0], [nan, 0.0, 1.0, 2.0], [1.0, 0.0, -1.0, 2.0]], dtype)
    found = group_order(x, np.tile(positive, (3, 1)), negatives=2)
    # A NaN counts as larger than any number.
    assert np.isnan(found.probability[0]).tolist() == [True, False, True, True]
    assert np.isnan(found.probability[1]).tolist() == [True, False, True, True]
    assert np.isfinite(found.probability[2]).all()
    mask = ~np.isnan(x)
    assert np.isfinite(group_order(x, np.tile(positive, (3, 1)), mask=mask).probability).all()
    for log in (False, True):
        means = group_order(x, np.tile(positive, (3, 1)), log=log, reduction="mean").probability
        assert np.isnan(means).tolist() == [True, True, False]
    tensor = torch.tensor(x, requires_grad=True)
    label = torch.tensor(positive).expand(3, 4)
    group_order(tensor, label, log=True, reduction="mean").probability[2].backward()
    assert torch.isfinite(tensor.grad[2]).all()
    tensor = torch.tensor(x, requires_grad=True)
    (first,) = torch.autograd.grad(group_order(tensor, label).probability.sum(), tensor, create_graph=True)
    (second,) = torch.autograd.grad(first[2].sum(), tensor)
    assert first[:2].isnan().all()
    assert second[:2].isnan().all()
    assert torch.isfinite(second[2]).all()
    x = np.array([inf, 0.0, 1.0, -inf], dtype)
    np.testing.assert_allclose(group_order(x, positive).probability, 1, rtol=1e-6)
    wrong = group_order(-x, positive, log=True).probability
    assert wrong[0] == wrong[3] == np.log(dtype.type(1e-12))
    assert np.isfinite(wrong).all()


def test_equal_scores_of_a_group_may_change_places(dtype):
    x = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0], dtype)
    positive = np.array([True, False, False, False, True, False])
    base = group_order(x, positive, negatives=3, steepness=2.0)
    for order in ([4, 2, 1, 3, 0, 5], [5, 4, 3, 2, 1, 0]):
        moved = group_order(x[order], positive[order], negatives=3, steepness=2.0)
        assert moved.count == base.count == 5
        # As a set: which of equal negatives is left out is a matter of position.
        np.testing.assert_allclose(np.sort(moved.probability), np.sort(base.probability), rtol=1e-6)


def test_items_that_take_no_part_get_no_gradient(rng):
    x, positive, mask = draw(rng, (6, 9))
    taking = taking_part(x, positive, 2, mask)
    tensor = torch.tensor(x, requires_grad=True)
    for log in (False, True):
        y = group_order(
            tensor, torch.tensor(positive), negatives=2, mask=torch.tensor(mask), log=log, steepness=1.0
        ).probability
        # Upstream gradients at items that take no part may be anything.
        upstream = torch.where(torch.tensor(taking), 1.0 + torch.arange(9), torch.nan)
        (found,) = torch.autograd.grad(y, tensor, upstream)
        assert (found[~taking] == 0).all()
        assert (found[taking] != 0).all()


def test_dim_and_steepness_per_list(rng):
    x, positive, mask = draw(rng, (3, 4, 8))
    steepness = rng.random((3, 4)) + 0.5
    base = group_order(x, positive, steepness=steepness, mask=mask, negatives=3)
    for i in np.ndindex(3, 4):
        alone = group_order(x[i], positive[i], steepness=float(steepness[i]), mask=mask[i], negatives=3)
        checks.assert_same(alone.probability, base.probability[i])
        assert alone.count == base.count[i]
    moved = [np.moveaxis(a, -1, 1) for a in (x, positive, mask)]
    for reduction in ("none", "mean"):
        base = group_order(x, positive, steepness=steepness, mask=mask, reduction=reduction)
        found = group_order(moved[0], moved[1], dim=1, steepness=steepness, mask=moved[2], reduction=reduction)
        back = found.probability if reduction == "mean" else np.moveaxis(found.probability, 1, -1)
        checks.assert_same(np.ascontiguousarray(back), base.probability)
        checks.assert_same(found.count, base.count)


def test_bad_input_is_refused_in_one_sentence():
    x, positive = np.ones((2, 3)), np.ones((2, 3), bool)
    bad = {
        "negatives": [0, -1],
        "network": ["merge"],
        "distribution": ["laplace"],
        "steepness": [0.0, -1.0, np.nan, np.inf, np.array([1.0, 0.0]), np.array([1.0, np.nan]), np.ones(5)],
        "reduction": ["sum"],
        "dim": [2],
        "mask": [np.ones((3, 2), bool)],
    }
    for argument, values in bad.items():
        for value in values:
            checks.raises_sentence(ValueError, lambda o={argument: value}: group_order(x, positive, **o), "group_order")
    checks.raises_sentence(ValueError, lambda: group_order(x, positive[:1]), "group_order", "positive")
    checks.raises_sentence(ValueError, lambda: group_order(np.ones(()), positive), "group_order")
    checks.raises_sentence(TypeError, lambda: group_order(x, positive.astype(int)), "group_order", "positive")
    checks.raises_sentence(TypeError, lambda: group_order(x, torch.tensor(positive)), "group_order", "positive")
    checks.raises_sentence(TypeError, lambda: group_order(x, [True] * 3), "group_order", "positive")
    checks.raises_sentence(TypeError, lambda: group_order(x.astype(int), positive), "group_order", "x")
    for options in ({"negatives": 1.5}, {"log": 1}, {"steepness": "high"}, {"mask": np.ones((2, 3))}):
        checks.raises_sentence(TypeError, lambda o=options: group_order(x, positive, **o), "group_order")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("n", [11, 40])
def test_generic_checks(n, log, dtype, rng):
    x = rng.standard_normal((4, n)).astype(dtype)
    label = np.arange(n) % 5 == 0

    def call(x, reduction="none", steepness=10.0):
        positive = np.broadcast_to(label, x.shape)
        positive = torch.tensor(positive) if isinstance(x, torch.Tensor) else positive
        return group_order(x, positive, negatives=7, log=log, reduction=reduction, steepness=steepness)

    for reduction in ("none", "mean"):
        with_reduction = lambda x, r=reduction: call(x, r)  # noqa: E731
        checks.treats_rows_alone(with_reduction, x)
        checks.accepts_any_layout(with_reduction, x)
        checks.leaves_input_alone(with_reduction, x)
        checks.keeps_dtype(with_reduction, x)
        checks.keeps_kind(lambda x, r=reduction: tuple(call(x, r)), x)

    def with_gradient():
        many = torch.tensor(np.tile(x, (300, 1)), requires_grad=True)
        steepness = torch.linspace(0.5, 30.0, len(many), dtype=many.dtype, requires_grad=True)
        y = call(many, "mean", steepness).probability
        return y, *torch.autograd.grad(y.square().sum(), (many, steepness))

    checks.same_for_all_threads_and_levels(with_gradient, threads=(1, 3))
