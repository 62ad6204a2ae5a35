"""The rows of the table that measure the operators on lists and the losses on them.

A row is a job of ours and the same job of a rival, timed in turn in one process: the minimum of their repeats, after a
warm-up, and beside it how far the results of the two are apart.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

REPEATS = 7
SECONDS = 2.0  # at least so long, or until there are enough repeats


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement: two functions without arguments, and a sentence on how their results compare."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    check: Callable[[Any, Any], str]


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: `case(quick)` makes its inputs; `threads` restricts it to so many."""

    name: str
    group: str
    job: str
    size: str
    rival: str
    case: Callable[[bool], Case]
    must: float | None = None
    stretch: float | None = None
    threads: int | None = 1


def forward_backward(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> Callable[[], list[torch.Tensor]]:
    """Return a job: the value of `function`, and its gradient to all inputs for one fixed upstream gradient."""
    leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    wanted = [x for x in leaves if x.requires_grad]
    upstream: list[torch.Tensor] = []

    def job() -> list[torch.Tensor]:
        value = function(*leaves)
        if not upstream:
            upstream.append(torch.linspace(-1, 1, value.numel(), dtype=value.dtype).cos().reshape(value.shape))
        return [value.detach(), *torch.autograd.grad(value, wanted, upstream[0])]

    return job


def apart(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> str:
    """Say how far values and gradients are apart, relative to the largest."""
    names = ["value", *["gradient"] * (len(ours) - 1)]
    parts = []
    for name, a, b in zip(names, ours, theirs, strict=True):
        difference, size = (a.double() - b.double()).abs().max(), b.double().abs().max()
        parts.append(f"{name} {(difference / size).item():.1e}")
    return "relative difference: " + ", ".join(parts)


def best(jobs: Sequence[Callable[[], Any]]) -> list[tuple[float, Any]]:
    """Return the shortest time and the last result of each job, run in turn."""
    results = [job() for job in jobs]
    times = [float("inf")] * len(jobs)
    started, count = time.perf_counter(), 0
    while count < REPEATS or time.perf_counter() - started < SECONDS:
        for i, job in enumerate(jobs):
            before = time.perf_counter()
            results[i] = job()
            times[i] = min(times[i], time.perf_counter() - before)
        count += 1
        if time.perf_counter() - started > 20 * SECONDS:
            break
    return list(zip(times, results, strict=True))


def _scores(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _against_torchsort(name: str, regularization: str, shape: tuple[int, int]) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        import torchsort

        from argrad import sorting

        x = _scores(shape[0], shape[1] // (10 if quick else 1))
        ours = lambda x: getattr(sorting, name)(x, regularization=regularization)  # noqa: E731
        rival = lambda x: getattr(torchsort, name)(x, regularization=regularization)  # noqa: E731
        exact = forward_backward(ours, x.double())()

        def check(a: list[torch.Tensor], b: list[torch.Tensor]) -> str:
            errors = [
                [(y - z.double()).abs().max().item() for y, z in zip(exact, found, strict=True)] for found in (a, b)
            ]
            return "largest error against float64 (value, gradient): ours {:.1e}, {:.1e}; rival {:.1e}, {:.1e}".format(
                *errors[0], *errors[1]
            )

        return Case(forward_backward(ours, x), forward_backward(rival, x), check)

    return case


def _against_sort(shape: tuple[int, int]) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from argrad.sorting import soft_rank

        x = _scores(shape[0], shape[1] // (10 if quick else 1))
        return Case(forward_backward(soft_rank, x), lambda: torch.sort(x), lambda a, b: "another job: sorts only")

    return case


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
        Row("torch-sort", "soft ranks", "soft_rank l2, forward and backward", f"{b} x {n}", "torch.sort, forward alone",
            _against_sort((b, n)), 1, 3)
        for b, n in SHAPES[1:]
    ],
]  # fmt: skip


def inputs(words: list[str]) -> list[str]:
    """Return the groups that the wanted rows belong to, in order."""
    return list(dict.fromkeys(row.group for row in ROWS if _wanted(words, row)))


def _wanted(words: list[str], row: Row) -> bool:
    return not words or any(word in row.name or word == row.group for word in words)


def _run(row: Row, threads: int, quick: bool) -> None:
    case = row.case(quick)
    (ours_s, ours), (rival_s, theirs) = best([case.ours, case.theirs])
    result = {
        "name": row.name, "data": row.group, "hash": "", "threads": threads, "job": row.job, "n": row.size, "d": 0,
        "k": "", "rival": row.rival, "must": None if quick else row.must, "stretch": None if quick else row.stretch,
        "extrapolated": False, "control": False, "ours_s": ours_s, "rival_s": rival_s, "ratio": rival_s / ours_s,
        "check": case.check(ours, theirs),
    }  # fmt: skip
    print(json.dumps(result), flush=True)


def measure(group: str, threads: int, args: argparse.Namespace) -> None:
    """Measure the wanted rows of one group and print each as a line of JSON."""
    import argrad

    torch.set_num_threads(threads)
    argrad.set_num_threads(threads)
    failed = []
    for row in ROWS:
        if row.group != group or not _wanted(args.rows, row) or row.threads not in (None, threads):
            continue
        try:
            _run(row, threads, args.quick)
        except Exception as error:
            print(f"{row.name} failed: {type(error).__name__}: {error}", flush=True)
            failed.append(row.name)
    if failed:
        sys.exit(f"benches.table: {group} with {threads} threads: failed rows: {', '.join(failed)}")
