// The derivatives of products with the plan of Sinkhorn sort and of sorted SOFT top-k: the formulas are those of
// rust/core/src/sorting/sinkhorn/derive.rs. One block takes one list at a time. With columns R over the ranks and C over the
// items all come from one number,
//
//     B = sum_ji P_ji Q_ji,   Q_ji = <R_j, C_i>;      dB/dR = P C,   dB/dC = P^T R,
//     dB/ds_i = sum_j (j - home_i) P_ji (Q_ji - alpha_i - beta_j),   [M P; P^T D] (beta; alpha) = (sum_i P Q; sum_j P Q),
//
// where alpha and beta are how B answers to the potentials, which give way so that the sums of P stay. Second derivatives are
// these on dual numbers, for which the motion of the potentials is the answer to Q_ji = (j - home_i) s'_i.
#include "transport.cuh"

// Columns that are multiplied at once.
#define SINKHORN_COLUMNS 2

// Precision to which the linear systems are solved: beyond that of T.
template <class T> __device__ __forceinline__ double precision();
template <> __device__ __forceinline__ double precision<float>() { return 6e-10; }
template <> __device__ __forceinline__ double precision<double>() { return 1e-13; }

__device__ __forceinline__ double slope_of(double) { return 0.0; }
__device__ __forceinline__ double slope_of(Dual x) { return x.slope; }
__device__ __forceinline__ void set_slope(double&, double) {}
__device__ __forceinline__ void set_slope(Dual& x, double slope) { x.slope = slope; }

// The memory of a block.
template <class N> struct Answers {
    Plan plan;
    Solver solver;
    Motion motion;
    double *by_item, *by_rank, *x;  // a right side, and a solution
    N *alpha, *beta, *item_sums, *rank_sums;
    N *items, *ranks;  // [m] columns

    __device__ Answers(Room& room, i64 n, i64 m) {
        plan.gap = room.take<double>(n), plan.s = room.take<double>(n);
        solver.take(room, n);
        motion.speed = room.take<double>(n), motion.turn = room.take<double>(n), motion.bend = room.take<double>(n);
        by_item = room.take<double>(n), by_rank = room.take<double>(n), x = room.take<double>(n);
        alpha = room.take<N>(n), beta = room.take<N>(n);
        item_sums = room.take<N>(n), rank_sums = room.take<N>(n);
        items = room.take<N>(n * m), ranks = room.take<N>(n * m);
    }

    // Solves [M P; P^T D] (by_rank; x) = (by_rank; by_item).
    __device__ void solve(double tolerance) const {
        double noise = 0.0;
        for (i32 j = threadIdx.x; j < plan.ranks; j += blockDim.x) by_rank[j] /= plan.mass(j);
        __syncthreads();
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            double sum = 0.0;
            plan.walk_item(i, [&](i32 j, double e) { sum += e * by_rank[j]; });
            solver.residual[i] = by_item[i] - sum;
            noise += by_item[i] * by_item[i];
        }
        noise = block_reduce(noise, Sum());
        solver.solve(plan, tolerance, 1e-15 * sqrt(noise), x);
        solver.average(plan, x);
        for (i32 j = threadIdx.x; j < plan.ranks; j += blockDim.x) by_rank[j] -= solver.relay[j] + x[j];
        __syncthreads();
    }

    // Finds how the potentials move when the reduced scores do at `speed`.
    __device__ void move(double tolerance) const {
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            double sum = 0.0;
            const i32 from = plan.home(i);
            plan.walk_item(i, [&](i32 j, double e) { sum += e * (double)(j - from); });
            by_item[i] = sum * motion.speed[i];
        }
        for (i32 j = threadIdx.x; j < plan.ranks; j += blockDim.x) {
            double sum = 0.0;
            plan.walk_rank(j, [&](i32 i, double e) { sum += e * ((double)(j - plan.home(i)) * motion.speed[i]); });
            by_rank[j] = sum;
        }
        __syncthreads();
        solve(tolerance);
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            motion.turn[i] = x[i];
            if (i < plan.ranks) motion.bend[i] = by_rank[i];
        }
        __syncthreads();
    }

    // Fills alpha and beta from the sums.
    __device__ void answer(double tolerance) const {
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            by_item[i] = value_of(item_sums[i]);
            if (i < plan.ranks) by_rank[i] = value_of(rank_sums[i]);
        }
        __syncthreads();
        solve(tolerance);
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            alpha[i] = constant<N>(x[i]);
            if (i < plan.ranks) beta[i] = constant<N>(by_rank[i]);
        }
        __syncthreads();
        if (sizeof(N) == sizeof(double)) return;
        // What is left over when P moves and they do not; the sums of P stay, so that constants drop out.
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            double sum = slope_of(item_sums[i]);
            const double here = value_of(beta[plan.home(i)]);
            plan.walk_item(i, [&](i32 j, double e) {
                sum -= slope_of(entry_of<N>(plan, motion, i, j, e)) * (value_of(beta[j]) - here);
            });
            by_item[i] = sum;
        }
        for (i32 j = threadIdx.x; j < plan.ranks; j += blockDim.x) {
            double sum = slope_of(rank_sums[j]);
            const double here = x[j];
            plan.walk_rank(
                j, [&](i32 i, double e) { sum -= slope_of(entry_of<N>(plan, motion, i, j, e)) * (x[i] - here); });
            by_rank[j] = sum;
        }
        __syncthreads();
        solve(tolerance);
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            set_slope(alpha[i], x[i]);
            if (i < plan.ranks) set_slope(beta[i], by_rank[i]);
        }
        __syncthreads();
    }

    // dB/ds_i
    __device__ N pull(i32 i, i64 m) const {
        N sum = constant<N>(0.0);
        const i32 from = plan.home(i);
        plan.walk_item(i, [&](i32 j, double e) {
            N q = -alpha[i] - beta[j];
            for (i64 c = 0; c < m; ++c) q += ranks[c * plan.ranks + j] * items[c * plan.items + i];
            sum += constant<N>((double)(j - from)) * entry_of<N>(plan, motion, i, j, e) * q;
        });
        return sum;
    }
};

