// Sorting by one block: short lists in shared memory, rows of any length in global memory.
#pragma once
#include "block.cuh"

// Sorts `items[0 .. n)`, n a power of two, by `before`, a strict order in which no two items are equal. Bitonic, in place; the
// memory is shared, or global and of this block alone.
template <class Item, class Before> __device__ void sort_bitonic(Item* items, u32 n, Before before) {
    __syncthreads();
    for (u32 size = 2; size <= n; size *= 2) {
        for (u32 step = size / 2; step > 0; step /= 2) {
            for (u32 i = threadIdx.x; i < n / 2; i += blockDim.x) {
                u32 low = (i / step) * 2 * step + i % step, high = low + step;
                bool rising = (low & size) == 0;
                Item a = items[low], b = items[high];
                if (before(b, a) == rising) {
                    items[low] = b;
                    items[high] = a;
                }
            }
            __syncthreads();
        }
    }
}

// The least power of two that is at least n.
__device__ __forceinline__ u32 power_of_two(u32 n) { return n <= 1 ? 1 : 1u << (32 - __clz(n - 1)); }

#define RADIX 256

// One stable pass of a radix sort by the digit of 8 bits at `shift`: moves n keys with their places to where they belong.
// One block of at most 8 warps; each warp takes 32 items at a time in the order of the row, the warps one stretch after the
// other.
template <class Key>
__device__ void radix_pass(const Key* keys, const u32* places, Key* moved, u32* moved_places, i64 n, int shift) {
    __shared__ u32 start[RADIX];       // where the next tile's items of each digit go
    __shared__ u32 counts[8][RADIX];   // of each warp in this tile; then where the warp's items go
    const int items = 8, lane = lane_of(), warp = warp_of(), warps = warps_of_block();
    for (int d = threadIdx.x; d < RADIX; d += blockDim.x) start[d] = 0;
    __syncthreads();
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(&start[(u32)(keys[i] >> shift) & (RADIX - 1)], 1u);
    __syncthreads();
    // Exclusive sums of the counts; blocks have fewer threads than digits, or as many.
    u32 before = 0;
    for (int d0 = 0; d0 < RADIX; d0 += blockDim.x) {
        int d = d0 + threadIdx.x;
        u32 total, sum = block_scan(d < RADIX ? start[d] : 0u, total);
        if (d < RADIX) start[d] = before + sum;
        before += total;
    }
    const i64 stretch = (i64)items * WARP, tile = stretch * warps;
    for (i64 base = 0; base < n; base += tile) {
        for (int d = threadIdx.x; d < RADIX * warps; d += blockDim.x) counts[d / RADIX][d % RADIX] = 0;
        __syncthreads();
        Key key[items];
        u32 place[items], rank[items];
#pragma unroll
        for (int j = 0; j < items; ++j) {
            i64 i = base + stretch * warp + (i64)j * WARP + lane;
            bool there = i < n;
            key[j] = there ? keys[i] : Key(0);
            place[j] = there ? places[i] : 0;
            u32 digit = there ? (u32)(key[j] >> shift) & (RADIX - 1) : (u32)RADIX;
            u32 same = __match_any_sync(FULL, digit);
            u32 known = there ? counts[warp][digit] : 0;
            __syncwarp();
            rank[j] = known + __popc(same & ((1u << lane) - 1));
            if (there && lane == __ffs(same) - 1) counts[warp][digit] = known + __popc(same);
            __syncwarp();
        }
        __syncthreads();
        for (int d = threadIdx.x; d < RADIX; d += blockDim.x) {
            u32 next = start[d];
            for (int w = 0; w < warps; ++w) {
                u32 count = counts[w][d];
                counts[w][d] = next;
                next += count;
            }
            start[d] = next;
        }
        __syncthreads();
#pragma unroll
        for (int j = 0; j < items; ++j) {
            i64 i = base + stretch * warp + (i64)j * WARP + lane;
            if (i < n) {
                u32 to = counts[warp][(u32)(key[j] >> shift) & (RADIX - 1)] + rank[j];
                moved[to] = key[j];
                moved_places[to] = place[j];
            }
        }
        __syncthreads();
    }
}

// Sorts n < 2^32 keys with their places, in increasing order and stable, with as much memory again; the result is where it
// began. An even number of passes.
template <class Key> __device__ void radix_sort(Key* keys, u32* places, Key* spare, u32* spare_places, i64 n) {
    for (int shift = 0; shift < 8 * (int)sizeof(Key); shift += 16) {
        radix_pass(keys, places, spare, spare_places, n, shift);
        radix_pass(spare, spare_places, keys, places, n, shift + 8);
    }
}
