// Checksums of a row of bytes, by a block: cyclic redundancy checks, and sums of bytes and of words of 16 bits.
//
// Who includes this says how many threads a block has: GZ_CHECKSUM_THREADS, a multiple of 32. All take part; before and
// behind a call is a barrier of theirs, since `table` and `part` are in shared memory.
// Alignment: none is assumed. Reads of 16 bytes at multiples of 16, single bytes at both ends. Sizes to 256 GiB (sums of 64
// bits overflow later).
//
// A block walks a row in tiles, 16 bytes a thread. The tiles end where the last whole 16 bytes end, and the first begins as
// if 0 bytes stood before the row: they change none of the sums. Each thread keeps what its own 16 columns add up to; their
// distance from the end comes in once, after the last tile, as do the at most 15 bytes behind.
#pragma once
#include "common.cuh"

#define GZ_CHECKSUM_TILE (16 * GZ_CHECKSUM_THREADS)
#define GZ_CHECKSUM_WARPS (GZ_CHECKSUM_THREADS / 32)

// One row, cut as said above.
struct gz_checksum_row {
    const gz_u8* begin;  // of the row
    const gz_u8* tiles;  // of the tiles, may lie up to a tile less 1 before the row
    const gz_u8* body;   // the end of the tiles, the beginning of the tail
    gz_u64 count;        // of tiles
    gz_u32 tail;         // bytes, 0 to 15

    GZ_DEVICE gz_checksum_row(const gz_u8* src, gz_u64 size) : begin(src) {
        const gz_u32 odd = (gz_u32)((gz_u64)src + size) & 15;
        tail = odd < size ? odd : (gz_u32)size;
        body = src + (size - tail);
        count = (size - tail + GZ_CHECKSUM_TILE - 1) / GZ_CHECKSUM_TILE;
        tiles = body - count * GZ_CHECKSUM_TILE;
    }

    // 16 bytes of tile k, as little-endian words; 0 where the row has not begun. The row's first 4 bytes are ^ `mask`.
    GZ_DEVICE uint4 load(gz_u64 k, gz_u32 mask) const {
        const gz_u8* p = tiles + k * GZ_CHECKSUM_TILE + 16 * threadIdx.x;
        if ((gz_u64)p >= (gz_u64)begin + 4) return *(const uint4*)p;
        return make_uint4(word(p, mask), word(p + 4, mask), word(p + 8, mask), word(p + 12, mask));
    }

    GZ_DEVICE gz_u32 word(const gz_u8* p, gz_u32 mask) const {
        gz_u32 word = 0;
#pragma unroll 1
        for (int i = 0; i < 4; ++i) {
            const gz_i64 at = (gz_i64)((gz_u64)p + i - (gz_u64)begin);
            if (at >= 0) word |= (p[i] ^ (at < 4 ? mask : 0)) << (8 * i);
        }
        return word;
    }
};

// ---- cyclic redundancy checks ---------------------------------------------------------------------------------------
// A word of 32 bits is a polynomial over GF(2) of degree 31 or less, in reflected order: bit 31 is the factor of 1.
// The check of words w_0 .. w_n-1, the first ^ ~0, is the sum of w_i * x^(32 * (n - i)) modulo P, ^ ~0.

constexpr gz_u32 GZ_CRC32C = 0x82f63b78u, GZ_CRC32 = 0xedb88320u;

// a * x modulo the polynomial.
template <gz_u32 P>
__device__ constexpr gz_u32 gz_crc_times_x(gz_u32 a) {
    return (a >> 1) ^ ((a & 1) ? P : 0);
}

template <gz_u32 P>
__device__ constexpr gz_u32 gz_crc_times(gz_u32 a, gz_u32 b) {
    gz_u32 product = 0;
    for (int i = 31; i >= 0; --i) {
        if (a >> i & 1) product ^= b;
        b = gz_crc_times_x<P>(b);
    }
    return product;
}

// x^(8 * bytes) modulo the polynomial.
template <gz_u32 P>
__device__ constexpr gz_u32 gz_crc_power(gz_u32 bytes) {
    gz_u32 power = 0x80000000u, square = 0x00800000u;
    for (; bytes; bytes >>= 1) {
        if (bytes & 1) power = gz_crc_times<P>(power, square);
        square = gz_crc_times<P>(square, square);
    }
    return power;
}

