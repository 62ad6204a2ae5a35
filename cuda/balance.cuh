// Linear systems with a plan's Hessian, by conjugate gradients, and Newton's method for its potentials: what
// rust/core/src/sorting/sinkhorn/solve.rs does, with another preconditioner. With the ranks' sums M held, what is left is a
// convex function of a with the gradient (items' sums - 1) and the Hessian
//
//     H = D - P^T M^-1 P,      D the items' sums: a graph's Laplacian, zero on constants.
//
// It is applied as such, from differences of neighbours alone, so that constants drop out exactly and the weakest coupling
// keeps its precision. P smooths over the width of a band. What varies faster is left alone by H: there D is its equal. What
// varies more slowly varies as the mean rank m of the items does, and there the Laplacian of a chain of items with H's flux
//
//     conductance_i = flux_i / (m_(i+1) - m_i),      flux_i = sum_{k <= i < l} K_kl (m_l - m_k) = -sum_{k <= i} (H m)_k,
//     K = P^T M^-1 P,
//
// is its equal. So D^-1 + chain^-1 is the preconditioner, and a chain is solved by two sums along the list. On evenly spaced
// items the eigenvalues of the product lie between 1 and 1.3, and some twelve steps give thirteen digits, for any width.
#pragma once
#include "plan.cuh"

// A flux below this is rounding. A resistance above the other parts the chain: what passes there moves nothing by more than
// rounding, and what is left over on either side, rounding itself, must not be made to pass.
#define PLAN_FLOOR 1e-14
#define PLAN_WEAK 1e13
// Conjugate gradients end after so many steps at the latest.
#define PLAN_STEPS 400
// No step of Newton's method moves the logarithm of an entry by more, so that entries beyond the cut stay negligible.
#define PLAN_STRIDE 4.0

struct Solver {
    double* sums;        // [items] D
    double* resistance;  // [items] of the chain, to the next item; infinite at breaks
    double *residual, *direction, *product, *better;  // [items]
    double* relay;       // [ranks]

    __device__ void take(Room& room, i64 n) {
        sums = room.take<double>(n), resistance = room.take<double>(n);
        residual = room.take<double>(n), direction = room.take<double>(n);
        product = room.take<double>(n), better = room.take<double>(n), relay = room.take<double>(n);
    }

    // relay_j = (sum_i P_ji d_i) / M_j - d_j
    __device__ void average(const Plan& plan, const double* d) const {
        for (i32 j = threadIdx.x; j < plan.ranks; j += blockDim.x) {
            double sum = 0.0;
            plan.walk_rank(j, [&](i32 i, double e) { sum += e * (d[i] - d[j]); });
            relay[j] = sum / plan.mass(j);
        }
        __syncthreads();
    }

