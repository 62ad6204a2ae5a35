"""One row per loss, through every check of loss_checks.py; and what is particular to single losses."""

import doctest
import inspect

import pytest
import torch

import loss_checks
import oracles_losses_fenchel_young as fenchel_young_oracles
import oracles_losses_ranking as ranking_oracles
import oracles_losses_topology as topology_oracles
from argrad import losses, nn
from argrad.losses import fenchel_young, ranking, topology
from loss_rows import Row, each

# --- inputs: (batch, size, generator) -> tensors ---------------------------------------------------------------------


def scores(*shape, generator):
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def graded(batch, size, generator):
    """Scores, and grades 0..4 of which each list has a positive one."""
    grades = torch.randint(0, 5, (batch, size), generator=generator)
    grades[:, -2] = 2
    return scores(batch, size, generator=generator), grades


def divided(batch, size, generator):
    """Scores, and positives: two of each list."""
    positive = torch.arange(size).expand(batch, size) % 3 == torch.arange(batch)[:, None] % 3
    return scores(batch, size, generator=generator), positive


def labelled(batch, size, generator):
    """The same with labels 0.0 and 1.0."""
    first, positive = divided(batch, size, generator)
    return first, positive.to(torch.float64)


def ordered(batch, size, generator):
    """Scores, and targets to be ranked alike, with one tie."""
    target = scores(batch, size, generator=generator)
    target[:, 1] = target[:, -1]
    return scores(batch, size, generator=generator), target


def staged(batch, size, generator):
    """Scores of two stages, what is to be found, and the stages' uncertainties."""
    target = scores(batch, size, generator=generator)
    return scores(batch, 2, size, generator=generator), target, torch.tensor([1.5, 0.7], dtype=torch.float64)


def classified(batch, size, generator):
    """Logits and classes."""
    return scores(batch, size, generator=generator), torch.randint(0, size, (batch,), generator=generator)


def distinct(shape, generator):
    """Images without two equal values or differences, all inside (0, 1)."""
    count = torch.Size(shape).numel()
    place = torch.randperm(count, generator=generator) + 0.25
    return ((place + 0.5 * torch.rand(count, dtype=torch.float64, generator=generator)) / count).reshape(shape)


def segmented(batch, size, generator):
    """Predictions, and binary targets."""
    prediction = distinct((batch, size, size), generator)
    return prediction, (torch.rand(batch, size, size, generator=generator) < 0.6).to(torch.float64)


def grey(batch, size, generator):
    """Predictions, and targets without ties either."""
    return distinct((2, batch, size, size), generator).unbind()


def volumes(batch, size, generator):
    """Small volumes, and binary targets."""
    prediction, target = segmented(batch, size, generator)
    return prediction.reshape(batch, 3, 4, 3), target.reshape(batch, 3, 4, 3)


def counted(batch, size, generator):
    """Predictions, and the Betti numbers that they should have."""
    return distinct((batch, size, size), generator), torch.tensor([2, 1])


def with_second(value):
    """Empty inputs: the second one is the same everywhere."""
    return lambda first, second, *rest: (first, torch.full_like(second, value), *rest)


