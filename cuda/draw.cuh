// Exact draws from lists of weights, by one block; sums in double precision.
#pragma once
#include "block.cuh"

// The streams of draws, as in draw.rs.
#define DECODE 0x400
#define SAMPLE 0x401

// A token, how many there were to choose from, and the logarithm of its probability.
struct Draw {
    i64 token, size;
    double log_probability;
};

// The sum of `term(i)`, i < n, for every thread.
template <class Term> __device__ __forceinline__ double sum_terms(u32 n, Term term) {
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) sum += term(i);
    return block_reduce(sum, Sum());
}

// The first of n places whose running sum of weights exceeds u times the whole sum; n where that is 0. A weight of 0 is never
// chosen, and the last positive one is where rounding leaves none.
template <class Weight> __device__ u32 pick(u32 n, double u, Weight weight) {
    const u32 none = 0xFFFFFFFFu;
    double target = u * sum_terms(n, weight), sum = 0.0;
    u32 last = 0;
    for (u32 base = 0; base < n; base += blockDim.x) {
        u32 i = base + threadIdx.x;
        double x = i < n ? weight(i) : 0.0, all, here = sum + (block_scan(x, all) + x);
        u32 found = block_reduce(x > 0.0 && here > target ? i : none, Least());
        if (found != none) return found;
        last = max(last, x > 0.0 ? i + 1 : 0u);
        sum += all;
    }
    last = block_reduce(last, Largest());
    return last ? last - 1 : n;
}
