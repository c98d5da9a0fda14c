// gz_deflate: DEFLATE streams (RFC 1951), bare, in zlib's framing (RFC 1950), or in gzip members (RFC 1952).
//
// A row is `size[i]` bytes at `src[i]` that decode to exactly `room[i]` bytes at `dst[i]`; any alignment. `framing`:
//   0  one bare stream
//   1  one zlib stream: its header, and its Adler-32 behind it
//   2  gzip members, one or more: their headers, and CRC-32 and size behind each
// Launch: one block of 64 threads a row, grid.x = n. No scratch memory.
// The tables are trusted, the streams are not: reads stay within [src, src + size), writes within [dst, dst + room), and
// steps are fewer than 8 * size + room, and a constant a block (3 bits or more) and a member (18 bytes or more). Sizes above
// 2 GiB - 1 are refused (GZ_FORMAT).
// Statuses: GZ_TRUNCATED, GZ_OVERFLOW, GZ_OFFSET, GZ_SIZE, GZ_CHECKSUM, GZ_FORMAT; what lies at dst is then undefined.
//
// Accepted is what inflate() of zlib 1.2.13 accepts for an output of exactly `room` bytes, with the same bytes. Of what the
// RFCs leave open that is:
// - A code's lengths have to fill it. But those of literals or of distances may be of one symbol, of one bit; and those of
//   distances of none.
// - There are 286 symbols of literals and lengths and 30 of distances at most, and the one that ends a block is among them.
// - A distance reaches back to the beginning of the stream, also beyond the window that zlib's header tells; a member's does
//   not reach into the one before.
// - Bits in front of a stored block, and behind the last block in its byte, are of no meaning.
// - What follows a bare or a zlib stream is no part of it. What follows a gzip member is another one, or zeros; zeros may
//   also stand between two, as Python's gzip has it (zlib leaves members to its users).
// - A zlib stream that needs a dictionary is refused (GZ_FORMAT). The CRC of a gzip header is verified where there is one.
//
// Two warps share a stream: the first reads symbols, the second writes what they mean, a batch behind. Bits can only be read
// one after the other, by one lane, and so can matches be copied; the two take about as long, and more warps would have
// nothing to do but to keep registers from other streams, which are what a GPU is filled with. The other lanes help to make
// codes and to copy. When a stream has ended, both compute its checksum: that takes a small part of the time that decoding
// does, and where in a chunk of several members each begins is known to nobody else.
#define GZ_DEFLATE_THREADS 64
#define GZ_CHECKSUM_THREADS GZ_DEFLATE_THREADS
#include "checksum.cuh"
#include "deflate_tables.cuh"
#include "lz.cuh"

#define GZ_DEFLATE_BATCH 32      // sequences: literals and a match, which the last may be without
#define GZ_DEFLATE_LITERALS 255  // of a batch, at most

enum { GZ_DEFLATE_BARE, GZ_DEFLATE_ZLIB, GZ_DEFLATE_GZIP };  // framings

// The order in which the lengths of the code of lengths are told.
__constant__ gz_u8 gz_deflate_order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

// ---- a stream ----------------------------------------------------------------------------------------------------------

// What all threads know alike.
struct gz_deflate_stream {
    const gz_u8* src;
    gz_u8* dst;
    const gz_u64* sizes;  // of all inputs: a kernel's parameter, which needs no register
    gz_u32 room;
    gz_u32 at, op;  // how far input and output got
    gz_u32 begin;   // of the member in the output
    GZ_DEVICE gz_u32 size() const { return (gz_u32)sizes[blockIdx.x]; }
};

// What the first warp read and the second writes: a stored block, or sequences.
struct gz_deflate_batch {
    gz_u32 at, stored;  // where the input has bytes to be copied, and how many
    gz_u32 count;       // of sequences
    bool last;          // no batch follows
    gz_u32 sequence[GZ_DEFLATE_BATCH];  // literals << 24 | length of the match << 15 | its distance - 1
    gz_u8 literal[GZ_DEFLATE_LITERALS + 1];
};

// How far the first warp is.
enum {
    GZ_DEFLATE_OPEN = 1,   // in a block of symbols
    GZ_DEFLATE_FIXED = 2,  // the codes are those that no block has to tell
    GZ_DEFLATE_LAST = 4,   // no block follows
};

