// The kernels of `argrad.seeding.kmeans` beside the assignment: averages, new centres for empty clusters, and the potential, all
// added in the order of the host (rust/core/src/seeding/lloyd.rs).
#include "envelope.cuh"

#define SHARE 4  // coordinates of a thread

// The first of `labels[n]`, ascending, that is not below `label`.
__device__ __forceinline__ i64 first_of(const i64* labels, i64 n, i64 label) {
    i64 low = 0, high = n;
    while (low < high) {
        i64 middle = (low + high) / 2;
        if (labels[middle] < label) low = middle + 1;
        else high = middle;
    }
    return low;
}

// x[n][d], the rows sorted by their labels, centers[k][d] -> means[k][d] of the rows of each cluster, the centre where they have
// no weight, which sets empty[c] and calls for the sums of an envelope. A block of 128 threads a cluster, coordinates side by
// side, rows one after the other; one read of x.
template <class T>
__global__ void means(const T* x, const i64* labels, const u32* rows, const double* weights, const T* centers, T* means,
                      u32* empty, Walk* walk, i64 n, i64 d) {
    const i64 cluster = blockIdx.x, begin = first_of(labels, n, cluster), end = first_of(labels, n, cluster + 1);
    double mass = 0.0;
    for (i64 first = threadIdx.x; first < d; first += SHARE * blockDim.x) {
        double sum[SHARE] = {0.0, 0.0, 0.0, 0.0};
        mass = 0.0;
#pragma unroll 4
        for (i64 r = begin; r < end; ++r) {
            i64 i = rows[r];
            double weight = weights ? weights[i] : 1.0;
            mass += weight;
#pragma unroll
            for (int e = 0; e < SHARE; ++e) {
                i64 j = first + e * blockDim.x;
                if (j < d) sum[e] += weight * (double)x[i * d + j];
            }
        }
#pragma unroll
        for (int e = 0; e < SHARE; ++e) {
            i64 j = first + e * blockDim.x;
            if (j < d) means[cluster * d + j] = mass > 0.0 ? (T)(sum[e] / mass) : centers[cluster * d + j];
        }
    }
    if (threadIdx.x > 0) return;
    empty[cluster] = !(mass > 0.0);
    if (!(mass > 0.0)) walk->refresh = 1;
}

// The centres of empty clusters become rows drawn in proportion to weights times squares[n]. One warp a cluster.
template <class T>
__global__ void reseed_empty(const T* x, T* squares, double* groups, double* blocks, double* prefix,
                             const double* weights, const Walk* walk, const u32* empty, T* means, i64 seed, i64 stream,
                             i64 iteration, i64 n, i64 d, i64 k) {
    const i64 cluster = thread_in_grid() / WARP;
    if (cluster >= k || !empty[cluster] || !(walk->total > 0.0)) return;
    double uniform = random_uniform((u64)seed, (u64)stream, (u64)(iteration * k + cluster));
    i64 row = row_at(Envelope<T>{squares, groups, blocks, prefix, weights}, n, walk->total, uniform);
    for (i64 j = lane_of(); j < d; j += WARP) means[cluster * d + j] = x[row * d + j];
}

// What the host reads after an iteration.
struct Progress {
    double potential;
    u32 moved;  // whether a label differs from that of the iteration before
    u32 bad;    // whether a row has no nearest centre
};

// squares[n] -> sums[ceil(n / 1024)] of weights times squares, in order; labels[n] are compared with those before. One block of
// 256 threads for 1024 rows; the additions are one thread's.
template <class T>
__global__ void sum_squares(const T* squares, const double* weights, const i64* labels, const i64* before, double* sums,
                            Progress* progress, i64 n) {
    __shared__ double held[BLOCK_ROWS];
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < n; block += gridDim.x) {
        bool moved = false, bad = false;
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            i64 i = block * BLOCK_ROWS + r;
            held[r] = i < n ? (weights ? weights[i] : 1.0) * (double)squares[i] : 0.0;
            if (i < n) moved |= labels[i] != before[i];
            if (i < n) bad |= labels[i] < 0;
        }
        if (moved) atomicOr(&progress->moved, 1u);
        if (bad) atomicOr(&progress->bad, 1u);
        __syncthreads();
        if (threadIdx.x == 0) {
            double sum = 0.0;
#pragma unroll 8
            for (int r = 0; r < BLOCK_ROWS; ++r) sum += held[r];
            sums[block] = sum;
        }
        __syncthreads();
    }
}

// sums[count] -> the potential in the scale one. One block of 256 threads.
template <class T>
__global__ void add_potential(const double* sums, const Range* range, Progress* progress, i64 count) {
    __shared__ double held[BLOCK_ROWS];
    double sum = 0.0;
    for (i64 first = 0; first < count; first += BLOCK_ROWS) {
        for (int i = threadIdx.x; i < BLOCK_ROWS; i += blockDim.x) held[i] = first + i < count ? sums[first + i] : 0.0;
        __syncthreads();
        if (threadIdx.x == 0)
            for (int i = 0; i < BLOCK_ROWS; ++i) sum += held[i];
        __syncthreads();
    }
    double scale = (double)scale_of<T>(range);
    if (threadIdx.x == 0) progress->potential = sum / (scale * scale);
    if (threadIdx.x == 0 && range->bad) progress->bad = 1;
}
