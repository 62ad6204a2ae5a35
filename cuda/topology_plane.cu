// The kernels of `argrad.topology` that pair the cells of images of one or two axes: which vertices and squares leave by an edge
// that they and their neighbours decide (local.rs), and the edges that are left over.
#include "plane.cuh"

#define ROOT 0
#define UP 1
#define LEFT 2
#define DOWN 3
#define RIGHT 4

// The engine's image: keys of h rows and w columns.
struct Plane {
    const u32* keys;
    i32 h, w;

    __device__ __forceinline__ u32 at(i32 i, i32 j) const {
        return i >= 0 && i < h && j >= 0 && j < w ? keys[(i64)i * w + j] : ABSENT;
    }
    // The value of the square whose upper left is there.
    __device__ __forceinline__ u32 square(i32 i, i32 j) const {
        return max(max(at(i, j), at(i, j + 1)), max(at(i + 1, j), at(i + 1, j + 1)));
    }
};

// The orders that the cells of a segment must agree with, besides their own, before they leave: none of one side. Of three,
// those of both images for the comparison's cells of the kind `shared`, and the comparison's for the images' other cells.
struct Labels {
    Plane planes[2];
    int count;

    // Whether the vertex at (i, j) comes before that at (a, b); `<=` where its number does.
    __device__ __forceinline__ bool vertex(i32 i, i32 j, i32 a, i32 b, bool first) const {
        bool good = true;
        for (int l = 0; l < count; ++l) {
            u32 there = planes[l].at(i, j), here = planes[l].at(a, b);
            good &= there < here || (first && there == here);
        }
        return good;
    }
    // Whether the square at (i, j) comes after that at (a, b); `>=` where its number does.
    __device__ __forceinline__ bool square(i32 i, i32 j, i32 a, i32 b, bool last) const {
        bool good = true;
        for (int l = 0; l < count; ++l) {
            u32 there = planes[l].square(i, j), here = planes[l].square(a, b);
            good &= there > here || (last && there == here);
        }
        return good;
    }
};

// The edge that a vertex leaves by: its first, if the other end comes before it.
__device__ __forceinline__ int way_of_vertex(const Plane& own, const Labels& labels, i32 i, i32 j) {
    u32 key = own.at(i, j), down = own.at(i + 1, j);
    if (own.at(i - 1, j) <= key) return labels.vertex(i - 1, j, i, j, true) ? UP : ROOT;
    if (own.at(i, j - 1) <= key) return labels.vertex(i, j - 1, i, j, true) ? LEFT : ROOT;
    if (down <= key) return down < key && labels.vertex(i + 1, j, i, j, false) ? DOWN : ROOT;
    return own.at(i, j + 1) < key && labels.vertex(i, j + 1, i, j, false) ? RIGHT : ROOT;
}

// The edge that a square leaves by: its last, if the square across comes after it.
__device__ __forceinline__ int way_of_square(const Plane& own, const Labels& labels, i32 i, i32 j) {
    u32 a = own.at(i, j), b = own.at(i, j + 1), c = own.at(i + 1, j), d = own.at(i + 1, j + 1);
    u32 value = max(max(a, b), max(c, d));
    if (max(c, d) == value) return labels.square(i + 1, j, i, j, true) ? DOWN : ROOT;
    if (max(b, d) == value) return labels.square(i, j + 1, i, j, true) ? RIGHT : ROOT;
    if (max(a, b) == value && max(own.at(i - 1, j), own.at(i - 1, j + 1)) > value)
        return labels.square(i - 1, j, i, j, false) ? UP : ROOT;
    if (max(a, c) == value && max(own.at(i, j - 1), own.at(i + 1, j - 1)) > value)
        return labels.square(i, j - 1, i, j, false) ? LEFT : ROOT;
    return ROOT;
}

// The cell that a way leads to; squares beyond the image are number n.
__device__ __forceinline__ u32 across(const Plane& own, int kind, i32 i, i32 j, int way) {
    i += (way == DOWN) - (way == UP);
    j += (way == RIGHT) - (way == LEFT);
    bool outside = kind == SQUARE && (i < 0 || j < 0 || i >= own.h - 1 || j >= own.w - 1);
    return outside ? (u32)own.h * own.w : (u32)i * own.w + j;
}

