// Second derivatives of soft ranks and soft sorts: the gradients of soft_gradient.cuh at scores and strengths that move along
// tangents, and the values there, as dual numbers; from the order that the forward kernels kept.
#pragma once
#include "dual.cuh"
#include "power.cuh"
#include "soft_gradient.cuh"

__device__ __forceinline__ Dual exponential(Dual x) {
    double y = exp_exact(x.value);
    return {y, y * x.slope};
}

// A list with its tangents, the gradient of the values, and what is derived from them.
template <class T> struct Moved {
    const T* x;
    const T* x_tangent;
    u32 n, count;
    T sign;
    Dual strength;
    const i32* index;
    const T* grad;
    T* to_x;
    T* to_grad;

    __device__ __forceinline__ bool is_head(u32 i) const { return i == 0 || index[i] >= 0; }
    __device__ __forceinline__ bool is_alone(u32 i) const {
        return index[i] >= 0 && (i + 1 == n || index[i + 1] >= -1);
    }
    // u at place i less that at the head of its block; less 0 where the head has no item.
    __device__ __forceinline__ Dual distance(u32 i, u32 head) const {
        u32 item = item_of(index[i]);
        Dual u = {(double)(sign * x[item]), (double)(sign * x_tangent[item])};
        if (index[head] == -1) return u;
        item = item_of(index[head]);
        return u - Dual{(double)(sign * x[item]), (double)(sign * x_tangent[item])};
    }
};

// Each of the four functions writes the gradients to scores and to `grad`, and returns this thread's part of <ds, u> or <ds, rho>.

template <class T> __device__ Dual rank_second(const Moved<T>& list) {
    Dual along = constant<Dual>(0.0);
    auto is_head = [&](u32 i) { return list.is_head(i); };
    // Sums of g, of 1, and of the slope of s.
    auto term = [&](u32 i, u32 head) {
        if (list.index[i] == -1) return Sums<3>{{0.0, 0.0, 0.0}};
        Dual s = list.distance(i, head) / list.strength;
        return Sums<3>{{(double)list.grad[item_of(list.index[i])], 1.0, s.slope}};
    };
    auto each = [&](u32 i, u32 head, Sums<3> sums) {
        if (list.index[i] == -1) return;
        u32 item = item_of(list.index[i]);
        bool alone = list.is_alone(i);
        Dual distance = list.distance(i, head), s = distance / list.strength;
        Dual ds = constant<Dual>(alone ? 0.0 : (double)list.grad[item] - sums.of[0] / sums.of[1]);
        list.to_x[item] = (T)((double)list.sign * (ds / list.strength).slope);
        list.to_grad[item] = alone ? T(0) : (T)(s.slope - sums.of[2] / sums.of[1]);
        along = along + ds * distance;
    };
    over_segments<3>(stretch_of(list.n, is_head), is_head, term, each);
    return along;
}

template <class T> __device__ Dual rank_second_kl(const Moved<T>& list) {
    Dual along = constant<Dual>(0.0);
    auto is_head = [&](u32 i) { return list.is_head(i); };
    // Sums of e = exp(s), of e g, and of 1.
    auto term = [&](u32 i, u32 head) {
        if (list.index[i] == -1) return Sums<5>{{0.0, 0.0, 0.0, 0.0, 0.0}};
        Dual e = exponential(list.distance(i, head) / list.strength);
        double g = (double)list.grad[item_of(list.index[i])];
        return Sums<5>{{e.value, e.slope, e.value * g, e.slope * g, 1.0}};
    };
    auto each = [&](u32 i, u32 head, Sums<5> sums) {
        if (list.index[i] == -1) return;
        u32 item = item_of(list.index[i]);
        bool alone = list.is_alone(i);
        Dual distance = list.distance(i, head), total = {sums.of[0], sums.of[1]};
        double ranks = mean_rank(head, head + (u32)sums.of[4], list.count) * sums.of[4];
        Dual rank = exponential(distance / list.strength) / total * constant<Dual>(ranks);
        Dual ds = rank * (constant<Dual>((double)list.grad[item]) - Dual{sums.of[2], sums.of[3]} / total);
        if (alone) ds = constant<Dual>(0.0);
        list.to_x[item] = (T)((double)list.sign * (ds / list.strength).slope);
        list.to_grad[item] = alone ? T(0) : (T)rank.slope;
        along = along + ds * distance;
    };
    over_segments<5>(stretch_of(list.n, is_head), is_head, term, each);
    return along;
}

