// Kernels of `argrad.decoding`: the conjugate of entmax's entropy and the Fenchel-Young loss, and their derivatives, on levels that
// `entmax` has found. One block takes one row at a time.
#include "entmax.cuh"

// What rows are compared with: a class, a distribution, or nothing.
template <class T> struct Target {
    const i64* classes;
    const T* shares;
    i64 v;

    // Whether a row's target is in its range.
    __device__ bool is_apt(i64 row) const {
        u32 bad = classes && !(classes[row] >= 0 && classes[row] < v);
        for (i64 i = threadIdx.x; shares && i < v; i += blockDim.x) {
            double y = (double)shares[row * v + i];
            bad |= !(y >= 0.0 && y < infinity<double>());
        }
        return !block_reduce(bad, Largest());
    }
    __device__ __forceinline__ double share(i64 row, i64 i) const { return (double)shares[row * v + i]; }
};

// SUM y f(y, i) over the places of positive shares y; 0 without shares.
template <class T, class Value> __device__ __forceinline__ double target_sum(Target<T> target, i64 row, Value value) {
    if (!target.shares) return 0.0;
    return sums_of<1>(target.v, [&](i64 i, double* of) {
        double y = target.share(row, i);
        if (y > 0.0) of[0] += value(y, i);
    }).of[0];
}

// The derivative of a row's value to alpha.
template <class S, class T>
__device__ __forceinline__ double slope_to_alpha(const Tokens<S>& tokens, const Level& level, double alpha, Target<T> target, i64 row) {
    double here = sums_of<1>(tokens.count, [&](i64 i, double* of) {
        double p = share_of(level, alpha - 1.0, tokens[i]).p;
        if (p > 0.0) of[0] += entropy_term(p, alpha).slope;
    }).of[0];
    return target_sum(target, row, [&](double y, i64) { return entropy_term(y, alpha).slope; }) - here;
}

// x[rows][v], maxima[rows][8 l] or null, alpha[rows] and levels[rows] as in `entmax`, classes[rows], shares[rows][v], or both
// null -> value[rows]. Short rows of x are read twice, long ones where the support is; shares twice, and x again where they are.
template <class S>
__global__ void entmax_conjugate(const S* x, const u64* maxima, const double* alpha, const Level* levels, const i64* classes,
                                 const typename Computed<S>::Number* shares, typename Computed<S>::Number* value, i64 rows, i64 v,
                                 i64 room, u32* fault) {
    typedef typename Computed<S>::Number T;
    DYNAMIC_SHARED(memory);
    const i64 parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    const Target<T> target = {classes, shares, v};
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Level level = levels[row];
        const S* numbers = x + row * v;
        double found = not_a_number<double>();
        if (!target.is_apt(row)) {
            if (threadIdx.x == 0) report(fault);
        } else if (!is_nan(level.top)) {
            Tokens<S> tokens(numbers, v, maxima ? maxima + row * parts : maxima, memory, room);
            tokens.keep_from(level.least);
            // Measured from the maximum or from the class, so that nothing cancels.
            const double origin = classes ? (double)load(numbers[classes[row]]) : level.top, a = alpha[row];
            found = sums_of<1>(tokens.count, [&](i64 i, double* of) {
                double number = tokens[i], p = share_of(level, a - 1.0, number).p;
                if (p > 0.0) of[0] += p * (number - origin) - entropy_term(p, a).value;
            }).of[0];
            found += target_sum(target, row, [&](double y, i64 i) {
                return entropy_term(y, a).value - y * ((double)load(numbers[i]) - level.top);
            });
            found = classes || shares ? fmax(found, 0.0) : level.top + found;
        }
        if (threadIdx.x == 0) value[row] = (T)found;
        __syncthreads();
    }
}

