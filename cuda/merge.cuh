// Merge trees that any number of threads build at once, link by link and in any order.
#pragma once
#include "common.cuh"

#define ABSENT 0xFFFFFFFFu  // the key of what lies outside; no voxel has it
#define NEVER (~0ull)       // a root without a way out
#define VERTEX 0
#define SQUARE 1            // or a cube of a volume

// A component's place in a merge tree, one word a cell: the rank of the edge at which it ends, above the cell that it becomes
// part of. Cells that are no roots of basins end at rank 0; ranks of critical edges begin with 1.
__device__ __forceinline__ u32 rank_of(u64 way) { return (u32)(way >> 32); }

// Keys of vertices and values of squares or cubes, [segments][n]; a root's age in their order, the eldest first. Number n is all that is
// outside, the eldest of those.
struct Values {
    const u32* keys;
    const u32* squares;
    i64 n;

    __device__ __forceinline__ u32 of(int kind, i64 segment, u32 cell) const {
        return (kind == VERTEX ? keys : squares)[segment * n + cell];
    }
    __device__ __forceinline__ u64 age(int kind, i64 segment, u32 cell) const {
        if (cell == n) return 0;
        u64 age = (u64)of(kind, segment, cell) << 32 | cell;
        return kind == VERTEX ? age : ~age;
    }
    // Whether the bar between a cell and an edge of this key is not empty.
    __device__ __forceinline__ bool lasts(int kind, i64 segment, u32 cell, u32 key) const {
        u32 value = cell == n ? ABSENT : of(kind, segment, cell);
        return kind == VERTEX ? value < key : value > key;
    }
};

// The root of a cell's basin; cells on the way are told of one further on, which any number of threads may do at once.
__device__ __forceinline__ u32 basin(volatile u64* tree, u32 cell) {
    for (;;) {
        u64 way = tree[cell];
        if (rank_of(way) > 0) return cell;
        u64 further = tree[(u32)way];
        if (rank_of(further) > 0) return (u32)way;
        tree[cell] = further;
        cell = (u32)further;
    }
}

// Enters into a merge tree that the components of two roots meet at an edge. Of both, as they are below its rank, the younger
// gets this way out if it has no earlier one; the way that it gives up leads on from the other. Whatever other threads enter at
// the same time: ways in the tree and in hand connect at each rank what the edges do, so that in the end the rank of each root
// is that of the first edge that leads to an elder. No thread waits: who fails sees an earlier way.
__device__ __forceinline__ void enter(u64* tree, const Values& values, int kind, i64 order, u32 a, u32 b, u32 rank) {
    volatile u64* ways = tree;
    for (;;) {
        u64 way;
        while (rank_of(way = ways[a]) < rank) a = (u32)way;
        while (rank_of(way = ways[b]) < rank) b = (u32)way;
        if (a == b) return;
        if (values.age(kind, order, a) < values.age(kind, order, b)) {
            u32 other = a;
            a = b;
            b = other;
        }
        u64 now = (u64)rank << 32 | b, old = atomicMin(&tree[a], now);
        if (old == NEVER) return;
        if (old > now) {
            a = (u32)old;
            rank = rank_of(old);
        }
    }
}
