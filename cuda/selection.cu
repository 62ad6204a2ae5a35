// The kernels of `argrad.selection.weighted_sample` without replacement by exponential keys: row i has the key E_i / w_i with
// E_i = -ln(1 - V_i), and the rows of the smallest keys are the sample. The threshold is found digit by digit from histograms,
// keys are made anew in each pass, and most rows need no logarithm: as E >= V, a key can be below a limit only if
// V <= w limit; only the first pass takes all logarithms.
#include "block.cuh"
#include "elementary.cuh"

#define BINS 8192    // of a histogram: 13 bits of a key
#define LEVELS 5     // histograms until all 63 bits are known
#define TASK 4096    // rows that one block collects
#define NEVER 0xFFFFFFFFFFFFFFFFull

// The state of a draw, in device memory, zeros at the beginning.
struct Draw {
    u64 largest;    // bits of the largest weight
    u64 positives;  // rows of positive weight
    u64 known;      // the digits of the threshold found so far
    u64 left;       // its rank among the keys that have them
    u32 bad;        // whether a weight is negative or not finite
};

// A power of two that brings the largest weight near 2^900, lest keys of tiny weights overflow; keys are those of the host up to
// such a factor, which changes no digit of any result.
__device__ __forceinline__ double scale_of(const Draw* draw) {
    if (draw->largest == 0) return 1.0;
    int exponent = (int)(draw->largest >> 52) - 1023;
    if (exponent == -1023) exponent = -1011 - __clzll((i64)draw->largest);
    return number_of((u64)(max(0, min(900 - exponent, 1023)) + 1023) << 52);
}

// Whether the sample exists, and whether a row of positive weight is left over.
__device__ __forceinline__ bool possible(const Draw* draw, i64 size) {
    return !draw->bad && draw->positives >= (u64)size;
}
__device__ __forceinline__ bool leaves_one(const Draw* draw, i64 size) { return draw->positives > (u64)size; }

// Bits of a key below those of the histogram `level`; 13 for each before the last.
__device__ __forceinline__ int shift_of(i64 level) { return max(50 - 13 * (int)level, 0); }

// weights[n] -> the largest, the number of positive ones, and whether one is bad. One thread an item; one read.
template <class S> __global__ void weigh(const S* weights, Draw* draw, i64 n) {
    u64 largest = 0;
    i64 positives = 0;
    u32 bad = 0;
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid()) {
        double w = (double)load(weights[i]);
        bool good = w >= 0.0 && w < infinity<double>();
        bad |= !good;
        u64 bits = good ? bits_of(w + 0.0) : 0;
        largest = largest < bits ? bits : largest;
        positives += good && w > 0.0;
    }
    largest = block_reduce(largest, Largest());
    positives = block_reduce(positives, Sum());
    bad = block_reduce(bad, Largest());
    if (threadIdx.x > 0) return;
    atomicMax(&draw->largest, largest);
    atomicAdd(&draw->positives, (u64)positives);
    if (bad) atomicOr(&draw->bad, 1u);
}

// The bits of the key of a row, NEVER for one of weight zero and for most of those above `limit`.
__device__ __forceinline__ u64 key_bits(double w, double scale, double limit, u64 seed, u64 stream, i64 row) {
    w *= scale;
    double v = random_uniform(seed, stream, (u64)row);
    if (!(w > 0.0) || !(v <= w * limit)) return NEVER;
    return bits_of(exponential(v) / w + 0.0);
}

// The limit of keys that begin with the digits `known`, with a few roundings of slack.
__device__ __forceinline__ double limit_of(u64 known, int shift) {
    u64 last = shift == 0 ? known : ((known + 1) << shift) - 1;
    double limit = number_of(last);
    return limit < infinity<double>() ? limit * (1.0 + 1.0 / 1099511627776.0) : infinity<double>();
}

// How many keys there are with the known digits and each next one: counts[BINS], zeros at the beginning. Keys of uniform
// weights spread over bins of a quarter of an octave. One thread an item; one read.
template <class S>
__global__ void count_keys(const S* weights, const Draw* draw, u32* counts, i64 n, i64 size, i64 seed, i64 stream,
                           i64 level) {
    __shared__ u32 here[BINS];
    if (!possible(draw, size)) return;
    const int shift = shift_of(level), above = level == 0 ? 63 : shift_of(level - 1);
    const u64 known = draw->known;
    const double scale = scale_of(draw), limit = level == 0 ? infinity<double>() : limit_of(known, above);
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x) here[bin] = 0;
    __syncthreads();
    for (i64 i = thread_in_grid(); i < n; i += threads_in_grid()) {
        u64 key = key_bits((double)load(weights[i]), scale, limit, (u64)seed, (u64)stream, i);
        if (key != NEVER && key >> above == known) atomicAdd(&here[(key >> shift) & (BINS - 1)], 1u);
    }
    __syncthreads();
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x)
        if (here[bin]) atomicAdd(&counts[bin], here[bin]);
}

