"""The rows of the table that measure the operators on lists and the losses on them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import torch

from benches.beside import Case, Row, apart, errors, forward, forward_backward

if TYPE_CHECKING:
    from collections.abc import Callable


def _scores(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _against_torchsort(
    name: str, regularization: str, shape: tuple[int, int], strength: float = 1.0
) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        import torchsort

        from argrad import sorting

        x = _scores(shape[0], shape[1] // (10 if quick else 1))
        ours = lambda x: getattr(sorting, name)(x, regularization=regularization, strength=strength)  # noqa: E731
        rival = lambda x: getattr(torchsort, name)(  # noqa: E731
            x, regularization=regularization, regularization_strength=strength
        )
        return Case(forward_backward(ours, x), forward_backward(rival, x), errors(forward_backward(ours, x.double())()))

    return case


def _against_sort(shape: tuple[int, int]) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from argrad.sorting import soft_rank

        x = _scores(shape[0], shape[1] // (10 if quick else 1))
        return Case(forward_backward(soft_rank, x), lambda: torch.sort(x), lambda a, b: "another job: sorts only")

    return case


def _product(
    method: str, shape: tuple[int, int], rival: Callable[..., torch.Tensor], backward: bool = True, **options: Any
) -> Callable[[bool], Case]:
    """P @ v for vectors v that are no function of x."""

    def case(quick: bool) -> Case:
        from argrad.sorting import soft_permutation

        x = _scores(shape[0], shape[1] // (4 if quick else 1))
        v = _scores(*x.shape, seed=1)
        run = forward_backward if backward else forward
        return Case(run(lambda x, v: soft_permutation(x, method=method, **options) @ v, x, v), run(rival, x, v), apart)

    return case


def _softsort(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    from benches.benchmarks._rivals_sorting_scans import softsort_product

    return softsort_product(x, v, 1.0)


def _neuralsort_squared(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    n = x.shape[-1]
    sums = (x[:, :, None] - x[:, None, :]).abs().sum(-1)
    multipliers = 2 * torch.arange(1, n + 1, dtype=x.dtype) - n - 1
    return (torch.softmax(multipliers[:, None] * x[:, None, :] - sums[:, None, :], -1) @ v[..., None])[..., 0]


def _neuralsort_cubed(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The literature's form: row sums by a product of two n x n matrices."""
    n = x.shape[-1]
    sums = (x[:, :, None] - x[:, None, :]).abs() @ x.new_ones(n, n)
    multipliers = 2 * torch.arange(1, n + 1, dtype=x.dtype) - n - 1
    return (torch.softmax((x[:, :, None] * multipliers - sums).mT, -1) @ v[..., None])[..., 0]