struct gz_deflate_shared {
    union {
        struct {
            gz_deflate_code<10, 288> literals;
            gz_deflate_code<8, 32> distances;  // before them, the code of lengths
        };
        gz_u32 table[GZ_CRC_TABLE];  // when the stream has ended
    };
    gz_u8 length[288 + 32];  // of literals' and distances' codes, while they are made
    gz_deflate_batch batch[2];
    gz_u8 warmed[GZ_DEFLATE_THREADS];  // see gz_deflate_warm_input; nobody reads it
    // What a warp knows of its work while the other's is done: registers are few.
    gz_deflate_bits bits;
    gz_u32 flags;
    gz_u32 op;        // how far the output got
    gz_i32 wrong[2];  // what each warp found
    gz_u32 part[2 * GZ_CHECKSUM_WARPS];
};

GZ_DEVICE gz_u32 gz_little(const gz_u8* p, gz_u32 n) {  // n: 1 to 4
    gz_u32 value = 0;
    for (gz_u32 k = 0; k < n; ++k) value |= (gz_u32)p[k] << 8 * k;
    return value;
}

// ---- blocks, by the first warp -----------------------------------------------------------------------------------------

// Reads a header of a block, up to its codes or stored bytes, by one lane. `type`: 0 stored, 1 and 2 fixed and told codes.
GZ_DEVICE gz_i32 gz_deflate_header(const gz_deflate_stream& f, gz_deflate_shared& s, gz_deflate_batch& batch, gz_u32& type) {
    gz_deflate_bits bits = s.bits;
    bits.fill(f.src, f.size());
    s.flags |= bits.take(1) ? GZ_DEFLATE_LAST : 0;
    type = bits.take(2);
    s.bits = bits;
    if (bits.where() > f.size()) return GZ_TRUNCATED;
    if (type) return type < 3 ? GZ_OK : GZ_FORMAT;
    const gz_u32 at = bits.where();
    if (f.size() - at < 4) return GZ_TRUNCATED;
    const gz_u32 word = gz_little(f.src + at, 4), stored = word & 0xffff;
    if ((stored ^ word >> 16) != 0xffff) return GZ_FORMAT;
    if (f.size() - at - 4 < stored) return GZ_TRUNCATED;
    batch.at = at + 4;
    batch.stored = stored;
    s.bits.open(f.src, f.size(), at + 4 + stored);
    return GZ_OK;
}

// Reads how many lengths are told, and those of the code of lengths; by one lane. `counts`: of literals << 8 | of distances.
GZ_DEVICE gz_i32 gz_deflate_counts(const gz_deflate_stream& f, gz_deflate_shared& s, gz_u32& counts) {
    gz_deflate_bits bits = s.bits;
    bits.fill(f.src, f.size());
    const gz_u32 literals = bits.take(5) + 257, distances = bits.take(5) + 1, told = bits.take(4) + 4;
    if (literals > 286 || distances > 30) return GZ_FORMAT;
#pragma unroll 1
    for (gz_u32 k = 0; k < 19; ++k) {
        bits.fill(f.src, f.size());
        s.length[gz_deflate_order[k]] = k < told ? (gz_u8)bits.take(3) : 0;
    }
    s.bits = bits;
    counts = literals << 8 | distances;
    return GZ_OK;
}

// Reads n lengths of codes, by one lane.
GZ_DEVICE gz_i32 gz_deflate_lengths(const gz_deflate_stream& f, gz_deflate_shared& s, gz_u32 n) {
    gz_deflate_bits bits = s.bits;
    gz_u32 before = 16;  // the last length; at first there is none
    for (gz_u32 i = 0; i < n;) {
        bits.fill(f.src, f.size());
        gz_u32 length = s.distances.read(bits), times = 1;
        if (length == 16) {
            length = before;
            times = 3 + bits.take(2);
        } else if (length > 16) {
            times = length == 17 ? 3 + bits.take(3) : 11 + bits.take(7);
            length = 0;
        }
        if (length > 15 || times > n - i) return GZ_FORMAT;
        before = length;
        for (; times; --times) s.length[i++] = (gz_u8)length;
    }
    s.bits = bits;
    return bits.where() > f.size() ? GZ_TRUNCATED : GZ_OK;
}

