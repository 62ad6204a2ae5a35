// Cells of images of one or two axes, as rust/core/src/topology/plane has them: vertices and squares, both named by the voxel
// at their upper left, and edges: twice their first voxel, plus 1 for those along a row.
//
// `segment` counts images, those of the prediction first, then those of the target and of their comparison.
#pragma once
#include "block.cuh"

#define ABSENT 0xFFFFFFFFu  // the key of what lies outside; no voxel has it
#define NONE 0xFFFFFFFFu    // no cell, no bar
#define NEVER (~0ull)       // a root without a way out
#define VERTEX 0
#define SQUARE 1
#define CHUNK 4096          // items of a list that a block takes when lists are made shorter

__device__ __forceinline__ i64 chunks_of(i64 n) { return (n + CHUNK - 1) / CHUNK; }

// The engine's image: keys of h rows and w columns.
struct Plane {
    const u32* keys;
    i32 h, w;

    __device__ __forceinline__ u32 at(i32 i, i32 j) const {
        return i >= 0 && i < h && j >= 0 && j < w ? keys[(i64)i * w + j] : ABSENT;
    }
    // The value of the square whose upper left is there.
    __device__ __forceinline__ u32 square(i32 i, i32 j) const {
        return max(max(at(i, j), at(i, j + 1)), max(at(i + 1, j), at(i + 1, j + 1)));
    }
    // The voxels that give an edge and a square their values: of the largest the last.
    __device__ __forceinline__ u32 later(u32 a, u32 b) const { return keys[b] >= keys[a] ? b : a; }
    __device__ __forceinline__ u32 voxel_of_edge(u32 edge) const {
        u32 p = edge >> 1;
        return later(p, p + (edge & 1 ? 1 : w));
    }
    __device__ __forceinline__ u32 voxel_of_square(u32 p) const {
        return later(later(p, p + 1), later(p + w, p + w + 1));
    }
};

// A component's place in a merge tree, one word a cell: the rank of the edge at which it ends, above the cell that it becomes
// part of. Cells that are no roots of basins end at rank 0; ranks of critical edges begin with 1.
__device__ __forceinline__ u32 rank_of(u64 way) { return (u32)(way >> 32); }

// The critical edges of a segment, sorted.
struct Edges {
    const u32* ids;     // by place in the list
    const u32* keys;    // by rank
    const u32* order;   // rank -> place in the list
    const i64* starts;  // of segments, in all of these

    __device__ __forceinline__ i64 count(i64 segment) const { return starts[segment + 1] - starts[segment]; }
    // Where, by ascending rank, an edge is that has this rank among those of a kind: squares meet them from the last on.
    __device__ __forceinline__ i64 at(i64 segment, int kind, u32 rank) const {
        return kind == VERTEX ? starts[segment] + rank - 1 : starts[segment + 1] - rank;
    }
};

// Keys of vertices and values of squares, [segments][n]; a root's age in their order, the eldest first. Number n is all that is
// outside, the eldest of squares.
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
