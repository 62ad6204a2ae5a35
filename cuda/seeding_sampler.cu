// The kernels of `argrad.seeding.D2Sampler`: bounds from anchors, as rust/core/src/seeding/anchors.rs, and draws for given
// centres, as sample.rs.
#include "envelope.cuh"

// --- Preparing -------------------------------------------------------------------------------------------------------------

// The envelope's total in the scale one, and the scale. One thread.
template <class T> __global__ void tell_spread(const Walk* walk, double* told) {
    if (thread_in_grid() > 0) return;
    const double scale = (double)scale_of<T>(&walk->range);
    told[0] = walk->total / scale / scale;
    told[1] = scale;
}

// mean[d], and rows chosen[pivots] of x times the scale -> anchors[1 + pivots][d]. One thread a coordinate.
template <class S>
__global__ void gather_anchors(const S* x, const typename Computed<S>::Number* mean, const i64* chosen, const Walk* walk,
                               typename Computed<S>::Number* anchors, i64 pivots, i64 d) {
    typedef typename Computed<S>::Number T;
    const T scale = scale_of<T>(&walk->range);
    for (i64 i = thread_in_grid(); i < (1 + pivots) * d; i += threads_in_grid())
        anchors[i] = i < d ? mean[i] : load(x[chosen[i / d - 1] * d + i % d]) * scale;
}

// labels[n], squares[n] to the mean -> those of the nearest anchor, the first among equals. TILE_THREADS threads, a tile of rows
// a block.
template <class S>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    place_rows(const S* x, const i64* chosen, const Walk* walk, u8* labels, typename Computed<S>::Number* squares, i64 n,
               i64 pivots, i64 d) {
    typedef typename Computed<S>::Number T;
    __shared__ Panels<T> panels;
    const T scale = scale_of<T>(&walk->range);
    for (i64 first = (i64)blockIdx.x * TILE; first < n; first += (i64)gridDim.x * TILE) {
        auto row_at = [&](int r) { return first + r < n ? x + (first + r) * d : nullptr; };
        auto center_at = [&](i64 c) { return x + chosen[c] * d; };
        Nearest<T> best = nearest_of_tile(panels, row_at, center_at, 0, pivots, d, scale);
        i64 i = first + threadIdx.x;
        if (threadIdx.x >= TILE || i >= n || !(best.square < squares[i])) continue;
        squares[i] = best.square;
        labels[i] = (u8)(best.center + 1);
    }
}

// Measures rows[count] of x against anchors[count of them][d] anew: labels[] and squares[] of these rows. Some lanes of a warp a
// row.
template <class S>
__global__ void locate(const S* x, const i64* rows, const Walk* walk, const typename Computed<S>::Number* anchors, u8* labels,
                       typename Computed<S>::Number* squares, i64 count, i64 number, i64 d) {
    typedef typename Computed<S>::Number T;
    const T scale = scale_of<T>(&walk->range);
    const int width = lanes_for<T>(d), side = blockDim.x / width;
    for (i64 first = (i64)blockIdx.x * side; first < count; first += (i64)gridDim.x * side) {
        const i64 i = first + threadIdx.x / width;
        T least = infinity<T>();
        u8 label = 0;
        for (i64 a = 0; a < number; ++a) {
            T square = canon_of_lanes(i < count ? x + rows[i] * d : nullptr, scale, anchors + a * d, T(1), d, width);
            if (!(square < least)) continue;
            least = square;
            label = (u8)a;
        }
        if (i >= count || (threadIdx.x & (width - 1))) continue;
        labels[rows[i]] = label;
        squares[rows[i]] = least;
    }
}

// --- Bounds from anchors -----------------------------------------------------------------------------------------------------

// Whether the bounds are due to be made anew: the first time, and when the centres have doubled.
__device__ __forceinline__ bool approach_is_due(const Walk* walk, i64 given) {
    return given > 0 || walk->count >= 2 * max(walk->approached, (i64)1);
}

