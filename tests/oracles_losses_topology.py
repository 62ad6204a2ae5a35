"""Losses of topology by their definitions, for one small image; images are nested lists."""

import math

import numpy as np

import oracles_topology as topology
import oracles_topology_distances as distances


def betti_matching(
    prediction,
    target,
    filtration="superlevel",
    connectivity="face",
    comparison="union",
    rule="refined",
    dims=None,
    weight_matched=1.0,
    weight_unmatched=1.0,
    push_unmatched="diagonal",
    min_persistence=0.0,
    relative=False,
    sphere=False,
    essential=False,
    spatial_dims=None,
):
    """Return the Betti matching loss; the values of cells are looked up voxel by voxel."""
    if filtration == "both":
        given = {key: value for key, value in locals().items() if key != "filtration"}
        return sum(betti_matching(**given, filtration=level) for level in ("superlevel", "sublevel"))
    f, g = (sublevels(image, filtration, relative, sphere) for image in (prediction, target))
    construction = "T" if connectivity == "full" else "V"
    value = topology.value_v if construction == "V" else topology.value_t
    found = topology.betti_matching(f, g, rule == "strict", comparison, construction)
    total = 2 * (f.min() - g.min()) ** 2 if essential and (dims is None or 0 in dims) else 0.0
    for k, (matches, bars_f, bars_g) in enumerate(found):
        if dims is not None and k not in dims:
            continue
        for own, other in matches:
            gaps = [value(f, a) - value(g, b) for a, b in zip(own, other, strict=True)]
            total += weight_matched * 2 * sum(gap**2 for gap in gaps)
        seen = [{match[side][0] for match in matches} for side in (0, 1)]
        for birth, death in bars_f.items():
            length = value(f, death) - value(f, birth)
            if birth in seen[0] or length < min_persistence:
                continue
            if push_unmatched == "diagonal":
                total += weight_unmatched * length**2
                continue
            # The background comes last in the order of sublevel sets.
            goals = (
                (1, 0)
                if push_unmatched == "background"
                else [g[topology.voxel(f, c, construction)] for c in (birth, death)]
            )
            gaps = [value(f, cell) - goal for cell, goal in zip((birth, death), goals, strict=True)]
            total += weight_unmatched * 2 * sum(gap**2 for gap in gaps)
        total += sum((value(g, q) - value(g, p)) ** 2 for p, q in bars_g.items() if p not in seen[1])
    return total


def betti_matching_gradient(prediction, target, rule="refined", weight_matched=1.0, weight_unmatched=1.0):
    """Return the loss and its gradient to a prediction without ties, in closed form (superlevel, face, union)."""
    f, g = (sublevels(image) for image in (prediction, target))
    total, out = 0.0, np.zeros(f.shape)
    for matches, bars_f, bars_g in topology.betti_matching(f, g, rule == "strict"):
        seen = [{match[side][0] for match in matches} for side in (0, 1)]
        for own, other in matches:
            for a, b in zip(own, other, strict=True):
                gap = topology.value_v(f, a) - topology.value_v(g, b)
                total += 2 * weight_matched * gap**2
                out[topology.voxel(f, a)] += 4 * weight_matched * gap
        for p, q in bars_f.items():
            if p not in seen[0]:
                length = topology.value_v(f, p) - topology.value_v(f, q)
                total += weight_unmatched * length**2
                out[topology.voxel(f, p)] += 2 * weight_unmatched * length
                out[topology.voxel(f, q)] -= 2 * weight_unmatched * length
        total += sum(
            (topology.value_v(g, p) - topology.value_v(g, q)) ** 2 for p, q in bars_g.items() if p not in seen[1]
        )
    return total, -out  # f = 1 - prediction


def sublevels(image, filtration="superlevel", relative=False, sphere=False):
    """Return an image whose sublevel sets are those that are asked for, with a ring around it."""
    image = np.array(image, dtype=float)
    if sphere:
        image = np.pad(image, 1)
    f = 1 - image if filtration == "superlevel" else image
    return np.pad(f, 1, constant_values=f.min()) if relative else f


def bars(f, k, connectivity="face", essential=False):
    """Return the bars of degree k of sublevel sets as (birth, death); the essential one dies at 1."""
    construction = "T" if connectivity == "full" else "V"
    value = topology.value_v if construction == "V" else topology.value_t
    found = [(value(f, p), value(f, q)) for p, q in topology.barcode(f, k, construction).items()]
    return found + ([(f.min(), 1.0)] if essential and k == 0 else [])


def longest(f, numbers, wanted, missing, kept, rest, connectivity="face", essential=False):
    """Add up the terms of bars: `kept` of the longest, so many for each degree, `rest` of the others."""
    total = 0.0
    for k in wanted:
        found = sorted(bars(f, k, connectivity, essential), key=lambda bar: bar[0] - bar[1])
        total += sum(kept(b, d) for b, d in found[: numbers[k]]) + sum(rest(b, d) for b, d in found[numbers[k] :])
        total += missing * max(0, numbers[k] - len(found))
    return total


def betti_prior(prediction, betti, filtration="superlevel", connectivity="face", dims=None, spatial_dims=None):
    """Return Clough's loss."""
    if filtration == "both":
        return sum(betti_prior(prediction, betti, x, connectivity, dims) for x in ("superlevel", "sublevel"))
    f = sublevels(prediction, filtration)
    terms = {"missing": 1.0, "kept": lambda b, d: 1 - (b - d) ** 2, "rest": lambda b, d: (b - d) ** 2}
    return longest(f, betti, dims or range(f.ndim), **terms, connectivity=connectivity, essential=True)


def wasserstein_topology(
    prediction,
    target,
    matching="longest",
    filtration="superlevel",
    connectivity="face",
    dims=None,
    essential=False,
    spatial_dims=None,
):
    """Return Hu's loss, or the squared distance of the two barcodes."""
    if filtration == "both":
        given = {key: value for key, value in locals().items() if key != "filtration"}
        return sum(wasserstein_topology(**given, filtration=level) for level in ("superlevel", "sublevel"))
    f = sublevels(prediction, filtration)
    wanted = dims or range(f.ndim)
    if matching == "longest":
        g = sublevels((np.array(target) > 0).astype(float), filtration)
        numbers = [len(bars(g, k, connectivity)) for k in range(g.ndim)]
        numbers[0] += essential and g.min() == 0
        terms = {"missing": 0.5, "kept": lambda b, d: b**2 + (d - 1) ** 2, "rest": lambda b, d: (b - d) ** 2 / 2}
        return longest(f, numbers, wanted, **terms, connectivity=connectivity, essential=essential)
    g = sublevels(target, filtration)
    total = (f.min() - g.min()) ** 2 if essential and 0 in wanted else 0.0
    for k in wanted:
        x, y = (np.array(bars(image, k, connectivity)).reshape(-1, 2) for image in (f, g))
        total += distances.assignment(x, y, 2.0, 2.0) ** 2
    return total


def euler_characteristic(prediction, target, spatial_dims=None):
    """Return the squared difference of the expected Euler characteristics, cell by cell."""
    return (expected_characteristic(prediction) - expected_characteristic(target)) ** 2


def expected_characteristic(image):
    p = np.array(image, dtype=float)
    return sum(
        (-1) ** dimension * math.prod(p[vertex] for vertex in topology.vertices(cell))
        for dimension, cells in enumerate(topology.cells(p.shape))
        for cell in cells
    )
