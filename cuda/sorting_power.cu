// The p-norm of ranks and sorts; the kernels beside them are in sorting.cu, whose remarks on arguments hold here as well. `degree` is
// q - 1; `state` has three numbers for each of n places for each block. About a dozen Newton steps, each a walk over the list, for
// each time that blocks are split: as many as splits lie inside one another.
#include "power.cuh"
#include "soft_second.cuh"

__device__ __forceinline__ Roots roots_in(double* state, i64 n, double degree) {
    double* own = state + (i64)blockIdx.x * 3 * n;
    return {own, own + n, own + 2 * n, degree};
}

// Ranks: value[..][n] by item, index[..][n] and weight[..][n] by place.
template <class T>
__global__ void soft_rank_power(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride,
                                i64 parts, i64 n, i64 lists, i64 falling, i64 exact, double fill, T* value, i32* index,
                                T* weight, unsigned char* scratch, i64 capacity, u32* fault, double degree,
                                double* state) {
    typedef typename Computed<T>::Bits Bits;
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(-1) : T(1), fault};
    Roots roots = roots_in(state, n, degree);
    auto solve = [=](const List<T>& list) {
        u32 finite = list.finite(), first = list.seen.highest;
        bool hard = list.strength == 0.0;
        Falling<Bits> u = {list.work.keys + first};
        double m = (double)(list.seen.count - first), strength = list.strength;
        if (!hard) {
            auto s = [=](u32 i, u32 head) { return (u(i) - u(head)) / strength; };
            auto w = [=](u32 i) { return m - (double)i; };
            split(finite, list.work.links, list.work.numbers, roots, s, w);
            put_index(list);
            level_power(list, roots, s, w);
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

// Sorts: value[..][n], index[..][n] and weight[..][n] by place.
template <class T>
__global__ void soft_sort_power(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride,
                                i64 parts, i64 n, i64 lists, i64 falling, i64 exact, double fill, T* value, i32* index,
                                T* weight, unsigned char* scratch, i64 capacity, u32* fault, double degree,
                                double* state) {
    T sign = falling ? T(1) : T(-1);
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, sign, fault};
    Roots roots = roots_in(state, n, degree);
    auto solve = [=](const List<T>& list) {
        u32 finite = list.finite();
        Falling<typename Computed<T>::Bits> u = {list.work.keys + list.seen.highest};
        bool hard = list.strength == 0.0;
        if (hard) {
            for (u32 i = threadIdx.x; i < finite; i += blockDim.x) list.work.links[i] = HEAD | i;
            __syncthreads();
            put_index(list);
        } else {
            double strength = list.strength;
            auto s = [=](u32 i, u32 head) { return -(double)(i - head) / strength; };
            split(finite, list.work.links, list.work.numbers, roots, s, u);
            put_index(list);
            level_power(list, roots, s, u);
        }
        put_sorted(list, hard || exact, sign, fill);
    };
    solve_lists(problem, {value, index, weight}, scratch, capacity, fill, false, false, solve);
}

// Gradients of <tangents, gradients>, see sorting.cu.
template <class T>
__global__ void soft_rank_power_second(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride,
                                       i64 parts, i64 n, i64 lists, i64 falling, const i32* index, const T* grad,
                                       const T* x_tangent, const T* strength_tangent, T* to_x, T* to_strength,
                                       T* to_grad, double degree, double* state) {
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(-1) : T(1), 0};
    Roots roots = roots_in(state, n, degree);
    auto derive = [=](const Moved<T>& list) { return power_second<true>(list, roots); };
    move_lists(problem, index, grad, x_tangent, strength_tangent, to_x, to_strength, to_grad, true, derive);
}

template <class T>
__global__ void soft_sort_power_second(const T* x, const T* strength, const bool* mask, const i64* offsets, i64 stride,
                                       i64 parts, i64 n, i64 lists, i64 falling, const i32* index, const T* grad,
                                       const T* x_tangent, const T* strength_tangent, T* to_x, T* to_strength,
                                       T* to_grad, double degree, double* state) {
    Problem<T> problem = {x, strength, mask, offsets, stride, lists, n, parts, falling ? T(1) : T(-1), 0};
    Roots roots = roots_in(state, n, degree);
    auto derive = [=](const Moved<T>& list) { return power_second<false>(list, roots); };
    move_lists(problem, index, grad, x_tangent, strength_tangent, to_x, to_strength, to_grad, false, derive);
}
