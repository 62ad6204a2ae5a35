// The kernels of `argrad.topology` that list bars: their voxels in the image (image.rs), and their order (mod.rs).
#include "plane.cuh"

#define NOWHERE -1  // the class is alive where the filtration ends
#define OUTSIDE -2  // a voxel of the ring of a constant

// What an option does to the ends of bars; numbers as `frame_keys` has them. d: axes longer than 1.
struct Frame {
    i64 depth, height, width, deep, up, across, ring, full, superlevel, censored, d;

    __device__ __forceinline__ i64 rings() const { return (ring > 0) + full; }
    __device__ __forceinline__ i64 voxels() const { return depth * height * width; }
    // The key of the threshold and that of the ring, in the filtration's order.
    __device__ __forceinline__ u32 end(const u32* constants) const {
        return censored ? (superlevel ? ~constants[0] : constants[0]) : ABSENT;
    }
    __device__ __forceinline__ u32 constant(const u32* constants) const {
        return min(superlevel ? ~constants[1] : constants[1], end(constants));
    }
};

// Everything about bars but their order.
struct Bars {
    Frame frame;
    i64 planes, h, w, n;
    const u32 *keys, *squares, *constants, *numbers;
    const u64 *trees, *lowest;
    const double* exact;
    Links links;
    i64 segments;
    double last, shortest;

    // The voxel of the image that one of the engine's is.
    __device__ __forceinline__ i64 voxel(i64 segment, u32 p) const {
        u32 end = frame.end(constants);
        if (frame.censored && keys[segment * n + p] == (frame.full ? ~end : end)) return NOWHERE;
        i64 i = p / (h * w) - frame.deep * frame.rings(), j = p / w % h - frame.up * frame.rings();
        i64 k = p % w - frame.across * frame.rings();
        if (i >= 0 && i < frame.depth && j >= 0 && j < frame.height && k >= 0 && k < frame.width)
            return (i * frame.height + j) * frame.width + k;
        return frame.ring == 1 ? (i64)(u32)lowest[2 * segment] : OUTSIDE;
    }
    __device__ __forceinline__ double number(i64 segment, i64 voxel) const {
        if (voxel < 0) return voxel == NOWHERE ? last : 0.0;
        i64 at = segment * frame.voxels() + voxel;
        return exact ? exact[at] : (double)of_key(numbers[at]);
    }
    // Birth and death as one number, in the order of both; NEVER if the bar is too short.
    __device__ __forceinline__ u64 pack(i64 segment, i64 birth, i64 death) const {
        if (shortest > 0.0) {
            double length = number(segment, death) - number(segment, birth);
            if ((length < 0.0 ? -length : length) < shortest) return NEVER;
        }
        return (u64)(birth + 2) * (u64)(frame.voxels() + 2) + (u64)(death + 2);
    }
    // The bar of a root and the link where it ends; NEVER if it is empty, or has an end at infinity.
    __device__ __forceinline__ u64 bar(int kind, i64 segment, u32 cell, u32 link) const {
        Cells engine = {keys + segment * n, planes, h, w};
        u32 ends[2] = {engine.voxel_of_node(kind, cell), engine.voxel_of_link(kind, link)};
        u32 values[2] = {engine.keys[ends[0]], engine.keys[ends[1]]};
        if (values[0] == values[1] || (frame.full && (values[0] == 0 || values[1] == 0))) return NEVER;
        i64 of_cell = voxel(segment, ends[0]), of_link = voxel(segment, ends[1]);
        // Vertices are born, squares and cubes die; in the dual it is the other way round.
        bool first = (kind == VERTEX) != (frame.full != 0);
        return first ? pack(segment, of_cell, of_link) : pack(segment, of_link, of_cell);
    }
    // The same of any cell.
    __device__ __forceinline__ u64 bar_of_cell(int kind, i64 segment, u32 cell) const {
        u64 way = trees[(kind * segments + segment) * (n + 1) + cell];
        if (way == NEVER || rank_of(way) == 0) return NEVER;
        return bar(kind, segment, cell, links.ids[links.place(kind, segment, rank_of(way))]);
    }
    // The class that never dies; NEVER where the filtration is empty.
    __device__ __forceinline__ u64 lasting(i64 segment) const {
        u32 low = (u32)(lowest[2 * segment] >> 32), constant = frame.constant(constants);
        bool outside = frame.ring == 2 && constant <= low;
        if (frame.censored && (outside ? constant : low) >= frame.end(constants)) return NEVER;
        u32 place = frame.full ? ~(u32)lowest[2 * segment + 1] : (u32)lowest[2 * segment];
        return pack(segment, outside ? OUTSIDE : (i64)place, NOWHERE);
    }
};