// Makes the codes that a block tells.
GZ_DEVICE gz_i32 gz_deflate_told(const gz_deflate_stream& f, gz_deflate_shared& s) {
    const gz_u32 lane = gz_lane();
    gz_i32 wrong = GZ_OK;
    gz_u32 counts = 0;
    if (lane == 0) wrong = gz_deflate_counts(f, s, counts);
    wrong = gz_shfl(wrong, 0);
    if (wrong) return wrong;
    const gz_u32 literals = gz_shfl(counts, 0) >> 8, distances = gz_shfl(counts, 0) & 255;
    gz_syncwarp();
    if (!s.distances.make(s.length, 19, false)) return GZ_FORMAT;
    if (lane == 0) wrong = gz_deflate_lengths(f, s, literals + distances);
    wrong = gz_shfl(wrong, 0);
    if (wrong) return wrong;
    gz_syncwarp();
    if (s.length[256] == 0 || !s.literals.make(s.length, literals, true)) return GZ_FORMAT;
    return s.distances.make(s.length + literals, distances, true) ? GZ_OK : GZ_FORMAT;
}

// Makes the codes that no block has to tell (RFC 1951 section 3.2.6).
GZ_DEVICE void gz_deflate_fixed(gz_deflate_shared& s) {
    for (gz_u32 i = gz_lane(); i < 288 + 32; i += 32)
        s.length[i] = (gz_u8)(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : i < 288 ? 8 : 5);
    gz_syncwarp();
    s.literals.make(s.length, 288, false);
    s.distances.make(s.length + 288, 32, false);
}

// Begins with a block: its bytes are in the batch then if it is a stored one, else its codes are made.
GZ_DEVICE gz_i32 gz_deflate_begin(const gz_deflate_stream& f, gz_deflate_shared& s, gz_deflate_batch& batch) {
    gz_i32 wrong = GZ_OK;
    gz_u32 type = 0;
    if (gz_lane() == 0) wrong = gz_deflate_header(f, s, batch, type);
    wrong = gz_shfl(wrong, 0);
    type = gz_shfl(type, 0);
    gz_syncwarp();
    if (wrong || type == 0) return wrong;
    if (type == 2) wrong = gz_deflate_told(f, s);
    else if (!(s.flags & GZ_DEFLATE_FIXED)) gz_deflate_fixed(s);
    gz_syncwarp();
    if (gz_lane() == 0) s.flags = (s.flags & GZ_DEFLATE_LAST) | GZ_DEFLATE_OPEN | (type == 1 ? GZ_DEFLATE_FIXED : 0);
    gz_syncwarp();
    return wrong;
}

// ---- symbols, by the first warp ----------------------------------------------------------------------------------------

// The length that a symbol from 257 on stands for (RFC 1951 section 3.2.5).
GZ_DEVICE gz_u32 gz_deflate_length(gz_deflate_bits& bits, gz_u32 symbol) {
    const gz_u32 k = symbol - 257;
    if (k < 8) return 3 + k;
    if (k == 28) return 258;
    const gz_u32 more = k / 4 - 1;
    return 3 + ((4 + (k & 3)) << more) + bits.take(more);
}

// The distance less 1 that a symbol stands for.
GZ_DEVICE gz_u32 gz_deflate_distance(gz_deflate_bits& bits, gz_u32 symbol) {
    if (symbol < 4) return symbol;
    const gz_u32 more = symbol / 2 - 1;
    return ((2 + (symbol & 1)) << more) + bits.take(more);
}

// Reads symbols of a block by one lane, up to its end or as many as a batch holds.
GZ_DEVICE gz_i32 gz_deflate_read(const gz_deflate_stream& f, gz_deflate_shared& s, gz_deflate_batch& batch) {
    gz_deflate_bits bits = s.bits;
    gz_u32 count = 0, literals = 0, from = 0;  // `from`: the sequence's first literal
    while (count < GZ_DEFLATE_BATCH && literals < GZ_DEFLATE_LITERALS) {
        bits.fill(f.src, f.size());
        const gz_u32 symbol = s.literals.read(bits);
        if (symbol < 256) {
            batch.literal[literals++] = (gz_u8)symbol;
            continue;
        }
        if (symbol == 256) {
            s.flags &= ~(gz_u32)GZ_DEFLATE_OPEN;
            break;
        }
        if (symbol > 285) return GZ_FORMAT;
        const gz_u32 length = gz_deflate_length(bits, symbol);
        bits.fill(f.src, f.size());
        const gz_u32 distance = s.distances.read(bits);
        if (distance > 29) return GZ_FORMAT;
        batch.sequence[count++] = (literals - from) << 24 | length << 15 | gz_deflate_distance(bits, distance);
        from = literals;
    }
    if (literals > from) batch.sequence[count++] = (literals - from) << 24;
    batch.count = count;
    s.bits = bits;
    return bits.where() <= f.size() ? GZ_OK : GZ_TRUNCATED;
}

