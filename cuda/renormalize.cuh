// What the tokens of a support get: a Bregman projection of a distribution onto the simplex over these tokens, by one block, in
// double precision. The solvers, their unknowns and starts are those of renormalize/*.rs; sums are in the order of the block.
#pragma once
#include "draw.cuh"
#include "row.cuh"

#define LITTLE 1e-9  // less than this is handed out in proportion
#define NEAR 2e-14   // solvers end where the sum is so near to 1, or comes no nearer
#define STEPS 100    // a formality: none takes more than 20

// A member of the family, and the side of the divergence that the result stands on.
struct Rule {
    double alpha;
    bool dual;

    __device__ bool is_proportional() const { return fabs(alpha - 1.0) < 1e-8; }
};

// The tokens of a support: decreasing probabilities p, their logarithms and their sum; what they get in q, and room.
struct Support {
    const double *p, *logs;
    u32 k;
    double whole, rest;
    double *q, *spare;
};

struct Pair {
    double value, slope;
};

// The sums of what `term(i)`, i < n, returns, for every thread.
template <class Term> __device__ __forceinline__ Pair sum_pairs(u32 n, Term term) {
    __shared__ Pair parts[WARP];
    Pair sum = {0.0, 0.0};
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) {
        Pair x = term(i);
        sum = {sum.value + x.value, sum.slope + x.slope};
    }
    sum = {warp_reduce(sum.value, Sum()), warp_reduce(sum.slope, Sum())};
    __syncthreads();
    if (lane_of() == 0) parts[warp_of()] = sum;
    __syncthreads();
    Pair found = parts[0];
    for (int w = 1; w < warps_of_block(); ++w) found = {found.value + parts[w].value, found.slope + parts[w].slope};
    return found;
}

// ln(1 + x): the second term is what the sum's rounding took.
__device__ __forceinline__ double ln_1p(double x) {
    double y = 1.0 + x, log = ln_exact(y) + (x - (y - 1.0)) / y;
    return y > 0.0 ? log : -infinity<double>();
}

// Repeats `step`, which returns how far the sum is from 1 and moves on, until that is little or grows no less.
template <class Step> __device__ __forceinline__ void iterate(Step step) {
    double before = infinity<double>();
    for (int number = 0; number < STEPS; ++number) {
        double distance = step();
        if (!(distance > NEAR && distance < before)) return;
        before = distance;
    }
}

// What alpha = 1.5 adds to each of `count` square roots whose sum is given.
__device__ __forceinline__ double root_shift(double roots, double count, double rest) {
    return rest / (roots + sqrt(roots * roots + count * rest));
}

// The level that what is below it is lifted to so that `rest` is handed out: the least mean of it and the smallest tokens.
__device__ __noinline__ double water_level(const Support& s) {
    double level = infinity<double>(), before = s.rest;
    for (u32 base = 0; base < s.k; base += blockDim.x) {
        u32 i = base + threadIdx.x;
        double x = i < s.k ? s.p[s.k - 1 - i] : 0.0, total, sum = block_scan(x, total) + x;
        if (i < s.k) level = fmin(level, (before + sum) / (double)(i + 1));
        before += total;
    }
    return block_reduce(level, Least());
}

// --- The primal, by alpha: each fills q up to a common factor of about 1 and returns the multiplier m / b ------------------

__device__ __noinline__ double solve_by_ratio(double alpha, const Support& s) {
    const double b = alpha - 1.0, first = s.logs[0];
    for (u32 i = threadIdx.x; i < s.k; i += blockDim.x) {
        double t = b * (s.logs[i] - first);
        s.spare[i] = t > 0.0 ? t + log(-expm1(-t)) : -infinity<double>();
    }
    double log_d = b * log1p(s.rest / s.p[0]);
    double last = exp_exact(b * (s.logs[s.k - 1] - first)) * expm1(-b * log(s.whole));
    if (last > -0.9) log_d = fmax(log_d, log1p(last));  // nearer to -1 rounding would make it too large
    double at = log_d;
    iterate([&] {
        Pair sum = sum_pairs(s.k, [&](u32 i) {
            double offset = s.spare[i], high = offset - log_d, z = exp_exact(high < 700.0 ? high : 700.0);
            double log = high < 700.0 ? ln_1p(z) : high, q = exp_exact(first + (log_d + log) / b);
            s.q[i] = q;
            return Pair{q, q / (1.0 + z)};
        });
        at = log_d;
        log_d += log1p(-b * fmax(sum.value - 1.0, 0.0) / sum.slope);
        return sum.value - 1.0;
    });
    return exp_exact(b * first) * expm1(at) / b;
}

