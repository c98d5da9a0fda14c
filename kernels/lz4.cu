// gz_lz4: LZ4 blocks (lz4_Block_format.md), as in Blosc and behind the 4 bytes of size of the numcodecs codec.
//
// One warp a stream. Grid ceil(n / 4), block 128. Row i: `size[i]` bytes at `src[i]` decode to exactly `room[i]` bytes at
// `dst[i]`; any alignment. The tables are trusted, the streams are not: reads stay within [src, src + size), writes within
// [dst, dst + room), steps are fewer than size + room / 32. Sizes above 2 GiB - 1 are refused (GZ_FORMAT), as by liblz4.
// Statuses: GZ_TRUNCATED, GZ_OVERFLOW, GZ_OFFSET, GZ_SIZE, GZ_FORMAT; what lies at dst is then undefined.
//
// Accepted is what LZ4_decompress_safe of liblz4 1.8.2 and later accepts for an output of exactly `room` bytes, no more and
// no less, with the same bytes:
// - A match ends 5 bytes before the output's end or earlier, and begins (after its literals) 12 before it or earlier; except
//   in a sequence that is "inner": fewer than 15 literals, at least 17 bytes of input behind its token, 32 bytes of room
//   before its literals. An inner one may begin its match anywhere, and one of a length below 19 with an offset of 8 or
//   more may end it anywhere.
// - The last sequence has literals only; the lower half of its token is ignored. Nothing may follow it.
// - Offset 0, which the format forbids, yields zeros.
// - An empty output is the one byte 0.
#include "lz.cuh"

// Literals and match of at most 32 bytes in all, in one step: a lane a byte.
GZ_DEVICE void gz_lz4_short(const gz_stream& s, gz_u32 at, gz_u32 op, gz_u32 literals, gz_u32 offset, gz_u32 length) {
    const gz_u32 lane = gz_lane();
    gz_u32 step = lane - literals;
    if (offset < length) step %= offset;
    const gz_u32 from = lane < literals ? lane : literals + step - offset;  // after op; before it where negative
    gz_syncwarp();  // what other lanes wrote can be read
    if (lane < literals + length) {
        s.dst[op + lane] = (gz_i32)from >= 0 ? (gz_u8)gz_byte(s, at + from) : s.dst[op + from];
    }
}

GZ_DEVICE gz_i32 gz_lz4_decode(gz_stream& s) {
    gz_u32 ip = 0, op = 0;
    while (ip < s.size) {
        gz_hold(s, ip);
        const gz_u32 token = gz_byte(s, ip++);
        gz_u32 literals = token >> 4, length = (token & 15) + 4;
        const bool inner = literals < 15 && s.size - ip >= 17 && s.room - op >= 32;
        if (inner && length < 19) {
            const gz_u32 offset = gz_byte(s, ip + literals) | gz_byte(s, ip + literals + 1) << 8;
            if (offset - 1 < op + literals && (offset >= 8 || s.room - op - literals - length >= 5)) {
                gz_lz4_short(s, ip, op, literals, offset, length);
                ip += literals + 2;
                op += literals + length;
                continue;
            }
        }
        if (literals == 15 && !gz_chain(s, ip, literals)) return GZ_TRUNCATED;
        if (!inner) {
            const gz_u32 left = s.size - ip, space = s.room - op;
            if (literals > left) return GZ_TRUNCATED;
            if (literals > space) return GZ_OVERFLOW;
            if (literals < left && space - literals < 12) return GZ_FORMAT;
            if (literals < left && left - literals < 8) return GZ_TRUNCATED;
        }
        gz_literals(s, ip, op, literals);
        ip += literals;
        op += literals;
        if (ip == s.size) {
            if (op < s.room) return GZ_SIZE;
            return s.room == 0 && token != 0 ? GZ_FORMAT : GZ_OK;
        }
        gz_hold(s, ip);
        const gz_u32 offset = gz_byte(s, ip) | gz_byte(s, ip + 1) << 8;
        ip += 2;
        if (length == 19 && !gz_chain(s, ip, length)) return GZ_TRUNCATED;
        if (offset > op) return GZ_OFFSET;
        if (length > s.room - op) return GZ_OVERFLOW;
        if (s.room - op - length < 5) return GZ_FORMAT;
        if (offset) {
            gz_match(s.dst, op, offset, length);
        } else {
            for (gz_u32 i = gz_lane(); i < length; i += 32) s.dst[op + i] = 0;
        }
        op += length;
    }
    return GZ_TRUNCATED;  // a match may not be the last
}

extern "C" __global__ void __launch_bounds__(128, 8)
gz_lz4(const gz_u64* src, const gz_u64* size, const gz_u64* dst, const gz_u64* room, gz_i32* status, gz_u32 n) {
    __shared__ uint4 held[GZ_STREAMS][GZ_HELD / 16];
    const gz_u32 row = blockIdx.x * GZ_STREAMS + threadIdx.x / 32;
    if (row >= n) return;
    gz_stream s;
    const gz_i32 wrong = gz_open(s, src, size, dst, room, row, held[threadIdx.x / 32]) ? gz_lz4_decode(s) : GZ_FORMAT;
    if (wrong && gz_lane() == 0) status[row] = wrong;
}
