// Where the items of lists go. One block takes one list at a time.
#include "order.cuh"

// x[rows][n] and mask[rows][n] (null: all count) -> places[rows][n]: see order.cuh. `scratch` has `bytes` for each block
// where lists of a row may be longer than `most`, which are sorted in shared memory. One block a list, O(n log^2 n) steps for
// short lists and 4 (8 in double precision) passes for long ones.
template <class T>
__global__ void order_lists(const T* x, const u8* mask, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists,
                            i64 descending, i32* places, i64 most, u8* scratch, i64 bytes, u32* fault) {
    DYNAMIC_SHARED(memory);
    const Lists batch = {offsets, n, per_row, stride};
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        Span at = batch.span(list);
        if (at.wrong) report(fault);
        order_list(x + at.start, mask ? mask + at.start : nullptr, at.count, descending != 0, places + at.start,
                   at.count > most, room_of(scratch, bytes, memory), memory);
        __syncthreads();
    }
}

// places[rows][n] of `order_lists` for x[rows][n] -> to[rows][n], the place in its row that each item has after sorting; -1
// for items that do not count, and for all of a list with a NaN. One block a list, one read.
template <class T>
__global__ void hard_places(const T* x, const i32* places, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists,
                            i64* to) {
    const Lists batch = {offsets, n, per_row, stride};
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Span at = batch.span(list);
        const i32* order = places + at.start;
        const i32 count = counted(order, at.count);
        const bool spoilt = count > 0 && is_nan(x[at.start + order[count - 1]]);
        for (i32 i = threadIdx.x; i < at.count; i += blockDim.x) to[at.start + i] = -1;
        __syncthreads();
        for (i32 r = threadIdx.x; r < count && !spoilt; r += blockDim.x) to[at.start + order[r]] = at.start % n + r;
        __syncthreads();
    }
}

// The same -> ranks[rows][n]: each item's rank in its list, from 1; `fill` for items that do not count, NaN for lists with a
// NaN or bad offsets. One block a list, one read.
template <class T>
__global__ void hard_ranks(const T* x, const i32* places, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists,
                           double fill, T* ranks) {
    const Lists batch = {offsets, n, per_row, stride};
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Span at = batch.span(list);
        const i32* order = places + at.start;
        const i32 count = counted(order, at.count);
        const bool spoilt = at.wrong || (count > 0 && is_nan(x[at.start + order[count - 1]]));
        for (i32 i = threadIdx.x; i < at.count; i += blockDim.x) ranks[at.start + i] = (T)fill;
        __syncthreads();
        for (i32 r = threadIdx.x; r < count; r += blockDim.x)
            ranks[at.start + order[r]] = spoilt ? not_a_number<T>() : (T)(r + 1);
        __syncthreads();
    }
}

// mask[rows][n] (null: all count) -> numbers[rows][n]: 1, 2, ... for as many places of each list as items count, the last
// first if `backwards`; then 0. One block a list, one read.
__global__ void row_numbers(const u8* mask, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 backwards,
                            i64* numbers, u32* fault) {
    const Lists batch = {offsets, n, per_row, stride};
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Span at = batch.span(list);
        if (at.wrong) report(fault);
        i32 count = at.count;
        if (mask) {
            i32 own = 0;
            for (i32 i = threadIdx.x; i < at.count; i += blockDim.x) own += mask[at.start + i] != 0;
            count = block_reduce(own, Sum());
        }
        for (i32 i = threadIdx.x; i < at.count; i += blockDim.x)
            numbers[at.start + i] = i >= count ? 0 : backwards ? count - i : i + 1;
    }
}
