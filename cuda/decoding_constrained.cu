// Kernels of `argrad.decoding`: softmax and sparsemax with an upper bound for each item; what constrained.rs finds with lists is
// found here in passes over the row, which stays in a cache. One block takes one row at a time.
#include "tokens.cuh"

#define STEPS 200  // steps that no iteration has needed

// The solution of a row; NaN in `start` for rows that are refused.
//   softmax:    items of x - log(upper) >= start are at their bounds; the others have the share e^(x - top) / sum of `mass`
//   sparsemax:  p = x - start - top, cut to its bounds; those between them are measured from `mass`, and `sum` is their number
struct Level {
    double start, top, mass, sum;
};

enum Kind { OUT, FREE, CAPPED };

// What an item has, how much of a change it takes, and its share of what is taken from the free items.
struct Item {
    Kind kind;
    double p, slope, share;
};

// A row of v items and their bounds; a total of NaN is softmax.
template <class T> struct Problem {
    const T *x, *upper;
    i64 v;
    double total;

    __device__ __forceinline__ bool is_softmax() const { return is_nan(total); }
    __device__ __forceinline__ bool is_capped(i64 i, double start) const {
        double u = (double)upper[i];
        return (u > 0.0 ? (double)x[i] - log(u) : infinity<double>()) >= start;
    }
    __device__ __forceinline__ Item item(const Level& level, i64 i) const {
        double z = (double)x[i], u = (double)upper[i];
        if (z == -infinity<double>()) return {OUT, 0.0, 0.0, 0.0};
        if (is_softmax()) {
            if (is_capped(i, level.start)) return {CAPPED, u, 0.0, 0.0};
            double share = exp_exact(z - level.top) / level.sum, p = level.mass * share;
            return {FREE, p, p, share};
        }
        z -= level.start;
        double p = z - level.top;
        if (p >= u) return {CAPPED, u, 0.0, 0.0};
        if (!(p > 0.0)) return {OUT, 0.0, 0.0, 0.0};
        return {FREE, fmin(fmax(z - level.mass, 0.0), u), 1.0, 1.0 / level.sum};
    }
};

// Lowers the level from which items are capped, until no more are.
template <class T> __device__ Level solve_softmax(const Problem<T>& row) {
    Level level = {infinity<double>(), 0.0, 1.0, 1.0};
    double before = -1.0;
    while (true) {
        double top = -infinity<double>();
        Totals<2> sum = {};
        for (i64 i = threadIdx.x; i < row.v; i += blockDim.x) {
            double z = (double)row.x[i];
            if (z == -infinity<double>()) continue;
            if (row.is_capped(i, level.start)) {
                sum.of[0] += (double)row.upper[i];
            } else {
                sum.of[1] += 1.0;
                top = fmax(top, z);
            }
        }
        sum = block_totals(sum);
        level.top = block_reduce(top, Largest());
        level.mass = fmax(1.0 - sum.of[0], 0.0);
        const double count = sum.of[1];
        if (count == 0.0 || count == before) return level;
        before = count;
        level.sum = sums_of<1>(row.v, [&](i64 i, double* of) {
            double z = (double)row.x[i];
            if (z > -infinity<double>() && !row.is_capped(i, level.start)) of[0] += exp_exact(z - level.top);
        }).of[0];
        double next = level.top + ln_exact(level.sum) - log(fmax(level.mass, 2.2250738585072014e-308));
        level.start = fmin(level.start, next);  // so that no cap is taken back
    }
}

// Tau of the items less `shift`, as exactly as its magnitude allows: Newton's iteration, and bisection where it leaves the bracket.
template <class T> __device__ double find_root(const Problem<T>& row, double shift, double start) {
    double low = infinity<double>(), high = -low;
    for (i64 i = threadIdx.x; i < row.v; i += blockDim.x) {
        double z = (double)row.x[i] - shift;
        if (z == -infinity<double>()) continue;
        low = fmin(low, z - fmin((double)row.upper[i], row.total));
        high = fmax(high, z);
    }
    low = block_reduce(low, Least());
    high = block_reduce(high, Largest());
    double tau = fmin(fmax(start, low), high);
    for (int step = 0; step < STEPS; ++step) {
        Totals<2> sum = sums_of<2>(row.v, [&](i64 i, double* of) {
            double p = (double)row.x[i] - shift - tau, u = (double)row.upper[i];
            of[0] += fmin(fmax(p, 0.0), u);
            of[1] += p > 0.0 && p < u ? 1.0 : 0.0;
        });
        (sum.of[0] >= row.total ? low : high) = tau;
        double next = sum.of[1] > 0.0 ? tau + (sum.of[0] - row.total) / sum.of[1] : not_a_number<double>();
        bool inside = next > low && next < high;
        if (!(next == tau || (inside && step % 3 < 2))) next = 0.5 * low + 0.5 * high;
        if (next == tau || next <= low || next >= high) break;
        tau = next;
    }
    return tau;
}

template <class T> __device__ Level solve_sparsemax(const Problem<T>& row) {
    // Items near tau are measured from it and solved for once more: their differences are exact, however large they are.
    const double coarse = find_root(row, 0.0, -infinity<double>()), tau = find_root(row, coarse, 0.0);
    // In closed form from the items that are between their bounds there.
    Totals<3> sum = sums_of<3>(row.v, [&](i64 i, double* of) {
        double z = (double)row.x[i] - coarse, u = (double)row.upper[i], p = z - tau;
        if (p >= u) {
            if (z > -infinity<double>()) of[0] += u;
        } else if (p > 0.0) {
            of[1] += z;
            of[2] += 1.0;
        }
    });
    double settled = sum.of[2] > 0.0 ? (sum.of[1] - (row.total - sum.of[0])) / sum.of[2] : tau;
    return {coarse, tau, settled, sum.of[2]};
}

