// The bytes of each element of decoded chunks in another order, and some of their bits cleared: structured types in the
// other byte order, types of which a reader looks at some bits only.
//
// Row i is size[i] bytes, a multiple of `itemsize`, from src[i] to dst[i], which do not overlap; any alignment. Byte k of an
// element is byte (order[k] & 0xffffffff) of it, with the bits (order[k] >> 32). It is cut into pieces of 16 KiB, a piece a
// block of 128 threads, as gz_copy has them: first[n + 1] counts the pieces of the rows before; grid.x = first[n], not 0.
// itemsize is at most 4096. Tables are believed, order[k] is below itemsize; bytes are only moved, so nothing is hostile,
// and there is no status.
//
// A thread takes every 128th byte, so that a warp writes 32 bytes side by side, and what it reads lies within an element
// of them. Such types are rare, and their elements small: the bytes of one are in the cache by the time all are read.
#include "access.cuh"

#define GZ_PIECE 16384
#define GZ_REARRANGE_THREADS 128

extern "C" __global__ void __launch_bounds__(GZ_REARRANGE_THREADS)
gz_rearrange(const gz_u64* src, const gz_u64* dst, const gz_u64* size, const gz_u64* order, gz_u32 itemsize,
             const gz_i64* first, gz_u32 n) {
    const gz_u32 row = gz_row_of(first, n, blockIdx.x);
    const gz_u64 begin = (gz_u64)(blockIdx.x - first[row]) * GZ_PIECE, rest = size[row] - begin;
    const gz_u32 bytes = rest < GZ_PIECE ? (gz_u32)rest : GZ_PIECE, within = (gz_u32)(begin % itemsize);
    const gz_u8* const from = (const gz_u8*)(src[row] + begin - within);
    gz_u8* const to = (gz_u8*)(dst[row] + begin);
    for (gz_u32 at = threadIdx.x; at < bytes; at += GZ_REARRANGE_THREADS) {
        const gz_u32 k = (at + within) % itemsize;
        const gz_u64 source = gz_get(order + k);
        gz_put(to + at, (gz_u8)(gz_get(from + (at + within - k) + (gz_u32)source) & (gz_u32)(source >> 32)));
    }
}
