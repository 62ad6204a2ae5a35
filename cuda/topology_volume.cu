// The kernels of `argrad.topology` that pair the cells of volumes in degrees 0 and 2: which vertices leave by an edge and which
// cubes by a square that they and their neighbours decide (volume/gradient.rs), and the links that are left over.
//
// Ways: 0 none; of vertices 1 and an axis back, 4 and an axis forth; of cubes 1 and an axis forth, 4 back along the last axis.
#include "plane.cuh"

// The place of a voxel.
struct Place {
    i64 i, j, k;
    __device__ __forceinline__ Place moved(int axis, int step) const {
        return {i + (axis == 0 ? step : 0), j + (axis == 1 ? step : 0), k + (axis == 2 ? step : 0)};
    }
};
__device__ __forceinline__ Place place_of(const Cells& cells, i64 p) {
    return {p / (cells.h * cells.w), p / cells.w % cells.h, p % cells.w};
}
__device__ __forceinline__ u32 vertex_at(const Cells& cells, Place at) { return cells.at(at.i, at.j, at.k); }
__device__ __forceinline__ u32 cube_at(const Cells& cells, Place at) {
    u32 value = 0;
    for (int corner = 0; corner < 8; ++corner)
        value = max(value, cells.at(at.i + (corner >> 2), at.j + (corner >> 1 & 1), at.k + (corner & 1)));
    return value;
}
// The value of the square of this normal axis.
__device__ __forceinline__ u32 square_at(const Cells& cells, Place at, int normal) {
    int first = normal == 0, second = normal == 2 ? 1 : 2;
    Place there = at.moved(first, 1);
    return max(max(vertex_at(cells, at), vertex_at(cells, there)),
               max(vertex_at(cells, at.moved(second, 1)), vertex_at(cells, there.moved(second, 1))));
}

// As in `topology_plane.cu`: the orders that cells must agree with before they leave.
struct Orders {
    Cells cells[2];
    int count;
    __device__ __forceinline__ bool vertex(Place to, Place from, bool first) const {
        bool good = true;
        for (int l = 0; l < count; ++l) {
            u32 there = vertex_at(cells[l], to), here = vertex_at(cells[l], from);
            good &= there < here || (first && there == here);
        }
        return good;
    }
    __device__ __forceinline__ bool cube(Place to, Place from, bool last) const {
        bool good = true;
        for (int l = 0; l < count; ++l) {
            u32 there = cube_at(cells[l], to), here = cube_at(cells[l], from);
            good &= there > here || (last && there == here);
        }
        return good;
    }
};

__device__ __forceinline__ int way_of_vertex(const Cells& own, const Orders& orders, Place at) {
    u32 key = vertex_at(own, at);
    for (int axis = 0; axis < 3; ++axis)
        if (vertex_at(own, at.moved(axis, -1)) <= key)
            return orders.vertex(at.moved(axis, -1), at, true) ? 1 + axis : 0;
    for (int axis = 0; axis < 3; ++axis) {
        u32 there = vertex_at(own, at.moved(axis, 1));
        if (there <= key) return there < key && orders.vertex(at.moved(axis, 1), at, false) ? 4 + axis : 0;
    }
    return 0;
}

__device__ __forceinline__ int way_of_cube(const Cells& own, const Orders& orders, Place at, u32 value) {
    for (int axis = 0; axis < 3; ++axis)
        if (square_at(own, at.moved(axis, 1), axis) == value)
            return orders.cube(at.moved(axis, 1), at, true) ? 1 + axis : 0;
    // Only the lowest voxel is as high as the cube: its last square is the one towards the last axis.
    Place behind = at.moved(2, -1);
    return square_at(own, behind, 2) > value && orders.cube(behind, at, false) ? 4 : 0;
}

