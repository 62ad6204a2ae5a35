"""The command: what it writes, and that every bad input gives one sentence, exit code 2 and no file."""

import errno
import io
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import argrad
from argrad import _files, cli
from argrad.selection import sensitivity_sample

N, D, M = 600, 5, 40


@pytest.fixture
def rows(rng):
    return rng.normal(size=(N, D)).astype(np.float32)


@pytest.fixture
def losses(rows):
    return np.square(rows[:, 0]).astype(np.float64)


@pytest.fixture
def folder(tmp_path, monkeypatch, rows, losses):
    """A working folder with the same embeddings in every format."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rows)
    np.save("losses.npy", losses)
    np.savez("one.npz", x=rows)
    np.savez("two.npz", x=rows, losses=losses, weights=np.arange(N))
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), D)
    columns = {"x": list(rows), "losses": losses, "weights": np.arange(N), "name": ["row"] * N}
    parquet.write_table(pa.table(columns), "x.parquet", row_group_size=250)
    parquet.write_table(pa.table({"x": fixed, "z": fixed}), "fixed.parquet")
    return tmp_path


def run(*words):
    return cli.main(["select", *map(str, words)])


def selected(*words, output="out.npz"):
    assert run(*words, "--n-select", M, "--output", output, "--quiet") == 0
    if output.endswith(".npz"):
        with np.load(output) as archive:
            return dict(archive)
    return {name: column.to_numpy() for name, column in zip(*_columns(output), strict=True)}


def _columns(path):
    table = parquet.read_table(path)
    return table.column_names, table.columns


def refusal(capsys, folder, *words):
    """Run with bad input; return the sentence, once nothing else was printed or written."""
    before = {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()}
    assert run(*words) == cli.BAD_INPUT
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("argrad: ")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()} == before
    return printed.err


class TestResult:
    def test_equals_the_function(self, folder, rows, losses):
        found = selected("two.npz", "--column", "x", "--loss", "losses", "--weights", "weights", "--seed", 7)
        expected = sensitivity_sample(rows, losses, M, sample_weight=np.arange(N, dtype=float), random_state=7)
        np.testing.assert_array_equal(found["indices"], expected.indices)
        np.testing.assert_array_equal(found["weights"], expected.weights)
        np.testing.assert_array_equal(found["probabilities"], expected.probabilities)
        assert found["indices"].dtype == np.int64
        assert found["probabilities"].shape == (N,)

    @pytest.mark.parametrize(
        "words",
        [
            ("one.npz",),
            ("two.npz", "--column", "x"),
            ("x.parquet",),
            ("x.parquet", "--column", "x"),
            ("fixed.parquet", "--column", "z"),
        ],
    )
    def test_every_format_gives_the_same_selection(self, folder, words):
        expected = selected("x.npy", output="expected.npz")
        found = selected(*words)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)

    @pytest.mark.parametrize(
        "words",
        [
            ("two.npz", "--column", "x", "--loss", "losses"),
            ("x.parquet", "--loss", "losses"),
            ("x.parquet", "--loss", "losses.npy"),
        ],
    )
    def test_losses_come_from_columns_keys_and_files(self, folder, words):
        expected = selected("x.npy", "--loss", "losses.npy", output="expected.npz")
        np.testing.assert_array_equal(selected(*words)["weights"], expected["weights"])

    def test_parquet_holds_one_row_per_selected_row(self, folder):
        whole = selected("x.npy")
        table = selected("x.npy", output="out.parquet")
        np.testing.assert_array_equal(table["indices"], whole["indices"])
        np.testing.assert_array_equal(table["weights"], whole["weights"])
        np.testing.assert_array_equal(table["probabilities"], whole["probabilities"][whole["indices"]])

    @pytest.mark.parametrize("output", ["out.npz", "out.parquet", "out.pq"])
    def test_same_seed_same_bytes(self, folder, output):
        selected("x.npy", "--seed", 3, output=output)
        first = (folder / output).read_bytes()
        selected("x.npy", "--seed", 3, output=output)
        assert (folder / output).read_bytes() == first
        selected("x.npy", "--seed", 4, output=output)
        assert (folder / output).read_bytes() != first

    def test_options_reach_the_function(self, folder, rows, losses):
        words = ("--mix", 0.5, "--draw", "iid", "--n-clusters", 9, "--proxy", "medoid")
        found = selected("x.npy", "--loss", "losses.npy", *words)
        options = {"mix": 0.5, "draw": "iid", "n_clusters": 9, "proxy": "medoid"}
        expected = sensitivity_sample(rows, losses, M, random_state=0, **options)
        np.testing.assert_array_equal(found["weights"], expected.weights)

    def test_an_npy_file_is_mapped(self, folder):
        assert isinstance(_files.read_embeddings(folder / "x.npy", None, print), np.memmap)

    def test_a_file_is_replaced_with_ordinary_permissions(self, folder):
        (folder / "out.npz").write_bytes(b"old")
        umask = os.umask(0o022)
        try:
            selected("x.npy")
        finally:
            os.umask(umask)
        assert (folder / "out.npz").stat().st_mode & 0o777 == 0o644

    def test_the_table_names_the_diagnostics(self, folder, capsys):
        assert run("x.npy", "--n-select", M, "--output", "out.npz") == 0
        printed = capsys.readouterr()
        for word in ("600", "40", "effective size", "largest weight", "out.npz"):
            assert word in printed.out
        assert run("x.npy", "--n-select", M, "--output", "out.npz", "--quiet") == 0
        assert capsys.readouterr().out == ""

    def test_plot_writes_a_picture(self, folder):
        selected("x.npy", "--plot", "picture.png")
        assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")


def broken(folder):
    """Write the damaged inputs."""
    rows = np.load("x.npy")
    data = (folder / "x.npy").read_bytes()
    (folder / "empty.npy").write_bytes(b"")
    (folder / "cut.npy").write_bytes(data[:-100])
    (folder / "cut_head.npy").write_bytes(data[:20])
    (folder / "text.npy").write_text("not an array")
    (folder / "empty.npz").write_bytes(b"")
    (folder / "cut.npz").write_bytes((folder / "one.npz").read_bytes()[:-100])
    (folder / "empty_file.parquet").write_bytes(b"")
    (folder / "cut.parquet").write_bytes((folder / "x.parquet").read_bytes()[:-100])
    hole = bytearray((folder / "fixed.parquet").read_bytes())
    hole[4:200] = bytes(196)
    (folder / "hole.parquet").write_bytes(hole)
    (folder / "loop.npy").symlink_to("loop.npy")
    (folder / "folder.npz").mkdir()
    np.save("integers.npy", rows.astype(np.int64))
    np.save("objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.save("complex.npy", rows.astype(np.complex64))
    np.save("flat.npy", rows[:, 0])
    np.save("no_rows.npy", rows[:0])
    np.save("words.npy", np.array(["a"] * N))
    np.save("short.npy", np.ones(N - 1))
    np.save("negative.npy", -np.ones(N))
    hurt = rows.copy()
    hurt[333, 2] = np.nan
    np.save("nan.npy", hurt)
    parquet.write_table(pa.table({"x": [[1.0, 2.0], [1.0]]}), "ragged.parquet")
    parquet.write_table(pa.table({"x": [[1.0, 2.0], None]}), "null_row.parquet")
    parquet.write_table(pa.table({"x": [[1.0, 2.0], [1.0, None]]}), "null.parquet")
    parquet.write_table(pa.table({"x": pa.array([], pa.list_(pa.float32()))}), "no_rows.parquet")
    parquet.write_table(pa.table({"x": [[1, 2], [3, 4]]}), "integers.parquet")
    parquet.write_table(pa.table({"x": list(rows), "l": [None] + [1.0] * (N - 1)}), "null_loss.parquet")


BAD_INPUT = [
    ("missing.npy", "No such file"),
    ("x.csv", "INPUT must be a file ending in .npy, .npz, .parquet, .pq, got 'x.csv'"),
    ("x", "INPUT must be a file ending in"),
    ("folder.npz", "Is a directory"),
    ("loop.npy", "INPUT must be a readable file, got 'loop.npy'"),
    ("empty.npy", "INPUT must be a complete .npy file"),
    ("cut.npy", "INPUT must be a complete .npy file"),
    ("cut_head.npy", "INPUT must be a complete .npy file"),
    ("text.npy", "INPUT must be a complete .npy file"),
    ("empty.npz", "INPUT must be a complete .npz file"),
    ("cut.npz", "INPUT must be a complete .npz file"),
    ("missing.npz", "No such file"),
    ("empty_file.parquet", "INPUT must be a complete Parquet file"),
    ("cut.parquet", "INPUT must be a complete Parquet file"),
    ("hole.parquet --column x", "INPUT must be a"),
    ("missing.parquet", "No such file"),
    ("integers.npy", "int64"),
    ("objects.npy", "INPUT must be a complete .npy file"),
    ("complex.npy", "complex64"),
    ("flat.npy", "2-dimensional"),
    ("no_rows.npy", "at least one row"),
    ("nan.npy", "row 333, column 2"),
    ("two.npz", "--column must be one of the arrays of the file ('x', 'losses', 'weights'), got nothing"),
    ("two.npz --column y", "got 'y'"),
    ("x.npy --column x", "--column must be left out"),
    ("fixed.parquet", "--column must be one of the list columns ('x', 'z'), got nothing"),
    ("x.parquet --column y", "--column must be one of the columns"),
    ("x.parquet --column name", "--column must be a column of lists of floats, got 'name' of type string"),
    ("integers.parquet", "--column must be a column of lists of floats"),
    ("ragged.parquet", "1 numbers in row 1"),
    ("null_row.parquet", "null in row 1"),
    ("null.parquet", "null in row 1, position 1"),
    ("no_rows.parquet", "at least one row"),
    ("x.npy --loss losses", "--loss must be an .npy file when INPUT is an .npy file"),
    ("x.npy --loss missing.npy", "--loss must be a readable file"),
    ("x.npy --loss short.npy", "599"),
    ("x.npy --loss negative.npy", "loss must"),
    ("x.npy --loss words.npy", "--loss must be numbers"),
    ("x.npy --loss x.npy", "--loss must be one number per row"),
    ("x.npy --weights negative.npy", "sample_weight must"),
    ("x.npy --weights short.npy", "599"),
    ("x.parquet --weights nothing", "--weights must be one of the columns"),
    ("null_loss.parquet --loss l", "null in row 0 of 'l'"),
    ("two.npz --column x --loss nothing", "--loss must be one of"),
    ("x.npy --seed -1", "random_state must"),
    ("x.npy --mix 2", "mix must"),
    ("x.npy --draw lots", "--draw"),
    ("x.npy --bogus", "--bogus"),
    ("x.npy --plot picture.txt", "--plot must be a file ending in"),
    ("x.npy --plot nowhere/picture.png", "--plot must be in an existing folder"),
]


@pytest.mark.parametrize(("words", "message"), BAD_INPUT, ids=[words for words, _ in BAD_INPUT])
def test_bad_input_is_one_sentence_and_writes_nothing(folder, capsys, words, message):
    broken(folder)
    assert message in refusal(capsys, folder, *words.split(), "--n-select", "2", "--output", "out.npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--n-select 601 --output out.npz", "600"),
        ("--n-select 0 --output out.npz", "got 0"),
        ("--n-select many --output out.npz", "--n-select"),
        ("--n-select 9", "--output"),
        ("--output out.npz", "--n-select"),
        ("--n-select 9 --output out", "--output must be a file ending in .npz, .parquet, .pq, got 'out'"),
        ("--n-select 9 --output out.csv", "--output must be a file ending in"),
        ("--n-select 9 --output folder.npz", "--output must be a file, got the folder"),
        ("--n-select 9 --output nowhere/out.npz", "--output must be in an existing folder"),
        ("--n-select 9 --output losses.npy/out.npz", "--output must be in an existing folder"),
    ],
)
def test_bad_size_or_output(folder, capsys, words, message):
    broken(folder)
    assert message in refusal(capsys, folder, "x.npy", *words.split())


def test_the_input_is_never_overwritten(folder, capsys):
    (folder / "link.npz").symlink_to("one.npz")
    for name in ("one.npz", "link.npz", "../" + folder.name + "/one.npz"):
        sentence = refusal(capsys, folder, "one.npz", "--n-select", 9, "--output", name)
        assert "--output must be another file than the input" in sentence


def test_a_folder_without_permission(folder, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # permissions do not bind an administrator
    sentence = refusal(capsys, folder, "x.npy", "--n-select", 9, "--output", "out.npz")
    assert "--output must be in a writable folder" in sentence


def test_a_file_without_permission(folder, capsys, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(np.lib.format, "open_memmap", refuse)
    sentence = refusal(capsys, folder, "x.npy", "--n-select", 9, "--output", "out.npz")
    assert "INPUT must be a readable file, got 'x.npy' (Permission denied)" in sentence


def test_a_warning_is_one_line(folder, capsys):
    parquet.write_table(pa.table({"x": [[1.0, 2.0]] * 50}), "equal.parquet")  # fewer different rows than clusters
    assert run("equal.parquet", "--n-select", 5, "--output", "out.npz", "--quiet") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("argrad: warning: ") for line in lines)


class TestWholeOrNotAtAll:
    @pytest.mark.parametrize("named", [True, False])
    @pytest.mark.parametrize("output", ["out.npz", "out.parquet"])
    def test_a_full_disk(self, folder, capsys, monkeypatch, output, named):
        self._maybe_named(monkeypatch, named)
        monkeypatch.setattr(os, "fsync", _disk_full)
        sentence = refusal(capsys, folder, "x.npy", "--n-select", 9, "--output", output)
        assert "No space left on device" in sentence

    @pytest.mark.parametrize("named", [True, False])
    def test_a_full_disk_keeps_the_old_file(self, folder, capsys, monkeypatch, named):
        self._maybe_named(monkeypatch, named)
        (folder / "out.npz").write_bytes(b"old")
        monkeypatch.setattr(os, "fsync", _disk_full)
        refusal(capsys, folder, "x.npy", "--n-select", 9, "--output", "out.npz")
        assert (folder / "out.npz").read_bytes() == b"old"

    @pytest.mark.parametrize("output", ["out.npz", "out.parquet"])
    def test_a_file_that_may_not_grow(self, folder, output):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        before = sorted(folder.iterdir())
        words = [sys.executable, "-m", "argrad.cli", "select", "x.npy", "--n-select", "300", "--output", output]
        done = subprocess.run(words, preexec_fn=limit, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == cli.BAD_INPUT
        assert "File too large" in done.stderr
        assert done.stderr.count("\n") == 1
        assert sorted(folder.iterdir()) == before

    def test_a_picture_that_fails_takes_the_result_with_it(self, folder, capsys, monkeypatch):
        from argrad import plots

        monkeypatch.setattr(plots, "save", _disk_full)
        words = ("--n-select", 9, "--output", "out.npz", "--plot", "picture.png")
        assert "No space left" in refusal(capsys, folder, "x.npy", *words)

    @pytest.mark.parametrize("moment", ["selecting", "writing"])
    def test_a_killed_run_leaves_nothing(self, folder, moment):
        """Stop in the middle of the work, or with the file half written, and kill without any chance to tidy up."""
        code = """
