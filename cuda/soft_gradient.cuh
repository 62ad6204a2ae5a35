// Gradients of soft ranks and soft sorts from the order that the forward kernels kept.
//
//     ranks:  ds_i = a_i (g_i - SUM_B a g / SUM_B a),   dx = ds sign / strength,   dstrength = - <ds, u> / strength^2
//     sorts:  least squares  dx = mean_B g        ds_i = g_i - mean_B g
//             kl             dx = p_i SUM_B g     ds_i = g_i - softmax(s)_i SUM_B g          dstrength = - <ds, rho> / strength^2
//             p-norm         dx = SUM_B a g / SUM_B a    ds_i = a_i (g_i - dx)
//
// SUM_B ds = 0, so u and rho count from the first of their block.
#pragma once
#include "soft.cuh"

// A list with what was kept of it.
template <class T> struct Kept {
    const T* x;
    u32 n;
    double strength;
    const i32* index;
    const T* weight;
    const T* grad;
    T* to_x;

    // Places without an item belong to no block; they add nothing to one.
    __device__ __forceinline__ bool is_head(u32 i) const { return i == 0 || index[i] >= 0; }
    __device__ __forceinline__ bool is_alone(u32 i) const {
        return index[i] >= 0 && (i + 1 == n || index[i + 1] >= -1);
    }
};

// Writes the gradient to the scores of ranks; returns this thread's part of <ds, u> times sign / strength.
template <class T> __device__ double rank_gradient(const Kept<T>& list, T sign) {
    double scale = (double)sign / list.strength, along = 0.0;
    auto is_head = [&](u32 i) { return list.is_head(i); };
    auto term = [&](u32 i, u32) {
        i32 entry = list.index[i];
        if (entry == -1) return Sums<2>{{0.0, 0.0}};
        double a = list.weight ? (double)list.weight[i] : 1.0;
        return Sums<2>{{a * (double)list.grad[item_of(entry)], a}};
    };
    auto each = [&](u32 i, u32 head, Sums<2> sums) {
        i32 entry = list.index[i];
        if (entry == -1) return;
        u32 item = item_of(entry);
        if (list.is_alone(i)) {
            list.to_x[item] = T(0);
            return;
        }
        double a = list.weight ? (double)list.weight[i] : 1.0;
        double d = scale * a * ((double)list.grad[item] - sums.of[0] / sums.of[1]);
        list.to_x[item] = (T)d;
        // The head of a list without order may be an item that does not count.
        i32 first = list.index[head];
        along += d * ((double)list.x[item] - (first == -1 ? 0.0 : (double)list.x[item_of(first)]));
    };
    over_segments<2>(stretch_of(list.n, is_head), is_head, term, each);
    return along;
}

// Writes the gradient to the scores of sorts; returns this thread's part of <ds, rho>.
template <class T> __device__ double sort_gradient(const Kept<T>& list, int form) {
    double along = 0.0;
    auto is_head = [&](u32 i) { return list.is_head(i); };
    // Sums of a g, of a and of 1.
    auto term = [&](u32 i, u32) {
        if (list.index[i] == -1) return Sums<3>{{0.0, 0.0, 0.0}};
        double a = form == 2 ? (double)list.weight[i] : 1.0;
        return Sums<3>{{a * (double)list.grad[i], a, 1.0}};
    };
    auto each = [&](u32 i, u32 head, Sums<3> sums) {
        i32 entry = list.index[i];
        if (entry == -1) return;
        double g = (double)list.grad[i], a = form > 0 ? (double)list.weight[i] : 1.0, k = (double)(i - head);
        if (list.is_alone(i)) {
            list.to_x[item_of(entry)] = (T)g;
        } else if (form == 1) {
            list.to_x[item_of(entry)] = (T)(a * sums.of[0]);
            double p = exp_exact(-k / list.strength) / geometric(sums.of[2], list.strength);
            along -= (g - p * sums.of[0]) * k;
        } else {
            double mean = sums.of[0] / sums.of[1];
            list.to_x[item_of(entry)] = (T)mean;
            along -= a * (g - mean) * k;
        }
    };
    over_segments<3>(stretch_of(list.n, is_head), is_head, term, each);
    return along;
}

// Calls `gradient(list)` for each list that this block has, and writes the gradient to the strength from what it returns.
template <class T, class Gradient>
__device__ void derive_lists(Problem<T> problem, const i32* index, const T* weight, const T* grad, T* to_x, T* to_strength,
                             bool ranks, Gradient gradient) {
    for (i64 number = blockIdx.x; number < problem.lists; number += gridDim.x) {
        Range span = range_of(number, problem.n, problem.parts, problem.offsets, problem.stride, 0);
        double strength = (double)problem.strength[number], along = 0.0;
        i64 start = span.start;
        u32 n = span.n;
        const bool* mask = problem.mask ? problem.mask + start : (const bool*)0;
        Kept<T> list = {problem.x + start, n, strength, index + start, weight ? weight + start : weight, grad + start,
                        to_x + start};
        bool poisoned = n > 0 && list.index[0] == POISON, constants = ranks && strength == 0.0;
        bool partly = n > 0 && (mask || constants || list.index[0] == -1 || list.index[n - 1] == -1);
        for (u32 i = threadIdx.x; i < n && (poisoned || partly); i += blockDim.x)
            list.to_x[i] = poisoned && (!mask || mask[i]) ? not_a_number<T>() : T(0);
        __syncthreads();
        if (n > 0 && !poisoned && !constants) along = gradient(list);
        if (to_strength) {
            along = block_reduce(along, Sum());
            double slope = along == 0.0 ? 0.0 : -along / (ranks ? strength : strength * strength);
            if (threadIdx.x == 0) to_strength[number] = poisoned ? not_a_number<T>() : (T)slope;
        }
        __syncthreads();
    }
}
