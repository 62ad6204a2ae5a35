// The kernels of `argrad.seeding.kmeans_plusplus`: batched envelope rejection, as rust/core/src/seeding/exact.rs. The host
// launches a fixed schedule for each batch; how much a kernel does, if anything, is read from the state in device memory.
#include "envelope.cuh"

// --- The envelope of one centre ------------------------------------------------------------------------------------------

// weights[n] -> the sums of an envelope of ones; `bad` is set where a weight is negative or not finite. One block of 256 threads
// for 1024 rows; one read of the weights.
__global__ void sum_weights(const double* weights, double* groups, double* blocks, Walk* walk, i64 n) {
    __shared__ double mass[GROUPS * (GROUP + 1)];
    Envelope<float> envelope = {nullptr, groups, blocks, nullptr, weights};
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < n; block += gridDim.x) {
        for (int r = threadIdx.x; r < BLOCK_ROWS; r += blockDim.x) {
            i64 i = block * BLOCK_ROWS + r;
            double weight = i < n ? weights[i] : 0.0;
            if (!(weight >= 0.0 && weight < infinity<double>())) atomicOr(&walk->range.bad, 1u);
            mass[r + r / GROUP] = weight;
        }
        sum_rows(envelope, mass, block, n);
        __syncthreads();
    }
}

// x[n][d], the last of indices[] -> bound[n], its distances to it or what was there before where that is less (`lower`), and
// their sums by groups and blocks. `pass`: 0 measures in the scale one; 1 does nothing unless that was out of range, and marks
// what is not finite; 2 is a later centre. One block of 256 threads for 1024 rows; one read of x.
template <class S>
__global__ void envelope_rows(const S* x, typename Computed<S>::Number* bound, double* groups, double* blocks,
                              const double* weights, Walk* walk, const i64* indices, i64 n, i64 d, i64 pass) {
    typedef typename Computed<S>::Number T;
    __shared__ double mass[GROUPS * (GROUP + 1)];
    if (pass == 1 && !out_of_range<T>(&walk->range)) return;
    if (pass == 2 && !(walk->total > 0.0)) return;
    Envelope<T> envelope = {bound, groups, blocks, nullptr, weights};
    const T scale = pass == 0 ? T(1) : scale_of<T>(&walk->range);
    const S* center = x + indices[walk->count - 1] * d;
    const int width = lanes_for<T>(d), side = blockDim.x / width, mine = threadIdx.x / width;
    const bool writes = (threadIdx.x & (width - 1)) == 0;
    u64 worst = 0;
    u32 open = 0;
    for (i64 block = blockIdx.x; block * BLOCK_ROWS < n; block += gridDim.x) {
        for (int r = mine; r < BLOCK_ROWS; r += side) {
            i64 i = block * BLOCK_ROWS + r;
            T square = canon_of_lanes(i < n ? x + i * d : nullptr, center, d, scale, width);
            if (!writes) continue;
            if (i < n) {
                if (pass == 2) square = bound[i] < square ? bound[i] : square;
                bound[i] = square;
                open |= !is_finite(square);
                u64 bits = is_finite(square) ? bits_of((double)square) : 0;
                worst = worst < bits ? bits : worst;
            }
            mass[r + r / GROUP] = i < n ? (weights ? weights[i] * (double)square : (double)square) : 0.0;
        }
        sum_rows(envelope, mass, block, n);
        __syncthreads();
    }
    if (pass == 0) {
        worst = warp_reduce(worst, Largest());
        if (lane_of() == 0) atomicMax(&walk->range.worst, worst);
    }
    if (open && pass == 0) atomicOr(&walk->range.open, 1u);
    if (open && pass == 1) atomicOr(&walk->range.bad, 1u);
}

// blocks[count] -> prefix[count + 1] and the total; then the batch at hand is over. Nothing after a batch (`batch`) whose bounds
// are those before it. One block of 256 threads.
__global__ void sum_prefix(const double* blocks, double* prefix, Walk* walk, i64 count, i64 batch) {
    if (batch && walk->processed == 0 && !walk->refresh) return;
    const double total = add_up(blocks, prefix, count);
    if (threadIdx.x > 0) return;
    walk->total = total;
    if (walk->first_total < 0.0) walk->first_total = total;
    if (!walk->refresh) return;
    walk->refresh = 0;
    walk->refreshed = walk->count;
    walk->refreshes += 1;
    walk->wasted = 0;
    for (int i = 0; i < 3; ++i) walk->recent[i][0] = walk->recent[i][1] = 0;
}

