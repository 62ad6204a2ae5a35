// Projections under a p-norm, as rust/core/src/sorting/soft/power.rs: the dual value gamma of a block solves
// SUM psi(s_i - gamma) = SUM w_i with psi(t) = sign(t) |t|^(q - 1), and blocks are found by splitting. All segments of a list are
// worked on at once:
//
//     while a segment is open:
//         solve for the gammas of the open segments, all by Newton steps together
//         where some prefix of y = psi(s - gamma) sums to more than that of w: split the segment where it does most
//         close the other open segments
#pragma once
#include "soft.cuh"

// A segment that may fall apart; beside HEAD in the links, which have nothing else here.
#define OPEN 0x40000000u
// A place where a segment is about to begin.
#define CUT 0x20000000u

// |t|^power, by multiplications for the powers of the usual norms.
__device__ __forceinline__ double magnitude(double t, double power) {
    t = fabs(t);
    return power == 1.0 ? t : power == 2.0 ? t * t : power == 3.0 ? t * t * t : pow(t, power);
}

__device__ __forceinline__ double psi(double t, double degree) { return copysign(magnitude(t, degree), t); }

// The gammas of segments and the brackets they are sought in, each at the first place of its segment. Gammas are in units in which s
// is 0 there. A bracket is empty (low > high) once gamma is found.
struct Roots {
    double *gamma, *low, *high;
    double degree;

    // Sets the bracket of a segment of `count` items whose last has this s; w sums to `total`.
    __device__ __forceinline__ void begin(u32 head, double last, double total, double count) const {
        double shift = psi(total / count, 1.0 / degree);
        low[head] = last - shift;
        high[head] = -shift;
        gamma[head] = low[head] + 0.5 * (high[head] - low[head]);
    }
    __device__ __forceinline__ void close(u32 head) const {
        low[head] = 1.0;
        high[head] = 0.0;
    }
    __device__ __forceinline__ bool is_sought(u32 head) const { return low[head] <= high[head]; }

    // One Newton step inside the bracket, or a bisection where that leads out of it. It is the last where it is tiny, or where what
    // is left is the rounding of a sum of numbers of this `size`.
    __device__ __forceinline__ void step(u32 head, double last, double sum, double slope, double size, double total,
                                         double count) const {
        double shift = psi(total / count, 1.0 / degree), at = gamma[head], excess = sum - total;
        double tiny = 2.220446049250313e-16 * max(fabs(last), fabs(shift));
        double from = excess > 0.0 ? at : low[head], to = excess > 0.0 ? high[head] : at;
        double next = at + excess / (degree * slope);
        if (!(next > from && next < to)) next = from + 0.5 * (to - from);
        bool rounding = fabs(excess) <= 8.0 * 2.220446049250313e-16 * size;
        bool found = rounding || fabs(next - at) <= tiny;
        gamma[head] = rounding ? at : next;
        low[head] = found ? 1.0 : from;
        high[head] = found ? 0.0 : to;
    }
};

// Finds the roots of all segments whose bracket is set by `begin`: `s(i, head)` falls from 0 at the head, `w(i)` is what psi sums to.
template <class Heads, class S, class W>
__device__ void find_roots(Stretch own, Heads is_head, Roots roots, S s, W w) {
    for (int pass = 0; pass < 200; ++pass) {
        u32 sought = 0;
        // Sums of psi, of its slope over the degree, of its size, of w and of 1.
        auto term = [&](u32 i, u32 head) {
            if (!roots.is_sought(head)) return Sums<5>{{0.0, 0.0, 0.0, 0.0, 0.0}};
            double t = s(i, head) - roots.gamma[head], weight = magnitude(t, roots.degree - 1.0);
            return Sums<5>{{weight * t, weight, fabs(weight * t), w(i), 1.0}};
        };
        auto each = [&](u32 i, u32 head, Sums<5> sums) {
            if (i != head || !roots.is_sought(head)) return;
            double last = s(head + (u32)sums.of[4] - 1, head);
            roots.step(head, last, sums.of[0], sums.of[1], sums.of[2], sums.of[3], sums.of[4]);
            sought += roots.is_sought(head);
        };
        over_segments<5>(own, is_head, term, each);
        if (!block_reduce(sought, Sum())) break;
    }
    __syncthreads();
}

// The sums of y - w over the places of the segment up to and with each place.
template <class Heads, class Excess>
__device__ void run_sums(Stretch own, Heads is_head, Excess excess, double* running) {
    Sums<1> part = zeros<1>();
    bool any = false;
    u32 head = own.head;
    for (u32 i = own.begin; i < own.end; ++i) {
        if (is_head(i)) {
            part = zeros<1>();
            any = true;
            head = i;
        }
        part.of[0] += excess(i, head);
    }
    double sum = sum_beside<Add>(part, any, -1).of[0];
    head = own.head;
    for (u32 i = own.begin; i < own.end; ++i) {
        if (is_head(i)) {
            sum = 0.0;
            head = i;
        }
        sum += excess(i, head);
        running[i] = sum;
    }
}

