// Dual numbers, as in rust/core/src/dual.rs: a value and its derivative along one direction. What is written over a type N
// of numbers runs on double, and on Dual for second derivatives.
#pragma once
#include "block.cuh"
#include "elementary.cuh"

// value + slope e with e e = 0.
struct Dual {
    double value, slope;
};

__device__ __forceinline__ Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
__device__ __forceinline__ Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
__device__ __forceinline__ Dual operator-(Dual a) { return {-a.value, -a.slope}; }
__device__ __forceinline__ Dual operator*(Dual a, Dual b) {
    return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}
__device__ __forceinline__ Dual operator/(Dual a, Dual b) {
    double value = a.value / b.value;
    return {value, (a.slope - value * b.slope) / b.value};
}
__device__ __forceinline__ void operator+=(Dual& a, Dual b) { a = a + b; }

__device__ __forceinline__ double value_of(double x) { return x; }
__device__ __forceinline__ double value_of(Dual x) { return x.value; }

// A constant.
template <class N> __device__ __forceinline__ N constant(double x);
template <> __device__ __forceinline__ float constant<float>(double x) { return (float)x; }
template <> __device__ __forceinline__ double constant<double>(double x) { return x; }
template <> __device__ __forceinline__ Dual constant<Dual>(double x) { return {x, 0.0}; }

// A function that has this value and this first derivative at x. A direction of zero stays zero where the slope is infinite.
__device__ __forceinline__ double chain(double x, double value, double slope) { return value; }
__device__ __forceinline__ Dual chain(Dual x, double value, double slope) {
    return {value, x.slope == 0.0 ? 0.0 : slope * x.slope};
}

template <class N> __device__ __forceinline__ N absolute(N x) {
    double value = value_of(x);
    return chain(x, fabs(value), value == 0.0 ? 0.0 : (value < 0.0 ? -1.0 : 1.0));
}

// An array that moves along another of its size; null stays where it is.
template <class T> struct Moving {
    const T* value;
    const T* slope;
};

// Item i as a number.
template <class N> struct Read;
template <> struct Read<double> {
    template <class T> static __device__ __forceinline__ double at(Moving<T> x, i64 i) { return (double)x.value[i]; }
};
template <> struct Read<Dual> {
    template <class T> static __device__ __forceinline__ Dual at(Moving<T> x, i64 i) {
        return {(double)x.value[i], x.slope ? (double)x.slope[i] : 0.0};
    }
};

// What is handed out: the value of a first derivative, the slope of a second.
__device__ __forceinline__ double part_of(double x) { return x; }
__device__ __forceinline__ double part_of(Dual x) { return x.slope; }

// Elements of a type E, which may be float, and sums of them in a wider type.
__device__ __forceinline__ double wide_of(float x) { return (double)x; }
__device__ __forceinline__ double wide_of(double x) { return x; }
__device__ __forceinline__ Dual wide_of(Dual x) { return x; }
template <class E> struct Narrow {
    static __device__ __forceinline__ E of(double x) { return (E)x; }
};
template <> struct Narrow<Dual> {
    static __device__ __forceinline__ Dual of(Dual x) { return x; }
};
__device__ __forceinline__ float decay_of(float level) { return exp_exact(-level); }
__device__ __forceinline__ double decay_of(double level) { return exp_exact(-level); }
__device__ __forceinline__ Dual decay_of(Dual level) {
    double e = exp_exact(-level.value);
    return chain(level, e, -e);
}

// Item i as an element.
template <class E> struct ReadAs {
    template <class T> static __device__ __forceinline__ E at(Moving<T> x, i64 i) { return x.value[i]; }
};
template <> struct ReadAs<Dual> {
    template <class T> static __device__ __forceinline__ Dual at(Moving<T> x, i64 i) { return Read<Dual>::at(x, i); }
};

// The sum over a block, to all threads.
__device__ __forceinline__ double block_sum(double x) { return block_reduce(x, Sum()); }
__device__ __forceinline__ Dual block_sum(Dual x) { return {block_sum(x.value), block_sum(x.slope)}; }
