"""The kernels in `cuda/`: from a file and a name to a launch on the current stream of the arrays' device.

    _cuda.launch(x, "decoding", f"topk_rows<{_cuda.number(x)}>", blocks, 256, x, values, places, v, k)

A kernel is compiled by NVRTC for the device at hand when it is first launched, and kept on disk by cupy. Outputs are
allocated by the library of the inputs (`empty`), on their device, and nothing here waits for a device.

Only this module and `_array` know cupy.
"""

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from argrad import _array, _native
from argrad._array import Array
from argrad._kernels import KERNELS, NUMBERS, SHARED, instances

OPTIONS = ("-std=c++17", "-fmad=false")
"""What kernels are compiled with: the compiler fuses no multiplication with an addition, so that results are those of
the host."""

INSTALL = 'pip install "argrad[cuda13]" (or "argrad[cuda12]" for a driver of CUDA 12)'

_UNASKED_SHARED = 32 * 1024
"""Dynamic shared memory that is there without being asked for: 48 KiB less what kernels declare themselves."""


@functools.cache
def source(file: str) -> str:
    """Return the text of a file in `cuda/` with its local includes, each once, in place of their lines."""
    seen: set[str] = set()

    def text(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        live = Path(os.environ.get("ARGRAD_CUDA_DIR", ""), name)  # sources that are being worked on
        found = live.read_text() if "ARGRAD_CUDA_DIR" in os.environ and live.exists() else _native.cuda_source(name)
        if found is None:
            raise ValueError(f"source: file must be the name of a file of kernels, got {name!r}")
        found = found.replace("#pragma once\n", "")
        return re.sub(r'^#include "([^"]+)"$', lambda match: text(match[1]), found, flags=re.MULTILINE)

    return text(file)


@functools.cache
def function(file: str, name: str, device: int) -> Callable[..., None]:
    """Return a kernel on a device; compiled, or read from cupy's cache on disk, at the first call."""
    cupy = library()
    module = cupy.RawModule(code=source(f"{file}.cu"), options=OPTIONS, name_expressions=[name])
    kernel: Callable[..., None] = module.get_function(name)
    return kernel


def library() -> Any:
    """Return cupy.

    Raises:
        ImportError: it is not installed.
        RuntimeError: it finds no GPU.
    """
    try:
        import cupy
    except ImportError:
        raise ImportError(f"argrad: kernels on a GPU need cupy, which is not installed; {INSTALL}") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"argrad: kernels on a GPU need an NVIDIA GPU and its driver, got {error}") from None
    if count == 0:
        raise RuntimeError("argrad: kernels on a GPU need an NVIDIA GPU, found none")
    return cupy


def launch(
    like: Array, file: str, name: str, grid: int | tuple[int, int], block: int, *args: object, shared: int = 0
) -> None:
    """Launch a kernel on the device and the current stream of `like`.

    Args:
        like: any of the arrays, on a device.
        file: stem of the file in `cuda/`.
        name: the kernel with its template arguments, as `KERNELS` has it.
        grid: number of blocks, in one or two dimensions; 0 launches nothing.
        block: threads in a block.
        args: arguments in order: contiguous arrays of the device (their address is passed), None (a null pointer),
            integers (64 bits), floats (double), and numpy scalars as they are.
        shared: bytes of shared memory whose size is given at launch.

    Raises:
        ImportError: cupy is not installed.
        RuntimeError: cupy finds no GPU.
    """
    blocks = (grid, 1) if isinstance(grid, int) else grid
    if min(blocks) == 0:
        return
    device = index_of(like)
    values = tuple([_argument(x) for x in args])
    with _current(like, device):
        kernel = function(file, name, device)
        if shared > _UNASKED_SHARED:
            kernel.max_dynamic_shared_size_bytes = shared  # type: ignore[attr-defined]
        kernel((*blocks, 1), (block, 1, 1), values, shared_mem=shared)


def _argument(x: object) -> Any:
    if x is None:
        return np.uint64(0)
    if isinstance(x, bool | int):
        return np.int64(x)
    if isinstance(x, float):
        return np.float64(x)
    return x if isinstance(x, np.generic) else np.uint64(address(x))


def address(x: Array) -> int:
    """Return the address of an array's first item on its device."""
    if _array.is_tensor(x):
        return int(x.data_ptr())
    return int(x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr)


def index_of(x: Array) -> int:
    """Return the number of the device that an array is on."""
    if _array.is_tensor(x):
        return int(x.device.index or 0)
    return 0 if isinstance(x, np.ndarray) else int(x.device.id)


def _current(like: Array, device: int) -> contextlib.AbstractContextManager[object]:
    """Make the device of `like` and the stream that its library works on the current ones of cupy."""
    cupy = library()
    stack = contextlib.ExitStack()
    stack.enter_context(cupy.cuda.Device(device))
    if _array.is_tensor(like):
        torch: Any = sys.modules["torch"]
        stack.enter_context(_stream(torch.cuda.current_stream(device)))
    return stack