// The same, and g[rows] -> dx[rows][v], which holds zeros of long rows before, and dalpha[rows] unless null. Short rows of x are
// read twice.
template <class S>
__global__ void entmax_conjugate_vjp(const S* x, const u64* maxima, const double* alpha, const Level* levels, const i64* classes,
                                     const typename Computed<S>::Number* shares, const S* g, typename Computed<S>::Number* dx,
                                     double* dalpha, i64 rows, i64 v, i64 room) {
    typedef typename Computed<S>::Number T;
    DYNAMIC_SHARED(memory);
    const i64 parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    const Target<T> target = {classes, shares, v};
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Level level = levels[row];
        const double factor = (double)load(g[row]), a = alpha[row];
        T* out = dx + row * v;
        double sum = 0.0;
        if (factor == 0.0) {
            if (!maxima) fill_row(out, v, T(0));
        } else if (is_nan(level.top) || !target.is_apt(row)) {
            fill_row(out, v, not_a_number<T>());
            sum = not_a_number<double>();
        } else {
            Tokens<S> tokens(x + row * v, v, maxima ? maxima + row * parts : maxima, memory, room);
            tokens.keep_from(level.least);
            if (shares || (!maxima && tokens.listed)) {
                for (i64 i = threadIdx.x; i < v; i += blockDim.x) out[i] = shares ? (T)(-factor * target.share(row, i)) : T(0);
                __syncthreads();
            }
            for (i64 i = threadIdx.x; i < tokens.count; i += blockDim.x) {
                i64 place = tokens.place(i);
                double p = share_of(level, a - 1.0, tokens[i]).p;
                out[place] = (T)(factor * (shares ? p - target.share(row, place) : p));
            }
            __syncthreads();
            if (classes && threadIdx.x == 0) {
                double p = share_of(level, a - 1.0, (double)load(x[row * v + classes[row]])).p;
                out[classes[row]] = (T)(factor * (p - 1.0));
            }
            if (dalpha) sum = factor * slope_to_alpha(tokens, level, a, target, row);
        }
        if (dalpha && threadIdx.x == 0) dalpha[row] = sum;
        __syncthreads();
    }
}

// The same, and t along the rows, along[rows][v], and along alpha, along_alpha[rows] -> the gradients of <t, vjp>: dx[rows][v],
// which holds zeros of long rows before, dalpha[rows], dg[rows]. Short rows of x are read twice, t at the support.
template <class T>
__global__ void entmax_conjugate_second(const T* x, const u64* maxima, const double* alpha, const Level* levels, const i64* classes,
                                        const T* shares, const T* g, const T* along, const double* along_alpha, T* dx,
                                        double* dalpha, T* dg, i64 rows, i64 v, i64 room) {
    DYNAMIC_SHARED(memory);
    const i64 parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    const Target<T> target = {classes, shares, v};
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Level level = levels[row];
        const double factor = (double)g[row], a = alpha[row], b = a - 1.0, t = along_alpha[row];
        const T* tangent = along + row * v;
        T* out = dx + row * v;
        double sum = not_a_number<double>(), change = sum;
        if (is_nan(level.top) || !target.is_apt(row)) {
            fill_row(out, v, not_a_number<T>());
        } else {
            Tokens<T> tokens(x + row * v, v, maxima ? maxima + row * parts : maxima, memory, room);
            tokens.keep_from(level.least);
            auto push = [&](i64 i, double p) {
                double moved = (double)tangent[tokens.place(i)];
                return t == 0.0 ? moved : moved - t * pull(p, b);
            };
            Totals<3> first = sums_of<3>(tokens.count, [&](i64 i, double* of) {
                Share share = share_of(level, b, tokens[i]);
                if (!(share.p > 0.0)) return;
                of[0] += share.s;
                of[1] += share.s * push(i, share.p);
                of[2] += share.p * (double)tangent[tokens.place(i)];
            });
            const double drift = first.of[1] / first.of[0];
            if (!maxima && tokens.listed) {
                fill_row(out, v, T(0));
                __syncthreads();
            }
            sum = -sums_of<1>(tokens.count, [&](i64 i, double* of) {
                Share share = share_of(level, b, tokens[i]);
                double dp = 0.0;
                if (share.p > 0.0) {
                    dp = share.s * (push(i, share.p) - drift);
                    of[0] += entropy_term(Dual{share.p, dp}, Dual{a, t}).slope.slope;
                }
                out[tokens.place(i)] = (T)(factor * dp);
            }).of[0];
            sum += target_sum(target, row, [&](double y, i64) { return entropy_term(Dual{y, 0.0}, Dual{a, t}).slope.slope; });
            change = first.of[2] - target_sum(target, row, [&](double y, i64 i) { return y * (double)tangent[i]; });
            if (classes) change -= (double)tangent[classes[row]];
            if (t != 0.0) change += t * slope_to_alpha(tokens, level, a, target, row);
        }
        if (threadIdx.x == 0) {
            dalpha[row] = factor * sum;
            dg[row] = (T)change;
        }
        __syncthreads();
    }
}
