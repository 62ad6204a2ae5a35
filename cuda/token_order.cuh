// The tokens of a row in the order of their logits, without sorting them all; by one block.
//
// Masses are integers: e = exp((logit - maximum) / T) in units of 2^-s, with s such that a whole row fits into 62 bits. So sums
// do not depend on their order, and any thread may add to any of them.
//
//   the largest tokens are sorted in shared memory; most prefixes end among them         walk
//   else: sums by bins of (maximum - logit) / T, in one pass; the prefix ends in one bin   search
//   while it holds more tokens than fit: sums by bins of its keys, a thousand at a time
//   the tokens of the bin are gathered, sorted, and walked through; equal ones are counted
#pragma once
#include "row.cuh"

#define BINS 1024
#define KNOWN 1024     // tokens that are sorted: twice as many as are asked for
#define FINE 32.0      // bins for (maximum - logit) / T from i / 32 on

// Sums over the first tokens of a row, in units; the last of them as key and place.
struct Prefix {
    i64 count, mass, moment;
    u64 key;
    u32 place;
};

// What `Order::first` looks for: true for all prefixes from some one on.
enum Kind { COUNT, MASS, OVER, ENTROPY };
struct Stop {
    Kind kind;
    i64 count, mass, moment;  // of the tokens that do not count; for COUNT the number that is looked for
    double target, unit;

    // COUNT: so many tokens; MASS: at least the target; OVER: more; ENTROPY: one token, and more entropy than the target.
    __device__ bool operator()(const Prefix& prefix) const {
        if (kind == COUNT) return prefix.count >= count;
        double here = (double)(prefix.mass - mass) * unit;
        if (kind == MASS) return here >= target;
        if (kind == OVER) return here > target;
        return prefix.count > count && log(here) - (double)(prefix.moment - moment) * unit / here > target;
    }
};

struct Found {
    bool any;
    Prefix before, at;  // the shortest prefix that satisfies `stop`, and the one before it
};

// Shared memory of a block.
struct Bins {
    u64 mass[BINS], moment[BINS];
    u32 count[BINS];
};
union Bench {
    Bins bins;
    Token<u64> tokens[KNOWN];
};
struct OrderMemory {
    Token<u64> known[KNOWN];
    Bench bench;
};

struct Order {
    Row row;
    Statistics statistics;
    OrderMemory* memory;
    double scale, unit;
    u32 known;
    bool complete;    // there is no token beyond those that are known
    // Tokens up to this one are in the order of how near d is to `center` instead; the others are not there.
    bool by_nearness;
    double center;
    u64 end_key;
    u32 end_place;

    // Sorts the k largest tokens, k <= KNOWN / 2 or k = v.
    __device__ __noinline__ Order(const Row& row, const Statistics& statistics, OrderMemory* memory, u32 k)
        : row(row), statistics(statistics), memory(memory), by_nearness(false), center(0.0), end_key(0), end_place(0) {
        int bits = 64 - __clzll((u64)row.v);
        scale = number_of((u64)(1023 + 62 - bits) << 52);
        unit = 1.0 / scale;
        largest_tokens(row, k, memory->known, KNOWN);
        const u64 lowest = key_of(-infinity<double>());
        u32 live = 0;
        for (u32 i = threadIdx.x; i < k; i += blockDim.x) live += memory->known[i].key > lowest;
        known = block_reduce(live, Sum());
        complete = known < k || k == row.v;
    }

    __device__ __forceinline__ double decline(double x) const { return (x - statistics.maximum) / statistics.temperature; }
    // e and e d in units.
    __device__ __forceinline__ i64 weigh(double d, i64& moment) const {
        double e = exp_exact(d);
        moment = e > 0.0 ? (i64)floor(e * d * scale + 0.5) : 0;
        return (i64)floor(e * scale + 0.5);
    }
    // How far along the order a number is, and its key there.
    __device__ __forceinline__ double way(double x) const {
        return by_nearness ? fabs(decline(x) - center) : -decline(x);
    }
    __device__ __forceinline__ u64 rank(double x) const { return by_nearness ? ~key_of(way(x)) : key_of(x); }

    // Calls `each(number, place)` for the tokens whose key is from `low` on, and for others.
    template <class Each> __device__ __forceinline__ void visit(u64 low, Each each) const {
        const i64 parts = row.leaf_count() * (LANES / WARP);
        for (i64 part = warp_of(); part < parts; part += warps_of_block()) {
            if (!by_nearness && row.maxima[(part * WARP + lane_of()) >> row.fold] < low) continue;
            i64 first = part / (LANES / WARP) * LEAF + part % (LANES / WARP) * WARP + lane_of();
            for (i64 i = first; i < row.v && i < first + LEAF; i += LANES) {
                double x = row[i];
                u64 key = key_of(x);
                if (by_nearness && (key < end_key || (key == end_key && i > end_place))) continue;
                if (x > -infinity<double>()) each(x, (u32)i);
            }
        }
    }

