"""What is particular to single ranking losses, to `reduce`, and to the modules."""

import pytest
import scipy.stats
import torch
from torch.testing import assert_close

from argrad import nn
from argrad.losses import ranking
from argrad.losses._reduce import item_mean, ratio, reduce
from argrad.losses.ranking._ranks import average_rank
from checks import raises_sentence


@pytest.fixture
def scores():
    return torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


# --- reduce ----------------------------------------------------------------------------------------------------------


def test_reduce_divides_by_what_counts_and_not_by_the_weights():
    values, weights = torch.tensor([1.0, 2.0, torch.nan, 4.0]), torch.tensor([1.0, 0.0, 5.0, 3.0])
    counted = torch.tensor([True, True, False, True])
    assert reduce(values, "none", weights=weights, counted=counted).tolist() == [1, 0, 0, 12]
    assert reduce(values, "sum", weights=weights, counted=counted) == 13
    assert reduce(values, "mean", weights=weights, counted=counted) == 13 / 3
    assert reduce(values, "mean", counted=counted, empty=3.0) == 10 / 4
    assert reduce(values[:2], "mean", dtype=torch.float16).dtype == torch.float16


@pytest.mark.parametrize("counted", [None, torch.zeros(0, dtype=torch.bool)])
def test_a_mean_over_nothing_is_zero_and_connected(counted):
    values = torch.zeros(0, requires_grad=True)
    mean = reduce(values, "mean", counted=counted)
    assert mean == 0
    assert torch.autograd.grad(mean, values)[0].shape == (0,)
    values = torch.ones(2, requires_grad=True)
    mean = reduce(values, "mean", counted=torch.zeros(2, dtype=torch.bool))
    assert mean == 0
    assert torch.autograd.grad(mean, values)[0].tolist() == [0, 0]


def test_ratio_has_no_slope_at_a_denominator_of_zero():
    a, b = torch.tensor([1.0, 1.0, 0.0], requires_grad=True), torch.tensor([2.0, 0.0, 0.0], requires_grad=True)
    quotient = ratio(a, b)
    assert quotient.tolist() == [0.5, 0, 0]
    found = torch.autograd.grad(quotient.sum(), [a, b])
    assert [x.tolist() for x in found] == [[0.5, 0, 0], [-0.25, 0, 0]]


def test_item_mean():
    terms = torch.tensor([[1.0, torch.nan, 3.0], [torch.inf, torch.inf, torch.inf]])
    mask = torch.tensor([[True, False, True], [False, False, False]])
    assert item_mean(terms, mask).tolist() == [2, 0]
    assert item_mean(terms[:, :0], None).tolist() == [0, 0]


# --- single losses ---------------------------------------------------------------------------------------------------


def test_neural_ndcg_is_the_metric_for_scores_far_apart(scores):
    relevance = torch.arange(8) % 3
    found = ranking.neural_ndcg_loss(scores, relevance.expand(3, 8), k=5, temperature=1e-4, reduction="none")
    for row, value in zip(scores, found, strict=True):
        gains = (2.0 ** relevance[row.argsort(descending=True)] - 1).double()
        discount = 1 / torch.log2(torch.arange(2, 7, dtype=torch.float64))
        ideal = (gains.sort(descending=True).values[:5] * discount).sum()
        assert_close(value, -(gains[:5] * discount).sum() / ideal)


def test_both_products_of_neural_ndcg_are_one_number(scores):
    relevance = torch.arange(8).expand(3, 8) % 4
    for iterations in (0, 1, 7, 50):
        options = {"max_iterations": iterations, "k": 4, "reduction": "none"}
        first = ranking.neural_ndcg_loss(scores, relevance, **options)
        assert_close(ranking.neural_ndcg_loss(scores, relevance, transposed=True, **options), first)


