// Sinkhorn sort and sorted SOFT top-k of `argrad.sorting.soft_permutation`: the potentials of the transport plan, and products
// with it. All arithmetic is in double precision, whatever the scores are. One block takes one list at a time.
#include "transport.cuh"

// Columns that are multiplied at once.
#define SINKHORN_COLUMNS 4

// x[rows][n], temperature[lists], places from `order_lists` -> items[rows][n] and ranks[rows][n], the potentials of the plan
// with k ranks and one for the rest, or (k = 0) with as many ranks as items; see plan.cuh. At most `iterations` steps of
// Newton's method, until all sums are within `tolerance` of 1. Lists with a NaN, a bad temperature or less than k items are
// left as they are. One block a list; some fifty walks along the band; `scratch` has `bytes` for each block, null where shared
// memory is enough.
template <class T>
__global__ void sinkhorn_balance(const T* x, const T* temperature, const i32* places, const i64* offsets, i64 stride,
                                 i64 per_row, i64 n, i64 lists, i64 k, i64 descending, i64 iterations, double tolerance,
                                 double* items, double* ranks, u8* scratch, i64 bytes, u32* fault) {
    DYNAMIC_SHARED(memory);
    const Lists batch = {offsets, n, per_row, stride};
    Room room = room_of(scratch, bytes, memory);
    Plan plan;
    plan.gap = room.take<double>(n), plan.s = room.take<double>(n);
    Solver solver;
    solver.take(room, n);
    double *height = room.take<double>(n), *shift = room.take<double>(n), *x_step = room.take<double>(n);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Transport<T> of(batch, list, x, places, temperature, k, fault);
        if (of.idle()) continue;
        of.enter(plan, x, descending != 0);
        plan.height = height, plan.shift = shift;
        solver.balance(plan, iterations, tolerance, x_step);
        for (i32 i = threadIdx.x; i < plan.items; i += blockDim.x) {
            items[of.start + i] = height[i];
            if (i < plan.ranks) ranks[of.start + i] = shift[i];
        }
        __syncthreads();
    }
}

// The same and these potentials, v[rows][n][m] -> y[rows][n][m] = P v, or P^T v if `transposed`; with k > 0 what belongs to
// ranks has k rows. NaN for lists with a NaN, a bad temperature or less than k items; what does not count is left as it is.
// blockIdx.y takes a share of the columns. One walk along the band for every SINKHORN_COLUMNS columns.
template <class T>
__global__ void sinkhorn_product(const T* x, const T* v, const T* temperature, const i32* places, double* items,
                                 double* ranks, const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 k,
                                 i64 m, i64 descending, i64 transposed, T* y, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    const Lists batch = {offsets, n, per_row, stride};
    Room room = room_of(scratch, bytes, memory);
    Plan plan;
    plan.gap = room.take<double>(n), plan.s = room.take<double>(n);
    double* held = room.take<double>(n * (m == 1 ? 1 : SINKHORN_COLUMNS));
    const Motion still = {nullptr, nullptr, nullptr};
    const i64 first = (i64)blockIdx.y * SINKHORN_COLUMNS, stretch = (i64)gridDim.y * SINKHORN_COLUMNS;
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Transport<T> of(batch, list, x, places, temperature, k, nullptr);
        const Side<T> from = of.side(m, transposed == 0), to = of.side(m, transposed != 0);
        if (blockIdx.y == 0 && of.spoilt) to.fill(y, 0, not_a_number<T>());
        if (of.idle()) continue;
        of.enter(plan, x, descending != 0);
        plan.height = items + of.start, plan.shift = ranks + of.start;
        // Items behind the last rank are out of the plan.
        if (blockIdx.y == 0 && transposed) to.fill(y, plan.items, T(0));
        for (i64 c = first; c < m; c += stretch) {
            const i32 size = transposed ? plan.ranks : plan.items;
            for (i32 j = threadIdx.x; j < size; j += blockDim.x)
                for (i64 w = 0; w < SINKHORN_COLUMNS && c + w < m; ++w)
                    held[w * size + j] = from.template read<double>({v, nullptr}, j, c + w);
            __syncthreads();
            auto out = [=](i32 j, i64 at, double sum) { to.write(y, j, at, sum); };
            if (transposed) multiply<true, SINKHORN_COLUMNS>(plan, still, c, m, held, out);
            else multiply<false, SINKHORN_COLUMNS>(plan, still, c, m, held, out);
        }
        __syncthreads();
    }
}
