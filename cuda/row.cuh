// One row of logits, read once: the maxima of its segments, and sums by leaves as leaf.rs and statistics.rs make them, bit for
// bit. A leaf is 4096 consecutive numbers, read by one block of 256 threads into registers; leaves are independent, so a row
// may be read by any number of blocks.
#pragma once
#include "elementary.cuh"
#include "select.cuh"

#define LEAF 4096
#define LANES 256  // threads of a block that reads leaves
#define TERMS 16   // numbers of a leaf for each of them
#define SHORT 256  // rows of so many numbers are sorted

// Which sums are wanted; each includes those before.
enum Sums { NOTHING, NORMALIZER, MOMENTS, SPREAD };

// --- Exponentials ----------------------------------------------------------------------------------------------------

template <class T> struct Format;
template <> struct Format<float> {
    static __device__ __forceinline__ double largest() { return 3.4028234663852886e38; }
    static __device__ __forceinline__ double range() { return 125.5; }
    static __device__ __forceinline__ float round() { return 12582912.0f; }
    static const int mantissa = 23;
};
template <> struct Format<double> {
    static __device__ __forceinline__ double largest() { return 1.7976931348623157e308; }
    static __device__ __forceinline__ double range() { return 1021.5; }
    static __device__ __forceinline__ double round() { return 6755399441055744.0; }
    static const int mantissa = 52;
};

// 2^r for |r| <= 1/2.
__device__ __forceinline__ float power_series(float r) {
    const float c[6] = {1.3390863e-3f, 9.618083e-3f, 0.05550357f, 0.2402265f, 0.69314718055994530942f, 1.0f};
    float p = 1.5453163e-4f;
#pragma unroll
    for (int i = 0; i < 6; ++i) p = fmaf(p, r, c[i]);
    return p;
}
__device__ __forceinline__ double power_series(double r) {
    const double c[11] = {7.072585949269223e-9,   1.0178062445845774e-7, 1.321544258792169e-6, 1.525273382983612e-5,
                          1.540353044173605e-4,   1.3333558146416936e-3, 9.618129107606888e-3, 0.0555041086648216,
                          0.24022650695910097,    0.69314718055994530942, 1.0};
    double p = 4.4549605981865086e-10;
#pragma unroll
    for (int i = 0; i < 11; ++i) p = fma(p, r, c[i]);
    return p;
}
__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }

// log2(e) / temperature in two numbers, and how far below the maximum an exponential is a normal number.
template <class T> struct Rate {
    T high, low;
    double reach, temperature;

    Rate() = default;
    __device__ explicit Rate(double t) : temperature(t) {
        const double log2_e = 1.4426950408889634, log2_e_rest = 2.0355273740931033e-17;
        high = (T)fmin(log2_e / t, Format<T>::largest() / 4.0);
        double rest = (fma((double)high, -t, log2_e) + log2_e_rest) / t;
        low = fabs(rest) < (double)high ? (T)rest : T(0);
        reach = fmin(Format<T>::range() / (double)high, Format<T>::largest());
    }
};

// exp((x - maximum) / temperature) for x <= maximum, as `Decay` of logit.rs: the same bits.
template <class T> struct Decay {
    T high, low, whole, part, shift, floor, maximum;

    __device__ Decay(T top, Rate<T> rate) : high(rate.high), low(rate.low), maximum(top) {
        double wide = (double)high;
        shift = fabs((double)top * wide) < 4096.0 ? T(0) : top;
        double rest = (double)top - (double)shift, product = rest * wide, nearest = round(product);
        whole = (T)nearest;
        part = (T)((product - nearest) + (fma(rest, wide, -product) + rest * (double)low));
        floor = (T)fmax((double)top - rate.reach, -Format<T>::largest());
    }
    __device__ __forceinline__ T weight(T x) const {
        T y = x - shift;
        T grid = fused(y, high, -(whole + part)) + Format<T>::round();
        T n = grid - Format<T>::round();
        T r = fused(y, low, fused(y, high, -(n + whole)) - part);
        T e = number_of(bits_of(power_series(r)) + (bits_of(grid) << Format<T>::mantissa));
        return x >= floor ? e : T(0);
    }
    __device__ __forceinline__ T fall(T x) const { return maximum - (x > floor ? x : floor); }
};