def test_lcron_takes_what_is_to_be_found_as_booleans(scores):
    stages, state = torch.stack([scores, scores.flip(-1)], 1), torch.ones(2, dtype=torch.float64)
    target = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    found = torch.zeros(3, 8, dtype=torch.bool).scatter(1, target.topk(3).indices, True)
    options = {"quotas": (4, 3), "temperature": 1.0, "reduction": "none"}
    by_number = ranking.lcron_loss(stages, target, state, k=3, **options)
    assert_close(ranking.lcron_loss(stages, found, state, **options), by_number)
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[0] = found[1] = False
    values = ranking.lcron_loss(stages, found, state, mask=mask, **options)
    assert values[0] == values[1] == 0
    assert_close(values[2], by_number[2])
    assert_close(
        ranking.lcron_loss(stages, found, -state, **options), ranking.lcron_loss(stages, found, state, **options)
    )


def test_lcron_gives_earlier_items_the_place_among_equals(scores):
    stages, state = scores[:1, None], torch.ones(1, dtype=torch.float64)
    for target in (torch.zeros(1, 8, dtype=torch.uint8), torch.full((1, 8), -torch.inf), torch.zeros(1, 8)):
        first = torch.arange(8)[None] < 2
        found = ranking.lcron_loss(stages, target, state, quotas=(3,), k=2)
        assert_close(found, ranking.lcron_loss(stages, first, state, quotas=(3,)))


def test_mann_whitney_is_finite_at_large_margins():
    scores = torch.tensor([-1.0, 1.0]) * torch.tensor([[50.0], [5e3], [5e7]])
    scores.requires_grad_()
    value = ranking.mann_whitney_loss(scores, torch.tensor([[1, 0]]).expand(3, 2), reduction="none")
    assert_close(value, torch.tensor([1e2, 1e4, 1e8]))
    gradient = torch.autograd.grad(value.sum(), scores)[0]
    assert_close(gradient, torch.tensor([[-1.0, 1.0]]).expand(3, 2))


def test_mann_whitney_bounds_the_area_under_the_curve(scores):
    target = torch.arange(8) % 2
    for row in scores:
        wrong = (row[target == 0][:, None] >= row[target == 1]).double().mean()
        assert ranking.mann_whitney_loss(row, target) >= torch.log(torch.tensor(2.0)) * wrong
        steep = ranking.mann_whitney_loss(row, target, temperature=1e-3) * 1e-3
        margin = (row[target == 0][:, None] - row[target == 1]).clamp(min=0).mean()
        assert_close(steep, margin, rtol=1e-3, atol=1e-3)


def test_spearman_of_hard_ranks_is_the_statistic(scores):
    target = torch.tensor([3, 1, 3, 2, 0, 1, 3, 5])
    found = ranking.spearman_loss(scores, target.expand(3, 8), strength=1e-6, reduction="none")
    expected = [1 - scipy.stats.spearmanr(row, target).statistic for row in scores]
    assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_spearman_of_equal_scores_is_one_without_slope():
    scores = torch.ones(5, requires_grad=True)
    value = ranking.spearman_loss(scores, torch.arange(5))
    assert value == 1
    assert torch.autograd.grad(value, scores)[0].tolist() == [0] * 5


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float32, torch.float64])
def test_average_rank(dtype):
    x = torch.tensor([3, 1, 3, 0, 1, 3]).to(dtype)
    mask = torch.tensor([True, True, False, True, True, True])
    assert average_rank(x, None).tolist() == scipy.stats.rankdata(x.numpy()).tolist()
    assert average_rank(x, mask)[mask].tolist() == scipy.stats.rankdata(x[mask].numpy()).tolist()
    if x.is_floating_point():
        x[0] = torch.inf
        assert average_rank(x, mask)[mask].tolist() == scipy.stats.rankdata(x[mask].numpy()).tolist()


def test_groco_keeps_the_largest_negatives(scores):
    positive = torch.arange(8) < 2
    few = ranking.groco_loss(scores, positive.expand(3, 8), negatives=3, reduction="none")
    for row, value in zip(scores, few, strict=True):
        kept = torch.cat([row[:2], row[2:].topk(3).values])
        assert_close(ranking.groco_loss(kept, positive[:5]), value)


