// The kernels of greedy seeding on a coreset: a weighted sample of the rows, and greedy steps whose candidates are measured many
// at a time; as rust/core/src/seeding/coreset.rs and panels.rs bit for bit.
#include "envelope.cuh"

// --- The sample ------------------------------------------------------------------------------------------------------------

// squares[n] to a rough seeding -> scores[n], half of whose mass is even and half in proportion to the squares, and their sums.
// `spread` are the sums before each block of the squares, `masses` those of the weights. One block of 256 threads for 1024 rows.
template <class T>
__global__ void spread_scores(const T* squares, T* scores, double* groups, double* blocks, const double* weights,
                              const double* spread, const double* masses, i64 n) {
    __shared__ double mass[GROUPS * (GROUP + 1)];
    const Envelope<T> envelope = {scores, groups, blocks, nullptr, weights};
    const i64 count = (n + BLOCK_ROWS - 1) / BLOCK_ROWS;
    double mean = spread[count] / (weights ? masses[count] : (double)n);
    if (!(mean > 0.0)) mean = 1.0;
    for (i64 block = blockIdx.x; block < count; block += gridDim.x) {
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            i64 i = block * BLOCK_ROWS + r;
            T score = i < n ? (T)(1.0 + (double)squares[i] / mean) : T(0);
            if (i < n) scores[i] = score;
            mass[r + r / GROUP] = i < n ? (weights ? weights[i] : 1.0) * (double)score : 0.0;
        }
        sum_rows(envelope, mass, block, n);
        __syncthreads();
    }
}

// -> drawn[size], rows at even steps of the distribution of the scores, and what each draw weighs. One warp a draw.
template <class T>
__global__ void draw_coreset(T* scores, double* groups, double* blocks, double* prefix, const double* weights, u32* drawn,
                             double* shares, i64 seed, i64 stream, i64 n, i64 size) {
    const double total = prefix[(n + BLOCK_ROWS - 1) / BLOCK_ROWS], shift = random_uniform((u64)seed, (u64)stream, 0);
    for (i64 j = thread_in_grid() / WARP; j < size; j += threads_in_grid() / WARP) {
        i64 row = row_at(Envelope<T>{scores, groups, blocks, prefix, weights}, n, total, ((double)j + shift) / (double)size);
        if (lane_of() > 0) continue;
        drawn[j] = (u32)row;
        shares[j] = total / ((double)size * (double)scores[row]);
    }
}

// drawn[size], shares[size] -> the rows of the coreset, each once, the sums of their shares, and their count. Where `drawn` is
// null, the rows of positive share, all of them where `shares` is null. One block; the shares of a row are added in order.
__global__ void pack_coreset(const u32* drawn, const double* shares, u32* rows, double* sums, i64* count, i64 size) {
    i64 before = 0;
    for (i64 first = 0; first < size; first += blockDim.x) {
        const i64 j = first + threadIdx.x;
        bool mine = j < size && (drawn ? j == 0 || drawn[j] != drawn[j - 1] : !shares || shares[j] > 0.0);
        u32 total, place = block_scan((u32)mine, total);
        if (mine) {
            u32 row = drawn ? drawn[j] : (u32)j;
            double sum = shares ? shares[j] : 1.0;
            for (i64 next = j + 1; drawn && next < size && drawn[next] == row; ++next) sum += shares[next];
            rows[before + place] = row;
            sums[before + place] = sum;
        }
        before += total;
    }
    if (threadIdx.x == 0) count[0] = before;
}

// x[n][d] -> shifted[count][d], the rows of the coreset in scale, less row center[0]; and their squared norms. Some lanes of a
// warp a row.
template <class S>
__global__ void shift_rows(const S* x, const u32* rows, const Walk* walk, const i64* center,
                           typename Computed<S>::Number* shifted, typename Computed<S>::Number* norms, i64 count, i64 d) {
    typedef typename Computed<S>::Number T;
    const T scale = scale_of<T>(&walk->range);
    const S* origin = x + center[0] * d;
    const int width = lanes_for<T>(d), side = blockDim.x / width, lane = threadIdx.x & (width - 1);
    for (i64 first = (i64)blockIdx.x * side; first < count; first += (i64)gridDim.x * side) {
        const i64 i = first + threadIdx.x / width;
        T sum = T(0);
        for (i64 j = lane; i < count && j < d; j += width) {
            T value = load(x[(i64)rows[i] * d + j]) * scale - load(origin[j]) * scale;
            shifted[i * d + j] = value;
            sum = fused(value, value, sum);
        }
        for (int half = width / 2; half > 0; half /= 2) sum += __shfl_xor_sync(FULL, sum, half);
        if (i < count && lane == 0) norms[i] = sum;
    }
}

// --- Greedy steps ------------------------------------------------------------------------------------------------------------

