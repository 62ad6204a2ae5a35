// Relaxed sorting networks: comparators, the weights that they mix by, and their layers. The arithmetic is that of
// rust/core/src/sorting/network, for elements E: float, double, or dual numbers.
#pragma once
#include "dual.cuh"
#include "lists.cuh"

__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }
__device__ __forceinline__ Dual fused(Dual a, Dual b, Dual c) { return a * b + c; }
__device__ __forceinline__ double value_of(float x) { return (double)x; }
__device__ __forceinline__ bool is_negative(float x) { return __float_as_uint(x) >> 31; }
__device__ __forceinline__ bool is_negative(double x) { return bits_of(x) >> 63; }
__device__ __forceinline__ bool is_negative(Dual x) { return is_negative(x.value); }
__device__ __forceinline__ float root_of(float x) { return sqrtf(x); }
__device__ __forceinline__ double root_of(double x) { return sqrt(x); }
__device__ __forceinline__ Dual root_of(Dual x) {
    double root = sqrt(x.value);
    return chain(x, root, 0.5 / root);
}

// The largest finite number, and from where on the square of v would overflow: the limits are exact to all digits there.
template <class E> __device__ __forceinline__ double largest() { return 1.7976931348623157e308; }
template <> __device__ __forceinline__ double largest<float>() { return 3.4028234663852886e38; }
template <class E> __device__ __forceinline__ double far_away() { return 1e150; }
template <> __device__ __forceinline__ double far_away<float>() { return 1e18; }

// A polynomial, from the highest power on.
template <class T, int N> __device__ __forceinline__ T polynomial(const T (&terms)[N], T x) {
    T p = terms[0];
#pragma unroll
    for (int i = 1; i < N; ++i) p = fused(p, x, terms[i]);
    return p;
}

// 1/2 - atan(x) / pi for x >= 0; see rust/core/src/elementary.rs.
template <class T, int N> __device__ __forceinline__ T cauchy_of(T x, const T (&terms)[N]) {
    const bool apart = x > T(0.41421356), far = x > T(2.4142136);
    const T numerator = far ? T(-1) : apart ? x - T(1) : x, denominator = far ? x : apart ? x + T(1) : T(1);
    const T t = numerator / denominator;
    return fused(-t, polynomial(terms, t * t), far ? T(0) : apart ? T(0.25) : T(0.5));
}
__device__ __forceinline__ float cauchy_tail(float x) {
    const float terms[] = {-0.019182324f, 0.03364481f, -0.04532584f, 0.063656196f, -0.10610321f, 0.3183098861837907f};
    return cauchy_of(x, terms);
}
__device__ __forceinline__ double cauchy_tail(double x) {
    const double terms[] = {-0.005667633957914248, 0.012084716779078377, -0.016027228898845648, 0.018611191653538257,
                            -0.021208834334443892, 0.02448454073800046, -0.028937223286017562, 0.0353677639659087,
                            -0.04547284086282299, 0.06366197723656998, -0.10610329539459622, 0.3183098861837907};
    return cauchy_of(x, terms);
}

// The probability that a standard normal variable exceeds x >= 0; see there.
template <class T, int N> __device__ __forceinline__ T normal_of(T x, T end, const T (&terms)[N]) {
    const T root = T(1.4142135623730951), center = T(4) * root;
    x = x > end ? end : x;
    const T p = polynomial(terms, (x - center) / (x + center)), square = x * x, lost = fused(x, x, -square);
    const T y = decay_of(T(0.5) * square) * fused(lost, T(-0.5), T(1)) * p / fused(x, root, T(1));
    return x == T(0) ? T(0.5) : y;
}
__device__ __forceinline__ float normal_tail(float x) {
    const float terms[] = {-4.703786e-6f, 5.708966e-5f, -0.0001089275f, -0.00035452313f, 0.002522016f, -0.008115245f,
                           0.018581705f, -0.033159498f, 0.046866752f, -0.050520476f, 0.034048505f, 0.007689885f,
                           -0.06981056f, 0.6164976f};
    return normal_of(x, 16.0f, terms);
}
__device__ __forceinline__ double normal_tail(double x) {
    const double terms[] = {-1.3820601168672892e-10, 4.6488126318548296e-10, 1.6161986722541016e-9,
                            -6.169365701899222e-9, -1.0362901244090981e-8, 5.3159087969090743e-8,
                            3.885971620543456e-8, -4.1053239666486683e-7, 1.4586712786544866e-7, 2.85328914962037e-6,
                            -5.610567832982953e-6, -1.2198865571511646e-5, 7.531071304325973e-5, -9.96285762363259e-5,
                            -0.0003788866217971288, 0.002515985034551128, -0.008098867031467385, 0.018583757763169003,
                            -0.03316518290593029, 0.04686641749955632, -0.050519533018159056, 0.034048527127334194,
                            0.007689826051309987, -0.06981055842028114, 0.6164975593127763};
    return normal_of(x, 40.0, terms);
}

// The distribution of a comparator, in the order of DISTRIBUTIONS in `_network.py`.
enum Distribution { LOGISTIC, LOGISTIC_ART, RECIPROCAL, CAUCHY, GAUSSIAN, OPTIMAL };

// The limit of v W(v) for large v.
__device__ __forceinline__ double limit_of(int distribution) {
    return distribution == RECIPROCAL ? 1.0
           : distribution == CAUCHY   ? 0.3183098861837907
           : distribution == OPTIMAL  ? 0.0625
                                      : 0.0;
}

template <class E> __device__ __forceinline__ E fourth_root(E d) { return root_of(root_of(d + constant<E>(1e-10))); }

// v at the distance d.
template <class E> __device__ __forceinline__ E reach(int distribution, E d, E steepness) {
    return distribution == LOGISTIC_ART ? steepness * d / fourth_root(d) : steepness * d;
}