// a * x^(8 * BYTES): with a constant, which unrolls to two instructions a bit.
template <gz_u32 P, gz_u32 BYTES>
GZ_DEVICE gz_u32 gz_crc_shift(gz_u32 a) {
    constexpr gz_u32 power = gz_crc_power<P>(BYTES);
    gz_u32 product = 0, b = power;
#pragma unroll
    for (int i = 31; i >= 0; --i) {
        product ^= b & (gz_u32)((gz_i32)(a << (31 - i)) >> 31);
        b = gz_crc_times_x<P>(b);
    }
    return product;
}

GZ_DEVICE gz_u32 gz_crc_lookup(const gz_u32* table, gz_u32 a) {
    return table[a & 255] ^ table[256 + (a >> 8 & 255)] ^ table[512 + (a >> 16 & 255)] ^ table[768 + (a >> 24)];
}

#define GZ_CRC_TABLE (4 * 256)

// The check of a row; the first thread's. `table`: a word times x^(8 * GZ_CHECKSUM_TILE), byte by byte. `part`: a word a warp.
template <gz_u32 P>
GZ_DEVICE gz_u32 gz_crc(const gz_checksum_row& row, gz_u32* table, gz_u32* part) {
#pragma unroll 1
    for (gz_u32 k = threadIdx.x; k < GZ_CRC_TABLE; k += GZ_CHECKSUM_THREADS)
        table[k] = gz_crc_shift<P, GZ_CHECKSUM_TILE>((k & 255) << (k / 256 * 8));
    __syncthreads();
    // Four sums a thread; the last tile is not multiplied: what stands behind a word in it follows.
    uint4 sum = make_uint4(0, 0, 0, 0), next = sum;
#pragma unroll 1
    for (gz_u64 k = 0; k <= row.count; ++k) {
        const uint4 word = next;  // of tile k - 1, while k is on its way
        if (k < row.count) next = row.load(k, 0xff);
        if (k == 0) continue;
        sum.x = gz_crc_lookup(table, sum.x) ^ word.x;
        sum.y = gz_crc_lookup(table, sum.y) ^ word.y;
        sum.z = gz_crc_lookup(table, sum.z) ^ word.z;
        sum.w = gz_crc_lookup(table, sum.w) ^ word.w;
    }
    gz_u32 all = gz_crc_shift<P, 4>(sum.x) ^ sum.y;
    all = gz_crc_shift<P, 4>(all) ^ sum.z;
    all = gz_crc_shift<P, 4>(all) ^ sum.w;
    // Neighbours join: the left one's sum moves past the right one's bytes.
    all = gz_crc_shift<P, 16>(all) ^ gz_shfl_down(all, 1);
    all = gz_crc_shift<P, 32>(all) ^ gz_shfl_down(all, 2);
    all = gz_crc_shift<P, 64>(all) ^ gz_shfl_down(all, 4);
    all = gz_crc_shift<P, 128>(all) ^ gz_shfl_down(all, 8);
    all = gz_crc_shift<P, 256>(all) ^ gz_shfl_down(all, 16);
    if (gz_lane() == 0) part[threadIdx.x / 32] = all;
    __syncthreads();
    if (threadIdx.x) return 0;
    gz_u32 crc = 0;
#pragma unroll 1
    for (int k = 0; k < GZ_CHECKSUM_WARPS; ++k) crc = gz_crc_shift<P, 512>(crc) ^ part[k];
    crc = gz_crc_shift<P, 4>(crc);
    const gz_u64 before = (gz_u64)row.body - (gz_u64)row.begin;
#pragma unroll 1
    for (gz_u32 i = 0; i < row.tail; ++i) {
        crc ^= row.body[i] ^ (before + i < 4 ? 0xff : 0);
        for (int bit = 0; bit < 8; ++bit) crc = gz_crc_times_x<P>(crc);
    }
    if (before + row.tail < 4) crc ^= ~0u >> (8 * (before + row.tail));  // what the row was too short to be ^ with
    return ~crc;
}

// ---- sums -----------------------------------------------------------------------------------------------------------
// Adler: a is 1 and the sum of the bytes, b is the size and the sum of each byte times the number of bytes from it to
// the end; modulo 65521. Fletcher: the two sums, of words, modulo 65535: a byte counts 256 times at an even place of
// the row, once at an odd one.