import sys, time
from argrad import _files, cli

def stop(*arguments, **options):
    if sys.argv[1] == "writing":
        arguments[0].write(bytes(100_000)); arguments[0].flush()
    print("now", flush=True)
    time.sleep(100)

if sys.argv[1] == "writing":
    _files.write_selection = stop
else:
    cli.sensitivity_sample = stop
cli.main(["select", "x.npy", "--n-select", "9", "--output", "out.npz"])
"""
        before = sorted(folder.iterdir())
        with subprocess.Popen([sys.executable, "-c", code, moment], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "now\n"
            process.kill()
        assert process.returncode == -signal.SIGKILL
        left = set(folder.iterdir()) - set(before)
        assert not (folder / "out.npz").exists()
        assert not left or (moment == "writing" and not nameless(folder) and len(left) == 1)

    @staticmethod
    def _maybe_named(monkeypatch, named):
        """Take the way of systems whose files always have a name."""
        if named:
            monkeypatch.setattr(_files, "_unnamed", lambda folder: None)


def _disk_full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_interrupt_ends_with_130_and_one_line(folder):
    code = """
import time
from argrad import cli

def wait(*arguments, **options):
    print("now", flush=True)
    time.sleep(100)

cli.sensitivity_sample = wait
raise SystemExit(cli.main(["select", "x.npy", "--n-select", "9", "--output", "out.npz"]))
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout.readline() == "now\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=100)
    assert process.returncode == cli.INTERRUPTED
    assert stderr == "argrad: interrupted\n"
    assert not (folder / "out.npz").exists()


