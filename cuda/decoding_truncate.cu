// Kernels of `argrad.decoding`: truncation rules, what they leave of a row, and draws from it. One block takes one row at a
// time.
#include "draw.cuh"
#include "token_order.cuh"

// The rules by their numbers, as in `ORDER` of _truncate.py; the definitions stand there.
enum RuleOf { TOP_H, TOP_K, TOP_P, MIN_P, TYPICAL_P, EPSILON, ETA, TOP_N_SIGMA, P_LESS, SURPRISE };

__device__ inline bool is_apt(int rule, double x) {
    switch (rule) {
        case TOP_K: return x >= 1.0;
        case TOP_N_SIGMA: return x >= 0.0 && x < infinity<double>();
        case P_LESS: return true;
        case SURPRISE: return fabs(x) < infinity<double>();
        case EPSILON:
        case ETA: return x >= 0.0 && x < 1.0;
        default: return x >= 0.0 && x <= 1.0;
    }
}

// The uniform number of a draw; the lower 32 bits of the numbers of row and step count.
__device__ __forceinline__ double uniform_at(i64 seed, i64 row, i64 step) {
    return random_uniform((u64)seed, SAMPLE, (u64)row << 32 | (u64)(u32)step);
}

// What is kept: the tokens of the second prefix that are not in the first; see rules.rs.
struct Kept {
    Prefix before, until;
    bool all;  // no rule has taken any: `until` may count and end beyond the last token that is not -inf
};

__device__ __forceinline__ double entropy_of(const Kept& kept, double unit) {
    double mass = (double)(kept.until.mass - kept.before.mass) * unit;
    return log(mass) - (double)(kept.until.moment - kept.before.moment) * unit / mass;
}

__device__ __forceinline__ Stop stop_at(Kind kind, const Kept& kept, double target, double unit) {
    return {kind, kept.before.count, kept.before.mass, kept.before.moment, target, unit};
}

// Ends at the prefix, where it is the shorter one; one token stays.
__device__ inline void end_at(const Order& order, Kept& kept, Prefix prefix) {
    if (prefix.count <= kept.before.count) {
        Found one = order.first({COUNT, kept.before.count + 1, 0, 0, 0.0, order.unit});
        if (!one.any) return;
        prefix = one.at;
    }
    if (kept.all || prefix.count < kept.until.count) {
        kept.until = prefix;
        kept.all = false;
    }
}

// Ends before the weights that are less than `weight`.
__device__ __noinline__ void end_below(const Order& order, Kept& kept, double weight) {
    Prefix prefix;
    // No token has more than the first: that one stays.
    double least = weight <= 0.0 ? -infinity<double>() : weight > 1.0 ? infinity<double>() : order.logit(weight);
    if (order.at_least(least, prefix)) end_at(order, kept, prefix);
}

// The tokens whose d is nearest to its mean, until they have a share of the mass, and those as near as the last of them.
__device__ __noinline__ void keep_typical(Order& order, Kept& kept, double share) {
    double mass = (double)kept.until.mass * order.unit, mean = (double)kept.until.moment * order.unit / mass;
    order.by_nearness = true;
    order.center = mean;
    order.end_key = kept.until.key;
    order.end_place = kept.until.place;
    Found found = order.first({MASS, 0, 0, 0, share * mass, order.unit});
    double far = found.any ? of_key(~found.at.key) : infinity<double>();
    u64 above = ~0ull, last = ~0ull;
    order.visit(0, [&](double x, u32) {
        double d = order.decline(x) - mean;
        u64 key = key_of(x);
        if (d > far) above = key < above ? key : above;
        if (d >= -far) last = key < last ? key : last;
    });
    order.by_nearness = false;
    above = block_reduce(above, Least());
    last = block_reduce(last, Least());
    if (above != ~0ull) kept.before = order.reach(above);
    if (last > kept.until.key) kept.until = order.reach(last);
    kept.all = false;
}