// Candidates that are measured ahead of their use, in device memory; the rows of a pool are those of the coreset.
struct Pool {
    i64 next;    // the first that has not had its turn
    i64 held;    // how many there are
    i64 fresh;   // whether they have to be measured
    i64 row;     // the candidate that was taken
    i64 column;  // and its number in the pool
};

// first[0] -> a pool of this row alone, which has had its turn; indices[0] is its number among all rows. One thread.
__global__ void begin_pool(Pool* pool, const i64* first, const u32* rows, u32* pooled, i64* indices) {
    if (thread_in_grid() > 0) return;
    pooled[0] = (u32)first[0];
    indices[0] = rows[first[0]];
    *pool = {1, 1, 1, first[0], 0};
}

// Gives candidates[trials], numbers in the pool, to the next step. One in the pool is accepted with the probability of its bound
// now over that when it was drawn; when the pool is used up, it is filled again, by the accepted ones first. Adds up the sums of
// the blocks before. One block of 16 warps, one a draw; pooled[size], limits[size], rows in kept[trials].
template <class T>
__global__ void __launch_bounds__(512)
    next_candidates(T* bound, double* groups, double* blocks, double* prefix, const double* weights, Walk* walk, Pool* pool,
                    u32* pooled, double* limits, u32* candidates, u32* kept, i64 seed, i64 draw, i64 accept, i64 m,
                    i64 trials, i64 size) {
    __shared__ i64 taken, next;
    const Envelope<T> envelope = {bound, groups, blocks, prefix, weights};
    const double total = add_up(blocks, prefix, (m + BLOCK_ROWS - 1) / BLOCK_ROWS);
    if (threadIdx.x == 0) {
        walk->total = total;
        pool->fresh = 0;
        taken = 0;
        next = pool->next;
    }
    if (!(total > 0.0)) return;
    i64 held = pool->held, proposals = walk->proposals;
    bool fresh = false;
    __syncthreads();
    while (true) {
        if (warp_of() == 0) {
            i64 found = taken, at = next;
            while (found < trials && at < held) {
                u32 row = at + lane_of() < held ? pooled[at + lane_of()] : 0;
                bool yes = at + lane_of() < held && (double)bound[row] > limits[at + lane_of()];
                u32 all = __ballot_sync(FULL, yes);
                i64 rank = found + __popc(all & ((1u << lane_of()) - 1));
                if (yes && rank < trials) {
                    candidates[rank] = (u32)(at + lane_of());
                    kept[rank] = row;
                }
                u32 last = __ballot_sync(FULL, yes && rank == trials - 1);
                at = last ? at + __ffs((int)last) : min(at + WARP, held);
                found = min(found + __popc(all), trials);
            }
            __syncwarp();
            if (lane_of() == 0) {
                taken = found;
                next = at;
            }
        }
        __syncthreads();
        const i64 known = taken;
        if (known == trials) break;
        for (i64 t = threadIdx.x; t < known; t += blockDim.x) {
            pooled[t] = kept[t];
            candidates[t] = (u32)t;
        }
        for (i64 t = known + warp_of(); t < size; t += warps_of_block()) {
            u64 number = (u64)(proposals + t - known);
            i64 row = row_at(envelope, m, total, random_uniform((u64)seed, (u64)draw, number));
            if (lane_of() > 0) continue;
            pooled[t] = (u32)row;
            limits[t] = random_uniform((u64)seed, (u64)accept, number) * (double)bound[row];
        }
        proposals += size - known;
        held = size;
        fresh = true;
        if (threadIdx.x == 0) next = known;
        __syncthreads();
    }
    if (threadIdx.x > 0) return;
    walk->proposals = proposals;
    pool->next = next;
    pool->held = held;
    pool->fresh = fresh;
}

#define SIDE 64   // rows and candidates of a tile
#define DEEP 16   // coordinates that are held at a time
#define APART 16  // of the four rows, and of the four candidates, of a thread

