"""The way of a call to a device, with a stand-in for cupy: what is compiled, where, and what a kernel is given."""

import builtins
import contextlib
import inspect
import re
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import argrad
import device_calls
from argrad import _cuda, _kernels
from argrad.decoding import topk


class Kernel:
    """Notes its launches."""

    def __init__(self):
        self.calls = []

    def __call__(self, grid, block, values, shared_mem=0):
        self.calls.append((grid, block, values, shared_mem))


@pytest.fixture
def cupy(monkeypatch):
    """A stand-in that counts compilations and knows the current device."""
    compiled, current, kernel = [], [], Kernel()

    @contextlib.contextmanager
    def on(index):
        current.append(index)
        yield
        current.pop()

    class Module:
        def __init__(self, code, options, name_expressions):
            compiled.append((code, options, tuple(name_expressions), current[-1]))

        def get_function(self, name):
            return kernel

    runtime = types.SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=OSError)
    fake = types.SimpleNamespace(
        ndarray=type("ndarray", (), {}),
        RawModule=Module,
        cuda=types.SimpleNamespace(runtime=runtime, Device=on),
        compiled=compiled,
        kernel=kernel,
    )
    _cuda.function.cache_clear()
    monkeypatch.setattr(_cuda, "library", lambda: fake)
    yield fake
    _cuda.function.cache_clear()


def test_a_launch_compiles_once_and_passes_what_kernels_take(cupy):
    x = np.zeros(3, np.float32)
    for _ in range(2):
        _cuda.launch(x, "decoding", "topk_rows<float>", (4, 2), 128, x, None, 7, 0.5, True, np.float32(2), shared=64)
    ((code, options, names, device),) = cupy.compiled
    assert "topk_rows" in code
    assert "philox4x32" in code
    assert "#include" not in code
    assert (options, names, device) == (_cuda.OPTIONS, ("topk_rows<float>",), 0)
    assert len(cupy.kernel.calls) == 2
    grid, block, values, shared = cupy.kernel.calls[0]
    assert (grid, block, shared) == ((4, 2, 1), (128, 1, 1), 64)
    expected = [np.uint64(x.ctypes.data), np.uint64(0), np.int64(7), np.float64(0.5), np.int64(1), np.float32(2)]
    assert [(type(value), value) for value in values] == [(type(value), value) for value in expected]
    assert not hasattr(cupy.kernel, "max_dynamic_shared_size_bytes")
    _cuda.launch(x, "decoding", "topk_rows<float>", 1, 32, shared=64 * 1024)
    assert cupy.kernel.max_dynamic_shared_size_bytes == 64 * 1024


def test_an_empty_grid_launches_nothing(cupy):
    _cuda.launch(np.zeros(0), "decoding", "topk_rows<double>", 0, 32)
    _cuda.launch(np.zeros(0), "decoding", "topk_rows<double>", (4, 0), 32)
    assert not cupy.kernel.calls


def test_warmup_compiles_every_instance(cupy):
    argrad.warmup()
    names = {name for file in _kernels.KERNELS for name in _kernels.instances(file)}
    assert {name for _, _, (name,), _ in cupy.compiled} == names
    with pytest.raises(ValueError, match="got 'radix'"):
        argrad.warmup(["radix"])
    _cuda.function.cache_clear()
    cupy.compiled.clear()
    argrad.warmup(["topology"])
    files = {name for file in ("topology", "radix") for name in _kernels.instances(file)}
    assert files <= {name for _, _, (name,), _ in cupy.compiled}
    assert not set(_kernels.instances("decoding")) & {name for _, _, (name,), _ in cupy.compiled}
    argrad.warmup()
    count = len(cupy.compiled)
    argrad.warmup(["decoding"])
    assert len(cupy.compiled) == count
    with pytest.raises(ValueError, match=r"warmup: stems must be of .*decoding.*, got 'decode'"):
        argrad.warmup(["decode"])


def test_instances_spell_out_the_types():
    assert {"topk_rows<Half>", "topk_rows<BFloat>", "topk_rows<float>", "topk_rows<double>"} <= set(
        _kernels.instances("decoding")
    )


def test_sources_under_work_come_from_the_folder(monkeypatch, tmp_path):
    (tmp_path / "new.cu").write_text('#pragma once\n#include "part.cuh"\n#include "part.cuh"\nint b;\n')
    (tmp_path / "part.cuh").write_text("int a;\n")
    monkeypatch.setenv("ARGRAD_CUDA_DIR", str(tmp_path))
    _cuda.source.cache_clear()
    try:
        assert _cuda.source("new.cu").split() == ["int", "a;", "int", "b;"]
    finally:
        _cuda.source.cache_clear()


@pytest.fixture
def on_cuda(monkeypatch):
    """Make a CPU tensor look like one of a GPU to the checks and to `launch`."""
    monkeypatch.setattr("argrad._array.is_device", lambda x: True)
    monkeypatch.setattr("argrad._torch.lend", lambda x: None)
    return torch.ones(2, 3)


def test_without_cupy_the_way_to_install_it_is_told(monkeypatch, on_cuda):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "cupy":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'^argrad: kernels on a GPU need cupy.*pip install "argrad\[cuda13\]"'):
        topk(on_cuda, 1)


def test_without_a_gpu_that_is_told(monkeypatch, on_cuda):
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 0, CUDARuntimeError=OSError)
    fake = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime), ndarray=type("ndarray", (), {}))
    monkeypatch.setitem(__import__("sys").modules, "cupy", fake)
    with pytest.raises(RuntimeError, match="argrad: kernels on a GPU need an NVIDIA GPU, found none"):
        topk(on_cuda, 1)

    def broken():
        raise OSError("no driver")

    runtime.getDeviceCount = broken
    with pytest.raises(RuntimeError, match="argrad: kernels on a GPU need an NVIDIA GPU and its driver, got no driver"):
        topk(on_cuda, 1)


def test_validation_is_a_switch():
    with pytest.raises(TypeError, match="set_device_validation: on must be a bool, got int"):
        argrad.set_device_validation(1)
    assert _cuda.fault(np.zeros(1)) is None


def test_a_fault_without_reason_is_not_silent(monkeypatch):
    _cuda.confirm(None, pytest.fail)
    _cuda.confirm(np.zeros(1, np.int32), pytest.fail)
    with pytest.raises(RuntimeError, match="please report this"):
        _cuda.confirm(np.ones(1, np.int32), lambda *_: None, 1, np.zeros(2))


# Every public operator, on the host and on the emulated device.


def operators():
    """The public functions of the stems that take arrays."""
    found = set()
    for stem in ("seeding", "selection", "sorting", "topology", "decoding"):
        module = getattr(argrad, stem)
        found |= {f"{stem}.{name}" for name in module.__all__ if inspect.isfunction(getattr(module, name))}
    return found - device_calls.NOT_ARRAYS


def test_every_operator_is_called():
    assert set(device_calls.CALLS) == operators()


@pytest.mark.parametrize("name", sorted(device_calls.CALLS))
def test_a_device_gives_what_the_host_gives(device, name):
    want = device_calls.outcome(name, torch.tensor)
    with device():
        found = device_calls.outcome(name, torch.tensor)
    assert len(found) == len(want)
    for x, y in zip(found, want, strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        torch.testing.assert_close(x, y, rtol=2e-5, atol=1e-6, equal_nan=True)


def test_the_guide_lists_what_runs_on_a_device():
    page = (Path(__file__).parents[1] / "docs" / "gpu.md").read_text()
    listed = set(re.findall(r"\{func\}`argrad\.((?:\w+)\.\w+)`", page))
    assert listed == set(device_calls.CALLS)