// W'(v), given w = W(v).
template <class E> __device__ E slope_of(int distribution, E v, E w) {
    const E one = constant<E>(1.0);
    if (distribution == RECIPROCAL) return -(w * w);
    if (distribution == CAUCHY) return constant<E>(-0.3183098861837907) / fused(v, v, one);
    if (distribution == GAUSSIAN) return constant<E>(-0.3989422804014327) * decay_of(constant<E>(0.5) * v * v);
    if (distribution == OPTIMAL) return value_of(v) <= 0.25 ? -one : constant<E>(-16.0) * w * w;
    return w * (w - one);
}

__device__ __forceinline__ Dual cauchy_tail(Dual v) {
    const double x = v.value < far_away<double>() ? v.value : far_away<double>();
    return chain(v, cauchy_tail(v.value), slope_of(CAUCHY, x, 0.0));
}
__device__ __forceinline__ Dual normal_tail(Dual v) {
    return chain(v, normal_tail(v.value), slope_of(GAUSSIAN, v.value, 0.0));
}

// W(v), the weight of the wrong order.
template <class E> __device__ E tail_of(int distribution, E v) {
    const E one = constant<E>(1.0);
    if (distribution == RECIPROCAL) return one / (constant<E>(2.0) + v);
    if (distribution == CAUCHY) return cauchy_tail(v);
    if (distribution == GAUSSIAN) return normal_tail(v);
    if (distribution == OPTIMAL) return value_of(v) <= 0.25 ? constant<E>(0.5) - v : constant<E>(0.0625) / v;
    const E e = decay_of(v);
    return e / (one + e);
}

// The comparators of one layer: the k-th joins `lower` and `upper`.
struct Layer {
    i32 count;
    i32 bit, flip, missing;  // bitonic: where the bit is clear; what the upper wire differs by; wires that are left out
    i32 first;               // odd-even: the first wire; -1 if bitonic

    __device__ __forceinline__ bool pair(i32 k, i32& lower, i32& upper) const {
        if (first >= 0) {
            lower = first + 2 * k, upper = lower + 1;
            return true;
        }
        const i32 i = (k >> bit << (bit + 1)) | (k & ((1 << bit) - 1));
        lower = i - missing, upper = (i ^ flip) - missing;
        return lower >= 0;
    }
};

// The layers of a network on n wires; see rust/core/src/sorting/network/wires.rs.
struct Layers {
    i32 n;
    bool bitonic;

    __device__ __forceinline__ i32 bits() const { return n <= 1 ? 0 : 32 - __clz(n - 1); }
    __device__ __forceinline__ i32 depth() const {
        return n <= 1 ? 0 : bitonic ? bits() * (bits() + 1) / 2 : n;
    }
    // Comparators of a layer at most.
    __device__ __forceinline__ i32 width() const { return n <= 1 ? 0 : bitonic ? 1 << (bits() - 1) : n / 2; }
    __device__ Layer layer(i32 at) const {
        if (!bitonic) return {(n - at % 2) / 2, 0, 0, 0, at % 2};
        i32 size = 0;
        while (at > size) at -= ++size;
        // The first of a size turns 2^(size + 1) wires round, the others compare over 2^(size - at).
        const i32 bit = size - at;
        return {width(), bit, at == 0 ? (2 << size) - 1 : 1 << bit, (1 << bits()) - n, -1};
    }
};

// What a comparator does to scores: the weight, negative where the lower wire had the larger score, and the distance.
template <class E>
__device__ __forceinline__ void compare(E& low, E& high, E steepness, int distribution, E& weight, E& distance) {
    const bool swapped = value_of(high) < value_of(low);
    const E a = swapped ? high : low, b = swapped ? low : high, limit = constant<E>(limit_of(distribution)) / steepness;
    E d = b - a;
    d = value_of(d) > largest<E>() ? constant<E>(largest<E>()) : d;
    // Two equal infinities are a tie; that of finite scores keeps the slope of a dual number.
    d = value_of(d) >= 0.0 ? d : constant<E>(0.0);
    const E v = reach(distribution, d, steepness), w = tail_of(distribution, v);
    const bool far = value_of(v) > far_away<E>();
    low = far ? a + limit : fused(w, d, a);
    high = far ? b - limit : fused(w, -d, b);
    weight = swapped ? -w : w;
    distance = d;
}

// The way back: from the gradients to the scores behind a comparator to those before it, and adds to that to the steepness,
// times the steepness.
template <class E>
__device__ __forceinline__ void descend(E& low, E& high, E weight, E d, E sum, E steepness, int distribution, E& total) {
    const bool swapped = is_negative(weight);
    const E w = swapped ? -weight : weight, limit = constant<E>(limit_of(distribution)) / steepness;
    E v = reach(distribution, d, steepness);
    const bool far = value_of(v) > far_away<E>();
    v = far ? constant<E>(far_away<E>()) : v;
    const E by_reach = slope_of(distribution, v, w);
    E slope = steepness;
    if (distribution == LOGISTIC_ART) {
        const E share = d / (d + constant<E>(1e-10));
        slope = steepness / fourth_root(d) * fused(constant<E>(0.25), -share, constant<E>(1.0));
    }
    const E by_distance = by_reach * slope, by_steepness = by_reach * v;
    const E shift = distribution == LOGISTIC_ART ? fused(d, by_distance, w) : w + by_steepness;
    const E difference = low - high;
    const E h = far ? constant<E>(0.0) : fused(difference, shift, sum * by_distance);
    total = total + (far ? -limit * difference : by_steepness * fused(difference, d, sum));
    const E a = low - h, b = high + h;
    low = swapped ? b : a;
    high = swapped ? a : b;
}
