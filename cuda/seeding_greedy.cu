// The other ways of `argrad.seeding.kmeans_plusplus`: greedy seeding, and unused rows in the order of the host.
#include "envelope.cuh"

// --- Greedy seeding ------------------------------------------------------------------------------------------------------

// Candidates for the next centre, drawn in proportion to the envelope: rows[trials]. One warp a candidate.
template <class T>
__global__ void draw_trials(T* bound, double* groups, double* blocks, double* prefix, const double* weights, Walk* walk,
                            u32* rows, i64 seed, i64 stream, i64 n, i64 trials) {
    i64 t = thread_in_grid() / WARP;
    if (t >= trials || !(walk->total > 0.0)) return;
    double uniform = random_uniform((u64)seed, (u64)stream, (u64)(walk->proposals + t));
    i64 row = row_at(Envelope<T>{bound, groups, blocks, prefix, weights}, n, walk->total, uniform);
    if (lane_of() == 0) rows[t] = (u32)row;
}

// sums[ceil(n / 1024)][trials]: the part of a block of rows in the potential after each candidate, its rows added in order. One
// block of 256 threads for 1024 rows; one read of x for each of some candidates, of which the first finds it in no cache.
template <class S>
__global__ void trial_potentials(const S* x, const typename Computed<S>::Number* bound, const double* weights,
                                 const Walk* walk, const u32* rows, double* sums, i64 n, i64 d, i64 trials) {
    typedef typename Computed<S>::Number T;
    const int side = 32 / (int)sizeof(T);  // candidates measured together
    __shared__ T square[BLOCK_ROWS][side];
    if (!(walk->total > 0.0)) return;
    const T scale = scale_of<T>(&walk->range);
    const int width = lanes_for<T>(d), group = threadIdx.x / width;
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < n; block += gridDim.x) {
        const i64 first = block * BLOCK_ROWS;
        for (i64 t = 0; t < trials; t += side) {
            for (int r = group; r < BLOCK_ROWS; r += blockDim.x / width) {
                i64 i = first + r;
                for (int c = 0; c < side && t + c < trials; ++c) {
                    T value = canon_of_lanes(i < n ? x + i * d : nullptr, x + (i64)rows[t + c] * d, d, scale, width);
                    if (i < n && (threadIdx.x & (width - 1)) == 0) square[r][c] = value < bound[i] ? value : bound[i];
                }
            }
            __syncthreads();
            if (threadIdx.x < side && t + threadIdx.x < trials) {
                double sum = 0.0;
                for (int r = 0; r < BLOCK_ROWS && first + r < n; ++r)
                    sum += (weights ? weights[first + r] : 1.0) * (double)square[r][threadIdx.x];
                sums[block * trials + t + threadIdx.x] = sum;
            }
            __syncthreads();
        }
    }
}

// Adds sums[count][trials] in order, and takes the candidate of the lowest potential, the first among equals, as the next
// centre. One block of 256 threads.
__global__ void take_trial(Walk* walk, const double* sums, double* potentials, const u32* rows, i64* indices, i64 count,
                           i64 trials) {
    if (!(walk->total > 0.0)) return;
    for (i64 t = threadIdx.x; t < trials; t += blockDim.x) {
        double sum = 0.0;
        for (i64 block = 0; block < count; ++block) sum += sums[block * trials + t];
        potentials[t] = sum;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    i64 best = 0;
    for (i64 t = 1; t < trials; ++t) best = potentials[t] < potentials[best] ? t : best;
    indices[walk->count++] = rows[best];
    walk->proposals += trials;
}

// --- Unused rows ---------------------------------------------------------------------------------------------------------

// used[n], of zeros -> 1 at the rows chosen so far. One thread a centre.
__global__ void mark_used(const Walk* walk, const i64* indices, u32* used) {
    for (i64 c = thread_in_grid(); c < walk->count; c += threads_in_grid()) used[indices[c]] = 1;
}

// The unused rows of positive weight, then those of weight zero: how many there are in each block of 1024 rows, counts[2][blocks],
// or, where `free` is given, the rows themselves from starts[2][blocks] on. One block of 256 threads for 1024 rows.
__global__ void free_rows(const u32* used, const double* weights, i64* counts, u32* free, i64 n, i64 blocks) {
    const i64 block = blockIdx.x, first = block * BLOCK_ROWS;
    u32 here[2] = {0, 0};
    for (int base = 0; base < BLOCK_ROWS; base += blockDim.x) {
        i64 i = first + base + threadIdx.x;
        for (int kind = 0; kind < 2; ++kind) {
            bool mine = i < n && !used[i] && (weights && !(weights[i] > 0.0)) == (kind == 1);
            u32 total, before = block_scan((u32)mine, total);
            if (free && mine) free[counts[kind * blocks + block] + here[kind] + before] = (u32)i;
            here[kind] += total;
        }
    }
    if (!free && threadIdx.x < 2) counts[threadIdx.x * blocks + block] = here[threadIdx.x];
}

// counts[2][blocks] -> the sums before each; sizes[0] and sizes[1] are the rows of either kind. One block.
__global__ void free_starts(i64* counts, i64* sizes, i64 blocks) {
    i64 before = 0;
    for (int kind = 0; kind < 2; ++kind) {
        i64 begun = before;
        for (i64 first = 0; first < blocks; first += blockDim.x) {
            i64 i = first + threadIdx.x, total, here = i < blocks ? counts[kind * blocks + i] : 0;
            i64 sum = block_scan(here, total);
            if (i < blocks) counts[kind * blocks + i] = before + sum;
            before += total;
        }
        if (threadIdx.x == 0) sizes[kind] = before - begun;
    }
}

// Fills indices[] up to k with unused rows, those of positive weight first: each step takes a row out of the pool and puts the
// last one in its place. One thread, some hundred nanoseconds a row.
__global__ void fill_up(Walk* walk, const i64* sizes, u32* free, i64* indices, i64 seed, i64 stream, i64 k) {
    if (thread_in_grid() > 0) return;
    i64 left[2] = {sizes[0], sizes[1]};
    u32* pools[2] = {free, free + sizes[0]};
    for (i64 c = walk->count; c < k; ++c) {
        int kind = left[0] > 0 ? 0 : 1;
        u64 at = random_below((u64)seed, (u64)stream, (u64)c, (u64)left[kind]);
        indices[c] = pools[kind][at];
        pools[kind][at] = pools[kind][--left[kind]];
    }
}