    // product = H d
    __device__ void apply(const Plan& plan, const double* d) const {
        average(plan, d);
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            double sum = 0.0;
            plan.walk_item(i, [&](i32 j, double e) { sum += e * ((d[i] - d[j]) - relay[j]); });
            product[i] = sum;
        }
        __syncthreads();
    }

    // Reads off the plan what the systems need.
    __device__ void prepare(const Plan& plan) const {
        double *mean = residual, *spread = better, *places = direction, *flow = product, *chain = resistance;
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            double sum = 0.0, first = 0.0, second = 0.0;
            const i32 from = plan.home(i);
            plan.walk_item(i, [&](i32 j, double e) {
                const double off = (double)(j - from);
                sum += e, first += e * off, second += e * off * off;
            });
            sums[i] = sum;
            mean[i] = first / sum;
            spread[i] = max(second / sum - mean[i] * mean[i], 0.0);
        }
        __syncthreads();
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            double step = 0.0;
            if (i + 1 < plan.items && !plan.broken(i)) {
                step = (mean[i + 1] - mean[i]) + (double)(plan.home(i + 1) - plan.home(i));
                // The slope of the mean over the scores is the variance: that has digits where the difference has none.
                if (step < 1e-6) step = plan.gap[i] * spread[i];
            }
            chain[i] = step;
        }
        __syncthreads();
        plan.sum_along([=](i32 i) { return chain[i]; }, [=](i32 i, double before, double) { places[i] = before; });
        apply(plan, places);
        plan.sum_along([=](i32 i) { return flow[i]; }, [&](i32 i, double before, double here) {
            chain[i] = plan.broken(i) ? infinity<double>() : chain[i] / max(-(before + here), PLAN_FLOOR);
        });
    }

    // Calls `out(i, sum of x before i, x(i))` for every item, each part of the chain by itself.
    template <class X, class Out> __device__ void sum_parts(const Plan& plan, X x, Out out) const {
        const double* chain = resistance;
        scan_side<double, 1>(
            plan.items, [=](i32 i) { return i > 0 && chain[i - 1] < PLAN_WEAK ? 1.0 : 0.0; },
            [=](i32 i, double* here) { here[0] = x(i); },
            [=](i32 i, const double* side, const double* here) { out(i, side[0], here[0]); });
    }

    // better = the preconditioner times residual
    __device__ void precondition(const Plan& plan) const {
        double* to = better;
        const double *from = residual, *chain = resistance, *of = sums;
        sum_parts(
            plan, [=](i32 i) { return from[i]; },
            [=](i32 i, double before, double here) { to[i] = chain[i] < PLAN_WEAK ? -(before + here) * chain[i] : 0.0; });
        sum_parts(
            plan, [=](i32 i) { return to[i]; },
            [=](i32 i, double before, double) { to[i] = from[i] / of[i] + before; });
    }

    __device__ double inner(i32 count, const double* a, const double* b) const {
        double sum = 0.0;
        for (i32 i = threadIdx.x; i < count; i += blockDim.x) sum += a[i] * b[i];
        return block_reduce(sum, Sum());
    }

    // Solves H x = residual, up to a constant between breaks, until what is left is below `tolerance` times that, or below
    // `noise`; residual is lost.
    __device__ void solve(const Plan& plan, double tolerance, double noise, double* x) const {
        const i32 n = plan.items;
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) x[i] = direction[i] = 0.0;
        __syncthreads();
        // Over each part the sum is 0 but for rounding, which no step could take away.
        double *right = residual, *chain = resistance;
        sum_parts(
            plan, [=](i32 i) { return right[i]; },
            [=](i32 i, double before, double) {
                if (i + 1 == n || !(chain[i] < PLAN_WEAK)) right[i] = -before;
            });
        double left = inner(n, residual, residual), slope = 1.0;
        const double goal = max(tolerance * tolerance * left, noise * noise);
        for (i32 step = 0; step < PLAN_STEPS && left > goal; ++step) {
            precondition(plan);
            const double now = inner(n, residual, better), turn = step == 0 ? 0.0 : now / slope;
            slope = now;
            for (i32 i = threadIdx.x; i < n; i += blockDim.x) direction[i] = turn * direction[i] + better[i];
            __syncthreads();
            apply(plan, direction);
            const double curvature = inner(n, direction, product);
            if (!(curvature > 0.0) || !(slope > 0.0)) break;
            const double length = slope / curvature;
            for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
                x[i] += length * direction[i];
                residual[i] -= length * product[i];
            }
            left = inner(n, residual, residual);
        }
        __syncthreads();
    }

    // relay_j = ln(sum_i P_ji exp(t x_i) / M_j) - t x_j; returns how that and -t x together change the dual.
    __device__ double grow(const Plan& plan, const double* x, double t) const {
        double change = 0.0;
        const i32 last = plan.ranks - 1;
        for (i32 j = threadIdx.x; j < plan.ranks; j += blockDim.x) {
            double sum = 0.0;
            plan.walk_rank(j, [&](i32 i, double e) { sum += e * exp_exact(t * (x[i] - x[j])); });
            relay[j] = ln_exact(sum / plan.mass(j));
            change += plan.mass(j) * relay[j];
        }
        for (i32 i = plan.ranks + threadIdx.x; i < plan.items; i += blockDim.x) change -= t * (x[i] - x[last]);
        return block_reduce(change, Sum());
    }

    // Moves a by t x, and b by what `grow` has found: the ranks' sums hold again.
    __device__ void hold(const Plan& plan, const double* x, double t) const {
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            const i32 at = plan.home(i);
            plan.height[i] += t * (x[i] - x[at]) - relay[at];
            if (i < plan.ranks) plan.shift[i] -= t * x[i] + relay[i];
        }
        __syncthreads();
    }

    // The most that moving a by x, and b as that asks for to first order, moves the logarithm of an entry.
    __device__ double reach(const Plan& plan, const double* x) const {
        average(plan, x);
        double most = 0.0;
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x)
            plan.walk_item(i, [&](i32 j, double) { most = max(most, fabs((x[i] - x[j]) - relay[j])); });
        return block_reduce(most, Largest());
    }

    // Finds the potentials from those of the hard assignment: one step of Sinkhorn's for each, then at most `iterations` of
    // Newton's, until every item's sum is within `tolerance` of 1. `x` is memory for the items.
    __device__ void balance(const Plan& plan, i64 iterations, double tolerance, double* x) const {
        const i32 n = plan.items;
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
            plan.height[i] = 0.0;
            if (i < plan.ranks) plan.shift[i] = 0.0;
        }
        __syncthreads();
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
            double sum = 0.0;
            plan.walk_item(i, [&](i32, double e) { sum += e; });
            x[i] = -ln_exact(sum);
        }
        __syncthreads();
        grow(plan, x, 1.0);
        hold(plan, x, 1.0);
        double before = infinity<double>();
        for (i64 iteration = 0; iteration < iterations; ++iteration) {
            prepare(plan);
            double error = 0.0;
            for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
                residual[i] = 1.0 - sums[i];
                error = max(error, fabs(residual[i]));
            }
            error = block_reduce(error, Largest());
            // An error so small that does not fall any more is rounding.
            if (error <= tolerance || (error < 1e-12 + 1e-14 * n && error > 0.5 * before)) break;
            before = error;
            solve(plan, min(max(error, 1e-6), 0.1), 0.0, x);
            step(plan, x);
        }
    }

    // Takes the longest of the steps x, x/2, ... with which the dual falls by a tenth of what its slope promises.
    __device__ void step(const Plan& plan, const double* x) const {
        const i32 n = plan.items;
        const double most = reach(plan, x);
        double slope = 0.0, length = most > PLAN_STRIDE ? PLAN_STRIDE / most : 1.0;
        for (i32 i = threadIdx.x; i < n; i += blockDim.x) slope += (1.0 - sums[i]) * x[i];
        slope = block_reduce(slope, Sum());
        // Below the last term the change is rounding.
        while (!(grow(plan, x, length) <= -0.1 * length * slope + 1e-14 * n) && length >= 1e-3) length *= 0.5;
        hold(plan, x, length);
    }
};
