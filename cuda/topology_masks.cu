// The kernels of `argrad.topology` that count in masks and at thresholds: cells (euler.rs) and components (components.rs).
//
// Images have three axes, those of size 1 first.
#include "block.cuh"

#define SHARED_LEVELS 4096  // thresholds that a block counts for in shared memory

struct Grid {
    i64 planes, rows, columns;
    __device__ __forceinline__ i64 size() const { return planes * rows * columns; }
    __device__ __forceinline__ bool has(i64 i, i64 j, i64 k) const {
        return i >= 0 && j >= 0 && k >= 0 && i < planes && j < rows && k < columns;
    }
    __device__ __forceinline__ i64 at(i64 i, i64 j, i64 k) const { return (i * rows + j) * columns + k; }
};

// Of the corners c of a cube, bits of the three axes, those within the axes m.
__device__ __forceinline__ u32 corners_of(u32 m) {
    u32 found = 0;
#pragma unroll
    for (u32 c = 0; c < 8; ++c) found |= (u32)((c & ~m) == 0) << c;
    return found;
}

// The sign of the cells along the axes m, or, in the T-construction, of those that the axes m are points of.
__device__ __forceinline__ i32 sign_of(u32 m, bool full) { return ((__popc(m) & 1) != 0) != full ? -1 : 1; }

// mask[images][planes][rows][columns] of zeros and others -> counts[images] += the signed number of cells. `full`: a cell is
// there if a voxel at it is, otherwise if all its voxels are. One block a part of an image; 8 reads a voxel.
__global__ void count_cells(const u8* mask, i64* counts, i64 images, i64 planes, i64 rows, i64 columns, i64 full) {
    const Grid grid = {planes, rows, columns};
    const i64 n = (planes + full) * (rows + full) * (columns + full), parts = gridDim.x / images;
    const i64 image = blockIdx.x / parts;
    if (image >= images) return;
    i64 total = 0;
    for (i64 p = blockIdx.x % parts * blockDim.x + threadIdx.x; p < n; p += parts * blockDim.x) {
        i64 k = p % (columns + full), j = p / (columns + full) % (rows + full), i = p / (columns + full) / (rows + full);
        i64 step = full ? -1 : 1;
        u32 there = 0;
#pragma unroll
        for (u32 c = 0; c < 8; ++c) {
            i64 a = i + step * (c >> 2), b = j + step * (c >> 1 & 1), d = k + step * (c & 1);
            there |= (u32)(grid.has(a, b, d) && mask[image * grid.size() + grid.at(a, b, d)]) << c;
        }
#pragma unroll
        for (u32 m = 0; m < 8; ++m) {
            u32 all = corners_of(m);
            if (full ? (there & all) != 0 : (there & all) == all) total += sign_of(m, full);
        }
    }
    total = block_reduce(total, Sum());
    if (threadIdx.x == 0 && total) atomicAdd((u64*)&counts[image], (u64)total);
}

// levels[first ..] = count <= 8 of the numbers. One thread.
__global__ void write_levels(double* levels, i64 first, i64 count, double a, double b, double c, double d, double e,
                             double f, double g, double h) {
    double numbers[8] = {a, b, c, d, e, f, g, h};
#pragma unroll
    for (int i = 0; i < 8; ++i)
        if (i < count) levels[first + i] = numbers[i];
}

// How many of the rising levels are below x; of those and NaN, all.
__device__ __forceinline__ u32 level_of(const double* levels, i64 count, double x) {
    i64 low = 0, high = count;
    while (low < high) {
        i64 middle = (low + high) / 2;
        if (levels[middle] >= x) high = middle; else low = middle + 1;
    }
    return (u32)low;
}

// x[total] -> bins[total]: how many of levels[count], rising, are below each number. One thread a number.
template <class S>
__global__ void find_levels(const S* x, const double* levels, u32* bins, i64 total, i64 count) {
    for (i64 i = thread_in_grid(); i < total; i += threads_in_grid())
        bins[i] = level_of(levels, count, (double)load(x[i]));
}

// bins[images][planes][rows][columns] -> counts[images][levels + 1] += the signed number of cells that come at each level: with
// the last of their voxels, or, if `full`, with the first voxel at them. One block a part of an image.
__global__ void count_cells_by_level(const u32* bins, i64* counts, i64 images, i64 planes, i64 rows, i64 columns,
                                     i64 levels, i64 full) {
    DYNAMIC_SHARED(memory);
    i32* found = (i32*)memory;
    const Grid grid = {planes, rows, columns};
    const i64 n = (planes + full) * (rows + full) * (columns + full), parts = gridDim.x / images;
    const i64 image = blockIdx.x / parts;
    if (image >= images) return;
    const bool shared = levels < SHARED_LEVELS;
    for (i64 i = threadIdx.x; shared && i <= levels; i += blockDim.x) found[i] = 0;
    __syncthreads();
    for (i64 p = blockIdx.x % parts * blockDim.x + threadIdx.x; p < n; p += parts * blockDim.x) {
        i64 k = p % (columns + full), j = p / (columns + full) % (rows + full), i = p / (columns + full) / (rows + full);
        i64 step = full ? -1 : 1;
        u32 bin[8];  // of a corner; then of the cell along the axes
#pragma unroll
        for (u32 c = 0; c < 8; ++c) {
            i64 a = i + step * (c >> 2), b = j + step * (c >> 1 & 1), d = k + step * (c & 1);
            bin[c] = grid.has(a, b, d) ? bins[image * grid.size() + grid.at(a, b, d)] : (u32)levels;
        }
#pragma unroll
        for (u32 axis = 1; axis < 8; axis *= 2)
#pragma unroll
            for (u32 m = 0; m < 8; ++m)
                if (m & axis) bin[m] = full ? min(bin[m], bin[m - axis]) : max(bin[m], bin[m - axis]);
#pragma unroll
        for (u32 m = 0; m < 8; ++m) {
            if (shared) {
                atomicAdd(&found[bin[m]], sign_of(m, full));
            } else {
                atomicAdd((u64*)&counts[image * (levels + 1) + bin[m]], (u64)(i64)sign_of(m, full));
            }
        }
    }
    __syncthreads();
    for (i64 i = threadIdx.x; shared && i <= levels; i += blockDim.x)
        if (found[i]) atomicAdd((u64*)&counts[image * (levels + 1) + i], (u64)(i64)found[i]);
}

