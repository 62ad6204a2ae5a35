"""The array kinds: memory shared where it can be, converted where it must be, refused with a helpful sentence."""

import contextlib
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from argrad import _array

M = np.arange(12.0).reshape(3, 4)


def misaligned():
    array = np.zeros(M.nbytes + 1, np.uint8)[1:].view(M.dtype).reshape(M.shape)
    array[...] = M
    return array


def assert_ready(array):
    assert type(array) is np.ndarray
    assert array.flags.c_contiguous
    assert array.flags.aligned
    assert array.dtype.isnative


@pytest.mark.parametrize(
    "x",
    [np.asfortranarray(M), np.repeat(M, 2, axis=1)[:, ::2], M[::-1].copy()[::-1], M.astype(">f8"), misaligned()],
    ids=["column-major", "strided", "reversed", "byte-swapped", "misaligned"],
)
def test_raw_converts_what_is_not_ready(x):
    array = _array.raw(x)
    assert_ready(array)
    np.testing.assert_array_equal(array, M)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int8])
def test_raw_shares_memory(dtype):
    x = M.astype(dtype)
    x.flags.writeable = False
    assert _array.raw(x).ctypes.data == x.ctypes.data
    t = torch.from_numpy(M.astype(dtype))
    assert _array.raw(t).ctypes.data == t.data_ptr()


def test_raw_keeps_a_memory_map_on_disk(tmp_path):
    np.save(tmp_path / "M.npy", M)
    mapped = np.load(tmp_path / "M.npy", mmap_mode="r")
    assert_ready(_array.raw(mapped))
    assert np.shares_memory(_array.raw(mapped), mapped)


@pytest.mark.parametrize(
    "x",
    [torch.tensor(M, requires_grad=True), torch.nn.Parameter(torch.tensor(M)), torch.tensor(M).T.contiguous().T],
    ids=["on the tape", "parameter", "column-major"],
)
def test_raw_detaches_tensors(x):
    assert_ready(_array.raw(x))
    np.testing.assert_array_equal(_array.raw(x), M)


def test_raw_resolves_negative_views():
    x = torch.complex(torch.zeros(3), torch.ones(3)).conj().imag
    assert x.is_neg()
    np.testing.assert_array_equal(_array.raw(x), [-1, -1, -1])


@pytest.mark.parametrize("x", [M.astype(np.float16), torch.tensor(M).half(), torch.tensor(M).bfloat16()])
def test_raw_widens_half_precision(x):
    assert _array.raw(x).dtype == np.float32
    np.testing.assert_array_equal(_array.raw(x), M)


def test_raw_keeps_zero_dimensions():
    assert _array.raw(np.array(2.0)).shape == _array.raw(torch.tensor(2.0)).shape == ()


def test_raw_leaves_arrays_of_a_device_there():
    x = torch.empty(3, 2, device="meta", dtype=torch.float16).T
    found = _array.raw(x)
    assert found.is_meta
    assert found.is_contiguous()
    assert (found.dtype, found.shape) == (x.dtype, x.shape)
    assert _array.is_device(found)
    assert not _array.is_device(_array.raw(torch.ones(2)))


class Frame:
    def to_numpy(self): ...


class Sparse:
    def toarray(self): ...


@pytest.mark.parametrize(
    ("x", "actual"),
    [
        ([1.0], "a list (wrap it in numpy.asarray)"),
        ((1.0,), "a tuple (wrap it in numpy.asarray)"),
        (np.ma.masked_array([1.0]), "a MaskedArray (fill the masked values with .filled first)"),
        (Sparse(), "a sparse Sparse (make it dense with .toarray())"),
        (Frame(), "a Frame (pass .to_numpy())"),
        (None, "None"),
        (3.0, "a value of type float"),
    ],
)
def test_place_of_refuses_what_is_no_array(x, actual):
    with pytest.raises(TypeError) as caught:
        _array.place_of(x)
    assert str(caught.value) == f"place_of: x must be a numpy array or a torch tensor, got {actual}"


def test_places_and_kinds(monkeypatch):
    class Foreign:
        """Stands in for cupy.ndarray, which exists only beside a GPU."""

    cupy = types.SimpleNamespace(ndarray=Foreign, ascontiguousarray=lambda x: [x])
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    found = [
        (_array.kind_of(x), _array.place_of(x)) for x in (M, torch.ones(1), torch.empty(1, device="meta"), Foreign())
    ]
    assert found == [("numpy", "host"), ("torch", "host"), ("torch", "device"), ("cupy", "device")]
    assert [_array.is_tensor(x) for x in (M, torch.ones(1), Foreign())] == [False, True, False]
    x = Foreign()
    assert _array.raw(x) == [x]


def test_arrays_are_made_on_the_device_of_the_reference(monkeypatch):
    entered = []
    device = contextlib.contextmanager(lambda: (yield entered.append("device")))

    class Foreign:
        """Stands in for a cupy.ndarray on a device that is not the current one."""

        dtype = np.dtype(np.float32)

        @property
        def device(self):
            return device()

    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(ndarray=Foreign, full=np.full, arange=np.arange))
    x = Foreign()
    assert _array.full((2,), 1.0, x).dtype == np.float32
    assert _array.constant((2,), 7, "int64", x).tolist() == [7, 7]
    assert _array.counted(3, x).tolist() == [0, 1, 2]
    assert entered == ["device"] * 3


def test_like_numpy():
    assert _array.like(M, M) is M
    assert _array.like(M, M, M.dtype) is M
    assert _array.like(M, M, np.float16).dtype == np.float16
    labels = np.arange(3)
    assert _array.like(labels, M, np.float32) is labels


def test_like_torch():
    reference = torch.ones(1, dtype=torch.bfloat16)
    shared = _array.like(M.copy(), reference)
    assert (shared.dtype, shared.shape) == (torch.float64, (3, 4))
    assert _array.like(M, reference, reference.dtype).dtype == torch.bfloat16
    assert _array.like(np.arange(3), reference, reference.dtype).dtype == torch.int64
    assert _array.like(M.sum(), reference, torch.float32).item() == M.sum()
    fixed = M.copy()
    fixed.flags.writeable = False
    copied = _array.like(fixed, reference)
    assert copied.data_ptr() != fixed.ctypes.data


def test_torch_is_not_imported():
    code = (
        "import sys, numpy; from argrad import _array, _check, _torch; "
        "assert not _array.is_tensor(numpy.ones(1)); _array.raw(numpy.ones(1)); _check.seed('f', 1); "
        "sys.exit(bool({'torch', 'cupy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
