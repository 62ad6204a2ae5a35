"""The generic checks that every operator goes through. test_checks.py shows that each rejects a wrong function.

A `call` is the public operator with all other arguments bound, a function of one array (or of nothing, where said). Its
result may be an array, a tensor, a number, a string, None, a dataclass, a mapping, or a list or tuple of these.
"""

import dataclasses
import re

import numpy as np
import pytest

import argrad

FLOATS = (np.float16, np.float32, np.float64)
THREADS = (1, 2, 3, 16)


def leaves(result):
    """The arrays in a result, in order; everything that is not a container becomes one."""
    if dataclasses.is_dataclass(result):
        result = [getattr(result, field.name) for field in dataclasses.fields(result)]
    if isinstance(result, dict):
        result = [item for pair in result.items() for item in pair]
    if isinstance(result, list | tuple):
        return [leaf for item in result for leaf in leaves(item)]
    if hasattr(result, "detach"):
        result = result.detach()
        result = (result.float() if str(result.dtype) == "torch.bfloat16" else result).numpy()
    return [np.asarray(result)]


def assert_same(first, second, what="results"):
    """Equal structure, dtypes, shapes and bits (NaN equals NaN)."""
    a, b = leaves(first), leaves(second)
    assert len(a) == len(b), f"{what}: {len(a)} and {len(b)} parts"
    for index, (x, y) in enumerate(zip(a, b, strict=True)):
        assert (x.dtype, x.shape) == (y.dtype, y.shape), f"{what}, part {index}: {x.dtype}{x.shape}, {y.dtype}{y.shape}"
        # Compared as bytes where possible, so that -0.0 and 0.0 differ and NaN equals NaN.
        equal = np.array_equal(x, y) if x.dtype == object else x.tobytes() == y.tobytes()
        assert equal, f"{what}, part {index} differ: {x!r} and {y!r}"


def keeps_dtype(call, x, dtypes=FLOATS):
    """Floating results have the input's dtype, half types included. Bind away results of a fixed dtype."""
    for dtype in dtypes:
        floating = [leaf for leaf in leaves(call(x.astype(dtype))) if np.issubdtype(leaf.dtype, np.floating)]
        assert floating, "keeps_dtype: call returns nothing floating"
        for leaf in floating:
            assert leaf.dtype == dtype, f"{np.dtype(dtype)} in, {leaf.dtype} out"


def keeps_kind(call, x):
    """A tensor in gives a tensor out of the same dtype, with the numbers that numpy gets; bfloat16 included."""
    import torch

    result = call(torch.from_numpy(x.copy()))
    parts = result if isinstance(result, tuple) else (result,)
    assert all(isinstance(part, torch.Tensor) for part in parts), f"tensor in, {[type(part) for part in parts]} out"
    assert_same(call(x), result, "numpy and torch")
    half = call(torch.from_numpy(x.copy()).to(torch.bfloat16))
    for part in half if isinstance(half, tuple) else (half,):
        assert not part.is_floating_point() or part.dtype == torch.bfloat16, f"bfloat16 in, {part.dtype} out"


def accepts_any_layout(call, x):
    """Strided, reversed, column-major, misaligned and byte-swapped views give the result of the contiguous array."""
    expected = call(np.ascontiguousarray(x))
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    layouts = {
        "strided": wide[..., ::2],
        "reversed": np.ascontiguousarray(x[::-1])[::-1],
        "column-major": np.asfortranarray(x),
        "misaligned": shifted,
        "byte-swapped": x.astype(x.dtype.newbyteorder()),
    }
    for name, view in layouts.items():
        assert_same(expected, call(view), f"contiguous and {name}")


def leaves_input_alone(call, x):
    """Read-only input is accepted and gives the same result; writable input is not changed."""
    before = x.copy()
    expected = call(x)
    assert_same(before, x, "input before and after")
    frozen = x.copy()
    frozen.flags.writeable = False
    assert_same(expected, call(frozen), "writable and read-only")