def test_topk_cross_entropy_with_one_weight_is_that_of_the_softmax(scores):
    target = torch.tensor([1, 7, 0])
    found = ranking.topk_cross_entropy_loss(scores, target, weights=(1.0,))
    assert_close(found, torch.nn.functional.cross_entropy(scores, target), rtol=1e-5, atol=1e-5)


def test_topk_cross_entropy_ignores_marked_examples(scores):
    target = torch.tensor([1, -1, 0])
    found = ranking.topk_cross_entropy_loss(scores, target, weights=(0.5, 0.5), ignore_index=-1)
    assert_close(found, ranking.topk_cross_entropy_loss(scores[[0, 2]], target[[0, 2]], weights=(0.5, 0.5)))


LABELS, CLASSES, STAGES = torch.arange(8).expand(3, 8) % 2, torch.zeros(3, dtype=torch.int64), torch.ones(2)


@pytest.mark.parametrize(
    ("name", "argument", "bad"),
    [
        ("neural_ndcg_loss", "k", 0),
        ("neural_ndcg_loss", "temperature", 0.0),
        ("neural_ndcg_loss", "max_iterations", -1),
        ("neural_ndcg_loss", "tolerance", -1e-3),
        ("neural_ndcg_loss", "gain", "square"),
        ("lcron_loss", "quotas", (3,)),
        ("lcron_loss", "quotas", (3, 0)),
        ("lcron_loss", "k", 0),
        ("lcron_loss", "temperature", float("nan")),
        ("mann_whitney_loss", "temperature", -1.0),
        ("groco_loss", "negatives", 0),
        ("groco_loss", "steepness", float("inf")),
        ("topk_cross_entropy_loss", "weights", ()),
        ("topk_cross_entropy_loss", "weights", (0.5, 0.2)),
        ("topk_cross_entropy_loss", "weights", (1.5, -0.5)),
        ("topk_cross_entropy_loss", "weights", (0.0,) * 8 + (1.0,)),
        ("topk_cross_entropy_loss", "candidates", 1),
        ("topk_cross_entropy_loss", "top1", "sm"),
        ("topk_cross_entropy_loss", "steepness", 0),
    ],
)
def test_bad_settings_are_refused(scores, name, argument, bad):
    inputs = {
        "lcron_loss": (scores[:, None].expand(3, 2, 8), LABELS, STAGES),
        "topk_cross_entropy_loss": (scores, CLASSES),
    }.get(name, (scores, LABELS))
    needed = {"lcron_loss": {"quotas": (4, 2)}, "topk_cross_entropy_loss": {"weights": (1.0,)}}.get(name, {})
    options = needed | {argument: bad}
    raises_sentence(ValueError, lambda: getattr(ranking, name)(*inputs, **options), name, argument)


def test_classes_must_be_integers(scores):
    for target in (torch.zeros(3), torch.zeros(3, dtype=torch.bool)):
        call = lambda target=target: ranking.topk_cross_entropy_loss(scores, target, weights=(1.0,))  # noqa: E731
        raises_sentence(TypeError, call, "topk_cross_entropy_loss", "target")


# --- modules ---------------------------------------------------------------------------------------------------------


def test_a_learned_setting_is_a_parameter_of_the_module(scores):
    temperature = torch.nn.Parameter(torch.full((3,), 0.5, dtype=torch.float64))
    module = nn.NeuralNDCGLoss(temperature=temperature)
    assert list(module.parameters()) == [temperature]
    module(scores, torch.arange(8).expand(3, 8)).backward()
    assert temperature.grad.abs().min() > 0


def test_modules_are_made_once_and_listed():
    assert nn.GroCoLoss is nn.GroCoLoss
    assert nn.GroCoLoss.__module__ == "argrad.nn"
    assert "GroCoLoss" in dir(nn)
    with pytest.raises(AttributeError, match="no attribute 'NoSuchLoss'"):
        nn.NoSuchLoss  # noqa: B018
