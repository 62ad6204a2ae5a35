// The threshold at which a sum of curves is k, as rust/core/src/sorting/threshold.rs: with P the sum of F over the items below
// the threshold, M that of 1 - F over the c items above, a safeguarded Newton iteration finds the root of
//
//     ln(P + max(c - k, 0)) - ln(M + max(k - c, 0))
//
// which is nearly linear where curves have exponential tails. A pass over the list for each step; it stays in the caches.
#pragma once
#include "curves.cuh"
#include "scores.cuh"
#include "segments.cuh"
#include "select.cuh"

// A threshold as anchor + tau * shift. An infinite anchor stands for a list without an item between 0 and 1, a NaN for one with
// a NaN.
struct Threshold {
    double anchor, shift;
    __device__ __forceinline__ double scaled(double v, double inverse) const {
        return fma(v - anchor, inverse, -shift);
    }
};

// The finite items of a list that count, with the sign that makes the chosen ones large; others are minus infinity.
template <class T> struct Items {
    const T* x;
    const bool* mask;
    u32 n;
    T sign;
    __device__ __forceinline__ bool counts(u32 i) const { return !mask || mask[i]; }
    __device__ __forceinline__ T operator()(u32 i) const {
        T v = sign * x[i];
        return counts(i) && v < infinity<T>() ? v : -infinity<T>();
    }
};

template <class T> __device__ __forceinline__ bool is_item(T v) { return v > -infinity<T>(); }

// The k-th and the next largest number (the k-th again where there is no other), equal ones by position. `key(i)` is the key of
// item i; 0 for one that is none.
template <class Bits> struct Boundary {
    Bits inner, outer;
    u32 inner_at, outer_at;
};

template <class Bits, class Key> __device__ Boundary<Bits> find_boundary(Key key, u32 n, u32 k) {
    __shared__ u32 at[2];
    Bar<Bits> bar = find_bar<Bits>([=](i64 i) { return key((u32)i); }, (i64)n, k);
    if (threadIdx.x < 2) at[threadIdx.x] = n;
    __syncthreads();
    u32 equal = 0, next_at = n;
    Bits next = 0;
    for (u32 base = 0; base < n; base += blockDim.x) {
        u32 i = base + threadIdx.x, total;
        Bits own = i < n ? key(i) : 0;
        u32 order = equal + block_scan((u32)(own == bar.key), total);
        equal += total;
        if (own == bar.key && order + 1 == bar.tied) at[0] = i;
        if (own == bar.key && order == bar.tied) at[1] = i;
        if (own < bar.key && own > next) next = own;
    }
    next = block_reduce(next, Largest());
    for (u32 i = threadIdx.x; i < n; i += blockDim.x)
        if (next_at == n && key(i) == next) next_at = i;
    next_at = block_reduce(next_at, Least());
    Boundary<Bits> found = {bar.key, bar.key, at[0], at[1]};
    if (at[1] == n) {
        found.outer = next ? next : bar.key;
        found.outer_at = next ? next_at : at[0];
    }
    __syncthreads();
    return found;
}

template <class T> __device__ Boundary<typename Computed<T>::Bits> boundary_of(Items<T> items, u32 k) {
    typedef typename Computed<T>::Bits Bits;
    auto key = [=](u32 i) {
        T v = items(i);
        return is_item(v) ? key_of(v) : (Bits)0;
    };
    return find_boundary<Bits>(key, items.n, k);
}

// Largest residual that counts as zero, relative to k and to the tails; sums of tails below `faint` have lost digits.
struct Limits {
    double of_k, of_tails, faint;
};
template <class C> __device__ __forceinline__ Limits limits();
template <> __device__ __forceinline__ Limits limits<float>() { return {2.5e-7, 1e-5, 1e-25}; }
template <> __device__ __forceinline__ Limits limits<double>() { return {1e-14, 1e-12, 1e-270}; }

// Farther from an item, in units of the temperature, every curve is 0 or 1 to the last digit.
#define REACH 800.0

// Sums at a threshold, computed in C: tails below and above it, slopes likewise, and how many items are above.
template <class C, class T> __device__ Sums<5> tails(Curve curve, Items<T> items, C anchor, C inverse, C shift) {
    Sums<5> sums = {{0.0, 0.0, 0.0, 0.0, 0.0}};
    for (u32 base = threadIdx.x; base < items.n; base += 8 * blockDim.x) {
        C below = 0, above = 0, low = 0, high = 0;  // few in C, then all in double
        u32 count = 0;
        for (u32 j = 0, i = base; j < 8 && i < items.n; ++j, i += blockDim.x) {
            T v = items(i);
            if (!is_item(v)) continue;
            Point<C> here = curve.at(fused((C)v - anchor, inverse, -shift));
            count += here.upper;
            if (here.upper) {
                above += here.tail;
                high += here.slope;
            } else {
                below += here.tail;
                low += here.slope;
            }
        }
        sums.of[0] += (double)below;
        sums.of[1] += (double)above;
        sums.of[2] += (double)low;
        sums.of[3] += (double)high;
        sums.of[4] += (double)count;
    }
    return block_sums(sums);
}

