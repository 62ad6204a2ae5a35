"""Naive oracles for persistence barcodes of images and for Betti matching; they never import argrad.

Loop-written references for tiny images (about 7 x 7 or 4 x 4 x 4): no speed, no cleverness, numpy only.

O1  `pairs`, `barcode`, `betti_matching`   reduction of boundary matrices, rows and columns in two orders
O2  `pairs_by_rank`                        the same pairs from F2 ranks alone, no reduction at all
O3  `betti_matching_of_modules`            ranks of induced maps, barcodes by inclusion-exclusion, equal endpoints
O4  `betti_matching(..., construction="T")` the explicit T-complex, against padded V by duality
    `betti_numbers`, `euler`                flood fill, and cells counted one by one

Convention: sublevel sets. Everything is decided by one total order of the cells of a dimension: (value, position).
"""

import functools
import itertools

import numpy as np

# --- O1: the complex -------------------------------------------------------------------------------------------


def cells(shape):
    """Return, per dimension, all cells of the grid as (corner, direction mask)."""
    out = [[] for _ in range(len(shape) + 1)]
    for mask in itertools.product((0, 1), repeat=len(shape)):
        for corner in itertools.product(*[range(size - step) for size, step in zip(shape, mask, strict=True)]):
            out[sum(mask)].append((corner, mask))
    return out


def vertices(cell):
    """Return the grid points of a cell, in lexicographic order."""
    corner, mask = cell
    steps = itertools.product(*[(0, 1) if step else (0,) for step in mask])
    return [tuple(a + b for a, b in zip(corner, step, strict=True)) for step in steps]


def faces(cell):
    """Return the boundary of a cell: two cells per direction."""
    corner, mask = cell
    out = []
    for axis, step in enumerate(mask):
        if step:
            lower = (*mask[:axis], 0, *mask[axis + 1 :])
            out += [(corner, lower), ((*corner[:axis], corner[axis] + 1, *corner[axis + 1 :]), lower)]
    return out


def value_v(f, cell):
    """V-construction: voxels are vertices, a cell has the maximum of its vertices."""
    return max(f[v] for v in vertices(cell))


def value_t(f, cell):
    """T-construction on a grid of shape n + 1: voxels are top cells, a cell has the minimum of its top cofaces."""
    corner, mask = cell
    ranges = [(at,) if step else (at - 1, at) for at, step in zip(corner, mask, strict=True)]
    inside = [v for v in itertools.product(*ranges) if all(0 <= a < n for a, n in zip(v, f.shape, strict=True))]
    return min(f[v] for v in inside)


def kind(mask):
    """Return an edge's axis, or the normal axis of a square in 3-D; 0 otherwise."""
    if sum(mask) == 1:
        return mask.index(1)
    return mask.index(0) if len(mask) == 3 and sum(mask) == 2 else 0


def key(f, cell, value=value_v):
    """Return the total order inside one dimension: (value, corner, kind), all ascending.

    In the T-construction the order is the mirror of the order of the dual cells in the padded V-complex of -f.
    """
    corner, mask = cell
    if value is value_v:
        return (value(f, cell), corner, kind(mask))
    dual = tuple(1 - step for step in mask)
    return (value(f, cell), tuple(-at - step for at, step in zip(corner, mask, strict=True)), -kind(dual))


# --- O1: reduction ---------------------------------------------------------------------------------------------


def pairs(grid, k, row_image, column_image, value=value_v):
    """Return the pairs of `reduce`; those of equal images are computed once."""
    images = [np.ascontiguousarray(x, dtype=float) for x in (row_image, column_image)]
    return _cached(images[0].shape, k, images[0].tobytes(), images[1].tobytes(), value)


@functools.lru_cache(maxsize=256)
def _cached(shape, k, row_bytes, column_bytes, value):
    images = [np.frombuffer(x).reshape(shape) for x in (row_bytes, column_bytes)]
    grid = cells(shape) if value is value_v else cells(tuple(n + 1 for n in shape))
    return reduce(grid, k, *images, value)


