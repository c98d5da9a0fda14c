// Byte strings to other places: stored streams, chunks that are not compressed, tails.
//
// Row i copies size[i] bytes from src[i] to dst[i]: any size, any alignment; nothing that one row writes another reads.
// It is cut into pieces of 16 KiB, a piece a block of 128 threads; first[n + 1] counts the pieces of the rows before (a
// row of 0 bytes has none); grid.x = first[n], not 0. Tables are believed; bytes are only moved, so nothing is hostile,
// and there is no status.
//
// Where both addresses are off a multiple of 16 by the same, lines of 16 bytes are moved; else words of 4 whose address
// in dst is a multiple of 4, each put together of the two words that it lies in. Bytes of other rows are never read.
#include "access.cuh"

#define GZ_PIECE 16384
#define GZ_COPY_THREADS 128

// Fewer bytes than there are threads.
GZ_DEVICE void gz_copy_edge(gz_u64 dst, gz_u64 src, gz_u32 size) {
    if (threadIdx.x < size) gz_put((gz_u8*)dst + threadIdx.x, gz_get((const gz_u8*)src + threadIdx.x));
}

// Both addresses are multiples of 16. All loads of a round come before its stores, so that they are under way together.
GZ_DEVICE void gz_copy_lines(gz_u64 dst, gz_u64 src, gz_u32 lines) {
    constexpr gz_u32 batch = 4, step = GZ_COPY_THREADS;
    uint4* to = (uint4*)dst;
    const uint4* from = (const uint4*)src;
#pragma unroll 1
    for (gz_u32 begin = threadIdx.x; begin < lines; begin += batch * step) {
        uint4 value[batch] = {};
#pragma unroll
        for (gz_u32 k = 0; k < batch; k++)
            if (begin + k * step < lines) value[k] = gz_get(from + begin + k * step);
#pragma unroll
        for (gz_u32 k = 0; k < batch; k++)
            if (begin + k * step < lines) gz_put(to + begin + k * step, value[k]);
    }
}

// `dst` is a multiple of 4. Up to 3 bytes before the source are read, and up to 4 after it.
GZ_DEVICE void gz_copy_words(gz_u64 dst, gz_u64 src, gz_u32 words) {
    constexpr gz_u32 batch = 8, step = GZ_COPY_THREADS;
    const gz_u32 shift = (gz_u32)src % 4 * 8;
    gz_u32* to = (gz_u32*)dst;
    const gz_u32* from = (const gz_u32*)(src - src % 4);
#pragma unroll 1
    for (gz_u32 begin = threadIdx.x; begin < words; begin += batch * step) {
        gz_u32 low[batch] = {}, high[batch] = {};
#pragma unroll
        for (gz_u32 k = 0; k < batch; k++) {
            if (begin + k * step >= words) continue;
            low[k] = gz_get(from + begin + k * step);
            high[k] = gz_get(from + begin + k * step + 1);
        }
#pragma unroll
        for (gz_u32 k = 0; k < batch; k++)
            if (begin + k * step < words) gz_put(to + begin + k * step, __funnelshift_r(low[k], high[k], shift));
    }
}

extern "C" __global__ void __launch_bounds__(GZ_COPY_THREADS)
gz_copy(const gz_u64* src, const gz_u64* dst, const gz_u64* size, const gz_i64* first, gz_u32 n) {
    const gz_u32 row = gz_row_of(first, n, blockIdx.x);
    const gz_u64 begin = (gz_u64)(blockIdx.x - first[row]) * GZ_PIECE, rest = size[row] - begin;
    const gz_u64 from = src[row] + begin, to = dst[row] + begin;
    const gz_u32 bytes = rest < GZ_PIECE ? (gz_u32)rest : GZ_PIECE;
    const bool alike = (from - to) % 16 == 0;
    // Words that are put together need bytes of this piece around them: 4 more stay at either edge.
    const gz_u32 unit = alike ? 16 : 4, spare = alike ? 0 : 4;
    const gz_u32 head = (gz_u32)(0 - to) % unit + spare;
    if (bytes < head + spare) return gz_copy_edge(to, from, bytes);
    const gz_u32 tail = (bytes - head) % unit + spare, body = bytes - head - tail;
    gz_copy_edge(to, from, head);
    if (alike) gz_copy_lines(to + head, from + head, body / 16);
    else gz_copy_words(to + head, from + head, body / 4);
    gz_copy_edge(to + head + body, from + head + body, tail);
}
