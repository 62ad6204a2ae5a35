// The ends of a sum over pairs: weights on their way into the order of a list, sums on their way out of it, and the formulas
// of rust/core/src/sorting/pairs/derivatives.rs. One block takes one list at a time, a thread an item.
#include "pairs.cuh"

// from[rows][n] and, if it is not null, factor[rows][n], order from `order_lists` -> to[rows][n], by rank: their product.
template <class T>
__global__ void pair_gather(const T* from, const T* factor, const i32* order, const i64* offsets, i64 stride, i64 per_row,
                            i64 n, i64 lists, double* to) {
    const Lists batch = {offsets, n, per_row, stride};
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Span at = batch.span(list);
        const i32* places = order + at.start;
        const i32 count = counted(places, at.count);
        for (i32 r = threadIdx.x; r < count; r += blockDim.x) {
            const double own = (double)from[at.start + places[r]];
            to[at.start + r] = factor ? times(own, (double)factor[at.start + places[r]]) : own;
        }
    }
}

// sums[rows][n] by rank -> y[rows][n] by item; NaN where the list has no sums. What does not count is left as it is.
template <class T>
__global__ void pair_values(const double* sums, const PairList* info, const i32* order, const i64* offsets, i64 stride,
                            i64 per_row, i64 n, i64 lists, T* y) {
    const Lists batch = {offsets, n, per_row, stride};
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const i64 start = batch.span(list).start;
        const PairList all = info[list];
        for (i32 r = threadIdx.x; r < all.count[0]; r += blockDim.x)
            y[start + order[start + r]] = all.panels < 0 ? not_a_number<T>() : (T)sums[start + r];
    }
}

// One list of x and the one of y that belongs to it.
struct Both {
    PairList all;
    i64 x, y;
    double inverse;
    bool spoilt;
};
template <class T>
__device__ Both both_of(const PairList* info, const Lists& x, const Lists& y, const T* temperature, i64 list) {
    const PairList all = info[list];
    return {all, x.span(list).start, y.span(list).start, 1.0 / (double)temperature[list], all.panels < 0};
}

// Sums by rank, of slopes over y and over x, of the kernel over x, of slopes times their argument over y; weights g and w by
// rank -> gradients to x[rows][n], y[rows][m], weights[rows][m] and temperature[lists]; NaN where the list has no sums.
template <class T>
__global__ void pair_vjp(const double* over_y, const double* over_x, const double* values, const double* slopes_z,
                         const double* g, const double* w, const PairList* info, const i32* x_order, const i32* y_order,
                         const T* temperature, const i64* x_offsets, i64 x_stride, i64 x_per_row, i64 n, i64 lists,
                         const i64* y_offsets, i64 y_stride, i64 y_per_row, i64 m, T* to_x, T* to_y, T* to_weights,
                         T* to_temperature) {
    const Lists x_lists = {x_offsets, n, x_per_row, x_stride}, y_lists = {y_offsets, m, y_per_row, y_stride};
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Both at = both_of(info, x_lists, y_lists, temperature, list);
        const T none = not_a_number<T>();
        double total = 0.0;
        for (i32 r = threadIdx.x; r < at.all.count[0]; r += blockDim.x) {
            const i64 i = at.x + r, place = at.x + x_order[i];
            to_x[place] = at.spoilt ? none : (T)(times(g[i], over_y[i]) * at.inverse);
            total += at.spoilt ? 0.0 : times(g[i], slopes_z[i]);
        }
        for (i32 r = threadIdx.x; r < at.all.count[1]; r += blockDim.x) {
            const i64 j = at.y + r, place = at.y + y_order[j];
            to_y[place] = at.spoilt ? none : (T)(-times(w[j], over_x[j]) * at.inverse);
            to_weights[place] = at.spoilt ? none : (T)values[j];
        }
        total = block_reduce(total, Sum());
        if (threadIdx.x == 0) to_temperature[list] = at.spoilt ? none : (T)(-total * at.inverse);
    }
}

// The sums of the second derivative, by rank: `over_y[11][rows][n]` and `over_x[6][rows][m]` in the order in which they are
// named below; tangents of all inputs by rank, that of the temperature by list -> gradients to all inputs and to g.
template <class T>
__global__ void pair_second(const double* over_y, const double* over_x, const double* g, const double* w,
                            const double* dx, const double* dy, const double* dw, const T* temperature_tangent,
                            const PairList* info, const i32* x_order, const i32* y_order, const T* temperature,
                            const i64* x_offsets, i64 x_stride, i64 x_per_row, i64 n, i64 lists, const i64* y_offsets,
                            i64 y_stride, i64 y_per_row, i64 m, i64 x_items, i64 y_items, T* to_x, T* to_y,
                            T* to_weights, T* to_temperature, T* to_grad) {
    const Lists x_lists = {x_offsets, n, x_per_row, x_stride}, y_lists = {y_offsets, m, y_per_row, y_stride};
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Both at = both_of(info, x_lists, y_lists, temperature, list);
        const T none = not_a_number<T>();
        const double inverse = at.inverse, log = (double)temperature_tangent[list] * inverse;
        double total = 0.0;
        for (i32 r = threadIdx.x; r < at.all.count[0]; r += blockDim.x) {
            const i64 i = at.x + r, place = at.x + x_order[i];
            if (at.spoilt) {
                to_x[place] = to_grad[place] = none;
                continue;
            }
            const double* s = over_y + i;
            const double value = s[0], slope = s[x_items], slope_z = s[2 * x_items], slope_dy = s[3 * x_items],
                         slope_dw = s[4 * x_items], slope_z_dw = s[5 * x_items], bend = s[6 * x_items],
                         bend_z = s[7 * x_items], bend_zz = s[8 * x_items], bend_dy = s[9 * x_items],
                         bend_z_dy = s[10 * x_items];
            to_grad[place] = (T)(value + (times(dx[i], slope) - slope_dy) * inverse - times(log, slope_z));
            const double along = (times(dx[i], bend) - bend_dy) * inverse - times(log, bend_z);
            to_x[place] = (T)(times(g[i], slope_dw + along - log * slope) * inverse);
            const double further = (times(dx[i], slope + bend_z) - (slope_dy + bend_z_dy)) * inverse -
                                   times(log, slope_z + bend_zz);
            total += times(g[i], times(log, slope_z) - slope_z_dw - further);
        }
        for (i32 r = threadIdx.x; r < at.all.count[1]; r += blockDim.x) {
            const i64 j = at.y + r, place = at.y + y_order[j];
            if (at.spoilt) {
                to_y[place] = to_weights[place] = none;
                continue;
            }
            const double* s = over_x + j;
            const double slope = s[0], slope_z = s[y_items], slope_dx = s[2 * y_items], bend = s[3 * y_items],
                         bend_z = s[4 * y_items], bend_dx = s[5 * y_items];
            to_weights[place] = (T)((slope_dx - times(dy[j], slope)) * inverse - times(log, slope_z));
            const double along = (bend_dx - times(dy[j], bend)) * inverse - times(log, bend_z);
            to_y[place] = (T)(-(times(dw[j] - log * w[j], slope) + times(w[j], along)) * inverse);
        }
        total = block_reduce(total, Sum());
        if (threadIdx.x == 0) to_temperature[list] = at.spoilt ? none : (T)(total * inverse);
    }
}
