// Two groups in a relaxed sorting network, `argrad.sorting.group_order`: the formulas are those of
// rust/core/src/sorting/groups. One block takes one list at a time.
#include "network_tile.cuh"

// places[rows][n] from `order_lists`, positive[rows][n] -> order[rows][n]: the last `negatives` of the negatives, then the
// positives, each in order, then -1; and count[rows], how many. Nothing where one of the groups is empty. One block a list, two
// reads.
__global__ void group_arrange(const i32* places, const u8* positive, i64 n, i64 lists, i64 negatives, i32* order,
                              i64* count) {
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const i32* from = places + list * n;
        const u8* label = positive + list * n;
        i32* to = order + list * n;
        const i32 counts = counted(from, (i32)n);
        i32 own = 0;
        for (i32 r = threadIdx.x; r < counts; r += blockDim.x) own += label[from[r]] != 0;
        const i32 positives = block_reduce(own, Sum()), rest = counts - positives;
        const bool empty = positives == 0 || rest == 0;
        const i32 dropped = (i32)max((i64)rest - negatives, (i64)0), taken = empty ? 0 : counts - dropped;
        i32 before = 0;  // positives so far
        for (i32 tile = 0; tile < counts && !empty; tile += blockDim.x) {
            const i32 r = tile + threadIdx.x;
            const bool there = r < counts, upper = there && label[from[r]] != 0;
            i32 total, sum = before + block_scan((i32)upper, total);
            const i32 at = upper ? rest + sum - dropped : r - sum - dropped;
            if (there && at >= 0) to[at] = from[r];
            before += total;
        }
        for (i32 r = taken + threadIdx.x; r < n; r += blockDim.x) to[r] = -1;
        if (threadIdx.x == 0) count[list] = taken;
        __syncthreads();
    }
}

// A negative of a smaller probability gets it from a product of its own; logarithms of smaller ones are that of LEAST.
#define CANCELS (1.0 / 32.0)
#define LEAST 1e-12

__device__ __forceinline__ float log_of(float x) { return (float)ln_exact((double)x); }
__device__ __forceinline__ double log_of(double x) { return ln_exact(x); }
__device__ __forceinline__ Dual log_of(Dual x) { return chain(x, ln_exact(x.value), 1.0 / x.value); }

// What is asked of a list: values and gradients, null where they are not wanted; `upstream` null: 1 for each mean. A mean over
// `run` lists gives each the share of its run.
template <class T> struct GroupTask {
    const i32* order;
    const u8* positive;
    Moving<T> x, steepness, upstream;
    i64 n, lists, run;
    const double* shares;
    bool log, mean, bitonic;
    int distribution;
    i32 segment;
    T *value, *to_x, *to_steepness;
};

