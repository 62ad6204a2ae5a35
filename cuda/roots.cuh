// LapSum's thresholds: points between the items of a sorted list where the sum of Laplace distributions has given values, as
// in rust/core/src/sorting/laplace.rs. Items and points form one sequence, along which sums are scanned:
//
//     item 0 ... item at-1, the points with that `at`, item at, ...
#pragma once
#include "scans.cuh"

__device__ __forceinline__ double natural_log(double x) { return ln_exact(x); }
__device__ __forceinline__ Dual natural_log(Dual x) { return chain(x, ln_exact(x.value), 1.0 / x.value); }
template <class N> __device__ __forceinline__ N square_root(N x) {
    double root = sqrt(value_of(x));
    return chain(x, root, 0.5 / root);
}

// Points, in the memory of a block.
template <class N> struct Roots {
    i32 count;     // items, and points
    double start;  // what the sum is at the first point; one more at each
    i32* at;       // items below the point
    i32* points;   // points below the item
    i32* who;      // the sequence: items, and points as -1 - r
    N *below;      // exp(-distance) to the last item below, in temperatures
    N *above;      // the same to the first item above
    N *weight;     // half of the sum of exp(-distance) over all items

    __device__ void take(Room& room, i64 n) {
        at = room.take<i32>(n), points = room.take<i32>(n), who = room.take<i32>(2 * n);
        below = room.take<N>(n), above = room.take<N>(n), weight = room.take<N>(n);
    }

    // Finds where the sum is `first`, 1/2 or 1, and each number one higher: as many points as items; the last one of those
    // that begin at 1 lies beyond everything. `lower` and `upper` are memory for `count` numbers each.
    __device__ void solve(const Links<N>& links, double first, N* lower, N* upper) {
        const i32 n = links.count;
        count = n, start = first;
        const N zero = constant<N>(0.0), one = constant<N>(1.0);
        links.template sides<1>([=](i32, N* here) { here[0] = one; }, lower, upper);
        for (i32 r = threadIdx.x; r < n; r += blockDim.x) {
            const double target = first + r;
            i32 low = 0, high = n;
            while (low < high) {
                i32 middle = low + (high - low) / 2;
                // The sum at the item, its own half included.
                double there = middle + 0.5 * (1.0 + value_of(upper[middle]) - value_of(lower[middle]));
                if (there <= target) low = middle + 1;
                else high = middle;
            }
            const bool beyond = first == 1.0 && r == n - 1;
            at[r] = beyond ? n : low;
            below[r] = above[r] = weight[r] = zero;
            if (!beyond)
                cross(low > 0 ? lower[low - 1] + one : zero, low < n ? upper[low] + one : zero,
                      low < n ? links.links[low] : zero, target - low, below[r], above[r], weight[r]);
        }
        __syncthreads();
        for (i32 k = threadIdx.x; k < n; k += blockDim.x) {
            i32 low = 0, high = n;
            while (low < high) {
                i32 middle = low + (high - low) / 2;
                if (at[middle] <= k) low = middle + 1;
                else high = middle;
            }
            points[k] = low;
            who[k + low] = k;
            who[k + at[k]] = -1 - k;
        }
        __syncthreads();
    }

    // The p and q = link / p at which b q - a p = 2 d, and half of a p + b q. The sum in front of the division never cancels.
    static __device__ __forceinline__ void cross(N a, N b, N link, double d, N& p, N& q, N& half) {
        // In a flat stretch the point may lie anywhere, out of everybody's reach.
        if (d == 0.0 && value_of(link) == 0.0) return;
        half = square_root(constant<N>(d * d) + a * b * link);
        if (d <= 0.0) {
            p = (half - constant<N>(d)) / a;
            q = link / p;
        } else {
            q = (half + constant<N>(d)) / b;
            p = link / q;
        }
    }

    // Point r on the scale where item i lies at `place(i)` and one temperature is `unit` long.
    template <class Place> __device__ N point(i32 r, Place place, N unit) const {
        return start + r - at[r] <= 0.0 ? place(at[r] - 1) - unit * natural_log(below[r])
                                        : place(at[r]) + unit * natural_log(above[r]);
    }

    // Fills `left` and `right`, [count][W] each, with the sums of exp(-distance) e over the points below and above each item;
    // `e(r, entries)` for the first `most` points.
    template <int W, class E>
    __device__ void scatter(const Links<N>& links, i32 most, E e, N* left, N* right) const {
        const N *chain_of = links.links, *p = below, *q = above;
        const i32 *sequence = who, n = count, length = count + most;
        const N zero = constant<N>(0.0), one = constant<N>(1.0);
        auto entries = [=](i32 at, const N* reach, N* here) {
            i32 r = -1 - sequence[at];
            if (r >= 0) e(r, here);
#pragma unroll
            for (int w = 0; w < W; ++w) here[w] = r >= 0 ? reach[r] * here[w] : zero;
        };
        auto keep = [=](i32 at, const N* side, N* to) {
            i32 i = sequence[at];
            if (i >= 0)
                for (int w = 0; w < W; ++w) to[(i64)i * W + w] = side[w];
        };
        // A link is passed right behind its lower item, on the way back right behind its upper one.
        scan_side<N, W>(
            length,
            [=](i32 k) {
                i32 before = k > 0 ? sequence[k - 1] : -1;
                return before < 0 ? one : before + 1 < n ? chain_of[before + 1] : zero;
            },
            [=](i32 k, N* here) { entries(k, q, here); }, [=](i32 k, const N* side, const N*) { keep(k, side, left); });
        scan_side<N, W>(
            length,
            [=](i32 k) {
                i32 before = k > 0 ? sequence[length - k] : -1;
                return before < 0 ? one : chain_of[before];
            },
            [=](i32 k, N* here) { entries(length - 1 - k, p, here); },
            [=](i32 k, const N* side, const N*) { keep(length - 1 - k, side, right); });
    }

    // Fills `between[count][W]` with the sums over the items from the point before to this one.
    template <int W, class V> __device__ void gather(V v, N* between) const {
        const i32* sequence = who;
        const N zero = constant<N>(0.0), one = constant<N>(1.0);
        scan_side<N, W>(
            2 * count, [=](i32 k) { return k > 0 && sequence[k - 1] < 0 ? zero : one; },
            [=](i32 k, N* here) {
                i32 i = sequence[k];
                if (i >= 0) v(i, here);
#pragma unroll
                for (int w = 0; w < W; ++w) here[w] = i >= 0 ? here[w] : zero;
            },
            [=](i32 k, const N* side, const N*) {
                i32 r = -1 - sequence[k];
                if (r >= 0)
                    for (int w = 0; w < W; ++w) between[(i64)r * W + w] = side[w];
            });
    }
};

// Fills `places` with the items' places on the scale of temperatures. The scale begins anew behind a link of 0: sums of places
// times weights that add up to 0 in each such piece do not depend on it, and keep their precision.
template <class N> __device__ void lay_out(const Links<N>& links, N* places) {
    const N *steps = links.steps, *of = links.links, zero = constant<N>(0.0), one = constant<N>(1.0);
    scan_side<N, 1>(
        links.count, [=](i32 i) { return value_of(of[i]) == 0.0 ? zero : one; },
        [=](i32 i, N* here) { here[0] = value_of(of[i]) == 0.0 ? zero : steps[i]; },
        [=](i32 i, const N* side, const N* here) { places[i] = side[0] + here[0]; });
}
