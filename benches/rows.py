"""The rows of the table: which job, on which input, against whom, and how equality is checked."""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.benchmarks import _data, _quality, _rivals

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

SEEDS = range(3)
OUR_SEEDS = range(5)
ERROR_SEEDS = range(20)
QUICK_ROWS = 20_000
POTENTIAL_ROWS = 100_000  # beyond 10^3 centres the potential is that of so many rows, the same for both


@dataclasses.dataclass(frozen=True)
class Row:
    """One seeding row: `method` of ours, a rival, and the two small k at which the rival is measured."""

    name: str
    job: str
    data: str
    k: int
    rival: str
    must: float | None = None
    stretch: float | None = None
    small: tuple[int, int] | None = None  # None: the rival is run whole
    method: str = "exact"
    rows: int | None = None  # only so many rows of the input
    law: str = "same law"
    control: bool = False
    against_uniform: bool = False  # say how the potential compares with that of random rows


@dataclasses.dataclass(frozen=True)
class Rival:
    """A rival's time for the k of the row, and its potentials at the k that was measured for every seed."""

    seconds: float
    extrapolated: bool
    measured: int
    potentials: list[float]
    note: str = ""


def _both(name: str, job: str, k: int, rival: str, must: float, stretch: float, **more: Any) -> list[Row]:
    return [Row(name, job, data, k, rival, must, stretch, **more) for data in ("lsa", "patches")]


EXACT = "exact k-means++"
ROWS = [
    *_both("onedal", EXACT, 1000, "oneDAL plusPlusDense", 100, 170, small=(50, 150)),
    *_both("faiss", EXACT, 1000, "faiss-cpu k-means++", 250, 450, small=(50, 150)),
    *_both("sklearn", EXACT, 1000, "scikit-learn n_local_trials=1", 450, 800, small=(10, 30)),
    *_both("greedy", "greedy quality", 1000, "scikit-learn greedy", 30, 100, small=(10, 30), method="greedy_coreset",
           law="greedy potential"),
    *_both("onedal10k", EXACT, 10_000, "oneDAL plusPlusDense", 100, 200, small=(50, 150)),
    *_both("again", "one more exact seeding", 1000, "faiss-cpu k-means++", 600, 1000, small=(50, 150), method="again"),
    *_both("afkmc2", EXACT, 1000, "faiss-cpu AFK-MC2 m=50", 3, 6, law="rival approximates the law"),
    Row("rskpp", EXACT, "lsa", 100, "rskpp 10.1", 24, 40),
    Row("rskpp", EXACT, "patches", 100, "rskpp 10.1", 40, 200),
    Row("control-beta", "very high beta, k twice the components", "gmmhi", 2000, "faiss-cpu k-means++", small=(50, 150),
        control=True),
    Row("control-k", "k > n/10", "lsa", 6000, "faiss-cpu k-means++", rows=50_000, small=(100, 400), control=True),
    Row("control-plane", "d = 2", "plane", 1000, "faiss-cpu k-means++", small=(50, 150), control=True),
    Row("control-tiny", "n < 20,000", "digits", 100, "faiss-cpu k-means++", control=True),
    Row("control-noise", "Gaussian noise", "noise", 1000, "faiss-cpu k-means++", small=(50, 150), control=True,
        against_uniform=True),
    Row("control-heavy", "heavy tails", "heavy", 1000, "faiss-cpu k-means++", small=(50, 150), control=True),
]  # fmt: skip
OTHER = {"draw": ["draw"], "selection": ["lsa", "patches"]}

RIVALS: dict[str, _rivals.Seeding] = {
    "oneDAL plusPlusDense": _rivals.onedal,
    "faiss-cpu k-means++": _rivals.faiss_plusplus,
    "faiss-cpu AFK-MC2 m=50": _rivals.faiss_afkmc2,
    "scikit-learn n_local_trials=1": _rivals.sklearn_plain,
    "scikit-learn greedy": lambda x, k, seed: _rivals.sklearn_greedy(x, k, seed, _rivals.greedy_trials(1000)),
    "rskpp 10.1": _rivals.rskpp,
}


def _wanted(words: list[str], name: str, data: str) -> bool:
    return not words or any(word in name or word == data for word in words)


