// Products with SoftSort's matrix, of `argrad.sorting.soft_permutation`. One block takes one list at a time.
#include "scans.cuh"

// The columns that a block of `softsort_product` takes at once. Its parts are functions of their own: inlined together, their
// registers do not suffice on every architecture.
#define PRODUCT_COLUMNS 4

// The product of one list with columns c .. c + C of v[.][m], not transposed: rows y of ranks.
template <int C, class T>
__device__ __noinline__ void product_by_ranks(const Links<double>& links, const i32* order, const T* v, T* y, i64 m, i64 c,
                                 double* sums) {
    const int W = C + 1;
    links.sums<W>(
        [=](i32 i, double* here) {
            here[0] = 1.0;
#pragma unroll
            for (int w = 1; w < W; ++w) here[w] = c + w <= m ? (double)v[order[i] * m + c + w - 1] : 0.0;
        },
        sums);
    for (i32 i = threadIdx.x; i < links.count; i += blockDim.x) {
        const double* found = sums + (i64)links.first[i] * W;
        for (int w = 1; w < W && c + w <= m; ++w) y[i * m + c + w - 1] = (T)(found[w] / found[0]);
    }
}

// The same for the transposed matrix: rows y of items.
template <int C, class T>
__device__ __noinline__ void product_by_items(const Links<double>& links, const i32* order, const T* u, T* y, i64 m, i64 c,
                                 double* sums, double* norms) {
    links.sums<1>([](i32, double* here) { here[0] = 1.0; }, norms);
    const i32* first = links.first;
    links.sums<C>(
        [=](i32 i, double* here) {
#pragma unroll
            for (int w = 0; w < C; ++w) here[w] = c + w < m ? (double)u[i * m + c + w] / norms[first[i]] : 0.0;
        },
        sums);
    for (i32 i = threadIdx.x; i < links.count; i += blockDim.x) {
        const double* found = sums + (i64)first[i] * C;
        for (int w = 0; w < C && c + w < m; ++w) y[order[i] * m + c + w] = (T)found[w];
    }
}

// x[rows][n], v[rows][n][m], temperature[lists], places from `order_lists` -> y[rows][n][m] = P v, or P^T v if `transposed`;
// NaN for lists with a NaN or a bad temperature; what does not count is left as it is. One block a list and PRODUCT_COLUMNS
// columns, two scans of the list (four transposed); `scratch` has `bytes` for each block, null where shared memory is enough.
template <class T>
__global__ void softsort_product(const T* x, const T* v, const T* temperature, const i32* places, const i64* offsets,
                                 i64 stride, i64 per_row, i64 n, i64 lists, i64 m, i64 transposed, T* y, u8* scratch,
                                 i64 bytes, u32* fault) {
    DYNAMIC_SHARED(memory);
    const Lists batch = {offsets, n, per_row, stride};
    Room room = room_of(scratch, bytes, memory);
    Links<double> links;
    links.take(room, n);
    double *norms = room.take<double>(n), *sums = room.take<double>(n * (PRODUCT_COLUMNS + 1));
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Sorted<T> sorted(batch, list, x, places, temperature, fault);
        const i32* order = sorted.order;
        const T *scores = x + sorted.at.start, *from = v + sorted.at.start * m;
        T* to = y + sorted.at.start * m;
        if (!sorted.spoilt)
            links.join(sorted.count, sorted.temperature, [=](i32 i) { return (double)scores[order[i]]; });
        for (i64 c = (i64)blockIdx.y * PRODUCT_COLUMNS; c < m; c += (i64)gridDim.y * PRODUCT_COLUMNS) {
            if (sorted.spoilt) {
                for (i32 i = threadIdx.x; i < sorted.count; i += blockDim.x)
                    for (i64 k = c; k < min(c + PRODUCT_COLUMNS, m); ++k)
                        to[(transposed ? order[i] : i) * m + k] = not_a_number<T>();
                continue;
            }
            if (m == 1 && transposed) product_by_items<1>(links, order, from, to, m, c, sums, norms);
            else if (m == 1) product_by_ranks<1>(links, order, from, to, m, c, sums);
            else if (transposed) product_by_items<PRODUCT_COLUMNS>(links, order, from, to, m, c, sums, norms);
            else product_by_ranks<PRODUCT_COLUMNS>(links, order, from, to, m, c, sums);
            __syncthreads();
        }
        __syncthreads();
    }
}

// Memory of `softsort_gradients` beside the links.
template <class N> struct Forces {
    N *z, *c, *push;                              // [count]
    N *left_v, *right_v, *left_a, *right_a;      // [count][W]

    __device__ Forces(Room& room, i64 n, i64 wide) {
        z = room.take<N>(n), c = room.take<N>(n), push = room.take<N>(n);
        left_v = room.take<N>(n * wide), right_v = room.take<N>(n * wide);
        left_a = room.take<N>(n * wide), right_a = room.take<N>(n * wide);
    }
};

