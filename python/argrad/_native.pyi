from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
    "assign",
    "auto_strength",
    "barcodes",
    "betti_matchings",
    "betti_numbers",
    "borrow",
    "bregman_decode",
    "bregman_project",
    "bregman_project_second",
    "bregman_project_vjp",
    "center_chain",
    "cluster_order",
    "connect",
    "constrained",
    "constrained_second",
    "constrained_vjp",
    "cuda_source",
    "diagram_matchings",
    "diagram_slices",
    "draw_included",
    "entmax",
    "entmax_conjugate",
    "entmax_conjugate_second",
    "entmax_conjugate_vjp",
    "entmax_second",
    "entmax_vjp",
    "euler_characteristics",
    "euler_curves",
    "force_simd",
    "get_num_threads",
    "group_order",
    "group_order_scaled",
    "group_order_second",
    "group_order_vjp",
    "hard_rank",
    "inclusion_probabilities",
    "kmeans",
    "laplace_gradients",
    "laplace_values",
    "law_counts",
    "lend",
    "locate",
    "logit_statistics",
    "network_product",
    "network_second",
    "network_vjp",
    "neuralsort",
    "neuralsort_second",
    "neuralsort_vjp",
    "pair_sums",
    "pair_sums_bound",
    "pair_sums_second",
    "pair_sums_vjp",
    "perturbed_points",
    "perturbed_pull",
    "pilot_rows",
    "plain_truncated_decode",
    "prepare",
    "sample",
    "sample_rows",
    "scan_gradients",
    "scan_product",
    "seed",
    "seed_path",
    "set_num_threads",
    "simd_level",
    "simd_levels",
    "sinkhorn_f32",
    "sinkhorn_f64",
    "sinkhorn_second_f32",
    "sinkhorn_second_f64",
    "sinkhorn_vjp_f32",
    "sinkhorn_vjp_f64",
    "soft_blocks",
    "soft_forward",
    "soft_second",
    "soft_topk",
    "soft_topk_second",
    "soft_topk_vjp",
    "soft_vjp",
    "stratified_rows",
    "topk",
    "topk_softmax",
    "topk_softmax_second",
    "topk_softmax_vjp",
    "truncate",
    "truncated_decode",
    "weighted_sample",
]

_Real = TypeVar("_Real", np.float32, np.float64)
_Indices: TypeAlias = NDArray[np.int64]
_Weights: TypeAlias = NDArray[np.float64] | None
_Options: TypeAlias = Mapping[str, Any]
# scale, anchors, every row's nearest anchor and scaled squared distance to it, potential of the mean
_Prepared: TypeAlias = tuple[float, NDArray[Any], NDArray[np.uint8], NDArray[Any], float]
# drawn, uniform, proposals, refreshes, first total, potential and its standard error
_Facts: TypeAlias = tuple[int, int, int, int, float, float, float]
_Progress: TypeAlias = Callable[[int, int], object] | None

__version__: Final[str]

# system: threads, instruction sets, kernel sources
def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def simd_levels() -> list[str]: ...
def simd_level() -> str: ...
def force_simd(name: str) -> None: ...
def cuda_source(name: str) -> str | None: ...

# exchange: tensors as arrays, by the table of C functions of their class
def connect(tensor: type, table: object) -> None: ...
def lend(x: object) -> NDArray[Any] | None: ...
def borrow(args: tuple[Any, ...], places: tuple[int, ...], memory: Callable[[Any], NDArray[Any]]) -> list[Any]: ...

