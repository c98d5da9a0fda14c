// Byte- and bit-unshuffle: what Blosc's shuffles and numcodecs' Shuffle filter did to elements, undone.
//
// A row is one Blosc block, or a whole chunk of the filter: `size` bytes at `src` become `size` bytes at `dst`, which
// do not overlap. With count = size / typesize, rounded down:
//   gz_unshuffle     src is `typesize` planes of `count` bytes; byte p of element i is byte i of plane p.
//   gz_bitunshuffle  src is 8 * typesize rows of `count` / 8 bytes; bit q of byte p of element i is bit i % 8 of
//                    byte i / 8 of row 8 * p + q. c-blosc 1.x shuffles bits only where `count` is a multiple of 8:
//                    any other block it copied as a whole, and so it is copied here.
// What is left after `count` elements is copied. (numcodecs' filter admits no such rest.) Any typesize from 1 to 65535.
//
// Launch: blocks of GZ_SHUFFLE_THREADS. A block writes 64 * max(1, 256 / typesize) elements (division rounded down:
// 16 KiB or little less, up to typesize 256), so a row has ceil(size / (64 * max(1, 256 / typesize) * typesize))
// blocks, 0 for 0 bytes; first[n + 1] counts the blocks of the rows before; grid.x = first[n], not 0.
// Trusted: all tables. Hostile: nothing; every sequence of bytes is the shuffle of some elements. No status.
// Alignment: none is assumed. Global memory is read 16 bytes at a time where src and `count` are multiples of 16
// (4 bytes likewise; rows of bits 8 at a time where src and count / 8 are multiples of 8), and written 16 bytes at a
// time where dst is a multiple of 16 and typesize is 1, 2, 4, 8 or 16; else by single bytes, neighbours in a warp.
#include "common.cuh"

#define GZ_SHUFFLE_THREADS 256
#define GZ_SHUFFLE_PLANES 256                       // of one tile; a larger typesize takes several tiles
#define GZ_SHUFFLE_PAD 16                           // a plane's start moves by four banks, and stays a multiple of 16
#define GZ_SHUFFLE_TILE (16384 + GZ_SHUFFLE_PLANES * GZ_SHUFFLE_PAD)

// The cells of a table `width` wide that fall to this thread, every 256th, without a division for each.
struct gz_shuffle_cells {
    gz_u32 row, column, width;
    GZ_DEVICE explicit gz_shuffle_cells(gz_u32 w) : row(threadIdx.x / w), column(threadIdx.x % w), width(w) {}
    GZ_DEVICE void next() {
        row += GZ_SHUFFLE_THREADS / width;
        column += GZ_SHUFFLE_THREADS % width;
        if (column >= width) {
            column -= width;
            ++row;
        }
    }
};

// Words a to d, one a row, become one a column.
GZ_DEVICE void gz_shuffle_4x4(gz_u32& a, gz_u32& b, gz_u32& c, gz_u32& d) {
    const gz_u32 ab_low = __byte_perm(a, b, 0x5140), ab_high = __byte_perm(a, b, 0x7362);
    const gz_u32 cd_low = __byte_perm(c, d, 0x5140), cd_high = __byte_perm(c, d, 0x7362);
    a = __byte_perm(ab_low, cd_low, 0x5410);
    b = __byte_perm(ab_low, cd_low, 0x7632);
    c = __byte_perm(ab_high, cd_high, 0x5410);
    d = __byte_perm(ab_high, cd_high, 0x7632);
}

// ---- into the tile: planes of bytes, `stride` apart -----------------------------------------------------------------

