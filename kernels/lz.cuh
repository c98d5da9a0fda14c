// What the decoders of the LZ family share: a warp's view of its stream, and how it copies literals and matches.
//
// A warp decodes one stream. All lanes parse together: the next bytes of the input lie in shared memory, every lane reads the
// same ones, so that control never diverges and no step waits for device memory. Copies are shared out among the lanes.
// Positions are 32-bit offsets into the stream and into its output, each below 2 GiB; positions of the input only grow.
// The kernels ask for 8 blocks a multiprocessor, 64 registers: left to itself the compiler tries 40 on some, and spills.
#pragma once
#include "common.cuh"

#define GZ_STREAMS 4    // streams a block: one a warp
#define GZ_HELD 512     // bytes of the input a warp holds: 16 a lane
#define GZ_AHEAD 48     // gz_hold leaves at least so many ahead, or all: what is read until the next, 33 and what chains
#define GZ_LENGTH_MAX 0x80000000u  // lengths stop growing here: beyond any room, and nothing wraps

struct gz_stream {
    const gz_u8* src;
    gz_u8* dst;
    gz_u32 size, room;
    gz_u8* held;       // in shared memory, of this warp alone; 16-byte aligned
    gz_u32 base, end;  // held[0] is the input's byte `base` (below 0, wrapped, where src is not aligned); held up to `end`
};

// Row `row` of the tables. False where it is too large for positions of 31 bits.
GZ_DEVICE bool gz_open(gz_stream& s, const gz_u64* src, const gz_u64* size, const gz_u64* dst, const gz_u64* room, gz_u32 row,
                       uint4* held) {
    s.src = (const gz_u8*)src[row];
    s.dst = (gz_u8*)dst[row];
    GZ_ASSUME_GLOBAL(s.src);
    GZ_ASSUME_GLOBAL(s.dst);
    s.size = (gz_u32)size[row];
    s.room = (gz_u32)room[row];
    s.held = (gz_u8*)held;
    s.base = s.end = 0;
    return size[row] <= 0x7fffffffu && room[row] <= 0x7fffffffu;
}

// Makes the next GZ_AHEAD bytes from `at` readable by gz_byte, or all up to the end of the input. at <= size.
GZ_DEVICE void gz_hold(gz_stream& s, gz_u32 at) {
    if (at <= s.end && (s.end == s.size || s.end - at >= GZ_AHEAD)) return;
    gz_syncwarp();  // no lane still reads what is replaced
    s.base = at - ((gz_u32)(gz_u64)(s.src + at) & 15);
    const gz_u32 piece = s.base + 16 * gz_lane();
    gz_u8* const to = s.held + 16 * gz_lane();
    if (piece < s.size && s.size - piece >= 16) {
        *(uint4*)to = *(const uint4*)(s.src + piece);
    } else {  // at the stream's ends: never a byte outside it
#pragma unroll 1
        for (gz_u32 k = 0; k < 16; k++) {
            const gz_u32 p = piece + k;
            if (p < s.size) to[k] = s.src[p];
        }
    }
    const gz_u32 end = s.base + GZ_HELD;
    s.end = end < s.size ? end : s.size;
    gz_syncwarp();
}

GZ_DEVICE gz_u32 gz_byte(const gz_stream& s, gz_u32 at) { return s.held[at - s.base]; }

// Adds to `length` the bytes from `at` up to and with the first that is not 255, and moves past them. False where the input
// ends before. 32 bytes a step: the chain of a run is as long as the run / 255. 16 bytes more are then still held.
GZ_DEVICE bool gz_chain(gz_stream& s, gz_u32& at, gz_u32& length) {
    gz_hold(s, at);
    if (at < s.size && gz_byte(s, at) != 255) {  // by far the most
        length += gz_byte(s, at++);
        return true;
    }
    while (at < s.size) {
        gz_hold(s, at);
        const gz_u32 count = s.size - at < 32 ? s.size - at : 32;
        const gz_u32 stop = gz_ballot(gz_lane() < count && gz_byte(s, at + gz_lane()) != 255);
        if (stop) {
            const gz_u32 full = __ffs(stop) - 1;
            length += 255 * full + gz_byte(s, at + full);
            at += full + 1;
            return true;
        }
        length += 255 * count;
        if (length > GZ_LENGTH_MAX) length = GZ_LENGTH_MAX;
        at += count;
    }
    return false;
}

