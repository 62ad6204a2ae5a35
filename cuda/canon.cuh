// The canonical squared distance |scale x - c|^2, as rust/core/src/lanes.rs bit for bit: accumulators of 64 bytes together,
// lane l takes the coordinates j = l (mod lanes) in increasing j, then a fixed tree of halves. Every kernel of seeding decides
// by this one number, so that nothing has to be measured twice.
//
// One distance is the work of a few lanes of a warp (`canon_of_lanes`); many are that of a block, tile by tile (`Tile`).
#pragma once
#include "block.cuh"

template <class T> struct Lanes {
    static const int COUNT = 64 / (int)sizeof(T);
    static const int OWN = 16 / (int)sizeof(T);  // those of one thread of a tile
};

__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }

template <class T> __device__ __forceinline__ bool is_finite(T x) { return x - x == T(0); }

// --- The scale ---------------------------------------------------------------------------------------------------------

// What decides about the power of two that keeps squares in range; in device memory, zeros at the beginning.
struct Range {
    u64 worst;  // bits of the largest finite square of the scale one, as a double
    u64 reach;  // bits of the largest difference of a coordinate to that of the reference, as a double
    u32 open;   // whether a square was not finite
    u32 bad;    // whether a coordinate of a centre, or of any row where all must be finite, is not finite
};

template <class T> __device__ __forceinline__ int safe_exponent() { return sizeof(T) == 4 ? 100 : 1000; }

__device__ __forceinline__ double power_of_two_double(int exponent) {
    return number_of((u64)(exponent + 1023) << 52);
}

// Whether the squares of the scale one cannot be used.
template <class T> __device__ __forceinline__ bool out_of_range(const Range* range) {
    double worst = number_of(range->worst);
    return range->open || worst < power_of_two_double(-safe_exponent<T>()) ||
           worst > power_of_two_double(safe_exponent<T>());
}

// The power of two that brings `reach` near one; one where nothing is known to be out of range.
template <class T> __device__ __forceinline__ T scale_of(const Range* range) {
    double reach = number_of(range->reach);
    if (!out_of_range<T>(range) || !(reach > 0.0)) return T(1);
    int exponent = (int)(range->reach >> 52) - 1023;
    if (exponent == -1023) exponent = -1011 - __clzll((i64)range->reach);  // subnormal
    int most = min(safe_exponent<T>(), 1000);
    return (T)power_of_two_double(max(-most, min(most, -exponent)));
}

// --- One distance ------------------------------------------------------------------------------------------------------

// Lanes that share a distance in d dimensions: a power of two.
template <class T> __device__ __forceinline__ int lanes_for(i64 d) {
    int width = 1;
    while (width < Lanes<T>::COUNT && width < d) width *= 2;
    return width;
}

// The distance of a row times `scale` to a centre times `own`; `width` neighbouring lanes of the warp share it, all get it, and
// all lanes of the warp call. Where `row` is null nothing is read.
template <class S, class C, class T>
__device__ __forceinline__ T canon_of_lanes(const S* row, T scale, const C* center, T own, i64 d, int width) {
    const int lane = lane_of() & (width - 1);
    T sum = T(0);
    if (row) {
#pragma unroll 4
        for (i64 j = lane; j < d; j += width) {
            T difference = fused(load(row[j]), scale, -(load(center[j]) * own));
            sum = fused(difference, difference, sum);
        }
    }
    for (int half = width / 2; half > 0; half /= 2) sum += __shfl_xor_sync(FULL, sum, half);
    return sum;
}

// The same of two rows as they are stored.
template <class S, class T>
__device__ __forceinline__ T canon_of_lanes(const S* row, const S* center, i64 d, T scale, int width) {
    return canon_of_lanes(row, scale, center, scale, d, width);
}

// --- Tiles -------------------------------------------------------------------------------------------------------------

#define TILE 32           // rows of a tile, and centres
#define TILE_THREADS 256  // of the block: four threads share 4 x 4 distances, each has a quarter of the lanes
#define DEPTH 4           // pieces of 64 bytes of each row that are held at a time

// What a block holds of the rows and of the centres of a tile: lanes side by side, so that reads meet in no bank.
template <class T> struct __align__(16) Panels {
    T row[DEPTH][TILE][Lanes<T>::COUNT];
    T center[DEPTH][TILE][Lanes<T>::COUNT];
};

template <class T> struct __align__(16) Quarter {
    T x[Lanes<T>::OWN];
};

// The place of a thread in a tile: its quarter, its rows `row + 8 i` and its centres `center + 8 j`, i and j below 4.
struct Seat {
    int quarter, row, center;
};
__device__ __forceinline__ Seat seat() {
    int t = threadIdx.x, warp = t / WARP;
    return {t & 3, (warp >> 1) * 2 + (t >> 4 & 1), (warp & 1) * 4 + (t >> 2 & 3)};
}

