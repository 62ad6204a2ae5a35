// Soft ranks and soft sorts: projections onto the permutahedron, as rust/core/src/sorting/soft.
//
// With u the scores (negated for one of the two directions) sorted to fall and rho = (m, m - 1, ..., 1), ranks project
// u / strength onto the permutahedron of rho, sorts rho / strength onto that of u. Infinite scores keep their places (or the mean of
// their places as ranks) and form no block with others.
//
// What is kept for the derivatives is the order: `index` has at each place the item there, `shared` where it shares the block of the
// place before, and -1 where there is none or an infinite one. A list with a NaN begins with POISON.
#pragma once
#include "pool.cuh"
#include "segments.cuh"

#define POISON (-2147483647 - 1)

__device__ __forceinline__ i32 shared_item(u32 item) { return -2 - (i32)item; }
__device__ __forceinline__ u32 item_of(i32 entry) { return (u32)(entry < -1 ? -2 - entry : entry); }

// The arguments of an operator on lists of scores that all of its kernels share. `x` has rows of n scores (see `range_of`), `mask`
// tells which count, or is null; `strength` has a number for each list.
template <class T> struct Problem {
    const T* x;
    const T* strength;
    const bool* mask;
    const i64* offsets;
    i64 stride, lists, n, parts;
    T sign;
    u32* fault;
};

// What forward kernels fill: values, `index`, and for other than least-squares projections a weight at each place.
template <class T> struct Solution {
    T* value;
    i32* index;
    T* weight;
};

// A list that is being worked on.
template <class T> struct List {
    const T* x;
    const bool* mask;
    u32 n;
    double strength;
    Survey<T> seen;
    bool is_short;
    Work<T> work;
    T* value;
    i32* index;
    T* weight;

    __device__ __forceinline__ u32 finite() const { return seen.count - seen.highest - seen.lowest; }
    __device__ __forceinline__ u32 length(u32 head) const { return (work.links[head] & ~HEAD) + 1 - head; }
};

// The mean of the ranks at the places `from .. to` of `count`.
__device__ __forceinline__ double mean_rank(u32 from, u32 to, u32 count) {
    return (double)count - ((double)from + (double)to - 1.0) * 0.5;
}

// Least-squares ranks of a list whose range shows it to be one block (rust/core/src/sorting/soft/narrow.rs): no sort.
template <class T> __device__ bool rank_narrow(const List<T>& list, T sign, double fill) {
    const Survey<T>& seen = list.seen;
    double low = (double)seen.low, count = (double)seen.count;
    if (list.finite() < seen.count || seen.count == 0 || list.strength == 0.0) return false;
    if (!(2.0 * ((double)seen.high - low) <= list.strength * count)) return false;
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < list.n; i += blockDim.x)
        if (!list.mask || list.mask[i]) sum += (double)(sign * list.x[i]) - low;
    double center = low + block_reduce(sum, Sum()) / count, inverse = min(1.0 / list.strength, 1.7976931348623157e308);
    for (u32 i = threadIdx.x; i < list.n; i += blockDim.x) {
        bool counts = !list.mask || list.mask[i];
        double rank = ((double)(sign * list.x[i]) - center) * inverse + 0.5 * (count + 1.0);
        list.value[i] = counts ? (T)rank : (T)fill;
        list.index[i] = counts ? shared_item(i) : -1;
    }
    return true;
}

// Fills the outputs of a list that has a NaN, or a strength that is none. Values go with the items or with the places.
template <class T> __device__ void poison(const List<T>& list, bool by_item, double fill) {
    for (u32 i = threadIdx.x; i < list.n; i += blockDim.x) {
        bool counts = by_item ? !list.mask || list.mask[i] : i < list.seen.count;
        list.value[i] = counts ? not_a_number<T>() : (T)fill;
        list.index[i] = i == 0 ? POISON : -1;
    }
}

// Writes the order with the blocks that were found.
template <class T> __device__ void put_index(const List<T>& list) {
    u32 first = list.seen.highest, end = first + list.finite();
    for (u32 i = threadIdx.x; i < list.n; i += blockDim.x) {
        u32 item = list.work.places[i];
        bool finite = first <= i && i < end;
        list.index[i] = !finite ? -1 : list.work.links[i - first] & HEAD ? (i32)item : shared_item(item);
    }
    __syncthreads();
}

// Gives each item the rank of its place, by way of shared memory where there is room, so that writes are in order.
template <class T> __device__ void put_ranks(const List<T>& list, double fill) {
    u32 first = list.seen.highest, end = first + list.finite(), count = list.seen.count;
    T* ranks = list.is_short ? (T*)list.work.keys : list.value;
    double top = mean_rank(0, first, count), bottom = mean_rank(end, count, count);
    for (u32 i = threadIdx.x; i < count; i += blockDim.x)
        ranks[list.work.places[i]] = (T)(i < first ? top : i < end ? list.work.numbers[i - first] : bottom);
    __syncthreads();
    for (u32 i = threadIdx.x; i < list.n && (list.is_short || list.mask); i += blockDim.x) {
        bool counts = !list.mask || list.mask[i];
        if (!counts) {
            list.value[i] = (T)fill;
        } else if (list.is_short) {
            list.value[i] = ranks[i];
        }
    }
}

// Writes the sorted scores that `numbers` has, or those of the keys.
template <class T> __device__ void put_sorted(const List<T>& list, bool exact, T sign, double fill) {
    Falling<typename Computed<T>::Bits> u = {list.work.keys};
    u32 first = list.seen.highest, end = first + list.finite();
    for (u32 i = threadIdx.x; i < list.n; i += blockDim.x) {
        double value = first <= i && i < end && !exact ? list.work.numbers[i - first] : u(i);
        list.value[i] = i < list.seen.count ? sign * (T)value : (T)fill;
    }
}

