// The kernels of draws without replacement with inclusion probabilities min(1, tau w), for `argrad.selection.weighted_sample` and
// `sensitivity_sample`, as rust/core/src/selection/{inclusion,sums,draws}.rs bit for bit.
#include "block.cuh"

#define BLOCK_ROWS 1024  // rows that are summed one after the other
#define TASK 4096        // rows that one block collects
#define NEVER 0xFFFFFFFFFFFFFFFFull

// The map from weights to probabilities, 1 from `cap` on and `tau w scale` below; in device memory, zeros at the beginning.
struct Inclusion {
    double tau, cap, scale;
    double total;   // of the weights below the cap
    u64 least;      // bits of the smallest weight whose share would reach 1: the next cap; 0 before the first, NEVER for none
    i64 positives;  // rows of positive weight
    i64 below;      // those of them below the cap
    i64 last;       // the last block of positive sum
    u32 bad;        // whether a weight is negative or not finite, or there are too few
    u32 done;       // whether tau and cap are final
    u32 repeated;   // whether rounding has drawn a row twice
};

__device__ __forceinline__ double share(const Inclusion* state, double w) { return state->tau * (w * state->scale); }

__device__ __forceinline__ double probability(const Inclusion* state, double w) {
    return w >= state->cap ? 1.0 : share(state, w);
}

// --- The probabilities ---------------------------------------------------------------------------------------------------

// Whether tau has to be raised once more; the cap is then that of the smallest weight that has become certain.
__device__ __forceinline__ bool rising(const Inclusion* state) { return !state->done && state->least != NEVER; }
__device__ __forceinline__ double next_cap(const Inclusion* state) {
    return state->least ? number_of(state->least) : infinity<double>();
}

// One step of water-filling from the sum of the weights below the cap: the certain rows stand aside, the others share what is
// left of the size.
__device__ __forceinline__ void raise(Inclusion* state, double total, i64 size) {
    const i64 below = state->below;
    if (state->least == 0) {
        state->positives = below;
        state->bad |= below < size || !(total < infinity<double>());
    }
    state->cap = next_cap(state);
    state->total = total;
    state->below = 0;
    state->least = NEVER;
    const i64 certain = state->positives - below;
    if (state->bad || below <= max(size - certain, 0ll)) {
        state->tau = 0.0;
        state->cap = number_of((u64)1);
        state->done = 1;
    } else if (size > certain) {  // by rounding alone it is not: then tau stays, lest a positive weight get 0
        state->scale = total < 0x1p-900 ? 0x1p600 : 1.0;  // tau does not overflow
        state->tau = (double)(size - certain) / (total * state->scale);
    }
}

// weights[n] -> sums[ceil(n / 1024)] of those below the cap, and how many are positive; nothing when tau is final. With counts[]
// not null, tau is final: sums are those below the last cap, counts[] the certain rows of each block. One block of 256 threads
// for 1024 rows; one read.
template <class S> __global__ void sum_below(const S* weights, double* sums, i64* counts, Inclusion* state, i64 n) {
    __shared__ double held[BLOCK_ROWS];
    if (!counts && !rising(state)) return;
    const double cap = counts ? state->cap : next_cap(state);
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < n; block += gridDim.x) {
        bool bad = false;
        i64 below = 0, certain = 0;
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            i64 i = block * BLOCK_ROWS + r;
            double w = i < n ? (double)load(weights[i]) : 0.0;
            bad |= !(w >= 0.0 && w < infinity<double>());
            held[r] = w < cap ? w : 0.0;
            below += held[r] > 0.0;
            certain += w >= cap;
        }
        if (bad) atomicOr(&state->bad, 1u);
        i64 count = block_reduce(counts ? certain : below, Sum());
        if (threadIdx.x == 0) {
            if (counts) counts[block] = count;
            else atomicAdd((u64*)&state->below, (u64)count);
            sums[block] = run_up<BLOCK_ROWS>(held, 0.0);
        }
        __syncthreads();
    }
}

