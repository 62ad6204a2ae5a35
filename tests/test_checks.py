"""Each generic check accepts a right function and rejects wrong ones: a check not seen to fail is no check."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import argrad
import checks

X = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)


def double(x):
    """A right operator: row-wise, keeps kind and dtype."""
    return x + x


def strict(x):
    """A right operator that refuses bad input in the house's grammar."""
    if x.size == 0:
        raise ValueError(f"strict: x must be a matrix of at least one row and one column, got shape {x.shape}")
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"strict: x must be finite, got {x[row, column]} at row {row}, column {column}")
    return double(x)


def failing(error, text):
    def call(*_):
        raise error(text)

    return call


def rejected(check, *args, **options):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(*args, **options)


@dataclasses.dataclass
class Pair:
    first: np.ndarray
    second: dict


def test_leaves_finds_every_array():
    result = (Pair(X, {"a": [1, torch.ones(2)]}), torch.ones(1, dtype=torch.bfloat16), None)
    assert len(checks.leaves(result)) == 6


@pytest.mark.parametrize(
    "other",
    [X[:3], X.astype(np.float64), X + np.float32(1e-6), np.copysign(X, 1), (X, X), "text"],
    ids=["shape", "dtype", "value", "sign", "parts", "kind"],
)
def test_assert_same(other):
    checks.assert_same(X, X.copy())
    checks.assert_same(np.array([np.nan]), np.array([np.nan]))
    rejected(checks.assert_same, X, other)


def test_assert_same_tells_the_zeros_apart():
    rejected(checks.assert_same, np.array([0.0]), np.array([-0.0]))


def test_keeps_dtype():
    checks.keeps_dtype(double, X)
    rejected(checks.keeps_dtype, lambda x: x.astype(np.float64), X)
    rejected(checks.keeps_dtype, lambda x: x.astype(np.float32), X)
    rejected(checks.keeps_dtype, lambda x: np.argsort(x, 1), X)


def test_keeps_kind():
    checks.keeps_kind(double, X)
    checks.keeps_kind(lambda x: (double(x), x), X)
    rejected(checks.keeps_kind, np.asarray, X)
    rejected(checks.keeps_kind, lambda x: x.float() * 2 if isinstance(x, torch.Tensor) else double(x), X)
    rejected(checks.keeps_kind, lambda x: x * 3 if isinstance(x, torch.Tensor) else double(x), X)


def ignores(attribute):
    """An operator that reads the memory of `x` without looking at one of its attributes."""

    def call(x):
        if attribute == "strides" and not x.flags.c_contiguous:
            return np.zeros_like(x, order="C")
        if attribute == "alignment" and not x.flags.aligned:
            raise TypeError("misaligned")
        if attribute == "order" and x.flags.f_contiguous:
            return np.ascontiguousarray(x.ravel("K").reshape(x.shape))
        if attribute == "bytes":
            return x.view(x.dtype.newbyteorder("=")).copy()
        return x.astype(x.dtype.newbyteorder("="))

    return call


def test_accepts_any_layout():
    checks.accepts_any_layout(lambda x: np.ascontiguousarray(x, x.dtype.newbyteorder("=")) * 2, X)
    for attribute in ("strides", "order", "bytes"):
        rejected(checks.accepts_any_layout, ignores(attribute), X)
    with pytest.raises(TypeError, match="misaligned"):
        checks.accepts_any_layout(ignores("alignment"), X)


def test_leaves_input_alone():
    checks.leaves_input_alone(double, X)

    def in_place(x):
        x *= 2
        return x

    rejected(checks.leaves_input_alone, in_place, X.copy())

    def refuses(x):
        if not x.flags.writeable:
            raise ValueError("read-only")
        return double(x)

    with pytest.raises(ValueError, match="read-only"):
        checks.leaves_input_alone(refuses, X)


def test_accepts_empty():
    checks.accepts_empty(double, X, [(0, 4)])
    rejected(checks.accepts_empty, lambda x: x.sum(0), X, [(0, 4)])


def test_refuses_empty():
    checks.refuses_empty(strict, X, "strict", "x")
    rejected(checks.refuses_empty, double, X, "strict", "x")
    rejected(checks.refuses_empty, lambda x: strict(x) if len(x) == 0 else double(x), X, "strict", "x")


