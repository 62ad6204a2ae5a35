"""Pictures: what is drawn, what is refused, and that matplotlib's global state stays as it was."""

import io
import subprocess
import sys

import numpy as np
import pytest

from argrad import plots
from argrad.selection import sensitivity_sample


@pytest.fixture
def rows(rng):
    return (rng.normal(size=(500, 6)) + 4 * rng.integers(0, 3, size=(500, 1))).astype(np.float32)


@pytest.fixture
def selection(rows):
    return sensitivity_sample(rows, None, 40, n_clusters=12, random_state=0)


def drawn(selection, rows, **options):
    figure = plots.plot_selection(rows, selection, **options)
    memory = io.BytesIO()
    plots.save(figure, memory, ".png")
    return figure, memory.getvalue()


def test_the_picture_holds_every_row_and_every_selected_row(rows, selection):
    figure, png = drawn(selection, rows)
    sizes = [len(artist.get_offsets()) for artist in figure.axes[0].collections]
    assert sizes[0] == len(rows)
    assert len(selection.indices) in sizes
    assert png.startswith(b"\x89PNG")


def test_the_area_of_a_ring_is_proportional_to_the_weight(rows, selection):
    figure, _ = drawn(selection, rows)
    rings = [artist for artist in figure.axes[0].collections if len(artist.get_offsets()) == len(selection.indices)]
    areas = np.sort(rings[-1].get_sizes())
    np.testing.assert_allclose(areas / areas.max(), np.sort(selection.weights) / selection.weights.max())


def test_rows_and_rings_are_sampled_beyond_max_points(rows, selection):
    figure, _ = drawn(selection, rows, max_points=25)
    assert len(figure.axes[0].collections[0].get_offsets()) == 25


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_seed_gives_the_same_bytes(rows, selection, suffix):
    def once():
        memory = io.BytesIO()
        plots.save(plots.plot_selection(rows, selection, max_points=50, random_state=3), memory, suffix)
        return memory.getvalue()

    assert once() == once()


def test_given_axes_are_drawn_on(rows, selection):
    figure = plots.figure(6.0, 3.0)
    axes = figure.subplots(1, 2)
    assert plots.plot_selection(rows, selection, ax=axes[1]) is figure
    assert not axes[0].collections
    assert axes[1].collections


def test_float16_and_tensors_are_drawn_too(rows, selection):
    import torch

    _, numpy_png = drawn(selection, rows)
    _, torch_png = drawn(selection, torch.from_numpy(rows))
    assert numpy_png == torch_png
    assert drawn(selection, rows.astype(np.float16))[1]


def test_equal_chances_and_impossible_rows_are_drawn(rows):
    weight = np.ones(len(rows))
    weight[::2] = 0
    assert drawn(sensitivity_sample(rows, None, 40, mix=1.0, random_state=0), rows)[1]
    assert drawn(sensitivity_sample(rows, None, 40, sample_weight=weight, random_state=0), rows)[1]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda rows: rows[:, :1], {}, "at least 2 rows of 2 columns, got shape \\(500, 1\\)"),
        (lambda rows: rows[:-1], {}, "the 500 rows that were selected from, got 499"),
        (lambda rows: rows[0], {}, "2-dimensional"),
        (lambda rows: rows, {"max_points": 2}, "max_points must be"),
    ],
)
def test_bad_input_is_refused(rows, selection, change, options, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_selection(change(rows), selection, **options)


def test_integers_are_refused(rows, selection):
    with pytest.raises(TypeError, match="plot_selection: embeddings must be"):
        plots.plot_selection(rows.astype(np.int64), selection)


def test_without_matplotlib_the_package_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install argrad\[plot\]"):
        plots.figure()


def test_no_global_state_is_touched():
    code = """
import sys, io, numpy as np
from argrad import plots
from argrad.selection import sensitivity_sample
assert "matplotlib" not in sys.modules
import matplotlib
before = matplotlib.rcParams.copy()
rows = np.random.default_rng(0).normal(size=(200, 3))
plots.save(plots.plot_selection(rows, sensitivity_sample(rows, None, 20, random_state=0)), io.BytesIO(), ".png")
assert "matplotlib.pyplot" not in sys.modules
names = [name for name in before if name != "backend"]  # to read it is to choose it
assert [before[name] for name in names] == [matplotlib.rcParams[name] for name in names]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
