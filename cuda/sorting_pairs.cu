// Sums over all pairs of two lists in linear work, `argrad.sorting.pairwise_sum`: panels and expansions are those of
// rust/core/src/sorting/pairs. One block takes one list at a time; items are addressed by their ranks in sorted order.
#include "pairs.cuh"

#define PAIR_ARGUMENTS                                                                                          \
    const i64 *x_offsets, i64 x_stride, i64 x_per_row, i64 n, i64 lists, const i64 *y_offsets, i64 y_stride,    \
        i64 y_per_row, i64 m
#define PAIR_LISTS                                                                                              \
    const Lists x_lists = {x_offsets, n, x_per_row, x_stride}, y_lists = {y_offsets, m, y_per_row, y_stride};

// Items of a sorted side at minus infinity, and below plus infinity.
__device__ __forceinline__ i32 below(const double* values, i32 count, double bound) {
    i32 low = 0, high = count;
    while (low < high) {
        i32 middle = low + (high - low) / 2;
        if (values[middle] < bound) low = middle + 1;
        else high = middle;
    }
    return low;
}

// The same, with items at the bound.
__device__ __forceinline__ i32 up_to(const double* values, i32 count, double bound) {
    i32 low = 0, high = count;
    while (low < high) {
        i32 middle = low + (high - low) / 2;
        if (values[middle] <= bound) low = middle + 1;
        else high = middle;
    }
    return low;
}

// Lays panels over the finite items of both sides, given in order: an island begins where a gap is wider than the near field.
// `merged`, `who`, `first` and `last` are memory for all of them. Returns the number of panels.
__device__ i32 lay_panels(const double* xs, i32 n, const double* ys, i32 m, double width, double* merged, i32* who,
                          i32* first, i32* last, Panel* panels) {
    const i32 total = n + m;
    for (i32 i = threadIdx.x; i < total; i += blockDim.x) {
        const bool of_x = i < n;
        const i32 k = of_x ? i : i - n, at = k + (of_x ? below(ys, m, xs[k]) : up_to(xs, n, ys[k]));
        merged[at] = of_x ? xs[k] : ys[k];
        who[at] = of_x ? k : -1 - k;
    }
    __syncthreads();
    group_ties(
        total, [=](i32 i) { return i > 0 && (merged[i] - merged[i - 1]) / width <= NEAR_PANELS + 1; }, first, last);
    auto number = [=](i32 i) { return floor((merged[i] - merged[first[i]]) / width); };
    u32 found = 0;
    for (i32 tile = 0; tile < total; tile += blockDim.x) {
        const i32 i = tile + threadIdx.x;
        const bool begins = i < total && (i == first[i] || number(i) != number(i - 1));
        u32 all, before = block_scan((u32)begins, all);
        if (begins) {
            const i32 k = who[i];
            Panel panel = {merged[first[i]], number(i), first[i], {k >= 0 ? k : i - (-1 - k), k >= 0 ? i - k : -1 - k}, 0};
            panels[found + before] = panel;
        }
        found += all;
    }
    if (threadIdx.x == 0) panels[found] = {0.0, 0.0, -1, {n, m}, 0};
    __syncthreads();
    return (i32)found;
}

