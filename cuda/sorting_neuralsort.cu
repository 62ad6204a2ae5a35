// Products with NeuralSort's matrix and its Sinkhorn scaling, of `argrad.sorting.soft_permutation`: the formulas are those of
// rust/core/src/sorting/neuralsort. One block takes one list at a time.
#include "band.cuh"

// Where rows end, without and with scaling, for elements of a type; see bands.rs.
template <class T> __device__ __forceinline__ double cut_of(bool scaled);
template <> __device__ __forceinline__ double cut_of<float>(bool scaled) { return scaled ? 30.0 : 20.0; }
template <> __device__ __forceinline__ double cut_of<double>(bool scaled) { return scaled ? 80.0 : 42.0; }

// Columns that are multiplied at once.
#define BAND_COLUMNS 4

// Which of an array's rows belongs to place k of a list: that of an item, or of a rank.
__device__ __forceinline__ i64 row_at(const i32* order, i32 k, bool by_item) { return by_item ? order[k] : k; }

// Loads columns c .. c + BAND_COLUMNS of rows[.][m] in the order of the list, times `factor` (null: 1), into x[.][count].
template <class E, class N, class Entry>
__device__ void load_columns(i32 count, i64 m, i64 c, const E* factor, Entry entry, E* x) {
    for (i32 k = threadIdx.x; k < count; k += blockDim.x)
        for (int w = 0; w < BAND_COLUMNS; ++w) {
            const E here = c + w < m ? entry(k, c + w) : constant<E>(0.0);
            x[(i64)w * count + k] = factor ? here * factor[k] : here;
        }
    __syncthreads();
}

// Calls `out(i, c, sum, norm)` for the products with x: all columns of rows (columns) of the band.
template <bool COLUMNS, class E, class N, class Entry, class Out>
__device__ void multiply_all(const Band<E, N>& band, i64 m, const E* factor, Entry entry, E* x, Out out) {
    for (i64 c = 0; c < m; c += BAND_COLUMNS) {
        load_columns<E, N>(band.count, m, c, factor, entry, x);
        auto hand = [=](i32 i, const N* sums, N norm) {
            for (int w = 0; w < BAND_COLUMNS && c + w < m; ++w) out(i, c + w, sums[w], norm);
        };
        if (m == 1) band.template multiply<COLUMNS, 1>(x, hand);
        else band.template multiply<COLUMNS, BAND_COLUMNS>(x, hand);
    }
}

