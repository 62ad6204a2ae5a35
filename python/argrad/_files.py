"""Knows files: embeddings and vectors in (.npy, .npz, Parquet), selections out (.npz, Parquet), whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Progress = Callable[[int, int], None]

PARQUET = (".parquet", ".pq")
INPUTS = (".npy", ".npz", *PARQUET)
OUTPUTS = (".npz", *PARQUET)
BATCH = 65_536


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def read_embeddings(path: Path, column: str | None, progress: Progress) -> Array:
    """Read a matrix of embeddings; an `.npy` file is mapped, not loaded.

    Args:
        path: An `.npy`, `.npz` or Parquet file.
        column: The key of an `.npz` file or the list column of a Parquet file; None when there is only one.
        progress: Called with (rows read, rows) while a Parquet file is read.

    Returns:
        The array as it is stored; its rank and dtype are for the caller to check, except in Parquet, where the rows
        have to be lists of floating numbers, all of one length.

    Raises:
        ValueError: The file is missing, unreadable or damaged, or holds no such array.
        TypeError: The Parquet column does not hold lists of floating numbers.
        ImportError: A Parquet file, and pyarrow is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in INPUTS:
        raise _refuse("INPUT", f"a file ending in {', '.join(INPUTS)}", f"'{path}'")
    if suffix == ".npy":
        if column is not None:
            raise _refuse("--column", "left out for an .npy file, which holds one array", f"'{column}'")
        return _npy("INPUT", path)
    if suffix == ".npz":
        return _npz("INPUT", "--column", path, column)
    return _lists(path, column, progress)


def read_vector(option: str, source: str, beside: Path) -> Array:
    """Read one number per row: a column or key of the input file, or an `.npy` file of its own.

    Args:
        option: The name of the option, for messages.
        source: An `.npy` file, or the name of a key or a column of `beside`.
        beside: The input file.

    Returns:
        float64 array of shape (n,).

    Raises:
        ValueError: The file or name does not exist, is damaged, or does not hold one number per row.
        TypeError: The values are not numbers.
    """
    if source.endswith(".npy"):
        vector = _npy(option, Path(source))
    elif beside.suffix.lower() == ".npz":
        vector = _npz("INPUT", option, beside, source)
    elif beside.suffix.lower() in PARQUET:
        vector = _numbers(option, beside, source)
    else:
        raise _refuse(option, "an .npy file when INPUT is an .npy file", f"'{source}'")
    if vector.dtype.kind not in "fiub":
        raise TypeError(f"{option} must be numbers, got dtype {vector.dtype}")
    if vector.ndim != 1:
        raise _refuse(option, "one number per row, shape (n,)", f"shape {vector.shape}")
    return np.asarray(vector, dtype=np.float64)


def _refuse(argument: str, expected: str, actual: str) -> ValueError:
    return ValueError(f"{argument} must be {expected}, got {actual}")


