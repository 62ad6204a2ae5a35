// A list on its way through a sorting network and back, by one block: a thread takes the comparators of a layer in turn.
#pragma once
#include "network.cuh"

// A list on the wires, in the memory of a block, and what the way back needs of the layers of a segment.
template <class E> struct Tile {
    Layers layers;
    i64 columns;
    i32* positions;        // of the items that count, in the list
    E *x, *to_x;           // [n]
    E *v, *u;              // [columns][n]: right and left factor; null where there is none
    E *weights, *distances;  // [segment][width]
    E* differences;        // [segment][columns][width]
    E* kept;               // x and v at the beginning of each segment
    E steepness;
    int distribution;

    // Lets scores and right factor through the layers from .. to; keeps what the way back needs if `record`.
    __device__ void forward(i32 from, i32 to, bool record) {
        const i32 n = layers.n, width = layers.width();
        for (i32 at = from; at < to; ++at) {
            const Layer layer = layers.layer(at);
            for (i32 k = threadIdx.x; k < layer.count; k += blockDim.x) {
                i32 low, high;
                if (!layer.pair(k, low, high)) continue;
                E weight, distance;
                compare(x[low], x[high], steepness, distribution, weight, distance);
                const i64 place = (i64)(at - from) * width + k;
                if (record) weights[place] = weight;
                if (record && distances) distances[place] = distance;
                const bool swapped = is_negative(weight);
                const E w = swapped ? -weight : weight;
                for (i64 c = 0; v && c < columns; ++c) {
                    E *p = v + c * n + low, *q = v + c * n + high;
                    const E a = swapped ? *q : *p, b = swapped ? *p : *q, difference = b - a;
                    *p = fused(w, difference, a);
                    *q = fused(w, -difference, b);
                    if (record && differences)
                        differences[((at - from) * columns + c) * width + k] = difference;
                }
            }
            __syncthreads();
        }
    }

    // Takes the left factor back through recorded layers, and the gradient to the scores if there is one; adds to that to the
    // steepness.
    __device__ void backward(i32 from, i32 to, E& total) {
        const i32 n = layers.n, width = layers.width();
        for (i32 at = to - 1; at >= from; --at) {
            const Layer layer = layers.layer(at);
            for (i32 k = threadIdx.x; k < layer.count; k += blockDim.x) {
                i32 low, high;
                if (!layer.pair(k, low, high)) continue;
                const i64 place = (i64)(at - from) * width + k;
                const E weight = weights[place];
                const bool swapped = is_negative(weight);
                const E w = swapped ? -weight : weight;
                E sum = constant<E>(0.0);
                for (i64 c = 0; c < columns; ++c) {
                    E *p = u + c * n + low, *q = u + c * n + high;
                    const E difference = *p - *q, a = fused(w, -difference, *p), b = fused(w, difference, *q);
                    *p = swapped ? b : a;
                    *q = swapped ? a : b;
                    if (to_x) sum = fused(difference, differences[((at - from) * columns + c) * width + k], sum);
                }
                if (to_x)
                    descend(to_x[low], to_x[high], weight, distances[place], sum, steepness, distribution, total);
            }
            __syncthreads();
        }
    }

    // Copies x and v to a segment's place, or back.
    __device__ void keep(i64 segment, bool back) {
        const i64 n = layers.n, size = n * (1 + (v ? columns : 0));
        E* at = kept + segment * size;
        for (i64 i = threadIdx.x; i < size; i += blockDim.x) {
            E& here = i < n ? x[i] : v[i - n];
            if (back) here = at[i];
            else at[i] = here;
        }
        __syncthreads();
    }

    // Runs the network; `arrived()` when the right factor has passed it. Where the way back does not fit, only x and v at the
    // beginning of each segment are kept, and each is run once more.
    template <class Arrived> __device__ void run(i32 segment, E& total, Arrived arrived) {
        const i32 depth = layers.depth(), last = depth > 0 ? (depth - 1) / segment : 0;
        const bool back = u != nullptr;
        for (i32 s = 0; s <= last; ++s) {
            if (back && s < last) keep(s, false);
            forward(s * segment, min(depth, (s + 1) * segment), back && s == last);
        }
        arrived();
        __syncthreads();
        for (i32 s = last; back && s >= 0; --s) {
            if (s < last) {
                keep(s, true);
                forward(s * segment, (s + 1) * segment, true);
            }
            backward(s * segment, min(depth, (s + 1) * segment), total);
        }
    }
};