// x[rows][n], y[rows][m], weights[rows][m], temperature[lists], orders of x and y from `order_lists` -> the numbers of both in
// order, xs and ys, of their shapes; `info[lists]`; and panels[items + 1] for each list. Lists with a NaN, or with a weight,
// temperature or offsets that cannot be, have none. `scratch` as elsewhere. One block a list.
template <class T>
__global__ void pair_panels(const T* x, const T* y, const T* weights, const T* temperature, const i32* x_order,
                            const i32* y_order, PAIR_ARGUMENTS, double* xs, double* ys, PairList* info, Panel* panels,
                            u8* scratch, i64 bytes, u32* fault) {
    DYNAMIC_SHARED(memory);
    PAIR_LISTS
    Room room = room_of(scratch, bytes, memory);
    double* merged = room.take<double>(n + m);
    i32 *who = room.take<i32>(n + m), *first = room.take<i32>(n + m), *last = room.take<i32>(n + m);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Span a = x_lists.span(list), b = y_lists.span(list);
        const i32 *x_places = x_order + a.start, *y_places = y_order + b.start;
        const i32 x_count = counted(x_places, a.count), y_count = counted(y_places, b.count);
        const double t = (double)temperature[list];
        const bool wrong = !(t > 0.0 && t < infinity<double>());
        if (wrong || a.wrong || b.wrong) report(fault);
        u32 bad = wrong || a.wrong || b.wrong;
        for (i32 i = threadIdx.x; i < x_count; i += blockDim.x) {
            xs[a.start + i] = (double)x[a.start + x_places[i]];
            bad |= is_nan(xs[a.start + i]);
        }
        for (i32 j = threadIdx.x; j < y_count; j += blockDim.x) {
            ys[b.start + j] = (double)y[b.start + y_places[j]];
            bad |= is_nan(ys[b.start + j]) || !(fabs((double)weights[b.start + y_places[j]]) < infinity<double>());
        }
        bad = block_reduce(bad, Largest());
        const double *x_values = xs + a.start, *y_values = ys + b.start, far = infinity<double>();
        PairList found = {-1, {x_count, y_count}, {0, 0}, {0, 0}, 0};
        if (!bad) {
            found.low[0] = up_to(x_values, x_count, -far), found.low[1] = up_to(y_values, y_count, -far);
            found.finite[0] = below(x_values, x_count, far) - found.low[0];
            found.finite[1] = below(y_values, y_count, far) - found.low[1];
            found.panels = 0;
            // Few pairs are summed one by one.
            if ((i64)found.finite[0] * found.finite[1] > FEW_PAIRS)
                found.panels = lay_panels(x_values + found.low[0], found.finite[0], y_values + found.low[1],
                                          found.finite[1], 2.0 * HALF_PANEL * t, merged, who, first, last,
                                          panels + a.start + b.start + list);
        }
        if (threadIdx.x == 0) info[list] = found;
        __syncthreads();
    }
}

// table[2 NEAR + 1][terms][terms]: the coefficients of kernel(2 HALF d + HALF (t - s)) in T_k(s) T_l(t), in memory d, then k,
// then l. One block for each d.
__global__ void pair_table(double* table, i64 terms, i64 order, i64 power) {
    __shared__ double transform[MOST_TERMS * MOST_TERMS], values[MOST_TERMS * MOST_TERMS], half[MOST_TERMS * MOST_TERMS];
    const PairKernel kernel = {(int)order, (int)power};
    const int p = (int)terms, d = (int)blockIdx.x - NEAR_PANELS;
    const double step = 3.141592653589793 / p;
    for (int at = threadIdx.x; at < p * p; at += blockDim.x) {
        const int k = at / p, i = at % p;
        // Values at the roots of T_terms to coefficients: a discrete cosine transform.
        transform[at] = cos(k * ((i + 0.5) * step)) * (k == 0 ? 1.0 : 2.0) / p;
        values[at] = kernel.at(2.0 * HALF_PANEL * d + HALF_PANEL * (cos((k + 0.5) * step) - cos((i + 0.5) * step)));
    }
    __syncthreads();
    for (int at = threadIdx.x; at < p * p; at += blockDim.x) {
        double sum = 0.0;
        for (int i = 0; i < p; ++i) sum += transform[at / p * p + i] * values[i * p + at % p];
        half[at] = sum;  // [l][j]
    }
    __syncthreads();
    for (int at = threadIdx.x; at < p * p; at += blockDim.x) {
        double sum = 0.0;
        for (int j = 0; j < p; ++j) sum += transform[at / p * p + j] * half[at % p * p + j];
        table[(i64)blockIdx.x * p * p + at] = sum;  // [k][l]
    }
}

// The panels of a list as seen along the axis on which the kernel rises from sources to targets: backwards if `mirrored`.
struct Axis {
    const Panel* panels;
    i32 count;
    bool mirrored;
    double inverse, width;  // of the temperature, negative if mirrored; of a panel

    __device__ __forceinline__ const Panel& panel(i32 p) const { return panels[mirrored ? count - 1 - p : p]; }
    __device__ __forceinline__ double coordinate(i32 p, double value) const {
        const Panel& at = panel(p);
        return ((value - at.origin) - (at.number + 0.5) * width) * (inverse / HALF_PANEL);
    }
    // How far, in temperatures, the middle of `to` lies beyond that of `from`.
    __device__ __forceinline__ double distance(i32 from, i32 to) const {
        const Panel &a = panel(from), &b = panel(to);
        return ((b.origin - a.origin) + (b.number - a.number) * width) * inverse;
    }
    __device__ __forceinline__ int offset(i32 from, i32 to) const {
        const double steps = panel(to).number - panel(from).number;
        return (int)(mirrored ? -steps : steps);
    }
    __device__ __forceinline__ bool is_near(i32 p, i32 q) const {
        return panel(p).island == panel(q).island && fabs(panel(p).number - panel(q).number) <= NEAR_PANELS;
    }
    // The first item of panel p, 0 <= p <= count, of x (0) or y (1); the end of panel p is the start of the next in memory.
    __device__ __forceinline__ void items(i32 p, int side, i32& first, i32& end) const {
        const i32 at = mirrored ? count - 1 - p : p;
        first = panels[at].first[side], end = panels[at + 1].first[side];
    }
};

