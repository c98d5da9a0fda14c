// XXH64 with seed 0 (the xxHash specification, version 0.1.1): of which zstd frames keep the low 32 bits.
#pragma once
#include "common.cuh"

#define GZ_XXH64_1 0x9e3779b185ebca87ull
#define GZ_XXH64_2 0xc2b2ae3d27d4eb4full
#define GZ_XXH64_3 0x165667b19e3779f9ull
#define GZ_XXH64_4 0x85ebca77c2b2ae63ull
#define GZ_XXH64_5 0x27d4eb2f165667c5ull

GZ_DEVICE gz_u64 gz_rotated(gz_u64 a, gz_u32 by) { return a << by | a >> (64 - by); }
GZ_DEVICE gz_u64 gz_xxh64_round(gz_u64 sum, gz_u64 word) { return gz_rotated(sum + word * GZ_XXH64_2, 31) * GZ_XXH64_1; }

// The little-endian number of `width` bytes.
GZ_DEVICE gz_u64 gz_xxh64_word(const gz_u8* p, gz_u32 width) {
    gz_u64 word = 0;
#pragma unroll
    for (gz_u32 k = 0; k < width; ++k) word |= (gz_u64)p[k] << 8 * k;
    return word;
}

// Of n bytes, by a whole warp: 256 bytes a step, 8 a lane. There are four sums; lanes of the same number modulo 4 have the same.
GZ_DEVICE gz_u64 gz_xxh64(const gz_u8* p, gz_u32 n) {
    const gz_u32 lane = gz_lane(), which = lane & 3;
    const bool aligned = ((gz_u64)p & 7) == 0;
    const gz_u8* const end = p + n;
    gz_u64 hash = GZ_XXH64_5;
    if (n >= 32) {
        gz_u64 sum = which == 0 ? GZ_XXH64_1 + GZ_XXH64_2 : which == 1 ? GZ_XXH64_2 : which == 2 ? 0 : 0 - GZ_XXH64_1;
        for (gz_u32 left = n & ~31u; left;) {
            const gz_u32 now = left < 256 ? left : 256;
            gz_u64 word = 0;
            if (8 * lane < now) word = aligned ? *(const gz_u64*)(p + 8 * lane) : gz_xxh64_word(p + 8 * lane, 8);
            for (gz_u32 k = 0; k < now / 8; k += 4) sum = gz_xxh64_round(sum, gz_shfl(word, k + which));
            p += now;
            left -= now;
        }
        const gz_u64 part = gz_rotated(sum, which == 0 ? 1 : which == 1 ? 7 : which == 2 ? 12 : 18);
        hash = part + gz_shfl_xor(part, 1);
        hash += gz_shfl_xor(hash, 2);
#pragma unroll
        for (gz_u32 k = 0; k < 4; ++k) hash = (hash ^ gz_xxh64_round(0, gz_shfl(sum, k))) * GZ_XXH64_1 + GZ_XXH64_4;
    }
    hash += n;
    for (; end - p >= 8; p += 8) hash = gz_rotated(hash ^ gz_xxh64_round(0, gz_xxh64_word(p, 8)), 27) * GZ_XXH64_1 + GZ_XXH64_4;
    for (; end - p >= 4; p += 4)
        hash = gz_rotated(hash ^ gz_xxh64_word(p, 4) * GZ_XXH64_1, 23) * GZ_XXH64_2 + GZ_XXH64_3;
    for (; end > p; ++p) hash = gz_rotated(hash ^ *p * GZ_XXH64_5, 11) * GZ_XXH64_1;
    hash = (hash ^ hash >> 33) * GZ_XXH64_2;
    hash = (hash ^ hash >> 29) * GZ_XXH64_3;
    return hash ^ hash >> 32;
}
