"""Images that do not fit in memory are refused before work starts; Ctrl-C is heard in the middle of it."""

from pathlib import Path

import numpy as np
import pytest

from argrad.topology import barcode, betti_matching


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
