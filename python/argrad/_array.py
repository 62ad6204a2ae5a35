"""The array kinds: what a value is, where it lives, its memory as numpy, and the way back.

The only module that tells numpy arrays, torch tensors and cupy arrays apart. It imports neither torch nor cupy: a value
can be of such a kind only when its library is loaded already, so looking into `sys.modules` is enough.
"""

import contextlib
import math
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A numpy array, a torch tensor or a cupy array (an alias for readers: two of the three libraries are optional)."""

Kind: TypeAlias = Literal["numpy", "torch", "cupy"]
Place: TypeAlias = Literal["host", "device"]


def is_tensor(x: object) -> bool:
    """Tell whether `x` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_plain(x: Any) -> bool:
    """Tell whether `x` is a dense CPU tensor of one of the four floating dtypes: what almost every call brings."""
    torch = sys.modules.get("torch")
    if torch is None or type(x) not in (torch.Tensor, torch.nn.Parameter):
        return False
    # The floating dtypes of one byte are not ours.
    return bool(x.is_cpu and x.is_floating_point() and x.itemsize > 1 and x.layout is torch.strided)


def kind_of(x: object) -> Kind | None:
    """Return the kind of the array `x`, or None when it is not an array argrad works on."""
    if isinstance(x, np.ndarray):
        # The mask would be lost on the way to the kernels, so that hidden values would count.
        return None if isinstance(x, np.ma.MaskedArray) else "numpy"
    if is_tensor(x):
        return "torch"
    cupy = sys.modules.get("cupy")
    return "cupy" if cupy is not None and isinstance(x, cupy.ndarray) else None


def place_of(x: Array) -> Place:
    """Return "host" for numpy arrays and CPU tensors, "device" for everything else.

    Raises:
        TypeError: `x` is not a numpy array, torch tensor or cupy array.
    """
    kind = kind_of(x)
    if kind is None:
        raise TypeError(f"place_of: x must be {EXPECTED}, got {describe(x)}")
    return "host" if kind == "numpy" or (kind == "torch" and x.device.type == "cpu") else "device"


EXPECTED = "a numpy array or a torch tensor"


def describe(x: object) -> str:
    """Name the type of a refused value for an error sentence, with the call that makes it acceptable."""
    name = type(x).__name__
    if isinstance(x, list | tuple):
        return f"a {name} (wrap it in numpy.asarray)"
    if isinstance(x, np.ma.MaskedArray):
        return f"a {name} (fill the masked values with .filled first)"
    if hasattr(x, "toarray"):
        return f"a sparse {name} (make it dense with .toarray())"
    if hasattr(x, "to_numpy"):
        return f"a {name} (pass .to_numpy())"
    return "None" if x is None else f"a value of type {name}"


def raw(x: Array) -> Any:
    """Return `x` as kernels take it: contiguous, detached, on its own memory wherever it already has this form.

    On the host: an aligned numpy array in native byte order (a memory map stays one), float16 and bfloat16 as float32.
    On a device: an array of the same kind, in its own dtype.

    Raises:
        TypeError: `x` is not an array.
    """
    if is_tensor(x):
        return memory(x) if x.is_cpu else x.detach().resolve_neg().contiguous()
    return sys.modules["cupy"].ascontiguousarray(x) if place_of(x) == "device" else _aligned(x)


def has_kernels(x: Array) -> bool:
    """Tell whether an array that is not on the host is on an NVIDIA GPU."""
    return bool(x.is_cuda and sys.modules["torch"].version.cuda) if is_tensor(x) else True


def to_host(x: Any) -> Any:
    """Return an array of any place as `raw` gives it on the host; other values as they are."""
    kind = kind_of(x)
    if kind == "torch":
        return memory(x.detach().cpu())
    return _aligned(library(x).asnumpy(x) if kind == "cupy" else x) if kind is not None else x


