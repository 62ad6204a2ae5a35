// The kernels of `argrad.selection.sensitivity_sample` and `training_weights`: clusters along a chain, rows by cluster and distance, scores and the
// probabilities made of them, as the host bit for bit (powers of distances other than 1/2, 1 and 2 up to rounding).
#include "canon.cuh"

#define BLOCK_ROWS 1024  // rows that are summed one after the other

// --- The chain of centres ------------------------------------------------------------------------------------------------

// The power of two that brings the largest coordinate, whose bits as a double are `reach`, near one.
template <class T> __device__ __forceinline__ T chain_scale(u64 reach) {
    if (reach == 0) return T(1);
    int exponent = (int)(reach >> 52) - 1023;
    if (exponent == -1023) exponent = -1011 - __clzll((i64)reach);  // subnormal
    const int most = safe_exponent<T>();
    return (T)power_of_two_double(max(-most, min(most, -exponent)));
}

// centers[count] -> reach[1], the bits of the largest size of a coordinate. One thread an item.
template <class S> __global__ void center_reach(const S* centers, u64* reach, i64 count) {
    double largest = 0.0;
    for (i64 i = thread_in_grid(); i < count; i += threads_in_grid())
        largest = Largest()(largest, fabs((double)load(centers[i])));
    largest = block_reduce(largest, Largest());
    if (threadIdx.x == 0) atomicMax(reach, bits_of(largest));
}

// centers[k][d] -> squares[k][k], the scaled distances of all (second index) to one (first). A block of TILE_THREADS threads for
// TILE x TILE of them; 2 k^2 d operations.
template <class S>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    center_distances(const S* centers, const u64* reach, typename Computed<S>::Number* squares, i64 k, i64 d) {
    typedef typename Computed<S>::Number T;
    __shared__ Panels<T> panels;
    const T scale = chain_scale<T>(reach[0]);
    const i64 tiles = (k + TILE - 1) / TILE;
    const Seat me = seat();
    for (i64 tile = blockIdx.x; tile < tiles * tiles; tile += gridDim.x) {
        const i64 rows = tile / tiles * TILE, columns = tile % tiles * TILE;
        auto row_at = [&](int r) { return rows + r < k ? centers + (rows + r) * d : nullptr; };
        auto center_at = [&](int r) { return columns + r < k ? centers + (columns + r) * d : nullptr; };
        T square[4];
        tile_distances(panels, row_at, center_at, d, scale, square);
        const i64 row = rows + me.row + 8 * me.quarter;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            i64 center = columns + me.center + 8 * j;
            if (row < k && center < k) squares[center * k + row] = square[j];
        }
    }
}

// The centres from the first on, each followed by the nearest of those that are left, the lower number among equals:
// order[k], taken[k] zeros at the beginning. Where squares[k][k] is null, distances are computed here. One block of 1024 threads;
// k steps of some microseconds, and k^2 d operations at the speed of one multiprocessor without squares.
template <class S>
__global__ void __launch_bounds__(1024)
    chain_centers(const S* centers, const u64* reach, const typename Computed<S>::Number* squares, u8* taken, i64* order,
                  i64 k, i64 d) {
    typedef typename Computed<S>::Number T;
    const T scale = chain_scale<T>(reach[0]);
    const int width = squares ? 1 : lanes_for<T>(d), group = threadIdx.x / width, groups = blockDim.x / width;
    i64 here = 0;
    for (i64 step = 0; step < k; ++step) {
        if (threadIdx.x == 0) {
            order[step] = here;
            taken[here] = 1;
        }
        __syncthreads();
        T nearest = infinity<T>();
        u64 next = ~0ull;
        for (i64 base = 0; base < k; base += groups) {
            const i64 c = base + group;
            const bool left = c < k && !taken[c];
            T square;
            if (squares) square = left ? squares[here * k + c] : infinity<T>();
            else square = canon_of_lanes(left ? centers + c * d : nullptr, centers + here * d, d, scale, width);
            if (left && (square < nearest || next == ~0ull)) {
                nearest = square;
                next = (u64)c;
            }
        }
        T least = block_reduce(next == ~0ull ? infinity<T>() : nearest, Least());
        here = (i64)block_reduce(nearest == least ? next : ~0ull, Least());
    }
}

// --- Rows by cluster -----------------------------------------------------------------------------------------------------

// distances[n] -> spread[n], their powers z, and keys[n] in the order of these. One thread a row.
template <class S> __global__ void spread_rows(const S* distances, double* spread, u64* keys, i64 n, double z) {
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid()) {
        double x = (double)load(distances[i]);
        spread[i] = z == 2.0 ? x * x : z == 1.0 ? x : z == 0.5 ? sqrt(x) : pow(x, z);
        keys[i] = bits_of(spread[i]);  // those of numbers >= 0 ascend with the numbers
    }
}

// The label of each row of places[n] (of each row in order, where null) -> keys[n]; k for a row of weight zero. One thread a row.
__global__ void label_keys(const i64* labels, const double* weights, const u32* places, u32* keys, i64 n, i64 k) {
    for (i64 j = thread_in_grid(); j < n; j += threads_in_grid()) {
        i64 row = places ? places[j] : j;
        keys[j] = (u32)(weights && !(weights[row] > 0.0) ? k : labels[row]);
    }
}

