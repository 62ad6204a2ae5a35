// LapSum: soft ranks and soft sorting by sums of Laplace distributions, and products with its matrix. The formulas are those
// of rust/core/src/sorting/laplace.rs and laplace_product.rs. One block takes one list at a time.
#include "roots.cuh"

// What the memory of a block holds beside links and points.
template <class N> struct Sums {
    N *places, *mean, *push;  // [count]
    N *left, *right;          // [count][W]

    __device__ Sums(Room& room, i64 n, i64 wide) {
        places = room.take<N>(n), mean = room.take<N>(n), push = room.take<N>(n);
        left = room.take<N>(n * wide), right = room.take<N>(n * wide);
    }
};

// x[rows][n], strength[lists], places from `order_lists` -> y[rows][n]: soft ranks by item, or if `sorts` sorted values by
// rank; NaN for lists with a NaN or a bad strength; what does not count is left as it is. One block a list, two scans and a
// binary search for each rank.
template <class T>
__global__ void laplace_values(const T* x, const T* strength, const i32* places, const i64* offsets, i64 stride,
                               i64 per_row, i64 n, i64 lists, i64 descending, i64 sorts, T* y, u8* scratch, i64 bytes,
                               u32* fault) {
    DYNAMIC_SHARED(memory);
    const Lists batch = {offsets, n, per_row, stride};
    Room room = room_of(scratch, bytes, memory);
    Links<double> links;
    links.take(room, n);
    Roots<double> roots;
    roots.take(room, n);
    const Sums<double> sums(room, n, 1);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Sorted<T> sorted(batch, list, x, places, strength, fault, true);
        const i32* order = sorted.order;
        const T* scores = x + sorted.at.start;
        T* to = y + sorted.at.start;
        if (sorted.spoilt) {
            for (i32 i = threadIdx.x; i < sorted.count; i += blockDim.x) to[sorts ? i : order[i]] = not_a_number<T>();
            continue;
        }
        auto score = [=](i32 i) { return (double)scores[order[i]]; };
        links.join(sorted.count, sorted.temperature, score);
        if (sorts) {
            roots.solve(links, 0.5, sums.left, sums.right);
            const double slope = descending ? -sorted.temperature : sorted.temperature;
            for (i32 r = threadIdx.x; r < sorted.count; r += blockDim.x) to[r] = (T)roots.point(r, score, slope);
        } else {
            links.template sides<1>([](i32, double* here) { here[0] = 1.0; }, sums.left, sums.right);
            for (i32 i = threadIdx.x; i < sorted.count; i += blockDim.x)
                to[order[i]] = (T)((i + 1) + 0.5 * (sums.right[i] - sums.left[i]));
        }
        __syncthreads();
    }
}

// Of one list: hands out ranks and the gradients to sorted scores, (1 / 2t) sum_j K_ij (g_i - g_j); returns that to the
// strength, to all threads.
template <class N, class G, class Value, class Push>
__device__ N derive_ranks(const Links<N>& links, const Sums<N>& sums, N t, N sign, G g, Value value, Push push) {
    const N zero = constant<N>(0.0), half = constant<N>(0.5), one = constant<N>(1.0);
    const N scale = value_of(t) == 0.0 ? zero : half / t;
    links.template sides<2>([=](i32 i, N* here) { here[0] = one, here[1] = g(i); }, sums.left, sums.right);
    N total = zero;
    for (i32 i = threadIdx.x; i < links.count; i += blockDim.x) {
        const N *left = sums.left + (i64)i * 2, *right = sums.right + (i64)i * 2, here = g(i);
        value(i, constant<N>(i + 1) + half * (right[0] - left[0]));
        push(i, sign * scale * (here * (left[0] + right[0]) - (left[1] + right[1])));
        if (value_of(links.links[i]) != 0.0)
            total += links.steps[i] * (left[0] * (here + right[1]) - left[1] * (one + right[0]));
    }
    return -(scale * block_sum(total));
}