// Finds the blocks of the projection of falling s to the permutahedron of falling w, and their gammas. `links` has HEAD at the
// first place of each block afterwards, and no ends.
template <class S, class W>
__device__ void split(u32 n, u32* links, double* running, Roots roots, S s, W w) {
    // Inside a block all of y lies between the ends of w, so neighbours further apart than this never share one.
    double widest = 0.0;
    if (n > 0) widest = (psi(w(0), 1.0 / roots.degree) - psi(w(n - 1), 1.0 / roots.degree)) * (1.0 + 1e-12);
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) links[i] = i > 0 && -s(i, i - 1) <= widest ? 0 : HEAD | OPEN;
    auto is_head = [=](u32 i) { return (links[i] & HEAD) != 0; };
    auto is_last = [=](u32 i) { return i + 1 == n || (links[i + 1] & HEAD); };
    auto excess = [=](u32 i, u32 head) { return psi(s(i, head) - roots.gamma[head], roots.degree) - w(i); };
    for (bool more = n > 0; more;) {
        __syncthreads();
        Stretch own = stretch_of(n, is_head);
        auto ones = [&](u32 i, u32) { return Sums<2>{{w(i), 1.0}}; };
        over_segments<2>(own, is_head, ones, [&](u32 i, u32 head, Sums<2> sums) {
            if (i != head) return;
            u32 count = (u32)sums.of[1];
            if (count == 1) links[i] = HEAD;
            if (links[i] & OPEN) {
                roots.begin(i, s(i + count - 1, i), sums.of[0], sums.of[1]);
            } else {
                roots.close(i);
            }
        });
        __syncthreads();
        find_roots(own, is_head, roots, s, w);
        run_sums(own, is_head, excess, running);
        __syncthreads();
        // The largest of the sums, and the size of what they are made of.
        auto sizes = [&](u32 i, u32 head) {
            if (!(links[head] & OPEN) || is_last(i)) return Sums<2>{{0.0, 0.0}};
            double own_w = w(i);
            return Sums<2>{{running[i], fabs(excess(i, head) + own_w) + fabs(own_w)}};
        };
        over_segments<2, LargestFirst>(own, is_head, sizes, [&](u32 i, u32 head, Sums<2> sums) {
            if (i == head && (links[i] & OPEN)) roots.low[i] = sums.of[0] > 1e-13 * sums.of[1] ? sums.of[0] : 0.0;
        });
        __syncthreads();
        // The first place with that sum; the next segment begins behind it.
        u32 cuts = 0;
        auto first = [&](u32 i, u32 head) {
            bool here = (links[head] & OPEN) && roots.low[head] > 0.0 && running[i] == roots.low[head] && !is_last(i);
            return Sums<1>{{here ? (double)(n - i) : 0.0}};
        };
        over_segments<1, LargestFirst>(own, is_head, first, [&](u32 i, u32 head, Sums<1> sums) {
            if (i != head || !(links[i] & OPEN)) return;
            roots.high[i] = sums.of[0] > 0.0 ? (double)(n - (u32)sums.of[0] + 1) : 0.0;
            cuts += sums.of[0] > 0.0;
        });
        more = block_reduce(cuts, Sum()) > 0;
        for (u32 i = own.begin; i < own.end; ++i) {
            if (!(links[i] & OPEN)) continue;
            if (roots.high[i] > 0.0) {
                atomicOr(&links[(u32)roots.high[i]], CUT);
            } else {
                atomicExch(&links[i], HEAD);
            }
        }
        __syncthreads();
        for (u32 i = own.begin; i < own.end; ++i)
            if (links[i] & CUT) links[i] = HEAD | OPEN;
    }
    __syncthreads();
}

// Replaces `numbers` by y and gives each place its weight (q - 1) |s - gamma|^(q - 2), after `split`. A block of one item has its w.
template <class T, class S, class W>
__device__ void level_power(const List<T>& list, Roots roots, S s, W w) {
    double* numbers = list.work.numbers;
    T* weight = list.weight + list.seen.highest;
    auto is_head = [&](u32 i) { return (list.work.links[i] & HEAD) != 0; };
    auto term = [&](u32, u32) { return Sums<1>{{1.0}}; };
    auto each = [&](u32 i, u32 head, Sums<1> count) {
        double t = s(i, head) - roots.gamma[head];
        bool alone = count.of[0] == 1.0;
        numbers[i] = alone ? w(i) : psi(t, roots.degree);
        weight[i] = alone ? T(1) : (T)(roots.degree * magnitude(t, roots.degree - 1.0));
    };
    over_segments<1>(stretch_of(list.finite(), is_head), is_head, term, each);
    __syncthreads();
}
