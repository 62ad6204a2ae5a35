// Products with LapSum's doubly stochastic matrix: the formulas are those of rust/core/src/sorting/laplace_product.rs. One
// block takes one list at a time.
#include "roots.cuh"

// What the memory of a block holds beside links and points.
template <class N> struct Products {
    N *mean, *push;           // [count]
    N *left, *right, *between;  // [count][W]

    __device__ Products(Room& room, i64 n, i64 wide) {
        mean = room.take<N>(n), push = room.take<N>(n);
        left = room.take<N>(n * wide), right = room.take<N>(n * wide), between = room.take<N>(n * wide);
    }
};

// Hands out (P v)_r and A + B for every rank: `out(r, sums, whole)`, W entries each.
template <class N, int W, class V, class Out>
__device__ void to_ranks(const Links<N>& links, const Roots<N>& roots, const Products<N>& memory, V v, Out out) {
    const N *left = memory.left, *right = memory.right, *between = memory.between;
    const N zero = constant<N>(0.0), half = constant<N>(0.5);
    const i32 n = links.count;
    links.template sides<W>(v, memory.left, memory.right);
    roots.template gather<W>(v, memory.between);
    for (i32 r = threadIdx.x; r < n; r += blockDim.x) {
        N sums[W], whole[W];
#pragma unroll
        for (int w = 0; w < W; ++w) sums[w] = between[(i64)r * W + w], whole[w] = zero;
        // What the point before takes off, then what this one does.
        for (int p = 1; p >= 0; --p) {
            if (r < p) continue;
            const i32 at = roots.at[r - p];
            N below[W], above[W];
            if (at > 0) v(at - 1, below);
            if (at < n) v(at, above);
#pragma unroll
            for (int w = 0; w < W; ++w) {
                N a = at > 0 ? roots.below[r - p] * (left[(i64)(at - 1) * W + w] + below[w]) : zero;
                N b = at < n ? roots.above[r - p] * (right[(i64)at * W + w] + above[w]) : zero;
                N bend = half * (a - b);
                sums[w] = p == 1 ? sums[w] + bend : sums[w] - bend;
                if (p == 0) whole[w] = a + b;
            }
        }
        out(r, sums, whole);
    }
    __syncthreads();
}

// Calls `out(i, left, right, first)` for every item: the sums over the points below and above it, W entries each, and the first
// point above, or the last rank.
template <class N, int W, class E, class Out>
__device__ void to_items(const Links<N>& links, const Roots<N>& roots, const Products<N>& memory, E e, Out out) {
    const i32 n = links.count;
    roots.template scatter<W>(links, n - 1, e, memory.left, memory.right);
    for (i32 i = threadIdx.x; i < n; i += blockDim.x)
        out(i, memory.left + (i64)i * W, memory.right + (i64)i * W, min(roots.points[i], n - 1));
    __syncthreads();
}

// The columns that a block scans at once where there are several.
#define LAPLACE_COLUMNS 4

// The product of one list with columns c .. c + W of v[.][m].
template <int W, class T>
__device__ void multiply(const Links<double>& links, const Roots<double>& roots, const Products<double>& memory,
                         const i32* order, const T* v, T* y, i64 m, i64 c, bool transposed) {
    if (!transposed) {
        to_ranks<double, W>(
            links, roots, memory,
            [=](i32 i, double* here) {
#pragma unroll
                for (int w = 0; w < W; ++w) here[w] = c + w < m ? (double)v[order[i] * m + c + w] : 0.0;
            },
            [=](i32 r, const double* sums, const double*) {
                for (int w = 0; w < W && c + w < m; ++w) y[r * m + c + w] = (T)sums[w];
            });
        return;
    }
    auto u = [=](i32 r, int w) { return (double)v[r * m + c + w]; };
    to_items<double, W>(
        links, roots, memory,
        [=](i32 r, double* here) {
#pragma unroll
            for (int w = 0; w < W; ++w) here[w] = c + w < m ? u(r, w) - u(r + 1, w) : 0.0;
        },
        [=](i32 i, const double* left, const double* right, i32 first) {
            for (int w = 0; w < W && c + w < m; ++w)
                y[order[i] * m + c + w] = (T)(u(first, w) + 0.5 * (left[w] - right[w]));
        });
}