// Replaces `numbers` by the ranks of least squares, after pooling.
template <class T> __device__ void level_ranks(const List<T>& list, double strength) {
    Falling<typename Computed<T>::Bits> u = {list.work.keys + list.seen.highest};
    u32 n = list.finite(), m = list.seen.count - list.seen.highest;
    double inverse = min(1.0 / strength, 1.7976931348623157e308);
    auto is_head = [&](u32 i) { return (list.work.links[i] & HEAD) != 0; };
    auto term = [&](u32 i, u32 head) { return Sums<1>{{u(i) - u(head)}}; };
    auto each = [&](u32 i, u32 head, Sums<1> sum) {
        u32 length = list.length(head);
        double level = mean_rank(head, head + length, m);
        double distance = (u(i) - u(head)) - sum.of[0] / (double)length;
        list.work.numbers[i] = length == 1 ? level : distance * inverse + level;
    };
    over_segments<1>(stretch_of(n, is_head), is_head, term, each);
    __syncthreads();
}

// The same for kl: softmax(u / strength) of a block times the sum of its ranks.
template <class T> __device__ void level_exponential_ranks(const List<T>& list) {
    Falling<typename Computed<T>::Bits> u = {list.work.keys + list.seen.highest};
    u32 n = list.finite(), m = list.seen.count - list.seen.highest;
    double* numbers = list.work.numbers;
    auto is_head = [&](u32 i) { return (list.work.links[i] & HEAD) != 0; };
    auto term = [&](u32 i, u32 head) {
        numbers[i] = exp_exact((u(i) - u(head)) / list.strength);
        return Sums<1>{{numbers[i]}};
    };
    auto each = [&](u32 i, u32 head, Sums<1> sum) {
        u32 length = list.length(head);
        double total = mean_rank(head, head + length, m) * (double)length;
        numbers[i] = length == 1 ? total : numbers[i] * (total / sum.of[0]);
    };
    over_segments<1>(stretch_of(n, is_head), is_head, term, each);
    __syncthreads();
}

// Replaces `numbers` by the softly sorted u of least squares, after pooling.
template <class T> __device__ void level_scores(const List<T>& list) {
    Falling<typename Computed<T>::Bits> u = {list.work.keys + list.seen.highest};
    auto is_head = [&](u32 i) { return (list.work.links[i] & HEAD) != 0; };
    auto term = [&](u32 i, u32 head) { return Sums<1>{{u(i) - u(head)}}; };
    auto each = [&](u32 i, u32 head, Sums<1> sum) {
        double length = (double)list.length(head), half = (length - 1.0) * 0.5;
        double mean = sum.of[0] / length + u(head);
        list.work.numbers[i] = length == 1.0 ? u(i) : (half - (double)(i - head)) / list.strength + mean;
    };
    over_segments<1>(stretch_of(list.finite(), is_head), is_head, term, each);
    __syncthreads();
}

// The same for kl, with the weights softmax(u).
template <class T> __device__ void level_exponential_scores(const List<T>& list) {
    Falling<typename Computed<T>::Bits> u = {list.work.keys + list.seen.highest};
    double* numbers = list.work.numbers;
    T* weight = list.weight + list.seen.highest;
    auto is_head = [&](u32 i) { return (list.work.links[i] & HEAD) != 0; };
    auto term = [&](u32 i, u32 head) {
        numbers[i] = exp_exact(u(i) - u(head));
        return Sums<1>{{numbers[i]}};
    };
    auto each = [&](u32 i, u32 head, Sums<1> sum) {
        u32 length = list.length(head);
        weight[i] = (T)(numbers[i] / sum.of[0]);
        double level = u(head) + log(sum.of[0] / geometric((double)length, list.strength));
        numbers[i] = length == 1 ? u(i) : level - (double)(i - head) / list.strength;
    };
    over_segments<1>(stretch_of(list.finite(), is_head), is_head, term, each);
    __syncthreads();
}

// Calls `solve(list)` for each list that this block has, sorted. `by_item`: see `poison`; `narrow`: whether `rank_narrow` may do.
template <class T, class Solve>
__device__ void solve_lists(Problem<T> problem, Solution<T> to, unsigned char* scratch, i64 capacity, double fill,
                            bool by_item, bool narrow, Solve solve) {
    DYNAMIC_SHARED(memory);
    for (i64 number = blockIdx.x; number < problem.lists; number += gridDim.x) {
        Range span = range_of(number, problem.n, problem.parts, problem.offsets, problem.stride, problem.fault);
        if (span.n == 0) continue;
        const bool* mask = problem.mask ? problem.mask + span.start : (const bool*)0;
        const T* x = problem.x + span.start;
        List<T> list = {x, mask, span.n, (double)problem.strength[number]};
        list.seen = survey(x, mask, span.n, problem.sign);
        list.is_short = span.n <= capacity;
        list.work = work_of<T>(span.n, problem.n, capacity, memory, scratch);
        list.value = to.value + span.start;
        list.index = to.index + span.start;
        list.weight = to.weight ? to.weight + span.start : (T*)0;
        bool good = list.strength >= 0.0 && list.strength < infinity<double>() && !span.wrong;
        if (!good) report(problem.fault);
        if (!good || list.seen.nan) {
            poison(list, by_item, fill);
        } else if (!narrow || !rank_narrow(list, problem.sign, fill)) {
            sort_falling(x, mask, span.n, problem.sign, list.is_short, list.work);
            __syncthreads();
            solve(list);
        }
        __syncthreads();
    }
}
