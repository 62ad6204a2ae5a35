"""The rows of the table that measure barcodes and matchings of images, and the losses on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benches.benchmarks import _images
from benches.benchmarks import _rivals_topology as rivals
from benches.beside import Case, Row, forward_backward

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]


def _smaller(shape: tuple[int, ...], quick: bool) -> tuple[int, ...]:
    return tuple(size // (8 if len(shape) == 2 else 4) for size in shape) if quick else shape


def _agree(f: np.ndarray, g: np.ndarray) -> Callable[[Any, Any], str]:
    """Compare the matchings of images as values: bars of equal values are the same bar."""

    def check(ours: Any, theirs: Any) -> str:
        count, same = 0, True
        for k, table in enumerate(rivals.matched_values(f, g, theirs)):
            chosen = ours.pairs[ours.prediction.dimension[ours.pairs[:, 0]] == k]
            p, t = ours.prediction, ours.target
            i, j = chosen.T
            mine = np.stack([p.birth[i], p.death[i], t.birth[j], t.death[j]], 1)
            mine = mine[np.lexsort(mine.T[::-1])]
            same, count = same and np.array_equal(mine.astype(np.float64), table), count + len(table)
        return f"{'the same' if same else 'OTHER'} {count} matched pairs of bars by value"

    return check


def _matching(images: Callable[[bool], tuple[np.ndarray, np.ndarray]]) -> Callable[[bool], Case]:
    def case(quick: bool) -> Case:
        from argrad.topology import betti_matching

        f, g = (1 - x for x in images(quick))  # sublevel sets, the only ones that the rival knows
        wide = [np.ascontiguousarray(x, np.float64) for x in (f, g)]
        ours = lambda: betti_matching(f, g, filtration="sublevel")  # noqa: E731
        return Case(ours, lambda: rivals.matching(*wide), _agree(*wide))

    return case


def _pair(shape: tuple[int, ...]) -> Callable[[bool], tuple[np.ndarray, np.ndarray]]:
    return lambda quick: _images.pair(_smaller(shape, quick))


def _noise(shape: tuple[int, ...]) -> Callable[[bool], tuple[np.ndarray, np.ndarray]]:
    return lambda quick: _images.noise(_smaller(shape, quick))


def _retina(quick: bool) -> tuple[np.ndarray, np.ndarray]:
    images = _images.retina()
    return tuple(np.ascontiguousarray(x[600:700, 600:700]) for x in images) if quick else images


def _training(quick: bool) -> Case:
    """A training batch through the public losses; the rival with as many processes as there are images or cores."""
    from argrad.losses.topology import betti_matching_loss

    count, shape = (2, (64, 64)) if quick else (16, (512, 512))
    images = [_images.pair(shape, seed) for seed in range(count)]
    p, g = (torch.from_numpy(np.stack(x))[:, None] for x in zip(*images, strict=True))
    fastest = rivals.betti_matching_loss(16)
    ours = forward_backward(lambda p: betti_matching_loss(p, g, spatial_dims=2), p)
    theirs = forward_backward(lambda p: fastest(p, g), p)

    def check(a: list[torch.Tensor], b: list[torch.Tensor]) -> str:
        value, gradient = (
            (x.double() - y.double()).abs().max() / y.double().abs().max() for x, y in zip(a, b, strict=True)
        )
        return f"relative difference: value {value:.1e}, gradient {gradient:.1e}"

    return Case(ours, theirs, check)


def _against_cldice(quick: bool) -> Case:
    from argrad.losses.topology import betti_matching_loss

    p, g = (torch.from_numpy(x)[None, None] for x in _images.pair(_smaller((256, 256), quick)))
    ours = forward_backward(lambda p: betti_matching_loss(p, g, spatial_dims=2), p)
    return Case(ours, forward_backward(lambda p: rivals.soft_cldice(p, g), p), lambda a, b: "another loss")


def _bars(x: np.ndarray, connectivity: str = "face") -> Any:
    from argrad.topology import barcode

    return barcode(x, connectivity=connectivity)


def _barcode(rival: str, images: Callable[[bool], tuple[np.ndarray, np.ndarray]]) -> Callable[[bool], Case]:
    """Barcodes with the voxels of births and deaths; GUDHI's have values alone."""

    def case(quick: bool) -> Case:
        x = 1 - images(quick)[0]
        connectivity = "full" if rival == "gudhi_top_cells" else "face"
        wide = x.astype(np.float64)

        def check(ours: Any, theirs: Any) -> str:
            count, same = 0, True
            for k in range(x.ndim):
                mine = np.stack([ours.birth, ours.death], 1)[ours.dimension == k].astype(np.float64)
                other = theirs[theirs[:, 0] == k][:, 1:3] if rival == "cripser" else theirs[k]
                other = np.where(np.abs(other) > 1e300, np.inf, other)
                mine, other = (y[np.lexsort(y.T)] for y in (mine, other))
                same, count = same and np.array_equal(mine, other), count + len(mine)
            return f"{'the same' if same else 'OTHER'} {count} bars by value"

        return Case(lambda: _bars(x, connectivity), lambda: getattr(rivals, rival)(wide), check)

    return case