// The bars of `sides` x images segments by rows (segment, degree) of `columns` degrees, of which `wanted` has bits; `match`
// [2 kinds][images][n], unless null, has the second image's cell for cells of the first. Without `starts`: counts[rows][chunks],
// and of matches counts[rows + images x columns][chunks]; with starts[rows + 1] and scanned counts: bars[starts[rows]], and the
// root of each, below 1 bit for those of the top degree; NONE for the class that never dies. Rows list vertices, or other nodes by
// their links. One block a chunk of a row; other shapes as in `join_links` and `frame_keys`.
__global__ void find_bars(const u32* keys, const u32* squares, const u64* trees, const u32* ids, const u32* order,
                          const u32* at_links, const i64* link_starts, const u32* constants, const u32* numbers,
                          const double* exact, const u64* lowest, const u32* match, i64* counts, const i64* starts,
                          u64* bars, u32* cells, i64 images, i64 sides, i64 segments, i64 columns, i64 planes, i64 h,
                          i64 w, i64 depth, i64 height, i64 width, i64 deep, i64 up, i64 across, i64 ring, i64 full, i64 superlevel, i64 censored, i64 d, i64 wanted,
                          i64 essential, double last, double shortest) {
    const Bars all = {{depth, height, width, deep, up, across, ring, full, superlevel, censored, d},
                      planes, h, w, planes * h * w, keys, squares, constants, numbers, trees, lowest, exact,
                      {ids, nullptr, order, link_starts, planes > 1 ? segments : 0}, segments, last, shortest};
    const i64 n = planes * h * w, chunks = chunks_of((planes > 1 ? 3 : 2) * n), rows = sides * images * columns;
    for (i64 block = blockIdx.x; block < rows * chunks; block += gridDim.x) {
        const i64 row = block / chunks, chunk = block % chunks, segment = row / columns, degree = row % columns;
        const i64 own = full ? d - 1 - degree : degree;  // the engine's degree
        const int kind = own == 0 ? VERTEX : SQUARE;
        const bool asked = wanted >> degree & 1, matches = match && segment < images && !starts;
        const bool paired = asked && degree < d && (own == 0 || own == d - 1);
        i64 count = !paired ? 0 : kind == VERTEX ? n : all.links.end(kind, segment) - all.links.first(kind, segment);
        i64 before = starts ? starts[row] + counts[block] : 0, matched = 0;
        for (i64 base = chunk * CHUNK; base < min(count, (chunk + 1) * CHUNK); base += blockDim.x) {
            i64 i = base + threadIdx.x;
            u64 found = NEVER;
            u32 cell = (u32)i;
            if (i < count && kind == VERTEX) found = all.bar_of_cell(kind, segment, cell);
            if (i < count && kind == SQUARE) {
                u32 there = at_links[all.links.first(kind, segment) + i];
                cell = there & 0x7FFFFFFFu;
                if (there >> 31) found = all.bar(kind, segment, cell, ids[all.links.first(kind, segment) + i]);
            }
            u32 total, sum = block_scan((u32)(found != NEVER), total);
            if (starts && found != NEVER) {
                bars[before + sum] = found;
                cells[before + sum] = cell | (u32)kind << 31;
            }
            before += total;
            if (matches && found != NEVER) {
                u32 other = match[(kind * images + segment) * n + cell];
                matched += other != NONE && all.bar_of_cell(kind, images + segment, other) != NEVER;
            }
        }
        if (matches) matched = block_reduce(matched, Sum());
        if (threadIdx.x == 0) {
            if (essential && asked && degree == 0 && chunk == chunks - 1) {
                u64 found = all.lasting(segment);
                if (starts && found != NEVER) {
                    bars[before] = found;
                    cells[before] = NONE;
                }
                before += found != NEVER;
                if (matches) matched += found != NEVER && all.lasting(images + segment) != NEVER;
            }
            if (!starts) counts[block] = before;
            if (matches) counts[rows * chunks + block] = matched;
        }
        __syncthreads();
    }
}

// bars[total] sorted in rows, starts[rows + 1] -> tables[0 .. sides), one after the other: int64 [4][bars of the side]: image,
// degree, birth and death voxel. places, unless null: [2 kinds][images][n] and [images]: of each bar of the second side where
// it is, by its root cells[total], and of the class that never dies. One thread a bar.
__global__ void write_bars(const u64* bars, const u32* cells, const i64* starts, i64* tables, u32* places, i64 images,
                           i64 sides, i64 columns, i64 voxels, i64 n) {
    const i64 rows = sides * images * columns, total = starts[rows], half = sides == 2 ? starts[rows / 2] : total;
    for (i64 i = thread_in_grid(); i < total; i += threads_in_grid()) {
        i64 low = 0, high = rows;  // the last row that begins at i or before
        while (high - low > 1) {
            i64 middle = (low + high) / 2;
            if (starts[middle] <= i) low = middle; else high = middle;
        }
        i64 segment = low / columns, image = segment % images, second = segment / images, count = second ? total - half : half;
        i64 place = second ? i - half : i, *table = second ? tables + 4 * half : tables;
        table[place] = image;
        table[count + place] = low % columns;
        table[2 * count + place] = (i64)(bars[i] / (u64)(voxels + 2)) - 2;
        table[3 * count + place] = (i64)(bars[i] % (u64)(voxels + 2)) - 2;
        if (places && second) {
            u32 cell = cells[i];
            places[cell == NONE ? 2 * images * n + image : ((cell >> 31) * images + image) * n + (cell & 0x7FFFFFFFu)] = (u32)place;
        }
    }
}