// x[rows][n], v[rows][n][m], temperature[lists], places from `order_lists` -> y[rows][n][m] = S v (S^T v if `transposed`), S
// the matrix after up to `iterations` scalings, columns first, until all sums are within `tolerance` of 1; and steps[lists],
// how many there were. NaN for lists with a NaN or a bad temperature; what does not count is left as it is. One block a list;
// a walk along the band for every BAND_COLUMNS columns, two more for each scaling; `scratch` has `bytes` for each block, null
// where shared memory is enough.
template <class T>
__global__ void neuralsort(const T* x, const T* v, const T* temperature, const i32* places, const i64* offsets, i64 stride,
                           i64 per_row, i64 n, i64 lists, i64 m, i64 descending, i64 transposed, i64 iterations,
                           double tolerance, T* y, i64* steps, u8* scratch, i64 bytes, u32* fault) {
    DYNAMIC_SHARED(memory);
    const Lists batch = {offsets, n, per_row, stride};
    Room room = room_of(scratch, bytes, memory);
    Band<T, double> band;
    band.gaps = room.take<double>(n);
    T *outer = room.take<T>(n), *inner = room.take<T>(n), *held = room.take<T>(n * BAND_COLUMNS);
    double* sums = room.take<double>(n);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Sorted<T> sorted(batch, list, x, places, temperature, fault);
        const i32 *order = sorted.order, count = sorted.count;
        const T *scores = x + sorted.at.start, *from = v + sorted.at.start * m;
        T* to = y + sorted.at.start * m;
        const bool by_item = transposed == 0;
        if (sorted.spoilt) {
            for (i64 i = threadIdx.x; i < count * m; i += blockDim.x)
                to[row_at(order, (i32)(i / m), !by_item) * m + i % m] = not_a_number<T>();
            if (threadIdx.x == 0) steps[list] = 0;
            continue;
        }
        const double sign = descending ? 1.0 : -1.0;
        band.enter(count, sorted.temperature, cut_of<T>(iterations > 0),
                   [=](i32 k) { return sign * (double)scores[order[k]]; });
        i64 taken = 0;
        T *u = outer, *w = inner;
        for (i32 k = threadIdx.x; k < count; k += blockDim.x) w[k] = T(1);
        __syncthreads();
        if (iterations > 0 || transposed) band.template invert<false>(w, u);
        for (; taken < iterations; ++taken) {
            u32 open = 0;
            band.template multiply<true, 1>(u, [&](i32 j, const double* found, double) {
                sums[j] = found[0];
                open |= !(fabs((double)w[j] * found[0] - 1.0) < tolerance);
            });
            if (!block_reduce(open, Largest())) break;
            for (i32 k = threadIdx.x; k < count; k += blockDim.x) w[k] = (T)(1.0 / sums[k]);
            __syncthreads();
            band.template invert<false>(w, u);
        }
        if (threadIdx.x == 0) steps[list] = taken;
        auto entry = [=](i32 k, i64 c) { return from[row_at(order, k, by_item) * m + c]; };
        if (transposed) {
            multiply_all<true>(band, m, u, entry, held, [=](i32 j, i64 c, double sum, double) {
                to[order[j] * m + c] = (T)(sum * (double)w[j]);
            });
        } else {
            const bool scaled = iterations > 0;
            multiply_all<false>(band, m, (const T*)w, entry, held, [=](i32 i, i64 c, double sum, double norm) {
                to[i * m + c] = (T)(scaled ? sum * (double)u[i] : sum / norm);
            });
        }
        __syncthreads();
    }
}

// The memory of a block for derivatives, [steps][n] and [m][n] where it says so.
template <class E, class N> struct Path {
    N *rows_bar, *columns_bar, *weight, *lever, *before;  // gradients to the potentials; sums for the scores
    i32 *first, *last;
    E *held;     // BAND_COLUMNS columns
    E *u, *v;    // [steps + 1] potentials
    E *s, *r;    // [steps + 1]
    E *a, *b;    // [m]: u A and B v

    __device__ Path(Room& room, i64 n, i64 m, i64 steps) {
        rows_bar = room.take<N>(n), columns_bar = room.take<N>(n);
        weight = room.take<N>(n), lever = room.take<N>(n), before = room.take<N>(n + 1);
        first = room.take<i32>(n), last = room.take<i32>(n), held = room.take<E>(n * BAND_COLUMNS);
        u = room.take<E>(n * (steps + 1)), v = room.take<E>(n * (steps + 1));
        s = room.take<E>(n * (steps + 1)), r = room.take<E>(n * (steps + 1));
        a = room.take<E>(n * m), b = room.take<E>(n * m);
    }
};

