// One pass of a stable radix sort by many blocks: counts of each digit in each tile, their sums before, and the move.
#pragma once
#include "sort.cuh"

#define RADIX_ITEMS 8
#define RADIX_THREADS 256
#define RADIX_TILE (RADIX_ITEMS * RADIX_THREADS)

// keys[n] -> counts[RADIX][tiles] of the digit at `shift`. A block of RADIX_THREADS threads for RADIX_TILE keys.
__device__ void count_digits(const u64* keys, u32* counts, i64 n, int shift) {
    __shared__ u32 here[RADIX];
    const i64 tiles = (n + RADIX_TILE - 1) / RADIX_TILE;
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        here[threadIdx.x] = 0;
        __syncthreads();
        for (int j = threadIdx.x; j < RADIX_TILE; j += blockDim.x) {
            i64 i = tile * RADIX_TILE + j;
            if (i < n) atomicAdd(&here[(u32)(keys[i] >> shift) & (RADIX - 1)], 1u);
        }
        __syncthreads();
        counts[threadIdx.x * tiles + tile] = here[threadIdx.x];
        __syncthreads();
    }
}

// counts[n] -> the sums of those before each. One block.
template <class Count> __device__ void sum_before(Count* counts, i64 n) {
    Count before = 0;
    for (i64 first = 0; first < n; first += blockDim.x) {
        i64 i = first + threadIdx.x;
        Count total, sum = block_scan(i < n ? counts[i] : Count(0), total);
        if (i < n) counts[i] = before + sum;
        before += total;
    }
}

// Moves keys and places (0, 1, ... where null) to where the starts of their digit in their tile say, in order. Blocks as in
// `count_digits`.
__device__ void move_digits(const u64* keys, const u32* places, u64* moved, u32* moved_places, const u32* starts, i64 n,
                            int shift) {
    __shared__ u32 next[RADIX_THREADS / WARP][RADIX];  // counts of each warp; then where its items go
    const i64 tiles = (n + RADIX_TILE - 1) / RADIX_TILE;
    const int lane = lane_of(), warp = warp_of();
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const i64 first = tile * RADIX_TILE + (i64)warp * RADIX_ITEMS * WARP + lane;
        u64 key[RADIX_ITEMS];
        u32 rank[RADIX_ITEMS];
        for (int w = 0; w < RADIX_THREADS / WARP; ++w) next[w][threadIdx.x] = 0;
        __syncthreads();
#pragma unroll
        for (int j = 0; j < RADIX_ITEMS; ++j) {
            bool there = first + j * WARP < n;
            key[j] = there ? keys[first + j * WARP] : 0;
            u32 digit = there ? (u32)(key[j] >> shift) & (RADIX - 1) : (u32)RADIX;
            u32 same = __match_any_sync(FULL, digit), known = there ? next[warp][digit] : 0;
            __syncwarp();
            rank[j] = known + __popc(same & ((1u << lane) - 1));
            if (there && lane == __ffs(same) - 1) next[warp][digit] = known + __popc(same);
            __syncwarp();
        }
        __syncthreads();
        u32 at = starts[threadIdx.x * tiles + tile];
        for (int w = 0; w < RADIX_THREADS / WARP; ++w) {
            u32 count = next[w][threadIdx.x];
            next[w][threadIdx.x] = at;
            at += count;
        }
        __syncthreads();
#pragma unroll
        for (int j = 0; j < RADIX_ITEMS; ++j) {
            if (first + j * WARP >= n) continue;
            u32 to = next[warp][(u32)(key[j] >> shift) & (RADIX - 1)] + rank[j];
            moved[to] = key[j];
            moved_places[to] = places ? places[first + j * WARP] : (u32)(first + j * WARP);
        }
        __syncthreads();
    }
}