// --- Leaves ------------------------------------------------------------------------------------------------------------

// What is known of a leaf; see leaf.rs. The maximum is NaN where a number is.
struct Leaf {
    double maximum, least, z0, z1, z2, center, step, step_square;
    i64 count;
};

// The values of 256 threads, added pairwise: 128 apart, then 64, and so on; every thread gets the sum.
__device__ __forceinline__ double lanes_total(double value) {
    __shared__ double lanes[LANES];
    __syncthreads();
    lanes[threadIdx.x] = value;
    __syncthreads();
    double half[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) half[i] = lanes[lane_of() + i * WARP] + lanes[lane_of() + i * WARP + LANES / 2];
    double sum = (half[0] + half[2]) + (half[1] + half[3]);
    return warp_reduce(sum, Sum());
}

// Reads a leaf of n numbers, each times `sign`. The maxima of segments of `16 << fold` numbers, those of a group of lanes, go
// to maxima[256 >> fold] as keys; the sums to `leaf`. Called by 256 threads.
template <class S, class T>
__device__ void read_leaf(const S* x, i64 n, T sign, Rate<T> rate, int sums, int fold, u64* maxima, Leaf* leaf) {
    __shared__ T tops[LANES / WARP], lows[LANES / WARP];
    __shared__ u32 spoilt[LANES / WARP];
    const int t = threadIdx.x, warp = warp_of(), lane = lane_of();
    T value[TERMS], top = -infinity<T>(), low = infinity<T>();
    bool bad = false;
#pragma unroll
    for (int j = 0; j < TERMS; ++j) {
        i64 i = (i64)j * LANES + t;
        value[j] = i < n ? load(x[i]) * sign : -infinity<T>();
        bad |= is_nan(value[j]);
        top = value[j] > top ? value[j] : top;
        low = i < n && value[j] < low ? value[j] : low;
    }
    T best = top;
    for (int step = 1; step < WARP; step *= 2) {
        if (step == 1 << fold) top = best;
        T other = __shfl_xor_sync(FULL, best, step);
        best = other > best ? other : best;
    }
    if (fold == 5) top = best;
    if ((lane & ((1 << fold) - 1)) == 0) maxima[t >> fold] = key_of((double)top);
    low = warp_reduce(low, Least());
    bool any = __any_sync(FULL, bad);
    __syncthreads();  // a leaf before may still be read from
    if (lane == 0) {
        tops[warp] = best;
        lows[warp] = low;
        spoilt[warp] = any;
    }
    __syncthreads();
    any = false;
    for (int w = 0; w < LANES / WARP; ++w) {
        best = tops[w] > best ? tops[w] : best;
        low = lows[w] < low ? lows[w] : low;
        any |= spoilt[w] != 0;
    }
    Leaf found = {any ? not_a_number<double>() : (double)best, (double)low, 0, 0, 0, 0, 0, 0, 0};
    if (sums > NOTHING && !any && best > -infinity<T>() && best < infinity<T>()) {
        Decay<T> decay(best, rate);
        double z0 = 0, z1 = 0, z2 = 0;
#pragma unroll
        for (int j = 0; j < TERMS; j += 4) {
            T e[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) e[i] = decay.weight(value[j + i]);
            z0 += (double)((e[0] + e[1]) + (e[2] + e[3]));
            if (sums > NORMALIZER) {
                T f[4];
#pragma unroll
                for (int i = 0; i < 4; ++i) f[i] = decay.fall(value[j + i]);
                z1 += (double)(fused(e[1], f[1], e[0] * f[0]) + fused(e[3], f[3], e[2] * f[2]));
                z2 += (double)(fused(e[1], e[1], e[0] * e[0]) + fused(e[3], e[3], e[2] * e[2]));
            }
        }
        found.z0 = lanes_total(z0);
        if (sums > NORMALIZER) {
            found.z1 = lanes_total(z1);
            found.z2 = lanes_total(z2);
        }
        if (sums > MOMENTS) {
            T sum = 0, count = 0, square = 0;
#pragma unroll
            for (int j = 0; j < TERMS; ++j) {
                bool live = value[j] > -infinity<T>();
                sum += live ? value[j] : T(0);
                count += live ? T(1) : T(0);
            }
            double all = lanes_total((double)count);
            T center = (T)(lanes_total((double)sum) / all);
            sum = 0;
#pragma unroll
            for (int j = 0; j < TERMS; ++j) {
                T step = value[j] > -infinity<T>() ? value[j] - center : T(0);
                sum += step;
                square = fused(step, step, square);
            }
            found.center = (double)center;
            found.step = lanes_total((double)sum);
            found.step_square = lanes_total((double)square);
            found.count = (i64)all;
        }
    }
    if (t == 0) *leaf = found;
}