// Of one list: hands out sorted values and the gradients to sorted scores, sum_r K_rj g_r / Z_r; returns that to the strength.
template <class N, class Score, class G, class Value, class Push>
__device__ N derive_sorted(const Links<N>& links, Roots<N>& roots, const Sums<N>& sums, N t, N sign, Score score, G g,
                           Value value, Push push) {
    roots.solve(links, 0.5, sums.left, sums.right);
    lay_out(links, sums.places);
    const N *places = sums.places, *weight = roots.weight, two = constant<N>(2.0);
    N total = constant<N>(0.0);
    for (i32 r = threadIdx.x; r < links.count; r += blockDim.x) {
        value(r, roots.point(r, score, sign * t));
        total += g(r) * roots.point(r, [=](i32 i) { return places[i]; }, constant<N>(1.0));
    }
    roots.template scatter<1>(
        links, links.count, [=](i32 r, N* here) { here[0] = g(r) / (two * weight[r]); }, sums.left, sums.right);
    for (i32 i = threadIdx.x; i < links.count; i += blockDim.x) {
        const N d = sums.left[i] + sums.right[i];
        push(i, d);
        total += -(places[i] * d);
    }
    return sign * block_sum(total);
}

// What the kernels of both derivatives do; see there.
template <class N, class T>
__device__ void derive_values(Moving<T> x, Moving<T> grad, Moving<T> strength, const i32* places, const Lists& batch,
                              i64 lists, bool descending, bool sorts, T* to_x, T* to_grad, T* to_strength, Room room) {
    Links<N> links;
    links.take(room, batch.n);
    Roots<N> roots;
    roots.take(room, batch.n);
    const Sums<N> sums(room, batch.n, 2);
    for (i64 list = blockIdx.x; list < lists; list += gridDim.x) {
        const Sorted<T> sorted(batch, list, x.value, places, strength.value, nullptr, true);
        const i32* order = sorted.order;
        const i64 start = sorted.at.start;
        if (sorted.spoilt) {
            for (i32 i = threadIdx.x; i < sorted.count; i += blockDim.x)
                to_x[start + order[i]] = to_grad[start + (sorts ? i : order[i])] = not_a_number<T>();
            if (threadIdx.x == 0) to_strength[list] = not_a_number<T>();
            continue;
        }
        const N t = Read<N>::at(strength, list), sign = constant<N>(descending ? -1.0 : 1.0);
        auto score = [=](i32 i) { return Read<N>::at(x, start + order[i]); };
        auto at = [=](i32 i) { return start + (sorts ? i : order[i]); };
        auto g = [=](i32 i) { return Read<N>::at(grad, at(i)); };
        auto value = [=](i32 i, N y) { to_grad[at(i)] = (T)part_of(y); };
        auto push = [=](i32 i, N d) {
            to_x[start + order[i]] = fabs(value_of(score(i))) < infinity<double>() ? (T)part_of(d) : T(0);
        };
        links.join(sorted.count, t, score);
        const N found = sorts ? derive_sorted(links, roots, sums, t, sign, score, g, value, push)
                              : derive_ranks(links, sums, t, sign, g, value, push);
        if (threadIdx.x == 0) to_strength[list] = (T)part_of(found);
        __syncthreads();
    }
}

// As `laplace_values`, with the gradients of the values -> the gradients to x, strength and these gradients, of their shapes.
// One block a list, two scans for ranks, five and a binary search for sorted values.
template <class T>
__global__ void laplace_vjp(const T* x, const T* grad, const T* strength, const i32* places, const i64* offsets,
                            i64 stride, i64 per_row, i64 n, i64 lists, i64 descending, i64 sorts, T* to_x, T* to_grad,
                            T* to_strength, u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    derive_values<double, T>({x, nullptr}, {grad, nullptr}, {strength, nullptr}, places, {offsets, n, per_row, stride},
                             lists, descending != 0, sorts != 0, to_x, to_grad, to_strength,
                             room_of(scratch, bytes, memory));
}

// The derivatives of these gradients along tangents of x and strength, on dual numbers.
template <class T>
__global__ void laplace_second(const T* x, const T* grad, const T* strength, const T* x_tangent,
                               const T* strength_tangent, const i32* places, const i64* offsets, i64 stride, i64 per_row,
                               i64 n, i64 lists, i64 descending, i64 sorts, T* to_x, T* to_grad, T* to_strength,
                               u8* scratch, i64 bytes) {
    DYNAMIC_SHARED(memory);
    derive_values<Dual, T>({x, x_tangent}, {grad, nullptr}, {strength, strength_tangent}, places,
                           {offsets, n, per_row, stride}, lists, descending != 0, sorts != 0, to_x, to_grad, to_strength,
                           room_of(scratch, bytes, memory));
}