// moments[panels][P] = the sums of w T_k over the sources of each panel. A warp takes a panel, its lanes the sources.
template <int P>
__device__ void add_moments(const Axis& axis, int side, const double* sources, const double* weights, double* moments) {
    for (i32 p = warp_of(); p < axis.count; p += warps_of_block()) {
        i32 first, end;
        axis.items(p, side, first, end);
        double sums[P];
#pragma unroll
        for (int k = 0; k < P; ++k) sums[k] = 0.0;
        for (i32 j = first + lane_of(); j < end; j += WARP) {
            // The weighted polynomials obey T_(k+1) = 2 t T_k - T_(k-1) as well.
            const double t = axis.coordinate(p, sources[j]);
            double before = weights[j], here = before * t;
            sums[0] += before, sums[1] += here;
#pragma unroll
            for (int k = 2; k < P; ++k) {
                const double next = fma(2.0 * t, here, -before);
                before = here, here = next;
                sums[k] += next;
            }
        }
#pragma unroll
        for (int k = 0; k < P; ++k) {
            const double sum = warp_reduce(sums[k], Sum());
            if (lane_of() == k) moments[(i64)p * P + k] = sum;
        }
    }
    __syncthreads();
}

// Fills `far[panels]` with what the sources of all panels up to each are, about its middle.
template <int P> __device__ void carry_moments(const Axis& axis, const double* moments, Carry* far) {
    Carry entry = {0.0, 0.0, 0.0};
    for (i32 tile = 0; tile < axis.count; tile += blockDim.x) {
        const i32 p = tile + threadIdx.x;
        Carry own = {0.0, 0.0, 0.0}, total;
        if (p < axis.count)
            own = {moments[(i64)p * P], -HALF_PANEL * moments[(i64)p * P + 1], p > 0 ? axis.distance(p - 1, p) : 0.0};
        const Carry none = {0.0, 0.0, 0.0};
        const Carry before = CarryOn()(entry, block_scan_with(own, none, CarryOn(), total));
        if (p < axis.count) far[p] = CarryOn()(before, own);
        entry = CarryOn()(entry, total);
    }
    __syncthreads();
}

// The sum over some sources, one by one.
__device__ __forceinline__ double sum_directly(PairKernel kernel, double target, const double* sources,
                                               const double* weights, i32 first, i32 end, double inverse) {
    double sum = 0.0;
    for (i32 j = first; j < end; ++j) sum = fma(weights[j], kernel.at((target - sources[j]) * inverse), sum);
    return sum;
}

// The sums of the targets of each panel: its near panels' moments through the table (or their sources one by one, where that
// is less work), and the limit of the kernel for all panels before these. A warp takes a panel.
template <int P>
__device__ void evaluate_panels(const Axis& axis, PairKernel kernel, const double* table, int side, const double* sources,
                                const double* weights, const double* targets, const double* moments, const Carry* far,
                                double* out) {
    __shared__ double shared[WARP][MOST_TERMS];
    double* c = shared[warp_of()];
    const int lane = lane_of();
    for (i32 p = warp_of(); p < axis.count; p += warps_of_block()) {
        i32 first, end, from = p, to = p;
        axis.items(p, 1 - side, first, end);
        if (first == end) continue;
        while (from > 0 && axis.is_near(p, from - 1)) --from;
        while (to + 1 < axis.count && axis.is_near(p, to + 1)) ++to;
        double tail[2] = {0.0, 0.0};
        if (from > 0 && (kernel.is_line() || kernel.is_one())) {
            const Carry behind = far[from - 1];
            tail[0] = kernel.is_one() ? behind.weight
                                      : behind.first + times(behind.weight, axis.distance(from - 1, p));
            tail[1] = kernel.is_one() ? 0.0 : HALF_PANEL * behind.weight;
        }
        i32 low, high, unused;
        axis.items(axis.mirrored ? to : from, side, low, unused);
        axis.items(axis.mirrored ? from : to, side, unused, high);
        const i64 pairs = (i64)(end - first) * (high - low);
        if (pairs <= (i64)(to - from + 1) * P * P / 24) {
            for (i32 i = first + lane; i < end; i += WARP)
                out[i] = sum_directly(kernel, targets[i], sources, weights, low, high, axis.inverse) +
                         (tail[1] * axis.coordinate(p, targets[i]) + tail[0]);
            continue;
        }
        double sum = lane < 2 ? tail[lane] : 0.0;
        for (i32 q = from; q <= to && lane < P; ++q) {
            const double* block = table + (i64)(axis.offset(q, p) + NEAR_PANELS) * P * P + lane;
            for (int k = 0; k < P; ++k) sum = fma(block[k * P], moments[(i64)q * P + k], sum);
        }
        __syncwarp();
        if (lane < P) c[lane] = sum;
        __syncwarp();
        for (i32 i = first + lane; i < end; i += WARP) {
            const double t = axis.coordinate(p, targets[i]);
            double after = 0.0, here = 0.0;
            for (int k = P - 1; k > 0; --k) {  // Clenshaw's recurrence
                const double next = fma(2.0 * t, here, c[k] - after);
                after = here, here = next;
            }
            out[i] = fma(t, here, c[0] - after);
        }
    }
    __syncthreads();
}

