// How the lists, the columns and the derivatives of Sinkhorn sort lie in the arrays of a batch.
#pragma once
#include "balance.cuh"

// Where columns over the items of a list, or over its ranks, lie in an array of rows[.][m].
template <class T> struct Side {
    i64 start;         // row of the list's first
    const i32* order;  // of items; null for ranks
    i32 rows;          // that there are: the rank that takes the rest has none
    i64 m;

    __device__ __forceinline__ i64 at(i32 k, i64 c) const { return (start + (order ? order[k] : k)) * m + c; }

    template <class N> __device__ __forceinline__ N read(Moving<T> array, i32 k, i64 c) const {
        return k < rows ? Read<N>::at(array, at(k, c)) : constant<N>(0.0);
    }
    __device__ __forceinline__ void write(T* array, i32 k, i64 c, double y) const {
        if (k < rows) array[at(k, c)] = (T)y;
    }
    // Fills the rows from this one on.
    __device__ void fill(T* array, i32 from, T y) const {
        for (i64 i = from * m + threadIdx.x; i < rows * m; i += blockDim.x) array[at((i32)(i / m), i % m)] = y;
    }
};

// One list.
template <class T> struct Transport {
    i64 list, start, k;
    const i32* order;
    i32 count;
    double temperature;
    bool spoilt;

    __device__ Transport(const Lists& batch, i64 number, const T* x, const i32* places, const T* temperatures, i64 ranks,
                         u32* fault) {
        const Sorted<T> sorted(batch, number, x, places, temperatures, fault);
        list = number, k = ranks, start = sorted.at.start, order = sorted.order, count = sorted.count;
        temperature = sorted.temperature;
        spoilt = sorted.spoilt || count < k;
        if (count < k) report(fault);
    }

    // Whether there is nothing to be solved.
    __device__ bool idle() const { return spoilt || count == 0; }

    __device__ void enter(Plan& plan, const T* x, bool descending) const {
        const T* scores = x + start;
        const i32* by = order;
        plan.enter(count, k, temperature, descending, [=](i32 i) { return (double)scores[by[i]]; });
    }

    // Of arrays over the items, or over the ranks.
    __device__ Side<T> side(i64 m, bool by_item) const {
        if (by_item || k == 0) return {start, by_item ? order : nullptr, count, m};
        return {list * k, nullptr, (i32)k, m};
    }
};
