// The lists of a batch, their working memory, and scans along a list by one block.
#pragma once
#include "block.cuh"

// Where the items of a list lie among all items, and how many they are; whether its offsets are wrong (it is cut to fit).
struct Span {
    i64 start;
    i32 count;
    bool wrong;
};

// Rows of n items. With offsets each row consists of `per_row` lists, and `stride` numbers lie between the offsets of two
// rows (0: all rows have the same); without, of one.
struct Lists {
    const i64* offsets;
    i64 n, per_row, stride;

    __device__ __forceinline__ Span span(i64 list) const {
        if (!offsets) return {list * n, (i32)n, false};
        i64 row = list / per_row, at = list % per_row;
        const i64* bound = offsets + row * stride + at;
        i64 low = bound[0], high = bound[1];
        i64 start = min(max(low, (i64)0), n), end = min(max(high, start), n);
        bool wrong = start != low || end != high || (at == 0 && low != 0) || (at == per_row - 1 && high != n);
        return {row * n + start, (i32)(end - start), wrong};
    }
};

// The number of items that count, read back from an order, which ends in -1.
__device__ __forceinline__ i32 counted(const i32* order, i32 n) {
    i32 low = 0, high = n;
    while (low < high) {
        i32 middle = low + (high - low) / 2;
        if (order[middle] >= 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

// Working memory of one block, given out in parts: `bytes` at its place in `scratch`, or shared where that is null.
struct Room {
    u8* free;

    template <class N> __device__ __forceinline__ N* take(i64 count) {
        N* at = (N*)free;
        free += (count * (i64)sizeof(N) + 15) / 16 * 16;
        return at;
    }
};

__device__ __forceinline__ Room room_of(u8* scratch, i64 bytes, u8* shared) {
    return {scratch ? scratch + ((i64)blockIdx.y * gridDim.x + blockIdx.x) * bytes : shared};
}

__device__ __forceinline__ i32 shuffle_up(i32 x, int step) { return __shfl_up_sync(FULL, x, step); }
__device__ __forceinline__ double shuffle_up(double x, int step) { return __shfl_up_sync(FULL, x, step); }

// What `op` makes of the values of the threads before this one in the block, and `total` of all; `op` is associative and
// takes the earlier one first. `shuffle_up` knows how to move an M between lanes.
template <class M, class Op> __device__ __forceinline__ M block_scan_with(M value, M neutral, Op op, M& total) {
    __shared__ M parts[WARP];
    M whole = value;
#pragma unroll
    for (int step = 1; step < WARP; step *= 2) {
        M other = shuffle_up(whole, step);
        if (lane_of() >= step) whole = op(other, whole);
    }
    M before = shuffle_up(whole, 1);
    if (lane_of() == 0) before = neutral;
    __syncthreads();  // a call before may still be read from
    if (lane_of() == WARP - 1) parts[warp_of()] = whole;
    __syncthreads();
    M base = neutral;
    total = neutral;
    for (int warp = 0; warp < warps_of_block(); ++warp) {
        if (warp == warp_of()) base = total;
        total = op(total, parts[warp]);
    }
    return op(base, before);
}

// Fills `first[i]` with the first item of the group that item i is tied to, and `last[first]` with the last.
template <class Tied> __device__ void group_ties(i32 count, Tied tied, i32* first, i32* last) {
    i32 entry = 0;
    for (i32 tile = 0; tile < count; tile += blockDim.x) {
        i32 i = tile + threadIdx.x, total;
        i32 own = i < count && !tied(i) ? i : 0;
        i32 before = block_scan_with(own, 0, Largest(), total);
        if (i < count) first[i] = max(entry, max(before, own));
        entry = max(entry, total);
    }
    __syncthreads();
    for (i32 i = threadIdx.x; i < count; i += blockDim.x)
        if (i + 1 == count || !tied(i + 1)) last[first[i]] = i;
    __syncthreads();
}
