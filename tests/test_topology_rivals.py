"""The refined rule is what the published program computes: on real images the same bars and matches, voxel by voxel."""

import importlib.metadata
import importlib.util
import sys
import warnings
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from argrad.topology import betti_matching

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn when they are compiled
    from skimage import data

CROP = 64
"""Side of the crops of real images."""


@cache
def core():
    """The C++ module inside topolosses 0.2.0, without the package, which loads OpenCV."""
    files = importlib.metadata.files("topolosses") or []
    path = next(file for file in files if file.name.startswith("betti_matching.") and file.suffix == ".so")
    spec = importlib.util.spec_from_file_location("betti_matching", path.locate())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def photograph(name):
    """A real image in [0, 1], single precision."""
    x = getattr(data, name)()
    x = x[..., 1] if x.ndim == 3 else x
    return (x / x.max()).astype(np.float32)


def pair(name, crop, grey):
    """What a network might predict of an image's dark parts, and those parts; or, if grey, another such map."""
    x = photograph(name)[crop]
    rng = np.random.default_rng(len(name))
    target = x < np.float32(np.median(x))
    noisy = [gaussian_filter(target + 0.8 * rng.standard_normal(x.shape), sigma) for sigma in (0.8, 1.2)]
    maps = [(1 / (1 + np.exp(4 - 8 * y))).astype(np.float32) for y in noisy]
    return (maps[0], maps[1]) if grey else (maps[0], target.astype(np.float32))


def volume(size, grey):
    rng = np.random.default_rng(size)
    f, g = (gaussian_filter(rng.standard_normal((size, size + 1, size + 2)), 0.9).astype(np.float32) for _ in range(2))
    return f, g if grey else (g > 0).astype(np.float32)


def tables(found, shape):
    """Per degree, sorted rows of the voxels (birth, death) of matched and of unmatched bars."""
    first, second = (np.stack([x.birth_index, x.death_index], 1) for x in (found.prediction, found.target))
    degree = [bars.dimension for bars in (found.prediction, found.target)]
    out = []
    for k in range(len(shape)):
        i, j = found.pairs[degree[0][found.pairs[:, 0]] == k].T
        alone = [
            table[at[dimension[at] == k]]
            for table, at, dimension in zip(
                (first, second), (found.unmatched_prediction, found.unmatched_target), degree, strict=True
            )
        ]
        out.append([np.hstack([first[i], second[j]]), *alone])
    return [[sorted(map(tuple, table.tolist())) for table in parts] for parts in out]


def rival_tables(f, g):
    """The same of the rival."""
    result = core().compute_matching(f, g)

    def voxels(kind, k):
        places = [np.asarray(getattr(result, f"{kind}_{end}_coordinates")[k]) for end in ("birth", "death")]
        return np.stack([np.ravel_multi_index(tuple(x.reshape(-1, f.ndim).T), f.shape) for x in places], 1)

    out = []
    for k in range(f.ndim):
        both = np.hstack([voxels("input1_matched", k), voxels("input2_matched", k)])
        parts = [both, voxels("input1_unmatched", k), voxels("input2_unmatched", k)]
        out.append([sorted(map(tuple, table.tolist())) for table in parts])
    return out


def agrees(f, g):
    found = betti_matching(f, g, filtration="sublevel")
    wide = [np.ascontiguousarray(x, np.float64) for x in (f, g)]
    exact = rival_tables(*wide)
    assert tables(found, f.shape) == exact
    return sum(len(bars) for parts in exact for bars in parts)


# It has one wheel, for this version of Python. Nothing is skipped: for others there is no test.
if sys.version_info[:2] == (3, 11):

    @pytest.mark.parametrize("grey", [False, True], ids=["binary", "grey"])
    @pytest.mark.parametrize("name", ["retina", "brick", "coins", "horse"])
    def test_crops(name, grey):
        start = [size // 3 for size in photograph(name).shape]
        f, g = pair(name, tuple(slice(at, at + CROP) for at in start), grey)
        for first, second in ((1 - f, 1 - g), (f, g), (1 - f[:, 20], 1 - g[:, 20])):
            assert agrees(first, second) > 10

    @pytest.mark.parametrize("name", ["retina", "brick", "coins", "horse"])
    def test_whole_images(name):
        f, g = pair(name, (), grey=name == "coins")
        assert agrees(1 - f, 1 - g) > 1000

    @pytest.mark.parametrize("grey", [False, True], ids=["binary", "grey"])
    def test_volumes(grey):
        assert agrees(*volume(9, grey)) > 50
        assert agrees(*volume(40, grey)) > 1000