template <class T> __device__ Dual sort_second(const Moved<T>& list) {
    Dual along = constant<Dual>(0.0);
    auto is_head = [&](u32 i) { return list.is_head(i); };
    // Sums of g, of 1, of places and of the slopes of u.
    auto term = [&](u32 i, u32 head) {
        if (list.index[i] == -1) return Sums<4>{{0.0, 0.0, 0.0, 0.0}};
        double slope = (double)(list.sign * list.x_tangent[item_of(list.index[i])]);
        return Sums<4>{{(double)list.grad[i], 1.0, (double)(i - head), slope}};
    };
    auto each = [&](u32 i, u32 head, Sums<4> sums) {
        if (list.index[i] == -1) return;
        double k = (double)(i - head), c = sums.of[1];
        double ds = (double)list.sign * ((double)list.grad[i] - sums.of[0] / c);
        // s = -k / strength.
        double fall = list.strength.value > 0.0 ? (constant<Dual>(k - sums.of[2] / c) / list.strength).slope : 0.0;
        list.to_x[item_of(list.index[i])] = T(0);
        list.to_grad[i] = (T)((double)list.sign * (sums.of[3] / c - fall));
        along = along - constant<Dual>(ds * k);
    };
    over_segments<4>(stretch_of(list.n, is_head), is_head, term, each);
    return along;
}

template <class T> __device__ Dual sort_second_kl(const Moved<T>& list) {
    Dual along = constant<Dual>(0.0);
    auto is_head = [&](u32 i) { return list.is_head(i); };
    auto fall = [&](u32 i, u32 head) { return constant<Dual>(-(double)(i - head)) / list.strength; };
    // Sums of exp(u), of exp(s) and of g.
    auto term = [&](u32 i, u32 head) {
        if (list.index[i] == -1) return Sums<5>{{0.0, 0.0, 0.0, 0.0, 0.0}};
        Dual scores = exponential(list.distance(i, head)), ranks = exponential(fall(i, head));
        return Sums<5>{{scores.value, scores.slope, ranks.value, ranks.slope, (double)list.grad[i]}};
    };
    auto each = [&](u32 i, u32 head, Sums<5> sums) {
        if (list.index[i] == -1) return;
        u32 item = item_of(list.index[i]);
        double sign = (double)list.sign;
        if (list.is_alone(i)) {
            list.to_x[item] = T(0);
            list.to_grad[i] = list.x_tangent[item];
            return;
        }
        Dual scores = {sums.of[0], sums.of[1]}, ranks = {sums.of[2], sums.of[3]}, g = constant<Dual>(sign * sums.of[4]);
        Dual q = exponential(list.distance(i, head)) / scores, s = fall(i, head), p = exponential(s) / ranks;
        // The scores count from the head, which moves as well.
        double origin = (double)list.x_tangent[item_of(list.index[head])];
        double level = scores.slope / scores.value - ranks.slope / ranks.value;
        list.to_x[item] = (T)(sign * (q * g).slope);
        list.to_grad[i] = (T)(sign * (s.slope + level) + origin);
        along = along - (constant<Dual>(sign * (double)list.grad[i]) - p * g) * constant<Dual>((double)(i - head));
    };
    over_segments<5>(stretch_of(list.n, is_head), is_head, term, each);
    return along;
}

// Calls `derive(list)` for each list that this block has, and writes the gradient to the strength from what it returns.
template <class T, class Derive>
__device__ void move_lists(Problem<T> problem, const i32* index, const T* grad, const T* x_tangent,
                           const T* strength_tangent, T* to_x, T* to_strength, T* to_grad, bool ranks, Derive derive) {
    for (i64 number = blockIdx.x; number < problem.lists; number += gridDim.x) {
        Range span = range_of(number, problem.n, problem.parts, problem.offsets, problem.stride, 0);
        i64 at = span.start;
        u32 n = span.n, count = 0;
        Dual strength = {(double)problem.strength[number], (double)strength_tangent[number]}, along = constant<Dual>(0.0);
        bool poisoned = n > 0 && index[at] == POISON, constants = ranks && strength.value == 0.0;
        for (u32 i = threadIdx.x; i < n; i += blockDim.x) {
            count += !problem.mask || problem.mask[at + i];
            to_x[at + i] = to_grad[at + i] = poisoned ? not_a_number<T>() : T(0);
        }
        count = block_reduce(count, Sum());
        if (n > 0 && !poisoned && !constants)
            along = derive(Moved<T>{problem.x + at, x_tangent + at, n, count, problem.sign, strength, index + at,
                                    grad + at, to_x + at, to_grad + at});
        along = {block_reduce(along.value, Sum()), block_reduce(along.slope, Sum())};
        double slope = strength.value == 0.0 ? 0.0 : -(along / (strength * strength)).slope;
        if (threadIdx.x == 0) to_strength[number] = poisoned ? not_a_number<T>() : (T)slope;
        __syncthreads();
    }
}

