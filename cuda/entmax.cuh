// Entmax of one row by one block: the solution of entmax/solve.rs, its sums in the order of the block; and what derivatives take
// from it, as in entmax/derivative.rs.
//
//   with b = alpha - 1, u = x - max x <= 0 and E(u) = (1 + b u)_+^(1/b):  p = E(u - theta),  theta >= 0 such that they sum to 1
//   b <= 1: Newton's iteration in theta on L(SUM p), L(p) = (p^b - 1) / b, from below
//   b > 1:  the support is what is at least the smallest number c with SUM r < 1, r = (b (u - c))_+^(1/b): by bisection between
//           the tokens, where the host sorts; then p = (r^b + t^b)^(1/b), and Newton's iteration in t
#pragma once
#include "dual.cuh"
#include "tokens.cuh"

#define CLOSE 2e-14  // sums are 1 within so much before they are divided by their sum
#define NEAR 1e-8    // sums from which a step leads to within rounding of 1
#define ROUGH 1e-3   // and to a bound that is good enough
#define STEPS 100    // steps that no iteration has needed

// What is known of a row: its maximum (NaN for rows that are refused), theta or for b > 1 the last token of the support less the
// maximum, that token's p, the sum that is divided by, and a bound that the support reaches.
struct Level {
    double top, theta, last, sum, least;
};

// --- Functions -------------------------------------------------------------------------------------------------------------

// The integral of t^n e^(w t) over t from 0 to 1: the derivative n of (e^w - 1) / w.
__device__ __noinline__ double moment(int n, double w) {
    if (fabs(w) < 1.0) {
        double term = 1.0, sum = 1.0 / (double)(n + 1);
        for (int k = 1; k < 19; ++k) {
            term *= w / (double)k;
            sum += term / (double)(k + n + 1);
        }
        return sum;
    }
    double e = exp_exact(w), found = (e - 1.0) / w;
    for (int m = 1; m <= n; ++m) found = (e - (double)m * found) / w;
    return found;
}

// L(p) = (p^b - 1) / b, the logarithm for b = 0.
__device__ __forceinline__ double deformed_ln(double p, double b) {
    double l = ln_exact(p);
    return l * moment(0, b * l);
}

// p and p^(1-b).
struct Share {
    double p, s;
};

// E and its slope.
__device__ __forceinline__ Share curve(double u, double b) {
    if (b == 0.0) {
        double y = exp_exact(u);
        return {y, y};
    }
    double x = b * u, y = 1.0 + x;
    bool live = y > 2.2250738585072014e-308;
    if (!live) return {0.0, 0.0};
    if (b == 1.0) return {y, 1.0};
    if (b == 0.5) return {y * y, y};
    double p = exp_exact((ln_exact(y) + (x - (y - 1.0)) / y) / b);  // log(1 + x): the second term is what y's rounding took
    return {p, p / y};
}

// (b (u - last))^(1/b) for b > 1.
__device__ __forceinline__ double lift(double u, double last, double b) {
    return u > last ? exp_exact(ln_exact(b * (u - last)) / b) : 0.0;
}

// (r^b + t^b)^(1/b) for b > 1.
__device__ __forceinline__ double norm(double r, double t, double b) {
    double high = r > t ? r : t, low = r > t ? t : r;
    return low == 0.0 ? high : high * exp_exact(log1p(exp_exact(b * ln_exact(low / high))) / b);
}

// p up to the sum that is divided by, and p^(1-b), of a number that is u less than the maximum.
__device__ __forceinline__ Share share_at(const Level& level, double b, double u) {
    if (b <= 1.0) return curve(u - level.theta, b);
    if (u < level.theta) return {0.0, 0.0};
    double p = norm(lift(u, level.theta, b), level.last, b);
    return {p, exp_exact((1.0 - b) * ln_exact(p))};
}

// The share of a number of the row.
__device__ __forceinline__ Share share_of(const Level& level, double b, double x) {
    Share share = share_at(level, b, x - level.top);
    return {share.p / level.sum, share.s};
}

// --- The solution --------------------------------------------------------------------------------------------------------

// The sum at theta, and by how much Newton's iteration changes it; b <= 1.
template <class Fall> __device__ __forceinline__ double newton_step(i64 n, Fall fall, double b, double& theta) {
    Totals<2> sum = sums_of<2>(n, [&](i64 i, double* of) {
        Share share = curve(fall(i) - theta, b);
        of[0] += share.p;
        of[1] += share.s;
    });
    double change = deformed_ln(sum.of[0], b) * exp_exact((1.0 - b) * ln_exact(sum.of[0])) / sum.of[1];
    theta += fmax(change, 0.0);
    return sum.of[0];
}

template <class Fall> __device__ double newton(i64 n, Fall fall, double b, double theta, double close) {
    for (int step = 0; step < STEPS; ++step)
        if (newton_step(n, fall, b, theta) - 1.0 <= close) break;
    return theta;
}

// The last token of the support, b > 1: halves the keys between one that fits and one that does not, until no token is there.
template <class Fall> __device__ double last_of_support(i64 n, Fall fall, double b) {
    u64 fits = key_of(0.0), beyond = key_of(-1.0 / b * (1.0 + 1e-15));
    while (true) {
        u64 low = ~0ull, high = 0;
        for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
            u64 key = key_of(fall(i));
            if (key <= beyond || key >= fits) continue;
            low = key < low ? key : low;
            high = key > high ? key : high;
        }
        low = block_reduce(low, Least());
        high = block_reduce(high, Largest());
        if (low > high) return of_key(fits);
        u64 middle = low + (high - low) / 2;
        double sum = sums_of<1>(n, [&](i64 i, double* of) { of[0] += lift(fall(i), of_key(middle), b); }).of[0];
        // The next token that fits, or the one that does not.
        if (sum < 1.0) {
            fits = middle;
        } else {
            beyond = middle;
        }
    }
}

