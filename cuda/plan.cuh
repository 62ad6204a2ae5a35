// A transport plan between the sorted items of one list and its ranks, by its potentials: P_ji = exp(s_i j + a_i + b_j), see
// rust/core/src/sorting/sinkhorn/plan.rs. The three terms are huge where P is ordinary, so none of them is kept. The logarithm
// of P at an item's home, the rank that the hard assignment sends it to, is, and the rest follows by steps along a column or
// a row of P:
//
//     ln P_(j+1)i - ln P_ji = s_i - (s_j + s_(j+1)) / 2 + shift_(j+1) - shift_j
//     ln P_j(i+1) - ln P_ji = (j - i - 1/2) (s_(i+1) - s_i) + height_(i+1) - height_i - (shift_(i+1) - shift_i)
//
// A thread walks from the home outwards until P vanishes: a warp reads consecutive numbers.
#pragma once
#include "scans.cuh"

// A gap of this size in reduced scores lets exp(-42) of an item through: less than rounding.
#define PLAN_BREAK 84.0
// Entries below exp(-PLAN_CUT) of an item's (a rank's) largest are left out.
#define PLAN_CUT 38.0

struct Plan {
    i32 items, ranks;  // that exchange mass: those of rank 1 to k, and what lies before the next break
    double rest;       // sum over the items at the last rank; it is 1 at the others
    double rate;       // d(reduced score) / d(score)
    double* gap;       // [items] to the next reduced score; nothing passes one of PLAN_BREAK
    double* s;         // [items] reduced scores, from 0 behind each break
    double* height;    // [items] ln P at home
    double* shift;     // [ranks] b less the potential of the hard assignment

    // Enters `count` > 0 scores in the order of their ranks: k ranks and one for the rest, or with k = 0 as many as scores.
    template <class Score> __device__ void enter(i32 count, i64 k, double temperature, bool descending, Score score) {
        const i32 top = k > 0 ? (i32)k : count;
        rate = (descending ? -2.0 : 2.0) * (k > 0 ? 1.0 : 1.0 / (double)(max(count, 2) - 1)) / temperature;
        i32 end = count;
        for (i32 i = threadIdx.x; i < count; i += blockDim.x) {
            // Equal scores, infinite ones as well, have no gap.
            const double here = score(i), next = i + 1 < count ? score(i + 1) : here;
            gap[i] = here == next ? 0.0 : (next - here) * rate;
            if (i + 1 >= top && broken(i)) end = min(end, i + 1);
        }
        items = block_reduce(end, Least());
        ranks = items == top ? top : top + 1;
        rest = (double)(items + 1 - ranks);
        __syncthreads();
        double *to = s, *from = gap;
        sum_along([=](i32 i) { return from[i] < PLAN_BREAK ? from[i] : 0.0; },
                  [=](i32 i, double before, double) { to[i] = before; });
    }

    __device__ __forceinline__ bool broken(i32 i) const { return gap[i] >= PLAN_BREAK; }
    __device__ __forceinline__ i32 home(i32 i) const { return min(i, ranks - 1); }
    __device__ __forceinline__ double mass(i32 j) const { return j == ranks - 1 ? rest : 1.0; }

    // Calls `out(i, sum of x from the last break to before i, x(i))` for every item.
    template <class X, class Out> __device__ void sum_along(X x, Out out) const {
        const double* gaps = gap;
        scan_side<double, 1>(
            items, [=](i32 i) { return i > 0 && gaps[i - 1] < PLAN_BREAK ? 1.0 : 0.0; },
            [=](i32 i, double* here) { here[0] = x(i); },
            [=](i32 i, const double* side, const double* here) { out(i, side[0], here[0]); });
    }

    // Calls `visit(j, P_ji)` for the ranks that matter to item i.
    template <class Visit> __device__ __forceinline__ void walk_item(i32 i, Visit visit) const {
        const i32 from = home(i);
        double highest = height[i];
#pragma unroll 1
        for (i32 way = 1; way >= -1; way -= 2) {
            double level = height[i], ahead = s[i] - s[from];  // s_i - s_j
            for (i32 j = from;;) {
                if (way == 1 || j != from) visit(j, exp_exact(level));
                const i32 edge = way == 1 ? j : j - 1;  // between ranks edge and edge + 1
                if (edge < 0 || edge + 1 >= ranks || broken(edge)) break;
                const double next = ahead - way * gap[edge];
                level += way * (0.5 * (ahead + next) + (shift[edge + 1] - shift[edge]));
                ahead = next;
                j += way;
                if (!(level >= highest - PLAN_CUT)) break;
                highest = max(highest, level);
            }
        }
    }

    // Calls `visit(i, P_ji)` for the items that matter to rank j.
    template <class Visit> __device__ __forceinline__ void walk_rank(i32 j, Visit visit) const {
        double highest = height[j];
#pragma unroll 1
        for (i32 way = 1; way >= -1; way -= 2) {
            double level = height[j];
            for (i32 i = j;;) {
                if (way == 1 || i != j) visit(i, exp_exact(level));
                const i32 edge = way == 1 ? i : i - 1;
                if (edge < 0 || edge + 1 >= items || broken(edge)) break;
                const bool apart = edge + 1 < ranks;  // the items' homes
                const double lever = apart ? (double)(j - edge) - 0.5 : (double)(j - (ranks - 1));
                const double turn = apart ? shift[edge + 1] - shift[edge] : 0.0;
                level += way * (lever * gap[edge] + (height[edge + 1] - height[edge]) - turn);
                i += way;
                if (!(level >= highest - PLAN_CUT)) break;
                highest = max(highest, level);
            }
        }
    }
};

// How the logarithm of P moves: (j - home_i) speed_i - turn_i - bend_j.
struct Motion {
    double *speed, *turn, *bend;  // [items], [items], [ranks]
};

// An entry as a number of type N.
template <class N> __device__ __forceinline__ N entry_of(const Plan& plan, const Motion& motion, i32 i, i32 j, double e);
template <>
__device__ __forceinline__ double entry_of(const Plan& plan, const Motion& motion, i32 i, i32 j, double e) {
    return e;
}
template <> __device__ __forceinline__ Dual entry_of(const Plan& plan, const Motion& motion, i32 i, i32 j, double e) {
    return {e, e * ((double)(j - plan.home(i)) * motion.speed[i] - motion.turn[i] - motion.bend[j])};
}

// Calls `out(k, c + w, sum)` for the products of P with columns x[w][ranks], or for W = 1, ... of P^T's with x[w][items]: for
// every item if BY_ITEM, else for every rank.
template <bool BY_ITEM, int W, class N, class Out>
__device__ void multiply(const Plan& plan, const Motion& motion, i64 c, i64 m, const N* x, Out out) {
    const i64 size = BY_ITEM ? plan.ranks : plan.items;
    for (i32 k = threadIdx.x; k < (BY_ITEM ? plan.items : plan.ranks); k += blockDim.x) {
        N sums[W];
#pragma unroll
        for (int w = 0; w < W; ++w) sums[w] = constant<N>(0.0);
        auto add = [&](i32 other, double e) {
            const N here = BY_ITEM ? entry_of<N>(plan, motion, k, other, e) : entry_of<N>(plan, motion, other, k, e);
#pragma unroll
            for (int w = 0; w < W; ++w)
                if (c + w < m) sums[w] += here * x[w * size + other];
        };
        if (BY_ITEM) plan.walk_item(k, add);
        else plan.walk_rank(k, add);
#pragma unroll
        for (int w = 0; w < W; ++w)
            if (c + w < m) out(k, c + w, sums[w]);
    }
    __syncthreads();
}
