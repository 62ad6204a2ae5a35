"""The lazy permutation by two methods: shapes, products, vectors over the ranks, straight-through, errors."""

import copy

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import checks
import oracles_sorting_scans as oracles
import torch_checks
from argrad.sorting import SoftPermutation, soft_permutation

METHODS = ("softsort", "laplace")
MASK = np.array([[1, 1, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]], bool)
OFFSETS = np.array([0, 3, 3, 7])


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def dense(method, x, temperature=0.5, **options):
    lists = 1 if options.get("offsets") is None else len(options["offsets"]) - 1
    return oracles.matrix(method, x, np.full((len(x), lists), temperature), **options)


CASES = [
    {"descending": descending, "mask": mask, "offsets": offsets}
    for descending in (False, True)
    for mask in (None, MASK)
    for offsets in (None, OFFSETS)
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", CASES, ids=lambda case: "-".join(k for k, v in case.items() if v is not None))
def test_everything_is_what_the_matrix_gives(method, options):
    x, V, v = draw(3, 7), draw(3, 7, 4, seed=1), draw(3, 7, seed=2)
    P, D = soft_permutation(x, method=method, temperature=0.5, **options), dense(method, x, **options)
    T = np.swapaxes(D, 1, 2)
    for found, exact in (
        (P.to_dense(), D),
        (P @ V, D @ V),
        (P @ v, (D @ v[..., None])[..., 0]),
        (P.mT @ V, T @ V),
        (P.mT @ v, (T @ v[..., None])[..., 0]),
    ):
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10)
    numbers = np.zeros_like(x)
    for row, first, items in oracles.lists_of(x, options["mask"], options["offsets"]):
        numbers[row, first : first + len(items)] = np.arange(1, len(items) + 1)
    np.testing.assert_allclose(P.expected_rank(), (T @ numbers[..., None])[..., 0], rtol=0, atol=1e-10)
    counts = np.zeros_like(x)
    for row, first, items in oracles.lists_of(x, options["mask"], options["offsets"]):
        counts[row, first : first + len(items)] = len(items)
    for k in (0, 2, 7):
        chosen = (numbers > 0) & (numbers <= k) if options["descending"] else (numbers > 0) & (numbers > counts - k)
        np.testing.assert_allclose(P.top_mass(k), (T @ chosen[..., None].astype(float))[..., 0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_rows_sum_to_one_and_those_of_laplace_columns_too(method):
    P = soft_permutation(draw(4, 50), method=method, temperature=np.array([1e-8, 0.1, 3.0, 1e8])).to_dense()
    np.testing.assert_allclose(P.sum(-1), 1, rtol=1e-13)
    if method == "laplace":
        np.testing.assert_allclose(P.sum(-2), 1, rtol=1e-12)
    assert P.min() >= -1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_the_list_dimension_may_be_anywhere(method, dim):
    x, V = draw(4, 5, 6), draw(4, 5, 6, 2, seed=1)
    P = soft_permutation(x, method=method, dim=dim)
    moved, at = np.moveaxis(x, dim, -1), dim % 3
    Q = soft_permutation(moved, method=method)
    assert P.shape == Q.shape == (*moved.shape, moved.shape[-1])
    np.testing.assert_array_equal(P.to_dense(), Q.to_dense())
    np.testing.assert_array_equal(P @ x, np.moveaxis(Q @ moved, -1, dim))
    np.testing.assert_array_equal(P.mT @ V, np.moveaxis(Q.mT @ np.moveaxis(V, at, -2), -2, at))
    np.testing.assert_array_equal(P.top_mass(2), np.moveaxis(Q.top_mass(2), -1, dim))
    np.testing.assert_array_equal(P.expected_rank(), np.moveaxis(Q.expected_rank(), -1, dim))


def test_top_mass_takes_a_number_per_list():
    x, k = draw(3, 5), np.array([0, 2, 5])
    P = soft_permutation(x, method="laplace")
    expected = np.stack([soft_permutation(row, method="laplace").top_mass(int(q)) for row, q in zip(x, k, strict=True)])
    np.testing.assert_array_equal(P.top_mass(k), expected)
    Q = soft_permutation(torch.from_numpy(x), method="laplace")
    np.testing.assert_array_equal(Q.top_mass(torch.from_numpy(k)).numpy(), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", CASES, ids=lambda case: "-".join(k for k, v in case.items() if v is not None))
def test_straight_through_is_hard_forward_and_soft_backward(method, options):
    x = torch.from_numpy(draw(3, 7)).requires_grad_()
    V = torch.from_numpy(draw(3, 7, 2, seed=1)).requires_grad_()
    options = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    P = soft_permutation(x, method=method, straight_through=True, **options)
    Q = soft_permutation(x, method=method, **options)
    D = oracles.hard(x.detach().numpy(), **{k: v.numpy() if torch.is_tensor(v) else v for k, v in options.items()})
    D, n = torch.from_numpy(D), 7
    for hard, soft, exact in (
        (P @ V, Q @ V, D @ V),
        (P.mT @ V, Q.mT @ V, D.mT @ V),
        (P.to_dense(), Q.to_dense(), D),
        (P.top_mass(n), Q.top_mass(n), D.sum(-2)),
        (P.expected_rank(), Q.expected_rank(), None),
    ):
        if exact is not None:
            assert torch.equal(hard.detach(), exact.detach())
        assert torch.equal(hard.detach(), hard.detach().round()) or hard.shape == V.shape
        g = torch.cos(torch.arange(hard.numel(), dtype=hard.dtype)).reshape(hard.shape)
        inputs = [x, V] if hard.shape == V.shape else [x]
        assert_close(torch.autograd.grad(hard, inputs, g), torch.autograd.grad(soft, inputs, g))
    same = soft_permutation(x.detach().numpy(), method=method, straight_through=True) @ V.detach().numpy()
    again = soft_permutation(x.detach(), method=method, straight_through=True) @ V.detach()
    np.testing.assert_array_equal(same, again.numpy())


def transforms(x, V, straight_through):
    P = soft_permutation(x, method="softsort", descending=True, straight_through=straight_through)
    return P @ V, P.mT @ V[..., 0], P.top_mass(2), P.expected_rank(), P.to_dense()


@pytest.mark.parametrize("straight_through", [False, True])
def test_functions_that_build_one_compile_and_vmap(straight_through):
    x, V = (torch.from_numpy(draw(*shape)) for shape in ((3, 7), (3, 7, 2)))
    eager = transforms(x, V, straight_through)
    torch.compiler.reset()
    compiled = torch.compile(transforms, fullgraph=True, dynamic=True, backend="aot_eager")
    assert_close(compiled(x, V, straight_through), eager)
    y, U = torch.from_numpy(draw(2, 9)), torch.from_numpy(draw(2, 9, 2))
    assert_close(compiled(y, U, straight_through), transforms(y, U, straight_through))
    assert_close(torch.vmap(lambda x, V: transforms(x, V, straight_through))(x, V), eager)


def test_a_product_under_torch_matmul_and_copies():
    x, V = torch.from_numpy(draw(3, 7)), torch.from_numpy(draw(3, 7, 2))
    P = soft_permutation(x, method="laplace")
    assert torch.equal(torch.matmul(P, V), P @ V)
    Q = copy.deepcopy(P)
    assert torch.equal(Q @ V, P @ V)
    x.zero_()
    assert not torch.equal(Q @ V, P @ V)
    assert repr(P) == "SoftPermutation(method='laplace', shape=(3, 7, 7))"
    assert repr(P.mT) == repr(P) + ".mT"
    assert P.mT.shape == (3, 7, 7)
    assert P.mT.mT is P
    assert isinstance(P, SoftPermutation)
    for product in (lambda: V @ P, lambda: V.numpy() @ soft_permutation(x.numpy(), method="laplace")):
        with pytest.raises(TypeError):
            product()


def test_halves_and_large_ranks():
    x = torch.from_numpy(draw(1, 3000)).half()
    ranks = soft_permutation(x, method="laplace", temperature=1e-4).expected_rank()
    assert ranks.dtype == torch.float16
    assert ranks.isfinite().all()
    assert ranks.max() == 3000


def test_bad_input_is_refused_in_one_sentence():
    x, name = draw(3, 7), "soft_permutation"
    refused = [
        (ValueError, {"method": "quicksort"}, "method"),
        (ValueError, {"method": "softsort", "k": 3}, "k"),
        (ValueError, {"method": "softsort", "steepness": 3.0}, "steepness"),
        (ValueError, {"method": "laplace", "tolerance": 1e-3}, "tolerance"),
        (TypeError, {"method": "softsort", "descending": 1}, "descending"),
        (TypeError, {"method": "softsort", "straight_through": None}, "straight_through"),
        (ValueError, {"method": "softsort", "temperature": 0.0}, "temperature"),
        (ValueError, {"method": "laplace", "temperature": np.nan}, "temperature"),
        (ValueError, {"method": "softsort", "temperature": np.ones(4)}, "temperature"),
        (ValueError, {"method": "softsort", "dim": 2}, "dim"),
        (ValueError, {"method": "softsort", "mask": np.ones((3, 6), bool)}, "mask"),
    ]
    for error, options, argument in refused:
        checks.raises_sentence(error, lambda options=options: soft_permutation(x, **options), name, argument)
    for bad in (np.array([1.0, -1.0, 1.0]), np.array([1.0, np.nan, 1.0]), np.array([1.0, np.inf, 1.0])):
        P = soft_permutation(x, method="softsort", temperature=bad)
        checks.raises_sentence(ValueError, lambda P=P: P @ x, name, "temperature")
    for offsets in ([0, 3], [1, 7], [0, 5, 3, 7]):
        P = soft_permutation(x, method="softsort", offsets=np.array(offsets))
        with pytest.raises(ValueError, match="soft_permutation: offsets must"):
            P @ x


def test_bad_operands_are_refused_in_one_sentence():
    x = draw(3, 7)
    P = soft_permutation(x, method="softsort")
    for error, V in (
        (ValueError, x[:, :6]),
        (ValueError, x[0]),
        (ValueError, np.ones((3, 7, 0))),
        (ValueError, np.ones((3, 7, 2, 2))),
        (TypeError, x.astype(np.float32)),
        (TypeError, x.astype(int)),
        (TypeError, torch.from_numpy(x)),
        (TypeError, x.tolist()),
    ):
        checks.raises_sentence(error, lambda V=V: P @ V, "SoftPermutation @ V", "V")
        checks.raises_sentence(error, lambda V=V: P.mT @ V, "SoftPermutation.mT @ U", "U")
    for error, k in (
        (ValueError, -1),
        (ValueError, 8),
        (TypeError, 2.0),
        (TypeError, True),
        (TypeError, np.ones(3)),
        (ValueError, np.ones(2, int)),
    ):
        checks.raises_sentence(error, lambda k=k: P.top_mass(k), "top_mass", "k")
    ragged = soft_permutation(x, method="softsort", offsets=OFFSETS)
    checks.raises_sentence(ValueError, lambda: ragged.top_mass(np.ones(3, int)), "top_mass", "k")
    checks.raises_sentence(ValueError, lambda: P.sinkhorn(iterations=3), "sinkhorn", "method")


def inputs(size, seed):
    generator = torch.Generator().manual_seed(seed)
    x, V = torch.randn((2, size), generator=generator).double(), torch.randn((2, size, 2), generator=generator).double()
    return x, V, torch.rand(2, generator=generator).double() + 0.5


def row(method, transposed):
    def call(x, V, temperature):
        P = soft_permutation(x, method=method, temperature=temperature, descending=transposed)
        return (P.mT if transposed else P) @ V

    def arguments(tensors):
        x, V, temperature = tensors
        options = (None, None, "soft_permutation", method, transposed, transposed)
        return (x, V, temperature[:, None], *options)

    return torch_checks.Row(
        name=f"{method}, transposed {transposed}",
        call=call,
        inputs=inputs,
        differentiable=(0, 1, 2),
        raw=lambda: torch.ops.argrad.scan_product.default,
        arguments=arguments,
    )


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("transposed", [False, True], ids=["P @ V", "P.mT @ U"])
@pytest.mark.parametrize("method", METHODS)
def test_torch(method, transposed, check):
    check(row(method, transposed))
