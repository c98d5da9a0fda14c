// gz_blosclz: streams of BloscLZ, the default codec of Blosc 1 (a descendant of FastLZ level 2; c-blosc's blosclz.c).
//
// One warp a stream. Grid ceil(n / 4), block 128. Row i: `size[i]` bytes at `src[i]` decode to exactly `room[i]` bytes at
// `dst[i]`; any alignment. The tables are trusted, the streams are not: reads stay within [src, src + size), writes within
// [dst, dst + room), steps are fewer than size + room / 32. Sizes above 2 GiB - 1 are refused (GZ_FORMAT).
// Statuses: GZ_TRUNCATED, GZ_OVERFLOW, GZ_OFFSET, GZ_SIZE, GZ_FORMAT; what lies at dst is then undefined.
//
// A control byte c below 32 is followed by c + 1 literals. Any other begins a match of (c >> 5) + 2 bytes; where c >> 5 is 7,
// the bytes that follow, up to and with the first that is not 255, are added. Then one byte `low`: the distance is
// (c & 31) * 256 + low + 1; but where that says 8192, two more bytes hold the distance - 8192, the higher first.
// The first control byte is always one of literals: its upper bits once told the level, and are ignored.
// A stream ends with literals: one that ends within or just after a match is GZ_TRUNCATED (blosclz_decompress drops such a
// match or fails; neither gives the size that Blosc expects). No bytes yield no bytes; with room 0 nothing else is accepted.
#include "lz.cuh"

GZ_DEVICE gz_i32 gz_blosclz_decode(gz_stream& s) {
    gz_u32 ip = 0, op = 0, control = 0;
    while (ip < s.size) {
        gz_hold(s, ip);
        control = ip ? gz_byte(s, ip) : gz_byte(s, 0) & 31;
        ip++;
        if (control < 32) {
            const gz_u32 n = control + 1;
            if (n > s.room - op) return GZ_OVERFLOW;
            if (n > s.size - ip) return GZ_TRUNCATED;
            gz_literals(s, ip, op, n);
            ip += n;
            op += n;
            continue;
        }
        gz_u32 length = (control >> 5) + 2, offset = (control & 31) << 8;
        if (length == 9 && !gz_chain(s, ip, length)) return GZ_TRUNCATED;
        if (s.size - ip < 2) return GZ_TRUNCATED;
        offset += gz_byte(s, ip++) + 1;
        if (offset == 8192) {
            if (s.size - ip < 3) return GZ_TRUNCATED;
            offset += gz_byte(s, ip) << 8 | gz_byte(s, ip + 1);
            ip += 2;
        }
        if (length > s.room - op) return GZ_OVERFLOW;
        if (offset > op) return GZ_OFFSET;
        gz_match(s.dst, op, offset, length);
        op += length;
    }
    return op < s.room ? GZ_SIZE : GZ_OK;
}

extern "C" __global__ void __launch_bounds__(128, 8)
gz_blosclz(const gz_u64* src, const gz_u64* size, const gz_u64* dst, const gz_u64* room, gz_i32* status, gz_u32 n) {
    __shared__ uint4 held[GZ_STREAMS][GZ_HELD / 16];
    const gz_u32 row = blockIdx.x * GZ_STREAMS + threadIdx.x / 32;
    if (row >= n) return;
    gz_stream s;
    const gz_i32 wrong = gz_open(s, src, size, dst, room, row, held[threadIdx.x / 32]) ? gz_blosclz_decode(s) : GZ_FORMAT;
    if (wrong && gz_lane() == 0) status[row] = wrong;
}
