// Sums over the two-sided exponential kernel K_ij = exp(-|s_i - s_j| / t) of a sorted list, in linear work: see
// rust/core/src/sorting/scans.rs. Neighbours are joined by links a_i = exp(-|s_i - s_(i-1)| / t):
//
//     left_i  = sum_{j < i} K_ij x_j = a_i (left_(i-1) + x_(i-1))
//     right_i = sum_{j > i} K_ij x_j = a_(i+1) (right_(i+1) + x_(i+1))
//
// A step of a recurrence is the affine map s -> a s + x; maps compose, so that a block scans a tile of them at once.
#pragma once
#include "dual.cuh"
#include "elementary.cuh"
#include "lists.cuh"

// W affine maps s -> decay s + sum[w].
template <class N, int W> struct Passage {
    N decay, sum[W];
};

template <class N, int W> __device__ __forceinline__ Passage<N, W> standstill() {
    Passage<N, W> none;
    none.decay = constant<N>(1.0);
#pragma unroll
    for (int w = 0; w < W; ++w) none.sum[w] = constant<N>(0.0);
    return none;
}

// First a, then b.
struct Compose {
    template <class N, int W>
    __device__ __forceinline__ Passage<N, W> operator()(const Passage<N, W>& a, const Passage<N, W>& b) const {
        Passage<N, W> both;
        both.decay = a.decay * b.decay;
#pragma unroll
        for (int w = 0; w < W; ++w) both.sum[w] = b.decay * a.sum[w] + b.sum[w];
        return both;
    }
};

__device__ __forceinline__ Dual shuffle_up(Dual x, int step) {
    return {shuffle_up(x.value, step), shuffle_up(x.slope, step)};
}
template <class N, int W> __device__ __forceinline__ Passage<N, W> shuffle_up(const Passage<N, W>& x, int step) {
    Passage<N, W> moved;
    moved.decay = shuffle_up(x.decay, step);
#pragma unroll
    for (int w = 0; w < W; ++w) moved.sum[w] = shuffle_up(x.sum[w], step);
    return moved;
}

// Calls `out(i, side, x_i)` for i = 0 .. count: side_i = decay(i) (side_(i-1) + x_(i-1)), W sums at once; `x(i, entries)`
// fills the entries of x_i. A thread takes two consecutive numbers of a tile, or one where there are many sums or dual
// numbers: more take more registers than there are. Ends with the block in step.
template <class N, int W, class Decay, class X, class Out>
__device__ void scan_side(i32 count, Decay decay, X x, Out out) {
    const int items = W > 2 || sizeof(N) > sizeof(double) ? 1 : 2;
    N entry[W];
#pragma unroll
    for (int w = 0; w < W; ++w) entry[w] = constant<N>(0.0);
    for (i32 tile = 0; tile < count; tile += blockDim.x * items) {
        const i32 first = tile + threadIdx.x * items;
        N link[items], here[items][W];
        Passage<N, W> own = standstill<N, W>(), total;
#pragma unroll
        for (int j = 0; j < items; ++j) {
            if (first + j >= count) continue;
            link[j] = decay(first + j);
            x(first + j, here[j]);
            own.decay = own.decay * link[j];
#pragma unroll
            for (int w = 0; w < W; ++w) own.sum[w] = link[j] * own.sum[w] + here[j][w];
        }
        Passage<N, W> before = block_scan_with(own, standstill<N, W>(), Compose(), total);
        N side[W];
#pragma unroll
        for (int w = 0; w < W; ++w) {
            side[w] = before.decay * entry[w] + before.sum[w];
            entry[w] = total.decay * entry[w] + total.sum[w];
        }
#pragma unroll
        for (int j = 0; j < items; ++j) {
            if (first + j >= count) continue;
#pragma unroll
            for (int w = 0; w < W; ++w) side[w] = link[j] * side[w];
            out(first + j, side, here[j]);
#pragma unroll
            for (int w = 0; w < W; ++w) side[w] += here[j][w];
        }
    }
    __syncthreads();
}