// shifted[m][d], norms[m] -> distances[size][m] to the rows in the pool, 0 below the rounding error of this form; nothing unless
// the pool is fresh. A block of 256 threads takes tiles of 64 by 64; coordinates are added in order.
template <class T>
__global__ void __launch_bounds__(256, 2)
    measure_pool(const T* shifted, const T* norms, const Pool* pool, const u32* pooled, T* distances, i64 m, i64 d,
                 double slack) {
    __shared__ T rows[DEEP][SIDE + 1];
    __shared__ T columns[DEEP][SIDE + 1];
    if (!pool->fresh) return;
    const i64 held = pool->held, across = (held + SIDE - 1) / SIDE, tiles = (m + SIDE - 1) / SIDE * across;
    const int mine = threadIdx.x % APART, other = threadIdx.x / APART;
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const i64 top = tile / across * SIDE, left = tile % across * SIDE;
        T sum[4][4] = {};
        for (i64 first = 0; first < d; first += DEEP) {
            __syncthreads();
            for (int e = threadIdx.x; e < SIDE * DEEP; e += blockDim.x) {
                const int r = e / DEEP, j = e % DEEP;
                bool here = first + j < d;
                rows[j][r] = here && top + r < m ? shifted[(top + r) * d + first + j] : T(0);
                columns[j][r] = here && left + r < held ? shifted[(i64)pooled[left + r] * d + first + j] : T(0);
            }
            __syncthreads();
#pragma unroll
            for (int j = 0; j < DEEP; ++j)
#pragma unroll
                for (int a = 0; a < 4; ++a)
#pragma unroll
                    for (int b = 0; b < 4; ++b)
                        sum[a][b] = fused(rows[j][mine + APART * a], columns[j][other + APART * b], sum[a][b]);
        }
#pragma unroll
        for (int b = 0; b < 4; ++b) {
            const i64 column = left + other + APART * b;
            if (column >= held) continue;
            const T square = norms[pooled[column]];
#pragma unroll
            for (int a = 0; a < 4; ++a) {
                const i64 row = top + mine + APART * a;
                if (row >= m) continue;
                T both = norms[row] + square, value = both - (sum[a][b] + sum[a][b]);
                distances[column * m + row] = value > both * (T)slack ? value : T(0);
            }
        }
    }
}

#define EIGHT 8  // sums that are kept apart, as on the host

// What each candidate would take off the potential: gains[ceil(m / 64 lanes)][trials], in parts of as many rows as the host's.
// Eight threads a part; one read of the bounds and of the distances to each candidate.
template <class T>
__global__ void candidate_gains(const T* bound, const double* weights, const T* distances, const Walk* walk,
                                const u32* candidates, double* gains, i64 m, i64 trials) {
    const i64 part = 64 * Lanes<T>::COUNT, parts = (m + part - 1) / part, items = parts * trials;
    const int lane = threadIdx.x % EIGHT;
    if (!(walk->total > 0.0)) return;
    const i64 step = threads_in_grid() / EIGHT, warp_first = thread_in_grid() / WARP * (WARP / EIGHT);
    for (i64 first = warp_first; first < items; first += step) {
        const i64 item = first + lane_of() / EIGHT, start = item / trials * part;
        const i64 end = item < items ? min(start + part, m) : start;
        const T* column = item < items ? distances + (i64)candidates[item % trials] * m : distances;
        double sum = 0.0;
#pragma unroll 4
        for (i64 i = start + lane; i < end; i += EIGHT) {
            T drop = bound[i] - column[i];
            sum += weights[i] * (double)(drop > T(0) ? drop : T(0));
        }
        for (int half = EIGHT / 2; half > 0; half /= 2) sum += __shfl_xor_sync(FULL, sum, half);
        if (item < items && lane == 0) gains[item] = sum;
    }
}

// gains[parts][trials] -> the candidate with the lowest potential, the first among equals: indices[count], and noted in the pool.
// A candidate's own distance is left out of its gain, because it stands for its row alone. One block of 256 threads.
template <class T>
__global__ void take_candidate(const T* bound, const double* weights, Walk* walk, Pool* pool, const u32* candidates,
                               const u32* kept, const double* gains, double* losses, const u32* rows, i64* indices,
                               i64 parts, i64 trials) {
    if (!(walk->total > 0.0)) return;
    for (i64 t = threadIdx.x; t < trials; t += blockDim.x) {
        double gain = 0.0;
#pragma unroll 8
        for (i64 part = 0; part < parts; ++part) gain += gains[part * trials + t];
        losses[t] = weights[kept[t]] * (double)bound[kept[t]] - gain;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    i64 best = 0;
    for (i64 t = 1; t < trials; ++t) best = losses[t] < losses[best] ? t : best;
    pool->row = kept[best];
    pool->column = candidates[best];
    indices[walk->count++] = rows[kept[best]];
}

// Lowers bound[m] to the distances to the candidate that was taken, that of its own row to zero, or gives the first bounds
// (`first`); and makes the sums of groups and blocks anew. One block of 256 threads for 1024 rows.
template <class T>
__global__ void lower_to_candidate(T* bound, double* groups, double* blocks, const double* weights, const Walk* walk,
                                   const Pool* pool, const T* distances, i64 m, i64 first) {
    __shared__ double mass[GROUPS * (GROUP + 1)];
    if (!first && !(walk->total > 0.0)) return;
    const Envelope<T> envelope = {bound, groups, blocks, nullptr, weights};
    const T* column = distances + pool->column * m;
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < m; block += gridDim.x) {
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            const i64 i = block * BLOCK_ROWS + r;
            T value = T(0);
            if (i < m) {
                value = first || column[i] < bound[i] ? column[i] : bound[i];
                if (!first && i == pool->row) value = T(0);
                bound[i] = value;
            }
            mass[r + r / GROUP] = i < m ? weights[i] * (double)value : 0.0;
        }
        sum_rows(envelope, mass, block, m);
        __syncthreads();
    }
}
