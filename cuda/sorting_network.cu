// Products with the matrices of relaxed sorting networks, which are never formed: see rust/core/src/sorting/network. One
// block takes one list at a time, a thread the comparators of a layer in turn.
#include "network_tile.cuh"

// Lists the positions of the items that count, and tells how many they are.
__device__ i32 list_positions(const u8* mask, i32 n, i32* positions) {
    i32 found = 0;
    for (i32 tile = 0; tile < n; tile += blockDim.x) {
        const i32 i = tile + threadIdx.x;
        const bool counts = i < n && (!mask || mask[i]);
        i32 total, before = block_scan((i32)counts, total);
        if (counts) positions[found + before] = i;
        found += total;
    }
    __syncthreads();
    return found;
}

// What all kernels do, of columns c .. c + wide of m. `right` has rows for items, `left` for ranks; values null where there is
// none, and outputs where they are not wanted: P right, P^T left, and the gradients of <left, P right> to x and steepness.
template <class E, class T>
__device__ void run_networks(Moving<T> x, Moving<T> right, Moving<T> left, Moving<T> steepness, const u8* mask,
                             const Lists& batch, i64 lists, i64 m, i64 most, bool bilinear, bool descending, bool bitonic,
                             int distribution, i32 segment, T* to_x, T* to_right, T* to_left, T* to_steepness, Room room,
                             u32* fault) {
    const Layers widest = {(i32)batch.n, bitonic};
    const i64 n = batch.n, width = widest.width(), record = segment * width;
    Tile<E> tile;
    tile.distribution = distribution;
    tile.positions = room.take<i32>(n);
    tile.x = room.take<E>(n);
    tile.v = right.value ? room.take<E>(n * most) : nullptr;
    tile.u = left.value ? room.take<E>(n * most) : nullptr;
    tile.to_x = bilinear ? room.take<E>(n) : nullptr;
    tile.weights = left.value ? room.take<E>(record) : nullptr;
    tile.distances = bilinear ? room.take<E>(record) : nullptr;
    tile.differences = bilinear ? room.take<E>(record * most) : nullptr;
    tile.kept = (E*)room.free;
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Span at = batch.span(list);
        const i64 start = at.start;
        const i32 count = list_positions(mask ? mask + start : nullptr, at.count, tile.positions);
        const i32* positions = tile.positions;
        const double given = (double)steepness.value[list];
        const bool wrong = !(given > 0.0 && given < infinity<double>());
        if (wrong || at.wrong) report(fault);
        u32 bad = wrong || at.wrong;
        for (i32 i = threadIdx.x; i < count; i += blockDim.x) bad |= is_nan(x.value[start + positions[i]]);
        const bool spoilt = block_reduce(bad, Largest());
        tile.steepness = ReadAs<E>::at(steepness, list);
        tile.layers = {count, bitonic};
        E total = constant<E>(0.0);
        for (i64 c = (i64)blockIdx.y * most; c < m; c += (i64)gridDim.y * most) {
            const i64 wide = min(most, m - c);
            tile.columns = wide;
            auto hand_out = [=](T* to, const E* from, bool by_item) {
                for (i64 i = threadIdx.x; to && i < count * wide; i += blockDim.x) {
                    const i64 r = i / wide, row = start + (by_item ? positions[r] : r);
                    to[row * m + c + i % wide] =
                        spoilt ? not_a_number<T>() : (T)part_of(wide_of(from[i % wide * count + r]));
                }
            };
            if (!spoilt) {
                for (i32 i = threadIdx.x; i < count; i += blockDim.x) {
                    const E score = ReadAs<E>::at(x, start + positions[i]);
                    tile.x[i] = descending ? -score : score;
                    if (bilinear) tile.to_x[i] = constant<E>(0.0);
                }
                for (i64 i = threadIdx.x; i < count * wide; i += blockDim.x) {
                    const i64 r = i / wide, column = c + i % wide, to = i % wide * count + r;
                    if (right.value) tile.v[to] = ReadAs<E>::at(right, (start + positions[r]) * m + column);
                    if (left.value) tile.u[to] = ReadAs<E>::at(left, (start + r) * m + column);
                }
                __syncthreads();
                tile.run(segment, total, [&]() { hand_out(to_left, tile.v, false); });
            } else {
                hand_out(to_left, tile.v, false);
            }
            hand_out(to_right, tile.u, true);
            __syncthreads();
        }
        if (bilinear) {
            for (i32 i = threadIdx.x; i < count; i += blockDim.x)
                to_x[start + positions[i]] =
                    spoilt ? not_a_number<T>()
                           : (T)part_of(wide_of(descending ? -tile.to_x[i] : tile.to_x[i]));
            const auto sum = block_sum(wide_of(total));
            if (threadIdx.x == 0)
                to_steepness[list] = spoilt ? not_a_number<T>() : (T)part_of(sum / wide_of(tile.steepness));
        }
        __syncthreads();
    }
}