// Copies n bytes between places that do not overlap, by 16 bytes a lane where both are aligned alike, else by 4 bytes put
// together from two aligned words; those reach around the source, but not outside [begin, end), which holds it.
GZ_DEVICE void gz_copy_apart(gz_u8* to, const gz_u8* from, gz_u32 n, const gz_u8* begin, const gz_u8* end) {
    const gz_u32 lane = gz_lane();
    if (n <= 64) {
        if (lane < n) to[lane] = from[lane];
        if (lane + 32 < n) to[lane + 32] = from[lane + 32];
        return;
    }
    gz_u32 head, body;
    if ((((gz_u64)to ^ (gz_u64)from) & 15) == 0) {
        head = (0u - (gz_u32)(gz_u64)to) & 15;
        body = (n - head) & ~15u;
        for (gz_u32 i = 16 * lane; i < body; i += 1024) {  // two loads under way at a time
            uint4 a = *(const uint4*)(from + head + i), b = a;
            if (i + 512 < body) b = *(const uint4*)(from + head + i + 512);
            *(uint4*)(to + head + i) = a;
            if (i + 512 < body) *(uint4*)(to + head + i + 512) = b;
        }
    } else {
        head = (0u - (gz_u32)(gz_u64)to) & 3;
        const gz_u32 skew = (gz_u32)(gz_u64)(from + head) & 3;
        if ((gz_u64)(from + head - begin) < skew) head += 4;
        const gz_u8* const aligned = from + head - skew;
        const gz_u64 reach = (gz_u64)(end - aligned) - 4;  // the word for bytes i.. reads up to i + 8
        body = (n - head) & ~3u;
        if (body > reach) body = (gz_u32)reach & ~3u;
        for (gz_u32 i = 4 * lane; i < body; i += 512) {  // four words under way at a time
            gz_u32 word[4];
#pragma unroll
            for (gz_u32 k = 0; k < 4; k++) {
                const gz_u32* const pair = (const gz_u32*)(aligned + i + 128 * k);
                word[k] = i + 128 * k < body ? __funnelshift_r(pair[0], pair[1], 8 * skew) : 0;
            }
#pragma unroll
            for (gz_u32 k = 0; k < 4; k++)
                if (i + 128 * k < body) *(gz_u32*)(to + head + i + 128 * k) = word[k];
        }
    }
    // fewer than 16 bytes are left on either side: lanes 0..15 take the first, the others the last
    const gz_u32 tail = n - head - body;
    if (lane < 16 ? lane < head : lane - 16 < tail) {
        const gz_u32 i = lane < 16 ? lane : n - tail + lane - 16;
        to[i] = from[i];
    }
}

// n bytes of the input from `at` go to the output at `op`. There are as many, and there is room; 32 are held, or all.
GZ_DEVICE void gz_literals(const gz_stream& s, gz_u32 at, gz_u32 op, gz_u32 n) {
    if (n <= 32) {
        if (gz_lane() < n) s.dst[op + gz_lane()] = (gz_u8)gz_byte(s, at + gz_lane());
    } else {
        gz_copy_apart(s.dst + op, s.src + at, n, s.src, s.src + s.size);
    }
}

// `length` bytes of the output, from `offset` before `op` on, are repeated at `op`. 1 <= offset <= op; there is room.
// A match may overlap what it writes: then it is periodic, and every period written doubles what can be copied at once.
GZ_DEVICE void gz_match(gz_u8* out, gz_u32 op, gz_u32 offset, gz_u32 length) {
    const gz_u32 lane = gz_lane();
    gz_syncwarp();  // what other lanes wrote can be read
    if (length <= 32 || offset < 32) {
        const gz_u32 n = length < 32 ? length : 32;
        const gz_u32 from = offset < n ? lane % offset : lane;
        if (lane < n) out[op + lane] = out[op - offset + from];
        if (length <= 32) return;
        op += 32;
        length -= 32;
        offset = 32 - 32 % offset;  // whole periods
        gz_syncwarp();
    }
    for (;;) {
        const gz_u32 n = length < offset ? length : offset;
        gz_copy_apart(out + op, out + (op - offset), n, out, out + op);
        if (n == length) return;
        op += n;
        length -= n;
        offset *= 2;
        gz_syncwarp();
    }
}