// Reads a piece of TILE rows; `at(r)` is where row r begins, null for none, and coordinates are multiplied by `scale`.
template <class T, class At>
__device__ __forceinline__ void fill(T (*panel)[TILE][Lanes<T>::COUNT], At at, i64 first, i64 d, T scale) {
    const int lanes = Lanes<T>::COUNT, run = DEPTH * lanes;
    for (int e = threadIdx.x; e < TILE * run; e += blockDim.x) {
        int r = e / run, j = e % run;
        auto row = at(r);
        panel[j / lanes][r][j % lanes] = row && first + j < d ? load(row[first + j]) * scale : T(0);
    }
}

// The distances of a tile: `out[j]` is that of row `row + 8 quarter` to centre `center + 8 j` of the seat. All threads of the
// block call. `row_at` and `center_at` as in `fill`.
template <class T, class RowAt, class CenterAt>
__device__ void tile_distances(Panels<T>& panels, RowAt row_at, CenterAt center_at, i64 d, T scale, T out[4]) {
    const int own = Lanes<T>::OWN;
    const Seat me = seat();
    T sum[4][4][own];
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
            for (int e = 0; e < own; ++e) sum[i][j][e] = T(0);
    for (i64 first = 0; first < d; first += DEPTH * Lanes<T>::COUNT) {
        __syncthreads();
        fill(panels.row, row_at, first, d, T(1));
        fill(panels.center, center_at, first, d, scale);
        __syncthreads();
        int pieces = (int)min((d - first + Lanes<T>::COUNT - 1) / Lanes<T>::COUNT, (i64)DEPTH);
        for (int p = 0; p < pieces; ++p) {
            Quarter<T> row[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) row[i] = ((Quarter<T>*)panels.row[p][me.row + 8 * i])[me.quarter];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                Quarter<T> center = ((Quarter<T>*)panels.center[p][me.center + 8 * j])[me.quarter];
#pragma unroll
                for (int i = 0; i < 4; ++i)
#pragma unroll
                    for (int e = 0; e < own; ++e) {
                        T difference = fused(row[i].x[e], scale, -center.x[e]);
                        sum[i][j][e] = fused(difference, difference, sum[i][j][e]);
                    }
            }
        }
    }
    // The tree of halves: threads of a quad exchange lanes, and each keeps half of the rows that it had.
    const bool upper = me.quarter & 2, odd = me.quarter & 1;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        T lane[own];
#pragma unroll
        for (int e = 0; e < own; ++e) {
            T kept[2];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                T given = upper ? sum[i][j][e] : sum[i + 2][j][e];
                kept[i] = (upper ? sum[i + 2][j][e] : sum[i][j][e]) + __shfl_xor_sync(FULL, given, 2);
            }
            lane[e] = (odd ? kept[1] : kept[0]) + __shfl_xor_sync(FULL, odd ? kept[0] : kept[1], 1);
        }
        out[j] = own == 4 ? (lane[0] + lane[own - 2]) + (lane[1] + lane[own - 1]) : lane[0] + lane[1];
    }
}

// The nearest centre of each row of a tile: strictly nearer than what was known, the lower number among equals.
template <class T> struct Nearest {
    T square;
    u32 center;
};
#define NO_CENTER 0xFFFFFFFFu

template <class T> __device__ __forceinline__ bool nearer(Nearest<T> a, Nearest<T> b) {
    return a.square < b.square || (a.square == b.square && a.center < b.center);
}

// Goes through the centres `first .. end` and gives the thread of row `threadIdx.x` (below TILE) the nearest; infinity and
// NO_CENTER where no square is finite. All threads of the block call. `center_at(c)` is where centre c begins.
template <class T, class RowAt, class CenterAt>
__device__ Nearest<T> nearest_of_tile(Panels<T>& panels, RowAt row_at, CenterAt center_at, i64 first, i64 end, i64 d,
                                      T scale) {
    __shared__ Nearest<T> found[TILE][8];
    const Seat me = seat();
    Nearest<T> best = {infinity<T>(), NO_CENTER};
    for (i64 c = first; c < end; c += TILE) {
        T square[4];
        auto here = [&](int r) { return c + r < end ? center_at(c + r) : decltype(center_at(c))(0); };
        tile_distances(panels, row_at, here, d, scale, square);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            i64 center = c + me.center + 8 * j;
            if (center < end && square[j] < best.square) best = {square[j], (u32)center};
        }
    }
    found[me.row + 8 * me.quarter][me.center] = best;
    __syncthreads();
    if (threadIdx.x < TILE) {
        best = found[threadIdx.x][0];
        for (int j = 1; j < 8; ++j) best = nearer(found[threadIdx.x][j], best) ? found[threadIdx.x][j] : best;
    }
    __syncthreads();
    return best;
}
