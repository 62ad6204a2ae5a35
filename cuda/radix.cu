// A radix sort by many blocks, for lists that one block would take too long for, and the scan that it and others need.
//
// A list is cut into segments, each sorted on its own; a segment is cut into as many pieces as there shall be blocks for it.
// A pass by one digit is three launches: radix_count, scan_rows over [segments][digit][piece], radix_move.
#include "sort.cuh"

#define RADIX_WARPS 8
#define SCAN_ITEMS 8

// counts[rows][length] -> in its place the sum of what stands before in the row; totals[rows], unless null, gets that of the
// whole row. One block a row; 1 read and 1 write of each.
__global__ void scan_rows(i64* counts, i64* totals, i64 rows, i64 length) {
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        i64* numbers = counts + row * length;
        i64 before = 0;
        for (i64 base = 0; base < length; base += (i64)SCAN_ITEMS * blockDim.x) {
            i64 first = base + (i64)SCAN_ITEMS * threadIdx.x, item[SCAN_ITEMS], sum = 0;
#pragma unroll
            for (int j = 0; j < SCAN_ITEMS; ++j) {
                item[j] = first + j < length ? numbers[first + j] : 0;
                sum += item[j];
            }
            i64 total, at = before + block_scan(sum, total);
#pragma unroll
            for (int j = 0; j < SCAN_ITEMS; ++j) {
                if (first + j < length) numbers[first + j] = at;
                at += item[j];
            }
            before += total;
        }
        if (totals && threadIdx.x == 0) totals[row] = before;
        __syncthreads();
    }
}

// The items of one piece of a segment. Pieces begin at multiples of a tile, so that all but the last are full.
struct Piece {
    i64 first, end;
};
__device__ __forceinline__ Piece piece_of(const i64* starts, i64 segment, i64 piece, i64 pieces, i64 tile) {
    i64 start = starts[segment], end = starts[segment + 1];
    i64 tiles = (end - start + tile - 1) / tile, each = (tiles + pieces - 1) / pieces;
    return {min(start + piece * each * tile, end), min(start + (piece + 1) * each * tile, end)};
}

#define RADIX_TILE ((i64)RADIX_WARPS * WARP * 8)

// How many keys of each piece have each digit: keys[starts[segments]] -> counts[segments][digit][pieces]. One block a piece of
// 256 threads; 1 read of the keys.
template <class Key>
__global__ void radix_count(const Key* keys, const i64* starts, i64* counts, i64 segments, i64 pieces, i64 shift) {
    __shared__ u32 found[RADIX];
    for (i64 block = blockIdx.x; block < segments * pieces; block += gridDim.x) {
        i64 segment = block / pieces, piece = block % pieces;
        Piece range = piece_of(starts, segment, piece, pieces, RADIX_TILE);
        for (int d = threadIdx.x; d < RADIX; d += blockDim.x) found[d] = 0;
        __syncthreads();
        for (i64 i = range.first + threadIdx.x; i < range.end; i += blockDim.x)
            atomicAdd(&found[(u32)(keys[i] >> shift) & (RADIX - 1)], 1u);
        __syncthreads();
        for (int d = threadIdx.x; d < RADIX; d += blockDim.x) counts[(segment * RADIX + d) * pieces + piece] = found[d];
        __syncthreads();
    }
}

// Moves keys and numbers, by the scanned counts, to where they belong in their segment; items of one digit keep their order.
// Where `numbers` is null, an item's number is its place in the segment. Shapes as in `radix_count`. One block a piece of 256
// threads; each warp takes 32 items at a time, the warps one stretch of the tile after the other.
template <class Key>
__global__ void radix_move(const Key* keys, const u32* numbers, Key* moved, u32* moved_numbers, const i64* starts,
                           const i64* counts, i64 segments, i64 pieces, i64 shift) {
    __shared__ i64 next[RADIX];                  // where this piece's next items of each digit go
    __shared__ u32 ranks[RADIX_WARPS][RADIX];    // of each warp in this tile; then how many of the tile stand before
    const int items = 8, lane = lane_of(), warp = warp_of();
    for (i64 block = blockIdx.x; block < segments * pieces; block += gridDim.x) {
        i64 segment = block / pieces, start = starts[segment];
        Piece range = piece_of(starts, segment, block % pieces, pieces, RADIX_TILE);
        for (int d = threadIdx.x; d < RADIX; d += blockDim.x)
            next[d] = start + counts[(segment * RADIX + d) * pieces + block % pieces];
        for (i64 base = range.first; base < range.end; base += RADIX_TILE) {
            for (int d = threadIdx.x; d < RADIX * RADIX_WARPS; d += blockDim.x) ranks[d / RADIX][d % RADIX] = 0;
            __syncthreads();
            Key key[items];
            u32 number[items], rank[items];
#pragma unroll
            for (int j = 0; j < items; ++j) {
                i64 i = base + (i64)(warp * items + j) * WARP + lane;
                bool there = i < range.end;
                key[j] = there ? keys[i] : Key(0);
                number[j] = there ? numbers ? numbers[i] : (u32)(i - start) : 0;
                u32 digit = there ? (u32)(key[j] >> shift) & (RADIX - 1) : (u32)RADIX;
                u32 same = __match_any_sync(FULL, digit);
                u32 known = there ? ranks[warp][digit] : 0;
                __syncwarp();
                rank[j] = known + __popc(same & ((1u << lane) - 1));
                if (there && lane == __ffs(same) - 1) ranks[warp][digit] = known + __popc(same);
                __syncwarp();
            }
            __syncthreads();
            u32 count_of_tile = 0;  // a thread a digit
            for (int w = 0; w < RADIX_WARPS; ++w) {
                u32 count = ranks[w][threadIdx.x];
                ranks[w][threadIdx.x] = count_of_tile;
                count_of_tile += count;
            }
            __syncthreads();
#pragma unroll
            for (int j = 0; j < items; ++j) {
                i64 i = base + (i64)(warp * items + j) * WARP + lane;
                if (i < range.end) {
                    u32 digit = (u32)(key[j] >> shift) & (RADIX - 1);
                    i64 to = next[digit] + ranks[warp][digit] + rank[j];
                    moved[to] = key[j];
                    moved_numbers[to] = number[j];
                }
            }
            __syncthreads();
            next[threadIdx.x] += count_of_tile;
        }
        __syncthreads();
    }
}