// Reads what the next symbols probably need, so that it is in the cache when the one lane comes to it: each of its misses
// would be waited for. By all lanes; the bytes are put where the compiler has to believe that they are of use.
GZ_DEVICE void gz_deflate_warm_input(const gz_deflate_stream& f, gz_deflate_shared& s) {
    const gz_u32 at = s.bits.at + 32 * gz_lane();
    if (gz_lane() < 16 && at < f.size()) s.warmed[threadIdx.x] = f.src[at];
    gz_syncwarp();
}

// Reads the next batch.
GZ_DEVICE gz_i32 gz_deflate_next(const gz_deflate_stream& f, gz_deflate_shared& s, gz_deflate_batch& batch) {
    gz_i32 wrong = GZ_OK;
    const bool open = s.flags & GZ_DEFLATE_OPEN;
    if (gz_lane() == 0) batch.count = batch.stored = 0;
    gz_syncwarp();  // all have seen the flags before one lane changes them
    if (!open) wrong = gz_deflate_begin(f, s, batch);
    if (wrong) return wrong;
    if (s.flags & GZ_DEFLATE_OPEN) {
        gz_deflate_warm_input(f, s);
        if (gz_lane() == 0) wrong = gz_deflate_read(f, s, batch);
        wrong = gz_shfl(wrong, 0);
    }
    gz_syncwarp();
    if (gz_lane() == 0) batch.last = (s.flags & (GZ_DEFLATE_OPEN | GZ_DEFLATE_LAST)) == GZ_DEFLATE_LAST;
    gz_syncwarp();
    return wrong;
}

// ---- output, by the second warp ----------------------------------------------------------------------------------------

// Reads the ends of what the matches of a batch repeat, as gz_deflate_warm_input does; of those that begin in what is
// already output. A lane a sequence.
GZ_DEVICE void gz_deflate_warm_output(const gz_deflate_stream& f, gz_deflate_shared& s, gz_deflate_batch& batch) {
    const gz_u32 lane = gz_lane(), sequence = lane < batch.count ? batch.sequence[lane] : 0;
    const gz_u32 length = sequence >> 15 & 511, op = s.op;
    gz_u32 before = (sequence >> 24) + length;
#pragma unroll
    for (gz_u32 step = 1; step < 32; step *= 2) {
        const gz_u32 more = gz_shfl_up(before, step);
        if (lane >= step) before += more;
    }
    const gz_u32 from = op + before - length - (sequence & 0x7fff) - 1, last = from + length - 1;
    if (length && from < op) s.warmed[threadIdx.x] = (gz_u8)( f.dst[from] + f.dst[last < op ? last : op - 1]);
    gz_syncwarp();
}

// Writes what a batch means.
GZ_DEVICE gz_i32 gz_deflate_write(const gz_deflate_stream& f, gz_deflate_shared& s, gz_deflate_batch& batch) {
    const gz_u32 lane = gz_lane();
    gz_u32 op = s.op, at = 0;  // `at`: of the next literal
    if (batch.stored) {
        if (batch.stored > f.room - op) return GZ_OVERFLOW;
        gz_copy_apart(f.dst + op, f.src + batch.at, batch.stored, f.src, f.src + f.size());
        op += batch.stored;
    }
    gz_deflate_warm_output(f, s, batch);
#pragma unroll 1
    for (gz_u32 i = 0; i < batch.count; ++i) {
        const gz_u32 sequence = batch.sequence[i];
        const gz_u32 literals = sequence >> 24, length = sequence >> 15 & 511, distance = (sequence & 0x7fff) + 1;
        const gz_u32 both = literals + length;
        if (both > f.room - op) return GZ_OVERFLOW;
        if (length && distance > op + literals - f.begin) return GZ_OFFSET;
        if (both > 32) {
            for (gz_u32 k = lane; k < literals; k += 32) f.dst[op + k] = batch.literal[at + k];
            if (length) gz_match(f.dst, op + literals, distance, length);
        } else if (lane < both) {
            gz_u32 step = lane - literals;
            if (distance < length) step %= distance;
            const gz_u32 from = lane < literals ? lane : literals + step - distance;  // after op; before it where negative
            f.dst[op + lane] = (gz_i32)from < 0 ? f.dst[op + from] : batch.literal[at + from];
        }
        at += literals;
        op += both;
        gz_syncwarp();  // what other lanes wrote can be read
    }
    if (lane == 0) s.op = op;
    gz_syncwarp();
    return GZ_OK;
}