def accepts_empty(call, x, shapes):
    """No rows in, results of the given shapes out."""
    found = [leaf.shape for leaf in leaves(call(x[:0]))]
    assert found == list(shapes), f"{found} for no rows, expected {list(shapes)}"


def refuses_empty(call, x, function, argument):
    """No rows, and no columns, are errors in the house's grammar."""
    for empty in (x[:0], x[..., :0]):
        raises_sentence(ValueError, lambda empty=empty: call(empty), function, argument, contains="got shape")


def refuses_non_finite(call, x, function, argument):
    """NaN and both infinities, anywhere in a matrix, are errors that name row and column."""
    rows, columns = x.shape
    places = [(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)]
    for value in (np.nan, np.inf, -np.inf):
        for row, column in places:
            bad = x.copy()
            bad[row, column] = value
            raises_sentence(
                ValueError,
                lambda bad=bad: call(bad),
                function,
                argument,
                contains=f"at row {row}, column {column}",
            )


def keeps_nan_in_its_row(call, x):
    """For operators on rows that let NaN through: the bad row's result is NaN, the others do not change."""
    bad = x.copy()
    bad[1, 0] = np.nan
    for good, found in zip(leaves(call(x)), leaves(call(bad)), strict=True):
        assert np.isnan(found[1]).all(), f"row with NaN gives {found[1]}"
        assert_same(np.delete(good, 1, 0), np.delete(found, 1, 0), "other rows")


def treats_rows_alone(call, x):
    """A batch gives what its rows give one by one, and what two halves give."""
    whole = leaves(call(x))
    for pieces in ([x[i : i + 1] for i in range(len(x))], [x[: len(x) // 2], x[len(x) // 2 :]]):
        parts = [leaves(call(piece)) for piece in pieces]
        assert_same(whole, [np.concatenate(column) for column in zip(*parts, strict=True)], "batch and rows")


def same_for_all_threads_and_levels(call, threads=THREADS):
    """Bit-equal results of `call()` for every number of threads and every instruction set of this processor."""
    native = argrad._native
    assert native.simd_levels()[0] == "portable"
    before, level_before = argrad.get_num_threads(), native.simd_level()
    try:
        expected = None
        for level in native.simd_levels():
            native.force_simd(level)
            for count in threads:
                argrad.set_num_threads(count)
                result = call()
                expected = result if expected is None else expected
                assert_same(expected, result, f"{level} with {count} threads")
    finally:
        argrad.set_num_threads(before)
        native.force_simd(level_before)


def follows_seed(call):
    """`call(random_state)`: one seed gives one result; of a few other seeds at least one gives another."""
    first = call(1)
    assert_same(first, call(1), "one seed twice")
    assert_same(call(np.random.default_rng(5)), call(np.random.default_rng(5)), "equal generators")
    others = [b"".join(leaf.tobytes() for leaf in leaves(call(seed))) for seed in range(2, 8)]
    assert len({*others, b"".join(leaf.tobytes() for leaf in leaves(first))}) > 1, "the seed has no effect"


def raises_sentence(error, call, function, argument=None, *, contains=()):
    """`call()` raises exactly `error` with one sentence, `{function}: {argument} must be {expected}, got {actual}`.

    Without `argument` only the opening and the form of a single sentence are asked for. Returns the text.
    """
    with pytest.raises(error) as caught:
        call()
    assert caught.type is error, f"{caught.type} instead of {error}"
    text = str(caught.value)
    assert text.startswith(f"{function}: "), f"does not open with the function's name: {text!r}"
    assert "\n" not in text, f"more than one line: {text!r}"
    assert not re.search(r"\.\s+[A-Z]|\.$", text), f"more than a sentence, or a full stop: {text!r}"
    assert "invalid input" not in text.lower(), f"says nothing: {text!r}"
    if argument is not None:
        grammar = rf"{re.escape(function)}: {re.escape(argument)} must be .+, got .+"
        assert re.fullmatch(grammar, text), f"not of the form {grammar!r}: {text!r}"
    for piece in [contains] if isinstance(contains, str) else contains:
        assert piece in text, f"lacks {piece!r}: {text!r}"
    return text
