"""The guard against slow-downs: `python -m benches.compare`.

Builds a wheel of the working tree (head) and one of the commit named in `benches/BASE` (base), and measures each guard
of `benches/guards.py` on both, alternating sample by sample, in fresh pairs of processes with one thread each. A guard
is flagged when head is more than 1.3 times as slow by its minimum *and* by its median. What is flagged is measured
again, and the exit code is 1 only when a guard is flagged twice, or does not run in head.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "target"
BASE_FILE = ROOT / "benches" / "BASE"
SOURCES = ("python", "rust", "cuda", "Cargo.toml", "Cargo.lock", "pyproject.toml")
FACTOR = 1.3
PAIRS = 3  # fresh processes, because the layout of memory differs from process to process
ROUNDS = 10  # alternating samples in each
FEWEST = 4  # on a slow machine, when they take longer than ...
PATIENCE = 4.0  # ... so many seconds
WORKER = (sys.executable, "-P", str(ROOT / "benches" / "guards.py"))

Times = dict[str, tuple[list[float], list[float]]]


# ---------------------------------------------------------------------------------------------------------------------
# Judging


def slowdown(base: Sequence[float], head: Sequence[float]) -> float:
    """Return how much slower head is: the smaller of the ratio of minima and the ratio of medians."""
    return min(min(head) / min(base), statistics.median(head) / statistics.median(base))


def flagged(times: Times, factor: float = FACTOR) -> list[str]:
    """Return the guards whose head is more than `factor` times as slow as their base."""
    return [name for name, (base, head) in times.items() if base and head and slowdown(base, head) > factor]


def absent(times: Times) -> list[str]:
    """Return the guards that head cannot run."""
    return [name for name, (_, head) in times.items() if not head]


def report(times: Times) -> str:
    """Return a table of the measured guards."""
    lines = [f"{'guard':24} {'base':>10} {'head':>10} {'slowdown':>9}   (milliseconds, minima)"]
    for name, (base, head) in times.items():
        if base and head:
            lines.append(f"{name:24} {min(base) * 1e3:10.2f} {min(head) * 1e3:10.2f} {slowdown(base, head):8.2f}x")
        else:
            lines.append(f"{name:24} {'not in ' + ('base' if head else 'head'):>21}")
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


class Side:
    """A worker process that imports argrad from `folder`."""

    def __init__(self, folder: Path, worker: Sequence[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "ARGRAD_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            worker, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )

    def sample(self, name: str) -> float | None:
        """Return the seconds of one sample, None when this side does not have the guard."""
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"benches.compare: the worker ended while it measured {name}, status {self.process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        """End the worker."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def measure(base: Path, head: Path, names: Sequence[str], worker: Sequence[str] = WORKER) -> Times:
    """Return the samples of each guard on both sides, taken in turns."""
    times: Times = {name: ([], []) for name in names}
    for _ in range(PAIRS):
        sides = [Side(base, worker), Side(head, worker)]
        for name in names:
            started = time.perf_counter()
            for turn in range(ROUNDS):
                if turn >= FEWEST and time.perf_counter() - started > PATIENCE:
                    break
                for which in (0, 1) if turn % 2 == 0 else (1, 0):
                    spent = sides[which].sample(name)
                    if spent is not None:
                        times[name][which].append(spent)
        for side in sides:
            side.close()
    return times


def judge(base: Path, head: Path, names: Sequence[str], worker: Sequence[str] = WORKER) -> list[str]:
    """Measure, measure again what was flagged, and return what was flagged twice."""
    times = measure(base, head, names, worker)
    print(report(times))
    if absent(times):
        sys.exit(f"benches.compare: head cannot run {', '.join(absent(times))}")
    again = flagged(times)
    if again:
        print(f"\nslower than {FACTOR}x, measured again: {', '.join(again)}")
        times = measure(base, head, again, worker)
        print(report(times))
        again = flagged(times)
    return again


# ---------------------------------------------------------------------------------------------------------------------
# Building


def git(*arguments: str) -> str | None:
    """Return what git prints, None when it fails."""
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def build(source: Path, folder: Path, target: Path) -> bool:
    """Build the wheel of a source tree and unpack it into `folder`; say whether that worked.

    Every tree needs a `target` of its own: cargo names crates by their path inside the workspace and trusts the files'
    times, so that in a shared one the older sources would be taken for built and the younger ones' code be measured.
    """
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    wheels = folder.with_suffix(".wheels")
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--quiet"]
    command += ["--interpreter", sys.executable, "--out", str(wheels)]
    done = subprocess.run(command, cwd=source, env=environment, check=False)
    found = sorted(wheels.glob("*.whl"))
    if done.returncode or not found:
        return False
    zipfile.ZipFile(found[0]).extractall(folder)
    return True


def build_base(temporary: Path) -> tuple[Path | None, str]:
    """Build the base commit; return its folder, or None and the reason why there is none."""
    name = BASE_FILE.read_text().split("#")[0].strip()
    if name == "none":
        return None, "benches/BASE says none"
    commit = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if commit is None:
        return None, f"the commit {name} of benches/BASE is not in this repository"
    if commit == git("rev-parse", "HEAD") and git("status", "--porcelain", "--", *SOURCES) == "":
        return None, f"the commit {name} of benches/BASE is this tree"
    source, folder = temporary / "source", temporary / "base"
    archive = temporary / "source.tar"
    if git("archive", "--output", str(archive), commit) is None:
        return None, f"git cannot read the commit {name} of benches/BASE"
    with tarfile.open(archive) as tar:
        tar.extractall(source, filter="data")
    return (
        (folder, commit)
        if build(source, folder, TARGET / f"base-{commit}")
        else (None, f"the commit {name} of benches/BASE does not build")
    )


@dataclasses.dataclass
class Options:
    """What the command line says."""

    guards: list[str]
    base: Path | None
    head: Path | None


def parse(arguments: Sequence[str] | None) -> Options:
    """Parse the command line."""
    names = list_guards()
    parser = argparse.ArgumentParser(prog="python -m benches.compare", description="guard against slow-downs")
    parser.add_argument("--guards", nargs="+", default=names, choices=names, metavar="GUARD", help=", ".join(names))
    parser.add_argument("--base", type=Path, help="a folder that holds an unpacked argrad, instead of benches/BASE")
    parser.add_argument("--head", type=Path, help="the same for head, instead of the working tree")
    return Options(**vars(parser.parse_args(arguments)))


def list_guards() -> list[str]:
    """Return the names of the guards."""
    from benches.guards import GUARDS

    return list(GUARDS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, measure and judge; exit with 1 when a guard is flagged twice."""
    options = parse(arguments)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="argrad-compare-") as name:
        temporary = Path(name)
        base, head = options.base, options.head
        if base is None:
            base, reason = build_base(temporary)
            print(
                f"base: {reason}" if base else f"{reason}: head is compared with itself, which guards against nothing"
            )
        if head is None:
            head = temporary / "head"
            if not build(ROOT, head, TARGET):
                sys.exit("benches.compare: the working tree does not build")
        print(f"built in {time.perf_counter() - started:.0f} s\n")
        slow = judge((base or head).resolve(), head.resolve(), options.guards)
    print(f"\nbenches.compare took {time.perf_counter() - started:.0f} s")
    if slow:
        sys.exit(f"benches.compare: slower than {FACTOR}x twice: {', '.join(slow)}")


if __name__ == "__main__":
    main()
