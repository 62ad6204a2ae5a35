"""The pictures of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from argrad._demo.data import Array
from argrad._demo.intervals import interval
from argrad._demo.jobs import METHODS, Estimates, Palette, Training
from argrad.plots import ACCENT, INK, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = {  # told apart by colour, by marker and by line, so that a black and white print can be read
    "uniform": ("#777777", "o", "--"),
    "distances": ("#00798c", "s", "-"),
    "losses": (ACCENT, "D", "-."),
}
LABELS = {
    "uniform": "uniform rows",
    "distances": "selection by distances",
    "losses": "selection by distances and losses",
}


def colours(photo: Array, palettes: list[Palette]) -> Figure:
    """Draw the photograph beside what few colours make of it."""
    drawing = figure(10, 7.2)
    titles = ["the photograph"] + [f"{palette.name}: error {palette.error:.1f}" for palette in palettes]
    axes = drawing.subplots(2, 2).ravel()
    for ax, title, picture in zip(axes, titles, [photo] + [palette.picture for palette in palettes], strict=True):
        ax.imshow(picture, interpolation="antialiased")
        ax.set_title(title, loc="left", fontsize=12, color=INK)
        ax.axis("off")
    return drawing


def accuracy(results: list[Training]) -> Figure:
    """Draw accuracy against the number of labels, with intervals over seeds."""
    drawing = figure(5.2 * len(results), 4.4)
    for ax, result in zip(drawing.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        for shift, method in zip((0.96, 1.0, 1.04), METHODS, strict=True):  # side by side, not on top of each other
            colour, marker, line = STYLE[method]
            points = [interval(100 * row) for row in result.accuracy[method]]
            ax.errorbar(
                shift * np.array(result.budgets),
                [point.mean for point in points],
                [point.half for point in points],
                color=colour, marker=marker, linestyle=line, markersize=5, capsize=3, label=LABELS[method],
            )  # fmt: skip
        ax.axhline(100 * result.everything, color=INK, linewidth=0.8, linestyle=":", label="all rows")
        ax.set_xscale("log")
        ax.set_xticks(result.budgets, [f"{budget:,}" for budget in result.budgets])
        ax.minorticks_off()
        ax.set_title(result.data, loc="left", fontsize=12, color=INK)
        ax.set_xlabel("labels asked for")
        ax.spines[["top", "right"]].set_visible(False)
    drawing.axes[0].set_ylabel("test accuracy, %")
    handles, labels = drawing.axes[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return drawing


def estimates(results: list[Estimates]) -> Figure:
    """Draw the errors of all estimates, over the band in which 95 % of uniform sampling's errors lie."""
    drawing = figure(10, 0.9 + 0.75 * len(results))
    ax = drawing.add_subplot()
    for row, result in enumerate(reversed(results)):
        band = 196 * result.uniform_rmse
        ax.barh(row, 2 * band, left=-band, height=0.6, color="#dddddd", label="" if row else "95 % of uniform sampling")
        spread = row + np.linspace(-0.2, 0.2, len(result.errors))
        ax.scatter(100 * result.errors, spread, s=16, color=STYLE["distances"][0], label="" if row else "one selection")
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(results)), [f"{result.data}: {result.loss}" for result in reversed(results)])
    ax.set_xlabel("error of the estimated mean loss, %")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    drawing.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return drawing
