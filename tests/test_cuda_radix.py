"""The radix sort by many blocks, and its scan, run on the host by the emulator."""

import itertools

import numpy as np
import pytest

from argrad import _radix


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (3, 31), (2, 2048), (1, 5001)])
def test_scan(device, rng, rows, length):
    counts = rng.integers(0, 2**40, (rows, length))
    found, totals = counts.copy(), np.empty(rows, np.int64)
    with device():
        _radix.scan(found, rows, totals=totals)
    assert np.array_equal(found, counts.cumsum(1) - counts)
    assert np.array_equal(totals, counts.sum(1))


@pytest.mark.parametrize(
    ("lengths", "bits", "pieces"),
    [
        ((5000,), 32, 2),
        ((0, 1, 2049, 0, 33), 16, 3),
        ((300, 200), 40, None),
        ((70,), 64, 1),
        ((64,), 9, 2),
        ((), 8, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("numbered", [False, True])
def test_sort(device, rng, lengths, bits, pieces, numbered):
    starts = np.cumsum([0, *lengths])
    n, dtype = starts[-1], "uint32" if bits <= 32 else "uint64"
    values = rng.integers(0, 2**bits, n, dtype=dtype)
    values[: n // 2] = values[: n // 2] % 7 + values[:1]  # many that are equal
    values &= np.array(2**bits - 1, dtype)
    places = [np.arange(length) for length in lengths]
    names = np.arange(n)[::-1] if numbered else np.concatenate([*places, np.empty(0, int)])
    keys = values.view(dtype.removeprefix("u")), np.empty(n, dtype.removeprefix("u"))
    numbers = names.astype(np.int32), np.empty(n, np.int32)
    orders = [a + np.argsort(values[a:b], kind="stable") for a, b in itertools.pairwise(starts)]
    order = np.concatenate([*orders, np.empty(0, int)]).astype(int)
    expected = values[order]
    if not numbered:
        numbers[0][:] = -1  # not read
    longest = max(lengths, default=0)
    with device():
        found = _radix.sort(keys, numbers, starts, len(lengths), longest, bits=bits, numbered=numbered, pieces=pieces)
    assert np.array_equal(found[0].view(dtype), expected)
    assert np.array_equal(found[1], names[order])
