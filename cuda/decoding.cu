// The kernels of `argrad.decoding`: one block takes one row at a time.
#include "elementary.cuh"
#include "select.cuh"

// Tokens that are sorted in shared memory.
#define SHARED_TOKENS 2048

// x[rows][v] -> the k largest (`largest` = 0: smallest) of each row: values[rows][k] and places[rows][k], in order. `scratch`
// has power_of_two(k) tokens for each block where k > SHARED_TOKENS. Rows with a NaN give NaN and -1. One block a row; 5 reads
// of the row (9 in double precision).
template <class S>
__global__ void topk_rows(const S* x, typename Computed<S>::Number* values, i64* places,
                          Token<typename Computed<S>::Bits>* scratch, i64 rows, i64 v, i64 k, i64 largest, u32* fault) {
    typedef typename Computed<S>::Number T;
    typedef typename Computed<S>::Bits Bits;
    DYNAMIC_SHARED(memory);
    u32 size = power_of_two((u32)k);
    Token<Bits>* tokens = k > SHARED_TOKENS ? scratch + (i64)blockIdx.x * size : (Token<Bits>*)memory;
    const Bits flip = largest ? 0 : ~(Bits)0;
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const S* numbers = x + row * v;
        u32 bad = 0;
        for (i64 i = threadIdx.x; i < v; i += blockDim.x) bad |= is_nan(load(numbers[i]));
        bad = block_reduce(bad, Largest());
        if (bad) {
            report(fault);
        } else {
            auto key = [=](i64 i) { return key_of(load(numbers[i])) ^ flip; };
            list_tokens(key, v, find_bar<Bits>(key, v, (u32)k), tokens);
            for (u32 i = (u32)k + threadIdx.x; i < size; i += blockDim.x) tokens[i] = {0, 0xFFFFFFFFu};
            sort_bitonic(tokens, size, First());
        }
        for (i64 i = threadIdx.x; i < k; i += blockDim.x) {
            values[row * k + i] = bad ? not_a_number<T>() : load(numbers[tokens[i].place]);
            places[row * k + i] = bad ? -1 : (i64)tokens[i].place;
        }
        __syncthreads();
    }
}
