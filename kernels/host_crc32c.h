// CRC-32C (Castagnoli): the processor's instruction where there is one, in three streams since it has a latency of
// three cycles; else eight bytes a step from tables. Every table is made by the compiler.

#pragma once
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace gz {
namespace crc {

constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected

struct Tables {
    uint32_t at[8][256];
};

// at[k][b]: what the byte b leaves after k more zero bytes.
constexpr Tables byte_tables() {
    Tables tables{};
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
        tables.at[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++) {
            const uint32_t crc = tables.at[k - 1][b];
            tables.at[k][b] = crc >> 8 ^ tables.at[0][crc & 255];
        }
    return tables;
}

constexpr Tables kBytes = byte_tables();

inline uint32_t by_tables(uint32_t crc, const unsigned char* at, int64_t n) {
    for (; n >= 8; n -= 8, at += 8) {
        crc ^= at[0] | at[1] << 8 | at[2] << 16 | uint32_t{at[3]} << 24;
        crc = kBytes.at[7][crc & 255] ^ kBytes.at[6][crc >> 8 & 255] ^ kBytes.at[5][crc >> 16 & 255] ^
              kBytes.at[4][crc >> 24] ^ kBytes.at[3][at[4]] ^ kBytes.at[2][at[5]] ^ kBytes.at[1][at[6]] ^
              kBytes.at[0][at[7]];
    }
    for (; n > 0; n--, at++) crc = crc >> 8 ^ kBytes.at[0][(crc ^ *at) & 255];
    return crc;
}

#if defined(__x86_64__)

constexpr int64_t kStream = 1024;  // bytes of one of the three streams

// at[k][b]: what b, the k-th byte of a checksum, leaves after kStream zero bytes.
constexpr Tables shift_tables() {
    Tables tables{};
    for (int k = 0; k < 4; k++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t crc = uint32_t{1} << (8 * k + bit);
            for (int64_t i = 0; i < kStream; i++) crc = crc >> 8 ^ kBytes.at[0][crc & 255];
            tables.at[k][1 << bit] = crc;
        }
    for (int k = 0; k < 4; k++)
        for (uint32_t b = 1; b < 256; b++) tables.at[k][b] = tables.at[k][b & (b - 1)] ^ tables.at[k][b & -b];
    return tables;
}

constexpr Tables kShift = shift_tables();

inline uint64_t shifted(uint64_t crc) {
    return kShift.at[0][crc & 255] ^ kShift.at[1][crc >> 8 & 255] ^ kShift.at[2][crc >> 16 & 255] ^
           kShift.at[3][crc >> 24 & 255];
}

inline uint64_t load64(const unsigned char* at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

__attribute__((target("sse4.2"))) inline uint32_t by_instruction(uint32_t start, const unsigned char* at, int64_t n) {
    uint64_t crc = start;
    for (; n >= 3 * kStream; n -= 3 * kStream, at += 3 * kStream) {
        uint64_t second = 0, third = 0;
        for (int64_t i = 0; i < kStream; i += 8) {
            crc = _mm_crc32_u64(crc, load64(at + i));
            second = _mm_crc32_u64(second, load64(at + kStream + i));
            third = _mm_crc32_u64(third, load64(at + 2 * kStream + i));
        }
        crc = shifted(shifted(crc) ^ second) ^ third;
    }
    for (; n >= 8; n -= 8, at += 8) crc = _mm_crc32_u64(crc, load64(at));
    for (; n > 0; n--, at++) crc = _mm_crc32_u8(static_cast<uint32_t>(crc), *at);
    return static_cast<uint32_t>(crc);
}

#elif defined(__ARM_FEATURE_CRC32)

inline uint32_t by_instruction(uint32_t crc, const unsigned char* at, int64_t n) {
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t value;
        memcpy(&value, at, sizeof value);
        crc = __crc32cd(crc, value);
    }
    for (; n > 0; n--, at++) crc = __crc32cb(crc, *at);
    return crc;
}

#endif

}  // namespace crc

inline uint32_t crc32c(const char* data, int64_t n) {
    const unsigned char* at = reinterpret_cast<const unsigned char*>(data);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~crc::by_instruction(~0u, at, n);
#elif defined(__ARM_FEATURE_CRC32)
    return ~crc::by_instruction(~0u, at, n);
#endif
    return ~crc::by_tables(~0u, at, n);
}

}  // namespace gz