// sums[count], added one after the other, raise tau; or, where prefix[count + 1] is given, they go there. One block of 256
// threads, the additions are one thread's.
__global__ void add_sums(const double* sums, double* prefix, Inclusion* state, i64 count, i64 size) {
    __shared__ double held[BLOCK_ROWS];
    double total = 0.0;
    i64 last = 0;
    if (!prefix && !rising(state)) return;
    for (i64 first = 0; first < count; first += BLOCK_ROWS) {
        for (int i = threadIdx.x; i < BLOCK_ROWS; i += blockDim.x) held[i] = first + i < count ? sums[first + i] : 0.0;
        __syncthreads();
        if (threadIdx.x == 0) {
            double before = total;
            total = run_up<BLOCK_ROWS>(held, total);
            for (int i = 0; prefix && i < BLOCK_ROWS && first + i < count; ++i) {
                if (before < held[i]) last = first + i;
                before = held[i];
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; prefix && i < BLOCK_ROWS; i += blockDim.x)
            if (first + i < count) prefix[first + i + 1] = held[i];
        __syncthreads();
    }
    if (threadIdx.x > 0) return;
    if (!prefix) {
        raise(state, total, size);
        return;
    }
    prefix[0] = 0.0;
    state->total = total;
    state->last = last;
}

// The bits of w where its share would reach 1, else NEVER.
__device__ __forceinline__ u64 certain_bits(const Inclusion* state, double w) {
    return w < state->cap && share(state, w) >= 1.0 ? bits_of(w) : NEVER;
}

// weights[n] -> state.least. One thread an item; one read.
template <class S> __global__ void find_least(const S* weights, Inclusion* state, i64 n) {
    if (state->done) return;
    u64 least = NEVER;
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid())
        least = min(least, certain_bits(state, (double)load(weights[i])));
    least = block_reduce(least, Least());
    if (threadIdx.x == 0 && least != NEVER) atomicMin(&state->least, least);
}

// Raises tau until it is final, where the steps that were launched did not suffice: weights over many orders of magnitude. One
// block; two reads a step, at the speed of one multiprocessor.
template <class S> __global__ void raise_rest(const S* weights, double* sums, Inclusion* state, i64 n, i64 size) {
    const i64 blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS;
    while (rising(state)) {
        const double cap = next_cap(state);
        i64 below = 0;
        for (i64 block = threadIdx.x; block < blocks; block += blockDim.x) {
            double sum = 0.0;
            for (i64 i = block * BLOCK_ROWS; i < min((block + 1) * BLOCK_ROWS, n); ++i) {
                double w = (double)load(weights[i]);
                if (!(w > 0.0 && w < cap)) continue;
                sum += w;
                ++below;
            }
            sums[block] = sum;
        }
        below = block_reduce(below, Sum());
        if (threadIdx.x == 0) {
            double total = 0.0;
            for (i64 block = 0; block < blocks; ++block) total += sums[block];
            state->below = below;
            raise(state, total, size);
        }
        __syncthreads();
        u64 least = NEVER;
        for (i64 i = threadIdx.x; !state->done && i < n; i += blockDim.x)
            least = min(least, certain_bits(state, (double)load(weights[i])));
        least = block_reduce(least, Least());
        if (threadIdx.x == 0) state->least = least;
        __syncthreads();
    }
}

// weights[n] -> probabilities[n]. One thread an item.
template <class S>
__global__ void write_inclusion(const S* weights, const Inclusion* state, double* probabilities, i64 n) {
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid())
        probabilities[i] = state->bad ? not_a_number<double>() : probability(state, (double)load(weights[i]));
}

// --- Systematic draws ----------------------------------------------------------------------------------------------------

// The heights of a systematic draw, at equal steps of the running sum.
struct Steps {
    double u, step;
    i64 count;

    __device__ __forceinline__ double at(i64 j) const { return ((double)j + u) * step; }

    // How many lie below `bar`.
    __device__ i64 below(double bar) const {
        i64 low = 0, high = count;
        while (low < high) {
            i64 middle = (low + high) / 2;
            if (at(middle) < bar) low = middle + 1;
            else high = middle;
        }
        return low;
    }
};

// The first of edge[BLOCK_ROWS], rising, above `height`.
__device__ __forceinline__ int first_above(const double* edge, double height) {
    int low = 0, high = BLOCK_ROWS;
    while (low < high) {
        int middle = (low + high) / 2;
        if (edge[middle] <= height) low = middle + 1;
        else high = middle;
    }
    return low;
}