// keys[sides x images][h][w] -> ways[...] (of the vertex, and 8 times that of the square), squares[...] (their values, ABSENT
// where there is none), trees[2 kinds][segments][n + 1]. `shared` is the kind whose labels the comparison carries. One thread a
// voxel; reads 12 voxels, and as many of each label.
__global__ void local_pairs(const u32* keys, u8* ways, u32* squares, u64* trees, i64 images, i64 sides, i64 h, i64 w,
                            i64 shared) {
    i64 n = h * w, segments = sides * images;
    for (i64 at = thread_in_grid(); at < segments * n; at += threads_in_grid()) {
        i64 segment = at / n, side = segment / images, image = segment % images;
        i32 i = (i32)(at % n / w), j = (i32)(at % w);
        auto plane = [=](i64 part) { return Plane{keys + (part * images + image) * n, (i32)h, (i32)w}; };
        Plane own = plane(side);
        Labels labels = {{own, own}, 0}, nothing = labels;
        if (sides == 3 && side == 2) labels = {{plane(0), plane(1)}, 2};
        if (sides == 3 && side < 2) labels = {{plane(2), own}, 1};
        bool of_vertices = (side == 2) == (shared == VERTEX);
        int vertex = way_of_vertex(own, of_vertices ? labels : nothing, i, j), square = ROOT;
        trees[segment * (n + 1) + at % n] = vertex == ROOT ? NEVER : across(own, VERTEX, i, j, vertex);
        bool there = i + 1 < h && j + 1 < w;
        squares[at] = there ? own.square(i, j) : ABSENT;
        if (there) square = way_of_square(own, of_vertices ? nothing : labels, i, j);
        u64* tree = trees + (segments + segment) * (n + 1);
        tree[at % n] = square == ROOT ? NEVER : across(own, SQUARE, i, j, square);
        if (at % n == 0) tree[n] = NEVER;
        ways[at] = (u8)(vertex | square << 3);
    }
}

// Whether the edge below a voxel, and that on its right, are left over.
struct Left {
    bool down, right;
};
__device__ __forceinline__ Left left_over(const u8* ways, i32 h, i32 w, i32 i, i32 j) {
    auto way = [=](i32 i, i32 j) { return i >= 0 && j >= 0 && i < h && j < w ? ways[(i64)i * w + j] : 0; };
    int here = way(i, j), below = way(i + 1, j), right = way(i, j + 1), above = way(i - 1, j), left = way(i, j - 1);
    return {i + 1 < h && (here & 7) != DOWN && (below & 7) != UP && here >> 3 != LEFT && left >> 3 != RIGHT,
            j + 1 < w && (here & 7) != RIGHT && (right & 7) != LEFT && here >> 3 != UP && above >> 3 != DOWN};
}

// ways[segments][h][w] -> counts[segments][chunks] of critical edges. One block a chunk.
__global__ void count_edges(const u32* keys, const u8* ways, i64* counts, i64 segments, i64 h, i64 w) {
    i64 n = h * w, chunks = chunks_of(n);
    for (i64 block = blockIdx.x; block < segments * chunks; block += gridDim.x) {
        i64 segment = block / chunks, chunk = block % chunks, found = 0;
        for (i64 p = chunk * CHUNK + threadIdx.x; p < min(n, (chunk + 1) * CHUNK); p += blockDim.x) {
            Left left = left_over(ways + segment * n, (i32)h, (i32)w, (i32)(p / w), (i32)(p % w));
            found += left.down + left.right;
        }
        found = block_reduce(found, Sum());
        if (threadIdx.x == 0) counts[block] = found;
    }
}

// The same and keys[segments][h][w], scanned counts, starts[segments + 1] -> ids and edge_keys[starts[segments]] of critical
// edges, ascending by their numbers. One block a chunk.
__global__ void list_edges(const u32* keys, const u8* ways, const i64* counts, const i64* starts, u32* ids, u32* edge_keys,
                           i64 segments, i64 h, i64 w) {
    i64 n = h * w, chunks = chunks_of(n);
    for (i64 block = blockIdx.x; block < segments * chunks; block += gridDim.x) {
        i64 segment = block / chunks, chunk = block % chunks, before = starts[segment] + counts[block];
        Cells own = {keys + segment * n, 1, h, w};
        for (i64 base = chunk * CHUNK; base < min(n, (chunk + 1) * CHUNK); base += blockDim.x) {
            i64 p = base + threadIdx.x;
            Left left = {false, false};
            if (p < n) left = left_over(ways + segment * n, (i32)h, (i32)w, (i32)(p / w), (i32)(p % w));
            u32 total, sum = block_scan((u32)left.down + left.right, total);
            for (u32 along = 0; along < 2; ++along) {
                if (!(along ? left.right : left.down)) continue;
                i64 to = before + sum + (along && left.down);
                ids[to] = (u32)p << 1 | along;
                edge_keys[to] = own.keys[own.voxel_of_link(VERTEX, ids[to])];
            }
            before += total;
        }
    }
}
