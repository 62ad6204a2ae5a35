"""Threads, and what argrad runs on."""

import os
import sys
from typing import Any, TextIO

from argrad import _check, _native
from argrad._cuda import INSTALL

MAX_THREADS = 1024
# Distribution names; the first one installed is shown.
PACKAGES = {
    "numpy": ("numpy",),
    "torch": ("torch",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "scikit-learn": ("scikit-learn",),
    "pyarrow": ("pyarrow",),
}
DRIVER = "/proc/driver/nvidia/version"


def set_num_threads(threads: int) -> None:
    """Use this many threads from the next call on, in this process and in those forked from it.

    Without it a process uses `ARGRAD_NUM_THREADS`, else 1 in a torch `DataLoader` worker, else all cores.

    Args:
        threads: Number of threads, 1 to 1024.

    Raises:
        TypeError: `threads` is not an integer.
        ValueError: `threads` is out of range.

    Determinism:
        No result depends on the number of threads.

    Examples:
        >>> import argrad
        >>> before = argrad.get_num_threads()
        >>> argrad.set_num_threads(1)
        >>> argrad.get_num_threads()
        1
        >>> argrad.set_num_threads(before)
    """
    _native.set_num_threads(_check.integer("set_num_threads", "threads", threads, low=1, high=MAX_THREADS))


def get_num_threads() -> int:
    """Return the number of threads that the next call uses.

    Returns:
        The number of threads, at least 1.

    Examples:
        >>> import argrad
        >>> argrad.get_num_threads() >= 1
        True
    """
    return _native.get_num_threads()


def show_config(file: TextIO | None = None) -> None:
    """Print the versions, threads, instruction set and GPU that argrad sees: what a bug report needs.

    No library is imported for it: a package's version comes from its metadata, and torch is asked about the GPU only
    where it is loaded already.

    Args:
        file: Where to print; None is standard output.

    Examples:
        >>> import argrad
        >>> argrad.show_config()
        argrad        ...
        python        ...
        numpy         ...
    """
    for name, value in config().items():
        print(f"{name:<13} {value}", file=file)


def config() -> dict[str, str]:
    """Return what `show_config` prints, as name and text."""
    import platform

    found = {
        "argrad": _native.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }
    found |= {name: _version(distributions) for name, distributions in PACKAGES.items()}
    found["threads"] = str(get_num_threads())
    found["instructions"] = f"{_native.simd_level()} (this processor has {', '.join(_native.simd_levels())})"
    found["cuda"] = "; ".join([_driver(), *_torch_devices(sys.modules.get("torch")), _kernels(found["cupy"])])
    return found


def _version(distributions: tuple[str, ...]) -> str:
    from importlib import metadata

    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def _kernels(cupy: str) -> str:
    if cupy == "not installed":
        return f"kernels need cupy: {INSTALL}"
    folder = os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")
    return f"compiled kernels are kept in {folder}"


def _driver() -> str:
    from pathlib import Path

    try:
        # "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  <date>"
        fields = Path(DRIVER).read_text().splitlines()[0].split("  ")
    except (OSError, IndexError):
        return "no NVIDIA driver found"
    return f"driver {fields[1]}" if len(fields) > 1 else "driver of unknown version"


def _torch_devices(torch: Any) -> list[str]:
    if torch is None:
        return ["torch is not loaded"]
    if torch.version.cuda is None:
        return ["torch is built without CUDA"]
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return [f"torch is built for CUDA {torch.version.cuda} and sees {', '.join(names) or 'no GPU'}"]