__device__ __noinline__ void apply_rule(Order& order, Kept& kept, int rule, double number) {
    const Statistics& row = order.statistics;
    const double unit = order.unit, mass = (double)(kept.until.mass - kept.before.mass) * unit;
    Prefix prefix;
    Found found;
    switch (rule) {
        case TOP_K: {
            i64 count = number < 9e18 ? kept.before.count + (i64)number : 0x7FFFFFFFFFFFFFFFll;
            if (count >= (kept.all ? order.row.v : kept.until.count)) return;
            found = order.first({COUNT, count, 0, 0, 0.0, unit});
            if (found.any) end_at(order, kept, found.at);
            return;
        }
        case TOP_P:
            if (number >= 1.0) return;
            found = order.first(stop_at(MASS, kept, number * mass, unit));
            if (found.any) end_at(order, kept, found.at);
            return;
        case TOP_H:
            if (number >= 1.0) return;
            found = order.first(stop_at(ENTROPY, kept, number * entropy_of(kept, unit), unit));
            if (found.any) end_at(order, kept, found.before);
            return;
        case TYPICAL_P:
            if (number < 1.0) keep_typical(order, kept, number);
            return;
        case MIN_P:
            found = order.first({COUNT, kept.before.count + 1, 0, 0, 0.0, unit});
            end_below(order, kept, number * (found.any ? exp_exact(order.decline(of_key(found.at.key))) : 0.0));
            return;
        case EPSILON: end_below(order, kept, number * mass); return;
        case ETA: end_below(order, kept, fmin(number, sqrt(number) * exp_exact(-entropy_of(kept, unit))) * mass); return;
        case TOP_N_SIGMA: {
            double lone = row.count < 2 ? 1.0 : (double)(row.count - 1);
            if (order.at_least(row.maximum - number * sqrt(row.square / lone), prefix)) end_at(order, kept, prefix);
            return;
        }
        case P_LESS: end_below(order, kept, row.z2 / row.z0); return;
        case SURPRISE: end_below(order, kept, row.z0 * exp2(-number)); return;
    }
}

// The first token whose running sum exceeds u times the whole sum.
__device__ __noinline__ Prefix pick_kept(const Order& order, const Kept& kept, double u) {
    double mass = (double)(kept.until.mass - kept.before.mass) * order.unit;
    Found found = order.first(stop_at(OVER, kept, u * mass, order.unit));
    if (found.any && (kept.all || found.at.count <= kept.until.count)) return found.at;
    // The sums of the row and of its tokens differ by their rounding, so that u times the one may not be reached by the other.
    found = order.first(stop_at(OVER, kept, u * mass * (1.0 - 1e-6), order.unit));
    return found.any ? found.at : kept.until;
}

// Rows that were read (see `Rows`) with `sums`, temperature[rows], `count` rules, rule i being the i-th 4 bits of `rules` with
// numbers[i][rows], at most `most` tokens; with seed[rows], number[rows], step[rows] -> a draw from what is kept: token[rows],
// size[rows], log_probability[rows]. Without (null) -> size[rows] and ends[rows][4]: key and place of the last token before,
// and of the last, that is kept. -1 and NaN for rows that the host refuses. One block a row: reads what reaches the k-th
// largest maximum, k = `expected`, and the row a few times where it keeps more.
extern "C" __global__ void __launch_bounds__(256, 1)
    truncated_decode(const void* x, i64 storage, const Leaf* leaves, const u64* maxima, i64 fold, i64 rows, i64 v, i64 sums,
                     const double* temperature, i64 rules, i64 count, const double* numbers, i64 most, i64 expected,
                     const i64* seed, const i64* number, const i64* step, i64* token, i64* size, double* log_probability,
                     u64* ends, u32* fault) {
    DYNAMIC_SHARED(memory);
    const Rows all = {{x, (int)storage, v, leaves, maxima, (int)fold}};
    for (i64 i = blockIdx.x; i < rows; i += gridDim.x) {
        double t = temperature[i];
        bool bad, greedy = t == 0.0, apt = t >= 0.0 && t < infinity<double>();
        Statistics found = join_leaves(all[i], apt && !greedy ? t : 1.0, (int)sums, bad);
        for (i64 r = 0; r < count; ++r) apt &= is_apt((int)(rules >> 4 * r) & 15, numbers[r * rows + i]);
        if (bad || !apt) {
            report(fault);
            if (threadIdx.x == 0) {
                size[i] = -1;
                if (token) token[i] = -1;
                if (token) log_probability[i] = not_a_number<double>();
            }
            continue;
        }
        Order order(all[i], found, (OrderMemory*)memory, greedy ? 1 : (u32)expected);
        Kept kept = {{0, 0, 0, ~0ull, 0}, order.whole(), true};
        for (i64 r = 0; r < count && !greedy; ++r)
            apply_rule(order, kept, (int)(rules >> 4 * r) & 15, numbers[r * rows + i]);
        apply_rule(order, kept, TOP_K, greedy ? 1.0 : (double)most);
        i64 left = kept.all ? order.live() : kept.until.count - kept.before.count;
        Prefix drawn = kept.until;
        if (seed) drawn = pick_kept(order, kept, uniform_at(seed[i], number[i], step[i]));
        if (threadIdx.x == 0) {
            size[i] = left;
            if (seed) {
                double mass = (double)(kept.until.mass - kept.before.mass) * order.unit;
                token[i] = drawn.place;
                log_probability[i] = order.decline(of_key(drawn.key)) - log(mass);
            } else {
                u64 end[4] = {kept.before.key, kept.before.place, kept.until.key, kept.until.place};
                for (int j = 0; j < 4; ++j) ends[4 * i + j] = end[j];
            }
        }
        __syncthreads();
    }
}

