// The kernels of pair sums, and Chebyshev expansions between panels: see rust/core/src/sorting/pairs.
#pragma once
#include "elementary.cuh"
#include "lists.cuh"

#define HALF_PANEL 1.5  // half the width of a panel, in temperatures
#define NEAR_PANELS 14  // panels further apart see each other's kernel as its limit
#define MOST_TERMS 24
#define FEW_PAIRS 4096  // lists with at most so many pairs are summed pair by pair

// Terms of the expansions, for results in T.
template <class T> __device__ __forceinline__ int terms_of();
template <> __device__ __forceinline__ int terms_of<float>() { return 16; }
template <> __device__ __forceinline__ int terms_of<double>() { return 24; }

// log(1 + e) for 0 <= e <= 1, by the series of the inverse hyperbolic tangent, around 0 or 1.
__device__ __forceinline__ double log_one_plus(double e) {
    const bool upper = e > 0.414;
    const double s = (upper ? e - 1.0 : e) / (upper ? e + 3.0 : e + 2.0), q = s * s;
    double series = 1.0 / 21.0;
#pragma unroll
    for (int odd = 19; odd >= 1; odd -= 2) series = fma(series, q, 1.0 / odd);
    return fma(2.0 * s, series, upper ? 0.6931471805599453 : 0.0);
}

// z^power S_order(z), with S_0 the softplus log(1 + exp z) and S_m its m-th derivative; S_1 is the sigmoid.
struct PairKernel {
    int order, power;

    __device__ double at(double z) const {
        const double largest = 1.7976931348623157e308, flat = 800.0;  // exp(-800) counts as 0
        z = max(min(z, largest), -largest);
        const double e = exp_exact(-fabs(z));
        if (order == 0) return max(z, 0.0) + log_one_plus(e);
        const double r = 1.0 / (1.0 + e), low = max(z, -flat);
        if (order == 1) {
            const double sigmoid = z < 0.0 ? e * r : r;
            return power == 0 ? sigmoid : low * sigmoid;
        }
        const double cut = min(low, flat), slope = e * r * r;
        const double value = order == 2 ? slope : slope * r * (z < 0.0 ? 1.0 - e : e - 1.0);
        return power == 0 ? value : power == 1 ? cut * value : cut * cut * value;
    }
    // At plus infinity the kernel tends to z, to 1, or else to 0.
    __device__ __forceinline__ bool is_line() const { return order == 0 || (order == 1 && power == 1); }
    __device__ __forceinline__ bool is_one() const { return order == 1 && power == 0; }
    __device__ __forceinline__ double at_infinity() const {
        return is_line() ? infinity<double>() : is_one() ? 1.0 : 0.0;
    }
};

// What is known of a list of pairs once it is in order, items by rank: those at minus infinity, then the finite ones.
struct PairList {
    i32 panels;        // -1: the list has no sums
    i32 count[2];      // items of x and of y that count
    i32 low[2];        // at minus infinity
    i32 finite[2];
    i32 unused;        // to a multiple of 16 bytes
};

// An occupied panel: its middle lies at origin + (number + 1/2) widths; panels of one island have one origin.
struct Panel {
    double origin, number;
    i32 island;
    i32 first[2];  // finite items of x and of y before it
    i32 unused;
};

// Sums of weights and first moments that are carried along the panels: `first` is that about a middle `distance` further on.
struct Carry {
    double weight, first, distance;
};
__device__ __forceinline__ Carry shuffle_up(Carry x, int step) {
    return {shuffle_up(x.weight, step), shuffle_up(x.first, step), shuffle_up(x.distance, step)};
}
// No weight at any distance, even an infinite one, is nothing.
__device__ __forceinline__ double times(double a, double b) { return a == 0.0 || b == 0.0 ? 0.0 : a * b; }
struct CarryOn {
    __device__ __forceinline__ Carry operator()(const Carry& a, const Carry& b) const {
        return {a.weight + b.weight, (a.first + times(a.weight, b.distance)) + b.first, a.distance + b.distance};
    }
};