def inputs(words: list[str]) -> list[str]:
    """Return the inputs that the wanted rows need, in order."""
    pairs = [(row.name, row.data) for row in ROWS] + [(name, data) for name in OTHER for data in OTHER[name]]
    return list(dict.fromkeys(data for name, data in pairs if _wanted(words, name, data)))


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of one call and its result."""
    started = time.perf_counter()
    value = function()
    return time.perf_counter() - started, value


def per_center(counts: tuple[int, int], low: float, high: float) -> float:
    """Return the cost of one more centre, never more than the mean cost of the larger run: noise must not favour us."""
    return max(0.0, min((high - low) / (counts[1] - counts[0]), high / counts[1]))


class Bench:
    """All measurements on one input with one number of threads; what rows share is measured once."""

    def __init__(self, data: str, threads: int, quick: bool, full: bool) -> None:
        self.data, self.threads, self.quick, self.full = data, threads, quick, full
        self.x = None if data == "draw" else _data.load(data)
        if quick and self.x is not None:
            self.x = np.ascontiguousarray(self.x[:: max(1, len(self.x) // QUICK_ROWS)])
        self.hash = "" if self.x is None else _data.fingerprint(self.x)
        self.rival_runs: dict[tuple, Rival] = {}

    def emit(self, **fields: Any) -> None:
        """Print one result as a line of JSON."""
        fields = {"must": None, "stretch": None, "extrapolated": False, "control": False, **fields}
        if self.quick:
            fields["must"] = fields["stretch"] = None
        fields["ratio"] = fields["rival_s"] / fields["ours_s"]
        print(json.dumps({"data": self.data, "hash": self.hash, "threads": self.threads, **fields}), flush=True)

    def potential(self, x: np.ndarray, centers: np.ndarray) -> float:
        """Return the potential on all rows, or on the same sample of rows when there are many centres."""
        if len(centers) > 1000:
            x = x[:: max(1, len(x) // POTENTIAL_ROWS)]
        return _quality.potential(x, centers)

    def rival(self, row: Row, x: np.ndarray, k: int) -> Rival:
        """Return the rival's run of the row, measured now unless another row has measured it."""
        small = (5, 15) if self.quick and row.small else row.small
        key = (row.rival, len(x), k, small)
        if key not in self.rival_runs:
            seed = RIVALS[row.rival]
            seed(x[:2000], 5, 0)
            measured = small[1] if small else k
            runs = [timed(lambda s=s: seed(x, measured, s)) for s in SEEDS]
            best, note = min(spent for spent, _ in runs), ""
            if small:
                low = min(timed(lambda s=s: seed(x, small[0], s))[0] for s in SEEDS)
                best += (k - measured) * per_center(small, low, best)
            if small and self.full:
                note = f"; extrapolation from k={small[0]} and {small[1]} says {best:.3g} s"
                best = timed(lambda: seed(x, k, 0))[0]
            potentials = [self.potential(x, centers) for _, centers in runs]
            self.rival_runs[key] = Rival(best, bool(small) and not self.full, measured, potentials, note)
        return self.rival_runs[key]

    def ours(self, row: Row, x: np.ndarray, k: int) -> Callable[[int, int], np.ndarray]:
        """Return our seeding of the row as a function of (k, seed), warmed up."""
        from argrad.seeding import D2Sampler, kmeans_plusplus

        if row.method == "again":
            sampler = D2Sampler(x)
            sampler.prepare()
            seeding = lambda count, seed: sampler.seed(count, random_state=seed).centers  # noqa: E731
        else:
            # As many trials at a small k as at the row's: the potential depends on them.
            trials = _rivals.greedy_trials(row.k) if row.method == "greedy_coreset" else None
            seeding = lambda count, seed: kmeans_plusplus(  # noqa: E731
                x, count, method=row.method, n_local_trials=trials, random_state=seed
            )[0]
        seeding(k, 0)
        return seeding

    def seeding_row(self, row: Row) -> None:
        """Measure one seeding row and print it."""
        from argrad.seeding import D2Sampler

        x = self.x if row.rows is None else self.x[: row.rows // (5 if self.quick else 1)]
        k = min(row.k, len(x) // 3) if not self.quick else max(20, row.k // 10)
        ours = self.ours(row, x, k)
        runs = [timed(lambda s=s: ours(k, s)) for s in OUR_SEEDS]
        rival = self.rival(row, x, k)
        measured, theirs = rival.measured, rival.potentials
        if measured == k:
            mine = [self.potential(x, centers) for _, centers in runs]
        else:
            mine = [self.potential(x, ours(measured, s)) for s in OUR_SEEDS]
        value, error = _quality.ratio(mine, theirs)
        counts = f"{len(mine)} and {len(theirs)} seeds, k={measured}"
        check = f"{row.law}; potential ours/rival {value:.4f} ± {error:.4f} ({counts})"
        check += rival.note
        if row.method in {"exact", "again"}:
            envelope = "norm" if row.method == "again" else "first"
            seeded = D2Sampler(x, envelope=envelope).seed(k, random_state=0)
            check += f"; r = {seeded.n_proposals / k:.2f}, beta = {seeded.beta:.3g}"
        if row.against_uniform:
            whole = [self.potential(x, centers) for _, centers in runs]
            value, error = _quality.ratio(whole, [self.potential(x, _rivals.uniform(x, k, s)) for s in OUR_SEEDS])
            check += f"; {value:.4f} ± {error:.4f} of random rows at k={k}"
        if row.method == "greedy_coreset":
            check += self.greedy_check(x, k, [centers for _, centers in runs])
        self.emit(name=row.name, job=row.job, n=len(x), d=x.shape[1], k=k, rival=row.rival, must=row.must,
                  stretch=row.stretch, control=row.control, check=check, extrapolated=rival.extrapolated,
                  rival_s=rival.seconds, ours_s=statistics.median(spent for spent, _ in runs))  # fmt: skip

    def reference_path(self, k: int) -> Path:
        return _data.CACHE / f"greedy-{self.hash}-{k}.json"

    def references(self, k: int = 1000) -> None:
        """Run greedy k-means++ on all rows and keep its potentials.

        Ours: its law is scikit-learn's (the tests enumerate it), and it takes a minute instead of ten.
        """
        if self.reference_path(k).exists():
            return
        from argrad.seeding import kmeans_plusplus

        greedy = functools.partial(kmeans_plusplus, self.x, k, method="greedy")
        runs = [timed(lambda s=s: greedy(random_state=100 + s)[0]) for s in SEEDS]
        kept = {
            "seconds": [spent for spent, _ in runs],
            "threads": self.threads,
            "potentials": [self.potential(self.x, centers) for _, centers in runs],
        }
        self.reference_path(k).write_text(json.dumps(kept))
        print(f"{self.data}: greedy on all rows, k={k}: {kept}", flush=True)

    def greedy_check(self, x: np.ndarray, k: int, centers: list[np.ndarray]) -> str:
        """Return the comparison with greedy runs on all rows, when they are there."""
        if not self.reference_path(k).exists():
            return f"; k={k} not compared: run `python -m benches.table --references` first"
        kept = json.loads(self.reference_path(k).read_text())
        value, error = _quality.ratio([self.potential(x, c) for c in centers], kept["potentials"])
        whole = f"{min(kept['seconds']):.3g} s with {kept['threads']} threads"
        return f"; k={k}: {value:.4f} ± {error:.4f} of our greedy on all rows (the same law), which took {whole}"

    def draw_row(self) -> None:
        """Measure the weighted draw without replacement."""
        from argrad.selection import weighted_sample

        n, size = (200_000, 10_000) if self.quick else (20_000_000, 1_000_000)
        weights = np.random.default_rng(0).lognormal(size=n)
        p = weights / weights.sum()
        weighted_sample(weights, size, random_state=0)
        runs = [timed(lambda s=s: weighted_sample(weights, size, random_state=s)) for s in OUR_SEEDS]
        rival = [timed(lambda s=s: _rivals.numpy_choice(p, size, s)) for s in SEEDS]
        value, error = _quality.ratio([weights[i].mean() for _, i in runs], [weights[i].mean() for _, i in rival])
        check = f"same law (successive draws); mean weight of the drawn, ours/rival {value:.4f} ± {error:.4f}"
        self.emit(name="draw", job="weighted draw without replacement", n=n, d=0, k=size, check=check,
                  must=10, stretch=20, rival="numpy Generator.choice(p=...)", rival_s=min(s for s, _ in rival),
                  ours_s=statistics.median(s for s, _ in runs))  # fmt: skip

    def selection_rows(self) -> None:
        """Measure sensitivity selection end to end: the paper's estimator, like for like, and our defaults."""
        from argrad.selection import SelectionWarning, sensitivity_sample
        from benches.benchmarks.selection import smooth_loss

        x, k, size = self.x, (100 if self.quick else 1000), (1000 if self.quick else 10_000)
        loss = smooth_loss(x)
        rival_s, extrapolated, theirs, measured = self._rival_selection(loss, k, size)
        faithful = {"proxy": "medoid", "draw": "iid", "mix": 0.0}
        # The check says how the estimates compare with uniform rows; the warning would only repeat it.
        warnings.simplefilter("ignore", SelectionWarning)

        def select(count: int, seed: int, options: dict) -> Any:
            return sensitivity_sample(x, loss, size, n_clusters=count, random_state=seed, **options)

        def errors(count: int, options: dict) -> list[float]:
            chosen = (select(count, seed, options) for seed in ERROR_SEEDS)
            return [float((c.weights * loss[c.indices]).sum() / loss.sum() - 1) for c in chosen]

        for name, options in (("paper's estimator", faithful), ("defaults", {})):
            queries = size + select(k, 0, options).n_queries
            runs = [timed(lambda s=s, o=options: select(k, s, o)) for s in OUR_SEEDS]
            check = (
                f"relative error of the total loss: ours {_spread(errors(k, options))} at k={k}, "
                f"{_spread(errors(measured, options))} at k={measured}; rival {_spread(theirs)} at k={measured}; "
                f"as many uniform rows as ours queries {_spread(self._uniform(loss, queries))}"
            )
            self.emit(name="selection", job=f"sensitivity selection, {name}", n=len(x), d=x.shape[1], k=k, check=check,
                      must=30, stretch=100, rival="scikit-learn KMeans(max_iter=1) + numpy choice", rival_s=rival_s,
                      extrapolated=extrapolated, ours_s=statistics.median(s for s, _ in runs))  # fmt: skip

    def _rival_selection(self, loss: np.ndarray, k: int, size: int) -> tuple[float, bool, list[float], int]:
        trials = _rivals.greedy_trials(k)
        low, high = (5, 15) if self.quick else (10, 30)
        if self.full:
            low = high = k
        select = lambda count, s: _rivals.sklearn_sensitivity(self.x, loss, count, size, s, trials)  # noqa: E731
        _rivals.sklearn_sensitivity(self.x[:2000], loss[:2000], 5, 10, 0)
        runs = [timed(lambda s=s: select(high, s)) for s in SEEDS]
        best = min(s for s, _ in runs)
        if not self.full:
            base = min(timed(lambda s=s: select(low, s))[0] for s in SEEDS)
            best += (k - high) * per_center((low, high), base, best)
        errors = [float((weights * loss[rows]).sum() / loss.sum() - 1) for _, (rows, weights) in runs]
        return best, not self.full, errors, high

    @staticmethod
    def _uniform(loss: np.ndarray, size: int) -> list[float]:
        draws = (np.random.default_rng(s).choice(len(loss), size, replace=False) for s in ERROR_SEEDS)
        return [float(loss[rows].mean() / loss.mean() - 1) for rows in draws]


def _spread(errors: list[float]) -> str:
    return f"{np.mean(errors):+.4f} (rms {np.sqrt(np.mean(np.square(errors))):.4f}, {len(errors)} seeds)"


def _survives(name: str, job: Callable[[], None]) -> bool:
    """Run one row; a row that fails is reported and does not stop the others."""
    try:
        job()
    except Exception as error:
        print(f"{name} failed: {type(error).__name__}: {error}", flush=True)
        return False
    return True


def measure(data: str, threads: int, args: argparse.Namespace) -> None:
    """Measure the wanted rows of one input and print each as a line of JSON."""
    bench = Bench(data, threads, args.quick, args.full)
    with _rivals.threads(threads):
        if args.references:
            if any(row.method == "greedy_coreset" and row.data == data for row in ROWS):
                bench.references(100 if args.quick else 1000)
            return
        jobs = [
            (row.name, functools.partial(bench.seeding_row, row))
            for row in ROWS
            if row.data == data and _wanted(args.rows, row.name, data)
        ]
        if data == "draw":
            jobs.append(("draw", bench.draw_row))
        if data in OTHER["selection"] and _wanted(args.rows, "selection", data):
            jobs.append(("selection", bench.selection_rows))
        failed = [name for name, job in jobs if not _survives(name, job)]
    if failed:
        sys.exit(f"benches.table: {data} with {threads} threads: failed rows: {', '.join(failed)}")