// As `softsort_product`. Four scans of a list (transposed two) for every LAPLACE_COLUMNS columns.
template <class T>
__global__ void laplace_product(const T* x, const T* v, const T* temperature, const i32* places, const i64* offsets,
                                i64 stride, i64 per_row, i64 n, i64 lists, i64 m, i64 transposed, T* y, u8* scratch,
                                i64 bytes, u32* fault) {
    DYNAMIC_SHARED(memory);
    const Lists batch = {offsets, n, per_row, stride};
    Room room = room_of(scratch, bytes, memory);
    Links<double> links;
    links.take(room, n);
    Roots<double> roots;
    roots.take(room, n);
    const Products<double> sums(room, n, m == 1 ? 1 : LAPLACE_COLUMNS);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Sorted<T> sorted(batch, list, x, places, temperature, fault);
        const i32* order = sorted.order;
        const T *scores = x + sorted.at.start, *from = v + sorted.at.start * m;
        T* to = y + sorted.at.start * m;
        const i64 step = (i64)gridDim.y * LAPLACE_COLUMNS;
        if (!sorted.spoilt && sorted.count > 0) {
            links.join(sorted.count, sorted.temperature, [=](i32 i) { return (double)scores[order[i]]; });
            roots.solve(links, 1.0, sums.left, sums.right);
        }
        for (i64 c = (i64)blockIdx.y * LAPLACE_COLUMNS; c < m && sorted.count > 0; c += step) {
            if (sorted.spoilt) {
                for (i32 i = threadIdx.x; i < sorted.count; i += blockDim.x)
                    for (i64 k = c; k < min(c + LAPLACE_COLUMNS, m); ++k)
                        to[(transposed ? order[i] : i) * m + k] = not_a_number<T>();
            } else if (m == 1) {
                multiply<1>(links, roots, sums, order, from, to, m, c, transposed != 0);
            } else {
                multiply<LAPLACE_COLUMNS>(links, roots, sums, order, from, to, m, c, transposed != 0);
            }
        }
        __syncthreads();
    }
}

// The derivatives of one list: fills `push`, hands out the entries of both products.
template <class N, int W, class Item, class Rank, class ToRank, class ToItem>
__device__ void laplace_forces(const Links<N>& links, Roots<N>& roots, const Products<N>& memory, i64 m, Item item,
                               Rank rank, ToRank to_rank, ToItem to_item) {
    const N half = constant<N>(0.5), one = constant<N>(1.0);
    N *mean = memory.mean, *push = memory.push, *weight = roots.weight;
    const i32 n = links.count;
    roots.solve(links, 1.0, memory.left, memory.right);
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) mean[i] = push[i] = constant<N>(0.0);
    for (i64 k = 0; k <= m; k += W) {
        to_ranks<N, W>(
            links, roots, memory,
            [=](i32 i, N* to) { extend<N, W>(k, m, one, [=](i64 c) { return item(i, c); }, to); },
            [=](i32 r, const N* sums, const N* whole) {
                for (int w = k == 0; w < W && k + w <= m; ++w) {
                    const i64 c = k + w - 1;
                    to_rank(r, c, sums[w]);
                    if (r + 1 < n && value_of(weight[r]) != 0.0)
                        mean[r] += (rank(r, c) - rank(r + 1, c)) * half * (whole[w] / weight[r]);
                }
            });
    }
    for (i64 k = 0; k <= m; k += W) {
        to_items<N, W>(
            links, roots, memory,
            [=](i32 r, N* to) {
                extend<N, W>(k, m, -mean[r], [=](i64 c) { return rank(r, c) - rank(r + 1, c); }, to);
            },
            [=](i32 i, const N* left, const N* right, i32 first) {
                N v[W];
                extend<N, W>(k, m, one, [=](i64 c) { return item(i, c); }, v);
#pragma unroll
                for (int w = 0; w < W; ++w) {
                    push[i] += half * v[w] * (left[w] + right[w]);
                    const i64 c = k + w - 1;
                    if (c >= 0 && c < m) to_item(i, c, rank(first, c) + half * (left[w] - right[w]));
                }
            });
    }
}