// -> indices[0], in proportion to the weights, whose sums `sum_weights` has made; all equal where there are none. One warp.
__global__ void first_center(double* groups, double* blocks, double* prefix, const double* weights, Walk* walk,
                             i64* indices, i64 seed, i64 stream, i64 n) {
    double uniform = random_uniform((u64)seed, (u64)stream, 0);
    i64 row = row_by_weight({nullptr, groups, blocks, prefix, weights}, n, uniform);
    if (threadIdx.x > 0) return;
    // Weights without a positive, finite sum are none.
    if (weights && !(walk->total > 0.0 && walk->total < infinity<double>())) walk->range.bad = 1;
    indices[0] = row;
    walk->count = walk->refreshed = 1;
    walk->first_total = -1.0;  // the next total is it
    walk->refresh = 0;
}

// Another centre, drawn in proportion to the envelope: indices[count]. One warp.
template <class T>
__global__ void draw_center(T* bound, double* groups, double* blocks, double* prefix, const double* weights, Walk* walk,
                            i64* indices, i64 seed, i64 stream, i64 n) {
    if (!(walk->total > 0.0)) return;
    double uniform = random_uniform((u64)seed, (u64)stream, (u64)walk->proposals);
    i64 row = row_at(Envelope<T>{bound, groups, blocks, prefix, weights}, n, walk->total, uniform);
    if (threadIdx.x > 0) return;
    indices[walk->count++] = row;
    walk->proposals += 1;
}

// --- A batch -----------------------------------------------------------------------------------------------------------

// rows[MOST_PROPOSALS], their limits (uniform times bound), and alive[] = all of them. One warp a proposal.
template <class T>
__global__ void propose(T* bound, double* groups, double* blocks, double* prefix, const double* weights, Walk* walk,
                        u32* rows, double* limits, u32* alive, i64 seed, i64 stream, i64 accept, i64 n, i64 k) {
    const int size = batch_size(walk, k);
    const Envelope<T> envelope = {bound, groups, blocks, prefix, weights};
    if (thread_in_grid() == 0) walk->alive = size;
    for (i64 t = thread_in_grid() / WARP; t < size; t += threads_in_grid() / WARP) {
        u64 number = (u64)(walk->proposals + t);
        i64 row = row_at(envelope, n, walk->total, random_uniform((u64)seed, (u64)stream, number));
        if (lane_of() > 0) continue;
        rows[t] = (u32)row;
        limits[t] = random_uniform((u64)seed, (u64)accept, number) * (double)bound[row];
        alive[t] = (u32)t;
    }
}

// The proposals that are alive against the centres of a stage -> squares[SPLITS][MOST_PROPOSALS], the least of each split.
// TILE_THREADS threads; a block takes tiles of proposals and splits one after the other.
template <class S>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    score(const S* x, const Walk* walk, const i64* indices, const u32* rows, const u32* alive,
          typename Computed<S>::Number* squares, i64 d, i64 stage) {
    typedef typename Computed<S>::Number T;
    __shared__ Panels<T> panels;
    const Stage looked = stage_of(walk, stage);
    const i64 width = TILE * tiles_of_split(looked), count = walk->alive;
    const T scale = scale_of<T>(&walk->range);
    for (i64 item = blockIdx.x; item < (count + TILE - 1) / TILE * SPLITS; item += gridDim.x) {
        const i64 tile = item / SPLITS * TILE, split = item % SPLITS, start = looked.start + width * split;
        if (start >= looked.end) continue;
        auto row_at = [&](int r) { return tile + r < count ? x + (i64)rows[alive[tile + r]] * d : nullptr; };
        auto center_at = [&](i64 c) { return x + indices[c] * d; };
        i64 end = min(start + width, looked.end);
        Nearest<T> best = nearest_of_tile(panels, row_at, center_at, start, end, d, scale);
        if (threadIdx.x < TILE) squares[split * MOST_PROPOSALS + tile + threadIdx.x] = best.square;
    }
}

