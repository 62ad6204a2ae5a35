"""Pictures of what was selected. Needs matplotlib (`pip install argrad[plot]`), imported when first used.

Figures are built without pyplot: no window, no backend and no global setting is touched.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np

from argrad import _array, _check

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from argrad.selection import Selection

Floats = np.ndarray[Any, np.dtype[np.float64]]

INK = "#222222"
ACCENT = "#d1495b"
LARGEST_AREA = 260.0  # points squared, of the ring with the largest weight, when there are few rings


def figure(width: float = 6.4, height: float = 4.8) -> Figure:
    """Make an empty figure that belongs to no window and no pyplot list.

    Args:
        width: In inches, positive.
        height: In inches, positive.

    Returns:
        A matplotlib Figure with constrained layout.

    Raises:
        ImportError: matplotlib is missing.

    Examples:
        >>> figure(3.0, 2.0).get_size_inches().tolist()
        [3.0, 2.0]
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install argrad[plot]") from error
    return Figure(figsize=(width, height), layout="constrained")


def save(drawing: Figure, file: IO[bytes], suffix: str) -> None:
    """Write a figure; the same figure gives the same bytes.

    Args:
        drawing: The figure.
        file: A file opened for writing bytes.
        suffix: `.png`, `.svg` or `.pdf`.

    Raises:
        ValueError: matplotlib does not write files with this suffix.
    """
    from matplotlib import rc_context

    kind = suffix.removeprefix(".").lower()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # the moment of writing is not part of the picture
    with rc_context({"svg.hashsalt": "argrad"}):  # else the names inside an SVG file are random
        drawing.savefig(file, format=kind, dpi=150, metadata=dates.get(kind))


def plot_selection(
    embeddings: Any,
    selection: Selection,
    *,
    ax: Axes | None = None,
    max_points: int = 6000,
    random_state: Any = 0,
) -> Figure:
    """Draw rows, cluster centres and the selection on the two directions of largest variance.

    Each row has the colour of its chance of selection, in multiples of the chance under uniform sampling; a selected
    row is a ring with an area proportional to its weight, which says how many rows it stands for.

    Args:
        embeddings: The matrix that was selected from, shape (n, d), floating, at least two columns.
        selection: What `sensitivity_sample` returned for it.
        ax: Axes to draw on; None makes a new figure.
        max_points: Rows and rings to draw at most each, a uniform sample of them; at least 3.
        random_state: Seed of that sample: None, an int or a generator.

    Returns:
        The matplotlib Figure that was drawn on.

    Raises:
        TypeError: `embeddings` is not an array of floating numbers.
        ValueError: Not a matrix with two columns or more, or not the one that was selected from.
        ImportError: matplotlib is missing.

    Determinism:
        The same picture for the same seed.

    Cost:
        O(m d^2) time and O(m d) memory for m = `max_points` drawn rows, whatever n.
    """
    _check.matrix("plot_selection", "embeddings", embeddings)
    max_points = _check.integer("plot_selection", "max_points", max_points, low=3)
    n = embeddings.shape[0]
    if min(embeddings.shape) < 2:
        shape = tuple(embeddings.shape)
        raise ValueError(f"plot_selection: embeddings must be at least 2 rows of 2 columns, got shape {shape}")
    if n != len(selection.probabilities):
        rows = len(selection.probabilities)
        raise ValueError(f"plot_selection: embeddings must be the {rows} rows that were selected from, got {n}")
    generator = np.random.default_rng(_check.seed("plot_selection", random_state))
    shown = np.sort(generator.permutation(n)[:max_points])
    rings = np.sort(generator.permutation(len(selection.indices))[:max_points])
    chosen, weights = np.asarray(selection.indices)[rings], np.asarray(selection.weights)[rings]
    chances = np.asarray(selection.probabilities, dtype=np.float64)
    background = _rows(embeddings, shown)
    project = _projection(background)
    axes = figure(7.2, 5.6).add_subplot() if ax is None else ax
    drawing = axes.get_figure(root=True)
    if drawing is None:
        raise ValueError("plot_selection: ax must be axes of a figure, got removed axes")
    _draw_rows(drawing, axes, project(background), chances[shown] / chances.mean())
    if selection.centers is not None:
        _draw_centers(axes, project(np.asarray(_array.raw(selection.centers), dtype=np.float64)))
    _draw_rings(axes, project(_rows(embeddings, chosen)), weights)
    axes.set_title(f"{len(selection.indices):,} of {n:,} rows selected", loc="left", fontsize=11, color=INK)
    return drawing


