// Elementary functions as plain arithmetic: the same bits as rust/core/src/elementary.rs.
#pragma once
#include "common.cuh"

// The Taylor series of the exponential to the power 13.
__device__ __forceinline__ double taylor(double r) {
    const double terms[13] = {1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0,
                              1.0 / 5040.0,      1.0 / 720.0,      1.0 / 120.0,     1.0 / 24.0,     1.0 / 6.0,
                              0.5,               1.0,              1.0};
    double p = 1.0 / 6227020800.0;
#pragma unroll
    for (int i = 0; i < 13; ++i) p = fma(p, r, terms[i]);
    return p;
}

// exp(x): within 1 ulp, 0 below -746, infinite above 709.8, NaN for NaN.
__device__ __forceinline__ double exp_exact(double x) {
    const double high = 6.931471803691238e-1, low = 1.9082149292705877e-10, round = 6755399441055744.0;
    x = x > 710.0 ? 710.0 : x;
    x = x < -746.0 ? -746.0 : x;
    double grid = x * 1.4426950408889634 + round, n = grid - round;
    double r = fma(n, -low, fma(n, -high, x));
    i64 whole = (i64)(bits_of(grid) - bits_of(round)), half = whole >> 1;
    return taylor(r) * number_of((u64)(half + 1023) << 52) * number_of((u64)(whole - half + 1023) << 52);
}

// exp(x) in single precision: within 1 ulp, 0 below -104, infinite above 88.8, NaN for NaN.
__device__ __forceinline__ float exp_exact(float x) {
    const float terms[7] = {1.3981999e-3f, 8.333452e-3f, 4.1665796e-2f, 1.6666665e-1f, 0.5f, 1.0f, 1.0f};
    const float high = 0.69335940f, low = -2.1219444e-4f, round = 12582912.0f;
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float grid = x * 1.4426950408889634f + round, n = grid - round;
    float r = fmaf(n, -low, fmaf(n, -high, x)), p = 1.9875691e-4f;
#pragma unroll
    for (int i = 0; i < 7; ++i) p = fmaf(p, r, terms[i]);
    i32 whole = (i32)(bits_of(grid) - bits_of(round)), half = whole >> 1;
    return p * number_of((u32)(half + 127) << 23) * number_of((u32)(whole - half + 127) << 23);
}

// ln(x) of a positive, normal number: within 2 ulp, NaN for NaN.
__device__ __forceinline__ double ln_exact(double x) {
    const double high = 6.931471803691238e-1, low = 1.9082149292705877e-10, grid = 6755399441055744.0;
    u64 bits = bits_of(x), offset = (bits - bits_of(0.7071067811865476)) >> 52;
    u64 exponent = (offset ^ 0x800ull) - 0x800ull;
    double n = number_of(bits_of(grid) + exponent) - grid;
    double f = number_of(bits - (exponent << 52)) - 1.0, t = f / (2.0 + f), square = t * t, p = 1.0 / 23.0;
#pragma unroll
    for (int i = 21; i >= 3; i -= 2) p = fma(p, square, 1.0 / (double)i);
    double rest = fma(p * square, 2.0 * t, -(t * f));  // 2 t = f - t f, and the first is exact
    double y = fma(n, high, fma(n, low, rest) + f);
    return is_nan(x) ? x : y;
}

// -ln(1 - u): the exponential variate of a uniform in [0, 1) that is a multiple of 2^-53, so that 1 - u is exact.
__device__ __forceinline__ double exponential(double u) { return -ln_exact(1.0 - u); }