// Scanned counts[images][levels + 1], the rising levels and those asked for -> curves[images][levels]. One thread a number.
__global__ void read_levels(const i64* counts, const double* rising, const double* asked, i64* curves, i64 images,
                            i64 levels) {
    for (i64 at = thread_in_grid(); at < images * levels; at += threads_in_grid()) {
        double level = asked[at % levels];
        i64 low = 0, high = levels;  // how many are at most this
        while (low < high) {
            i64 middle = (low + high) / 2;
            if (rising[middle] <= level) low = middle + 1; else high = middle;
        }
        curves[at] = counts[at / levels * (levels + 1) + low];
    }
}

// The root of a voxel's component; voxels on the way are told of one further on, as any number of threads may do.
__device__ __forceinline__ u32 root_of(volatile u32* parents, u32 p) {
    for (;;) {
        u32 next = parents[p];
        if (next == p) return p;
        u32 further = parents[next];
        if (further == next) return next;
        parents[p] = further;
        p = further;
    }
}

// Makes two components one: the larger root points to the smaller. No thread waits: who fails sees another's union.
__device__ __forceinline__ void unite(u32* parents, u32 a, u32 b) {
    for (;;) {
        a = root_of(parents, a);
        b = root_of(parents, b);
        if (a == b) return;
        u32 low = min(a, b), high = max(a, b);
        if (atomicCAS(&parents[high], high, low) == high) return;
    }
}

// parents[images][n + 1] = each voxel the first of its warp's run in the row, which spares most unions; number n is all that is
// around the image. One thread a voxel.
__global__ void begin_components(const u8* mask, u32* parents, i64 images, i64 n, i64 columns, i64 background) {
    for (i64 base = (i64)blockIdx.x * blockDim.x; base < images * n; base += threads_in_grid()) {
        i64 at = base + threadIdx.x, p = at % n;
        bool there = at < images * n && (mask[at] != 0) != (background != 0);
        u32 all = __ballot_sync(FULL, there), inner = __ballot_sync(FULL, p % columns != 0);
        u32 joined = all & all << 1 & inner;  // to the voxel before
        if (at < images * n) {
            int first = 31 - __clz(~joined & ((2u << lane_of()) - 1));  // the first lane always begins a run
            parents[at / n * (n + 1) + p] = (u32)(p - (lane_of() - first));
            if (p == 0) parents[at / n * (n + 1) + n] = (u32)n;
        }
    }
}

// Unites voxels of the mask (or of the background, then with what is around as well) with neighbors before them: through faces,
// or, if `full`, through corners as well. parents as above. One thread a voxel.
__global__ void unite_voxels(const u8* mask, u32* parents, i64 images, i64 planes, i64 rows, i64 columns, i64 full,
                             i64 background) {
    const Grid grid = {planes, rows, columns};
    const i64 n = grid.size();
    for (i64 at = thread_in_grid(); at < images * n; at += threads_in_grid()) {
        if ((mask[at] != 0) == (background != 0)) continue;
        i64 image = at / n, p = at % n, k = p % columns, j = p / columns % rows, i = p / columns / rows;
        u32* own = parents + image * (n + 1);
        for (int step = 0; step < 13; ++step) {  // the 27 neighbors in order, up to the voxel itself
            i64 a = i + step / 9 - 1, b = j + step / 3 % 3 - 1, c = k + step % 3 - 1;
            bool face = step == 4 || step == 10 || step == 12;
            if ((!full && !face) || !grid.has(a, b, c)) continue;
            i64 other = grid.at(a, b, c);
            if ((mask[image * n + other] != 0) != (background != 0)) unite(own, (u32)p, (u32)other);
        }
        bool border = i == 0 || j == 0 || k == 0 || i + 1 == planes || j + 1 == rows || k + 1 == columns;
        if (background && border) unite(own, (u32)p, (u32)n);
    }
}

// counts[images] += the roots among the voxels that are there, and around the background. One block a part of an image.
__global__ void count_roots(const u8* mask, const u32* parents, i64* counts, i64 images, i64 n, i64 background) {
    const i64 parts = gridDim.x / images, image = blockIdx.x / parts;
    if (image >= images) return;
    i64 total = 0;
    for (i64 p = blockIdx.x % parts * blockDim.x + threadIdx.x; p <= n; p += parts * blockDim.x) {
        bool there = p < n ? (mask[image * n + p] != 0) != (background != 0) : background != 0;
        total += there && parents[image * (n + 1) + p] == p;
    }
    total = block_reduce(total, Sum());
    if (threadIdx.x == 0 && total) atomicAdd((u64*)&counts[image], (u64)total);
}
