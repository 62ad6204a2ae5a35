// The kernels of `argrad.topology` that put the bars of degree 1 of volumes, which the host finds, between the others.
#include "plane.cuh"

// How many of the bars table[2][count] (images, then degrees), sorted, come before an image and degree.
__device__ __forceinline__ i64 bars_before(const i64* table, i64 count, i64 image, i64 degree) {
    i64 low = 0, high = count;
    while (low < high) {
        i64 middle = (low + high) / 2, other = table[middle];
        bool before = other < image || (other == image && table[count + middle] < degree);
        if (before) low = middle + 1; else high = middle;
    }
    return low;
}

// own[4][count] and more[4][others], bars sorted by image and degree that have no (image, degree) in common ->
// merged[4][count + others] in that order, and places[count + others]: where each went, those of `own` first. One thread a bar;
// a binary search for each.
__global__ void merge_bars(const i64* own, const i64* more, i64* merged, i64* places, i64 count, i64 others) {
    const i64 total = count + others;
    for (i64 at = thread_in_grid(); at < total; at += threads_in_grid()) {
        const bool first = at < count;
        const i64 *table = first ? own : more, length = first ? count : others, i = first ? at : at - count;
        const i64 place = i + bars_before(first ? more : own, total - length, table[i], table[length + i]);
        for (int field = 0; field < 4; ++field) merged[field * total + place] = table[field * length + i];
        places[at] = place;
    }
}

// partners[total] of bars before they were merged, or NONE; places[total] of those, other_places of their partners ->
// moved[total]: the same by the places after. One thread a bar.
__global__ void move_partners(const u32* partners, const i64* places, const i64* other_places, u32* moved, i64 total) {
    for (i64 i = thread_in_grid(); i < total; i += threads_in_grid()) {
        u32 partner = partners[i];
        moved[places[i]] = partner == NONE ? NONE : (u32)other_places[partner];
    }
}
