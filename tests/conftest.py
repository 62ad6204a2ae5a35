"""Fixtures, hypothesis profiles, and the count of skips."""

import os
import sys
from pathlib import Path
from zlib import crc32

import hypothesis
import numpy as np
import pytest

import argrad
import emulator

pytest_plugins = ["skips"]

# Of the threads of an emulated block.
ORDERS = ["rising", "falling"]

# `make test` sets it: what is tested has to be the installed wheel, never the source tree.
if os.environ.get("ARGRAD_TEST_INSTALLED") and Path(sys.prefix) not in Path(argrad.__file__).parents:
    raise RuntimeError(f"argrad must be imported from {sys.prefix}, got {argrad.__file__}")

# The deadline would let timing decide; derandomize makes every run draw the same examples.
hypothesis.settings.register_profile("fast", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.register_profile("deep", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Each number type that is computed in; half types are cast to float32."""
    return np.dtype(request.param)


@pytest.fixture
def rng():
    """A generator that starts anew, with the same seed, in every test."""
    return np.random.default_rng(20240701)


def pytest_collection_modifyitems(config, items):
    """Run a test of kernels in one order of the threads, as its name has it; with the deep profile in both."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "deep":
        return
    left_out = []
    for item in items:
        order = getattr(item, "callspec", None) and item.callspec.params.get("device")
        if order in ORDERS and ORDERS[crc32(item.nodeid.replace(order, "").encode()) % 2] != order:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    gone = set(left_out)
    items[:] = [item for item in items if item not in gone]


@pytest.fixture(params=["gpu"] if os.environ.get("ARGRAD_TEST_GPU") else ORDERS)
def device(request, monkeypatch):
    """A context in which arrays of the host count as on a device; `make test-gpu` has a real one behind it."""
    return lambda: emulator.device(monkeypatch, request.param)


@pytest.fixture(autouse=True)
def _same_threads_and_level():
    """Undo what a test sets in the process."""
    threads, level = argrad.get_num_threads(), argrad._native.simd_level()
    yield
    argrad.set_num_threads(threads)
    argrad._native.force_simd(level)
