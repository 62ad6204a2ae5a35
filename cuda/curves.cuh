// The distribution functions of soft top-k masks: increasing curves F from 0 to 1, as rust/core/src/sorting/curves.rs.
#pragma once
#include "elementary.cuh"

enum Shape { LOGISTIC, LAPLACE, CLIP, POWER, GAUSSIAN, CUTOFF };

// The smaller of F and 1 - F, which keeps its relative precision on both sides, F', and whether F >= 1/2.
template <class T> struct Point {
    T tail, slope;
    bool upper;
    __device__ __forceinline__ T value() const { return upper ? T(1) - tail : tail; }
};

// ln F and the derivative of that, and of that again.
struct LogSlopes {
    double ratio, change;
};

// ln(1 + u) for -1/2 <= u <= 1: 2 atanh(u / (2 + u)) by its series.
__device__ __forceinline__ double log_one_plus(double u) {
    double z = u / (2.0 + u), w = z * z, sum = 1.0 / 33.0;
#pragma unroll
    for (int odd = 31; odd > 0; odd -= 2) sum = fma(sum, w, 1.0 / (double)odd);
    return 2.0 * z * sum;
}

#define ROOT_HALF 0.70710678118654752440
#define DENSITY 0.3989422804014327

// exp(t^2 / 2) Phi(-t) for t >= 0, by a Chebyshev series of (1 + 2 z) exp(z^2) erfc(z) in (z - 3.75) / (z + 3.75).
__device__ inline double scaled_tail(double t) {
    const double series[26] = {
        1.1775789345674018,     -4.590054580646477e-3,  -8.424913336651792e-2,  5.920993999819189e-2,
        -2.665866843530575e-2,  9.074997670705265e-3,   -2.413163540417608e-3,  4.907758365258086e-4,
        -6.916973302501206e-5,  4.13902798607301e-6,    7.740383066198849e-7,   -2.18864010492344e-7,
        1.076499946567091e-8,   4.521959811218287e-9,   -7.754400208831135e-10, -6.318088340886684e-11,
        2.86879501063067e-11,   1.945586854577735e-13,  -9.65469674843344e-13,  3.25254814814874e-14,
        3.347811948206805e-14,  -1.86456288041931e-15,  -1.25079505306876e-15,  7.418235256624e-17,
        5.068148904796e-17,     -2.2370566594e-18};
    double z = t * ROOT_HALF, u = (z - 3.75) / (z + 3.75), a = 0.0, b = 0.0;
#pragma unroll
    for (int i = 25; i >= 1; --i) {
        double next = fma(2.0 * u, a, series[i] - b);
        b = a;
        a = next;
    }
    return 0.5 * (fma(u, a, series[0]) - b) / (1.0 + 2.0 * z);
}

// exp(-t^2 / 2) with the rounding of the square made good.
__device__ inline double bell(double t) {
    double square = t * t, rest = fma(t, t, -square);
    return exp_exact(-0.5 * square) * (1.0 - 0.5 * rest);
}

// The normal quantile to 5e-4 (Abramowitz and Stegun, 26.2.23).
__device__ inline double normal_quantile(double p) {
    double t = sqrt(-2.0 * log(min(p, 1.0 - p)));
    double top = 2.515517 + t * (0.802853 + t * 0.010328);
    double size = t - top / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    return p < 0.5 ? -size : size;
}

// exp(-|t|), 0 where it would soon underflow.
__device__ __forceinline__ float decay(float t) { return fabsf(t) < 86.0f ? exp_exact(-fabsf(t)) : 0.0f; }
__device__ __forceinline__ double decay(double t) { return fabs(t) < 700.0 ? exp_exact(-fabs(t)) : 0.0; }

__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }

// A curve, chosen when a kernel runs: all threads take the same branch.
struct Curve {
    int shape;
    double exponent;  // of POWER