@functools.lru_cache(maxsize=64)
def _stream(stream: Any) -> Any:
    """Return cupy's view of a stream of torch."""
    cupy = library()
    if hasattr(stream, "__cuda_stream__"):
        return cupy.cuda.Stream.from_external(stream)
    return cupy.cuda.ExternalStream(stream.cuda_stream, stream.device_index)


@functools.cache
def _processors(device: int) -> int:
    return int(library().cuda.Device(device).attributes["MultiProcessorCount"])


def processors(x: Array) -> int:
    """Return the number of multiprocessors of the device that an array is on."""
    return _processors(index_of(x))


def number(x: Array) -> str:
    """Name the type of the numbers of a floating array as kernels do: float, double, Half or BFloat."""
    return NUMBERS[str(x.dtype).removeprefix("torch.")]


def widen(x: Array) -> Array:
    """Return a floating array in the type that is computed in: half precision as float32, on its device."""
    return _array.cast(x, "float32") if number(x) in ("Half", "BFloat") else x


def empty(shape: Sequence[int], dtype: str, like: Array) -> Array:
    """Return an array of any content: kind and device of `like`, the dtype of this name."""
    if _array.is_tensor(like):
        return like.new_empty(shape, dtype=getattr(sys.modules["torch"], dtype))
    if isinstance(like, np.ndarray):
        return np.empty(shape, dtype)
    with like.device:
        return library().empty(shape, dtype)


def full(shape: Sequence[int], value: float, dtype: str, like: Array) -> Array:
    """Return an array of one number: kind and device of `like`, the dtype of this name."""
    if _array.is_tensor(like):
        return like.new_full(shape, value, dtype=getattr(sys.modules["torch"], dtype))
    if isinstance(like, np.ndarray):
        return np.full(shape, value, dtype)
    with like.device:
        return library().full(shape, value, dtype)


_validating = False


def set_device_validation(on: bool) -> None:
    """Choose whether arrays on a device are looked through for what a function cannot take, such as NaN.

    On the host every call looks, and raises an error that names the place. On a device that answer would make the host
    wait for the device at each call, so without validation a row with such a number gives NaN and the index -1 instead.
    With validation such a call raises the error of the host.

    Args:
        on: True looks and waits; False, the default, does neither.

    Raises:
        TypeError: not a bool.

    Determinism:
        Has no influence on the result of what a function can take.

    Cost:
        One synchronisation of the device for each call.

    References:
        As `torch.autograd.set_detect_anomaly`: a mode for looking for faults.

    Examples:
        >>> import argrad
        >>> argrad.set_device_validation(False)
    """
    global _validating  # noqa: PLW0603 (a setting of the process)
    if not isinstance(on, bool):
        raise TypeError(f"set_device_validation: on must be a bool, got {type(on).__name__}")
    _validating = on


def validates() -> bool:
    """Tell whether arrays on a device are looked through, see `set_device_validation`."""
    return _validating


def fault(like: Array) -> Array | None:
    """Return a place for a kernel's `report`; None, which kernels take as well, without validation."""
    return full((1,), 0, "int32", like) if _validating else None


def confirm(found: Array | None, host: Callable[..., object], *args: object) -> None:
    """If a kernel has reported a fault, call the function of the host, which raises the error that tells it.

    Args:
        found: what `fault` returned, after the launch.
        host: the native function.
        args: its arguments; arrays of a device are copied to the host.
    """
    if found is None or not int(found[0]):
        return
    host(*[_array.to_host(x) for x in args])
    raise RuntimeError("argrad: a kernel has reported a fault that the host does not see; please report this")


def warmup(stems: Sequence[str] | None = None, *, device: int = 0) -> None:
    """Compile the kernels ahead, so that no training step has to wait for a compiler.

    Kernels are compiled when they are first used and kept on disk (in cupy's cache, `CUPY_CACHE_DIR`), so that a later
    process only loads them. Before a CUDA graph is captured, what it uses must have been compiled: by this function or
    by a call outside the graph.

    Args:
        stems: names of stems, such as "decoding"; None compiles all of them.
        device: number of the device.

    Raises:
        ValueError: a name that is no stem with kernels.
        ImportError: cupy is not installed.
        RuntimeError: there is no GPU.

    Determinism:
        Has no influence on any result.

    Cost:
        About a second for each kernel that is not on disk yet, a millisecond for each that is.

    References:
        NVIDIA, "NVRTC: CUDA Runtime Compilation".

    Examples:
        >>> import argrad
        >>> argrad.warmup(["decoding"])  # doctest: +SKIP
    """
    stem_of = {file: file.split("_")[0] for file in KERNELS}
    known = [stem for stem in dict.fromkeys(stem_of.values()) if stem not in SHARED]
    for stem in stems or ():
        if stem not in known:
            raise ValueError(f"warmup: stems must be of {', '.join(known)}, got {stem!r}")
    wanted = {*(known if stems is None else stems), *SHARED}
    with library().cuda.Device(device):
        for file in KERNELS:
            if stem_of[file] in wanted:
                for name in instances(file):
                    function(file, name, device)
