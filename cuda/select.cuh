// The largest numbers of a row, found by one block.
#pragma once
#include "sort.cuh"

// A number as its key (greater is first) and its place in the row.
template <class Bits> struct Token {
    Bits key;
    u32 place;
};

// The order of tokens: key decreasing, then place increasing.
struct First {
    template <class Bits> __device__ __forceinline__ bool operator()(Token<Bits> a, Token<Bits> b) const {
        return a.key > b.key || (a.key == b.key && a.place < b.place);
    }
};

// The k-th largest key of a row, and how many keys equal to it are among the k largest.
template <class Bits> struct Bar {
    Bits key;
    u32 tied;
};

// Finds the bar of `key(0 .. v)`, 1 <= k <= v: digit by digit from the highest, each by a histogram of the keys that have the
// digits found so far. One read of the row for each byte of the key.
template <class Bits, class Key> __device__ Bar<Bits> find_bar(Key key, i64 v, u32 k) {
    __shared__ u32 counts[RADIX];
    __shared__ u32 chosen, left;
    Bits found = 0, known = 0;
    for (int shift = 8 * (int)sizeof(Bits) - 8; shift >= 0; shift -= 8) {
        for (int d = threadIdx.x; d < RADIX; d += blockDim.x) counts[d] = 0;
        __syncthreads();
        for (i64 i = threadIdx.x; i < v; i += blockDim.x) {
            Bits x = key(i);
            if ((x & known) == found) atomicAdd(&counts[(u32)(x >> shift) & (RADIX - 1)], 1u);
        }
        __syncthreads();
        // From the highest digit down: the one at which k keys are reached.
        u32 above = 0;
        for (int d0 = 0; d0 < RADIX; d0 += blockDim.x) {
            int d = RADIX - 1 - d0 - (int)threadIdx.x;
            u32 count = d >= 0 ? counts[d] : 0, total, before = above + block_scan(count, total);
            if (before < k && k - before <= count) {
                chosen = d;
                left = k - before;
            }
            above += total;
        }
        __syncthreads();
        found |= (Bits)chosen << shift;
        known |= (Bits)(RADIX - 1) << shift;
        k = left;
        __syncthreads();
    }
    return {found, k};
}

// Lists the tokens above the bar and the first of those at it, in the order of their places, in `tokens[0 .. k)`.
template <class Bits, class Key>
__device__ void list_tokens(Key key, i64 v, Bar<Bits> bar, Token<Bits>* tokens) {
    u32 listed = 0, ties = 0;
    for (i64 base = 0; base < v; base += blockDim.x) {
        i64 i = base + threadIdx.x;
        Bits x = i < v ? key(i) : 0;
        bool above = i < v && x > bar.key, tied = i < v && x == bar.key;
        // Both numbers in one scan: a block has fewer than 2^16 threads.
        u32 total, sum = block_scan((u32)above << 16 | (u32)tied, total);
        u32 before = ties + (sum & 0xFFFFu);
        bool taken = above || (tied && before < bar.tied);
        if (taken) tokens[listed + (sum >> 16) + min(before, bar.tied)] = {x, (u32)i};
        listed += total >> 16;
        ties += total & 0xFFFFu;
    }
    __syncthreads();
}
