// What the threads of a block do together: reduce, scan, broadcast. Blocks are whole warps, at most 32 of them; every thread
// of the block calls these functions, and the order of operations depends on the block's size alone.
#pragma once
#include "common.cuh"

__device__ __forceinline__ int lane_of() { return threadIdx.x % WARP; }
__device__ __forceinline__ int warp_of() { return threadIdx.x / WARP; }
__device__ __forceinline__ int warps_of_block() { return blockDim.x / WARP; }

struct Sum {
    template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
};
struct Largest {
    template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a < b ? b : a; }
};
struct Least {
    template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return b < a ? b : a; }
};

// The values of a warp, combined in a tree; every lane gets the result. T is a number of 4 or 8 bytes.
template <class T, class Op> __device__ __forceinline__ T warp_reduce(T value, Op op) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) value = op(value, __shfl_xor_sync(FULL, value, step));
    return value;
}

// The values of a block, combined in a tree; every thread gets the result.
template <class T, class Op> __device__ __forceinline__ T block_reduce(T value, Op op) {
    __shared__ T parts[WARP];
    value = warp_reduce(value, op);
    __syncthreads();  // a call before may still be read from
    if (lane_of() == 0) parts[warp_of()] = value;
    __syncthreads();
    T found = parts[0];
    for (int warp = 1; warp < warps_of_block(); ++warp) found = op(found, parts[warp]);
    return found;
}

// The sum of the values of the threads before this one in the warp; `total` is that of all.
template <class T> __device__ __forceinline__ T warp_scan(T value, T& total) {
    T sum = value;
#pragma unroll
    for (int step = 1; step < WARP; step *= 2) {
        T other = __shfl_up_sync(FULL, sum, step);
        if (lane_of() >= step) sum += other;
    }
    total = __shfl_sync(FULL, sum, WARP - 1);
    T before = __shfl_up_sync(FULL, sum, 1);
    return lane_of() == 0 ? T(0) : before;
}

// The sum of the values of the threads before this one in the block; `total` is that of all.
template <class T> __device__ __forceinline__ T block_scan(T value, T& total) {
    __shared__ T parts[WARP];
    T whole, before = warp_scan(value, whole);
    __syncthreads();
    if (lane_of() == 0) parts[warp_of()] = whole;
    __syncthreads();
    T base = T(0);
    total = T(0);
    for (int warp = 0; warp < warps_of_block(); ++warp) {
        if (warp == warp_of()) base = total;
        total += parts[warp];
    }
    return base + before;
}

// The value of one thread, for all.
template <class T> __device__ __forceinline__ T block_broadcast(T value, int from) {
    __shared__ T held;
    __syncthreads();
    if ((int)threadIdx.x == from) held = value;
    __syncthreads();
    return held;
}

// values[N], in shared memory, become their running sums; returns the last. One thread, 8 cycles an addition.
template <int N> __device__ __forceinline__ double run_up(double* values, double sum) {
#pragma unroll 8
    for (int i = 0; i < N; ++i) values[i] = sum += values[i];
    return sum;
}