def _rows(embeddings: Any, indices: Any) -> Floats:
    """Gather rows; only these are read when the matrix is memory-mapped."""
    return np.asarray(_array.raw(embeddings[indices]), dtype=np.float64)


def _projection(sample: Floats) -> Any:
    """Return the map onto the two directions of largest variance of `sample`."""
    mean = sample.mean(axis=0)
    directions = np.linalg.svd(sample - mean, full_matrices=False)[2][:2]
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    return lambda rows: (rows - mean) @ (directions * signs[:, None]).T  # the sign of a singular vector is arbitrary


def _draw_rows(drawing: Figure, axes: Axes, points: Floats, chances: Floats) -> None:
    """Draw all rows, the likely ones last, so that they are not hidden."""
    from matplotlib.colors import LogNorm

    order = np.argsort(chances, kind="stable")
    low = min(float(np.quantile(chances[chances > 0], 0.01)), 1 / 1.5)
    high = max(float(np.quantile(chances, 0.99)), 1.5)
    norm = LogNorm(low, high, clip=True)
    dots = axes.scatter(
        points[order, 0], points[order, 1], c=chances[order], norm=norm, cmap="viridis_r", s=7, linewidths=0
    )
    bar = drawing.colorbar(dots, ax=axes, pad=0.02, aspect=35, fraction=0.05)
    coarse = high / low > 30
    steps = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300) if coarse else (0.3, 0.5, 0.7, 1, 1.4, 2, 3, 5, 7, 10)
    ticks = [tick for tick in steps if low <= tick <= high]
    bar.set_ticks(ticks, labels=[f"{tick:g} x" for tick in ticks])
    bar.minorticks_off()
    bar.set_label("chance of selection, in multiples of uniform sampling", color=INK)
    bar.outline.set_visible(False)
    axes.set_xlabel("first principal direction", color=INK)
    axes.set_ylabel("second principal direction", color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)


def _draw_centers(axes: Axes, points: Floats) -> None:
    style: dict[str, Any] = {"marker": "P", "color": ACCENT, "edgecolors": "white", "linewidths": 0.4, "zorder": 3}
    area = min(max(1500 / len(points), 9.0), 30.0)  # many centres must not hide the rows
    axes.scatter(points[:, 0], points[:, 1], s=area, label="centre", **style)


def _draw_rings(axes: Axes, points: Floats, weights: Floats) -> None:
    """Draw selected rows, and a legend of three weights."""
    top = float(weights.max())
    area = max(LARGEST_AREA * min(1.0, 100 / len(weights)), LARGEST_AREA / 4)  # many rings must leave room
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": INK, "linewidths": 0.9, "zorder": 4}
    halo = style | {"edgecolors": "white", "linewidths": 2.2}
    areas = area * weights / top
    axes.scatter(points[:, 0], points[:, 1], s=areas, **halo)  # so that rings are seen on dark dots too
    axes.scatter(points[:, 0], points[:, 1], s=areas, **style)
    for weight in np.unique(np.quantile(weights, [0.1, 0.5, 1.0]).round(decimals=-1 if top > 100 else 0)):
        if weight > 0:
            label = f"selected, weight {weight:,.0f}"
            axes.scatter([], [], s=area * weight / top, label=label, **style)
    quiet: dict[str, Any] = {"frameon": False, "fontsize": 8.5}
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=4, columnspacing=1.2, handletextpad=0.3, **quiet)