// The Newton iteration inside a bracket of s; `place(s)` is the threshold. False after too many passes.
template <class C, class T, class Place>
__device__ bool search(Curve curve, Items<T> items, double k, double inverse, double low, double high, Limits limit,
                       int passes, Place place, Threshold& found) {
    double s = 0.0, moved = infinity<double>();
    for (int pass = 0; pass < passes; ++pass) {
        found = place(s);
        Sums<5> sums = tails<C>(curve, items, (C)found.anchor, (C)inverse, (C)found.shift);
        double below = sums.of[0], above = sums.of[1], spare = sums.of[4] - k, residual = below - above + spare;
        bool small = fabs(residual) <= min(limit.of_k * k, limit.of_tails * (below + above));
        // A Newton step this short leaves an error of its square.
        if ((small || moved < 1e-9) && below + above >= limit.faint) return true;
        if (residual > 0.0) {
            low = s;
        } else {
            high = s;
        }
        double top = below + max(spare, 0.0), bottom = above + max(-spare, 0.0);
        double step = log(top / bottom) / (sums.of[2] / top + sums.of[3] / bottom), next = s + step;
        moved = fabs(step);
        if (!(next > low && next < high)) {
            next = 0.5 * (low + high);
            moved = infinity<double>();
        }
        if (next == s) return limit.faint == 0.0;
        s = next;
    }
    return false;
}

// For temperatures below the distances of the items at the boundary: the iteration starts from these, in double precision. `found`
// has the values of the curve; the threshold that is returned is in the items' precision where that is exact enough for their
// gradient.
template <class T>
__device__ Threshold between_items(Curve curve, Items<T> items, double k, double tau, Threshold& found) {
    double inverse = 1.0 / max(tau, 1e-300), reach = REACH;
    auto ends = boundary_of(items, (u32)ceil(k));
    double inner = (double)of_key(ends.inner), outer = (double)of_key(ends.outer);
    bool whole = k == floor(k);
    double anchor = whole ? 0.5 * inner + 0.5 * outer : inner;
    double low = (whole ? (outer - anchor) * inverse : 0.0) - reach;
    double high = (whole ? (inner - anchor) * inverse : 0.0) + reach;
    Limits limit = limits<double>();
    limit.faint = 0.0;
    auto place = [=](double s) { return Threshold{anchor, s}; };
    if (!search<double>(curve, items, k, inverse, low, high, limit, 2000, place, found)) found = {anchor, 0.0};
    double near = (double)(T)found.anchor, shift = found.shift + (found.anchor - near) * inverse;
    return fabs(shift) < 4.0 ? Threshold{near, (double)(T)shift} : found;
}

// Solves SUM F((v - theta) / tau) = k for 0 < k < the number of items. Returns the threshold; `at` is the one where the curve's
// values were summed, and `wide` tells whether that was in double precision.
template <class T>
__device__ Threshold solve(Curve curve, Items<T> items, Survey<T> seen, double k, double tau, Threshold& at, bool& wide) {
    double n = (double)(seen.count - seen.highest - seen.lowest), inverse = 1.0 / max(tau, 1e-300);
    double least = (double)seen.low, most = (double)seen.high;
    Sums<2> moments = {{0.0, 0.0}};
    for (u32 i = threadIdx.x; i < items.n; i += blockDim.x) {
        T v = items(i);
        double d = is_item(v) ? (double)v - least : 0.0;
        moments.of[0] += d;
        moments.of[1] += d * d;
    }
    moments = block_sums(moments);
    double mean = moments.of[0] / n, spread = sqrt(max(moments.of[1] / n - mean * mean, 0.0));
    // The quantile of the items (as if normal) and that of the curve, blended as those of a sum of two variables.
    double a = -spread * normal_quantile(k / n), b = -tau * curve.quantile(k / n);
    double guess = least + mean + (a * b > 0.0 ? copysign(sqrt(a * a + b * b), a) : a + b);
    double base = 0.5 * (least + most);
    if (fabs(guess) < infinity<double>()) base = min(max(guess, least - REACH * tau), most + REACH * tau);
    double low = (least - base) * inverse - REACH, high = (most - base) * inverse + REACH;
    auto place = [=](double s) {
        double theta = fma(tau, s, base), anchor = (double)(T)theta;
        return Threshold{anchor, (double)(T)((theta - anchor) * inverse)};
    };
    wide = false;
    if ((T)inverse < infinity<T>() &&
        search<T>(curve, items, k, inverse, low, high, limits<T>(), 12, place, at))
        return at;
    wide = true;
    return between_items(curve, items, k, tau, at);
}
