// The kernels of `argrad.seeding` that measure rows against given centres.
#include "canon.cuh"

// x[count] -> range.bad is set and a fault reported where a number is not finite. One thread an item.
template <class S> __global__ void check_finite(const S* x, Range* range, i64 count, u32* fault) {
    bool bad = false;
    for (i64 i = thread_in_grid(); i < count; i += threads_in_grid()) bad |= !is_finite(load(x[i]));
    if (bad) {
        atomicOr(&range->bad, 1u);
        report(fault);
    }
}

// x[n][d], centers[k][d] -> labels[n] and squares[n], those of the scale one in the first `pass`; in the second nothing unless
// they were out of range. Rows without a finite square keep infinity and the label -1. TILE_THREADS threads, a tile of rows a
// block; 2 n k d operations, n k d / 8 reads from the second-level cache.
template <class S>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    assign(const S* x, const S* centers, i64* labels, typename Computed<S>::Number* squares, Range* range, i64 n, i64 k,
           i64 d, i64 pass) {
    typedef typename Computed<S>::Number T;
    __shared__ Panels<T> panels;
    if (pass > 0 && !out_of_range<T>(range)) return;
    const T scale = pass > 0 ? scale_of<T>(range) : T(1);
    u64 worst = 0;
    u32 open = 0;
    for (i64 first = (i64)blockIdx.x * TILE; first < n; first += (i64)gridDim.x * TILE) {
        auto row_at = [&](int r) { return first + r < n ? x + (first + r) * d : nullptr; };
        auto center_at = [&](i64 c) { return centers + c * d; };
        Nearest<T> best = nearest_of_tile(panels, row_at, center_at, 0, k, d, scale);
        if (threadIdx.x < TILE && first + threadIdx.x < n) {
            bool none = best.center == NO_CENTER;
            labels[first + threadIdx.x] = none ? -1 : (i64)best.center;
            squares[first + threadIdx.x] = best.square;
            open |= none;
            u64 bits = none ? 0 : bits_of((double)best.square);
            worst = worst < bits ? bits : worst;
        }
    }
    if (pass == 0 && threadIdx.x < TILE) {
        worst = warp_reduce(worst, Largest());
        open = warp_reduce(open, Largest());
        if (threadIdx.x == 0) {
            atomicMax(&range->worst, worst);
            if (open) atomicOr(&range->open, 1u);
        }
    }
}

// x[count] of rows of length d -> range.reach, the largest finite difference of a coordinate to that of row `chosen[0]` (0
// where null) of `reference`; nothing unless squares were out of range. One thread an item.
template <class S>
__global__ void measure_reach(const S* x, const S* reference, const i64* chosen, Range* range, i64 count, i64 d) {
    typedef typename Computed<S>::Number T;
    if (!out_of_range<T>(range)) return;
    if (chosen) reference += chosen[0] * d;
    double reach = 0.0;
    for (i64 i = thread_in_grid(); i < count; i += threads_in_grid()) {
        double half = fabs((double)load(x[i]) / 2.0 - (double)load(reference[i % d]) / 2.0);
        if (is_finite(half) && half > reach) reach = half;
    }
    reach = warp_reduce(reach, Largest());
    if (lane_of() == 0) atomicMax(&range->reach, bits_of(reach * 2.0));
}

// labels[n], squares[n] of the scale in use -> distances[n], or squares of the scale one where `root` is 0. A row without a
// label, and every row where a centre is not finite, gets NaN and the label `none`. One thread a row.
template <class T>
__global__ void finish_assign(i64* labels, T* squares, const Range* range, i64 n, i64 root, i64 none, u32* fault) {
    const double scale = (double)scale_of<T>(range);
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid()) {
        bool bad = range->bad || labels[i] < 0;
        if (bad) report(fault);
        if (bad) labels[i] = none;
        double square = (double)squares[i];
        squares[i] = bad ? not_a_number<T>() : (T)(root ? sqrt(square) / scale : square / scale / scale);
    }
}

#define SUMMED 1024  // rows that one block sums

// squares[n], weights[n] or null -> sums[ceil(n / SUMMED)][2], of weights times squares and of weights; a weight that is
// negative or not finite gives NaN. One block for SUMMED rows, 256 threads.
template <class T>
__global__ void potential_blocks(const T* squares, const double* weights, double* sums, i64 n, u32* fault) {
    double sum = 0.0, mass = 0.0;
    for (i64 r = threadIdx.x; r < SUMMED; r += blockDim.x) {
        i64 i = (i64)blockIdx.x * SUMMED + r;
        if (i >= n) continue;
        double weight = weights ? weights[i] : 1.0;
        if (!(weight >= 0.0 && weight < infinity<double>())) {
            report(fault);
            weight = not_a_number<double>();
        }
        sum += weight * (double)squares[i];
        mass += weight;
    }
    sum = block_reduce(sum, Sum());
    mass = block_reduce(mass, Sum());
    if (threadIdx.x == 0) {
        sums[2 * (i64)blockIdx.x] = sum;
        sums[2 * (i64)blockIdx.x + 1] = mass;
    }
}

// sums[count][2] as above -> potential[1]; NaN where the weights have no positive, finite sum. One block.
__global__ void kmeans_potential(const double* sums, double* potential, i64 count, u32* fault) {
    double sum = 0.0, mass = 0.0;
    for (i64 i = threadIdx.x; i < count; i += blockDim.x) {
        sum += sums[2 * i];
        mass += sums[2 * i + 1];
    }
    sum = block_reduce(sum, Sum());
    mass = block_reduce(mass, Sum());
    if (threadIdx.x > 0) return;
    bool bad = !(mass > 0.0 && mass < infinity<double>());
    if (bad) report(fault);
    potential[0] = bad ? not_a_number<double>() : sum;
}