// What the kernels of both derivatives do; see there.
template <class N, class T>
__device__ void sinkhorn_derive(Moving<T> x, Moving<T> v, Moving<T> grad, Moving<T> temperature, const i32* places,
                                double* items, double* ranks, const Lists& batch, i64 lists, i64 k, i64 m,
                                bool descending, bool transposed, T* to_x, T* to_v, T* to_grad, T* to_temperature,
                                Room room) {
    const bool twice = sizeof(N) > sizeof(double);
    Answers<N> of(room, batch.n, m);
    const Moving<T> item_columns = transposed ? grad : v, rank_columns = transposed ? v : grad;
    T *to_items = transposed ? to_grad : to_v, *to_ranks = transposed ? to_v : to_grad;
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Transport<T> at(batch, list, x.value, places, temperature.value, k, nullptr);
        const Side<T> by_item = at.side(m, true), by_rank = at.side(m, false);
        if (at.idle()) {
            if (to_items && at.spoilt) by_item.fill(to_items, 0, not_a_number<T>());
            if (to_ranks && at.spoilt) by_rank.fill(to_ranks, 0, not_a_number<T>());
            for (i32 i = threadIdx.x; i < at.count; i += blockDim.x) to_x[at.start + at.order[i]] = not_a_number<T>();
            if (threadIdx.x == 0) to_temperature[list] = at.spoilt ? not_a_number<T>() : T(0);
            continue;
        }
        at.enter(of.plan, x.value, descending);
        of.plan.height = items + at.start, of.plan.shift = ranks + at.start;
        const Plan plan = of.plan;
        of.solver.prepare(plan);
        const N t = Read<N>::at(temperature, list), rate = constant<N>(plan.rate * value_of(t)) / t;
        auto finite = [=](i32 i) { return fabs((double)x.value[at.start + at.order[i]]) < infinity<double>(); };
        if (twice) {
            for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
                const double faster = slope_of(t) / value_of(t);
                const double own = finite(i) ? slope_of(Read<N>::at(x, at.start + at.order[i])) : 0.0;
                of.motion.speed[i] = plan.rate * own - faster * plan.s[i];
            }
            __syncthreads();
            of.move(precision<T>());
        }
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            of.item_sums[i] = of.rank_sums[i] = constant<N>(0.0);
            for (i64 c = 0; c < m; ++c) {
                of.items[c * plan.items + i] = by_item.template read<N>(item_columns, i, c);
                if (i < plan.ranks) of.ranks[c * plan.ranks + i] = by_rank.template read<N>(rank_columns, i, c);
            }
        }
        __syncthreads();
        for (i64 c = 0; c < m; c += SINKHORN_COLUMNS) {
            multiply<false, SINKHORN_COLUMNS>(plan, of.motion, c, m, of.items + c * plan.items, [&](i32 j, i64 w, N y) {
                of.rank_sums[j] += of.ranks[w * plan.ranks + j] * y;
                if (to_ranks) by_rank.write(to_ranks, j, w, part_of(y));
            });
            multiply<true, SINKHORN_COLUMNS>(plan, of.motion, c, m, of.ranks + c * plan.ranks, [&](i32 i, i64 w, N y) {
                of.item_sums[i] += of.items[w * plan.items + i] * y;
                if (to_items) by_item.write(to_items, i, w, part_of(y));
            });
        }
        if (to_items) by_item.fill(to_items, plan.items, T(0));  // out of the plan
        of.answer(precision<T>());
        N moment = constant<N>(0.0);
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            const N pull = of.pull(i, m);
            N s = constant<N>(plan.s[i]);
            if (twice) set_slope(s, of.motion.speed[i]);
            moment += s * pull;
            to_x[at.start + at.order[i]] = finite(i) ? (T)part_of(rate * pull) : T(0);
        }
        for (i32 i = plan.items + threadIdx.x; i < at.count; i += blockDim.x) to_x[at.start + at.order[i]] = T(0);
        moment = block_sum(moment);
        if (threadIdx.x == 0) to_temperature[list] = (T)part_of(-(moment / t));
        __syncthreads();
    }
}

