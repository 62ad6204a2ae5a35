// The kernels of `argrad.topology.sliced_wasserstein_distance` (distances/sliced.rs).
//
// The bars of both diagrams, [m], are numbered through: n of the first, then those of the second. A direction has two lists of
// them: in its first one, bars of the first diagram are projected as they are and the others from the diagonal; in its second
// one it is the other way round. Where `lasting` is 1, two more lists follow, of the bars of either diagram with an infinite
// end. A list is sorted by line and value, so that what stands at one place of both belongs together.
#include "block.cuh"

#define WAYS 7  // lines of a group: that of finite bars, and those of bars with the same infinite ends

// An order of all numbers but NaN, -0 before 0.
__device__ __forceinline__ u64 total_key(double x) {
    u64 bits = bits_of(x);
    return bits ^ ((bits >> 63) ? ~0ull : 1ull << 63);
}
__device__ __forceinline__ bool is_finite(double x) { return x - x == 0.0; }
__device__ __forceinline__ double midpoint(double a, double b) {
    double sum = a + b;
    return is_finite(sum) ? sum / 2.0 : a / 2.0 + b / 2.0;
}
__device__ __forceinline__ int sign_of(double x) { return is_finite(x) ? 0 : x > 0.0 ? 1 : -1; }

// Birth and death of all bars, their lines (`none`: in no list), and cosine and sine of the directions.
struct Lists {
    const double* ends;
    const u32* lines;
    const double* table;
    i64 n, m, directions;
    u32 none;

    __device__ __forceinline__ bool holds(i64 list, u32 bar) const {
        u32 line = lines[bar];
        if (line == none) return false;
        if (list < 2 * directions) return line % WAYS == 0;
        return line % WAYS != 0 && (bar < n) == (list % 2 == 0);
    }
    __device__ __forceinline__ double value(i64 list, u32 bar) const {
        double birth = ends[2 * (i64)bar], death = ends[2 * (i64)bar + 1];
        if (list >= 2 * directions) return is_finite(birth) ? birth : is_finite(death) ? death : 0.0;
        double cosine = table[list / 2 * 2], sine = table[list / 2 * 2 + 1];
        return (bar < n) == (list % 2 == 0) ? birth * cosine + death * sine : midpoint(birth, death) * (cosine + sine);
    }
};

// birth, death, group of both diagrams -> ends[m][2], lines[m]; the keys of the least and largest end of each group's finite
// bars, low[size] all ones and high[size] zeros at first; shares[m]: 0, NaN of bars with one, which are reported. Groups beyond
// `size` take no part. One thread a bar.
__global__ void list_bars(const double* birth, const double* death, const i64* group, const double* other_birth,
                          const double* other_death, const i64* other_group, double* ends, u32* lines, u64* low, u64* high,
                          double* shares, i64 n, i64 m, i64 size, u32* fault) {
    for (i64 i = thread_in_grid(); i < m; i += threads_in_grid()) {
        const bool first = i < n;
        double b = first ? birth[i] : other_birth[i - n], d = first ? death[i] : other_death[i - n];
        i64 g = first ? group[i] : other_group[i - n];
        u32 line = (u32)(WAYS * size);
        double share = 0.0;
        if (g >= 0 && g < size) {
            if (is_nan(b) || is_nan(d)) {
                report(fault);
                share = not_a_number<double>();
            } else if (b != d) {
                int code = 3 * (sign_of(b) + 1) + sign_of(d) + 1;  // 4: finite; 0 and 8 are on the diagonal
                line = (u32)(WAYS * g) + (code == 4 ? 0 : code < 4 ? code : code - 1);
                if (code == 4) {
                    atomicMin(&low[g], key_of(b < d ? b : d));
                    atomicMax(&high[g], key_of(b < d ? d : b));
                }
            }
        }
        ends[2 * i] = b;
        ends[2 * i + 1] = d;
        lines[i] = line;
        shares[i] = share;
    }
}

// Moves the finite bars of each group along the diagonal, so that they lie around 0: that changes no distance and keeps the
// digits that count. Shapes as in `list_bars`. One thread a bar.
__global__ void center_bars(double* ends, const u32* lines, const u64* low, const u64* high, i64 m, i64 size) {
    for (i64 i = thread_in_grid(); i < m; i += threads_in_grid()) {
        u32 line = lines[i];
        if (line == (u32)(WAYS * size) || line % WAYS != 0) continue;
        double center = of_key(low[line / WAYS]) / 2.0 + of_key(high[line / WAYS]) / 2.0;
        ends[2 * i] -= center;
        ends[2 * i + 1] -= center;
    }
}

// -> keys[lists][m] in the order of the values; of bars that a list does not hold, 0. One thread an item.
__global__ void project_bars(const double* ends, const u32* lines, const double* table, u64* keys, i64 n, i64 m,
                             i64 directions, i64 lasting, i64 size) {
    const Lists lists = {ends, lines, table, n, m, directions, (u32)(WAYS * size)};
    for (i64 at = thread_in_grid(); at < 2 * (directions + lasting) * m; at += threads_in_grid()) {
        i64 list = at / m;
        u32 bar = (u32)(at % m);
        keys[at] = lists.holds(list, bar) ? total_key(lists.value(list, bar)) : 0;
    }
}