def reduce(grid, k, row_image, column_image, value=value_v):
    """Reduce the boundary matrix from dimension k + 1 to k; return {column cell: row cell}.

    Rows are ordered by `row_image`, columns by `column_image`. Equal images give ordinary persistence; rows by
    the source and columns by the target of an inclusion give image persistence.
    """
    rows = sorted(grid[k], key=lambda cell: key(row_image, cell, value))
    position = {cell: i for i, cell in enumerate(rows)}
    reduced, out = {}, {}
    for cell in sorted(grid[k + 1], key=lambda cell: key(column_image, cell, value)):
        column = {position[face] for face in faces(cell)}
        while column and max(column) in reduced:
            column = column ^ reduced[max(column)]
        if column:
            reduced[max(column)] = column
            out[cell] = rows[max(column)]
    return out


def barcode(f, k, construction="V"):
    """Return {birth cell: death cell} of the finite bars of degree k with non-zero length."""
    value, grid = _construction(f, construction)
    return {p: q for q, p in pairs(grid, k, f, f, value).items() if value(f, p) < value(f, q)}


def essential(f, construction="V"):
    """Return the cell of degree 0 that no cell kills: the first in the order."""
    value, grid = _construction(f, construction)
    return min(grid[0], key=lambda cell: key(f, cell, value))


def betti_matching(f, g, strict, comparison="union", construction="V"):
    """Match the bars of f and g through their union or intersection.

    Returns, per degree, (matches, bars of f, bars of g); a match is ((birth, death) in f, (birth, death) in g),
    bars are {birth cell: death cell}. `strict` demands that both image bars are non-empty.
    """
    value, grid = _construction(f, construction)
    c = np.minimum(f, g) if comparison == "union" else np.maximum(f, g)
    out = []
    for k in range(f.ndim):
        bars_f, bars_g = barcode(f, k, construction), barcode(g, k, construction)
        bars_c = barcode(c, k, construction)
        matches = []
        if comparison == "union":  # image pairs of f -> c and g -> c share the DEATH j
            image_f, image_g = pairs(grid, k, f, c, value), pairs(grid, k, g, c, value)
            for j, b in pairs(grid, k, c, c, value).items():
                p, q = image_f[j], image_g[j]
                if strict:
                    ok = value(f, p) < value(c, j) and value(g, q) < value(c, j)
                else:
                    ok = b in bars_c and p in bars_f and q in bars_g
                if ok:
                    matches.append(((p, bars_f[p]), (q, bars_g[q])))
        else:  # image pairs of c -> f and c -> g share the BIRTH p
            image_f = {p: j for j, p in pairs(grid, k, c, f, value).items()}
            image_g = {p: j for j, p in pairs(grid, k, c, g, value).items()}
            births_f, births_g = ({q: p for p, q in bars.items()} for bars in (bars_f, bars_g))
            for p in pairs(grid, k, c, c, value).values():
                if p not in image_f or p not in image_g:
                    continue
                j, i = image_f[p], image_g[p]
                if strict:
                    ok = value(c, p) < value(f, j) and value(c, p) < value(g, i)
                else:
                    ok = p in bars_c and j in births_f and i in births_g
                if ok:
                    matches.append(((births_f[j], j), (births_g[i], i)))
        out.append((matches, bars_f, bars_g))
    return out


def _construction(f, construction):
    if construction == "V":
        return value_v, cells(f.shape)
    return value_t, cells(tuple(n + 1 for n in f.shape))


def values_of_matching(f, g, result, construction="V"):
    """Return, per degree, the sorted 4-tuples (b_f, d_f, b_g, d_g) of the matches and the sorted unmatched bars."""
    value = value_v if construction == "V" else value_t
    out = []
    for matches, bars_f, bars_g in result:
        both = sorted((value(f, a), value(f, b), value(g, c), value(g, d)) for (a, b), (c, d) in matches)
        seen_f, seen_g = {m[0][0] for m in matches}, {m[1][0] for m in matches}
        only_f = sorted((value(f, p), value(f, q)) for p, q in bars_f.items() if p not in seen_f)
        only_g = sorted((value(g, p), value(g, q)) for p, q in bars_g.items() if p not in seen_g)
        out.append((both, only_f, only_g))
    return out


