// The kernels of soft ranks and soft sorts of `argrad.sorting`: one block takes one list at a time.
#include "soft_auto.cuh"
#include "soft_second.cuh"

// In all kernels x[..][n] are rows of scores with `lists` lists in them, `parts` to a row, at offsets[..][parts + 1] (`stride` from
// row to row, 0: the same in all; null: each row is a list); strength[lists]; mask[..][n] or null. Lists of at most `capacity`
// items are in shared memory, 20 or 24 bytes an item up to a power of two; for others `scratch` has as many bytes an item for
// each block.

// Ranks of least squares: value[..][n] by item, index[..][n] by place (see soft.cuh). O(n log^2 n / threads) for short lists, 4 to 8
// passes of a radix sort for long ones; no sort for a list of one block.
template <class T>
__global__ void soft_rank(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride, i64 parts,
                          i64 n, i64 lists, i64 falling, i64 exact, double fill, T* value, i32* index,
                          unsigned char* scratch, i64 capacity, u32* fault) {
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(-1) : T(1), fault};
    auto solve = [=](const List<T>& list) {
        u32 finite = list.finite();
        Falling<typename Computed<T>::Bits> u = {list.work.keys + list.seen.highest};
        for (bool soft = true;; soft = false) {
            double beta = soft ? list.strength : 0.0;
            pool(Linear<typename Computed<T>::Bits>{u, 1.0, beta}, list.work.links, list.work.numbers, finite);
            if (soft) put_index(list);
            if (!soft || !exact) break;
        }
        level_ranks(list, exact ? 0.0 : list.strength);
        put_ranks(list, fill);
    };
    solve_lists(problem, {value, index, 0}, scratch, capacity, fill, true, !exact, solve);
}

// Ranks of kl: as soft_rank, with the soft ranks as weight[..][n] by place.
template <class T>
__global__ void soft_rank_kl(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride, i64 parts,
                             i64 n, i64 lists, i64 falling, i64 exact, double fill, T* value, i32* index, T* weight,
                             unsigned char* scratch, i64 capacity, u32* fault) {
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(-1) : T(1), fault};
    auto solve = [=](const List<T>& list) {
        typedef typename Computed<T>::Bits Bits;
        u32 finite = list.finite(), first = list.seen.highest;
        bool hard = list.strength == 0.0;
        Falling<Bits> u = {list.work.keys + first};
        if (!hard) {
            double m = (double)(list.seen.count - first);
            pool(ExponentialRanks<Bits>{u, list.strength, m}, list.work.links, list.work.numbers, finite);
            put_index(list);
            level_exponential_ranks(list);
            for (u32 i = threadIdx.x; i < finite; i += blockDim.x) list.weight[first + i] = (T)list.work.numbers[i];
            __syncthreads();
        }
        if (hard || exact) {
            pool(Linear<Bits>{u, 1.0, 0.0}, list.work.links, list.work.numbers, finite);
            if (hard) put_index(list);
            level_ranks(list, 0.0);
        }
        put_ranks(list, fill);
    };
    solve_lists(problem, {value, index, weight}, scratch, capacity, fill, true, false, solve);
}

// Sorts of least squares: value[..][n] and index[..][n] by place. Cost as soft_rank.
template <class T>
__global__ void soft_sort(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride, i64 parts,
                          i64 n, i64 lists, i64 falling, i64 exact, double fill, T* value, i32* index,
                          unsigned char* scratch, i64 capacity, u32* fault) {
    T sign = falling ? T(1) : T(-1);
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, sign, fault};
    auto solve = [=](const List<T>& list) {
        Falling<typename Computed<T>::Bits> u = {list.work.keys + list.seen.highest};
        Linear<typename Computed<T>::Bits> rule = {u, -list.strength, -1.0};
        pool(rule, list.work.links, list.work.numbers, list.finite());
        put_index(list);
        if (!exact) level_scores(list);
        put_sorted(list, exact, sign, fill);
    };
    solve_lists(problem, {value, index, 0}, scratch, capacity, fill, false, false, solve);
}

// Sorts of kl: as soft_sort, with softmax(u) of the blocks as weight[..][n] by place.
template <class T>
__global__ void soft_sort_kl(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride, i64 parts,
                             i64 n, i64 lists, i64 falling, i64 exact, double fill, T* value, i32* index, T* weight,
                             unsigned char* scratch, i64 capacity, u32* fault) {
    T sign = falling ? T(1) : T(-1);
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, sign, fault};
    auto solve = [=](const List<T>& list) {
        Falling<typename Computed<T>::Bits> u = {list.work.keys + list.seen.highest};
        ExponentialScores<typename Computed<T>::Bits> rule = {u, list.strength};
        pool(rule, list.work.links, list.work.numbers, list.finite());
        put_index(list);
        level_exponential_scores(list);
        put_sorted(list, exact, sign, fill);
    };
    solve_lists(problem, {value, index, weight}, scratch, capacity, fill, false, false, solve);
}