// Sorted keys[n] and places[n] -> order[n], and starts[k + 1], where each label begins; starts[k] is the number of rows that
// count. One thread a row.
__global__ void finish_order(const u32* keys, const u32* places, i64* order, i64* starts, i64 n, i64 k) {
    for (i64 j = thread_in_grid(); j <= n; j += threads_in_grid()) {
        if (j < n) order[j] = places[j];
        const i64 first = j > 0 ? (i64)keys[j - 1] + 1 : 0, last = j < n ? (i64)keys[j] : k;
        for (i64 label = first; label <= last; ++label) starts[label] = j;
    }
}

// weights[n], rows by cluster (each in the order of the rows), starts[k + 1] -> mass[k], added row after row. A warp a cluster.
__global__ void cluster_masses(const double* weights, const u32* rows, const i64* starts, double* mass, i64 k) {
    for (i64 cluster = thread_in_grid() / WARP; cluster < k; cluster += threads_in_grid() / WARP) {
        const i64 end = starts[cluster + 1];
        double sum = 0.0;
        for (i64 first = starts[cluster]; first < end; first += WARP) {
            double own = first + lane_of() < end ? weights[rows[first + lane_of()]] : 0.0;
#pragma unroll
            for (int lane = 0; lane < WARP; ++lane) sum += __shfl_sync(FULL, own, lane);
        }
        if (lane_of() == 0) mass[cluster] = sum;
    }
}

// --- Scores --------------------------------------------------------------------------------------------------------------

// held[lists][BLOCK_ROWS], in shared memory -> sums[lists][blocks], each added one after the other by a thread of another warp.
template <int LISTS>
__device__ __forceinline__ void sum_lists(const double (*held)[BLOCK_ROWS], double* sums, i64 block, i64 blocks) {
    __syncthreads();
    const int list = warp_of();
    if (list < LISTS && lane_of() == 0) {
        double sum = 0.0;
#pragma unroll 8
        for (int r = 0; r < BLOCK_ROWS; ++r) sum += held[list][r];
        sums[list * blocks + block] = sum;
    }
    __syncthreads();
}

// spread[n] and labels[n], weights[n] or null, values[k], holders[k] or null for `holder` in all -> scores[n] =
// a (lhat + Lambda v), and sums[2][ceil(n / 1024)] of them and of a Lambda v. One block of 256 threads for 1024 rows.
__global__ void score_rows(const double* spread, const i64* labels, const double* weights, const double* values,
                           const double* holders, double* scores, double* sums, i64 n, double holder) {
    __shared__ double held[2][BLOCK_ROWS];
    const i64 blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (i64 block = blockIdx.x; block < blocks; block += gridDim.x) {
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            const i64 i = block * BLOCK_ROWS + r;
            double cost = 0.0, score = 0.0;
            if (i < n) {
                cost = spread[i] * (holders ? holders[labels[i]] : holder);
                score = cost + values[labels[i]];
                if (weights) {
                    score *= weights[i];
                    cost *= weights[i];
                }
                scores[i] = score;
            }
            held[0][r] = score;
            held[1][r] = cost;
        }
        sum_lists<2>(held, sums, block, blocks);
    }
}

// values[n], cut at `limit`, -> clipped[n] (null for none) and sums[2][ceil(n / 1024)] of them and of their squares. One block of
// 256 threads for 1024 rows; one read.
__global__ void sum_values(const double* values, double* clipped, double* sums, i64 n, double limit) {
    __shared__ double held[2][BLOCK_ROWS];
    const i64 blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (i64 block = blockIdx.x; block < blocks; block += gridDim.x) {
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            const i64 i = block * BLOCK_ROWS + r;
            double value = i < n ? values[i] : 0.0;
            value = value < limit ? value : limit;
            if (clipped && i < n) clipped[i] = value;
            held[0][r] = value;
            held[1][r] = value * value;
        }
        sum_lists<2>(held, sums, block, blocks);
    }
}

// sums[2][count] -> totals[2]. One block of 256 threads.
__global__ void add_totals(const double* sums, double* totals, i64 count) {
    __shared__ double held[2][BLOCK_ROWS];
    double total = 0.0;
    for (i64 first = 0; first < count; first += BLOCK_ROWS) {
        for (int i = threadIdx.x; i < 2 * BLOCK_ROWS; i += blockDim.x) {
            const i64 at = first + i % BLOCK_ROWS;
            held[i / BLOCK_ROWS][i % BLOCK_ROWS] = at < count ? sums[i / BLOCK_ROWS * count + at] : 0.0;
        }
        __syncthreads();
        if (warp_of() < 2 && lane_of() == 0)
            for (int r = 0; r < BLOCK_ROWS; ++r) total += held[warp_of()][r];
        __syncthreads();
    }
    if (warp_of() < 2 && lane_of() == 0) totals[warp_of()] = total;
}

// scores[n] become factor score + mix uniform, the latter weights[n] / mass or 1 / mass. One thread a row.
__global__ void mix_rows(double* scores, const double* weights, i64 n, double factor, double mix, double mass) {
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid())
        scores[i] = scores[i] * factor + mix * ((weights ? weights[i] : 1.0) / mass);
}