    // t^(exponent - 1) for t in 0..1.
    __device__ __forceinline__ double lower(double t) const {
        return fabs(exponent - 3.0) < 1e-9 ? t * t : pow(t, exponent - 1.0);
    }
    template <class T> __device__ Point<T> at(T t) const {
        if (shape == CLIP) {
            T y = min(max(t, T(0)), T(1));
            bool upper = y >= T(0.5);
            return {upper ? T(1) - y : y, T(t > T(0) && t < T(1)), upper};
        }
        if (shape == LAPLACE) {
            T tail = decay(t) * T(0.5);
            return {tail, tail, t >= T(0)};
        }
        if (shape == POWER) {
            double wide = (double)t, cut = min(max(wide, 0.0), 1.0), low = lower(cut), y = low * cut;
            bool upper = y >= 0.5;
            return {(T)(upper ? 1.0 - y : y), (T)(wide > 0.0 && wide < 1.0 ? exponent * low : 0.0), upper};
        }
        if (shape == GAUSSIAN) {
            double size = min(fabs((double)t), 50.0), height = bell(size);  // both underflow from 39 on
            return {(T)(height * scaled_tail(size)), (T)(height * DENSITY), t >= T(0)};
        }
        T e = decay(t), upper = T(1) / (T(1) + e), tail = e * upper;
        return {tail, tail * upper, t >= T(0)};
    }
    // F''
    __device__ double bend(double t) const {
        if (shape == CLIP) return 0.0;
        if (shape == POWER) return t > 0.0 && t < 1.0 ? exponent * (exponent - 1.0) * lower(t) / t : 0.0;
        if (shape == GAUSSIAN) {
            double size = min(fabs(t), 50.0);
            return -copysign(size * bell(size) * DENSITY, t);
        }
        double e = exp_exact(-fabs(t)), upper = 1.0 / (1.0 + e);
        return -copysign(shape == LAPLACE ? 0.5 * e : e * upper * upper * (1.0 - e) * upper, t);
    }
    // ln F; minus infinity where F is 0
    __device__ double log_of(double t) const {
        if (shape == CLIP) return log(min(max(t, 0.0), 1.0));
        if (shape == POWER) return exponent * log(min(max(t, 0.0), 1.0));
        if (shape == LAPLACE) return t < 0.0 ? t - 0.69314718055994531 : log_one_plus(-0.5 * exp_exact(-t));
        if (shape == GAUSSIAN) {
            return t < 0.0 ? -0.5 * t * t + log(scaled_tail(-t)) : log_one_plus(-at(t).tail);
        }
        return min(t, 0.0) - log_one_plus(exp_exact(-fabs(t)));
    }
    __device__ LogSlopes log_slopes(double t) const {
        bool inside = t > 0.0 && t < 1.0;
        if (shape == CLIP) return inside ? LogSlopes{1.0 / t, -1.0 / (t * t)} : LogSlopes{0.0, 0.0};
        if (shape == POWER) return inside ? LogSlopes{exponent / t, -exponent / (t * t)} : LogSlopes{0.0, 0.0};
        if (shape == LAPLACE) {
            double tail = 0.5 * exp_exact(-fabs(t)), ratio = tail / (1.0 - tail);
            return t < 0.0 ? LogSlopes{1.0, 0.0} : LogSlopes{ratio, -ratio / (1.0 - tail)};
        }
        Point<double> here = at(t);
        if (shape == GAUSSIAN) {
            double ratio = t < 0.0 ? DENSITY / scaled_tail(-t) : here.slope / (1.0 - here.tail);
            return {ratio, t < -1e8 ? -1.0 : -ratio * (t + ratio)};
        }
        return {here.upper ? here.tail : 1.0 - here.tail, -here.slope};
    }
    // About where F is p, for a first guess.
    __device__ double quantile(double p) const {
        if (shape == CLIP) return p;
        if (shape == POWER) return pow(p, 1.0 / exponent);
        if (shape == LAPLACE) return p < 0.5 ? log(2.0 * p) : -log(2.0 - 2.0 * p);
        return shape == GAUSSIAN ? normal_quantile(p) : log(p / (1.0 - p));
    }
};