// The sum of weights that take part, times a value that may be infinite.
__device__ double sum_at(const double* weights, i32 first, i32 end, double value) {
    double sum = 0.0;
    for (i32 j = first + threadIdx.x; j < end; j += blockDim.x) sum += times(weights[j], value);
    return block_reduce(sum, Sum());
}

// xs, ys, info and panels of `pair_panels`, table of `pair_table`; weights by rank, of the shape of y, or with `over_x` of x ->
// out, by rank, of the shape of the other: the sums over the weighted side. One block a list; work for each source, target and
// panel; `scratch` has `bytes` for each block.
template <class T>
__global__ void pair_sums(const double* xs, const double* ys, const PairList* info, const Panel* panels,
                          const double* table, const T* temperature, const double* weights, PAIR_ARGUMENTS, i64 order,
                          i64 power, i64 over_x, double* out, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    PAIR_LISTS
    const int P = sizeof(T) == 4 ? 16 : 24;
    const PairKernel kernel = {(int)order, (int)power};
    const int side = over_x ? 0 : 1;
    Room room = room_of(scratch, bytes, memory);
    double* moments = room.take<double>((n + m) * P);
    Carry* far = room.take<Carry>(n + m);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const PairList all = info[list];
        if (all.panels < 0) continue;
        const i64 a = x_lists.span(list).start, b = y_lists.span(list).start;
        const double t = (double)temperature[list], inverse = (over_x ? -1.0 : 1.0) / t;
        const double *sources = (over_x ? xs + a : ys + b), *targets = (over_x ? ys + b : xs + a);
        const double* w = weights + (over_x ? a : b);
        double* to = out + (over_x ? b : a);
        const i32 low = all.low[side], finite = all.finite[side], count = all.count[side];
        const i32 to_low = all.low[1 - side], to_finite = all.finite[1 - side], to_count = all.count[1 - side];
        if (all.panels > 0) {
            const Axis axis = {panels + a + b + list, all.panels, over_x != 0, inverse, 2.0 * HALF_PANEL * t};
            add_moments<P>(axis, side, sources + low, w + low, moments);
            carry_moments<P>(axis, moments, far);
            evaluate_panels<P>(axis, kernel, table, side, sources + low, w + low, targets + to_low, moments, far,
                               to + to_low);
        } else {
            for (i32 i = threadIdx.x; i < to_finite; i += blockDim.x)
                to[to_low + i] =
                    sum_directly(kernel, targets[to_low + i], sources + low, w + low, 0, finite, inverse);
        }
        // Pairs with an infinity in them. Along the axis the first items are those at minus infinity, or if it is mirrored
        // those at plus infinity.
        const i32 middle = low + finite, to_middle = to_low + to_finite;
        if (count > finite || to_count > to_finite) {
            const double tie = kernel.at(0.0), limit = kernel.at_infinity();
            const i32 begin = over_x ? middle : 0, end = over_x ? count : low;
            const double beyond = sum_at(w, begin, end, limit), first = sum_at(w, begin, end, tie);
            const double last = beyond + sum_at(w, low, middle, limit) +
                                sum_at(w, over_x ? 0 : middle, over_x ? low : count, tie);
            __syncthreads();
            for (i32 i = threadIdx.x; i < to_count; i += blockDim.x) {
                const bool is_low = i < to_low, is_high = i >= to_middle;
                if (!is_low && !is_high) to[i] = beyond != 0.0 ? to[i] + beyond : to[i];
                else to[i] = is_low == (over_x == 0) ? first : last;
            }
        }
        __syncthreads();
    }
}