    // All tokens whose key is at least `low`; `last` ends the prefix.
    __device__ __noinline__ Prefix reach(u64 low) const {
        i64 count = 0, mass = 0, moment = 0;
        auto add = [&](double x) {
            i64 part;
            mass += weigh(decline(x), part);
            moment += part;
            ++count;
        };
        if (complete || (known && memory->known[known - 1].key < low)) {
            for (u32 i = threadIdx.x; i < known; i += blockDim.x)
                if (memory->known[i].key >= low) add(of_key(memory->known[i].key));
        } else {
            visit(low, [&](double x, u32) {
                if (key_of(x) >= low) add(x);
            });
        }
        return {block_reduce(count, Sum()), block_reduce(mass, Sum()), block_reduce(moment, Sum()), low, 0xFFFFFFFFu};
    }

    // The whole row; the last token may be beyond that which is not -inf.
    __device__ Prefix whole() const {
        const u64 lowest = key_of(-infinity<double>()) + 1;
        if (complete) return reach(lowest);
        i64 mass = (i64)floor(statistics.z0 * scale + 0.5), moment = (i64)floor(statistics.z1 * scale + 0.5);
        return {row.v, mass, moment, lowest, 0xFFFFFFFFu};
    }

    // How many tokens are not -inf.
    __device__ __noinline__ i64 live() const {
        if (complete) return known;
        i64 count = 0;
        for (i64 l = 0; l < row.leaf_count(); ++l) {
            i64 end = row.v < (l + 1) * LEAF ? row.v : (l + 1) * LEAF;
            if (row.leaves[l].least > -infinity<double>()) {
                count += threadIdx.x == 0 ? end - l * LEAF : 0;
            } else {
                for (i64 i = l * LEAF + threadIdx.x; i < end; i += blockDim.x) count += row[i] > -infinity<double>();
            }
        }
        return block_reduce(count, Sum());
    }

    // The smallest logit that has at least this weight, > 0 and <= 1.
    __device__ __noinline__ double logit(double weight) const {
        auto has = [&](u64 key) { return exp_exact(decline(of_key(key))) >= weight; };
        double guess = statistics.maximum + statistics.temperature * log(weight);
        double around = 1e-9 * (fabs(guess) + fabs(statistics.maximum) + statistics.temperature);
        u64 low = key_of(guess - around), high = key_of(fmin(guess + around, statistics.maximum));
        if (!(guess - around > -1.7976931348623157e308) || has(low)) low = key_of(-1.7976931348623157e308) - 1;
        if (!has(high)) high = key_of(statistics.maximum);
        while (high - low > 1) {
            u64 middle = low + (high - low) / 2;
            (has(middle) ? high : low) = middle;
        }
        return of_key(high);
    }

    // All tokens whose logit is at least `least`; false where those are all there are.
    __device__ bool at_least(double least, Prefix& found) const {
        if (!(least > -1.7976931348623157e308)) return false;
        found = reach(key_of(least));
        return !(complete && found.count == known);
    }

    // Walks through n sorted tokens that follow those of `base`.
    __device__ __noinline__ Found walk(const Token<u64>* tokens, u32 n, Prefix base, const Stop& stop) const {
        __shared__ Found found;
        const u32 none = 0xFFFFFFFFu;
        for (u32 start = 0; start < n; start += blockDim.x) {
            u32 i = start + threadIdx.x;
            i64 mass = 0, moment = 0, all_mass, all_moment;
            Token<u64> token = i < n ? tokens[i] : Token<u64>{0, 0};
            if (i < n) mass = weigh(decline(of_key(token.key)), moment);
            Prefix at = {base.count + threadIdx.x + 1, 0, 0, token.key, token.place};
            at.mass = base.mass + block_scan(mass, all_mass) + mass;
            at.moment = base.moment + block_scan(moment, all_moment) + moment;
            u32 first = block_reduce(i < n && stop(at) ? i : none, Least());
            if (first != none) {
                if (i == first) {
                    Token<u64> last = i > 0 ? tokens[i - 1] : Token<u64>{base.key, base.place};
                    found = {true, {at.count - 1, at.mass - mass, at.moment - moment, last.key, last.place}, at};
                }
                __syncthreads();
                Found copy = found;
                __syncthreads();
                return copy;
            }
            base.count += min(n - start, blockDim.x);
            base.mass += all_mass;
            base.moment += all_moment;
        }
        Found nothing = {};
        return nothing;
    }

    // The same for n tokens of one key, which follow those of `base`: sums are multiples, places in the order of the row.
    __device__ __noinline__ Found walk_ties(u64 key, i64 n, Prefix base, const Stop& stop) const {
        __shared__ u32 places[2];
        i64 moment, mass = weigh(by_nearness ? 0.0 : decline(of_key(key)), moment);
        auto prefix = [&](i64 i) {
            return Prefix{base.count + i, base.mass + i * mass, base.moment + i * moment, i ? key : base.key, base.place};
        };
        i64 low = 0, high = n;  // the first `low` are not enough, the first `high` are
        while (high - low > 1) {
            i64 middle = low + (high - low) / 2;
            (stop(prefix(middle)) ? high : low) = middle;
        }
        Found found = {true, prefix(high - 1), prefix(high)};
        u32 seen = 0;
        for (i64 start = 0; start < row.v && seen < high; start += blockDim.x) {
            i64 i = start + threadIdx.x;
            u32 total, tied = i < row.v && key_of(row[i]) == key, before = seen + block_scan(tied, total);
            if (tied && before + 1 == high) places[1] = (u32)i;
            if (tied && before + 2 == high) places[0] = (u32)i;
            seen += total;
        }
        __syncthreads();
        if (high > 1) found.before.place = places[0];
        found.at.place = places[1];
        __syncthreads();
        return found;
    }

