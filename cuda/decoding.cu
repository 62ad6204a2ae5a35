// Kernels of `argrad.decoding`: rows are read once, by leaves; then one block takes one row at a time.
#include "row.cuh"

// x[rows][v], each number times `sign` -> leaves[rows][l] with the `sums` that are wanted at temperature[rows] (null: at 1) and
// maxima[rows][l * (256 >> fold)], l = v / 4096, rounded up. 256 threads a leaf, leaves in stretches over the blocks; one read.
template <class S>
__global__ void read_rows(const S* x, const double* temperature, Leaf* leaves, u64* maxima, i64 rows, i64 v, i64 sums, i64 fold,
                          double sign) {
    typedef typename Computed<S>::Number T;
    const i64 parts = (v + LEAF - 1) / LEAF, all = rows * parts;
    const i64 each = all / gridDim.x, more = all % gridDim.x, block = blockIdx.x;
    const i64 begin = block * each + (block < more ? block : more), end = begin + each + (block < more);
    i64 known = -1;
    Rate<T> rate;
    for (i64 item = begin; item < end; ++item) {
        i64 row = item / parts, start = item % parts * LEAF;
        if (row != known) {
            double t = temperature ? temperature[row] : 1.0;
            rate = Rate<T>(t > 0.0 && t < infinity<double>() ? t : 1.0);
            known = row;
        }
        i64 n = v - start < LEAF ? v - start : LEAF;
        read_leaf(x + row * v + start, n, (T)sign, rate, (int)sums, (int)fold, maxima + item * (LANES >> fold), leaves + item);
    }
}

// x[rows][v] -> the k largest (sign -1: smallest) of each row: values[rows][k] and places[rows][k], in order. `leaves` and
// `maxima` are those of `read_rows`, null for rows of one leaf. Each block has `room` tokens, a power of two >= k: in
// `scratch`, or in shared memory where that is null. Rows with a NaN give NaN and -1. One block a row (one warp where it has
// at most 256 numbers, which are sorted); reads what reaches the k-th largest maximum, and rows of one leaf or with more such
// numbers than fit 5 times (9 in double precision).
template <class S>
__global__ void topk_rows(const S* x, typename Computed<S>::Number* values, i64* places, const Leaf* leaves, const u64* maxima,
                          i64 fold, Token<typename Computed<S>::Bits>* scratch, i64 room, i64 rows, i64 v, i64 k, double sign,
                          u32* fault) {
    typedef typename Computed<S>::Number T;
    typedef typename Computed<S>::Bits Bits;
    DYNAMIC_SHARED(memory);
    Token<Bits>* tokens = scratch ? scratch + (i64)blockIdx.x * room : (Token<Bits>*)memory;
    const i64 parts = (v + LEAF - 1) / LEAF;
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const S* numbers = x + row * v;
        const u64* tops = maxima ? maxima + row * parts * (LANES >> fold) : maxima;
        u32 bad = 0;
        if (leaves) {
            for (i64 i = threadIdx.x; i < parts; i += blockDim.x) bad |= is_nan(leaves[row * parts + i].maximum);
        } else {
            for (i64 i = threadIdx.x; i < v; i += blockDim.x) bad |= is_nan(load(numbers[i]));
        }
        bad = block_reduce(bad, Largest());
        if (bad) {
            report(fault);
        } else {
            auto key = [=](i64 i) { return key_of(load(numbers[i]) * (T)sign); };
            largest_tokens<Bits>(key, [](double y) { return key_of((T)y); }, v, tops, (int)fold, (u32)k, tokens, (u32)room);
        }
        for (i64 i = threadIdx.x; i < k; i += blockDim.x) {
            values[row * k + i] = bad ? not_a_number<T>() : load(numbers[tokens[i].place]);
            places[row * k + i] = bad ? -1 : (i64)tokens[i].place;
        }
        __syncthreads();
    }
}

// leaves[rows][l] of `read_rows` with all sums, temperature[rows] -> columns[rows][6]: maximum, log-sum-exp, entropy, collision
// probability, mean, deviation, and count[rows]; NaN and -1 for rows that the host refuses. One block a row.
extern "C" __global__ void logit_statistics(const Leaf* leaves, const double* temperature, double* columns, i64* count,
                                            i64 rows, i64 v, u32* fault) {
    Rows all = {{nullptr, 0, v, leaves, nullptr, 0}};
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        double t = temperature[row];
        bool bad, apt = t > 0.0 && t < infinity<double>();
        Statistics found = join_leaves(all[row], apt ? t : 1.0, SPREAD, bad);
        bad |= !apt;
        if (threadIdx.x == 0) {
            double lone = found.count < 2 ? 1.0 : (double)(found.count - 1), z = log(found.z0);
            double of[6] = {found.maximum, found.maximum / t + z, fmax(z - found.z1 / found.z0, 0.0),
                            found.z2 / (found.z0 * found.z0), found.mean, sqrt(found.square / lone)};
            for (int i = 0; i < 6; ++i) columns[row * 6 + i] = bad ? not_a_number<double>() : of[i];
            count[row] = bad ? -1 : found.count;
            if (bad) report(fault);
        }
        __syncthreads();
    }
}
