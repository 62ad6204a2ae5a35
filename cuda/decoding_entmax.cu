// Kernels of `argrad.decoding`: entmax and its derivatives. One block takes one row at a time; rows of more than a leaf have been
// read by `read_rows`, so that only the segments are read again that reach the support.
#include "entmax.cuh"

// x[rows][v], alpha[rows], and for long rows leaves[rows][l] and maxima[rows][8 l] of `read_rows`, l = v / 4096, rounded up, else
// null -> levels[rows], and p[rows][v] unless null; of long rows p holds zeros before. `room` tokens fit into shared memory, each
// a number and 4 bytes. NaN for rows that the host refuses. Short rows are read three times, long ones where the support is; more
// tokens than fit are read from the row in each of about 6 steps.
template <class S>
__global__ void entmax(const S* x, const Leaf* leaves, const u64* maxima, const double* alpha, Level* levels,
                       typename Computed<S>::Number* p, i64 rows, i64 v, i64 room, u32* fault) {
    typedef typename Computed<S>::Number T;
    DYNAMIC_SHARED(memory);
    const i64 parts = (v + LEAF - 1) / LEAF;
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const S* numbers = x + row * v;
        const double b = alpha[row] - 1.0;
        bool bad;
        double top = top_of(numbers, v, leaves ? leaves + row * parts : leaves, bad);
        bad |= !(b >= 0.0 && b < infinity<double>());
        Level level = {not_a_number<double>(), 0, 0, 0, 0};
        if (bad) {
            if (threadIdx.x == 0) report(fault);
            if (p) fill_row(p + row * v, v, not_a_number<T>());
        } else {
            Tokens<S> tokens(numbers, v, maxima ? maxima + row * parts * (LANES / WARP) : maxima, memory, room);
            level = solve_entmax(tokens, top, b);
            if (p && !maxima && tokens.listed) {
                fill_row(p + row * v, v, T(0));
                __syncthreads();
            }
            for (i64 i = threadIdx.x; p && i < tokens.count; i += blockDim.x)
                p[row * v + tokens.place(i)] = (T)share_of(level, b, tokens[i]).p;
        }
        if (threadIdx.x == 0) levels[row] = level;
        __syncthreads();
    }
}

// x[rows][v], maxima as above, alpha[rows], levels[rows] of `entmax`, g[rows][v] -> dx[rows][v], which holds zeros of long rows
// before, and dalpha[rows] unless null. Short rows of x are read twice; g at the support alone.
template <class S>
__global__ void entmax_vjp(const S* x, const u64* maxima, const double* alpha, const Level* levels, const S* g,
                           typename Computed<S>::Number* dx, double* dalpha, i64 rows, i64 v, i64 room) {
    typedef typename Computed<S>::Number T;
    DYNAMIC_SHARED(memory);
    const i64 parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Level level = levels[row];
        const double b = alpha[row] - 1.0;
        T* out = dx + row * v;
        double sum = not_a_number<double>();
        if (is_nan(level.top)) {
            fill_row(out, v, not_a_number<T>());
        } else {
            Tokens<S> tokens(x + row * v, v, maxima ? maxima + row * parts : maxima, memory, room);
            tokens.keep_from(level.least);
            const S* upstream = g + row * v;
            auto at = [&](i64 i) { return share_of(level, b, tokens[i]); };
            auto value = [&](i64 i) { return (double)load(upstream[tokens.place(i)]); };
            double mean = weighted_mean(tokens.count, at, value);
            if (!maxima && tokens.listed) {
                fill_row(out, v, T(0));
                __syncthreads();
            }
            sum = sums_of<1>(tokens.count, [&](i64 i, double* of) {
                Share share = at(i);
                double change = share.s == 0.0 ? 0.0 : share.s * (value(i) - mean);
                out[tokens.place(i)] = (T)change;
                if (dalpha && share.p > 0.0) of[0] -= change * pull(share.p, b);
            }).of[0];
        }
        if (dalpha && threadIdx.x == 0) dalpha[row] = sum;
        __syncthreads();
    }
}

// The same, and t along the rows, along[rows][v], and along alpha, along_alpha[rows] -> the gradients of <t, vjp>: dx[rows][v],
// dalpha[rows], dg[rows][v]; dx and dg hold zeros of long rows before. Short rows of x are read twice, g and t at the support.
template <class T>
__global__ void entmax_second(const T* x, const u64* maxima, const double* alpha, const Level* levels, const T* g, const T* along,
                              const double* along_alpha, T* dx, double* dalpha, T* dg, i64 rows, i64 v, i64 room) {
    DYNAMIC_SHARED(memory);
    const i64 parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Level level = levels[row];
        const double b = alpha[row] - 1.0, t = along_alpha[row];
        double sum = not_a_number<double>();
        if (is_nan(level.top)) {
            fill_row(dx + row * v, v, not_a_number<T>());
            fill_row(dg + row * v, v, not_a_number<T>());
        } else {
            Tokens<T> tokens(x + row * v, v, maxima ? maxima + row * parts : maxima, memory, room);
            tokens.keep_from(level.least);
            auto at = [&](i64 i) { return share_of(level, b, tokens[i]); };
            auto upstream = [&](i64 i) { return (double)g[row * v + tokens.place(i)]; };
            // What the row and alpha change in L(p): theta takes its mean from it.
            auto push = [&](i64 i, double p) {
                double change = (double)along[row * v + tokens.place(i)];
                return t == 0.0 ? change : change - t * pull(p, b);
            };
            Totals<3> first = sums_of<3>(tokens.count, [&](i64 i, double* of) {
                Share share = at(i);
                if (!(share.p > 0.0)) return;
                of[0] += share.s;
                of[1] += share.s * upstream(i);
                of[2] += share.s * push(i, share.p);
            });
            const double mean = first.of[1] / first.of[0], drift = first.of[2] / first.of[0];
            // How p and s = p^(1-b) move.
            auto moved = [&](i64 i, Share share) {
                double dp = share.s * (push(i, share.p) - drift), ds = b == 1.0 ? 0.0 : (1.0 - b) * (share.s / share.p) * dp;
                return Share{dp, t == 0.0 ? ds : ds - t * ln_exact(share.p) * share.s};
            };
            double turn = sums_of<1>(tokens.count, [&](i64 i, double* of) {
                Share share = at(i);
                if (share.p > 0.0) of[0] += moved(i, share).s * (upstream(i) - mean);
            }).of[0] / first.of[0];
            if (!maxima && tokens.listed) {
                fill_row(dx + row * v, v, T(0));
                fill_row(dg + row * v, v, T(0));
                __syncthreads();
            }
            sum = sums_of<1>(tokens.count, [&](i64 i, double* of) {
                Share share = at(i), change = {0.0, 0.0};
                double to_row = 0.0;
                if (share.p > 0.0) {
                    change = moved(i, share);
                    double away = upstream(i) - mean;
                    to_row = change.s * away - share.s * turn;
                    of[0] -= to_row * pull(share.p, b) + share.s * away * pull_slope(share.p, b, change.p, t);
                }
                dx[row * v + tokens.place(i)] = (T)to_row;
                dg[row * v + tokens.place(i)] = (T)change.p;
            }).of[0];
        }
        if (threadIdx.x == 0) dalpha[row] = sum;
        __syncthreads();
    }
}