// After a stage: rejected proposals get near[] and spent[] and leave alive[], whose order stays. One block of 256 threads.
template <class T>
__global__ void settle(Walk* walk, const T* squares, const double* limits, u32* alive, T* near, i64* spent, i64 stage) {
    const int items = MOST_PROPOSALS / 256;
    const Stage looked = stage_of(walk, stage);
    const i64 count = walk->alive, first = (i64)threadIdx.x * items;
    if (looked.start >= looked.end || count == 0) return;
    u32 kept[items], total = 0;
#pragma unroll
    for (int e = 0; e < items; ++e) {
        kept[e] = MOST_PROPOSALS;
        if (first + e >= count) continue;
        u32 t = alive[first + e];
        T least = least_of_splits(squares, looked, first + e);
        bool keeps = !((double)least <= limits[t]);
        near[t] = keeps ? infinity<T>() : least;
        spent[t] = keeps ? 0 : walk->count - looked.start;
        if (keeps) kept[e] = t;
        total += keeps;
    }
    u32 at = block_scan(total, total);
    __syncthreads();
#pragma unroll
    for (int e = 0; e < items; ++e)
        if (kept[e] < MOST_PROPOSALS) alive[at++] = kept[e];
    if (threadIdx.x == 0) walk->alive = total;
}

// Which survivor a, once accepted, rejects which later survivor b: bit a of row b of bits[MOST_PROPOSALS][WORDS], from the
// diagonal down. TILE_THREADS threads; a block takes tiles of the triangle one after the other.
template <class S>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    hits(const S* x, const Walk* walk, const u32* rows, const double* limits, const u32* alive, u32* bits, i64 d) {
    typedef typename Computed<S>::Number T;
    __shared__ Panels<T> panels;
    __shared__ u32 word[TILE];
    const T scale = scale_of<T>(&walk->range);
    const Seat me = seat();
    const int count = (int)walk->alive, tiles = (count + TILE - 1) / TILE;
    int later = 0, left = blockIdx.x;  // the tile's rows and columns
    for (int item = blockIdx.x; item < tiles * (tiles + 1) / 2; item += gridDim.x, left += gridDim.x) {
        while (left > later) left -= ++later;
        const int a = left * TILE, b = later * TILE;
        if (threadIdx.x < TILE) word[threadIdx.x] = 0;
        auto row_at = [&](int r) { return b + r < count ? x + (i64)rows[alive[b + r]] * d : nullptr; };
        auto center_at = [&](int r) { return a + r < count ? x + (i64)rows[alive[a + r]] * d : nullptr; };
        T square[4];
        tile_distances(panels, row_at, center_at, d, scale, square);
        const int row = b + me.row + 8 * me.quarter;
        u32 found = 0;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            int column = me.center + 8 * j;
            if (a + column < row && row < count && (double)square[j] <= limits[alive[row]]) found |= 1u << column;
        }
        if (found) atomicOr(&word[row - b], found);
        __syncthreads();
        if (threadIdx.x < TILE && b + threadIdx.x < count) bits[(b + threadIdx.x) * WORDS + left] = word[threadIdx.x];
        __syncthreads();
    }
}

// Goes through the survivors in order, 32 at a time, and accepts those that no accepted one before them rejects: bits of
// accepted[WORDS], in shared memory. All threads of the block call.
__device__ void accept_in_order(const u32* bits, int count, u32* accepted) {
    __shared__ u32 open[WARP];
    const int lane = lane_of();
    for (int word = 0; word * 32 < count; ++word) {
        for (int j = warp_of(); j < 32; j += warps_of_block()) {
            int b = word * 32 + j;
            u32 hit = b < count && lane < word ? bits[b * WORDS + lane] & accepted[lane] : 0;
            if (b < count && lane + 32 < word) hit |= bits[b * WORDS + lane + 32] & accepted[lane + 32];
            u32 any = __ballot_sync(FULL, hit != 0);
            if (lane == 0) open[j] = b < count && !any;
        }
        __syncthreads();
        if (warp_of() == 0) {
            // Each survivor is decided once all that could reject it are: in every round at least the first undecided one.
            u32 rejectors = word * 32 + lane < count ? bits[(word * 32 + lane) * WORDS + word] : 0, yes = 0;
            u32 undecided = __ballot_sync(FULL, open[lane] != 0);
            while (undecided) {
                bool mine = undecided >> lane & 1, rejected = mine && (rejectors & yes);
                bool accept = mine && !rejected && !(rejectors & undecided);
                u32 now = __ballot_sync(FULL, accept);
                undecided &= ~(now | __ballot_sync(FULL, rejected));
                yes |= now;
            }
            if (lane == 0) accepted[word] = yes;
        }
        __syncthreads();
    }
}