// m bytes of each plane; planes are `count` bytes apart in global memory. A thread has four words on their way at once.
template <typename Word>
GZ_DEVICE void gz_shuffle_planes(gz_u8* tile, gz_u32 stride, const gz_u8* from, gz_u64 count, gz_u32 planes, gz_u32 m) {
    gz_shuffle_cells at(m / (gz_u32)sizeof(Word));
#pragma unroll 1
    while (at.row < planes) {
        Word word[4];
        gz_u32 to[4];
#pragma unroll
        for (int k = 0; k < 4; ++k, at.next()) {
            const gz_u32 i = at.column * (gz_u32)sizeof(Word);
            to[k] = at.row < planes ? at.row * stride + i : GZ_SHUFFLE_TILE;
            if (to[k] < GZ_SHUFFLE_TILE) word[k] = *(const Word*)(from + at.row * count + i);
        }
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            if (to[k] < GZ_SHUFFLE_TILE) *(Word*)(tile + to[k]) = word[k];
        }
    }
}

// One bit moves between two words, in all their bytes, where `mask` has one.
GZ_DEVICE void gz_shuffle_swap(gz_u32& low, gz_u32& high, gz_u32 mask, int by) {
    const gz_u32 moved = ((low >> by) ^ high) & mask;
    high ^= moved;
    low ^= moved << by;
}

// Eight rows of bits, byte column by byte column: bit k of row q becomes bit q of row k.
GZ_DEVICE void gz_shuffle_8x8(gz_u32 (&row)[8]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) gz_shuffle_swap(row[k], row[k + 4], 0x0f0f0f0fu, 4);
#pragma unroll
    for (int k = 0; k < 4; ++k) gz_shuffle_swap(row[k + (k & 2)], row[k + (k & 2) + 2], 0x33333333u, 2);
#pragma unroll
    for (int k = 0; k < 4; ++k) gz_shuffle_swap(row[2 * k], row[2 * k + 1], 0x55555555u, 1);
}

GZ_DEVICE gz_u64 gz_shuffle_word(const gz_u8* p, gz_u32 bytes) {
    gz_u64 word = 0;
#pragma unroll 1
    for (gz_u32 b = 0; b < bytes; ++b) word |= (gz_u64)p[b] << (8 * b);
    return word;
}

// The bits of m elements as planes of bytes; bit rows are `pitch` bytes apart. A thread takes 8 bytes of each of the 8
// rows of a plane: 64 elements. (What it writes past m lies in the tile.)
GZ_DEVICE void gz_shuffle_bits(gz_u8* tile, gz_u32 stride, const gz_u8* from, gz_u64 pitch, gz_u32 planes, gz_u32 m) {
    const bool aligned = (((gz_u64)from | pitch) & 7) == 0;
#pragma unroll 1
    for (gz_shuffle_cells at((m + 63) / 64); at.row < planes; at.next()) {
        const gz_u8* p = from + 8 * at.row * pitch + 8 * at.column;
        const gz_u32 left = m / 8 - 8 * at.column, bytes = left < 8 ? left : 8;
        gz_u32 low[8], high[8];
#pragma unroll
        for (int q = 0; q < 8; ++q, p += pitch) {
            const gz_u64 bits = aligned && bytes == 8 ? *(const gz_u64*)p : gz_shuffle_word(p, bytes);
            low[q] = (gz_u32)bits;
            high[q] = (gz_u32)(bits >> 32);
        }
        gz_shuffle_8x8(low);
        gz_shuffle_8x8(high);
        gz_shuffle_4x4(low[0], low[1], low[2], low[3]);
        gz_shuffle_4x4(low[4], low[5], low[6], low[7]);
        gz_shuffle_4x4(high[0], high[1], high[2], high[3]);
        gz_shuffle_4x4(high[4], high[5], high[6], high[7]);
        uint4* to = (uint4*)(tile + at.row * stride + 64 * at.column);
        to[0] = make_uint4(low[0], low[4], low[1], low[5]);
        to[1] = make_uint4(low[2], low[6], low[3], low[7]);
        to[2] = make_uint4(high[0], high[4], high[1], high[5]);
        to[3] = make_uint4(high[2], high[6], high[3], high[7]);
    }
}

// ---- out of the tile ------------------------------------------------------------------------------------------------

GZ_DEVICE gz_u32 gz_shuffle_pack(const gz_u8* tile, gz_u32 stride) {
    return tile[0] | tile[stride] << 8 | tile[2 * stride] << 16 | (gz_u32)tile[3 * stride] << 24;
}