ROWS = {
    "fenchel_young.entmax_loss": Row(
        function=fenchel_young.entmax_loss,
        inputs=classified,
        oracle=each(fenchel_young_oracles.entmax, items=(0,)),
        empty=with_second(-100),
        refuses_nan=True,
    ),
    "fenchel_young.fenchel_young_loss": Row(
        function=fenchel_young.fenchel_young_loss,
        inputs=classified,
        oracle=each(fenchel_young_oracles.fenchel_young, items=(0,)),
        options=({}, {"alpha": 1.0}, {"alpha": 1.2}, {"alpha": 2.0}, {"alpha": 3.0}),
        empty=with_second(-100),
        refuses_nan=True,
    ),
    "fenchel_young.sparsemax_loss": Row(
        function=fenchel_young.sparsemax_loss,
        inputs=classified,
        oracle=each(fenchel_young_oracles.sparsemax, items=(0,)),
        empty=with_second(-100),
        refuses_nan=True,
    ),
    "ranking.groco_loss": Row(
        function=ranking.groco_loss,
        inputs=divided,
        oracle=each(ranking_oracles.groco),
        options=({}, {"negatives": 2, "steepness": 5.0}, {"negatives": None}),
        empty=with_second(False),
    ),
    "ranking.lcron_loss": Row(
        function=ranking.lcron_loss,
        inputs=staged,
        oracle=each(ranking_oracles.lcron, items=(0, 1), shared=(2,)),
        options=({"quotas": (4, 2), "k": 2, "temperature": 1.0}, {"quotas": (3, 7), "k": 3}),
        differentiable=(0, 2),
        shared=(2,),
        frozen=True,
    ),
    "ranking.mann_whitney_loss": Row(
        function=ranking.mann_whitney_loss,
        inputs=labelled,
        oracle=each(ranking_oracles.mann_whitney),
        options=({}, {"temperature": 0.3}),
        empty=with_second(True),
    ),
    "ranking.neural_ndcg_loss": Row(
        function=ranking.neural_ndcg_loss,
        inputs=graded,
        oracle=each(ranking_oracles.neural_ndcg),
        options=(
            {},
            {"k": 3, "temperature": 0.5, "tolerance": 0.0, "max_iterations": 50},
            {"k": 2, "transposed": True, "gain": "linear", "max_iterations": 3},
            {"max_iterations": 0},
        ),
        empty=with_second(0),
    ),
    "ranking.spearman_loss": Row(
        function=ranking.spearman_loss,
        inputs=ordered,
        oracle=each(ranking_oracles.spearman),
        options=({}, {"strength": 0.3}),
        empty=with_second(1.0),
    ),
    "ranking.topk_cross_entropy_loss": Row(
        function=ranking.topk_cross_entropy_loss,
        inputs=classified,
        oracle=each(ranking_oracles.topk_cross_entropy),
        options=(
            {"weights": (0.5, 0.0, 0.5)},
            {"weights": (0.2, 0.3, 0.5), "candidates": 4, "top1": "network", "steepness": 5.0},
            {"weights": (0.25, 0.75), "candidates": 5, "top1": "cross_entropy"},
            {"weights": (1.0,)},
        ),
        empty=with_second(-100),
    ),
    "topology.betti_matching_loss": Row(
        function=topology.betti_matching_loss,
        inputs=grey,
        oracle=each(topology_oracles.betti_matching),
        options=(
            {"spatial_dims": 2},
            {"spatial_dims": 2, "rule": "strict", "weight_matched": 0.5, "weight_unmatched": 3.0, "dims": (1,)},
            {"spatial_dims": 2, "filtration": "both", "comparison": "intersection", "min_persistence": 0.2},
            {"spatial_dims": 2, "connectivity": "full", "push_unmatched": "target", "essential": True},
            {"spatial_dims": 2, "push_unmatched": "background", "relative": True},
            {"spatial_dims": 2, "filtration": "both", "push_unmatched": "background", "sphere": True},
        ),
        refuses_nan=True,
    ),
    "topology.betti_prior_loss": Row(
        function=topology.betti_prior_loss,
        inputs=counted,
        oracle=each(topology_oracles.betti_prior, items=(0,), shared=(1,)),
        options=(
            {"spatial_dims": 2},
            {"spatial_dims": 2, "filtration": "both", "connectivity": "full"},
            {"spatial_dims": 2, "filtration": "sublevel", "dims": (1,)},
        ),
        shared=(1,),
        refuses_nan=True,
    ),
    "topology.euler_characteristic_loss": Row(
        function=topology.euler_characteristic_loss,
        inputs=volumes,
        oracle=each(topology_oracles.euler_characteristic),
        options=({"spatial_dims": 3},),
        scale=None,
    ),
    "topology.wasserstein_topology_loss": Row(
        function=topology.wasserstein_topology_loss,
        inputs=segmented,
        oracle=each(topology_oracles.wasserstein_topology),
        options=(
            {"spatial_dims": 2},
            {"spatial_dims": 2, "filtration": "both", "connectivity": "full", "essential": True},
            {"spatial_dims": 2, "filtration": "sublevel", "dims": (1,)},
            {"spatial_dims": 2, "matching": "wasserstein", "essential": True},
        ),
        refuses_nan=True,
    ),
}


@pytest.mark.parametrize("check", loss_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_loss(name, check):
    check(ROWS[name])


def test_no_loss_is_forgotten():
    public = {f"{family}.{name}" for family in losses.__all__ for name in getattr(losses, family).__all__}
    assert {name for name in public if name.endswith("_loss")} == set(ROWS)
    assert set(nn.__all__) == {nn._name(row.name) for row in ROWS.values()}
    for name, row in ROWS.items():
        assert getattr(getattr(losses, name.split(".")[0]), row.name) is row.function


@pytest.mark.parametrize("name", ROWS)
def test_signature_has_the_form_of_the_house(name):
    """Tensors first, then keyword-only options that all have the same names and defaults."""
    parameters = inspect.signature(ROWS[name].function).parameters
    kinds = [parameter.kind for parameter in parameters.values()]
    inputs = len(ROWS[name].inputs(2, 6, torch.Generator()))
    assert all(kind == inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds[:inputs])
    assert all(kind == inspect.Parameter.KEYWORD_ONLY for kind in kinds[inputs:])
    defaults = {"reduction": "mean", "empty": "skip", "sample_weight": None, "mask": None}
    assert all(parameters[x].default == value for x, value in defaults.items() if x in parameters)
    assert list(parameters)[-1] == "reduction"


@pytest.mark.parametrize("name", nn.__all__)
def test_docstring_of_the_module(name):
    """It opens with the line of the function, and its example runs."""
    twin = getattr(nn, name)
    row = next(row for row in ROWS.values() if nn._name(row.name) == name)
    assert inspect.getdoc(twin).split("\n")[0] == inspect.getdoc(row.function).split("\n")[0]
    (example,) = doctest.DocTestFinder(recurse=False).find(twin, name)
    outcome = doctest.DocTestRunner().run(example)
    assert outcome.attempted > 0
    assert outcome.failed == 0