// Whether the bounds of all rows are due to be brought up to date: after `every` centres, for 0 never, below 0 by ski-rental;
// and whenever many proposals in a row were rejected.
__device__ bool refresh_is_due(const Walk* walk, i64 n, i64 k, i64 every) {
    const i64 fresh = walk->count - walk->refreshed, looked = walk->recent[0][0], added = walk->recent[0][1];
    if (walk->count >= k || fresh == 0) return false;
    if (added == 0 && walk->failures >= 1024) return true;
    if (every >= 0) return every > 0 && fresh >= every;
    return walk->wasted > n * fresh / 2 || (rate_of(walk) > 64.0 && looked >= 1024);
}

// The first proposal that is the `most`th in a row to be rejected, MOST_PROPOSALS where there is none; `taken` are the accepted
// ones. All threads of the block call.
__device__ int hopeless_at(const u32* taken, int size, i64 failures, i64 most) {
    __shared__ int found;
    if (threadIdx.x == 0) found = MOST_PROPOSALS;
    __syncthreads();
    for (int t = threadIdx.x; t < size; t += blockDim.x) {
        int word = t / 32;
        if (taken[word] >> (t % 32) & 1) continue;
        u32 before = taken[word] & ((1u << (t % 32)) - 1);
        while (!before && word > 0) before = taken[--word];
        i64 rejected = before ? t - (word * 32 + 31 - __clz((int)before)) : failures + t + 1;
        if (rejected == most) atomicMin(&found, t);
    }
    __syncthreads();
    return found;
}

// Accepts survivors, appends the centres to indices[], up to k, and counts. After `most` rejections in a row, unless that is 0,
// the batch ends and calls for a uniform row. Where no bounds are lowered after it (`lowers`), no sums are made anew. One block
// of 256 threads.
__global__ void resolve(Walk* walk, const u32* rows, const u32* alive, const i64* spent, const u32* bits, i64* indices,
                        i64 n, i64 k, i64 every, i64 most, i64 lowers) {
    __shared__ u32 accepted[WORDS];  // by survivor
    __shared__ u32 taken[WORDS];     // by proposal
    __shared__ int cut, newest;
    const int size = batch_size(walk, k), count = (int)walk->alive;
    for (int i = threadIdx.x; i < WORDS; i += blockDim.x) accepted[i] = taken[i] = 0;
    if (threadIdx.x == 0) {
        cut = size;
        newest = -1;
    }
    __syncthreads();
    accept_in_order(bits, count, accepted);
    for (int j = threadIdx.x; j < count; j += blockDim.x)
        if (accepted[j / 32] >> (j % 32) & 1) atomicOr(&taken[alive[j] / 32], 1u << (alive[j] % 32));
    __syncthreads();
    const i64 before = walk->count, missing = k - before;
    const int last = most > 0 ? hopeless_at(taken, size, walk->failures, most) : MOST_PROPOSALS;
    for (int t = threadIdx.x; t < size && t < last; t += blockDim.x) {
        if (!(taken[t / 32] >> (t % 32) & 1)) continue;
        int rank = __popc(taken[t / 32] & ((1u << (t % 32)) - 1));
        for (int word = 0; word < t / 32; ++word) rank += __popc(taken[word]);
        if (rank >= missing) continue;
        indices[before + rank] = rows[t];
        atomicMax(&newest, t);
        if (rank == missing - 1) cut = t + 1;  // what comes after it was not looked at
    }
    __syncthreads();
    const int seen = min(cut, last + 1);
    i64 waste = 0;
    u32 added = 0;
    for (int t = threadIdx.x; t < seen; t += blockDim.x) {
        waste += spent[t];
        added += taken[t / 32] >> (t % 32) & 1;
    }
    waste = block_reduce(waste, Sum());
    added = block_reduce(added, Sum());
    if (threadIdx.x > 0) return;
    const bool gave_up = last < cut;
    walk->before = before;
    walk->count = before + added;
    walk->processed = lowers ? seen : 0;
    walk->gave_up = gave_up;
    if (size == 0) return;
    walk->proposals += seen;
    walk->wasted += waste;
    walk->failures = gave_up ? 0 : newest < 0 ? walk->failures + seen : seen - 1 - newest;
    for (int i = 2; i > 0; --i)
        for (int j = 0; j < 2; ++j) walk->recent[i][j] = walk->recent[i - 1][j];
    walk->recent[0][0] = seen;
    walk->recent[0][1] = added + gave_up;
    walk->refresh = refresh_is_due(walk, n, k, every);
}

