"""Merge trees by threads that really run side by side: what the emulator, which takes turns, cannot show."""

import ctypes
import subprocess

import numpy as np

import emulator
from argrad import _cuda

# `enter` and what it uses, as plain C++: 6 threads take links from a list and yield now and then. Counts how often a
# thread found an earlier way, or took one away.
PROGRAM = r"""
#include <atomic>
#include <thread>
#include <vector>
#define __device__
#define __forceinline__ inline
typedef unsigned u32; typedef unsigned long long u64; typedef long long i64;
static thread_local u32 state;
static void yield() { state = state * 1664525u + 1013904223u; if (state >> 31) std::this_thread::yield(); }
static std::atomic<i64> early, moved;
static u64 atomicMin(u64* at, u64 value) {
    yield();
    u64 old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (value < old && !__atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    if (old < value) ++early; else if (~old) ++moved;
    yield();
    return old;
}
SOURCE
extern "C" void join(u64* tree, const u32* keys, i64 n, const u32* ends, const u32* order, i64 links, i64* counts) {
    Values values = {keys, keys, n};
    std::atomic<i64> next{0};
    early = moved = 0;
    std::vector<std::thread> threads;
    for (u32 t = 0; t < 6; ++t) threads.emplace_back([&, t] {
        state = t;
        for (i64 i; (i = next++) < links;)
            enter(tree, values, VERTEX, 0, ends[2 * order[i]], ends[2 * order[i] + 1], order[i] + 1);
    });
    for (std::thread& thread : threads) thread.join();
    counts[0] = early, counts[1] = moved;
}
"""


def ways(keys, ends):
    """The rank of the link at which each node's component ends, one link after the other; -1 for none."""
    parents, found = list(range(len(keys))), np.full(len(keys), -1)

    def root(node):
        while parents[node] != node:
            node = parents[node]
        return node

    for rank, link in enumerate(ends, 1):
        elder, younger = sorted((root(node) for node in link), key=lambda node: (keys[node], node))
        if elder != younger:
            parents[younger], found[younger] = elder, rank
    return found


def test_any_order_gives_the_same_ways(tmp_path, rng):
    source = "#define ABSENT" + _cuda.source("merge.cuh").split("#define ABSENT")[1]  # without common.cuh
    (tmp_path / "join.cpp").write_text(PROGRAM.replace("SOURCE", source))
    command = [emulator.COMPILER, "-std=c++17", "-O2", "-pthread", "-shared", "-fPIC", "join.cpp", "-o", "join.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library, counts = ctypes.CDLL(str(tmp_path / "join.so")), np.zeros(2, np.int64)
    seen = np.zeros(2, np.int64)
    for round_ in range(40):
        n = int(rng.integers(2, 1500))
        keys = rng.integers(0, 5 if round_ % 4 == 0 else 2**31, n).astype(np.uint32)
        if round_ % 4 == 1:  # a chain in which every component swallows all before it
            keys, ends = np.arange(n, dtype=np.uint32)[::-1].copy(), np.stack([np.arange(n - 1), np.arange(1, n)], 1)
        else:
            ends = rng.integers(0, n, (3 * n, 2))
        ends = ends[ends[:, 0] != ends[:, 1]].astype(np.uint32)
        order = np.arange(len(ends), dtype=np.uint32)
        if round_ % 2:
            rng.shuffle(order)
        tree = np.full(n + 1, -1, np.int64)
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (tree, keys, ends, order, counts)]
        size, links = ctypes.c_longlong(n), ctypes.c_longlong(len(ends))
        library.join(*pointers[:2], size, *pointers[2:4], links, pointers[4])
        seen += counts
        assert np.array_equal(tree[:n] >> 32, ways(keys, ends))
    assert (seen > 0).all()
