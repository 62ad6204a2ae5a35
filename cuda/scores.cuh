// Lists of scores: what is in them, and their order. One block takes one list.
#pragma once
#include "lists.cuh"
#include "sort.cuh"

// The items `start .. start + n` of an array; whether the offsets of the list are wrong.
struct Range {
    i64 start;
    u32 n;
    bool wrong;
};

// List number `list`, see `Lists`. Wrong offsets are reported.
__device__ __forceinline__ Range range_of(i64 list, i64 n, i64 parts, const i64* offsets, i64 stride, u32* fault) {
    Span span = Lists{offsets, n, parts, stride}.span(list);
    if (span.wrong) report(fault);
    return {span.start, (u32)span.count, span.wrong};
}

// What is in a list: how many items count, are infinite of either sign, and the ends of the finite ones, of u = sign x.
template <class T> struct Survey {
    u32 count, highest, lowest;
    bool nan;
    T low, high;
};

template <class T> __device__ Survey<T> survey(const T* x, const bool* mask, u32 n, T sign) {
    u64 above = 0, below = 0;  // two counts in each
    T low = infinity<T>(), high = -infinity<T>();
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) {
        if (mask && !mask[i]) continue;
        T u = sign * x[i];
        above += 1;
        if (is_nan(u)) {
            below += 1ull << 32;
        } else if (u == infinity<T>()) {
            above += 1ull << 32;
        } else if (u == -infinity<T>()) {
            below += 1;
        } else {
            low = u < low ? u : low;
            high = u > high ? u : high;
        }
    }
    above = block_reduce(above, Sum());
    below = block_reduce(below, Sum());
    low = block_reduce(low, Least());
    high = block_reduce(high, Largest());
    return {(u32)above, (u32)(above >> 32), (u32)below, below >> 32 > 0, low, high};
}

// Working memory for a list: numbers, keys, places and links for each of `size` items, an even number of them.
template <class T> struct Work {
    typedef typename Computed<T>::Bits Bits;
    double* numbers;
    Bits* keys;
    u32* places;
    u32* links;
};

template <class T> __device__ __forceinline__ Work<T> work_in(void* memory, i64 size) {
    typedef typename Computed<T>::Bits Bits;
    double* numbers = (double*)memory;
    Bits* keys = (Bits*)(numbers + size);
    u32* places = (u32*)(keys + size);
    return {numbers, keys, places, places + size};
}

// Working memory of this block: shared for lists of up to `capacity` items, else its part of `scratch`. In bytes, a block has
// (16 + sizeof(T)) times the power of two above the capacity, or times n made even.
template <class T> __device__ __forceinline__ Work<T> work_of(u32 n, i64 longest, i64 capacity, unsigned char* memory,
                                                              unsigned char* scratch) {
    i64 size = longest + longest % 2;
    if (n <= capacity) return work_in<T>(memory, power_of_two(max(n, 2u)));
    return work_in<T>(scratch + blockIdx.x * size * (16 + sizeof(T)), size);
}

// Sorts n keys, a power of two, with their places, by key and then by place. Bitonic; the pairs of a warp lie among 64 items as
// long as steps are short, so that warps seldom have to wait for one another.
template <class Bits> __device__ void sort_short(Bits* keys, u32* places, u32 n) {
    for (u32 size = 2; size <= n; size *= 2) {
        for (u32 step = size / 2; step > 0; step /= 2) {
            for (u32 i = threadIdx.x; i < n / 2; i += blockDim.x) {
                u32 low = 2 * i - (i & (step - 1)), high = low + step;
                Bits a = keys[low], b = keys[high];
                bool rising = (low & size) == 0;
                if ((b < a || (b == a && places[high] < places[low])) == rising) {
                    keys[low] = b;
                    keys[high] = a;
                    u32 place = places[low];
                    places[low] = places[high];
                    places[high] = place;
                }
            }
            bool near = step <= WARP && (step > 1 || size <= WARP);
            if (near) {
                __syncwarp();
            } else {
                __syncthreads();
            }
        }
    }
    __syncthreads();
}

// Sorts the items of a list that count by falling u = sign x, equal ones by position; the others come last. Lists without NaN;
// those in global memory need blocks of at most 8 warps.
template <class T>
__device__ void sort_falling(const T* x, const bool* mask, u32 n, T sign, bool is_short, Work<T> work) {
    typedef typename Computed<T>::Bits Bits;
    u32 size = is_short ? power_of_two(max(n, 2u)) : n;
    for (u32 i = threadIdx.x; i < size; i += blockDim.x) {
        bool counts = i < n && (!mask || mask[i]);
        work.keys[i] = counts ? (Bits)~key_of(sign * x[i]) : (Bits)~(Bits)0;
        work.places[i] = i;
    }
    __syncthreads();
    if (is_short) {
        sort_short(work.keys, work.places, size);
    } else {
        // Numbers and links come later, so that their memory is the other half of the sort's.
        radix_sort(work.keys, work.places, (Bits*)work.numbers, work.links, (i64)n);
    }
}

// The u of sorted keys.
template <class Bits> struct Falling {
    const Bits* keys;
    __device__ __forceinline__ double operator()(u32 i) const { return (double)of_key((Bits)~keys[i]); }
};