// The bounds of the rows looked at become the distances that were found: near[] for those that an older centre rejects, what
// the last stage gave for the others. Two threads a proposal.
template <class T>
__global__ void lower(const Walk* walk, T* bound, const u32* rows, const double* limits, const u32* alive, const T* near,
                      const T* squares) {
    typedef typename Computed<T>::Bits Bits;
    const i64 i = thread_in_grid(), place = i - MOST_PROPOSALS;
    if (place >= walk->alive) return;
    i64 t = place < 0 ? i : (i64)alive[place];
    if (t >= walk->processed) return;
    T square = place < 0 ? near[t] : least_of_splits(squares, stage_of(walk, -1), place);
    if (is_finite(square) && (double)square <= limits[t]) atomicMin((Bits*)&bound[rows[t]], bits_of(square));
}

// If a refresh is due, every bound becomes the distance to the nearest centre. TILE_THREADS threads, a tile of rows a block.
template <class S>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    refresh(const S* x, const Walk* walk, typename Computed<S>::Number* bound, const i64* indices, i64 n, i64 d) {
    typedef typename Computed<S>::Number T;
    __shared__ Panels<T> panels;
    if (!walk->refresh) return;
    for (i64 first = (i64)blockIdx.x * TILE; first < n; first += (i64)gridDim.x * TILE) {
        auto row_at = [&](int r) { return first + r < n ? x + (first + r) * d : nullptr; };
        auto center_at = [&](i64 c) { return x + indices[c] * d; };
        T scale = scale_of<T>(&walk->range);
        T square = nearest_of_tile(panels, row_at, center_at, walk->refreshed, walk->count, d, scale).square;
        i64 i = first + threadIdx.x;
        if (threadIdx.x < TILE && i < n && square < bound[i]) bound[i] = square;
    }
}

// Sums the groups of the rows looked at anew, or all after a refresh. One warp a group.
template <class T>
__global__ void sum_groups(const Walk* walk, const T* bound, const double* weights, double* groups, const u32* rows,
                           i64 n) {
    const i64 count = walk->refresh ? (n + GROUP - 1) / GROUP : walk->processed, step = threads_in_grid() / WARP;
    for (i64 item = thread_in_grid() / WARP; item < count; item += step) {
        i64 group = walk->refresh ? item : (i64)rows[item] / GROUP, i = group * GROUP + lane_of();
        double mass = i < n ? (weights ? weights[i] * (double)bound[i] : (double)bound[i]) : 0.0;
        mass = sum_in_order(mass);
        if (lane_of() == 0) groups[group] = mass;
    }
}

// Sums the blocks of the rows looked at anew, or all after a refresh. One warp a block of rows.
__global__ void sum_blocks(const Walk* walk, const double* groups, double* blocks, const u32* rows, i64 n) {
    const i64 all = (n + BLOCK_ROWS - 1) / BLOCK_ROWS, count = walk->refresh ? all : walk->processed;
    for (i64 item = thread_in_grid() / WARP; item < count; item += threads_in_grid() / WARP) {
        i64 block = walk->refresh ? item : (i64)rows[item] / BLOCK_ROWS, group = block * GROUPS + lane_of();
        double sum = sum_in_order(group * GROUP < n ? groups[group] : 0.0);
        if (lane_of() == 0) blocks[block] = sum;
    }
}
