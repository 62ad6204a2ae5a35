"""How two jobs are timed beside each other, for the tables of operators and losses.

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
TURN = 0.01  # seconds of one job before it is the other's turn
SECONDS = 2.0  # at least so long, or until there are enough repeats


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement: two functions without arguments, and a sentence on how their results compare."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    check: Callable[[Any, Any], str]
    scale: float = 1.0  # how many times the rival's job is smaller than ours: its time is extrapolated by this


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


def errors(exact: Sequence[torch.Tensor]) -> Callable[[Any, Any], str]:
    """Return a check: how far the values and gradients of both are from those of our float64 run."""

    def check(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> str:
        parts = [
            ", ".join(f"{(y - z.double()).abs().max().item():.1e}" for y, z in zip(exact, found, strict=True))
            for found in (ours, theirs)
        ]
        return f"largest error against float64 (value, gradient): ours {parts[0]}; rival {parts[1]}"

    return check


def best(jobs: Sequence[Callable[[], Any]]) -> list[tuple[float, Any]]:
    """Return the shortest time and the last result of each job, run in turn."""
    results = [job() for job in jobs]
    times = [float("inf")] * len(jobs)
    started, count = time.perf_counter(), 0
    while count < REPEATS or time.perf_counter() - started < SECONDS:
        for i, job in enumerate(jobs):
            turn = time.perf_counter()
            # A short job runs more than once: the first time it finds the rival's data in the caches.
            while True:
                before = time.perf_counter()
                results[i] = job()
                after = time.perf_counter()
                times[i] = min(times[i], after - before)
                if after - turn > TURN:
                    break
        count += 1
        if time.perf_counter() - started > 20 * SECONDS:
            break
    return list(zip(times, results, strict=True))


def forward(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> Callable[[], list[torch.Tensor]]:
    """Return a job: the value of `function`, without gradients."""

    def job() -> list[torch.Tensor]:
        with torch.no_grad():
            return [function(*inputs)]

    return job


def inputs(rows: Sequence[Row], words: list[str]) -> list[str]:
    """Return the groups that the wanted rows belong to, in order."""
    return list(dict.fromkeys(row.group for row in rows if _wanted(words, row)))


def _wanted(words: list[str], row: Row) -> bool:
    return not words or any(word in row.name or word == row.group for word in words)


def _run(row: Row, threads: int, quick: bool) -> None:
    case = row.case(quick)
    (ours_s, ours), (rival_s, theirs) = best([case.ours, case.theirs])
    rival_s *= case.scale
    result = {
        "name": row.name, "data": row.group, "hash": "", "threads": threads, "job": row.job, "n": row.size, "d": 0,
        "k": "", "rival": row.rival, "must": None if quick else row.must, "stretch": None if quick else row.stretch,
        "extrapolated": case.scale != 1, "control": False, "ours_s": ours_s, "rival_s": rival_s,
        "ratio": rival_s / ours_s, "check": case.check(ours, theirs),
    }  # fmt: skip
    print(json.dumps(result), flush=True)


def measure(rows: Sequence[Row], group: str, threads: int, args: argparse.Namespace) -> None:
    """Measure the wanted rows of one group and print each as a line of JSON."""
    import argrad

    torch.set_num_threads(threads)
    argrad.set_num_threads(threads)
    failed = []
    for row in rows:
        if row.group != group or not _wanted(args.rows, row) or row.threads not in (None, threads):
            continue
        try:
            _run(row, threads, args.quick)
        except Exception as error:
            print(f"{row.name} failed: {type(error).__name__}: {error}", flush=True)
            failed.append(row.name)
    if failed:
        sys.exit(f"benches.table: {group} with {threads} threads: failed rows: {', '.join(failed)}")
