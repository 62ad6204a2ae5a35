"""Topological errors of segmentations: how many components, loops and cavities are wrong, and which.

Masks are booleans, or numbers that are exactly 0 and 1; shape (*S), (n, *S) or (n, c, *S) with one to three spatial
dimensions S. Both connectivity and the number of spatial dimensions have to be said: the first can turn a ranking of
methods round, and the second cannot be seen in a shape. Report errors per dimension.
"""

import itertools
from typing import Any

import numpy as np

from argrad import _array, _check, topology
from argrad._array import Array

__all__ = ["betti_matching_error", "betti_number_error"]


def betti_number_error(
    prediction: Array,
    target: Array,
    *,
    connectivity: str,
    spatial_dims: int | None,
    per_dimension: bool = False,
    normalize: bool = False,
    patch: int | None = None,
) -> Any:
    """Count by how much the numbers of components, loops and cavities of a mask differ from those of another.

    With beta_k the Betti numbers of the prediction P and the target G,

        e_k = |beta_k(P) - beta_k(G)|,    error = SUM_k e_k.

    Errors of opposite kinds cancel: a component too many and one missing elsewhere are no error. Patches see more, and
    `betti_matching_error` sees all of it.

    Args:
        prediction: mask, shape (*S), (n, *S) or (n, c, *S), booleans or numbers 0 and 1; numpy array, torch tensor (CPU
            or CUDA) or cupy array.
        target: mask of the same shape and kind.
        connectivity: of the foreground: "face" (4 neighbours in a plane, 6 in a volume) or "full" (8, 26). The
            background has the other one.
        spatial_dims: how many of the last dimensions are space, 1 to 3; None: all.
        per_dimension: whether to return e_k of every degree instead of the sum.
        normalize: whether to divide by the number of features of the target: min(1, error / max(1, SUM_k beta_k(G)));
            with `per_dimension` min(1, e_k / max(1, beta_k(G))).
        patch: None, or the length of the sides of patches: the masks are cut into a grid of them (those at the far
            borders may be smaller), and the mean of the patches' errors (each normalized, if so) is returned.

    Returns:
        One error for each image, shape (), (n,) or (n, c), followed by the degrees with `per_dimension`; of the kind of
        `prediction`, int64, or float64 with `normalize` or `patch`.

    Raises:
        TypeError: not arrays, or of two kinds.
        ValueError: masks of two shapes, or values other than 0 and 1; or an option out of range.

    Gradient:
        None.

    Determinism:
        Exact integers; no randomness.

    Cost:
        O(voxels). A device is waited for, because the values are looked at.

    Examples:
        >>> import numpy as np
        >>> from argrad.metrics.topology import betti_number_error
        >>> target, cut = np.array([1, 1, 1, 1, 1]), np.array([1, 1, 0, 1, 1])
        >>> int(betti_number_error(cut, target, connectivity="face", spatial_dims=1))
        1
    """
    name = "betti_number_error"
    lead = _enter(name, prediction, target, connectivity, spatial_dims)
    _check.flag(name, "per_dimension", per_dimension)
    _check.flag(name, "normalize", normalize)
    options = {"connectivity": connectivity, "spatial_dims": prediction.ndim - lead}
    masks = [_array.raw(x) != 0 for x in (prediction, target)]

    def gap(window: tuple[Any, ...]) -> Array:
        betti = [topology.betti_numbers(mask[window], **options) for mask in masks]
        return _total(abs(betti[0] - betti[1]), betti[1], per_dimension, normalize)

    if patch is None:
        found = gap((...,))
    else:
        side = _check.integer(name, "patch", patch, low=1)
        corners = itertools.product(*[range(0, size, side) for size in prediction.shape[lead:]])
        windows = [(..., *[slice(at, at + side) for at in corner]) for corner in corners]
        found = _array.cast(sum([gap(window) for window in windows]), "float64") / len(windows)
    return _array.like(found, prediction) if _array.is_tensor(prediction) else found[()]


def _total(errors: Array, betti: Array, per_dimension: bool, normalize: bool) -> Array:
    """Return errors of every degree or their sum, divided by the numbers of features or not."""
    if not per_dimension:
        errors, betti = errors.sum(-1), betti.sum(-1)
    return (_array.cast(errors, "float64") / betti.clip(min=1)).clip(max=1.0) if normalize else errors