// Gradients to_x[..][n] and, unless null, to_strength[lists] of ranks from grad[..][n] by item, index and weight (null for least
// squares) of the forward kernel. Two walks over the list; no shared memory beyond that of the sums.
template <class T>
__global__ void soft_rank_vjp(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride, i64 parts,
                              i64 n, i64 lists, i64 falling, const i32* index, const T* weight, const T* grad, T* to_x,
                              T* to_strength) {
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(-1) : T(1), 0};
    auto gradient = [=](const Kept<T>& list) { return rank_gradient(list, problem.sign); };
    derive_lists(problem, index, weight, grad, to_x, to_strength, true, gradient);
}

// Gradients of sorts likewise, from grad[..][n] by place. `form`: 0 least squares, 1 kl, 2 p-norm.
template <class T>
__global__ void soft_sort_vjp(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride, i64 parts,
                              i64 n, i64 lists, i64 falling, i64 form, const i32* index, const T* weight, const T* grad,
                              T* to_x, T* to_strength) {
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(1) : T(-1), 0};
    auto gradient = [=](const Kept<T>& list) { return sort_gradient(list, (int)form) * (double)problem.sign; };
    derive_lists(problem, index, weight, grad, to_x, to_strength, false, gradient);
}

// Gradients of <tangents, gradients> of ranks: to_x[..][n], to_strength[lists] and to_grad[..][n] from grad, x_tangent[..][n],
// strength_tangent[lists] and the index of the forward kernel. `form`: 0 least squares, 1 kl. Two walks over the list.
template <class T>
__global__ void soft_rank_second(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride,
                                 i64 parts, i64 n, i64 lists, i64 falling, i64 form, const i32* index, const T* grad,
                                 const T* x_tangent, const T* strength_tangent, T* to_x, T* to_strength, T* to_grad) {
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(-1) : T(1), 0};
    auto derive = [=](const Moved<T>& list) { return form ? rank_second_kl(list) : rank_second(list); };
    move_lists(problem, index, grad, x_tangent, strength_tangent, to_x, to_strength, to_grad, true, derive);
}

// The same of sorts.
template <class T>
__global__ void soft_sort_second(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride,
                                 i64 parts, i64 n, i64 lists, i64 falling, i64 form, const i32* index, const T* grad,
                                 const T* x_tangent, const T* strength_tangent, T* to_x, T* to_strength, T* to_grad) {
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(1) : T(-1), 0};
    auto derive = [=](const Moved<T>& list) { return form ? sort_second_kl(list) : sort_second(list); };
    move_lists(problem, index, grad, x_tangent, strength_tangent, to_x, to_strength, to_grad, false, derive);
}

// Blocks of finite scores counts[lists] from the index of a forward kernel; 0 for a list with a NaN. One pass.
__global__ void soft_blocks(const i32* index, const i64* offsets, i64 stride, i64 parts, i64 n, i64 lists, i64* counts) {
    for (i64 number = blockIdx.x; number < lists; number += gridDim.x) {
        Range span = range_of(number, n, parts, offsets, stride, 0);
        const i32* own = index + span.start;
        u32 heads = 0, others = 0;
        for (u32 i = threadIdx.x; i < span.n; i += blockDim.x) {
            heads += own[i] >= 0;
            others |= own[i] < -1;
        }
        heads = block_reduce(heads, Sum());
        others = block_reduce(others, Largest());
        // A block that was found without a sort has no head.
        if (threadIdx.x == 0) counts[number] = span.n > 0 && own[0] == POISON ? 0 : max(heads, others);
        __syncthreads();
    }
}

// Strengths [lists] at which evenly spaced scores begin to pool: the standard deviation of the finite scores over that of the
// ranks (for sorts the inverse). `form`: 0 least squares, 1 kl, 2 p-norm of `degree` q - 1. Three passes over the list.
template <class T>
__global__ void auto_strength(const T* x, const bool* mask, const i64* offsets, i64 stride, i64 parts, i64 n, i64 lists,
                              i64 ranks, i64 form, double degree, T* strength) {
    for (i64 number = blockIdx.x; number < lists; number += gridDim.x) {
        Range span = range_of(number, n, parts, offsets, stride, 0);
        const bool* own = mask ? mask + span.start : mask;
        double found = ranks ? rank_strength(x + span.start, own, span.n, (int)form, degree)
                             : sort_strength(x + span.start, own, span.n, form == 2 ? degree : 1.0);
        if (threadIdx.x == 0) strength[number] = (T)found;
        __syncthreads();
    }
}
