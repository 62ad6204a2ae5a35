// The order of a list's items by one block, as `order` of rust/core/src/sorting/order.rs.
#pragma once
#include "lists.cuh"
#include "select.cuh"

// Keys in the order of the numbers (backwards if `descending`), behind them NaN, behind that what does not count.
template <class T>
__device__ __forceinline__ typename Computed<T>::Bits key_in_list(T x, bool counts, bool descending) {
    typedef typename Computed<T>::Bits Bits;
    const Bits key = key_of(x);
    return !counts ? ~(Bits)0 : is_nan(x) ? ~(Bits)1 : descending ? ~key : key;
}

// The order of tokens: key increasing, then place increasing.
struct Rising {
    template <class Bits> __device__ __forceinline__ bool operator()(Token<Bits> a, Token<Bits> b) const {
        return a.key < b.key || (a.key == b.key && a.place < b.place);
    }
};

// Fills `order` with the places of the items that count, by increasing value (decreasing if `descending`), equal values by
// place, NaN at the end; then -1. Sorts tokens in `shared`, at least power_of_two(n) of them, or if `is_long` keys and places
// by digits in the memory of `room`, n of each twice.
template <class T>
__device__ void order_list(const T* x, const u8* mask, i32 n, bool descending, i32* order, bool is_long, Room room,
                           u8* shared) {
    typedef typename Computed<T>::Bits Bits;
    if (is_long) {
        Bits *keys = room.take<Bits>(n), *spare = room.take<Bits>(n);
        u32 *places = room.take<u32>(n), *spare_places = room.take<u32>(n);
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
            keys[i] = key_in_list(x[i], !mask || mask[i], descending);
            places[i] = i;
        }
        __syncthreads();
        radix_sort(keys, places, spare, spare_places, n);
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) order[i] = keys[i] == ~(Bits)0 ? -1 : (i32)places[i];
        return;
    }
    Token<Bits>* tokens = (Token<Bits>*)shared;
    const i32 size = power_of_two(n);
    for (i32 i = threadIdx.x; i < size; i += blockDim.x)
        tokens[i] = {i < n ? key_in_list(x[i], !mask || mask[i], descending) : ~(Bits)0, (u32)i};
    sort_bitonic(tokens, size, Rising());
    for (i32 i = threadIdx.x; i < n; i += blockDim.x)
        order[i] = tokens[i].key == ~(Bits)0 ? -1 : (i32)tokens[i].place;
}