def voxel(f, cell, construction="V"):
    """Return the voxel whose value a cell has: the last of equal ones, for cubes (T: for their duals) the first."""
    corner, mask = cell
    if construction == "V":
        inside, value, dimension = vertices(cell), value_v(f, cell), sum(mask)
    else:
        ranges = [(at,) if step else (at - 1, at) for at, step in zip(corner, mask, strict=True)]
        inside = [v for v in itertools.product(*ranges) if all(0 <= a < n for a, n in zip(v, f.shape, strict=True))]
        value, dimension = value_t(f, cell), f.ndim - sum(mask)
    found = [v for v in inside if f[v] == value]
    return found[0] if dimension == 3 else found[-1]


def voxels_of_matching(f, g, result, construction="V"):
    """Return, per degree, the voxels (birth, death) of the bars of f and of g, and both of each match, all sorted."""
    out = []
    for matches, bars_f, bars_g in result:
        places = [
            {p: tuple(index(x, voxel(x, cell, construction)) for cell in (p, q)) for p, q in bars.items()}
            for x, bars in ((f, bars_f), (g, bars_g))
        ]
        both = sorted((places[0][a], places[1][b]) for (a, _), (b, _) in matches)
        out.append((sorted(places[0].values()), sorted(places[1].values()), both))
    return out


def index(x, voxel):
    """Return the position of a voxel in the flattened image."""
    return int(np.ravel_multi_index(voxel, x.shape))


# --- O2: pairs from ranks --------------------------------------------------------------------------------------


def rank_f2(rows):
    """Return the rank over F2 of rows given as integers used as bit sets."""
    basis = {}
    for given in rows:
        row = given
        while row and row.bit_length() in basis:
            row ^= basis[row.bit_length()]
        if row:
            basis[row.bit_length()] = row
    return len(basis)


def pairs_by_rank(grid, k, row_image, column_image):
    """Return {column cell: row cell} by pairing uniqueness: r(i,j) - r(i+1,j) + r(i+1,j-1) - r(i,j-1) = 1."""
    rows = sorted(grid[k], key=lambda cell: key(row_image, cell))
    columns = sorted(grid[k + 1], key=lambda cell: key(column_image, cell))
    position = {cell: i for i, cell in enumerate(rows)}
    bits = [sum(1 << position[face] for face in faces(cell)) for cell in columns]
    # rank[j][i]: rows >= i, first j columns
    rank = [[rank_f2([b >> i for b in bits[:j]]) for i in range(len(rows) + 1)] for j in range(len(columns) + 1)]
    out = {}
    for j, i in itertools.product(range(1, len(columns) + 1), range(len(rows))):
        if rank[j][i] - rank[j][i + 1] + rank[j - 1][i + 1] - rank[j - 1][i] == 1:
            out[columns[j - 1]] = rows[i]
    return out


# --- O3: persistence modules -----------------------------------------------------------------------------------


def image_barcode(f, c, k):
    """Return the bars [(birth, death), ...] of the image of H_k(K(f)) -> H_k(K(c)), for c <= f; deaths may be inf.

    rank(H_k(K_s(f)) -> H_k(K_t(c))) = dim(Z_s + B_t) - dim(B_t) for all s <= t, then inclusion-exclusion.
    """
    grid = cells(f.shape)
    bit = {cell: 1 << i for i, cell in enumerate(grid[k])}
    times = sorted({float(v) for v in f.ravel()} | {float(v) for v in c.ravel()})
    cycles = [_cycles([cell for cell in grid[k] if value_v(f, cell) <= s], bit) for s in times]
    filled = [[cell for cell in grid[k + 1] if value_v(c, cell) <= t] for t in times]
    boundaries = [[sum(bit[face] for face in faces(cell)) for cell in chosen] for chosen in filled]
    size = len(times)
    rank = np.zeros((size + 1, size + 1), dtype=int)  # rank[i + 1, j]: s = times[i], t = times[j]; zero outside
    for i, j in itertools.combinations_with_replacement(range(size), 2):
        rank[i + 1, j] = rank_f2(cycles[i] + boundaries[j]) - rank_f2(boundaries[j])
    out = []
    for i, j in itertools.combinations(range(size + 1), 2):
        count = rank[i + 1, j - 1] - rank[i, j - 1] - rank[i + 1, j] + rank[i, j]
        out += [(times[i], times[j] if j < size else np.inf)] * count
    return out


