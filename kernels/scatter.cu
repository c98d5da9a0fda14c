// Elements of decoded chunks to their places in a result: one launch for many tiles, whatever their size.
//
// Common to the three (tiles.cuh has the launch rules, and how a block does its share):
//   src[n]     address of each tile's chunk, decoded; 0: its elements are the fill value
//   itemsize   bytes of an element, at least 1
//   swap       bytes that are reversed within an element: 0 none, else the size of the unit, which divides itemsize
//   fill       the fill value in the byte order of the result, on a multiple of 16 and repeated to 16 bytes where a
//              number of them is 16; not read where no src is 0
//   elements   elements of a block; first[n + 1]: blocks of the tiles before
// Ranks have no maximum. Everything here is a table, made and checked by the planner: nothing is hostile, no status.
#include "tiles.cuh"

// Element (j0, j1, ...) of box i: from src[i] + sum jk * step[i, k] to dst[i] + sum jk * out_strides[k], in bytes.
extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_scatter_boxes(const gz_u64* src, const gz_u64* dst, const gz_i64* count, const gz_i64* step,
                 const gz_i64* out_strides, gz_i32 d, gz_i32 itemsize, gz_i32 swap, const gz_u8* fill, gz_i32 elements,
                 const gz_i64* first, gz_u32 n) {
    __shared__ gz_share<gz_box> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const bool filled = src[i] == 0;
        const gz_u64 from = filled ? (gz_u64)fill : src[i];
        const gz_box tile = {{from, dst[i]}, count + i * d, filled ? nullptr : step + i * d, out_strides, d};
        gz_begin_share(share, tile, filled, itemsize, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_copy_share(share, elements);
}

// Element (j0, j1, ...) of tile i, with ek = first_entry[i, k] + jk: from src[i] + sum positions[k][ek] to
// out + sum targets[k][ek], in bytes. positions[d] and targets[d] are addresses of columns.
extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_scatter_tables(const gz_u64* src, gz_u64 out, const gz_i64* first_entry, const gz_i64* count,
                  const gz_u64* positions, const gz_u64* targets, gz_i32 d, gz_i32 itemsize, gz_i32 swap,
                  const gz_u8* fill, gz_i32 elements, const gz_i64* first, gz_u32 n) {
    __shared__ gz_share<gz_table> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const bool filled = src[i] == 0;
        const gz_u64 from = filled ? (gz_u64)fill : src[i];
        const gz_table tile = {{from, out}, count + i * d, first_entry + i * d, filled ? nullptr : positions,
                               targets, d};
        gz_begin_share(share, tile, filled, itemsize, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_copy_share(share, elements);
}

// Point j of tile i, with p = first_point[i] + j: from src[i] + position[p] to out + target[p], in bytes.
extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_scatter_points(const gz_u64* src, gz_u64 out, const gz_i64* first_point, const gz_i64* count, const gz_i64* position,
                  const gz_i64* target, gz_i32 itemsize, gz_i32 swap, const gz_u8* fill, gz_i32 elements,
                  const gz_i64* first, gz_u32 n) {
    __shared__ gz_share<gz_points> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const bool filled = src[i] == 0;
        const gz_u64 from = filled ? (gz_u64)fill : src[i];
        const gz_points tile = {{from, out}, count + i, filled ? nullptr : position + first_point[i],
                                target + first_point[i]};
        gz_begin_share(share, tile, filled, itemsize, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_copy_share(share, elements);
}
