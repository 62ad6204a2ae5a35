"""The command `argrad`: select rows of a file, and say what is installed.

Exit codes: 0 done, 2 bad input (one sentence on stderr, nothing written), 130 interrupted.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import argrad
from argrad import _files
from argrad.selection import sensitivity_sample

if TYPE_CHECKING:
    from argrad.selection import Selection

PICTURES = (".png", ".svg", ".pdf")
BAD_INPUT = 2
INTERRUPTED = 130


def select(
    input: Path,
    /,
    *,
    n_select: int,
    output: Path,
    seed: int = 0,
    column: str | None = None,
    loss: str | None = None,
    weights: str | None = None,
    plot: Path | None = None,
    n_clusters: int | Literal["sqrt"] = "sqrt",
    mix: float = 0.3,
    proxy: Literal["pilot_mean", "medoid"] = "pilot_mean",
    draw: Literal["systematic", "iid", "pivotal", "poisson", "stratified"] = "systematic",
    quiet: bool = False,
) -> None:
    """Select rows by clustering-based sensitivity sampling, with weights that keep estimates unbiased.

    OUTPUT gets `indices`, `weights` and `probabilities`: as `.npz` the probabilities of all rows, as Parquet one row
    per selected row. It appears whole or not at all. The same input, options and seed give the same bytes.

    Args:
        input: The embeddings: an .npy file (mapped, not loaded), an .npz file or a Parquet file with a list column.
        n_select: How many rows to select.
        output: Where to write the selection, .npz or .parquet.
        seed: Seed of all random draws, from 0 to 2**64 - 1.
        column: The key of the .npz file or the list column of the Parquet file; needed when there are several.
        loss: One loss per row: a column, an .npz key or an .npy file; read at a few rows per cluster only. Without
            it rows are scored by their distance to the cluster centre alone.
        weights: One sample weight per row: a column, an .npz key or an .npy file.
        plot: Also write a picture of the clusters and the selection, .png, .svg or .pdf.
        n_clusters: Number of clusters, or "sqrt" for the square root of the number of rows.
        mix: Share of uniform sampling mixed into the scores, from 0 to 1.
        proxy: How the loss of a cluster is guessed: from a few of its rows or from its centre.
        draw: How rows are drawn from the probabilities.
        quiet: Print neither the progress bar nor the table.
    """
    sources = [input, *(Path(name) for name in (loss, weights) if name is not None and name.endswith(".npy"))]
    _files.check_target("--output", output, _files.OUTPUTS, sources)
    if plot is not None:
        _files.check_target("--plot", plot, PICTURES, [*sources, output])
        from argrad import plots
    with _bar("reading", quiet) as progress:
        embeddings = _files.read_embeddings(input, column, progress)
    losses = None if loss is None else _files.read_vector("--loss", loss, input)
    sample_weight = None if weights is None else _files.read_vector("--weights", weights, input)
    with _bar("selecting", quiet) as progress, _warnings_as_lines():
        selection = sensitivity_sample(
            embeddings,
            losses,
            n_select,
            sample_weight=sample_weight,
            n_clusters=n_clusters,
            mix=mix,
            proxy=proxy,
            draw=draw,
            random_state=seed,
            progress=progress,
        )
    with contextlib.ExitStack() as stack:  # both files or none
        file = stack.enter_context(_files.replacing(output))
        _files.write_selection(file, output.suffix, selection.indices, selection.weights, selection.probabilities)
        if plot is not None:
            picture = stack.enter_context(_files.replacing(plot))
            plots.save(plots.plot_selection(embeddings, selection), picture, plot.suffix)
    if not quiet:
        _print_table(embeddings.shape, selection, output)


def info() -> None:
    """Print versions, threads, instruction set and optional packages."""
    argrad.show_config()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: The words after `argrad`; None takes those of the process.

    Returns:
        0, 2 or 130, see the module's docstring.
    """
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except (OSError, ValueError, TypeError, MemoryError, ImportError) as error:
        return _fail(_sentence(error))


def _run(arguments: list[str]) -> int:
    try:
        import cyclopts
        import rich  # noqa: F401  said here, before any work, and not when the table is printed
        import tqdm  # noqa: F401
    except ImportError as error:
        raise ImportError(f"the command needs {error.name}: pip install argrad[cli]") from error
    app = cyclopts.App(
        name="argrad",
        help="Seed, select, sort, match, decode.",
        version=argrad.__version__,
        suppress_keyboard_interrupt=False,  # `main` answers it
    )
    app.command(select)
    app.command(info)
    try:
        app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except cyclopts.CycloptsError as error:
        return _fail(_sentence(error))
    return 0


def _fail(sentence: str, code: int = BAD_INPUT) -> int:
    print(f"argrad: {sentence}", file=sys.stderr)
    return code


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": '{error.filename}'" if error.filename else ""
        return f"{error.strerror}{where}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix("sensitivity_sample: ").removesuffix(".")


@contextlib.contextmanager
def _bar(title: str, quiet: bool) -> Iterator[_files.Progress]:
    """Show a progress bar on stderr if that is a terminal, and remove it at the end."""
    from tqdm import tqdm

    bar = tqdm(
        desc=title, leave=False, disable=True if quiet else None, bar_format="{desc}: {percentage:3.0f}% |{bar}|"
    )

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        yield progress


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"argrad: warning: {' '.join(str(warning.message).split())}", file=sys.stderr)


def _print_table(shape: tuple[int, ...], selection: Selection, output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"selection written to {output}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for row in _rows(shape, selection):
        table.add_row(*row)
    Console().print(table)


def _rows(shape: tuple[int, ...], selection: Selection) -> Iterator[tuple[str, str, str]]:
    found = selection.diagnostics
    size = len(selection.indices)
    yield "rows", f"{shape[0]:,}", f"{shape[1]} numbers each"
    yield "selected", f"{size:,}", f"{len(set(selection.indices.tolist())):,} different rows"
    yield "losses queried", f"{selection.n_queries:,}", "the pilot's and the selected rows'"
    yield "effective size", f"{found.ess:,.0f}", "of the selection, after weighting"
    yield "largest weight", f"{100 * found.max_weight_share:.2f} %", "of all weight"
    yield "distances", f"{100 * found.cost_share:.0f} %", "of the scores; the rest is expected losses"
    if found.proxy_r2 is not None:
        yield "clusters explain", f"{100 * max(found.proxy_r2, 0):.0f} %", "of the variance of the pilot's losses"
    yield "certain rows", f"{found.n_certain:,}", "selected whatever the seed"


if __name__ == "__main__":
    sys.exit(main())
