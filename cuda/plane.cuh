// Cells of images, as rust/core/src/topology has them. Those of degree 0 and of the top degree are nodes: vertices, and squares
// of a plane or cubes of a volume, all named by their lowest voxel. Cells between two nodes are links:
//
//   plane    edges, between vertices and between squares: twice their first voxel, plus 1 for those along a row
//   volume   edges, between vertices: 4 times their first voxel, plus their axis
//            squares, between cubes: 4 times their lowest voxel, plus their normal axis
//
// `segment` counts images, those of the prediction first, then those of the target and of their comparison. Planes have one list
// of links for each segment; volumes have one for each kind of nodes and segment.
#pragma once
#include "block.cuh"
#include "merge.cuh"

#define NONE 0xFFFFFFFFu  // no cell, no bar
#define CHUNK 4096        // items of a list that a block takes when lists are made shorter

__device__ __forceinline__ i64 chunks_of(i64 n) { return (n + CHUNK - 1) / CHUNK; }

// The engine's image, and its cells: those that a voxel gives its value (of the largest the last, for cubes the first), and the
// nodes at a link.
struct Cells {
    const u32* keys;
    i64 planes, h, w;

    __device__ __forceinline__ bool volume() const { return planes > 1; }
    __device__ __forceinline__ i64 size() const { return planes * h * w; }
    __device__ __forceinline__ u32 stride(u32 axis) const { return (u32)(axis == 0 ? h * w : axis == 1 ? w : 1); }
    __device__ __forceinline__ u32 at(i64 i, i64 j, i64 k) const {
        bool there = i >= 0 && j >= 0 && k >= 0 && i < planes && j < h && k < w;
        return there ? keys[(i * h + j) * w + k] : ABSENT;
    }

    __device__ __forceinline__ u32 later(u32 a, u32 b) const { return keys[b] >= keys[a] ? b : a; }
    __device__ __forceinline__ u32 last(u32 p, u32 high, u32 low) const {
        return later(later(p, p + low), later(p + high, p + high + low));
    }
    __device__ __forceinline__ u32 voxel_of_link(int kind, u32 link) const {
        if (!volume()) return later(link >> 1, (link >> 1) + (link & 1 ? 1 : (u32)w));
        u32 p = link >> 2, axis = link & 3;
        return kind == VERTEX ? later(p, p + stride(axis)) : last(p, stride(axis == 0 ? 1 : 0), stride(axis == 2 ? 1 : 2));
    }
    __device__ __forceinline__ u32 voxel_of_node(int kind, u32 p) const {
        if (kind == VERTEX) return p;
        if (!volume()) return last(p, (u32)w, 1);
        u32 best = p;
        for (u32 corner = 1; corner < 8; ++corner) {
            u32 there = p + (corner >> 2) * stride(0) + (corner >> 1 & 1) * stride(1) + (corner & 1);
            if (keys[there] > keys[best]) best = there;
        }
        return best;
    }

    // The number of the square or cube at a place; n outside.
    __device__ __forceinline__ u32 node(i64 i, i64 j, i64 k) const {
        bool there = i >= 0 && j >= 0 && k >= 0 && (i + 1 < planes || !volume()) && j + 1 < h && k + 1 < w;
        return there ? (u32)((i * h + j) * w + k) : (u32)size();
    }
    __device__ __forceinline__ void ends(int kind, u32 link, u32& a, u32& b) const {
        u32 p = volume() ? link >> 2 : link >> 1, axis = volume() ? link & 3 : 1 + (link & 1);
        if (kind == VERTEX) {
            a = p;
            b = p + stride(axis);
            return;
        }
        i64 i = p / (u32)(h * w), j = p / (u32)w % (u32)h, k = p % (u32)w;
        // The squares at an edge lie beside it, the cubes at a square along its normal.
        u32 normal = volume() ? axis : 3 - axis;
        a = node(i, j, k);
        b = node(i - (normal == 0), j - (normal == 1), k - (normal == 2));
    }
};

// The critical links of the lists, sorted.
struct Links {
    const u32* ids;     // by place in the list
    const u32* keys;    // by rank
    const u32* order;   // rank -> place in the list
    const i64* starts;  // of lists, in all of these
    i64 lists;          // how many there are of a kind; 0 where both kinds have the same

    __device__ __forceinline__ i64 first(int kind, i64 segment) const { return starts[kind * lists + segment]; }
    __device__ __forceinline__ i64 end(int kind, i64 segment) const { return starts[kind * lists + segment + 1]; }
    // Where a link is in the order of keys, by its rank among a kind's: the top degree meets them from the last on.
    __device__ __forceinline__ i64 at(int kind, i64 segment, u32 rank) const {
        return kind == VERTEX ? first(kind, segment) + rank - 1 : end(kind, segment) - rank;
    }
    // Where it is in the list.
    __device__ __forceinline__ i64 place(int kind, i64 segment, u32 rank) const {
        return first(kind, segment) + order[at(kind, segment, rank)];
    }
};