// x[rows][n], v[rows][n][m], steepness[lists] -> y[rows][n][m] = P v, or P^T v if `transposed`; NaN for lists with a NaN or a
// bad steepness; what does not count is left as it is. One block a list and `most` columns; a meeting for each layer. The
// transposed product goes back over at most `segment` recorded layers at a time. `scratch` has `bytes` for each block, null
// where shared memory is enough.
template <class T>
__global__ void network_product(const T* x, const T* v, const T* steepness, const u8* mask, const i64* offsets, i64 stride,
                                i64 per_row, i64 n, i64 lists, i64 m, i64 most, i64 descending, i64 bitonic,
                                i64 distribution, i64 transposed, i64 segment, T* y, u8* scratch, i64 bytes, u32* fault) {
    DYNAMIC_SHARED(memory);
    const Moving<T> none = {nullptr, nullptr}, factor = {v, nullptr};
    run_networks<T, T>({x, nullptr}, transposed ? none : factor, transposed ? factor : none, {steepness, nullptr}, mask,
                       {offsets, n, per_row, stride}, lists, m, most, false, descending != 0, bitonic != 0,
                       (int)distribution, (i32)segment, nullptr, transposed ? y : nullptr, transposed ? nullptr : y,
                       nullptr, room_of(scratch, bytes, memory), fault);
}

// x, right[rows][n][m] by items, left[rows][n][m] by ranks, steepness -> gradients of <left, P right> to each, of its shape (to
// `right` and `left` where wanted). One block a list, all columns; two ways through the network and one back.
template <class T>
__global__ void network_vjp(const T* x, const T* right, const T* left, const T* steepness, const u8* mask,
                            const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 m, i64 descending,
                            i64 bitonic, i64 distribution, i64 segment, T* to_x, T* to_right, T* to_left,
                            T* to_steepness, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    run_networks<T, T>({x, nullptr}, {right, nullptr}, {left, nullptr}, {steepness, nullptr}, mask,
                       {offsets, n, per_row, stride}, lists, m, m, true, descending != 0, bitonic != 0, (int)distribution,
                       (i32)segment, to_x, to_right, to_left, to_steepness, room_of(scratch, bytes, memory), nullptr);
}

// The derivatives of these gradients along a tangent of each input (null: it stands still), on dual numbers.
template <class T>
__global__ void network_second(const T* x, const T* right, const T* left, const T* steepness, const T* x_tangent,
                               const T* right_tangent, const T* left_tangent, const T* steepness_tangent, const u8* mask,
                               const i64* offsets, i64 stride, i64 per_row, i64 n, i64 lists, i64 m, i64 descending,
                               i64 bitonic, i64 distribution, i64 segment, T* to_x, T* to_right, T* to_left,
                               T* to_steepness, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    run_networks<Dual, T>({x, x_tangent}, {right, right_tangent}, {left, left_tangent}, {steepness, steepness_tangent},
                          mask, {offsets, n, per_row, stride}, lists, m, m, true, descending != 0, bitonic != 0,
                          (int)distribution, (i32)segment, to_x, to_right, to_left, to_steepness,
                          room_of(scratch, bytes, memory), nullptr);
}
