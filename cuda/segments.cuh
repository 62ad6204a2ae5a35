// Sums over the segments of a list. Each thread walks one stretch of consecutive places; where a segment reaches over several
// stretches, the threads put its sum together in a fixed order and all get the same one.
#pragma once
#include "block.cuh"

template <int N> struct Sums {
    double of[N];
};

// How the numbers of places become those of their segment; all begin with zeros.
struct Add {
    template <int N> static __device__ __forceinline__ void join(Sums<N>& sums, Sums<N> more) {
#pragma unroll
        for (int j = 0; j < N; ++j) sums.of[j] += more.of[j];
    }
};
// The first number is the largest instead of the sum.
struct LargestFirst {
    template <int N> static __device__ __forceinline__ void join(Sums<N>& sums, Sums<N> more) {
        sums.of[0] = max(sums.of[0], more.of[0]);
#pragma unroll
        for (int j = 1; j < N; ++j) sums.of[j] += more.of[j];
    }
};

template <int N> __device__ __forceinline__ Sums<N> zeros() {
    Sums<N> sums;
#pragma unroll
    for (int j = 0; j < N; ++j) sums.of[j] = 0.0;
    return sums;
}

template <int N> __device__ __forceinline__ Sums<N> shuffle(Sums<N> sums, int from) {
#pragma unroll
    for (int j = 0; j < N; ++j) sums.of[j] = __shfl_sync(FULL, sums.of[j], from);
    return sums;
}

// The sum of `part` over the threads after this one (`side` = 1) or before it (-1) up to the nearest with `any`, that one included.
template <class Op, int N> __device__ Sums<N> sum_beside(Sums<N> part, bool any, int side) {
    __shared__ Sums<N> parts[WARP];
    __shared__ u32 closed[WARP];
    const int lane = lane_of(), warp = warp_of(), front = side > 0 ? 0 : WARP - 1;
    u32 stop = any;
#pragma unroll
    for (int step = 1; step < WARP; step *= 2) {
        int from = lane + side * step;
        bool inside = 0 <= from && from < WARP;
        Sums<N> more = shuffle(part, from & (WARP - 1));
        u32 other = __shfl_sync(FULL, stop, from & (WARP - 1));
        if (inside && !stop) Op::join(part, more);
        if (inside) stop |= other;
    }
    __syncthreads();  // a call before may still be read from
    if (lane == front) {
        closed[warp] = stop;
        parts[warp] = part;
    }
    __syncthreads();
    int from = lane + side;
    bool inside = 0 <= from && from < WARP;
    Sums<N> found = shuffle(part, from & (WARP - 1));
    u32 met = __shfl_sync(FULL, stop, from & (WARP - 1));
    if (!inside) {
        found = zeros<N>();
        met = 0;
    }
    for (int next = warp + side; 0 <= next && next < warps_of_block() && !met; next += side) {
        Op::join(found, parts[next]);
        met = closed[next];
    }
    return found;
}

// The `last` of the nearest thread before this one with `any`; zeros where there is none.
template <int N> __device__ Sums<N> value_before(Sums<N> last, bool any) {
    __shared__ Sums<N> parts[WARP];
    __shared__ u32 closed[WARP];
    const int lane = lane_of(), warp = warp_of();
    u32 mine = __ballot_sync(FULL, any), before = mine & ((1u << lane) - 1);
    Sums<N> found = shuffle(last, before ? 31 - __clz(before) : lane);
    __syncthreads();
    if (lane == (mine ? 31 - __clz(mine) : 0)) {
        closed[warp] = mine;
        parts[warp] = last;
    }
    __syncthreads();
    if (!before) {
        int at = warp - 1;
        while (at >= 0 && !closed[at]) --at;
        found = at >= 0 ? parts[at] : zeros<N>();
    }
    return found;
}

// A thread's part of n places, and the head of the segment that its first place belongs to.
struct Stretch {
    u32 begin, end, head;
};

// `is_head(i)` tells whether a segment begins at place i; at place 0 one always does.
template <class Heads> __device__ Stretch stretch_of(u32 n, Heads is_head) {
    u32 per = (n + blockDim.x - 1) / blockDim.x;
    u32 begin = min(threadIdx.x * per, n), end = min(begin + per, n), last = end;
    while (last > begin && !is_head(last - 1)) --last;
    Sums<1> before = value_before<1>({{(double)last - 1.0}}, last > begin);
    return {begin, end, begin < end && is_head(begin) ? begin : (u32)before.of[0]};
}

// Calls `each(i, head, sums)` for the places of a stretch, with what Op makes of `term(i, head)` over the segment of the place.
// `term` is called once for each place, before `each`.
template <int N, class Op = Add, class Heads, class Term, class Each>
__device__ void over_segments(Stretch own, Heads is_head, Term term, Each each) {
    // The segments that reach over the ends.
    Sums<N> lead = zeros<N>(), tail = zeros<N>();
    u32 first = own.begin, last = own.end;
    for (; first < own.end && !is_head(first); ++first) Op::join(lead, term(first, own.head));
    bool any = first < own.end;
    if (any) {
        do --last;
        while (!is_head(last));
        for (u32 i = last; i < own.end; ++i) Op::join(tail, term(i, last));
    }
    Op::join(tail, sum_beside<Op>(lead, any, 1));
    Sums<N> sums = value_before(tail, any);
    for (u32 i = own.begin; i < first; ++i) each(i, own.head, sums);
    for (u32 head = first, next; head < own.end; head = next) {
        next = own.end;
        sums = tail;
        if (head < last) {
            sums = zeros<N>();
            next = head;
            do Op::join(sums, term(next++, head));
            while (!is_head(next));
        }
        for (u32 i = head; i < next; ++i) each(i, head, sums);
    }
}

// The sums of the values of a block's threads; every thread gets the same.
template <int N> __device__ Sums<N> block_sums(Sums<N> mine) {
    __shared__ double parts[N][WARP];
#pragma unroll
    for (int j = 0; j < N; ++j) mine.of[j] = warp_reduce(mine.of[j], Sum());
    __syncthreads();  // a call before may still be read from
    if (lane_of() == 0) {
#pragma unroll
        for (int j = 0; j < N; ++j) parts[j][warp_of()] = mine.of[j];
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < N; ++j) {
        mine.of[j] = parts[j][0];
        for (int warp = 1; warp < warps_of_block(); ++warp) mine.of[j] += parts[j][warp];
    }
    return mine;
}
