"""The table of the README: ours beside the rivals, on the same cores, with the equality check beside every ratio.

    python -m benches.table                        every row, 1 and 2 threads
    python -m benches.table --rows onedal faiss    rows whose name contains one of the words
    python -m benches.table --quick                small inputs: shows that everything runs, says nothing about speed
    python -m benches.table --full                 no extrapolation: each rival runs whole once, for an hour or more
    python -m benches.table --references           potentials of greedy runs on all rows, once a machine

Every pair of data and thread count runs in a process of its own, bound to that many cores. Ours is the median of five
runs after one warm-up. A rival is the minimum of its runs (of the operators on lists ours is a minimum too, both run in
turn); where its cost is linear in the number of centres it is
measured at two small numbers of centres and extrapolated, and the row says so; both potentials are then those of the
larger of the two. Results go to `benches/results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
ROOT = RESULTS.parents[1]


def bind(threads: int) -> None:
    """Bind this process to `threads` cores and say so to every library that reads the environment."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP", "OPENBLAS", "MKL", "ARGRAD"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)


def markdown(results: list[dict]) -> str:
    """Return the results as a Markdown table, the negative controls in a table of their own."""
    head = (
        "| job | data | n x d | k | threads | ours | rival | its time | ratio | must | stretch | check |\n"
        + "|---" * 12
        + "|"
    )
    parts = []
    for title, control in (("Measured", False), ("Negative controls", True)):
        lines = [_line(r) for r in results if r["control"] == control]
        if lines:
            parts.append("\n".join([f"## {title}\n", head, *lines]))
    return "\n\n".join(parts) + "\n"


def _line(r: dict) -> str:
    verdict = "" if r["must"] is None else (" met" if r["ratio"] >= r["must"] else " **missed**")
    cells = [
        r["job"],
        f"{r['data']} `{r['hash']}`" if r["hash"] else r["data"],
        f"{r['n']} x {r['d']}" if r["d"] else str(r["n"]),
        str(r["k"]),
        str(r["threads"]),
        seconds(r["ours_s"]),
        r["rival"],
        seconds(r["rival_s"]) + (" (extrapolated)" if r["extrapolated"] else ""),
        f"{r['ratio']:.3g}x",
        "" if r["must"] is None else f"{r['must']}x{verdict}",
        "" if r["stretch"] is None else f"{r['stretch']}x",
        r["check"],
    ]
    return "| " + " | ".join(cells) + " |"


def seconds(value: float) -> str:
    """Return a time with three digits and a fitting unit."""
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def _child(data: str, threads: int, args: argparse.Namespace) -> tuple[list[dict], bool]:
    """Measure the rows of one input in a process of its own, print each as it comes, and say whether all went well."""
    flags = [flag for flag in ("quick", "full", "references") if getattr(args, flag)]
    command = [sys.executable, "-m", "benches.table", "--child", data, "--threads", str(threads)]
    command += [f"--{flag}" for flag in flags] + (["--rows", *args.rows] if args.rows else [])
    results = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if line.startswith("{"):
                results.append(json.loads(line))
                print(_line(results[-1]), flush=True)
            else:
                print(line, end="", flush=True)
    return results, child.returncode == 0


def _beside() -> list[Any]:
    """Return the rows of operators and losses, each timed in turn with its rival."""
    from benches import rows_generate, rows_logits, rows_projections, rows_sorting, rows_topology, rows_truncation

    families = (rows_sorting, rows_topology, rows_logits, rows_truncation, rows_projections, rows_generate)
    return [row for family in families for row in family.ROWS]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.table", description="ours beside the rivals")
    parser.add_argument(
        "--rows", nargs="+", default=[], help="only rows whose name or data contains one of these words"
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--quick", action="store_true", help="small inputs; only shows that everything runs")
    parser.add_argument("--full", action="store_true", help="run every rival whole instead of extrapolating")
    parser.add_argument(
        "--references", action="store_true", help="compute and keep the potentials of greedy runs on all rows"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        bind(args.threads[0])
        from benches import beside, rows

        if args.child in rows.inputs([]):
            rows.measure(args.child, args.threads[0], args)
        else:
            beside.measure(_beside(), args.child, args.threads[0], args)
        return
    from benches import beside, rows

    results, succeeded = [], True
    threads = [max(args.threads)] if args.references else args.threads
    for data in rows.inputs(args.rows) + ([] if args.references else beside.inputs(_beside(), args.rows)):
        for count in threads:
            measured, well = _child(data, count, args)
            results += measured
            succeeded = succeeded and well
    if not results:
        sys.exit(0 if succeeded and args.references else "benches.table: no row was measured")
    RESULTS.mkdir(exist_ok=True)
    name = "quick" if args.quick else "table"
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(markdown(results))
    print(f"\n{markdown(results)}\nwritten to {RESULTS / name}.json and .md")
    if not succeeded:
        sys.exit("benches.table: some rows failed, see above")


if __name__ == "__main__":
    main()