// Theta for b > 1, and the last token with its p as `level` has them.
template <class Fall> __device__ double solve_steep(i64 n, Fall fall, double b, Level& level) {
    double bar = last_of_support(n, fall, b), last = 0.0;
    Totals<1> size = {};
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
        double u = fall(i);
        if (u < bar) continue;
        last = u < last ? u : last;
        size.of[0] += 1.0;
    }
    last = block_reduce(last, Least());
    double t = 1.0 / block_totals(size).of[0];
    for (int step = 0; step < STEPS; ++step) {
        Totals<2> sum = sums_of<2>(n, [&](i64 i, double* of) {
            double u = fall(i);
            if (u < last) return;
            double p = norm(lift(u, last, b), t, b);
            of[0] += p;
            of[1] += p > t ? exp_exact((b - 1.0) * ln_exact(t / p)) : 1.0;
        });
        double next = t - (sum.of[0] - 1.0) / sum.of[1];
        if (sum.of[0] - 1.0 <= CLOSE || next >= t || next <= 0.0) break;
        t = next;
    }
    level.theta = last;
    level.last = t;
    return last - deformed_ln(t, b);  // 1 + b (last - theta) = t^b
}

// What tokens of a share reach, where theta is the least that it can be.
__device__ __forceinline__ double bound_of(double top, double b, double theta) {
    if (b == 0.0) return -1.7976931348623157e308;
    double window = 1.0 / b;
    return top + (theta - window) - 1e-15 * (fabs(top) + window + theta);
}

// Entmax of a row of this maximum; `tokens` are left as those that may have a share.
template <class S> __device__ Level solve_entmax(Tokens<S>& tokens, double top, double b) {
    Level level = {top, 0.0, 0.0, 1.0, 0.0};
    double theta = 0.0;
    if (tokens.maxima && b > 0.0) {
        // A sum over some of the tokens is too small, so their theta is a lower bound: here of the maxima of segments.
        const u64* maxima = tokens.maxima;
        const i64 parts = (tokens.v + LEAF - 1) / LEAF * (LANES / WARP);
        auto fall = [=](i64 i) { return of_key(maxima[i]) - top; };
        theta = b > 1.0 ? solve_steep(parts, fall, b, level) : newton(parts, fall, b, 0.0, ROUGH);
        theta = fmax(theta - 1e-12 * (1.0 + theta), 0.0);
    }
    tokens.keep_from(bound_of(top, b, theta));
    auto fall = [&](i64 i) { return tokens[i] - top; };
    if (b > 1.0) {
        solve_steep(tokens.count, fall, b, level);
        level.least = top + level.theta - 1e-15 * (fabs(top) - level.theta);
    } else {
        if (!tokens.listed && b > 0.0) {
            // One step leaves fewer.
            newton_step(tokens.v, fall, b, theta);
            theta = fmax(theta - 1e-12 * (1.0 + theta), 0.0);
            tokens.keep_from(bound_of(top, b, theta));
        }
        level.theta = newton(tokens.count, fall, b, theta, NEAR);
        level.least = bound_of(top, b, level.theta);
    }
    level.sum = sums_of<1>(tokens.count, [&](i64 i, double* of) { of[0] += share_at(level, b, tokens[i] - top).p; }).of[0];
    return level;
}

// --- Derivatives -----------------------------------------------------------------------------------------------------------

// C = dL/dalpha at p, and its derivative along dp and dalpha.
__device__ __forceinline__ double pull(double p, double b) {
    double l = ln_exact(p);
    return l * l * moment(1, b * l);
}
__device__ __forceinline__ double pull_slope(double p, double b, double dp, double dalpha) {
    double l = ln_exact(p), dl = dp == 0.0 ? 0.0 : dp / p;
    return 2.0 * l * dl * moment(1, b * l) + l * l * moment(2, b * l) * (dalpha * l + b * dl);
}

// <s, v> / SUM s over tokens of these shares.
template <class At, class Value> __device__ __forceinline__ double weighted_mean(i64 n, At at, Value value) {
    Totals<2> sum = sums_of<2>(n, [&](i64 i, double* of) {
        double s = at(i).s;
        if (s == 0.0) return;
        of[0] += s;
        of[1] += s * value(i);
    });
    return sum.of[1] / sum.of[0];
}

// phi(p) = p L(p) / alpha for p > 0, and its derivative to alpha.
template <class N> struct Term {
    N value, slope;
};
__device__ __forceinline__ double ln_of(double p) { return ln_exact(p); }
__device__ __forceinline__ Dual ln_of(Dual p) { return chain(p, ln_exact(p.value), 1.0 / p.value); }
template <class N> __device__ __forceinline__ N moment_of(int n, N w) {
    return chain(w, moment(n, value_of(w)), moment(n + 1, value_of(w)));
}
template <class N> __device__ __forceinline__ Term<N> entropy_term(N p, N alpha) {
    N l = ln_of(p), w = (alpha - constant<N>(1.0)) * l;
    N value = p * l * moment_of(0, w) / alpha;
    return {value, (p * l * l * moment_of(1, w) - value) / alpha};
}
