// Checksums of many byte strings: crc32c, crc32, adler32, fletcher32.
//
// A row is `size` bytes at `src`; its checksum has to be `expected`, else GZ_CHECKSUM goes to its status.
//   kind 0  crc32c: Castagnoli's, as RFC 3720 has it
//        1  crc32: as zlib has it
//        2  adler32: as zlib has it (RFC 1950)
//        3  fletcher32: as HDF5 and numcodecs have it: words of 16 bits, the first byte the higher (an odd last byte is
//           one too), sums modulo 65535, where 0 is written as 65535 unless all bytes are 0
//   kind + GZ_CHECKSUM_STORED: `expected` is the address of the checksum: 4 bytes, little-endian, at any alignment. For
//   a checksum that stands in decoded bytes, which the host has not seen.
// The checksum of no bytes is 0; of kind 2 it is 1.
//
// Launch: blocks of GZ_CHECKSUM_THREADS, one a row; grid.x >= n.
// Trusted: the tables. Hostile: the bytes and the stored checksum. How: checksum.cuh.
// A status that is not 0 stays: what was wrong before says more.
#define GZ_CHECKSUM_THREADS 256
#include "checksum.cuh"

#define GZ_CHECKSUM_STORED 256

extern "C" __global__ void __launch_bounds__(GZ_CHECKSUM_THREADS)
gz_checksum(gz_u32 kind, const gz_u64* src, const gz_u64* size, const gz_u64* expected, gz_i32* status, gz_u32 n) {
    __shared__ gz_u32 table[GZ_CRC_TABLE];
    __shared__ gz_u32 part[2 * GZ_CHECKSUM_WARPS];
    const gz_u32 i = blockIdx.x;
    if (i >= n) return;
    const gz_u8* bytes = (const gz_u8*)src[i];
    GZ_ASSUME_GLOBAL(bytes);
    const gz_checksum_row row(bytes, size[i]);
    gz_u32 sum;
    switch (kind % GZ_CHECKSUM_STORED) {
        case 0: sum = gz_crc<GZ_CRC32C>(row, table, part); break;
        case 1: sum = gz_crc<GZ_CRC32>(row, table, part); break;
        case 2: sum = gz_sum<false>(row, part); break;
        default: sum = gz_sum<true>(row, part);
    }
    if (threadIdx.x) return;
    gz_u64 right = expected[i];
    if (kind >= GZ_CHECKSUM_STORED) {
        const gz_u8* stored = (const gz_u8*)right;
        GZ_ASSUME_GLOBAL(stored);
        right = stored[0] | stored[1] << 8 | stored[2] << 16 | (gz_u32)stored[3] << 24;
    }
    if (sum != right && status[i] == GZ_OK) status[i] = GZ_CHECKSUM;
}
