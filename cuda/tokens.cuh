// The tokens of a row that matter to one block: what reaches a bound, listed in shared memory. A sparse distribution is found, and
// derived, on such a list; where it has no room, the row itself is read instead.
#pragma once
#include "row.cuh"

// Several sums of a block at once, in a fixed order; every thread gets them.
template <int N> struct Totals {
    double of[N];
};
template <int N> __device__ __forceinline__ Totals<N> block_totals(Totals<N> sum) {
    __shared__ double parts[N][WARP];
#pragma unroll
    for (int i = 0; i < N; ++i) sum.of[i] = warp_reduce(sum.of[i], Sum());
    __syncthreads();  // a call before may still be read from
    if (lane_of() == 0)
        for (int i = 0; i < N; ++i) parts[i][warp_of()] = sum.of[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; ++i) {
        sum.of[i] = parts[i][0];
        for (int w = 1; w < warps_of_block(); ++w) sum.of[i] += parts[i][w];
    }
    return sum;
}

// The sums of what `add(i, sums)`, i < n, adds to them.
template <int N, class Add> __device__ __forceinline__ Totals<N> sums_of(i64 n, Add add) {
    Totals<N> sum = {};
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) add(i, sum.of);
    return block_totals(sum);
}

// Lists the tokens of a row that are at least a bound, in an order that the block's size decides, and returns how many there are; lists none
// where that is more than `room`. A warp reads segments of 512 numbers, 256 apart by threads as `read_leaf` does, where their
// maxima (null: not known) reach the bound: first to count, then to list.
template <class S, class T>
__device__ __noinline__ i64 list_from(const S* row, i64 v, const u64* maxima, double bound, T* values, u32* places, i64 room) {
    __shared__ i64 counts[WARP];
    const i64 warps = warps_of_block(), parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    const i64 begin = parts * warp_of() / warps, end = parts * (warp_of() + 1) / warps;
    const int lane = lane_of();
    const u64 least = key_of(bound);
    i64 first = 0, all = 0;
    for (int listing = 0; listing < 2; ++listing) {
        i64 found = first;
        for (i64 base = begin; base < end; base += WARP) {
            bool reaches = base + lane < end && (!maxima || maxima[base + lane] >= least);
            for (u32 left = __ballot_sync(FULL, reaches); left; left &= left - 1) {
                i64 part = base + __ffs(left) - 1, start = part / (LANES / WARP) * LEAF + part % (LANES / WARP) * WARP;
                for (i64 at = start; at < v && at < start + LEAF; at += LANES) {
                    i64 i = at + lane;
                    T x = i < v ? load(row[i]) : -infinity<T>();
                    bool taken = i < v && (double)x >= bound;
                    u32 lanes = __ballot_sync(FULL, taken);
                    if (listing && taken) {
                        i64 to = found + __popc(lanes & ((1u << lane) - 1));
                        values[to] = x;
                        places[to] = (u32)i;
                    }
                    found += __popc(lanes);
                }
            }
        }
        if (listing) break;
        __syncthreads();  // a call before may still be read from
        if (lane == 0) counts[warp_of()] = found;
        __syncthreads();
        for (int w = 0; w < warps; ++w) {
            if (w == warp_of()) first = all;
            all += counts[w];
        }
        if (all > room) break;
    }
    __syncthreads();
    return all;
}

// A row of v numbers, or those of them that were listed. `maxima`, null for short rows, are those of segments of 512 numbers.
template <class S> struct Tokens {
    typedef typename Computed<S>::Number T;
    const S* row;
    i64 v;
    const u64* maxima;
    T* values;
    u32* places;
    i64 room, count;
    bool listed;

    // `memory` has room for so many tokens: their numbers, then their places.
    __device__ Tokens(const S* row, i64 v, const u64* maxima, unsigned char* memory, i64 room)
        : row(row), v(v), maxima(maxima), values((T*)memory), places((u32*)(values + room)), room(room), count(v), listed(false) {}

    __device__ __forceinline__ double operator[](i64 i) const { return listed ? (double)values[i] : (double)load(row[i]); }
    __device__ __forceinline__ i64 place(i64 i) const { return listed ? (i64)places[i] : i; }

    // Keeps the tokens that are at least a bound, or all where they are too many.
    __device__ __forceinline__ void keep_from(double bound) {
        i64 found = list_from(row, v, maxima, bound, values, places, room);
        listed = found <= room;
        count = listed ? found : v;
    }
};

// The largest number of a row, through its leaves where they have been read; `bad` where a number is NaN or +inf, or all are
// -inf.
template <class S> __device__ double top_of(const S* row, i64 v, const Leaf* leaves, bool& bad) {
    double top = -infinity<double>();
    u32 spoilt = 0;
    const i64 n = leaves ? (v + LEAF - 1) / LEAF : v;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
        double x = leaves ? leaves[i].maximum : (double)load(row[i]);
        spoilt |= is_nan(x);
        top = x > top ? x : top;
    }
    top = block_reduce(top, Largest());
    bad = block_reduce(spoilt, Largest()) || !(fabs(top) < infinity<double>());
    return top;
}

// Fills a row with one number.
template <class T> __device__ __forceinline__ void fill_row(T* row, i64 v, T number) {
    for (i64 i = threadIdx.x; i < v; i += blockDim.x) row[i] = number;
}