def _diffsort(form: str, shape: tuple[int, int], transposed: bool) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from argrad.sorting import soft_permutation
        from benches.benchmarks import _rivals_sorting_network as rivals

        x = _scores(shape[0], shape[1] // (4 if quick and form == "bitonic" else 1))
        v = _scores(*x.shape, seed=1)
        net = rivals.network(form, x.shape[1])

        def ours(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            P = soft_permutation(x, method="network", network=form)
            return P.mT @ v if transposed else P @ v

        theirs = lambda x, v: rivals.product(net, x, v[..., None], transposed)[..., 0]  # noqa: E731
        return Case(forward_backward(ours, x, v), forward_backward(theirs, x, v), apart)

    return case


def _topk(kind: str, backward: bool) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from argrad.sorting import soft_topk
        from benches.benchmarks import _rivals_sorting_topk as rivals

        x = _scores(64, 1000)
        run = forward_backward if backward else forward
        temperature = 0.1
        if kind == "logistic":
            rival = run(lambda x: rivals.sinkhorn_topk(x, 10, 2 * temperature), x)
        else:
            rival = run(lambda x: rivals.lapsum_topk(x, 10, temperature), x)
        ours = run(lambda x: soft_topk(x, 10, kind=kind, temperature=temperature), x)

        def check(a: list[torch.Tensor], b: list[torch.Tensor]) -> str:
            sums = [(y[0].double().sum(-1) - 10).abs().max().item() for y in (a, b)]
            return f"{apart(a, b)}; sums off by: ours {sums[0]:.1e}, rival {sums[1]:.1e}"

        return Case(ours, rival, check)

    return case


def _pairs(quick: bool) -> Case:
    from argrad.sorting import pairwise_sum
    from benches.benchmarks import _rivals_sorting_pairwise as rivals

    n = 1000 if quick else 10_000
    x, y = _scores(n), _scores(n, seed=1)
    ours = forward_backward(lambda x, y: pairwise_sum(x, y, kernel="softplus"), x, y)
    return Case(ours, forward_backward(lambda x, y: rivals.dense(x, y, kernel="softplus"), x, y), apart)


def _million_pairs(quick: bool) -> Case:
    from argrad.sorting import pairwise_sum
    from benches.benchmarks import _rivals_sorting_pairwise as rivals

    n, small = (100_000, 1000) if quick else (1_000_000, 10_000)
    x, y = _scores(n), _scores(n, seed=1)
    rival = forward_backward(lambda x, y: rivals.dense(x, y, kernel="softplus"), x[:small], y[:small])

    def check(a: list[torch.Tensor], b: list[torch.Tensor]) -> str:
        some = slice(0, n, n // 50)
        exact = torch.stack([torch.nn.functional.softplus(z - y.double()).sum() for z in x[some].double()])
        return f"relative error of 50 sums: {((a[0][some] - exact) / exact).abs().max().item():.1e}"

    ours = forward_backward(lambda x, y: pairwise_sum(x, y, kernel="softplus"), x, y)
    return Case(ours, rival, check, scale=(n / small) ** 2)


MEMORY = """
import re, sys, torch
from argrad.sorting import soft_permutation

def read(name):
    return int(re.search(name + r":\\s*(\\d+) kB", open("/proc/self/status").read()).group(1)) * 1024

def run(n):
    x, v = (torch.randn(1, n, requires_grad=True) for _ in range(2))
    g, before = torch.ones(1, n), read("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    torch.autograd.grad(soft_permutation(x, method="softsort") @ v, [x, v], g)
    return read("VmHWM") - before

run(100)
print(run(int(sys.argv[1])))
"""


def _million_softsort(quick: bool) -> Case:
    from argrad.sorting import soft_permutation

    n, small = (100_000, 1000) if quick else (1_000_000, 4000)
    x, v = _scores(1, n), _scores(1, n, seed=1)
    rival = forward_backward(_softsort, x[:, :small], v[:, :small])

    def check(a: list[torch.Tensor], b: list[torch.Tensor]) -> str:
        some, scores = slice(0, n, n // 50), x[0].double()
        weights = (-(scores.sort().values[some, None] - scores).abs()).exp()
        exact = weights @ v[0].double() / weights.sum(1)
        apart = (a[0][0, some] - exact).abs().max() / exact.abs().max()
        command = [sys.executable, "-P", "-c", MEMORY, str(n)]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return f"relative error of 50 sums: {apart.item():.1e}; peak memory beyond the inputs: {peak / 1e6:.0f} MB"

    ours = forward_backward(lambda x, v: soft_permutation(x, method="softsort") @ v, x, v)
    return Case(ours, rival, check, scale=(n / small) ** 2)


def _mann_whitney(quick: bool) -> Case:
    from argrad.losses.ranking import mann_whitney_loss
    from benches.benchmarks import _rivals_losses as rivals

    x = _scores(2000 if quick else 20_000)
    positive = torch.arange(len(x)) % 2 == 0
    ours = forward_backward(lambda x: mann_whitney_loss(x, positive), x)
    return Case(ours, forward_backward(lambda x: rivals.dense_mann_whitney(x, positive), x), apart)


def _neural_ndcg(quick: bool) -> Case:
    from argrad.losses.ranking import neural_ndcg_loss
    from benches.benchmarks import _rivals_losses as rivals
    from benches.benchmarks.losses import saved_bytes

    x = _scores(16, 240)
    relevance = torch.randint(0, 5, x.shape, generator=torch.Generator().manual_seed(2))
    ours = lambda x: neural_ndcg_loss(x, relevance, max_iterations=50, tolerance=0.0)  # noqa: E731
    theirs = lambda x: rivals.allrank_neural_ndcg(x, relevance, tolerance=0.0)  # noqa: E731
    leaf = x.clone().requires_grad_()
    kept = [saved_bytes(lambda f=f: f(leaf)) for f in (ours, theirs)]

    def check(a: list[torch.Tensor], b: list[torch.Tensor]) -> str:
        memory = (
            f"kept for backward: ours {kept[0] / 1e6:.2f} MB, rival {kept[1] / 1e6:.0f} MB, {kept[1] / kept[0]:.0f}x"
        )
        return f"{apart(a, b)}; {memory}"

    return Case(forward_backward(ours, x), forward_backward(theirs, x), check)


def _groco(quick: bool) -> Case:
    from argrad.losses.ranking import groco_loss
    from benches.benchmarks import _rivals_losses as rivals

    x = _scores(1024, 11)
    positive = torch.arange(11).expand(x.shape) == 0
    ours = forward_backward(lambda x: groco_loss(x, positive), x)
    return Case(ours, forward_backward(lambda x: rivals.diffsort_groco(x, 1), x), apart)


def _laplace_rank(form: str) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from argrad.sorting import soft_rank
        from benches.benchmarks import _rivals_sorting_scans as rivals

        x = _scores(64, 1000)
        ours = lambda x: soft_rank(x, regularization="laplace")  # noqa: E731
        rival = forward_backward(lambda x: getattr(rivals, f"laplace_rank_{form}")(x, 1.0), x)
        return Case(forward_backward(ours, x), rival, errors(forward_backward(ours, x.double())()))

    return case


BOTH = "forward and backward"
SHAPES = ((4096, 100), (64, 1000), (32, 10_000), (1, 1_000_000))
ROWS: list[Row] = [
    *[
        Row(f"{name}-{regularization}", "soft ranks", f"{name} {regularization}, forward and backward", f"{b} x {n}",
            "torchsort 0.1.10", _against_torchsort(name, regularization, (b, n)), must, stretch)
        for regularization, must, stretch in (("l2", 3, 8), ("kl", 4, 10))
        for name in ("soft_rank", "soft_sort")
        for b, n in SHAPES
    ],
    *[
        Row("soft_rank-l2-blocks", "soft ranks", f"soft_rank l2, strength 4 / n: many blocks, {BOTH}", f"{b} x {n}",
            "torchsort 0.1.10", _against_torchsort("soft_rank", "l2", (b, n), 4 / n), 3, 8)
        for b, n in SHAPES
    ],
    *[
        Row("torch-sort", "soft ranks", "soft_rank l2, forward and backward", f"{b} x {n}", "torch.sort, forward alone",
            _against_sort((b, n)), 1, 3)
        for b, n in SHAPES[1:]
    ],
    *[
        Row("laplace-rank", "soft ranks", f"soft_rank laplace, {BOTH}", "64 x 1000",
            f"LapSum's formula in torch, {name}", _laplace_rank(form), must, stretch)
        for form, name, must, stretch in (("dense", "n x n", 10, 30), ("sorted", "by sort and cumsum", None, None))
    ],
    Row("softsort", "permutations", f"SoftSort P @ v, {BOTH}", "4 x 1000", "dense torch",
        _product("softsort", (4, 1000), _softsort), 300),
    Row("softsort", "permutations", f"SoftSort P @ v, {BOTH}", "1 x 4000", "dense torch",
        _product("softsort", (1, 4000), _softsort), None, 3000),
    Row("softsort-million", "permutations", f"SoftSort P @ v, {BOTH}", "1 x 10^6", "dense torch", _million_softsort),
    *[
        Row("neuralsort", "permutations", "NeuralSort P @ v, forward", f"{b} x {n}", rival,
            _product("neuralsort", (b, n), function, backward=False), must, stretch)
        for b, n, rival, function, must, stretch in (
            (4, 1000, "n^2 torch", _neuralsort_squared, 14, None),
            (4, 1000, "allRank's n^3 form", _neuralsort_cubed, 38, None),
            (1, 4000, "n^2 torch", _neuralsort_squared, None, 100),
            (1, 4000, "allRank's n^3 form", _neuralsort_cubed, None, 500),
        )
    ],
    Row("bitonic", "permutations", f"bitonic network P @ v, {BOTH}", "1 x 512", "diffsort 0.2.0",
        _diffsort("bitonic", (1, 512), False), 300, 1000),
    Row("odd-even", "permutations", f"odd-even network P^T v, {BOTH}", "1024 x 11", "diffsort 0.2.0",
        _diffsort("odd_even", (1024, 11), True), 100, 136),
    *[
        Row("topk", "top-k", f"soft_topk {kind}, k=10, {what}", "64 x 1000", rival, _topk(kind, backward), must,
            stretch)
        for backward, what in ((False, "forward"), (True, BOTH))
        for kind, rival, must, stretch in (
            ("logistic", "200 Sinkhorn iterations in torch", 200, 400),
            ("laplace", "LapSum top-k in torch", 5, 15),
        )
    ],
    Row("pairs", "pairs and losses", f"pairwise_sum softplus, {BOTH}", "10^4 x 10^4", "dense torch", _pairs, 300),
    Row("trillion", "pairs and losses", f"pairwise_sum softplus, {BOTH}", "10^6 x 10^6", "dense torch", _million_pairs,
        threads=None),
    Row("mann-whitney", "pairs and losses", f"mann_whitney_loss, {BOTH}", "10^4 x 10^4", "dense torch", _mann_whitney,
        300, 1000),
    Row("neural-ndcg", "pairs and losses", f"neural_ndcg_loss, 50 iterations, {BOTH}", "16 x 240",
        "allRank's formulas in torch", _neural_ndcg, 30, 60),
    Row("groco", "pairs and losses", f"groco_loss, {BOTH}", "1024 x 11", "the same on diffsort 0.2.0", _groco, 100,
        136),
]  # fmt: skip