// --- Rows --------------------------------------------------------------------------------------------------------------

// A row whose leaves have been read; its numbers are of any storage type, and looked at as doubles.
struct Row {
    const void* numbers;
    int storage;  // 0 Half, 1 BFloat, 2 float, 3 double
    i64 v;
    const Leaf* leaves;
    const u64* maxima;
    int fold;

    __device__ __forceinline__ double operator[](i64 i) const {
        switch (storage) {
            case 0: return (double)load(((const Half*)numbers)[i]);
            case 1: return (double)load(((const BFloat*)numbers)[i]);
            case 2: return (double)((const float*)numbers)[i];
            default: return ((const double*)numbers)[i];
        }
    }
    __device__ __forceinline__ i64 leaf_count() const { return (v + LEAF - 1) / LEAF; }
    __device__ __forceinline__ int width() const { return storage == 3 ? 8 : storage == 2 ? 4 : 2; }
};

// All rows of a call: numbers[rows][v], leaves[rows][l], maxima[rows][l * (256 >> fold)] with l = v / 4096, rounded up.
struct Rows {
    Row first;

    __device__ Row operator[](i64 row) const {
        Row found = first;
        i64 leaves = first.leaf_count();
        found.numbers = (const char*)first.numbers + row * first.v * first.width();
        found.leaves += row * leaves;
        found.maxima += row * leaves * (LANES >> first.fold);
        return found;
    }
};

// What is known of a row of logits at a temperature; see statistics.rs.
struct Statistics {
    double maximum, temperature, z0, z1, z2, mean, square;
    i64 count;
};