// The derivatives of sum A (S B) of one list, as `adjoint` of potentials.rs: hands out the entries of S B and S^T A, and
// t times the gradients to the sorted scores; returns t times that to the temperature, to all threads.
template <class E, class N, class A, class B, class ToRank, class ToItem, class ToScore>
__device__ N neuralsort_adjoint(const Band<E, N>& band, const Path<E, N>& path, i64 m, i64 steps, A a, B b, ToRank to_rank,
                                ToItem to_item, ToScore to_score) {
    const Path<E, N> at = path;
    const i32 n = band.count;
    const N zero = constant<N>(0.0);
    for (i32 k = threadIdx.x; k < n; k += blockDim.x) {
        at.v[k] = constant<E>(1.0);
        at.rows_bar[k] = at.columns_bar[k] = zero;
    }
    __syncthreads();
    band.template invert<false>(at.v, at.u);
    for (i64 t = 1; t <= steps; ++t) {
        band.template invert<true>(at.u + (t - 1) * n, at.v + t * n);
        band.template invert<false>(at.v + t * n, at.u + t * n);
    }
    const E *u = at.u + steps * n, *v = at.v + steps * n;
    for (i32 k = threadIdx.x; k < n; k += blockDim.x)
        for (i64 c = 0; c < m; ++c) at.a[c * n + k] = a(k, c) * u[k], at.b[c * n + k] = b(k, c) * v[k];
    __syncthreads();
    multiply_all<false>(band, m, v, b, at.held, [=](i32 i, i64 c, N sum, N) {
        at.rows_bar[i] = at.rows_bar[i] + wide_of(a(i, c)) * sum;
        to_rank(i, c, sum * wide_of(u[i]));
    });
    multiply_all<true>(band, m, u, a, at.held, [=](i32 j, i64 c, N sum, N) {
        at.columns_bar[j] = at.columns_bar[j] + wide_of(b(j, c)) * sum;
        to_item(j, c, sum * wide_of(v[j]));
    });
    for (i64 t = steps; t >= 0; --t) {
        for (i32 k = threadIdx.x; k < n; k += blockDim.x) {
            const N here = wide_of(at.u[t * n + k]);
            at.s[t * n + k] = Narrow<E>::of(-(at.rows_bar[k] * here * here));
        }
        __syncthreads();
        if (t == 0) break;
        band.template multiply<true, 1>(at.s + t * n, [=](i32 j, const N* sums, N) {
            const N here = wide_of(at.v[t * n + j]);
            at.r[(t - 1) * n + j] = Narrow<E>::of(-((at.columns_bar[j] + sums[0]) * here * here));
            at.columns_bar[j] = zero;
        });
        band.template multiply<false, 1>(at.r + (t - 1) * n, [=](i32 i, const N* sums, N) { at.rows_bar[i] = sums[0]; });
    }
    // With W the gradient to the logits: the sums of W, (j - i) W and level W over each column.
    N heat = zero;
    for (i32 j = threadIdx.x; j < n; j += blockDim.x) {
        auto bar = [=](i32 i) {
            E sum = constant<E>(0.0);
            for (i64 c = 0; c < m; ++c) sum = sum + at.a[c * n + i] * at.b[c * n + j];
            for (i64 t = 0; t <= steps; ++t) sum = sum + at.s[t * n + i] * at.v[t * n + j];
            for (i64 t = 0; t < steps; ++t) sum = sum + at.u[t * n + i] * at.r[t * n + j];
            return sum;
        };
        N weight = wide_of(bar(j)), lever = zero;
        E part[3] = {constant<E>(0.0), constant<E>(0.0), constant<E>(0.0)};
        band.template walk<true>(
            j,
            [&](i32 i, E e, E level) {
                const E w = e * bar(i);
                part[0] = part[0] + w, part[1] = part[1] + w * constant<E>(j - i), part[2] = part[2] + w * level;
            },
            [&]() {
                weight += wide_of(part[0]), lever += wide_of(part[1]), heat += wide_of(part[2]);
                part[0] = part[1] = part[2] = constant<E>(0.0);
            });
        at.weight[j] = weight, at.lever[j] = lever;
    }
    __syncthreads();
    const N* gaps = band.gaps;
    group_ties(n, [=](i32 k) { return k > 0 && value_of(gaps[k - 1]) == 0.0; }, at.first, at.last);
    sum_before(n, at.weight, at.before);
    for (i32 j = threadIdx.x; j < n; j += blockDim.x) {
        // The slope of an absolute difference is taken as 0 at a tie: places begin .. end have this score.
        const i32 begin = at.first[j], end = at.last[begin] + 1;
        const N centre = constant<N>((double)begin + end - 1 - 2.0 * j);
        to_score(j, constant<N>(2.0) * at.lever[j] + centre * at.weight[j] + at.before[begin] -
                        (at.before[n] - at.before[end]));
    }
    return block_sum(heat);
}