def _cycles(chosen, bit):
    """Return a basis of the kernel of the boundary map on the chosen cells, as bit sets over `bit`."""
    shift = len(bit)
    low = {face: 1 << (shift + i) for i, face in enumerate({face for cell in chosen for face in faces(cell)})}
    basis, out = {}, []
    for cell in chosen:
        vector = bit[cell] | sum(low[face] for face in faces(cell))
        while vector.bit_length() > shift and vector.bit_length() in basis:
            vector ^= basis[vector.bit_length()]
        if vector.bit_length() > shift:
            basis[vector.bit_length()] = vector
        else:
            out.append(vector)
    return out


def betti_matching_of_modules(f, g, k):
    """Return the strict union matching of degree k as sorted 4-tuples of values, from module barcodes alone.

    A bar of the image is matched to the bar of f with its birth and to the bar of c with its death (Bauer-Lesnick).
    That is a definition only where those endpoints are unique; None is returned elsewhere.
    """
    c = np.minimum(f, g)
    bars_f, bars_g, bars_c = image_barcode(f, f, k), image_barcode(g, g, k), image_barcode(c, c, k)
    births_f, births_g = [b for b, _ in bars_f], [b for b, _ in bars_g]
    deaths_c = [d for _, d in bars_c]
    if any(len(set(ends)) < len(ends) for ends in (births_f, births_g, deaths_c)):
        return None
    via_f, via_g = ({d: b for b, d in image_barcode(x, c, k)} for x in (f, g))
    shared = [d for d in deaths_c if d < np.inf and d in via_f and d in via_g]
    return sorted((via_f[d], dict(bars_f)[via_f[d]], via_g[d], dict(bars_g)[via_g[d]]) for d in shared)


# --- the binary-target shortcut --------------------------------------------------------------------------------


def betti_matching_binary_target(f, g):
    """Return the strict union matching with two filtrations; g in {0, 1} with 0 foreground, 0 <= f <= 1.

    One vertex order R = (g, f, index) refines both g and c = min(f, g): one reduction in the order R is the target's
    barcode, the union's barcode and the target's image barcode at once. Same return value as `betti_matching`.
    """
    grid = cells(f.shape)
    order = np.empty(f.shape)  # rank of each voxel in the order R
    order[tuple(zip(*sorted(np.ndindex(f.shape), key=lambda v: (g[v], f[v], v)), strict=True))] = np.arange(f.size)
    c = np.minimum(f, g)
    out = []
    for k in range(f.ndim):
        in_r, image_f = pairs(grid, k, order, order), pairs(grid, k, f, order)
        bars_g = {p: q for q, p in in_r.items() if value_v(g, p) < value_v(g, q)}
        bars_f = barcode(f, k)
        matches = [
            ((image_f[j], bars_f[image_f[j]]), (b, j))
            for b, j in bars_g.items()
            if value_v(c, j) > 0 and value_v(f, image_f[j]) < value_v(c, j)
        ]
        out.append((matches, bars_f, bars_g))
    return out


# --- what is counted in masks ----------------------------------------------------------------------------------


def components(mask, full):
    """Return the number of connected components by flood fill."""
    near = [step for step in itertools.product((-1, 0, 1), repeat=mask.ndim) if full or sum(map(abs, step)) == 1]
    left, count = {tuple(int(i) for i in at) for at in np.argwhere(mask)}, 0
    while left:
        count, front = count + 1, [left.pop()]
        while front:
            at = front.pop()
            beside = {tuple(a + b for a, b in zip(at, step, strict=True)) for step in near} & left
            left -= beside
            front += beside
    return count


def euler(mask, full):
    """Return the alternating sum of the numbers of cells: those with all their voxels, or (full) with one of them."""
    f = 1.0 - np.asarray(mask, dtype=float)
    grid = cells(tuple(n + 1 for n in f.shape)) if full else cells(f.shape)
    value = value_t if full else value_v
    return sum((-1) ** k * sum(value(f, cell) == 0 for cell in grid[k]) for k in range(f.ndim + 1))


def betti_numbers(mask, full):
    """Return beta_0, ..., beta_(d - 1): components, cavities by duality, and the rest from the Euler characteristic."""
    found = [components(mask, full)] + [0] * (mask.ndim - 1)
    if mask.ndim > 1:
        found[-1] = components(np.pad(~mask, 1, constant_values=True), not full) - 1
    if mask.ndim == 3:
        found[1] = found[0] + found[2] - euler(mask, full)
    return found