// 16 bytes of the result: the elements whose byte 0 stands at `tile`.
template <int T>
GZ_DEVICE uint4 gz_shuffle_vector(const gz_u8* tile, gz_u32 stride) {
    uint4 v;
    if (T == 1) {
        v = *(const uint4*)tile;
    } else if (T == 2) {
        const uint2 a = *(const uint2*)tile, b = *(const uint2*)(tile + stride);
        v.x = __byte_perm(a.x, b.x, 0x5140);
        v.y = __byte_perm(a.x, b.x, 0x7362);
        v.z = __byte_perm(a.y, b.y, 0x5140);
        v.w = __byte_perm(a.y, b.y, 0x7362);
    } else if (T == 4) {
        v.x = *(const gz_u32*)tile;
        v.y = *(const gz_u32*)(tile + stride);
        v.z = *(const gz_u32*)(tile + 2 * stride);
        v.w = *(const gz_u32*)(tile + 3 * stride);
        gz_shuffle_4x4(v.x, v.y, v.z, v.w);
    } else if (T == 8) {
        gz_u32 p[8];
#pragma unroll
        for (int k = 0; k < 8; ++k) p[k] = *(const gz_u16*)(tile + k * stride);
        gz_shuffle_4x4(p[0], p[1], p[2], p[3]);
        gz_shuffle_4x4(p[4], p[5], p[6], p[7]);
        v.x = p[0];
        v.y = p[4];
        v.z = p[1];
        v.w = p[5];
    } else {
        v.x = gz_shuffle_pack(tile, stride);
        v.y = gz_shuffle_pack(tile + 4 * stride, stride);
        v.z = gz_shuffle_pack(tile + 8 * stride, stride);
        v.w = gz_shuffle_pack(tile + 12 * stride, stride);
    }
    return v;
}

// Bytes 0 to planes - 1 of m elements, which are `typesize` apart.
GZ_DEVICE void gz_shuffle_bytes(gz_u8* to, gz_u64 typesize, const gz_u8* tile, gz_u32 stride, gz_u32 planes, gz_u32 m) {
#pragma unroll 1
    for (gz_shuffle_cells at(planes); at.row < m; at.next()) {
        to[at.row * typesize + at.column] = tile[at.column * stride + at.row];
    }
}

// m whole elements of T bytes; `to` is a multiple of 16.
template <int T>
GZ_DEVICE void gz_shuffle_elements(gz_u8* to, const gz_u8* tile, gz_u32 stride, gz_u32 m) {
    const gz_u32 each = 16 / T, vectors = m / each;
#pragma unroll 1
    for (gz_u32 v = threadIdx.x; v < vectors; v += GZ_SHUFFLE_THREADS) {
        *(uint4*)(to + 16 * v) = gz_shuffle_vector<T>(tile + each * v, stride);
    }
    gz_shuffle_bytes(to + 16 * vectors, T, tile + each * vectors, stride, T, m % each);
}

GZ_DEVICE void gz_shuffle_store(gz_u8* to, gz_u32 typesize, const gz_u8* tile, gz_u32 stride, gz_u32 planes, gz_u32 m) {
    switch (((gz_u64)to & 15) == 0 ? typesize : 0) {
        case 1: gz_shuffle_elements<1>(to, tile, stride, m); break;
        case 2: gz_shuffle_elements<2>(to, tile, stride, m); break;
        case 4: gz_shuffle_elements<4>(to, tile, stride, m); break;
        case 8: gz_shuffle_elements<8>(to, tile, stride, m); break;
        case 16: gz_shuffle_elements<16>(to, tile, stride, m); break;
        default: gz_shuffle_bytes(to, typesize, tile, stride, planes, m);
    }
}

// ---- one block's share of a row -------------------------------------------------------------------------------------

