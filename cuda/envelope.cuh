// The envelope of k-means++ on a device, as rust/core/src/seeding/envelope.rs bit for bit: one upper bound of D^2(x_i, S) a row,
// its weighted sums (32 rows a group, 32 groups a block of rows, both summed in order), and the draw of rows in proportion.
#pragma once
#include "canon.cuh"

#define GROUP 32
#define GROUPS 32
#define BLOCK_ROWS 1024
#define MOST_PROPOSALS 2048
#define WORDS (MOST_PROPOSALS / 32)
#define SPLITS 8  // blocks that share the centres of a stage

// The state of a seeding, in device memory; the random numbers, n, d and k are arguments of the kernels.
struct Walk {
    Range range;
    double total;        // of the envelope
    double first_total;  // of the first envelope
    i64 count;           // centres chosen
    i64 before;          // centres before the batch at hand
    i64 proposals;       // looked at
    i64 processed;       // of the batch at hand
    i64 alive;           // of them, not rejected so far
    i64 wasted;          // distances spent on rejected proposals since the last refresh
    i64 failures;        // proposals rejected since the last centre
    i64 refreshed;       // centres that the last refresh has seen
    i64 refreshes;
    i64 refresh;         // whether one is due
    i64 recent[3][2];    // proposals and acceptances of the last batches, the last one first
    i64 uniform;         // centres that are uniform rows, because too many proposals in a row were rejected
    i64 gave_up;         // whether the batch at hand ends with such a centre
    i64 approached;      // centres that bounds from anchors have seen
};

// The arrays of an envelope.
template <class T> struct Envelope {
    T* bound;               // [n]
    double* groups;         // [ceil(n / 32)]
    double* blocks;         // [ceil(n / 1024)]
    double* prefix;         // [ceil(n / 1024) + 1]: sums of the blocks before
    const double* weights;  // [n] or null
};

// The values of the lanes added in the order of the lanes.
__device__ __forceinline__ double sum_in_order(double value) {
    double sum = 0.0;
#pragma unroll
    for (int lane = 0; lane < WARP; ++lane) sum += __shfl_sync(FULL, value, lane);
    return sum;
}

// The first lane at which the running sum exceeds `rest`, which becomes what is left of it there; the last positive lane where
// rounding carries past the end. All lanes of the warp call.
__device__ __forceinline__ int scan_lanes(double entry, double& rest) {
    double sum = 0.0, left = 0.0;
    int last = 0;
    for (int lane = 0; lane < WARP; ++lane) {
        double here = __shfl_sync(FULL, entry, lane);
        if (here > 0.0) {
            last = lane;
            left = rest - sum;
        }
        sum += here;
        if (sum > rest) break;
    }
    rest = left;
    return last;
}

// The row at `uniform` of the inverse cumulative distribution of weights times bounds (1 where `bound` is null); rows without
// mass are never drawn. One warp; 3 + log32(n / 1024) dependent reads.
template <class T> __device__ i64 row_at(Envelope<T> envelope, i64 n, double total, double uniform) {
    const i64 blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS, groups = (n + GROUP - 1) / GROUP;
    const int lane = lane_of();
    double rest = uniform * total;
    // The first block whose end is above: each step keeps one of 32 stretches.
    i64 low = 0, high = blocks;
    while (low < high) {
        i64 step = (high - low + WARP - 1) / WARP, at = low + step * (lane + 1) - 1;
        bool below = at < high && envelope.prefix[at + 1] <= rest;
        int passed = __popc(__ballot_sync(FULL, below));
        low += step * passed;
        high = step == 1 ? low : min(high, low + step - 1);
    }
    if (low >= blocks) {
        low = blocks - 1;
        while (low > 0 && !(envelope.blocks[low] > 0.0)) --low;
        if (!(envelope.blocks[low] > 0.0)) low = 0;
    }
    rest -= envelope.prefix[low];
    i64 group = low * GROUPS + lane;
    group = low * GROUPS + scan_lanes(group < groups ? envelope.groups[group] : 0.0, rest);
    i64 row = group * GROUP + lane;
    double mass = 0.0;
    if (row < n) {
        mass = envelope.bound ? (double)envelope.bound[row] : 1.0;
        if (envelope.weights) mass = envelope.weights[row] * mass;
    }
    return group * GROUP + scan_lanes(mass, rest);
}

