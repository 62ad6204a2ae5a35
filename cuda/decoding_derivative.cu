// The first and second derivative of `bregman_project` on the support that was found; the formulas stand in project.rs. Dual
// numbers give the second out of the first: without a tangent their slopes are 0.
//
//   average_tangent    where there is one: SUM t_j e_j of each leaf
//   derive_support     what the kept tokens get, and the line a t_j + b by which the others follow
//   spread_derivative  (a t_j + b) e_j for all tokens of a leaf, then those that are kept
#include "renormalize.cuh"

// value + slope e with e^2 = 0.
struct Dual {
    double value, slope;

    __device__ Dual chain(double to, double by) const { return {to, slope == 0.0 ? 0.0 : by * slope}; }
};
__device__ __forceinline__ Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
__device__ __forceinline__ Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
__device__ __forceinline__ Dual operator*(Dual a, Dual b) { return {a.value * b.value, a.slope * b.value + a.value * b.slope}; }
__device__ __forceinline__ Dual operator/(Dual a, Dual b) {
    double value = a.value / b.value;
    return {value, (a.slope - value * b.slope) / b.value};
}
__device__ __forceinline__ Dual constant(double x) { return {x, 0.0}; }
__device__ __forceinline__ Dual exp_of(Dual x) { return x.chain(exp(x.value), exp(x.value)); }
__device__ __forceinline__ Dual ln_of(Dual x) { return x.chain(log(x.value), 1.0 / x.value); }
template <class Term> __device__ __forceinline__ Dual sum_duals(u32 n, Term term) {
    Pair sum = sum_pairs(n, [&](u32 i) {
        Dual x = term(i);
        return Pair{x.value, x.slope};
    });
    return {sum.value, sum.slope};
}

// How a kept token moves: dq_i = c_i dp_i + w_i dm, w relative to that of the anchor, whose value is given.
struct Weights {
    Dual w, c;
};
__device__ inline Weights weights_of(Rule rule, Dual p, Dual q, double anchor) {
    const double a = rule.alpha;
    if (rule.is_proportional()) return {q, constant(1.0)};
    if (a == 2.0) return {constant(1.0), constant(1.0)};
    if (fabs(a) == infinity<double>()) {
        bool level = fabs(q.value / anchor - 1.0) < 1e-12;  // only those at the level share what moves
        return {constant(level), constant(!level)};
    }
    Dual ratio = ln_of(q) - constant(log(anchor));
    if (!rule.dual) return {exp_of(ratio * constant(2.0 - a)), exp_of((ln_of(q) - ln_of(p)) * constant(2.0 - a))};
    Dual slope = q * constant(a - 1.0) - p * constant(a - 2.0);
    return {exp_of(ratio * constant(3.0 - a)) / slope, q / slope};
}

// x[rows][v], tangent[rows][v] (T), temperature[rows], sums[rows][2] of `bregman_project` -> partial[rows][l]: for each leaf
// SUM tangent exp((x - maximum) / temperature). 256 threads a leaf; one read.
template <class S>
__global__ void average_tangent(const S* x, const typename Computed<S>::Number* tangent, const double* temperature,
                                const double* sums, double* partial, i64 rows, i64 v) {
    typedef typename Computed<S>::Number T;
    const i64 parts = (v + LEAF - 1) / LEAF;
    for (i64 item = blockIdx.x; item < rows * parts; item += gridDim.x) {
        i64 row = item / parts, start = item % parts * LEAF, end = v - start < LEAF ? v - start : LEAF;
        double t = temperature[row], sum = 0.0;
        Decay<T> decay((T)sums[2 * row], Rate<T>(t > 0.0 ? t : 1.0));
        for (i64 i = row * v + start + threadIdx.x; i < row * v + start + end; i += blockDim.x)
            sum += (double)decay.weight(load(x[i])) * (double)tangent[i];
        sum = block_reduce(sum, Sum());
        if (threadIdx.x == 0) partial[item] = sum;
    }
}

