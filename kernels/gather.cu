// Elements of a result to their places in chunks, before those are encoded: the reverse of scatter.cu.
//
// The columns are those of scatter.cu, and so are the launch rules (tiles.cuh); there is no fill value. `src` is where
// the tile's chunk is written, `dst` and `out` where values are read; `swap` turns them to the byte order as stored.
// Places in chunks are distinct: where a selection names an element twice the planner keeps the last. Values may be
// named often (a stride of 0 repeats one).
#include "tiles.cuh"

extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_gather_boxes(const gz_u64* src, const gz_u64* dst, const gz_i64* count, const gz_i64* step,
                const gz_i64* out_strides, gz_i32 d, gz_i32 itemsize, gz_i32 swap, gz_i32 elements, const gz_i64* first,
                gz_u32 n) {
    __shared__ gz_share<gz_box> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const gz_box tile = {{dst[i], src[i]}, count + i * d, out_strides, step + i * d, d};
        gz_begin_share(share, tile, false, itemsize, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_copy_share(share, elements);
}

extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_gather_tables(const gz_u64* src, gz_u64 out, const gz_i64* first_entry, const gz_i64* count, const gz_u64* positions,
                 const gz_u64* targets, gz_i32 d, gz_i32 itemsize, gz_i32 swap, gz_i32 elements, const gz_i64* first,
                 gz_u32 n) {
    __shared__ gz_share<gz_table> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const gz_table tile = {{out, src[i]}, count + i * d, first_entry + i * d, targets, positions, d};
        gz_begin_share(share, tile, false, itemsize, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_copy_share(share, elements);
}

extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_gather_points(const gz_u64* src, gz_u64 out, const gz_i64* first_point, const gz_i64* count, const gz_i64* position,
                 const gz_i64* target, gz_i32 itemsize, gz_i32 swap, gz_i32 elements, const gz_i64* first, gz_u32 n) {
    __shared__ gz_share<gz_points> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const gz_points tile = {{out, src[i]}, count + i, target + first_point[i], position + first_point[i]};
        gz_begin_share(share, tile, false, itemsize, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_copy_share(share, elements);
}