template <class E, class T> __device__ void run_groups(const GroupTask<T>& task, Room room, u32* fault) {
    const i64 n = task.n, record = (i64)task.segment * Layers{(i32)n, task.bitonic}.width();
    const bool back = task.to_x != nullptr;
    const E one = constant<E>(1.0), zero = constant<E>(0.0);
    Tile<E> tile;
    tile.columns = 2;
    tile.distribution = task.distribution;
    E *x = room.take<E>(n), *to_x = room.take<E>(n), *v = room.take<E>(2 * n), *u = room.take<E>(2 * n);
    E* chances = room.take<E>(n);
    tile.x = x, tile.u = u;
    tile.weights = room.take<E>(record), tile.distances = room.take<E>(record);
    tile.differences = room.take<E>(2 * record);
    tile.kept = (E*)room.free;
    for (i64 list = blockIdx.x; list < task.lists; list += gridDim.x) {
        const i64 start = list * n;
        const i32* order = task.order + start;
        const i32 count = counted(order, (i32)n);
        const double given = (double)task.steepness.value[list];
        const bool wrong = !(given > 0.0 && given < infinity<double>());
        if (wrong) report(fault);
        u32 bad = wrong;
        i32 own = 0;
        for (i32 i = threadIdx.x; i < count; i += blockDim.x) {
            bad |= is_nan(task.x.value[start + order[i]]);
            own += task.positive[start + order[i]] == 0;
        }
        const bool spoilt = block_reduce(bad, Largest()) != 0;
        const i32 m = block_reduce(own, Sum());
        const T none = (T)(task.log ? 0.0 : 1.0), nan = not_a_number<T>();
        tile.layers = {count, task.bitonic};
        tile.steepness = ReadAs<E>::at(task.steepness, list);
        auto enter = [=]() {
            for (i32 i = threadIdx.x; i < count; i += blockDim.x) {
                x[i] = ReadAs<E>::at(task.x, start + order[i]);
                // The places of positives, and the others.
                u[i] = i >= m ? one : zero;
                u[count + i] = one - u[i];
            }
            __syncthreads();
        };
        E total = zero;
        double sum = 0.0, slope = 0.0;
        if (!spoilt && count > 0) {
            tile.v = nullptr, tile.to_x = nullptr;
            enter();
            tile.run(task.segment, total, []() {});
        }
        for (i32 i = threadIdx.x; i < count; i += blockDim.x) {
            const E rest = one - u[i];
            const E chance = i >= m ? u[i] : value_of(rest) < CANCELS ? u[count + i] : rest;
            chances[i] = chance;
            const E cut = value_of(chance) < LEAST ? constant<E>(LEAST) : chance;
            const E value = task.log ? log_of(cut) : chance;
            const auto wide = wide_of(value);
            sum += value_of(wide), slope += part_of(wide);
            if (task.value && !task.mean) task.value[start + order[i]] = spoilt ? nan : (T)part_of(wide);
        }
        if (task.value && task.mean) {
            // The value itself, or of a dual number the slope.
            const double mean = block_reduce(sizeof(E) == sizeof(Dual) ? slope : sum, Sum()) / count;
            const T empty = sizeof(E) == sizeof(Dual) ? T(0) : none;
            if (threadIdx.x == 0) task.value[list] = spoilt ? nan : count > 0 ? (T)mean : empty;
        }
        if (back && !spoilt && count > 0) {
            tile.v = v, tile.to_x = to_x;
            enter();
            const E each = one / constant<E>(count);
            const i64 from = task.run > 0 ? list / task.run : list;
            const T share = task.shares ? (T)task.shares[from] : T(1);
            for (i32 i = threadIdx.x; i < count; i += blockDim.x) {
                E gradient = each;
                if (task.upstream.value && task.mean)
                    gradient = constant<E>((double)(T)((double)task.upstream.value[from] *
                                                       (task.shares ? task.shares[from] : 1.0))) /
                               constant<E>(count);
                else if (task.upstream.value) gradient = ReadAs<E>::at(task.upstream, start + order[i]);
                const E chance = chances[i];
                const bool least = task.log && value_of(chance) < LEAST, alone = value_of(chance) < CANCELS;
                const E found = gradient * (least ? zero : task.log ? one / chance : one);
                v[i] = i >= m ? found : alone ? zero : -found;
                v[count + i] = i < m && alone ? found : zero;
                to_x[i] = zero;
            }
            __syncthreads();
            tile.run(task.segment, total, []() {});
            for (i32 i = threadIdx.x; i < count; i += blockDim.x) {
                const double found = (double)(T)part_of(wide_of(to_x[i]));
                task.to_x[start + order[i]] = (T)(task.upstream.value ? found : found * (double)share);
            }
        } else if (back) {
            for (i32 i = threadIdx.x; i < count; i += blockDim.x) task.to_x[start + order[i]] = nan;
        }
        if (task.to_steepness) {
            const auto whole = block_sum(wide_of(total));
            if (threadIdx.x == 0)
                task.to_steepness[list] = spoilt && count > 0 ? nan
                                          : count > 0         ? (T)part_of(whole / wide_of(tile.steepness))
                                                              : T(0);
        }
        __syncthreads();
    }
}