# seeding: contiguous matrices of one of the two number types; `function` is the public name that opens error texts
def seed(
    function: str,
    x: NDArray[_Real],
    weights: _Weights,
    k: int,
    options: _Options,
    seed: int,
    progress: _Progress,
) -> tuple[_Indices, _Facts]: ...
def seed_path(
    function: str,
    x: NDArray[_Real],
    weights: _Weights,
    ks: Sequence[int],
    options: _Options,
    prepared: _Prepared | None,
    seed: int,
) -> list[tuple[_Indices, _Facts]]: ...
def locate(
    function: str, x: NDArray[_Real], scale: float, anchors: NDArray[_Real]
) -> tuple[NDArray[np.uint8], NDArray[_Real]]: ...
def prepare(function: str, x: NDArray[_Real], weights: _Weights, pivots: int | None) -> _Prepared: ...
def sample_rows(
    function: str,
    x: NDArray[_Real],
    weights: _Weights,
    prepared: _Prepared,
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
    anchors: int | None = None,
) -> _Indices: ...

# selection: contiguous vectors; rows are int64
def weighted_sample(
    function: str,
    weights: NDArray[_Real],
    size: int,
    replace: bool,
    method: str,
    sorted: bool,
    with_weights: bool,
    seed: int,
) -> tuple[_Indices, NDArray[np.float64]]: ...
def inclusion_probabilities(function: str, weights: NDArray[np.float64], size: int) -> NDArray[np.float64]: ...
def draw_included(function: str, probabilities: NDArray[np.float64], size: int, method: str, seed: int) -> _Indices: ...
def cluster_order(
    function: str, labels: _Indices, k: int, distances: NDArray[np.float64], weights: _Weights
) -> tuple[_Indices, _Indices]: ...
def center_chain(function: str, centers: NDArray[_Real]) -> _Indices: ...
def pilot_rows(starts: _Indices, most: int, seed: int) -> _Indices: ...
def stratified_rows(starts: _Indices, size: int, seed: int) -> tuple[_Indices, _Indices]: ...

# sorting: contiguous arrays whose last dimension holds the lists, cut at `bounds` where given; results are flat
_Bounds: TypeAlias = NDArray[np.int64] | None
_Mask: TypeAlias = NDArray[np.bool_] | None

def hard_rank(
    function: str, x: NDArray[_Real], bounds: _Bounds, mask: _Mask, descending: bool, fill: float
) -> NDArray[_Real]: ...

# sorting, soft: `_How` = (operation, bounds, mask, descending, regularization, q - 1, straight through, fill)
_How: TypeAlias = tuple[str, _Bounds, _Mask, bool, str, float, bool, float]

def soft_forward(
    function: str, arrays: Sequence[NDArray[_Real]], how: _How
) -> tuple[NDArray[_Real], NDArray[np.int32], NDArray[_Real]]: ...
def soft_vjp(
    function: str, arrays: Sequence[NDArray[_Real]], index: NDArray[np.int32], with_strength: bool, how: _How
) -> tuple[NDArray[_Real], NDArray[_Real]]: ...
def soft_second(
    function: str, arrays: Sequence[NDArray[_Real]], how: _How
) -> tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real]]: ...
def soft_blocks(function: str, arrays: Sequence[NDArray[_Real]], how: _How) -> _Indices: ...
def auto_strength(function: str, x: NDArray[_Real], count: int, how: _How) -> NDArray[_Real]: ...

# kind, p, largest, log, hard
_TopK: TypeAlias = tuple[str, float, bool, bool, bool]

def soft_topk(
    function: str,
    x: NDArray[_Real],
    k: NDArray[_Real],
    tau: NDArray[_Real],
    bounds: _Bounds,
    mask: _Mask,
    options: _TopK,
) -> tuple[NDArray[_Real], NDArray[np.float64]]: ...
def soft_topk_vjp(
    function: str,
    x: NDArray[_Real],
    k: NDArray[_Real],
    tau: NDArray[_Real],
    bounds: _Bounds,
    mask: _Mask,
    options: _TopK,
    theta: NDArray[np.float64],
    g: NDArray[_Real],
) -> list[NDArray[_Real]]: ...
def soft_topk_second(
    function: str,
    x: NDArray[_Real],
    k: NDArray[_Real],
    tau: NDArray[_Real],
    bounds: _Bounds,
    mask: _Mask,
    options: _TopK,
    theta: NDArray[np.float64],
    g: NDArray[_Real],
    tangents: tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real]],
) -> list[NDArray[_Real]]: ...

