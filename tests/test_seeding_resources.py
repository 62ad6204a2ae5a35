"""Memory and progress of seeding."""

import subprocess
import sys

import numpy as np
import pytest

from argrad.seeding import assign, kmeans_plusplus

# Peak resident memory of this one process image; getrusage would report the parent's peak, inherited over fork.
PROGRAM = """
import numpy as np
import argrad
from argrad.seeding import assign, kmeans_plusplus

def peak():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

n, d = 400_000, 64
X = np.random.default_rng(0).random((n, d), dtype=np.float32)
{call_small}
before = peak()
{call}
print(peak() - before, n)
"""
# Beside the 16 bytes a row: the stacks and arenas of the pool's threads, one batch of 2048 gathered rows and its tile
# of products with 1024 centres per thread, and pages that the allocator keeps. X is 102 MB, so that a copy would show.
CONSTANT = 24 * 2**20


def peak_growth(call):
    program = PROGRAM.format(call=call.format(rows="X"), call_small=call.format(rows="X[:5000]"))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    growth, n = map(int, run.stdout.split())
    return growth - 16 * n


@pytest.mark.parametrize("method", ["exact", "rejection", "pass", "greedy", "greedy_coreset", "uniform"])
def test_seeding_takes_at_most_16_bytes_a_row(method):
    assert peak_growth(f"kmeans_plusplus({{rows}}, 20, method='{method}', random_state=0)") < CONSTANT


def test_assign_takes_at_most_16_bytes_a_row():
    assert peak_growth("assign({rows}, {rows}[:200])") < CONSTANT


def test_a_copy_of_the_rows_is_noticed():
    assert peak_growth("kmeans_plusplus({rows} + 0, 20, random_state=0)") > CONSTANT


@pytest.mark.parametrize("method", ["exact", "rejection", "pass", "greedy", "greedy_coreset", "uniform"])
def test_progress_rises_to_the_total(method):
    calls = []
    points = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    expected = kmeans_plusplus(points, 40, method=method, random_state=0)
    found = kmeans_plusplus(points, 40, method=method, random_state=0, progress=lambda *state: calls.append(state))
    assert np.array_equal(expected[1], found[1])
    done, totals = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert calls[-1][0] == calls[-1][1]
    assert set(totals) == {totals[-1]}


def test_progress_may_stop_the_work():
    def stop(done, total):
        raise ZeroDivisionError("enough")

    points = np.random.default_rng(0).standard_normal((3000, 4))
    with pytest.raises(ZeroDivisionError, match="enough"):
        kmeans_plusplus(points, 40, random_state=0, progress=stop)
    assert len(assign(points, points[:3])) == 3000