// keys[sides x images][planes][h][w] -> ways[...] (of the vertex, and 8 times that of the cube), cubes[...] (their values, ABSENT
// where there is none), trees[2 kinds][segments][n + 1]; `shared` as in `local_pairs`. One thread a voxel; reads 27 voxels, and as
// many of each label.
__global__ void local_pairs_of_volume(const u32* keys, u8* ways, u32* cubes, u64* trees, i64 images, i64 sides, i64 planes,
                                      i64 h, i64 w, i64 shared) {
    i64 n = planes * h * w, segments = sides * images;
    for (i64 at = thread_in_grid(); at < segments * n; at += threads_in_grid()) {
        i64 segment = at / n, side = segment / images, image = segment % images;
        auto cells = [=](i64 part) { return Cells{keys + (part * images + image) * n, planes, h, w}; };
        Cells own = cells(side);
        Place place = place_of(own, at % n);
        Orders orders = {{own, own}, 0}, nothing = orders;
        if (sides == 3 && side == 2) orders = {{cells(0), cells(1)}, 2};
        if (sides == 3 && side < 2) orders = {{cells(2), own}, 1};
        bool of_vertices = (side == 2) == (shared == VERTEX);
        int vertex = way_of_vertex(own, of_vertices ? orders : nothing, place), cube = 0;
        Place to = vertex == 0 ? place : place.moved((vertex - 1) % 3, vertex < 4 ? -1 : 1);
        trees[segment * (n + 1) + at % n] = vertex == 0 ? NEVER : (u64)((to.i * h + to.j) * w + to.k);
        bool there = own.node(place.i, place.j, place.k) != n;
        u32 value = there ? cube_at(own, place) : ABSENT;
        cubes[at] = value;
        if (there) cube = way_of_cube(own, of_vertices ? nothing : orders, place, value);
        to = cube == 0 ? place : cube == 4 ? place.moved(2, -1) : place.moved(cube - 1, 1);
        u64* tree = trees + (segments + segment) * (n + 1);
        tree[at % n] = cube == 0 ? NEVER : own.node(to.i, to.j, to.k);
        if (at % n == 0) tree[n] = NEVER;
        ways[at] = (u8)(vertex | cube << 3);
    }
}

// Of a kind the links of a voxel, by bits of the axes, that nobody leaves by and that join two basins.
__device__ __forceinline__ u32 left_over(const Cells& cells, const u8* ways, u64* tree, int kind, i64 p) {
    Place at = place_of(cells, p);
    i64 sizes[3] = {cells.planes, cells.h, cells.w}, index[3] = {at.i, at.j, at.k};
    u32 found = 0;
    for (int axis = 0; axis < 3; ++axis) {
        bool there = true, taken;
        for (int other = 0; other < 3; ++other)
            there &= (other == axis) != (kind == VERTEX) || index[other] + 1 < sizes[other];
        if (!there) continue;
        if (kind == VERTEX) {
            taken = (ways[p] & 7) == 4 + axis || (ways[p + cells.stride(axis)] & 7) == 1 + axis;
        } else {
            taken = (axis == 2 && ways[p] >> 3 == 4) || (index[axis] > 0 && ways[p - cells.stride(axis)] >> 3 == 1 + axis);
        }
        if (taken) continue;
        u32 a, b;
        cells.ends(kind, (u32)p << 2 | axis, a, b);
        found |= (u32)(basin(tree, a) != basin(tree, b)) << axis;
    }
    return found;
}

// keys, ways and trees as above -> counts[2 kinds][segments][chunks] of critical links. One block a chunk.
__global__ void count_links(const u32* keys, const u8* ways, u64* trees, i64* counts, i64 segments, i64 planes, i64 h, i64 w) {
    i64 n = planes * h * w, chunks = chunks_of(n);
    for (i64 block = blockIdx.x; block < 2 * segments * chunks; block += gridDim.x) {
        i64 list = block / chunks, segment = list % segments, found = 0;
        int kind = (int)(list / segments);
        Cells cells = {keys + segment * n, planes, h, w};
        i64 end = min(n, (block % chunks + 1) * CHUNK);
        for (i64 p = block % chunks * CHUNK + threadIdx.x; p < end; p += blockDim.x)
            found += __popc(left_over(cells, ways + segment * n, trees + list * (n + 1), kind, p));
        found = block_reduce(found, Sum());
        if (threadIdx.x == 0) counts[block] = found;
    }
}

// The same with scanned counts and starts[2 x segments + 1] -> ids and link_keys[links of all lists], ascending by their numbers.
// One block a chunk.
__global__ void list_links(const u32* keys, const u8* ways, u64* trees, const i64* counts, const i64* starts, u32* ids,
                           u32* link_keys, i64 segments, i64 planes, i64 h, i64 w) {
    i64 n = planes * h * w, chunks = chunks_of(n);
    for (i64 block = blockIdx.x; block < 2 * segments * chunks; block += gridDim.x) {
        i64 list = block / chunks, segment = list % segments, before = starts[list] + counts[block];
        int kind = (int)(list / segments);
        Cells cells = {keys + segment * n, planes, h, w};
        i64 end = min(n, (block % chunks + 1) * CHUNK);
        for (i64 base = block % chunks * CHUNK; base < end; base += blockDim.x) {
            i64 p = base + threadIdx.x;
            u32 left = p < n ? left_over(cells, ways + segment * n, trees + list * (n + 1), kind, p) : 0;
            u32 total, sum = block_scan((u32)__popc(left), total);
            for (u32 axis = 0; axis < 3; ++axis) {
                if (!(left >> axis & 1)) continue;
                u32 link = (u32)p << 2 | axis;
                i64 to = before + sum++;
                ids[to] = link;
                link_keys[to] = cells.keys[cells.voxel_of_link(kind, link)];
            }
            before += total;
        }
    }
}