GZ_DEVICE void gz_shuffle_copy(gz_u8* to, const gz_u8* from, gz_u64 size) {
    gz_u64 done = 0;
    if ((((gz_u64)to | (gz_u64)from) & 15) == 0) {
        done = size & ~15ull;
        for (gz_u64 i = 16 * threadIdx.x; i < done; i += 16 * GZ_SHUFFLE_THREADS) {
            *(uint4*)(to + i) = *(const uint4*)(from + i);
        }
    }
    for (gz_u64 i = done + threadIdx.x; i < size; i += GZ_SHUFFLE_THREADS) to[i] = from[i];
}

// a / b by digits of 16 bits, b < 65536: a division of 64 bits is a call, and registers kept across it.
GZ_DEVICE gz_u64 gz_shuffle_divide(gz_u64 a, gz_u32 b) {
    const gz_u32 high = (gz_u32)(a >> 32), low = (gz_u32)a;
    const gz_u32 middle = high % b << 16 | low >> 16, last = middle % b << 16 | (low & 0xffff);
    return (gz_u64)(high / b) << 32 | (gz_u64)(middle / b) << 16 | last / b;
}

template <bool BITS>
GZ_DEVICE void gz_shuffle_undo(gz_u8* tile, const gz_u8* from, gz_u8* to, gz_u64 size, gz_u32 typesize, gz_u64 piece) {
    GZ_ASSUME_GLOBAL(from);
    GZ_ASSUME_GLOBAL(to);
    const gz_u32 elements = typesize < 256 ? 64 * (256 / typesize) : 64, stride = elements + GZ_SHUFFLE_PAD;
    const gz_u64 first = piece * elements, begin = first * typesize;
    const bool last = begin + (gz_u64)elements * typesize >= size;
    const gz_u64 count = gz_shuffle_divide(size, typesize);
    if (BITS ? count % 8 != 0 : typesize == 1) {
        gz_shuffle_copy(to + begin, from + begin, last ? size - begin : (gz_u64)elements * typesize);
        return;
    }
    if (first < count) {
        const gz_u32 m = count - first < elements ? (gz_u32)(count - first) : elements;
        for (gz_u32 plane = 0; plane < typesize; plane += GZ_SHUFFLE_PLANES) {
            const gz_u32 planes = typesize - plane < GZ_SHUFFLE_PLANES ? typesize - plane : GZ_SHUFFLE_PLANES;
            const gz_u8* source = from + plane * count + (BITS ? first / 8 : first);
            const gz_u64 lie = (gz_u64)source | count;
            if (plane) __syncthreads();  // the tile is used again
            if (BITS) gz_shuffle_bits(tile, stride, source, count / 8, planes, m);
            else if ((lie & 15) == 0) gz_shuffle_planes<uint4>(tile, stride, source, count, planes, m);
            else if ((lie & 3) == 0) gz_shuffle_planes<gz_u32>(tile, stride, source, count, planes, m);
            else gz_shuffle_planes<gz_u8>(tile, stride, source, count, planes, m);
            __syncthreads();
            gz_shuffle_store(to + begin + plane, typesize, tile, stride, planes, m);
        }
    }
    if (last) gz_shuffle_copy(to + count * typesize, from + count * typesize, size - count * typesize);
}

#define GZ_UNSHUFFLE(name, bits)                                                                                       \
    extern "C" __global__ void __launch_bounds__(GZ_SHUFFLE_THREADS, 4)                                                \
    name(const gz_u64* src, const gz_u64* dst, const gz_u64* size, const gz_u64* typesize, const gz_i64* first,        \
         gz_u32 n) {                                                                                                   \
        __shared__ __align__(16) gz_u8 tile[GZ_SHUFFLE_TILE];                                                          \
        const gz_u32 row = gz_row_of(first, n, blockIdx.x);                                                            \
        const gz_u64 piece = (gz_u64)(blockIdx.x - first[row]);                                                        \
        gz_shuffle_undo<bits>(tile, (const gz_u8*)src[row], (gz_u8*)dst[row], size[row], (gz_u32)typesize[row], piece);\
    }
GZ_UNSHUFFLE(gz_unshuffle, false)
GZ_UNSHUFFLE(gz_bitunshuffle, true)