// ---- a stream, by both warps -------------------------------------------------------------------------------------------

// A status of one warp becomes that of both. `status` is the same in all lanes of a warp. What the second warp finds lies
// before what the first does at the same time.
GZ_DEVICE gz_i32 gz_deflate_agree(gz_deflate_shared& s, gz_i32 status) {
    if (gz_lane() == 0) s.wrong[threadIdx.x / 32] = status;
    if (!__syncthreads_or(status)) return GZ_OK;
    return s.wrong[1] ? s.wrong[1] : s.wrong[0];
}

// Decodes the stream at f.at.
GZ_DEVICE gz_i32 gz_deflate_inflate(gz_deflate_stream& f, gz_deflate_shared& s) {
    const bool first = threadIdx.x < 32;
    __syncthreads();  // nobody uses what the stream before left
    if (threadIdx.x == 0) {
        s.bits.open(f.src, f.size(), f.at);
        s.flags = 0;
        s.op = f.op;
    }
    __syncthreads();
    gz_i32 status = GZ_OK;
    bool last = false;
#pragma unroll 1
    for (gz_u32 k = 0; !last; k ^= 1) {  // while the second warp writes a batch, the first goes on to the next one
        if (first) status = gz_deflate_next(f, s, s.batch[k]);
        if (const gz_i32 wrong = gz_deflate_agree(s, status)) return wrong;
        last = s.batch[k].last;
        if (!first) status = gz_deflate_write(f, s, s.batch[k]);
    }
    if (const gz_i32 wrong = gz_deflate_agree(s, status)) return wrong;
    f.op = s.op;
    f.at = s.bits.where();
    return GZ_OK;
}

// ---- framings, by both warps -------------------------------------------------------------------------------------------

// The first byte from `at` on that is 0, or with `other` that is not; the input's end where there is none.
GZ_DEVICE gz_u32 gz_deflate_seek(const gz_deflate_stream& f, gz_u32 at, bool other) {
    const gz_u32 lane = gz_lane();
    for (; at < f.size(); at += 32) {
        const gz_u32 found = gz_ballot(at + lane < f.size() && (f.src[at + lane] != 0) == other);
        if (found) return at + __ffs(found) - 1;
    }
    return f.size();
}

// Moves behind zlib's header (RFC 1950 section 2.2).
GZ_DEVICE gz_i32 gz_deflate_zlib(gz_deflate_stream& f) {
    if (f.size() < 2) return GZ_TRUNCATED;
    const gz_u32 method = f.src[0], flags = f.src[1];
    f.at = 2;
    return (method & 15) != 8 || method > 0x7f || (method << 8 | flags) % 31 || flags & 0x20 ? GZ_FORMAT : GZ_OK;
}

// Moves behind a member's header (RFC 1952 section 2.3). `checked`: bytes of it that its own CRC is of; 0 where it has none.
GZ_DEVICE gz_i32 gz_deflate_member(gz_deflate_stream& f, gz_u32& checked) {
    const gz_u32 begin = f.at;
    checked = 0;
    if (f.size() - f.at < 10) return GZ_TRUNCATED;
    const gz_u32 flags = f.src[f.at + 3];
    if (gz_little(f.src + f.at, 3) != 0x088b1f || flags & 0xe0) return GZ_FORMAT;
    f.at += 10;
    if (flags & 4) {  // FEXTRA
        if (f.size() - f.at < 2) return GZ_TRUNCATED;
        const gz_u32 extra = gz_little(f.src + f.at, 2) + 2;
        if (f.size() - f.at < extra) return GZ_TRUNCATED;
        f.at += extra;
    }
#pragma unroll 1
    for (gz_u32 flag = 8; flag <= 16; flag *= 2) {  // FNAME, FCOMMENT
        if (!(flags & flag)) continue;
        f.at = gz_deflate_seek(f, f.at, false);
        if (f.at == f.size()) return GZ_TRUNCATED;
        ++f.at;
    }
    if (flags & 2) {  // FHCRC
        if (f.size() - f.at < 2) return GZ_TRUNCATED;
        checked = f.at - begin;
        f.at += 2;
    }
    return GZ_OK;
}