// Rows that were read, temperature[rows], and size[rows], ends[rows][4] of `truncated_decode` -> the tokens that are kept, in
// order, in places[rows][width], their probabilities in values[rows][width] (`storage` 3: double, else float); -1 and 0 beyond
// the size, -1 and NaN in rows that were refused. Each block has room for `room` tokens, a power of two >= width, in shared
// memory or in `scratch`. One block a row: reads the segments that reach the last token, O(k log^2 k).
extern "C" __global__ void truncate_rows(const void* x, i64 storage, const Leaf* leaves, const u64* maxima, i64 fold, i64 rows,
                                         i64 v, const double* temperature, const i64* size, const u64* ends,
                                         Token<u64>* scratch, i64 room, i64 width, i64* places, void* values) {
    DYNAMIC_SHARED(memory);
    __shared__ u32 listed;
    const Rows all = {{x, (int)storage, v, leaves, maxima, (int)fold}};
    Token<u64>* tokens = scratch ? scratch + (i64)blockIdx.x * room : (Token<u64>*)memory;
    for (i64 i = blockIdx.x; i < rows; i += gridDim.x) {
        const Row row = all[i];
        const bool bad = size[i] < 0;
        const u64 first = ends[4 * i], last = ends[4 * i + 2];
        const u32 first_place = (u32)ends[4 * i + 1], last_place = (u32)ends[4 * i + 3];
        double t = temperature[i], mass = 0.0, top = -infinity<double>();
        for (i64 l = 0; l < row.leaf_count(); ++l) top = fmax(top, row.leaves[l].maximum);
        __syncthreads();
        if (threadIdx.x == 0) listed = 0;
        __syncthreads();
        const i64 parts = bad ? 0 : row.leaf_count() * (LANES / WARP);
        for (i64 part = warp_of(); part < parts; part += warps_of_block()) {
            if (row.maxima[(part * WARP + lane_of()) >> row.fold] < last) continue;
            i64 start = part / (LANES / WARP) * LEAF + part % (LANES / WARP) * WARP + lane_of();
            for (i64 j = start; j < v && j < start + LEAF; j += LANES) {
                u64 key = key_of(row[j]);
                bool before = key > first || (key == first && j <= first_place);
                if (!before && (key > last || (key == last && j <= last_place))) {
                    u32 at = atomicAdd(&listed, 1u);
                    if (at < room) tokens[at] = {key, (u32)j};
                }
            }
        }
        __syncthreads();
        const u32 n = min(listed, (u32)width), sorted = power_of_two(max(n, 1u));
        for (u32 j = n + threadIdx.x; j < sorted; j += blockDim.x) tokens[j] = {0, 0xFFFFFFFFu};
        sort_bitonic(tokens, sorted, First());
        auto weight = [&](u32 j) { return exp_exact((of_key(tokens[j].key) - top) / (t > 0.0 ? t : 1.0)); };
        mass = sum_terms(n, weight);
        for (i64 j = threadIdx.x; j < width; j += blockDim.x) {
            double value = bad ? not_a_number<double>() : j < n ? weight((u32)j) / mass : 0.0;
            places[i * width + j] = j < n ? (i64)tokens[j].place : -1;
            if (storage == 3) ((double*)values)[i * width + j] = value;
            else ((float*)values)[i * width + j] = (float)value;
        }
        __syncthreads();
    }
}

// values[rows][k] (`storage` as in `Row`), places[rows][k], size[rows], seed[rows], number[rows], step[rows] -> token[rows] and
// log_probability[rows]; -1 and NaN for rows that the host refuses. One block a row; O(k).
extern "C" __global__ void sample(const void* values, i64 storage, const i64* places, const i64* size, i64 rows, i64 k,
                                  const i64* seed, const i64* number, const i64* step, i64* token, double* log_probability,
                                  u32* fault) {
    const Rows all = {{values, (int)storage, k, nullptr, nullptr, 0}};
    for (i64 i = blockIdx.x; i < rows; i += gridDim.x) {
        const Row row = all[i];
        bool apt = size[i] >= 1 && size[i] <= k;
        const u32 n = apt ? (u32)size[i] : 0;
        auto weight = [&](u32 j) { return row[j]; };
        double wrong = sum_terms(n, [&](u32 j) { return row[j] >= 0.0 && row[j] < infinity<double>() ? 0.0 : 1.0; });
        double whole = sum_terms(n, weight);
        u32 j = n;
        if (apt && wrong == 0.0 && whole < infinity<double>())
            j = pick(n, uniform_at(seed[i], number[i], step[i]), weight);
        apt = j < n && places[i * k + j] >= 0;
        if (!apt) report(fault);
        if (threadIdx.x == 0) {
            token[i] = apt ? places[i * k + j] : -1;
            log_probability[i] = apt ? log(row[j] / whole) : not_a_number<double>();
        }
        __syncthreads();
    }
}