def betti_matching_error(
    prediction: Array,
    target: Array,
    *,
    connectivity: str,
    spatial_dims: int | None,
    per_dimension: bool = False,
    normalize: bool = False,
) -> Any:
    """Count the components, loops and cavities of two masks that have no counterpart in the other, in place.

    With the features of both matched through the union of the masks (`betti_matching`),

        tau_k = unmatched features of P + unmatched features of G of degree k,    error = SUM_k tau_k,

    which is at least |beta_k(P) - beta_k(G)| in every degree. Where exactly one of the masks is empty, the other's
    first component is unmatched too.

    **One component of each mask is not compared.** It is the one that holds the mask's first voxel in row-major order
    (for "full", its last), and it counts as matched to its like, wherever that lies (as in the definition, and all
    implementations of it). So moving that component of a mask elsewhere may go unseen, while moving another one is two
    errors.

    Args:
        prediction: mask, shape (*S), (n, *S) or (n, c, *S), booleans or numbers 0 and 1; numpy array, torch tensor (CPU
            or CUDA) or cupy array.
        target: mask of the same shape and kind.
        connectivity: of the foreground: "face" (4 neighbours in a plane, 6 in a volume) or "full" (8, 26). The
            background has the other one.
        spatial_dims: how many of the last dimensions are space, 1 to 3; None: all.
        per_dimension: whether to return tau_k of every degree instead of the sum.
        normalize: whether to divide by the number of features of the target: min(1, tau / max(1, SUM_k beta_k(G)));
            with `per_dimension` min(1, tau_k / max(1, beta_k(G))).

    Returns:
        One error for each image, shape (), (n,) or (n, c), followed by the degrees with `per_dimension`; of the kind of
        `prediction`, int64, or float64 with `normalize`.

    Raises:
        TypeError: not arrays, or of two kinds.
        ValueError: masks of two shapes, or values other than 0 and 1; or an option out of range.

    Gradient:
        None.

    Determinism:
        Exact integers; no randomness.

    Cost:
        That of `betti_matching`. A device is waited for once more, because the values are looked at.

    References:
        Stucki, Paetzold, Shit, Menze, Bauer, "Topologically faithful image segmentation via induced matching of
        persistence barcodes", ICML 2023, arXiv:2211.15272. On reporting: Berger et al., "Pitfalls of topology-aware
        image segmentation", arXiv:2412.14619.

    Examples:
        >>> import numpy as np
        >>> from argrad.metrics.topology import betti_matching_error, betti_number_error
        >>> target, moved = np.array([1, 1, 0, 0, 0, 1]), np.array([1, 1, 0, 1, 0, 0])
        >>> int(betti_number_error(moved, target, connectivity="face", spatial_dims=1))
        0
        >>> int(betti_matching_error(moved, target, connectivity="face", spatial_dims=1))
        2
    """
    name = "betti_matching_error"
    lead = _enter(name, prediction, target, connectivity, spatial_dims)
    _check.flag(name, "per_dimension", per_dimension)
    _check.flag(name, "normalize", normalize)
    spatial = prediction.ndim - lead
    masks = [_array.raw(x) != 0 for x in (prediction, target)]
    found = _check.on_behalf(name, {}, topology.betti_matching, *masks, connectivity=connectivity, spatial_dims=spatial)
    tau = found.n_unmatched_prediction + found.n_unmatched_target
    some = [mask.any(tuple(range(lead, mask.ndim))) for mask in masks]
    tau[..., 0] += some[0] != some[1]
    betti = found.n_matched + found.n_unmatched_target
    betti[..., 0] += some[1]
    error = _total(tau, betti, per_dimension, normalize)
    return _array.like(error, prediction) if _array.is_tensor(prediction) else error[()]


def _enter(function: str, prediction: Array, target: Array, connectivity: str, spatial_dims: int | None) -> int:
    """Require two masks and a connectivity; return how many leading dimensions count them."""
    for argument, x in (("prediction", prediction), ("target", target)):
        _check.numbers(function, argument, x, device=True)
    _check.choice(function, "connectivity", connectivity, ("face", "full"))
    _check.same_kind(function, {"prediction": prediction, "target": target})
    if tuple(prediction.shape) != tuple(target.shape):
        first, second = tuple(prediction.shape), tuple(target.shape)
        raise ValueError(f"{function}: target must be of shape {first} like prediction, got {second}")
    most = 3 if spatial_dims is None else _check.integer(function, "spatial_dims", spatial_dims, low=1, high=3)
    spatial = prediction.ndim if spatial_dims is None else most
    if not 1 <= spatial <= most or not spatial <= prediction.ndim <= spatial + 2:
        more = "" if spatial_dims is None else " and at most 2 leading ones"
        expected = f"of {'1 to 3' if spatial_dims is None else spatial} spatial dimensions{more}"
        raise ValueError(f"{function}: prediction must be {expected}, got shape {tuple(prediction.shape)}")
    if 0 in prediction.shape[prediction.ndim - spatial :]:
        shape = tuple(prediction.shape)
        raise ValueError(f"{function}: prediction must be masks of at least one voxel, got shape {shape}")
    for argument, x in (("prediction", prediction), ("target", target)):
        bad = (x != 0) & (x != 1)
        if bool(bad.any()):
            at = tuple(int(i) for i in np.argwhere(_array.to_host(bad))[0])
            raise ValueError(f"{function}: {argument} must be a mask of 0 and 1, got {_array.to_host(x)[at]} at {at}")
    return int(prediction.ndim) - spatial