// The derivatives of one list, as `gradients` of rust/core/src/sorting/softsort.rs: fills `push`, hands out the entries of
// both products, and returns t times the gradient to the temperature, to all threads.
template <class N, int W, class Item, class Rank, class ToRank, class ToItem>
__device__ __noinline__ N softsort_forces(const Links<N>& links, const Forces<N>& memory, i64 m, Item item, Rank rank, ToRank to_rank,
                             ToItem to_item) {
    const Forces<N> at = memory;
    const i32 n = links.count;
    const i32 *first = links.first, *last = links.last;
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) at.c[i] = at.push[i] = constant<N>(0.0);
    for (i64 k = 0; k <= m; k += W) {
        auto v = [=](i32 i, N* to) {
            extend<N, W>(k, m, constant<N>(1.0), [=](i64 column) { return item(i, column); }, to);
        };
        links.template sides<W>(v, at.left_v, at.right_v);
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
            const i64 group = (i64)first[i] * W;
            N here[W];
            v(first[i], here);
#pragma unroll
            for (int w = 0; w < W; ++w) here[w] = (at.left_v[group + w] + at.right_v[group + w]) + here[w];
            if (k == 0) at.z[i] = here[0];
            for (int w = k == 0; w < W && k + w <= m; ++w) {
                N y = here[w] / at.z[i];
                at.c[i] += rank(i, k + w - 1) / at.z[i] * y;
                to_rank(i, k + w - 1, y);
            }
        }
        __syncthreads();
    }
    N total = constant<N>(0.0);
    for (i64 k = 0; k <= m; k += W) {
        auto v = [=](i32 i, N* to) {
            extend<N, W>(k, m, constant<N>(1.0), [=](i64 column) { return item(i, column); }, to);
        };
        auto a = [=](i32 i, N* to) {
            extend<N, W>(k, m, -at.c[i], [=](i64 column) { return rank(i, column) / at.z[i]; }, to);
        };
        if (m >= W) links.template sides<W>(v, at.left_v, at.right_v);  // of the columns at hand
        links.template sides<W>(a, at.left_a, at.right_a);
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
            const i64 own = (i64)i * W, begin = (i64)first[i] * W, end = (i64)last[first[i]] * W;
            N v_here[W], a_here[W], a_first[W], crossing = constant<N>(0.0);
            v(i, v_here), a(i, a_here), a(first[i], a_first);
#pragma unroll
            for (int w = 0; w < W; ++w) {
                crossing += at.left_a[own + w] * (v_here[w] + at.right_v[own + w]) +
                            at.left_v[own + w] * (a_here[w] + at.right_a[own + w]);
                at.push[i] += a_here[w] * (at.left_v[begin + w] - at.right_v[end + w]) +
                              v_here[w] * (at.left_a[begin + w] - at.right_a[end + w]);
                if (k + w >= 1 && k + w <= m)
                    to_item(i, k + w - 1, at.left_a[begin + w] + (a_first[w] + at.right_a[begin + w]));
            }
            // Beyond a link of 0 nothing crosses, though the step may be infinite.
            if (value_of(links.links[i]) != 0.0) total += links.steps[i] * crossing;
        }
        __syncthreads();
    }
    return block_sum(total);
}

// The columns, with that of ones, that a block of the derivatives scans at once where there are several.
#define FORCE_COLUMNS 4

// What the kernels of both derivatives do; see there.
template <class N, class T>
__device__ void softsort_derive(Moving<T> x, Moving<T> items, Moving<T> rows, Moving<T> temperature, const i32* places,
                                const Lists& batch, i64 lists, i64 m, bool descending, T* to_x, T* to_items, T* to_rows,
                                T* to_temperature, Room room) {
    Links<N> links;
    links.take(room, batch.n);
    const int wide = sizeof(N) == sizeof(double) ? FORCE_COLUMNS : 2;  // dual numbers take twice the registers
    const Forces<N> forces(room, batch.n, m == 1 ? 2 : wide);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Sorted<T> sorted(batch, list, x.value, places, temperature.value, nullptr);
        const i32* order = sorted.order;
        const i64 start = sorted.at.start;
        if (sorted.spoilt) {
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
        const N total = m == 1 || wide == 2
                            ? softsort_forces<N, 2>(links, forces, m, item, rank, to_rank, to_item)
                            : softsort_forces<N, wide>(links, forces, m, item, rank, to_rank, to_item);
        if (threadIdx.x == 0) to_temperature[list] = (T)part_of(total / t);
        const N scale = constant<N>(descending ? 1.0 : -1.0) / t;
        for (i32 i = threadIdx.x; i < sorted.count; i += blockDim.x)
            to_x[start + order[i]] =
                fabs(value_of(score(i))) < infinity<double>() ? (T)part_of(scale * forces.push[i]) : T(0);
        __syncthreads();
    }
}

// x[rows][n], items[rows][n][m] by items, rows[rows][n][m] by ranks, temperature[lists], places from `order_lists` -> the
// gradients of <rows, P items> to each, of its shape; NaN as `softsort_product`, and what does not count is left as it is.
// One block a list; eight scans for every four columns (four for one); `scratch` as there.
template <class T>
__global__ void softsort_vjp(const T* x, const T* items, const T* rows, const T* temperature, const i32* places,
                             const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 m, i64 descending,
                             T* to_x, T* to_items, T* to_rows, T* to_temperature, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    softsort_derive<double, T>({x, nullptr}, {items, nullptr}, {rows, nullptr}, {temperature, nullptr}, places,
                               {offsets, n, per_row, stride}, lists, m, descending != 0, to_x, to_items, to_rows,
                               to_temperature, room_of(scratch, bytes, memory));
}

// The derivatives of these gradients along a tangent of each input (null: it stands still), on dual numbers.
template <class T>
__global__ void softsort_second(const T* x, const T* items, const T* rows, const T* temperature, const T* x_tangent,
                                const T* items_tangent, const T* rows_tangent, const T* temperature_tangent,
                                const i32* places, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 m,
                                i64 descending, T* to_x, T* to_items, T* to_rows, T* to_temperature, u8* scratch,
                                i64 bytes) {
    DYNAMIC_SHARED(memory);
    softsort_derive<Dual, T>({x, x_tangent}, {items, items_tangent}, {rows, rows_tangent},
                             {temperature, temperature_tangent}, places, {offsets, n, per_row, stride}, lists, m,
                             descending != 0, to_x, to_items, to_rows, to_temperature,
                             room_of(scratch, bytes, memory));
}
