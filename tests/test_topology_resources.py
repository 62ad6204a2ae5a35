"""Images that do not fit in memory are refused before work starts; Ctrl-C is heard in the middle of it."""

from pathlib import Path

import numpy as np
import pytest

from argrad.topology import barcode, betti_matching
from processes import interrupt


def untouched():
    """A volume for which not even 12 bytes a voxel are there; its own memory is reserved, but never used."""
    free = Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]
    planes = 1 + int(free) * 1024 // (12 * 2**20)
    return np.empty((planes, 1024, 1024), np.float32)


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("barcode", barcode),
        ("barcode", lambda x: barcode(x[None], spatial_dims=3)),
        ("barcode", lambda x: barcode([x[:1, :2, :2], x])),
        ("betti_matching", lambda x: betti_matching(x, x)),
        ("betti_matching", lambda x: betti_matching([x, x[0, :2]], [x, x[0, :2]])),
    ],
)
def test_images_that_do_not_fit_are_refused(function, call):
    with pytest.raises(MemoryError) as caught:
        call(untouched())
    words = str(caught.value).split()
    needed, available = int(words[2]), int(words[9])
    assert str(caught.value) == (
        f"{function}: needs {needed} bytes of working memory, but only {available} are available"
    )
    assert needed > available > 0


LONG = """
    import argrad, numpy as np
    from argrad.topology import barcode, betti_matching
    argrad.set_num_threads(2)                            # so that a call takes long on any machine
    f, g = np.random.default_rng(0).random((2, *{shape}), np.float32)
    def long():
        {call}
    def short():
        assert len(barcode(f.ravel()[:100]).birth)
"""


@pytest.mark.parametrize("after", [0.2, 1.0, 2.5])
@pytest.mark.parametrize(
    ("shape", "call"),
    [
        ((240, 240, 240), "barcode(f)"),
        ((160, 160, 160), "betti_matching(f, g)"),
        ((4096, 4096), "betti_matching(f, g, connectivity='full', comparison='intersection')"),
        ((4000, 100, 100), "betti_matching(list(f) * 3, list(g) * 3)"),
    ],
    ids=["volume", "volumes", "planes", "lists"],
)
def test_ctrl_c_is_heard_in_the_middle(shape, call, after):
    interrupt(LONG.format(shape=shape, call=call), after=after)