// What the kernels of both derivatives do; see there. E and N as in band.cuh.
template <class E, class N, class T, class C>
__device__ void neuralsort_derive(Moving<T> x, Moving<T> v, Moving<T> grad, Moving<T> temperature, const i32* places,
                                  const i64* steps, const Lists& batch, i64 lists, i64 m, bool descending,
                                  bool transposed, i64 iterations, T* to_x, T* to_v, T* to_grad, T* to_temperature,
                                  Room room) {
    Band<E, N> band;
    band.gaps = room.take<N>(batch.n);
    const Path<E, N> path(room, batch.n, m, iterations);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Sorted<T> sorted(batch, list, x.value, places, temperature.value, nullptr);
        const i32* order = sorted.order;
        const i64 start = sorted.at.start;
        if (sorted.spoilt || sorted.count == 0) {
            for (i64 i = threadIdx.x; i < sorted.count * m; i += blockDim.x) {
                const i32 k = (i32)(i / m);
                if (i % m == 0) to_x[start + order[k]] = not_a_number<T>();
                to_v[(start + row_at(order, k, !transposed)) * m + i % m] = not_a_number<T>();
                if (to_grad) to_grad[(start + row_at(order, k, transposed)) * m + i % m] = not_a_number<T>();
            }
            if (threadIdx.x == 0) to_temperature[list] = sorted.spoilt ? not_a_number<T>() : T(0);
            continue;
        }
        const N t = Read<N>::at(temperature, list), sign = constant<N>(descending ? 1.0 : -1.0);
        band.enter(sorted.count, t, cut_of<C>(iterations > 0),
                   [=](i32 k) { return sign * Read<N>::at(x, start + order[k]); });
        const Moving<T> left = transposed ? v : grad, right = transposed ? grad : v;
        T *to_left = transposed ? to_v : to_grad, *to_right = transposed ? to_grad : to_v;
        auto a = [=](i32 k, i64 c) { return ReadAs<E>::at(left, (start + k) * m + c); };
        auto b = [=](i32 k, i64 c) { return ReadAs<E>::at(right, (start + order[k]) * m + c); };
        auto to_rank = [=](i32 k, i64 c, N y) {
            if (to_left) to_left[(start + k) * m + c] = (T)part_of(y);
        };
        auto to_item = [=](i32 k, i64 c, N y) {
            if (to_right) to_right[(start + order[k]) * m + c] = (T)part_of(y);
        };
        auto to_score = [=](i32 k, N y) { to_x[start + order[k]] = (T)part_of(sign * y / t); };
        const N heat = neuralsort_adjoint(band, path, m, steps[list], a, b, to_rank, to_item, to_score);
        if (threadIdx.x == 0) to_temperature[list] = (T)part_of(heat / t);
        __syncthreads();
    }
}

// As `neuralsort`, with the steps that were taken (`iterations` at most) and the gradients of y -> the gradients to x, v and
// temperature, of their shapes. One block a list; some six walks along the band for one column, six for each scaling.
template <class T>
__global__ void neuralsort_vjp(const T* x, const T* v, const T* grad, const T* temperature, const i32* places,
                               const i64* steps, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 m,
                               i64 descending, i64 transposed, i64 iterations, T* to_x, T* to_v, T* to_temperature,
                               u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    neuralsort_derive<T, double, T, T>({x, nullptr}, {v, nullptr}, {grad, nullptr}, {temperature, nullptr}, places, steps,
                                       {offsets, n, per_row, stride}, lists, m, descending != 0, transposed != 0,
                                       iterations, to_x, to_v, nullptr, to_temperature,
                                       room_of(scratch, bytes, memory));
}

// The derivatives of these gradients along tangents of x, v and temperature, on dual numbers; to `grad` as well.
template <class T>
__global__ void neuralsort_second(const T* x, const T* v, const T* grad, const T* temperature, const T* x_tangent,
                                  const T* v_tangent, const T* temperature_tangent, const i32* places, const i64* steps,
                                  const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 m, i64 descending,
                                  i64 transposed, i64 iterations, T* to_x, T* to_v, T* to_grad, T* to_temperature,
                                  u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    neuralsort_derive<Dual, Dual, T, double>({x, x_tangent}, {v, v_tangent}, {grad, nullptr},
                                             {temperature, temperature_tangent}, places, steps,
                                             {offsets, n, per_row, stride}, lists, m, descending != 0, transposed != 0,
                                             iterations, to_x, to_v, to_grad, to_temperature,
                                             room_of(scratch, bytes, memory));
}