def copying(x: Array) -> Callable[[], np.ndarray[Any, Any]]:
    """Start to copy an array of a device to the host, beside what the device is told to do from now on.

    Returns:
        A function to be called once, which waits for the copy (not for the device) and returns it as `to_host` does.
    """
    if kind_of(x) == "cupy":
        return _copying_cupy(x)
    if not is_tensor(x) or not x.is_cuda:
        return lambda: to_host(x)
    torch = sys.modules["torch"]
    side, done = torch.cuda.Stream(x.device), torch.cuda.Event()
    side.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(side):
        copy = torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x.detach(), non_blocking=True)
        done.record(side)
    x.record_stream(side)

    def wait() -> np.ndarray[Any, Any]:
        done.synchronize()
        return memory(copy)

    return wait


def _copying_cupy(x: Array) -> Callable[[], np.ndarray[Any, Any]]:
    cupy = sys.modules["cupy"]
    with x.device:
        side = cupy.cuda.Stream(non_blocking=True)
        side.wait_event(cupy.cuda.get_current_stream().record())
        pinned = cupy.cuda.alloc_pinned_memory(max(x.nbytes, 1))
        copy = np.frombuffer(pinned, x.dtype, x.size).reshape(x.shape)
        x.get(stream=side, out=copy, blocking=False)

    def wait() -> np.ndarray[Any, Any]:
        side.synchronize()
        del held[:]
        return _aligned(copy)

    held = [x]  # so that nobody else gets its memory before
    return wait


def to_device(array: np.ndarray[Any, Any], like: Array) -> Array:
    """Return an array of the host as one of the kind and on the device of `like`; nobody waits for the copy."""
    if kind_of(like) == "cupy":
        with like.device:
            return sys.modules["cupy"].asarray(array)
    if not is_tensor(like):
        return array
    x = tensor(np.ascontiguousarray(array))
    return x.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else x


def is_device(x: object) -> bool:
    """Tell whether what `raw` has returned is for the kernels of a device: everything but numpy arrays is."""
    return not isinstance(x, np.ndarray)


def library(x: Array) -> Any:
    """Return the library of an array that is no tensor: numpy or cupy."""
    return sys.modules["cupy"] if kind_of(x) == "cupy" else np


def memory(x: Array) -> np.ndarray[Any, Any]:
    """Return a CPU tensor as `raw` does; for callers that know what they have, because small operators live here."""
    if x.element_size() == 2 and x.is_floating_point():
        x = x.float()  # numpy has no bfloat16, so torch casts
    array: np.ndarray[Any, Any] = x.numpy(force=True)
    return array if array.flags.carray else _aligned(array)