// What the kernels of both derivatives do; see there.
template <class N, class T>
__device__ void laplace_derive(Moving<T> x, Moving<T> items, Moving<T> rows, Moving<T> temperature, const i32* places,
                               const Lists& batch, i64 lists, i64 m, bool descending, T* to_x, T* to_items, T* to_rows,
                               T* to_temperature, Room room) {
    Links<N> links;
    links.take(room, batch.n);
    Roots<N> roots;
    roots.take(room, batch.n);
    const int columns = 2;  // at once; more take more registers than there are
    const Products<N> memory(room, batch.n, columns);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Sorted<T> sorted(batch, list, x.value, places, temperature.value, nullptr);
        const i32* order = sorted.order;
        const i64 start = sorted.at.start;
        if (sorted.spoilt || sorted.count == 0) {
            spoil_list(sorted, m, to_x, to_items, to_rows, to_temperature + list);
            continue;
        }
        const N t = Read<N>::at(temperature, list);
        auto score = [=](i32 i) { return Read<N>::at(x, start + order[i]); };
        auto item = [=](i32 i, i64 c) { return Read<N>::at(items, (start + order[i]) * m + c); };
        auto rank = [=](i32 i, i64 c) { return Read<N>::at(rows, (start + i) * m + c); };
        auto to_rank = [=](i32 i, i64 c, N y) { to_rows[(start + i) * m + c] = (T)part_of(y); };
        auto to_item = [=](i32 i, i64 c, N y) { to_items[(start + order[i]) * m + c] = (T)part_of(y); };
        links.join(sorted.count, t, score);
        laplace_forces<N, columns>(links, roots, memory, m, item, rank, to_rank, to_item);
        // Scores and temperature scaled together change nothing.
        lay_out(links, memory.mean);
        N total = constant<N>(0.0);
        const N scale = constant<N>(descending ? 1.0 : -1.0) / t;
        for (i32 i = threadIdx.x; i < sorted.count; i += blockDim.x) {
            total += memory.mean[i] * memory.push[i];
            to_x[start + order[i]] =
                fabs(value_of(score(i))) < infinity<double>() ? (T)part_of(scale * memory.push[i]) : T(0);
        }
        total = block_sum(total);
        if (threadIdx.x == 0) to_temperature[list] = (T)part_of(total / t);
        __syncthreads();
    }
}

// As `softsort_vjp`. Six scans of a list for every two columns.
template <class T>
__global__ void laplace_product_vjp(const T* x, const T* items, const T* rows, const T* temperature, const i32* places,
                                    const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 m, i64 descending,
                                    T* to_x, T* to_items, T* to_rows, T* to_temperature, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    laplace_derive<double, T>({x, nullptr}, {items, nullptr}, {rows, nullptr}, {temperature, nullptr}, places,
                              {offsets, n, per_row, stride}, lists, m, descending != 0, to_x, to_items, to_rows,
                              to_temperature, room_of(scratch, bytes, memory));
}

// As `softsort_second`.
template <class T>
__global__ void laplace_product_second(const T* x, const T* items, const T* rows, const T* temperature,
                                       const T* x_tangent, const T* items_tangent, const T* rows_tangent,
                                       const T* temperature_tangent, const i32* places, const i64* offsets, i64 stride,
                                       i64 per_row, i64 n, i64 lists, i64 m, i64 descending, T* to_x, T* to_items,
                                       T* to_rows, T* to_temperature, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    laplace_derive<Dual, T>({x, x_tangent}, {items, items_tangent}, {rows, rows_tangent},
                            {temperature, temperature_tangent}, places, {offsets, n, per_row, stride}, lists, m,
                            descending != 0, to_x, to_items, to_rows, to_temperature,
                            room_of(scratch, bytes, memory));
}
