// Sums over the segments of a list. Each thread walks one stretch of consecutive places; where a segment reaches over several
// stretches, the threads put its sum together in a fixed order and all get the same one.
#pragma once
#include "block.cuh"

template <int N> struct Sums {
    double of[N];
};

// The sum of `lead` over the threads after this one up to the first with `any`, that one included.
template <int N> __device__ Sums<N> sum_after(Sums<N> lead, bool any) {
    __shared__ double parts[N][WARP];
    __shared__ u32 closed[WARP];
    const int lane = lane_of(), warp = warp_of();
    u32 stop = any;
#pragma unroll
    for (int step = 1; step < WARP; step *= 2) {
        bool inside = lane + step < WARP;
        u32 other = __shfl_down_sync(FULL, stop, step);
#pragma unroll
        for (int j = 0; j < N; ++j) {
            double more = __shfl_down_sync(FULL, lead.of[j], step);
            if (inside && !stop) lead.of[j] += more;
        }
        if (inside) stop |= other;
    }
    __syncthreads();  // a call before may still be read from
    if (lane == 0) {
        closed[warp] = stop;
#pragma unroll
        for (int j = 0; j < N; ++j) parts[j][warp] = lead.of[j];
    }
    __syncthreads();
    Sums<N> found;
    u32 met = __shfl_down_sync(FULL, stop, 1);
#pragma unroll
    for (int j = 0; j < N; ++j) found.of[j] = __shfl_down_sync(FULL, lead.of[j], 1);
    if (lane == WARP - 1) {
        met = 0;
#pragma unroll
        for (int j = 0; j < N; ++j) found.of[j] = 0.0;
    }
    for (int next = warp + 1; next < warps_of_block() && !met; ++next) {
#pragma unroll
        for (int j = 0; j < N; ++j) found.of[j] += parts[j][next];
        met = closed[next];
    }
    return found;
}

// The `last` of the nearest thread before this one with `any`; zeros where there is none.
template <int N> __device__ Sums<N> value_before(Sums<N> last, bool any) {
    __shared__ double parts[N][WARP];
    __shared__ u32 closed[WARP];
    const int lane = lane_of(), warp = warp_of();
    u32 mine = __ballot_sync(FULL, any), before = mine & ((1u << lane) - 1);
    Sums<N> found;
    int from = before ? 31 - __clz(before) : lane;
#pragma unroll
    for (int j = 0; j < N; ++j) found.of[j] = __shfl_sync(FULL, last.of[j], from);
    __syncthreads();
    if (lane == (mine ? 31 - __clz(mine) : 0)) {
        closed[warp] = mine;
#pragma unroll
        for (int j = 0; j < N; ++j) parts[j][warp] = last.of[j];
    }
    __syncthreads();
    if (!before) {
        int at = warp - 1;
        while (at >= 0 && !closed[at]) --at;
#pragma unroll
        for (int j = 0; j < N; ++j) found.of[j] = at >= 0 ? parts[j][at] : 0.0;
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

// Calls `each(i, head, sums)` for the places of a stretch, with the sums of `term(i, head)` over the segment of the place.
// `term` is called once for each place, before `each`.
template <int N, class Heads, class Term, class Each>
__device__ void over_segments(Stretch own, Heads is_head, Term term, Each each) {
    auto add = [&](Sums<N>& sums, u32 i, u32 head) {
        Sums<N> more = term(i, head);
#pragma unroll
        for (int j = 0; j < N; ++j) sums.of[j] += more.of[j];
    };
    // The segments that reach over the ends.
    Sums<N> lead, tail;
#pragma unroll
    for (int j = 0; j < N; ++j) lead.of[j] = tail.of[j] = 0.0;
    u32 first = own.begin, last = own.end;
    for (; first < own.end && !is_head(first); ++first) add(lead, first, own.head);
    bool any = first < own.end;
    if (any) {
        do --last;
        while (!is_head(last));
        for (u32 i = last; i < own.end; ++i) add(tail, i, last);
    }
    Sums<N> after = sum_after(lead, any);
#pragma unroll
    for (int j = 0; j < N; ++j) tail.of[j] += after.of[j];
    Sums<N> sums = value_before(tail, any);
    for (u32 i = own.begin; i < first; ++i) each(i, own.head, sums);
    for (u32 head = first, next; head < own.end; head = next) {
        next = own.end;
        sums = tail;
        if (head < last) {
#pragma unroll
            for (int j = 0; j < N; ++j) sums.of[j] = 0.0;
            next = head;
            do add(sums, next++, head);
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