def test_refuses_non_finite():
    checks.refuses_non_finite(strict, X, "strict", "x")
    rejected(checks.refuses_non_finite, double, X, "strict", "x")
    rejected(checks.refuses_non_finite, lambda x: strict(np.nan_to_num(x, nan=np.nan, posinf=0)), X, "strict", "x")
    rejected(checks.refuses_non_finite, lambda x: strict(x[:-1]), X, "strict", "x")
    rejected(checks.refuses_non_finite, lambda x: strict(x.T), X, "strict", "x")


def test_keeps_nan_in_its_row():
    checks.keeps_nan_in_its_row(lambda x: x.sum(1), X)
    rejected(checks.keeps_nan_in_its_row, lambda x: x.sum(1) / x.sum(), X)
    rejected(checks.keeps_nan_in_its_row, lambda x: np.nansum(x, 1), X)


def test_treats_rows_alone():
    checks.treats_rows_alone(double, X)
    rejected(checks.treats_rows_alone, lambda x: x - x.mean(0), X)
    rejected(checks.treats_rows_alone, lambda x: x * (1 + (len(x) == 3)), X)


@pytest.mark.parametrize(
    "wrong",
    [
        argrad.get_num_threads,
        lambda: argrad.get_num_threads() == 16,
        argrad._native.simd_level,
        lambda: X / 3 if argrad._native.simd_level() == "portable" else X * np.float32(1 / 3),
        lambda: np.random.default_rng().normal(),
    ],
    ids=["threads", "many threads", "level", "rounding", "random"],
)
def test_same_for_all_threads_and_levels(wrong):
    # Every machine that runs this has a second level, else half of the rejections could not be seen.
    assert len(argrad._native.simd_levels()) > 1
    before = argrad.get_num_threads(), argrad._native.simd_level()
    checks.same_for_all_threads_and_levels(lambda: X / 3)
    rejected(checks.same_for_all_threads_and_levels, wrong)
    assert (argrad.get_num_threads(), argrad._native.simd_level()) == before


def test_follows_seed():
    checks.follows_seed(lambda seed: np.random.default_rng(seed).integers(9, size=5))
    rejected(checks.follows_seed, lambda seed: X)
    rejected(checks.follows_seed, lambda seed: np.random.default_rng().normal())
    rejected(checks.follows_seed, lambda seed: seed if isinstance(seed, int) else np.random.default_rng().normal())


@pytest.mark.parametrize(
    "text",
    [
        "x must be positive, got 0",
        "other: x must be positive, got 0",
        "f: y must be positive, got 0",
        "f: x must be positive",
        "f: x is wrong, got 0",
        "f: x must be positive, got 0.",
        "f: x must be positive, got 0. Try 1",
        "f: x must be positive,\ngot 0",
        "f: invalid input: x must be positive, got 0",
    ],
)
def test_raises_sentence(text):
    good = "f: x must be positive, got 0.5"
    assert checks.raises_sentence(ValueError, failing(ValueError, good), "f", "x", contains="0.5") == good
    rejected(checks.raises_sentence, ValueError, failing(ValueError, text), "f", "x")
    rejected(checks.raises_sentence, ValueError, failing(ValueError, good), "f", "x", contains=["0.5", "row"])


def test_raises_sentence_wants_the_exact_type():
    rejected(checks.raises_sentence, ValueError, lambda: None, "f")
    rejected(checks.raises_sentence, ValueError, failing(UnicodeError, "f: x must be text, got 0"), "f")


@pytest.mark.parametrize(("name", "code"), [("test_gpu.py", 0), ("test_other.py", 1)])
@pytest.mark.parametrize("skip", ["pytest.skip('no')", "pytest.skip('no', allow_module_level=True)\n  #"])
def test_a_skip_fails_the_run_outside_the_gpu_file(tmp_path, name, code, skip):
    source = "import pytest\n" + (f"if True:\n  {skip}\n" if "module" in skip else f"def test_it():\n    {skip}\n")
    (tmp_path / name).write_text(source + "def test_runs():\n    pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "skips",
        "-c",
        "/dev/null",
        f"--rootdir={tmp_path}",
        str(tmp_path / name),
    ]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "module" in skip and code == 0:
        code = pytest.ExitCode.NO_TESTS_COLLECTED  # pytest's own answer to a file that skips itself
    assert done.returncode == code, done.stdout + done.stderr
    assert f"skipped: 1, of these outside test_gpu.py: {1 if name == 'test_other.py' else 0}" in done.stdout
