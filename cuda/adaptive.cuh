// How many tokens a row keeps, and what they get; see adaptive.rs. All threads of a block follow one control flow: what decides
// comes out of sums that every thread gets alike.
#pragma once
#include "renormalize.cuh"

// Tokens that are asked for first where the search decides.
#define FIRST 64

// What rows are asked for; a null pointer where a penalty or a size is not what decides.
struct Request {
    const double *temperature, *penalty;
    const i64* k;
    Rule rule;
    u32 most;  // no row keeps more; at most v
};

// What one row is asked for: so many tokens, or where `size` is 0 as many as are worth the penalty.
struct Wanted {
    double temperature, penalty;
    u32 size;
    bool apt;  // the numbers are in their ranges
};

__device__ inline Wanted wanted_of(const Request& request, i64 row) {
    Wanted found = {request.temperature[row], 0.0, 0, true};
    bool warm = found.temperature > 0.0 && found.temperature < infinity<double>();
    found.apt = warm || found.temperature == 0.0;
    if (request.k) {
        i64 k = request.k[row];
        found.apt &= k >= 1;
        found.size = k < request.most ? (u32)(k < 1 ? 1 : k) : request.most;
    } else {
        found.penalty = request.penalty[row];
        if (found.penalty == 0.0) found.size = request.most;
        else if (found.penalty == infinity<double>()) found.size = 1;
        else found.apt &= found.penalty >= 1e-12;
    }
    if (found.temperature == 0.0) found.size = 1;
    if (!warm) found.temperature = 1.0;
    return found;
}

// Memory for so many tokens of a block, a power of two; see `bytes_for`.
struct Room {
    unsigned char* at;
    u32 tokens;
};

// The largest tokens of a row, as far as they were asked for, in order; with the probabilities p (up to a factor where the rule
// is proportional), the logarithms of these, and what they get.
struct Prefix {
    Row row;
    Rule rule;
    Statistics statistics;
    double z0, log_z0;
    u32 most, known;
    bool complete;  // there are no more tokens of positive probability
    Room near, far;
    Token<u64>* tokens;
    double *p, *logs, *q, *spare;

    __device__ Prefix(Row row, const Statistics& statistics, Rule rule, u32 most, Room near, Room far)
        : row(row), rule(rule), statistics(statistics), most(most), known(0), complete(false), near(near), far(far) {
        bool needed = statistics.z0 > 0.0 && !rule.is_proportional();
        z0 = needed ? statistics.z0 : 1.0;
        log_z0 = needed ? log(z0) : 0.0;
    }

    // Finds the k largest tokens and returns how many there are; those of probability 0 do not count.
    __device__ __noinline__ u32 ask(u32 k) {
        k = min(k, most);
        if (k <= known || complete) return min(k, known);
        Room room = k <= near.tokens ? near : far;
        tokens = (Token<u64>*)room.at;
        p = (double*)(tokens + room.tokens);
        logs = p + room.tokens;
        q = logs + room.tokens;
        spare = q + room.tokens;
        largest_tokens(row, k, tokens, room.tokens);
        u32 positive = 0;
        for (u32 i = threadIdx.x; i < k; i += blockDim.x) {
            double log = (of_key(tokens[i].key) - statistics.maximum) / statistics.temperature;
            p[i] = exp_exact(log) / z0;
            logs[i] = log - log_z0;
            positive += p[i] > 0.0;
        }
        known = block_reduce(positive, Sum());
        complete = known < k || k == row.v;
        return known;
    }

    // Whether there is a token after the first k; asks for more where that is not known.
    __device__ bool goes_beyond(u32 k) {
        if (k < known) return true;
        if (complete || k >= most) return false;
        return ask(max(4 * known, k + 1)) > k;
    }

    // The first k tokens and what is left beside them.
    __device__ Support support(u32 k) {
        double whole = sum_terms(k, [&](u32 i) { return p[i]; });
        return {p, logs, k, whole, 1.0 - whole, q, spare};
    }