MEMORY = """
import re, sys, numpy as np
from benches.benchmarks import _images, _rivals_topology as rivals
from argrad.topology import betti_matching

def read(name):
    return int(re.search(name + r":\\s*(\\d+) kB", open("/proc/self/status").read()).group(1)) * 1024

def run(who, size):
    f, g = (np.ascontiguousarray(1 - x) for x in _images.pair((size,) * 3))
    if who == "rival":
        f, g = f.astype(np.float64), g.astype(np.float64)
    before = read("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    rivals.matching(f, g) if who == "rival" else betti_matching(f, g, filtration="sublevel")
    return (read("VmHWM") - before) / size**3

run(sys.argv[1], 8)
print(run(sys.argv[1], int(sys.argv[2])))
"""


def _memory(quick: bool) -> Case:
    """Bytes a voxel beyond the inputs; the ratio is of bytes, not of seconds."""
    size = 16 if quick else 96
    used = {}
    for who in ("ours", "rival"):
        command = [sys.executable, "-c", MEMORY, who, str(size)]
        found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        used[who] = float(found.stdout)
    text = f"bytes a voxel: ours {used['ours']:.0f}, rival {used['rival']:.0f}; times are those of 32^3"
    case = _matching(_pair((32, 32, 32)))(quick)
    return Case(case.ours, case.theirs, lambda a, b: text)


BINARY = "Betti matching, binary target"
TOPOLOSSES = "topolosses 0.2.0, C++ core"
ROWS: list[Row] = [
    *[
        Row("matching-2d", "matchings of planes", BINARY, f"vessels {n}^2", TOPOLOSSES, _matching(_pair((n, n))), 15,
            30)
        for n in (256, 512, 1024)
    ],
    Row("matching-2d", "matchings of planes", BINARY, "retina 1411^2", TOPOLOSSES, _matching(_retina), 15, 30),
    Row("matching-2d-grey", "matchings of planes", "Betti matching, grey target", "noise 512^2", TOPOLOSSES,
        _matching(_noise((512, 512))), 8, 12),
    *[
        Row("matching-3d", "matchings of volumes", BINARY, f"vessels {n}^3", TOPOLOSSES, _matching(_pair((n, n, n))),
            10, 20)
        for n in (64, 96, 128)
    ],
    Row("matching-3d-grey", "matchings of volumes", "Betti matching, grey target", "noise 64^3", TOPOLOSSES,
        _matching(_noise((64, 64, 64))), 4, 8),
    Row("matching-3d-memory", "matchings of volumes", "memory of a matching", "vessels 96^3", TOPOLOSSES, _memory),
    Row("training", "topology losses", "betti_matching_loss, forward and backward", "16 x 512^2",
        "topolosses' loss, 16 processes", _training, 15, 25, threads=None),
    Row("against-cldice", "topology losses", "betti_matching_loss, forward and backward", "vessels 256^2",
        "soft clDice (5 iterations) in torch", _against_cldice, 10, 18),
    *[
        Row("barcode-2d", "barcodes", "barcode with voxels", size, name, _barcode(rival, images), must, stretch)
        for size, images in (("vessels 512^2", _pair((512, 512))), ("retina 1411^2", _retina))
        for rival, name, must, stretch in (
            ("gudhi_top_cells", "GUDHI 3.13, fast T routine, no voxels", 1, 2),
            ("cripser", "cripser 0.0.37", 8, 15),
        )
    ],
    *[
        Row("barcode-3d", "barcodes", "barcode with voxels", "vessels 64^3", name, _barcode(rival, _pair((64, 64, 64))),
            must, stretch)
        for rival, name, must, stretch in (
            ("cripser", "cripser 0.0.37", 4, 8),
            ("gudhi_vertices", "GUDHI 3.13, general V routine, no voxels", 24, 40),
        )
    ],
]  # fmt: skip
