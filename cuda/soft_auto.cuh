// The strength at which evenly spaced scores begin to pool.
#pragma once
#include "elementary.cuh"
#include "scores.cuh"

// sign(t) |t|^power
__device__ __forceinline__ double signed_power(double t, double power) {
    return power == 1.0 ? t : copysign(pow(fabs(t), power), t);
}

// The standard deviation of the finite ones of `number(0 .. n)`, in units that no square overflows in.
template <class Number> __device__ double spread(u32 n, Number number) {
    double low = infinity<double>(), high = -low, sum = 0.0, squares = 0.0;
    u32 count = 0;
    auto each = [&](auto work) {
        for (u32 i = threadIdx.x; i < n; i += blockDim.x) {
            double x = number(i);
            if (fabs(x) < infinity<double>()) work(x);
        }
    };
    each([&](double x) {
        low = min(low, x);
        high = max(high, x);
        ++count;
    });
    low = block_reduce(low, Least());
    high = block_reduce(high, Largest());
    count = block_reduce(count, Sum());
    double range = high - low;
    if (count < 2 || range <= 0.0) return 0.0;
    each([&](double x) { sum += (x - low) / range; });
    double mean = block_reduce(sum, Sum()) / (double)count;
    each([&](double x) {
        double d = (x - low) / range - mean;
        squares += d * d;
    });
    return sqrt(block_reduce(squares, Sum()) / (double)count) * range;
}

// The scores that count as numbers; others as NaN.
template <class T> struct Scores {
    const T* x;
    const bool* mask;
    __device__ __forceinline__ double operator()(u32 i) const {
        return !mask || mask[i] ? (double)x[i] : not_a_number<double>();
    }
};

// How many of the scores are finite.
template <class T> __device__ u32 finite_scores(Scores<T> scores, u32 n) {
    u32 count = 0;
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) count += fabs(scores(i)) < infinity<double>();
    return block_reduce(count, Sum());
}

template <class T>
__device__ double rank_strength(const T* x, const bool* mask, u32 n, int form, double degree) {
    Scores<T> scores = {x, mask};
    double inverse = 1.0 / degree;
    double ranks = spread(finite_scores(scores, n), [=](u32 i) {
        double rank = (double)i + 1.0;
        return form == 1 ? ln_exact(rank) : form == 2 ? signed_power(rank, inverse) : rank;
    });
    return ranks > 0.0 ? spread(n, scores) / ranks : 0.0;
}

template <class T> __device__ double sort_strength(const T* x, const bool* mask, u32 n, double degree) {
    Scores<T> scores = {x, mask};
    double ranks = spread(finite_scores(scores, n), [](u32 i) { return (double)i; }), inverse = 1.0 / degree;
    double size = spread(n, [=](u32 i) { return signed_power(scores(i), inverse); });
    return size > 0.0 ? ranks / size : 0.0;
}
