// The kernels of `argrad.topology` that match the bars of two images (compare.rs).
#include "plane.cuh"

// trees, labelled, at_links and label_at_links as `join_links` and `note_ends` leave them, link_keys by rank -> match[2 kinds]
// [images][n], NONE at first: the second image's cell for a cell of the first. Cells of the kind `shared` are matched if they
// lose their titles at one link of the comparison, others if their components have one elder in its order; `strict` demands
// that the image pairs are not empty, otherwise that the comparison's bar is not. One thread a cell and kind.
__global__ void match_cells(const u64* trees, const u64* labelled, const u32* keys, const u32* squares, const u32* link_keys,
                            const u32* order, const i64* starts, const u32* at_links, const u32* label_at_links, u32* match,
                            i64 images, i64 n, i64 lists, i64 shared, i64 strict) {
    const Values values = {keys, squares, n};
    const i64 segments = 3 * images;
    const Links links = {nullptr, link_keys, order, starts, lists};
    auto labels = [=](i64 label, i64 image) { return labelled + (label * images + image) * (n + 1); };
    for (i64 at = thread_in_grid(); at < 2 * images * n; at += threads_in_grid()) {
        i64 image = at / n % images, comparison = 2 * images + image;
        u32 cell = (u32)(at % n);
        int kind = (int)(at / n / images);
        if (kind == shared) {
            u64 way = labels(2, image)[cell];
            if (way == NEVER) continue;
            i64 place = links.place(kind, comparison, rank_of(way));
            u32 other = label_at_links[place], key = link_keys[links.at(kind, comparison, rank_of(way))];
            bool good = strict ? values.lasts(kind, image, cell, key) && values.lasts(kind, images + image, other, key)
                               : values.lasts(kind, comparison, at_links[place] & 0x7FFFFFFFu, key);
            if (good) match[at] = other;
        } else {
            u32 ends[2];
            bool good = true;
            for (i64 side = 0; side < 2; ++side) {
                u64 way = labels(side, image)[cell];
                if (way == NEVER) {
                    good = false;
                    break;
                }
                i64 segment = side * images + image;
                u32 key = link_keys[links.at(kind, segment, rank_of(way))];
                ends[side] = at_links[links.place(kind, segment, rank_of(way))] & 0x7FFFFFFFu;
                good &= values.lasts(kind, segment, ends[side], key) &&
                        (!strict || values.lasts(kind, comparison, cell, key));
            }
            if (good && !strict) {
                u64 way = trees[(kind * segments + comparison) * (n + 1) + cell];
                good = way != NEVER && rank_of(way) > 0 &&
                       values.lasts(kind, comparison, cell, link_keys[links.at(kind, comparison, rank_of(way))]);
            }
            if (good) match[((i64)kind * images + image) * n + ends[0]] = ends[1];
        }
    }
}

// table[0 .. count) (the images of the first side's bars), cells[count], match and places as in `find_bars` and `write_bars` ->
// partners[count]: the place of the second side's bar that each is matched with, or NONE; back: the other way, NONE at first.
// One thread a bar.
__global__ void pair_bars(const i64* table, const u32* cells, const u32* match, const u32* places, u32* partners, u32* back,
                          i64 count, i64 images, i64 n) {
    for (i64 i = thread_in_grid(); i < count; i += threads_in_grid()) {
        u32 cell = cells[i], found = NONE;
        if (cell == NONE) {
            found = places[2 * images * n + table[i]];
        } else {
            i64 part = ((i64)(cell >> 31) * images + table[i]) * n;
            u32 other = match[part + (cell & 0x7FFFFFFFu)];
            if (other != NONE) found = places[part + other];
        }
        partners[i] = found;
        if (found != NONE) back[found] = (u32)i;
    }
}

// partners[count] -> without `write`: counts[chunks] of bars with a partner; with scanned counts: pairs[][2], unless null, of
// those, and alone[] the places of the others. One block a chunk.
__global__ void split_bars(const u32* partners, i64* counts, i64* pairs, i64* alone, i64 count,
                           i64 write) {
    for (i64 chunk = blockIdx.x; chunk < chunks_of(count); chunk += gridDim.x) {
        i64 before = write ? counts[chunk] : 0;
        for (i64 base = chunk * CHUNK; base < min(count, (chunk + 1) * CHUNK); base += blockDim.x) {
            i64 i = base + threadIdx.x;
            u32 partner = i < count ? partners[i] : NONE, total;
            i64 at = before + block_scan((u32)(partner != NONE), total);
            if (write && i < count) {
                if (partner == NONE) {
                    alone[i - at] = i;
                } else if (pairs) {
                    pairs[2 * at] = i;
                    pairs[2 * at + 1] = partner;
                }
            }
            before += total;
        }
        if (!write && threadIdx.x == 0) counts[chunk] = before;
        __syncthreads();
    }
}