# sums over pairs of lists: of x, y, weights and temperature, cut by masks and bounds of x and of y
_Four: TypeAlias = tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real], NDArray[_Real]]
_Cuts: TypeAlias = tuple[_Mask, _Mask, _Bounds, _Bounds]

def pair_sums(function: str, inputs: _Four[_Real], cuts: _Cuts, kernel: str) -> NDArray[_Real]: ...
def pair_sums_vjp(
    function: str, inputs: _Four[_Real], cuts: _Cuts, kernel: str, grad: NDArray[_Real], wanted: int
) -> _Four[_Real]: ...
def pair_sums_second(
    function: str, inputs: _Four[_Real], cuts: _Cuts, kernel: str, grad: NDArray[_Real], tangents: _Four[_Real]
) -> tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real], NDArray[_Real], NDArray[_Real]]: ...
def pair_sums_bound(kernel: str, single: bool) -> float: ...
def perturbed_points(
    x: NDArray[_Real], sigma: float, noise: str, seed: int, samples: int, first: int, count: int
) -> NDArray[_Real]: ...
def perturbed_pull(
    total: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    noise: str,
    seed: int,
    samples: int,
    first: int,
) -> NDArray[np.float64]: ...

# sorting by scans: `places` is the order that the values or the product come with, -1 where no item counts
def laplace_values(
    function: str,
    sorts: bool,
    x: NDArray[_Real],
    strength: NDArray[_Real],
    bounds: _Bounds,
    mask: _Mask,
    descending: bool,
) -> tuple[NDArray[_Real], NDArray[np.int32]]: ...
def laplace_gradients(
    function: str,
    sorts: bool,
    x: NDArray[_Real],
    g: NDArray[_Real],
    strength: NDArray[_Real],
    bounds: _Bounds,
    places: NDArray[np.int32],
    descending: bool,
    tangents: tuple[NDArray[_Real], NDArray[_Real]] | None,
) -> tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real]]: ...

# what a product keeps for its gradients: an object without a use of its own
_ScanMemo: TypeAlias = Any

def scan_product(
    function: str,
    method: str,
    x: NDArray[_Real],
    v: NDArray[_Real],
    temperature: NDArray[_Real],
    bounds: _Bounds,
    mask: _Mask,
    descending: bool,
    transposed: bool,
    keep: bool,
) -> tuple[NDArray[_Real], NDArray[np.int32], _ScanMemo | None]: ...
def scan_gradients(
    function: str,
    method: str,
    x: NDArray[_Real],
    items: NDArray[_Real],
    rows: NDArray[_Real],
    temperature: NDArray[_Real],
    bounds: _Bounds,
    places: NDArray[np.int32],
    descending: bool,
    tangents: tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real], bool] | None,
    inner: bool,
    memo: _ScanMemo | None,
) -> tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real], NDArray[_Real]]: ...

# sorting, neuralsort: v has a row of numbers for each item, or for each rank if the product is transposed
# choices: descending, transposed, iterations, tolerance

def neuralsort(
    function: str,
    x: NDArray[_Real],
    v: NDArray[_Real],
    temperature: NDArray[_Real],
    bounds: _Bounds,
    mask: _Mask,
    choices: tuple[float, ...],
) -> tuple[NDArray[_Real], NDArray[np.int32], NDArray[np.int64]]: ...
def neuralsort_vjp(
    function: str,
    x: NDArray[_Real],
    v: NDArray[_Real],
    temperature: NDArray[_Real],
    bounds: _Bounds,
    kept: tuple[NDArray[np.int32], NDArray[np.int64]],
    grad: NDArray[_Real],
    choices: tuple[float, ...],
) -> tuple[NDArray[_Real], ...]: ...
def neuralsort_second(
    function: str,
    x: NDArray[_Real],
    v: NDArray[_Real],
    temperature: NDArray[_Real],
    bounds: _Bounds,
    kept: tuple[NDArray[np.int32], NDArray[np.int64]],
    grad: NDArray[_Real],
    tangents: tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real]],
    choices: tuple[float, ...],
) -> tuple[NDArray[_Real], ...]: ...

