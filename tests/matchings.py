"""How tests of matchings make images and read what is found."""

import numpy as np


def flat(found):
    """All arrays of a matching in one list of numpy arrays."""
    return [np.asarray(x) for x in (*found.prediction.to_numpy(), *found.target.to_numpy(), *found[2:])]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))


def tables(found):
    """Bars of both sides as rows (batch, channel, dimension, birth voxel, death voxel)."""
    return [
        np.stack([x.batch, x.channel, x.dimension, x.birth_index, x.death_index], 1)
        for x in (found.prediction, found.target)
    ]


def matched(found):
    """The matches as a set of pairs of bars by voxels."""
    first, second = tables(found)
    return {(tuple(first[i].tolist()), tuple(second[j].tolist())) for i, j in found.pairs}


def values(found):
    """The sorted 4-tuples of the matches, with their degree."""
    i, j = found.pairs.T
    p, t = found.prediction, found.target
    return sorted(zip(p.dimension[i].tolist(), p.birth[i], p.death[i], t.birth[j], t.death[j], strict=True))


def free(rng, shape):
    """Two images of different numbers."""
    size = int(np.prod(shape))
    return (1 + rng.permutation(2 * size).reshape(2, *shape)) / (2 * size + 1)


def mask(*lines):
    return np.array([[letter == "#" for letter in line] for line in lines])