// A row in proportion to the weights, whose sums the envelope holds; all rows alike where there are none. One warp.
__device__ __forceinline__ i64 row_by_weight(Envelope<float> ones, i64 n, double uniform) {
    if (!ones.weights) return min((i64)(uniform * (double)n), n - 1);
    return row_at(ones, n, ones.prefix[(n + BLOCK_ROWS - 1) / BLOCK_ROWS], uniform);
}

// Sums 1024 masses, held in shared memory with a gap after each 32, by groups and the block; all threads of the block call.
template <class T> __device__ void sum_rows(Envelope<T> envelope, const double* mass, i64 block, i64 n) {
    __syncthreads();
    if (threadIdx.x >= WARP) return;
    double sum = 0.0;
    for (int r = 0; r < GROUP; ++r) sum += mass[threadIdx.x * (GROUP + 1) + r];
    i64 group = block * GROUPS + threadIdx.x;
    if (group * GROUP < n) envelope.groups[group] = sum;
    sum = sum_in_order(sum);
    if (threadIdx.x == 0) envelope.blocks[block] = sum;
}

// blocks[count] -> prefix[count + 1], added one after the other as on the host: 8 cycles each, one thread's. Returns the total;
// all threads of the block call.
__device__ __forceinline__ double add_up(const double* blocks, double* prefix, i64 count) {
    __shared__ double held[BLOCK_ROWS];
    __shared__ double total;
    if (threadIdx.x == 0) prefix[0] = total = 0.0;
    for (i64 first = 0; first < count; first += BLOCK_ROWS) {
        i64 here = min(count - first, (i64)BLOCK_ROWS);
        for (int i = threadIdx.x; i < here; i += blockDim.x) held[i] = blocks[first + i];
        __syncthreads();
        if (threadIdx.x == 0)
            for (int i = 0; i < here; ++i) held[i] = total += held[i];
        __syncthreads();
        for (int i = threadIdx.x; i < here; i += blockDim.x) prefix[first + i + 1] = held[i];
        __syncthreads();
    }
    return total;
}

// --- Batches of proposals --------------------------------------------------------------------------------------------------

// Proposals per centre over the last three batches.
__device__ __forceinline__ double rate_of(const Walk* walk) {
    i64 proposals = walk->recent[0][0] + walk->recent[1][0] + walk->recent[2][0];
    i64 accepted = walk->recent[0][1] + walk->recent[1][1] + walk->recent[2][1];
    return proposals == 0 ? 1.0 : (double)proposals / (double)max(accepted, (i64)1);
}

// The size of the next batch; 0 when all is done.
__device__ __forceinline__ int batch_size(const Walk* walk, i64 k) {
    if (walk->count >= k || !(walk->total > 0.0)) return 0;
    double wanted = ceil(1.1 * rate_of(walk) * (double)(k - walk->count));
    return wanted < 32.0 ? 32 : wanted > (double)MOST_PROPOSALS ? MOST_PROPOSALS : (int)wanted;
}

// The centres that a stage looks at: the newest 64, then four times as many of those before, and so on; those of this batch
// where `stage` is negative.
struct Stage {
    i64 start, end;
};
__device__ __forceinline__ Stage stage_of(const Walk* walk, i64 stage) {
    if (stage < 0) return {walk->before, walk->count};
    i64 end = walk->count, size = 64;
    for (; stage > 0; --stage, size *= 4) end = max(end - size, (i64)0);
    return {max(end - size, (i64)0), end};
}
// Tiles of the centres of a stage that each of the blocks with the same proposals takes.
__device__ __forceinline__ i64 tiles_of_split(Stage stage) {
    i64 tiles = (stage.end - stage.start + TILE - 1) / TILE;
    return (tiles + SPLITS - 1) / SPLITS;
}

// The least square that the splits of a stage have found for the proposal at `place` of `alive`.
template <class T> __device__ __forceinline__ T least_of_splits(const T* squares, Stage stage, i64 place) {
    i64 width = TILE * tiles_of_split(stage);
    T least = infinity<T>();
    for (i64 split = 0; stage.start + split * width < stage.end; ++split)
        least = min(least, squares[split * MOST_PROPOSALS + place]);
    return least;
}