@pytest.mark.parametrize("module", ["cyclopts", "rich", "tqdm"])
def test_without_the_extra_its_name_is_given(folder, capsys, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert "pip install argrad[cli]" in refusal(capsys, folder, "x.npy", "--n-select", 9, "--output", "out.npz")


def test_without_pyarrow_its_extra_is_named(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for words in (("x.parquet", "--output", "out.npz"), ("x.npy", "--output", "out.parquet")):
        assert "pip install argrad[parquet]" in refusal(capsys, folder, *words, "--n-select", 9)


def test_without_matplotlib_nothing_is_written(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    words = ("--n-select", 9, "--output", "out.npz", "--plot", "picture.png")
    assert "pip install argrad[plot]" in refusal(capsys, folder, "x.npy", *words)


def test_info_and_version_and_help(capsys):
    assert cli.main(["info"]) == 0
    assert argrad.__version__ in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == argrad.__version__
    assert cli.main(["select", "--help"]) == 0
    assert "--n-select" in capsys.readouterr().out


def nameless(folder):
    """Whether the file system has files without a name, on which the promise of a killed run rests."""
    file = _files._unnamed(folder)
    if file is not None:
        file.close()
    return file is not None


def test_a_file_has_no_name_before_it_is_whole(folder):
    before = set(folder.iterdir())
    with _files.replacing(folder / "out.npz") as file:
        file.write(b"part")
        file.flush()
        assert set(folder.iterdir()) == before or not nameless(folder)
    assert (folder / "out.npz").read_bytes() == b"part"
    assert set(folder.iterdir()) == before | {folder / "out.npz"}


def test_write_selection_needs_no_file(rows):
    memory = io.BytesIO()
    _files.write_selection(memory, ".parquet", np.array([2, 0]), np.array([1.5, 2.0]), np.array([0.5, 0.1, 0.7]))
    memory.seek(0)
    assert parquet.read_table(memory).to_pydict() == {
        "indices": [2, 0],
        "weights": [1.5, 2.0],
        "probabilities": [0.7, 0.5],
    }
