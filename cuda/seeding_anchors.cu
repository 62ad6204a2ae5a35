// The kernels of seedings whose bounds come from fixed points: the mean of the rows (the published rejection sampling), as
// rust/core/src/seeding/anchors.rs.
#include "envelope.cuh"

// --- The mean --------------------------------------------------------------------------------------------------------------

// x[n][d] -> parts[ceil(n / 1024)][d], the weighted sums of a block of rows times the scale, and masses[ceil(n / 1024)], those
// of the weights. `pass`: 0 in the scale one; 1 does nothing unless squares were out of range. One thread for a coordinate of a
// block; one read of x.
template <class S>
__global__ void sum_columns(const S* x, const double* weights, const Walk* walk, double* parts, double* masses, i64 n, i64 d,
                            i64 pass) {
    typedef typename Computed<S>::Number T;
    if (pass == 1 && !out_of_range<T>(&walk->range)) return;
    const double scale = pass == 1 ? (double)scale_of<T>(&walk->range) : 1.0;
    const i64 items = (n + BLOCK_ROWS - 1) / BLOCK_ROWS * d;
    for (i64 item = thread_in_grid(); item < items; item += threads_in_grid()) {
        const i64 block = item / d, column = item % d, end = min(n, (block + 1) * BLOCK_ROWS);
        double sum = 0.0, mass = 0.0;
#pragma unroll 4
        for (i64 i = block * BLOCK_ROWS; i < end; ++i) {
            double weight = weights ? weights[i] : 1.0;
            mass += weight;
            sum += weight * ((double)load(x[i * d + column]) * scale);
        }
        parts[item] = sum;
        if (column == 0) masses[block] = mass;
    }
}

// parts[blocks][d], masses[blocks] -> mean[d], times the scale. One thread a coordinate; the additions are in order.
template <class T>
__global__ void mean(const double* parts, const double* masses, const Walk* walk, T* mean, i64 blocks, i64 d, i64 pass) {
    if (pass == 1 && !out_of_range<T>(&walk->range)) return;
    for (i64 column = thread_in_grid(); column < d; column += threads_in_grid()) {
        double sum = 0.0, mass = 0.0;
#pragma unroll 8
        for (i64 block = 0; block < blocks; ++block) {
            mass += masses[block];
            sum += parts[block * d + column];
        }
        mean[column] = (T)(sum / mass);
    }
}

// x[n][d], mean[d] -> squares[n], the scaled distances to the mean; `pass` as above, and 1 marks what is not finite. Some lanes
// of a warp a row; one read of x.
template <class S>
__global__ void squares_to_mean(const S* x, const typename Computed<S>::Number* mean, typename Computed<S>::Number* squares,
                                Walk* walk, i64 n, i64 d, i64 pass) {
    typedef typename Computed<S>::Number T;
    if (pass == 1 && !out_of_range<T>(&walk->range)) return;
    const T scale = pass == 1 ? scale_of<T>(&walk->range) : T(1);
    const int width = lanes_for<T>(d), side = blockDim.x / width;
    u64 worst = 0;
    u32 open = 0, bad = 0;
    for (i64 first = (i64)blockIdx.x * side; first < n; first += (i64)gridDim.x * side) {
        const i64 i = first + threadIdx.x / width;
        T square = canon_of_lanes(i < n ? x + i * d : nullptr, scale, mean, T(1), d, width);
        if (i >= n || (threadIdx.x & (width - 1))) continue;
        squares[i] = square;
        u64 bits = is_finite(square) ? bits_of((double)square) : 0;
        worst = worst < bits ? bits : worst;
        open |= !is_finite(square);
        if (pass == 0 || is_finite(square)) continue;
        for (i64 j = 0; j < d; ++j) bad |= !is_finite(load(x[i * d + j]));
    }
    if (pass == 0) {
        worst = warp_reduce(worst, Largest());
        if (lane_of() == 0) atomicMax(&walk->range.worst, worst);
        if (open) atomicOr(&walk->range.open, 1u);
    } else if (bad) {
        atomicOr(&walk->range.bad, 1u);
    }
}

// --- RS-k-means++ as published -----------------------------------------------------------------------------------------------

// squares[n] to the mean m, indices[0] -> bound[n], 2 (|x - m|^2 + |c_1 - m|^2) and a little more for the rounding, and their
// sums. No centre counts as seen by the bounds. One block of 256 threads for 1024 rows.
template <class T>
__global__ void published_bounds(const T* squares, T* bound, double* groups, double* blocks, const double* weights, Walk* walk,
                                 const i64* indices, i64 n, double inflation) {
    __shared__ double mass[GROUPS * (GROUP + 1)];
    const Envelope<T> envelope = {bound, groups, blocks, nullptr, weights};
    const double own = (double)squares[indices[0]];
    if (thread_in_grid() == 0) walk->refreshed = 0;
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < n; block += gridDim.x) {
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            i64 i = block * BLOCK_ROWS + r;
            T value = i < n ? (T)(2.0 * ((double)squares[i] + own) * inflation) : T(0);
            if (i < n) bound[i] = value;
            mass[r + r / GROUP] = i < n ? (weights ? weights[i] : 1.0) * (double)value : 0.0;
        }
        sum_rows(envelope, mass, block, n);
        __syncthreads();
    }
}

// The uniform row that a batch calls for: indices[count]. One warp.
__global__ void take_uniform(double* groups, double* blocks, double* prefix, const double* weights, Walk* walk,
                             i64* indices, i64 seed, i64 stream, i64 n) {
    if (!walk->gave_up) return;
    double uniform = random_uniform((u64)seed, (u64)stream, (u64)walk->uniform);
    i64 row = row_by_weight({nullptr, groups, blocks, prefix, weights}, n, uniform);
    if (threadIdx.x > 0) return;
    indices[walk->count++] = row;
    walk->uniform += 1;
}