// The row of each height, and between them, in order, the certain rows -> rows[size]; counts[blocks + 1] are the certain rows
// before each block. A height that rounding carried to the total falls to the last positive row. One block of 256 threads for
// 1024 rows; those of blocks that own rows are read.
template <class S>
__global__ void walk_included(const S* weights, const double* prefix, const i64* counts, Inclusion* state, i64* rows,
                              i64 n, i64 size, i64 seed, i64 stream) {
    __shared__ double edge[BLOCK_ROWS];
    __shared__ u32 before[BLOCK_ROWS];  // certain rows of the block before each
    __shared__ int last;
    if (state->bad) return;
    const i64 blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS, open = max(size - counts[blocks], 0ll);
    const double cap = state->cap;
    const Steps steps = {random_uniform((u64)seed, (u64)stream, 0), state->total / (double)open, open};
    for (i64 block = blockIdx.x; block < blocks; block += gridDim.x) {
        const i64 first = block * BLOCK_ROWS, base = counts[block];
        const i64 from = block > state->last ? open : steps.below(prefix[block]);
        const i64 to = block >= state->last ? open : steps.below(prefix[block + 1]);
        if (from >= to && counts[block + 1] == base) continue;
        if (threadIdx.x == 0) last = -1;
        __syncthreads();
        u32 found = 0;
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            double w = first + r < n ? (double)load(weights[first + r]) : 0.0;
            edge[r] = w < cap ? w : 0.0;
            if (edge[r] > 0.0) atomicMax(&last, r);
            u32 total, sum = block_scan((u32)(w >= cap), total);
            before[r] = found + sum;
            found += total;
        }
        __syncthreads();
        if (threadIdx.x == 0) run_up<BLOCK_ROWS>(edge, 0.0);
        __syncthreads();
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) edge[r] = prefix[block] + edge[r];
        __syncthreads();
        for (i64 j = from + threadIdx.x; j < to; j += blockDim.x) {
            int r = min(first_above(edge, steps.at(j)), last);
            if (base + before[r] + j < size) rows[base + before[r] + j] = first + r;
            if (j > from && r == min(first_above(edge, steps.at(j - 1)), last)) state->repeated = 1;
        }
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            if (before[r] == (r + 1 < BLOCK_ROWS ? before[r + 1] : found)) continue;
            i64 at = base + before[r] + (r > last ? to : min(max(steps.below(edge[r]), from), to));
            if (at < size) rows[at] = first + r;
        }
        __syncthreads();
    }
}

// Makes rows[size], ascending, distinct where the rounding of a share of nearly 1 repeated one: the first of two becomes the
// nearest row of positive weight that is free, those after it first. One block, as good as never at work.
template <class S> __global__ void separate_rows(const S* weights, const Inclusion* state, i64* rows, i64 n, i64 size) {
    if (state->bad || !state->repeated) return;
    __shared__ bool moved;
    while (true) {
        i64 at = size;
        for (i64 j = threadIdx.x; j + 1 < size && at == size; j += blockDim.x)
            if (rows[j] == rows[j + 1]) at = j;
        at = block_reduce(at, Least());
        if (at == size) return;
        if (threadIdx.x == 0) {
            i64 free = rows[at] + 1, next = at;
            auto taken = [&](i64 row) {
                while (next < size && rows[next] < row) ++next;
                return next < size && rows[next] == row;
            };
            while (free < n && (taken(free) || !((double)load(weights[free]) > 0.0))) ++free;
            if (free == n) {
                auto taken_before = [&](i64 row) {
                    while (next >= 0 && (next == size || rows[next] > row)) --next;
                    return next >= 0 && rows[next] == row;
                };
                free = rows[at] - 1;
                while (free >= 0 && (taken_before(free) || !((double)load(weights[free]) > 0.0))) --free;
            }
            moved = free >= 0;
            i64 to = at;
            for (; moved && to + 1 < size && rows[to + 1] < free; ++to) rows[to] = rows[to + 1];
            for (; moved && to > 0 && rows[to - 1] > free; --to) rows[to] = rows[to - 1];
            if (moved) rows[to] = free;
        }
        __syncthreads();
        if (!moved) return;
    }
}

// --- Pivotal draws -------------------------------------------------------------------------------------------------------

