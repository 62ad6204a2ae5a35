// The kernels of `argrad.selection.weighted_sample` with replacement: rows at given heights of the running sum of the weights,
// as rust/core/src/selection/{sums,draws}.rs bit for bit.
#include "block.cuh"
#include "elementary.cuh"

#define BLOCK_ROWS 1024  // rows of a block of weights, and heights of a chunk: each is summed one after the other

// The state of a draw, in device memory, zeros at the beginning.
struct Heights {
    double total;  // of all weights
    double whole;  // of all spacings but the last
    i64 last;      // the last block of positive sum
    u32 bad;       // whether a weight is negative or not finite
};

__device__ __forceinline__ bool possible(const Heights* state) {
    return !state->bad && state->total > 0.0 && state->total < infinity<double>();
}

// weights[n] -> sums[ceil(n / 1024)]. One block of 256 threads for 1024 rows; one read.
template <class S> __global__ void sum_weights(const S* weights, double* sums, Heights* state, i64 n) {
    __shared__ double held[BLOCK_ROWS];
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < n; block += gridDim.x) {
        bool bad = false;
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            i64 i = block * BLOCK_ROWS + r;
            held[r] = i < n ? (double)load(weights[i]) : 0.0;
            bad |= !(held[r] >= 0.0 && held[r] < infinity<double>());
        }
        if (bad) atomicOr(&state->bad, 1u);
        __syncthreads();
        if (threadIdx.x == 0) sums[block] = run_up<BLOCK_ROWS>(held, 0.0);
        __syncthreads();
    }
}

// sums[count] -> prefix[count + 1], added one after the other. `spacings`: 0, they are of weights; 1, of spacings. One block of 256
// threads, the additions are one thread's.
__global__ void sum_prefix(const double* sums, double* prefix, Heights* state, i64 count, i64 spacings) {
    __shared__ double held[BLOCK_ROWS];
    double total = 0.0;
    i64 last = 0;
    for (i64 first = 0; first < count; first += BLOCK_ROWS) {
        for (int i = threadIdx.x; i < BLOCK_ROWS; i += blockDim.x) held[i] = first + i < count ? sums[first + i] : 0.0;
        __syncthreads();
        if (threadIdx.x == 0) {
            double before = total;
            total = run_up<BLOCK_ROWS>(held, total);
            for (int i = 0; i < BLOCK_ROWS && first + i < count; ++i) {
                if (before < held[i]) last = first + i;
                before = held[i];
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; i < BLOCK_ROWS; i += blockDim.x)
            if (first + i < count) prefix[first + i + 1] = held[i];
        __syncthreads();
    }
    if (threadIdx.x > 0) return;
    prefix[0] = 0.0;
    if (spacings) {
        state->whole = total;
    } else {
        state->total = total;
        state->last = last;
    }
}

// targets[size] become the running sums of exponential spacings inside chunks of 1024, whose sums are sums[]. One block of 256
// threads for a chunk.
__global__ void space_heights(double* targets, double* sums, i64 size, i64 seed, i64 stream) {
    __shared__ double held[BLOCK_ROWS];
    for (i64 chunk = blockIdx.x; chunk * BLOCK_ROWS < size; chunk += gridDim.x) {
        const i64 first = chunk * BLOCK_ROWS;
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x)
            held[r] = first + r < size ? exponential(random_uniform((u64)seed, (u64)stream, (u64)(first + r))) : 0.0;
        __syncthreads();
        if (threadIdx.x == 0) sums[chunk] = run_up<BLOCK_ROWS>(held, 0.0);
        __syncthreads();
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x)
            if (first + r < size) targets[first + r] = held[r];
        __syncthreads();
    }
}

// targets[size], running sums inside chunks -> ascending uniforms below the total; or, where `before` is null, heights at equal
// steps. One thread a height.
__global__ void place_heights(double* targets, const double* before, const Heights* state, i64 size, i64 seed,
                              i64 stream) {
    const double total = state->total, step = total / (double)size;
    const double u = random_uniform((u64)seed, (u64)stream, before ? (u64)size : 0);
    const double whole = state->whole + exponential(u);
    for (i64 j = thread_in_grid(); j < size; j += threads_in_grid())
        targets[j] = before ? (before[j / BLOCK_ROWS] + targets[j]) / whole * total : ((double)j + u) * step;
}

// The first of `values[count]`, ascending, that is not below `bar` (`above`: that is above it).
__device__ __forceinline__ i64 first_from(const double* values, i64 count, double bar, bool above) {
    i64 low = 0, high = count;
    while (low < high) {
        i64 middle = (low + high) / 2;
        bool before = above ? values[middle] <= bar : values[middle] < bar;
        if (before) low = middle + 1;
        else high = middle;
    }
    return low;
}

// For each of the ascending targets[size] the first row at which the running sum exceeds it -> rows[size]; a target that rounding
// carried to the total falls to the last positive row. One block of 256 threads for 1024 rows; those of blocks that own targets
// are read.
template <class S>
__global__ void walk_rows(const S* weights, const double* prefix, const double* targets, const Heights* state, i64* rows,
                          i64 n, i64 size) {
    __shared__ double edge[BLOCK_ROWS];
    __shared__ int last;
    if (!possible(state)) return;
    for (i64 block = blockIdx.x; block <= state->last; block += gridDim.x) {
        const i64 first = block * BLOCK_ROWS, from = first_from(targets, size, prefix[block], false);
        const i64 to = block == state->last ? size : first_from(targets, size, prefix[block + 1], false);
        if (from >= to) continue;
        if (threadIdx.x == 0) last = 0;
        __syncthreads();
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            edge[r] = first + r < n ? (double)load(weights[first + r]) : 0.0;
            if (edge[r] > 0.0) atomicMax(&last, r);
        }
        __syncthreads();
        if (threadIdx.x == 0) run_up<BLOCK_ROWS>(edge, 0.0);
        __syncthreads();
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) edge[r] = prefix[block] + edge[r];
        __syncthreads();
        for (i64 j = from + threadIdx.x; j < to; j += blockDim.x)
            rows[j] = first + min(first_from(edge, BLOCK_ROWS, targets[j], true), (i64)last);
        __syncthreads();
    }
}

// keys[size], one random word for each draw, and places. One thread a draw.
__global__ void shuffle_keys(u64* keys, u32* places, i64 size, i64 seed, i64 stream) {
    for (i64 j = thread_in_grid(); j < size; j += threads_in_grid()) {
        keys[j] = random_word((u64)seed, (u64)stream, (u64)j);
        places[j] = (u32)j;
    }
}

// rows[size], taken in the order of `places` (as they are where null) -> drawn[size] and the inverse shares total / (size w) (null
// for none). A draw that does not exist gives -1 and NaN. One thread a draw.
template <class S>
__global__ void finish_rows(const S* weights, const Heights* state, const i64* rows, const u32* places, i64* drawn,
                            double* inverse, i64 size, u32* fault) {
    const bool good = possible(state);
    if (!good) report(fault);
    for (i64 j = thread_in_grid(); j < size; j += threads_in_grid()) {
        i64 row = good ? rows[places ? places[j] : j] : -1;
        drawn[j] = row;
        if (inverse)
            inverse[j] = good ? state->total / ((double)size * (double)load(weights[row])) : not_a_number<double>();
    }
}