// counts[BINS] of a level -> the next digit of the threshold: of the first key that is not drawn, or of the last one where all
// rows are. One block of 256 threads.
__global__ void find_digit(Draw* draw, const u32* counts, i64 size, i64 level) {
    if (!possible(draw, size)) return;
    const int each = BINS / 256, first = threadIdx.x * each;
    const u64 rank = level > 0 ? draw->left : (u64)(leaves_one(draw, size) ? size : size - 1), known = draw->known;
    i64 sum = 0, total;
    for (int bin = 0; bin < each; ++bin) sum += counts[first + bin];
    u64 before = (u64)block_scan(sum, total);
    __syncthreads();
    if (rank < before || rank >= before + (u64)sum) return;
    int bin = first;
    for (; rank >= before + counts[bin]; ++bin) before += counts[bin];
    int digits = level == 0 ? 13 : shift_of(level - 1) - shift_of(level);
    draw->known = known << digits | (u64)bin;
    draw->left = rank - before;
}

// The rows of keys below the threshold, then those at it, both in their order: how many of each there are in the rows of each
// block, starts[2][blocks]; or, where `keys` is given, keys[size + 1] and rows[size + 1] themselves. TASK rows a block.
template <class S>
__global__ void collect_keys(const S* weights, const Draw* draw, i64* starts, u64* keys, u32* rows, i64 n, i64 size,
                             i64 seed, i64 stream) {
    const i64 blocks = (n + TASK - 1) / TASK, wanted = size + leaves_one(draw, size);
    if (!possible(draw, size)) return;
    const u64 bar = draw->known;
    const double scale = scale_of(draw), limit = limit_of(bar, 0);
    for (i64 block = blockIdx.x; block < blocks; block += gridDim.x) {
        u32 found[2] = {0, 0};
        for (int base = 0; base < TASK; base += blockDim.x) {
            i64 i = block * TASK + base + threadIdx.x;
            u64 key = i < n ? key_bits((double)load(weights[i]), scale, limit, (u64)seed, (u64)stream, i) : NEVER;
            // Both numbers in one scan: a block has fewer than 2^16 threads.
            u32 below = key < bar, tied = key == bar, total, sum = block_scan(below << 16 | tied, total);
            if (keys && (below || tied)) {
                i64 at = below ? starts[block] + found[0] + (sum >> 16)
                               : starts[blocks + block] + found[1] + (sum & 0xFFFFu);
                if (at < wanted) {
                    keys[at] = key;
                    rows[at] = (u32)i;
                }
            }
            found[0] += total >> 16;
            found[1] += total & 0xFFFFu;
        }
        if (!keys && threadIdx.x < 2) starts[threadIdx.x * blocks + block] = found[threadIdx.x];
    }
}

// Sorted keys and rows[size + 1] -> the sample drawn[size] and its inverse probabilities (null for none). A draw that does not
// exist gives -1 and NaN. One thread a row.
template <class S>
__global__ void finish_keys(const S* weights, const Draw* draw, const u64* keys, const u32* rows, i64* drawn,
                            double* inverse, i64 size, u32* fault) {
    const bool good = possible(draw, size), left = leaves_one(draw, size);
    const double scale = scale_of(draw), tau = left ? number_of(keys[size]) : 0.0;
    if (!good) report(fault);
    for (i64 j = thread_in_grid(); j < size; j += threads_in_grid()) {
        drawn[j] = good ? (i64)rows[j] : -1;
        if (!inverse) continue;
        double w = good && left ? (double)load(weights[rows[j]]) : 0.0;
        inverse[j] = !good ? not_a_number<double>() : left ? -1.0 / expm1(-(w * scale * tau)) : 1.0;
    }
}

// drawn[size] -> keys[size] in the order of the rows (-1 as it is), and their places. One thread a row.
__global__ void rows_as_keys(const i64* drawn, u64* keys, u32* places, i64 size) {
    for (i64 j = thread_in_grid(); j < size; j += threads_in_grid()) {
        keys[j] = (u64)drawn[j];
        places[j] = (u32)j;
    }
}

// Sorted keys and places -> drawn[size] in order, with what belongs to each. One thread a row.
__global__ void arrange_rows(const u64* keys, const u32* places, const double* inverse, i64* drawn, double* arranged,
                             i64 size) {
    for (i64 j = thread_in_grid(); j < size; j += threads_in_grid()) {
        drawn[j] = (i64)keys[j];
        if (arranged) arranged[j] = inverse[places[j]];
    }
}
