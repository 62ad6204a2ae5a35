"""One table on the terminal, one HTML file with pictures; every sentence about a result comes from the numbers."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from argrad import plots
from argrad._demo.intervals import Interval, interval, verdict
from argrad._demo.jobs import Estimates, Seeds, Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADINGS = ("data", "job", "argrad", "beside it", "what came out")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    data: str
    job: str
    ours: str
    theirs: str
    outcome: str

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the texts in the order of `HEADINGS`."""
        return self.data, self.job, self.ours, self.theirs, self.outcome


def seeding_rows(data: str, seeds: list[Seeds]) -> Iterator[Row]:
    """Compare our centres with uniform rows, and with scikit-learn's, which obey the same law."""
    ours, uniform, ours_part, theirs = seeds
    change = uniform.potential.mean / ours.potential.mean - 1
    outcome = verdict(_apart(uniform, ours), f"{change:.0%} more with uniform", f"{-change:.0%} less with uniform")
    job = f"{ours.k:,} of {ours.n:,} rows in {ours.seconds.mean:.2g} s: potential"
    yield Row(data, job, _potential(ours), f"{_potential(uniform)} uniform", outcome)
    ratio = theirs.seconds.mean / ours_part.seconds.mean
    outcome = f"{ratio:.0f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times as slow"
    job = f"{ours_part.k} of {ours_part.n:,} rows, same law: time"
    yield Row(data, job, _seconds(ours_part), f"{_seconds(theirs)} scikit-learn", outcome)
    outcome = verdict(_apart(theirs, ours_part), "lower than scikit-learn's", "higher than scikit-learn's")
    yield Row(data, "the same: potential", _potential(ours_part), f"{_potential(theirs)} scikit-learn", outcome)


def _apart(first: Seeds, second: Seeds) -> Interval:
    """Return the difference of two potentials whose seeds have nothing to do with each other."""
    difference = first.potential.mean - second.potential.mean
    return Interval(difference, float(np.hypot(first.potential.half, second.potential.half)))


def _seconds(seeds: Seeds) -> str:
    return f"{1000 * seeds.seconds.mean:,.1f} ms"


def _potential(seeds: Seeds) -> str:
    return seeds.potential.text(digits=3)


def estimate_row(result: Estimates) -> Row:
    """Compare the errors of our estimates with those of uniform sampling for the same number of losses."""
    ours = float(np.sqrt(np.square(result.errors).mean()))
    ratio = ours**2 / result.uniform_rmse**2
    outcome = verdict(result.gain, f"{1 / ratio:.1f} times less variance", f"{ratio:.1f} times more variance")
    job = f"mean of the {result.loss} from {result.queries:,} losses"
    return Row(result.data, job, f"{ours:.1%} error", f"{result.uniform_rmse:.1%} uniform", outcome)


def training_rows(result: Training) -> Iterator[Row]:
    """Compare the accuracies at every budget, paired by seed."""
    for method in ("distances", "losses"):
        for row, budget in enumerate(result.budgets):
            ours, uniform = (interval(result.accuracy[name][row]).text(100, unit=" %") for name in (method, "uniform"))
            gain = result.gain(method, budget)
            outcome = verdict(gain, f"{100 * gain.mean:.1f} points better", f"uniform {-100 * gain.mean:.1f} better")
            yield Row(result.data, f"accuracy, {budget:,} labels, by {method}", ours, f"{uniform} uniform", outcome)


def summary(estimates: list[Estimates], trainings: list[Training]) -> str:
    """Say in how many comparisons with uniform sampling each side was ahead."""
    signs = [result.gain.sign for result in estimates]
    signs += [
        result.gain(method, budget).sign
        for result in trainings
        for method in ("distances", "losses")
        for budget in result.budgets
    ]
    ahead, behind = signs.count(1), signs.count(-1)
    return (
        f"Against uniform sampling at equal numbers of labels, selection was ahead in {ahead} of {len(signs)} "
        f"comparisons, behind in {behind}, and in {len(signs) - ahead - behind} the intervals could not tell."
    )


def diagnosis(result: Estimates) -> str:
    """Say how far the library's own intervals and warnings could be trusted."""
    seeds = len(result.errors)
    return (
        f"{result.data}, {result.loss}: the 95 % interval held the truth for {result.covered} of {seeds} seeds; "
        f"the diagnostics judged uniform sampling the better choice for {result.warned} of {seeds}."
    )


def print_table(rows: list[Row]) -> None:
    """Print the table; it takes as much width as the terminal has."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*HEADINGS, box=None, header_style="bold", pad_edge=False)
    previous = rows[0].data
    for row in rows:
        if row.data != previous:
            table.add_section()
            table.add_row()
        table.add_row(*row.cells())
        previous = row.data
    console = Console()
    (console if console.is_terminal else Console(width=130)).print(table)


@dataclass(frozen=True)
class Section:
    """A picture with a heading and the sentences below it."""

    title: str
    drawing: Figure
    text: str


def page(rows: list[Row], sections: list[Section], lead: str) -> str:
    """Return the whole report as one HTML text that refers to no other file."""
    head = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row.cells()) + "</tr>\n" for row in rows
    )
    pictures = "".join(
        f"<h2>{html.escape(section.title)}</h2>\n<p>{html.escape(section.text)}</p>\n"
        f'<img alt="{html.escape(section.title)}" src="{_inline(section.drawing)}">\n'
        for section in sections
    )
    return PAGE.format(lead=html.escape(lead), head=head, body=body, pictures=pictures)


def _inline(drawing: Figure) -> str:
    memory = io.BytesIO()
    plots.save(drawing, memory, ".png")
    return "data:image/png;base64," + base64.b64encode(memory.getvalue()).decode("ascii")


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>argrad: seeding and selection on real data</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.6rem }}  h2 {{ font-size: 1.2rem; margin: 2.5rem 0 0 }}
table {{ border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; width: 100% }}
th {{ text-align: left; border-bottom: 2px solid #222 }}
td {{ border-bottom: 1px solid #ddd }}  th, td {{ padding: 0.2rem 0.8rem 0.2rem 0; vertical-align: top }}
img {{ max-width: 100%; margin-top: 0.5rem }}
</style>
<h1>Seeding and selection on real data</h1>
<p>{lead}</p>
<table><thead><tr>{head}</tr></thead><tbody>
{body}</tbody></table>
{pictures}
</html>
"""