// The statistics of a row from its leaves, in their order; `bad` where a number is NaN or +inf, or all are -inf. Every thread
// gets them. The weights of leaves by all threads, the sums by one thread each.
__device__ inline Statistics join_leaves(const Row& row, double temperature, int sums, bool& bad) {
    __shared__ double terms[3][LANES];
    __shared__ Statistics joined;
    const i64 count = row.leaf_count();
    double top = -infinity<double>();
    u32 spoilt = 0;
    for (i64 l = threadIdx.x; l < count; l += blockDim.x) {
        double x = row.leaves[l].maximum;
        spoilt |= is_nan(x);
        top = x > top ? x : top;
    }
    top = block_reduce(top, Largest());
    bad = block_reduce(spoilt, Largest()) || !(fabs(top) < infinity<double>());
    Statistics found = {top, temperature, 0, 0, 0, 0, 0, 0};
    if (bad || sums == NOTHING) return found;
    double z = 0;
    const u32 tile = min((u32)LANES, blockDim.x);
    for (i64 base = 0; base < count; base += tile) {
        __syncthreads();
        i64 l = base + threadIdx.x;
        if (threadIdx.x < tile) {
            double part[3] = {0, 0, 0};
            if (l < count && row.leaves[l].maximum > -infinity<double>()) {
                Leaf leaf = row.leaves[l];
                double fall = (leaf.maximum - top) / temperature, weight = exp_exact(fall);
                part[0] = weight * leaf.z0;
                part[1] = weight * (leaf.z0 * fmax(fall, -1e3) - leaf.z1 / temperature);
                part[2] = weight * weight * leaf.z2;
            }
            for (int i = 0; i < 3; ++i) terms[i][threadIdx.x] = part[i];
        }
        __syncthreads();
        i64 here = count - base < tile ? count - base : tile;
        if (threadIdx.x < 3)
            for (i64 i = 0; i < here; ++i) z += terms[threadIdx.x][i];
        if (threadIdx.x == 3 && sums == SPREAD) {
            for (i64 i = base; i < base + here; ++i) {
                Leaf leaf = row.leaves[i];
                if (leaf.count == 0) continue;
                double before = (double)found.count, there = (double)leaf.count;
                double mean = leaf.center + leaf.step / there;
                double square = fmax(leaf.step_square - leaf.step * leaf.step / there, 0.0), shift = mean - found.mean;
                found.mean += shift * (there / (before + there));
                found.square += square + shift * shift * (before * there / (before + there));
                found.count += leaf.count;
            }
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) joined.z0 = z;
    if (threadIdx.x == 1) joined.z1 = z;
    if (threadIdx.x == 2) joined.z2 = z;
    if (threadIdx.x == 3) {
        joined.mean = found.mean;
        joined.square = found.square;
        joined.count = found.count;
    }
    __syncthreads();
    found = joined;
    found.maximum = top;
    found.temperature = temperature;
    return found;
}

// --- The largest tokens --------------------------------------------------------------------------------------------------

// Lists the tokens of a row whose key is at least `least`, in any order, as far as there is room, and returns how many there
// are. Only segments whose maximum reaches `bound`, the same as a key of double precision, are read: maxima[(256 >> fold)] for
// each leaf.
template <class Bits, class Key>
__device__ u32 gather_tokens(Key key, i64 v, const u64* maxima, int fold, u64 bound, Bits least, Token<Bits>* tokens,
                             u32 room) {
    __shared__ u32 count;
    __syncthreads();
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    const i64 parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    for (i64 part = warp_of(); part < parts; part += warps_of_block()) {
        bool reaches = maxima[(part * WARP + lane_of()) >> fold] >= bound;
        if (!__any_sync(FULL, reaches)) continue;
        i64 first = part / (LANES / WARP) * LEAF + part % (LANES / WARP) * WARP + lane_of();
        if (!reaches) continue;
        for (i64 i = first; i < v && i < first + LEAF; i += LANES) {
            Bits x = key(i);
            if (x < least) continue;
            u32 place = atomicAdd(&count, 1u);
            if (place < room) tokens[place] = {x, (u32)i};
        }
    }
    __syncthreads();
    return count;
}

// The k largest tokens of a row in order, 1 <= k <= v, in tokens[0 .. k): `room` of them are there, a power of two >= k. The
// k-th largest maximum of segments bounds the k-th largest number; what reaches it is gathered and sorted. Where that is too
// much (ties, k near the number of segments), or `maxima` is null, the bar is found among the numbers themselves. Short rows
// are sorted. `to_key(x)` is the key of a number of double precision.
template <class Bits, class Key, class ToKey>
__device__ void largest_tokens(Key key, ToKey to_key, i64 v, const u64* maxima, int fold, u32 k, Token<Bits>* tokens,
                               u32 room) {
    const i64 segments = ((v + LEAF - 1) / LEAF * LANES) >> fold;
    u32 found = room + 1;
    if (v <= SHORT && v <= room) {
        for (u32 i = threadIdx.x; i < v; i += blockDim.x) tokens[i] = {key(i), i};
        found = (u32)v;
    } else if (maxima && 2 * (i64)k <= segments) {
        u64 bound = find_bar<u64>([=](i64 i) { return maxima[i]; }, segments, k).key;
        found = gather_tokens(key, v, maxima, fold, bound, to_key(of_key(bound)), tokens, room);
    }
    if (found > room) {
        list_tokens(key, v, find_bar<Bits>(key, v, k), tokens);
        found = k;
    }
    u32 size = power_of_two(found);
    for (u32 i = found + threadIdx.x; i < size; i += blockDim.x) tokens[i] = {0, 0xFFFFFFFFu};
    sort_bitonic(tokens, size, First());
}

// The k largest tokens of a row, with keys of double precision.
__device__ __forceinline__ void largest_tokens(const Row& row, u32 k, Token<u64>* tokens, u32 room) {
    largest_tokens<u64>([&](i64 i) { return key_of(row[i]); }, [](double x) { return key_of(x); }, row.v, row.maxima, row.fold,
                        k, tokens, room);
}