_Triple: TypeAlias = tuple[NDArray[_Real], NDArray[_Real], NDArray[_Real]]
_Doubles: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
_Layout: TypeAlias = tuple[_Bounds, _Mask]
_NetworkOptions: TypeAlias = tuple[bool, str, str, bool]

def network_product(
    function: str, arrays: _Triple[_Real], layout: _Layout, options: _NetworkOptions
) -> NDArray[_Real]: ...
def network_vjp(
    function: str,
    arrays: _Triple[_Real],
    gradient: NDArray[_Real],
    layout: _Layout,
    options: _NetworkOptions,
    to_v: bool,
) -> tuple[NDArray[_Real], NDArray[_Real] | None, NDArray[_Real]]: ...
def network_second(
    function: str,
    arrays: _Doubles,
    gradient: NDArray[np.float64],
    tangents: _Doubles,
    layout: _Layout,
    options: _NetworkOptions,
) -> list[NDArray[np.float64]]: ...

# two groups in a network: arrays are (scores, steepness), labels (positive, mask), options (negatives, network,
# distribution, log, runs of lists that have a mean each, or None for values by item)
_Labels: TypeAlias = tuple[NDArray[np.bool_], _Mask]
_GroupOptions: TypeAlias = tuple[int | None, str, str, bool, int | None]