@contextlib.contextmanager
def _opening(argument: str, path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a damaged or missing file raises into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or _first_line(error)
        raise _refuse(argument, "a readable file", f"'{path}' ({reason})") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _refuse(argument, f"a complete {kind} file", f"'{path}' ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _npy(argument: str, path: Path) -> Array:
    with _opening(argument, path, ".npy"):
        return np.lib.format.open_memmap(path, mode="r")


def _npz(argument: str, option: str, path: Path, key: str | None) -> Array:
    with _opening(argument, path, ".npz"):
        if not zipfile.is_zipfile(path):
            path.open("rb").close()  # says so if the reason is another
            raise ValueError("not a zip archive")
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            chosen = key if key is not None else names[0] if len(names) == 1 else None
            if chosen in names:
                return np.asarray(archive[chosen])
    raise _missing(option, "the arrays of the file", names, key)


def _missing(option: str, what: str, names: list[str], name: str | None) -> ValueError:
    shown = ", ".join(f"'{known}'" for known in names[:8]) + (", ..." if len(names) > 8 else "")
    return _refuse(option, f"one of {what} ({shown or 'there are none'})", "nothing" if name is None else f"'{name}'")


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("reading or writing Parquet needs pyarrow: pip install argrad[parquet]") from error
    return parquet


def _parquet(argument: str, path: Path) -> Any:
    parquet = _pyarrow()
    with _opening(argument, path, "Parquet"):
        return parquet.ParquetFile(path)


def _lists(path: Path, column: str | None, progress: Progress) -> Array:
    """Copy a list column into one matrix, a batch at a time, so that the column is in memory once."""
    with _parquet("INPUT", path) as file:
        name = _list_column(file.schema_arrow, column)
        n = file.metadata.num_rows
        if n == 0:
            raise _refuse("INPUT", "a table with at least one row", f"'{path}' with 0 rows")
        matrix, row = np.empty((0, 0)), 0
        batches = file.iter_batches(BATCH, columns=[name])
        while row < n:
            with _opening("INPUT", path, "Parquet"):
                lists = next(batches).column(0)
            block = _block(name, getattr(lists, "storage", lists), row, matrix.shape[1] if row else None)
            if row == 0:
                matrix = np.empty((n, block.shape[1]), dtype=block.dtype)
            matrix[row : row + len(block)] = block
            row += len(block)
            progress(row, n)
    return matrix


def _list_column(schema: Any, column: str | None) -> str:
    from pyarrow import types

    def value_type(field: Any) -> Any:
        storage = getattr(field.type, "storage_type", field.type)
        known = types.is_list(storage) or types.is_large_list(storage) or types.is_fixed_size_list(storage)
        return storage.value_type if known else None

    lists = [field.name for field in schema if value_type(field) is not None]
    name = column if column is not None else lists[0] if len(lists) == 1 else None
    if name is None:
        raise _missing("--column", "the list columns", lists, None)
    if name not in schema.names:
        raise _missing("--column", "the columns", schema.names, name)
    found = value_type(schema.field(name))
    if found is None or not types.is_floating(found):
        raise TypeError(f"--column must be a column of lists of floats, got '{name}' of type {schema.field(name).type}")
    return name


def _block(name: str, lists: Any, first_row: int, width: int | None) -> Array:
    """Turn one batch of lists into rows of `width` numbers (None: the width of the first row)."""
    if lists.null_count:
        row = first_row + int(np.argmax(lists.is_null().to_numpy(zero_copy_only=False)))
        raise _refuse("--column", f"lists without nulls, like '{name}' claims to be", f"null in row {row}")
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    width = int(lengths[0]) if width is None else width
    if (lengths != width).any():
        row = int(np.argmax(lengths != width))
        actual = f"{lengths[row]} numbers in row {first_row + row} of '{name}'"
        raise _refuse("--column", f"lists of one length ({width} numbers in row 0)", actual)
    values = lists.flatten()
    if values.null_count:
        position = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
        row, place = first_row + position // width, position % width
        raise _refuse("--column", "lists without nulls", f"null in row {row}, position {place} of '{name}'")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(lists), width)


def _numbers(option: str, path: Path, name: str) -> Array:
    with _parquet("INPUT", path) as file:
        if name not in file.schema_arrow.names:
            raise _missing(option, "the columns, or an .npy file", file.schema_arrow.names, name)
        with _opening("INPUT", path, "Parquet"):
            column = file.read(columns=[name]).column(0)
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise _refuse(option, "a column without nulls", f"null in row {row} of '{name}'")
    return np.asarray(column.to_numpy())


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def check_target(option: str, path: Path, suffixes: tuple[str, ...], sources: list[Path]) -> None:
    """Refuse, before any work starts, a file that could not be written afterwards.

    Args:
        option: The name of the option, for messages.
        path: The file to be written.
        suffixes: The suffixes that it may have.
        sources: Files that must not be overwritten.

    Raises:
        ImportError: A Parquet file, and pyarrow is missing.
        ValueError: Wrong suffix, an existing folder, no such folder, a folder without write permission, or a source.
    """
    if path.suffix.lower() not in suffixes:
        raise _refuse(option, f"a file ending in {', '.join(suffixes)}", f"'{path}'")
    if path.is_dir():
        raise _refuse(option, "a file", f"the folder '{path}'")
    if not path.parent.is_dir():
        raise _refuse(option, "in an existing folder", f"'{path}'")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _refuse(option, "in a writable folder", f"'{path}'")
    if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
        raise _refuse(option, "another file than the input", f"'{path}'")
    if path.suffix.lower() in PARQUET:
        _pyarrow()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that becomes `path` only when the block ends well; else nothing of it is left.

    Where the system has files without a name (Linux), not even a killed process leaves a part behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        file, named = _unnamed(path.parent), False
        if file is None:
            file, named = temporary.open("xb"), True
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not named:
                _give_name(file, temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _unnamed(folder: Path) -> IO[bytes] | None:
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.fdopen(os.open(folder, flag | os.O_RDWR, 0o666), "w+b")
    except OSError:  # a file system without them: the named way reports what is really wrong
        return None


def _give_name(file: IO[bytes], path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # only with a folder handle does os.link follow the link below /proc to the file itself
        os.link(f"/proc/self/fd/{file.fileno()}", path.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def write_selection(file: IO[bytes], suffix: str, indices: Array, weights: Array, probabilities: Array) -> None:
    """Write a selection.

    An `.npz` file gets all `n` probabilities. A Parquet file has one row per selected row, in the order of the draw,
    with the probability of that row.

    Args:
        file: Where to write.
        suffix: `.npz`, `.parquet` or `.pq`.
        indices: Selected rows, int64, shape (m,).
        weights: Their weights, float64, shape (m,).
        probabilities: Probabilities of all rows, float64, shape (n,).
    """
    if suffix.lower() == ".npz":
        np.savez(file, indices=indices, weights=weights, probabilities=probabilities)
        return
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"indices": indices, "weights": weights, "probabilities": probabilities[indices]}
    table = pa.table(columns).replace_schema_metadata({"argrad.rows": str(len(probabilities))})
    parquet.write_table(table, file)