// A p-norm projection of ranks (`RANKS`) or sorts. `roots` has room for the places of the list.
template <bool RANKS, class T> __device__ Dual power_second(Moved<T> list, Roots roots) {
    // Only the places of finite scores; the infinite ones at both ends have no entries.
    u32 first = list.n, end = 0;
    for (u32 i = threadIdx.x; i < list.n; i += blockDim.x) {
        if (list.index[i] == -1) continue;
        first = min(first, i);
        end = max(end, i + 1);
    }
    first = block_reduce(first, Least());
    end = block_reduce(end, Largest());
    if (first >= end) return Dual{0.0, 0.0};
    list.index += first;
    list.n = end - first;
    list.count -= first;
    if (!RANKS) {
        list.grad += first;
        list.to_grad += first;
    }
    const double sign = (double)list.sign, strength = list.strength.value, degree = roots.degree;
    auto is_head = [=](u32 i) { return list.is_head(i); };
    auto s = [=](u32 i, u32 head) {
        return (RANKS ? list.distance(i, head) : Dual{-(double)(i - head), 0.0}) / list.strength;
    };
    auto score = [=](u32 i, const T* from) { return sign * (double)from[item_of(list.index[i])]; };
    auto w = [=](u32 i) { return RANKS ? (double)list.count - (double)i : score(i, list.x); };
    auto size = [=](double t) { return magnitude(t, degree - 1.0); };
    Stretch own = stretch_of(list.n, is_head);
    auto ones = [=](u32 i, u32) { return Sums<2>{{w(i), 1.0}}; };
    over_segments<2>(own, is_head, ones, [=](u32 i, u32 head, Sums<2> sums) {
        if (i != head) return;
        if (sums.of[1] > 1.0 && strength > 0.0) {
            roots.begin(i, s(i + (u32)sums.of[1] - 1, i).value, sums.of[0], sums.of[1]);
        } else {
            roots.close(i);
        }
    });
    __syncthreads();
    find_roots(own, is_head, roots, [=](u32 i, u32 head) { return s(i, head).value; }, w);
    // The slopes of the gammas, from sums of the slopes of psi, of these times those of s, and of the slopes of w.
    auto slopes = [=](u32 i, u32 head) {
        Dual at = s(i, head);
        double a = degree * size(at.value - roots.gamma[head]);
        return Sums<3>{{a, a * at.slope, RANKS ? 0.0 : score(i, list.x_tangent)}};
    };
    over_segments<3>(own, is_head, slopes, [=](u32 i, u32 head, Sums<3> sums) {
        if (i == head) roots.low[i] = (sums.of[1] - sums.of[2]) / sums.of[0];
    });
    __syncthreads();
    auto argument = [=](u32 i, u32 head) { return s(i, head) - Dual{roots.gamma[head], roots.low[head]}; };
    auto weight = [=](Dual t) {
        double slope = degree == 1.0 ? 0.0 : (degree - 1.0) * psi(t.value, degree - 2.0);
        return chain(t, size(t.value), slope);
    };
    auto upstream = [=](u32 i) {
        return RANKS ? (double)list.grad[item_of(list.index[i])] : sign * (double)list.grad[i];
    };
    Dual along = {0.0, 0.0};
    // Sums of the weights, and of these times g.
    auto weights = [=](u32 i, u32 head) {
        Dual a = weight(argument(i, head));
        double g = upstream(i);
        return Sums<4>{{a.value, a.slope, a.value * g, a.slope * g}};
    };
    over_segments<4>(own, is_head, weights, [&](u32 i, u32 head, Sums<4> sums) {
        u32 item = item_of(list.index[i]);
        if (list.is_alone(i)) {
            if (!RANKS) list.to_grad[i] = list.x_tangent[item];
            return;
        }
        Dual t = argument(i, head), a = weight(t), mean = Dual{sums.of[2], sums.of[3]} / Dual{sums.of[0], sums.of[1]};
        Dual ds = Dual{degree, 0.0} * a * (Dual{upstream(i), 0.0} - mean), y = t * a;
        if (RANKS) {
            list.to_x[item] = (T)(sign * (ds / list.strength).slope);
            list.to_grad[item] = (T)y.slope;
            along = along + ds * list.distance(i, head);
        } else {
            list.to_x[item] = (T)(sign * mean.slope);
            list.to_grad[i] = (T)(sign * y.slope);
            along = along - ds * Dual{(double)(i - head), 0.0};
        }
    });
    return along;
}