__device__ __noinline__ double solve_by_multiplier(double alpha, const Support& s) {
    const double b = alpha - 1.0, whole = log(s.whole), first = s.logs[0], last = s.logs[s.k - 1];
    // The multiplier at which a token of log-probability x gets exp(y).
    auto gap = [&](double y, double x) {
        double power = exp_exact(b * x);
        return (power == 0.0 ? exp_exact(b * y) : power * expm1(b * (y - x))) / b;
    };
    double top = b < 0.0 ? log(s.p[0] + s.rest) : first - whole;
    double bottom = b < 0.0 ? last - whole : log(s.p[s.k - 1] + s.rest / (double)s.k);
    double mu = fmin(gap(top, first), gap(bottom, last)), at = mu;
    for (u32 i = threadIdx.x; i < s.k; i += blockDim.x) s.spare[i] = expm1(b * s.logs[i]);
    iterate([&] {
        Pair sum = sum_pairs(s.k, [&](u32 i) {
            double log = ln_1p(s.spare[i] + b * mu) / b, q = exp_exact(log);
            s.q[i] = q;
            return Pair{q, exp_exact((1.0 - b) * log)};
        });
        at = mu;
        mu -= (sum.value - 1.0) / sum.slope;
        return sum.value - 1.0;
    });
    return at;
}

__device__ __noinline__ double solve_by_power(double alpha, const Support& s) {
    const double b = alpha - 1.0, k = (double)s.k, p = s.p[s.k - 1];
    for (u32 i = threadIdx.x; i < s.k; i += blockDim.x) s.spare[i] = exp_exact(b * s.logs[i]);
    __syncthreads();
    const double first = s.spare[0], last = s.spare[s.k - 1];
    // What lifts the smallest token by an equal share of the rest.
    double equal = expm1(b * log1p(s.rest / (k * p)));
    double m = equal < 1.7976931348623157e308 && last > 0.0 ? last * equal : pow(s.rest / k, b);
    if (alpha < 2.0) m = fmin(m, first * expm1(-b * log(s.whole)));
    double side = alpha < 2.0 ? 1.0 : -1.0, at = m;
    iterate([&] {
        Pair sum = sum_pairs(s.k, [&](u32 i) {
            double y = s.spare[i] + m, q = exp_exact(ln_exact(y) / b);
            s.q[i] = q;
            return Pair{q, q / (b * y)};
        });
        at = m;
        m -= (sum.value - 1.0) / sum.slope;
        return side * (sum.value - 1.0);
    });
    return at / b;
}

__device__ __noinline__ double solve_by_level(double alpha, const Support& s) {
    const double b = alpha - 1.0;
    double t = log(water_level(s)), at = t;
    iterate([&] {
        Pair sum = sum_pairs(s.k, [&](u32 i) {
            double x = s.logs[i], less = exp_exact(-b * fabs(x - t));
            double q = exp_exact((x > t ? x : t) + ln_1p(less) / b);
            s.q[i] = q;
            return Pair{q, q / (1.0 + less) * (x > t ? less : 1.0)};
        });
        at = t;
        t -= (sum.value - 1.0) / sum.slope;
        return sum.value - 1.0;
    });
    return exp_exact(b * at) / b;
}

__device__ inline double solve_primal(double alpha, const Support& s) {
    return alpha <= 0.5    ? solve_by_ratio(alpha, s)
           : alpha < 1.25  ? solve_by_multiplier(alpha, s)
           : alpha <= 4.0  ? solve_by_power(alpha, s)
                           : solve_by_level(alpha, s);
}

// --- The dual ------------------------------------------------------------------------------------------------------------

// The root q >= p = exp(x) of (q - p) q^(a - 2) = m > 0, see `dual_eight`; and p.
__device__ inline double dual_value(double x, double a, double m, double log_m, double& p) {
    p = exp_exact(x);
    if (a == 1.5) {
        double root = 0.5 * (m + sqrt(m * m + 4.0 * p));
        return root * root;
    }
    if (a == 3.0) return 0.5 * (p + sqrt(p * p + 4.0 * m));
    double log_c = log_m - (a - 1.0) * x, linear = exp_exact(log_c), power = exp_exact(log_c / (a - 1.0));
    double t = a < 2.0 ? fmax(power, 1.0 + linear) : 1.0 + fmin(power, linear);
    for (int i = 0; i < 30; ++i) {
        double step = (t - 1.0 - exp_exact(log_c + (2.0 - a) * ln_exact(t))) / (a - 1.0 - (a - 2.0) / t);
        bool far = fabs(step) > 1e-9 * t;  // the error is of the order of the step's square
        t = fmax(t - step, 1.0);
        if (!far) break;
    }
    return p * t;
}

// The values at multiplier m, and the sum of dq/dm.
__device__ __noinline__ Pair sum_dual(const Support& s, double m, double a) {
    const double log_m = log(m);
    return sum_pairs(s.k, [&](u32 i) {
        double p, q = dual_value(s.logs[i], a, m, log_m, p);
        s.q[i] = q;
        return Pair{q, exp_exact((3.0 - a) * ln_exact(q)) / ((a - 1.0) * q - (a - 2.0) * p)};
    });
}