def group_order(
    function: str,
    arrays: tuple[NDArray[_Real], NDArray[_Real]],
    labels: _Labels,
    options: _GroupOptions,
    slopes: bool,
) -> list[NDArray[Any]]: ...
def group_order_vjp(
    function: str,
    arrays: tuple[NDArray[_Real], NDArray[_Real]],
    labels: _Labels,
    options: _GroupOptions,
    order: NDArray[np.int32],
    gradient: NDArray[_Real],
) -> list[NDArray[_Real]]: ...
def group_order_scaled(arrays: tuple[NDArray[_Real], NDArray[_Real]]) -> NDArray[Any]: ...
def group_order_second(
    function: str,
    arrays: tuple[NDArray[np.float64], NDArray[np.float64]],
    labels: _Labels,
    options: _GroupOptions,
    order: NDArray[np.int32],
    moved: tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> list[NDArray[np.float64]]: ...

# Sinkhorn sort and SOFT top-k: options are (bounds, mask, k, descending, transposed), saved (order, items, ranks)
_Transport: TypeAlias = tuple[_Bounds, _Mask, int | None, bool, bool]
_Potentials: TypeAlias = tuple[NDArray[np.int32], _Indices, _Indices]

def sinkhorn_f32(
    function: str,
    x: NDArray[np.float32],
    factor: NDArray[np.float32],
    temperature: NDArray[np.float32],
    options: _Transport,
    iterations: int,
    tolerance: float,
) -> tuple[NDArray[np.float32], NDArray[np.int32], _Indices, _Indices]: ...
def sinkhorn_vjp_f32(
    function: str,
    x: NDArray[np.float32],
    factor: NDArray[np.float32],
    temperature: NDArray[np.float32],
    options: _Transport,
    saved: _Potentials,
    grad: NDArray[np.float32],
    with_scores: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...
def sinkhorn_second_f32(
    function: str,
    x: NDArray[np.float32],
    factor: NDArray[np.float32],
    temperature: NDArray[np.float32],
    options: _Transport,
    saved: _Potentials,
    grad: NDArray[np.float32],
    tangents: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...
def sinkhorn_f64(
    function: str,
    x: NDArray[np.float64],
    factor: NDArray[np.float64],
    temperature: NDArray[np.float64],
    options: _Transport,
    iterations: int,
    tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.int32], _Indices, _Indices]: ...
def sinkhorn_vjp_f64(
    function: str,
    x: NDArray[np.float64],
    factor: NDArray[np.float64],
    temperature: NDArray[np.float64],
    options: _Transport,
    saved: _Potentials,
    grad: NDArray[np.float64],
    with_scores: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def sinkhorn_second_f64(
    function: str,
    x: NDArray[np.float64],
    factor: NDArray[np.float64],
    temperature: NDArray[np.float64],
    options: _Transport,
    saved: _Potentials,
    grad: NDArray[np.float64],
    tangents: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...

_Filtration: TypeAlias = tuple[bool, bool, float | None, str, float, tuple[bool, bool, bool], bool]
_Bars: TypeAlias = tuple[_Indices, NDArray[np.uint8], _Indices, _Indices]

_Images: TypeAlias = list[tuple[NDArray[Any], int]]

def barcodes(function: str, x: _Images, listed: bool, filtration: _Filtration) -> list[_Bars]: ...
def betti_matchings(
    function: str,
    prediction: _Images,
    target: _Images,
    listed: bool,
    filtration: _Filtration,
    intersection: bool,
    strict: bool,
) -> list[tuple[_Bars, _Bars, _Indices, _Indices, _Indices]]: ...
def betti_numbers(function: str, mask: NDArray[np.uint8], lead: int, full: bool) -> _Indices: ...
def euler_characteristics(function: str, mask: NDArray[np.uint8], lead: int, full: bool) -> _Indices: ...
def euler_curves(function: str, x: NDArray[Any], lead: int, thresholds: list[float], full: bool) -> _Indices: ...

_Diagram: TypeAlias = tuple[NDArray[np.float64], _Indices]

def diagram_matchings(
    function: str, first: _Diagram, second: _Diagram, order: float, internal: float
) -> tuple[_Indices, _Indices, NDArray[np.float64]]: ...
def diagram_slices(
    function: str, first: _Diagram, second: _Diagram, directions: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...

# decoding
def topk(
    function: str, x: NDArray[np.floating[Any]], k: int, largest: bool
) -> tuple[NDArray[Any], NDArray[np.int64]]: ...

_Numbers: TypeAlias = float | NDArray[np.float64]
_Words: TypeAlias = int | NDArray[np.int64]
_Place: TypeAlias = tuple[_Words, _Words | None, _Words]
_Rules: TypeAlias = tuple[_Numbers, Sequence[tuple[str, _Numbers]], int | None]
_Draws: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

def truncate(
    function: str, x: NDArray[np.floating[Any]], options: _Rules, width: int | None
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]: ...
def plain_truncated_decode(
    function: str,
    x: NDArray[np.floating[Any]],
    temperature: object,
    numbers: tuple[object, ...],
    place: tuple[object, object],
) -> _Draws | None: ...
def truncated_decode(function: str, x: NDArray[np.floating[Any]], options: _Rules, place: _Place) -> _Draws: ...
def sample(
    function: str,
    indices: NDArray[np.int64],
    values: NDArray[np.floating[Any]],
    size: NDArray[np.int64],
    place: _Place,
) -> _Draws: ...
def logit_statistics(
    function: str, logits: NDArray[np.floating[Any]], temperature: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...

# temperature, penalty, k, alpha, dual, how many tokens are kept at most
_Bregman: TypeAlias = tuple[
    float | NDArray[np.float64], float | NDArray[np.float64] | None, int | _Indices | None, float, bool, int
]
# alpha, dual, places in a row
_Member: TypeAlias = tuple[float, bool, int]
# indices, values in float64, largest logits and normalisers
_Kept: TypeAlias = tuple[_Indices, NDArray[np.float64], NDArray[np.float64]]

@overload
def bregman_project(
    function: str, x: NDArray[_Real], options: _Bregman, save: Literal[True]
) -> tuple[NDArray[_Real], _Indices, _Indices, NDArray[np.float64], NDArray[np.float64]]: ...
@overload
def bregman_project(
    function: str, x: NDArray[_Real], options: _Bregman, save: Literal[False]
) -> tuple[NDArray[_Real], _Indices, _Indices, None, None]: ...
def bregman_project_vjp(
    function: str,
    x: NDArray[_Real],
    temperature: NDArray[np.float64],
    saved: _Kept,
    g: NDArray[_Real],
    options: _Member,
) -> NDArray[_Real]: ...
def bregman_project_second(
    function: str,
    x: NDArray[_Real],
    temperature: NDArray[np.float64],
    saved: _Kept,
    g: NDArray[_Real],
    tangent: NDArray[_Real],
    options: _Member,
) -> tuple[NDArray[_Real], NDArray[_Real]]: ...
def bregman_decode(function: str, x: NDArray[np.floating[Any]], options: _Bregman, place: _Place) -> _Draws: ...

_Supports: TypeAlias = Any  # what a forward pass keeps for its backward pass

_Alphas: TypeAlias = NDArray[np.float64]
_Targets: TypeAlias = NDArray[Any] | None

def entmax(function: str, x: NDArray[_Real], alpha: _Alphas) -> tuple[NDArray[_Real], _Supports]: ...
def entmax_vjp(
    function: str, x: NDArray[_Real], alpha: _Alphas, g: NDArray[_Real], wanted: int, kept: _Supports | None = None
) -> list[NDArray[Any]]: ...
def entmax_second(
    function: str,
    x: NDArray[_Real],
    alpha: _Alphas,
    g: NDArray[_Real],
    along: NDArray[_Real],
    along_alpha: _Alphas,
) -> list[NDArray[Any]]: ...
def entmax_conjugate(
    function: str, x: NDArray[_Real], alpha: _Alphas, target: _Targets
) -> tuple[NDArray[_Real], _Supports]: ...
def entmax_conjugate_vjp(
    function: str,
    x: NDArray[_Real],
    alpha: _Alphas,
    target: _Targets,
    g: NDArray[_Real],
    wanted: int,
    kept: _Supports | None = None,
) -> list[NDArray[Any]]: ...
def entmax_conjugate_second(
    function: str,
    x: NDArray[_Real],
    alpha: _Alphas,
    target: _Targets,
    g: NDArray[_Real],
    along: NDArray[_Real],
    along_alpha: _Alphas,
) -> list[NDArray[Any]]: ...

# softmax, or sparsemax with a total, under upper bounds
def constrained(
    function: str, x: NDArray[_Real], upper: NDArray[_Real], total: float | None
) -> list[NDArray[_Real]]: ...
def constrained_vjp(
    function: str, x: NDArray[_Real], upper: NDArray[_Real], total: float | None, g: NDArray[_Real]
) -> list[NDArray[_Real]]: ...
def constrained_second(
    function: str,
    x: NDArray[_Real],
    upper: NDArray[_Real],
    total: float | None,
    g: NDArray[_Real],
    along: NDArray[_Real],
    along_upper: NDArray[_Real],
) -> list[NDArray[_Real]]: ...

# k and the temperature, one for each row, and what is added for the choice
_Choice: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any] | None]

def topk_softmax(function: str, x: NDArray[_Real], choice: _Choice) -> tuple[NDArray[_Real], _Supports]: ...
def topk_softmax_vjp(
    function: str, x: NDArray[_Real], choice: _Choice, g: NDArray[_Real], kept: _Supports | None = None
) -> NDArray[_Real]: ...
def topk_softmax_second(
    function: str, x: NDArray[_Real], choice: _Choice, g: NDArray[_Real], along: NDArray[_Real]
) -> tuple[NDArray[_Real], NDArray[_Real]]: ...
