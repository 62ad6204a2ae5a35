"""The device on the host: what blocks of threads do together, and that its own checks can fail."""

import numpy as np
import pytest

import emulator
from argrad import _cuda

BLOCK = r"""
__global__ void reduce(const double* x, double* sums, double* most, i64 n) {
    double value = (i64)threadIdx.x < n ? x[threadIdx.x] : 0.0;
    double sum = block_reduce(value, Sum()), top = block_reduce(value, Largest());
    sums[threadIdx.x] = sum;
    most[threadIdx.x] = top;
}
template <class T> __global__ void scan(const T* x, T* sums, T* totals) {
    T total, sum = block_scan(x[threadIdx.x], total);
    sums[threadIdx.x] = sum;
    totals[threadIdx.x] = total + block_broadcast(total, 3) - total;
}
template <class Key> __global__ void sort(Key* keys, u32* places, Key* spare, u32* spare_places, i64 n) {
    radix_sort(keys, places, spare, spare_places, n);
}
struct Rising {
    __device__ bool operator()(u64 a, u64 b) const { return a < b; }
};
__global__ void bitonic(u64* items, i64 n) { sort_bitonic(items, (u32)n, Rising()); }
template <class T> __global__ void halves(const T* x, float* y) { y[threadIdx.x] = load(x[threadIdx.x]); }
__global__ void exps(const double* x, double* y, i64 n) {
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid()) y[i] = exp_exact(x[i]);
}
__global__ void logs(const double* x, double* y, i64 n) {
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid()) y[i] = ln_exact(x[i]);
}
"""
NAMES = ["reduce", "scan<u32>", "scan<double>", "sort<u32>", "sort<u64>", "bitonic", "halves<Half>", "halves<BFloat>"]
NAMES += ["exps", "logs"]


@pytest.fixture(scope="module")
def launch():
    """Launch a kernel of `BLOCK` by its name, with one block."""
    text = _cuda.source("sort.cuh") + _cuda.source("elementary.cuh").replace(_cuda.source("common.cuh"), "") + BLOCK
    library = emulator.compiled(text, NAMES)

    def call(name, threads, *args, descending=False):
        values = [_cuda._argument(x) for x in args]
        emulator.run(library, NAMES.index(name), (1, 1, 1), (threads, 1, 1), values, descending=descending)

    return call


@pytest.fixture(params=[False, True], ids=["rising", "falling"])
def descending(request):
    """Both orders of the threads of a block."""
    return request.param


@pytest.mark.parametrize("threads", [32, 256, 1024])
def test_blocks_reduce_and_scan(launch, rng, threads, descending):
    x, sums, most = rng.normal(size=threads), np.zeros(threads), np.zeros(threads)
    launch("reduce", threads, x, sums, most, threads, descending=descending)
    assert np.allclose(sums, x.sum(), rtol=1e-12)
    assert len(set(sums)) == 1
    assert set(most) == {max(x.max(), 0.0)}
    counts, before, totals = rng.integers(0, 9, threads, dtype=np.uint32), *np.zeros((2, threads), np.uint32)
    launch("scan<u32>", threads, counts, before, totals, descending=descending)
    assert before.tolist() == (np.cumsum(counts) - counts).tolist()
    assert set(totals) == {counts.sum()}


@pytest.mark.parametrize("n", [0, 1, 31, 2048, 5001])
@pytest.mark.parametrize("key", [np.uint32, np.uint64])
def test_rows_are_sorted_stably(launch, rng, n, key, descending):
    keys = rng.integers(0, 40, n).astype(key) * key(2654435761 if key is np.uint32 else 0x9E3779B97F4A7C15 % 2**63)
    order = np.argsort(keys, kind="stable")
    want, places = keys[order], np.arange(n, dtype=np.uint32)
    spare = np.zeros(n, key), np.zeros(n, np.uint32)
    launch("sort<u32>" if key is np.uint32 else "sort<u64>", 256, keys, places, *spare, n, descending=descending)
    assert keys.tolist() == want.tolist()
    assert places.tolist() == order.tolist()


@pytest.mark.parametrize("n", [1, 2, 64, 1024])
def test_short_lists_are_sorted(launch, rng, n, descending):
    items = rng.permutation(n).astype(np.uint64)
    launch("bitonic", 64, items, n, descending=descending)
    assert items.tolist() == list(range(n))


def test_half_precision_is_read_as_it_is(launch):
    for start in range(0, 2**16, 1024):
        bits = np.arange(start, start + 1024, dtype=np.uint16)
        got = np.zeros(1024, np.float32)
        launch("halves<Half>", 1024, bits, got)
        assert np.array_equal(got, bits.view(np.float16).astype(np.float32), equal_nan=True)
        launch("halves<BFloat>", 1024, bits, got)
        assert np.array_equal(got, (bits.astype(np.uint32) << 16).view(np.float32), equal_nan=True)


def test_elementary_functions_are_exact(launch, rng):
    x, y = rng.uniform(-700, 709, 4000), np.zeros(4000)
    launch("exps", 128, x, y, 4000)
    want = np.exp(x)
    assert (np.abs(y - want) <= 2 * np.spacing(want)).all()
    x = np.exp(rng.uniform(-700, 700, 4000))
    launch("logs", 128, x, y, 4000)
    assert (np.abs(y - np.log(x)) <= 3 * np.spacing(np.abs(np.log(x)))).all()


def test_a_race_is_seen():
    # Without a meeting between write and read, threads that run later see what earlier ones have written.
    text = """__global__ void race(i64* y) {
        __shared__ i64 x[32];
        x[threadIdx.x] = blockIdx.x;
        y[threadIdx.x] = x[31 - threadIdx.x];
    }"""
    library = emulator.compiled(_cuda.source("common.cuh") + text, ["race"])
    found = []
    for descending in (False, True):
        y = np.zeros(32, np.int64)
        emulator.run(library, 0, (2, 1, 1), (32, 1, 1), [np.uint64(y.ctypes.data)], descending=descending)
        found.append(y.tolist())
    assert found[0] != found[1]


def test_a_deadlock_is_seen():
    text = "__global__ void stuck() { if (threadIdx.x < 16) __syncthreads(); else __syncwarp(); }"
    library = emulator.compiled(_cuda.source("common.cuh") + text, ["stuck"])
    with pytest.raises(AssertionError, match="wait for one another"):
        emulator.run(library, 0, (1, 1, 1), (32, 1, 1), [])


def test_a_compile_error_is_seen():
    with pytest.raises(AssertionError, match="random_wrod"):
        emulator.compiled(_cuda.source("common.cuh") + "__global__ void f() { random_wrod(); }", ["f"])
