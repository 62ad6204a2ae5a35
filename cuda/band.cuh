// NeuralSort's matrix in sorted order as a band that is never formed: see rust/core/src/sorting/neuralsort/bands.rs. With the
// scores s of a list in decreasing order and gap(k) = (s_k - s_(k+1)) / t, its rows are K = exp(-level) over their sums, where
//
//     level(i, i + m) = 1 gap(i) + 3 gap(i + 1) + ... + (2m - 1) gap(i + m - 1)        likewise to the left
//
// grows away from the diagonal: a row ends where the level has passed a cut. A thread walks a row, or a column, from its
// diagonal outwards, so that a warp reads consecutive numbers. Elements are of a type E, sums of a type N: float and double,
// double and double, or dual numbers.
#pragma once
#include "scans.cuh"

// The band of one list, in the memory of a block.
template <class E, class N> struct Band {
    i32 count;
    double cut;
    N* gaps;  // [count], the last one unused

    // Enters scores, not increasing. Equal infinities are tied.
    template <class Score> __device__ void enter(i32 n, N temperature, double where_to_cut, Score score) {
        count = n, cut = where_to_cut;
        for (i32 k = threadIdx.x; k < n; k += blockDim.x) {
            N here = score(k), next = k + 1 < n ? score(k + 1) : here;
            gaps[k] = value_of(here) == value_of(next) && !(fabs(value_of(here)) < infinity<double>())
                          ? constant<N>(0.0)
                          : (here - next) / temperature;
        }
        __syncthreads();
    }

    // Calls `visit(j, e, level)` for the elements of row i, or with COLUMNS of column i, that are before the cut, but for the
    // diagonal, which is 1; `flush()` after every eighth and at both ends.
    template <bool COLUMNS, class Visit, class Flush>
    __device__ __forceinline__ void walk(i32 i, Visit visit, Flush flush) const {
#pragma unroll
        for (int down = 0; down < 2; ++down) {
            N level = constant<N>(0.0), drop = level;
            const i32 most = down ? count - 1 - i : i;
            for (i32 m = 1; m <= most; ++m) {
                const N gap = gaps[down ? i + m - 1 : i - m];
                if (COLUMNS) {
                    N next = drop + gap;
                    level = level + drop + next;
                    drop = next;
                } else {
                    level = level + constant<N>(2 * m - 1) * gap;
                }
                if (!(value_of(level) < cut)) break;
                const E shown = Narrow<E>::of(level);
                visit(down ? i + m : i - m, decay_of(shown), shown);
                if (m % 8 == 0) flush();
            }
            flush();
        }
    }

    // Calls `out(i, sums, norm)` for every row (column): the sums of C columns x[C][count] and that of ones.
    template <bool COLUMNS, int C, class Out> __device__ void multiply(const E* x, Out out) const {
        const E zero = constant<E>(0.0);
        const i32 n = count;
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
            N sums[C], norm = constant<N>(1.0);
            E part[C], ones = zero;
#pragma unroll
            for (int c = 0; c < C; ++c) sums[c] = wide_of(x[(i64)c * n + i]), part[c] = zero;
            walk<COLUMNS>(
                i,
                [&](i32 j, E e, E) {
                    ones = ones + e;
#pragma unroll
                    for (int c = 0; c < C; ++c) part[c] = part[c] + e * x[(i64)c * n + j];
                },
                [&]() {
                    norm = norm + wide_of(ones), ones = zero;
#pragma unroll
                    for (int c = 0; c < C; ++c) sums[c] = sums[c] + wide_of(part[c]), part[c] = zero;
                });
            out(i, sums, norm);
        }
        __syncthreads();
    }

    // out = 1 / K x, or 1 / K^T x with COLUMNS.
    template <bool COLUMNS> __device__ void invert(const E* x, E* out) const {
        multiply<COLUMNS, 1>(x, [=](i32 i, const N* sums, N) { out[i] = Narrow<E>::of(constant<N>(1.0) / sums[0]); });
    }
};

// Fills `to` with the exclusive sums of `x`, and `to[count]` with that of all.
template <class N> __device__ void sum_before(i32 count, const N* x, N* to) {
    const N one = constant<N>(1.0);
    scan_side<N, 1>(
        count, [=](i32) { return one; }, [=](i32 i, N* here) { here[0] = x[i]; },
        [=](i32 i, const N* side, const N* here) {
            to[i] = side[0];
            if (i + 1 == count) to[count] = side[0] + here[0];
        });
}