// Whether the checksum of n bytes is the one that stands at `stored`.
GZ_DEVICE bool gz_deflate_sum(gz_deflate_shared& s, bool adler, const gz_u8* bytes, gz_u32 n, const gz_u8* stored,
                              gz_u32 width) {
    const gz_checksum_row row(bytes, n);
    gz_u32 sum, right = gz_little(stored, width);
    if (adler) {
        right = __byte_perm(right, 0, 0x0123);
        sum = gz_sum<false>(row, s.part);
    } else {
        sum = gz_crc<GZ_CRC32>(row, s.table, s.part);
        if (width == 2) sum &= 0xffff;
    }
    return !__syncthreads_or(threadIdx.x == 0 && sum != right);
}

// Verifies what stands behind a stream, and in front of it, and moves behind. `header`: where a gzip header begins.
GZ_DEVICE gz_i32 gz_deflate_verify(gz_deflate_stream& f, gz_deflate_shared& s, gz_u32 framing, gz_u32 header,
                                   gz_u32 checked) {
    const bool adler = framing == GZ_DEFLATE_ZLIB;
    const gz_u32 width = adler ? 4 : 8;
    if (f.size() - f.at < width) return GZ_TRUNCATED;
    if (!adler && gz_little(f.src + f.at + 4, 4) != f.op - f.begin) return GZ_CHECKSUM;
    bool right = true;
#pragma unroll 1
    for (gz_u32 k = checked ? 0 : 1; k < 2; ++k) {
        const gz_u8* const bytes = k ? f.dst + f.begin : f.src + header;
        const gz_u8* const stored = k ? f.src + f.at : f.src + header + checked;
        GZ_ASSUME_GLOBAL(bytes);
        GZ_ASSUME_GLOBAL(stored);
        const bool same = gz_deflate_sum(s, adler, bytes, k ? f.op - f.begin : checked, stored, k ? 4 : 2);
        right = right && same;
    }
    f.at += width;
    return right ? GZ_OK : GZ_CHECKSUM;
}

GZ_DEVICE gz_i32 gz_deflate_decode(gz_deflate_stream& f, gz_deflate_shared& s, gz_u32 framing) {
    do {
        gz_u32 checked = 0;
        const gz_u32 header = f.at;
        gz_i32 wrong = GZ_OK;
        f.begin = f.op;
        if (framing == GZ_DEFLATE_ZLIB) wrong = gz_deflate_zlib(f);
        if (framing == GZ_DEFLATE_GZIP) wrong = gz_deflate_member(f, checked);
        if (!wrong) wrong = gz_deflate_inflate(f, s);
        if (!wrong && framing != GZ_DEFLATE_BARE) wrong = gz_deflate_verify(f, s, framing, header, checked);
        if (wrong) return wrong;
        if (framing == GZ_DEFLATE_GZIP) f.at = gz_deflate_seek(f, f.at, true);
    } while (framing == GZ_DEFLATE_GZIP && f.at < f.size());
    return f.op == f.room ? GZ_OK : GZ_SIZE;
}

extern "C" __global__ void __launch_bounds__(GZ_DEFLATE_THREADS, 16)
gz_deflate(gz_u32 framing, const gz_u64* src, const gz_u64* size, const gz_u64* dst, const gz_u64* room, gz_i32* status,
           gz_u32 n) {
    __shared__ gz_deflate_shared s;
    const gz_u32 row = blockIdx.x;
    if (row >= n) return;
    gz_deflate_stream f;
    f.src = (const gz_u8*)src[row];
    f.dst = (gz_u8*)dst[row];
    GZ_ASSUME_GLOBAL(f.src);
    GZ_ASSUME_GLOBAL(f.dst);
    f.sizes = size;
    f.room = (gz_u32)room[row];
    f.at = f.op = f.begin = 0;
    gz_i32 wrong = GZ_FORMAT;
    if (size[row] <= 0x7fffffffu && room[row] <= 0x7fffffffu) wrong = gz_deflate_decode(f, s, framing);
    if (wrong && threadIdx.x == 0) status[row] = wrong;
}