// As `sinkhorn_product`, with the gradients of y -> the gradients to x, v and temperature, of their shapes. One block a list;
// some thirty walks along the band, and two for every SINKHORN_COLUMNS columns.
template <class T>
__global__ void sinkhorn_vjp(const T* x, const T* v, const T* grad, const T* temperature, const i32* places,
                             double* items, double* ranks, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists,
                             i64 k, i64 m, i64 descending, i64 transposed, T* to_x, T* to_v, T* to_temperature,
                             u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    sinkhorn_derive<double, T>({x, nullptr}, {v, nullptr}, {grad, nullptr}, {temperature, nullptr}, places, items, ranks,
                               {offsets, n, per_row, stride}, lists, k, m, descending != 0, transposed != 0, to_x, to_v,
                               nullptr, to_temperature, room_of(scratch, bytes, memory));
}

// The derivatives of these gradients along tangents of x, v and temperature, on dual numbers; to `grad` as well.
template <class T>
__global__ void sinkhorn_second(const T* x, const T* v, const T* grad, const T* temperature, const T* x_tangent,
                                const T* v_tangent, const T* temperature_tangent, const i32* places, double* items,
                                double* ranks, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 k,
                                i64 m, i64 descending, i64 transposed, T* to_x, T* to_v, T* to_temperature, T* to_grad,
                                u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    sinkhorn_derive<Dual, T>({x, x_tangent}, {v, v_tangent}, {grad, nullptr}, {temperature, temperature_tangent}, places,
                             items, ranks, {offsets, n, per_row, stride}, lists, k, m, descending != 0,
                             transposed != 0, to_x, to_v, to_grad, to_temperature, room_of(scratch, bytes, memory));
}
