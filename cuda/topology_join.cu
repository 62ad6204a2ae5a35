// The kernels of `argrad.topology` that join components at critical links: merge trees of images of any number of axes.
#include "plane.cuh"

// The merge trees of both kinds: trees[2][segments][n + 1] in the segments' own orders, and labelled[4][images][n + 1] of three
// sides in others: of the images' nodes of the other kind than `shared` in the comparison's order, and of the comparison's
// `shared` nodes in those of both images. ids, order[links of all lists] as in `Links`. One thread a link and kind, in nearly
// their order: the blocks of all segments and both kinds take turns.
__global__ void join_links(u64* trees, u64* labelled, const u32* keys, const u32* squares, const u32* ids, const u32* order,
                           const i64* starts, i64 images, i64 sides, i64 planes, i64 h, i64 w, i64 shared) {
    const i64 n = planes * h * w, segments = sides * images, turns = 2 * segments, parts = gridDim.x / turns;
    const i64 segment = blockIdx.x % turns / 2, side = segment / images, image = segment % images;
    const int kind = blockIdx.x % 2;
    const Values values = {keys, squares, n};
    const Links links = {ids, nullptr, order, starts, planes > 1 ? segments : 0};
    const Cells cells = {keys + segment * n, planes, h, w};
    const i64 count = links.end(kind, segment) - links.first(kind, segment);
    u64* tree = trees + (kind * segments + segment) * (n + 1);
    const bool carries = sides == 3 && (side == 2) == (kind == shared);
    for (i64 i = blockIdx.x / turns * blockDim.x + threadIdx.x; i < count; i += parts * blockDim.x) {
        u32 rank = (u32)i + 1, a, b;
        cells.ends(kind, ids[links.place(kind, segment, rank)], a, b);
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

// trees and labelled as above -> at_links[links of all lists]: by place in the list the node whose component ends at the link,
// below 1 bit for the top degree; label_at_links: the same, without the bit, of the comparison's labels in the order of the second
// image. One thread a cell and kind.
__global__ void note_ends(const u64* trees, const u64* labelled, const u32* order, const i64* starts, u32* at_links,
                          u32* label_at_links, i64 images, i64 sides, i64 n, i64 lists,
                          i64 shared) {
    const i64 segments = sides * images;
    const Links links = {nullptr, nullptr, order, starts, lists};
    for (i64 at = thread_in_grid(); at < 2 * segments * n; at += threads_in_grid()) {
        i64 cell = at % n, part = at / n, segment = part % segments;
        int kind = (int)(part / segments);
        u64 way = trees[part * (n + 1) + cell];
        if (rank_of(way) > 0 && way != NEVER)
            at_links[links.place(kind, segment, rank_of(way))] = (u32)cell | (u32)kind << 31;
        if (sides == 3 && segment >= 2 * images && kind == shared) {
            way = labelled[(3 * images + segment - 2 * images) * (n + 1) + cell];
            if (way != NEVER)
                label_at_links[links.place(kind, segment, rank_of(way))] = (u32)cell;
        }
    }
}
