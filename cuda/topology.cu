// The kernels of `argrad.topology` before the pairing: from numbers to the keys that the engine sees (image.rs).
#include "plane.cuh"

// x[count] -> keys[count] in the order of the numbers, and, unless `constants` is negative, those of two constants at
// keys[constants ..]. Reports NaN. One thread a number.
template <class S>
__global__ void image_keys(const S* x, typename Computed<S>::Bits* keys, i64 count, i64 constants, double threshold,
                           double outside, u32* fault) {
    typedef typename Computed<S>::Number T;
    bool bad = false;
    for (i64 i = thread_in_grid(); i < count; i += threads_in_grid()) {
        T number = load(x[i]);
        bad |= is_nan(number);
        keys[i] = key_of(number);
    }
    if (bad) report(fault);
    if (constants >= 0 && thread_in_grid() == 0) {
        keys[constants] = key_of((T)threshold);
        keys[constants + 1] = key_of((T)outside);
    }
}

// sorted[count] -> counts[chunks]: how many keys differ from the one before. One block a chunk.
__global__ void count_ranks(const u64* sorted, i64* counts, i64 count) {
    for (i64 chunk = blockIdx.x; chunk < chunks_of(count); chunk += gridDim.x) {
        i64 found = 0;
        for (i64 i = chunk * CHUNK + threadIdx.x; i < min(count, (chunk + 1) * CHUNK); i += blockDim.x)
            found += i > 0 && sorted[i] != sorted[i - 1];
        found = block_reduce(found, Sum());
        if (threadIdx.x == 0) counts[chunk] = found;
    }
}

// sorted[count], the numbers' places[count], scanned counts[chunks] -> ranks[place]: the number of different keys up to it.
// One block a chunk.
__global__ void write_ranks(const u64* sorted, const u32* places, const i64* counts, u32* ranks, i64 count) {
    for (i64 chunk = blockIdx.x; chunk < chunks_of(count); chunk += gridDim.x) {
        i64 before = 1 + counts[chunk];
        for (i64 base = chunk * CHUNK; base < min(count, (chunk + 1) * CHUNK); base += blockDim.x) {
            i64 i = base + threadIdx.x;
            u32 total, changed = i > 0 && i < count && sorted[i] != sorted[i - 1];
            u32 rank = (u32)before + changed + block_scan(changed, total);
            if (i < count) ranks[places[i]] = rank;
            before += total;
        }
    }
}

// keys[images][n], constants[2] -> lowest[images][2]: the lowest key above its first place, and above the complement of its
// last. All ones at first. One block a chunk of an image.
__global__ void lowest_keys(const u32* keys, const u32* constants, u64* lowest, i64 images, i64 n, i64 superlevel,
                            i64 censored) {
    const u32 flip = superlevel ? 0xFFFFFFFFu : 0, most = censored ? constants[0] ^ flip : ABSENT;
    i64 chunks = chunks_of(n);
    for (i64 block = blockIdx.x; block < images * chunks; block += gridDim.x) {
        i64 image = block / chunks, chunk = block % chunks;
        u64 first = NEVER, last = NEVER;
        for (i64 p = chunk * CHUNK + threadIdx.x; p < min(n, (chunk + 1) * CHUNK); p += blockDim.x) {
            u64 key = (u64)min(keys[image * n + p] ^ flip, most) << 32;
            first = min(first, key | (u32)p);
            last = min(last, key | (u32)~p);
        }
        first = block_reduce(first, Least());
        last = block_reduce(last, Least());
        if (threadIdx.x == 0) {
            atomicMin(&lowest[2 * image], first);
            atomicMin(&lowest[2 * image + 1], last);
        }
    }
}

// keys[sides x images][depth][height][width], constants[2] (threshold, ring), lowest[sides x images][2] -> framed[segments]
// [planes][h][w] of sides x images segments; of two sides, a third part is their comparison (smaller or larger keys). `ring`: 0
// none, 1 of the lowest key, 2 of the constant; `full` turns the order round and adds a ring of key 0. Rings have `deep` planes,
// `up` rows and `across` columns. One thread a voxel.
__global__ void frame_keys(const u32* keys, const u32* constants, const u64* lowest, u32* framed, i64 images, i64 sides,
                           i64 depth, i64 height, i64 width, i64 deep, i64 up, i64 across, i64 superlevel, i64 censored,
                           i64 ring, i64 full, i64 larger) {
    const u32 flip = superlevel ? 0xFFFFFFFFu : 0, most = censored ? constants[0] ^ flip : ABSENT;
    const u32 constant = ring == 2 ? min(constants[1] ^ flip, most) : 0;
    const i64 rings = (ring > 0) + full, h = height + 2 * up * rings, w = width + 2 * across * rings;
    const i64 n = (depth + 2 * deep * rings) * h * w;
    for (i64 at = thread_in_grid(); at < images * n; at += threads_in_grid()) {
        i64 image = at / n, p = at % n;
        i64 i = p / (h * w) - deep * rings, j = p / w % h - up * rings, k = p % w - across * rings;
        auto within = [=](i64 planes, i64 rows, i64 columns) {
            return i >= -planes && i < depth + planes && j >= -rows && j < height + rows && k >= -columns && k < width + columns;
        };
        bool inside = within(0, 0, 0), ringed = ring > 0 && within(deep, up, across);
        u32 both[2];
        for (int side = 0; side < 2; ++side) {
            if (side >= sides) break;
            i64 from = side * images + image;
            u32 key = inside    ? min(keys[((from * depth + i) * height + j) * width + k] ^ flip, most)
                      : !ringed ? ABSENT
                      : ring == 1 ? (u32)(lowest[2 * from] >> 32) : constant;
            both[side] = full ? ~key : key;
            framed[from * n + p] = both[side];
        }
        if (sides == 2) framed[2 * images * n + at] = larger ? max(both[0], both[1]) : min(both[0], both[1]);
    }
}