__device__ __noinline__ double solve_dual(double a, const Support& s) {
    double share = s.rest / (double)s.k, m;
    if (a < 2.0) {
        m = s.rest / fmax(sum_terms(s.k, [&](u32 i) { return exp_exact((2.0 - a) * s.logs[i]); }), 1.0);
    } else {
        m = share * pow(s.p[s.k - 1] + share, a - 2.0);
    }
    double side = a < 2.0 ? 1.0 : -1.0, at = m;
    iterate([&] {
        Pair sum = sum_dual(s, m, a);
        at = m;
        m -= (sum.value - 1.0) / sum.slope;
        return side * (sum.value - 1.0);
    });
    return at;
}

__device__ inline double dual_conjugate(double q, double p, double a) {
    return exp_exact((a - 1.0) * ln_exact(q)) * (q * (a - 1.0) / a - p * (a - 2.0) / (a - 1.0));
}

// The value q >= p of a token whose psi is the penalty, p itself where its psi is more already: by Newton's method, kept
// between bounds.
__device__ __noinline__ double dual_priced(double penalty, double p, double a) {
    if (dual_conjugate(p, p, a) >= penalty) return p;
    double scale = a < 2.0 ? a / (a - 1.0) : a * (a - 1.0);
    double low = p, high = fmax(exp_exact(ln_exact(scale * penalty) / a), p), q = high;
    for (int i = 0; i < 60; ++i) {
        double power = exp_exact((a - 2.0) * ln_exact(q));
        double excess = power * q * (q * (a - 1.0) / a - p * (a - 2.0) / (a - 1.0)) - penalty;
        (excess > 0.0 ? high : low) = q;
        double before = q;
        q -= excess / (power * (q * (a - 1.0) - p * (a - 2.0)));
        if (fabs(q - before) <= 1e-9 * q) break;  // the error is of the order of the step's square
        if (!(low < q && q < high)) q = 0.5 * (low + high);
    }
    return q;
}

// --- Both ----------------------------------------------------------------------------------------------------------------

// Fills q with what each of the tokens gets.
__device__ __noinline__ void renormalize(Rule rule, const Support& s) {
    const double k = (double)s.k;
    double add = 0.0, level = 0.0;
    u32 lifted = s.k;
    bool roots = false, solved = false;
    if (s.rest <= LITTLE || s.k < 2 || rule.is_proportional()) {
        // Nothing to be done but the division.
    } else if (rule.alpha == 2.0) {
        add = s.rest / k;
    } else if (rule.dual) {
        solve_dual(rule.alpha, s);
        solved = true;
    } else if (rule.alpha == 1.5) {
        roots = true;
        add = root_shift(sum_terms(s.k, [&](u32 i) { return sqrt(s.p[i]); }), k, s.rest);
    } else if (rule.alpha == infinity<double>()) {
        level = water_level(s);
    } else if (rule.alpha == -infinity<double>()) {
        lifted = (u32)sum_terms(s.k, [&](u32 i) { return s.p[i] == s.p[0] ? 1.0 : 0.0; });
        add = s.rest / (double)lifted;
    } else {
        solve_primal(rule.alpha, s);
        solved = true;
    }
    double sum = sum_terms(s.k, [&](u32 i) {
        if (!solved) {
            double p = s.p[i], root = sqrt(p) + add;
            s.q[i] = roots ? root * root : fmax(i < lifted ? p + add : p, level);
        }
        return s.q[i];
    });
    for (u32 i = threadIdx.x; i < s.k; i += blockDim.x) s.q[i] /= sum;
    __syncthreads();
}

// The cost of a support up to what all supports share, for adaptive rules without a closed form; fills q with anything.
__device__ __noinline__ double cost_of(Rule rule, const Support& s) {
    const double a = rule.alpha, b = a - 1.0;
    if (s.k < 2) return rule.dual ? 1.0 / a - s.p[0] / b : -expm1(b * s.logs[0]) / b - 1.0 / a;
    auto conjugate = [&](double q) { return exp_exact(a * ln_exact(q)) / a; };
    if (s.rest <= LITTLE)  // the multiplier is 0
        return -sum_terms(s.k, [&](u32 i) { return conjugate(s.p[i]); }) / (rule.dual ? b : 1.0);
    if (!rule.dual) {
        double mu = solve_primal(a, s);
        return mu - sum_terms(s.k, [&](u32 i) { return conjugate(s.q[i]); });
    }
    double m = solve_dual(a, s), log_m = log(m);
    return m - sum_terms(s.k, [&](u32 i) {
        double p, q = dual_value(s.logs[i], a, m, log_m, p);
        return dual_conjugate(q, p, a);
    });
}

// What tokens get in sum at the multiplier at which a token of log-probability `next` gets exp(value): q^b = p^b + c^b -
// next^b, relative to p^b; c itself where its power is too large for a double.
__device__ __noinline__ double sum_priced(const double* logs, u32 k, double value, double next, double b) {
    const double lift = b * (value - next), full = exp_exact(value), start = expm1(lift);
    return sum_terms(k, [&](u32 i) {
        double x = logs[i], high = b * (value - x), far = exp_exact(b * (next - x));
        double more = lift < 1.0 ? start * far : exp_exact(high) - far;
        if (high > 700.0) return full;
        return more > -1.0 ? exp_exact(x + ln_1p(more) / b) : infinity<double>();
    });
}