// The point of a `bregman_project` (places, q: [rows][width], sums[rows][2]), the upstream gradient g[rows][width] (double
// where `wide`, else float) and for the second derivative tangent[rows][v] of the same type with partial[rows][l], else null
// -> what the kept tokens get in kept[rows][width], and line[rows][2]; and with a tangent how q moves in moved[rows][width],
// the gradient to g. One block a row, O(width).
extern "C" __global__ void derive_support(const void* x, i64 storage, i64 rows, i64 v, const double* temperature, double alpha,
                                          i64 dual, i64 width, const i64* places, const double* q, const double* sums,
                                          const void* g, i64 wide, const void* tangent, const double* partial, double* kept,
                                          double* line, double* moved) {
    const Rule rule = {alpha, dual != 0};
    const Rows all = {{x, (int)storage, v, nullptr, nullptr, 0}};
    auto number = [=](const void* at, i64 i) { return wide ? ((const double*)at)[i] : (double)((const float*)at)[i]; };
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const i64 first = row * width;
        const double t = temperature[row], top = sums[2 * row], z = sums[2 * row + 1];
        const Row numbers = all[row];
        u32 k = 0;
        for (i64 j = threadIdx.x; j < width; j += blockDim.x) k += places[first + j] >= 0;
        k = block_reduce(k, Sum());
        for (i64 j = k + threadIdx.x; j < width && moved; j += blockDim.x) moved[first + j] = 0.0;
        if (k < 2) {  // a single token has 1; a row that was refused has a largest logit of NaN
            for (u32 j = threadIdx.x; j < k; j += blockDim.x) {
                kept[first + j] = 0.0;
                if (moved) moved[first + j] = 0.0;
            }
            if (threadIdx.x < 2) line[2 * row + threadIdx.x] = threadIdx.x && is_nan(top) ? top : 0.0;
            continue;
        }
        auto along = [&](u32 j) { return tangent ? number(tangent, row * v + places[first + j]) : 0.0; };
        auto chance = [&](u32 j) {
            return rule.is_proportional() ? q[first + j] : exp_exact((numbers[places[first + j]] - top) / t) / z;
        };
        double mean = 0.0;
        if (tangent && rule.is_proportional()) {
            mean = sum_terms(k, [&](u32 j) { return chance(j) * along(j); });
        } else if (tangent) {
            const i64 parts = numbers.leaf_count();
            for (i64 l = 0; l < parts; ++l) mean += partial[row * parts + l];
            mean /= z;
        }
        auto p_of = [&](u32 j) {
            double p = chance(j);
            return Dual{p, tangent ? p * (along(j) - mean) / t : 0.0};
        };
        const u32 anchor = alpha > 2.0 ? k - 1 : 0;
        const double at = q[first + anchor], g_at = number(g, first + anchor);
        if (tangent) {  // the values move with p
            auto still = [&](u32 j) { return weights_of(rule, constant(chance(j)), constant(q[first + j]), at); };
            double whole = sum_terms(k, [&](u32 j) { return still(j).w.value; });
            double pull = sum_terms(k, [&](u32 j) { return still(j).c.value * p_of(j).slope; });
            double others = sum_terms(k, [&](u32 j) {
                Weights by = still(j);
                double move = by.c.value * p_of(j).slope - by.w.value / whole * pull;
                moved[first + j] = move;
                return j == anchor ? 0.0 : move;
            });
            if (threadIdx.x == 0) moved[first + anchor] = -others;
            __syncthreads();
        }
        auto weigh = [&](u32 j) {
            return weights_of(rule, p_of(j), {q[first + j], tangent ? moved[first + j] : 0.0}, at);
        };
        Dual whole = sum_duals(k, [&](u32 j) { return weigh(j).w; });
        // The mean of g under w is g at the anchor + shift: the anchor's own difference to it is the shift, however small.
        Dual shift = sum_duals(k, [&](u32 j) { return weigh(j).w / whole * constant(number(g, first + j) - g_at); });
        auto u_of = [&](u32 j) { return weigh(j).c * (constant(number(g, first + j) - g_at) - shift); };
        Dual kappa = {0.0, 0.0};
        if (!rule.is_proportional()) kappa = sum_duals(k, [&](u32 j) { return p_of(j) * u_of(j); });
        for (u32 j = threadIdx.x; j < k; j += blockDim.x) {
            Dual slope = p_of(j) * (u_of(j) - kappa);
            kept[first + j] = (tangent ? slope.slope : slope.value) / t;
        }
        if (threadIdx.x == 0) {
            // Elsewhere the gradient is -p_j kappa / T, and p_j moves by p_j (t_j - mean) / T.
            bool flat = rule.is_proportional();
            double scale = flat ? 0.0 : -1.0 / (t * z);
            line[2 * row] = tangent && !flat ? scale * (kappa.value / t) : 0.0;
            line[2 * row + 1] = flat ? 0.0 : scale * (tangent ? kappa.slope - kappa.value * mean / t : kappa.value);
        }
        __syncthreads();
    }
}

// x[rows][v], tangent[rows][v] or null, temperature[rows], sums[rows][2], and places[rows][width], kept[rows][width],
// line[rows][2] of `derive_support` -> dx[rows][v]. 256 threads a leaf; one read and one write.
template <class S>
__global__ void spread_derivative(const S* x, const typename Computed<S>::Number* tangent, const double* temperature,
                                  const double* sums, const i64* places, const double* kept, const double* line,
                                  typename Computed<S>::Number* dx, i64 rows, i64 v, i64 width) {
    typedef typename Computed<S>::Number T;
    const i64 parts = (v + LEAF - 1) / LEAF;
    for (i64 item = blockIdx.x; item < rows * parts; item += gridDim.x) {
        i64 row = item / parts, start = item % parts * LEAF, end = v - start < LEAF ? v : start + LEAF;
        double t = temperature[row];
        Decay<T> decay((T)sums[2 * row], Rate<T>(t > 0.0 ? t : 1.0));
        T slope = (T)line[2 * row], rest = (T)line[2 * row + 1];
        bool nothing = slope == T(0) && rest == T(0);
        for (i64 i = row * v + start + threadIdx.x; i < row * v + end; i += blockDim.x)
            dx[i] = nothing ? T(0) : decay.weight(load(x[i])) * (tangent ? fused(tangent[i], slope, rest) : rest);
        __syncthreads();  // a kept token may have been another thread's
        for (i64 j = row * width + threadIdx.x; j < (row + 1) * width && places[j] >= 0; j += blockDim.x)
            if (places[j] >= start && places[j] < end) dx[row * v + places[j]] = (T)kept[j];
    }
}
