// The kernels of `argrad.topology` that pair the cells of images of one or two axes: which vertices and squares leave by an edge
// that they and their neighbours decide (local.rs), the edges that are left over, and the components that these join.
#include "plane.cuh"

#define ROOT 0
#define UP 1
#define LEFT 2
#define DOWN 3
#define RIGHT 4

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
__global__ void count_edges(const u8* ways, i64* counts, i64 segments, i64 h, i64 w) {
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
__global__ void list_edges(const u8* ways, const u32* keys, const i64* counts, const i64* starts, u32* ids, u32* edge_keys,
                           i64 segments, i64 h, i64 w) {
    i64 n = h * w, chunks = chunks_of(n);
    for (i64 block = blockIdx.x; block < segments * chunks; block += gridDim.x) {
        i64 segment = block / chunks, chunk = block % chunks, before = starts[segment] + counts[block];
        Plane own = {keys + segment * n, (i32)h, (i32)w};
        for (i64 base = chunk * CHUNK; base < min(n, (chunk + 1) * CHUNK); base += blockDim.x) {
            i64 p = base + threadIdx.x;
            Left left = {false, false};
            if (p < n) left = left_over(ways + segment * n, own.h, own.w, (i32)(p / w), (i32)(p % w));
            u32 total, sum = block_scan((u32)left.down + left.right, total);
            for (u32 along = 0; along < 2; ++along) {
                if (!(along ? left.right : left.down)) continue;
                i64 to = before + sum + (along && left.down);
                ids[to] = (u32)p << 1 | along;
                edge_keys[to] = own.keys[own.voxel_of_edge(ids[to])];
            }
            before += total;
        }
    }
}

// The root of a cell's basin; cells on the way are told of one further on, which any number of threads may do at once.
__device__ __forceinline__ u32 basin(volatile u64* tree, u32 cell) {
    for (;;) {
        u64 way = tree[cell];
        if (rank_of(way) > 0) return cell;
        u64 further = tree[(u32)way];
        if (rank_of(further) > 0) return (u32)way;
        tree[cell] = further;
        cell = (u32)further;
    }
}

// Enters into a merge tree that the components of two roots meet at an edge. Of both, as they are below its rank, the younger
// gets this way out if it has no earlier one; the way that it gives up leads on from the other. Whatever other threads enter at
// the same time: ways in the tree and in hand connect at each rank what the edges do, so that in the end the rank of each root
// is that of the first edge that leads to an elder. No thread waits: who fails sees an earlier way.
__device__ __forceinline__ void enter(u64* tree, const Values& values, int kind, i64 order, u32 a, u32 b, u32 rank) {
    volatile u64* ways = tree;
    for (;;) {
        u64 way;
        while (rank_of(way = ways[a]) < rank) a = (u32)way;
        while (rank_of(way = ways[b]) < rank) b = (u32)way;
        if (a == b) return;
        if (values.age(kind, order, a) < values.age(kind, order, b)) {
            u32 other = a;
            a = b;
            b = other;
        }
        u64 now = (u64)rank << 32 | b, old = atomicMin(&tree[a], now);
        if (old == NEVER) return;
        if (old > now) {
            a = (u32)old;
            rank = rank_of(old);
        }
    }
}

// The merge trees of both kinds: trees[2][segments][n + 1] in the segments' own orders, and labelled[4][images][n + 1] of three
// sides in others: of the images' cells of the other kind than `shared` in the comparison's order, and of the comparison's
// `shared` cells in those of both images. ids, order[starts[segments]]: edges as in `Edges`. One thread an edge and kind, in
// nearly their order: the blocks of all segments and both kinds take turns.
__global__ void join_edges(u64* trees, u64* labelled, const u32* keys, const u32* squares, const u32* ids, const u32* order,
                           const i64* starts, i64 images, i64 sides, i64 h, i64 w, i64 shared) {
    const i64 n = h * w, segments = sides * images, turns = 2 * segments, parts = gridDim.x / turns;
    const i64 segment = blockIdx.x % turns / 2, side = segment / images, image = segment % images;
    const int kind = blockIdx.x % 2;
    const Values values = {keys, squares, n};
    const Edges edges = {ids, nullptr, order, starts};
    const i64 count = edges.count(segment);
    u64* tree = trees + (kind * segments + segment) * (n + 1);
    const bool carries = sides == 3 && (side == 2) == (kind == shared);
    for (i64 i = blockIdx.x / turns * blockDim.x + threadIdx.x; i < count; i += parts * blockDim.x) {
        u32 rank = (u32)i + 1, edge = ids[starts[segment] + order[edges.at(segment, kind, rank)]];
        u32 a = edge >> 1, b = a, row = a / (u32)w, column = a % (u32)w;
        bool along = edge & 1;
        if (kind == VERTEX) {
            b += along ? 1 : (u32)w;
        } else {
            if (row + 1 >= h || column + 1 >= w) a = (u32)n;
            b = along ? (row == 0 ? (u32)n : b - (u32)w) : (column == 0 ? (u32)n : b - 1);
        }
        a = basin(tree, a);
        b = basin(tree, b);
        if (a == b) continue;
        enter(tree, values, kind, segment, a, b, rank);
        if (!carries) continue;
        for (int l = 0; l < 2; ++l) {
            if (side < 2 && l == 1) break;
            i64 label = side < 2 ? side : 2 + l, other = side < 2 ? 2 : l;
            enter(labelled + (label * images + image) * (n + 1), values, kind, other * images + image, a, b, rank);
        }
    }
}

// trees and labelled as above -> at_edges[starts[segments]]: by place in the list the cell whose component ends at the edge,
// below 1 bit for squares; label_at_edges: the same, without the bit, of the comparison's labels in the order of the second
// image. One thread a cell and kind.
__global__ void note_ends(const u64* trees, const u64* labelled, const u32* order, const i64* starts, u32* at_edges,
                          u32* label_at_edges, i64 images, i64 sides, i64 n, i64 shared) {
    const i64 segments = sides * images;
    const Edges edges = {nullptr, nullptr, order, starts};
    for (i64 at = thread_in_grid(); at < 2 * segments * n; at += threads_in_grid()) {
        i64 cell = at % n, part = at / n, segment = part % segments;
        int kind = (int)(part / segments);
        u64 way = trees[part * (n + 1) + cell];
        if (rank_of(way) > 0 && way != NEVER)
            at_edges[starts[segment] + order[edges.at(segment, kind, rank_of(way))]] = (u32)cell | (u32)kind << 31;
        if (sides == 3 && segment >= 2 * images && kind == shared) {
            way = labelled[(3 * images + segment - 2 * images) * (n + 1) + cell];
            if (way != NEVER)
                label_at_edges[starts[segment] + order[edges.at(segment, kind, rank_of(way))]] = (u32)cell;
        }
    }
}
