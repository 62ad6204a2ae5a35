"""Kernels of half precision, run by the emulator: every operator on float16 arrays gives what the host gives."""

import warnings

import numpy as np
import pytest

import argrad
import device_calls


def half(array):
    return array.astype(np.float16) if array.dtype == np.float32 else array


@pytest.mark.parametrize("name", sorted(device_calls.CALLS))
def test_half_precision(device, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", argrad.selection.SelectionWarning)
        wanted = device_calls.flat(device_calls.CALLS[name](half))
        with device():
            found = device_calls.flat(device_calls.CALLS[name](half))
    assert len(found) == len(wanted) > 0
    for x, y in zip(found, wanted, strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        # A half may be rounded the other way where the sums before differ in their last bits.
        np.testing.assert_allclose(x.astype(np.float64), y, rtol=1e-3 if x.dtype == np.float16 else 2e-6, atol=1e-6)
