"""A device on the host: kernels compiled as plain C++, one fiber for each of their threads (see `on_host.h`).

`device` lets public functions run so, on numpy arrays and CPU tensors: all that Python says about a kernel (its name,
grid, shared memory and arguments) is tried as well.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from argrad import _array, _check, _cuda, _kernels, _torch

HEADER = Path(__file__).parent / "on_host.h"
COMPILER = os.environ.get("CXX", "c++")
PROCESSORS = 3
"""Multiprocessors of the device: few, so that blocks take several rows."""


def compiled(text, names):
    """The kernels `names` of a source, as a shared library whose `launch_<i>` is the i-th."""
    entries = "".join(f"ENTRY({i}, {name})\n" for i, name in enumerate(names))
    # Contraction off: a product and a sum stay two operations, as on the device.
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-mfma", "-shared", "-fPIC", "-w"]
    whole = f'#include "{HEADER}"\n{text}\n{entries}'
    key = hashlib.sha256((" ".join(flags) + HEADER.read_text() + whole).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"argrad-emulator-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{key}.so"
    if not library.exists():
        part = folder / f"{key}-{os.getpid()}"
        part.with_suffix(".cpp").write_text(whole)
        command = [COMPILER, *flags, str(part.with_suffix(".cpp")), "-o", str(part.with_suffix(".so"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:4000]
        part.with_suffix(".so").rename(library)
        part.with_suffix(".cpp").unlink()
    return ctypes.CDLL(str(library))


@functools.cache
def _library(file):
    names = _kernels.instances(file)
    return names, compiled(_cuda.source(f"{file}.cu"), names)


def function(file, name, device):
    """A kernel as `_cuda.launch` calls it."""
    names, library = _library(file)
    assert name in names, f"{name} is not in _kernels.KERNELS[{file!r}]"
    return functools.partial(run, library, names.index(name))


def run(library, number, grid, block, values, shared_mem=0, descending=False):
    """Launch the kernel of this number on the host."""
    assert block[1:] == (1, 1), "the emulator has blocks of one dimension"
    assert block[0] % 32 == 0 or grid[0] * grid[1] == 1, "blocks are whole warps"
    held = [np.array(value) for value in values]
    pointers = (ctypes.c_void_p * len(held))(*[value.ctypes.data for value in held])
    sizes = (ctypes.c_uint * 3)(*grid)
    entry = library[f"launch_{number}"]
    entry.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t, ctypes.c_bool, ctypes.c_void_p]
    failed = entry(sizes, block[0], shared_mem, descending, pointers)
    assert not failed, "threads of a block wait for one another for ever"


@contextlib.contextmanager
def device(monkeypatch, order):
    """Inside, public functions take numpy arrays and CPU tensors to be on a device.

    `order` is that of the threads of a block, "rising" or "falling": where a result depends on it, there is a race.
    With "gpu" kernels run on a real one, on copies.
    """
    descending = order == "falling"

    def kernel(file, name, index):
        return functools.partial(function(file, name, index), descending=descending)

    with monkeypatch.context() as patch:
        patch.setattr(_array, "is_device", lambda x: True)
        patch.setattr(_torch, "lend", lambda x: None)
        patch.setattr(_array, "raw", functools.partial(as_stored, _array.raw))
        patch.setattr(_array, "to_host", functools.partial(brought, _array.to_host))
        for name in ("array", "floating", "numbers", "matrix"):
            patch.setattr(_check, name, refusing(getattr(_check, name)))
        if order == "gpu":
            patch.setattr(_cuda, "launch", functools.partial(launch_on_copies, _cuda.launch))
        else:
            patch.setattr(_cuda, "function", kernel)
            patch.setattr(_cuda, "index_of", lambda x: 0)
            patch.setattr(_cuda, "_processors", lambda index: PROCESSORS)
            patch.setattr(_cuda, "_current", lambda like, index: contextlib.nullcontext())
        yield


def as_stored(raw, x):
    """What `raw` returns on a device: numbers of half precision as they are."""
    return np.array(x, order="C") if isinstance(x, np.ndarray) and x.dtype == np.float16 else raw(x)


class Brought(np.ndarray):
    """An array that was brought from the emulated device to the host."""


def brought(to_host, x):
    """What `to_host` returns, so that it can be told from an array of the emulated device."""
    found = to_host(x)
    return found.copy().view(Brought) if isinstance(found, np.ndarray) else found


def refusing(check):
    """A check of arrays that refuses those of the host where it would refuse them on a device."""

    def checked(function, argument, x, *, device=False, **options):
        if not device and _array.kind_of(x) is not None and not isinstance(x, Brought):
            raise RuntimeError(f"{function}: {argument} must be in host memory, got an array of the emulated device")
        return check(function, argument, x, device=device, **options)

    return checked


def launch_on_copies(launch, like, file, name, grid, block, *args, shared=0):
    """Launch a kernel on a GPU with arrays of the host: on copies, which are copied back."""
    cupy = _cuda.library()
    copies = [cupy.asarray(x) if isinstance(x, np.ndarray) else x for x in args]
    launch(cupy.empty(0), file, name, grid, block, *copies, shared=shared)
    for x, copy in zip(args, copies, strict=True):
        if isinstance(x, np.ndarray) and x.flags.writeable:
            x[...] = cupy.asnumpy(copy)