// Neighbours fight: marks[n], of zeros -> 1 at the selected rows. Which probability goes on does not depend on who wins, so that
// the one sum that has to run from row to row is a thread's (20 cycles a row), and its block settles all else: the winner of
// each duel, and the champion before it, the last row that won against the one before. One block of 256 threads.
template <class S>
__global__ void duel_rows(const S* weights, const Inclusion* state, u8* marks, i64 n, i64 size, i64 seed, i64 stream) {
    __shared__ double share[BLOCK_ROWS], held[BLOCK_ROWS];  // of each row, and of the champion before it
    __shared__ int winners[WARP];                           // the last of each warp, -1 for none
    if (state->bad) return;
    double value = 0.0;
    i64 champion = -1, selected = 0;
    for (i64 first = 0; first < n; first += BLOCK_ROWS) {
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            double p = first + r < n ? probability(state, (double)load(weights[first + r])) : 0.0;
            share[r] = p < 1.0 ? p : 0.0;
            if (p < 1.0) continue;
            marks[first + r] = 1;
            ++selected;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
#pragma unroll 8
            for (int r = 0; r < BLOCK_ROWS; ++r) {
                held[r] = value;
                double sum = value + share[r];
                value = sum < 1.0 ? sum : sum - 1.0;
            }
        }
        __syncthreads();
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            const double p = share[r], sum = held[r] + p;
            const i64 stretch = first + r - threadIdx.x;
            bool selects = sum >= 1.0, wins = false;
            if (p > 0.0) {
                double u = random_uniform((u64)seed, (u64)stream, (u64)(first + r));
                wins = selects ? u * (2.0 - sum) < 1.0 - p : !(u * sum < held[r]);
            }
            const u32 mask = __ballot_sync(FULL, wins), earlier = mask & ((1u << lane_of()) - 1);
            const int warp = warp_of() * WARP;
            if (lane_of() == 0) winners[warp_of()] = mask ? warp + 31 - __clz(mask) : -1;
            __syncthreads();
            i64 old = champion;
            for (int w = 0; w < warps_of_block(); ++w) {
                if (winners[w] < 0) continue;
                champion = stretch + winners[w];
                if (w < warp_of()) old = champion;
            }
            if (earlier) old = stretch + warp + 31 - __clz(earlier);
            if (selects) {
                marks[wins ? old : first + r] = 1;  // the loser's probability is whole: it is selected
                ++selected;
            }
            __syncthreads();
        }
    }
    selected = block_reduce(selected, Sum());
    // The probability left is 0 or 1, up to rounding.
    if (threadIdx.x == 0 && champion >= 0 && selected < size) marks[champion] = 1;
}

// --- Rows ----------------------------------------------------------------------------------------------------------------

// The marked rows, or where marks[n] is null those that a Poisson draw keeps: how many there are of the rows of each block,
// starts[blocks]; or, where rows[size] is given, the rows themselves. TASK rows a block of 256 threads.
template <class S>
__global__ void keep_rows(const S* weights, const u8* marks, const Inclusion* state, i64* starts, i64* rows, i64 n,
                          i64 size, i64 seed, i64 stream) {
    if (state->bad) return;
    for (i64 block = blockIdx.x; block * TASK < n; block += gridDim.x) {
        i64 found = rows ? starts[block] : 0;
        for (int base = 0; base < TASK; base += blockDim.x) {
            i64 i = block * TASK + base + threadIdx.x;
            bool kept = false;
            if (i < n && marks) kept = marks[i];
            else if (i < n)
                kept = random_uniform((u64)seed, (u64)stream, (u64)i) < probability(state, (double)load(weights[i]));
            u32 total, before = block_scan((u32)kept, total);
            if (rows && kept && found + before < size) rows[found + before] = i;
            found += total;
        }
        if (!rows && threadIdx.x == 0) starts[block] = found;
    }
}

// rows[size] -> drawn[size], and the inverses of their probabilities (null for none). A draw that does not exist gives -1 and
// NaN. One thread a row.
template <class S>
__global__ void finish_included(const S* weights, const Inclusion* state, const i64* rows, i64* drawn, double* inverse,
                                i64 size, u32* fault) {
    if (state->bad) report(fault);
    for (i64 j = thread_in_grid(); j < size; j += threads_in_grid()) {
        i64 row = state->bad ? -1 : rows[j];
        drawn[j] = row;
        if (inverse)
            inverse[j] = row < 0 ? not_a_number<double>() : 1.0 / probability(state, (double)load(weights[row]));
    }
}