// bars[lists][m] by value -> keys[lists][m]: their lines, behind all of them what a list does not hold. One thread an item.
__global__ void line_keys(const double* ends, const u32* lines, const u32* bars, u32* keys, i64 n, i64 m, i64 directions,
                          i64 lasting, i64 size) {
    const Lists lists = {ends, lines, nullptr, n, m, directions, (u32)(WAYS * size)};
    for (i64 at = thread_in_grid(); at < 2 * (directions + lasting) * m; at += threads_in_grid())
        keys[at] = lists.holds(at / m, bars[at]) ? lines[bars[at]] : lists.none;
}

// bars[lists][m] sorted -> signs[2 x directions][m]: which way the distance grows with a bar's projection in each list. One
// thread a place of a direction.
__global__ void compare_ranks(const double* ends, const u32* lines, const double* table, const u32* bars, signed char* signs,
                              i64 n, i64 m, i64 directions, i64 size) {
    const Lists lists = {ends, lines, table, n, m, directions, (u32)(WAYS * size)};
    for (i64 at = thread_in_grid(); at < directions * m; at += threads_in_grid()) {
        i64 list = at / m * 2, place = at % m;
        u32 own = bars[list * m + place], other = bars[(list + 1) * m + place];
        if (!lists.holds(list, own)) continue;
        double x = lists.value(list, own), y = lists.value(list + 1, other);
        int sign = x > y ? 1 : x < y ? -1 : 0;
        signs[list * m + own] = (signed char)sign;
        signs[(list + 1) * m + other] = (signed char)-sign;
    }
}

// Adds what the directions say to slopes[2][m], direction after direction. One thread a bar; reads 2 bytes a direction.
__global__ void add_slopes(const u32* lines, const double* table, const signed char* signs, double* slopes, i64 n, i64 m,
                           i64 directions, i64 size) {
    for (i64 i = thread_in_grid(); i < m; i += threads_in_grid()) {
        if (lines[i] == (u32)(WAYS * size) || lines[i] % WAYS != 0) continue;
        double birth = slopes[i], death = slopes[m + i];
        for (i64 k = 0; k < directions; ++k) {
            double cosine = table[2 * k], sine = table[2 * k + 1], flat = (cosine + sine) / 2.0;
            double one = (double)signs[2 * k * m + i], two = (double)signs[(2 * k + 1) * m + i];
            double direct = i < n ? one : two, put = (i < n ? two : one) * flat;
            birth = birth + direct * cosine + put;
            death = death + direct * sine + put;
        }
        slopes[i] = birth;
        slopes[m + i] = death;
    }
}

// The first of keys[0 .. m), rising, that is at least `key`.
__device__ __forceinline__ i64 first_at_least(const u32* keys, i64 m, u32 key) {
    i64 low = 0, high = m;
    while (low < high) {
        i64 middle = (low + high) / 2;
        if (keys[middle] < key) low = middle + 1; else high = middle;
    }
    return low;
}

// The last two lists, keys[2][m] and bars[2][m] sorted: bars at one place of a line are matched -> shares[m] (all of it to the
// first bar, infinity to one without a partner) and slopes[2][m] of these. One thread an item; two binary searches.
__global__ void match_lasting(const double* ends, const u32* keys, const u32* bars, double* shares, double* slopes, i64 m,
                              i64 size) {
    for (i64 at = thread_in_grid(); at < 2 * m; at += threads_in_grid()) {
        const i64 side = at / m, place = at % m;
        const u32 *own = keys + side * m, *other = keys + (1 - side) * m, line = own[place], bar = bars[at];
        if (line == (u32)(WAYS * size)) continue;
        i64 partner = first_at_least(other, m, line) + place - first_at_least(own, m, line);
        if (partner >= m || other[partner] != line) {
            shares[bar] = infinity<double>();
            continue;
        }
        u32 there = bars[(1 - side) * m + partner];
        for (i64 end = 0; end < 2; ++end) {
            double x = ends[2 * (i64)bar + end], y = ends[2 * (i64)there + end];
            if (x == y) continue;  // an infinite one, perhaps
            slopes[end * m + bar] = x > y ? 1.0 : -1.0;
            if (side == 0) shares[bar] = x > y ? x - y : y - x;
        }
    }
}

// slopes[2][m], summed over all directions -> their means, and shares[m], of the finite bars. One thread a bar.
__global__ void finish_slopes(const double* ends, const u32* lines, double* slopes, double* shares, i64 m, i64 size,
                              double scale) {
    for (i64 i = thread_in_grid(); i < m; i += threads_in_grid()) {
        if (lines[i] == (u32)(WAYS * size) || lines[i] % WAYS != 0) continue;
        slopes[i] *= scale;
        slopes[m + i] *= scale;
        shares[i] = slopes[i] * ends[2 * i] + slopes[m + i] * ends[2 * i + 1];
    }
}

// groups[m] sorted, those beyond `size` last, with their bars[m]; shares[m] -> totals[size]. One block a group, in an order
// that is always the same.
__global__ void sum_shares(const u32* groups, const u32* bars, const double* shares, double* totals, i64 m, i64 size) {
    for (i64 group = blockIdx.x; group < size; group += gridDim.x) {
        const i64 end = first_at_least(groups, m, (u32)group + 1);
        double sum = 0.0;
        for (i64 at = first_at_least(groups, m, (u32)group) + threadIdx.x; at < end; at += blockDim.x) sum += shares[bars[at]];
        sum = block_reduce(sum, Sum());
        if (threadIdx.x == 0) totals[group] = sum;
    }
}
