"""Persistence barcodes of images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from argrad import _array, _check, _native, _torch
from argrad._array import Array
from argrad.topology import _device, _device_bars, _device_tunnels, _images
from argrad.topology._images import FILTRATION, Filtration, Images, Numbers


class Barcode(NamedTuple):
    """The bars of an image, or of all images of an array: arrays of one length, of the kind of the images.

    Bars are sorted by image, then by dimension, birth voxel and death voxel.

    Attributes:
        dimension: degree of homology, uint8: 0 components, 1 loops (tunnels of a volume), the last one the enclosed
            holes.
        birth: values where the classes appear, in the dtype of the images (float64 for integers and booleans).
        death: values where they end; `inf` ("superlevel": `-inf`), or the threshold, for those that do not.
        birth_index: int64, the voxel whose value the birth is, as an index into the flattened image. -2: a voxel of
            the ring of zeros (`sphere`).
        death_index: int64, the voxel whose value the death is. -1: the class does not die; -2: as above.
        batch: int64, the position of the image along the first of two leading dimensions, or along the only one; 0
            where there is none.
        channel: int64, the position along the second one; 0 where there is none.

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import barcode
        >>> bars = barcode(np.array([0.0, 3.0, 1.0, 2.0]))
        >>> bars.birth_index, bars.death_index
        (array([0, 2]), array([-1,  1]))
    """

    dimension: Array
    birth: Array
    death: Array
    birth_index: Array
    death_index: Array
    batch: Array
    channel: Array

    def of(self, dimension: int) -> "Barcode":
        """Keep the bars of one degree.

        Args:
            dimension: the degree.

        Returns:
            Those bars.

        Raises:
            TypeError: not an integer.
            ValueError: a negative one.
        """
        chosen = self.dimension == _check.integer("Barcode.of", "dimension", dimension, low=0)
        return Barcode(*[field[chosen] for field in self])

    def to_numpy(self) -> "Barcode":
        """Turn every array into a numpy array; tensors are detached, half precision becomes float32.

        Returns:
            The same bars.
        """
        return Barcode(*[_array.raw(field) for field in self])

    def gudhi(self) -> list[tuple[int, tuple[float, float]]]:
        """List the bars as GUDHI's `persistence` does: the highest degree and the longest bars first.

        Returns:
            Pairs (dimension, (birth, death)), of all images together.
        """
        bars = self.to_numpy()
        columns = (bars.dimension.tolist(), bars.birth.tolist(), bars.death.tolist())
        found = [(k, (birth, death)) for k, birth, death in zip(*columns, strict=True)]
        return sorted(found, key=lambda bar: (-bar[0], -abs(bar[1][1] - bar[1][0])))


def barcode(
    x: Images,
    *,
    filtration: str = "sublevel",
    connectivity: str = "face",
    dims: int | Sequence[int] | None = None,
    essential: bool = True,
    min_persistence: float = 0.0,
    threshold: float | None = None,
    spatial_dims: int | None = None,
) -> Any:
    """Compute the persistence barcode of an image: when its components, loops and holes appear and vanish.

    As t rises, the sublevel set {x <= t} grows from nothing to the whole image. A class of homology of degree k (a
    component, k = 0; a loop of a plane or a tunnel of a volume, k = 1; an enclosed cavity, k = d - 1) is born at a
    voxel and dies at another: a bar [birth, death). Of two components that meet, the one that was born later dies. Bars
    of length zero are left out.

    Args:
        x: an image of 1 to 3 axes, or images of shape (n, *S) or (n, c, *S), any floating, integer or boolean dtype;
            numpy array, torch tensor (CPU or CUDA) or cupy array; or a list of them, of any shapes. Axes of size 1
            count for nothing.
        filtration: "sublevel", or "superlevel": {x >= t} with t falling, so that deaths are below births.
        connectivity: "face": voxels of the set are connected through faces (4 neighbors in a plane, 6 in a volume: the
            V-construction); "full": through corners as well (8 or 26: the T-construction).
        dims: which degrees, an integer or several; all of 0 to d - 1 by default.
        essential: whether the one class that never dies, the oldest component, is a bar.
        min_persistence: leave out bars shorter than this.
        threshold: where the filtration ends: voxels at it or beyond it are in no set, and bars that are alive there end
            at the threshold (with `death_index` -1).
        spatial_dims: how many of the last axes are an image's; by default all are, so that `x` is one image.

    Returns:
        A `Barcode`: a tuple of arrays of the kind of `x`; for a list, a list of them.

    Raises:
        TypeError: not an array, or a dtype without an order.
        ValueError: NaN or an integer beyond 2^53 (with the position), a shape that is none of the above, an axis of
            size 0, or an option out of range. Infinite values are allowed.
        RuntimeError: `torch.vmap`, because images have different numbers of bars.
        MemoryError: images that need more working memory than there is, known before work starts.

    Gradient:
        Births and deaths are values of voxels, so gradients go to these voxels, exact wherever no two voxels of an
        image are equal, and any number of times. Indices have none. Where voxels are equal, the first of them in
        row-major order comes first in the filtration (for "full", last), and one voxel gets the gradient. An image
        without bars has a gradient of zero.

    Determinism:
        No randomness. The same bars in the same order for every number of threads, which share the images of arrays
        and lists, and on a device.

    Cost:
        O(n log n) time for n voxels in one and two dimensions and, in practice, nearly so in three; O(n) memory. On a
        device some 75 bytes a voxel (175 of a volume), and one wait for the device: the host has to know how many bars
        there are. Images of a list come one after the other there. Degree 1 of volumes on a device is the host's:
        volumes are copied to pinned memory, on a stream of its own, for which the host waits as well; its threads work
        beside the device, and their bars go back to it. Leave it out with dims=(0, 2).

    References:
        Edelsbrunner, Letscher and Zomorodian, "Topological Persistence and Simplification", FOCS 2000. Garin et al.,
        "Duality in Persistent Homology of Images", 2021, arXiv:2102.11397.

    Examples:
        >>> import numpy as np
        >>> from argrad.topology import barcode
        >>> x = np.array([[1.0, 2.0, 1.0], [2.0, 9.0, 3.0], [0.0, 2.0, 1.0]])
        >>> bars = barcode(x)
        >>> print(bars.of(1).birth, bars.of(1).death)
        [3.] [9.]
        >>> bars.gudhi()[:2]
        [(1, (3.0, 9.0)), (0, (0.0, inf))]
    """
    name = "barcode"
    shortest = _check.real(name, "min_persistence", min_persistence, low=0.0)

    def enter(x: Array) -> tuple[int, Filtration]:
        lead = _images.enter(name, "x", x, spatial_dims, device=True)
        kind = _images.options(
            name,
            x.ndim - lead,
            filtration=filtration,
            connectivity=connectivity,
            dims=dims,
            essential=essential,
            threshold=threshold,
        )
        return lead, kind

    if isinstance(x, list | tuple):
        return _of_list(x, _images.each(name, "x", [x], enter), shortest)
    return _of_array(x, enter(x), shortest)


def _of_array(x: Array, entered: tuple[int, Filtration], shortest: float) -> Barcode:
    lead, kind = entered
    if _array.is_tensor(x):
        found = _torch.topology_barcode(x, lead, *kind, shortest)
    else:
        (found,) = _forward(_array.raw(x), lead, *kind, shortest)
    return _assemble(x, lead, found, kind)


def _of_list(images: Sequence[Array], entered: Sequence[tuple[int, Filtration]], shortest: float) -> list[Barcode]:
    """Return the barcodes of a list; all of its images are worked on side by side."""
    name = "barcode"
    if not _torch.is_direct(images) or any(_array.place_of(x) == "device" for x in images):
        return _images.each(name, "x", [images, entered], lambda x, entered: _of_array(x, entered, shortest))
    if not entered:
        return []
    arrays = _images.each(name, "x", [images], lambda x: _images.numbers(name, "x", _array.raw(x)))
    leads, (_, kind) = [lead for lead, _ in entered], entered[0]
    found = _search(arrays, leads, kind, shortest, listed=True)
    return [_assemble(x, lead, _array.like(y, x), kind) for x, lead, y in zip(images, leads, found, strict=True)]


def _assemble(x: Array, lead: int, found: Array, kind: Filtration) -> Barcode:
    dtype = _check.dtype_name(x)
    return assemble(x, lead, found, kind, "float64" if dtype in _check.WHOLE else dtype)


def assemble(x: Array, lead: int, found: Array, kind: Filtration, dtype: str) -> Barcode:
    """Return the bars found in images as a `Barcode`, their values gathered from `x`."""
    birth, death = _images.ends(x, lead, found, kind, dtype)
    channels = x.shape[1] if lead == 2 else 1
    # Divisions take long where there are a million bars.
    place = (found[0], found[0] * 0) if channels == 1 else (found[0] // channels, found[0] % channels)
    dimension = _array.cast(found[1], "uint8")
    return Barcode(dimension, birth, death, found[2], found[3], *place)


def _forward(x: Numbers, lead: int, *options: Any) -> tuple[Numbers]:
    """Return the bars as int64 of shape (4, bars): image, degree, birth voxel and death voxel."""
    if _array.is_device(x):
        return (_on_device(x, lead, _device.Asked(Filtration(*options[:-1]), options[-1])),)
    x = _images.numbers("barcode", "x", x)
    return (_search([x], [lead], Filtration(*options[:-1]), options[-1])[0],)


def _on_device(x: Array, lead: int, asked: _device.Asked) -> Array:
    name = "barcode"

    def refuse() -> None:
        images = _images.numbers(name, "x", _array.to_host(x))
        _native.barcodes(name, [(images, lead)], False, asked.kind.native())

    tunnels = None
    if _device_tunnels.wanted(x, lead, asked.kind):
        arrived, (rest, own) = _array.copying(x), _device_tunnels.parts(asked.kind)
        asked = asked._replace(kind=rest)

        def tunnels() -> Numbers:
            return _search([_images.numbers(name, "x", arrived())], [lead], own, asked.shortest)[0]

    return _device_bars.barcodes(name, _device.numbers(name, "x", x), lead, asked, refuse, tunnels)


def _search(
    images: Sequence[Numbers], leads: Sequence[int], kind: Filtration, shortest: float, *, listed: bool = False
) -> list[Numbers]:
    """Return the bars of several arrays of images, each as `_forward` does."""
    bars = []
    results = _native.barcodes("barcode", list(zip(images, leads, strict=True)), listed, kind.native())
    for x, lead, result in zip(images, leads, results, strict=True):
        found = np.stack(result, dtype=np.int64, casting="safe")
        if shortest > 0.0:
            birth, death = _images.ends(x, lead, found, kind, "float64")
            with np.errstate(invalid="ignore", over="ignore"):  # from infinity to infinity, or nearly
                found = np.ascontiguousarray(found[:, ~(abs(death - birth) < shortest)])
        bars.append(found)
    return bars


_torch.declare_ragged(
    "topology_barcode",
    f"(Tensor x, int lead, {FILTRATION}, float min_persistence) -> Tensor bars",
    forward=_forward,
    shapes=lambda unknown, *args: [(4, unknown())],
    refusal="barcode: torch.vmap cannot stack barcodes of different lengths; pass a batch with spatial_dims instead",
    device=True,
)
