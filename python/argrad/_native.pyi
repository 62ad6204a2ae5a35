from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
    "assign",
    "cuda_source",
    "force_simd",
    "get_num_threads",
    "kmeans",
    "law_counts",
    "prepare",
    "sample_rows",
    "seed",
    "seed_path",
    "set_num_threads",
    "simd_level",
    "simd_levels",
    "squares_to",
]

_Real = TypeVar("_Real", np.float32, np.float64)
_Indices: TypeAlias = NDArray[np.int64]
_Weights: TypeAlias = NDArray[np.float64] | None
_Options: TypeAlias = Mapping[str, Any]
_Progress: TypeAlias = Callable[[int, int], object] | None

__version__: Final[str]

# system: threads, instruction sets, kernel sources
def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def simd_levels() -> list[str]: ...
def simd_level() -> str: ...
def force_simd(name: str) -> None: ...
def cuda_source(name: str) -> str | None: ...

# seeding: contiguous matrices of one of the two number types; `function` is the public name that opens error texts
def seed(
    function: str,
    x: NDArray[_Real],
    weights: _Weights,
    k: int,
    options: _Options,
    prepared: tuple[float, NDArray[_Real], NDArray[_Real]] | None,
    seed: int,
    progress: _Progress,
) -> tuple[_Indices, tuple[int, int, int, int, float, float, float]]: ...
def prepare(function: str, x: NDArray[_Real], weights: _Weights) -> tuple[float, NDArray[_Real], NDArray[_Real]]: ...
def sample_rows(
    function: str,
    x: NDArray[_Real],
    weights: _Weights,
    prepared: tuple[float, NDArray[_Real], NDArray[_Real]],
    centers: NDArray[_Real],
    size: int,
    seed: int,
) -> _Indices: ...
def assign(
    x: NDArray[_Real], centers: NDArray[_Real], function: str, root: bool = False, progress: _Progress = None
) -> tuple[_Indices, NDArray[_Real]]: ...
def kmeans(
    function: str,
    x: NDArray[_Real],
    weights: _Weights,
    centers: NDArray[_Real],
    max_iter: int,
    tol: float,
    seed: int,
) -> tuple[NDArray[_Real], _Indices, float, int]: ...
def law_counts(
    x: NDArray[_Real],
    weights: _Weights,
    k: int,
    options: _Options,
    runs: int,
    seed: int,
    *,
    tighten: bool = True,
    max_batch: int = 2048,
    norm: bool = False,
) -> _Indices: ...

# seeding: matrices are C-contiguous float32 or float64; `function` is the public name that errors start with
_Progress = Callable[[int, int], object] | None
_Prepared = tuple[float, NDArray[Any], NDArray[Any]]  # scale, origin, squared distances to the origin
_Facts = tuple[int, int, int, int, float, float, float]  # see argrad.seeding._options.Facts

def seed(
    function: str,
    x: NDArray[Any],
    weights: NDArray[np.float64] | None,
    k: int,
    options: Mapping[str, Any],
    seed: int,
    progress: _Progress,
) -> tuple[NDArray[np.int64], _Facts]: ...
def seed_path(
    function: str,
    x: NDArray[Any],
    weights: NDArray[np.float64] | None,
    ks: Sequence[int],
    options: Mapping[str, Any],
    prepared: _Prepared | None,
    seed: int,
) -> list[tuple[NDArray[np.int64], _Facts]]: ...
def prepare(function: str, x: NDArray[Any], weights: NDArray[np.float64] | None) -> _Prepared: ...
def squares_to(function: str, x: NDArray[Any], scale: float, origin: NDArray[Any]) -> NDArray[Any]: ...
def sample_rows(
    function: str,
    x: NDArray[Any],
    weights: NDArray[np.float64] | None,
    prepared: _Prepared,
    centers: NDArray[Any],
    size: int,
    seed: int,
) -> NDArray[np.int64]: ...
def assign(
    x: NDArray[Any],
    centers: NDArray[Any],
    function: str,
    root: bool = False,
    progress: _Progress = None,
) -> tuple[NDArray[np.int64], NDArray[Any]]: ...
def kmeans(
    function: str,
    x: NDArray[Any],
    weights: NDArray[np.float64] | None,
    centers: NDArray[Any],
    max_iter: int,
    tol: float,
    seed: int,
) -> tuple[NDArray[Any], NDArray[np.int64], float, int]: ...

# for tests: counts of all ordered tuples over many seedings by the production path (cell i1*n^(k-1) + ... + ik);
# options as in argrad.seeding._options.Options; run number r uses the seed `seed + r`
def law_counts(
    x: NDArray[Any],
    weights: NDArray[np.float64] | None,
    k: int,
    options: Mapping[str, Any],
    runs: int,
    seed: int,
    *,
    tighten: bool = True,
    max_batch: int = 2048,
    norm: bool = False,
) -> NDArray[np.int64]: ...
