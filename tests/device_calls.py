"""A call of every public operator, to be made on the host and on a device with the same numbers."""

import numpy as np
import torch

from argrad import decoding, seeding, selection, sorting, topology

V = 300


def normal(put, *shape, seed=0):
    return put(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def whole(put, *shape, high, seed=0):
    return put(np.random.default_rng(seed).integers(0, high, shape))


def uniform(put, *shape, seed=0):
    return put(np.random.default_rng(seed).uniform(0.1, 1.0, shape).astype(np.float32))


def rows(put):
    return normal(put, 3, V)


def barcodes(put):
    return [topology.barcode(normal(put, 9, 11, seed=seed)) for seed in (0, 1)]


# Name -> the call; `put` brings a numpy array to where the call is to be made.
CALLS = {
    "decoding.bregman_decode": lambda put: decoding.bregman_decode(rows(put), alpha=1.5, penalty=0.01, seed=3),
    "decoding.bregman_project": lambda put: decoding.bregman_project(rows(put), alpha=2.0, k=9),
    "decoding.constrained_softmax": lambda put: decoding.constrained_softmax(rows(put), 0.05),
    "decoding.constrained_sparsemax": lambda put: decoding.constrained_sparsemax(rows(put), 0.3),
    "decoding.entmax": lambda put: decoding.entmax(rows(put), 1.3),
    "decoding.entmax_conjugate": lambda put: decoding.entmax_conjugate(rows(put), 1.5),
    "decoding.logit_statistics": lambda put: decoding.logit_statistics(rows(put)),
    "decoding.sample": lambda put: decoding.sample(*decoding.truncate(rows(put), top_k=9), seed=3),
    "decoding.sparsemax": lambda put: decoding.sparsemax(rows(put)),
    "decoding.to_dense": lambda put: decoding.to_dense(*decoding.truncate(rows(put), top_k=9), V),
    "decoding.to_logits": lambda put: decoding.to_logits(*decoding.truncate(rows(put), top_k=9), V),
    "decoding.topk": lambda put: decoding.topk(rows(put), 9),
    "decoding.topk_softmax": lambda put: decoding.topk_softmax(rows(put), 9),
    "decoding.truncate": lambda put: decoding.truncate(rows(put), top_p=0.7, min_p=0.01),
    "decoding.truncated_decode": lambda put: decoding.truncated_decode(rows(put), top_p=0.7, seed=3),
    "seeding.assign": lambda put: seeding.assign(normal(put, 200, 5), normal(put, 7, 5, seed=1), return_distance=True),
    "seeding.kmeans": lambda put: seeding.kmeans(normal(put, 200, 5), 7, random_state=0)[:2],
    "seeding.kmeans_plusplus": lambda put: seeding.kmeans_plusplus(normal(put, 200, 5), 7, random_state=0),
    "seeding.kmeans_potential": lambda put: seeding.kmeans_potential(normal(put, 200, 5), normal(put, 7, 5, seed=1)),
    "selection.sensitivity_sample": lambda put: (
        selection.sensitivity_sample(normal(put, 200, 5), uniform(put, 200), 20, proxy="medoid", random_state=0).indices
    ),
    "selection.training_weights": lambda put: selection.training_weights(uniform(put, 200), clip=1.2),
    "selection.weighted_sample": lambda put: selection.weighted_sample(uniform(put, 200), 20, random_state=0),
    "sorting.blackbox_rank": lambda put: sorting.blackbox_rank(rows(put)),
    "sorting.group_order": lambda put: sorting.group_order(
        normal(put, 12), put(np.arange(12) % 3 == 0), negatives=3, steepness=2.0
    ),
    "sorting.pairwise_sum": lambda put: sorting.pairwise_sum(normal(put, 2, 40), normal(put, 2, 30, seed=1)),
    "sorting.permutahedron_blocks": lambda put: sorting.permutahedron_blocks(rows(put)),
    "sorting.soft_permutation": lambda put: (
        sorting.soft_permutation(rows(put), method="neuralsort") @ normal(put, 3, V, seed=1)
    ),
    "sorting.soft_rank": lambda put: sorting.soft_rank(rows(put)),
    "sorting.soft_sort": lambda put: sorting.soft_sort(rows(put)),
    "sorting.soft_topk": lambda put: sorting.soft_topk(rows(put), 9),
    "topology.barcode": lambda put: tuple(
        [topology.barcode(normal(put, 2, *shape), spatial_dims=len(shape)) for shape in ((9, 11), (5, 4, 6))]
    ),
    "topology.betti_matching": lambda put: tuple(
        [topology.betti_matching(normal(put, *shape), normal(put, *shape, seed=1)) for shape in ((9, 11), (5, 4, 6))]
    ),
    "topology.betti_numbers": lambda put: topology.betti_numbers(put(np.arange(99).reshape(9, 11) % 3 > 0)),
    "topology.euler_characteristic": lambda put: topology.euler_characteristic(normal(put, 9, 11), thresholds=[0.0]),
    "topology.bottleneck_distance": lambda put: topology.bottleneck_distance(*barcodes(put)),
    "topology.sliced_wasserstein_distance": lambda put: topology.sliced_wasserstein_distance(
        *barcodes(put), directions=4
    ),
    "topology.wasserstein_distance": lambda put: topology.wasserstein_distance(*barcodes(put), return_matching=True),
}

NOT_ARRAYS = {"sorting.perturbed"}
"""Public functions that call a function of the user on arrays, wherever these are."""


def flat(result):
    """The arrays in a result, in order."""
    if isinstance(result, torch.Tensor | np.ndarray):
        return [result]
    if isinstance(result, float | np.generic):
        return [np.asarray(result)]
    parts = vars(result).values() if hasattr(result, "__dict__") and not isinstance(result, tuple) else result
    return [x for part in parts for x in flat(part)] if isinstance(result, tuple) else []


def outcome(name, put):
    """The arrays of a call's result, and the gradients to its inputs of a fixed sum over what can be differentiated."""
    inputs = []

    def recorded(array):
        x = put(array)
        if x.is_floating_point():
            inputs.append(x.requires_grad_())
        return x

    found = flat(CALLS[name](recorded))
    smooth = [x for x in found if isinstance(x, torch.Tensor) and x.requires_grad]
    if smooth:
        upstream = [torch.linspace(-1, 1, x.numel(), dtype=x.dtype, device=x.device).reshape(x.shape) for x in smooth]
        gradients = torch.autograd.grad(smooth, inputs, upstream, allow_unused=True)
        found = [*[x.detach() for x in found], *[x for x in gradients if x is not None]]
    return found
