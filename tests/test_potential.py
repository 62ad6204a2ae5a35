"""kmeans_potential: against a loop, through all torch checks, at ties, and its error sentences."""

import numpy as np
import pytest
import torch

import torch_checks
from argrad.seeding import kmeans_potential


def naive_potential(X, centers, weights=None):
    total = 0.0
    for i, x in enumerate(X):
        nearest = min(sum((a - b) ** 2 for a, b in zip(x.tolist(), c.tolist(), strict=True)) for c in centers)
        total += nearest * (1.0 if weights is None else float(weights[i]))
    return total


def draw(size, seed):
    generator = torch.Generator().manual_seed(seed)
    X = torch.rand(size, 2, dtype=torch.float64, generator=generator)
    centers = torch.rand(size // 2, 2, dtype=torch.float64, generator=generator)
    weights = torch.rand(size, dtype=torch.float64, generator=generator) + 0.25
    return X, centers, weights


ROWS = {
    "weighted": torch_checks.Row(
        name="kmeans_potential",
        call=lambda X, centers, weights: kmeans_potential(X, centers, sample_weight=weights),
        inputs=draw,
        differentiable=(0, 1, 2),
        raw=lambda: torch.ops.argrad.kmeans_potential.default,
    ),
    "unweighted": torch_checks.Row(
        name="kmeans_potential",
        call=kmeans_potential,
        inputs=lambda size, seed: draw(size, seed)[:2],
        differentiable=(0, 1),
        raw=lambda: torch.ops.argrad.kmeans_potential.default,
        arguments=lambda inputs: (*inputs, None),
    ),
}


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_torch(row, check):
    check(row)


@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (7, 3, 2), (50, 11, 5), (300, 40, 17)])
def test_against_a_loop(rng, dtype, n, k, d):
    X, centers, weights = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(k, d)).astype(dtype), rng.random(n)
    for w in (None, weights):
        found = kmeans_potential(X, centers, sample_weight=w)
        assert found.dtype == dtype
        assert isinstance(found, np.floating)
        np.testing.assert_allclose(found, naive_potential(X, centers, w), rtol=8 * np.finfo(dtype).eps)
        tensors = [None if x is None else torch.from_numpy(x) for x in (X, centers, w)]
        assert kmeans_potential(*tensors[:2], sample_weight=tensors[2]).item() == found


def test_weights_count_like_repeated_rows(rng):
    X, centers, counts = rng.normal(size=(40, 3)), rng.normal(size=(5, 3)), rng.integers(0, 4, 40)
    repeated = kmeans_potential(np.repeat(X, counts, axis=0), centers)
    np.testing.assert_allclose(kmeans_potential(X, centers, sample_weight=counts), repeated, rtol=1e-13)


def test_far_from_the_origin_nothing_cancels(rng):
    X = (rng.normal(size=(200, 4)) + 1e4).astype(np.float32)
    np.testing.assert_allclose(kmeans_potential(X, X[:9]), naive_potential(X.astype(float), X[:9]), rtol=1e-6)


def test_a_tie_goes_to_the_lower_index():
    X = torch.tensor([[0.0]], requires_grad=True)
    for sign in (1.0, -1.0):
        centers = torch.tensor([[sign], [-sign]], requires_grad=True)
        to_x, to_centers = torch.autograd.grad(kmeans_potential(X, centers), (X, centers))
        assert to_x.item() == -2 * centers[0].item()
        assert to_centers.tolist() == [[2 * centers[0].item()], [0.0]]


def test_a_centre_without_points_gets_no_gradient_and_descent_converges():
    X = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0]], dtype=torch.float64)
    centers = torch.tensor([[0.5, 0.5], [9.0, 0.0], [500.0, 0.0]], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([centers], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        kmeans_potential(X, centers).backward()
        optimizer.step()
    torch.testing.assert_close(centers.detach(), torch.tensor([[1.0, 0], [10, 0], [500, 0]], dtype=torch.float64))


def test_float16_overflows_to_infinity_and_float32_does_not():
    X, centers = np.full((4, 1), 300, np.float16), np.zeros((1, 1), np.float16)
    assert kmeans_potential(X, centers) == np.inf
    assert kmeans_potential(X.astype(np.float32), centers) == 360000


def test_inductor():
    # The one case through the whole compiler; with nothing around the operator, no C++ has to be compiled.
    inputs = [x.float() for x in draw(8, 0)]
    call = ROWS["weighted"].call
    torch.testing.assert_close(torch.compile(call, fullgraph=True)(*inputs), call(*inputs))


E = np.eye(3)
ERRORS = [
    (TypeError, ([[1.0]], E), "X must be a numpy array or a torch tensor, got a list (wrap it in numpy.asarray)"),
    (TypeError, (E, torch.eye(3).double()), "centers must be a numpy array like X, got a torch tensor on cpu"),
    (TypeError, (E, E.astype(np.float32)), "centers must be of dtype float64 like X, got float32"),
    (TypeError, (E.astype(int), E), "X must be of dtype float16, bfloat16, float32 or float64, got int64"),
    (TypeError, (E, E, torch.ones(3)), "sample_weight must be a numpy array like X, got a torch tensor on cpu"),
    (ValueError, (E, E[:, :2]), "centers must be of 3 columns like X, got shape (3, 2)"),
    (ValueError, (E, E[:0]), "centers must be a matrix of at least one row and one column, got shape (0, 3)"),
    (ValueError, (E[0], E), "X must be 2-dimensional, got 1 dimension(s)"),
    (ValueError, (E, E, np.ones(2)), "sample_weight must be of shape (3,), got (2,)"),
    (ValueError, (E, E, np.array([1.0, -1, 1])), "sample_weight must be finite and >= 0, got -1.0 at row 1"),
    (ValueError, (np.array([[np.nan, 1, 2]]), E), "X must be finite, got NaN at row 0, column 0"),
]


@pytest.mark.parametrize(("error", "arguments", "sentence"), ERRORS)
def test_errors(error, arguments, sentence):
    X, centers, *weights = arguments
    with pytest.raises(error) as caught:
        kmeans_potential(X, centers, sample_weight=weights[0] if weights else None)
    assert str(caught.value) == f"kmeans_potential: {sentence}"


def test_bad_weights_are_found_in_tensors_too():
    X, weights = torch.eye(3), torch.tensor([1.0, torch.nan, 1.0], requires_grad=True)
    with pytest.raises(
        ValueError, match=r"^kmeans_potential: sample_weight must be finite and >= 0, got nan at row 1$"
    ):
        kmeans_potential(X, X, sample_weight=weights)