// The links of a sorted list, in the memory of a block.
template <class N> struct Links {
    i32 count;
    N* steps;  // distance to the item before, in temperatures: 0 for equal items and for the first
    N* links;  // exp(-step); 0 for the first item
    i32* first;  // of the group of equal items
    i32* last;   // of a group, at its first item

    __device__ void take(Room& room, i64 n) {
        steps = room.take<N>(n), links = room.take<N>(n);
        first = room.take<i32>(n), last = room.take<i32>(n);
    }

    // Joins values that are sorted in either direction. At temperature 0 every link is 0, those of equal values too.
    template <class Value> __device__ void join(i32 n, N temperature, Value value) {
        count = n;
        auto tied = [&](i32 i) { return i > 0 && value_of(value(i)) == value_of(value(i - 1)); };
        const N zero = constant<N>(0.0);
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
            // Two infinities of one sign are equal; their difference would be NaN.
            N step = value_of(temperature) == 0.0 ? constant<N>(infinity<double>())
                     : i == 0 || tied(i)          ? zero
                                                  : absolute(value(i) - value(i - 1)) / temperature;
            double e = exp_exact(-value_of(step));
            steps[i] = step;
            // A link of 0 parts the list; its step may be infinite, and no derivative passes it.
            links[i] = i == 0 || e == 0.0 ? zero : chain(step, e, -e);
        }
        group_ties(n, tied, first, last);
    }

    // Calls `out(i, left_i, x_i)`; `x(i, entries)` fills W entries.
    template <int W, class X, class Out> __device__ void up(X x, Out out) const {
        scan_side<N, W>(count, [=](i32 i) { return links[i]; }, x, out);
    }

    // Calls `out(i, right_i, x_i)`.
    template <int W, class X, class Out> __device__ void down(X x, Out out) const {
        const i32 n = count;
        scan_side<N, W>(
            n, [=](i32 p) { return p == 0 ? constant<N>(0.0) : links[n - p]; },
            [=](i32 p, N* here) { x(n - 1 - p, here); },
            [=](i32 p, const N* side, const N* here) { out(n - 1 - p, side, here); });
    }

    // Fills `sums[count][W]` with sum_j K_ij x_j; equal items have equal sums up to rounding, so take those at `first`.
    template <int W, class X> __device__ void sums(X x, N* sums) const {
        up<W>(x, [=](i32 i, const N* left, const N*) {
            for (int w = 0; w < W; ++w) sums[(i64)i * W + w] = left[w];
        });
        down<W>(x, [=](i32 i, const N* right, const N* here) {
            for (int w = 0; w < W; ++w) sums[(i64)i * W + w] = (sums[(i64)i * W + w] + right[w]) + here[w];
        });
    }

    // Fills both sides, [count][W] each.
    template <int W, class X> __device__ void sides(X x, N* left, N* right) const {
        up<W>(x, [=](i32 i, const N* side, const N*) {
            for (int w = 0; w < W; ++w) left[(i64)i * W + w] = side[w];
        });
        down<W>(x, [=](i32 i, const N* side, const N*) {
            for (int w = 0; w < W; ++w) right[(i64)i * W + w] = side[w];
        });
    }
};

// One list of a batch in sorted order.
template <class T> struct Sorted {
    Span at;
    const i32* order;
    i32 count;
    double temperature;
    bool spoilt;  // by a NaN, or by a temperature that is not finite or not positive

    __device__ Sorted(const Lists& batch, i64 list, const T* x, const i32* places, const T* temperatures, u32* fault,
                      bool may_be_zero = false) {
        at = batch.span(list);
        order = places + at.start;
        count = counted(order, at.count);
        temperature = (double)temperatures[list];
        const bool enough = temperature > 0.0 || (may_be_zero && temperature == 0.0);
        const bool wrong = !(enough && temperature < infinity<double>());
        if (wrong) report(fault);
        spoilt = wrong || at.wrong || (count > 0 && is_nan(x[at.start + order[count - 1]]));
    }
};

// W entries of a row of m, with `first` in front: those from k on.
template <class N, int W, class Entry> __device__ __forceinline__ void extend(i64 k, i64 m, N first, Entry entry, N* to) {
#pragma unroll
    for (int w = 0; w < W; ++w) to[w] = k + w == 0 ? first : k + w <= m ? entry(k + w - 1) : constant<N>(0.0);
}

// Fills what the derivatives of a product write for a list that has no numbers, with m columns: NaN where there are items.
template <class T>
__device__ void spoil_list(const Sorted<T>& list, i64 m, T* to_x, T* to_items, T* to_rows, T* to_temperature) {
    for (i64 i = threadIdx.x; i < list.count * m; i += blockDim.x) {
        i64 r = i / m, c = i % m, place = list.at.start + list.order[r];
        if (c == 0) to_x[place] = not_a_number<T>();
        to_items[place * m + c] = to_rows[(list.at.start + r) * m + c] = not_a_number<T>();
    }
    if (threadIdx.x == 0) *to_temperature = list.spoilt ? not_a_number<T>() : T(0);
}
