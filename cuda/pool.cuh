// Pool adjacent violators by one block: the blocks of an isotonic regression of a sorted list.
//
//     each thread pools its stretch;  then, for widths 1, 2, 4, ... of stretches:
//         the block that begins at the seam of two neighbours swallows the block before it or behind it, as long as one of
//         them is to merge
//
// The solution of a stretch is a sequence of blocks of falling values, so only blocks at the seam can merge. Which merge first
// does not matter. A block is found from both of its ends: nothing is moved, and a merge costs O(1).
#pragma once
#include "elementary.cuh"
#include "scores.cuh"

// Marks the first place of a block; there `links` has its last place, and at its last place the first.
#define HEAD 0x80000000u

// The places `start .. end`, a sum over them, and u at the first.
struct Block {
    u32 start, end;
    double sum, u;
};

__device__ __forceinline__ double length_of(Block block) { return (double)(block.end - block.start); }

// Pools the sequence alpha u_i + beta i. Sums are those of the differences to the block's first number, so that ties stay
// exact however large their common value.
template <class Bits> struct Linear {
    Falling<Bits> u;
    double alpha, beta;
    __device__ __forceinline__ double single() const { return 0.0; }
    __device__ __forceinline__ double fall(Block before, Block next) const {
        return alpha * (before.u - next.u) - beta * length_of(before);
    }
    __device__ __forceinline__ bool merges(Block before, Block next) const {
        double c = length_of(before), d = length_of(next);
        return (fall(before, next) * c + before.sum) * d <= next.sum * c;
    }
    __device__ __forceinline__ double united(Block before, Block next) const {
        return before.sum + (next.sum - fall(before, next) * length_of(next));
    }
};

// Pools exp(u_i / strength) / (m - i). Sums are those of the numerators, in units of the block's first.
template <class Bits> struct ExponentialRanks {
    Falling<Bits> u;
    double strength, m;
    __device__ __forceinline__ double single() const { return 1.0; }
    __device__ __forceinline__ double ranks(Block block) const {
        return length_of(block) * (2.0 * m - (double)block.start - (double)block.end + 1.0) * 0.5;
    }
    __device__ __forceinline__ bool merges(Block before, Block next) const {
        double fall = (before.u - next.u) / strength;
        return exp_exact(fall) * before.sum * ranks(next) <= next.sum * ranks(before);
    }
    __device__ __forceinline__ double united(Block before, Block next) const {
        return before.sum + exp_exact(-(before.u - next.u) / strength) * next.sum;
    }
};

// The sum of exp(-i / strength) over 0 <= i < c.
__device__ __forceinline__ double geometric(double c, double strength) {
    return c == 1.0 ? 1.0 : expm1(-c / strength) / expm1(-1.0 / strength);
}

// Pools exp(-i / strength) / exp(u_i). Sums are those of the denominators, in units of the block's first.
template <class Bits> struct ExponentialScores {
    Falling<Bits> u;
    double strength;
    __device__ __forceinline__ double single() const { return 1.0; }
    __device__ __forceinline__ bool merges(Block before, Block next) const {
        double c = length_of(before), d = length_of(next), fall = c / strength - (before.u - next.u);
        if (c + d == 2.0) return fall <= 0.0;
        return exp_exact(fall) * geometric(c, strength) * next.sum <= geometric(d, strength) * before.sum;
    }
    __device__ __forceinline__ double united(Block before, Block next) const {
        return before.sum + exp_exact(-(before.u - next.u)) * next.sum;
    }
};

template <class Rule>
__device__ __forceinline__ Block block_at(Rule rule, const u32* links, const double* sums, u32 start) {
    return {start, (links[start] & ~HEAD) + 1, sums[start], rule.u(start)};
}

// Merges a block with its neighbours between `low` and `high` until none is to merge.
template <class Rule>
__device__ void grow(Rule rule, u32* links, double* sums, Block block, u32 low, u32 high) {
    for (;;) {
        if (block.start > low) {
            Block before = block_at(rule, links, sums, links[block.start - 1] & ~HEAD);
            if (rule.merges(before, block)) {
                links[block.start] &= ~HEAD;
                block = {before.start, block.end, rule.united(before, block), before.u};
                continue;
            }
        }
        if (block.end < high) {
            Block next = block_at(rule, links, sums, block.end);
            if (rule.merges(block, next)) {
                links[next.start] &= ~HEAD;
                block = {block.start, next.end, rule.united(block, next), block.u};
                continue;
            }
        }
        break;
    }
    links[block.end - 1] = block.start;
    links[block.start] = HEAD | (block.end - 1);
    sums[block.start] = block.sum;
}

// Finds the blocks of n places. `links` then tells where each begins and ends, `sums` has its sum at its first place.
template <class Rule> __device__ void pool(Rule rule, u32* links, double* sums, u32 n) {
    u32 per = (n + blockDim.x - 1) / blockDim.x, begin = min(threadIdx.x * per, n), end = min(begin + per, n);
    for (u32 i = begin; i < end; ++i) {
        links[i] = HEAD | i;
        grow(rule, links, sums, {i, i + 1, rule.single(), rule.u(i)}, begin, i + 1);
    }
    for (u32 width = 1; width < blockDim.x; width *= 2) {
        __syncthreads();
        u32 seam = (u32)min((u64)(threadIdx.x + width) * per, (u64)n);
        if (threadIdx.x % (2 * width) == 0 && seam < n) {
            u32 high = (u32)min((u64)(threadIdx.x + 2 * width) * per, (u64)n);
            grow(rule, links, sums, block_at(rule, links, sums, seam), begin, high);
        }
    }
    __syncthreads();
}
