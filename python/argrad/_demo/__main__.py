"""Run the main job on real data and write a report: `python -m argrad._demo [--out DIR] [--quick]`."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from argrad import plots
from argrad._demo import data, jobs, pictures, report
from argrad.selection import SelectionWarning


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    patch_step: int
    lines: int
    centres: int
    seeds: int
    budgets: dict[str, tuple[int, ...]]


NEEDED = ("sklearn", "matplotlib", "rich")

FULL = Scale(1, 40_000, 1000, 20, {"digits": (50, 100, 200, 400), "text": (250, 500, 1000, 2000)})
QUICK = Scale(4, 6_000, 200, 3, {"digits": (50, 100), "text": (250, 500)})


def run(scale: Scale, folder: Path) -> Path:
    """Do the jobs, print the table, write the report and return its path."""
    started = time.perf_counter()

    def step(text: str) -> None:
        print(f"{time.perf_counter() - started:5.1f} s  {text}", file=sys.stderr)

    step("reading photographs, digits and the standard library")
    photos = data.photographs()
    patches = data.patches(photos, scale.patch_step)
    tasks = [data.digits(), data.source_lines(scale.lines)]
    text = tasks[1]

    step(f"seeding {scale.centres:,} clusters of {len(patches):,} patches and {len(text.rows):,} lines")
    seeding = {
        "patches": jobs.seed_clusters(patches, scale.centres, min(5, scale.seeds)),
        "text": jobs.seed_clusters(text.rows, scale.centres, min(5, scale.seeds)),
    }

    step("estimating mean losses from selections")
    smooth = jobs.reconstruction_losses(patches)
    estimates = [
        jobs.estimate_mean("patches", "reconstruction loss", patches, smooth, 1500, scale.seeds),
        jobs.estimate_mean("text", "log-loss", text.rows, jobs.classifier_losses(text, 500), 1500, scale.seeds),
    ]

    step("training classifiers on subsets")
    trainings = [jobs.train_on_subsets(task, scale.budgets[task.name], scale.seeds) for task in tasks]

    step("selecting once, choosing colours, drawing")
    palettes = jobs.paint(photos[1], n_colours=12)
    selection, seconds = jobs.select_one(patches, smooth, 400)

    rows = [row for name, seeds in seeding.items() for row in report.seeding_rows(name, seeds)]
    rows += [report.estimate_row(result) for result in estimates]
    rows += [row for result in trainings for row in report.training_rows(result)]
    lead = report.summary(estimates, trainings)
    sections = [
        report.Section(
            "Twelve colours for a photograph",
            pictures.colours(photos[1], palettes),
            "Each pixel gets the nearest of twelve colours. The error is the root mean square over all pixels and "
            "channels, in steps of 0 to 255.",
        ),
        report.Section(
            f"A selection from {len(patches):,} patches",
            plots.plot_selection(patches, selection),
            f"Seeding, assigning and drawing took {seconds:.1f} s. A patch is likely to be selected where the "
            "reconstruction loss of its cluster is high or where it lies far from the centre.",
        ),
        report.Section(
            "Accuracy after training on a subset",
            pictures.accuracy(trainings),
            f"Means over {scale.seeds} seeds with 95 % intervals. All methods may ask for the same number of labels; "
            "selection by losses spends a part of them on a first model and on its pilot.",
        ),
        report.Section(
            "The mean loss of a model, from a few of its losses",
            pictures.estimates(estimates),
            " ".join(report.diagnosis(result) for result in estimates),
        ),
    ]
    step("writing the report")
    path = folder / "index.html"
    path.write_text(report.page(rows, sections, lead), encoding="utf-8")
    report.print_table(rows)
    print(f"\n{lead}\n{time.perf_counter() - started:.0f} s in all. Report: {path}")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m argrad._demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo_report"), help="folder of the report (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="less data and fewer seeds: seconds instead of a minute")
    options = parser.parse_args(arguments)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        parser.error(f"the demo needs {', '.join(missing)}: pip install argrad[sklearn,plot,cli]")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out must be a folder that can be made, got '{options.out}' ({error.strerror})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)  # counted and told in the report
        run(QUICK if options.quick else FULL, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
