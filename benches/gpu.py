"""The table of kernels on a GPU: ours beside a rival on the same device, with a check beside every ratio.

    python -m benches.gpu                     every row, on the current GPU
    python -m benches.gpu --rows sort topk    rows whose name contains one of the words
    python -m benches.gpu --device cpu --quick   small inputs on the host: shows that everything runs, nothing else

A job is what a user's step would do, and the device has finished when the clock is read. Minima of runs in turn, after
a warm-up that compiles.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

from benches.beside import Case, apart, best

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: `case(device, quick)` makes its inputs there; the rival's time must be `must` times ours."""

    name: str
    job: str
    size: str
    rival: str
    must: float
    case: Callable[[str, bool], Case]


def _forward_backward(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> Callable[[], list[torch.Tensor]]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]

    def job() -> list[torch.Tensor]:
        value = function(*leaves)
        upstream = torch.linspace(-1, 1, value.numel(), dtype=value.dtype, device=value.device).reshape(value.shape)
        return [value.detach(), *torch.autograd.grad(value, leaves, upstream)]

    return job


def _normal(*shape: int, device: str, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, device=device, generator=torch.Generator(device).manual_seed(seed))


def _equal(found: torch.Tensor, wanted: torch.Tensor, what: str) -> str:
    """Say how many of our results on a device are those of the host."""
    return f"{int((found.cpu() == wanted).sum())} of {wanted.numel()} {what} are the host's"