// x[rows][n], steepness[rows], order[rows][n] of `group_arrange` -> value, by item or with `mean` by list (null: not wanted);
// slopes[rows][n] of the means, times the shares[rows / run] of `group_shares` if they are not null (null: not wanted). Items
// that take no part are left as they are; NaN for a list with a NaN or a bad steepness. One block a list; one way through the
// network and back for values, two more and back for slopes.
template <class T>
__global__ void group_order(const T* x, const u8* positive, const T* steepness, const i32* order, i64 n, i64 lists,
                            i64 run, const double* shares, i64 log, i64 mean, i64 bitonic, i64 distribution, i64 segment,
                            T* value, T* slopes, u8* scratch, i64 bytes, u32* fault) {
    DYNAMIC_SHARED(memory);
    run_groups<T, T>({order, positive, {x, nullptr}, {steepness, nullptr}, {nullptr, nullptr}, n, lists, run, shares,
                      log != 0, mean != 0, bitonic != 0, (int)distribution, (i32)segment, value, slopes, nullptr},
                     room_of(scratch, bytes, memory), fault);
}

// As `group_order`, with the gradients of the values, by item, list or run -> the gradients to x and steepness.
template <class T>
__global__ void group_order_vjp(const T* x, const u8* positive, const T* steepness, const i32* order, const T* upstream,
                                i64 n, i64 lists, i64 run, const double* shares, i64 log, i64 mean, i64 bitonic,
                                i64 distribution, i64 segment, T* to_x, T* to_steepness, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    run_groups<T, T>({order, positive, {x, nullptr}, {steepness, nullptr}, {upstream, nullptr}, n, lists, run, shares,
                      log != 0, mean != 0, bitonic != 0, (int)distribution, (i32)segment, nullptr, to_x, to_steepness},
                     room_of(scratch, bytes, memory), nullptr);
}

// The derivatives of these gradients along tangents of x and steepness; `to_upstream` as `value`.
template <class T>
__global__ void group_order_second(const T* x, const u8* positive, const T* steepness, const i32* order,
                                   const T* upstream, const T* x_tangent, const T* steepness_tangent, i64 n, i64 lists,
                                   i64 run, const double* shares, i64 log, i64 mean, i64 bitonic, i64 distribution,
                                   i64 segment, T* to_x, T* to_steepness, T* to_upstream, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    run_groups<Dual, T>({order, positive, {x, x_tangent}, {steepness, steepness_tangent}, {upstream, nullptr}, n, lists,
                         run, shares, log != 0, mean != 0, bitonic != 0, (int)distribution, (i32)segment, to_upstream,
                         to_x, to_steepness},
                        room_of(scratch, bytes, memory), nullptr);
}

// count[runs * run] of lists -> shares[runs]: what one of the lists that take part counts for in the mean of its run. One block
// a run.
__global__ void group_shares(const i64* count, i64 runs, i64 run, double* shares) {
    for (i64 r = blockIdx.x; r < runs; r += gridDim.x) {
        u32 own = 0;
        for (i64 i = threadIdx.x; i < run; i += blockDim.x) own += count[r * run + i] > 0;
        const u32 taking = block_reduce(own, Sum());
        if (threadIdx.x == 0) shares[r] = 1.0 / (double)max(taking, 1u);
    }
}

// values[runs * run] of lists, those of lists that take part -> means[runs]; `none` where no list does. One block a run.
template <class T>
__global__ void group_means(const T* values, const i64* count, const double* shares, i64 runs, i64 run, double none,
                            T* means) {
    for (i64 r = blockIdx.x; r < runs; r += gridDim.x) {
        double own = 0.0;
        u32 any = 0;
        for (i64 i = threadIdx.x; i < run; i += blockDim.x)
            if (count[r * run + i] > 0) own += (double)values[r * run + i], any = 1;
        const double sum = block_reduce(own, Sum());
        any = block_reduce(any, Largest());
        if (threadIdx.x == 0) means[r] = any ? (T)(sum * shares[r]) : (T)none;
    }
}

// slopes[size] -> to[size]: times gradient[size / each]. What has no slope gets no gradient, infinite though it be. A thread an
// item.
template <class T> __global__ void group_scaled(const T* slopes, const T* gradient, i64 size, i64 each, T* to) {
    for (i64 i = thread_in_grid(); i < size; i += threads_in_grid())
        to[i] = slopes[i] == T(0) ? T(0) : slopes[i] * gradient[i / each];
}