    __device__ __noinline__ Found first(const Stop& stop) const {
        if (known && !by_nearness) {
            Found found = walk(memory->known, known, {0, 0, 0, ~0ull, 0}, stop);
            if (found.any || complete) return found;
        }
        return search(key_of(-infinity<double>()) + 1, ~0ull, stop);
    }

    // Among the tokens whose keys are from `low` to `high`, without sorting them all. In the order of nearness only the key of
    // the prefix that is found is meant: it ends with all tokens of that key.
    __device__ __noinline__ Found search(u64 low, u64 high, const Stop& stop) const {
        __shared__ Prefix above;
        __shared__ u32 chosen;
        Bins& bins = memory->bench.bins;
        Prefix base = {0, 0, 0, ~0ull, 0};
        Found nothing = {};
        // Bins of the way first, then of what is left of the keys: 64 bits are at most 7 times 10.
        for (int level = 0; level < 9; ++level) {
            int shift = 0;
            while (level > 0 && (high - low) >> shift >= BINS) ++shift;
            auto bin_of = [&](double x) -> u32 {
                if (level > 0) return (u32)((high - rank(x)) >> shift);
                double at = way(x) * FINE;
                return at < BINS - 1 ? (u32)at : BINS - 1;
            };
            auto inside = [&](double x) {
                u64 key = rank(x);
                return key >= low && key <= high;
            };
            const u64 bound = by_nearness ? 0 : low;
            __syncthreads();
            for (u32 b = threadIdx.x; b < BINS; b += blockDim.x) bins.mass[b] = bins.moment[b] = bins.count[b] = 0;
            if (threadIdx.x == 0) chosen = BINS;
            __syncthreads();
            visit(bound, [&](double x, u32) {
                if (!inside(x)) return;
                i64 moment, mass = weigh(decline(x), moment);
                u32 b = bin_of(x);
                atomicAdd(&bins.count[b], 1u);
                if (mass) atomicAdd(&bins.mass[b], (u64)mass);
                if (moment) atomicAdd(&bins.moment[b], (u64)moment);
            });
            __syncthreads();
            Prefix sum = base;
            for (u32 start = 0; start < BINS && chosen == BINS; start += blockDim.x) {
                u32 b = start + threadIdx.x;
                i64 count = bins.count[b], mass = (i64)bins.mass[b], moment = (i64)bins.moment[b], all[3];
                Prefix at = {sum.count + block_scan(count, all[0]), sum.mass + block_scan(mass, all[1]),
                             sum.moment + block_scan(moment, all[2]), base.key, base.place};
                Prefix end = {at.count + count, at.mass + mass, at.moment + moment, 0, 0};
                u32 here = block_reduce(count > 0 && stop(end) ? b : (u32)BINS, Least());
                if (b == here) {
                    chosen = b;
                    above = at;
                }
                sum = {sum.count + all[0], sum.mass + all[1], sum.moment + all[2], sum.key, sum.place};
                __syncthreads();
            }
            const u32 bin = chosen;
            if (bin == BINS) return nothing;
            base = above;
            const i64 n = bins.count[bin];
            // The range of its keys, and of those above it.
            u64 lowest = ~0ull, highest = 0, last = ~0ull;
            visit(bound, [&](double x, u32) {
                if (!inside(x)) return;
                u64 key = rank(x);
                u32 b = bin_of(x);
                if (b == bin) lowest = key < lowest ? key : lowest;
                if (b == bin) highest = key > highest ? key : highest;
                if (b < bin) last = key < last ? key : last;
            });
            low = block_reduce(lowest, Least());
            high = block_reduce(highest, Largest());
            last = block_reduce(last, Least());
            if (last != ~0ull) base.key = last, base.place = 0xFFFFFFFFu;
            if (low == high && by_nearness) {
                Found found = {true, base, base};
                found.at.key = low;
                return found;
            }
            if (low == high && n > KNOWN) return walk_ties(low, n, base, stop);
            if (n > KNOWN || by_nearness) continue;
            if (threadIdx.x == 0) chosen = 0;
            __syncthreads();
            visit(bound, [&](double x, u32 place) {
                if (inside(x)) memory->bench.tokens[atomicAdd(&chosen, 1u)] = {rank(x), place};
            });
            u32 size = power_of_two((u32)n);
            for (u32 i = (u32)n + threadIdx.x; i < size; i += blockDim.x) memory->bench.tokens[i] = {0, 0xFFFFFFFFu};
            sort_bitonic(memory->bench.tokens, size, First());
            return walk(memory->bench.tokens, (u32)n, base, stop);
        }
        return nothing;
    }
};
