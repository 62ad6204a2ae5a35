// Kernels of `argrad.decoding`: sparse Bregman projections of rows that `read_rows` has read, and draws from them. One block
// takes one row at a time; memory for more tokens than fit into shared memory is given for each block.
#include "adaptive.cuh"

// Draws from all tokens of a row, in the order of their places: a leaf by its mass, then a token of it. Reads one leaf, and
// those where a weight may be 0, which are not counted.
__device__ inline Draw draw_from_whole(const Row& row, const Statistics& found, double u) {
    const i64 leaves = row.leaf_count();
    auto weight = [&](double x) { return exp_exact((x - found.maximum) / found.temperature); };
    auto mass = [&](u32 l) { return weight(row.leaves[l].maximum) * row.leaves[l].z0; };
    u32 leaf = pick((u32)leaves, u, mass);
    double before = sum_terms(leaf, mass), whole = sum_terms((u32)leaves, mass);
    i64 size = 0;
    for (i64 l = 0; l < leaves; ++l) {
        i64 end = row.v < (l + 1) * LEAF ? row.v : (l + 1) * LEAF;
        if (weight(row.leaves[l].least) > 0.0) {
            size += threadIdx.x == 0 ? end - l * LEAF : 0;
        } else if (weight(row.leaves[l].maximum) > 0.0) {
            for (i64 i = l * LEAF + threadIdx.x; i < end; i += blockDim.x) size += weight(row[i]) > 0.0;
        }
    }
    size = block_reduce(size, Sum());
    // The interval of each token is as wide as its weight.
    i64 start = (i64)leaf * LEAF;
    u32 n = (u32)(row.v - start < LEAF ? row.v - start : LEAF);
    double inside = fmin(fmax((u * whole - before) / mass(leaf), 0.0), 1.0 - 2.220446049250313e-16);
    u32 j = pick(n, inside, [&](u32 i) { return weight(row[start + i]); });
    if (leaves == 1) whole = sum_terms(n, [&](u32 i) { return weight(row[i]); });
    return {start + j, size, fmin(log(weight(row[start + j]) / whole), 0.0)};
}

// Rows that were read (see `Rows`), what they are asked for (see `Request`; temperature, penalty, k: [rows] or null), and
// seed[rows], number[rows], step[rows] -> token[rows], size[rows], log_probability[rows]; -1, -1 and NaN for rows that the host
// refuses. `near` tokens have room in shared memory, `far` in each block's part of `scratch`, 48 bytes each. One block a row:
// reads what reaches the k-th largest maximum, or one leaf where all tokens are kept; O(k log k) beyond.
extern "C" __global__ void __launch_bounds__(128, 3)
    bregman_decode(const void* x, i64 storage, const Leaf* leaves, const u64* maxima, i64 fold, i64 rows,
                                          i64 v, const double* temperature, const double* penalty, const i64* k, double alpha,
                                          i64 dual, i64 most, i64 near, unsigned char* scratch, i64 far, const i64* seed,
                                          const i64* number, const i64* step, i64* token, i64* size, double* log_probability,
                                          u32* fault) {
    DYNAMIC_SHARED(memory);
    const Rows all = {{x, (int)storage, v, leaves, maxima, (int)fold}};
    const Request request = {temperature, penalty, k, {alpha, dual != 0}, (u32)most};
    const bool summed = !request.rule.is_proportional() || most == v;
    for (i64 i = blockIdx.x; i < rows; i += gridDim.x) {
        Wanted wanted = wanted_of(request, i);
        bool bad, placed = ((number[i] | step[i]) >> 32) == 0;
        Statistics found = join_leaves(all[i], wanted.temperature, summed ? NORMALIZER : NOTHING, bad);
        Draw drawn = {-1, -1, not_a_number<double>()};
        if (bad || !wanted.apt || !placed) {
            report(fault);
        } else {
            double u = random_uniform((u64)seed[i], DECODE, (u64)number[i] << 32 | (u64)step[i]);
            if (wanted.size >= v && v > 1) {
                drawn = draw_from_whole(all[i], found, u);
            } else {
                Room far_room = {scratch + (i64)blockIdx.x * far * 48, (u32)far};
                Prefix prefix(all[i], found, request.rule, (u32)most, {memory, (u32)near}, far_room);
                u32 kept = prefix.keep(wanted), j = pick(kept, u, [&](u32 l) { return prefix.q[l]; });
                drawn = {(i64)prefix.tokens[j].place, (i64)kept, fmin(log(prefix.q[j]), 0.0)};
            }
        }
        if (threadIdx.x == 0) {
            token[i] = drawn.token;
            size[i] = drawn.size;
            log_probability[i] = drawn.log_probability;
        }
        __syncthreads();
    }
}

// As `bregman_decode` -> the tokens that each row keeps: places[rows][most], what they get in q[rows][most] and once more as a
// float (`storage` 3: double) in values[rows][most], size[rows], and the largest logit and the normaliser (0 where it is not
// needed) in sums[rows][2]. Beyond the size -1 and 0; -1 and NaN for rows that the host refuses.
extern "C" __global__ void __launch_bounds__(128, 3)
    bregman_project(const void* x, i64 storage, const Leaf* leaves, const u64* maxima, i64 fold, i64 rows, i64 v,
                    const double* temperature, const double* penalty, const i64* k, double alpha, i64 dual, i64 most, i64 near,
                    unsigned char* scratch, i64 far, void* values, i64* places, i64* size, double* q, double* sums,
                    u32* fault) {
    DYNAMIC_SHARED(memory);
    const Rows all = {{x, (int)storage, v, leaves, maxima, (int)fold}};
    const Request request = {temperature, penalty, k, {alpha, dual != 0}, (u32)most};
    const Room near_room = {memory, (u32)near}, far_room = {scratch + (i64)blockIdx.x * far * 48, (u32)far};
    const Sums wanted_sums = request.rule.is_proportional() ? NOTHING : NORMALIZER;
    for (i64 i = blockIdx.x; i < rows; i += gridDim.x) {
        Wanted wanted = wanted_of(request, i);
        bool bad;
        Statistics found = join_leaves(all[i], wanted.temperature, wanted_sums, bad);
        bad |= !wanted.apt;
        Prefix prefix(all[i], found, request.rule, (u32)most, near_room, far_room);
        u32 kept = 0;
        if (bad) {
            report(fault);
        } else {
            kept = prefix.keep(wanted);
        }
        for (i64 j = threadIdx.x; j < most; j += blockDim.x) {
            bool there = j < kept;
            double value = bad ? not_a_number<double>() : there ? prefix.q[j] : 0.0;
            places[i * most + j] = there ? (i64)prefix.tokens[j].place : -1;
            q[i * most + j] = value;
            if (storage == 3) ((double*)values)[i * most + j] = value;
            else ((float*)values)[i * most + j] = (float)value;
        }
        if (threadIdx.x == 0) {
            size[i] = bad ? -1 : (i64)kept;
            sums[2 * i] = bad ? not_a_number<double>() : found.maximum;
            sums[2 * i + 1] = found.z0;
        }
        __syncthreads();
    }
}