// Sums of bytes at even and at odd addresses.
struct gz_sum_pair {
    gz_u64 even, odd;
    GZ_DEVICE void add(gz_u64 e, gz_u64 o) {
        even += e;
        odd += o;
    }
    // With the weights of their places, modulo M. `shifted`: the row begins at an odd address.
    template <gz_u32 M>
    GZ_DEVICE gz_u32 weighted(bool words, bool shifted) const {
        const gz_u32 e = (gz_u32)(even % M), o = (gz_u32)(odd % M);
        return ((words && !shifted ? 256 : 1) * e + (words && shifted ? 256 : 1) * o) % M;
    }
};

// Bytes 0 and 2, or 1 and 3, of four words: x is their sum, y that of each times 8 for the first of the eight, 7, ... 1.
GZ_DEVICE uint2 gz_sum_half(uint4 word, int shift) {
    const gz_u32 mask = 0x00ff00ffu;
    const gz_u32 x = word.x >> shift & mask, y = word.y >> shift & mask;
    const gz_u32 z = word.z >> shift & mask, w = word.w >> shift & mask;
    const gz_u32 both = x + y + z + w, times = 8 * x + 6 * y + 4 * z + 2 * w;
    return make_uint2((both & 0xffff) + (both >> 16), (times & 0xffff) + (times >> 16) - (both >> 16));
}

// The sums of a row; each thread's. `part`: two words a warp.
template <bool WORDS>
GZ_DEVICE gz_u32 gz_sum(const gz_checksum_row& row, gz_u32* part) {
    constexpr gz_u32 M = WORDS ? 65535 : 65521, UNIT = WORDS ? 2 : 1;
    gz_sum_pair sum = {0, 0}, before = {0, 0}, scaled = {0, 0};
    uint4 next = make_uint4(0, 0, 0, 0);
#pragma unroll 1
    for (gz_u64 k = 0; k <= row.count; ++k) {
        const uint4 word = next;  // of tile k - 1, while k is on its way; before tile 0 zeros, which change nothing
        if (k < row.count) next = row.load(k, 0);
        const uint2 even = gz_sum_half(word, 0), odd = gz_sum_half(word, 8);
        before.add(sum.even, sum.odd);
        sum.add(even.x, odd.x);
        scaled.add(even.y, odd.y);
    }
    // A pair of bytes counted 8 to 1 from the end of its 16. Single bytes count twice that, less 1 for the second of a
    // pair; of words that begin at odd addresses the first byte counts one less.
    const bool shifted = (gz_u64)row.begin & 1;
    if (!WORDS) scaled.add(scaled.even, scaled.odd);
    if (!WORDS || shifted) scaled.odd -= sum.odd;
    const gz_u32 behind = 16 * (GZ_CHECKSUM_THREADS - 1 - threadIdx.x) + row.tail;
    gz_u32 a = sum.weighted<M>(WORDS, shifted);
    gz_u32 b = before.weighted<M>(WORDS, shifted) * (GZ_CHECKSUM_TILE / UNIT) + scaled.weighted<M>(WORDS, shifted) +
               a * (WORDS ? (behind + shifted + 1) / 2 : behind);
    const gz_u64 size = (gz_u64)row.body - (gz_u64)row.begin + row.tail;
    if (threadIdx.x < row.tail) {
        const gz_u64 at = size - row.tail + threadIdx.x;
        const gz_u32 byte = row.body[threadIdx.x] * (WORDS && at % 2 == 0 ? 256u : 1u);
        a += byte;
        b += byte * (gz_u32)((size + UNIT - 1) / UNIT - at / UNIT);
    }
    a %= M;
    b %= M;
    if (a == 0 && (sum.even | sum.odd)) a = M;  // a multiple of M other than 0
#pragma unroll
    for (int step = 16; step; step /= 2) {
        a += gz_shfl_down(a, step);
        b += gz_shfl_down(b, step);
    }
    if (gz_lane() == 0) {
        part[threadIdx.x / 32] = a;
        part[GZ_CHECKSUM_WARPS + threadIdx.x / 32] = b;
    }
    __syncthreads();
    a = b = 0;
    for (int k = 0; k < GZ_CHECKSUM_WARPS; ++k) {
        a += part[k];
        b += part[GZ_CHECKSUM_WARPS + k];
    }
    if (!WORDS) return (b + (gz_u32)(size % M)) % M << 16 | (a + 1) % M;
    return a ? ((b + M - 1) % M + 1) << 16 | ((a + M - 1) % M + 1) : 0;
}