    // The first k whose next token gains at most the penalty.
    __device__ u32 search(double penalty) {
        ask(FIRST);
        if (rule.is_proportional()) {
            // h(k) = -ln s_k, so a token is worth its price while p_{k+1} > (e^penalty - 1) s_k.
            double factor = expm1(penalty);
            return scan([=](double, double sum, double, double next) { return next > factor * sum; });
        }
        if (rule.alpha == 2.0)
            return scan([=](double k, double sum, double, double next) {
                double most = fmax(1.0 - sum, 0.0) + k * next;
                return most * most > 2.0 * penalty * k * (k + 1.0);
            });
        if (rule.alpha == 1.5 && !rule.dual)
            return scan([=](double k, double sum, double roots, double next) {
                double rest = fmax(1.0 - sum, 0.0), root = sqrt(next);
                double shift = root_shift(roots + root, k + 1.0, fmax(rest - next, 0.0));
                double value = (root + shift) * (root + shift);
                double less = value / (sqrt(roots * roots + k * rest) + roots + k * shift);
                return 2.0 / 3.0 * value * (root + shift) + less * value + k * less * less * less / 3.0 > penalty;
            });
        return gallop(penalty);
    }

    // `is_worth(k, s_k, SUM of square roots, p_{k+1})` is asked for 256 k at once; the first that is not is the one.
    template <class Worth> __device__ u32 scan(Worth is_worth) {
        do {
            double sum = 0.0, roots = 0.0;
            for (u32 base = 0; base < known; base += blockDim.x) {
                u32 i = base + threadIdx.x, enough = 0xFFFFFFFFu;
                double x = i < known ? p[i] : 0.0, root = sqrt(x), all, all_roots;
                double here = sum + block_scan(x, all) + x, here_roots = roots + block_scan(root, all_roots) + root;
                if (i + 1 < known && !is_worth((double)(i + 1), here, here_roots, p[i + 1])) enough = i + 1;
                enough = block_reduce(enough, Least());
                if (enough != 0xFFFFFFFFu) return enough;
                sum += all;
                roots += all_roots;
            }
        } while (goes_beyond(known));
        return known;
    }

    // Doubles k until it is enough, then halves the interval.
    __device__ u32 gallop(double penalty) {
        u32 low = 0, high = 8;
        while (true) {
            u32 last = known - 1;
            if (last > low) high = min(high, last);  // what the tokens at hand can tell comes before more tokens
            if (!goes_beyond(high) || !is_worth(high, penalty)) break;
            low = high;
            high = 2 * high;
        }
        high = ask(high);
        while (high - low > 1) {
            u32 middle = low + (high - low) / 2;
            (is_worth(middle, penalty) ? low : high) = middle;
        }
        return high;
    }

    // Whether token k + 1 is worth its price, 1 <= k < known: one sum decides unless it falls into a short interval, then two
    // solutions do; see `Search` of adaptive.rs.
    __device__ __noinline__ bool is_worth(u32 k, double penalty) {
        double a = rule.alpha, value, sum;
        if (rule.dual) {
            value = dual_priced(penalty, p[k], a);
            double m = (value - p[k]) * pow(value, a - 2.0);
            if (m <= 0.0) return true;
            sum = sum_dual({p, logs, k, 0.0, 0.0, q, spare}, m, a).value;
        } else {
            double log_value = log(a * penalty) / a;
            if (logs[k] > log_value) return true;
            value = exp_exact(log_value);
            sum = sum_priced(logs, k, log_value, logs[k], a - 1.0);
        }
        if (sum >= 1.0) return false;
        if (sum + value < 1.0) return true;
        return cost_of(rule, support(k)) - cost_of(rule, support(k + 1)) > penalty;
    }

    // Decides how many tokens are kept, and fills q with what they get.
    __device__ u32 keep(const Wanted& wanted) {
        u32 k = wanted.size ? ask(wanted.size) : search(wanted.penalty);
        Support kept = support(k);
        if (complete && k == known) kept.rest = 0.0;
        renormalize(rule, kept);
        return k;
    }
};