// x[rows][v], upper[rows][v], what rows sum to (NaN for softmax) -> levels[rows], and p[rows][v] unless null; NaN for rows that the
// host refuses. Reads both twice, and for each round of caps twice, or for each of about 15 steps once.
template <class T>
__global__ void constrained(const T* x, const T* upper, double total, Level* levels, T* p, i64 rows, i64 v, u32* fault) {
    const double whole = is_nan(total) ? 1.0 : total, slack = sizeof(T) == 4 ? 8.0 * 5.960464477539063e-8 : 1e-12;
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Problem<T> problem = {x + row * v, upper + row * v, v, total};
        bool bad;
        top_of(problem.x, v, nullptr, bad);
        u32 wrong = 0;
        double most = sums_of<1>(v, [&](i64 i, double* of) {
            double u = (double)problem.upper[i];
            wrong |= !(u >= 0.0);
            if (problem.x[i] > -infinity<T>()) of[0] += u;
        }).of[0];
        bad |= block_reduce(wrong, Largest()) || !(most >= whole * (1.0 - slack));
        Level level = {not_a_number<double>(), 0.0, 0.0, 0.0};
        if (bad) {
            if (threadIdx.x == 0) report(fault);
        } else if (most <= whole * (1.0 + 1e-15)) {
            // Every item is at its bound.
            level.start = problem.is_softmax() ? -infinity<double>() : 0.0;
            level.top = -infinity<double>();
        } else {
            level = problem.is_softmax() ? solve_softmax(problem) : solve_sparsemax(problem);
        }
        for (i64 i = threadIdx.x; p && i < v; i += blockDim.x)
            p[row * v + i] = bad ? not_a_number<T>() : (T)problem.item(level, i).p;
        if (threadIdx.x == 0) levels[row] = level;
        __syncthreads();
    }
}

// The same, levels[rows], g[rows][v] -> dx[rows][v], dupper[rows][v]. Two reads of all.
template <class T>
__global__ void constrained_vjp(const T* x, const T* upper, double total, const Level* levels, const T* g, T* dx, T* dupper,
                                i64 rows, i64 v) {
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Problem<T> problem = {x + row * v, upper + row * v, v, total};
        const Level level = levels[row];
        const T* upstream = g + row * v;
        double mean = sums_of<1>(v, [&](i64 i, double* of) {
            Item item = problem.item(level, i);
            if (item.kind == FREE) of[0] += item.share * (double)upstream[i];
        }).of[0];
        if (is_nan(level.start)) mean = level.start;
        for (i64 i = threadIdx.x; i < v; i += blockDim.x) {
            Item item = problem.item(level, i);
            double away = (double)upstream[i] - mean;
            dx[row * v + i] = (T)(item.kind == FREE || is_nan(mean) ? item.slope * away : 0.0);
            dupper[row * v + i] = (T)(item.kind == CAPPED || is_nan(mean) ? away : 0.0);
        }
        __syncthreads();
    }
}

// The same, and t along the rows and their bounds, along[rows][v], along_upper[rows][v] -> the gradients of <t, vjp>: dx, dupper and
// dg, each [rows][v]. Three reads of all.
template <class T>
__global__ void constrained_second(const T* x, const T* upper, double total, const Level* levels, const T* g, const T* along,
                                   const T* along_upper, T* dx, T* dupper, T* dg, i64 rows, i64 v) {
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Problem<T> problem = {x + row * v, upper + row * v, v, total};
        const Level level = levels[row];
        const i64 first = row * v;
        Totals<3> mean = sums_of<3>(v, [&](i64 i, double* of) {
            Item item = problem.item(level, i);
            if (item.kind == FREE) {
                of[0] += item.share * (double)g[first + i];
                of[1] += item.share * (double)along[first + i];
            } else if (item.kind == CAPPED) {
                of[2] += (double)along_upper[first + i];
            }
        });
        double upstream = is_nan(level.start) ? level.start : mean.of[0];
        const double drift = mean.of[1], taken = mean.of[2];
        // Softmax's shares change, sparsemax's do not.
        double turned = !problem.is_softmax() ? 0.0 : sums_of<1>(v, [&](i64 i, double* of) {
            Item item = problem.item(level, i);
            if (item.kind == FREE) of[0] += item.share * ((double)along[first + i] - drift) * (double)g[first + i];
        }).of[0];
        for (i64 i = threadIdx.x; i < v; i += blockDim.x) {
            Item item = problem.item(level, i);
            double to_x = 0.0, to_upper = 0.0, to_g = 0.0;
            if (is_nan(upstream)) {
                to_x = to_upper = to_g = upstream;
            } else if (item.kind == FREE) {
                to_g = item.slope * ((double)along[first + i] - drift) - item.share * taken;
                if (problem.is_softmax()) to_x = to_g * ((double)g[first + i] - upstream) - item.p * turned;
            } else if (item.kind == CAPPED) {
                to_upper = -turned;
                to_g = (double)along_upper[first + i];
            }
            dx[first + i] = (T)to_x;
            dupper[first + i] = (T)to_upper;
            dg[first + i] = (T)to_g;
        }
        __syncthreads();
    }
}