def _aligned(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # numpy builds names and dtypes anew at each call, so both are asked for only where they can matter.
    half = x.dtype.itemsize == 2 and x.dtype.name in ("float16", "bfloat16")
    dtype = np.dtype(np.float32) if half else x.dtype if x.dtype.isnative else x.dtype.newbyteorder("=")
    array: np.ndarray[Any, Any] = np.asarray(x, dtype=dtype, order="C")
    return array if array.flags.aligned else array.copy()


def like(array: Array, reference: Array, dtype: object = None) -> Array:
    """Return the result `array` as the kind of `reference`, without a copy where nothing has to change.

    Args:
        array: result of a native function, or of a kernel on the device of the reference.
        reference: the input whose kind decides.
        dtype: dtype of the reference's library that floating values are cast to (`reference.dtype` gives the result
            the input's precision); None keeps the array's. Integers and booleans always stay as they are.
    """
    if kind_of(reference) != "torch":
        if dtype is None or array.dtype.kind != "f":
            return array
        # Results are in native byte order whatever the reference's.
        return array.astype(np.dtype(dtype).newbyteorder("="), copy=False)  # type: ignore[call-overload]
    return tensor(array, dtype)


def tensor(array: Array, dtype: object = None) -> Array:
    """Return the result `array` as a tensor on its memory; see `like`."""
    torch = sys.modules["torch"]
    if type(array) is not np.ndarray:
        if is_tensor(array):  # of a device
            return array.to(dtype) if dtype is not None and array.is_floating_point() else array
        array = np.asarray(array)  # numpy's reductions give scalars, which torch.from_numpy refuses
    # torch.from_numpy warns about read-only memory, because writing through the tensor would be undefined.
    x = torch.from_numpy(array if array.flags.writeable else array.copy())
    return x.to(dtype) if dtype is not None and x.dtype != dtype and array.dtype.kind == "f" else x


def computed(x: Array) -> str:
    """Name the dtype in which an operator computes on the floating array `x`: halves are computed in float32."""
    # numpy spells big-endian dtypes differently in str.
    name = str(x.dtype) if is_tensor(x) else x.dtype.name
    return "float64" if name.endswith("float64") else "float32"


def cast(x: Array, name: str) -> Array:
    """Return the array with the dtype of this name, itself where it has it already."""
    return x.to(getattr(sys.modules["torch"], name)) if is_tensor(x) else x.astype(name, copy=False)


def full(shape: tuple[int, ...], number: float, reference: Array) -> Array:
    """Return an array of one number, to be read only: kind and device of `reference`, the dtype that is computed in."""
    if not is_tensor(reference):
        with _beside(reference):
            return library(reference).full(shape, number, computed(reference))
    torch = sys.modules["torch"]
    # torch takes longer to make a few numbers than to take over an array.
    if is_plain(reference) and math.prod(shape) <= 1024 and not torch.compiler.is_compiling():
        return torch.from_numpy(_kept(tuple(shape), number, math.copysign(1.0, number), computed(reference)))
    # No broadcast view: that takes longer to make than a few numbers, and kernels would copy it.
    if reference.element_size() > 2:
        return reference.new_full(shape, number)
    return reference.new_full(shape, number, dtype=torch.float32)


def constant(shape: tuple[int, ...], number: float, name: str, reference: Array) -> Array:
    """Return an array of one number, to be read only: kind and device of `reference`, numpy's dtype of this name."""
    if kind_of(reference) == "cupy":
        with _beside(reference):
            return library(reference).full(shape, number, name)
    if not is_tensor(reference):
        return _kept(tuple(shape), number, math.copysign(1.0, number), name)
    torch = sys.modules["torch"]
    if torch.compiler.is_compiling() or not reference.is_cpu:
        return reference.new_full(shape, number, dtype=getattr(torch, name))
    return torch.from_numpy(_kept(tuple(shape), number, math.copysign(1.0, number), name))


def counted(count: int, reference: Array) -> Array:
    """Return 0, 1, ... as int64, of the kind of `reference`."""
    if not is_tensor(reference):
        with _beside(reference):
            return library(reference).arange(count, dtype=np.int64)
    return sys.modules["torch"].arange(count, device=reference.device)  # numpy's would not be traced


def _beside(reference: Array) -> Any:
    """Return a context in which cupy makes arrays on the device of `reference`; one that does nothing for numpy's."""
    return reference.device if kind_of(reference) == "cupy" else contextlib.nullcontext()


def spread(array: Array, shape: tuple[int, ...]) -> Array:
    """Return the array repeated to a shape, as a view."""
    return array.expand(shape) if is_tensor(array) else library(array).broadcast_to(array, shape)


@lru_cache(maxsize=64)
def _kept(shape: tuple[int, ...], number: float, sign: float, name: str) -> np.ndarray[Any, Any]:
    """Return an array of one number; the sign tells 0 from -0."""
    # A float would lose the last bits of a large integer.
    return np.full(shape, number if name == "int64" else math.copysign(number, sign), name)


def location(x: Array) -> str:
    """Name the place of an array that is not in host memory, for an error sentence."""
    return f"a tensor on device '{x.device}'" if is_tensor(x) else "a cupy array"


def way_to_host(x: Array, argument: str) -> str:
    """Say how to move `x` to where kernels exist, for an error sentence."""
    call = f"{argument}.cpu()" if is_tensor(x) else f"cupy.asnumpy({argument})"
    return f"there is no kernel on that device yet, move it to the host with {call}"


def torch_bits(generator: object) -> int | None:
    """Draw 64 bits from a `torch.Generator`; None when `generator` is not one."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(generator, torch.Generator):
        return None
    high, low = torch.randint(0, 2**32, (2,), generator=generator, device=generator.device).tolist()
    return int(high) << 32 | int(low)