// Lowers delta[], the distance of each anchor to the nearest centre, for the centres since the last time, rows chosen[] of
// `centers`; for the first `given` of them, rows of `centers` where `chosen` is null. One block of 256 threads an anchor.
template <class S>
__global__ void approach(const S* centers, const i64* chosen, const Walk* walk, const typename Computed<S>::Number* anchors,
                         double* delta, i64 d, i64 given) {
    typedef typename Computed<S>::Number T;
    if (!approach_is_due(walk, given)) return;
    const T scale = scale_of<T>(&walk->range);
    const int width = lanes_for<T>(d), side = blockDim.x / width;
    const i64 begin = given > 0 ? 0 : walk->approached, end = given > 0 ? given : walk->count;
    double least = infinity<double>();
    for (i64 first = begin; first < end; first += side) {
        const i64 c = first + threadIdx.x / width;
        const S* center = c < end ? centers + (chosen ? chosen[c] : c) * d : nullptr;
        T square = canon_of_lanes(center, scale, anchors + blockIdx.x * d, T(1), d, width);
        if (c < end) least = min(least, sqrt((double)square));
    }
    least = block_reduce(least, Least());
    if (threadIdx.x == 0) delta[blockIdx.x] = min(delta[blockIdx.x], least);
}

// squares[n] to the anchors labels[n], delta[] -> bound[n], (|x - a| + delta_a)^2 and a little more for the rounding, or what it
// was where that is less, and its sums. One block of 256 threads for 1024 rows.
template <class T>
__global__ void bounds_of_anchors(const T* squares, const u8* labels, const double* delta, T* bound, double* groups,
                                  double* blocks, const double* weights, const Walk* walk, i64 n, i64 given,
                                  double inflation) {
    __shared__ double mass[GROUPS * (GROUP + 1)];
    if (!approach_is_due(walk, given)) return;
    const Envelope<T> envelope = {bound, groups, blocks, nullptr, weights};
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < n; block += gridDim.x) {
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            const i64 i = block * BLOCK_ROWS + r;
            T value = T(0);
            if (i < n) {
                double reach = sqrt((double)squares[i]) + delta[labels[i]];
                value = (T)(reach * reach * inflation);
                if (given == 0 && !(value < bound[i])) value = bound[i];
                bound[i] = value;
            }
            mass[r + r / GROUP] = i < n ? (weights ? weights[i] : 1.0) * (double)value : 0.0;
        }
        sum_rows(envelope, mass, block, n);
        __syncthreads();
    }
}

// Adds the sums of the blocks up after such bounds. No centre counts as seen by the first. One block of 256 threads.
__global__ void finish_approach(const double* blocks, double* prefix, Walk* walk, i64 count, i64 given) {
    if (!approach_is_due(walk, given)) return;
    const double total = add_up(blocks, prefix, count);
    if (threadIdx.x > 0) return;
    walk->total = total;
    if (given > 0) {
        walk->first_total = total;
        walk->refreshed = 0;
        return;
    }
    walk->approached = walk->count;
    for (int i = 0; i < 3; ++i) walk->recent[i][0] = walk->recent[i][1] = 0;
}

// What the host reads after some batches of draws for given centres, in device memory.
struct Sample {
    i64 first;  // the number of the next proposal
    i64 found;  // rows so far
    i64 done;   // whether these are enough (1), or a pass over the rows has to give them (2)
};

// --- The potential -----------------------------------------------------------------------------------------------------------

// rows[count], drawn in proportion to the envelope by the random numbers from `first` on. One warp a row.
template <class T>
__global__ void draw_rows(T* bound, double* groups, double* blocks, double* prefix, const double* weights, const Walk* walk,
                          u32* rows, i64 seed, i64 stream, i64 first, i64 n, i64 count) {
    if (!(walk->total > 0.0)) return;
    const Envelope<T> envelope = {bound, groups, blocks, prefix, weights};
    for (i64 t = thread_in_grid() / WARP; t < count; t += threads_in_grid() / WARP) {
        i64 row = row_at(envelope, n, walk->total, random_uniform((u64)seed, (u64)stream, (u64)(first + t)));
        if (lane_of() == 0) rows[t] = (u32)row;
    }
}