def _kmeans_plusplus(device: str, quick: bool) -> Case:
    from argrad.seeding import kmeans_plusplus

    n, d, k = (2_000, 16, 20) if quick else (10**7, 128, 1000)
    x = _normal(n, d, device=device)
    one, copy = x[: max(1, n // 10)], torch.empty_like(x[: max(1, n // 10)])

    def passes() -> None:
        # A pass of a sequential implementation reads the points once; a copy of a tenth reads and writes a fifth.
        copy.copy_(one)

    # A copy of n / 10 rows moves the bytes of n / 5: k passes over n rows take 5 k times as long.
    def check(indices: torch.Tensor, _: None) -> str:
        return _equal(indices, kmeans_plusplus(x.cpu(), k, random_state=0)[1], "indices")

    return Case(lambda: kmeans_plusplus(x, k, random_state=0)[1], passes, check, scale=5.0 * k)


def _soft_rank(b: int, n: int) -> Callable[[str, bool], Case]:
    def case(device: str, quick: bool) -> Case:
        from argrad.sorting import soft_rank

        x = _normal(b, 50 if quick else n, device=device)
        exact = _forward_backward(lambda x: soft_rank(x, strength=1.0), x.double())()
        ours = _forward_backward(lambda x: soft_rank(x, strength=1.0), x)
        return Case(ours, lambda: torch.sort(x), lambda a, _: f"against float64: {apart(a, exact)}")

    return case


def _softsort(device: str, quick: bool) -> Case:
    from argrad.sorting import soft_permutation
    from benches.benchmarks._rivals_sorting_scans import softsort_product

    x = _normal(4, 50 if quick else 4000, device=device)
    v = _normal(*x.shape, device=device, seed=1)

    def ours(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return soft_permutation(x, method="softsort") @ v

    return Case(_forward_backward(ours, x, v), _forward_backward(lambda x, v: softsort_product(x, v, 1.0), x, v), apart)


def _soft_topk(device: str, quick: bool) -> Case:
    from argrad.sorting import soft_topk
    from benches.benchmarks._rivals_sorting_topk import sinkhorn_topk

    x = _normal(64, 50 if quick else 4000, device=device)
    # The logistic form with half the temperature is the plan of entropic transport to two targets.
    ours = _forward_backward(lambda x: soft_topk(x, 10, kind="logistic", temperature=0.1), x)
    return Case(ours, _forward_backward(lambda x: sinkhorn_topk(x, 10, 0.2), x), apart)


def _betti(device: str, quick: bool) -> Case:
    import argrad
    from argrad.losses.topology import betti_matching_loss

    side, b = (16, 2) if quick else (512, 32)
    smooth = torch.nn.functional.avg_pool2d
    x, y = (smooth(_normal(b, 1, side, side, device=device, seed=s), 7, 1, 3).sigmoid() for s in (0, 1))
    target = (y > y.mean()).to(x.dtype)
    argrad.set_num_threads(16)
    on_host = _forward_backward(lambda x: betti_matching_loss(x, target.cpu(), spatial_dims=2), x.cpu())
    ours = _forward_backward(lambda x: betti_matching_loss(x, target, spatial_dims=2), x)
    return Case(ours, on_host, lambda a, b: apart([x.cpu() for x in a], b))


def _decode(device: str, quick: bool) -> Case:
    from argrad.decoding import bregman_decode

    x = _normal(64, 1000 if quick else 131_072, device=device)

    def theirs() -> torch.Tensor:
        values, places = torch.topk(x, 50)
        return places.gather(-1, torch.multinomial(torch.softmax(values, -1), 1))

    def check(tokens: torch.Tensor, _: torch.Tensor) -> str:
        return _equal(tokens, bregman_decode(x.cpu(), k=50, seed=0)[0], "tokens")

    return Case(lambda: bregman_decode(x, k=50, seed=0)[0], theirs, check)


def _entmax(device: str, quick: bool) -> Case:
    import entmax as rival

    from argrad.decoding import entmax

    x = _normal(8 if quick else 4096, 100 if quick else 32_768, device=device)
    return Case(lambda: [entmax(x, 1.5)], lambda: [rival.entmax15(x, dim=-1)], apart)


ROWS = [
    Row("kmeans", "exact k-means++, k = 1000", "10^7 x 128", "1000 passes at the copy bandwidth", 50, _kmeans_plusplus),
    *[
        Row("soft-rank", "soft_rank, forward and backward", f"{b} x {n}", "torch.sort", 0.5, _soft_rank(b, n))
        for b, n in ((1024, 1000), (64, 10_000), (8, 100_000))
    ],
    Row("softsort", "SoftSort P @ v, forward and backward", "4 x 4000", "dense torch", 20, _softsort),
    Row("soft-topk", "soft_topk, forward and backward", "64 x 4000", "entropic transport in torch", 20, _soft_topk),
    Row("betti", "Betti matching loss, forward and backward", "32 x 512^2", "our CPU path, 16 threads", 10, _betti),
    Row("decode", "bregman_decode, k = 50", "64 x 131072", "torch.topk, softmax, multinomial", 3, _decode),
    Row("entmax", "entmax 1.5", "4096 x 32768", "entmax.entmax15", 10, _entmax),
]


def _waited(job: Callable[[], Any], device: str) -> Callable[[], Any]:
    if device == "cpu":
        return job

    def waited() -> Any:
        result = job()
        torch.cuda.synchronize()
        return result

    return waited


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure kernels on a GPU beside rivals.")
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.device == "cuda":
        print(torch.cuda.get_device_name(), "torch", torch.__version__, "CUDA", torch.version.cuda)
    failed, started = [], time.perf_counter()
    print("| job | size | ours | rival | its time | ratio | must | check |\n" + "|---" * 8 + "|")
    for row in ROWS:
        if args.rows and not any(word in row.name for word in args.rows):
            continue
        try:
            case = row.case(args.device, args.quick)
            jobs = [_waited(case.ours, args.device), _waited(case.theirs, args.device)]
            (ours_s, ours), (rival_s, theirs) = best(jobs)
            check, ratio = case.check(ours, theirs), case.scale * rival_s / ours_s
        except Exception as error:
            print(f"| {row.job} | {row.size} | failed: {type(error).__name__}: {error} |", flush=True)
            failed.append(row.name)
            continue
        met = "" if args.quick else " met" if ratio >= row.must else " **missed**"
        cells = [row.job, row.size, f"{ours_s * 1e3:.3g} ms", row.rival, f"{case.scale * rival_s * 1e3:.3g} ms"]
        print("| " + " | ".join([*cells, f"{ratio:.3g}x", f"{row.must}x{met}", check]) + " |", flush=True)
    print(f"{time.perf_counter() - started:.0f} s")
    if failed:
        sys.exit(f"benches.gpu: failed rows: {', '.join(failed)}")


if __name__ == "__main__":
    main()
