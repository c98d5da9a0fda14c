// gz_snappy: raw Snappy (google/snappy, format_description.txt): no frame, no checksum; as in Blosc.
//
// One warp a stream. Grid ceil(n / 4), block 128. Row i: `size[i]` bytes at `src[i]` decode to exactly `room[i]` bytes at
// `dst[i]`; any alignment. The tables are trusted, the streams are not: reads stay within [src, src + size), writes within
// [dst, dst + room), steps are fewer than size + room / 32. Sizes above 2 GiB - 1 are refused (GZ_FORMAT).
// Statuses: GZ_TRUNCATED, GZ_OVERFLOW, GZ_OFFSET, GZ_SIZE, GZ_FORMAT; what lies at dst is then undefined.
//
// Accepted is what RawUncompress accepts, where the size that the stream begins with is `room`. That size may be written
// with more bytes than it needs, up to 5, but must fit 32 bits. Elements end with the input, and fill the room.
#include "lz.cuh"

// The decoded size that the stream begins with: against the room. Moves past it.
GZ_DEVICE gz_i32 gz_snappy_preamble(const gz_stream& s, gz_u32& ip) {
    gz_u32 expected = 0;
    for (gz_u32 shift = 0;; shift += 7) {
        if (ip == s.size) return GZ_TRUNCATED;
        const gz_u32 byte = gz_byte(s, ip++);
        if (shift == 28 && byte > 15) return GZ_FORMAT;
        expected |= (byte & 127) << shift;
        if (byte < 128) break;
    }
    return expected == s.room ? GZ_OK : expected > s.room ? GZ_OVERFLOW : GZ_SIZE;
}

// The `count` bytes at `at`, lowest first; they are held.
GZ_DEVICE gz_u32 gz_snappy_number(const gz_stream& s, gz_u32 at, gz_u32 count) {
    gz_u32 number = 0;
    for (gz_u32 k = 0; k < count; k++) number |= gz_byte(s, at + k) << 8 * k;
    return number;
}

GZ_DEVICE gz_i32 gz_snappy_decode(gz_stream& s) {
    gz_u32 ip = 0, op = 0;
    gz_hold(s, 0);
    const gz_i32 wrong = gz_snappy_preamble(s, ip);
    if (wrong) return wrong;
    while (ip < s.size) {
        gz_hold(s, ip);
        const gz_u32 tag = gz_byte(s, ip++), kind = tag & 3;
        const gz_u32 extra = kind == 3 ? 4 : kind ? kind : tag >= 240 ? (tag >> 2) - 59 : 0;
        if (s.size - ip < extra) return GZ_TRUNCATED;
        const gz_u32 number = gz_snappy_number(s, ip, extra);
        ip += extra;
        if (kind == 0) {
            const gz_u32 last = extra ? number : tag >> 2;  // literals - 1, which fits 32 bits
            if (last >= s.size - ip) return GZ_TRUNCATED;
            if (last >= s.room - op) return GZ_OVERFLOW;
            gz_literals(s, ip, op, last + 1);
            ip += last + 1;
            op += last + 1;
        } else {
            const gz_u32 length = kind == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
            const gz_u32 offset = kind == 1 ? (tag >> 5) << 8 | number : number;
            if (offset - 1 >= op) return GZ_OFFSET;  // 0 too
            if (length > s.room - op) return GZ_OVERFLOW;
            gz_match(s.dst, op, offset, length);
            op += length;
        }
    }
    return op < s.room ? GZ_SIZE : GZ_OK;
}

extern "C" __global__ void __launch_bounds__(128, 8)
gz_snappy(const gz_u64* src, const gz_u64* size, const gz_u64* dst, const gz_u64* room, gz_i32* status, gz_u32 n) {
    __shared__ uint4 held[GZ_STREAMS][GZ_HELD / 16];
    const gz_u32 row = blockIdx.x * GZ_STREAMS + threadIdx.x / 32;
    if (row >= n) return;
    gz_stream s;
    const gz_i32 wrong = gz_open(s, src, size, dst, room, row, held[threadIdx.x / 32]) ? gz_snappy_decode(s) : GZ_FORMAT;
    if (wrong && gz_lane() == 0) status[row] = wrong;
}