// The squares of the distances of rows[count] of x to the nearest of the centres: the first `number` of `centers`, or rows
// chosen[] of it; nothing for a `sample` that is done. TILE_THREADS threads, a tile of rows a block.
template <class S>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    squares_of_rows(const S* x, const u32* rows, const S* centers, const i64* chosen, const Walk* walk, const Sample* sample,
                    typename Computed<S>::Number* squares, i64 count, i64 number, i64 d) {
    typedef typename Computed<S>::Number T;
    __shared__ Panels<T> panels;
    if (!(walk->total > 0.0) || (sample && sample->done)) return;
    const T scale = scale_of<T>(&walk->range);
    for (i64 first = (i64)blockIdx.x * TILE; first < count; first += (i64)gridDim.x * TILE) {
        auto row_at = [&](int r) { return first + r < count ? x + (i64)rows[first + r] * d : nullptr; };
        auto center_at = [&](i64 c) { return centers + (chosen ? chosen[c] : c) * d; };
        T square = nearest_of_tile(panels, row_at, center_at, 0, chosen ? walk->count : number, d, scale).square;
        if (threadIdx.x < TILE && first + threadIdx.x < count) squares[first + threadIdx.x] = square;
    }
}

#define MOST_DRAWS 1024

// squares[count] and bounds of rows[count] -> the estimate of the potential in the scale one and its standard error; count is at
// most MOST_DRAWS. One block; the additions are one thread's, in order.
template <class T>
__global__ void estimate_potential(const T* squares, const T* bound, const u32* rows, const Walk* walk, double* told,
                                   i64 count) {
    __shared__ double ratio[MOST_DRAWS];
    const bool any = walk->total > 0.0;
    for (int t = threadIdx.x; any && t < count; t += blockDim.x) ratio[t] = (double)squares[t] / (double)bound[rows[t]];
    __syncthreads();
    if (threadIdx.x > 0) return;
    told[0] = told[1] = 0.0;
    if (!any) return;
    double sum = 0.0, variance = 0.0;
    for (int t = 0; t < count; ++t) sum += ratio[t];
    const double mean = sum / (double)count, scale = (double)scale_of<T>(&walk->range);
    for (int t = 0; t < count; ++t) variance += (ratio[t] - mean) * (ratio[t] - mean);
    variance /= (double)(max(count, (i64)2) - 1);
    const double unit = walk->total / (scale * scale);
    told[0] = unit * mean;
    told[1] = unit * sqrt(variance / (double)count);
}

// --- Draws for given centres -------------------------------------------------------------------------------------------------

// rows[MOST_PROPOSALS] and their limits. One warp a proposal.
template <class T>
__global__ void propose_samples(T* bound, double* groups, double* blocks, double* prefix, const double* weights,
                                const Walk* walk, const Sample* sample, u32* rows, double* limits, i64 seed, i64 stream,
                                i64 accept, i64 n) {
    if (!(walk->total > 0.0) || sample->done) return;
    const Envelope<T> envelope = {bound, groups, blocks, prefix, weights};
    for (i64 t = thread_in_grid() / WARP; t < MOST_PROPOSALS; t += threads_in_grid() / WARP) {
        u64 number = (u64)(sample->first + t);
        i64 row = row_at(envelope, n, walk->total, random_uniform((u64)seed, (u64)stream, number));
        if (lane_of() > 0) continue;
        rows[t] = (u32)row;
        limits[t] = random_uniform((u64)seed, (u64)accept, number) * (double)bound[row];
    }
}

// Appends the proposals that no centre rejects to taken[size]; after more than `rate` proposals a row a pass is cheaper. One block
// of 256 threads.
template <class T>
__global__ void keep_samples(const T* squares, const u32* rows, const double* limits, const Walk* walk, Sample* sample,
                             i64* taken, i64 size, i64 rate) {
    const int items = MOST_PROPOSALS / 256, first = threadIdx.x * items;
    const i64 found = sample->found, done = sample->done;
    __syncthreads();
    if (!(walk->total > 0.0) && threadIdx.x == 0) sample->done = 2;
    if (done || !(walk->total > 0.0)) return;
    u32 mine = 0, total;
    for (int e = 0; e < items; ++e) mine += !((double)squares[first + e] <= limits[first + e]);
    i64 at = found + block_scan(mine, total);
    for (int e = 0; e < items; ++e) {
        if ((double)squares[first + e] <= limits[first + e]) continue;
        if (at < size) taken[at] = rows[first + e];
        ++at;
    }
    if (threadIdx.x > 0) return;
    sample->found = min(found + total, size);
    sample->first += MOST_PROPOSALS;
    sample->done = sample->first > rate * (sample->found + MOST_PROPOSALS) ? 2 : sample->found == size;
}
